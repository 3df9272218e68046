//! `voltryctl conform`: puts whoever provides a role through the bus contract.
//!
//! Each rule asks one thing of the provider and stands by itself: it begins with everything off and
//! a holder of its own. A rule that could not be tried is no failure and no pass, and is shown so.

mod connector;
mod energy_meter;
mod every_role;
mod heard;
mod monitors;
mod power_supply;
mod provider;
mod report;

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use crate::cli::{Conform, Role};
use crate::outcome::{Failure, Outcome};
use provider::Provider;
use report::Report;

pub(crate) async fn run(command: Conform, bus: Option<&str>, json: bool) -> Result<Outcome, Failure> {
    let Conform { role, name, path, only, slack, yes, command } = command;
    if let Some(danger) = role.danger()
        && !agreed(danger, yes)?
    {
        return Err(Failure::Refused("not agreed to; --yes asks nothing".to_owned()));
    }
    let mut report = Report::new(only, slack, !json && std::io::stderr().is_terminal());
    let mut provider = Provider::find(bus, &name, &path, slack, command).await?;
    every_role::rules(&provider, role, &mut report).await;
    match role {
        Role::PowerSupply => power_supply::rules(&mut provider, &mut report).await?,
        Role::EnergyMeter => energy_meter::rules(&mut provider, &mut report).await?,
        Role::InsulationMonitor => monitors::insulation(&provider, &mut report).await?,
        Role::VoltageMonitor => monitors::voltage(&provider, &mut report).await?,
        Role::Connector => connector::rules(&mut provider, &mut report).await?,
    }
    report.show(json)
}

/// Whether the person agrees to what energises.
fn agreed(danger: &str, yes: bool) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    eprint!("{danger} Is nobody near it? Type yes: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}
