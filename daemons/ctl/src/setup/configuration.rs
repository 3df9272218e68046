//! The daemons' configuration of a site.

use toml::{Table, Value};
use voltry_bus::names;

use super::site::{Evse, Modbus, Site};

/// The back end's password, as the unit of `voltry-ocpp` takes it.
pub(super) const PASSWORD: &str = "ocpp.password";

/// Where distributions have the roots of public authorities.
const PUBLIC_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// `voltry.toml` of this site.
pub(super) fn of(site: &Site) -> Table {
    let mut config = Table::new();
    let mut station = table([
        ("name", site.name.clone().into()),
        ("power_limit_w", site.power_limit_w.into()),
        ("free_vending", site.free_vending.into()),
    ]);
    if let Some(csms) = &site.csms {
        station.insert("csms".to_owned(), binding(names::OCPP, names::CSMS_PATH));
        let mut profile = table([
            ("url", csms.url.clone().into()),
            ("version", csms.version.clone().into()),
            ("security_profile", 1.into()),
            ("password_file", PASSWORD.into()),
        ]);
        if csms.url.starts_with("wss:") {
            let roots = csms.roots.as_deref().unwrap_or(PUBLIC_ROOTS);
            profile.extend(table([("security_profile", 2.into()), ("root_certificates", roots.into())]));
        }
        let ocpp = table([
            ("identity", csms.identity.clone().into()),
            ("profile", table([("1", profile.into())]).into()),
        ]);
        config.insert("ocpp".to_owned(), ocpp.into());
    }
    config.insert("station".to_owned(), station.into());
    for (number, evse) in (1_u32..).zip(&site.evse) {
        one(&mut config, number, evse);
    }
    config
}

/// The units of this site beside those that `voltry.target` wants itself.
pub(super) fn units(site: &Site) -> Vec<String> {
    let evses = (1..=site.evse.len()).flat_map(|n| [format!("voltry-evse@{n}"), format!("voltry-secc@{n}")]);
    let meters = lines(site).into_iter().map(|line| format!("voltry-meter@{line}"));
    let uplink = site.csms.as_ref().map(|_| "voltry-ocpp".to_owned());
    evses.chain(meters).chain(uplink).collect()
}

/// The lines that `voltry-meter` runs for: one an instance.
pub(super) fn lines(site: &Site) -> Vec<String> {
    (1..=site.evse.len()).flat_map(|number| [format!("dc{number}"), format!("imd{number}")]).collect()
}

fn one(config: &mut Table, number: u32, evse: &Evse) {
    let name = number.to_string();
    let (dc, imd) = (format!("dc{number}"), format!("imd{number}"));
    let meter = binding(&names::meter(&format!("Dc{number}")), &names::path("energy_meter", &dc));
    let monitor = binding(&names::meter(&format!("Imd{number}")), &names::path("insulation_monitor", &imd));
    put(config, &["station", "evse", &name], [("energy_meter", meter.clone())]);
    put(config, &["board", &name], [("device", evse.board.clone().into())]);
    let bus = bus_name(&evse.modules.can);
    put(config, &["power", "bus", &bus], can(&evse.modules.can));
    let addresses: Vec<Value> =
        evse.modules.addresses.iter().map(|address| i64::from(*address).into()).collect();
    let mut supply = table([
        ("family", evse.modules.family.clone().into()),
        ("bus", bus.into()),
        ("modules", addresses.into()),
    ]);
    supply.extend(evse.modules.more.clone());
    put(config, &["power", "supply", &name], supply);
    modbus(config, &dc, "energy-meter", &evse.meter);
    modbus(config, &imd, "insulation-monitor", &evse.insulation_monitor);
    let mut secc =
        table([("interface", evse.interface.clone().into()), ("evse_id", evse.evse_id.clone().into())]);
    if let Some(modem) = &evse.modem {
        secc.insert("slac".to_owned(), table([("modem", modem.clone().into())]).into());
    }
    put(config, &["secc", &name], secc);
    let roles = table([
        ("profile", evse.profile.clone().into()),
        ("voltage_max", evse.voltage_max.into()),
        ("current_max", evse.current_max.into()),
        ("over_voltage_by_hardware", evse.over_voltage_by_hardware.into()),
        ("power_supply", binding(names::POWER, &names::path("power_supply", &name))),
        ("voltage_monitor", monitor.clone()),
        ("insulation_monitor", monitor),
        ("connector_io", binding(names::BOARD, &names::path("connector", &name))),
        ("energy_meter", meter),
        ("ev_link", binding(&names::secc(number), &names::path("ev_link", &name))),
    ]);
    put(config, &["evse", &name], roles);
}

