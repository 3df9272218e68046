//! The messages.

use iso15118::exi::{Decoder, Encoder, ExiDocument, ExiResult, Header, ValueCoding};

use crate::enumerations::*;
use crate::grammar::{Content as _, context, sequence, substitution_group};
use crate::types::*;
use crate::values::*;

/// `V2G_Message` among the elements that a document may consist of, and the width of that choice.
const V2G_MESSAGE: (u64, u32) = (77, 7);

sequence! {
    /// `V2G_Message`, the one document of this message set.
    V2gMessage {
        "Header" header: MessageHeader,
        "Body" body: Body,
    }
}

impl V2gMessage {
    /// A message under this session id.
    #[must_use]
    pub fn new(session_id: &[u8], element: impl Into<BodyElement>) -> Self {
        Self {
            header: MessageHeader {
                session_id: HexBinary(session_id.into()),
                notification: None,
                signature: None,
            },
            body: Body { element: Some(element.into()) },
        }
    }
}

impl ExiDocument for V2gMessage {
    fn to_slice_with(&self, buf: &mut [u8], coding: ValueCoding) -> ExiResult<usize> {
        let mut e = Encoder::with_value_coding(buf, coding);
        e.write_header(Header::ISO15118)?;
        let (code, width) = V2G_MESSAGE;
        e.event(code, width)?;
        self.encode(&mut e, context("V2G_Message"))?;
        e.finish()
    }

    fn from_bytes(bytes: &[u8]) -> ExiResult<Self> {
        let mut d = Decoder::new(bytes);
        d.read_header()?;
        let (code, width) = V2G_MESSAGE;
        d.expect_event(code, width)?;
        let message = Self::decode(&mut d, 0, context("V2G_Message"))?;
        d.finish()?;
        Ok(message)
    }
}

sequence! {
    /// `BodyType`.
    Body {
        "BodyElement" element: Option<BodyElement>,
    }
}

