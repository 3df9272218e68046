//! The daemon's own executable with a matrix, on a private bus and with a scripted controller on a PTY.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::private_bus;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt as _;
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::ttyname;
use private_bus::Bus;
use tokio::sync::watch;
use voltry_board::frame::{Decoder, Frame};
use voltry_bus::{Contactors, Error, MatrixBar, MatrixState, SwitchMatrix1Proxy, contract};
use voltry_service::{LeaseHolder, clock};
use zbus::Connection;

const NAME: &str = "org.voltry.Board1";
const PATH: &str = "/org/voltry/switch_matrix/1";

/// Contactors follow at once, and EVSE 1's side has 400 V.
fn controller() -> (PathBuf, watch::Receiver<u64>, OwnedFd) {
    let pair = openpty(None, None).unwrap();
    let mut raw = tcgetattr(&pair.slave).unwrap();
    cfmakeraw(&mut raw);
    tcsetattr(&pair.slave, SetArg::TCSANOW, &raw).unwrap();
    let (told, orders) = watch::channel(u64::MAX);
    let mut line = File::from(pair.master);
    std::thread::spawn(move || {
        let mut decoder = Decoder::new();
        let mut byte = [0];
        while line.read_exact(&mut byte).is_ok() {
            let Some(Ok(Frame { id: 0x46, data })) = decoder.push(byte[0]) else { continue };
            told.send_replace(u64::from_be_bytes(data));
            let bars = Frame { id: 0x48, data: [0x0F, 0xA0, 0x80, 0, 0x80, 0, 0x80, 0] };
            for frame in [bars, Frame { id: 0x47, data }] {
                if line.write_all(&frame.encode()).is_err() {
                    return;
                }
            }
        }
    });
    (ttyname(&pair.slave).unwrap(), orders, pair.slave)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("it happens within 20 s")
}

async fn until(connection: &Connection, wanted: impl Fn(&MatrixState) -> bool) {
    let proxy = matrix(connection).await;
    let mut states = proxy.receive_matrix().await.unwrap();
    soon(async { while !wanted(&states.next().await.unwrap().args().unwrap().state) {} }).await;
}

async fn matrix(connection: &Connection) -> SwitchMatrix1Proxy<'static> {
    SwitchMatrix1Proxy::builder(connection).destination(NAME).path(PATH).build().await.unwrap()
}

#[tokio::test]
async fn a_leased_contactor_closes_another_of_its_group_does_not_and_both_open_without_their_holder() {
    let bus = Bus::start();
    let (device, mut told, _keeper) = controller();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("voltry.toml");
    let text = format!("[board.matrix]\ndevice = {device:?}\ncontactors = [['a', 1], ['a', 2]]\n");
    std::fs::write(&config, text).unwrap();
    let connection = bus.connect().await;
    let names = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
    let mut owned = names.receive_name_owner_changed_with_args(&[(0, NAME)]).await.unwrap();
    let _board = tokio::process::Command::new(env!("CARGO_BIN_EXE_voltry-board"))
        .args(["--bus", &bus.address, "--config"])
        .arg(&config)
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    soon(owned.next()).await.unwrap();

    let introspectable = zbus::fdo::IntrospectableProxy::builder(&connection).destination(NAME);
    let xml = introspectable.path(PATH).build().await.unwrap().introspect().await.unwrap();
    assert_eq!(contract::check_served(&xml, &["org.voltry.SwitchMatrix1", "org.voltry.Device1"]), Ok(()));

    until(&connection, |state| state.bars == [MatrixBar { evse: 1, voltage: 400.0 }]).await;
    let holder = bus.connect().await;
    let proxy = matrix(&holder).await;
    let mut lease = LeaseHolder::new();
    proxy.enable(lease.open(clock::now())).await.unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    // Refused until the other one is proven open.
    soon(async {
        loop {
            tick.tick().await;
            let stamp = lease.stamp(clock::now());
            let at = stamp.sent_at.as_micros();
            match proxy.close(stamp.epoch, stamp.sequence, at, "a", 1).await {
                Ok(()) => return,
                Err(Error::Refused(_)) => {}
                // A machine that is slow: the lease of two seconds is over.
                Err(Error::Lapsed(_) | Error::TooOld(_)) => {
                    proxy.enable(lease.open(clock::now())).await.unwrap();
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await;
    until(&connection, |state| state.contactors[0].position == Contactors::Closed).await;
    let stamp = lease.stamp(clock::now());
    let second = proxy.close(stamp.epoch, stamp.sequence, stamp.sent_at.as_micros(), "a", 2).await;
    // Or its lease has run out already, on a machine that is slow.
    assert!(matches!(second, Err(Error::Refused(_) | Error::Lapsed(_) | Error::TooOld(_))), "{second:?}");
    holder.close().await.unwrap();
    soon(told.wait_for(|told| *told == 0)).await.unwrap();
    until(&connection, |state| state.contactors.iter().all(|it| it.position == Contactors::Open)).await;
}
