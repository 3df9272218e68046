//! Monitors and events of 2.0.1 (N02 to N08, G05).

use serde_json::{Value, json};
use voltry_ocpp::Version;
use voltry_ocpp::model::Told;
use voltry_ocpp::transactions::Kind;
use voltry_ocpp::uplink::Input;

use crate::desk::{Desk, lost};
use crate::devices::{BOARD, EVSE, METER, fault, told};

fn register() -> Value {
    json!({
        "component": { "name": "FiscalMetering", "instance": "dc1", "evse": { "id": 1 } },
        "variable": { "name": "EnergyImportRegister" },
    })
}

fn interval() -> Value {
    json!({ "component": { "name": "SampledDataCtrlr" }, "variable": { "name": "TxUpdatedInterval" } })
}

fn monitor(of: Value, kind: &str, value: f64, severity: u8) -> Value {
    let mut data = of;
    data["type"] = kind.into();
    data["value"] = value.into();
    data["severity"] = severity.into();
    data
}

/// Sets monitors; their statuses and numbers.
fn set(desk: &mut Desk, data: &[Value]) -> Vec<(String, Option<i64>)> {
    let answer = desk.ask("SetVariableMonitoring", &json!({ "setMonitoringData": data })).unwrap();
    let results = answer["setMonitoringResult"].as_array().unwrap();
    results.iter().map(|it| (it["status"].as_str().unwrap().to_owned(), it["id"].as_i64())).collect()
}

fn accepted(desk: &mut Desk, data: Value) -> i64 {
    let set = set(desk, &[data]);
    assert_eq!(set[0].0, "Accepted");
    set[0].1.unwrap()
}

/// What NotifyEvent told from this CALL on; the CSMS takes all of it.
fn events(desk: &mut Desk, from: usize) -> Vec<Value> {
    desk.answer_all();
    let calls = desk.calls[from..].iter().filter(|call| call.action == "NotifyEvent");
    calls.flat_map(|call| call.payload["eventData"].as_array().unwrap().clone()).collect()
}

fn desk() -> Desk {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    desk
}

#[test]
fn thresholds_tell_when_they_are_passed_and_when_all_is_well_again() {
    let mut desk = desk();
    let above = accepted(&mut desk, monitor(register(), "UpperThreshold", 2000.0, 5));
    let below = accepted(&mut desk, monitor(register(), "LowerThreshold", 500.0, 5));
    for (value, wanted) in [
        ("1999.0", None),
        ("2000.0", None),
        ("2000.1", Some((above, false))),
        ("2500.0", None),
        ("1000.0", Some((above, true))),
        ("499.9", Some((below, false))),
        ("500.0", Some((below, true))),
    ] {
        let before = desk.calls.len();
        desk.meter_tells(value);
        let told = events(&mut desk, before);
        let found: Vec<_> = told
            .iter()
            .map(|it| (it["variableMonitoringId"].as_i64().unwrap(), it["cleared"].as_bool().unwrap()))
            .collect();
        assert_eq!(found, wanted.into_iter().collect::<Vec<_>>(), "{value}");
        for event in told {
            assert_eq!(
                (event["trigger"].as_str(), event["actualValue"].as_str()),
                (Some("Alerting"), Some(value))
            );
            assert_eq!(event["eventNotificationType"], "CustomMonitor");
            assert_eq!(event["component"], register()["component"]);
        }
    }
}

#[test]
fn a_difference_is_told_against_what_was_told_last() {
    let mut desk = desk();
    accepted(&mut desk, monitor(register(), "Delta", 10.0, 5));
    let mut state =
        json!({ "component": { "name": "CPPWMController", "evse": { "id": 1, "connectorId": 1 } } });
    state["variable"] = json!({ "name": "State" });
    accepted(&mut desk, monitor(state, "Delta", 1.0, 5));
    let before = desk.calls.len();
    for value in ["1005.0", "1010.0", "1010.1", "1015.0", "999.0"] {
        desk.meter_tells(value);
    }
    let told: Vec<Value> = events(&mut desk, before).iter().map(|it| it["actualValue"].clone()).collect();
    assert_eq!(told, ["1010.1", "999.0"]);
    let before = desk.calls.len();
    let component = voltry_bus::Component::new("CPPWMController").of_connector(1);
    for word in ["A", "B", "B", "C"] {
        let variable = voltry_bus::DeviceVariable::text(&component, "State", word);
        desk.tells(BOARD, told_device(&component, variable));
    }
    let told: Vec<Value> = events(&mut desk, before).iter().map(|it| it["actualValue"].clone()).collect();
    assert_eq!(told, ["B", "C"], "of what is no number every change counts");
}

