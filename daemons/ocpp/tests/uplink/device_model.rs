//! The station's variables, whoever has them (B05 to B08; 1.6's configuration).

use serde_json::{Value, json};
use voltry_bus::{Component, DeviceVariable};
use voltry_ocpp::Version;
use voltry_ocpp::uplink::{Command, Input, Outcome, Written};

use crate::desk::Desk;
use crate::devices::{BOARD, EVSE, METER, STATION, told};

fn meter() -> Value {
    json!({ "name": "FiscalMetering", "instance": "dc1", "evse": { "id": 1 } })
}

fn named(component: Value, variable: &str) -> Value {
    json!({ "component": component, "variable": { "name": variable } })
}

fn read(desk: &mut Desk, component: Value, variable: &str) -> (String, Option<String>) {
    let answer =
        desk.ask("GetVariables", &json!({ "getVariableData": [named(component, variable)] })).unwrap();
    let result = &answer["getVariableResult"][0];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    (text(&result["attributeStatus"]).unwrap(), text(&result["attributeValue"]))
}

fn known(word: &str, value: &str) -> (String, Option<String>) {
    (word.to_owned(), Some(value.to_owned()))
}

fn set(component: Value, variable: &str, value: &str) -> Value {
    let mut data = named(component, variable);
    data["attributeValue"] = value.into();
    data
}

fn statuses(answer: &Value) -> Vec<&str> {
    let results = answer["setVariableResult"].as_array().unwrap();
    results.iter().map(|result| result["attributeStatus"].as_str().unwrap()).collect()
}

#[test]
fn what_daemons_tell_is_read_where_it_belongs() {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    assert_eq!(read(&mut desk, meter(), "EnergyImportRegister"), known("Accepted", "1000.0"));
    let shouted = json!({ "name": "FISCALMETERING", "instance": "DC1", "evse": { "id": 1 } });
    assert_eq!(read(&mut desk, shouted, "energyimportregister"), known("Accepted", "1000.0"));
    assert_eq!(read(&mut desk, meter(), "Manufacturer"), known("Accepted", "Acme"));
    assert_eq!(read(&mut desk, meter(), "Problem"), known("Accepted", "false"));
    assert_eq!(read(&mut desk, meter(), "Nonsense").0, "UnknownVariable");
    for other in [
        json!({ "name": "FiscalMetering", "instance": "dc1" }),
        json!({ "name": "FiscalMetering", "instance": "dc1", "evse": { "id": 2 } }),
        json!({ "name": "FiscalMetering", "evse": { "id": 1 } }),
        json!({ "name": "OCPPCommCtrlr", "evse": { "id": 1 } }),
    ] {
        assert_eq!(read(&mut desk, other.clone(), "EnergyImportRegister").0, "UnknownComponent", "{other}");
    }
    let evse = json!({ "name": "EVSE", "evse": { "id": 1 } });
    for (attribute, word, value) in [
        ("Actual", "Accepted", Some("0.0")),
        ("MaxSet", "Accepted", Some("60000")),
        ("MinSet", "Accepted", Some("0")),
        ("Target", "NotSupportedAttributeType", None),
    ] {
        let mut data = named(evse.clone(), "Power");
        data["attributeType"] = attribute.into();
        let answer = desk.ask("GetVariables", &json!({ "getVariableData": [data] })).unwrap();
        let result = &answer["getVariableResult"][0];
        assert_eq!(
            (result["attributeStatus"].as_str(), result["attributeValue"].as_str()),
            (Some(word), value)
        );
    }
}

#[test]
fn the_station_its_evses_and_connectors_have_what_2_0_1_requires() {
    let mut desk = Desk::accepted(Version::V201);
    let connector = json!({ "name": "Connector", "evse": { "id": 1, "connectorId": 1 } });
    let evse = json!({ "name": "EVSE", "evse": { "id": 1 } });
    let station = json!({ "name": "ChargingStation" });
    for (component, variable, value) in [
        (station.clone(), "AvailabilityState", "Available"),
        (station.clone(), "Available", "true"),
        (station, "SupplyPhases", "3"),
        (evse.clone(), "AvailabilityState", "Available"),
        (evse.clone(), "Available", "true"),
        (evse.clone(), "SupplyPhases", "0"),
        (connector.clone(), "AvailabilityState", "Available"),
        (connector.clone(), "Available", "true"),
        (connector.clone(), "ConnectorType", "cCCS2"),
        (connector, "SupplyPhases", "0"),
    ] {
        assert_eq!(read(&mut desk, component.clone(), variable), known("Accepted", value), "{component}");
    }
    // Its power is the daemon's to tell.
    assert_eq!(read(&mut desk, evse.clone(), "Power").0, "UnknownVariable");
    desk.devices_tell();
    assert_eq!(read(&mut desk, evse, "Power"), known("Accepted", "0.0"));
}

