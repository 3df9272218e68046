//! The uplink beside an echo on the same WebSocket crate, and beside Python's `ocpp` as a station.
//!
//! This process plays the CSMS and has one request open,
//! GetConfiguration in OCPP 1.6 and GetVariables in 2.0.1, of one key each. The echo is this
//! program once more, as a process of its own, asked by turns with the station. All are on one core:
//! on a virtual machine waking the other one costs more than either answer, and fell now on one, now on
//! the other.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use sha1::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use yawc::frame::{Frame, OpCode};
use yawc::{HttpRequest, Options, Role, WebSocket};

use crate::machine::{self, Bus, binary};
use crate::report::{Report, percentile};

/// Turns of echo and station.
const ROUNDS: u32 = 20;

/// Nothing takes longer here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A version of OCPP, and what its figures are called.
pub(crate) struct Version {
    pub(crate) name: &'static str,
    pub(crate) subprotocol: &'static str,
    pub(crate) figures: &'static str,
    action: &'static str,
}

pub(crate) const VERSIONS: [Version; 2] = [
    Version { name: "1.6", subprotocol: "ocpp1.6", figures: "ocpp", action: "GetConfiguration" },
    Version { name: "2.0.1", subprotocol: "ocpp2.0.1", figures: "ocpp201", action: "GetVariables" },
];

pub(crate) async fn measure(report: &mut Report, requests: u32, starts: u32) -> anyhow::Result<()> {
    machine::loopback().await?;
    let _core = machine::OnOneCore::of_all()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let _echo = echo_process(address)?;
    let mut echo = Csms::accept(&listener, "ocpp1.6").await?;
    let mut echoes = Vec::new();
    for version in &VERSIONS {
        let bus = Bus::start().await?;
        let mut times = Vec::new();
        for start in 1..=starts {
            let begin = Instant::now();
            let station = station(&bus, version, address)?;
            let mut csms = Csms::accept(&listener, version.subprotocol).await?;
            csms.boot().await?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
            if start == starts {
                let (mut replies, mut of_echo) = (Vec::new(), Vec::new());
                // By turns: where the kernel wakes whom differs from one second to the next.
                for _ in 0..ROUNDS {
                    of_echo.extend(echo.round_trips(version, requests / ROUNDS).await?);
                    replies.extend(csms.round_trips(version, requests / ROUNDS).await?);
                }
                let p50 = figures(report, version.figures, replies);
                report.add(format!("{}_reply_vs_echo", version.figures), p50 / percentile(&mut of_echo, 0.5));
                report.add(format!("{}_rss_mb", version.figures), resident(bus.folder.path())?);
                echoes.extend(of_echo);
            }
            end(station).await?;
        }
        report.add(format!("{}_start_to_boot_ms", version.figures), percentile(&mut times, 0.5));
    }
    figures(report, "ocpp_echo", echoes);
    match python() {
        None => report.cannot("Python's ocpp", "there is no .venv: make test makes it"),
        Some(python) => {
            let _station = Command::new(python)
                .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python_station.py"))
                .arg(address.to_string())
                .kill_on_drop(true)
                .spawn()?;
            let mut csms = Csms::accept(&listener, "ocpp1.6").await?;
            figures(report, "python_ocpp", csms.round_trips(&VERSIONS[0], requests / 10).await?);
        }
    }
    report.note(format!(
        "ocpp: {requests} requests, one open at a time, no compression; start: median of {starts}. Peers with such a \
         driver on a machine of this class: MicroOcpp (C++) 10-29k/s, open-ocpp (C++) 8-9k/s, ocpp-charge-point (Rust) \
         7-16k/s, python ocpp 1.1-2.3k/s"
    ));
    Ok(())
}

/// Adds replies a second and the median; returns the median, microseconds.
fn figures(report: &mut Report, name: &str, mut samples: Vec<f64>) -> f64 {
    let total: f64 = samples.iter().sum();
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    report.add(format!("{name}_replies_per_s"), samples.len() as f64 / total * 1e6);
    let p50 = percentile(&mut samples, 0.5);
    report.add(format!("{name}_reply_p50_us"), p50);
    p50
}

pub(crate) fn station(bus: &Bus, version: &Version, address: SocketAddr) -> anyhow::Result<Child> {
    let folder = bus.folder.path();
    let config = format!(
        "[ocpp]\nidentity = 'BENCH'\ndatabase = '{}'\n[ocpp.profile.1]\nurl = 'ws://{address}'\nversion = '{}'\n\
         security_profile = 0\n",
        folder.join("ocpp.db").display(),
        version.name
    );
    let file = folder.join("ocpp.toml");
    std::fs::write(&file, config)?;
    let station = Command::new(binary("voltry-ocpp")?)
        .arg("--config")
        .arg(&file)
        .args(["--bus", &bus.address])
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    station.context("starting voltry-ocpp")
}

pub(crate) async fn end(mut station: Child) -> anyhow::Result<()> {
    let pid = station.id().context("it has ended already")?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.try_into()?), nix::sys::signal::Signal::SIGTERM)?;
    tokio::time::timeout(PATIENCE, station.wait()).await??;
    Ok(())
}

