//! Diagnostics and firmware, and of the security extension logs and signed firmware.

use super::*;
use crate::dialect::{Handled, propose, times};
use crate::files::{self, Failure, FirmwareStatus, Log, LogStatus, Signature, Tries, Update, Upload};
use crate::security::SecurityEvent;
use crate::uplink::{Outcome, Record};

/// An answer without a file name says that nothing is uploaded (1.6, 6.24): it has no status.
pub(super) fn get_diagnostics(
    core: &mut Core,
    now: Now,
    asked: &GetDiagnosticsRequest,
    payload: &str,
) -> Handled {
    let time = times(payload);
    let upload = Upload {
        request: None,
        log: Log::Diagnostics,
        url: asked.location.clone(),
        file: Log::Diagnostics.file(core.variables.get(name::IDENTITY), core.clock.now(now)),
        oldest: time("/startTime"),
        latest: time("/stopTime"),
        tries: Tries::asked(asked.retries, asked.retry_interval),
    };
    let file = upload.file.clone();
    match start(core, upload) {
        Some((_, store)) => Handled { store, ..Handled::now(json!({ "fileName": file })) },
        None => Handled::now(json!({})),
    }
}

pub(super) fn get_log(core: &mut Core, now: Now, asked: &GetLogRequest, payload: &str) -> Handled {
    let time = times(payload);
    let log = match asked.log_type {
        common::LogType::DiagnosticsLog => Log::Diagnostics,
        common::LogType::SecurityLog => Log::Security,
    };
    let upload = Upload {
        request: Some(asked.request_id),
        log,
        url: asked.log.remote_location.as_str().to_owned(),
        file: log.file(core.variables.get(name::IDENTITY), core.clock.now(now)),
        oldest: time("/log/oldestTimestamp"),
        latest: time("/log/latestTimestamp"),
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
    Some((canceled, vec![Record::Files(Box::new(core.files.kept()))]))
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

/// It has no status: what does not begin is told as failed.
pub(super) fn update_firmware(
    core: &mut Core,
    now: Now,
    asked: &UpdateFirmwareRequest,
    payload: &str,
) -> Handled {
    let at = core.clock.now(now);
    let update = Update {
        request: None,
        url: asked.location.clone(),
        retrieve_at: times(payload)("/retrieveDate").unwrap_or(at),
        install_at: None,
        signature: None,
        tries: Tries::asked(asked.retries, asked.retry_interval),
    };
    match offer(core, update, at, "UpdateFirmware") {
        Ok(handled) => handled,
        Err(why) => {
            tracing::warn!(why, "the CSMS's firmware is not taken");
            core.files.firmware.refuse(None, FirmwareStatus::DownloadFailed);
            Handled { store: vec![Record::Files(Box::new(core.files.kept()))], ..Handled::now(json!({})) }
        }
    }
}

pub(super) fn signed_update_firmware(
    core: &mut Core,
    now: Now,
    asked: &SignedUpdateFirmwareRequest,
    payload: &str,
) -> Handled {
    let time = times(payload);
    let at = core.clock.now(now);
    let update = Update {
        request: Some(asked.request_id),
        url: asked.firmware.location.as_str().to_owned(),
        retrieve_at: time("/firmware/retrieveDateTime").unwrap_or(at),
        install_at: time("/firmware/installDateTime"),
        signature: Some(Signature {
            certificate: asked.firmware.signing_certificate.clone(),
            signature: asked.firmware.signature.clone(),
        }),
        tries: Tries::asked(asked.retries, asked.retry_interval),
    };
    offer(core, update, at, "SignedUpdateFirmware").unwrap_or_else(|why| {
        tracing::warn!(why, "the CSMS's firmware is not taken");
        Handled::status("Rejected")
    })
}

fn offer(core: &mut Core, update: Update, at: i64, action: &'static str) -> Result<Handled, String> {
    if let Some(why) = files::wrong_with(&update.url) {
        return Err(why);
    }
    propose(core, update, at, action).ok_or_else(|| "another one is being installed".to_owned())
}

/// What came of looking at it.
pub(super) fn update_answer(core: &mut Core, now: Now, action: &str, outcome: &Outcome) -> Value {
    let proposed = core.files.firmware.proposed.take();
    let word = match (proposed, outcome) {
        (Some(update), Outcome::Done) => {
            if core.files.firmware.start(update) {
                "AcceptedCanceled"
            } else {
                "Accepted"
            }
        }
        (Some(_), Outcome::Refused(why)) => {
            core.journal.note(now, SecurityEvent::InvalidFirmwareSigningCertificate, why);
            "InvalidCertificate"
        }
        (Some(update), _) => {
            if update.request.is_none() {
                core.files.firmware.refuse(None, FirmwareStatus::InstallationFailed);
            }
            "Rejected"
        }
        (None, _) => "Rejected",
    };
    if action == "UpdateFirmware" { json!({}) } else { json!({ "status": word }) }
}

/// Of UpdateFirmware without, of SignedUpdateFirmware with its request.
pub(crate) fn firmware_status(request: Option<i64>, status: FirmwareStatus) -> Option<(&'static str, Value)> {
    if let Some(request) = request {
        // The security extension's words are ours.
        let payload = json!({ "status": status, "requestId": request });
        return Some(("SignedFirmwareStatusNotification", payload));
    }
    let word = match status {
        FirmwareStatus::Idle => "Idle",
        FirmwareStatus::Downloading => "Downloading",
        FirmwareStatus::DownloadFailed => "DownloadFailed",
        FirmwareStatus::Downloaded => "Downloaded",
        FirmwareStatus::Installing => "Installing",
        FirmwareStatus::Installed => "Installed",
        FirmwareStatus::InstallationFailed
        | FirmwareStatus::InstallVerificationFailed
        | FirmwareStatus::InvalidSignature => "InstallationFailed",
        FirmwareStatus::DownloadScheduled
        | FirmwareStatus::SignatureVerified
        | FirmwareStatus::InstallScheduled
        | FirmwareStatus::InstallRebooting => return None,
    };
    Some(("FirmwareStatusNotification", json!({ "status": word })))
}

/// What a trigger of either notification is answered with: of the other kind there is none under way.
pub(super) fn triggered_firmware(core: &Core, signed: bool) -> (&'static str, Value) {
    let (request, status) = core.files.firmware.running_status();
    let action = if signed { "SignedFirmwareStatusNotification" } else { "FirmwareStatusNotification" };
    match firmware_status(request, status) {
        Some((told, payload)) if told == action => (action, payload),
        Some(_) | None => (action, json!({ "status": "Idle" })),
    }
}
