//! The `[power]` table of `voltry.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use voltry_canlink::CanPort;
use voltry_power_module::{Family, Range, Request};
use voltry_service::config::duration_ms;
use voltry_service::{Binding, Config, ConfigError, Provision};
use voltry_units::{Amps, Volts, Watts};

use crate::load;
use crate::monitor::{self, Monitor};
use crate::ways::{Discharge, RangeChoice, Rating, Ways, limit, narrower};

/// `[power]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `[power.bus.NAME]`: the CAN buses.
    pub bus: BTreeMap<String, CanPort>,
    /// `[power.supply.N]`: the supplies, each one object on the bus.
    #[serde(default)]
    pub supply: BTreeMap<String, Supply>,
    /// `[power.monitor.NAME]`: insulation monitors, each alone on a CAN bus.
    #[serde(default)]
    pub monitor: BTreeMap<String, Monitor>,
}

/// `[power.supply.N]`: the modules that feed one EVSE.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Supply {
    /// The modules' protocol, by its name.
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
    /// What one module is rated for, where its family does not tell.
    pub rating: Option<Rating>,
    /// What may be taken from a vehicle, where the modules can; nothing if not given.
    pub discharge: Option<Discharge>,
    /// Which output range the modules use, where they have several.
    pub range: Option<RangeChoice>,
    /// Volts that the low range reaches; 500 if not given.
    #[serde(default, deserialize_with = "limit")]
    pub low_range_max: Option<Volts>,
    /// Milliseconds for which a module that hears nobody delivers, where its family's document does
    /// not say it; 0: it never stops by itself.
    #[serde(default, rename = "silence_limit_ms", deserialize_with = "some_ms")]
    pub silence_limit: Option<Duration>,
    /// Whether modules ramp slowly when they switch on. Off, since PreCharge has no time for it.
    #[serde(default)]
    pub walk_in: bool,
    /// Milliseconds after which a silent module is certainly off, so that the others may take its
    /// current. A second longer than it delivers by itself at the least, five if not given.
    #[serde(default, rename = "lost_after_ms", deserialize_with = "some_ms")]
    pub lost_after: Option<Duration>,
    /// Milliseconds without an answer after which a module no longer counts as available.
    #[serde(default = "silent_after", rename = "silent_after_ms", deserialize_with = "duration_ms")]
    pub silent_after: Duration,
    /// Milliseconds of idleness after which the modules sleep; 0: never.
    #[serde(default = "sleep_after", rename = "sleep_after_ms", deserialize_with = "duration_ms")]
    pub sleep_after: Duration,
}

/// `lost_after` is longer than a module delivers by itself: at the least, and if not given.
const LOST_LATER_LEAST: Duration = Duration::from_secs(1);
const LOST_LATER: Duration = Duration::from_secs(5);
/// Of a low range that is not given.
const LOW_RANGE_MAX: Volts = Volts::new(500);

fn some_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration_ms(deserializer).map(Some)
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

impl Supply {
    /// How many modules there should be.
    #[must_use]
    pub fn expected(&self) -> usize {
        if self.group.is_some() { self.count } else { self.modules.len() }
    }

    /// For how long a module delivers that hears nobody; `None`: it never stops by itself.
    pub(crate) fn delivers_alone(&self) -> Option<Duration> {
        self.silence_limit.or(self.family.silence_limit).filter(|limit| !limit.is_zero())
    }

    /// After what silence a module is certainly off; `None`: never.
    #[must_use]
    pub fn lost_after(&self) -> Option<Duration> {
        let alone = self.delivers_alone()?;
        Some(self.lost_after.unwrap_or(alone + LOST_LATER))
    }

    pub(crate) fn ways(&self) -> Ways {
        let rating = match (self.rating.map(Rating::capability), self.family.rating) {
            (Some(rating), Some(family)) => Some(narrower(rating, family)),
            (rating, family) => rating.or(family),
        };
        Ways {
            family: self.family,
            rating,
            range: self.range.or_else(|| self.family.ranges.first().map(|range| (*range).into())),
            low_range_max: self.low_range_max.unwrap_or(LOW_RANGE_MAX),
            silence: self.delivers_alone(),
            cut_off: self.discharge.map(|limits| limits.voltage_min),
        }
    }

    fn rating_problem(&self) -> Option<String> {
        let tells = self.family.supports(Request::ReadCapability) || self.family.rating.is_some();
        match self.rating {
            None if !tells => Some(format!(
                "rating: {} modules do not tell what they are rated for: give voltage_min, voltage_max, \
                 current_max and power_max of one",
                self.family.name
            )),
            Some(rating) if !rating.is_possible() => Some("rating: no module is rated so".into()),
            Some(_) | None => None,
        }
    }

