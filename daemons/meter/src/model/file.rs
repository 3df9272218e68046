//! A register map as its TOML file has it; nothing is checked yet but the types.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{MAX_REGISTERS, Quantity, SerialSettings, Unit};
use crate::decode::{Type, WordOrder};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) vendor: String,
    pub(super) model: String,
    pub(super) serial: Spanned<SerialSettings>,
    #[serde(default = "default_pause")]
    pub(super) pause_ms: Spanned<u16>,
    #[serde(default = "default_max_registers")]
    pub(super) max_registers: Spanned<u16>,
    pub(super) resolution_wh: Spanned<f64>,
    pub(super) read: Vec<Spanned<FileRead>>,
    pub(super) value: Spanned<BTreeMap<Quantity, Spanned<FileValue>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRead {
    pub(super) function: u8,
    pub(super) address: u16,
    pub(super) count: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileValue {
    pub(super) address: u16,
    #[serde(rename = "type")]
    pub(super) format: Type,
    pub(super) word_order: Option<WordOrder>,
    #[serde(default = "one")]
    pub(super) scale: f64,
    pub(super) exponent: Option<FileExponent>,
    pub(super) unit: Unit,
    #[serde(default)]
    pub(super) not_available: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileExponent {
    pub(super) address: u16,
    #[serde(default)]
    pub(super) offset: i8,
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
