//! DIN 70121: its messages read into [`Request`], and written from [`Answer`].

use voltry_bus::{EvseStatusCode, Isolation};
use voltry_din70121::{self as din, BodyElement as B, DcEvseStatusCode, ResponseCode, Unit, V2gMessage};

use super::physical::{self, Quantity, Rational, told};
use super::{Identity, WireError};
use crate::message::{
    Answer, Body, Chosen, Code, DcMode, DcParameters, EvLimits, EvStatus, Limits, Needs, Processing,
    Progress, Request, Status, Target, Unfit,
};

/// The one schedule offered, and its one service.
const SCHEDULE: i16 = 1;
const SCHEDULE_SECONDS: u32 = 86_400;
const CHARGING: u16 = 1;
/// EVSEID's longest, bytes.
const EVSE_ID_MAX: usize = 32;

/// Reads a request and the session id it carries.
pub(super) fn request(message: &V2gMessage, identity: &Identity) -> Result<(Vec<u8>, Request), WireError> {
    let body = message.body.element.as_ref().ok_or(WireError::NotARequest("an empty body"))?;
    Ok((message.header.session_id.0.clone(), body_request(body, identity)?))
}

fn body_request(body: &B, identity: &Identity) -> Result<Request, WireError> {
    Ok(match body {
        B::SessionSetupReq(req) => Request::SessionSetup { evcc_id: req.evcc_id.0.clone() },
        B::ServiceDiscoveryReq(_) => Request::ServiceDiscovery,
        B::ServiceDetailReq(req) => {
            Request::ServiceDetail { service_id: req.service_id, offered: req.service_id == CHARGING }
        }
        B::ServicePaymentSelectionReq(req) => Request::PaymentServiceSelection {
            contract: req.selected_payment_option == din::PaymentOption::Contract,
            chosen: chosen(&req.selected_service_list.selected_service),
        },
        B::ContractAuthenticationReq(_) => Request::Authorization,
        B::ChargeParameterDiscoveryReq(req) => {
            Request::ChargeParameterDiscovery { dc: parameters(req, identity) }
        }
        B::CableCheckReq(req) => Request::CableCheck { status: Some(ev_status(&req.dc_ev_status)) },
        B::PreChargeReq(req) => Request::PreCharge {
            status: Some(ev_status(&req.dc_ev_status)),
            target: target(&req.ev_target_voltage, &req.ev_target_current),
        },
        B::PowerDeliveryReq(req) => Request::PowerDelivery {
            // A profile binds nobody here: there is one schedule, and no tariff.
            plan: None,
            progress: if req.ready_to_charge_state { Progress::Start } else { Progress::Stop },
            status: req
                .ev_power_delivery_parameter
                .as_ref()
                .map(|din::EvPowerDeliveryParameter::Dc(dc)| ev_status(&dc.dc_ev_status)),
        },
        B::CurrentDemandReq(req) => Request::CurrentDemand {
            status: Some(ev_status(&req.dc_ev_status)),
            target: target(&req.ev_target_voltage, &req.ev_target_current),
            limits: EvLimits {
                voltage: req.ev_maximum_voltage_limit.and_then(|limit| read(limit, Unit::Volts)),
                current: req.ev_maximum_current_limit.and_then(|limit| read(limit, Unit::Amperes)),
                power: req.ev_maximum_power_limit.and_then(|limit| read(limit, Unit::Watts)),
                ..EvLimits::default()
            },
            needs: Needs::default(),
        },
        B::WeldingDetectionReq(req) => {
            Request::WeldingDetection { status: Some(ev_status(&req.dc_ev_status)) }
        }
        // There is no pause.
        B::SessionStopReq(_) => Request::SessionStop { pause: false },
        B::PaymentDetailsReq(_)
        | B::CertificateInstallationReq(_)
        | B::CertificateUpdateReq(_)
        | B::MeteringReceiptReq(_)
        | B::ChargingStatusReq(_) => Request::NotOffered(body.element()),
        B::SessionSetupRes(_)
        | B::ServiceDiscoveryRes(_)
        | B::ServiceDetailRes(_)
        | B::ServicePaymentSelectionRes(_)
        | B::PaymentDetailsRes(_)
        | B::ContractAuthenticationRes(_)
        | B::ChargeParameterDiscoveryRes(_)
        | B::CableCheckRes(_)
        | B::PreChargeRes(_)
        | B::PowerDeliveryRes(_)
        | B::CurrentDemandRes(_)
        | B::WeldingDetectionRes(_)
        | B::SessionStopRes(_)
        | B::CertificateInstallationRes(_)
        | B::CertificateUpdateRes(_)
        | B::MeteringReceiptRes(_)
        | B::ChargingStatusRes(_) => return Err(WireError::NotARequest(body.element())),
    })
}

