//! Floods from both sides of the daemon: nonsense on its line, and calls on the bus.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::watched;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tokio_serial::{SerialPort as _, SerialStream};
use voltry_bus::EnergyMeter1Proxy;
use watched::{Bus, CALLS, WARMING, Watched, flood, senseless};
use zbus::{Connection, Message};

const NAME: &str = "org.voltry.Meter.Grid";
const PATH: &str = "/org/voltry/energy_meter/main";

/// Bytes of nonsense on the serial line: four times what may stay in memory.
const FLOOD: u64 = 32 << 20;

struct Rig {
    meter: Watched,
    connection: Connection,
    _bus: Bus,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start(port: &str) -> Self {
        let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
        let file = folder.path().join("voltry.toml");
        let config = format!(
            "[meter.grid]\nport = {port}\nmodels = ['{}/../../packaging/meters']\nstate = '{}'\n\
             [meter.grid.device.main]\nkind = 'energy-meter'\nmodel = 'acrel-djsf1352-rn'\naddress = 1\n\
             period_ms = 100\ntimeout_ms = 100\nback_off_ms = 100\n",
            env!("CARGO_MANIFEST_DIR"),
            folder.path().display()
        );
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_voltry-meter"));
        command.arg("grid").arg("--config").arg(&file).args(["--bus", &bus.address]);
        let meter = Watched::start(&mut command, folder.path().join("log"));
        let connection = bus.connect_to(NAME).await;
        Self { meter, connection, _bus: bus, _folder: folder }
    }

    async fn ping(&self) {
        let peer = "org.freedesktop.DBus.Peer";
        self.connection.call_method(Some(NAME), PATH, Some(peer), "Ping", &()).await.unwrap();
    }

    async fn until_logged(&self, words: &str) {
        until(words, || self.meter.logged(words) > 0).await;
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until so many bytes of a flood are written. However slowly: it must not stand still.
async fn until_taken(written: &AtomicU64, wanted: u64) {
    let mut last = (written.load(Ordering::Relaxed), Instant::now());
    while last.0 < wanted {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = written.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        assert!(
            last.1.elapsed() < Duration::from_secs(20),
            "the flood stands still at {now} of {wanted} bytes"
        );
    }
}

/// Bytes that no request was made for, good replies among them.
fn nonsense() -> Vec<u8> {
    let reply = [1, 3, 2, 0, 8, 0xB8, 0x42];
    let mut bytes: Vec<u8> = (0..4096_u32).map(|n| n.wrapping_mul(0x9E37_79B9).to_le_bytes()[3]).collect();
    bytes.extend(reply.repeat(500));
    bytes
}

#[tokio::test]
async fn a_flood_of_nonsense_on_a_serial_line_is_told_once_and_costs_no_memory() {
    let (master, mut slave) = SerialStream::pair().unwrap();
    slave.set_exclusive(false).unwrap();
    let path = slave.name().unwrap();
    // A pseudo-terminal without a slave is a dead line; as a serial stream it would be locked.
    let _held = std::fs::File::open(&path).unwrap();
    drop(slave);
    let rig = Rig::start(&format!("{{ serial = '{path}' }}")).await;
    let (mut said, mut line) = tokio::io::split(master);
    tokio::spawn(async move { tokio::io::copy(&mut said, &mut tokio::io::sink()).await });
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    let flood = tokio::spawn(async move {
        let noise = nonsense();
        loop {
            // It fails while the daemon has the line closed, and goes on when that is open again.
            if tokio::io::AsyncWriteExt::write_all(&mut line, &noise).await.is_ok() {
                count.fetch_add(noise.len() as u64, Ordering::Relaxed);
            }
            tokio::task::yield_now().await;
        }
    });
    rig.until_logged("no good answer").await;
    let (before, already) = (rig.meter.resident_kib(), written.load(Ordering::Relaxed));
    until_taken(&written, already + FLOOD).await;
    flood.abort();
    rig.ping().await;
    rig.meter.withstood("no good answer", before);
    assert!(rig.meter.logged("nobody asked for") <= 1);
}

/// A peer that answers every request with good words of `registers`, and floods if it is told to.
fn serve(mut stream: TcpStream, flooding: bool, written: &AtomicU64) {
    let mut request = [0; 12];
    while stream.read_exact(&mut request).is_ok() {
        if flooding {
            // Until the daemon hangs up.
            let bytes = nonsense();
            while stream.write_all(&bytes).is_ok() {
                written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            return;
        }
        // 400 V, 100 A, 1234 Wh.
        let registers = [4000_u16, 2, 1000, 2, 0, 0, 4000, 4, 0, 1234, 0, 0, 0, 0, 0, 0];
        let word = |at: usize| u16::from_be_bytes([request[at], request[at + 1]]);
        let (first, count) = (usize::from(word(8)), usize::from(word(10)));
        let mut reply = request[..4].to_vec();
        reply.extend(u16::try_from(3 + 2 * count).unwrap().to_be_bytes());
        reply.extend([request[6], request[7], u8::try_from(2 * count).unwrap()]);
        for register in first..first + count {
            reply.extend(registers.get(register).unwrap_or(&0).to_be_bytes());
        }
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

/// A TCP peer; it floods its first `floods` connections. What it has written in them.
fn peer(floods: usize) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("{{ tcp = '{}' }}", listener.local_addr().unwrap());
    let written = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&written);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            serve(stream.unwrap(), number < floods, &count);
        }
    });
    (port, written)
}

