//! What can break, by name: each fault of the simulator as this plant plays it, and what only a plant in
//! virtual time can play.

use std::time::Duration;

use voltry_bus::{Alarm, LinkOutcome, Pilot, PilotOutput};
use voltry_evse::energy_path::{FaultCode, Input, Role};

use super::World;

/// One thing that breaks, and how it is mended. An event has nothing to mend.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    pub name: &'static str,
    pub breaks: fn(&mut World),
    pub mends: fn(&mut World),
}

const fn trouble(name: &'static str, breaks: fn(&mut World), mends: fn(&mut World)) -> Trouble {
    Trouble { name, breaks, mends }
}

/// How many of the table are the simulator's.
pub const OF_THE_SIMULATOR: usize = 42;

/// The simulator's faults by their names there and in its order, then ours.
#[rustfmt::skip]
pub const TROUBLES: [Trouble; 88] = [
    trouble("module-dead", |w| w.devices.modules_percent = 50, |w| w.devices.modules_percent = 100),
    trouble("module-lies", |w| w.devices.modules_lie = true, |w| w.devices.modules_lie = false),
    trouble("module-late", |w| w.devices.modules_late = Duration::from_secs(3), |w| w.devices.modules_late = Duration::ZERO),
    trouble("module-overtemp", |w| w.devices.modules_tripped = true, |w| w.devices.modules_tripped = false),
    trouble("module-derated", |w| w.devices.modules_percent = 40, |w| w.devices.modules_percent = 100),
    trouble("module-bleeder", |w| w.devices.bleeders_failed = true, World::replace_bleeders),
    trouble("module-shares-address", |w| w.devices.misled.present = true, World::hear_modules),
    trouble("module-answers-for-other", |w| w.devices.misled.present = true, World::hear_modules),
    trouble("module-answers-unasked", |w| w.devices.misled.present = true, World::hear_modules),
    trouble("can-silent", |w| w.devices.can_cut = true, |w| w.devices.can_cut = false),
    trouble("can-garbage", |w| w.garbled = true, |w| w.garbled = false),
    trouble("can-flood", |w| (w.devices.can_cut, w.devices.misled.present) = (true, true), World::free_bus),
    trouble("can-bus-off", |w| (w.devices.can_cut, w.devices.misled.present) = (true, true), World::free_bus),
    trouble("wrong-crc", |w| w.silence(Role::ConnectorIo), |w| w.speak(Role::ConnectorIo)),
    trouble("board-silent", |w| w.silence(Role::ConnectorIo), |w| w.speak(Role::ConnectorIo)),
    trouble("meter-stuck", |w| w.devices.meter_stuck = true, |w| w.devices.meter_stuck = false),
    trouble("meter-backwards", |w| w.devices.meter_backwards = true, |w| w.devices.meter_backwards = false),
    trouble("meter-gone", |w| w.silence(Role::EnergyMeter), |w| w.speak(Role::EnergyMeter)),
    trouble("meter-wrong-crc", |w| w.silence(Role::EnergyMeter), |w| w.speak(Role::EnergyMeter)),
    trouble("imd-gone", World::silence_monitor, |w| { w.speak(Role::InsulationMonitor); w.speak(Role::VoltageMonitor); }),
    trouble("imd-self-test-fails", |w| w.devices.self_test_fails = true, |w| w.devices.self_test_fails = false),
    trouble("insulation-falling", |w| w.devices.insulation_falls = true, World::dry),
    trouble("insulation-fault", |w| w.devices.insulation = 20_000.0, World::dry),
    trouble("contactor-welded", |w| w.devices.welds = true, |w| (w.devices.welds, w.devices.welded) = (false, false)),
    trouble("contactor-stuck-open", |w| w.devices.stuck_open = true, |w| w.devices.stuck_open = false),
    trouble("pilot-short", |w| w.devices.pilot_short = true, |w| w.devices.pilot_short = false),
    trouble("pilot-diode", |w| (w.devices.diode_fault, w.devices.safe_state) = (true, Some(FaultCode::DiodeFault)), |w| w.devices.diode_fault = false),
    trouble("connector-hot", |w| w.devices.heats = true, World::cool),
    trouble("emergency-stop", |w| w.devices.emergency_stop = true, |w| w.devices.emergency_stop = false),
    trouble("proximity-open", |w| w.devices.proximity_open = true, |w| w.devices.proximity_open = false),
    trouble("pe-loss", |w| w.vehicle.pilot = Pilot::A, |_| {}),
    trouble("output-short", |w| w.devices.short = true, |w| w.devices.short = false),
    trouble("vehicle-silent", |w| w.vehicle.silent = true, |w| w.vehicle.silent = false),
    trouble("vehicle-overasks", |w| w.vehicle.overasks = true, |w| w.vehicle.overasks = false),
    trouble("vehicle-unplugs-under-load", |w| w.vehicle.unplug(), |_| {}),
    trouble("vehicle-no-precharge-end", |w| w.vehicle.stays_in_pre_charge = true, |w| w.vehicle.stays_in_pre_charge = false),
    trouble("vehicle-wrong-order", World::breaks_off, |_| {}),
    trouble("vehicle-slow", |w| w.vehicle.slow = true, |w| w.vehicle.slow = false),
    trouble("modem-silent", |w| (w.vehicle.unheard, w.vehicle.silent) = (true, true), |w| (w.vehicle.unheard, w.vehicle.silent) = (false, false)),
    trouble("vehicle-never-matches", |w| w.vehicle.unheard = true, |w| w.vehicle.unheard = false),
    trouble("powerline-crosstalk", |_| {}, |_| {}),
    trouble("lock-stuck", |w| w.devices.lock_stuck = true, |w| w.devices.lock_stuck = false),

    trouble("supply-silent", |w| w.silence(Role::PowerSupply), |w| w.speak(Role::PowerSupply)),
    trouble("cable-voltage-silent", |w| w.silence(Role::VoltageMonitor), |w| w.speak(Role::VoltageMonitor)),
    trouble("over-voltage-monitor-silent", |w| w.silence(Role::OverVoltageMonitor), |w| w.speak(Role::OverVoltageMonitor)),
    trouble("insulation-silent", |w| w.silence(Role::InsulationMonitor), |w| w.speak(Role::InsulationMonitor)),
    trouble("insulation-hangs", |w| w.devices.monitor_hangs = true, |w| w.devices.monitor_hangs = false),
    trouble("supply-leaves", |w| w.leaves(Role::PowerSupply), |w| w.come_back(Role::PowerSupply)),
    trouble("cable-voltage-leaves", |w| w.leaves(Role::VoltageMonitor), |w| w.come_back(Role::VoltageMonitor)),
    trouble("over-voltage-monitor-leaves", |w| w.leaves(Role::OverVoltageMonitor), |w| w.come_back(Role::OverVoltageMonitor)),
    trouble("insulation-leaves", |w| w.leaves(Role::InsulationMonitor), |w| w.come_back(Role::InsulationMonitor)),
    trouble("board-leaves", |w| w.leaves(Role::ConnectorIo), |w| w.come_back(Role::ConnectorIo)),
    trouble("meter-leaves", |w| w.leaves(Role::EnergyMeter), |w| w.come_back(Role::EnergyMeter)),
    trouble("link-leaves", |w| w.leaves(Role::EvLink), |w| w.come_back(Role::EvLink)),
    trouble("supply-ignores-off", |w| w.devices.supply_ignores_off = true, |w| w.devices.supply_ignores_off = false),
    trouble("supply-runs-away", |w| w.devices.runaway = 60.0, |w| w.devices.runaway = 0.0),
    trouble("supply-surges", |w| w.devices.surge = 600.0, |w| w.devices.surge = 0.0),
    trouble("supply-above-the-vehicle", |w| w.devices.surge = 480.0, |w| w.devices.surge = 0.0),
    trouble("cable-voltage-reads-high", |w| w.devices.cable_lies = 75.0, |w| w.devices.cable_lies = 0.0),
    trouble("cable-voltage-reads-low", |w| w.devices.cable_lies = -75.0, |w| w.devices.cable_lies = 0.0),
    trouble("over-voltage-monitor-forgets", |w| (w.devices.guard.broken, w.devices.guard.armed) = (true, false), |w| w.devices.guard.broken = false),
    trouble("over-voltage-monitor-refuses", |w| w.devices.guard.refuses = true, |w| w.devices.guard.refuses = false),
    trouble("over-voltage-monitor-reads-low", |w| w.devices.guard.lies = -75.0, |w| w.devices.guard.lies = 0.0),
    trouble("over-voltage-monitor-trips", |w| w.devices.guard.tripped = w.guarded, |_| {}),
    trouble("board-latches", |w| w.devices.safe_state = Some(FaultCode::BoardSafeState), |_| {}),
    trouble("board-refuses-the-pilot", |w| w.devices.pilot_refusals = 5, |w| w.devices.pilot_refusals = 0),
    trouble("stray-voltage", |w| w.devices.stray = 80.0, |w| w.devices.stray = 0.0),
    trouble("contactor-falls-open", |w| w.devices.stuck_open |= w.devices.contactors, |w| w.devices.stuck_open = false),
    trouble("leases-come-late", |w| w.devices.late_renewals = 3, |w| w.devices.late_renewals = 0),
    trouble("loop-stalls", |w| w.stalled = true, |w| w.stalled = false),
    trouble("evse-killed", |w| w.kill(Duration::from_millis(250)), |_| {}),
    trouble("evse-killed-for-long", |w| w.kill(Duration::from_secs(4)), |_| {}),
    trouble("vehicle-mute", |w| w.vehicle.mute = true, |w| w.vehicle.mute = false),
    trouble("vehicle-opens-s2", |w| w.vehicle.pilot = Pilot::B, |_| {}),
    trouble("vehicle-contactor-welds", |w| w.vehicle.welded = true, |w| w.vehicle.welded = false),
    trouble("vehicle-stops", |w| w.vehicle.wants_stop = true, |_| {}),
    trouble("link-overdue", |w| w.send(Input::LinkEnded(LinkOutcome::Overdue)), |_| {}),
    trouble("link-asks-for-f", |w| w.send(Input::PilotRequest { counter: w.vehicle.counter(), output: PilotOutput::F }), |_| {}),
    trouble("temperature-not-told", |w| w.devices.sensors = 1, |w| w.devices.sensors = 2),
    trouble("enclosure-open", |w| w.alarm(Alarm::EnclosureOpen, true), |w| w.alarm(Alarm::EnclosureOpen, false)),
    trouble("tilted", |w| w.alarm(Alarm::Tilted, true), |w| w.alarm(Alarm::Tilted, false)),
    trouble("water", |w| w.alarm(Alarm::Water, true), |w| w.alarm(Alarm::Water, false)),
    trouble("cooling-failed", |w| w.alarm(Alarm::CoolingFailed, true), |w| w.alarm(Alarm::CoolingFailed, false)),
    trouble("share-falls", |w| w.share = voltry_units::Watts::new(3_000), |w| w.share = voltry_units::Watts::new(150_000)),
    trouble("permit-runs-out", |w| w.permit = false, |w| w.permit = true),
    trouble("station-stops", |w| w.send(Input::Stop), |_| {}),
    trouble("out-of-service", |w| w.send(Input::Available(false)), |w| w.send(Input::Available(true))),
    trouble("somebody-clears", |w| w.send(Input::ClearFaults), |_| {}),
];

