//! `[board.N]`, one table a connector, and `[board.matrix]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::names;
use voltry_service::{Binding, Config, ConfigError, LeaseTimes, Problem, Provision};

use crate::line::SafetyController;
use crate::linux::LinuxSettings;
use crate::matrix::{self, MatrixSettings};
use crate::message::ContactorCodes;

/// `[board]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The connectors, by number.
    pub connectors: BTreeMap<u32, ConnectorSettings>,
    /// The matrix between modules and EVSEs, where there is one.
    pub matrix: Option<MatrixSettings>,
}

/// The name of the matrix's table.
const MATRIX: &str = "matrix";

/// One connector: on a safety controller (`device`), or on lines of this machine (`linux`).
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorSettings {
    /// The safety controller's serial line, as `/dev/ttyLP2`; 115200 baud, 8N1.
    pub device: Option<PathBuf>,
    /// GPIO, PWM and IIO of this machine.
    pub linux: Option<LinuxSettings>,
    /// How the controller's firmware reports contactors: `open-is-zero` (default) or `open-is-one`.
    pub contactor_codes: Option<ContactorCodes>,
    /// How many contactors the controller drives, 1 to 3. Default 2: DC+ and DC−.
    pub contactors: Option<u8>,
    /// Whether the plug has a proximity contact on the controller's side. Default false: a fixed cable.
    #[serde(default)]
    pub proximity: bool,
    /// The action code that resets the controller. Default 2 (unverified); a board without one
    /// is reset by its reset line or its supply.
    pub reset_action: Option<u8>,
    /// State and temperatures are stale after this long, milliseconds. Default 300.
    #[serde(
        default = "stale",
        rename = "stale_ms",
        deserialize_with = "voltry_service::config::duration_ms"
    )]
    pub stale: Duration,
    /// The contactors' feedback follows a request within this long, milliseconds. Default 300.
    #[serde(
        default = "feedback",
        rename = "feedback_ms",
        deserialize_with = "voltry_service::config::duration_ms"
    )]
    pub feedback: Duration,
    /// The lease of the contactors, milliseconds. Default 500.
    #[serde(
        default = "lease",
        rename = "lease_ms",
        deserialize_with = "voltry_service::config::duration_ms"
    )]
    pub lease: Duration,
    /// The contactors open this long after their holder left, milliseconds. Default 300.
    #[serde(
        default = "after_holder_loss",
        rename = "after_holder_loss_ms",
        deserialize_with = "voltry_service::config::duration_ms"
    )]
    pub after_holder_loss: Duration,
}

/// DC+ and DC−.
const TWO_CONTACTORS: u8 = 2;
/// Unverified.
const RESET_ACTION: u8 = 2;

/// What drives a connector's wires.
#[derive(Debug, Clone)]
pub(crate) enum Wiring<'a> {
    /// A safety controller.
    Serial(SafetyController),
    /// This machine.
    Linux(&'a LinuxSettings),
}

const fn stale() -> Duration {
    Duration::from_millis(300)
}

const fn feedback() -> Duration {
    Duration::from_millis(300)
}

const fn lease() -> Duration {
    LeaseTimes::CONTACTORS.lease
}

const fn after_holder_loss() -> Duration {
    LeaseTimes::CONTACTORS.after_holder_loss
}

impl ConnectorSettings {
    /// The contactors' lease.
    #[must_use]
    pub const fn lease_times(&self) -> LeaseTimes {
        LeaseTimes {
            lease: self.lease,
            after_holder_loss: self.after_holder_loss,
            max_age: LeaseTimes::CONTACTORS.max_age,
        }
    }

    /// How many contactors there are.
    #[must_use]
    pub fn contactors(&self) -> u8 {
        let lines = self.linux.as_ref().map(LinuxSettings::contactors);
        lines.or(self.contactors).unwrap_or(TWO_CONTACTORS)
    }

    /// What drives the wires; none before the settings were checked.
    pub(crate) fn wiring(&self) -> Option<Wiring<'_>> {
        match (&self.device, &self.linux) {
            (Some(device), None) => Some(Wiring::Serial(SafetyController {
                device: device.clone(),
                codes: self.contactor_codes.unwrap_or_default(),
                contactors: self.contactors(),
                reset_action: self.reset_action.unwrap_or(RESET_ACTION),
            })),
            (None, Some(linux)) => Some(Wiring::Linux(linux)),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = self.linux.as_ref().map(LinuxSettings::problems).unwrap_or_default();
        problems.extend(self.own_problems().map(|(key, text)| (key, format!("`{key}` {text}"))));
        if self.wiring().is_none() {
            let text = "give either `device`, a safety controller, or a table `linux`, lines of this machine";
            problems.push(("", text.into()));
        }
        problems
    }

    fn own_problems(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let longest = LeaseTimes::CONTACTORS;
        let lines = self.linux.is_some();
        let controllers = "is a safety controller's";
        [
            (lines && self.contactors.is_some(), "contactors", controllers),
            (lines && self.contactor_codes.is_some(), "contactor_codes", controllers),
            (lines && self.reset_action.is_some(), "reset_action", controllers),
            (lines && self.proximity, "proximity", controllers),
            (!(1..=3).contains(&self.contactors.unwrap_or(1)), "contactors", "is 1, 2 or 3"),
            (self.lease > longest.lease, "lease_ms", "is at most 500"),
            (self.after_holder_loss > longest.after_holder_loss, "after_holder_loss_ms", "is at most 300"),
            (self.stale > stale(), "stale_ms", "is at most 300"),
        ]
        .into_iter()
        .filter_map(|(wrong, key, text)| wrong.then_some((key, text)))
    }
}

