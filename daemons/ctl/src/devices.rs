//! `voltryctl faults`, `devices`, `modules`: whatever implements `Device1` or `PowerRack1`,
//! ours or an OEM's.

use serde::Serialize;
use voltry_bus::{Device1Proxy, Fault, Module, PowerRack1Proxy};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::bus::{Object, objects};
use crate::cli::{Faults, Modules};
use crate::outcome::{Failure, Outcome};
use crate::output::{ago, json as print_json, table};
use crate::station;

#[derive(Debug, Serialize)]
struct Device {
    object: String,
    vendor: String,
    model: String,
    serial: String,
    firmware: String,
    online: bool,
    faults: Vec<Fault>,
}

async fn devices(connection: &Connection) -> Result<Vec<Device>, Failure> {
    let mut devices = Vec::new();
    for object in having(connection, "org.voltry.Device1").await? {
        let proxy = Device1Proxy::builder(connection)
            .destination(object.name.clone())
            .path(object.path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        devices.push(Device {
            object: object.path.trim_start_matches("/org/voltry/").to_owned(),
            vendor: proxy.vendor().await?,
            model: proxy.model().await?,
            serial: proxy.serial().await?,
            firmware: proxy.firmware().await?,
            online: proxy.online().await?,
            faults: proxy.faults().await?,
        });
    }
    if devices.is_empty() {
        return Err(Failure::Unreachable("no device is on the bus: is the station running?".to_owned()));
    }
    Ok(devices)
}

async fn having(connection: &Connection, interface: &str) -> Result<Vec<Object>, Failure> {
    let mut objects = objects(connection).await?;
    objects.retain(|object| object.interfaces.iter().any(|name| name == interface));
    Ok(objects)
}

pub(crate) async fn list(connection: &Connection, json: bool) -> Result<Outcome, Failure> {
    let devices = devices(connection).await?;
    if json {
        print_json(&devices)?;
        return Ok(Outcome::Done);
    }
    let mut rows = table(["DEVICE", "ANSWERS", "MAKER AND MODEL", "SERIAL", "FIRMWARE", "FAULTS"]);
    for device in devices {
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
    Ok(Outcome::Done)
}

pub(crate) async fn faults(connection: &Connection, command: Faults, json: bool) -> Result<Outcome, Failure> {
    match command {
        Faults::List => {
            let mut devices = devices(connection).await?;
            devices.retain(|device| !device.faults.is_empty());
            if json {
                print_json(&devices)?;
            } else if devices.is_empty() {
                println!("no faults");
            } else {
                let mut rows = table(["DEVICE", "FAULT", "SINCE", "CAUSE"]);
                for device in &devices {
                    for fault in &device.faults {
                        rows.add_row([
                            device.object.clone(),
                            fault.code.clone(),
                            ago(fault.at),
                            fault.cause.clone(),
                        ]);
                    }
                }
                println!("{rows}");
            }
            Ok(if devices.is_empty() { Outcome::Done } else { Outcome::BadNews })
        }
        Faults::Clear { evse } => {
            let remaining = station::proxy(connection).await?.clear_faults(evse).await?;
            if json {
                print_json(&remaining)?;
            } else {
                for fault in &remaining {
                    println!("stays: {}: {}", fault.code, fault.cause);
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
    let racks = having(connection, "org.voltry.PowerRack1").await?;
    if racks.is_empty() {
        return Err(Failure::Unreachable(
            "no power supply is on the bus: is voltry-power running?".to_owned(),
        ));
    }
    let mut shown: Vec<(String, Module)> = Vec::new();
    for rack in racks {
        let proxy = PowerRack1Proxy::builder(connection)
            .destination(rack.name.clone())
            .path(rack.path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        let modules = proxy.modules().await?;
        if let Some(Modules::Identify { bus, address, off }) = &command {
            if modules.iter().any(|module| module.bus == *bus && module.address == *address) {
                proxy.identify(bus, *address, !off).await?;
                return Ok(Outcome::Done);
            }
            continue;
        }
        let supply = rack.path.rsplit('/').next().unwrap_or_default().to_owned();
        shown.extend(modules.into_iter().map(|module| (supply.clone(), module)));
    }
    if let Some(Modules::Identify { bus, address, .. }) = command {
        return Err(Failure::Refused(format!("no module {address} was seen on {bus}")));
    }
    if json {
        print_json(&shown.iter().map(|(_, module)| module).collect::<Vec<_>>())?;
        return Ok(Outcome::Done);
    }
    print_modules(&shown);
    Ok(Outcome::Done)
}

fn print_modules(modules: &[(String, Module)]) {
    let mut rows = table([
        "SUPPLY",
        "BUS",
        "ADDRESS",
        "SERIAL",
        "STATE",
        "VOLTAGE",
        "CURRENT",
        "AVAILABLE",
        "INLET",
        "HEARD",
        "ALARMS",
    ]);
    for (supply, module) in modules {
        rows.add_row([
            supply.clone(),
            module.bus.clone(),
            module.address.to_string(),
            module.serial.clone(),
            if module.online { module.state.clone() } else { "SILENT".to_owned() },
            format!("{:.1} V", module.voltage),
            format!("{:.1} A", module.current),
            format!("{:.1} A", module.available),
            format!("{:.0} °C", module.temperature),
            ago(module.at),
            module.alarms.join(", "),
        ]);
    }
    println!("{rows}");
}
