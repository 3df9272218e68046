//! The `[power]` table of `voltry.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use voltry_canlink::CanPort;
use voltry_power_module::Family;
use voltry_service::config::{duration_ms, quantity};
use voltry_service::{Binding, Config, ConfigError, Provision};
use voltry_units::{Amps, OutOfRange, Volts, Watts};

/// `[power]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `[power.bus.NAME]`: the CAN buses.
    pub bus: BTreeMap<String, CanPort>,
    /// `[power.supply.N]`: the supplies, each one object on the bus.
    pub supply: BTreeMap<String, Supply>,
}

/// `[power.supply.N]`: the modules that feed one EVSE.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supply {
    /// The modules' protocol; `infypower`.
    #[serde(deserialize_with = "family")]
    pub family: &'static Family,
    /// The CAN bus the modules are on.
    pub bus: String,
    /// The modules' addresses. Either these, or `group` and `count`.
    #[serde(default)]
    pub modules: BTreeSet<u8>,
    /// The modules' group, where they take their addresses by themselves.
    pub group: Option<u8>,
    /// How many modules the group has.
    #[serde(default)]
    pub count: usize,
    /// Volts; only downwards from what the modules are rated for.
    #[serde(default, deserialize_with = "limit")]
    pub voltage_max: Option<Volts>,
    /// Amperes, all modules together; only downwards.
    #[serde(default, deserialize_with = "limit")]
    pub current_max: Option<Amps>,
    /// Watts, all modules together; only downwards.
    #[serde(default, deserialize_with = "limit")]
    pub power_max: Option<Watts>,
    /// Whether modules ramp slowly when they switch on. Off, since PreCharge has no time for it.
    #[serde(default)]
    pub walk_in: bool,
    /// Milliseconds after which a silent module is certainly off, so that the others may take its
    /// current. Longer than the modules' own limit: 11 s at the least, 15 s if not given.
    #[serde(default = "lost_after", rename = "lost_after_ms", deserialize_with = "duration_ms")]
    pub lost_after: Duration,
    /// Milliseconds without an answer after which a module no longer counts as available.
    #[serde(default = "silent_after", rename = "silent_after_ms", deserialize_with = "duration_ms")]
    pub silent_after: Duration,
    /// Milliseconds of idleness after which the modules sleep; 0: never.
    #[serde(default = "sleep_after", rename = "sleep_after_ms", deserialize_with = "duration_ms")]
    pub sleep_after: Duration,
}

/// Modules on one bus that can all be read every 100 ms at one frame each 5 ms.
const MODULES_PER_BUS: usize = 16;
const LOST_AFTER_LEAST: Duration = Duration::from_secs(11);

fn lost_after() -> Duration {
    Duration::from_secs(15)
}

fn silent_after() -> Duration {
    Duration::from_secs(2)
}

fn sleep_after() -> Duration {
    Duration::from_secs(1800)
}

fn family<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Family, D::Error> {
    let name = String::deserialize(deserializer)?;
    Family::named(&name).ok_or_else(|| {
        let known: Vec<_> = voltry_power_module::FAMILIES.iter().map(|family| family.name).collect();
        serde::de::Error::custom(format!("no module family {name:?}; known are {}", known.join(", ")))
    })
}

fn limit<'de, D, Q>(deserializer: D) -> Result<Option<Q>, D::Error>
where
    D: Deserializer<'de>,
    Q: TryFrom<f64, Error = OutOfRange>,
{
    quantity(deserializer).map(Some)
}

impl Supply {
    /// How many modules there should be.
    #[must_use]
    pub fn expected(&self) -> usize {
        if self.group.is_some() { self.count } else { self.modules.len() }
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match (self.group, self.modules.is_empty(), self.count) {
            (Some(_), true, 1..) | (None, false, 0) => {}
            _ => problems.push("give either `modules`, or `group` and `count`".into()),
        }
        if let Some(address) = self.modules.iter().find(|address| !self.family.addresses.contains(address)) {
            problems.push(format!("no {} module has address {address}", self.family.name));
        }
        if self.lost_after < LOST_AFTER_LEAST {
            let limit = self.family.silence_limit.as_secs();
            problems.push(format!(
                "lost_after_ms: at least 11000: a module that hears nobody delivers for {limit} s"
            ));
        }
        if self.silent_after < Duration::from_millis(300) || self.silent_after > Duration::from_secs(5) {
            problems.push("silent_after_ms: between 300 and 5000".into());
        }
        let positive = |milli: Option<i64>| milli.is_none_or(|milli| milli > 0);
        if !positive(self.voltage_max.map(Volts::as_milli))
            || !positive(self.current_max.map(Amps::as_milli))
            || !positive(self.power_max.map(Watts::as_milli))
        {
            problems.push("a limit of zero or less".into());
        }
        problems
    }
}

