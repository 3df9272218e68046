//! The table of variables.

use super::{Address, Place};

/// Who may do what with a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read.
    ReadOnly,
    /// Read and written.
    ReadWrite,
    /// Written, and never told again.
    WriteOnly,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A boolean that may be written, and is nothing but `true` here.
    True,
    /// A whole number within these bounds.
    Integer(u64, u64),
    /// A decimal.
    Decimal,
    /// Text of at most so many characters.
    Text(usize),
    /// One of these.
    Choice(&'static [&'static str]),
    /// Any of these, with commas.
    List(&'static [&'static str]),
    /// Any of these, with commas, in an order that counts.
    Sequence(&'static [&'static str]),
}

/// A variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    /// What our own code and the store call it.
    pub name: &'static str,
    /// 1.6's configuration key.
    pub key: Option<&'static str>,
    /// 2.0.1's component; empty: 2.0.1 has it not.
    pub component: &'static str,
    /// 2.0.1's variable.
    pub variable: &'static str,
    /// Its instance.
    pub instance: Option<&'static str>,
    /// What a value must be.
    pub kind: Kind,
    /// What it is until somebody says otherwise.
    pub default: &'static str,
    /// Who may do what.
    pub access: Access,
    /// A written value holds from the next start on.
    pub reboot: bool,
    /// 2.0.1's unit; empty: none.
    pub unit: &'static str,
    /// A daemon has it, as a setting (`voltry_bus::STATION_SETTINGS`): the value is the daemon's, this
    /// table has 1.6's key for it, and what it is as long as no daemon is heard.
    pub of_daemon: bool,
}

/// What OCPP knows and no DC station of ours measures.
const OTHER_MEASURANDS: [&str; 18] = [
    "Current.Offered",
    "Energy.Reactive.Export.Register",
    "Energy.Reactive.Import.Register",
    "Energy.Active.Export.Interval",
    "Energy.Active.Import.Interval",
    "Energy.Active.Net",
    "Energy.Reactive.Export.Interval",
    "Energy.Reactive.Import.Interval",
    "Energy.Reactive.Net",
    "Energy.Apparent.Net",
    "Energy.Apparent.Import",
    "Energy.Apparent.Export",
    "Frequency",
    "Power.Factor",
    "Power.Reactive.Export",
    "Power.Reactive.Import",
    "RPM",
    "Temperature",
];
const MEASURANDS: Kind = Kind::List(&[
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "Power.Active.Import",
    "Power.Active.Export",
    "Power.Offered",
    "Current.Import",
    "Current.Export",
    "Voltage",
    "SoC",
]);
/// The configuration slots that there are (B09.FR.05).
#[rustfmt::skip]
pub(crate) const SLOTS: [&str; 99] = [
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
    "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "35", "36",
    "37", "38", "39", "40", "41", "42", "43", "44", "45", "46", "47", "48", "49", "50", "51", "52", "53",
    "54", "55", "56", "57", "58", "59", "60", "61", "62", "63", "64", "65", "66", "67", "68", "69", "70",
    "71", "72", "73", "74", "75", "76", "77", "78", "79", "80", "81", "82", "83", "84", "85", "86", "87",
    "88", "89", "90", "91", "92", "93", "94", "95", "96", "97", "98", "99",
];
const START_POINTS: Kind =
    Kind::List(&["EVConnected", "Authorized", "DataSigned", "PowerPathClosed", "EnergyTransfer"]);
// Nothing ends by what was signed (OCPP 2.0.1, errata to E06).
const STOP_POINTS: Kind = Kind::List(&["EVConnected", "Authorized", "PowerPathClosed", "EnergyTransfer"]);
// What comes back from vehicles is left out where nothing does.
const PERIODIC: &str = "Energy.Active.Import.Register,Energy.Active.Export.Register,Power.Active.Import,\
                        Power.Active.Export,Current.Import,Voltage,SoC";
const REGISTER: &str = "Energy.Active.Import.Register,Energy.Active.Export.Register";

