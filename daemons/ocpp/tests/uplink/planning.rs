//! Vehicles that plan their charging: what the CSMS hears of them, and what they may choose from.

use serde_json::{Value, json};
use voltry_bus::{PowerPoint, ScheduleChoice, ScheduleOffer, ScheduleRequest};
use voltry_ocpp::Version;
use voltry_ocpp::time::rfc3339;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::{Command, Input};
use voltry_units::Watts;

use crate::desk::{Desk, START, evse, lost};

/// A vehicle of ISO 15118-2 that leaves in an hour.
fn wanted(id: u64) -> ScheduleRequest {
    ScheduleRequest {
        id,
        protocol: "ISO 15118-2".to_owned(),
        dynamic: false,
        entries_max: 12,
        departure_at: 3_601_000_000,
        energy: 30_000.4,
        energy_capacity: 60_000.0,
        voltage_max: 920.0,
        current_max: 400.0,
        power_max: 0.0,
        soc: 20.0,
        soc_target: -1.0,
    }
}

/// A desk at which a transaction runs, and a vehicle has asked for schedules.
fn asked(version: Version) -> Desk {
    let mut desk = Desk::accepted(version);
    desk.input(Input::StationPower(Watts::new(100_000)));
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    let mut running = evse(1, "charging");
    running.transaction = 1;
    desk.input(Input::Evses(vec![running]));
    desk.answer_all();
    desk.input(Input::SchedulesWanted(1, wanted(7)));
    desk
}

/// A TxProfile with a schedule of so many watts each, from the start of the test on.
fn profile(desk: &Desk, watts: &[i64]) -> Value {
    let mut events = desk.calls.iter().filter(|call| call.action == "TransactionEvent");
    let id = events.next_back().unwrap().payload["transactionInfo"]["transactionId"].clone();
    let tariff = json!({ "id": 5, "numEPriceLevels": 2, "salesTariffDescription": "night", "salesTariffEntry": [
        { "relativeTimeInterval": { "start": 0, "duration": 600 }, "ePriceLevel": 2 },
        { "relativeTimeInterval": { "start": 600 }, "ePriceLevel": 1, "consumptionCost": [
            { "startValue": 0.0, "cost": [{ "costKind": "RelativePricePercentage", "amount": 50 }] }] },
    ] });
    let schedules: Vec<Value> = watts
        .iter()
        .zip(11..)
        .map(|(watts, id)| {
            json!({ "id": id, "chargingRateUnit": "W", "startSchedule": rfc3339(START), "salesTariff": tariff,
                "chargingSchedulePeriod": [
                    { "startPeriod": 0, "limit": watts }, { "startPeriod": 1800, "limit": 10_000 }] })
        })
        .collect();
    json!({ "evseId": 1, "chargingProfile": {
        "id": 3, "stackLevel": 1, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute",
        "transactionId": id, "chargingSchedule": schedules } })
}

fn points(offer: &ScheduleOffer, place: usize) -> Vec<(u32, f64)> {
    offer.schedules[place].points.iter().map(|point| (point.start, point.power)).collect()
}

#[test]
fn the_csms_plans_and_hears_what_the_vehicle_chose() {
    let mut desk = asked(Version::V201);
    let needs = desk.open().unwrap().clone();
    assert_eq!(needs.action, "NotifyEVChargingNeeds");
    assert_eq!(
        needs.payload,
        json!({ "evseId": 1, "maxScheduleTuples": 12, "chargingNeeds": {
            "requestedEnergyTransfer": "DC",
            "departureTime": rfc3339(START + 3_600_000_000),
            "dcChargingParameters": { "evMaxCurrent": 400, "evMaxVoltage": 920, "energyAmount": 30_000,
                "evEnergyCapacity": 60_000, "stateOfCharge": 20 },
        } })
    );
    desk.answer(json!({ "status": "Accepted" }));
    assert!(desk.offers.is_empty(), "its profile is waited for");
    desk.seconds += 100;
    let request = profile(&desk, &[50_000, 30_000]);
    assert_eq!(desk.ask("SetChargingProfile", &request).unwrap()["status"], "Accepted");
    let [(1, offer)] = &desk.offers[..] else { panic!("{:?}", desk.offers) };
    assert_eq!((offer.id, offer.schedules.len()), (7, 2));
    assert_eq!(points(offer, 0), [(0, 50_000.0), (1700, 10_000.0)], "from now on");
    assert_eq!(points(offer, 1), [(0, 30_000.0), (1700, 10_000.0)]);
    let tariff = &offer.schedules[1].tariffs[0];
    let entries: Vec<_> = tariff.entries.iter().map(|it| (it.start, it.duration, it.price_level)).collect();
    assert_eq!(entries, [(0, 500, 2), (500, 0, 1)]);
    assert_eq!(tariff.entries[1].costs[0].costs[0].kind, "relative-price-percentage");

    desk.commands.clear();
    let profile = vec![PowerPoint { start: 0, power: 25_000.0 }, PowerPoint { start: 900, power: 8_000.0 }];
    desk.input(Input::ScheduleChosen(1, ScheduleChoice { id: 7, schedule: 2, profile }));
    let told = desk.open().unwrap();
    assert_eq!(told.action, "NotifyEVChargingSchedule");
    assert_eq!(told.payload["chargingSchedule"]["id"], 12, "the second one");
    let periods = &told.payload["chargingSchedule"]["chargingSchedulePeriod"];
    assert_eq!(
        *periods,
        json!([{ "startPeriod": 0, "limit": 25_000.0 }, { "startPeriod": 900, "limit": 8_000.0 }])
    );
    let limit = Some(Watts::new(30_000));
    let ruled = desk.commands.iter().any(|(_, command)| *command == Command::Limit { evse: 1, limit });
    assert!(ruled, "what was chosen rules: {:?}", desk.commands);
    desk.answer(json!({ "status": "Accepted" }));
    let get = json!({ "requestId": 1, "chargingProfile": { "chargingProfileId": [3] } });
    desk.ask("GetChargingProfiles", &get).unwrap();
    let report = &desk.open().unwrap().payload["chargingProfile"][0]["chargingSchedule"][0]["salesTariff"];
    assert_eq!(report["salesTariffEntry"][1]["consumptionCost"][0]["cost"][0]["amount"], 50);
}

