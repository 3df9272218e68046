//! A door, a tilt, water, and cooling that failed.

use voltry_bus::Alarm;

use super::*;

const EMERGENCIES: [(Alarm, FaultCode); 3] = [
    (Alarm::EnclosureOpen, FaultCode::EnclosureOpen),
    (Alarm::Tilted, FaultCode::TiltDetected),
    (Alarm::Water, FaultCode::WaterIngress),
];

fn alarm(world: &mut World, alarm: Alarm, present: bool) {
    world.devices.alarms = world.devices.alarms.set(alarm, present);
}

#[test]
fn an_open_door_a_tilt_and_water_are_emergencies() {
    for (cause, code) in EMERGENCIES {
        breaks(code, MS(400), |world| alarm(world, cause, true));
        never_charges(code, |world| alarm(world, cause, true));
    }
}

#[test]
fn a_cooling_that_failed_lets_the_current_fall_first() {
    breaks(FaultCode::CoolingFailed, MS(1_500), |world| alarm(world, Alarm::CoolingFailed, true));
    never_charges(FaultCode::CoolingFailed, |world| alarm(world, Alarm::CoolingFailed, true));
    let mut world = World::charging();
    alarm(&mut world, Alarm::CoolingFailed, true);
    world.until(EvseState::ErrorShutdown);
    let (_, at_once) = &world.faults_reported[0];
    assert!(at_once.contains(&Action::Do(Command::SupplyOff)));
    assert!(!at_once.contains(&Action::Do(Command::OpenContactors)), "{at_once:?}");
}

/// Cooling that does not come back hides nothing that is worse.
#[test]
fn a_plug_that_is_pulled_while_the_cooling_has_failed_opens_at_once() {
    let mut world = World::charging();
    (world.devices.supply_ignores_off, world.vehicle.welded, world.vehicle.holds_c) = (true, true, true);
    alarm(&mut world, Alarm::CoolingFailed, true);
    world.until(EvseState::ErrorShutdown);
    world.run(MS(200));
    assert!(world.devices.contactors, "they wait for the current");
    world.vehicle.pilot = Pilot::A;
    world.until_true(MS(120), "open", |world| !world.devices.contactors);
}

#[test]
fn an_opened_cabinet_waits_for_a_person_and_cooling_that_runs_again_for_nobody() {
    for (cause, code, waits) in [
        (Alarm::EnclosureOpen, FaultCode::EnclosureOpen, true),
        (Alarm::CoolingFailed, FaultCode::CoolingFailed, false),
        (Alarm::Tilted, FaultCode::TiltDetected, true),
        (Alarm::Water, FaultCode::WaterIngress, true),
    ] {
        let mut world = World::available();
        alarm(&mut world, cause, true);
        world.until(EvseState::Faulted);
        world.feed(Input::ClearFaults);
        world.run(MS(3_000));
        assert_eq!(world.path.faults()[0].code, code, "its cause is there");
        alarm(&mut world, cause, false);
        world.run(MS(5_000));
        assert_eq!(world.state() == EvseState::Available, !waits, "{code:?}");
        world.feed(Input::ClearFaults);
        world.until(EvseState::Available);
    }
}

#[test]
fn a_tilt_that_an_open_door_hides_is_latched_too() {
    let mut world = World::charging();
    world.devices.alarms = vec![Alarm::EnclosureOpen, Alarm::Tilted].into();
    world.until(EvseState::Faulted);
    alarm(&mut world, Alarm::Tilted, false);
    let codes: Vec<FaultCode> = world.path.faults().iter().map(|fault| fault.code).collect();
    assert_eq!(codes, [FaultCode::EnclosureOpen, FaultCode::TiltDetected]);
}

/// It tells them until it is reset.
#[test]
fn a_board_is_told_when_its_faults_are_cleared() {
    let mut world = World::charging();
    alarm(&mut world, Alarm::EnclosureOpen, true);
    world.until(EvseState::Faulted);
    alarm(&mut world, Alarm::EnclosureOpen, false);
    world.vehicle.unplug();
    world.run(MS(1_000));
    let actions = world.path.step(world.now, Input::ClearFaults);
    assert!(actions.contains(&Action::Do(Command::ResetBoard)), "{actions:?}");
}

#[test]
fn a_cable_that_gets_live_behind_an_open_door_is_told() {
    let mut world = World::available();
    alarm(&mut world, Alarm::EnclosureOpen, true);
    world.until(EvseState::Faulted);
    world.devices.stray = 80.0;
    world.until_true(MS(2_500), "told", |world| {
        world.path.faults().iter().any(|fault| fault.code == FaultCode::ConnectorVoltageHigh)
    });
}

#[test]
fn a_board_may_latch_for_the_cabinet_too() {
    for (_, code) in EMERGENCIES {
        breaks(code, MS(400), |world| world.devices.safe_state = Some(code));
        assert_eq!(FaultCode::latched_by_board(&format!("{}: as it says", code.name())), code);
    }
}
