//! Emergency stop: from just before this process sends the signal that says so to the entry of
//! the later of `Off` and `OpenContactors`, with the real `voltry-evse` on a busy machine.
//!
//! This process plays every provider with the plant of the energy path's own tests, in real
//! time: the EVSE charges before each run. A session from plug to charge takes its seconds, so
//! the number of runs is what the time allows; the report says how many there were.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use voltry_bus::{Evse1Proxy, EvseState, names};
use voltry_evse::energy_path::Command;

use crate::energy_path::plant::player::{Player, configuration};
use crate::machine::{Ahead, Bus, Busy};
use crate::report::{Report, Target, percentile};

/// As in the unit of evse.
const PRIORITY: u8 = 20;
/// Who plays: one connection, as one provider of everything.
const PLAYER: &str = "org.voltry.Bench";

pub(crate) async fn measure(report: &mut Report, runs: u32) -> anyhow::Result<()> {
    let bus = Bus::start().await?;
    let connection = bus.connect().await?;
    let mut player = Player::new();
    player.join(&voltry_evse::energy_path::Role::ALL, &connection);
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
    for _ in 0..runs {
        charge(&mut player, &station).await?;
        samples.push(emergency(&mut player).await?.as_secs_f64() * 1e3);
        recover(&mut player, &station).await?;
    }
    report.add("emergency_p99_busy_ms", percentile(&mut samples, 0.99), Target::AtMost(5.0));
    report.add("emergency_max_busy_ms", percentile(&mut samples, 1.0), Target::AtMost(20.0));
    report.note(format!(
        "Emergency: {runs} runs, each out of a charge (BENCH_RUNS=2000 for the issue's number)"
    ));
    Ok(())
}

/// From Available to a charge.
async fn charge(player: &mut Player, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
    player.until(station, EvseState::Available).await?;
    player.vehicle.soc = 20.0;
    player.vehicle.plug();
    player.until(station, EvseState::Charging).await?;
    for _ in 0..20 {
        player.play(station).await?;
    }
    if player.devices.current < 5.0 {
        bail!("it charges with {} A", player.devices.current);
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

/// Unplugs, releases the emergency stop, clears.
async fn recover(player: &mut Player, station: &Evse1Proxy<'_>) -> anyhow::Result<()> {
    for _ in 0..20 {
        player.play(station).await?;
    }
    player.devices.emergency_stop = false;
    player.vehicle.unplug();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(30) {
        for _ in 0..20 {
            player.play(station).await?;
        }
        let remaining = station.clear_faults().await?;
        if remaining.is_empty() {
            return Ok(());
        }
    }
    bail!("the faults stay: {:?}", station.clear_faults().await?)
}
