//! What a vehicle hears from a session, phase by phase.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

#[path = "conversation/authorization.rs"]
mod authorization;
#[path = "conversation/opening.rs"]
mod opening;

use crate::bench;

use std::time::Duration;

use bench::*;
use iso15118::app_protocol::{AppProtocol, SupportedAppProtocolReq};
use iso15118::iso2::{
    BodyChoice as B, ChargeProgress, ChargingSession, DCEVSEStatusCode, EVSENotification, EVSEProcessing,
    IsolationLevel, PaymentOption, ResponseCode, UnitSymbol,
};
use iso15118::message::Message;
use iso15118::session::Connection;
use iso15118::v2gtp::PayloadType;
use voltry_bus::{Authorization, EvseStatusCode, Isolation, LinkOutcome, LinkPhase, PhaseAnswer};
use voltry_secc::decide::Cause;
use voltry_secc::message::{Protocol, Target};
use voltry_secc::session::Event;
use voltry_units::{Amps, Volts};

type Reach = fn(&mut Bench);

fn ended(bench: &Bench) -> Option<(LinkOutcome, Option<&'static str>)> {
    let mut ends = bench.events.iter().filter_map(|event| match event {
        Event::Ended(outcome, cause) => Some((*outcome, cause.as_ref().map(Cause::kind))),
        Event::Protocol(_)
        | Event::Phase { .. }
        | Event::Target(_)
        | Event::Limits(_)
        | Event::Status(_)
        | Event::Needs(_)
        | Event::VehicleId(_)
        | Event::Contract(_)
        | Event::ContractDoubted { .. }
        | Event::CertificateRequest { .. }
        | Event::SchedulesWanted(_)
        | Event::ScheduleChosen { .. } => None,
    });
    let end = ends.next();
    assert_eq!(ends.next(), None, "it ended twice");
    end
}

fn phases(bench: &Bench) -> Vec<(u64, LinkPhase)> {
    bench
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Phase { counter, phase } => Some((*counter, *phase)),
            Event::Protocol(_)
            | Event::Target(_)
            | Event::Limits(_)
            | Event::Status(_)
            | Event::Needs(_)
            | Event::VehicleId(_)
            | Event::Contract(_)
            | Event::ContractDoubted { .. }
            | Event::CertificateRequest { .. }
            | Event::SchedulesWanted(_)
            | Event::ScheduleChosen { .. }
            | Event::Ended(..) => None,
        })
        .collect()
}

#[test]
fn a_whole_session_goes_through_every_phase_in_order() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.present(399, 125);
    let B::CurrentDemandRes(answer) = bench.ok(current_demand()) else { panic!() };
    assert_eq!(answer.evse_present_voltage, value(-1, UnitSymbol::V, 3990));
    assert_eq!(answer.evse_present_current, value(-1, UnitSymbol::A, 1250));
    assert_eq!(answer.evse_maximum_current_limit, Some(value(-1, UnitSymbol::A, 2000)));
    assert_eq!(answer.evse_maximum_power_limit, Some(value(1, UnitSymbol::W, 6000)));
    assert_eq!(answer.evse_id, "DE*VOL*E1");
    assert_eq!(answer.dc_evse_status.evse_status_code, DCEVSEStatusCode::EVSEReady);
    bench.send(power_delivery(ChargeProgress::Stop));
    assert_eq!(bench.heard(), None, "the current still flows");
    bench.answer(PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
    bench.present(12, 0);
    let B::WeldingDetectionRes(answer) = bench.ok(welding_detection()) else { panic!() };
    assert_eq!(answer.evse_present_voltage, value(-1, UnitSymbol::V, 120));
    bench.ok(session_stop(ChargingSession::Terminate));
    assert!(bench.session.is_closed());
    assert_eq!(ended(&bench), Some((LinkOutcome::Normal, None)));
    use LinkPhase as P;
    let expected = [
        P::Connected,
        P::Authorizing,
        P::Parameters,
        P::CableCheck,
        P::PreCharge,
        P::PowerOn,
        P::Charging,
        P::PowerOff,
        P::WeldingDetection,
        P::Stopping,
    ];
    let expected: Vec<_> = (101..).zip(expected).collect();
    assert_eq!(phases(&bench), expected);
}

