//! What a vehicle sends over TCP: V2GTP, the handshake, EXI, any message in any order, at any
//! boundary, with an evse that grants everything.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voltry_bus::{Authorization, EvseStatusCode, Isolation, PhaseAnswer};
use voltry_secc::config::Timing;
use voltry_secc::message::{ControlMode, Limited, Limits, Protocol, Service};
use voltry_secc::pushed::{Present, Pushed};
use voltry_secc::session::Session;
use voltry_secc::v2g::{Identity, MAX_PAYLOAD, MAX_PENDING};
use voltry_units::{Amps, Measured, Timestamp, Volts, Watts};

fuzz_target!(|data: &[u8]| {
    let mut now = Timestamp::from_micros(1_000_000_000);
    let identity = Identity {
        evse_id: "DE*VOL*E1".to_owned(),
        peak_current_ripple: Amps::new(1),
        protocols: Protocol::ALL.to_vec(),
        control_modes: ControlMode::ALL.to_vec(),
        services: vec![Service::Dc, Service::DcBpt, Service::Mcs],
    };
    let mut session = Session::open(now, 1_800_000_000, identity, Timing::default(), *b"voltry01", None, 100);
    let mut pushed = pushed(now);
    for piece in data.chunks(64) {
        session.receive(now, piece, &pushed);
        pushed.answer = Some((session.counter(), PhaseAnswer::Finished));
        session.update(now, &pushed);
        if let Some(deadline) = session.deadline().filter(|_| piece[0] & 1 == 1) {
            now = now.max(deadline);
            session.timeout(now, &pushed);
        }
        let _ = session.take_transmit();
        while session.poll_event().is_some() {}
        let (bytes, frames, events) = session.buffered();
        assert!(bytes <= MAX_PAYLOAD + 8 + 64 && frames <= MAX_PENDING && events == 0);
    }
});

fn pushed(now: Timestamp) -> Pushed {
    let present = Present {
        phase: 1000,
        voltage: Volts::new(400),
        current: Amps::new(100),
        isolation: Isolation::Valid,
        status: EvseStatusCode::Ready,
        limited: Limited::default(),
    };
    Pushed {
        attached: Some(1),
        limits: Some(Limits {
            voltage_min: Volts::new(150),
            voltage_max: Volts::new(1000),
            current_min: Amps::ZERO,
            current_max: Amps::new(200),
            power_max: Watts::new(60_000),
        }),
        authorization: Authorization::Granted,
        present: Some(Measured::new(present, now)),
        ..Pushed::default()
    }
}
