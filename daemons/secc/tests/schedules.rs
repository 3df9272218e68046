//! Schedules and sales tariffs: what a vehicle may choose from, what it may make of them, and when it is
//! asked to agree anew.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic, reason = "tests")]

use crate::bench;

use std::sync::Arc;
use std::time::Duration;

use bench::*;
use iso15118::iso2::{
    self, BodyChoice as B, ChargeParameterDiscoveryResChoice2 as Choice, ChargeProgress, ChargingSession,
    EVSENotification, EVSEProcessing, ResponseCode, UnitSymbol,
};
use voltry_bus::{LinkOutcome, LinkPhase, PhaseAnswer};
use voltry_secc::config::Timing;
use voltry_secc::message::{
    ConsumptionCost, Cost, CostKind, Offer, PowerPoint, Schedule, Tariff, TariffEntry, Wanted,
};
use voltry_secc::session::Event;
use voltry_units::{Percent, Watts};

fn watts(kilowatts: i32) -> Watts {
    Watts::new(kilowatts * 1000)
}

fn points(points: &[(u32, i32)]) -> Vec<PowerPoint> {
    points.iter().map(|(start, power)| PowerPoint { start: *start, power: watts(*power) }).collect()
}

fn schedule(id: u8, kilowatts: &[(u32, i32)], tariff: Option<Tariff>) -> Schedule {
    Schedule { id, points: points(kilowatts), duration: 7200, tariff }
}

fn tariff() -> Tariff {
    let entry = |start, level, amount| TariffEntry {
        start,
        duration: None,
        price_level: Some(level),
        costs: vec![ConsumptionCost {
            start_value: Watts::ZERO,
            costs: vec![Cost { kind: CostKind::RelativePricePercentage, amount, multiplier: -1 }],
        }],
    };
    Tariff {
        id: 9,
        description: Some("night".to_owned()),
        price_levels: Some(2),
        entries: vec![entry(0, 2, 1000), entry(3600, 1, 700)],
    }
}

fn offer(bench: &mut Bench, id: u64, schedules: Vec<Schedule>) {
    let at = bench.now;
    bench.push(|pushed| pushed.schedules = Some(Arc::new(Offer { id, at, schedules, signature: None })));
}

/// The request that a planner sees, told once.
fn wanted(bench: &Bench) -> u64 {
    let ids: Vec<_> = bench
        .events
        .iter()
        .filter_map(|event| match event {
            Event::SchedulesWanted(wanted) => Some(wanted.id),
            _ => None,
        })
        .collect();
    *ids.last().expect("nothing was wanted")
}

fn told(answer: &B) -> Option<&[iso2::SAScheduleTuple]> {
    let B::ChargeParameterDiscoveryRes(answer) = answer else { panic!("{}", answer.name()) };
    let Some(Choice::SAScheduleList(list)) = &answer.choice_2 else { return None };
    Some(&list.sa_schedule_tuple)
}

fn power(tuple: &iso2::SAScheduleTuple) -> Vec<(u32, Option<u32>, iso2::PhysicalValue)> {
    let entries = tuple.p_max_schedule.p_max_schedule_entry.iter();
    entries
        .map(|entry| {
            let iso2::PMaxScheduleEntryChoice::RelativeTimeInterval(when) = &entry.choice else { panic!() };
            (when.start, when.duration, entry.p_max.clone())
        })
        .collect()
}

fn start(schedule: u8, profile: &[(u32, i16)]) -> B {
    let B::PowerDeliveryReq(mut req) = power_delivery(ChargeProgress::Start) else { panic!() };
    req.sa_schedule_tuple_id = schedule;
    let entry = |(start, kilowatts): &(u32, i16)| iso2::ProfileEntry {
        charging_profile_entry_start: *start,
        charging_profile_entry_max_power: value(3, UnitSymbol::W, *kilowatts),
        charging_profile_entry_max_number_of_phases_in_use: None,
    };
    req.charging_profile = (!profile.is_empty())
        .then(|| iso2::ChargingProfile { profile_entry: profile.iter().map(entry).collect() });
    B::PowerDeliveryReq(req)
}

