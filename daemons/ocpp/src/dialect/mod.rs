//! What differs between the versions, as the uplink asks for it.
//!
//! A version is a folder, `v16/` or `v201/`, with the same functions; a third one is a third folder
//! and an arm more in each `match` here.

mod handled;

use std::sync::Arc;

use serde_json::{Value, json};
use voltry_bus::TransferStatus;

use crate::certificates::{self, Own};
use crate::config::Version;
use crate::data_transfer;
use crate::files::{FirmwareStatus, LogStatus};
use crate::model::Item;
use crate::model::monitors::Monitor;
use crate::plug_and_charge::{Contract, granted, unwrapped, wrapped};
use crate::security::Entry;
use crate::time::{Now, parse, rfc3339};
use crate::transactions::{Context, Measurand, Sample, Token, meter_value_v16, meter_value_v201};
use crate::uplink::{Core, Notice, Outcome, TokenInfo, Written};
use crate::{v16, v201};

pub use handled::{Answer, Handled, OpenWrite, Reply, ResetKind, Then, Writes};
pub(crate) use handled::{hand_on, propose, take};

/// What a request of the CSMS needs to be known of the station before it can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Which EVSEs there are.
    Evses,
    /// That those that start have started, and what they can give.
    ReadyEvses,
}

/// By the request's action, of either version.
#[must_use]
pub fn needs_of_station(action: &str) -> Needs {
    match action {
        "ChangeAvailability"
        | "ClearChargingProfile"
        | "ExtendedTriggerMessage"
        | "GetChargingProfiles"
        | "SetChargingProfile"
        | "TriggerMessage"
        | "UnlockConnector" => Needs::Evses,
        "GetCompositeSchedule" | "RemoteStartTransaction" | "RequestStartTransaction" | "ReserveNow" => {
            Needs::ReadyEvses
        }
        _ => Needs::Nothing,
    }
}

/// What the CSMS says to a BootNotification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootAnswer {
    /// Whether it listens.
    pub status: BootStatus,
    /// Its time, microseconds of Unix time.
    pub time: i64,
    /// Seconds between heartbeats, or until the next boot; 0: as the station likes.
    pub interval_s: u64,
}

/// Whether the CSMS listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootStatus {
    /// It does.
    Accepted,
    /// It wants to configure first.
    Pending,
    /// It wants nothing of us.
    Rejected,
}

/// What the CSMS says to a message of a transaction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TransactionAnswer {
    /// Its number for the transaction (1.6, StartTransaction).
    pub csms: Option<i64>,
    /// Whether the token may charge.
    pub info: Option<TokenInfo>,
    /// What the transaction costs (2.0.1).
    pub cost: Option<f64>,
    /// What the driver is to read (2.0.1).
    pub text: Option<String>,
}

/// A report of 2.0.1 that goes out in parts: what was there when it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The number of the request.
    pub request: i64,
    /// Of what.
    pub of: Reported,
    /// So many went out already.
    pub from: usize,
    /// In so many parts.
    pub part: usize,
}

/// What a report is of.
#[derive(Debug, Clone, PartialEq)]
pub enum Reported {
    /// Variables.
    Variables(Arc<[Item]>),
    /// Monitors.
    Monitors(Arc<[Monitor]>),
}

/// As much of a text as its field holds, in characters.
pub(crate) fn short(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect()
}

/// The CSMS's time in its answer to a BootNotification or a Heartbeat, microseconds of Unix time.
pub(crate) fn current_time(payload: &str) -> Option<i64> {
    times(payload)("/currentTime")
}

/// The times in a payload, each by its place (RFC 6901), microseconds of Unix time.
pub(crate) fn times(payload: &str) -> impl Fn(&str) -> Option<i64> {
    let written: Value = serde_json::from_str(payload).unwrap_or_default();
    move |place| parse(written.pointer(place)?.as_str()?)
}

macro_rules! by_version {
    ($version:expr, $function:ident ( $($argument:expr),* )) => {
        match $version {
            Version::V16 => v16::$function($($argument),*),
            Version::V201 => v201::$function($($argument),*),
        }
    };
}

/// A BootNotification.
#[must_use]
pub fn boot(core: &Core) -> Value {
    by_version!(core.version, boot(core))
}

/// What the CSMS says to it; `None`: nothing usable.
#[must_use]
pub fn boot_answer(version: Version, payload: &str) -> Option<BootAnswer> {
    by_version!(version, boot_answer(payload))
}

/// A StatusNotification of a connector.
#[must_use]
pub fn status(core: &Core, now: Now, evse: u32) -> Value {
    by_version!(core.version, status(core, now, evse))
}

