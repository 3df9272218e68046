//! A small honest circuit, its devices and a vehicle, under virtual time, around one energy path.
//!
//! Honest: the devices keep their leases by themselves, voltages come from charge and load and
//! never from what was commanded, and every step is held to the rules of [`checker`].
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)] // each test uses a part
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // as in any test

pub mod checker;
mod devices;
mod guard;
mod lease;
mod misled;
pub mod player;
pub mod troubles;
mod vehicle;

use std::time::Duration;

use voltry_bus::{Authorization, EvseState};
use voltry_evse::energy_path::{
    Action, Checked, Command, EnergyPath, Fault, Input, Installation, MeterReading, Permit, Profile, Refusal,
    Report, Role, StaysLocked,
};
use voltry_units::{Amps, Measured, Timestamp, Volts, WattHours, Watts};

use checker::Checker;
pub use devices::Devices;
pub use guard::Guard;
pub use vehicle::{Again, Vehicle};

/// One physical step.
const STEP: Duration = Duration::from_millis(10);

pub fn installation() -> Installation {
    Installation {
        profile: Profile::named("iec61851-23-2023").unwrap(),
        voltage_max: Volts::new(1000),
        current_max: Amps::new(200),
        has_lock: false,
        meter_required: true,
        monitor_measures_voltage: false,
        over_voltage_monitor: true,
        discharge: false,
    }
}

#[derive(Clone)]
pub struct World {
    pub now: Timestamp,
    pub path: EnergyPath,
    pub devices: Devices,
    pub vehicle: Vehicle,
    /// Roles whose streams have stopped.
    pub silent: Vec<Role>,
    /// The control loop does not run.
    pub stalled: bool,
    pub authorize: bool,
    pub permit: bool,
    pub share: Watts,
    /// An over-voltage monitor is bound.
    pub guarded: bool,
    /// Every input, in order, where a test wants them.
    pub script: Option<Vec<(Timestamp, Input)>>,
    /// The actions of the step in which a fault was reported, with it.
    pub faults_reported: Vec<(Fault, Vec<Action>)>,
    pub states: Vec<EvseState>,
    /// Roles that are off the bus.
    pub gone: Vec<Role>,
    /// The process is dead; a new one starts then.
    pub dead_until: Option<Timestamp>,
    /// When within a tenth of a second supply, cable, board and tick come, in physical steps.
    pub phases: [u64; 4],
    /// Every other reading of the supply is lost.
    pub garbled: bool,
    /// What checks of the self-test found.
    pub checked: Vec<Checked>,
    /// What came of wishes to have the plug unlocked.
    pub unlocks: Vec<Result<(), StaysLocked>>,
    inbox: Vec<Input>,
    steps: u64,
    checker: Checker,
    installation: Installation,
}

impl World {
    pub fn new() -> Self {
        Self::with(installation())
    }

    pub fn with(installation: Installation) -> Self {
        let guarded = installation.over_voltage_monitor;
        let mut world = Self {
            now: Timestamp::from_micros(100_000_000),
            path: EnergyPath::new(installation.clone()),
            devices: Devices::default(),
            vehicle: Vehicle::default(),
            silent: Vec::new(),
            stalled: false,
            authorize: true,
            permit: true,
            share: Watts::new(150_000),
            guarded,
            script: None,
            faults_reported: Vec::new(),
            states: Vec::new(),
            gone: Vec::new(),
            dead_until: None,
            phases: [0; 4],
            garbled: false,
            checked: Vec::new(),
            unlocks: Vec::new(),
            inbox: Vec::new(),
            steps: 0,
            checker: Checker::default(),
            installation,
        };
        world.meets_providers();
        world
    }

    /// What a starting process finds on the bus.
    fn meets_providers(&mut self) {
        let played =
            |role: &Role| !self.gone.contains(role) && (self.guarded || *role != Role::OverVoltageMonitor);
        self.inbox.extend(Role::ALL.into_iter().filter(played).map(Input::Found));
    }

    /// The process is killed, and started again after this time.
    pub fn kill(&mut self, pause: Duration) {
        self.dead_until = Some(self.now + pause);
        self.devices.holder_leaves(self.now);
    }

    /// Whether a process is there and runs.
    pub fn runs(&self) -> bool {
        !self.stalled && self.dead_until.is_none()
    }

    pub fn installation(&self) -> &Installation {
        &self.installation
    }

    /// An input, behind what waits already.
    pub fn send(&mut self, input: Input) {
        self.inbox.push(input);
    }

    /// The vehicle's conversation breaks off.
    pub fn breaks_off(&mut self) {
        let mut inbox = std::mem::take(&mut self.inbox);
        self.vehicle.breaks_off(self.now, &mut inbox);
        self.inbox = inbox;
    }

    /// This role's provider leaves the bus, and its streams end.
    pub fn leaves(&mut self, role: Role) {
        if !self.gone.contains(&role) {
            self.gone.push(role);
            if role == Role::PowerSupply {
                self.devices.commands_modules(false);
            }
            self.inbox.push(Input::Lost(role));
        }
    }

    /// Whoever left is back.
    pub fn come_back(&mut self, role: Role) {
        if self.gone.contains(&role) {
            self.gone.retain(|gone| *gone != role);
            if role == Role::PowerSupply {
                self.devices.commands_modules(true);
            }
            self.inbox.push(Input::Found(role));
        }
    }

    /// A world whose EVSE is free, or a panic.
    pub fn available() -> Self {
        let mut world = Self::new();
        world.until(EvseState::Available);
        world
    }

