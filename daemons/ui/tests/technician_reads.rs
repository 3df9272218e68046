//! What the technician's page reads of others: what vehicles said, and the journal.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::rig;

use std::os::unix::fs::PermissionsExt as _;

use rig::page::Page;
use rig::status;
use voltry_bus::{
    Component, CsmsMessage, DeviceVariable, Error, RecordedEntry, RecordedSample, RecordedSession,
    V2gConversation, V2gMessage, names,
};
use zbus::{Connection, fdo, interface};

/// Who speaks with the vehicles of EVSE 1.
struct Link;

#[interface(name = "org.voltry.V2gLog1")]
impl Link {
    fn conversations(&self) -> Vec<V2gConversation> {
        vec![V2gConversation {
            began: 1_700_000_000_000_000,
            protocol: "ISO 15118-2:2014".to_owned(),
            ended: "the vehicle ended it in welding-detection".to_owned(),
            left_out: 3,
        }]
    }

    fn read(&self, began: i64) -> fdo::Result<Vec<V2gMessage>> {
        if began != 1_700_000_000_000_000 {
            return Err(fdo::Error::InvalidArgs("none began then".to_owned()));
        }
        Ok(vec![V2gMessage {
            time: began,
            by_vehicle: true,
            name: "SessionSetupReq".to_owned(),
            text: "EVCCID <02:56>".to_owned(),
            payload_type: 0x8001,
            payload: vec![1],
        }])
    }
}

async fn link(page: &Page) -> Connection {
    let connection = voltry_service::connect(Some(&page.rig.bus.address)).await.unwrap();
    connection.object_server().at("/org/voltry/ev_link/1", Link).await.unwrap();
    connection.request_name("com.example.Link").await.unwrap();
    connection
}

#[tokio::test]
async fn what_a_vehicle_said_is_shown_to_whoever_operates_and_to_nobody_else() {
    let bound = "[evse.1]\nev_link = { name = \"com.example.Link\", path = \"/org/voltry/ev_link/1\" }\n";
    let page = Page::start_with(bound, &[]).await;
    let operator = page.login("ben", "operate this").await.unwrap();
    let away = page.ask("GET /v2g", &operator, "").await;
    assert!(away.contains("of EVSE 1 does not answer"), "{away}");
    let link = link(&page).await;
    let all = page.ask("GET /v2g", &operator, "").await;
    assert!(all.contains("/v2g/1/1700000000000000") && all.contains("welding-detection"), "{all}");
    let said = page.ask("GET /v2g/1/1700000000000000", &operator, "").await;
    for part in ["SessionSetupReq", "EVCCID &lt;02:56&gt;", "3 messages are not shown"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let capture = page.ask("GET /v2g/1/1700000000000000/pcap", &operator, "").await;
    assert!(capture.starts_with("HTTP/1.1 200") && capture.contains("filename=\"evse-1-17"), "{capture}");
    for unknown in ["/v2g/1/1", "/v2g/1/-1", "/v2g/1/1/pcap"] {
        let answer = page.ask(&format!("GET {unknown}"), &operator, "").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{unknown}: {answer}");
    }
    let nobody = page.ask("GET /v2g/2/1", &operator, "").await;
    assert!(nobody.starts_with("HTTP/1.1 502"), "{nobody}");
    let viewer = page.login("anna", "view this").await.unwrap();
    for path in ["/v2g", "/v2g/1/1700000000000000", "/v2g/1/1700000000000000/pcap", "/logs"] {
        let refused = page.ask(&format!("GET {path}"), &viewer, "").await;
        assert!(refused.starts_with("HTTP/1.1 403") && !refused.contains("EVCCID"), "{path}: {refused}");
    }
    drop(link);
}

/// A journal of two entries; the second shows how it was asked.
const JOURNAL: &str = r#"#!/bin/sh
echo '{"__REALTIME_TIMESTAMP":"1700000000000000","PRIORITY":"4","SYSLOG_IDENTIFIER":"voltry-secc","MESSAGE":"no <match>"}'
echo 'rubbish'
echo '{"__REALTIME_TIMESTAMP":"1700000000000000","PRIORITY":"6","SYSLOG_IDENTIFIER":"journalctl","MESSAGE":"'"$*"'"}'
"#;

#[tokio::test]
async fn the_journal_is_searched_and_what_is_looked_for_is_no_argument_of_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("journalctl");
    std::fs::write(&program, JOURNAL).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let page = Page::start_with("", &[("PATH", path.as_ref())]).await;
    let operator = page.login("ben", "operate this").await.unwrap();
    let all = page.ask("GET /logs", &operator, "").await;
    assert!(all.contains("no &lt;match&gt;") && all.contains("--priority info"), "{all}");
    let found = page.ask("GET /logs?search=MATCH&level=error", &operator, "").await;
    assert!(found.contains("voltry-secc") && !found.contains("--priority"), "{found}");
    let nothing = page.ask("GET /logs?search=--file=/etc/passwd&level=error", &operator, "").await;
    assert!(nothing.contains("no such line") && !nothing.contains("--priority"), "{nothing}");
    let refused = page.ask("GET /logs?level=debug", &operator, "").await;
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
}

