//! How often somebody may be wrong about a code (OCPP 2.0.1 C04). Pure; time comes in.
//!
//! All places of the station count together: whoever guesses walks from one to the next. A restart forgets it.

use std::time::Duration;

use voltry_units::Timestamp;

/// Wrong codes in a row (d).
const TRIES: u32 = 5;
/// After this one more (d): 144 a day, of a million codes of six digits.
const EACH: Duration = Duration::from_secs(600);

/// What was tried.
#[derive(Debug, Clone, Copy, Default)]
pub struct Guesses {
    /// When all tries are there again.
    full_at: Timestamp,
}

impl Guesses {
    /// Whether one may be tried.
    #[must_use]
    pub fn may_try(&self, now: Timestamp) -> bool {
        self.full_at.since(now) <= EACH * (TRIES - 1)
    }

    /// One is tried: it counts as wrong until it is known to be right.
    pub fn tried(&mut self, now: Timestamp) {
        self.full_at = self.full_at.max(now) + EACH;
    }

    /// It was right, or nobody could judge it.
    pub fn forgive(&mut self) {
        self.full_at = self.full_at - EACH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_wrong_codes_and_then_one_in_ten_minutes() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let mut guesses = Guesses::default();
        for _ in 0..TRIES {
            assert!(guesses.may_try(at(1000)));
            guesses.tried(at(1000));
        }
        assert!(!guesses.may_try(at(1000)) && !guesses.may_try(at(1599)));
        assert!(guesses.may_try(at(1600)));
        guesses.tried(at(1600));
        assert!(!guesses.may_try(at(1600)));
        for _ in 0..TRIES {
            assert!(guesses.may_try(at(10_000)), "all are there again, and not more");
            guesses.tried(at(10_000));
        }
        assert!(!guesses.may_try(at(10_000)));
    }

    #[test]
    fn a_right_one_costs_nothing_and_forgives_none_that_was_wrong() {
        let now = Timestamp::from_micros(5_000_000_000);
        let mut guesses = Guesses::default();
        for _ in 0..TRIES - 1 {
            guesses.tried(now);
        }
        for _ in 0..10 {
            assert!(guesses.may_try(now));
            guesses.tried(now);
            guesses.forgive();
        }
        guesses.tried(now);
        assert!(!guesses.may_try(now));
    }
}
