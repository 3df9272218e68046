//! Whoever asks what no page asks for, asks without end, or says nothing: refused, bounded, and nobody else's loss.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::rig;

use std::time::Duration;

use rig::page::Page;
use rig::{PATIENCE, Rig, status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

/// How much the daemon may grow whatever comes: its 128 connections with their buffers.
const GROWTH_KIB: u64 = 8 * 1024;

/// The page is there again as soon as whoever held it up has gone.
async fn comes_back(rig: &Rig) {
    let there = async {
        while !rig.get("/en").await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.expect("the page came back");
}

#[tokio::test]
async fn what_no_page_asks_for_is_refused() {
    let rig = Rig::start("").await;
    let host = rig.address;
    for (head, status) in [
        ("GET /xx HTTP/1.1", "404"),
        ("GET /../../etc/passwd HTTP/1.1", "404"),
        ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", "404"),
        ("GET /assets/../../etc/passwd HTTP/1.1", "404"),
        ("GET /assets/x/..%2f..%2f..%2fetc%2fpasswd HTTP/1.1", "404"),
        ("GET /assets/x/%2fetc%2fpasswd HTTP/1.1", "404"),
        ("GET /assets/x/style.css%00.js HTTP/1.1", "404"),
        ("GET /events?language=%00 HTTP/1.1", "404"),
        ("GET /events?language=../../../etc/passwd HTTP/1.1", "404"),
        ("GET /events HTTP/1.1", "400"),
        ("GET /en?evse=-1 HTTP/1.1", "400"),
        ("GET /en?evse=99999999999 HTTP/1.1", "400"),
        ("GET /%ff HTTP/1.1", "400"),
        ("DELETE /en HTTP/1.1", "403"),
        ("GET http://elsewhere.example/en HTTP/1.1", "200"),
        ("CONNECT elsewhere.example:80 HTTP/1.1", "403"),
    ] {
        let answer = rig.ask(&format!("{head}\r\nHost: {host}"), "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer}");
        assert!(!answer.contains("root:x:"), "{answer}");
    }
}

#[tokio::test]
async fn heads_and_bodies_that_are_too_long_are_refused_and_cost_no_memory() {
    let rig = Rig::start("").await;
    rig.get("/en").await;
    let (host, before) = (rig.address, rig.resident_kib());
    let long = "x".repeat(1 << 20);
    let many: String = (0..2_000).map(|number| format!("\r\nX{number}: y")).collect();
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: {host}"),
        format!("GET /en HTTP/1.1\r\nHost: {host}\r\nX: {long}"),
        format!("GET /en HTTP/1.1\r\nHost: {host}\r\nCookie: {long}"),
        format!("GET /en HTTP/1.1\r\nHost: {host}{many}"),
        format!("GET /en HTTP/1.1\r\nHost: {long}"),
        format!("{long} /en HTTP/1.1\r\nHost: {host}"),
        "\0\u{1}\u{2}".repeat(50_000),
    ] {
        for _ in 0..4 {
            let answer = rig.ask(&head, "").await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
    let form = format!("POST /en/stop/1 HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}");
    for _ in 0..4 {
        let answer = rig.ask(&form, &long).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    comes_back(&rig).await;
    let after = rig.resident_kib();
    println!("resident {before} KiB before, {after} KiB after");
    assert!(after <= before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
}

#[tokio::test]
async fn ten_thousand_connections_get_the_places_that_there_are_and_cost_no_memory() {
    let mut rig = Rig::start("").await;
    rig.station_comes(status("available")).await;
    rig.listen("/events?language=en").await.until("state-free").await;
    let before = rig.resident_kib();
    let mut most = before;
    for _ in 0..20 {
        let mut crowd = Vec::new();
        for number in 0..500 {
            // From an address of their own: other tests beside this one look for free ports at 127.0.0.1.
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
            let mut stream = socket.connect(rig.address).await.unwrap();
            if number % 2 == 0 {
                // Who is let go at once cannot be written to.
                let _ = stream.write_all(b"GET /en HTTP/1.1\r\nX: ").await;
            }
            crowd.push(stream);
        }
        most = most.max(rig.resident_kib());
        // Whoever comes while all places are taken is told so and let go.
        let (last, mut told) = (crowd.last_mut().unwrap(), String::new());
        let end = tokio::time::timeout(PATIENCE, last.read_to_string(&mut told)).await;
        end.expect("it is held on to").unwrap();
        assert!(told.starts_with("HTTP/1.1 503") && told.ends_with("Try again shortly.\n"), "{told}");
        drop(crowd);
        comes_back(&rig).await;
    }
    println!("resident {before} KiB before, {most} KiB at most");
    assert!(most <= before + GROWTH_KIB, "{before} KiB before, {most} KiB at most");
    rig.show(status("charging")).await;
    rig.listen("/events?language=en").await.until("state-charging").await;
}

#[tokio::test]
async fn passwords_that_are_tried_give_back_the_memory_that_they_took() {
    let page = Page::start().await;
    page.login("anna", "view this").await.unwrap();
    let before = page.rig.resident_kib();
    // From the second on the C library would keep it.
    for _ in 0..2 {
        let answer = page.login("dora", "a guess").await.unwrap_err();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let after = page.rig.resident_kib();
    println!("resident {before} KiB before, {after} KiB after");
    assert!(after <= before + GROWTH_KIB, "{before} KiB before, {after} KiB after");
}

#[tokio::test]
async fn cookies_keys_and_forms_of_any_length_are_no_way_in() {
    let page = Page::start().await;
    let operator = page.login("ben", "operate this").await.unwrap();
    let long = "0".repeat(15_000);
    for cookie in
        [&long, &format!("__Host-session={long}"), &"a=b; ".repeat(3_000), &"\u{e9}=\u{e9}".to_owned()]
    {
        let answer = page.ask("GET /settings", cookie, "").await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 303") || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    for form in [
        format!("key={long}"),
        "key=%ff%00".to_owned(),
        "key[]=1".to_owned(),
        "&".repeat(8_000),
        format!("key={}&value=1", "%41".repeat(2_000)),
    ] {
        let answer = page.ask("POST /evse/1/stop", &operator, &form).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    for path in ["/sessions/-1", "/sessions/18446744073709551616", "/v2g/1/x", "/evse/1/..%2f", "/xx"] {
        let answer = page.ask(&format!("GET {path}"), &operator, "").await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
    }
    let search = page.ask(&format!("GET /logs?search={}", "x".repeat(10_000)), &operator, "").await;
    assert!(search.starts_with("HTTP/1.1"), "{search}");
    assert!(page.ask("GET /", &operator, "").await.starts_with("HTTP/1.1 200"), "it goes on");
}
