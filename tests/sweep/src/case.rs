//! A seed, the case that it stands for, and how it is played.

use std::fmt;
use std::time::Duration;

use voltry_bus::EvseState;
use voltry_evse::energy_path::Input;

use crate::plant::World;
use crate::plant::troubles::{TROUBLES, Trouble, mend_all};
use crate::scenario::{Life, moments};

/// Between the two of a pair.
const APART: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_millis(60),
    Duration::from_millis(350),
    Duration::from_millis(1_100),
    Duration::from_secs(4),
];
/// A session that trouble does not end is stopped after this.
const LONG_ENOUGH: Duration = Duration::from_secs(40);
/// Then it ends; CableCheck and a phase's gap are the longest waits.
const ENDS: Duration = Duration::from_secs(120);
/// Mended, unplugged and cleared as often as a person tries, an EVSE is free within this.
const FREE: Duration = Duration::from_secs(60);

/// All cases there are.
pub struct Sweep {
    moments: Vec<(Life, String)>,
}

/// What happens in one case.
#[derive(Clone)]
pub struct Case {
    seed: u64,
    moment: usize,
    /// When within a tenth of a second readings and steps come.
    phases: [u64; 4],
    /// After the moment: a trouble, by its index, breaks or is mended.
    turns: Vec<(Duration, usize, bool)>,
}

impl Sweep {
    /// Finds the moments.
    #[must_use]
    pub fn new() -> Self {
        Self { moments: moments() }
    }

    /// How many seeds are single troubles, and how many pairs after them.
    #[must_use]
    pub fn sizes(&self) -> (u64, u64) {
        let (moments, troubles) = (self.moments.len() as u64, TROUBLES.len() as u64);
        (moments * troubles, moments * troubles * troubles)
    }

    /// The moments' names.
    pub fn moments(&self) -> impl Iterator<Item = String> {
        self.moments.iter().map(|(life, name)| format!("{}: {name}", life.name()))
    }

    /// The case of a seed.
    #[must_use]
    pub fn case(&self, seed: u64) -> Case {
        let (singles, pairs) = self.sizes();
        let (moments, troubles) = (self.moments.len() as u64, TROUBLES.len() as u64);
        let index = |number: u64| usize::try_from(number).expect("an index of a table");
        if seed < singles {
            let turns = vec![(Duration::ZERO, index(seed / moments), true)];
            return Case { seed, moment: index(seed % moments), phases: [0; 4], turns };
        }
        if seed < singles + pairs {
            // Spread, so that any part of the pairs has something of all.
            let pair = (seed - singles) * 7_368_787 % pairs;
            let (first, second) = (pair / moments / troubles, pair / moments % troubles);
            let apart = APART[index((first + second + pair % moments) % 5)];
            let turns = vec![(Duration::ZERO, index(first), true), (apart, index(second), true)];
            return Case { seed, moment: index(pair % moments), phases: [0, 3, 6, 9], turns };
        }
        let mut random = Random(seed);
        let mut turns = Vec::new();
        for _ in 0..=random.below(6) {
            let after = Duration::from_millis(10 * random.below(400));
            turns.push((after, index(random.below(troubles)), random.below(3) > 0));
        }
        let phases = [random.below(10), random.below(10), random.below(10), random.below(10)];
        Case { seed, moment: index(random.below(moments)), phases, turns }
    }

    /// Plays a case to its end, and panics with the rule that it breaks.
    pub fn play(&self, case: &Case) {
        let mut life = self.moments[case.moment].0.clone();
        life.world.phases = case.phases;
        for (after, which, breaks) in &case.turns {
            run(&mut life, *after);
            let Trouble { breaks: break_it, mends, .. } = TROUBLES[*which];
            if *breaks { break_it(&mut life.world) } else { mends(&mut life.world) }
        }
        settles(&mut life);
        comes_back(&mut life);
        if case.seed.is_multiple_of(8) {
            charges_again(&mut life);
        }
        life.billing.check(&life.world);
    }

    /// In words.
    #[must_use]
    pub fn describe(&self, case: &Case) -> String {
        let (life, moment) = &self.moments[case.moment];
        format!("{case}, from {:?} in {moment}", life.name())
    }
}

impl Default for Sweep {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (after, which, breaks)) in self.turns.iter().enumerate() {
            let Trouble { name, .. } = TROUBLES[*which];
            let (comma, mended) = (if at > 0 { ", " } else { "" }, if *breaks { "" } else { " mended" });
            write!(f, "{comma}{name}{mended} after {after:?}")?;
        }
        Ok(())
    }
}

fn run(life: &mut Life, time: Duration) {
    let end = life.world.now + time;
    while life.world.now < end {
        life.tick();
    }
}

/// Whether nothing is energised, and nothing is about to be.
fn is_quiet(world: &World) -> bool {
    let off = matches!(
        world.state(),
        EvseState::Available
            | EvseState::Faulted
            | EvseState::Finished
            | EvseState::Starting
            | EvseState::Unavailable
            | EvseState::Paused
    );
    off && world.runs() && !world.devices.contactors && !world.devices.supply_on
}

/// What broke has all the time that its rule needs; whoever charges on is stopped.
fn settles(life: &mut Life) {
    run(life, Duration::from_secs(3));
    let begin = life.world.now;
    let mut stopped = false;
    let mut quiet = 0;
    while quiet < 100 {
        life.tick();
        quiet = if is_quiet(&life.world) { quiet + 1 } else { 0 };
        let been = life.world.now.since(begin);
        if been > LONG_ENOUGH && !stopped {
            stopped = true;
            life.world.send(Input::Stop);
        }
        if been > LONG_ENOUGH + ENDS {
            return; // A loop that stalls, or contactors that are welded, end when they are mended.
        }
    }
}

fn comes_back(life: &mut Life) {
    life.ends_scenario();
    mend_all(&mut life.world);
    run(life, Duration::from_millis(1_500));
    life.world.vehicle.unplug();
    let begin = life.world.now;
    let mut looks = 0;
    while life.world.state() != EvseState::Available || life.world.dead_until.is_some() {
        let been = life.world.now.since(begin);
        assert!(been < FREE, "{} after {been:?}: {:?}", life.world.state(), life.world.path.faults());
        // A person looks every five seconds.
        if been.as_secs() / 5 > looks {
            looks += 1;
            life.world.send(Input::ClearFaults);
        }
        life.tick();
    }
    assert_eq!(life.world.path.faults(), [], "free, with a fault");
}

fn charges_again(life: &mut Life) {
    life.world.vehicle.repair();
    life.world.vehicle.enough = 24.0;
    life.world.vehicle.plug();
    let begin = life.world.now;
    while life.world.state() != EvseState::Charging {
        let been = life.world.now.since(begin);
        let world = &life.world;
        assert!(been < FREE, "does not charge again: {} with {:?}", world.state(), world.path.faults());
        life.tick();
    }
    run(life, Duration::from_secs(3));
    life.world.send(Input::Stop);
    settles(life);
    comes_back(life);
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}
