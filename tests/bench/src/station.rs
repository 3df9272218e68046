//! A whole simulated station of release binaries: how soon it is available, and what its
//! daemons weigh while one EVSE charges.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use voltry_bus::{Evse1Proxy, EvseState, names};
use zbus::fdo::MonitoringProxy;
use zbus::{MatchRule, MessageStream};

use crate::machine::{binary, scheduled};
use crate::report::{Report, percentile};

const VEHICLE: &str = "[[evse]]\nvehicle = { capacity_wh = 60000.0, soc = 20.0, target_soc = 80.0 }\n";

pub(crate) async fn measure(report: &mut Report, starts: u32) -> anyhow::Result<()> {
    let mut times = Vec::new();
    for start in 1..=starts {
        let (mut station, time) = Station::start().await?;
        times.push(time.as_secs_f64() * 1e3);
        if start == starts {
            weigh(report, &mut station).await?;
        }
        station.quit().await?;
    }
    report.add("start_to_available_ms", percentile(&mut times, 0.5));
    report.note(format!(
        "start: median of {starts}, from starting voltry-sim, so with making namespaces and hardware; it looks each 20 ms"
    ));
    Ok(())
}

async fn weigh(report: &mut Report, station: &mut Station) -> anyhow::Result<()> {
    station.charge().await?;
    let daemons = memory(station.folder.path())?;
    if daemons.len() < 6 {
        bail!("only {} daemons found to weigh: {daemons:?}", daemons.len());
    }
    report.add("pss_total_mb", daemons.values().sum());
    for (daemon, megabytes) in daemons {
        report.add(format!("{daemon}_pss_mb"), megabytes);
    }
    Ok(())
}

/// A station of one EVSE.
pub(crate) struct Station {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
}

impl Station {
    /// With a vehicle of the simulator's, and the time that it took to become available.
    pub(crate) async fn start() -> anyhow::Result<(Self, Duration)> {
        Self::of(VEHICLE).await
    }

    /// The station of a topology, and the time that it took to become available.
    pub(crate) async fn of(text: &str) -> anyhow::Result<(Self, Duration)> {
        Self::within(tempfile::Builder::new().prefix("voltry-bench").tempdir()?, text).await
    }

    /// As [`Self::of`], with its state in `state` of this folder.
    pub(crate) async fn within(folder: tempfile::TempDir, text: &str) -> anyhow::Result<(Self, Duration)> {
        let topology = folder.path().join("topology.toml");
        std::fs::write(&topology, text)?;
        let begin = Instant::now();
        let mut child = scheduled(&binary("voltry-sim")?, 0)
            .await
            .args(["station", "--topology"])
            .arg(&topology)
            .arg("--state")
            .arg(folder.path().join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("sim.log"))?)
            .spawn()
            .context("starting voltry-sim")?;
        let input = child.stdin.take().context("it was piped")?;
        let mut output = BufReader::new(child.stdout.take().context("it was piped")?).lines();
        let line = tokio::time::timeout(Duration::from_secs(60), output.next_line()).await??;
        let time = begin.elapsed();
        if line.as_deref() != Some("ready") {
            bail!("the station did not come up: {line:?}");
        }
        Ok((Self { child, input, output, folder }, time))
    }

    pub(crate) async fn plug(&mut self) -> anyhow::Result<()> {
        self.plug_at(1).await
    }

    pub(crate) async fn plug_at(&mut self, evse: u32) -> anyhow::Result<()> {
        let written = self.input.write_all(format!("plug {evse}\n").as_bytes()).await;
        written.with_context(|| format!("plugging in at EVSE {evse}: {}", self.last_words()))?;
        let answer = self.output.next_line().await?;
        answer.with_context(|| format!("plugging in at EVSE {evse}: {}", self.last_words()))?;
        Ok(())
    }

    /// What the simulator said at last.
    fn last_words(&self) -> String {
        let said = std::fs::read_to_string(self.folder.path().join("sim.log")).unwrap_or_default();
        let lines: Vec<&str> = said.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }

    /// Plugs the vehicle in and waits until it charges.
    pub(crate) async fn charge(&mut self) -> anyhow::Result<()> {
        self.plug().await?;
        self.until_charging(1).await?;
        // Past the first seconds, in which buffers still grow.
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    }

    pub(crate) async fn until_charging(&self, evse: u32) -> anyhow::Result<()> {
        let evse = Evse1Proxy::builder(&self.connect().await?)
            .destination(names::evse(evse))
            .path(names::path("evse", &evse.to_string()))
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?;
        let begin = Instant::now();
        while evse.state().await? != EvseState::Charging {
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("it does not charge: {}", evse.state().await?);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Its state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// A new connection to its bus.
    pub(crate) async fn connect(&self) -> zbus::Result<zbus::Connection> {
        let address = format!("unix:path={}", self.folder.path().join("state/bus").display());
        zbus::connection::Builder::address(address.as_str()).build().await
    }

    pub(crate) async fn quit(mut self) -> anyhow::Result<()> {
        self.input.write_all(b"quit\n").await?;
        tokio::time::timeout(Duration::from_secs(20), self.child.wait()).await??;
        Ok(())
    }
}

/// All messages of the station's bus that match one of the rules.
pub(crate) async fn monitor(station: &Station, rules: &[&'static str]) -> anyhow::Result<MessageStream> {
    let connection = station.connect().await?;
    let rules: Vec<MatchRule<'_>> =
        rules.iter().map(|rule| MatchRule::try_from(*rule)).collect::<Result<_, _>>()?;
    MonitoringProxy::new(&connection).await?.become_monitor(&rules, 0).await?;
    Ok(MessageStream::from(connection))
}

/// Megabytes of PSS of each daemon of the station with this state folder; all lines of meters
/// together. By the proportional share, in which pages that daemons share count once.
fn memory(state: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut daemons = BTreeMap::new();
    for entry in std::fs::read_dir("/proc")? {
        let process = entry?.path();
        let Ok(line) = std::fs::read(process.join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line);
        let program = line.split('\0').next().unwrap_or_default();
        let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(daemon) = name.strip_prefix("voltry-").filter(|name| *name != "sim") else { continue };
        if !line.contains(&state.display().to_string()) {
            continue;
        }
        let rollup = std::fs::read_to_string(process.join("smaps_rollup"))
            .with_context(|| format!("the memory of {name}"))?;
        let pss =
            rollup.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss in smaps_rollup")?;
        let kilobytes: f64 = pss.trim().trim_end_matches("kB").trim().parse()?;
        *daemons.entry(daemon.to_owned()).or_insert(0.0) += kilobytes / 1024.0;
    }
    Ok(daemons)
}
