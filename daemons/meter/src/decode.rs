//! From registers to numbers, and from numbers to a reading. Pure.

use std::fmt;

use serde::Deserialize;
use voltry_units::{Amps, OutOfRange, Volts, WattHours, Watts};

use crate::model::{Model, Place, Quantity, Value};

/// The largest power of ten, up or down, that an exponent register is believed.
const MAX_EXPONENT: i32 = 9;

/// A register's number format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// 16 bits, unsigned.
    U16,
    /// 16 bits, two's complement.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits, two's complement.
    I32,
    /// 64 bits, unsigned.
    U64,
    /// 64 bits, two's complement.
    I64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
}

impl Type {
    /// Registers it takes.
    #[must_use]
    pub const fn words(self) -> usize {
        match self {
            Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
        }
    }

    /// Whether it is a floating-point format.
    #[must_use]
    pub const fn is_float(self) -> bool {
        match self {
            Self::F32 | Self::F64 => true,
            Self::U16 | Self::I16 | Self::U32 | Self::I32 | Self::U64 | Self::I64 => false,
        }
    }

    /// The number that `raw` bits are; the upper bits beyond the format's width do not count.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // Reinterpreting bits is the point.
    #[allow(clippy::cast_precision_loss)] // Beyond 2^53 counts no meter is exact to the count.
    pub fn number(self, raw: u64) -> f64 {
        match self {
            Self::U16 => f64::from(raw as u16),
            Self::I16 => f64::from(raw as u16 as i16),
            Self::U32 => f64::from(raw as u32),
            Self::I32 => f64::from(raw as u32 as i32),
            Self::U64 => raw as f64,
            Self::I64 => raw as i64 as f64,
            Self::F32 => f64::from(f32::from_bits(raw as u32)),
            Self::F64 => f64::from_bits(raw),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

/// Which word of a longer number comes first. Within a word Modbus is big-endian always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WordOrder {
    /// The most significant.
    HighFirst,
    /// The least significant.
    LowFirst,
}

impl WordOrder {
    /// The words put together, most significant at the top.
    #[must_use]
    pub fn join(self, words: &[u16]) -> u64 {
        let shift_in = |raw: u64, word: &u16| (raw << 16) | u64::from(*word);
        match self {
            Self::HighFirst => words.iter().fold(0, shift_in),
            Self::LowFirst => words.iter().rev().fold(0, shift_in),
        }
    }
}

/// Bit patterns by which a meter says that it has no such value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NotAvailable(Vec<u64>);

impl NotAvailable {
    /// These patterns, as joined by [`WordOrder::join`].
    #[must_use]
    pub fn new(patterns: Vec<u64>) -> Self {
        Self(patterns)
    }
}

/// One phase of three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// To neutral.
    pub voltage: Volts,
    /// With the sign that the meter gives it.
    pub current: Amps,
}

/// What a meter measured, but for the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values {
    /// DC, or the mean of the phases to neutral that the meter has.
    pub voltage: Volts,
    /// DC, or the sum of the phases.
    pub current: Amps,
    /// Active power, positive where the meter counts import.
    pub power: Watts,
    /// The import register.
    pub energy_import: WattHours,
    /// The export register; zero if the meter has none.
    pub energy_export: WattHours,
    /// The phases, of a meter that tells all three.
    pub phases: Option<[Phase; 3]>,
}

/// Registers that make no reading. The meter answered, but with nothing that can be believed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// A value without which there is no reading is marked not available, or is NaN.
    #[error("{0} is not available")]
    NotAvailable(Quantity),
    /// The meter's own power of ten is absurd.
    #[error("{quantity} has a power of ten of {exponent}")]
    Exponent {
        /// Whose.
        quantity: Quantity,
        /// What the register and the offset make.
        exponent: i32,
    },
    /// No physical value.
    #[error("{quantity}: {source}")]
    OutOfRange {
        /// Which.
        quantity: Quantity,
        /// Why.
        source: OutOfRange,
    },
    /// An energy register below zero.
    #[error("{quantity} is negative: {value} Wh")]
    Negative {
        /// Which.
        quantity: Quantity,
        /// Watt-hours.
        value: f64,
    },
}

