//! Emergency stop: from just before this process sends the signal that says so to the entry of
//! the later of `Off` and `OpenContactors`, with the real `voltry-evse` on a busy machine.
//!
//! This process plays every provider with the plant of the energy path's own tests. Before each
//! run the EVSE has gone the whole way to a charge: contactors closed, output on, current
//! flowing. On that way the plant hurries (evse's own times are real), so that 2,000 runs take
//! minutes; before each emergency stop it plays in real time again for a moment, a longer or
//! shorter one, so that the stop comes at any point between two control steps.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use voltry_bus::{Evse1Proxy, EvseState, names};
use voltry_evse::energy_path::{Command, Role};

use crate::energy_path::plant::player::{Player, configuration};
use crate::machine::{Ahead, Bus, Busy};
use crate::report::{Report, percentile};

/// As in the unit of evse.
const PRIORITY: u8 = 20;
/// Who plays: one connection, as one provider of everything.
const PLAYER: &str = "org.voltry.Bench";
/// Steps in real time before a stop: up to a control step of evse, and some more.
const CALM: u32 = 13;

pub(crate) async fn measure(report: &mut Report, runs: u32) -> anyhow::Result<()> {
    let bus = Bus::start().await?;
    let connection = bus.connect().await?;
    let mut player = Player::new();
    player.join(&Role::ALL, &connection);
    connection.request_name(PLAYER).await?;
    let config = configuration(|_| PLAYER.to_owned());
    let _evse = bus.daemon("voltry-evse", PRIORITY, &config, &names::evse(1)).await?;
    let station = Evse1Proxy::builder(&bus.connect().await?)
        .destination(names::evse(1))
        .path(names::path("evse", "1"))
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    let _busy = Busy::every_core().await?;
    let _ahead = Ahead::of_all();
    let mut samples = Vec::new();
    for run in 0..runs {
        player.hurry = true;
        charge(&mut player, &station).await.with_context(|| format!("run {run}"))?;
        player.hurry = false;
        for _ in 0..run % CALM {
            player.play(&station).await?;
        }
        samples.push(emergency(&mut player).await?.as_secs_f64() * 1e3);
        player.hurry = true;
        recover(&mut player, &station).await.with_context(|| format!("run {run}"))?;
    }
    for (figure, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        report.add(format!("emergency_{figure}_busy_ms"), percentile(&mut samples, share));
    }
    report.note(format!("emergency: {runs} runs, each out of a charge"));
    Ok(())
}

/// To a charge: the way there is the whole one.
async fn charge(player: &mut Player, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
    player.until(station, EvseState::Available).await?;
    player.vehicle.soc = 20.0;
    player.vehicle.plug();
    player.until(station, EvseState::Charging).await?;
    let begin = Instant::now();
    while player.devices.current < 1.0 {
        if begin.elapsed() > Duration::from_secs(5) {
            bail!("it charges with {} A", player.devices.current);
        }
        player.play(station).await?;
    }
    if !player.devices.contactors || !player.devices.supply_on {
        bail!("it charges without contactors or without a supply");
    }
    Ok(())
}

/// The emergency stop, and how long the later of the two commands took.
async fn emergency(player: &mut Player) -> anyhow::Result<Duration> {
    player.devices.emergency_stop = true;
    let sent = Instant::now();
    player.tell_io().await?;
    let (mut off, mut open) = (None, None);
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(2), player.hear());
        let (came, command) = heard.await.context("no reaction to the emergency stop")??;
        match command {
            Some(Command::SupplyOff) => off = off.or(Some(came)),
            Some(Command::OpenContactors) => open = open.or(Some(came)),
            _ => {}
        }
        if let (Some(off), Some(open)) = (off, open) {
            return Ok(off.max(open).duration_since(sent));
        }
    }
}

/// Waits until nothing is live any more, unplugs, releases the emergency stop, clears.
async fn recover(player: &mut Player, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
    player.until(station, EvseState::Faulted).await?;
    player.devices.emergency_stop = false;
    player.vehicle.unplug();
    let begin = Instant::now();
    loop {
        player.play(station).await?;
        let remaining = station.clear_faults().await?;
        if remaining.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("the faults stay: {remaining:?}");
        }
    }
}
