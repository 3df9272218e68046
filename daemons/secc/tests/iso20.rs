//! An ISO 15118-20 conversation, message by message, under a virtual clock. The vehicle's side is
//! the codec crate's; `tests/interop` has one that nobody here wrote.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "iso20/contract.rs"]
mod contract;
#[path = "iso20/discharge.rs"]
mod discharge;
#[path = "iso20/metering.rs"]
mod metering;
#[path = "iso20/refusals.rs"]
mod refusals;
#[path = "iso20/schedules.rs"]
mod schedules;
#[path = "iso20/vehicle.rs"]
mod vehicle;

use crate::{bench, pki};

use std::time::Duration;

use bench::{Bench, ID};
use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::iso20::common::{EvseNotification, MessageHeader, Processing, ResponseCode};
use iso15118::iso20::dc::{self, Document as Dc};
use iso15118::iso20::messages::{self, Document as Main};
use iso15118::message::Message;
use iso15118::{Protocol, Protocols};
use vehicle::*;
use voltry_bus::{Authorization, LinkOutcome, LinkPhase, PhaseAnswer};
use voltry_secc::message::{EvLimits, Needs, Service, Target};
use voltry_secc::session::Event;
use voltry_units::{Amps, Percent, Volts, WattHours, Watts};

#[test]
fn a_scheduled_session_runs_from_handshake_to_goodbye_in_evses_phases() {
    let mut vehicle = Vehicle::new();
    assert_eq!(vehicle.bench.events, [Event::Protocol("ISO 15118-20:2022")]);
    vehicle.reach_charging(false);
    vehicle.bench.present(400, 120);
    let answer = vehicle.charge_loop(scheduled());
    assert_eq!(answer.response_code, ResponseCode::OK);
    assert_eq!(answer.evse_present_current, number(-1, 1200));
    assert_eq!(answer.evse_status, None);
    assert!(matches!(answer.choice, dc::DCChargeLoopResChoice::ScheduledDCCLResControlMode(_)));
    let expected = Target { voltage: Volts::new(400), current: Amps::from_milli(125_500) };
    assert_eq!(vehicle.newest_target(), expected);
    let soc = |event: &Event| matches!(event, Event::Status(status) if status.soc == Percent::new(42));
    assert!(vehicle.bench.events.iter().any(soc));
    let limits = EvLimits {
        voltage: Some(Volts::new(450)),
        current: Some(Amps::new(300)),
        power: Some(Watts::new(150_000)),
        voltage_min: Some(Volts::new(300)),
        current_min: Some(Amps::ZERO),
        power_min: Some(Watts::ZERO),
        ..EvLimits::default()
    };
    assert!(vehicle.bench.events.contains(&Event::Limits(limits)));

    vehicle.send_main(|header| power_delivery(header, Processing::Finished, messages::ChargeProgress::Stop));
    vehicle.bench.answer(PhaseAnswer::Finished);
    assert!(matches!(vehicle.heard_main(), Some(Main::PowerDeliveryRes(_))));
    let welding = vehicle.dc(|header| {
        Dc::DCWeldingDetectionReq(dc::DCWeldingDetectionReq { header, ev_processing: Processing::Finished })
    });
    assert!(matches!(welding, Dc::DCWeldingDetectionRes(_)));
    let stop = vehicle.main(|header| session_stop(header, messages::ChargingSession::Terminate));
    let Main::SessionStopRes(stop) = stop else { panic!() };
    assert_eq!(stop.response_code, ResponseCode::OK);
    assert!(vehicle.bench.session.is_closed());
    assert!(vehicle.bench.events.contains(&Event::Ended(LinkOutcome::Normal, None)));
    let phases: Vec<_> = vehicle
        .bench
        .events
        .iter()
        .filter_map(|event| if let Event::Phase { phase, .. } = event { Some(*phase) } else { None })
        .collect();
    assert_eq!(
        phases,
        [
            LinkPhase::Connected,
            LinkPhase::Authorizing,
            LinkPhase::Connected,
            LinkPhase::Parameters,
            LinkPhase::CableCheck,
            LinkPhase::PreCharge,
            LinkPhase::PowerOn,
            LinkPhase::Charging,
            LinkPhase::PowerOff,
            LinkPhase::WeldingDetection,
            LinkPhase::Stopping,
        ]
    );
}

