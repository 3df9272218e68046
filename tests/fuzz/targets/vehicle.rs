//! What a vehicle sends over TCP: V2GTP, the handshake, EXI, any message in any order, at any
//! boundary, with an evse that grants everything. A good vehicle begins, and the fuzzer goes on
//! from where it chooses: by chance it would never get as far as charging.
#![no_main]

#[path = "../../../daemons/secc/tests/bench/mod.rs"]
mod bench;

use bench::{Bench, din};
use libfuzzer_sys::fuzz_target;
use voltry_bus::PhaseAnswer;
use voltry_secc::v2g::{MAX_PAYLOAD, MAX_PENDING};

const PIECE: usize = 64;

fuzz_target!(|data: &[u8]| {
    let Some((start, data)) = data.split_first() else { return };
    let Bench { mut session, mut pushed, mut now, .. } = begun(*start);
    for piece in data.chunks(PIECE) {
        let [choice, piece @ ..] = piece else { break };
        let mut bytes = Vec::new();
        if choice & 2 == 2 {
            bytes.extend([0x01, 0xfe, 0x80, 0x01, 0, 0, 0, piece.len() as u8]);
        }
        bytes.extend(piece);
        session.receive(now, &bytes, &pushed);
        pushed.answer = Some((session.counter(), PhaseAnswer::Finished));
        session.update(now, &pushed);
        if let Some(deadline) = session.deadline().filter(|_| choice & 1 == 1) {
            now = now.max(deadline);
            session.timeout(now, &pushed);
        }
        let _ = session.take_transmit();
        let _ = session.take_said();
        while session.poll_event().is_some() {}
        let (bytes, frames, events) = session.buffered();
        assert!(bytes <= MAX_PAYLOAD + 8 + PIECE + 8 && frames <= MAX_PENDING && events == 0);
    }
});

/// A station whose vehicle has behaved so far.
fn begun(start: u8) -> Bench {
    let mut bench = Bench::new();
    match start {
        0 => {}
        1 => bench.handshake(),
        2 => bench.reach_services(),
        3 => bench.reach_parameters(),
        4 => bench.reach_cable_check(),
        5 => bench.reach_pre_charge(),
        6 => bench.reach_charging(),
        _ => {
            let mut vehicle = din::Vehicle::new();
            match start % 6 {
                0 => {}
                1 => vehicle.reach_services(),
                2 => vehicle.reach_parameters(),
                3 => vehicle.reach_cable_check(),
                4 => vehicle.reach_pre_charge(),
                _ => vehicle.reach_charging(),
            }
            bench = vehicle.bench;
        }
    }
    bench.pushed.authorization = voltry_bus::Authorization::Granted;
    bench
}
