//! A vehicle that opens S2 while it does not charge: it says no, and nothing has failed. The board lets go by itself.

use super::*;

/// Opens S2 in this state, once the contactors are closed and the supply is on.
fn says_no(state: EvseState) -> World {
    let mut world = World::available();
    world.vehicle.plug();
    world.until_true(Duration::from_secs(60), &format!("energised in {state}"), |world| {
        world.state() == state && world.devices.contactors && world.devices.supply_on
    });
    world.vehicle.pilot = Pilot::B;
    world.vehicle.silent = true;
    world
}

/// Off at once, no fault, and the next vehicle charges.
fn is_let_go(mut world: World, stop: StopReason) {
    world.until_true(MS(100), "off", |world| !world.devices.contactors && !world.devices.supply_on);
    world.vehicle.silent = false;
    world.until(EvseState::Finished);
    assert_eq!(world.faults_reported, []);
    assert_eq!(world.path.session().map(|session| session.stop), Some(Some(stop)));
    world.vehicle.unplug();
    world.until(EvseState::Available);
    world.vehicle.repair();
    world.vehicle.plug();
    world.until(EvseState::Charging);
}

#[test]
fn in_the_insulation_test_it_is_let_go() {
    is_let_go(says_no(EvseState::CableCheck), StopReason::Vehicle);
}

#[test]
fn in_pre_charge_it_is_let_go() {
    is_let_go(says_no(EvseState::PreCharge), StopReason::Vehicle);
}

#[test]
fn in_a_stop_under_current_it_is_let_go() {
    let mut world = World::charging();
    world.until_true(Duration::from_secs(20), "current", |world| world.devices.current > 100.0);
    world.feed(Input::Stop);
    world.run(MS(200));
    assert!(world.devices.current > 10.0 && world.devices.contactors, "{} A", world.devices.current);
    world.vehicle.pilot = Pilot::B;
    world.vehicle.contactor = false;
    is_let_go(world, StopReason::Station);
}
