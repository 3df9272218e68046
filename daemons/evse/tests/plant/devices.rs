//! The hardware: modules, contactors, insulation monitor, meter.

use std::time::Duration;

use voltry_bus::{Contactors, Lock, Pilot, PilotFault, PilotOutput, Proximity};
use voltry_evse::energy_path::{Capability, Command, ConnectorIo, FaultCode, Input, InsulationReading};
use voltry_service::Stamp;
use voltry_units::{Amps, Celsius, Ohms, Timestamp, Volts, Watts};

use super::{Guard, Vehicle};

const LEASE: Duration = Duration::from_millis(500);
const TOO_OLD: Duration = Duration::from_millis(100);

pub struct Devices {
    /// Volts on the module side, truly.
    pub module: f64,
    /// Volts on the cable side, truly.
    pub cable: f64,
    /// Amperes out of the modules.
    pub current: f64,
    pub supply_on: bool,
    pub set_voltage: f64,
    pub set_current: f64,
    pub contactors: bool,
    pub closed_into: f64,
    pub pilot_output: PilotOutput,
    pub capability: Capability,
    pub register: f64,
    /// Farads that charge with both sides joined, of modules, cable and inlet; 0: the voltages
    /// rise at a rate of their own.
    pub farads: f64,
    /// Ohms from pole to pole, behind the contactors.
    pub load: f64,
    pub insulation: f64,
    /// The newest value that the monitor told, and when.
    pub insulation_told: f64,
    pub insulation_at: Timestamp,
    pub locked: bool,
    pub hottest: f64,
    pub has_lock: bool,
    pub guard: Guard,
    // What can break.
    /// Orders to the pilot that a busy board refuses before it takes one.
    pub pilot_refusals: u32,
    pub emergency_stop: bool,
    pub welded: bool,
    pub stuck_open: bool,
    pub short: bool,
    pub diode_fault: bool,
    pub safe_state: Option<FaultCode>,
    pub cable_lies: f64,
    pub self_test_fails: bool,
    pub supply_ignores_off: bool,
    /// Every module has protected itself: no output, and none to be had.
    pub modules_tripped: bool,
    pub meter_stuck: bool,
    pub runaway: f64,
    /// Volts that a broken module drives onto both sides.
    pub surge: f64,
    /// So many renewals of the supply's lease come too late.
    pub late_renewals: u32,
    pub resets: u32,
    supply: Lease,
    board: Lease,
    board_closed: bool,
    insulation_active: bool,
    self_test_until: Option<Timestamp>,
    counter: u64,
    next_sample: Timestamp,
}

#[derive(Default)]
struct Lease {
    epoch: u64,
    sequence: u64,
    until: Option<Timestamp>,
}

impl Lease {
    fn enable(&mut self, epoch: u64, now: Timestamp) -> bool {
        let newer = epoch > self.epoch;
        if newer {
            *self = Self { epoch, sequence: 0, until: Some(now + LEASE) };
        }
        newer
    }

    fn accepts(&mut self, message: Stamp, now: Timestamp) -> bool {
        let good = self.until.is_some_and(|until| now <= until)
            && message.epoch == self.epoch
            && message.sequence > self.sequence
            && message.sent_at <= now
            && now.since(message.sent_at) <= TOO_OLD;
        if good {
            self.sequence = message.sequence;
        }
        good
    }
}

impl Default for Devices {
    fn default() -> Self {
        Self {
            module: 0.0,
            cable: 0.0,
            current: 0.0,
            supply_on: false,
            set_voltage: 0.0,
            set_current: 0.0,
            contactors: false,
            closed_into: 0.0,
            pilot_output: PilotOutput::F,
            capability: Capability {
                voltage_min: Volts::new(150),
                voltage_max: Volts::new(1000),
                current_max: Amps::new(150),
                power_max: Watts::new(60_000),
            },
            register: 1000.0,
            farads: 0.0,
            load: f64::INFINITY,
            insulation: 2_000_000.0,
            insulation_told: 0.0,
            insulation_at: Timestamp::BOOT,
            locked: false,
            hottest: 25.0,
            has_lock: false,
            guard: Guard::default(),
            pilot_refusals: 0,
            emergency_stop: false,
            welded: false,
            stuck_open: false,
            short: false,
            diode_fault: false,
            safe_state: None,
            cable_lies: 0.0,
            self_test_fails: false,
            supply_ignores_off: false,
            modules_tripped: false,
            meter_stuck: false,
            runaway: 0.0,
            surge: 0.0,
            late_renewals: 0,
            resets: 0,
            supply: Lease::default(),
            board: Lease::default(),
            board_closed: false,
            insulation_active: false,
            self_test_until: None,
            counter: 0,
            next_sample: Timestamp::BOOT,
        }
    }
}

