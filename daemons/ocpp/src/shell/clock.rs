//! This instant, and whether the time of day may be believed.

use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use voltry_service::clock::now;
use voltry_units::Timestamp;

use crate::time::Now;

/// This software is younger: an earlier time of day is none.
const EARLIEST: i64 = 1_767_225_600_000_000; // 2026-01-01
/// Where systemd-timesyncd runs, and what it makes there once the clock is right.
const TIMESYNC: &str = "/run/systemd/timesync";
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";
/// How often that is looked at.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// This instant on both clocks.
pub(crate) fn instant() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    let now = now();
    // Two questions to the kernel for each message would be a tenth of what it takes to answer it.
    thread_local!(static LOOKED: Cell<Option<(Timestamp, bool)>> = const { Cell::new(None) });
    let looked = LOOKED.get().filter(|(at, _)| now.since(*at) < CLOCK_LOOK);
    let (_, synchronized) = looked.unwrap_or_else(|| {
        let synchronized = Path::new(SYNCHRONIZED).exists() || !Path::new(TIMESYNC).exists();
        LOOKED.set(Some((now, synchronized)));
        (now, synchronized)
    });
    Now { at: now, unix, set: unix >= EARLIEST && synchronized }
}
