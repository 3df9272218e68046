//! Charging rates: amperes or watts, never mixed up.

use serde::{Deserialize, Serialize};

/// The unit of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateUnit {
    /// Amperes; per phase where they are counted on the AC side.
    Amperes,
    /// Watts.
    Watts,
}

impl RateUnit {
    /// As both versions write it.
    #[must_use]
    pub const fn letter(self) -> &'static str {
        match self {
            Self::Amperes => "A",
            Self::Watts => "W",
        }
    }
}

/// A charging rate, as exact as it was given: thousandths of an ampere or of a watt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    milli: i64,
    /// What it is counted in.
    pub unit: RateUnit,
    /// On how many phases, if that was said.
    pub phases: Option<i32>,
}

/// A number that is no charging rate: NaN, infinite, negative or absurdly large.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is no charging rate: it must be between 0 and 1000000000")]
pub struct NoRate(pub f64);

impl Rate {
    /// Nothing at all.
    pub const ZERO: Self = Self { milli: 0, unit: RateUnit::Watts, phases: None };

    /// From a message's number, rounded to a thousandth.
    ///
    /// # Errors
    /// NaN, and what is not between 0 and 1,000,000,000. Negative limits ask for discharging, which
    /// neither 1.6 nor 2.0.1 has.
    pub fn new(value: f64, unit: RateUnit) -> Result<Self, NoRate> {
        if (0.0..=1e9).contains(&value) {
            // In range by the check above; NaN is in no range.
            #[allow(clippy::cast_possible_truncation)]
            return Ok(Self { milli: (value * 1000.0).round() as i64, unit, phases: None });
        }
        Err(NoRate(value))
    }

    /// From thousandths of the unit; a negative number is taken for zero.
    #[must_use]
    pub const fn from_milli(milli: i64, unit: RateUnit) -> Self {
        Self { milli: if milli < 0 { 0 } else { milli }, unit, phases: None }
    }

    /// The same, on so many phases.
    #[must_use]
    pub const fn on_phases(self, phases: Option<i32>) -> Self {
        Self { phases, ..self }
    }

    /// In thousandths of its unit.
    #[must_use]
    pub const fn as_milli(self) -> i64 {
        self.milli
    }

    /// For a message: with one decimal, which is all that OCPP allows, rounded down so that nothing
    /// reported is above what was installed.
    #[must_use]
    pub fn reported(self) -> f64 {
        (self.milli / 100) as f64 / 10.0
    }
}