/// Resident memory of the station whose configuration is in this folder, MB.
pub(crate) fn resident(folder: &Path) -> anyhow::Result<f64> {
    machine::resident("voltry-ocpp", folder)
}

fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2)?;
    Some(root.join(".venv/bin/python")).filter(|python| python.exists())
}

fn echo_process(address: SocketAddr) -> anyhow::Result<Child> {
    let own = std::env::current_exe()?;
    let echo = Command::new(own).args(["--echo", &address.to_string()]).kill_on_drop(true).spawn();
    echo.context("starting the echo")
}

/// Dials a CSMS and answers each text with itself; what the hidden option `--echo` does.
pub(crate) async fn echo(address: &str) -> anyhow::Result<()> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = HttpRequest::builder().header("Sec-WebSocket-Protocol", "ocpp1.6");
    let url = format!("ws://{address}/").parse().context("an address makes a URL")?;
    let mut socket = WebSocket::handshake_with_request(url, stream, Options::default(), request).await?;
    while let Ok(frame) = socket.next_frame().await {
        if frame.opcode() == OpCode::Text {
            socket.send(frame).await?;
        }
    }
    Ok(())
}

/// Whoever dials next is answered as a WebSocket of this protocol, with these extensions.
pub(crate) async fn handshake(
    listener: &TcpListener,
    subprotocol: &str,
    extensions: Option<&str>,
) -> anyhow::Result<TcpStream> {
    let (mut stream, _) =
        tokio::time::timeout(PATIENCE, listener.accept()).await.context("nobody dials")??;
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("Sec-WebSocket-Key").then_some(value)
    });
    let key = key.context("a WebSocket has a key")?;
    let hash = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64::prelude::BASE64_STANDARD.encode(hash);
    let agreed = extensions.map_or_else(String::new, |name| format!("Sec-WebSocket-Extensions: {name}\r\n"));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {subprotocol}\r\n{agreed}\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    Ok(stream)
}

/// The CSMS's end of one connection.
struct Csms(WebSocket<TcpStream>);

impl Csms {
    async fn accept(listener: &TcpListener, subprotocol: &str) -> anyhow::Result<Self> {
        let stream = handshake(listener, subprotocol, None).await?;
        Ok(Self(WebSocket::from_stream(stream, Role::Server, Options::default())?))
    }

    async fn text(&mut self) -> anyhow::Result<String> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.0.next_frame()).await.context("no answer")??;
            if frame.opcode() == OpCode::Text {
                return Ok(frame.as_str().to_owned());
            }
        }
    }

    async fn send(&mut self, text: String) -> anyhow::Result<()> {
        Ok(self.0.send(Frame::text(text)).await?)
    }

    /// Answers the station's calls up to its BootNotification.
    async fn boot(&mut self) -> anyhow::Result<()> {
        loop {
            let text = self.text().await?;
            if self.serve(&text).await? == Some("BootNotification") {
                return Ok(());
            }
        }
    }

    /// Answers a call of the station; which, of those that matter here.
    async fn serve(&mut self, text: &str) -> anyhow::Result<Option<&'static str>> {
        let message: Value = serde_json::from_str(text)?;
        if message[0] != 2 {
            return Ok(None);
        }
        let now = "2026-11-26T00:00:00Z";
        let (known, answer) = match message[2].as_str() {
            Some("BootNotification") => (
                Some("BootNotification"),
                json!({"currentTime": now, "interval": 3600, "status": "Accepted"}),
            ),
            Some("Heartbeat") => (None, json!({"currentTime": now})),
            _ => (None, json!({})),
        };
        self.send(json!([3, message[1], answer]).to_string()).await?;
        Ok(known)
    }

    /// How long each of so many requests took, microseconds, after a tenth as many to warm up.
    async fn round_trips(&mut self, version: &Version, requests: u32) -> anyhow::Result<Vec<f64>> {
        let payload = match version.action {
            "GetConfiguration" => json!({"key": ["HeartbeatInterval"]}),
            _ => json!({"getVariableData": [
                {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}
            ]}),
        };
        let mut samples = Vec::new();
        for number in 0..requests + requests / 10 {
            let id = format!("bench-{number}");
            let text = json!([2, id, version.action, payload]).to_string();
            let begin = Instant::now();
            self.send(text).await?;
            let answer = self.answer(&id).await?;
            let took = begin.elapsed().as_secs_f64() * 1e6;
            // The echo's answer is the request itself.
            if !answer.contains("HeartbeatInterval") {
                bail!("no answer to {}: {answer}", version.action);
            }
            if number >= requests / 10 {
                samples.push(took);
            }
        }
        Ok(samples)
    }

    /// The answer to a request, or the echo of it; the station's own calls meanwhile are answered.
    async fn answer(&mut self, id: &str) -> anyhow::Result<String> {
        loop {
            let text = self.text().await?;
            let head = text.get(..20).unwrap_or(&text);
            if head.contains(id) {
                return Ok(text);
            }
            self.serve(&text).await?;
        }
    }
}
