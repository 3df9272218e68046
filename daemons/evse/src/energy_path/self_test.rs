//! The self-test of an EVSE that is out of service and has no vehicle: one check at a time, each ending with
//! everything off. A person at the site asked for it.
//!
//! Contactors move without voltage; power modules are raised with the contactors open, so that the cable and
//! its plug stay dead: nothing of [`SelfTestStep`] ever connects the two. Any voltage on the cable side ends the
//! check as a fault, and a plug that comes in ends it. The test with a load at the plug is another: see [`load`].

mod found;
mod load;
mod modules;

use std::time::Duration;

use voltry_bus::{Contactors, Lock, Pilot, PilotOutput, SelfTestOutcome, SelfTestStep};
use voltry_units::{Timestamp, Volts};

use super::EnergyPath;
use super::action::{Command, Report};
use super::fault::{Evidence, FaultCode, Refusal};
use super::state::State;
use super::supervision::Finding;

pub use found::{Check, Checked, Seen};
pub use load::Load;

/// Modules that slept wake and find their range in this time.
const MODULES_READY: Duration = Duration::from_secs(15);
/// A supply that shares modules has some within this time, though another EVSE must first give them up.
const MODULES_SHARED: Duration = Duration::from_secs(30);
/// Whatever a check waits for, it is off within 80 s, as the bus says of it: so much is left for that.
const CHECK_TIME: Duration = Duration::from_secs(68);
/// The raised voltage must stand this long.
const STANDS: Duration = Duration::from_secs(1);
/// A lock's motor has done within this time.
const LOCK_TIME: Duration = Duration::from_secs(5);
/// A monitor's self-test and the measurement after it, at most.
const MONITOR_TIME: Duration = Duration::from_secs(30);
/// Whatever else is measured comes within this time.
const READING_TIME: Duration = Duration::from_secs(2);
/// Said of a supply, also of one that shares modules and was given none.
const NOTHING_TO_GIVE: &str = "the power supply can give nothing";
/// Modules are raised to this, or to what they can.
const TEST_VOLTAGE: Volts = Volts::new(500);

/// A check under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checking {
    check: Check,
    stage: Stage,
    /// When the stage began: what is older says nothing about it.
    since: Timestamp,
    until: Timestamp,
    /// When it is over, whatever the stage.
    end: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The pilot has to say that no vehicle is there.
    Free,
    Voltages,
    Temperatures,
    Locking,
    Unlocking,
    /// A monitor that was paused has a value first.
    MonitorWaking,
    MonitorTesting,
    /// A value finished after this time, at which the self-test passed.
    MonitorMeasuring(Timestamp),
    ProvenToClose,
    Closing,
    /// Closed within this time.
    Opening(Duration),
    ProvenToRaise,
    /// An epoch without a set-point: a supply that shares modules gets some by it.
    AwaitingModules,
    Raising,
    /// Raised within this time.
    Standing(Duration),
    /// To this voltage, within this time.
    Falling(Volts, Duration),
    /// With a load at the plug.
    Load(load::Stage),
    /// Everything commanded off; not yet confirmed.
    Ending(Verdict),
}

/// How a check ended, and what was seen.
type Verdict = (SelfTestOutcome, Seen);

/// The next stage with its time; none: it goes on as it is; or how the check ended.
type Turn = Result<Option<(Stage, Duration)>, Verdict>;

impl Checking {
    pub(super) fn deadline(&self) -> (Timestamp, &'static str) {
        let reason = if self.load().is_some() { "a test into a load" } else { "a check of the self-test" };
        (if self.is_leaving() { self.until } else { self.until.min(self.end) }, reason)
    }

    /// The over-voltage monitor is being armed for what comes next.
    pub(super) fn is_arming(&self) -> bool {
        matches!(self.stage, Stage::ProvenToClose | Stage::ProvenToRaise | Stage::Load(load::Stage::Proven))
    }

