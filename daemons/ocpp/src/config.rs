//! The `[ocpp]` table.

mod amperes;
mod network_profile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::names;
use voltry_service::config::Binding;
use voltry_service::{Config, ConfigError, Problem, Provision};

pub use amperes::{AmpereSettings, AmperesOf};
pub use network_profile::{NetworkProfile, Version};

use crate::certificates::{Configured, Folder};
use crate::connection::keepalive::KeepaliveTimes;
use crate::connection::redial::{RedialTimes, Slot};
use crate::connection::{Encoding, Password, Profile, Proxy, Target, Times};
use crate::model;
use crate::networks::{Network, Way};
use crate::transfer::{MakerRoots, Place};

/// The longest identity of OCPP 2.0.1 (part 4, 3.1.1).
const IDENTITY_MAX: usize = 48;

/// How long a CSMS may take nothing of what waits for it: that of an acknowledgement in TCP.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// The uplink's settings. Those that OCPP has a variable for carry its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the CSMS knows the station by; the last part of the URL that is dialled.
    pub identity: String,
    /// The file that keeps what must outlive the machine.
    #[serde(default = "default_database")]
    pub database: PathBuf,
    /// What the CSMS is told of the maker.
    #[serde(default = "default_maker")]
    pub vendor: String,
    /// Of the model.
    #[serde(default = "default_maker")]
    pub model: String,
    /// The serial number; empty: none is told.
    #[serde(default)]
    pub serial_number: String,
    /// Values of OCPP variables until the CSMS writes them, by the key of 1.6 or by
    /// `Component.Variable`, as `MeterValueSampleInterval = "30"`.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Whether a new root certificate of a CSMS must be signed by the one before it.
    #[serde(default)]
    pub additional_root_certificate_check: bool,
    /// What amperes of a charging profile are.
    #[serde(default)]
    pub amperes: AmpereSettings,
    /// PEM file of the roots that the certificate of a file server over HTTPS may lead to.
    #[serde(default = "default_file_roots")]
    pub file_root_certificates: PathBuf,
    /// PEM file of the roots that the certificate of a firmware's signer may lead to, besides those that
    /// the CSMS installs.
    #[serde(default)]
    pub manufacturer_root_certificates: Option<PathBuf>,
    /// Who installs firmware.
    #[serde(default = "default_installer")]
    pub update: Binding,
    /// Makers' daemons, by their vendor ids: who takes the CSMS's DataTransfer.
    #[serde(default)]
    pub data_transfer: BTreeMap<String, Binding>,
    /// The proxy through which file servers are reached, `http://…`.
    #[serde(default)]
    pub file_proxy: Option<String>,
    /// The whole configuration as a log may show it.
    #[serde(skip)]
    pub(crate) shown: String,
    /// A file that is made when the CSMS resets the station, once its transactions have ended: who
    /// watches it starts the machine anew. `None`: the uplink alone starts anew.
    #[serde(default)]
    pub reset_file: Option<PathBuf>,
    /// Ways to a CSMS, `[ocpp.profile.SLOT]`, tried in the order of their slots.
    pub profile: BTreeMap<String, NetworkProfile>,
    /// Dials of a profile before the next is tried.
    #[serde(default = "default_attempts")]
    pub network_profile_connection_attempts: u32,
    /// Seconds before a connection that was lost is dialled again, at least.
    #[serde(default = "default_wait_minimum")]
    pub retry_back_off_wait_minimum_s: u32,
    /// Seconds of which a random part is added to each wait.
    #[serde(default = "default_random_range")]
    pub retry_back_off_random_range_s: u32,
    /// How often the wait is doubled.
    #[serde(default = "default_repeat_times")]
    pub retry_back_off_repeat_times: u32,
    /// Seconds between two pings; 0: none.
    #[serde(default = "default_ping_interval")]
    pub web_socket_ping_interval_s: u32,
    /// Seconds that the CSMS has to answer a ping.
    #[serde(default = "default_pong_timeout")]
    pub pong_timeout_s: u32,
    /// Seconds that a dial may take, from the name to the open WebSocket.
    #[serde(default = "default_dial_timeout")]
    pub dial_timeout_s: u32,
}

fn default_database() -> PathBuf {
    PathBuf::from("/var/lib/voltry/ocpp/ocpp.db")
}

