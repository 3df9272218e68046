//! A message broker of our own, and programs that take it for the machine's.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::outcome::Failure;

/// Starts a program that finds the bus at `address`; it ends with us. What it prints is not ours:
/// it goes where errors go.
pub(crate) fn started(
    program: &OsStr,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    address: &str,
) -> Result<Child, Failure> {
    let failed = |error: std::io::Error| Failure::Other(format!("{}: {error}", program.display()));
    let errors = std::io::stderr().as_fd().try_clone_to_owned().map_err(failed)?;
    Command::new(program)
        .args(arguments)
        .env("DBUS_SYSTEM_BUS_ADDRESS", address)
        .env("DBUS_SESSION_BUS_ADDRESS", address)
        .stdin(Stdio::null())
        .stdout(Stdio::from(errors))
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)
}

/// A message broker for this run alone, and its address.
pub(crate) async fn broker() -> Result<(String, Child), Failure> {
    let failed = |error: std::io::Error| Failure::NoBus(format!("dbus-daemon: {error}"));
    let mut broker = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--print-address"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let output = broker.stdout.take().expect("it was asked for");
    let mut address = String::new();
    BufReader::new(output).read_line(&mut address).await.map_err(failed)?;
    Ok((address.trim().to_owned(), broker))
}
