//! The states before anything is energised and after everything is off again: free, plugged
//! in, comparing limits, finished.

use std::time::Duration;

use voltry_bus::{Authorization, Contactors, LinkPhase, PhaseAnswer, Pilot, PilotOutput};
use voltry_units::{Timestamp, Volts, Watts};

use super::action::Command;
use super::cable_check::CableCheck;
use super::safe::Starting;
use super::session::{Session, is_before_energising};
use super::state::State;
use super::stopping::Stopping;
use super::{EnergyPath, Role, StopReason};

/// A stream may pause this long while nothing is energised before its absence is taken for real.
const PATIENCE: Duration = Duration::from_secs(2);
/// Station gives a supply that has got modules its share within this time.
const SHARE: Duration = Duration::from_secs(2);
/// A conversation has said its last word within this time of the session's end.
const GOODBYE: Duration = Duration::from_secs(5);

/// Plugged in; the conversation has not come to limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Connected {
    pub(super) authorizing: bool,
}

/// The vehicle waits for our limits, thus for authorization and a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) until: Timestamp,
    pub(super) agreed: bool,
    /// A supply that shares modules had none: until then its share of the power may be still to come.
    shared_until: Option<Timestamp>,
}

/// Off and open; the vehicle is still plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Finished {
    /// When the link is detached, if its conversation has not ended by itself.
    pub(super) detach_at: Option<Timestamp>,
    /// The vehicle cannot come back to it.
    for_good: bool,
}

impl Finished {
    pub(super) fn new(now: Timestamp, for_good: bool) -> Self {
        Self { detach_at: Some(now + GOODBYE), for_good }
    }

    /// Everything was proved safe anew, with the same vehicle at the plug and nobody to take leave of.
    pub(super) const fn again() -> Self {
        Self { detach_at: None, for_good: true }
    }

    /// Whether delivery is over for good: the conversation has said its last word, or it does not count.
    fn is_over(&self) -> bool {
        self.for_good || self.detach_at.is_none()
    }
}

impl EnergyPath {
    /// While nothing is energised: whether so much is missing that a new start must prove safety.
    pub(super) fn is_blind(&mut self, now: Timestamp) -> bool {
        let meter = self.installation.meter_required;
        let gone = Role::ALL
            .into_iter()
            .filter(|role| self.installation.has(*role))
            .any(|role| (meter || role != Role::EnergyMeter) && !self.observed.is_present(role));
        let stale = self.observed.first_missing(now, &self.installation, meter).is_some();
        self.supervision.blind.for_at_least(PATIENCE, stale, now) || gone
    }

    pub(super) fn available(&mut self, now: Timestamp) -> State {
        self.stop_asked = None;
        if self.is_blind(now) {
            return State::Starting(Starting::default());
        }
        if !self.available || self.terminating {
            return State::Unavailable;
        }
        self.outputs.set_pilot(PilotOutput::X1);
        // Whoever was authorized and left before a stop had the lock commanded, and never released.
        self.outputs.set_lock_if(self.installation.has_lock, false);
        match self.observed.pilot(now, &self.installation.profile) {
            Some(Pilot::B | Pilot::C | Pilot::D) => self.plugged(now),
            Some(Pilot::A | Pilot::E | Pilot::F | Pilot::Invalid | Pilot::Unknown) | None => State::Available,
        }
    }

    fn plugged(&mut self, now: Timestamp) -> State {
        // The time is unique on this machine and rises, also through a restart of the process.
        self.last_session = now.as_micros().max(self.last_session + 1);
        self.session = Some(Session::new(self.last_session, now));
        self.isolation = voltry_bus::Isolation::Invalid;
        self.presented = None;
        self.outputs.set_pilot(PilotOutput::Digital);
        self.outputs.attach();
        self.outputs.send_limits(self.offer(now));
        self.outputs.send(Command::Authorize(Authorization::Pending));
        State::Connected(Connected::default())
    }

    /// What the vehicle is offered: the capability within the permit's share.
    pub(super) fn offer(&self, now: Timestamp) -> super::Capability {
        let capability = self.capability();
        let share = self.observed.permit(now).map_or(capability.power_max, |permit| permit.power);
        super::Capability { power_max: capability.power_max.min(share), ..capability }
    }

    pub(super) fn end_session(&mut self) {
        if self.session.take().is_some() {
            self.outputs.detach();
        }
        self.stop_asked = None;
    }

    pub(super) fn authorize(&mut self, session: u64, authorization: Authorization) {
        if let Some(current) = self.session.as_mut()
            && current.id == session
            && current.authorization != authorization
        {
            current.authorization = authorization;
            self.outputs.send(Command::Authorize(authorization));
        }
    }