#[test]
fn under_dynamic_control_a_vehicle_gets_the_most_that_its_limits_allow() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(true);
    let answer = vehicle.charge_loop(dynamic(300, 60));
    assert!(matches!(answer.choice, dc::DCChargeLoopResChoice::DynamicDCCLResControlMode(_)));
    // 60 kW at the battery's 400 V.
    assert_eq!(vehicle.newest_target(), Target { voltage: Volts::new(450), current: Amps::new(150) });
    vehicle.charge_loop(dynamic(100, 60));
    assert_eq!(vehicle.newest_target().current, Amps::new(100));
}

#[test]
fn a_plug_of_mcs_is_offered_its_own_service_and_charges_by_the_messages_of_dc() {
    let mut vehicle = Vehicle::at(Bench::offering(&[Service::Mcs, Service::McsBpt]));
    vehicle.reach_selected_of(8, &[8, 9]);
    vehicle.reach_power_on_from_selected(true);
    vehicle.bench.answer(PhaseAnswer::Finished);
    assert!(matches!(vehicle.heard_main(), Some(Main::PowerDeliveryRes(_))));
    assert_eq!(vehicle.charge_loop(dynamic(300, 60)).response_code, ResponseCode::OK);
}

#[test]
fn the_connector_of_a_parameter_set_is_that_of_its_service() {
    for (service, id, expected) in [(Service::Dc, 2, 2), (Service::Mcs, 8, 1), (Service::McsBpt, 9, 1)] {
        let mut vehicle = Vehicle::at(Bench::offering(&[service]));
        vehicle.reach_services();
        let detail = vehicle
            .main(|header| Main::ServiceDetailReq(messages::ServiceDetailReq { header, service_id: id }));
        let Main::ServiceDetailRes(detail) = detail else { panic!() };
        let set = &detail.service_parameter_list.parameter_set[0];
        let connector = set.parameter.iter().find(|parameter| parameter.name == "Connector").unwrap();
        assert_eq!(connector.choice, messages::ParameterChoice::IntValue(expected), "{service:?}");
    }
}

#[test]
fn a_service_of_another_plug_is_not_there() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_services();
    let detail =
        vehicle.main(|header| Main::ServiceDetailReq(messages::ServiceDetailReq { header, service_id: 8 }));
    let Main::ServiceDetailRes(detail) = detail else { panic!() };
    assert_eq!(detail.response_code, ResponseCode::FAILEDServiceIDInvalid);
}

#[test]
fn all_limits_of_a_vehicle_are_told_also_those_that_no_energy_path_needs() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_selected(6);
    vehicle.dc(bidirectional_parameters);
    let limits = |event: &Event| if let Event::Limits(limits) = event { Some(*limits) } else { None };
    let limits = vehicle.bench.events.iter().find_map(limits).unwrap();
    assert_eq!((limits.voltage, limits.voltage_min), (Some(Volts::new(450)), Some(Volts::new(300))));
    assert_eq!((limits.current_min, limits.power_min), (Some(Amps::new(5)), Some(Watts::new(1_000))));
    assert_eq!(limits.discharge_power, Some(Watts::new(11_000)));
    assert_eq!(limits.discharge_current, Some(Amps::new(25)));
}

#[test]
fn what_a_vehicle_needs_by_when_is_told_and_told_again_only_if_it_changes() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(true);
    let told = |vehicle: &Vehicle| -> Vec<Needs> {
        let needs = |event: &Event| if let Event::Needs(needs) = event { Some(*needs) } else { None };
        vehicle.bench.events.iter().filter_map(needs).collect()
    };
    let [first] = told(&vehicle)[..] else { panic!("{:?}", told(&vehicle)) };
    assert_eq!(first.departure, Some(Duration::from_secs(7200)));
    assert_eq!(first.energy, Some(WattHours::new(40_000)));
    assert_eq!((first.soc_min, first.soc), (Some(Percent::new(30)), Some(Percent::new(80))));
    let ask = |vehicle: &mut Vehicle, departure, kilowatt_hours| {
        vehicle.bench.pass(Duration::from_millis(400), true);
        vehicle.charge_loop(dynamic_until(departure, kilowatt_hours));
    };
    for _ in 0..10 {
        ask(&mut vehicle, None, 40);
        ask(&mut vehicle, Some(7200), 40);
    }
    assert_eq!(told(&vehicle).len(), 1, "a departure counted anew each time is no news");
    for _ in 0..10 {
        ask(&mut vehicle, Some(3600), 20);
    }
    let now = told(&vehicle);
    let [_, second] = now[..] else { panic!("{now:?}") };
    assert_eq!(second.departure, Some(Duration::from_secs(3600)));
    assert_eq!(second.energy, Some(WattHours::new(20_000)));
    assert_eq!(second.soc, Some(Percent::new(80)), "what it no longer says stays");
}

