//! The modules into a load that stands at the plug in a vehicle's place: whatever ends a charge ends it.

use std::time::Duration;

use voltry_bus::{Alarm, Alarms, EvseState, Pilot, PilotOutput, SelfTestOutcome, SelfTestStep};
use voltry_evse::energy_path::{
    Action, Check, Checked, Command, FaultCode, Input, Installation, InsulationReading, Load, Role, Seen,
};
use voltry_units::{Amps, Ohms, Volts, Watts};

use super::plant::{World, installation};
use super::{SECOND, is_off, told};

const OHMS: f64 = 20.0;

fn load() -> Input {
    Input::Check(Check::Load(Load::new(Volts::new(400), Amps::new(20)).unwrap()))
}

/// Out of service, with a lock, and a load of 20 Ω in the plug.
fn loaded() -> World {
    of(Installation { has_lock: true, ..installation() })
}

fn of(installation: Installation) -> World {
    let mut world = World::with(installation);
    world.devices.has_lock = true;
    world.until(EvseState::Available);
    world.feed(Input::Available(false));
    world.until(EvseState::Unavailable);
    world.vehicle.pilot = Pilot::C;
    world.vehicle.voltage_max = 400.0;
    (world.devices.farads, world.devices.load) = (1e-3, OHMS);
    world.run(SECOND);
    world
}

fn check(world: &mut World) -> Checked {
    let before = world.checked.len();
    world.feed(load());
    told(world, before)
}

#[test]
fn the_modules_deliver_what_was_said_into_a_load_and_are_off_afterwards() {
    for guarded in [false, true] {
        let mut world = of(Installation { has_lock: true, over_voltage_monitor: guarded, ..installation() });
        let before = world.checked.len();
        world.feed(load());
        world.until_true(SECOND * 60, "the whole current", |world| world.devices.current > 19.0);
        assert!(world.devices.locked && world.devices.contactors && world.devices.cable > 380.0);
        let checked = told(&mut world, before);
        assert_eq!(checked.outcome, SelfTestOutcome::Passed, "{}", checked.seen);
        let Seen::Loaded(voltage, current) = checked.seen else { panic!("{}", checked.seen) };
        assert!(voltage > Volts::new(380) && current >= Amps::new(18), "{}", checked.seen);
        assert!(is_off(&world) && !world.devices.locked && world.state() == EvseState::Unavailable);
        assert!(!world.devices.guard.armed);
        world.run(SECOND);
        assert_eq!(world.devices.pilot_output, PilotOutput::F);
        assert!(world.faults_reported.is_empty());
    }
}

#[test]
fn without_a_load_at_the_plug_or_with_a_vehicle_nothing_is_closed() {
    for pilot in [Pilot::A, Pilot::B, Pilot::D] {
        let mut world = loaded();
        world.vehicle.pilot = pilot;
        let checked = check(&mut world);
        assert_eq!((checked.outcome, checked.seen), (SelfTestOutcome::Refused, Seen::Pilot(pilot, Pilot::C)));
        assert!(!world.devices.locked);
    }
    let mut world = World::charging();
    assert_eq!(check(&mut world).outcome, SelfTestOutcome::Refused);
}

