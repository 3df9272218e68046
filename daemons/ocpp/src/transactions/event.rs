//! What the station's book says, in the words that transactions are built from.

use serde::{Deserialize, Serialize};
use voltry_units::Timestamp;

/// A line of the book.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number: from 1, in order, without gaps worth knowing.
    pub number: u64,
    /// Microseconds of Unix time, as the machine had it.
    pub unix: i64,
    /// The machine's time of day was set by then.
    pub clock_set: bool,
    /// When in this boot; `None` if it was in another.
    pub at: Option<Timestamp>,
    /// The EVSE.
    pub evse: u32,
    /// The plug-in: a number that the book never gives again.
    pub session: u64,
    /// The book's transaction; 0: none yet.
    pub transaction: u64,
    /// What happened.
    pub kind: Kind,
    /// Who, where somebody identified himself.
    pub token: Option<Token>,
    /// What was measured then.
    pub sample: Sample,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// The CSMS's number of the remote start that led to it.
    pub remote_start: Option<i64>,
    /// The reservation that it used up.
    pub reservation: Option<i64>,
    /// What a reading was for.
    pub occasion: Occasion,
    /// What the meter signed then.
    pub signed: Option<Box<Signed>>,
}

/// A reading as a meter signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// To the byte.
    pub data: String,
    /// As `OCMF`.
    pub format: String,
    /// The key that verifies it, as the meter tells it.
    pub public_key: String,
}

impl Event {
    /// Whether somebody ended the transaction by showing a token at the station, which this line names.
    #[must_use]
    pub const fn is_end_by_token(&self) -> bool {
        matches!(self.kind, Kind::Deauthorized | Kind::Ended)
            && matches!(self.reason, Some(Reason::Local | Reason::MasterPass))
    }
}

/// What a reading of the meter is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The interval is over.
    Interval,
    /// The mark of the clock.
    Clock,
    /// The CSMS asks (F06); it is in no book.
    Trigger,
    /// Somebody else than the CSMS changed what may be taken (K11, K13); it is in no book either.
    RateChanged,
}

impl Occasion {
    /// Whether the book has it.
    #[must_use]
    pub const fn is_booked(self) -> bool {
        match self {
            Self::Interval | Self::Clock => true,
            Self::Trigger | Self::RateChanged => false,
        }
    }
}

/// What can happen in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A vehicle was plugged in.
    Plugged,
    /// A driver was let in.
    Authorized,
    /// The transaction was opened; the register is its start.
    Started,
    /// Current flows.
    Charging,
    /// The vehicle takes nothing.
    SuspendedEv,
    /// The station gives nothing.
    SuspendedEvse,
    /// A reading of the meter.
    Reading,
    /// The driver may no longer charge.
    Deauthorized,
    /// The transaction was closed; the register is its end.
    Ended,
    /// The vehicle was unplugged.
    Unplugged,
    /// Nobody plugged in after the authorization.
    ConnectTimedOut,
    /// Something that is no part of a transaction.
    Other,
}

/// What the meter and the vehicle said.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Microseconds of Unix time, as the message will carry it.
    pub unix: i64,
    /// The meter's register, thousandths of a watt-hour, where it is known.
    pub register: Option<i64>,
    /// The meter's export register, thousandths of a watt-hour, where it is known and has counted.
    #[serde(default)]
    pub export: Option<i64>,
    /// Watts, amperes and volts, where they are known.
    pub power: Option<f64>,
    /// Amperes.
    pub current: Option<f64>,
    /// Volts.
    pub voltage: Option<f64>,
    /// Watts that the station lets the vehicle have.
    pub offered: Option<f64>,
    /// Percent, where the vehicle told it.
    pub soc: Option<f64>,
}

impl Sample {
    /// The register in whole watt-hours, as 1.6 starts and stops with it. Rounded down, like any
    /// meter's display: two roundings of one register agree.
    #[must_use]
    pub const fn whole_wh(&self) -> i64 {
        match self.register {
            Some(register) => register.div_euclid(1000),
            None => 0,
        }
    }
}

/// An id token and what kind of thing it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Token {
    /// As it was read.
    pub id: String,
    /// One of 2.0.1's IdTokenEnumType, as `ISO14443`.
    pub kind: String,
}

impl Token {
    /// What a log may show of it: nothing of a code (C04.FR.04).
    #[must_use]
    pub fn masked(&self) -> String {
        if self.kind == KEY_CODE { "…".to_owned() } else { masked(&self.id) }
    }
}

/// The kind of a code that is typed in.
pub const KEY_CODE: &str = "KeyCode";
/// The kind of what the back end makes.
pub const CENTRAL: &str = "Central";
/// The kind of no token at all.
pub const NO_AUTHORIZATION: &str = "NoAuthorization";

/// The last characters of an id: enough to tell two apart, not to use it. Nothing of what may be a code: 1.6 does
/// not say what is one.
pub(crate) fn masked(id: &str) -> String {
    if (4..=12).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return "…".to_owned();
    }
    let skip = id.chars().count().saturating_sub(2);
    format!("…{}", id.chars().skip(skip).collect::<String>())
}

/// Why a transaction ended: 2.0.1's ReasonEnumType as far as a DC station can say it, and 1.6's
/// SoftReset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the specification's words")]
pub enum Reason {
    DeAuthorized,
    EmergencyStop,
    EnergyLimitReached,
    EVDisconnected,
    GroundFault,
    ImmediateReset,
    Local,
    LocalOutOfCredit,
    MasterPass,
    Other,
    OvercurrentFault,
    PowerLoss,
    PowerQuality,
    Reboot,
    Remote,
    SOCLimitReached,
    SoftReset,
    StoppedByEV,
    TimeLimitReached,
    Timeout,
    UnlockCommand,
}
