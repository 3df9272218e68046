//! What the CSMS wants carried between it and the station: logs upwards, firmware downwards. Pure;
//! [`crate::transfer`] carries.

mod closing;
mod firmware;
mod log_upload;

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;
use voltry_units::Timestamp;

pub use closing::{Closing, InService};
pub use firmware::{Firmware, FirmwareStatus, Progress, Runs, Signature, Update, World};
pub use log_upload::{Failure, Log, LogStatus, LogUpload, Upload};

/// Attempts of a transfer where the CSMS does not say.
const ATTEMPTS: u32 = 3;
/// At the most: whoever wants more asks again.
const ATTEMPTS_MAX: u32 = 100;
/// Between two attempts where the CSMS does not say.
const INTERVAL: Duration = Duration::from_secs(60);
/// At the most.
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// Statuses that wait for the CSMS, at the most; beyond, the oldest goes.
const UNTOLD_MAX: usize = 32;

/// How often a transfer is tried, and how long after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// At least one.
    pub attempts: u32,
    /// Between two.
    pub interval: Duration,
}

impl Tries {
    /// As `retries` and `retryInterval` (seconds) of a request say it: how many times it is tried, so
    /// that 0 is one time all the same.
    #[must_use]
    pub fn asked(retries: Option<i64>, interval_s: Option<i64>) -> Self {
        let attempts = |retries: i64| u32::try_from(retries.clamp(1, ATTEMPTS_MAX.into())).unwrap_or(1);
        let interval = |seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(INTERVAL_MAX);
        Self { attempts: retries.map_or(ATTEMPTS, attempts), interval: interval_s.map_or(INTERVAL, interval) }
    }
}

/// Why nothing can be carried there; `None`: it can.
#[must_use]
pub fn wrong_with(location: &str) -> Option<String> {
    match Url::parse(location) {
        Err(error) => Some(format!("no URL: {error}")),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            Some(format!("{}: only HTTP and HTTPS are spoken", url.scheme()))
        }
        Ok(url) if url.host().is_none() => Some("it names no host".to_owned()),
        Ok(_) => None,
    }
}

/// Statuses in the order in which the CSMS has to hear them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold<S>(VecDeque<(Option<i64>, S)>);

impl<S> Default for Untold<S> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<S: PartialEq> Untold<S> {
    fn push(&mut self, request: Option<i64>, status: S) {
        if self.0.len() >= UNTOLD_MAX {
            self.0.pop_front();
        }
        self.0.push_back((request, status));
    }

    /// The request and the status to tell next.
    #[must_use]
    pub fn next(&self) -> Option<&(Option<i64>, S)> {
        self.0.front()
    }

    /// The CSMS has heard it.
    pub fn told(&mut self) {
        self.0.pop_front();
    }
}

/// All transfers.
#[derive(Debug, Default)]
pub struct Files {
    /// Of a log.
    pub log: LogUpload,
    /// Of firmware.
    pub firmware: Firmware,
    /// What is out of service for it.
    pub closing: Closing,
}

/// What must outlive the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Of the log's upload.
    #[serde(default)]
    pub log: log_upload::Kept,
    /// Of the firmware's update.
    #[serde(default)]
    pub firmware: firmware::Kept,
    /// The EVSEs that it took out of service.
    #[serde(default)]
    pub closing: closing::Kept,
}

impl Kept {
    /// Whether the machine is starting anew for an update, or may go back from it.
    #[must_use]
    pub const fn is_restarting(&self) -> bool {
        self.firmware.is_restarting()
    }
}

/// What has to be carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Collect a log and upload it, instead of whatever is being uploaded; then [`News::Uploaded`].
    Upload {
        /// Its number.
        attempt: u64,
        /// What, and where to.
        upload: Upload,
    },
    /// Download a firmware, instead of whatever is being downloaded or verified; then [`News::Firmware`].
    Download {
        /// Its number.
        number: u64,
        /// From where.
        url: String,
    },
    /// Verify the signature of what was downloaded; then [`News::Firmware`].
    Verify {
        /// Its number.
        number: u64,
        /// Who vouches for it.
        signature: Signature,
    },
    /// Install what was downloaded; then [`News::Firmware`].
    Install {
        /// Its number.
        number: u64,
    },
    /// Ask which version runs, whether a restart is due, and what is thought of it; then [`News::Firmware`].
    AskVersion {
        /// Its number.
        number: u64,
    },
    /// Start the machine anew.
    Restart,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An upload ended.
    Uploaded {
        /// Its number.
        attempt: u64,
        /// How.
        result: Result<(), Failure>,
    },
    /// A stage of an update ended.
    Firmware {
        /// Its number.
        number: u64,
        /// How.
        progress: Progress,
    },
}

impl Files {
    /// As the store has kept them.
    #[must_use]
    pub fn new(kept: Kept) -> Self {
        Self {
            log: LogUpload::new(kept.log),
            firmware: Firmware::new(kept.firmware),
            closing: Closing::new(kept.closing),
        }
    }

    /// What must outlive the machine.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept {
            log: self.log.kept().clone(),
            firmware: self.firmware.kept().clone(),
            closing: self.closing.kept().clone(),
        }
    }

    /// What is to be done now.
    #[must_use]
    pub fn step(&mut self, world: World) -> Vec<Order> {
        self.log.step(world.at).into_iter().chain(self.firmware.step(world)).collect()
    }

    /// When [`Self::step`] is due.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        [self.log.due(), self.firmware.due(), self.closing.due()].into_iter().flatten().min()
    }

    /// What came of an order, and what is to be done at once.
    #[must_use]
    pub fn hear(&mut self, now: Timestamp, news: &News) -> Option<Order> {
        match news {
            News::Uploaded { attempt, result } => {
                self.log.ended(now, *attempt, *result);
                None
            }
            News::Firmware { number, progress } => self.firmware.hear(now, *number, progress),
        }
    }
}
