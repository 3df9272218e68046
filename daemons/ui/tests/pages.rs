//! The daemon on a private bus with a station that the test plays: what a browser gets, and what it may do.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::rig;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rig::{Rig, status};
use sha2::{Digest as _, Sha256};
use voltry_bus::{EvseStatus, Fault};

#[tokio::test]
async fn a_page_follows_the_station_as_it_comes_changes_and_goes() {
    let mut rig = Rig::start("").await;
    assert!(rig.get("/en").await.contains("No contact"), "there is no station yet");
    let mut events = rig.listen("/events?language=en").await;
    events.until("state-away").await;
    rig.station_comes(status("available")).await;
    events.until("state-free").await;
    rig.show(status("charging")).await;
    let line = events.until("state-charging").await;
    for part in ["50.0", "12.35", "kWh", "54"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let fault = Fault { code: "MREC8EmergencyStop".to_owned(), cause: "input 1".to_owned(), at: 1 };
    rig.show(EvseStatus { faults: vec![fault], ..status("emergency") }).await;
    let line = events.until("state-fault").await;
    assert!(line.contains("MREC8EmergencyStop") && line.contains("emergency stop was pressed"), "{line}");
    let faults = ["MREC22ResistanceFault", "OutputNotOff"].map(|code| Fault {
        code: code.to_owned(),
        cause: String::new(),
        at: 1,
    });
    rig.show(EvseStatus { faults: faults.to_vec(), ..status("faulted") }).await;
    let line = events.until("OutputNotOff").await;
    assert!(line.contains("do not touch it") && !line.contains("Unplug"), "{line}");
    rig.show(status("absent")).await;
    let line = events.until("state-absent").await;
    assert!(line.contains("unplug it and call for help") && !line.contains("goes on"), "{line}");
    rig.station = None;
    let line = events.until("state-away").await;
    assert!(!line.contains("goes on"), "{line}");
    rig.station_comes(status("finished")).await;
    events.until("state-finished").await;
}

#[tokio::test]
async fn a_receipt_is_for_whoever_is_still_plugged_in_and_names_nobody() {
    let mut rig = Rig::start("").await;
    rig.station_comes(status("charging")).await;
    let mut events = rig.listen("/events?language=en").await;
    events.until("state-charging").await;
    rig.end_transaction().await;
    rig.show(status("finished")).await;
    let receipt = events.until("12.34").await;
    assert!(receipt.contains("Ended by your vehicle") && !receipt.contains("04A1"), "{receipt}");
    rig.show(status("faulted")).await;
    let later = events.until("state-fault").await;
    assert!(!later.contains("12.34"), "that charge ended long ago: {later}");
    rig.show(status("finished")).await;
    events.until("state-finished").await;
    rig.end_transaction().await;
    events.until("12.34").await;
    rig.show(status("available")).await;
    events.until("state-free").await;
    rig.show(status("finished")).await;
    let next = events.until("state-finished").await;
    assert!(!next.contains("12.34"), "{next}");
}

#[tokio::test]
async fn whoever_shows_a_card_that_lets_nobody_in_is_told_so_until_another_is_let_in() {
    let mut rig = Rig::start("").await;
    rig.station_comes(EvseStatus { authorized: false, ..status("authorizing") }).await;
    let mut events = rig.listen("/events?language=en").await;
    events.until("state-authorize").await;
    rig.refuse(1, "not-accepted").await;
    events.until("Card refused.</strong> This card may not charge here").await;
    rig.refuse(0, "not-judged").await;
    events.until("Card refused.</strong> It cannot be checked").await;
    rig.show(status("parameters")).await;
    let line = events.until("state-preparing").await;
    assert!(!line.contains("Card refused"), "{line}");
}

#[tokio::test]
async fn pages_run_under_a_strict_policy_and_nothing_that_is_put_in_becomes_markup() {
    let mut rig = Rig::start("[ui.price]\ncurrency = \"EUR\"\nper_kwh = 0.59\n").await;
    rig.station_comes(status("available")).await;
    rig.listen("/events?language=de").await.until("state-free").await;
    let page = rig.get("/de").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let (head, rest) = page.split_once("<style>").unwrap();
    let (style, body) = rest.split_once("</style>").unwrap();
    let hash = STANDARD.encode(Sha256::digest(style));
    let policy = format!(
        "content-security-policy: default-src 'none'; style-src 'self' 'sha256-{hash}'; script-src 'self';"
    );
    assert!(head.contains(&policy), "{head}");
    assert!(page.contains("&lt;Harbour &amp; "), "{page}");
    for inline in ["<style", " style=", " onclick=", "<script>", "javascript:", "http://", "https://"] {
        assert!(!head.contains(inline) && !body.contains(inline), "{inline} in {page}");
    }
    assert!(page.contains("0,59\u{a0}EUR je kWh") && page.contains("0800 123"), "the price before the start");
    assert!(page.len() < 100_000);
    let script = page.split('"').find(|part| part.ends_with("kiosk.js")).unwrap();
    assert!(rig.get(script).await.contains("immutable"));
}

#[tokio::test]
async fn a_charge_is_ended_from_the_screens_own_page_alone() {
    let mut rig = Rig::start("").await;
    rig.station_comes(status("charging")).await;
    rig.listen("/events?language=en").await.until("/en/stop/1").await;
    assert!(rig.get("/en/stop/1").await.contains("Yes, stop"));
    let (address, path) = (rig.address, "POST /en/stop/1 HTTP/1.1");
    for head in [
        format!("{path}\r\nHost: {address}"),
        format!("{path}\r\nHost: {address}\r\nOrigin: http://elsewhere.example"),
        format!("{path}\r\nHost: elsewhere.example\r\nOrigin: http://elsewhere.example"),
    ] {
        let answer = rig.ask(&head, "").await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{head}\n{answer}");
    }
    let own = format!("{path}\r\nHost: {address}\r\nOrigin: http://{address}");
    let answer = rig.ask(&own, "").await;
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains("location: /en\r\n"), "{answer}");
    assert_eq!(rig.stops.recv().await.unwrap(), (7, "local".to_owned()));
    assert!(rig.stops.try_recv().is_err(), "what was refused reached the station");
}

