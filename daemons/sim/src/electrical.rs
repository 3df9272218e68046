//! The power circuit of one EVSE and what hangs on it: one model that every simulated device and
//! the vehicle read and write, so that they cannot contradict one another.
//!
//! ```text
//!  modules ──┬──[ contactors ]──┬──(meter, IMD)──┬──[ vehicle's contactors ]── battery
//!        C, bleeder        C, discharge     connector
//! ```
//!
//! The model has two nodes, the module side and the cable side; closed contactors make them one.
//! [`Circuit::step`] advances it by a fixed small time with the implicit Euler rule, which stays
//! stable however small a resistance against a capacitance is. It is deterministic: the same
//! steps and inputs give the same numbers.
//!
//! Values are SI doubles with the unit in the name, not `voltry-units`: an integrator that rounded
//! to thousandths at each step would lose energy. Only the energy registers are integers, because
//! they are what money is compared with.

mod battery;
mod contactors;
mod kept;
mod matrix;
mod module_output;
mod pilot;
mod plug_lock;
mod register;
mod shared;
mod surroundings;

use std::time::Duration;

pub use battery::Battery;
pub use contactors::{Contactors, Pole};
pub use kept::KeptRegisters;
pub use matrix::{Matrix, MatrixWear, SharedMatrix, Socket};
pub use module_output::{ModuleOutput, ModuleRating};
pub use pilot::{Pilot, PilotLoad, PilotSource, PilotState};
pub use plug_lock::{Bolt, PlugLock};
pub use register::EnergyRegister;
pub use shared::SharedCircuit;
pub use surroundings::Surroundings;

use crate::faults::{Fault, FaultSet};

/// The step the real-time loop takes; tests may take others.
pub const STEP: Duration = Duration::from_millis(5);

/// Resistance of a short circuit between the poles at the connector (fault `output-short`).
const SHORT_OHMS: f64 = 0.1;
/// Current at which the vehicle's fuse opens.
const FUSE_A: f64 = 1_000.0;
/// Above this the opening of a contactor counts as an opening under load.
const LOAD_A: f64 = 5.0;
const AMBIENT_C: f64 = 25.0;
/// Share of the alternating-current power that arrives as direct current.
const EFFICIENCY: f64 = 0.955;
/// What a rectifier draws with its output off.
const STANDBY_W: f64 = 25.0;

/// The parts of a circuit that differ from one station to the next.
#[derive(Debug, Clone, PartialEq)]
pub struct CircuitConfig {
    /// The power modules that feed this EVSE.
    pub modules: Vec<ModuleRating>,
    /// What discharges the modules' side by itself, in ohms; behind a matrix it has no modules at times.
    pub bar_ohms: f64,
    /// Capacitance of the cable and the vehicle's inlet, in farads.
    pub cable_farads: f64,
    /// The resistor that discharges the cable side, in ohms.
    pub cable_discharge_ohms: f64,
    /// Insulation of the charger to earth when healthy, in ohms.
    pub insulation_ohms: f64,
    /// The meter's import register at the start, in watt-hours.
    pub meter_wh: u64,
}

impl CircuitConfig {
    /// A charger of `count` modules of 1000 V, 100 A and 30 kW.
    #[must_use]
    pub fn of_modules(count: usize) -> Self {
        Self {
            modules: vec![ModuleRating::default(); count],
            bar_ohms: f64::INFINITY,
            cable_farads: 20e-6,
            cable_discharge_ohms: 20e3,
            insulation_ohms: 10e6,
            meter_wh: 1_234_567,
        }
    }
}

/// A vehicle in the connector: the electrical part, which its conversation steers.
#[derive(Debug, Clone, PartialEq)]
pub struct Vehicle {
    /// The traction battery.
    pub battery: Battery,
    /// Whether the vehicle's own contactors are closed.
    pub contactors_closed: bool,
    /// What the vehicle puts on the control pilot.
    pub pilot_load: PilotLoad,
    /// Insulation of the vehicle to earth, in ohms; seen while its contactors are closed.
    pub insulation_ohms: f64,
    /// The vehicle's main fuse has opened; only a new vehicle has a whole one.
    pub fuse_blown: bool,
}

