//! The states in which nothing may be energised: starting, shutting down, faulted.

use std::time::Duration;

use voltry_bus::{Alarm, Contactors, Pilot, PilotOutput, Proximity};
use voltry_units::Timestamp;

use super::action::{Command, Report};
use super::fault::{ClearedBy, Evidence, Fault, FaultCode, Reaction};
use super::state::State;
use super::supervision::{UNABLE_IDLE, latched, pilot_fault};
use super::waiting::Finished;
use super::{EnergyPath, StopReason};

/// As long as measurements don't confirm a safe state, it is commanded again this often.
const COMMAND_AGAIN: Duration = Duration::from_secs(1);
/// A board has left its safe state, and an over-voltage monitor its trip, within this time of a reset.
const RESET_TIME: Duration = Duration::from_secs(2);
/// And is not reset more often than this.
const BOARD_RESET_AGAIN: Duration = Duration::from_secs(10);
/// With this little left of the time for it, the pilot is driven even under current.
const PILOT_RESERVE: Duration = Duration::from_millis(200);

/// Proving that everything is off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Starting {
    commanded: Option<Timestamp>,
    board_reset: Option<Timestamp>,
    /// When a person had the over-voltage monitor's trip reset.
    guard_reset: Option<Timestamp>,
    /// Since when a voltage is measured that must not be there.
    voltage_since: Option<Timestamp>,
    /// The plug of a session that is over has been seen in its inlet all the time.
    still_plugged: bool,
}

/// Everything commanded off; not yet confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shutdown {
    pub(super) emergency: bool,
    since: Timestamp,
    until: Timestamp,
    /// The contactors were commanded open; else when they are, under whatever current.
    opened: bool,
    forced: Timestamp,
    /// Until then what the wires show may turn out to be the cause of a broken conversation.
    /// Only the name waits for it; everything is off without delay.
    named_at: Option<Timestamp>,
}

/// Off, with latched faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Faulted {
    commanded: Timestamp,
    board_reset: Option<Timestamp>,
}

impl Faulted {
    fn new(now: Timestamp) -> Self {
        Self { commanded: now, board_reset: None }
    }
}

impl Starting {
    /// A provider left while the vehicle of a session that is over was plugged in.
    pub(super) fn after_a_session() -> Self {
        Self { still_plugged: true, ..Self::default() }
    }

    pub(super) fn deadline(&self) -> Option<(Timestamp, &'static str)> {
        self.commanded.map(|at| (at + COMMAND_AGAIN, "safe is commanded again"))
    }

    /// A provider came: it has heard nothing yet.
    pub(super) fn command_again(&mut self) {
        self.commanded = None;
    }
}

impl Shutdown {
    pub(super) fn deadline(&self) -> (Timestamp, &'static str) {
        let forced = (!self.opened).then_some((self.forced, "the contactors are forced open"));
        let named = self.named_at.map(|named_at| (named_at, "the cause is named"));
        let off = (self.until, "everything is off");
        [forced, named]
            .into_iter()
            .flatten()
            .fold(off, |first, next| if next.0 < first.0 { next } else { first })
    }

    /// Whether a more telling cause may still show.
    pub(super) fn is_unnamed(&self) -> bool {
        self.named_at.is_some()
    }
}

impl Faulted {
    pub(super) fn deadline(&self) -> Option<(Timestamp, &'static str)> {
        Some((self.commanded + COMMAND_AGAIN, "safe is commanded again"))
    }
}

