//! What the technician's page reads of others: what vehicles said, and the journal.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::rig;

use std::os::unix::fs::PermissionsExt as _;

use rig::page::Page;
use voltry_bus::{V2gConversation, V2gMessage};
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
    for unknown in ["/v2g/1/1", "/v2g/1/-1"] {
        let answer = page.ask(&format!("GET {unknown}"), &operator, "").await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{unknown}: {answer}");
    }
    let nobody = page.ask("GET /v2g/2/1", &operator, "").await;
    assert!(nobody.starts_with("HTTP/1.1 502"), "{nobody}");
    let viewer = page.login("anna", "view this").await.unwrap();
    for path in ["/v2g", "/v2g/1/1700000000000000", "/logs"] {
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
