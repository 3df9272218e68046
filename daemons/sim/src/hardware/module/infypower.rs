//! An Infypower REG power module on CAN, device side: protocol V1.13.
//!
//! Identifier, 29 bits: `[28:26] error · [25:22] device · [21:16] command · [15:8] destination ·
//! [7:0] source`. All numbers are big-endian. Not published, so chosen here: writes to a group or
//! to all are executed without an answer; a group's value is answered by its lowest address, with
//! the group number (or the broadcast address) as its source.

use std::time::Duration;

use voltry_canlink::{CanFrame, CanId};

use super::{Peers, Protocol, Stage, Together, eight, field, flags, u32_at, unsigned, word};

/// The module switches off after this long without a frame of the controller.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
const BROADCAST: u8 = 0x3F;
const ONE_MODULE: u8 = 0x0A;
const GROUP: u8 = 0x0B;

/// Why a module refuses a command, as the identifier's error field says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Command = 2,
    Data = 3,
    StartingUp = 7,
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
        let address = Self {
            device: field(bits, 22, 0xF),
            command: field(bits, 16, 0x3F),
            destination: field(bits, 8, 0xFF),
            source: field(bits, 0, 0xFF),
        };
        let from_controller = (0xF0..=0xF8).contains(&address.source) && frame.id().is_extended();
        (from_controller && bits >> 26 == 0).then_some(address)
    }

    /// Whether it is for this module, alone or among others.
    pub(super) fn is_for(self, stage: &Stage) -> bool {
        match self.device {
            ONE_MODULE => self.destination == stage.address || self.destination == BROADCAST,
            GROUP => self.destination == stage.group || self.destination == BROADCAST,
            _ => false,
        }
    }

    pub(super) fn is_point_to_point(self) -> bool {
        self.device == ONE_MODULE && self.destination != BROADCAST
    }

    /// The modules that it is for, taken together; of one module, its group.
    pub(super) fn together(self, stage: &Stage, peers: Peers<'_>) -> Together {
        let all = self.device == ONE_MODULE && self.destination == BROADCAST;
        peers.together((!all).then_some(stage.group))
    }

    /// What `source` answers.
    pub(super) fn answer(self, source: u8, result: Result<[u8; 8], Refusal>) -> Vec<CanFrame> {
        let (error, data) = match result {
            Ok(data) => (0, data),
            Err(refusal) => (refusal as u32, [0; 8]),
        };
        let bits = error << 26
            | u32::from(self.device) << 22
            | u32::from(self.command) << 16
            | u32::from(self.source) << 8
            | u32::from(source);
        CanId::extended(bits).map(|id| CanFrame::of_eight(id, data)).into_iter().collect()
    }
}

/// The module's language.
#[derive(Debug, Default)]
pub(super) struct Infypower;

impl Protocol for Infypower {
    fn receive(
        &mut self,
        now: Duration,
        frame: &CanFrame,
        stage: &mut Stage,
        peers: Peers<'_>,
    ) -> Vec<CanFrame> {
        let Some(to) = Address::of(frame).filter(|to| to.is_for(stage)) else { return Vec::new() };
        stage.hears(now);
        let Some(data) = eight(frame) else { return to.answer(stage.signs_as, Err(Refusal::Data)) };
        let together = to.together(stage, peers);
        let of_system = matches!(to.command, 0x01 | 0x02 | 0x08);
        if of_system && !to.is_point_to_point() {
            if together.master != stage.address {
                return Vec::new();
            }
            return to.answer(to.destination, read(stage, to.command, together, data));
        }
        if matches!(to.command, 0x0F | 0x13 | 0x14 | 0x16 | 0x19..=0x1C | 0x1F) {
            let result = if stage.starts_up(now) {
                Err(Refusal::StartingUp)
            } else {
                write(stage, to.command, data, together.count).map(|()| data)
            };
            return if to.is_point_to_point() { to.answer(stage.signs_as, result) } else { Vec::new() };
        }
        to.answer(stage.signs_as, read(stage, to.command, together, data))
    }
}