/// The quantity, unless it is negative or beyond all sense. A value that names no unit has that
/// of its element.
fn read<Q: Quantity>(value: din::PhysicalValue, unit: Unit) -> Option<Q> {
    if value.unit.is_some_and(|told| told != unit) {
        return None;
    }
    physical::rational(&Rational { exponent: value.multiplier.0, value: value.value })
}

fn chosen(services: &[din::SelectedService]) -> Chosen {
    if services.iter().any(|service| service.service_id != CHARGING) {
        Chosen::NotOffered
    } else if services.is_empty() {
        Chosen::NoCharging
    } else {
        Chosen::Offered
    }
}

/// The DC parameters. Of the vehicle's limits only those that the energy path needs must make
/// sense; a power or a capacity that does not is taken as not told.
fn parameters(req: &din::ChargeParameterDiscoveryReq, identity: &Identity) -> Result<DcParameters, Unfit> {
    use din::EvRequestedEnergyTransferType as T;
    let mode = match req.ev_requested_energy_transfer_type {
        T::DcCore => DcMode::Core,
        T::DcExtended => DcMode::Extended,
        T::DcComboCore => DcMode::ComboCore,
        T::DcUnique => DcMode::Unique,
        T::AcSinglePhaseCore | T::AcThreePhaseCore => return Err(Unfit::Mode("AC")),
    };
    identity.serve(mode)?;
    let din::EvChargeParameter::Dc(dc) = &req.ev_charge_parameter else { return Err(Unfit::Parameters) };
    let limits = EvLimits {
        voltage: Some(sense(dc.ev_maximum_voltage_limit, Unit::Volts, "EVMaximumVoltageLimit")?),
        current: Some(sense(dc.ev_maximum_current_limit, Unit::Amperes, "EVMaximumCurrentLimit")?),
        power: told(dc.ev_maximum_power_limit, |limit| read(limit, Unit::Watts), "EVMaximumPowerLimit"),
        capacity: told(dc.ev_energy_capacity, |energy| read(energy, Unit::WattHours), "EVEnergyCapacity"),
        ..EvLimits::default()
    };
    let needs = Needs {
        energy: told(dc.ev_energy_request, |energy| read(energy, Unit::WattHours), "EVEnergyRequest"),
        soc: dc.full_soc.as_ref().map(|soc| physical::percent(soc.0)),
        ..Needs::default()
    };
    Ok(DcParameters { limits, status: Some(ev_status(&dc.dc_ev_status)), needs, entries_max: 0 })
}

fn target(voltage: &din::PhysicalValue, current: &din::PhysicalValue) -> Result<Target, Unfit> {
    Ok(Target {
        voltage: sense(*voltage, Unit::Volts, "EVTargetVoltage")?,
        current: sense(*current, Unit::Amperes, "EVTargetCurrent")?,
    })
}

fn sense<Q: Quantity>(value: din::PhysicalValue, unit: Unit, element: &'static str) -> Result<Q, Unfit> {
    read(value, unit).ok_or(Unfit::Value(element))
}

