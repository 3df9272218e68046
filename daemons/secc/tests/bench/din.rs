//! A DIN 70121 vehicle beside the bench's station, and the messages it says.

use iso15118::message::Message;
use iso15118::v2gtp::PayloadType;
use voltry_bus::{Authorization, LinkOutcome, LinkPhase, PhaseAnswer};
use voltry_din70121::{
    self as din, BodyElement as B, EvseProcessing, ExiDocument as _, IsolationLevel, Multiplier,
    PhysicalValue, ResponseCode, Unit, V2gMessage,
};
use voltry_secc::decide::Cause;
use voltry_secc::session::Event;

use super::{Bench, ID};

/// Recorded from a Tesla Model Y: a namespace of its own first, then DIN 70121.
pub(crate) const TESLA_OFFER: &str = "8000dbab9371d3234b71d1b981899189d191818991d26b9b3a232b30020000040401b75726e3a7465736c613a64696e3a323031383a4d736744656600001c0100080";

/// A vehicle beside the bench's station.
pub(crate) struct Vehicle {
    pub(crate) bench: Bench,
    pub(crate) id: Vec<u8>,
}

impl Vehicle {
    pub(crate) fn new() -> Self {
        Self::offering(TESLA_OFFER).0
    }

    /// A vehicle that made this offer, and which of its schemas was agreed on.
    pub(crate) fn offering(offer: &str) -> (Self, Option<u8>) {
        let mut vehicle = Self { bench: Bench::new(), id: vec![0] };
        vehicle.send_payload(&bytes(offer));
        let Some(Message::AppProtocolRes(agreed)) = vehicle.bench.vehicle.next_message().unwrap() else {
            panic!()
        };
        (vehicle, agreed.schema_id)
    }

    pub(crate) fn send_payload(&mut self, payload: &[u8]) {
        self.bench.vehicle.send_frame(PayloadType::ExiEncodedV2gMessage, payload).unwrap();
        self.bench.flush();
    }

    /// Sends a recorded request under our session id.
    pub(crate) fn send_recorded(&mut self, hex: &str) {
        self.send_payload(&under_id(&bytes(hex), ID));
    }

    pub(crate) fn send(&mut self, body: impl Into<B>) {
        let payload = V2gMessage::new(&self.id, body).to_vec().unwrap();
        self.send_payload(&payload);
    }

    /// The next answer that arrived.
    pub(crate) fn heard(&mut self) -> Option<B> {
        let (payload_type, payload) = self.bench.vehicle.next_frame()?;
        assert_eq!(payload_type, PayloadType::ExiEncodedV2gMessage);
        let message = V2gMessage::from_bytes(&payload).unwrap();
        self.id = message.header.session_id.0;
        message.body.element
    }

    pub(crate) fn ask(&mut self, body: impl Into<B>) -> B {
        self.send(body);
        self.heard().expect("an answer at once")
    }

    /// Asks what evse has to grant.
    pub(crate) fn granted(&mut self, body: impl Into<B>) -> B {
        self.send(body);
        assert_eq!(self.heard(), None, "evse has not answered");
        self.bench.answer(PhaseAnswer::Finished);
        self.heard().expect("an answer")
    }

    pub(crate) fn reach_services(&mut self) {
        let B::SessionSetupRes(setup) = self.ask(session_setup(&[2, 0, 0, 0, 0, 1])) else { panic!() };
        assert_eq!(setup.response_code, ResponseCode::OkNewSessionEstablished);
        assert_eq!(setup.evse_id.0, b"DE*VOL*E1");
        assert_eq!(self.id, ID);
    }

    pub(crate) fn reach_selected(&mut self) {
        self.reach_services();
        let B::ServiceDiscoveryRes(services) = self.ask(service_discovery()) else { panic!() };
        assert_eq!(services.payment_options.payment_option, [din::PaymentOption::ExternalPayment]);
        assert_eq!(services.charge_service.service_tag.service_id, 1);
        let selected = self.ask(selection(din::PaymentOption::ExternalPayment, 1));
        assert_eq!(code(&selected), ResponseCode::Ok);
    }

    pub(crate) fn reach_parameters(&mut self) {
        self.reach_selected();
        self.bench.pushed.authorization = Authorization::Granted;
        let B::ContractAuthenticationRes(granted) = self.ask(authentication()) else { panic!() };
        assert_eq!(granted.evse_processing, EvseProcessing::Finished);
    }

    pub(crate) fn reach_cable_check(&mut self) {
        self.reach_parameters();
        let answer = self.granted(parameters());
        assert_eq!(code(&answer), ResponseCode::Ok);
    }

    pub(crate) fn reach_pre_charge(&mut self) {
        self.reach_cable_check();
        let B::CableCheckRes(check) = self.granted(cable_check()) else { panic!() };
        assert_eq!(
            (check.response_code, check.evse_processing),
            (ResponseCode::Ok, EvseProcessing::Finished)
        );
        assert_eq!(check.dc_evse_status.evse_isolation_status, Some(IsolationLevel::Valid));
    }

    pub(crate) fn reach_charging(&mut self) {
        self.reach_pre_charge();
        let B::PreChargeRes(pre_charge) = self.ask(pre_charge()) else { panic!() };
        assert_eq!(pre_charge.evse_present_voltage, value(-1, Unit::Volts, 4000));
        let answer = self.granted(power_delivery(true));
        assert_eq!(code(&answer), ResponseCode::Ok);
        assert_eq!(self.bench.phase(), Some(LinkPhase::Charging));
    }

