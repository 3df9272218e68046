//! Everything a register map can get wrong; all of it is reported, each problem with its line.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::file::{File, FileValue};
use super::{Block, Exponent, Function, MAX_REGISTERS, Model, Place, Problem, Quantity, Value, line_of};
use crate::decode::{NotAvailable, WordOrder};

pub(super) struct Check<'a> {
    pub(super) text: &'a str,
    pub(super) problems: Vec<Problem>,
}

impl Check<'_> {
    pub(super) fn model(&mut self, file: &File) -> Model {
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