fn ev_status(status: &din::DcEvStatus) -> EvStatus {
    EvStatus {
        soc: physical::percent(status.ev_ress_soc.0),
        ready: status.ev_ready,
        error: if status.ev_error_code == din::DcEvErrorCode::NoError {
            ""
        } else {
            status.ev_error_code.text()
        },
    }
}

/// The answer as a message; `not_offered` is the request that [`Body::NotOffered`] answers.
pub(super) fn answer(
    not_offered: Option<&V2gMessage>,
    session_id: [u8; 8],
    identity: &Identity,
    answer: &Answer,
) -> Option<V2gMessage> {
    let response_code = response_code(answer.code);
    let body: B = match &answer.body {
        Body::SessionSetup => din::SessionSetupRes {
            response_code,
            evse_id: din::HexBinary(identity.evse_id.bytes().take(EVSE_ID_MAX).collect()),
            date_time_now: None,
        }
        .into(),
        Body::ServiceDiscovery => service_discovery(response_code, identity).into(),
        Body::ServiceDetail { service_id } => {
            let service_id = *service_id;
            din::ServiceDetailRes { response_code, service_id, service_parameter_list: None }.into()
        }
        Body::PaymentServiceSelection => din::ServicePaymentSelectionRes { response_code }.into(),
        Body::Authorization { processing } => {
            din::ContractAuthenticationRes { response_code, evse_processing: evse_processing(*processing) }
                .into()
        }
        Body::ChargeParameterDiscovery { processing, status, limits, offer: _ } => {
            discovery(response_code, identity, *processing, *status, limits).into()
        }
        Body::CableCheck { processing, status } => din::CableCheckRes {
            response_code,
            dc_evse_status: evse_status(*status),
            evse_processing: evse_processing(*processing),
        }
        .into(),
        Body::PreCharge { status, voltage } => din::PreChargeRes {
            response_code,
            dc_evse_status: evse_status(*status),
            evse_present_voltage: measured(*voltage, Unit::Volts),
        }
        .into(),
        Body::PowerDelivery { status } => {
            din::PowerDeliveryRes { response_code, evse_status: din::EvseStatus::Dc(evse_status(*status)) }
                .into()
        }
        // It knows no meter.
        Body::CurrentDemand { status, voltage, current, limited, limits, meter: _ } => {
            din::CurrentDemandRes {
                response_code,
                dc_evse_status: evse_status(*status),
                evse_present_voltage: measured(*voltage, Unit::Volts),
                evse_present_current: measured(*current, Unit::Amperes),
                evse_current_limit_achieved: limited.current,
                evse_voltage_limit_achieved: limited.voltage,
                evse_power_limit_achieved: limited.power,
                evse_maximum_voltage_limit: limits.map(|limits| limit(limits.voltage_max, Unit::Volts)),
                evse_maximum_current_limit: limits.map(|limits| limit(limits.current_max, Unit::Amperes)),
                evse_maximum_power_limit: limits.map(|limits| limit(limits.power_max, Unit::Watts)),
            }
            .into()
        }
        Body::WeldingDetection { status, voltage } => din::WeldingDetectionRes {
            response_code,
            dc_evse_status: evse_status(*status),
            evse_present_voltage: measured(*voltage, Unit::Volts),
        }
        .into(),
        Body::SessionStop => din::SessionStopRes { response_code }.into(),
        Body::NotOffered => refusal(not_offered?, response_code)?,
        // Contracts are not offered here; ISO 15118-20 alone asks for the others.
        Body::PaymentDetails
        | Body::Certificate(_)
        | Body::MeteringReceipt { .. }
        | Body::AuthorizationSetup
        | Body::ServiceSelection
        | Body::ScheduleExchange { .. } => return None,
    };
    Some(V2gMessage::new(&session_id, body))
}

