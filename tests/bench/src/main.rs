//! `make bench`: speed and memory of the release build, as one table and as
//! `target/bench.json`.
//!
//! It runs in network and process namespaces of its own, and starts everything it needs. Where
//! this machine allows it the daemons get the real-time priorities of their units, and this
//! process, which plays vehicle and providers, one above them: what is measured is the daemon
//! and the bus, not the clock's own wait for a core. `--quick` takes smaller counts.

mod codec;
mod current_demand;
mod emergency;
mod energy_path;
mod machine;
mod report;
mod station;
mod vehicle;

use std::process::ExitCode;

use anyhow::Context as _;

use crate::report::Report;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.context("starting the runtime").and_then(|runtime| runtime.block_on(bench()));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("voltry-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench() -> anyhow::Result<ExitCode> {
    if !machine::inside() {
        return machine::enter().await;
    }
    let quick = std::env::args().any(|argument| argument == "--quick");
    let mut report = Report::new();
    report.note(machine::real_time_note().await);
    codec::measure(&mut report);
    energy_path::measure(&mut report);
    current_demand::measure(&mut report, if quick { 1_000 } else { 10_000 }).await?;
    station::measure(&mut report, if quick { 3 } else { 10 }).await?;
    let runs = std::env::var("BENCH_RUNS").ok().and_then(|runs| runs.parse().ok());
    emergency::measure(&mut report, runs.unwrap_or(if quick { 5 } else { 100 })).await?;
    report.print();
    report.write().context("writing bench.json")?;
    Ok(if report.all_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