#[test]
fn the_schedule_waits_for_evse_and_fails_with_it() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_selected(2);
    vehicle.dc(parameters);
    vehicle.send_main(|header| schedule_exchange(header, false));
    assert!(vehicle.heard().is_none(), "answered before evse had a chance");
    vehicle.bench.pass(Duration::from_millis(150), true);
    let Some(Main::ScheduleExchangeRes(answer)) = vehicle.heard_main() else { panic!() };
    assert_eq!(answer.evse_processing, Processing::Ongoing);
    vehicle.send_main(|header| schedule_exchange(header, false));
    vehicle.bench.answer(PhaseAnswer::Failed);
    let Some(Main::ScheduleExchangeRes(answer)) = vehicle.heard_main() else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::FAILEDWrongChargeParameter);
}

#[test]
fn a_delivery_that_evse_does_not_grant_is_refused_before_the_vehicle_has_waited_two_seconds() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_power_on(false);
    vehicle.bench.pass(Duration::from_millis(1450), true);
    assert!(vehicle.heard().is_none(), "evse may take 1.5 s");
    vehicle.bench.pass(Duration::from_millis(100), true);
    let Some(Main::PowerDeliveryRes(answer)) = vehicle.heard_main() else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::FAILEDPowerDeliveryNotApplied);
}

#[test]
fn a_request_out_of_order_is_a_sequence_error() {
    let mut vehicle = Vehicle::new();
    let Main::SessionSetupRes(setup) = vehicle.main(session_setup) else { panic!() };
    vehicle.id = setup.header.session_id;
    // Authorization comes before the services, unlike in -2.
    let Main::ServiceDiscoveryRes(answer) = vehicle.main(service_discovery) else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::FAILEDSequenceError);
}

#[test]
fn a_vehicle_in_standby_gets_no_current_until_it_asks_for_delivery_again() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    vehicle.charge_loop(scheduled());
    assert_eq!(vehicle.newest_target().current, Amps::from_milli(125_500));
    vehicle.stand_by();
    let resting = Target { voltage: Volts::new(400), current: Amps::ZERO };
    assert_eq!(vehicle.newest_target(), resting, "told at once, not with the next charge loop");
    assert_eq!(vehicle.charge_loop(scheduled()).response_code, ResponseCode::OK);
    assert_eq!(vehicle.newest_target(), resting, "whatever the charge loop asks for");
    vehicle.bench.present(400, 0);
    let answer = vehicle.main(|header| power_delivery(header, Processing::Finished, START));
    let Main::PowerDeliveryRes(answer) = answer else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::OK);
    vehicle.charge_loop(scheduled());
    assert_eq!(vehicle.newest_target().current, Amps::from_milli(125_500));
    assert_eq!(vehicle.bench.phase(), Some(LinkPhase::Charging));
}

#[test]
fn a_vehicle_may_be_silent_in_standby_and_evse_knows_all_the_while_that_it_wants_no_current() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    vehicle.charge_loop(scheduled());
    vehicle.stand_by();
    vehicle.charge_loop(scheduled());
    vehicle.bench.events.clear();
    vehicle.bench.pass(Duration::from_secs(59), true);
    assert!(!vehicle.bench.session.is_closed(), "0.5 s is the charge loop's limit, not standby's");
    let told = vehicle.bench.events.iter().filter(|event| matches!(event, Event::Target(_))).count();
    assert!((110..=130).contains(&told), "evse was told {told} times in 59 s");
    assert_eq!(vehicle.newest_target().current, Amps::ZERO);
    vehicle.bench.pass(Duration::from_secs(2), true);
    assert!(vehicle.bench.session.is_closed(), "its silence has the limit of every other");
}

