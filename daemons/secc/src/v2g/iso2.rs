//! ISO 15118-2:2014, DC, external payment and Plug & Charge: its messages read into [`Request`]; [`write`]
//! writes them from answers.

mod schedules;
mod write;

use std::time::Duration;

use iso15118::iso2::{
    self, BodyChoice as B, ChargeParameterDiscoveryReqChoice, DCEVErrorCode, EnergyTransferMode,
};
use iso15118::message::Message;

use super::contract::Exchange;
use super::physical::{self, told};
use super::{Identity, WireError};
use crate::contract;
use crate::message::{
    Chosen, DcMode, DcParameters, EvLimits, EvStatus, Needs, Progress, Request, Target, Unfit,
};

/// The service of charging.
const CHARGING: u16 = 1;
/// The service of contract certificates, and its parameter sets (ISO 15118-2 tables 105 and 106).
const CERTIFICATES: u16 = 2;
const CERTIFICATE_SERVICES: [(i16, &str); 2] = [(1, "Installation"), (2, "Update")];

pub(super) use write::answer;

/// Reads a request and the session id it carries.
pub(super) fn request(
    message: &Message,
    payload: &[u8],
    identity: &Identity,
    exchange: &mut Exchange,
    unix_seconds: u64,
) -> Result<(Vec<u8>, Request), WireError> {
    let Message::Iso2(document) = message else {
        return Err(WireError::NotARequest(message.name()));
    };
    let iso2::Document::V2GMessage(whole) = &**document else {
        return Err(WireError::NotARequest(message.name()));
    };
    let body = whole.body.choice.as_ref().ok_or(WireError::NotARequest("an empty body"))?;
    let request = match contract_request(whole, body, payload, exchange, unix_seconds) {
        Some(request) => Request::Contract(request),
        None => body_request(body, identity, exchange)?,
    };
    Ok((whole.header.session_id.clone(), request))
}

/// What is asked under a contract, as long as contracts are offered.
#[expect(clippy::wildcard_enum_match_arm, reason = "the codec's enum: all else is no matter of contracts")]
fn contract_request(
    whole: &iso2::V2GMessage,
    body: &B,
    payload: &[u8],
    exchange: &mut Exchange,
    unix_seconds: u64,
) -> Option<contract::Request> {
    exchange.contracts.as_ref()?;
    let signature = whole.header.signature.as_ref();
    let certificate = |update| contract::Request::Certificate { update, message: payload.into() };
    match body {
        B::PaymentServiceSelectionReq(req) => {
            exchange.selected = req.selected_payment_option == iso2::PaymentOption::Contract;
            exchange.selected.then(|| contract::Request::Selection { chosen: chosen(req, true) })
        }
        B::PaymentDetailsReq(req) => {
            Some(contract::Request::Details { believed: exchange.details(req, unix_seconds) })
        }
        B::AuthorizationReq(req) if exchange.selected => {
            Some(contract::Request::Authorization { proof: exchange.authorization(req, signature) })
        }
        B::CertificateInstallationReq(_) => Some(certificate(false)),
        B::CertificateUpdateReq(_) => Some(certificate(true)),
        B::MeteringReceiptReq(req) => {
            Some(contract::Request::MeteringReceipt { signed: exchange.receipt(req, signature) })
        }
        _ => None,
    }
}

