//! The frames of a PN532 on its serial line (HSU), without I/O.
//!
//! ```text
//! information  00 00 FF | LEN | LCS | TFI PD0 … | DCS | 00     LEN + LCS = 0, TFI + … + DCS = 0 (mod 256)
//! extended     00 00 FF | FF FF | LENM LENL LCS | TFI PD0 … | DCS | 00
//! ACK          00 00 FF | 00 FF | 00
//! NACK         00 00 FF | FF 00 | 00
//! error        00 00 FF | 01 FF | 7F | 81 | 00
//! ```
//!
//! TFI is D4 from the host and D5 from the PN532. Zeros before and behind a frame mean nothing.
//! Source: NXP UM0701-02 (PN532 user manual, rev. 02), 6.2.1.

/// From the host.
const TO_PN532: u8 = 0xD4;
/// To the host.
const FROM_PN532: u8 = 0xD5;
/// The one data byte of an error frame.
const ERROR: u8 = 0x7F;
/// The longest data of an extended frame: TFI, a code, 262 bytes and one more (UM0701-02, 6.2.1.2: 264 + TFI).
const DATA_MAX: usize = 265;

/// The host takes the command back, or has the answer (6.2.1.3).
pub const ACK: [u8; 6] = [0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00];
/// The host wants the last answer again (6.2.1.4).
pub const NACK: [u8; 6] = [0x00, 0x00, 0xFF, 0xFF, 0x00, 0x00];

/// What a PN532 said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It took the command.
    Ack,
    /// It did not understand the command.
    Nack,
    /// The command is none that it can carry out.
    Error,
    /// The answer to a command.
    Answer {
        /// The command's code and one.
        code: u8,
        /// What follows it.
        data: Vec<u8>,
    },
}

/// Why bytes were skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBytes {
    /// Bytes between frames.
    #[error("no start of a frame in 0x{0:02X}")]
    NoStart(u8),
    /// The length and its checksum do not belong together, or no frame is so long.
    #[error("no length of a frame")]
    Length,
    /// The data's checksum does not fit.
    #[error("wrong checksum")]
    Checksum,
    /// A frame that does not come from a PN532.
    #[error("a frame from 0x{0:02X}, which is no PN532")]
    Sender(u8),
}

/// The frame of a command with its parameters, at most 253 bytes of them.
#[must_use]
pub fn encode(code: u8, parameters: &[u8]) -> Vec<u8> {
    let data = [&[TO_PN532, code], parameters].concat();
    let length = u8::try_from(data.len()).expect("our commands are short");
    let mut bytes = vec![0x00, 0x00, 0xFF, length, length.wrapping_neg()];
    bytes.extend_from_slice(&data);
    bytes.extend([sum(&data).wrapping_neg(), 0x00]);
    bytes
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// Finds frames in a stream of bytes. It never holds more than one frame; after bad bytes it begins again at the
/// next byte that may start a frame, so a good frame behind or within them is found.
#[derive(Debug, Default)]
pub struct Decoder {
    held: Vec<u8>,
}

/// What the bytes held are, from the first on.
enum Found {
    /// Not enough to say.
    More,
    /// Zeros that mean nothing.
    Idle,
    Frame(Heard, usize),
    Bad(BadBytes),
}

impl Decoder {
    /// Nothing held.
    #[must_use]
    pub const fn new() -> Self {
        Self { held: Vec::new() }
    }

    /// Forgets what is held.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// Takes what the line delivered: the frames that are complete with it, and what had to be skipped, in order.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<Result<Heard, BadBytes>> {
        let mut found = Vec::new();
        for byte in bytes {
            self.held.push(*byte);
            loop {
                match inspect(&self.held) {
                    Found::More => break,
                    Found::Idle => self.skip(1),
                    Found::Frame(heard, length) => {
                        self.skip(length);
                        found.push(Ok(heard));
                    }
                    Found::Bad(cause) => {
                        let next = self.held.iter().skip(1).position(|byte| *byte == 0x00);
                        self.skip(next.map_or(self.held.len(), |place| place + 1));
                        found.push(Err(cause));
                    }
                }
            }
        }
        found
    }

    fn skip(&mut self, length: usize) {
        self.held.drain(..length);
    }
}

fn inspect(held: &[u8]) -> Found {
    match held {
        [] | [0x00] | [0x00, 0xFF] | [0x00, 0xFF, _] => Found::More,
        [0x00, 0x00, ..] => Found::Idle,
        [0x00, 0xFF, 0x00, 0xFF, ..] => Found::Frame(Heard::Ack, 4),
        [0x00, 0xFF, 0xFF, 0x00, ..] => Found::Frame(Heard::Nack, 4),
        [0x00, 0xFF, 0xFF, 0xFF, rest @ ..] => match rest {
            [high, low, check, ..] if sum(&[*high, *low, *check]) == 0 => {
                data(held, 7, usize::from(u16::from_be_bytes([*high, *low])))
            }
            [_, _, _, ..] => Found::Bad(BadBytes::Length),
            _ => Found::More,
        },
        [0x00, 0xFF, length, check, ..] if sum(&[*length, *check]) == 0 => {
            data(held, 4, usize::from(*length))
        }
        [0x00, 0xFF, ..] => Found::Bad(BadBytes::Length),
        [byte, ..] => Found::Bad(BadBytes::NoStart(*byte)),
    }
}