#[test]
fn a_vehicle_chooses_another_service_under_its_session_and_authorization() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    vehicle.send_main(|header| power_delivery(header, Processing::Finished, messages::ChargeProgress::Stop));
    vehicle.bench.answer(PhaseAnswer::Finished);
    assert!(matches!(vehicle.heard_main(), Some(Main::PowerDeliveryRes(_))));
    assert_eq!(vehicle.renegotiate(), ResponseCode::OK);
    assert_eq!(vehicle.bench.phase(), Some(LinkPhase::Connected));
    assert!(!vehicle.bench.session.is_closed());
    let Main::ServiceDiscoveryRes(services) = vehicle.main(service_discovery) else { panic!() };
    assert!(services.service_renegotiation_supported);
    let Main::ServiceSelectionRes(selected) = vehicle.main(|header| selection(header, 6, 1)) else {
        panic!()
    };
    assert_eq!(selected.response_code, ResponseCode::OK);
    vehicle.reach_power_on_with(bidirectional_parameters, true);
    vehicle.bench.answer(PhaseAnswer::Finished);
    assert!(matches!(vehicle.heard_main(), Some(Main::PowerDeliveryRes(_))));
    assert_eq!(vehicle.charge_loop(dynamic(300, 60)).response_code, ResponseCode::OK);
}

/// Whoever was not authorized would get past it so; and what is energised is switched off first.
#[test]
fn services_are_not_chosen_anew_before_authorization_or_under_voltage() {
    let mut vehicle = Vehicle::new();
    let Main::SessionSetupRes(setup) = vehicle.main(session_setup) else { panic!() };
    vehicle.id = setup.header.session_id;
    vehicle.main(authorization_setup);
    assert_eq!(vehicle.renegotiate(), ResponseCode::FAILEDSequenceError);
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    assert_eq!(vehicle.renegotiate(), ResponseCode::FAILEDSequenceError);
}

#[test]
fn a_session_is_paused_and_resumed_under_its_id() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    vehicle.send_main(|header| power_delivery(header, Processing::Finished, messages::ChargeProgress::Stop));
    vehicle.bench.answer(PhaseAnswer::Finished);
    assert!(matches!(vehicle.heard_main(), Some(Main::PowerDeliveryRes(_))));
    let stop = vehicle.main(|header| session_stop(header, messages::ChargingSession::Pause));
    let Main::SessionStopRes(stop) = stop else { panic!() };
    assert_eq!(stop.response_code, ResponseCode::OK);
    assert!(vehicle.bench.events.contains(&Event::Ended(LinkOutcome::Paused, None)));
    let mut vehicle = Vehicle::at(Bench::resuming(Some(*b"earlier!")));
    vehicle.id = b"earlier!".to_vec();
    let Main::SessionSetupRes(setup) = vehicle.main(session_setup) else { panic!() };
    assert_eq!(setup.response_code, ResponseCode::OKOldSessionJoined);
    assert_eq!(setup.header.session_id, b"earlier!");
    let Main::AuthorizationSetupRes(_) = vehicle.main(authorization_setup) else { panic!() };
}

#[test]
fn schedules_are_renegotiated_while_the_current_flows() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    let renegotiate = messages::ChargeProgress::ScheduleRenegotiation;
    let answer = vehicle.main(|header| power_delivery(header, Processing::Finished, renegotiate));
    assert!(matches!(answer, Main::PowerDeliveryRes(_)));
    let Main::ScheduleExchangeRes(schedule) = vehicle.main(|header| schedule_exchange(header, false)) else {
        panic!()
    };
    assert_eq!(schedule.evse_processing, Processing::Finished);
    let answer = vehicle.main(|header| power_delivery(header, Processing::Finished, START));
    let Main::PowerDeliveryRes(answer) = answer else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::OK);
    assert_eq!(vehicle.bench.phase(), Some(LinkPhase::Charging));
    assert_eq!(vehicle.charge_loop(scheduled()).response_code, ResponseCode::OK);
}

