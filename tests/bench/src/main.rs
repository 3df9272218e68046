//! `make bench`: speed and memory of the release build, as one table and as
//! `target/bench.json`.
//!
//! It runs in network and process namespaces of its own, and starts everything it needs. Where
//! this machine allows it the daemons get the real-time priorities of their units, and this
//! process, which plays vehicle and providers, one above them: what is measured is the daemon
//! and the bus, not the clock's own wait for a core. What a machine does not allow is said in
//! the report, and not measured.

#[path = "../../bus_flood.rs"]
mod bus_flood;
mod certificates;
mod charge_loop;
mod codec;
mod emergency;
mod energy;
mod energy_path;
mod freshness;
#[path = "../../long_book.rs"]
mod long_book;
mod machine;
mod ocpp;
mod ocpp_queue;
mod plug_to_current;
mod report;
mod setpoint;
mod station;
mod ui;
mod vehicle;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};

use crate::emergency::Around;
use crate::report::Report;
use crate::vehicle::Protocol;

/// Measures speed and size of the release build beside this program.
///
/// Exits with 1 if a target is missed (not with `--quick`, which only tells it), with 2 if something
/// could not be measured though the machine allows it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Smaller counts, and no failure where a target is missed: that everything can be measured,
    /// on a machine that may not be quiet.
    #[arg(long)]
    quick: bool,
    /// Be the vehicle behind `NETWORK_INTERFACE`, as the simulator starts it, and speak this.
    #[arg(long, hide = true, requires = "notes")]
    drive: Option<Protocol>,
    /// Where that vehicle writes its notes.
    #[arg(long, hide = true)]
    notes: Option<PathBuf>,
    /// Dial this CSMS and answer each of its texts with itself.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    echo: Option<String>,
    /// Be that vehicle, and change the wish for current so often.
    #[arg(long, hide = true, requires = "notes")]
    set_points: Option<u32>,
    /// Flood the bus behind this socket until killed.
    #[arg(long, hide = true, value_name = "SOCKET")]
    flood: Option<String>,
    /// Where the certificates of that vehicle lie; none: it speaks no TLS.
    #[arg(long, hide = true)]
    certificates: Option<PathBuf>,
    /// Only these parts; `target/bench.json` keeps the figures of the others.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The energy path without I/O.
    EnergyPath,
    /// A decision of the sharing of power between 64 EVSEs.
    Energy,
    /// The DIN 70121 codec beside that of ISO 15118-2.
    Codec,
    /// The vehicle's charge loop by each protocol, on the wire.
    ChargeLoop,
    /// A whole station: its start, and the memory of its daemons.
    Station,
    /// From the plug to current, with the fastest vehicle.
    PlugToCurrent,
    /// How old the values are that the energy path and the vehicle use.
    Freshness,
    /// From a fault to the commands that make it safe.
    Emergency,
    /// The same while the disk of the book takes nothing; with `--quick` only where it is named, as the next two.
    SlowBook,
    /// The same while nobody takes evse's log.
    FullJournal,
    /// The same while others flood the bus.
    FloodedBus,
    /// From another wish of the vehicle to the frame on CAN.
    SetPoint,
    /// What stations of 1 to 16 EVSEs cost; with `--quick` only the first two sizes.
    Growth,
    /// The uplink: its start, its answers to a CSMS, its memory.
    Ocpp,
    /// What the uplink tells after a long outage: its rate, its memory, its bytes on the wire.
    OcppQueue,
    /// The screen before fifty browsers: its size, its delay, its memory, its first paint.
    Ui,
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it is measured only where it is named.
    const fn is_asked_for(self, quick: bool) -> bool {
        matches!(self, Self::SetPoint | Self::Growth)
            || quick && matches!(self, Self::SlowBook | Self::FullJournal | Self::FloodedBus)
    }

    /// Whether it measures on a busy machine, which means nothing for daemons without the
    /// priorities of their units.
    const fn is_busy(self) -> bool {
        match self {
            Self::EnergyPath
            | Self::Energy
            | Self::Codec
            | Self::Station
            | Self::Growth
            | Self::PlugToCurrent
            | Self::Ocpp
            | Self::OcppQueue
            | Self::Ui => false,
            Self::ChargeLoop
            | Self::Freshness
            | Self::Emergency
            | Self::SlowBook
            | Self::FullJournal
            | Self::FloodedBus
            | Self::SetPoint => true,
        }
    }

    async fn measure(self, report: &mut Report, quick: bool) -> anyhow::Result<()> {
        let stressed = if quick { 50 } else { 500 };
        match self {
            Self::EnergyPath => energy_path::measure(report),
            Self::Energy => {
                energy::measure(report);
                Ok(())
            }
            Self::Codec => {
                codec::measure(report);
                Ok(())
            }
            Self::ChargeLoop => charge_loop::measure(report, if quick { 1_000 } else { 10_000 }).await,
            Self::Station => station::measure(report, if quick { 3 } else { 10 }).await,
            Self::PlugToCurrent => plug_to_current::measure(report, if quick { 1 } else { 3 }).await,
            Self::Freshness => freshness::measure(report, if quick { 5 } else { 60 }).await,
            Self::Emergency => emergency::measure(report, Around::Busy, if quick { 50 } else { 2_000 }).await,
            Self::SlowBook => emergency::measure(report, Around::SlowBook, stressed).await,
            Self::FullJournal => emergency::measure(report, Around::FullJournal, stressed).await,
            Self::FloodedBus => emergency::measure(report, Around::FloodedBus, stressed).await,
            Self::SetPoint => setpoint::measure(report, if quick { 40 } else { 400 }).await,
            Self::Growth if quick => setpoint::growth(report, &[1, 2], 20).await,
            Self::Growth => setpoint::growth(report, &[1, 2, 4, 8, 16], 100).await,
            Self::Ocpp if quick => ocpp::measure(report, 2_000, 3).await,
            Self::Ocpp => ocpp::measure(report, 20_000, 10).await,
            Self::OcppQueue => ocpp_queue::measure(report).await,
            Self::Ui => ui::measure(report, if quick { 50 } else { 500 }).await,
        }
    }
}

