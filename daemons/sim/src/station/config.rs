//! Writes the daemons' `voltry.toml` from the topology.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use voltry_bus::names;

use super::lock;
use super::network;
use super::screen;
use super::topology::{Controllers, EvseParts, Topology, group_name};
use super::uplink::Uplink;
use super::wiring::{CAN_BIT_RATE, METER_UNIT, MODBUS_BAUD, MONITOR_UNIT, dc_line, grid_line, imd_line};
use crate::electrical::ModuleRating;
use crate::hardware::Family;

/// The register maps of the simulated meters, as they are delivered.
const METER_MAPS: [(&str, &str); 2] = [
    ("acrel-djsf1352-rn.toml", include_str!("../../../../packaging/meters/acrel-djsf1352-rn.toml")),
    ("carlo-gavazzi-em580.toml", include_str!("../../../../packaging/meters/carlo-gavazzi-em580.toml")),
];

/// What contactors, cable and connector of the simulated EVSEs are made for, volts and amperes.
const VOLTAGE_MAX: u32 = 1000;
const CURRENT_MAX: u32 = 300;

/// The uplink's object, as the station is to find it.
const CSMS: &str = r#"csms = { name = "org.voltry.Ocpp1", path = "/org/voltry/csms" }"#;

/// What a vehicle that gives energy back speaks; without TLS it has to be said.
const GIVER: &str = r#"protocols = ["iso15118-20", "iso15118-2"]"#;

/// More often than this the insulation would take the line from the voltages.
const MONITOR_PERIOD_MIN_MS: u32 = 200;

/// The meter daemon's instances.
pub(super) fn meter_lines(topology: &Topology) -> Vec<String> {
    let mut lines = vec![grid_line()];
    for (evse, _) in topology.evses() {
        lines.push(dc_line(evse));
        lines.push(imd_line(evse));
    }
    lines
}

/// Writes `STATE/voltry.toml`; the topology's own `config` wins over what is said here.
pub(super) fn write(topology: &Topology, state: &Path) -> anyhow::Result<()> {
    let mut config: toml::Table =
        toml::from_str(&text(topology, state)).context("the configuration written here is no TOML")?;
    if let Some(uplink) = &topology.uplink {
        merge(&mut config, &to_csms(uplink, state)?);
    }
    if topology.screen.is_some() {
        merge(&mut config, &toml::from_str(&format!("ui = {{ kiosk = {:?} }}", screen::KIOSK))?);
    }
    merge(&mut config, &topology.config);
    let file = state.join("voltry.toml");
    let text = format!(
        "# Written by voltry-sim at each start. Put changes into voltry.d/*.toml.\n\n{}",
        toml::to_string(&config)?
    );
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    for (name, map) in METER_MAPS {
        std::fs::write(state.join("meters").join(name), map).context("writing the meters' register maps")?;
    }
    Ok(())
}

/// The same for daemons that are installed: they store things, and find register maps, where they do by default.
/// `folder` has the lines.
pub(super) fn for_installed_daemons(topology: &Topology, folder: &Path) -> anyhow::Result<String> {
    let mut config: toml::Table =
        toml::from_str(&text(topology, folder)).context("the configuration written here is no TOML")?;
    for (table, keys) in [("meter", &["models", "state"][..]), ("secc", &["tls"])] {
        let instances = config.get_mut(table).and_then(toml::Value::as_table_mut).into_iter().flatten();
        for instance in instances.filter_map(|(_, instance)| instance.as_table_mut()) {
            keys.iter().for_each(|key| drop(instance.remove(*key)));
        }
    }
    config
        .get_mut("station")
        .and_then(toml::Value::as_table_mut)
        .and_then(|station| station.remove("database"));
    merge(&mut config, &topology.config);
    Ok(format!(
        "# Written by `voltry-sim configuration`, for the hardware that voltry-sim.service plays.\n\n{}",
        toml::to_string(&config)?
    ))
}

