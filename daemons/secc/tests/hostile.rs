//! What a hostile or broken vehicle can do to a session: end it, and nothing else.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

use crate::bench;

use bench::*;
use iso15118::iso2::{BodyChoice as B, ChargeProgress, ChargingSession};
use iso15118::message::Message;
use proptest::prelude::*;
use voltry_bus::{Authorization, LinkOutcome, PhaseAnswer};
use voltry_secc::session::Event;
use voltry_secc::v2g::{MAX_PAYLOAD, MAX_PENDING};

fn failed(bench: &Bench) -> bool {
    bench.events.iter().any(|event| matches!(event, Event::Ended(LinkOutcome::Failed, Some(_))))
}

fn bounded(bench: &Bench) -> bool {
    let (bytes, frames, events) = bench.session.buffered();
    bytes <= MAX_PAYLOAD + 8 && frames <= MAX_PENDING && events == 0
}

#[test]
fn four_gigabytes_are_refused_at_the_header() {
    let mut bench = Bench::new();
    bench.session.receive(bench.now, &[0x01, 0xfe, 0x80, 0x01, 0xff, 0xff, 0xff, 0xff], &bench.pushed);
    bench.push(|_| {});
    assert!(bench.session.is_closed() && failed(&bench) && bounded(&bench));
}

#[test]
fn requests_piled_up_behind_an_open_one_end_the_session() {
    let mut bench = Bench::new();
    bench.reach_cable_check();
    for _ in 0..=MAX_PENDING + 1 {
        bench.send(cable_check());
        assert!(bounded(&bench));
    }
    assert!(bench.session.is_closed() && failed(&bench));
}

#[test]
fn what_came_before_a_bad_header_is_answered_however_the_stream_is_cut() {
    const BAD: [u8; 8] = [0x01, 0xfe, 0x80, 0x01, 0xff, 0xff, 0xff, 0xff];
    // One request is answered at once, the other waits for evse.
    for (body, answers) in [(service_discovery(), 1), (cable_check(), 0)] {
        for cut in 0.. {
            let mut bench = Bench::new();
            if answers == 1 {
                bench.reach_services();
            } else {
                bench.reach_cable_check();
            }
            bench.queue(body.clone(), None);
            let bytes = [&bench.vehicle.take_transmit()[..], &BAD].concat();
            let Some((first, second)) = bytes.split_at_checked(cut) else { break };
            bench.session.receive(bench.now, first, &bench.pushed);
            bench.session.receive(bench.now, second, &bench.pushed);
            bench.push(|_| {});
            assert!(bench.session.is_closed() && failed(&bench) && bounded(&bench), "cut at {cut}");
            assert_eq!(std::iter::from_fn(|| bench.heard()).count(), answers, "cut at {cut}");
        }
    }
}

#[test]
fn a_flood_after_a_failure_is_over_in_five_seconds() {
    let mut bench = Bench::new();
    bench.reach_services();
    bench.send(current_demand());
    assert!(failed(&bench));
    for _ in 0..60 {
        bench.send(current_demand());
        bench.pass(std::time::Duration::from_millis(100), true);
    }
    assert!(bench.session.is_closed());
}

/// Each request that the bench can make.
fn request(which: u8) -> B {
    match which % 12 {
        0 => session_setup(),
        1 => service_discovery(),
        2 => payment(),
        3 => authorization(),
        4 => parameters(),
        5 => cable_check(),
        6 => pre_charge(),
        7 => power_delivery(ChargeProgress::Start),
        8 => power_delivery(ChargeProgress::Stop),
        9 => current_demand(),
        10 => welding_detection(),
        _ => session_stop(ChargingSession::Terminate),
    }
}

/// Any request, or (`None`) the next of a session: one wrong request ends the conversation, and
/// what is wrong deep in it would never be reached by chance.
fn next_or_any() -> impl Strategy<Value = Option<u8>> {
    prop::option::weighted(0.1, any::<u8>())
}

