//! What the CSMS asks before the station's daemon has told of its EVSEs.

use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::uplink::{Command, Input};
use voltry_units::Watts;

use crate::desk::{Desk, evse, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

/// A limit of 20 kW at EVSE 1, and what asks for the composite schedule there.
fn requests(version: Version) -> (Value, Value) {
    let mut schedule = json!({
        "chargingRateUnit": "W",
        "chargingSchedulePeriod": [{ "startPeriod": 0, "limit": 20_000 }],
    });
    let mut profile = json!({
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
    });
    match version {
        Version::V16 => {
            profile["chargingProfileId"] = 1.into();
            profile["chargingSchedule"] = schedule;
            (
                json!({ "connectorId": 1, "csChargingProfiles": profile }),
                json!({ "connectorId": 1, "duration": 60 }),
            )
        }
        Version::V201 => {
            schedule["id"] = 1.into();
            profile["id"] = 1.into();
            profile["chargingSchedule"] = json!([schedule]);
            (json!({ "evseId": 1, "chargingProfile": profile }), json!({ "evseId": 1, "duration": 60 }))
        }
    }
}

fn answers(desk: &Desk) -> Vec<&str> {
    desk.replies.iter().map(|(_, answer)| answer.as_ref().unwrap()["status"].as_str().unwrap()).collect()
}

#[test]
fn a_profile_that_comes_before_the_station_is_answered_after_it_and_holds() {
    for version in BOTH {
        let mut desk = Desk::without_station(version, &[]).accept();
        let (set, get) = requests(version);
        assert_eq!(desk.ask("SetChargingProfile", &set), Err("nothing yet".to_owned()));
        assert_eq!(desk.ask("GetCompositeSchedule", &get), Err("nothing yet".to_owned()));
        desk.pass(3);
        desk.input(Input::StationPower(Watts::new(90_000)));
        desk.input(Input::Evses(vec![evse(1, "starting")]));
        desk.seen("unavailable");
        assert_eq!(answers(&desk), ["Accepted"], "what it can give is not known yet");
        desk.input(Input::Evses(vec![evse(1, "available")]));
        desk.seen("available");
        assert_eq!(answers(&desk), ["Accepted", "Accepted"]);
        let composite = desk.replies[1].1.as_ref().unwrap();
        let schedule = composite.get("schedule").or_else(|| composite.get("chargingSchedule")).unwrap();
        assert_eq!(schedule["chargingSchedulePeriod"][0]["limit"], 20_000.0, "{version:?}");
        let limit = Some(Watts::new(20_000));
        let told = desk.commands.iter().any(|(_, command)| *command == Command::Limit { evse: 1, limit });
        assert!(told, "{version:?}: the station is told");
    }
}

#[test]
fn a_station_that_does_not_come_is_not_waited_for_for_ever() {
    for version in BOTH {
        let mut desk = Desk::without_station(version, &[]).accept();
        let (set, _) = requests(version);
        assert_eq!(desk.ask("SetChargingProfile", &set), Err("nothing yet".to_owned()));
        desk.pass(9);
        assert_eq!(answers(&desk), [""; 0]);
        desk.pass(1);
        assert_eq!(answers(&desk), ["Rejected"]);
        assert_eq!(desk.ask("SetChargingProfile", &set).unwrap()["status"], "Rejected", "and not again");
    }
}

#[test]
fn what_was_asked_over_a_connection_that_is_gone_is_not_answered_over_the_next() {
    let mut desk = Desk::without_station(Version::V201, &[]).accept();
    let (set, _) = requests(Version::V201);
    assert_eq!(desk.ask("SetChargingProfile", &set), Err("nothing yet".to_owned()));
    lost(&mut desk);
    desk.input(Input::Connected);
    desk.input(Input::Evses(vec![evse(1, "available")]));
    assert_eq!(answers(&desk), [""; 0]);
}
