//! What this station has not is refused by the code that the standard has for it, and the vehicle may
//! say goodbye: ISO 15118-2 (DIN 70121 has its like in `din.rs`, ISO 15118-20 in `iso20.rs`).

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, clippy::panic, reason = "tests")]

use crate::bench;

use bench::*;
use iso15118::iso2::{
    self, BodyChoice as B, ChargingSession, EnergyTransferMode as Mode, PaymentOption, ResponseCode,
    UnitSymbol,
};
use voltry_bus::LinkOutcome;
use voltry_secc::message::DcMode;
use voltry_secc::session::Event;

type Reach = fn(&mut Bench);

fn chosen(payment: PaymentOption, services: &[(u16, Option<i16>)]) -> B {
    let service = |(service_id, parameter_set_id): &_| iso2::SelectedService {
        service_id: *service_id,
        parameter_set_id: *parameter_set_id,
    };
    B::PaymentServiceSelectionReq(iso2::PaymentServiceSelectionReq {
        selected_payment_option: payment,
        selected_service_list: iso2::SelectedServiceList {
            selected_service: services.iter().map(service).collect(),
        },
    })
}

fn parameters_with(change: impl FnOnce(&mut iso2::ChargeParameterDiscoveryReq)) -> B {
    let B::ChargeParameterDiscoveryReq(mut req) = parameters() else { panic!() };
    change(&mut req);
    B::ChargeParameterDiscoveryReq(req)
}

fn in_mode(mode: Mode) -> B {
    parameters_with(|req| req.requested_energy_transfer_mode = mode)
}

fn ac() -> iso2::ChargeParameterDiscoveryReqChoice {
    iso2::ChargeParameterDiscoveryReqChoice::ACEVChargeParameter(iso2::ACEVChargeParameter {
        departure_time: None,
        e_amount: value(0, UnitSymbol::Wh, 1000),
        ev_max_voltage: value(0, UnitSymbol::V, 400),
        ev_max_current: value(0, UnitSymbol::A, 32),
        ev_min_current: value(0, UnitSymbol::A, 6),
    })
}

fn with_voltage(voltage: iso2::PhysicalValue) -> B {
    parameters_with(|req| {
        let iso2::ChargeParameterDiscoveryReqChoice::DCEVChargeParameter(dc) = &mut req.choice else {
            panic!()
        };
        dc.ev_maximum_voltage_limit = voltage;
    })
}

fn senseless_pre_charge() -> B {
    let B::PreChargeReq(mut req) = pre_charge() else { panic!() };
    req.ev_target_voltage.unit = UnitSymbol::A;
    B::PreChargeReq(req)
}

fn senseless_demand() -> B {
    let B::CurrentDemandReq(mut req) = current_demand() else { panic!() };
    req.ev_target_current.value = -1;
    B::CurrentDemandReq(req)
}

