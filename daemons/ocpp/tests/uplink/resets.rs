//! Resets, and transactions of 2.0.1 that are not the book's.

use serde_json::json;
use voltry_ocpp::Version;
use voltry_ocpp::transactions::{Kind, Reason};
use voltry_ocpp::uplink::{Command, Input, StopReason};

use crate::desk::{Desk, evse, lost};

#[test]
fn a_reset_when_idle_waits_for_a_transaction_without_power_too() {
    for (start, begins, ends) in [
        ("EVConnected", Kind::Plugged, Kind::Unplugged),
        ("Authorized", Kind::Authorized, Kind::ConnectTimedOut),
    ] {
        let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", start);
        desk.happens(begins, 0);
        desk.answer_all();
        assert_eq!(desk.ask("Reset", &json!({ "type": "OnIdle" })), Ok(json!({ "status": "Scheduled" })));
        desk.pass(600);
        desk.answer_all();
        assert_eq!(desk.resets, 0, "{start}");
        desk.happens(ends, 0);
        assert_eq!(desk.open().unwrap().payload["eventType"], "Ended");
        assert_eq!(desk.resets, 0, "not before it is told");
        desk.answer_all();
        assert_eq!(desk.resets, 1, "{start}");
    }
}

#[test]
fn a_reset_at_once_ends_a_transaction_whatever_its_stop_points_are() {
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStopPoint", "EVConnected");
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Charging] {
        desk.happens(kind, 0);
    }
    desk.answer_all();
    let mut charging = evse(1, "charging");
    charging.transaction = 1;
    desk.input(Input::Evses(vec![charging]));
    assert_eq!(desk.ask("Reset", &json!({ "type": "Immediate" })), Ok(json!({ "status": "Accepted" })));
    let stop = Command::Stop { evse: 1, transaction: 1, session: 0, why: StopReason::Reset };
    assert!(desk.commands.iter().any(|(_, command)| *command == stop));
    desk.reason = Some(Reason::ImmediateReset);
    desk.happens(Kind::Deauthorized, 500);
    desk.input(Input::Evses(vec![evse(1, "finished")]));
    desk.happens(Kind::Ended, 500);
    assert_eq!(desk.resets, 0, "not before it is told");
    desk.answer_all();
    let last = &desk.calls.iter().rfind(|call| call.action == "TransactionEvent").unwrap().payload;
    assert_eq!((&last["eventType"], &last["triggerReason"]), (&json!("Ended"), &json!("ResetCommand")));
    assert_eq!(last["transactionInfo"]["stoppedReason"], "ImmediateReset");
    assert_eq!(last["meterValue"][0]["sampledValue"][0]["value"], 500.0);
    assert_eq!(desk.resets, 1);
}

#[test]
fn a_reset_at_once_ends_a_transaction_of_the_cable_alone() {
    // Nobody was let in yet; or whoever was has ended his charge, and by its stop points the transaction goes on.
    for happened in [&[Kind::Plugged][..], &[Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Ended]] {
        let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "EVConnected");
        desk.set("TxCtrlr", "TxStopPoint", "EVConnected").unwrap();
        for kind in happened {
            desk.happens(*kind, 0);
        }
        desk.answer_all();
        assert_eq!(desk.ask("Reset", &json!({ "type": "Immediate" })), Ok(json!({ "status": "Accepted" })));
        let stop = Command::Stop { evse: 1, transaction: 0, session: 1, why: StopReason::Reset };
        assert!(desk.commands.iter().any(|(_, command)| *command == stop), "{happened:?}");
        desk.pass(5);
        assert_eq!(desk.resets, 0, "not before it has ended");
        desk.reason = Some(Reason::ImmediateReset);
        desk.happens(Kind::Deauthorized, 0);
        let told = &desk.open().unwrap().payload;
        assert_eq!((&told["eventType"], &told["triggerReason"]), (&json!("Ended"), &json!("ResetCommand")));
        assert_eq!(told["transactionInfo"]["stoppedReason"], "ImmediateReset");
        assert_eq!(desk.resets, 0, "not before it is told");
        desk.answer_all();
        assert_eq!(desk.resets, 1);
    }
}

#[test]
fn a_reset_when_idle_does_not_wait_for_a_backlog_to_be_told() {
    for taken in [false, true] {
        let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "EVConnected");
        lost(&mut desk);
        for number in 0..60 {
            desk.charge(number * 1000);
        }
        desk.seen(if taken { "preparing" } else { "available" });
        desk.input(Input::Connected);
        // In the middle of a charge of the past, as far as the book was read.
        while desk.open().unwrap().payload["eventType"] != "Updated" {
            desk.answer(json!({}));
        }
        let word = if taken { "Scheduled" } else { "Accepted" };
        assert_eq!(desk.ask("Reset", &json!({ "type": "OnIdle" })), Ok(json!({ "status": word })));
        desk.pass(10);
        assert_eq!(desk.resets, usize::from(!taken), "whoever is plugged in is waited for: {taken}");
    }
}

#[test]
fn a_second_driver_at_one_plug_begins_a_transaction_where_the_cable_began_the_first() {
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "EVConnected");
    let before = desk.calls.len();
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started, Kind::Ended] {
        desk.happens(kind, 100);
    }
    desk.card.id = "SECOND".to_owned();
    for kind in [Kind::Authorized, Kind::Started, Kind::Ended, Kind::Unplugged] {
        desk.happens(kind, 300);
    }
    desk.answer_all();
    let told: Vec<_> = desk.calls[before..].iter().map(|call| &call.payload).collect();
    let kinds: Vec<_> = told.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Started", "Updated", "Updated", "Ended", "Started", "Updated", "Ended"]);
    let id = |number: usize| &told[number]["transactionInfo"]["transactionId"];
    assert_ne!(id(0), id(4));
    assert_eq!(told[4]["idToken"]["idToken"], "SECOND");
}
