//! Each fault, on a charging vehicle: what it is called, how fast all is off, and the way back.

#![allow(clippy::unwrap_used)] // a test fails by panicking

#[path = "faults/cabinet.rs"]
mod cabinet;
#[path = "faults/cable_check.rs"]
mod cable_check;
#[path = "faults/orders.rs"]
mod orders;
#[path = "faults/over_voltage.rs"]
mod over_voltage;
mod plant;
#[path = "faults/pre_charge.rs"]
mod pre_charge;

use std::time::Duration;

use plant::World;
use voltry_bus::{EvseState, LinkOutcome, Pilot, PilotOutput};
use voltry_evse::energy_path::{
    Action, Command, Evidence, FaultCode, Input, Reaction, Role, StopReason, VehicleLimits,
};
use voltry_units::{Volts, WattHours};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Nothing flows and the contactors are open.
fn is_off(world: &World) -> bool {
    world.devices.current < 5.0 && (!world.devices.contactors || world.devices.welded)
}

/// Takes every fault away, unplugs, clears, and expects a free EVSE.
fn recovers(world: &mut World) {
    let devices = &mut world.devices;
    (devices.emergency_stop, devices.diode_fault, devices.welded, devices.stuck_open) =
        (false, false, false, false);
    (devices.short, devices.meter_stuck, devices.self_test_fails) = (false, false, false);
    devices.modules_tripped = false;
    (devices.guard.broken, devices.guard.refuses, devices.surge) = (false, false, 0.0);
    (devices.supply_ignores_off, devices.runaway, devices.cable_lies) = (false, 0.0, 0.0);
    devices.guard.lies = 0.0;
    devices.alarms = voltry_bus::Alarms::default();
    (devices.hottest, devices.sensors, devices.insulation) = (25.0, 2, 2_000_000.0);
    world.silent.clear();
    world.stalled = false;
    (world.permit, world.authorize) = (true, true);
    world.run(MS(1500));
    world.vehicle.unplug();
    world.run(MS(2000));
    world.feed(Input::ClearFaults);
    world.until_true(Duration::from_secs(60), "available again", |world| {
        world.state() == EvseState::Available
    });
    assert_eq!(world.path.faults(), []);
    world.vehicle.repair();
    world.vehicle.plug();
    world.until(EvseState::Charging);
}

/// Breaks a charging EVSE: it is off within the time, by that fault, and recovers.
fn breaks(code: FaultCode, within: Duration, break_it: impl Fn(&mut World)) {
    let mut world = World::charging();
    break_it(&mut world);
    world.until_true(within, &format!("off after {code:?}"), |world| {
        is_off(world) && world.path.faults().iter().any(|fault| fault.code == code)
    });
    let (first, actions) = &world.faults_reported[0];
    assert_eq!(first.code, code);
    if code.reaction() == Reaction::Emergency {
        let first_three = [Command::SupplyOff, Command::OpenContactors, Command::Pilot(PilotOutput::X1)];
        assert_eq!(actions[..3], first_three.map(Action::Do), "{code:?}");
    }
    world.until_true(MS(2500), "the pilot said so", |world| world.devices.pilot_output == PilotOutput::X1);
    // What unplugging clears is gone with the plug.
    world.until_true(Duration::from_secs(10), "settled", |world| {
        matches!(world.state(), EvseState::Faulted | EvseState::Available)
    });
    assert!(world.path.session().is_none_or(|session| session.stop.is_some()));
    recovers(&mut world);
}

/// A fault that is there before the session begins to energise.
fn never_charges(code: FaultCode, break_it: impl Fn(&mut World)) {
    let mut world = World::available();
    break_it(&mut world);
    world.vehicle.plug();
    world.until(EvseState::Faulted);
    assert_eq!(world.faults_reported[0].0.code, code);
    assert!(!world.states.contains(&EvseState::Charging));
    recovers(&mut world);
}

#[test]
fn an_emergency_stop_is_off_within_a_board_cycle() {
    breaks(FaultCode::EmergencyStop, MS(400), |world| world.devices.emergency_stop = true);
}

#[test]
fn a_missing_diode_is_an_emergency() {
    breaks(FaultCode::DiodeFault, MS(400), |world| world.devices.diode_fault = true);
}

