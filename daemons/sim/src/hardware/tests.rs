//! Whatever a host sends, a device survives it, stays small, and answers the next good request.

use proptest::prelude::*;

use super::*;
use crate::electrical::{Circuit, CircuitConfig, SharedCircuit};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn circuit() -> SharedCircuit {
    SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(2)))
}

fn bytes() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let alphabet = prop_oneof![
        any::<u8>(),
        Just(b'T'),
        Just(b'\r'),
        Just(b'0'),
        Just(0xA5),
        Just(0x03),
        Just(0x10),
        Just(0x01),
    ];
    proptest::collection::vec(proptest::collection::vec(alphabet, 0..300), 0..20)
}

/// Feeds `noise` 10 ms apart, then `request` after a pause; what comes back in the next 200 ms.
fn after_noise(device: &mut impl Wire, noise: &[Vec<u8>], request: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut now = MS(0);
    for bytes in noise {
        now += MS(10);
        device.receive(now, bytes);
        device.transmit(now, &mut out);
    }
    assert!(out.len() < 100_000);
    let request_at = now + MS(500);
    while device.deadline() < request_at {
        now = device.deadline().max(now + Duration::from_micros(1));
        device.transmit(now, &mut out);
    }
    out.clear();
    device.receive(request_at, request);
    now = request_at;
    while now < request_at + MS(200) {
        device.transmit(now, &mut out);
        now = device.deadline().max(now + Duration::from_micros(1));
    }
    out
}

fn energised(circuit: &SharedCircuit) -> bool {
    circuit.with(|circuit| circuit.contactors.plus.coil || circuit.contactors.minus.coil)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn an_adapter_survives_anything(noise in bytes()) {
        let circuit = circuit();
        let modules = (0..2).map(|number| PowerModule::new(Family::Infypower, number, 1, circuit.clone(), usize::from(number)));
        let mut bus = CanBus::new(modules.collect());
        let answer = after_noise(&mut bus, &noise, b"\rC\rS4\rO\rT028A00F080000000000000000\r");
        let text = String::from_utf8_lossy(&answer).into_owned();
        prop_assert!(text.contains("T028AF000803E8009603E80BB8\r"), "{text:?}");
    }

    #[test]
    fn a_modbus_line_survives_anything(noise in bytes()) {
        let monitor = IsoCha::new(3, circuit());
        let mut line = Line::new(9_600, vec![Box::new(monitor)]);
        let answer = after_noise(&mut line, &noise, &[0x03, 0x03, 0x03, 0xEB, 0x00, 0x01, 0xF5, 0x98]);
        prop_assert_eq!(answer, [0x03, 0x03, 0x02, 0x00, 0x47, 0x81, 0xB6]);
    }

    #[test]
    fn a_safety_controller_survives_anything_and_energises_nothing(noise in bytes()) {
        let circuit = circuit();
        let mut controller = Mcu::new(McuConfig::default(), circuit.clone());
        let inquiry = mcu::encode(0xFF, [0x0A, 0, 0, 0, 0, 0, 0, 0]);
        // Up to eleven bytes of noise may look like the beginning of a frame.
        let request = [&[0; 11][..], &inquiry].concat();
        let answer = after_noise(&mut controller, &noise, &request);
        prop_assert!(answer.windows(2).any(|pair| pair == [0xA5, 0x0A]), "{answer:02X?}");
        prop_assert!(!energised(&circuit));
    }
}