    /// The load that it is made with.
    pub(super) fn load(&self) -> Option<Load> {
        match self.check {
            Check::Load(load) => Some(load),
            Check::Step(_) => None,
        }
    }

    /// Everything is being switched off.
    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Ending(_) | Stage::Load(load::Stage::Unloading(_)))
    }

    /// Off and open; what the load had may still be falling.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.stage, Stage::Ending(_))
    }
}

impl EnergyPath {
    /// Begins a check, or says why not.
    pub(super) fn begin_check(&mut self, now: Timestamp, check: Check) {
        let why = match self.state {
            State::Checking(_) => Some("another check is under way"),
            State::Unavailable if self.terminating => Some("the daemon ends"),
            State::Unavailable => None,
            State::Faulted(_) => Some("the EVSE has faults"),
            State::Starting(_) => Some("the EVSE is still proving that everything is off"),
            State::Available => Some("the EVSE is in service"),
            State::Connected(_)
            | State::Parameters(_)
            | State::CableCheck(_)
            | State::PreCharge(_)
            | State::Charging(_)
            | State::Stopping(_)
            | State::Finished(_)
            | State::Paused
            | State::Shutdown(_) => Some("a vehicle is plugged in"),
        };
        if let Some(why) = why {
            return self.tell_checked(check, (SelfTestOutcome::Refused, Seen::NotNow(why)));
        }
        // Out of service the pilot is at F, which tells nobody whether a vehicle is there.
        self.outputs.set_pilot(PilotOutput::X1);
        let until = now + READING_TIME;
        let end = now + CHECK_TIME;
        self.state = State::Checking(Checking { check, stage: Stage::Free, since: now, until, end });
    }

    /// The pilot says what it has to.
    fn first_stage(&mut self, check: Check) -> (Stage, Duration) {
        let step = match check {
            Check::Step(step) => step,
            Check::Load(_) => return Self::first_stage_of_load(),
        };
        match step {
            SelfTestStep::Voltages => (Stage::Voltages, READING_TIME),
            SelfTestStep::Temperatures => (Stage::Temperatures, READING_TIME),
            SelfTestStep::Lock => {
                self.outputs.set_lock_if(self.installation.has_lock, true);
                (Stage::Locking, LOCK_TIME)
            }
            SelfTestStep::InsulationMonitor => {
                self.outputs.set_insulation_active(true);
                (Stage::MonitorWaking, MONITOR_TIME)
            }
            SelfTestStep::Contactors => (Stage::ProvenToClose, READING_TIME),
            SelfTestStep::Modules => (Stage::ProvenToRaise, READING_TIME),
        }
    }

    /// One turn of a check.
    pub(super) fn checking(&mut self, now: Timestamp, checking: Checking) -> State {
        self.stop_asked = None;
        if let Stage::Ending(verdict) = checking.stage {
            return self.end_check(now, checking, verdict);
        }
        if let Stage::Load(load::Stage::Unloading(verdict)) = checking.stage {
            return self.unloading(now, checking, verdict);
        }
        let pilot = self.observed.pilot(now, &self.installation.profile);
        let wanted = checking.check.pilot();
        let turn =
            if let Some(pilot) = pilot.filter(|pilot| *pilot != wanted && checking.stage != Stage::Free) {
                Err((SelfTestOutcome::Aborted, Seen::Pilot(pilot, wanted)))
            } else if self.terminating {
                Err((SelfTestOutcome::Aborted, Seen::Ending))
            } else {
                self.check_stage(now, checking)
            };
        match turn {
            Ok(Some((stage, time))) if now < checking.end => {
                State::Checking(Checking { stage, since: now, until: now + time, ..checking })
            }
            Ok(None) if now < checking.until.min(checking.end) => State::Checking(checking),
            Ok(Some(_) | None) => {
                let late = self.seen_instead(now, checking);
                self.leave_check(now, checking, (SelfTestOutcome::Failed, late))
            }
            Err(verdict) => self.leave_check(now, checking, verdict),
        }
    }

