//! Answers.

use iso15118::iso20::common::{self, EvseNotification, MessageHeader, ResponseCode};
use iso15118::iso20::dc::{
    self, DCChargeLoopResChoice as LoopRes, DCChargeParameterDiscoveryResChoice as ParameterRes,
};
use iso15118::iso20::messages;
use iso15118::message::Message;
use iso15118::session::SessionId;
use voltry_units::Watts;

use super::{Form, id, parameter_sets};
use crate::decide::RECEIPT_WITHIN;
use crate::message::{Answer, Body, Code, Limits, Processing, Protocol, Schedule, Status, TariffEntry};
use crate::v2g::contract::{Exchange, Issued, certificate_answer};
use crate::v2g::{Identity, physical};

/// The answer as a message. `open` is the request that it answers, where that is one that this
/// station does not offer; `unix_seconds` stamps it.
pub(in crate::v2g) fn answer(
    open: Option<&Message>,
    form: Form,
    session_id: [u8; 8],
    unix_seconds: u64,
    identity: &Identity,
    exchange: &mut Exchange,
    answer: &Answer,
) -> Option<Message> {
    let response_code = response_code(answer.code);
    let header = MessageHeader { session_id: session_id.to_vec(), time_stamp: unix_seconds, signature: None };
    if matches!(answer.body, Body::NotOffered | Body::Certificate(None)) {
        return refusal(open?, header, response_code);
    }
    let main = match &answer.body {
        Body::SessionSetup => messages::Document::SessionSetupRes(messages::SessionSetupRes {
            header,
            response_code,
            evse_id: identity.evse_id.clone(),
        }),
        Body::AuthorizationSetup => {
            messages::Document::AuthorizationSetupRes(authorization_setup(header, response_code, exchange))
        }
        Body::Authorization { processing } => {
            messages::Document::AuthorizationRes(messages::AuthorizationRes {
                header,
                response_code,
                evse_processing: evse_processing(*processing),
            })
        }
        Body::ServiceDiscovery => {
            messages::Document::ServiceDiscoveryRes(service_discovery(header, response_code, identity))
        }
        Body::ServiceDetail { service_id } => {
            messages::Document::ServiceDetailRes(messages::ServiceDetailRes {
                header,
                response_code,
                service_id: *service_id,
                // A refusal too must name one set.
                service_parameter_list: messages::ServiceParameterList {
                    parameter_set: parameter_sets(*service_id, identity)
                        .unwrap_or_else(|| vec![messages::ParameterSet::minimal()]),
                },
            })
        }
        Body::ServiceSelection => {
            messages::Document::ServiceSelectionRes(messages::ServiceSelectionRes { header, response_code })
        }
        Body::ScheduleExchange { .. } => {
            schedule_exchange(header, response_code, form, &answer.body, unix_seconds)?
        }
        Body::PowerDelivery { status } => messages::Document::PowerDeliveryRes(messages::PowerDeliveryRes {
            header,
            response_code,
            evse_status: evse_status(*status),
        }),
        Body::SessionStop => {
            messages::Document::SessionStopRes(messages::SessionStopRes { header, response_code })
        }
        body @ (Body::ChargeParameterDiscovery { .. }
        | Body::CableCheck { .. }
        | Body::PreCharge { .. }
        | Body::CurrentDemand { .. }
        | Body::WeldingDetection { .. }) => {
            let meter = meter_info(form, session_id, unix_seconds, identity, exchange, body);
            return dc_answer(header, response_code, form, meter, body);
        }
        Body::MeteringReceipt { .. } => {
            messages::Document::MeteringConfirmationRes(messages::MeteringConfirmationRes {
                header,
                response_code,
            })
        }
        Body::Certificate(Some(message)) => return certificate(header, message),
        Body::PaymentServiceSelection | Body::PaymentDetails | Body::Certificate(None) | Body::NotOffered => {
            return None;
        }
    };
    Some(Message::Iso20(Box::new(main)))
}

