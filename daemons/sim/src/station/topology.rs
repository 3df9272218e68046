//! What the station consists of: how many EVSEs, what is behind each, which vehicle comes.

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::uplink::Uplink;
use crate::electrical::CircuitConfig;
use crate::hardware::Family;
use crate::vehicle::VehicleConfig;

/// Discharges an EVSE's side of a matrix.
const BAR_OHMS: f64 = 50e3;
/// The most EVSEs one simulator carries.
const EVSES_MAX: u32 = 16;

/// What can stand in the file, for `--help`.
pub const HELP: &str = "\
TOPOLOGY (TOML; every key has a default)
  name = \"…\"             the station's name
  power_limit = 0.0       W that all EVSEs together may take; 0: no limit beyond the modules'
  free = true             anybody may charge; else who has one of the tokens
  tokens = []             the local list of tokens
  powerline = true        vehicles are matched over powerline modems; else Ethernet leads to them
  family = \"infypower\"    what power modules there are: infypower, infypower-beg, uugreenpower,
                          maxwell-mxr, tonhe, huawei-r100040gx
  monitor = \"isocha425hv\" what insulation monitors there are: isocha425hv, rn5893
  readers = false         each EVSE has a card reader, which swipe goes through; else swipe asks the station
  evses = 1               how many EVSEs
  groups = []             how many modules each group has that all EVSEs share through a matrix of
                          contactors; none: each EVSE has modules of its own
  evses_per_bus = 1       how many EVSEs have the modules of their own on one bus
  registers = \"DIR\"       where the meters keep what they have counted; else they begin anew each time
  [[evse]]                the EVSEs one by one, in order
  modules = 3             how many power modules
  monitor_pace = 1        how many times faster than in the field the insulation monitor is
  can = { station = \"can0\", modules = \"can1\" }  two interfaces of the kernel on one wire, the daemons'
                          and the modules'; else an slcan adapter leads to the modules
  lock = false            the station locks the plug, as one without a cable of its own does
  vehicle = { … }         capacity_wh, soc, target_soc, voltage_max, current_max, power_max,
                          turnaround_ms, authorization_patience_s, evcc_id,
                          gives (A that it gives back, down to target_soc; needs infypower-beg modules),
                          renegotiates_at (percent at which it opens S2 and agrees anew);
                          program (holds the conversation instead of ours), matches (SLAC too)
  screen = \"127.0.0.1:8080\"  where browsers find the screen's page; else there is no screen
  [uplink]                csms, identity, version, variables, profile: as --csms and the like
  without = []            daemons that somebody else plays, as their logs are named: power, meter-dc1, …;
                          an EVSE without its evse-N is not waited for
  broker_first = false    the bus goes before others, as our packages have it and no distribution
  [config.…]              tables added to the daemons' voltry.toml; they win over what is there";

/// A station. Every key has a default; an empty file is a station of one EVSE.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    /// The station's name.
    pub name: String,
    /// Watts that all EVSEs together may take; 0: no limit beyond the modules'.
    pub power_limit: f64,
    /// Whether anybody may charge; else only who has one of `tokens`.
    pub free: bool,
    /// The local list of tokens.
    pub tokens: Vec<String>,
    /// Whether vehicles are matched over powerline modems; else Ethernet leads straight to them.
    pub powerline: bool,
    /// What family the power modules are of.
    pub family: Family,
    /// What insulation monitors there are.
    pub monitor: Monitor,
    /// Whether each EVSE has a card reader.
    pub readers: bool,
    /// How many modules each group has that all EVSEs share through a matrix; none: they have their own.
    pub groups: Vec<usize>,
    /// How many EVSEs have the modules of their own on one bus.
    pub evses_per_bus: u32,
    /// The folder in which the meters keep what they have counted; without it they begin anew each time.
    pub registers: Option<PathBuf>,
    /// How many EVSEs; those that `evse` does not describe are as its defaults.
    pub evses: u32,
    /// The EVSEs one by one, in order.
    pub evse: Vec<EvseParts>,
    /// The CSMS; without it the station has none.
    pub uplink: Option<Uplink>,
    /// Where browsers find the screen's page; without it the station has no screen.
    pub screen: Option<SocketAddr>,
    /// Daemons that are not started: somebody else plays their roles.
    pub without: Vec<String>,
    /// Whether the message broker goes before other programs as the daemons do, which our packages have it do
    /// (`dbus.service.d/50-voltry.conf`) and no distribution.
    pub broker_first: bool,
    /// Added to the daemons' configuration, table by table; wins over what is written here.
    pub config: toml::Table,
}

/// An insulation monitor, by the name that the configuration has for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Monitor {
    /// Bender isoCHA425HV.
    #[default]
    IsoCha425Hv,
    /// Dold RN5893.
    Rn5893,
}

