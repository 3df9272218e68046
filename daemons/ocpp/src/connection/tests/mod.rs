//! The connection against a server over loopback.

mod elsewhere;
mod hostile;
mod rig;
mod secured;

use std::time::Duration;

use tokio::net::TcpListener;

use super::*;
use rig::{Csms, Rig, listen, plain, times};

#[tokio::test]
async fn it_connects_by_its_identity_and_talks_both_ways() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(any).await.unwrap();
        let mut rig = Rig::start(vec![plain(1, &listener)], times());
        let mut csms = Csms::accept(&listener, "ocpp1.6").await;
        assert!(csms.request.starts_with("GET /ocpp/CP-1 HTTP/1.1\r\n"), "{}", csms.request);
        assert!(csms.request.contains("Sec-WebSocket-Protocol: ocpp2.0.1, ocpp1.6\r\n"), "{}", csms.request);
        let opened = rig.opened().await;
        assert_eq!((opened.slot, opened.version, opened.compressed), (1, Version::V16, false));
        rig.send(&opened, "[2,\"1\",\"Heartbeat\",{}]").await;
        assert_eq!(csms.text().await, "[2,\"1\",\"Heartbeat\",{}]");
        csms.send("[3,\"1\",{}]").await;
        assert_eq!(rig.text().await, "[3,\"1\",{}]");
    }
}

#[tokio::test]
async fn compression_is_used_when_the_csms_agrees_to_it() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    let mut csms = Csms::accept_with(&listener, "ocpp2.0.1", Some("permessage-deflate")).await;
    let opened = rig.opened().await;
    assert!(opened.compressed);
    let text = format!("[2,\"1\",\"TransactionEvent\",{{\"a\":\"{}\"}}]", "reading ".repeat(1000));
    for _ in 0..100 {
        rig.send(&opened, &text).await;
        assert_eq!(csms.text().await, text);
        csms.send(&text).await;
        assert_eq!(rig.text().await, text);
    }
    assert!(csms.received() < 20_000, "{} bytes for a hundred messages of {}", csms.received(), text.len());
}

#[tokio::test]
async fn a_connection_that_is_lost_is_dialled_again_and_old_texts_stay_behind() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    let first = {
        let _csms = Csms::accept(&listener, "ocpp1.6").await;
        rig.opened().await
    };
    assert!(!rig.closed().await.is_empty());
    let mut csms = Csms::accept(&listener, "ocpp1.6").await;
    let second = rig.opened().await;
    assert_ne!(first.connection, second.connection);
    rig.send(&first, "an answer to a question of the first").await;
    rig.send(&second, "hello").await;
    assert_eq!(csms.text().await, "hello");
}

#[tokio::test]
async fn a_close_of_the_csms_is_answered_and_its_reason_told() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    let mut csms = Csms::accept(&listener, "ocpp1.6").await;
    let _ = rig.opened().await;
    csms.close(1012, "we restart").await;
    assert_eq!(rig.closed().await, "the CSMS closed it: 1012 we restart");
    assert_eq!(csms.end().await, Some(1012), "the close is answered");
}

#[tokio::test]
async fn a_restart_closes_and_dials_the_first_profile_at_once() {
    let (first, second) = (listen().await, listen().await);
    let slow = Times {
        redial: RedialTimes { wait_minimum: Duration::from_secs(3600), ..times().redial },
        ..times()
    };
    let mut rig = Rig::start(vec![plain(1, &first)], slow);
    let mut csms = Csms::accept(&first, "ocpp1.6").await;
    let _ = rig.opened().await;
    rig.command(Command::Profiles(vec![plain(2, &second), plain(1, &first)], None)).await;
    rig.command(Command::Restart).await;
    assert_eq!(csms.end().await, Some(1000));
    let _ = rig.closed().await;
    let _csms = Csms::accept(&second, "ocpp2.0.1").await;
    assert_eq!(rig.opened().await.slot, 2);
}

#[tokio::test]
async fn the_next_profile_is_tried_after_its_attempts_and_the_last_good_one_after_all() {
    let good = listen().await;
    // Nobody listens there any more.
    let deaf = |slot| async move { plain(slot, &listen().await) };
    let (connection, mut rig) = Rig::new(vec![deaf(1).await, deaf(2).await], Some(plain(9, &good)), times());
    tokio::spawn(connection.run());
    let mut failed = Vec::new();
    for _ in 0..4 {
        failed.push(rig.failed().await.0);
    }
    assert_eq!(failed, [1, 1, 2, 2]);
    let _csms = Csms::accept(&good, "ocpp1.6").await;
    assert_eq!(rig.opened().await.slot, 9);
}

#[tokio::test]
async fn when_the_uplink_goes_the_csms_is_told() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    let mut csms = Csms::accept(&listener, "ocpp1.6").await;
    let _ = rig.opened().await;
    drop(rig);
    assert_eq!(csms.end().await, Some(1001));
}

#[tokio::test]
async fn a_csms_that_answers_no_ping_is_left_and_dialled_again() {
    let listener = listen().await;
    let keepalive =
        KeepaliveTimes { interval: Some(Duration::from_millis(50)), timeout: Duration::from_secs(1) };
    let mut rig = Rig::start(vec![plain(1, &listener)], Times { keepalive, ..times() });
    // Its socket stays open, and nobody reads it.
    let _silent = Csms::accept(&listener, "ocpp1.6").await;
    let _ = rig.opened().await;
    assert_eq!(rig.closed().await, "the CSMS does not answer pings");
    let mut csms = Csms::accept(&listener, "ocpp1.6").await;
    let opened = rig.opened().await;
    // One that reads answers them by that: it stays.
    for _ in 0..5 {
        assert!(csms.ping().await);
    }
    rig.send(&opened, "still here").await;
    assert_eq!(csms.text().await, "still here");
}

#[tokio::test]
async fn a_server_that_refuses_says_why() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    for (answer, words) in [
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "password"),
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere\r\n\r\n", "redirection"),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", "no HTTP"),
        ("", "broke off"),
    ] {
        Csms::refuse(&listener, answer).await;
        let (_, why) = rig.failed().await;
        assert!(why.contains(words), "{why}");
    }
    let _wrong = Csms::accept(&listener, "ocpp2.1").await;
    assert!(rig.failed().await.1.contains("ocpp2.1"));
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel() {
    let (listener, proxy) = (listen().await, listen().await);
    let port = proxy.local_addr().unwrap().port();
    let mut profile = plain(1, &listener);
    profile.proxy = Some(Proxy::new(&format!("http://user:pw@127.0.0.1:{port}")).unwrap());
    let mut rig = Rig::start(vec![profile], times());
    Csms::refuse(&proxy, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let (_, why) = rig.failed().await;
    assert!(why.starts_with("the proxy: ") && why.contains("407"), "{why}");
    let tunnel = tokio::spawn(async move {
        let (mut from, request) = rig::head(&proxy).await;
        let mut to = tokio::net::TcpStream::connect(request.split(' ').nth(1).unwrap()).await.unwrap();
        rig::write(&mut from, b"HTTP/1.1 200 OK\r\n\r\n").await;
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
        request
    });
    let mut csms = Csms::accept(&listener, "ocpp1.6").await;
    let opened = rig.opened().await;
    rig.send(&opened, "hello").await;
    assert_eq!(csms.text().await, "hello");
    drop((rig, csms));
    assert!(tunnel.await.unwrap().contains("Proxy-Authorization: Basic dXNlcjpwdw==\r\n"));
}