/// What evse does about a request: nothing, an authorization, a grant, or a delay.
fn push() -> impl Strategy<Value = u8> {
    prop_oneof![1 => Just(0), 3 => Just(1), 6 => Just(2), 1 => Just(3)]
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_pile_up(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..20),
        charging in any::<bool>(),
    ) {
        let mut bench = Bench::new();
        if charging { bench.reach_charging() } else { bench.handshake() }
        for chunk in chunks {
            bench.session.receive(bench.now, &chunk, &bench.pushed);
            let _ = bench.session.take_transmit();
            while bench.session.poll_event().is_some() {}
            prop_assert!(bounded(&bench));
        }
    }

    /// A whole frame around arbitrary bytes: the EXI decoder itself is fed.
    #[test]
    fn arbitrary_payloads_never_panic(payload in prop::collection::vec(any::<u8>(), 0..300), iso2 in any::<bool>()) {
        let mut bench = Bench::new();
        if iso2 { bench.reach_services() }
        let mut bytes = vec![0x01, 0xfe, 0x80, 0x01];
        bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bench.session.receive(bench.now, &bytes, &bench.pushed);
        prop_assert!(bench.session.buffered().1 == 0);
    }

    /// A message cut short, or with one bit turned.
    #[test]
    fn damaged_messages_never_panic(which in any::<u8>(), cut in 0_usize..80, flip in 0_usize..640) {
        let mut bench = Bench::new();
        bench.reach_charging();
        let document = iso15118::iso2::Document::V2GMessage(iso15118::iso2::V2GMessage {
            header: iso15118::iso2::MessageHeader { session_id: ID.to_vec(), notification: None, signature: None },
            body: iso15118::iso2::Body { choice: Some(request(which)) },
        });
        let (_, mut payload) = Message::Iso2(Box::new(document)).encode().unwrap();
        payload.truncate(payload.len().saturating_sub(cut));
        if let Some(byte) = payload.get_mut(flip / 8) { *byte ^= 1 << (flip % 8); }
        let mut bytes = vec![0x01, 0xfe, 0x80, 0x01];
        bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bench.session.receive(bench.now, &bytes, &bench.pushed);
        let _ = bench.session.take_transmit();
    }

    /// Whatever the order of requests, evse is told of charging only after it granted each step,
    /// and every request is answered exactly once or ends the conversation.
    #[test]
    fn no_order_of_requests_skips_a_grant(
        order in prop::collection::vec((next_or_any(), push()), 1..40),
    ) {
        let mut bench = Bench::new();
        bench.handshake();
        let mut granted = [false; 3];
        let mut next = 0..12;
        for (which, push) in order {
            let Some(which) = which.or_else(|| next.next()) else { break };
            if bench.session.is_closed() { break }
            bench.present(400, 0);
            bench.send(request(which));
            let phase = bench.phase();
            match push {
                0 => {}
                1 => bench.push(|pushed| pushed.authorization = Authorization::Granted),
                2 => {
                    let step = match phase {
                        Some(voltry_bus::LinkPhase::Parameters) => Some(0),
                        Some(voltry_bus::LinkPhase::CableCheck) => Some(1),
                        Some(voltry_bus::LinkPhase::PowerOn) => Some(2),
                        _ => None,
                    };
                    if let Some(step) = step { granted[step] = true }
                    bench.pushed.authorization = Authorization::Granted;
                    bench.answer(PhaseAnswer::Finished);
                }
                _ => bench.answer(PhaseAnswer::Ongoing),
            }
            bench.pass(std::time::Duration::from_secs(5), true);
            prop_assert!(bench.heard().is_some() || bench.session.is_closed(), "no answer");
            prop_assert!(bench.heard().is_none(), "two answers");
            if bench.phase() == Some(voltry_bus::LinkPhase::Charging) {
                prop_assert!(granted[0] && granted[1] && granted[2], "{granted:?}");
            }
            prop_assert!(bounded(&bench));
        }
    }
}
