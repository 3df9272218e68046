//! The self-test: each check of a sound EVSE passes and leaves everything off; what is broken is found; whatever
//! happens meanwhile ends it. The plant sees to it that modules and cable are never connected.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "self_test/load.rs"]
mod load;
mod plant;

use std::time::Duration;

use plant::{World, installation};
use voltry_bus::{Contactors, EvseState, Pilot, PilotOutput, SelfTestOutcome, SelfTestStep};
use voltry_evse::energy_path::{Action, Check, Checked, Command, FaultCode, Input, Installation, Role, Seen};

const SECOND: Duration = Duration::from_secs(1);

/// Out of service, with a lock.
fn out_of_service() -> World {
    let mut world = World::with(Installation { has_lock: true, ..installation() });
    world.devices.has_lock = true;
    world.until(EvseState::Available);
    world.feed(Input::Available(false));
    world.until(EvseState::Unavailable);
    world.run(SECOND);
    world
}

fn check(world: &mut World, step: SelfTestStep) -> Checked {
    let before = world.checked.len();
    world.feed(Input::Check(Check::Step(step)));
    told(world, before)
}

fn told(world: &mut World, before: usize) -> Checked {
    world.until_true(Duration::from_secs(80), "the end of a check", |world| world.checked.len() > before);
    assert_eq!(world.checked.len(), before + 1);
    world.checked[before]
}

fn is_off(world: &World) -> bool {
    let devices = &world.devices;
    !devices.supply_on && !devices.contactors && devices.module < 60.0 && devices.cable < 60.0
}

#[test]
fn a_sound_evse_passes_every_check_and_is_off_after_each() {
    let mut world = out_of_service();
    for step in SelfTestStep::ALL {
        let checked = check(&mut world, *step);
        assert_eq!(
            (checked.check, checked.outcome),
            (Check::Step(*step), SelfTestOutcome::Passed),
            "{}",
            checked.seen
        );
        assert!(is_off(&world), "{step}");
        assert_eq!(world.state(), EvseState::Unavailable);
        assert!(!world.devices.locked);
        world.run(SECOND);
        assert_eq!(world.devices.pilot_output, PilotOutput::F, "out of service again");
    }
    assert!(world.faults_reported.is_empty());
    world.feed(Input::Available(true));
    world.until(EvseState::Available);
    world.vehicle.plug();
    world.until(EvseState::Charging);
}

#[test]
fn modules_are_raised_to_five_hundred_volts_and_the_cable_stays_dead() {
    let mut world = out_of_service();
    let begun = world.checked.len();
    world.feed(Input::Check(Check::Step(SelfTestStep::Modules)));
    world.until_true(SECOND * 15, "raised", |world| world.devices.module > 495.0);
    assert!(world.devices.cable < 1.0);
    let checked = told(&mut world, begun);
    assert!(matches!(checked.seen, Seen::Raised(..)), "{}", checked.seen);
}

#[test]
fn an_evse_in_service_is_not_checked() {
    for step in SelfTestStep::ALL {
        let mut world = World::available();
        let checked = check(&mut world, *step);
        assert_eq!(
            (checked.outcome, checked.seen),
            (SelfTestOutcome::Refused, Seen::NotNow("the EVSE is in service"),)
        );
        assert_eq!(world.state(), EvseState::Available);
    }
    let mut world = World::charging();
    assert_eq!(check(&mut world, SelfTestStep::Contactors).outcome, SelfTestOutcome::Refused);
    world.run(SECOND);
    assert_eq!(world.state(), EvseState::Charging);
}

#[test]
fn nothing_is_checked_while_a_vehicle_is_plugged_in() {
    let mut world = out_of_service();
    world.vehicle.plug();
    world.run(SECOND);
    for step in SelfTestStep::ALL {
        let checked = check(&mut world, *step);
        assert_eq!(
            (checked.outcome, checked.seen),
            (SelfTestOutcome::Refused, Seen::Pilot(Pilot::B, Pilot::A))
        );
        assert!(is_off(&world));
    }
}

/// Where a person works at it.
#[test]
fn voltage_on_the_cable_of_an_evse_that_is_out_of_service_is_a_fault() {
    let mut world = out_of_service();
    world.devices.cable_lies = 70.0;
    world.until_true(Duration::from_millis(1_500), "the fault", |world| {
        world.path.faults().iter().any(|fault| fault.code == FaultCode::ConnectorVoltageHigh)
    });
    world.devices.cable_lies = 0.0;
    world.run(SECOND * 8);
    world.feed(Input::ClearFaults);
    world.until(EvseState::Unavailable);
}

