//! How many bits a frame is on the wire.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use voltry_canlink::CanFrame;

/// CRC delimiter, acknowledgement and its delimiter, end of frame, and the gap before the next frame: these are
/// never stuffed.
const TAIL: u32 = 1 + 2 + 7 + 3;
/// CRC-15/CAN: x¹⁵ + x¹⁴ + x¹⁰ + x⁸ + x⁷ + x⁴ + x³ + 1.
const POLYNOMIAL: u16 = 0x4599;

/// The bits from the start of a data frame to the first bit that another may begin with, stuffed as ISO 11898-1
/// has it: after five equal bits, up to the end of the CRC, one of the other kind.
pub(super) fn on_wire(frame: &CanFrame) -> u32 {
    let mut bits = Stuffed::default();
    let id = frame.id().bits();
    bits.push(0, 1);
    if frame.id().is_extended() {
        // Eleven bits, then substitute remote request and extension, then the others.
        bits.push(id >> 18, 11);
        bits.push(0b11, 2);
        bits.push(id, 18);
        // No remote request, two reserved.
        bits.push(0, 3);
    } else {
        bits.push(id, 11);
        bits.push(0, 3);
    }
    // At most 8.
    bits.push(u32::try_from(frame.data().len()).unwrap_or(8), 4);
    for byte in frame.data() {
        bits.push(u32::from(*byte), 8);
    }
    bits.push(u32::from(bits.crc), 15);
    bits.count + TAIL
}

#[derive(Debug, Default)]
struct Stuffed {
    count: u32,
    crc: u16,
    last: bool,
    run: u32,
}

impl Stuffed {
    /// The lowest `width` bits, the highest of them first.
    fn push(&mut self, value: u32, width: u32) {
        for place in (0..width).rev() {
            let bit = value >> place & 1 != 0;
            self.crc = crc(self.crc, bit);
            self.count += 1;
            self.run = if bit == self.last && self.count > 1 { self.run + 1 } else { 1 };
            self.last = bit;
            if self.run == 5 {
                self.count += 1;
                (self.last, self.run) = (!bit, 1);
            }
        }
    }
}

fn crc(crc: u16, bit: bool) -> u16 {
    let turns = bit != (crc & 0x4000 != 0);
    let shifted = crc << 1 & 0x7FFF;
    if turns { shifted ^ POLYNOMIAL } else { shifted }
}

/// What a bus has carried so far, by its own clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Frames of everybody.
    pub frames: u64,
    /// Their bits, with the gaps that must be between them.
    pub bits: u64,
    /// Since the adapter was plugged in.
    pub time: Duration,
}

/// A bus's load, for whoever wants to know how full it is.
#[derive(Debug, Clone, Default)]
pub struct SharedLoad(Arc<Mutex<Load>>);

impl SharedLoad {
    /// What it is now.
    #[must_use]
    pub fn now(&self) -> Load {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, bits: u32) {
        let mut load = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        load.frames += 1;
        load.bits += u64::from(bits);
    }

    pub(super) fn passed(&self, now: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).time = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use voltry_canlink::CanId;

    fn extended(id: u32, data: [u8; 8]) -> u32 {
        on_wire(&CanFrame::of_eight(CanId::extended(id).unwrap(), data))
    }

    #[test]
    fn the_crc_is_the_catalogues() {
        // CRC-15/CAN of the digits 1 to 9.
        let bits = b"123456789".iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1 != 0));
        assert_eq!(bits.fold(0, crc), 0x059E);
    }

    #[test]
    fn five_equal_bits_are_followed_by_another() {
        let mut bits = Stuffed::default();
        bits.push(0b11111, 5);
        assert_eq!(bits.count, 6);
        // The stuffed bit begins a run of its own kind: four more are five.
        bits.push(0, 4);
        assert_eq!(bits.count, 11);
    }

    #[test]
    fn a_frame_of_eight_bytes_has_131_bits_and_29_more_at_most() {
        for (id, data) in [
            (0x0AAA_AAAA, [0x55; 8]),
            (0, [0; 8]),
            (0x1FFF_FFFF, [0xFF; 8]),
            (0x029C_00F0, [0, 6, 0x1A, 0x80, 0, 0, 0x55, 0xF0]),
        ] {
            let bits = extended(id, data);
            assert_eq!(bits, 131 + stuffed(id, data), "{id:08X}");
            assert!(bits <= 160, "{id:08X}: {bits}");
        }
    }

    /// What is stuffed, found by looking at the bits as a text.
    fn stuffed(id: u32, data: [u8; 8]) -> u32 {
        let mut text = format!("0{:011b}11{:018b}0001000", id >> 18, id & 0x3_FFFF);
        data.iter().for_each(|byte| text += &format!("{byte:08b}"));
        let sum = text.chars().fold(0, |sum, bit| crc(sum, bit == '1'));
        text += &format!("{sum:015b}");
        let mut sent = String::new();
        for bit in text.chars() {
            sent.push(bit);
            if sent.ends_with("00000") {
                sent.push('1');
            } else if sent.ends_with("11111") {
                sent.push('0');
            }
        }
        u32::try_from(sent.len() - text.len()).unwrap()
    }
}
