//! Orders that were not taken, and a process that was away.

use voltry_evse::energy_path::{Installation, Refusal, StaysLocked};

use super::*;

#[test]
fn a_plug_that_a_busy_board_did_not_unlock_is_unlocked_all_the_same() {
    let mut world = World::with(Installation { has_lock: true, ..plant::installation() });
    world.devices.has_lock = true;
    world.until(EvseState::Available);
    world.vehicle.plug();
    world.until(EvseState::Charging);
    assert!(world.devices.locked);
    world.devices.lock_refusals = 3;
    world.feed(Input::Stop);
    world.until(EvseState::Finished);
    world.until_true(MS(500), "unlocked", |world| !world.devices.locked);
}

/// With a lock.
fn lockable() -> World {
    let mut world = World::with(Installation { has_lock: true, ..plant::installation() });
    world.devices.has_lock = true;
    world.until(EvseState::Available);
    world
}

#[test]
fn a_plug_that_stayed_locked_is_unlocked_for_whoever_asks_once_nobody_may_charge() {
    let mut world = lockable();
    world.authorize = false;
    world.vehicle.plug();
    world.until(EvseState::Authorizing);
    world.devices.locked = true;
    world.feed(Input::Unlock);
    world.until_true(MS(500), "unlocked", |world| world.unlocks == [Ok(())]);
    assert!(!world.devices.locked);
    world.devices.lock_stuck = true;
    world.devices.locked = true;
    world.feed(Input::Unlock);
    world.run(Duration::from_secs(4));
    assert_eq!(world.unlocks.len(), 1, "it is driven");
    world.run(Duration::from_secs(2));
    assert_eq!(world.unlocks, [Ok(()), Err(StaysLocked::Stuck)]);
}

#[test]
fn the_plug_of_a_cable_that_is_live_or_may_become_so_stays_locked() {
    let mut world = lockable();
    world.vehicle.plug();
    world.until_true(MS(60_000), "locked", |world| world.devices.locked);
    let mut asked = 0;
    while world.state() != EvseState::Stopping {
        if world.state() == EvseState::Charging && asked > 300 {
            world.feed(Input::Stop);
        }
        world.feed(Input::Unlock);
        asked += 1;
        assert!(world.devices.locked, "asked in {}", world.state());
        world.tick();
    }
    while world.devices.contactors || world.devices.cable.abs() >= 60.0 {
        world.feed(Input::Unlock);
        assert!(world.devices.locked, "{} V", world.devices.cable);
        world.tick();
    }
    assert!(world.unlocks.iter().all(Result::is_err), "{:?}", world.unlocks);
    world.until(EvseState::Finished);
    world.feed(Input::Unlock);
    world.until_true(MS(500), "unlocked", |world| world.unlocks.last() == Some(&Ok(())));
}

#[test]
fn a_plug_that_is_let_in_while_it_is_unlocked_is_locked_again() {
    let mut world = lockable();
    world.authorize = false;
    world.vehicle.plug();
    world.until(EvseState::Authorizing);
    (world.devices.locked, world.devices.lock_stuck) = (true, true);
    world.feed(Input::Unlock);
    world.authorize = true;
    // The plant grants once a second.
    world.until_true(MS(1500), "told", |world| !world.unlocks.is_empty());
    assert_eq!(world.unlocks, [Err(StaysLocked::MayCharge)]);
    world.devices.lock_stuck = false;
    world.until(EvseState::Charging);
    assert!(world.devices.locked);
}

#[test]
fn without_a_lock_there_is_none_to_open_and_unmeasured_nothing_is_opened() {
    let mut world = World::available();
    world.feed(Input::Unlock);
    assert_eq!(world.unlocks, [Err(StaysLocked::NoLock)]);
    let mut world = lockable();
    world.devices.locked = true;
    world.silent = vec![Role::VoltageMonitor];
    world.run(MS(400));
    world.feed(Input::Unlock);
    assert_eq!(world.unlocks, [Err(StaysLocked::NotSafe)]);
    assert!(world.devices.locked);
}

