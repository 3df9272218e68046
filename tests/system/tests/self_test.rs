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
