//! The command as a script uses it: exit codes, JSON, and what it says when nobody answers. The
//! station behind it is one of this test, on a private bus.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy
#![allow(clippy::unused_self, clippy::needless_pass_by_value)] // the bus wants them so

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use voltry_bus::{
    AuthorizeOutcome, BookEvent, Connector, CsmsState, Error, EvseStatus, Fault, Module, SimFault, SimTruth,
    Transaction, V2gConversation, V2gMessage, names,
};
use voltry_service::{Device, FaultLog, Identity};
use voltry_units::Timestamp;
use zbus::{Connection, interface};

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Bus {
    process: Process,
    address: String,
}

impl Bus {
    fn start() -> Self {
        let mut process = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process: Process(process), address: address.trim().to_owned() }
    }

    async fn connect(&self) -> Connection {
        voltry_service::connect(Some(&self.address)).await.unwrap()
    }

    /// Runs `voltryctl`, with the arguments parted by spaces.
    async fn ctl(&self, arguments: &str) -> Said {
        ctl(&self.address, arguments).await
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
    took: Duration,
}

impl Said {
    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "one line of JSON: {self:?}");
        serde_json::from_str(&self.out).unwrap()
    }
}

async fn ctl(bus: &str, arguments: &str) -> Said {
    let begin = Instant::now();
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_voltryctl"))
        .args(arguments.split_whitespace())
        .env("VOLTRY_BUS", bus)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(30), output).await.expect("it ends").unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        took: begin.elapsed(),
    }
}

struct Station;

fn transaction() -> Transaction {
    Transaction {
        id: 17,
        evse: 1,
        identity: "04A1…".to_owned(),
        state: "closed".to_owned(),
        started: 1_700_000_000_000_000,
        ended: 1_700_000_600_000_000,
        register_start: 1000.0,
        register_end: 2204.0,
        energy: 1204.0,
        end_reason: "ended by the vehicle".to_owned(),
        note: String::new(),
    }
}

fn fault() -> Fault {
    Fault { code: "DiodeFault".to_owned(), cause: "no diode".to_owned(), at: 1 }
}

fn known(evse: u32) -> Result<(), Error> {
    match evse {
        1 => Ok(()),
        2 => Err(Error::Unavailable("EVSE 2 does not answer within 3 s".to_owned())),
        _ => Err(Error::UnknownEvse(format!("there is no EVSE {evse}"))),
    }
}

#[interface(name = "org.voltry.Station1")]
impl Station {
    fn authorize(&self, token: String, evse: u32) -> Result<AuthorizeOutcome, Error> {
        let outcome = if token == "GOOD" { "granted" } else { "refused" }.to_owned();
        Ok(AuthorizeOutcome { evse, outcome })
    }

    fn stop(&self, evse: u32) -> Result<(), Error> {
        known(evse)
    }

    fn clear_faults(&self, evse: u32) -> Result<Vec<Fault>, Error> {
        known(evse).map(|()| vec![fault()])
    }

    fn set_available(&self, evse: u32, _available: bool) -> Result<(), Error> {
        known(evse)
    }

    fn transactions(&self, _limit: u32) -> Result<Vec<Transaction>, Error> {
        Ok(vec![transaction()])
    }

    fn transaction(&self, id: u64) -> Result<(Transaction, Vec<BookEvent>), Error> {
        if id != 17 {
            return Err(Error::UnknownTransaction(format!("no transaction {id}")));
        }
        let event = BookEvent {
            number: 1,
            time: 1_700_000_000_000_000,
            kind: "started".to_owned(),
            register: 1000.0,
            detail: String::new(),
        };
        Ok((transaction(), vec![event]))
    }

    #[zbus(property)]
    fn connectors(&self) -> Vec<Connector> {
        vec![Connector {
            evse: 1,
            state: "reserved".to_owned(),
            since: 1,
            transaction: 0,
            reservation: "7".to_owned(),
            limit: 0.0,
            limit_origin: "csms".to_owned(),
        }]
    }

    #[zbus(property)]
    fn evses(&self) -> Vec<EvseStatus> {
        vec![EvseStatus {
            evse: 1,
            state: "charging".to_owned(),
            available: true,
            authorized: true,
            voltage: 400.0,
            current: 125.0,
            share: 60_000.0,
            energy: 1204.0,
            soc: 54.0,
            transaction: 17,
            faults: vec![fault()],
        }]
    }

    #[zbus(property)]
    fn name(&self) -> String {
        "Test".to_owned()
    }
}

struct Rack;

#[interface(name = "org.voltry.PowerRack1")]
impl Rack {
    fn identify(&self, _bus: String, _address: u32, _on: bool) {}

