//! An Infypower REG power module on CAN, device side: protocol V1.13.
//!
//! Identifier, 29 bits: `[28:26] error · [25:22] device · [21:16] command · [15:8] destination ·
//! [7:0] source`. All numbers are big-endian. Not published, so chosen here: writes to a group or
//! to all are executed without an answer; a group's value is answered by its lowest address, with
//! the group number (or the broadcast address) as its source.

use std::time::Duration;

use voltry_canlink::{CanFrame, CanId};

use crate::electrical::SharedCircuit;
use crate::faults::Fault;

/// The module switches off after this long without a frame of the controller.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a module takes to answer.
const ANSWERS_IN: Duration = Duration::from_millis(3);
const LATE: Duration = Duration::from_secs(3);
const BROADCAST: u8 = 0x3F;
const ONE_MODULE: u8 = 0x0A;
const GROUP: u8 = 0x0B;

/// Why a module refuses a command, as the identifier's error field says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Command = 2,
    Data = 3,
    StartingUp = 7,
}

/// What the modules of a group know of one another.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GroupView {
    /// How many modules answer.
    pub count: u8,
    /// The lowest address among them.
    pub master: u8,
    /// Their common output, in volts.
    pub volts: f64,
    /// Their total output, in amperes.
    pub amps: f64,
}

/// The parts of a frame's identifier.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    pub(super) device: u8,
    pub(super) command: u8,
    pub(super) destination: u8,
    pub(super) source: u8,
}

impl Address {
    /// `None` when the frame is none of a controller's.
    pub(super) fn of(frame: &CanFrame) -> Option<Self> {
        let bits = frame.id().bits();
        let field = |shift: u32, mask: u32| u8::try_from(bits >> shift & mask).unwrap_or(u8::MAX);
        let address = Self {
            device: field(22, 0xF),
            command: field(16, 0x3F),
            destination: field(8, 0xFF),
            source: field(0, 0xFF),
        };
        let from_controller = (0xF0..=0xF8).contains(&address.source) && frame.id().is_extended();
        (from_controller && bits >> 26 == 0).then_some(address)
    }

    pub(super) fn is_for_group(self, group: u8) -> bool {
        self.device == GROUP && (self.destination == group || self.destination == BROADCAST)
    }

    pub(super) fn is_for_all(self) -> bool {
        self.device == ONE_MODULE && self.destination == BROADCAST
    }

    fn is_point_to_point(self) -> bool {
        self.device == ONE_MODULE && self.destination != BROADCAST
    }
}

/// One module: its CAN side. Its power stage is module `index` of the circuit.
#[derive(Debug)]
pub struct InfyModule {
    address: u8,
    group: u8,
    circuit: SharedCircuit,
    index: usize,
    on: bool,
    sleeping: bool,
    walk_in: bool,
    set_v: f64,
    limit_a: f64,
    blinking: bool,
    by_dip: bool,
    starts_until: Duration,
    last_heard: Option<Duration>,
    interrupted: bool,
}

impl InfyModule {
    /// The module with this address and group number that feeds `circuit` through its power stage
    /// `index`. It is off, with walk-in enabled as modules leave the factory.
    ///
    /// # Panics
    /// If the circuit has no such power stage.
    #[must_use]
    pub fn new(address: u8, group: u8, circuit: SharedCircuit, index: usize) -> Self {
        let stages = circuit.with(|circuit| circuit.modules.len());
        assert!(index < stages, "the circuit has {stages} power stages, not one numbered {index}");
        Self {
            address,
            group,
            circuit,
            index,
            on: false,
            sleeping: false,
            walk_in: true,
            set_v: 0.0,
            limit_a: 0.0,
            blinking: false,
            by_dip: false,
            starts_until: Duration::ZERO,
            last_heard: None,
            interrupted: false,
        }
    }