#[test]
fn a_board_that_is_silent_is_given_one_order_to_the_lock_and_another_when_it_speaks() {
    let mut world = lockable();
    world.vehicle.plug();
    world.until(EvseState::Charging);
    world.devices.lock_refusals = 1000;
    world.silent = vec![Role::ConnectorIo];
    world.run(Duration::from_secs(20));
    assert!(world.devices.lock_refusals >= 998, "{} orders", 1000 - world.devices.lock_refusals);
    world.devices.lock_refusals = 0;
    world.silent.clear();
    world.until_true(MS(5000), "unlocked", |world| !world.devices.locked);
}

#[test]
fn whoever_was_away_blames_nobody_whose_answer_it_did_not_read() {
    let mut world = World::charging();
    world.now = world.now + MS(100);
    let renewal = world.path.step(world.now, Input::Tick).iter().find_map(|action| match action {
        Action::Do(command @ Command::RenewSupply(_)) => Some(*command),
        Action::Do(_) | Action::Report(_) => None,
    });
    let renewal = renewal.expect("it is renewed with each tick");
    world.now = world.now + MS(1200);
    world.feed(Input::Refused(renewal, Refusal::Unanswered));
    assert_eq!(world.path.faults().first().map(|fault| fault.code), Some(FaultCode::ControlStalled));
}

#[test]
fn a_permit_that_ran_out_leaves_no_deadline_that_has_passed() {
    let mut world = World::charging();
    world.permit = false;
    world.until(EvseState::Stopping);
    world.vehicle.silent = true;
    while world.state() == EvseState::Stopping {
        world.feed(Input::Tick);
        let deadline = world.path.deadline();
        assert!(deadline.is_none_or(|(at, _)| at > world.now), "{deadline:?} has passed");
        world.tick();
    }
}

#[test]
fn a_process_that_ends_begins_no_insulation_test_any_more() {
    let mut world = World::available();
    world.vehicle.plug();
    world.until_true(Duration::from_secs(60), "both sides are waited for", |world| {
        world.state() == EvseState::Parameters
    });
    world.devices.stray = 80.0;
    world.until(EvseState::CableCheck);
    world.vehicle.silent = true;
    world.feed(Input::Terminate);
    world.devices.stray = 0.0;
    world.run(Duration::from_secs(5));
    assert!(!world.devices.contactors && world.devices.module < 1.0, "{} V", world.devices.module);
    assert!(world.state() != EvseState::CableCheck, "{}", world.state());
}

#[test]
fn two_renewals_that_come_too_late_are_borne_and_a_third_within_a_second_is_not() {
    let mut world = World::charging();
    for _ in 0..3 {
        world.devices.late_renewals = 2;
        world.run(MS(1_500));
        assert_eq!((world.state(), world.path.faults()), (EvseState::Charging, &[][..]));
        assert!(world.devices.supply_on, "the lease has not lapsed");
    }
    breaks(FaultCode::Refused(Role::PowerSupply), MS(1_400), |world| world.devices.late_renewals = 3);
}

#[test]
fn a_set_point_that_comes_too_late_is_sent_again_and_a_third_within_a_second_is_not() {
    let mut world = World::charging();
    let before = world.devices.set_current;
    world.devices.late_setpoints = 2;
    world.vehicle.target_current = before / 2.0;
    world.run(MS(1_500));
    assert_eq!((world.state(), world.path.faults()), (EvseState::Charging, &[][..]));
    assert!((world.devices.set_current - before / 2.0).abs() < 0.5, "{}", world.devices.set_current);
    breaks(FaultCode::Refused(Role::PowerSupply), MS(1_400), |world| {
        world.devices.late_setpoints = 3;
        world.vehicle.target_current /= 2.0;
    });
}