fn chosen(req: &iso2::PaymentServiceSelectionReq, contracts: bool) -> Chosen {
    let services = &req.selected_service_list.selected_service;
    let of_certificates = |set| CERTIFICATE_SERVICES.iter().any(|(id, _)| *id == set);
    let offered = |service: &iso2::SelectedService| match service.service_id {
        CHARGING => true,
        CERTIFICATES => contracts && service.parameter_set_id.is_none_or(of_certificates),
        _ => false,
    };
    if !services.iter().all(offered) {
        Chosen::NotOffered
    } else if services.iter().any(|service| service.service_id == CHARGING) {
        Chosen::Offered
    } else {
        Chosen::NoCharging
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the codec's enum: whatever is no request is refused")]
fn body_request(body: &B, identity: &Identity, exchange: &mut Exchange) -> Result<Request, WireError> {
    let contracts = exchange.contracts.is_some();
    Ok(match body {
        B::SessionSetupReq(req) => Request::SessionSetup { evcc_id: req.evcc_id.clone() },
        B::ServiceDiscoveryReq(req) => {
            exchange.listed = lists_certificates(req);
            Request::ServiceDiscovery
        }
        B::ServiceDetailReq(req) => Request::ServiceDetail {
            service_id: req.service_id,
            offered: req.service_id == CHARGING || contracts && req.service_id == CERTIFICATES,
        },
        B::PaymentServiceSelectionReq(req) => Request::PaymentServiceSelection {
            contract: req.selected_payment_option == iso2::PaymentOption::Contract,
            chosen: chosen(req, contracts),
        },
        B::AuthorizationReq(_) => Request::Authorization,
        B::ChargeParameterDiscoveryReq(req) => {
            Request::ChargeParameterDiscovery { dc: parameters(req, identity) }
        }
        B::CableCheckReq(req) => Request::CableCheck { status: Some(ev_status(&req.dc_ev_status)) },
        B::PreChargeReq(req) => Request::PreCharge {
            status: Some(ev_status(&req.dc_ev_status)),
            target: target(&req.ev_target_voltage, &req.ev_target_current),
        },
        B::PowerDeliveryReq(req) => Request::PowerDelivery {
            plan: Some(exchange.chosen(schedules::plan(req), req.charge_progress)),
            progress: progress(req.charge_progress),
            status: match &req.choice {
                Some(iso2::PowerDeliveryReqChoice::DCEVPowerDeliveryParameter(dc)) => {
                    Some(ev_status(&dc.dc_ev_status))
                }
                Some(iso2::PowerDeliveryReqChoice::EVPowerDeliveryParameter(_)) | None => None,
            },
        },
        B::CurrentDemandReq(req) => Request::CurrentDemand {
            status: Some(ev_status(&req.dc_ev_status)),
            target: target(&req.ev_target_voltage, &req.ev_target_current),
            limits: EvLimits {
                voltage: req.ev_maximum_voltage_limit.as_ref().and_then(physical::volts),
                current: req.ev_maximum_current_limit.as_ref().and_then(physical::amps),
                power: req.ev_maximum_power_limit.as_ref().and_then(physical::watts),
                ..EvLimits::default()
            },
            needs: Needs::default(),
        },
        B::WeldingDetectionReq(req) => {
            Request::WeldingDetection { status: Some(ev_status(&req.dc_ev_status)) }
        }
        B::SessionStopReq(req) => {
            Request::SessionStop { pause: req.charging_session == iso2::ChargingSession::Pause }
        }
        B::PaymentDetailsReq(_)
        | B::CertificateInstallationReq(_)
        | B::CertificateUpdateReq(_)
        | B::MeteringReceiptReq(_)
        | B::ChargingStatusReq(_) => Request::NotOffered(body.name()),
        other => return Err(WireError::NotARequest(other.name())),
    })
}

pub(super) const fn progress(progress: iso2::ChargeProgress) -> Progress {
    match progress {
        iso2::ChargeProgress::Start => Progress::Start,
        iso2::ChargeProgress::Stop => Progress::Stop,
        iso2::ChargeProgress::Renegotiate => Progress::Renegotiate,
    }
}

/// Whether the vehicle wants to hear of the service of certificates: it may ask for services of one
/// category or scope alone.
fn lists_certificates(req: &iso2::ServiceDiscoveryReq) -> bool {
    let category =
        req.service_category.is_none_or(|category| category == iso2::ServiceCategory::ContractCertificate);
    category && req.service_scope.as_ref().is_none_or(String::is_empty)
}

/// The DC parameters. Of the vehicle's limits only those the energy path needs must make
/// sense; a power or a capacity that does not is taken as not told.
fn parameters(req: &iso2::ChargeParameterDiscoveryReq, identity: &Identity) -> Result<DcParameters, Unfit> {
    use EnergyTransferMode as M;
    let mode = match req.requested_energy_transfer_mode {
        M::DCCore => DcMode::Core,
        M::DCExtended => DcMode::Extended,
        M::DCComboCore => DcMode::ComboCore,
        M::DCUnique => DcMode::Unique,
        M::ACSinglePhaseCore | M::ACThreePhaseCore => return Err(Unfit::Mode("AC")),
    };
    identity.serve(mode)?;
    let ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(dc) = &req.choice else {
        return Err(Unfit::Parameters);
    };
    let limits = EvLimits {
        voltage: Some(sense(physical::volts(&dc.ev_maximum_voltage_limit), "EVMaximumVoltageLimit")?),
        current: Some(sense(physical::amps(&dc.ev_maximum_current_limit), "EVMaximumCurrentLimit")?),
        power: told(dc.ev_maximum_power_limit.as_ref(), physical::watts, "EVMaximumPowerLimit"),
        capacity: told(dc.ev_energy_capacity.as_ref(), physical::watt_hours, "EVEnergyCapacity"),
        ..EvLimits::default()
    };
    let needs = Needs {
        departure: dc.departure_time.map(|seconds| Duration::from_secs(u64::from(seconds))),
        energy: told(dc.ev_energy_request.as_ref(), physical::watt_hours, "EVEnergyRequest"),
        soc: dc.full_soc.map(physical::percent),
        ..Needs::default()
    };
    let entries_max = req.max_entries_sa_schedule_tuple.unwrap_or_default();
    Ok(DcParameters { limits, status: Some(ev_status(&dc.dc_ev_status)), needs, entries_max })
}

fn target(voltage: &iso2::PhysicalValue, current: &iso2::PhysicalValue) -> Result<Target, Unfit> {
    Ok(Target {
        voltage: sense(physical::volts(voltage), "EVTargetVoltage")?,
        current: sense(physical::amps(current), "EVTargetCurrent")?,
    })
}

fn sense<T>(value: Option<T>, element: &'static str) -> Result<T, Unfit> {
    value.ok_or(Unfit::Value(element))
}

fn ev_status(status: &iso2::DCEVStatus) -> EvStatus {
    EvStatus {
        soc: physical::percent(status.ev_ress_soc),
        ready: status.ev_ready,
        error: match status.ev_error_code {
            DCEVErrorCode::NOERROR => "",
            DCEVErrorCode::FAILEDRESSTemperatureInhibit => "FAILED_RESSTemperatureInhibit",
            DCEVErrorCode::FAILEDEVShiftPosition => "FAILED_EVShiftPosition",
            DCEVErrorCode::FAILEDChargerConnectorLockFault => "FAILED_ChargerConnectorLockFault",
            DCEVErrorCode::FAILEDEVRESSMalfunction => "FAILED_EVRESSMalfunction",
            DCEVErrorCode::FAILEDChargingCurrentdifferential => "FAILED_ChargingCurrentdifferential",
            DCEVErrorCode::FAILEDChargingVoltageOutOfRange => "FAILED_ChargingVoltageOutOfRange",
            DCEVErrorCode::FAILEDChargingSystemIncompatibility => "FAILED_ChargingSystemIncompatibility",
            DCEVErrorCode::NoData => "NoData",
            DCEVErrorCode::ReservedA | DCEVErrorCode::ReservedB | DCEVErrorCode::ReservedC => "reserved",
        },
    }
}
