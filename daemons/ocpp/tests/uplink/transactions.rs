//! Transactions: every one, once, in order, whatever goes wrong.

use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::transactions::{Kind, Reason};
use voltry_ocpp::uplink::Input;

use crate::desk::{Call, Desk, lost};

pub(crate) const BOTH: [Version; 2] = [Version::V16, Version::V201];

/// The transaction messages, oldest first, without repetitions of the same CALL.
pub(crate) fn told(desk: &Desk) -> Vec<Call> {
    let mut told: Vec<Call> = Vec::new();
    let of_transactions = ["StartTransaction", "MeterValues", "StopTransaction", "TransactionEvent"];
    for call in desk.calls.iter().filter(|call| of_transactions.contains(&call.action.as_str())) {
        match told.iter().find(|known| known.id == call.id) {
            Some(known) => assert_eq!(known, call, "the same id is the same message"),
            None => told.push(call.clone()),
        }
    }
    told
}

pub(crate) fn kinds(told: &[Call]) -> Vec<String> {
    let kind = |call: &Call| call.payload["eventType"].as_str().unwrap_or(&call.action).to_owned();
    told.iter().map(kind).collect()
}

pub(crate) fn whole(version: Version) -> Vec<&'static str> {
    match version {
        Version::V16 => vec!["StartTransaction", "MeterValues", "MeterValues", "StopTransaction"],
        Version::V201 => vec!["Started", "Updated", "Updated", "Updated", "Ended"],
    }
}

/// What was charged, by what the CSMS was told.
pub(crate) fn bill(told: &[Call]) -> i64 {
    let value = |call: &Call| call.payload["meterValue"][0]["sampledValue"][0]["value"].as_f64();
    let mut wh = 0;
    for call in told {
        let register = match call.action.as_str() {
            "StartTransaction" => call.payload["meterStart"].as_i64(),
            "StopTransaction" => call.payload["meterStop"].as_i64(),
            #[allow(clippy::cast_possible_truncation)]
            _ => value(call).map(|value| value as i64),
        };
        match (call.action.as_str(), call.payload["eventType"].as_str()) {
            ("StartTransaction", _) | (_, Some("Started")) => wh -= register.unwrap(),
            ("StopTransaction", _) | (_, Some("Ended")) => wh += register.unwrap(),
            _ => {}
        }
    }
    wh
}

#[test]
fn a_charge_is_told_as_it_happens() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.charge(5000);
        desk.answer_all();
        let told = told(&desk);
        assert_eq!(kinds(&told), whole(version));
        assert_eq!(bill(&told), 1000);
        assert_eq!(desk.acknowledged, desk.book.len() as u64);
    }
}

#[test]
fn what_came_back_from_the_vehicle_is_told_with_each_reading_and_is_in_no_bill() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.exported = Some(70_500);
        desk.charge(5000);
        desk.answer_all();
        let told = told(&desk);
        assert_eq!(bill(&told), 1000);
        let names = |call: &&Call| call.payload["meterValue"].to_string().contains("Active.Import.Register");
        let readings: Vec<&Call> = told.iter().filter(names).collect();
        assert_eq!(readings.len(), if version == Version::V16 { 2 } else { 4 });
        for reading in readings {
            let values = reading.payload["meterValue"][0]["sampledValue"].as_array().unwrap();
            let back = values.iter().find(|value| value["measurand"] == "Energy.Active.Export.Register");
            let back = &back.unwrap()["value"];
            assert!(*back == 70.5 || *back == "70.5", "{back}");
        }
    }
}

#[test]
fn a_whole_charge_in_an_outage_is_told_afterwards_with_the_right_number() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        lost(&mut desk);
        desk.charge(5000);
        desk.charge(6000);
        desk.input(Input::Connected);
        desk.answer_all();
        let told = told(&desk);
        assert_eq!(kinds(&told), [whole(version), whole(version)].concat());
        assert_eq!(bill(&told), 2000);
        match version {
            Version::V16 => {
                let numbers: Vec<i64> =
                    told.iter().filter_map(|call| call.payload["transactionId"].as_i64()).collect();
                assert_eq!(numbers.len(), 6);
                assert!(numbers.iter().all(|number| *number > 0), "no -1 ever leaves: {numbers:?}");
                assert_ne!(numbers[0], numbers[5]);
            }
            Version::V201 => {
                assert!(told.iter().all(|call| call.payload["offline"] == true));
                let seq: Vec<i64> = told.iter().map(|call| call.payload["seqNo"].as_i64().unwrap()).collect();
                assert_eq!(seq, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
                let id = |place: usize| &told[place].payload["transactionInfo"]["transactionId"];
                assert_eq!(id(0), id(4));
                assert_ne!(id(4), id(5));
            }
        }
    }
}

