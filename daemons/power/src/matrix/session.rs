//! Whether an EVSE has a vehicle that is to be served: it gets modules then, before it asks for a current.

use std::time::Duration;

use tokio::sync::watch;
use voltry_bus::{Evse1Proxy, EvseState, names};
use zbus::Connection;
use zbus::proxy::CacheProperties;

/// How often an EVSE is asked.
const EVERY: Duration = Duration::from_millis(250);
/// An EVSE that does not say it for so long has none.
const WITHIN: Duration = Duration::from_secs(1);

/// Asks an EVSE for ever. One that does not answer has no session.
pub(crate) async fn watch(connection: Connection, evse: u32, session: watch::Sender<bool>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let state = tokio::time::timeout(WITHIN, ask(&connection, evse)).await;
        let has = matches!(state, Ok(Ok(state)) if needs_modules(state));
        session.send_if_modified(|known| std::mem::replace(known, has) != has);
    }
}

async fn ask(connection: &Connection, evse: u32) -> zbus::Result<EvseState> {
    let proxy = Evse1Proxy::builder(connection)
        .destination(names::evse(evse))
        .path(names::path("evse", &evse.to_string()))
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    proxy.state().await
}

/// From where limits are compared, that a vehicle which nobody authorizes takes no modules from another.
const fn needs_modules(state: EvseState) -> bool {
    match state {
        EvseState::Parameters
        | EvseState::CableCheck
        | EvseState::PreCharge
        | EvseState::Charging
        | EvseState::Stopping => true,
        EvseState::Starting
        | EvseState::Available
        | EvseState::Connected
        | EvseState::Authorizing
        | EvseState::Finished
        | EvseState::Paused
        | EvseState::ErrorShutdown
        | EvseState::Emergency
        | EvseState::Faulted
        | EvseState::Unavailable => false,
    }
}
