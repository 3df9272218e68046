//! PhysicalValue of ISO 15118-2: a 16-bit number, a power of ten from -3 to 3, and a unit.

use iso15118::iso2::{PhysicalValue, UnitSymbol};
use voltry_units::{Amps, Volts, WattHours, Watts};

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

/// A measurement, to the nearest tenth where it fits.
pub(super) fn measured(milli: i64, unit: UnitSymbol) -> PhysicalValue {
    scale(milli, unit, |milli, step| (milli + (step / 2) * milli.signum()) / step)
}

/// A limit: rounded down, for we never offer more than there is.
pub(super) fn limit(milli: i64, unit: UnitSymbol) -> PhysicalValue {
    scale(milli, unit, i64::div_euclid)
}

fn scale(milli: i64, unit: UnitSymbol, divide: impl Fn(i64, i64) -> i64) -> PhysicalValue {
    for (multiplier, step) in [(-1, 100), (0, 1_000), (1, 10_000), (2, 100_000), (3, 1_000_000)] {
        if let Ok(value) = i16::try_from(divide(milli, step)) {
            return PhysicalValue { multiplier, unit, value };
        }
    }
    let value = if milli < 0 { i16::MIN } else { i16::MAX };
    PhysicalValue { multiplier: 3, unit, value }
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
