//! DIN SPEC 70121.

use voltry_din70121::{
    self as din, BodyElement as B, EvseProcessing, Multiplier, PhysicalValue, ResponseCode, Unit, V2gMessage,
};

use super::{Answer, Step, VOLTAGE_MAX, scaled, tenths};

pub(super) fn request(
    step: Step,
    place: u32,
    id: &[u8],
    battery: f64,
    target: (i16, i16),
) -> Option<V2gMessage> {
    let dc_ev_status = status();
    let body: B = match (step, place) {
        (Step::SessionSetup, 0) => {
            din::SessionSetupReq { evcc_id: din::HexBinary(vec![2, 0, 0, 0, 0, 1]) }.into()
        }
        (Step::Selection, 0) => {
            din::ServiceDiscoveryReq { service_scope: None, service_category: None }.into()
        }
        (Step::Selection, 1) => din::ServicePaymentSelectionReq {
            selected_payment_option: din::PaymentOption::ExternalPayment,
            selected_service_list: din::SelectedServiceList {
                selected_service: vec![din::SelectedService { service_id: 1, parameter_set_id: None }],
            },
        }
        .into(),
        (Step::Selection, 2) => din::ContractAuthenticationReq { id: None, gen_challenge: None }.into(),
        (Step::Parameters, 0) => parameters().into(),
        (Step::CableCheck, 0) => din::CableCheckReq { dc_ev_status }.into(),
        (Step::PreCharge, 0) => din::PreChargeReq {
            dc_ev_status,
            ev_target_voltage: value(-1, Unit::Volts, tenths(battery)),
            ev_target_current: value(0, Unit::Amperes, 2),
        }
        .into(),
        (Step::PowerDelivery, 0) => din::PowerDeliveryReq {
            ready_to_charge_state: true,
            charging_profile: None,
            ev_power_delivery_parameter: Some(din::EvPowerDeliveryParameter::Dc(
                din::DcEvPowerDeliveryParameter {
                    dc_ev_status,
                    bulk_charging_complete: None,
                    charging_complete: false,
                },
            )),
        }
        .into(),
        (Step::Demand, 0) => current_demand(target).into(),
        _ => return None,
    };
    Some(V2gMessage::new(id, body))
}

pub(super) fn answer(message: V2gMessage) -> Answer {
    let mut answer = Answer { id: message.header.session_id.0, ..Answer::default() };
    let Some(body) = message.body.element else { return answer };
    let ongoing = |processing| processing != EvseProcessing::Finished;
    let number = |value: &PhysicalValue| Some(scaled(value.value, value.multiplier.0));
    let code = match &body {
        B::SessionSetupRes(res) => res.response_code,
        B::ServiceDiscoveryRes(res) => res.response_code,
        B::ServicePaymentSelectionRes(res) => res.response_code,
        B::ContractAuthenticationRes(res) => {
            answer.ongoing = ongoing(res.evse_processing);
            res.response_code
        }
        B::ChargeParameterDiscoveryRes(res) => {
            answer.ongoing = ongoing(res.evse_processing);
            res.response_code
        }
        B::CableCheckRes(res) => {
            answer.ongoing = ongoing(res.evse_processing);
            res.response_code
        }
        B::PreChargeRes(res) => {
            answer.voltage = number(&res.evse_present_voltage);
            res.response_code
        }
        B::PowerDeliveryRes(res) => res.response_code,
        B::CurrentDemandRes(res) => {
            answer.current = number(&res.evse_present_current);
            res.response_code
        }
        other => {
            answer.refused = Some(other.element().to_owned());
            return answer;
        }
    };
    if !matches!(code, ResponseCode::Ok | ResponseCode::OkNewSessionEstablished) {
        answer.refused = Some(format!("{code:?}"));
    }
    answer
}

fn status() -> din::DcEvStatus {
    din::DcEvStatus {
        ev_ready: true,
        ev_cabin_conditioning: None,
        ev_ress_conditioning: None,
        ev_error_code: din::DcEvErrorCode::NoError,
        ev_ress_soc: din::Percent(20),
    }
}

fn value(multiplier: i8, unit: Unit, value: i16) -> PhysicalValue {
    PhysicalValue { multiplier: Multiplier(multiplier), unit: Some(unit), value }
}

fn parameters() -> din::ChargeParameterDiscoveryReq {
    din::ChargeParameterDiscoveryReq {
        ev_requested_energy_transfer_type: din::EvRequestedEnergyTransferType::DcExtended,
        ev_charge_parameter: din::EvChargeParameter::Dc(din::DcEvChargeParameter {
            dc_ev_status: status(),
            ev_maximum_current_limit: value(0, Unit::Amperes, 150),
            ev_maximum_power_limit: None,
            ev_maximum_voltage_limit: value(0, Unit::Volts, VOLTAGE_MAX),
            ev_energy_capacity: None,
            ev_energy_request: None,
            full_soc: None,
            bulk_soc: None,
        }),
    }
}

fn current_demand((voltage, current): (i16, i16)) -> din::CurrentDemandReq {
    din::CurrentDemandReq {
        dc_ev_status: status(),
        ev_target_current: value(0, Unit::Amperes, current),
        ev_maximum_voltage_limit: None,
        ev_maximum_current_limit: None,
        ev_maximum_power_limit: None,
        bulk_charging_complete: None,
        charging_complete: false,
        remaining_time_to_full_soc: None,
        remaining_time_to_bulk_soc: None,
        ev_target_voltage: value(0, Unit::Volts, voltage),
    }
}