#[test]
fn what_the_evse_or_the_station_cannot_give_is_refused() {
    type Case = (fn(&mut World), &'static str);
    let table: [Case; 4] = [
        (|world| world.devices.capability.voltage_max = Volts::new(350), "does not give these volts"),
        (|world| world.devices.capability.current_max = Amps::new(19), "more than the EVSE can give"),
        (|world| world.devices.capability.power_max = Watts::new(7_999), "more than the EVSE can give"),
        (|world| world.share = Watts::new(7_999), "no power to spare"),
    ];
    for (change, wanted) in table {
        let mut world = loaded();
        change(&mut world);
        world.run(SECOND * 2);
        let checked = check(&mut world);
        assert!(matches!(checked.outcome, SelfTestOutcome::Refused | SelfTestOutcome::Failed), "{wanted}");
        assert!(checked.seen.to_string().contains(wanted), "{}", checked.seen);
        assert!(is_off(&world) && world.faults_reported.is_empty());
    }
    for (volts, amps) in [(59, 20), (1251, 20), (400, 0), (400, 1001)] {
        assert!(Load::new(Volts::new(volts), Amps::new(amps)).is_none(), "{volts} V, {amps} A");
    }
}

/// A monitor that takes nearly all the time that it has for each of its steps.
#[test]
fn a_check_is_over_in_the_time_that_the_bus_says_of_it() {
    let mut world = loaded();
    world.silent.push(Role::InsulationMonitor);
    let (began, before) = (world.now, world.checked.len());
    world.feed(load());
    world.run(SECOND * 29);
    let good =
        InsulationReading { resistance: Ohms::new(2_000_000), valid: true, counter: 1_000, at: world.now };
    world.feed(Input::Insulation(good));
    world.run(SECOND * 29);
    world.feed(Input::SelfTest { passed: true, at: world.now });
    let checked = told(&mut world, before);
    assert_eq!(checked.outcome, SelfTestOutcome::Failed, "{}", checked.seen);
    assert!(world.now.since(began) < SECOND * 80);
    assert!(is_off(&world) && world.faults_reported.is_empty());
}

/// It shares modules with others, and has none before it holds a lease.
fn sharing(mut world: World) -> World {
    (world.devices.capability.current_max, world.devices.capability.power_max) = (Amps::ZERO, Watts::ZERO);
    world.run(SECOND * 2);
    world
}

/// A group of modules comes a while after the lease, as another EVSE gives it up.
fn until_given(world: &mut World) {
    let own = World::with(installation()).devices.capability;
    world.until_true(SECOND * 60, "a lease", |world| world.devices.is_supply_leased());
    world.run(SECOND * 5);
    assert!(is_off(world), "nothing is raised and nothing closed without modules");
    world.devices.capability = own;
}

#[test]
fn an_evse_that_shares_modules_is_given_some_for_its_test() {
    for input in [load(), Input::Check(Check::Step(SelfTestStep::Modules))] {
        let mut world = if input == load() { loaded() } else { super::out_of_service() };
        world = sharing(world);
        let before = world.checked.len();
        world.feed(input);
        until_given(&mut world);
        let checked = told(&mut world, before);
        assert_eq!(checked.outcome, SelfTestOutcome::Passed, "{}", checked.seen);
        assert!(is_off(&world) && world.faults_reported.is_empty());
        assert!(!world.devices.is_supply_leased(), "and others may have them");
    }
}

/// The board may report between the order and the contactors' end: they are still open then, and the supply is on.
#[test]
fn contactors_that_take_their_time_behind_a_matrix_are_waited_for_and_those_that_do_not_close_are_missed() {
    for closes in [true, false] {
        let mut world = sharing(loaded());
        let before = world.checked.len();
        world.devices.stuck_open = true;
        world.feed(load());
        until_given(&mut world);
        world.until_true(SECOND, "the order", |world| !world.devices.has_let_go());
        world.run(SECOND / 2);
        world.devices.stuck_open = !closes;
        let checked = told(&mut world, before);
        let wanted = if closes { SelfTestOutcome::Passed } else { SelfTestOutcome::Failed };
        assert_eq!(checked.outcome, wanted, "{}", checked.seen);
        assert!(is_off(&world) && world.faults_reported.is_empty());
    }
}

/// A load of more than one group can give: more groups come as more flows.
#[test]
fn modules_that_come_with_the_current_are_waited_for_and_those_that_do_not_come_are_missed() {
    for more_come in [true, false] {
        let mut world = sharing(loaded());
        let before = world.checked.len();
        world.feed(load());
        until_given(&mut world);
        let own = world.devices.capability;
        // As if it were cut: no more flows.
        (world.devices.capability.current_max, world.devices.load) = (Amps::new(10), OHMS * 2.0);
        world.until_true(SECOND * 20, "what one group gives", |world| world.devices.current > 9.0);
        if more_come {
            (world.devices.capability, world.devices.load) = (own, OHMS);
        }
        let checked = told(&mut world, before);
        let wanted = if more_come { SelfTestOutcome::Passed } else { SelfTestOutcome::Failed };
        assert_eq!(checked.outcome, wanted, "{}", checked.seen);
        assert!(matches!(checked.seen, Seen::Loaded(..)), "{}", checked.seen);
        assert!(is_off(&world) && world.faults_reported.is_empty());
    }
}

#[test]
fn an_evse_that_is_given_no_modules_is_told_so_and_nothing_was_closed() {
    for input in [load(), Input::Check(Check::Step(SelfTestStep::Modules))] {
        let mut world = sharing(if input == load() { loaded() } else { super::out_of_service() });
        let before = world.checked.len();
        world.feed(input);
        while world.checked.len() == before {
            world.tick();
            assert!(is_off(&world));
        }
        let checked = world.checked[before];
        assert_eq!(checked.outcome, SelfTestOutcome::Failed);
        assert_eq!(checked.seen.to_string(), "the power supply can give nothing");
        assert!(world.faults_reported.is_empty() && !world.devices.is_supply_leased());
    }
}

/// What the modules of all EVSEs together could give is more than this one's contactors and cable carry.
#[test]
fn an_evse_that_shares_modules_is_tested_with_no_more_than_it_is_made_for() {
    let mut world = sharing(of(Installation { current_max: Amps::new(19), ..installation() }));
    let checked = check(&mut world);
    assert_eq!(checked.outcome, SelfTestOutcome::Refused);
    assert_eq!(checked.seen.to_string(), "it is more than the EVSE is made for");
}

/// Nothing closes before the insulation was found good, and no value means no.
#[test]
fn bad_insulation_is_found_before_anything_closes() {
    let table: [fn(&mut World); 3] = [
        |world| world.devices.insulation = 20_000.0,
        |world| world.devices.self_test_fails = true,
        |world| world.silent.push(Role::InsulationMonitor),
    ];
    for break_it in table {
        let mut world = loaded();
        break_it(&mut world);
        let before = world.checked.len();
        world.feed(load());
        while world.checked.len() == before {
            world.tick();
            assert!(!world.devices.contactors && !world.devices.supply_on);
        }
        assert_eq!(world.checked[before].outcome, SelfTestOutcome::Failed, "{}", world.checked[before].seen);
        assert!(!world.devices.locked);
    }
}

#[test]
fn a_load_that_takes_less_than_was_said_fails_and_is_no_fault() {
    let mut world = loaded();
    world.devices.load = 40.0;
    let checked = check(&mut world);
    assert_eq!(checked.outcome, SelfTestOutcome::Failed);
    assert!(matches!(checked.seen, Seen::Loaded(..)), "{}", checked.seen);
    assert!(is_off(&world) && world.faults_reported.is_empty());
}

#[test]
fn a_warm_connector_is_given_no_more_than_it_carries() {
    let mut world = loaded();
    let before = world.checked.len();
    world.feed(load());
    world.until_true(SECOND * 60, "the whole current", |world| world.devices.current > 19.0);
    // Of what it is made for a twentieth, less than the load takes.
    world.devices.hottest = 89.0;
    world.until_true(SECOND * 2, "less", |world| world.devices.current < 11.0);
    let checked = told(&mut world, before);
    assert!(matches!(checked.seen, Seen::Loaded(..)), "{}", checked.seen);
    assert_eq!(checked.outcome, SelfTestOutcome::Failed);
    assert!(is_off(&world) && world.faults_reported.is_empty());
}

/// Breaks it under the whole current: off within a second and its measurement, and told.
fn broken(break_it: fn(&mut World)) -> (World, Checked) {
    let mut world = loaded();
    let before = world.checked.len();
    world.feed(load());
    world.until_true(SECOND * 60, "the whole current", |world| world.devices.current > 19.0);
    break_it(&mut world);
    world.until_true(Duration::from_millis(1_600), "off", |world| {
        !world.devices.supply_on && !world.devices.contactors
    });
    let checked = told(&mut world, before);
    (world, checked)
}

#[test]
fn whatever_ends_a_charge_ends_it_with_its_fault() {
    type Case = (fn(&mut World), FaultCode);
    let table: [Case; 14] = [
        (|world| world.devices.emergency_stop = true, FaultCode::EmergencyStop),
        (|world| world.devices.alarms = Alarms::from(vec![Alarm::Water]), FaultCode::WaterIngress),
        (|world| world.devices.alarms = Alarms::from(vec![Alarm::CoolingFailed]), FaultCode::CoolingFailed),
        (|world| world.vehicle.pilot = Pilot::A, FaultCode::PilotFault),
        (|world| world.vehicle.pilot = Pilot::B, FaultCode::InvalidVehicleMode),
        (|world| world.devices.insulation = 20_000.0, FaultCode::ResistanceFault),
        (|world| world.devices.runaway = 30.0, FaultCode::OverCurrent),
        (|world| world.devices.surge = 460.0, FaultCode::OverVoltage),
        (|world| world.devices.short = true, FaultCode::ShortCircuit),
        (|world| world.devices.hottest = 95.0, FaultCode::CableOverTempStop),
        (|world| world.silent.push(Role::PowerSupply), FaultCode::Missing(Role::PowerSupply)),
        (|world| world.silent.push(Role::VoltageMonitor), FaultCode::Missing(Role::VoltageMonitor)),
        (|world| world.silent.push(Role::ConnectorIo), FaultCode::Missing(Role::ConnectorIo)),
        (|world| world.devices.stuck_open = true, FaultCode::ContactorFault),
    ];
    for (break_it, code) in table {
        let (world, checked) = broken(break_it);
        assert_eq!((checked.outcome, checked.seen), (SelfTestOutcome::Failed, Seen::Fault(code)));
        let (fault, actions) = &world.faults_reported[0];
        assert_eq!(fault.code, code);
        let first = actions.iter().find(|action| matches!(action, Action::Do(_)));
        assert_eq!(first, Some(&Action::Do(Command::SupplyOff)), "{code:?}");
    }
}

#[test]
fn what_takes_its_grounds_away_ends_it_without_a_fault_and_breaks_no_current() {
    type Case = (fn(&mut World), &'static str);
    let table: [Case; 2] = [
        (|world| world.share = Watts::new(5_000), "the station took the power for it away"),
        (|world| world.feed(Input::Terminate), "the daemon ends"),
    ];
    for (end, wanted) in table {
        let mut world = loaded();
        let before = world.checked.len();
        world.feed(load());
        world.until_true(SECOND * 60, "the whole current", |world| world.devices.current > 19.0);
        end(&mut world);
        world.until_true(SECOND * 3, "opening", |world| !world.devices.contactors);
        assert!(world.devices.current < 1.0, "a current of {} A was broken", world.devices.current);
        let checked = told(&mut world, before);
        assert_eq!(checked.outcome, SelfTestOutcome::Aborted);
        assert_eq!(checked.seen.to_string(), wanted);
        assert!(world.faults_reported.is_empty());
    }
}

/// Loads of other ohms than were said, down to a short circuit: none is given more than it was said to take.
#[test]
fn a_short_circuit_in_the_load_is_found_before_its_whole_current() {
    let mut world = loaded();
    world.devices.load = 0.2;
    let before = world.checked.len();
    world.feed(load());
    let mut most = 0.0_f64;
    while world.checked.len() == before {
        world.tick();
        most = most.max(world.devices.current);
    }
    assert_eq!(world.checked[before].seen, Seen::Fault(FaultCode::ShortCircuit));
    assert!(most < 4.0, "{most} A into a short circuit");
}

#[test]
fn modules_that_go_on_delivering_are_parted_from_the_load() {
    let mut world = loaded();
    let before = world.checked.len();
    world.feed(load());
    world.until_true(SECOND * 60, "the whole current", |world| world.devices.current > 19.0);
    world.devices.supply_ignores_off = true;
    let checked = told(&mut world, before);
    assert_eq!(checked.seen, Seen::Fault(FaultCode::OutputNotOff));
    world.until_true(SECOND * 3, "open", |world| !world.devices.contactors);
}