/// The response to a message that DC charging has no use for: the code, and nothing else.
#[expect(clippy::wildcard_enum_match_arm, reason = "those that `body_request` does not offer, and no other")]
fn refusal(open: &V2gMessage, response_code: ResponseCode) -> Option<B> {
    Some(match open.body.element.as_ref()? {
        B::PaymentDetailsReq(_) => din::PaymentDetailsRes { response_code, ..Default::default() }.into(),
        B::CertificateInstallationReq(_) => {
            din::CertificateInstallationRes { response_code, ..Default::default() }.into()
        }
        B::CertificateUpdateReq(_) => {
            din::CertificateUpdateRes { response_code, ..Default::default() }.into()
        }
        B::MeteringReceiptReq(_) => din::MeteringReceiptRes { response_code, ..Default::default() }.into(),
        B::ChargingStatusReq(_) => din::ChargingStatusRes { response_code, ..Default::default() }.into(),
        _ => return None,
    })
}

fn service_discovery(response_code: ResponseCode, identity: &Identity) -> din::ServiceDiscoveryRes {
    din::ServiceDiscoveryRes {
        response_code,
        payment_options: din::PaymentOptions { payment_option: vec![din::PaymentOption::ExternalPayment] },
        charge_service: din::ChargeService {
            service_tag: din::ServiceTag {
                service_id: CHARGING,
                service_name: None,
                service_category: din::ServiceCategory::EvCharging,
                service_scope: None,
            },
            free_service: false,
            energy_transfer_type: match identity.dc_modes.first() {
                Some(DcMode::Core) => din::EvseSupportedEnergyTransferType::DcCore,
                Some(DcMode::ComboCore) => din::EvseSupportedEnergyTransferType::DcComboCore,
                // It knows no word for a plug of its own kind.
                Some(DcMode::Extended | DcMode::Unique) | None => {
                    din::EvseSupportedEnergyTransferType::DcExtended
                }
            },
        },
        service_list: None,
    }
}

fn discovery(
    response_code: ResponseCode,
    identity: &Identity,
    processing: Processing,
    status: Status,
    limits: &Limits,
) -> din::ChargeParameterDiscoveryRes {
    // A schedule's power ends at 32 767 W; EVSEMaximumPowerLimit tells the rest.
    let p_max = i16::try_from(limits.power_max.as_milli() / 1000).unwrap_or(i16::MAX);
    let schedule = din::SaScheduleTuple {
        sa_schedule_tuple_id: SCHEDULE,
        p_max_schedule: din::PMaxSchedule {
            p_max_schedule_id: SCHEDULE,
            p_max_schedule_entry: vec![din::PMaxScheduleEntry {
                time_interval: din::TimeInterval::Relative(din::RelativeTimeInterval {
                    start: 0,
                    duration: Some(SCHEDULE_SECONDS),
                }),
                p_max: din::PMax(i32::from(p_max)),
            }],
        },
        sales_tariff: None,
    };
    let parameter = din::DcEvseChargeParameter {
        dc_evse_status: evse_status(status),
        evse_maximum_current_limit: limit(limits.current_max, Unit::Amperes),
        evse_maximum_power_limit: Some(limit(limits.power_max, Unit::Watts)),
        evse_maximum_voltage_limit: limit(limits.voltage_max, Unit::Volts),
        evse_minimum_current_limit: measured(limits.current_min, Unit::Amperes),
        evse_minimum_voltage_limit: measured(limits.voltage_min, Unit::Volts),
        evse_current_regulation_tolerance: None,
        evse_peak_current_ripple: measured(identity.peak_current_ripple, Unit::Amperes),
        evse_energy_to_be_delivered: None,
    };
    din::ChargeParameterDiscoveryRes {
        response_code,
        evse_processing: evse_processing(processing),
        // Unlike in ISO 15118-2, every answer must hold a schedule.
        sa_schedules: din::SaSchedules::List(din::SaScheduleList { sa_schedule_tuple: vec![schedule] }),
        evse_charge_parameter: din::EvseChargeParameter::Dc(parameter),
    }
}