#[test]
fn a_daemon_that_is_away_is_not_available_and_what_it_measured_is_not_known() {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    desk.input(Input::DeviceAway((METER.0.to_owned(), METER.1.to_owned())));
    assert_eq!(read(&mut desk, meter(), "Available"), known("Accepted", "false"));
    assert_eq!(read(&mut desk, meter(), "Problem"), known("Accepted", "true"));
    assert_eq!(read(&mut desk, meter(), "EnergyImportRegister"), ("Rejected".to_owned(), None));
    desk.meter_tells("1001.0");
    assert_eq!(read(&mut desk, meter(), "Available"), known("Accepted", "true"));
    assert_eq!(read(&mut desk, meter(), "EnergyImportRegister"), known("Accepted", "1001.0"));
}

#[test]
fn a_device_of_two_evses_belongs_to_the_station() {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    let part = voltry_bus::Part { name: METER.0.to_owned(), path: METER.1.to_owned() };
    let second = told(Component::new("EVSE").of_evse(2), Vec::new());
    desk.tells(
        ("org.voltry.Evse.N2", "/org/voltry/evse/2"),
        voltry_ocpp::model::Told { parts: vec![part], ..second },
    );
    let shared = json!({ "name": "FiscalMetering", "instance": "dc1" });
    assert_eq!(read(&mut desk, shared, "EnergyImportRegister"), known("Accepted", "1000.0"));
    assert_eq!(read(&mut desk, meter(), "EnergyImportRegister").0, "UnknownComponent");
}

#[test]
fn a_variable_of_a_daemon_is_written_there_and_its_word_is_the_answer() {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    let interval = json!({ "name": "SampledDataCtrlr" });
    let timeout = json!({ "name": "TxCtrlr" });
    let heartbeat = json!({ "name": "OCPPCommCtrlr" });
    let asked = json!({ "setVariableData": [
        set(interval.clone(), "TxUpdatedInterval", "15"),
        set(heartbeat, "HeartbeatInterval", "77"),
        set(timeout.clone(), "EVConnectionTimeOut", "0"),
        set(meter(), "EnergyImportRegister", "0"),
        set(json!({ "name": "Nonsense" }), "Nonsense", "0"),
    ] });
    assert_eq!(desk.ask("SetVariables", &asked), Err("nothing yet".to_owned()));
    let Some((_, Command::Write(writes))) = desk.commands.last() else { panic!("{:?}", desk.commands) };
    let wanted: Vec<_> = writes
        .iter()
        .map(|it| (it.target.name.as_str(), it.target.setting.as_str(), it.value.as_str()))
        .collect();
    assert_eq!(wanted, [(STATION.0, "reading_interval", "15"), (STATION.0, "connection_timeout", "0")]);
    let outcomes =
        vec![Written::Holds, Written::Refused("connection_timeout is from 1 to 3600 s".to_owned())];
    let answer = desk.done(Outcome::Wrote(outcomes)).unwrap().unwrap();
    assert_eq!(statuses(&answer), ["Accepted", "Accepted", "Rejected", "Rejected", "UnknownComponent"]);
    let why = &answer["setVariableResult"][2]["attributeStatusInfo"]["additionalInfo"];
    assert_eq!(why, "connection_timeout is from 1 to 3600 s");
    assert_eq!(read(&mut desk, interval, "TxUpdatedInterval"), known("Accepted", "15"), "at once");
    assert_eq!(read(&mut desk, timeout, "EVConnectionTimeOut"), known("Accepted", "60"));
}

