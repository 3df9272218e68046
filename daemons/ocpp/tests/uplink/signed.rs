//! What a meter signs of a transaction, on its way to the CSMS (2.0.1, J02 and J03).

use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::transactions::{Kind, SIGNED_MAX, Signed};

use crate::desk::Desk;

fn set(desk: &mut Desk, component: &str, variable: &str, value: &str) {
    let answer = desk.set(component, variable, value).unwrap();
    assert_eq!(answer["setVariableResult"][0]["attributeStatus"], "Accepted");
}

/// The signed values of a charge, with the contexts of their readings.
fn charged(desk: &mut Desk) -> Vec<(String, Value)> {
    let before = desk.calls.len();
    desk.charge(0);
    desk.answer_all();
    let events = desk.calls[before..].iter().filter(|call| call.action == "TransactionEvent");
    let values = events.flat_map(|call| call.payload["meterValue"].as_array().cloned().unwrap_or_default());
    let sampled = values.flat_map(|value| value["sampledValue"].as_array().cloned().unwrap_or_default());
    let signed = sampled.filter(|one| one.get("signedMeterValue").is_some());
    signed
        .map(|one| {
            assert_eq!(one["measurand"], "Energy.Active.Import.Register");
            (one["context"].as_str().unwrap().to_owned(), one["signedMeterValue"].clone())
        })
        .collect()
}

#[test]
fn what_the_meter_signs_goes_to_the_csms_where_it_wants_it_with_the_key_as_often_as_it_wants() {
    let mut desk = Desk::accepted(Version::V201);
    let signed =
        Signed { data: "OCMF|{}|{}".to_owned(), format: "OCMF".to_owned(), public_key: "a key".to_owned() };
    desk.signed = Some(Box::new(signed));
    assert!(charged(&mut desk).is_empty(), "it has not asked for it");
    set(&mut desk, "SampledDataCtrlr", "SignReadings", "true");
    let value = |key: &str| {
        json!({ "signedMeterData": "T0NNRnx7fXx7fQ==", "signingMethod": "", "encodingMethod": "OCMF",
            "publicKey": key })
    };
    let (with, without) = (value("YSBrZXk="), value(""));
    for (words, begin, end) in [
        ("OncePerTransaction", &with, &without),
        ("EveryMeterValue", &with, &with),
        ("Never", &without, &without),
    ] {
        set(&mut desk, "OCPPCommCtrlr", "PublicKeyWithSignedMeterValue", words);
        let expected =
            [("Transaction.Begin".to_owned(), begin.clone()), ("Transaction.End".to_owned(), end.clone())];
        assert_eq!(charged(&mut desk), expected, "{words}");
    }
}

#[test]
fn the_longest_that_a_meter_may_sign_is_what_the_message_carries() {
    let mut desk = Desk::accepted(Version::V201);
    set(&mut desk, "SampledDataCtrlr", "SignReadings", "true");
    let long = "x".repeat(SIGNED_MAX);
    let signed = Signed { data: long.clone(), format: "OCMF".to_owned(), public_key: long };
    desk.signed = Some(Box::new(signed));
    // Each CALL is held to its schema.
    let told = charged(&mut desk);
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].1["signedMeterData"].as_str().unwrap().len(), 2500);
}

#[test]
fn a_transaction_begins_when_the_start_value_is_signed_where_that_is_the_start_point() {
    let signed =
        Signed { data: "OCMF|{}|{}".to_owned(), format: "OCMF".to_owned(), public_key: "a key".to_owned() };
    for (signed, trigger) in [(Some(Box::new(signed)), "SignedDataReceived"), (None, "Authorized")] {
        let mut desk = Desk::accepted(Version::V201);
        set(&mut desk, "TxCtrlr", "TxStartPoint", "DataSigned");
        set(&mut desk, "SampledDataCtrlr", "SignReadings", "true");
        desk.signed = signed;
        let before = desk.calls.len();
        desk.charge(0);
        desk.answer_all();
        let events: Vec<_> =
            desk.calls[before..].iter().filter(|call| call.action == "TransactionEvent").collect();
        let ([first, .., last], started) = (&events[..], &desk.book[2]) else { panic!("{events:?}") };
        assert_eq!((started.kind, started.signed.is_some()), (Kind::Started, desk.signed.is_some()));
        assert_eq!(
            (&first.payload["eventType"], &first.payload["triggerReason"]),
            (&json!("Started"), &json!(trigger))
        );
        assert_eq!(last.payload["eventType"], "Ended");
        let value = &first.payload["meterValue"][0]["sampledValue"][0];
        assert_eq!(value["measurand"], "Energy.Active.Import.Register");
        assert_eq!(value.get("signedMeterValue").is_some(), desk.signed.is_some(), "{value}");
    }
}

#[test]
fn nothing_ends_by_what_was_signed() {
    let mut desk = Desk::accepted(Version::V201);
    let answer = desk.set("TxCtrlr", "TxStopPoint", "DataSigned").unwrap();
    assert_eq!(answer["setVariableResult"][0]["attributeStatus"], "Rejected");
}