#[test]
fn a_wish_to_stop_is_told_in_the_charge_loop() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    vehicle.bench.push(|pushed| pushed.stop = Some("station".into()));
    let status = vehicle.charge_loop(scheduled()).evse_status.unwrap();
    assert_eq!(status.evse_notification, EvseNotification::Terminate);
}

#[test]
fn in_the_charge_loop_half_a_second_of_silence_ends_the_session() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    vehicle.charge_loop(scheduled());
    vehicle.bench.pass(Duration::from_millis(450), true);
    assert!(!vehicle.bench.session.is_closed());
    vehicle.bench.pass(Duration::from_millis(100), true);
    assert!(vehicle.bench.session.is_closed());
}

#[test]
fn a_vehicle_of_another_message_set_falls_back_to_its_next_protocol() {
    let mut bench = Bench::new();
    let mut offer =
        SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso20).with(Protocol::Iso2));
    offer.app_protocols[0].protocol_namespace = "urn:iso:std:iso:15118:-20:AC".into();
    bench.vehicle.send(&Message::AppProtocolReq(Box::new(offer))).unwrap();
    bench.flush();
    assert_eq!(bench.events, [Event::Protocol("ISO 15118-2:2014")]);
}

#[test]
fn a_vehicle_that_renegotiates_may_ask_to_wait_before_it_goes_on() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    let deliver = |vehicle: &mut Vehicle, processing, progress| {
        let answer = vehicle.main(|header| power_delivery(header, processing, progress));
        let Main::PowerDeliveryRes(answer) = answer else { panic!() };
        assert_eq!(answer.response_code, ResponseCode::OK, "{processing:?}");
    };
    deliver(&mut vehicle, Processing::Finished, messages::ChargeProgress::ScheduleRenegotiation);
    assert!(matches!(vehicle.main(|header| schedule_exchange(header, false)), Main::ScheduleExchangeRes(_)));
    for _ in 0..2 {
        deliver(&mut vehicle, Processing::Ongoing, START);
        assert_eq!(vehicle.bench.phase(), Some(LinkPhase::Renegotiating), "it is not ready yet");
    }
    deliver(&mut vehicle, Processing::Finished, START);
    assert_eq!(vehicle.bench.phase(), Some(LinkPhase::Charging));
    assert_eq!(vehicle.charge_loop(scheduled()).response_code, ResponseCode::OK);
}

#[test]
fn what_a_vehicle_needs_is_complete_for_a_planner_however_fast_it_says_it() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_selected(2);
    vehicle.dc(|header| {
        let Dc::DCChargeParameterDiscoveryReq(mut req) = parameters(header) else { panic!() };
        let dc::DCChargeParameterDiscoveryReqChoice::DCCPDReqEnergyTransferMode(mode) = &mut req.choice
        else {
            panic!()
        };
        mode.target_soc = Some(80);
        Dc::DCChargeParameterDiscoveryReq(req)
    });
    vehicle.bench.pass(Duration::from_millis(50), true);
    vehicle.send_main(|header| {
        let Main::ScheduleExchangeReq(mut req) = schedule_exchange(header, false) else { panic!() };
        let messages::ScheduleExchangeReqChoice::ScheduledSEReqControlMode(mode) = &mut req.choice else {
            panic!()
        };
        mode.departure_time = Some(7200);
        mode.ev_target_energy_request = Some(number(3, 40));
        Main::ScheduleExchangeReq(req)
    });
    let complete = Needs {
        departure: Some(Duration::from_secs(7200)),
        energy: Some(WattHours::new(40_000)),
        soc: Some(Percent::new(80)),
        ..Needs::default()
    };
    let wanted = vehicle.bench.events.iter().find_map(|event| match event {
        Event::SchedulesWanted(wanted) => Some(wanted.needs),
        _ => None,
    });
    assert_eq!(wanted, Some(complete));
    vehicle.bench.pass(Duration::from_secs(2), true);
    vehicle.send_main(|header| schedule_exchange(header, false));
    let told = vehicle.bench.events.iter().rev().find_map(|event| match event {
        Event::Needs(needs) => Some(*needs),
        _ => None,
    });
    let later = Duration::from_secs(7198);
    assert_eq!(told, Some(Needs { departure: Some(later), ..complete }), "told late, but told");
}
