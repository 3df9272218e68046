//! The daemon on a private bus, and a station beside it that the test plays.
#![allow(dead_code, clippy::unwrap_used, reason = "a test's rig, of which each uses a part")]

pub(crate) mod page;
#[path = "../../../../tests/private_bus.rs"]
mod private_bus;

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use private_bus::{Bus, Process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use voltry_bus::{
    CheckResult, Connector, Error, EvseStatus, SelfTestOutcome, SelfTestStep, StartOutcome, Transaction,
    names,
};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

/// Longer than anything here takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Station {
    evses: Vec<EvseStatus>,
    connectors: Vec<Connector>,
    master_pass_asked: bool,
    /// Whatever else is asked of it goes here too.
    stops: mpsc::UnboundedSender<(u64, String)>,
}

#[interface(name = "org.voltry.Station1")]
impl Station {
    fn stop_transaction(&self, id: u64, reason: &str) {
        self.stops.send((id, reason.to_owned())).unwrap();
    }

    /// One code alone is good.
    #[zbus(out_args("outcome"))]
    async fn enter_code(
        &self,
        code: &str,
        evse: u32,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<(StartOutcome,), Error> {
        if code.len() < 4 {
            return Err(Error::Invalid("a code has 4 to 12 digits".to_owned()));
        }
        let outcome = if code == "4711" { "granted" } else { "refused" };
        self.stops.send((0, format!("code at {evse}: {outcome}"))).unwrap();
        if outcome == "refused" {
            Self::token_refused(&emitter, evse, "wrong-code").await.unwrap();
        }
        Ok((StartOutcome { evse, outcome: outcome.to_owned(), detail: String::new() },))
    }

    #[zbus(out_args("outcome"))]
    fn press_start(&self, evse: u32) -> (StartOutcome,) {
        self.stops.send((0, format!("start {evse}"))).unwrap();
        let outcome = if evse == 1 { "granted" } else { "refused" };
        (StartOutcome { evse, outcome: outcome.to_owned(), detail: String::new() },)
    }

    /// A pass waits for an answer as long as it is asked.
    fn end_by_master_pass(&self, evse: u32) -> Result<(), Error> {
        if !self.master_pass_asked {
            return Err(Error::Refused("no master pass waits for an answer".to_owned()));
        }
        self.stops.send((0, format!("master pass {evse}"))).unwrap();
        Ok(())
    }

    fn stop(&self, evse: u32) {
        self.stops.send((0, format!("stop {evse}"))).unwrap();
    }

    async fn set_available(
        &mut self,
        _evse: u32,
        available: bool,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) {
        for status in &mut self.evses {
            let state = if available { "available" } else { "unavailable" };
            (status.available, status.state) = (available, state.to_owned());
        }
        self.evses_changed(&emitter).await.unwrap();
    }

    /// Its insulation monitor is broken.
    #[zbus(out_args("result"))]
    fn self_test(&self, evse: u32, step: SelfTestStep) -> Result<(CheckResult,), Error> {
        let Some(status) = self.evses.iter().find(|status| status.evse == evse) else {
            return Err(Error::UnknownEvse(format!("there is no EVSE {evse}")));
        };
        if status.transaction != 0 {
            return Err(Error::Busy("a session runs: stop it first".to_owned()));
        }
        self.stops.send((0, format!("check {step}"))).unwrap();
        let broken = step == SelfTestStep::InsulationMonitor;
        let outcome = if broken { SelfTestOutcome::Failed } else { SelfTestOutcome::Passed };
        Ok((CheckResult { outcome, seen: format!("<{step}> was seen") },))
    }

    fn end_self_test(&self, evse: u32) {
        self.stops.send((0, format!("end of the test of {evse}"))).unwrap();
    }

    fn transactions(&self, _limit: u32) -> Vec<Transaction> {
        Vec::new()
    }

    #[zbus(signal)]
    async fn transaction_ended(emitter: &SignalEmitter<'_>, transaction: Transaction) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn token_refused(emitter: &SignalEmitter<'_>, evse: u32, why: &str) -> zbus::Result<()>;

    #[zbus(property)]
    fn evses(&self) -> Vec<EvseStatus> {
        self.evses.clone()
    }

    #[zbus(property)]
    fn connectors(&self) -> Vec<Connector> {
        self.connectors.clone()
    }

    #[zbus(property)]
    fn master_pass_asked(&self) -> bool {
        self.master_pass_asked
    }

    #[zbus(property)]
    fn name(&self) -> &str {
        "<Harbour & \"Quay\">"
    }
}

pub(crate) fn status(state: &str) -> EvseStatus {
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

/// A port that is free just now. At an address from which nobody connects: a connection out of 127.0.0.1, of whatever
/// runs on this machine, cannot take it meanwhile.
pub(crate) fn free(address: &str) -> SocketAddr {
    std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

/// A daemon, its bus, and the station beside it.
pub(crate) struct Rig {
    pub(crate) bus: Bus,
    pub(crate) station: Option<Connection>,
    pub(crate) address: SocketAddr,
    pub(crate) stops: mpsc::UnboundedReceiver<(u64, String)>,
    stops_in: mpsc::UnboundedSender<(u64, String)>,
    daemon: Process,
    pub(crate) folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn start(more: &str) -> Self {
        Self::start_with(more, &[]).await
    }

    pub(crate) async fn start_with(more: &str, environment: &[(&str, &OsStr)]) -> Self {
        let address = free("127.0.0.3");
        let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
        let config = format!(
            "[ui]\nkiosk = \"{address}\"\nhelp_line = \"0800 123\"\nlanguage_files = \"/nowhere\"\n{more}"
        );
        std::fs::write(folder.path().join("voltry.toml"), config).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_voltry-ui"))
            .args(["--bus", &bus.address, "--config"])
            .arg(folder.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Process(daemon);
        drop(bus.connect_to("org.voltry.Ui1").await);
        let (stops_in, stops) = mpsc::unbounded_channel();
        Self { bus, station: None, address, stops, stops_in, daemon, folder }
    }

    pub(crate) async fn station_comes(&mut self, status: EvseStatus) {
        let connection = voltry_service::connect(Some(&self.bus.address)).await.unwrap();
        let (stops, connectors) = (self.stops_in.clone(), Vec::new());
        let station = Station { evses: vec![status], connectors, master_pass_asked: false, stops };
        connection.object_server().at(names::STATION_PATH, station).await.unwrap();
        connection.request_name(names::STATION).await.unwrap();
        self.station = Some(connection);
    }

    pub(crate) async fn show(&self, status: EvseStatus) {
        let server = self.station.as_ref().unwrap().object_server();
        let served = server.interface::<_, Station>(names::STATION_PATH).await.unwrap();
        let mut station = served.get_mut().await;
        station.evses = vec![status];
        station.evses_changed(served.signal_emitter()).await.unwrap();
    }

    /// Somebody has shown a master pass where several charge, or it waits no longer.
    pub(crate) async fn ask_master_pass(&self, evses: Vec<EvseStatus>, asked: bool) {
        let server = self.station.as_ref().unwrap().object_server();
        let served = server.interface::<_, Station>(names::STATION_PATH).await.unwrap();
        let mut station = served.get_mut().await;
        (station.evses, station.master_pass_asked) = (evses, asked);
        station.evses_changed(served.signal_emitter()).await.unwrap();
        station.master_pass_asked_changed(served.signal_emitter()).await.unwrap();
    }

    /// A card lets nobody in.
    pub(crate) async fn refuse(&self, evse: u32, why: &str) {
        let server = self.station.as_ref().unwrap().object_server();
        let served = server.interface::<_, Station>(names::STATION_PATH).await.unwrap();
        Station::token_refused(served.signal_emitter(), evse, why).await.unwrap();
    }

    /// A charge of 12.34 kWh is over.
    pub(crate) async fn end_transaction(&self) {
        let server = self.station.as_ref().unwrap().object_server();
        let served = server.interface::<_, Station>(names::STATION_PATH).await.unwrap();
        let transaction = Transaction {
            id: 7,
            evse: 1,
            identity: "04A1****".to_owned(),
            state: "closed".to_owned(),
            started: 1_700_000_000_000_000,
            ended: 1_700_000_600_000_000,
            register_start: 0.0,
            register_end: 12_340.0,
            energy: 12_340.0,
            end_reason: "ended by the vehicle".to_owned(),
            note: String::new(),
            why: String::new(),
        };
        Station::transaction_ended(served.signal_emitter(), transaction).await.unwrap();
    }

    /// Resident memory of the daemon, KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.daemon.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.expect("the daemon lives").trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What the server answers to these lines, all of it.
    pub(crate) async fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        // One that is refused early closes before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("no answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}", self.address), "").await
    }

    pub(crate) async fn listen(&self, path: &str) -> Events {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        Events(BufReader::new(stream))
    }
}

/// Server-sent events, as lines.
pub(crate) struct Events(BufReader<TcpStream>);

impl Events {
    /// The line that has this in it, when it comes.
    pub(crate) async fn until(&mut self, part: &str) -> String {
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
