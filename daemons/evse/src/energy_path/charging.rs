//! The charge loop: what the vehicle wants, within every limit there is.

use std::time::Duration;

use voltry_bus::{Authorization, LinkPhase, Pilot};
use voltry_units::{Amps, AmpsPerSecond, Celsius, Timestamp, Volts};

use super::outputs::Setpoint;
use super::state::State;
use super::stopping::Stopping;
use super::{EnergyPath, Evidence, FaultCode, StopReason, Target};

/// The current rises in steps, no closer to each other than this.
const RISES_EVERY: Duration = Duration::from_millis(100);
/// A step is no larger than what the ramp gives in this time, however long the current stood.
const RISES_AT_ONCE: Duration = Duration::from_millis(150);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Charging {
    /// The current that the ramp has reached, and when it last moved.
    ramped: Amps,
    at: Timestamp,
    began: Timestamp,
    /// The phase in which it began: what the vehicle wished in an earlier one is no wish for current.
    phase: u64,
}

impl Charging {
    pub(super) fn new(now: Timestamp, setpoint: Option<Setpoint>, phase: u64) -> Self {
        let ramped = setpoint.map_or(Amps::ZERO, |setpoint| setpoint.current);
        Self { ramped, at: now, began: now, phase }
    }

    /// Towards nothing at once, and from one direction to the other by it; away from it no faster than the ramp,
    /// in steps worth a message: the first one at once too.
    fn towards(self, aim: Amps, now: Timestamp, ramp: AmpsPerSecond) -> Self {
        let rested = now.since(self.at);
        let turns = aim.as_milli().signum() * self.ramped.as_milli().signum() < 0;
        let ramped = if turns {
            Amps::ZERO
        } else if aim.abs() < self.ramped.abs() {
            aim
        } else if aim != self.ramped && rested >= RISES_EVERY {
            let rise = ramp.over(rested.min(RISES_AT_ONCE));
            aim.max(self.ramped - rise).min(self.ramped + rise)
        } else {
            return self;
        };
        Self { ramped, at: now, ..self }
    }

    /// How long the vehicle has asked for nothing.
    pub(super) fn silence(&self, now: Timestamp, target: Option<Target>) -> Duration {
        now.since(target.map_or(self.began, |target| target.at.max(self.began)))
    }
}

/// Which limit holds the output below what the vehicle wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Limited {
    pub(super) voltage: bool,
    pub(super) current: bool,
    pub(super) power: bool,
}

impl EnergyPath {
    pub(super) fn charging(&mut self, now: Timestamp, mut charging: Charging) -> State {
        if let Some(reason) = self.stop_asked.or_else(|| self.permission_ended(now)) {
            return self.stop(now, reason);
        }
        match self.link_phase() {
            LinkPhase::PreCharge | LinkPhase::PowerOn | LinkPhase::Charging => {}
            // With current in it that was a fault already.
            LinkPhase::Renegotiating if self.has_opened_s2(now) => return self.let_go(now),
            LinkPhase::Renegotiating => {}
            LinkPhase::PowerOff | LinkPhase::WeldingDetection | LinkPhase::Stopping => {
                return self.stop(now, StopReason::Vehicle);
            }
            LinkPhase::CableCheck => {
                self.outputs.supply_off();
                return State::Stopping(Stopping::before_retest(now, &self.installation.profile));
            }
            LinkPhase::Detached
            | LinkPhase::Listening
            | LinkPhase::Connected
            | LinkPhase::Authorizing
            | LinkPhase::Parameters => {
                self.fail(now, FaultCode::CommunicationLost, Evidence::Seen);
                return self.state;
            }
        }
        let wanted = self.wanted(now, charging);
        let aim = if self.flows_against(now, wanted.current) { Amps::ZERO } else { wanted.current };
        charging = charging.towards(aim, now, self.installation.profile.ramp_up);
        self.outputs.set_output(now, Setpoint { voltage: wanted.voltage, current: charging.ramped });
        State::Charging(charging)
    }

    /// Why delivery may not go on, if the station or the meter says so.
    pub(super) fn permission_ended(&self, now: Timestamp) -> Option<StopReason> {
        let authorized =
            self.session.as_ref().is_some_and(|session| session.authorization == Authorization::Granted);
        if !authorized {
            return Some(StopReason::NotAuthorized);
        }
        if self.observed.permit(now).is_none() {
            return Some(StopReason::NoPermit);
        }
        let metered = self.observed.meter(now, &self.installation.profile).is_some();
        (self.installation.meter_required && !metered).then_some(StopReason::Unmetered)
    }

