//! The hardware that acts on over-voltage within 10 ms, where it is bound: armed before the
//! contactors close, disarmed when everything is off, and nothing energised in between unless it
//! says that it watches.

use std::time::Duration;

use voltry_units::{Timestamp, Volts};

use super::profile::class_over_voltage;
use super::state::State;
use super::supervision::Finding;
use super::{EnergyPath, Evidence, FaultCode, Session};

/// An armed monitor watches a new limit within this time.
const RELIMITED: Duration = Duration::from_secs(1);

impl EnergyPath {
    /// The voltage that must not be passed, by the class of the vehicle's maximum.
    pub(super) fn class_limit(&self) -> Volts {
        class_over_voltage(self.voltage_named())
    }

    /// The maximum that the vehicle named, or that was said of a load in its place; zero without any.
    pub(super) fn voltage_named(&self) -> Volts {
        match self.load() {
            Some(load) => load.voltage,
            None => self.session.as_ref().map_or(Volts::ZERO, Session::voltage_max),
        }
    }

    pub(super) fn arm_guard(&mut self, now: Timestamp) {
        if self.installation.over_voltage_monitor {
            self.outputs.arm_guard(now, self.class_limit());
        }
    }

    /// The monitor has said, since it was told, that it watches this limit.
    pub(super) fn is_guarded(&self, now: Timestamp) -> bool {
        if !self.installation.over_voltage_monitor {
            return true;
        }
        let told = self.observed.over_voltage(now, &self.installation.profile);
        self.outputs.guard().zip(told).is_some_and(|(guard, told)| {
            told.armed && !told.tripped && told.limit == guard.limit && told.at >= guard.since
        })
    }

    /// While something is energised the class can only fall. Until the monitor has the lower
    /// limit, it watches the one before.
    pub(super) fn guard_holds(&mut self, now: Timestamp) -> Finding {
        self.arm_guard(now);
        if self.is_guarded(now) {
            return Ok(());
        }
        let told = self.observed.over_voltage(now, &self.installation.profile);
        let lowering = self.outputs.guard().zip(told).is_some_and(|(guard, told)| {
            told.armed && told.limit > guard.limit && now.since(guard.since) < RELIMITED
        });
        if lowering { Ok(()) } else { Err((FaultCode::NotGuarded, Evidence::Seen)) }
    }

    /// What made the monitor trip, as long as it has.
    pub(super) fn guard_trip(&self, now: Timestamp) -> Option<Evidence> {
        let told = self.observed.over_voltage(now, &self.installation.profile)?;
        told.tripped.then_some(Evidence::Tripped(told.voltage, told.limit))
    }

    /// A trip is an emergency in every state but those that deal with it already.
    pub(super) fn guard_tripped(&self, now: Timestamp) -> Finding {
        match self.guard_trip(now) {
            Some(trip) if !matches!(self.state, State::Starting(_) | State::Faulted(_)) => {
                Err((FaultCode::OverVoltage, trip))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Disarms when nothing is energised, the contactors are open by feedback from after the command
    /// to open, and no voltage is left.
    pub(super) fn release_guard(&mut self, now: Timestamp) {
        let arming = match self.state {
            State::CableCheck(_) => true,
            State::Checking(checking) => checking.is_arming(),
            State::Starting(_)
            | State::Available
            | State::Connected(_)
            | State::Parameters(_)
            | State::PreCharge(_)
            | State::Charging(_)
            | State::Stopping(_)
            | State::Finished(_)
            | State::Paused
            | State::Shutdown(_)
            | State::Faulted(_)
            | State::Unavailable => false,
        };
        let io = self.observed.io(now, &self.installation.profile);
        let opened_at = self.outputs.opened_at();
        let seen_since = io.is_some_and(|io| opened_at.is_none_or(|opened| io.at > opened));
        if self.observed.is_present(super::Role::OverVoltageMonitor)
            && !arming
            && seen_since
            && self.is_confirmed_safe(now)
        {
            self.outputs.disarm_guard();
        }
    }
}
