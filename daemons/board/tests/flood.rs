//! Floods from both sides of the daemon: nonsense on the serial line, and calls on the bus.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::watched;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;
use voltry_service::clock;
use watched::{Bus, CALLS, WARMING, Watched, flood, senseless};
use zbus::{Connection, Message};

const NAME: &str = "org.voltry.Board1";
const PATH: &str = "/org/voltry/connector/1";

struct Rig {
    board: Watched,
    connection: Connection,
    line: File,
    _bus: Bus,
    /// A master reads an error from when the last slave closes.
    _keeper: OwnedFd,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let bus = Bus::start();
        let folder = tempfile::tempdir().unwrap();
        let pair = openpty(None, None).unwrap();
        let mut raw = tcgetattr(&pair.slave).unwrap();
        cfmakeraw(&mut raw);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &raw).unwrap();
        let file = folder.path().join("voltry.toml");
        std::fs::write(&file, format!("[board.1]\ndevice = {:?}\n", ttyname(&pair.slave).unwrap())).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_voltry-board"));
        command.arg("--config").arg(&file).args(["--bus", &bus.address]);
        let board = Watched::start(&mut command, folder.path().join("log"));
        let connection = bus.connect_to(NAME).await;
        let line = File::from(pair.master);
        let mut said = line.try_clone().unwrap();
        // What the daemon says is read and must never ask for closed contactors.
        std::thread::spawn(move || {
            let mut buffer = [0; 1024];
            while said.read(&mut buffer).is_ok_and(|length| length > 0) {}
        });
        Self { board, connection, line, _bus: bus, _keeper: pair.slave, _folder: folder }
    }

    async fn ping(&self) {
        let peer = "org.freedesktop.DBus.Peer";
        self.connection.call_method(Some(NAME), PATH, Some(peer), "Ping", &()).await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_of_nonsense_on_the_line_is_told_once_and_costs_no_memory() {
    let rig = Rig::start().await;
    // Beginnings of frames with every identifier, whole frames with wrong checksums, and noise.
    let mut noise: Vec<u8> = (0..=255).flat_map(|id| [0xA5, id, 0x03]).collect();
    noise.extend((0..=255).flat_map(|id| [0xA5, id, 1, 2, 3, 4, 5, 6, 7, 8, 0x5A, 0x03]));
    noise.extend((0..4096_u32).map(|n| n.wrapping_mul(0x9E37_79B9).to_le_bytes()[3]));
    let mut line = rig.line.try_clone().unwrap();
    let (mut first, again) = (rig.line.try_clone().unwrap(), noise.clone());
    tokio::task::spawn_blocking(move || first.write_all(&again).unwrap()).await.unwrap();
    rig.ping().await;
    let before = rig.board.resident_kib();
    let written = tokio::task::spawn_blocking(move || (0..500).for_each(|_| line.write_all(&noise).unwrap()));
    written.await.unwrap();
    rig.ping().await;
    rig.board.withstood("bad bytes from the safety controller", before);
}

#[tokio::test]
async fn senseless_calls_by_the_ten_thousand_are_told_once_and_cost_no_memory() {
    let rig = Rig::start().await;
    let call = |number: u32| {
        let to = |method: &'static str| {
            Message::method_call(PATH, method).destination(NAME).interface("org.voltry.ConnectorIo1")
        };
        let (far, sequence) = (clock::now().as_micros() + 60_000_000, u64::from(number));
        match number % 6 {
            0 => to("Enable").build(&(far,)),
            1 => to("CloseContactors").build(&(sequence, sequence, far)),
            2 => to("RenewLease").build(&(u64::MAX, 0_u64, 0_u64)),
            3 => to("CloseContactors").build(&("text",)),
            4 => to("NoSuchMethod").build(&(sequence,)),
            // No word of the contract.
            _ => to("SetPilot").build(&(senseless(number),)),
        }
        .unwrap()
    };
    flood(&rig.connection, WARMING, call).await;
    let before = rig.board.resident_kib();
    flood(&rig.connection, CALLS, call).await;
    rig.board.withstood("calls refused", before);
}
