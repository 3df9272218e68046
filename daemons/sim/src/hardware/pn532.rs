//! A PN532 card reader on its serial line (HSU), device side, as NXP's user manual UM0701-02 has it.
//!
//! ```text
//! Asleep ──any byte, which is lost──▶ Awake: command ▶ ACK ▶ answer; the host's ACK ends what is under way,
//!                                            its NACK gets the last answer again
//! ```
//!
//! A card that was listed stays active, and answers no further look until the field was away: the hardest reading
//! of ISO 14443-3, which some chips soften by trying again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Wire;
use crate::electrical::SharedCircuit;
use crate::faults::Fault;

const GET_FIRMWARE_VERSION: u8 = 0x02;
const SAM_CONFIGURATION: u8 = 0x14;
const RF_CONFIGURATION: u8 = 0x32;
const IN_LIST_PASSIVE_TARGET: u8 = 0x4A;

/// Items of RFConfiguration.
const RF_FIELD: u8 = 0x01;
const MAX_RETRIES: u8 = 0x05;
/// It looks until a card comes.
const FOR_EVER: u8 = 0xFF;

/// From a command's last byte to the ACK.
const ACKS_IN: Duration = Duration::from_millis(1);
/// From the ACK to the answer to a setting.
const ANSWERS_IN: Duration = Duration::from_millis(2);
/// One look for a card.
const LOOKS_FOR: Duration = Duration::from_millis(6);
/// The longest command that any host sends, with all around it.
const HELD_MAX: usize = 300;

/// What a card's number can be.
const UID_LENGTHS: [usize; 3] = [4, 7, 10];

/// The place before the antenna, where people hold cards.
#[derive(Debug, Clone, Default)]
pub struct CardField(Arc<Mutex<Field>>);

#[derive(Debug, Default)]
struct Field {
    card: Option<Vec<u8>>,
    /// The host has seen the card that lies there.
    listed: bool,
    /// The host has seen that nothing lies there since it last began.
    seen_empty: bool,
}

impl CardField {
    /// Lays a card there. Its number is 4, 7 or 10 bytes in hexadecimal digits; else nothing is laid.
    pub fn lay(&self, number: &str) -> bool {
        if !number.bytes().all(|letter| letter.is_ascii_hexdigit()) {
            return false;
        }
        let byte = |place: usize| u8::from_str_radix(number.get(place..place + 2)?, 16).ok();
        let bytes: Option<Vec<u8>> = (0..number.len()).step_by(2).map(byte).collect();
        let Some(uid) = bytes.filter(|uid| UID_LENGTHS.contains(&uid.len())) else { return false };
        self.with(|field| *field = Field { card: Some(uid), listed: false, ..*field });
        true
    }

    /// Takes it away.
    pub fn take_away(&self) {
        self.with(|field| *field = Field { card: None, listed: false, ..*field });
    }

    /// Whether the host has seen the card that lies there.
    #[must_use]
    pub fn is_listed(&self) -> bool {
        self.with(|field| field.listed)
    }

    /// Whether the host has seen that nothing lies there, since it last began.
    #[must_use]
    pub fn was_seen_empty(&self) -> bool {
        self.with(|field| field.seen_empty)
    }

