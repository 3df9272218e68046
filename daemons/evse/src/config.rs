//! The daemon's section of the configuration, `[evse.N]`.

use serde::Deserialize;
use voltry_service::config::quantity;
use voltry_service::{Binding, Config, ConfigError, Problem, Provision};
use voltry_units::{Amps, Volts};

use crate::energy_path::{Installation, Overrides, Profile, Role};

/// `[evse.N]`: what EVSE N is built of, and the figures it holds to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// Whose figures bind: `iec61851-23-2014`, `iec61851-23-2023` or `mcs`. No default.
    profile: String,
    /// Figures made safer than the profile's, by their names; SI units, times in seconds.
    #[serde(default)]
    limits: Overrides,
    /// Volts that contactors, cable and connector are made for.
    #[serde(deserialize_with = "quantity")]
    voltage_max: Volts,
    /// Amperes that contactors, cable and connector are made for, without a pause.
    #[serde(deserialize_with = "quantity")]
    current_max: Amps,
    /// Whether this EVSE locks the plug; with a tethered cable the vehicle does.
    #[serde(default)]
    lock: bool,
    /// Who plays `PowerSupply1`.
    power_supply: Binding,
    /// Who plays `VoltageMonitor1`: not the power supply's own measurement.
    voltage_monitor: Binding,
    /// Who plays `OverVoltageMonitor1`.
    over_voltage_monitor: Option<Binding>,
    /// Instead of one: the hardware ends an over-voltage within 10 ms without being told anything.
    #[serde(default)]
    over_voltage_by_hardware: bool,
    /// Who plays `InsulationMonitor1`.
    insulation_monitor: Binding,
    /// Who plays `ConnectorIo1`.
    connector_io: Binding,
    /// Who plays `EnergyMeter1`.
    energy_meter: Binding,
    /// Who plays `EvLink1`.
    ev_link: Binding,
    /// Without the meter nothing is delivered: what can't be billed isn't sold.
    #[serde(default = "yes")]
    meter_required: bool,
    /// Energy may be taken from a vehicle, as far as the supply's configuration says.
    #[serde(default)]
    discharge: bool,
}

const fn yes() -> bool {
    true
}

/// The checked settings of one EVSE.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its number, from 1.
    pub number: u32,
    /// What it is built of.
    pub installation: Installation,
    /// Who plays each role.
    pub roles: Vec<(Role, Binding)>,
}

/// Reads and checks `[evse.INSTANCE]`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn configure(config: &Config, instance: &str) -> Result<Provision<Settings>, ConfigError> {
    let table = format!("evse.{instance}");
    let number =
        instance.parse().ok().filter(|number: &u32| *number > 0).ok_or_else(|| {
            Problem::nowhere(format!("{instance:?} is no EVSE's number, as 1 for [evse.1]"))
        })?;
    let written: Table = config.load(&table)?;
    let mut problems = Vec::new();
    let mut wrong = |key: &str, message: String| {
        problems.push(config.problem(&format!("{table}.{key}"), message));
    };
    let profile = match Profile::named(&written.profile).map(|it| it.overridden(&written.limits)) {
        Some(Ok(profile)) => Some(profile),
        Some(Err(unsafe_figures)) => {
            for figure in unsafe_figures {
                wrong(&format!("limits.{}", figure.figure), figure.to_string());
            }
            None
        }
        None => {
            wrong(
                "profile",
                format!("{:?} is none of iec61851-23-2014, iec61851-23-2023, mcs", written.profile),
            );
            None
        }
    };
    if !(Volts::new(60)..=Volts::new(1250)).contains(&written.voltage_max) {
        wrong("voltage_max", "between 60 and 1250 V".to_owned());
    }
    if !(Amps::new(1)..=Amps::new(3000)).contains(&written.current_max) {
        wrong("current_max", "between 1 and 3000 A".to_owned());
    }
    if written.voltage_monitor == written.power_supply {
        wrong("voltage_monitor", "must not be the power supply: it measures the other side".to_owned());
    }
    if written.discharge && !written.meter_required {
        wrong("discharge", "only where a meter is required: what is taken has to be counted".to_owned());
    }
    if let Some((key, message)) = over_voltage_problem(&written) {
        wrong(key, message);
    }
    let roles = written.roles();
    // One that measured, or switched, another EVSE as well would make the leases of both meaningless.
    for (path, binding) in config.bindings() {
        let Some((other, role)) = path.strip_prefix("evse.").and_then(|path| path.split_once('.')) else {
            continue;
        };
        if other != instance && roles.iter().any(|(_, ours)| *ours == binding) {
            wrong(
                role,
                format!("{} at {} serves EVSE {other}: a device serves one", binding.path, binding.name),
            );
        }
    }
    let Some(profile) = profile.filter(|_| problems.is_empty()) else {
        return Err(ConfigError(problems));
    };
    let object = Binding::new(&voltry_bus::names::evse(number), &voltry_bus::names::path("evse", instance))
        .map_err(Problem::nowhere)?;
    let installation = Installation {
        profile,
        voltage_max: written.voltage_max,
        current_max: written.current_max,
        has_lock: written.lock,
        meter_required: written.meter_required,
        discharge: written.discharge,
        over_voltage_monitor: written.over_voltage_monitor.is_some(),
        monitor_measures_voltage: same_device(&written.insulation_monitor, &written.voltage_monitor),
    };
    let settings = Settings { number, installation, roles };
    Ok(Provision { objects: vec![object], settings })
}

