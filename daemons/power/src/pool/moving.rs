//! How a group gets from where it is to where it is going.

use std::time::Duration;

use voltry_units::{Amps, Timestamp, Volts};

use super::{Action, Contactor, Pool, Position, Seen, State, Why};

/// After a try that failed.
const RESTS: Duration = Duration::from_secs(30);

impl Pool {
    /// Takes a group on to where it is going.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        since: Duration,
        number: usize,
        actions: &mut Vec<Action>,
    ) {
        let rules = self.rules;
        let group = self.groups[number];
        let Some(seen) = group.fresh(now, rules.fresh) else {
            self.groups[number].state = self.lose(now, number, group.state, actions);
            return;
        };
        if let Some(stray) = self.stray(number, group.state) {
            // It closed though nobody wants it to: whatever it joins must be parted, and looked at.
            actions.push(Action::Off(number));
            if seen.is_off {
                actions.push(Action::Open(stray));
            }
            let why = Why::ClosedByItself(stray.evse);
            self.groups[number].state = State::Barred { evse: group.state.evse(), why };
            return;
        }
        let quiet = seen.current.abs() <= rules.opens_below;
        let next = match group.state {
            State::Starting => self.starting(number, seen, actions),
            State::Free => State::Free,
            State::Matching { evse, until } => self.matching(now, number, seen, (evse, until), actions),
            State::Closing { evse, until } => self.closing(now, number, seen, (evse, until), actions),
            State::Serving { evse, .. } | State::Ramping { evse, .. }
                if self.matrix.position(Contactor { group: number, evse }) == Position::Open =>
            {
                // It fell open by itself: whatever broke it is to be looked at.
                actions.push(Action::Off(number));
                State::Barred { evse: Some(evse), why: Why::FellOpen }
            }
            State::Serving { .. } => group.state,
            State::Ramping { evse, current } => {
                let current = (current - rules.ramp.over(since)).max(Amps::ZERO);
                if current == Amps::ZERO {
                    // At once: modules that still turn would take what they were told last.
                    actions.push(Action::Off(number));
                    State::SwitchingOff { evse }
                } else {
                    State::Ramping { evse, current }
                }
            }
            State::SwitchingOff { evse } => {
                actions.push(Action::Off(number));
                if seen.is_off && quiet {
                    // Also one that never closed: it may still be about to.
                    actions.push(Action::Open(Contactor { group: number, evse }));
                    State::Opening { evse, until: now + rules.contactor_time }
                } else {
                    group.state
                }
            }
            State::Opening { evse, until } => self.opening(now, number, (evse, until), actions),
            // It answers again: what it did meanwhile is not known.
            State::Lost { evse: Some(evse), .. } => State::SwitchingOff { evse },
            State::Lost { evse: None, .. } => State::Starting,
            State::Barred { evse, .. } => {
                actions.push(Action::Off(number));
                let strays = self.matrix.of(number).filter(|contactor| Some(contactor.evse) != evse);
                if seen.is_off && quiet {
                    actions.extend(strays.map(Action::Open));
                }
                group.state
            }
        };
        self.groups[number].state = next;
    }

    fn starting(&self, number: usize, seen: Seen, actions: &mut Vec<Action>) -> State {
        actions.push(Action::Off(number));
        if seen.is_off && seen.current.abs() <= self.rules.opens_below {
            actions.extend(self.matrix.of(number).map(Action::Open));
        }
        if seen.is_off && self.matrix.is_parted(number) { State::Free } else { State::Starting }
    }

    fn closing(
        &mut self,
        now: Timestamp,
        number: usize,
        seen: Seen,
        (evse, until): (usize, Timestamp),
        actions: &mut Vec<Action>,
    ) -> State {
        let contactor = Contactor { group: number, evse };
        if self.matrix.position(contactor) == Position::Closed {
            return State::Serving { evse, current: Amps::ZERO, rising: true };
        }
        let want = self.evses[evse].want;
        let differs = want.measured.is_none_or(|measured| !self.matches(seen, measured));
        if now >= until || !want.active || differs || !self.matrix.may_close(contactor) {
            self.groups[number].rests_until = now + RESTS;
            actions.push(Action::Open(contactor));
            return State::SwitchingOff { evse };
        }
        actions.push(Action::Close(contactor));
        State::Closing { evse, until }
    }

    fn opening(
        &self,
        now: Timestamp,
        number: usize,
        (evse, until): (usize, Timestamp),
        actions: &mut Vec<Action>,
    ) -> State {
        if self.matrix.is_parted(number) {
            return State::Free;
        }
        if now >= until {
            actions.push(Action::Off(number));
            return State::Barred { evse: Some(evse), why: Why::DidNotOpen };
        }
        actions.push(Action::Open(Contactor { group: number, evse }));
        State::Opening { evse, until }
    }

    fn matching(
        &mut self,
        now: Timestamp,
        number: usize,
        seen: Seen,
        (evse, until): (usize, Timestamp),
        actions: &mut Vec<Action>,
    ) -> State {
        let want = self.evses[evse].want;
        let contactor = Contactor { group: number, evse };
        if !want.active || now >= until {
            self.groups[number].rests_until = now + RESTS;
            actions.push(Action::Off(number));
            return State::Free;
        }
        // What is on the EVSE's side is met; a side without a voltage is met by being off.
        let held = want.measured.filter(|voltage| want.enabled && *voltage > self.rules.difference_max);
        match held {
            Some(voltage) => {
                let current = self.rules.matching_current;
                actions.push(Action::Set { group: number, voltage, current });
            }
            None => actions.push(Action::Off(number)),
        }
        // Modules that are off still fall past a voltage that they are to hold.
        let holds = held.is_none() || !seen.is_off;
        let matched = holds && want.measured.is_some_and(|measured| self.matches(seen, measured));
        if matched && self.matrix.may_close(contactor) {
            actions.push(Action::Close(contactor));
            return State::Closing { evse, until: now + self.rules.contactor_time };
        }
        State::Matching { evse, until }
    }

    fn matches(&self, seen: Seen, measured: Volts) -> bool {
        seen.voltage.abs_diff(measured) <= self.rules.difference_max
    }

    /// A contactor of a group that is closed, but not towards the EVSE that the group is at.
    fn stray(&self, number: usize, state: State) -> Option<Contactor> {
        match state {
            State::Starting | State::Barred { .. } | State::Lost { .. } => None,
            State::Free
            | State::Matching { .. }
            | State::Closing { .. }
            | State::Serving { .. }
            | State::Ramping { .. }
            | State::SwitchingOff { .. }
            | State::Opening { .. } => {
                let own = if let State::Matching { .. } = state { None } else { state.evse() };
                let mut contactors = self.matrix.of(number).filter(|contactor| Some(contactor.evse) != own);
                contactors.find(|contactor| self.matrix.position(*contactor) == Position::Closed)
            }
        }
    }

    /// Looks whether the modules that are to deliver to an EVSE still answer, before others take over.
    pub(super) fn lose_silent(&mut self, now: Timestamp, evse: usize, actions: &mut Vec<Action>) {
        for number in 0..self.groups.len() {
            let group = self.groups[number];
            let delivers = matches!(group.state, State::Serving { .. } | State::Ramping { .. });
            if delivers && group.state.evse() == Some(evse) && group.fresh(now, self.rules.fresh).is_none() {
                self.groups[number].state = self.lose(now, number, group.state, actions);
            }
        }
    }

    /// Modules that do not answer: told to be off all the same, and parted when they surely are.
    fn lose(&self, now: Timestamp, number: usize, state: State, actions: &mut Vec<Action>) -> State {
        actions.push(Action::Off(number));
        if let State::Closing { evse, .. } = state {
            // What it would close into is not known any more.
            actions.push(Action::Open(Contactor { group: number, evse }));
        }
        match state {
            State::Starting | State::Barred { .. } => state,
            State::Lost { since, .. } => {
                if now.since(since) >= self.rules.lost_after && !self.matrix.is_parted(number) {
                    actions.extend(self.matrix.of(number).map(Action::Open));
                }
                state
            }
            State::Free
            | State::Matching { .. }
            | State::Closing { .. }
            | State::Serving { .. }
            | State::Ramping { .. }
            | State::SwitchingOff { .. }
            | State::Opening { .. } => {
                let current = self.groups[number].may_give(now, self.rules.lost_after);
                State::Lost { evse: state.evse(), since: now, current }
            }
        }
    }
}
