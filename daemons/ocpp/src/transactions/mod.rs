//! From the lines of the station's book to OCPP's transaction messages. Pure.
//!
//! The state here is what the CSMS knows once it has acknowledged everything up to a line of the
//! book: it is stored together with that line's number, and the next line leads from it to the next
//! messages, always to the same ones. So nothing is lost, and nothing is told twice, whenever the
//! machine goes down.

mod event;
mod measurands;
mod v16;
mod v201;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Version;

pub(crate) use event::masked;
pub use event::{CENTRAL, Event, KEY_CODE, Kind, NO_AUTHORIZATION, Occasion, Reason, Sample, Signed, Token};
pub use measurands::{Context, Measurand, SIGNED_MAX};
pub(crate) use measurands::{v16 as meter_value_v16, v201 as meter_value_v201};
pub(crate) use v16::id_tag;
pub use v16::{Charges, Charging};
pub(crate) use v201::id_token;
pub use v201::{Plugged, Plugs, TxPoint};

/// Readings of a kind that a StopTransaction of 1.6 carries at the most; beyond, every second one goes,
/// but for the first and the last.
pub const STOP_READINGS_MAX: usize = 40;

/// What both versions' transactions are at, and how they are to be told.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Transactions {
    /// 1.6: by the book's transaction.
    #[serde(default)]
    pub charges: Charges,
    /// 2.0.1: by EVSE.
    #[serde(default)]
    pub plugged: Plugs,
}

impl Transactions {
    /// The EVSE and the plug-in of the transaction that a CSMS of 2.0.1 knows by this id.
    #[must_use]
    pub fn running(&self, id: &str) -> Option<(u32, &Plugged)> {
        let named = |plug: &Plugged| plug.running.as_ref().is_some_and(|running| running.id == id);
        self.plugged.iter().find(|(_, plug)| named(plug)).map(|(evse, plug)| (*evse, plug))
    }
}

/// A message of a transaction, ready to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// OCPP's action.
    pub action: &'static str,
    /// Its payload.
    pub payload: Value,
    /// What the answer is about.
    pub about: About,
}

/// What a transaction message's answer is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    /// 1.6: the answer brings the CSMS's number for the book's transaction, and judges the token.
    Start {
        /// The book's transaction.
        transaction: u64,
        /// Who.
        token: Option<Token>,
    },
    /// 2.0.1: the answer may judge the token.
    Event {
        /// Where.
        evse: u32,
        /// The book's transaction; 0 before there is one.
        transaction: u64,
        /// Who, if the message names him.
        token: Option<Token>,
        /// When it happened, microseconds of Unix time; 0 in a store from before it was kept.
        #[serde(default)]
        unix: i64,
    },
    /// 1.6: the answer judges the token for the next time.
    Stop {
        /// Who.
        token: Option<Token>,
    },
    /// The answer says nothing.
    Values,
    /// There is no way to send it: the CSMS never took the start of its transaction.
    Undeliverable,
}

/// How transactions are told: what the CSMS configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Of a periodic reading.
    pub sampled: Vec<Measurand>,
    /// Of a reading on the mark of the clock.
    pub aligned: Vec<Measurand>,
    /// At the start (2.0.1).
    pub started: Vec<Measurand>,
    /// At the end: of a StopTransaction's data (1.6), of the Ended event (2.0.1).
    pub ended: Vec<Measurand>,
    /// Of a StopTransaction's data, of the readings on the marks of the clock (1.6).
    pub ended_aligned: Vec<Measurand>,
    /// What the meter signed goes along (2.0.1).
    pub signs: bool,
    /// With the key that verifies it.
    pub public_key: PublicKey,
    /// 2.0.1's start points.
    pub start_points: Vec<TxPoint>,
    /// 2.0.1's stop points.
    pub stop_points: Vec<TxPoint>,
    /// Stands before the session's number in 2.0.1's transaction ids, so that no other station and
    /// no other book of this one ever uses the same.
    pub prefix: String,
}

/// When the key that verifies a signed reading goes along (2.0.1's PublicKeyWithSignedMeterValue).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKey {
    /// Never: the CSMS has it from elsewhere.
    Never,
    /// With the first signed reading of a transaction.
    OncePerTransaction,
    /// With each.
    EveryMeterValue,
}

impl PublicKey {
    /// By the specification's name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "EveryMeterValue" => Self::EveryMeterValue,
            "OncePerTransaction" => Self::OncePerTransaction,
            _ => Self::Never,
        }
    }
}

/// What the CSMS must hear of a line of the book, whose sample carries the time to tell.
/// `offline`: it happened while nobody listened.
#[must_use]
pub fn apply(
    state: &mut Transactions,
    version: Version,
    event: &Event,
    told: &Told,
    offline: bool,
) -> Option<Message> {
    match version {
        Version::V16 => v16::apply(&mut state.charges, event, told),
        Version::V201 => v201::apply(&mut state.plugged, event, told, offline),
    }
}
