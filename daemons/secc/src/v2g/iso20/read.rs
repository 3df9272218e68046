//! Requests.

use std::time::Duration;

use iso15118::iso20::common;
use iso15118::iso20::dc::{
    self, DCChargeLoopReqChoice as LoopReq, DCChargeParameterDiscoveryReqChoice as ParameterReq,
};
use iso15118::iso20::messages::{self, ChargeProgress, ChargingSession};
use iso15118::message::Message;
use voltry_units::{Amps, Volts};

use super::{Form, id, parameter_sets};
use crate::contract::{self, Disbelief};
use crate::message::{
    Chosen, Code, DcParameters, EvLimits, EvStatus, Needs, Plan, PowerPoint, Progress, Request, Service,
    Target, Unfit,
};
use crate::v2g::contract::Exchange;
use crate::v2g::physical::{self, Rational, meant};
use crate::v2g::{Identity, WireError};

/// Reads a request, the session id it carries and the form of its answer.
#[expect(clippy::wildcard_enum_match_arm, reason = "the codec's enum: whatever is no request is refused")]
pub(in crate::v2g) fn request(
    message: &Message,
    payload: &[u8],
    identity: &Identity,
    exchange: &mut Exchange,
    unix_seconds: u64,
) -> Result<(Vec<u8>, Request, Form), WireError> {
    let (header, (request, form)) = match message {
        Message::Iso20(document) => {
            let request = main_request(document, payload, identity, exchange, unix_seconds)?;
            (document.header(), (request, Form::default()))
        }
        Message::Iso20Dc(document) => (document.header(), dc_request(document, exchange.bidirectional)?),
        other => return Err(WireError::NotARequest(other.name())),
    };
    let header = header.ok_or(WireError::NotARequest(message.name()))?;
    Ok((header.session_id.clone(), request, form.of(message)))
}