#[tokio::test]
async fn whoever_looks_at_one_evse_out_of_many_comes_back_to_all() {
    let mut rig = Rig::start("").await;
    rig.station_comes(status("charging")).await;
    let way = "evse=1&from_all=true";
    let line = rig.listen(&format!("/events?language=en&{way}")).await.until("state-charging").await;
    assert!(line.contains("href=\"/en\""), "{line}");
    let page = rig.get(&format!("/en?{way}")).await;
    assert!(
        page.contains("data-home=\"/\"") && page.contains("language=en&amp;evse=1&amp;from_all=true"),
        "{page}"
    );
    let own = format!("POST /en/stop/1?{way} HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}", rig.address);
    let answer = rig.ask(&own, "").await;
    assert!(answer.contains(&format!("location: /en?{way}\r\n")), "{answer}");
    assert!(rig.get("/en?evse=1").await.contains("data-home=\"/?evse=1\""), "a post keeps to its EVSE");
}

#[tokio::test]
async fn who_may_end_a_charge_is_configured() {
    let mut rig = Rig::start("stop = \"card\"").await;
    rig.station_comes(status("charging")).await;
    let line = rig.listen("/events?language=en").await.until("state-charging").await;
    assert!(!line.contains("/stop/1") && line.contains("hold your card to the reader again"), "{line}");
    let own = format!("POST /en/stop/1 HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}", rig.address);
    assert!(rig.ask(&own, "").await.starts_with("HTTP/1.1 404"));
    assert!(rig.stops.try_recv().is_err());
}