impl Kind {
    /// The value as it is kept, and what of a list was left out.
    pub(super) fn take(self, value: &str, lenient: bool) -> Result<(String, Vec<String>), String> {
        let kept = |value: &str| Ok((value.to_owned(), Vec::new()));
        match self {
            Self::Boolean => match value.to_ascii_lowercase().as_str() {
                word @ ("true" | "false") => kept(word),
                _ => Err("must be true or false".to_owned()),
            },
            Self::True if value.eq_ignore_ascii_case("true") => kept("true"),
            Self::True => Err("a DC station can do nothing else but true".to_owned()),
            Self::Integer(from, to) => match value.parse::<u64>() {
                Ok(number) if (from..=to).contains(&number) => kept(&number.to_string()),
                _ => Err(format!("must be a whole number from {from} to {to}")),
            },
            Self::Decimal => match value.parse::<f64>() {
                Ok(number) if number.is_finite() => kept(value),
                _ => Err("must be a number".to_owned()),
            },
            Self::Text(longest) if value.chars().count() > longest => {
                Err(format!("must have at most {longest} characters"))
            }
            Self::Text(_) => kept(value),
            Self::Choice(words) => match words.iter().find(|word| **word == value) {
                Some(word) => kept(word),
                None => Err(format!("must be one of {}", words.join(", "))),
            },
            Self::List(words) | Self::Sequence(words) => list(words, value, lenient),
        }
    }

    /// Whether a value is one of this kind.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(self, value: &str) -> Result<(), String> {
        self.take(value, false).map(|_| ())
    }

    /// 2.0.1's DataEnumType.
    #[must_use]
    pub const fn data_type(self) -> &'static str {
        match self {
            Self::Boolean | Self::True => "boolean",
            Self::Integer(..) => "integer",
            Self::Decimal => "decimal",
            Self::Text(_) => "string",
            Self::Choice(_) => "OptionList",
            Self::List(_) => "MemberList",
            Self::Sequence(_) => "SequenceList",
        }
    }
}

fn list(words: &[&str], value: &str, lenient: bool) -> Result<(String, Vec<String>), String> {
    let (mut kept, mut left_out) = (Vec::new(), Vec::new());
    for member in value.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        if words.contains(&member) {
            kept.push(member);
        } else if lenient && OTHER_MEASURANDS.contains(&member) {
            left_out.push(member.to_owned());
        } else {
            return Err(format!("{member:?} is none of {}", words.join(", ")));
        }
    }
    if kept.is_empty() && !left_out.is_empty() {
        return Err(format!("none of these can be measured: {}", left_out.join(", ")));
    }
    Ok((kept.join(","), left_out))
}