/// The D-Bus path of a supply.
#[must_use]
pub fn path(supply: &str) -> String {
    voltry_bus::names::path("power_supply", supply)
}

/// Reads and checks `[power]`.
///
/// # Errors
/// All that is wrong with it, by file and line.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let settings: Settings = config.load("power")?;
    let mut problems = Vec::new();
    let mut objects = Vec::new();
    for (name, supply) in &settings.supply {
        let table = format!("power.supply.{name}");
        problems.extend(supply.problems().into_iter().map(|text| config.problem(&table, text)));
        if !settings.bus.contains_key(&supply.bus) {
            let text = format!("there is no [power.bus.{}]", supply.bus);
            problems.push(config.problem(&format!("{table}.bus"), text));
        }
        match Binding::new(voltry_bus::names::POWER, &path(name)) {
            Ok(binding) => objects.push(binding),
            Err(error) => problems.push(config.problem(&table, error)),
        }
    }
    for bus in settings.bus.keys() {
        let table = format!("power.bus.{bus}");
        problems.extend(shared_bus(&settings, bus).into_iter().map(|text| config.problem(&table, text)));
    }
    if problems.is_empty() { Ok(Provision { objects, settings }) } else { Err(ConfigError(problems)) }
}

/// What is wrong with the supplies of one bus together.
fn shared_bus(settings: &Settings, bus: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let supplies: Vec<_> = settings.supply.values().filter(|supply| supply.bus == bus).collect();
    if supplies.is_empty() {
        problems.push("no supply is on it".into());
    }
    let modules: usize = supplies.iter().map(|supply| supply.expected()).sum();
    if modules > MODULES_PER_BUS {
        problems.push(format!("{modules} modules; at most {MODULES_PER_BUS} can be read in time"));
    }
    let mut addresses = BTreeSet::new();
    let mut groups = BTreeSet::new();
    for supply in &supplies {
        if supply.family.name != supplies[0].family.name {
            problems.push("modules of two families cannot share a bus".into());
        }
        if let Some(twice) = supply.modules.iter().find(|address| !addresses.insert(**address)) {
            problems.push(format!("module {twice} belongs to two supplies"));
        }
        if let Some(twice) = supply.group.filter(|group| !groups.insert(*group)) {
            problems.push(format!("group {twice} belongs to two supplies"));
        }
    }
    if !addresses.is_empty() && !groups.is_empty() {
        problems.push("one supply names addresses and another a group: a module could be in both".into());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUS: &str = "[power.bus.main]\ntype = 'slcan'\ndevice = '/dev/ttyACM0'\nbit_rate = 125000\n";

    fn read(supplies: &str) -> Result<Settings, String> {
        let text = format!("{BUS}{supplies}");
        let config = Config::parse([("voltry.toml", text.as_str())]).unwrap();
        configure(&config, "").map(|provision| provision.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_supply_needs_little_and_has_safe_defaults() {
        let settings =
            read("[power.supply.1]\nfamily = 'infypower'\nbus = 'main'\nmodules = [0, 1]\n").unwrap();
        let supply = &settings.supply["1"];
        assert_eq!(supply.expected(), 2);
        assert!(!supply.walk_in);
        assert_eq!(supply.lost_after, Duration::from_secs(15));
        assert_eq!(supply.current_max, None);
    }

    #[test]
    fn limits_and_groups_are_read() {
        let settings = read(
            "[power.supply.1]\nfamily = 'infypower'\nbus = 'main'\ngroup = 1\ncount = 2\n\
             current_max = 60.5\nsleep_after_ms = 0\n",
        )
        .unwrap();
        assert_eq!(settings.supply["1"].current_max, Some(Amps::from_milli(60_500)));
        assert_eq!(settings.supply["1"].expected(), 2);
    }

    #[test]
    fn what_would_be_dangerous_or_means_nothing_is_refused() {
        let supply = |more: &str| format!("[power.supply.1]\nfamily = 'infypower'\nbus = 'main'\n{more}\n");
        for (text, wanted) in [
            (supply("modules = [0]\nlost_after_ms = 9000"), "at least 11000"),
            (supply("modules = [60]"), "no infypower module has address 60"),
            (supply(""), "either `modules`"),
            (supply("modules = [0]\ncurrent_max = 0.0"), "a limit of zero"),
            (supply("modules = [0]\nwalkin = true"), "walk_in"),
            (supply("modules = [0]").replace("main", "other"), "there is no [power.bus.other]"),
            (supply("modules = [0]").replace("infypower", "acme"), "known are infypower"),
            (
                supply("modules = [0]") + &supply("modules = [0]").replace("supply.1", "supply.2"),
                "module 0 belongs to two supplies",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
        }
    }
}
