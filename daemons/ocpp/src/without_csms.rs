//! A station without a CSMS. Every installed daemon is asked to check the configuration, and one that is not
//! wanted has nothing to say against it.

use voltry_service::{Config, ConfigError, Daemon, Problem, Provision, where_configured};

use crate::Settings;

/// As [`crate::configure`], where there is a CSMS.
///
/// # Errors
/// All that is wrong with `[ocpp]`.
pub fn configure(config: &Config, instance: &str) -> Result<Provision<Option<Settings>>, ConfigError> {
    where_configured("ocpp", crate::configure)(config, instance)
}

/// As [`crate::audit`], where there is a CSMS.
#[must_use]
#[allow(clippy::ref_option, reason = "as a program hands its settings over")]
pub fn audit(config: &Config, instance: &str, settings: &Option<Settings>) -> Vec<Problem> {
    settings.as_ref().map_or_else(Vec::new, |settings| crate::audit(config, instance, settings))
}

/// Runs the uplink, or does nothing until it is asked to stop.
///
/// # Errors
/// Those of [`crate::run`].
pub async fn run(settings: Option<Settings>, daemon: Daemon) -> anyhow::Result<()> {
    match settings {
        Some(settings) => crate::run(settings, daemon).await,
        None => daemon.idle("there is no table [ocpp]").await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_station_needs_no_csms_and_one_that_has_it_is_checked() {
        let read = |text: &str| configure(&Config::parse([("voltry.toml", text)]).unwrap(), "");
        assert!(read("[station]").unwrap().settings.is_none());
        assert!(read("[ocpp]").is_err());
    }
}
