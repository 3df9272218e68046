//! The rules that end a session whatever it is doing, each with its time and its evidence.

use std::time::Duration;

use voltry_bus::{Alarm, Contactors, Isolation, Pilot, PilotFault, Proximity};
use voltry_units::{Amps, Celsius, Ohms, Timestamp, Volts, WattHours, Watts};

use super::fault::{Evidence, FaultCode};
use super::state::State;
use super::{ConnectorIo, EnergyPath, Held, MeterReading, Role, SupplyReading};

/// A voltage on an idle connector must last this long to be no leftover of a measurement.
const IDLE_VOLTAGE: Duration = Duration::from_secs(1);
/// Without anything to give for so long a session is over: modules come and go in less.
pub(super) const UNABLE: Duration = Duration::from_secs(1);
/// Modules take some seconds to be found and to qualify, after a start as after the mains came back.
pub(super) const UNABLE_IDLE: Duration = Duration::from_secs(8);
/// This much energy by our own reckoning moves the register of any meter that works.
const REGISTER_MOVES: WattHours = WattHours::new(500);

/// Whoever opens a door may reach what is live; what was knocked over or stands in water may be live anywhere.
const CABINET: [(Alarm, FaultCode); 3] = [
    (Alarm::EnclosureOpen, FaultCode::EnclosureOpen),
    (Alarm::Tilted, FaultCode::TiltDetected),
    (Alarm::Water, FaultCode::WaterIngress),
];

/// Conditions on their way to being faults.
#[derive(Debug, Clone, Default)]
pub(super) struct Supervision {
    pub(super) blind: Held,
    over_current: Held,
    over_voltage: Held,
    spread: Held,
    idle_voltage: Held,
    not_open: Held,
    unable: Held,
    pub(super) collapsed: Held,
    reversed: Held,
    /// Watt-milliseconds to the vehicle since the register last moved.
    unregistered: i64,
    /// And from it, since the register of those did.
    unexported: i64,
    last_supply: Option<SupplyReading>,
    register: Option<WattHours>,
    export: Option<WattHours>,
    /// A register fell while energised: what it reads, after what.
    fell: Option<(WattHours, WattHours)>,
}

impl Supervision {
    /// Reckons energy between two readings, for the meter's progress alone: never billed.
    pub(super) fn count_energy(&mut self, reading: SupplyReading, closed: bool) {
        if let Some(last) = self.last_supply
            && closed
        {
            let millis = reading.at.since(last.at).as_millis().min(300);
            let watts = (reading.voltage * reading.current).as_milli() / 1000;
            let energy = watts.saturating_mul(i64::try_from(millis).unwrap_or(0));
            self.unregistered = self.unregistered.saturating_add(energy).max(0);
            self.unexported = self.unexported.saturating_sub(energy).max(0);
        }
        self.last_supply = Some(reading);
    }

    pub(super) fn see_registers(&mut self, reading: MeterReading) {
        let registers = [
            (reading.energy, &mut self.register, &mut self.unregistered),
            (reading.export, &mut self.export, &mut self.unexported),
        ];
        for (reads, known, uncounted) in registers {
            if *known != Some(reads) {
                let before = known.replace(reads);
                *uncounted = 0;
                let fell = before.filter(|before| reads < *before).map(|before| (reads, before));
                self.fell = self.fell.or(fell);
            }
        }
    }

    /// What either register has missed.
    fn uncounted(&self) -> WattHours {
        WattHours::from_milli(self.unregistered.max(self.unexported) / 3_600)
    }

    fn reset(&mut self) {
        let (last_supply, register, export) = (self.last_supply, self.register, self.export);
        *self = Self {
            last_supply,
            register,
            export,
            blind: self.blind,
            not_open: self.not_open,
            unable: self.unable,
            ..Self::default()
        };
    }
}

pub(super) type Finding = Result<(), (FaultCode, Evidence)>;

impl EnergyPath {
    /// Applies every rule; the first that fails decides. Emergencies are asked first. Of the cabinet all is latched: a
    /// tilt may be over before whatever hid it is cleared.
    pub(super) fn supervise(&mut self, now: Timestamp) {
        let alarms =
            self.observed.io(now, &self.installation.profile).map(|io| io.alarms).unwrap_or_default();
        for (alarm, code) in CABINET {
            if alarms.contains(alarm) {
                self.fail(now, code, Evidence::Seen);
            }
        }
        let found = self
            .wires(now)
            .and_then(|()| if self.outputs.is_live() { self.energised(now) } else { self.idle(now) });
        if let Err((code, evidence)) = found {
            self.fail(now, code, evidence);
        }
    }