/// As far as the delivery, with what a planner offers.
fn ready(timing: Timing, schedules: Vec<Schedule>) -> Bench {
    let mut bench = Bench::timed(timing);
    bench.reach_parameters();
    bench.send(parameters());
    if !schedules.is_empty() {
        let id = wanted(&bench);
        offer(&mut bench, id, schedules);
    }
    bench.answer(PhaseAnswer::Finished);
    assert!(told(&bench.heard().unwrap()).is_some());
    bench.send(cable_check());
    bench.answer(PhaseAnswer::Finished);
    bench.heard().unwrap();
    bench.ok(pre_charge());
    bench
}

fn charging(timing: Timing, schedules: Vec<Schedule>) -> Bench {
    let mut bench = ready(timing, schedules);
    bench.send(start(1, &[]));
    bench.answer(PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
    bench
}

fn notification(bench: &mut Bench) -> EVSENotification {
    bench.present(400, 100);
    let B::CurrentDemandRes(answer) = bench.ok(current_demand()) else { panic!() };
    answer.dc_evse_status.evse_notification
}

#[test]
fn where_nobody_plans_a_vehicle_gets_what_the_evse_offers_and_may_not_mean_to_take_more() {
    for (request, refusal) in [
        (start(1, &[(0, 60)]), None),
        (start(1, &[(0, 50), (600, 60), (90_000, 10)]), None),
        (start(1, &[(0, -3)]), None),
        (start(2, &[(0, 60)]), Some(ResponseCode::FAILEDTariffSelectionInvalid)),
        (start(1, &[(0, 61)]), Some(ResponseCode::FAILEDChargingProfileInvalid)),
        (start(1, &[(0, 32_000)]), Some(ResponseCode::FAILEDChargingProfileInvalid)),
        (start(1, &[(0, 50), (600, 61)]), Some(ResponseCode::FAILEDChargingProfileInvalid)),
    ] {
        let mut bench = ready(Timing::default(), Vec::new());
        bench.send(request);
        if let Some(refusal) = refusal {
            assert_eq!(code(&bench.heard().unwrap()), refusal);
            let failed = |event: &Event| matches!(event, Event::Ended(LinkOutcome::Failed, Some(_)));
            assert!(bench.events.iter().any(failed));
            bench.ok(session_stop(ChargingSession::Terminate));
        } else {
            bench.answer(PhaseAnswer::Finished);
            assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
        }
    }
}

#[test]
fn whoever_stops_has_chosen_nothing() {
    let mut bench = charging(Timing::default(), Vec::new());
    let B::PowerDeliveryReq(mut stop) = start(7, &[(0, 300)]) else { panic!() };
    stop.charge_progress = ChargeProgress::Stop;
    bench.send(B::PowerDeliveryReq(stop));
    bench.answer(PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
}

#[test]
fn a_planners_schedules_and_tariffs_are_told_and_what_the_vehicle_makes_of_them_too() {
    let schedules = vec![schedule(1, &[(0, 11), (1800, 150)], None), schedule(7, &[(0, 50)], Some(tariff()))];
    let mut bench = Bench::new();
    bench.reach_parameters();
    bench.send(parameters());
    let expected = Event::SchedulesWanted(Wanted {
        id: bench.now.as_micros(),
        protocol: voltry_secc::message::Protocol::Iso2,
        dynamic: false,
        entries_max: 0,
        limits: bench.limits(),
        needs: voltry_secc::message::Needs::default(),
        soc: Some(Percent::new(20)),
    });
    assert!(bench.events.contains(&expected), "{:?}", bench.events);
    let id = wanted(&bench);
    offer(&mut bench, id, schedules);
    bench.answer(PhaseAnswer::Finished);
    let answer = bench.heard().unwrap();
    let [first, second] = told(&answer).unwrap() else { panic!() };
    // No more than the EVSE offers, whatever was planned.
    assert_eq!(
        power(first),
        [(0, None, value(0, UnitSymbol::W, 11_000)), (1800, Some(5400), value(1, UnitSymbol::W, 6000)),]
    );
    assert!(first.sales_tariff.is_none());
    let tariff = second.sales_tariff.as_ref().unwrap();
    assert_eq!((tariff.sales_tariff_id, tariff.num_e_price_levels), (9, Some(2)));
    assert_eq!(tariff.sales_tariff_description.as_deref(), Some("night"));
    let levels: Vec<_> = tariff.sales_tariff_entry.iter().map(|entry| entry.e_price_level).collect();
    assert_eq!(levels, [Some(2), Some(1)]);
    let cost = &tariff.sales_tariff_entry[1].consumption_cost[0].cost[0];
    assert_eq!((cost.amount, cost.amount_multiplier), (700, Some(-1)));

    bench.send(cable_check());
    bench.answer(PhaseAnswer::Finished);
    bench.heard().unwrap();
    bench.ok(pre_charge());
    bench.send(start(7, &[(0, 50)]));
    bench.answer(PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
    let plan = voltry_secc::message::Plan { schedule: 7, profile: points(&[(0, 50)]), end: None };
    assert!(bench.events.contains(&Event::ScheduleChosen { id, plan: Arc::new(plan) }));
    let B::CurrentDemandRes(answer) = bench.ok(current_demand()) else { panic!() };
    assert_eq!(answer.sa_schedule_tuple_id, 7);
}

#[test]
fn a_profile_is_judged_by_the_schedule_that_was_chosen() {
    let schedules = || vec![schedule(1, &[(0, 11), (1800, 50)], None), schedule(2, &[(0, 50)], None)];
    for (chosen, profile, refusal) in [
        (1, &[(0, 11), (1800, 50)][..], None),
        (2, &[(0, 50)], None),
        (1, &[(0, 50)], Some(ResponseCode::FAILEDChargingProfileInvalid)),
        (1, &[(0, 11), (1799, 50)], Some(ResponseCode::FAILEDChargingProfileInvalid)),
        (3, &[(0, 11)], Some(ResponseCode::FAILEDTariffSelectionInvalid)),
    ] {
        let mut bench = ready(Timing::default(), schedules());
        bench.send(start(chosen, profile));
        bench.answer(PhaseAnswer::Finished);
        let answer = code(&bench.heard().unwrap());
        assert_eq!(answer, refusal.unwrap_or(ResponseCode::OK), "{chosen} {profile:?}");
    }
}

#[test]
fn a_vehicle_that_takes_few_entries_gets_no_more_and_no_more_power_by_that() {
    let mut bench = Bench::new();
    bench.reach_parameters();
    let B::ChargeParameterDiscoveryReq(mut req) = parameters() else { panic!() };
    req.max_entries_sa_schedule_tuple = Some(2);
    bench.send(B::ChargeParameterDiscoveryReq(req));
    let id = wanted(&bench);
    offer(&mut bench, id, vec![schedule(1, &[(0, 50), (600, 40), (1200, 20), (1800, 60)], None)]);
    bench.answer(PhaseAnswer::Finished);
    let answer = bench.heard().unwrap();
    let [one] = told(&answer).unwrap() else { panic!() };
    assert_eq!(
        power(one),
        [(0, None, value(1, UnitSymbol::W, 5000)), (600, Some(6600), value(0, UnitSymbol::W, 20_000)),]
    );
}

#[test]
fn a_vehicle_is_kept_waiting_for_a_planner_as_long_as_is_configured_and_then_charges_all_the_same() {
    let timing = Timing { schedules: Duration::from_secs(3), ..Timing::default() };
    for answered in [true, false] {
        let mut bench = Bench::timed(timing.clone());
        bench.reach_parameters();
        let start = bench.now;
        bench.send(parameters());
        bench.answer(PhaseAnswer::Finished);
        let id = wanted(&bench);
        let answer = loop {
            let answer = match bench.heard() {
                Some(answer) => answer,
                None => {
                    bench.pass(Duration::from_millis(50), true);
                    continue;
                }
            };
            let B::ChargeParameterDiscoveryRes(res) = &answer else { panic!() };
            assert_eq!(res.response_code, ResponseCode::OK);
            if res.evse_processing == EVSEProcessing::Finished {
                break answer;
            }
            assert!(told(&answer).is_none());
            if answered && bench.now.since(start) > Duration::from_secs(1) {
                offer(&mut bench, id, vec![schedule(4, &[(0, 22)], None)]);
            }
            bench.send(parameters());
        };
        let [one] = told(&answer).unwrap() else { panic!() };
        let waited = bench.now.since(start).as_millis();
        if answered {
            assert_eq!(one.sa_schedule_tuple_id, 4);
            assert!((1000..1500).contains(&waited), "{waited} ms");
        } else {
            assert_eq!(one.sa_schedule_tuple_id, 1);
            assert!((3000..3200).contains(&waited), "{waited} ms");
        }
        assert_eq!(wanted(&bench), id, "asked twice");
    }
}

#[test]
fn a_planner_that_has_none_keeps_nobody_waiting() {
    let mut bench = Bench::timed(Timing { schedules: Duration::from_secs(30), ..Timing::default() });
    bench.reach_parameters();
    bench.send(parameters());
    let id = wanted(&bench);
    offer(&mut bench, id, Vec::new());
    bench.answer(PhaseAnswer::Finished);
    let answer = bench.heard().unwrap();
    let [one] = told(&answer).unwrap() else { panic!() };
    assert_eq!(power(one), [(0, Some(86_400), value(1, UnitSymbol::W, 6000))]);
}

#[test]
fn a_new_offer_asks_the_vehicle_to_renegotiate_until_it_has() {
    let mut bench = charging(Timing::default(), vec![schedule(1, &[(0, 50)], None)]);
    assert_eq!(notification(&mut bench), EVSENotification::None);
    bench.pass(Duration::from_secs(1), true);
    offer(&mut bench, 0, vec![schedule(2, &[(0, 22)], None)]);
    assert_eq!(notification(&mut bench), EVSENotification::ReNegotiation);
    let first = wanted(&bench);
    bench.ok(power_delivery(ChargeProgress::Renegotiate));
    bench.pass(Duration::from_millis(10), true);
    let answer = bench.ok(parameters());
    let [one] = told(&answer).unwrap() else { panic!() };
    assert_eq!((one.sa_schedule_tuple_id, power(one)[0].2.clone()), (2, value(0, UnitSymbol::W, 22_000)));
    assert_ne!(wanted(&bench), first, "a vehicle that asks anew is a planner's business");
    bench.ok(start(2, &[(0, 22)]));
    assert_eq!(notification(&mut bench), EVSENotification::None);
    bench.pass(Duration::from_millis(10), true);
    let again = wanted(&bench);
    offer(&mut bench, again, vec![schedule(2, &[(0, 22)], None)]);
    assert_eq!(notification(&mut bench), EVSENotification::None, "it has agreed to that");
    bench.push(|pushed| pushed.stop = Some("the driver stopped it".into()));
    offer(&mut bench, 0, vec![schedule(3, &[(0, 11)], None)]);
    assert_eq!(notification(&mut bench), EVSENotification::StopCharging, "to stop comes first");
}

/// As ISO 15118-2 has it, and Josev does.
#[test]
fn a_vehicle_that_renegotiates_may_come_back_by_the_insulation_test() {
    let mut bench = charging(Timing::default(), vec![schedule(1, &[(0, 50)], None)]);
    bench.ok(power_delivery(ChargeProgress::Renegotiate));
    bench.ok(parameters());
    assert_eq!(bench.phase(), Some(LinkPhase::Renegotiating), "it may also go on as it is");
    bench.send(cable_check());
    assert_eq!(bench.phase(), Some(LinkPhase::CableCheck));
    bench.answer(PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
    bench.present(400, 0);
    bench.ok(pre_charge());
    bench.send(start(1, &[(0, 50)]));
    bench.answer(PhaseAnswer::Finished);
    assert_eq!(code(&bench.heard().unwrap()), ResponseCode::OK);
    assert_eq!(bench.phase(), Some(LinkPhase::Charging));
}

#[test]
fn a_vehicle_that_renegotiates_by_itself_gets_what_is_left_of_its_schedule() {
    let mut bench = charging(Timing::default(), vec![schedule(1, &[(0, 50), (1800, 22)], None)]);
    for _ in 0..40 {
        bench.pass(Duration::from_secs(50), true);
        bench.ok(current_demand());
    }
    bench.ok(power_delivery(ChargeProgress::Renegotiate));
    let answer = bench.ok(parameters());
    let [one] = told(&answer).unwrap() else { panic!() };
    assert_eq!(power(one), [(0, Some(5200), value(0, UnitSymbol::W, 22_000))]);
}

#[test]
fn where_it_is_configured_a_limit_that_stays_changed_asks_to_renegotiate() {
    let timing = Timing { renegotiation: Duration::from_secs(10), ..Timing::default() };
    for (configured, expected) in [(true, EVSENotification::ReNegotiation), (false, EVSENotification::None)] {
        let mut bench = charging(if configured { timing.clone() } else { Timing::default() }, Vec::new());
        let limit = |bench: &mut Bench, kilowatts| {
            bench.push(|pushed| pushed.limits.as_mut().unwrap().power_max = watts(kilowatts));
        };
        limit(&mut bench, 30);
        bench.pass(Duration::from_secs(9), true);
        assert_eq!(notification(&mut bench), EVSENotification::None, "it may go back");
        limit(&mut bench, 60);
        bench.pass(Duration::from_secs(9), true);
        limit(&mut bench, 30);
        bench.pass(Duration::from_secs(9), true);
        assert_eq!(notification(&mut bench), EVSENotification::None);
        bench.pass(Duration::from_secs(1), true);
        assert_eq!(notification(&mut bench), expected);
        bench.ok(power_delivery(ChargeProgress::Renegotiate));
        let answer = bench.ok(parameters());
        assert_eq!(power(&told(&answer).unwrap()[0])[0].2, value(0, UnitSymbol::W, 30_000));
        bench.ok(start(1, &[(0, 30)]));
        assert_eq!(notification(&mut bench), EVSENotification::None);
    }
}

/// Volkswagen's vehicles send one entry, of what they take at first.
#[test]
fn a_profile_of_one_entry_is_judged_by_what_is_allowed_when_it_begins() {
    for (profile, expected) in [
        (&[(0, 11)][..], ResponseCode::OK),
        (&[(0, 7), (u32::MAX, 7)], ResponseCode::OK),
        (&[(0, 12)], ResponseCode::FAILEDChargingProfileInvalid),
        (&[(43_200, 11)], ResponseCode::FAILEDChargingProfileInvalid),
    ] {
        let falling = Schedule { duration: 86_400, ..schedule(1, &[(0, 11), (43_200, 7)], None) };
        let mut bench = ready(Timing::default(), vec![falling]);
        bench.send(start(1, profile));
        bench.answer(PhaseAnswer::Finished);
        assert_eq!(code(&bench.heard().unwrap()), expected, "{profile:?}");
    }
}

/// One that plans may answer each vehicle that asks anew, and would have it ask for ever.
#[test]
fn an_offer_of_what_the_vehicle_was_told_asks_nobody_to_renegotiate() {
    let plan = || vec![schedule(1, &[(0, 50), (600, 22)], Some(tariff()))];
    let mut bench = charging(Timing::default(), plan());
    bench.pass(Duration::from_secs(40), true);
    let later = |seconds, schedules: Vec<Schedule>| -> Vec<Schedule> {
        let moved = |schedule: Schedule| {
            let mut schedule = schedule;
            schedule.points[1].start -= seconds;
            schedule.tariff.as_mut().unwrap().entries[1].start -= seconds;
            schedule
        };
        schedules.into_iter().map(moved).collect()
    };
    // As planners do: from now on, for as long as ever, on their own clock.
    for off in [0, 1, 2] {
        offer(&mut bench, 0, later(39 + off, plan()));
        assert_eq!(notification(&mut bench), EVSENotification::None, "{off}");
    }
    bench.pass(Duration::from_millis(1500), true);
    assert_eq!(notification(&mut bench), EVSENotification::None);
    let mut other_price = later(40, plan());
    other_price[0].tariff.as_mut().unwrap().entries[1].price_level = Some(2);
    for news in [
        later(40, vec![schedule(1, &[(0, 50), (600, 11)], Some(tariff()))]),
        later(40, vec![schedule(1, &[(0, 22), (600, 22)], Some(tariff()))]),
        later(140, plan()),
        later(40, vec![schedule(2, &[(0, 50), (600, 22)], Some(tariff()))]),
        later(40, [plan(), vec![schedule(2, &[(0, 50), (600, 11)], Some(tariff()))]].concat()),
        other_price,
    ] {
        offer(&mut bench, 0, later(0, news));
        assert_eq!(notification(&mut bench), EVSENotification::ReNegotiation);
    }
}
