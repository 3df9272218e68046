//! What stands in for a safety controller where there is none: from samples and requests to outputs, and
//! to the words that a controller would say. Pure, and polled every [`CYCLE`].
//!
//! ```text
//! contactors  Open ──requested, host heard, pilot C or D, nothing wrong──▶ Closed
//!               ▲                                                           │ pilot not C or D, emergency stop,
//!               │                                                           │ door, tilt or water, host silent
//!               └── no longer requested ── Dropped ◀────────────────────────┘ for 300 ms
//! ```
//! What opened by itself stays open until the request is withdrawn, whatever becomes of the reason.
//! This runs in a thread of its own, so it opens also while the daemon's control loop hangs; it cannot
//! do so while the whole process is stopped or dead.

use std::time::Duration;

use voltry_bus::{Alarm, Alarms, Lock, Pilot, PilotFault, PilotOutput};
use voltry_units::Timestamp;

use super::debounce::Debounced;
use super::pilot::{Levels, Reading};
use crate::message::{ChargeState, Contactor, ProximityCode};
use crate::wanted::Wanted;

/// Between two samples.
pub(super) const CYCLE: Duration = Duration::from_millis(10);
/// A host that asked for nothing for so long is gone. It asks every 100 ms.
const HOST_SILENT: Duration = Duration::from_millis(300);
/// For so long after the pilot's output changed its levels belong to neither: the peaks are those of
/// whole periods, and of a reading that was under way.
const PILOT_SETTLES: Duration = Duration::from_millis(20);
/// Contacts bounce for some milliseconds.
const FEEDBACK_BOUNCES: Duration = Duration::from_millis(10);
/// One disturbed sample is no emergency; two in a row are. Less than a cycle: two samples may be somewhat
/// closer than that, and a third would be 10 ms lost.
const STOP_BOUNCES: Duration = Duration::from_millis(5);
/// Doors rattle, floats bob.
const ALARM_BOUNCES: Duration = Duration::from_millis(50);
/// The same is told again this often.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What the inputs show, at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) levels: Levels,
    /// The feedback of each contactor, closed or open; `None` where none is fitted.
    pub(super) closed: [Option<bool>; 3],
    /// Pressed; `None` without such an input.
    pub(super) emergency_stop: Option<bool>,
    /// As far as they are fitted.
    pub(super) alarms: Alarms,
    /// Locked; `None` without a lock.
    pub(super) locked: Option<bool>,
}

/// How to drive the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outputs {
    pub(super) pilot: PilotOutput,
    pub(super) close: bool,
    pub(super) lock: Motor,
    /// Whether all is well: then the watchdog's line is toggled.
    pub(super) alive: bool,
}

impl Outputs {
    /// Contactors open, pilot at −12 V, nothing moves, and the hardware's watchdog is left to act.
    pub(super) const SAFE: Self =
        Self { pilot: PilotOutput::F, close: false, lock: Motor::Rests, alive: false };
}

