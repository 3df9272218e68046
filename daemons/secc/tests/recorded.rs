//! Real vehicles' recorded ISO 15118-2 requests against a session that grants everything.
//!
//! Reads the team's shared data, if present: `VOLTRY_DATA` names the folder, which holds
//! `cars/MAKE/CAPTURE.jsonl`. Says so and passes where it is absent.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

mod bench;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::*;
use iso15118::iso2;
use iso15118::message::Message;
use iso15118::v2gtp::PayloadType;
use iso15118::{Protocol, session};
use voltry_bus::{Authorization, LinkOutcome, PhaseAnswer};
use voltry_secc::session::Event;

/// One recorded connection: the vehicle's payloads in order.
struct Recorded {
    name: String,
    payloads: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// SessionStop was answered with OK.
    Stopped,
    /// The recording ends earlier; every request of it was granted.
    RecordingEnded,
    /// An AC session, politely refused.
    AcRefused,
    /// Anything else.
    Failed,
}

#[test]
fn recorded_vehicles_reach_the_end_of_their_sessions() {
    let Some(folder) = std::env::var_os("VOLTRY_DATA").map(PathBuf::from) else {
        println!("skipped: VOLTRY_DATA does not name the team's shared data");
        return;
    };
    let mut ends = BTreeMap::<End, usize>::new();
    let mut failed = Vec::new();
    let mut requests = 0;
    for recorded in recordings(&folder.join("cars")) {
        let (end, cause) = replay(&recorded);
        requests += recorded.payloads.len();
        *ends.entry(end).or_default() += 1;
        if end == End::Failed {
            failed.push(format!("{}: {cause}", recorded.name));
        }
    }
    println!("{requests} requests in {} sessions: {ends:?}", ends.values().sum::<usize>());
    assert!(ends.get(&End::Stopped).is_some_and(|stopped| *stopped > 10), "too few recordings: {ends:?}");
    assert!(failed.is_empty(), "{failed:#?}");
}

fn recordings(cars: &Path) -> Vec<Recorded> {
    let mut found = Vec::new();
    for make in sorted(cars) {
        for file in sorted(&make) {
            let text = std::fs::read_to_string(&file).unwrap();
            let mut streams = BTreeMap::<u64, Recorded>::new();
            for line in text.lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let protocol = line["proto"].as_str().unwrap_or_default();
                if line["layer"] != "v2g"
                    || line["sender"] != "vehicle"
                    || !["sap", "iso2"].contains(&protocol)
                {
                    continue;
                }
                let stream = line["stream"].as_u64().unwrap();
                let name = format!(
                    "{}/{} #{stream}",
                    make.file_name().unwrap().display(),
                    file.file_stem().unwrap().display()
                );
                let recorded = streams.entry(stream).or_insert(Recorded { name, payloads: Vec::new() });
                recorded.payloads.push(bytes(line["hex"].as_str().unwrap()));
            }
            // A capture that starts in the midst of a session has no handshake; one of another
            // protocol nothing else.
            found.extend(
                streams.into_values().filter(|one| one.payloads.len() > 1 && is_handshake(&one.payloads[0])),
            );
        }
    }
    found
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn is_handshake(payload: &[u8]) -> bool {
    payload.starts_with(&[0x80, 0x00]) || payload.starts_with(&[0x80, 0x40])
}

fn replay(recorded: &Recorded) -> (End, String) {
    let mut bench = Bench::new();
    bench.pushed.authorization = Authorization::Granted;
    for (at, payload) in recorded.payloads.iter().enumerate() {
        bench.now = bench.now + Duration::from_millis(10);
        bench.present(400, 100);
        let payload = if at > 1 { under_id(payload, ID) } else { payload.clone() };
        bench.vehicle.send_frame(PayloadType::ExiEncodedV2gMessage, &payload).unwrap();
        bench.flush();
        bench.answer(PhaseAnswer::Finished);
        if let Some(end) = ended(&bench, at, payload.len()) {
            return end;
        }
        let answer = bench.vehicle.next_message().unwrap();
        if at == 0 {
            assert!(matches!(answer, Some(Message::AppProtocolRes(_))));
            bench.vehicle.set_protocol(Protocol::Iso2);
        } else if answer.is_none() {
            return (End::Failed, format!("request {at} got no answer"));
        }
    }
    (End::RecordingEnded, String::new())
}

fn ended(bench: &Bench, at: usize, length: usize) -> Option<(End, String)> {
    bench.events.iter().find_map(|event| match event {
        Event::Ended(LinkOutcome::Normal | LinkOutcome::Paused, _) => Some((End::Stopped, String::new())),
        Event::Ended(_, Some(cause)) => {
            let cause = cause.to_string();
            let end = if cause == "the vehicle wants AC" { End::AcRefused } else { End::Failed };
            Some((end, format!("request {at} ({length} bytes): {cause}")))
        }
        _ => None,
    })
}

/// The payload with another session id, of eight bytes like the recorded one. It stands in the
/// header behind the two bytes of the document's start, from its 26th bit on.
fn under_id(payload: &[u8], id: [u8; 8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    for (byte, value) in id.into_iter().enumerate() {
        for bit in 0..8 {
            let at = 26 + byte * 8 + bit;
            let mask = 0x80 >> (at % 8);
            if value & (0x80 >> bit) == 0 {
                payload[at / 8] &= !mask;
            } else {
                payload[at / 8] |= mask;
            }
        }
    }
    payload
}

#[test]
fn the_session_id_stands_where_the_replay_writes_it() {
    let message = iso2::V2GMessage {
        header: iso2::MessageHeader { session_id: vec![0x5a; 8], notification: None, signature: None },
        body: iso2::Body { choice: Some(current_demand()) },
    };
    let document = Message::Iso2(Box::new(iso2::Document::V2GMessage(message)));
    let (payload_type, payload) = document.encode().unwrap();
    let other = Message::decode(Some(Protocol::Iso2), payload_type, &under_id(&payload, ID)).unwrap();
    assert_eq!(other.session_id(), Some(session::SessionId::new(ID)));
}