/// The uplink's tables.
fn to_csms(uplink: &Uplink, state: &Path) -> anyhow::Result<toml::Table> {
    let mut profile = toml::Table::from_iter([
        ("url".to_owned(), uplink.csms.clone().into()),
        ("version".to_owned(), uplink.version.clone().into()),
        ("security_profile".to_owned(), 0.into()),
    ]);
    merge(&mut profile, &uplink.profile);
    let database = state.join("lib/ocpp.db");
    let mut ocpp = toml::Table::from_iter([
        ("identity".to_owned(), uplink.identity.clone().into()),
        ("database".to_owned(), database.to_str().context("the state's path is no text")?.into()),
        ("serial_number".to_owned(), "SIM-0001".into()),
        // A test does not wait for a field's patience.
        ("retry_back_off_wait_minimum_s".to_owned(), 1.into()),
        ("retry_back_off_random_range_s".to_owned(), 1.into()),
        ("retry_back_off_repeat_times".to_owned(), 2.into()),
        ("variables".to_owned(), toml::Value::try_from(&uplink.variables)?),
        ("profile".to_owned(), toml::Table::from_iter([("1".to_owned(), profile.into())]).into()),
    ]);
    if let Some(proxy) = &uplink.file_proxy {
        ocpp.insert("file_proxy".to_owned(), proxy.clone().into());
    }
    let csms = toml::from_str(CSMS)?;
    Ok(toml::Table::from_iter([
        ("ocpp".to_owned(), ocpp.into()),
        ("station".to_owned(), toml::Value::Table(csms)),
    ]))
}

fn text(topology: &Topology, state: &Path) -> String {
    let mut text = String::new();
    station(&mut text, topology, state).expect("writing to a string");
    text.push_str(&shared_modules(topology, state));
    for (evse, parts) in topology.evses() {
        one_evse(&mut text, evse, &parts, topology, state).expect("writing to a string");
    }
    text
}

fn station(text: &mut String, topology: &Topology, state: &Path) -> std::fmt::Result {
    // A station has a handful of modules.
    #[allow(clippy::cast_precision_loss)]
    let modules: f64 = if topology.groups.is_empty() {
        topology.evses().map(|(_, parts)| parts.modules as f64).sum()
    } else {
        topology.groups.iter().sum::<usize>() as f64
    };
    let modules_w = modules * topology.family.rating().rated_w;
    let limit = if topology.power_limit > 0.0 { topology.power_limit } else { modules_w };
    writeln!(text, "[station]")?;
    writeln!(text, "name = {:?}", topology.name)?;
    writeln!(text, "database = {:?}", state.join("lib/book.db"))?;
    writeln!(text, "power_limit_w = {limit:.1}")?;
    writeln!(text, "free_vending = {}", topology.free)?;
    writeln!(text, "tokens = {:?}", topology.tokens)?;
    modbus(text, state, &grid_line(), "energy-meter", "carlo-gavazzi-em580", METER_UNIT)
}

fn one_evse(
    text: &mut String,
    evse: u32,
    parts: &EvseParts,
    topology: &Topology,
    state: &Path,
) -> std::fmt::Result {
    let number = evse.to_string();
    let (dc, imd) = (dc_line(evse), imd_line(evse));
    let device = |name: &str| state.join("dev").join(format!("{name}{evse}"));
    modbus(text, state, &dc, "energy-meter", "acrel-djsf1352-rn", METER_UNIT)?;
    modbus(text, state, &imd, "insulation-monitor", topology.monitor.name(), MONITOR_UNIT)?;
    writeln!(text, "period_ms = {}", (1000 / parts.monitor_pace).max(MONITOR_PERIOD_MIN_MS))?;
    let meter = binding(&names::meter(&capitalized(&dc)), "energy_meter", &dc);
    if topology.groups.is_empty() {
        own_modules(text, evse, parts, topology, state)?;
    }
    let reader = reader(text, evse, topology, state)?;
    let connector = if parts.lock { lock::name(evse) } else { names::BOARD.to_owned() };
    write!(
        text,
        r#"
[station.evse.{evse}]
energy_meter = {meter}
{reader}

[board.{evse}]
device = {mcu:?}

[secc.{evse}]
interface = "{interface}"
evse_id = "DE*VOL*E{evse}"
{slac}
tls = {{ installed = {installed:?} }}
{protocols}

[evse.{evse}]
profile = "iec61851-23-2023"
voltage_max = {VOLTAGE_MAX}
current_max = {CURRENT_MAX}
power_supply = {supply}
voltage_monitor = {monitor}
# The simulated modules never give more volts than they are set to: there is nothing to act on.
over_voltage_by_hardware = true
insulation_monitor = {monitor}
connector_io = {connector}
energy_meter = {meter}
ev_link = {link}
{discharge}
{lock}
"#,
        mcu = device("mcu"),
        supply = binding(names::POWER, "power_supply", &number),
        monitor = binding(&names::meter(&capitalized(&imd)), "insulation_monitor", &imd),
        connector = binding(&connector, "connector", &number),
        installed = state.join("lib/secc"),
        link = binding(&names::secc(evse), "ev_link", &number),
        interface = network::station_end(evse),
        lock = if parts.lock { "lock = true" } else { "" },
        discharge = if parts.vehicle.gives > 0.0 { "discharge = true" } else { "" },
        protocols = if parts.vehicle.gives > 0.0 { GIVER } else { "" },
        slac = if topology.powerline { "slac = { modem = \"qca7000\" }" } else { "" },
    )
}