const fn variable(
    name: &'static str,
    key: Option<&'static str>,
    (component, variable, instance): (&'static str, &'static str, Option<&'static str>),
    kind: Kind,
    default: &'static str,
) -> Definition {
    Definition {
        name,
        key,
        component,
        variable,
        instance,
        kind,
        default,
        access: Access::ReadWrite,
        reboot: false,
        unit: "",
        of_daemon: false,
    }
}

impl Definition {
    /// 2.0.1's name for it. All of these belong to the whole station.
    #[must_use]
    pub fn address(&self) -> Address {
        Address {
            place: Place::station(self.component),
            variable: self.variable.to_owned(),
            instance: self.instance.map(str::to_owned),
        }
    }

    const fn of_daemon(mut self) -> Self {
        self.of_daemon = true;
        self
    }
    const fn read_only(mut self) -> Self {
        self.access = Access::ReadOnly;
        self
    }
    const fn write_only(mut self) -> Self {
        self.access = Access::WriteOnly;
        self
    }
    const fn after_reset(mut self) -> Self {
        self.reboot = true;
        self
    }
    const fn seconds(mut self) -> Self {
        self.unit = "s";
        self
    }
}

/// What our own code calls the variables.
#[allow(missing_docs, reason = "the table below says what they are")]
pub mod name {
    pub const HEARTBEAT_INTERVAL: &str = "HeartbeatInterval";
    pub const READING_INTERVAL: &str = "ReadingInterval";
    pub const CLOCK_READING_INTERVAL: &str = "ClockReadingInterval";
    pub const CONNECT_TIMEOUT: &str = "ConnectTimeout";
    pub const SAMPLED_MEASURANDS: &str = "SampledMeasurands";
    pub const ALIGNED_MEASURANDS: &str = "AlignedMeasurands";
    pub const STARTED_MEASURANDS: &str = "StartedMeasurands";
    pub const ENDED_MEASURANDS: &str = "EndedMeasurands";
    pub const SIGN_READINGS: &str = "SignReadings";
    pub const PUBLIC_KEY: &str = "PublicKeyWithSignedMeterValue";
    pub const STOP_MEASURANDS: &str = "StopMeasurands";
    pub const STOP_ALIGNED: &str = "StopAligned";
    pub const START_POINTS: &str = "StartPoints";
    pub const STOP_POINTS: &str = "StopPoints";
    pub const AUTHORIZE_REMOTE_START: &str = "AuthorizeRemoteStart";
    pub const LOCAL_PRE_AUTHORIZE: &str = "LocalPreAuthorize";
    pub const LOCAL_AUTHORIZE_OFFLINE: &str = "LocalAuthorizeOffline";
    pub const OFFLINE_UNKNOWN: &str = "OfflineUnknown";
    pub const CACHE_ENABLED: &str = "CacheEnabled";
    pub const CACHE_LIFE: &str = "CacheLife";
    pub const LIST_ENABLED: &str = "ListEnabled";
    pub const LIST_MAX: &str = "ListMax";
    pub const SEND_LIST_MAX: &str = "SendListMax";
    pub const STOP_ON_INVALID: &str = "StopOnInvalid";
    pub const ATTEMPTS: &str = "Attempts";
    pub const ATTEMPT_INTERVAL: &str = "AttemptInterval";
    pub const MESSAGE_TIMEOUT: &str = "MessageTimeout";
    pub const PING_INTERVAL: &str = "PingInterval";
    pub const WAIT_MINIMUM: &str = "RetryBackOffWaitMinimum";
    pub const REPEAT_TIMES: &str = "RetryBackOffRepeatTimes";
    pub const RANDOM_RANGE: &str = "RetryBackOffRandomRange";
    pub const CONNECT_ATTEMPTS: &str = "NetworkProfileConnectAttempts";
    pub const NUMBER_OF_CONNECTORS: &str = "NumberOfConnectors";
    pub const SECURITY_PROFILE: &str = "SecurityProfile";
    pub const PASSWORD: &str = "Password";
    pub const CENTRAL_VALIDATION: &str = "CentralContractValidationAllowed";
    pub const CONTRACT_OFFLINE: &str = "ContractValidationOffline";
    pub const NETWORK_PRIORITY: &str = "NetworkConfigurationPriority";
    pub const ACTIVE_NETWORK: &str = "ActiveNetworkProfile";
    pub const CERTIFICATE_ENTRIES: &str = "CertificateEntries";
    pub const SIGNING_WAIT_MINIMUM: &str = "CertSigningWaitMinimum";
    pub const SIGNING_REPEAT_TIMES: &str = "CertSigningRepeatTimes";
    pub const ADDITIONAL_ROOT_CHECK: &str = "AdditionalRootCertificateCheck";
    pub const ORGANIZATION: &str = "Organization";
    pub const IDENTITY: &str = "Identity";
    pub const DATE_TIME: &str = "DateTime";
    pub const STATUS_DURATION: &str = "StatusDuration";
    pub const OFFLINE_THRESHOLD: &str = "OfflineThreshold";
    pub const MASTER_PASS_GROUP: &str = "MasterPassGroup";
    pub const MODEL: &str = "Model";
    pub const VENDOR: &str = "Vendor";
    pub const SERIAL: &str = "Serial";
    pub const FIRMWARE: &str = "Firmware";
    pub const NOTIFY_LIMIT_WITH_SCHEDULES: &str = "NotifyLimitWithSchedules";
    pub const ITEMS_GET_VARIABLES: &str = "ItemsGetVariables";
    pub const ITEMS_SET_VARIABLES: &str = "ItemsSetVariables";
    pub const ITEMS_REPORT: &str = "ItemsGetReport";
    pub const BYTES_REPORT: &str = "BytesGetReport";
    pub const MONITORING_ENABLED: &str = "MonitoringEnabled";
    pub const ITEMS_SET_MONITORING: &str = "ItemsSetMonitoring";
    pub const ITEMS_CLEAR_MONITORING: &str = "ItemsClearMonitoring";
    pub const OFFLINE_SEVERITY: &str = "OfflineSeverity";
    pub const MONITORING_BASE: &str = "MonitoringBase";
    pub const MONITORING_LEVEL: &str = "MonitoringLevel";
    pub const TARIFF_FALLBACK: &str = "TariffFallback";
    pub const COST_FALLBACK: &str = "CostFallback";
    pub const STATION_PHASES: &str = "StationPhases";
    pub const CONNECTOR_TYPE: &str = "ConnectorType";
}

const DAY: u64 = 86_400;

/// All variables.
#[rustfmt::skip]
pub const TABLE: &[Definition] = &[
    variable(name::HEARTBEAT_INTERVAL, Some("HeartbeatInterval"), ("OCPPCommCtrlr", "HeartbeatInterval", None), Kind::Integer(0, 7 * DAY), "300").seconds(),
    variable(name::READING_INTERVAL, Some("MeterValueSampleInterval"), ("SampledDataCtrlr", "TxUpdatedInterval", None), Kind::Integer(0, DAY), "60").seconds().of_daemon(),
    variable(name::CLOCK_READING_INTERVAL, Some("ClockAlignedDataInterval"), ("AlignedDataCtrlr", "Interval", None), Kind::Integer(0, DAY), "0").seconds().of_daemon(),
    variable(name::CONNECT_TIMEOUT, Some("ConnectionTimeOut"), ("TxCtrlr", "EVConnectionTimeOut", None), Kind::Integer(1, 3600), "60").seconds().of_daemon(),
    variable(name::SAMPLED_MEASURANDS, Some("MeterValuesSampledData"), ("SampledDataCtrlr", "TxUpdatedMeasurands", None), MEASURANDS, PERIODIC),
    variable(name::ALIGNED_MEASURANDS, Some("MeterValuesAlignedData"), ("AlignedDataCtrlr", "Measurands", None), MEASURANDS, REGISTER),
    variable(name::STARTED_MEASURANDS, None, ("SampledDataCtrlr", "TxStartedMeasurands", None), MEASURANDS, REGISTER),
    variable(name::ENDED_MEASURANDS, None, ("SampledDataCtrlr", "TxEndedMeasurands", None), MEASURANDS, REGISTER),
    variable(name::STOP_MEASURANDS, Some("StopTxnSampledData"), ("", "", None), MEASURANDS, ""),
    variable(name::STOP_ALIGNED, Some("StopTxnAlignedData"), ("", "", None), MEASURANDS, ""),
    variable(name::SIGN_READINGS, None, ("SampledDataCtrlr", "SignReadings", None), Kind::Boolean, "false"),
    variable(name::PUBLIC_KEY, None, ("OCPPCommCtrlr", "PublicKeyWithSignedMeterValue", None), Kind::Choice(&["EveryMeterValue", "Never", "OncePerTransaction"]), "OncePerTransaction"),
    variable("EndedInterval", None, ("SampledDataCtrlr", "TxEndedInterval", None), Kind::Integer(0, 0), "0").read_only().seconds(),
    variable("AlignedEndedInterval", None, ("AlignedDataCtrlr", "TxEndedInterval", None), Kind::Integer(0, 0), "0").read_only().seconds(),
    variable("AlignedEndedMeasurands", None, ("AlignedDataCtrlr", "TxEndedMeasurands", None), Kind::Text(0), "").read_only(),
    variable("SampledAvailable", None, ("SampledDataCtrlr", "Available", None), Kind::Boolean, "true").read_only(),
    variable("SampledEnabled", None, ("SampledDataCtrlr", "Enabled", None), Kind::Boolean, "true").read_only(),
    variable("AlignedAvailable", None, ("AlignedDataCtrlr", "Available", None), Kind::Boolean, "true").read_only(),
    variable("AlignedEnabled", None, ("AlignedDataCtrlr", "Enabled", None), Kind::Boolean, "true").read_only(),
    variable(name::START_POINTS, None, ("TxCtrlr", "TxStartPoint", None), START_POINTS, "PowerPathClosed"),
    variable(name::STOP_POINTS, None, ("TxCtrlr", "TxStopPoint", None), STOP_POINTS, "EVConnected,PowerPathClosed"),
    variable(name::STOP_ON_INVALID, Some("StopTransactionOnInvalidId"), ("TxCtrlr", "StopTxOnInvalidId", None), Kind::Boolean, "true"),
    variable("StopOnDisconnect", Some("StopTransactionOnEVSideDisconnect"), ("TxCtrlr", "StopTxOnEVSideDisconnect", None), Kind::True, "true"),
    variable("UnlockOnDisconnect", Some("UnlockConnectorOnEVSideDisconnect"), ("OCPPCommCtrlr", "UnlockOnEVSideDisconnect", None), Kind::True, "true"),
    variable("AuthEnabled", None, ("AuthCtrlr", "Enabled", None), Kind::Boolean, "true").read_only(),
    variable(name::AUTHORIZE_REMOTE_START, Some("AuthorizeRemoteTxRequests"), ("AuthCtrlr", "AuthorizeRemoteStart", None), Kind::Boolean, "false"),
    variable(name::LOCAL_PRE_AUTHORIZE, Some("LocalPreAuthorize"), ("AuthCtrlr", "LocalPreAuthorize", None), Kind::Boolean, "false"),
    variable(name::LOCAL_AUTHORIZE_OFFLINE, Some("LocalAuthorizeOffline"), ("AuthCtrlr", "LocalAuthorizeOffline", None), Kind::Boolean, "true"),
    variable(name::OFFLINE_UNKNOWN, Some("AllowOfflineTxForUnknownId"), ("AuthCtrlr", "OfflineTxForUnknownIdEnabled", None), Kind::Boolean, "false"),
    variable(name::MASTER_PASS_GROUP, None, ("AuthCtrlr", "MasterPassGroupId", None), Kind::Text(36), ""),
    variable("CacheAvailable", None, ("AuthCacheCtrlr", "Available", None), Kind::Boolean, "true").read_only(),
    variable(name::CACHE_ENABLED, Some("AuthorizationCacheEnabled"), ("AuthCacheCtrlr", "Enabled", None), Kind::Boolean, "true"),
    variable(name::CACHE_LIFE, None, ("AuthCacheCtrlr", "LifeTime", None), Kind::Integer(0, 366 * DAY), "0").seconds(),
    variable("ListAvailable", None, ("LocalAuthListCtrlr", "Available", None), Kind::Boolean, "true").read_only(),
    variable(name::LIST_ENABLED, Some("LocalAuthListEnabled"), ("LocalAuthListCtrlr", "Enabled", None), Kind::Boolean, "true"),
    variable(name::LIST_MAX, Some("LocalAuthListMaxLength"), ("LocalAuthListCtrlr", "Entries", None), Kind::Integer(0, 100_000), "10000").read_only(),
    variable(name::SEND_LIST_MAX, Some("SendLocalListMaxLength"), ("LocalAuthListCtrlr", "ItemsPerMessage", None), Kind::Integer(0, 10_000), "500").read_only(),
    variable("ListBytes", None, ("LocalAuthListCtrlr", "BytesPerMessage", None), Kind::Integer(0, 1 << 20), "262144").read_only(),
    variable(name::ATTEMPTS, Some("TransactionMessageAttempts"), ("OCPPCommCtrlr", "MessageAttempts", Some("TransactionEvent")), Kind::Integer(1, 100), "5"),
    variable(name::ATTEMPT_INTERVAL, Some("TransactionMessageRetryInterval"), ("OCPPCommCtrlr", "MessageAttemptInterval", Some("TransactionEvent")), Kind::Integer(0, DAY), "10").seconds(),
    variable(name::MESSAGE_TIMEOUT, None, ("OCPPCommCtrlr", "MessageTimeout", Some("Default")), Kind::Integer(1, 3600), "30").seconds(),
    variable(name::PING_INTERVAL, Some("WebSocketPingInterval"), ("OCPPCommCtrlr", "WebSocketPingInterval", None), Kind::Integer(0, DAY), "60").seconds(),
    variable(name::WAIT_MINIMUM, None, ("OCPPCommCtrlr", "RetryBackOffWaitMinimum", None), Kind::Integer(1, 3600), "5").seconds(),
    variable(name::REPEAT_TIMES, None, ("OCPPCommCtrlr", "RetryBackOffRepeatTimes", None), Kind::Integer(0, 16), "5"),
    variable(name::RANDOM_RANGE, None, ("OCPPCommCtrlr", "RetryBackOffRandomRange", None), Kind::Integer(0, 3600), "10").seconds(),
    variable(name::CONNECT_ATTEMPTS, None, ("OCPPCommCtrlr", "NetworkProfileConnectionAttempts", None), Kind::Integer(1, 100), "3"),
    variable(name::OFFLINE_THRESHOLD, None, ("OCPPCommCtrlr", "OfflineThreshold", None), Kind::Integer(0, DAY), "60").seconds(),
    variable(name::STATUS_DURATION, Some("MinimumStatusDuration"), ("", "", None), Kind::Integer(0, DAY), "0").seconds(),
    variable("ResetRetries", Some("ResetRetries"), ("OCPPCommCtrlr", "ResetRetries", None), Kind::Integer(0, 10), "0"),
    variable("FileTransferProtocols", Some("SupportedFileTransferProtocols"), ("OCPPCommCtrlr", "FileTransferProtocols", None), Kind::List(&["HTTP", "HTTPS", "FTP", "FTPS", "SFTP"]), "HTTP,HTTPS").read_only(),
    variable("QueueAllMessages", None, ("OCPPCommCtrlr", "QueueAllMessages", None), Kind::Boolean, "false").read_only(),
    variable(name::NUMBER_OF_CONNECTORS, Some("NumberOfConnectors"), ("", "", None), Kind::Integer(0, 100), "0").read_only(),
    variable("GetConfigurationMaxKeys", Some("GetConfigurationMaxKeys"), ("", "", None), Kind::Integer(0, 1000), "100").read_only(),
    variable("ReserveConnectorZero", Some("ReserveConnectorZeroSupported"), ("", "", None), Kind::Boolean, "true").read_only(),
    variable("ReservationAvailable", None, ("ReservationCtrlr", "Available", None), Kind::Boolean, "true").read_only(),
    variable("ReservationEnabled", None, ("ReservationCtrlr", "Enabled", None), Kind::Boolean, "true").read_only(),
    variable("ReservationNonEvse", None, ("ReservationCtrlr", "NonEvseSpecific", None), Kind::Boolean, "true").read_only(),
    variable("ConnectorPhaseRotation", Some("ConnectorPhaseRotation"), ("", "", None), Kind::Text(500), "NotApplicable").read_only(),
    variable("SupportedFeatureProfiles", Some("SupportedFeatureProfiles"), ("", "", None), Kind::Text(500), "Core,FirmwareManagement,LocalAuthListManagement,RemoteTrigger,Reservation,SmartCharging").read_only(),
    variable("TariffAvailable", None, ("TariffCostCtrlr", "Available", Some("Tariff")), Kind::Boolean, "true").read_only(),
    variable("TariffEnabled", None, ("TariffCostCtrlr", "Enabled", Some("Tariff")), Kind::Boolean, "true").read_only(),
    variable("CostAvailable", None, ("TariffCostCtrlr", "Available", Some("Cost")), Kind::Boolean, "true").read_only(),
    variable("CostEnabled", None, ("TariffCostCtrlr", "Enabled", Some("Cost")), Kind::Boolean, "true").read_only(),
    variable(name::TARIFF_FALLBACK, None, ("TariffCostCtrlr", "TariffFallbackMessage", None), Kind::Text(255), ""),
    variable(name::COST_FALLBACK, None, ("TariffCostCtrlr", "TotalCostFallbackMessage", None), Kind::Text(255), ""),
    variable("Currency", None, ("TariffCostCtrlr", "Currency", None), Kind::Text(3), "EUR"),
    variable("DisplayAvailable", None, ("DisplayMessageCtrlr", "Available", None), Kind::Boolean, "true").read_only(),
    variable("DisplayEnabled", None, ("DisplayMessageCtrlr", "Enabled", None), Kind::Boolean, "true").read_only(),
    variable("DisplayMessages", None, ("DisplayMessageCtrlr", "DisplayMessages", None), Kind::Integer(0, 1000), "32").read_only(),
    variable("DisplayFormats", None, ("DisplayMessageCtrlr", "SupportedFormats", None), Kind::List(&["ASCII", "HTML", "URI", "UTF8"]), "ASCII,UTF8").read_only(),
    variable("DisplayPriorities", None, ("DisplayMessageCtrlr", "SupportedPriorities", None), Kind::List(&["AlwaysFront", "InFront", "NormalCycle"]), "AlwaysFront,InFront,NormalCycle").read_only(),
    variable("SmartChargingAvailable", None, ("SmartChargingCtrlr", "Available", None), Kind::Boolean, "true").read_only(),
    variable("SmartChargingEnabled", None, ("SmartChargingCtrlr", "Enabled", None), Kind::Boolean, "true").read_only(),
    variable("ProfileStackLevel", Some("ChargeProfileMaxStackLevel"), ("SmartChargingCtrlr", "ProfileStackLevel", None), Kind::Integer(0, 1000), "16").read_only(),
    variable("RateUnit", None, ("SmartChargingCtrlr", "RateUnit", None), Kind::List(&["A", "W"]), "A,W").read_only(),
    variable("AllowedRateUnit", Some("ChargingScheduleAllowedChargingRateUnit"), ("", "", None), Kind::List(&["Current", "Power"]), "Current,Power").read_only(),
    variable("PeriodsPerSchedule", Some("ChargingScheduleMaxPeriods"), ("SmartChargingCtrlr", "PeriodsPerSchedule", None), Kind::Integer(0, 1024), "64").read_only(),
    variable("ChargingProfileEntries", Some("MaxChargingProfilesInstalled"), ("SmartChargingCtrlr", "Entries", Some("ChargingProfiles")), Kind::Integer(0, 1000), "32").read_only(),
    variable("PhaseSwitching", Some("ConnectorSwitch3to1PhaseSupported"), ("SmartChargingCtrlr", "ACPhaseSwitchingSupported", None), Kind::Boolean, "false").read_only(),
    variable("ExternalControlSignals", None, ("SmartChargingCtrlr", "ExternalControlSignalsEnabled", None), Kind::Boolean, "true").read_only(),
    variable(name::NOTIFY_LIMIT_WITH_SCHEDULES, None, ("SmartChargingCtrlr", "NotifyChargingLimitWithSchedules", None), Kind::Boolean, "false"),
    variable("LimitChangeSignificance", None, ("SmartChargingCtrlr", "LimitChangeSignificance", None), Kind::Decimal, "1").read_only(),
    variable(name::SECURITY_PROFILE, Some("SecurityProfile"), ("SecurityCtrlr", "SecurityProfile", None), Kind::Integer(0, 3), "0").read_only(),
    variable(name::ORGANIZATION, Some("CpoName"), ("SecurityCtrlr", "OrganizationName", None), Kind::Text(255), ""),
    variable(name::IDENTITY, None, ("SecurityCtrlr", "Identity", None), Kind::Text(48), "").read_only(),
    variable(name::CERTIFICATE_ENTRIES, None, ("SecurityCtrlr", "CertificateEntries", None), Kind::Integer(0, 40), "0").read_only(),
    variable("CertificateStoreMax", Some("CertificateStoreMaxLength"), ("", "", None), Kind::Integer(0, 40), "40").read_only(),
    variable("MaxCertificateChainSize", Some("CertificateSignedMaxChainSize"), ("SecurityCtrlr", "MaxCertificateChainSize", None), Kind::Integer(0, 10_000), "10000").read_only(),
    variable(name::ADDITIONAL_ROOT_CHECK, Some("AdditionalRootCertificateCheck"), ("SecurityCtrlr", "AdditionalRootCertificateCheck", None), Kind::Boolean, "false").read_only(),
    variable("PnCEnabled", Some("ISO15118PnCEnabled"), ("ISO15118Ctrlr", "PnCEnabled", None), Kind::Boolean, "true").read_only(),
    variable(name::CENTRAL_VALIDATION, Some("CentralContractValidationAllowed"), ("ISO15118Ctrlr", "CentralContractValidationAllowed", None), Kind::Boolean, "false"),
    variable(name::CONTRACT_OFFLINE, Some("ContractValidationOffline"), ("ISO15118Ctrlr", "ContractValidationOffline", None), Kind::Boolean, "true"),
    variable(name::SIGNING_WAIT_MINIMUM, Some("CertSigningWaitMinimum"), ("SecurityCtrlr", "CertSigningWaitMinimum", None), Kind::Integer(1, DAY), "30").seconds(),
    variable(name::SIGNING_REPEAT_TIMES, Some("CertSigningRepeatTimes"), ("SecurityCtrlr", "CertSigningRepeatTimes", None), Kind::Integer(0, 16), "2"),
    variable(name::NETWORK_PRIORITY, None, ("OCPPCommCtrlr", "NetworkConfigurationPriority", None), Kind::Sequence(&SLOTS), "1").after_reset(),
    variable(name::ACTIVE_NETWORK, None, ("OCPPCommCtrlr", "ActiveNetworkProfile", None), Kind::Integer(0, 99), "0").read_only(),
    variable(name::PASSWORD, Some("AuthorizationKey"), ("SecurityCtrlr", "BasicAuthPassword", None), Kind::Text(40), "").write_only(),
    variable(name::DATE_TIME, None, ("ClockCtrlr", "DateTime", None), Kind::Text(40), "").read_only(),
    variable("TimeSource", None, ("ClockCtrlr", "TimeSource", None), Kind::List(&["NTP", "Heartbeat"]), "NTP,Heartbeat").read_only(),
    variable(name::ITEMS_GET_VARIABLES, None, ("DeviceDataCtrlr", "ItemsPerMessage", Some("GetVariables")), Kind::Integer(0, 1000), "100").read_only(),
    variable(name::ITEMS_SET_VARIABLES, None, ("DeviceDataCtrlr", "ItemsPerMessage", Some("SetVariables")), Kind::Integer(0, 1000), "100").read_only(),
    variable("ItemsGetReport", None, ("DeviceDataCtrlr", "ItemsPerMessage", Some("GetReport")), Kind::Integer(0, 1000), "100").read_only(),
    variable("BytesGetVariables", None, ("DeviceDataCtrlr", "BytesPerMessage", Some("GetVariables")), Kind::Integer(0, 1 << 20), "262144").read_only(),
    variable("BytesSetVariables", None, ("DeviceDataCtrlr", "BytesPerMessage", Some("SetVariables")), Kind::Integer(0, 1 << 20), "262144").read_only(),
    variable("BytesGetReport", None, ("DeviceDataCtrlr", "BytesPerMessage", Some("GetReport")), Kind::Integer(0, 1 << 20), "262144").read_only(),
    variable("MonitoringAvailable", None, ("MonitoringCtrlr", "Available", None), Kind::Boolean, "true").read_only(),
    variable(name::MONITORING_ENABLED, None, ("MonitoringCtrlr", "Enabled", None), Kind::Boolean, "true"),
    variable(name::ITEMS_SET_MONITORING, None, ("MonitoringCtrlr", "ItemsPerMessage", Some("SetVariableMonitoring")), Kind::Integer(0, 1000), "64").read_only(),
    variable(name::ITEMS_CLEAR_MONITORING, None, ("MonitoringCtrlr", "ItemsPerMessage", Some("ClearVariableMonitoring")), Kind::Integer(0, 1000), "64").read_only(),
    variable("BytesSetMonitoring", None, ("MonitoringCtrlr", "BytesPerMessage", Some("SetVariableMonitoring")), Kind::Integer(0, 1 << 20), "262144").read_only(),
    variable("BytesClearMonitoring", None, ("MonitoringCtrlr", "BytesPerMessage", Some("ClearVariableMonitoring")), Kind::Integer(0, 1 << 20), "262144").read_only(),
    variable(name::OFFLINE_SEVERITY, None, ("MonitoringCtrlr", "OfflineQueuingSeverity", None), Kind::Integer(0, 9), "4"),
    variable(name::MONITORING_BASE, None, ("MonitoringCtrlr", "ActiveMonitoringBase", None), Kind::Choice(&["All", "FactoryDefault", "HardWiredOnly"]), "All").read_only(),
    variable(name::MONITORING_LEVEL, None, ("MonitoringCtrlr", "ActiveMonitoringLevel", None), Kind::Integer(0, 9), "9").read_only(),
    variable(name::STATION_PHASES, None, ("ChargingStation", "SupplyPhases", None), Kind::Integer(0, 3), "3").read_only(),
    variable(name::CONNECTOR_TYPE, Some("ConnectorType"), ("", "", None), Kind::Text(20), "cCCS2").read_only(),
    variable(name::MODEL, None, ("ChargingStation", "Model", None), Kind::Text(50), "Voltry").read_only(),
    variable(name::VENDOR, None, ("ChargingStation", "VendorName", None), Kind::Text(50), "Voltry").read_only(),
    variable(name::SERIAL, None, ("ChargingStation", "SerialNumber", None), Kind::Text(50), "").read_only(),
    variable(name::FIRMWARE, None, ("Controller", "FirmwareVersion", None), Kind::Text(50), "").read_only(),
];