/// The data of `length` that begins at `start`, with its checksum.
fn data(held: &[u8], start: usize, length: usize) -> Found {
    if !(1..=DATA_MAX).contains(&length) {
        return Found::Bad(BadBytes::Length);
    }
    let end = start + length;
    let Some(checked) = held.get(start..=end) else { return Found::More };
    if sum(checked) != 0 {
        return Found::Bad(BadBytes::Checksum);
    }
    let heard = match &checked[..length] {
        [ERROR] => Heard::Error,
        [FROM_PN532, code, data @ ..] => Heard::Answer { code: *code, data: data.to_vec() },
        [FROM_PN532] => return Found::Bad(BadBytes::Length),
        [other, ..] => return Found::Bad(BadBytes::Sender(*other)),
        [] => return Found::Bad(BadBytes::Length),
    };
    Found::Frame(heard, end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The answer to GetFirmwareVersion and an ACK before it, as several makers' documents print them.
    const FIRMWARE: &str = "00 00 FF 00 FF 00 00 00 FF 06 FA D5 03 32 01 06 07 E8 00";

    fn bytes(hex: &str) -> Vec<u8> {
        hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn good(found: Vec<Result<Heard, BadBytes>>) -> Vec<Heard> {
        found.into_iter().filter_map(Result::ok).collect()
    }

    fn answer(code: u8, data: &[u8]) -> Heard {
        Heard::Answer { code, data: data.to_vec() }
    }

    /// An information frame from a PN532.
    fn from_pn532(code: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = encode(code, data);
        // D5 instead of D4: the sum is one more.
        frame[5] = FROM_PN532;
        let place = frame.len() - 2;
        frame[place] = frame[place].wrapping_sub(1);
        frame
    }

    #[test]
    fn commands_have_the_bytes_that_the_makers_documents_print() {
        assert_eq!(encode(0x02, &[]), bytes("00 00 FF 02 FE D4 02 2A 00"));
        assert_eq!(encode(0x14, &[0x01]), bytes("00 00 FF 03 FD D4 14 01 17 00"));
        assert_eq!(encode(0x4A, &[0x01, 0x00]), bytes("00 00 FF 04 FC D4 4A 01 00 E1 00"));
    }

    #[test]
    fn an_ack_an_answer_and_an_error_are_told_apart() {
        let mut decoder = Decoder::new();
        let found = good(decoder.take(&bytes(FIRMWARE)));
        assert_eq!(found, [Heard::Ack, answer(0x03, &[0x32, 0x01, 0x06, 0x07])]);
        assert_eq!(good(decoder.take(&bytes("00 00 FF 01 FF 7F 81 00"))), [Heard::Error]);
        assert_eq!(good(decoder.take(&NACK)), [Heard::Nack]);
    }

    #[test]
    fn an_extended_frame_is_read_and_a_longer_one_than_any_is_refused() {
        let mut long = vec![0x00, 0x00, 0xFF, 0xFF, 0xFF, 0x01, 0x02, 0xFD, FROM_PN532, 0x41];
        long.extend([0; 256]);
        long.extend([0xEA, 0x00]);
        assert_eq!(good(Decoder::new().take(&long)), [answer(0x41, &[0; 256])]);
        long[5] = 0xFF;
        long[7] = 0xFF;
        assert_eq!(Decoder::new().take(&long)[0], Err(BadBytes::Length));
    }

    #[test]
    fn a_frame_cut_short_or_damaged_does_not_take_the_next_one_with_it() {
        let whole = bytes(FIRMWARE);
        for cut in 0..whole.len() {
            let mut decoder = Decoder::new();
            decoder.take(&whole[..cut]);
            // What was cut may want the first of the next frames to be complete.
            let found = good(decoder.take(&[&whole[..], &whole[..]].concat()));
            assert!(
                found.ends_with(&[Heard::Ack, answer(0x03, &[0x32, 0x01, 0x06, 0x07])]),
                "{cut}: {found:?}"
            );
        }
        let mut wrong = whole.clone();
        wrong[13] ^= 0x10;
        assert!(Decoder::new().take(&wrong).contains(&Err(BadBytes::Checksum)));
    }

    #[test]
    fn our_own_words_on_the_line_are_no_answer() {
        let found = Decoder::new().take(&encode(0x02, &[]));
        assert_eq!(found[0], Err(BadBytes::Sender(TO_PN532)));
        assert_eq!(good(found), []);
    }

    proptest! {
        #[test]
        fn every_answer_survives_the_line(code: u8, data in proptest::collection::vec(any::<u8>(), 0..=252)) {
            let frame = from_pn532(code, &data);
            prop_assert_eq!(good(Decoder::new().take(&frame)), [answer(code, &data)]);
        }

        #[test]
        fn whatever_came_holds_no_more_than_a_frame_and_the_second_good_answer_is_read(
            noise in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let mut decoder = Decoder::new();
            decoder.take(&noise);
            prop_assert!(decoder.held.len() <= DATA_MAX + 8);
            // What the noise began may be as long as a frame can be.
            decoder.take(&[0x00; DATA_MAX + 8]);
            let frame = from_pn532(0x03, &[0x32]);
            let found = good(decoder.take(&[&frame[..], &frame[..]].concat()));
            prop_assert_eq!(found.last(), Some(&answer(0x03, &[0x32])));
        }

        #[test]
        fn one_flipped_bit_never_yields_another_answer(data in proptest::collection::vec(any::<u8>(), 1..20), bit in 0..2000usize) {
            let mut frame = from_pn532(0x4B, &data);
            let bit = bit % (frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
            for heard in good(Decoder::new().take(&frame)) {
                prop_assert!(!matches!(&heard, Heard::Answer { data: found, .. } if *found != data), "{heard:?}");
            }
        }
    }
}