async fn reading(connection: &Connection) -> f64 {
    let meter = EnergyMeter1Proxy::new(connection, NAME, PATH).await.unwrap();
    let mut readings = meter.receive_reading().await.unwrap();
    let reading = tokio::time::timeout(Duration::from_secs(20), readings.next()).await.expect("it is read");
    reading.unwrap().args().unwrap().reading.energy_import
}

#[tokio::test]
async fn a_flood_over_tcp_is_told_once_costs_no_memory_and_the_meter_is_read_after_it() {
    let (port, written) = peer(20);
    let rig = Rig::start(&port).await;
    rig.until_logged("no good answer").await;
    let before = rig.meter.resident_kib();
    assert_eq!(reading(&rig.connection).await, 1234.0);
    println!("{} KiB of flood", written.load(Ordering::Relaxed) / 1024);
    rig.meter.withstood("no good answer", before);
}

#[tokio::test]
async fn senseless_calls_by_the_ten_thousand_are_told_once_cost_no_memory_and_hold_up_no_reading() {
    let (port, _) = peer(0);
    let rig = Rig::start(&port).await;
    assert_eq!(reading(&rig.connection).await, 1234.0);
    let call = |number: u32| {
        let to = |method: &'static str| {
            Message::method_call(PATH, method).destination(NAME).interface("org.voltry.EnergyMeter1")
        };
        match number % 6 {
            0 => to("ReadRegister").build(&()),
            1 => to("Stop").build(&("never started",)),
            2 => to("Start").build(&("", "", "")),
            3 => to("Start").build(&(number,)),
            4 => to("NoSuchMethod").build(&(number,)),
            _ => {
                let text = senseless(number);
                to("Start").build(&(text.as_str(), text.as_str(), text.as_str()))
            }
        }
        .unwrap()
    };
    flood(&rig.connection, WARMING, call).await;
    let before = rig.meter.resident_kib();
    flood(&rig.connection, CALLS, call).await;
    rig.meter.withstood("calls refused", before);
    assert_eq!(reading(&rig.connection).await, 1234.0);
    let meter = EnergyMeter1Proxy::new(&rig.connection, NAME, PATH).await.unwrap();
    assert_eq!(meter.unfinished().await.unwrap(), "", "nothing was started");
}

#[tokio::test]
async fn calls_that_wait_for_a_silent_meter_are_few_and_cost_no_memory() {
    // The kernel takes its connections; nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rig = Rig::start(&format!("{{ tcp = '{}' }}", listener.local_addr().unwrap())).await;
    let text = "x".repeat(50_000);
    let call = |_| {
        let start =
            Message::method_call(PATH, "Start").destination(NAME).interface("org.voltry.EnergyMeter1");
        start.build(&("7", text.as_str(), text.as_str())).unwrap()
    };
    flood(&rig.connection, 100, call).await;
    rig.ping().await;
    let before = rig.meter.resident_kib();
    flood(&rig.connection, 2000, call).await;
    rig.meter.withstood("calls refused", before);
}
