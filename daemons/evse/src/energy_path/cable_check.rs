//! CableCheck: is the cable free of shorts, and insulated from protective earth?
//!
//! The one state that energises without an insulation value, to make one: at most 2 A, into a
//! cable whose far end is an open contactor of the vehicle.
//!
//! # A short circuit, or a capacitance
//! Both hold the voltage below the test voltage and the supply in its current limit. Five modules
//! with 200 µF each take 2 A for half a second to come near 900 V, so time alone does not tell
//! them apart; the rise does. A capacitance that can be charged within the time for raising the
//! test voltage rises by its part of it in each part of that time. A load of so few ohms that it
//! holds the current limit comes to rest at current times resistance, at 220 V with 110 Ω (the
//! load with which IEC 61851-23 6.3.1.109 tries this), and rises no further. So while the voltage
//! is being raised, a short circuit is a current limit without that rise; once the voltage has
//! stood, everything is charged, and it is a current limit without the voltage. Whatever rises
//! too slowly for either is off when the time for raising is over.

use std::time::Duration;

use voltry_bus::{Contactors, Isolation, LinkPhase, Lock, PhaseAnswer, Pilot};
use voltry_units::{Timestamp, Volts};

use super::action::{Command, Report};
use super::outputs::Setpoint;
use super::pre_charge::PreCharge;
use super::state::State;
use super::{EnergyPath, Evidence, FaultCode, Held, Profile, Role, Session, StopReason};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CableCheck {
    /// The voltage to test with: what the supply could give when the check began. It does not
    /// follow a supply that fails under way, or nothing would be tested.
    test: Volts,
    began: Timestamp,
    end: Timestamp,
    slow_told: bool,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Both sides without voltage, the vehicle ready, the plug locked.
    Discharged { until: Timestamp },
    /// Contactors closing.
    Closing { until: Timestamp },
    /// The test voltage rising in current limit.
    Raising { until: Timestamp, rise: Rise },
    /// The monitor tests itself under the test voltage.
    SelfTest { started: Timestamp, collapsed: Held },
    /// Values that were finished after the self-test.
    Samples { left: u32, counter: Option<u64>, after: Timestamp, collapsed: Held },
    /// Output off again.
    Off { until: Timestamp },
    /// Passed; the vehicle moves on.
    Passed { until: Timestamp },
}

/// In current limit, from where the voltage has to rise further, and since when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rise(Option<(Timestamp, Volts)>);

impl Rise {
    /// Whether the voltage has not risen by `step` for this long.
    fn is_missing(&mut self, now: Timestamp, cable: Volts, step: Volts, time: Duration) -> bool {
        let (since, from) = *self.0.get_or_insert((now, cable));
        if cable >= from + step {
            self.0 = Some((now, cable));
            return false;
        }
        now.since(since) >= time
    }
}

impl CableCheck {
    pub(super) fn new(now: Timestamp, profile: &Profile, test: Volts) -> Self {
        Self {
            test,
            began: now,
            end: now + profile.cable_check_end,
            slow_told: false,
            step: Step::Discharged { until: now + profile.cable_check_discharged },
        }
    }

    /// The voltage that the cable is tested with.
    pub(super) fn test(&self) -> Volts {
        self.test
    }

    pub(super) fn lasted(&self, now: Timestamp) -> Duration {
        now.since(self.began)
    }

    pub(super) fn deadline(&self) -> (Timestamp, &'static str) {
        match self.step {
            Step::Discharged { until } => (until, "both sides without voltage"),
            Step::Closing { until } => (until, "contactors closed"),
            Step::Raising { until, .. } => (until, "the test voltage"),
            Step::SelfTest { .. } => (self.end, "the insulation monitor's self-test"),
            Step::Samples { .. } => (self.end, "insulation values"),
            Step::Off { until } => (until, "the test voltage off"),
            Step::Passed { until } => (until, "the vehicle's next phase"),
        }
    }
}

