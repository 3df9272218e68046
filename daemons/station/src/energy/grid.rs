//! What other consumers leave of the grid connection, by the meter at it.
//!
//! The meter counts the EVSEs too. What they draw is subtracted as it was at the instant of the meter's
//! reading, between two of their own measurements: of different instants a ramp of ours would look like
//! somebody else's load, and be answered with a throttle that makes the next one.

use std::collections::VecDeque;
use std::time::Duration;

use voltry_units::{Amps, Timestamp, Volts, Watts};

/// A reading waits so long for the EVSEs' measurements that lie behind it.
const WAITS: Duration = Duration::from_millis(1200);
/// A measurement says nothing of what an EVSE drew so long after it.
const FRESH: Duration = Duration::from_secs(3);
/// Measurements kept of an EVSE.
const KEPT: usize = 8;
/// Readings that may wait.
const PENDING: usize = 4;

/// What is agreed about the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Watts that everything behind it may take together.
    pub limit: Watts,
    /// Amperes that each phase may carry; `None`: only the sum counts.
    pub phase_limit: Option<Amps>,
    /// The meter is silent when it has said nothing for this long.
    pub silent_after: Duration,
    /// What the station may take then.
    pub silent_floor: Watts,
}

/// The station's own losses, on the way from the connection to its outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Losses {
    /// Of what is taken, thousandths that come out.
    pub efficiency: i64,
    /// What the station takes besides: cooling, controllers.
    pub own: Watts,
}

impl Losses {
    /// What comes out of so much.
    #[must_use]
    pub fn output(self, mains: Watts) -> Watts {
        (mains - self.own).max(Watts::ZERO).scaled(self.efficiency, 1000)
    }

    /// What is taken for so much.
    #[must_use]
    pub fn mains(self, output: Watts) -> Watts {
        output.scaled(1000, self.efficiency) + self.own
    }
}

/// One phase of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// To neutral.
    pub voltage: Volts,
    /// What it carries; without a sign, as most meters tell it.
    pub current: Amps,
}

/// What the meter at the connection read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub at: Timestamp,
    /// Taken from the grid.
    pub power: Watts,
}

/// Why the connection leaves no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The connection's power.
    Power,
    /// The phase that carries most, from 1.
    Phase(u8),
    /// The meter is silent, or tells no phases where each is limited.
    Silent,
}

/// The connection as it is seen.
#[derive(Debug, Clone)]
pub struct Grid {
    connection: Connection,
    losses: Losses,
    drawn: Vec<VecDeque<(Timestamp, Watts)>>,
    pending: VecDeque<(Reading, Option<[Phase; 3]>)>,
    phases: Option<(Timestamp, [Phase; 3])>,
    /// What was left by the newest readings, the newest last; the lowest of them counts.
    left: VecDeque<(Watts, Because)>,
    heard_at: Option<Timestamp>,
    began: Timestamp,
}

impl Grid {
    /// A connection that `evses` EVSEs hang on.
    #[must_use]
    pub fn new(now: Timestamp, connection: Connection, losses: Losses, evses: usize) -> Self {
        Self {
            connection,
            losses,
            drawn: vec![VecDeque::new(); evses],
            pending: VecDeque::new(),
            phases: None,
            left: VecDeque::new(),
            heard_at: None,
            began: now,
        }
    }

    /// An EVSE measured what it draws, at its output; negative: what its vehicle gives.
    pub fn hear_evse(&mut self, place: usize, at: Timestamp, power: Watts) {
        let drawn = &mut self.drawn[place];
        if drawn.back().is_some_and(|(last, _)| at <= *last) {
            return;
        }
        if drawn.len() >= KEPT {
            drawn.pop_front();
        }
        drawn.push_back((at, power));
    }

    /// The phases of the meter; with a reading of the same instant, they come first.
    pub fn hear_phases(&mut self, at: Timestamp, phases: [Phase; 3]) {
        self.phases = Some((at, phases));
    }

    /// The meter read what is drawn. Where each phase is limited a reading without its phases says nothing: a meter
    /// that tells none is silent.
    pub fn hear_meter(&mut self, reading: Reading) {
        let phases = self.phases.filter(|(at, _)| *at == reading.at).map(|(_, phases)| phases);
        let tells = self.connection.phase_limit.is_none() || phases.is_some();
        if !tells || self.heard_at.is_some_and(|heard| reading.at <= heard) {
            return;
        }
        self.heard_at = Some(reading.at);
        if self.pending.len() >= PENDING {
            self.pending.pop_front();
        }
        self.pending.push_back((reading, phases));
    }

