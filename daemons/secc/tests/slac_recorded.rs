//! Matching against what real vehicles, stations and modems said, and against damaged frames.
//!
//! The recorded station's own frames are left out; ours must say the same. Of the team's shared
//! data every capture is played: `VOLTRY_DATA` names the folder, else it is looked for beside the
//! project. Says so and passes where it is absent.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

use crate::world;

use std::path::{Path, PathBuf};
use std::time::Duration;

use iso15118::slac::{AttenCharInd, Mmtype, SetKeyReq, SlacMatchCnf, SlacParmCnf, parse_frame};
use proptest::prelude::*;
use voltry_secc::slac::wire::ModemKind;
use voltry_secc::slac::{Event, Matching, Slac};
use voltry_units::Timestamp;
use world::matching;

const TESLA: &str = include_str!("slac/tesla-model-y.txt");

/// One frame of a capture.
struct Recorded {
    at: Timestamp,
    bytes: Vec<u8>,
}

impl Recorded {
    fn mmtype(&self) -> Mmtype {
        parse_frame(&self.bytes).unwrap().mmtype
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn at(milliseconds: f64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000) + Duration::from_secs_f64((milliseconds + 100_000.0) / 1000.0)
}

fn tesla() -> Vec<Recorded> {
    TESLA
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (time, hex) = line.trim().split_once(' ').unwrap();
            Recorded { at: at(time.parse().unwrap()), bytes: bytes(hex) }
        })
        .collect()
}

/// What our station made of a capture.
#[derive(Default)]
struct Played {
    /// The recorded station's answers, and ours to the same, in order, by message.
    theirs: Vec<Vec<u8>>,
    ours: Vec<Vec<u8>>,
    matched: usize,
    refused: Vec<Event>,
}

/// Plays vehicle and modem of a capture at its pace. The key of the recorded station's modem takes
/// ours's place, so that even CM_SLAC_MATCH.CNF must be the same to the byte.
fn play(recorded: &[Recorded]) -> Played {
    let mut played = Played::default();
    let first = |wanted: &[Mmtype]| recorded.iter().find(|frame| wanted.contains(&frame.mmtype()));
    let source = |frame: &Recorded| parse_frame(&frame.bytes).unwrap().source;
    let (Some(station), Some(modem)) = (
        first(&[Mmtype::SetKeyReq, Mmtype::SlacParmCnf]).map(source),
        first(&[Mmtype::SetKeyCnf, Mmtype::AttenProfileInd]).map(source),
    ) else {
        return played;
    };
    // A capture begins long before its vehicle comes.
    let patient = Matching { init: Duration::from_secs(100_000), ..matching(ModemKind::Generic) };
    let mut slac = Slac::new(patient, station);
    // The key that was set before the capture began, if a vehicle was given one in it.
    let nmk = first(&[Mmtype::SlacMatchCnf]).map_or([0; 16], |frame| {
        SlacMatchCnf::decode(parse_frame(&frame.bytes).unwrap().payload).unwrap().nmk
    });
    let mut random = [0; 20];
    random[..16].copy_from_slice(&nmk);
    slac.renew_key(recorded[0].at, random);
    slac.receive(recorded[0].at, &world::key_set(station, modem, 0)).unwrap();
    slac.attach(recorded[0].at);
    for frame in recorded {
        if slac.wants_key() {
            slac.renew_key(frame.at, random);
            let nonce = u32::from_le_bytes(random[16..].try_into().unwrap());
            slac.receive(frame.at, &world::key_set(station, modem, nonce)).unwrap();
        }
        while let Some(deadline) = slac.deadline().filter(|deadline| *deadline <= frame.at) {
            slac.timeout(deadline);
            take(&mut slac, &mut played);
        }
        let parsed = parse_frame(&frame.bytes).unwrap();
        match parsed.mmtype {
            Mmtype::SetKeyReq => {
                let request = SetKeyReq::decode(parsed.payload).unwrap();
                random[..16].copy_from_slice(&request.new_key);
                random[16..].copy_from_slice(&request.my_nonce.to_le_bytes());
                slac.detach();
                slac.renew_key(frame.at, random);
                slac.attach(frame.at);
            }
            Mmtype::SlacParmCnf | Mmtype::AttenCharInd | Mmtype::SlacMatchCnf => {
                played.theirs.push(frame.bytes.clone());
            }
            _ => {
                let _ = slac.receive(frame.at, &frame.bytes);
            }
        }
        take(&mut slac, &mut played);
    }
    played
}

fn take(slac: &mut Slac, played: &mut Played) {
    while let Some(frame) = slac.take_transmit() {
        if !matches!(parse_frame(&frame).unwrap().mmtype, Mmtype::SetKeyReq) {
            played.ours.push(frame);
        }
    }
    while let Some(event) = slac.poll_event() {
        match event {
            Event::Matched { .. } => played.matched += 1,
            Event::Farther { .. } | Event::Busy(_) | Event::NotMeasured(_) => played.refused.push(event),
            _ => {}
        }
    }
}