#[test]
fn a_daemon_that_does_not_answer_or_is_not_there_takes_no_value() {
    for version in [Version::V16, Version::V201] {
        let mut desk = Desk::accepted(version);
        let (action, payload) = match version {
            Version::V16 => {
                ("ChangeConfiguration", json!({ "key": "MeterValueSampleInterval", "value": "15" }))
            }
            Version::V201 => {
                let data = set(json!({ "name": "SampledDataCtrlr" }), "TxUpdatedInterval", "15");
                ("SetVariables", json!({ "setVariableData": [data] }))
            }
        };
        let word = |answer: &Value| match version {
            Version::V16 => answer["status"].clone(),
            Version::V201 => answer["setVariableResult"][0]["attributeStatus"].clone(),
        };
        assert_eq!(word(&desk.ask(action, &payload).unwrap()), "Rejected", "nobody is there");
        desk.station_tells("60");
        assert_eq!(desk.ask(action, &payload), Err("nothing yet".to_owned()));
        assert_eq!(word(&desk.done(Outcome::Silent).unwrap().unwrap()), "Rejected");
        assert_eq!(desk.ask(action, &payload), Err("nothing yet".to_owned()));
        let answer = desk.done(Outcome::Wrote(vec![Written::Restart])).unwrap().unwrap();
        assert_eq!(word(&answer), "RebootRequired");
    }
}

#[test]
fn keys_of_1_6_are_the_daemons_settings_too() {
    let mut desk = Desk::accepted(Version::V16);
    desk.station_tells("60");
    let fan = Component::new("AirCoolingSystem");
    let speed = DeviceVariable {
        setting: "fan_speed".to_owned(),
        ..DeviceVariable::integer(&fan, "FanSpeed", 50).within(10.0, 100.0)
    };
    desk.tells(("com.example.Fan1", "/org/voltry/fan/1"), told(fan, vec![speed]));
    let value = |desk: &mut Desk, key: &str| {
        let answer = desk.ask("GetConfiguration", &json!({ "key": [key] })).unwrap();
        answer["configurationKey"][0]["value"].clone()
    };
    assert_eq!(value(&mut desk, "MeterValueSampleInterval"), "60");
    assert_eq!(value(&mut desk, "NumberOfConnectors"), "1");
    assert_eq!(value(&mut desk, "AirCoolingSystem.FanSpeed"), "50");
    let all = desk.ask("GetConfiguration", &json!({})).unwrap();
    let keys = all["configurationKey"].as_array().unwrap();
    assert!(keys.iter().any(|item| item["key"] == "AirCoolingSystem.FanSpeed" && item["readonly"] == false));
    assert!(!keys.iter().any(|item| item["key"] == "SampledDataCtrlr.TxUpdatedInterval"), "it has a key");
    for (key, setting) in
        [("MeterValueSampleInterval", "reading_interval"), ("aircoolingsystem.fanspeed", "fan_speed")]
    {
        let asked = json!({ "key": key, "value": "70" });
        assert_eq!(desk.ask("ChangeConfiguration", &asked), Err("nothing yet".to_owned()));
        let Some((_, Command::Write(writes))) = desk.commands.last() else { panic!() };
        assert_eq!((writes[0].target.setting.as_str(), writes[0].value.as_str()), (setting, "70"));
        let answer = desk.done(Outcome::Wrote(vec![Written::Holds]));
        assert_eq!(answer, Some(Ok(json!({ "status": "Accepted" }))));
        assert_eq!(value(&mut desk, key), "70");
    }
}

#[test]
fn what_the_configuration_says_is_written_once_and_only_until_the_csms_writes() {
    let mut desk = Desk::configured(Version::V16, "MeterValueSampleInterval", "5");
    desk.station_tells("60");
    let written = |desk: &Desk| {
        let writes = |command: &Command| matches!(command, Command::Write(_));
        desk.commands.iter().filter(|(_, command)| writes(command)).count()
    };
    assert_eq!(written(&desk), 1);
    desk.station_tells("60");
    assert_eq!(written(&desk), 1, "once is enough");
    desk.station_tells("5");
    desk.ask("ChangeConfiguration", &json!({ "key": "MeterValueSampleInterval", "value": "9" })).unwrap_err();
    desk.done(Outcome::Wrote(vec![Written::Holds]));
    desk.restart();
    let before = written(&desk);
    desk.station_tells("9");
    assert_eq!(written(&desk), before, "the CSMS has spoken");
}

