//! Charging profiles, from the CSMS to the limits that the station is told.

use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::model::{find_key, find_variable};
use voltry_ocpp::profiles::Rules;
use voltry_ocpp::time::rfc3339;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::{Command, Input, OtherLimit, Outcome};
use voltry_units::Watts;

use crate::desk::{Desk, START, evse, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

/// SetChargingProfile of an absolute profile from the start of the test on: (seconds, watts) each.
fn set(desk: &Desk, place: u32, id: i32, purpose: &str, periods: &[(i64, i64)]) -> Value {
    let list: Vec<Value> =
        periods.iter().map(|(start, watts)| json!({ "startPeriod": start, "limit": watts })).collect();
    let mut schedule = json!({
        "startSchedule": rfc3339(START),
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": list,
    });
    let mut profile =
        json!({ "stackLevel": 0, "chargingProfilePurpose": purpose, "chargingProfileKind": "Absolute" });
    match desk.version {
        Version::V16 => {
            if purpose == "ChargingStationMaxProfile" {
                profile["chargingProfilePurpose"] = "ChargePointMaxProfile".into();
            }
            profile["chargingProfileId"] = id.into();
            profile["chargingSchedule"] = schedule;
            json!({ "connectorId": place, "csChargingProfiles": profile })
        }
        Version::V201 => {
            schedule["id"] = id.into();
            profile["id"] = id.into();
            profile["chargingSchedule"] = json!([schedule]);
            json!({ "evseId": place, "chargingProfile": profile })
        }
    }
}

fn accepted() -> Result<Value, String> {
    Ok(json!({ "status": "Accepted" }))
}

/// Every limit that the station was told since the last look, as (EVSE, watts), which it has taken.
fn limits(desk: &mut Desk) -> Vec<(u32, Option<f64>)> {
    let commands = std::mem::take(&mut desk.commands);
    let mut told = Vec::new();
    for (ticket, command) in commands {
        if let Command::Limit { evse, limit } = command {
            told.push((evse, limit.map(Watts::as_si)));
            desk.input(Input::Done { ticket, outcome: Outcome::Done });
        }
    }
    told
}

/// A transaction begins: the book says so, then the station; then the CSMS has heard of it.
fn charge(desk: &mut Desk) {
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    let mut running = evse(1, "charging");
    running.transaction = 1;
    desk.input(Input::Evses(vec![running]));
    desk.answer_all();
}

fn transaction_id(desk: &Desk) -> Value {
    let of = |call: &crate::desk::Call| match desk.version {
        Version::V16 => (call.action == "StartTransaction").then(|| json!(0)),
        Version::V201 => (call.action == "TransactionEvent")
            .then(|| call.payload["transactionInfo"]["transactionId"].clone()),
    };
    match desk.version {
        // The desk gives the number of the CALL's place.
        Version::V16 => json!(desk.calls.iter().position(|call| call.action == "StartTransaction").unwrap()),
        Version::V201 => desk.calls.iter().rev().find_map(of).unwrap(),
    }
}

#[test]
fn at_the_start_the_station_is_told_of_every_place_once() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        assert_eq!(limits(&mut desk), [(0, None), (1, None)], "an old limit of ours would stay");
        desk.pass(3600);
        assert_eq!(limits(&mut desk), []);
    }
}

#[test]
fn power_follows_a_profile_online_and_offline() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        limits(&mut desk);
        let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 40_000), (600, 20_000), (1200, 60_000)]);
        assert_eq!(desk.ask("SetChargingProfile", &request), accepted());
        assert_eq!(limits(&mut desk), [(1, Some(40_000.0))]);
        let request = set(&desk, 0, 2, "ChargingStationMaxProfile", &[(0, 90_000)]);
        assert_eq!(desk.ask("SetChargingProfile", &request), accepted());
        assert_eq!(limits(&mut desk), [(0, Some(90_000.0))]);
        desk.pass(599);
        desk.answer_all();
        assert_eq!(limits(&mut desk), [], "nothing before its time");
        desk.pass(1);
        assert_eq!(limits(&mut desk), [(1, Some(20_000.0))]);
        lost(&mut desk);
        desk.pass(600);
        assert_eq!(limits(&mut desk), [(1, Some(60_000.0))], "{version:?}: offline too");
    }
}

#[test]
fn profiles_hold_on_after_a_restart_that_nobody_is_connected_to() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 40_000), (600, 20_000)]);
        assert_eq!(desk.ask("SetChargingProfile", &request), accepted());
        lost(&mut desk);
        desk.restart();
        limits(&mut desk);
        desk.commands.clear();
        desk.restart();
        assert_eq!(limits(&mut desk), [(0, None), (1, Some(40_000.0))]);
        desk.pass(600);
        assert_eq!(limits(&mut desk), [(1, Some(20_000.0))], "{version:?}");
    }
}