#[test]
fn a_tesla_is_told_what_the_recorded_station_told_it_to_the_byte() {
    let played = play(&tesla());
    assert_eq!((played.matched, played.theirs.len()), (1, 3));
    assert_eq!(played.ours, played.theirs);
}

#[test]
fn a_run_id_of_zeros_of_text_or_of_a_counter_comes_back_verbatim() {
    // Seres 3, Tesla Model Y, Opel Ampera-E in one run and the next.
    for request in [
        "ffffffffffff141fba1006f488e101646000000000000000000000000000000000000000000000000000000000000000000000000000000000000000",
        "ffffffffffff98ed5cb428d388e1016460000000005445534c4120455600000000000000000000000000000000000000000000000000000000000000",
        "ffffffffffff044eafd9c5fa88e101646000000000505152535455565700000000000000000000000000000000000000000000000000000000000000",
        "ffffffffffff044eafd9c5fa88e101646000000000a8a9aaabacadaeaf00000000000000000000000000000000000000000000000000000000000000",
    ] {
        let request = bytes(request);
        let mut slac = Slac::new(matching(ModemKind::Generic), world::STATION);
        slac.renew_key(at(0.0), [7; 20]);
        let nonce = u32::from_le_bytes([7; 4]);
        slac.receive(at(1.0), &world::key_set(world::STATION, world::MODEM, nonce)).unwrap();
        slac.attach(at(2.0));
        slac.receive(at(3.0), &request).unwrap();
        let mut played = Played::default();
        take(&mut slac, &mut played);
        let [answer] = &played.ours[..] else { panic!("{}", played.ours.len()) };
        let answer = parse_frame(answer).unwrap();
        assert_eq!((answer.mmtype, &answer.destination[..]), (Mmtype::SlacParmCnf, &request[6..12]));
        let confirmed = SlacParmCnf::decode(answer.payload).unwrap();
        assert_eq!(confirmed.run_id[..], request[21..29]);
    }
}

fn said(played: &Played, mmtype: Mmtype) -> usize {
    played.ours.iter().filter(|frame| parse_frame(frame).unwrap().mmtype == mmtype).count()
}

#[test]
fn parameters_asked_for_again_in_the_middle_are_confirmed_again() {
    let mut frames = tesla();
    let first = frames.iter().position(|frame| frame.mmtype() == Mmtype::SlacParmReq).unwrap();
    let again = frames[first].bytes.clone();
    let (fifth, _) =
        frames.iter().enumerate().filter(|(_, frame)| frame.mmtype() == Mmtype::MnbcSoundInd).nth(4).unwrap();
    let after = frames[fifth].at + Duration::from_millis(2);
    frames.insert(fifth + 1, Recorded { at: after, bytes: again });
    let played = play(&frames);
    assert_eq!((said(&played, Mmtype::SlacParmCnf), said(&played, Mmtype::AttenCharInd)), (2, 1));
    assert_eq!(played.matched, 1);
}

#[test]
fn a_vehicle_that_does_not_answer_the_report_gets_it_again_and_is_matched() {
    let mut frames = tesla();
    frames.retain(|frame| frame.mmtype() != Mmtype::AttenCharRsp);
    for frame in &mut frames {
        if matches!(frame.mmtype(), Mmtype::SlacMatchReq | Mmtype::SlacMatchCnf) {
            frame.at = frame.at + Duration::from_secs(1);
        }
    }
    frames.sort_by_key(|frame| frame.at);
    let played = play(&frames);
    assert_eq!((said(&played, Mmtype::AttenCharInd), played.matched), (3, 1));
}

fn captures(folder: &Path) -> Vec<(String, Vec<Recorded>)> {
    let mut captures = Vec::new();
    for car in std::fs::read_dir(folder).unwrap() {
        for file in std::fs::read_dir(car.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let recorded = std::fs::read_to_string(&path)
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
                .filter(|line| line["layer"] == "slac")
                .map(|line| Recorded {
                    at: at(line["t"].as_f64().unwrap() * 1000.0),
                    bytes: bytes(line["hex"].as_str().unwrap()),
                })
                .collect();
            captures.push((path.display().to_string(), recorded));
        }
    }
    captures.sort_by(|(one, _), (other, _)| one.cmp(other));
    captures
}

fn shared_data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("VOLTRY_DATA").map_or(beside, PathBuf::from);
    folder.join("cars").is_dir().then_some(folder)
}

