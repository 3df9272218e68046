//! Schedules of ISO 15118-20.

use std::sync::Arc;

use voltry_secc::message::{Offer, PowerPoint, Schedule, Tariff, TariffEntry};

use super::*;

fn planned(id: u8, points: &[(u32, i32)], levels: &[(u32, u8)]) -> Schedule {
    let point = |(start, watts): &(u32, i32)| PowerPoint { start: *start, power: Watts::new(*watts) };
    let entry = |(start, level): &(u32, u8)| TariffEntry {
        start: *start,
        duration: None,
        price_level: Some(*level),
        costs: Vec::new(),
    };
    let tariff = (!levels.is_empty()).then(|| Tariff {
        id: 9,
        description: Some("night".to_owned()),
        price_levels: Some(3),
        entries: levels.iter().map(entry).collect(),
    });
    Schedule { id, points: points.iter().map(point).collect(), duration: 7200, tariff }
}

fn offer(vehicle: &mut Vehicle, schedules: Vec<Schedule>) {
    let at = vehicle.bench.now;
    let offer = Offer { id: 0, at, schedules, signature: None };
    vehicle.bench.push(|pushed| pushed.schedules = Some(Arc::new(offer)));
}

/// The tuples that the vehicle is told.
fn exchange(vehicle: &mut Vehicle) -> Vec<messages::ScheduleTuple> {
    vehicle.send_main(|header| schedule_exchange(header, false));
    let answer = vehicle.heard_main().or_else(|| {
        vehicle.bench.answer(PhaseAnswer::Finished);
        vehicle.heard_main()
    });
    let Some(Main::ScheduleExchangeRes(answer)) = answer else { panic!() };
    assert_eq!((answer.response_code, answer.evse_processing), (ResponseCode::OK, Processing::Finished));
    let messages::ScheduleExchangeResChoice::ScheduledSEResControlMode(mode) = answer.choice else {
        panic!()
    };
    mode.schedule_tuple
}

fn start(header: MessageHeader, tuple: u32, kilowatts: &[(u32, i16)]) -> Main {
    use messages::EVPowerProfileChoice as C;
    let Main::PowerDeliveryReq(mut req) = power_delivery(header, Processing::Finished, START) else {
        panic!()
    };
    let entry = |(duration, kilowatts): &(u32, i16)| messages::PowerScheduleEntry {
        duration: *duration,
        power: number(3, *kilowatts),
        power_l2: None,
        power_l3: None,
    };
    req.ev_power_profile = Some(messages::EVPowerProfile {
        time_anchor: bench::UNIX_SECONDS,
        choice: C::ScheduledEVPPTControlMode(messages::ScheduledEVPPTControlMode {
            selected_schedule_tuple_id: tuple,
            power_tolerance_acceptance: None,
        }),
        ev_power_profile_entries: messages::EVPowerProfileEntryList {
            ev_power_profile_entry: kilowatts.iter().map(entry).collect(),
        },
    });
    Main::PowerDeliveryReq(req)
}

fn ready(schedules: Vec<Schedule>) -> (Vehicle, Vec<messages::ScheduleTuple>) {
    let mut vehicle = Vehicle::new();
    vehicle.reach_selected(2);
    assert!(matches!(vehicle.dc(parameters), Dc::DCChargeParameterDiscoveryRes(_)));
    if !schedules.is_empty() {
        offer(&mut vehicle, schedules);
    }
    let told = exchange(&mut vehicle);
    vehicle.send_dc(|header| Dc::DCCableCheckReq(dc::DCCableCheckReq { header }));
    vehicle.bench.answer(PhaseAnswer::Finished);
    vehicle.heard_dc().unwrap();
    vehicle.bench.present(380, 0);
    vehicle.dc(pre_charge);
    (vehicle, told)
}

