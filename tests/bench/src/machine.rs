//! The machine under the benchmark: namespaces, priorities, load, a private bus.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use voltry_bus::names;

const MARK: &str = "VOLTRY_BENCH_INSIDE";
/// Above every daemon's: who plays the hardware and the vehicle does not wait for a core.
const OWN_PRIORITY: u8 = 30;
/// As `dbus.service.d/50-voltry.conf` of the packages has it.
const BROKER_PRIORITY: u8 = 20;

pub(crate) fn inside() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Real-time priorities are refused in a user namespace, so root does without.
fn flags() -> &'static [&'static str] {
    if nix::unistd::geteuid().is_root() {
        &["--net", "--pid", "--fork"]
    } else {
        &["--user", "--map-current-user", "--keep-caps", "--net", "--pid", "--fork"]
    }
}

pub(crate) async fn namespaces_allowed() -> bool {
    succeeds(Command::new("unshare").args(flags()).arg("true")).await
}

/// Runs this program in namespaces of its own; when it ends, the kernel ends all that it started.
pub(crate) async fn enter() -> anyhow::Result<ExitCode> {
    let status = Command::new("unshare")
        .args(flags())
        .arg("--kill-child=SIGKILL")
        .arg("--")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .kill_on_drop(true)
        .status()
        .await
        .context("starting unshare (package util-linux)")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Processors' time in ticks since the machine started.
#[derive(Clone, Copy)]
pub(crate) struct Ticks {
    stolen: u64,
    all: u64,
}

impl Ticks {
    /// A station does not keep deadlines of some tenths of a second beyond this.
    const AWAY_PER_MILLE: u64 = 10;

    pub(crate) fn now() -> anyhow::Result<Self> {
        Self::read(&std::fs::read_to_string("/proc/stat")?)
    }

    /// The line of all processors: user, nice, system, idle, iowait, irq, softirq, steal; what follows is in these.
    fn read(stat: &str) -> anyhow::Result<Self> {
        let line = stat
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("cpu "))
            .context("no line of processors")?;
        let fields: Vec<u64> = line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { stolen: *fields.get(7).context("no stolen time")?, all: fields.iter().sum() })
    }

    /// Per mille of the time since `began` that a hypervisor gave to others, if it is too much for a station.
    pub(crate) fn away_since(self, began: Self) -> Option<u64> {
        let away =
            1000 * self.stolen.saturating_sub(began.stolen) / self.all.saturating_sub(began.all).max(1);
        (away >= Self::AWAY_PER_MILLE).then_some(away)
    }
}

/// What the busy figures are measured under.
pub(crate) const SCHEDULING: &str = "busy: one ordinary spinning process a core; daemons scheduled as their units \
and the broker's say; this program, which plays vehicle and devices, rr 30";

pub(crate) async fn real_time() -> bool {
    succeeds(Command::new("chrt").args(["--rr", "1", "true"])).await
}

async fn succeeds(probe: &mut Command) -> bool {
    probe.stderr(Stdio::null()).status().await.is_ok_and(|status| status.success())
}

/// This process's own scheduling: ahead of all, or ordinary again when dropped.
#[derive(Debug)]
pub(crate) struct Ahead(());

impl Ahead {
    pub(crate) fn of_all() -> Self {
        change_own(&["--rr", "--pid", &OWN_PRIORITY.to_string()]);
        Self(())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        change_own(&["--other", "--pid", "0"]);
    }
}

