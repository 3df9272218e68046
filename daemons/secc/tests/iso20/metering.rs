//! What a vehicle in ISO 15118-20 is told of the meter, and its confirmation under a contract.

use iso15118::iso20::common::{MeterInfo, Signature};
use iso15118::pnc::{self, Suite};
use iso15118::v2gtp::PayloadType;
use voltry_secc::config::Metering;
use voltry_units::{Measured, WattHours};

use super::contract::{Contract, Signer};
use super::*;

/// What carries it beside the charge loop, and what carries the common messages.
const BESIDE: PayloadType = PayloadType::from_u16(0x8102);
const MAIN: PayloadType = PayloadType::Part20Main;

fn metering() -> Option<Metering> {
    Some(Metering { id: "M-1".to_owned(), receipt_every: Some(Duration::from_secs(60)) })
}

/// A vehicle that charges by contract, at a station that wants a confirmation a minute.
fn charging(contract: &Contract) -> Vehicle {
    let (mut vehicle, challenge) = contract.vehicle_at(metering());
    vehicle.bench.pushed.authorization = Authorization::Granted;
    vehicle.prove(contract.proof(&challenge));
    assert_eq!(vehicle.told(), (ResponseCode::OK, Processing::Finished));
    assert!(matches!(vehicle.main(service_discovery), Main::ServiceDiscoveryRes(_)));
    let Main::ServiceSelectionRes(_) = vehicle.main(|header| selection(header, 2, 1)) else { panic!() };
    vehicle.reach_power_on_from_selected(false);
    vehicle.bench.answer(PhaseAnswer::Finished);
    assert!(matches!(vehicle.heard_main(), Some(Main::PowerDeliveryRes(_))));
    vehicle
}

impl Vehicle {
    /// One round of the charge loop, with the meter at this register.
    fn demand(&mut self, milli_watt_hours: i64, wants_meter: bool) -> dc::DCChargeLoopRes {
        self.bench.present(400, 100);
        self.bench.pushed.meter =
            Some(Measured::new(WattHours::from_milli(milli_watt_hours), self.bench.now));
        self.charge_loop_of(scheduled(), wants_meter)
    }

    /// Charges for so many quarters of a second, and says what was notified on the way.
    fn charge_for(&mut self, quarters: u64, milli_watt_hours: i64) -> Option<EvseNotification> {
        let mut notified = None;
        for _ in 0..quarters {
            self.bench.pass(Duration::from_millis(250), true);
            let answer = self.demand(milli_watt_hours, false);
            assert_eq!(answer.response_code, ResponseCode::OK);
            notified = notified.or(answer.evse_status.map(|status| status.evse_notification));
        }
        notified
    }

    /// To the round that asks for a confirmation: the reading to be confirmed.
    fn asked(&mut self) -> MeterInfo {
        assert_eq!(self.charge_for(4 * 60 - 1, 7_000_000), None);
        assert_eq!(self.charge_for(1, 8_000_000), Some(EvseNotification::MeteringConfirmation));
        let answer = self.demand(9_000_000, false);
        let status = answer.evse_status.unwrap();
        assert_eq!(status.evse_notification, EvseNotification::MeteringConfirmation);
        assert_eq!(status.notification_max_delay, 30);
        let info = answer.meter_info.unwrap();
        assert_eq!(info.charged_energy_reading_wh, 8000, "the first that was to be signed");
        info
    }

    fn confirm(
        &mut self,
        payload_type: PayloadType,
        confirmation: (messages::SignedMeteringData, Option<Signature>),
    ) -> ResponseCode {
        let (signed_metering_data, signature) = confirmation;
        let header = MessageHeader { signature, ..self.header() };
        let req = messages::MeteringConfirmationReq { header, signed_metering_data };
        let message = Message::Iso20(Box::new(Main::MeteringConfirmationReq(req)));
        let (_, payload) = message.encode().unwrap();
        self.bench.vehicle.send_frame(payload_type, &payload).unwrap();
        self.bench.flush();
        let (answered, payload) = self.bench.vehicle.next_frame().unwrap();
        assert_eq!(answered, payload_type);
        let answer = Message::decode(Some(Protocol::Iso20), MAIN, &payload).unwrap();
        let Message::Iso20(document) = answer else { panic!() };
        let Main::MeteringConfirmationRes(answer) = *document else { panic!() };
        answer.response_code
    }
}

fn confirmation(contract: &Contract, info: &MeterInfo) -> (messages::SignedMeteringData, Option<Signature>) {
    let scheduled = messages::ScheduledSMDTControlMode { selected_schedule_tuple_id: 1 };
    let mut data = messages::SignedMeteringData {
        id: String::new(),
        session_id: ID.to_vec(),
        meter_info: info.clone(),
        receipt: None,
        choice: messages::SignedMeteringDataChoice::ScheduledSMDTControlMode(scheduled),
    };
    let signer = Signer(&contract.leaf);
    let signature = pnc::iso20::sign_metering_data(contract.suite, &mut data, &signer, &signer).unwrap();
    (data, Some(signature))
}