    #[zbus(property)]
    fn modules(&self) -> Vec<Module> {
        vec![Module {
            bus: "main".to_owned(),
            address: 3,
            group: 0,
            serial: "S1".to_owned(),
            state: "on".to_owned(),
            online: true,
            voltage: 400.0,
            current: 20.0,
            available: 50.0,
            temperature: 40.0,
            alarms: Vec::new(),
            at: 0,
        }]
    }
}

struct Log;

#[interface(name = "org.voltry.V2gLog1")]
impl Log {
    fn conversations(&self) -> Vec<V2gConversation> {
        let (protocol, ended) = ("ISO 15118-2:2014".to_owned(), "the vehicle, in Charging".to_owned());
        vec![V2gConversation { began: 1, protocol, ended, left_out: 0 }]
    }

    fn read(&self, _began: i64) -> Vec<V2gMessage> {
        vec![V2gMessage {
            time: 1,
            by_vehicle: true,
            name: "SessionSetupReq".to_owned(),
            text: String::new(),
            payload_type: 0x8001,
            payload: vec![0x80],
        }]
    }
}

struct Sim;

#[interface(name = "org.voltry.Sim1")]
impl Sim {
    fn plug(&self, evse: u32) -> Result<(), Error> {
        known(evse)
    }

    fn swipe(&self, _token: String, _evse: u32) -> String {
        "granted".to_owned()
    }

    fn faults(&self) -> Vec<SimFault> {
        let (name, breaks, seen) = ("wrong-crc".to_owned(), "frames".to_owned(), "a fault".to_owned());
        vec![SimFault { name, breaks, seen }]
    }

    fn truth(&self, _evse: u32) -> SimTruth {
        SimTruth {
            module_voltage: 400.0,
            cable_voltage: 400.0,
            current: 125.0,
            contactors_closed: true,
            soc: 54.0,
            register: 2204.0,
            resolution: 1.0,
            pilot: "C".to_owned(),
            at: 1,
        }
    }
}

/// An uplink that is refused.
struct Csms;

#[interface(name = "org.voltry.Csms1")]
impl Csms {
    #[zbus(property)]
    fn state(&self) -> CsmsState {
        CsmsState::Rejected
    }

    #[zbus(property)]
    fn url(&self) -> &str {
        "wss://csms.example/ocpp"
    }

    #[zbus(property)]
    fn identity(&self) -> &str {
        "VOLTRY-1"
    }

    #[zbus(property)]
    fn protocol(&self) -> &str {
        "ocpp2.0.1"
    }

    #[zbus(property)]
    fn since(&self) -> i64 {
        1
    }

    #[zbus(property)]
    fn next_attempt(&self) -> i64 {
        0
    }

    #[zbus(property)]
    fn last_error(&self) -> &str {
        ""
    }

    #[zbus(property)]
    fn acknowledged(&self) -> u64 {
        7
    }

    #[zbus(property)]
    fn waiting(&self) -> u32 {
        0
    }
}

/// A station with one EVSE, a rack, a simulator, an uplink, and a device with a fault. Ends when dropped.
struct Served {
    _connection: Connection,
    device: Device,
}

async fn serve(bus: &Bus) -> Served {
    let connection = bus.connect().await;
    let server = connection.object_server();
    server.at(names::STATION_PATH, Station).await.unwrap();
    server.at(names::SIM_PATH, Sim).await.unwrap();
    server.at(names::path("ev_link", "1"), Log).await.unwrap();
    server.at(names::CSMS_PATH, Csms).await.unwrap();
    let supply = names::path("power_supply", "1");
    server.at(supply.as_str(), Rack).await.unwrap();
    let device = Device::serve(&connection, &supply, Identity::default()).await.unwrap();
    for name in [names::STATION, names::SIM, names::POWER, names::OCPP] {
        connection.request_name(name).await.unwrap();
    }
    Served { _connection: connection, device }
}

fn keys(value: &Value, found: &mut Vec<String>) {
    if let Some(object) = value.as_object() {
        for (key, value) in object {
            found.push(key.clone());
            keys(value, found);
        }
    }
    value.as_array().into_iter().flatten().for_each(|value| keys(value, found));
}