    /// What the whole station may take from the connection now, and why no more.
    pub fn left(&mut self, now: Timestamp) -> (Watts, Because) {
        while let Some((reading, phases)) = self.pending.front().copied() {
            let behind = |drawn: &VecDeque<(Timestamp, Watts)>| {
                drawn.back().is_none_or(|(at, _)| *at >= reading.at || reading.at.since(*at) > FRESH)
            };
            if !self.drawn.iter().all(behind) && now.since(reading.at) < WAITS {
                break;
            }
            self.pending.pop_front();
            let own = self.at_the_mains(reading.at);
            if self.left.len() >= 2 {
                self.left.pop_front();
            }
            self.left.push_back(self.left_by(reading, phases, own));
        }
        let since = self.heard_at.unwrap_or(self.began);
        if now.since(since) >= self.connection.silent_after {
            self.left.clear();
            return (self.connection.silent_floor.min(self.connection.limit), Because::Silent);
        }
        let lowest = self.left.iter().copied().min_by_key(|(left, _)| *left);
        // Until the meter has spoken, what holds without it.
        lowest.unwrap_or((self.connection.silent_floor.min(self.connection.limit), Because::Silent))
    }

    /// Whether what each phase carries is limited.
    #[must_use]
    pub const fn limits_phases(&self) -> bool {
        self.connection.phase_limit.is_some()
    }

    /// When the connection leaves something else though nobody said anything.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = self.pending.front().map(|(reading, _)| reading.at + WAITS);
        let silent = self.heard_at.unwrap_or(self.began) + self.connection.silent_after;
        waits.into_iter().chain([silent]).filter(|time| *time > now).min()
    }

    /// What the station took from the mains at an instant.
    fn at_the_mains(&self, at: Timestamp) -> Watts {
        let powers = || self.drawn.iter().map(|drawn| between(drawn, at));
        let drawn = powers().map(|power| power.max(Watts::ZERO)).sum();
        let given: Watts = powers().map(|power| (-power).max(Watts::ZERO)).sum();
        self.losses.mains(drawn) - given.scaled(self.losses.efficiency, 1000)
    }

    fn left_by(&self, reading: Reading, phases: Option<[Phase; 3]>, own: Watts) -> (Watts, Because) {
        // What is fed in behind the connection may be gone the next moment: it is not counted on.
        let others = (reading.power - own).max(Watts::ZERO);
        let by_power = ((self.connection.limit - others).max(Watts::ZERO), Because::Power);
        let (Some(limit), Some(phases)) = (self.connection.phase_limit, phases) else { return by_power };
        let by_phase = (1..).zip(phases).map(|(number, phase)| {
            let ours = own.scaled(1, 3).at(phase.voltage).unwrap_or(Amps::ZERO);
            let others = (phase.current - ours).max(Amps::ZERO);
            // The modules load the phases alike: what one lacks none can use.
            ((phase.voltage * (limit - others)).scaled(3, 1), Because::Phase(number))
        });
        let (left, because) = by_phase.chain([by_power]).min_by_key(|(left, _)| *left).unwrap_or(by_power);
        (left.max(Watts::ZERO), because)
    }
}

