//! The watchdog is fed only while every bus's loop goes round.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use voltry_service::Watchdog;
use voltry_units::Timestamp;

/// Longer than a loop that waits for its next frame takes.
const LATE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Loops {
    watchdog: Watchdog,
    seen: Vec<Timestamp>,
}

/// One loop's part in feeding the watchdog.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    loops: Arc<Mutex<Loops>>,
    index: usize,
}

impl Heartbeat {
    /// One for each of `count` loops.
    pub(crate) fn of(count: usize, watchdog: Watchdog, now: Timestamp) -> Vec<Self> {
        let loops = Arc::new(Mutex::new(Loops { watchdog, seen: vec![now; count] }));
        (0..count).map(|index| Self { loops: loops.clone(), index }).collect()
    }

    /// This loop went round.
    pub(crate) fn beat(&self, now: Timestamp) {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = loops.seen.get_mut(self.index) {
            *seen = now;
        }
        if loops.seen.iter().all(|seen| now.since(*seen) < LATE) {
            loops.watchdog.beat(now);
        }
    }
}
