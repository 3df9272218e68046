//! Whole sessions, as the V2GTP frames of a vehicle that behaves: our own of each protocol, and the
//! recorded ones.

use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::iso2::{self, BodyChoice, ChargeProgress, ChargingSession};
use iso15118::iso20::common::{MessageHeader, Processing, RationalNumber};
use iso15118::iso20::dc::{self, Document as Dc};
use iso15118::iso20::messages::{self, Document as Main};
use iso15118::message::Message;
use iso15118::session::Connection;
use iso15118::v2gtp::PayloadType;
use iso15118::{Protocol, Protocols};
use voltry_din70121::{BodyElement, ExiDocument as _, PaymentOption, SessionStopReq, V2gMessage};
use voltry_secc::message;

use crate::bench::{self, ID, UNIX_SECONDS, din};
use crate::recordings::{recordings, under_id};

/// The frames of a vehicle, in order; the first is the handshake.
pub(crate) type Frames = Vec<Vec<u8>>;

/// A session, and what it agrees on with a station that speaks nothing else.
pub(crate) struct Good {
    pub(crate) protocol: message::Protocol,
    pub(crate) frames: Frames,
}

/// Requests of a charge loop that are kept of a recording, at its start and at its end: it goes on
/// as it began.
const RECORDED_START: usize = 32;
const RECORDED_END: usize = 8;

pub(crate) fn all() -> Vec<Good> {
    use message::Protocol::{Din, Iso2, Iso20};
    let own = [(Iso2, iso2()), (Din, din()), (Iso20, iso20(true)), (Iso20, iso20(false))];
    let mut sessions = Vec::from(own.map(|(protocol, frames)| Good { protocol, frames }));
    for recorded in recordings() {
        let payloads = recorded.payloads.iter().enumerate();
        let end = recorded.payloads.len().saturating_sub(RECORDED_END);
        let kept = payloads.filter(|(at, _)| *at < RECORDED_START || *at >= end);
        let frames = kept
            .map(|(at, payload)| if at > 1 { under_id(payload, ID) } else { payload.clone() })
            .map(|payload| framed(PayloadType::ExiEncodedV2gMessage, &payload))
            .collect();
        sessions.push(Good { protocol: recorded.protocol, frames });
    }
    sessions
}

fn framed(payload_type: PayloadType, payload: &[u8]) -> Vec<u8> {
    let mut connection = Connection::new();
    connection.send_frame(payload_type, payload).unwrap();
    connection.take_transmit()
}

fn encoded(message: &Message) -> Vec<u8> {
    let (payload_type, payload) = message.encode().unwrap();
    framed(payload_type, &payload)
}

fn offer(protocol: Protocol) -> Vec<u8> {
    let offer = SupportedAppProtocolReq::advertising(Protocols::only(protocol));
    encoded(&Message::AppProtocolReq(Box::new(offer)))
}

/// The first request is under no session id yet.
fn ids() -> impl Iterator<Item = Vec<u8>> {
    std::iter::once(vec![0; 8]).chain(std::iter::repeat(ID.to_vec()))
}

fn iso2() -> Frames {
    let before = [
        bench::session_setup(),
        bench::service_discovery(),
        bench::payment(),
        bench::authorization(),
        bench::parameters(),
        bench::cable_check(),
        bench::pre_charge(),
        bench::power_delivery(ChargeProgress::Start),
    ];
    let after = [
        bench::power_delivery(ChargeProgress::Stop),
        bench::welding_detection(),
        bench::session_stop(ChargingSession::Terminate),
    ];
    let charging = std::iter::repeat_n(bench::current_demand(), 6);
    let request = |(body, session_id): (BodyChoice, Vec<u8>)| {
        let header = iso2::MessageHeader { session_id, notification: None, signature: None };
        let whole = iso2::V2GMessage { header, body: iso2::Body { choice: Some(body) } };
        encoded(&Message::Iso2(Box::new(iso2::Document::V2GMessage(whole))))
    };
    let bodies = before.into_iter().chain(charging).chain(after);
    std::iter::once(offer(Protocol::Iso2)).chain(bodies.zip(ids()).map(request)).collect()
}

fn din() -> Frames {
    let mut bodies: Vec<BodyElement> = vec![
        din::session_setup(&[2, 0, 0, 0, 0, 1]).into(),
        din::service_discovery().into(),
        din::selection(PaymentOption::ExternalPayment, 1).into(),
        din::authentication().into(),
        din::parameters().into(),
        din::cable_check().into(),
        din::pre_charge().into(),
        din::power_delivery(true).into(),
    ];
    bodies.extend(std::iter::repeat_n(BodyElement::from(din::current_demand()), 6));
    bodies.push(din::power_delivery(false).into());
    bodies.push(din::welding_detection().into());
    bodies.push(SessionStopReq {}.into());
    let handshake = framed(PayloadType::ExiEncodedV2gMessage, &din::bytes(din::TESLA_OFFER));
    let request = |(body, id): (BodyElement, Vec<u8>)| {
        let payload = V2gMessage::new(&id, body).to_vec().unwrap();
        framed(PayloadType::ExiEncodedV2gMessage, &payload)
    };
    std::iter::once(handshake).chain(bodies.into_iter().zip(ids()).map(request)).collect()
}

const fn number(value: i16) -> RationalNumber {
    RationalNumber { exponent: 0, value }
}

