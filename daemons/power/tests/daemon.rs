//! The daemon as it runs: on a private bus, with two modules at the other end of an slcan line.
//!
//! The modules speak in characters of the Lawicel protocol and in frames written down from the
//! vendor document, by none of our codecs.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::private_bus;

use std::future::Future;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt as _;
use private_bus::{Bus, Process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio_serial::{SerialPort as _, SerialStream};
use voltry_bus::{Applied, Device1Proxy, Error, PowerRack1Proxy, PowerSupply1Proxy, SupplyState, contract};
use voltry_service::{LeaseHolder, clock};
use zbus::Connection;
use zbus::fdo::{DBusProxy, IntrospectableProxy};

const NAME: &str = "org.voltry.Power1";
const PATH: &str = "/org/voltry/power_supply/1";

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it comes within 20 s")
}

/// A program that inherits no file but the standard ones: a pseudo-terminal's master that a child
/// holds open would never hang up.
fn program(name: &str) -> Command {
    let close =
        "for fd in /proc/self/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && eval \"exec $n>&-\"; done; exec \"$@\"";
    let mut command = Command::new("bash");
    command.args(["-c", close, "bash", name]);
    command
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Module {
    on: bool,
    millivolts: u32,
    milliamps: u32,
}

/// Both modules as they are now; they deliver 10 A when the daemon finds them.
struct Line {
    modules: watch::Receiver<[Module; 2]>,
    path: String,
    adapter: tokio::task::JoinHandle<()>,
    // Held open: a pseudo-terminal without a slave is a dead line.
    _slave: SerialStream,
}

impl Line {
    fn new() -> Self {
        let (master, slave) = SerialStream::pair().unwrap();
        let found = Module { on: true, millivolts: 400_000, milliamps: 10_000 };
        let (sender, modules) = watch::channel([found; 2]);
        let path = slave.name().unwrap();
        Self { modules, path, adapter: tokio::spawn(adapter(master, sender)), _slave: slave }
    }

    async fn until(&mut self, wanted: impl FnMut(&[Module; 2]) -> bool) {
        soon(self.modules.wait_for(wanted)).await.unwrap();
    }

    async fn until_off(&mut self) {
        self.until(|modules| modules.iter().all(|module| !module.on)).await;
    }
}

async fn adapter(master: SerialStream, modules: watch::Sender<[Module; 2]>) {
    let (input, mut output) = tokio::io::split(master);
    let mut lines = tokio::io::BufReader::new(input).split(b'\r');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8(line).unwrap();
        let answers = match line.strip_prefix('T') {
            Some(frame) => answers(frame, &modules),
            None => "\r".to_owned(),
        };
        if output.write_all(answers.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// `029A00F08…` without its T, to the lines that come back.
fn answers(frame: &str, modules: &watch::Sender<[Module; 2]>) -> String {
    let (command, destination) = (&frame[2..4], &frame[4..6]);
    assert!(frame.starts_with("02") && frame[6..].starts_with("F08"), "{frame}");
    let data = &frame[9..];
    let word = |at: usize| u32::from_str_radix(&data[at..at + 8], 16).unwrap();
    let mut answers = "Z\r".to_owned();
    for address in 0..2_usize {
        if destination != format!("{address:02X}") && destination != "3F" {
            continue;
        }
        modules.send_modify(|modules| match command {
            "9A" => modules[address].on = word(0) == 0,
            "9C" => (modules[address].millivolts, modules[address].milliamps) = (word(0), word(8)),
            _ => {}
        });
        let Module { on, millivolts, milliamps } = modules.borrow()[address];
        let (volts, amps) = if on { (millivolts as f32 / 1e3, milliamps as f32 / 1e3) } else { (0.0, 0.0) };
        let data = match command {
            "83" => format!("{:08X}{:08X}", volts.to_bits(), amps.to_bits()),
            "84" => format!("000001001E00{:02X}00", u8::from(!on)),
            "8A" => "01F400C803E803E8".to_owned(),
            "8B" => "56130C15A3FB06A8".to_owned(),
            "8C" => "000003E800000000".to_owned(),
            _ => data.to_owned(),
        };
        answers += &format!("T02{command}F0{address:02X}8{data}\r");
    }
    answers
}

struct Rig {
    line: Line,
    daemon: Process,
    bus: Bus,
    connection: Connection,
    _folder: tempfile::TempDir,
}

fn configure(folder: &tempfile::TempDir, line: &Line) -> PathBuf {
    let file = folder.path().join("voltry.toml");
    let config = format!(
        "[power.bus.main]\ntype = 'slcan'\ndevice = '{}'\nbit_rate = 125000\n\
         [power.supply.1]\nfamily = 'infypower'\nbus = 'main'\nmodules = [0, 1]\n",
        line.path
    );
    std::fs::write(&file, config).unwrap();
    file
}

impl Rig {
    async fn start() -> Self {
        let bus = Bus::run(program("dbus-daemon"));
        let line = Line::new();
        let folder = tempfile::tempdir().unwrap();
        let file = configure(&folder, &line);
        let connection = bus.connect().await;
        let names = DBusProxy::new(&connection).await.unwrap();
        let mut changes = names.receive_name_owner_changed_with_args(&[(0, NAME)]).await.unwrap();
        let daemon = program(env!("CARGO_BIN_EXE_voltry-power"))
            .arg("--config")
            .arg(&file)
            .args(["--bus", &bus.address])
            .spawn()
            .unwrap();
        soon(changes.next()).await.unwrap();
        Self { line, daemon: Process(daemon), bus, connection, _folder: folder }
    }

    /// Until the modules are found.
    async fn supply(&self) -> PowerSupply1Proxy<'static> {
        let supply = PowerSupply1Proxy::new(&self.connection, NAME, PATH).await.unwrap();
        let mut capabilities = supply.receive_capability_changed().await;
        while supply.capability().await.unwrap().current_max < 200.0 {
            soon(capabilities.next()).await;
        }
        supply
    }

    async fn exit_code(mut self) -> Option<i32> {
        soon(tokio::task::spawn_blocking(move || self.daemon.0.wait().unwrap().code())).await.unwrap()
    }
}

/// Enables `supply` and has it deliver, until the modules do.
async fn deliver(supply: &PowerSupply1Proxy<'_>, line: &mut Line, holder: &mut LeaseHolder) {
    supply.enable(holder.open(clock::now())).await.unwrap();
    set(supply, holder, 300.0, 40.0).await.unwrap();
    let renewing = async {
        loop {
            renew(supply, holder).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let wanted = Module { on: true, millivolts: 300_000, milliamps: 20_000 };
    tokio::select! {
        () = renewing => {}
        () = line.until(|modules| *modules == [wanted; 2]) => {}
    }
}

async fn set(
    supply: &PowerSupply1Proxy<'_>,
    holder: &mut LeaseHolder,
    volts: f64,
    amps: f64,
) -> Result<(), Error> {
    stamped(holder, |epoch, sequence, at| supply.set_output(epoch, sequence, at, volts, amps)).await
}

async fn renew(supply: &PowerSupply1Proxy<'_>, holder: &mut LeaseHolder) -> Result<(), Error> {
    stamped(holder, |epoch, sequence, at| supply.renew_lease(epoch, sequence, at)).await
}

/// Sends it with a stamp, and anew for as long as it was refused for its age: this machine was away.
async fn stamped<F: Future<Output = Result<(), Error>>>(
    holder: &mut LeaseHolder,
    send: impl Fn(u64, u64, u64) -> F,
) -> Result<(), Error> {
    loop {
        let stamp = holder.stamp(clock::now());
        let sent = send(stamp.epoch, stamp.sequence, stamp.sent_at.as_micros()).await;
        if !matches!(sent, Err(Error::TooOld(_))) {
            return sent;
        }
    }
}

#[tokio::test]
async fn modules_found_delivering_are_switched_off_and_shown_by_the_contract() {
    let mut rig = Rig::start().await;
    rig.line.until_off().await;
    let supply = rig.supply().await;
    assert_eq!(supply.state().await, Ok(SupplyState::Off));
    let capability = supply.capability().await.unwrap();
    assert_eq!(
        (capability.voltage_min, capability.voltage_max, capability.power_max),
        (200.0, 500.0, 20_000.0)
    );
    let served = IntrospectableProxy::builder(&rig.connection).destination(NAME).path(PATH);
    let served = served.build().await.unwrap();
    let xml = served.introspect().await.unwrap();
    let interfaces = ["org.voltry.PowerSupply1", "org.voltry.PowerRack1", "org.voltry.Device1"];
    assert_eq!(contract::check_served(&xml, &interfaces), Ok(()));
    let rack = PowerRack1Proxy::new(&rig.connection, NAME, PATH).await.unwrap();
    let mut changes = rack.receive_modules_changed().await;
    while !rack.modules().await.unwrap().iter().all(|module| module.serial == "081807123451V1704") {
        soon(changes.next()).await;
    }
    let device = Device1Proxy::new(&rig.connection, NAME, PATH).await.unwrap();
    assert_eq!((device.vendor().await.as_deref(), device.faults().await), (Ok("Infypower"), Ok(vec![])));
    assert!(rack.identify("main", 9, true).await.is_err());
}

#[tokio::test]
async fn whoever_finds_it_dead_switches_its_modules_off_without_a_bus() {
    let mut line = Line::new();
    let folder = tempfile::tempdir().unwrap();
    let mut command = program(env!("CARGO_BIN_EXE_voltry-power"));
    command.arg("--make-safe").arg("--config").arg(configure(&folder, &line));
    let ended = soon(tokio::task::spawn_blocking(move || command.status().unwrap())).await.unwrap();
    line.until_off().await;
    assert_eq!(ended.code(), Some(0), "it saw them confirm");
}

#[tokio::test]
async fn a_leased_set_point_reaches_the_modules_and_is_confirmed_and_measured() {
    let mut rig = Rig::start().await;
    let supply = rig.supply().await;
    let mut applied = supply.receive_applied().await.unwrap();
    let mut outputs = supply.receive_output().await.unwrap();
    let mut holder = LeaseHolder::new();
    deliver(&supply, &mut rig.line, &mut holder).await;
    let told = soon(applied.next()).await.unwrap();
    let Applied { epoch, sequence, .. } = told.args().unwrap().applied;
    assert_eq!((epoch, sequence), (holder.epoch(), 1));
    let mut last = 0;
    loop {
        let output = soon(outputs.next()).await.unwrap().args().unwrap().output;
        assert!(output.sequence > last && output.at <= clock::now().as_micros());
        last = output.sequence;
        if (output.voltage, output.current) == (300.0, 40.0) {
            break;
        }
        renew(&supply, &mut holder).await.unwrap();
    }
    supply.off().await.unwrap();
    rig.line.until_off().await;
    while soon(applied.next()).await.unwrap().args().unwrap().applied.epoch != 0 {}
    let refused = set(&supply, &mut holder, 300.0, 40.0).await;
    assert!(matches!(refused, Err(Error::Lapsed(_))), "{refused:?}");
}

#[tokio::test]
async fn a_lease_that_is_not_renewed_switches_off() {
    let mut rig = Rig::start().await;
    let supply = rig.supply().await;
    deliver(&supply, &mut rig.line, &mut LeaseHolder::new()).await;
    let last = clock::now();
    rig.line.until_off().await;
    let (took, lease) = (clock::now().since(last), Duration::from_millis(500));
    println!("off {took:?} after the last renewal, {lease:?} allowed (slack 3)");
    assert!(took < lease * 3, "{took:?}");
}

#[tokio::test]
async fn a_holder_that_leaves_the_bus_takes_the_current_with_it() {
    let mut took = [Duration::MAX; 3];
    // One that only waits for the lease's end is never that early, however often it is tried.
    for took in &mut took {
        let mut rig = Rig::start().await;
        drop(rig.supply().await);
        let evse = rig.bus.connect().await;
        let supply = PowerSupply1Proxy::new(&evse, NAME, PATH).await.unwrap();
        deliver(&supply, &mut rig.line, &mut LeaseHolder::new()).await;
        let left = clock::now();
        drop(supply);
        evse.close().await.unwrap();
        rig.line.until_off().await;
        *took = clock::now().since(left);
        if *took < Duration::from_millis(400) {
            return;
        }
    }
    panic!("not before the lease would have lapsed: {took:?}");
}

#[tokio::test]
async fn only_the_holder_commands_and_only_within_what_the_modules_can() {
    let mut rig = Rig::start().await;
    let supply = rig.supply().await;
    let mut holder = LeaseHolder::new();
    deliver(&supply, &mut rig.line, &mut holder).await;
    let stranger = rig.bus.connect().await;
    let foreign = PowerSupply1Proxy::new(&stranger, NAME, PATH).await.unwrap();
    let epoch = clock::now().as_micros();
    assert!(matches!(foreign.enable(epoch).await, Err(Error::NotHolder(_))));
    let too_high = set(&supply, &mut holder, 600.0, 1.0).await;
    assert!(matches!(too_high, Err(Error::OutOfRange(_))), "{too_high:?}");
    assert!(matches!(set(&supply, &mut holder, 300.0, f64::NAN).await, Err(Error::OutOfRange(_))));
}

#[tokio::test]
async fn told_to_stop_it_switches_the_modules_off_first() {
    let mut rig = Rig::start().await;
    let supply = rig.supply().await;
    deliver(&supply, &mut rig.line, &mut LeaseHolder::new()).await;
    Command::new("kill").arg(rig.daemon.0.id().to_string()).status().unwrap();
    let mut modules = rig.line.modules.clone();
    assert_eq!(rig.exit_code().await, Some(0));
    assert!(modules.borrow_and_update().iter().all(|module| !module.on));
}

#[tokio::test]
async fn without_the_bus_it_switches_the_modules_off_and_fails() {
    let mut rig = Rig::start().await;
    let supply = rig.supply().await;
    deliver(&supply, &mut rig.line, &mut LeaseHolder::new()).await;
    rig.bus.kill();
    let mut modules = rig.line.modules.clone();
    assert_eq!(rig.exit_code().await, Some(1));
    assert!(modules.borrow_and_update().iter().all(|module| !module.on));
}

#[tokio::test]
async fn an_adapter_that_vanishes_takes_the_capability_along_and_ends_the_epoch() {
    let mut rig = Rig::start().await;
    let supply = rig.supply().await;
    let mut holder = LeaseHolder::new();
    deliver(&supply, &mut rig.line, &mut holder).await;
    let mut capabilities = supply.receive_capability_changed().await;
    rig.line.adapter.abort();
    while supply.capability().await.unwrap().current_max > 0.0 {
        soon(capabilities.next()).await;
    }
    let refused = set(&supply, &mut holder, 300.0, 10.0).await;
    assert!(matches!(refused, Err(Error::Lapsed(_))), "{refused:?}");
    let device = Device1Proxy::new(&rig.connection, NAME, PATH).await.unwrap();
    let mut faults = device.receive_faults_changed().await;
    while !device.faults().await.unwrap().iter().any(|fault| fault.code == "PowerModuleLinkLost") {
        soon(faults.next()).await;
    }
}