    /// A conversation may wake or reset the vehicle by the pilot, as long as nothing is energised.
    pub(super) fn grant_pilot(&mut self, output: PilotOutput) {
        let talking = matches!(self.state, State::Connected(_) | State::Parameters(_));
        if talking && !self.outputs.is_live() {
            self.outputs.set_pilot(output);
        }
    }

    pub(super) fn connected(&mut self, now: Timestamp, _connected: Connected) -> State {
        if let Some(next) = self.left_or_stopped(now) {
            return next;
        }
        let phase = self.link_phase();
        if !is_before_energising(phase) {
            // The conversation is somewhere that this session never was.
            return self.refuse(now, StopReason::Incompatible);
        }
        let limits_named = self.session.as_ref().is_some_and(|session| session.limits.voltage_max.is_some());
        if phase == LinkPhase::Parameters && limits_named {
            let until = now + self.installation.profile.parameters_end;
            return State::Parameters(Parameters { until, agreed: false, shared_until: None });
        }
        let pending =
            self.session.as_ref().is_some_and(|session| session.authorization == Authorization::Pending);
        State::Connected(Connected { authorizing: pending && phase == LinkPhase::Authorizing })
    }

    /// What ends the wait before anything is energised.
    fn left_or_stopped(&mut self, now: Timestamp) -> Option<State> {
        if self.is_blind(now) {
            return Some(State::Starting(Starting::default()));
        }
        if self.observed.pilot(now, &self.installation.profile) == Some(Pilot::A) {
            self.end_session();
            return Some(State::Available);
        }
        let session = self.session?;
        match session.authorization {
            Authorization::Refused => return Some(self.stop(now, StopReason::NotAuthorized)),
            Authorization::Granted => self.outputs.set_lock_if(self.installation.has_lock, true),
            Authorization::Pending => {}
        }
        // A vehicle that ends a conversation before charging may begin another.
        match self.stop_asked.take() {
            None | Some(StopReason::Vehicle) => None,
            Some(reason) => Some(self.stop(now, reason)),
        }
    }

    pub(super) fn parameters(&mut self, now: Timestamp, mut parameters: Parameters) -> State {
        if let Some(next) = self.left_or_stopped(now) {
            return next;
        }
        if self.terminating {
            return self.stop(now, StopReason::OutOfService);
        }
        match self.link_phase() {
            LinkPhase::Detached | LinkPhase::Listening | LinkPhase::Connected | LinkPhase::Authorizing => {
                State::Connected(Connected::default())
            }
            LinkPhase::Parameters => {
                if !self.is_compatible() {
                    return self.refuse(now, StopReason::Incompatible);
                }
                let granted = self
                    .session
                    .as_ref()
                    .is_some_and(|session| session.authorization == Authorization::Granted);
                // A supply that shares modules is given some now, and then its share of the power.
                let able = !self.is_supply_unable();
                if !able {
                    parameters.shared_until = Some(now + SHARE);
                }
                let shared = parameters.shared_until.is_none_or(|until| now >= until)
                    || self.offer(now).power_max > Watts::ZERO;
                parameters.agreed = granted && able && shared && self.observed.permit(now).is_some();
                if parameters.agreed {
                    self.outputs.send_limits(self.offer(now));
                    self.answer(PhaseAnswer::Finished);
                } else if now >= parameters.until {
                    return self.refuse(now, StopReason::TimedOut);
                } else {
                    self.answer(PhaseAnswer::Ongoing);
                }
                State::Parameters(parameters)
            }
            LinkPhase::CableCheck if parameters.agreed => {
                self.outputs.set_insulation_active(true);
                State::CableCheck(CableCheck::new(now, &self.installation.profile, self.test_voltage()))
            }
            LinkPhase::CableCheck
            | LinkPhase::PreCharge
            | LinkPhase::PowerOn
            | LinkPhase::Charging
            | LinkPhase::Renegotiating
            | LinkPhase::PowerOff
            | LinkPhase::WeldingDetection
            | LinkPhase::Stopping => self.refuse(now, StopReason::Vehicle),
        }
    }

    /// Whether what the vehicle named and what we can give have anything in common. Its maximum
    /// may be above ours: then ours binds, and its target must stay within it.
    fn is_compatible(&self) -> bool {
        let Some(session) = self.session else { return false };
        let capability = self.capability();
        let voltage = session.voltage_max();
        let current_ok = session.limits.current_max.is_none_or(|current| current.as_milli() > 0);
        let target = session.target.map_or(Volts::ZERO, |target| target.voltage);
        voltage >= capability.voltage_min.max(self.installation.profile.safe_voltage)
            && current_ok
            && target <= capability.voltage_max
    }

