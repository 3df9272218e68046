//! Power modules over CAN, as sources of current on D-Bus; and insulation monitors, each on a CAN bus
//! of its own.
//!
//! ```text
//!  D-Bus ── orders (leased) ──▶ bus task ── frames, by a budget ──▶ CAN ⇄ modules
//!        ◀─ output, capability ── rack, rack, …   ◀── answers ──
//! ```
//! A task a CAN bus ([`bus`]) owns its link and the racks on it; a rack ([`rack`]) is the pure
//! state machine of one supply. Whoever starts this daemon finds, before anything else, OFF sent
//! to every module: a crash may have left them delivering. When the bus is lost, or the daemon is
//! told to stop, every module is switched off before it ends. [`monitor`] has the insulation monitors.
//! Where EVSEs share modules, [`matrix`] stands between the orders and the racks, which are groups then.

mod budget;
mod bus;
mod config;
mod heartbeat;
mod last_told;
mod load;
mod make_safe;
mod matrix;
mod monitor;
mod orders;
pub mod pool;
mod rack;
mod supply;
mod traffic;
mod ways;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use voltry_service::{Daemon, HolderWatch, RateLimit, Watchdog, clock};

pub use config::{Settings, Supply, configure, group_path, path};
pub use make_safe::make_safe;
pub use matrix::MatrixSettings;
pub use monitor::Monitor;
pub use ways::{Discharge, RangeChoice, Rating};

use bus::{Attached, Bus};
use heartbeat::Heartbeat;
use last_told::LastTold;
use matrix::{Member, Sharing};
use monitor::MonitorBus;
use orders::Orders;
use rack::Rack;
use supply::{Face, Publisher};

/// Serves the configured supplies until the daemon has to stop; then every module is off, or
/// half a second has passed.
///
/// # Errors
/// If the objects cannot be served or the name is taken.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let loops = settings.bus.len() + usize::from(settings.matrix.is_some());
    let mut hearts = Heartbeat::of(loops, Watchdog::from_environment(), clock::now()).into_iter();
    let shared = Arc::new(Notify::new());
    let mut members = BTreeMap::new();
    for ((name, port), heartbeat) in settings.bus.iter().zip(&mut hearts) {
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
            let orders = Orders::new(wake.clone());
            supplies.push(attach(number, supply, Face::Whole, orders, &daemon).await?);
        }
        for (group, supply) in settings.group.iter().filter(|(_, supply)| supply.bus == *name) {
            family = Some(supply.family);
            let orders = Orders::new(wake.clone());
            let mut attached = attach(group, supply, Face::Group, orders.clone(), &daemon).await?;
            let holder = daemon.connection().unique_name().map(ToString::to_string).unwrap_or_default();
            let place = attached.publisher.group();
            let (member, teller) = Member::new(group, &holder, orders, place, shared.clone());
            attached.member = Some(teller);
            members.insert(group.clone(), member);
            supplies.push(attached);
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
    if let (Some(matrix), Some(heartbeat)) = (&settings.matrix, hearts.next()) {
        // By name, as the configuration has them.
        let members = members.into_values().collect();
        let sharing = Sharing::attach(matrix, &settings.group, members, shared, &daemon, heartbeat).await?;
        tasks.spawn(sharing.run(stopped.clone()));
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
    face: Face,
    orders: Orders,
    daemon: &Daemon,
) -> anyhow::Result<Attached> {
    let vendor = supply.family.vendor;
    let path = if face == Face::Group { group_path(number) } else { path(number) };
    let publisher = Publisher::serve(daemon.connection(), &path, face, vendor, orders.clone())
        .await
        .with_context(|| format!("serving supply {number}"))?;
    let rack = Rack::new(number, supply.clone(), clock::now());
    let name = number.to_owned();
    Ok(Attached { name, rack, orders, publisher, member: None, sequence: 0, told: LastTold::default() })
}