    fn check_stage(&mut self, now: Timestamp, checking: Checking) -> Turn {
        let profile = &self.installation.profile;
        let io = self.observed.io(now, profile).filter(|io| io.at > checking.since);
        let safe = self.observed.confirmed_safe(now, profile);
        let elapsed = now.since(checking.since);
        let contactors = |wanted| io.is_some_and(|io| io.contactors == wanted);
        let contactor_time = profile.contactor_time;
        match checking.stage {
            Stage::Free => match io.map(|io| io.pilot) {
                Some(pilot) if pilot == checking.check.pilot() => Ok(Some(self.first_stage(checking.check))),
                Some(pilot @ (Pilot::A | Pilot::B | Pilot::C | Pilot::D)) => {
                    Err((SelfTestOutcome::Refused, Seen::Pilot(pilot, checking.check.pilot())))
                }
                Some(Pilot::E | Pilot::F | Pilot::Invalid | Pilot::Unknown) | None => Ok(None),
            },
            Stage::Voltages => self.check_voltages(now, checking),
            Stage::Temperatures => self.check_temperatures(now, checking),
            Stage::Locking if !self.installation.has_lock => Err((SelfTestOutcome::Skipped, Seen::NotFitted)),
            Stage::Locking if io.is_some_and(|io| io.lock == Lock::Locked) => {
                self.outputs.set_lock(false);
                Ok(Some((Stage::Unlocking, LOCK_TIME)))
            }
            Stage::Unlocking if io.is_some_and(|io| io.lock == Lock::Unlocked) => {
                Err((SelfTestOutcome::Passed, Seen::Lock(Lock::Unlocked)))
            }
            Stage::MonitorWaking => Ok(self.start_self_test(now, checking)),
            Stage::MonitorTesting => self.check_monitor(checking),
            Stage::MonitorMeasuring(after) => self.check_insulation(now, checking, after),
            Stage::Load(stage) => self.check_load(now, checking, stage),
            Stage::ProvenToClose if safe && self.sides_meet(now) && self.is_check_guarded(now) => {
                self.outputs.close_contactors(now);
                Ok(Some((Stage::Closing, contactor_time)))
            }
            Stage::Closing if contactors(Contactors::Closed) => {
                self.outputs.open_contactors(now);
                Ok(Some((Stage::Opening(elapsed), contactor_time)))
            }
            Stage::Opening(closed) if contactors(Contactors::Open) => {
                Err((SelfTestOutcome::Passed, Seen::Moved(closed, elapsed)))
            }
            Stage::ProvenToRaise
            | Stage::AwaitingModules
            | Stage::Raising
            | Stage::Standing(_)
            | Stage::Falling(..) => self.check_modules(now, checking, safe),
            Stage::Locking
            | Stage::Unlocking
            | Stage::ProvenToClose
            | Stage::Closing
            | Stage::Opening(_)
            | Stage::Ending(_) => Ok(None),
        }
    }

    fn check_voltages(&self, now: Timestamp, checking: Checking) -> Turn {
        let profile = &self.installation.profile;
        let (supply, cable) = (self.observed.supply(now, profile), self.observed.cable(now, profile));
        let (Some(supply), Some(cable), Some(io)) = (supply, cable, self.observed.io(now, profile)) else {
            return Ok(None);
        };
        if supply.at <= checking.since || io.at <= checking.since {
            return Ok(None);
        }
        let seen = Seen::Voltages(supply.voltage, cable);
        if io.contactors != Contactors::Open {
            Err((SelfTestOutcome::Failed, Seen::Contactors(io.contactors)))
        } else if self.observed.voltages_safe(now, profile) {
            Err((SelfTestOutcome::Passed, seen))
        } else {
            Err((SelfTestOutcome::Failed, seen))
        }
    }

