//! `voltry-sim demo`: a station comes up, a car charges, and the bill is held against the meter.
//!
//! With a fault: it breaks while the car charges, and the demo shows what a technician then sees.

mod bill;
mod screen;
mod visit;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, MissedTickBehavior, interval};
use voltry_bus::{EvseStatus, Station1Proxy, names};
use zbus::proxy::CacheProperties;

use crate::faults::Fault;
use crate::foreground::{Input, StateFolder, bring_up, how_to_use};
use crate::station::Station;
use crate::station::topology::Topology;
use screen::Screen;
use visit::Visit;

/// A demo that has not ended by then has failed.
const LIMIT: Duration = Duration::from_secs(240);
/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// What the demo shall do.
#[derive(Debug)]
pub struct Demo {
    /// Break this while EVSE 1 charges.
    pub fault: Option<String>,
    /// Stay up afterwards.
    pub keep: bool,
    /// Where the station keeps its things; else a folder that is removed at the end.
    pub state: Option<PathBuf>,
    /// Show what the daemons log.
    pub verbose: bool,
}

/// Runs the demo. Returns the exit code: 0 only if the bill equals the meter, or, with a fault,
/// if it ended safe and explained.
///
/// # Errors
/// The station cannot be brought up, or does not end.
pub async fn run(topology: Topology, demo: Demo) -> anyhow::Result<u8> {
    let fault = demo.fault.as_deref().map(find_fault).transpose()?;
    let mut folder = StateFolder::choose(demo.state)?;
    let mut input = Input::new()?;
    println!("Bringing the station up: private bus, daemons, simulated hardware …");
    let started = Instant::now();
    let up = tokio::select! {
        up = bring_up(topology, folder.path(), demo.verbose) => up,
        () = input.end() => return Ok(INTERRUPTED),
    };
    let mut station = match up {
        Ok(station) => station,
        Err(error) => {
            folder.keep();
            return Err(error.context(format!("logs are in {}", folder.path().join("log").display())));
        }
    };
    println!("Available after {:.1} s.", started.elapsed().as_secs_f64());
    println!("{}\n", how_to_use(&station));
    let outcome = tokio::select! {
        outcome = show(&station, fault) => outcome,
        () = input.end() => return Ok(INTERRUPTED),
    };
    let code = match outcome {
        Ok(good) => u8::from(!good),
        Err(error) => {
            eprintln!("voltry-sim: {error:#}");
            1
        }
    };
    if code != 0 {
        folder.keep();
        eprintln!("logs are in {}", folder.path().join("log").display());
    }
    if demo.keep {
        println!("\nStaying up: type `plug 1` and the like here, or use voltryctl. Ctrl-C ends it.");
        println!("{}", how_to_use(&station));
        input.obey(&mut station).await;
    }
    Ok(code)
}

/// As a shell reports a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn find_fault(name: &str) -> anyhow::Result<Fault> {
    Fault::from_name(name).with_context(|| {
        let names: Vec<&str> = crate::faults::TABLE.iter().map(|row| row.name).collect();
        format!("{name:?} is no fault; there are {}", names.join(", "))
    })
}

/// Plugs in everywhere, shows it until all visits are over, and judges. True: all is well.
async fn show(station: &Station, fault: Option<Fault>) -> anyhow::Result<bool> {
    let connection = station.control.connection().map_err(|error| anyhow::anyhow!("{error}"))?;
    let station1 = Station1Proxy::builder(&connection)
        .destination(names::STATION)
        .path(names::STATION_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let mut visits = Vec::new();
    for evse in station.control.evses() {
        // One fault, one EVSE: the others show that they do not notice.
        let fault = fault.filter(|_| evse == 1);
        visits.push(Visit::begin(&station.control, &station1, evse, fault).await?);
    }
    let mut screen = Screen::new();
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let deadline = Instant::now() + LIMIT;
    while !visits.iter().all(Visit::over) {
        frames.tick().await;
        if Instant::now() > deadline {
            let open: Vec<String> =
                visits.iter().filter(|visit| !visit.over()).map(Visit::describe).collect();
            bail!("not over after {} s: {}", LIMIT.as_secs(), open.join("; "));
        }
        // The station may be restarting just now: that is then what is shown.
        let statuses: Vec<EvseStatus> = station1.evses().await.unwrap_or_default();
        for visit in &mut visits {
            let status = statuses.iter().find(|status| status.evse == visit.evse());
            visit.proceed(status).await?;
        }
        screen.draw(&visits, &statuses);
    }
    screen.finish();
    let mut good = true;
    for visit in visits {
        good &= visit.judge()?;
    }
    Ok(good)
}
