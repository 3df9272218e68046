//! What a vehicle would use of its share.

use std::time::Duration;

use voltry_units::{Timestamp, Watts};

/// What was heard longer ago says nothing of what flows now.
const FRESH: Duration = Duration::from_secs(3);
/// A share is used up from this part of it on, in percent: its vehicle may want more.
const USED_UP: i64 = 95;
/// An EVSE that delivers less than this part of what it should, in percent, ...
const BEHIND: i64 = 80;
/// ... for this long cannot do it: a hot connector, or a vehicle that names a current it does not take.
const BEHIND_FOR: Duration = Duration::from_secs(5);
/// What a vehicle may want more without asking: a tenth of what it uses, and this.
const ROOM: Watts = Watts::new(2_000);

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing flows, nor will it soon.
    Idle,
    /// The vehicle is on its way to current, and plans with what it was offered.
    Preparing,
    /// Current may flow.
    Delivering,
}

/// What an EVSE said of what flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flowing {
    /// When it was measured.
    pub at: Timestamp,
    /// What the vehicle asks for, at the voltage measured.
    pub wanted: Watts,
    /// What it gets; negative: what it gives.
    pub drawn: Watts,
}

/// What is known of one EVSE's use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    flowing: Option<Flowing>,
    /// Since when it delivers less than it should.
    behind: Option<Timestamp>,
}

impl Usage {
    /// The EVSE said what flows. `share`: what it has.
    pub fn hear(&mut self, flowing: Flowing, share: Watts) {
        let due = flowing.wanted.min(share);
        if part(flowing.drawn, share) >= USED_UP || flowing.drawn >= flowing.wanted {
            self.behind = None;
        } else if part(flowing.drawn, due) < BEHIND {
            self.behind.get_or_insert(flowing.at);
        } else if self.behind.is_some_and(|since| flowing.at.since(since) < BEHIND_FOR) {
            self.behind = None;
        }
        self.flowing = Some(flowing);
    }

    /// The EVSE is silent, or its session is another.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// What it draws, if that is known.
    #[must_use]
    pub fn drawn(&self, now: Timestamp) -> Option<Watts> {
        self.fresh(now).map(|flowing| flowing.drawn)
    }

    /// What the vehicle would use of power if it had it.
    #[must_use]
    pub fn wants(&self, now: Timestamp, stage: Stage, share: Watts, most: Watts) -> Watts {
        match stage {
            Stage::Idle => return Watts::ZERO,
            Stage::Preparing => return most,
            Stage::Delivering => {}
        }
        if self.flowing.is_none() {
            return most;
        }
        let Some(flowing) = self.fresh(now) else { return Watts::ZERO };
        let unable = self.behind.is_some_and(|since| now.since(since) >= BEHIND_FOR);
        let used = if unable { flowing.drawn } else { flowing.wanted.max(flowing.drawn) };
        if part(used, share) >= USED_UP { most } else { used + used.scaled(1, 10) + ROOM }
    }

    fn fresh(&self, now: Timestamp) -> Option<Flowing> {
        self.flowing.filter(|flowing| now.since(flowing.at) <= FRESH)
    }
}

/// How much of the whole, in percent; of nothing it is all.
fn part(of: Watts, whole: Watts) -> i64 {
    if whole <= Watts::ZERO { 100 } else { of.scaled(100, whole.as_milli()).as_milli() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Watts = Watts::new(200_000);

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_micros(100_000_000 + milliseconds * 1000)
    }

    fn hear(usage: &mut Usage, milliseconds: u64, wanted: i32, drawn: i32, share: i32) -> Watts {
        let flowing = Flowing {
            at: at(milliseconds),
            wanted: Watts::new(wanted * 1000),
            drawn: Watts::new(drawn * 1000),
        };
        let share = Watts::new(share * 1000);
        usage.hear(flowing, share);
        usage.wants(at(milliseconds), Stage::Delivering, share, MOST)
    }

    #[test]
    fn a_vehicle_wants_what_it_uses_and_some_room() {
        let mut usage = Usage::default();
        assert_eq!(hear(&mut usage, 0, 50, 50, 100), Watts::new(57_000));
        // Its share is lowered to that, and it stays.
        assert_eq!(hear(&mut usage, 1000, 50, 50, 57), Watts::new(57_000));
        assert_eq!(hear(&mut usage, 2000, 0, 0, 57), ROOM);
    }

    #[test]
    fn who_uses_a_share_up_wants_all_there_is() {
        let mut usage = Usage::default();
        assert_eq!(hear(&mut usage, 0, 96, 96, 100), MOST);
        assert_eq!(hear(&mut usage, 1000, 300, 20, 100), MOST, "the current rises still");
        assert_eq!(hear(&mut usage, 2000, 0, 0, 0), MOST, "what was suspended would go on");
    }

    #[test]
    fn what_cannot_be_delivered_is_not_held_back_for_ever_nor_given_back_at_once() {
        let mut usage = Usage::default();
        assert_eq!(hear(&mut usage, 0, 300, 40, 100), MOST);
        assert_eq!(hear(&mut usage, 5000, 300, 40, 100), Watts::new(46_000));
        assert_eq!(hear(&mut usage, 6000, 300, 40, 46), Watts::new(46_000), "no to and fro");
        assert_eq!(hear(&mut usage, 7000, 300, 46, 46), MOST, "it can again");
    }

    #[test]
    fn a_vehicle_on_its_way_keeps_its_offer_and_a_silent_evse_wants_nothing() {
        let mut usage = Usage::default();
        assert_eq!(usage.wants(at(0), Stage::Preparing, Watts::ZERO, MOST), MOST);
        assert_eq!(usage.wants(at(0), Stage::Delivering, Watts::ZERO, MOST), MOST, "it only begins");
        let _ = hear(&mut usage, 0, 100, 100, 100);
        assert_eq!(usage.wants(at(4000), Stage::Delivering, MOST, MOST), Watts::ZERO);
        assert_eq!(usage.wants(at(0), Stage::Idle, MOST, MOST), Watts::ZERO);
    }
}