impl EnergyPath {
    pub(super) fn starting(&mut self, now: Timestamp, mut starting: Starting) -> State {
        // A plug that was not seen for a moment may be another one's.
        let pilot = self.observed.pilot(now, &self.installation.profile);
        starting.still_plugged &= pilot.is_some_and(|pilot| pilot != Pilot::A);
        if starting.commanded.is_none_or(|at| now.since(at) >= COMMAND_AGAIN) {
            starting.commanded = Some(now);
            self.command_everything_safe(now);
        }
        if !starting.still_plugged {
            self.end_session();
        }
        self.stop_asked = None;
        let profile = &self.installation.profile;
        if let Some(io) = self.observed.io(now, profile)
            && io.safe_state.is_some()
        {
            let reset = *starting.board_reset.get_or_insert_with(|| {
                self.outputs.send(Command::ResetBoard);
                now
            });
            if now.since(reset) >= RESET_TIME {
                self.fail(now, FaultCode::BoardSafeState, Evidence::Seen);
                return self.state;
            }
            return State::Starting(starting);
        }
        starting.board_reset = None;
        // Only a person resets a trip: it stays one also through a restart of this process.
        if let Some(trip) = self.guard_trip(now) {
            if starting.guard_reset.is_none_or(|reset| now.since(reset) >= RESET_TIME) {
                self.fail(now, FaultCode::OverVoltage, trip);
                return self.state;
            }
            return State::Starting(starting);
        }
        if let Some(evidence) = self.voltage_that_should_not_be(now) {
            // A vehicle that was charging when the last process died needs its time to let go.
            let since = *starting.voltage_since.get_or_insert(now);
            if now.since(since) >= self.installation.profile.welding_detection {
                self.fail(now, FaultCode::ConnectorVoltageHigh, evidence);
                return self.state;
            }
            return State::Starting(starting);
        }
        starting.voltage_since = None;
        let profile = &self.installation.profile;
        let all_here =
            self.observed.first_missing(now, &self.installation, self.installation.meter_required).is_none();
        if all_here && self.observed.confirmed_safe(now, profile) && !self.terminating {
            if !self.faults.as_slice().is_empty() {
                return State::Faulted(Faulted::new(now));
            }
            if let Err((code, evidence)) = self.supply_is_able(now, UNABLE_IDLE) {
                self.fail(now, code, evidence);
                return self.state;
            }
            if !self.has_supply_failed() {
                self.outputs.set_lock_if(self.installation.has_lock, false);
                // What somebody ended is not begun again because a daemon was away.
                return if starting.still_plugged {
                    State::Finished(Finished::again())
                } else {
                    State::Available
                };
            }
        }
        State::Starting(starting)
    }

    fn command_everything_safe(&mut self, now: Timestamp) {
        self.outputs.forget_commanded();
        self.outputs.supply_off();
        self.outputs.open_contactors(now);
        self.outputs.set_pilot(PilotOutput::X1);
        self.pause_insulation_monitor();
        self.outputs.detach();
    }

    /// A paused monitor measures nothing, also no voltage.
    pub(super) fn pause_insulation_monitor(&mut self) {
        if !self.installation.monitor_measures_voltage {
            self.outputs.set_insulation_active(false);
        }
    }

    pub(super) fn voltage_that_should_not_be(&self, now: Timestamp) -> Option<Evidence> {
        let profile = &self.installation.profile;
        let supply = self.observed.supply(now, profile).map(|supply| supply.voltage);
        [supply, self.observed.cable(now, profile)]
            .into_iter()
            .flatten()
            .find(|voltage| voltage.abs() >= profile.safe_voltage)
            .map(|voltage| Evidence::Voltage(voltage, profile.safe_voltage))
    }

    /// Begins an error shutdown or an emergency, unless one as strong is under way.
    pub(super) fn shut_down(&mut self, now: Timestamp, code: Option<FaultCode>, reaction: Reaction) {
        let emergency = reaction == Reaction::Emergency;
        if let State::Shutdown(shutdown) = self.state
            && (shutdown.emergency || !emergency)
        {
            return;
        }
        if matches!(self.state, State::Faulted(_)) && !self.outputs.is_live() {
            if emergency {
                self.outputs.emergency(now);
            }
            return;
        }
        let opened = emergency || !self.outputs.contactors_enabled();
        self.abort_check(code);
        if emergency {
            self.outputs.emergency(now);
        } else {
            self.outputs.supply_off();
            if opened {
                self.outputs.open_contactors(now);
                self.outputs.set_pilot(PilotOutput::X1);
            }
        }
        if let Some(code) = code {
            self.end_delivery(StopReason::Fault(code));
            if self.outputs.is_attached() {
                self.outputs.send(Command::Abort(code));
            }
        }
        self.stop_asked = None;
        self.report_broken_conversation();
        let profile = &self.installation.profile;
        let (until, forced) = (now + profile.discharge, now + profile.open_forced);
        // A vehicle sees a broken wire as soon as the board does, and its link ends at once.
        let named_at = (code == Some(FaultCode::CommunicationLost)).then(|| now + profile.reading_stale);
        self.state = State::Shutdown(Shutdown { emergency, since: now, until, opened, forced, named_at });
    }

