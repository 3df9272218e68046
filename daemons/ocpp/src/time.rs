//! Two clocks: one that only runs forward, and the time of day that messages carry.

use jiff::{SignedDuration, Timestamp as Instant};
use voltry_units::Timestamp;

/// Nothing was charged by this software before this date: an earlier time of day is no time of day.
const PLAUSIBLE_FROM: i64 = 1_735_689_600_000_000; // 2025-01-01

/// This instant, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// `CLOCK_BOOTTIME`: for deadlines.
    pub at: Timestamp,
    /// Microseconds of Unix time, as the machine has it.
    pub unix: i64,
    /// The machine's time of day is set: by NTP, by a person.
    pub set: bool,
}

/// What the CSMS's clock says of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// Microseconds to add to the machine's time of day while nobody has set it.
    offset: Option<i64>,
}

impl Clock {
    /// The CSMS said what time it is (BootNotification, Heartbeat).
    pub fn heard(&mut self, now: Now, csms: i64) {
        self.offset = Some(csms - now.unix);
    }

    /// The time of day to put into a message for something of which the machine's clock, which was
    /// `set` or not, said `unix`, `at` this instant of this boot. No message carries a time of 1970.
    #[must_use]
    pub fn time(&self, unix: i64, set: bool, at: Option<Timestamp>, now: Now) -> i64 {
        if set && unix >= PLAUSIBLE_FROM {
            return unix;
        }
        match at {
            Some(at) => {
                let ago = i64::try_from(now.at.since(at).as_micros()).unwrap_or(0);
                self.now(now).saturating_sub(ago)
            }
            // Of another boot: when it was nobody can say any more, but that it is over.
            None if unix >= PLAUSIBLE_FROM => unix,
            None => self.now(now),
        }
    }

    /// The time of day now, if anybody has told it: the machine's clock is set, or the CSMS was heard.
    #[must_use]
    pub fn known(&self, now: Now) -> Option<i64> {
        (now.set || self.offset.is_some()).then(|| self.now(now)).filter(|&unix| unix > PLAUSIBLE_FROM)
    }

    /// The time of day now.
    #[must_use]
    pub fn now(&self, now: Now) -> i64 {
        if now.set && now.unix >= PLAUSIBLE_FROM {
            return now.unix;
        }
        self.offset.map_or(now.unix, |offset| now.unix.saturating_add(offset)).max(PLAUSIBLE_FROM)
    }
}

/// RFC 3339 in UTC with milliseconds, as both versions take it.
#[must_use]
pub fn rfc3339(unix: i64) -> String {
    let instant = Instant::from_microsecond(unix).unwrap_or(Instant::MAX);
    format!("{instant:.3}")
}

/// The microseconds of Unix time that an RFC 3339 text names.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    text.parse::<Instant>().ok().map(Instant::as_microsecond)
}

/// The next instant after `unix` that is a whole number of `interval_s` after midnight UTC.
#[must_use]
pub fn next_mark(unix: i64, interval_s: i64) -> i64 {
    let interval = SignedDuration::from_secs(interval_s.max(1)).as_micros();
    let interval = i64::try_from(interval).unwrap_or(i64::MAX);
    (unix.div_euclid(interval) + 1).saturating_mul(interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_780_000_000_000_000;

    fn unset(unix: i64) -> Now {
        Now { at: Timestamp::BOOT, unix, set: false }
    }

    #[test]
    fn a_time_of_1970_never_leaves_the_station() {
        let mut clock = Clock::default();
        assert!(clock.time(5_000_000, false, None, unset(9_000_000)) >= PLAUSIBLE_FROM);
        clock.heard(unset(10_000_000), NOON);
        let at = Some(Timestamp::from_micros(5_000_000));
        let now = Now { at: Timestamp::from_micros(20_000_000), unix: 20_000_000, set: false };
        assert_eq!(clock.time(5_000_000, false, at, now), NOON - 5_000_000);
        assert_eq!(clock.time(5_000_000, false, None, now), NOON + 10_000_000, "of another boot");
        assert_eq!(clock.now(now), NOON + 10_000_000);
    }

    #[test]
    fn a_clock_that_is_set_is_believed_before_the_csms() {
        let mut clock = Clock::default();
        let now = Now { at: Timestamp::BOOT, unix: NOON, set: true };
        clock.heard(now, NOON + 60_000_000);
        assert_eq!(clock.now(now), NOON);
        assert_eq!(clock.time(NOON - 1, true, None, now), NOON - 1);
    }

    #[test]
    fn times_are_written_and_read_as_rfc_3339() {
        assert_eq!(rfc3339(NOON + 123_456), "2026-05-28T20:26:40.123Z");
        assert_eq!(parse("2026-05-28T22:26:40.5+02:00"), Some(NOON + 500_000));
        assert_eq!(parse("yesterday"), None);
    }
}
