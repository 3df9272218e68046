//! Starts that the CSMS asks for, where the cable has begun a transaction of 2.0.1 already.

use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::Outcome;

use crate::desk::Desk;

/// A transaction that the cable has begun, and its id.
fn begun_by_cable(desk: &mut Desk) -> Value {
    desk.happens(Kind::Plugged, 0);
    let id = desk.open().unwrap().payload["transactionInfo"]["transactionId"].clone();
    desk.answer_all();
    id
}

#[test]
fn a_request_to_start_is_told_of_the_transaction_that_the_cable_has_begun() {
    for (authorize, place) in [("false", json!(1)), ("true", json!(1)), ("false", json!(null))] {
        let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "EVConnected");
        assert!(desk.set("AuthCtrlr", "AuthorizeRemoteStart", authorize).is_ok());
        let before = desk.calls.len();
        let id = begun_by_cable(&mut desk);
        let mut asked = json!({ "remoteStartId": 9, "idToken": { "idToken": "APP", "type": "Central" } });
        if !place.is_null() {
            asked["evseId"] = place;
        }
        let answer = desk.ask("RequestStartTransaction", &asked);
        let answer = answer.unwrap_or_else(|_| desk.done(Outcome::Done).unwrap().unwrap());
        assert_eq!(answer, json!({ "status": "Accepted", "transactionId": id }), "{authorize}");
        desk.answer_all();
        desk.remote_start = Some(9);
        desk.happens(Kind::Authorized, 0);
        desk.happens(Kind::Started, 0);
        desk.answer_all();
        let events = desk.calls[before..].iter().filter(|call| call.action == "TransactionEvent");
        let told = |key: &str| events.clone().map(|call| call.payload[key].clone()).collect::<Vec<_>>();
        assert_eq!(told("triggerReason"), ["CablePluggedIn", "RemoteStart", "ChargingStateChanged"]);
        let numbers: Vec<Value> =
            told("transactionInfo").iter().map(|info| info["remoteStartId"].clone()).collect();
        assert_eq!(numbers, [json!(null), json!(9), json!(null)], "once");
        // Whoever was let in is not asked for again.
        let again = desk.ask("RequestStartTransaction", &asked).unwrap_or_default();
        assert_eq!(again.get("transactionId"), None);
    }
    let mut desk = Desk::accepted(Version::V201);
    desk.happens(Kind::Plugged, 0);
    let asked =
        json!({ "remoteStartId": 9, "evseId": 1, "idToken": { "idToken": "APP", "type": "Central" } });
    assert!(desk.ask("RequestStartTransaction", &asked).is_err());
    assert_eq!(desk.done(Outcome::Done), Some(Ok(json!({ "status": "Accepted" }))));
}

#[test]
fn a_request_to_start_that_the_station_refuses_names_no_transaction() {
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "EVConnected");
    begun_by_cable(&mut desk);
    let asked =
        json!({ "remoteStartId": 9, "evseId": 1, "idToken": { "idToken": "APP", "type": "Central" } });
    assert!(desk.ask("RequestStartTransaction", &asked).is_err());
    let answer = desk.done(Outcome::Refused("taken".to_owned())).unwrap().unwrap();
    assert_eq!((&answer["status"], answer.get("transactionId")), (&json!("Rejected"), None));
}
