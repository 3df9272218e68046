//! The variables of the uplink itself, once for both versions: 2.0.1's components and variables,
//! and the configuration keys of 1.6 over the same values.

mod devices;
pub mod events;
mod inventory;
mod item;
pub mod monitors;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

pub use devices::{Devices, OBJECTS_MAX, Object, Problem, SILENT, Told};
pub use inventory::{Lookup, all, lookup};
pub use item::{Address, Holder, Item, Place, Target};
pub(crate) use table::SLOTS;
pub use table::{Access, Definition, Kind, TABLE, name};

/// The longest value taken (2.0.1: 1000 characters; 1.6: 500).
const VALUE_MAX: usize = 1000;

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Only read.
    ReadOnly,
    /// Not of its kind, out of range, no choice: in words.
    Invalid(String),
}

/// What taking a value came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// As it is stored: without what no DC station measures.
    pub value: String,
    /// Members of a list that were left out.
    pub left_out: Vec<String>,
    /// It holds from the next start on.
    pub reboot: bool,
}

/// Values that were written, and those that this station has by its making.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    written: BTreeMap<&'static str, String>,
    made: BTreeMap<&'static str, String>,
}

impl Variables {
    /// With what the store has kept. What it keeps of a variable that exists no more is passed over.
    #[must_use]
    pub fn new(kept: impl IntoIterator<Item = (String, String)>) -> Self {
        let written = kept.into_iter().filter_map(|(key, value)| Some((find(&key)?.name, value))).collect();
        Self { written, made: BTreeMap::new() }
    }

    /// Says what a variable is on this station until somebody writes it.
    pub fn make(&mut self, variable: &str, value: impl Into<String>) {
        if let Some(definition) = find(variable) {
            self.made.insert(definition.name, value.into());
        }
    }

    /// The value of a variable, by its name in [`name`].
    #[must_use]
    pub fn get(&self, variable: &str) -> &str {
        let Some(definition) = find(variable) else { return "" };
        let written = self.written.get(definition.name).or_else(|| self.made.get(definition.name));
        written.map_or(definition.default, String::as_str)
    }

    /// What the configuration says that a variable is, as long as nobody wrote it.
    #[must_use]
    pub fn configured(&self, definition: &Definition) -> Option<&str> {
        let written = self.written.contains_key(definition.name);
        self.made.get(definition.name).filter(|_| !written).map(String::as_str)
    }

    /// As a whole number; what cannot be one is 0.
    #[must_use]
    pub fn number(&self, variable: &str) -> u64 {
        self.get(variable).parse().unwrap_or(0)
    }

    /// As a truth value.
    #[must_use]
    pub fn is(&self, variable: &str) -> bool {
        self.get(variable) == "true"
    }

    /// Checks a value that the CSMS writes. `lenient`: a list may name measurands that OCPP knows
    /// and no DC station has; they are left out, and the caller says so.
    ///
    /// # Errors
    /// [`Refused`]; nothing changes.
    pub fn check(&self, definition: &Definition, value: &str, lenient: bool) -> Result<Taken, Refused> {
        if definition.access == Access::ReadOnly {
            return Err(Refused::ReadOnly);
        }
        if value.chars().count() > VALUE_MAX {
            return Err(Refused::Invalid(format!("longer than {VALUE_MAX} characters")));
        }
        let (value, left_out) = definition.kind.take(value.trim(), lenient).map_err(Refused::Invalid)?;
        Ok(Taken { value, left_out, reboot: definition.reboot })
    }

    /// Takes a value that was checked and stored.
    pub fn set(&mut self, definition: &'static Definition, value: String) {
        self.written.insert(definition.name, value);
    }
}

/// The variable of the table that a daemon has, by its address.
#[must_use]
pub fn of_daemon(address: &Address) -> Option<&'static Definition> {
    TABLE.iter().find(|definition| definition.of_daemon && definition.address().is(address))
}

/// A variable by its name in [`name`].
#[must_use]
pub fn find(variable: &str) -> Option<&'static Definition> {
    /// Several are looked up at every input.
    static BY_NAME: LazyLock<HashMap<&str, &Definition>> =
        LazyLock::new(|| TABLE.iter().map(|definition| (definition.name, definition)).collect());
    BY_NAME.get(variable).copied()
}

/// A variable by 1.6's configuration key; letters count the same in upper and lower case (5.3).
#[must_use]
pub fn find_key(key: &str) -> Option<&'static Definition> {
    TABLE.iter().find(|definition| definition.key.is_some_and(|known| known.eq_ignore_ascii_case(key)))
}

/// A variable as a configuration file names it: by 1.6's key, or as `Component.Variable` with
/// `.Instance` where it has one.
#[must_use]
pub fn find_named(text: &str) -> Option<&'static Definition> {
    let mut parts = text.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(component), Some(variable), instance) => match find_variable(component, variable, instance) {
            Found::Variable(definition) => Some(definition),
            Found::UnknownComponent | Found::UnknownVariable => None,
        },
        _ => find_key(text),
    }
}

