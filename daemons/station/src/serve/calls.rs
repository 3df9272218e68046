//! How many calls wait at once, and what is said of those that are refused.

use tokio::sync::Semaphore;
use voltry_bus::Error;
use voltry_service::Refusals;

/// Calls that may wait for the book, an EVSE, a back end or the control loop; more are refused as
/// busy. Fewer than the book has room for: what is billed is written all the same.
const CALLS_MAX: usize = 16;

/// The calls that wait, and those that were refused.
#[derive(Debug)]
pub(crate) struct Calls {
    places: Semaphore,
    refusals: Refusals,
}

impl Calls {
    /// None waits.
    pub(crate) const fn new() -> Self {
        Self { places: Semaphore::const_new(CALLS_MAX), refusals: Refusals::new() }
    }

    /// Carries out a call, unless too many wait already; a refusal is counted.
    pub(crate) async fn answer<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let answer = match self.places.try_acquire() {
            Ok(_place) => call.await,
            Err(_) => Err(Error::Busy("too many calls wait".to_owned())),
        };
        self.refusals.note(method, answer)
    }
}