/// Where it is refused, the parts that need it are not measured.
fn change_own(arguments: &[&str]) {
    let _ = std::process::Command::new("chrt")
        .args(arguments)
        .arg(std::process::id().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// This process, and what it starts meanwhile, on one core.
#[derive(Debug)]
pub(crate) struct OnOneCore(CpuSet);

impl OnOneCore {
    /// # Errors
    /// The kernel refuses it.
    pub(crate) fn of_all() -> anyhow::Result<Self> {
        let own = Pid::from_raw(0);
        let before = sched_getaffinity(own)?;
        let last = (0..CpuSet::count()).rev().find(|core| before.is_set(*core).unwrap_or(false));
        let mut one = CpuSet::new();
        one.set(last.context("no core is allowed")?)?;
        sched_setaffinity(own, &one)?;
        Ok(Self(before))
    }
}

impl Drop for OnOneCore {
    fn drop(&mut self) {
        // What was allowed before still is.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.0);
    }
}

/// A command with the real-time priority of its unit; 0: ordinary.
pub(crate) async fn scheduled(program: &Path, priority: u8) -> Command {
    let mut command = if real_time().await {
        let mut command = Command::new("chrt");
        let policy = if priority == 0 { "--other" } else { "--rr" };
        command.args([policy, &priority.to_string()]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.kill_on_drop(true);
    command
}

/// A daemon built beside this program.
pub(crate) fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!("{} is not there: cargo build --workspace --bins --release", path.display());
    }
    Ok(path)
}

/// Resident memory of the daemon whose configuration is in this folder, MB. This process has
/// namespaces of its own, so `/proc` knows the daemon by another number than its parent does.
pub(crate) fn resident(program: &str, folder: &Path) -> anyhow::Result<f64> {
    let (program, folder) = (format!("/{program}"), folder.display().to_string());
    for entry in std::fs::read_dir("/proc")? {
        let process = entry?.path();
        let Ok(line) = std::fs::read(process.join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line);
        let own = line.split('\0').next().unwrap_or_default();
        if !own.ends_with(&program) || !line.contains(&folder) {
            continue;
        }
        let status = std::fs::read_to_string(process.join("status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kilobytes: f64 = resident.trim().trim_end_matches(" kB").parse()?;
        return Ok(kilobytes / 1024.0);
    }
    bail!("{program} has ended")
}

/// One ordinary spinning process a core, until dropped.
#[derive(Debug)]
pub(crate) struct Busy(#[allow(dead_code, reason = "held for their end")] Vec<Child>);

impl Busy {
    pub(crate) async fn every_core() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let mut children = Vec::new();
        for _ in 0..cores {
            let mut command = scheduled(Path::new("sh"), 0).await;
            children.push(command.args(["-c", "while :; do :; done"]).spawn().context("starting load")?);
        }
        Ok(Self(children))
    }
}

/// The station's bus, with the limits of a system bus and our policy. Whose users are not on this machine, so that it
/// adds: whoever connects may do all.
fn configuration(address: &str) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <include>org.voltry.conf</include>
  <policy context="mandatory">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"#
    )
}

/// A private bus in a folder of its own.
#[derive(Debug)]
pub(crate) struct Bus {
    #[allow(dead_code, reason = "held for its end")]
    process: Child,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: String,
}

impl Bus {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("voltry-bench").tempdir()?;
        let address = format!("unix:path={}", folder.path().join("bus").display());
        let file = folder.path().join("bus.conf");
        std::fs::write(&file, configuration(&address))?;
        let policy = include_str!("../../../dbus/org.voltry.conf");
        std::fs::write(folder.path().join("org.voltry.conf"), policy)?;
        let process = scheduled(Path::new("dbus-daemon"), BROKER_PRIORITY)
            .await
            .args(["--nofork", "--nopidfile"])
            .arg(format!("--config-file={}", file.display()))
            // It tells of each user that is not here.
            .stderr(std::fs::File::create(folder.path().join("bus.log"))?)
            .spawn()
            .context("starting dbus-daemon (package dbus)")?;
        let bus = Self { process, folder, address };
        drop(bus.connect().await?);
        Ok(bus)
    }

    /// The file of its socket.
    pub(crate) fn socket(&self) -> &str {
        self.address.strip_prefix("unix:path=").unwrap_or(&self.address)
    }

    /// A new connection; waits until the bus listens.
    pub(crate) async fn connect(&self) -> anyhow::Result<zbus::Connection> {
        let begin = Instant::now();
        loop {
            match zbus::connection::Builder::address(self.address.as_str()).build().await {
                Ok(connection) => return Ok(connection),
                Err(error) if begin.elapsed() > Duration::from_secs(5) => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Starts an instance daemon on this bus with this configuration and priority, and waits
    /// until its name is there.
    pub(crate) async fn daemon(
        &self,
        program: &str,
        priority: u8,
        config: &str,
        name: &str,
    ) -> anyhow::Result<Child> {
        self.daemon_logging(program, priority, config, name, None).await
    }

    /// As [`Self::daemon`]; with `log` it says there what it says as it is shipped.
    pub(crate) async fn daemon_logging(
        &self,
        program: &str,
        priority: u8,
        config: &str,
        name: &str,
        log: Option<Stdio>,
    ) -> anyhow::Result<Child> {
        let file = self.folder.path().join(format!("{program}.toml"));
        std::fs::write(&file, config)?;
        let level = if log.is_some() { "info" } else { "warn" };
        let own_log = std::fs::File::create(self.folder.path().join(format!("{program}.log")))?;
        // Who runs once for each EVSE serves the first.
        let instance = (name != names::STATION).then_some("1");
        let child = scheduled(&binary(program)?, priority)
            .await
            .arg("--config")
            .arg(&file)
            .args(["--log", level, "--bus", &self.address])
            .args(instance)
            .stderr(log.unwrap_or_else(|| own_log.into()))
            .spawn()
            .with_context(|| format!("starting {program}"))?;
        let bus = zbus::fdo::DBusProxy::new(&self.connect().await?).await?;
        let begin = Instant::now();
        while !bus.name_has_owner(name.try_into()?).await? {
            if begin.elapsed() > Duration::from_secs(10) {
                let log = std::fs::read_to_string(self.folder.path().join(format!("{program}.log")))?;
                bail!("{program} did not come up: {log}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(child)
    }
}

/// A veth pair between the station's end `evse1` and the vehicle's end `ev1`.
pub(crate) async fn make_link() -> anyhow::Result<()> {
    loopback().await?;
    ip("link add evse1 type veth peer name ev1
        link set evse1 addrgenmode none
        link set ev1 addrgenmode none
        addr add fe80::1/64 dev evse1 nodad
        addr add fe80::2/64 dev ev1 nodad
        link set evse1 up
        link set ev1 up")
    .await
}

/// Brings loopback up, which is down in namespaces of their own.
pub(crate) async fn loopback() -> anyhow::Result<()> {
    if inside() { ip("link set lo up").await } else { Ok(()) }
}

async fn ip(lines: &str) -> anyhow::Result<()> {
    for line in lines.lines() {
        let output = Command::new("/usr/sbin/ip").args(line.split_whitespace()).output().await;
        let output = output.context("starting ip (package iproute2)")?;
        if !output.status.success() {
            bail!("ip {}: {}", line.trim(), String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_away_from_a_hundredth_of_its_time_on() {
        let at = |stolen, idle| {
            let text = format!("cpu  100 0 50 {idle} 7 0 3 {stolen} 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n");
            Ticks::read(&text).expect("a line as the kernel writes it")
        };
        assert_eq!(at(10, 990).away_since(at(0, 0)), Some(10));
        assert_eq!(at(9, 991).away_since(at(0, 0)), None);
        assert_eq!(at(5, 5).away_since(at(5, 5)), None);
        assert!(Ticks::read("cpu  1 2 3").is_err() && Ticks::read("intr 1").is_err());
    }
}
