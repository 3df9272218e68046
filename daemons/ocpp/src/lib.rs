//! `voltry-ocpp`: the uplink of a station to its CSMS.
//!
//! It decides nothing about power and keeps no record of energy: the station's book is the only
//! record. Charging never waits for it.
//!
//! [`rpc`] is the framing of OCPP-J, without I/O.

mod config;
pub mod profiles;
pub mod rpc;

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::info;
use voltry_bus::names;
use voltry_service::clock::now;
use voltry_service::{Daemon, Watchdog};

pub use config::{NetworkProfile, Settings, Version, configure};

/// Runs the uplink until it is asked to stop, or the bus is lost.
///
/// # Errors
/// The bus refuses the name.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    daemon.claim(names::OCPP).await?;
    let mut watchdog = Watchdog::from_environment();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    daemon.ready();
    info!(identity = settings.identity, profiles = settings.profile.len(), "the uplink is up");
    loop {
        tokio::select! {
            _ = daemon.stop() => return Ok(()),
            _ = tick.tick() => {}
        }
        watchdog.beat(now());
    }
}
