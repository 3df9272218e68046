//! `[reader.NAME]`, one table a card reader.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::names;
use voltry_service::{Binding, Config, ConfigError, Provision};

use crate::reader::Times;

/// `[reader]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The readers, by name.
    pub readers: BTreeMap<String, ReaderSettings>,
}

/// A PN532 on a serial line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReaderSettings {
    /// The serial line, as `/dev/ttyS2`; 115200 baud, 8N1.
    pub device: PathBuf,
    /// From one look for a card to the next, milliseconds, 50 to 1000. Default 250.
    #[serde(
        default = "interval",
        rename = "interval_ms",
        deserialize_with = "voltry_service::config::duration_ms"
    )]
    pub interval: Duration,
    /// A card that was not seen for this long has gone: laid there again, it counts again. Milliseconds, 1000 to
    /// 60000. Default 2000.
    #[serde(
        default = "hold_off",
        rename = "hold_off_ms",
        deserialize_with = "voltry_service::config::duration_ms"
    )]
    pub hold_off: Duration,
}

const fn interval() -> Duration {
    Duration::from_millis(250)
}

const fn hold_off() -> Duration {
    Duration::from_secs(2)
}

impl ReaderSettings {
    /// How the reader is used.
    #[must_use]
    pub const fn times(&self) -> Times {
        Times { interval: self.interval, hold_off: self.hold_off }
    }

    fn problems(&self) -> impl Iterator<Item = (&'static str, String)> {
        let ranges = [("interval_ms", self.interval, 50, 1000), ("hold_off_ms", self.hold_off, 1000, 60_000)];
        ranges.into_iter().filter_map(|(key, value, least, most)| {
            let range = Duration::from_millis(least)..=Duration::from_millis(most);
            (!range.contains(&value)).then(|| (key, format!("`{key}` is {least} to {most}")))
        })
    }
}

/// Checks `[reader]`.
///
/// # Errors
/// All that is wrong with it.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let mut settings = Settings::default();
    let mut problems = Vec::new();
    for name in config.instances("reader") {
        let table = format!("reader.{name}");
        if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            problems.push(config.problem(&table, "a reader's name has letters, digits and _ alone"));
            continue;
        }
        match config.load::<ReaderSettings>(&table) {
            Ok(loaded) => {
                problems.extend(
                    loaded.problems().map(|(key, text)| config.problem(&format!("{table}.{key}"), text)),
                );
                settings.readers.insert(name, loaded);
            }
            Err(mut error) => problems.append(&mut error.0),
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let objects = settings
        .readers
        .keys()
        .map(|name| Binding::new(names::READER, &path(name)).expect("the names were checked"))
        .collect();
    Ok(Provision { objects, settings })
}

/// The object of a reader.
#[must_use]
pub fn path(name: &str) -> String {
    names::path("id_token_reader", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Provision<Settings>, ConfigError> {
        configure(&Config::parse([("a.toml", text)]).unwrap(), "")
    }

    #[test]
    fn a_device_is_all_a_reader_needs() {
        let provision = read("[reader.left]\ndevice = '/dev/ttyS2'").unwrap();
        assert_eq!(provision.objects[0].path.as_str(), "/org/voltry/id_token_reader/left");
        assert_eq!(provision.settings.readers["left"].hold_off, Duration::from_secs(2));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let text = "[reader.a]\ndevice = 'x'\ninterval_ms = 5\nhold_off_ms = 100\n[reader.b-c]\ndevice = 'y'";
        let error = read(text).unwrap_err().to_string();
        for part in
            ["a.toml:3: `interval_ms` is 50 to 1000", "a.toml:4: `hold_off_ms` is 1000 to 60000", "letters"]
        {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_station_needs_no_reader() {
        assert!(read("").unwrap().settings.readers.is_empty());
    }
}