#[test]
fn a_limit_that_the_station_does_not_take_is_told_again() {
    let mut desk = Desk::accepted(Version::V16);
    limits(&mut desk);
    let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 40_000)]);
    desk.ask("SetChargingProfile", &request).unwrap();
    let [(ticket, Command::Limit { .. })] = desk.commands[..] else { panic!() };
    desk.commands.clear();
    desk.input(Input::Done { ticket, outcome: Outcome::Silent });
    desk.pass(4);
    assert_eq!(limits(&mut desk), []);
    desk.pass(1);
    assert_eq!(limits(&mut desk), [(1, Some(40_000.0))]);
    desk.pass(60);
    assert_eq!(limits(&mut desk), []);
}

#[test]
fn a_station_that_starts_anew_is_told_every_limit_again() {
    let mut desk = Desk::accepted(Version::V201);
    let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 40_000)]);
    desk.ask("SetChargingProfile", &request).unwrap();
    limits(&mut desk);
    desk.input(Input::StationIsBack);
    assert_eq!(limits(&mut desk), [(0, None), (1, Some(40_000.0))]);
}

#[test]
fn a_profile_of_a_transaction_ends_with_it() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        limits(&mut desk);
        let mut request = set(&desk, 1, 1, "TxProfile", &[(0, 30_000)]);
        let field = if version == Version::V16 { "csChargingProfiles" } else { "chargingProfile" };
        request[field]["transactionId"] = if version == Version::V16 { json!(1) } else { json!("t") };
        let status = |desk: &mut Desk, request: &Value| {
            desk.ask("SetChargingProfile", request).unwrap()["status"].as_str().unwrap().to_owned()
        };
        assert_eq!(status(&mut desk, &request), "Rejected", "nothing runs");
        charge(&mut desk);
        request[field]["transactionId"] = if version == Version::V16 { json!(999) } else { json!("t") };
        assert_eq!(status(&mut desk, &request), "Rejected", "something else runs");
        request[field]["transactionId"] = transaction_id(&desk);
        assert_eq!(status(&mut desk, &request), "Accepted", "{version:?}");
        assert_eq!(limits(&mut desk), [(1, Some(30_000.0))]);
        desk.input(Input::Evses(vec![evse(1, "available")]));
        assert_eq!(limits(&mut desk), [(1, None)]);
    }
}

#[test]
fn a_profile_that_comes_with_a_remote_start_holds_for_that_transaction() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        limits(&mut desk);
        let profile = set(&desk, 1, 1, "TxProfile", &[(0, 30_000)]);
        let (action, payload) = match version {
            Version::V16 => (
                "RemoteStartTransaction",
                json!({ "connectorId": 1, "idTag": "APP", "chargingProfile": profile["csChargingProfiles"] }),
            ),
            Version::V201 => (
                "RequestStartTransaction",
                json!({
                    "remoteStartId": 9, "evseId": 1,
                    "idToken": { "idToken": "APP", "type": "Central" },
                    "chargingProfile": profile["chargingProfile"],
                }),
            ),
        };
        let _ = desk.ask(action, &payload);
        let Some((_, Command::RemoteStart { id: Some(id), .. })) = desk.commands.last().cloned() else {
            panic!()
        };
        assert_eq!(desk.done(Outcome::Done), Some(accepted()));
        assert_eq!(limits(&mut desk), []);
        desk.remote_start = Some(id);
        charge(&mut desk);
        assert_eq!(limits(&mut desk), [(1, Some(30_000.0))], "{version:?}");
    }
}

#[test]
fn a_start_with_a_profile_that_cannot_be_is_rejected_and_starts_nothing() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let profile = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 30_000)]);
        desk.commands.clear();
        let (action, payload) = match version {
            Version::V16 => (
                "RemoteStartTransaction",
                json!({ "connectorId": 1, "idTag": "APP", "chargingProfile": profile["csChargingProfiles"] }),
            ),
            Version::V201 => (
                "RequestStartTransaction",
                json!({
                    "remoteStartId": 9, "evseId": 1,
                    "idToken": { "idToken": "APP", "type": "Central" },
                    "chargingProfile": profile["chargingProfile"],
                }),
            ),
        };
        assert_eq!(desk.ask(action, &payload).unwrap()["status"], "Rejected");
        assert!(desk.commands.is_empty(), "{version:?}");
    }
}

