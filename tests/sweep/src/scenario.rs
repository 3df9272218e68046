//! The sessions that troubles come upon, and their moments: each distinct step, when it begins and when half of
//! it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use voltry_bus::{EvseState, LinkPhase};
use voltry_evse::energy_path::{Input, Installation};
use voltry_units::Timestamp;

use crate::billing::Billing;
use crate::plant::{Again, Devices, World, installation};

/// Something that belongs to the scenario, once, so long after a state was entered.
type Event = (EvseState, Duration, fn(&mut World));

/// A session as it goes without trouble.
struct Scenario {
    name: &'static str,
    with_lock: bool,
    guarded: bool,
    /// Energy may be taken from the vehicle.
    gives: bool,
    prepare: fn(&mut World),
    events: &'static [Event],
}

/// So much of the shared modules is this EVSE's: what others have comes and goes.
fn shares(world: &mut World, percent: i64) {
    let all = Devices::default().capability;
    let own = &mut world.devices.capability;
    (own.current_max, own.power_max) =
        (all.current_max.scaled(percent, 100), all.power_max.scaled(percent, 100));
}

const PLUG: Event = (EvseState::Available, Duration::from_millis(500), |w| w.vehicle.plug());

#[rustfmt::skip]
const SCENARIOS: [Scenario; 10] = [
    Scenario { name: "the vehicle has enough", with_lock: false, guarded: true, gives: false, prepare: |_| {}, events: &[PLUG] },
    Scenario { name: "the station stops", with_lock: true, guarded: false, gives: false, prepare: |_| {}, events: &[
        PLUG, (EvseState::Charging, Duration::from_secs(4), |w| w.send(Input::Stop)),
    ] },
    Scenario { name: "the vehicle pauses", with_lock: false, guarded: true, gives: false, prepare: |w| w.vehicle.again = Some(Again::Pause), events: &[
        PLUG, (EvseState::Paused, Duration::from_secs(2), |w| w.vehicle.wake()),
    ] },
    Scenario { name: "another service", with_lock: true, guarded: true, gives: false, prepare: |w| w.vehicle.again = Some(Again::AnotherService), events: &[PLUG] },
    Scenario { name: "an emergency", with_lock: false, guarded: true, gives: false, prepare: |_| {}, events: &[
        PLUG,
        (EvseState::Charging, Duration::from_secs(4), |w| w.devices.emergency_stop = true),
        (EvseState::Faulted, Duration::from_secs(1), |w| w.devices.emergency_stop = false),
        (EvseState::Faulted, Duration::from_secs(2), |w| w.send(Input::ClearFaults)),
    ] },
    Scenario { name: "an error shutdown", with_lock: false, guarded: true, gives: false, prepare: |w| w.vehicle.current_max = 300.0, events: &[
        PLUG,
        (EvseState::Charging, Duration::from_secs(4), |w| w.devices.insulation = 50_000.0),
        (EvseState::Faulted, Duration::from_secs(1), |w| w.devices.insulation = 2_000_000.0),
        (EvseState::Faulted, Duration::from_secs(2), |w| w.vehicle.unplug()),
    ] },
    Scenario { name: "out of service and back", with_lock: true, guarded: true, gives: false, prepare: |_| {}, events: &[
        (EvseState::Available, Duration::from_millis(300), |w| w.send(Input::Available(false))),
        (EvseState::Unavailable, Duration::from_secs(1), |w| w.send(Input::Available(true))),
        PLUG,
    ] },
    // As an EVSE sees a rack that others share: none without a vehicle, some later, more, and then less.
    Scenario { name: "modules of a shared rack", with_lock: false, guarded: true, gives: false, prepare: |w| shares(w, 0), events: &[
        PLUG,
        (EvseState::Parameters, Duration::from_millis(500), |w| shares(w, 50)),
        (EvseState::Charging, Duration::from_secs(2), |w| shares(w, 100)),
        (EvseState::Charging, Duration::from_secs(4), |w| shares(w, 25)),
    ] },
    Scenario { name: "S2 opened to renegotiate", with_lock: true, guarded: true, gives: false, prepare: |w| w.vehicle.again = Some(Again::RenegotiationInB), events: &[PLUG] },
    Scenario { name: "the vehicle gives, then takes", with_lock: false, guarded: true, gives: true, prepare: |w| (w.vehicle.gives, w.vehicle.soc, w.vehicle.enough) = (50.0, 80.0, 99.0), events: &[
        PLUG,
        (EvseState::Charging, Duration::from_secs(3), |w| w.vehicle.gives = 0.0),
        (EvseState::Charging, Duration::from_secs(6), |w| w.send(Input::Stop)),
    ] },
];