/// What 2.0.1's component and variable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This one.
    Variable(&'static Definition),
    /// There is no such component.
    UnknownComponent,
    /// The component has no such variable.
    UnknownVariable,
}

/// A variable by 2.0.1's names.
#[must_use]
pub fn find_variable(component: &str, variable: &str, instance: Option<&str>) -> Found {
    let same = |known: &str, asked: &str| known.eq_ignore_ascii_case(asked);
    let mut of_component = TABLE.iter().filter(|definition| same(definition.component, component)).peekable();
    if of_component.peek().is_none() {
        return Found::UnknownComponent;
    }
    let wanted = |definition: &&Definition| {
        same(definition.variable, variable)
            && match (definition.instance, instance) {
                (Some(known), Some(asked)) => same(known, asked),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
    };
    of_component.find(wanted).map_or(Found::UnknownVariable, Found::Variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_variables_have_the_same_name() {
        for (place, one) in TABLE.iter().enumerate() {
            for other in &TABLE[..place] {
                assert_ne!(one.name, other.name);
                assert!(one.key.is_none() || one.key != other.key, "{:?}", one.key);
                let full = |d: &Definition| (d.component, d.variable, d.instance);
                assert!(one.component.is_empty() || full(one) != full(other), "{:?}", full(one));
            }
        }
    }

    #[test]
    fn every_default_is_a_value_that_would_be_taken() {
        for definition in TABLE {
            let taken = definition.kind.take(definition.default, false);
            assert_eq!(
                taken.map(|(value, _)| value),
                Ok(definition.default.to_owned()),
                "{}",
                definition.name
            );
        }
    }

    #[test]
    fn the_settings_of_the_station_are_those_that_it_has() {
        let of_daemon: Vec<_> =
            TABLE.iter().filter(|it| it.of_daemon).map(|it| (it.component, it.variable)).collect();
        let settings = voltry_bus::STATION_SETTINGS.map(|(_, component, variable)| (component, variable));
        assert_eq!(of_daemon, settings);
    }

    #[test]
    fn every_key_that_1_6_requires_is_there() {
        // 1.6 edition 2, chapter 9, and its security white paper: those that are required.
        for key in [
            "AuthorizeRemoteTxRequests",
            "ClockAlignedDataInterval",
            "ConnectionTimeOut",
            "ConnectorPhaseRotation",
            "GetConfigurationMaxKeys",
            "HeartbeatInterval",
            "LocalAuthorizeOffline",
            "LocalPreAuthorize",
            "MeterValuesAlignedData",
            "MeterValuesSampledData",
            "MeterValueSampleInterval",
            "NumberOfConnectors",
            "ResetRetries",
            "StopTransactionOnEVSideDisconnect",
            "StopTransactionOnInvalidId",
            "StopTxnAlignedData",
            "StopTxnSampledData",
            "SupportedFeatureProfiles",
            "TransactionMessageAttempts",
            "TransactionMessageRetryInterval",
            "UnlockConnectorOnEVSideDisconnect",
            "LocalAuthListEnabled",
            "LocalAuthListMaxLength",
            "SendLocalListMaxLength",
            "ChargeProfileMaxStackLevel",
            "ChargingScheduleAllowedChargingRateUnit",
            "ChargingScheduleMaxPeriods",
            "MaxChargingProfilesInstalled",
            "AuthorizationKey",
            "SecurityProfile",
        ] {
            assert!(find_key(key).is_some(), "{key}");
        }
    }

    #[test]
    fn every_variable_that_2_0_1_requires_of_the_uplink_is_there() {
        // OCPP 2.0.1 part 2, chapter 3 (referenced components and variables): those that are required,
        // of the blocks that this station has. Those of EVSEs and connectors are in the inventory's test.
        for (component, variable, instance) in [
            ("AlignedDataCtrlr", "Interval", None),
            ("AlignedDataCtrlr", "Measurands", None),
            ("AlignedDataCtrlr", "TxEndedInterval", None),
            ("AlignedDataCtrlr", "TxEndedMeasurands", None),
            ("AuthCtrlr", "AuthorizeRemoteStart", None),
            ("AuthCtrlr", "LocalAuthorizeOffline", None),
            ("AuthCtrlr", "LocalPreAuthorize", None),
            ("ClockCtrlr", "DateTime", None),
            ("ClockCtrlr", "TimeSource", None),
            ("DeviceDataCtrlr", "BytesPerMessage", Some("GetReport")),
            ("DeviceDataCtrlr", "BytesPerMessage", Some("GetVariables")),
            ("DeviceDataCtrlr", "BytesPerMessage", Some("SetVariables")),
            ("DeviceDataCtrlr", "ItemsPerMessage", Some("GetReport")),
            ("DeviceDataCtrlr", "ItemsPerMessage", Some("GetVariables")),
            ("DeviceDataCtrlr", "ItemsPerMessage", Some("SetVariables")),
            ("LocalAuthListCtrlr", "BytesPerMessage", None),
            ("LocalAuthListCtrlr", "Entries", None),
            ("LocalAuthListCtrlr", "ItemsPerMessage", None),
            ("MonitoringCtrlr", "BytesPerMessage", Some("SetVariableMonitoring")),
            ("MonitoringCtrlr", "ItemsPerMessage", Some("SetVariableMonitoring")),
            ("OCPPCommCtrlr", "FileTransferProtocols", None),
            ("OCPPCommCtrlr", "MessageAttemptInterval", Some("TransactionEvent")),
            ("OCPPCommCtrlr", "MessageAttempts", Some("TransactionEvent")),
            ("OCPPCommCtrlr", "MessageTimeout", Some("Default")),
            ("OCPPCommCtrlr", "NetworkProfileConnectionAttempts", None),
            ("OCPPCommCtrlr", "OfflineThreshold", None),
            ("OCPPCommCtrlr", "ResetRetries", None),
            ("OCPPCommCtrlr", "RetryBackOffRandomRange", None),
            ("OCPPCommCtrlr", "RetryBackOffRepeatTimes", None),
            ("OCPPCommCtrlr", "RetryBackOffWaitMinimum", None),
            ("OCPPCommCtrlr", "UnlockOnEVSideDisconnect", None),
            ("SampledDataCtrlr", "TxEndedInterval", None),
            ("SampledDataCtrlr", "TxEndedMeasurands", None),
            ("SampledDataCtrlr", "TxStartedMeasurands", None),
            ("SampledDataCtrlr", "TxUpdatedInterval", None),
            ("SampledDataCtrlr", "TxUpdatedMeasurands", None),
            ("SecurityCtrlr", "CertificateEntries", None),
            ("SecurityCtrlr", "OrganizationName", None),
            ("SecurityCtrlr", "SecurityProfile", None),
            ("SmartChargingCtrlr", "Entries", Some("ChargingProfiles")),
            ("SmartChargingCtrlr", "LimitChangeSignificance", None),
            ("SmartChargingCtrlr", "PeriodsPerSchedule", None),
            ("SmartChargingCtrlr", "ProfileStackLevel", None),
            ("SmartChargingCtrlr", "RateUnit", None),
            ("TxCtrlr", "EVConnectionTimeOut", None),
            ("TxCtrlr", "StopTxOnEVSideDisconnect", None),
            ("TxCtrlr", "StopTxOnInvalidId", None),
            ("TxCtrlr", "TxStartPoint", None),
            ("TxCtrlr", "TxStopPoint", None),
        ] {
            let found = find_variable(component, variable, instance);
            assert!(matches!(found, Found::Variable(_)), "{component}.{variable} {instance:?}");
        }
    }

    #[test]
    fn a_written_value_is_found_by_both_versions_names() {
        let mut variables = Variables::default();
        let definition = find_key("heartbeatINTERVAL").unwrap();
        let taken = variables.check(definition, "77", true).unwrap();
        variables.set(definition, taken.value);
        assert_eq!(find_variable("OCPPCommCtrlr", "HeartbeatInterval", None), Found::Variable(definition));
        assert_eq!(variables.number(name::HEARTBEAT_INTERVAL), 77);
        assert_eq!(find_variable("OCPPCommCtrlr", "Nonsense", None), Found::UnknownVariable);
        assert_eq!(find_variable("Nonsense", "Nonsense", None), Found::UnknownComponent);
    }

    #[test]
    fn what_is_no_value_of_its_kind_is_refused() {
        let variables = Variables::default();
        let check = |key: &str, value: &str| variables.check(find_key(key).unwrap(), value, true);
        assert!(matches!(check("HeartbeatInterval", "-1"), Err(Refused::Invalid(_))));
        assert!(matches!(check("HeartbeatInterval", "soon"), Err(Refused::Invalid(_))));
        assert!(matches!(check("LocalPreAuthorize", "yes"), Err(Refused::Invalid(_))));
        assert_eq!(check("NumberOfConnectors", "3"), Err(Refused::ReadOnly));
        assert_eq!(check("LocalPreAuthorize", "TRUE").unwrap().value, "true");
    }

    #[test]
    fn a_measurand_that_is_not_supported_leaves_the_others_standing_and_is_named() {
        let variables = Variables::default();
        let list = find_key("MeterValuesSampledData").unwrap();
        let taken = variables.check(list, "Energy.Active.Import.Register,Frequency", true).unwrap();
        assert_eq!(taken.value, "Energy.Active.Import.Register");
        assert_eq!(taken.left_out, ["Frequency"]);
        assert!(variables.check(list, "Energy.Active.Import.Register,Frequency", false).is_err());
        assert!(variables.check(list, "Frequency", true).is_err(), "none of them is left");
        assert!(variables.check(list, "Nonsense,Voltage", true).is_err(), "no measurand at all");
    }
}
