//! What an evse says to the link of its vehicle, over the bus.
#![allow(dead_code, reason = "each test uses its part")]

use voltry_bus::{
    Authorization, Error, EvLink1Proxy, EvseLimits, EvseStatusCode, Isolation, LinkPhase, Present,
};
use voltry_service::clock;
use zbus::Connection;

/// What this EVSE offers.
pub(crate) const LIMITS: EvseLimits = EvseLimits {
    voltage_min: 150.0,
    voltage_max: 1000.0,
    current_min: 0.0,
    current_max: 200.0,
    power_max: 60_000.0,
};
/// What it measures on the cable.
pub(crate) const VOLTAGE: f64 = 400.0;

/// The link of the first EVSE, its properties asked for each time.
pub(crate) async fn link(connection: &Connection) -> zbus::Result<EvLink1Proxy<'static>> {
    EvLink1Proxy::builder(connection)
        .destination(voltry_bus::names::secc(1))
        .path(voltry_bus::names::path("ev_link", "1"))
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
}

/// A vehicle is plugged in, and may charge.
pub(crate) async fn attach(link: &EvLink1Proxy<'_>) -> Result<(), Error> {
    link.set_limits(LIMITS).await?;
    link.set_authorization(Authorization::Granted).await?;
    link.attach().await?;
    until(link, LinkPhase::Listening).await
}

pub(crate) async fn until(link: &EvLink1Proxy<'_>, phase: LinkPhase) -> Result<(), Error> {
    while link.phase().await? != phase {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Present values of this phase, measured now.
pub(crate) fn present(phase: u64) -> Present {
    Present {
        phase,
        voltage: VOLTAGE,
        current: 100.0,
        isolation: Isolation::Valid,
        status: EvseStatusCode::Ready,
        voltage_limited: false,
        current_limited: false,
        power_limited: false,
        at: clock::now().as_micros(),
    }
}
