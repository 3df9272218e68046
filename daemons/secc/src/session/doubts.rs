//! Contracts that lead to no root of ours, which the back end is asked to judge where it may
//! (OCPP 2.0.1 part 2, C07.FR.06). Nobody hears of such a contract as one before it has.

use std::sync::Arc;

use voltry_units::Timestamp;

use super::{Event, Session};
use crate::contract::Proven;
use crate::pushed::Pushed;

/// Contracts that a vehicle may have judged in a conversation: it has one, in ISO 15118-20 perhaps another to
/// try. The back end is not to be asked for ever.
const DOUBTS_MAX: u8 = 4;

/// The contract that waits for the back end's word.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    open: Option<(u64, Proven)>,
    count: u8,
}

impl Session {
    /// The vehicle has proved that it holds a contract's key.
    pub(super) fn note_contract(&mut self, now: Timestamp, proven: &Proven) {
        if proven.rooted {
            self.doubts.open = None;
            return self.tell_contract(proven);
        }
        let known = self.doubts.open.as_ref().is_some_and(|(_, open)| open == proven);
        if known {
            return;
        }
        self.doubts.open = None;
        if self.doubts.count >= DOUBTS_MAX {
            return;
        }
        self.doubts.count += 1;
        let id = now.as_micros();
        self.doubts.open = Some((id, proven.clone()));
        self.events.push_back(Event::ContractDoubted { id, contract: proven.clone() });
    }

    /// What the back end says of the contract that waits.
    pub(super) fn judged(&self, pushed: &Pushed) -> Option<bool> {
        let (open, _) = self.doubts.open.as_ref()?;
        pushed.judgement.filter(|(id, _)| id == open).map(|(_, believed)| believed)
    }

    /// A contract that the back end believes is one like any other.
    pub(super) fn heed_judgement(&mut self, pushed: &Pushed) {
        if self.judged(pushed) == Some(true)
            && let Some((_, proven)) = self.doubts.open.clone()
        {
            self.tell_contract(&proven);
        }
    }

    fn tell_contract(&mut self, proven: &Proven) {
        if self.contract.as_ref() != Some(&proven.emaid) {
            self.contract = Some(Arc::clone(&proven.emaid));
            self.events.push_back(Event::Contract(proven.clone()));
        }
    }
}
