//! Requests in any order, and damaged ones.

use proptest::prelude::*;

use super::*;

/// Each request that a vehicle can make.
fn request(which: u8) -> B {
    match which % 14 {
        0 => session_setup(&[2, 0, 0, 0, 0, 1]).into(),
        1 => service_discovery().into(),
        2 => din::ServiceDetailReq { service_id: 1 }.into(),
        3 => selection(din::PaymentOption::ExternalPayment, 1).into(),
        4 => authentication().into(),
        5 => parameters().into(),
        6 => cable_check().into(),
        7 => pre_charge().into(),
        8 => power_delivery(true).into(),
        9 => power_delivery(false).into(),
        10 => current_demand().into(),
        11 => welding_detection().into(),
        12 => din::ChargingStatusReq {}.into(),
        _ => din::SessionStopReq {}.into(),
    }
}

/// Any request, or (`None`) the next of a session: one wrong request ends the conversation, and
/// what is wrong deep in it would never be reached by chance.
fn next_or_any() -> impl Strategy<Value = Option<u8>> {
    prop::option::weighted(0.1, any::<u8>())
}

proptest! {
    /// Whatever the order of requests, evse is told of charging only after it granted each step,
    /// and every request is answered exactly once or ends the conversation.
    #[test]
    fn no_order_of_requests_skips_a_grant(
        order in prop::collection::vec((next_or_any(), prop::bool::weighted(0.75)), 1..40),
    ) {
        let mut vehicle = Vehicle::new();
        let mut granted = [false; 3];
        let mut next = [0, 1, 3, 4, 5, 6, 7, 8, 10, 9, 11, 13].into_iter();
        for (which, grant) in order {
            let Some(which) = which.or_else(|| next.next()) else { break };
            if vehicle.bench.session.is_closed() { break }
            vehicle.bench.present(400, 0);
            vehicle.send(request(which));
            if grant {
                let step = match vehicle.bench.phase() {
                    Some(LinkPhase::Parameters) => Some(0),
                    Some(LinkPhase::CableCheck) => Some(1),
                    Some(LinkPhase::PowerOn) => Some(2),
                    _ => None,
                };
                if let Some(step) = step { granted[step] = true }
                vehicle.bench.push(|pushed| pushed.authorization = Authorization::Granted);
                vehicle.bench.answer(PhaseAnswer::Finished);
            }
            vehicle.bench.pass(Duration::from_secs(5), true);
            prop_assert!(vehicle.heard().is_some() || vehicle.bench.session.is_closed(), "no answer");
            prop_assert!(vehicle.heard().is_none(), "two answers");
            if vehicle.bench.phase() == Some(LinkPhase::Charging) {
                prop_assert_eq!(granted, [true; 3]);
            }
        }
    }

    /// A recorded request with some of its bits turned ends the conversation or is answered.
    #[test]
    fn damaged_requests_never_panic(
        which in 0_usize..4,
        flips in prop::collection::vec(16_usize..300, 1..6),
        cut in 0_usize..4,
    ) {
        let recorded = [
            "809a0200f37ffd9f7677acd0719000000ac04061104e04070a8c30102050961f13205000",
            "809a021b927fd3fef7fa1f513200040002b080414014400000",
            "809a0200f37ffd9f7677acd0d100000ac040603c010284b0f804061104e04070a8c30104008080000404000040a16a3c00",
            "809a0200f37ffd9f7677acd15100000ac040a1983804060140",
        ];
        let mut vehicle = Vehicle::new();
        match which {
            0 => vehicle.reach_parameters(),
            1 | 3 => vehicle.reach_pre_charge(),
            _ => vehicle.reach_charging(),
        }
        let mut payload = under_id(&bytes(recorded[which]), ID);
        for flip in flips {
            if let Some(byte) = payload.get_mut(flip / 8) { *byte ^= 1 << (flip % 8); }
        }
        payload.truncate(payload.len() - cut);
        vehicle.send_payload(&payload);
        vehicle.bench.answer(PhaseAnswer::Finished);
        prop_assert!(vehicle.heard().is_some() || vehicle.bench.session.is_closed());
    }
}
