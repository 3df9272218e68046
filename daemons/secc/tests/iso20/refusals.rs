//! What is not offered is refused by its code, and the vehicle may say goodbye.

use super::*;

#[test]
fn a_service_or_parameters_that_are_not_offered_are_refused_by_their_codes() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_selected(2);
    let Main::ServiceSelectionRes(answer) = vehicle.main(|header| selection(header, 2, 1)) else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::FAILEDSequenceError, "chosen already");
    for (service, set) in [(1, 1), (2, 3), (6, 0)] {
        let mut vehicle = Vehicle::new();
        let Main::SessionSetupRes(setup) = vehicle.main(session_setup) else { panic!() };
        vehicle.id = setup.header.session_id;
        vehicle.main(authorization_setup);
        vehicle.bench.pushed.authorization = Authorization::Granted;
        vehicle.main(authorization);
        vehicle.main(service_discovery);
        let answer = vehicle.main(|header| selection(header, service, set));
        let Main::ServiceSelectionRes(answer) = answer else { panic!() };
        assert_eq!(
            answer.response_code,
            ResponseCode::FAILEDNoEnergyTransferServiceSelected,
            "{service}/{set}"
        );
        vehicle.says_goodbye();
    }
}

#[test]
fn a_service_beside_charging_is_refused_for_none_is_offered() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_services();
    let answer = vehicle.main(|header| {
        let Main::ServiceSelectionReq(mut req) = selection(header, 2, 1) else { panic!() };
        let internet = messages::SelectedService { service_id: 65, parameter_set_id: 1 };
        req.selected_vas_list = Some(messages::SelectedServiceList { selected_service: vec![internet] });
        Main::ServiceSelectionReq(req)
    });
    let Main::ServiceSelectionRes(answer) = answer else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::FAILEDServiceSelectionInvalid);
    vehicle.says_goodbye();
}

#[test]
fn the_details_of_a_service_that_is_not_offered_are_refused() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_services();
    // AC, and internet access.
    let answer =
        vehicle.main(|header| Main::ServiceDetailReq(messages::ServiceDetailReq { header, service_id: 1 }));
    let Main::ServiceDetailRes(answer) = answer else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::FAILEDServiceIDInvalid);
    vehicle.says_goodbye();
}

#[test]
fn parameters_of_another_service_than_was_chosen_or_without_sense_are_refused() {
    type Request = fn(MessageHeader) -> Dc;
    let nonsense: [(u16, Request); 3] = [
        (2, bidirectional_parameters),
        (6, parameters),
        (2, |header| {
            let Dc::DCChargeParameterDiscoveryReq(mut req) = parameters(header) else { panic!() };
            let dc::DCChargeParameterDiscoveryReqChoice::DCCPDReqEnergyTransferMode(mode) = &mut req.choice
            else {
                panic!()
            };
            mode.ev_maximum_voltage.value = -400;
            Dc::DCChargeParameterDiscoveryReq(req)
        }),
    ];
    for (service, request) in nonsense {
        let mut vehicle = Vehicle::new();
        vehicle.reach_selected(service);
        let Dc::DCChargeParameterDiscoveryRes(answer) = vehicle.dc(request) else { panic!() };
        assert_eq!(answer.response_code, ResponseCode::FAILEDWrongChargeParameter);
        vehicle.says_goodbye();
    }
}

#[test]
fn a_contract_where_none_is_taken_is_warned_of_and_the_vehicle_may_pay_otherwise() {
    let mut vehicle = Vehicle::new();
    let Main::SessionSetupRes(setup) = vehicle.main(session_setup) else { panic!() };
    vehicle.id = setup.header.session_id;
    vehicle.main(authorization_setup);
    let answer = vehicle.main(|header| {
        let Main::AuthorizationReq(mut req) = authorization(header) else { panic!() };
        req.selected_authorization_service = messages::Authorization::PnC;
        req.choice = messages::AuthorizationReqChoice::PnCAReqAuthorizationMode(
            messages::PnCAReqAuthorizationMode::minimal(),
        );
        Main::AuthorizationReq(req)
    });
    let Main::AuthorizationRes(answer) = answer else { panic!() };
    assert_eq!(answer.response_code, ResponseCode::WARNINGAuthorizationSelectionInvalid);
    vehicle.bench.pushed.authorization = Authorization::Granted;
    let Main::AuthorizationRes(answer) = vehicle.main(authorization) else { panic!() };
    assert_eq!((answer.response_code, answer.evse_processing), (ResponseCode::OK, Processing::Finished));
}