#[test]
fn the_composite_schedule_is_told_in_the_unit_that_is_asked_for() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.input(Input::StationPower(Watts::new(100_000)));
        let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 69_000), (600, 6_900)]);
        desk.ask("SetChargingProfile", &request).unwrap();
        let place = if version == Version::V16 { "connectorId" } else { "evseId" };
        let mut asked = json!({ "duration": 3600, "chargingRateUnit": "A" });
        asked[place] = 1.into();
        let answer = desk.ask("GetCompositeSchedule", &asked).unwrap();
        let schedule = match version {
            Version::V16 => &answer["chargingSchedule"],
            Version::V201 => &answer["schedule"],
        };
        assert_eq!(schedule["duration"], 3600);
        assert_eq!(
            schedule["chargingSchedulePeriod"],
            json!([
                { "startPeriod": 0, "limit": 100.0, "numberPhases": 3 },
                { "startPeriod": 600, "limit": 10.0, "numberPhases": 3 },
            ])
        );
        asked[place] = 7.into();
        assert_eq!(desk.ask("GetCompositeSchedule", &asked).unwrap()["status"], "Rejected");
    }
}

#[test]
fn the_composite_schedule_tells_no_more_than_the_hardware_can_give() {
    let mut desk = Desk::accepted(Version::V201);
    let told = |desk: &mut Desk| {
        let answer = desk.ask("GetCompositeSchedule", &json!({ "duration": 60, "evseId": 1 })).unwrap();
        answer["schedule"]["chargingSchedulePeriod"][0]["limit"].clone()
    };
    desk.input(Input::StationPower(Watts::new(100_000)));
    assert_eq!(told(&mut desk), 100_000.0);
    let connector = |limit: f64, origin: &str| voltry_bus::Connector {
        evse: 1,
        state: "available".to_owned(),
        since: 0,
        transaction: 0,
        reservation: String::new(),
        limit,
        limit_origin: origin.to_owned(),
    };
    desk.input(Input::Connectors(vec![connector(60_000.0, "hardware")]));
    assert_eq!(told(&mut desk), 60_000.0);
    desk.input(Input::Connectors(vec![connector(7_000.0, "operator")]));
    assert_eq!(told(&mut desk), 60_000.0, "a limit of somebody is no hardware");
}

#[test]
fn profiles_are_cleared_by_what_is_asked_for() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 69_000)]);
        desk.ask("SetChargingProfile", &request).unwrap();
        limits(&mut desk);
        let id = if version == Version::V16 { "id" } else { "chargingProfileId" };
        let unknown = desk.ask("ClearChargingProfile", &json!({ id: 77 })).unwrap();
        assert_eq!(unknown["status"], "Unknown");
        assert_eq!(desk.ask("ClearChargingProfile", &json!({ id: 1 })), accepted());
        assert_eq!(limits(&mut desk), [(1, None)]);
        desk.restart();
        assert_eq!(limits(&mut desk), [(0, None), (1, None)], "{version:?}: on the disk too");
    }
}

#[test]
fn installed_profiles_are_reported_in_parts() {
    let mut desk = Desk::accepted(Version::V201);
    for id in 0..6 {
        let mut request = set(&desk, 1, id, "TxDefaultProfile", &[(0, 1000)]);
        request["chargingProfile"]["stackLevel"] = id.into();
        assert_eq!(desk.ask("SetChargingProfile", &request), accepted());
    }
    let from = desk.calls.len();
    let asked = json!({ "requestId": 5, "chargingProfile": {} });
    assert_eq!(desk.ask("GetChargingProfiles", &asked), accepted());
    desk.answer_all();
    let parts: Vec<&Value> = desk.calls[from..].iter().map(|call| &call.payload).collect();
    let counts: Vec<usize> =
        parts.iter().map(|part| part["chargingProfile"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [4, 2]);
    assert_eq!([&parts[0]["tbc"], &parts[1]["tbc"]], [true, false]);
    assert_eq!(parts[0]["requestId"], 5);
    assert_eq!(parts[0]["chargingLimitSource"], "CSO");
    let sent = set(&desk, 1, 0, "TxDefaultProfile", &[(0, 1000)]);
    let reported = &parts[0]["chargingProfile"][0];
    assert_eq!(reported["chargingProfilePurpose"], sent["chargingProfile"]["chargingProfilePurpose"]);
    assert_eq!(reported["chargingSchedule"][0]["startSchedule"], rfc3339(START));
    let none = json!({ "requestId": 6, "evseId": 0, "chargingProfile": {} });
    assert_eq!(desk.ask("GetChargingProfiles", &none).unwrap()["status"], "NoProfiles");
}

#[test]
fn a_limit_from_elsewhere_is_told_to_the_csms_of_2_0_1_and_its_end_too() {
    let mut desk = Desk::accepted(Version::V201);
    limits(&mut desk);
    let from = desk.calls.len();
    let ems = OtherLimit { evse: 1, origin: "ems".to_owned(), power: Watts::new(11_000) };
    let own = OtherLimit { evse: 1, origin: "csms".to_owned(), power: Watts::new(1_000) };
    desk.input(Input::Limits(vec![ems.clone(), own.clone()]));
    desk.answer_all();
    assert_eq!(limits(&mut desk), [], "the station has it already");
    let composite = desk.ask("GetCompositeSchedule", &json!({ "duration": 60, "evseId": 1 })).unwrap();
    assert_eq!(composite["schedule"]["chargingSchedulePeriod"][0]["limit"], 11_000.0);
    let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 50_000)]);
    assert_eq!(desk.ask("SetChargingProfile", &request), accepted());
    assert_eq!(limits(&mut desk), [(1, Some(50_000.0))], "each says its own");
    desk.input(Input::Limits(vec![ems]));
    desk.input(Input::Limits(vec![own]));
    desk.answer_all();
    let told: Vec<_> = desk.calls[from..].iter().map(|call| (call.action.as_str(), &call.payload)).collect();
    let limit = json!({ "chargingLimit": { "chargingLimitSource": "EMS" }, "evseId": 1 });
    let cleared = json!({ "chargingLimitSource": "EMS", "evseId": 1 });
    assert_eq!(told, [("NotifyChargingLimit", &limit), ("ClearedChargingLimit", &cleared)]);
}

