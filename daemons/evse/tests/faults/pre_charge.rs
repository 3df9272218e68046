//! Faults of the way from the insulation test to the battery.

use voltry_bus::{EvseState, LinkPhase};
use voltry_evse::energy_path::{FaultCode, Input, Role, Target};
use voltry_units::{Amps, Volts};

use super::MS;
use super::plant::World;

/// What was met is met for the battery that was named then, also while no younger value says how far the other is.
#[test]
fn a_vehicle_that_names_another_battery_as_it_asks_for_power_is_refused() {
    let mut world = World::available();
    world.vehicle.stays_in_pre_charge = true;
    world.vehicle.plug();
    world.until(EvseState::PreCharge);
    let battery = world.vehicle.battery();
    world.until_true(MS(5_000), "met", |world| (world.devices.cable - battery).abs() < 2.0);
    world.run(MS(500));
    world.silent.push(Role::VoltageMonitor);
    world.run(MS(150));
    let counter = world.vehicle.counter();
    let voltage = Volts::from_si(battery - 60.0).unwrap();
    let current = Amps::new(2);
    world.feed(Input::Target(Target { counter, voltage, current, at: world.now }));
    world.feed(Input::Phase { counter: counter + 1, phase: LinkPhase::PowerOn });
    assert_eq!(world.state(), EvseState::ErrorShutdown);
    assert_eq!(world.faults_reported[0].0.code, FaultCode::PreChargeFailure);
}
