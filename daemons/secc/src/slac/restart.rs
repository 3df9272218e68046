//! From the link to its loss: how a vehicle is started anew by its pilot, and when.

use std::time::Duration;

use voltry_bus::PilotOutput;
use voltry_units::Timestamp;

use super::wire::{Mac, STEP_EF};
use super::{Cause, Event, Phase, Slac};

/// State E or F lasts this long: T_step_EF, and what the way to the pilot may take away from it.
const EF: Duration = STEP_EF.saturating_add(Duration::from_millis(500));
/// X1 before it lasts this long: T_step_X1, 3 s, and as much more. The vehicle leaves the network, and sees an end
/// of the offer.
const X1: Duration = Duration::from_millis(3500);

impl Slac {
    /// The vehicle paused its session: its modem may sleep, and finds its network as it left it.
    pub fn let_sleep(&mut self) {
        self.asleep = true;
    }

    pub(super) fn linked(&mut self, now: Timestamp, vehicle: Mac) {
        let first_word_by = (!self.engaged).then_some(now + self.matching.first_word);
        self.phase = Phase::Linked { vehicle, since: now, first_word_by };
        self.modem.keep_link(now);
        self.tell(Event::LinkUp(vehicle, now.since(self.offered_at)));
    }

    /// The vehicle joined, and begins no conversation. At last it is left in the network: late is
    /// better than never.
    pub(super) fn without_a_word(&mut self, now: Timestamp) {
        if self.tries < self.matching.retries {
            return self.reinitialise(now, Cause::Mute);
        }
        if let Phase::Linked { first_word_by, .. } = &mut self.phase {
            *first_word_by = None;
        }
        self.tell(Event::Unmatched(Cause::Mute, None));
    }

    /// Starts the vehicle anew by its pilot, under a new key, or gives that up.
    pub(super) fn reinitialise(&mut self, now: Timestamp, cause: Cause) {
        let was_linked = matches!(self.phase, Phase::Linked { .. });
        if let Phase::Joining { vehicle, .. } | Phase::Linked { vehicle, .. } = self.phase {
            self.tell(Event::LinkLost(vehicle));
        }
        self.runs.clear();
        self.engaged = false;
        self.asleep = false;
        self.modem.want_key();
        self.tries += 1;
        if self.tries > self.matching.retries {
            self.phase = Phase::Matching { heard: false, until: None };
            self.tell(Event::Unmatched(cause, None));
            return;
        }
        self.tell(Event::Unmatched(cause, Some(self.tries)));
        if was_linked {
            self.phase = Phase::Leaving { until: now + X1 };
            self.tell(Event::Pilot(PilotOutput::X1));
        } else {
            self.step_to_f(now);
        }
    }

    pub(super) fn step_to_f(&mut self, now: Timestamp) {
        self.phase = Phase::Reinitialising { until: now + EF };
        self.tell(Event::Pilot(PilotOutput::F));
    }
}
