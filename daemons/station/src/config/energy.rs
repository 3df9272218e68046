//! The `[station.energy]` table.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use voltry_service::config::quantity;
use voltry_service::{Binding, Config, Problem};
use voltry_units::{Amps, Celsius, Watts};

use super::Settings;
use crate::energy::{Connection, Losses, Rules, Silence, Strategy};

/// How the power is shared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnergySettings {
    /// Who goes first where there is not enough.
    #[serde(default)]
    pub strategy: Strategy,
    /// Watts that each EVSE with a session is given before any is given more.
    #[serde(default, rename = "floor_w", deserialize_with = "quantity")]
    pub floor: Watts,
    /// Of what is taken from the mains, percent that come out at the EVSEs; 100 until it is said.
    pub efficiency_percent: Option<f64>,
    /// Watts that the station takes for itself.
    #[serde(default, rename = "own_consumption_w", deserialize_with = "quantity")]
    pub own_consumption: Watts,
    /// The meter at the grid connection.
    pub grid: Option<GridSettings>,
    /// The modules' temperature.
    pub temperature: Option<TemperatureSettings>,
    /// Origins of `SetLimit` that must repeat what they say.
    #[serde(default)]
    pub source: BTreeMap<String, SilenceSettings>,
}

/// `[station.energy.grid]`: a connection that others hang on too.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridSettings {
    /// The meter at the connection; it counts the station too.
    pub meter: Binding,
    /// Watts that everything behind it may take together.
    #[serde(rename = "limit_w", deserialize_with = "quantity")]
    pub limit: Watts,
    /// Amperes that each phase may carry.
    pub phase_limit_a: Option<f64>,
    /// Seconds without a reading after which the meter is silent.
    pub silent_after_s: u64,
    /// Watts that the station may take while it is.
    #[serde(rename = "silent_floor_w", deserialize_with = "quantity")]
    pub silent_floor: Watts,
}

/// `[station.energy.temperature]`: less while the modules are hot.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemperatureSettings {
    /// The racks; the hottest inlet counts.
    pub racks: Vec<Binding>,
    /// Degrees Celsius from which on the station takes less.
    #[serde(rename = "warm_c", deserialize_with = "quantity")]
    pub warm: Celsius,
    /// Degrees Celsius from which on it takes `floor_w`.
    #[serde(rename = "hot_c", deserialize_with = "quantity")]
    pub hot: Celsius,
    /// Seconds without a temperature after which `floor_w` holds too.
    pub silent_after_s: u64,
    /// Watts that the station may take then.
    #[serde(rename = "floor_w", deserialize_with = "quantity")]
    pub floor: Watts,
}

/// `[station.energy.source.ORIGIN]`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceSettings {
    /// Seconds after which an origin that does not repeat its limit of the station is silent.
    pub silent_after_s: u64,
    /// Watts that the station may take while it is.
    #[serde(rename = "floor_w", deserialize_with = "quantity")]
    pub floor: Watts,
}

impl From<&SilenceSettings> for Silence {
    fn from(settings: &SilenceSettings) -> Self {
        Self { after: Duration::from_secs(settings.silent_after_s), floor: settings.floor }
    }
}

impl EnergySettings {
    fn losses(&self) -> Losses {
        let percent = self.efficiency_percent.unwrap_or(100.0);
        // Checked to be between 50 and 100.
        #[allow(clippy::cast_possible_truncation)]
        let efficiency = (percent * 10.0).round() as i64;
        Losses { efficiency, own: self.own_consumption }
    }
}

impl Settings {
    /// What the sharing of power follows.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let energy = &self.energy;
        let connection = |grid: &GridSettings| Connection {
            limit: grid.limit,
            phase_limit: grid.phase_limit_a.and_then(|amps| Amps::from_si(amps).ok()),
            silent_after: Duration::from_secs(grid.silent_after_s),
            silent_floor: grid.silent_floor,
        };
        let temperature = |settings: &TemperatureSettings| {
            let after = Duration::from_secs(settings.silent_after_s);
            (settings.warm, settings.hot, Silence { after, floor: settings.floor })
        };
        Rules {
            strategy: energy.strategy,
            floor: energy.floor,
            losses: energy.losses(),
            limit: self.power_limit,
            connection: energy.grid.as_ref().map(connection),
            speakers: energy.source.iter().map(|(name, silence)| (name.clone(), silence.into())).collect(),
            temperature: energy.temperature.as_ref().map(temperature),
        }
    }
}

/// What contradicts itself in `[station.energy]`.
pub(super) fn problems(config: &Config, settings: &Settings) -> Vec<Problem> {
    let energy = &settings.energy;
    let mut wrong = Vec::new();
    if (50.0..=100.0).contains(&energy.efficiency_percent.unwrap_or(100.0)) {
        wrong.extend(wrong_floors(settings));
    } else {
        wrong.push(("efficiency_percent".to_owned(), "must be from 50 to 100".to_owned()));
    }
    let own = [("floor_w", energy.floor), ("own_consumption_w", energy.own_consumption)];
    wrong.extend(own.into_iter().filter_map(|(key, power)| not_negative(key, power)));
    wrong.extend(energy.grid.iter().flat_map(|grid| wrong_grid(settings, grid)));
    wrong.extend(energy.temperature.iter().flat_map(wrong_temperature));
    for (name, source) in &energy.source {
        if !crate::limits::is_origin(name) {
            wrong.push((format!("source.{name}"), crate::limits::NotTaken::Origin.to_string()));
        }
        wrong.extend(wrong_time(&format!("source.{name}.silent_after_s"), source.silent_after_s, 86_400));
        wrong.extend(not_negative(&format!("source.{name}.floor_w"), source.floor));
    }
    wrong.into_iter().map(|(key, text)| config.problem(&format!("station.energy.{key}"), text)).collect()
}

