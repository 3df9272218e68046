//! The daemon's own executable on a private bus, with a scripted controller on a PTY.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::private_bus;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{Pid, ttyname};
use private_bus::Bus;
use tokio::sync::watch;
use voltry_board::frame::{Decoder, Frame};
use voltry_bus::{ConnectorIo1Proxy, Contactors, Device1Proxy, Error, Pilot, PilotOutput, contract};
use voltry_service::{LeaseHolder, Stamp, clock};
use zbus::Connection;

const PATH: &str = "/org/voltry/connector/1";

/// What the vendor's document says a controller does, and no more: it answers each periodic
/// message with its state; contactors follow the request in state C; the pilot is as the test
/// wants it.
struct Controller {
    pilot: Arc<Mutex<u8>>,
    /// The line, to say something else on it.
    line: File,
    control: watch::Receiver<[u8; 8]>,
    device: PathBuf,
    /// A master reads an error from when the last slave closes.
    _keeper: OwnedFd,
}

impl Controller {
    fn start() -> Self {
        let pair = openpty(None, None).unwrap();
        let mut raw = tcgetattr(&pair.slave).unwrap();
        cfmakeraw(&mut raw);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &raw).unwrap();
        let device = ttyname(&pair.slave).unwrap();
        let pilot = Arc::new(Mutex::new(1));
        let (controls, control) = watch::channel([0xFF; 8]);
        let mut line = File::from(pair.master);
        let other = line.try_clone().unwrap();
        let seen = pilot.clone();
        std::thread::spawn(move || {
            let mut decoder = Decoder::new();
            let mut byte = [0];
            while line.read_exact(&mut byte).is_ok() {
                let Some(Ok(frame)) = decoder.push(byte[0]) else { continue };
                let pilot = *seen.lock().unwrap();
                let answers: &[Frame] = match frame.id {
                    0x06 => {
                        controls.send_replace(frame.data);
                        let closed = if pilot == 3 { frame.data[2] & 1 } else { 0 };
                        let contactors = 0b11_0000 | closed << 2 | closed;
                        let state = [frame.data[0], frame.data[1], pilot, 0, contactors, 0x3C, 0, 0];
                        let cold = 250_u16 << 2;
                        let [high, low] = cold.to_be_bytes();
                        let temperatures = [high, low, 0x7F, 0xFC, 0x7F, 0xFC, 0x7F, 0xFC];
                        &[Frame { id: 0x07, data: state }, Frame { id: 0x08, data: temperatures }]
                    }
                    0xFF => &[Frame { id: 0x0A, data: [1, 4, 2, 0x81, 3, 0, 0, 0] }],
                    _ => &[],
                };
                // Noise between frames, as on any line.
                if answers.iter().any(|frame| {
                    line.write_all(&[0x00, 0xA5]).is_err() || line.write_all(&frame.encode()).is_err()
                }) {
                    return;
                }
            }
        });
        Self { pilot, line: other, control, device, _keeper: pair.slave }
    }

    fn configure(&self, folder: &tempfile::TempDir) -> PathBuf {
        let config = folder.path().join("voltry.toml");
        std::fs::write(&config, format!("[board.1]\ndevice = {:?}\n", self.device)).unwrap();
        config
    }

    async fn control(&mut self, wanted: impl Fn(&[u8; 8]) -> bool) {
        soon(self.control.wait_for(wanted)).await.unwrap();
    }
}

struct Bench {
    bus: Bus,
    board: tokio::process::Child,
    controller: Controller,
    connection: Connection,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let bus = Bus::start();
        let controller = Controller::start();
        let folder = tempfile::tempdir().unwrap();
        let config = controller.configure(&folder);
        let connection = bus.connect().await;
        let names = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        let mut owned =
            names.receive_name_owner_changed_with_args(&[(0, "org.voltry.Board1")]).await.unwrap();
        let board = tokio::process::Command::new(env!("CARGO_BIN_EXE_voltry-board"))
            .args(["--bus", &bus.address, "--config"])
            .arg(&config)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        soon(owned.next()).await.unwrap();
        Self { bus, board, controller, connection, _folder: folder }
    }

    async fn connector(&self) -> ConnectorIo1Proxy<'static> {
        proxy(&self.connection).await
    }

    fn vehicle(&self, pilot: u8) {
        *self.controller.pilot.lock().unwrap() = pilot;
    }

    /// A vehicle in C and contactors closed by `connector`.
    async fn close(&mut self, connector: &ConnectorIo1Proxy<'_>) {
        let mut lease = LeaseHolder::new();
        let mut states = connector.receive_io().await.unwrap();
        connector.set_pilot(PilotOutput::Digital).await.unwrap();
        self.vehicle(3);
        while soon(states.next()).await.unwrap().args().unwrap().state.pilot != Pilot::C {}
        connector.enable(lease.open(clock::now())).await.unwrap();
        loop {
            let Stamp { epoch, sequence, sent_at } = lease.stamp(clock::now());
            match connector.close_contactors(epoch, sequence, sent_at.as_micros()).await {
                // This machine was away.
                Err(Error::TooOld(_)) => {}
                closed => break closed.unwrap(),
            }
        }
        while soon(states.next()).await.unwrap().args().unwrap().state.contactors != Contactors::Closed {}
    }

    async fn ended(&mut self) -> bool {
        soon(self.board.wait()).await.unwrap().success()
    }
}

