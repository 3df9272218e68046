//! How a process dies, hangs, or loses what it is connected to.

use std::fs;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, Signal, kill_process, pidfd_getfd, pidfd_open};
use voltry_system_tests::{Station, binary};

use super::cells::Victim;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strike {
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it hangs.
    Stop,
    /// SIGSTOP, and SIGCONT with all that has gathered meanwhile.
    StopAndWake,
    /// Its connection to the bus is shut.
    CutOff,
    /// Its devices do not answer any more.
    Devices,
}

impl Strike {
    pub const ALL: [Self; 5] = [Self::Kill, Self::Stop, Self::StopAndWake, Self::CutOff, Self::Devices];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Stop => "SIGSTOP",
            Self::StopAndWake => "SIGSTOP-SIGCONT",
            Self::CutOff => "bus-cut",
            Self::Devices => "io-cut",
        }
    }
}

/// The process of a unit, by the socket on which its supervisor listens.
pub fn process(state: &Path, unit: &str) -> Option<u32> {
    let mark = format!("NOTIFY_SOCKET={}/run/{unit}.notify", state.canonicalize().ok()?.display());
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(entry.path().join("environ")).ok()?;
        environment.split(|byte| *byte == 0).any(|one| one == mark.as_bytes()).then_some(pid)
    })
}

/// Strikes. `voltryctl` is a watcher that runs for this alone.
pub async fn strike(station: &mut Station, victim: Victim, strike: Strike, pid: Option<u32>) {
    if victim == Victim::Ctl {
        let bus = station.state().join("bus").canonicalize().unwrap();
        // It waits for a process: other stations are played in this thread meanwhile.
        return tokio::task::spawn_blocking(move || watcher(&bus, strike)).await.unwrap();
    }
    match strike {
        Strike::Kill => send(pid, Signal::KILL),
        Strike::Stop | Strike::StopAndWake => send(pid, Signal::STOP),
        Strike::CutOff => cut_off(pid.expect("it runs"), &station.state().join("bus")),
        Strike::Devices => {
            station.tell(&format!("fault {} 1", victim.devices().expect("it has devices"))).await;
        }
    }
}

/// Whoever was stopped goes on; who is dead already does not.
pub fn wake(pid: Option<u32>) {
    if let Some(pid) = pid.and_then(as_pid) {
        let _ = kill_process(pid, Signal::CONT);
    }
}

fn as_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

fn send(pid: Option<u32>, signal: Signal) {
    let pid = pid.and_then(as_pid).expect("it runs");
    kill_process(pid, signal).unwrap();
}

/// Shuts the stream that leads to the bus: both ends see it closed.
fn cut_off(pid: u32, bus: &Path) {
    let bus = bus.canonicalize().unwrap();
    let process = pidfd_open(as_pid(pid).unwrap(), PidfdFlags::empty()).unwrap();
    let mut cut = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        let is_socket =
            fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(number) = number.filter(|_| is_socket) else { continue };
        let copy = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).unwrap();
        let stream = UnixStream::from(copy);
        let to_bus = stream.peer_addr().is_ok_and(|peer| peer.as_pathname() == Some(bus.as_path()));
        if to_bus {
            stream.shutdown(Shutdown::Both).unwrap();
            cut += 1;
        }
    }
    assert!(cut > 0, "process {pid} is not on {}", bus.display());
}

/// A technician's `voltryctl status --watch` that comes to the same end.
fn watcher(bus: &Path, strike: Strike) {
    let mut child = std::process::Command::new(binary("voltryctl"))
        .arg("--bus")
        .arg(format!("unix:path={}", bus.display()))
        .args(["status", "--watch"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Its first output says that it is connected.
    let mut first = [0_u8; 1];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
    match strike {
        Strike::CutOff => cut_off(child.id(), bus),
        Strike::Stop | Strike::StopAndWake => {
            send(Some(child.id()), Signal::STOP);
            wake(Some(child.id()));
        }
        Strike::Kill | Strike::Devices => {}
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
