//! Refused calls: whoever calls is told each time, the log once a minute.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};

use crate::{RateLimit, clock};

/// Counts the calls that an object refuses, or that are refused to us, and logs the newest cause
/// once a minute at most.
#[derive(Debug)]
pub struct Refusals {
    words: &'static str,
    limit: Mutex<RateLimit>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self::new()
    }
}

impl Refusals {
    /// Nothing refused by an object of ours.
    #[must_use]
    pub const fn new() -> Self {
        Self::told_as("calls refused")
    }

    /// Nothing refused; `words` are what the log says.
    #[must_use]
    pub const fn told_as(words: &'static str) -> Self {
        Self { words, limit: Mutex::new(RateLimit::new()) }
    }

    /// Passes on the verdict over a call of `method`; counts it if it is a refusal.
    ///
    /// # Errors
    /// The one given.
    pub fn note<T, E: Display>(&self, method: &'static str, verdict: Result<T, E>) -> Result<T, E> {
        if let Err(error) = &verdict {
            // A panic aborts the process, so nobody sees a poisoned lock.
            let due = self.limit.lock().unwrap_or_else(PoisonError::into_inner).count(clock::now());
            if let Some(count) = due {
                tracing::warn!(count, method, %error, "{}", self.words);
            }
        }
        verdict
    }
}
