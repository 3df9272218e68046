//! The update of the firmware (2.0.1, L01 and L02; 1.6, UpdateFirmware and, of its security extension,
//! SignedUpdateFirmware).
//!
//! ```text
//!  asked ─▶ Download ─▶ Verify ─▶ Install ─▶ Restart ─▶ Trial ─▶ over
//!             │ ▲ its     only of   its time is come,    the installer says
//!             ▼ │ time,   what is   every EVSE out of    which version runs,
//!            again        signed    service, none busy   and that it charges
//! ```
//!
//! During the trial the EVSEs are in service again. `Installed` is the CSMS told once the new version is known
//! to charge; one that the installer gives up again has failed, and the version from before runs.
//!
//! Each stage is on the disk before its work begins; after a restart its work begins anew. Whatever
//! happens, the EVSEs that were taken out of service are put back. Nothing is installed while anybody
//! charges.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use voltry_bus::{UpdateOutcome, UpdateVerdict};
use voltry_units::Timestamp;

use super::{Order, Tries, Untold};

/// Downloads that restarts may cut short before the update counts as failed.
const CUT_SHORT_MAX: u32 = 3;
/// How soon an installer that does not answer after a restart is asked again, and how often.
const ASK_AGAIN: Duration = Duration::from_secs(5);
const ASKED_MAX: u32 = 60;
/// How often it is asked what became of a trial, which takes minutes, or as long as somebody charges.
const ASK_OF_TRIAL: Duration = Duration::from_secs(15);
/// How long the CSMS has to hear that the machine is about to restart.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// A firmware to be installed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The CSMS's number of its request; `None`: 1.6's UpdateFirmware, which has none.
    pub request: Option<i64>,
    /// Where it is; may hold a password.
    pub url: String,
    /// Not before, microseconds of Unix time.
    pub retrieve_at: i64,
    /// Not before.
    pub install_at: Option<i64>,
    /// Who vouches for it.
    pub signature: Option<Signature>,
    /// How often the download is tried.
    pub tries: Tries,
}

/// A signature of a firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// The signer's certificate, PEM.
    pub certificate: String,
    /// Base64.
    pub signature: String,
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signed = if self.signature.is_some() { "signed" } else { "unsigned" };
        write!(f, "{signed} firmware for {:?}", self.request)
    }
}

/// Where an update stands, in 2.0.1's words (FirmwareStatusEnumType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the specification's words")]
pub enum FirmwareStatus {
    Idle,
    DownloadScheduled,
    Downloading,
    DownloadFailed,
    Downloaded,
    SignatureVerified,
    InvalidSignature,
    InstallScheduled,
    Installing,
    InstallRebooting,
    Installed,
    InstallationFailed,
    InstallVerificationFailed,
}

/// What must outlive the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    running: Option<Running>,
    untold: Untold<FirmwareStatus>,
    /// Of the last update, whether it runs or not.
    #[serde(default)]
    last: Option<(Option<i64>, FirmwareStatus)>,
}

impl Kept {
    /// Also during a trial: the machine may go back by itself.
    pub(super) const fn is_restarting(&self) -> bool {
        matches!(self.running, Some(Running { stage: Stage::Restart { .. } | Stage::Trial { .. }, .. }))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Running {
    update: Update,
    stage: Stage,
    /// What was last told.
    status: FirmwareStatus,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// `failed` downloads failed, `begun` began.
    Download { failed: u32, begun: u32 },
    /// The file is there.
    Verify,
    /// It may be installed.
    Install,
    /// It is, and the machine starts anew; until then this version ran.
    Restart { before: String },
    /// Another version runs, and is not known to charge yet.
    Trial { before: String },
}

/// What the work of this start of the daemon is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// None; the next begins then at the earliest.
    Due(Timestamp),
    /// This order is out.
    Out(u64),
}

/// What an update must know of the world.
#[derive(Debug, Clone, Copy)]
pub struct World {
    /// `CLOCK_BOOTTIME`.
    pub at: Timestamp,
    /// Microseconds of Unix time.
    pub unix: i64,
    /// Somebody charges, or is about to.
    pub busy: bool,
    /// Every EVSE is out of service.
    pub closed: bool,
}

/// What came of the stage that was ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The file is there, or not.
    Downloaded(Result<(), ()>),
    /// The signature is its signer's, or not.
    Verified(Result<(), ()>),
    /// It was installed, or not; the version that runs so far.
    Installed {
        /// How it ended.
        outcome: UpdateOutcome,
        /// Which version runs.
        version: String,
    },
    /// What the installer says after a restart; `None`: nobody answers.
    Runs(Option<Runs>),
}

