//! The schema's complex types, below the messages.

use alloc::vec::Vec;

use crate::enumerations::*;
use crate::grammar::{sequence, substitution_group};
use crate::values::*;

sequence! {
    /// `MessageHeaderType`.
    MessageHeader {
        "SessionID" session_id: HexBinary<8>,
        "Notification" notification: Option<Notification>,
        "Signature" signature: Option<NotModelled>,
    }
}

sequence! {
    /// `NotificationType`.
    Notification {
        "FaultCode" fault_code: FaultCode,
        "FaultMsg" fault_msg: Option<Text<64>>,
    }
}

sequence! {
    /// `PhysicalValueType`: `value` · 10^`multiplier`.
    #[derive(Copy, Default)]
    PhysicalValue {
        "Multiplier" multiplier: Multiplier,
        "Unit" unit: Option<Unit>,
        "Value" value: i16,
    }
}

sequence! {
    /// `DC_EVStatusType`.
    #[derive(Copy)]
    DcEvStatus {
        "EVReady" ev_ready: bool,
        "EVCabinConditioning" ev_cabin_conditioning: Option<bool>,
        "EVRESSConditioning" ev_ress_conditioning: Option<bool>,
        "EVErrorCode" ev_error_code: DcEvErrorCode,
        "EVRESSSOC" ev_ress_soc: Percent,
    }
}

sequence! {
    /// `DC_EVSEStatusType`.
    #[derive(Copy)]
    DcEvseStatus {
        "EVSEIsolationStatus" evse_isolation_status: Option<IsolationLevel>,
        "EVSEStatusCode" evse_status_code: DcEvseStatusCode,
        "NotificationMaxDelay" notification_max_delay: u32,
        "EVSENotification" evse_notification: EvseNotification,
    }
}

sequence! {
    /// `AC_EVSEStatusType`.
    #[derive(Copy, Default)]
    AcEvseStatus {
        "PowerSwitchClosed" power_switch_closed: bool,
        "RCD" rcd: bool,
        "NotificationMaxDelay" notification_max_delay: u32,
        "EVSENotification" evse_notification: EvseNotification,
    }
}

substitution_group! {
    /// `EVSEStatus`.
    EvseStatus of 3 {
        0 "AC_EVSEStatus" Ac(AcEvseStatus),
        1 "DC_EVSEStatus" Dc(DcEvseStatus),
    }
}

sequence! {
    /// `PaymentOptionsType`.
    PaymentOptions {
        "PaymentOption" payment_option: Vec<PaymentOption>,
    }
}

sequence! {
    /// `ServiceTagType`.
    ServiceTag {
        "ServiceID" service_id: u16,
        "ServiceName" service_name: Option<Text<32>>,
        "ServiceCategory" service_category: ServiceCategory,
        "ServiceScope" service_scope: Option<Text<32>>,
    }
}

sequence! {
    /// `ServiceChargeType`.
    ChargeService {
        "ServiceTag" service_tag: ServiceTag,
        "FreeService" free_service: bool,
        "EnergyTransferType" energy_transfer_type: EvseSupportedEnergyTransferType,
    }
}

sequence! {
    /// `ServiceType`.
    Service {
        "ServiceTag" service_tag: ServiceTag,
        "FreeService" free_service: bool,
    }
}

sequence! {
    /// `ServiceTagListType`.
    ServiceList {
        "Service" service: Vec<Service>,
    }
}

sequence! {
    /// `SelectedServiceType`.
    SelectedService {
        "ServiceID" service_id: u16,
        "ParameterSetID" parameter_set_id: Option<i16>,
    }
}

sequence! {
    /// `SelectedServiceListType`.
    SelectedServiceList {
        "SelectedService" selected_service: Vec<SelectedService>,
    }
}

sequence! {
    /// `ServiceParameterListType`.
    ServiceParameterList {
        "ParameterSet" parameter_set: Vec<ParameterSet>,
    }
}

sequence! {
    /// `ParameterSetType`.
    ParameterSet {
        "ParameterSetID" parameter_set_id: i16,
        "Parameter" parameter: Vec<Parameter>,
    }
}

sequence! {
    /// `ParameterType`.
    Parameter {
        "Name" name: Attribute<AnyText>,
        "ValueType" value_type: Attribute<ValueType>,
        "value" value: ParameterValue,
    }
}

substitution_group! {
    /// What a parameter holds: a choice in the schema, which is coded as a group.
    ParameterValue of 6 {
        0 "boolValue" Bool(bool),
        1 "byteValue" Byte(i8),
        2 "shortValue" Short(i16),
        3 "intValue" Int(i32),
        4 "physicalValue" Physical(PhysicalValue),
        5 "stringValue" String(AnyText),
    }
}

sequence! {
    /// `DC_EVChargeParameterType`.
    DcEvChargeParameter {
        "DC_EVStatus" dc_ev_status: DcEvStatus,
        "EVMaximumCurrentLimit" ev_maximum_current_limit: PhysicalValue,
        "EVMaximumPowerLimit" ev_maximum_power_limit: Option<PhysicalValue>,
        "EVMaximumVoltageLimit" ev_maximum_voltage_limit: PhysicalValue,
        "EVEnergyCapacity" ev_energy_capacity: Option<PhysicalValue>,
        "EVEnergyRequest" ev_energy_request: Option<PhysicalValue>,
        "FullSOC" full_soc: Option<Percent>,
        "BulkSOC" bulk_soc: Option<Percent>,
    }
}

sequence! {
    /// `AC_EVChargeParameterType`.
    AcEvChargeParameter {
        "DepartureTime" departure_time: u32,
        "EAmount" e_amount: PhysicalValue,
        "EVMaxVoltage" ev_max_voltage: PhysicalValue,
        "EVMaxCurrent" ev_max_current: PhysicalValue,
        "EVMinCurrent" ev_min_current: PhysicalValue,
    }
}