#[test]
fn each_thing_that_is_not_offered_has_its_code_and_the_vehicle_may_say_goodbye() {
    use PaymentOption::{Contract, ExternalPayment};
    use ResponseCode as C;
    let detail = |service_id| B::ServiceDetailReq(iso2::ServiceDetailReq { service_id });
    let cases: [(Reach, B, C); 16] = [
        (Bench::reach_services, detail(3), C::FAILEDServiceIDInvalid),
        (Bench::reach_services, detail(2), C::FAILEDServiceIDInvalid),
        (Bench::reach_services, chosen(Contract, &[(1, None)]), C::FAILEDPaymentSelectionInvalid),
        // Internet access, beside charging and in place of it; certificates without TLS.
        (
            Bench::reach_services,
            chosen(ExternalPayment, &[(1, None), (3, Some(3))]),
            C::FAILEDServiceSelectionInvalid,
        ),
        (Bench::reach_services, chosen(ExternalPayment, &[(3, None)]), C::FAILEDServiceSelectionInvalid),
        (
            Bench::reach_services,
            chosen(ExternalPayment, &[(1, None), (2, Some(1))]),
            C::FAILEDServiceSelectionInvalid,
        ),
        (Bench::reach_parameters, in_mode(Mode::ACThreePhaseCore), C::FAILEDWrongEnergyTransferMode),
        (
            Bench::reach_parameters,
            parameters_with(|req| {
                req.requested_energy_transfer_mode = Mode::ACSinglePhaseCore;
                req.choice = ac();
            }),
            C::FAILEDWrongEnergyTransferMode,
        ),
        (Bench::reach_parameters, in_mode(Mode::DCUnique), C::FAILEDWrongEnergyTransferMode),
        (Bench::reach_parameters, parameters_with(|req| req.choice = ac()), C::FAILEDWrongChargeParameter),
        (Bench::reach_parameters, with_voltage(value(0, UnitSymbol::V, -400)), C::FAILEDWrongChargeParameter),
        (Bench::reach_parameters, with_voltage(value(0, UnitSymbol::W, 400)), C::FAILEDWrongChargeParameter),
        (Bench::reach_pre_charge, senseless_pre_charge(), C::FAILED),
        (Bench::reach_charging, senseless_demand(), C::FAILED),
        (Bench::reach_charging, B::ChargingStatusReq(iso2::ChargingStatusReq), C::FAILEDSequenceError),
        (Bench::reach_parameters, B::ChargingStatusReq(iso2::ChargingStatusReq), C::FAILEDSequenceError),
    ];
    for (number, (reach, request, refusal)) in cases.into_iter().enumerate() {
        let mut bench = Bench::new();
        reach(&mut bench);
        let name = request.name();
        let answer = bench.ask(request).unwrap_or_else(|| panic!("{number}: {name} was not answered"));
        assert_eq!(code(&answer), refusal, "{number}: {name}");
        assert_eq!(answer.name(), name.replace("Req", "Res"), "{number}");
        let ends = |bench: &Bench| {
            let failed = |event: &&Event| matches!(event, Event::Ended(LinkOutcome::Failed, Some(_)));
            bench.events.iter().filter(failed).count()
        };
        assert_eq!(ends(&bench), 1, "{number}: {name}");
        assert!(!bench.session.is_closed(), "{number}: the connection was dropped");
        bench.ok(session_stop(ChargingSession::Terminate));
        assert!(bench.session.is_closed(), "{number}");
        assert_eq!(ends(&bench), 1, "{number}: {name}");
    }
}

#[test]
fn the_contacts_that_are_configured_are_offered_and_a_vehicle_that_asks_for_them_gets_them() {
    let all = [
        (DcMode::Core, Mode::DCCore),
        (DcMode::Extended, Mode::DCExtended),
        (DcMode::ComboCore, Mode::DCComboCore),
        (DcMode::Unique, Mode::DCUnique),
    ];
    for (configured, offered) in all {
        for (_, asked) in all {
            let mut bench = Bench::by_contacts(&[configured]);
            bench.reach_services();
            let B::ServiceDiscoveryRes(services) = bench.ok(service_discovery()) else { panic!() };
            let told = services.charge_service.supported_energy_transfer_mode.energy_transfer_mode;
            assert_eq!(told, [offered]);
            bench.ok(payment());
            bench.pushed.authorization = voltry_bus::Authorization::Granted;
            bench.ok(authorization());
            let B::ChargeParameterDiscoveryRes(answer) = bench.ask_through(in_mode(asked)) else { panic!() };
            // A plug of its own kind is no combo plug, nor the other way round.
            let served = (offered == Mode::DCUnique) == (asked == Mode::DCUnique);
            let expected =
                if served { ResponseCode::OK } else { ResponseCode::FAILEDWrongEnergyTransferMode };
            assert_eq!(answer.response_code, expected, "{asked:?} where {offered:?} is offered");
        }
    }
    let mut bench = Bench::by_contacts(&all.map(|(configured, _)| configured));
    bench.reach_services();
    let B::ServiceDiscoveryRes(services) = bench.ok(service_discovery()) else { panic!() };
    let told = services.charge_service.supported_energy_transfer_mode.energy_transfer_mode;
    assert_eq!(told, all.map(|(_, offered)| offered));
}
