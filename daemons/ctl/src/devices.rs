//! `voltryctl faults`, `devices`, `modules`: whatever implements `Device1` or `PowerRack1`,
//! ours or an OEM's.

use std::path::Path;

use serde::Serialize;
use voltry_bus::{
    Device1Proxy, EvLink1Proxy, Fault, Module, ModuleGroup, ModuleUse, PowerRack1Proxy, Powerline,
    PowerlineState, names,
};
use voltry_service::Binding;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::bound::bindings;
use crate::bus::{Object, Walk, add_bound, walk};
use crate::cli::{Faults, Modules};
use crate::fault_guide::Guide;
use crate::outcome::{Failure, Outcome};
use crate::output::{ago, json as print_json, table};
use crate::station;

#[derive(Debug, Serialize)]
pub(crate) struct Device {
    pub(crate) object: String,
    pub(crate) vendor: String,
    pub(crate) model: String,
    pub(crate) serial: String,
    pub(crate) firmware: String,
    pub(crate) online: bool,
    pub(crate) faults: Vec<Fault>,
    /// Of a link to vehicles over a powerline.
    #[serde(skip_serializing_if = "Option::is_none")]
    powerline: Option<Powerline>,
}

impl Device {
    /// Leaves of a vehicle's address what tells it from another.
    pub(crate) fn mask_vehicle(&mut self) {
        if let Some(powerline) = &mut self.powerline
            && !powerline.vehicle.is_empty()
        {
            powerline.vehicle = masked(&powerline.vehicle);
        }
    }
}

/// An Ethernet address of which only the last two bytes are shown; of anything else nothing is.
fn masked(address: &str) -> String {
    match address.split(':').collect::<Vec<_>>()[..] {
        [_, _, _, _, last_but_one, last] => format!("…{last_but_one}:{last}"),
        _ => "…".to_owned(),
    }
}

/// Every device that answers, of what is on the bus and what roles are bound to; who does not is in the walk.
pub(crate) async fn devices(
    connection: &Connection,
    bound: &[Binding],
) -> Result<(Vec<Device>, Walk), Failure> {
    let mut walk = walk(connection).await?;
    add_bound(connection, &mut walk, bound).await;
    let mut devices = Vec::new();
    for object in having(&walk, "org.voltry.Device1") {
        match device(connection, &object).await {
            Ok(device) => devices.push(device),
            Err(Failure::Unreachable(_)) => {
                walk.silent.insert(object.name.to_string());
            }
            // One that keeps no contract hides nobody else.
            Err(Failure::Refused(_) | Failure::Other(_)) => walk.misses(&object.name, &object.path),
            Err(failure @ Failure::NoBus(_)) => return Err(failure),
        }
    }
    if devices.is_empty() {
        return Err(Failure::Unreachable("no device is on the bus: is the station running?".to_owned()));
    }
    Ok((devices, walk))
}

