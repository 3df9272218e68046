//! The DIN 70121 codec beside that of ISO 15118-2, from the crate whose EXI layer both use.
//!
//! Only messages that hold the same elements in both are compared, with the same values:
//! what the charge loop's answer holds more of in ISO 15118-2 would flatter DIN.

use std::hint::black_box;
use std::time::{Duration, Instant};

use iso15118::iso2::{self, BodyChoice as B};
use voltry_din70121::{self as din, BodyElement, ExiDocument, V2gMessage};

use crate::report::{Report, percentile};

/// Rounds, of which the median ratio is told; in each both codecs take turns on all messages.
const ROUNDS: usize = 301;
const REPEATS: usize = 100;
const ID: [u8; 8] = *b"voltry01";

pub(crate) fn measure(report: &mut Report) {
    let din: Vec<_> = din_messages().into_iter().map(|body| V2gMessage::new(&ID, body)).collect();
    let iso2: Vec<_> = iso2_messages().into_iter().map(iso2_message).collect();
    let encode = ratio(|| encode_all(&din), || encode_all(&iso2));
    let (din, iso2) = (payloads(&din), payloads(&iso2));
    let decode = ratio(|| decode_all::<V2gMessage>(&din), || decode_all::<iso2::V2GMessage>(&iso2));
    report.add("din_vs_iso2_decode", decode);
    report.add("din_vs_iso2_encode", encode);
}

/// How long the one takes, over how long the other takes.
fn ratio(one: impl Fn() -> Duration, other: impl Fn() -> Duration) -> f64 {
    let mut ratios: Vec<f64> = (0..ROUNDS).map(|_| one().as_secs_f64() / other().as_secs_f64()).collect();
    percentile(&mut ratios, 0.5)
}

fn encode_all(messages: &[impl ExiDocument]) -> Duration {
    let mut buffer = [0; 256];
    let begin = Instant::now();
    for _ in 0..REPEATS {
        for message in messages {
            black_box(black_box(message).to_slice(&mut buffer).expect("it fits"));
        }
    }
    begin.elapsed()
}

fn payloads(messages: &[impl ExiDocument]) -> Vec<Vec<u8>> {
    messages.iter().map(|message| message.to_vec().expect("it fits the schema")).collect()
}

fn decode_all<T: ExiDocument>(payloads: &[Vec<u8>]) -> Duration {
    let begin = Instant::now();
    for _ in 0..REPEATS {
        for payload in payloads {
            black_box(T::from_bytes(black_box(payload)).expect("we wrote it"));
        }
    }
    begin.elapsed()
}

fn din_messages() -> [BodyElement; 7] {
    use din::Unit::{Amperes, Seconds, Volts, WattHours, Watts};
    let value = |multiplier, unit, value| din::PhysicalValue {
        multiplier: din::Multiplier(multiplier),
        unit: Some(unit),
        value,
    };
    let dc_ev_status = din::DcEvStatus {
        ev_ready: true,
        ev_cabin_conditioning: None,
        ev_ress_conditioning: None,
        ev_error_code: din::DcEvErrorCode::NoError,
        ev_ress_soc: din::Percent(86),
    };
    let dc_evse_status = din::DcEvseStatus {
        evse_isolation_status: Some(din::IsolationLevel::Valid),
        evse_status_code: din::DcEvseStatusCode::Ready,
        notification_max_delay: 0,
        evse_notification: din::EvseNotification::None,
    };
    let response_code = din::ResponseCode::Ok;
    let evse_present_voltage = value(-1, Volts, 3692);
    [
        din::ChargeParameterDiscoveryReq {
            ev_requested_energy_transfer_type: din::EvRequestedEnergyTransferType::DcExtended,
            ev_charge_parameter: din::EvChargeParameter::Dc(din::DcEvChargeParameter {
                dc_ev_status,
                ev_maximum_current_limit: value(-1, Amperes, 5000),
                ev_maximum_power_limit: Some(value(1, Watts, 25_000)),
                ev_maximum_voltage_limit: value(-1, Volts, 3990),
                ev_energy_capacity: Some(value(0, WattHours, 18_700)),
                ev_energy_request: Some(value(0, WattHours, 5300)),
                full_soc: Some(din::Percent(100)),
                bulk_soc: Some(din::Percent(80)),
            }),
        }
        .into(),
        din::CableCheckReq { dc_ev_status }.into(),
        din::CableCheckRes { response_code, dc_evse_status, evse_processing: din::EvseProcessing::Ongoing }
            .into(),
        din::PreChargeReq {
            dc_ev_status,
            ev_target_voltage: value(-1, Volts, 3660),
            ev_target_current: value(-1, Amperes, 10),
        }
        .into(),
        din::PreChargeRes { response_code, dc_evse_status, evse_present_voltage }.into(),
        din::CurrentDemandReq {
            dc_ev_status,
            ev_target_current: value(-1, Amperes, 1255),
            ev_maximum_voltage_limit: Some(value(-1, Volts, 3990)),
            ev_maximum_current_limit: Some(value(-1, Amperes, 5000)),
            ev_maximum_power_limit: Some(value(1, Watts, 25_000)),
            bulk_charging_complete: Some(false),
            charging_complete: false,
            remaining_time_to_full_soc: Some(value(0, Seconds, 11_400)),
            remaining_time_to_bulk_soc: Some(value(0, Seconds, 600)),
            ev_target_voltage: value(-1, Volts, 3893),
        }
        .into(),
        din::WeldingDetectionRes { response_code, dc_evse_status, evse_present_voltage }.into(),
    ]
}

