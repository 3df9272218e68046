//! The daemon's section of the configuration, `[secc.N]`.

use std::time::Duration;

use serde::Deserialize;
use voltry_units::Amps;

/// `[secc.N]`: communication with the vehicle at EVSE N.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Network interface towards the vehicle, as `qca0`: the PLC modem's.
    pub interface: String,
    /// EVSEID told to the vehicle, as `DE*VOL*E1`: 7 to 37 characters (ISO 15118-2 annex H).
    pub evse_id: String,
    /// EVSEPeakCurrentRipple told to the vehicle, amperes peak to peak; the modules' data sheet.
    #[serde(default = "peak_current_ripple", deserialize_with = "amps")]
    pub peak_current_ripple: Amps,
    /// TCP port on which vehicles connect; 0, the default, takes a free one above 49151.
    #[serde(default)]
    pub port: u16,
    /// The station's own times.
    #[serde(default)]
    pub timing: Timing,
}

const fn peak_current_ripple() -> Amps {
    Amps::new(1)
}

/// How long the station takes before it answers FAILED: its performance times of ISO 15118-2
/// table 109, each a little below the time the vehicle waits. All in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// From the connection to SessionSetupReq.
    #[serde(deserialize_with = "seconds")]
    pub setup: Duration,
    /// The vehicle's longest silence between an answer and its next request.
    #[serde(deserialize_with = "seconds")]
    pub sequence: Duration,
    /// Waiting for authorization. Drivers need longer than the 55 s of the standard; many
    /// vehicles wait for 60 s only.
    #[serde(deserialize_with = "seconds")]
    pub authorization: Duration,
    /// ChargeParameterDiscovery.
    #[serde(deserialize_with = "seconds")]
    pub ongoing: Duration,
    /// CableCheck.
    #[serde(deserialize_with = "seconds")]
    pub cable_check: Duration,
    /// PreCharge, from its first request.
    #[serde(deserialize_with = "seconds")]
    pub pre_charge: Duration,
    /// PowerDelivery, from request to answer.
    #[serde(deserialize_with = "seconds")]
    pub power_delivery: Duration,
    /// How long a request of a repeated phase is held before it is answered "ongoing": spares
    /// the vehicle a round, and slows one that asks without pause.
    #[serde(deserialize_with = "seconds")]
    pub hold: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            setup: Duration::from_secs(18),
            sequence: Duration::from_secs(60),
            authorization: Duration::from_secs(55),
            ongoing: Duration::from_secs(55),
            cable_check: Duration::from_secs(38),
            pre_charge: Duration::from_secs(5),
            power_delivery: Duration::from_millis(4500),
            hold: Duration::from_millis(100),
        }
    }
}

fn amps<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Amps, D::Error> {
    Amps::from_si(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
}

impl Config {
    /// What is wrong with it, all at once, in words.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(7..=37).contains(&self.evse_id.chars().count()) {
            problems.push(format!("evse_id {:?} must have 7 to 37 characters", self.evse_id));
        }
        if self.interface.is_empty() || self.interface.len() > 15 {
            problems.push(format!("interface {:?} must have 1 to 15 characters", self.interface));
        }
        if self.timing.hold > Duration::from_secs(1) {
            problems.push("timing.hold must be at most 1 s: vehicles wait 2 s".to_owned());
        }
        if self.timing.power_delivery >= Duration::from_secs(5) {
            problems.push("timing.power_delivery must be below 5 s, for which vehicles wait".to_owned());
        }
        problems
    }
}
