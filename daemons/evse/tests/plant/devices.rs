//! The hardware: modules, contactors, insulation monitor, meter.

mod circuit;

use std::time::Duration;

use voltry_bus::{Alarms, Contactors, Lock, Pilot, PilotFault, PilotOutput, Proximity};
use voltry_evse::energy_path::{
    Capability, Command, ConnectorIo, Discharge, FaultCode, Input, InsulationReading, SupplyReading,
};
use voltry_units::{Amps, Celsius, Ohms, Timestamp, Volts, Watts};

use super::lease::{LEASE, Lease};
use super::misled::Misled;
use super::{Guard, Vehicle};

/// What sound modules can give.
const GIVES: Capability = Capability {
    voltage_min: Volts::new(150),
    voltage_max: Volts::new(1000),
    current_max: Amps::new(150),
    power_max: Watts::new(60_000),
};
/// What sound modules can take from a vehicle.
const TAKES: Discharge =
    Discharge { voltage_min: Volts::new(200), current_max: Amps::new(60), power_max: Watts::new(20_000) };

#[derive(Clone)]
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
    /// Watt-hours that the meter shows.
    pub register: f64,
    /// Watt-hours that it shows of what came from the vehicle.
    pub exported: f64,
    /// What the modules can take from a vehicle.
    pub discharge: Discharge,
    /// Watt-hours that went through the contactors, truly.
    pub delivered: f64,
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
    /// How many temperatures the board tells.
    pub sensors: u8,
    pub has_lock: bool,
    pub guard: Guard,
    // What can break.
    /// Orders to the pilot that a busy board refuses before it takes one.
    pub pilot_refusals: u32,
    /// So many orders to the lock are not taken.
    pub lock_refusals: u32,
    pub emergency_stop: bool,
    /// What the cabinet's inputs tell.
    pub alarms: Alarms,
    /// The plug's lock does not move.
    pub lock_stuck: bool,
    pub welded: bool,
    pub stuck_open: bool,
    pub short: bool,
    pub diode_fault: bool,
    pub pilot_short: bool,
    pub proximity_open: bool,
    pub safe_state: Option<FaultCode>,
    pub cable_lies: f64,
    pub self_test_fails: bool,
    pub supply_ignores_off: bool,
    /// Every module has protected itself: no output, and none to be had.
    pub modules_tripped: bool,
    /// How much of their current the modules can give.
    pub modules_percent: u8,
    /// The modules report their set points, deliver half the current, and stand 20 V lower.
    pub modules_lie: bool,
    /// The modules answer so late.
    pub modules_late: Duration,
    /// The modules' output stays charged when it is off; they find that out, and latch.
    pub bleeders_failed: bool,
    bleeders_latched: bool,
    /// The CAN cable is cut: no set point arrives and no reading, and after 10 s the modules are off.
    pub can_cut: bool,
    can_cut_for: Duration,
    /// The daemon that commands the modules is gone; they go on as they were told.
    pub uncommanded: bool,
    /// What is heard of the modules cannot be.
    pub misled: Misled,
    /// The contactors weld as soon as they are closed.
    pub welds: bool,
    /// The connector heats up, to 95 °C.
    pub heats: bool,
    /// The insulation halves every two seconds.
    pub insulation_falls: bool,
    /// The monitor tells its last value again and again, with the time of now.
    pub monitor_hangs: bool,
    pub meter_stuck: bool,
    pub meter_backwards: bool,
    pub runaway: f64,
    /// Volts that something else keeps on both sides, without current to speak of.
    pub stray: f64,
    /// Volts that a broken module drives onto both sides.
    pub surge: f64,
    /// So many renewals of the supply's lease come too late.
    pub late_renewals: u32,
    pub late_setpoints: u32,
    /// The board closes for a vehicle alone: it refuses.
    pub interlocked: bool,
    supply: Lease,
    board: Lease,
    board_closed: bool,
    insulation_active: bool,
    self_test_until: Option<Timestamp>,
    counter: u64,
    next_sample: Timestamp,
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
            capability: GIVES,
            register: 1000.0,
            exported: 500.0,
            discharge: TAKES,
            delivered: 0.0,
            farads: 0.0,
            load: f64::INFINITY,
            insulation: 2_000_000.0,
            insulation_told: 0.0,
            insulation_at: Timestamp::BOOT,
            locked: false,
            hottest: 25.0,
            sensors: 2,
            has_lock: false,
            guard: Guard::default(),
            pilot_refusals: 0,
            lock_refusals: 0,
            emergency_stop: false,
            alarms: Alarms::default(),
            lock_stuck: false,
            welded: false,
            stuck_open: false,
            short: false,
            diode_fault: false,
            pilot_short: false,
            proximity_open: false,
            safe_state: None,
            cable_lies: 0.0,
            self_test_fails: false,
            supply_ignores_off: false,
            modules_tripped: false,
            modules_percent: 100,
            modules_lie: false,
            modules_late: Duration::ZERO,
            bleeders_failed: false,
            bleeders_latched: false,
            can_cut: false,
            can_cut_for: Duration::ZERO,
            uncommanded: false,
            misled: Misled::default(),
            welds: false,
            heats: false,
            insulation_falls: false,
            monitor_hangs: false,
            meter_stuck: false,
            meter_backwards: false,
            runaway: 0.0,
            stray: 0.0,
            surge: 0.0,
            late_renewals: 0,
            late_setpoints: 0,
            interlocked: false,
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

