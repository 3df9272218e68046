//! The normal stop: current down, off, open, discharged, the vehicle's own test, unlocked.
//!
//! A stop that the vehicle began may not be the end: it can choose another service in the same
//! conversation (ISO 15118-20), or pause and come back. Either way everything is proved off first,
//! and begins anew with the parameters and the insulation test. So it is with a vehicle that
//! renegotiates as ISO 15118-2 has it, by CableCheckReq: its parameters it has agreed on before. It may
//! open S2 as soon as it has said so and no current flows: then the contactors open at once, as they do
//! under current, but it is no fault, and it has its time to agree on the parameters.

use voltry_bus::{Contactors, Isolation, LinkPhase, PhaseAnswer, Pilot, PilotOutput};
use voltry_units::{Amps, Timestamp};

use super::cable_check::CableCheck;
use super::outputs::Setpoint;
use super::state::State;
use super::waiting::{Connected, Finished};
use super::{EnergyPath, Evidence, FaultCode, Profile, Role, StopReason};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopping {
    step: Step,
    /// Whoever wants it, it is not the vehicle alone.
    pub(super) for_good: bool,
    /// The vehicle asks for the insulation test again, out of the charge loop, or renegotiates and will.
    pub(super) retest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The current falls by its ramp until the vehicle confirms.
    RampDown { until: Timestamp, at: Timestamp },
    /// Output off; the current falls below what contactors may open.
    Off { until: Timestamp },
    /// Contactors opening.
    Opening { until: Timestamp },
    /// Open; the vehicle tests its own contactors and says goodbye.
    Goodbye { until: Timestamp },
    /// Both sides fall below the safe voltage.
    Discharging { until: Timestamp },
}

impl Stopping {
    pub(super) fn new(now: Timestamp, profile: &Profile, live: bool, for_good: bool) -> Self {
        let step = if live {
            Step::RampDown { until: now + profile.stop_answer, at: now }
        } else {
            Step::Goodbye { until: now + profile.stop_answer }
        };
        Self { step, for_good, retest: false }
    }

    /// The vehicle opened S2 to renegotiate, and the contactors were told to open.
    pub(super) fn let_go(now: Timestamp, profile: &Profile) -> Self {
        Self { step: Step::Opening { until: now + profile.contactor_time }, for_good: false, retest: true }
    }

    /// Before the insulation test of a renegotiation.
    pub(super) fn before_retest(now: Timestamp, profile: &Profile) -> Self {
        Self { step: Step::Off { until: now + profile.current_fall }, for_good: false, retest: true }
    }

    pub(super) fn deadline(&self) -> (Timestamp, &'static str) {
        match self.step {
            Step::RampDown { until, .. } => (until, "the vehicle confirms the stop"),
            Step::Off { until } => (until, "the current is off"),
            Step::Opening { until } => (until, "contactors open"),
            Step::Goodbye { until } => (until, "the vehicle's welding detection"),
            Step::Discharging { until } => (until, "both sides without voltage"),
        }
    }
}

impl EnergyPath {
    pub(super) fn stopping(&mut self, now: Timestamp, mut stopping: Stopping) -> State {
        let stop = self.stop_asked.take().filter(|reason| *reason != StopReason::Vehicle);
        if let Some(reason) = stop.filter(|_| stopping.retest) {
            return self.stop(now, reason);
        }
        if stopping.retest && self.wants_delivery() {
            return self.refuse(now, StopReason::Incompatible);
        }
        stopping.for_good |= stop.is_some() || self.terminating || !self.available;
        let Stopping { for_good, retest, .. } = stopping;
        let step = match stopping.step {
            Step::RampDown { until, at } => self.ramp_down(now, until, at),
            Step::Off { until } => self.open_without_current(now, until),
            Step::Opening { until } => self.opened(now, until, retest),
            Step::Goodbye { until } => self.goodbye(now, until, stopping),
            Step::Discharging { until } => {
                if self.observed.confirmed_safe(now, &self.installation.profile) {
                    return match (self.goes_on(stopping), retest) {
                        (true, true) => self.test_again(now),
                        (true, false) => self.go_on(),
                        (false, _) => self.finish(now, for_good),
                    };
                }
                if now >= until {
                    let (code, evidence) = self.not_confirmed_safe(now);
                    self.fail(now, code, evidence);
                }
                Some(stopping.step)
            }
        };
        match (step, self.state) {
            (Some(step), State::Stopping(_)) => State::Stopping(Stopping { step, for_good, retest }),
            // A fault has taken over.
            _ => self.state,
        }
    }

