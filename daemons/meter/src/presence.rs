//! Whether a device is there, and when to try again if it is not.

use std::time::Duration;

use voltry_units::Timestamp;

/// The wait after the second miss in a row; it doubles with every further one. After the first there is none: the line
/// was quiet as long as it has to be.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// How much silence is forgiven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A device that misses this many answers in a row is gone.
    pub misses: u32,
    /// The longest wait between two tries.
    pub back_off: Duration,
}

/// One device's record of answers and misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    patience: Patience,
    missed: u32,
    online: bool,
}

/// What a miss amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// Do not ask before.
    pub retry_at: Timestamp,
    /// The device has been online, and is no more.
    pub lost: bool,
}

impl Presence {
    /// Of a device that has not answered yet.
    #[must_use]
    pub const fn new(patience: Patience) -> Self {
        Self { patience, missed: 0, online: false }
    }

    /// Whether the device answers.
    #[must_use]
    pub const fn is_online(&self) -> bool {
        self.online
    }

    /// Whether so many answers in a row are missing that nobody should wait for the next.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.missed >= self.patience.misses
    }

    /// An answer came, be it a refusal. Whether this brings the device online.
    #[must_use]
    pub fn answered(&mut self) -> bool {
        self.missed = 0;
        !std::mem::replace(&mut self.online, true)
    }

    /// An answer did not come.
    #[must_use]
    pub fn missed(&mut self, now: Timestamp) -> Missed {
        let wait = match self.missed {
            0 => Duration::ZERO,
            before => FIRST_RETRY.saturating_mul(1 << (before - 1).min(16)).min(self.patience.back_off),
        };
        self.missed = self.missed.saturating_add(1);
        let lost = self.is_gone() && std::mem::replace(&mut self.online, false);
        Missed { retry_at: now + wait, lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { misses: 3, back_off: Duration::from_secs(5) };

    #[test]
    fn a_device_is_lost_at_the_last_forgiven_miss_and_only_once() {
        let mut presence = Presence::new(PATIENCE);
        assert!(presence.answered(), "the first answer brings it online");
        assert!(!presence.answered());
        let lost: Vec<_> = (0..5).map(|_| presence.missed(Timestamp::BOOT).lost).collect();
        assert_eq!(lost, [false, false, true, false, false]);
        assert!(presence.answered(), "and back");
        assert!(!presence.missed(Timestamp::BOOT).lost, "misses are counted in a row");
    }

    #[test]
    fn tries_come_further_and_further_apart_up_to_the_limit() {
        let mut presence = Presence::new(PATIENCE);
        let waits: Vec<_> =
            (0..40).map(|_| presence.missed(Timestamp::BOOT).retry_at.as_micros() / 1000).collect();
        assert_eq!(waits[..8], [0, 100, 200, 400, 800, 1600, 3200, 5000]);
        assert_eq!(waits[39], 5000);
    }

    #[test]
    fn a_device_never_heard_is_gone_but_was_never_lost() {
        let mut presence = Presence::new(PATIENCE);
        assert!((0..5).all(|_| !presence.missed(Timestamp::BOOT).lost));
        assert!(presence.is_gone() && !presence.is_online());
    }
}