/// Every match of every capture; the reports may differ from the recorded station's by its
/// offset and rounding, and by how many sounds it counted.
#[test]
fn every_recorded_vehicle_is_matched_as_it_was() {
    let Some(folder) = shared_data() else {
        println!("skipped: the team's shared data is neither beside the project nor named by VOLTRY_DATA");
        return;
    };
    let (mut captured, mut matched, mut same, mut frames) = (0, 0, 0, 0);
    for (name, recorded) in captures(&folder.join("cars")) {
        frames += recorded.len();
        let played = play(&recorded);
        let of = |list: &[Vec<u8>], mmtype| -> Vec<Vec<u8>> {
            list.iter().filter(|frame| parse_frame(frame).unwrap().mmtype == mmtype).cloned().collect()
        };
        let theirs = of(&played.theirs, Mmtype::SlacMatchCnf);
        let ours = of(&played.ours, Mmtype::SlacMatchCnf);
        for theirs in &theirs {
            captured += 1;
            let cnf = |frame: &[u8]| SlacMatchCnf::decode(parse_frame(frame).unwrap().payload).unwrap();
            let found = ours.iter().find(|ours| cnf(ours).run_id == cnf(theirs).run_id);
            let Some(found) = found else {
                panic!(
                    "{name}: run {:02x?} was not matched; refused: {:?}",
                    cnf(theirs).run_id,
                    played.refused
                )
            };
            matched += 1;
            same += usize::from(found == theirs);
        }
        for theirs in of(&played.theirs, Mmtype::AttenCharInd) {
            let ind = |frame: &[u8]| AttenCharInd::decode(parse_frame(frame).unwrap().payload).unwrap();
            let theirs = ind(&theirs);
            let found = of(&played.ours, Mmtype::AttenCharInd)
                .iter()
                .map(|ours| ind(ours))
                .find(|ours| ours.run_id == theirs.run_id && ours.source_address == theirs.source_address);
            let Some(ours) = found else { panic!("{name}: run {:02x?} was not reported", theirs.run_id) };
            assert_eq!((ours.source_id, ours.resp_id), (theirs.source_id, theirs.resp_id), "{name}");
        }
    }
    println!("{frames} frames; {matched} of {captured} matches, {same} to the byte");
    assert!(captured > 50 && matched == captured);
}

#[derive(Debug, Clone)]
enum Damage {
    Pass(usize),
    Flip(usize, usize, u8),
    Cut(usize, usize),
    Noise(Vec<u8>),
    Wait(u64),
    Detach,
    Attach,
    Data,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        8 => any::<usize>().prop_map(Damage::Pass),
        4 => (any::<usize>(), any::<usize>(), any::<u8>()).prop_map(|(frame, at, bits)| Damage::Flip(frame, at, bits)),
        2 => (any::<usize>(), any::<usize>()).prop_map(|(frame, length)| Damage::Cut(frame, length)),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Damage::Noise),
        4 => (0_u64..20_000).prop_map(Damage::Wait),
        1 => Just(Damage::Detach),
        2 => Just(Damage::Attach),
        1 => Just(Damage::Data),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_a_reason(frame in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = voltry_secc::slac::wire::parse(&frame);
    }

    /// Recorded frames damaged, out of order, at any time: nothing grows, no deadline is missed
    /// for ever, nothing is said to a vehicle without a vehicle, and a key that is handed over is
    /// the one that the modem has.
    #[test]
    fn whatever_is_heard_stays_bounded(steps in prop::collection::vec(damage(), 1..300)) {
        let recorded = tesla();
        let station = parse_frame(&recorded[0].bytes).unwrap().source;
        let mut slac = Slac::new(matching(ModemKind::Qca7000), station);
        let mut now = at(0.0);
        let mut attached = false;
        let mut keys = 0_u8;
        for step in steps {
            let frame = |index: usize| recorded[index % recorded.len()].bytes.clone();
            match step {
                Damage::Pass(index) => { let _ = slac.receive(now, &frame(index)); }
                Damage::Flip(index, place, bits) => {
                    let mut frame = frame(index);
                    let place = place % frame.len();
                    frame[place] ^= bits;
                    let _ = slac.receive(now, &frame);
                }
                Damage::Cut(index, length) => {
                    let frame = frame(index);
                    let _ = slac.receive(now, &frame[..length % frame.len()]);
                }
                Damage::Noise(bytes) => { let _ = slac.receive(now, &bytes); }
                Damage::Wait(ms) => now = now + Duration::from_millis(ms),
                Damage::Detach => { slac.detach(); attached = false; }
                Damage::Attach => { slac.attach(now); attached = true; }
                Damage::Data => slac.heard_data(now),
            }
            let mut rounds = 0;
            while slac.deadline().is_some_and(|deadline| deadline <= now) {
                slac.timeout(now);
                rounds += 1;
                prop_assert!(rounds < 20, "a deadline that never passes");
            }
            if slac.wants_key() {
                keys = keys.wrapping_add(1);
                let mut random = [keys; 20];
                // So that a recorded confirmation fits now and then.
                random[16..].copy_from_slice(&0xaaaa_aaaa_u32.to_le_bytes());
                slac.renew_key(now, random);
            }
            let (runs, waiting) = slac.held();
            prop_assert!(runs <= 16 && waiting <= 32);
            while let Some(frame) = slac.take_transmit() {
                let parsed = parse_frame(&frame).unwrap();
                match parsed.mmtype {
                    Mmtype::SlacMatchCnf => {
                        prop_assert_eq!(SlacMatchCnf::decode(parsed.payload).unwrap().nmk, [keys; 16]);
                        prop_assert!(attached);
                    }
                    Mmtype::SlacParmCnf | Mmtype::AttenCharInd => prop_assert!(attached),
                    _ => {}
                }
            }
            while slac.poll_event().is_some() {}
            prop_assert!(attached || !slac.is_linked());
        }
    }
}
