//! CurrentDemandRes: from the request in to the response out, on the wire, with the real
//! `voltry-secc` between a vehicle and an evse that this process plays.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use voltry_bus::{
    Authorization, EvLink1Proxy, EvseLimits, EvseStatusCode, Isolation, LinkPhase, PhaseAnswer, Present,
    names,
};
use voltry_service::clock;

use crate::machine::{self, Ahead, Bus, Busy};
use crate::report::{Report, percentile};
use crate::vehicle::Vehicle;

/// As in the unit of secc.
const PRIORITY: u8 = 15;
/// evse pushes present values this often.
const PUSH: Duration = Duration::from_millis(100);

pub(crate) async fn measure(report: &mut Report, rounds: u32) -> anyhow::Result<()> {
    machine::make_link().await?;
    let bus = Bus::start().await?;
    let config = "[secc.1]\ninterface = \"evse1\"\nevse_id = \"DE*VOL*E1\"\n";
    let _secc = bus.daemon("voltry-secc", PRIORITY, config, &names::secc(1)).await?;
    let evse = EvLink1Proxy::builder(&bus.connect().await?)
        .destination(names::secc(1))
        .path(names::path("ev_link", "1"))
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await?;
    let _ahead = Ahead::of_all();
    let [idle, busy] = tokio::select! {
        ended = play_evse(&evse) => { ended?; anyhow::bail!("the link's signals ended") }
        measured = both(&evse, rounds) => measured?,
    };
    for (name, mut samples) in [("idle", idle), ("busy", busy)] {
        for (figure, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
            report.add(format!("current_demand_{figure}_{name}_ms"), percentile(&mut samples, share));
        }
    }
    report.note(format!("CurrentDemand: {rounds} rounds each, 0 to 4 ms apart"));
    Ok(())
}

async fn both(evse: &EvLink1Proxy<'_>, rounds: u32) -> anyhow::Result<[Vec<f64>; 2]> {
    attach(evse).await?;
    let mut vehicle = Vehicle::charging("ev1").await.context("the vehicle")?;
    let idle = loop_of(&mut vehicle, rounds).await?;
    let _busy = Busy::every_core().await?;
    let busy = loop_of(&mut vehicle, rounds).await?;
    Ok([idle, busy])
}

/// Milliseconds of each round.
async fn loop_of(vehicle: &mut Vehicle, rounds: u32) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(rounds as usize);
    for round in 0..rounds {
        let begin = Instant::now();
        vehicle.demand().await?;
        samples.push(begin.elapsed().as_secs_f64() * 1e3);
        // Not in step with what evse pushes.
        tokio::time::sleep(Duration::from_millis(u64::from(round * 7 % 5))).await;
    }
    Ok(samples)
}

async fn attach(evse: &EvLink1Proxy<'_>) -> anyhow::Result<()> {
    let limits = EvseLimits {
        voltage_min: 150.0,
        voltage_max: 1000.0,
        current_min: 0.0,
        current_max: 200.0,
        power_max: 60_000.0,
    };
    evse.set_limits(limits).await?;
    evse.set_authorization(Authorization::Granted).await?;
    evse.attach().await?;
    while evse.phase().await? != LinkPhase::Listening {
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Grants every phase at once and pushes present values.
async fn play_evse(evse: &EvLink1Proxy<'_>) -> anyhow::Result<()> {
    let mut entries = evse.receive_phase_entered().await?;
    let mut tick = tokio::time::interval(PUSH);
    let mut phase = 0;
    loop {
        tokio::select! {
            entry = entries.next() => {
                let Some(entry) = entry else { return Ok(()) };
                phase = entry.args()?.entry().counter;
                evse.set_present(present(phase)).await?;
                evse.answer(phase, PhaseAnswer::Finished).await?;
            }
            _ = tick.tick() => evse.set_present(present(phase)).await?,
        }
    }
}

fn present(phase: u64) -> Present {
    Present {
        phase,
        voltage: 400.0,
        current: 100.0,
        isolation: Isolation::Valid,
        status: EvseStatusCode::Ready,
        voltage_limited: false,
        current_limited: false,
        power_limited: false,
        at: clock::now().as_micros(),
    }
}
