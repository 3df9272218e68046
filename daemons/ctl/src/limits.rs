//! `voltryctl limits`: what limits the station and each EVSE now, and why.

use std::fmt::Write as _;

use serde::Serialize;
use voltry_bus::{PowerShare, PowerSource};
use zbus::Connection;

use crate::outcome::{Failure, Outcome};
use crate::output::{json as print_json, kilowatts, table};
use crate::station;

#[derive(Debug, Serialize)]
struct Shown {
    sources: Vec<PowerSource>,
    shares: Vec<PowerShare>,
}

pub(crate) async fn run(connection: &Connection, json: bool) -> Result<Outcome, Failure> {
    let station = station::proxy(connection).await?;
    let shown = Shown { sources: station.sources().await?, shares: station.shares().await? };
    if json {
        print_json(&shown)?;
    } else {
        print!("{}", text(&shown));
    }
    Ok(Outcome::Done)
}

fn text(shown: &Shown) -> String {
    let mut out = String::new();
    let mut sources = table(["STATION LIMITED BY", "FROM THE MAINS", "AT THE OUTPUTS", "WHY"]);
    for (place, source) in shown.sources.iter().enumerate() {
        let counts = if place == 0 { format!("{} (counts)", source.source) } else { source.source.clone() };
        sources.add_row([counts, kilowatts(source.power), kilowatts(source.output), source.detail.clone()]);
    }
    let mut shares = table(["EVSE", "MAY TAKE", "SHARE", "WANTS", "LIMITED BY", "WHY"]);
    for share in &shown.shares {
        shares.add_row([
            share.evse.to_string(),
            kilowatts(share.permit),
            kilowatts(share.share),
            kilowatts(share.wants),
            share.source.clone(),
            share.detail.clone(),
        ]);
    }
    let _ = writeln!(out, "{sources}\n\n{shares}");
    out
}

/// What holds an EVSE down that others could relieve, in a line for `voltryctl status`.
pub(crate) fn why(share: &PowerShare) -> Option<String> {
    let held_down = !matches!(share.source.as_str(), "hardware" | "session");
    held_down.then(|| format!("may take {}: {}, {}", kilowatts(share.permit), share.source, share.detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_limits_each_evse_is_named() {
        let source = PowerSource {
            source: "grid".to_owned(),
            power: 80_000.0,
            output: 76_000.0,
            detail: "what other consumers leave".to_owned(),
        };
        let share = PowerShare {
            evse: 2,
            permit: 30_000.0,
            share: 38_000.0,
            wants: 150_000.0,
            source: "grid".to_owned(),
            detail: "what other consumers leave, shared by 2, equal".to_owned(),
        };
        let line = why(&share).unwrap();
        assert_eq!(line, "may take 30.0 kW: grid, what other consumers leave, shared by 2, equal");
        let shown = text(&Shown { sources: vec![source], shares: vec![share.clone()] });
        for words in ["grid (counts)", "80.0 kW", "76.0 kW", "38.0 kW", "shared by 2, equal"] {
            assert!(shown.contains(words), "{shown}");
        }
        assert_eq!(why(&PowerShare { source: "hardware".to_owned(), ..share }), None);
    }
}
