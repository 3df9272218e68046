//! Logs (N01), firmware (L01, L02).

use super::requests::rejected;
use super::*;
use crate::dialect::{Handled, propose, times};
use crate::files::{self, Failure, FirmwareStatus, Log, LogStatus, Signature, Tries, Update, Upload};
use crate::security::SecurityEvent;
use crate::uplink::{Outcome, Record};

pub(super) fn get_log(core: &mut Core, now: Now, asked: &GetLogRequest, payload: &str) -> Handled {
    let location = asked.log.remote_location.as_str();
    if let Some(why) = files::wrong_with(location) {
        return rejected("InvalidURL", &why);
    }
    let log = match asked.log_type {
        common::LogEnum::DiagnosticsLog => Log::Diagnostics,
        common::LogEnum::SecurityLog => Log::Security,
    };
    let time = times(payload);
    let file = log.file(core.variables.get(name::IDENTITY), core.clock.now(now));
    let canceled = core.files.log.start(Upload {
        request: Some(asked.request_id),
        log,
        url: location.to_owned(),
        file: file.clone(),
        oldest: time("/log/oldestTimestamp"),
        latest: time("/log/latestTimestamp"),
        tries: Tries::asked(asked.retries, asked.retry_interval),
    });
    let status = if canceled { "AcceptedCanceled" } else { "Accepted" };
    let store = vec![Record::Files(Box::new(core.files.kept()))];
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

pub(super) fn update_firmware(
    core: &mut Core,
    now: Now,
    asked: &UpdateFirmwareRequest,
    payload: &str,
) -> Handled {
    let firmware = &asked.firmware;
    if let Some(why) = files::wrong_with(firmware.location.as_str()) {
        return rejected("InvalidURL", &why);
    }
    let signature = match (&firmware.signing_certificate, &firmware.signature) {
        (Some(certificate), Some(signature)) => {
            Some(Signature { certificate: certificate.to_string(), signature: signature.to_string() })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return rejected("MissingParam", "a signature and its certificate belong together");
        }
    };
    let (at, time) = (core.clock.now(now), times(payload));
    let update = Update {
        request: Some(asked.request_id),
        url: firmware.location.as_str().to_owned(),
        retrieve_at: time("/firmware/retrieveDateTime").unwrap_or(at),
        install_at: time("/firmware/installDateTime"),
        signature,
        tries: Tries::asked(asked.retries, asked.retry_interval),
    };
    propose(core, update, at, "UpdateFirmware")
        .unwrap_or_else(|| rejected("UpdateInProgress", "another one is being installed"))
}

/// What came of looking at it.
pub(super) fn update_answer(core: &mut Core, now: Now, outcome: &Outcome) -> Value {
    let Some(update) = core.files.firmware.proposed.take() else {
        return json!({ "status": "Rejected" });
    };
    match outcome {
        Outcome::Done => {
            let canceled = core.files.firmware.start(update);
            json!({ "status": if canceled { "AcceptedCanceled" } else { "Accepted" } })
        }
        Outcome::Refused(why) => {
            core.journal.note(now, SecurityEvent::InvalidFirmwareSigningCertificate, why);
            json!({
                "status": "InvalidCertificate",
                "statusInfo": { "reasonCode": "InvalidCertificate", "additionalInfo": short(why, 512) },
            })
        }
        Outcome::Scheduled
        | Outcome::Occupied
        | Outcome::Faulted
        | Outcome::Unavailable
        | Outcome::Unknown
        | Outcome::NotSupported
        | Outcome::Metered(_)
        | Outcome::Charged(_)
        | Outcome::Wrote(_)
        | Outcome::Transferred(..)
        | Outcome::Silent => json!({
            "status": "Rejected",
            "statusInfo": { "reasonCode": "UnsupportedRequest", "additionalInfo": "nobody installs here" },
        }),
    }
}

pub(crate) fn firmware_status(request: Option<i64>, status: FirmwareStatus) -> Option<(&'static str, Value)> {
    // Our words are 2.0.1's.
    let mut payload = json!({ "status": status });
    if let Some(request) = request {
        payload["requestId"] = request.into();
    }
    Some(("FirmwareStatusNotification", payload))
}
