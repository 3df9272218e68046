//! What meters say on the marks of the clock where nobody charges.

use serde_json::json;
use voltry_ocpp::Version;
use voltry_ocpp::time::rfc3339;
use voltry_ocpp::transactions::{Kind, Sample};
use voltry_ocpp::uplink::{Command, Input, Outcome};

use crate::desk::{Desk, START, evse, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

/// Answers the meters that are being read; how many.
fn meters_read(desk: &mut Desk) -> usize {
    let asked = std::mem::take(&mut desk.commands);
    let tickets = asked.into_iter().filter(|(_, command)| *command == Command::ReadMeter { evse: 1 });
    let tickets: Vec<u64> = tickets.map(|(ticket, _)| ticket).collect();
    for ticket in &tickets {
        let sample = Sample { unix: 1, register: Some(1_234_500), ..Sample::default() };
        desk.input(Input::Done { ticket: *ticket, outcome: Outcome::Metered(sample) });
    }
    tickets.len()
}

/// Minutes from mark to mark; the first is 20 s after the start.
fn desk(version: Version) -> Desk {
    Desk::configured(version, "ClockAlignedDataInterval", "60")
}

#[test]
fn a_meter_where_nobody_charges_is_told_exactly_on_the_mark() {
    for version in BOTH {
        let mut desk = desk(version);
        desk.pass(19);
        assert_eq!(meters_read(&mut desk), 0);
        desk.pass(1);
        assert_eq!(meters_read(&mut desk), 1);
        let told = desk.open().unwrap();
        assert_eq!(told.action, "MeterValues");
        assert!(told.payload.get("transactionId").is_none());
        let place = if version == Version::V16 { "connectorId" } else { "evseId" };
        assert_eq!(told.payload[place], 1);
        let value = &told.payload["meterValue"][0];
        assert_eq!(value["timestamp"], rfc3339(START + 20_000_000));
        assert_eq!(value["sampledValue"][0]["context"], "Sample.Clock");
        let register = if version == Version::V16 { json!("1234.5") } else { json!(1234.5) };
        assert_eq!(value["sampledValue"][0]["value"], register);
        desk.answer_all();
        desk.pass(60);
        assert_eq!(meters_read(&mut desk), 1);
    }
}

#[test]
fn where_somebody_charges_the_book_has_it_and_nobody_else() {
    let mut desk = desk(Version::V201);
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    let mut running = evse(1, "charging");
    running.transaction = 1;
    desk.input(Input::Evses(vec![running]));
    desk.answer_all();
    desk.commands.clear();
    desk.pass(60);
    assert_eq!(meters_read(&mut desk), 0);
}

#[test]
fn of_a_long_outage_some_are_told_in_order_with_the_first_and_the_last() {
    for version in BOTH {
        let mut desk = desk(version);
        lost(&mut desk);
        desk.pass(20);
        for _ in 0..1000 {
            assert_eq!(meters_read(&mut desk), 1);
            desk.pass(60);
        }
        let before = desk.calls.len();
        desk.input(Input::Connected);
        desk.answer_all();
        let messages = desk.calls[before..].iter().filter(|call| call.action == "MeterValues");
        let times: Vec<String> = messages
            .flat_map(|call| call.payload["meterValue"].as_array().unwrap().clone())
            .map(|value| value["timestamp"].as_str().unwrap().to_owned())
            .collect();
        assert!((30..100).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
        assert_eq!(times[0], rfc3339(START + 20_000_000));
        assert_eq!(times.last().unwrap(), &rfc3339(START + (20 + 999 * 60) * 1_000_000));
    }
}

#[test]
fn a_stop_has_the_values_of_the_marks_that_are_wanted_in_it() {
    let mut desk = Desk::configured(Version::V16, "StopTxnAlignedData", "Energy.Active.Import.Register");
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    desk.occasion = voltry_ocpp::transactions::Occasion::Clock;
    desk.happens(Kind::Reading, 300);
    desk.happens(Kind::Ended, 1000);
    desk.answer_all();
    let stop = desk.calls.iter().find(|call| call.action == "StopTransaction").unwrap();
    let values = stop.payload["transactionData"].as_array().unwrap();
    assert_eq!(values.len(), 1, "{values:?}");
    assert_eq!(values[0]["sampledValue"][0]["context"], "Sample.Clock");
    assert_eq!(values[0]["sampledValue"][0]["value"], "300");
}

#[test]
fn a_meter_where_nobody_charges_is_read_when_the_csms_asks() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.commands.clear();
        let asked = match version {
            Version::V16 => json!({ "requestedMessage": "MeterValues", "connectorId": 1 }),
            Version::V201 => json!({ "requestedMessage": "MeterValues", "evse": { "id": 1 } }),
        };
        assert_eq!(desk.ask("TriggerMessage", &asked).unwrap()["status"], "Accepted");
        assert!(desk.open().is_none(), "the meter is read first");
        assert_eq!(meters_read(&mut desk), 1);
        let told = desk.open().unwrap();
        assert_eq!(told.action, "MeterValues");
        let value = &told.payload["meterValue"][0]["sampledValue"][0];
        assert_eq!(
            (&value["measurand"], &value["context"]),
            (&json!("Energy.Active.Import.Register"), &json!("Trigger"))
        );
        let wh = if version == Version::V16 { json!("1234.5") } else { json!(1234.5) };
        assert_eq!(value["value"], wh, "{value}");
        desk.answer_all();
        // A meter that is away leaves what the EVSE measures.
        let mut desk = Desk::accepted(version);
        desk.ask("TriggerMessage", &asked).unwrap();
        desk.done(Outcome::Silent);
        let told = desk.open().unwrap();
        assert_eq!(told.action, "MeterValues");
        assert_ne!(
            told.payload["meterValue"][0]["sampledValue"][0]["measurand"],
            "Energy.Active.Import.Register"
        );
    }
}
