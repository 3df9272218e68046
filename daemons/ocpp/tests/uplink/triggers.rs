//! What the CSMS asks to be told.

use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::Input;

use crate::desk::{Desk, lost};

#[test]
fn a_boot_of_a_station_that_is_accepted_and_the_status_of_no_connector_are_not_triggered_in_2_0_1() {
    let mut desk = Desk::accepted(Version::V201);
    let before = desk.calls.len();
    for asked in [
        json!({ "requestedMessage": "BootNotification" }),
        json!({ "requestedMessage": "StatusNotification" }),
        json!({ "requestedMessage": "StatusNotification", "evse": { "id": 1 } }),
        json!({ "requestedMessage": "StatusNotification", "evse": { "id": 1, "connectorId": 2 } }),
    ] {
        assert_eq!(desk.ask("TriggerMessage", &asked).unwrap()["status"], "Rejected", "{asked}");
    }
    assert_eq!(desk.calls.len(), before);
    // 1.6 boots again, and tells of all connectors where none is named.
    let mut desk = Desk::accepted(Version::V16);
    let before = desk.calls.len();
    let status = json!({ "requestedMessage": "StatusNotification" });
    assert_eq!(desk.ask("TriggerMessage", &status), Ok(json!({ "status": "Accepted" })));
    desk.answer_all();
    assert_eq!(desk.actions(before), ["StatusNotification"; 2]);
    let boot = json!({ "requestedMessage": "BootNotification" });
    assert_eq!(desk.ask("TriggerMessage", &boot), Ok(json!({ "status": "Accepted" })));
    assert_eq!(desk.open().unwrap().action, "BootNotification");
}

/// The state that a transaction is told in that is asked for.
fn triggered_state(desk: &mut Desk) -> Value {
    desk.answer_all();
    let asked = json!({ "requestedMessage": "TransactionEvent", "evse": { "id": 1 } });
    assert_eq!(desk.ask("TriggerMessage", &asked).unwrap()["status"], "Accepted");
    let told = desk.open().unwrap().payload.clone();
    assert_eq!(told["triggerReason"], "Trigger");
    desk.answer_all();
    told["transactionInfo"]["chargingState"].clone()
}

#[test]
fn a_transaction_that_is_asked_for_tells_its_charging_state() {
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "EVConnected");
    let mut told = Vec::new();
    for kind in [
        Kind::Plugged,
        Kind::Authorized,
        Kind::Started,
        Kind::Charging,
        Kind::Reading,
        Kind::SuspendedEv,
        Kind::Reading,
        Kind::SuspendedEvse,
        Kind::Charging,
        Kind::SuspendedEv,
    ] {
        desk.happens(kind, 0);
        told.push(triggered_state(&mut desk));
    }
    let wanted = [
        "EVConnected",
        "EVConnected",
        "EVConnected",
        "Charging",
        "Charging",
        "SuspendedEV",
        "SuspendedEV",
        "SuspendedEVSE",
        "Charging",
        "SuspendedEV",
    ];
    assert_eq!(told, wanted);
    desk.restart();
    desk.answered = desk.calls.len();
    desk.input(Input::Connected);
    desk.answer_boot("Accepted", 300);
    assert_eq!(triggered_state(&mut desk), "SuspendedEV", "through a restart too");
    // A driver who was let in, and whose cable is waited for.
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "Authorized");
    desk.happens(Kind::Authorized, 0);
    assert_eq!(triggered_state(&mut desk), "Idle");
}

#[test]
fn a_transaction_that_is_over_before_its_turn_comes_takes_nothing_from_the_next() {
    let mut desk = Desk::accepted(Version::V201);
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    desk.answer_all();
    lost(&mut desk);
    let before = desk.calls.len();
    desk.happens(Kind::Reading, 500);
    for kind in [Kind::Ended, Kind::Unplugged, Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 1000);
    }
    desk.input(Input::Connected);
    // By what was read of the book the first one runs.
    let asked = json!({ "requestedMessage": "TransactionEvent", "evse": { "id": 1 } });
    assert_eq!(desk.ask("TriggerMessage", &asked).unwrap()["status"], "Accepted");
    desk.answer_all();
    desk.happens(Kind::Ended, 2000);
    desk.answer_all();
    let events = desk.calls[before..].iter().filter(|call| call.action == "TransactionEvent");
    let told: Vec<_> = events.map(|call| call.payload["eventType"].as_str().unwrap()).collect();
    assert_eq!(told, ["Updated", "Ended", "Started", "Ended"]);
}
