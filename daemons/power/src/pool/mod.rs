//! A pool of modules behind a matrix of contactors: which groups serve which EVSE, and how one moves
//! while cars charge. Pure; [`crate::matrix`] is its shell.
//!
//! ```text
//!             join                    voltages within 20 V        feedback closed
//!   Free ─────────────▶ Matching ───────────────────▶ Closing ─────────────────▶ Serving
//!    ▲                     │ not in time                 │ not in time             │ leave
//!    │ feedback open       ▼                             ▼                         ▼
//!   Opening ◀──── off, under 1 A ──── SwitchingOff ◀───────────── 0 A ────────── Ramping
//!    │ not in time
//!    ▼
//!   Barred          from anywhere: modules silent ─▶ Lost ─ certainly off ─▶ Opening
//! ```
//! What is assumed: a contactor tells by its feedback whether it is open; a group's modules are told
//! a voltage and a current together; modules that hear nobody are off within `lost_after`. After a
//! start nothing is: every group is told to be off, every contactor to open, and a group is free when
//! both are confirmed.
//!
//! What always holds: a contactor is told to close only while all others of its group are known to be
//! open, so no two EVSEs, nor their insulation monitors, are ever joined ([`Matrix`]); only into a
//! voltage difference below the limit; and to open only without current. The currents told to the
//! groups of an EVSE never sum above what it asks for. A current moves from one group to another
//! along the ramp, and rises only by what the other is measured to have lost. All groups of an EVSE work in one
//! direction, and it turns once each of them has confirmed that it is off: what one gave would not go to the
//! vehicle but into the other.

mod allocation;
mod efficiency;
mod group;
mod matrix;
mod moving;

use std::time::Duration;

use voltry_units::{Amps, AmpsPerSecond, Timestamp, Volts};

pub use self::efficiency::{Efficiency, POINTS_MAX};
pub use self::group::{Group, Seen, State, Why};
pub use self::matrix::{Contactor, Matrix, Position};

/// A group that is to take a current from a vehicle, and takes none yet, is told no more than the ramp has in this
/// time: its modules turn with their output off, and what they were told meanwhile would come all at once.
const TURNED: Duration = Duration::from_millis(200);

/// The rules, from the configuration.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A contactor closes into no more.
    pub difference_max: Volts,
    /// A contactor opens under no more.
    pub opens_below: Amps,
    /// How fast a current moves between groups: what a car does not mind.
    pub ramp: AmpsPerSecond,
    /// With so much a group brings its own output to an EVSE's voltage; in the worst case a car gets it
    /// beside what it asked for, until the contactor's feedback has told that it is closed.
    pub matching_current: Amps,
    /// From this load on, in percent, an EVSE gets one more group.
    pub load_high: i64,
    /// An EVSE gives one back if the others would not be loaded above this, in percent.
    pub load_low: i64,
    /// Of the modules: where nobody else waits, an EVSE has as many groups as lose least.
    pub efficiency: Efficiency,
    /// So long an EVSE keeps its groups before it gives one back or changes it for a less worn one.
    pub dwell: Duration,
    /// A group is changed for one that has worked so much less.
    pub wear_hours: u32,
    /// A contactor has moved within this time.
    pub contactor_time: Duration,
    /// Voltages have matched within this time.
    pub matching_time: Duration,
    /// What was heard longer ago is not known any more.
    pub fresh: Duration,
    /// Modules that hear nobody are off after this time.
    pub lost_after: Duration,
}

/// What happens to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// The modules of a group told this.
    Seen(usize, Seen),
    /// The feedback of a contactor.
    Feedback(Contactor, Position),
    /// What an EVSE asks for; in force until the next.
    Want(usize, Want),
    /// The contactors' driver is away, or opened them by itself: nothing is known of them.
    MatrixLost,
    /// A technician has looked at the contactors.
    ClearFaults,
    /// Time passed; at least every 100 ms.
    Tick,
}

