//! What the meters of EVSEs that nobody charges at say on the marks of the clock (J01; 1.6,
//! ClockAlignedDataInterval), and when the CSMS asks (F06). What a transaction's meter says then is in the
//! station's book.
//!
//! While the CSMS is away they wait, of each EVSE [`WAITING_MAX`] at the most: beyond, every second one
//! goes, but for the first and the last. They are nobody's bill, and a restart forgets them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::*;
use crate::transactions::{Context, Measurand, Sample};

/// Values of an EVSE that wait for the CSMS.
const WAITING_MAX: usize = 96;
/// Values in one message.
const AT_ONCE: usize = 10;
/// A value counts for its mark if the mark is seen so soon.
const LATE: i64 = 2_000_000;

/// What waits.
#[derive(Debug, Default)]
pub(super) struct IdleValues {
    /// The mark that was passed last, and the interval it is one of; microseconds.
    passed: Option<(i64, i64)>,
    /// Meters that are being read: by ticket, where and what for.
    reading: BTreeMap<u64, (u32, Wanted)>,
    waiting: BTreeMap<u32, VecDeque<Sample>>,
}

/// What a meter is read for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    /// A mark of the clock, microseconds of Unix time.
    Mark(i64),
    /// The CSMS has asked.
    Trigger,
}

impl IdleValues {
    fn keep(&mut self, evse: u32, sample: Sample) {
        let waiting = self.waiting.entry(evse).or_default();
        waiting.push_back(sample);
        if waiting.len() > WAITING_MAX {
            let last = waiting.len() - 1;
            let mut place = 0;
            waiting.retain(|_| {
                place += 1;
                place % 2 == 1 || place > last
            });
        }
    }

    /// The mark that has just been reached. One that was slept through, or that a clock jumped over, is
    /// missed.
    fn reached(&mut self, unix: i64, interval: i64) -> Option<i64> {
        let mark = unix - unix.rem_euclid(interval);
        let (before, by) = self.passed.replace((mark, interval))?;
        (by == interval && before < mark && unix - mark < LATE).then_some(mark)
    }
}

impl Uplink {
    /// Microseconds; `None`: there are no marks, or nobody knows the time.
    fn marks(&self, now: Now) -> Option<(i64, i64)> {
        let definition = crate::model::find(name::CLOCK_READING_INTERVAL)?;
        let seconds: i64 = self.core.value(definition, now).parse().ok()?;
        let unix = self.core.clock.known(now)?;
        (seconds > 0).then_some((unix, seconds * 1_000_000))
    }

    /// When the next mark is.
    pub(super) fn mark_due(&self) -> Option<Timestamp> {
        self.next_mark
    }

    /// Has the meters read of EVSEs without a transaction, if a mark is reached.
    pub(super) fn look_at_marks(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some((unix, interval)) = self.marks(now) else {
            (self.idle.passed, self.next_mark) = (None, None);
            return;
        };
        let left = u64::try_from(interval - unix.rem_euclid(interval)).unwrap_or(0);
        self.next_mark = Some(now.at + Duration::from_micros(left));
        let Some(mark) = self.idle.reached(unix, interval) else { return };
        let running: BTreeSet<u32> = self.core.connectors.running().map(|(evse, _)| evse).collect();
        let idle: Vec<u32> = self.core.connectors.evses().filter(|evse| !running.contains(evse)).collect();
        for evse in idle {
            let ticket = self.order(Command::ReadMeter { evse }, actions);
            self.idle.reading.insert(ticket, (evse, Wanted::Mark(mark)));
        }
    }

    /// The CSMS asks what is measured. Where nobody charges the meter is read first: no line of the book has its
    /// register.
    pub(super) fn tell_meter_values(&mut self, evse: u32, actions: &mut Vec<Action>) {
        if self.core.connectors.get(evse).is_some_and(|it| it.transaction() == 0) {
            let ticket = self.order(Command::ReadMeter { evse }, actions);
            self.idle.reading.insert(ticket, (evse, Wanted::Trigger));
        } else {
            self.tell(Notice::MeterValues(evse));
        }
    }