#[test]
fn a_planners_schedules_are_told_with_their_price_levels() {
    let schedules = vec![
        planned(1, &[(0, 11_000), (1800, 150_000)], &[(0, 2), (3600, 1)]),
        planned(4, &[(0, 22_000)], &[]),
    ];
    let (vehicle, told) = ready(schedules);
    assert!(
        vehicle
            .bench
            .events
            .iter()
            .any(|event| matches!(event, Event::SchedulesWanted(wanted) if !wanted.dynamic))
    );
    let [first, second] = &told[..] else { panic!("{told:?}") };
    let power = |tuple: &messages::ScheduleTuple| -> Vec<_> {
        let entries = &tuple.charging_schedule.power_schedule.power_schedule_entries.power_schedule_entry;
        entries.iter().map(|entry| (entry.duration, entry.power.clone())).collect()
    };
    let levels = |tuple: &messages::ScheduleTuple| -> Vec<_> {
        let Some(messages::ChargingScheduleChoice::PriceLevelSchedule(prices)) =
            &tuple.charging_schedule.choice
        else {
            panic!()
        };
        let entries = &prices.price_level_schedule_entries.price_level_schedule_entry;
        entries.iter().map(|entry| (entry.duration, entry.price_level)).collect()
    };
    assert_eq!((first.schedule_tuple_id, second.schedule_tuple_id), (1, 4));
    // No more than the EVSE offers, whatever was planned.
    assert_eq!(power(first), [(1800, number(0, 11_000)), (5400, number(1, 6000))]);
    assert_eq!(levels(first), [(3600, 2), (3600, 1)]);
    assert_eq!(power(second), [(7200, number(0, 22_000))]);
    assert_eq!(levels(second), [(7200, 0)]);
}

#[test]
fn a_tuple_that_was_not_offered_and_a_profile_above_it_are_refused_by_their_codes() {
    for (tuple, profile, refusal) in [
        (1, &[(1800, 11), (5400, 50)][..], None),
        (1, &[(1801, 11), (5400, 51)], Some(ResponseCode::FAILEDEVPowerProfileInvalid)),
        (1, &[(1700, 11), (5400, 50)], Some(ResponseCode::FAILEDEVPowerProfileInvalid)),
        (2, &[(7200, 11)], Some(ResponseCode::FAILEDScheduleSelectionInvalid)),
    ] {
        let (mut vehicle, _) = ready(vec![planned(1, &[(0, 11_000), (1800, 50_000)], &[])]);
        vehicle.send_main(|header| start(header, tuple, profile));
        if refusal.is_none() {
            vehicle.bench.answer(PhaseAnswer::Finished);
        }
        let Some(Main::PowerDeliveryRes(answer)) = vehicle.heard_main() else { panic!() };
        assert_eq!(answer.response_code, refusal.unwrap_or(ResponseCode::OK), "{tuple} {profile:?}");
    }
}

#[test]
fn a_new_offer_asks_a_vehicle_under_scheduled_control_to_renegotiate_and_no_other() {
    for dynamically in [false, true] {
        let mut vehicle = Vehicle::new();
        vehicle.reach_charging(dynamically);
        vehicle.bench.pass(Duration::from_millis(100), true);
        offer(&mut vehicle, vec![planned(2, &[(0, 22_000)], &[])]);
        let choice = if dynamically { dynamic(100, 60) } else { scheduled() };
        let told = vehicle.charge_loop(choice).evse_status.map(|status| status.evse_notification);
        let expected = (!dynamically).then_some(EvseNotification::ScheduleRenegotiation);
        assert_eq!(told, expected);
        if !dynamically {
            let again = messages::ChargeProgress::ScheduleRenegotiation;
            vehicle.main(|header| power_delivery(header, Processing::Finished, again));
            let told = exchange(&mut vehicle);
            assert_eq!(told[0].schedule_tuple_id, 2);
            vehicle.main(|header| start(header, 2, &[(7200, 22)]));
            assert_eq!(vehicle.charge_loop(scheduled()).evse_status, None);
        }
    }
}

#[test]
fn a_profile_that_ends_before_the_schedule_falls_is_taken_and_one_that_lasts_longer_is_not() {
    for (seconds, expected) in [(3600, ResponseCode::OK), (3601, ResponseCode::FAILEDEVPowerProfileInvalid)] {
        let (mut vehicle, _) = ready(vec![planned(1, &[(0, 50_000), (3600, 20_000)], &[])]);
        vehicle.send_main(|header| start(header, 1, &[(seconds, 50)]));
        vehicle.bench.answer(PhaseAnswer::Finished);
        let Some(Main::PowerDeliveryRes(answer)) = vehicle.heard_main() else { panic!() };
        assert_eq!(answer.response_code, expected, "{seconds} s");
    }
}
