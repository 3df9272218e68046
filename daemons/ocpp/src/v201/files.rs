//! Logs (N01).

use super::*;
use crate::dialect::Handled;
use crate::files::{self, Failure, Log, LogStatus, Tries, Upload};
use crate::uplink::Record;

pub(super) fn get_log(core: &mut Core, now: Now, asked: &GetLogRequest, payload: &str) -> Handled {
    let written: Value = serde_json::from_str(payload).unwrap_or_default();
    let location = asked.log.remote_location.as_str();
    if let Some(why) = files::wrong_with(location) {
        return super::requests::rejected("InvalidURL", &why);
    }
    let log = match asked.log_type {
        common::LogEnum::DiagnosticsLog => Log::Diagnostics,
        common::LogEnum::SecurityLog => Log::Security,
    };
    let time = |field: &str| written["log"][field].as_str().and_then(parse);
    let file = log.file(core.variables.get(name::IDENTITY), core.clock.now(now));
    let canceled = core.files.log.start(Upload {
        request: Some(asked.request_id),
        log,
        url: location.to_owned(),
        file: file.clone(),
        oldest: time("oldestTimestamp"),
        latest: time("latestTimestamp"),
        tries: Tries::asked(asked.retries, asked.retry_interval),
    });
    let status = if canceled { "AcceptedCanceled" } else { "Accepted" };
    let store = vec![Record::Files(core.files.kept())];
    Handled { store, ..Handled::now(json!({ "status": status, "filename": file })) }
}

pub(crate) fn log_status(request: Option<i64>, status: LogStatus) -> Option<(&'static str, Value)> {
    let word = match status {
        LogStatus::Idle => "Idle",
        LogStatus::Uploading => "Uploading",
        LogStatus::Uploaded => "Uploaded",
        LogStatus::Canceled => "AcceptedCanceled",
        LogStatus::Failed(Failure::BadMessage) => "BadMessage",
        LogStatus::Failed(Failure::PermissionDenied) => "PermissionDenied",
        LogStatus::Failed(Failure::NotSupportedOperation) => "NotSupportedOperation",
        LogStatus::Failed(Failure::UploadFailure) => "UploadFailure",
    };
    let mut payload = json!({ "status": word });
    if let Some(request) = request {
        payload["requestId"] = request.into();
    }
    Some(("LogStatusNotification", payload))
}
