//! Register maps: what a meter has where, as data.
//!
//! A map is one TOML file, `MODEL.toml`, so a new meter needs no compiling. A reader that knows
//! the vendor's register table should be able to write one from the files in `packaging/meters`.
//! [`Model::parse`] checks everything a file can get wrong and reports all of it at once, each
//! problem with its line.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::decode::{NotAvailable, Type, WordOrder};

mod check;
mod file;

use check::Check;
use file::File;

/// The most registers one Modbus request can read (Modbus application protocol V1.1b3, 6.3).
const MAX_REGISTERS: u16 = 125;

/// What a register tells. The name of its table in the file, `[value.NAME]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// DC voltage, or the only phase to neutral.
    Voltage,
    /// Phase 1 to neutral.
    VoltageL1,
    /// Phase 2 to neutral.
    VoltageL2,
    /// Phase 3 to neutral.
    VoltageL3,
    /// DC current, or the only phase.
    Current,
    /// Phase 1.
    CurrentL1,
    /// Phase 2.
    CurrentL2,
    /// Phase 3.
    CurrentL3,
    /// Active power of all phases.
    Power,
    /// Active energy imported, all phases: the register that is billed.
    EnergyImport,
    /// Active energy exported, all phases.
    EnergyExport,
}

impl Quantity {
    /// The voltages, of which a map has the first or some of the others.
    pub const VOLTAGES: [Self; 4] = [Self::Voltage, Self::VoltageL1, Self::VoltageL2, Self::VoltageL3];
    /// The currents, of which a map has the first or some of the others.
    pub const CURRENTS: [Self; 4] = [Self::Current, Self::CurrentL1, Self::CurrentL2, Self::CurrentL3];

    fn takes(self, unit: Unit) -> bool {
        match self {
            Self::Voltage | Self::VoltageL1 | Self::VoltageL2 | Self::VoltageL3 => unit == Unit::Volt,
            Self::Current | Self::CurrentL1 | Self::CurrentL2 | Self::CurrentL3 => unit == Unit::Ampere,
            Self::Power => matches!(unit, Unit::Watt | Unit::Kilowatt),
            Self::EnergyImport | Self::EnergyExport => matches!(unit, Unit::WattHour | Unit::KilowattHour),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Voltage => "voltage",
            Self::VoltageL1 => "voltage_l1",
            Self::VoltageL2 => "voltage_l2",
            Self::VoltageL3 => "voltage_l3",
            Self::Current => "current",
            Self::CurrentL1 => "current_l1",
            Self::CurrentL2 => "current_l2",
            Self::CurrentL3 => "current_l3",
            Self::Power => "power",
            Self::EnergyImport => "energy_import",
            Self::EnergyExport => "energy_export",
        })
    }
}

/// The unit of a register after scaling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// Volts.
    #[serde(rename = "V")]
    Volt,
    /// Amperes.
    #[serde(rename = "A")]
    Ampere,
    /// Watts.
    #[serde(rename = "W")]
    Watt,
    /// Kilowatts.
    #[serde(rename = "kW")]
    Kilowatt,
    /// Watt-hours.
    #[serde(rename = "Wh")]
    WattHour,
    /// Kilowatt-hours.
    #[serde(rename = "kWh")]
    KilowattHour,
}

impl Unit {
    /// How many of the SI unit (or Wh) one of this unit is.
    #[must_use]
    pub const fn factor(self) -> f64 {
        match self {
            Self::Volt | Self::Ampere | Self::Watt | Self::WattHour => 1.0,
            Self::Kilowatt | Self::KilowattHour => 1000.0,
        }
    }
}

/// Parity of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Parity {
    /// No parity bit.
    None,
    /// Even parity, the default of the Modbus serial line guide.
    Even,
    /// Odd parity.
    Odd,
}

/// Settings of a serial line; eight data bits always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SerialSettings {
    /// Bits a second, 1200 to 1,000,000.
    pub baud: u32,
    /// Parity.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
}

impl SerialSettings {
    /// What is wrong with them, in words.
    ///
    /// # Errors
    /// A bit rate or a number of stop bits that no port has.
    pub fn check(&self) -> Result<(), String> {
        if !(1200..=1_000_000).contains(&self.baud) {
            return Err(format!("{} baud is not between 1200 and 1000000", self.baud));
        }
        if !(1..=2).contains(&self.stop_bits) {
            return Err(format!("{} stop bits: 1 or 2", self.stop_bits));
        }
        Ok(())
    }

