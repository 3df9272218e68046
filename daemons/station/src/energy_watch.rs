//! What limits the station besides its EVSEs: the meter at the grid connection, and the modules'
//! temperature.

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use voltry_bus::{EnergyMeter1Proxy, MeterReading, Module, PowerRack1Proxy};
use voltry_service::{Binding, Refusals};
use voltry_units::Celsius;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::Settings;

/// What was heard.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Heard {
    /// A reading of the meter at the connection.
    Meter(MeterReading),
    /// The phases of the reading that follows: volts to neutral and amperes.
    Phases {
        /// CLOCK_BOOTTIME microseconds.
        at: u64,
        /// The three.
        phases: [(f64, f64); 3],
    },
    /// The hottest inlet of a module that answers.
    Hottest(Celsius),
}

/// Of each kind there is one a second.
const WAITING: usize = 16;

type News = mpsc::Sender<Heard>;

/// Listens to whatever the configuration names, in tasks that end with the bus.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn listen(
    connection: &Connection,
    settings: &Settings,
    parts: &mut JoinSet<anyhow::Result<()>>,
) -> zbus::Result<mpsc::Receiver<Heard>> {
    let (news, heard) = mpsc::channel(WAITING);
    if let Some(grid) = &settings.energy.grid {
        let Binding { name, path } = grid.meter.clone();
        let meter = EnergyMeter1Proxy::builder(connection)
            .destination(name)
            .path(path)
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        parts.spawn(readings(meter, news.clone()));
    }
    let racks = settings.energy.temperature.iter().flat_map(|temperature| &temperature.racks);
    let mut proxies = Vec::new();
    for Binding { name, path } in racks {
        let rack = PowerRack1Proxy::builder(connection).destination(name.clone()).path(path.clone());
        proxies.push(rack.cache_properties(CacheProperties::No).build().await?);
    }
    if !proxies.is_empty() {
        parts.spawn(temperatures(proxies, news.clone()));
    }
    // Without any of them the loop would take an end of the channel for news.
    parts.spawn(async move {
        news.closed().await;
        Ok(())
    });
    Ok(heard)
}

/// The meter's readings, each behind its phases, as the meter tells them: of both that came the phases are taken first.
async fn readings(meter: EnergyMeter1Proxy<'static>, news: News) -> anyhow::Result<()> {
    let malformed = Refusals::told_as("what the meter at the grid connection says was dropped");
    let (mut phases, mut readings) = (meter.receive_phases().await?, meter.receive_reading().await?);
    loop {
        let heard = tokio::select! {
            biased;
            signal = phases.next() => {
                let signal = signal.context("bus lost")?;
                malformed.note("Phases", signal.args()).ok().map(|args| {
                    let p = args.phases;
                    let phases =
                        [(p.voltage_1, p.current_1), (p.voltage_2, p.current_2), (p.voltage_3, p.current_3)];
                    Heard::Phases { at: p.at, phases }
                })
            }
            signal = readings.next() => {
                let signal = signal.context("bus lost")?;
                malformed.note("Reading", signal.args()).ok().map(|args| Heard::Meter(args.reading))
            }
        };
        if let Some(heard) = heard {
            news.send(heard).await.context("the control loop ended")?;
        }
    }
}

/// The hottest of all racks, once a second; nothing while one of them does not say.
async fn temperatures(racks: Vec<PowerRack1Proxy<'static>>, news: News) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(std::time::Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let mut hottest = Vec::with_capacity(racks.len());
        for rack in &racks {
            let modules = tokio::time::timeout(crate::control::ANSWER, rack.modules()).await;
            hottest.push(modules.ok().and_then(Result::ok).and_then(|modules| hottest_of(&modules)));
        }
        if let Some(hottest) =
            hottest.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
        {
            news.send(Heard::Hottest(hottest)).await.context("the control loop ended")?;
        }
    }
}

fn hottest_of(modules: &[Module]) -> Option<Celsius> {
    let online = modules.iter().filter(|module| module.online);
    online.filter_map(|module| Celsius::from_si(module.temperature).ok()).max()
}