impl Monitor {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::IsoCha425Hv => "isocha425hv",
            Self::Rn5893 => "rn5893",
        }
    }
}

/// One EVSE and the vehicle that comes to it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvseParts {
    /// How many power modules.
    pub modules: usize,
    /// How many times faster than in the field the insulation monitor tests itself and measures.
    pub monitor_pace: u32,
    /// The kernel's interfaces that lead to the modules; without them an slcan adapter does.
    pub can: Option<Controllers>,
    /// Whether the station locks the plug.
    pub lock: bool,
    /// The vehicle.
    pub vehicle: VehicleConfig,
}

/// Two CAN controllers of the machine on one wire.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Controllers {
    /// The interface that the daemons use.
    pub station: String,
    /// The interface that the modules speak through.
    pub modules: String,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            name: "Voltry simulation".to_owned(),
            power_limit: 0.0,
            free: true,
            tokens: Vec::new(),
            powerline: true,
            family: Family::default(),
            monitor: Monitor::default(),
            readers: false,
            groups: Vec::new(),
            evses_per_bus: 1,
            registers: None,
            evses: 1,
            evse: Vec::new(),
            uplink: None,
            screen: None,
            without: Vec::new(),
            broker_first: false,
            config: toml::Table::new(),
        }
    }
}

impl Default for EvseParts {
    fn default() -> Self {
        Self { modules: 3, monitor_pace: 1, can: None, lock: false, vehicle: VehicleConfig::default() }
    }
}

impl EvseParts {
    /// Its circuit, without modules of its own.
    #[must_use]
    pub fn bare_circuit() -> CircuitConfig {
        CircuitConfig { bar_ohms: BAR_OHMS, ..CircuitConfig::of_modules(0) }
    }

    /// Its circuit, with modules of a family.
    #[must_use]
    pub fn circuit(&self, family: Family) -> CircuitConfig {
        CircuitConfig {
            modules: vec![family.rating(); self.modules],
            ..CircuitConfig::of_modules(self.modules)
        }
    }
}

impl Topology {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or something in it makes no sense.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let topology: Self = toml::from_str(&text).with_context(|| file.display().to_string())?;
        topology.check()?;
        Ok(topology)
    }

    /// Sets the number of EVSEs.
    ///
    /// # Errors
    /// Too many, or none.
    pub fn with_evses(mut self, evses: u32) -> anyhow::Result<Self> {
        self.evses = evses;
        self.check()?;
        Ok(self)
    }

    /// The EVSEs by their numbers, from 1.
    pub fn evses(&self) -> impl Iterator<Item = (u32, EvseParts)> {
        (1..=self.evses).map(|evse| {
            let index = usize::try_from(evse - 1).unwrap_or(usize::MAX);
            (evse, self.evse.get(index).cloned().unwrap_or_default())
        })
    }

    /// The EVSE after which the bus of an EVSE's modules is named, and how many modules come before its own there.
    #[must_use]
    pub fn bus_of(&self, evse: u32) -> (u32, usize) {
        let first = evse.saturating_sub(1) / self.evses_per_bus * self.evses_per_bus + 1;
        let before = self.evses().filter(|(other, _)| (first..evse).contains(other));
        (first, before.map(|(_, parts)| parts.modules).sum())
    }

    /// The buses on which the groups are, by name, each with its groups: one, unless modules on a bus are one group.
    #[must_use]
    pub fn buses_of_groups(&self) -> Vec<(String, Range<usize>)> {
        let all = 0..self.groups.len();
        if self.family.shares_a_group() {
            return all.map(|place| (format!("can-{}", group_name(place)), place..place + 1)).collect();
        }
        vec![("can".to_owned(), all)]
    }

    /// The EVCCID of the vehicle at an EVSE; unless it is configured, a locally administered MAC address.
    #[must_use]
    pub fn evcc_id(&self, evse: u32) -> [u8; 6] {
        let made_up = [0x02, 0x56, 0x4f, 0x4c, 0x54, u8::try_from(evse).unwrap_or(u8::MAX)];
        let mut evses = self.evses();
        let parts = evses.find(|(number, _)| *number == evse);
        parts.and_then(|(_, parts)| parts.vehicle.evcc_id).unwrap_or(made_up)
    }

    fn check(&self) -> anyhow::Result<()> {
        if !(1..=EVSES_MAX).contains(&self.evses) {
            bail!("{} EVSEs: there can be 1 to {EVSES_MAX}", self.evses);
        }
        if self.groups.contains(&0) || self.groups.iter().sum::<usize>() > 16 {
            bail!("groups have a module each, and 16 together at most");
        }
        let apart = self.evses_per_bus == 1;
        if self.evses_per_bus == 0 || !apart && (self.family.shares_a_group() || !self.groups.is_empty()) {
            bail!("evses_per_bus: modules of one address each, and none behind a matrix, can share a bus");
        }
        for (evse, parts) in self.evses() {
            let (_, before) = self.bus_of(evse);
            if !apart && (parts.can.is_some() || before + parts.modules > 16) {
                bail!("EVSE {evse}: a bus that EVSEs share has 16 modules at most, behind an slcan adapter");
            }
            if !(1..=16).contains(&parts.modules) {
                bail!("EVSE {evse} has {} modules: there can be 1 to 16", parts.modules);
            }
            if !(1..=10).contains(&parts.monitor_pace) {
                bail!("EVSE {evse}: monitor_pace = {}: 1 to 10", parts.monitor_pace);
            }
            if parts.can.is_some() && !self.groups.is_empty() {
                bail!("EVSE {evse}: groups are behind one slcan adapter, not behind evse.can");
            }
            let vehicle = &parts.vehicle;
            if vehicle.matches && (vehicle.program.is_empty() || !self.powerline) {
                bail!("EVSE {evse}: vehicle.matches needs a vehicle.program, and a powerline");
            }
            let quantities =
                [vehicle.capacity_wh, vehicle.voltage_max, vehicle.current_max, vehicle.power_max];
            if !quantities.iter().all(|value| value.is_finite() && *value > 0.0) {
                bail!("EVSE {evse}: the vehicle's capacity and limits must be above 0");
            }
            let gives = vehicle.gives > 0.0 && self.family.feeds_back();
            if !(gives || vehicle.gives.abs() <= 0.0) {
                bail!("EVSE {evse}: vehicle.gives is above 0, to modules that feed back: infypower-beg");
            }
            if !(0.0..=100.0).contains(&vehicle.soc) || !(0.0..=100.0).contains(&vehicle.target_soc) {
                bail!("EVSE {evse}: states of charge are 0 to 100 percent");
            }
        }
        Ok(())
    }
}