fn told_device(component: &voltry_bus::Component, variable: voltry_bus::DeviceVariable) -> Told {
    told(component.clone(), vec![variable])
}

#[test]
fn periodic_monitors_tell_in_time_and_on_the_marks_of_the_clock() {
    let mut desk = desk();
    // The desk begins at 20:26:40.
    accepted(&mut desk, monitor(register(), "Periodic", 60.0, 8));
    accepted(&mut desk, monitor(register(), "PeriodicClockAligned", 300.0, 8));
    let before = desk.calls.len();
    for _ in 0..600 {
        desk.pass(1);
        desk.answer_all();
    }
    let told = events(&mut desk, before);
    assert!(told.iter().all(|event| event["trigger"] == "Periodic" && event["actualValue"] == "1000.0"));
    let times = |id: i64| -> Vec<String> {
        let of_it = told.iter().filter(|event| event["variableMonitoringId"] == id);
        of_it.map(|event| event["timestamp"].as_str().unwrap()[11..19].to_owned()).collect()
    };
    assert_eq!(times(1).len(), 10);
    assert_eq!(times(1)[..2], ["20:27:40", "20:28:40"]);
    assert_eq!(times(2), ["20:30:00", "20:35:00"]);
}

#[test]
fn a_monitor_of_a_transaction_tells_only_while_one_runs_there_and_which() {
    let mut desk = desk();
    let mut data = monitor(register(), "UpperThreshold", 1500.0, 5);
    data["transaction"] = true.into();
    accepted(&mut desk, data);
    let before = desk.calls.len();
    desk.meter_tells("2000.0");
    assert!(events(&mut desk, before).is_empty());
    for kind in [Kind::Plugged, Kind::Authorized, Kind::Started] {
        desk.happens(kind, 0);
    }
    desk.answer_all();
    desk.meter_tells("2001.0");
    let told = events(&mut desk, before);
    assert_eq!(told.len(), 1);
    let running = desk.calls.iter().find(|call| call.action == "TransactionEvent").unwrap();
    assert_eq!(told[0]["transactionId"], running.payload["transactionInfo"]["transactionId"]);
}

#[test]
fn what_cannot_be_watched_is_not() {
    let mut desk = desk();
    let name = |component: &str, variable: &str| json!({ "component": { "name": component }, "variable": { "name": variable } });
    let words: Vec<String> = set(
        &mut desk,
        &[
            monitor(name("Nonsense", "Nonsense"), "Delta", 1.0, 5),
            monitor(name("TxCtrlr", "Nonsense"), "Delta", 1.0, 5),
            monitor(name("TxCtrlr", "StopTxOnInvalidId"), "UpperThreshold", 1.0, 5),
            monitor(name("SecurityCtrlr", "BasicAuthPassword"), "Delta", 1.0, 5),
            monitor(register(), "Delta", -1.0, 5),
            monitor(register(), "Periodic", 0.0, 5),
            monitor(interval(), "UpperThreshold", 90_000.0, 5),
            monitor(interval(), "UpperThreshold", 100.0, 5),
            monitor(interval(), "UpperThreshold", 200.0, 5),
            monitor(interval(), "UpperThreshold", 200.0, 4),
        ],
    )
    .into_iter()
    .map(|(word, _)| word)
    .collect();
    let wanted = [
        "UnknownComponent",
        "UnknownVariable",
        "UnsupportedMonitorType",
        "UnsupportedMonitorType",
        "Rejected",
        "Rejected",
        "Rejected",
        "Accepted",
        "Duplicate",
        "Accepted",
    ];
    assert_eq!(words, wanted);
    let too_many: Vec<Value> = (0..65).map(|_| monitor(register(), "Delta", 1.0, 5)).collect();
    let answer = desk.ask("SetVariableMonitoring", &json!({ "setMonitoringData": too_many }));
    assert_eq!(answer, Err("OccurrenceConstraintViolation".to_owned()));
}

