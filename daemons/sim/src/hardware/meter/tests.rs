use super::*;
use crate::electrical::{Battery, Circuit, CircuitConfig, STEP, Vehicle};

/// Volts, amperes, watts and watt-hours, read as the document says to.
fn read(meter: &AcrelMeter) -> (f64, f64, f64, u32) {
    let registers = meter.read(0, 15).unwrap();
    let scale = |point: u16| 10_f64.powi(i32::from(point) - 3);
    let signed = |raw: u16| f64::from(i16::from_be_bytes(raw.to_be_bytes()));
    (
        f64::from(registers[0]) * scale(registers[1]),
        signed(registers[2]) * scale(registers[3]),
        signed(registers[6]) * scale(registers[7]),
        u32::from(registers[8]) << 16 | u32::from(registers[9]),
    )
}

fn charging() -> (AcrelMeter, SharedCircuit) {
    let mut circuit = Circuit::new(CircuitConfig::of_modules(3));
    let mut vehicle = Vehicle::new(Battery::of_400_v(2_000.0, 0.5));
    vehicle.contactors_closed = true;
    circuit.plug_in(vehicle);
    circuit.contactors.request(true);
    for module in &mut circuit.modules {
        (module.on, module.set_v, module.limit_a) = (true, 450.0, 60.0);
    }
    let circuit = SharedCircuit::new(circuit);
    (AcrelMeter::new(1, circuit.clone()), circuit)
}

fn run(meter: &mut AcrelMeter, circuit: &SharedCircuit, seconds: u64) {
    let end = circuit.with(|circuit| circuit.elapsed()) + Duration::from_secs(seconds);
    while circuit.with(|circuit| circuit.elapsed()) < end {
        circuit.with(|circuit| circuit.step(STEP));
        meter.tick(circuit.with(|circuit| circuit.elapsed()));
    }
}

#[test]
fn registers_and_their_decimal_points_give_what_flows() {
    let (mut meter, circuit) = charging();
    run(&mut meter, &circuit, 20);
    let (volts, amps, watts, wh) = read(&meter);
    assert!((volts - circuit.with(|circuit| circuit.cable_side_v())).abs() <= 0.05 + 0.01);
    assert!((amps - 180.0).abs() <= 0.2, "{amps}");
    assert!((watts - volts * amps).abs() <= 60.0);
    assert!(wh > 1_234_567 + 300);
    // The meter measures every 50 ms, the circuit counts every 5.
    assert!(circuit.with(|circuit| circuit.meter.import_wh()) - u64::from(wh) <= 1);
}

#[test]
fn a_stuck_meter_answers_with_what_it_had() {
    let (mut meter, circuit) = charging();
    run(&mut meter, &circuit, 2);
    let before = read(&meter);
    circuit.with(|circuit| circuit.faults.inject(Fault::MeterStuck));
    run(&mut meter, &circuit, 5);
    assert_eq!(read(&meter), before);
    circuit.with(|circuit| circuit.faults.clear(Fault::MeterStuck));
    run(&mut meter, &circuit, 1);
    assert!(read(&meter).3 > before.3, "the register went on inside");
}

#[test]
fn a_meter_that_runs_backwards_counts_down_what_flows() {
    let (mut meter, circuit) = charging();
    run(&mut meter, &circuit, 2);
    circuit.with(|circuit| circuit.faults.inject(Fault::MeterBackwards));
    let turned_at = circuit.with(|circuit| circuit.meter.import_wh());
    run(&mut meter, &circuit, 5);
    let counted = circuit.with(|circuit| circuit.meter.import_wh()) - turned_at;
    assert!(counted > 50);
    assert!((i64::from(read(&meter).3) - i64::try_from(turned_at - counted).unwrap()).abs() <= 1);
    circuit.with(|circuit| circuit.faults.clear(Fault::MeterBackwards));
    run(&mut meter, &circuit, 1);
    assert!(u64::from(read(&meter).3) > turned_at, "it went on inside");
}
