//! Which EVSE gets how many groups, and which.

use voltry_units::{Amps, Timestamp};

use super::{Contactor, Group, Pool, Seen, State};

/// Thousandths of efficiency that are worth a move.
const WORTH: i64 = 5;

impl Pool {
    /// Begins at most one move for each EVSE that has none under way.
    pub(super) fn allocate(&mut self, now: Timestamp) {
        // Who has least chooses first.
        let mut order: Vec<usize> = (0..self.evses.len()).collect();
        order.sort_by_key(|evse| self.serving(*evse).count());
        for evse in order.iter().copied() {
            self.judge(now, evse);
        }
        for evse in order {
            // One that was never told a current does not hold up those that leave.
            let rises =
                |state| matches!(state, State::Serving { evse: whose, rising: true, .. } if whose == evse);
            let enabled = self.evses[evse].want.enabled;
            if self.groups.iter().any(|group| group.state.moves(evse) || enabled && rises(group.state)) {
                continue;
            }
            let has = self.serving(evse).count();
            let to = self.evses[evse].groups;
            if has < to {
                self.join(now, evse);
            } else if has > to {
                self.leave(now, evse);
            } else if self.is_worn(now, evse) {
                // First the fresh one, then the worn one leaves, having more than it is to have.
                self.join(now, evse);
            }
        }
    }

    /// How many groups an EVSE is to have.
    fn judge(&mut self, now: Timestamp, evse: usize) {
        let (want, has) = (self.evses[evse].want, self.serving(evse).count());
        if !want.active {
            self.evses[evse].groups = 0;
            return;
        }
        if self.evses[evse].groups == 0 {
            self.evses[evse].groups = 1;
        }
        if has != self.evses[evse].groups {
            if has < self.evses[evse].groups && self.best(now, evse).is_none() {
                self.ask_others(evse, has);
            }
            return;
        }
        let each: Amps = self.serving(evse).map(|group| self.available(now, group, evse)).sum();
        let load = |of: Amps| {
            if of <= Amps::ZERO { i64::MAX } else { want.current.scaled(100, of.as_milli()).as_milli() }
        };
        if want.enabled && load(each) >= self.rules.load_high {
            match self.best(now, evse) {
                Some(group) if !self.is_waited_for(now, group, has) => self.evses[evse].groups = has + 1,
                Some(_) => {}
                None => self.ask_others(evse, has),
            }
        } else if want.enabled
            && self.has_dwelt(now, evse)
            && let Some(group) = self.best(now, evse)
            && !self.is_waited_for(now, group, has)
            && self.gain(load(each), load(each + self.available(now, group, evse))) >= WORTH
        {
            self.evses[evse].groups = has + 1;
        } else if has > 1 && self.has_dwelt(now, evse) {
            let largest = self.serving(evse).max_by_key(|group| self.available(now, *group, evse));
            let Some(largest) = largest else { return };
            let without = load(each - self.available(now, largest, evse));
            let keeps = self.gain(without, load(each)) >= WORTH && !self.is_waited_for(now, largest, has);
            if without <= self.rules.load_low && !(want.enabled && keeps) {
                self.evses[evse].groups = has - 1;
            }
        }
    }

    /// Thousandths of efficiency that another load brings.
    fn gain(&self, from: i64, to: i64) -> i64 {
        let efficiency = self.rules.efficiency;
        efficiency.at(to).zip(efficiency.at(from)).map_or(0, |(to, from)| to - from)
    }

    /// Whether an EVSE that has fewer groups than `has` could use this one.
    fn is_waited_for(&self, now: Timestamp, group: usize, has: usize) -> bool {
        let waits = |evse: &usize| {
            let count = self.serving(*evse).count();
            let lacks = count < self.evses[*evse].groups || self.is_hungry(now, *evse);
            count < has && lacks && self.matrix.has(Contactor { group, evse: *evse })
        };
        (0..self.evses.len()).any(|evse| waits(&evse))
    }