impl EnergyPath {
    pub(super) fn cable_check(&mut self, now: Timestamp, mut check: CableCheck) -> State {
        let ending = self.terminating.then_some(StopReason::OutOfService);
        if let Some(reason) = self.stop_asked.or(ending).or_else(|| self.permission_ended(now)) {
            self.answer(PhaseAnswer::Failed);
            return self.stop(now, reason);
        }
        if let Some(next) = self.left_cable_check(now, &check) {
            return next;
        }
        if let Step::Passed { until } = check.step {
            return if now >= until {
                self.stop(now, StopReason::TimedOut)
            } else {
                State::CableCheck(check)
            };
        }
        let elapsed = now.since(check.began);
        if elapsed >= self.installation.profile.cable_check_slow && !check.slow_told {
            check.slow_told = true;
            self.outputs.report(Report::CableCheckSlow);
        }
        let (deadline, _) = check.deadline();
        match self.cable_check_step(now, check.step, check.test) {
            Ok(step) if step == check.step && now >= deadline => {
                let late = Evidence::NotWithin(elapsed);
                let (code, evidence) = if matches!(step, Step::Discharged { .. }) {
                    self.obstacle(now, check.test).unwrap_or((FaultCode::CableCheckFailure, late))
                } else if self.is_unlocked(now) {
                    (FaultCode::ConnectorLockFailure, late)
                } else if !self.is_guarded(now) {
                    (FaultCode::NotGuarded, late)
                } else {
                    (Self::late(check.step), late)
                };
                self.check_failed(now, code, evidence)
            }
            Ok(step) => {
                check.step = step;
                State::CableCheck(check)
            }
            Err((code, evidence)) => self.check_failed(now, code, evidence),
        }
    }

    /// The vehicle went on, or away.
    fn left_cable_check(&mut self, now: Timestamp, check: &CableCheck) -> Option<State> {
        match self.link_phase() {
            LinkPhase::CableCheck => {}
            LinkPhase::PreCharge if matches!(check.step, Step::Passed { .. }) => {
                return Some(State::PreCharge(PreCharge::new(now, &self.installation.profile)));
            }
            LinkPhase::PowerOff | LinkPhase::WeldingDetection | LinkPhase::Stopping => {
                return Some(self.stop(now, StopReason::Vehicle));
            }
            LinkPhase::Detached
            | LinkPhase::Listening
            | LinkPhase::Connected
            | LinkPhase::Authorizing
            | LinkPhase::Parameters
            | LinkPhase::PreCharge
            | LinkPhase::PowerOn
            | LinkPhase::Charging
            | LinkPhase::Renegotiating => {
                self.fail(now, FaultCode::CommunicationLost, Evidence::Seen);
                return Some(self.state);
            }
        }
        // Before the contactors close B is waited out; after, B is the vehicle saying no.
        let left = self.observed.pilot(now, &self.installation.profile) == Some(Pilot::B);
        (left && self.outputs.is_live()).then(|| self.stop(now, StopReason::Vehicle))
    }

    fn is_unlocked(&self, now: Timestamp) -> bool {
        let io = self.observed.io(now, &self.installation.profile);
        self.installation.has_lock && io.is_some_and(|io| io.lock != Lock::Locked)
    }

    fn late(step: Step) -> FaultCode {
        match step {
            Step::Discharged { .. }
            | Step::Raising { .. }
            | Step::SelfTest { .. }
            | Step::Samples { .. }
            | Step::Passed { .. } => FaultCode::CableCheckFailure,
            Step::Closing { .. } => FaultCode::ContactorFault,
            Step::Off { .. } => FaultCode::OutputNotOff,
        }
    }

    fn check_failed(&mut self, now: Timestamp, code: FaultCode, evidence: Evidence) -> State {
        if code == FaultCode::ResistanceFault {
            self.isolation = Isolation::Fault;
        }
        self.answer(PhaseAnswer::Failed);
        self.fail(now, code, evidence);
        self.state
    }

