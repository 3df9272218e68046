//! Whole sessions of the energy path, on a small honest circuit.

#[path = "sessions/discharge.rs"]
mod discharge;
#[path = "sessions/opens_s2.rs"]
mod opens_s2;
mod plant;
#[path = "sessions/renegotiation.rs"]
mod renegotiation;

use std::time::Duration;

use plant::{Again, World};
use voltry_bus::{EvseState, LinkPhase, Pilot, PilotOutput};
use voltry_evse::energy_path::{
    Action, Command, FaultCode, Input, MeterReading, Role, StopReason, SupplyReading, Target, VehicleLimits,
};
use voltry_units::{Amps, Measured, Timestamp, Volts, WattHours, Watts};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn a_vehicle_charges_and_leaves_and_the_next_may_come() {
    let mut world = World::available();
    world.vehicle.enough = 30.0;
    for _ in 0..2 {
        world.vehicle.soc = 20.0;
        world.vehicle.plug();
        world.until(EvseState::Charging);
        world.until(EvseState::Finished);
        let session = *world.path.session().unwrap();
        assert_eq!(session.stop, Some(StopReason::Vehicle));
        assert!(session.energy().as_si() > 10.0, "{}", session.energy());
        world.until(EvseState::Available);
        assert_eq!(world.path.faults(), []);
        assert!(!world.devices.contactors && world.devices.cable < 60.0);
    }
    assert_eq!(
        world.states[..9],
        [
            EvseState::Available,
            EvseState::Connected,
            EvseState::Authorizing,
            EvseState::Connected,
            EvseState::Parameters,
            EvseState::CableCheck,
            EvseState::PreCharge,
            EvseState::Charging,
            EvseState::Stopping,
        ]
    );
}

#[test]
fn an_evse_that_shares_modules_is_available_without_any_and_waits_for_them_with_a_vehicle() {
    let mut world = World::new();
    let own = world.devices.capability;
    world.devices.capability.current_max = Amps::ZERO;
    world.devices.capability.power_max = Watts::ZERO;
    world.until(EvseState::Available);
    world.run(Duration::from_secs(20));
    assert_eq!((world.state(), world.path.faults()), (EvseState::Available, &[][..]));
    world.vehicle.plug();
    world.until(EvseState::Parameters);
    world.run(Duration::from_secs(20));
    assert_eq!(world.state(), EvseState::Parameters, "no limits of zero are told to a vehicle");
    assert!(!world.devices.supply_on && !world.devices.contactors);
    world.devices.capability = own;
    world.until(EvseState::Charging);
    world.devices.capability.current_max = Amps::ZERO;
    world.devices.capability.power_max = Watts::ZERO;
    world.until(EvseState::Faulted);
    assert_eq!(world.faults_reported[0].0.code, FaultCode::SupplyFailed, "under way they must be there");
}

#[test]
fn a_vehicle_that_gets_no_modules_is_refused_in_the_time_for_its_parameters() {
    let mut world = World::available();
    world.devices.capability.current_max = Amps::ZERO;
    world.devices.capability.power_max = Watts::ZERO;
    world.vehicle.plug();
    world.until_true(Duration::from_secs(90), "refused", |world| {
        world.path.session().is_some_and(|session| session.stop == Some(StopReason::TimedOut))
    });
    assert!(!world.states.contains(&EvseState::CableCheck));
}

#[test]
fn a_vehicle_that_does_not_know_its_battery_at_first_is_waited_for_with_nothing_on_the_cable() {
    let mut world = World::available();
    world.vehicle.undecided = MS(1000);
    world.vehicle.plug();
    world.until(EvseState::PreCharge);
    for _ in 0..90 {
        world.run(MS(10));
        assert!(world.devices.cable < 60.0, "{} V", world.devices.cable);
    }
    world.until(EvseState::Charging);
    assert_eq!(world.faults_reported, []);
}

#[test]
fn what_a_vehicle_wanted_in_pre_charge_is_not_delivered_before_it_asks_in_the_charge_loop() {
    let mut world = World::available();
    world.vehicle.pre_charge_current = 100.0;
    world.vehicle.plug();
    world.until(EvseState::Charging);
    world.vehicle.mute = true;
    for _ in 0..100 {
        world.run(MS(10));
        assert!(world.devices.set_current <= 2.0, "{} A", world.devices.set_current);
    }
    world.vehicle.mute = false;
    world.until_true(Duration::from_secs(3), "100 A", |world| world.devices.current > 100.0);
}