fn authorization_setup(
    header: MessageHeader,
    response_code: ResponseCode,
    exchange: &Exchange,
) -> messages::AuthorizationSetupRes {
    use messages::{Authorization, AuthorizationSetupResChoice as C};
    let (authorization_services, choice) = if exchange.contracts.is_some() {
        let mode = messages::PnCASResAuthorizationMode {
            gen_challenge: exchange.challenge().to_vec(),
            supported_providers: None,
        };
        (vec![Authorization::PnC, Authorization::EIM], C::PnCASResAuthorizationMode(mode))
    } else {
        (vec![Authorization::EIM], C::EIMASResAuthorizationMode(messages::EIMASResAuthorizationMode))
    };
    messages::AuthorizationSetupRes {
        header,
        response_code,
        authorization_services,
        certificate_installation_service: exchange.contracts.is_some(),
        choice,
    }
}

/// The back end's message in this session; its signatures are of what it holds.
fn certificate(header: MessageHeader, message: &[u8]) -> Option<Message> {
    let (mut message, _) = certificate_answer(Protocol::Iso20, false, message).ok()?;
    if let Message::Iso20(document) = &mut message {
        let theirs = document.header_mut()?;
        *theirs = MessageHeader { signature: theirs.signature.take(), ..header };
    }
    Some(message)
}

fn refusal(open: &Message, header: MessageHeader, code: ResponseCode) -> Option<Message> {
    let mut refusal = open.refusal(code as u8)?;
    if let Message::Iso20(document) = &mut refusal {
        *document.header_mut()? = header;
    }
    Some(refusal)
}

fn service_discovery(
    header: MessageHeader,
    response_code: ResponseCode,
    identity: &Identity,
) -> messages::ServiceDiscoveryRes {
    let offered = identity.services.iter();
    let service = offered.map(|service| messages::Service { service_id: id(*service), free_service: false });
    messages::ServiceDiscoveryRes {
        header,
        response_code,
        service_renegotiation_supported: true,
        energy_transfer_service_list: messages::ServiceList { service: service.collect() },
        vas_list: None,
    }
}

fn schedule_exchange(
    header: MessageHeader,
    response_code: ResponseCode,
    form: Form,
    body: &Body,
    unix_seconds: u64,
) -> Option<messages::Document> {
    let Body::ScheduleExchange { processing, limits, offer } = body else { return None };
    // There is no answer without one.
    let unplanned = || vec![Schedule::unplanned(limits.power_max)];
    let schedules = offer.as_ref().map_or_else(unplanned, |offer| offer.schedules.clone());
    use messages::ScheduleExchangeResChoice as C;
    let choice = if form.dynamic {
        C::DynamicSEResControlMode(messages::DynamicSEResControlMode {
            departure_time: None,
            minimum_soc: None,
            target_soc: None,
            choice: None,
        })
    } else {
        C::ScheduledSEResControlMode(messages::ScheduledSEResControlMode {
            schedule_tuple: schedules.iter().map(|schedule| tuple(schedule, unix_seconds)).collect(),
        })
    };
    Some(messages::Document::ScheduleExchangeRes(messages::ScheduleExchangeRes {
        header,
        response_code,
        evse_processing: evse_processing(*processing),
        go_to_pause: None,
        choice,
    }))
}

fn tuple(schedule: &Schedule, unix_seconds: u64) -> messages::ScheduleTuple {
    let power = lasting(schedule.points.iter().map(|point| (point.start, point.power)), schedule.duration);
    let entry = |(duration, power)| messages::PowerScheduleEntry {
        duration,
        power: physical::rational_limit(power),
        power_l2: None,
        power_l3: None,
    };
    messages::ScheduleTuple {
        schedule_tuple_id: schedule.id.into(),
        charging_schedule: messages::ChargingSchedule {
            power_schedule: messages::PowerSchedule {
                time_anchor: unix_seconds,
                available_energy: None,
                power_tolerance: None,
                power_schedule_entries: messages::PowerScheduleEntryList {
                    power_schedule_entry: power.map(entry).collect(),
                },
            },
            choice: Some(messages::ChargingScheduleChoice::PriceLevelSchedule(prices(
                schedule,
                unix_seconds,
            ))),
        },
        discharging_schedule: None,
    }
}