impl Vehicle {
    /// A healthy vehicle, contactors open, pilot in state B.
    #[must_use]
    pub fn new(battery: Battery) -> Self {
        Self {
            battery,
            contactors_closed: false,
            pilot_load: PilotLoad::B,
            insulation_ohms: 5e6,
            fuse_blown: false,
        }
    }
}

/// What the circuit has suffered; tests hold these to zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Wear {
    /// Contactor openings with more than 5 A flowing.
    pub opened_under_load: u32,
    /// The connector pulled with more than 5 A flowing.
    pub unplugged_under_load: u32,
    /// The largest voltage the EVSE's contactors ever closed across, in volts.
    pub closed_across_v: f64,
    /// The largest voltage the vehicle's contactors ever closed across, in volts.
    pub vehicle_closed_across_v: f64,
}

/// The power circuit of one EVSE. See the module's documentation.
#[derive(Debug, Clone)]
pub struct Circuit {
    /// The modules' outputs, as their CAN addresses are ordered.
    pub modules: Vec<ModuleOutput>,
    /// The EVSE's contactors.
    pub contactors: Contactors,
    /// The control pilot.
    pub pilot: Pilot,
    /// The plug's lock, where the station has one.
    pub plug_lock: PlugLock,
    /// The faults injected now; devices look here for their own.
    pub faults: FaultSet,
    /// Somebody presses the connector's latch button (Type 1, NACS).
    pub latch_pressed: bool,
    /// The hard-wired enable of the modules; without it they deliver nothing.
    pub modules_enabled: bool,
    /// Imported energy as the direct-current meter counts it.
    pub meter: EnergyRegister,
    /// Imported energy as a meter of the grid connection counts it.
    pub grid_meter: EnergyRegister,
    /// What the circuit has suffered.
    pub wear: Wear,
    /// What is around it.
    pub surroundings: Surroundings,
    config: CircuitConfig,
    vehicle: Option<Vehicle>,
    /// Ohms of a load bank in the plug, whose adapter holds the pilot in C.
    load_ohms: Option<f64>,
    vehicle_was_closed: bool,
    module_side_v: f64,
    cable_side_v: f64,
    output_a: f64,
    battery_a: f64,
    contact_c: [f64; 2],
    falling_ohms: f64,
    elapsed: Duration,
}

impl Circuit {
    /// A circuit at rest: nothing energised, no vehicle, contactors open.
    #[must_use]
    pub fn new(config: CircuitConfig) -> Self {
        Self {
            modules: config.modules.iter().copied().map(ModuleOutput::new).collect(),
            contactors: Contactors::default(),
            pilot: Pilot::default(),
            plug_lock: PlugLock::default(),
            faults: FaultSet::default(),
            latch_pressed: false,
            modules_enabled: true,
            meter: EnergyRegister::from_wh(config.meter_wh),
            grid_meter: EnergyRegister::from_wh(0),
            wear: Wear::default(),
            surroundings: Surroundings::default(),
            vehicle: None,
            load_ohms: None,
            vehicle_was_closed: false,
            module_side_v: 0.0,
            cable_side_v: 0.0,
            output_a: 0.0,
            battery_a: 0.0,
            contact_c: [AMBIENT_C; 2],
            falling_ohms: config.insulation_ohms,
            elapsed: Duration::ZERO,
            config,
        }
    }

    /// Puts the connector into a vehicle. A vehicle already there is given back.
    pub fn plug_in(&mut self, vehicle: Vehicle) -> Option<Vehicle> {
        self.vehicle.replace(vehicle)
    }