fn iso2_message(body: B) -> iso2::V2GMessage {
    iso2::V2GMessage {
        header: iso2::MessageHeader { session_id: ID.to_vec(), notification: None, signature: None },
        body: iso2::Body { choice: Some(body) },
    }
}

fn iso2_messages() -> [B; 7] {
    use iso2::UnitSymbol::{A, S, V, W, Wh};
    let value = |multiplier, unit, value| iso2::PhysicalValue { multiplier, unit, value };
    let dc_ev_status =
        || iso2::DCEVStatus { ev_ready: true, ev_error_code: iso2::DCEVErrorCode::NOERROR, ev_ress_soc: 86 };
    let dc_evse_status = || iso2::DCEVSEStatus {
        notification_max_delay: 0,
        evse_notification: iso2::EVSENotification::None,
        evse_isolation_status: Some(iso2::IsolationLevel::Valid),
        evse_status_code: iso2::DCEVSEStatusCode::EVSEReady,
    };
    let response_code = iso2::ResponseCode::OK;
    [
        B::ChargeParameterDiscoveryReq(iso2::ChargeParameterDiscoveryReq {
            max_entries_sa_schedule_tuple: None,
            requested_energy_transfer_mode: iso2::EnergyTransferMode::DCExtended,
            choice: iso2::ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(iso2::DCEVChargeParameter {
                departure_time: None,
                dc_ev_status: dc_ev_status(),
                ev_maximum_current_limit: value(-1, A, 5000),
                ev_maximum_power_limit: Some(value(1, W, 25_000)),
                ev_maximum_voltage_limit: value(-1, V, 3990),
                ev_energy_capacity: Some(value(0, Wh, 18_700)),
                ev_energy_request: Some(value(0, Wh, 5300)),
                full_soc: Some(100),
                bulk_soc: Some(80),
            }),
        }),
        B::CableCheckReq(iso2::CableCheckReq { dc_ev_status: dc_ev_status() }),
        B::CableCheckRes(iso2::CableCheckRes {
            response_code,
            dc_evse_status: dc_evse_status(),
            evse_processing: iso2::EVSEProcessing::Ongoing,
        }),
        B::PreChargeReq(iso2::PreChargeReq {
            dc_ev_status: dc_ev_status(),
            ev_target_voltage: value(-1, V, 3660),
            ev_target_current: value(-1, A, 10),
        }),
        B::PreChargeRes(iso2::PreChargeRes {
            response_code,
            dc_evse_status: dc_evse_status(),
            evse_present_voltage: value(-1, V, 3692),
        }),
        B::CurrentDemandReq(iso2::CurrentDemandReq {
            dc_ev_status: dc_ev_status(),
            ev_target_current: value(-1, A, 1255),
            ev_maximum_voltage_limit: Some(value(-1, V, 3990)),
            ev_maximum_current_limit: Some(value(-1, A, 5000)),
            ev_maximum_power_limit: Some(value(1, W, 25_000)),
            bulk_charging_complete: Some(false),
            charging_complete: false,
            remaining_time_to_full_soc: Some(value(0, S, 11_400)),
            remaining_time_to_bulk_soc: Some(value(0, S, 600)),
            ev_target_voltage: value(-1, V, 3893),
        }),
        B::WeldingDetectionRes(iso2::WeldingDetectionRes {
            response_code,
            dc_evse_status: dc_evse_status(),
            evse_present_voltage: value(-1, V, 3692),
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_alike() {
        for (din, iso2) in din_messages().iter().zip(&iso2_messages()) {
            assert_eq!(din.element(), iso2.name());
            let din = V2gMessage::new(&ID, din.clone()).to_vec().unwrap_or_default();
            let iso2 = iso2_message(iso2.clone()).to_vec().unwrap_or_default();
            assert!(din.len().abs_diff(iso2.len()) <= 2, "{} and {} bytes", din.len(), iso2.len());
        }
    }
}