/// Each value with how long it lasts, of those from when on they hold.
fn lasting<T>(starts: impl Iterator<Item = (u32, T)> + Clone, end: u32) -> impl Iterator<Item = (u32, T)> {
    let ends = starts.clone().skip(1).map(|(start, _)| start).chain([end]);
    starts.zip(ends).map(|((start, value), end)| (end.saturating_sub(start), value))
}

/// Price levels are all that a tariff of ISO 15118-2 has in common with this. One without them, or
/// none, is the same level for as long as the schedule goes: some vehicles refuse one without any.
fn prices(schedule: &Schedule, unix_seconds: u64) -> messages::PriceLevelSchedule {
    let tariff = schedule.tariff.as_ref();
    let levels = tariff.and_then(|tariff| tariff.price_levels);
    let told = tariff.filter(|_| levels.is_some()).map(|tariff| {
        let level = |entry: &TariffEntry| (entry.start, entry.price_level.unwrap_or_default());
        lasting(tariff.entries.iter().map(level), schedule.duration)
            .map(|(duration, price_level)| messages::PriceLevelScheduleEntry { duration, price_level })
            .collect()
    });
    let one = || vec![messages::PriceLevelScheduleEntry { duration: schedule.duration, price_level: 0 }];
    messages::PriceLevelSchedule {
        id: None,
        time_anchor: unix_seconds,
        price_schedule_id: tariff.map_or(schedule.id, |tariff| tariff.id.max(1)).into(),
        price_schedule_description: tariff.and_then(|tariff| tariff.description.clone()),
        number_of_price_levels: levels.unwrap_or(1),
        price_level_schedule_entries: messages::PriceLevelScheduleEntryList {
            price_level_schedule_entry: told.unwrap_or_else(one),
        },
    }
}

/// The meter's reading, if the vehicle wants to know it or is to sign it; the one that it is to sign stays
/// the same until it has.
fn meter_info(
    form: Form,
    session_id: [u8; 8],
    unix_seconds: u64,
    identity: &Identity,
    exchange: &mut Exchange,
    body: &Body,
) -> Option<common::MeterInfo> {
    let Body::CurrentDemand { meter: Some(read), .. } = body else { return None };
    let info = || {
        Some(common::MeterInfo {
            meter_id: identity.metering.as_ref()?.id.clone(),
            charged_energy_reading_wh: physical::whole_watt_hours(read.energy),
            meter_timestamp: Some(unix_seconds.saturating_sub(read.age.as_secs())),
            ..common::MeterInfo::minimal()
        })
    };
    if !read.receipt {
        return form.meter.then(info).flatten();
    }
    if let Some((_, Issued::Iso20(issued))) = &exchange.issued {
        return Some(issued.clone());
    }
    let issued = info()?;
    exchange.issued = Some((SessionId::new(session_id), Issued::Iso20(issued.clone())));
    Some(issued)
}

fn dc_answer(
    header: MessageHeader,
    response_code: ResponseCode,
    form: Form,
    meter_info: Option<common::MeterInfo>,
    body: &Body,
) -> Option<Message> {
    use dc::Document as D;
    let document = match body {
        Body::ChargeParameterDiscovery { limits, .. } => {
            D::DCChargeParameterDiscoveryRes(dc::DCChargeParameterDiscoveryRes {
                header,
                response_code,
                choice: offer(form, limits),
            })
        }
        Body::CableCheck { processing, .. } => D::DCCableCheckRes(dc::DCCableCheckRes {
            header,
            response_code,
            evse_processing: evse_processing(*processing),
        }),
        Body::PreCharge { voltage, .. } => D::DCPreChargeRes(dc::DCPreChargeRes {
            header,
            response_code,
            evse_present_voltage: physical::rational_measured(*voltage),
        }),
        Body::CurrentDemand { status, voltage, current, limited, limits, meter } => {
            let confirm = meter.is_some_and(|meter| meter.receipt).then_some(common::EVSEStatus {
                notification_max_delay: u16::try_from(RECEIPT_WITHIN.as_secs()).unwrap_or(u16::MAX),
                evse_notification: EvseNotification::MeteringConfirmation,
            });
            D::DCChargeLoopRes(dc::DCChargeLoopRes {
                header,
                response_code,
                evse_status: evse_status(*status).or(confirm),
                meter_info,
                receipt: None,
                evse_present_current: physical::rational_measured(*current),
                evse_present_voltage: physical::rational_measured(*voltage),
                evse_power_limit_achieved: limited.power,
                evse_current_limit_achieved: limited.current,
                evse_voltage_limit_achieved: limited.voltage,
                choice: loop_limits(form, &limits.unwrap_or_default()),
            })
        }
        Body::WeldingDetection { voltage, .. } => D::DCWeldingDetectionRes(dc::DCWeldingDetectionRes {
            header,
            response_code,
            evse_present_voltage: physical::rational_measured(*voltage),
        }),
        // Of the common set.
        Body::SessionSetup
        | Body::AuthorizationSetup
        | Body::ServiceDiscovery
        | Body::ServiceDetail { .. }
        | Body::ServiceSelection
        | Body::PaymentServiceSelection
        | Body::Authorization { .. }
        | Body::ScheduleExchange { .. }
        | Body::PowerDelivery { .. }
        | Body::SessionStop
        | Body::PaymentDetails
        | Body::Certificate(_)
        | Body::MeteringReceipt { .. }
        | Body::NotOffered => return None,
    };
    Some(Message::Iso20Dc(Box::new(document)))
}