/// `a`, `b`, …
#[must_use]
pub fn group_name(place: usize) -> String {
    let letter = u8::try_from(place).ok().and_then(|place| b'a'.checked_add(place));
    char::from(letter.unwrap_or(b'z')).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_a_station_of_one_evse() {
        let topology: Topology = toml::from_str("").unwrap();
        assert_eq!(topology.evses().count(), 1);
        topology.check().unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "evses = 0",
            "evses = 99",
            "[[evse]]\nmodules = 0",
            "groups = [1, 0]",
            "groups = [9, 9]",
            "[[evse]]\nmonitor_pace = 0",
            "groups = [1]\n[[evse]]\ncan = { station = 'can0', modules = 'can1' }",
            "[[evse]]\nvehicle.capacity_wh = -1.0",
            "[[evse]]\nvehicle.soc = 101.0",
            "[[evse]]\nvehicle.gives = 20.0",
            "family = 'infypower-beg'\n[[evse]]\nvehicle.gives = -20.0",
            "[[evse]]\nvehicle.matches = true",
            "powerline = false\n[[evse]]\nvehicle.matches = true\nvehicle.program = ['pev']",
        ] {
            let topology: Topology = toml::from_str(text).unwrap();
            assert!(topology.check().is_err(), "{text}");
        }
        assert!(toml::from_str::<Topology>("evsse = 1").is_err());
    }

    #[test]
    fn a_monitor_has_one_name_in_the_topology_and_in_the_configuration() {
        for monitor in [Monitor::IsoCha425Hv, Monitor::Rn5893] {
            let read: Monitor = toml::Value::String(monitor.name().to_owned()).try_into().unwrap();
            assert_eq!(read, monitor);
        }
    }

    #[test]
    fn help_names_every_key() {
        for wrong in ["x = 1", "[[evse]]\nx = 1", "[[evse]]\nvehicle.x = 1", "[uplink]\nx = 1"] {
            let told = toml::from_str::<Topology>(wrong).unwrap_err().message().to_owned();
            let (_, keys) = told.split_once("expected one of ").unwrap();
            let words: Vec<&str> = HELP.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            for key in keys.split(", ") {
                assert!(words.contains(&key.trim_matches('`')), "{key} is not in --help");
            }
        }
    }

    #[test]
    fn undescribed_evses_are_as_the_defaults() {
        let topology: Topology = toml::from_str("evses = 2\n[[evse]]\nmodules = 1").unwrap();
        let modules: Vec<usize> = topology.evses().map(|(_, parts)| parts.modules).collect();
        assert_eq!(modules, [1, EvseParts::default().modules]);
    }
}
