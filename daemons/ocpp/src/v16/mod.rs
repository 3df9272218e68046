//! OCPP 1.6J.

mod certificates;
mod files;
mod requests;
mod smart_charging;

use serde_json::{Value, json};
use voltry_bus::TokenStatus;

use crate::certificates::Own;
use crate::dialect::{BootAnswer, BootStatus, TransactionAnswer, current_time, short};
use crate::messages::{decode, v16::*};
use crate::model::name;
use crate::plug_and_charge::{Contract, unwrapped, wrapped};
use crate::rpc::ErrorCode;
use crate::time::{Now, parse, rfc3339};
use crate::transactions::{Token, id_tag};
use crate::uplink::{Core, Notice, TokenInfo, Trouble};

pub(crate) use certificates::certificates_reply;
pub(crate) use files::{firmware_status, log_status};
pub(crate) use requests::{handle, reply, wrote};

pub(crate) fn boot(core: &Core) -> Value {
    let variables = &core.variables;
    let mut boot = json!({
        "chargePointVendor": short(variables.get(name::VENDOR), 20),
        "chargePointModel": short(variables.get(name::MODEL), 20),
        "firmwareVersion": short(variables.get(name::FIRMWARE), 50),
    });
    let serial = variables.get(name::SERIAL);
    if !serial.is_empty() {
        boot["chargePointSerialNumber"] = short(serial, 25).into();
    }
    boot
}

pub(crate) fn boot_answer(payload: &str) -> Option<BootAnswer> {
    let answer: BootNotificationResponse = decode(payload).ok()?;
    Some(BootAnswer {
        status: match answer.status {
            common::BootNotificationResponseStatus::Accepted => BootStatus::Accepted,
            common::BootNotificationResponseStatus::Pending => BootStatus::Pending,
            common::BootNotificationResponseStatus::Rejected => BootStatus::Rejected,
        },
        time: current_time(payload)?,
        interval_s: u64::try_from(answer.interval).unwrap_or(0),
    })
}

pub(crate) fn status(core: &Core, now: Now, evse: u32) -> Value {
    let Some(connector) = core.connectors.get(evse) else { return Value::Null };
    let since = connector.since;
    let mut status = json!({
        "connectorId": evse,
        "status": connector.status.v16(),
        "errorCode": error_code(&connector.trouble),
        "timestamp": rfc3339(core.clock.time(since.unix, since.set, Some(since.at), now)),
    });
    if !connector.trouble.code.is_empty() {
        status["info"] = short(&connector.trouble.cause, 50).into();
        status["vendorErrorCode"] = short(&connector.trouble.code, 50).into();
    }
    status
}

/// 1.6's code for one of the industry's (MREC).
fn error_code(trouble: &Trouble) -> &'static str {
    let code = trouble.code.as_str();
    let has = |word: &str| code.contains(word);
    if code.is_empty() {
        "NoError"
    } else if has("GroundF") || has("Insulation") || has("Isolation") {
        "GroundFailure"
    } else if has("HighTemperature") || has("OverTemperature") {
        "HighTemperature"
    } else if has("OverCurrent") {
        "OverCurrentFailure"
    } else if has("OverVoltage") {
        "OverVoltage"
    } else if has("UnderVoltage") {
        "UnderVoltage"
    } else if has("Lock") {
        "ConnectorLockFailure"
    } else if has("Meter") {
        "PowerMeterFailure"
    } else if has("Contactor") || has("PowerSwitch") {
        "PowerSwitchFailure"
    } else if has("EVCommunication") {
        "EVCommunicationError"
    } else {
        "OtherError"
    }
}

pub(crate) fn authorize(core: &Core, token: &Token, doubted: Option<&Contract>) -> (&'static str, Value) {
    if token.kind == "eMAID" && core.knows_plug_and_charge() {
        let (action, payload) = crate::v201::authorize(core, token, doubted);
        return ("DataTransfer", wrapped(action, &payload));
    }
    ("Authorize", json!({ "idTag": id_tag(Some(token)) }))
}

pub(crate) fn believes_contract(payload: &str) -> bool {
    let answer: Value = serde_json::from_str(payload).unwrap_or_default();
    unwrapped(&answer).is_ok_and(|answer| crate::v201::believes_contract(&answer.to_string()))
}

pub(crate) fn authorize_answer(payload: &str) -> Option<TokenInfo> {
    let value: Value = serde_json::from_str(payload).ok()?;
    if value.get("idTagInfo").is_none() {
        return crate::v201::authorize_answer(&unwrapped(&value).ok()?.to_string());
    }
    let answer: AuthorizeResponse = decode(payload).ok()?;
    Some(token_info(&answer.id_tag_info, &value["idTagInfo"]))
}

pub(crate) fn transaction_answer(payload: &str) -> Option<TransactionAnswer> {
    // MeterValues answers with nothing, StopTransaction perhaps with the token's status.
    let value: Value = serde_json::from_str(payload).ok()?;
    if !value.is_object() {
        return None;
    }
    let info = value.get("idTagInfo").and_then(|info| {
        let known: common::IdTagInfo = serde_json::from_value(info.clone()).ok()?;
        Some(token_info(&known, info))
    });
    Some(TransactionAnswer { csms: value["transactionId"].as_i64(), info, ..TransactionAnswer::default() })
}

pub(crate) fn token_info(info: &common::IdTagInfo, written: &Value) -> TokenInfo {
    TokenInfo {
        status: match info.status {
            common::IdTagInfoStatus::Accepted => TokenStatus::Accepted,
            common::IdTagInfoStatus::Blocked => TokenStatus::Blocked,
            common::IdTagInfoStatus::Expired => TokenStatus::Expired,
            common::IdTagInfoStatus::Invalid => TokenStatus::Invalid,
            common::IdTagInfoStatus::ConcurrentTx => TokenStatus::ConcurrentTx,
        },
        group: info.parent_id_tag.as_ref().map_or_else(String::new, ToString::to_string),
        expires: written["expiryDate"].as_str().and_then(parse).unwrap_or(0),
    }
}

/// 1.6 tells faults with the status of a connector.
pub(crate) const fn events(_: &Core, _: Now) -> Option<Value> {
    None
}

pub(crate) fn notice(core: &Core, now: Now, notice: &Notice) -> Option<(&'static str, Value)> {
    Some(match notice {
        Notice::Heartbeat => ("Heartbeat", json!({})),
        Notice::Status(evse) => {
            core.connectors.get(*evse)?;
            ("StatusNotification", status(core, now, *evse))
        }
        Notice::MeterValues(evse) => ("MeterValues", requests::meter_values(core, now, *evse)?),
        Notice::FirmwareStatus => files::triggered_firmware(core, false),
        Notice::SignedFirmwareStatus => files::triggered_firmware(core, true),
        Notice::DiagnosticsStatus => files::triggered(core, true),
        Notice::LogStatus => files::triggered(core, false),
        Notice::SignCertificate(Own::V2g, csr) => {
            let payload = json!({ "csr": csr, "certificateType": "V2GCertificate" });
            ("DataTransfer", wrapped("SignCertificate", &payload))
        }
        Notice::SignCertificate(Own::Station, csr) => ("SignCertificate", json!({ "csr": csr })),
        Notice::CertificateStatus(request) => {
            ("DataTransfer", wrapped("GetCertificateStatus", &json!({ "ocspRequestData": request })))
        }
        Notice::Ready(action, payload) => (*action, payload.clone()),
        Notice::ReservationOver(..)
        | Notice::Transaction(_)
        | Notice::ChargingNeeds(..)
        | Notice::Report(..)
        | Notice::OtherLimit { .. } => return None,
    })
}
