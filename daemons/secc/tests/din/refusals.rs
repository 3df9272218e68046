//! What is refused, and in which words of DIN 70121.

use super::*;

#[test]
fn service_detail_may_be_asked_for_and_is_refused_for_what_is_not_offered() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_services();
    vehicle.ask(service_discovery());
    let B::ServiceDetailRes(detail) = vehicle.ask(din::ServiceDetailReq { service_id: 1 }) else { panic!() };
    assert_eq!((detail.response_code, detail.service_id), (ResponseCode::Ok, 1));
    assert_eq!(
        code(&vehicle.ask(din::ServiceDetailReq { service_id: 2 })),
        ResponseCode::FailedServiceIdInvalid
    );
    assert_eq!(vehicle.ended(), Some((LinkOutcome::Failed, Some("not offered"))));
}

#[test]
fn what_is_not_offered_is_refused_in_the_words_of_this_standard() {
    type Reach = fn(&mut Vehicle);
    let ac = din::ChargeParameterDiscoveryReq {
        ev_requested_energy_transfer_type: din::EvRequestedEnergyTransferType::AcThreePhaseCore,
        ..parameters()
    };
    let unique = din::ChargeParameterDiscoveryReq {
        ev_requested_energy_transfer_type: din::EvRequestedEnergyTransferType::DcUnique,
        ..parameters()
    };
    let mut internet_too = selection(din::PaymentOption::ExternalPayment, 1);
    let internet = din::SelectedService { service_id: 3, parameter_set_id: None };
    internet_too.selected_service_list.selected_service.push(internet);
    let cases: [(Reach, B, ResponseCode); 6] = [
        (
            Vehicle::reach_services,
            din::ServiceDetailReq { service_id: 3 }.into(),
            ResponseCode::FailedServiceIdInvalid,
        ),
        (Vehicle::reach_services, internet_too.into(), ResponseCode::FailedServiceSelectionInvalid),
        (Vehicle::reach_parameters, unique.into(), ResponseCode::FailedWrongEnergyTransferType),
        (
            Vehicle::reach_services,
            selection(din::PaymentOption::Contract, 1).into(),
            ResponseCode::FailedPaymentSelectionInvalid,
        ),
        (
            Vehicle::reach_services,
            selection(din::PaymentOption::ExternalPayment, 3).into(),
            ResponseCode::FailedServiceSelectionInvalid,
        ),
        (Vehicle::reach_parameters, ac.into(), ResponseCode::FailedWrongEnergyTransferType),
    ];
    for (reach, request, refusal) in cases {
        let mut vehicle = Vehicle::new();
        reach(&mut vehicle);
        assert_eq!(code(&vehicle.ask(request)), refusal);
        assert_eq!(vehicle.ended(), Some((LinkOutcome::Failed, Some("not offered"))));
        assert_eq!(code(&vehicle.ask(din::SessionStopReq {})), ResponseCode::Ok, "goodbye");
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_the_vehicle_may_say_goodbye() {
    type Reach = fn(&mut Vehicle);
    let mut limits = parameters();
    let din::EvChargeParameter::Dc(dc) = &mut limits.ev_charge_parameter else { panic!() };
    dc.ev_maximum_voltage_limit.value = -400;
    let mut before = pre_charge();
    before.ev_target_voltage.unit = Some(Unit::Amperes);
    let mut demand = current_demand();
    demand.ev_target_current.value = -1;
    let cases: [(Reach, B, ResponseCode); 3] = [
        (Vehicle::reach_parameters, limits.into(), ResponseCode::FailedWrongChargeParameter),
        (Vehicle::reach_pre_charge, before.into(), ResponseCode::Failed),
        (Vehicle::reach_charging, demand.into(), ResponseCode::Failed),
    ];
    for (reach, request, refusal) in cases {
        let mut vehicle = Vehicle::new();
        reach(&mut vehicle);
        assert_eq!(code(&vehicle.ask(request)), refusal);
        assert_eq!(vehicle.ended(), Some((LinkOutcome::Failed, Some("unfit"))));
        assert_eq!(code(&vehicle.ask(din::SessionStopReq {})), ResponseCode::Ok, "goodbye");
    }
}

#[test]
fn a_message_that_dc_charging_has_no_use_for_is_refused_by_its_own_response() {
    let chain =
        din::CertificateChain { certificate: din::Base64Binary(vec![1; 600]), sub_certificates: None };
    let roots =
        din::ListOfRootCertificateIds { root_certificate_id: vec![din::Text("CN=V2G Root".to_owned())] };
    let meter = din::MeterInfo {
        meter_id: din::Text("1".to_owned()),
        meter_reading: None,
        sig_meter_reading: None,
        meter_status: None,
        t_meter: None,
    };
    let requests: [B; 5] = [
        din::PaymentDetailsReq {
            contract_id: din::Text("DEABC123456789".to_owned()),
            contract_signature_cert_chain: chain.clone(),
        }
        .into(),
        din::CertificateInstallationReq {
            id: None,
            oem_provisioning_cert: din::Base64Binary(vec![2; 600]),
            list_of_root_certificate_ids: roots.clone(),
            dh_params: din::Base64Binary(vec![3; 65]),
        }
        .into(),
        din::CertificateUpdateReq {
            id: None,
            contract_signature_cert_chain: chain,
            contract_id: din::Text("DEABC123456789".to_owned()),
            list_of_root_certificate_ids: roots,
            dh_params: din::Base64Binary(vec![3; 65]),
        }
        .into(),
        din::MeteringReceiptReq {
            id: None,
            session_id: din::HexBinary(ID.to_vec()),
            sa_schedule_tuple_id: None,
            meter_info: meter,
        }
        .into(),
        din::ChargingStatusReq {}.into(),
    ];
    for request in requests {
        let mut vehicle = Vehicle::new();
        vehicle.reach_selected();
        let expected = request.element().replace("Req", "Res");
        let answer = vehicle.ask(request);
        assert_eq!((answer.element(), code(&answer)), (expected.as_str(), ResponseCode::FailedSequenceError));
        assert_eq!(vehicle.ended(), Some((LinkOutcome::Failed, Some("not offered"))));
    }
}

#[test]
fn another_session_id_is_refused_once_there_is_one() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_services();
    vehicle.id = vec![0; 8];
    let B::ServiceDiscoveryRes(refused) = vehicle.ask(service_discovery()) else { panic!() };
    assert_eq!(refused.response_code, ResponseCode::FailedUnknownSession);
    assert_eq!(vehicle.ended(), Some((LinkOutcome::Failed, Some("unknown session"))));
}

#[test]
fn a_message_of_another_protocol_ends_the_conversation() {
    let mut vehicle = Vehicle::new();
    // The same request in ISO 15118-2.
    vehicle.send_payload(&bytes("809800400d1806ec65cccb4ca0"));
    assert_eq!(vehicle.heard(), None);
    assert_eq!(vehicle.ended(), Some((LinkOutcome::Failed, Some("codec"))));
}
