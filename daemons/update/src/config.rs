//! The `[update]` table.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::names;
use voltry_service::{Binding, Config, ConfigError, Provision};

/// How updates are judged.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A new version has this long after its start to have every EVSE working, seconds; then the one from
    /// before is started. Default 600.
    #[serde(default = "default_trial")]
    trial_s: u64,
    /// For so long all of them must have worked without a break, seconds. Default 30.
    #[serde(default = "default_steady")]
    steady_s: u64,
    /// Whether a bundle may be older than what runs. Default no.
    #[serde(default)]
    pub allow_downgrade: bool,
    /// The file that names the version that runs, as os-release(5).
    #[serde(default = "default_version_file")]
    pub version_file: PathBuf,
    /// What outlives an update, on a partition that no update replaces.
    #[serde(default = "default_state_file")]
    pub state_file: PathBuf,
    /// Written when the machine is to start anew, as `voltry-restart.path` watches it.
    #[serde(default = "default_restart_file")]
    pub restart_file: PathBuf,
}

impl Settings {
    /// How long a new version is on trial.
    #[must_use]
    pub const fn trial(&self) -> Duration {
        Duration::from_secs(self.trial_s)
    }

    /// How long all must work.
    #[must_use]
    pub const fn steady(&self) -> Duration {
        Duration::from_secs(self.steady_s)
    }
}

const fn default_trial() -> u64 {
    600
}

const fn default_steady() -> u64 {
    30
}

fn default_version_file() -> PathBuf {
    PathBuf::from("/etc/os-release")
}

fn default_state_file() -> PathBuf {
    PathBuf::from("/var/lib/voltry/update/state.json")
}

fn default_restart_file() -> PathBuf {
    PathBuf::from("/run/voltry-update/restart")
}

/// Checks `[update]`.
///
/// # Errors
/// All that is wrong with it.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let nothing = Config::parse([("", "[update]")])?;
    let settings: Settings = if config.contains("update") { config } else { &nothing }.load("update")?;
    let mut problems = Vec::new();
    if !(1..=86_400).contains(&settings.trial_s) {
        problems.push(config.problem("update.trial_s", "from 1 s to a day"));
    }
    if settings.steady_s >= settings.trial_s {
        problems.push(config.problem("update.steady_s", "shorter than trial_s"));
    }
    for (key, file) in [
        ("version_file", &settings.version_file),
        ("state_file", &settings.state_file),
        ("restart_file", &settings.restart_file),
    ] {
        if !file.is_absolute() {
            problems.push(config.problem(&format!("update.{key}"), "an absolute path"));
        }
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let object = Binding::new(names::UPDATE, names::UPDATE_PATH).expect("names of ours are names");
    Ok(Provision { objects: vec![object], settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Settings, String> {
        let config = Config::parse([("voltry.toml", text)]).unwrap();
        configure(&config, "").map(|provision| provision.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_station_that_says_nothing_of_updates_takes_no_older_version() {
        let settings = check("").unwrap();
        assert!(!settings.allow_downgrade);
        assert_eq!(settings.trial(), Duration::from_secs(600));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let error = check("[update]\ntrial_s = 20\nsteady_s = 20\nstate_file = \"state\"").unwrap_err();
        assert!(error.contains("shorter than trial_s") && error.contains("absolute"), "{error}");
        assert!(check("[update]\ntrial_s = 0").unwrap_err().contains("from 1 s"));
    }
}