    /// What the board reports, in every state.
    fn wires(&mut self, now: Timestamp) -> Finding {
        let profile = &self.installation.profile;
        let Some(io) = self.observed.io(now, profile) else { return Ok(()) };
        if io.emergency_stop {
            return Err((FaultCode::EmergencyStop, Evidence::Seen));
        }
        self.guard_tripped(now)?;
        // A board that latched for a reason that we latched too is reset when that is cleared.
        let known = !self.faults.as_slice().is_empty();
        if !known && !matches!(self.state, State::Starting(_) | State::Faulted(_)) {
            latched(&io, profile.connector_warm)?;
        }
        // A contactor that was told to open and did not: welded, or its feedback is broken.
        let stuck = self.outputs.opened_at().is_some()
            && matches!(io.contactors, Contactors::Closed | Contactors::Mismatch);
        if self.supervision.not_open.for_at_least(profile.contactor_time, stuck, now) {
            return Err((FaultCode::ContactorFault, Evidence::Contactors(io.contactors)));
        }
        Ok(())
    }

    fn idle(&mut self, now: Timestamp) -> Finding {
        self.supervision.reset_for_idle();
        if let State::Checking(checking) = self.state {
            // What a load was given is proved gone before its check ends.
            let falling = checking.load().is_some() && checking.is_ending();
            return if falling { Ok(()) } else { self.cable_is_dead(now) };
        }
        let watched = match self.state {
            State::Available
            | State::Connected(_)
            | State::Parameters(_)
            | State::Finished(_)
            | State::Paused => true,
            State::Starting(_)
            | State::CableCheck(_)
            | State::PreCharge(_)
            | State::Charging(_)
            | State::Stopping(_)
            | State::Shutdown(_)
            | State::Faulted(_)
            | State::Unavailable
            | State::Checking(_) => false,
        };
        let profile = &self.installation.profile;
        let io = self.observed.io(now, profile);
        if watched && let Some(io) = io {
            pilot_fault(&io)?;
        }
        if watched && !matches!(self.state, State::Finished(_) | State::Paused) {
            self.supply_is_able(now, UNABLE_IDLE)?;
            self.is_cooled(now)?;
        }
        let profile = &self.installation.profile;
        let limit = profile.safe_voltage;
        // Out of service, or behind a door that is open, a person may work at it.
        let rests = watched || matches!(self.state, State::Unavailable | State::Faulted(_));
        let voltage = self.observed.cable(now, profile).filter(|cable| rests && cable.abs() >= limit);
        if self.supervision.idle_voltage.for_at_least(IDLE_VOLTAGE, voltage.is_some(), now) {
            let evidence = Evidence::Voltage(voltage.unwrap_or(limit), limit);
            return Err((FaultCode::ConnectorVoltageHigh, evidence));
        }
        Ok(())
    }

    fn energised(&mut self, now: Timestamp) -> Finding {
        // While it shuts down, the contactors may wait for the current: only the wires and the plug count.
        if let State::Shutdown(shutdown) = self.state {
            return if shutdown.emergency { Ok(()) } else { self.plug_is_in(now) };
        }
        if let State::Checking(checking) = self.state {
            return match checking.load() {
                Some(load) => self.energised_by_load(now, load),
                None => self.energised_by_check(now),
            };
        }
        self.pilot_and_plug(now)?;
        self.contactors_follow(now)?;
        self.over_current(now)?;
        self.over_voltage(now)?;
        self.inputs_are_fresh(now)?;
        self.guard_holds(now)?;
        self.output_stands(now)?;
        self.supply_is_able(now, UNABLE)?;
        self.insulation_holds(now)?;
        self.voltages_agree(now)?;
        self.not_too_hot(now)?;
        self.is_cooled(now)?;
        self.vehicle_speaks(now)?;
        self.meter_counts()
    }