/// Measures a part; once more if a hypervisor had the machine away when it broke off.
async fn measured(part: Part, report: &mut Report, quick: bool) -> anyhow::Result<()> {
    let (begin, figures) = (machine::Ticks::now()?, report.len());
    let Err(error) = part.measure(report, quick).await else { return Ok(()) };
    let Some(away) = machine::Ticks::now()?.away_since(begin) else { return Err(error) };
    let name = part.name();
    report.note(format!(
        "{name}: measured again, {away} per mille of the time were given to others: {error:#}"
    ));
    report.truncate(figures);
    part.measure(report, quick).await
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.context("starting the runtime").and_then(|runtime| runtime.block_on(bench(arguments)));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("voltry-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn bench(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let (Some(protocol), Some(notes)) = (arguments.drive, &arguments.notes) {
        plug_to_current::drive(protocol, notes, arguments.certificates.as_deref()).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let (Some(changes), Some(notes)) = (arguments.set_points, &arguments.notes) {
        setpoint::drive(notes, changes).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(address) = &arguments.echo {
        ocpp::echo(address).await?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(socket) = &arguments.flood {
        emergency::be_flood(socket)?;
    }
    if !machine::inside() && machine::namespaces_allowed().await {
        return machine::enter().await;
    }
    let mut report = Report::new();
    let usual: Vec<Part> =
        Part::value_variants().iter().copied().filter(|part| !part.is_asked_for(arguments.quick)).collect();
    let parts = if arguments.parts.is_empty() {
        &usual
    } else {
        report = report.with_earlier()?;
        &arguments.parts
    };
    let real_time = machine::real_time().await;
    report.note(machine::SCHEDULING);
    if cfg!(debug_assertions) {
        report.note("a debug build: that each part measures is all that its figures say");
    }
    let mut failed = false;
    for part in parts {
        let name = part.name();
        if part.is_busy() && !machine::inside() {
            report.cannot(&name, "this machine allows no network and process namespaces");
        } else if part.is_busy() && !real_time {
            report.cannot(
                &name,
                "this machine allows no real-time priorities, which the daemons' units ask for",
            );
        } else if let Err(error) = measured(*part, &mut report, arguments.quick).await {
            report.cannot(&name, &format!("{error:#}"));
            failed = true;
        }
    }
    report.print();
    report.write().context("writing bench.json")?;
    let missed = report.missed();
    if !missed.is_empty() {
        println!("MISSED: {}", missed.join(", "));
    }
    let slow = !missed.is_empty() && !arguments.quick;
    Ok(ExitCode::from(if failed { 2 } else { u8::from(slow) }))
}
