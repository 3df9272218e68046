//! Does what the course of an update asks for, and tells it what that came to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, oneshot, watch};
use voltry_bus::{Error, names};
use voltry_service::{Daemon, Watchdog, clock};
use zbus::object_server::InterfaceRef;

use crate::config::Settings;
use crate::course::{Action, Course, Input, Rules, Shown};
use crate::memory::{Memory, MemoryFile};
use crate::object::{self, Asked, Update1, Wish};
use crate::rauc::Rauc;
use crate::{station, version};

/// The watchdog is fed this often, and progress asked for every other time.
const ROUND: Duration = Duration::from_millis(500);
/// A disk that takes nothing for a minute is broken.
const ROUNDS_TO_WRITE: u32 = 120;

/// Serves `Update1` until it is asked to stop, or the bus is lost.
///
/// # Errors
/// What is remembered cannot be read or written, the version that runs is not known, or the name is taken.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let memory_file = MemoryFile::new(settings.state_file.clone());
    let memory = memory_file.read().with_context(|| settings.state_file.display().to_string())?;
    let running = version::running(&settings.version_file)?;
    let boot_id = Path::new("/proc/sys/kernel/random/boot_id");
    let boot = std::fs::read_to_string(boot_id).with_context(|| boot_id.display().to_string())?;
    let rules = Rules {
        trial: settings.trial(),
        steady: settings.steady(),
        allow_downgrade: settings.allow_downgrade,
    };
    let course = Course::new(rules, running.clone(), boot.trim().to_owned(), memory, clock::now());
    let (inputs, received) = mpsc::channel(32);
    let rauc = Rauc::new(daemon.connection(), inputs.clone()).await?;
    rauc.follow().await?;
    rauc.look();
    let (shown, seen) = watch::channel(course.shown());
    let (wishes, wished) = mpsc::channel(8);
    let served = Update1 { wishes, shown: seen, version: running };
    let server = daemon.connection().object_server();
    server.at(names::UPDATE_PATH, served).await?;
    let object = server.interface(names::UPDATE_PATH).await?;
    let watching = station::watch(daemon.connection().clone(), inputs);
    daemon.claim(names::UPDATE).await?;
    daemon.ready();
    let mut shell = Shell {
        course,
        rauc,
        object,
        shown,
        memory_file: Arc::new(memory_file),
        watchdog: Watchdog::from_environment(),
        restart_file: settings.restart_file,
        waiting: HashMap::new(),
        requests: 0,
    };
    tokio::select! {
        _ = daemon.stop() => Ok(()),
        ended = shell.turn(received, wished) => ended,
        ended = watching => ended.context("watching the station"),
    }
}

struct Shell {
    course: Course,
    rauc: Rauc,
    object: InterfaceRef<Update1>,
    shown: watch::Sender<Shown>,
    memory_file: Arc<MemoryFile>,
    watchdog: Watchdog,
    restart_file: PathBuf,
    /// Who waits for a reply, by the number of the request.
    waiting: HashMap<u64, oneshot::Sender<Result<(), Error>>>,
    requests: u64,
}

impl Shell {
    async fn turn(
        &mut self,
        mut inputs: mpsc::Receiver<Input>,
        mut wishes: mpsc::Receiver<Asked>,
    ) -> anyhow::Result<()> {
        let mut round = tokio::time::interval(ROUND);
        let mut even = false;
        loop {
            let input = tokio::select! {
                Some(input) = inputs.recv() => input,
                Some(asked) = wishes.recv() => self.number(asked),
                _ = round.tick() => {
                    self.watchdog.beat(clock::now());
                    even = !even;
                    if even && self.course.installing() {
                        self.rauc.ask_progress();
                    }
                    continue;
                }
            };
            // An answer that was under way while an installation ended may tell of the time before it.
            if matches!(&input, Input::Facts(facts) if facts.look != self.rauc.newest_look()) {
                continue;
            }
            for action in self.course.step(clock::now(), input) {
                self.perform(action).await?;
            }
            self.show().await?;
        }
    }

    /// Shows how things stand, and tells what has changed.
    async fn show(&mut self) -> anyhow::Result<()> {
        let now = self.course.shown();
        let before = self.shown.send_replace(now.clone());
        object::tell(&self.object, &before, &now).await?;
        Ok(())
    }

    fn number(&mut self, (wish, answer): Asked) -> Input {
        self.requests += 1;
        let request = self.requests;
        self.waiting.insert(request, answer);
        match wish {
            Wish::Install(bundle) => {
                tracing::info!(bundle, "an installation is asked for");
                Input::Install { request, bundle }
            }
            Wish::Restart => Input::Restart { request },
        }
    }

    /// Returns when it is on the disk. RAUC may be writing to the same one: that takes as long as it takes.
    async fn remember(&mut self, memory: Memory) -> anyhow::Result<()> {
        let file = Arc::clone(&self.memory_file);
        let mut writing = tokio::task::spawn_blocking(move || file.write(&memory));
        let mut round = tokio::time::interval(ROUND);
        for _ in 0..ROUNDS_TO_WRITE {
            tokio::select! {
                written = &mut writing => return Ok(written??),
                _ = round.tick() => self.watchdog.beat(clock::now()),
            }
        }
        anyhow::bail!("the disk takes nothing")
    }

    async fn perform(&mut self, action: Action) -> anyhow::Result<()> {
        match action {
            Action::Reply(request, result) => {
                if let Err(error) = &result {
                    tracing::info!(%error, "refused");
                }
                if let Some(answer) = self.waiting.remove(&request) {
                    // Whoever asked may be gone.
                    let _ = answer.send(result);
                }
            }
            Action::Look => self.rauc.look(),
            Action::Inspect(bundle) => self.rauc.inspect(bundle),
            Action::InstallBundle(bundle) => self.rauc.install(bundle),
            Action::Remember(memory) => {
                tracing::info!(verdict = %memory.verdict, detail = memory.detail, pending = ?memory.pending, "remembered");
                self.remember(memory).await.context("remembering an update")?;
            }
            Action::MarkGood => self.rauc.mark("good", "booted".to_owned()),
            Action::MarkBad(slot) => self.rauc.mark("bad", slot),
            Action::Reboot => {
                tracing::warn!("the machine is to start anew");
                let file = &self.restart_file;
                std::fs::write(file, "").with_context(|| file.display().to_string())?;
            }
            Action::Ended(outcome, detail) => {
                tracing::info!(%outcome, detail, "the installation ended");
                // Whoever hears it may read at once how things stand.
                self.show().await?;
                Update1::installation_ended(self.object.signal_emitter(), outcome, &detail).await?;
            }
        }
        Ok(())
    }
}