#[test]
fn a_vehicle_cannot_raise_its_voltage_above_what_its_cable_is_tested_for() {
    let mut world = World::available();
    world.vehicle.plug();
    world.until(EvseState::CableCheck);
    assert!(!world.devices.contactors, "the test has yet to begin");
    let limits = world.path.session().unwrap().limits;
    world.feed(Input::VehicleLimits(VehicleLimits { voltage_max: Some(Volts::new(900)), ..limits }));
    assert_eq!(world.path.session().unwrap().limits, limits);
    world.until(EvseState::Charging);
}

#[test]
fn a_vehicle_that_never_says_its_battery_is_refused_in_the_time_for_pre_charge() {
    let mut world = World::available();
    world.vehicle.undecided = MS(60_000);
    world.vehicle.plug();
    world.until(EvseState::Faulted);
    assert_eq!(world.faults_reported[0].0.code, FaultCode::PreChargeFailure);
    assert!(!world.states.contains(&EvseState::Charging));
}

/// What becomes of a vehicle that wants a voltage which its battery, on the cable already, does not let rise, after so
/// long in PreCharge.
fn after_clamping_for(time: Duration) -> EvseState {
    let mut world = World::available();
    world.vehicle.stays_in_pre_charge = true;
    world.vehicle.plug();
    let near = |world: &World| (world.devices.cable - world.vehicle.battery()).abs() < 10.0;
    world.until_true(Duration::from_secs(60), "near", |world| {
        world.state() == EvseState::PreCharge && near(world)
    });
    (world.vehicle.contactor, world.vehicle.mute) = (true, true);
    let counter = world.vehicle.counter();
    let end = world.now + time;
    while world.now < end {
        let voltage = Volts::from_si(world.vehicle.battery() + 30.0).expect("a battery has some");
        world.feed(Input::Target(Target { counter, voltage, current: Amps::new(2), at: world.now }));
        world.run(MS(50));
    }
    world.feed(Input::Phase { counter: counter + 1, phase: LinkPhase::PowerOn });
    world.state()
}

#[test]
fn a_battery_that_holds_the_output_at_its_own_voltage_may_have_power() {
    assert_eq!(after_clamping_for(MS(1_000)), EvseState::Charging);
    assert_eq!(after_clamping_for(MS(150)), EvseState::ErrorShutdown);
}

#[test]
fn the_station_stops_a_session_and_the_vehicle_is_let_go_without_a_fault() {
    let mut world = World::charging();
    world.feed(voltry_evse::energy_path::Input::Stop);
    let took =
        world.until_true(Duration::from_secs(20), "finished", |world| world.state() == EvseState::Finished);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(world.path.session().unwrap().stop, Some(StopReason::Station));
    assert_eq!(world.path.faults(), []);
}

#[test]
fn nothing_is_delivered_before_the_driver_is_authorized() {
    let mut world = World::available();
    world.authorize = false;
    world.vehicle.plug();
    world.run(Duration::from_secs(60));
    assert_eq!(world.state(), EvseState::Authorizing);
    assert!(!world.devices.contactors);
    world.authorize = true;
    world.until(EvseState::Charging);
}

#[test]
fn a_link_may_start_the_vehicle_anew_by_its_pilot_until_something_is_energised() {
    let mut world = World::available();
    world.authorize = false;
    world.vehicle.plug();
    world.until(EvseState::Authorizing);
    let session = world.path.session().unwrap().id;
    let ask = |world: &mut World, late: u64, output| {
        let counter = world.vehicle.counter() - late;
        world.feed(Input::PilotRequest { counter, output });
        world.devices.pilot_output
    };
    assert_eq!(
        ask(&mut world, 1, PilotOutput::F),
        PilotOutput::Digital,
        "it was asked in a phase that is over"
    );
    assert_eq!(ask(&mut world, 0, PilotOutput::X1), PilotOutput::X1);
    world.run(Duration::from_secs(3));
    assert_eq!(ask(&mut world, 0, PilotOutput::F), PilotOutput::F);
    world.run(Duration::from_millis(4500));
    assert_eq!(world.state(), EvseState::Authorizing, "a vehicle whose pilot we hold at F is not gone");
    assert_eq!(ask(&mut world, 0, PilotOutput::Digital), PilotOutput::Digital);
    world.authorize = true;
    world.until(EvseState::Charging);
    assert_eq!(world.path.session().unwrap().id, session);
    assert_eq!(ask(&mut world, 0, PilotOutput::F), PilotOutput::Digital, "while charging");
    assert_eq!(world.path.faults(), []);
}

