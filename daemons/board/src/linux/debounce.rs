//! An input that counts once it has stood for a while.

use std::time::Duration;

use voltry_units::Timestamp;

/// The last value that stood long enough, and what may follow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Debounced<T> {
    steady: T,
    candidate: Option<(T, Timestamp)>,
    time: Duration,
}

impl<T: Copy + PartialEq> Debounced<T> {
    /// `initial` until something else has stood for `time`.
    pub(super) const fn new(initial: T, time: Duration) -> Self {
        Self { steady: initial, candidate: None, time }
    }

    /// Takes a sample; the value that counts now.
    pub(super) fn take(&mut self, value: T, at: Timestamp) -> T {
        match self.candidate {
            _ if value == self.steady => self.candidate = None,
            Some((candidate, since)) if candidate == value => {
                if at.since(since) >= self.time {
                    self.steady = value;
                    self.candidate = None;
                }
            }
            Some(_) | None => self.candidate = Some((value, at)),
        }
        self.steady
    }

    /// The value that counts.
    pub(super) const fn get(&self) -> T {
        self.steady
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_micros(ms * 1_000)
    }

    #[test]
    fn what_does_not_stand_does_not_count() {
        let mut input = Debounced::new(false, Duration::from_millis(20));
        assert!(!input.take(true, ms(0)));
        assert!(!input.take(true, ms(10)));
        assert!(!input.take(false, ms(20)), "it bounced");
        assert!(!input.take(true, ms(30)));
        assert!(!input.take(true, ms(49)));
        assert!(input.take(true, ms(50)));
        assert!(input.get());
    }

    #[test]
    fn what_stands_must_be_one_value() {
        let mut input = Debounced::new(0, Duration::from_millis(20));
        for (at, value) in [(0, 1), (10, 2), (20, 1), (30, 2), (40, 1)] {
            assert_eq!(input.take(value, ms(at)), 0);
        }
        assert_eq!((input.take(1, ms(60)), input.take(1, ms(61))), (1, 1));
    }
}
