//! The quantities, each an integer of thousandths.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::time::Duration;

/// A number that is not a physical value of its quantity: NaN, infinite, or beyond its range.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{value} {unit} is not between {min} and {max} {unit}")]
pub struct OutOfRange {
    /// The refused number, in the SI unit.
    pub value: f64,
    /// Smallest value allowed, in the SI unit.
    pub min: f64,
    /// Largest value allowed, in the SI unit.
    pub max: f64,
    /// The unit's symbol.
    pub unit: &'static str,
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $symbol:literal, $min:literal ..= $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(i64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// The smallest value that [`Self::from_si`] takes.
            pub const MIN: Self = Self($min as i64 * 1000);
            /// The largest value that [`Self::from_si`] takes.
            pub const MAX: Self = Self($max as i64 * 1000);

            /// A whole number of the unit; for constants.
            #[must_use]
            pub const fn new(whole: i32) -> Self {
                Self(whole as i64 * 1000)
            }

            /// From thousandths of the unit.
            #[must_use]
            pub const fn from_milli(milli: i64) -> Self {
                Self(milli)
            }

            /// In thousandths of the unit.
            #[must_use]
            pub const fn as_milli(self) -> i64 {
                self.0
            }

            /// From a number in the SI unit, rounded to a thousandth.
            ///
            /// # Errors
            /// NaN, infinities, and numbers outside [`Self::MIN`]`..=`[`Self::MAX`].
            pub fn from_si(value: f64) -> Result<Self, OutOfRange> {
                let (min, max) = (Self::MIN.as_si(), Self::MAX.as_si());
                if (min..=max).contains(&value) {
                    // In range by the check above; NaN is in no range.
                    #[allow(clippy::cast_possible_truncation)]
                    return Ok(Self((value * 1000.0).round() as i64));
                }
                Err(OutOfRange { value, min, max, unit: $symbol })
            }

            /// In the SI unit.
            #[must_use]
            pub fn as_si(self) -> f64 {
                self.0 as f64 / 1000.0
            }

            /// The absolute value.
            #[must_use]
            pub const fn abs(self) -> Self {
                Self(self.0.abs())
            }

            /// How far two values are apart; never negative.
            #[must_use]
            pub const fn abs_diff(self, other: Self) -> Self {
                Self((self.0 - other.0).abs())
            }

            /// `numerator / denominator` of this value, rounded towards zero.
            ///
            /// # Panics
            /// If `denominator` is zero.
            #[must_use]
            pub fn scaled(self, numerator: i64, denominator: i64) -> Self {
                // Dividing in 64 bits is several times faster, and nearly always enough.
                match self.0.checked_mul(numerator).and_then(|product| product.checked_div(denominator)) {
                    Some(scaled) => Self(scaled),
                    None => Self(clamped(i128::from(self.0) * i128::from(numerator) / i128::from(denominator))),
                }
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }
        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }
        impl SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }
        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(self.0.saturating_neg())
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(values: I) -> Self {
                values.fold(Self::ZERO, Add::add)
            }
        }
        impl fmt::Display for $name {
            /// As a person reads it, `400 V`; precision as asked (`{:.1}`), else what is needed.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match f.precision() {
                    Some(digits) => write!(f, "{:.*} {}", digits, self.as_si(), $symbol),
                    None => write!(f, "{} {}", self.as_si(), $symbol),
                }
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl TryFrom<f64> for $name {
            type Error = OutOfRange;
            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::from_si(value)
            }
        }
        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.as_si()
            }
        }
    };
}

quantity!(
    /// Electric potential difference, in volts.
    Volts, "V", -2_000..=2_000
);
quantity!(
    /// Electric current, in amperes. Positive flows to the vehicle.
    Amps, "A", -5_000..=5_000
);
quantity!(
    /// How fast a current changes, in amperes a second.
    AmpsPerSecond, "A/s", 0..=100_000
);
quantity!(
    /// Power, in watts. Positive flows to the vehicle.
    Watts, "W", -10_000_000..=10_000_000
);
quantity!(
    /// Energy, in watt-hours: a register of 64 bits may be years beyond what one of 32 could hold.
    WattHours, "Wh", -1_000_000_000_000..=1_000_000_000_000
);
quantity!(
    /// Resistance, in ohms.
    Ohms, "Ω", 0..=1_000_000_000
);
quantity!(
    /// Temperature, in degrees Celsius.
    Celsius, "°C", -100..=500
);
quantity!(
    /// A share of a hundred; state of charge.
    Percent, "%", 0..=100
);

