//! Tokens that the CSMS refuses in the answer to a transaction's message: the session ends, or has no power.

use serde_json::json;
use voltry_ocpp::Version;
use voltry_ocpp::transactions::{Kind, Reason};
use voltry_ocpp::uplink::{Command, Input, StopReason};

use crate::desk::Desk;
use crate::transactions::{BOTH, kinds, told};

/// A transaction whose token the CSMS refuses when it hears of it.
fn refused(version: Version, stops: &str) -> Desk {
    let mut desk = Desk::accepted(version);
    let written = match version {
        Version::V16 => {
            desk.ask("ChangeConfiguration", &json!({ "key": "StopTransactionOnInvalidId", "value": stops }))
        }
        Version::V201 => desk.ask(
            "SetVariables",
            &json!({ "setVariableData": [{
                "component": { "name": "TxCtrlr" },
                "variable": { "name": "StopTxOnInvalidId" },
                "attributeValue": stops,
            }] }),
        ),
    };
    assert!(written.is_ok());
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    match version {
        Version::V16 => desk.answer(json!({ "transactionId": 5, "idTagInfo": { "status": "Blocked" } })),
        Version::V201 => desk.answer(json!({ "idTokenInfo": { "status": "Blocked" } })),
    }
    desk
}

#[test]
fn a_token_that_the_csms_does_not_accept_ends_its_transaction() {
    for version in BOTH {
        // Before the station tells that its EVSE charges.
        let desk = refused(version, "true");
        let stop = Command::Stop { evse: 1, transaction: 1, session: 0, why: StopReason::Deauthorized };
        assert_eq!(desk.commands.last().map(|(_, command)| command), Some(&stop));
    }
}

#[test]
fn a_token_that_the_csms_does_not_accept_may_cost_the_power_and_not_the_transaction() {
    for version in BOTH {
        let mut desk = refused(version, "false");
        let starve = |starved| Command::Starve { evse: 1, transaction: 1, starved };
        assert_eq!(desk.commands.last().map(|(_, command)| command), Some(&starve(true)));
        let mut running = crate::desk::evse(1, "charging");
        running.transaction = 1;
        desk.input(Input::Evses(vec![running.clone()]));
        desk.restart();
        desk.input(Input::Evses(vec![running]));
        desk.input(Input::Starved([(1, 1)].into()));
        let told = |desk: &Desk, starved| {
            desk.commands.iter().filter(|(_, command)| *command == starve(starved)).count()
        };
        assert_eq!((told(&desk, true), told(&desk, false)), (1, 0));
        desk.input(Input::Connected);
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        desk.happens(Kind::Ended, 0);
        desk.input(Input::Evses(vec![crate::desk::evse(1, "available")]));
        assert_eq!((told(&desk, true), told(&desk, false)), (1, 1), "whoever comes next has power");
    }
}

/// A transaction of 2.0.1 that began with the token, which the CSMS refuses in the answer to that.
fn refused_before_the_books_transaction(stops: &str) -> Desk {
    let mut desk = Desk::accepted(Version::V201);
    for (name, value) in [("TxStartPoint", "Authorized"), ("StopTxOnInvalidId", stops)] {
        let answer = desk.set("TxCtrlr", name, value).unwrap();
        assert_eq!(answer["setVariableResult"][0]["attributeStatus"], "Accepted");
    }
    desk.commands.clear();
    desk.happens(Kind::Plugged, 0);
    desk.happens(Kind::Authorized, 0);
    assert_eq!(desk.open().unwrap().payload["eventType"], "Started");
    desk.answer(json!({ "idTokenInfo": { "status": "Blocked" } }));
    desk
}

#[test]
fn a_token_that_is_refused_before_the_book_has_a_transaction_ends_the_session() {
    let desk = refused_before_the_books_transaction("true");
    let stop = Command::Stop { evse: 1, transaction: 0, session: 1, why: StopReason::Deauthorized };
    assert_eq!(desk.commands.iter().map(|(_, command)| command).collect::<Vec<_>>(), [&stop]);
    let mut desk = refused_before_the_books_transaction("false");
    assert!(desk.commands.is_empty(), "it goes on");
    desk.happens(Kind::Started, 0);
    let starve = Command::Starve { evse: 1, transaction: 1, starved: true };
    assert_eq!(
        desk.commands.iter().map(|(_, command)| command).collect::<Vec<_>>(),
        [&starve],
        "without power"
    );
}

#[test]
fn a_token_that_is_refused_while_the_book_opens_the_transaction_ends_that() {
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "Authorized");
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    desk.commands.clear();
    desk.answer(json!({ "idTokenInfo": { "status": "Invalid" } }));
    let stop = Command::Stop { evse: 1, transaction: 1, session: 0, why: StopReason::Deauthorized };
    assert_eq!(desk.commands.iter().map(|(_, command)| command).collect::<Vec<_>>(), [&stop]);
}

#[test]
fn what_the_book_opens_for_somebody_who_was_sent_away_meanwhile_begins_no_other_transaction() {
    let mut desk = Desk::configured(Version::V201, "TxCtrlr.TxStartPoint", "Authorized");
    desk.set("TxCtrlr", "TxStopPoint", "Authorized").unwrap();
    desk.happens(Kind::Plugged, 0);
    desk.happens(Kind::Authorized, 0);
    desk.reason = Some(Reason::DeAuthorized);
    for kind in [Kind::Deauthorized, Kind::Started, Kind::Ended] {
        desk.happens(kind, 0);
    }
    desk.answer_all();
    assert_eq!(kinds(&told(&desk)), ["Started", "Ended"]);
    desk.reason = None;
    desk.happens(Kind::Authorized, 0);
    desk.answer_all();
    assert_eq!(kinds(&told(&desk)), ["Started", "Ended", "Started"], "the next driver's");
}
