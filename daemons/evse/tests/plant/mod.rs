//! A small honest circuit, its devices and a vehicle, under virtual time, around one energy path.
//!
//! Honest: the devices keep their leases by themselves, voltages come from charge and load and
//! never from what was commanded, and every physical step checks what must never happen.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)] // each test uses a part
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // as in any test

mod devices;
mod guard;
pub mod player;
mod vehicle;

use std::time::Duration;

use voltry_bus::{Authorization, EvseState};
use voltry_evse::energy_path::{
    Action, Command, EnergyPath, Fault, Input, Installation, MeterReading, Permit, Profile, Refusal, Report,
    Role, SupplyReading, class_over_voltage,
};
use voltry_units::{Amps, Measured, Timestamp, Volts, WattHours, Watts};

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
    }
}

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
    inbox: Vec<Input>,
    steps: u64,
}

impl World {
    pub fn new() -> Self {
        Self::with(installation())
    }

    pub fn with(installation: Installation) -> Self {
        let guarded = installation.over_voltage_monitor;
        let mut world = Self {
            now: Timestamp::from_micros(100_000_000),
            path: EnergyPath::new(installation),
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
            inbox: Vec::new(),
            steps: 0,
        };
        let played = |role: &Role| guarded || *role != Role::OverVoltageMonitor;
        world.inbox.extend(Role::ALL.into_iter().filter(played).map(Input::Found));
        if !guarded {
            world.silent.push(Role::OverVoltageMonitor);
        }
        world
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
                    if self.devices.obey(*command, self.now) {
                        self.vehicle.hear(*command);
                    } else {
                        let renewal =
                            matches!(command, Command::RenewSupply(_) | Command::RenewContactors(_));
                        let refusal = if renewal { Refusal::TooOld } else { Refusal::Device };
                        self.inbox.push(Input::Refused(*command, refusal));
                    }
                }
                Action::Report(Report::Fault(fault)) => self.faults_reported.push((*fault, actions.clone())),
                Action::Report(_) => {}
            }
        }
        self.never(&actions);
    }

    fn tick(&mut self) {
        self.now = self.now + STEP;
        self.steps += 1;
        self.devices.flow(STEP, self.now, &self.vehicle);
        self.vehicle.act(self.now, &self.devices, &mut self.inbox);
        self.measure();
        if !self.stalled {
            for input in std::mem::take(&mut self.inbox) {
                self.feed(input);
            }
            if self.steps.is_multiple_of(10) {
                self.feed(Input::Tick);
            }
        }
        self.always();
    }

    fn measure(&mut self) {
        let at = self.now;
        let speaks = |role| !self.silent.contains(&role);
        let volts = |value: f64| Volts::from_si(value).unwrap();
        if self.steps.is_multiple_of(10) {
            if speaks(Role::PowerSupply) {
                let current = Amps::from_si(self.devices.current).unwrap();
                let voltage = volts(self.devices.module);
                if self.steps.is_multiple_of(100) {
                    self.inbox.push(Input::Capability(self.devices.able()));
                }
                self.inbox.push(Input::Supply(SupplyReading { voltage, current, at }));
            }
            if speaks(Role::VoltageMonitor) {
                let cable = volts(self.devices.cable + self.devices.cable_lies);
                self.inbox.push(Input::CableVoltage(Measured::new(cable, at)));
            }
            if speaks(Role::OverVoltageMonitor) {
                self.inbox.push(Input::OverVoltage(self.devices.guard.reading(self.devices.cable, at)));
            }
            if speaks(Role::ConnectorIo) {
                self.inbox.push(Input::Io(self.devices.io(&self.vehicle, at)));
            }
        }
        if speaks(Role::InsulationMonitor) {
            self.devices.watch_insulation(at, &mut self.inbox);
        }
        if self.steps.is_multiple_of(100) {
            if speaks(Role::EnergyMeter) {
                let energy = WattHours::from_si(self.devices.register.floor()).unwrap();
                self.inbox.push(Input::Meter(MeterReading { energy, at }));
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

    /// What no step may ask for.
    fn never(&self, actions: &[Action]) {
        for action in actions {
            if let Action::Do(Command::SetOutput { voltage, current, .. }) = action {
                let vehicle = &self.vehicle;
                let testing = self.state() == EvseState::CableCheck;
                let limit = if testing { vehicle.voltage_max * 1.1 + 50.0 } else { vehicle.voltage_max };
                assert!(voltage.as_si() <= limit + 0.01, "{voltage} for a vehicle of {limit} V");
                assert!(*voltage <= Volts::new(1000) && *voltage <= self.devices.capability.voltage_max);
                assert!(
                    current.as_si() <= vehicle.current_max + 0.01,
                    "{current} above the vehicle's maximum"
                );
                assert!(*current <= self.devices.capability.current_max, "{current} above the modules'");
                assert!(*current <= Amps::new(200), "{current} above the cable's");
                let trickle = self.state() != EvseState::Charging && self.state() != EvseState::Stopping;
                assert!(!trickle || *current <= Amps::new(2), "{current} in {}", self.state());
                if self.state() == EvseState::Charging {
                    let power = current.as_si() * self.devices.cable;
                    assert!(power <= self.share.as_si() * 1.1 + 100.0, "{power} W of {}", self.share);
                }
            }
            if let Action::Do(Command::CloseContactors(_)) = action {
                assert!(self.devices.module < 60.0 && self.devices.cable < 60.0, "closing onto a voltage");
                let class = class_over_voltage(Volts::from_si(self.vehicle.voltage_max).unwrap());
                let armed = self.devices.guard.armed.then_some(self.devices.guard.limit);
                assert!(!self.guarded || armed == Some(class), "closing unguarded: {armed:?}");
            }
            if let Action::Do(Command::ArmOverVoltage(_) | Command::DisarmOverVoltage) = action {
                assert!(self.guarded, "there is no over-voltage monitor");
            }
            if let Action::Do(Command::DisarmOverVoltage) = action {
                let devices = &self.devices;
                // As measured: where a sensor lies, nobody can know better.
                let told = devices.cable + devices.cable_lies;
                assert!(
                    !devices.contactors && told.abs() < 60.0 && devices.module < 60.0,
                    "disarmed in {}: contactors {}, {:.0}/{told:.0} V",
                    self.state(),
                    devices.contactors,
                    devices.module,
                );
            }
        }
    }

    /// What must be true of the circuit at every moment.
    fn always(&self) {
        let devices = &self.devices;
        assert!(devices.closed_into < 20.0, "contactors closed into {} V", devices.closed_into);
        let delivering = devices.supply_on && devices.contactors && devices.set_current > 0.0;
        let guard = &devices.guard;
        if self.guarded && delivering && !guard.broken && !self.stalled {
            assert!(guard.armed && !guard.tripped, "energised without a guard in {}", self.state());
        }
        let testing = self.path.state() == EvseState::CableCheck;
        if delivering && !testing && !self.stalled && !devices.supply_ignores_off {
            assert!(devices.insulation_told >= 100_000.0, "energised at {} ohms", devices.insulation_told);
            let age = self.now.since(devices.insulation_at);
            assert!(age <= Duration::from_millis(5_200), "energised on insulation {age:?} old");
        }
    }
}
