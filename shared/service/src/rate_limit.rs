//! One log line a minute for what may happen a thousand times a second.

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
#[derive(Debug, Default)]
pub struct RateLimit {
    total: u64,
    unreported: u64,
    reported_at: Option<Timestamp>,
}

impl RateLimit {
    /// The least time between two log lines.
    pub const INTERVAL: Duration = Duration::from_secs(60);

    /// Nothing counted.
    #[must_use]
    pub const fn new() -> Self {
        Self { total: 0, unreported: 0, reported_at: None }
    }

    /// Counts one event. If a log line is due: how many events it stands for.
    #[must_use]
    pub fn count(&mut self, now: Timestamp) -> Option<u64> {
        self.total = self.total.saturating_add(1);
        self.unreported = self.unreported.saturating_add(1);
        if self.reported_at.is_some_and(|at| now.since(at) < Self::INTERVAL) {
            return None;
        }
        self.reported_at = Some(now);
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
}
