//! Who may charge, where the CSMS need not or cannot be asked first.

use serde_json::json;
use voltry_ocpp::Version;
use voltry_ocpp::transactions::Token;
use voltry_ocpp::uplink::{Command, Input};

use crate::desk::{Desk, card, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

/// The list: one card that may charge, one that may not.
fn list(version: Version) -> serde_json::Value {
    match version {
        Version::V16 => json!({ "listVersion": 1, "updateType": "Full", "localAuthorizationList": [
            { "idTag": "04A1B2C3", "idTagInfo": { "status": "Accepted" } },
            { "idTag": "BAD", "idTagInfo": { "status": "Blocked" } }] }),
        Version::V201 => json!({ "versionNumber": 1, "updateType": "Full", "localAuthorizationList": [
            { "idToken": { "idToken": "04A1B2C3", "type": "ISO14443" }, "idTokenInfo": { "status": "Accepted" } },
            { "idToken": { "idToken": "BAD", "type": "ISO14443" }, "idTokenInfo": { "status": "Blocked" } }] }),
    }
}

fn bad() -> Token {
    Token { id: "BAD".to_owned(), ..card() }
}

#[test]
fn a_listed_token_is_let_in_at_once_where_that_is_wanted_and_another_is_asked_for() {
    for version in BOTH {
        for (ahead, said) in [("true", "accepted by local-list"), ("false", "accepted by csms")] {
            let mut desk = Desk::configured(version, "LocalPreAuthorize", ahead);
            desk.ask("SendLocalList", &list(version)).unwrap();
            let before = desk.calls.len();
            desk.input(Input::Authorize { ticket: 1, evse: 1, token: card() });
            desk.answer_all();
            assert_eq!(desk.authorized, [(1, said.to_owned())], "{version:?}");
            assert_eq!(desk.actions(before).contains(&"Authorize"), ahead == "false");
            // The CSMS may know better of one that is not accepted (C14).
            desk.input(Input::Authorize { ticket: 2, evse: 1, token: bad() });
            desk.answer_all();
            assert_eq!(desk.authorized[1], (2, "accepted by csms".to_owned()));
            lost(&mut desk);
            desk.input(Input::Authorize { ticket: 3, evse: 1, token: bad() });
            assert_eq!(desk.authorized[2], (3, "blocked by local-list".to_owned()));
        }
    }
}

#[test]
fn a_token_that_nobody_knows_is_let_in_while_the_csms_is_away_where_that_is_allowed() {
    for version in BOTH {
        for (allowed, said) in [("true", "accepted by offline"), ("false", "unknown by offline")] {
            let mut desk = Desk::configured(version, "AllowOfflineTxForUnknownId", allowed);
            lost(&mut desk);
            desk.input(Input::Authorize { ticket: 1, evse: 1, token: card() });
            assert_eq!(desk.authorized, [(1, said.to_owned())], "{version:?}");
        }
    }
}

#[test]
fn a_remote_start_is_authorized_first_where_that_is_wanted() {
    for version in BOTH {
        for status in ["Accepted", "Blocked"] {
            let mut desk = Desk::configured(version, "AuthorizeRemoteTxRequests", "true");
            let (action, start) = match version {
                Version::V16 => ("RemoteStartTransaction", json!({ "connectorId": 1, "idTag": "APP" })),
                Version::V201 => (
                    "RequestStartTransaction",
                    json!({ "remoteStartId": 9, "evseId": 1, "idToken": { "idToken": "APP", "type": "Central" } }),
                ),
            };
            assert_eq!(desk.ask(action, &start).unwrap()["status"], "Accepted");
            assert_eq!(desk.open().unwrap().action, "Authorize");
            let info = match version {
                Version::V16 => json!({ "idTagInfo": { "status": status, "parentIdTag": "FAMILY" } }),
                Version::V201 => json!({ "idTokenInfo": { "status": status,
                    "groupIdToken": { "idToken": "FAMILY", "type": "Central" } } }),
            };
            desk.answer(info);
            let begun = desk.commands.iter().find_map(|(_, command)| {
                let Command::RemoteStart { token, group, .. } = command else { return None };
                Some((token.id.as_str(), group.as_str()))
            });
            assert_eq!(begun, (status == "Accepted").then_some(("APP", "FAMILY")), "{version:?} {status}");
        }
    }
}

/// A question of the station, and how it was answered so far.
fn show(desk: &mut Desk, ticket: u64) -> Option<String> {
    desk.input(Input::Authorize { ticket, evse: 1, token: card() });
    said(desk, ticket)
}

fn said(desk: &Desk, ticket: u64) -> Option<String> {
    desk.authorized.iter().find(|(answered, _)| *answered == ticket).map(|(_, said)| said.clone())
}

#[test]
fn a_card_that_is_shown_while_the_station_registers_waits_for_the_csms() {
    for version in BOTH {
        let mut desk = Desk::new(version);
        assert_eq!(show(&mut desk, 1), None, "{version:?}: the first connection is being made");
        desk.input(Input::Connected);
        assert_eq!(show(&mut desk, 2), None);
        desk.pass(6);
        assert_eq!(desk.actions(0), ["BootNotification"], "and nothing else before it is accepted");
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        for ticket in [1, 2] {
            assert_eq!(said(&desk, ticket).unwrap(), "accepted by csms", "{version:?}");
        }
    }
}

#[test]
fn it_does_not_wait_in_vain_nor_for_ever_and_then_the_rules_of_an_outage_count() {
    type End = fn(&mut Desk);
    let ends: [(&str, End); 6] = [
        ("the CSMS does not answer", |desk| desk.pass(7)),
        ("it wants to configure first", |desk| desk.answer_boot("Pending", 300)),
        ("it rejects the station", |desk| desk.answer_boot("Rejected", 300)),
        ("it answers with an error", |desk| desk.answer_error("InternalError")),
        ("the connection is lost", lost),
        ("it answers nothing", |desk| {
            let id = desk.open().unwrap().id.clone();
            desk.input(Input::Unanswered { id });
        }),
    ];
    for version in BOTH {
        for (why, end) in ends {
            for (listed, expected) in [(false, "unknown by offline"), (true, "accepted by local-list")] {
                // It would rather ask, and may not.
                let mut desk = Desk::configured(version, "LocalPreAuthorize", "false");
                if listed {
                    desk.ask("SendLocalList", &list(version)).unwrap();
                }
                desk.restart();
                desk.input(Input::Connected);
                desk.answered = desk.calls.len() - 1;
                assert_eq!(show(&mut desk, 1), None);
                end(&mut desk);
                assert_eq!(said(&desk, 1).as_deref(), Some(expected), "{version:?}: {why}");
            }
        }
        let mut desk = Desk::new(version);
        assert_eq!(show(&mut desk, 1), None);
        desk.input(Input::Unreachable);
        assert_eq!(said(&desk, 1).unwrap(), "unknown by offline", "{version:?}: nobody is reached");
        assert_eq!(show(&mut desk, 2).unwrap(), "unknown by offline");
    }
}

#[test]
fn a_listed_token_whose_question_is_cut_off_is_let_in() {
    for version in BOTH {
        let mut desk = Desk::configured(version, "LocalPreAuthorize", "false");
        desk.ask("SendLocalList", &list(version)).unwrap();
        assert_eq!(show(&mut desk, 1), None);
        lost(&mut desk);
        assert_eq!(said(&desk, 1).unwrap(), "accepted by local-list", "{version:?}");
    }
}

#[test]
fn a_list_that_is_not_enabled_has_no_version() {
    let mut desk = Desk::accepted(Version::V201);
    assert_eq!(desk.ask("SendLocalList", &list(Version::V201)), Ok(json!({ "status": "Accepted" })));
    for (enabled, version) in [("false", 0), ("true", 1)] {
        let data = json!({ "setVariableData": [{ "component": { "name": "LocalAuthListCtrlr" },
            "variable": { "name": "Enabled" }, "attributeValue": enabled }] });
        assert!(desk.ask("SetVariables", &data).is_ok());
        assert_eq!(desk.ask("GetLocalListVersion", &json!({})), Ok(json!({ "versionNumber": version })));
    }
}
