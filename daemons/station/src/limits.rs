//! Limits of power that were set while the station runs: each origin has one at each place, and the
//! lowest counts. Pure; time comes in.

use voltry_units::{Timestamp, Watts};

/// Origins that may have a limit at one place.
const ORIGINS: usize = 8;
/// The longest name of an origin.
const ORIGIN_MAX: usize = 20;

/// A limit at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The EVSE; 0: all together.
    pub evse: u32,
    /// Who set it.
    pub origin: String,
    /// The most.
    pub power: Watts,
    /// Until when; `None`: until it is replaced, or as `expires` says once the clock is set.
    pub until: Option<Timestamp>,
    /// The same in microseconds of Unix time, as the clock stood; 0: until it is replaced.
    pub expires: i64,
}

/// Why a limit was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// The origin has no name, or no name like others.
    #[error("an origin is 1 to {ORIGIN_MAX} small letters, digits or hyphens")]
    Origin,
    /// A limit of less than nothing.
    #[error("a limit is not below 0 W")]
    Negative,
    /// There are enough already.
    #[error("{ORIGINS} origins have a limit there already")]
    TooMany,
}

/// Whether an origin may be called so.
#[must_use]
pub fn is_origin(name: &str) -> bool {
    let named = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    !name.is_empty() && name.len() <= ORIGIN_MAX && name.chars().all(named)
}

/// The limits of all places, in order of place and origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits(Vec<Limit>);

impl Limits {
    /// As the book has them; those that are over are left out by the first [`Self::expire`].
    #[must_use]
    pub fn of_the_book(mut limits: Vec<Limit>) -> Self {
        limits.sort_by(|a, b| (a.evse, &a.origin).cmp(&(b.evse, &b.origin)));
        Self(limits)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Limit] {
        &self.0
    }

    /// Sets an origin's limit at a place.
    ///
    /// # Errors
    /// As [`NotTaken`].
    pub fn set(&mut self, limit: Limit) -> Result<(), NotTaken> {
        if !is_origin(&limit.origin) {
            return Err(NotTaken::Origin);
        }
        if limit.power < Watts::ZERO {
            return Err(NotTaken::Negative);
        }
        match self.place(limit.evse, &limit.origin) {
            Ok(place) => self.0[place] = limit,
            Err(_) if self.0.iter().filter(|other| other.evse == limit.evse).count() >= ORIGINS => {
                return Err(NotTaken::TooMany);
            }
            Err(place) => self.0.insert(place, limit),
        }
        Ok(())
    }

    /// Takes an origin's limit away.
    pub fn clear(&mut self, evse: u32, origin: &str) {
        if let Ok(place) = self.place(evse, origin) {
            self.0.remove(place);
        }
    }

    /// Drops what is over; whether anything was. `unix`: microseconds of Unix time, `None` while the clock is not set.
    pub fn expire(&mut self, now: Timestamp, unix: Option<i64>) -> bool {
        let before = self.0.len();
        self.0.retain(|limit| match limit.until {
            Some(until) => until > now,
            None => limit.expires == 0 || unix.is_none_or(|unix| unix < limit.expires),
        });
        self.0.len() != before
    }

    /// The lowest limit at a place, and whose it is.
    #[must_use]
    pub fn at(&self, evse: u32) -> Option<&Limit> {
        self.0.iter().filter(|limit| limit.evse == evse).min_by_key(|limit| limit.power)
    }

    fn place(&self, evse: u32, origin: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|limit| (limit.evse, limit.origin.as_str()).cmp(&(evse, origin)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(evse: u32, origin: &str, watts: i32) -> Limit {
        Limit { evse, origin: origin.to_owned(), power: Watts::new(watts), until: None, expires: 0 }
    }

    #[test]
    fn the_lowest_of_a_place_counts_and_each_origin_has_one() {
        let mut limits = Limits::default();
        limits.set(limit(1, "csms", 50_000)).unwrap();
        limits.set(limit(1, "operator", 30_000)).unwrap();
        limits.set(limit(0, "csms", 10)).unwrap();
        assert_eq!(limits.at(1), Some(&limit(1, "operator", 30_000)));
        limits.set(limit(1, "operator", 60_000)).unwrap();
        assert_eq!(limits.at(1), Some(&limit(1, "csms", 50_000)));
        limits.clear(1, "csms");
        limits.clear(1, "csms");
        assert_eq!(limits.at(1), Some(&limit(1, "operator", 60_000)));
        assert_eq!(limits.at(2), None);
    }

    #[test]
    fn a_limit_with_a_time_is_gone_when_it_is_over_and_others_stay() {
        let mut limits = Limits::default();
        limits.set(Limit { until: Some(Timestamp::from_micros(100)), ..limit(1, "csms", 0) }).unwrap();
        limits.set(limit(1, "operator", 5)).unwrap();
        assert!(!limits.expire(Timestamp::from_micros(99), Some(i64::MAX)));
        assert_eq!(limits.at(1).unwrap().power, Watts::ZERO);
        assert!(limits.expire(Timestamp::from_micros(100), None));
        assert_eq!(limits.all(), [limit(1, "operator", 5)]);
    }

    #[test]
    fn what_the_clock_must_end_waits_for_the_clock() {
        let mut limits = Limits::default();
        limits.set(Limit { expires: 1_000, ..limit(1, "csms", 0) }).unwrap();
        let late = Timestamp::from_micros(u64::MAX);
        assert!(!limits.expire(late, None));
        assert!(!limits.expire(late, Some(999)));
        assert!(limits.expire(late, Some(1_000)));
        assert_eq!(limits.all(), []);
    }

    #[test]
    fn nonsense_and_a_flood_are_refused() {
        let mut limits = Limits::default();
        let long = "x".repeat(21);
        for origin in ["", "Csms", "a b", long.as_str()] {
            assert_eq!(limits.set(limit(1, origin, 1)), Err(NotTaken::Origin), "{origin}");
        }
        assert_eq!(limits.set(limit(1, "csms", -1)), Err(NotTaken::Negative));
        for number in 0..ORIGINS {
            limits.set(limit(1, &format!("o{number}"), 1)).unwrap();
        }
        assert_eq!(limits.set(limit(1, "one-more", 1)), Err(NotTaken::TooMany));
        assert_eq!(limits.set(limit(1, "o3", 7)), Ok(()), "what is known may change");
    }
}
