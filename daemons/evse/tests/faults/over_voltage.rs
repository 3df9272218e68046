//! Voltages above the vehicle's maximum and its class, and the hardware that watches for them.

use super::*;

#[test]
fn a_voltage_above_the_vehicles_maximum_is_off_in_half_a_second_and_its_reaction() {
    breaks(FaultCode::OverVoltage, MS(900), |world| world.devices.cable_lies = 80.0);
}

#[test]
fn a_voltage_above_the_class_is_off_with_the_first_sample() {
    breaks(FaultCode::OverVoltage, MS(350), |world| world.devices.cable_lies = 170.0);
}

#[test]
fn a_surge_trips_the_over_voltage_monitor_before_software_has_seen_it() {
    let mut world = World::charging();
    world.devices.surge = 600.0;
    world.until_true(MS(20), "open", |world| !world.devices.contactors && !world.devices.supply_on);
    world.until(EvseState::Faulted);
    let fault = world.path.faults()[0];
    assert_eq!(fault.code, FaultCode::OverVoltage);
    let Evidence::Tripped(voltage, limit) = fault.evidence else { panic!("{fault:?}") };
    assert_eq!((voltage, limit), (Volts::new(600), Volts::new(550)));
    assert_eq!(world.faults_reported[0].1[0], Action::Do(Command::SupplyOff), "an emergency");
    world.vehicle.unplug();
    world.run(Duration::from_secs(5));
    assert_eq!(world.state(), EvseState::Faulted, "unplugging does not reset a trip");
    assert!(world.devices.guard.tripped);
    recovers(&mut world);
    assert!(world.devices.guard.armed);
}

#[test]
fn a_trip_found_at_the_start_waits_for_a_person() {
    let mut world = World::new();
    world.devices.guard.tripped = true;
    world.until(EvseState::Faulted);
    assert_eq!(world.path.faults()[0].code, FaultCode::OverVoltage);
    assert!(world.devices.guard.tripped, "nobody has reset it");
    recovers(&mut world);
}

#[test]
fn an_over_voltage_monitor_that_no_longer_watches_ends_the_session() {
    breaks(FaultCode::NotGuarded, MS(1_300), |world| {
        (world.devices.guard.broken, world.devices.guard.armed) = (true, false);
    });
    breaks(FaultCode::NotGuarded, MS(1_300), |world| {
        (world.devices.guard.broken, world.devices.guard.limit) = (true, Volts::new(825));
    });
}

#[test]
fn nothing_closes_unless_the_over_voltage_monitor_says_that_it_watches() {
    never_charges(FaultCode::NotGuarded, |world| world.devices.guard.broken = true);
    never_charges(FaultCode::Refused(Role::OverVoltageMonitor), |world| world.devices.guard.refuses = true);
}

#[test]
fn a_vehicle_that_lowers_its_class_has_the_limit_lowered_without_a_gap() {
    let mut world = World::available();
    (world.vehicle.voltage_max, world.vehicle.target_voltage) = (520.0, 420.0);
    world.vehicle.plug();
    world.until(EvseState::Charging);
    assert_eq!(world.devices.guard.limit, Volts::new(825));
    let voltage_max = Some(Volts::new(490));
    world.vehicle.voltage_max = 490.0;
    world.feed(Input::VehicleLimits(VehicleLimits { voltage_max, ..VehicleLimits::default() }));
    world.run(Duration::from_secs(2));
    assert_eq!((world.devices.guard.limit, world.devices.guard.armed), (Volts::new(550), true));
    assert_eq!((world.state(), world.path.faults()), (EvseState::Charging, &[][..]));
}

#[test]
fn hardware_that_acts_by_itself_is_told_nothing() {
    let mut world = World::with(voltry_evse::energy_path::Installation {
        over_voltage_monitor: false,
        ..plant::installation()
    });
    world.until(EvseState::Available);
    world.vehicle.plug();
    world.until(EvseState::Charging);
    world.devices.cable_lies = 170.0;
    world.until(EvseState::Faulted);
    assert_eq!(world.path.faults()[0].code, FaultCode::OverVoltage);
}