#[test]
fn monitors_are_replaced_by_their_number_cleared_and_outlive_a_restart() {
    let mut desk = desk();
    let id = accepted(&mut desk, monitor(register(), "UpperThreshold", 2000.0, 5));
    let mut again = monitor(register(), "LowerThreshold", 5.0, 3);
    again["id"] = id.into();
    assert_eq!(set(&mut desk, &[again]), [("Accepted".to_owned(), Some(id))]);
    let mut other = monitor(interval(), "Delta", 5.0, 3);
    other["id"] = id.into();
    assert_eq!(set(&mut desk, &[other])[0].0, "Rejected", "another variable's");
    desk.restart();
    desk.input(Input::Connected);
    desk.answered = desk.calls.len() - 1;
    desk.answer_boot("Accepted", 300);
    desk.answer_all();
    desk.devices_tell();
    let report = |desk: &mut Desk, more: Value| {
        let mut asked = json!({ "requestId": 7 });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let before = desk.calls.len();
        let word = desk.ask("GetMonitoringReport", &asked).unwrap()["status"].clone();
        desk.answer_all();
        let calls = desk.calls[before..].iter().filter(|call| call.action == "NotifyMonitoringReport");
        let entries: Vec<Value> =
            calls.flat_map(|call| call.payload["monitor"].as_array().unwrap().clone()).collect();
        (word, entries)
    };
    let (word, entries) = report(&mut desk, json!({}));
    assert_eq!((word, entries.len()), (json!("Accepted"), 1));
    let told = &entries[0]["variableMonitoring"][0];
    let wanted =
        json!({ "id": id, "transaction": false, "value": 5.0, "type": "LowerThreshold", "severity": 3 });
    assert_eq!(*told, wanted);
    for (criteria, found) in [
        (json!({ "monitoringCriteria": ["ThresholdMonitoring"] }), 1),
        (json!({ "monitoringCriteria": ["DeltaMonitoring", "PeriodicMonitoring"] }), 0),
        (json!({ "componentVariable": [{ "component": { "name": "FiscalMetering" } }] }), 1),
        (json!({ "componentVariable": [{ "component": { "name": "EVSE" } }] }), 0),
    ] {
        let (word, entries) = report(&mut desk, criteria.clone());
        assert_eq!(entries.len(), found, "{criteria}");
        assert_eq!(word, if found == 0 { "EmptyResultSet" } else { "Accepted" });
    }
    let answer = desk.ask("ClearVariableMonitoring", &json!({ "id": [id, id] })).unwrap();
    assert_eq!(
        answer["clearMonitoringResult"],
        json!([{ "id": id, "status": "Accepted" }, { "id": id, "status": "NotFound" }])
    );
    let fresh = accepted(&mut desk, monitor(register(), "Delta", 1.0, 5));
    assert!(fresh > id, "a number is never given twice");
}

