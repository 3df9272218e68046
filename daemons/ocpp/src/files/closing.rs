//! Takes the EVSEs out of service for an update, and puts those back that it took.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use voltry_units::Timestamp;

/// How soon the station is told again what it did not do.
const AGAIN: Duration = Duration::from_secs(10);

/// What must outlive the machine: the EVSEs that were in service before.
pub(super) type Kept = BTreeSet<u32>;

/// An EVSE, and whether it is to be in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InService(pub u32, pub bool);

/// Which EVSEs are out of service for an update.
#[derive(Debug, Default)]
pub struct Closing {
    taken: Kept,
    /// What the station was told, and when to tell it again.
    told: BTreeMap<u32, (bool, Timestamp)>,
}

impl Closing {
    pub(super) fn new(taken: Kept) -> Self {
        Self { taken, told: BTreeMap::new() }
    }

    pub(super) const fn kept(&self) -> &Kept {
        &self.taken
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.told.values().map(|(_, again)| *again).min()
    }

    /// The CSMS itself decided about this EVSE (0: all): what it says holds afterwards.
    pub fn leave(&mut self, evse: u32) {
        self.taken.retain(|taken| evse != 0 && *taken != evse);
        self.told.retain(|told, _| evse != 0 && *told != evse);
    }

    /// What the station must be told, given which EVSEs are in service.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, close: bool, evses: &[InService]) -> Vec<InService> {
        let mut orders = Vec::new();
        for InService(evse, in_service) in evses {
            let told = self.told.get(evse).copied();
            let due = told.is_none_or(|(open, again)| open == close || now >= again);
            if close && *in_service {
                self.taken.insert(*evse);
                if due {
                    orders.push(InService(*evse, false));
                }
            } else if !close && self.taken.contains(evse) {
                // It is told at least once: an order to close may still be under way.
                if *in_service && told.is_some_and(|(open, _)| open) {
                    self.taken.remove(evse);
                    self.told.remove(evse);
                } else if due {
                    orders.push(InService(*evse, true));
                }
            } else {
                self.told.remove(evse);
            }
        }
        self.told.extend(orders.iter().map(|InService(evse, open)| (*evse, (*open, now + AGAIN))));
        orders
    }
}