    /// Puts the connector into a load bank of so many ohms, or takes it out of one.
    pub fn plug_load(&mut self, ohms: Option<f64>) {
        if ohms.is_none() && self.output_a.abs() > LOAD_A {
            self.wear.unplugged_under_load += 1;
        }
        self.load_ohms = ohms;
    }

    /// The load bank in the connector.
    #[must_use]
    pub fn load_ohms(&self) -> Option<f64> {
        self.load_ohms
    }

    /// Pulls the connector out, whatever flows.
    pub fn unplug(&mut self) -> Option<Vehicle> {
        if self.vehicle.is_some() && self.output_a.abs() > LOAD_A {
            self.wear.unplugged_under_load += 1;
        }
        self.vehicle_was_closed = false;
        self.battery_a = 0.0;
        self.vehicle.take()
    }

    /// The vehicle in the connector.
    #[must_use]
    pub fn vehicle(&self) -> Option<&Vehicle> {
        self.vehicle.as_ref()
    }

    /// The vehicle in the connector, to steer its contactors, pilot and battery.
    pub fn vehicle_mut(&mut self) -> Option<&mut Vehicle> {
        self.vehicle.as_mut()
    }

    /// Volts between the poles on the modules' side of the contactors.
    #[must_use]
    pub fn module_side_v(&self) -> f64 {
        self.module_side_v
    }

    /// Volts between the poles on the cable's side: what meter, IMD and vehicle's inlet see.
    #[must_use]
    pub fn cable_side_v(&self) -> f64 {
        self.cable_side_v
    }

    /// Amperes out of the connector, as meter and vehicle see them; positive to the vehicle.
    #[must_use]
    pub fn output_a(&self) -> f64 {
        self.output_a
    }

    /// Amperes into the battery.
    #[must_use]
    pub fn battery_a(&self) -> f64 {
        self.battery_a
    }

    /// Watts out of the connector.
    #[must_use]
    pub fn output_w(&self) -> f64 {
        self.cable_side_v * self.output_a
    }

    /// Watts taken from the grid; negative when fed back into it.
    #[must_use]
    pub fn grid_w(&self) -> f64 {
        let at_grid = |watts: f64| if watts < 0.0 { watts * EFFICIENCY } else { watts / EFFICIENCY };
        let delivered = self.modules.iter().map(|module| module.current_a() * self.module_side_v);
        let delivered: f64 = delivered.map(at_grid).sum();
        // A station has a handful of modules.
        #[allow(clippy::cast_precision_loss)]
        let standby = STANDBY_W * self.modules.len() as f64;
        delivered + standby
    }

    /// Temperatures of the DC+ and DC− contacts of the connector, in degrees Celsius.
    #[must_use]
    pub fn contact_c(&self) -> [f64; 2] {
        self.contact_c
    }

    /// Time simulated so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// What the EVSE's detector reads on the control pilot.
    #[must_use]
    pub fn pilot_state(&self) -> PilotState {
        if self.pilot.source == PilotSource::Off {
            return PilotState::F;
        }
        if self.faults.has(Fault::PilotShort) {
            return PilotState::E;
        }
        // The pilot returns through PE: without it the vehicle's load is not there.
        if self.faults.has(Fault::PeLoss) {
            return PilotState::A;
        }
        let without = if self.load_ohms.is_some() { PilotLoad::C } else { PilotLoad::A };
        match self.vehicle.as_ref().map_or(without, |vehicle| vehicle.pilot_load) {
            PilotLoad::A => PilotState::A,
            PilotLoad::B => PilotState::B,
            PilotLoad::C => PilotState::C,
            PilotLoad::D => PilotState::D,
        }
    }

    /// Whether the negative half of the pilot is loaded: the vehicle's diode is missing or shorted.
    #[must_use]
    pub fn pilot_diode_fault(&self) -> bool {
        let oscillates = matches!(self.pilot.source, PilotSource::Pwm { .. });
        self.faults.has(Fault::PilotDiode) && self.vehicle.is_some() && oscillates
    }