/// The one that is not told any more may be the hot one, and without any the current would not be lowered.
#[test]
fn a_temperature_that_is_not_told_any_more_ends_the_session() {
    for left in [1, 0] {
        breaks(FaultCode::CableOverTempStop, MS(1_500), |world| world.devices.sensors = left);
    }
    let mut world = World::available();
    world.devices.sensors = 1;
    world.run(MS(500));
    world.vehicle.plug();
    world.until(EvseState::Faulted);
    assert_eq!(world.faults_reported[0].0.evidence, Evidence::Sensors(1, 2));
    world.vehicle.unplug();
    world.run(MS(2000));
    world.feed(Input::ClearFaults);
    assert_eq!(world.path.faults().len(), 1, "what is still missing is not cleared");
}

#[test]
fn a_source_that_falls_silent_while_everything_is_proved_off_is_named_for_it() {
    for role in [Role::ConnectorIo, Role::VoltageMonitor, Role::PowerSupply] {
        let mut world = World::charging();
        world.feed(Input::Stop);
        world.until_true(Duration::from_secs(10), "open", |world| !world.devices.contactors);
        world.silent.push(role);
        world.until_true(Duration::from_secs(60), "faulted", |world| !world.path.faults().is_empty());
        assert_eq!(world.path.faults()[0].code, FaultCode::Missing(role));
    }
}

#[test]
fn the_contactors_are_forced_open_to_the_millisecond() {
    let mut world = World::charging();
    world.devices.supply_ignores_off = true;
    world.devices.insulation = 50_000.0;
    world.until(EvseState::ErrorShutdown);
    let (at, why) = world.path.deadline().unwrap();
    let began = world.path.faults()[0].at;
    assert_eq!((at.since(began), why), (Duration::from_secs(1), "the contactors are forced open"));
}

#[test]
fn a_pilot_that_a_busy_board_did_not_take_is_driven_all_the_same() {
    let mut world = World::charging();
    world.devices.pilot_refusals = 3;
    world.devices.emergency_stop = true;
    world.until(EvseState::Emergency);
    world.until_true(MS(500), "the pilot says so", |world| world.devices.pilot_output == PilotOutput::X1);
}

/// Breaks the conversation of a charging EVSE, and `wire` after so long; how the session is then
/// said to have ended, and what is latched.
fn broken_off(wire_after: Duration, wire: impl Fn(&mut World)) -> (StopReason, Vec<FaultCode>) {
    let mut world = World::charging();
    world.feed(Input::LinkEnded(LinkOutcome::Lost));
    assert_eq!(world.state(), EvseState::ErrorShutdown);
    world.run(wire_after);
    let session = *world.path.session().unwrap();
    assert!(!world.devices.supply_on, "the name is waited for, the output is not");
    assert!(wire_after > MS(300) || session.ended_at.is_none(), "the book would miss the cause");
    wire(&mut world);
    world.until_true(MS(1300), "over", |world| {
        world.path.session().is_some_and(|session| session.ended_at.is_some())
    });
    let faults = world.path.faults().iter().map(|fault| fault.code).collect();
    (world.path.session().unwrap().stop.unwrap(), faults)
}

#[test]
fn a_wire_that_broke_is_the_cause_of_a_conversation_that_broke_off_with_it() {
    let diode = broken_off(MS(120), |world| world.devices.diode_fault = true);
    assert_eq!(diode, (StopReason::Fault(FaultCode::DiodeFault), vec![FaultCode::DiodeFault]));
}

#[test]
fn a_board_that_latches_for_heat_is_the_cause_of_a_conversation_that_broke_off_with_it() {
    let hot = broken_off(MS(120), |world| {
        (world.devices.hottest, world.devices.safe_state) = (85.1, Some(FaultCode::BoardSafeState));
    });
    let code = FaultCode::CableOverTempStop;
    assert_eq!(hot, (StopReason::Fault(code), vec![code]));
}

#[test]
fn a_plug_pulled_by_force_is_the_cause_though_the_link_ends_first() {
    let mut world = World::charging();
    world.feed(Input::LinkEnded(LinkOutcome::Lost));
    world.vehicle.pilot = Pilot::A;
    world.until_true(MS(300), "named", |world| !world.faults_reported.is_empty());
    let told: Vec<_> = world.faults_reported.iter().map(|(fault, _)| fault.code).collect();
    assert_eq!(told, [FaultCode::PilotFault], "nothing but the cause");
    assert_eq!(world.path.session().unwrap().stop, Some(StopReason::Fault(FaultCode::PilotFault)));
    world.until(EvseState::Available);
}