/// Our limits.
fn offer(form: Form, limits: &Limits) -> ParameterRes {
    let nothing = || physical::rational_limit(Watts::ZERO);
    let discharge_power = physical::rational_limit(limits.discharge_power);
    let discharge_current = physical::rational_limit(limits.discharge_current);
    let power = physical::rational_limit(limits.power_max);
    let current = physical::rational_limit(limits.current_max);
    let current_min = physical::rational_measured(limits.current_min);
    let voltage = physical::rational_limit(limits.voltage_max);
    let voltage_min = physical::rational_measured(limits.voltage_min);
    if form.bidirectional {
        ParameterRes::BPTDCCPDResEnergyTransferMode(dc::BPTDCCPDResEnergyTransferMode {
            evse_maximum_charge_power: power,
            evse_minimum_charge_power: nothing(),
            evse_maximum_charge_current: current,
            evse_minimum_charge_current: current_min,
            evse_maximum_voltage: voltage,
            evse_minimum_voltage: voltage_min,
            evse_power_ramp_limitation: None,
            evse_maximum_discharge_power: discharge_power,
            evse_minimum_discharge_power: nothing(),
            evse_maximum_discharge_current: discharge_current,
            evse_minimum_discharge_current: nothing(),
        })
    } else {
        ParameterRes::DCCPDResEnergyTransferMode(dc::DCCPDResEnergyTransferMode {
            evse_maximum_charge_power: power,
            evse_minimum_charge_power: nothing(),
            evse_maximum_charge_current: current,
            evse_minimum_charge_current: current_min,
            evse_maximum_voltage: voltage,
            evse_minimum_voltage: voltage_min,
            evse_power_ramp_limitation: None,
        })
    }
}

