//! Time stamps of the machine, and values that know when they were measured.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// An instant of `CLOCK_BOOTTIME`, in microseconds: monotonic, and running through suspend.
///
/// The same clock for every process of the machine, so stamps compare across daemons. They
/// mean nothing on another machine, in another time namespace, or after a reboot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant the machine started.
    pub const BOOT: Self = Self(0);

    /// From microseconds since boot.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since boot.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A value with the instant at which the *device* measured it.
///
/// The time of reading it proves nothing: a device that hangs can be read for hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured<T> {
    /// What was measured.
    pub value: T,
    /// When the device measured it.
    pub at: Timestamp,
}

impl<T> Measured<T> {
    /// A value measured at `at`.
    #[must_use]
    pub const fn new(value: T, at: Timestamp) -> Self {
        Self { value, at }
    }

    /// The value, unless it is older than `max_age` at `now`. A value from the future is not
    /// fresh either: its clock is wrong, so its age is unknown.
    #[must_use]
    pub fn fresh(&self, now: Timestamp, max_age: Duration) -> Option<&T> {
        (self.at <= now && now.since(self.at) <= max_age).then_some(&self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_fresh_up_to_its_age_and_never_from_the_future() {
        let measured = Measured::new(7, Timestamp::from_micros(1_000));
        let age = Duration::from_micros(300);
        assert_eq!(measured.fresh(Timestamp::from_micros(1_300), age), Some(&7));
        assert_eq!(measured.fresh(Timestamp::from_micros(1_301), age), None);
        assert_eq!(measured.fresh(Timestamp::from_micros(999), age), None);
    }
}
