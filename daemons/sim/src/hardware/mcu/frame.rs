//! The serial frame, without I/O.

use crc::{CRC_8_SAE_J1850, Crc};

const START: u8 = 0xA5;
const END: u8 = 0x03;
const LENGTH: usize = 12;

/// CRC-8 SAE J1850: polynomial 0x1D, start and final exclusive-or 0xFF.
const CRC: Crc<u8> = Crc::<u8>::new(&CRC_8_SAE_J1850);

/// A frame of this message.
#[must_use]
pub fn encode(id: u8, data: [u8; 8]) -> [u8; LENGTH] {
    let mut frame = [0; LENGTH];
    frame[0] = START;
    frame[1] = id;
    frame[2..10].copy_from_slice(&data);
    frame[10] = CRC.checksum(&frame[1..10]);
    frame[11] = END;
    frame
}

/// Takes bytes one at a time, in a buffer of one frame. What is no frame is skipped up to the next
/// byte that may begin one.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    /// Takes one byte; the message where it completed one.
    pub fn push(&mut self, byte: u8) -> Option<(u8, [u8; 8])> {
        self.bytes.push(byte);
        let frame = loop {
            let start = self.bytes.iter().position(|byte| *byte == START).unwrap_or(self.bytes.len());
            self.bytes.drain(..start);
            let frame: [u8; LENGTH] = self.bytes.get(..LENGTH)?.try_into().ok()?;
            if frame[11] == END && CRC.checksum(&frame[1..10]) == frame[10] {
                break frame;
            }
            self.bytes.remove(0);
        };
        self.bytes.clear();
        let data = frame[2..10].try_into().ok()?;
        Some((frame[1], data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_catalogue() {
        // The check value that catalogues give for CRC-8/SAE-J1850 over "123456789".
        assert_eq!(CRC.checksum(b"123456789"), 0x4B);
    }

    #[test]
    fn a_frame_is_found_behind_noise_and_a_broken_one() {
        let mut broken = encode(6, [0xA5; 8]);
        broken[10] ^= 1;
        let stream = [&[0x00, 0xA5, 0x06][..], &broken, &encode(6, [1, 2, 3, 4, 5, 6, 7, 0xA5])].concat();
        let mut decoder = Decoder::default();
        let found: Vec<_> = stream.iter().filter_map(|byte| decoder.push(*byte)).collect();
        assert_eq!(found, [(6, [1, 2, 3, 4, 5, 6, 7, 0xA5])]);
    }
}
