//! What the pages know of the station: a mirror of a few objects on the bus.

mod latency;
mod mirror;

use std::collections::BTreeMap;

use voltry_bus::{Connector, CsmsState, DisplayMessage, DriverText, EvseStatus, PowerShare, Transaction};

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
    /// How many ended since somebody looks, by EVSE.
    pub tally: BTreeMap<u32, Tally>,
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
}

/// What a vehicle says of itself, as far as a driver is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Vehicle {
    /// Watt-hours that its battery holds; 0: it did not say.
    pub capacity: f64,
    /// The state of charge that it wants, percent; below 0: it did not say.
    pub wanted: f64,
}
