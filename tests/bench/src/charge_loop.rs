//! The charge loop's answer of each protocol, CurrentDemandRes or DC_ChargeLoopRes: from the
//! request in to the response out, on the wire, with the real `voltry-secc` between a vehicle and
//! an evse that this process plays.

#[path = "../../../daemons/secc/tests/evse/mod.rs"]
mod evse;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use openssl::ssl::SslContext;
use voltry_bus::{EvLink1Proxy, PhaseAnswer, names};

use crate::machine::{self, Ahead, Bus, Busy};
use crate::report::{Report, percentile};
use crate::vehicle::{Protocol, Step, Vehicle};

/// As in the unit of secc.
const PRIORITY: u8 = 15;
/// evse pushes present values at least this often.
const PUSH: Duration = Duration::from_millis(100);

/// Both idle and busy in ISO 15118-2; in the others, busy. And the slowest of all.
pub(crate) async fn measure(report: &mut Report, rounds: u32) -> anyhow::Result<()> {
    machine::make_link().await?;
    let mut worst: f64 = 0.0;
    for (protocol, name) in [
        (Protocol::Iso2, "current_demand"),
        (Protocol::Iso20, "dc_charge_loop"),
        (Protocol::Din, "din_current_demand"),
    ] {
        let [idle, busy] = rounds_of(protocol, rounds).await.with_context(|| format!("{protocol:?}"))?;
        for (load, mut samples) in [("idle", idle), ("busy", busy)] {
            if samples.is_empty() {
                continue;
            }
            for (figure, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
                report.add(format!("{name}_{figure}_{load}_ms"), percentile(&mut samples, share));
            }
            if load == "busy" {
                worst = worst.max(percentile(&mut samples, 0.99));
            }
        }
    }
    report.add("charge_loop_p99_busy_ms", worst);
    report.note(format!(
        "charge loop: {rounds} rounds each, 0 to 4 ms apart, over TCP; in ISO 15118-20 over mutual TLS 1.3"
    ));
    Ok(())
}

/// Milliseconds of each round, idle (in ISO 15118-2) and busy.
async fn rounds_of(protocol: Protocol, rounds: u32) -> anyhow::Result<[Vec<f64>; 2]> {
    let bus = Bus::start().await?;
    let folder = tempfile::tempdir()?;
    let tls = protocol.certificates(folder.path())?;
    let config = format!(
        "[secc.1]\ninterface = \"evse1\"\nevse_id = \"DE*VOL*E1\"\nprotocols = [\"{}\"]\n{}",
        protocol.configured(),
        tls.as_ref().map_or_else(String::new, |(_, keys)| format!("[secc.1.tls]\n{keys}"))
    );
    let tls = tls.map(|(context, _)| context);
    let _secc = bus.daemon("voltry-secc", PRIORITY, &config, &names::secc(1)).await?;
    let link = evse::link(&bus.connect().await?).await?;
    let _ahead = Ahead::of_all();
    tokio::select! {
        ended = play_evse(&link) => { ended?; anyhow::bail!("the link's signals ended") }
        measured = both(&link, protocol, tls.as_ref(), rounds) => measured,
    }
}

async fn both(
    link: &EvLink1Proxy<'_>,
    protocol: Protocol,
    tls: Option<&SslContext>,
    rounds: u32,
) -> anyhow::Result<[Vec<f64>; 2]> {
    evse::attach(link).await?;
    let mut vehicle = Vehicle::charging("ev1", protocol, evse::VOLTAGE, tls).await.context("the vehicle")?;
    let idle = if protocol == Protocol::Iso2 { rounds } else { 0 };
    let idle = loop_of(&mut vehicle, idle).await?;
    let _busy = Busy::every_core().await?;
    let busy = loop_of(&mut vehicle, rounds).await?;
    Ok([idle, busy])
}

/// Milliseconds of each round.
async fn loop_of(vehicle: &mut Vehicle, rounds: u32) -> anyhow::Result<Vec<f64>> {
    let mut samples = Vec::with_capacity(rounds as usize);
    for round in 0..rounds {
        let begin = Instant::now();
        vehicle.take(Step::Demand).await?;
        samples.push(begin.elapsed().as_secs_f64() * 1e3);
        // Not in step with what evse pushes.
        tokio::time::sleep(Duration::from_millis(u64::from(round * 7 % 5))).await;
    }
    Ok(samples)
}

/// Grants every phase at once and pushes present values.
async fn play_evse(link: &EvLink1Proxy<'_>) -> anyhow::Result<()> {
    let mut entries = link.receive_phase_entered().await?;
    let mut tick = tokio::time::interval(PUSH);
    let mut phase = 0;
    loop {
        tokio::select! {
            entry = entries.next() => {
                let Some(entry) = entry else { return Ok(()) };
                phase = entry.args()?.entry().counter;
                link.set_present(evse::present(phase)).await?;
                link.answer(phase, PhaseAnswer::Finished).await?;
            }
            _ = tick.tick() => link.set_present(evse::present(phase)).await?,
        }
    }
}
