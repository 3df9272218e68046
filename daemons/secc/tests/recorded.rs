//! Real vehicles' recorded requests, in DIN 70121 and ISO 15118-2, against a session that grants
//! everything.
//!
//! Says that it skipped, and passes, where there are no recordings.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

use crate::{bench, recordings};

use std::collections::BTreeMap;
use std::time::Duration;

use bench::*;
use iso15118::iso2;
use iso15118::message::Message;
use iso15118::session;
use iso15118::v2gtp::PayloadType;
use recordings::{Recorded, recordings, under_id};
use voltry_bus::{Authorization, LinkOutcome, PhaseAnswer};
use voltry_secc::message::Protocol;
use voltry_secc::session::Event;

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
    let recordings = recordings();
    if recordings.is_empty() {
        return;
    }
    let mut ends = BTreeMap::<(&str, End), usize>::new();
    let mut failed = Vec::new();
    let mut requests = 0;
    for recorded in recordings {
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
