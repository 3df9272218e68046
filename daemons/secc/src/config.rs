//! The daemon's section of the configuration, `[secc.N]`.

use std::time::Duration;

use serde::Deserialize;
use voltry_service::config::{duration_ms, quantity};
use voltry_service::{Binding, Config, ConfigError, Problem, Provision};
use voltry_units::Amps;

use crate::message::{ControlMode, DcMode, Protocol, Service};
use crate::slac::Matching;
use crate::tls;

/// `[secc.N]`: communication with the vehicle at EVSE N.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Network interface towards the vehicle, as `qca0`: the PLC modem's.
    pub interface: String,
    /// EVSEID told to the vehicle, as `DE*VOL*E1`: 7 to 37 characters (ISO 15118-2 annex H).
    pub evse_id: String,
    /// EVSEPeakCurrentRipple told to the vehicle, amperes peak to peak; the modules' data sheet.
    #[serde(default = "peak_current_ripple", deserialize_with = "quantity")]
    pub peak_current_ripple: Amps,
    /// TCP port on which vehicles connect; 0, the default, takes a free one above 49151.
    #[serde(default)]
    pub port: u16,
    /// Protocols that are offered, whatever the connection; the vehicle's priorities decide among
    /// them. By default all: ISO 15118-20 over TLS 1.3 to vehicles whose certificate `tls.vehicle_roots`
    /// vouch for, as the standard has it, the others always.
    pub protocols: Option<Vec<Protocol>>,
    /// Which contacts carry the current: `DC_core`, `DC_extended`, `DC_combo_core`, `DC_unique`, as
    /// ISO 15118-2 names them; by default the two extended ones of a combo plug. The first is what
    /// DIN 70121 and ISO 15118-20 tell, which tell one.
    #[serde(default = "extended")]
    pub dc_modes: Vec<DcMode>,
    /// How ISO 15118-20 sessions are controlled, the preferred mode first; most vehicles take
    /// the first.
    #[serde(default = "both_modes")]
    pub control_modes: Vec<ControlMode>,
    /// Energy transfers of ISO 15118-20 that are offered: `dc` and `dc-bpt` for a combo plug, `mcs`
    /// and `mcs-bpt` for an MCS plug. What the two for bidirectional vehicles are offered to give is what
    /// evse takes: nothing, unless it is configured to.
    #[serde(default = "combo_plug")]
    pub services: Vec<Service>,
    /// AutoCharge: the vehicle's own identity (EVCCID) is presented to station like a token, `VID:`
    /// and its address. Nothing proves it.
    #[serde(default)]
    pub autocharge: bool,
    /// What vehicles are told of the meter. Without this table they are told of none, and none is asked
    /// for a receipt.
    pub metering: Option<Metering>,
    /// The powerline modem behind the interface. Without this table Ethernet leads straight to
    /// the vehicle, and nothing is matched.
    pub slac: Option<Matching>,
    /// TLS; without this table there is none.
    #[serde(default)]
    pub tls: tls::Settings,
    /// The station's own times.
    #[serde(default)]
    pub timing: Timing,
}

impl Settings {
    /// What every vehicle is offered.
    #[must_use]
    pub fn unconditional_protocols(&self) -> Vec<Protocol> {
        self.protocols.clone().unwrap_or_else(|| vec![Protocol::Iso2, Protocol::Din])
    }
}

/// `[secc.N.metering]`: the meter, as vehicles are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metering {
    /// MeterID told to the vehicle, as on the meter's plate: 1 to 32 characters.
    pub id: String,
    /// How often a vehicle that pays by contract has to sign what was metered, in milliseconds;
    /// without it never. A vehicle that does not is refused, as the standards have it.
    #[serde(default, rename = "receipt_every_ms", deserialize_with = "some_duration_ms")]
    pub receipt_every: Option<Duration>,
}

fn some_duration_ms<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Duration>, D::Error> {
    duration_ms(value).map(Some)
}

