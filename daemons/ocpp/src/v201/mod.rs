//! OCPP 2.0.1.

mod addresses;
mod certificates;
mod customer;
mod device_model;
mod display;
mod files;
mod local_list;
mod monitoring;
mod requests;
mod smart_charging;
mod tariff;
mod vehicle_plans;

use serde_json::{Value, json};
use voltry_bus::TokenStatus;

use crate::certificates::Own;
use crate::dialect::{BootAnswer, BootStatus, Reported, TransactionAnswer, current_time, short};
use crate::messages::{decode, v201::*};
use crate::model::name;
use crate::plug_and_charge::Contract;
use crate::rpc::ErrorCode;
use crate::time::{Now, parse, rfc3339};
use crate::transactions::{Token, id_token};
use crate::uplink::{Core, Notice, TokenInfo};

pub(crate) use certificates::{certificates_reply, handle as handle_certificates};
pub(crate) use customer::report as customer_report;
pub(crate) use device_model::wrote;
pub(crate) use files::{firmware_status, log_status};
pub(crate) use monitoring::events;
pub(crate) use requests::{handle, reply};
pub(crate) use smart_charging::written as profile_written;
pub(crate) use vehicle_plans::{charging_schedule, takes_needs};

pub(crate) fn boot(core: &Core) -> Value {
    let variables = &core.variables;
    let mut station = json!({
        "vendorName": short(variables.get(name::VENDOR), 50),
        "model": short(variables.get(name::MODEL), 20),
        "firmwareVersion": short(variables.get(name::FIRMWARE), 50),
    });
    let serial = variables.get(name::SERIAL);
    if !serial.is_empty() {
        station["serialNumber"] = short(serial, 25).into();
    }
    json!({ "reason": core.boot_reason, "chargingStation": station })
}

pub(crate) fn boot_answer(payload: &str) -> Option<BootAnswer> {
    let answer: BootNotificationResponse = decode(payload).ok()?;
    Some(BootAnswer {
        status: match answer.status {
            common::RegistrationStatusEnum::Accepted => BootStatus::Accepted,
            common::RegistrationStatusEnum::Pending => BootStatus::Pending,
            common::RegistrationStatusEnum::Rejected => BootStatus::Rejected,
        },
        time: current_time(payload)?,
        interval_s: u64::try_from(answer.interval).unwrap_or(0),
    })
}

pub(crate) fn status(core: &Core, now: Now, evse: u32) -> Value {
    let Some(connector) = core.connectors.get(evse) else { return Value::Null };
    let since = connector.since;
    json!({
        "timestamp": rfc3339(core.clock.time(since.unix, since.set, Some(since.at), now)),
        "connectorStatus": connector.status.v201(),
        "evseId": evse,
        "connectorId": 1,
    })
}

/// `doubted`: a contract that nobody here can vouch for; the CSMS is to.
pub(crate) fn authorize(core: &Core, token: &Token, doubted: Option<&Contract>) -> (&'static str, Value) {
    let mut payload = json!({ "idToken": id_token(token) });
    let shown = core.contracts.get(&token.id).filter(|_| token.kind == "eMAID");
    for (field, value) in doubted.or(shown).map(Contract::told).unwrap_or_default() {
        payload[field] = value;
    }
    if let Some(pem) = doubted.and_then(Contract::pem) {
        payload["certificate"] = pem.into();
    }
    ("Authorize", payload)
}

/// Whether the CSMS says in so many words that a contract's certificates are good.
pub(crate) fn believes_contract(payload: &str) -> bool {
    let answer: Option<AuthorizeResponse> = decode(payload).ok();
    answer.is_some_and(|answer| {
        matches!(answer.certificate_status, Some(common::AuthorizeCertificateStatusEnum::Accepted))
    })
}

pub(crate) fn authorize_answer(payload: &str) -> Option<TokenInfo> {
    let answer: AuthorizeResponse = decode(payload).ok()?;
    let value: Value = serde_json::from_str(payload).ok()?;
    let mut info = token_info(&answer.id_token_info, &value["idTokenInfo"]);
    // C07: a contract whose certificate is no good is none, whatever is said of its token.
    let good = |status: &common::AuthorizeCertificateStatusEnum| {
        matches!(status, common::AuthorizeCertificateStatusEnum::Accepted)
    };
    if info.is_accepted() && answer.certificate_status.as_ref().is_some_and(|status| !good(status)) {
        info.status = TokenStatus::Invalid;
    }
    Some(info)
}