#[tokio::test]
async fn without_a_journal_the_page_says_so() {
    let page = Page::start_with("", &[("PATH", "/nowhere".as_ref())]).await;
    let operator = page.login("ben", "operate this").await.unwrap();
    let page = page.ask("GET /logs", &operator, "").await;
    assert!(page.contains("The journal cannot be read"), "{page}");
}

/// What `voltry-station` recorded of a session of ten seconds.
struct Recorder;

const PLUGGED: i64 = 1_700_000_000_000_000;

#[interface(name = "org.voltry.Recorder1")]
impl Recorder {
    fn sessions(&self, _limit: u32) -> Vec<RecordedSession> {
        vec![RecordedSession {
            number: 3,
            evse: 1,
            transaction: 7,
            plugged: PLUGGED,
            unplugged: PLUGGED + 10_000_000,
            why: "The vehicle <ended> it".to_owned(),
            left_out: 0,
        }]
    }

    #[zbus(out_args("session", "entries", "samples"))]
    fn read(&self, number: u64) -> Result<(RecordedSession, Vec<RecordedEntry>, Vec<RecordedSample>), Error> {
        if number != 3 {
            return Err(Error::Invalid("there is no such session".to_owned()));
        }
        let entry = |after: i64, kind: &str, text: &str| RecordedEntry {
            time: PLUGGED + after * 1_000_000,
            kind: kind.to_owned(),
            source: "evse".to_owned(),
            text: text.to_owned(),
        };
        let entries = vec![
            entry(0, "phase", "connected"),
            entry(2, "phase", "charging"),
            entry(6, "fault", "MeterStuck: <stuck>"),
            entry(6, "phase", "stopping"),
        ];
        let sample = |second: i64| RecordedSample {
            time: PLUGGED + second * 1_000_000,
            voltage: 400.0,
            current: 100.0,
            target_voltage: 410.0,
            target_current: 125.0,
            power_offered: 50_000.0,
            soc: 42.0,
            energy: 10.0,
        };
        Ok((self.sessions(1).remove(0), entries, (2..=6).map(sample).collect()))
    }
}

/// The back end's side of it.
struct CsmsLog;

#[interface(name = "org.voltry.CsmsLog1")]
impl CsmsLog {
    fn messages(&self, _after: u64, _limit: u32) -> Vec<CsmsMessage> {
        let text = "[2,\"8\",\"Heartbeat\",{}]".to_owned();
        vec![CsmsMessage { number: 1, time: PLUGGED + 3_000_000, outgoing: true, text }]
    }
}