    pub(super) fn pilot_and_plug(&self, now: Timestamp) -> Finding {
        let Some(io) = self.observed.io(now, &self.installation.profile) else { return Ok(()) };
        pilot_fault(&io)?;
        match io.pilot {
            Pilot::C | Pilot::D => {}
            // In a stop the vehicle leaves C before we are open; in CableCheck and PreCharge it
            // may leave without current, and so it may renegotiate. Under current it must not.
            Pilot::B => {
                let charging = matches!(self.state, State::Charging(_)) && !self.leaves_to_renegotiate(now);
                if charging || self.load().is_some() {
                    return Err((FaultCode::InvalidVehicleMode, Evidence::Pilot(io.pilot)));
                }
            }
            Pilot::A | Pilot::E | Pilot::F | Pilot::Invalid | Pilot::Unknown => {
                return Err((FaultCode::PilotFault, Evidence::Pilot(io.pilot)));
            }
        }
        latch_holds(&io)
    }

    /// State F is what this side drives itself: by then it has nothing to tell of the plug. A board in its
    /// safe state has opened.
    fn plug_is_in(&self, now: Timestamp) -> Finding {
        let io = self.observed.io(now, &self.installation.profile);
        let Some(io) = io.filter(|io| io.safe_state.is_none()) else { return Ok(()) };
        pilot_fault(&io)?;
        if io.pilot == Pilot::A {
            return Err((FaultCode::PilotFault, Evidence::Pilot(io.pilot)));
        }
        latch_holds(&io)
    }

    /// Closed contactors that fall open carry an arc: everything off. But a board opens by itself where a vehicle opens
    /// S2; whether it may, was judged by the pilot.
    pub(super) fn contactors_follow(&self, now: Timestamp) -> Finding {
        let Some(io) = self.observed.io(now, &self.installation.profile) else { return Ok(()) };
        if self.outputs.supply_enabled()
            && self.outputs.contactors_enabled()
            && io.contactors != Contactors::Closed
            && self.outputs.closing_since().is_some_and(|since| io.at > since)
            && io.pilot != Pilot::B
        {
            return Err((FaultCode::ContactorFault, Evidence::Contactors(io.contactors)));
        }
        Ok(())
    }

    pub(super) fn over_current(&mut self, now: Timestamp) -> Finding {
        let profile = &self.installation.profile;
        let Some(supply) = self.observed.supply(now, profile) else { return Ok(()) };
        let ceiling = self.outputs.current_ceiling(now);
        let limit = ceiling.scaled(11, 10) + profile.over_current_margin;
        if self.supervision.over_current.for_at_least(profile.over_current_time, supply.current > limit, now)
        {
            return Err((FaultCode::OverCurrent, Evidence::Current(supply.current, limit)));
        }
        // From the vehicle no more than was asked of it, and nothing where nothing was.
        let limit = self.outputs.current_floor(now).scaled(11, 10) - profile.over_current_margin;
        if self.supervision.reversed.for_at_least(profile.over_current_time, supply.current < limit, now) {
            return Err((FaultCode::OverCurrent, Evidence::Current(supply.current, limit)));
        }
        Ok(())
    }

    /// Each side of the contactors counts: the higher of the two measurements.
    pub(super) fn over_voltage(&mut self, now: Timestamp) -> Finding {
        let profile = &self.installation.profile;
        let supply = self.observed.supply(now, profile).map(|supply| supply.voltage);
        let Some(voltage) = supply.max(self.observed.cable(now, profile)) else { return Ok(()) };
        let vehicle_max = self.voltage_named();
        let class = self.class_limit();
        if voltage > class {
            return Err((FaultCode::OverVoltage, Evidence::Voltage(voltage, class)));
        }
        // CableCheck tests above the vehicle's maximum, within its class.
        let limit = if let State::CableCheck(check) = self.state {
            check.test().scaled(105, 100)
        } else if matches!(self.state, State::Checking(_)) {
            self.check_voltage().scaled(105, 100)
        } else {
            vehicle_max.scaled(102, 100).max(profile.safe_voltage)
        };
        // After CableCheck the voltage of the test may still be falling.
        if self.supervision.over_voltage.for_at_least(profile.over_voltage_time, voltage > limit, now) {
            return Err((FaultCode::OverVoltage, Evidence::Voltage(voltage, limit)));
        }
        Ok(())
    }

    /// A battery on the cable holds its voltage. Where there is none, it has parted from the cable
    /// or is shorted; modules may trip on a short before their current has told.
    fn output_stands(&mut self, now: Timestamp) -> Finding {
        let profile = &self.installation.profile;
        let limit = profile.safe_voltage;
        let lower = self.observed.lower_voltage(now, profile);
        let flat = matches!(self.state, State::Charging(_)) && lower.is_some_and(|lower| lower < limit);
        if self.supervision.collapsed.for_at_least(profile.short_circuit_time, flat, now) {
            return Err((FaultCode::ShortCircuit, Evidence::Voltage(lower.unwrap_or(limit), limit)));
        }
        Ok(())
    }

