//! The handshake of every V2G conversation: any payload as a vehicle's supportedAppProtocolReq. What is
//! agreed on was offered; and what is read and can be written is read again as the same.
#![no_main]

#[path = "../../../daemons/secc/tests/bench/mod.rs"]
mod bench;

use bench::Bench;
use iso15118::message::Message;
use iso15118::v2gtp::PayloadType;
use libfuzzer_sys::fuzz_target;

/// EXI's header and the document's event; AppProtocol and the first namespaces that vehicles offer.
const BEGINNINGS: [&[u8]; 2] = [&[], b"\x80\x00\xdb\xab\x93\x71\xd3\x23\x4b\x71"];

fuzz_target!(|data: &[u8]| {
    for beginning in BEGINNINGS {
        offer(&[beginning, data].concat());
    }
});

fn offer(payload: &[u8]) {
    let read = Message::decode(None, PayloadType::ExiEncodedV2gMessage, payload).ok();
    if let Some((read, (kind, written))) = read.as_ref().and_then(|read| Some((read, read.encode().ok()?))) {
        let again = Message::decode(None, kind, &written).expect("what was written is read");
        assert_eq!(format!("{again:?}"), format!("{read:?}"));
    }
    let mut bench = Bench::new();
    bench.vehicle.send_frame(PayloadType::ExiEncodedV2gMessage, payload).expect("a payload that fits");
    let frame = bench.vehicle.take_transmit();
    bench.session.receive(bench.now, &frame, &bench.pushed);
    let answer = bench.session.take_transmit();
    if answer.is_empty() {
        // No offer, or one that is damaged: there is no conversation.
        assert!(bench.session.deadline().is_some() || bench.session.is_closed());
        return;
    }
    let Some(Message::AppProtocolReq(offered)) = read else { panic!("an answer to no offer: {answer:02x?}") };
    bench.vehicle.receive(&answer).expect("frames");
    let answer = bench.vehicle.next_message().expect("a message");
    let Some(Message::AppProtocolRes(answer)) = answer else { panic!("no answer to an offer") };
    match answer.schema_id {
        Some(agreed) => assert!(offered.app_protocols.iter().any(|one| one.schema_id == agreed)),
        None => assert!(bench.session.is_closed()),
    }
}
