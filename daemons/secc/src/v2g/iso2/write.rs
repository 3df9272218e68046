//! Answers to messages of ISO 15118-2.

use iso15118::iso2::{
    self, BodyChoice as B, DCEVSEStatusCode, EVSEProcessing, EnergyTransferMode, ResponseCode,
    UnitSymbol as U,
};
use iso15118::message::Message;
use iso15118::session::SessionId;
use voltry_bus::{EvseStatusCode, Isolation};

use super::{CERTIFICATE_SERVICES, CERTIFICATES, CHARGING, schedules};
use crate::config::Metering;
use crate::message::{Answer, Body, Code, DcMode, Metered, Processing, Protocol, Status, UNPLANNED};
use crate::v2g::contract::{Exchange, Issued, certificate_answer};
use crate::v2g::{Identity, physical};

/// The answer as a message; `open` is the request, if its refusal is built from it.
pub(in crate::v2g) fn answer(
    open: Option<&Message>,
    session_id: [u8; 8],
    unix_seconds: u64,
    identity: &Identity,
    exchange: &mut Exchange,
    answer: &Answer,
) -> Option<Message> {
    let response_code = response_code(answer.code);
    let body = match &answer.body {
        Body::SessionSetup => B::SessionSetupRes(iso2::SessionSetupRes {
            response_code,
            evse_id: identity.evse_id.clone(),
            evse_time_stamp: None,
        }),
        Body::ServiceDiscovery => {
            B::ServiceDiscoveryRes(service_discovery(response_code, identity, exchange))
        }
        Body::ServiceDetail { service_id } => B::ServiceDetailRes(iso2::ServiceDetailRes {
            response_code,
            service_id: *service_id,
            service_parameter_list: (*service_id == CERTIFICATES).then(certificate_services),
        }),
        Body::PaymentServiceSelection => {
            B::PaymentServiceSelectionRes(iso2::PaymentServiceSelectionRes { response_code })
        }
        Body::Authorization { processing } => B::AuthorizationRes(iso2::AuthorizationRes {
            response_code,
            evse_processing: evse_processing(*processing),
        }),
        Body::ChargeParameterDiscovery { .. } => {
            let (discovery, signature) = discovery(response_code, identity, exchange, &answer.body)?;
            return Some(signed(session_id, B::ChargeParameterDiscoveryRes(discovery), signature));
        }
        Body::CableCheck { processing, status } => B::CableCheckRes(iso2::CableCheckRes {
            response_code,
            dc_evse_status: evse_status(*status),
            evse_processing: evse_processing(*processing),
        }),
        Body::PreCharge { status, voltage } => B::PreChargeRes(iso2::PreChargeRes {
            response_code,
            dc_evse_status: evse_status(*status),
            evse_present_voltage: physical::measured(voltage.as_milli(), U::V),
        }),
        Body::PowerDelivery { status } => B::PowerDeliveryRes(iso2::PowerDeliveryRes {
            response_code,
            choice: iso2::PowerDeliveryResChoice::DCEVSEStatus(evse_status(*status)),
        }),
        Body::CurrentDemand { .. } => {
            let res = current_demand(response_code, identity, exchange.schedule, unix_seconds, &answer.body)?;
            if let (Some(true), Some(meter)) = (res.receipt_required, &res.meter_info) {
                exchange.issued = Some((SessionId::new(session_id), Issued::Iso2(meter.clone())));
            }
            B::CurrentDemandRes(res)
        }
        Body::WeldingDetection { status, voltage } => B::WeldingDetectionRes(iso2::WeldingDetectionRes {
            response_code,
            dc_evse_status: evse_status(*status),
            evse_present_voltage: physical::measured(voltage.as_milli(), U::V),
        }),
        Body::SessionStop => B::SessionStopRes(iso2::SessionStopRes { response_code }),
        Body::PaymentDetails => B::PaymentDetailsRes(iso2::PaymentDetailsRes {
            response_code,
            gen_challenge: exchange.challenge().to_vec(),
            evse_time_stamp: i64::try_from(unix_seconds).ok()?,
        }),
        Body::Certificate(Some(message)) => {
            let update = matches!(open?, Message::Iso2(document) if is_update(document));
            return certificate(session_id, update, message);
        }
        Body::MeteringReceipt { status } => B::MeteringReceiptRes(iso2::MeteringReceiptRes {
            response_code,
            choice: iso2::MeteringReceiptResChoice::DCEVSEStatus(evse_status(*status)),
        }),
        Body::Certificate(None) | Body::NotOffered => return refusal(open?, session_id, response_code),
        Body::AuthorizationSetup | Body::ServiceSelection | Body::ScheduleExchange { .. } => return None,
    };
    Some(whole(session_id, body))
}

