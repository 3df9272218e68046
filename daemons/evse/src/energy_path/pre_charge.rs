//! PreCharge: the cable is brought to the battery's voltage, so that the vehicle's contactors
//! close without a surge.

use std::time::Duration;

use voltry_bus::{LinkPhase, PhaseAnswer, Pilot};
use voltry_units::{Amps, Timestamp, Volts};

use super::charging::Charging;
use super::outputs::Setpoint;
use super::state::State;
use super::{EnergyPath, Evidence, FaultCode, Held, Profile, Session, StopReason, Target};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PreCharge {
    began: Timestamp,
    pub(super) until: Timestamp,
    /// Whether the last difference that the vehicle was told was small enough.
    met: bool,
    /// Whether the battery holds the output already.
    clamped: bool,
    clamp: Clamp,
    short: Held,
}

/// Whether the battery holds the output at its own voltage: current flows at the limit and the
/// voltage stands still.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Clamp {
    at: Volts,
    held: Held,
}

impl PreCharge {
    pub(super) fn new(now: Timestamp, profile: &Profile) -> Self {
        Self {
            began: now,
            until: now + profile.pre_charge_end,
            met: false,
            clamped: false,
            clamp: Clamp::default(),
            short: Held::default(),
        }
    }

    pub(super) fn lasted(&self, now: Timestamp) -> Duration {
        now.since(self.began)
    }
}

impl EnergyPath {
    pub(super) fn pre_charge(&mut self, now: Timestamp, mut pre_charge: PreCharge) -> State {
        if let Some(reason) = self.stop_asked {
            return self.stop(now, reason);
        }
        if self.observed.pilot(now, &self.installation.profile) == Some(Pilot::B) {
            return self.stop(now, StopReason::Vehicle);
        }
        if let Some(reason) = self.permission_ended(now) {
            return self.stop(now, reason);
        }
        match self.link_phase() {
            LinkPhase::CableCheck | LinkPhase::PreCharge => {}
            LinkPhase::PowerOn | LinkPhase::Charging => return self.start_delivery(now, pre_charge),
            LinkPhase::PowerOff | LinkPhase::WeldingDetection | LinkPhase::Stopping => {
                return self.stop(now, StopReason::Vehicle);
            }
            LinkPhase::Detached
            | LinkPhase::Listening
            | LinkPhase::Connected
            | LinkPhase::Authorizing
            | LinkPhase::Parameters
            | LinkPhase::Renegotiating => {
                self.fail(now, FaultCode::CommunicationLost, Evidence::Seen);
                return self.state;
            }
        }
        if now >= pre_charge.until {
            let late = Evidence::NotWithin(self.installation.profile.pre_charge_end);
            self.answer(PhaseAnswer::Failed);
            self.fail(now, FaultCode::PreChargeFailure, late);
            return self.state;
        }
        let Some(target) = self.session.as_ref().and_then(|session| session.target) else {
            return State::PreCharge(pre_charge);
        };
        if target.voltage == Volts::ZERO {
            // It does not know its battery's voltage yet, and says so at first (seen from a Seres 3).
            self.hold_back(now, &mut pre_charge);
            return State::PreCharge(pre_charge);
        }
        if !self.can_serve(target.voltage) {
            return self.refuse(now, StopReason::Incompatible);
        }
        self.approach(now, target, &mut pre_charge);
        pre_charge.clamped = self.is_clamped(now, &mut pre_charge);
        if self.is_shorted(now, &mut pre_charge) {
            let limit = self.installation.profile.safe_voltage;
            self.fail(now, FaultCode::ShortCircuit, Evidence::Voltage(Volts::ZERO, limit));
            return self.state;
        }
        State::PreCharge(pre_charge)
    }

    /// Nothing is brought up, and what was, gets no more current.
    fn hold_back(&mut self, now: Timestamp, pre_charge: &mut PreCharge) {
        (pre_charge.met, pre_charge.clamped) = (false, false);
        if let Some(setpoint) = self.outputs.setpoint() {
            self.outputs.set_output(now, Setpoint { current: Amps::ZERO, ..setpoint });
        }
        if self.link_phase() == LinkPhase::PreCharge {
            self.answer(PhaseAnswer::Ongoing);
        }
    }

