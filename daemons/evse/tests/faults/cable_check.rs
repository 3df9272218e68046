//! What CableCheck finds, and what it must not take for a short circuit.

use super::*;

#[test]
fn cable_check_finds_what_is_wrong_before_a_vehicle_is_charged() {
    never_charges(FaultCode::ShortCircuit, |world| world.devices.short = true);
    never_charges(FaultCode::ResistanceFault, |world| world.devices.insulation = 60_000.0);
    never_charges(FaultCode::CableCheckFailure, |world| world.devices.self_test_fails = true);
    never_charges(FaultCode::CableCheckFailure, |world| world.silent.push(Role::InsulationMonitor));
    never_charges(FaultCode::ContactorFault, |world| world.devices.stuck_open = true);
}

#[test]
fn what_keeps_cable_check_from_beginning_is_the_fault_that_it_ends_with() {
    type Break = fn(&mut World);
    let cases: [(FaultCode, &str, Break); 4] = [
        (FaultCode::ContactorFault, "contactors closed", |world| world.devices.welded = true),
        (FaultCode::ConnectorVoltageHigh, "limit 20.0 V", |world| world.devices.cable_lies = 45.0),
        (FaultCode::ConnectorVoltageHigh, "limit 60.0 V", |world| world.devices.cable_lies = 75.0),
        (FaultCode::InvalidVehicleMode, "pilot B", |world| world.vehicle.stays_in_b = true),
    ];
    for (code, evidence, break_it) in cases {
        let mut world = World::available();
        world.vehicle.plug();
        world.until(EvseState::Parameters);
        break_it(&mut world);
        world.until(EvseState::Faulted);
        let fault = world.faults_reported[0].0;
        assert_eq!(fault.code, code);
        assert!(fault.cause().contains(evidence), "{}", fault.cause());
        assert_eq!(world.devices.closed_into, 0.0);
        world.vehicle.stays_in_b = false;
        recovers(&mut world);
    }
}

#[test]
fn a_plug_that_does_not_lock_is_not_energised() {
    let mut world =
        World::with(voltry_evse::energy_path::Installation { has_lock: true, ..plant::installation() });
    (world.devices.has_lock, world.devices.lock_stuck) = (true, true);
    world.until(EvseState::Available);
    world.vehicle.plug();
    world.until(EvseState::Faulted);
    assert_eq!(world.path.faults()[0].code, FaultCode::ConnectorLockFailure);
    assert!(!world.devices.contactors && !world.states.contains(&EvseState::PreCharge));
    world.devices.lock_stuck = false;
    recovers(&mut world);
}

#[test]
fn a_plug_that_left_before_its_lock_moved_locks_the_next_time() {
    let mut world =
        World::with(voltry_evse::energy_path::Installation { has_lock: true, ..plant::installation() });
    (world.devices.has_lock, world.devices.lock_stuck) = (true, true);
    world.until(EvseState::Available);
    world.vehicle.plug();
    world.until(EvseState::Parameters);
    world.vehicle.unplug();
    world.until(EvseState::Available);
    world.devices.lock_stuck = false;
    world.run(Duration::from_secs(1));
    world.vehicle.plug();
    world.until(EvseState::Charging);
    assert!(world.devices.locked);
}

#[test]
fn contactors_do_not_close_between_voltages_of_opposite_signs() {
    let mut world = World::available();
    world.vehicle.plug();
    world.until(EvseState::Parameters);
    // As measured: 24 V here and 18 V there are 42 V apart, the other way round.
    (world.devices.bleeders_failed, world.devices.module, world.devices.cable_lies) = (true, 24.0, -18.0);
    world.until(EvseState::Faulted);
    let cause = world.faults_reported[0].0.cause();
    assert!(cause.contains("42.0 V, limit 20.0 V"), "{cause}");
    world.devices.bleeders_failed = false;
    recovers(&mut world);
}

#[test]
fn contactors_do_not_close_while_one_side_falls_away_from_the_other() {
    let mut world = World::available();
    world.vehicle.plug();
    world.until(EvseState::Parameters);
    // The cable discharges in tenths of a second, the modules do not at all.
    (world.devices.bleeders_failed, world.devices.module, world.devices.cable) = (true, 43.0, 58.0);
    world.until(EvseState::Faulted);
    assert_eq!(world.devices.closed_into, 0.0);
    world.devices.bleeders_failed = false;
    recovers(&mut world);
}

#[test]
fn a_short_circuit_is_found_though_the_cables_voltage_reads_high() {
    breaks(FaultCode::ShortCircuit, MS(1800), |world| {
        (world.devices.short, world.devices.cable_lies) = (true, 75.0);
    });
}

/// Vehicles' maximum voltages; CableCheck tests with 250, 500, 907.5 and 1000 V.
const CLASSES: [f64; 4] = [200.0, 450.0, 825.0, 920.0];

fn with_charge(voltage_max: f64, farads: f64, load: f64) -> World {
    let mut world = World::available();
    world.vehicle.voltage_max = voltage_max;
    world.vehicle.target_voltage = voltage_max - 20.0;
    (world.devices.farads, world.devices.load) = (farads, load);
    world.vehicle.plug();
    world.until(EvseState::CableCheck);
    world
}

#[test]
fn a_capacitance_that_can_be_charged_in_time_is_no_short_circuit() {
    for voltage_max in CLASSES {
        // Of a cable alone; of five modules of 200 µF with it; of many more.
        for farads in [20e-6, 1.02e-3, 2e-3, 4e-3] {
            let mut world = with_charge(voltage_max, farads, f64::INFINITY);
            world.until_true(Duration::from_secs(20), &format!("{farads} F at {voltage_max} V"), |world| {
                world.state() != EvseState::CableCheck
            });
            assert_eq!(world.state(), EvseState::PreCharge, "{farads} F at {voltage_max} V");
            assert_eq!(world.faults_reported, []);
        }
    }
}

#[test]
fn a_short_circuit_behind_any_capacitance_is_found_and_off_in_time() {
    let mut slowest = Duration::ZERO;
    for voltage_max in CLASSES {
        for farads in [20e-6, 1.02e-3, 2e-3, 4e-3] {
            // IEC 61851-23 6.3.1.109 tries it with 110 Ω.
            for load in [0.1, 1.0, 10.0, 50.0, 100.0, 110.0] {
                let case = format!("{load} ohms and {farads} F at {voltage_max} V");
                let mut world = with_charge(voltage_max, farads, load);
                world.until_true(MS(3000), &case, |world| world.devices.supply_on);
                let found =
                    world.until_true(MS(2000), &case, |world| world.state() == EvseState::ErrorShutdown);
                assert_eq!(world.faults_reported[0].0.code, FaultCode::ShortCircuit, "{case}");
                let off = found + world.until_true(MS(1500), &case, |world| world.devices.module < 60.0);
                assert!(off <= MS(2500), "{case}: {off:?} from on to below 60 V");
                slowest = slowest.max(found);
            }
        }
    }
    println!("found at the latest after {slowest:?}");
}

#[test]
fn a_capacitance_too_great_to_be_tested_is_off_when_the_time_for_it_is_over() {
    let mut world = with_charge(825.0, 20e-3, f64::INFINITY);
    world.until_true(MS(3000), "on", |world| world.devices.supply_on);
    world.until_true(MS(3100), "off", |world| !world.devices.supply_on);
    assert_eq!(world.state(), EvseState::ErrorShutdown);
}
