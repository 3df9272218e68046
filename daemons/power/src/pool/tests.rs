//! The pool against contactors, modules and cars as they are, in virtual time.

use proptest::prelude::{Just, ProptestConfig, Strategy, prop};
use proptest::{prop_assert, prop_oneof, proptest};
use voltry_units::{Amps, AmpsPerSecond, Timestamp, Volts};

use super::*;

mod faults;

const TICK: u64 = 100;
const AVAILABLE: Amps = Amps::new(50);
/// What a group can take from a vehicle.
const TAKES: Amps = Amps::new(30);
/// Milliseconds that modules need to turn.
const TURN: u64 = 2_000;
const BATTERY: Volts = Volts::new(400);
/// Milliseconds that a contactor needs.
const MOVES: u64 = 300;

fn rules() -> Rules {
    Rules {
        difference_max: Volts::new(20),
        opens_below: Amps::new(1),
        ramp: AmpsPerSecond::new(20),
        matching_current: Amps::new(1),
        load_high: 90,
        load_low: 80,
        efficiency: Efficiency::default(),
        dwell: Duration::from_secs(10),
        wear_hours: 100,
        contactor_time: Duration::from_secs(1),
        matching_time: Duration::from_secs(5),
        fresh: Duration::from_millis(500),
        lost_after: Duration::from_secs(15),
    }
}

fn at(milliseconds: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000 + milliseconds * 1000)
}

#[derive(Debug, Clone, Copy)]
struct Modules {
    volts: Volts,
    amps: Amps,
    told: Option<(Volts, Amps)>,
    /// They take, and from when on they do what they are told in their present direction.
    inverting: bool,
    turned: u64,
    /// Until when they hear and say nothing, and since when.
    silent: (u64, u64),
    hours: u32,
}

#[derive(Debug, Clone, Copy)]
struct Wire {
    contactor: Contactor,
    closed: bool,
    /// Where it is going, and when it is there.
    going: Option<(bool, u64)>,
    stuck: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Car {
    active: bool,
    wish: Amps,
    started: u64,
    /// What it asked for turned. By then its groups have, and what it asked for came.
    turned: u64,
    asked: [Amps; 6],
    got: Amps,
}

struct World {
    pool: Pool,
    modules: Vec<Modules>,
    wires: Vec<Wire>,
    cars: Vec<Car>,
    /// What the capacitance at each EVSE's side holds.
    bars: Vec<Volts>,
    now: u64,
    /// When something happened that a car may feel.
    disturbed: u64,
}

impl World {
    fn new(groups: usize, evses: usize, closed_at_start: &[bool]) -> Self {
        let contactors: Vec<_> =
            (0..groups).flat_map(|group| (0..evses).map(move |evse| Contactor { group, evse })).collect();
        let wire = |contactor: &Contactor| {
            let left = closed_at_start.get(contactor.group).copied().unwrap_or(false);
            Wire { contactor: *contactor, closed: left && contactor.evse == 0, going: None, stuck: false }
        };
        let modules = |group| Modules {
            volts: Volts::ZERO,
            amps: Amps::ZERO,
            told: None,
            inverting: false,
            turned: 0,
            silent: (0, 0),
            hours: 1000 + 10 * u32::try_from(group).unwrap(),
        };
        Self {
            pool: Pool::new(at(0), rules(), groups, evses, &contactors),
            modules: (0..groups).map(modules).collect(),
            wires: contactors.iter().map(wire).collect(),
            cars: vec![Car::default(); evses],
            bars: vec![Volts::ZERO; evses],
            now: 0,
            disturbed: 0,
        }
    }

    fn joined(&self, evse: usize) -> impl Iterator<Item = usize> + '_ {
        let closed = self.wires.iter().filter(move |wire| wire.closed && wire.contactor.evse == evse);
        closed.map(|wire| wire.contactor.group)
    }

    fn has_battery(&self, evse: usize) -> bool {
        let car = self.cars[evse];
        car.active && car.started != 0 && self.now >= car.started + 3_000
    }

    fn bus(&self, evse: usize) -> Volts {
        if self.has_battery(evse) {
            return BATTERY;
        }
        self.joined(evse).map(|group| self.modules[group].volts).max().unwrap_or(self.bars[evse])
    }