substitution_group! {
    /// `EVChargeParameter`.
    EvChargeParameter of 3 {
        0 "AC_EVChargeParameter" Ac(AcEvChargeParameter),
        1 "DC_EVChargeParameter" Dc(DcEvChargeParameter),
    }
}

sequence! {
    /// `DC_EVSEChargeParameterType`.
    DcEvseChargeParameter {
        "DC_EVSEStatus" dc_evse_status: DcEvseStatus,
        "EVSEMaximumCurrentLimit" evse_maximum_current_limit: PhysicalValue,
        "EVSEMaximumPowerLimit" evse_maximum_power_limit: Option<PhysicalValue>,
        "EVSEMaximumVoltageLimit" evse_maximum_voltage_limit: PhysicalValue,
        "EVSEMinimumCurrentLimit" evse_minimum_current_limit: PhysicalValue,
        "EVSEMinimumVoltageLimit" evse_minimum_voltage_limit: PhysicalValue,
        "EVSECurrentRegulationTolerance" evse_current_regulation_tolerance: Option<PhysicalValue>,
        "EVSEPeakCurrentRipple" evse_peak_current_ripple: PhysicalValue,
        "EVSEEnergyToBeDelivered" evse_energy_to_be_delivered: Option<PhysicalValue>,
    }
}

sequence! {
    /// `AC_EVSEChargeParameterType`.
    AcEvseChargeParameter {
        "AC_EVSEStatus" ac_evse_status: AcEvseStatus,
        "EVSEMaxVoltage" evse_max_voltage: PhysicalValue,
        "EVSEMaxCurrent" evse_max_current: PhysicalValue,
        "EVSEMinCurrent" evse_min_current: PhysicalValue,
    }
}

substitution_group! {
    /// `EVSEChargeParameter`.
    EvseChargeParameter of 3 {
        0 "AC_EVSEChargeParameter" Ac(AcEvseChargeParameter),
        1 "DC_EVSEChargeParameter" Dc(DcEvseChargeParameter),
    }
}

substitution_group! {
    /// `SASchedules`.
    SaSchedules of 2 {
        0 "SAScheduleList" List(SaScheduleList),
    }
}

sequence! {
    /// `SAScheduleListType`.
    SaScheduleList {
        "SAScheduleTuple" sa_schedule_tuple: Vec<SaScheduleTuple>,
    }
}

sequence! {
    /// `SAScheduleTupleType`.
    SaScheduleTuple {
        "SAScheduleTupleID" sa_schedule_tuple_id: i16,
        "PMaxSchedule" p_max_schedule: PMaxSchedule,
        "SalesTariff" sales_tariff: Option<NotModelled>,
    }
}

sequence! {
    /// `PMaxScheduleType`.
    PMaxSchedule {
        "PMaxScheduleID" p_max_schedule_id: i16,
        "PMaxScheduleEntry" p_max_schedule_entry: Vec<PMaxScheduleEntry>,
    }
}

sequence! {
    /// `PMaxScheduleEntryType`.
    PMaxScheduleEntry {
        "TimeInterval" time_interval: TimeInterval,
        "PMax" p_max: PMax,
    }
}

substitution_group! {
    /// `TimeInterval`.
    TimeInterval of 2 {
        0 "RelativeTimeInterval" Relative(RelativeTimeInterval),
    }
}

sequence! {
    /// `RelativeTimeIntervalType`, seconds.
    RelativeTimeInterval {
        "start" start: u32,
        "duration" duration: Option<u32>,
    }
}

sequence! {
    /// `ChargingProfileType`.
    ChargingProfile {
        "SAScheduleTupleID" sa_schedule_tuple_id: i16,
        "ProfileEntry" profile_entry: Vec<ProfileEntry>,
    }
}

sequence! {
    /// `ProfileEntryType`.
    ProfileEntry {
        "ChargingProfileEntryStart" charging_profile_entry_start: u32,
        "ChargingProfileEntryMaxPower" charging_profile_entry_max_power: PMax,
    }
}

sequence! {
    /// `DC_EVPowerDeliveryParameterType`.
    DcEvPowerDeliveryParameter {
        "DC_EVStatus" dc_ev_status: DcEvStatus,
        "BulkChargingComplete" bulk_charging_complete: Option<bool>,
        "ChargingComplete" charging_complete: bool,
    }
}

substitution_group! {
    /// `EVPowerDeliveryParameter`.
    EvPowerDeliveryParameter of 2 {
        0 "DC_EVPowerDeliveryParameter" Dc(DcEvPowerDeliveryParameter),
    }
}

sequence! {
    /// `MeterInfoType`.
    MeterInfo {
        "MeterID" meter_id: Text<32>,
        "MeterReading" meter_reading: Option<PhysicalValue>,
        "SigMeterReading" sig_meter_reading: Option<Base64Binary<32>>,
        "MeterStatus" meter_status: Option<i16>,
        /// Seconds since 1970.
        "TMeter" t_meter: Option<i64>,
    }
}

sequence! {
    /// `CertificateChainType`.
    #[derive(Default)]
    CertificateChain {
        "Certificate" certificate: Base64Binary<1200>,
        "SubCertificates" sub_certificates: Option<SubCertificates>,
    }
}

sequence! {
    /// `SubCertificatesType`.
    SubCertificates {
        "Certificate" certificate: Vec<Base64Binary<1200>>,
    }
}

sequence! {
    /// `ListOfRootCertificateIDsType`.
    ListOfRootCertificateIds {
        "RootCertificateID" root_certificate_id: Vec<Text<40>>,
    }
}
