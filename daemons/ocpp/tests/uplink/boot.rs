//! Registration: who may say what before, while and after the CSMS accepts the station.

use serde_json::json;
use voltry_ocpp::Version;
use voltry_ocpp::time::parse;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::{Command, Input, Registration};

use crate::desk::{Desk, evse, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];

#[test]
fn nothing_but_the_boot_leaves_before_the_station_is_accepted() {
    for version in BOTH {
        for status in ["Pending", "Rejected"] {
            let mut desk = Desk::new(version);
            desk.charge(0);
            desk.input(Input::Connected);
            desk.answer_boot(status, 300);
            desk.seen("charging");
            desk.charge(1000);
            desk.pass(219);
            assert_eq!(desk.actions(0), ["BootNotification"], "{version:?} {status}");
            desk.pass(2);
            assert_eq!(desk.actions(0), ["BootNotification"; 2], "{version:?} {status}");
            desk.answer_boot("Accepted", 100);
            desk.answer_all();
            assert!(desk.calls.len() > 4, "and then everything does");
        }
    }
}

#[test]
fn while_pending_the_csms_may_configure_and_trigger_but_not_start() {
    let mut desk = Desk::new(Version::V201);
    desk.input(Input::Connected);
    let early = desk.ask("GetBaseReport", &json!({ "requestId": 1, "reportBase": "FullInventory" }));
    assert_eq!(early, Err("SecurityError".to_owned()), "before the boot was answered");
    desk.answer_boot("Pending", 100);
    let start = json!({ "remoteStartId": 1, "idToken": { "idToken": "A", "type": "Central" } });
    assert_eq!(desk.ask("RequestStartTransaction", &start), Ok(json!({ "status": "Rejected" })));
    assert!(desk.commands.iter().all(|(_, command)| matches!(command, Command::Limit { .. })));
    let report = desk.ask("GetBaseReport", &json!({ "requestId": 1, "reportBase": "FullInventory" }));
    assert_eq!(report, Ok(json!({ "status": "Accepted" })));
    desk.answer_all();
    assert!(desk.calls[1..].iter().all(|call| call.action == "NotifyReport"), "{:?}", desk.actions(0));
    assert_eq!(desk.calls.last().unwrap().payload["tbc"], false);
    let boot = json!({ "requestedMessage": "BootNotification" });
    assert_eq!(desk.ask("TriggerMessage", &boot), Ok(json!({ "status": "Accepted" })));
    assert_eq!(desk.open().unwrap().payload["reason"], "Triggered");
}

#[test]
fn a_rejected_station_answers_nothing_but_an_error() {
    for version in BOTH {
        let mut desk = Desk::new(version);
        desk.input(Input::Connected);
        desk.answer_boot("Rejected", 60);
        assert_eq!(desk.ask("ClearCache", &json!({})), Err("SecurityError".to_owned()));
    }
}

#[test]
fn a_station_that_was_accepted_does_not_boot_again_when_the_connection_is_back() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let before = desk.calls.len();
        lost(&mut desk);
        assert_eq!(desk.uplink.registration(), Registration::Offline);
        desk.input(Input::Connected);
        assert_eq!(desk.uplink.registration(), Registration::Accepted);
        assert_eq!(desk.actions(before), Vec::<&str>::new(), "nothing changed meanwhile");
    }
}

#[test]
fn after_an_outage_only_changed_states_are_told_with_the_time_of_the_change() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let before = desk.calls.len();
        lost(&mut desk);
        desk.pass(30);
        desk.input(Input::Evses(vec![evse(1, "authorizing")]));
        desk.seen("preparing");
        let changed = desk.now().unix;
        desk.pass(30);
        desk.input(Input::Connected);
        desk.answer_all();
        assert_eq!(desk.actions(before), ["StatusNotification"]);
        let told = desk.calls.last().unwrap().payload["timestamp"].as_str().unwrap();
        assert_eq!(parse(told), Some(changed));
    }
}

#[test]
fn after_an_outage_longer_than_the_threshold_all_states_are_told_in_2_0_1() {
    // OfflineThreshold is 60 s.
    for (version, away, wanted) in [(Version::V201, 61, 1), (Version::V201, 60, 0), (Version::V16, 61, 0)] {
        let mut desk = Desk::accepted(version);
        let before = desk.calls.len();
        lost(&mut desk);
        desk.pass(away);
        desk.input(Input::Connected);
        desk.answer_all();
        assert_eq!(desk.actions(before), vec!["StatusNotification"; wanted], "{version:?} after {away} s");
        // The next outage counts for itself.
        lost(&mut desk);
        desk.pass(30);
        desk.input(Input::Connected);
        desk.answer_all();
        assert_eq!(desk.calls.len(), before + wanted);
    }
}

#[test]
fn states_that_are_one_word_in_2_0_1_are_told_once() {
    for (version, wanted) in [(Version::V16, 3), (Version::V201, 1)] {
        let mut desk = Desk::accepted(version);
        let before = desk.calls.len();
        for state in ["preparing", "charging", "finishing"] {
            desk.pass(10);
            desk.seen(state);
            desk.answer_all();
        }
        assert_eq!(desk.actions(before), vec!["StatusNotification"; wanted]);
    }
}

#[test]
fn the_heartbeat_follows_the_interval_of_the_csms() {
    for version in BOTH {
        let mut desk = Desk::new(version);
        desk.input(Input::Connected);
        desk.answer_boot("Accepted", 60);
        desk.answer_all();
        let before = desk.calls.len();
        desk.pass(59);
        assert_eq!(desk.calls.len(), before);
        desk.pass(2);
        assert_eq!(desk.actions(before), ["Heartbeat"]);
    }
}

#[test]
fn times_before_the_first_word_of_the_csms_are_told_as_times_of_day() {
    for version in BOTH {
        let mut desk = Desk::new(version);
        // A machine without a battery for its clock: it is 1970.
        desk.clock_set = false;
        desk.seen("preparing");
        desk.charge(0);
        desk.input(Input::Connected);
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        let text =
            serde_json::to_string(&desk.calls.iter().map(|call| &call.payload).collect::<Vec<_>>()).unwrap();
        assert!(!text.contains("1970"), "{text}");
        let started = desk.calls.iter().find(|call| call.action.contains("Transaction")).unwrap();
        let told = parse(started.payload["timestamp"].as_str().unwrap()).unwrap();
        assert_eq!(told, crate::desk::START + 30_000_000, "30 s after the machine's start");
    }
}

#[test]
fn a_boot_that_nobody_answers_is_sent_again() {
    for version in BOTH {
        let mut desk = Desk::new(version);
        desk.input(Input::Connected);
        let id = desk.open().unwrap().id.clone();
        desk.answered += 1;
        desk.input(Input::Unanswered { id });
        assert_eq!(desk.reconnects, 1);
        desk.input(Input::Disconnected);
        desk.input(Input::Connected);
        assert_eq!(desk.actions(0), ["BootNotification"; 2]);
        desk.answer_error("InternalError");
        desk.happens(Kind::Plugged, 0);
        desk.pass(40);
        assert_eq!(desk.actions(0), ["BootNotification"; 3]);
    }
}