/// The lock's motor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Motor {
    Rests,
    Locks,
    Unlocks,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contacts {
    Open,
    Closed,
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bolt {
    /// Where it is found.
    Untouched,
    Moving {
        to: bool,
        until: Timestamp,
    },
    Moved {
        to: bool,
    },
}

/// The wires of one connector.
#[derive(Debug)]
pub(super) struct Wires {
    lock_time: Duration,
    contacts: Contacts,
    bolt: Bolt,
    driven: PilotOutput,
    driven_since: Timestamp,
    pilot: Debounced<Reading>,
    stop: Debounced<bool>,
    /// Each of [`Alarm::ALL`] by itself: a float that bobs holds up no door. `None`: not known yet.
    alarms: [Debounced<Option<bool>>; Alarm::ALL.len()],
    closed: [Debounced<Option<bool>>; 3],
    told: Option<(ChargeState, Timestamp)>,
}

impl Wires {
    /// `pilot_bounces`: for how long a pilot state must stand; `lock_time`: for how long the lock's motor
    /// is driven.
    pub(super) const fn new(pilot_bounces: Duration, lock_time: Duration, now: Timestamp) -> Self {
        Self {
            lock_time,
            contacts: Contacts::Open,
            bolt: Bolt::Untouched,
            driven: PilotOutput::F,
            driven_since: now,
            pilot: Debounced::new(Reading::UNKNOWN, pilot_bounces),
            // Until it is seen released.
            stop: Debounced::new(true, STOP_BOUNCES),
            alarms: [Debounced::new(None, ALARM_BOUNCES); Alarm::ALL.len()],
            closed: [Debounced::new(None, FEEDBACK_BOUNCES); 3],
            told: None,
        }
    }

    /// Takes a sample and what the host wanted last, and when that was. How to drive the outputs now, and
    /// what is to be told.
    #[must_use]
    pub(super) fn step(
        &mut self,
        now: Timestamp,
        (wanted, wanted_at): (Wanted, Timestamp),
        sample: Sample,
    ) -> (Outputs, Option<ChargeState>) {
        self.take(now, sample);
        let alive = now.since(wanted_at) < HOST_SILENT;
        // A host that comes back must first withdraw what it asked for before.
        self.move_contacts(wanted.close, alive);
        let wanted = if alive { wanted } else { Wanted::SAFE };
        let lock = self.move_bolt(now, wanted.lock, sample);
        if self.driven != wanted.pilot {
            self.driven = wanted.pilot;
            self.driven_since = now;
        }
        let outputs = Outputs { pilot: self.driven, close: self.contacts == Contacts::Closed, lock, alive };
        (outputs, self.tell(now, sample))
    }

    fn take(&mut self, now: Timestamp, sample: Sample) {
        if now.since(self.driven_since) >= PILOT_SETTLES {
            let before = self.pilot.get().pilot;
            self.pilot.take(Reading::of(self.driven, sample.levels, before), now);
        }
        self.stop.take(sample.emergency_stop.unwrap_or(false), now);
        for (input, alarm) in self.alarms.iter_mut().zip(Alarm::ALL) {
            input.take(Some(sample.alarms.contains(*alarm)), now);
        }
        for (contactor, closed) in self.closed.iter_mut().zip(sample.closed) {
            contactor.take(closed, now);
        }
    }

    fn may_close(&self) -> bool {
        let Reading { pilot, fault } = self.pilot.get();
        matches!(pilot, Pilot::C | Pilot::D)
            && fault == PilotFault::None
            && !self.stop.get()
            && !self.is_cabinet_unsafe()
    }

    /// `None` before each input has stood for the first time.
    fn alarms(&self) -> Option<Alarms> {
        let mut inputs = self.alarms.iter().zip(Alarm::ALL);
        inputs.try_fold(Alarms::default(), |alarms, (input, alarm)| Some(alarms.set(*alarm, input.get()?)))
    }

    /// Cooling is the energy path's to judge, which lets the current fall first.
    fn is_cabinet_unsafe(&self) -> bool {
        self.alarms().is_none_or(|alarms| !alarms.set(Alarm::CoolingFailed, false).is_empty())
    }

    fn move_contacts(&mut self, requested: bool, alive: bool) {
        self.contacts = match (self.contacts, requested, alive && self.may_close()) {
            (_, false, _) => Contacts::Open,
            (Contacts::Open | Contacts::Closed, true, true) => Contacts::Closed,
            // What was asked for too early is not kept for later.
            (Contacts::Open | Contacts::Closed, true, false) | (Contacts::Dropped, true, _) => {
                Contacts::Dropped
            }
        };
    }

    fn move_bolt(&mut self, now: Timestamp, wanted: Option<bool>, sample: Sample) -> Motor {
        if sample.locked.is_none() {
            return Motor::Rests;
        }
        // A plug under voltage is never let go: not as long as any sample says so.
        let seen_closed = |closed: &Debounced<_>| closed.get() == Some(true);
        let live = self.contacts == Contacts::Closed
            || self.closed.iter().any(seen_closed)
            || sample.closed.contains(&Some(true));
        // What may not begin is not late either.
        let wanted = wanted.filter(|to| *to || !live);
        match (self.bolt, wanted) {
            (Bolt::Moving { to: false, .. }, None) if live => {
                self.bolt = Bolt::Moving { to: false, until: now + self.lock_time };
            }
            (Bolt::Untouched, Some(to)) => self.bolt = Bolt::Moving { to, until: now + self.lock_time },
            (Bolt::Moving { to: moving, .. } | Bolt::Moved { to: moving }, Some(to)) if to != moving => {
                self.bolt = Bolt::Moving { to, until: now + self.lock_time };
            }
            (Bolt::Moving { to, until }, _) if now >= until => self.bolt = Bolt::Moved { to },
            (Bolt::Untouched | Bolt::Moving { .. } | Bolt::Moved { .. }, _) => {}
        }
        match self.bolt {
            Bolt::Moving { to: true, .. } => Motor::Locks,
            Bolt::Moving { to: false, .. } if !live => Motor::Unlocks,
            Bolt::Moving { to: false, .. } | Bolt::Untouched | Bolt::Moved { .. } => Motor::Rests,
        }
    }

    fn lock(&self, locked: Option<bool>) -> Lock {
        match (locked, self.bolt) {
            (None, _) => Lock::NotFitted,
            (Some(_), Bolt::Moving { .. }) => Lock::Moving,
            (Some(locked), Bolt::Moved { to }) if locked != to => Lock::Fault,
            (Some(true), _) => Lock::Locked,
            (Some(false), _) => Lock::Unlocked,
        }
    }

    fn tell(&mut self, now: Timestamp, sample: Sample) -> Option<ChargeState> {
        let Reading { pilot, fault } = self.pilot.get();
        let alarms = self.alarms()?;
        let state = ChargeState {
            pilot,
            pilot_fault: fault,
            proximity: ProximityCode::None,
            contactors: self.closed.map(|closed| match closed.get() {
                None => Contactor::Unused,
                Some(true) => Contactor::Closed,
                Some(false) => Contactor::Open,
            }),
            emergency_stop: self.stop.get(),
            alarms,
            lock: self.lock(sample.locked),
            safe_state: None,
        };
        let due = self.told.is_none_or(|(told, at)| told != state || now.since(at) >= TELL_EVERY);
        // Before the pilot has stood for the first time nothing is known.
        if !due || pilot == Pilot::Unknown {
            return None;
        }
        self.told = Some((state, now));
        Some(state)
    }
}

#[cfg(test)]
mod tests;