/// A bus is named by what leads to it: EVSEs that say the same share it.
fn bus_name(can: &str) -> String {
    let last = can.rsplit('/').next().unwrap_or(can);
    last.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
}

fn can(leads: &str) -> Table {
    if leads.starts_with('/') {
        return table([("type", "slcan".into()), ("device", leads.into()), ("bit_rate", 125_000.into())]);
    }
    table([("type", "socketcan".into()), ("interface", leads.into())])
}

fn modbus(config: &mut Table, line: &str, kind: &str, device: &Modbus) {
    let mut port = if device.line.starts_with('/') {
        table([("serial", device.line.clone().into())])
    } else {
        table([("tcp", device.line.clone().into())])
    };
    if let Some(baud) = device.baud {
        let settings = [("baud", i64::from(baud).into()), ("parity", "none".into()), ("stop_bits", 1.into())];
        port.extend(table(settings));
    }
    put(config, &["meter", line], [("port", port.into())]);
    let told = [
        ("kind", kind.into()),
        ("model", device.model.clone().into()),
        ("address", i64::from(device.address).into()),
    ];
    put(config, &["meter", line, "device", line], told);
}

fn binding(name: &str, path: &str) -> Value {
    table([("name", name.into()), ("path", path.into())]).into()
}

fn table<const N: usize>(keys: [(&str, Value); N]) -> Table {
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Keys into the table at `path`, which is made if it is not there.
fn put<K: Into<String>>(config: &mut Table, path: &[&str], keys: impl IntoIterator<Item = (K, Value)>) {
    let mut here = config;
    for step in path {
        let below = here.entry(*step).or_insert_with(|| Table::new().into());
        here = below.as_table_mut().expect("only tables are put above others");
    }
    here.extend(keys.into_iter().map(|(key, value)| (key.into(), value)));
}

#[cfg(test)]
mod tests {
    use super::super::site::tests::site;
    use super::*;

    #[test]
    fn every_device_of_the_site_is_configured_and_bound() {
        let config = of(&site());
        let text = toml::to_string(&config).unwrap();
        for wanted in [
            "can0",
            "/dev/ttyS1",
            "/dev/ttyS2",
            "/dev/ttyS3",
            "DE*VOL*E1",
            "ocpp.password",
            PUBLIC_ROOTS,
            "qca7000",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing: {text}");
        }
        assert_eq!(config["power"]["supply"]["1"]["bus"].as_str(), Some("can0"));
        assert_eq!(config["evse"]["1"]["energy_meter"], config["station"]["evse"]["1"]["energy_meter"]);
        assert_eq!(config["meter"]["imd1"]["port"]["baud"].as_integer(), Some(19_200));
        assert_eq!(lines(&site()), ["dc1", "imd1"]);
    }

    #[test]
    fn evses_whose_modules_are_on_one_bus_share_it() {
        let mut site = site();
        site.evse.push(site.evse[0].clone());
        let config = of(&site);
        assert_eq!(config["power"]["bus"].as_table().unwrap().len(), 1);
        assert_eq!(config["power"]["supply"].as_table().unwrap().len(), 2);
    }
}