    pub(crate) fn ended(&self) -> Option<(LinkOutcome, Option<&'static str>)> {
        let mut ends = self.bench.events.iter().filter_map(|event| match event {
            Event::Ended(outcome, cause) => Some((*outcome, cause.as_ref().map(Cause::kind))),
            _ => None,
        });
        let end = ends.next();
        assert_eq!(ends.next(), None, "it ended twice");
        end
    }
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The payload under another session id. It need not be one that our codec can write.
pub(crate) fn under_id(payload: &[u8], id: [u8; 8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    assert_eq!((payload[2] << 2) | (payload[3] >> 6), 8, "a session id of eight bytes");
    // It begins at the 26th bit.
    for (at, byte) in id.into_iter().enumerate() {
        payload[3 + at] = payload[3 + at] & 0xc0 | byte >> 2;
        payload[4 + at] = payload[4 + at] & 0x3f | byte << 6;
    }
    payload
}

pub(crate) fn session_setup(evcc_id: &[u8]) -> din::SessionSetupReq {
    din::SessionSetupReq { evcc_id: din::HexBinary(evcc_id.to_vec()) }
}

pub(crate) fn service_discovery() -> din::ServiceDiscoveryReq {
    din::ServiceDiscoveryReq { service_scope: None, service_category: None }
}

pub(crate) fn selection(payment: din::PaymentOption, service_id: u16) -> din::ServicePaymentSelectionReq {
    din::ServicePaymentSelectionReq {
        selected_payment_option: payment,
        selected_service_list: din::SelectedServiceList {
            selected_service: vec![din::SelectedService { service_id, parameter_set_id: None }],
        },
    }
}

pub(crate) fn authentication() -> din::ContractAuthenticationReq {
    din::ContractAuthenticationReq { id: None, gen_challenge: None }
}

pub(crate) fn ev_status() -> din::DcEvStatus {
    din::DcEvStatus {
        ev_ready: true,
        ev_cabin_conditioning: None,
        ev_ress_conditioning: None,
        ev_error_code: din::DcEvErrorCode::NoError,
        ev_ress_soc: din::Percent(20),
    }
}

pub(crate) fn value(multiplier: i8, unit: Unit, value: i16) -> PhysicalValue {
    PhysicalValue { multiplier: Multiplier(multiplier), unit: Some(unit), value }
}

pub(crate) fn parameters() -> din::ChargeParameterDiscoveryReq {
    din::ChargeParameterDiscoveryReq {
        ev_requested_energy_transfer_type: din::EvRequestedEnergyTransferType::DcExtended,
        ev_charge_parameter: din::EvChargeParameter::Dc(din::DcEvChargeParameter {
            dc_ev_status: ev_status(),
            ev_maximum_current_limit: value(0, Unit::Amperes, 150),
            ev_maximum_power_limit: Some(value(3, Unit::Watts, 60)),
            ev_maximum_voltage_limit: value(-1, Unit::Volts, 4100),
            ev_energy_capacity: Some(value(0, Unit::WattHours, 2000)),
            ev_energy_request: None,
            full_soc: None,
            bulk_soc: None,
        }),
    }
}

pub(crate) fn cable_check() -> din::CableCheckReq {
    din::CableCheckReq { dc_ev_status: ev_status() }
}

pub(crate) fn pre_charge() -> din::PreChargeReq {
    din::PreChargeReq {
        dc_ev_status: ev_status(),
        ev_target_voltage: value(-1, Unit::Volts, 3805),
        ev_target_current: value(0, Unit::Amperes, 2),
    }
}

pub(crate) fn power_delivery(ready_to_charge_state: bool) -> din::PowerDeliveryReq {
    din::PowerDeliveryReq {
        ready_to_charge_state,
        charging_profile: None,
        ev_power_delivery_parameter: Some(din::EvPowerDeliveryParameter::Dc(
            din::DcEvPowerDeliveryParameter {
                dc_ev_status: ev_status(),
                bulk_charging_complete: None,
                charging_complete: false,
            },
        )),
    }
}

pub(crate) fn current_demand() -> din::CurrentDemandReq {
    din::CurrentDemandReq {
        dc_ev_status: ev_status(),
        ev_target_current: value(-1, Unit::Amperes, 1255),
        ev_maximum_voltage_limit: None,
        ev_maximum_current_limit: None,
        ev_maximum_power_limit: None,
        bulk_charging_complete: None,
        charging_complete: false,
        remaining_time_to_full_soc: None,
        remaining_time_to_bulk_soc: None,
        // Without a unit: that of the element.
        ev_target_voltage: PhysicalValue { multiplier: Multiplier(0), unit: None, value: 400 },
    }
}

pub(crate) fn welding_detection() -> din::WeldingDetectionReq {
    din::WeldingDetectionReq { dc_ev_status: ev_status() }
}

pub(crate) fn code(answer: &B) -> ResponseCode {
    match answer {
        B::SessionSetupRes(res) => res.response_code,
        B::ServiceDetailRes(res) => res.response_code,
        B::ServicePaymentSelectionRes(res) => res.response_code,
        B::ContractAuthenticationRes(res) => res.response_code,
        B::ChargeParameterDiscoveryRes(res) => res.response_code,
        B::CableCheckRes(res) => res.response_code,
        B::PreChargeRes(res) => res.response_code,
        B::PowerDeliveryRes(res) => res.response_code,
        B::CurrentDemandRes(res) => res.response_code,
        B::WeldingDetectionRes(res) => res.response_code,
        B::SessionStopRes(res) => res.response_code,
        B::PaymentDetailsRes(res) => res.response_code,
        B::CertificateInstallationRes(res) => res.response_code,
        B::CertificateUpdateRes(res) => res.response_code,
        B::MeteringReceiptRes(res) => res.response_code,
        B::ChargingStatusRes(res) => res.response_code,
        other => panic!("{}", other.element()),
    }
}
