//! `voltryctl`: what a technician asks a station, and tells it.
//!
//! One file a group of commands. Each prints plain English, or JSON with `--json`, and returns
//! an [`Outcome`]; failures are [`Failure`]s, which map to exit codes that scripts can use.

mod bound;
mod bus;
mod cli;
mod config_check;
mod conform;
mod devices;
mod fault_guide;
mod limits;
mod ocpp;
mod outcome;
mod output;
mod private_bus;
mod selftest;
mod sessions;
mod setup;
mod sim;
mod station;
mod status;
mod support;
mod timeline;
mod top;
mod update;
mod v2g;
mod vehicle;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use cli::{Cli, Command};
use outcome::{Failure, Outcome};

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    end_quietly_without_a_reader();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Other(error.to_string()).report(),
    };
    match runtime.block_on(run(cli)) {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.report(),
    }
}

/// `voltryctl … | head` closes the pipe early, which `println!` takes for a reason to panic.
fn end_quietly_without_a_reader() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") {
            std::process::exit(1);
        }
        others(info);
    }));
}

fn manual(folder: &Path) -> Result<Outcome, Failure> {
    clap_mangen::generate_to(Cli::command(), folder)
        .map(|()| Outcome::Done)
        .map_err(|error| Failure::Other(error.to_string()))
}

fn completions(shell: clap_complete::Shell) -> Outcome {
    clap_complete::generate(shell, &mut Cli::command(), "voltryctl", &mut std::io::stdout());
    Outcome::Done
}

async fn run(cli: Cli) -> Result<Outcome, Failure> {
    let (address, json) = (cli.bus.as_deref(), cli.json);
    match cli.command {
        Command::Completions { shell } => return Ok(completions(shell)),
        Command::Man { folder } => return manual(&folder),
        Command::Config { command } => return config_check::run(command, json).await,
        Command::Setup(command) => return setup::run(command, address, json).await,
        Command::Password(command) => return setup::change_password(&command),
        Command::SupportBundle(command) => return support::run(command, address).await,
        Command::Conform(command) => return conform::run(command, address, json).await,
        Command::Faults { command: cli::Faults::Show { ref code } } => {
            return fault_guide::Guide::of_machine().show(code.as_deref(), json);
        }
        Command::Status { .. }
        | Command::Top { .. }
        | Command::Sessions { .. }
        | Command::V2g { .. }
        | Command::Authorize { .. }
        | Command::Stop { .. }
        | Command::Available { .. }
        | Command::Selftest { .. }
        | Command::Faults { .. }
        | Command::Devices { .. }
        | Command::Limits
        | Command::Modules { .. }
        | Command::Ocpp { .. }
        | Command::Update(_)
        | Command::Sim { .. } => {}
    }
    if let Command::Selftest { evse, only, load, yes } = cli.command {
        let connection = bus::connect_patiently(address, selftest::PATIENCE).await?;
        return selftest::run(&connection, evse, &selftest::checks(&only, load), yes, json).await;
    }
    if let Command::Update(update) = cli.command {
        let patience = if update.command.is_none() { update::PATIENCE } else { bus::TIMEOUT };
        let connection = bus::connect_patiently(address, patience).await?;
        return update::run(&connection, update, json).await;
    }
    if let Command::Authorize { token, evse, kind } = cli.command {
        let connection = bus::connect_patiently(address, station::JUDGED).await?;
        return station::authorize(&connection, &token.unwrap_or_default(), kind, evse, json).await;
    }
    let connection = bus::connect(address).await?;
    match cli.command {
        Command::Top { every, plain } => top::run(&connection, every, plain, json).await,
        Command::Status { evse, watch } => status::run(&connection, evse, watch, json).await,
        Command::Sessions { command } => sessions::run(&connection, command, json).await,
        Command::V2g { command } => v2g::run(&connection, command, json).await,
        Command::Stop { evse } => station::stop(&connection, evse, json).await,
        Command::Available { evse, no } => station::available(&connection, evse, !no, json).await,
        Command::Faults { command } => devices::faults(&connection, command, address, json).await,
        Command::Devices { config } => devices::list(&connection, config.as_deref(), address, json).await,
        Command::Limits => limits::run(&connection, json).await,
        Command::Modules { command } => devices::modules(&connection, command, json).await,
        Command::Ocpp { command } => ocpp::run(&connection, command, json).await,
        Command::Sim { command } => sim::run(&connection, command, json).await,
        Command::Completions { .. }
        | Command::Man { .. }
        | Command::Config { .. }
        | Command::Conform(_)
        | Command::Password(_)
        | Command::SupportBundle(_)
        | Command::Setup(_)
        | Command::Update(_)
        | Command::Selftest { .. }
        | Command::Authorize { .. } => Ok(Outcome::Done),
    }
}