#[tokio::test]
async fn every_key_of_json_is_explained_by_help() {
    let bus = Bus::start();
    let served = serve(&bus).await;
    let mut log = FaultLog::new();
    log.raise("DiodeFault", "no diode", Timestamp::from_micros(1));
    served.device.set_faults(&log);
    for (arguments, help, wanted) in [
        ("status", "status", vec!["/0/evse", "/0/state", "/0/soc", "/0/faults/0/code"]),
        ("status 1", "status", vec!["/0/energy", "/0/connector/reservation"]),
        ("ocpp status", "ocpp status", vec!["/state", "/waiting", "/acknowledged"]),
        ("sessions list", "sessions list", vec!["/0/id", "/0/energy", "/0/end_reason"]),
        ("sessions show 17", "sessions show", vec!["/transaction/id", "/events/0/kind"]),
        ("authorize GOOD --evse 1", "authorize", vec!["/evse", "/outcome"]),
        ("devices", "devices", vec!["/0/object", "/0/online", "/0/faults/0/cause"]),
        ("faults list", "devices", vec!["/0/object", "/0/faults/0/code"]),
        ("faults clear 1", "faults clear", vec!["/0/code", "/0/cause", "/0/at"]),
        ("modules", "modules", vec!["/0/bus", "/0/address", "/0/alarms"]),
        ("v2g list", "v2g list", vec!["/0/evse", "/0/began", "/0/ended"]),
        ("v2g show 1", "v2g show", vec!["/conversation/began", "/messages/0/name"]),
        ("sim fault list", "sim fault list", vec!["/0/name", "/0/breaks", "/0/seen"]),
        ("sim swipe GOOD", "sim swipe", vec!["/outcome"]),
        ("sim truth", "sim truth", vec!["/contactors_closed", "/register"]),
    ] {
        let json = bus.ctl(&format!("--json {arguments}")).await.json();
        for pointer in wanted {
            assert!(json.pointer(pointer).is_some(), "{arguments} has no {pointer}: {json}");
        }
        let said = bus.ctl(&format!("{help} --help")).await.out;
        let words: Vec<&str> = said.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let mut told = Vec::new();
        keys(&json, &mut told);
        for key in told {
            // `sessions show` refers to the list for its transaction.
            let referred = help == "sessions show" && json["transaction"].get(&key).is_some();
            assert!(referred || words.contains(&key.as_str()), "`{help} --help` does not explain {key}");
        }
    }
}

#[tokio::test]
async fn exit_codes_are_as_help_says() {
    let bus = Bus::start();
    let served = serve(&bus).await;
    for (arguments, code, said) in [
        ("status", 0, "charging"),
        ("status 9", 1, "there is no EVSE 9"),
        ("status x", 2, "invalid value 'x'"),
        ("stop 1", 0, "is being ended"),
        ("stop 9", 1, "there is no EVSE 9"),
        ("stop 2", 3, "EVSE 2 does not answer"),
        ("faults clear 2", 3, "EVSE 2 does not answer"),
        ("stop", 2, "<EVSE>"),
        ("available 1 --no", 0, "out of service"),
        ("available 9", 1, "there is no EVSE 9"),
        ("authorize GOOD --evse 1", 0, "granted"),
        ("authorize BAD --evse 1", 1, "refused"),
        ("sessions show 17", 0, "1.204 kWh"),
        ("sessions show 18", 1, "no transaction 18"),
        ("sessions list -n 0", 2, "1..=1000"),
        ("faults list", 0, "no faults"),
        ("faults clear 1", 4, "stays: DiodeFault"),
        ("modules identify main 3", 0, "blinks"),
        ("modules identify main 4", 1, "no module 4"),
        ("modules", 0, "never"),
        ("ocpp status", 4, "refused by the back end"),
        ("ocpp", 2, "subcommand"),
        ("sim plug 1", 0, ""),
        ("sim plug 9", 1, "there is no EVSE 9"),
        ("config check --config /nonexistent", 4, "/nonexistent"),
        ("nonsense", 2, "unrecognized subcommand"),
        ("", 2, "requires a subcommand"),
        ("--help", 0, "EXIT CODES"),
        ("completions bash", 0, "_voltryctl"),
        ("completions zsh", 0, "#compdef voltryctl"),
        ("completions fish", 0, "complete -c voltryctl"),
    ] {
        let ended = bus.ctl(arguments).await;
        assert_eq!(ended.code, Some(code), "{arguments}: {ended:?}");
        let (heard, other) =
            if code == 0 || code == 4 { (&ended.out, &ended.err) } else { (&ended.err, &ended.out) };
        assert!(heard.contains(said), "{arguments} does not say {said:?}: {ended:?}");
        assert_eq!(other, "", "{arguments}");
    }
    let mut log = FaultLog::new();
    log.raise("DiodeFault", "no diode", Timestamp::from_micros(1));
    served.device.set_faults(&log);
    let faults = bus.ctl("faults list").await;
    assert!(faults.code == Some(4) && faults.out.contains("DiodeFault"), "{faults:?}");
}

#[tokio::test]
async fn a_command_that_only_acts_prints_no_json() {
    let bus = Bus::start();
    let _served = serve(&bus).await;
    for arguments in ["stop 1", "available 1", "sim plug 1", "modules identify main 3"] {
        let ended = bus.ctl(&format!("--json {arguments}")).await;
        assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{arguments}");
    }
}