fn whole(session_id: [u8; 8], body: B) -> Message {
    signed(session_id, body, None)
}

fn signed(session_id: [u8; 8], body: B, signature: Option<iso2::Signature>) -> Message {
    Message::Iso2(Box::new(iso2::Document::V2GMessage(iso2::V2GMessage {
        header: iso2::MessageHeader { session_id: session_id.to_vec(), notification: None, signature },
        body: iso2::Body { choice: Some(body) },
    })))
}

fn is_update(document: &iso2::Document) -> bool {
    let iso2::Document::V2GMessage(whole) = document else { return false };
    matches!(whole.body.choice, Some(B::CertificateUpdateReq(_)))
}

/// The back end's message under this session's id; its signatures are of what it holds.
fn certificate(session_id: [u8; 8], update: bool, message: &[u8]) -> Option<Message> {
    let (mut message, _) = certificate_answer(Protocol::Iso2, update, message).ok()?;
    message.set_session_id(SessionId::new(session_id));
    Some(message)
}

fn certificate_services() -> iso2::ServiceParameterList {
    let set = |(id, name): (i16, &str)| iso2::ParameterSet {
        parameter_set_id: id,
        parameter: vec![iso2::Parameter {
            name: "Service".to_owned(),
            choice: iso2::ParameterChoice::StringValue(name.to_owned()),
        }],
    };
    iso2::ServiceParameterList { parameter_set: CERTIFICATE_SERVICES.map(set).to_vec() }
}

fn refusal(open: &Message, session_id: [u8; 8], code: ResponseCode) -> Option<Message> {
    let mut refusal = open.refusal(u8::try_from(code.as_index()).ok()?)?;
    refusal.set_session_id(SessionId::new(session_id));
    Some(refusal)
}

fn service_discovery(
    response_code: ResponseCode,
    identity: &Identity,
    exchange: &Exchange,
) -> iso2::ServiceDiscoveryRes {
    let contracts = exchange.contracts.is_some();
    let mut payment_option = vec![iso2::PaymentOption::ExternalPayment];
    if contracts {
        payment_option.insert(0, iso2::PaymentOption::Contract);
    }
    let certificates = iso2::Service {
        service_id: CERTIFICATES,
        service_name: Some("Certificate".to_owned()),
        service_category: iso2::ServiceCategory::ContractCertificate,
        service_scope: None,
        free_service: true,
    };
    iso2::ServiceDiscoveryRes {
        response_code,
        payment_option_list: iso2::PaymentOptionList { payment_option },
        charge_service: iso2::ChargeService {
            service_id: CHARGING,
            service_name: None,
            service_category: iso2::ServiceCategory::EVCharging,
            service_scope: None,
            free_service: false,
            supported_energy_transfer_mode: iso2::SupportedEnergyTransferMode {
                energy_transfer_mode: identity
                    .dc_modes
                    .iter()
                    .map(|mode| energy_transfer_mode(*mode))
                    .collect(),
            },
        },
        service_list: (contracts && exchange.listed)
            .then(|| iso2::ServiceList { service: vec![certificates] }),
    }
}