#[test]
fn a_conversation_that_breaks_off_by_itself_is_its_own_cause() {
    let lost = FaultCode::CommunicationLost;
    assert_eq!(broken_off(MS(120), |_| ()), (StopReason::Fault(lost), vec![lost]));
    let (reason, faults) = broken_off(MS(450), |world| world.devices.diode_fault = true);
    assert_eq!((reason, faults[0]), (StopReason::Fault(lost), lost), "too late to be the cause");
}

#[test]
fn a_plug_pulled_under_load_is_an_emergency() {
    breaks(FaultCode::PilotFault, MS(400), |world| world.vehicle.pilot = Pilot::A);
}

#[test]
fn a_plug_pulled_while_the_contactors_wait_for_the_current_opens_them_at_once() {
    let mut world = World::charging();
    (world.devices.supply_ignores_off, world.vehicle.welded, world.vehicle.holds_c) = (true, true, true);
    world.devices.insulation = 50_000.0;
    world.until(EvseState::ErrorShutdown);
    world.run(MS(200));
    assert!(world.devices.contactors, "they have a second");
    world.vehicle.pilot = Pilot::A;
    world.until_true(MS(120), "open", |world| !world.devices.contactors);
    assert_eq!(world.state(), EvseState::Emergency);
    recovers(&mut world);
}

#[test]
fn a_pilot_that_a_board_drives_by_itself_is_no_fault_of_an_error_shutdown() {
    let mut world = World::charging();
    (world.devices.supply_ignores_off, world.vehicle.welded) = (true, true);
    world.devices.insulation = 50_000.0;
    world.until(EvseState::ErrorShutdown);
    // As a board does whose lease has lapsed.
    world.devices.pilot_output = PilotOutput::F;
    world.run(MS(300));
    assert_eq!((world.state(), world.path.faults().len()), (EvseState::ErrorShutdown, 1));
}

#[test]
fn a_vehicle_that_opens_s2_under_load_is_let_go_at_once() {
    breaks(FaultCode::InvalidVehicleMode, MS(400), |world| world.vehicle.pilot = Pilot::B);
}

#[test]
fn falling_insulation_ends_the_session() {
    breaks(FaultCode::ResistanceFault, MS(2000), |world| world.devices.insulation = 90_000.0);
}

#[test]
fn a_hot_connector_ends_the_session() {
    breaks(FaultCode::CableOverTempStop, MS(1300), |world| world.devices.hottest = 91.0);
}

#[test]
fn a_hot_connector_is_the_cause_though_the_board_latches_first() {
    breaks(FaultCode::CableOverTempStop, MS(1300), |world| {
        (world.devices.hottest, world.devices.safe_state) = (85.1, Some(FaultCode::BoardSafeState));
    });
}

#[test]
fn what_a_board_says_it_latched_for_is_the_fault() {
    for code in [FaultCode::DiodeFault, FaultCode::PilotFault, FaultCode::ProximityFault] {
        breaks(code, MS(400), |world| world.devices.safe_state = Some(code));
        let broken = broken_off(MS(120), |world| world.devices.safe_state = Some(code));
        assert_eq!(broken, (StopReason::Fault(code), vec![code]));
    }
    for code in [FaultCode::EmergencyStop, FaultCode::ContactorFault] {
        breaks(code, MS(400), |world| world.devices.safe_state = Some(code));
    }
}

#[test]
fn a_boards_word_for_its_safe_state_is_read() {
    let told = FaultCode::latched_by_board;
    assert_eq!(told("MREC17EVSEContactorFault: contactor fault"), FaultCode::ContactorFault);
    assert_eq!(told("DiodeFault: pilot diode fault"), FaultCode::DiodeFault);
    for other in ["contactor fault", "MeterStuck: no fault of a board", ":", ""] {
        assert_eq!(told(other), FaultCode::BoardSafeState, "{other:?}");
    }
}

#[test]
fn a_phase_that_its_link_cut_for_its_time_is_named() {
    for (state, code) in [
        (EvseState::CableCheck, FaultCode::CableCheckFailure),
        (EvseState::PreCharge, FaultCode::PreChargeFailure),
    ] {
        let mut world = World::available();
        world.vehicle.plug();
        world.until(state);
        world.until_true(MS(5_000), "energised", |world| world.devices.contactors);
        world.feed(Input::LinkEnded(LinkOutcome::Overdue));
        assert_eq!(world.path.session().unwrap().stop, Some(StopReason::Fault(code)));
        assert!(world.path.faults()[0].cause().contains("not within"), "{}", world.path.faults()[0].cause());
        recovers(&mut world);
    }
}

