//! A `dbus-daemon` of a test's own, and processes that end with the test. Included by the daemons'
//! own tests.
#![allow(dead_code, clippy::unwrap_used, reason = "a test's rig, of which each uses a part")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zbus::Connection;

/// A process that ends with the test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A `dbus-daemon` of our own.
pub(crate) struct Bus {
    process: Process,
    pub(crate) address: String,
}

impl Bus {
    pub(crate) fn start() -> Self {
        Self::run(Command::new("dbus-daemon"))
    }

    /// Of a command that runs `dbus-daemon` in its own way.
    pub(crate) fn run(mut command: Command) -> Self {
        let mut process = command
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { process: Process(process), address: address.trim().to_owned() }
    }

    /// A connection without an object server, which would refuse calls that a fake answers itself.
    pub(crate) async fn connect(&self) -> Connection {
        zbus::connection::Builder::address(self.address.as_str()).build().await.unwrap()
    }

    /// A connection, once `name` has an owner.
    pub(crate) async fn connect_to(&self, name: &str) -> Connection {
        let connection = self.connect().await;
        let bus = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        let found = async {
            while !bus.name_has_owner(name.try_into().unwrap()).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.expect("the daemon starts within 20 s");
        connection
    }

    pub(crate) fn kill(&mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }
}