    /// Answers the present phase with a refusal and ends the session.
    pub(super) fn refuse(&mut self, now: Timestamp, reason: StopReason) -> State {
        self.answer(PhaseAnswer::Failed);
        self.stop(now, reason)
    }

    /// Begins a normal stop, from wherever the session is.
    pub(super) fn stop(&mut self, now: Timestamp, reason: StopReason) -> State {
        self.stop_asked = None;
        self.end_delivery(reason);
        if reason != StopReason::Vehicle && self.outputs.is_attached() {
            self.outputs.send(Command::RequestStop(reason));
        }
        let for_good = reason != StopReason::Vehicle;
        State::Stopping(Stopping::new(now, &self.installation.profile, self.outputs.is_live(), for_good))
    }

    /// The session keeps the first reason.
    pub(super) fn end_delivery(&mut self, reason: StopReason) {
        if let Some(session) = self.session.as_mut() {
            session.stop.get_or_insert(reason);
        }
    }

    /// Delivery is over when nothing can flow any more, not when the stop begins: the meter's
    /// last reading is taken then, and must not miss what still flowed.
    pub(super) fn note_end_of_delivery(&mut self, now: Timestamp) {
        let off = match self.state {
            State::Faulted(_) | State::Starting(_) | State::Unavailable | State::Checking(_) => true,
            State::Finished(finished) => finished.is_over(),
            State::Paused => false,
            State::Stopping(stopping) => stopping.for_good && self.is_off(now),
            State::Available
            | State::Connected(_)
            | State::Parameters(_)
            | State::CableCheck(_)
            | State::PreCharge(_)
            | State::Charging(_) => self.is_off(now),
            State::Shutdown(shutdown) => !shutdown.is_unnamed() && self.is_off(now),
        };
        if let Some(session) = self.session.as_mut()
            && session.stop.is_some()
            && off
        {
            session.ended_at.get_or_insert(now);
        }
    }

    /// Nothing is commanded that energises, and the contactors are open by their feedback.
    fn is_off(&self, now: Timestamp) -> bool {
        let io = self.observed.io(now, &self.installation.profile);
        let opened_at = self.outputs.opened_at();
        !self.outputs.is_live()
            && io.is_some_and(|io| {
                io.contactors == Contactors::Open && opened_at.is_none_or(|since| io.at >= since)
            })
    }

    pub(super) fn finished(&mut self, now: Timestamp, mut finished: Finished) -> State {
        self.stop_asked = None;
        if self.is_blind(now) {
            return State::Starting(Starting::after_a_session());
        }
        self.outputs.set_pilot(PilotOutput::X1);
        if !finished.is_over() && self.session.is_some_and(|session| session.paused) {
            if let Some(session) = self.session.as_mut() {
                session.stop = None;
            }
            return State::Paused;
        }
        if let Some(at) = finished.detach_at {
            let ended = matches!(self.link_phase(), LinkPhase::Listening | LinkPhase::Detached);
            if ended || now >= at {
                self.outputs.detach();
                finished.detach_at = None;
            }
        }
        if self.observed.pilot(now, &self.installation.profile) == Some(Pilot::A) {
            self.end_session();
            return State::Available;
        }
        State::Finished(finished)
    }

    /// The vehicle sleeps, off and open, with its session and its link as they are. It wakes by its
    /// pilot (ISO 15118-3, the B-C-B toggle) or by a conversation, and whoever lets nobody charge any
    /// more ends it.
    pub(super) fn paused(&mut self, now: Timestamp) -> State {
        if self.is_blind(now) {
            return State::Starting(Starting::default());
        }
        let pilot = self.observed.pilot(now, &self.installation.profile);
        if pilot == Some(Pilot::A) {
            self.end_session();
            return State::Available;
        }
        let refused = self.session.is_some_and(|session| session.authorization == Authorization::Refused);
        let ended = match self.stop_asked.take() {
            None | Some(StopReason::Vehicle) if refused => Some(StopReason::NotAuthorized),
            None | Some(StopReason::Vehicle) if !self.available => Some(StopReason::OutOfService),
            None | Some(StopReason::Vehicle) => None,
            Some(reason) => Some(reason),
        };
        if let Some(reason) = ended {
            self.end_delivery(reason);
            return State::Finished(Finished::new(now, true));
        }
        let talks = matches!(
            self.link_phase(),
            LinkPhase::Connected | LinkPhase::Authorizing | LinkPhase::Parameters
        );
        if talks || matches!(pilot, Some(Pilot::C | Pilot::D)) {
            return self.go_on();
        }
        self.outputs.set_pilot(PilotOutput::X1);
        State::Paused
    }
}