/// Reads and checks `[board]`.
///
/// # Errors
/// Everything wrong with it.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let mut settings = Settings::default();
    let mut problems = Vec::new();
    for name in config.instances("board") {
        let table = format!("board.{name}");
        if name == MATRIX {
            match config.load::<MatrixSettings>(&table) {
                Ok(loaded) => {
                    problems.extend(loaded.problems().map(|(key, text)| {
                        config.problem(&format!("{table}.{key}"), format!("`{key}` {text}"))
                    }));
                    settings.matrix = Some(loaded);
                }
                Err(mut error) => problems.append(&mut error.0),
            }
            continue;
        }
        let Ok(connector) = name.parse() else {
            problems
                .push(config.problem(&table, format!("[{table}]: a connector is a number, as [board.1]")));
            continue;
        };
        match config.load::<ConnectorSettings>(&table) {
            Ok(loaded) => {
                problems.extend(loaded.problems().into_iter().map(|(key, text)| {
                    let place = if key.is_empty() { table.clone() } else { format!("{table}.{key}") };
                    config.problem(&place, text)
                }));
                settings.connectors.insert(connector, loaded);
            }
            Err(mut error) => problems.append(&mut error.0),
        }
    }
    problems.extend(shared_lines(config, &settings));
    if settings.connectors.is_empty() && settings.matrix.is_none() && problems.is_empty() {
        problems.push(Problem::nowhere("there is no table [board.1]"));
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let paths = settings.connectors.keys().map(|connector| path(*connector));
    let paths = paths.chain(settings.matrix.iter().map(|_| matrix::config::path()));
    let objects =
        paths.map(|path| Binding::new(names::BOARD, &path).expect("names and numbers make a valid binding"));
    Ok(Provision { objects: objects.collect(), settings })
}

/// Two connectors on one controller: closed for one EVSE, they would be for the other.
fn shared_lines(config: &Config, settings: &Settings) -> Vec<Problem> {
    let mut lines = BTreeMap::new();
    let mut problems = Vec::new();
    for (connector, device) in settings.connectors.iter().filter_map(|(n, it)| Some((n, it.device.as_ref()?)))
    {
        if let Some(other) = lines.insert(device, connector) {
            let text = format!("is the controller of connector {other} already");
            problems.push(config.problem(&format!("board.{connector}.device"), text));
        }
    }
    problems
}

/// The object of a connector.
#[must_use]
pub fn path(connector: u32) -> String {
    names::path("connector", &connector.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_all_a_connector_needs() {
        let config = Config::parse([("a.toml", "[board.1]\ndevice = '/dev/ttyLP2'")]).unwrap();
        let provision = configure(&config, "").unwrap();
        assert_eq!(provision.objects[0].path.as_str(), "/org/voltry/connector/1");
        let settings = &provision.settings.connectors[&1];
        assert_eq!(settings.lease_times(), LeaseTimes::CONTACTORS);
        assert_eq!((settings.contactors(), settings.stale), (2, Duration::from_millis(300)));
    }

    #[test]
    fn a_controller_has_one_connector() {
        let text = "[board.1]\ndevice = '/dev/ttyLP2'\n[board.2]\ndevice = '/dev/ttyLP2'";
        let error = configure(&Config::parse([("a.toml", text)]).unwrap(), "").unwrap_err().to_string();
        assert!(error.contains("a.toml:4: is the controller of connector 1 already"), "{error}");
    }

    #[test]
    fn a_matrix_stands_beside_connectors_or_alone() {
        let read = |text: &str| configure(&Config::parse([("a.toml", text)]).unwrap(), "");
        let text = "[board.matrix]\ndevice = 'x'\ncontactors = [['a', 1], ['a', 2]]";
        let provision = read(text).unwrap();
        assert_eq!(provision.objects[0].path.as_str(), "/org/voltry/switch_matrix/1");
        assert_eq!(provision.settings.matrix.unwrap().evses(), [1, 2]);
        let document = include_str!("../../../docs/integration.md");
        let example = &document[document.find("[board.matrix]").unwrap()..];
        read(&example[..example.find("```").unwrap()]).unwrap();
        let error = read(&text.replace("['a', 2]", "['a', 1]")).unwrap_err().to_string();
        assert!(error.contains("one twice"), "{error}");
        let error = read(&(text.to_owned() + "\nfeedback_ms = 501")).unwrap_err().to_string();
        assert!(error.contains("`feedback_ms` is at most 500"), "{error}");
    }

    #[test]
    fn limits_are_overridden_downwards_only() {
        let text = "[board.1]\ndevice = 'x'\nlease_ms = 600\ncontactors = 4";
        let error = configure(&Config::parse([("a.toml", text)]).unwrap(), "").unwrap_err();
        let expected = "a.toml:4: `contactors` is 1, 2 or 3\na.toml:3: `lease_ms` is at most 500";
        assert_eq!(error.to_string(), expected);
    }
}