    fn with<T>(&self, f: impl FnOnce(&mut Field) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The reader of one EVSE.
#[derive(Debug)]
pub struct Pn532 {
    circuit: SharedCircuit,
    field: CardField,
    awake: bool,
    received: Vec<u8>,
    retries: u8,
    field_on: bool,
    /// A card is active since the field came on.
    active: bool,
    looking: Option<Look>,
    /// What leaves it, and when.
    leaving: Vec<(Duration, Vec<u8>)>,
    last_answer: Vec<u8>,
    sent: u32,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    next: Duration,
    /// `None`: for ever.
    left: Option<u8>,
}

impl Pn532 {
    /// Powered up and asleep, with `field` before its antenna; `circuit` has its faults.
    #[must_use]
    pub fn new(field: CardField, circuit: SharedCircuit) -> Self {
        Self {
            circuit,
            field,
            awake: false,
            received: Vec::new(),
            retries: FOR_EVER,
            field_on: false,
            active: false,
            looking: None,
            leaving: Vec::new(),
            last_answer: Vec::new(),
            sent: 0,
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.circuit.with(|circuit| circuit.faults.has(fault))
    }

    /// Takes the first frame out of what was received, if there is one.
    fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let start = self.received.windows(2).position(|two| two == [0x00, 0xFF])?;
            self.received.drain(..start);
            let (frame, length) = match self.received[2..] {
                [0x00, 0xFF, ..] => (Some(Frame::Ack), 4),
                [0xFF, 0x00, ..] => (Some(Frame::Nack), 4),
                [length, check, ref rest @ ..] if length.wrapping_add(check) == 0 => {
                    let length = usize::from(length);
                    let data = rest.get(..=length)?;
                    let whole = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)) == 0;
                    match &data[..length] {
                        [0xD4, command @ ..] if whole => (Some(Frame::Command(command.to_vec())), 5 + length),
                        _ => (None, 2),
                    }
                }
                [_, _, ..] => (None, 2),
                [] | [_] => return None,
            };
            self.received.drain(..length);
            if frame.is_some() {
                return frame;
            }
        }
    }

    fn obey(&mut self, now: Duration, command: &[u8]) {
        self.looking = None;
        self.leaving.clear();
        self.leaving.push((now + ACKS_IN, vec![0x00, 0x00, 0xFF, 0x00, 0xFF, 0x00]));
        let at = now + ACKS_IN + ANSWERS_IN;
        match command {
            [GET_FIRMWARE_VERSION] => self.answer(at, &[0x03, 0x32, 0x01, 0x06, 0x07]),
            [SAM_CONFIGURATION, 0x01, ..] => {
                self.field.with(|field| field.seen_empty = false);
                self.answer(at, &[0x15]);
            }
            [RF_CONFIGURATION, RF_FIELD, on] => {
                self.field_on = on & 1 == 1;
                self.active &= self.field_on;
                self.answer(at, &[0x33]);
            }
            [RF_CONFIGURATION, MAX_RETRIES, _, _, passive_activation] => {
                self.retries = *passive_activation;
                self.answer(at, &[0x33]);
            }
            [IN_LIST_PASSIVE_TARGET, 0x01, 0x00] => {
                self.field_on = true;
                let left = (self.retries != FOR_EVER).then_some(self.retries);
                self.looking = Some(Look { next: now + ACKS_IN + LOOKS_FOR, left });
            }
            // A syntax error.
            _ => self.send(at, vec![0x00, 0x00, 0xFF, 0x01, 0xFF, 0x7F, 0x81, 0x00]),
        }
    }

    fn look(&mut self, now: Duration) {
        let Some(look) = self.looking.filter(|look| look.next <= now) else { return };
        let uid = if self.active { None } else { self.field.with(|field| field.card.clone()) };
        self.looking = None;
        match (uid, look.left) {
            (Some(uid), _) => {
                self.active = true;
                self.field.with(|field| field.listed = true);
                let length = u8::try_from(uid.len()).expect("a card's number is short");
                // SENS_RES and SEL_RES of usual cards with numbers of this length.
                let kind = match length {
                    4 => [0x00, 0x04, 0x08],
                    7 => [0x00, 0x44, 0x00],
                    _ => [0x00, 0x84, 0x08],
                };
                self.answer(now, &[&[0x4B, 0x01, 0x01][..], &kind, &[length], &uid].concat());
            }
            (None, Some(0)) => {
                self.field.with(|field| field.seen_empty |= field.card.is_none());
                self.answer(now, &[0x4B, 0x00]);
            }
            (None, left) => {
                let left = left.map(|left| left - 1);
                self.looking = Some(Look { next: now + LOOKS_FOR, left });
            }
        }
    }

    fn answer(&mut self, at: Duration, data: &[u8]) {
        let data = [&[0xD5], data].concat();
        let length = u8::try_from(data.len()).expect("its answers are short");
        let sum = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        let head = [0x00, 0x00, 0xFF, length, length.wrapping_neg()];
        let frame = [&head[..], &data, &[sum.wrapping_neg(), 0x00]].concat();
        self.last_answer.clone_from(&frame);
        self.send(at, frame);
    }

    fn send(&mut self, at: Duration, mut frame: Vec<u8>) {
        self.sent += 1;
        if self.has(Fault::ReaderNoise) {
            if self.sent.is_multiple_of(4) {
                let middle = frame.len() / 2;
                frame[middle] ^= 0x24;
            }
            let noise = [0x00, 0xFF, 0x5A, 0x13, 0x00, 0xC7, 0xFF];
            frame.splice(..0, noise[..1 + self.sent as usize % noise.len()].iter().copied());
        }
        self.leaving.push((at, frame));
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Ack,
    Nack,
    Command(Vec<u8>),
}

impl Wire for Pn532 {
    fn receive(&mut self, now: Duration, bytes: &[u8]) {
        let heard = if self.awake { bytes } else { bytes.get(1..).unwrap_or_default() };
        self.awake |= !bytes.is_empty();
        self.received.extend_from_slice(heard);
        while let Some(frame) = self.next_frame() {
            match frame {
                Frame::Ack => {
                    self.looking = None;
                    self.leaving.clear();
                }
                Frame::Nack => self.send(now + ANSWERS_IN, self.last_answer.clone()),
                Frame::Command(command) => self.obey(now, &command),
            }
        }
        let excess = self.received.len().saturating_sub(HELD_MAX);
        self.received.drain(..excess);
    }

