//! One log line a minute, or a few, for what may happen a thousand times a second.

use std::time::Duration;

use voltry_units::Timestamp;

/// Counts events, and says when the next log line about them is due.
///
/// ```
/// # use voltry_service::RateLimit; use voltry_units::Timestamp;
/// # let now = Timestamp::from_micros(1); let error = "bad CRC";
/// let mut bad_frames = RateLimit::new();
/// if let Some(count) = bad_frames.count(now) {
///     tracing::warn!(count, error, "bad frames");
/// }
/// ```
#[derive(Debug)]
pub struct RateLimit {
    lines: u32,
    total: u64,
    unreported: u64,
    /// Since when `reported` lines were told.
    since: Option<Timestamp>,
    reported: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl RateLimit {
    /// The time for which lines are counted.
    pub const INTERVAL: Duration = Duration::from_secs(60);

    /// One line a minute: for what is wrong.
    #[must_use]
    pub const fn new() -> Self {
        Self::allowing(1)
    }

    /// So many lines a minute: for what is ordinary, but happens as often as a peer likes.
    #[must_use]
    pub const fn allowing(lines: u32) -> Self {
        Self { lines, total: 0, unreported: 0, since: None, reported: 0 }
    }

    /// Counts one event. If a log line is due: how many events it stands for.
    #[must_use]
    pub fn count(&mut self, now: Timestamp) -> Option<u64> {
        self.total = self.total.saturating_add(1);
        self.unreported = self.unreported.saturating_add(1);
        if self.since.is_none_or(|since| now.since(since) >= Self::INTERVAL) {
            self.since = Some(now);
            self.reported = 0;
        }
        if self.reported >= self.lines {
            return None;
        }
        self.reported += 1;
        Some(std::mem::take(&mut self.unreported))
    }

    /// All events counted.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_is_told_at_once_and_the_rest_together_a_minute_later() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let mut limit = RateLimit::new();
        assert_eq!(limit.count(at(1)), Some(1));
        for second in 2..=60 {
            assert_eq!(limit.count(at(second)), None);
        }
        assert_eq!(limit.count(at(61)), Some(60));
        assert_eq!(limit.total(), 61);
    }

    #[test]
    fn what_is_ordinary_is_told_each_time_until_it_is_too_often() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let mut limit = RateLimit::allowing(3);
        let told: Vec<_> = (1..=60).filter_map(|second| limit.count(at(second))).collect();
        assert_eq!(told, [1, 1, 1]);
        assert_eq!(limit.count(at(61)), Some(58), "with those that were not told");
        assert_eq!(limit.count(at(62)), Some(1));
    }
}