    /// Lets 100 ms pass; what must never happen is told.
    fn step(&mut self) -> Result<(), String> {
        self.now += TICK;
        self.flow();
        self.move_contactors()?;
        let mut actions = Vec::new();
        for group in 0..self.modules.len() {
            if !self.is_silent(group) {
                let seen = self.seen(group);
                actions.extend(self.pool.step(at(self.now), Input::Seen(group, seen)));
            }
        }
        for wire in self.wires.clone() {
            let position = if wire.closed { Position::Closed } else { Position::Open };
            actions.extend(self.pool.step(at(self.now), Input::Feedback(wire.contactor, position)));
        }
        for evse in 0..self.cars.len() {
            let want = self.want(evse);
            actions.extend(self.pool.step(at(self.now), Input::Want(evse, want)));
        }
        actions.extend(self.pool.step(at(self.now), Input::Tick));
        for action in actions {
            self.obey(action);
        }
        self.check()
    }

    fn is_silent(&self, group: usize) -> bool {
        (self.modules[group].silent.0..self.modules[group].silent.1).contains(&self.now)
    }

    fn seen(&self, group: usize) -> Seen {
        let Modules { volts, amps, told, hours, .. } = self.modules[group];
        Seen {
            at: at(self.now),
            voltage: volts,
            // By a twentieth less than it is.
            current: amps.abs() - amps.abs().scaled(1, 20),
            available: AVAILABLE,
            takes: TAKES,
            is_off: told.is_none(),
            hours,
        }
    }

    /// The EVSE: its first groups come, it energises, and asks for what it can get.
    fn want(&mut self, evse: usize) -> Want {
        let inverting = self.cars[evse].wish < Amps::ZERO;
        let capability = self.pool.capability(at(self.now), evse, inverting);
        let measured = Some(self.bus(evse));
        let have_to_turn = self.joined(evse).any(|group| self.modules[group].inverting != inverting);
        let car = &mut self.cars[evse];
        if car.active && car.started == 0 && capability > Amps::ZERO {
            car.started = self.now;
        }
        let enabled = car.active && car.started != 0;
        let flows = enabled && self.now >= car.started + 3_000;
        let current = if flows { car.wish.abs().min(capability) } else { Amps::ZERO };
        car.asked.rotate_right(1);
        car.asked[0] = if inverting { Amps::ZERO - current } else { current };
        let begins = car.asked[1] == Amps::ZERO || (car.asked[1] < Amps::ZERO) != inverting;
        if begins && current > Amps::ZERO && have_to_turn {
            // A contactor that closes is waited for.
            car.turned = self.now + TURN + 3_000;
        }
        Want { active: car.active, enabled, voltage: BATTERY, current, inverting, measured }
    }

    /// Modules follow within a tick; who hears nobody delivers for 10 s more.
    fn flow(&mut self) {
        for evse in 0..self.bars.len() {
            let falls = !self.has_battery(evse) && self.joined(evse).next().is_none();
            self.bars[evse] =
                if falls { (self.bars[evse] - Volts::new(15)).max(Volts::ZERO) } else { self.bus(evse) };
        }
        let joined: Vec<Option<usize>> = (0..self.modules.len())
            .map(|group| self.wires.iter().find(|wire| wire.closed && wire.contactor.group == group))
            .map(|wire| wire.map(|wire| wire.contactor.evse))
            .collect();
        for (group, joined) in joined.into_iter().enumerate() {
            let battery = joined.is_some_and(|evse| self.has_battery(evse));
            let it = &mut self.modules[group];
            let silent = (it.silent.0..it.silent.1).contains(&self.now);
            if silent && self.now >= it.silent.0 + 10_000 {
                it.told = None;
            }
            match it.told {
                Some((volts, amps)) => {
                    // At zero they stay as they are.
                    let inverting = amps < Amps::ZERO || amps == Amps::ZERO && it.inverting;
                    if it.inverting != inverting {
                        (it.inverting, it.turned) = (inverting, self.now + TURN);
                    }
                    it.amps = if battery && self.now >= it.turned { amps } else { Amps::ZERO };
                    let step = Volts::new(100);
                    let towards = volts.min(it.volts + step).max(it.volts - step);
                    it.volts = if battery { BATTERY } else { towards };
                }
                None => {
                    (it.amps, it.inverting, it.turned) = (Amps::ZERO, false, 0);
                    it.volts = if battery { BATTERY } else { (it.volts - Volts::new(60)).max(Volts::ZERO) };
                }
            }
        }
    }

