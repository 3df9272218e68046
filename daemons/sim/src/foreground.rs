//! `voltry-sim station`: a station in the foreground that obeys lines on standard input.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::station::Station;
use crate::station::console::Line;
use crate::station::topology::Topology;

/// How long the daemons may take to become available.
const AVAILABLE_LIMIT: Duration = Duration::from_secs(60);

/// Lines kept that were typed before the station was ready.
const EARLY_LINES: usize = 100;

/// Our own log, on standard error; `$VOLTRY_LOG` overrides `level`.
pub fn start_logging(verbose: bool, level: &str) {
    let level = if verbose { "info" } else { level };
    let wanted = std::env::var("VOLTRY_LOG").ok().and_then(|wanted| wanted.parse().ok());
    let filter: Targets = wanted.unwrap_or_else(|| level.parse().expect("our own levels are levels"));
    let text = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry().with(text).with(filter).init();
}

/// Brings a station up and obeys until it is told to quit. Returns the exit code.
///
/// # Errors
/// The station cannot be brought up.
pub async fn station(topology: Topology, state: Option<PathBuf>, verbose: bool) -> anyhow::Result<u8> {
    let folder = StateFolder::choose(state)?;
    let mut input = Input::new()?;
    let mut station = tokio::select! {
        station = bring_up(topology, folder.path(), verbose) => station?,
        () = input.end() => return Ok(0),
    };
    println!("ready");
    eprintln!("{}", how_to_use(&station));
    input.obey(&mut station).await;
    Ok(0)
}

/// Starts a station and waits until every EVSE is available.
///
/// # Errors
/// It does not become available.
pub async fn bring_up(topology: Topology, state: &Path, verbose: bool) -> anyhow::Result<Station> {
    let station = Station::start(topology, state, verbose).await?;
    station.available(AVAILABLE_LIMIT).await?;
    Ok(station)
}

/// What a person types in another terminal.
#[must_use]
pub fn how_to_use(station: &Station) -> String {
    let screen =
        station.screen().map_or_else(String::new, |at| format!("\nin a browser:         http://{at}/"));
    format!("in another terminal:  voltryctl --bus {} status --watch{screen}", station.bus_address())
}

/// Where the station keeps its things.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    ours: bool,
}

impl StateFolder {
    /// The folder that was asked for, or a new one that is removed at the end.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn choose(wanted: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = wanted {
            return Ok(Self { path, ours: false });
        }
        // Process ids are unique outside only; the time tells two inner ones apart.
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().context("the clock stands before 1970")?;
        let path = std::env::temp_dir().join(format!("voltry-{:x}", since.as_micros()));
        std::fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path, ours: true })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps it at the end, for whoever wants to look why something failed.
    pub fn keep(&mut self) {
        self.ours = false;
    }
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::debug!(%error, "the state folder stays");
        }
    }
}

/// Standard input and the signals that mean the end.
#[derive(Debug)]
pub struct Input {
    lines: Lines<BufReader<Stdin>>,
    early: VecDeque<String>,
    interrupt: Signal,
    terminate: Signal,
}

impl Input {
    /// Takes hold of them.
    ///
    /// # Errors
    /// The signals cannot be listened for.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            lines: BufReader::new(tokio::io::stdin()).lines(),
            early: VecDeque::new(),
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next line; `None` at the end: Ctrl-C, or the outer process has gone.
    pub async fn next(&mut self) -> Option<String> {
        if let Some(line) = self.early.pop_front() {
            return Some(line);
        }
        self.read().await
    }

    async fn read(&mut self) -> Option<String> {
        tokio::select! {
            line = self.lines.next_line() => line.ok().flatten(),
            _ = self.interrupt.recv() => None,
            _ = self.terminate.recv() => None,
        }
    }

    /// Waits for the end; lines that come before it are kept for later.
    pub async fn end(&mut self) {
        while let Some(line) = self.read().await {
            if self.early.len() < EARLY_LINES {
                self.early.push_back(line);
            }
        }
    }

    /// Obeys until the end.
    pub async fn obey(&mut self, station: &mut Station) {
        loop {
            let text = tokio::select! {
                text = self.next() => text,
                () = station.restart_wanted() => {
                    println!("restart {}", station.obey(Line::PowerCut).await);
                    continue;
                }
            };
            let Some(text) = text else { return };
            if text.trim().is_empty() {
                continue;
            }
            let answer = match text.parse::<Line>() {
                Ok(Line::Quit) => return println!("ok bye"),
                Ok(line) => station.obey(line).await,
                Err(error) => format!("error {error}"),
            };
            println!("{answer}");
        }
    }
}