fn both_modes() -> Vec<ControlMode> {
    ControlMode::ALL.to_vec()
}

fn combo_plug() -> Vec<Service> {
    vec![Service::Dc, Service::DcBpt]
}

fn extended() -> Vec<DcMode> {
    vec![DcMode::Extended]
}

const fn peak_current_ripple() -> Amps {
    Amps::new(1)
}

/// How long the station takes before it answers FAILED: its performance times of ISO 15118-2
/// table 109, each a little below the time the vehicle waits. All in milliseconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// From the connection to the end of the TLS handshake. Slow controllers were seen to take 3 s.
    #[serde(rename = "tls_handshake_ms", deserialize_with = "duration_ms")]
    pub tls_handshake: Duration,
    /// From the connection to SessionSetupReq, the handshake included.
    #[serde(rename = "setup_ms", deserialize_with = "duration_ms")]
    pub setup: Duration,
    /// The vehicle's longest silence between an answer and its next request.
    #[serde(rename = "sequence_ms", deserialize_with = "duration_ms")]
    pub sequence: Duration,
    /// The same within the charge loop of ISO 15118-20 (tables 216 and 217).
    #[serde(rename = "charge_loop_ms", deserialize_with = "duration_ms")]
    pub charge_loop: Duration,
    /// Waiting for a driver who pays otherwise than by contract, who needs longer than the 55 s of the
    /// standard; a vehicle that does not wait as long ends by itself. In DIN 70121, which has no word
    /// for such waiting, at most 55000.
    #[serde(rename = "authorization_ms", deserialize_with = "duration_ms")]
    pub authorization: Duration,
    /// The same under a contract, in which no driver has a part.
    #[serde(rename = "contract_authorization_ms", deserialize_with = "duration_ms")]
    pub contract_authorization: Duration,
    /// ChargeParameterDiscovery.
    #[serde(rename = "ongoing_ms", deserialize_with = "duration_ms")]
    pub ongoing: Duration,
    /// CableCheck.
    #[serde(rename = "cable_check_ms", deserialize_with = "duration_ms")]
    pub cable_check: Duration,
    /// PreCharge, from its first request.
    #[serde(rename = "pre_charge_ms", deserialize_with = "duration_ms")]
    pub pre_charge: Duration,
    /// PowerDelivery, from request to answer; in DIN 70121 and ISO 15118-20 at most 1500.
    #[serde(rename = "power_delivery_ms", deserialize_with = "duration_ms")]
    pub power_delivery: Duration,
    /// How long the back end has for a contract certificate.
    #[serde(rename = "certificate_ms", deserialize_with = "duration_ms")]
    pub certificate: Duration,
    /// How long a vehicle is kept waiting for a planner's schedules (`ChargingSchedules1`), at most
    /// 55000; 0, the default: not at all, and an offer that comes later asks it to renegotiate.
    #[serde(rename = "schedules_ms", deserialize_with = "duration_ms")]
    pub schedules: Duration,
    /// How long the EVSE's limit has to differ from what the vehicle's schedule said before it is asked
    /// to renegotiate; 0, the default: never, for the charge loop tells each limit anyway, and there are
    /// vehicles that stop instead.
    #[serde(rename = "renegotiation_ms", deserialize_with = "duration_ms")]
    pub renegotiation: Duration,
    /// How long a request of a repeated phase is held before it is answered "ongoing": spares
    /// the vehicle a round, and slows one that asks without pause.
    #[serde(rename = "hold_ms", deserialize_with = "duration_ms")]
    pub hold: Duration,
}

/// How long a vehicle may be answered "ongoing" (ISO 15118-2, table 109): it waits 60 s.
const ONGOING: Duration = Duration::from_secs(55);