#[test]
fn a_second_check_at_a_time_is_refused() {
    let mut world = out_of_service();
    world.feed(Input::Check(Check::Step(SelfTestStep::Modules)));
    world.feed(Input::Check(Check::Step(SelfTestStep::Contactors)));
    assert_eq!(world.checked[0].outcome, SelfTestOutcome::Refused);
    assert_eq!(told(&mut world, 1).outcome, SelfTestOutcome::Passed);
}

#[test]
fn what_is_broken_is_found() {
    type Case = (SelfTestStep, fn(&mut World), fn(Seen) -> bool);
    let table: [Case; 9] = [
        (
            SelfTestStep::Contactors,
            |world| world.devices.stuck_open = true,
            |seen| seen == Seen::Contactors(Contactors::Open),
        ),
        (
            SelfTestStep::InsulationMonitor,
            |world| world.devices.self_test_fails = true,
            |seen| seen == Seen::MonitorFailed,
        ),
        (
            SelfTestStep::InsulationMonitor,
            |world| world.devices.insulation = 20_000.0,
            |seen| matches!(seen, Seen::Resistance(_)),
        ),
        (
            SelfTestStep::InsulationMonitor,
            |world| world.silent.push(Role::InsulationMonitor),
            |seen| matches!(seen, Seen::NotWithin(_)),
        ),
        (
            SelfTestStep::Temperatures,
            |world| world.devices.hottest = 120.0,
            |seen| matches!(seen, Seen::Temperature(_)),
        ),
        (SelfTestStep::Temperatures, |world| world.devices.sensors = 1, |seen| seen == Seen::Sensors(1, 2)),
        (SelfTestStep::Lock, |world| world.devices.has_lock = false, |seen| matches!(seen, Seen::Lock(_))),
        (
            SelfTestStep::Modules,
            |world| world.devices.modules_tripped = true,
            |seen| matches!(seen, Seen::NotNow(_) | Seen::Voltages(..)),
        ),
        (
            SelfTestStep::Modules,
            |world| world.devices.capability.voltage_max = voltry_units::Volts::new(400),
            |seen| matches!(seen, Seen::Raised(..)),
        ),
    ];
    for (step, break_it, seen) in table {
        let mut world = out_of_service();
        break_it(&mut world);
        world.run(SECOND * 2);
        let checked = check(&mut world, step);
        assert!(seen(checked.seen), "{step}: {}", checked.seen);
        // Modules that can less are raised to less, and pass.
        let wanted = if matches!(checked.seen, Seen::Raised(..)) {
            SelfTestOutcome::Passed
        } else {
            SelfTestOutcome::Failed
        };
        assert_eq!(checked.outcome, wanted, "{step}: {}", checked.seen);
        assert!(is_off(&world) && world.state() == EvseState::Unavailable, "{step}");
    }
}

/// Breaks a check under way: it is over, and everything off within the time.
fn broken_off(step: SelfTestStep, within: Duration, break_it: fn(&mut World)) -> (World, Checked) {
    let mut world = out_of_service();
    world.feed(Input::Check(Check::Step(step)));
    world.until_true(SECOND * 15, "energised", |world| {
        world.devices.module > 400.0 || world.devices.contactors || step == SelfTestStep::InsulationMonitor
    });
    break_it(&mut world);
    world.until_true(within, "off", is_off);
    let checked = told(&mut world, 0);
    assert!(is_off(&world));
    (world, checked)
}

/// Below 60 V on both sides nobody is in danger, and a contact that closes between 45 V and none still welds.
#[test]
fn contactors_do_not_close_between_two_voltages_that_nobody_feels() {
    let mut world = out_of_service();
    world.devices.cable_lies = 45.0;
    world.run(SECOND);
    let before = world.checked.len();
    world.feed(Input::Check(Check::Step(SelfTestStep::Contactors)));
    while world.checked.len() == before {
        world.tick();
        assert!(!world.devices.contactors);
    }
    let checked = world.checked[before];
    assert_eq!(checked.outcome, SelfTestOutcome::Failed);
    assert!(matches!(checked.seen, Seen::Voltages(..)), "{}", checked.seen);
}