fn iso20_header() -> MessageHeader {
    MessageHeader { session_id: ID.to_vec(), time_stamp: UNIX_SECONDS, signature: None }
}

fn iso20_main(document: Main) -> Vec<u8> {
    encoded(&Message::Iso20(Box::new(document)))
}

fn iso20_dc(document: Dc) -> Vec<u8> {
    encoded(&Message::Iso20Dc(Box::new(document)))
}

fn iso20(dynamic: bool) -> Frames {
    let mut frames = iso20_to_selection(if dynamic { 2 } else { 1 });
    frames.extend(iso20_energy_transfer(dynamic));
    frames
}

fn iso20_to_selection(parameter_set_id: u16) -> Frames {
    let header = iso20_header;
    let selected = messages::SelectedService { service_id: 2, parameter_set_id };
    vec![
        offer(Protocol::Iso20),
        iso20_main(Main::SessionSetupReq(messages::SessionSetupReq {
            header: MessageHeader { session_id: vec![0; 8], ..header() },
            evcc_id: "WMIV1234567890ABCDEX".to_owned(),
        })),
        iso20_main(Main::AuthorizationSetupReq(messages::AuthorizationSetupReq { header: header() })),
        iso20_main(Main::AuthorizationReq(messages::AuthorizationReq {
            header: header(),
            selected_authorization_service: messages::Authorization::EIM,
            choice: messages::AuthorizationReqChoice::EIMAReqAuthorizationMode(
                messages::EIMAReqAuthorizationMode,
            ),
        })),
        iso20_main(Main::ServiceDiscoveryReq(messages::ServiceDiscoveryReq {
            header: header(),
            supported_service_i_ds: None,
        })),
        iso20_main(Main::ServiceDetailReq(messages::ServiceDetailReq { header: header(), service_id: 2 })),
        iso20_main(Main::ServiceSelectionReq(messages::ServiceSelectionReq {
            header: header(),
            selected_energy_transfer_service: selected,
            selected_vas_list: None,
        })),
    ]
}

fn iso20_energy_transfer(dynamic: bool) -> Frames {
    use messages::{ChargeProgress, ScheduleExchangeReqChoice as Schedule};
    let header = iso20_header;
    let parameters = dc::DCCPDReqEnergyTransferMode {
        ev_maximum_charge_power: number(30_000),
        ev_maximum_charge_current: number(300),
        ev_maximum_voltage: number(450),
        ..dc::DCCPDReqEnergyTransferMode::minimal()
    };
    let schedule = if dynamic {
        Schedule::DynamicSEReqControlMode(messages::DynamicSEReqControlMode::minimal())
    } else {
        Schedule::ScheduledSEReqControlMode(messages::ScheduledSEReqControlMode::minimal())
    };
    let power_delivery = |charge_progress| {
        iso20_main(Main::PowerDeliveryReq(messages::PowerDeliveryReq {
            header: header(),
            ev_processing: Processing::Finished,
            charge_progress,
            ev_power_profile: None,
            bpt_channel_selection: None,
        }))
    };
    let mut frames = vec![
        iso20_dc(Dc::DCChargeParameterDiscoveryReq(dc::DCChargeParameterDiscoveryReq {
            header: header(),
            choice: dc::DCChargeParameterDiscoveryReqChoice::DCCPDReqEnergyTransferMode(parameters),
        })),
        iso20_main(Main::ScheduleExchangeReq(messages::ScheduleExchangeReq {
            header: header(),
            maximum_supporting_points: 1024,
            choice: schedule,
        })),
        iso20_dc(Dc::DCCableCheckReq(dc::DCCableCheckReq { header: header() })),
        iso20_dc(Dc::DCPreChargeReq(dc::DCPreChargeReq {
            header: header(),
            ev_processing: Processing::Ongoing,
            ev_present_voltage: number(380),
            ev_target_voltage: number(380),
        })),
        power_delivery(ChargeProgress::Start),
    ];
    frames.extend(std::iter::repeat_n(iso20_charge_loop(dynamic), 6));
    frames.push(power_delivery(ChargeProgress::Stop));
    frames.push(iso20_dc(Dc::DCWeldingDetectionReq(dc::DCWeldingDetectionReq {
        header: header(),
        ev_processing: Processing::Finished,
    })));
    frames.push(iso20_main(Main::SessionStopReq(messages::SessionStopReq {
        header: header(),
        charging_session: messages::ChargingSession::Terminate,
        ev_termination_code: None,
        ev_termination_explanation: None,
    })));
    frames
}

fn iso20_charge_loop(dynamic: bool) -> Vec<u8> {
    let choice = if dynamic {
        dc::DCChargeLoopReqChoice::DynamicDCCLReqControlMode(dc::DynamicDCCLReqControlMode {
            ev_maximum_charge_current: number(100),
            ev_maximum_voltage: number(450),
            ..dc::DynamicDCCLReqControlMode::minimal()
        })
    } else {
        dc::DCChargeLoopReqChoice::ScheduledDCCLReqControlMode(dc::ScheduledDCCLReqControlMode {
            ev_target_current: number(100),
            ev_target_voltage: number(400),
            ..dc::ScheduledDCCLReqControlMode::minimal()
        })
    };
    iso20_dc(Dc::DCChargeLoopReq(dc::DCChargeLoopReq {
        header: iso20_header(),
        display_parameters: None,
        meter_info_requested: false,
        ev_present_voltage: number(400),
        choice,
    }))
}
