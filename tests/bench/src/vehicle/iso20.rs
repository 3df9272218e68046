//! ISO 15118-20 DC, scheduled control, external payment.

use std::time::{SystemTime, UNIX_EPOCH};

use iso15118::iso20::common::{MessageHeader, Processing, RationalNumber, ResponseCode};
use iso15118::iso20::dc::{self, Document as Dc};
use iso15118::iso20::messages::{self, Document as Main};
use iso15118::message::Message;

use super::{Answer, Step, VOLTAGE_MAX, scaled, tenths};

/// DC charging.
const SERVICE: u16 = 2;

pub(super) fn request(
    step: Step,
    place: u32,
    id: &[u8],
    battery: f64,
    target: (i16, i16),
) -> Option<Message> {
    let time_stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let header = MessageHeader { session_id: id.to_vec(), time_stamp, signature: None };
    let document = match (step, place) {
        (Step::SessionSetup, 0) => Main::SessionSetupReq(messages::SessionSetupReq {
            header,
            evcc_id: "WMIV1234567890ABCDEX".to_owned(),
        }),
        (Step::Selection, 0) => Main::AuthorizationSetupReq(messages::AuthorizationSetupReq { header }),
        (Step::Selection, 1) => authorization(header),
        (Step::Selection, 2) => {
            Main::ServiceDiscoveryReq(messages::ServiceDiscoveryReq { header, supported_service_i_ds: None })
        }
        (Step::Selection, 3) => {
            Main::ServiceDetailReq(messages::ServiceDetailReq { header, service_id: SERVICE })
        }
        (Step::Selection, 4) => selection(header),
        (Step::Parameters, 1) => schedule_exchange(header),
        (Step::PowerDelivery, 0) => power_delivery(header),
        _ => {
            return dc_request(step, place, header, battery, target)
                .map(|document| Message::Iso20Dc(Box::new(document)));
        }
    };
    Some(Message::Iso20(Box::new(document)))
}

fn dc_request(step: Step, place: u32, header: MessageHeader, battery: f64, target: (i16, i16)) -> Option<Dc> {
    let battery = || number(-1, tenths(battery));
    Some(match (step, place) {
        (Step::Parameters, 0) => parameters(header),
        (Step::CableCheck, 0) => Dc::DCCableCheckReq(dc::DCCableCheckReq { header }),
        (Step::PreCharge, 0) => Dc::DCPreChargeReq(dc::DCPreChargeReq {
            header,
            ev_processing: Processing::Ongoing,
            ev_present_voltage: battery(),
            ev_target_voltage: battery(),
        }),
        (Step::Demand, 0) => charge_loop(header, battery(), target),
        _ => return None,
    })
}

pub(super) fn answer(message: Message) -> Answer {
    let ongoing = |processing| processing != Processing::Finished;
    let value = |value: &RationalNumber| Some(scaled(value.value, value.exponent));
    let mut answer = Answer::default();
    let (header, code) = match message {
        Message::Iso20(document) => match *document {
            Main::SessionSetupRes(res) => (res.header, res.response_code),
            Main::AuthorizationSetupRes(res) => (res.header, res.response_code),
            Main::AuthorizationRes(res) => {
                answer.ongoing = ongoing(res.evse_processing);
                (res.header, res.response_code)
            }
            Main::ServiceDiscoveryRes(res) => (res.header, res.response_code),
            Main::ServiceDetailRes(res) => (res.header, res.response_code),
            Main::ServiceSelectionRes(res) => (res.header, res.response_code),
            Main::ScheduleExchangeRes(res) => {
                answer.ongoing = ongoing(res.evse_processing);
                (res.header, res.response_code)
            }
            Main::PowerDeliveryRes(res) => (res.header, res.response_code),
            _ => return nonsense(),
        },
        Message::Iso20Dc(document) => match *document {
            Dc::DCChargeParameterDiscoveryRes(res) => (res.header, res.response_code),
            Dc::DCCableCheckRes(res) => {
                answer.ongoing = ongoing(res.evse_processing);
                (res.header, res.response_code)
            }
            Dc::DCPreChargeRes(res) => {
                answer.voltage = value(&res.evse_present_voltage);
                (res.header, res.response_code)
            }
            Dc::DCChargeLoopRes(res) => {
                answer.current = value(&res.evse_present_current);
                (res.header, res.response_code)
            }
            _ => return nonsense(),
        },
        _ => return nonsense(),
    };
    if !matches!(code, ResponseCode::OK | ResponseCode::OKNewSessionEstablished) {
        answer.refused = Some(format!("{code:?}"));
    }
    Answer { id: header.session_id, ..answer }
}

fn nonsense() -> Answer {
    Answer { refused: Some("by something else".to_owned()), ..Answer::default() }
}

const fn number(exponent: i8, value: i16) -> RationalNumber {
    RationalNumber { exponent, value }
}

fn authorization(header: MessageHeader) -> Main {
    Main::AuthorizationReq(messages::AuthorizationReq {
        header,
        selected_authorization_service: messages::Authorization::EIM,
        choice: messages::AuthorizationReqChoice::EIMAReqAuthorizationMode(
            messages::EIMAReqAuthorizationMode,
        ),
    })
}

fn selection(header: MessageHeader) -> Main {
    Main::ServiceSelectionReq(messages::ServiceSelectionReq {
        header,
        selected_energy_transfer_service: messages::SelectedService {
            service_id: SERVICE,
            parameter_set_id: 1,
        },
        selected_vas_list: None,
    })
}

fn parameters(header: MessageHeader) -> Dc {
    Dc::DCChargeParameterDiscoveryReq(dc::DCChargeParameterDiscoveryReq {
        header,
        choice: dc::DCChargeParameterDiscoveryReqChoice::DCCPDReqEnergyTransferMode(
            dc::DCCPDReqEnergyTransferMode {
                ev_maximum_charge_power: number(3, 60),
                ev_minimum_charge_power: number(0, 0),
                ev_maximum_charge_current: number(0, 150),
                ev_minimum_charge_current: number(0, 0),
                ev_maximum_voltage: number(0, VOLTAGE_MAX),
                ev_minimum_voltage: number(0, 200),
                target_soc: None,
            },
        ),
    })
}

fn schedule_exchange(header: MessageHeader) -> Main {
    Main::ScheduleExchangeReq(messages::ScheduleExchangeReq {
        header,
        maximum_supporting_points: 1024,
        choice: messages::ScheduleExchangeReqChoice::ScheduledSEReqControlMode(
            messages::ScheduledSEReqControlMode::minimal(),
        ),
    })
}

fn power_delivery(header: MessageHeader) -> Main {
    Main::PowerDeliveryReq(messages::PowerDeliveryReq {
        header,
        ev_processing: Processing::Finished,
        charge_progress: messages::ChargeProgress::Start,
        ev_power_profile: None,
        bpt_channel_selection: None,
    })
}

fn charge_loop(header: MessageHeader, battery: RationalNumber, (voltage, current): (i16, i16)) -> Dc {
    Dc::DCChargeLoopReq(dc::DCChargeLoopReq {
        header,
        display_parameters: None,
        meter_info_requested: false,
        ev_present_voltage: battery,
        choice: dc::DCChargeLoopReqChoice::ScheduledDCCLReqControlMode(dc::ScheduledDCCLReqControlMode {
            ev_target_current: number(0, current),
            ev_target_voltage: number(0, voltage),
            ..dc::ScheduledDCCLReqControlMode::minimal()
        }),
    })
}
