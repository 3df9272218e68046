//! A daemon under a flood: its log, its memory, and calls by the ten thousand. Included by the
//! daemons' own tests.
#![allow(dead_code, clippy::unwrap_used, reason = "a test's rig, of which each uses a part")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

pub(crate) use crate::private_bus::{Bus, Process};
use zbus::{Connection, Message};

/// How much a daemon may grow under a flood, however long it lasts: a few copies of a megabyte of
/// text on its way, which the heap may keep. What a flood of [`CALLS`] brings is more.
pub(crate) const GROWTH_KIB: u64 = 8 * 1024;

/// Calls of a flood: at least an eighth of them bring a text, some 10 MB in all.
pub(crate) const CALLS: u32 = 12_000;

/// Calls after which memory is as large as it becomes: with one of the longest texts.
pub(crate) const WARMING: u32 = 9_000;

/// A text that is no word of any contract, some kilobytes long, every thousandth a megabyte.
pub(crate) fn senseless(number: u32) -> String {
    "x".repeat(if number.is_multiple_of(997) { 1 << 20 } else { 6000 })
}

/// A daemon whose log goes to a file; it ends with the test.
pub(crate) struct Watched {
    process: Process,
    log: PathBuf,
    started: Instant,
}

impl Watched {
    /// Starts `command`, with its log in the file `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Self {
        let child = command.stderr(Stdio::from(std::fs::File::create(&log).unwrap())).spawn().unwrap();
        Self { process: Process(child), log, started: Instant::now() }
    }

    /// Resident memory, KiB. Of a daemon that ended there is none, and the test fails.
    pub(crate) fn resident_kib(&self) -> u64 {
        memory_kib(self.process.0.id(), "VmRSS:")
    }

    /// Of it what belongs to no file, heap and stacks, KiB: the program itself is a multiple of what is shipped.
    pub(crate) fn anonymous_kib(&self) -> u64 {
        self.anonymous()()
    }

    /// The same whenever it is asked for, while something else goes on with the daemon.
    pub(crate) fn anonymous(&self) -> impl Fn() -> u64 + use<> {
        let id = self.process.0.id();
        move || memory_kib(id, "RssAnon:")
    }

    /// Lines of the log with these words.
    pub(crate) fn logged(&self, words: &str) -> usize {
        std::fs::read_to_string(&self.log).unwrap().lines().filter(|line| line.contains(words)).count()
    }

    pub(crate) fn told_once_a_minute(&self, cause: &str) {
        let minutes = usize::try_from(self.started.elapsed().as_secs() / 60).unwrap();
        let told = self.logged(cause);
        assert!((1..=1 + minutes).contains(&told), "{cause:?} was told {told} times in {minutes} minutes");
    }

    /// The flood told its cause in one line a minute, nothing else filled the log, and memory stayed.
    pub(crate) fn withstood(&self, cause: &str, before_kib: u64) {
        let log = std::fs::read_to_string(&self.log).unwrap();
        let after = self.resident_kib();
        println!("resident {before_kib} KiB before, {after} KiB after; {} lines of log", log.lines().count());
        self.told_once_a_minute(cause);
        assert!(log.lines().count() <= 20, "{log}");
        assert!(after <= before_kib + GROWTH_KIB, "{} KiB more", after - before_kib);
    }
}

fn memory_kib(process: u32, kind: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(kind));
    line.expect("the daemon lives").trim().trim_end_matches(" kB").parse().unwrap()
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
