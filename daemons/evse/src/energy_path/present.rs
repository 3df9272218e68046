//! What the vehicle is told of the output.

use std::time::Duration;

use voltry_units::Timestamp;

use super::action::{Command, Present};
use super::{EnergyPath, Input};

impl EnergyPath {
    /// Present values for the vehicle: with each cable voltage, with each output that makes the
    /// older of the two younger, and with each tick that has something older than a tick or
    /// another status to tell.
    pub(super) fn present(&mut self, now: Timestamp, input: &Input) {
        let was_older = |old: Present| self.observed.newest_cable().is_some_and(|cable| cable.at > old.at);
        let measured = matches!(input, Input::CableVoltage(_))
            || matches!(input, Input::Supply(_)) && self.presented.is_some_and(was_older);
        let told = (self.observed.link.counter, self.isolation, self.state.vehicle_status());
        let news = self.presented.is_none_or(|old| (old.counter, old.isolation, old.status) != told);
        if self.session.is_none()
            || !self.outputs.is_attached()
            || !(measured || news || matches!(input, Input::Tick))
        {
            return;
        }
        let profile = &self.installation.profile;
        let (Some(cable), Some(supply)) = (self.observed.newest_cable(), self.observed.supply(now, profile))
        else {
            return;
        };
        let at = cable.at.min(supply.at);
        if now.since(at) > profile.reading_stale {
            return;
        }
        let limited = self.limited(now, cable.value);
        let present = Present {
            counter: told.0,
            voltage: cable.value,
            current: supply.current,
            isolation: told.1,
            status: told.2,
            voltage_limited: limited.voltage,
            current_limited: limited.current,
            power_limited: limited.power,
            at,
        };
        let due = self.presented.is_none_or(|old| now.since(old.at) > Duration::from_millis(150));
        if news || measured || (due && self.presented != Some(present)) {
            self.presented = Some(present);
            self.outputs.send(Command::Present(present));
        }
    }
}