fn default_file_roots() -> PathBuf {
    PathBuf::from("/etc/ssl/certs/ca-certificates.crt")
}

fn default_installer() -> Binding {
    Binding::new(voltry_bus::names::UPDATE, voltry_bus::names::UPDATE_PATH).expect("names of ours are names")
}

fn default_maker() -> String {
    "Voltry".to_owned()
}

const fn default_attempts() -> u32 {
    3
}

const fn default_wait_minimum() -> u32 {
    10
}

const fn default_random_range() -> u32 {
    10
}

const fn default_repeat_times() -> u32 {
    5
}

const fn default_ping_interval() -> u32 {
    60
}

const fn default_pong_timeout() -> u32 {
    20
}

const fn default_dial_timeout() -> u32 {
    30
}

impl Settings {
    /// Where files are made.
    pub(crate) fn place(&self) -> Place {
        let folder = self.database.parent().unwrap_or_else(|| Path::new(".")).to_owned();
        // Checked when the configuration was read.
        let proxy = self.file_proxy.as_deref().and_then(|url| Proxy::new(url).ok());
        let maker = MakerRoots {
            file: self.manufacturer_root_certificates.clone(),
            installed: folder.join("certificates/manufacturer"),
        };
        Place { folder, roots: self.file_root_certificates.clone(), maker, proxy }
    }

    /// The times of the connection.
    #[must_use]
    pub fn times(&self) -> Times {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let interval = self.web_socket_ping_interval_s;
        Times {
            redial: RedialTimes {
                wait_minimum: seconds(self.retry_back_off_wait_minimum_s),
                random_range: seconds(self.retry_back_off_random_range_s),
                repeat_times: self.retry_back_off_repeat_times,
                attempts: self.network_profile_connection_attempts,
            },
            keepalive: KeepaliveTimes {
                interval: (interval > 0).then(|| seconds(interval)),
                timeout: seconds(self.pong_timeout_s),
            },
            dial: seconds(self.dial_timeout_s),
            write: WRITE_TIME,
        }
    }

    /// The folder of certificates: beside the database.
    #[must_use]
    pub fn certificates(&self) -> Folder {
        let configured = Configured {
            additional_check: self.additional_root_certificate_check,
            roots: self.profile.values().any(|profile| profile.root_certificates.is_some()),
            client: self.profile.values().find_map(|profile| profile.client_certificate.clone()),
        };
        Folder::new(&self.database.with_file_name("certificates"), configured)
    }

    /// The configured profiles by slot, without what is secret.
    #[must_use]
    pub fn networks(&self) -> BTreeMap<Slot, Network> {
        let network = |written: &NetworkProfile| Network {
            url: written.url.clone(),
            versions: written.version.clone(),
            security_profile: written.security_profile,
            message_timeout_s: None,
        };
        self.profile.iter().filter_map(|(name, written)| Some((slot(name)?, network(written)))).collect()
    }