    fn check_temperatures(&self, now: Timestamp, checking: Checking) -> Turn {
        let profile = &self.installation.profile;
        let Some(io) = self.observed.io(now, profile).filter(|io| io.at > checking.since) else {
            return Ok(None);
        };
        if let Some((tell, told)) = self.observed.missing_sensors() {
            return Err((SelfTestOutcome::Failed, Seen::Sensors(tell, told)));
        }
        match io.hottest {
            None => Err((SelfTestOutcome::Skipped, Seen::NotFitted)),
            Some(hottest) if hottest < profile.connector_warm => {
                Err((SelfTestOutcome::Passed, Seen::Temperature(hottest)))
            }
            Some(hottest) => Err((SelfTestOutcome::Failed, Seen::Temperature(hottest))),
        }
    }

    fn start_self_test(&mut self, now: Timestamp, checking: Checking) -> Option<(Stage, Duration)> {
        let reading = self.observed.insulation(now, &self.installation.profile);
        reading.filter(|reading| reading.at > checking.since)?;
        self.observed.self_test = None;
        self.outputs.send(Command::StartSelfTest);
        Some((Stage::MonitorTesting, MONITOR_TIME))
    }

    /// A provider refused what a check wanted. Boards may close for a vehicle alone: then there is nothing
    /// to check.
    pub(super) fn check_refused(
        &mut self,
        now: Timestamp,
        checking: Checking,
        command: &Command,
        refusal: Refusal,
    ) {
        let interlocked = checking.stage == Stage::Closing && refusal == Refusal::Device;
        let outcome = if interlocked { SelfTestOutcome::Skipped } else { SelfTestOutcome::Failed };
        let seen = Seen::Refused { member: command.member(), refusal, interlocked };
        self.state = self.leave_check(now, checking, (outcome, seen));
    }

    fn check_monitor(&self, checking: Checking) -> Turn {
        match self.observed.self_test {
            Some((true, at)) if at >= checking.since => Ok(Some((Stage::MonitorMeasuring(at), MONITOR_TIME))),
            Some((false, at)) if at >= checking.since => Err((SelfTestOutcome::Failed, Seen::MonitorFailed)),
            Some(_) | None => Ok(None),
        }
    }

    fn check_insulation(&self, now: Timestamp, checking: Checking, after: Timestamp) -> Turn {
        let profile = &self.installation.profile;
        let reading = self.observed.insulation(now, profile).filter(|reading| reading.at > after);
        let Some(reading) = reading else { return Ok(None) };
        let voltage = checking.load().map_or(TEST_VOLTAGE, |load| load.voltage);
        let good = reading.resistance >= profile.insulation_fault(voltage);
        if good && checking.load().is_some() {
            return Ok(Some((Stage::Load(load::Stage::Proven), READING_TIME)));
        }
        let outcome = if good { SelfTestOutcome::Passed } else { SelfTestOutcome::Failed };
        Err((outcome, Seen::Resistance(reading.resistance)))
    }

    /// Contactors may close between them: without a voltage for a person there may still be one for a contact.
    fn sides_meet(&self, now: Timestamp) -> bool {
        let profile = &self.installation.profile;
        self.observed.apart(now, profile).is_some_and(|apart| apart < profile.contactor_difference)
    }

    fn is_check_guarded(&mut self, now: Timestamp) -> bool {
        self.arm_guard(now);
        self.is_guarded(now)
    }

    /// What the modules are raised to.
    pub(super) fn check_voltage(&self) -> Volts {
        match self.load() {
            Some(load) => load.voltage,
            None => TEST_VOLTAGE.min(self.capability().voltage_max),
        }
    }

    fn module_side(&self, now: Timestamp) -> Volts {
        self.observed.supply(now, &self.installation.profile).map_or(Volts::ZERO, |supply| supply.voltage)
    }

