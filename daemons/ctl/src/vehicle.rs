//! What a vehicle says of itself, as its link to it tells.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde::Serialize;
use voltry_bus::{ChargeLimits, EvLink1Proxy, VehicleNeeds};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::bus::walk;
use crate::outcome::Failure;
use crate::output::{kilowatts, time_of_boot_time};

/// A vehicle in a conversation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Vehicle {
    protocol: String,
    limits: ChargeLimits,
    needs: VehicleNeeds,
}

/// The links to vehicles, ours or an OEM's, by their names: the EVSE's number.
pub(crate) type Links = HashMap<String, EvLink1Proxy<'static>>;

pub(crate) async fn links(connection: &Connection) -> Result<Links, Failure> {
    let mut links = Links::new();
    for object in walk(connection).await?.objects {
        if object.interfaces.iter().any(|name| name == "org.voltry.EvLink1") {
            let evse = object.path.rsplit('/').next().unwrap_or_default().to_owned();
            let proxy = EvLink1Proxy::builder(connection)
                .destination(object.name)
                .path(object.path)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            links.insert(evse, proxy);
        }
    }
    Ok(links)
}

/// The vehicle at an EVSE; none while none has named a protocol, or its link does not answer, or is
/// older than what is asked.
pub(crate) async fn at(links: &Links, evse: u32) -> Option<Vehicle> {
    let link = links.get(&evse.to_string())?;
    let told = tokio::try_join!(link.protocol(), link.charge_limits(), link.needs());
    let (protocol, limits, needs) = told.ok()?;
    (!protocol.is_empty()).then_some(Vehicle { protocol, limits, needs })
}

impl Vehicle {
    /// In one line.
    pub(crate) fn line(&self) -> String {
        let Self { protocol, limits, needs } = self;
        let mut parts = Vec::new();
        let from =
            if limits.voltage_min > 0.0 { format!("{:.0} to ", limits.voltage_min) } else { String::new() };
        for (told, words) in [
            (limits.voltage_max, format!("{from}{:.0} V", limits.voltage_max)),
            (limits.current_max, format!("at most {:.0} A", limits.current_max)),
            (limits.power_max, kilowatts(limits.power_max)),
            (limits.discharge_power_max, format!("can feed back {}", kilowatts(limits.discharge_power_max))),
            (needs.energy, format!("wants {:.1} kWh", needs.energy / 1000.0)),
            (needs.energy_min, format!("needs {:.1} kWh", needs.energy_min / 1000.0)),
            (needs.soc, format!("wants {:.0} %", needs.soc)),
            (needs.soc_min, format!("needs {:.0} %", needs.soc_min)),
        ] {
            if told > 0.0 {
                parts.push(words);
            }
        }
        let mut line = format!("the vehicle speaks {protocol}");
        if !parts.is_empty() {
            let _ = write!(line, ": {}", parts.join(", "));
        }
        if needs.departure_at > 0 {
            let _ = write!(line, "; it leaves at {}", time_of_boot_time(needs.departure_at));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vehicle_is_shown_by_what_it_said_and_nothing_else() {
        let silent = Vehicle {
            protocol: "DIN SPEC 70121:2014".to_owned(),
            limits: ChargeLimits::default(),
            needs: VehicleNeeds::UNTOLD,
        };
        assert_eq!(silent.line(), "the vehicle speaks DIN SPEC 70121:2014");
        let limits = ChargeLimits { voltage_max: 450.0, current_max: 300.0, ..ChargeLimits::default() };
        let needs = VehicleNeeds { energy: 40_000.0, soc: 80.0, ..VehicleNeeds::UNTOLD };
        let line = Vehicle { limits, needs, ..silent }.line();
        assert!(line.ends_with(": 450 V, at most 300 A, wants 40.0 kWh, wants 80 %"), "{line}");
    }
}