    /// A supply that can give nothing any more: its modules failed, or lost the mains. While nothing is
    /// energised, one that shares modules with other EVSEs may have none.
    pub(super) fn supply_is_able(&mut self, now: Timestamp, time: Duration) -> Finding {
        let unable = if self.outputs.is_live() { self.is_supply_unable() } else { self.has_supply_failed() };
        if self.supervision.unable.for_at_least(time, unable, now) {
            return Err((FaultCode::SupplyFailed, Evidence::Seen));
        }
        Ok(())
    }

    pub(super) fn is_supply_unable(&self) -> bool {
        let capability = self.observed.capability();
        capability.current_max <= Amps::ZERO || capability.power_max <= Watts::ZERO
    }

    /// A supply that shares modules tells voltages and no current while it has none.
    pub(super) fn has_supply_failed(&self) -> bool {
        self.is_supply_unable() && self.observed.capability().voltage_max <= Volts::ZERO
    }

    /// Before what is heard of others after a sleep is taken for their fault.
    pub(super) fn notice_stall(&mut self, now: Timestamp) {
        let watched = matches!(
            self.state,
            State::CableCheck(_) | State::PreCharge(_) | State::Charging(_) | State::Stopping(_)
        );
        if watched
            && self.outputs.is_live()
            && let Err((code, evidence)) = self.runs_in_time(now)
        {
            self.fail(now, code, evidence);
        }
    }

    /// Whoever slept finds every value too old: that is not the sources' fault.
    fn runs_in_time(&self, now: Timestamp) -> Finding {
        let limit = self.installation.profile.step_late;
        if self.last_tick.is_some_and(|last| now.since(last) > limit) {
            return Err((FaultCode::ControlStalled, Evidence::NotWithin(limit)));
        }
        Ok(())
    }

    pub(super) fn inputs_are_fresh(&self, now: Timestamp) -> Finding {
        self.runs_in_time(now)?;
        let profile = &self.installation.profile;
        if let Some(role) = self.observed.first_missing(now, &self.installation, false) {
            return Err((FaultCode::Missing(role), Evidence::NotWithin(profile.reading_stale)));
        }
        Ok(())
    }

    pub(super) fn insulation_holds(&mut self, now: Timestamp) -> Finding {
        if matches!(self.state, State::CableCheck(_)) {
            return Ok(());
        }
        let profile = &self.installation.profile;
        let Some(reading) = self.observed.insulation(now, profile) else {
            let evidence = Evidence::NotWithin(profile.insulation_stale);
            return Err((FaultCode::Missing(Role::InsulationMonitor), evidence));
        };
        self.judge_insulation(now);
        if self.isolation == Isolation::Fault {
            let evidence = Evidence::Resistance(reading.resistance, self.insulation_limit());
            return Err((FaultCode::ResistanceFault, evidence));
        }
        Ok(())
    }

    /// The limit of this session, on the vehicle's maximum voltage.
    pub(super) fn insulation_limit(&self) -> Ohms {
        self.installation.profile.insulation_fault(self.voltage_named())
    }

    /// The verdict that the vehicle is told.
    pub(super) fn judge_insulation(&mut self, now: Timestamp) {
        let profile = &self.installation.profile;
        let voltage = self.voltage_named();
        self.isolation = match self.observed.insulation(now, profile) {
            None => Isolation::Invalid,
            Some(reading) if reading.resistance < profile.insulation_fault(voltage) => Isolation::Fault,
            Some(reading) if reading.resistance < profile.insulation_warning(voltage) => Isolation::Warning,
            Some(_) => Isolation::Valid,
        };
    }

    pub(super) fn voltages_agree(&mut self, now: Timestamp) -> Finding {
        let profile = &self.installation.profile;
        let (lowest, highest) = self.observed.voltages(now, profile);
        let apart = highest - lowest;
        let differ = self.outputs.contactors_enabled() && apart > profile.voltage_spread;
        if self.supervision.spread.for_at_least(profile.voltage_spread_time, differ, now) {
            return Err((FaultCode::VoltageImplausible, Evidence::Voltage(apart, profile.voltage_spread)));
        }
        Ok(())
    }

