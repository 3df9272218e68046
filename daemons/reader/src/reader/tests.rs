//! A reader against a PN532 made of the bytes that makers' documents print, in virtual time.

use super::*;
use proptest::prelude::*;

const TIMES: Times = Times { interval: Duration::from_millis(250), hold_off: Duration::from_secs(2) };
const ACK: &str = "00 00 FF 00 FF 00";
const SAM_DONE: &str = "00 00 FF 02 FE D5 15 16 00";
const FIRMWARE: &str = "00 00 FF 06 FA D5 03 32 01 06 07 E8 00";
const RF_DONE: &str = "00 00 FF 02 FE D5 33 F8 00";
const NOTHING: &str = "00 00 FF 03 FD D5 4B 00 E0 00";
const CLASSIC: &str = "00 00 FF 0C F4 D5 4B 01 01 00 04 08 04 6E 8A E2 B0 44 00";
const NTAG: &str = "00 00 FF 0F F1 D5 4B 01 01 00 44 00 07 04 7B CB 51 96 22 80 C0 00";

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// What lies on a PN532, and what is wrong with it.
#[derive(Clone, Default)]
struct Chip {
    /// Its answer to InListPassiveTarget; empty: nothing lies there.
    card: &'static str,
    dead: bool,
    /// So many answers are damaged.
    damaged: u32,
    /// So many cards come with another number, whose sum fits.
    mistaken: u32,
    /// So many commands are not taken.
    deaf: u32,
    asleep: bool,
    last: Vec<u8>,
}

impl Chip {
    fn answers(&mut self, sent: &[u8]) -> Vec<Vec<u8>> {
        if self.dead {
            return Vec::new();
        }
        if sent.starts_with(&[0x55, 0x55]) {
            self.asleep = false;
            return Vec::new();
        }
        if self.asleep || sent == frame::ACK {
            return Vec::new();
        }
        if sent == frame::NACK {
            return vec![self.last.clone()];
        }
        let answer = match sent.get(6) {
            Some(0x14) => SAM_DONE,
            Some(0x02) => FIRMWARE,
            Some(0x32) => RF_DONE,
            Some(0x4A) if self.card.is_empty() => NOTHING,
            Some(0x4A) => self.card,
            other => panic!("asked {other:?}"),
        };
        if self.deaf > 0 {
            self.deaf -= 1;
            return Vec::new();
        }
        let mut answer = bytes(answer);
        self.last.clone_from(&answer);
        if self.damaged > 0 {
            self.damaged -= 1;
            answer[6] ^= 1;
        }
        if self.mistaken > 0 && answer.len() > 18 {
            self.mistaken -= 1;
            answer[13] = answer[13].wrapping_add(1);
            answer[14] = answer[14].wrapping_sub(1);
        }
        vec![bytes(ACK), answer]
    }
}

struct Bench {
    now: Timestamp,
    reader: Reader,
    chip: Chip,
    told: Vec<String>,
    wrong: Vec<Trouble>,
    known: u32,
}

impl Bench {
    fn new() -> Self {
        let chip = Chip { asleep: true, ..Chip::default() };
        let now = Timestamp::from_micros(1);
        let reader = Reader::new(TIMES);
        Self { now, reader, chip, told: Vec::new(), wrong: Vec::new(), known: 0 }
    }

    fn opened() -> Self {
        let mut bench = Self::new();
        bench.step(Input::Opened);
        bench.pass(1000);
        bench
    }

    fn step(&mut self, input: Input<'_>) {
        let mut due = self.reader.step(self.now, input);
        while !due.is_empty() {
            let mut next = Vec::new();
            for action in due {
                match action {
                    Action::Send(sent) => {
                        for answer in self.chip.answers(&sent) {
                            next.extend(self.reader.step(self.now, Input::Bytes(&answer)));
                        }
                    }
                    Action::Tell(uid) => self.told.push(uid.reveal()),
                    Action::Made(_) => {}
                    Action::Known(_) => self.known += 1,
                    Action::Wrong(trouble) => self.wrong.push(trouble),
                }
            }
            due = next;
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        while let Some(due) = self.reader.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.step(Input::Tick);
        }
        self.now = end;
    }

    fn lay(&mut self, card: &'static str, ms: u64) {
        self.chip.card = card;
        self.pass(ms);
        self.chip.card = "";
    }
}

#[test]
fn a_sleeping_reader_is_woken_asked_what_it_is_and_reads_a_card_once() {
    let mut bench = Bench::opened();
    assert_eq!(bench.known, 1);
    assert!(bench.reader.is_online(bench.now));
    bench.lay(CLASSIC, 30_000);
    bench.pass(1000);
    assert_eq!(bench.told, ["6E8AE2B0"]);
    bench.pass(2000);
    bench.lay(CLASSIC, 500);
    bench.lay(NTAG, 500);
    assert_eq!(bench.told, ["6E8AE2B0", "6E8AE2B0", "047BCB51962280"]);
    assert_eq!(bench.wrong, []);
}

#[test]
fn the_first_words_are_the_wake_up_an_end_of_what_was_and_the_configuration() {
    let mut reader = Reader::new(TIMES);
    let actions = reader.step(Timestamp::from_micros(1), Input::Opened);
    let wake = bytes("55 55 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 FF 00 FF 00");
    assert_eq!(actions, [Action::Send(wake), Action::Send(bytes("00 00 FF 03 FD D4 14 01 17 00"))]);
}

