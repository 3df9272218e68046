//! The self-test of a whole simulated station.

use std::time::Duration;

use voltry_bus::{Error, EvseState, SelfTestOutcome, SelfTestStep};
use voltry_system_tests::{LARGE_CAR, Station};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_sound_station_passes_what_is_broken_is_found_and_it_charges_afterwards() {
    let mut station = Station::start(LARGE_CAR).await;
    station.until_state(1, &[EvseState::Available], LONG).await;
    let proxy = station.station().await;
    for step in SelfTestStep::ALL {
        let result = proxy.self_test(1, *step).await.unwrap();
        println!("{step}: {}: {}", result.outcome, result.seen);
        // The simulated board closes its contactors for a vehicle alone, and has no lock.
        let wanted = match step {
            SelfTestStep::Lock | SelfTestStep::Contactors => SelfTestOutcome::Skipped,
            SelfTestStep::Voltages
            | SelfTestStep::Temperatures
            | SelfTestStep::InsulationMonitor
            | SelfTestStep::Modules => SelfTestOutcome::Passed,
        };
        assert_eq!(result.outcome, wanted, "{step}: {}", result.seen);
        let truth = station.truth(1).await;
        assert!(!truth.contactors_closed && truth.module_voltage < 60.0 && truth.cable_voltage < 60.0);
    }
    station.tell("fault imd-self-test-fails 1").await;
    let failed = proxy.self_test(1, SelfTestStep::InsulationMonitor).await.unwrap();
    assert_eq!(failed.outcome, SelfTestOutcome::Failed, "{}", failed.seen);
    station.tell("clear imd-self-test-fails 1").await;
    station.until_state(1, &[EvseState::Unavailable], LONG).await;
    // Until a test is passed, nobody believes the voltage of a monitor that says that it failed.
    let mended = proxy.self_test(1, SelfTestStep::InsulationMonitor).await.unwrap();
    assert_eq!(mended.outcome, SelfTestOutcome::Passed, "{}", mended.seen);
    station.until_state(1, &[EvseState::Unavailable], LONG).await;
    proxy.end_self_test(1).await.unwrap();
    station.until_state(1, &[EvseState::Available], LONG).await;
    station.charge(1).await;
    assert!(
        matches!(proxy.self_test(1, SelfTestStep::Voltages).await, Err(Error::Busy(_))),
        "a vehicle charges"
    );
    station.quit().await;
}

/// Out of service, a load bank of 20 Ω in the plug, everything real but that.
#[tokio::test]
async fn the_modules_of_a_whole_station_deliver_into_a_load() {
    let mut station = Station::start(LARGE_CAR).await;
    station.until_state(1, &[EvseState::Available], LONG).await;
    let proxy = station.station().await;
    proxy.set_available(1, false).await.unwrap();
    station.until_state(1, &[EvseState::Unavailable], LONG).await;
    let refused = proxy.load_test(1, 400.0, 20.0).await.unwrap();
    assert_eq!(refused.outcome, SelfTestOutcome::Refused, "nothing is plugged in: {}", refused.seen);
    station.tell("load 20 1").await;
    let before = station.truth(1).await.register;
    let tested = proxy.load_test(1, 400.0, 20.0);
    let seen = station.until_truth(1, "20 A", LONG * 3, |truth| truth.current > 19.0);
    let (tested, ()) = tokio::join!(tested, async {
        seen.await;
    });
    let tested = tested.unwrap();
    assert_eq!(tested.outcome, SelfTestOutcome::Passed, "{}", tested.seen);
    let truth = station.truth(1).await;
    assert!(!truth.contactors_closed && truth.module_voltage < 60.0 && truth.cable_voltage < 60.0);
    assert!(truth.register > before, "the meter counts it");
    assert!(proxy.transactions(1).await.unwrap().is_empty(), "and nobody is billed");
    station.tell("load 0 1").await;
    proxy.end_self_test(1).await.unwrap();
    proxy.set_available(1, true).await.unwrap();
    station.until_state(1, &[EvseState::Available], LONG).await;
    station.quit().await;
}