#[test]
fn a_target_is_told_at_once_when_it_changes_and_ten_times_a_second_when_it_stays() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.events.clear();
    let at = |milli_amps| {
        Event::Target(Target { voltage: Volts::new(400), current: Amps::from_milli(milli_amps) })
    };
    for _ in 0..10 {
        bench.ok(current_demand());
    }
    let B::CurrentDemandReq(mut lower) = current_demand() else { panic!() };
    lower.ev_target_current = value(-1, UnitSymbol::A, 100);
    bench.ok(B::CurrentDemandReq(lower.clone()));
    assert_eq!(bench.events, [at(125_500), at(10_000)]);
    for _ in 0..10 {
        bench.pass(Duration::from_millis(20), true);
        bench.ok(B::CurrentDemandReq(lower.clone()));
    }
    assert_eq!(bench.events[2..], [at(10_000), at(10_000)], "200 ms later");
}

#[test]
fn a_contract_is_refused_without_tls() {
    let mut bench = Bench::new();
    bench.reach_services();
    let B::PaymentServiceSelectionReq(mut req) = payment() else { panic!() };
    req.selected_payment_option = PaymentOption::Contract;
    let answer = bench.ask(B::PaymentServiceSelectionReq(req)).unwrap();
    assert_eq!(code(&answer), ResponseCode::FAILEDPaymentSelectionInvalid);
}

#[test]
fn no_step_is_open_before_the_one_before_it_was_granted() {
    let skips: [(Reach, B); 4] = [
        (Bench::reach_services, authorization()),
        (Bench::reach_parameters, cable_check()),
        (Bench::reach_cable_check, pre_charge()),
        (Bench::reach_pre_charge, power_delivery(ChargeProgress::Start)),
    ];
    for (reach, request) in skips {
        let mut bench = Bench::new();
        reach(&mut bench);
        let name = request.name();
        let answer = bench.ask(request).unwrap();
        assert_eq!(code(&answer), ResponseCode::FAILEDSequenceError, "{name}");
        assert_eq!(ended(&bench), Some((LinkOutcome::Failed, Some("order"))), "{name}");
    }
}

#[test]
fn asking_again_is_not_being_granted() {
    let mut bench = Bench::new();
    bench.reach_cable_check();
    let B::CableCheckRes(answer) = bench.ask_through(cable_check()) else { panic!() };
    assert_eq!(answer.evse_processing, EVSEProcessing::Ongoing);
    assert_eq!(code(&bench.ask(pre_charge()).unwrap()), ResponseCode::FAILEDSequenceError);
}

#[test]
fn a_cable_check_that_passed_is_told_valid_and_ready_even_if_the_values_lag() {
    let mut bench = Bench::new();
    bench.reach_cable_check();
    bench.push(|pushed| {
        let present = pushed.present.as_mut().unwrap();
        present.value.isolation = Isolation::Invalid;
        present.value.status = EvseStatusCode::IsolationMonitoringActive;
    });
    let B::CableCheckRes(answer) = bench.ask_through(cable_check()) else { panic!() };
    assert_eq!(answer.dc_evse_status.evse_status_code, DCEVSEStatusCode::EVSEIsolationMonitoringActive);
    assert_eq!(answer.dc_evse_status.evse_isolation_status, Some(IsolationLevel::Invalid));
    bench.send(cable_check());
    bench.answer(PhaseAnswer::Finished);
    let Some(B::CableCheckRes(answer)) = bench.heard() else { panic!() };
    assert_eq!(answer.dc_evse_status.evse_status_code, DCEVSEStatusCode::EVSEReady);
    assert_eq!(answer.dc_evse_status.evse_isolation_status, Some(IsolationLevel::Valid));
}