    /// What the wires show while the cause of a broken conversation is looked for.
    fn cause_on_the_wires(&self, now: Timestamp) -> Option<(FaultCode, Evidence)> {
        let io = self.observed.io(now, &self.installation.profile)?;
        let profile = &self.installation.profile;
        if let Err(cause) = latched(&io, profile.connector_warm).and_then(|()| pilot_fault(&io)) {
            return Some(cause);
        }
        match (io.pilot, io.proximity) {
            (Pilot::A, _) => Some((FaultCode::PilotFault, Evidence::Pilot(io.pilot))),
            (_, Proximity::Absent | Proximity::Released | Proximity::Fault) => {
                Some((FaultCode::ProximityFault, Evidence::Seen))
            }
            (_, Proximity::NotUsed | Proximity::Latched) => None,
        }
    }

    /// Whether this fault is that of a conversation that broke off, whose cause may show on the wires yet: it is
    /// told once that is known, and only if nothing does.
    pub(super) fn is_cause_looked_for(&self, code: FaultCode) -> bool {
        let unnamed = matches!(self.state, State::Shutdown(shutdown) if shutdown.is_unnamed());
        unnamed && code == FaultCode::CommunicationLost
    }

    /// Tells of a conversation that broke off, if that was not told yet and no cause took its place.
    fn report_broken_conversation(&mut self) {
        let broke = self.faults.as_slice().iter().find(|fault| self.is_cause_looked_for(fault.code)).copied();
        if let Some(fault) = broke {
            self.outputs.report(Report::Fault(fault));
        }
    }

    /// A fault that explains why the conversation broke off takes its place, also in the book.
    pub(super) fn explain_broken_conversation(&mut self, code: FaultCode) {
        let unnamed = matches!(self.state, State::Shutdown(shutdown) if shutdown.is_unnamed());
        let consequence = FaultCode::CommunicationLost;
        if !unnamed || code == consequence {
            return;
        }
        self.faults.retain(|fault| fault.code != consequence);
        if let Some(session) = self.session.as_mut()
            && session.stop == Some(StopReason::Fault(consequence))
        {
            session.stop = Some(StopReason::Fault(code));
        }
    }

    pub(super) fn shutting_down(&mut self, now: Timestamp, mut shutdown: Shutdown) -> State {
        let profile = &self.installation.profile;
        let elapsed = now.since(shutdown.since);
        let pilot_due = elapsed + PILOT_RESERVE >= profile.pilot_shutdown;
        if !shutdown.opened {
            let fallen = self.observed.supply(now, profile).is_some_and(|supply| {
                supply.at > shutdown.since && supply.current.abs() < profile.open_current_max
            });
            if fallen || now >= shutdown.forced {
                shutdown.opened = true;
                self.outputs.open_contactors(now);
            }
        }
        if shutdown.opened || pilot_due {
            self.outputs.set_pilot(PilotOutput::X1);
        }
        if shutdown.is_unnamed()
            && let Some((code, evidence)) = self.cause_on_the_wires(now)
        {
            self.fail(now, code, evidence);
            if let State::Shutdown(shutdown) = &mut self.state {
                shutdown.named_at = None;
            }
            return self.state;
        }
        if shutdown.named_at.is_some_and(|named_at| now >= named_at.min(shutdown.until)) {
            self.report_broken_conversation();
            shutdown.named_at = None;
        }
        let profile = &self.installation.profile;
        let off = shutdown.opened && self.observed.confirmed_safe(now, profile);
        if off && !shutdown.is_unnamed() || now >= shutdown.until {
            self.judge_shutdown(now);
            self.pause_insulation_monitor();
            return State::Faulted(Faulted::new(now));
        }
        State::Shutdown(shutdown)
    }