/// A scenario under way. A copy goes on by itself from where it is.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) world: World,
    pub(crate) billing: Billing,
    scenario: usize,
    done: Vec<bool>,
    entered: (EvseState, Timestamp),
}

impl Life {
    fn of(scenario: usize) -> Self {
        let Scenario { with_lock, guarded, gives, prepare, events, .. } = &SCENARIOS[scenario];
        let mut world = World::with(Installation {
            has_lock: *with_lock,
            over_voltage_monitor: *guarded,
            discharge: *gives,
            ..installation()
        });
        world.devices.has_lock = *with_lock;
        world.authorize = false;
        world.vehicle.enough = 24.0;
        prepare(&mut world);
        let entered = (world.state(), world.now);
        Self { world, billing: Billing::default(), scenario, done: vec![false; events.len()], entered }
    }

    pub(crate) fn name(&self) -> &'static str {
        SCENARIOS[self.scenario].name
    }

    /// What belongs to the scenario and has not come to pass does not any more; what others had is free.
    pub(crate) fn ends_scenario(&mut self) {
        shares(&mut self.world, 100);
        self.done.fill(true);
    }

    /// One physical step, with what belongs to the scenario.
    pub(crate) fn tick(&mut self) {
        let state = self.world.state();
        if state != self.entered.0 {
            self.entered = (state, self.world.now);
        }
        let been = self.world.now.since(self.entered.1);
        for (event, done) in SCENARIOS[self.scenario].events.iter().zip(&mut self.done) {
            if !*done && event.0 == state && been >= event.1 {
                *done = true;
                (event.2)(&mut self.world);
            }
        }
        self.world.tick();
        self.billing.act(&mut self.world);
    }

    /// Whether all events have happened and the vehicle has gone.
    fn is_over(&self) -> bool {
        self.done.iter().all(|done| *done)
            && self.world.state() == EvseState::Available
            && self.world.now.since(self.entered.1) > Duration::from_secs(1)
    }

    /// What tells one step of a session from another.
    fn step(&self) -> Step {
        let world = &self.world;
        Step {
            state: world.state(),
            waits_for: world.path.waits_for(),
            phase: world.vehicle.phase,
            contactors: world.devices.contactors,
            output: world.devices.supply_on,
            current: if world.devices.set_current.abs() > 2.0 {
                world.devices.set_current.signum()
            } else {
                0.0
            },
            locked: world.devices.locked,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    state: EvseState,
    waits_for: &'static str,
    phase: LinkPhase,
    contactors: bool,
    output: bool,
    /// Which way: its sign, or zero.
    current: f64,
    locked: bool,
}

/// The worlds as they are when each distinct step of a scenario begins, and when half of it is over.
pub(crate) fn moments() -> Vec<(Life, String)> {
    let mut all = Vec::new();
    for scenario in 0..SCENARIOS.len() {
        all.extend(moments_of(scenario));
    }
    all
}

fn moments_of(scenario: usize) -> Vec<(Life, String)> {
    let mut steps: Vec<(Step, u32, u32)> = Vec::new();
    let mut life = Life::of(scenario);
    let mut tick = 0;
    while !life.is_over() {
        let step = life.step();
        match steps.iter_mut().rev().find(|(known, ..)| *known == step) {
            // Coming back to a step is no new one.
            Some((_, _, end)) if *end + 1 == tick => *end = tick,
            Some(_) => {}
            None => steps.push((step, tick, tick)),
        }
        life.tick();
        tick += 1;
        assert!(tick < 20_000, "{:?} does not end: {}", life.name(), life.world.state());
    }
    let mut wanted: BTreeMap<u32, String> = BTreeMap::new();
    for (step, first, last) in steps {
        let name = format!("{} ({}), {:?}", step.state, step.waits_for, step.phase);
        if last > first + 20 {
            wanted.insert(first + (last - first) / 2, format!("{name}, half over"));
        }
        wanted.insert(first, name);
    }
    let mut life = Life::of(scenario);
    let mut moments = Vec::new();
    for tick in 0..=*wanted.keys().last().expect("a session has steps") {
        if let Some(name) = wanted.remove(&tick) {
            moments.push((life.clone(), name));
        }
        life.tick();
    }
    moments
}