pub(crate) fn transaction_answer(payload: &str) -> Option<TransactionAnswer> {
    let answer: TransactionEventResponse = decode(payload).ok()?;
    let value: Value = serde_json::from_str(payload).ok()?;
    let info = answer.id_token_info.as_ref().map(|info| token_info(info, &value["idTokenInfo"]));
    let text = content(&value["updatedPersonalMessage"])
        .or_else(|| content(&value["idTokenInfo"]["personalMessage"]));
    Some(TransactionAnswer { csms: None, info, cost: answer.total_cost, text })
}

/// The text of a MessageContentType.
fn content(message: &Value) -> Option<String> {
    Some(message["content"].as_str()?.to_owned())
}

pub(crate) fn personal_message(payload: &str) -> Option<String> {
    let value: Value = serde_json::from_str(payload).ok()?;
    content(&value["idTokenInfo"]["personalMessage"])
}

pub(crate) fn token_info(info: &common::IdTokenInfo, written: &Value) -> TokenInfo {
    use common::AuthorizationStatusEnum as Status;
    TokenInfo {
        status: match info.status {
            Status::Accepted => TokenStatus::Accepted,
            Status::Blocked => TokenStatus::Blocked,
            Status::ConcurrentTx => TokenStatus::ConcurrentTx,
            Status::Expired => TokenStatus::Expired,
            Status::Invalid => TokenStatus::Invalid,
            Status::NoCredit => TokenStatus::NoCredit,
            Status::NotAllowedTypeEVSE => TokenStatus::NotAllowedTypeEvse,
            Status::NotAtThisLocation => TokenStatus::NotAtThisLocation,
            Status::NotAtThisTime => TokenStatus::NotAtThisTime,
            Status::Unknown => TokenStatus::Unknown,
        },
        group: info.group_id_token.as_ref().map_or_else(String::new, |group| group.id_token.to_string()),
        expires: written["cacheExpiryDateTime"].as_str().and_then(parse).unwrap_or(0),
    }
}

pub(crate) fn notice(core: &Core, now: Now, notice: &Notice) -> Option<(&'static str, Value)> {
    Some(match notice {
        Notice::Heartbeat => ("Heartbeat", json!({})),
        Notice::Status(evse) => {
            core.connectors.get(*evse)?;
            ("StatusNotification", status(core, now, *evse))
        }
        Notice::MeterValues(evse) => ("MeterValues", requests::meter_values(core, now, *evse)?),
        Notice::FirmwareStatus => {
            let (request, status) = core.files.firmware.last_status();
            return files::firmware_status(request, status);
        }
        Notice::LogStatus => {
            let (request, status) = core.files.log.status();
            return files::log_status(request, status);
        }
        Notice::Report(report) => match &report.of {
            Reported::Variables(items) => ("NotifyReport", device_model::report(core, now, report, items)),
            Reported::Monitors(all) => ("NotifyMonitoringReport", monitoring::report(core, now, report, all)),
        },
        Notice::SignCertificate(own, csr) => {
            let usage = match own {
                Own::Station => "ChargingStationCertificate",
                Own::V2g => "V2GCertificate",
            };
            ("SignCertificate", json!({ "csr": csr, "certificateType": usage }))
        }
        Notice::CertificateStatus(request) => ("GetCertificateStatus", json!({ "ocspRequestData": request })),
        Notice::Ready(action, payload) => (*action, payload.clone()),
        Notice::OtherLimit { evse, source, set } => {
            return smart_charging::other_limit(core, *evse, *source, *set);
        }
        Notice::ReservationOver(id, expired) => {
            let status = if *expired { "Expired" } else { "Removed" };
            ("ReservationStatusUpdate", json!({ "reservationId": id, "reservationUpdateStatus": status }))
        }
        Notice::ChargingNeeds(evse, wanted) => vehicle_plans::needs(core, now, *evse, wanted),
        Notice::DiagnosticsStatus | Notice::SignedFirmwareStatus | Notice::Transaction(_) => return None,
    })
}