macro_rules! body_elements {
    ($($code:literal $element:literal $name:ident,)*) => {
        substitution_group! {
            /// `BodyElement`: a request or a response.
            BodyElement of 35 { $($code $element $name($name),)* }
        }

        $(impl From<$name> for BodyElement {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*
    };
}

body_elements! {
    1 "CableCheckReq" CableCheckReq,
    2 "CableCheckRes" CableCheckRes,
    3 "CertificateInstallationReq" CertificateInstallationReq,
    4 "CertificateInstallationRes" CertificateInstallationRes,
    5 "CertificateUpdateReq" CertificateUpdateReq,
    6 "CertificateUpdateRes" CertificateUpdateRes,
    7 "ChargeParameterDiscoveryReq" ChargeParameterDiscoveryReq,
    8 "ChargeParameterDiscoveryRes" ChargeParameterDiscoveryRes,
    9 "ChargingStatusReq" ChargingStatusReq,
    10 "ChargingStatusRes" ChargingStatusRes,
    11 "ContractAuthenticationReq" ContractAuthenticationReq,
    12 "ContractAuthenticationRes" ContractAuthenticationRes,
    13 "CurrentDemandReq" CurrentDemandReq,
    14 "CurrentDemandRes" CurrentDemandRes,
    15 "MeteringReceiptReq" MeteringReceiptReq,
    16 "MeteringReceiptRes" MeteringReceiptRes,
    17 "PaymentDetailsReq" PaymentDetailsReq,
    18 "PaymentDetailsRes" PaymentDetailsRes,
    19 "PowerDeliveryReq" PowerDeliveryReq,
    20 "PowerDeliveryRes" PowerDeliveryRes,
    21 "PreChargeReq" PreChargeReq,
    22 "PreChargeRes" PreChargeRes,
    23 "ServiceDetailReq" ServiceDetailReq,
    24 "ServiceDetailRes" ServiceDetailRes,
    25 "ServiceDiscoveryReq" ServiceDiscoveryReq,
    26 "ServiceDiscoveryRes" ServiceDiscoveryRes,
    27 "ServicePaymentSelectionReq" ServicePaymentSelectionReq,
    28 "ServicePaymentSelectionRes" ServicePaymentSelectionRes,
    29 "SessionSetupReq" SessionSetupReq,
    30 "SessionSetupRes" SessionSetupRes,
    31 "SessionStopReq" SessionStopReq,
    32 "SessionStopRes" SessionStopRes,
    33 "WeldingDetectionReq" WeldingDetectionReq,
    34 "WeldingDetectionRes" WeldingDetectionRes,
}

sequence! {
    /// Opens the session.
    SessionSetupReq {
        /// The vehicle's MAC address, in six bytes or in eight.
        "EVCCID" evcc_id: HexBinary<8>,
    }
}

sequence! {
    /// Answers [`SessionSetupReq`].
    SessionSetupRes {
        "ResponseCode" response_code: ResponseCode,
        "EVSEID" evse_id: HexBinary<32>,
        /// Seconds since 1970.
        "DateTimeNow" date_time_now: Option<i64>,
    }
}

sequence! {
    /// Asks what is offered.
    ServiceDiscoveryReq {
        "ServiceScope" service_scope: Option<Text<32>>,
        "ServiceCategory" service_category: Option<ServiceCategory>,
    }
}

sequence! {
    /// Answers [`ServiceDiscoveryReq`].
    ServiceDiscoveryRes {
        "ResponseCode" response_code: ResponseCode,
        "PaymentOptions" payment_options: PaymentOptions,
        "ChargeService" charge_service: ChargeService,
        "ServiceList" service_list: Option<ServiceList>,
    }
}

sequence! {
    /// Asks for the details of one service.
    ServiceDetailReq {
        "ServiceID" service_id: u16,
    }
}

sequence! {
    /// Answers [`ServiceDetailReq`].
    ServiceDetailRes {
        "ResponseCode" response_code: ResponseCode,
        "ServiceID" service_id: u16,
        "ServiceParameterList" service_parameter_list: Option<ServiceParameterList>,
    }
}

sequence! {
    /// Chooses the payment and the services.
    ServicePaymentSelectionReq {
        "SelectedPaymentOption" selected_payment_option: PaymentOption,
        "SelectedServiceList" selected_service_list: SelectedServiceList,
    }
}

sequence! {
    /// Answers [`ServicePaymentSelectionReq`].
    ServicePaymentSelectionRes {
        "ResponseCode" response_code: ResponseCode,
    }
}

sequence! {
    /// Shows a contract; not part of DC charging.
    PaymentDetailsReq {
        "ContractID" contract_id: Text<24>,
        "ContractSignatureCertChain" contract_signature_cert_chain: CertificateChain,
    }
}

sequence! {
    /// Answers [`PaymentDetailsReq`].
    #[derive(Default)]
    PaymentDetailsRes {
        "ResponseCode" response_code: ResponseCode,
        "GenChallenge" gen_challenge: AnyText,
        /// Seconds since 1970.
        "DateTimeNow" date_time_now: i64,
    }
}

sequence! {
    /// Asks whether it may charge.
    ContractAuthenticationReq {
        "Id" id: Option<Attribute<AnyText>>,
        "GenChallenge" gen_challenge: Option<AnyText>,
    }
}

sequence! {
    /// Answers [`ContractAuthenticationReq`].
    ContractAuthenticationRes {
        "ResponseCode" response_code: ResponseCode,
        "EVSEProcessing" evse_processing: EvseProcessing,
    }
}

sequence! {
    /// Names the vehicle's limits, and asks for the station's.
    ChargeParameterDiscoveryReq {
        "EVRequestedEnergyTransferType" ev_requested_energy_transfer_type: EvRequestedEnergyTransferType,
        "EVChargeParameter" ev_charge_parameter: EvChargeParameter,
    }
}

sequence! {
    /// Answers [`ChargeParameterDiscoveryReq`].
    ChargeParameterDiscoveryRes {
        "ResponseCode" response_code: ResponseCode,
        "EVSEProcessing" evse_processing: EvseProcessing,
        "SASchedules" sa_schedules: SaSchedules,
        "EVSEChargeParameter" evse_charge_parameter: EvseChargeParameter,
    }
}

sequence! {
    /// Starts or stops the delivery.
    PowerDeliveryReq {
        "ReadyToChargeState" ready_to_charge_state: bool,
        "ChargingProfile" charging_profile: Option<ChargingProfile>,
        "EVPowerDeliveryParameter" ev_power_delivery_parameter: Option<EvPowerDeliveryParameter>,
    }
}

sequence! {
    /// Answers [`PowerDeliveryReq`].
    PowerDeliveryRes {
        "ResponseCode" response_code: ResponseCode,
        "EVSEStatus" evse_status: EvseStatus,
    }
}

sequence! {
    /// Asks how AC charging goes; not part of DC charging.
    ChargingStatusReq {}
}

sequence! {
    /// Answers [`ChargingStatusReq`].
    #[derive(Default)]
    ChargingStatusRes {
        "ResponseCode" response_code: ResponseCode,
        "EVSEID" evse_id: HexBinary<32>,
        "SAScheduleTupleID" sa_schedule_tuple_id: i16,
        "EVSEMaxCurrent" evse_max_current: Option<PhysicalValue>,
        "MeterInfo" meter_info: Option<MeterInfo>,
        "ReceiptRequired" receipt_required: bool,
        "AC_EVSEStatus" ac_evse_status: AcEvseStatus,
    }
}

sequence! {
    /// Acknowledges a meter reading; not part of DC charging.
    MeteringReceiptReq {
        "Id" id: Option<Attribute<AnyText>>,
        "SessionID" session_id: HexBinary<8>,
        "SAScheduleTupleID" sa_schedule_tuple_id: Option<i16>,
        "MeterInfo" meter_info: MeterInfo,
    }
}

sequence! {
    /// Answers [`MeteringReceiptReq`].
    #[derive(Default)]
    MeteringReceiptRes {
        "ResponseCode" response_code: ResponseCode,
        "AC_EVSEStatus" ac_evse_status: AcEvseStatus,
    }
}

sequence! {
    /// Ends the session.
    SessionStopReq {}
}

sequence! {
    /// Answers [`SessionStopReq`].
    SessionStopRes {
        "ResponseCode" response_code: ResponseCode,
    }
}

sequence! {
    /// Asks for a fresher contract certificate; not part of DC charging.
    CertificateUpdateReq {
        "Id" id: Option<Attribute<AnyText>>,
        "ContractSignatureCertChain" contract_signature_cert_chain: CertificateChain,
        "ContractID" contract_id: Text<24>,
        "ListOfRootCertificateIDs" list_of_root_certificate_ids: ListOfRootCertificateIds,
        "DHParams" dh_params: Base64Binary<256>,
    }
}

sequence! {
    /// Answers [`CertificateUpdateReq`].
    #[derive(Default)]
    CertificateUpdateRes {
        "Id" id: Attribute<AnyText>,
        "ResponseCode" response_code: ResponseCode,
        "ContractSignatureCertChain" contract_signature_cert_chain: CertificateChain,
        "ContractSignatureEncryptedPrivateKey" contract_signature_encrypted_private_key: Base64Binary<128>,
        "DHParams" dh_params: Base64Binary<256>,
        "ContractID" contract_id: Text<24>,
        "RetryCounter" retry_counter: i16,
    }
}

sequence! {
    /// Asks for a contract certificate; not part of DC charging.
    CertificateInstallationReq {
        "Id" id: Option<Attribute<AnyText>>,
        "OEMProvisioningCert" oem_provisioning_cert: Base64Binary<1200>,
        "ListOfRootCertificateIDs" list_of_root_certificate_ids: ListOfRootCertificateIds,
        "DHParams" dh_params: Base64Binary<256>,
    }
}

sequence! {
    /// Answers [`CertificateInstallationReq`].
    #[derive(Default)]
    CertificateInstallationRes {
        "Id" id: Attribute<AnyText>,
        "ResponseCode" response_code: ResponseCode,
        "ContractSignatureCertChain" contract_signature_cert_chain: CertificateChain,
        "ContractSignatureEncryptedPrivateKey" contract_signature_encrypted_private_key: Base64Binary<128>,
        "DHParams" dh_params: Base64Binary<256>,
        "ContractID" contract_id: Text<24>,
    }
}

sequence! {
    /// Asks whether the insulation test is done.
    CableCheckReq {
        "DC_EVStatus" dc_ev_status: DcEvStatus,
    }
}

sequence! {
    /// Answers [`CableCheckReq`].
    CableCheckRes {
        "ResponseCode" response_code: ResponseCode,
        "DC_EVSEStatus" dc_evse_status: DcEvseStatus,
        "EVSEProcessing" evse_processing: EvseProcessing,
    }
}

sequence! {
    /// Asks for the battery's voltage on the cable.
    PreChargeReq {
        "DC_EVStatus" dc_ev_status: DcEvStatus,
        "EVTargetVoltage" ev_target_voltage: PhysicalValue,
        "EVTargetCurrent" ev_target_current: PhysicalValue,
    }
}

sequence! {
    /// Answers [`PreChargeReq`].
    PreChargeRes {
        "ResponseCode" response_code: ResponseCode,
        "DC_EVSEStatus" dc_evse_status: DcEvseStatus,
        "EVSEPresentVoltage" evse_present_voltage: PhysicalValue,
    }
}

sequence! {
    /// One round of the charge loop.
    CurrentDemandReq {
        "DC_EVStatus" dc_ev_status: DcEvStatus,
        "EVTargetCurrent" ev_target_current: PhysicalValue,
        "EVMaximumVoltageLimit" ev_maximum_voltage_limit: Option<PhysicalValue>,
        "EVMaximumCurrentLimit" ev_maximum_current_limit: Option<PhysicalValue>,
        "EVMaximumPowerLimit" ev_maximum_power_limit: Option<PhysicalValue>,
        "BulkChargingComplete" bulk_charging_complete: Option<bool>,
        "ChargingComplete" charging_complete: bool,
        "RemainingTimeToFullSoC" remaining_time_to_full_soc: Option<PhysicalValue>,
        "RemainingTimeToBulkSoC" remaining_time_to_bulk_soc: Option<PhysicalValue>,
        "EVTargetVoltage" ev_target_voltage: PhysicalValue,
    }
}

sequence! {
    /// Answers [`CurrentDemandReq`].
    CurrentDemandRes {
        "ResponseCode" response_code: ResponseCode,
        "DC_EVSEStatus" dc_evse_status: DcEvseStatus,
        "EVSEPresentVoltage" evse_present_voltage: PhysicalValue,
        "EVSEPresentCurrent" evse_present_current: PhysicalValue,
        "EVSECurrentLimitAchieved" evse_current_limit_achieved: bool,
        "EVSEVoltageLimitAchieved" evse_voltage_limit_achieved: bool,
        "EVSEPowerLimitAchieved" evse_power_limit_achieved: bool,
        "EVSEMaximumVoltageLimit" evse_maximum_voltage_limit: Option<PhysicalValue>,
        "EVSEMaximumCurrentLimit" evse_maximum_current_limit: Option<PhysicalValue>,
        "EVSEMaximumPowerLimit" evse_maximum_power_limit: Option<PhysicalValue>,
    }
}

sequence! {
    /// Asks for the voltage on the cable, while the vehicle opens its contactors.
    WeldingDetectionReq {
        "DC_EVStatus" dc_ev_status: DcEvStatus,
    }
}

sequence! {
    /// Answers [`WeldingDetectionReq`].
    WeldingDetectionRes {
        "ResponseCode" response_code: ResponseCode,
        "DC_EVSEStatus" dc_evse_status: DcEvseStatus,
        "EVSEPresentVoltage" evse_present_voltage: PhysicalValue,
    }
}