    fn can_serve(&self, voltage: Volts) -> bool {
        let capability = self.capability();
        let vehicle = self.session.as_ref().map_or(Volts::ZERO, Session::voltage_max);
        (capability.voltage_min..=capability.voltage_max.min(vehicle)).contains(&voltage)
    }

    fn approach(&mut self, now: Timestamp, target: Target, pre_charge: &mut PreCharge) {
        let profile = &self.installation.profile;
        let fresh = now.since(target.at) < profile.target_pause;
        let asked = if target.current > Amps::ZERO { target.current } else { profile.pre_charge_current };
        let current = if fresh { profile.pre_charge_current.min(asked) } else { Amps::ZERO };
        if !self.outputs.supply_enabled() {
            self.outputs.enable_supply(now);
        }
        self.outputs.set_output(now, Setpoint { voltage: target.voltage, current });

        let profile = &self.installation.profile;
        let Some(cable) = self.observed.newest_cable() else { return };
        let near = cable.value.abs_diff(target.voltage) <= profile.pre_charge_difference;
        // Judged where a value is young enough to be told; what was told stays true until then, unless the vehicle
        // names another battery.
        pre_charge.met &= near;
        if let Some(cable) = cable.fresh(now, profile.pre_charge_reading) {
            pre_charge.met = near;
            let answer = if pre_charge.met { PhaseAnswer::Finished } else { PhaseAnswer::Ongoing };
            let steady = cable.abs_diff(pre_charge.clamp.at) <= Volts::new(5);
            if !steady {
                pre_charge.clamp = Clamp { at: *cable, held: Held::default() };
            }
            if self.link_phase() == LinkPhase::PreCharge {
                self.answer(answer);
            }
        }
    }

    /// Current at its limit and no voltage, for longer than a cable takes to fill.
    fn is_shorted(&self, now: Timestamp, pre_charge: &mut PreCharge) -> bool {
        let profile = &self.installation.profile;
        let limited = self
            .observed
            .supply(now, profile)
            .is_some_and(|supply| supply.current >= profile.pre_charge_current.scaled(9, 10));
        let flat =
            self.observed.lower_voltage(now, profile).is_some_and(|lower| lower < profile.safe_voltage);
        pre_charge.short.for_at_least(profile.short_circuit_time, limited && flat, now)
    }

    /// The vehicle ends PreCharge by asking for power.
    fn start_delivery(&mut self, now: Timestamp, pre_charge: PreCharge) -> State {
        if pre_charge.met || pre_charge.clamped {
            self.answer(PhaseAnswer::Finished);
            return State::Charging(Charging::new(now, self.outputs.setpoint(), self.observed.link.counter));
        }
        self.answer(PhaseAnswer::Failed);
        let target = self
            .session
            .as_ref()
            .and_then(|session| session.target)
            .map_or(Volts::ZERO, |target| target.voltage);
        let cable = self.observed.newest_cable().map_or(Volts::ZERO, |cable| cable.value);
        self.fail(now, FaultCode::PreChargeFailure, Evidence::Voltage(cable, target));
        self.state
    }

    /// The battery is on the cable already and holds its voltage against the current limit.
    fn is_clamped(&self, now: Timestamp, pre_charge: &mut PreCharge) -> bool {
        let profile = &self.installation.profile;
        let (Some(cable), Some(supply)) =
            (self.observed.cable(now, profile), self.observed.supply(now, profile))
        else {
            return false;
        };
        let vehicle = self.session.as_ref().map_or(Volts::ZERO, Session::voltage_max);
        let holds = supply.current >= profile.pre_charge_current.scaled(5, 10)
            && (profile.safe_voltage..=vehicle).contains(&cable)
            && cable.abs_diff(pre_charge.clamp.at) <= Volts::new(5);
        pre_charge.clamp.held.for_at_least(profile.reading_stale, holds, now)
    }
}