/// A key below `station.energy`, and what is wrong with it.
type Wrong = (String, String);

fn not_negative(key: &str, power: Watts) -> Option<Wrong> {
    (power < Watts::ZERO).then(|| (key.to_owned(), "must not be below 0".to_owned()))
}

/// What tells something every second may miss one.
fn wrong_time(key: &str, seconds: u64, most: u64) -> Option<Wrong> {
    (!(3..=most).contains(&seconds)).then(|| (key.to_owned(), format!("must be from 3 to {most}")))
}

fn wrong_floors(settings: &Settings) -> Option<Wrong> {
    let energy = &settings.energy;
    let connection = energy.grid.as_ref().map_or(Watts::MAX, |grid| grid.limit).min(settings.power_limit);
    let output = energy.losses().output(connection);
    let evses = settings.evse.len();
    let floors = energy.floor.scaled(i64::try_from(evses).unwrap_or(i64::MAX), 1);
    (floors > output).then(|| {
        let text =
            format!("{evses} EVSEs' floors sum to {floors}, but the station can deliver at most {output}");
        ("floor_w".to_owned(), text)
    })
}

fn wrong_grid(settings: &Settings, grid: &GridSettings) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    let mut say = |key: &str, text: String| wrong.push((key.to_owned(), text));
    if settings.energy.efficiency_percent.is_none() {
        let text = "the connection's limit is before the modules: say what they lose";
        say("efficiency_percent", text.to_owned());
    }
    if grid.limit <= Watts::ZERO {
        say("grid.limit_w", "must be above 0".to_owned());
    }
    if grid.phase_limit_a.is_some_and(|amps| !(1.0..=10_000.0).contains(&amps)) {
        say("grid.phase_limit_a", "must be from 1 to 10000".to_owned());
    }
    if grid.silent_floor < Watts::ZERO || grid.silent_floor > grid.limit {
        say("grid.silent_floor_w", "must be from 0 to limit_w".to_owned());
    }
    for (number, evse) in &settings.evse {
        if evse.energy_meter == grid.meter {
            say("grid.meter", format!("this meter bills EVSE {number}: it is not at the connection"));
        }
    }
    wrong.extend(wrong_time("grid.silent_after_s", grid.silent_after_s, 600));
    wrong
}

fn wrong_temperature(temperature: &TemperatureSettings) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    if temperature.racks.is_empty() {
        wrong.push(("temperature.racks".to_owned(), "names no rack".to_owned()));
    }
    if temperature.warm >= temperature.hot {
        wrong.push(("temperature.warm_c".to_owned(), "must be below hot_c".to_owned()));
    }
    wrong.extend(wrong_time("temperature.silent_after_s", temperature.silent_after_s, 600));
    wrong.extend(not_negative("temperature.floor_w", temperature.floor));
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::{GOOD, check};

    const GRID: &str = r#"
        [station.energy]
        strategy = "priority"
        floor_w = 10000
        efficiency_percent = 95.5
        own_consumption_w = 800
        [station.energy.grid]
        meter = { name = "org.voltry.Meter.Grid", path = "/org/voltry/energy_meter/grid" }
        limit_w = 250000
        silent_after_s = 5
        silent_floor_w = 20000
        [station.energy.source.ems]
        silent_after_s = 60
        floor_w = 10000
    "#;

    #[test]
    fn what_is_written_is_what_the_sharing_follows() {
        let rules = check(&format!("{GOOD}{GRID}")).unwrap().rules();
        assert_eq!((rules.strategy, rules.floor), (Strategy::Priority, Watts::new(10_000)));
        assert_eq!(rules.losses, Losses { efficiency: 955, own: Watts::new(800) });
        assert_eq!(rules.connection.unwrap().silent_floor, Watts::new(20_000));
        assert_eq!(rules.speakers.len(), 1);
        let without = check(GOOD).unwrap().rules();
        assert_eq!(without.losses.output(Watts::new(150_000)), Watts::new(150_000));
    }

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_reason() {
        for (from, to, reason) in [
            ("floor_w = 10000", "floor_w = 150000", "1 EVSEs' floors sum to 150000 W, but"),
            ("limit_w = 250000", "limit_w = 5000", "floors sum to 10000 W"),
            ("efficiency_percent = 95.5", "", "say what they lose"),
            ("efficiency_percent = 95.5", "efficiency_percent = 4", "from 50 to 100"),
            ("silent_floor_w = 20000", "silent_floor_w = 300000", "from 0 to limit_w"),
            ("silent_after_s = 5", "silent_after_s = 1", "from 3 to 600"),
            ("source.ems", "source.EMS", "small letters"),
            ("Meter.Grid", "Meter.Dc1", "bills EVSE 1"),
        ] {
            let bad = GRID.replace(from, to);
            let bad = bad.replace(
                "Dc1\", path = \"/org/voltry/energy_meter/grid",
                "Dc1\", path = \"/org/voltry/energy_meter/dc1",
            );
            let error = check(&format!("{GOOD}{bad}")).unwrap_err();
            assert!(error.contains(reason), "{to}: {error}");
        }
    }
}