    fn cable_check_step(
        &mut self,
        now: Timestamp,
        step: Step,
        test: Volts,
    ) -> Result<Step, (FaultCode, Evidence)> {
        match step {
            Step::Discharged { .. } => Ok(self.close_if_safe(now, test).unwrap_or(step)),
            Step::Closing { .. } => Ok(self.raise_if_closed(now, test).unwrap_or(step)),
            Step::Raising { until, mut rise } => {
                self.watch_rise(now, test, &mut rise)?;
                let stands = self
                    .observed
                    .cable(now, &self.installation.profile)
                    .is_some_and(|cable| cable >= test.scaled(95, 100));
                if !stands {
                    return Ok(Step::Raising { until, rise });
                }
                self.observed.self_test = None;
                self.outputs.send(Command::StartSelfTest);
                Ok(Step::SelfTest { started: now, collapsed: Held::default() })
            }
            Step::SelfTest { started, mut collapsed } => {
                self.watch_for_short(now, test, &mut collapsed)?;
                match self.observed.self_test {
                    Some((true, at)) if at >= started => Ok(Step::Samples {
                        left: self.installation.profile.insulation_samples,
                        counter: self
                            .observed
                            .insulation(now, &self.installation.profile)
                            .map(|reading| reading.counter),
                        after: at,
                        collapsed: Held::default(),
                    }),
                    Some((false, at)) if at >= started => {
                        Err((FaultCode::CableCheckFailure, Evidence::SelfTestFailed))
                    }
                    Some(_) | None => Ok(Step::SelfTest { started, collapsed }),
                }
            }
            Step::Samples { left, counter, after, mut collapsed } => {
                self.watch_for_short(now, test, &mut collapsed)?;
                self.count_sample(now, Step::Samples { left, counter, after, collapsed }, test)
            }
            Step::Off { .. } => {
                if !self.observed.voltages_safe(now, &self.installation.profile) {
                    return Ok(step);
                }
                self.answer(PhaseAnswer::Finished);
                Ok(Step::Passed { until: now + self.installation.profile.phase_gap })
            }
            Step::Passed { .. } => Ok(step),
        }
    }

    fn close_if_safe(&mut self, now: Timestamp, test: Volts) -> Option<Step> {
        self.answer(PhaseAnswer::Ongoing);
        self.arm_guard(now);
        if self.obstacle(now, test).is_some() {
            return None;
        }
        self.outputs.close_contactors(now);
        Some(Step::Closing { until: now + self.installation.profile.contactor_time })
    }

    /// Why the contactors must not close; what is still so when the time is over is the fault.
    fn obstacle(&self, now: Timestamp, test: Volts) -> Option<(FaultCode, Evidence)> {
        let profile = &self.installation.profile;
        let late = Evidence::NotWithin(profile.cable_check_discharged);
        let missing = |role| Some((FaultCode::Missing(role), late));
        let wanted = self.installation.meter_required;
        if let Some(role) = self.observed.first_missing(now, &self.installation, wanted) {
            return missing(role);
        }
        let Some(io) = self.observed.io(now, profile) else { return missing(Role::ConnectorIo) };
        let Some(supply) = self.observed.supply(now, profile) else { return missing(Role::PowerSupply) };
        let Some(cable) = self.observed.cable(now, profile) else { return missing(Role::VoltageMonitor) };
        // Of opposite signs they are further apart than either is from nothing; and one that falls is not
        // where it was measured.
        let apart = self.observed.apart(now, profile).unwrap_or(profile.contactor_difference);
        // Who else measures the outlet knows it as well.
        let guard = self.observed.over_voltage(now, profile).map_or(Volts::ZERO, |guard| guard.voltage.abs());
        let (supply, cable) = (supply.voltage.abs(), cable.abs().max(guard));
        let live = if cable >= supply { FaultCode::ConnectorVoltageHigh } else { FaultCode::OutputNotOff };
        let highest = cable.max(supply);
        if io.contactors != Contactors::Open {
            Some((FaultCode::ContactorFault, Evidence::Contactors(io.contactors)))
        } else if highest >= profile.safe_voltage {
            Some((live, Evidence::Voltage(highest, profile.safe_voltage)))
        } else if apart >= profile.contactor_difference {
            Some((live, Evidence::Voltage(apart, profile.contactor_difference)))
        } else if !matches!(io.pilot, Pilot::C | Pilot::D) {
            Some((FaultCode::InvalidVehicleMode, Evidence::Pilot(io.pilot)))
        } else if self.is_unlocked(now) {
            Some((FaultCode::ConnectorLockFailure, late))
        } else if !self.is_guarded(now) {
            Some((FaultCode::NotGuarded, late))
        } else if test < profile.safe_voltage {
            Some((FaultCode::SupplyFailed, Evidence::Voltage(test, profile.safe_voltage)))
        } else {
            None
        }
    }