    /// What should be off by now and measurably is not, is a fault of its own. The cable side
    /// may still carry the vehicle's voltage: that is the vehicle's to switch off.
    fn judge_shutdown(&mut self, now: Timestamp) {
        let profile = &self.installation.profile;
        let Some(supply) = self.observed.supply(now, profile) else { return };
        let limit = profile.safe_voltage;
        if supply.voltage.abs() >= limit || supply.current.abs() >= profile.open_current_max {
            self.fail(now, FaultCode::OutputNotOff, Evidence::Voltage(supply.voltage, limit));
        }
    }

    pub(super) fn faulted(&mut self, now: Timestamp, mut faulted: Faulted) -> State {
        self.stop_asked = None;
        let profile = &self.installation.profile;
        let safe = self.observed.confirmed_safe(now, profile);
        if now.since(faulted.commanded) >= COMMAND_AGAIN {
            faulted.commanded = now;
            if !safe {
                self.outputs.supply_off();
                self.outputs.open_contactors(now);
            }
        }
        self.outputs.set_pilot(PilotOutput::X1);
        if safe {
            self.outputs.set_lock_if(self.installation.has_lock, false);
        }
        self.reset_board_to_see_unplugging(now, &mut faulted);
        if self.observed.pilot(now, &self.installation.profile) == Some(Pilot::A) {
            self.end_session();
            self.clear(now, |by| by == ClearedBy::Unplugging);
        }
        if self.faults.as_slice().is_empty() && !self.terminating {
            return State::Starting(self.start_anew(now, None));
        }
        State::Faulted(faulted)
    }

    /// A board in its safe state drives the pilot to F and can't see the plug leave. Where
    /// unplugging is what clears, it is reset; its contactors stay open.
    fn reset_board_to_see_unplugging(&mut self, now: Timestamp, faulted: &mut Faulted) {
        let latched =
            self.observed.io(now, &self.installation.profile).is_some_and(|io| io.safe_state.is_some());
        let by_unplugging = |fault: &Fault| {
            fault.code.cleared_by() == ClearedBy::Unplugging && !self.is_cause_present(now, fault.code)
        };
        let due = faulted.board_reset.is_none_or(|at| now.since(at) >= BOARD_RESET_AGAIN);
        if latched && due && self.faults.as_slice().iter().all(by_unplugging) {
            faulted.board_reset = Some(now);
            self.outputs.send(Command::ResetBoard);
        }
    }

    /// A person clears. What is still wrong stays.
    pub(super) fn clear_faults(&mut self, now: Timestamp) {
        if !self.outputs.is_live() {
            self.outputs.send(Command::ClearSupply);
        }
        if matches!(self.state, State::Faulted(_)) {
            let guard_reset = self.guard_trip(now).map(|_| now);
            if guard_reset.is_some() {
                self.outputs.send(Command::ResetOverVoltage);
                self.outputs.forget_guard();
            }
            self.clear(now, |_| true);
            if self.faults.as_slice().is_empty() && !self.terminating {
                // At once: a board still in its safe state is no news here, Starting resets it.
                self.state = State::Starting(self.start_anew(now, guard_reset));
            }
        }
    }

    /// A board keeps its faults until it is reset, in a safe state or not.
    fn start_anew(&mut self, now: Timestamp, guard_reset: Option<Timestamp>) -> Starting {
        let io = self.observed.io(now, &self.installation.profile);
        let resets = io.is_some_and(|io| io.contactors == Contactors::Open);
        if resets {
            self.outputs.send(Command::ResetBoard);
        }
        let board_reset = io.filter(|io| resets && io.safe_state.is_some()).map(|_| now);
        Starting { guard_reset, board_reset, ..Starting::default() }
    }

