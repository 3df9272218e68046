//! The direct-current meter Acrel DJSF1352-RN, between the contactors and the connector.
//!
//! Fifteen holding registers from 0. A value is its register times ten to the power of (decimal
//! point register − 3). Power is in watts here, as EVerest's driver has it; Acrel's other meters
//! use kilowatts (unverified).

use std::time::Duration;

use super::modbus::{Condition, Exception, Slave};
use crate::electrical::SharedCircuit;
use crate::faults::Fault;

/// The meter measures this often.
const PERIOD: Duration = Duration::from_millis(50);

/// Volts in tenths, amperes in tenths, power in tens of watts.
const VOLTS_POINT: u16 = 2;
const AMPS_POINT: u16 = 2;
const WATTS_POINT: u16 = 4;

/// The meter.
#[derive(Debug)]
pub struct AcrelMeter {
    unit: u8,
    circuit: SharedCircuit,
    registers: [u16; 15],
    measured: Option<Duration>,
    /// What had been imported when the meter began to count backwards.
    turned_at: Option<u64>,
}

impl AcrelMeter {
    /// The meter of `circuit` at address `unit`.
    #[must_use]
    pub fn new(unit: u8, circuit: SharedCircuit) -> Self {
        Self { unit, circuit, registers: [0; 15], measured: None, turned_at: None }
    }

    fn measure(&mut self) {
        let (volts, amps, import, export, backwards) = self.circuit.with(|circuit| {
            let (import, export) = (circuit.meter.import_wh(), circuit.meter.export_wh());
            let backwards = circuit.faults.has(Fault::MeterBackwards);
            (circuit.cable_side_v(), circuit.output_a(), import, export, backwards)
        });
        self.turned_at = backwards.then(|| self.turned_at.unwrap_or(import));
        let import = self.turned_at.map_or(import, |turned_at| turned_at.saturating_sub(import - turned_at));
        let [import_high, import_low] = halves(import);
        let [export_high, export_low] = halves(export);
        self.registers = [
            unsigned(volts * 10.0),
            VOLTS_POINT,
            signed(amps * 10.0),
            AMPS_POINT,
            0,
            signed(310.0),
            signed(volts * amps / 10.0),
            WATTS_POINT,
            import_high,
            import_low,
            export_high,
            export_low,
            1,
            500,
            0,
        ];
    }
}

/// The high and the low word of a register of 32 bits, which runs over as the meter's does.
fn halves(wh: u64) -> [u16; 2] {
    let bytes = wh.to_be_bytes();
    [u16::from_be_bytes([bytes[4], bytes[5]]), u16::from_be_bytes([bytes[6], bytes[7]])]
}

fn unsigned(value: f64) -> u16 {
    // Saturates, as the meter does at the end of its range.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rounded = value.round().clamp(0.0, 65_535.0) as u16;
    rounded
}

fn signed(value: f64) -> u16 {
    // Saturates, as the meter does at the end of its range; then two's complement.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bits = value.round().clamp(-32_768.0, 32_767.0) as i16 as u16;
    bits
}

impl Slave for AcrelMeter {
    fn unit(&self) -> u8 {
        self.unit
    }

    fn functions(&self) -> &'static [u8] {
        &[3]
    }

    fn condition(&self) -> Condition {
        meter_condition(&self.circuit)
    }

    fn tick(&mut self, now: Duration) {
        let due = self.measured.is_none_or(|measured| now >= measured + PERIOD);
        let stuck = self.circuit.with(|circuit| circuit.faults.has(Fault::MeterStuck));
        if due && !stuck {
            self.measured = Some(now);
            self.measure();
        }
    }

    fn read(&self, start: u16, count: u16) -> Result<Vec<u16>, Exception> {
        let start = usize::from(start);
        let registers = self.registers.get(start..start + usize::from(count));
        registers.map(<[u16]>::to_vec).ok_or(Exception::Address)
    }
}

/// What the faults of `circuit` do to a meter's line.
pub(super) fn meter_condition(circuit: &SharedCircuit) -> Condition {
    circuit.with(|circuit| {
        if circuit.faults.has(Fault::MeterGone) {
            Condition::Silent
        } else if circuit.faults.has(Fault::MeterWrongCrc) {
            Condition::WrongCrc
        } else {
            Condition::Well
        }
    })
}

#[cfg(test)]
mod tests;