#[test]
fn what_the_csms_did_not_answer_before_an_outage_goes_out_again_with_its_id() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.charge(0);
        let first = desk.open().unwrap().clone();
        lost(&mut desk);
        desk.input(Input::Connected);
        assert_eq!(desk.open(), Some(&first));
        desk.answer_all();
        assert_eq!(kinds(&told(&desk)), whole(version));
    }
}

#[test]
fn a_message_that_is_not_answered_in_time_is_repeated_on_a_new_connection_alone() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.charge(0);
        let first = desk.open().unwrap().clone();
        let before = desk.calls.len();
        desk.input(Input::Unanswered { id: first.id.clone() });
        desk.answered = desk.calls.len().min(before);
        assert_eq!(desk.reconnects, 1);
        lost(&mut desk);
        desk.input(Input::Connected);
        assert_eq!(desk.calls.last(), Some(&first));
        desk.answered = desk.calls.len() - 1;
        // The answer to the first try comes late, then the second one: one of them counts.
        desk.answer_all();
        assert_eq!(kinds(&told(&desk)), whole(version));
    }
}

/// The CSMS answers everything but one message, the oldest, for so long; the station dials again
/// whenever it gave up waiting.
fn silence(desk: &mut Desk, hours: u64) -> Call {
    let first = desk.open().unwrap().clone();
    let end = desk.seconds + hours * 3600;
    let mut tries = 0;
    while desk.seconds < end {
        while let Some(call) = desk.open().cloned() {
            if call.id == first.id {
                tries += 1;
                desk.seconds += 30;
                desk.input(Input::Unanswered { id: call.id });
                lost(desk);
                desk.input(Input::Connected);
            } else if told(desk).iter().all(|known| known.id != call.id) {
                desk.answer(json!({ "currentTime": "2026-11-26T00:00:00Z" }));
            } else {
                return first;
            }
        }
        desk.pass(60);
    }
    println!("{tries} tries in {hours} h");
    assert!((100..20 * hours).contains(&tries), "{tries} tries");
    first
}

#[test]
fn a_csms_that_is_silent_to_transactions_for_hours_hears_them_all_afterwards() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.charge(0);
        let first = silence(&mut desk, 23);
        assert!(desk.store.aside().unwrap().is_empty());
        desk.pass(300);
        let again = desk.calls[desk.answered..].iter().find(|call| call.id == first.id);
        assert_eq!(again, Some(&first), "it goes out again, as it was");
        desk.answer_all();
        assert_eq!(kinds(&told(&desk)), whole(version));
        assert_eq!((bill(&told(&desk)), desk.acknowledged), (1000, desk.book.len() as u64));
    }
}

#[test]
fn a_message_to_which_a_csms_says_nothing_for_a_day_holds_the_others_up_no_longer() {
    let mut desk = Desk::accepted(Version::V201);
    desk.charge(0);
    silence(&mut desk, 25);
    assert_eq!(desk.store.aside().unwrap().len(), 1, "it is kept for a person");
    desk.answer_all();
    assert_eq!(kinds(&told(&desk)), whole(Version::V201));
    assert_eq!(desk.acknowledged, desk.book.len() as u64);
}