/// The card reader of one EVSE; returns how the station is bound to it.
fn reader(
    text: &mut String,
    evse: u32,
    topology: &Topology,
    state: &Path,
) -> Result<String, std::fmt::Error> {
    if !topology.readers {
        return Ok(String::new());
    }
    let device = state.join("dev").join(format!("reader{evse}"));
    writeln!(text, "\n[reader.{evse}]\ndevice = {device:?}")?;
    let binding = binding(names::READER, "id_token_reader", &evse.to_string());
    Ok(format!("id_token_reader = {binding}"))
}

/// The modules that feed one EVSE alone.
fn own_modules(
    text: &mut String,
    evse: u32,
    parts: &EvseParts,
    topology: &Topology,
    state: &Path,
) -> std::fmt::Result {
    let family = topology.family;
    let (bus, before) = topology.bus_of(evse);
    let first = usize::from(family.first_address()) + before;
    let addresses: Vec<usize> = (first..first + parts.modules).collect();
    match &parts.can {
        Some(Controllers { station, .. }) => {
            write!(text, "\n[power.bus.can{evse}]\ntype = \"socketcan\"\ninterface = {station:?}\n")?;
        }
        None if bus == evse => can_bus(text, &format!("can{bus}"), state)?,
        None => {}
    }
    writeln!(text, "\n[power.supply.{evse}]\nbus = \"can{bus}\"")?;
    writeln!(text, "{}\n{}", modules(family, parts.modules, &addresses), kind(family))?;
    if parts.vehicle.gives > 0.0 {
        writeln!(text, "{}", discharge(family, parts.modules))?;
    }
    Ok(())
}

/// What so many modules can take.
fn discharge(family: Family, modules: usize) -> String {
    let ModuleRating { min_v, max_a, rated_w, .. } = family.rating();
    // A supply has a handful of modules.
    #[allow(clippy::cast_precision_loss)]
    let [current, power] = [max_a, rated_w].map(|each| each * modules as f64);
    format!("discharge = {{ voltage_min = {min_v:.1}, current_max = {current:.1}, power_max = {power:.1} }}")
}

