//! What the pages know of the station: a mirror of a few objects on the bus.

mod latency;
mod mirror;

use std::collections::BTreeMap;
use std::time::Duration;

use voltry_bus::{
    Connector, CsmsState, DisplayMessage, DriverText, EvseState, EvseStatus, PowerShare, Transaction,
};
use voltry_units::Timestamp;

pub(crate) use latency::{Histogram, Latencies};
pub(crate) use mirror::{Mirror, station};

/// What was seen last. What does not answer is not there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The station; `None`: it does not answer.
    pub station: Option<Station>,
    /// Whether the station has an uplink.
    pub has_uplink: bool,
    /// Where the uplink stands; `None`: it does not answer.
    pub csms: Option<CsmsState>,
    /// Messages of transactions that wait for the back end, if the uplink says so.
    pub waiting: Option<u32>,
    /// What the back end wants people to read.
    pub messages: Vec<DisplayMessage>,
    /// What it wants the driver at an EVSE to read.
    pub drivers: Vec<DriverText>,
    /// What the vehicles say of themselves, by EVSE.
    pub vehicles: BTreeMap<u32, Vehicle>,
    /// The transaction that ended last, by EVSE.
    pub ended: BTreeMap<u32, Transaction>,
    /// Cards that let nobody in just now, by EVSE; 0: shown to a reader of several.
    pub refused: BTreeMap<u32, Refused>,
    /// How many ended since somebody looks, by EVSE.
    pub tally: BTreeMap<u32, Tally>,
}

/// A card that lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// When that was told.
    pub at: Timestamp,
    /// How many of the EVSEs that it was for had let somebody in already.
    pub let_in: usize,
}

impl Refused {
    /// Whether it is to be said no more: whoever showed it has read it, or was let in with another.
    fn is_over(&self, now: Timestamp, let_in: usize) -> bool {
        now.since(self.at) >= READ || let_in > self.let_in
    }
}

/// Why a card lets nobody in, as `Station1.TokenRefused` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It may not charge here.
    NotAccepted,
    /// Nobody could judge it now.
    NotJudged,
    /// It may charge, but not here and now.
    NoPlace,
    /// A code that is nobody's.
    WrongCode,
    /// Too many of them: none is judged for some minutes.
    TooManyCodes,
}

impl Refusal {
    /// Of the station's word; what this screen does not know says the least.
    fn of(word: &str) -> Self {
        match word {
            "not-judged" => Self::NotJudged,
            "no-place" => Self::NoPlace,
            "wrong-code" => Self::WrongCode,
            "too-many-codes" => Self::TooManyCodes,
            _ => Self::NotAccepted,
        }
    }
}

/// For so long a screen says that a card was refused.
const READ: Duration = Duration::from_secs(12);

/// Where something is wrong nobody knows when a driver unplugged: for so long a receipt is for somebody who may
/// still be there.
const STAYS: Duration = Duration::from_secs(300);

/// Whether the driver has left who charged until so many microseconds ago where the EVSE is in this state.
fn has_left(state: &str, ago: i64) -> bool {
    match state.parse::<EvseState>() {
        Ok(EvseState::Available) => true,
        Ok(EvseState::ErrorShutdown | EvseState::Emergency | EvseState::Faulted) | Err(_) => {
            u64::try_from(ago).is_ok_and(|ago| Duration::from_micros(ago) > STAYS)
        }
        Ok(
            EvseState::Starting
            | EvseState::Unavailable
            | EvseState::Connected
            | EvseState::Authorizing
            | EvseState::Parameters
            | EvseState::CableCheck
            | EvseState::PreCharge
            | EvseState::Charging
            | EvseState::Paused
            | EvseState::Stopping
            | EvseState::Finished,
        ) => false,
    }
}

/// Transactions that ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// With energy.
    pub delivered: u64,
    /// Without any.
    pub without: u64,
}

/// What `Station1` tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Station {
    /// Its name.
    pub name: String,
    /// The EVSEs as the station sees them.
    pub evses: Vec<EvseStatus>,
    /// As a driver meets them.
    pub connectors: Vec<Connector>,
    /// What each may take.
    pub shares: Vec<PowerShare>,
    /// Whether whoever has shown a master pass is asked which charge he means.
    pub master_pass_asked: bool,
}

/// What a vehicle says of itself, as far as a driver is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Vehicle {
    /// Watt-hours that its battery holds; 0: it did not say.
    pub capacity: f64,
    /// The state of charge that it wants, percent; below 0: it did not say.
    pub wanted: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_left_to_nobody_who_comes_after() {
        let minutes = |minutes: i64| minutes * 60_000_000;
        assert!(has_left("available", 0));
        for wrong in ["faulted", "emergency", "error-shutdown", "absent"] {
            assert!(!has_left(wrong, minutes(4)) && has_left(wrong, minutes(6)), "{wrong}");
            assert!(!has_left(wrong, minutes(-60)), "a clock that was set back says nothing");
        }
        assert!(!has_left("finished", minutes(600)), "the plug is in");
    }

    #[test]
    fn a_refused_card_is_told_until_it_was_read_or_another_is_let_in() {
        let at = |ms: u64| Timestamp::from_micros(ms * 1000);
        let refused = Refused { why: Refusal::of("not-judged"), at: at(1000), let_in: 1 };
        assert_eq!(refused.why, Refusal::NotJudged);
        assert!(!refused.is_over(at(12_999), 1) && !refused.is_over(at(1000), 0));
        assert!(refused.is_over(at(13_000), 1) && refused.is_over(at(1500), 2));
        assert_eq!(Refusal::of("a word of a later station"), Refusal::NotAccepted);
    }
}