    pub(super) fn not_too_hot(&self, now: Timestamp) -> Finding {
        if let Some((tell, told)) = self.observed.missing_sensors() {
            return Err((FaultCode::CableOverTempStop, Evidence::Sensors(tell, told)));
        }
        let profile = &self.installation.profile;
        match self.observed.io(now, profile).and_then(|io| io.hottest) {
            Some(hottest) if hottest >= profile.connector_hot => {
                Err((FaultCode::CableOverTempStop, Evidence::Temperature(hottest, profile.connector_hot)))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn is_cooled(&self, now: Timestamp) -> Finding {
        let io = self.observed.io(now, &self.installation.profile);
        if io.is_some_and(|io| io.alarms.contains(Alarm::CoolingFailed)) {
            return Err((FaultCode::CoolingFailed, Evidence::Seen));
        }
        Ok(())
    }

    /// In the charge loop silence is measured from the last target, else from the phase's entry.
    fn vehicle_speaks(&self, now: Timestamp) -> Finding {
        let lost = self.installation.profile.target_lost;
        let silent = match self.state {
            State::Charging(charging) => {
                charging.silence(now, self.session.as_ref().and_then(|session| session.target))
            }
            State::Starting(_)
            | State::Available
            | State::Connected(_)
            | State::Parameters(_)
            | State::CableCheck(_)
            | State::PreCharge(_)
            | State::Stopping(_)
            | State::Finished(_)
            | State::Paused
            | State::Shutdown(_)
            | State::Faulted(_)
            | State::Unavailable
            | State::Checking(_) => return Ok(()),
        };
        if silent > lost {
            return Err((FaultCode::VehicleSilent, Evidence::NotWithin(lost)));
        }
        Ok(())
    }

    /// A register of imported energy only rises: one that falls proves nothing that it counted.
    fn meter_counts(&self) -> Finding {
        if !self.installation.meter_required {
            return Ok(());
        }
        if let Some((reads, before)) = self.supervision.fell {
            return Err((FaultCode::MeterBackwards, Evidence::Register(reads, before)));
        }
        if self.supervision.uncounted() >= REGISTER_MOVES {
            return Err((FaultCode::MeterStuck, Evidence::Seen));
        }
        Ok(())
    }
}

impl Supervision {
    fn reset_for_idle(&mut self) {
        // A meter that was replaced meanwhile is no meter that ran backwards.
        self.fell = None;
        let counted = self.unregistered == 0 && self.unexported == 0;
        let held = [self.over_current, self.reversed, self.over_voltage];
        if !counted || held.iter().any(|held| held.0.is_some()) {
            let idle_voltage = self.idle_voltage;
            self.reset();
            self.idle_voltage = idle_voltage;
        }
    }
}

/// What made a board latch its safe state says more than that it did. The board's own word
/// decides: in that state it drives the pilot itself, and the wires may not show the cause any more.
pub(super) fn latched(io: &ConnectorIo, warm: Celsius) -> Finding {
    let Some(told) = io.safe_state else { return Ok(()) };
    let silent = told == FaultCode::BoardSafeState;
    if silent {
        pilot_fault(io)?;
        if io.proximity == Proximity::Fault {
            return Err((FaultCode::ProximityFault, Evidence::Seen));
        }
    }
    let hot = io.hottest.filter(|hottest| *hottest >= warm);
    match hot.filter(|_| silent || told == FaultCode::CableOverTempStop) {
        Some(hottest) => Err((FaultCode::CableOverTempStop, Evidence::Temperature(hottest, warm))),
        None => Err((told, Evidence::Seen)),
    }
}

fn latch_holds(io: &ConnectorIo) -> Finding {
    match io.proximity {
        Proximity::NotUsed | Proximity::Latched => Ok(()),
        Proximity::Absent | Proximity::Released | Proximity::Fault => {
            Err((FaultCode::ProximityFault, Evidence::Seen))
        }
    }
}

pub(super) fn pilot_fault(io: &ConnectorIo) -> Finding {
    match io.pilot_fault {
        PilotFault::None => Ok(()),
        PilotFault::Diode => Err((FaultCode::DiodeFault, Evidence::Pilot(io.pilot))),
        PilotFault::Short => Err((FaultCode::PilotFault, Evidence::Pilot(io.pilot))),
    }
}