/// What the screen's own page sends.
async fn send(rig: &Rig, path: &str, body: &str) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\nContent-Type: application/x-www-form-urlencoded",
        rig.address
    );
    rig.ask(&head, body).await
}

#[tokio::test]
async fn a_driver_without_a_card_types_a_code_or_presses_start_where_the_station_has_that() {
    let mut rig = Rig::start("[station]\nkey_pad = true\nstart_button = true").await;
    rig.station_comes(EvseStatus { authorized: false, transaction: 0, ..status("authorizing") }).await;
    let mut events = rig.listen("/events?language=en").await;
    let line = events.until("state-authorize").await;
    for part in ["href=\"/en/code/1\"", "action=\"/en/start/1\"", "Press “Start charging”"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    let pad = rig.get("/en/code/1").await;
    assert!(pad.contains("type=\"password\"") && pad.contains("data-key=\"0\""), "{pad}");
    assert!(send(&rig, "/en/code/1", "code=4711").await.starts_with("HTTP/1.1 303"));
    assert_eq!(rig.stops.recv().await.unwrap().1, "code at 1: granted");
    assert!(send(&rig, "/en/code/1", "code=4712").await.starts_with("HTTP/1.1 303"));
    assert_eq!(rig.stops.recv().await.unwrap().1, "code at 1: refused");
    events.until("Code refused.").await;
    let again = send(&rig, "/en/code/1", "code=1").await;
    assert!(again.starts_with("HTTP/1.1 502") && again.contains("could not be checked"), "{again}");
    assert!(send(&rig, "/en/start/1", "").await.starts_with("HTTP/1.1 303"));
    assert_eq!(rig.stops.recv().await.unwrap().1, "start 1");
    assert!(send(&rig, "/en/start/2", "").await.contains("No charge can be started here now."));
}

#[tokio::test]
async fn a_station_without_key_pad_and_start_button_shows_none_and_takes_nothing() {
    let mut rig = Rig::start("").await;
    rig.station_comes(EvseStatus { authorized: false, transaction: 0, ..status("authorizing") }).await;
    let line = rig.listen("/events?language=en").await.until("state-authorize").await;
    assert!(!line.contains("/code/") && !line.contains("/start/"), "{line}");
    assert!(rig.get("/en/code/1").await.starts_with("HTTP/1.1 404"));
    for (path, body) in [("/en/code/1", "code=4711"), ("/en/start/1", "")] {
        assert!(send(&rig, path, body).await.starts_with("HTTP/1.1 404"), "{path}");
    }
    assert!(rig.stops.try_recv().is_err());
}

#[tokio::test]
async fn whoever_shows_a_master_pass_where_several_charge_is_asked_which_is_meant() {
    let mut rig = Rig::start("").await;
    rig.station_comes(status("charging")).await;
    let mut events = rig.listen("/events?language=en").await;
    let before = events.until("state-charging").await;
    assert!(!before.contains("master-pass"), "{before}");
    let second = EvseStatus { evse: 2, ..status("charging") };
    let free = EvseStatus { evse: 3, authorized: false, transaction: 0, ..status("available") };
    rig.ask_master_pass(vec![status("charging"), second, free], true).await;
    let asked = events.until("Which charge is to be stopped?").await;
    for (evse, named) in [(0, true), (1, true), (2, true), (3, false)] {
        assert_eq!(asked.contains(&format!("action=\"/en/master-pass/{evse}\"")), named, "{evse} in {asked}");
    }
    for evse in [2, 0] {
        assert!(send(&rig, &format!("/en/master-pass/{evse}"), "").await.starts_with("HTTP/1.1 303"));
        assert_eq!(rig.stops.recv().await.unwrap().1, format!("master pass {evse}"));
    }
    rig.ask_master_pass(vec![status("charging")], false).await;
    let late = send(&rig, "/en/master-pass/1", "").await;
    assert!(late.starts_with("HTTP/1.1 502") && late.contains("Nothing was stopped."), "{late}");
    assert!(rig.stops.try_recv().is_err());
}