/// A SecurityEventNotification.
#[must_use]
pub fn security_event(core: &Core, now: Now, entry: &Entry) -> Value {
    let time = rfc3339(core.clock.time(entry.unix, entry.set, entry.at, now));
    let mut payload = json!({ "type": entry.event.name(core.version), "timestamp": time });
    if !entry.info.is_empty() {
        payload["techInfo"] = entry.info.as_str().into();
    }
    payload
}

/// An Authorize.
#[must_use]
pub fn authorize(core: &Core, token: &Token, doubted: Option<&Contract>) -> (&'static str, Value) {
    by_version!(core.version, authorize(core, token, doubted))
}

/// Whether the CSMS says in it that a contract's certificates are good.
#[must_use]
pub fn believes_contract(version: Version, payload: &str) -> bool {
    by_version!(version, believes_contract(payload))
}

/// What the CSMS says to it.
#[must_use]
pub fn authorize_answer(version: Version, payload: &str) -> Option<TokenInfo> {
    by_version!(version, authorize_answer(payload))
}

/// Whether the CSMS's answer to an authorization is that it knows no Plug & Charge.
#[must_use]
pub fn knows_no_plug_and_charge(version: Version, payload: &str) -> bool {
    match version {
        Version::V16 => {
            let answer: Value = serde_json::from_str(payload).unwrap_or_default();
            answer.get("idTagInfo").is_none() && unwrapped(&answer).is_err()
        }
        Version::V201 => false,
    }
}

/// Whether the CSMS takes a SignCertificate.
#[must_use]
pub fn takes_request(version: Version, own: Own, payload: &str) -> bool {
    let answer: Value = serde_json::from_str(payload).unwrap_or_default();
    let answer = match (version, own) {
        (Version::V16, Own::V2g) => unwrapped(&answer).unwrap_or_default(),
        (Version::V16, Own::Station) | (Version::V201, _) => answer,
    };
    answer["status"] == "Accepted"
}

/// A vehicle's question for a contract certificate.
#[must_use]
pub fn contract_wanted(version: Version, request: Value) -> (&'static str, Value) {
    const ACTION: &str = "Get15118EVCertificate";
    match version {
        Version::V16 => ("DataTransfer", wrapped(ACTION, &request)),
        Version::V201 => (ACTION, request),
    }
}

/// What the CSMS says to a GetCertificateStatus.
#[must_use]
pub fn certificate_status(version: Version, payload: &str) -> Option<Value> {
    let answer: Value = serde_json::from_str(payload).ok()?;
    match version {
        Version::V16 => unwrapped(&answer).ok(),
        Version::V201 => Some(answer),
    }
}

/// What the CSMS says to it, EXI; `None`: nothing usable.
#[must_use]
pub fn contract_answer(version: Version, payload: &str) -> Option<Vec<u8>> {
    let answer: Value = serde_json::from_str(payload).ok()?;
    let answer = match version {
        Version::V16 => unwrapped(&answer).ok()?,
        Version::V201 => answer,
    };
    Some(granted(&answer)).filter(|message| !message.is_empty())
}

/// What it says to a message of a transaction.
#[must_use]
pub fn transaction_answer(version: Version, payload: &str) -> Option<TransactionAnswer> {
    by_version!(version, transaction_answer(payload))
}

/// A notice; `None` if there is nothing to say any more, or the version cannot say it.
#[must_use]
pub fn notice(core: &Core, now: Now, notice: &Notice) -> Option<(&'static str, Value)> {
    by_version!(core.version, notice(core, now, notice))
}

/// What was measured; `None` if nothing in it can be told.
#[must_use]
pub fn meter_value(
    version: Version,
    sample: &Sample,
    measurands: &[Measurand],
    context: Context,
) -> Option<Value> {
    match version {
        Version::V16 => meter_value_v16(sample, measurands, context),
        Version::V201 => meter_value_v201(sample, measurands, context),
    }
}

/// A MeterValues of an EVSE without a transaction.
#[must_use]
pub fn meter_values(version: Version, evse: u32, values: &[Value]) -> Value {
    match version {
        Version::V16 => json!({ "connectorId": evse, "meterValue": values }),
        Version::V201 => json!({ "evseId": evse, "meterValue": values }),
    }
}

/// How the upload of a log stands; `None`: the version has no word for it.
#[must_use]
pub fn log_status(
    version: Version,
    request: Option<i64>,
    status: LogStatus,
) -> Option<(&'static str, Value)> {
    by_version!(version, log_status(request, status))
}

/// How the update of the firmware stands; `None`: the version has no word for it.
#[must_use]
pub fn firmware_status(
    version: Version,
    request: Option<i64>,
    status: FirmwareStatus,
) -> Option<(&'static str, Value)> {
    by_version!(version, firmware_status(request, status))
}

/// The events that wait, as many as a message has; `None`: the version has none.
#[must_use]
pub fn events(core: &Core, now: Now) -> Option<Value> {
    by_version!(core.version, events(core, now))
}

