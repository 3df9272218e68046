//! How long others take to answer: a histogram as monitoring systems have them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The upper bounds of the buckets, milliseconds.
pub(crate) const BOUNDS_MS: [u64; 12] = [1, 5, 10, 50, 100, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000];

/// How often something took how long.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Histogram {
    /// Of each bucket alone, the last one without a bound.
    buckets: [u64; BOUNDS_MS.len() + 1],
    sum: Duration,
}

impl Histogram {
    pub(crate) fn count(&mut self, took: Duration) {
        let place = BOUNDS_MS.iter().position(|bound| took <= Duration::from_millis(*bound));
        self.buckets[place.unwrap_or(BOUNDS_MS.len())] += 1;
        self.sum += took;
    }

    /// How many took at most as long as each bound, and the last all of them.
    pub(crate) fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let bounds = BOUNDS_MS.iter().map(|bound| Some(*bound)).chain([None]);
        bounds.zip(self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }

    pub(crate) fn total(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.sum.as_secs_f64()
    }
}

/// How long each kind of object took to tell its properties. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Arc<Mutex<BTreeMap<&'static str, Histogram>>>);

impl Latencies {
    pub(super) fn count(&self, interface: &'static str, took: Duration) {
        let mut histograms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        histograms.entry(interface).or_default().count(took);
    }

    pub(crate) fn read(&self) -> BTreeMap<&'static str, Histogram> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_as_long_as_a_bound_is_within_it_and_the_last_bucket_has_all() {
        let mut histogram = Histogram::default();
        for ms in [1, 5, 6, 100_000] {
            histogram.count(Duration::from_millis(ms));
        }
        let told: Vec<_> = histogram.cumulative().collect();
        assert_eq!(told[..3], [(Some(1), 1), (Some(5), 2), (Some(10), 3)]);
        assert_eq!(told.last(), Some(&(None, 4)));
        assert_eq!((histogram.total(), histogram.seconds()), (4, 100.012));
    }
}
