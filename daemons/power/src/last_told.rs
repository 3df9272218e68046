//! When a supply's output is told.

use std::time::Duration;

use voltry_units::Timestamp;

/// At least this often, whatever was read.
pub(crate) const TOLD_EVERY: Duration = Duration::from_millis(100);
/// What was told and is older than this is replaced by what is younger, if by little: consumers miss a reading after
/// 300 ms, and a full bus that carries set-points besides needs half of that for one round.
const OLD: Duration = Duration::from_millis(110);
/// No output is told sooner after the last for that, so that it is no more than 33 times a second.
const PACE: Duration = Duration::from_millis(30);

/// What of a supply's output was told last.
#[derive(Debug, Default)]
pub(crate) struct LastTold {
    /// The youngest reading of any module then.
    newest: Timestamp,
    /// The oldest that counted.
    oldest: Timestamp,
    at: Timestamp,
}

impl LastTold {
    /// Whether an output whose oldest reading is `oldest` is to be told now: every module was read anew, and waiting
    /// for a turn would only make it older; or what was told is getting old.
    pub(crate) fn is_due(&self, oldest: Timestamp, now: Timestamp) -> bool {
        let ages = oldest > self.oldest && now.since(self.oldest) >= OLD && now.since(self.at) >= PACE;
        oldest > self.newest || ages || now.since(self.at) >= TOLD_EVERY
    }

    /// It is told.
    pub(crate) fn tell(&mut self, newest: Timestamp, oldest: Timestamp, now: Timestamp) {
        *self = Self { newest, oldest, at: now };
    }

    /// How old what was told is.
    #[cfg(test)]
    pub(crate) fn age(&self, now: Timestamp) -> Duration {
        now.since(self.oldest)
    }
}
