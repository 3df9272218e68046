//! Checks of an EVSE's self-test, out of service.

use std::time::Duration;

use tokio::time::timeout;
use voltry_bus::{CheckResult, Error, EvseState};
use voltry_units::Watts;

use super::Station1;
use crate::control::{Request, Shown};

/// The longest check of a self-test, and some more.
const CHECK_TIME: Duration = Duration::from_secs(80);
/// An EVSE without a vehicle is out of service within this time.
const OUT_OF_SERVICE: Duration = Duration::from_secs(10);

impl Station1 {
    /// Waits until an EVSE can make a check, or says why not: it knows better.
    async fn leaves_service(&self, evse: u32) {
        let left = |shown: &Shown| {
            let status = shown.evses.iter().find(|status| status.evse == evse);
            let state = status.and_then(|status| status.state.parse().ok());
            matches!(state, None | Some(EvseState::Unavailable | EvseState::Faulted))
        };
        let _ = timeout(OUT_OF_SERVICE, self.shown.clone().wait_for(left)).await;
    }

    /// Makes a check out of service, with a share of so much power for what it loads.
    pub(super) async fn checked(
        &self,
        evse: u32,
        load: Watts,
        check: impl Future<Output = Result<CheckResult, Error>>,
    ) -> Result<(CheckResult,), Error> {
        self.ask(|answer| Request::Test { evse, load, answer }).await??;
        self.leaves_service(evse).await;
        let late = |_| Error::Unavailable(format!("EVSE {evse} does not end the check"));
        Ok((timeout(CHECK_TIME, check).await.map_err(late)??,))
    }
}