#[test]
fn of_a_limit_from_elsewhere_a_transaction_tells_too() {
    let mut desk = Desk::accepted(Version::V201);
    charge(&mut desk);
    desk.answer_all();
    let from = desk.calls.len();
    let told = |desk: &mut Desk| {
        desk.answer_all();
        let calls = desk.calls[from..].iter().filter(|call| call.action == "TransactionEvent");
        calls
            .map(|call| (call.payload["triggerReason"].clone(), call.payload["seqNo"].clone()))
            .collect::<Vec<_>>()
    };
    // Of the whole station, which is this EVSE's too.
    let so = OtherLimit { evse: 0, origin: "so".to_owned(), power: Watts::new(11_000) };
    desk.input(Input::Limits(vec![so.clone()]));
    let first = told(&mut desk);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].0, "ChargingRateChanged");
    desk.input(Input::Limits(vec![so]));
    assert_eq!(told(&mut desk).len(), 1, "nothing changed");
    desk.input(Input::Limits(Vec::new()));
    let both = told(&mut desk);
    assert_eq!(both[1].0, "ChargingRateChanged");
    assert_eq!(both[1].1.as_i64().unwrap(), both[0].1.as_i64().unwrap() + 1);
}

#[test]
fn without_a_time_of_day_the_lowest_limit_holds_until_the_csms_tells_it() {
    let mut desk = Desk::accepted(Version::V16);
    let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 40_000), (600, 20_000)]);
    desk.ask("SetChargingProfile", &request).unwrap();
    lost(&mut desk);
    desk.clock_set = false;
    desk.restart();
    desk.commands.retain(|(_, command)| matches!(command, Command::Limit { limit: Some(_), .. }));
    assert_eq!(limits(&mut desk).last(), Some(&(1, Some(20_000.0))));
    desk.input(Input::Connected);
    desk.answer_boot("Accepted", 300);
    assert_eq!(limits(&mut desk), [(1, Some(40_000.0))]);
}

#[test]
fn a_clock_that_nobody_has_set_counts_as_none_even_where_it_is_right() {
    let mut desk = Desk::accepted(Version::V201);
    let request = set(&desk, 1, 1, "TxDefaultProfile", &[(0, 40_000), (600, 20_000)]);
    desk.ask("SetChargingProfile", &request).unwrap();
    lost(&mut desk);
    desk.unsynced = true;
    desk.commands.clear();
    desk.restart();
    assert_eq!(limits(&mut desk), [(0, None), (1, Some(20_000.0))]);
    desk.unsynced = false;
    desk.input(Input::Evses(vec![evse(1, "available")]));
    assert_eq!(limits(&mut desk), [(1, Some(40_000.0))]);
}

#[test]
fn what_the_variables_say_is_what_is_accepted() {
    let rules = Rules::default();
    for (key, number) in [
        ("ChargeProfileMaxStackLevel", i64::from(rules.max_stack_level)),
        ("ChargingScheduleMaxPeriods", i64::try_from(rules.max_periods).unwrap()),
        ("MaxChargingProfilesInstalled", i64::try_from(rules.max_profiles).unwrap()),
    ] {
        assert_eq!(find_key(key).unwrap().default, number.to_string(), "{key}");
    }
    assert_eq!(
        find_key("ConnectorSwitch3to1PhaseSupported").unwrap().default,
        rules.phase_switching.to_string()
    );
    let found = find_variable("SmartChargingCtrlr", "Entries", Some("ChargingProfiles"));
    assert!(matches!(found, voltry_ocpp::model::Found::Variable(_)));
}