/// What an EVSE asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Want {
    /// A session is there: it is to have a group, delivering or not.
    pub active: bool,
    /// Its lease holds, and it may deliver. Without it everything of it is off at once.
    pub enabled: bool,
    /// Not to be exceeded.
    pub voltage: Volts,
    /// To be given by all groups together, or taken.
    pub current: Amps,
    /// It is taken from the vehicle. Without a current it says nothing.
    pub inverting: bool,
    /// Measured on its side of the matrix; `None`: not known, so that nothing is joined to it.
    pub measured: Option<Volts>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The modules of a group get a set-point.
    Set {
        /// Which.
        group: usize,
        /// Not to be exceeded.
        voltage: Volts,
        /// All its modules together; below zero: taken from the vehicle.
        current: Amps,
    },
    /// The modules of a group are switched off.
    Off(usize),
    /// Told again until its feedback says so.
    Close(Contactor),
    /// Told again until its feedback says so.
    Open(Contactor),
}

#[derive(Debug, Clone, Copy, Default)]
struct Evse {
    want: Want,
    /// The direction in which its groups work.
    inverting: bool,
    /// How many groups it is to have.
    groups: usize,
    /// When its groups last changed.
    changed: Timestamp,
}

/// The pool.
#[derive(Debug, Clone)]
pub struct Pool {
    rules: Rules,
    matrix: Matrix,
    groups: Vec<Group>,
    evses: Vec<Evse>,
    stepped: Timestamp,
}

impl Evse {
    /// Whether its groups still have to turn to what it asks for.
    fn turns(&self) -> bool {
        self.want.current > Amps::ZERO && self.want.inverting != self.inverting
    }

    fn set_point(&self, group: usize, current: Amps) -> Action {
        let current = if self.inverting { Amps::ZERO - current } else { current };
        Action::Set { group, voltage: self.want.voltage, current }
    }
}

impl Pool {
    /// Groups and EVSEs of which nothing is known.
    #[must_use]
    pub fn new(now: Timestamp, rules: Rules, groups: usize, evses: usize, contactors: &[Contactor]) -> Self {
        Self {
            rules,
            matrix: Matrix::new(contactors),
            groups: vec![Group::UNKNOWN; groups],
            evses: vec![Evse { changed: now, ..Evse::default() }; evses],
            stepped: now,
        }
    }

    /// Where each group is.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// What an EVSE can be given at this moment, or what can be taken: its groups, and of those that leave what
    /// they still give or take.
    #[must_use]
    pub fn capability(&self, now: Timestamp, evse: usize, inverting: bool) -> Amps {
        (0..self.groups.len()).map(|group| self.part(now, group, evse, inverting)).sum()
    }

    /// Whether the groups of an EVSE take from its vehicle.
    #[must_use]
    pub fn inverts(&self, evse: usize) -> bool {
        self.evses[evse].inverting
    }

    /// Whether they still have to turn to what it asks for.
    #[must_use]
    pub fn turns(&self, evse: usize) -> bool {
        self.evses[evse].turns()
    }

    /// A group's part of that; of one whose contactor is not known to be closed, none.
    #[must_use]
    pub fn part(&self, now: Timestamp, number: usize, evse: usize, inverting: bool) -> Amps {
        let group = &self.groups[number];
        if self.matrix.position(Contactor { group: number, evse }) != Position::Closed {
            return Amps::ZERO;
        }
        let available = self.able(now, number, inverting);
        match group.state {
            State::Serving { evse: whose, .. } if whose == evse => available,
            State::Ramping { evse: whose, current } if whose == evse && inverting == self.inverts(evse) => {
                current.min(available)
            }
            State::Serving { .. }
            | State::Ramping { .. }
            | State::Starting
            | State::Free
            | State::Matching { .. }
            | State::Closing { .. }
            | State::SwitchingOff { .. }
            | State::Opening { .. }
            | State::Lost { .. }
            | State::Barred { .. } => Amps::ZERO,
        }
    }

    /// What is known of a contactor.
    #[must_use]
    pub fn position(&self, contactor: Contactor) -> Position {
        self.matrix.position(contactor)
    }

    /// Whether several groups serve, and every one of their contactors is open: that is their driver's doing. One
    /// contactor alone fell open by itself, as far as anybody knows.
    #[must_use]
    pub fn all_fell_open(&self) -> bool {
        let serves = |(group, it): (usize, &Group)| match it.state {
            State::Serving { evse, .. } | State::Ramping { evse, .. } => Some(Contactor { group, evse }),
            State::Starting
            | State::Free
            | State::Matching { .. }
            | State::Closing { .. }
            | State::SwitchingOff { .. }
            | State::Opening { .. }
            | State::Lost { .. }
            | State::Barred { .. } => None,
        };
        let serving: Vec<Contactor> = self.groups.iter().enumerate().filter_map(serves).collect();
        serving.len() > 1 && serving.iter().all(|contactor| self.position(*contactor) == Position::Open)
    }