    fn transmit(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.look(now);
        let gone = self.has(Fault::ReaderGone);
        self.leaving.retain(|(at, frame)| {
            let due = *at <= now;
            if due && !gone {
                out.extend_from_slice(frame);
            }
            !due
        });
    }

    fn deadline(&self) -> Duration {
        let leaving = self.leaving.iter().map(|(at, _)| *at);
        leaving.chain(self.looking.map(|look| look.next)).min().unwrap_or(Duration::MAX / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::electrical::{Circuit, CircuitConfig};

    struct Bench {
        now: Duration,
        field: CardField,
        reader: Pn532,
        circuit: SharedCircuit,
    }

    impl Bench {
        fn new() -> Self {
            let circuit = SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(1)));
            let field = CardField::default();
            let reader = Pn532::new(field.clone(), circuit.clone());
            Self { now: Duration::ZERO, field, reader, circuit }
        }

        /// What it says within 50 ms after these bytes, in hexadecimal digits.
        fn ask(&mut self, hex: &str) -> String {
            let sent: Vec<u8> =
                hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            self.reader.receive(self.now, &sent);
            let mut out = Vec::new();
            for _ in 0..50 {
                self.now += Duration::from_millis(1);
                self.reader.transmit(self.now, &mut out);
            }
            out.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
        }
    }

    const WAKE_AND_CONFIGURE: &str =
        "55 55 00 00 00 00 00 00 00 00 00 00 00 00 00 00 FF 03 FD D4 14 01 17 00";
    const LIST: &str = "00 00 FF 04 FC D4 4A 01 00 E1 00";

    #[test]
    fn it_says_what_public_traces_of_such_readers_show() {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(WAKE_AND_CONFIGURE), "00 00 FF 00 FF 00 00 00 FF 02 FE D5 15 16 00");
        let firmware = bench.ask("00 00 FF 02 FE D4 02 2A 00");
        assert_eq!(firmware, "00 00 FF 00 FF 00 00 00 FF 06 FA D5 03 32 01 06 07 E8 00");
        assert!(bench.field.lay("6E8AE2B0"));
        let listed = bench.ask(LIST);
        assert_eq!(listed, "00 00 FF 00 FF 00 00 00 FF 0C F4 D5 4B 01 01 00 04 08 04 6E 8A E2 B0 44 00");
        assert!(bench.field.is_listed());
        let again = bench.ask("00 00 FF FF 00 00");
        assert_eq!(again, listed["00 00 FF 00 FF 00 ".len()..]);
    }

    #[test]
    fn it_looks_for_ever_until_it_is_told_how_often_and_a_card_wants_a_new_field() {
        let mut bench = Bench::new();
        bench.ask(WAKE_AND_CONFIGURE);
        assert_eq!(bench.ask(LIST), "00 00 FF 00 FF 00", "nothing lies there");
        bench.field.lay("047BCB51962280");
        let found = bench.ask("");
        assert!(found.ends_with("D5 4B 01 01 00 44 00 07 04 7B CB 51 96 22 80 C0 00"), "{found}");
        bench.ask("00 00 FF 06 FA D4 32 05 FF 01 02 F3 00");
        assert!(bench.ask(LIST).ends_with("D5 4B 00 E0 00"), "it is active already");
        bench.ask("00 00 FF 04 FC D4 32 01 00 F9 00");
        assert!(bench.ask(LIST).contains("04 7B CB"));
    }

    #[test]
    fn what_is_no_command_gets_no_ack_and_an_unknown_one_an_error() {
        let mut bench = Bench::new();
        bench.ask(WAKE_AND_CONFIGURE);
        assert_eq!(bench.ask("00 00 FF 02 FE D4 02 2B 00"), "");
        assert!(bench.ask("00 00 FF 02 FE D4 60 CC 00").ends_with("01 FF 7F 81 00"));
    }

    #[test]
    fn faults_take_its_voice_or_spoil_it() {
        let mut bench = Bench::new();
        bench.circuit.with(|circuit| circuit.faults.inject(Fault::ReaderGone));
        assert_eq!(bench.ask(WAKE_AND_CONFIGURE), "");
        bench.circuit.with(|circuit| {
            circuit.faults.clear(Fault::ReaderGone);
            circuit.faults.inject(Fault::ReaderNoise);
        });
        let clean = "00 00 FF 00 FF 00 00 00 FF 02 FE D5 15 16 00";
        assert_ne!(bench.ask(WAKE_AND_CONFIGURE), clean);
    }

    #[test]
    fn what_is_no_cards_number_cannot_be_laid_there() {
        let field = CardField::default();
        for number in ["", "GOOD", "04A1B2C", "04A1B2C3D4", "04A1B2ÇC3", "+4A1B2C3"] {
            assert!(!field.lay(number), "{number}");
        }
        assert!(field.lay("00112233445566778899"));
    }
}