async fn proxy(connection: &Connection) -> ConnectorIo1Proxy<'static> {
    ConnectorIo1Proxy::builder(connection).destination("org.voltry.Board1").path(PATH).build().await.unwrap()
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it happens within 10 s")
}

const SAFE: fn(&[u8; 8]) -> bool = |control| control[..3] == [0x80, 0, 0];

#[tokio::test]
async fn what_is_served_is_the_contract() {
    let bench = Bench::start().await;
    let xml = zbus::fdo::IntrospectableProxy::builder(&bench.connection)
        .destination("org.voltry.Board1")
        .path(PATH)
        .build()
        .await
        .unwrap()
        .introspect()
        .await
        .unwrap();
    assert_eq!(contract::check_served(&xml, &["org.voltry.ConnectorIo1", "org.voltry.Device1"]), Ok(()));
}

#[tokio::test]
async fn a_controller_behind_noise_is_found_and_named() {
    let bench = Bench::start().await;
    let device = Device1Proxy::builder(&bench.connection)
        .destination("org.voltry.Board1")
        .path(PATH)
        .build()
        .await
        .unwrap();
    let mut firmware = device.receive_firmware_changed().await;
    soon(async { while firmware.next().await.unwrap().get().await.unwrap() != "1.4.2" {} }).await;
    let mut online = device.receive_online_changed().await;
    soon(async { while !online.next().await.unwrap().get().await.unwrap() {} }).await;
}

#[tokio::test]
async fn a_flood_of_noise_energises_nothing_and_loses_nothing() {
    let bench = Bench::start().await;
    let connector = bench.connector().await;
    let mut line = bench.controller.line.try_clone().unwrap();
    let flood = tokio::task::spawn_blocking(move || {
        // Beginnings of frames with every identifier, over and over.
        let noise: Vec<u8> = (0..=255).flat_map(|id| [0xA5, id, 0x03]).collect();
        (0..200).for_each(|_| line.write_all(&noise).unwrap());
    });
    let mut states = connector.receive_io().await.unwrap();
    soon(flood).await.unwrap();
    for _ in 0..3 {
        let state = soon(states.next()).await.unwrap().args().unwrap().state;
        assert_eq!((state.pilot, state.contactors), (Pilot::A, Contactors::Open));
    }
    assert!(SAFE(&bench.controller.control.borrow()));
}

#[tokio::test]
async fn a_session_is_leased_and_its_end_by_lapse_is_safe() {
    let mut bench = Bench::start().await;
    let connector = bench.connector().await;
    bench.close(&connector).await;
    // Nobody renews.
    bench.controller.control(SAFE).await;
    let error = connector.close_contactors(1, 1, clock::now().as_micros()).await.unwrap_err();
    assert!(matches!(error, Error::Lapsed(_)), "{error}");
}

#[tokio::test]
async fn a_holder_that_leaves_the_bus_takes_its_contactors_and_pilot_along() {
    let mut bench = Bench::start().await;
    let holder = bench.bus.connect().await;
    let connector = proxy(&holder).await;
    bench.close(&connector).await;
    drop(connector);
    holder.close().await.unwrap();
    bench.controller.control(SAFE).await;
}

#[tokio::test]
async fn without_a_bus_the_daemon_makes_safe_and_ends_with_a_failure() {
    let mut bench = Bench::start().await;
    let connector = bench.connector().await;
    bench.close(&connector).await;
    bench.bus.kill();
    assert!(!bench.ended().await);
    bench.controller.control(SAFE).await;
}

#[tokio::test]
async fn asked_to_end_the_daemon_makes_safe_and_ends_well() {
    let mut bench = Bench::start().await;
    let connector = bench.connector().await;
    bench.close(&connector).await;
    kill(Pid::from_raw(bench.board.id().unwrap().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert!(bench.ended().await);
    bench.controller.control(SAFE).await;
}

#[tokio::test]
async fn whoever_finds_it_dead_makes_the_controller_safe_without_a_bus() {
    let mut controller = Controller::start();
    let folder = tempfile::tempdir().unwrap();
    let mut board = tokio::process::Command::new(env!("CARGO_BIN_EXE_voltry-board"));
    board.arg("--make-safe").arg("--config").arg(controller.configure(&folder));
    let ended = soon(board.status()).await.unwrap();
    controller.control(SAFE).await;
    assert!(ended.success());
}