#[test]
fn the_machine_may_die_at_any_instant() {
    for version in BOTH {
        // As many as a charge has, answered and not.
        for step in 0..12 {
            let mut desk = Desk::accepted(version);
            desk.charge(3000);
            let mut alive = step;
            while let Some(call) = desk.open().cloned() {
                if alive == 0 {
                    break;
                }
                alive -= 1;
                match call.action.as_str() {
                    "StartTransaction" => {
                        desk.answer(json!({ "transactionId": 77, "idTagInfo": { "status": "Accepted" } }));
                    }
                    _ => desk.answer(json!({})),
                }
            }
            desk.restart();
            desk.answered = desk.calls.len();
            desk.charge(4000);
            desk.input(Input::Connected);
            desk.answer_boot("Accepted", 300);
            desk.answer_all();
            let told = told(&desk);
            assert_eq!(kinds(&told), [whole(version), whole(version)].concat(), "{version:?} after {step}");
            assert_eq!(bill(&told), 2000);
            if version == Version::V16 && step > 0 {
                assert_eq!(told[3].payload["transactionId"], 77, "the number outlives the daemon");
            }
        }
    }
}

#[test]
fn a_stop_that_was_answered_is_not_sent_again_after_a_boot() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.charge(0);
        desk.answer_all();
        let before = desk.calls.len();
        for _ in 0..3 {
            desk.restart();
            desk.answered = desk.calls.len();
            desk.input(Input::Connected);
            desk.answer_boot("Accepted", 300);
            desk.answer_all();
        }
        let again: Vec<_> = desk.actions(before);
        assert!(
            again.iter().all(|action| matches!(*action, "BootNotification" | "StatusNotification")),
            "{again:?}"
        );
    }
}

#[test]
fn a_message_that_is_refused_is_tried_again_later_each_time_and_then_set_aside() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        desk.charge(0);
        let before = desk.calls.len();
        for attempt in 1..=5_u64 {
            assert!(desk.open().is_some(), "attempt {attempt}");
            desk.answer_error("InternalError");
            desk.pass(10 * attempt - 1);
            assert!(attempt == 5 || desk.open().is_none(), "attempt {attempt} waits");
            desk.pass(1);
        }
        desk.answer_all();
        let ids: Vec<&String> = desk.calls[before - 1..before + 4].iter().map(|call| &call.id).collect();
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an answered CALL is over: {ids:?}");
        let aside = desk.store.aside().unwrap();
        match version {
            // Without the start nothing of its transaction can be told; it is kept for a person.
            Version::V16 => assert_eq!(aside.len(), 4, "{aside:?}"),
            Version::V201 => assert_eq!(aside.len(), 1, "{aside:?}"),
        }
        assert_eq!(desk.acknowledged, desk.book.len() as u64, "nothing is stuck");
    }
}

#[test]
fn a_thousand_charges_of_an_outage_come_in_order_and_none_is_lost() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        lost(&mut desk);
        for number in 0..250 {
            desk.charge(number * 1000);
        }
        desk.input(Input::Connected);
        desk.answer_all();
        let told = told(&desk);
        assert_eq!(told.len(), 250 * whole(version).len());
        assert_eq!(bill(&told), 250_000);
        let times: Vec<&str> = told.iter().filter_map(|call| call.payload["timestamp"].as_str()).collect();
        assert!(times.is_sorted());
    }
}

#[test]
fn where_the_authorization_ends_a_transaction_the_trigger_says_who_ended_it() {
    for (reason, trigger) in [
        (Reason::Local, "StopAuthorized"),
        (Reason::Remote, "RemoteStop"),
        (Reason::DeAuthorized, "Deauthorized"),
    ] {
        let mut desk = Desk::accepted(Version::V201);
        let stop_point = json!({ "setVariableData": [{
            "component": { "name": "TxCtrlr" },
            "variable": { "name": "TxStopPoint" },
            "attributeValue": "Authorized",
        }] });
        assert!(desk.ask("SetVariables", &stop_point).is_ok());
        for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
            desk.happens(kind, 0);
        }
        desk.answer_all();
        desk.reason = Some(reason);
        desk.happens(Kind::Deauthorized, 0);
        let ended = &desk.open().unwrap().payload;
        assert_eq!((&ended["eventType"], &ended["triggerReason"]), (&json!("Ended"), &json!(trigger)));
    }
}

#[test]
fn where_the_plug_is_pulled_the_end_says_that_nothing_is_connected() {
    let mut desk = Desk::accepted(Version::V201);
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Charging] {
        desk.happens(kind, 0);
    }
    desk.reason = Some(Reason::EVDisconnected);
    desk.happens(Kind::Ended, 100);
    desk.answer_all();
    let end = told(&desk).into_iter().next_back().unwrap();
    let info = &end.payload["transactionInfo"];
    assert_eq!((&info["stoppedReason"], &info["chargingState"]), (&json!("EVDisconnected"), &json!("Idle")));
}

