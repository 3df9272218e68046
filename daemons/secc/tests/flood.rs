//! Floods from both sides of the daemon: datagrams and connections on the vehicle's link, and calls
//! on the bus.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::{ALONE, watched};

use std::io::Write as _;
use std::net::{Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use voltry_bus::{EvLink1Proxy, EvseLimits};
use voltry_service::clock;
use watched::{Bus, CALLS, WARMING, Watched, flood, senseless};
use zbus::{Connection, Message};

const NAME: &str = "org.voltry.Secc.N1";
const PATH: &str = "/org/voltry/ev_link/1";
const DISCOVERY: (Ipv6Addr, u16) = (Ipv6Addr::LOCALHOST, 15118);
/// "Who serves this cable, without TLS?"
const REQUEST: [u8; 10] = [0x01, 0xfe, 0x90, 0x00, 0, 0, 0, 2, 0x10, 0x00];

struct Rig {
    secc: Watched,
    connection: Connection,
    _bus: Bus,
    _folder: tempfile::TempDir,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

impl Rig {
    async fn start() -> Self {
        let alone = ALONE.lock().await;
        let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
        let file = folder.path().join("voltry.toml");
        std::fs::write(&file, "[secc.1]\ninterface = 'lo'\nevse_id = 'DE*VOL*E1'\n").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_voltry-secc"));
        command.arg("1").arg("--config").arg(&file).args(["--bus", &bus.address]);
        let secc = Watched::start(&mut command, folder.path().join("log"));
        let connection = bus.connect_to(NAME).await;
        Self { secc, connection, _bus: bus, _folder: folder, _alone: alone }
    }

    /// With a vehicle attached.
    async fn attached() -> Self {
        let rig = Self::start().await;
        let link = EvLink1Proxy::new(&rig.connection, NAME, PATH).await.unwrap();
        link.attach().await.unwrap();
        rig
    }

    async fn ping(&self) {
        let peer = "org.freedesktop.DBus.Peer";
        self.connection.call_method(Some(NAME), PATH, Some(peer), "Ping", &()).await.unwrap();
    }
}

/// The port that a vehicle is told, as soon as it is answered.
fn discovered() -> u16 {
    let vehicle = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    vehicle.set_read_timeout(Some(Duration::from_millis(250))).unwrap();
    let (start, mut answer) = (Instant::now(), [0; 64]);
    while start.elapsed() < Duration::from_secs(20) {
        vehicle.send_to(&REQUEST, DISCOVERY).unwrap();
        if vehicle.recv(&mut answer).is_ok_and(|length| length == 28) {
            return u16::from_be_bytes([answer[24], answer[25]]);
        }
    }
    panic!("no discovery was answered within 20 s");
}

#[tokio::test]
async fn a_flood_of_datagrams_is_told_once_costs_no_memory_and_the_vehicle_is_answered_after_it() {
    let rig = Rig::attached().await;
    let flood = |rounds: u32| {
        let neighbour = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let (huge, noise) = (vec![0x55; 60_000], (0..=255).collect::<Vec<u8>>());
        for _ in 0..rounds {
            for datagram in [&REQUEST[..], &REQUEST[..9], &[], &noise, &huge, &[0x01, 0xfe, 0x80, 0x01]] {
                // The answers that nobody reads, and the kernel's full queue, cost us nothing.
                let _ = neighbour.send_to(datagram, DISCOVERY);
            }
        }
    };
    tokio::task::spawn_blocking(move || flood(1000)).await.unwrap();
    rig.ping().await;
    let before = rig.secc.resident_kib();
    tokio::task::spawn_blocking(move || flood(5000)).await.unwrap();
    rig.ping().await;
    tokio::task::spawn_blocking(discovered).await.unwrap();
    rig.secc.withstood("discovery refused", before);
}

#[tokio::test]
async fn a_flood_of_connections_costs_neither_memory_nor_log_and_the_next_vehicle_is_served() {
    let rig = Rig::attached().await;
    let port = tokio::task::spawn_blocking(discovered).await.unwrap();
    let station = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let flood = move |count: u32| {
        for number in 0..count {
            // Only so many wait to be accepted.
            let connected = TcpStream::connect_timeout(&station, Duration::from_millis(20));
            let Ok(mut stream) = connected else { continue };
            let bytes: &[u8] =
                if number.is_multiple_of(2) { &[0xff; 64] } else { &[0x01, 0xfe, 0x80, 0x01, 0, 0, 0, 9] };
            let _ = stream.write_all(bytes);
        }
    };
    tokio::task::spawn_blocking(move || flood(100)).await.unwrap();
    rig.ping().await;
    let before = rig.secc.resident_kib();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(4) {
        tokio::task::spawn_blocking(move || flood(100)).await.unwrap();
    }
    rig.ping().await;
    tokio::task::spawn_blocking(discovered).await.unwrap();
    let (after, lines) = (rig.secc.resident_kib(), rig.secc.logged(""));
    println!("resident {before} KiB before, {after} KiB after; {lines} lines of log");
    rig.secc.told_once_a_minute("connection refused");
    assert!(lines <= 80, "{lines} lines");
    assert!(after <= before + watched::GROWTH_KIB, "{} KiB more", after - before);
}

#[tokio::test]
async fn senseless_calls_by_the_ten_thousand_are_told_once_and_cost_no_memory() {
    let rig = Rig::start().await;
    let call = |number: u32| {
        let to = |method: &'static str| {
            Message::method_call(PATH, method).destination(NAME).interface("org.voltry.EvLink1")
        };
        let far = clock::now().as_micros() + 60_000_000;
        let limits = EvseLimits { voltage_max: f64::NAN, ..EvseLimits::default() };
        match number % 7 {
            0 => to("SetLimits").build(&(limits,)),
            1 => to("SetMeter").build(&((f64::INFINITY, far),)),
            2 => to("Answer").build(&(u64::from(number), "no word of the contract")),
            3 => to("SetPresent").build(&("text",)),
            4 => to("NoSuchMethod").build(&(number,)),
            5 => to("SetLimits").build(&(EvseLimits { voltage_min: 10.0, ..EvseLimits::default() },)),
            _ => {
                let reason = senseless(number);
                to(if number.is_multiple_of(2) { "RequestStop" } else { "Abort" }).build(&(reason,))
            }
        }
        .unwrap()
    };
    flood(&rig.connection, WARMING, call).await;
    let before = rig.secc.resident_kib();
    flood(&rig.connection, CALLS, call).await;
    rig.secc.withstood("calls refused", before);
}