    fn ramp_down(&mut self, now: Timestamp, until: Timestamp, at: Timestamp) -> Option<Step> {
        let profile = &self.installation.profile;
        let confirmed = match self.link_phase() {
            LinkPhase::PowerOff
            | LinkPhase::WeldingDetection
            | LinkPhase::Stopping
            | LinkPhase::Listening
            | LinkPhase::Detached => true,
            LinkPhase::Connected
            | LinkPhase::Authorizing
            | LinkPhase::Parameters
            | LinkPhase::CableCheck
            | LinkPhase::PreCharge
            | LinkPhase::PowerOn
            | LinkPhase::Charging
            | LinkPhase::Renegotiating => false,
        };
        let setpoint = self.outputs.setpoint();
        let trickle = setpoint.is_none_or(|setpoint| setpoint.current <= profile.pre_charge_current);
        let not_charging = matches!(
            self.link_phase(),
            LinkPhase::Parameters | LinkPhase::CableCheck | LinkPhase::PreCharge | LinkPhase::PowerOn
        );
        if self.has_opened_s2(now) {
            return Some(self.follow_the_board(now));
        }
        if confirmed || (trickle && not_charging) || now >= until {
            self.outputs.supply_off();
            return Some(Step::Off { until: now + self.installation.profile.current_fall });
        }
        let fall = profile.ramp_down.over(now.since(at));
        if let Some(Setpoint { voltage, current }) = setpoint
            && now.since(at).as_millis() >= 50
        {
            let current = (current - fall).max(Amps::ZERO);
            self.outputs.set_output(now, Setpoint { voltage, current });
            return Some(Step::RampDown { until, at: now });
        }
        Some(Step::RampDown { until, at })
    }

    /// The vehicle has opened S2: the board has let go, or is about to, and takes no renewal any more.
    fn follow_the_board(&mut self, now: Timestamp) -> Step {
        self.outputs.supply_off();
        self.outputs.open_contactors(now);
        Step::Opening { until: now + self.installation.profile.contactor_time }
    }

    fn open_without_current(&mut self, now: Timestamp, until: Timestamp) -> Option<Step> {
        if self.has_opened_s2(now) {
            return Some(self.follow_the_board(now));
        }
        let profile = &self.installation.profile;
        let current = self.observed.supply(now, profile).map(|supply| supply.current.abs());
        let limit = if now < until { profile.open_current } else { profile.open_current_max };
        if current.is_some_and(|current| current < limit) {
            self.outputs.open_contactors(now);
            return Some(Step::Opening { until: now + self.installation.profile.contactor_time });
        }
        if now >= until {
            let evidence = Evidence::Current(current.unwrap_or(Amps::ZERO), limit);
            self.fail(now, FaultCode::OutputNotOff, evidence);
            return None;
        }
        Some(Step::Off { until })
    }

    fn opened(&mut self, now: Timestamp, until: Timestamp, retest: bool) -> Option<Step> {
        let profile = &self.installation.profile;
        let io = self.observed.io(now, profile);
        let opened_at = self.outputs.opened_at();
        let open = io.is_some_and(|io| {
            io.contactors == Contactors::Open && opened_at.is_some_and(|since| io.at >= since)
        });
        if open {
            if self.link_phase() == LinkPhase::PowerOff {
                self.answer(PhaseAnswer::Finished);
            }
            let profile = &self.installation.profile;
            let goodbye = if retest { profile.parameters_end } else { profile.welding_detection };
            return Some(Step::Goodbye { until: now + goodbye });
        }
        if now >= until {
            let (code, evidence) = match io {
                Some(io) => (FaultCode::ContactorFault, Evidence::Contactors(io.contactors)),
                None => (FaultCode::Missing(Role::ConnectorIo), Evidence::NotWithin(profile.reading_stale)),
            };
            self.fail(now, code, evidence);
            return None;
        }
        Some(Step::Opening { until })
    }

