//! What the book, the uplink to the back end and the station tell one another.

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

words! {
    /// What an event of the book tells.
    EventKind {
        /// A vehicle is plugged in.
        Plugged = "plugged",
        /// Somebody may charge.
        Authorized = "authorized",
        /// The transaction began.
        Started = "started",
        /// Current flows.
        Charging = "charging",
        /// The vehicle wants no current.
        SuspendedEv = "suspended-ev",
        /// The station gives no current.
        SuspendedEvse = "suspended-evse",
        /// A reading at its interval.
        Reading = "reading",
        /// A reading on the mark of the clock.
        ClockReading = "clock-reading",
        /// Whoever was let in wants it over, or the back end does.
        Deauthorized = "deauthorized",
        /// The transaction ended.
        Ended = "ended",
        /// The vehicle is gone: the session is over.
        Unplugged = "unplugged",
        /// Nobody plugged in in time: the session is over.
        ConnectTimedOut = "connect-timed-out",
    }
}

words! {
    /// Why a transaction ended (OCPP 2.0.1 ReasonEnumType, and what OCPP 1.6 has besides).
    EndReason {
        /// It has not.
        None = "none",
        /// The back end no longer lets this token charge.
        Deauthorized = "deauthorized",
        /// The emergency stop.
        EmergencyStop = "emergency-stop",
        /// The energy that was agreed is delivered.
        EnergyLimitReached = "energy-limit-reached",
        /// The vehicle was unplugged.
        EvDisconnected = "ev-disconnected",
        /// The insulation failed.
        GroundFault = "ground-fault",
        /// The station was reset at once, as asked.
        ImmediateReset = "immediate-reset",
        /// By the driver, at the station.
        Local = "local",
        /// The driver's credit at the station is used up.
        LocalOutOfCredit = "local-out-of-credit",
        /// By a token that may stop every transaction.
        MasterPass = "master-pass",
        /// Something else; the event's detail says what.
        Other = "other",
        /// Too much current.
        OvercurrentFault = "overcurrent-fault",
        /// The station lost its power.
        PowerLoss = "power-loss",
        /// The mains are not fit to charge from.
        PowerQuality = "power-quality",
        /// The station started anew.
        Reboot = "reboot",
        /// By the back end, or through it.
        Remote = "remote",
        /// The state of charge that was agreed is reached.
        SocLimitReached = "soc-limit-reached",
        /// By the vehicle.
        StoppedByEv = "stopped-by-ev",
        /// The time that was agreed is over.
        TimeLimitReached = "time-limit-reached",
        /// The vehicle did not come so far in time.
        Timeout = "timeout",
        /// The plug was unlocked by the back end.
        UnlockCommand = "unlock-command",
    }
}

words! {
    /// What kind of id token it is (OCPP 2.0.1 IdTokenEnumType).
    TokenKind {
        /// An RFID card (ISO 14443).
        Iso14443 = "iso14443",
        /// An RFID card (ISO 15693).
        Iso15693 = "iso15693",
        /// A contract of Plug & Charge.
        Emaid = "emaid",
        /// Made by the back end, as for a start by an app.
        Central = "central",
        /// Typed in by the driver.
        KeyCode = "key-code",
        /// Made by the station.
        Local = "local",
        /// The vehicle's own address (AutoCharge).
        MacAddress = "mac-address",
        /// None is wanted.
        NoAuthorization = "no-authorization",
    }
}

words! {
    /// Whether a token may charge (OCPP 2.0.1 AuthorizationStatusEnumType).
    TokenStatus {
        /// It may.
        Accepted = "accepted",
        /// It is blocked.
        Blocked = "blocked",
        /// It charges elsewhere.
        ConcurrentTx = "concurrent-tx",
        /// Its time is over.
        Expired = "expired",
        /// It is none.
        Invalid = "invalid",
        /// Nothing is left on its account.
        NoCredit = "no-credit",
        /// Not at an EVSE of this type.
        NotAllowedTypeEvse = "not-allowed-type-evse",
        /// Not here.
        NotAtThisLocation = "not-at-this-location",
        /// Not now.
        NotAtThisTime = "not-at-this-time",
        /// Nobody knows it.
        Unknown = "unknown",
    }
}

words! {
    /// Where the connection to the back end stands.
    CsmsState {
        /// No profile is configured.
        Disabled = "disabled",
        /// Waiting for the next attempt.
        Disconnected = "disconnected",
        /// An attempt is under way.
        Connecting = "connecting",
        /// Connected, not yet accepted.
        Booting = "booting",
        /// The back end wants to configure first.
        Pending = "pending",
        /// The back end wants nothing of us.
        Rejected = "rejected",
        /// All is well.
        Accepted = "accepted",
    }
}

/// One event of a session. Ids that a back end made are carried as it wrote them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct SessionEvent {
    /// Its number in the book.
    pub number: u64,
    /// Microseconds of Unix time, as the clock stood.
    pub time: i64,
    /// Whether the clock was right at that time.
    pub clock_set: bool,
    /// The kernel's id of the boot.
    pub boot: String,
    /// When in that boot, `CLOCK_BOOTTIME` microseconds.
    pub at: u64,
    /// The EVSE.
    pub evse: u32,
    /// The session, a number of the book.
    pub session: u64,
    /// The transaction; 0: none yet.
    pub transaction: u64,
    /// What happened.
    pub kind: EventKind,
    /// The whole id token of who was let in; empty: nobody yet, or vending is free.
    pub token: String,
    /// Its kind.
    pub token_kind: TokenKind,
    /// Its group; empty: none.
    pub group: String,
    /// The back end's id of its request to start; empty: none.
    pub remote_start: String,
    /// The id of the reservation that was used; empty: none.
    pub reservation: String,
    /// Watt-hours, the meter's import register; below 0: not known.
    pub register: f64,
    /// Volts; below 0: not known, and neither are current and power.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Watts.
    pub power: f64,
    /// Watts that the station lets the vehicle have.
    pub power_offered: f64,
    /// Percent; below 0: not told.
    pub soc: f64,
    /// What the meter signed, to the byte; empty: nothing.
    pub signed: String,
    /// As `OCMF`.
    pub signed_format: String,
    /// The key that verifies it.
    pub public_key: String,
    /// Why it ended, or is to end.
    pub reason: EndReason,
    /// In words.
    pub detail: String,
}

/// Whether a token may charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct TokenAnswer {
    /// Whether it may, or why not.
    pub status: TokenStatus,
    /// Its group: another token of it may stop the session; empty: none.
    pub group: String,
    /// Who said so: `local-list`, `cache`, `csms` or `offline`.
    pub source: String,
    /// Microseconds of Unix time until which this may be believed; 0: not said.
    pub expires: i64,
    /// In words, for a person; empty: nothing.
    pub detail: String,
}

/// A setting of a daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// `boolean`, `integer`, `decimal`, `text`, `choice` or `list`.
    pub kind: String,
    /// As `s`, `W`; empty: none.
    pub unit: String,
    /// `read-only`, `read-write`, `write-only` or `restart`.
    pub access: String,
    /// Of a number; of a text or list, its length.
    pub minimum: f64,
    /// Of a number; of a text or list, its length.
    pub maximum: f64,
    /// The words that it may be.
    pub choices: Vec<String>,
    /// Who may write it: `csms`, `operator`.
    pub writers: Vec<String>,
    /// The value now; of a write-only one empty.
    pub value: String,
    /// What it is until somebody writes.
    pub default: String,
    /// The part of the station that it belongs to.
    pub component: String,
    /// What it does, in a sentence.
    pub about: String,
}
