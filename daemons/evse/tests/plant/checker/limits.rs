//! What a set-point may ask for.

use voltry_bus::EvseState;
use voltry_evse::energy_path::{Capability, EnergyPath};
use voltry_units::{Amps, Volts};

use super::{Checker, LOADS};

impl Checker {
    /// Vehicle, cable, modules and share, as they were told.
    pub(super) fn within_limits(&self, voltage: Volts, current: Amps, state: EvseState, path: &EnergyPath) {
        if path.waits_for() == "a check of the self-test" {
            assert!(
                voltage <= Volts::new(500) && current <= Amps::new(2),
                "{voltage}, {current} in a self-test"
            );
            return;
        }
        if path.waits_for() == LOADS {
            let (volts, amps) = self.load.expect("no load was named");
            let most = volts * amps;
            assert!(voltage.as_si() <= volts && current.as_si() <= amps, "{voltage}, {current} into a load");
            assert!(
                self.told.permit.is_some_and(|permit| permit.power.as_si() >= most),
                "{most} W unpermitted"
            );
            return;
        }
        let session = path.session().expect("nothing is delivered to nobody");
        let named = session.limits.voltage_max.unwrap_or(Volts::ZERO).as_si();
        let limit = if state == EvseState::CableCheck { named * 1.1 + 50.0 } else { named };
        assert!(voltage.as_si() <= limit + 0.01, "{voltage} for a vehicle of {limit} V");
        let able = self.told.capability;
        assert!(
            voltage <= Volts::new(1000) && (voltage <= able.voltage_max || able == Capability::default())
        );
        let vehicle = session.limits.current_max.unwrap_or(Amps::MAX);
        // What a normal stop ramps down from may be more than the modules can now give.
        let ramps = state == EvseState::Stopping;
        assert!(current <= vehicle, "{current} above the vehicle's maximum");
        assert!(ramps || current <= able.current_max.max(Amps::new(2)), "{current} above the modules'");
        assert!(current <= Amps::new(200), "{current} above the cable's");
        if current < Amps::ZERO {
            let discharge = self.told.discharge;
            let named = session.discharge;
            assert!(state == EvseState::Charging, "{current} in {state}");
            assert!(-current <= discharge.current_max.min(named.current_max), "{current} of {named:?}");
            assert!(voltage >= discharge.voltage_min.max(named.voltage_min), "down to {voltage}");
            let power = -current.as_si() * self.told.cable.map_or(f64::MAX, |cable| cable.value.as_si());
            let most = discharge.power_max.min(named.power_max).as_si();
            assert!(power <= most * 1.02 + 100.0, "{power} W of {most}");
        }
        let trickle = !matches!(state, EvseState::Charging | EvseState::Stopping);
        assert!(!trickle || current <= Amps::new(2), "{current} in {state}");
        if state == EvseState::Charging
            && let (Some(permit), Some(cable)) = (self.told.permit, self.told.cable)
        {
            let power = current.as_si() * cable.value.as_si();
            assert!(power <= permit.power.as_si() * 1.02 + 100.0, "{power} W of {}", permit.power);
        }
    }
}
