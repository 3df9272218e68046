use super::*;
use crate::electrical::{Circuit, CircuitConfig};

const S: fn(u64) -> Duration = Duration::from_secs;

fn monitor() -> (IsoCha, SharedCircuit) {
    let circuit = SharedCircuit::new(Circuit::new(CircuitConfig::of_modules(1)));
    (IsoCha::new(3, circuit.clone()), circuit)
}

/// Value, alarm and test byte, unit and validity byte of the channel at `register`.
fn channel(monitor: &IsoCha, register: u16) -> (f32, u8, u8) {
    let words = monitor.read(register, 4).unwrap();
    let [[a, b], [c, d]] = [words[0].to_be_bytes(), words[1].to_be_bytes()];
    let [alarm, unit] = words[2].to_be_bytes();
    (f32::from_be_bytes([a, b, c, d]), alarm, unit)
}

fn run(monitor: &mut IsoCha, from: Duration, to: Duration) {
    let mut now = from;
    while now <= to {
        monitor.tick(now);
        now += Duration::from_millis(20);
    }
}

#[test]
fn a_value_is_invalid_until_the_first_is_measured_and_the_counter_rises_with_each() {
    let (mut monitor, _circuit) = monitor();
    assert_eq!(channel(&monitor, 1_000).2 >> 6, 3);
    run(&mut monitor, S(0), S(5));
    let (ohms, alarm, unit) = channel(&monitor, 1_000);
    // 10 MΩ is the end of the range: "true value or larger".
    assert!((ohms - 10e6).abs() < 1e3 && alarm == 0 && unit & 0x1F == 2);
    assert!((channel(&monitor, 1_032).0 - 5.0).abs() < 1.1);
    assert_eq!(monitor.read(1_003, 1).unwrap(), [71]);
}

#[test]
fn a_fault_to_earth_raises_pre_alarm_and_alarm() {
    let (mut monitor, circuit) = monitor();
    run(&mut monitor, S(0), S(5));
    circuit.with(|circuit| circuit.faults.inject(Fault::InsulationFault));
    run(&mut monitor, S(5), S(20));
    let (ohms, alarm, _) = channel(&monitor, 1_000);
    assert!((15e3..25e3).contains(&ohms), "{ohms}");
    assert_eq!(alarm, 5);
    assert!(channel(&monitor, 1_024).0 < -90.0, "it is DC−");
}

#[test]
fn the_self_test_shows_an_external_test_and_then_none() {
    let (mut monitor, _circuit) = monitor();
    run(&mut monitor, S(0), S(5));
    let updates = channel(&monitor, 1_032).0;
    monitor.write(SELF_TEST, &[0x5445]).unwrap();
    assert_eq!(channel(&monitor, 1_000).1 >> 6, 2);
    assert_eq!(monitor.write(SELF_TEST, &[0x5445]), Err(Exception::Value), "one at a time");
    run(&mut monitor, S(5), Duration::from_millis(7_900));
    assert_eq!(channel(&monitor, 1_000).1 >> 6, 2);
    assert!((channel(&monitor, 1_032).0 - updates).abs() < 0.1, "nothing is measured meanwhile");
    run(&mut monitor, S(8), S(10));
    assert_eq!(channel(&monitor, 1_000).1, 0);
    assert!(channel(&monitor, 1_032).0 > updates);
}

#[test]
fn without_the_fast_mode_the_self_test_takes_longer_than_a_cable_check_should() {
    let (mut monitor, _circuit) = monitor();
    monitor.write(FAST_MODE, &[0]).unwrap();
    run(&mut monitor, S(0), S(5));
    monitor.write(SELF_TEST, &[0x5445]).unwrap();
    run(&mut monitor, S(5), S(22));
    assert_eq!(channel(&monitor, 1_000).1 >> 6, 2);
    run(&mut monitor, S(22), S(24));
    assert_eq!(channel(&monitor, 1_000).1, 0);
}

#[test]
fn a_failed_self_test_is_a_device_error_until_one_succeeds() {
    let (mut monitor, circuit) = monitor();
    circuit.with(|circuit| circuit.faults.inject(Fault::ImdSelfTestFails));
    run(&mut monitor, S(0), S(5));
    monitor.write(SELF_TEST, &[0x5445]).unwrap();
    run(&mut monitor, S(5), S(10));
    assert_eq!(channel(&monitor, 1_000).1, 2);
    circuit.with(|circuit| circuit.faults.clear(Fault::ImdSelfTestFails));
    run(&mut monitor, S(10), S(20));
    assert_eq!(channel(&monitor, 1_000).1, 2);
    monitor.write(SELF_TEST, &[0x5445]).unwrap();
    run(&mut monitor, S(20), S(25));
    assert_eq!(channel(&monitor, 1_000).1, 0);
}

#[test]
fn a_disabled_device_measures_nothing_and_enabling_begins_anew() {
    let (mut monitor, _circuit) = monitor();
    run(&mut monitor, S(0), S(5));
    let updates = channel(&monitor, 1_032).0;
    monitor.write(DEVICE_ACTIVE, &[0]).unwrap();
    run(&mut monitor, S(5), S(10));
    assert_eq!(channel(&monitor, 1_000).2 >> 6, 3);
    assert!((channel(&monitor, 1_032).0 - updates).abs() < 0.1);
    assert_eq!(monitor.write(SELF_TEST, &[0x5445]), Err(Exception::Value));
    monitor.write(DEVICE_ACTIVE, &[1]).unwrap();
    run(&mut monitor, S(10), S(12));
    assert_ne!(channel(&monitor, 1_000).2 >> 6, 3);
}