impl Report {
    /// What is left after this part, if anything.
    #[must_use]
    pub fn after(&self, payload: &Value) -> Option<Self> {
        let list = match self.of {
            Reported::Variables(_) => &payload["reportData"],
            Reported::Monitors(_) => &payload["monitor"],
        };
        let told = list.as_array().map_or(0, Vec::len);
        (payload["tbc"] == true).then(|| Self { from: self.from + told, part: self.part + 1, ..self.clone() })
    }
}

/// A maker's own message. 1.6 has text for data, 2.0.1 any JSON.
#[must_use]
pub fn letter(version: Version, vendor: &str, message: &str, data: &str) -> Value {
    let mut payload = json!({ "vendorId": vendor });
    if !message.is_empty() {
        payload["messageId"] = message.into();
    }
    let data = match version {
        Version::V16 => (!data.is_empty()).then(|| Value::from(data)),
        Version::V201 => data_transfer::value(data),
    };
    if let Some(data) = data {
        payload["data"] = data;
    }
    payload
}

/// What the CSMS says to it.
#[must_use]
pub fn letter_answer(payload: &str) -> Option<(TransferStatus, String)> {
    let value: Value = serde_json::from_str(payload).ok()?;
    let status = match value["status"].as_str()? {
        "Accepted" => TransferStatus::Accepted,
        "Rejected" => TransferStatus::Rejected,
        "UnknownMessageId" => TransferStatus::UnknownMessage,
        "UnknownVendorId" | "UnknownVendor" => TransferStatus::UnknownVendor,
        _ => return None,
    };
    Some((status, data_transfer::text(value.get("data"))))
}

/// What came of that.
pub(crate) fn handed_on(version: Version, outcome: &Outcome) -> Value {
    let Outcome::Transferred(status, answer) = outcome else { return json!({ "status": "Rejected" }) };
    let mut payload = json!({ "status": match status {
        TransferStatus::Accepted => "Accepted",
        TransferStatus::Rejected => "Rejected",
        TransferStatus::UnknownMessage => "UnknownMessageId",
        TransferStatus::UnknownVendor => "UnknownVendorId",
    }});
    let data = match version {
        Version::V16 => (!answer.is_empty()).then(|| Value::from(answer.as_str())),
        Version::V201 => data_transfer::value(answer),
    };
    if let Some(data) = data {
        payload["data"] = data;
    }
    payload
}

/// What the CSMS says to a driver in its answer to an Authorize; 1.6 has no such thing.
#[must_use]
pub fn personal_message(version: Version, payload: &str) -> Option<String> {
    match version {
        Version::V16 => None,
        Version::V201 => v201::personal_message(payload),
    }
}

/// Takes a CALL of the CSMS.
#[must_use]
pub fn handle(core: &mut Core, now: Now, action: &str, payload: &str) -> Handled {
    by_version!(core.version, handle(core, now, action, payload)).unwrap_or_else(Handled::from)
}

/// The answer that the outcomes of writes lead to.
#[must_use]
pub fn wrote(version: Version, writes: Writes, outcomes: &[Written]) -> Value {
    by_version!(version, wrote(writes, outcomes))
}

/// The answer that an outcome leads to.
#[must_use]
pub fn reply(core: &mut Core, now: Now, reply: &Reply, outcome: &Outcome) -> Value {
    let mut payload = by_version!(core.version, reply(core, now, reply.action(), outcome));
    if let Some(transaction) = reply.transaction().filter(|_| outcome.is_taken()) {
        payload["transactionId"] = transaction.into();
    }
    payload
}

/// The answer that an outcome with certificates leads to.
#[must_use]
pub fn certificates_reply(version: Version, action: &str, outcome: &certificates::Outcome) -> Value {
    by_version!(version, certificates_reply(action, outcome))
}

/// The same within 1.6's DataTransfer, of this message of 2.0.1.
#[must_use]
pub fn within_reply(message: &str, outcome: &certificates::Outcome) -> Value {
    let reply = v201::certificates_reply(message, outcome);
    json!({ "status": "Accepted", "data": reply.to_string() })
}

/// Whether the CSMS is listened to before it answered the first BootNotification. Several CSMSs of
/// 1.6 ask at once; 2.0.1 forbids it (B01).
#[must_use]
pub const fn listens_before_boot(version: Version) -> bool {
    match version {
        Version::V16 => true,
        Version::V201 => false,
    }
}

/// What is rejected as long as the station is not accepted (1.6, 4.2; 2.0.1, B02).
#[must_use]
pub fn is_remote_start_or_stop(action: &str) -> bool {
    let actions = [
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "RequestStartTransaction",
        "RequestStopTransaction",
    ];
    actions.contains(&action)
}
