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
    /// What came of a maker's own message.
    TransferStatus {
        /// It was understood.
        Accepted = "accepted",
        /// It was, and is not wanted.
        Rejected = "rejected",
        /// The vendor has no such message.
        UnknownMessage = "unknown-message",
        /// Nobody is that vendor.
        UnknownVendor = "unknown-vendor",
    }
}

words! {
    /// How the installation of a firmware ended.
    UpdateOutcome {
        /// The new version runs.
        Installed = "installed",
        /// It runs after a restart.
        RestartNeeded = "restart-needed",
        /// The bundle is damaged as far as the installer tells, or signed by nobody that is believed.
        Invalid = "invalid",
        /// Anything else; the old version runs on.
        Failed = "failed",
    }
}

words! {
    /// What is thought of the last update of the firmware.
    UpdateVerdict {
        /// There was none.
        None = "none",
        /// It runs, and is not yet known to charge.
        OnTrial = "on-trial",
        /// It charges.
        Good = "good",
        /// It did not; the version from before runs.
        FellBack = "fell-back",
        /// The power went while it was being written; the version from before runs.
        Interrupted = "interrupted",
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
        /// The station was reset in an orderly way, as asked.
        SoftReset = "soft-reset",
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
        /// It may not, and ends what others charge: a master pass (no word of OCPP's own).
        MasterPass = "master-pass",
    }
}

words! {
    /// What concerns security and is seen elsewhere than at the uplink (OCPP 2.0.1 part 2, appendix 1).
    SecurityNote {
        /// A technician was let in where the station is serviced.
        LoginAccepted = "login-accepted",
        /// Somebody was not.
        LoginFailed = "login-failed",
        /// The station was opened or meddled with.
        Tampering = "tampering",
    }
}

words! {
    /// What came of a wish to reserve (OCPP 2.0.1 ReserveNowStatusEnumType).
    ReserveOutcome {
        /// It is held.
        Accepted = "accepted",
        /// The EVSE is faulted.
        Faulted = "faulted",
        /// The EVSE is taken or reserved.
        Occupied = "occupied",
        /// Its time is over already, or too many are held.
        Rejected = "rejected",
        /// The EVSE is out of service.
        Unavailable = "unavailable",
    }
}

words! {
    /// An EVSE as a driver meets it (OCPP 1.6 ChargePointStatus).
    ConnectorUse {
        /// Free.
        Available = "available",
        /// Plugged in, or somebody is let in.
        Preparing = "preparing",
        /// Current flows.
        Charging = "charging",
        /// The vehicle wants no current.
        SuspendedEv = "suspended-ev",
        /// The station gives no current.
        SuspendedEvse = "suspended-evse",
        /// Over, and still plugged in.
        Finishing = "finishing",
        /// Held for somebody.
        Reserved = "reserved",
        /// Out of service, or its daemon is away.
        Unavailable = "unavailable",
        /// Off, with a fault.
        Faulted = "faulted",
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

/// What had come back from vehicles when an event happened.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct EventExport {
    /// The event's number in the book.
    pub number: u64,
    /// Watt-hours, the meter's export register.
    pub register: f64,
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

/// A message between station and back end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CsmsMessage {
    /// From 1, without gaps.
    pub number: u64,
    /// Microseconds of Unix time.
    pub time: i64,
    /// The station said it.
    pub outgoing: bool,
    /// As on the wire, masked.
    pub text: String,
}

/// A charging profile that is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CsmsProfile {
    /// The EVSE; 0: the station.
    pub evse: u32,
    /// Who set it: `EMS`, `Other`, `SO` or `CSO`.
    pub source: String,
    /// JSON, as OCPP 2.0.1 writes a `ChargingProfileType`.
    pub profile: String,
}

/// From when on how much may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct SchedulePeriod {
    /// Seconds from now.
    pub from: i64,
    /// Watts.
    pub power: f64,
}

/// What came of showing a token, or of a remote start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct StartOutcome {
    /// The EVSE it was for; 0 if none.
    pub evse: u32,
    /// `granted`, `refused`, `stopped`, or `remembered` where no vehicle is plugged in yet.
    pub outcome: String,
    /// Why it was refused, in words.
    pub detail: String,
}

/// What a meter read last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct MeterValues {
    /// Microseconds of Unix time.
    pub time: i64,
    /// Whether the clock was right at that time.
    pub clock_set: bool,
    /// Watt-hours, the import register.
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
}

/// An EVSE as a driver meets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct Connector {
    /// Its number.
    pub evse: u32,
    /// A [`ConnectorUse`].
    pub state: String,
    /// Since when, microseconds of Unix time.
    pub since: i64,
    /// The open transaction; 0: none.
    pub transaction: u64,
    /// The id of the reservation that holds it; empty: none.
    pub reservation: String,
    /// Watts that it may have at the most.
    pub limit: f64,
    /// Who says so: `hardware`, or an origin of `SetLimit`.
    pub limit_origin: String,
}

/// A place where a version of the firmware can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct UpdateSlot {
    /// As the installer names it.
    pub name: String,
    /// It runs.
    pub booted: bool,
    /// The machine may be started from it.
    pub good: bool,
    /// Of the bundle that was put there; empty: not known.
    pub version: String,
}

/// A message of the back end for people at the station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct DisplayMessage {
    /// The back end's number of it.
    pub id: i64,
    /// `always-front`, `in-front` or `normal-cycle`.
    pub priority: String,
    /// `charging`, `faulted`, `idle`, `unavailable`; empty: always.
    pub state: String,
    /// `ASCII` or `UTF8`.
    pub format: String,
    /// As RFC 5646 writes it; empty: not said.
    pub language: String,
    /// The text.
    pub content: String,
    /// Only for whoever charges there; 0: for everybody.
    pub evse: u32,
}

/// What a driver is to read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct DriverText {
    /// Where; 0: not known yet.
    pub evse: u32,
    /// In the back end's currency; below 0: not said.
    pub cost: f64,
    /// Empty: nothing.
    pub text: String,
}

/// A limit that was set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct PowerLimit {
    /// The EVSE; 0: all together.
    pub evse: u32,
    /// Who set it.
    pub origin: String,
    /// Watts.
    pub power: f64,
    /// Until when, microseconds of Unix time; 0: until it is replaced.
    pub expires: i64,
}

/// What limits all EVSEs together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct PowerSource {
    /// `configuration`, `grid`, `temperature`, or an origin of `SetLimit`.
    pub source: String,
    /// Watts that the station may take from the mains.
    pub power: f64,
    /// What that is at the EVSEs' outputs, watts.
    pub output: f64,
    /// What is particular about it, in words.
    pub detail: String,
}

/// What an EVSE may take, and why it is no more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct PowerShare {
    /// Its number.
    pub evse: u32,
    /// Watts that it was told.
    pub permit: f64,
    /// Watts that it is to have.
    pub share: f64,
    /// Watts that its vehicle would use.
    pub wants: f64,
    /// What holds the share down.
    pub source: String,
    /// How, in words.
    pub detail: String,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct Reservation {
    /// As the back end wrote it.
    pub id: String,
    /// The EVSE; 0: one of those that are free.
    pub evse: u32,
    /// For whom, masked.
    pub identity: String,
    /// Microseconds of Unix time.
    pub expires: i64,
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
