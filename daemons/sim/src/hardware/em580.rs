//! The meter Carlo Gavazzi EM580 at the grid connection: its measuring registers.
//!
//! Values of 32 and 64 bits have their low word first. The energy registers count watt-hours
//! (unverified). Signing is not simulated. What others take of a phase is in its current and its power.

use std::time::Duration;

use super::modbus::{Condition, Exception, Slave};
use crate::electrical::{Circuit, SharedCircuit};

/// The meter measures this often.
const PERIOD: Duration = Duration::from_millis(100);
const PHASE_V: f64 = 231.0;
const IDENTIFICATION: u16 = 580;
const SERIAL: &[u8; 14] = b"SIM0580000001\0";

/// The meter, upstream of everything that the circuits' modules draw.
#[derive(Debug)]
pub struct Em580 {
    unit: u8,
    circuits: Vec<SharedCircuit>,
    /// Of all three phases, what others take left out.
    station_w: f64,
    others_a: [f64; 3],
    import_wh: u64,
    measured: Option<Duration>,
}

impl Em580 {
    /// The meter of these circuits' grid connection at address `unit`.
    #[must_use]
    pub fn new(unit: u8, circuits: Vec<SharedCircuit>) -> Self {
        Self { unit, circuits, station_w: 0.0, others_a: [0.0; 3], import_wh: 0, measured: None }
    }

    fn register(&self, number: u16) -> Option<u16> {
        let amps =
            |first: u16| self.station_w / 3.0 / PHASE_V + self.others_a[usize::from(number - first) / 2];
        let watts = self.station_w + self.others_a.iter().sum::<f64>() * PHASE_V;
        Some(match number {
            0..=5 => low_first(PHASE_V * 10.0, number),
            6..=10 => low_first(PHASE_V * 10.0 * 3.0_f64.sqrt(), number),
            11 => IDENTIFICATION,
            12..=17 => low_first(amps(12) * 1_000.0, number),
            18..=23 => low_first(amps(18) * PHASE_V * 10.0, number),
            24..=29 => low_first(amps(24) * PHASE_V * 10.0, number),
            30..=35 => 0,
            40..=43 => low_first(watts * 10.0, number),
            36..=39 | 44..=49 => 0,
            50 => 0,
            51 => 500,
            770 => 0x0105,
            775 => 305,
            1_280..=1_283 => word(self.import_wh, number - 1_280),
            // The other six of the eight counters, and the export register.
            1_284..=1_311 => 0,
            20_480..=20_486 => {
                let at = usize::from(number - 20_480) * 2;
                u16::from_be_bytes([SERIAL[at], SERIAL[at + 1]])
            }
            20_498 => 0,
            _ => return None,
        })
    }
}

/// The word at `number` of a value of 32 bits that begins at an even register.
fn low_first(value: f64, number: u16) -> u16 {
    // Saturates; then two's complement.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bits = value.round() as i32 as u32;
    word(u64::from(bits), number % 2)
}

fn word(value: u64, place: u16) -> u16 {
    u16::try_from(value >> (16 * place) & 0xFFFF).unwrap_or(u16::MAX)
}

impl Slave for Em580 {
    fn unit(&self) -> u8 {
        self.unit
    }

    fn functions(&self) -> &'static [u8] {
        &[3, 4]
    }

    /// The faults of the EVSEs' meters leave the grid's meter alone.
    fn condition(&self) -> Condition {
        Condition::Well
    }

    fn tick(&mut self, now: Duration) {
        if self.measured.is_none_or(|measured| now >= measured + PERIOD) {
            self.measured = Some(now);
            (self.station_w, self.others_a, self.import_wh) = (0.0, [0.0; 3], 0);
            for circuit in &self.circuits {
                let read = |c: &mut Circuit| (c.grid_w(), c.surroundings.others_a, c.grid_meter.import_wh());
                let (watts, others, counted) = circuit.with(read);
                self.station_w += watts;
                self.others_a.iter_mut().zip(others).for_each(|(all, amps)| *all += amps);
                self.import_wh += counted;
            }
        }
    }

    fn read(&self, start: u16, count: u16) -> Result<Vec<u16>, Exception> {
        let values: Option<Vec<u16>> =
            (start..=start + (count - 1)).map(|number| self.register(number)).collect();
        values.ok_or(Exception::Address)
    }
}

#[cfg(test)]
mod tests;