    /// A world that has charged for some seconds.
    pub fn charging() -> Self {
        let mut world = Self::available();
        world.vehicle.plug();
        world.until(EvseState::Charging);
        world.run(Duration::from_secs(5));
        assert!(world.devices.current > 50.0, "only {} A", world.devices.current);
        world
    }

    pub fn state(&self) -> EvseState {
        self.path.state()
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.tick();
        }
    }

    /// Runs until the state is reached; at most two minutes.
    pub fn until(&mut self, state: EvseState) {
        self.until_true(Duration::from_secs(120), &format!("{state}"), |world| world.state() == state);
    }

    pub fn until_true(&mut self, time: Duration, what: &str, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(
                self.now.since(start) < time,
                "never {what}: {} with {:?}, link {:?}, {:.0}/{:.0} V {:.1} A, saw {:?}",
                self.state(),
                self.path.faults(),
                self.vehicle.phase,
                self.devices.module,
                self.devices.cable,
                self.devices.current,
                self.states,
            );
            self.tick();
        }
        self.now.since(start)
    }

    pub fn feed(&mut self, input: Input) {
        self.checker.hears(self.now, &input);
        if let Some(script) = self.script.as_mut() {
            script.push((self.now, input));
        }
        let before = self.path.state();
        let actions = self.path.step(self.now, input).to_vec();
        if self.path.state() != before {
            self.states.push(self.path.state());
        }
        for action in &actions {
            match action {
                Action::Do(command) => {
                    if self.gone.contains(&command.role()) {
                        self.inbox.push(Input::Refused(*command, Refusal::Unavailable));
                    } else if self.devices.obey(*command, self.now) {
                        self.vehicle.hear(*command);
                    } else {
                        let renewal =
                            matches!(command, Command::RenewSupply(_) | Command::RenewContactors(_));
                        let too_old = self.devices.was_too_old() || renewal;
                        let refusal = match (too_old, renewal && self.devices.has_let_go()) {
                            (_, true) => Refusal::NotCurrent,
                            (true, false) => Refusal::TooOld,
                            (false, false) => Refusal::Device,
                        };
                        self.inbox.push(Input::Refused(*command, refusal));
                    }
                }
                Action::Report(Report::Fault(fault)) => self.faults_reported.push((*fault, actions.clone())),
                Action::Report(Report::Checked(checked)) => self.checked.push(*checked),
                Action::Report(Report::Unlock(unlocked)) => self.unlocks.push(*unlocked),
                Action::Report(_) => {}
            }
        }
        let mut checker = std::mem::take(&mut self.checker);
        checker.acts(self, before, &input, &actions);
        self.checker = checker;
    }

    /// One physical step, and what the process does in it.
    pub fn tick(&mut self) {
        self.now = self.now + STEP;
        self.steps += 1;
        self.devices.flow(STEP, self.now, &self.vehicle);
        self.vehicle.act(self.now, &self.devices, &mut self.inbox);
        self.measure();
        if self.dead_until.is_some_and(|until| self.now >= until) {
            self.dead_until = None;
            self.path = EnergyPath::new(self.installation.clone());
            self.inbox.clear();
            self.meets_providers();
        }
        if self.runs() {
            for input in std::mem::take(&mut self.inbox) {
                self.feed(input);
            }
            if self.steps % 10 == self.phases[3] {
                self.feed(Input::Tick);
            }
        }
        let mut checker = std::mem::take(&mut self.checker);
        checker.looks(self);
        self.checker = checker;
    }

    fn measure(&mut self) {
        let at = self.now;
        let speaks = |role| !self.silent.contains(&role) && !self.gone.contains(&role);
        let volts = |value: f64| Volts::from_si(value).unwrap();
        let [supply, cable, board, _] = self.phases.map(|phase| self.steps % 10 == phase);
        if supply && speaks(Role::PowerSupply) && !self.devices.can_cut {
            if self.steps % 100 == self.phases[0] {
                self.inbox.push(Input::Capability(self.devices.able()));
                if self.installation.discharge {
                    self.inbox.push(Input::Discharge(self.devices.takes()));
                }
            }
            if !self.garbled || (self.steps / 10).is_multiple_of(2) {
                self.inbox.push(Input::Supply(self.devices.reading(at)));
            }
        }
        if cable {
            if speaks(Role::VoltageMonitor) {
                let cable = volts(self.devices.cable + self.devices.cable_lies);
                self.inbox.push(Input::CableVoltage(Measured::new(cable, at)));
            }
            if self.guarded && speaks(Role::OverVoltageMonitor) {
                self.inbox.push(Input::OverVoltage(self.devices.guard.reading(self.devices.cable, at)));
            }
        }
        if board && speaks(Role::ConnectorIo) {
            self.inbox.push(Input::Io(self.devices.io(&self.vehicle, at)));
        }
        if speaks(Role::InsulationMonitor) {
            self.devices.watch_insulation(at, &mut self.inbox);
        }
        if self.steps.is_multiple_of(100) {
            if speaks(Role::EnergyMeter) {
                let energy = WattHours::from_si(self.devices.register.floor()).unwrap();
                let export = WattHours::from_si(self.devices.exported.floor()).unwrap();
                self.inbox.push(Input::Meter(MeterReading { energy, export, at }));
            }
            let until = at + Duration::from_secs(30);
            if self.permit {
                self.inbox.push(Input::Permit(Permit { allowed: true, power: self.share, until }));
            }
            if let Some(session) = self.path.session()
                && self.authorize
            {
                let authorization = Authorization::Granted;
                self.inbox.push(Input::Authorization { session: session.id, authorization });
            }
        }
    }
}