#[test]
fn an_answer_to_an_earlier_phase_is_dropped() {
    let mut bench = Bench::new();
    bench.reach_cable_check();
    let stale = bench.session.counter();
    bench.send(cable_check());
    bench.push(|pushed| pushed.answer = Some((stale, PhaseAnswer::Finished)));
    bench.pass(Duration::from_millis(100), true);
    let Some(B::CableCheckRes(answer)) = bench.heard() else { panic!() };
    assert_eq!(answer.evse_processing, EVSEProcessing::Ongoing);
}

#[test]
fn a_cable_check_that_takes_longer_than_the_vehicle_waits_fails_before_that() {
    let mut bench = Bench::new();
    bench.reach_cable_check();
    let start = bench.now;
    let answer = loop {
        let answer = bench.ask_through(cable_check());
        if code(&answer) != ResponseCode::OK {
            break answer;
        }
    };
    assert_eq!(code(&answer), ResponseCode::FAILED);
    let taken = bench.now.since(start);
    assert!((38.0..39.0).contains(&taken.as_secs_f64()), "after {taken:?}");
    assert_eq!(ended(&bench), Some((LinkOutcome::Overdue, Some("overdue"))));
}

#[test]
fn values_of_300_ms_are_told_and_older_ones_never() {
    for (age, expected) in [(300, ResponseCode::OK), (301, ResponseCode::FAILED)] {
        let mut bench = Bench::new();
        bench.reach_charging();
        bench.present(400, 100);
        bench.ok(current_demand());
        bench.now = bench.now + Duration::from_millis(age);
        bench.send(current_demand());
        let at_once = bench.heard();
        assert_eq!(at_once.is_some(), expected == ResponseCode::OK, "at {age} ms");
        bench.pass(Duration::from_millis(100), false);
        let Some(B::CurrentDemandRes(answer)) = at_once.or_else(|| bench.heard()) else { panic!() };
        assert_eq!(answer.response_code, expected, "at {age} ms");
        if expected == ResponseCode::FAILED {
            assert_eq!(answer.evse_present_current, value(-1, UnitSymbol::A, 0), "it was repeated");
            assert_eq!(answer.dc_evse_status.evse_status_code, DCEVSEStatusCode::EVSEMalfunction);
            assert_eq!(ended(&bench), Some((LinkOutcome::Failed, Some("stale"))));
        }
    }
}

#[test]
fn values_of_the_session_before_are_not_told() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.pushed.present.as_mut().unwrap().value.phase = 100;
    bench.send(current_demand());
    bench.pass(Duration::from_millis(100), false);
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::FAILED);
}

#[test]
fn values_that_come_a_little_late_end_no_session() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.now = bench.now + Duration::from_millis(301);
    bench.send(current_demand());
    bench.pass(Duration::from_millis(99), false);
    assert_eq!(bench.heard(), None, "the old values are not told");
    bench.present(390, 100);
    bench.push(|_| {});
    let Some(B::CurrentDemandRes(answer)) = bench.heard() else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::OK);
    assert_eq!(answer.evse_present_voltage, value(-1, UnitSymbol::V, 3900));
}

#[test]
fn pre_charge_waits_a_moment_for_fresh_values() {
    let mut bench = Bench::new();
    bench.reach_pre_charge();
    bench.now = bench.now + Duration::from_millis(400);
    assert_eq!(bench.ask(pre_charge()), None);
    bench.pass(Duration::from_millis(200), false);
    bench.present(380, 0);
    bench.push(|_| {});
    let Some(B::PreChargeRes(answer)) = bench.heard() else { panic!() };
    assert_eq!(answer.evse_present_voltage, value(-1, UnitSymbol::V, 3800));
}