impl Table {
    /// Who plays each role.
    fn roles(&self) -> Vec<(Role, Binding)> {
        let bound = [
            (Role::PowerSupply, Some(&self.power_supply)),
            (Role::VoltageMonitor, Some(&self.voltage_monitor)),
            (Role::InsulationMonitor, Some(&self.insulation_monitor)),
            (Role::ConnectorIo, Some(&self.connector_io)),
            (Role::EnergyMeter, Some(&self.energy_meter)),
            (Role::EvLink, Some(&self.ev_link)),
            (Role::OverVoltageMonitor, self.over_voltage_monitor.as_ref()),
        ];
        bound.into_iter().filter_map(|(role, binding)| Some((role, binding?.clone()))).collect()
    }
}

/// Somebody acts on over-voltage within 10 ms, and it is said who.
fn over_voltage_problem(written: &Table) -> Option<(&'static str, String)> {
    let obliged = Profile::obliges_to_over_voltage_monitor(&written.profile);
    match (&written.over_voltage_monitor, written.over_voltage_by_hardware) {
        (None, false) if obliged => Some((
            "profile",
            format!(
                "{} obliges to a hardware over-voltage monitor: bind over_voltage_monitor, or write \
                 over_voltage_by_hardware = true where the hardware acts within 10 ms by itself (docs/safety.md)",
                written.profile
            ),
        )),
        (Some(_), true) => Some((
            "over_voltage_by_hardware",
            "either the hardware acts by itself, or over_voltage_monitor tells it when".to_owned(),
        )),
        (None, _) | (Some(_), false) => None,
    }
}

