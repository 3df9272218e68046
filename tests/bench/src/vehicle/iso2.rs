//! ISO 15118-2 DC, external payment.

use iso15118::iso2::{self, BodyChoice as B};
use iso15118::message::Message;

use super::{Answer, Step, VOLTAGE_MAX, scaled, tenths};

pub(super) fn request(
    step: Step,
    place: u32,
    id: &[u8],
    battery: f64,
    target: (i16, i16),
) -> Option<Message> {
    let body = match (step, place) {
        (Step::SessionSetup, 0) => session_setup(),
        (Step::Selection, 0) => service_discovery(),
        (Step::Selection, 1) => payment(),
        (Step::Selection, 2) => authorization(),
        (Step::Parameters, 0) => parameters(),
        (Step::CableCheck, 0) => B::CableCheckReq(iso2::CableCheckReq { dc_ev_status: status() }),
        (Step::PreCharge, 0) => pre_charge(battery),
        (Step::PowerDelivery, 0) => power_delivery(),
        (Step::Demand, 0) => current_demand(target),
        _ => return None,
    };
    let header = iso2::MessageHeader { session_id: id.to_vec(), notification: None, signature: None };
    let message = iso2::V2GMessage { header, body: iso2::Body { choice: Some(body) } };
    Some(Message::Iso2(Box::new(iso2::Document::V2GMessage(message))))
}

pub(super) fn answer(document: iso2::Document) -> Answer {
    let iso2::Document::V2GMessage(message) = document else {
        return Answer { refused: Some("no message".to_owned()), ..Answer::default() };
    };
    let mut answer = Answer { id: message.header.session_id, ..Answer::default() };
    let Some(body) = message.body.choice else { return answer };
    match body.response_code() {
        Some(iso2::ResponseCode::OK | iso2::ResponseCode::OKNewSessionEstablished) => {}
        code => answer.refused = Some(format!("{code:?}")),
    }
    let ongoing = |processing| processing != iso2::EVSEProcessing::Finished;
    let number = |value: &iso2::PhysicalValue| Some(scaled(value.value, value.multiplier));
    match body {
        B::AuthorizationRes(res) => answer.ongoing = ongoing(res.evse_processing),
        B::ChargeParameterDiscoveryRes(res) => answer.ongoing = ongoing(res.evse_processing),
        B::CableCheckRes(res) => answer.ongoing = ongoing(res.evse_processing),
        B::PreChargeRes(res) => answer.voltage = number(&res.evse_present_voltage),
        B::CurrentDemandRes(res) => answer.current = number(&res.evse_present_current),
        _ => {}
    }
    answer
}

fn status() -> iso2::DCEVStatus {
    iso2::DCEVStatus { ev_ready: true, ev_error_code: iso2::DCEVErrorCode::NOERROR, ev_ress_soc: 20 }
}

fn value(unit: iso2::UnitSymbol, value: i16) -> iso2::PhysicalValue {
    iso2::PhysicalValue { multiplier: 0, unit, value }
}

fn session_setup() -> B {
    B::SessionSetupReq(iso2::SessionSetupReq { evcc_id: vec![2, 0, 0, 0, 0, 1] })
}

fn service_discovery() -> B {
    B::ServiceDiscoveryReq(iso2::ServiceDiscoveryReq { service_scope: None, service_category: None })
}

fn payment() -> B {
    B::PaymentServiceSelectionReq(iso2::PaymentServiceSelectionReq {
        selected_payment_option: iso2::PaymentOption::ExternalPayment,
        selected_service_list: iso2::SelectedServiceList {
            selected_service: vec![iso2::SelectedService { service_id: 1, parameter_set_id: None }],
        },
    })
}

fn authorization() -> B {
    B::AuthorizationReq(iso2::AuthorizationReq { id: None, gen_challenge: None })
}

fn parameters() -> B {
    B::ChargeParameterDiscoveryReq(iso2::ChargeParameterDiscoveryReq {
        max_entries_sa_schedule_tuple: None,
        requested_energy_transfer_mode: iso2::EnergyTransferMode::DCExtended,
        choice: iso2::ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(iso2::DCEVChargeParameter {
            departure_time: None,
            dc_ev_status: status(),
            ev_maximum_current_limit: value(iso2::UnitSymbol::A, 150),
            ev_maximum_power_limit: None,
            ev_maximum_voltage_limit: value(iso2::UnitSymbol::V, VOLTAGE_MAX),
            ev_energy_capacity: None,
            ev_energy_request: None,
            full_soc: None,
            bulk_soc: None,
        }),
    })
}

fn pre_charge(battery: f64) -> B {
    B::PreChargeReq(iso2::PreChargeReq {
        dc_ev_status: status(),
        ev_target_voltage: iso2::PhysicalValue {
            multiplier: -1,
            unit: iso2::UnitSymbol::V,
            value: tenths(battery),
        },
        ev_target_current: value(iso2::UnitSymbol::A, 2),
    })
}

fn power_delivery() -> B {
    B::PowerDeliveryReq(iso2::PowerDeliveryReq {
        charge_progress: iso2::ChargeProgress::Start,
        sa_schedule_tuple_id: 1,
        charging_profile: None,
        choice: None,
    })
}

fn current_demand((voltage, current): (i16, i16)) -> B {
    B::CurrentDemandReq(iso2::CurrentDemandReq {
        dc_ev_status: status(),
        ev_target_current: value(iso2::UnitSymbol::A, current),
        ev_maximum_voltage_limit: None,
        ev_maximum_current_limit: None,
        ev_maximum_power_limit: None,
        bulk_charging_complete: None,
        charging_complete: false,
        remaining_time_to_full_soc: None,
        remaining_time_to_bulk_soc: None,
        ev_target_voltage: value(iso2::UnitSymbol::V, voltage),
    })
}
