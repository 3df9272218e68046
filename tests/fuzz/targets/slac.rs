//! What anybody on the powerline sends: management messages of any kind and damage, at any time,
//! from a few senders, to a station whose modem answers.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use voltry_secc::slac::wire::{Mac, ModemKind, parse};
use voltry_secc::slac::{Matching, Slac};
use voltry_units::Timestamp;

const STATION: Mac = [2, 0, 0, 0, 0, 1];
const MODEM: Mac = [0, 1, 0x87, 0, 0, 1];
/// What a vehicle or a modem says to a station.
const TYPES: [u16; 11] =
    [0x6009, 0x6064, 0x606a, 0x606f, 0x6076, 0x6078, 0x607c, 0x6086, 0xa0b9, 0xac9d, 0x0000];

fuzz_target!(|data: &[u8]| {
    let _ = parse(data);
    let mut now = Timestamp::from_micros(1_000_000_000);
    let matching = Matching {
        modem: ModemKind::Qca7000,
        attenuation_offset_db: 10,
        init: Duration::from_secs(40),
        first_word: Duration::from_secs(30),
        retries: 2,
    };
    let mut slac = Slac::new(matching, STATION);
    let mut keys = 0;
    for piece in data.chunks(128) {
        let [op, wait, who, rest @ ..] = piece else { break };
        now = now + Duration::from_millis(u64::from(*wait) * u64::from(*wait));
        match op >> 4 {
            0 => slac.detach(),
            1 => slac.attach(now),
            2 => slac.heard_data(now),
            3 => slac.set_engaged(*who & 1 == 1),
            _ => {
                let source = if *who == 0 { MODEM } else { [2, 0xee, 0, 0, 0, who % 4] };
                let mmtype = TYPES[usize::from(*op) % TYPES.len()];
                let version = u8::from(mmtype < 0xa000);
                let mut frame =
                    [&STATION[..], &source, &[0x88, 0xe1, version], &mmtype.to_le_bytes()].concat();
                frame.extend([0, 0]);
                frame.extend(rest);
                let _ = slac.receive(now, &frame);
            }
        }
        let mut rounds = 0;
        while slac.deadline().is_some_and(|deadline| deadline <= now) {
            slac.timeout(now);
            rounds += 1;
            assert!(rounds < 20, "a deadline that never passes");
        }
        if slac.wants_key() {
            keys += 1;
            slac.renew_key(now, [keys as u8; 20]);
            confirm(&mut slac, now, keys as u8);
        }
        let (runs, waiting) = slac.held();
        assert!(runs <= 16 && waiting <= 32);
        while slac.take_transmit().is_some() {}
        while slac.poll_event().is_some() {}
    }
});

/// The modem takes the key: CM_SET_KEY.CNF with the nonce of the request.
fn confirm(slac: &mut Slac, now: Timestamp, nonce: u8) {
    let mut frame = [&STATION[..], &MODEM, &[0x88, 0xe1, 1, 0x09, 0x60, 0, 0, 1]].concat();
    frame.extend([0; 4]);
    frame.extend([nonce; 4]);
    frame.extend([4, 0, 0, 0xff, 0]);
    frame.resize(60, 0);
    slac.receive(now, &frame).expect("a confirmation");
}