#[test]
fn long_stop_data_is_thinned_and_keeps_its_first_and_last() {
    let mut desk = Desk::accepted(Version::V16);
    let key = json!({ "key": "StopTxnSampledData", "value": "Energy.Active.Import.Register" });
    assert_eq!(desk.ask("ChangeConfiguration", &key), Ok(json!({ "status": "Accepted" })));
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 100);
    }
    for number in 0..5000 {
        desk.happens(Kind::Reading, 100 + number);
        desk.answer_all();
    }
    desk.happens(Kind::Ended, 9000);
    desk.answer_all();
    let stop = desk.calls.last().unwrap();
    assert_eq!(stop.action, "StopTransaction");
    let data = stop.payload["transactionData"].as_array().unwrap();
    let values: Vec<&str> =
        data.iter().map(|value| value["sampledValue"][0]["value"].as_str().unwrap()).collect();
    assert!((20..=41).contains(&values.len()), "{}", values.len());
    assert_eq!((values[0], values[values.len() - 1]), ("100", "9000"));
    let context = |value: &Value| value["sampledValue"][0]["context"].clone();
    assert_eq!(
        (context(&data[0]), context(&data[data.len() - 1])),
        (json!("Transaction.Begin"), json!("Transaction.End"))
    );
    assert!(stop.payload.to_string().len() < 16_384);
}

#[test]
fn start_and_stop_points_decide_where_a_transaction_begins_and_ends() {
    for (start, stop, wanted) in [
        ("PowerPathClosed", "EVConnected,PowerPathClosed", whole(Version::V201)),
        // Plugged, authorized, started, charging, two readings, ended, unplugged.
        (
            "EVConnected",
            "EVConnected",
            ["Started", "Updated", "Updated", "Updated", "Updated", "Updated", "Updated", "Ended"].to_vec(),
        ),
        (
            "Authorized",
            "Authorized",
            ["Started", "Updated", "Updated", "Updated", "Updated", "Ended"].to_vec(),
        ),
        ("EnergyTransfer", "EnergyTransfer", ["Started", "Updated", "Updated", "Ended"].to_vec()),
    ] {
        let mut desk = Desk::accepted(Version::V201);
        let variable = |name: &str, value: &str| json!({ "component": { "name": "TxCtrlr" }, "variable": { "name": name }, "attributeValue": value });
        let data =
            json!({ "setVariableData": [variable("TxStartPoint", start), variable("TxStopPoint", stop)] });
        let answer = desk.ask("SetVariables", &data).unwrap();
        assert_eq!(answer["setVariableResult"][1]["attributeStatus"], "Accepted", "{answer}");
        desk.charge(0);
        desk.answer_all();
        let told = told(&desk);
        assert_eq!(kinds(&told), wanted, "{start} to {stop}");
        assert_eq!(bill(&told), 1000);
        assert_eq!(told.iter().filter(|call| call.payload.get("evse").is_some()).count(), 1);
    }
}

#[test]
fn who_ended_a_transaction_by_a_token_is_named_and_nobody_where_nobody_did() {
    for version in [Version::V16, Version::V201] {
        for (reason, named) in [(Reason::Local, Some("FAMILY-2")), (Reason::Remote, None)] {
            let mut desk = Desk::accepted(version);
            for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
                desk.happens(kind, 0);
            }
            desk.reason = Some(reason);
            desk.card.id = "FAMILY-2".to_owned();
            for kind in [Kind::Deauthorized, Kind::Ended] {
                desk.happens(kind, 500);
            }
            desk.answer_all();
            let ends = told(&desk).into_iter().filter(|call| match version {
                Version::V16 => call.action == "StopTransaction",
                Version::V201 => call.payload["eventType"] == "Ended",
            });
            let [end] = &ends.collect::<Vec<_>>()[..] else { panic!() };
            let whose = match version {
                Version::V16 => end.payload["idTag"].as_str(),
                Version::V201 => end.payload["idToken"]["idToken"].as_str(),
            };
            assert_eq!(whose, named, "{version:?} {reason:?}");
        }
    }
}