    /// Takes one input.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, input: Input) -> Vec<Action> {
        match input {
            Input::Seen(group, seen) => self.groups[group].seen = Some(seen),
            Input::Feedback(contactor, position) => self.matrix.hear(contactor, position, now),
            Input::Want(evse, want) => {
                let falls = self.evses[evse].want.enabled && !want.enabled;
                self.evses[evse].want = want;
                self.turn(now, evse);
                if falls {
                    return self.off_at_once(evse);
                }
                // A set-point waits for no tick; what moves goes on with the next one.
                let mut actions = Vec::new();
                self.distribute(now, Duration::ZERO, evse, &mut actions);
                return actions;
            }
            Input::MatrixLost => return self.start_again(),
            Input::ClearFaults => self.clear_faults(),
            Input::Tick => return self.tick(now),
        }
        Vec::new()
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Action> {
        let since = now.since(self.stepped);
        self.stepped = now;
        self.matrix.forget_older(now - self.rules.fresh);
        let mut actions = Vec::new();
        for group in 0..self.groups.len() {
            self.advance(now, since, group, &mut actions);
        }
        self.allocate(now);
        for evse in 0..self.evses.len() {
            self.turn(now, evse);
            self.distribute(now, since, evse, &mut actions);
        }
        actions
    }

    /// The groups of an EVSE turn together, once each of them is off.
    fn turn(&mut self, now: Timestamp, evse: usize) {
        if self.turns(evse) && (0..self.groups.len()).all(|group| self.rests(now, group, evse)) {
            self.evses[evse].inverting = self.evses[evse].want.inverting;
        }
    }

    /// Whether nothing can come from a group to an EVSE.
    fn rests(&self, now: Timestamp, number: usize, evse: usize) -> bool {
        let group = &self.groups[number];
        if group.state.evse() != Some(evse) {
            return true;
        }
        let is_off = group.fresh(now, self.rules.fresh).is_some_and(|seen| seen.is_off);
        match group.state {
            State::Starting | State::Free | State::Matching { .. } => true,
            // Its modules hold a voltage, and are told the next thing once it is known to be joined.
            State::Closing { .. } => false,
            State::Serving { .. }
            | State::Ramping { .. }
            | State::SwitchingOff { .. }
            | State::Opening { .. } => is_off,
            State::Lost { .. } | State::Barred { .. } => is_off || group.is_lost(now, self.rules.lost_after),
        }
    }

    fn off_to_turn(&mut self, evse: usize, actions: &mut Vec<Action>) {
        for (number, group) in self.groups.iter_mut().enumerate() {
            match &mut group.state {
                State::Serving { evse: whose, current, .. } | State::Ramping { evse: whose, current }
                    if *whose == evse =>
                {
                    *current = Amps::ZERO;
                    actions.push(Action::Off(number));
                }
                State::Serving { .. }
                | State::Ramping { .. }
                | State::Starting
                | State::Free
                | State::Matching { .. }
                | State::Closing { .. }
                | State::SwitchingOff { .. }
                | State::Opening { .. }
                | State::Lost { .. }
                | State::Barred { .. } => {}
            }
        }
    }

    /// The lease is gone, or the EVSE said so. Contactors stay, for no current may be broken.
    fn off_at_once(&mut self, evse: usize) -> Vec<Action> {
        let mut actions = Vec::new();
        for (number, group) in self.groups.iter_mut().enumerate() {
            if group.state.evse() != Some(evse) {
                continue;
            }
            actions.push(Action::Off(number));
            match &mut group.state {
                State::Serving { current, rising, .. } => (*current, *rising) = (Amps::ZERO, false),
                State::Ramping { current, .. } => *current = Amps::ZERO,
                // Nothing is joined yet, and nothing need be.
                State::Matching { .. } => group.state = State::Free,
                State::Closing { .. } => {
                    // Both sides' voltages fall now, each in its own way.
                    actions.push(Action::Open(Contactor { group: number, evse }));
                    group.state = State::SwitchingOff { evse };
                }
                State::Starting
                | State::Free
                | State::SwitchingOff { .. }
                | State::Opening { .. }
                | State::Lost { .. }
                | State::Barred { .. } => {}
            }
        }
        actions
    }

