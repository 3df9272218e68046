//! The frames of the safety controller's serial line, without I/O.
//!
//! ```text
//! A5 | identifier | 8 data bytes | CRC-8 SAE J1850 of identifier and data | 03
//! ```
//!
//! Source: chargebyte, documentation of the safety controller's communication protocol.

use crc::{CRC_8_SAE_J1850, Crc};

const START: u8 = 0xA5;
const END: u8 = 0x03;
/// Bytes of every frame.
pub const LENGTH: usize = 12;

const CRC: Crc<u8> = Crc::<u8>::new(&CRC_8_SAE_J1850);

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Which message it is.
    pub id: u8,
    /// Its data; numbers in it are big-endian.
    pub data: [u8; 8],
}

impl Frame {
    /// The bytes on the line.
    #[must_use]
    pub fn encode(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = START;
        bytes[1] = self.id;
        bytes[2..10].copy_from_slice(&self.data);
        bytes[10] = CRC.checksum(&bytes[1..10]);
        bytes[11] = END;
        bytes
    }

    fn decode(bytes: &[u8; LENGTH]) -> Result<Self, BadBytes> {
        if bytes[11] != END {
            return Err(BadBytes::NoEnd);
        }
        let computed = CRC.checksum(&bytes[1..10]);
        if computed != bytes[10] {
            return Err(BadBytes::Checksum { found: bytes[10], computed });
        }
        let mut data = [0; 8];
        data.copy_from_slice(&bytes[2..10]);
        Ok(Self { id: bytes[1], data })
    }
}

/// Why bytes were skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBytes {
    /// Bytes between frames.
    #[error("no start of a frame in 0x{0:02X}")]
    NoStart(u8),
    /// The twelfth byte is no end of a frame.
    #[error("no end where a frame should end")]
    NoEnd,
    /// The checksum does not fit.
    #[error("wrong checksum: 0x{found:02X} instead of 0x{computed:02X}")]
    Checksum {
        /// What the frame says.
        found: u8,
        /// What its bytes give.
        computed: u8,
    },
}

/// Finds frames in a stream of bytes. It never holds more than one frame; after bad bytes it
/// begins again at the next byte that may start a frame, so a good frame behind them is found.
#[derive(Debug, Default)]
pub struct Decoder {
    held: [u8; LENGTH],
    length: usize,
}

impl Decoder {
    /// Nothing held.
    #[must_use]
    pub const fn new() -> Self {
        Self { held: [0; LENGTH], length: 0 }
    }

    /// Takes one byte. `Some` where a frame is complete, or bytes had to be skipped.
    pub fn push(&mut self, byte: u8) -> Option<Result<Frame, BadBytes>> {
        if self.length == 0 && byte != START {
            return Some(Err(BadBytes::NoStart(byte)));
        }
        self.held[self.length] = byte;
        self.length += 1;
        if self.length < LENGTH {
            return None;
        }
        let decoded = Frame::decode(&self.held);
        match decoded {
            Ok(_) => self.length = 0,
            Err(_) => self.skip_to_next_start(),
        }
        Some(decoded)
    }

    fn skip_to_next_start(&mut self) {
        let next = (1..LENGTH).find(|index| self.held[*index] == START).unwrap_or(LENGTH);
        self.held.copy_within(next.., 0);
        self.length = LENGTH - next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 5 % duty, contactors open. The checksum was computed bit by bit from the vendor's
    /// parameters (polynomial 0x1D, initial value and final exclusive-or 0xFF), outside this crate.
    const CHARGE_CONTROL: [u8; LENGTH] =
        [0xA5, 0x06, 0x80, 0x32, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xEF, 0x03];

    fn decode(bytes: &[u8]) -> Vec<Frame> {
        let mut decoder = Decoder::new();
        bytes.iter().filter_map(|byte| decoder.push(*byte)).filter_map(Result::ok).collect()
    }

    #[test]
    fn the_checksum_is_the_catalogues() {
        assert_eq!(CRC.checksum(b"123456789"), 0x4B, "check value of CRC-8/SAE-J1850");
    }

    #[test]
    fn a_frame_is_encoded_and_decoded_as_the_vendor_defines_it() {
        let frame = Frame { id: 0x06, data: [0x80, 0x32, 0, 0, 0, 0, 0, 0] };
        assert_eq!(frame.encode(), CHARGE_CONTROL);
        assert_eq!(decode(&CHARGE_CONTROL), [frame]);
    }

    #[test]
    fn a_wrong_checksum_or_end_is_told_and_carries_nothing() {
        let last = |bytes: [u8; LENGTH]| {
            let mut decoder = Decoder::new();
            bytes.map(|byte| decoder.push(byte))[LENGTH - 1]
        };
        let mut flipped = CHARGE_CONTROL;
        flipped[10] ^= 0x01;
        let found = flipped[10];
        let computed = CHARGE_CONTROL[10];
        assert_eq!(last(flipped), Some(Err(BadBytes::Checksum { found, computed })));
        let mut unended = CHARGE_CONTROL;
        unended[11] = 0x04;
        assert_eq!(last(unended), Some(Err(BadBytes::NoEnd)));
    }

    #[test]
    fn a_frame_cut_short_does_not_take_the_next_one_with_it() {
        let stream = [&CHARGE_CONTROL[..7], &CHARGE_CONTROL[..]].concat();
        assert_eq!(decode(&stream).len(), 1);
    }

    proptest! {
        #[test]
        fn every_frame_survives_the_line(id: u8, data: [u8; 8]) {
            let frame = Frame { id, data };
            prop_assert_eq!(decode(&frame.encode()), [frame]);
        }

        #[test]
        fn a_frame_behind_any_noise_is_found(
            noise in prop::collection::vec(any::<u8>(), 0..64), id: u8, data: [u8; 8],
        ) {
            let frame = Frame { id, data };
            // Noise may end in what looks like the start of a frame; the second copy gets through.
            let stream = [&noise[..], &frame.encode(), &frame.encode()].concat();
            prop_assert!(decode(&stream).contains(&frame));
        }

        #[test]
        fn a_single_flipped_bit_is_never_taken(id: u8, data: [u8; 8], byte in 1_usize..11, bit in 0_u8..8) {
            let mut bytes = Frame { id, data }.encode();
            bytes[byte] ^= 1 << bit;
            prop_assert_eq!(decode(&bytes), []);
        }
    }
}