impl Form {
    /// A schedule exchange is a message of the common set, and has a form all the same.
    fn of(self, message: &Message) -> Self {
        let dynamic = matches!(message, Message::Iso20(document) if matches!(&**document,
            messages::Document::ScheduleExchangeReq(req)
                if matches!(req.choice, messages::ScheduleExchangeReqChoice::DynamicSEReqControlMode(_))));
        Self { dynamic: self.dynamic || dynamic, ..self }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the codec's enum: whatever is no request is refused")]
fn main_request(
    document: &messages::Document,
    payload: &[u8],
    identity: &Identity,
    exchange: &mut Exchange,
    unix_seconds: u64,
) -> Result<Request, WireError> {
    use messages::Document as D;
    Ok(match document {
        D::SessionSetupReq(req) => Request::SessionSetup { evcc_id: req.evcc_id.clone().into_bytes() },
        D::AuthorizationSetupReq(_) => {
            if exchange.draw_challenge().is_err() {
                exchange.contracts = None;
            }
            Request::AuthorizationSetup
        }
        D::AuthorizationReq(req) => match &req.choice {
            messages::AuthorizationReqChoice::EIMAReqAuthorizationMode(_) => Request::Authorization,
            messages::AuthorizationReqChoice::PnCAReqAuthorizationMode(mode)
                if exchange.contracts.is_some() =>
            {
                let signature = req.header.signature.as_ref();
                let proof = exchange.authorization_in_iso20(mode, signature, unix_seconds);
                Request::Contract(contract::Request::Authorization { proof })
            }
            messages::AuthorizationReqChoice::PnCAReqAuthorizationMode(_) => {
                // It is warned, and may pay otherwise.
                let why = "the vehicle wants to pay by contract, which is not offered".to_owned();
                let disbelief = Disbelief { code: Code::FailedPaymentSelectionInvalid, why };
                Request::Contract(contract::Request::Authorization { proof: Err(disbelief) })
            }
        },
        D::ServiceDiscoveryReq(_) => Request::ServiceDiscovery,
        D::ServiceDetailReq(req) => Request::ServiceDetail {
            service_id: req.service_id,
            offered: parameter_sets(req.service_id, identity).is_some(),
        },
        D::ServiceSelectionReq(req) => {
            let service = &req.selected_energy_transfer_service;
            let bidirectional = [Service::DcBpt, Service::McsBpt];
            exchange.bidirectional = bidirectional.into_iter().any(|one| id(one) == service.service_id);
            let sets = parameter_sets(service.service_id, identity).unwrap_or_default();
            let chosen = if !sets.iter().any(|set| set.parameter_set_id == service.parameter_set_id) {
                Chosen::NoCharging
            } else if req.selected_vas_list.is_some() {
                // None is offered.
                Chosen::NotOffered
            } else {
                Chosen::Offered
            };
            Request::ServiceSelection { chosen }
        }
        D::ScheduleExchangeReq(req) => Request::ScheduleExchange {
            needs: scheduled_needs(&req.choice),
            entries_max: req.maximum_supporting_points,
            dynamic: matches!(req.choice, messages::ScheduleExchangeReqChoice::DynamicSEReqControlMode(_)),
        },
        D::PowerDeliveryReq(req) => {
            Request::PowerDelivery { progress: progress(req), status: None, plan: plan(req) }
        }
        D::SessionStopReq(req) => match req.charging_session {
            ChargingSession::Pause => Request::SessionStop { pause: true },
            ChargingSession::Terminate => Request::SessionStop { pause: false },
            ChargingSession::ServiceRenegotiation => Request::ServiceRenegotiation,
        },
        D::MeteringConfirmationReq(req) if exchange.contracts.is_some() => {
            Request::Contract(contract::Request::MeteringReceipt { signed: exchange.confirmation(req) })
        }
        D::CertificateInstallationReq(_) if exchange.contracts.is_some() => {
            Request::Contract(contract::Request::Certificate { update: false, message: payload.into() })
        }
        D::CertificateInstallationReq(_)
        | D::MeteringConfirmationReq(_)
        | D::VehicleCheckInReq(_)
        | D::VehicleCheckOutReq(_) => Request::NotOffered(document.name()),
        other => return Err(WireError::NotARequest(other.name())),
    })
}

/// Which schedule the vehicle chose, and what it means to take; `None` under dynamic control.
fn plan(req: &messages::PowerDeliveryReq) -> Option<Plan> {
    let profile = req.ev_power_profile.as_ref()?;
    let messages::EVPowerProfileChoice::ScheduledEVPPTControlMode(mode) = &profile.choice else {
        return None;
    };
    let mut start = 0_u32;
    let point = |entry: &messages::PowerScheduleEntry| {
        let point = PowerPoint { start, power: meant(physical::rational(&entry.power), entry.power.value) };
        start = start.saturating_add(entry.duration);
        point
    };
    let entries = &profile.ev_power_profile_entries.ev_power_profile_entry;
    let profile = entries.iter().map(point).collect();
    Some(Plan { schedule: mode.selected_schedule_tuple_id, profile, end: Some(start) })
}

/// A start with EVProcessing = Ongoing asks to wait; some vehicles repeat it many times.
fn progress(req: &messages::PowerDeliveryReq) -> Progress {
    match req.charge_progress {
        ChargeProgress::Start if req.ev_processing != common::Processing::Finished => Progress::Preparing,
        ChargeProgress::Start => Progress::Start,
        ChargeProgress::Stop => Progress::Stop,
        ChargeProgress::Standby => Progress::Standby,
        ChargeProgress::ScheduleRenegotiation => Progress::Renegotiate,
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the codec's enum: whatever is no request is refused")]
fn dc_request(document: &dc::Document, bidirectional: bool) -> Result<(Request, Form), WireError> {
    use dc::Document as D;
    let plain = |request| (request, Form::default());
    Ok(match document {
        D::DCChargeParameterDiscoveryReq(req) => parameters(req, bidirectional),
        D::DCCableCheckReq(_) => plain(Request::CableCheck { status: None }),
        // It names no current: evse takes that of its profile.
        D::DCPreChargeReq(req) => plain(Request::PreCharge {
            status: None,
            target: volts(&req.ev_target_voltage).map(|voltage| Target { voltage, current: Amps::ZERO }),
        }),
        D::DCChargeLoopReq(req) => charge_loop(req),
        D::DCWeldingDetectionReq(_) => plain(Request::WeldingDetection { status: None }),
        other => return Err(WireError::NotARequest(other.name())),
    })
}

fn parameters(req: &dc::DCChargeParameterDiscoveryReq, chosen_bidirectional: bool) -> (Request, Form) {
    let bidirectional = matches!(req.choice, ParameterReq::BPTDCCPDReqEnergyTransferMode(_));
    let dc = if bidirectional == chosen_bidirectional {
        dc_parameters(&req.choice)
    } else {
        Err(Unfit::Parameters)
    };
    (Request::ChargeParameterDiscovery { dc }, Form { bidirectional, ..Form::default() })
}

fn dc_parameters(choice: &ParameterReq) -> Result<DcParameters, Unfit> {
    macro_rules! limits {
        ($mode:ident) => {
            EvLimits {
                voltage: Some(volts(&$mode.ev_maximum_voltage)?),
                current: Some(amps(&$mode.ev_maximum_charge_current)?),
                power: physical::rational(&$mode.ev_maximum_charge_power),
                voltage_min: physical::rational(&$mode.ev_minimum_voltage),
                current_min: physical::rational(&$mode.ev_minimum_charge_current),
                power_min: physical::rational(&$mode.ev_minimum_charge_power),
                ..EvLimits::default()
            }
        };
    }
    let (limits, target_soc) = match choice {
        ParameterReq::DCCPDReqEnergyTransferMode(mode) => (limits!(mode), mode.target_soc),
        ParameterReq::BPTDCCPDReqEnergyTransferMode(mode) => {
            let limits = EvLimits {
                discharge_current: physical::rational(&mode.ev_maximum_discharge_current),
                discharge_power: physical::rational(&mode.ev_maximum_discharge_power),
                ..limits!(mode)
            };
            (limits, mode.target_soc)
        }
    };
    let needs = Needs { soc: target_soc.map(physical::percent), ..Needs::default() };
    Ok(DcParameters { limits, status: None, needs, entries_max: 0 })
}

fn scheduled_needs(choice: &messages::ScheduleExchangeReqChoice) -> Needs {
    use messages::ScheduleExchangeReqChoice as C;
    match choice {
        C::ScheduledSEReqControlMode(mode) => Needs {
            departure: mode.departure_time.map(seconds),
            energy: mode.ev_target_energy_request.as_ref().and_then(physical::rational),
            energy_min: mode.ev_minimum_energy_request.as_ref().and_then(physical::rational),
            energy_max: mode.ev_maximum_energy_request.as_ref().and_then(physical::rational),
            ..Needs::default()
        },
        C::DynamicSEReqControlMode(mode) => Needs {
            departure: Some(seconds(mode.departure_time)),
            energy: physical::rational(&mode.ev_target_energy_request),
            energy_min: physical::rational(&mode.ev_minimum_energy_request),
            energy_max: physical::rational(&mode.ev_maximum_energy_request),
            soc_min: mode.minimum_soc.map(physical::percent),
            soc: mode.target_soc.map(physical::percent),
        },
    }
}

/// Under scheduled control the vehicle names a target; under dynamic control it names how much
/// it can take, and takes what it gets.
fn charge_loop(req: &dc::DCChargeLoopReq) -> (Request, Form) {
    #[derive(Default)]
    struct Wish<'a> {
        target: Option<(&'a Rational, &'a Rational)>,
        voltage: Option<&'a Rational>,
        current: Option<&'a Rational>,
        power: Option<&'a Rational>,
        needs: Needs,
    }
    macro_rules! scheduled {
        ($mode:ident) => {
            Wish {
                target: Some((&$mode.ev_target_voltage, &$mode.ev_target_current)),
                voltage: $mode.ev_maximum_voltage.as_ref(),
                current: $mode.ev_maximum_charge_current.as_ref(),
                power: $mode.ev_maximum_charge_power.as_ref(),
                needs: Needs {
                    energy: $mode.ev_target_energy_request.as_ref().and_then(physical::rational),
                    energy_min: $mode.ev_minimum_energy_request.as_ref().and_then(physical::rational),
                    energy_max: $mode.ev_maximum_energy_request.as_ref().and_then(physical::rational),
                    ..Needs::default()
                },
            }
        };
    }
    macro_rules! dynamic {
        ($mode:ident) => {
            Wish {
                target: None,
                voltage: Some(&$mode.ev_maximum_voltage),
                current: Some(&$mode.ev_maximum_charge_current),
                power: Some(&$mode.ev_maximum_charge_power),
                needs: Needs {
                    departure: $mode.departure_time.map(seconds),
                    energy: physical::rational(&$mode.ev_target_energy_request),
                    energy_min: physical::rational(&$mode.ev_minimum_energy_request),
                    energy_max: physical::rational(&$mode.ev_maximum_energy_request),
                    ..Needs::default()
                },
            }
        };
    }
    let (wish, bidirectional) = match &req.choice {
        LoopReq::ScheduledDCCLReqControlMode(mode) => (scheduled!(mode), false),
        LoopReq::BPTScheduledDCCLReqControlMode(mode) => (scheduled!(mode), true),
        LoopReq::DynamicDCCLReqControlMode(mode) => (dynamic!(mode), false),
        LoopReq::BPTDynamicDCCLReqControlMode(mode) => (dynamic!(mode), true),
        // The abstract one, of no control mode.
        LoopReq::CLReqControlMode(_) => (Wish::default(), false),
    };
    let limits = EvLimits {
        voltage: wish.voltage.and_then(physical::rational),
        current: wish.current.and_then(physical::rational),
        power: wish.power.and_then(physical::rational),
        ..limits_of_discharge(&req.choice)
    };
    let target = match wish.target {
        Some((voltage, current)) => {
            // A bidirectional vehicle says with the sign which way it wants the current.
            let read = if bidirectional { either_way } else { amps };
            volts(voltage).and_then(|voltage| Ok(Target { voltage, current: read(current)? }))
        }
        None => volts(&req.ev_present_voltage).and_then(|battery| most(&limits, battery)),
    };
    let soc = req.display_parameters.as_ref().and_then(|display| display.present_soc);
    let status = soc.map(|soc| EvStatus { soc: physical::percent(soc), ready: true, error: "" });
    let form = Form { bidirectional, dynamic: wish.target.is_none(), meter: req.meter_info_requested };
    (Request::CurrentDemand { status, target, limits, needs: wish.needs }, form)
}

/// What a bidirectional vehicle says that can be taken from it.
fn limits_of_discharge(choice: &LoopReq) -> EvLimits {
    let (current, power) = match choice {
        LoopReq::BPTScheduledDCCLReqControlMode(mode) => {
            (mode.ev_maximum_discharge_current.as_ref(), mode.ev_maximum_discharge_power.as_ref())
        }
        LoopReq::BPTDynamicDCCLReqControlMode(mode) => {
            (Some(&mode.ev_maximum_discharge_current), Some(&mode.ev_maximum_discharge_power))
        }
        LoopReq::ScheduledDCCLReqControlMode(_)
        | LoopReq::DynamicDCCLReqControlMode(_)
        | LoopReq::CLReqControlMode(_) => (None, None),
    };
    EvLimits {
        discharge_current: current.and_then(physical::rational),
        discharge_power: power.and_then(physical::rational),
        ..EvLimits::default()
    }
}

/// The most that a vehicle under dynamic control takes: its maximum voltage bounds, its current
/// and its power at the battery's voltage set.
fn most(limits: &EvLimits, battery: Volts) -> Result<Target, Unfit> {
    let (Some(voltage), Some(current), Some(power)) = (limits.voltage, limits.current, limits.power) else {
        return Err(Unfit::Value("a limit of the charge loop"));
    };
    let by_power = power.at(battery).unwrap_or(current);
    Ok(Target { voltage, current: current.min(by_power) })
}

fn seconds(value: u32) -> Duration {
    Duration::from_secs(u64::from(value))
}

fn volts(value: &Rational) -> Result<Volts, Unfit> {
    physical::rational(value).ok_or(Unfit::Value("a voltage"))
}

fn either_way(value: &Rational) -> Result<Amps, Unfit> {
    match value.value.checked_neg().filter(|back| *back > 0) {
        Some(back) => amps(&Rational { value: back, ..*value }).map(|current| -current),
        None => amps(value),
    }
}

fn amps(value: &Rational) -> Result<Amps, Unfit> {
    physical::rational(value).ok_or(Unfit::Value("a current"))
}