impl Default for Timing {
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(10),
            setup: Duration::from_secs(18),
            sequence: Duration::from_secs(60),
            charge_loop: Duration::from_millis(500),
            authorization: Duration::from_secs(300),
            contract_authorization: ONGOING,
            ongoing: ONGOING,
            cable_check: Duration::from_secs(38),
            pre_charge: Duration::from_secs(5),
            power_delivery: Duration::from_millis(4500),
            certificate: Duration::from_millis(4500),
            schedules: Duration::ZERO,
            renegotiation: Duration::ZERO,
            hold: Duration::from_millis(100),
        }
    }
}

impl Timing {
    /// Waiting for authorization by other means than a contract.
    #[must_use]
    pub fn authorization_in(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Din => self.authorization.min(ONGOING),
            Protocol::Iso2 | Protocol::Iso20 => self.authorization,
        }
    }

    /// PowerDelivery, from request to answer: in DIN 70121 and ISO 15118-20 there are vehicles that
    /// wait 2 s, as for any other answer.
    #[must_use]
    pub fn power_delivery_in(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Din | Protocol::Iso20 => self.power_delivery.min(Duration::from_millis(1500)),
            Protocol::Iso2 => self.power_delivery,
        }
    }
}

/// Reads and checks `[secc.INSTANCE]`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn configure(config: &Config, instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let table = format!("secc.{instance}");
    let number: u32 = instance
        .parse()
        .map_err(|_| Problem::nowhere(format!("{instance:?} is no EVSE's number, as 1 for [secc.1]")))?;
    let settings: Settings = config.load(&table)?;
    let problems: Vec<_> = problems(&settings)
        .into_iter()
        .map(|(key, problem)| config.problem(&format!("{table}.{key}"), problem))
        .collect();
    if !problems.is_empty() {
        return Err(ConfigError(problems));
    }
    let object =
        Binding::new(&voltry_bus::names::secc(number), &voltry_bus::names::path("ev_link", instance))
            .map_err(Problem::nowhere)?;
    Ok(Provision { objects: vec![object], settings })
}

/// What the files of `[secc.INSTANCE.tls]` have that will not work: for `--check-config`. The daemon
/// itself starts all the same, and says it then; a vehicle may charge without TLS.
#[must_use]
pub fn audit(config: &Config, instance: &str, settings: &Settings) -> Vec<Problem> {
    if settings.tls.mode == tls::Mode::Off {
        return Vec::new();
    }
    tls::check(&settings.tls)
        .into_iter()
        .filter(|finding| !finding.warning)
        .map(|finding| config.problem(&format!("secc.{instance}.tls.{}", finding.key), finding.problem))
        .collect()
}

