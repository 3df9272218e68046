//! The `[ocpp]` table.

use std::collections::BTreeMap;

use serde::Deserialize;
use voltry_service::{Config, ConfigError, Provision};

/// The longest identity that both versions can carry: a certificate's common name has 64
/// characters at most, OCPP 2.0.1's own identity 48 (part 4, 3.1.1).
const IDENTITY_MAX: usize = 48;

/// The uplink's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What the CSMS knows the station by; the last part of the URL that is dialled.
    pub identity: String,
    /// Ways to a CSMS, `[ocpp.profile.SLOT]`, tried in the order of their slots.
    pub profile: BTreeMap<String, NetworkProfile>,
}

/// One way to a CSMS.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkProfile {
    /// `ws://` or `wss://`, without the identity.
    pub url: String,
    /// The version of OCPP that is spoken there.
    pub version: Version,
}

/// A version of OCPP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub enum Version {
    /// OCPP 1.6J.
    #[serde(rename = "1.6")]
    V16,
    /// OCPP 2.0.1.
    #[serde(rename = "2.0.1")]
    V201,
}

/// Checks `[ocpp]`.
///
/// # Errors
/// All that is wrong with it.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let settings: Settings = config.load("ocpp")?;
    let mut problems = Vec::new();
    if let Err(what) = check_identity(&settings.identity) {
        problems.push(config.problem("ocpp.identity", what));
    }
    if settings.profile.is_empty() {
        problems.push(config.problem("ocpp", "no [ocpp.profile.1] says where the CSMS is"));
    }
    for (slot, profile) in &settings.profile {
        if slot.parse::<u16>().map_or(true, |slot| slot == 0) {
            let text = "a profile's name is its configuration slot, a number from 1";
            problems.push(config.problem(&format!("ocpp.profile.{slot}"), text));
        }
        if !profile.url.starts_with("ws://") && !profile.url.starts_with("wss://") {
            let text = "a CSMS is at ws://… or wss://…";
            problems.push(config.problem(&format!("ocpp.profile.{slot}.url"), text));
        }
    }
    if problems.is_empty() {
        Ok(Provision { objects: Vec::new(), settings })
    } else {
        Err(ConfigError(problems))
    }
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
        url = "wss://csms.example/ocpp"
        version = "2.0.1"
    "#;

    fn check(text: &str) -> Result<Settings, String> {
        let config = Config::parse([("voltry.toml", text)]).unwrap();
        configure(&config, "").map(|provision| provision.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn an_identity_and_one_profile_are_enough() {
        let settings = check(GOOD).unwrap();
        assert_eq!(settings.profile["1"].version, Version::V201);
    }

    #[test]
    fn what_is_wrong_is_told_all_at_once() {
        let text = GOOD
            .replace("VOLTRY-0001", "a/b")
            .replace("wss://", "https://")
            .replace("profile.1", "profile.a");
        let error = check(&text).unwrap_err();
        for part in ["'/'", "wss://", "number from 1"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(check(&GOOD.replace("VOLTRY-0001", &"x".repeat(49))).is_err());
        assert!(check(&GOOD.replace("\"2.0.1\"", "\"2.0\"")).unwrap_err().contains("2.0"));
    }

    #[test]
    fn without_a_profile_there_is_no_uplink() {
        let error = check("[ocpp]\nidentity = \"A\"\nprofile = {}").unwrap_err();
        assert!(error.contains("ocpp.profile.1"), "{error}");
    }
}