#[test]
fn a_card_that_lies_there_at_the_start_or_when_the_reader_comes_back_is_not_told() {
    let mut bench = Bench::new();
    bench.chip.card = CLASSIC;
    bench.step(Input::Opened);
    bench.pass(10_000);
    bench.chip.dead = true;
    bench.pass(60_000);
    assert!(!bench.reader.is_online(bench.now));
    bench.chip.dead = false;
    bench.pass(5000);
    bench.step(Input::Lost);
    bench.pass(60_000);
    bench.chip.asleep = true;
    bench.step(Input::Opened);
    bench.pass(5000);
    assert!(bench.reader.is_online(bench.now));
    assert_eq!(bench.told, Vec::<String>::new());
    bench.chip.card = "";
    bench.pass(2500);
    bench.lay(CLASSIC, 500);
    assert_eq!(bench.told, ["6E8AE2B0"]);
}

#[test]
fn a_damaged_answer_is_asked_for_again_and_a_command_that_was_not_taken_is_sent_again() {
    let mut bench = Bench::opened();
    bench.chip.damaged = 1;
    bench.pass(500);
    assert!(bench.wrong.contains(&Trouble::Bytes(BadBytes::Checksum)), "{:?}", bench.wrong);
    let noise_alone = |trouble: &Trouble| matches!(trouble, Trouble::Bytes(_));
    assert!(bench.wrong.iter().all(noise_alone), "it was not woken anew: {:?}", bench.wrong);
    let before = bench.wrong.len();
    bench.chip.deaf = 1;
    bench.lay(CLASSIC, 500);
    assert_eq!(bench.told, ["6E8AE2B0"]);
    assert_eq!(bench.wrong.len(), before, "one lost command is no trouble");
}

#[test]
fn a_number_damaged_so_that_the_sum_still_fits_is_told_to_nobody() {
    let mut bench = Bench::opened();
    bench.chip.mistaken = 1;
    bench.lay(CLASSIC, 500);
    assert_eq!((&bench.told[..], bench.chip.mistaken), (&["6E8AE2B0".to_owned()][..], 0));
    assert_eq!(bench.wrong, []);
}

#[test]
fn a_reader_that_is_gone_is_told_so_and_found_again() {
    let mut bench = Bench::opened();
    bench.chip.dead = true;
    bench.pass(2500);
    assert!(bench.reader.is_online(bench.now), "not yet");
    bench.pass(1500);
    assert!(!bench.reader.is_online(bench.now));
    assert!(bench.wrong.contains(&Trouble::NoAck(Command::SamConfiguration)), "{:?}", bench.wrong);
    bench.chip = Chip { asleep: true, ..Chip::default() };
    bench.pass(1500);
    assert!(bench.reader.is_online(bench.now));
    bench.lay(NTAG, 500);
    assert_eq!(bench.told, ["047BCB51962280"]);
}

#[test]
fn a_number_that_is_made_up_is_told_to_nobody() {
    let mut bench = Bench::opened();
    bench.lay("00 00 FF 0C F4 D5 4B 01 01 00 04 20 04 08 11 22 33 48 00", 1000);
    assert_eq!((bench.told.len(), &bench.wrong[..]), (0, &[][..]));
}

proptest! {
    #[test]
    fn no_bytes_make_it_tell_a_card_that_nobody_sent_and_it_reads_the_next_one(
        noise in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..80), 0..400u64), 0..40),
    ) {
        let mut bench = Bench::opened();
        for (bytes, pause) in noise {
            bench.step(Input::Bytes(&bytes));
            bench.pass(pause);
            prop_assert!(bench.reader.deadline().is_some(), "it always has something to do");
        }
        // What noise began may take as many answers as a long frame has bytes, and a card of noise its hold-off.
        bench.pass(20_000);
        let before = bench.told.clone();
        bench.lay(CLASSIC, 2000);
        prop_assert_eq!(&bench.told[before.len()..], ["6E8AE2B0"]);
        prop_assert!(before.is_empty(), "{:?}", before);
    }

    #[test]
    fn whatever_is_damaged_on_the_way_a_card_is_told_once_or_not_at_all(
        flips in proptest::collection::vec((0..200usize, any::<u8>()), 1..12),
    ) {
        let mut bench = Bench::opened();
        bench.chip.card = CLASSIC;
        let mut passed = 0usize;
        let end = bench.now + Duration::from_secs(60);
        while let Some(due) = bench.reader.deadline().filter(|due| *due <= end) {
            bench.now = due;
            let mut sent = bench.reader.step(bench.now, Input::Tick);
            while let Some(action) = (!sent.is_empty()).then(|| sent.remove(0)) {
                match action {
                    Action::Send(command) => {
                        for answer in bench.chip.answers(&command) {
                            for byte in answer {
                                let damage = flips.iter().find(|(place, _)| *place == passed).map_or(0, |(_, by)| *by);
                                passed += 1;
                                sent.extend(bench.reader.step(bench.now, Input::Bytes(&[byte ^ damage])));
                            }
                        }
                    }
                    Action::Tell(uid) => bench.told.push(uid.reveal()),
                    Action::Made(_) | Action::Known(_) | Action::Wrong(_) => {}
                }
            }
        }
        prop_assert!(bench.told == ["6E8AE2B0"], "{:?}", bench.told);
    }
}
