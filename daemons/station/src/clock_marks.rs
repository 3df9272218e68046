//! When clock-aligned readings are due: on the marks that an interval makes from midnight, UTC. Pure.

use std::time::Duration;

/// A reading counts for its mark if it is taken so soon after it.
const LATE: i64 = 2_000_000;

/// The marks of one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockMarks {
    /// Microseconds; 0: none.
    interval: i64,
    /// The mark that was passed last.
    passed: Option<i64>,
}

impl ClockMarks {
    /// Marks at this interval; zero: none.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self { interval: i64::try_from(interval.as_micros()).unwrap_or(0), passed: None }
    }

    /// The mark that has just been reached, if one has: microseconds of Unix time. A mark that was
    /// slept through, or that a clock jumped over, is missed.
    #[must_use]
    pub fn step(&mut self, unix_now: i64) -> Option<i64> {
        if self.interval == 0 {
            return None;
        }
        let mark = unix_now - unix_now.rem_euclid(self.interval);
        let before = self.passed.replace(mark)?;
        (before != mark && unix_now - mark < LATE).then_some(mark)
    }

    /// How long it is to the next mark.
    #[must_use]
    pub fn next(&self, unix_now: i64) -> Option<Duration> {
        let left =
            if self.interval == 0 { return None } else { self.interval - unix_now.rem_euclid(self.interval) };
        u64::try_from(left).ok().map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const QUARTER: Duration = Duration::from_secs(900);
    /// 2026-11-26 03:00 UTC.
    const NOON: i64 = 1_795_662_000 * SECOND;

    #[test]
    fn a_mark_is_reached_once_and_is_exact() {
        let mut marks = ClockMarks::every(QUARTER);
        assert_eq!(marks.step(NOON + 3 * SECOND), None, "no mark is reached by starting");
        assert_eq!(marks.next(NOON + 3 * SECOND), Some(Duration::from_secs(897)));
        assert_eq!(marks.step(NOON + 899 * SECOND), None);
        assert_eq!(marks.step(NOON + 900 * SECOND + 1_234), Some(NOON + 900 * SECOND));
        assert_eq!(marks.step(NOON + 901 * SECOND), None);
    }

    #[test]
    fn what_was_slept_through_is_missed() {
        let mut marks = ClockMarks::every(QUARTER);
        let _ = marks.step(NOON);
        assert_eq!(marks.step(NOON + 1000 * SECOND), None);
        assert_eq!(marks.step(NOON + 1800 * SECOND), Some(NOON + 1800 * SECOND));
    }

    #[test]
    fn a_clock_that_is_set_makes_no_mark_unless_it_stands_on_one() {
        let mut marks = ClockMarks::every(QUARTER);
        let _ = marks.step(0);
        assert_eq!(marks.step(NOON + 100 * SECOND), None);
        assert_eq!(marks.step(NOON - 100 * SECOND), None);
        assert_eq!(marks.step(NOON), Some(NOON));
    }

    #[test]
    fn without_an_interval_there_are_none() {
        let mut marks = ClockMarks::every(Duration::ZERO);
        assert_eq!((marks.step(NOON), marks.step(NOON + SECOND), marks.next(NOON)), (None, None, None));
    }
}