    /// The set-point: the lowest of what the vehicle wants, what it can take, its share of the
    /// station, what the modules can give, and what connector and cable can carry. What it wants to
    /// give is another matter.
    fn wanted(&self, now: Timestamp, charging: Charging) -> Setpoint {
        let profile = &self.installation.profile;
        let capability = self.capability();
        let nothing = Setpoint { voltage: capability.voltage_min, current: Amps::ZERO };
        let Some(session) = self.session.as_ref() else { return nothing };
        let held = self.outputs.setpoint().unwrap_or(nothing);
        if charging.silence(now, session.target) > profile.target_pause || self.is_supply_unable() {
            return Setpoint { current: Amps::ZERO, ..held };
        }
        let Some(target) = session.target.filter(|target| target.counter >= charging.phase) else {
            // What it wanted in PreCharge is no wish for current: the cable's voltage is held.
            return Setpoint { current: held.current.min(profile.pre_charge_current), ..held };
        };
        if target.current < Amps::ZERO {
            return self.taken(now, -target.current, held);
        }
        let voltage = target.voltage.min(session.voltage_max()).min(capability.voltage_max);
        if voltage < capability.voltage_min {
            return Setpoint { current: Amps::ZERO, ..held };
        }
        let current = target
            .current
            .min(session.limits.current_max.unwrap_or(Amps::MAX))
            .min(self.current_max(now))
            .min(self.current_by_power(now, voltage))
            .max(Amps::ZERO);
        Setpoint { voltage, current }
    }

    /// Whether the vehicle opened S2 as ISO 15118-2 lets it: it said that it renegotiates, and what flows is
    /// less than what contactors may open at most.
    pub(super) fn leaves_to_renegotiate(&self, now: Timestamp) -> bool {
        let profile = &self.installation.profile;
        let current = self.observed.supply(now, profile).map(|supply| supply.current.abs());
        self.link_phase() == LinkPhase::Renegotiating
            && current.is_some_and(|current| current < profile.open_current_max)
    }

    pub(super) fn has_opened_s2(&self, now: Timestamp) -> bool {
        self.observed.pilot(now, &self.installation.profile) == Some(Pilot::B)
    }

    /// As fast as under current, and no fault: it comes back by the insulation test.
    fn let_go(&mut self, now: Timestamp) -> State {
        self.outputs.supply_off();
        self.outputs.open_contactors(now);
        State::Stopping(Stopping::let_go(now, &self.installation.profile))
    }

    /// What modules, cable and connector can carry at this moment.
    fn current_max(&self, now: Timestamp) -> Amps {
        self.capability().current_max.min(self.carried(now))
    }

    /// What connector and cable can carry, as warm as they are.
    pub(super) fn carried(&self, now: Timestamp) -> Amps {
        let profile = &self.installation.profile;
        let hottest = self.observed.io(now, profile).and_then(|io| io.hottest);
        let full = self.installation.current_max;
        hottest.map_or(full, |hottest| derated(full, hottest, profile.connector_warm, profile.connector_hot))
    }

    /// The share's current, at the voltage measured, or at the highest that could follow.
    fn current_by_power(&self, now: Timestamp, voltage: Volts) -> Amps {
        let cable = self.observed.cable(now, &self.installation.profile).unwrap_or(voltage);
        let at = if cable < self.installation.profile.safe_voltage { voltage } else { cable };
        let vehicle = self.session.as_ref().and_then(|session| session.limits.power_max);
        let offered = self.offer(now).power_max;
        let power = vehicle.map_or(offered, |vehicle| vehicle.min(offered));
        power.at(at).unwrap_or(Amps::ZERO)
    }

    /// What the vehicle is told of why it gets less than it wants.
    pub(super) fn limited(&self, now: Timestamp, cable: Volts) -> Limited {
        let Some(target) = self.session.as_ref().and_then(|session| session.target) else {
            return Limited::default();
        };
        let power = self.offer(now).power_max.at(cable).unwrap_or(Amps::MAX);
        Limited {
            voltage: target.voltage > self.capability().voltage_max,
            current: target.current > self.current_max(now)
                || -target.current > self.discharge(now).current_max,
            power: target.current > power,
        }
    }
}

/// A current lowered in a straight line from `warm`, to nothing at `hot`.
fn derated(full: Amps, at: Celsius, warm: Celsius, hot: Celsius) -> Amps {
    if at <= warm {
        return full;
    }
    if at >= hot {
        return Amps::ZERO;
    }
    full.scaled((hot - at).as_milli(), (hot - warm).as_milli())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_connector_carries_less_and_a_hot_one_nothing() {
        let at = |celsius| derated(Amps::new(200), Celsius::new(celsius), Celsius::new(70), Celsius::new(90));
        assert_eq!(at(25), Amps::new(200));
        assert_eq!(at(70), Amps::new(200));
        assert_eq!(at(80), Amps::new(100));
        assert_eq!(at(90), Amps::ZERO);
        assert_eq!(at(120), Amps::ZERO);
    }
}