impl Devices {
    /// Whether this renewal is one of those that come too late.
    const fn comes_late(&mut self) -> bool {
        let late = self.late_renewals > 0;
        self.late_renewals = self.late_renewals.saturating_sub(1);
        late
    }

    /// Takes a command; false if it is refused.
    pub fn obey(&mut self, command: Command, now: Timestamp) -> bool {
        match command {
            Command::EnableSupply(epoch) => return self.supply.enable(epoch, now),
            Command::SetOutput { lease, voltage, current } => {
                let range = self.capability.voltage_min..=self.capability.voltage_max;
                if !range.contains(&voltage) || !self.supply.accepts(lease, now) {
                    return false;
                }
                self.supply_on = true;
                (self.set_voltage, self.set_current) = (voltage.as_si(), current.as_si());
            }
            Command::RenewSupply(lease) => {
                if self.comes_late() || !self.supply.accepts(lease, now) {
                    return false;
                }
                self.supply.until = Some(now + LEASE);
            }
            Command::SupplyOff => self.supply_off(),
            Command::EnableContactors(epoch) => return self.board.enable(epoch, now),
            Command::CloseContactors(lease) => {
                if self.safe_state.is_some() || !self.board.accepts(lease, now) {
                    return false;
                }
                self.board_closed = true;
            }
            Command::RenewContactors(lease) => {
                if !self.board.accepts(lease, now) {
                    return false;
                }
                self.board.until = Some(now + LEASE);
            }
            Command::OpenContactors => {
                self.board.until = None;
                self.board_closed = false;
            }
            Command::Pilot(_) if self.pilot_refusals > 0 => {
                self.pilot_refusals -= 1;
                return false;
            }
            Command::Pilot(output) => self.pilot_output = output,
            Command::Lock(locked) => self.locked = locked,
            Command::ResetBoard => {
                self.resets += 1;
                self.safe_state = if self.emergency_stop {
                    Some(FaultCode::EmergencyStop)
                } else {
                    self.diode_fault.then_some(FaultCode::DiodeFault)
                };
            }
            Command::ArmOverVoltage(_) | Command::DisarmOverVoltage | Command::ResetOverVoltage => {
                return self.guard.obey(command, self.cable);
            }
            Command::InsulationActive(active) => {
                self.insulation_active = active;
                self.next_sample = now + Duration::from_secs(1);
            }
            Command::StartSelfTest => self.self_test_until = Some(now + Duration::from_secs(4)),
            Command::ClearSupply
            | Command::Attach
            | Command::Detach
            | Command::Limits(_)
            | Command::Authorize(_)
            | Command::Answer { .. }
            | Command::Present(_)
            | Command::Meter(_)
            | Command::RequestStop(_)
            | Command::Abort(_) => {}
        }
        true
    }

    fn supply_off(&mut self) {
        if !self.supply_ignores_off {
            self.supply.until = None;
            self.supply_on = false;
            self.set_current = 0.0;
        }
    }

    /// What the supply says that it can give.
    pub fn able(&self) -> Capability {
        if self.modules_tripped { Capability::default() } else { self.capability }
    }

