//! `voltryctl selftest`.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;
use voltry_bus::names::{STATION, STATION_PATH};
use voltry_bus::{CheckResult, EvseState, SelfTestOutcome, SelfTestStep};
use voltry_service::self_test::does;
use zbus::Connection;
use zbus::fdo::PropertiesProxy;

use crate::outcome::{Failure, Outcome};
use crate::output::json as print_json;
use crate::station;

/// The longest check, and some more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// An EVSE is out of service within this time, if nobody charges.
const OUT_OF_SERVICE: Duration = Duration::from_secs(10);

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
    let find = async || -> Result<voltry_bus::EvseStatus, Failure> {
        let evses = station.evses().await?;
        evses
            .into_iter()
            .find(|status| status.evse == evse)
            .ok_or_else(|| Failure::Refused(format!("there is no EVSE {evse}")))
    };
    // Before anything is asked for: no change of it is missed.
    let properties =
        PropertiesProxy::builder(connection).destination(STATION).path(STATION_PATH).build().await?;
    let changes = properties.receive_properties_changed().await?;
    let before = find().await?;
    if before.transaction != 0 {
        return Err(Failure::Refused(format!("EVSE {evse}: a transaction runs; stop it first")));
    }
    if before.available {
        station.set_available(evse, false).await?;
    }
    let steps: Vec<_> =
        SelfTestStep::ALL.iter().copied().filter(|step| only.is_empty() || only.contains(step)).collect();
    let testing = async {
        let mut changes = changes;
        let left = async {
            while find().await?.state != EvseState::Unavailable.as_str() {
                if changes.next().await.is_none() {
                    return Err(Failure::Unreachable("the bus ended".to_owned()));
                }
            }
            Ok(())
        };
        match tokio::time::timeout(OUT_OF_SERVICE, left).await {
            Ok(left) => left?,
            Err(_) => {
                let state = find().await?.state;
                return Err(Failure::Refused(format!("EVSE {evse} is {state}, and not out of service")));
            }
        }
        // Nobody reads them during a check, and a connection holds only so many.
        drop(changes);
        test(&station, evse, &steps, yes, json).await
    };
    let tested = tokio::select! {
        tested = testing => tested,
        // The check under way ends by itself, with everything off.
        _ = tokio::signal::ctrl_c() => Err(Failure::Refused("broken off".to_owned())),
    };
    if before.available {
        station.set_available(evse, true).await?;
    }
    let rows = tested?;
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
