//! What amperes of a charging profile are, `[ocpp.amperes]`.

use serde::Deserialize;
use voltry_units::Volts;

use crate::profiles::{Amperes, Supply};

/// What amperes are, and how they become watts.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmpereSettings {
    /// Whose they are.
    #[serde(default)]
    pub of: AmperesOf,
    /// Volts that an ampere is worth; of the grid, between a phase and neutral.
    pub voltage_v: Option<f64>,
    /// Phases that a limit is for which names none.
    #[serde(default = "default_phases")]
    pub phases: i32,
}

/// Whose amperes they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AmperesOf {
    /// The grid's: what the station takes on each phase.
    #[default]
    Grid,
    /// What the vehicle is given.
    Output,
}

const fn default_phases() -> i32 {
    3
}

impl Default for AmpereSettings {
    fn default() -> Self {
        Self { of: AmperesOf::default(), voltage_v: None, phases: default_phases() }
    }
}

impl AmpereSettings {
    /// How amperes become watts.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    pub fn supply(&self) -> Result<Supply, (&'static str, String)> {
        if !(1..=3).contains(&self.phases) {
            return Err(("phases", format!("{} phases: it is 1, 2 or 3", self.phases)));
        }
        let usual = match self.of {
            AmperesOf::Grid => 230.0,
            AmperesOf::Output => 400.0,
        };
        let volts = Volts::from_si(self.voltage_v.unwrap_or(usual));
        let volts = volts.map_err(|error| ("voltage_v", error.to_string()))?;
        if volts < Volts::new(1) {
            return Err(("voltage_v", "must be at least 1 V".to_owned()));
        }
        let millivolts = volts.as_milli();
        let amperes = match self.of {
            AmperesOf::Grid => Amperes::Grid { phase_to_neutral_mv: millivolts },
            AmperesOf::Output => Amperes::Output { nominal_mv: millivolts },
        };
        Ok(Supply { amperes, phases: self.phases })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Supply, &'static str> {
        let settings: AmpereSettings = toml::from_str(text).unwrap();
        settings.supply().map_err(|(key, _)| key)
    }

    #[test]
    fn amperes_are_those_of_the_grid_unless_configured() {
        assert_eq!(read(""), Ok(Supply::default()));
        let output = Supply { amperes: Amperes::Output { nominal_mv: 400_000 }, phases: 3 };
        assert_eq!(read("of = \"output\""), Ok(output));
        let american = Supply { amperes: Amperes::Grid { phase_to_neutral_mv: 277_000 }, phases: 2 };
        assert_eq!(read("voltage_v = 277\nphases = 2"), Ok(american));
    }

    #[test]
    fn what_is_no_supply_is_told_by_its_key() {
        for (text, key) in [
            ("phases = 0", "phases"),
            ("voltage_v = 0", "voltage_v"),
            ("voltage_v = -230", "voltage_v"),
            ("voltage_v = nan", "voltage_v"),
        ] {
            assert_eq!(read(text), Err(key), "{text}");
        }
    }
}
