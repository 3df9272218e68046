//! Sessions, transactions and who may deliver.

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

use super::Fault;
use crate::SelfTestOutcome;

/// Leave to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct Permit {
    /// Whether this EVSE may deliver at all.
    pub allowed: bool,
    /// Its share of the station's power, watts.
    pub power: f64,
    /// Seconds from `sent_at` for which this holds.
    pub valid_for: f64,
    /// When it was sent.
    pub sent_at: u64,
}

/// What flows at an EVSE now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct Live {
    /// Rises by one a message.
    pub sequence: u64,
    /// Volts on the cable side.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Volts that the vehicle wants; 0 for none.
    pub target_voltage: f64,
    /// Amperes that the vehicle wants.
    pub target_current: f64,
    /// The vehicle's state of charge, percent; below 0: not told.
    pub soc: f64,
    /// Watt-hours of the session by the meter's register.
    pub energy: f64,
    /// When.
    pub at: u64,
}

/// A session, from plug to unplug. Times are CLOCK_BOOTTIME microseconds, 0 for "not yet".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct EvseSession {
    /// Its identity on this EVSE since boot; 0: there is none.
    pub id: u64,
    /// When the plug was seen.
    pub plugged_at: u64,
    /// When current first could flow.
    pub energised_at: u64,
    /// When delivery ended for good.
    pub ended_at: u64,
    /// The protocol spoken.
    pub protocol: String,
    /// Why delivery ended, in words.
    pub end_reason: String,
    /// When this was written.
    pub at: u64,
}

/// The evidence of how delivery ended in a session, or of what its conversation broke on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct EvseEnding {
    /// The state in which it came to that; empty: nothing has.
    pub phase: String,
    /// What was measured, or what the conversation ended with, in words.
    pub evidence: String,
}

/// What came of presenting a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AuthorizeOutcome {
    /// The EVSE it was for; 0 if none.
    pub evse: u32,
    /// `granted`, `refused`, `stopped`, or `remembered` where no vehicle is plugged in yet.
    pub outcome: String,
}

/// What came of a check of the self-test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CheckResult {
    /// How it ended.
    pub outcome: SelfTestOutcome,
    /// What was seen, in words.
    pub seen: String,
}

/// A transaction of the book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Transaction {
    /// Its number in the book.
    pub id: u64,
    /// The EVSE.
    pub evse: u32,
    /// Who is charged, masked.
    pub identity: String,
    /// `open` or `closed`.
    pub state: String,
    /// Microseconds of Unix time.
    pub started: i64,
    /// Microseconds of Unix time; 0 while open.
    pub ended: i64,
    /// Watt-hours, the meter's register at the start.
    pub register_start: f64,
    /// Watt-hours, the meter's register at the end, or so far.
    pub register_end: f64,
    /// Watt-hours delivered.
    pub energy: f64,
    /// Why it ended, in words.
    pub end_reason: String,
    /// What is particular about it, as a reading that is a stored one; empty if nothing is.
    pub note: String,
    /// One sentence for a technician: who ended it, in which phase, why, what to check.
    pub why: String,
}

/// A session that the flight recorder keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct RecordedSession {
    /// Its number in the recorder.
    pub number: u64,
    /// The EVSE.
    pub evse: u32,
    /// Its newest transaction; 0: none began.
    pub transaction: u64,
    /// Microseconds of Unix time.
    pub plugged: i64,
    /// Microseconds of Unix time; 0: not yet, or nobody saw it.
    pub unplugged: i64,
    /// One sentence for a technician; empty: delivery is not over.
    pub why: String,
    /// Entries and samples for which there was no room.
    pub left_out: u32,
}

/// Something that happened in a recorded session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct RecordedEntry {
    /// Microseconds of Unix time.
    pub time: i64,
    /// `phase`, `event`, `fault`, `cleared` or `told`.
    pub kind: String,
    /// Who says so: `station`, `evse`, or a device's path below `/org/voltry`.
    pub source: String,
    /// In words.
    pub text: String,
}

/// What flowed at one moment of a recorded session.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct RecordedSample {
    /// Microseconds of Unix time.
    pub time: i64,
    /// Volts on the cable side.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Volts that the vehicle wants.
    pub target_voltage: f64,
    /// Amperes that the vehicle wants.
    pub target_current: f64,
    /// Watts that the station lets it have.
    pub power_offered: f64,
    /// Percent; below 0: not told.
    pub soc: f64,
    /// Watt-hours of the session.
    pub energy: f64,
}

/// One event of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct BookEvent {
    /// Its number in the book.
    pub number: u64,
    /// Microseconds of Unix time.
    pub time: i64,
    /// `started`, `reading`, `ended`, …
    pub kind: String,
    /// Watt-hours, the meter's register.
    pub register: f64,
    /// In words.
    pub detail: String,
}

/// One EVSE at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct EvseStatus {
    /// Its number.
    pub evse: u32,
    /// An `EvseState`, or `absent` while its daemon is.
    pub state: String,
    /// In service.
    pub available: bool,
    /// Whether the session is authorized.
    pub authorized: bool,
    /// Volts.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Watts that it may take.
    pub share: f64,
    /// Watt-hours of the session.
    pub energy: f64,
    /// Percent; below 0: not told.
    pub soc: f64,
    /// The open transaction; 0: none.
    pub transaction: u64,
    /// Its faults.
    pub faults: Vec<Fault>,
}