    /// One physical step.
    pub fn flow(&mut self, time: Duration, now: Timestamp, vehicle: &Vehicle) {
        let seconds = time.as_secs_f64();
        if self.supply.until.is_some_and(|until| now > until) {
            self.supply_off();
        }
        let tripped = self.guard.watch(self.cable);
        if tripped {
            self.supply_off();
        }
        if self.board.until.is_some_and(|until| now > until)
            || self.emergency_stop
            || self.safe_state.is_some()
            || tripped
        {
            self.board.until = None;
            self.board_closed = false;
        }
        let closed = self.welded || (self.board_closed && !self.stuck_open);
        if closed && !self.contactors {
            self.closed_into = self.closed_into.max((self.module - self.cable).abs());
        }
        self.contactors = closed;
        let battery = (self.contactors && vehicle.contactor).then_some(vehicle.battery());
        let wanted = if !self.supply_on || self.modules_tripped {
            0.0
        } else if let Some(battery) = battery {
            ((self.set_voltage - battery) / 0.05).clamp(0.0, self.set_current) + self.runaway
        } else if self.short && self.contactors {
            self.set_current.min(self.set_voltage / 10.0)
        } else if self.farads > 0.0 && self.contactors {
            if self.module < self.set_voltage { self.set_current } else { self.set_voltage / self.load }
        } else {
            0.0
        };
        // Modules follow up in slopes and down within tenths of a second.
        if wanted > self.current {
            self.current = wanted.min(self.current + 400.0 * seconds);
        } else {
            self.current = wanted.max(self.current - (self.current * 20.0 + 50.0) * seconds).max(0.0);
        }
        self.move_voltages(seconds, battery, vehicle);
        if !self.meter_stuck && self.contactors {
            self.register += self.cable * self.current * seconds / 3600.0;
        }
    }

    fn move_voltages(&mut self, seconds: f64, battery: Option<f64>, vehicle: &Vehicle) {
        let bleed = |voltage: f64| voltage * (-seconds / 0.15).exp();
        if let Some(battery) = battery {
            self.module = battery + self.current * 0.05;
        } else if self.short && self.contactors {
            self.module = self.current * 10.0;
        } else if self.farads > 0.0 && self.contactors && self.supply_on && !self.modules_tripped {
            self.module = self.charged(seconds).min(self.set_voltage);
        } else if self.supply_on && !self.modules_tripped {
            let rise = if self.set_current > 0.0 { 1500.0 * seconds } else { 0.0 };
            self.module = if self.module > self.set_voltage {
                bleed(self.module).max(self.set_voltage)
            } else {
                (self.module + rise).min(self.set_voltage)
            };
        } else {
            self.module = bleed(self.module);
        }
        if self.supply_on {
            self.module = self.module.max(self.surge);
        }
        self.cable = if self.contactors {
            self.module
        } else if vehicle.contactor {
            vehicle.battery()
        } else {
            bleed(self.cable)
        };
    }

    /// The voltage that the present current, less what the load takes, makes of it in this time.
    fn charged(&self, seconds: f64) -> f64 {
        if self.load.is_infinite() {
            return self.module + self.current * seconds / self.farads;
        }
        let rest = self.current * self.load;
        rest + (self.module - rest) * (-seconds / (self.load * self.farads)).exp()
    }

    pub fn watch_insulation(&mut self, at: Timestamp, inbox: &mut Vec<Input>) {
        if let Some(until) = self.self_test_until {
            if at >= until {
                self.self_test_until = None;
                self.next_sample = at + Duration::from_millis(700);
                inbox.push(Input::SelfTest { passed: !self.self_test_fails, at });
            }
        } else if self.insulation_active && at >= self.next_sample {
            self.next_sample = at + Duration::from_millis(700);
            self.counter += 1;
            self.insulation_told = self.insulation;
            self.insulation_at = at;
            let resistance = Ohms::from_si(self.insulation).unwrap();
            inbox.push(Input::Insulation(InsulationReading {
                resistance,
                valid: true,
                counter: self.counter,
                at,
            }));
        }
    }

    pub fn io(&self, vehicle: &Vehicle, at: Timestamp) -> ConnectorIo {
        let driven_f = self.pilot_output == PilotOutput::F || self.safe_state.is_some();
        ConnectorIo {
            pilot: if driven_f { Pilot::F } else { vehicle.pilot },
            pilot_fault: if self.diode_fault { PilotFault::Diode } else { PilotFault::None },
            proximity: Proximity::NotUsed,
            contactors: if self.contactors { Contactors::Closed } else { Contactors::Open },
            lock: match (self.has_lock, self.locked) {
                (false, _) => Lock::NotFitted,
                (true, true) => Lock::Locked,
                (true, false) => Lock::Unlocked,
            },
            emergency_stop: self.emergency_stop,
            safe_state: self.safe_state,
            hottest: Some(Celsius::from_si(self.hottest).unwrap()),
            at,
        }
    }
}