    /// Resistances from DC+ and from DC− to earth, in ohms.
    #[must_use]
    pub fn insulation_ohms(&self) -> [f64; 2] {
        let vehicle =
            self.vehicle.as_ref().filter(|vehicle| vehicle.contactors_closed && !vehicle.fuse_blown);
        // Each pole carries twice the healthy value, so that both in parallel are that value.
        let healthy = |own: f64| 2.0 * vehicle.map_or(own, |vehicle| parallel(own, vehicle.insulation_ohms));
        let plus = healthy(self.config.insulation_ohms);
        let minus = healthy(self.falling_ohms);
        if self.faults.has(Fault::InsulationFault) { [plus, parallel(minus, 20e3)] } else { [plus, minus] }
    }

    /// Insulation resistance R_F of both poles to earth, in ohms.
    #[must_use]
    pub fn insulation_rf_ohms(&self) -> f64 {
        let [plus, minus] = self.insulation_ohms();
        parallel(plus, minus)
    }

    /// Volts from earth to DC+ and to DC−.
    #[must_use]
    pub fn voltages_to_earth(&self) -> [f64; 2] {
        let [plus, minus] = self.insulation_ohms();
        let share = plus / (plus + minus);
        [self.cable_side_v * share, -self.cable_side_v * (1.0 - share)]
    }

    /// Advances the circuit by `time`, which should be at most some ten milliseconds.
    pub fn step(&mut self, time: Duration) {
        let dt = time.as_secs_f64();
        if dt <= 0.0 {
            return;
        }
        self.elapsed += time;
        self.move_contactors(time);
        self.plug_lock.step(time, self.faults.has(Fault::LockStuck));
        let enabled = self.modules_enabled;
        for module in &mut self.modules {
            module.ramp(dt, self.module_side_v, enabled);
        }
        self.close_vehicle();
        if self.contactors.conducts() {
            let farads = self.module_farads() + self.config.cable_farads;
            let volts = self.solve(dt, farads, self.module_side_v, true, true);
            self.settle(volts, volts);
        } else {
            let module_side = self.solve(dt, self.module_farads(), self.module_side_v, true, false);
            let cable_side = self.solve(dt, self.config.cable_farads, self.cable_side_v, false, true);
            self.settle(module_side, cable_side);
        }
        self.count_energy(dt);
        self.warm(dt);
        self.weaken_insulation(dt);
    }

    fn move_contactors(&mut self, time: Duration) {
        let welded = self.faults.has(Fault::ContactorWelded);
        let stuck = self.faults.has(Fault::ContactorStuckOpen);
        let before = self.contactors.conducts();
        self.contactors.step(time, welded, stuck);
        let after = self.contactors.conducts();
        if before && !after && self.output_a.abs() > LOAD_A {
            self.wear.opened_under_load += 1;
        }
        if after && !before {
            let across = (self.module_side_v - self.cable_side_v).abs();
            self.wear.closed_across_v = self.wear.closed_across_v.max(across);
            // The capacitors share their charge through the contacts.
            let (module, cable) = (self.module_farads(), self.config.cable_farads);
            let shared = (module * self.module_side_v + cable * self.cable_side_v) / (module + cable);
            self.module_side_v = shared;
            self.cable_side_v = shared;
        }
    }

    fn close_vehicle(&mut self) {
        let closed = self.vehicle.as_ref().is_some_and(|vehicle| vehicle.contactors_closed);
        if closed && !self.vehicle_was_closed {
            let ocv = self.vehicle.as_ref().map_or(0.0, |vehicle| vehicle.battery.open_circuit_v());
            let across = (ocv - self.cable_side_v).abs();
            self.wear.vehicle_closed_across_v = self.wear.vehicle_closed_across_v.max(across);
        }
        self.vehicle_was_closed = closed;
    }

    fn module_farads(&self) -> f64 {
        self.modules.iter().map(|module| module.rating.output_farads).sum::<f64>().max(1e-6)
    }