    fn move_contactors(&mut self) -> Result<(), String> {
        for place in 0..self.wires.len() {
            let wire = self.wires[place];
            let Some((closes, when)) = wire.going else { continue };
            if self.now < when || wire.stuck {
                continue;
            }
            let (group, evse) = (wire.contactor.group, wire.contactor.evse);
            let difference = self.modules[group].volts.abs_diff(self.bus(evse));
            if closes && !wire.closed && difference > Volts::new(25) {
                return Err(format!("{:?} closes into {difference} at {}", wire.contactor, self.now));
            }
            if !closes && wire.closed && self.modules[group].amps.abs() > Amps::new(1) {
                return Err(format!("{:?} opens under {}", wire.contactor, self.modules[group].amps));
            }
            self.wires[place].closed = closes;
            self.wires[place].going = None;
        }
        Ok(())
    }

    fn obey(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Set { group, voltage, current } if !self.is_silent(group) => {
                self.modules[group].told = Some((voltage, current));
            }
            Action::Off(group) if !self.is_silent(group) => self.modules[group].told = None,
            Action::Set { .. } | Action::Off(_) => {}
            Action::Close(contactor) | Action::Open(contactor) => {
                let closes = matches!(action, Action::Close(_));
                let wire = self.wires.iter_mut().find(|wire| wire.contactor == contactor).unwrap();
                if wire.closed == closes {
                    wire.going = None;
                } else if wire.going.is_none_or(|(way, _)| way != closes) {
                    wire.going = Some((closes, now + MOVES));
                }
            }
        }
    }

    fn check(&mut self) -> Result<(), String> {
        for group in 0..self.modules.len() {
            let closed =
                self.wires.iter().filter(|wire| wire.closed && wire.contactor.group == group).count();
            if closed > 1 {
                return Err(format!("group {group} joins {closed} EVSEs at {}", self.now));
            }
        }
        for evse in 0..self.cars.len() {
            let got: Amps = self.joined(evse).map(|group| self.modules[group].amps).sum();
            let car = self.cars[evse];
            let most = car.asked.iter().copied().max().unwrap_or(Amps::ZERO);
            let least = car.asked.iter().copied().min().unwrap_or(Amps::ZERO);
            let disturbed = self.now < self.disturbed + 20_000;
            if got > most.max(Amps::ZERO) + Amps::new(1) && !disturbed {
                return Err(format!("EVSE {evse} gets {got} of {most} at {}", self.now));
            }
            if got < least.min(Amps::ZERO) - Amps::new(1) && !disturbed {
                return Err(format!("EVSE {evse} gives {got} of {least} at {}", self.now));
            }
            let (gives, takes) = (Amps::new(1), Amps::new(-1));
            if self.joined(evse).any(|group| self.modules[group].amps > gives)
                && self.joined(evse).any(|group| self.modules[group].amps < takes)
            {
                return Err(format!("one group of EVSE {evse} feeds another at {}", self.now));
            }
            let span = most - least;
            let turns = self.now < car.turned;
            let step = got.abs_diff(car.got);
            if step > span + Amps::new(5) && !disturbed && !turns {
                return Err(format!("EVSE {evse}: a step of {step} to {got} at {}", self.now));
            }
            self.cars[evse].got = got;
            let truth = AVAILABLE.scaled(i64::try_from(self.joined(evse).count()).unwrap(), 1);
            let told = self.pool.capability(at(self.now), evse, false);
            if told > truth {
                return Err(format!("EVSE {evse} is told {told} of {truth} at {}", self.now));
            }
        }
        Ok(())
    }

    fn run(&mut self, seconds: u64) {
        let until = self.now + seconds * 1000;
        while self.now < until {
            if let Err(what) = self.step() {
                panic!("{what}: {:?}", self.pool.groups());
            }
        }
    }

    fn serves(&self, evse: usize) -> usize {
        let serves =
            |group: &&Group| matches!(group.state, State::Serving { evse: whose, .. } if whose == evse);
        self.pool.groups().iter().filter(serves).count()
    }

    fn plug(&mut self, evse: usize, amps: i32) {
        self.cars[evse] = Car { active: true, wish: Amps::new(amps), ..Car::default() };
    }
}

