//! A daemon under a flood: its log, its memory, and calls by the ten thousand. Included by the
//! daemons' own tests.
#![allow(dead_code, clippy::unwrap_used, reason = "a test's rig, of which each uses a part")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zbus::{Connection, Message};

/// How much a daemon may grow under a flood, however long it lasts: a few copies of a megabyte of
/// text on its way, which the heap may keep. The floods send a hundred megabytes.
pub(crate) const GROWTH_KIB: u64 = 8 * 1024;

/// A daemon whose log goes to a file; killed when dropped.
pub(crate) struct Watched {
    child: Child,
    log: PathBuf,
}

impl Watched {
    /// Starts `command`, with its log in the file `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let child = command.stderr(Stdio::from(std::fs::File::create(&log).unwrap())).spawn().unwrap();
        Self { child, log }
    }

    /// Resident memory, KiB. Of a daemon that ended there is none, and the test fails.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.expect("the daemon lives").trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Lines of the log with these words.
    pub(crate) fn logged(&self, words: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap().lines().filter(|line| line.contains(words)).count()
    }

    /// The flood told its cause in one line, nothing else filled the log, and memory stayed.
    pub(crate) fn withstood(&self, cause: &str, before_kib: u64) {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let after = self.resident_kib();
        println!("resident {before_kib} KiB before, {after} KiB after; {} lines of log", log.lines().count());
        assert_eq!(self.logged(cause), 1, "{log}");
        assert!(log.lines().count() <= 20, "{log}");
        assert!(after <= before_kib + GROWTH_KIB, "{} KiB more", after - before_kib);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `dbus-daemon` of our own, and its address.
pub(crate) struct Bus(Child, pub(crate) String);

impl Bus {
    pub(crate) fn start() -> Self {
        let mut process = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut address = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self(process, address.trim().to_owned())
    }

    /// A connection, once `name` has an owner.
    pub(crate) async fn connect_to(&self, name: &str) -> Connection {
        let connection = zbus::connection::Builder::address(self.1.as_str()).build().await.unwrap();
        let bus = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        let found = async {
            while !bus.name_has_owner(name.try_into().unwrap()).await.unwrap() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.expect("the daemon starts within 20 s");
        connection
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends so many calls without waiting for their answers; every thousandth is followed by one that
/// must be answered, whatever the answer.
pub(crate) async fn flood(connection: &Connection, count: u32, call: impl Fn(u32) -> Message) {
    for number in 0..count {
        let message = call(number);
        connection.send(&message).await.unwrap();
        if number % 1000 == 999 {
            let header = message.header();
            let (name, path) = (header.destination().unwrap(), header.path().unwrap());
            let interface = "org.freedesktop.DBus.Peer";
            connection.call_method(Some(name), path, Some(interface), "Ping", &()).await.unwrap();
        }
    }
}
