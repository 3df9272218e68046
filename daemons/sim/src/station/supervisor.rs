//! Supervises the daemons as systemd does: readiness and watchdog by `NOTIFY_SOCKET`,
//! `Restart=on-failure` with a growing pause, a log for each.
//!
//! ```text
//!            READY=1                 exit 0
//! Starting ──────────▶ Ready ──────────────────▶ Ended
//!    ▲  │  failed, killed, watchdog missed │ exit 2 ▶ GaveUp
//!    └──┴──────────── Pausing ◀────────────┘
//! ```

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// A daemon that never says it is ready is started anew after this.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause before a restart: doubles up to the longest, and is short again after a daemon
/// lived for `SETTLED`.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SETTLED: Duration = Duration::from_secs(10);

/// How a daemon says that its configuration is wrong (`RestartPreventExitStatus=`).
const EXIT_CONFIG: i32 = 2;

/// A process to keep running.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its name, for logs and commands, as `evse-1`.
    pub name: String,
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What it finds in its environment beside ours.
    pub environment: Vec<(String, OsString)>,
    /// How it is scheduled.
    pub scheduling: Scheduling,
    /// The longest silence before it counts as hung; `None`: it feeds no watchdog.
    pub watchdog: Option<Duration>,
}

/// How a process is scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduling {
    /// As we are: this machine allows nothing else.
    Inherited,
    /// In the ordinary way, although we have a real-time priority.
    Ordinary,
    /// `CPUSchedulingPolicy=rr` with this priority.
    RealTime(u8),
}

impl Scheduling {
    /// `chrt` becomes the program, with the same process id.
    fn command(self, program: &Path) -> Command {
        let mut command = Command::new(if self == Self::Inherited { program } else { Path::new("chrt") });
        match self {
            Self::Inherited => {}
            Self::Ordinary => {
                command.args(["--other", "0"]).arg(program);
            }
            Self::RealTime(priority) => {
                command.arg("--rr").arg(priority.to_string()).arg(program);
            }
        }
        command
    }
}

/// Where the supervisor keeps things.
#[derive(Debug, Clone)]
pub struct Places {
    /// Log files.
    pub logs: PathBuf,
    /// Notify sockets.
    pub sockets: PathBuf,
    /// Whether logs go to standard error as well.
    pub verbose: bool,
}

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitState {
    /// Its process runs but has not said that it is ready.
    Starting,
    /// It said so.
    Ready,
    /// It failed and is about to be started again.
    Pausing,
    /// It ended in the normal way and stays down.
    Ended,
    /// Its configuration is wrong (exit code 2): starting it again does not help.
    GaveUp,
}

