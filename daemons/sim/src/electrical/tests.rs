use super::*;

fn charging() -> Circuit {
    let mut circuit = Circuit::new(CircuitConfig::of_modules(3));
    circuit.plug_in(Vehicle::new(Battery::of_400_v(2_000.0, 0.2)));
    circuit
}

fn run(circuit: &mut Circuit, seconds: f64) {
    let end = circuit.elapsed() + Duration::from_secs_f64(seconds);
    while circuit.elapsed() < end {
        circuit.step(STEP);
    }
}

fn set(circuit: &mut Circuit, volts: f64, amps_each: f64) {
    for module in &mut circuit.modules {
        (module.on, module.set_v, module.limit_a) = (true, volts, amps_each);
    }
}

/// Closes onto the battery as a vehicle does: precharge to its voltage first.
fn connect(circuit: &mut Circuit) {
    circuit.contactors.request(true);
    run(circuit, 0.1);
    let ocv = circuit.vehicle().unwrap().battery.open_circuit_v();
    set(circuit, ocv, 1.0);
    run(circuit, 0.5);
    assert!((circuit.cable_side_v() - ocv).abs() < 1.0, "precharge reached {}", circuit.cable_side_v());
    circuit.vehicle_mut().unwrap().contactors_closed = true;
}

#[test]
fn precharge_meets_the_battery_so_that_its_contactors_close_without_a_difference() {
    let mut circuit = charging();
    connect(&mut circuit);
    run(&mut circuit, 0.1);
    assert!(circuit.wear.vehicle_closed_across_v < 1.0);
    assert!(circuit.wear.closed_across_v < 1.0);
}

#[test]
fn what_the_meter_counts_is_in_the_battery_or_became_heat_in_it() {
    let mut circuit = charging();
    connect(&mut circuit);
    let (counted, soc) = (circuit.meter.exact_import_wh(), circuit.vehicle().unwrap().battery.soc);
    set(&mut circuit, 450.0, 50.0);
    let mut heat_j = 0.0;
    for _ in 0..4_000 {
        circuit.step(STEP);
        heat_j += circuit.battery_a().powi(2) * 0.08 * STEP.as_secs_f64();
    }
    assert!((circuit.output_a() - 150.0).abs() < 0.2, "{} A", circuit.output_a());
    let stored = (circuit.vehicle().unwrap().battery.soc - soc) * 2_000.0;
    let metered = circuit.meter.exact_import_wh() - counted;
    assert!(
        (metered - stored - heat_j / 3_600.0).abs() < 0.01,
        "{metered} ≠ {stored} + {}",
        heat_j / 3_600.0
    );
    assert!(metered > 300.0);
    assert!(circuit.grid_meter.exact_import_wh() > metered);
}

#[test]
fn modules_share_the_current_and_none_exceeds_its_limit() {
    let mut circuit = charging();
    connect(&mut circuit);
    set(&mut circuit, 450.0, 40.0);
    run(&mut circuit, 1.0);
    for module in &circuit.modules {
        assert!((module.current_a() - 40.0).abs() < 1e-6);
    }
    circuit.modules[0].derating = 0.25;
    run(&mut circuit, 0.1);
    assert!(circuit.modules[0].current_a() <= 25.0);
}

#[test]
fn walk_in_rises_slowly_and_without_it_the_voltage_is_there_at_once() {
    for (walk_in, reached) in [(true, 100.0..140.0), (false, 399.0..401.0)] {
        let mut circuit = Circuit::new(CircuitConfig::of_modules(1));
        circuit.modules[0].walk_in = walk_in;
        set(&mut circuit, 400.0, 5.0);
        run(&mut circuit, 1.2);
        assert!(reached.contains(&circuit.module_side_v()), "{}", circuit.module_side_v());
    }
}

#[test]
fn the_output_decays_through_the_bleeder_and_hardly_without_it() {
    for (fault, below) in [(false, true), (true, false)] {
        let mut circuit = Circuit::new(CircuitConfig::of_modules(1));
        set(&mut circuit, 500.0, 2.0);
        run(&mut circuit, 1.0);
        circuit.faults.set(Fault::ModuleBleeder, fault);
        circuit.modules[0].on = false;
        run(&mut circuit, 0.3);
        assert!(circuit.module_side_v() > 250.0, "it does not fall at once");
        run(&mut circuit, 1.5);
        assert_eq!(circuit.module_side_v() < 60.0, below, "{} V", circuit.module_side_v());
    }
}

