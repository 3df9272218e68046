//! Bidirectional vehicles: what they are offered, and what they want.

use super::*;

#[test]
fn a_bidirectional_session_is_offered_no_discharge() {
    let mut vehicle = Vehicle::new();
    vehicle.reach_selected(6);
    let Dc::DCChargeParameterDiscoveryRes(answer) = vehicle.dc(bidirectional_parameters) else { panic!() };
    let dc::DCChargeParameterDiscoveryResChoice::BPTDCCPDResEnergyTransferMode(offer) = answer.choice else {
        panic!("not of the request's type")
    };
    assert_eq!(offer.evse_maximum_discharge_power.value, 0);
    assert_eq!(offer.evse_maximum_charge_current, number(-1, 2000));
}

fn offering(kilowatts: i32) -> Vehicle {
    let mut vehicle = Vehicle::new();
    vehicle.bench.push(|pushed| pushed.discharge = (Amps::new(20), Watts::new(kilowatts * 1_000)));
    vehicle
}

fn bidirectional_loop(current: i16) -> dc::DCChargeLoopReqChoice {
    dc::DCChargeLoopReqChoice::BPTScheduledDCCLReqControlMode(dc::BPTScheduledDCCLReqControlMode {
        ev_target_current: number(-1, current),
        ev_target_voltage: number(0, 400),
        ..dc::BPTScheduledDCCLReqControlMode::minimal()
    })
}

#[test]
fn what_is_taken_is_offered_with_the_parameters_and_in_each_round_of_the_charge_loop() {
    let mut vehicle = offering(10);
    vehicle.reach_selected(6);
    let Dc::DCChargeParameterDiscoveryRes(answer) = vehicle.dc(bidirectional_parameters) else { panic!() };
    let dc::DCChargeParameterDiscoveryResChoice::BPTDCCPDResEnergyTransferMode(offer) = answer.choice else {
        panic!("not of the request's type")
    };
    assert_eq!(offer.evse_maximum_discharge_power, number(0, 10_000));
    assert_eq!(offer.evse_maximum_discharge_current, number(-1, 200));
    vehicle.reach_power_on_with(bidirectional_parameters, false);
    vehicle.bench.answer(PhaseAnswer::Finished);
    assert!(matches!(vehicle.heard_main(), Some(Main::PowerDeliveryRes(_))));
    vehicle.bench.push(|pushed| pushed.discharge = (Amps::new(20), Watts::new(5_000)));
    let answer = vehicle.charge_loop(bidirectional_loop(-155));
    let dc::DCChargeLoopResChoice::BPTScheduledDCCLResControlMode(offer) = answer.choice else { panic!() };
    assert_eq!(offer.evse_maximum_discharge_power, Some(number(0, 5_000)));
    assert_eq!(offer.evse_maximum_discharge_current, Some(number(-1, 200)));
    let wanted = Target { voltage: Volts::new(400), current: Amps::from_milli(-15_500) };
    assert_eq!(vehicle.newest_target(), wanted, "the sign says which way");
}

#[test]
fn a_vehicle_that_is_not_bidirectional_wants_no_current_from_itself() {
    let mut vehicle = offering(10);
    vehicle.reach_charging(false);
    let answer = vehicle.charge_loop(dc::DCChargeLoopReqChoice::ScheduledDCCLReqControlMode(
        dc::ScheduledDCCLReqControlMode {
            ev_target_current: number(0, -20),
            ev_target_voltage: number(0, 400),
            ..dc::ScheduledDCCLReqControlMode::minimal()
        },
    ));
    assert_eq!(answer.response_code, ResponseCode::FAILED);
}
