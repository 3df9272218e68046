//! Servers that nobody would wish for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use yawc::frame::Frame;

use super::super::*;
use super::rig::{self, Csms, EVENTS, Rig, listen, plain, times};

/// Bytes that kernel and buffers on both sides may hold on the way, generously.
const ON_THE_WAY: usize = 32 << 20;
/// Whoever could not go on in so many turns of the runtime stands still.
const STANDING: usize = 10_000;

#[tokio::test]
async fn a_server_that_never_answers_costs_the_time_of_a_dial() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], Times { dial: Duration::from_secs(1), ..times() });
    // Accepted, read, and left so; once with half an answer.
    let (_first, _) = rig::head(&listener).await;
    assert!(rig.failed().await.1.contains("no answer within"));
    let (mut second, _) = rig::head(&listener).await;
    rig::write(&mut second, b"HTTP/1.1 101 Switching").await;
    assert!(rig.failed().await.1.contains("no answer within"));
    let _csms = Csms::accept(&listener, "ocpp1.6").await;
    let _ = rig.opened().await;
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    let (mut stream, _) = rig::head(&listener).await;
    let endless = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let mut written = 0_usize;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {
            written += 4096;
        }
        written
    });
    assert!(rig.failed().await.1.contains("no HTTP"));
    assert!(endless.await.unwrap() < ON_THE_WAY);
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_the_connection_before_it_is_held() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    // A text of 2^40 bytes is announced.
    let (mut stream, request) = rig::head(&listener).await;
    rig::write(&mut stream, rig::answer(&request, "ocpp1.6", None).as_bytes()).await;
    rig::write(&mut stream, &[0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0, b'x']).await;
    let _ = rig.opened().await;
    assert!(rig.closed().await.contains("too large"));
    // One of just as many bytes as may be is taken, and one more is not.
    let mut csms = Csms::accept(&listener, "ocpp1.6").await;
    let _ = rig.opened().await;
    csms.send(&"x".repeat(crate::rpc::TEXT_MAX)).await;
    assert_eq!(rig.text().await.len(), crate::rpc::TEXT_MAX);
    csms.send(&"x".repeat(crate::rpc::TEXT_MAX + 1)).await;
    assert!(rig.closed().await.contains("too large"));
    // Nor one in many parts.
    let mut csms = Csms::accept(&listener, "ocpp1.6").await;
    let _ = rig.opened().await;
    let part = "x".repeat(64 * 1024);
    csms.push(Frame::text(part.clone()).with_fin(false)).await.unwrap();
    while csms.push(Frame::continuation(part.clone()).with_fin(false)).await.is_ok() {}
    assert!(rig.closed().await.contains("too large"));
}

#[tokio::test]
async fn what_inflates_without_end_is_not_inflated() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    let mut csms = Csms::accept_with(&listener, "ocpp1.6", Some("permessage-deflate")).await;
    let _ = rig.opened().await;
    // 32 MiB of one letter are some 32 KiB on the wire.
    csms.send(&"x".repeat(32 << 20)).await;
    assert!(rig.closed().await.contains("too large"));
}

#[tokio::test]
async fn what_is_no_text_and_no_websocket_ends_the_connection_and_it_is_dialled_again() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    for rubbish in [
        Vec::from(*b"\x82\x01x"),          // binary
        Vec::from(*b"\x81\x02\xC3\x28"),   // a text that is not UTF-8
        Vec::from(*b"\x83\x00"),           // no such opcode
        Vec::from(*b"\xF1\x00"),           // reserved bits
        Vec::from(*b"\x09\x00"),           // half a ping
        Vec::from(*b"\x80\x01x"),          // the end of nothing
        Vec::from(*b"\x88\x01x"),          // half a close code
        Vec::from(*b"\xC1\x03abc"),        // compressed, which was not agreed on
        vec![0x89, 126, 0x01, 0x00, b'x'], // a ping of 256 bytes
    ] {
        let (mut stream, request) = rig::head(&listener).await;
        rig::write(&mut stream, rig::answer(&request, "ocpp1.6", None).as_bytes()).await;
        rig::write(&mut stream, &rubbish).await;
        let _ = rig.opened().await;
        let why = rig.closed().await;
        assert!(!why.is_empty(), "{rubbish:?}");
    }
}