#[test]
fn power_that_evse_refuses_or_does_not_grant_in_time_is_not_applied() {
    for refuse in [true, false] {
        let mut bench = Bench::new();
        bench.reach_pre_charge();
        bench.ok(pre_charge());
        bench.send(power_delivery(ChargeProgress::Start));
        if refuse {
            bench.answer(PhaseAnswer::Failed);
        } else {
            bench.pass(Duration::from_millis(4400), true);
            assert_eq!(bench.heard(), None);
            bench.pass(Duration::from_millis(100), true);
        }
        assert_eq!(code(&bench.heard().unwrap()), ResponseCode::FAILEDPowerDeliveryNotApplied);
    }
}

#[test]
fn a_stop_is_asked_for_in_every_later_answer() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.push(|pushed| pushed.stop = Some("the driver stopped it".into()));
    let B::CurrentDemandRes(answer) = bench.ok(current_demand()) else { panic!() };
    assert_eq!(answer.dc_evse_status.evse_notification, EVSENotification::StopCharging);
    assert_eq!(answer.dc_evse_status.evse_status_code, DCEVSEStatusCode::EVSEShutdown);
}

#[test]
fn an_abort_is_told_with_the_next_answer_and_the_vehicle_may_say_goodbye() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.push(|pushed| {
        pushed.present.as_mut().unwrap().value.status = EvseStatusCode::EmergencyShutdown;
        pushed.abort = Some("emergency stop".into());
    });
    let Some(B::CurrentDemandRes(answer)) = bench.ask(current_demand()) else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::FAILED);
    assert_eq!(answer.dc_evse_status.evse_status_code, DCEVSEStatusCode::EVSEEmergencyShutdown);
    assert_eq!(ended(&bench), Some((LinkOutcome::Failed, Some("aborted"))));
    assert_eq!(code(&bench.ask(power_delivery(ChargeProgress::Stop)).unwrap()), ResponseCode::FAILED);
    bench.ok(session_stop(ChargingSession::Terminate));
    assert!(bench.session.is_closed());
    assert_eq!(ended(&bench), Some((LinkOutcome::Failed, Some("aborted"))));
}

#[test]
fn an_abort_answers_a_request_that_is_held() {
    let mut bench = Bench::new();
    bench.reach_pre_charge();
    bench.ok(pre_charge());
    bench.send(power_delivery(ChargeProgress::Start));
    bench.push(|pushed| pushed.abort = Some("pilot lost".into()));
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::FAILED);
}

#[test]
fn an_abort_ends_a_vehicle_that_asks_nothing_any_more() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.push(|pushed| pushed.abort = Some("pilot lost".into()));
    bench.pass(Duration::from_millis(1000), true);
    assert_eq!(ended(&bench), Some((LinkOutcome::Failed, Some("aborted"))));
    assert!(bench.session.is_closed());
}

#[test]
fn a_vehicle_may_stop_the_session_in_every_phase() {
    let reaches: [Reach; 5] = [
        Bench::reach_services,
        Bench::reach_parameters,
        Bench::reach_cable_check,
        Bench::reach_pre_charge,
        Bench::reach_charging,
    ];
    for reach in reaches {
        for (how, outcome) in
            [(ChargingSession::Terminate, LinkOutcome::Normal), (ChargingSession::Pause, LinkOutcome::Paused)]
        {
            let mut bench = Bench::new();
            reach(&mut bench);
            bench.ok(session_stop(how));
            assert_eq!(ended(&bench), Some((outcome, None)));
            assert_eq!(bench.phase(), Some(LinkPhase::Stopping));
        }
    }
}

#[test]
fn a_vehicle_may_give_up_by_stopping_the_delivery_before_it_began() {
    let reaches: [Reach; 3] = [Bench::reach_cable_check, Bench::reach_pre_charge, Bench::reach_charging];
    for reach in reaches {
        let mut bench = Bench::new();
        reach(&mut bench);
        bench.send(power_delivery(ChargeProgress::Stop));
        assert_eq!(bench.phase(), Some(LinkPhase::PowerOff));
        bench.answer(PhaseAnswer::Finished);
        assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
        bench.ok(session_stop(ChargingSession::Terminate));
    }
}