    /// Whether any profile has a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.profile.values().any(|profile| profile.password().is_ok_and(|password| password.is_some()))
    }

    /// How the password of the first profile is written.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        let first = self.networks().into_keys().next();
        let first = first.and_then(|slot| self.profile.get(&slot.to_string()));
        first.map_or(Encoding::Text, |profile| profile.encoding(&profile.version))
    }

    /// The profile of a way to the CSMS. What OCPP says nothing of (proxy, names, files) is that of
    /// the configured profile of the same slot, else of the first.
    ///
    /// # Errors
    /// In words, what it lacks.
    pub(crate) fn profile_of(&self, way: &Way, folder: &Folder) -> Result<Profile, String> {
        let own = self.profile.get(&way.slot.to_string());
        let like = own.or_else(|| self.profile.values().next()).ok_or("no profile is configured")?;
        let (url, versions) = (&way.network.url, &way.network.versions);
        let target = Target::new(url, &self.identity).map_err(|error| error.to_string())?;
        let with_password = matches!(way.network.security_profile, 1 | 2);
        let password = match way.password().filter(|_| with_password) {
            Some(written) => {
                Some(Password::new(written, like.encoding(versions)).map_err(|error| error.to_string())?)
            }
            None if with_password => {
                let all = std::iter::once(like).chain(self.profile.values());
                let mut all = all.filter_map(|profile| profile.password().ok().flatten());
                Some(all.next().ok_or("there is no password")?)
            }
            None => None,
        };
        let same_host = Target::new(&like.url, &self.identity).is_ok_and(|known| known.host == target.host);
        let tls = target.secure.then(|| {
            let files = like.tls().or_else(|| self.profile.values().find_map(NetworkProfile::tls));
            crate::connection::Tls {
                credentials: way.credentials(files.map(|tls| tls.credentials), folder),
                server_name: like.server_name.clone().filter(|_| same_host),
                accept_common_name: like.accept_common_name && same_host,
            }
        });
        let proxy = like.proxy().map_err(|error| error.to_string())?;
        Ok(Profile { slot: way.slot, target, versions: versions.clone(), password, tls, proxy })
    }

    /// The profiles, in the order of their slots.
    ///
    /// # Errors
    /// All that is wrong with them, each with the key that it stands at.
    pub fn profiles(&self) -> Result<Vec<Profile>, Vec<(String, String)>> {
        let mut problems = Vec::new();
        let mut profiles: Vec<Profile> = Vec::new();
        for (name, written) in &self.profile {
            let place = format!("ocpp.profile.{name}");
            match slot(name) {
                None => {
                    let text = "a profile's name is its configuration slot, a number from 1";
                    problems.push((place, text.to_owned()));
                }
                Some(slot) => match written.check(slot, &self.identity) {
                    Ok(profile) => profiles.push(profile),
                    Err(found) => {
                        problems
                            .extend(found.into_iter().map(|(key, text)| (format!("{place}.{key}"), text)));
                    }
                },
            }
        }
        profiles.sort_by_key(|profile| profile.slot);
        if problems.is_empty() { Ok(profiles) } else { Err(problems) }
    }
}

fn slot(name: &str) -> Option<Slot> {
    name.parse().ok().filter(|slot: &Slot| *slot > 0 && name == slot.to_string())
}

/// Checks `[ocpp]`.
///
/// # Errors
/// All that is wrong with it.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let mut settings: Settings = config.load("ocpp")?;
    settings.shown = config.shown();
    let mut problems = Vec::new();
    if let Err(what) = check_identity(&settings.identity) {
        problems.push(config.problem("ocpp.identity", what));
    }
    if settings.profile.is_empty() {
        problems.push(config.problem("ocpp", "no [ocpp.profile.1] says where the CSMS is"));
    }
    if let Err((key, text)) = settings.amperes.supply() {
        problems.push(config.problem(&format!("ocpp.amperes.{key}"), text));
    }
    if let Some(Err(error)) = settings.file_proxy.as_deref().map(Proxy::new) {
        problems.push(config.problem("ocpp.file_proxy", error.to_string()));
    }
    if settings.pong_timeout_s == 0 {
        problems.push(config.problem("ocpp.pong_timeout_s", "must be above 0"));
    }
    if settings.dial_timeout_s == 0 {
        problems.push(config.problem("ocpp.dial_timeout_s", "must be above 0"));
    }
    for (variable, value) in &settings.variables {
        let wrong = match model::find_named(variable) {
            None => Err("there is no such variable".to_owned()),
            Some(definition) => definition.kind.check(value),
        };
        if let Err(why) = wrong {
            problems.push(config.problem(&format!("ocpp.variables.{variable}"), why));
        }
    }
    let found = settings.profiles().err().unwrap_or_default();
    problems.extend(found.into_iter().map(|(place, text)| config.problem(&place, text)));
    if problems.is_empty() {
        let csms = Binding::new(names::OCPP, names::CSMS_PATH).expect("both are valid");
        Ok(Provision { objects: vec![csms], settings })
    } else {
        Err(ConfigError(problems))
    }
}

/// What is wrong with the files that `[ocpp]` names. A station whose files are missing or expired
/// starts all the same: another profile may lead to the CSMS that mends it.
#[must_use]
pub fn audit(config: &Config, _instance: &str, settings: &Settings) -> Vec<Problem> {
    let profiles = settings.profiles().unwrap_or_default();
    let mut problems = Vec::new();
    for profile in profiles {
        let Some(tls) = &profile.tls else { continue };
        let place = |key| format!("ocpp.profile.{}.{key}", profile.slot);
        if let Err(text) = tls.credentials.roots() {
            problems.push(config.problem(&place("root_certificates"), text));
        }
        let client =
            settings.profile.get(&profile.slot.to_string()).is_some_and(NetworkProfile::key_is_readable);
        if client && let Err(text) = tls.credentials.client() {
            problems.push(config.problem(&place("client_certificate"), text));
        }
    }
    problems
}