const fn energy_transfer_mode(mode: DcMode) -> EnergyTransferMode {
    match mode {
        DcMode::Core => EnergyTransferMode::DCCore,
        DcMode::Extended => EnergyTransferMode::DCExtended,
        DcMode::ComboCore => EnergyTransferMode::DCComboCore,
        DcMode::Unique => EnergyTransferMode::DCUnique,
    }
}

fn discovery(
    response_code: ResponseCode,
    identity: &Identity,
    exchange: &Exchange,
    body: &Body,
) -> Option<(iso2::ChargeParameterDiscoveryRes, Option<iso2::Signature>)> {
    let Body::ChargeParameterDiscovery { processing, status, limits, offer } = body else { return None };
    let (list, signature) = offer.as_ref().map(|offer| schedules::list(offer, exchange.selected)).unzip();
    let parameter = iso2::DCEVSEChargeParameter {
        dc_evse_status: evse_status(*status),
        evse_maximum_current_limit: physical::limit(limits.current_max.as_milli(), U::A),
        evse_maximum_power_limit: physical::limit(limits.power_max.as_milli(), U::W),
        evse_maximum_voltage_limit: physical::limit(limits.voltage_max.as_milli(), U::V),
        evse_minimum_current_limit: physical::measured(limits.current_min.as_milli(), U::A),
        evse_minimum_voltage_limit: physical::measured(limits.voltage_min.as_milli(), U::V),
        evse_current_regulation_tolerance: None,
        evse_peak_current_ripple: physical::measured(identity.peak_current_ripple.as_milli(), U::A),
        evse_energy_to_be_delivered: None,
    };
    let discovery = iso2::ChargeParameterDiscoveryRes {
        response_code,
        evse_processing: evse_processing(*processing),
        // They stand in the answer that finishes; an Ongoing one has none to give yet.
        choice_2: list.map(iso2::ChargeParameterDiscoveryResChoice2::SAScheduleList),
        choice_3: iso2::ChargeParameterDiscoveryResChoice3::DCEVSEChargeParameter(parameter),
    };
    Some((discovery, signature.flatten()))
}

fn current_demand(
    response_code: ResponseCode,
    identity: &Identity,
    schedule: Option<u8>,
    unix_seconds: u64,
    body: &Body,
) -> Option<iso2::CurrentDemandRes> {
    let Body::CurrentDemand { status, voltage, current, limited, limits, meter } = body else { return None };
    let meter = identity.metering.as_ref().zip(*meter);
    Some(iso2::CurrentDemandRes {
        response_code,
        dc_evse_status: evse_status(*status),
        evse_present_voltage: physical::measured(voltage.as_milli(), U::V),
        evse_present_current: physical::measured(current.as_milli(), U::A),
        evse_current_limit_achieved: limited.current,
        evse_voltage_limit_achieved: limited.voltage,
        evse_power_limit_achieved: limited.power,
        evse_maximum_voltage_limit: limits.map(|l| physical::limit(l.voltage_max.as_milli(), U::V)),
        evse_maximum_current_limit: limits.map(|l| physical::limit(l.current_max.as_milli(), U::A)),
        evse_maximum_power_limit: limits.map(|l| physical::limit(l.power_max.as_milli(), U::W)),
        evse_id: identity.evse_id.clone(),
        sa_schedule_tuple_id: schedule.unwrap_or(UNPLANNED.0),
        meter_info: meter.map(|(metering, read)| meter_info(metering, unix_seconds, read)),
        // Left out, it asks for none.
        receipt_required: meter.filter(|(_, read)| read.receipt).map(|_| true),
    })
}

/// Of the register whole watt-hours, which a vehicle that compares must find again in the bill.
fn meter_info(metering: &Metering, unix_seconds: u64, read: Metered) -> iso2::MeterInfo {
    iso2::MeterInfo {
        meter_id: metering.id.clone(),
        meter_reading: Some(physical::whole_watt_hours(read.energy)),
        sig_meter_reading: None,
        meter_status: None,
        t_meter: i64::try_from(unix_seconds.saturating_sub(read.age.as_secs())).ok(),
    }
}