/// Reads the values out of a cycle's words, one slice a block of the model, each of its length.
///
/// # Errors
/// If a value that a reading needs is missing or absurd. A phase that is not available is no
/// error as long as one is.
pub fn decode(model: &Model, blocks: &[Vec<u16>]) -> Result<Values, DecodeError> {
    let number = |quantity| match model.values.get(&quantity) {
        None => Ok(None),
        Some(value) => si(quantity, value, blocks),
    };
    let needed = |quantity| number(quantity)?.ok_or(DecodeError::NotAvailable(quantity));

    let voltages = present(Quantity::VOLTAGES, number)?;
    let currents = present(Quantity::CURRENTS, number)?;
    let voltage = voltages.iter().sum::<f64>() / f64::from(u32::try_from(voltages.len()).unwrap_or(1));
    let energy = |quantity, value: f64| {
        if value < 0.0 {
            return Err(DecodeError::Negative { quantity, value });
        }
        WattHours::from_si(value).map_err(|source| DecodeError::OutOfRange { quantity, source })
    };
    Ok(Values {
        voltage: Volts::from_si(voltage)
            .map_err(|source| DecodeError::OutOfRange { quantity: Quantity::Voltage, source })?,
        current: Amps::from_si(currents.iter().sum())
            .map_err(|source| DecodeError::OutOfRange { quantity: Quantity::Current, source })?,
        power: Watts::from_si(needed(Quantity::Power)?)
            .map_err(|source| DecodeError::OutOfRange { quantity: Quantity::Power, source })?,
        energy_import: energy(Quantity::EnergyImport, needed(Quantity::EnergyImport)?)?,
        energy_export: energy(
            Quantity::EnergyExport,
            if model.values.contains_key(&Quantity::EnergyExport) {
                needed(Quantity::EnergyExport)?
            } else {
                0.0
            },
        )?,
        phases: phases(number)?,
    })
}

/// All three, or none: what one carries is not known from the others.
fn phases(
    number: impl Fn(Quantity) -> Result<Option<f64>, DecodeError>,
) -> Result<Option<[Phase; 3]>, DecodeError> {
    let phase = |(voltage, current)| {
        let (Some(volts), Some(amps)) = (number(voltage)?, number(current)?) else { return Ok(None) };
        let out_of_range = |quantity| move |source| DecodeError::OutOfRange { quantity, source };
        Ok(Some(Phase {
            voltage: Volts::from_si(volts).map_err(out_of_range(voltage))?,
            current: Amps::from_si(amps).map_err(out_of_range(current))?,
        }))
    };
    let [_, voltages @ ..] = Quantity::VOLTAGES;
    let [_, currents @ ..] = Quantity::CURRENTS;
    let mut found = Vec::with_capacity(3);
    for pair in voltages.into_iter().zip(currents) {
        found.extend(phase(pair)?);
    }
    Ok(found.try_into().ok())
}

/// Those of a set that the meter has and knows; at least one.
fn present(
    set: [Quantity; 4],
    number: impl Fn(Quantity) -> Result<Option<f64>, DecodeError>,
) -> Result<Vec<f64>, DecodeError> {
    let mut found = Vec::with_capacity(3);
    for quantity in set {
        found.extend(number(quantity)?);
    }
    if found.is_empty() { Err(DecodeError::NotAvailable(set[0])) } else { Ok(found) }
}

/// One value in its SI unit (or Wh); `None` if the meter says that it has none.
fn si(quantity: Quantity, value: &Value, blocks: &[Vec<u16>]) -> Result<Option<f64>, DecodeError> {
    let Some(words) = words(blocks, value.place, value.format.words()) else { return Ok(None) };
    let raw = value.word_order.join(words);
    if value.not_available.0.contains(&raw) {
        return Ok(None);
    }
    let number = value.format.number(raw);
    if !number.is_finite() {
        return Ok(None);
    }
    let Some(power) = &value.exponent else { return Ok(Some(number * value.factor)) };
    let Some([word]) = self::words(blocks, power.place, 1) else { return Ok(None) };
    let exponent = i32::from(word.cast_signed()) + i32::from(power.offset);
    if exponent.abs() > MAX_EXPONENT {
        return Err(DecodeError::Exponent { quantity, exponent });
    }
    Ok(Some(number * value.factor * 10_f64.powi(exponent)))
}

fn words(blocks: &[Vec<u16>], place: Place, count: usize) -> Option<&[u16]> {
    blocks.get(place.block)?.get(place.word..place.word + count)
}

#[cfg(test)]
mod tests;
