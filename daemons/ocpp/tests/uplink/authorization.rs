//! Who may charge, where the CSMS need not or cannot be asked first.

use serde_json::json;
use voltry_ocpp::Version;
use voltry_ocpp::transactions::{Kind, Token};
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
                    json!({ "remoteStartId": 9, "evseId": 1, "idToken": { "idToken": "APP", "type": "Local" } }),
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
        assert!(desk.set("LocalAuthListCtrlr", "Enabled", enabled).is_ok());
        assert_eq!(desk.ask("GetLocalListVersion", &json!({})), Ok(json!({ "versionNumber": version })));
    }
}

fn token(id: &str, kind: &str) -> Token {
    Token { id: id.to_owned(), kind: kind.to_owned() }
}

/// What is said of this token of the group of master passes.
fn of_the_group(version: Version) -> serde_json::Value {
    match version {
        Version::V16 => json!({ "idTagInfo": { "status": "Accepted", "parentIdTag": "POLICE" } }),
        Version::V201 => json!({ "idTokenInfo": { "status": "Accepted",
            "groupIdToken": { "idToken": "police", "type": "Central" } } }),
    }
}

#[test]
fn a_master_pass_is_told_as_one_by_the_csms_and_by_what_is_known_of_it_without() {
    let mut desk = Desk::configured(Version::V201, "AuthCtrlr.MasterPassGroupId", "Police");
    desk.input(Input::Authorize { ticket: 1, evse: 1, token: card() });
    desk.answer(of_the_group(Version::V201));
    assert_eq!(said(&desk, 1).unwrap(), "master-pass by csms");
    // It is told with the end of a charge; many a CSMS names no group in its answer to that.
    desk.happens(Kind::Plugged, 0);
    desk.happens(Kind::Authorized, 0);
    desk.happens(Kind::Started, 0);
    desk.answer(json!({ "idTokenInfo": { "status": "Accepted" } }));
    desk.answer_all();
    lost(&mut desk);
    assert_eq!(show(&mut desk, 2).unwrap(), "master-pass by cache");
    let mut other = Desk::accepted(Version::V201);
    other.input(Input::Authorize { ticket: 1, evse: 1, token: card() });
    other.answer(of_the_group(Version::V201));
    assert_eq!(
        said(&other, 1).unwrap(),
        "accepted by csms",
        "a group like any other where none is configured"
    );
}

#[test]
fn a_master_pass_is_not_let_in_by_the_csms_either() {
    let mut desk = Desk::configured(Version::V201, "AuthorizeRemoteTxRequests", "true");
    desk.set("AuthCtrlr", "MasterPassGroupId", "POLICE").unwrap();
    let mut start =
        json!({ "remoteStartId": 9, "evseId": 1, "idToken": { "idToken": "P1", "type": "ISO14443" } });
    assert_eq!(desk.ask("RequestStartTransaction", &start).unwrap()["status"], "Accepted");
    desk.answer(of_the_group(Version::V201));
    start["groupIdToken"] = json!({ "idToken": "POLICE", "type": "Central" });
    assert_eq!(desk.ask("RequestStartTransaction", &start).unwrap()["status"], "Rejected");
    let begun = desk.commands.iter().any(|(_, command)| matches!(command, Command::RemoteStart { .. }));
    assert!(!begun, "{:?}", desk.commands);
}

#[test]
fn a_code_is_asked_for_each_time_and_counts_for_nothing_while_nobody_can_be_asked() {
    for version in BOTH {
        let mut desk = Desk::configured(version, "AllowOfflineTxForUnknownId", "true");
        let (accepted, listed) = match version {
            Version::V16 => (
                json!({ "idTagInfo": { "status": "Accepted" } }),
                json!([{ "idTag": "4711", "idTagInfo": { "status": "Accepted" } }]),
            ),
            Version::V201 => (
                json!({ "idTokenInfo": { "status": "Accepted" } }),
                json!([{ "idToken": { "idToken": "4711", "type": "ISO14443" }, "idTokenInfo": { "status": "Accepted" } }]),
            ),
        };
        let number = if version == Version::V16 { "listVersion" } else { "versionNumber" };
        let list = json!({ number: 1, "updateType": "Full", "localAuthorizationList": listed });
        desk.ask("SendLocalList", &list).unwrap();
        for ticket in [1, 2] {
            desk.input(Input::Authorize { ticket, evse: 1, token: token("4711", "KeyCode") });
            assert_eq!(desk.open().unwrap().action, "Authorize", "{version:?}");
            desk.answer(accepted.clone());
            assert_eq!(said(&desk, ticket).unwrap(), "accepted by csms");
        }
        lost(&mut desk);
        desk.input(Input::Authorize { ticket: 3, evse: 1, token: token("4711", "KeyCode") });
        assert_eq!(said(&desk, 3).unwrap(), "unknown by offline", "{version:?}: the list's is a card");
        desk.input(Input::Authorize { ticket: 4, evse: 1, token: token("4711", "ISO14443") });
        assert_eq!(said(&desk, 4).unwrap(), "accepted by local-list", "{version:?}");
    }
}

#[test]
fn what_the_csms_has_made_it_is_not_asked_for() {
    let mut desk = Desk::configured(Version::V201, "AuthorizeRemoteTxRequests", "true");
    let start =
        json!({ "remoteStartId": 9, "evseId": 1, "idToken": { "idToken": "PAID", "type": "Central" } });
    let before = desk.calls.len();
    let _ = desk.ask("RequestStartTransaction", &start);
    assert!(desk.commands.iter().any(|(_, command)| matches!(command, Command::RemoteStart { .. })));
    desk.input(Input::Authorize { ticket: 1, evse: 1, token: token("PAID", "Central") });
    assert_eq!(said(&desk, 1).unwrap(), "invalid by offline", "nobody but the CSMS may bring it");
    assert!(!desk.actions(before).contains(&"Authorize"));
}

#[test]
fn what_the_csms_says_of_a_payment_or_of_nobody_is_kept_for_no_card() {
    for (id, kind) in [("PAID", "Central"), ("4711", "KeyCode"), ("", "NoAuthorization"), ("TICKET", "Local")]
    {
        let mut desk = Desk::accepted(Version::V201);
        desk.card = token(id, kind);
        desk.happens(Kind::Plugged, 0);
        desk.happens(Kind::Authorized, 0);
        desk.happens(Kind::Started, 0);
        let told = desk.calls.iter().find(|call| call.payload.get("idToken").is_some());
        assert_eq!(told.unwrap().payload["idToken"], json!({ "idToken": id, "type": kind }));
        desk.answer(json!({ "idTokenInfo": { "status": "Accepted" } }));
        lost(&mut desk);
        desk.input(Input::Authorize { ticket: 1, evse: 1, token: token(id, "ISO14443") });
        let known = if kind == "Local" { "accepted by cache" } else { "unknown by offline" };
        assert_eq!(said(&desk, 1).unwrap(), known, "{kind}");
    }
}