#[test]
fn limits_are_agreed_on_again_while_the_current_flows() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.ok(power_delivery(ChargeProgress::Renegotiate));
    let B::ChargeParameterDiscoveryRes(answer) = bench.ok(parameters()) else { panic!() };
    assert_eq!(answer.evse_processing, EVSEProcessing::Finished);
    assert_eq!(bench.phase(), Some(LinkPhase::Renegotiating));
    bench.ok(power_delivery(ChargeProgress::Start));
    bench.ok(current_demand());
    assert_eq!(bench.phase(), Some(LinkPhase::Charging));
}

#[test]
fn in_a_renegotiation_evse_is_told_that_nothing_is_wanted_as_long_as_the_vehicle_talks_or_waits_for_us() {
    let mut bench = Bench::new();
    bench.reach_charging();
    bench.ok(current_demand());
    bench.ok(power_delivery(ChargeProgress::Renegotiate));
    let told = |bench: &mut Bench, time| {
        bench.events.clear();
        bench.pass(Duration::from_millis(time), true);
        let currents = |event: &Event| match event {
            Event::Target(target) => Some(target.current),
            _ => None,
        };
        bench.events.iter().filter_map(currents).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut bench, 900), [], "its last wish still holds");
    assert_eq!(told(&mut bench, 1_200), [Amps::ZERO; 2]);
    assert_eq!(told(&mut bench, 5_000), [], "who says nothing is silent, and evse's to judge");
    bench.ok(parameters());
    assert_eq!(told(&mut bench, 1_500), [Amps::ZERO]);
}

#[test]
fn silence_ends_the_conversation_as_lost() {
    let mut bench = Bench::new();
    bench.pass(Duration::from_millis(17_900), false);
    assert_eq!(ended(&bench), None);
    bench.pass(Duration::from_millis(100), false);
    assert_eq!(ended(&bench), Some((LinkOutcome::Lost, Some("silent"))));

    let mut bench = Bench::new();
    bench.reach_charging();
    bench.pass(Duration::from_millis(59_900), true);
    assert_eq!(ended(&bench), None);
    bench.pass(Duration::from_millis(100), true);
    assert_eq!(ended(&bench), Some((LinkOutcome::Lost, Some("silent"))));
}

#[test]
fn only_a_dead_conversation_gives_way_to_a_new_connection() {
    let mut bench = Bench::new();
    bench.reach_charging();
    assert!(!bench.session.is_replaceable(bench.now));
    bench.pass(Duration::from_millis(1900), true);
    assert!(!bench.session.is_replaceable(bench.now));
    bench.pass(Duration::from_millis(100), true);
    assert!(bench.session.is_replaceable(bench.now));
}

#[test]
fn one_zero_byte_too_many_is_tolerated() {
    let mut bench = Bench::new();
    bench.reach_services();
    let mut other = Connection::new();
    let bytes = {
        bench.vehicle.send(&Message::Iso2(Box::new(message(&bench.id, service_discovery())))).unwrap();
        let frame = bench.vehicle.take_transmit();
        let mut payload = frame[8..].to_vec();
        payload.push(0);
        other.send_frame(iso15118::v2gtp::PayloadType::ExiEncodedV2gMessage, &payload).unwrap();
        other.take_transmit()
    };
    bench.session.receive(bench.now, &bytes, &bench.pushed);
    bench.push(|_| {});
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
}

fn message(id: &[u8], body: B) -> iso15118::iso2::Document {
    iso15118::iso2::Document::V2GMessage(iso15118::iso2::V2GMessage {
        header: iso15118::iso2::MessageHeader {
            session_id: id.to_vec(),
            notification: None,
            signature: None,
        },
        body: iso15118::iso2::Body { choice: Some(body) },
    })
}
