//! Power modules over CAN, as sources of current on D-Bus; and insulation monitors, each on a CAN bus
//! of its own.
//!
//! ```text
//!  D-Bus ── orders (leased) ──▶ bus task ── frames, one each 5 ms ──▶ CAN ⇄ modules
//!        ◀─ output, capability ── rack, rack, …   ◀── answers ──
//! ```
//! A task a CAN bus ([`bus`]) owns its link and the racks on it; a rack ([`rack`]) is the pure
//! state machine of one supply. Whoever starts this daemon finds, before anything else, OFF sent
//! to every module: a crash may have left them delivering. When the bus is lost, or the daemon is
//! told to stop, every module is switched off before it ends. [`monitor`] has the insulation monitors.

mod bus;
mod config;
mod heartbeat;
mod load;
mod make_safe;
mod monitor;
mod orders;
pub mod pool;
mod rack;
mod supply;
mod traffic;
mod ways;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use voltry_service::{Daemon, HolderWatch, RateLimit, Watchdog, clock};
use voltry_units::Timestamp;

pub use config::{Settings, Supply, configure, path};
pub use make_safe::make_safe;
pub use monitor::Monitor;
pub use ways::{Discharge, RangeChoice, Rating};

use bus::{Attached, Bus};
use heartbeat::Heartbeat;
use monitor::MonitorBus;
use orders::Orders;
use rack::Rack;
use supply::Publisher;

/// Serves the configured supplies until the daemon has to stop; then every module is off, or
/// half a second has passed.
///
/// # Errors
/// If the objects cannot be served or the name is taken.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let hearts = Heartbeat::of(settings.bus.len(), Watchdog::from_environment(), clock::now());
    for ((name, port), heartbeat) in settings.bus.iter().zip(hearts) {
        if let Some((monitor, one)) = settings.monitor.iter().find(|(_, one)| one.bus() == name) {
            let bus = MonitorBus::attach(monitor, one, port, daemon.connection(), heartbeat).await?;
            tasks.spawn(bus.run(stopped.clone()));
            continue;
        }
        let wake = Arc::new(Notify::new());
        let mut supplies = Vec::new();
        let mut family = None;
        for (number, supply) in settings.supply.iter().filter(|(_, supply)| supply.bus == *name) {
            family = Some(supply.family);
            supplies.push(attach(number, supply, &wake, &daemon).await?);
        }
        let Some(family) = family else { continue };
        let holders = HolderWatch::new(daemon.connection()).await.context("watching holders")?;
        let bus = Bus {
            name: name.clone(),
            port: port.clone(),
            family,
            supplies,
            wake,
            holders,
            heartbeat,
            offs: RateLimit::new(),
        };
        tasks.spawn(bus.run(stopped.clone()));
    }
    daemon.claim(voltry_bus::names::POWER).await?;
    daemon.ready();
    daemon.stop().await;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn attach(
    number: &str,
    supply: &Supply,
    wake: &Arc<Notify>,
    daemon: &Daemon,
) -> anyhow::Result<Attached> {
    let orders = Orders::new(wake.clone());
    let vendor = supply.family.vendor;
    let publisher = Publisher::serve(daemon.connection(), &path(number), vendor, orders.clone())
        .await
        .with_context(|| format!("serving supply {number}"))?;
    let rack = Rack::new(number, supply.clone(), clock::now());
    let never = Timestamp::default();
    let name = number.to_owned();
    Ok(Attached { name, rack, orders, publisher, sequence: 0, told_up_to: never, told_at: never })
}
