//! The `[ui]` table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use voltry_bus::names;
use voltry_service::{Binding, Config, ConfigError, Provision};

/// The pages' settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the kiosk's browser finds its page: a loopback address. Default 127.0.0.1:8080.
    #[serde(default = "default_kiosk")]
    pub kiosk: SocketAddr,
    /// The telephone number that helps drivers, as it is to be shown; empty: none.
    #[serde(default)]
    pub help_line: String,
    /// The languages that the screen offers, the first one first; empty: all that there are.
    #[serde(default)]
    pub languages: Vec<String>,
    /// More languages, and other words for those there are: files as `pt.ftl`.
    #[serde(default = "default_language_files")]
    pub language_files: PathBuf,
    /// Who may end a charge at the screen.
    #[serde(default)]
    pub stop: StopBy,
    /// What charging costs without a contract, as it has to be shown before the start.
    pub price: Option<Price>,
    /// Who tells what the back end wants people to read; the uplink of `[station] csms` otherwise.
    pub display: Option<Binding>,
    /// The technician's page; without it there is none.
    pub technician: Option<TechnicianSettings>,
    /// What a monitoring system reads; without it there is nothing.
    pub metrics: Option<MetricsSettings>,
    #[serde(skip)]
    pub(crate) sources: Sources,
}

/// OpenMetrics at `/metrics`, `[ui.metrics]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    /// Where: a loopback address, as `127.0.0.1:9464`.
    pub address: SocketAddr,
}

/// The technician's page, `[ui.technician]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TechnicianSettings {
    /// Where it is served, as `0.0.0.0:8443`.
    pub address: SocketAddr,
    /// The server's certificate and those above it, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Who may log in.
    pub accounts: PathBuf,
    /// Who did what.
    #[serde(default = "default_audit")]
    pub audit: PathBuf,
}

fn default_audit() -> PathBuf {
    PathBuf::from("/var/lib/voltry/ui/audit.log")
}

/// Whom the pages read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The uplink, if the station has one.
    pub(crate) csms: Option<Binding>,
    pub(crate) display: Option<Binding>,
    /// The station's EVSEs.
    pub(crate) evses: BTreeSet<u32>,
    /// Whether codes may be typed in here.
    pub(crate) key_pad: bool,
    /// Whether anybody charges who presses it.
    pub(crate) start_button: bool,
    /// The vehicles' links, by EVSE.
    pub(crate) links: BTreeMap<u32, Binding>,
    /// What is bound to a role and lies where no object is found without being named.
    pub(crate) elsewhere: Vec<Binding>,
    /// What gets warm, by EVSE.
    pub(crate) warm: BTreeMap<u32, Warm>,
    /// Where all of the configuration was read from; `None`: where it is installed.
    pub(crate) configuration: Option<PathBuf>,
}

/// The devices of an EVSE whose temperatures are watched, by their paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct Warm {
    /// Contacts and cable.
    pub(crate) connector: String,
    /// Its power modules.
    pub(crate) modules: String,
}

/// Who may end a charge at the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopBy {
    /// Whoever stands there.
    #[default]
    Anybody,
    /// Nobody: the card that started it, or the vehicle.
    Card,
}

/// The price of charging without a contract.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// As `EUR` (ISO 4217).
    pub currency: String,
    /// For a kilowatt-hour; 0: charging is free.
    pub per_kwh: f64,
    /// For a minute of occupying the place.
    pub per_minute: Option<f64>,
    /// From which minute on.
    #[serde(default)]
    pub per_minute_after: u32,
}

fn default_kiosk() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_language_files() -> PathBuf {
    PathBuf::from("/etc/voltry/languages")
}

/// Checks `[ui]`.
///
/// # Errors
/// All that is wrong with it.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    // A station whose screen needs nothing of its own has no table.
    let nothing = Config::parse([("", "[ui]")])?;
    let mut settings: Settings = if config.contains("ui") { config } else { &nothing }.load("ui")?;
    let mut problems = Vec::new();
    if !settings.kiosk.ip().is_loopback() {
        let text = "the kiosk's page commands the station without a login: it must be a loopback address";
        problems.push(config.problem("ui.kiosk", text));
    }
    if settings.metrics.as_ref().is_some_and(|metrics| !metrics.address.ip().is_loopback()) {
        let text = "metrics are served without a login: it must be a loopback address";
        problems.push(config.problem("ui.metrics.address", text));
    }
    if settings.help_line.chars().count() > 60 {
        problems.push(config.problem("ui.help_line", "at most 60 characters"));
    }
    if let Some(price) = &settings.price {
        if price.currency.len() != 3 || !price.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            problems.push(config.problem("ui.price.currency", "three capital letters, as EUR"));
        }
        for (key, value) in [("per_kwh", Some(price.per_kwh)), ("per_minute", price.per_minute)] {
            if value.is_some_and(|value| !(0.0..=100_000.0).contains(&value)) {
                problems.push(config.problem(&format!("ui.price.{key}"), "from 0 to 100000"));
            }
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    settings.sources = sources(config, settings.display.clone());
    Ok(Provision { objects: Vec::new(), settings })
}