fn checks(world: &World) -> usize {
    world.states.iter().filter(|state| **state == EvseState::CableCheck).count()
}

/// Charging, with a vehicle that soon has enough of it, and does this then.
fn charging_until(again: Again) -> World {
    let mut world = World::available();
    world.vehicle.enough = 25.0;
    world.vehicle.again = Some(again);
    world.vehicle.plug();
    world.until(EvseState::Charging);
    world
}

#[test]
fn a_vehicle_that_chooses_another_service_is_tested_anew_and_charges_on_in_its_session() {
    let mut world = charging_until(Again::AnotherService);
    let (session, register) = (world.path.session().unwrap().id, world.devices.register);
    world.until(EvseState::Stopping);
    world.until(EvseState::Parameters);
    assert!(!world.devices.contactors && world.devices.cable < 60.0, "{} V", world.devices.cable);
    let between = *world.path.session().unwrap();
    assert_eq!((between.stop, between.ended_at, between.target), (None, None, None));
    world.until(EvseState::Charging);
    world.until(EvseState::Finished);
    world.run(MS(500));
    let ended = *world.path.session().unwrap();
    assert_eq!((ended.id, ended.stop), (session, Some(StopReason::Vehicle)));
    assert!(ended.ended_at.is_some());
    assert!(world.devices.register > register && ended.energy().as_si() > 10.0);
    assert_eq!((checks(&world), world.faults_reported.len()), (2, 0));
}

#[test]
fn a_vehicle_that_pauses_comes_back_to_its_session_by_its_pilot() {
    let mut world = paused();
    let session = *world.path.session().unwrap();
    assert_eq!((session.stop, session.ended_at), (None, None));
    assert!(!world.devices.contactors && world.devices.cable < 60.0);
    assert_eq!(world.devices.pilot_output, PilotOutput::X1);
    world.run(Duration::from_secs(3600));
    assert_eq!(world.state(), EvseState::Paused);
    assert_eq!(world.vehicle.phase, voltry_bus::LinkPhase::Listening, "its link was let go");
    world.vehicle.wake();
    world.until_true(MS(200), "awake", |world| world.devices.pilot_output == PilotOutput::Digital);
    world.until(EvseState::Charging);
    world.until(EvseState::Finished);
    world.run(MS(500));
    let ended = *world.path.session().unwrap();
    assert_eq!((ended.id, ended.stop), (session.id, Some(StopReason::Vehicle)));
    assert!(ended.ended_at.is_some());
    assert_eq!((checks(&world), world.faults_reported.len()), (2, 0));
}

/// A vehicle that has charged, and sleeps.
fn paused() -> World {
    let mut world = charging_until(Again::Pause);
    world.until(EvseState::Paused);
    world.run(MS(500));
    world
}

#[test]
fn a_vehicle_that_pauses_comes_back_also_without_its_pilot() {
    let mut world = paused();
    world.vehicle.wake();
    world.vehicle.pilot = Pilot::B;
    world.until(EvseState::Charging);
    assert_eq!(checks(&world), 2);
}

#[test]
fn a_pause_ends_with_the_plug_or_with_the_stations_leave() {
    let mut world = paused();
    world.vehicle.unplug();
    world.until_true(MS(500), "available", |world| world.state() == EvseState::Available);
    assert_eq!(world.path.session(), None);

    let mut world = paused();
    world.feed(Input::Stop);
    world.until_true(MS(500), "finished", |world| world.state() == EvseState::Finished);
    let session = *world.path.session().unwrap();
    assert_eq!(session.stop, Some(StopReason::Station));
    assert!(session.ended_at.is_some());
    world.vehicle.wake();
    world.run(Duration::from_secs(20));
    assert_eq!(world.state(), EvseState::Finished, "what was ended for good is not begun again");
}

