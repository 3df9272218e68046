//! Between amperes and watts.

use serde::{Deserialize, Serialize};

use super::rate::{Rate, RateUnit};

/// What the amperes of a charging profile are, at a station that charges with direct current.
/// OCPP leaves it open; the installer knows which the CSMS means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amperes {
    /// What the station takes from the grid on each phase.
    Grid {
        /// Millivolts between a phase and neutral.
        phase_to_neutral_mv: i64,
    },
    /// What the vehicle is given.
    Output {
        /// Millivolts to count with, since the vehicle's own voltage is not known beforehand.
        nominal_mv: i64,
    },
}

impl Default for Supply {
    /// Three phases of 230 V, as the grid brings them.
    fn default() -> Self {
        Self { amperes: Amperes::Grid { phase_to_neutral_mv: 230_000 }, phases: 3 }
    }
}

/// How amperes and watts become each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Supply {
    /// What amperes are.
    pub amperes: Amperes,
    /// How many phases a limit is for that names none: 3 by the specification (K01.FR.49).
    pub phases: i32,
}

impl Supply {
    /// Millivolts that an ampere of `phases` phases is worth.
    fn millivolts(&self, phases: Option<i32>) -> i128 {
        match self.amperes {
            Amperes::Grid { phase_to_neutral_mv } => {
                i128::from(phase_to_neutral_mv.max(1)) * i128::from(phases.unwrap_or(self.phases).clamp(1, 3))
            }
            Amperes::Output { nominal_mv } => i128::from(nominal_mv.max(1)),
        }
    }

    /// The power of a rate in milliwatts, rounded down.
    #[must_use]
    pub fn milliwatts(&self, rate: Rate) -> i64 {
        match rate.unit {
            RateUnit::Watts => rate.as_milli(),
            RateUnit::Amperes => clamped(i128::from(rate.as_milli()) * self.millivolts(rate.phases) / 1000),
        }
    }

    /// The same rate in `unit`, rounded down; untouched if it is in that unit already.
    #[must_use]
    pub fn in_unit(&self, rate: Rate, unit: RateUnit) -> Rate {
        match (rate.unit, unit) {
            (RateUnit::Watts, RateUnit::Watts) | (RateUnit::Amperes, RateUnit::Amperes) => rate,
            (RateUnit::Amperes, RateUnit::Watts) => {
                Rate::from_milli(self.milliwatts(rate), RateUnit::Watts).on_phases(rate.phases)
            }
            (RateUnit::Watts, RateUnit::Amperes) => {
                let milliamperes = i128::from(rate.as_milli()) * 1000 / self.millivolts(rate.phases);
                let phases = match self.amperes {
                    Amperes::Grid { .. } => rate.phases.or(Some(self.phases)),
                    Amperes::Output { .. } => None,
                };
                Rate::from_milli(clamped(milliamperes), RateUnit::Amperes).on_phases(phases)
            }
        }
    }

    /// The lower of two rates; of equal ones the first.
    #[must_use]
    pub fn lower(&self, first: Rate, second: Rate) -> Rate {
        if self.milliwatts(second) < self.milliwatts(first) { second } else { first }
    }

    /// The sum of rates, in `unit`: exact where they are of one unit and on the same phases.
    #[must_use]
    pub fn sum(&self, rates: &[Rate], unit: RateUnit) -> Rate {
        let alike =
            |rate: &Rate| rate.unit == unit && (unit == RateUnit::Watts || rate.phases == rates[0].phases);
        if rates.iter().all(alike) {
            let total = rates.iter().fold(0_i64, |total, rate| total.saturating_add(rate.as_milli()));
            let phases = rates.first().and_then(|rate| rate.phases);
            return Rate::from_milli(total, unit).on_phases(if unit == RateUnit::Amperes {
                phases
            } else {
                None
            });
        }
        let total = rates.iter().fold(0_i64, |total, &rate| total.saturating_add(self.milliwatts(rate)));
        self.in_unit(Rate::from_milli(total, RateUnit::Watts), unit)
    }
}

fn clamped(wide: i128) -> i64 {
    i64::try_from(wide).unwrap_or(i64::MAX)
}