/// What an EVSE drew at an instant, on the line between its measurements around it.
fn between(drawn: &VecDeque<(Timestamp, Watts)>, at: Timestamp) -> Watts {
    let after = drawn.iter().find(|(time, _)| *time >= at);
    let before = drawn.iter().rfind(|(time, _)| *time < at && at.since(*time) <= FRESH);
    match (before, after) {
        (Some((from, low)), Some((to, high))) => {
            let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
            *low + (*high - *low).scaled(micros(at.since(*from)), micros(to.since(*from)).max(1))
        }
        (Some((_, power)), None) => *power,
        // It was not there yet, or what it said is too old.
        (None, Some((time, power))) if *time == at => *power,
        (None, _) => Watts::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOSSES: Losses = Losses { efficiency: 950, own: Watts::new(1_000) };

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_micros(100_000_000 + milliseconds * 1000)
    }

    fn grid() -> Grid {
        let connection = Connection {
            limit: Watts::new(200_000),
            phase_limit: None,
            silent_after: Duration::from_secs(5),
            silent_floor: Watts::new(20_000),
        };
        Grid::new(at(0), connection, LOSSES, 1)
    }

    fn hear(grid: &mut Grid, ms: u64, watts: i32) {
        grid.hear_meter(Reading { at: at(ms), power: Watts::new(watts) });
    }

    #[test]
    fn others_behind_the_connection_leave_less_and_our_own_draw_is_not_theirs() {
        let mut grid = grid();
        grid.hear_evse(0, at(900), Watts::new(95_000));
        hear(&mut grid, 1000, 131_000);
        grid.hear_evse(0, at(1900), Watts::new(95_000));
        // 131 kW are 100 for the EVSE's 95, 1 of the station's own, and 30 of others.
        assert_eq!(grid.left(at(1900)), (Watts::new(170_000), Because::Power));
    }

    #[test]
    fn a_silent_meter_leaves_its_floor_after_its_time_and_before_its_first_word() {
        let mut grid = grid();
        assert_eq!(grid.left(at(10)), (Watts::new(20_000), Because::Silent));
        hear(&mut grid, 1000, 50_000);
        assert_eq!(grid.left(at(5999)).1, Because::Power);
        assert_eq!(grid.next(at(5999)), Some(at(6000)));
        assert_eq!(grid.left(at(6000)), (Watts::new(20_000), Because::Silent));
        hear(&mut grid, 7000, 50_000);
        assert_eq!(grid.left(at(7000)).1, Because::Power);
    }

    #[test]
    fn what_is_fed_in_behind_the_connection_is_not_counted_on() {
        let mut grid = grid();
        hear(&mut grid, 1000, -80_000);
        assert_eq!(grid.left(at(1000)).0, Watts::new(200_000));
    }

    #[test]
    fn what_a_vehicle_of_ours_gives_is_not_counted_on_either() {
        let mut grid = grid();
        grid.hear_evse(0, at(1000), Watts::new(-30_000));
        hear(&mut grid, 1000, 100_000);
        // 28.5 kW arrive at the mains, and the station's own kilowatt is in the reading: others take 127.5.
        assert_eq!(grid.left(at(1000)).0, Watts::new(72_500));
    }

    #[test]
    fn the_phase_that_carries_most_decides() {
        let mut grid = grid();
        grid.connection.phase_limit = Some(Amps::new(200));
        let phase = |amps| Phase { voltage: Volts::new(230), current: Amps::new(amps) };
        grid.hear_phases(at(1000), [phase(20), phase(120), phase(20)]);
        hear(&mut grid, 1000, 36_800);
        let (left, because) = grid.left(at(1000));
        assert_eq!(because, Because::Phase(2));
        // 80 A and a third of the station's own kilowatt are left on it, three times.
        assert!(left.abs_diff(Watts::new(56_200)) < Watts::new(5), "{left}");
    }

    #[test]
    fn where_each_phase_is_limited_a_meter_that_tells_no_phases_is_silent() {
        let mut grid = grid();
        grid.connection.phase_limit = Some(Amps::new(200));
        let phases = [Phase { voltage: Volts::new(230), current: Amps::new(20) }; 3];
        grid.hear_phases(at(1000), phases);
        hear(&mut grid, 1000, 13_800);
        assert!(matches!(grid.left(at(1000)).1, Because::Phase(_)));
        for ms in (2000..=6000).step_by(1000) {
            hear(&mut grid, ms, 13_800);
        }
        assert!(matches!(grid.left(at(5999)).1, Because::Phase(_)), "some that were lost are borne");
        assert_eq!(grid.left(at(6000)), (Watts::new(20_000), Because::Silent));
        // Of another instant they say nothing of this one.
        grid.hear_phases(at(6900), phases);
        hear(&mut grid, 7000, 13_800);
        assert_eq!(grid.left(at(7000)), (Watts::new(20_000), Because::Silent));
    }

    proptest! {
        #[test]
        fn a_ramp_of_ours_is_never_taken_for_others(
            slope in -100..100_i64, start in 0..200_i64, offset in 0..1000_u64, base in 0..60_i64,
        ) {
            // Watts a millisecond, from kilowatts; one measurement and one reading a second.
            let ours = |ms: u64| Watts::from_milli(((start * 1000 + slope * i64::try_from(ms).unwrap()).max(0)) * 1000);
            let mut grid = grid();
            grid.connection.limit = Watts::new(1_000_000);
            let linear = (0..6_u64).all(|second| ours(second * 1000 + 999) > Watts::ZERO);
            prop_assume!(linear && start > 0);
            for second in 0..5_u64 {
                grid.hear_evse(0, at(second * 1000), ours(second * 1000));
                let read = second * 1000 + offset;
                let power = LOSSES.mains(ours(read)) + Watts::from_milli(base * 1_000_000);
                grid.hear_meter(Reading { at: at(read), power });
                if second > 0 {
                    let (left, _) = grid.left(at(second * 1000 + 999));
                    let others = Watts::new(1_000_000) - left;
                    prop_assert!(others.abs_diff(Watts::from_milli(base * 1_000_000)) < Watts::new(1), "{}", others);
                }
            }
        }
    }
}