#[tokio::test]
async fn a_flood_waits_in_the_network_until_the_uplink_takes_it_and_nothing_is_lost() {
    const FLOOD: usize = 50_000;
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    let mut csms = Csms::accept(&listener, "ocpp1.6").await;
    let _ = rig.opened().await;
    let text = |number: usize| format!("[2,\"{number}\",\"Reset\",{{\"a\":\"{}\"}}]", "x".repeat(1000));
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let flood = tokio::spawn(async move {
        for number in 0..FLOOD {
            csms.send(&text(number)).await;
            count.store(number + 1, Ordering::Relaxed);
        }
        csms
    });
    // The uplink is busy with something else: the flood comes to a halt.
    let (mut sent_before, mut standing) = (0, 0);
    while rig.events.len() < EVENTS || (standing < STANDING && !flood.is_finished()) {
        tokio::task::yield_now().await;
        let sent_now = sent.load(Ordering::Relaxed);
        standing = if sent_now == sent_before { standing + 1 } else { 0 };
        sent_before = sent_now;
    }
    assert!(!flood.is_finished(), "{FLOOD} kB were held by the station");
    assert_eq!(rig.events.len(), EVENTS);
    let started = Instant::now();
    for number in 0..FLOOD {
        assert_eq!(rig.text().await, text(number));
    }
    println!("{:.0} messages/s", 50_000.0 / started.elapsed().as_secs_f64());
    drop(flood.await.unwrap());
}

#[tokio::test]
async fn a_flood_does_not_keep_the_uplink_from_talking() {
    let listener = listen().await;
    let mut rig = Rig::start(vec![plain(1, &listener)], times());
    let (mut stream, request) = rig::head(&listener).await;
    rig::write(&mut stream, rig::answer(&request, "ocpp1.6", None).as_bytes()).await;
    let (mut read, mut write) = stream.into_split();
    let flood = tokio::spawn(async move {
        loop {
            rig::write(&mut write, b"\x81\x05Hello").await;
        }
    });
    let opened = rig.opened().await;
    for number in 0..1000 {
        let _ = rig.text().await;
        if number % 10 == 0 {
            rig.send(&opened, "x").await;
        }
    }
    // A hundred texts of one byte, each with a head of two and a mask of four.
    let mut came = vec![0; 700];
    let all = tokio::io::AsyncReadExt::read_exact(&mut read, &mut came);
    let drain = async { while rig.events.recv().await.is_some() {} };
    tokio::select! {
        done = timeout(Duration::from_secs(20), all) => { done.expect("all is sent").unwrap(); }
        () = drain => panic!("the connection ended"),
    }
    flood.abort();
}

#[tokio::test]
async fn pings_of_a_server_that_does_not_read_are_not_answered_into_memory() {
    let listener = listen().await;
    let mut rig =
        Rig::start(vec![plain(1, &listener)], Times { write: Duration::from_millis(500), ..times() });
    let (mut stream, request) = rig::head(&listener).await;
    rig::write(&mut stream, rig::answer(&request, "ocpp1.6", None).as_bytes()).await;
    let flood = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        let mut ping = vec![0x89, 125];
        ping.resize(127, b'x');
        let pings = ping.repeat(1000);
        let mut written = 0;
        while stream.write_all(&pings).await.is_ok() {
            written += pings.len();
        }
        written
    });
    let _ = rig.opened().await;
    assert_eq!(rig.closed().await, "the CSMS takes nothing any more");
    let written = flood.await.unwrap();
    assert!(written < ON_THE_WAY, "{written} bytes of pings were read");
}

#[tokio::test]
async fn a_server_that_reads_nothing_is_left_after_a_while() {
    let listener = listen().await;
    let mut rig =
        Rig::start(vec![plain(1, &listener)], Times { write: Duration::from_millis(300), ..times() });
    let (mut stream, request) = rig::head(&listener).await;
    rig::write(&mut stream, rig::answer(&request, "ocpp1.6", None).as_bytes()).await;
    let opened = rig.opened().await;
    let text = "x".repeat(200_000);
    // What is on the way and the channel of commands fill up, and stay so until the connection is given up.
    let commands = rig.commands.clone();
    let sending = async {
        loop {
            let _ = commands.send(Command::Send { connection: opened.connection, text: text.clone() }).await;
        }
    };
    tokio::select! {
        why = rig.closed() => assert_eq!(why, "the CSMS takes nothing any more"),
        () = sending => unreachable!("it has no end"),
    }
}
