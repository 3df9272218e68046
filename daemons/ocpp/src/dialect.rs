//! What differs between the versions, as the uplink asks for it.
//!
//! A version is a folder, `v16/` or `v201/`, with the same functions; a third one is a third folder
//! and an arm more in each `match` here.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use voltry_bus::TransferStatus;

use crate::certificates::{self, Own, Request};
use crate::config::Version;
use crate::data_transfer;
use crate::files::{FirmwareStatus, LogStatus, Update};
use crate::messages::{Checked, Refusal, decode};
use crate::model::monitors::Monitor;
use crate::model::{Definition, Item};
use crate::plug_and_charge::{granted, unwrapped, wrapped};
use crate::rpc::ErrorCode;
use crate::security::Entry;
use crate::time::{Now, parse, rfc3339};
use crate::transactions::Token;
use crate::uplink::{Command, Core, Notice, Outcome, Record, TokenInfo, Write, Written};
use crate::{v16, v201};

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

/// Writes to daemons on which an answer waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Writes {
    /// The result of each variable that was named, or of the one; of those that are open without a status.
    pub results: Vec<Value>,
    /// What is open.
    pub open: Vec<OpenWrite>,
}

/// A write to a daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenWrite {
    /// Which result.
    pub place: usize,
    /// What.
    pub write: Write,
    /// The variable in our table, if it stands there.
    pub definition: Option<&'static Definition>,
}

/// What a CALL of the CSMS leads to.
#[derive(Debug)]
pub struct Handled {
    /// The answer.
    pub answer: Answer,
    /// Stored before the answer leaves.
    pub store: Vec<Record>,
    /// Done after the answer.
    pub then: Vec<Then>,
}

/// The answer to a CALL of the CSMS.
#[derive(Debug)]
pub enum Answer {
    /// This.
    Now(Value),
    /// A CALLERROR.
    Refused(Refusal),
    /// Whatever comes of this.
    Asks(Command, Reply),
    /// Whatever comes of this.
    Certificates(Request),
    /// Whatever comes of these.
    Writes(Writes, Reply),
    /// The same, within 1.6's DataTransfer, of this message of 2.0.1.
    Within(Request, &'static str),
    /// This; and if the CSMS lets the token charge, the command is given.
    Authorizes {
        /// Who.
        token: Token,
        /// What.
        command: Command,
        /// The answer.
        reply: Value,
    },
}

/// What happens after an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// BootNotification.
    Boot,
    /// This is told.
    Tell(Notice),
    /// The ways to the CSMS are others.
    Networks,
    /// A certificate of this station is asked for.
    Sign(Own),
    /// The connection keeps to other times.
    Times,
    /// The station starts anew.
    Reset(ResetKind),
}

/// How the station starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetKind {
    /// At once; transactions end.
    Hard,
    /// 1.6's other word; transactions end too, and say which it was.
    Soft,
    /// When nothing is charged any more.
    OnIdle,
}

/// How the outcome of a command is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply(&'static str);

impl Reply {
    /// For a CALL with this action.
    #[must_use]
    pub const fn to(action: &'static str) -> Self {
        Self(action)
    }

    /// The action.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.0
    }
}

impl Handled {
    /// Nothing but an answer.
    #[must_use]
    pub const fn answer(answer: Answer) -> Self {
        Self { answer, store: Vec::new(), then: Vec::new() }
    }

    /// An answer at once.
    #[must_use]
    pub const fn now(payload: Value) -> Self {
        Self::answer(Answer::Now(payload))
    }

    /// An answer that is a status and nothing else.
    #[must_use]
    pub fn status(word: &str) -> Self {
        Self::now(json!({ "status": word }))
    }

    /// Whether it changes who may speak with whom.
    #[must_use]
    pub fn changes_security(&self) -> bool {
        let stored = |record: &Record| matches!(record, Record::Network(..));
        self.then.contains(&Then::Networks) || self.store.iter().any(stored)
    }

    /// A CALLERROR.
    #[must_use]
    pub fn refused(code: ErrorCode, text: &str) -> Self {
        Self::answer(Answer::Refused(Refusal::new(code, text)))
    }
}

/// Handles a CALL whose payload is as its action wants it.
///
/// # Errors
/// What is wrong with the payload.
pub(crate) fn take<T>(payload: &str, handle: impl FnOnce(T) -> Handled) -> Result<Handled, Refusal>
where
    T: DeserializeOwned + Checked,
{
    decode(payload).map(handle)
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

impl From<Refusal> for Handled {
    fn from(refusal: Refusal) -> Self {
        Self::answer(Answer::Refused(refusal))
    }
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
pub fn authorize(core: &Core, token: &Token) -> (&'static str, Value) {
    by_version!(core.version, authorize(core, token))
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

/// Has the signer of firmware looked at before the CSMS has its answer; `None`: another one is being
/// installed.
pub(crate) fn propose(core: &mut Core, update: Update, at: i64, action: &'static str) -> Option<Handled> {
    let firmware = &mut core.files.firmware;
    if !firmware.is_replaceable() || firmware.proposed.is_some() {
        return None;
    }
    let certificate = update.signature.as_ref().map(|signature| signature.certificate.clone());
    firmware.proposed = Some(update);
    Some(Handled::answer(Answer::Asks(Command::CheckUpdate { certificate, at }, Reply::to(action))))
}

/// Has a maker's own message of the CSMS handed on.
pub(crate) fn hand_on(vendor: &str, message: Option<&str>, data: String) -> Handled {
    let command =
        Command::HandOn { vendor: vendor.to_owned(), message: message.unwrap_or_default().to_owned(), data };
    Handled::answer(Answer::Asks(command, Reply::to("DataTransfer")))
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
    by_version!(core.version, reply(core, now, reply.action(), outcome))
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
