//! Whether the driver may charge, by what the vehicle does not know.

use super::*;

#[test]
fn authorization_is_ongoing_until_granted() {
    let mut bench = Bench::new();
    bench.reach_services();
    bench.ok(service_discovery());
    bench.ok(payment());
    let B::AuthorizationRes(answer) = bench.ask_through(authorization()) else { panic!() };
    assert_eq!(answer.evse_processing, EVSEProcessing::OngoingWaitingForCustomerInteraction);
    bench.send(authorization());
    assert_eq!(bench.heard(), None);
    bench.push(|pushed| pushed.authorization = Authorization::Granted);
    let Some(B::AuthorizationRes(answer)) = bench.heard() else { panic!() };
    assert_eq!(answer.evse_processing, EVSEProcessing::Finished);
}

#[test]
fn a_refused_driver_hears_failed() {
    let mut bench = Bench::new();
    bench.reach_services();
    bench.ok(payment());
    bench.pushed.authorization = Authorization::Refused;
    assert_eq!(code(&bench.ask(authorization()).unwrap()), ResponseCode::FAILED);
    assert_eq!(ended(&bench), Some((LinkOutcome::Failed, Some("not authorized"))));
}

/// A round a second, as vehicles ask, until it is no longer told to wait.
fn waited(bench: &mut Bench, seconds: u64) -> Duration {
    let start = bench.now;
    for _ in 0..seconds {
        let answer = bench.ask_through(authorization());
        let B::AuthorizationRes(res) = &answer else { panic!("{}", answer.name()) };
        if res.response_code != ResponseCode::OK {
            break;
        }
        assert_eq!(res.evse_processing, EVSEProcessing::OngoingWaitingForCustomerInteraction);
        bench.pass(Duration::from_secs(1), true);
    }
    bench.now.since(start)
}

#[test]
fn a_driver_has_minutes_to_find_the_card() {
    let mut bench = Bench::new();
    bench.reach_services();
    bench.ok(payment());
    assert!(waited(&mut bench, 120) >= Duration::from_secs(120), "it was cut off");
    bench.pushed.authorization = Authorization::Granted;
    let B::AuthorizationRes(answer) = bench.ok(authorization()) else { panic!() };
    assert_eq!(answer.evse_processing, EVSEProcessing::Finished);
}

#[test]
fn a_driver_who_shows_none_keeps_the_place_for_five_minutes_at_most() {
    let mut bench = Bench::new();
    bench.reach_services();
    bench.ok(payment());
    let waited = waited(&mut bench, 400).as_secs();
    assert!((299..303).contains(&waited), "{waited} s");
    assert_eq!(ended(&bench), Some((LinkOutcome::Overdue, Some("overdue"))));
}
