//! The upload of a log (2.0.1, N01; 1.6, GetDiagnostics and, of its security extension, GetLog).
//!
//! ```text
//!          asked            fails, attempts are left
//!   Idle ────────▶ Running ─────────────────────────▶ Waiting
//!    ▲               │  ▲                               │
//!    └── uploaded, ──┘  └────────── interval over ──────┘
//!        given up
//! ```
//!
//! A restart in the middle begins the attempt anew. Another request ends the one that runs.

use std::fmt;

use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use voltry_units::Timestamp;

use super::{Tries, Untold};
use crate::time::rfc3339;

/// Attempts that restarts may cut short before the upload counts as failed: an upload that takes the
/// machine down is not tried for ever.
const CUT_SHORT_MAX: u32 = 3;

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Log {
    /// Whatever helps to find out what is wrong.
    Diagnostics,
    /// Security events.
    Security,
}

impl Log {
    /// The name of its file.
    #[must_use]
    pub fn file(self, identity: &str, unix: i64) -> String {
        let kind = match self {
            Self::Diagnostics => "diagnostics",
            Self::Security => "security",
        };
        let time: String = rfc3339(unix).chars().filter(char::is_ascii_alphanumeric).collect();
        format!("{kind}-{identity}-{time}.log.gz")
    }
}

/// A log to be uploaded.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The CSMS's number of its request; `None`: 1.6's GetDiagnostics, which has none.
    pub request: Option<i64>,
    /// Which.
    pub log: Log,
    /// Where to; may hold a password.
    pub url: String,
    /// Its name there.
    pub file: String,
    /// From then on, microseconds of Unix time.
    pub oldest: Option<i64>,
    /// Until then.
    pub latest: Option<i64>,
    /// How often it is tried.
    pub tries: Tries,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {:?}", self.log, self.request)
    }
}

/// Why an attempt failed, in 2.0.1's distinctions (UploadLogStatusEnumType).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// The server did not understand.
    BadMessage,
    /// It wants another user or password.
    PermissionDenied,
    /// It takes no such upload.
    NotSupportedOperation,
    /// Anything else: nobody there, the connection broke, no disk.
    UploadFailure,
}

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogStatus {
    /// None runs.
    Idle,
    /// It is on its way.
    Uploading,
    /// It is there.
    Uploaded,
    /// It is given up.
    Failed(Failure),
    /// Another request ended it.
    Canceled,
}

/// What must outlive the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    running: Option<Running>,
    untold: Untold<LogStatus>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Running {
    upload: Upload,
    /// Attempts that failed.
    failed: u32,
    /// Attempts that began.
    begun: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The next attempt begins then; with nothing in `Kept::running` there is none.
    Waiting { until: Timestamp },
    /// This attempt is out.
    Running { attempt: u64 },
}

/// The upload.
#[derive(Debug)]
pub struct LogUpload {
    kept: Kept,
    phase: Phase,
    attempts: u64,
}

impl Default for LogUpload {
    fn default() -> Self {
        Self::new(Kept::default())
    }
}

impl LogUpload {
    /// As the store has kept it: what was cut short begins anew.
    #[must_use]
    pub fn new(kept: Kept) -> Self {
        Self { kept, phase: Phase::Waiting { until: Timestamp::BOOT }, attempts: 0 }
    }

    pub(super) const fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Begins an upload. True: it ended another.
    pub fn start(&mut self, upload: Upload) -> bool {
        info!(?upload, "the CSMS asks for a log");
        let other = self.kept.running.take();
        if let Some(other) = &other {
            self.kept.untold.push(other.upload.request, LogStatus::Canceled);
        }
        self.kept.untold.push(upload.request, LogStatus::Uploading);
        self.kept.running = Some(Running { upload, failed: 0, begun: 0 });
        self.phase = Phase::Waiting { until: Timestamp::BOOT };
        other.is_some()
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        match (&self.kept.running, self.phase) {
            (Some(_), Phase::Waiting { until }) => Some(until),
            (Some(_), Phase::Running { .. }) | (None, _) => None,
        }
    }

    pub(super) fn step(&mut self, now: Timestamp) -> Option<super::Order> {
        let due = self.due().is_some_and(|due| now >= due);
        let running = self.kept.running.as_mut().filter(|_| due)?;
        if running.begun >= running.upload.tries.attempts + CUT_SHORT_MAX {
            self.give_up(Failure::UploadFailure);
            return None;
        }
        running.begun += 1;
        self.attempts += 1;
        self.phase = Phase::Running { attempt: self.attempts };
        Some(super::Order::Upload { attempt: self.attempts, upload: running.upload.clone() })
    }

    pub(super) fn ended(&mut self, now: Timestamp, attempt: u64, result: Result<(), Failure>) {
        if self.phase != (Phase::Running { attempt }) {
            return;
        }
        let Some(running) = &mut self.kept.running else { return };
        match result {
            Ok(()) => {
                info!(upload = ?running.upload, "the log is uploaded");
                self.kept.untold.push(running.upload.request, LogStatus::Uploaded);
                self.kept.running = None;
            }
            Err(failure) => {
                running.failed += 1;
                if running.failed >= running.upload.tries.attempts {
                    self.give_up(failure);
                } else {
                    self.phase = Phase::Waiting { until: now + running.upload.tries.interval };
                }
            }
        }
    }

    fn give_up(&mut self, failure: Failure) {
        if let Some(running) = self.kept.running.take() {
            warn!(upload = ?running.upload, ?failure, "the log cannot be uploaded");
            self.kept.untold.push(running.upload.request, LogStatus::Failed(failure));
        }
    }

    /// What the CSMS has to hear.
    #[must_use]
    pub const fn untold(&self) -> &Untold<LogStatus> {
        &self.kept.untold
    }

    /// It has heard the next of them.
    pub fn told(&mut self) {
        self.kept.untold.told();
    }

    /// Where it stands: the request, if one runs, and the status.
    #[must_use]
    pub fn status(&self) -> (Option<i64>, LogStatus) {
        match &self.kept.running {
            Some(running) => (running.upload.request, LogStatus::Uploading),
            None => (None, LogStatus::Idle),
        }
    }
}