#[test]
fn the_base_and_the_level_decide_what_is_told() {
    let mut desk = desk();
    accepted(&mut desk, monitor(register(), "Delta", 0.0, 6));
    let told_by = |desk: &mut Desk, value: &str| {
        let before = desk.calls.len();
        desk.meter_tells(value);
        events(desk, before).len()
    };
    let status = |desk: &mut Desk, action: &str, payload: Value| {
        desk.ask(action, &payload).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(told_by(&mut desk, "1.0"), 1);
    assert_eq!(status(&mut desk, "SetMonitoringLevel", json!({ "severity": 10 })), "Rejected");
    assert_eq!(status(&mut desk, "SetMonitoringLevel", json!({ "severity": 5 })), "Accepted");
    assert_eq!(told_by(&mut desk, "2.0"), 0);
    assert_eq!(status(&mut desk, "SetMonitoringLevel", json!({ "severity": 6 })), "Accepted");
    assert_eq!(told_by(&mut desk, "3.0"), 1);
    for (base, kept) in [("All", 1), ("FactoryDefault", 0)] {
        assert_eq!(status(&mut desk, "SetMonitoringBase", json!({ "monitoringBase": base })), "Accepted");
        assert_eq!(told_by(&mut desk, &format!("{kept}00.0")), kept, "{base}");
    }
    assert_eq!(
        status(&mut desk, "SetMonitoringBase", json!({ "monitoringBase": "HardWiredOnly" })),
        "Accepted"
    );
    let before = desk.calls.len();
    desk.board_tells(vec![fault("MREC8EmergencyStop", "input 1")]);
    assert_eq!(events(&mut desk, before).len(), 1, "faults are told all the same");
    let asked = json!({ "getVariableData": [
        { "component": { "name": "MonitoringCtrlr" }, "variable": { "name": "ActiveMonitoringBase" } },
        { "component": { "name": "MonitoringCtrlr" }, "variable": { "name": "ActiveMonitoringLevel" } },
    ] });
    let answer = desk.ask("GetVariables", &asked).unwrap();
    let value = |place: usize| answer["getVariableResult"][place]["attributeValue"].clone();
    assert_eq!((value(0), value(1)), (json!("HardWiredOnly"), json!("6")));
}

#[test]
fn a_fault_is_a_problem_of_its_component_and_is_cleared_when_it_is_gone() {
    let mut desk = desk();
    desk.pass(30);
    desk.answer_all();
    let before = desk.calls.len();
    desk.board_tells(vec![fault("MREC8EmergencyStop", "input 1 is active")]);
    let evse = told(voltry_bus::Component::new("EVSE").of_evse(1), Vec::new());
    let part = |(name, path): (&str, &str)| voltry_bus::Part { name: name.to_owned(), path: path.to_owned() };
    let parts = vec![part(METER), part(BOARD)];
    let well = Told { parts, ..evse };
    // The EVSE stops for it, and tells it once more; and for another reason besides.
    let faults =
        vec![fault("MREC8EmergencyStop", "the board says so"), fault("PowerSupplyFailed", "it is off")];
    desk.tells(EVSE, Told { faults, ..well.clone() });
    let told = events(&mut desk, before);
    assert_eq!(told.len(), 2, "one fault is told once: {told:?}");
    let stop = &told[0];
    assert_eq!(
        stop["component"],
        json!({ "name": "EmergencyStopSensor", "evse": { "id": 1, "connectorId": 1 } })
    );
    assert_eq!(stop["variable"], json!({ "name": "Problem" }));
    assert_eq!((stop["actualValue"].as_str(), stop["cleared"].as_bool()), (Some("true"), Some(false)));
    assert_eq!(
        (stop["techCode"].as_str(), stop["techInfo"].as_str()),
        (Some("MREC8EmergencyStop"), Some("input 1 is active"))
    );
    assert_eq!(
        (stop["eventNotificationType"].as_str(), stop["trigger"].as_str()),
        (Some("HardWiredNotification"), Some("Alerting"))
    );
    assert_eq!(told[1]["component"], json!({ "name": "EVSE", "evse": { "id": 1 } }));
    assert_eq!(told[1]["cause"], stop["eventId"], "the EVSE's problem came of its part's");
    let before = desk.calls.len();
    desk.board_tells(Vec::new());
    assert!(events(&mut desk, before).is_empty(), "the EVSE still has it");
    desk.tells(EVSE, well);
    let over = events(&mut desk, before);
    assert_eq!(over.len(), 2);
    assert!(over.iter().all(|event| event["cleared"] == true && event["actualValue"] == "false"));
}

#[test]
fn a_lock_that_fails_is_told_as_g05_wants_it() {
    let mut desk = desk();
    let before = desk.calls.len();
    desk.board_tells(vec![fault("MREC1ConnectorLockFailure", "not locked within 3 s")]);
    let told = events(&mut desk, before);
    assert_eq!(told.len(), 1);
    let place = json!({ "name": "ConnectorPlugRetentionLock", "evse": { "id": 1, "connectorId": 1 } });
    assert_eq!((&told[0]["component"], &told[0]["actualValue"]), (&place, &json!("true")));
    let mut asked = json!({ "variable": { "name": "Problem" } });
    asked["component"] = place;
    let answer = desk.ask("GetVariables", &json!({ "getVariableData": [asked] })).unwrap();
    assert_eq!(answer["getVariableResult"][0]["attributeValue"], "true");
}

#[test]
fn a_daemon_that_stays_away_is_a_problem_and_one_that_comes_back_at_once_is_none() {
    let mut desk = desk();
    desk.pass(30);
    desk.answer_all();
    let away = || Input::DeviceAway((METER.0.to_owned(), METER.1.to_owned()));
    let before = desk.calls.len();
    desk.input(away());
    desk.pass(9);
    desk.meter_tells("1000.0");
    desk.pass(20);
    assert!(events(&mut desk, before).is_empty());
    desk.input(away());
    desk.pass(11);
    let told = events(&mut desk, before);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0]["techCode"].as_str(), told[0]["cleared"].as_bool()), (Some("NoAnswer"), Some(false)));
    desk.meter_tells("1000.0");
    assert_eq!(events(&mut desk, before)[1]["cleared"], true);
}

