//! Bytes to lines and lines to bytes, without I/O.

use crate::{CanFrame, CanId};

/// Longest line that means anything: `T`, 8 digits of id, length, 16 digits of data, 4 of time.
const LONGEST: usize = 1 + 8 + 1 + 16 + 4;

/// One line of the protocol, from either end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// `t…` or `T…`: a data frame.
    Frame(CanFrame),
    /// `S0`…`S8`: the host chooses 10, 20, 50, 100, 125, 250, 500, 800 or 1000 kbit/s.
    BitRate(u8),
    /// `O`, or `L` (listen only): the host opens the channel.
    Open,
    /// `C`: the host closes the channel.
    Close,
    /// An empty line: the adapter has done the last command.
    Done,
    /// BEL: the adapter refused the last command.
    Refused,
    /// `z` or `Z`: the adapter has queued a base or an extended frame.
    Sent,
    /// A well-formed command that neither end here needs: `V`, `N`, `F`, `Z1`, remote frames.
    /// Its first letter.
    Other(u8),
}

/// Takes bytes one at a time, in a buffer of one line.
///
/// A line that makes no sense is dropped whole and counted; decoding goes on after the next
/// carriage return.
#[derive(Debug, Default)]
pub struct Decoder {
    line: [u8; LONGEST],
    length: usize,
    overlong: bool,
    garbled: u64,
}

impl Decoder {
    /// Takes one byte; a line where it completed one.
    pub fn push(&mut self, byte: u8) -> Option<Line> {
        match byte {
            // Answers to a refused command carry no carriage return.
            0x07 => {
                if self.length > 0 || self.overlong {
                    self.garbled += 1;
                }
                self.restart();
                Some(Line::Refused)
            }
            b'\r' => {
                let line = if self.overlong { None } else { parse(&self.line[..self.length]) };
                if line.is_none() {
                    self.garbled += 1;
                }
                self.restart();
                line
            }
            // Some adapters end their lines in CR LF.
            b'\n' if self.length == 0 => None,
            _ => {
                if let Some(slot) = self.line.get_mut(self.length) {
                    *slot = byte;
                    self.length += 1;
                } else {
                    self.overlong = true;
                }
                None
            }
        }
    }

    /// Lines dropped so far because they made no sense.
    #[must_use]
    pub fn garbled(&self) -> u64 {
        self.garbled
    }

    fn restart(&mut self) {
        self.length = 0;
        self.overlong = false;
    }
}

fn parse(line: &[u8]) -> Option<Line> {
    let Some((&command, rest)) = line.split_first() else { return Some(Line::Done) };
    match (command, rest) {
        (b't', _) => frame(rest, 3),
        (b'T', _) => frame(rest, 8),
        (b'O' | b'L', []) => Some(Line::Open),
        (b'C', []) => Some(Line::Close),
        (b'S', [digit @ b'0'..=b'8']) => Some(Line::BitRate(digit - b'0')),
        (b'z' | b'Z', []) => Some(Line::Sent),
        (letter, _) if letter.is_ascii_alphabetic() && rest.iter().all(u8::is_ascii_graphic) => {
            Some(Line::Other(letter))
        }
        _ => None,
    }
}

fn frame(text: &[u8], id_digits: usize) -> Option<Line> {
    let (id, text) = text.split_at_checked(id_digits)?;
    let bits = id.iter().try_fold(0_u32, |bits, digit| Some(bits << 4 | u32::from(hex(*digit)?)))?;
    let id = if id_digits == 3 { CanId::standard(bits) } else { CanId::extended(bits) }.ok()?;
    let (length, text) = text.split_first()?;
    let length = usize::from(hex(*length)?);
    let (digits, time) = text.split_at_checked(length * 2)?;
    // An adapter may add a millisecond time stamp of four digits.
    if !(time.is_empty() || time.len() == 4 && time.iter().all(|digit| hex(*digit).is_some())) {
        return None;
    }
    let mut data = [0; 8];
    for (byte, pair) in data.get_mut(..length)?.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = hex(pair[0])? << 4 | hex(pair[1])?;
    }
    CanFrame::new(id, &data[..length]).ok().map(Line::Frame)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Appends a line, with its end, to `out`.