fn problems(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    if !(7..=37).contains(&settings.evse_id.chars().count()) {
        problems.push(("evse_id", "an EVSEID has 7 to 37 characters".to_owned()));
    }
    if !(1..=15).contains(&settings.interface.len()) {
        problems.push(("interface", "an interface's name has 1 to 15 characters".to_owned()));
    }
    if settings.protocols.as_ref().is_some_and(Vec::is_empty) {
        problems.push(("protocols", "no protocol, no vehicle: name at least one".to_owned()));
    }
    if settings.control_modes.is_empty() || settings.control_modes.len() > ControlMode::ALL.len() {
        problems.push(("control_modes", "\"scheduled\", \"dynamic\", or both".to_owned()));
    }
    if settings.dc_modes.is_empty() || settings.dc_modes.len() > 4 {
        problems.push((
            "dc_modes",
            "\"DC_core\", \"DC_extended\", \"DC_combo_core\", \"DC_unique\": at least one of them".to_owned(),
        ));
    }
    if settings.services.is_empty() || settings.services.len() > 4 {
        problems
            .push(("services", "\"dc\", \"dc-bpt\", \"mcs\", \"mcs-bpt\": at least one of them".to_owned()));
    }
    if let Some(matching) = &settings.slac {
        if !(-30..=30).contains(&matching.attenuation_offset_db) {
            problems.push(("slac.attenuation_offset_db", "between -30 and 30 dB".to_owned()));
        }
        if !(1..=50).contains(&matching.init.as_secs()) {
            problems.push(("slac.init_ms", "between 1000 and 50000: vehicles give up after 50 s".to_owned()));
        }
        if !(20..=600).contains(&matching.first_word.as_secs()) {
            problems.push((
                "slac.first_word_ms",
                "between 20000 and 600000: vehicles take up to 20 s".to_owned(),
            ));
        }
        if matching.retries > 10 {
            problems.push(("slac.retries", "at most 10".to_owned()));
        }
    }
    if let Some(metering) = &settings.metering {
        if !(1..=32).contains(&metering.id.chars().count()) {
            problems.push(("metering.id", "a MeterID has 1 to 32 characters".to_owned()));
        }
        if metering.receipt_every.is_some_and(|every| every < Duration::from_secs(1)) {
            problems.push(("metering.receipt_every_ms", "at least 1000".to_owned()));
        }
    }
    if settings.tls.mode != tls::Mode::Off && settings.tls.certificates.is_empty() {
        problems.push(("tls.mode", "TLS needs the station's own certificate in tls.certificates".to_owned()));
    }
    if settings.timing.hold > Duration::from_secs(1) {
        problems.push(("timing.hold_ms", "at most 1000: vehicles wait 2 s for an answer".to_owned()));
    }
    if settings.timing.schedules > Duration::from_secs(55) {
        problems.push(("timing.schedules_ms", "at most 55000: vehicles wait for 60 s".to_owned()));
    }
    if settings.timing.certificate >= Duration::from_secs(5) {
        problems.push(("timing.certificate_ms", "below 5000, for which vehicles wait".to_owned()));
    }
    if settings.timing.power_delivery >= Duration::from_secs(5) {
        problems.push(("timing.power_delivery_ms", "below 5000, for which vehicles wait".to_owned()));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(text: &str) -> Result<Provision<Settings>, ConfigError> {
        configure(&Config::parse([("voltry.toml", text)]).unwrap(), "1")
    }

    #[test]
    fn two_keys_are_enough() {
        let provision = configured("[secc.1]\ninterface = \"qca0\"\nevse_id = \"DE*VOL*E1\"").unwrap();
        assert_eq!(provision.objects[0].name.as_str(), "org.voltry.Secc.N1");
        assert_eq!(provision.objects[0].path.as_str(), "/org/voltry/ev_link/1");
        assert_eq!(provision.settings.timing.pre_charge, Duration::from_secs(5));
        assert_eq!(provision.settings.unconditional_protocols(), [Protocol::Iso2, Protocol::Din]);
    }

    #[test]
    fn a_modem_is_named_and_the_rest_has_defaults() {
        let table = |slac: &str| format!("[secc.1]\ninterface = \"qca0\"\nevse_id = \"DE*VOL*E1\"\n{slac}");
        assert!(configured(&table("")).unwrap().settings.slac.is_none());
        let slac = configured(&table("slac = { modem = \"qca7000\" }")).unwrap().settings.slac.unwrap();
        assert_eq!((slac.attenuation_offset_db, slac.init, slac.retries), (0, Duration::from_secs(40), 2));
        for wrong in [
            "slac = { modem = \"qca9000\" }",
            "slac = { attenuation_offset_db = 10 }",
            "slac = { modem = \"cg5317\", attenuation_offset_db = 31 }",
            "slac = { modem = \"cg5317\", init_ms = 60000 }",
            "slac = { modem = \"cg5317\", first_word_ms = 19000 }",
            "slac = { modem = \"cg5317\", retries = 11 }",
        ] {
            assert!(configured(&table(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let error = configured(
            "[secc.1]\ninterface = \"\"\nevse_id = \"E1\"\nprotocols = []\nservices = []\n[secc.1.timing]\nhold_ms = 2000\npower_delivery_ms = 6000",
        )
        .unwrap_err();
        assert_eq!(error.0.len(), 6, "{error}");
    }
}