#[test]
fn a_profile_that_comes_while_it_charges_asks_the_vehicle_to_agree_anew() {
    let mut desk = asked(Version::V201);
    desk.answer(json!({ "status": "Processing" }));
    assert_eq!(desk.offers.len(), 1, "nobody is kept waiting");
    assert_eq!((desk.offers[0].1.id, desk.offers[0].1.schedules.len()), (7, 0), "and nothing is limited");
    let request = profile(&desk, &[40_000]);
    desk.ask("SetChargingProfile", &request).unwrap();
    assert_eq!((desk.offers[1].1.id, points(&desk.offers[1].1, 0)[0]), (0, (0, 40_000.0)));
    let before = desk.calls.len();
    desk.input(Input::SchedulesWanted(1, wanted(9)));
    assert_eq!(desk.offers[2].1.id, 9);
    assert_eq!(desk.calls.len(), before, "the CSMS knows: it asked for it (K16)");
    desk.input(Input::SchedulesWanted(1, wanted(10)));
    assert_eq!(desk.open().unwrap().action, "NotifyEVChargingNeeds", "the vehicle's own wish (K17)");
}

#[test]
fn a_profile_that_comes_before_the_station_tells_of_the_transaction_is_offered_then() {
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "EVConnected");
    desk.input(Input::StationPower(Watts::new(100_000)));
    desk.happens(Kind::Plugged, 0);
    desk.answer_all();
    desk.input(Input::SchedulesWanted(1, wanted(7)));
    desk.answer(json!({ "status": "Accepted" }));
    let request = profile(&desk, &[50_000]);
    assert_eq!(desk.ask("SetChargingProfile", &request).unwrap()["status"], "Accepted");
    assert!(desk.offers.is_empty(), "the transaction is the CSMS's alone so far");
    desk.happens(Kind::Authorized, 0);
    desk.happens(Kind::Started, 0);
    let mut running = evse(1, "charging");
    running.transaction = 1;
    desk.input(Input::Evses(vec![running.clone()]));
    assert!(desk.offers.is_empty(), "the CSMS has not heard yet that it is the station's too");
    desk.answer_all();
    desk.input(Input::Evses(vec![running]));
    let [(1, offer)] = &desk.offers[..] else { panic!("{:?}", desk.offers) };
    assert_eq!((offer.id, points(offer, 0)[0]), (7, (0, 50_000.0)));
}

#[test]
fn a_profile_that_overtakes_the_answer_to_the_needs_is_offered_with_the_answer() {
    for (status, offered) in [("Accepted", 1), ("Processing", 1), ("Rejected", 0)] {
        let mut desk = asked(Version::V201);
        let request = profile(&desk, &[50_000]);
        assert_eq!(desk.ask("SetChargingProfile", &request).unwrap()["status"], "Accepted");
        assert!(desk.offers.is_empty());
        desk.answer(json!({ "status": status }));
        let [(1, offer)] = &desk.offers[..] else { panic!("{:?}", desk.offers) };
        assert_eq!((offer.id, offer.schedules.len()), (7, offered), "{status}");
    }
}

#[test]
fn where_no_csms_plans_the_vehicle_waits_no_longer_and_is_asked_for_nothing() {
    // No answer of use, one that went away, and one whose version has no such thing.
    let nothing = |desk: &Desk, id| {
        let (evse, offer) = desk.offers.last().unwrap();
        assert_eq!((*evse, offer.id, offer.schedules.len()), (1, id, 0));
    };
    let mut desk = asked(Version::V201);
    desk.answer_error("NotImplemented");
    nothing(&desk, 7);
    let request = profile(&desk, &[40_000]);
    assert_eq!(desk.ask("SetChargingProfile", &request).unwrap()["status"], "Accepted");
    assert_eq!(desk.offers.len(), 1, "its profiles limit, and plan nothing");
    let mut desk = asked(Version::V201);
    lost(&mut desk);
    nothing(&desk, 7);
    desk.input(Input::SchedulesWanted(1, wanted(8)));
    nothing(&desk, 8);
    nothing(&asked(Version::V16), 7);
}

#[test]
fn a_vehicle_that_has_left_is_offered_nothing() {
    let mut desk = asked(Version::V201);
    desk.answer(json!({ "status": "Accepted" }));
    desk.happens(Kind::Ended, 100);
    desk.happens(Kind::Unplugged, 100);
    desk.answer_all();
    lost(&mut desk);
    assert!(desk.offers.is_empty(), "{:?}", desk.offers);
}

#[test]
fn a_tariff_that_is_none_is_refused_with_its_profile() {
    let mut desk = asked(Version::V201);
    desk.answer(json!({ "status": "Accepted" }));
    let mut request = profile(&desk, &[40_000]);
    let entries = &mut request["chargingProfile"]["chargingSchedule"][0]["salesTariff"]["salesTariffEntry"];
    entries[0]["relativeTimeInterval"]["start"] = 5.into();
    assert_eq!(desk.ask("SetChargingProfile", &request).unwrap()["status"], "Rejected");
    assert!(desk.offers.is_empty());
}