fn measured(quantity: impl Quantity, unit: Unit) -> din::PhysicalValue {
    physical_value(&physical::rational_measured(quantity), unit)
}

fn limit(quantity: impl Quantity, unit: Unit) -> din::PhysicalValue {
    physical_value(&physical::rational_limit(quantity), unit)
}

const fn physical_value(number: &Rational, unit: Unit) -> din::PhysicalValue {
    din::PhysicalValue { multiplier: din::Multiplier(number.exponent), unit: Some(unit), value: number.value }
}

fn evse_status(status: Status) -> din::DcEvseStatus {
    din::DcEvseStatus {
        evse_isolation_status: Some(match status.isolation {
            Isolation::Invalid => din::IsolationLevel::Invalid,
            Isolation::Valid => din::IsolationLevel::Valid,
            Isolation::Warning => din::IsolationLevel::Warning,
            Isolation::Fault => din::IsolationLevel::Fault,
        }),
        evse_status_code: match status.code {
            EvseStatusCode::NotReady => DcEvseStatusCode::NotReady,
            EvseStatusCode::Ready => DcEvseStatusCode::Ready,
            EvseStatusCode::Shutdown => DcEvseStatusCode::Shutdown,
            EvseStatusCode::IsolationMonitoringActive => DcEvseStatusCode::IsolationMonitoringActive,
            EvseStatusCode::EmergencyShutdown => DcEvseStatusCode::EmergencyShutdown,
            EvseStatusCode::Malfunction => DcEvseStatusCode::Malfunction,
        },
        notification_max_delay: 0,
        evse_notification: if status.stop {
            din::EvseNotification::StopCharging
        } else {
            din::EvseNotification::None
        },
    }
}

const fn evse_processing(processing: Processing) -> din::EvseProcessing {
    match processing {
        Processing::Ongoing | Processing::WaitingForCustomer => din::EvseProcessing::Ongoing,
        Processing::Finished => din::EvseProcessing::Finished,
    }
}

const fn response_code(code: Code) -> ResponseCode {
    match code {
        // Standby is ISO 15118-20's.
        Code::Ok => ResponseCode::Ok,
        Code::OkNewSessionEstablished => ResponseCode::OkNewSessionEstablished,
        Code::OkOldSessionJoined => ResponseCode::OkOldSessionJoined,
        // Contracts are not offered here.
        Code::Failed
        | Code::FailedCertChainError
        | Code::FailedCertificateExpired
        | Code::FailedCertificateRevoked
        | Code::FailedNoCertificateAvailable
        | Code::FailedSignatureError
        | Code::FailedChallengeInvalid
        | Code::FailedMeteringSignatureNotValid => ResponseCode::Failed,
        Code::FailedSequenceError => ResponseCode::FailedSequenceError,
        Code::FailedServiceIdInvalid => ResponseCode::FailedServiceIdInvalid,
        Code::FailedUnknownSession => ResponseCode::FailedUnknownSession,
        Code::FailedPaymentSelectionInvalid => ResponseCode::FailedPaymentSelectionInvalid,
        Code::FailedNoChargeServiceSelected | Code::FailedServiceSelectionInvalid => {
            ResponseCode::FailedServiceSelectionInvalid
        }
        Code::FailedWrongChargeParameter => ResponseCode::FailedWrongChargeParameter,
        Code::FailedTariffSelectionInvalid => ResponseCode::FailedTariffSelectionInvalid,
        Code::FailedChargingProfileInvalid => ResponseCode::FailedChargingProfileInvalid,
        Code::FailedWrongEnergyTransferMode => ResponseCode::FailedWrongEnergyTransferType,
        Code::FailedPowerDeliveryNotApplied => ResponseCode::FailedPowerDeliveryNotApplied,
    }
}