    /// One that has at least two groups more than an EVSE gives one that the EVSE can use, unless one
    /// is coming.
    fn ask_others(&mut self, evse: usize, has: usize) {
        let coming = |(group, it): (usize, &Group)| {
            let leaves = matches!(
                it.state,
                State::Ramping { .. } | State::SwitchingOff { .. } | State::Opening { .. }
            );
            leaves && self.matrix.has(Contactor { group, evse })
        };
        if self.groups.iter().enumerate().any(coming) {
            return;
        }
        let gives = |donor: &usize| {
            let count = self.serving(*donor).count();
            let reaches = self.serving(*donor).any(|group| self.matrix.has(Contactor { group, evse }));
            *donor != evse && reaches && count >= has + 2 && self.evses[*donor].groups == count
        };
        let donor = (0..self.evses.len()).filter(gives).max_by_key(|donor| self.serving(*donor).count());
        if let Some(donor) = donor {
            self.evses[donor].groups -= 1;
        }
    }

    fn join(&mut self, now: Timestamp, evse: usize) {
        if let Some(group) = self.best(now, evse) {
            self.groups[group].state = State::Matching { evse, until: now + self.rules.matching_time };
            self.evses[evse].changed = now;
        }
    }

    /// The most worn goes; rather one that somebody waits for.
    fn leave(&mut self, now: Timestamp, evse: usize) {
        let has = self.serving(evse).count();
        let rank = |group: &usize| (self.is_waited_for(now, *group, has), self.groups[*group].hours());
        let Some(group) = self.serving(evse).max_by_key(rank) else { return };
        if let State::Serving { current, .. } = self.groups[group].state {
            self.groups[group].state = State::Ramping { evse, current };
            self.evses[evse].changed = now;
        }
    }

    fn is_hungry(&self, now: Timestamp, evse: usize) -> bool {
        let want = self.evses[evse].want;
        let has: Amps = self.serving(evse).map(|group| self.available(now, group, evse)).sum();
        want.active && want.current.scaled(100, 1) >= has.scaled(self.rules.load_high, 1)
    }

    /// The least worn that is free, can deliver and can be joined.
    fn best(&self, now: Timestamp, evse: usize) -> Option<usize> {
        let free = |group: &usize| {
            let it = &self.groups[*group];
            it.state == State::Free
                && now >= it.rests_until
                && self.available(now, *group, evse) > Amps::ZERO
                && self.matrix.may_close(Contactor { group: *group, evse })
        };
        (0..self.groups.len()).filter(free).min_by_key(|group| self.groups[*group].hours())
    }

    fn is_worn(&self, now: Timestamp, evse: usize) -> bool {
        let most = self.serving(evse).map(|group| self.groups[group].hours()).max();
        let least = self.best(now, evse).map(|group| self.groups[group].hours());
        let worn =
            most.zip(least).is_some_and(|(most, least)| most >= least.saturating_add(self.rules.wear_hours));
        worn && self.has_dwelt(now, evse)
    }

    fn has_dwelt(&self, now: Timestamp, evse: usize) -> bool {
        now.since(self.evses[evse].changed) >= self.rules.dwell
    }

    /// What a group could give or take in the direction in which an EVSE's groups work.
    pub(super) fn available(&self, now: Timestamp, group: usize, evse: usize) -> Amps {
        self.able(now, group, self.evses[evse].inverting)
    }

    pub(super) fn able(&self, now: Timestamp, group: usize, inverting: bool) -> Amps {
        let able = |seen: Seen| if inverting { seen.takes } else { seen.available };
        self.groups[group].fresh(now, self.rules.fresh).map_or(Amps::ZERO, able)
    }

    fn serving(&self, evse: usize) -> impl Iterator<Item = usize> + '_ {
        let serves = move |group: &usize| matches!(self.groups[*group].state, State::Serving { evse: whose, .. } if whose == evse);
        (0..self.groups.len()).filter(serves)
    }
}
