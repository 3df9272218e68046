//! `voltryctl status`.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use voltry_bus::{Connector, EvseStatus, PowerShare, Station1Proxy};
use zbus::Connection;

use crate::limits;
use crate::outcome::{Failure, Outcome};
use crate::output::{ago, json as print_json, kilowatt_hours, kilowatts, percent, table};
use crate::station;
use crate::vehicle::{self, Links, Vehicle};

pub(crate) async fn run(
    connection: &Connection,
    evse: Option<u32>,
    watch: bool,
    json: bool,
) -> Result<Outcome, Failure> {
    let station = station::proxy(connection).await?;
    // A daemon that hangs holds up the walk, so both at once.
    let (links, _) = tokio::try_join!(vehicle::links(connection), reachable(&station))?;
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        let shown = read(&station, &links, evse).await;
        match shown {
            Ok((_, statuses)) if json => print_json(&statuses)?,
            Ok((name, statuses)) => {
                if watch && std::io::stdout().is_terminal() {
                    print!("\x1b[H\x1b[2J");
                }
                print!("{}", text(&name, &statuses));
                let _ = std::io::stdout().flush();
            }
            // While watching, a station that restarts is news, not the end.
            Err(Failure::Unreachable(reason)) if watch => eprintln!("the station does not answer: {reason}"),
            Err(failure) => return Err(failure),
        }
        if !watch {
            return Ok(Outcome::Done);
        }
    }
}

async fn reachable(station: &Station1Proxy<'_>) -> Result<(), Failure> {
    station.name().await?;
    Ok(())
}

/// An EVSE, and the vehicle that talks there.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    status: EvseStatus,
    /// As a driver meets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    connector: Option<Connector>,
    /// What it may take, and why no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    power: Option<PowerShare>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicle: Option<Vehicle>,
}

/// The station's name, and its EVSEs.
async fn read(
    station: &Station1Proxy<'_>,
    links: &Links,
    evse: Option<u32>,
) -> Result<(String, Vec<Shown>), Failure> {
    let mut statuses = station.evses().await?;
    if let Some(evse) = evse {
        statuses.retain(|status| status.evse == evse);
        if statuses.is_empty() {
            return Err(Failure::Refused(format!("there is no EVSE {evse}")));
        }
    }
    // A station of before it had them answers without.
    let connectors = station.connectors().await.unwrap_or_default();
    let shares = station.shares().await.unwrap_or_default();
    let shown = statuses.into_iter().map(async |status| {
        let vehicle = vehicle::at(links, status.evse).await;
        let connector = connectors.iter().find(|connector| connector.evse == status.evse).cloned();
        let power = shares.iter().find(|share| share.evse == status.evse).cloned();
        Shown { status, connector, power, vehicle }
    });
    Ok((station.name().await?, join_all(shown).await))
}

fn text(name: &str, shown: &[Shown]) -> String {
    let mut out = format!("{name}\n");
    let mut rows =
        table(["EVSE", "STATE", "POWER", "VOLTAGE", "CURRENT", "ENERGY", "CHARGE", "SHARE", "TRANSACTION"]);
    for Shown { status, .. } in shown {
        rows.add_row([
            status.evse.to_string(),
            if status.available {
                status.state.clone()
            } else {
                format!("{} (out of service)", status.state)
            },
            kilowatts(status.voltage * status.current),
            format!("{:.1} V", status.voltage),
            format!("{:.1} A", status.current),
            kilowatt_hours(status.energy),
            percent(status.soc),
            kilowatts(status.share),
            if status.transaction == 0 { "–".to_owned() } else { status.transaction.to_string() },
        ]);
    }
    let _ = writeln!(out, "{rows}");
    for Shown { status, connector, power, vehicle } in shown {
        if status.current <= -1.0 {
            let back = kilowatts(-status.voltage * status.current);
            let _ = writeln!(out, "EVSE {}: {back} flow from the vehicle to the grid", status.evse);
        }
        for line in connector.iter().flat_map(orders).chain(power.iter().filter_map(limits::why)) {
            let _ = writeln!(out, "EVSE {}: {line}", status.evse);
        }
        if let Some(vehicle) = vehicle {
            let _ = writeln!(out, "EVSE {}: {}", status.evse, vehicle.line());
        }
        for fault in &status.faults {
            let _ = writeln!(out, "EVSE {}: {}, {}: {}", status.evse, fault.code, ago(fault.at), fault.cause);
        }
        if status.state == "absent" {
            let _ = writeln!(
                out,
                "EVSE {0}: its daemon is not on the bus; see `journalctl -u voltry-evse@{0}`",
                status.evse
            );
        }
    }
    out
}

/// What was ordered for an EVSE: a reservation that holds it, a limit below what it could do.
fn orders(connector: &Connector) -> Vec<String> {
    let mut lines = Vec::new();
    if !connector.reservation.is_empty() {
        lines.push(format!("reserved, reservation {}", connector.reservation));
    }
    if connector.limit_origin != "hardware" {
        lines.push(format!("limited to {} by {}", kilowatts(connector.limit), connector.limit_origin));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str) -> Shown {
        let status = EvseStatus {
            evse: 2,
            state: state.to_owned(),
            available: true,
            authorized: true,
            voltage: 400.0,
            current: 125.0,
            share: 150_000.0,
            energy: 1_204.0,
            soc: 54.0,
            transaction: 17,
            faults: Vec::new(),
        };
        Shown { status, connector: None, power: None, vehicle: None }
    }

    #[test]
    fn a_charging_evse_shows_its_power_and_energy() {
        let text = text("Test", &[status("charging")]);
        for part in ["charging", "50.0 kW", "400.0 V", "125.0 A", "1.204 kWh", "54 %", "17"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn energy_from_a_vehicle_is_shown_as_that() {
        let mut giving = status("charging");
        giving.status.current = -40.0;
        let text = text("Test", &[giving]);
        for part in ["-16.0 kW", "-40.0 A", "EVSE 2: 16.0 kW flow from the vehicle to the grid"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn a_reservation_and_a_limit_are_shown_with_whose_they_are() {
        let mut held = status("available");
        held.connector = Some(Connector {
            evse: 2,
            state: "reserved".to_owned(),
            since: 0,
            transaction: 0,
            reservation: "17".to_owned(),
            limit: 20_000.0,
            limit_origin: "csms".to_owned(),
        });
        let text = text("Test", &[held]);
        for line in ["EVSE 2: reserved, reservation 17", "EVSE 2: limited to 20.0 kW by csms"] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn an_absent_daemon_is_explained() {
        assert!(text("Test", &[status("absent")]).contains("journalctl -u voltry-evse@2"));
    }

    #[test]
    fn a_fault_shows_its_code_and_cause() {
        let mut faulted = status("faulted");
        let cause = "85.2 °C at contact 1, limit 80 °C".to_owned();
        faulted.status.faults.push(voltry_bus::Fault {
            code: "MREC18CableOverTemp".to_owned(),
            cause: cause.clone(),
            at: 0,
        });
        let text = text("Test", &[faulted]);
        assert!(text.contains(&cause) && text.contains("MREC18CableOverTemp"), "{text}");
    }
}