#[test]
fn one_car_gets_as_many_groups_as_it_loads_well_and_no_more() {
    for (amps, groups) in [(0, 1), (30, 1), (44, 1), (80, 2), (170, 4), (500, 4)] {
        let mut world = World::new(4, 2, &[]);
        world.plug(0, amps);
        world.run(60);
        assert_eq!(world.serves(0), groups, "{amps} A");
        assert_eq!(world.cars[0].got, Amps::new(amps.min(200)), "{amps} A");
    }
}

#[test]
fn what_a_car_gives_is_taken_by_as_many_groups_as_it_loads_well() {
    for (amps, groups) in [(-20, 1), (-50, 2), (-500, 4)] {
        let mut world = World::new(4, 2, &[]);
        world.plug(0, amps);
        world.run(60);
        assert_eq!(world.serves(0), groups, "{amps} A");
        assert_eq!(world.cars[0].got, Amps::new(amps.max(-120)), "{amps} A");
    }
}

#[test]
fn the_groups_of_a_car_turn_together() {
    let mut world = World::new(4, 2, &[]);
    world.plug(0, 80);
    world.run(60);
    for (amps, got) in [(-55, -55), (80, 80), (-500, -120)] {
        world.cars[0].wish = Amps::new(amps);
        world.run(60);
        assert_eq!(world.cars[0].got, Amps::new(got), "{amps} A");
    }
}

/// What it gave would go into the others.
#[test]
fn nothing_is_taken_while_a_group_that_fell_silent_may_still_give() {
    let mut world = World::new(3, 1, &[]);
    world.plug(0, 120);
    world.run(60);
    world.modules[0].silent = (world.now, world.now + 60_000);
    world.disturbed = world.now;
    world.run(1);
    world.cars[0].wish = Amps::new(-60);
    world.run(8);
    assert!(world.modules[0].amps > Amps::ZERO, "it has not heard it");
    assert!(world.modules[1..].iter().all(|modules| modules.amps == Amps::ZERO));
    world.run(20);
    assert_eq!(world.cars[0].got, Amps::new(-60));
}

#[test]
fn a_second_car_gets_its_part_while_the_first_charges_and_gives_it_back() {
    let mut world = World::new(4, 2, &[]);
    world.plug(0, 190);
    world.run(60);
    assert_eq!((world.serves(0), world.serves(1)), (4, 0));
    world.plug(1, 190);
    world.run(60);
    assert_eq!((world.serves(0), world.serves(1)), (2, 2));
    assert_eq!((world.cars[0].got, world.cars[1].got), (Amps::new(100), Amps::new(100)));
    world.cars[1].wish = Amps::new(20);
    world.run(60);
    assert_eq!((world.serves(0), world.serves(1)), (3, 1));
    world.cars[1] = Car::default();
    world.run(60);
    assert_eq!((world.serves(0), world.serves(1)), (4, 0));
}

#[test]
fn a_load_is_spread_over_the_groups_that_lose_least_until_another_car_waits() {
    let mut world = World::new(3, 2, &[]);
    world.pool.rules.efficiency = Efficiency::through(&[(40, 970), (100, 920)]);
    world.plug(0, 40);
    world.run(60);
    assert_eq!((world.serves(0), world.cars[0].got), (2, Amps::new(40)), "80 % of one, 40 % of two");
    world.plug(1, 100);
    world.run(60);
    assert_eq!((world.serves(0), world.serves(1)), (1, 2));
    assert_eq!((world.cars[0].got, world.cars[1].got), (Amps::new(40), Amps::new(100)));
}

#[test]
fn a_worn_group_is_changed_for_a_fresh_one_without_the_car_noticing() {
    let mut world = World::new(2, 1, &[]);
    world.plug(0, 40);
    world.run(30);
    assert!(matches!(world.pool.groups()[0].state, State::Serving { .. }));
    world.modules[0].hours += 200;
    world.run(30);
    assert_eq!(world.pool.groups()[0].state, State::Free);
    assert_eq!((world.serves(0), world.cars[0].got), (1, Amps::new(40)));
}