/// A unit under supervision. Dropping it kills the process (SIGKILL) and stops supervising.
#[derive(Debug)]
pub struct Supervised {
    /// Its name.
    pub name: String,
    state: watch::Receiver<UnitState>,
    kill: mpsc::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Supervised {
    /// Starts a unit and keeps it running.
    ///
    /// # Errors
    /// Its notify socket or log cannot be made.
    pub fn start(unit: Unit, places: &Places) -> anyhow::Result<Self> {
        let socket_path = places.sockets.join(format!("{}.notify", unit.name));
        remove_if_there(&socket_path)?;
        let socket = UnixDatagram::bind(&socket_path)
            .with_context(|| format!("making the notify socket {}", socket_path.display()))?;
        let (state_in, state) = watch::channel(UnitState::Starting);
        let (kill, killed) = mpsc::channel(1);
        let name = unit.name.clone();
        let keeper = Keeper { unit, places: places.clone(), socket_path, socket, state: state_in, killed };
        Ok(Self { name, state, kill, task: tokio::spawn(keeper.keep()) })
    }

    /// Kills the process (SIGKILL), as if it had crashed: it is started again.
    pub fn kill(&self) {
        // A full queue already holds a kill.
        if self.kill.try_send(()).is_err() {
            tracing::debug!(unit = self.name, "a kill is already under way");
        }
    }

    /// Whether it said that it is ready.
    #[must_use]
    pub fn ready(&self) -> bool {
        *self.state.borrow() == UnitState::Ready
    }

    /// Whether it cannot run with its configuration.
    #[must_use]
    pub fn gave_up(&self) -> bool {
        *self.state.borrow() == UnitState::GaveUp
    }

    /// Waits until it is ready, or has ended for good.
    pub async fn settled(&self) -> UnitState {
        let mut state = self.state.clone();
        state
            .wait_for(|state| matches!(state, UnitState::Ready | UnitState::Ended | UnitState::GaveUp))
            .await
            .map_or(UnitState::Ended, |state| *state)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        // The task owns the child, which is killed when it is dropped.
        self.task.abort();
    }
}

struct Keeper {
    unit: Unit,
    places: Places,
    socket_path: PathBuf,
    socket: UnixDatagram,
    state: watch::Sender<UnitState>,
    killed: mpsc::Receiver<()>,
}

/// How one run of a process ended.
enum RunEnd {
    Exited(ExitStatus),
    NeverReady,
    Hung,
    Killed,
}

impl Keeper {
    async fn keep(mut self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let started = Instant::now();
            match self.run_once().await {
                Ok(RunEnd::Exited(status)) if status.success() => {
                    tracing::info!(unit = self.unit.name, "ended");
                    self.state.send_replace(UnitState::Ended);
                    return;
                }
                Ok(RunEnd::Exited(status)) if status.code() == Some(EXIT_CONFIG) => {
                    tracing::error!(unit = self.unit.name, "cannot run with its configuration");
                    self.state.send_replace(UnitState::GaveUp);
                    return;
                }
                Ok(RunEnd::Exited(status)) => tracing::warn!(unit = self.unit.name, %status, "failed"),
                Ok(RunEnd::NeverReady) => {
                    tracing::warn!(unit = self.unit.name, "was not ready in {START_TIMEOUT:?}");
                }
                Ok(RunEnd::Hung) => {
                    tracing::warn!(unit = self.unit.name, "missed its watchdog, was killed");
                }
                Ok(RunEnd::Killed) => tracing::info!(unit = self.unit.name, "was killed on command"),
                Err(error) => tracing::error!(unit = self.unit.name, "cannot run: {error:#}"),
            }
            self.state.send_replace(UnitState::Pausing);
            if started.elapsed() > SETTLED {
                pause = SHORTEST_PAUSE;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn run_once(&mut self) -> anyhow::Result<RunEnd> {
        self.state.send_replace(UnitState::Starting);
        let mut child = self.spawn()?;
        let mut deadline = Some(Instant::now() + START_TIMEOUT);
        let mut ready = false;
        let mut buffer = [0u8; 4096];
        let end = loop {
            let overdue = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = child.wait() => return Ok(RunEnd::Exited(status?)),
                _ = self.killed.recv() => break RunEnd::Killed,
                () = overdue => break if ready { RunEnd::Hung } else { RunEnd::NeverReady },
                count = self.socket.recv(&mut buffer) => {
                    let message = String::from_utf8_lossy(&buffer[..count?]);
                    if message.lines().any(|line| line == "READY=1") {
                        ready = true;
                        self.state.send_replace(UnitState::Ready);
                    }
                    // Any sign of life counts once it is ready, as with WATCHDOG=1.
                    if ready {
                        deadline = self.unit.watchdog.map(|period| Instant::now() + period);
                    }
                }
            }
        };
        child.kill().await.context("killing")?;
        Ok(end)
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.places.logs.join(format!("{}.log", self.unit.name)))
            .context("opening its log")?;
        let mut command = self.unit.scheduling.command(&self.unit.program);
        command
            .args(&self.unit.arguments)
            .envs(self.unit.environment.iter().map(|(key, value)| (key, value)))
            .env("NOTIFY_SOCKET", &self.socket_path)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(watchdog) = self.unit.watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        if self.places.verbose {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        } else {
            command.stdout(log.try_clone()?).stderr(log.try_clone()?);
        }
        let mut child =
            command.spawn().with_context(|| format!("starting {}", self.unit.program.display()))?;
        if let Some(stream) = child.stdout.take() {
            tokio::spawn(tee(stream, log.try_clone()?, self.unit.name.clone()));
        }
        if let Some(stream) = child.stderr.take() {
            tokio::spawn(tee(stream, log, self.unit.name.clone()));
        }
        Ok(child)
    }
}

/// Copies a daemon's lines to its log and to our standard error.
async fn tee(stream: impl AsyncRead + Unpin, log: std::fs::File, name: String) {
    let mut log = tokio::fs::File::from_std(log);
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("{name}: {line}");
        if let Err(error) = log.write_all(format!("{line}\n").as_bytes()).await {
            tracing::warn!(%error, unit = name, "its log cannot be written");
            return;
        }
    }
}

fn remove_if_there(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("removing {}", path.display())),
    }
}