#[test]
fn a_plug_that_comes_in_ends_it() {
    let (world, checked) = broken_off(SelfTestStep::Modules, SECOND, |world| world.vehicle.plug());
    assert_eq!((checked.outcome, checked.seen), (SelfTestOutcome::Aborted, Seen::Pilot(Pilot::B, Pilot::A)));
    assert_eq!(world.state(), EvseState::Unavailable);
}

#[test]
fn an_emergency_stop_is_an_emergency() {
    let (world, checked) =
        broken_off(SelfTestStep::Modules, SECOND, |world| world.devices.emergency_stop = true);
    assert_eq!(
        (checked.outcome, checked.seen),
        (SelfTestOutcome::Failed, Seen::Fault(FaultCode::EmergencyStop))
    );
    let (fault, actions) = &world.faults_reported[0];
    assert_eq!(fault.code, FaultCode::EmergencyStop);
    assert_eq!(actions[..2], [Action::Do(Command::SupplyOff), Action::Do(Command::OpenContactors)]);
}

#[test]
fn voltage_on_the_cable_is_a_fault_at_once() {
    let (mut world, checked) =
        broken_off(SelfTestStep::Modules, SECOND, |world| world.devices.cable_lies = 75.0);
    assert_eq!(checked.seen, Seen::Fault(FaultCode::ConnectorVoltageHigh));
    world.until(EvseState::Faulted);
}

#[test]
fn values_that_stay_away_end_it() {
    for role in [Role::PowerSupply, Role::VoltageMonitor, Role::ConnectorIo] {
        let mut world = out_of_service();
        world.feed(Input::Check(Check::Step(SelfTestStep::Modules)));
        world.until_true(SECOND * 15, "energised", |world| world.devices.module > 400.0);
        world.silent.push(role);
        world.until_true(SECOND, "off", is_off);
        assert_eq!(told(&mut world, 0).seen, Seen::Fault(FaultCode::Missing(role)));
    }
}

#[test]
fn welded_contactors_are_a_fault() {
    let (_, checked) = broken_off_welded();
    assert_eq!(checked.outcome, SelfTestOutcome::Failed);
    assert!(
        matches!(checked.seen, Seen::Contactors(Contactors::Closed) | Seen::Fault(FaultCode::ContactorFault)),
        "{}",
        checked.seen
    );
}

fn broken_off_welded() -> (World, Checked) {
    let mut world = out_of_service();
    world.feed(Input::Check(Check::Step(SelfTestStep::Contactors)));
    world.until_true(SECOND * 3, "closed", |world| world.devices.contactors);
    world.devices.welded = true;
    let checked = told(&mut world, 0);
    (world, checked)
}

#[test]
fn modules_that_do_not_stop_are_a_fault() {
    let mut world = out_of_service();
    world.feed(Input::Check(Check::Step(SelfTestStep::Modules)));
    world.until_true(SECOND * 15, "raised", |world| world.devices.module > 495.0);
    world.devices.supply_ignores_off = true;
    let checked = told(&mut world, 0);
    assert_eq!(checked.outcome, SelfTestOutcome::Failed);
    world.until_true(SECOND * 10, "the fault", |world| {
        world.path.faults().iter().any(|fault| fault.code == FaultCode::OutputNotOff)
    });
}

#[test]
fn the_end_of_the_daemon_ends_it() {
    let (mut world, checked) =
        broken_off(SelfTestStep::Modules, SECOND, |world| world.feed(Input::Terminate));
    assert_eq!((checked.outcome, checked.seen), (SelfTestOutcome::Aborted, Seen::Ending));
    world.until_true(SECOND, "confirmed", |world| world.path.is_confirmed_safe(world.now));
}

/// Boards have interlocks of their own: what they refuse ends the check and is no fault of the EVSE.
#[test]
fn a_board_that_does_not_close_without_a_vehicle_is_no_fault() {
    let mut world = out_of_service();
    world.devices.interlocked = true;
    let checked = check(&mut world, SelfTestStep::Contactors);
    assert_eq!(checked.outcome, SelfTestOutcome::Skipped, "{}", checked.seen);
    assert_eq!(world.path.faults(), []);
    assert_eq!(world.state(), EvseState::Unavailable);
}