impl std::ops::Mul<Amps> for Volts {
    type Output = Watts;
    fn mul(self, current: Amps) -> Watts {
        match self.0.checked_mul(current.0) {
            Some(product) => Watts(product / 1000),
            None => Watts(clamped(i128::from(self.0) * i128::from(current.0) / 1000)),
        }
    }
}

impl Watts {
    /// The current that carries this power at `voltage`; `None` at zero volts.
    #[must_use]
    pub fn at(self, voltage: Volts) -> Option<Amps> {
        (voltage.0 != 0).then(|| {
            match self.0.checked_mul(1000).and_then(|milli| milli.checked_div(voltage.0)) {
                Some(current) => Amps(current),
                None => Amps(clamped(i128::from(self.0) * 1000 / i128::from(voltage.0))),
            }
        })
    }

    /// The energy of this power over `time`.
    #[must_use]
    pub fn over(self, time: Duration) -> WattHours {
        WattHours(over_micros(self.0, time, 3_600_000_000))
    }
}

impl AmpsPerSecond {
    /// By how much the current may change in `time`.
    #[must_use]
    pub fn over(self, time: Duration) -> Amps {
        Amps(over_micros(self.0, time, 1_000_000))
    }
}

/// `rate * time / unit`, with the unit of time in microseconds.
fn over_micros(rate: i64, time: Duration, unit: i64) -> i64 {
    let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    // Dividing in 64 bits is several times faster, and nearly always enough.
    match rate.checked_mul(micros) {
        Some(product) => product / unit,
        None => clamped(i128::from(rate) * i128::from(micros) / i128::from(unit)),
    }
}

fn clamped(wide: i128) -> i64 {
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_not_a_number_is_refused() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 2000.1, -2000.1, f64::MAX] {
            assert!(Volts::from_si(bad).is_err(), "{bad} was taken for a voltage");
        }
        assert!(Ohms::from_si(-1.0).is_err());
    }

    #[test]
    fn products_and_quotients_keep_their_units() {
        assert_eq!(Volts::new(400) * Amps::new(125), Watts::new(50_000));
        assert_eq!(Watts::new(50_000).at(Volts::new(400)), Some(Amps::new(125)));
        assert_eq!(Watts::new(50_000).at(Volts::ZERO), None);
        assert_eq!(Watts::new(3_600).over(Duration::from_secs(1)), WattHours::new(1));
        assert_eq!(AmpsPerSecond::new(100).over(Duration::from_millis(100)), Amps::new(10));
        // Beyond what 64 bits multiply.
        assert_eq!(
            AmpsPerSecond::new(100_000).over(Duration::from_secs(200_000)).as_milli(),
            20_000_000_000_000
        );
    }

    #[test]
    fn values_read_as_a_person_writes_them() {
        assert_eq!(Volts::from_milli(400_500).to_string(), "400.5 V");
        assert_eq!(format!("{:.1}", Amps::from_milli(12_345)), "12.3 A");
    }

    proptest! {
        #[test]
        fn si_round_trips_to_a_thousandth(milli in -2_000_000_i64..=2_000_000) {
            let volts = Volts::from_milli(milli);
            prop_assert_eq!(Volts::from_si(volts.as_si()), Ok(volts));
        }

        #[test]
        fn arithmetic_never_panics(a in any::<i64>(), b in any::<i64>()) {
            let _ = Volts::from_milli(a) * Amps::from_milli(b);
            let _ = Watts::from_milli(a).at(Volts::from_milli(b));
            let _ = (Volts::from_milli(a) + Volts::from_milli(b)) - Volts::from_milli(a);
            let _ = -Volts::from_milli(a);
        }
    }
}