#[tokio::test]
async fn a_station_that_is_away_is_told_at_once() {
    let bus = Bus::start();
    let nowhere = "unix:path=/nonexistent/bus";
    for (address, arguments, said) in [
        (nowhere, "status", "no bus"),
        ("rubbish", "status", "no bus"),
        (bus.address.as_str(), "status", "org.voltry.Station1 is not on the bus"),
        (bus.address.as_str(), "sessions list", "org.voltry.Station1 is not on the bus"),
        (bus.address.as_str(), "stop 1", "org.voltry.Station1 is not on the bus"),
        (bus.address.as_str(), "devices", "no device is on the bus"),
        (bus.address.as_str(), "faults list", "no device is on the bus"),
        (bus.address.as_str(), "modules", "no power supply is on the bus"),
        (bus.address.as_str(), "sim plug", "this is no simulated station"),
    ] {
        let ended = ctl(address, arguments).await;
        assert!(ended.code == Some(3) && ended.err.contains(said) && ended.out.is_empty(), "{ended:?}");
        assert!(ended.took < Duration::from_secs(3), "{arguments} took {:?}", ended.took);
    }
}

/// A daemon that is on the bus, and hangs.
async fn hung(bus: &Bus, name: &str) -> Connection {
    // No object server: nobody answers, not even with an error.
    let connection = zbus::connection::Builder::address(bus.address.as_str()).build().await.unwrap();
    connection.request_name(name).await.unwrap();
    connection
}

#[tokio::test]
async fn a_station_that_hangs_is_told_in_seconds() {
    let bus = Bus::start();
    let _hung = hung(&bus, names::STATION).await;
    let ended = bus.ctl("status").await;
    assert!(ended.code == Some(3) && ended.err.contains("hangs"), "{ended:?}");
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
}

#[tokio::test]
async fn one_daemon_that_hangs_hides_no_other() {
    let bus = Bus::start();
    let _served = serve(&bus).await;
    let _hung = [hung(&bus, names::BOARD).await, hung(&bus, "org.voltry.Meter.Dc1").await];
    for (arguments, shown) in
        [("devices", "power_supply/1"), ("faults list", "no faults of those that answer")]
    {
        let ended = bus.ctl(arguments).await;
        assert!(ended.code == Some(3) && ended.out.contains(shown), "{ended:?}");
        assert!(ended.err.contains("org.voltry.Board1, org.voltry.Meter.Dc1 does not answer"), "{ended:?}");
        assert!(ended.took < Duration::from_secs(10), "one after the other: {:?}", ended.took);
    }
}

#[tokio::test]
async fn watching_outlives_the_station_and_not_the_bus() {
    let mut bus = Bus::start();
    let served = serve(&bus).await;
    let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_voltryctl"))
        .args(["--json", "status", "--watch"])
        .env("VOLTRY_BUS", &bus.address)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut out = lines(watch.stdout.take().unwrap());
    let mut err = lines(watch.stderr.take().unwrap());
    assert!(next(&mut out).await.starts_with('['));
    drop(served);
    assert!(next(&mut err).await.contains("org.voltry.Station1 is not on the bus"));
    let _again = serve(&bus).await;
    while !next(&mut out).await.starts_with("[{\"evse\":1") {}
    bus.process.0.kill().unwrap();
    let status = tokio::time::timeout(Duration::from_secs(10), watch.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(3));
}

type Lines<T> = tokio::io::Lines<tokio::io::BufReader<T>>;

fn lines<T: tokio::io::AsyncRead>(from: T) -> Lines<T> {
    tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(from))
}

async fn next<T: tokio::io::AsyncRead + Unpin>(lines: &mut Lines<T>) -> String {
    let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line());
    line.await.expect("a line").unwrap().expect("it goes on")
}

#[tokio::test]
async fn a_program_that_is_no_daemon_does_not_hold_up_a_check() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("voltry.toml"), "").unwrap();
    let program = folder.path().join("voltry-hangs");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let path = folder.path().display();
    let ended = ctl("", &format!("config check --config {path} --daemons {path}")).await;
    assert!(ended.code == Some(4) && ended.out.contains("voltry-hangs does not answer"), "{ended:?}");
    assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
}

#[tokio::test]
async fn man_pages_tell_exit_codes_and_json() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ctl("", &format!("man {}", folder.path().display())).await.code, Some(0));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("voltryctl.1").contains("EXIT CODES"));
    assert!(page("voltryctl-faults-list.1").contains("Exit code 4"));
    assert!(page("voltryctl-status.1").contains("JSON"));
}