    fn raise_if_closed(&mut self, now: Timestamp, test: Volts) -> Option<Step> {
        let profile = &self.installation.profile;
        let io = self.observed.io(now, profile)?;
        // Feedback from before the command says nothing about it.
        let closed = io.contactors == Contactors::Closed
            && self.outputs.closing_since().is_some_and(|since| io.at >= since);
        if !closed {
            return None;
        }
        let current = profile.cable_check_current;
        let until = now + profile.cable_check_raise;
        if let Some(session) = self.session.as_mut() {
            session.energised_at.get_or_insert(now);
            session.register_start = session.register_start.or(session.register);
        }
        self.outputs.enable_supply(now);
        self.outputs.set_output(now, Setpoint { voltage: test, current });
        Some(Step::Raising { until, rise: Rise::default() })
    }

    /// The vehicle's maximum binds in energy transfer; the insulation is tested above it, where
    /// the supply can.
    pub(super) fn test_voltage(&self) -> Volts {
        let vehicle = self.session.as_ref().map_or(Volts::ZERO, Session::voltage_max);
        let ours = self.capability().voltage_max;
        let test = if vehicle <= Volts::new(500) {
            Volts::new(500).min(vehicle + Volts::new(50))
        } else {
            vehicle.scaled(11, 10)
        };
        test.min(ours)
    }

    /// While the test voltage is being raised: in current limit the voltage has to rise.
    fn watch_rise(&self, now: Timestamp, test: Volts, rise: &mut Rise) -> Result<(), (FaultCode, Evidence)> {
        let Some((cable, drawn)) = self.drawn_down(now, test) else { return Ok(()) };
        if !drawn {
            *rise = Rise::default();
            return Ok(());
        }
        let profile = &self.installation.profile;
        let time = profile.short_circuit_time;
        let whole = i64::try_from(profile.cable_check_raise.as_micros()).unwrap_or(i64::MAX).max(1);
        let step = test.scaled(i64::try_from(time.as_micros()).unwrap_or(i64::MAX), whole);
        if rise.is_missing(now, cable, step, time) {
            return Err((FaultCode::ShortCircuit, Evidence::Voltage(cable, test.scaled(9, 10))));
        }
        Ok(())
    }

    /// Once the test voltage has stood: in current limit it has to stand.
    fn watch_for_short(
        &self,
        now: Timestamp,
        test: Volts,
        collapsed: &mut Held,
    ) -> Result<(), (FaultCode, Evidence)> {
        let Some((cable, drawn)) = self.drawn_down(now, test) else { return Ok(()) };
        if collapsed.for_at_least(self.installation.profile.short_circuit_time, drawn, now) {
            return Err((FaultCode::ShortCircuit, Evidence::Voltage(cable, test.scaled(9, 10))));
        }
        Ok(())
    }

    /// The cable's voltage, and whether something draws it down: in current limit and below nine
    /// tenths of the test voltage.
    fn drawn_down(&self, now: Timestamp, test: Volts) -> Option<(Volts, bool)> {
        let profile = &self.installation.profile;
        let cable = self.observed.cable(now, profile)?;
        let supply = self.observed.supply(now, profile)?;
        let limited = supply.current >= profile.cable_check_current.scaled(9, 10);
        Some((cable, limited && cable < test.scaled(9, 10)))
    }

    fn count_sample(
        &mut self,
        now: Timestamp,
        waiting: Step,
        test: Volts,
    ) -> Result<Step, (FaultCode, Evidence)> {
        let Step::Samples { left, counter, after, collapsed } = waiting else { return Ok(waiting) };
        let profile = &self.installation.profile;
        let Some(reading) = self.observed.insulation(now, profile) else { return Ok(waiting) };
        if reading.at <= after || counter == Some(reading.counter) {
            return Ok(waiting);
        }
        let limit = self.insulation_limit();
        if reading.resistance < limit {
            return Err((FaultCode::ResistanceFault, Evidence::Resistance(reading.resistance, limit)));
        }
        // A value of a voltage that does not stand proves nothing.
        if self.observed.cable(now, profile).is_none_or(|cable| cable < test.scaled(9, 10)) {
            return Ok(Step::Samples { left, counter: Some(reading.counter), after, collapsed });
        }
        if left > 1 {
            return Ok(Step::Samples { left: left - 1, counter: Some(reading.counter), after, collapsed });
        }
        let until = now + profile.cable_check_off;
        self.judge_insulation(now);
        self.outputs.supply_off();
        Ok(Step::Off { until })
    }
}