/// One device may play several roles: at one object, or at objects of the same name under
/// several roles' paths.
fn same_device(one: &Binding, other: &Binding) -> bool {
    let device = |binding: &Binding| binding.path.rsplit('/').next().map(str::to_owned);
    one.name == other.name && device(one) == device(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[evse.1]
profile = "iec61851-23-2023"
voltage_max = 1000
current_max = 200
power_supply = { name = "org.voltry.Power1", path = "/org/voltry/power_supply/1" }
voltage_monitor = { name = "org.voltry.Board1", path = "/org/voltry/voltage_monitor/1" }
over_voltage_monitor = { name = "com.example.Guard", path = "/com/example/guard/1" }
insulation_monitor = { name = "org.voltry.Meter.imd", path = "/org/voltry/insulation_monitor/imd" }
connector_io = { name = "org.voltry.Board1", path = "/org/voltry/connector/1" }
energy_meter = { name = "org.voltry.Meter.dc", path = "/org/voltry/energy_meter/dc" }
ev_link = { name = "org.voltry.Secc.N1", path = "/org/voltry/ev_link/1" }
"#;

    fn configured(text: &str) -> Result<Provision<Settings>, ConfigError> {
        configure(&Config::parse([("voltry.toml", text)]).unwrap(), "1")
    }

    #[test]
    fn a_good_table_is_taken_and_provides_the_evse() {
        let provision = configured(GOOD).unwrap();
        assert_eq!(provision.objects[0].name.as_str(), "org.voltry.Evse.N1");
        assert_eq!(provision.objects[0].path.as_str(), "/org/voltry/evse/1");
        assert_eq!(provision.settings.roles.len(), Role::ALL.len());
        assert!(provision.settings.installation.meter_required);
        assert!(!provision.settings.installation.discharge, "energy flows one way unless it is said");
    }

    #[test]
    fn nothing_is_taken_from_a_vehicle_that_no_meter_counts() {
        let both = format!("{GOOD}discharge = true\n");
        assert!(configured(&both).unwrap().settings.installation.discharge);
        let error = configured(&format!("{both}meter_required = false\n")).unwrap_err().to_string();
        assert!(error.contains("has to be counted"), "{error}");
    }

    #[test]
    fn a_figure_less_safe_than_the_profile_is_refused_with_its_line() {
        let text = format!("{GOOD}[evse.1.limits]\nsafe_voltage = 61\ninsulation_min = 90000\n");
        let error = configured(&text).unwrap_err();
        assert_eq!(error.0.len(), 2, "{error}");
        assert!(error.to_string().contains("voltry.toml:14: safe_voltage"), "{error}");
    }

    #[test]
    fn where_the_edition_obliges_somebody_must_act_on_over_voltage() {
        let line = GOOD.lines().find(|line| line.starts_with("over_voltage_monitor")).unwrap();
        let none = GOOD.replace(line, "");
        for edition in ["iec61851-23-2023", "mcs"] {
            let error = configured(&none.replace("iec61851-23-2023", edition)).unwrap_err().to_string();
            assert!(error.contains("voltry.toml:3") && error.contains("over_voltage_by_hardware"), "{error}");
        }
        let by_itself = configured(&GOOD.replace(line, "over_voltage_by_hardware = true")).unwrap();
        assert!(!by_itself.settings.installation.over_voltage_monitor);
        assert!(by_itself.settings.roles.iter().all(|(role, _)| *role != Role::OverVoltageMonitor));
        assert!(configured(&none.replace("-2023", "-2014")).is_ok(), "that edition leaves it open");
        let both = configured(&format!("{GOOD}over_voltage_by_hardware = true\n")).unwrap_err();
        assert!(both.to_string().contains("either"), "{both}");
    }

    #[test]
    fn a_device_serves_one_evse() {
        let binding = r#"{ name = "org.voltry.Meter.imd", path = "/org/voltry/insulation_monitor/imd" }"#;
        let shared = format!("{GOOD}[evse.2]\ninsulation_monitor = {binding}\n");
        let error = configured(&shared).unwrap_err().to_string();
        assert!(error.contains("serves EVSE 2"), "{error}");
        let other = binding.replace("Meter.imd", "Meter.imd2");
        assert!(configured(&format!("{GOOD}[evse.2]\ninsulation_monitor = {other}\n")).is_ok());
    }

    #[test]
    fn there_is_no_default_profile_and_no_unknown_one() {
        let none = configured(&GOOD.replace("profile", "profil")).unwrap_err();
        assert!(none.to_string().contains("did you mean `profile`"), "{none}");
        let unknown = configured(&GOOD.replace("-2023", "-2022")).unwrap_err();
        assert!(unknown.to_string().contains("iec61851-23-2014"), "{unknown}");
    }

    #[test]
    fn the_supply_cannot_vouch_for_the_other_side_of_the_contactors() {
        let text = GOOD.replace(
            "org.voltry.Board1\", path = \"/org/voltry/voltage_monitor/1",
            "org.voltry.Power1\", path = \"/org/voltry/power_supply/1",
        );
        assert!(configured(&text).is_err());
    }
}
