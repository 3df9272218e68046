//! The daemon as a process on a bus of its own.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

use crate::watched;

use std::process::{Command, Stdio};

use watched::Bus;

#[tokio::test]
async fn it_takes_its_name_and_ends_when_it_is_asked_to() {
    let bus = Bus::start();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("ocpp.db");
    let config = format!(
        "[ocpp]\nidentity = 'A'\ndatabase = {database:?}\n\
         [ocpp.profile.1]\nurl = 'ws://[::1]:9'\nversion = '1.6'\nsecurity_profile = 0\n"
    );
    std::fs::write(folder.path().join("voltry.toml"), config).unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_voltry-ocpp"))
        .args(["--bus", &bus.address, "--config"])
        .arg(folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _connection = bus.connect_to("org.voltry.Ocpp1").await;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(daemon.id().try_into().unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert!(daemon.wait().unwrap().success());
}