#[test]
fn a_lost_group_is_left_out_at_once_replaced_and_taken_back() {
    let mut world = World::new(2, 1, &[]);
    world.plug(0, 40);
    world.run(20);
    world.modules[0].silent = (world.now, world.now + 30_000);
    world.disturbed = world.now;
    world.run(1);
    assert_eq!(world.pool.capability(at(world.now), 0, false), Amps::ZERO);
    world.run(25);
    assert_eq!((world.serves(0), world.cars[0].got), (1, Amps::new(40)));
    assert!(matches!(world.pool.groups()[0].state, State::Lost { .. }));
    world.run(30);
    assert_eq!(world.pool.groups()[0].state, State::Free);
}

#[test]
fn a_contactor_that_sticks_is_barred_until_somebody_clears_it() {
    let mut world = World::new(2, 2, &[]);
    world.plug(0, 80);
    world.run(30);
    let stuck =
        world.wires.iter_mut().find(|wire| wire.contactor == Contactor { group: 1, evse: 0 }).unwrap();
    assert!(stuck.closed);
    stuck.stuck = true;
    world.cars[0].wish = Amps::new(10);
    world.plug(1, 10);
    world.run(40);
    let barred =
        world.pool.groups().iter().filter(|group| matches!(group.state, State::Barred { .. })).count();
    assert!(barred <= 1 && world.serves(0) >= 1);
    world.wires.iter_mut().for_each(|wire| wire.stuck = false);
    let _ = world.pool.step(at(world.now), Input::ClearFaults);
    world.run(40);
    assert_eq!((world.serves(0), world.serves(1)), (1, 1));
}

#[test]
fn an_evse_without_its_lease_is_off_at_once() {
    let mut world = World::new(2, 1, &[]);
    world.plug(0, 90);
    world.run(30);
    let gone = Want { active: true, measured: Some(BATTERY), ..Want::default() };
    let actions = world.pool.step(at(world.now), Input::Want(0, gone));
    assert_eq!(actions, [Action::Off(0), Action::Off(1)], "and no contactor opens under current");
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Plug(i32),
    Wish(i32),
    Unplug,
    Silent(u64),
    Stick(usize),
    Mend,
    Wear(u32),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (-160..260_i32).prop_map(Event::Plug),
        4 => (-160..260_i32).prop_map(Event::Wish),
        2 => Just(Event::Unplug),
        1 => (100..60_000_u64).prop_map(Event::Silent),
        1 => (0..64_usize).prop_map(Event::Stick),
        1 => Just(Event::Mend),
        1 => (0..300_u32).prop_map(Event::Wear),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_no_two_evses_are_joined_and_no_contactor_breaks_a_current(
        groups in 1..6_usize,
        evses in 1..4_usize,
        left_closed in prop::collection::vec(proptest::bool::ANY, 0..6),
        events in prop::collection::vec((100..25_000_u64, 0..16_usize, event()), 1..16),
    ) {
        let mut world = World::new(groups, evses, &left_closed);
        for (gap, place, event) in events {
            let until = world.now + gap;
            while world.now < until {
                let stepped = world.step();
                prop_assert!(stepped.is_ok(), "{}: {:?}", stepped.unwrap_err(), world.pool.groups());
            }
            let (evse, group) = (place % evses, place % groups);
            match event {
                Event::Plug(amps) => world.plug(evse, amps),
                Event::Wish(amps) => world.cars[evse].wish = Amps::new(amps),
                Event::Unplug => world.cars[evse].active = false,
                Event::Silent(time) => {
                    // Who is silent already has heard nobody since then.
                    let since =
                        if world.is_silent(group) { world.modules[group].silent.0 } else { world.now };
                    world.modules[group].silent = (since, world.now + time);
                    world.disturbed = world.now + time;
                }
                Event::Stick(wire) => {
                    let wire = wire % world.wires.len();
                    world.wires[wire].stuck = true;
                }
                Event::Mend => {
                    world.wires.iter_mut().for_each(|wire| wire.stuck = false);
                    let _ = world.pool.step(at(world.now), Input::ClearFaults);
                }
                Event::Wear(hours) => world.modules[group].hours += hours,
            }
        }
    }
}