    /// The node voltage at the end of the step: where the currents into the node are those that
    /// charge its capacitance. The balance falls steadily with the voltage, so halving finds it.
    fn solve(&self, dt: f64, farads: f64, before: f64, module_side: bool, cable_side: bool) -> f64 {
        let balance = |volts: f64| {
            let mut amps = -(volts - before) * farads / dt;
            if module_side {
                amps -= volts / self.config.bar_ohms;
                amps += self.modules.iter().map(|module| module.current_at(volts)).sum::<f64>();
                amps -= self
                    .modules
                    .iter()
                    .map(|module| module.bleeder_a(volts, self.bleeder_works()))
                    .sum::<f64>();
            }
            if cable_side {
                amps -= self.battery_current_at(volts) + self.other_current_at(volts);
                amps -= volts / self.config.cable_discharge_ohms;
            }
            amps
        };
        let (mut low, mut high) = (0.0, 3_000.0);
        for _ in 0..64 {
            let middle = f64::midpoint(low, high);
            if balance(middle) > 0.0 { low = middle } else { high = middle }
        }
        f64::midpoint(low, high)
    }

    fn bleeder_works(&self) -> bool {
        !self.faults.has(Fault::ModuleBleeder)
    }

    fn battery_current_at(&self, volts: f64) -> f64 {
        match &self.vehicle {
            Some(vehicle) if vehicle.contactors_closed && !vehicle.fuse_blown => {
                (volts - vehicle.battery.open_circuit_v()) / vehicle.battery.resistance_ohms
            }
            Some(_) | None => 0.0,
        }
    }

    /// Through a short circuit, and a load bank.
    fn other_current_at(&self, volts: f64) -> f64 {
        let short = if self.faults.has(Fault::OutputShort) { volts / SHORT_OHMS } else { 0.0 };
        short + self.load_ohms.map_or(0.0, |ohms| volts / ohms)
    }

    fn settle(&mut self, module_side: f64, cable_side: f64) {
        self.module_side_v = module_side;
        self.cable_side_v = cable_side;
        for module in &mut self.modules {
            module.settle(module_side);
        }
        self.battery_a = self.battery_current_at(cable_side);
        self.output_a = self.battery_a + self.other_current_at(cable_side);
        if self.battery_a.abs() > FUSE_A
            && let Some(vehicle) = &mut self.vehicle
        {
            vehicle.fuse_blown = true;
        }
    }

    fn count_energy(&mut self, dt: f64) {
        self.meter.add(self.output_w() * dt);
        self.grid_meter.add(self.grid_w() * dt);
        if let Some(vehicle) = &mut self.vehicle {
            vehicle.battery.charge(self.battery_a, dt);
        }
    }

    /// Contacts warm with the square of the current; a bad one (fault) runs away in seconds.
    fn warm(&mut self, dt: f64) {
        let load = AMBIENT_C + 35.0 * (self.output_a / 500.0).powi(2);
        let hot = self.faults.has(Fault::ConnectorHot);
        let targets = [if hot { 95.0 } else { load }, load];
        for (contact, target) in self.contact_c.iter_mut().zip(targets) {
            let seconds = if hot || *contact > target + 20.0 { 4.0 } else { 60.0 };
            *contact += (target - *contact) * (dt / seconds).min(1.0);
        }
    }

    /// The fault `insulation-falling` halves the resistance of DC− every two seconds.
    fn weaken_insulation(&mut self, dt: f64) {
        if self.faults.has(Fault::InsulationFalling) {
            self.falling_ohms = (self.falling_ohms * (-dt * std::f64::consts::LN_2 / 2.0).exp()).max(10e3);
        } else {
            self.falling_ohms = self.config.insulation_ohms;
        }
    }
}

fn parallel(a: f64, b: f64) -> f64 {
    a * b / (a + b)
}

#[cfg(test)]
mod tests;
