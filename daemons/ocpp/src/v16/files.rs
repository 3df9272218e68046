//! Diagnostics, and of the security extension logs.

use super::*;
use crate::dialect::Handled;
use crate::files::{self, Failure, Log, LogStatus, Tries, Upload};
use crate::uplink::Record;

/// An answer without a file name says that nothing is uploaded (1.6, 6.24): it has no status.
pub(super) fn get_diagnostics(
    core: &mut Core,
    now: Now,
    asked: &GetDiagnosticsRequest,
    payload: &str,
) -> Handled {
    let written: Value = serde_json::from_str(payload).unwrap_or_default();
    let time = |field: &str| written[field].as_str().and_then(parse);
    let upload = Upload {
        request: None,
        log: Log::Diagnostics,
        url: asked.location.clone(),
        file: Log::Diagnostics.file(core.variables.get(name::IDENTITY), core.clock.now(now)),
        oldest: time("startTime"),
        latest: time("stopTime"),
        tries: Tries::asked(asked.retries, asked.retry_interval),
    };
    let file = upload.file.clone();
    match start(core, upload) {
        Some((_, store)) => Handled { store, ..Handled::now(json!({ "fileName": file })) },
        None => Handled::now(json!({})),
    }
}

pub(super) fn get_log(core: &mut Core, now: Now, asked: &GetLogRequest, payload: &str) -> Handled {
    let written: Value = serde_json::from_str(payload).unwrap_or_default();
    let time = |field: &str| written["log"][field].as_str().and_then(parse);
    let log = match asked.log_type {
        common::LogType::DiagnosticsLog => Log::Diagnostics,
        common::LogType::SecurityLog => Log::Security,
    };
    let upload = Upload {
        request: Some(asked.request_id),
        log,
        url: asked.log.remote_location.as_str().to_owned(),
        file: log.file(core.variables.get(name::IDENTITY), core.clock.now(now)),
        oldest: time("oldestTimestamp"),
        latest: time("latestTimestamp"),
        tries: Tries::asked(asked.retries, asked.retry_interval),
    };
    let file = upload.file.clone();
    match start(core, upload) {
        Some((canceled, store)) => {
            let status = if canceled { "AcceptedCanceled" } else { "Accepted" };
            Handled { store, ..Handled::now(json!({ "status": status, "filename": file })) }
        }
        None => Handled::status("Rejected"),
    }
}

/// Whether it ended another; `None`: it cannot be carried there.
fn start(core: &mut Core, upload: Upload) -> Option<(bool, Vec<Record>)> {
    if let Some(why) = files::wrong_with(&upload.url) {
        tracing::warn!(why, "the CSMS wants a log where none can be sent");
        return None;
    }
    let canceled = core.files.log.start(upload);
    Some((canceled, vec![Record::Files(core.files.kept())]))
}

/// Of GetDiagnostics without, of GetLog with its request. Neither has a word for one that another
/// request ended.
pub(crate) fn log_status(request: Option<i64>, status: LogStatus) -> Option<(&'static str, Value)> {
    let diagnostics = match status {
        LogStatus::Idle => "Idle",
        LogStatus::Uploading => "Uploading",
        LogStatus::Uploaded => "Uploaded",
        LogStatus::Failed(_) => "UploadFailed",
        LogStatus::Canceled => return None,
    };
    let Some(request) = request else {
        return Some(("DiagnosticsStatusNotification", json!({ "status": diagnostics })));
    };
    let word = match status {
        LogStatus::Failed(Failure::BadMessage) => "BadMessage",
        LogStatus::Failed(Failure::PermissionDenied) => "PermissionDenied",
        LogStatus::Failed(Failure::NotSupportedOperation) => "NotSupportedOperation",
        LogStatus::Failed(Failure::UploadFailure) => "UploadFailure",
        LogStatus::Idle | LogStatus::Uploading | LogStatus::Uploaded | LogStatus::Canceled => diagnostics,
    };
    Some(("LogStatusNotification", json!({ "status": word, "requestId": request })))
}

/// What a trigger of either notification is answered with: of the other kind there is none under way.
pub(super) fn triggered(core: &Core, diagnostics: bool) -> (&'static str, Value) {
    let action = if diagnostics { "DiagnosticsStatusNotification" } else { "LogStatusNotification" };
    let (request, status) = core.files.log.status();
    match log_status(request, status) {
        Some((told, payload)) if told == action && status != LogStatus::Idle => (action, payload),
        Some(_) | None => (action, json!({ "status": "Idle" })),
    }
}
