//! The uplink: what is said to the CSMS, when, and what it may ask. Pure:
//! `step(now, input) -> actions`.
//!
//! ```text
//!              connected              accepted
//!   Offline ─────────────▶ Booting ─────────────▶ Accepted ◀──┐
//!      ▲                    │    ▲                   │        │ connected again
//!      │         pending,   ▼    │ its interval      │        │ (no second boot)
//!      │         rejected  Waiting                   ▼        │
//!      └──────────────────────────────────────── disconnected ┘
//! ```
//!
//! One CALL of ours is out at a time. While the station is accepted the order is: an authorization
//! that a driver waits for, then by turns what else there is to tell and the transactions.

mod action;
mod answers;
mod authorize;
mod certifying;
mod charging;
mod command;
mod connectors;
mod core;
mod customers;
mod delivery;
mod display;
mod file_transfer;
mod idle_values;
mod input;
mod letters;
mod networks;
mod planning;
mod plug_and_charge;
mod requests;
mod reset;
mod security;
mod sending;
mod stapling;
mod starving;
mod step;
mod tokens;
mod watching;
mod writes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tracing::{debug, info, warn};
use voltry_bus::{ScheduleRequest, TokenAnswer};
use voltry_units::{Timestamp, Watts};

pub use action::{Action, Record};
pub use authorize::Asked;
use certifying::{Signing, Waiting};
pub use charging::{Charging, OtherLimit};
pub use command::{Charged, Command, Outcome, StopReason, Write, Written};
pub use connectors::{Connector, Connectors, Since, Status, Trouble};
pub use core::{Core, Held};
pub use customers::{INQUIRIES_MAX, Inquiry, NAMED_MAX};
pub use delivery::{AHEAD, Delivery, Progress, Sending, SetAside, TransactionStatus};
pub use display::{Display, ForDriver, Message, Messages, Priority};
pub use input::Input;
pub use networks::Networks;
pub use tokens::{Cached, ListChange, TokenInfo, Tokens};

use crate::certificates;
use crate::config::Version;
use crate::dialect;
use crate::display::Shown;
use crate::files;
use crate::messages::Refusal;
use crate::model::events::{self, Events};
use crate::model::monitors::{Kept, Monitors};
use crate::model::{Access, Devices, TABLE, Variables, name};
use crate::plug_and_charge::{Contract, Contracts, Wanted};
use crate::profiles::{LimitSource, Stored, Supply};
use crate::rpc::ErrorCode;
use crate::security::{Journal, SecurityEvent};
use crate::time::{Clock, Now};
use crate::transactions::{About, Event, Kind, Token};
use watching::Watching;

/// Requests of the CSMS that may wait for the station.
const PENDING_MAX: usize = 16;
/// Other messages that may wait for the CSMS.
const NOTICES_MAX: usize = 64;
/// How soon a BootNotification is sent again where the CSMS does not say.
const BOOT_RETRY: Duration = Duration::from_secs(30);
/// How long an immediate reset waits for transactions to end.
const RESET_PATIENCE: Duration = Duration::from_secs(30);
/// And how long any reset waits after that for the CSMS to hear of it: the book keeps what it did not hear.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// How soon a message that is no transaction's is tried again after an error.
const RETRY: Duration = Duration::from_secs(10);

/// Something to tell that is no transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// The time.
    Heartbeat,
    /// A connector's status, although it did not change.
    Status(u32),
    /// What the meter says now.
    MeterValues(u32),
    /// The firmware's status.
    FirmwareStatus,
    /// Of 1.6's signed firmware.
    SignedFirmwareStatus,
    /// The log upload's status.
    LogStatus,
    /// 1.6's diagnostics.
    DiagnosticsStatus,
    /// A reservation is over (2.0.1): its number, and whether its time was.
    ReservationOver(i64, bool),
    /// The running transaction (2.0.1).
    Transaction(u32),
    /// A part of a report (2.0.1).
    Report(dialect::Report),
    /// Somebody else than the CSMS limits the power, or does so no more (2.0.1).
    OtherLimit {
        /// Where; 0: the station.
        evse: u32,
        /// Who.
        source: LimitSource,
        /// It does.
        set: bool,
    },
    /// What a vehicle needs that plans its charging (2.0.1).
    ChargingNeeds(u32, Box<ScheduleRequest>),
    /// A question for the status of this station's certificate towards vehicles.
    CertificateStatus(Value),
    /// A request for a certificate of this station, PEM.
    SignCertificate(certificates::Own, String),
    /// An action and its payload.
    Ready(&'static str, Value),
}