#[test]
fn what_is_important_waits_for_the_csms_through_an_outage_and_a_restart() {
    let mut desk = desk();
    accepted(&mut desk, monitor(register(), "Delta", 0.0, 6));
    lost(&mut desk);
    let before = desk.calls.len();
    desk.seconds += 100;
    desk.meter_tells("1.0");
    desk.board_tells(vec![fault("MREC3HighTemperature", "91 °C")]);
    desk.seconds += 100;
    desk.restart();
    desk.answered = desk.calls.len();
    desk.input(Input::Connected);
    desk.answer_boot("Accepted", 300);
    let told = events(&mut desk, before);
    assert_eq!(told.len(), 1, "the monitor's 6 is above OfflineQueuingSeverity: {told:?}");
    assert_eq!(told[0]["techCode"], "MREC3HighTemperature");
    assert_eq!(told[0]["timestamp"], "2026-05-28T20:28:20.000Z", "when it was");
    // Nobody calls it over because the daemons have not been heard yet.
    let before = desk.calls.len();
    desk.devices_tell();
    desk.board_tells(vec![fault("MREC3HighTemperature", "91 °C")]);
    desk.pass(60);
    assert!(events(&mut desk, before).is_empty(), "it was told already");
    desk.board_tells(Vec::new());
    let over = events(&mut desk, before);
    assert_eq!((over.len(), over[0]["cleared"].as_bool()), (1, Some(true)));
    assert_ne!(over[0]["eventId"], told[0]["eventId"]);
}

#[test]
fn what_the_csms_does_not_take_is_tried_again_and_then_left_out() {
    let mut desk = desk();
    desk.board_tells(vec![fault("MREC3HighTemperature", "91 °C")]);
    for attempt in 0..3 {
        assert_eq!(desk.open().map(|call| call.action.as_str()), Some("NotifyEvent"), "attempt {attempt}");
        desk.answer_error("InternalError");
        desk.pass(11);
    }
    assert_ne!(desk.open().map(|call| call.action.as_str()), Some("NotifyEvent"));
    desk.restart();
    assert_eq!(desk.store.events().unwrap().0, []);
}

#[test]
fn a_csms_of_1_6_hears_no_events() {
    let mut desk = Desk::accepted(Version::V16);
    desk.devices_tell();
    let before = desk.calls.len();
    desk.board_tells(vec![fault("MREC8EmergencyStop", "input 1")]);
    desk.pass(100);
    desk.answer_all();
    assert!(!desk.actions(before).contains(&"NotifyEvent"));
}

#[test]
fn a_device_that_does_not_answer_its_daemon_is_a_problem_after_a_while() {
    let mut desk = desk();
    desk.pass(30);
    desk.answer_all();
    let before = desk.calls.len();
    let meter = voltry_bus::Component::new("FiscalMetering").instance("dc1");
    let silent = Told { online: false, ..told(meter, Vec::new()) };
    for _ in 0..9 {
        desk.tells(METER, silent.clone());
        desk.pass(1);
    }
    assert!(events(&mut desk, before).is_empty(), "it may be on its way");
    desk.pass(2);
    let told = events(&mut desk, before);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0]["techCode"].as_str(), told[0]["severity"].as_i64()), (Some("NoAnswer"), None));
}
