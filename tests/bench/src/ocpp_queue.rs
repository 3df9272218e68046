//! What waited through a long outage: how fast the uplink tells it, what that costs it in memory, and
//! what a TransactionEvent is on the wire where the CSMS agrees to compression.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use anyhow::{Context as _, bail};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use voltry_bus::names;
use yawc::frame::{Frame, OpCode};
use yawc::{Options, Role, WebSocket};

use crate::long_book::LongBook;
use crate::machine::{self, Bus};
use crate::ocpp::{PATIENCE, VERSIONS, Version, end, handshake, resident, station};
use crate::report::Report;

/// Messages in all.
const LINES: u64 = 10_000;
/// Messages before the measurement begins.
const WARM: u64 = 1_000;
/// With context takeover, as the uplink offers it.
const DEFLATE: &str = "permessage-deflate";

pub(crate) async fn measure(report: &mut Report) -> anyhow::Result<()> {
    machine::loopback().await?;
    for version in &VERSIONS {
        let told = drain(version).await?;
        report.add(format!("{}_drain_per_s", version.figures), told.per_s);
        report.add(format!("{}_drain_growth_mb", version.figures), told.growth_mb);
        if version.name == "2.0.1" {
            report.add("ocpp201_event_bytes", told.text_bytes);
            report.add("ocpp201_event_wire_bytes", told.wire_bytes);
        }
    }
    report.note(format!(
        "ocpp drain: {LINES} queued lines of one transaction, one message open at a time, each stored before it goes \
         and before the next; compression with context takeover; bytes without TCP's and IP's"
    ));
    Ok(())
}

struct Told {
    per_s: f64,
    growth_mb: f64,
    text_bytes: f64,
    wire_bytes: f64,
}

#[allow(clippy::cast_precision_loss, reason = "some millions")]
async fn drain(version: &Version) -> anyhow::Result<Told> {
    let bus = Bus::start().await?;
    let book = voltry_service::connect(Some(&bus.address)).await?;
    book.object_server()
        .at(names::STATION_PATH, LongBook { lines: LINES, acknowledged: 0, exports: Some(Vec::new()) })
        .await?;
    book.request_name(names::STATION).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let station = station(&bus, version, listener.local_addr()?)?;
    let stream = handshake(&listener, version.subprotocol, Some(DEFLATE)).await?;
    let options = Options::default().with_balanced_compression();
    let wire = Arc::new(AtomicUsize::new(0));
    let counted = Counted(stream, Arc::clone(&wire));
    let mut socket = WebSocket::from_stream_with_extensions(counted, Role::Server, Some(DEFLATE), options)?;
    let (mut told, mut text, mut warm) = (0_u64, 0, None);
    while told < LINES {
        let frame = tokio::time::timeout(PATIENCE, socket.next_frame()).await.context("no message")??;
        if frame.opcode() != OpCode::Text {
            continue;
        }
        let message: Value = serde_json::from_str(frame.as_str())?;
        let action = message[2].as_str().unwrap_or_default();
        if ["StartTransaction", "MeterValues", "StopTransaction", "TransactionEvent"].contains(&action) {
            told += 1;
            text += frame.as_str().len();
            if told == WARM {
                warm = Some((Instant::now(), resident(bus.folder.path())?, text, wire.load(Relaxed)));
            }
        }
        socket.send(Frame::text(json!([3, message[1], answer(action)]).to_string())).await?;
    }
    let (begun, resident_then, text_then, wire_then) = warm.context("too few messages")?;
    let messages = (LINES - WARM) as f64;
    let told = Told {
        per_s: messages / begun.elapsed().as_secs_f64(),
        growth_mb: resident(bus.folder.path())? - resident_then,
        text_bytes: (text - text_then) as f64 / messages,
        wire_bytes: (wire.load(Relaxed) - wire_then) as f64 / messages,
    };
    end(station).await?;
    if told.wire_bytes >= told.text_bytes {
        bail!("{} bytes on the wire of {} of text: nothing was compressed", told.wire_bytes, told.text_bytes);
    }
    Ok(told)
}

fn answer(action: &str) -> Value {
    let now = "2026-11-26T00:00:00Z";
    match action {
        "BootNotification" => json!({"currentTime": now, "interval": 3600, "status": "Accepted"}),
        "Heartbeat" => json!({"currentTime": now}),
        "StartTransaction" => json!({"transactionId": 1, "idTagInfo": {"status": "Accepted"}}),
        _ => json!({}),
    }
}

/// A stream and how many bytes were read of it.
struct Counted(TcpStream, Arc<AtomicUsize>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(cx, into))?;
        self.1.fetch_add(into.filled().len() - before, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