#[test]
fn a_wish_for_more_is_followed_at_once_and_by_the_ramp() {
    let mut world = World::charging();
    world.vehicle.target_current = 40.0;
    world.run(Duration::from_secs(2));
    let target = world.path.session().unwrap().target.unwrap();
    assert_eq!(target.current, Amps::new(40));
    let mut set = |current| {
        world.now = world.now + MS(1);
        let wish = Input::Target(Target { current, at: world.now, ..target });
        let actions = world.path.step(world.now, wish);
        actions.iter().find_map(|action| {
            if let Action::Do(Command::SetOutput { current, .. }) = action { Some(*current) } else { None }
        })
    };
    // Of 100 A/s what 150 ms give, however long it stood; and no step sooner than after another 100 ms.
    assert_eq!(set(Amps::new(100)), Some(Amps::new(55)));
    assert_eq!(set(Amps::new(100)), None);
    world.vehicle.target_current = 100.0;
    let began = world.now;
    world.until_true(Duration::from_secs(2), "there", |world| world.devices.current > 99.0);
    assert!(world.now.since(began) >= MS(440), "45 A in {:?}", world.now.since(began));
}

#[test]
fn a_session_that_is_over_stays_over_while_somebody_starts_anew_but_the_board_that_sees_the_plug() {
    for role in Role::ALL {
        let mut world = World::charging();
        world.feed(Input::Stop);
        world.vehicle.unplug_when_done = false;
        world.until(EvseState::Finished);
        world.run(MS(500));
        let session = world.path.session().unwrap().id;
        world.leaves(role);
        world.until(EvseState::Starting);
        world.run(Duration::from_secs(2));
        world.come_back(role);
        world
            .until_true(Duration::from_secs(30), "proved safe", |world| world.state() != EvseState::Starting);
        if role == Role::ConnectorIo {
            // Meanwhile anybody may have come.
            assert_ne!(world.path.session().map(|session| session.id), Some(session));
            continue;
        }
        world.run(Duration::from_secs(20));
        assert_eq!(world.state(), EvseState::Finished, "{role:?}");
        assert_eq!((world.path.session().unwrap().id, checks(&world)), (session, 1), "{role:?}");
        world.vehicle.unplug();
        world.until_true(MS(500), "available", |world| world.state() == EvseState::Available);
    }
}

#[test]
fn a_vehicle_does_not_go_on_where_the_station_meanwhile_stopped_too() {
    for again in [Again::AnotherService, Again::Pause, Again::Renegotiation, Again::RenegotiationInB] {
        let mut world = World::available();
        world.vehicle.enough = 25.0;
        world.vehicle.again = Some(again);
        world.vehicle.plug();
        world.until(EvseState::Charging);
        world.until(EvseState::Stopping);
        world.feed(Input::Stop);
        world.vehicle.unplug_when_done = false;
        world.until(EvseState::Finished);
        world.run(Duration::from_secs(20));
        assert_eq!((world.state(), checks(&world)), (EvseState::Finished, 1), "{again:?}");
        assert!(world.path.session().unwrap().ended_at.is_some());
    }
}

#[test]
fn what_the_vehicle_is_shown_is_renewed_by_whichever_of_its_two_readings_is_older() {
    let mut world = World::charging();
    let voltage = Volts::from_si(world.devices.cable).unwrap();
    let current = Amps::from_si(world.devices.current).unwrap();
    let mut shown = |input: fn(Volts, Amps, Timestamp) -> Input| {
        world.now = world.now + MS(10);
        let actions = world.path.step(world.now, input(voltage, current, world.now));
        actions.iter().find_map(|action| {
            let Action::Do(Command::Present(present)) = action else { return None };
            Some(world.now.since(present.at))
        })
    };
    let cable = |voltage, _, at| Input::CableVoltage(Measured::new(voltage, at));
    let supply = |voltage, current, at| Input::Supply(SupplyReading { voltage, current, at });
    assert!(shown(cable) > Some(MS(10)), "as old as the output");
    assert_eq!(shown(supply), Some(MS(10)), "as old as the cable's voltage");
    assert_eq!(shown(supply), None, "it would be no younger");
    assert_eq!(shown(cable), Some(MS(10)));
}

#[test]
fn the_link_is_told_each_reading_of_the_meter_while_a_vehicle_is_attached() {
    fn told(world: &mut World) -> Option<MeterReading> {
        let reading = MeterReading { energy: WattHours::new(42_000), export: WattHours::ZERO, at: world.now };
        let actions = world.path.step(world.now, Input::Meter(reading));
        actions
            .iter()
            .find_map(|action| if let Action::Do(Command::Meter(told)) = action { Some(*told) } else { None })
    }
    let mut world = World::charging();
    let expected = MeterReading { energy: WattHours::new(42_000), export: WattHours::ZERO, at: world.now };
    assert_eq!(told(&mut world), Some(expected));
    assert_eq!(told(&mut World::available()), None);
}