#[test]
fn a_vehicle_that_wants_to_know_the_meters_reading_is_told() {
    let mut vehicle = charging(&Contract::new(Suite::EcdsaSha256, (-1, 365)));
    assert_eq!(vehicle.demand(1_234_999, false).meter_info, None);
    let info = vehicle.demand(1_234_999, true).meter_info.unwrap();
    assert_eq!((info.meter_id.as_str(), info.charged_energy_reading_wh), ("M-1", 1234));
    // Without a meter that is configured there is none to tell of.
    let mut vehicle = Vehicle::new();
    vehicle.reach_charging(false);
    assert_eq!(vehicle.demand(1_234_999, true).meter_info, None);
}

#[test]
fn a_contract_on_either_curve_confirms_what_was_metered_while_the_vehicle_charges_on() {
    for (suite, payload_type) in [(Suite::EcdsaSha256, BESIDE), (Suite::EcdsaSha512, MAIN)] {
        let contract = Contract::new(suite, (-1, 365));
        let mut vehicle = charging(&contract);
        for _ in 0..2 {
            let info = vehicle.asked();
            assert_eq!(vehicle.confirm(payload_type, confirmation(&contract, &info)), ResponseCode::OK);
            let answer = vehicle.demand(9_000_000, false);
            assert_eq!((answer.response_code, answer.evse_status), (ResponseCode::OK, None));
        }
    }
}

#[test]
fn a_confirmation_that_is_not_the_contracts_or_of_another_reading_ends_the_session() {
    let contract = Contract::new(Suite::EcdsaSha256, (-1, 365));
    let other = Contract::new(Suite::EcdsaSha256, (-1, 365));
    for forge in 0..5 {
        let mut vehicle = charging(&contract);
        let mut info = vehicle.asked();
        if forge == 0 {
            info.charged_energy_reading_wh = 1;
        }
        let (mut data, mut signature) = confirmation(if forge == 1 { &other } else { &contract }, &info);
        match forge {
            2 => signature = None,
            3 => data.session_id = vec![9; 8],
            4 => signature.as_mut().unwrap().signature_value.value[7] ^= 1,
            _ => {}
        }
        let told = vehicle.confirm(BESIDE, (data, signature));
        assert_eq!(told, ResponseCode::FAILEDMeteringSignatureNotValid, "{forge}");
        let failed = |event: &Event| matches!(event, Event::Ended(LinkOutcome::Failed, _));
        assert!(vehicle.bench.events.iter().any(failed));
    }
}

#[test]
fn a_vehicle_that_does_not_confirm_in_its_time_is_refused() {
    let mut vehicle = charging(&Contract::new(Suite::EcdsaSha256, (-1, 365)));
    vehicle.asked();
    assert_eq!(vehicle.charge_for(4 * 30 - 1, 9_000_000), Some(EvseNotification::MeteringConfirmation));
    vehicle.bench.pass(Duration::from_millis(250), true);
    assert_eq!(vehicle.demand(9_000_000, false).response_code, ResponseCode::FAILED);
    let cause = vehicle.bench.events.iter().find_map(|event| match event {
        Event::Ended(LinkOutcome::Failed, Some(cause)) => Some(cause.to_string()),
        _ => None,
    });
    assert_eq!(cause.unwrap(), "no receipt of the vehicle for what was metered within 30 s");
}

#[test]
fn a_confirmation_that_crosses_the_end_of_the_charge_loop_is_taken() {
    let contract = Contract::new(Suite::EcdsaSha256, (-1, 365));
    let deliver = |vehicle: &mut Vehicle, progress| {
        vehicle.send_main(|header| power_delivery(header, Processing::Finished, progress));
        vehicle.bench.answer(PhaseAnswer::Finished);
        assert!(matches!(vehicle.heard_main(), Some(Main::PowerDeliveryRes(_))));
    };
    for (progress, phase) in [
        (messages::ChargeProgress::ScheduleRenegotiation, LinkPhase::Renegotiating),
        (messages::ChargeProgress::Standby, LinkPhase::Charging),
        (messages::ChargeProgress::Stop, LinkPhase::PowerOff),
    ] {
        let mut vehicle = charging(&contract);
        let info = vehicle.asked();
        deliver(&mut vehicle, progress);
        assert_eq!(vehicle.confirm(BESIDE, confirmation(&contract, &info)), ResponseCode::OK, "{phase}");
        assert_eq!(vehicle.bench.phase(), Some(phase));
    }
    let mut vehicle = charging(&contract);
    let info = vehicle.asked();
    deliver(&mut vehicle, messages::ChargeProgress::Stop);
    vehicle.bench.present(10, 0);
    let welding = |header| {
        Dc::DCWeldingDetectionReq(dc::DCWeldingDetectionReq { header, ev_processing: Processing::Ongoing })
    };
    assert!(matches!(vehicle.dc(welding), Dc::DCWeldingDetectionRes(_)));
    assert_eq!(vehicle.confirm(BESIDE, confirmation(&contract, &info)), ResponseCode::OK);
    assert!(matches!(vehicle.dc(welding), Dc::DCWeldingDetectionRes(_)), "it goes on where it was");
}