    fn range_problem(&self) -> Option<String> {
        let range = self.range?;
        let has = |range| self.family.ranges.contains(&range);
        let possible = match range {
            RangeChoice::High => has(Range::High),
            RangeChoice::Low => has(Range::Low),
            RangeChoice::Automatic => has(Range::Automatic),
            RangeChoice::ByVoltage => has(Range::High) && has(Range::Low),
        };
        (!possible).then(|| format!("range: {} modules cannot be told this one", self.family.name))
    }

    fn discharge_problem(&self) -> Option<String> {
        let limits = self.discharge?;
        if !self.family.supports(Request::SetDirection { inverting: true }) {
            return Some(format!("discharge: {} modules cannot", self.family.name));
        }
        (!limits.is_possible()).then(|| "discharge: a limit of zero or less".into())
    }

    fn silence_problem(&self) -> Option<String> {
        let published = self.family.silence_limit;
        let Some(known) = self.silence_limit.or(published) else {
            return Some(format!(
                "silence_limit_ms: for how long a {} module delivers that hears nobody is not published: \
                 measure it, or give 0 if it never stops by itself",
                self.family.name
            ));
        };
        if published.is_some_and(|published| !known.is_zero() && known < published) {
            return Some("silence_limit_ms: less than the family's document says".into());
        }
        match (self.delivers_alone(), self.lost_after) {
            (None, Some(_)) => {
                Some("lost_after_ms: a module that never stops by itself is never certainly off".into())
            }
            (Some(alone), Some(lost)) if lost < alone + LOST_LATER_LEAST => Some(format!(
                "lost_after_ms: at least {}: a module that hears nobody delivers for {} s",
                (alone + LOST_LATER_LEAST).as_millis(),
                alone.as_secs_f64()
            )),
            (Some(_) | None, _) => None,
        }
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
        if self.family.grouped && self.group.is_none() {
            problems.push(format!(
                "{} modules are spoken to by group: give `group` and `count`",
                self.family.name
            ));
        }
        if self.group.is_some_and(|group| self.family.grouped && !self.family.addresses.contains(&group)) {
            problems.push(format!("{} modules have no such group", self.family.name));
        }
        if self.group.is_some() && !self.family.tells_group && !self.family.grouped {
            problems.push(format!(
                "{} modules are not found by their group; name their addresses",
                self.family.name
            ));
        }
        problems.extend(self.rating_problem().into_iter().chain(self.range_problem()));
        problems.extend(self.silence_problem().into_iter().chain(self.discharge_problem()));
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
    for (name, one) in &settings.monitor {
        let table = format!("power.monitor.{name}");
        problems.extend(one.check().err().map(|text| config.problem(&format!("{table}.settings"), text)));
        if !settings.bus.contains_key(one.bus()) {
            let text = format!("there is no [power.bus.{}]", one.bus());
            problems.push(config.problem(&format!("{table}.bus"), text));
        }
        match Binding::new(voltry_bus::names::POWER, &monitor::config::path(name)) {
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
    let monitors = settings.monitor.values().filter(|monitor| monitor.bus() == bus).count();
    match (supplies.len(), monitors) {
        (0, 0) => problems.push("no supply and no monitor is on it".into()),
        (1.., 0) | (0, 1) => {}
        (_, _) => problems.push("an insulation monitor has a bus of its own".into()),
    }
    let modules: usize = supplies.iter().map(|supply| supply.expected()).sum();
    let most = supplies.iter().map(|supply| load::modules_max(supply.family)).min().unwrap_or(u32::MAX);
    if let Ok(count) = u32::try_from(modules)
        && count > most
    {
        let full = supplies.iter().map(|supply| load::per_mille(supply.family, count)).max().unwrap_or(0);
        problems.push(format!(
            "{modules} modules; at most {most} can be read in time, and these would fill the bus to {}.{} %",
            full / 10,
            full % 10
        ));
    }
    if supplies.len() > 1 && supplies.iter().any(|supply| supply.family.grouped) {
        problems.push("answers of such modules do not say which group they are of: one supply a bus".into());
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
        assert_eq!(supply.lost_after(), Some(Duration::from_secs(15)));
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
            (supply("modules = [0]").replace("infypower", "acme"), "known are infypower, infypower-beg"),
            (
                supply("modules = [0]") + &supply("modules = [0]").replace("supply.1", "supply.2"),
                "module 0 belongs to two supplies",
            ),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
        }
    }

    #[test]
    fn what_modules_of_a_family_do_not_tell_must_be_said() {
        let rating = |volts| {
            format!(
                "rating = {{ voltage_min = {volts}, voltage_max = 1000.0, current_max = 50.0, power_max = 20000.0 }}"
            )
        };
        let supply = |family: &str, more: &str| {
            format!("[power.supply.1]\nfamily = '{family}'\nbus = 'main'\nmodules = [1]\n{more}\n")
        };
        let whole = rating("150.0") + "\nsilence_limit_ms = 8000";
        let settings = read(&supply("uugreenpower", &whole)).unwrap();
        assert_eq!(settings.supply["1"].lost_after(), Some(Duration::from_secs(13)));
        let settings = read(&supply("uugreenpower", &whole.replace("8000", "0"))).unwrap();
        assert_eq!(settings.supply["1"].lost_after(), None, "it never stops by itself");
        let settings = read(&supply("huawei-r100040gx", &whole)).unwrap();
        let rating_of = |settings: &Settings| settings.supply["1"].ways().rating.unwrap();
        assert_eq!(rating_of(&settings).current_max, Amps::new(50), "the lower of both");
        let discharge = "\ndischarge = { voltage_min = 150.0, current_max = 10.0, power_max = 5000.0 }";
        for (text, wanted) in [
            (supply("uugreenpower", "silence_limit_ms = 8000"), "rating: uugreenpower"),
            (supply("uugreenpower", &rating("150.0")), "silence_limit_ms: for how long"),
            (supply("uugreenpower", &(rating("1000.0") + "\nsilence_limit_ms = 1")), "no module is rated so"),
            (supply("uugreenpower", &(whole.clone() + "\nlost_after_ms = 8999")), "at least 9000"),
            (
                supply("uugreenpower", &(whole.replace("8000", "0") + "\nlost_after_ms = 60000")),
                "never certainly off",
            ),
            (supply("tonhe", &(rating("150.0") + "\nsilence_limit_ms = 5000")), "less than the family's"),
            (supply("maxwell-mxr", &(whole.clone() + "\nrange = 'low'")), "range: maxwell-mxr"),
            (supply("huawei-r100040gx", &(whole.clone() + "\nrange = 'by_voltage'")), "range: huawei"),
            (supply("maxwell-mxr", &whole).replace("[1]", "[64]"), "has address 64"),
            (
                supply("maxwell-mxr", &whole).replace("modules = [1]", "group = 1\ncount = 2"),
                "name their addresses",
            ),
            (supply("infypower-beg", &whole), "give `group` and `count`"),
            (
                supply("infypower-beg", &whole).replace("modules = [1]", "group = 60\ncount = 2"),
                "have no such group",
            ),
            (
                supply("tonhe", &(whole.replace("8000", "20000") + discharge)),
                "discharge: tonhe modules cannot",
            ),
            (supply("maxwell-mxr", &whole).replace("[1]", "[1, 2, 3, 4, 5, 6, 7, 8, 9]"), "at most 8 can"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
        }
    }

    #[test]
    fn a_monitor_is_alone_on_its_bus_and_its_settings_are_its_own() {
        let monitor = "[power.monitor.imd1]\nbus = 'main'\n";
        let settings = read(&format!("{monitor}model = 'sim100'\nsettings = {{ voltage_max = 920 }}\n"));
        assert_eq!(settings.unwrap().monitor.len(), 1);
        let supply = "[power.supply.1]\nfamily = 'infypower'\nbus = 'main'\nmodules = [0]\n";
        for (text, wanted) in [
            (format!("{monitor}model = 'iso165c'\n{supply}"), "a bus of its own"),
            (
                format!("{monitor}model = 'iso165c'\nsettings = {{ mean_factor = 21 }}"),
                "mean_factor is 1 to 20",
            ),
            (format!("{monitor}model = 'sim100'\nsettings = {{ mean_factor = 1 }}"), "mean_factor"),
            (format!("{monitor}model = 'sim200'\n"), "sim200"),
            (monitor.replace("main", "other") + "model = 'sim100'\n", "there is no [power.bus.other]"),
            (String::new(), "no supply and no monitor"),
        ] {
            let error = read(&text).unwrap_err();
            assert!(error.contains(wanted), "{wanted:?} is not in {error:?}");
        }
    }
}