    fn goodbye(&mut self, now: Timestamp, until: Timestamp, stopping: Stopping) -> Option<Step> {
        let said = match self.link_phase() {
            LinkPhase::PowerOff | LinkPhase::WeldingDetection => {
                self.answer(PhaseAnswer::Finished);
                false
            }
            LinkPhase::Stopping | LinkPhase::Listening | LinkPhase::Detached => true,
            LinkPhase::Connected
            | LinkPhase::Authorizing
            | LinkPhase::Parameters
            | LinkPhase::CableCheck
            | LinkPhase::PreCharge
            | LinkPhase::PowerOn
            | LinkPhase::Charging
            | LinkPhase::Renegotiating => false,
        };
        let gone = self.observed.pilot(now, &self.installation.profile) == Some(Pilot::A);
        if said || gone || now >= until || self.goes_on(stopping) {
            if self.link_phase() == LinkPhase::Stopping {
                self.answer(PhaseAnswer::Finished);
            }
            if self.link_phase() == LinkPhase::Renegotiating && !gone {
                self.end_delivery(StopReason::TimedOut);
            }
            return Some(Step::Discharging { until: now + self.installation.profile.discharge });
        }
        Some(Step::Goodbye { until })
    }

    /// It goes on without the insulation test, though the contactors are open.
    fn wants_delivery(&self) -> bool {
        matches!(self.link_phase(), LinkPhase::PreCharge | LinkPhase::PowerOn | LinkPhase::Charging)
    }

    /// What keeps an EVSE from being proved off.
    fn not_confirmed_safe(&self, now: Timestamp) -> (FaultCode, Evidence) {
        let profile = &self.installation.profile;
        if let Some(role) = self.observed.first_missing(now, &self.installation, false) {
            return (FaultCode::Missing(role), Evidence::NotWithin(profile.reading_stale));
        }
        if let Some(voltage) = self.voltage_that_should_not_be(now) {
            return (FaultCode::ConnectorVoltageHigh, voltage);
        }
        let io = self.observed.io(now, profile).filter(|io| io.contactors != Contactors::Open);
        if let Some(io) = io {
            return (FaultCode::ContactorFault, Evidence::Contactors(io.contactors));
        }
        let current = self.observed.supply(now, profile).map_or(Amps::ZERO, |supply| supply.current);
        (FaultCode::OutputNotOff, Evidence::Current(current, profile.open_current))
    }

    fn finish(&mut self, now: Timestamp, for_good: bool) -> State {
        // A vehicle that renegotiated and did not come back had stopped nothing yet.
        self.end_delivery(StopReason::Vehicle);
        self.pause_insulation_monitor();
        self.outputs.set_lock_if(self.installation.has_lock, false);
        State::Finished(Finished::new(now, for_good))
    }

    /// Whether the vehicle, which stopped, is choosing another service in the same conversation, or
    /// waits for the test.
    fn goes_on(&self, Stopping { for_good, retest, .. }: Stopping) -> bool {
        let chooses = match self.link_phase() {
            LinkPhase::Connected | LinkPhase::Authorizing | LinkPhase::Parameters => !retest,
            LinkPhase::CableCheck => retest,
            LinkPhase::Detached
            | LinkPhase::Listening
            | LinkPhase::PreCharge
            | LinkPhase::PowerOn
            | LinkPhase::Charging
            | LinkPhase::Renegotiating
            | LinkPhase::PowerOff
            | LinkPhase::WeldingDetection
            | LinkPhase::Stopping => false,
        };
        chooses && !for_good
    }

    /// Back to before the limits: what was wanted and measured for the last delivery is forgotten.
    pub(super) fn go_on(&mut self) -> State {
        self.pause_insulation_monitor();
        self.forget_delivery();
        self.outputs.set_pilot(PilotOutput::Digital);
        State::Connected(Connected::default())
    }

    /// To the test, with the limits that were agreed.
    fn test_again(&mut self, now: Timestamp) -> State {
        self.forget_delivery();
        self.outputs.set_insulation_active(true);
        State::CableCheck(CableCheck::new(now, &self.installation.profile, self.test_voltage()))
    }

    fn forget_delivery(&mut self) {
        self.isolation = Isolation::Invalid;
        self.presented = None;
        if let Some(session) = self.session.as_mut() {
            session.stop = None;
            session.paused = false;
            session.target = None;
        }
    }
}
