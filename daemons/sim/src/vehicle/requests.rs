//! The requests of an ISO 15118-2 DC session, as this vehicle fills them in.

use iso15118::iso2::{
    AuthorizationReq, BodyChoice, CableCheckReq, ChargeParameterDiscoveryReq,
    ChargeParameterDiscoveryReqChoice, ChargeProgress, ChargingSession, CurrentDemandReq,
    DCEVChargeParameter, DCEVErrorCode, DCEVPowerDeliveryParameter, DCEVStatus, EnergyTransferMode,
    PaymentOption, PaymentServiceSelectionReq, PhysicalValue, PowerDeliveryReq, PowerDeliveryReqChoice,
    PreChargeReq, SelectedService, SelectedServiceList, ServiceDiscoveryReq, SessionSetupReq, SessionStopReq,
    UnitSymbol, WeldingDetectionReq,
};

use super::VehicleConfig;

/// What every DC request says of the vehicle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status {
    /// State of charge, percent.
    pub(super) soc: f64,
    /// EVReady: the vehicle would accept energy now.
    pub(super) ready: bool,
}

impl From<Status> for DCEVStatus {
    fn from(status: Status) -> Self {
        Self {
            ev_ready: status.ready,
            ev_error_code: DCEVErrorCode::NOERROR,
            ev_ress_soc: percent(status.soc),
        }
    }
}

pub(super) fn session_setup(evcc_id: [u8; 6]) -> BodyChoice {
    BodyChoice::SessionSetupReq(SessionSetupReq { evcc_id: evcc_id.to_vec() })
}

pub(super) fn service_discovery() -> BodyChoice {
    BodyChoice::ServiceDiscoveryReq(ServiceDiscoveryReq { service_scope: None, service_category: None })
}

pub(super) fn external_payment(service_id: u16) -> BodyChoice {
    BodyChoice::PaymentServiceSelectionReq(PaymentServiceSelectionReq {
        selected_payment_option: PaymentOption::ExternalPayment,
        selected_service_list: SelectedServiceList {
            selected_service: vec![SelectedService { service_id, parameter_set_id: None }],
        },
    })
}

pub(super) fn authorization() -> BodyChoice {
    BodyChoice::AuthorizationReq(AuthorizationReq { id: None, gen_challenge: None })
}

pub(super) fn charge_parameters(config: &VehicleConfig, status: Status) -> BodyChoice {
    let missing = (config.target_soc - status.soc).max(0.0) / 100.0 * config.capacity_wh;
    BodyChoice::ChargeParameterDiscoveryReq(ChargeParameterDiscoveryReq {
        max_entries_sa_schedule_tuple: None,
        requested_energy_transfer_mode: EnergyTransferMode::DCExtended,
        choice: ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(DCEVChargeParameter {
            departure_time: None,
            dc_ev_status: status.into(),
            ev_maximum_current_limit: amps(config.current_max),
            ev_maximum_power_limit: Some(watts(config.power_max)),
            ev_maximum_voltage_limit: volts(config.voltage_max),
            ev_energy_capacity: Some(watt_hours(config.capacity_wh)),
            ev_energy_request: Some(watt_hours(missing)),
            full_soc: Some(100),
            bulk_soc: Some(percent(config.target_soc)),
        }),
    })
}

pub(super) fn cable_check(status: Status) -> BodyChoice {
    BodyChoice::CableCheckReq(CableCheckReq { dc_ev_status: status.into() })
}

pub(super) fn pre_charge(status: Status, voltage: f64, current: f64) -> BodyChoice {
    BodyChoice::PreChargeReq(PreChargeReq {
        dc_ev_status: status.into(),
        ev_target_voltage: volts(voltage),
        ev_target_current: amps(current),
    })
}

pub(super) fn power_delivery(progress: ChargeProgress, status: Status, schedule: u8) -> BodyChoice {
    BodyChoice::PowerDeliveryReq(PowerDeliveryReq {
        charge_progress: progress,
        sa_schedule_tuple_id: schedule,
        charging_profile: None,
        choice: Some(PowerDeliveryReqChoice::DCEVPowerDeliveryParameter(DCEVPowerDeliveryParameter {
            dc_ev_status: status.into(),
            bulk_charging_complete: None,
            charging_complete: !status.ready,
        })),
    })
}

pub(super) fn current_demand(
    config: &VehicleConfig,
    status: Status,
    voltage: f64,
    current: f64,
) -> BodyChoice {
    BodyChoice::CurrentDemandReq(CurrentDemandReq {
        dc_ev_status: status.into(),
        ev_target_current: amps(current),
        ev_maximum_voltage_limit: Some(volts(config.voltage_max)),
        ev_maximum_current_limit: Some(amps(config.current_max)),
        ev_maximum_power_limit: Some(watts(config.power_max)),
        bulk_charging_complete: None,
        charging_complete: false,
        remaining_time_to_full_soc: None,
        remaining_time_to_bulk_soc: None,
        ev_target_voltage: volts(voltage),
    })
}

pub(super) fn welding_detection(status: Status) -> BodyChoice {
    BodyChoice::WeldingDetectionReq(WeldingDetectionReq { dc_ev_status: status.into() })
}

pub(super) fn session_stop() -> BodyChoice {
    BodyChoice::SessionStopReq(SessionStopReq { charging_session: ChargingSession::Terminate })
}

/// A physical value as a number in its unit.
pub(super) fn number(value: &PhysicalValue) -> f64 {
    f64::from(value.value) * 10f64.powi(i32::from(value.multiplier))
}

fn volts(value: f64) -> PhysicalValue {
    physical(UnitSymbol::V, value, -1)
}

fn amps(value: f64) -> PhysicalValue {
    physical(UnitSymbol::A, value, -1)
}

fn watts(value: f64) -> PhysicalValue {
    physical(UnitSymbol::W, value, 2)
}

fn watt_hours(value: f64) -> PhysicalValue {
    physical(UnitSymbol::Wh, value, 1)
}

// The value is clamped to the target's range first, and `as` saturates besides.
#[allow(clippy::cast_possible_truncation)]
fn physical(unit: UnitSymbol, value: f64, multiplier: i8) -> PhysicalValue {
    let scaled = (value / 10f64.powi(i32::from(multiplier))).round();
    PhysicalValue { multiplier, unit, value: scaled.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16 }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn percent(value: f64) -> u8 {
    value.clamp(0.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_physical_value_keeps_its_number_to_its_resolution() {
        assert!((number(&volts(412.34)) - 412.3).abs() < 1e-9);
        assert!((number(&amps(199.96)) - 200.0).abs() < 1e-9);
        assert!((number(&watts(72_000.0)) - 72_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_value_beyond_the_schema_is_held_at_its_end() {
        assert_eq!(volts(1e9).value, i16::MAX);
        assert_eq!(percent(130.0), 100);
    }
}