/// Where the registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Not connected.
    Offline,
    /// A BootNotification is due or out.
    Booting,
    /// The CSMS wants to configure first.
    Pending {
        /// When to boot again.
        again: Timestamp,
    },
    /// It wants nothing of us.
    Rejected {
        /// When to boot again.
        again: Timestamp,
    },
    /// It listens.
    Accepted,
}

/// What our CALL that is out is about.
#[derive(Debug, Clone, PartialEq)]
enum Out {
    Boot,
    Status {
        evse: u32,
        status: Status,
        trouble: Trouble,
    },
    Notice(Notice),
    LogStatus,
    FirmwareStatus,
    Letter(u64),
    Authorize(Asked),
    /// An entry of the security log.
    Security(u64),
    /// A vehicle's question for a contract certificate: its number.
    Contract(u64),
    Transaction,
    Events(Vec<i64>),
    /// The oldest so many of an EVSE without a transaction.
    IdleValues {
        evse: u32,
        count: usize,
    },
}

/// A reset that was asked for.
#[derive(Debug, Clone, Copy)]
struct Reset {
    kind: dialect::ResetKind,
    /// How long transactions are waited for, unless it is for nothing to be charged.
    until: Timestamp,
    /// They have ended: how long the CSMS has to hear of it.
    telling: Option<Timestamp>,
}

/// A CALL of the CSMS that waits for the station.
#[derive(Debug)]
struct PendingReply {
    id: String,
    reply: dialect::Reply,
    /// What is known already of an answer to several writes.
    writes: Option<dialect::Writes>,
}

/// The uplink.
#[derive(Debug)]
pub struct Uplink {
    core: Core,
    registration: Registration,
    /// Since when it is not connected.
    offline_since: Option<Timestamp>,
    /// Nobody knows yet whether the CSMS can be reached: the first dial since we started is under way.
    first_dial: bool,
    /// The CSMS has answered a BootNotification since we started.
    answered: bool,
    /// It has accepted us since.
    booted: bool,
    out: Option<(String, Out)>,
    asked: VecDeque<Asked>,
    /// Vehicles' questions for contract certificates that wait for the CSMS.
    wanted: VecDeque<Wanted>,
    pending: BTreeMap<u64, PendingReply>,
    /// CALLs of the CSMS that came before the station had told of its EVSEs: id, action, payload.
    early: VecDeque<(String, String, String)>,
    /// What is being done with certificates, and who waits for it.
    certifying: BTreeMap<u64, (certificates::Request, Waiting)>,
    signing: Signing,
    next_ticket: u64,
    next_id: u64,
    id_prefix: String,
    /// What is no transaction's went last.
    told_last: bool,
    /// Of EVSEs without a transaction, on the marks of the clock, and when the next one is.
    idle: idle_values::IdleValues,
    next_mark: Option<Timestamp>,
    /// What was told of whether the CSMS judges contracts.
    central_validation: Option<bool>,
    /// What OCSP says of the certificate towards vehicles.
    stapling: stapling::Stapling,
    /// Vehicles that plan their charging.
    planning: planning::Planning,
    /// Nothing but transactions before.
    quiet_until: Timestamp,
    heartbeat_at: Timestamp,
    /// The machine's time of day less the time since its boot, while the former was set.
    wall_offset: Option<i64>,
    /// What was last stored of the progress.
    stored: Progress,
    /// Both clocks at the last step.
    seen_at: Option<(Timestamp, i64)>,
    /// What was last shown to people at the station.
    shown: Shown,
    /// Makers' messages that wait for the CSMS.
    letters: VecDeque<letters::Letter>,
    /// And of the files.
    stored_files: files::Kept,
    /// The station is to start anew: at the latest then, or (`None`) when nothing is charged.
    reset: Option<Reset>,
    /// EVSEs and transactions without power for want of an accepted token.
    starved: BTreeSet<(u32, u64)>,
    /// By EVSE: a session whose token the CSMS refused before its transaction was open in the book.
    refused_sessions: BTreeMap<u32, u64>,
    watching: Watching,
}

