//! PhysicalValue of ISO 15118-2: a 16-bit number, a power of ten from -3 to 3, and a unit; and
//! RationalNumber of ISO 15118-20, where the element says the unit and the power is any. What
//! DIN 70121 has between the two is read and written as the latter.

use iso15118::iso2::{PhysicalValue, UnitSymbol};
pub(super) use iso15118::iso20::common::RationalNumber as Rational;
use voltry_units::{Amps, Percent, Volts, WattHours, Watts};

use super::tolerance::Tolerance;

/// Thousandths of the unit, if the value is in this unit.
fn milli(value: &PhysicalValue, unit: UnitSymbol) -> Option<i64> {
    let power = u32::try_from(i32::from(value.multiplier) + 3).ok()?;
    (value.unit == unit).then(|| i64::from(value.value) * 10_i64.pow(power))
}

macro_rules! read {
    ($($(#[$doc:meta])* $name:ident: $quantity:ident, $unit:ident;)+) => {
        $($(#[$doc])* pub(super) fn $name(value: &PhysicalValue) -> Option<$quantity> {
            let value = $quantity::from_milli(milli(value, UnitSymbol::$unit)?);
            ($quantity::ZERO..=$quantity::MAX).contains(&value).then_some(value)
        })+
    };
}

read! {
    /// Volts, unless it is another unit, negative, or beyond all sense.
    volts: Volts, V;
    /// Amperes, likewise.
    amps: Amps, A;
    /// Watts, likewise.
    watts: Watts, W;
    /// Watt-hours, likewise.
    watt_hours: WattHours, Wh;
}

/// The power that a vehicle means to take, of which `number` is the digits: a negative one is none, and
/// one beyond all sense more than any schedule allows.
pub(super) fn meant(power: Option<Watts>, number: i16) -> Watts {
    power.unwrap_or(if number < 0 { Watts::ZERO } else { Watts::MAX })
}

/// A register in whole watt-hours, of which none is counted before it is full.
pub(super) fn whole_watt_hours(register: WattHours) -> u64 {
    u64::try_from(register.as_milli() / 1000).unwrap_or(0)
}

/// What a vehicle may tell, as far as it makes sense.
pub(super) fn told<V, Q>(
    value: Option<V>,
    read: impl Fn(V) -> Option<Q>,
    element: &'static str,
) -> Option<Q> {
    let value = value?;
    let sense = read(value);
    if sense.is_none() {
        Tolerance::SenselessLimit.note(element);
    }
    sense
}

/// A state of charge; one above 100 is 100.
pub(super) fn percent(value: u8) -> Percent {
    if value > 100 {
        Tolerance::BeyondSchema.note("a state of charge");
    }
    Percent::new(i32::from(value.min(100)))
}

/// A measurement, to the nearest tenth where it fits.
pub(super) fn measured(milli: i64, unit: UnitSymbol) -> PhysicalValue {
    let (multiplier, value) = scale(milli, nearest);
    PhysicalValue { multiplier, unit, value }
}

/// A limit: rounded down, for we never offer more than there is.
pub(super) fn limit(milli: i64, unit: UnitSymbol) -> PhysicalValue {
    let (multiplier, value) = scale(milli, i64::div_euclid);
    PhysicalValue { multiplier, unit, value }
}

/// A quantity that a RationalNumber can stand for.
pub(super) trait Quantity: Copy + PartialOrd {
    /// The range of sense: zero and the largest.
    const RANGE: (Self, Self);
    fn from_milli(milli: i64) -> Self;
    fn as_milli(self) -> i64;
}

macro_rules! quantities {
    ($($quantity:ident)+) => {
        $(impl Quantity for $quantity {
            const RANGE: (Self, Self) = (Self::ZERO, Self::MAX);
            fn from_milli(milli: i64) -> Self {
                Self::from_milli(milli)
            }
            fn as_milli(self) -> i64 {
                self.as_milli()
            }
        })+
    };
}

quantities!(Volts Amps Watts WattHours);

/// The quantity, unless it is negative or beyond all sense.
pub(super) fn rational<Q: Quantity>(value: &Rational) -> Option<Q> {
    let power = i32::from(value.exponent) + 3;
    let number = i64::from(value.value);
    let milli = match u32::try_from(power) {
        // Beyond a billion units nothing makes sense, and 10^12 still fits.
        Ok(power @ 0..=12) => number * 10_i64.pow(power),
        Ok(_) => (number == 0).then_some(0)?,
        Err(_) => number / 10_i64.checked_pow(power.unsigned_abs()).unwrap_or(i64::MAX),
    };
    let (least, most) = (Q::RANGE.0.as_milli(), Q::RANGE.1.as_milli());
    (least..=most).contains(&milli).then(|| Q::from_milli(milli))
}

/// A measurement, to the nearest tenth where it fits.
pub(super) fn rational_measured(quantity: impl Quantity) -> Rational {
    let (exponent, value) = scale(quantity.as_milli(), nearest);
    Rational { exponent, value }
}

/// A limit: rounded down, for we never offer more than there is.
pub(super) fn rational_limit(quantity: impl Quantity) -> Rational {
    let (exponent, value) = scale(quantity.as_milli(), i64::div_euclid);
    Rational { exponent, value }
}

const fn nearest(milli: i64, step: i64) -> i64 {
    (milli + (step / 2) * milli.signum()) / step
}

/// Power of ten and number, in the finest step that fits.
fn scale(milli: i64, divide: impl Fn(i64, i64) -> i64) -> (i8, i16) {
    for (multiplier, step) in [(-1, 100), (0, 1_000), (1, 10_000), (2, 100_000), (3, 1_000_000)] {
        if let Ok(value) = i16::try_from(divide(milli, step)) {
            return (multiplier, value);
        }
    }
    (3, if milli < 0 { i16::MIN } else { i16::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(multiplier: i8, unit: UnitSymbol, value: i16) -> PhysicalValue {
        PhysicalValue { multiplier, unit, value }
    }

    #[test]
    fn a_value_in_another_unit_or_below_zero_is_none() {
        assert_eq!(volts(&value(-1, UnitSymbol::V, 4030)), Some(Volts::new(403)));
        assert_eq!(volts(&value(-1, UnitSymbol::A, 4030)), None);
        assert_eq!(volts(&value(0, UnitSymbol::V, -1)), None);
        assert_eq!(watts(&value(3, UnitSymbol::W, 60)), Some(Watts::new(60_000)));
    }

    #[test]
    fn a_rational_number_of_any_power_is_read_or_is_none() {
        let read = |exponent, value| rational::<Volts>(&Rational { exponent, value });
        assert_eq!(read(-1, 4030), Some(Volts::new(403)));
        assert_eq!(read(0, 403), Some(Volts::new(403)));
        assert_eq!(read(-3, 1), Some(Volts::from_milli(1)));
        assert_eq!(read(-4, 25), Some(Volts::from_milli(2)));
        assert_eq!(read(-128, 32_767), Some(Volts::ZERO));
        assert_eq!(read(127, 0), Some(Volts::ZERO));
        for (exponent, value) in [(127, 1), (9, 32_767), (10, 1), (0, -1), (3, 32_767)] {
            assert_eq!(read(exponent, value), None, "{value}e{exponent}");
        }
    }

    #[test]
    fn a_limit_is_never_written_higher_than_it_is() {
        assert_eq!(limit(Watts::new(350_000).as_milli(), UnitSymbol::W), value(2, UnitSymbol::W, 3500));
        assert_eq!(
            limit(Amps::from_milli(199_999).as_milli(), UnitSymbol::A),
            value(-1, UnitSymbol::A, 1999)
        );
    }

    proptest! {
        #[test]
        fn a_measurement_comes_back_within_half_a_step(milli_volts in 0_i64..3_000_000) {
            let back = milli(&measured(milli_volts, UnitSymbol::V), UnitSymbol::V).unwrap();
            prop_assert!((back - milli_volts).abs() <= 50, "{milli_volts} became {back}");
        }

        #[test]
        fn a_limit_comes_back_no_higher(milli_watts in 0_i64..2_000_000_000) {
            let back = milli(&limit(milli_watts, UnitSymbol::W), UnitSymbol::W).unwrap();
            prop_assert!(back <= milli_watts, "{milli_watts} became {back}");
            prop_assert!(milli_watts - back < milli_watts / 1000 + 1_000);
        }
    }
}
