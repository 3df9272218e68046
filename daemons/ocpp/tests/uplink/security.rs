//! Security events: the log, and what the CSMS hears of it.

use serde_json::json;
use voltry_bus::Fault;
use voltry_ocpp::Version;
use voltry_ocpp::model::Told;
use voltry_ocpp::security::SecurityEvent;
use voltry_ocpp::uplink::Input;

use crate::desk::{Desk, START, lost};

const BOTH: [Version; 2] = [Version::V16, Version::V201];
const NOTIFICATION: &str = "SecurityEventNotification";

fn happens(desk: &mut Desk, event: SecurityEvent) {
    desk.input(Input::Security(event, "why".to_owned()));
}

fn told(desk: &Desk) -> Vec<String> {
    let calls = desk.calls.iter().filter(|call| call.action == NOTIFICATION);
    calls.map(|call| format!("{} {}", call.payload["timestamp"], call.payload["type"])).collect()
}

#[test]
fn a_critical_event_waits_through_an_outage_and_a_reboot_and_is_told_once() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        lost(&mut desk);
        desk.pass(10);
        happens(&mut desk, SecurityEvent::StartupOfTheDevice);
        desk.pass(3600);
        desk.restart();
        desk.input(Input::Connected);
        desk.answered = desk.calls.len() - 1;
        desk.answer_boot("Pending", 300);
        desk.pass(299);
        assert_eq!(told(&desk), [""; 0], "not while pending");
        desk.pass(2);
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        assert_eq!(told(&desk), ["\"2026-05-28T20:26:50.000Z\" \"StartupOfTheDevice\""]);
        desk.restart();
        desk.input(Input::Connected);
        desk.answered = desk.calls.len() - 1;
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        assert_eq!(told(&desk).len(), 1, "once");
    }
}

#[test]
fn what_is_not_critical_stands_in_the_log_alone() {
    let mut desk = Desk::accepted(Version::V201);
    happens(&mut desk, SecurityEvent::InvalidCsmsCertificate);
    assert_eq!(
        desk.ask("GetVariables", &json!({ "getVariableData": 7 })),
        Err("TypeConstraintViolation".to_owned())
    );
    desk.answer_all();
    assert_eq!(told(&desk), [""; 0]);
    let log = desk.store.security_log(START..=START + 1_000_000).unwrap();
    let lines: Vec<String> = log.iter().map(voltry_ocpp::security::Entry::line).collect();
    assert_eq!(
        lines,
        [
            "2026-05-28T20:26:40.000Z InvalidCsmsCertificate why",
            "2026-05-28T20:26:40.000Z InvalidMessages GetVariables: TypeConstraintViolation",
        ]
    );
    assert!(desk.store.security_log(START + 1..=i64::MAX).unwrap().is_empty());
}

#[test]
fn a_csms_that_knows_no_such_message_is_told_once() {
    let mut desk = Desk::accepted(Version::V16);
    happens(&mut desk, SecurityEvent::StartupOfTheDevice);
    desk.answer_error("NotImplemented");
    desk.pass(100);
    assert_eq!(told(&desk).len(), 1);
    happens(&mut desk, SecurityEvent::ResetOrReboot);
    for _ in 0..5 {
        desk.answer_error("InternalError");
        desk.pass(11);
    }
    assert_eq!(told(&desk).len(), 1 + 5, "another error is tried again, not for ever");
    desk.restart();
    assert_eq!(desk.store.journal().unwrap().untold(), None);
}

#[test]
fn a_reset_is_told_after_it() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let kind = if version == Version::V16 { "Hard" } else { "Immediate" };
        assert_eq!(desk.ask("Reset", &json!({ "type": kind })), Ok(json!({ "status": "Accepted" })));
        assert_eq!(desk.resets, 1);
        desk.restart();
        desk.input(Input::Connected);
        desk.answered = desk.calls.len() - 1;
        desk.answer_boot("Accepted", 300);
        desk.answer_all();
        assert_eq!(told(&desk), ["\"2026-05-28T20:26:40.000Z\" \"ResetOrReboot\""]);
    }
}

#[test]
fn a_clock_that_was_set_and_is_set_again_is_told() {
    let mut desk = Desk::new(Version::V201);
    desk.clock_set = false;
    desk.input(Input::Connected);
    desk.clock_set = true;
    desk.answer_boot("Accepted", 300);
    desk.answer_all();
    assert_eq!(told(&desk), [""; 0], "the first setting changes nothing that was right");
    desk.pass(3000);
    desk.answer_all();
    desk.wall_ahead = 3600;
    desk.input(Input::Tick);
    desk.answer_all();
    assert_eq!(told(&desk).len(), 1);
    assert_eq!(desk.calls.last().unwrap().payload["techInfo"], "by 3600 s");
}

#[test]
fn a_station_that_is_opened_is_told_once_as_long_as_it_is_open() {
    for version in BOTH {
        let mut desk = Desk::accepted(version);
        let door = |code: Option<&str>| {
            let fault = |code: &str| Fault { code: code.to_owned(), cause: "the door".to_owned(), at: 1 };
            Told { faults: code.map(fault).into_iter().collect(), online: true, ..Told::default() }
        };
        let object = ("com.example.Door1".to_owned(), "/com/example/door".to_owned());
        for code in [None, Some("MREC3HighTemperature"), Some("EnclosureOpen"), Some("EnclosureOpen"), None] {
            desk.input(Input::Device(object.clone(), Box::new(door(code))));
            desk.answer_all();
        }
        assert_eq!(told(&desk), ["\"2026-05-28T20:26:40.000Z\" \"TamperDetectionActivated\""]);
        desk.pass(301);
        let evse = ("org.voltry.Evse.N1".to_owned(), "/org/voltry/evse/1".to_owned());
        for object in [object, evse] {
            desk.input(Input::Device(object, Box::new(door(Some("EnclosureOpen")))));
            desk.answer_all();
            assert_eq!(told(&desk).len(), 2, "it is opened again, whoever tells it");
        }
    }
}