    /// Refuses commands, as a module whose supply has just come back, until `time`.
    pub fn start_up_until(&mut self, time: Duration) {
        self.starts_until = time;
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> u8 {
        self.address
    }

    /// Its group number.
    #[must_use]
    pub fn group(&self) -> u8 {
        self.group
    }

    /// Whether its lamp blinks, so that a person finds it.
    #[must_use]
    pub fn blinks(&self) -> bool {
        self.blinking
    }

    pub(super) fn circuit(&self) -> &SharedCircuit {
        &self.circuit
    }

    /// Volts and amperes at its terminals.
    pub(super) fn output(&self) -> (f64, f64) {
        self.circuit.with(|circuit| (circuit.module_side_v(), circuit.modules[self.index].current_a()))
    }

    /// Whether it is on the bus at all.
    pub(super) fn answers(&self) -> bool {
        !self.broken(Fault::ModuleDead)
    }

    fn broken(&self, fault: Fault) -> bool {
        self.index == 0 && self.circuit.with(|circuit| circuit.faults.has(fault))
    }

    /// Lets time pass: the module's own rules, and its faults, reach the power stage.
    pub(super) fn tick(&mut self, now: Duration) {
        if self.last_heard.is_some_and(|heard| now.saturating_sub(heard) >= SILENCE) {
            self.on = false;
            self.interrupted = true;
        }
        let dead = self.broken(Fault::ModuleDead);
        if dead {
            // A module without supply forgets what it was told.
            (self.on, self.set_v, self.limit_a, self.walk_in) = (false, 0.0, 0.0, true);
        }
        if self.broken(Fault::ModuleOvertemp) {
            self.on = false;
        }
        let lies = self.broken(Fault::ModuleLies);
        self.circuit.with(|circuit| {
            let derated = circuit.faults.has(Fault::ModuleDerated);
            let stage = &mut circuit.modules[self.index];
            stage.on = self.on && !self.sleeping;
            stage.walk_in = self.walk_in;
            stage.set_v = if lies { (self.set_v - 20.0).max(0.0) } else { self.set_v };
            stage.limit_a = if lies { self.limit_a / 2.0 } else { self.limit_a };
            stage.derating = if derated { 0.4 } else { 1.0 };
        });
    }

    /// Takes a controller's frame; its answer, and when that is ready for the bus.
    pub(super) fn receive(
        &mut self,
        now: Duration,
        frame: &CanFrame,
        group: GroupView,
    ) -> Option<(Duration, CanFrame)> {
        let to = Address::of(frame)?;
        let mine = to.device == ONE_MODULE && to.destination == self.address;
        if !(mine || to.is_for_all() || to.is_for_group(self.group)) || !self.answers() {
            return None;
        }
        self.last_heard = Some(now);
        self.interrupted = false;
        let Ok(data) = <[u8; 8]>::try_from(frame.data()) else {
            return self.answer(now, to, self.address, Err(Refusal::Data));
        };
        let of_system = matches!(to.command, 0x01 | 0x02 | 0x08);
        if of_system && !to.is_point_to_point() {
            let master = group.master == self.address;
            return master
                .then(|| self.answer(now, to, to.destination, self.read(to.command, group, data)))?;
        }
        if matches!(to.command, 0x0F | 0x13 | 0x14 | 0x16 | 0x19..=0x1C | 0x1F) {
            let result = if now < self.starts_until {
                Err(Refusal::StartingUp)
            } else {
                self.write(to.command, data, group.count).map(|()| data)
            };
            self.tick(now);
            return to.is_point_to_point().then(|| self.answer(now, to, self.address, result))?;
        }
        self.answer(now, to, self.address, self.read(to.command, group, data))
    }

    fn answer(
        &self,
        now: Duration,
        to: Address,
        source: u8,
        result: Result<[u8; 8], Refusal>,
    ) -> Option<(Duration, CanFrame)> {
        let (error, data) = match result {
            Ok(data) => (0, data),
            Err(refusal) => (refusal as u32, [0; 8]),
        };
        let bits = error << 26
            | u32::from(to.device) << 22
            | u32::from(to.command) << 16
            | u32::from(to.source) << 8
            | u32::from(source);
        let delay = if self.broken(Fault::ModuleLate) { LATE } else { ANSWERS_IN };
        Some((now + delay, CanFrame::of_eight(CanId::extended(bits).ok()?, data)))
    }

    fn read(&self, command: u8, group: GroupView, data: [u8; 8]) -> Result<[u8; 8], Refusal> {
        let (volts, amps) = self.reported();
        Ok(match command {
            0x01 => floats(group.volts, group.amps),
            0x02 => [0, 0, group.count, 0, 0, 0, 0, 0],
            0x03 => floats(volts, amps),
            0x04 => self.status(),
            0x06 => words([4_000, 4_000, 4_000, 0]),
            0x08 => millis(group.volts, group.amps),
            0x09 => millis(volts, amps),
            0x0A => self.capability(),
            0x0B => self.barcode(),
            0x0C => {
                let available = self.circuit.with(|circuit| circuit.modules[self.index].available_a(volts));
                words([tenths(self.output().0), tenths(available), 0, 0])
            }
            0x0F if data[..2] == [0x13, 0x01] => {
                let temperature = self.temperature();
                [0x13, 0x01, 0, 0, 0, temperature, temperature, 25]
            }
            _ => return Err(Refusal::Command),
        })
    }

    fn write(&mut self, command: u8, data: [u8; 8], count: u8) -> Result<(), Refusal> {
        let switch = match data[0] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Refusal::Data),
        };
        match command {
            0x0F if data[..2] == [0x13, 0x01] => {}
            0x13 => self.walk_in = switch?,
            0x14 => self.blinking = switch?,
            0x16 => self.group = if data[0] <= 60 { data[0] } else { return Err(Refusal::Data) },
            0x19 => {
                self.sleeping = switch?;
                // Waking does not switch on.
                self.on &= !self.sleeping;
            }
            // Zero is on.
            0x1A => match (switch?, self.sleeping) {
                (false, true) => return Err(Refusal::Data),
                (off, _) => self.on = !off && !self.broken(Fault::ModuleOvertemp),
            },
            0x1B => self.set(data, f64::from(count.max(1)))?,
            0x1C => self.set(data, 1.0)?,
            0x1F => self.by_dip = switch?,
            _ => return Err(Refusal::Command),
        }
        Ok(())
    }

    fn set(&mut self, data: [u8; 8], shared_by: f64) -> Result<(), Refusal> {
        let milli =
            |at: usize| f64::from(u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]));
        let (volts, amps) = (milli(0) / 1e3, milli(4) / 1e3 / shared_by);
        let rating = self.circuit.with(|circuit| circuit.modules[self.index].rating);
        if !(rating.min_v..=rating.max_v).contains(&volts) || amps > rating.max_a {
            return Err(Refusal::Data);
        }
        (self.set_v, self.limit_a) = (volts, amps);
        Ok(())
    }

    fn reported(&self) -> (f64, f64) {
        if self.broken(Fault::ModuleLies) && self.on { (self.set_v, self.limit_a) } else { self.output() }
    }

    fn temperature(&self) -> u8 {
        let (volts, amps) = self.output();
        // At most 95, and a power stage never delivers less than nothing.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let warm = (28.0 + volts * amps / 2_000.0).clamp(0.0, 95.0) as u8;
        if self.broken(Fault::ModuleOvertemp) { 78 } else { warm }
    }

    fn status(&self) -> [u8; 8] {
        let (volts, amps) = self.output();
        let (derated, no_bleeder) = self.circuit.with(|circuit| {
            (circuit.faults.has(Fault::ModuleDerated), circuit.faults.has(Fault::ModuleBleeder))
        });
        let hot = self.broken(Fault::ModuleOvertemp);
        let delivers = self.on && !self.sleeping;
        let shorted = delivers && volts < 20.0 && amps > 0.9 * self.limit_a && self.limit_a > 0.1;
        let status2 = bits(&[(0, derated)]);
        let status1 = bits(&[(0, !delivers), (2, hot), (4, hot), (6, self.walk_in), (7, self.interrupted)]);
        let status0 = bits(&[(0, shorted), (4, self.sleeping), (5, no_bleeder), (7, self.interrupted)]);
        [0, 0, self.group, 0, self.temperature(), status2, status1, status0]
    }

    fn capability(&self) -> [u8; 8] {
        let rating = self.circuit.with(|circuit| circuit.modules[self.index].rating);
        words([whole(rating.max_v), whole(rating.min_v), tenths(rating.max_a), whole(rating.rated_w / 10.0)])
    }

    /// "0818071234NNV1704", NN the address: byte 0 the letter, five bytes the twelve digits before
    /// it, two bytes the four after it.
    fn barcode(&self) -> [u8; 8] {
        let digits = (81_807_123_400_u64 + u64::from(self.address)).to_be_bytes();
        let last = 1_704_u16.to_be_bytes();
        [b'V', digits[3], digits[4], digits[5], digits[6], digits[7], last[0], last[1]]
    }
}

