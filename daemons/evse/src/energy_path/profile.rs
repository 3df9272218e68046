//! The figures that the energy path holds to, by edition of the standard.

use std::time::Duration;

use serde::Deserialize;
use voltry_units::{Amps, AmpsPerSecond, Celsius, Ohms, Volts};

/// A figure as configuration writes it: SI units, times in seconds.
trait Figure: Copy + PartialOrd {
    fn read(value: f64) -> Option<Self>;
}

macro_rules! quantity_figure {
    ($($type:ty),*) => {$(
        impl Figure for $type {
            fn read(value: f64) -> Option<Self> {
                Self::from_si(value).ok()
            }
        }
    )*};
}
quantity_figure!(Volts, Amps, AmpsPerSecond, Ohms, Celsius);

impl Figure for Duration {
    fn read(value: f64) -> Option<Self> {
        Self::try_from_secs_f64(value).ok()
    }
}

impl Figure for u32 {
    fn read(value: f64) -> Option<Self> {
        // In range and whole by the check, so nothing is lost.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (value.fract() == 0.0 && (0.0..=1000.0).contains(&value)).then_some(value as Self)
    }
}

/// An override that would make a figure less safe than its profile, or that is no figure.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{figure} = {value}: must be {wanted} than the profile's {allowed}")]
pub struct NotSafer {
    /// The figure's name.
    pub figure: &'static str,
    /// What configuration asked for.
    pub value: f64,
    /// The direction that is safer.
    pub wanted: &'static str,
    /// The profile's figure.
    pub allowed: String,
}

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident: $type:ty, safer $direction:ident;)*) => {
        /// The figures of one edition of the standard. Nothing here has a silent default:
        /// configuration names the profile.
        #[derive(Debug, Clone, PartialEq)]
        pub struct Profile {
            $($(#[$doc])* pub $name: $type,)*
        }

        /// Figures that configuration makes safer than the profile. SI units, times in seconds.
        #[derive(Debug, Clone, Default, PartialEq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Overrides {
            $($(#[$doc])* pub $name: Option<f64>,)*
        }

        impl Profile {
            /// This profile with figures overridden.
            ///
            /// # Errors
            /// Every override that is less safe than the profile, or is no such quantity.
            pub fn overridden(mut self, overrides: &Overrides) -> Result<Self, Vec<NotSafer>> {
                let mut wrong = Vec::new();
                $(if let Some(value) = overrides.$name {
                    match <$type as Figure>::read(value) {
                        Some(figure) if figures!(@safer $direction, figure, self.$name) => {
                            self.$name = figure;
                        }
                        _ => wrong.push(NotSafer {
                            figure: stringify!($name),
                            value,
                            wanted: concat!("no ", figures!(@worse $direction)),
                            allowed: format!("{:?}", self.$name),
                        }),
                    }
                })*
                if wrong.is_empty() { Ok(self) } else { Err(wrong) }
            }
        }
    };
    (@safer low, $new:expr, $old:expr) => { $new <= $old };
    (@safer high, $new:expr, $old:expr) => { $new >= $old };
    (@worse low) => { "higher" };
    (@worse high) => { "lower" };
}

figures! {
    /// Below this a conductor may be touched.
    safe_voltage: Volts, safer low;
    /// Volts and amperes older than this are missing.
    reading_stale: Duration, safer low;
    /// An insulation value older than this is missing.
    insulation_stale: Duration, safer low;
    /// A meter reading older than this is missing.
    meter_stale: Duration, safer low;
    /// A vehicle's target older than this means 0 A.
    target_pause: Duration, safer low;
    /// A vehicle's target older than this means that the vehicle is lost.
    target_lost: Duration, safer low;
    /// The control step may come this late; later, the leases it held have lapsed.
    step_late: Duration, safer low;

    /// Insulation below this is a fault.
    insulation_min: Ohms, safer high;
    /// Insulation below this much for each volt of the vehicle's maximum is a fault.
    insulation_min_per_volt: Ohms, safer high;
    /// Insulation below this much for each volt is a warning to the vehicle; 0: no such level.
    insulation_warn_per_volt: Ohms, safer high;
    /// How many insulation values, each finished after the self-test, CableCheck wants.
    insulation_samples: u32, safer high;

    /// Contactors close only into a smaller difference of their two sides.
    contactor_difference: Volts, safer low;
    /// The contactors' feedback follows a command within this time.
    contactor_time: Duration, safer low;
    /// In a normal stop the contactors open below this current.
    open_current: Amps, safer low;
    /// The contactors open at the latest below this current, except when time runs out.
    open_current_max: Amps, safer low;

    /// Current limit of CableCheck's test voltage.
    cable_check_current: Amps, safer low;
    /// CableCheck finds both sides below the safe voltage within this time.
    cable_check_discharged: Duration, safer low;
    /// The test voltage stands within this time.
    cable_check_raise: Duration, safer low;
    /// In current limit for this long without voltage is a short circuit; while the test voltage is
    /// being raised, without its rising by as much of it as this is of the time for raising.
    short_circuit_time: Duration, safer low;
    /// After the test the voltage is safe again within this time.
    cable_check_off: Duration, safer low;
    /// A CableCheck that takes longer is worth a warning.
    cable_check_slow: Duration, safer low;
    /// CableCheck answers "ongoing" this long at most; vehicles give up after 40 s.
    cable_check_end: Duration, safer low;

    /// Current limit of PreCharge.
    pre_charge_current: Amps, safer low;
    /// PreCharge reports from a cable-side voltage no older than this.
    pre_charge_reading: Duration, safer low;
    /// PreCharge may end with a smaller difference to the vehicle's target.
    pre_charge_difference: Volts, safer low;
    /// PreCharge takes this long at most.
    pre_charge_end: Duration, safer low;

    /// How fast the current rises in charging.
    ramp_up: AmpsPerSecond, safer low;
    /// How fast the current falls in a normal stop.
    ramp_down: AmpsPerSecond, safer high;
    /// A current this much above a tenth over the set one is over-current.
    over_current_margin: Amps, safer low;
    /// Over-current for this long is a fault.
    over_current_time: Duration, safer low;
    /// Above the vehicle's maximum voltage for this long is a fault.
    over_voltage_time: Duration, safer low;
    /// With closed contactors the two voltages differ by less.
    voltage_spread: Volts, safer low;
    /// Differing voltages for this long are a fault.
    voltage_spread_time: Duration, safer low;

    /// From this connector temperature on the current is lowered.
    connector_warm: Celsius, safer low;
    /// At this connector temperature the current is zero and the session ends.
    connector_hot: Celsius, safer low;

    /// The vehicle confirms a stop within this time.
    stop_answer: Duration, safer low;
    /// The current falls below the opening current within this time of output-off.
    current_fall: Duration, safer low;
    /// In an error shutdown the contactors open after this time under any current.
    open_forced: Duration, safer low;
    /// In an error shutdown the pilot says so within this time.
    pilot_shutdown: Duration, safer low;
    /// The vehicle's welding detection takes this long at most.
    welding_detection: Duration, safer low;
    /// After the contactors opened both sides are below the safe voltage within this time.
    discharge: Duration, safer low;
    /// How long authorization and a permit may take once the vehicle named its limits.
    parameters_end: Duration, safer low;
    /// How long the vehicle may take from one phase to the next while contactors are closed.
    phase_gap: Duration, safer low;
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What the editions share. A figure that no edition names is ours, and configuration.
const COMMON: Profile = Profile {
    safe_voltage: Volts::new(60),
    reading_stale: ms(300),
    insulation_stale: ms(5_000),
    meter_stale: ms(3_000),
    target_pause: ms(1_000),
    target_lost: ms(3_000),
    step_late: ms(500),
    insulation_min: Ohms::new(100_000),
    insulation_min_per_volt: Ohms::ZERO,
    insulation_warn_per_volt: Ohms::ZERO,
    insulation_samples: 3,
    contactor_difference: Volts::new(20),
    contactor_time: ms(1_000),
    open_current: Amps::new(1),
    open_current_max: Amps::new(5),
    cable_check_current: Amps::new(2),
    cable_check_discharged: ms(2_000),
    cable_check_raise: ms(3_000),
    short_circuit_time: ms(500),
    cable_check_off: ms(2_000),
    cable_check_slow: ms(20_000),
    cable_check_end: ms(38_000),
    pre_charge_current: Amps::new(2),
    pre_charge_reading: ms(100),
    pre_charge_difference: Volts::new(20),
    pre_charge_end: ms(10_000),
    ramp_up: AmpsPerSecond::new(100),
    ramp_down: AmpsPerSecond::new(100),
    over_current_margin: Amps::new(5),
    over_current_time: ms(300),
    over_voltage_time: ms(400),
    voltage_spread: Volts::new(50),
    voltage_spread_time: ms(5_000),
    connector_warm: Celsius::new(70),
    connector_hot: Celsius::new(90),
    stop_answer: ms(10_000),
    current_fall: ms(1_000),
    open_forced: ms(1_000),
    pilot_shutdown: ms(2_500),
    welding_detection: ms(30_000),
    discharge: ms(5_000),
    parameters_end: ms(55_000),
    phase_gap: ms(60_000),
};

impl Profile {
    /// The profile of a name: `iec61851-23-2014`, `iec61851-23-2023` or `mcs`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            // 2014: insulation in ohms a volt, with a warning level; no fixed minimum.
            "iec61851-23-2014" => Some(Self {
                insulation_min: Ohms::ZERO,
                insulation_min_per_volt: Ohms::new(100),
                insulation_warn_per_volt: Ohms::new(500),
                ..COMMON
            }),
            "iec61851-23-2023" => Some(COMMON),
            "mcs" => Some(Self { insulation_min: Ohms::new(125_000), ..COMMON }),
            _ => None,
        }
    }

    /// Whether the profile of this name obliges to hardware that acts on over-voltage by the
    /// vehicle's class. The 2014 edition leaves the means open.
    #[must_use]
    pub fn obliges_to_over_voltage_monitor(name: &str) -> bool {
        name != "iec61851-23-2014"
    }

    /// The insulation below which a session on up to `voltage` must end.
    #[must_use]
    pub fn insulation_fault(&self, voltage: Volts) -> Ohms {
        self.insulation_min.max(self.insulation_min_per_volt.scaled(voltage.as_milli(), 1000))
    }

    /// The insulation below which the vehicle is warned; zero where the edition has no such level.
    #[must_use]
    pub fn insulation_warning(&self, voltage: Volts) -> Ohms {
        self.insulation_warn_per_volt.scaled(voltage.as_milli(), 1000)
    }
}

/// The voltage that hardware must not let pass, by the class of the vehicle's maximum
/// (IEC 61851-23: 500, 750, 850, 1000, 1250 V, each and a tenth).
#[must_use]
pub fn class_over_voltage(vehicle_max: Volts) -> Volts {
    const CLASSES: [(Volts, Volts); 4] = [
        (Volts::new(500), Volts::new(550)),
        (Volts::new(750), Volts::new(825)),
        (Volts::new(850), Volts::new(935)),
        (Volts::new(1000), Volts::new(1100)),
    ];
    CLASSES.iter().find(|(nominal, _)| vehicle_max <= *nominal).map_or(Volts::new(1375), |(_, limit)| *limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_can_be_made_safer_and_never_less_safe() {
        let profile = Profile::named("iec61851-23-2023").unwrap();
        let safer = Overrides {
            safe_voltage: Some(50.0),
            insulation_min: Some(200_000.0),
            reading_stale: Some(0.2),
            ..Overrides::default()
        };
        let made = profile.clone().overridden(&safer).unwrap();
        assert_eq!(made.safe_voltage, Volts::new(50));
        assert_eq!(made.insulation_min, Ohms::new(200_000));
        assert_eq!(made.reading_stale, ms(200));

        let worse = Overrides {
            safe_voltage: Some(61.0),
            insulation_min: Some(99_999.0),
            insulation_samples: Some(2.0),
            ramp_up: Some(f64::NAN),
            ..Overrides::default()
        };
        let wrong = profile.overridden(&worse).unwrap_err();
        let names: Vec<_> = wrong.iter().map(|wrong| wrong.figure).collect();
        assert_eq!(names, ["safe_voltage", "insulation_min", "insulation_samples", "ramp_up"]);
    }

    #[test]
    fn each_edition_has_its_insulation_limits() {
        let at = |name, volts| Profile::named(name).unwrap().insulation_fault(Volts::new(volts));
        assert_eq!(at("iec61851-23-2014", 400), Ohms::new(40_000));
        assert_eq!(at("iec61851-23-2014", 1000), Ohms::new(100_000));
        assert_eq!(at("iec61851-23-2023", 400), Ohms::new(100_000));
        assert_eq!(at("mcs", 1000), Ohms::new(125_000));
        let warning = Profile::named("iec61851-23-2014").unwrap().insulation_warning(Volts::new(400));
        assert_eq!(warning, Ohms::new(200_000));
        assert_eq!(Profile::named("iec61851"), None);
    }

    #[test]
    fn the_class_of_a_vehicle_gives_its_over_voltage() {
        for (vehicle, limit) in [(420, 550), (500, 550), (501, 825), (850, 935), (1000, 1100), (1250, 1375)] {
            assert_eq!(class_over_voltage(Volts::new(vehicle)), Volts::new(limit), "{vehicle} V");
        }
    }
}
