//! Vehicles that agree on limits again, out of the charge loop.

use voltry_bus::LinkPhase;

use super::*;

#[test]
fn a_vehicle_that_renegotiates_by_the_insulation_test_is_proved_off_and_tested_anew() {
    let mut world = charging_until(Again::Renegotiation);
    let session = world.path.session().unwrap().id;
    world.until(EvseState::Stopping);
    world.until(EvseState::CableCheck);
    assert!(!world.devices.contactors && world.devices.cable < 60.0, "{} V", world.devices.cable);
    world.until(EvseState::Charging);
    world.until(EvseState::Finished);
    let ended = *world.path.session().unwrap();
    assert_eq!((ended.id, ended.stop), (session, Some(StopReason::Vehicle)));
    assert_eq!((checks(&world), world.faults_reported.len()), (2, 0));
}

/// The battery stays on the cable.
#[test]
fn a_vehicle_that_renegotiates_and_does_not_open_its_contactors_is_not_tested() {
    let mut world = charging_until(Again::Renegotiation);
    world.until(EvseState::Stopping);
    world.vehicle.contactor = true;
    world.until(EvseState::Faulted);
    assert_eq!(checks(&world), 1);
    assert!(!world.devices.contactors);
}

/// Charging, with a vehicle that will renegotiate and open S2 meanwhile.
fn about_to_open_s2() -> World {
    charging_until(Again::RenegotiationInB)
}

/// The vehicle's next phase, whatever it does itself.
fn enters(world: &mut World, ahead: u64, phase: LinkPhase) {
    let counter = world.vehicle.counter() + ahead;
    world.feed(Input::Phase { counter, phase });
}

#[test]
fn a_vehicle_that_opens_s2_to_renegotiate_is_let_go_without_a_fault_and_tested_anew() {
    is_let_go(false);
}

#[test]
fn a_board_that_opens_by_itself_when_a_vehicle_opens_s2_to_renegotiate_is_no_fault() {
    is_let_go(true);
}

fn is_let_go(by_the_board: bool) {
    let mut world = about_to_open_s2();
    let session = world.path.session().expect("a session").id;
    world.until_true(Duration::from_secs(60), "S2 open", |world| world.vehicle.pilot == Pilot::B);
    world.devices.stuck_open = by_the_board;
    world.until_true(MS(150), "open", |world| !world.devices.contactors && !world.devices.supply_on);
    world.devices.stuck_open = false;
    assert_eq!((world.vehicle.phase, world.state()), (LinkPhase::Renegotiating, EvseState::Stopping));
    world.run(MS(300));
    assert_eq!(world.devices.pilot_output, PilotOutput::Digital, "the conversation goes on");
    let told = world.vehicle.told.map(|told| told.status);
    assert_eq!(told, Some(voltry_bus::EvseStatusCode::NotReady), "no shutdown");
    world.until(EvseState::CableCheck);
    assert!(!world.devices.contactors && world.devices.cable < 60.0, "{} V", world.devices.cable);
    world.until(EvseState::Charging);
    world.until(EvseState::Finished);
    world.run(MS(500));
    let ended = *world.path.session().expect("a session");
    assert_eq!((ended.id, ended.stop), (session, Some(StopReason::Vehicle)));
    assert!(ended.ended_at.is_some());
    assert_eq!((checks(&world), world.faults_reported.len()), (2, 0));
}

#[test]
fn s2_opened_under_current_is_an_emergency_also_in_a_renegotiation() {
    let mut world = World::charging();
    enters(&mut world, 1, LinkPhase::Renegotiating);
    world.vehicle.pilot = Pilot::B;
    world.until_true(MS(150), "off", |world| !world.devices.contactors && !world.devices.supply_on);
    assert_eq!(world.path.faults()[0].code, FaultCode::InvalidVehicleMode);
}

#[test]
fn s2_opened_without_current_is_an_emergency_where_nobody_renegotiates() {
    let mut world = World::charging();
    world.vehicle.target_current = 0.0;
    world.run(Duration::from_secs(3));
    assert!(world.devices.current < 1.0);
    world.vehicle.pilot = Pilot::B;
    world.until_true(MS(150), "off", |world| !world.devices.contactors && !world.devices.supply_on);
    assert_eq!(world.path.faults()[0].code, FaultCode::InvalidVehicleMode);
}

#[test]
fn a_vehicle_that_opened_s2_gets_no_power_without_the_test() {
    let mut world = about_to_open_s2();
    world.vehicle.agrees_for = Duration::from_secs(3600);
    world.until(EvseState::Stopping);
    world.vehicle.pilot = Pilot::C;
    world.run(Duration::from_secs(1));
    enters(&mut world, 1, LinkPhase::Charging);
    assert_eq!(world.path.session().unwrap().stop, Some(StopReason::Incompatible));
    assert!(world.vehicle.wants_stop, "it was not told");
    world.until(EvseState::Finished);
    assert_eq!((checks(&world), world.path.faults().len()), (1, 0));
}

#[test]
fn a_vehicle_that_opened_s2_and_does_not_come_back_is_left() {
    let mut world = about_to_open_s2();
    world.vehicle.agrees_for = Duration::from_secs(3600);
    world.until(EvseState::Stopping);
    let waited =
        world.until_true(Duration::from_secs(60), "left", |world| world.state() == EvseState::Finished);
    assert!(waited > Duration::from_secs(50), "{waited:?}");
    world.run(Duration::from_secs(6));
    let session = *world.path.session().unwrap();
    assert_eq!(session.stop, Some(StopReason::TimedOut));
    assert!(session.ended_at.is_some());
    assert_eq!(world.path.faults(), []);
}

/// As Volkswagens do: they stay in state C and charge on, by what they wished before.
#[test]
fn a_vehicle_that_stays_ready_charges_on_while_it_renegotiates() {
    let mut world = World::charging();
    let set = world.devices.set_current;
    world.vehicle.mute = true;
    enters(&mut world, 1, LinkPhase::Renegotiating);
    world.run(MS(400));
    assert_eq!(world.devices.set_current, set);
    enters(&mut world, 2, LinkPhase::Charging);
    world.run(MS(300));
    assert_eq!(world.devices.set_current, set, "no step between its last wish and its next");
    world.run(MS(700));
    assert_eq!(world.devices.set_current, 0.0, "older than a second");
}