#[test]
fn modules_that_all_fail_end_the_session() {
    breaks(FaultCode::SupplyFailed, MS(2500), |world| world.devices.modules_tripped = true);
}

#[test]
fn a_voltage_that_collapses_while_charging_is_a_short_circuit() {
    breaks(FaultCode::ShortCircuit, MS(1800), |world| world.devices.cable_lies = -350.0);
}

#[test]
fn insulation_that_could_not_be_tested_for_want_of_voltage_was_not_tested() {
    for after in [0, 200, 600, 1_000, 3_000, 5_500] {
        let mut world = World::available();
        world.vehicle.plug();
        world.until(EvseState::CableCheck);
        world.run(MS(after));
        world.devices.modules_tripped = true;
        world.until(EvseState::Faulted);
        assert!(!world.states.contains(&EvseState::PreCharge), "after {after} ms");
        let code = world.path.faults()[0].code;
        assert!(matches!(code, FaultCode::SupplyFailed | FaultCode::CableCheckFailure), "{code:?}");
    }
}

#[test]
fn an_evse_whose_supply_can_give_nothing_is_not_available_until_it_can() {
    let mut world = World::available();
    world.devices.modules_tripped = true;
    world.until(EvseState::Faulted);
    assert_eq!(world.path.faults()[0].code, FaultCode::SupplyFailed);
    world.run(Duration::from_secs(60));
    assert_eq!(world.state(), EvseState::Faulted);
    // As after a mains failure: nobody need come.
    world.devices.modules_tripped = false;
    world.until(EvseState::Available);
}

#[test]
fn two_voltages_that_contradict_each_other_end_the_session() {
    breaks(FaultCode::VoltageImplausible, MS(6500), |world| world.devices.cable_lies = -80.0);
}

#[test]
fn a_third_voltage_that_contradicts_both_others_ends_the_session() {
    // Both the modules and the cable's monitor read what the battery has; the over-voltage monitor does not.
    breaks(FaultCode::VoltageImplausible, MS(6500), |world| world.devices.guard.lies = -80.0);
}

#[test]
fn a_supply_that_gives_more_than_asked_is_an_emergency() {
    breaks(FaultCode::OverCurrent, MS(1000), |world| world.devices.runaway = 60.0);
}

#[test]
fn a_vehicle_that_falls_silent_gets_nothing_after_a_second_and_is_left_after_three() {
    let mut world = World::charging();
    world.vehicle.mute = true;
    world.run(MS(1600));
    assert!(world.devices.current < 1.0, "{} A for a silent vehicle", world.devices.current);
    breaks(FaultCode::VehicleSilent, MS(4500), |world| world.vehicle.mute = true);
}

#[test]
fn a_meter_that_stands_still_ends_the_sale() {
    breaks(FaultCode::MeterStuck, Duration::from_secs(60), |world| {
        world.vehicle.soc = 21.0;
        world.vehicle.enough = 200.0;
        world.devices.meter_stuck = true;
    });
}

#[test]
fn a_meter_that_runs_backwards_ends_the_sale_with_both_its_readings_and_takes_nothing_back() {
    breaks(FaultCode::MeterBackwards, MS(2300), |world| world.devices.register -= 50.0);

    let mut world = World::charging();
    world.run(Duration::from_secs(10));
    let sold = world.path.session().unwrap().energy();
    world.devices.register = 7.0;
    world.until_true(MS(2300), "off", is_off);
    let fault = world.faults_reported[0].0;
    let Evidence::Register(reads, before) = fault.evidence else { panic!("{fault:?}") };
    assert!(reads < WattHours::new(100) && before > WattHours::new(1000), "{fault:?}");
    let cause = fault.cause();
    assert!(cause.ends_with(&format!("it reads {reads} after {before}")), "{cause}");
    assert!(sold > WattHours::ZERO && world.path.session().unwrap().energy() >= sold);
}