/// An identifierString (OCPP 2.0.1 part 2, 2.1.5), without what would end a user name of HTTP
/// Basic or a part of a path.
fn check_identity(identity: &str) -> Result<(), String> {
    if identity.is_empty() || identity.len() > IDENTITY_MAX {
        return Err(format!("must have 1 to {IDENTITY_MAX} characters"));
    }
    let wrong =
        identity.chars().find(|letter| !letter.is_ascii_alphanumeric() && !"*-_=+|@.".contains(*letter));
    wrong.map_or(Ok(()), |letter| Err(format!("must not contain {letter:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [ocpp]
        identity = "VOLTRY-0001"
        [ocpp.profile.1]
        url = "ws://csms.example/ocpp"
        version = "2.0.1"
        security_profile = 0
    "#;

    fn check(text: &str) -> Result<Settings, String> {
        let config = Config::parse([("voltry.toml", text)]).unwrap();
        configure(&config, "").map(|provision| provision.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn an_identity_and_one_profile_are_enough() {
        let profiles = check(GOOD).unwrap().profiles().unwrap();
        assert_eq!(profiles[0].versions, [Version::V201]);
        assert_eq!(profiles[0].target.path, "/ocpp/VOLTRY-0001");
    }

    #[test]
    fn the_uplink_is_told_to_who_checks_the_whole_configuration() {
        let config = Config::parse([("voltry.toml", GOOD)]).unwrap();
        let provided = configure(&config, "").unwrap().objects;
        assert_eq!(provided, [Binding::new(names::OCPP, names::CSMS_PATH).unwrap()]);
    }

    #[test]
    fn what_is_wrong_is_told_all_at_once() {
        let text = GOOD.replace("VOLTRY-0001", "a/b").replace("ws://", "https://");
        let error = check(&text).unwrap_err();
        for part in ["'/'", "wss://"] {
            assert!(error.contains(part), "{error}");
        }
        let error = check(&GOOD.replace("profile.1", "profile.01")).unwrap_err();
        assert!(error.contains("number from 1"), "{error}");
        assert!(check(&GOOD.replace("VOLTRY-0001", &"x".repeat(49))).is_err());
        assert!(check(&GOOD.replace("\"2.0.1\"", "\"2.0\"")).unwrap_err().contains("2.0"));
        assert!(check(&GOOD.replace("[ocpp]", "[ocpp]\npong_timeout_s = 0")).is_err());
    }

    #[test]
    fn without_a_profile_there_is_no_uplink() {
        let error = check("[ocpp]\nidentity = \"A\"\nprofile = {}").unwrap_err();
        assert!(error.contains("ocpp.profile.1"), "{error}");
    }

    #[test]
    fn slots_are_in_the_order_of_numbers() {
        let another =
            GOOD.replace("[ocpp]\n        identity = \"VOLTRY-0001\"", "").replace("profile.1", "profile.10");
        let text = format!("{}\n{another}", GOOD.replace("profile.1", "profile.9"));
        let slots: Vec<Slot> =
            check(&text).unwrap().profiles().unwrap().iter().map(|profile| profile.slot).collect();
        assert_eq!(slots, [9, 10]);
    }

    #[test]
    fn no_pings_are_asked_for_by_0() {
        let settings = check(&GOOD.replace("[ocpp]", "[ocpp]\nweb_socket_ping_interval_s = 0")).unwrap();
        assert_eq!(settings.times().keepalive.interval, None);
    }

    #[test]
    fn files_that_are_missing_are_found_by_the_audit() {
        let text = GOOD
            .replace("ws://", "wss://")
            .replace("profile = 0", "profile = 2\npassword = 'x'\nroot_certificates = '/nowhere'");
        let config = Config::parse([("voltry.toml", text.as_str())]).unwrap();
        let settings = configure(&config, "").unwrap().settings;
        let found = audit(&config, "", &settings);
        assert!(found.len() == 1 && found[0].to_string().contains("/nowhere"), "{found:?}");
    }
}