fn report(desk: &mut Desk, action: &str, payload: &Value) -> Vec<Value> {
    let before = desk.calls.len();
    assert_eq!(desk.ask(action, payload), Ok(json!({ "status": "Accepted" })), "{action} {payload}");
    desk.answer_all();
    let parts: Vec<Value> = desk.calls[before..].iter().map(|call| call.payload.clone()).collect();
    let mut reported = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        assert_eq!(part["requestId"], payload["requestId"]);
        assert_eq!(part["seqNo"], number);
        assert_eq!(part["tbc"], number + 1 < parts.len(), "part {number} of {}", parts.len());
        assert!(part.to_string().len() < 32 * 1024, "{}", part.to_string().len());
        let data = part["reportData"].as_array().unwrap();
        assert!(data.len() <= 40);
        reported.extend(data.iter().cloned());
    }
    reported
}

fn names(reported: &[Value]) -> Vec<String> {
    let name = |item: &Value| {
        let component = &item["component"];
        let evse = component["evse"]["id"].as_u64().map_or_else(String::new, |evse| format!("@{evse}"));
        format!(
            "{}{evse}.{}",
            component["name"].as_str().unwrap(),
            item["variable"]["name"].as_str().unwrap()
        )
    };
    reported.iter().map(name).collect()
}

#[test]
fn a_report_is_whole_and_comes_in_parts_of_bounded_size() {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    let rack = Component::new("AcDcConverter");
    let one = |number: usize| {
        let module = rack.clone().instance(&format!("module {number} {}", "x".repeat(30)));
        DeviceVariable::text(&module, "State", &"long words ".repeat(90))
    };
    desk.tells(
        ("org.voltry.Power1", "/org/voltry/power_supply/1"),
        told(rack.clone(), (0..256).map(one).collect()),
    );
    let full = report(&mut desk, "GetBaseReport", &json!({ "requestId": 3, "reportBase": "FullInventory" }));
    let all = names(&full);
    assert_eq!(all.iter().filter(|name| *name == "AcDcConverter.State").count(), 256);
    for wanted in [
        "EVSE@1.Power",
        "EVSE@1.AvailabilityState",
        "FiscalMetering@1.EnergyImportRegister",
        "TxCtrlr.EVConnectionTimeOut",
    ] {
        assert_eq!(all.iter().filter(|name| *name == wanted).count(), 1, "{wanted}");
    }
    let addresses: Vec<String> =
        full.iter().map(|item| format!("{}{}", item["component"], item["variable"])).collect();
    let mut distinct = addresses.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), addresses.len(), "each variable once");
    let writable = report(
        &mut desk,
        "GetBaseReport",
        &json!({ "requestId": 4, "reportBase": "ConfigurationInventory" }),
    );
    assert!(writable.iter().all(|item| item["variableAttribute"][0]["mutability"] != "ReadOnly"));
    let writable = names(&writable);
    assert!(writable.contains(&"SampledDataCtrlr.TxUpdatedInterval".to_owned()), "{writable:?}");
    assert!(writable.contains(&"SecurityCtrlr.BasicAuthPassword".to_owned()));
}

#[test]
fn a_summary_tells_what_may_be_charged_at_and_what_is_wrong() {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    let asked = json!({ "requestId": 1, "reportBase": "SummaryInventory" });
    let well = names(&report(&mut desk, "GetBaseReport", &asked));
    let states =
        ["ChargingStation.AvailabilityState", "Connector@1.AvailabilityState", "EVSE@1.AvailabilityState"];
    assert_eq!(well, states);
    desk.input(Input::DeviceAway((METER.0.to_owned(), METER.1.to_owned())));
    let ill = names(&report(&mut desk, "GetBaseReport", &asked));
    assert!(ill.contains(&"FiscalMetering@1.Problem".to_owned()), "{ill:?}");
}

