//! The `[station]` table.

mod energy;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::names;
use voltry_service::config::quantity;
use voltry_service::{Binding, Config, ConfigError, Problem, Provision};
use voltry_units::Watts;

use crate::authorization::Token;
use energy::EnergySettings;

/// The station's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The station's name, as people call it.
    pub name: String,
    /// The file of the book.
    #[serde(default = "default_database")]
    pub database: PathBuf,
    /// Watts that the station may take from the mains.
    #[serde(rename = "power_limit_w", deserialize_with = "quantity")]
    pub power_limit: Watts,
    /// Anyone may charge, without a token.
    #[serde(default)]
    pub free_vending: bool,
    /// The tokens that may charge.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// Anyone may charge who presses it: the screen's, or one that a reader's daemon has.
    #[serde(default)]
    pub start_button: bool,
    /// The screen takes codes (PIN), which the back end judges.
    #[serde(default)]
    pub key_pad: bool,
    /// The screen asks which charge a master pass means, where several run and it was shown for all.
    #[serde(default)]
    pub master_pass_asks: bool,
    /// Seconds for which a token holds that is presented before plugging in.
    #[serde(default = "default_remember")]
    pub remember_token_s: u64,
    /// Months for which the book keeps what is over; longer, what the back end does not have yet.
    #[serde(default = "default_keep_months")]
    pub keep_months: u32,
    /// The reader whose cards are for any EVSE: the one that waits.
    pub id_token_reader: Option<Binding>,
    /// Who judges tokens that are not in the list: the uplink to the back end.
    pub csms: Option<Binding>,
    /// Seconds that it may take.
    #[serde(default = "default_csms_patience")]
    pub csms_patience_s: u64,
    /// What becomes of a token that it does not judge in this time.
    #[serde(default)]
    pub csms_away: CsmsAway,
    /// How the power is shared.
    #[serde(default)]
    pub energy: EnergySettings,
    /// The EVSEs, by their numbers.
    pub evse: BTreeMap<String, EvseSettings>,
}

/// What becomes of a token that is in no list while nobody can judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CsmsAway {
    /// It is refused: only the station's own list holds.
    #[default]
    Refuse,
    /// It is let in, and the back end may refuse it later.
    Allow,
}

/// One EVSE of the station, `[station.evse.N]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvseSettings {
    /// The meter that its transactions are billed by.
    pub energy_meter: Binding,
    /// The energy path; `org.voltry.Evse.N<number>` unless an OEM's plays the role.
    pub evse: Option<Binding>,
    /// The reader whose cards are for this EVSE alone.
    pub id_token_reader: Option<Binding>,
    /// The higher, the sooner it gets power, where the strategy is by priority.
    #[serde(default)]
    pub priority: u8,
}

fn default_database() -> PathBuf {
    PathBuf::from("/var/lib/voltry/station/book.db")
}

const fn default_keep_months() -> u32 {
    24
}

const fn default_csms_patience() -> u64 {
    10
}

const fn default_remember() -> u64 {
    60
}

impl Settings {
    /// Seconds for which a token holds that is presented before plugging in.
    #[must_use]
    pub const fn remember_token(&self) -> Duration {
        Duration::from_secs(self.remember_token_s)
    }

    /// Seconds that the back end may take to judge a token.
    #[must_use]
    pub const fn csms_patience(&self) -> Duration {
        Duration::from_secs(self.csms_patience_s)
    }

    /// For how long the book keeps what is over.
    #[must_use]
    pub const fn keep(&self) -> Duration {
        Duration::from_secs(self.keep_months as u64 * 31 * 24 * 3600)
    }

    /// Every reader, with the EVSE that its cards are for; 0: any.
    pub(crate) fn id_token_readers(&self) -> Vec<(u32, Binding)> {
        let own = self.evse.iter().map(|(name, evse)| (name.parse().unwrap_or(0), &evse.id_token_reader));
        let all = std::iter::once((0, &self.id_token_reader)).chain(own);
        all.filter_map(|(evse, reader)| Some((evse, reader.clone()?))).collect()
    }

    /// The tokens that may charge.
    ///
    /// # Errors
    /// The place in the list of the first that is none.
    pub fn token_list(&self) -> Result<Vec<Token>, usize> {
        self.tokens.iter().enumerate().map(|(place, text)| Token::parse(text).map_err(|_| place)).collect()
    }
}

/// Checks `[station]`.
///
/// # Errors
/// All that is wrong with it.
pub fn configure(config: &Config, _instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let settings: Settings = config.load("station")?;
    let mut problems = Vec::new();
    if let Err(place) = settings.token_list() {
        // The token itself stays out of what is printed.
        problems.push(config.problem(
            "station.tokens",
            format!("token {} of the list: {}", place + 1, crate::authorization::InvalidToken),
        ));
    }
    for number in settings.evse.keys() {
        if number.parse::<u32>().map_or(true, |number| number == 0) {
            problems.push(config.problem(
                &format!("station.evse.{number}"),
                "an EVSE's name is its number, from 1".to_owned(),
            ));
        }
    }
    problems.extend(wrong_meters(config, &settings));
    problems.extend(wrong_readers(config, &settings));
    problems.extend(energy::problems(config, &settings));
    if settings.free_vending && settings.start_button {
        let text = "with free_vending a vehicle charges as it is plugged in: leave one of the two out";
        problems.push(config.problem("station.start_button", text));
    }
    if settings.key_pad && settings.free_vending {
        problems.push(config.problem("station.key_pad", "with free_vending nobody is asked for a code"));
    }
    if settings.key_pad && settings.csms.is_none() {
        problems
            .push(config.problem("station.key_pad", "codes are judged by the back end: set station.csms"));
    }
    if !(1..=3600).contains(&settings.remember_token_s) {
        problems.push(config.problem("station.remember_token_s", "must be from 1 to 3600"));
    }
    if !(1..=1200).contains(&settings.keep_months) {
        problems.push(config.problem("station.keep_months", "must be from 1 to 1200"));
    }
    if !(1..=50).contains(&settings.csms_patience_s) {
        // A vehicle waits for 55 s.
        problems.push(config.problem("station.csms_patience_s", "must be from 1 to 50"));
    }
    if settings.power_limit <= Watts::ZERO {
        problems.push(config.problem("station.power_limit_w", "must be above 0"));
    }
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let object = Binding::new(names::STATION, names::STATION_PATH).expect("constants are well formed");
    Ok(Provision { objects: vec![object], settings })
}

