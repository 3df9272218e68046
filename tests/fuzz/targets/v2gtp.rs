//! V2GTP: frames right and wrong, with payloads of any kind, cut anywhere. However a stream is cut, the same
//! messages come of it, and it ends for the same reason; and no more of it is held than one payload.
#![no_main]

#[path = "../../../daemons/secc/tests/bench/mod.rs"]
mod bench;

use bench::Bench;
use libfuzzer_sys::fuzz_target;
use voltry_secc::v2g::{MAX_PAYLOAD, MAX_PENDING};

/// The types of ISO 15118-2 and -20, and some that are none.
const TYPES: [u16; 8] = [0x8001, 0x8002, 0x8003, 0x8004, 0x8101, 0x9000, 0x9001, 0x0000];
const HEADER: usize = 8;
/// A piece holds no more frames than may wait.
const PIECE: usize = HEADER * MAX_PENDING;
/// What a vehicle says first, so that the frames after it are messages of a protocol: an offer of DIN 70121.
const OFFER: &[u8] = b"\x80\x00\xdb\xab\x93\x71\xd3\x23\x4b\x71\xd1\xb9\x81\x89\x91\x89\xd1\x91\x81\x89\x91\xd2\x6b\x9b\x3a\x23\x2b\x30\x02\x00\x00\x04\x00\x40";

fuzz_target!(|data: &[u8]| {
    let Some((how, data)) = data.split_first() else { return };
    let mut stream = Vec::new();
    if how & 1 == 1 {
        frame(&mut stream, 0x8001, OFFER.len(), OFFER);
    }
    for piece in data.chunks(32) {
        let [choice, lie, payload @ ..] = piece else { break };
        let kind = TYPES[usize::from(choice & 7)];
        match choice >> 6 {
            0 => stream.extend(payload),
            1 => frame(&mut stream, kind, usize::from(*lie) << (choice >> 3 & 7) << 4, payload),
            _ => frame(&mut stream, kind, payload.len(), payload),
        }
    }
    let whole = heard(&stream, PIECE);
    for size in [1, 3, usize::from(how >> 2).clamp(1, PIECE)] {
        assert_eq!(heard(&stream, size), whole, "in pieces of {size}");
    }
});

fn frame(stream: &mut Vec<u8>, kind: u16, length: usize, payload: &[u8]) {
    stream.extend([0x01, 0xfe]);
    stream.extend(kind.to_be_bytes());
    stream.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    stream.extend(payload);
}

/// What the station answers to a stream that comes in pieces of this size, and whether it hung up.
fn heard(stream: &[u8], size: usize) -> (Vec<u8>, bool) {
    let Bench { mut session, pushed, now, .. } = Bench::new();
    let mut answers = Vec::new();
    for piece in stream.chunks(size) {
        session.receive(now, piece, &pushed);
        answers.extend(session.take_transmit());
        let _ = session.take_said();
        while session.poll_event().is_some() {}
        let (bytes, frames, _) = session.buffered();
        assert!(bytes <= MAX_PAYLOAD + HEADER + PIECE && frames <= MAX_PENDING);
    }
    (answers, session.is_closed())
}