fn bits(set: &[(u8, bool)]) -> u8 {
    set.iter().fold(0, |byte, (bit, on)| byte | u8::from(*on) << bit)
}

fn whole(value: f64) -> u16 {
    // Saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rounded = value.round().clamp(0.0, 65_535.0) as u16;
    rounded
}

fn tenths(value: f64) -> u16 {
    whole(value * 10.0)
}

fn words(words: [u16; 4]) -> [u8; 8] {
    let mut data = [0; 8];
    for (place, word) in data.chunks_exact_mut(2).zip(words) {
        place.copy_from_slice(&word.to_be_bytes());
    }
    data
}

fn pair(first: [u8; 4], second: [u8; 4]) -> [u8; 8] {
    let mut data = [0; 8];
    data[..4].copy_from_slice(&first);
    data[4..].copy_from_slice(&second);
    data
}

fn floats(volts: f64, amps: f64) -> [u8; 8] {
    // The wire has single precision.
    #[allow(clippy::cast_possible_truncation)]
    let single = |value: f64| (value as f32).to_be_bytes();
    pair(single(volts), single(amps))
}

fn millis(volts: f64, amps: f64) -> [u8; 8] {
    // Saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let milli = |value: f64| ((value * 1e3).round().clamp(0.0, f64::from(u32::MAX)) as u32).to_be_bytes();
    pair(milli(volts), milli(amps))
}

#[cfg(test)]
mod tests;