/// A meter bills one EVSE, and it is the one that the EVSE watches.
fn wrong_meters(config: &Config, settings: &Settings) -> Vec<Problem> {
    let written = config.bindings();
    let mut problems = Vec::new();
    for (number, EvseSettings { energy_meter, .. }) in &settings.evse {
        let place = format!("station.evse.{number}.energy_meter");
        let others = settings.evse.iter().take_while(|(other, _)| *other != number);
        if let Some((other, _)) = others.into_iter().find(|(_, other)| other.energy_meter == *energy_meter) {
            let text = format!("this meter bills EVSE {other} already: each needs one of its own");
            problems.push(config.problem(&place, text));
        }
        let watched = format!("evse.{number}.energy_meter");
        if written.iter().any(|(path, binding)| *path == watched && binding != energy_meter) {
            problems
                .push(config.problem(&place, format!("EVSE {number} watches another meter, [{watched}]")));
        }
    }
    problems
}

/// A card that two listen for would start what it stops.
fn wrong_readers(config: &Config, settings: &Settings) -> Vec<Problem> {
    let readers = settings.id_token_readers();
    let twice = readers
        .iter()
        .enumerate()
        .filter(|(place, (_, reader))| readers.iter().take(*place).any(|(_, other)| other == reader));
    let problem = |(_, (evse, _)): (usize, &(u32, Binding))| {
        let place = format!("station.evse.{evse}.id_token_reader");
        config.problem(&place, "this reader is bound already: its cards are for one EVSE, or for any")
    };
    twice.map(problem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const GOOD: &str = r#"
        [station]
        name = "Test"
        power_limit_w = 150000
        tokens = ["04A1B2C3"]
        [station.evse.1]
        energy_meter = { name = "org.voltry.Meter.Dc1", path = "/org/voltry/energy_meter/dc1" }
    "#;

    pub(super) fn check(text: &str) -> Result<Settings, String> {
        let config = Config::parse([("voltry.toml", text)]).unwrap();
        configure(&config, "").map(|provision| provision.settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_station_with_a_limit_and_an_evse_is_enough() {
        let settings = check(GOOD).unwrap();
        assert_eq!(settings.power_limit, Watts::new(150_000));
        assert!(!settings.free_vending, "nothing is free unless somebody says so");
    }

    #[test]
    fn a_bad_token_is_named_by_its_place_and_never_printed() {
        let error = check(&GOOD.replace("04A1B2C3", "SECRET TOKEN")).unwrap_err();
        assert!(error.contains("token 1") && !error.contains("SECRET"), "{error}");
    }

    #[test]
    fn a_meter_bills_one_evse_and_that_watches_it() {
        let meter =
            r#"energy_meter = { name = "org.voltry.Meter.Dc1", path = "/org/voltry/energy_meter/dc1" }"#;
        let other = meter.replace("Dc1", "Dc2");
        let error = check(&format!("{GOOD}\n[station.evse.2]\n{meter}")).unwrap_err();
        assert!(error.contains("bills EVSE 1 already"), "{error}");
        assert!(check(&format!("{GOOD}\n[station.evse.2]\n{other}")).is_ok());
        let error = check(&format!("{GOOD}\n[evse.1]\n{other}")).unwrap_err();
        assert!(error.contains("EVSE 1 watches another meter"), "{error}");
        assert!(check(&format!("{GOOD}\n[evse.1]\n{meter}")).is_ok());
    }

    #[test]
    fn a_reader_is_for_one_evse_or_for_any() {
        let reader =
            r#"id_token_reader = { name = "org.voltry.Reader1", path = "/org/voltry/id_token_reader/a" }"#;
        let text = format!("{GOOD}\n{reader}");
        assert_eq!(check(&text).unwrap().id_token_readers()[0].0, 1);
        let error = check(&text.replace("tokens =", &format!("{reader}\ntokens ="))).unwrap_err();
        assert!(error.contains("this reader is bound already"), "{error}");
    }

    #[test]
    fn a_key_pad_wants_whoever_judges_codes_and_a_button_is_for_where_nothing_is_free_yet() {
        let with = |more: &str| check(&GOOD.replace("tokens =", &format!("{more}\ntokens =")));
        assert!(with("start_button = true").unwrap().start_button);
        let csms = r#"csms = { name = "org.voltry.Ocpp1", path = "/org/voltry/csms" }"#;
        assert!(with(&format!("key_pad = true\n{csms}")).unwrap().key_pad);
        let error = with("key_pad = true").unwrap_err();
        assert!(error.contains("judged by the back end"), "{error}");
        let error = with("key_pad = true\nstart_button = true\nfree_vending = true").unwrap_err();
        for part in ["leave one of the two out", "nobody is asked for a code", "set station.csms"] {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    }

    #[test]
    fn an_evse_without_a_number_and_a_limit_of_nothing_are_both_told() {
        let error = check(&GOOD.replace("evse.1", "evse.left").replace("150000", "0")).unwrap_err();
        assert!(error.contains("number") && error.contains("above 0"), "{error}");
    }
}