/// The groups that all EVSEs share, and the matrix between.
fn shared_modules(topology: &Topology, state: &Path) -> String {
    let mut text = String::new();
    if topology.groups.is_empty() {
        return text;
    }
    let evses: Vec<u32> = topology.evses().map(|(evse, _)| evse).collect();
    let mut contactors = Vec::new();
    let (family, gives) = (topology.family, topology.evses().any(|(_, parts)| parts.vehicle.gives > 0.0));
    for (bus, groups) in topology.buses_of_groups() {
        can_bus(&mut text, &bus, state).expect("writing to a string");
        let mut next = usize::from(family.first_address());
        for place in groups {
            let (name, count) = (group_name(place), topology.groups[place]);
            let addresses: Vec<usize> = (next..next + count).collect();
            next += count;
            contactors.extend(evses.iter().map(|evse| format!("[{name:?}, {evse}]")));
            let (modules, kind) = (modules(family, count, &addresses), kind(family));
            let discharge = if gives { discharge(family, count) } else { String::new() };
            write!(text, "\n[power.group.{name}]\nbus = {bus:?}\n{modules}\n{kind}\n{discharge}\n")
                .expect("writing to a string");
        }
    }
    write!(
        text,
        r#"
[power.matrix]
switch = {switch}
evses = {evses:?}

[board.matrix]
device = {device:?}
contactors = [{contactors}]
"#,
        switch = binding(names::BOARD, "switch_matrix", "1"),
        device = state.join("dev/matrix"),
        contactors = contactors.join(", "),
    )
    .expect("writing to a string");
    text
}

fn can_bus(text: &mut String, name: &str, state: &Path) -> std::fmt::Result {
    let device = state.join("dev").join(name);
    write!(text, "\n[power.bus.{name}]\ntype = \"slcan\"\ndevice = {device:?}\nbit_rate = {CAN_BIT_RATE}\n")
}

/// What family modules are of, and what they do not tell of themselves.
fn kind(family: Family) -> String {
    let rating = match family {
        // It tells it by itself, and its document says how long it delivers alone.
        Family::Infypower => String::new(),
        Family::InfypowerBeg
        | Family::UuGreenPower
        | Family::MaxwellMxr
        | Family::TonHe
        | Family::HuaweiR100040Gx => nameplate(family),
    };
    format!("family = {:?}\n{rating}", family.name())
}

/// Which modules: those that are spoken to by group are not named one by one.
fn modules(family: Family, count: usize, addresses: &[usize]) -> String {
    match family {
        Family::InfypowerBeg => format!("group = {}\ncount = {count}", family.group()),
        Family::Infypower
        | Family::UuGreenPower
        | Family::MaxwellMxr
        | Family::TonHe
        | Family::HuaweiR100040Gx => format!("modules = {addresses:?}"),
    }
}

/// What a module of the family is rated for, and for how long it delivers that hears nobody.
fn nameplate(family: Family) -> String {
    let ModuleRating { min_v, max_v, max_a, rated_w, .. } = family.rating();
    format!(
        "rating = {{ voltage_min = {min_v:.1}, voltage_max = {max_v:.1}, current_max = {max_a:.1}, \
         power_max = {rated_w:.1} }}\nsilence_limit_ms = {}",
        family.silence().as_millis()
    )
}

fn modbus(
    text: &mut String,
    state: &Path,
    line: &str,
    kind: &str,
    model: &str,
    unit: u8,
) -> std::fmt::Result {
    write!(
        text,
        r#"
[meter.{line}]
port = {{ serial = {serial:?}, baud = {MODBUS_BAUD}, parity = "none", stop_bits = 1 }}
models = [{models:?}]
state = {library:?}

[meter.{line}.device.{line}]
kind = "{kind}"
model = "{model}"
address = {unit}
"#,
        serial = state.join("dev").join(line),
        models = state.join("meters"),
        library = state.join("lib"),
    )
}

fn binding(name: &str, role: &str, object: &str) -> String {
    format!("{{ name = {name:?}, path = {:?} }}", names::path(role, object))
}

