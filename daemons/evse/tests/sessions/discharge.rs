//! Energy from a vehicle: as much as everybody agrees on, counted, and watched as it is forwards.

use voltry_evse::energy_path::{Discharge, Installation};

use super::*;

/// An EVSE that may take energy, and a vehicle that lets 50 A be taken.
fn both_ways() -> World {
    let mut world = World::with(Installation { discharge: true, ..plant::installation() });
    world.until(EvseState::Available);
    world.vehicle.gives = 50.0;
    world.vehicle.soc = 80.0;
    world
}

fn giving() -> World {
    let mut world = both_ways();
    world.vehicle.plug();
    world.until(EvseState::Charging);
    world.run(Duration::from_secs(3));
    world
}

/// What the link is told to offer, by the actions of the next tick.
fn offered(world: &mut World) -> Option<Discharge> {
    let actions = world.path.step(world.now, Input::Tick).to_vec();
    actions.iter().find_map(|action| {
        if let Action::Do(Command::Discharge(discharge)) = action { Some(*discharge) } else { None }
    })
}

#[test]
fn a_vehicle_gives_what_both_sides_allow_and_the_register_of_exports_counts_it() {
    let mut world = giving();
    // 15 kW, the vehicle's own limit, at 396 V.
    let current = world.devices.current;
    assert!((-38.5..-37.0).contains(&current), "{current} A");
    assert_eq!(world.devices.set_voltage, 300.0, "down to the vehicle's lowest, not to its target");
    world.run(Duration::from_secs(120));
    let session = *world.path.session().unwrap();
    let given = world.devices.exported - 500.0;
    assert!(given > 450.0, "{given} Wh");
    assert!((session.exported().as_si() - given).abs() < 5.0, "{} of {given} Wh", session.exported());
    assert_eq!(session.energy(), WattHours::ZERO);
    world.feed(Input::Stop);
    world.until(EvseState::Finished);
    assert_eq!(world.path.faults(), []);
    assert!(!world.devices.contactors && world.devices.cable < 60.0);
}

#[test]
fn nothing_is_taken_unless_it_is_configured() {
    let mut world = World::available();
    world.vehicle.gives = 50.0;
    world.vehicle.plug();
    world.until(EvseState::Charging);
    world.feed(Input::Discharge(world.devices.discharge));
    world.run(Duration::from_secs(3));
    assert_eq!((world.devices.set_current, world.state()), (0.0, EvseState::Charging));
    assert_eq!(offered(&mut world), None, "the link is told nothing");
}

#[test]
fn nothing_is_taken_below_the_higher_of_both_lowest_voltages() {
    let mut world = giving();
    world.devices.discharge.voltage_min = Volts::new(410);
    world.run(Duration::from_secs(3));
    assert_eq!(world.devices.set_current, 0.0);
    assert_eq!(world.path.faults(), []);
}

#[test]
fn a_supply_that_can_take_no_more_is_asked_for_no_more() {
    let mut world = giving();
    world.devices.discharge.current_max = Amps::new(10);
    world.run(Duration::from_secs(2));
    assert_eq!(world.devices.set_current, -10.0);
    world.devices.discharge = Discharge::default();
    world.run(Duration::from_secs(2));
    assert_eq!(world.devices.set_current, 0.0);
    assert_eq!(world.path.faults(), []);
}

#[test]
fn between_both_ways_the_current_comes_to_rest() {
    let mut world = giving();
    world.vehicle.gives = 0.0;
    let mut before = world.devices.set_current;
    let mut rested = 0;
    let start = world.now;
    while world.devices.current < 50.0 {
        world.tick();
        let set = world.devices.set_current;
        assert!(set * before >= 0.0, "from {before} A to {set} A at once");
        rested += u32::from(set == 0.0);
        before = set;
        assert!(world.now.since(start) < Duration::from_secs(10), "{set} A");
    }
    assert!(rested > 0);
    world.vehicle.gives = 50.0;
    world.until_true(Duration::from_secs(5), "back", |world| world.devices.current < -30.0);
    assert_eq!(world.path.faults(), []);
}

#[test]
fn more_from_the_vehicle_than_was_asked_is_an_emergency_and_so_is_any_where_nothing_was() {
    let mut world = giving();
    world.devices.runaway = -20.0;
    world.until_true(MS(800), "open", |world| !world.devices.contactors);
    assert_eq!(world.path.faults()[0].code, FaultCode::OverCurrent);

    let mut world = World::charging();
    world.vehicle.target_current = 0.0;
    world.run(Duration::from_secs(3));
    world.devices.runaway = -8.0;
    world.until_true(MS(800), "open", |world| !world.devices.contactors);
    assert_eq!(world.path.faults()[0].code, FaultCode::OverCurrent);
}

#[test]
fn energy_that_no_register_counts_is_not_taken_on() {
    let mut world = giving();
    world.devices.meter_stuck = true;
    let waited = world.until_true(Duration::from_secs(200), "ended", |world| !world.path.faults().is_empty());
    assert_eq!(world.path.faults()[0].code, FaultCode::MeterStuck);
    assert!(waited > Duration::from_secs(90), "half a kilowatt-hour at 15 kW: {waited:?}");
}

#[test]
fn a_vehicle_that_gives_and_falls_silent_gives_nothing_after_a_second_and_is_left_after_three() {
    let mut world = giving();
    world.vehicle.mute = true;
    world.until_true(MS(1_300), "zero", |world| world.devices.set_current == 0.0);
    world.until_true(MS(2_300), "left", |world| !world.path.faults().is_empty());
    assert_eq!(world.path.faults()[0].code, FaultCode::VehicleSilent);
}

#[test]
fn the_link_is_told_what_is_taken_and_of_each_change() {
    let mut world = both_ways();
    world.vehicle.plug();
    world.until(EvseState::Parameters);
    world.run(MS(1_500));
    world.feed(Input::Discharge(Discharge { current_max: Amps::new(7), ..world.devices.discharge }));
    assert_eq!(offered(&mut world).map(|told| told.current_max), Some(Amps::new(7)));
    assert_eq!(offered(&mut world), None);
}
