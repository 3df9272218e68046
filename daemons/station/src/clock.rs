//! Wall-clock time, and the identity of this boot.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;

/// Microseconds of Unix time; 0 before 1970.
pub(crate) fn unix_now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
}

/// The kernel's name for this boot: session ids of another one mean nothing.
///
/// # Errors
/// `/proc` is not mounted.
pub(crate) fn boot_id() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading the boot id")?;
    Ok(text.trim().to_owned())
}