    /// What there is to see where something else was wanted.
    fn seen_instead(&self, now: Timestamp, checking: Checking) -> Seen {
        let profile = &self.installation.profile;
        let late = Seen::NotWithin(now.since(checking.since));
        let Some(io) = self.observed.io(now, profile) else { return late };
        match checking.stage {
            Stage::Free => Seen::Pilot(io.pilot, checking.check.pilot()),
            Stage::Load(stage) => self.load_seen_instead(now, stage).unwrap_or(late),
            Stage::Closing | Stage::Opening(_) => Seen::Contactors(io.contactors),
            Stage::Locking | Stage::Unlocking => Seen::Lock(io.lock),
            Stage::AwaitingModules => Seen::NotNow(NOTHING_TO_GIVE),
            Stage::ProvenToClose
            | Stage::ProvenToRaise
            | Stage::Raising
            | Stage::Standing(_)
            | Stage::Falling(..) => {
                let cable = self.observed.cable(now, profile).unwrap_or(Volts::ZERO);
                Seen::Voltages(self.module_side(now), cable)
            }
            Stage::Voltages
            | Stage::Temperatures
            | Stage::MonitorWaking
            | Stage::MonitorTesting
            | Stage::MonitorMeasuring(_)
            | Stage::Ending(_) => late,
        }
    }

    /// Everything off; what came of the check is told when that is confirmed.
    fn leave_check(&mut self, now: Timestamp, checking: Checking, verdict: Verdict) -> State {
        if self.outputs.supply_enabled() {
            self.outputs.supply_off();
        }
        if checking.load().is_some() && self.outputs.contactors_enabled() {
            return self.unload(now, checking, verdict);
        }
        self.open_check(now, checking, verdict)
    }

    /// The supply is off.
    fn open_check(&mut self, now: Timestamp, checking: Checking, verdict: Verdict) -> State {
        if self.outputs.contactors_enabled() {
            self.outputs.open_contactors(now);
        }
        if checking.load().is_none() {
            self.outputs.set_lock_if(self.installation.has_lock, false);
        }
        self.pause_insulation_monitor();
        let until = now + self.installation.profile.discharge;
        let ending = Checking { stage: Stage::Ending(verdict), since: now, until, ..checking };
        self.end_check(now, ending, verdict)
    }

    fn end_check(&mut self, now: Timestamp, checking: Checking, verdict: Verdict) -> State {
        let profile = &self.installation.profile;
        if self.observed.confirmed_safe(now, profile) {
            self.outputs.set_lock_if(self.installation.has_lock, false);
            self.tell_checked(checking.check, verdict);
            return State::Unavailable;
        }
        if now < checking.until {
            return State::Checking(checking);
        }
        let (code, limit) = (FaultCode::OutputNotOff, profile.safe_voltage);
        self.fail(now, code, Evidence::Voltage(self.module_side(now), limit));
        self.state
    }

    fn tell_checked(&mut self, check: Check, (outcome, seen): Verdict) {
        self.outputs.report(Report::Checked(Checked { check, outcome, seen }));
    }

    /// A fault, or the end of the daemon, ends a check.
    pub(super) fn abort_check(&mut self, code: Option<FaultCode>) {
        if let State::Checking(checking) = self.state {
            let seen = code.map_or(Seen::Ending, Seen::Fault);
            let outcome = if code.is_some() { SelfTestOutcome::Failed } else { SelfTestOutcome::Aborted };
            self.tell_checked(checking.check, (outcome, seen));
        }
    }

    /// Nothing that a check does may be felt at the plug.
    pub(super) fn cable_is_dead(&self, now: Timestamp) -> Finding {
        let profile = &self.installation.profile;
        match self.observed.cable(now, profile) {
            Some(cable) if cable.abs() >= profile.safe_voltage => {
                Err((FaultCode::ConnectorVoltageHigh, Evidence::Voltage(cable, profile.safe_voltage)))
            }
            Some(_) | None => Ok(()),
        }
    }
}
