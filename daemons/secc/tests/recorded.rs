//! Real vehicles' recorded requests, in DIN 70121 and ISO 15118-2, against a session that grants
//! everything.
//!
//! Reads the team's shared data, if present: in the folder that `VOLTRY_DATA` names, else in
//! `shared/data` beside the project; it holds `cars/MAKE/CAPTURE.jsonl`. Says so and passes where
//! it is absent.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

mod bench;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bench::*;
use iso15118::iso2;
use iso15118::message::Message;
use iso15118::session;
use iso15118::v2gtp::PayloadType;
use voltry_bus::{Authorization, LinkOutcome, PhaseAnswer};
use voltry_secc::message::Protocol;
use voltry_secc::session::Event;

/// One recorded connection: the vehicle's payloads in order.
struct Recorded {
    name: String,
    /// What the recorded station agreed to.
    protocol: Protocol,
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
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let cars = std::env::var_os("VOLTRY_DATA").map_or(beside, PathBuf::from).join("cars");
    if !cars.is_dir() {
        println!("skipped: there is no {}", cars.display());
        return;
    }
    let mut ends = BTreeMap::<(&str, End), usize>::new();
    let mut failed = Vec::new();
    let mut requests = 0;
    for recorded in recordings(&cars) {
        let (end, cause) = replay(&recorded);
        requests += recorded.payloads.len();
        *ends.entry((recorded.protocol.title(), end)).or_default() += 1;
        if end == End::Failed {
            failed.push(format!("{}: {cause}", recorded.name));
        }
    }
    println!("{requests} requests in {} sessions: {ends:?}", ends.values().sum::<usize>());
    for (protocol, least) in [(Protocol::Din, 10), (Protocol::Iso2, 11)] {
        let stopped = ends.get(&(protocol.title(), End::Stopped)).copied().unwrap_or_default();
        assert!(stopped >= least, "too few recordings: {ends:?}");
    }
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
                if line["layer"] != "v2g" || line["sender"] != "vehicle" {
                    continue;
                }
                let protocol = match line["proto"].as_str() {
                    Some("sap") => None,
                    Some("din") => Some(Protocol::Din),
                    Some("iso2") => Some(Protocol::Iso2),
                    _ => continue,
                };
                let stream = line["stream"].as_u64().unwrap();
                let name = format!(
                    "{}/{} #{stream}",
                    make.file_name().unwrap().display(),
                    file.file_stem().unwrap().display()
                );
                let recorded = streams.entry(stream).or_insert(Recorded {
                    name,
                    protocol: Protocol::Iso2,
                    payloads: Vec::new(),
                });
                recorded.protocol = protocol.unwrap_or(recorded.protocol);
                recorded.payloads.push(bytes(line["hex"].as_str().unwrap()));
            }
            // A capture that starts in the midst of a session has no handshake; one that ends
            // with it has nothing else.
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
    let mut bench = Bench::speaking(&[recorded.protocol]);
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
        if bench.vehicle.next_frame().is_none() {
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
    let other =
        Message::decode(Some(iso15118::Protocol::Iso2), payload_type, &under_id(&payload, ID)).unwrap();
    assert_eq!(other.session_id(), Some(session::SessionId::new(ID)));
}