/// A meter line's name as it ends its bus name.
fn capitalized(line: &str) -> String {
    let mut letters = line.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

/// Tables merge; anything else replaces.
fn merge(into: &mut toml::Table, from: &toml::Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_toml_with_a_table_for_every_daemon() {
        let topology = Topology::default().with_evses(2).unwrap();
        let config: toml::Table = toml::from_str(&text(&topology, Path::new("/tmp/state"))).unwrap();
        for table in ["station", "power", "meter", "secc", "board", "evse"] {
            assert!(config.contains_key(table), "[{table}] is missing");
        }
        assert_eq!(config["meter"].as_table().unwrap().len(), meter_lines(&topology).len());
    }

    #[test]
    fn the_modules_are_configured_as_what_they_are() {
        let topology: Topology = toml::from_str("family = 'tonhe'\n[[evse]]\nmodules = 2").unwrap();
        let config: toml::Table = toml::from_str(&text(&topology, Path::new("/tmp/state"))).unwrap();
        let supply = &config["power"]["supply"]["1"];
        assert_eq!(supply["family"].as_str(), Some("tonhe"));
        assert_eq!(supply["modules"].as_array().unwrap().len(), 2);
        assert_eq!(supply["modules"][0].as_integer(), Some(1), "its addresses begin at 1");
    }

    #[test]
    fn evses_may_have_their_modules_on_one_bus() {
        let topology: Topology = toml::from_str("evses = 5\nevses_per_bus = 4").unwrap();
        let config: toml::Table = toml::from_str(&text(&topology, Path::new("/tmp/state"))).unwrap();
        let buses: Vec<&String> = config["power"]["bus"].as_table().unwrap().keys().collect();
        assert_eq!(buses, ["can1", "can5"]);
        let supply = |evse: &str| {
            let supply = &config["power"]["supply"][evse];
            (supply["bus"].as_str().unwrap(), supply["modules"].to_string())
        };
        assert_eq!(supply("1"), ("can1", "[0, 1, 2]".to_owned()));
        assert_eq!(supply("4"), ("can1", "[9, 10, 11]".to_owned()));
        assert_eq!(supply("5"), ("can5", "[0, 1, 2]".to_owned()));
    }

    #[test]
    fn an_evse_takes_energy_where_its_vehicle_gives_some_and_nowhere_else() {
        let topology: Topology = toml::from_str(
            "evses = 2\nfamily = 'infypower-beg'\n[[evse]]\nmodules = 2\nvehicle.gives = 20.0",
        )
        .unwrap();
        let config: toml::Table = toml::from_str(&text(&topology, Path::new("/tmp/state"))).unwrap();
        let supply = |evse: &str| config["power"]["supply"][evse].get("discharge").cloned();
        assert_eq!(supply("1").unwrap()["power_max"].as_float(), Some(44_000.0));
        assert_eq!(config["evse"]["1"]["discharge"].as_bool(), Some(true));
        assert_eq!((supply("2"), config["evse"]["2"].get("discharge")), (None, None));
    }

    #[test]
    fn modules_on_the_kernels_can_are_configured_by_the_daemons_interface() {
        let topology: Topology =
            toml::from_str("[[evse]]\ncan = { station = 'can0', modules = 'can1' }").unwrap();
        let config: toml::Table = toml::from_str(&text(&topology, Path::new("/tmp/state"))).unwrap();
        let bus = config["power"]["bus"]["can1"].as_table().unwrap();
        assert_eq!(bus["type"].as_str(), Some("socketcan"));
        assert_eq!(bus["interface"].as_str(), Some("can0"));
    }

    #[test]
    fn groups_are_shared_by_all_evses_through_a_matrix() {
        let topology: Topology = toml::from_str("evses = 2\ngroups = [2, 1]").unwrap();
        let config: toml::Table = toml::from_str(&text(&topology, Path::new("/tmp/state"))).unwrap();
        let power = config["power"].as_table().unwrap();
        assert!(!power.contains_key("supply"));
        assert_eq!(power["group"]["b"]["modules"][0].as_integer(), Some(2));
        let contactors = config["board"]["matrix"]["contactors"].as_array().unwrap();
        assert_eq!(contactors.len(), 4);
        assert_eq!((contactors[2][0].as_str(), contactors[2][1].as_integer()), (Some("b"), Some(1)));
        assert_eq!(config["station"]["power_limit_w"].as_float(), Some(90_000.0));
    }

    #[test]
    fn the_topologys_own_tables_win() {
        let mut config: toml::Table = toml::from_str("[station]\nname = 'a'\ntokens = []").unwrap();
        merge(&mut config, &toml::from_str("[station]\nname = 'b'").unwrap());
        assert_eq!(config["station"]["name"].as_str(), Some("b"));
        assert!(config["station"].get("tokens").is_some());
    }
}
