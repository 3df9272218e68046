//! Energy from a vehicle: how much may be taken, and the set-point of it.
//!
//! Nothing is, unless the EVSE is configured to. Then it takes what the vehicle wants to give, within the
//! vehicle's own limits, those of the supply, and what connector and cable carry. It takes nothing below the
//! higher of two voltages: the one below which the vehicle is not to be discharged, and the supply's. How much
//! a site may feed back at most is the supply's to say; station shares out only what goes to vehicles.
//!
//! Every rule of supervision holds as it does forwards: a current that nobody asked for, or a tenth and 5 A more
//! than was, is an over-current; energy that the meter's register of exports does not count ends the session.

use voltry_units::{Amps, Timestamp, Volts};

use super::outputs::Setpoint;
use super::{Discharge, EnergyPath};

impl EnergyPath {
    /// What is taken from a vehicle at this moment.
    #[must_use]
    pub fn discharge(&self, now: Timestamp) -> Discharge {
        let supply = self.observed.discharge;
        let usable = self.installation.discharge && !self.is_supply_unable();
        let current_max = supply.current_max.min(self.carried(now));
        if !usable || current_max <= Amps::ZERO {
            return Discharge::default();
        }
        Discharge { current_max, ..supply }
    }

    pub(super) fn offer_discharge(&mut self, now: Timestamp) {
        if self.installation.discharge {
            self.outputs.send_discharge(self.discharge(now));
        }
    }

    /// The set-point for a vehicle that wants to give this current. The voltage is what its battery may fall to.
    pub(super) fn taken(&self, now: Timestamp, offered: Amps, held: Setpoint) -> Setpoint {
        let nothing = Setpoint { current: Amps::ZERO, ..held };
        let Some(session) = self.session.as_ref() else { return nothing };
        let (ours, vehicle) = (self.discharge(now), session.discharge);
        let least = ours.voltage_min.max(vehicle.voltage_min);
        let Some(battery) = self.observed.cable(now, &self.installation.profile) else { return nothing };
        // Its maximum is what the supply is told never to exceed forwards, and bounds what it may fall to.
        if ours == Discharge::default() || battery <= least || least >= session.voltage_max() {
            return nothing;
        }
        let by_power = ours.power_max.min(vehicle.power_max).at(battery).unwrap_or(Amps::ZERO);
        let current = offered.min(ours.current_max).min(vehicle.current_max).min(by_power);
        Setpoint { voltage: least.max(Volts::ZERO), current: -current.max(Amps::ZERO) }
    }

    /// Whether a current still flows the other way: none is asked for before that has ended.
    pub(super) fn flows_against(&self, now: Timestamp, wanted: Amps) -> bool {
        let profile = &self.installation.profile;
        let flows = self.observed.supply(now, profile).map_or(Amps::ZERO, |supply| supply.current);
        wanted.as_milli().signum() * flows.as_milli().signum() < 0 && flows.abs() >= profile.open_current_max
    }
}
