//! When a frame may go out on a bus.
//!
//! In the long run one a [`SLOT`] does: with its answer a frame takes 2.6 ms at most at 125 kbit/s, so that the
//! bus stays about half loaded. Polls keep to that. What cannot wait (orders, readings that are overdue) runs
//! ahead of it by a [`BURST`] at most, and polls wait until that is made up for. So a whole bus of modules is told
//! of a set-point as fast as the wire takes it, and a set-point that never rests gets no more than everybody's pace.

use std::time::Duration;

use voltry_units::Timestamp;

/// Between two frames, in the long run. A module is not spoken to more often either, but to switch it off.
pub(crate) const SLOT: Duration = Duration::from_millis(5);
/// How long a frame and its answer take: twice 160 bits at 125 kbit/s.
const CARRIED: Duration = Duration::from_micros(2_560);
/// So many may wait for the wire: the smallest adapters have a few mailboxes.
const AHEAD: u32 = 4;
/// So many may run ahead of the pace: as many modules as a bus takes (`load::modules_max`).
const BURST: u32 = 16;

/// What may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Only what cannot wait.
    Urgent,
    Any,
}

/// What was sent, against the time that it takes.
#[derive(Debug)]
pub(crate) struct Budget {
    /// When what was sent is made up for, at one frame a slot.
    paid: Timestamp,
    /// When the wire has taken it.
    carried: Timestamp,
}

impl Budget {
    pub(crate) const fn new(now: Timestamp) -> Self {
        Self { paid: now, carried: now }
    }

    /// What may be sent now; else when to ask again.
    pub(crate) fn room(&self, now: Timestamp) -> Result<Room, Timestamp> {
        let wire = self.carried.since(now).saturating_sub(CARRIED * (AHEAD - 1));
        let pace = self.paid.since(now).saturating_sub(SLOT * (BURST - 1));
        match wire.max(pace) {
            Duration::ZERO if self.paid <= now => Ok(Room::Any),
            Duration::ZERO => Ok(Room::Urgent),
            wait => Err(now + wait),
        }
    }

    /// A frame was sent.
    pub(crate) fn spend(&mut self, now: Timestamp) {
        self.paid = self.paid.max(now) + SLOT;
        self.carried = self.carried.max(now) + CARRIED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    /// When frames went, tried each millisecond of a second: of everybody, or only what may wait.
    fn sent(urgent: bool) -> Vec<u64> {
        let mut budget = Budget::new(ms(0));
        let mut sent = Vec::new();
        for now in 0..1_000 {
            while budget.room(ms(now)).is_ok_and(|room| urgent || room == Room::Any) {
                budget.spend(ms(now));
                sent.push(now);
            }
        }
        sent
    }

    #[test]
    fn what_may_wait_goes_once_a_slot() {
        assert_eq!(sent(false), (0..200).map(|slot| slot * 5).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_wait_goes_as_fast_as_the_wire_and_by_the_pace_in_the_long_run() {
        let sent = sent(true);
        assert_eq!(sent[..6], [0, 0, 0, 0, 3, 6], "four for the adapter, then as they are carried");
        let burst = usize::try_from(BURST).unwrap();
        for (last, end) in sent.iter().enumerate() {
            for (first, begin) in sent[..=last].iter().enumerate() {
                let slots = usize::try_from((end - begin) / 5).unwrap();
                assert!(last - first < burst + slots + 1, "frames {first} to {last} in {} ms", end - begin);
            }
        }
        assert!(sent.len() >= 200 + burst - 1, "{}", sent.len());
    }

    #[test]
    fn a_poll_waits_until_a_burst_is_made_up_for() {
        let mut budget = Budget::new(ms(0));
        (0..4).for_each(|_| budget.spend(ms(0)));
        assert_eq!(budget.room(ms(1)), Err(Timestamp::from_micros(2_560)));
        assert_eq!(budget.room(ms(19)), Ok(Room::Urgent));
        assert_eq!(budget.room(ms(20)), Ok(Room::Any));
    }
}