/// What `[station]` says of the screen: its daemon tells what is wrong with it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Identification {
    key_pad: bool,
    start_button: bool,
}

/// As the station's and the EVSEs' own tables bind them.
fn sources(config: &Config, display: Option<Binding>) -> Sources {
    let configuration = config.source().map(Path::to_owned);
    let Identification { key_pad, start_button } = config.load("station").unwrap_or_default();
    let mut sources = Sources { configuration, key_pad, start_button, ..Sources::default() };
    for (path, binding) in config.bindings() {
        if !binding.path.starts_with("/org/voltry/") && !sources.elsewhere.contains(&binding) {
            sources.elsewhere.push(binding.clone());
        }
        let parts: Vec<&str> = path.split('.').collect();
        match parts[..] {
            ["station", "csms"] => sources.csms = Some(binding),
            ["station", "evse", evse, "energy_meter"] => sources.evses.extend(evse.parse::<u32>()),
            ["evse", evse, "ev_link"] => {
                if let Ok(evse) = evse.parse() {
                    sources.links.insert(evse, binding);
                }
            }
            ["evse", evse, role @ ("connector_io" | "power_supply")] => {
                if let Ok(evse) = evse.parse() {
                    let warm: &mut Warm = sources.warm.entry(evse).or_default();
                    let of = if role == "connector_io" { &mut warm.connector } else { &mut warm.modules };
                    *of = binding.path.to_string();
                }
            }
            _ => {}
        }
    }
    sources.display = display.or_else(|| {
        let csms = sources.csms.as_ref()?;
        Some(Binding::new(csms.name.as_str(), names::DISPLAY_PATH).expect("a constant"))
    });
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Settings, String> {
        let config = Config::parse([("voltry.toml", text)]).unwrap();
        configure(&config, "").map(|provision| provision.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_table_is_a_kiosk_on_loopback() {
        let settings = check("[ui]").unwrap();
        assert!(settings.kiosk.ip().is_loopback() && settings.price.is_none());
        assert_eq!(settings.stop, StopBy::Anybody);
    }

    #[test]
    fn whatever_address_is_taken_the_screen_obeys_its_own_page_there() {
        for address in ["127.0.0.1:8080", "127.0.0.2:80", "[::1]:8080"] {
            let settings = check(&format!("[ui]\nkiosk = \"{address}\"")).unwrap();
            let mut headers = axum::http::HeaderMap::new();
            headers.insert("host", settings.kiosk.to_string().parse().unwrap());
            assert!(crate::http::names_loopback(&headers), "{address}");
        }
        assert!(check("[ui]\nkiosk = \"[::ffff:127.0.0.1]:8080\"").unwrap_err().contains("loopback"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let text = "[ui]\nkiosk = \"0.0.0.0:80\"\n[ui.price]\ncurrency = \"euro\"\nper_kwh = -1.0\n\
                    [ui.metrics]\naddress = \"[::]:9464\"";
        let error = check(text).unwrap_err();
        for part in ["kiosk's page", "metrics are served", "EUR", "from 0 to 100000"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn what_is_read_is_what_the_station_and_its_evses_are_bound_to() {
        let text = r#"
            [ui]
            [station]
            csms = { name = "com.example.Back", path = "/com/example/back" }
            [station.evse.1]
            energy_meter = { name = "org.voltry.Meter.Dc1", path = "/org/voltry/energy_meter/dc1" }
            [evse.2]
            ev_link = { name = "org.voltry.Secc.N2", path = "/org/voltry/ev_link/2" }
        "#;
        let sources = check(text).unwrap().sources;
        assert_eq!(sources.display.unwrap().name.as_str(), "com.example.Back");
        assert_eq!(sources.evses, [1].into());
        let elsewhere: Vec<_> = sources.elsewhere.iter().map(|binding| binding.path.as_str()).collect();
        assert_eq!(elsewhere, ["/com/example/back"]);
        assert_eq!(sources.links.keys().collect::<Vec<_>>(), [&2]);
    }
}
