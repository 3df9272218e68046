//! The technician's page over TLS: who gets in, who is kept out, and who may do what.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::rig;

use rig::page::Page;
use rig::status;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use voltry_bus::SecurityNote;

#[tokio::test]
async fn without_a_login_nothing_is_said_and_nothing_is_done() {
    let mut page = Page::start().await;
    page.rig.station_comes(status("charging")).await;
    for path in [
        "/",
        "/devices",
        "/sessions",
        "/sessions/1",
        "/settings",
        "/audit",
        "/v2g",
        "/v2g/1/1",
        "/logs",
        "/xx",
    ] {
        let answer = page.ask(&format!("GET {path}"), "__Host-session=0123", "").await;
        assert!(
            answer.starts_with("HTTP/1.1 303") && answer.contains("location: /login"),
            "{path}: {answer}"
        );
        assert!(!answer.contains("Harbour"), "{answer}");
    }
    let events = page.ask("GET /events?page=", "", "").await;
    assert!(
        events.starts_with("HTTP/1.1 200") && events.contains("content-type: text/event-stream"),
        "{events}"
    );
    assert!(events.contains("event: over") && events.matches("event:").count() == 1, "{events}");
    assert!(!events.contains("Harbour"), "{events}");
    for command in ["/evse/1/stop", "/settings/reading_interval", "/logout"] {
        let answer = page.ask(&format!("POST {command}"), "", "key=&value=1").await;
        assert!(answer.starts_with("HTTP/1.1 303"), "{command}: {answer}");
    }
    assert!(!page.ask("GET /login", "", "").await.contains("Harbour"));
    assert!(page.rig.stops.try_recv().is_err());
}

#[tokio::test]
async fn whoever_guesses_passwords_is_locked_out_and_it_is_noted() {
    let page = Page::start().await;
    for name in ["anna", "anna", "nobody", "anna", "anna"] {
        let answer = page.login(name, "guess").await.unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let answer = page.login("anna", "view this").await.unwrap_err();
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("15 min"), "right, but too late: {answer}");
}

struct Uplink(mpsc::UnboundedSender<(SecurityNote, String)>);

#[zbus::interface(name = "org.voltry.Csms1")]
impl Uplink {
    fn note_security(&self, event: SecurityNote, detail: String) {
        self.0.send((event, detail)).unwrap();
    }
}

#[tokio::test]
async fn who_is_let_in_and_who_is_not_is_told_to_the_uplink() {
    let csms = "[station]\ncsms = { name = \"org.voltry.Ocpp1\", path = \"/org/voltry/csms\" }\n";
    let page = Page::start_with(csms, &[]).await;
    let (notes_in, mut notes) = mpsc::unbounded_channel();
    let uplink = voltry_service::connect(Some(&page.rig.bus.address)).await.unwrap();
    uplink.object_server().at(voltry_bus::names::CSMS_PATH, Uplink(notes_in)).await.unwrap();
    uplink.request_name(voltry_bus::names::OCPP).await.unwrap();
    page.login("view this", "anna").await.unwrap_err();
    page.login("anna", "view this").await.unwrap();
    let failed = (SecurityNote::LoginFailed, "{'origin': '127.0.0.1'}".to_owned());
    assert_eq!(notes.recv().await, Some(failed), "a password in the wrong field is told to nobody");
    let accepted = (SecurityNote::LoginAccepted, "{'user': 'anna', 'origin': '127.0.0.1'}".to_owned());
    assert_eq!(notes.recv().await, Some(accepted));
}

#[tokio::test]
async fn each_role_may_what_it_says_and_forms_need_their_key() {
    let mut page = Page::start().await;
    page.rig.station_comes(status("charging")).await;
    page.rig.listen("/events?language=en").await.until("state-charging").await;
    let viewer = page.login("anna", "view this").await.unwrap();
    let shown = page.ask("GET /", &viewer, "").await;
    assert!(
        shown.contains("&lt;Harbour") && shown.contains("charging") && shown.contains("50.0 kW"),
        "{shown}"
    );
    assert!(!shown.contains("/evse/1/stop"), "it may not");
    let key = page.key(&viewer).await;
    let refused = page.ask("POST /evse/1/stop", &viewer, &format!("key={key}")).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert!(page.ask("GET /audit", &viewer, "").await.starts_with("HTTP/1.1 403"));

    let operator = page.login("ben", "operate this").await.unwrap();
    let key = page.key(&operator).await;
    for wrong in ["", "key=", "key=0123"] {
        let refused = page.ask("POST /evse/1/stop", &operator, wrong).await;
        assert!(refused.starts_with("HTTP/1.1 4"), "{wrong}: {refused}");
    }
    assert!(page.rig.stops.try_recv().is_err(), "nothing of that reached the station");
    let done = page.ask("POST /evse/1/stop", &operator, &format!("key={key}")).await;
    assert!(done.starts_with("HTTP/1.1 303"), "{done}");
    assert_eq!(page.rig.stops.recv().await.unwrap(), (0, "stop 1".to_owned()));
    assert!(page.ask("GET /settings", &operator, "").await.starts_with("HTTP/1.1 403"));

    let boss = page.login("cleo", "configure this").await.unwrap();
    let trail = page.ask("GET /audit", &boss, "").await;
    for line in ["ben", "stop EVSE 1: done", "logs in", "127.0.0.1"] {
        assert!(trail.contains(line), "{line} is not in {trail}");
    }
    assert!(!trail.contains("operate this") && !trail.contains(&key));
    let key = page.key(&boss).await;
    let left = page.ask("POST /logout", &boss, &format!("key={key}")).await;
    assert!(left.contains("Max-Age=0"), "{left}");
    assert!(
        page.ask("GET /", &boss, "").await.starts_with("HTTP/1.1 303"),
        "the cookie is worth nothing now"
    );
}

#[tokio::test]
async fn whoever_speaks_no_tls_or_not_at_all_hurts_nobody() {
    let page = Page::start().await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        let mut plain = TcpStream::connect(page.address).await.unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        idle.push(plain);
        idle.push(TcpStream::connect(page.address).await.unwrap());
    }
    assert!(page.login("anna", "view this").await.is_ok());
    let long = page.ask("POST /login", "", &format!("name=x&password={}", "x".repeat(20_000))).await;
    assert!(long.is_empty() || long.starts_with("HTTP/1.1 413"), "{long}");
}