#[test]
fn a_custom_report_has_what_fits_its_names_and_criteria() {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    let names = |desk: &mut Desk, more: Value| {
        let mut asked = json!({ "requestId": 9 });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        names(&report(desk, "GetReport", &asked))
    };
    // Neither EVSE nor instance named: any.
    let registers = json!({ "componentVariable": [{ "component": { "name": "FiscalMetering" }, "variable": { "name": "EnergyImportRegister" } }] });
    assert_eq!(names(&mut desk, registers), ["FiscalMetering@1.EnergyImportRegister"]);
    let whole = json!({ "componentVariable": [{ "component": meter() }] });
    let whole = names(&mut desk, whole);
    assert!(whole.len() > 3 && whole.iter().all(|name| name.starts_with("FiscalMetering@1.")), "{whole:?}");
    let items = json!({ "componentVariable": [{ "component": { "name": "DeviceDataCtrlr" }, "variable": { "name": "ItemsPerMessage" } }] });
    assert_eq!(names(&mut desk, items).len(), 3, "each instance");
    let none = json!({ "requestId": 9, "componentVariable": [{ "component": { "name": "Nonsense" } }] });
    assert_eq!(desk.ask("GetReport", &none), Ok(json!({ "status": "EmptyResultSet" })));
    let problem = json!({ "requestId": 9, "componentCriteria": ["Problem"] });
    assert_eq!(desk.ask("GetReport", &problem), Ok(json!({ "status": "EmptyResultSet" })));
    desk.input(Input::DeviceAway((METER.0.to_owned(), METER.1.to_owned())));
    let ill = names(&mut desk, json!({ "componentCriteria": ["Problem"] }));
    assert!(ill.iter().all(|name| name.starts_with("FiscalMetering@1.")) && ill.len() > 3, "{ill:?}");
    let available = names(&mut desk, json!({ "componentCriteria": ["Available"] }));
    assert!(!available.iter().any(|name| name.starts_with("FiscalMetering")));
    assert!(available.iter().any(|name| name.starts_with("EVSE@1.")));
    let both = json!({ "requestId": 9, "componentCriteria": ["Problem"], "componentVariable": [{ "component": { "name": "EVSE" } }] });
    assert_eq!(desk.ask("GetReport", &both), Ok(json!({ "status": "EmptyResultSet" })));
}

#[test]
fn reports_that_wait_are_few() {
    let mut desk = Desk::accepted(Version::V201);
    let mut words = Vec::new();
    for number in 0..20 {
        let asked = json!({ "requestId": number, "reportBase": "FullInventory" });
        words.push(desk.ask("GetBaseReport", &asked).unwrap()["status"].clone());
    }
    assert_eq!(words.iter().filter(|word| *word == "Accepted").count(), 4);
    desk.answer_all();
    let asked = json!({ "requestId": 99, "reportBase": "FullInventory" });
    assert_eq!(desk.ask("GetBaseReport", &asked), Ok(json!({ "status": "Accepted" })));
}

#[test]
fn what_a_hostile_daemon_tells_is_bounded_and_hides_nothing() {
    let mut desk = Desk::accepted(Version::V201);
    desk.devices_tell();
    let own = Component::new("OCPPCommCtrlr");
    let mine = DeviceVariable {
        setting: "mine".to_owned(),
        ..DeviceVariable::integer(&own, "HeartbeatInterval", 1)
    };
    desk.tells(("com.example.Bad1", "/org/voltry/bad/1"), told(own.clone(), vec![mine]));
    let heartbeat = read(&mut desk, json!({ "name": "OCPPCommCtrlr" }), "HeartbeatInterval");
    assert_eq!(heartbeat, known("Accepted", "300"), "the uplink's own stays its own");
    for number in 0..1000 {
        let path = format!("/org/voltry/bad/{number}");
        let component = Component::new(&"c".repeat(500)).instance(&"i".repeat(500));
        let long = DeviceVariable::text(&component, &"v".repeat(500), &"w".repeat(100_000));
        desk.tells(("com.example.Bad1", &path), told(component, vec![long]));
    }
    let full = report(&mut desk, "GetBaseReport", &json!({ "requestId": 3, "reportBase": "FullInventory" }));
    assert!(full.len() < 500, "{}", full.len());
    assert_eq!(read(&mut desk, meter(), "EnergyImportRegister"), known("Accepted", "1000.0"));
    let _ = (BOARD, EVSE);
}