    /// Everything is to be off and open, and nothing is believed of it.
    fn start_again(&mut self) -> Vec<Action> {
        self.matrix.forget();
        let mut actions = Vec::new();
        for (number, group) in self.groups.iter_mut().enumerate() {
            actions.push(Action::Off(number));
            if !matches!(group.state, State::Barred { .. }) {
                group.state = State::Starting;
            }
        }
        actions
    }

    fn clear_faults(&mut self) {
        for group in &mut self.groups {
            if let State::Barred { .. } = group.state {
                group.state = State::Starting;
            }
        }
    }

    /// Divides what an EVSE asks for between its groups.
    fn distribute(&mut self, now: Timestamp, since: Duration, evse: usize, actions: &mut Vec<Action>) {
        let (rules, own) = (self.rules, self.evses[evse]);
        if !own.want.enabled {
            return;
        }
        self.lose_silent(now, evse, actions);
        if own.turns() {
            return self.off_to_turn(evse, actions);
        }
        let (mut left, mut promised) = self.left_by_others(now, evse, actions);
        let numbers = 0..self.groups.len();
        let mut caps: Vec<(usize, Amps)> =
            numbers.filter_map(|number| Some((number, self.cap(now, since, number, evse)?))).collect();
        caps.sort_by_key(|(_, cap)| *cap);
        for taken in 0..caps.len() {
            let (number, cap) = caps[taken];
            let takers = i64::try_from(caps.len() - taken).unwrap_or(1);
            let (part, most) = (left.scaled(1, takers), promised.scaled(1, takers).min(cap));
            let full = self.available(now, number, evse);
            let measured =
                self.groups[number].fresh(now, rules.fresh).map_or(Amps::ZERO, |seen| seen.current);
            let State::Serving { current: told, rising, .. } = &mut self.groups[number].state else {
                continue;
            };
            // A measurement that is older than the last order only keeps a current from rising.
            let current = part.min(cap).max(most.min(*told));
            left = (left - part.min(cap)).max(Amps::ZERO);
            promised -= most;
            *told = current;
            let turns = own.inverting && measured <= rules.opens_below && current > rules.opens_below;
            *rising &= turns || current < part.min(full);
            actions.push(own.set_point(number, current));
        }
    }

    /// What a group that serves an EVSE may be told at most.
    fn cap(&self, now: Timestamp, since: Duration, number: usize, evse: usize) -> Option<Amps> {
        let group = &self.groups[number];
        let State::Serving { current, rising, .. } = group.state else { return None };
        if group.state.evse() != Some(evse) {
            return None;
        }
        let (rules, available) = (self.rules, self.available(now, number, evse));
        if !rising {
            return Some(available);
        }
        let ramp = available.min(current + rules.ramp.over(since));
        let measured = group.fresh(now, rules.fresh).map_or(Amps::ZERO, |seen| seen.current);
        let turns = self.inverts(evse) && measured <= rules.opens_below;
        Some(if turns { ramp.min(rules.ramp.over(TURNED)) } else { ramp })
    }

    /// What is left for the groups that serve an EVSE, by what its others may give still, and by what they
    /// were told to. Those that leave are told.
    fn left_by_others(&mut self, now: Timestamp, evse: usize, actions: &mut Vec<Action>) -> (Amps, Amps) {
        let (rules, own) = (self.rules, self.evses[evse]);
        let mut left = own.want.current.max(Amps::ZERO);
        let mut promised = left;
        for (number, group) in self.groups.iter_mut().enumerate() {
            if group.state.evse() != Some(evse) {
                continue;
            }
            if let State::Ramping { current, .. } = &mut group.state {
                *current = (*current).min(promised);
                actions.push(own.set_point(number, *current));
            }
            let gives = group.may_give(now, rules.lost_after);
            let told = match group.state {
                State::Serving { .. } => continue,
                State::Ramping { current, .. } => current,
                State::Starting
                | State::Free
                | State::Matching { .. }
                | State::Closing { .. }
                | State::SwitchingOff { .. }
                | State::Opening { .. }
                | State::Lost { .. }
                | State::Barred { .. } => gives,
            };
            left = (left - gives).max(Amps::ZERO);
            promised = (promised - told).max(Amps::ZERO);
        }
        (left, promised)
    }
}

#[cfg(test)]
mod tests;