#[test]
fn a_meter_that_is_replaced_while_nothing_flows_did_not_run_backwards() {
    let mut world = World::available();
    world.run(Duration::from_secs(2));
    world.devices.register = 7.0;
    world.run(Duration::from_secs(2));
    world.vehicle.plug();
    world.until(EvseState::Charging);
    world.run(Duration::from_secs(5));
    assert_eq!(world.path.faults(), []);
    assert!(world.path.session().unwrap().energy() > WattHours::ZERO);
}

#[test]
fn a_board_in_its_safe_state_is_reset_when_cleared() {
    breaks(FaultCode::BoardSafeState, MS(400), |world| {
        world.devices.safe_state = Some(FaultCode::BoardSafeState);
    });
}

#[test]
fn a_provider_that_leaves_ends_the_session() {
    for role in Role::ALL.into_iter().filter(|role| *role != Role::EnergyMeter) {
        let mut world = World::charging();
        world.silent.push(role);
        world.feed(Input::Lost(role));
        world.until_true(MS(1300), "off", is_off);
        let fault = &world.faults_reported[0].0;
        assert_eq!((fault.code, fault.evidence), (FaultCode::Missing(role), Evidence::DaemonGone));
        world.feed(Input::Found(role));
        recovers(&mut world);
    }
}

#[test]
fn a_stream_that_stops_ends_the_session_in_its_time() {
    let times = [
        (Role::PowerSupply, MS(1700)),
        (Role::VoltageMonitor, MS(1700)),
        (Role::OverVoltageMonitor, MS(1700)),
        (Role::ConnectorIo, MS(1700)),
        (Role::InsulationMonitor, MS(6500)),
    ];
    for (role, within) in times {
        breaks(FaultCode::Missing(role), within, move |world| world.silent.push(role));
    }
}

#[test]
fn without_its_meter_the_session_ends_in_the_normal_way() {
    let mut world = World::charging();
    world.silent.push(Role::EnergyMeter);
    world.until_true(Duration::from_secs(15), "off", is_off);
    assert_eq!(world.faults_reported, []);
    recovers(&mut world);
}

#[test]
fn a_permit_that_runs_out_ends_the_session_in_the_normal_way() {
    let mut world = World::charging();
    world.permit = false;
    world.run(Duration::from_secs(28));
    assert!(world.devices.current > 50.0, "the permit still held");
    world.until_true(Duration::from_secs(12), "off", is_off);
    assert_eq!(world.faults_reported, []);
    recovers(&mut world);
}

#[test]
fn a_control_loop_that_stalls_lapses_and_does_not_go_on_when_it_wakes() {
    let mut world = World::charging();
    world.stalled = true;
    world.run(MS(620));
    assert!(!world.devices.supply_on && !world.devices.contactors, "the leases lapsed");
    world.stalled = false;
    world.until(EvseState::Faulted);
    recovers(&mut world);
}

#[test]
fn a_welded_contactor_is_found_when_it_should_open() {
    let mut world = World::charging();
    world.devices.welded = true;
    world.feed(Input::Stop);
    world.until(EvseState::Faulted);
    assert!(world.path.faults().iter().any(|fault| fault.code == FaultCode::ContactorFault));
    world.devices.welded = true;
    world.feed(Input::ClearFaults);
    assert!(!world.path.faults().is_empty(), "its cause is still there");
    recovers(&mut world);
}

#[test]
fn a_supply_that_ignores_off_is_parted_from_the_vehicle_after_a_second() {
    let mut world = World::charging();
    world.devices.supply_ignores_off = true;
    world.devices.insulation = 10_000.0;
    world.until_true(MS(3000), "open", |world| !world.devices.contactors);
    world.until(EvseState::Faulted);
    assert!(world.path.faults().iter().any(|fault| fault.code == FaultCode::OutputNotOff));
    recovers(&mut world);
}

#[test]
fn power_is_refused_to_a_vehicle_that_does_not_wait_for_pre_charge() {
    never_charges(FaultCode::PreChargeFailure, |world| {
        world.vehicle.impatient = true;
        world.devices.capability.voltage_max = Volts::new(420);
    });
}

#[test]
fn a_vehicle_that_cannot_be_served_is_sent_away_before_anything_closes() {
    let mut world = World::available();
    world.vehicle.voltage_max = 120.0;
    world.vehicle.plug();
    world.until(EvseState::Finished);
    assert_eq!(world.faults_reported, []);
    assert!(!world.states.contains(&EvseState::CableCheck));
}