/// Everything is mended, and who stopped runs again.
pub fn mend_all(world: &mut World) {
    for trouble in &TROUBLES {
        (trouble.mends)(world);
    }
}

impl World {
    fn alarm(&mut self, alarm: Alarm, present: bool) {
        self.devices.alarms = self.devices.alarms.set(alarm, present);
    }

    fn silence(&mut self, role: Role) {
        if !self.silent.contains(&role) {
            self.silent.push(role);
        }
    }

    fn speak(&mut self, role: Role) {
        self.silent.retain(|silent| *silent != role);
    }

    /// The usual monitor measures the cable's voltage too.
    fn silence_monitor(&mut self) {
        self.silence(Role::InsulationMonitor);
        self.silence(Role::VoltageMonitor);
    }

    /// Whoever does it clears the modules too, once before the EVSE is cleared.
    fn replace_bleeders(&mut self) {
        if std::mem::take(&mut self.devices.bleeders_failed) {
            self.send(Input::ClearFaults);
        }
    }

    fn hear_modules(&mut self) {
        if std::mem::take(&mut self.devices.misled.present) {
            self.send(Input::ClearFaults);
        }
    }

    fn free_bus(&mut self) {
        self.devices.can_cut = false;
        self.hear_modules();
    }

    fn dry(&mut self) {
        (self.devices.insulation_falls, self.devices.insulation) = (false, 2_000_000.0);
    }

    fn cool(&mut self) {
        (self.devices.heats, self.devices.hottest) = (false, 25.0);
    }
}
