//! Wall-clock time, whether it can be believed, and the identity of this boot.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use voltry_service::clock::now;
use voltry_units::Timestamp;

/// 2026-01-01: this software is younger.
pub(crate) const EARLIEST: i64 = 1_767_225_600_000_000;

/// Where systemd-timesyncd runs, and what it makes there once the clock is right.
const TIMESYNC: &str = "/run/systemd/timesync";
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// When something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Microseconds of Unix time, as the clock stood.
    pub unix: i64,
    /// Whether the clock was right.
    pub clock_set: bool,
    /// The boot in which `at` counts.
    pub boot: Arc<str>,
    /// When in that boot.
    pub at: Timestamp,
}

impl Stamp {
    /// So long before.
    pub(crate) fn earlier(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self {
            unix: self.unix.saturating_sub_unsigned(micros),
            at: Timestamp::from_micros(self.at.as_micros().saturating_sub(micros)),
            ..self
        }
    }
}

/// The clocks of this boot.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    boot: Arc<str>,
}

impl Clock {
    /// # Errors
    /// `/proc` is not mounted.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let path = "/proc/sys/kernel/random/boot_id";
        let text = std::fs::read_to_string(path).context("reading the boot id")?;
        Ok(Self { boot: text.trim().into() })
    }

    /// The kernel's name for this boot: session ids of another one mean nothing.
    pub(crate) fn boot(&self) -> &Arc<str> {
        &self.boot
    }

    /// This instant.
    pub(crate) fn stamp(&self) -> Stamp {
        let unix = unix_now();
        Stamp { unix, clock_set: is_set(unix), boot: Arc::clone(&self.boot), at: now() }
    }
}

/// Microseconds of Unix time; 0 before 1970.
pub(crate) fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// A clock from before this software was made is wrong. Where systemd-timesyncd keeps it, it counts
/// from the first synchronization on; where anything else does, it is believed.
fn is_set(unix: i64) -> bool {
    unix >= EARLIEST && (Path::new(SYNCHRONIZED).exists() || !Path::new(TIMESYNC).exists())
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_clock_of_1970_is_not_set() {
        assert!(!super::is_set(0));
        assert!(!super::is_set(super::EARLIEST - 1));
    }
}