fn loop_limits(form: Form, limits: &Limits) -> LoopRes {
    let nothing = || physical::rational_limit(Watts::ZERO);
    let discharge_power = physical::rational_limit(limits.discharge_power);
    let discharge_current = physical::rational_limit(limits.discharge_current);
    let power = physical::rational_limit(limits.power_max);
    let current = physical::rational_limit(limits.current_max);
    let voltage = physical::rational_limit(limits.voltage_max);
    let voltage_min = physical::rational_measured(limits.voltage_min);
    match (form.bidirectional, form.dynamic) {
        (false, false) => LoopRes::ScheduledDCCLResControlMode(dc::ScheduledDCCLResControlMode {
            evse_maximum_charge_power: Some(power),
            evse_minimum_charge_power: Some(nothing()),
            evse_maximum_charge_current: Some(current),
            evse_maximum_voltage: Some(voltage),
        }),
        (false, true) => LoopRes::DynamicDCCLResControlMode(dc::DynamicDCCLResControlMode {
            departure_time: None,
            minimum_soc: None,
            target_soc: None,
            ack_max_delay: None,
            evse_maximum_charge_power: power,
            evse_minimum_charge_power: nothing(),
            evse_maximum_charge_current: current,
            evse_maximum_voltage: voltage,
        }),
        (true, false) => LoopRes::BPTScheduledDCCLResControlMode(dc::BPTScheduledDCCLResControlMode {
            evse_maximum_charge_power: Some(power),
            evse_minimum_charge_power: Some(nothing()),
            evse_maximum_charge_current: Some(current),
            evse_maximum_voltage: Some(voltage),
            evse_maximum_discharge_power: Some(discharge_power),
            evse_minimum_discharge_power: Some(nothing()),
            evse_maximum_discharge_current: Some(discharge_current),
            evse_minimum_voltage: Some(voltage_min),
        }),
        (true, true) => LoopRes::BPTDynamicDCCLResControlMode(dc::BPTDynamicDCCLResControlMode {
            departure_time: None,
            minimum_soc: None,
            target_soc: None,
            ack_max_delay: None,
            evse_maximum_charge_power: power,
            evse_minimum_charge_power: nothing(),
            evse_maximum_charge_current: current,
            evse_maximum_voltage: voltage,
            evse_maximum_discharge_power: discharge_power,
            evse_minimum_discharge_power: nothing(),
            evse_maximum_discharge_current: discharge_current,
            evse_minimum_voltage: voltage_min,
        }),
    }
}

/// Told only when the vehicle has something to do.
fn evse_status(status: Status) -> Option<common::EVSEStatus> {
    let evse_notification = match (status.stop, status.renegotiate) {
        (true, _) => EvseNotification::Terminate,
        (false, true) => EvseNotification::ScheduleRenegotiation,
        (false, false) => return None,
    };
    Some(common::EVSEStatus { notification_max_delay: 0, evse_notification })
}

const fn evse_processing(processing: Processing) -> common::Processing {
    match processing {
        Processing::Ongoing => common::Processing::Ongoing,
        Processing::WaitingForCustomer => common::Processing::OngoingWaitingForCustomerInteraction,
        Processing::Finished => common::Processing::Finished,
    }
}

const fn response_code(code: Code) -> ResponseCode {
    match code {
        Code::Ok => ResponseCode::OK,
        Code::OkNewSessionEstablished => ResponseCode::OKNewSessionEstablished,
        Code::OkOldSessionJoined => ResponseCode::OKOldSessionJoined,
        Code::Failed => ResponseCode::FAILED,
        Code::FailedSequenceError => ResponseCode::FAILEDSequenceError,
        Code::FailedServiceIdInvalid => ResponseCode::FAILEDServiceIDInvalid,
        Code::FailedUnknownSession => ResponseCode::FAILEDUnknownSession,
        Code::FailedServiceSelectionInvalid => ResponseCode::FAILEDServiceSelectionInvalid,
        Code::FailedPaymentSelectionInvalid => ResponseCode::WARNINGAuthorizationSelectionInvalid,
        Code::FailedNoChargeServiceSelected => ResponseCode::FAILEDNoEnergyTransferServiceSelected,
        Code::FailedTariffSelectionInvalid => ResponseCode::FAILEDScheduleSelectionInvalid,
        Code::FailedChargingProfileInvalid => ResponseCode::FAILEDEVPowerProfileInvalid,
        Code::FailedWrongChargeParameter | Code::FailedWrongEnergyTransferMode => {
            ResponseCode::FAILEDWrongChargeParameter
        }
        Code::FailedPowerDeliveryNotApplied => ResponseCode::FAILEDPowerDeliveryNotApplied,
        Code::FailedCertChainError => ResponseCode::WARNINGCertificateValidationError,
        Code::FailedCertificateRevoked => ResponseCode::WARNINGCertificateRevoked,
        Code::FailedCertificateExpired => ResponseCode::WARNINGCertificateExpired,
        Code::FailedChallengeInvalid => ResponseCode::WARNINGChallengeInvalid,
        Code::FailedSignatureError => ResponseCode::FAILEDSignatureError,
        Code::FailedMeteringSignatureNotValid => ResponseCode::FAILEDMeteringSignatureNotValid,
        Code::FailedNoCertificateAvailable => ResponseCode::WARNINGNoCertificateAvailable,
    }
}