/// What runs, as the installer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runs {
    /// The version.
    pub version: String,
    /// Whether the restart is still due.
    pub restart_needed: bool,
    /// What is thought of the update.
    pub verdict: UpdateVerdict,
}

/// The update.
#[derive(Debug)]
pub struct Firmware {
    kept: Kept,
    work: Work,
    numbers: u64,
    /// How often the installer of this update was asked in vain which version runs.
    asked: u32,
    /// An update whose signer is looked at before the CSMS has its answer.
    pub(crate) proposed: Option<Update>,
}

impl Default for Firmware {
    fn default() -> Self {
        Self::new(Kept::default())
    }
}

impl Firmware {
    /// As the store has kept it.
    #[must_use]
    pub fn new(kept: Kept) -> Self {
        Self { kept, work: Work::Due(Timestamp::BOOT), numbers: 0, asked: 0, proposed: None }
    }

    pub(super) const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Whether another update may take the place of the one that runs: not any more when it is being
    /// installed (L01.FR.25).
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        let Some(running) = &self.kept.running else { return true };
        match running.stage {
            Stage::Download { .. } | Stage::Verify => true,
            Stage::Install => !matches!(self.work, Work::Out(_)),
            Stage::Restart { .. } | Stage::Trial { .. } => false,
        }
    }

    /// Begins an update. True: it ended another.
    pub fn start(&mut self, update: Update) -> bool {
        info!(?update, "the CSMS sends firmware");
        let stage = Stage::Download { failed: 0, begun: 0 };
        let running = Running { update, stage, status: FirmwareStatus::Idle };
        self.work = Work::Due(Timestamp::BOOT);
        self.asked = 0;
        self.kept.running.replace(running).is_some()
    }

    /// Tells that nothing was begun.
    pub fn refuse(&mut self, request: Option<i64>, status: FirmwareStatus) {
        self.kept.untold.push(request, status);
    }

    /// Whether every EVSE must be out of service.
    #[must_use]
    pub fn wants_closed(&self, unix: i64) -> bool {
        let Some(running) = &self.kept.running else { return false };
        match running.stage {
            Stage::Download { .. } | Stage::Verify | Stage::Trial { .. } => false,
            Stage::Install => running.update.install_at.is_none_or(|at| unix >= at),
            Stage::Restart { .. } => true,
        }
    }

    /// When [`Self::step`] is due, with nothing else happening.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match (&self.kept.running, self.work) {
            (Some(_), Work::Due(at)) => Some(at),
            (Some(_), Work::Out(_)) | (None, _) => None,
        }
    }

    pub(super) fn step(&mut self, world: World) -> Option<Order> {
        let waits = self.due().is_none_or(|due| world.at < due);
        if waits && !self.may_install(world) {
            return None;
        }
        let running = self.kept.running.as_mut()?;
        let update = running.update.clone();
        match &mut running.stage {
            Stage::Download { begun, .. } => {
                if let Some(wait) = until(world.unix, Some(update.retrieve_at)) {
                    self.tell(FirmwareStatus::DownloadScheduled);
                    self.work = Work::Due(world.at + wait);
                    return None;
                }
                if *begun >= update.tries.attempts + CUT_SHORT_MAX {
                    self.end(FirmwareStatus::DownloadFailed);
                    return None;
                }
                *begun += 1;
                self.tell(FirmwareStatus::Downloading);
                Some(Order::Download { number: self.out(), url: update.url })
            }
            Stage::Verify => match update.signature {
                Some(signature) => Some(Order::Verify { number: self.out(), signature }),
                None => {
                    running.stage = Stage::Install;
                    self.step(world)
                }
            },
            Stage::Install => {
                if let Some(wait) = until(world.unix, update.install_at) {
                    self.tell(FirmwareStatus::InstallScheduled);
                    self.work = Work::Due(world.at + wait);
                    return None;
                }
                if world.busy {
                    self.tell(FirmwareStatus::InstallScheduled);
                }
                if world.busy || !world.closed {
                    self.work = Work::Due(world.at + ASK_AGAIN);
                    return None;
                }
                self.tell(FirmwareStatus::Installing);
                Some(Order::Install { number: self.out() })
            }
            Stage::Restart { .. } | Stage::Trial { .. } => {
                let number = self.out();
                Some(Order::AskVersion { number })
            }
        }
    }

    /// Whether all is come that an installation waits for.
    fn may_install(&self, world: World) -> bool {
        let Some(running) = &self.kept.running else { return false };
        running.stage == Stage::Install
            && matches!(self.work, Work::Due(_))
            && world.closed
            && !world.busy
            && until(world.unix, running.update.install_at).is_none()
    }

    fn out(&mut self) -> u64 {
        self.numbers += 1;
        self.work = Work::Out(self.numbers);
        self.numbers
    }

    pub(super) fn hear(&mut self, now: Timestamp, number: u64, progress: &Progress) -> Option<Order> {
        if self.work != Work::Out(number) {
            return None;
        }
        self.work = Work::Due(now);
        let running = self.kept.running.as_mut()?;
        match (&mut running.stage, progress) {
            (Stage::Download { .. }, Progress::Downloaded(Ok(()))) => {
                running.stage = Stage::Verify;
                self.tell(FirmwareStatus::Downloaded);
            }
            (Stage::Download { failed, .. }, Progress::Downloaded(Err(()))) => {
                *failed += 1;
                if *failed >= running.update.tries.attempts {
                    self.end(FirmwareStatus::DownloadFailed);
                } else {
                    self.work = Work::Due(now + running.update.tries.interval);
                }
            }
            (Stage::Verify, Progress::Verified(Ok(()))) => {
                running.stage = Stage::Install;
                self.tell(FirmwareStatus::SignatureVerified);
            }
            (Stage::Verify, Progress::Verified(Err(()))) => self.end(FirmwareStatus::InvalidSignature),
            (Stage::Install, Progress::Installed { outcome, version }) => match outcome {
                UpdateOutcome::Installed => self.end(FirmwareStatus::Installed),
                UpdateOutcome::Failed => self.end(FirmwareStatus::InstallationFailed),
                UpdateOutcome::Invalid => self.end(FirmwareStatus::InstallVerificationFailed),
                UpdateOutcome::RestartNeeded => {
                    running.stage = Stage::Restart { before: version.clone() };
                    self.tell(FirmwareStatus::InstallRebooting);
                    // It is told before the machine goes, if anybody listens.
                    self.work = Work::Due(now + LAST_WORDS);
                }
            },
            (Stage::Restart { .. }, Progress::Runs(Some(Runs { restart_needed: true, .. })))
                if self.asked < ASKED_MAX =>
            {
                self.asked += 1;
                self.work = Work::Due(now + LAST_WORDS);
                return Some(Order::Restart);
            }
            (Stage::Restart { before } | Stage::Trial { before }, Progress::Runs(answer)) => {
                let before = before.clone();
                self.restarted(now, before, answer.as_ref());
            }
            (
                Stage::Download { .. }
                | Stage::Verify
                | Stage::Install
                | Stage::Restart { .. }
                | Stage::Trial { .. },
                Progress::Downloaded(_)
                | Progress::Verified(_)
                | Progress::Installed { .. }
                | Progress::Runs(_),
            ) => {}
        }
        None
    }

    /// The machine has started anew, or should have: the installer says what runs.
    fn restarted(&mut self, now: Timestamp, before: String, answer: Option<&Runs>) {
        let Some(Runs { version, verdict, .. }) = answer else {
            self.asked += 1;
            if self.asked >= ASKED_MAX {
                self.end(FirmwareStatus::InstallationFailed);
            } else {
                self.work = Work::Due(now + ASK_AGAIN);
            }
            return;
        };
        let new = *version != before;
        match verdict {
            UpdateVerdict::OnTrial if new => {
                self.asked = 0;
                self.work = Work::Due(now + ASK_OF_TRIAL);
                if let Some(running) = &mut self.kept.running {
                    running.stage = Stage::Trial { before };
                }
            }
            // Not every installer puts on trial what it installed.
            UpdateVerdict::Good | UpdateVerdict::None if new => {
                info!(version, before, "the new firmware runs");
                self.end(FirmwareStatus::Installed);
            }
            UpdateVerdict::OnTrial
            | UpdateVerdict::Good
            | UpdateVerdict::None
            | UpdateVerdict::FellBack
            | UpdateVerdict::Interrupted => {
                warn!(version, %verdict, "the new firmware does not run, or not for long");
                self.end(FirmwareStatus::InstallationFailed);
            }
        }
    }

    /// Tells a status, unless it was the last.
    fn tell(&mut self, status: FirmwareStatus) {
        let Some(running) = &mut self.kept.running else { return };
        if running.status != status {
            running.status = status;
            self.kept.last = Some((running.update.request, status));
            self.kept.untold.push(running.update.request, status);
        }
    }

    fn end(&mut self, status: FirmwareStatus) {
        self.tell(status);
        if let Some(running) = self.kept.running.take() {
            info!(update = ?running.update, ?status, "the update is over");
        }
    }

    /// What the CSMS has to hear.
    #[must_use]
    pub const fn untold(&self) -> &Untold<FirmwareStatus> {
        &self.kept.untold
    }

    /// It has heard the next of them. The restart need not wait for it any longer.
    pub fn told(&mut self, now: Timestamp) {
        self.kept.untold.told();
        let restarts = self.kept.running.as_ref().is_some_and(|it| matches!(it.stage, Stage::Restart { .. }));
        if restarts && self.kept.untold.next().is_none() && matches!(self.work, Work::Due(_)) {
            self.work = Work::Due(now);
        }
    }

    /// Where an update stands that runs: its request and the status; else that there is none.
    #[must_use]
    pub fn running_status(&self) -> (Option<i64>, FirmwareStatus) {
        match &self.kept.running {
            Some(running) => (running.update.request, running.status),
            None => (None, FirmwareStatus::Idle),
        }
    }

    /// What was last told, unless that was a success (2.0.1, L01.FR.25 and .26).
    #[must_use]
    pub fn last_status(&self) -> (Option<i64>, FirmwareStatus) {
        match self.kept.last {
            Some((_, FirmwareStatus::Installed)) => (None, FirmwareStatus::Idle),
            Some(last) => last,
            // Of one that began before this was kept.
            None => self.running_status(),
        }
    }
}

/// How long from now to a time; `None`: it is come, or there is none.
fn until(unix: i64, at: Option<i64>) -> Option<Duration> {
    let wait = at?.saturating_sub(unix);
    // Looked at again within the hour: the time of day may be set meanwhile.
    (wait > 0).then(|| Duration::from_micros(wait.unsigned_abs()).min(Duration::from_secs(3600)))
}