fn evse_status(status: Status) -> iso2::DCEVSEStatus {
    iso2::DCEVSEStatus {
        notification_max_delay: 0,
        evse_notification: if status.stop {
            iso2::EVSENotification::StopCharging
        } else if status.renegotiate {
            iso2::EVSENotification::ReNegotiation
        } else {
            iso2::EVSENotification::None
        },
        evse_isolation_status: Some(match status.isolation {
            Isolation::Invalid => iso2::IsolationLevel::Invalid,
            Isolation::Valid => iso2::IsolationLevel::Valid,
            Isolation::Warning => iso2::IsolationLevel::Warning,
            Isolation::Fault => iso2::IsolationLevel::Fault,
        }),
        evse_status_code: match status.code {
            EvseStatusCode::NotReady => DCEVSEStatusCode::EVSENotReady,
            EvseStatusCode::Ready => DCEVSEStatusCode::EVSEReady,
            EvseStatusCode::Shutdown => DCEVSEStatusCode::EVSEShutdown,
            EvseStatusCode::IsolationMonitoringActive => DCEVSEStatusCode::EVSEIsolationMonitoringActive,
            EvseStatusCode::EmergencyShutdown => DCEVSEStatusCode::EVSEEmergencyShutdown,
            EvseStatusCode::Malfunction => DCEVSEStatusCode::EVSEMalfunction,
        },
    }
}

const fn evse_processing(processing: Processing) -> EVSEProcessing {
    match processing {
        Processing::Ongoing => EVSEProcessing::Ongoing,
        Processing::WaitingForCustomer => EVSEProcessing::OngoingWaitingForCustomerInteraction,
        Processing::Finished => EVSEProcessing::Finished,
    }
}

const fn response_code(code: Code) -> ResponseCode {
    match code {
        Code::Ok => ResponseCode::OK,
        Code::OkNewSessionEstablished => ResponseCode::OKNewSessionEstablished,
        Code::OkOldSessionJoined => ResponseCode::OKOldSessionJoined,
        // Standby is a word of ISO 15118-20 alone.
        Code::Failed => ResponseCode::FAILED,
        Code::FailedSequenceError => ResponseCode::FAILEDSequenceError,
        Code::FailedServiceIdInvalid => ResponseCode::FAILEDServiceIDInvalid,
        Code::FailedServiceSelectionInvalid => ResponseCode::FAILEDServiceSelectionInvalid,
        Code::FailedUnknownSession => ResponseCode::FAILEDUnknownSession,
        Code::FailedPaymentSelectionInvalid => ResponseCode::FAILEDPaymentSelectionInvalid,
        Code::FailedNoChargeServiceSelected => ResponseCode::FAILEDNoChargeServiceSelected,
        Code::FailedWrongChargeParameter => ResponseCode::FAILEDWrongChargeParameter,
        Code::FailedTariffSelectionInvalid => ResponseCode::FAILEDTariffSelectionInvalid,
        Code::FailedChargingProfileInvalid => ResponseCode::FAILEDChargingProfileInvalid,
        Code::FailedWrongEnergyTransferMode => ResponseCode::FAILEDWrongEnergyTransferMode,
        Code::FailedPowerDeliveryNotApplied => ResponseCode::FAILEDPowerDeliveryNotApplied,
        Code::FailedCertChainError => ResponseCode::FAILEDCertChainError,
        Code::FailedCertificateRevoked => ResponseCode::FAILEDCertificateRevoked,
        Code::FailedCertificateExpired => ResponseCode::FAILEDCertificateExpired,
        Code::FailedNoCertificateAvailable => ResponseCode::FAILEDNoCertificateAvailable,
        Code::FailedSignatureError => ResponseCode::FAILEDSignatureError,
        Code::FailedChallengeInvalid => ResponseCode::FAILEDChallengeInvalid,
        Code::FailedMeteringSignatureNotValid => ResponseCode::FAILEDMeteringSignatureNotValid,
    }
}