///
/// [`Line::Sent`] is written as for an extended frame. [`Line::BitRate`] above 8 is no command
/// and the other end will refuse it.
pub fn encode(line: Line, out: &mut impl Extend<u8>) {
    match line {
        Line::Frame(frame) => {
            let (letter, digits) = if frame.id().is_extended() { (b'T', 8) } else { (b't', 3) };
            out.extend([letter]);
            out.extend((0..digits).rev().map(|place| nibble(frame.id().bits() >> (4 * place))));
            let data = frame.data();
            out.extend(data.len().try_into().ok().map(nibble));
            out.extend(data.iter().flat_map(|byte| [nibble(u32::from(byte >> 4)), nibble(u32::from(*byte))]));
        }
        Line::BitRate(number) => out.extend([b'S', nibble(u32::from(number))]),
        Line::Open => out.extend([b'O']),
        Line::Close => out.extend([b'C']),
        Line::Done => {}
        Line::Refused => return out.extend([0x07]),
        Line::Sent => out.extend([b'Z']),
        Line::Other(letter) => out.extend([letter]),
    }
    out.extend([b'\r']);
}

fn nibble(value: u32) -> u8 {
    b"0123456789ABCDEF"[(value & 0xF) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> (Vec<Line>, u64) {
        let mut decoder = Decoder::default();
        let lines = bytes.iter().filter_map(|byte| decoder.push(*byte)).collect();
        (lines, decoder.garbled())
    }

    fn extended(bits: u32, data: &[u8]) -> Line {
        Line::Frame(CanFrame::new(CanId::extended(bits).unwrap(), data).unwrap())
    }

    #[test]
    fn frames_of_the_manual_are_read_in_both_cases_and_with_a_time_stamp() {
        let (lines, garbled) = decode(b"t10021133\rT0283f000843FA000040600000\rT029AF0000ABCD\r");
        assert_eq!(
            lines,
            [
                Line::Frame(CanFrame::new(CanId::standard(0x100).unwrap(), &[0x11, 0x33]).unwrap()),
                extended(0x0283_F000, &[0x43, 0xFA, 0, 0, 0x40, 0x60, 0, 0]),
                extended(0x029A_F000, &[]),
            ]
        );
        assert_eq!(garbled, 0);
    }

    #[test]
    fn commands_and_answers_are_told_apart() {
        let (lines, garbled) = decode(b"C\rS4\rO\r\r\x07z\rZ\rV\rZ1\r");
        assert_eq!(
            lines,
            [
                Line::Close,
                Line::BitRate(4),
                Line::Open,
                Line::Done,
                Line::Refused,
                Line::Sent,
                Line::Sent,
                Line::Other(b'V'),
                Line::Other(b'Z'),
            ]
        );
        assert_eq!(garbled, 0);
    }

    #[test]
    fn garbage_costs_its_own_line_and_is_counted() {
        let mut bytes = b"T0283F00\xFF\r".to_vec();
        bytes.extend([b'x'; 500]);
        bytes.extend(b"\rT0283F0000\r");
        assert_eq!(decode(&bytes), (vec![extended(0x0283_F000, &[])], 2));
    }

    #[test]
    fn frames_that_cannot_be_are_refused() {
        for bad in [
            "T20000000", /* 30 bits */
            "t8000",
            "t1009112233445566778899",
            "t10021",
            "t1002113x",
            "t100",
        ] {
            assert_eq!(decode(format!("{bad}\r").as_bytes()), (vec![], 1), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_byte_stream_is_survived_and_the_next_good_line_is_read(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let mut decoder = Decoder::default();
            for byte in bytes {
                let _ = decoder.push(byte);
                prop_assert!(decoder.length <= LONGEST);
            }
            let _ = decoder.push(b'\r');
            let lines: Vec<Line> = b"T0283F0000\r".iter().filter_map(|byte| decoder.push(*byte)).collect();
            prop_assert_eq!(lines, [extended(0x0283_F000, &[])]);
        }

        #[test]
        fn what_is_encoded_decodes_to_itself(
            bits in 0_u32..=0x1FFF_FFFF,
            is_extended in any::<bool>(),
            data in proptest::collection::vec(any::<u8>(), 0..=8),
        ) {
            let id = if is_extended { CanId::extended(bits) } else { CanId::standard(bits & 0x7FF) };
            let line = Line::Frame(CanFrame::new(id.unwrap(), &data).unwrap());
            let mut bytes = Vec::new();
            encode(line, &mut bytes);
            prop_assert_eq!(decode(&bytes), (vec![line], 0));
        }
    }
}