#[test]
fn a_welded_contactor_keeps_the_modules_voltage_on_the_cable() {
    for welded in [false, true] {
        let mut circuit = charging();
        circuit.contactors.request(true);
        set(&mut circuit, 400.0, 2.0);
        run(&mut circuit, 1.0);
        circuit.faults.set(Fault::ContactorWelded, welded);
        circuit.contactors.request(false);
        run(&mut circuit, 3.0);
        assert_eq!(circuit.cable_side_v() > 390.0, welded);
        assert_eq!(circuit.contactors.plus.closed(), welded);
    }
}

#[test]
fn a_contactor_stuck_open_never_closes() {
    let mut circuit = charging();
    circuit.faults.inject(Fault::ContactorStuckOpen);
    circuit.contactors.request(true);
    run(&mut circuit, 1.0);
    assert!(!circuit.contactors.conducts());
}

#[test]
fn a_short_circuit_pulls_the_voltage_down_to_what_the_limit_gives() {
    let mut circuit = charging();
    circuit.faults.inject(Fault::OutputShort);
    circuit.contactors.request(true);
    set(&mut circuit, 500.0, 2.0 / 3.0);
    run(&mut circuit, 1.0);
    assert!(circuit.cable_side_v() < 1.0, "{}", circuit.cable_side_v());
    assert!((circuit.output_a() - 2.0).abs() < 0.1);
}

#[test]
fn closing_across_a_difference_and_opening_under_load_are_counted() {
    let mut circuit = charging();
    set(&mut circuit, 400.0, 5.0);
    run(&mut circuit, 1.0);
    circuit.contactors.request(true);
    run(&mut circuit, 0.1);
    assert!(circuit.wear.closed_across_v > 390.0);
    let mut circuit = charging();
    connect(&mut circuit);
    set(&mut circuit, 450.0, 50.0);
    run(&mut circuit, 1.0);
    circuit.contactors.request(false);
    run(&mut circuit, 0.1);
    assert_eq!(circuit.wear.opened_under_load, 1);
    assert!(circuit.output_a().abs() < 0.1);
}

#[test]
fn insulation_falls_slowly_or_at_once_and_earth_voltages_follow() {
    let mut circuit = charging();
    assert!(circuit.insulation_rf_ohms() > 5e6);
    circuit.faults.inject(Fault::InsulationFalling);
    run(&mut circuit, 4.0);
    assert!((500e3..5e6).contains(&circuit.insulation_rf_ohms()));
    run(&mut circuit, 16.0);
    assert!(circuit.insulation_rf_ohms() < 100e3);
    circuit.faults.clear(Fault::InsulationFalling);
    run(&mut circuit, 0.1);
    circuit.faults.inject(Fault::InsulationFault);
    assert!(circuit.insulation_rf_ohms() < 21e3);
    circuit.contactors.request(true);
    set(&mut circuit, 400.0, 2.0);
    run(&mut circuit, 1.0);
    let [plus, minus] = circuit.voltages_to_earth();
    assert!(plus > 390.0 && minus > -10.0);
}

#[test]
fn a_bad_contact_gets_hotter_than_the_other() {
    let mut circuit = charging();
    circuit.faults.inject(Fault::ConnectorHot);
    run(&mut circuit, 15.0);
    let [plus, minus] = circuit.contact_c();
    assert!(plus > 85.0 && minus < 30.0);
}

#[test]
fn the_pilot_reads_what_the_vehicle_loads_and_what_is_broken() {
    let mut circuit = charging();
    assert_eq!(circuit.pilot_state(), PilotState::F);
    circuit.pilot.source = PilotSource::Pwm { duty_permille: 50 };
    assert_eq!(circuit.pilot_state(), PilotState::B);
    circuit.vehicle_mut().unwrap().pilot_load = PilotLoad::C;
    assert_eq!(circuit.pilot_state(), PilotState::C);
    circuit.faults.inject(Fault::PilotDiode);
    assert!(circuit.pilot_diode_fault());
    circuit.faults.inject(Fault::PeLoss);
    assert_eq!(circuit.pilot_state(), PilotState::A);
    circuit.faults.inject(Fault::PilotShort);
    assert_eq!(circuit.pilot_state(), PilotState::E);
}