    /// What came of reading a meter; whether it was one.
    pub(super) fn meter_read(&mut self, ticket: u64, outcome: &Outcome) -> bool {
        let Some((evse, wanted)) = self.idle.reading.remove(&ticket) else { return false };
        let mark = match wanted {
            Wanted::Mark(mark) => mark,
            Wanted::Trigger => {
                if let Outcome::Metered(Sample { register: Some(register), .. }) = outcome {
                    let edge = self.core.edges.entry(evse).or_default();
                    // One that began meanwhile has the register of its start.
                    if edge.0 == 0 {
                        edge.1 = Some(*register);
                    }
                }
                // One that says nothing leaves what the EVSE measures itself.
                self.tell(Notice::MeterValues(evse));
                return true;
            }
        };
        let Outcome::Metered(sample) = outcome else {
            debug!(evse, ?outcome, "the meter says nothing on the mark of the clock");
            return true;
        };
        // A transaction that began meanwhile has its own.
        if self.core.connectors.get(evse).is_some_and(|it| it.transaction() == 0) {
            self.idle.keep(evse, Sample { unix: mark, ..*sample });
        }
        true
    }

    pub(super) fn has_idle_values(&self) -> bool {
        !self.idle.waiting.is_empty()
    }

    pub(super) fn send_idle_values(&mut self, actions: &mut Vec<Action>) -> bool {
        if !self.has_idle_values() {
            return false;
        }
        let measurands = Measurand::parse_list(self.core.variables.get(name::ALIGNED_MEASURANDS));
        while let Some((&evse, waiting)) = self.idle.waiting.iter().next() {
            let some = waiting.iter().take(AT_ONCE);
            let written: Vec<Value> = some
                .filter_map(|sample| {
                    dialect::meter_value(self.core.version, sample, &measurands, Context::Clock)
                })
                .collect();
            let count = waiting.len().min(AT_ONCE);
            if written.is_empty() {
                self.idle_values_told(evse, count);
                continue;
            }
            let payload = dialect::meter_values(self.core.version, evse, &written);
            self.call("MeterValues", &payload, Out::IdleValues { evse, count }, actions);
            return true;
        }
        false
    }

    /// The CSMS has the oldest so many.
    pub(super) fn idle_values_told(&mut self, evse: u32, count: usize) {
        let Some(waiting) = self.idle.waiting.get_mut(&evse) else { return };
        waiting.drain(..count.min(waiting.len()));
        if waiting.is_empty() {
            self.idle.waiting.remove(&evse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_keeps_its_first_and_last() {
        let mut idle = IdleValues::default();
        for unix in 0..1000 {
            idle.keep(1, Sample { unix, ..Sample::default() });
        }
        let times: Vec<i64> = idle.waiting[&1].iter().map(|sample| sample.unix).collect();
        assert!(times.len() <= WAITING_MAX && times.len() > WAITING_MAX / 3, "{}", times.len());
        assert_eq!((times.first(), times.last()), (Some(&0), Some(&999)));
        assert!(times.is_sorted());
    }

    #[test]
    fn a_mark_is_reached_once_and_one_that_was_slept_through_is_missed() {
        const MINUTE: i64 = 60_000_000;
        let mut idle = IdleValues::default();
        assert_eq!(idle.reached(MINUTE + 5, MINUTE), None, "no mark is reached by starting");
        assert_eq!(idle.reached(2 * MINUTE + 5, MINUTE), Some(2 * MINUTE));
        assert_eq!(idle.reached(2 * MINUTE + 9, MINUTE), None);
        assert_eq!(idle.reached(4 * MINUTE - 1, MINUTE), None);
        assert_eq!(idle.reached(3 * MINUTE, MINUTE), None, "a clock that was put back");
        assert_eq!(idle.reached(4 * MINUTE, MINUTE), Some(4 * MINUTE));
    }
}
