//! The `[power]` table of `voltry.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use voltry_canlink::CanPort;
use voltry_power_module::{Family, Range, Request};
use voltry_service::config::duration_ms;
use voltry_service::{Binding, Config, ConfigError, Problem, Provision};
use voltry_units::{Amps, Volts, Watts};

use crate::load;
use crate::matrix::MatrixSettings;
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
    /// `[power.group.NAME]`: modules behind a matrix, each group of one supply's kind.
    #[serde(default)]
    pub group: BTreeMap<String, Supply>,
    /// `[power.matrix]`: the EVSEs that share those groups.
    #[serde(default)]
    pub matrix: Option<MatrixSettings>,
    /// `[power.monitor.NAME]`: insulation monitors, each alone on a CAN bus.
    #[serde(default)]
    pub monitor: BTreeMap<String, Monitor>,
}

/// `[power.supply.N]`: the modules that feed one EVSE; `[power.group.NAME]`: a group behind a matrix.
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
    /// The EVSEs that a group behind a matrix can be joined to; all, if none is named.
    #[serde(default)]
    pub evses: BTreeSet<u32>,
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
/// An EVSE takes older readings for missing.
const READING_COUNTS: Duration = Duration::from_millis(300);
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

/// The D-Bus path of a group behind a matrix.
#[must_use]
pub fn group_path(group: &str) -> String {
    voltry_bus::names::path("module_group", group)
}

/// Reads and checks `[power]`.
///
/// # Errors
/// All that is wrong with it, by file and line.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let settings: Settings = config.load("power")?;
    let mut problems = Vec::new();
    let mut objects = Vec::new();
    let supplies = settings.supply.iter().map(|(name, supply)| ("supply", name, supply, path(name)));
    let groups = settings.group.iter().map(|(name, group)| ("group", name, group, group_path(name)));
    for (kind, name, supply, path) in supplies.chain(groups) {
        let table = format!("power.{kind}.{name}");
        problems.extend(supply.problems().into_iter().map(|text| config.problem(&table, text)));
        if !settings.bus.contains_key(&supply.bus) {
            let text = format!("there is no [power.bus.{}]", supply.bus);
            problems.push(config.problem(&format!("{table}.bus"), text));
        }
        match Binding::new(voltry_bus::names::POWER, &path) {
            Ok(binding) => objects.push(binding),
            Err(error) => problems.push(config.problem(&table, error)),
        }
        if kind == "supply" && !supply.evses.is_empty() {
            problems.push(config.problem(&format!("{table}.evses"), "evses: of a [power.group.NAME] alone"));
        }
    }
    problems.extend(matrix_problems(&settings).into_iter().map(|text| config.problem("power.matrix", text)));
    for evse in settings.matrix.iter().flat_map(|matrix| &matrix.evses) {
        match Binding::new(voltry_bus::names::POWER, &path(&evse.to_string())) {
            Ok(binding) => objects.push(binding),
            Err(error) => problems.push(config.problem("power.matrix.evses", error)),
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
    problems.extend(too_seldom(config, &settings));
    for (bus, port) in &settings.bus {
        let table = format!("power.bus.{bus}");
        if let Some((other, _)) =
            settings.bus.iter().find(|(name, other)| *name < bus && is_same(other, port))
        {
            let text = format!("is [power.bus.{other}] as well: its modules would obey the supplies of both");
            problems.push(config.problem(&table, text));
        }
        problems.extend(shared_bus(&settings, bus).into_iter().map(|text| config.problem(&table, text)));
    }
    if problems.is_empty() { Ok(Provision { objects, settings }) } else { Err(ConfigError(problems)) }
}

/// Whether both lead to one wire.
fn is_same(one: &CanPort, other: &CanPort) -> bool {
    match (one, other) {
        (CanPort::Socketcan { interface: one }, CanPort::Socketcan { interface: other })
        | (CanPort::Slcan { device: one, .. }, CanPort::Slcan { device: other, .. }) => one == other,
        (CanPort::Socketcan { .. }, CanPort::Slcan { .. })
        | (CanPort::Slcan { .. }, CanPort::Socketcan { .. }) => false,
    }
}

/// Modules that cannot be asked, and report less often than an EVSE takes a reading for the present: it would
/// open its contactors, and never charge.
fn too_seldom(config: &Config, settings: &Settings) -> Vec<Problem> {
    let bindings = config.bindings();
    let bound = |path: &str| {
        let supply = Binding::new(voltry_bus::names::POWER, path).ok()?;
        let (place, _) = bindings.iter().find(|(_, binding)| *binding == supply)?;
        Some(format!("EVSE {}", place.strip_prefix("evse.")?.strip_suffix(".power_supply")?))
    };
    let supplies = settings.supply.iter().map(|(name, supply)| ("supply", name, supply, bound(&path(name))));
    let groups =
        settings.group.iter().map(|(name, group)| ("group", name, group, Some("an EVSE".to_owned())));
    let seldom = supplies.chain(groups).filter_map(|(kind, name, supply, whom)| {
        let reports = supply.family.reports.filter(|reports| reports.every > READING_COUNTS)?;
        let text = format!(
            "{} modules cannot be asked and report each {} ms: {} takes no reading older than {} ms, and would never \
             charge with them",
            supply.family.name,
            reports.every.as_millis(),
            whom?,
            READING_COUNTS.as_millis()
        );
        Some(config.problem(&format!("power.{kind}.{name}.family"), text))
    });
    seldom.collect()
}

fn matrix_problems(settings: &Settings) -> Vec<String> {
    let Some(matrix) = &settings.matrix else {
        let text = "groups are joined to EVSEs by a [power.matrix]: there is none".to_owned();
        return if settings.group.is_empty() { Vec::new() } else { vec![text] };
    };
    let mut problems = matrix.problems(&settings.group);
    let twice = matrix.evses.iter().filter(|evse| settings.supply.contains_key(&evse.to_string()));
    problems.extend(twice.map(|evse| format!("evses: EVSE {evse} has a [power.supply.{evse}] of its own")));
    problems
}

/// What is wrong with the supplies of one bus together.
fn shared_bus(settings: &Settings, bus: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let all = settings.supply.values().chain(settings.group.values());
    let supplies: Vec<_> = all.filter(|supply| supply.bus == bus).collect();
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
mod tests;
