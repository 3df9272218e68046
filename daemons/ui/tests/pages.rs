//! The daemon on a private bus with a station that the test plays: what a browser gets, and what it may do.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

#[path = "../../../tests/private_bus.rs"]
mod private_bus;

use std::process::{Command, Stdio};
use std::time::Duration;

use private_bus::{Bus, Process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use voltry_bus::{Connector, EvseStatus, Fault, Transaction, names};
use zbus::{Connection, interface};

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Station {
    evses: Vec<EvseStatus>,
    connectors: Vec<Connector>,
    stops: mpsc::UnboundedSender<(u64, String)>,
}

#[interface(name = "org.voltry.Station1")]
impl Station {
    fn stop_transaction(&self, id: u64, reason: &str) {
        self.stops.send((id, reason.to_owned())).unwrap();
    }

    fn transactions(&self, _limit: u32) -> Vec<Transaction> {
        Vec::new()
    }

    #[zbus(property)]
    fn evses(&self) -> Vec<EvseStatus> {
        self.evses.clone()
    }

    #[zbus(property)]
    fn connectors(&self) -> Vec<Connector> {
        self.connectors.clone()
    }

    #[zbus(property)]
    fn name(&self) -> &str {
        "<Harbour & \"Quay\">"
    }
}

fn status(state: &str) -> EvseStatus {
    EvseStatus {
        evse: 1,
        state: state.to_owned(),
        available: true,
        authorized: true,
        voltage: 400.0,
        current: 125.0,
        share: 150_000.0,
        energy: 12_345.0,
        soc: 54.0,
        transaction: 7,
        faults: Vec::new(),
    }
}

/// A daemon, its bus, and the station beside it.
struct Rig {
    bus: Bus,
    station: Option<Connection>,
    address: std::net::SocketAddr,
    stops: mpsc::UnboundedReceiver<(u64, String)>,
    stops_in: mpsc::UnboundedSender<(u64, String)>,
    _daemon: Process,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start(more: &str) -> Self {
        // Free just now; nobody else here takes it meanwhile.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
        let config = format!(
            "[ui]\nkiosk = \"{address}\"\nhelp_line = \"0800 123\"\nlanguage_files = \"/nowhere\"\n{more}"
        );
        std::fs::write(folder.path().join("voltry.toml"), config).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_voltry-ui"))
            .args(["--bus", &bus.address, "--config"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Process(daemon);
        drop(bus.connect_to("org.voltry.Ui1").await);
        let (stops_in, stops) = mpsc::unbounded_channel();
        Self { bus, station: None, address, stops, stops_in, _daemon: daemon, _folder: folder }
    }

    async fn station_comes(&mut self, status: EvseStatus) {
        let connection = voltry_service::connect(Some(&self.bus.address)).await.unwrap();
        let station = Station { evses: vec![status], connectors: Vec::new(), stops: self.stops_in.clone() };
        connection.object_server().at(names::STATION_PATH, station).await.unwrap();
        connection.request_name(names::STATION).await.unwrap();
        self.station = Some(connection);
    }

    async fn show(&self, status: EvseStatus) {
        let server = self.station.as_ref().unwrap().object_server();
        let served = server.interface::<_, Station>(names::STATION_PATH).await.unwrap();
        let mut station = served.get_mut().await;
        station.evses = vec![status];
        station.evses_changed(served.signal_emitter()).await.unwrap();
    }

    /// What the server answers to these lines, all of it.
    async fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        // One that is refused early closes before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("no answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}", self.address), "").await
    }

    async fn listen(&self, path: &str) -> Events {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        Events(BufReader::new(stream))
    }
}

/// Server-sent events, as lines.
struct Events(BufReader<TcpStream>);

impl Events {
    /// Returns the line that has this in it, when it comes.
    async fn until(&mut self, part: &str) -> String {
        let found = async {
            loop {
                let mut line = String::new();
                assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "the stream ended before {part:?}");
                if line.contains(part) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("no {part:?} came"))
    }
}

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
    rig.station = None;
    events.until("state-away").await;
    rig.station_comes(status("finished")).await;
    events.until("state-finished").await;
}

#[tokio::test]
async fn pages_run_under_a_strict_policy_and_nothing_that_is_put_in_becomes_markup() {
    let mut rig = Rig::start("[ui.price]\ncurrency = \"EUR\"\nper_kwh = 0.59\n").await;
    rig.station_comes(status("available")).await;
    rig.listen("/events?language=de").await.until("state-free").await;
    let page = rig.get("/de").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("content-security-policy: default-src 'none'; style-src 'self'; script-src 'self';")
    );
    assert!(page.contains("&lt;Harbour &amp; "), "{page}");
    for inline in ["<style", " style=", " onclick=", "<script>", "javascript:", "http://", "https://"] {
        assert!(!page.contains(inline), "{inline} in {page}");
    }
    assert!(page.contains("0,59\u{a0}EUR je kWh") && page.contains("0800 123"), "the price before the start");
    assert!(page.len() < 100_000);
    let style = page.split('"').find(|part| part.ends_with("style.css")).unwrap();
    assert!(rig.get(style).await.contains("immutable"));
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
async fn who_may_end_a_charge_is_configured() {
    let mut rig = Rig::start("stop = \"card\"").await;
    rig.station_comes(status("charging")).await;
    let line = rig.listen("/events?language=en").await.until("state-charging").await;
    assert!(!line.contains("/stop/1") && line.contains("hold your card to the reader again"), "{line}");
    let own = format!("POST /en/stop/1 HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}", rig.address);
    assert!(rig.ask(&own, "").await.starts_with("HTTP/1.1 404"));
    assert!(rig.stops.try_recv().is_err());
}

#[tokio::test]
async fn what_no_page_asks_for_is_refused_and_hurts_nobody() {
    let rig = Rig::start("").await;
    let host = rig.address;
    let long = "x".repeat(40_000);
    for (head, body, status) in [
        ("GET /xx HTTP/1.1", String::new(), "404"),
        ("GET /../../etc/passwd HTTP/1.1", String::new(), "404"),
        ("GET /events?language=%00 HTTP/1.1", String::new(), "404"),
        ("GET /events HTTP/1.1", String::new(), "400"),
        ("GET /en?evse=-1 HTTP/1.1", String::new(), "400"),
        ("DELETE /en HTTP/1.1", String::new(), "403"),
    ] {
        let answer = rig.ask(&format!("{head}\r\nHost: {host}"), &body).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer}");
    }
    let answer = rig.get(&format!("/{long}")).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let answer = rig.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: {long}"), "").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    // More than there are places for: the page is there again as soon as they go.
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(TcpStream::connect(rig.address).await.unwrap());
    }
    drop(crowd);
    let there = async {
        while !rig.get("/en").await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.expect("the page came back");
}
