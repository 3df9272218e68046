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

#[derive(Debug, Serialize)]
struct Row {
    check: SelfTestStep,
    outcome: SelfTestOutcome,
    seen: String,
}

/// Whether the person agrees to what energises.
fn agreed(yes: bool) -> Result<bool, Failure> {
    if yes {
        return Ok(true);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(false);
    }
    eprint!("          Is nobody in the cabinet, and may the modules be raised? Type yes: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(answer.trim().eq_ignore_ascii_case("yes"))
}

pub(crate) async fn run(
    connection: &Connection,
    evse: u32,
    only: &[SelfTestStep],
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
    let steps: Vec<_> =
        SelfTestStep::ALL.iter().copied().filter(|step| only.is_empty() || only.contains(step)).collect();
    let tested = tokio::select! {
        tested = test(&station, evse, &steps, yes, json) => tested,
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
    steps: &[SelfTestStep],
    yes: bool,
    json: bool,
) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for &step in steps {
        if !json {
            println!("{step}: {}", does(step));
        }
        let agreed = step != SelfTestStep::Modules || agreed(yes)?;
        let CheckResult { outcome, seen } = if agreed {
            station.self_test(evse, step).await?
        } else {
            let seen = "not agreed to; --yes asks nothing".to_owned();
            CheckResult { outcome: SelfTestOutcome::Refused, seen }
        };
        if !json {
            println!("          {outcome}: {seen}");
        }
        rows.push(Row { check: step, outcome, seen });
    }
    Ok(rows)
}
