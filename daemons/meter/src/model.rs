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
use toml::Spanned;

use crate::decode::{NotAvailable, Type, WordOrder};

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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    vendor: String,
    model: String,
    serial: Spanned<SerialSettings>,
    #[serde(default = "default_pause")]
    pause_ms: Spanned<u16>,
    #[serde(default = "default_max_registers")]
    max_registers: Spanned<u16>,
    resolution_wh: Spanned<f64>,
    read: Vec<Spanned<FileRead>>,
    value: Spanned<BTreeMap<Quantity, Spanned<FileValue>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRead {
    function: u8,
    address: u16,
    count: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileValue {
    address: u16,
    #[serde(rename = "type")]
    format: Type,
    word_order: Option<WordOrder>,
    #[serde(default = "one")]
    scale: f64,
    exponent: Option<FileExponent>,
    unit: Unit,
    #[serde(default)]
    not_available: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileExponent {
    address: u16,
    #[serde(default)]
    offset: i8,
}

fn default_pause() -> Spanned<u16> {
    Spanned::new(0..0, 10)
}

fn default_max_registers() -> Spanned<u16> {
    Spanned::new(0..0, MAX_REGISTERS)
}

fn one() -> f64 {
    1.0
}

struct Check<'a> {
    text: &'a str,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn model(&mut self, file: &File) -> Model {
        let serial = *file.serial.get_ref();
        if let Err(text) = serial.check() {
            self.problem(&file.serial, text);
        }
        if *file.pause_ms.get_ref() > 1000 {
            self.problem(&file.pause_ms, "pause_ms is at most 1000".into());
        }
        let resolution = *file.resolution_wh.get_ref();
        if !(resolution > 0.0 && resolution <= 100_000.0) {
            self.problem(&file.resolution_wh, format!("resolution_wh = {resolution} is not above 0"));
        }
        let blocks = self.blocks(file);
        let mut values = BTreeMap::new();
        for (quantity, entry) in file.value.get_ref() {
            if let Some(value) = self.value(*quantity, entry, &blocks) {
                values.insert(*quantity, value);
            }
        }
        self.overlaps(file);
        self.complete(file);
        self.resolution(file);
        Model {
            vendor: file.vendor.clone(),
            name: file.model.clone(),
            serial,
            pause: Duration::from_millis(u64::from(*file.pause_ms.get_ref())),
            resolution,
            blocks,
            values,
        }
    }

    fn blocks(&mut self, file: &File) -> Vec<Block> {
        let most = *file.max_registers.get_ref();
        if !(1..=MAX_REGISTERS).contains(&most) {
            self.problem(&file.max_registers, format!("max_registers is 1 to {MAX_REGISTERS}"));
        }
        let mut blocks: Vec<Block> = Vec::new();
        for entry in &file.read {
            let read = entry.get_ref();
            let function = match read.function {
                3 => Function::HoldingRegisters,
                4 => Function::InputRegisters,
                other => {
                    self.problem(entry, format!("function {other}: 3 (holding) or 4 (input registers)"));
                    Function::HoldingRegisters
                }
            };
            let block = Block { function, address: read.address, count: read.count };
            if read.count == 0 || read.count > most {
                self.problem(entry, format!("a read of {} registers; 1 to {most} are allowed", read.count));
            }
            if block.registers().end > 0x1_0000 {
                self.problem(entry, "the read runs past register 65535".into());
            }
            for earlier in &blocks {
                if overlap(&earlier.registers(), &block.registers()) {
                    self.problem(entry, format!("overlaps the read at {}", earlier.address));
                }
                // RTU names neither register nor request in its replies: by the length alone can a
                // late reply to the one be told from a reply to the other.
                if earlier.function == function && earlier.count == block.count {
                    self.problem(
                        entry,
                        format!(
                            "is as long as the read at {}: a late reply could be taken for it; \
                             make one of them longer",
                            earlier.address
                        ),
                    );
                }
            }
            blocks.push(block);
        }
        blocks
    }

    fn value(&mut self, quantity: Quantity, entry: &Spanned<FileValue>, blocks: &[Block]) -> Option<Value> {
        let value = entry.get_ref();
        if !quantity.takes(value.unit) {
            self.problem(entry, format!("{quantity} is not measured in {:?}", value.unit));
        }
        if !(value.scale.is_finite() && value.scale != 0.0) {
            self.problem(entry, format!("{quantity}: a scale of {}", value.scale));
        }
        let words = value.format.words();
        if words > 1 && value.word_order.is_none() {
            self.problem(entry, format!("{quantity}: a {} needs word_order", value.format));
        }
        let not_available = value.not_available.iter().filter_map(|pattern| {
            let raw = u64::from_str_radix(pattern, 16).ok().filter(|_| pattern.len() == words * 4);
            if raw.is_none() {
                self.problem(
                    entry,
                    format!("{quantity}: not_available {pattern:?}: {} hex digits wanted", words * 4),
                );
            }
            raw
        });
        let not_available = NotAvailable::new(not_available.collect());
        let place = self.place(quantity, entry, value.address, words, blocks);
        let exponent = match &value.exponent {
            None => None,
            Some(exponent) => Some(Exponent {
                place: self.place(quantity, entry, exponent.address, 1, blocks)?,
                offset: exponent.offset,
            }),
        };
        Some(Value {
            place: place?,
            format: value.format,
            word_order: value.word_order.unwrap_or(WordOrder::HighFirst),
            factor: value.scale * value.unit.factor(),
            exponent,
            not_available,
        })
    }

    fn place<T>(
        &mut self,
        quantity: Quantity,
        entry: &Spanned<T>,
        address: u16,
        words: usize,
        blocks: &[Block],
    ) -> Option<Place> {
        let first = u32::from(address);
        let found = blocks.iter().enumerate().find_map(|(index, block)| {
            let word = usize::from(address.checked_sub(block.address)?);
            (word + words <= usize::from(block.count)).then_some(Place { block: index, word })
        });
        if found.is_none() {
            self.problem(entry, format!("{quantity}: no [[read]] has all of its {words} words at {first}"));
        }
        found
    }

    fn overlaps(&mut self, file: &File) {
        let mut seen: Vec<(Quantity, Range<u32>)> = Vec::new();
        for (quantity, entry) in file.value.get_ref() {
            let value = entry.get_ref();
            let first = u32::from(value.address);
            let words = u32::try_from(value.format.words()).expect("at most four words");
            let range = first..first + words;
            for (other, taken) in &seen {
                if overlap(taken, &range) {
                    self.problem(entry, format!("{quantity} and {other} are the same register"));
                }
            }
            seen.push((*quantity, range));
        }
    }

    fn complete(&mut self, file: &File) {
        let values = file.value.get_ref();
        for (set, what) in [(Quantity::VOLTAGES, "voltage"), (Quantity::CURRENTS, "current")] {
            let [whole, phases @ ..] = set;
            let has_phases = phases.iter().any(|phase| values.contains_key(phase));
            if !values.contains_key(&whole) && !has_phases {
                self.problem(&file.value, format!("no [value.{what}], nor one for a phase"));
            }
            if values.contains_key(&whole) && has_phases {
                self.problem(&file.value, format!("{what} is given whole and by phase: one of the two"));
            }
        }
        for needed in [Quantity::Power, Quantity::EnergyImport] {
            if !values.contains_key(&needed) {
                self.problem(&file.value, format!("no [value.{needed}]"));
            }
        }
    }

    /// An integer register says itself what one count is worth; the file must agree.
    fn resolution(&mut self, file: &File) {
        let Some(entry) = file.value.get_ref().get(&Quantity::EnergyImport) else { return };
        let value = entry.get_ref();
        if value.format.is_float() || value.exponent.is_some() {
            return;
        }
        let count = value.scale * value.unit.factor();
        let told = *file.resolution_wh.get_ref();
        if (count - told).abs() > told * 1e-9 {
            let text = format!("resolution_wh = {told}, but one count of energy_import is {count} Wh");
            self.problem(&file.resolution_wh, text);
        }
    }

    fn problem<T>(&mut self, at: &Spanned<T>, text: String) {
        self.problems.push(Problem { line: line_of(self.text, at.span().start), text });
    }
}

fn overlap(a: &Range<u32>, b: &Range<u32>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests;