/// Whether a busy board refuses this order, being one of so many.
const fn is_busy(refusals: &mut u32) -> bool {
    let busy = *refusals > 0;
    *refusals = refusals.saturating_sub(1);
    busy
}

impl Devices {
    /// Whether this renewal is one of those that come too late.
    const fn comes_late(&mut self) -> bool {
        is_busy(&mut self.late_renewals)
    }

    /// The same of a set-point.
    const fn is_late(&mut self) -> bool {
        self.supply.too_old = is_busy(&mut self.late_setpoints);
        self.supply.too_old
    }

    /// Whether no lease of the contactors runs any more.
    pub const fn has_let_go(&self) -> bool {
        self.board.until.is_none()
    }

    /// Whether an epoch of the supply is open: one that shares modules gets some by that.
    pub const fn is_supply_leased(&self) -> bool {
        self.supply.until.is_some()
    }

    /// Whether a command with a lease was refused for its age alone; forgotten by that.
    pub fn was_too_old(&mut self) -> bool {
        std::mem::take(&mut self.supply.too_old) | std::mem::take(&mut self.board.too_old)
    }

    /// Takes a command; false if it is refused.
    pub fn obey(&mut self, command: Command, now: Timestamp) -> bool {
        match command {
            Command::EnableSupply(epoch) => return self.supply.enable(epoch, now),
            Command::SetOutput { lease, voltage, current } => {
                let range = self.capability.voltage_min..=self.capability.voltage_max;
                let good = range.contains(&voltage) && !self.is_late() && self.supply.accepts(lease, now);
                if self.misled.blocked || !good {
                    return false;
                }
                if !self.can_cut {
                    self.supply_on = true;
                    (self.set_voltage, self.set_current) = (voltage.as_si(), current.as_si());
                }
            }
            Command::RenewSupply(lease) => {
                if self.misled.blocked || self.comes_late() || !self.supply.accepts(lease, now) {
                    return false;
                }
                self.supply.until = Some(now + LEASE);
            }
            Command::SupplyOff => {
                self.supply.until = None;
                self.supply_off();
            }
            Command::EnableContactors(epoch) => return self.board.enable(epoch, now),
            Command::CloseContactors(lease) => {
                if self.interlocked || self.safe_state.is_some() || !self.board.accepts(lease, now) {
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
            Command::Pilot(_) if is_busy(&mut self.pilot_refusals) => return false,
            Command::Pilot(output) => self.pilot_output = output,
            Command::Lock(_) if is_busy(&mut self.lock_refusals) => return false,
            Command::Lock(_) if self.lock_stuck => {}
            Command::Lock(locked) => self.locked = locked,
            Command::ResetBoard => {
                self.safe_state = self.cause_to_latch();
            }
            Command::ArmOverVoltage(_) | Command::DisarmOverVoltage | Command::ResetOverVoltage => {
                return self.guard.obey(command, self.cable);
            }
            Command::InsulationActive(active) => {
                self.insulation_active = active;
                self.next_sample = now + Duration::from_secs(1);
            }
            Command::StartSelfTest => self.self_test_until = Some(now + Duration::from_secs(4)),
            Command::ClearSupply => self.clear_supply(),
            Command::Attach
            | Command::Detach
            | Command::Limits(_)
            | Command::Discharge(_)
            | Command::Authorize(_)
            | Command::Answer { .. }
            | Command::Present(_)
            | Command::Meter(_)
            | Command::RequestStop(_)
            | Command::Abort(_) => {}
        }
        true
    }

    /// Whether the modules do what they are told.
    pub fn supply_obeys(&self) -> bool {
        !self.supply_ignores_off && !self.can_cut && !self.uncommanded
    }

    fn supply_off(&mut self) {
        if self.supply_obeys() {
            self.supply.until = None;
            self.supply_on = false;
            self.set_current = 0.0;
        }
    }

    /// What is still there stays latched.
    fn clear_supply(&mut self) {
        self.bleeders_latched &= self.bleeders_failed;
        self.misled.clear();
    }

    /// The daemon that commands the modules leaves; or another begins, with OFF to each.
    pub fn commands_modules(&mut self, there: bool) {
        self.uncommanded = !there;
        self.supply.until = None;
    }

    /// The process that holds the leases has left the bus.
    pub fn holder_leaves(&mut self, now: Timestamp) {
        self.supply.until = None;
        let open_at = now + Duration::from_millis(300);
        self.board.until = self.board.until.map(|until| until.min(open_at));
    }

    fn gives_nothing(&self) -> bool {
        self.modules_tripped || self.bleeders_latched
    }

    /// What the supply says that it can give.
    pub fn able(&self) -> Capability {
        if self.misled.blocked || self.gives_nothing() {
            return Capability::default();
        }
        let percent = i64::from(self.modules_percent);
        Capability {
            current_max: self.capability.current_max.scaled(percent, 100),
            power_max: self.capability.power_max.scaled(percent, 100),
            ..self.capability
        }
    }

    /// What the supply says that it can take.
    pub fn takes(&self) -> Discharge {
        if self.able().current_max <= Amps::ZERO { Discharge::default() } else { self.discharge }
    }

    /// The modules' own word.
    pub fn reading(&self, at: Timestamp) -> SupplyReading {
        let lies = self.modules_lie && self.supply_on;
        let (voltage, current) =
            if lies { (self.set_voltage, self.set_current) } else { (self.module, self.current) };
        SupplyReading {
            voltage: Volts::from_si(voltage).unwrap(),
            current: Amps::from_si(current).unwrap(),
            at: at - self.modules_late,
        }
    }

    /// What makes the board latch its safe state.
    fn cause_to_latch(&self) -> Option<FaultCode> {
        [
            (self.emergency_stop, FaultCode::EmergencyStop),
            (self.diode_fault, FaultCode::DiodeFault),
            (self.pilot_short, FaultCode::PilotFault),
            (self.proximity_open, FaultCode::ProximityFault),
            (self.hottest >= 85.0 && self.heats, FaultCode::CableOverTempStop),
        ]
        .into_iter()
        .find_map(|(holds, code)| holds.then_some(code))
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
            if !self.monitor_hangs {
                self.counter += 1;
                self.insulation_told = self.insulation;
                self.insulation_at = at;
            }
            let resistance = Ohms::from_si(self.insulation_told).unwrap();
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
            pilot_fault: match (self.pilot_short, self.diode_fault) {
                (true, _) => PilotFault::Short,
                (false, true) => PilotFault::Diode,
                (false, false) => PilotFault::None,
            },
            proximity: if self.proximity_open { Proximity::Fault } else { Proximity::NotUsed },
            contactors: if self.contactors { Contactors::Closed } else { Contactors::Open },
            lock: match (self.has_lock, self.locked) {
                (false, _) => Lock::NotFitted,
                (true, true) => Lock::Locked,
                (true, false) => Lock::Unlocked,
            },
            emergency_stop: self.emergency_stop,
            alarms: self.alarms,
            safe_state: self.safe_state,
            hottest: (self.sensors > 0).then(|| Celsius::from_si(self.hottest).unwrap()),
            sensors: self.sensors,
            at,
        }
    }
}