    /// The silence that parts two frames (Modbus over serial line, 2.5.1.1): 3.5 characters, and no less than 1.75 ms.
    #[must_use]
    pub fn silence(&self) -> Duration {
        let parity_bits = match self.parity {
            Parity::None => 0,
            Parity::Even | Parity::Odd => 1,
        };
        let bits = 1 + 8 + parity_bits + u64::from(self.stop_bits);
        Duration::from_micros((bits * 3_500_000).div_ceil(u64::from(self.baud).max(1)))
            .max(Duration::from_micros(1_750))
    }
}

impl fmt::Display for SerialSettings {
    /// As technicians write it: `9600 8E1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        write!(f, "{} 8{parity}{}", self.baud, self.stop_bits)
    }
}

/// Which registers a request reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// Function code 3.
    HoldingRegisters,
    /// Function code 4.
    InputRegisters,
}

/// One request of a polling cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Its function code.
    pub function: Function,
    /// Its first register, protocol address (counted from 0).
    pub address: u16,
    /// How many registers.
    pub count: u16,
}

impl Block {
    fn registers(self) -> Range<u32> {
        u32::from(self.address)..u32::from(self.address) + u32::from(self.count)
    }
}

/// Where a value is: the block, and the index of its first word there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index into [`Model::blocks`].
    pub block: usize,
    /// Index of the first word in the block.
    pub word: usize,
}

/// A power of ten that the meter itself tells in another register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exponent {
    /// Its register, a signed 16-bit number.
    pub place: Place,
    /// Added to what the register holds.
    pub offset: i8,
}

/// How one value is read from its registers.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Where it is.
    pub place: Place,
    /// Its number format.
    pub format: Type,
    /// The order of its words.
    pub word_order: WordOrder,
    /// What to multiply the raw number with to have the SI unit (or Wh).
    pub factor: f64,
    /// A power of ten to multiply with as well.
    pub exponent: Option<Exponent>,
    /// Raw patterns that mean "I have no such value".
    pub not_available: NotAvailable,
}

/// A meter's register map, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// The maker.
    pub vendor: String,
    /// The maker's name for it.
    pub name: String,
    /// Serial settings as delivered.
    pub serial: SerialSettings,
    /// Rest that the meter wants between two requests.
    pub pause: Duration,
    /// Watt-hours of one count of the import register, as far as the bus can tell.
    pub resolution: f64,
    /// The requests of one cycle, in order; all of different length.
    pub blocks: Vec<Block>,
    /// Where everything is in them.
    pub values: BTreeMap<Quantity, Value>,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// In words.
    pub text: String,
}

/// A register map that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No folder of the search path has it.
    #[error("there is no register map {model}.toml in {}", list(.searched))]
    Unknown {
        /// The model asked for.
        model: String,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// The file could not be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is wrong.
    #[error("{}", lines(.file, .problems))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// All that is wrong with it.
        problems: Vec<Problem>,
    },
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn lines(file: &Path, problems: &[Problem]) -> String {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("{}:{}: {}", file.display(), problem.line, problem.text))
        .collect();
    lines.join("\n")
}

impl Model {
    /// Loads `model` from the first folder of `search_path` that has it.
    ///
    /// # Errors
    /// If none has it, or the file found is unreadable or wrong; a later folder is not tried then.
    pub fn load(model: &str, search_path: &[PathBuf]) -> Result<Self, ModelError> {
        let name = format!("{model}.toml");
        let Some(file) = search_path.iter().map(|folder| folder.join(&name)).find(|file| file.is_file())
        else {
            return Err(ModelError::Unknown { model: model.into(), searched: search_path.to_vec() });
        };
        let text = std::fs::read_to_string(&file)
            .map_err(|source| ModelError::Read { file: file.clone(), source })?;
        Self::parse(&text).map_err(|problems| ModelError::Invalid { file, problems })
    }

    /// Reads and checks a register map.
    ///
    /// # Errors
    /// Everything that is wrong with it; what the TOML reader refuses comes alone.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            vec![Problem { line, text: error.message().to_owned() }]
        })?;
        let mut check = Check { text, problems: Vec::new() };
        let model = check.model(&file);
        if check.problems.is_empty() {
            return Ok(model);
        }
        check.problems.sort_by_key(|problem| problem.line);
        Err(check.problems)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests;