    fn clear(&mut self, now: Timestamp, clears: impl Fn(ClearedBy) -> bool) {
        let mut faults = std::mem::take(&mut self.faults);
        if faults.retain(|fault| !clears(fault.code.cleared_by()) || self.is_cause_present(now, fault.code)) {
            self.outputs.report(Report::FaultsCleared);
        }
        self.faults = faults;
    }

    /// What can't be seen is taken to be still there.
    fn is_cause_present(&self, now: Timestamp, code: FaultCode) -> bool {
        let profile = &self.installation.profile;
        let io = self.observed.io(now, profile);
        let unless_io = |good: fn(&super::ConnectorIo) -> bool| !io.as_ref().is_some_and(good);
        match code {
            FaultCode::EmergencyStop => unless_io(|io| !io.emergency_stop),
            FaultCode::EnclosureOpen => unless_io(|io| !io.alarms.contains(Alarm::EnclosureOpen)),
            FaultCode::TiltDetected => unless_io(|io| !io.alarms.contains(Alarm::Tilted)),
            FaultCode::WaterIngress => unless_io(|io| !io.alarms.contains(Alarm::Water)),
            FaultCode::CoolingFailed => unless_io(|io| !io.alarms.contains(Alarm::CoolingFailed)),
            // A board in its safe state drives the pilot itself; the reset shows what is true.
            FaultCode::PilotFault | FaultCode::DiodeFault => {
                unless_io(|io| io.safe_state.is_some() || io.pilot_fault == voltry_bus::PilotFault::None)
            }
            FaultCode::ProximityFault => unless_io(|io| io.proximity != Proximity::Fault),
            FaultCode::ContactorFault => unless_io(|io| io.contactors == Contactors::Open),
            FaultCode::CableOverTempStop => {
                let warm = |io: super::ConnectorIo| io.hottest.is_some_and(|at| at >= profile.connector_warm);
                io.is_none_or(warm) || self.observed.missing_sensors().is_some()
            }
            FaultCode::SupplyFailed => self.has_supply_failed(),
            FaultCode::ConnectorVoltageHigh | FaultCode::OutputNotOff => {
                !self.observed.voltages_safe(now, profile)
            }
            FaultCode::Missing(role) => match role {
                super::Role::InsulationMonitor | super::Role::EvLink => !self.observed.is_present(role),
                super::Role::PowerSupply => self.observed.supply(now, profile).is_none(),
                super::Role::VoltageMonitor => self.observed.cable(now, profile).is_none(),
                super::Role::OverVoltageMonitor => self.observed.over_voltage(now, profile).is_none(),
                super::Role::ConnectorIo => io.is_none(),
                super::Role::EnergyMeter => self.observed.meter(now, profile).is_none(),
            },
            FaultCode::InvalidVehicleMode
            | FaultCode::OverCurrent
            | FaultCode::OverVoltage
            | FaultCode::NotGuarded
            | FaultCode::ResistanceFault
            | FaultCode::CableCheckFailure
            | FaultCode::ShortCircuit
            | FaultCode::PreChargeFailure
            | FaultCode::VoltageImplausible
            | FaultCode::ConnectorLockFailure
            | FaultCode::MeterStuck
            | FaultCode::MeterBackwards
            | FaultCode::VehicleSilent
            | FaultCode::CommunicationLost
            | FaultCode::BoardSafeState
            | FaultCode::ControlStalled
            | FaultCode::Refused(_) => false,
        }
    }

    pub(super) fn unavailable(&mut self, now: Timestamp) -> State {
        self.stop_asked = None;
        if self.is_blind(now) {
            return State::Starting(Starting::default());
        }
        if self.available && !self.terminating {
            return State::Starting(Starting::default());
        }
        self.outputs.set_pilot(PilotOutput::F);
        State::Unavailable
    }
}