fn write(stage: &mut Stage, command: u8, data: [u8; 8], count: u8) -> Result<(), Refusal> {
    let switch = match data[0] {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Refusal::Data),
    };
    match command {
        0x0F if data[..2] == [0x13, 0x01] => {}
        0x13 => stage.walk_in = switch?,
        // The lamp blinks; addresses are by switches.
        0x14 | 0x1F => {
            switch?;
        }
        0x16 => stage.group = if data[0] <= 60 { data[0] } else { return Err(Refusal::Data) },
        0x19 => {
            stage.sleeping = switch?;
            // Waking does not switch on.
            stage.on &= !stage.sleeping;
        }
        // Zero is on.
        0x1A => match (switch?, stage.sleeping) {
            (false, true) => return Err(Refusal::Data),
            (off, _) => stage.switch(!off),
        },
        0x1B => set(stage, data, f64::from(count.max(1)))?,
        0x1C => set(stage, data, 1.0)?,
        _ => return Err(Refusal::Command),
    }
    Ok(())
}

fn read(stage: &Stage, command: u8, group: Together, data: [u8; 8]) -> Result<[u8; 8], Refusal> {
    let (volts, amps) = stage.reported();
    Ok(match command {
        0x01 => floats(group.volts, group.amps),
        0x02 => [0, 0, group.count, 0, 0, 0, 0, 0],
        0x03 => floats(volts, amps),
        0x04 => status(stage),
        0x06 => words([4_000, 4_000, 4_000, 0]),
        0x08 => millis(group.volts, group.amps),
        0x09 => millis(volts, amps),
        0x0A => capability(stage),
        0x0B => barcode(stage.number),
        0x0C => words([tenths(stage.output().0), tenths(stage.available_a()), 0, 0]),
        0x0F if data[..2] == [0x13, 0x01] => {
            let temperature = temperature(stage);
            [0x13, 0x01, 0, 0, 0, temperature, temperature, 25]
        }
        _ => return Err(Refusal::Command),
    })
}

fn set(stage: &mut Stage, data: [u8; 8], shared_by: f64) -> Result<(), Refusal> {
    let milli = |at: usize| f64::from(u32_at(data, at));
    let (volts, amps) = (milli(0) / 1e3, milli(4) / 1e3 / shared_by);
    let rating = stage.limits();
    if !(rating.min_v..=rating.max_v).contains(&volts) || amps > rating.max_a {
        return Err(Refusal::Data);
    }
    (stage.set_v, stage.limit_a) = (volts, amps);
    Ok(())
}

fn temperature(stage: &Stage) -> u8 {
    u8::try_from(unsigned(stage.temperature_c().floor())).unwrap_or(u8::MAX)
}

/// The three status bytes, the last of the frame in the lowest.
pub(super) fn status_word(stage: &Stage) -> u32 {
    let hot = stage.hot();
    let status2 = flags(&[(0, stage.derated())]);
    let status1 =
        flags(&[(0, !stage.delivers()), (2, hot), (4, hot), (6, stage.walk_in), (7, stage.interrupted)]);
    let status0 = flags(&[
        (0, stage.shorted()),
        (4, stage.sleeping),
        (5, stage.bleeder_failed()),
        (7, stage.interrupted),
    ]);
    status2 << 16 | status1 << 8 | status0
}

fn status(stage: &Stage) -> [u8; 8] {
    let [_, status2, status1, status0] = status_word(stage).to_be_bytes();
    [0, 0, stage.group, 0, temperature(stage), status2, status1, status0]
}

fn capability(stage: &Stage) -> [u8; 8] {
    let rating = stage.rating();
    words([word(rating.max_v), word(rating.min_v), tenths(rating.max_a), word(rating.rated_w / 10.0)])
}

/// "0818071234NNV1704", NN the address as it left the factory: byte 0 the letter, five bytes the twelve digits before it,
/// two bytes the four after it.
fn barcode(number: u8) -> [u8; 8] {
    let digits = (81_807_123_400_u64 + u64::from(number)).to_be_bytes();
    let last = 1_704_u16.to_be_bytes();
    [b'V', digits[3], digits[4], digits[5], digits[6], digits[7], last[0], last[1]]
}

fn tenths(value: f64) -> u16 {
    word(value * 10.0)
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
    let milli = |value: f64| unsigned(value * 1e3).to_be_bytes();
    pair(milli(volts), milli(amps))
}

#[cfg(test)]
mod tests;