async fn device(connection: &Connection, object: &Object) -> Result<Device, Failure> {
    let proxy = Device1Proxy::builder(connection)
        .destination(object.name.clone())
        .path(object.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    Ok(Device {
        object: object.path.trim_start_matches("/org/voltry/").to_owned(),
        vendor: proxy.vendor().await?,
        model: proxy.model().await?,
        serial: proxy.serial().await?,
        firmware: proxy.firmware().await?,
        online: proxy.online().await?,
        faults: proxy.faults().await?,
        powerline: powerline(connection, object).await?,
    })
}

async fn powerline(connection: &Connection, object: &Object) -> Result<Option<Powerline>, Failure> {
    if !object.interfaces.iter().any(|name| name == "org.voltry.EvLink1") {
        return Ok(None);
    }
    let proxy = EvLink1Proxy::builder(connection)
        .destination(object.name.clone())
        .path(object.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    // An OEM's link may be older than this property.
    let powerline = proxy.powerline().await.ok();
    Ok(powerline.filter(|powerline| powerline.state != PowerlineState::NoModem))
}

fn having(walk: &Walk, interface: &str) -> Vec<Object> {
    let has = |object: &&Object| object.interfaces.iter().any(|name| name == interface);
    walk.objects.iter().filter(has).cloned().collect()
}

/// The EVSEs that station knows and whose daemon is away: what they have latched can't be told.
async fn absent(connection: &Connection) -> Result<Vec<String>, Failure> {
    match station::proxy(connection).await?.evses().await.map_err(Failure::from) {
        Ok(evses) => {
            let absent = evses.iter().filter(|status| status.state == "absent");
            Ok(absent.map(|status| names::evse(status.evse)).collect())
        }
        Err(Failure::Unreachable(_)) => Ok(vec![names::STATION.to_owned()]),
        Err(failure) => Err(failure),
    }
}

pub(crate) async fn list(
    connection: &Connection,
    config: Option<&Path>,
    address: Option<&str>,
    json: bool,
) -> Result<Outcome, Failure> {
    let (devices, walk) = devices(connection, &bindings(config, address)?).await?;
    if json {
        print_json(&devices)?;
        walk.is_whole()?;
        return Ok(Outcome::Done);
    }
    let mut rows = table(["DEVICE", "ANSWERS", "MAKER AND MODEL", "SERIAL", "FIRMWARE", "FAULTS"]);
    let mut links = table(["POWERLINE", "STATE", "LAST MATCH", "ATTENUATION", "WHEN", "STARTED ANEW"]);
    for device in devices {
        if let Some(powerline) = &device.powerline {
            let matched = powerline.matched_at > 0;
            let (db, when) = (format!("{:.1} dB", powerline.attenuation), ago(powerline.matched_at));
            links.add_row([
                device.object.clone(),
                powerline.state.to_string(),
                if matched { powerline.vehicle.clone() } else { "–".to_owned() },
                if matched { db } else { String::new() },
                if matched { when } else { String::new() },
                powerline.retries.to_string(),
            ]);
        }
        rows.add_row([
            device.object,
            if device.online { "yes" } else { "NO" }.to_owned(),
            format!("{} {}", device.vendor, device.model),
            device.serial,
            device.firmware,
            device.faults.len().to_string(),
        ]);
    }
    println!("{rows}");
    if !links.is_empty() {
        println!("{links}");
    }
    walk.is_whole()?;
    Ok(Outcome::Done)
}

async fn list_faults(connection: &Connection, bound: &[Binding], json: bool) -> Result<Outcome, Failure> {
    let (mut devices, mut walk) = devices(connection, bound).await?;
    walk.silent.extend(absent(connection).await?);
    devices.retain(|device| !device.faults.is_empty());
    if json {
        print_json(&devices)?;
    } else if devices.is_empty() {
        println!("no faults{}", if walk.silent.is_empty() { "" } else { " of those that answer" });
    } else {
        print_faults(&devices);
    }
    if devices.is_empty() {
        return walk.is_whole().map(|()| Outcome::Done);
    }
    if let Err(part) = walk.is_whole() {
        eprintln!("voltryctl: {part}");
    }
    Ok(Outcome::BadNews)
}

fn print_faults(devices: &[Device]) {
    let mut rows = table(["DEVICE", "FAULT", "SINCE", "CAUSE"]);
    for device in devices {
        for fault in &device.faults {
            rows.add_row([device.object.clone(), fault.code.clone(), ago(fault.at), fault.cause.clone()]);
        }
    }
    println!("{rows}");
    println!("\nvoltryctl faults show CODE: what it means, and what to measure");
}

pub(crate) async fn faults(
    connection: &Connection,
    command: Faults,
    address: Option<&str>,
    json: bool,
) -> Result<Outcome, Failure> {
    match command {
        Faults::List { config } => {
            let bound = bindings(config.as_deref(), address)?;
            list_faults(connection, &bound, json).await
        }
        // Asks nobody on the bus.
        Faults::Show { code } => Guide::of_machine().show(code.as_deref(), json),
        Faults::Clear { evse } => {
            let remaining = station::proxy(connection).await?.clear_faults(evse).await?;
            if json {
                print_json(&remaining)?;
            } else {
                for fault in &remaining {
                    println!("stays: {}: {}", fault.code, fault.cause);
                }
                if remaining.is_empty() {
                    println!("EVSE {evse}: no fault is left");
                }
            }
            Ok(if remaining.is_empty() { Outcome::Done } else { Outcome::BadNews })
        }
    }
}

pub(crate) async fn modules(
    connection: &Connection,
    command: Option<Modules>,
    json: bool,
) -> Result<Outcome, Failure> {
    let walk = walk(connection).await?;
    let racks = having(&walk, "org.voltry.PowerRack1");
    if racks.is_empty() {
        walk.is_whole()?;
        return Err(Failure::Unreachable(
            "no power supply is on the bus: is voltry-power running?".to_owned(),
        ));
    }
    let mut shown: Vec<Shown> = Vec::new();
    for rack in racks {
        let proxy = PowerRack1Proxy::builder(connection)
            .destination(rack.name.clone())
            .path(rack.path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let modules = proxy.modules().await?;
        if let Some(Modules::Identify { line, address, off }) = &command {
            if modules.iter().any(|module| module.bus == *line && module.address == *address) {
                proxy.identify(line, *address, !off).await?;
                if !json {
                    println!("module {address} on {line} {}", if *off { "blinks no more" } else { "blinks" });
                }
                return Ok(Outcome::Done);
            }
            continue;
        }
        let supply = rack.path.rsplit('/').next().unwrap_or_default().to_owned();
        // An OEM's rack may be older than this property.
        let uses = proxy.uses().await.unwrap_or_default();
        let group = proxy.group().await.unwrap_or_default();
        shown.extend(modules.into_iter().map(|module| Shown::new(&supply, &group, module, &uses)));
    }
    if let Some(Modules::Identify { line, address, .. }) = command {
        return Err(Failure::Refused(format!("no module {address} was seen on {line}")));
    }
    if json {
        print_json(&shown)?;
    } else {
        print_modules(&shown);
    }
    walk.is_whole()?;
    Ok(Outcome::Done)
}

/// The modules of every rack that answers.
pub(crate) async fn all_modules(connection: &Connection) -> Result<Vec<Module>, Failure> {
    let mut modules = Vec::new();
    for rack in having(&walk(connection).await?, "org.voltry.PowerRack1") {
        let rack = PowerRack1Proxy::builder(connection)
            .destination(rack.name.clone())
            .path(rack.path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        modules.append(&mut rack.modules().await?);
    }
    Ok(modules)
}

/// A module as a technician sees it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(skip)]
    supply: String,
    /// Where its group is, of modules that several EVSEs share.
    place: String,
    /// The EVSE that its group is joined to, or on its way to or from; 0: none.
    evse: u32,
    #[serde(flatten)]
    module: Module,
    /// Amperes that it was told to give, and hours that it has worked, where that is known.
    share: Option<f64>,
    hours: Option<u32>,
}

impl Shown {
    fn new(supply: &str, group: &ModuleGroup, module: Module, uses: &[ModuleUse]) -> Self {
        let used = uses.iter().find(|used| used.bus == module.bus && used.address == module.address);
        let hours = used.map(|used| used.hours).filter(|hours| *hours > 0);
        Self {
            supply: supply.to_owned(),
            place: group.place.clone(),
            evse: group.evse,
            module,
            share: used.map(|used| used.share),
            hours,
        }
    }

    /// Whom it serves: a group behind a matrix one EVSE now and another later.
    fn serves(&self) -> String {
        match (self.place.as_str(), self.evse) {
            ("own", _) => "its EVSE".to_owned(),
            (place, 0) => place.to_owned(),
            (place, evse) => format!("EVSE {evse}, {place}"),
        }
    }
}

/// A module that answers not any more stands out; one never heard may only be looked for still.
pub(crate) fn shown_state(module: &Module) -> String {
    match (module.online, module.at) {
        (true, _) => module.state.clone(),
        (false, 0) => "not heard yet".to_owned(),
        (false, _) => "SILENT".to_owned(),
    }
}

fn print_modules(modules: &[Shown]) {
    let mut rows = table([
        "SUPPLY",
        "SERVES",
        "BUS",
        "ADDRESS",
        "SERIAL",
        "STATE",
        "VOLTAGE",
        "CURRENT",
        "SHARE",
        "AVAILABLE",
        "INLET",
        "HOURS",
        "HEARD",
        "ALARMS",
    ]);
    let unknown = || "–".to_owned();
    for shown in modules {
        let Shown { supply, module, share, hours, .. } = shown;
        rows.add_row([
            supply.clone(),
            shown.serves(),
            module.bus.clone(),
            module.address.to_string(),
            module.serial.clone(),
            shown_state(module),
            format!("{:.1} V", module.voltage),
            format!("{:.1} A", module.current),
            share.map_or_else(unknown, |share| format!("{share:.1} A")),
            format!("{:.1} A", module.available),
            format!("{:.0} °C", module.temperature),
            hours.map_or_else(unknown, |hours| hours.to_string()),
            ago(module.at),
            module.alarms.join(", "),
        ]);
    }
    println!("{rows}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_vehicles_address_two_bytes_are_shown_and_nothing_of_what_is_none() {
        assert_eq!(["02:56:4f:4c:54:01", "02564f4c5401", ""].map(masked), ["…54:01", "…", "…"]);
    }

    #[test]
    fn a_module_never_heard_is_not_called_silent() {
        let module = |online, at| Module {
            bus: "can1".to_owned(),
            address: 1,
            group: 0,
            serial: String::new(),
            state: "off".to_owned(),
            online,
            voltage: 0.0,
            current: 0.0,
            available: 0.0,
            temperature: 0.0,
            alarms: Vec::new(),
            at,
        };
        let shown = [(true, 9), (false, 9), (false, 0)].map(|(online, at)| shown_state(&module(online, at)));
        assert_eq!(shown, ["off", "SILENT", "not heard yet"]);
    }
}