#[tokio::test]
async fn a_session_is_drawn_on_one_time_line_that_one_looks_nearer_at_and_takes_along() {
    let bound = "[evse.1]\nev_link = { name = \"com.example.Link\", path = \"/org/voltry/ev_link/1\" }\n";
    let mut page = Page::start_with(bound, &[]).await;
    let (operator, viewer) =
        (page.login("ben", "operate this").await.unwrap(), page.login("anna", "view this").await.unwrap());
    let away = page.ask("GET /timeline/3", &viewer, "").await;
    assert!(away.starts_with("HTTP/1.1 502"), "{away}");
    page.rig.station_comes(status("charging")).await;
    let station = page.rig.station.clone().unwrap();
    station.object_server().at(names::STATION_PATH, Recorder).await.unwrap();
    station.object_server().at(names::CSMS_PATH, CsmsLog).await.unwrap();
    station.request_name(names::OCPP).await.unwrap();
    let link = link(&page).await;
    let list = page.ask("GET /timeline", &viewer, "").await;
    assert!(list.contains("/timeline/3") && list.contains("The vehicle &lt;ended&gt; it"), "{list}");
    let whole = page.ask("GET /timeline/3", &operator, "").await;
    for part in ["<svg", "charging, 4.0 s", "MeterStuck: &lt;stuck&gt;", "SessionSetupReq", "Heartbeat"] {
        assert!(whole.contains(part), "{part} is not in {whole}");
    }
    assert!(!whole.contains(" style=") && whole.contains("content-security-policy: default-src 'none'"));
    let near = page.ask("GET /timeline/3?from=2000&to=5000", &operator, "").await;
    assert!(near.contains("Heartbeat") && !near.contains("MeterStuck"), "{near}");
    let less = page.ask("GET /timeline/3", &viewer, "").await;
    assert!(
        less.contains("MeterStuck") && !less.contains("Heartbeat") && !less.contains("SessionSetup"),
        "{less}"
    );
    let csv = page.ask("GET /timeline/3/csv", &viewer, "").await;
    assert!(
        csv.contains("attachment; filename=\"session-3.csv\"")
            && csv.contains(",measured,evse,,400.0,100.0,"),
        "{csv}"
    );
    let json = page.ask("GET /timeline/3/json", &operator, "").await;
    assert!(json.contains("\"phase\": \"charging\"") && json.contains("Heartbeat"), "{json}");
    // Which an identity is in: for whoever may see it on the page.
    assert!(whole.contains("/timeline/3/pcap") && !less.contains("pcap"), "{less}");
    let capture = page.ask("GET /timeline/3/pcap", &operator, "").await;
    assert!(
        capture.contains("session-3.pcap") && capture.ends_with("\u{fffd}\u{1}\0\0\0\u{1}\u{1}"),
        "{capture:?}"
    );
    let refused = page.ask("GET /timeline/3/pcap", &viewer, "").await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    for unknown in
        ["/timeline/4", "/timeline/4/pcap", "/timeline/3/exe", "/timeline/-1", "/timeline/3?from=x"]
    {
        let answer = page.ask(&format!("GET {unknown}"), &viewer, "").await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{unknown}: {answer}");
    }
    drop(link);
}

/// A board that senses how warm its connector is.
struct Board;

#[interface(name = "org.voltry.Device1")]
impl Board {
    #[zbus(property)]
    fn online(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn variables(&self) -> Vec<DeviceVariable> {
        let sensor = Component::new("TemperatureSensor");
        [31.0, 90.0].map(|it| DeviceVariable::decimal(&sensor, "Temperature", "Celsius", Some(it))).to_vec()
    }
}

#[tokio::test]
async fn whoever_looks_at_an_evse_sees_how_warm_it_gets() {
    let bound =
        "[evse.1]\nconnector_io = { name = \"org.voltry.Board9\", path = \"/org/voltry/connector/1\" }\n";
    let mut page = Page::start_with(bound, &[]).await;
    page.rig.station_comes(status("charging")).await;
    let board = voltry_service::connect(Some(&page.rig.bus.address)).await.unwrap();
    board.object_server().at("/org/voltry/connector/1", Board).await.unwrap();
    board.request_name("org.voltry.Board9").await.unwrap();
    let viewer = page.login("anna", "view this").await.unwrap();
    let seen = async {
        // The hottest counts, with a tenth of room above it.
        while !page.ask("GET /", &viewer, "").await.contains("up to 99 °C") {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(rig::PATIENCE, seen).await.expect("no temperature is shown");
}

#[tokio::test]
async fn a_device_of_another_maker_is_shown_where_it_is_found_and_where_a_role_is_bound_to_it() {
    let bound =
        "[evse.1]\nover_voltage_monitor = { name = \"com.example.Guard1\", path = \"/com/example/guard\" }\n";
    let page = Page::start_with(bound, &[]).await;
    let maker = voltry_service::connect(Some(&page.rig.bus.address)).await.unwrap();
    maker.object_server().at("/com/example/guard", Board).await.unwrap();
    maker.object_server().at("/org/voltry/fan/1", Board).await.unwrap();
    maker.request_name("com.example.Guard1").await.unwrap();
    let viewer = page.login("anna", "view this").await.unwrap();
    let seen = async {
        loop {
            let shown = page.ask("GET /devices", &viewer, "").await;
            let devices = ["/com/example/guard", "fan/1"].map(|path| format!("data-device=\"{path}\""));
            if devices.iter().all(|device| shown.contains(device)) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(rig::PATIENCE, seen).await.expect("a device is not shown");
}
