//! Resets, and transactions of 2.0.1 that are not the book's.

use serde_json::json;
use voltry_ocpp::Version;
use voltry_ocpp::transactions::{Kind, Reason};
use voltry_ocpp::uplink::{Command, Input, StopReason};

use crate::desk::{Desk, evse};

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
