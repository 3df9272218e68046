//! `voltryctl selftest`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use serde::Serialize;
use voltry_bus::{CheckResult, SelfTestOutcome, SelfTestStep};
use voltry_service::self_test::does;
use zbus::Connection;

use crate::outcome::{Failure, Outcome};
use crate::output::json as print_json;
use crate::station;

/// The longest check, going out of service before it, and some more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

/// What a load at the plug takes: volts and amperes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    pub(crate) voltage: f64,
    pub(crate) current: f64,
}

/// One thing to ask the station for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Check {
    Step(SelfTestStep),
    Load(Load),
}

/// What was wanted; all that needs nothing at the plug, if nothing was named.
pub(crate) fn checks(only: &[SelfTestStep], load: Option<Load>) -> Vec<Check> {
    let steps = SelfTestStep::ALL.iter().copied().filter(|step| only.is_empty() || only.contains(step));
    load.map_or_else(|| steps.map(Check::Step).collect(), |load| vec![Check::Load(load)])
}

impl Check {
    const fn name(self) -> &'static str {
        match self {
            Self::Step(step) => step.as_str(),
            Self::Load(_) => "load",
        }
    }

    fn does(self) -> String {
        match self {
            Self::Step(step) => does(step).to_owned(),
            Self::Load(Load { voltage, current }) => format!(
                "closes the contactors and lets the power modules deliver {current} A, at {voltage} V at most, into \
                 the load at the plug for 5 s: cable, plug and load are live"
            ),
        }
    }

    /// What a person has to agree to before it.
    fn question(self) -> Option<String> {
        match self {
            Self::Step(SelfTestStep::Modules) => {
                Some("Is nobody in the cabinet, and may the modules be raised?".to_owned())
            }
            Self::Step(
                SelfTestStep::Voltages
                | SelfTestStep::Temperatures
                | SelfTestStep::Lock
                | SelfTestStep::InsulationMonitor
                | SelfTestStep::Contactors,
            ) => None,
            Self::Load(Load { voltage, current }) => Some(format!(
                "Is a load for {voltage} V and {current} A in the plug, and nobody at it, at the cable or in the \
                 cabinet?"
            )),
        }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    check: &'static str,
    outcome: SelfTestOutcome,
    seen: String,
}

/// Whether the person agrees to what energises.
fn agreed(question: &str, yes: bool) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    eprint!("          {question} Type yes: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

pub(crate) async fn run(
    connection: &Connection,
    evse: u32,
    checks: &[Check],
    yes: bool,
    json: bool,
) -> Result<Outcome, Failure> {
    let station = station::proxy(connection).await?;
    // Before anything is announced; the station refuses it too.
    let evses = station.evses().await?;
    let known = evses.iter().find(|status| status.evse == evse);
    let known = known.ok_or_else(|| Failure::Refused(format!("there is no EVSE {evse}")))?;
    if known.transaction != 0 {
        return Err(Failure::Refused(format!("EVSE {evse}: a transaction runs; stop it first")));
    }
    let tested = tokio::select! {
        tested = test(&station, evse, checks, yes, json) => tested,
        // The check under way ends by itself, with everything off.
        _ = tokio::signal::ctrl_c() => Err(Failure::Refused("broken off".to_owned())),
    };
    let ended = station.end_self_test(evse).await;
    let rows = tested?;
    ended?;
    if json {
        print_json(&rows)?;
    }
    let good = |row: &Row| matches!(row.outcome, SelfTestOutcome::Passed | SelfTestOutcome::Skipped);
    let bad = rows.iter().filter(|row| !good(row)).count();
    if !json {
        println!("{}", if bad == 0 { "no check failed".to_owned() } else { format!("{bad} did not pass") });
    }
    Ok(if bad == 0 { Outcome::Done } else { Outcome::BadNews })
}

/// Makes the checks one after the other, each announced; after one that was refused, none is left to make.
async fn test(
    station: &voltry_bus::Station1Proxy<'_>,
    evse: u32,
    checks: &[Check],
    yes: bool,
    json: bool,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for &check in checks {
        let name = check.name();
        if !json {
            println!("{name}: {}", check.does());
        }
        let agreed = check.question().map_or(Ok(true), |question| agreed(&question, yes))?;
        let CheckResult { outcome, seen } = if agreed {
            match check {
                Check::Step(step) => station.self_test(evse, step).await?,
                Check::Load(load) => station.load_test(evse, load.voltage, load.current).await?,
            }
        } else {
            let seen = "not agreed to; --yes asks nothing".to_owned();
            CheckResult { outcome: SelfTestOutcome::Refused, seen }
        };
        if !json {
            println!("          {outcome}: {seen}");
        }
        rows.push(Row { check: name, outcome, seen });
    }
    Ok(rows)
}