/// What the store and the configuration know at the start.
#[derive(Debug, Clone)]
pub struct Known {
    /// The version spoken.
    pub version: Version,
    /// How far the transactions are told.
    pub progress: Progress,
    /// Variables.
    pub variables: Variables,
    /// Local list and cache.
    pub tokens: Tokens,
    /// Charging profiles.
    pub profiles: Stored,
    /// Logs and firmware that are under way.
    pub files: files::Kept,
    /// Messages for people at the station.
    pub display: Messages,
    /// How amperes of a charging profile become watts.
    pub supply: Supply,
    /// The ways to the CSMS.
    pub networks: Networks,
    /// The security log, as far as it is not told.
    pub journal: Journal,
    /// Whom the CSMS's reservations are for.
    pub held: Held,
    /// The monitors, and the problems that the CSMS was told of.
    pub monitors: Kept,
    /// The events that wait for it.
    pub events: Vec<events::Event>,
    /// The number of the last event that was queued.
    pub event_number: i64,
    /// Why the station booted, in 2.0.1's word.
    pub boot_reason: String,
    /// Starts every id made here: never the same twice on one CSMS.
    pub prefix: String,
    /// Starts 2.0.1's transaction ids: the same as long as the store lives.
    pub transactions_prefix: String,
}

impl Uplink {
    /// At the start of the daemon, or when the CSMS speaks another version than the last.
    #[must_use]
    pub fn new(known: Known) -> Self {
        let core = Core {
            version: known.version,
            accepted: false,
            clock: Clock::default(),
            variables: known.variables,
            tokens: known.tokens,
            connectors: Connectors::default(),
            delivery: Delivery::new(known.version, known.progress.clone()),
            boot_reason: known.boot_reason,
            journal: known.journal,
            networks: known.networks,
            contracts: Contracts::default(),
            plug_and_charge_unknown: false,
            notices: VecDeque::new(),
            prefix: known.transactions_prefix,
            charging: Charging::new(known.profiles, known.supply),
            station_power: Watts::MAX,
            files: files::Files::new(known.files.clone()),
            display: Display::new(known.display),
            edges: BTreeMap::new(),
            devices: Devices::default(),
            monitors: Monitors::new(known.monitors),
            events: Events::new(known.events),
            event_number: known.event_number,
            configured: BTreeSet::new(),
            held: known.held,
            inquiries: BTreeMap::new(),
        };
        Self {
            core,
            registration: Registration::Offline,
            offline_since: None,
            first_dial: true,
            answered: false,
            booted: false,
            out: None,
            asked: VecDeque::new(),
            wanted: VecDeque::new(),
            pending: BTreeMap::new(),
            early: VecDeque::new(),
            certifying: BTreeMap::new(),
            signing: Signing::default(),
            next_ticket: 0,
            next_id: 0,
            told_last: false,
            idle: idle_values::IdleValues::default(),
            next_mark: None,
            planning: planning::Planning::default(),
            central_validation: None,
            stapling: stapling::Stapling::at_once(),
            quiet_until: Timestamp::BOOT,
            heartbeat_at: Timestamp::BOOT,
            wall_offset: None,
            stored: known.progress,
            seen_at: None,
            shown: Shown::default(),
            letters: VecDeque::new(),
            stored_files: known.files,
            reset: None,
            starved: BTreeSet::new(),
            refused_sessions: BTreeMap::new(),
            watching: Watching::default(),
            id_prefix: known.prefix,
        }
    }

    /// The id of our CALL that is out.
    #[must_use]
    pub fn out_id(&self) -> Option<&str> {
        self.out.as_ref().map(|(id, _)| id.as_str())
    }

    /// The variables, as a person may read them.
    #[must_use]
    pub fn shown_variables(&self, now: Now) -> Vec<(String, String)> {
        let told = TABLE.iter().filter(|definition| definition.access != Access::WriteOnly);
        told.map(|definition| (definition.name.to_owned(), self.core.value(definition, now))).collect()
    }

    /// A variable as a number.
    #[must_use]
    pub fn number(&self, variable: &str) -> u64 {
        self.core.variables.number(variable)
    }

    /// Seconds that the CSMS has for an answer.
    #[must_use]
    pub fn message_timeout_s(&self) -> u64 {
        let variable = || self.core.variables.number(name::MESSAGE_TIMEOUT).max(1);
        self.core.networks.message_timeout_s().unwrap_or_else(variable)
    }

    /// Up to which line of the book the CSMS has everything, and how many wait.
    #[must_use]
    pub fn told(&self) -> (u64, u32) {
        let delivery = &self.core.delivery;
        (delivery.progress().acknowledged, u32::try_from(delivery.waiting()).unwrap_or(u32::MAX))
    }

    /// Where the registration stands.
    #[must_use]
    pub fn registration(&self) -> Registration {
        self.registration
    }
}
