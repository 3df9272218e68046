//! When something dies, the rest goes on, or becomes safe, and nothing billed is lost.

use std::time::Duration;

use voltry_bus::EvseState;
use voltry_system_tests::{LARGE_CAR, Station};

const LEASE: Duration = Duration::from_millis(500);
const OPEN: Duration = Duration::from_secs(1);
const RECOVERY: Duration = Duration::from_secs(30);

const SAFE: [EvseState; 6] = [
    EvseState::Faulted,
    EvseState::Finished,
    EvseState::ErrorShutdown,
    EvseState::Emergency,
    EvseState::Connected,
    EvseState::Available,
];

#[tokio::test]
async fn a_killed_evse_lets_go_in_time_and_its_transaction_is_closed_by_the_meter() {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    let id = station.station().await.evses().await.unwrap()[0].transaction;
    station.tell("kill evse-1").await;
    station.assert_safe_within(1, LEASE, OPEN).await;
    // Where everybody may charge, the vehicle begins the next one.
    let transaction = station.closed_transaction_of(id, RECOVERY).await;
    station.assert_billed(&transaction, 1, before).await;
    station.tell("unplug 1").await;
    station.until_state(1, &[EvseState::Available], RECOVERY).await;
    station.quit().await;
}

#[tokio::test]
async fn a_killed_evse_does_not_disturb_its_neighbour() {
    let mut station = Station::start(&format!("evses = 2\n{LARGE_CAR}{LARGE_CAR}")).await;
    station.charge(1).await;
    station.charge(2).await;
    station.tell("kill evse-1").await;
    station.assert_safe_within(1, LEASE, OPEN).await;
    assert!(station.truth(2).await.current > 10.0);
    station.until_state(2, &[EvseState::Charging], Duration::from_secs(1)).await;
    station.quit().await;
}

#[tokio::test]
async fn charging_goes_on_while_the_station_daemon_restarts_and_the_bill_is_whole() {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.tell("kill station").await;
    station.until_state(1, &[EvseState::Charging], Duration::from_secs(1)).await;
    assert!(station.truth(1).await.current > 10.0);
    // The daemon is back when it answers; the session is the same.
    station.tell("unplug 1").await;
    let transaction = station.closed_transaction(RECOVERY).await;
    station.assert_billed(&transaction, 1, before).await;
    station.quit().await;
}

#[tokio::test]
async fn a_killed_power_daemon_ends_safe() {
    ends_safe_after("kill power").await;
}

#[tokio::test]
async fn a_killed_board_daemon_ends_safe() {
    ends_safe_after("kill board").await;
}

#[tokio::test]
async fn a_killed_secc_ends_safe() {
    ends_safe_after("kill secc-1").await;
}

async fn ends_safe_after(line: &str) {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.tell(line).await;
    // Losing a provider is an error shutdown: output to zero at once, contactors within 1 s.
    station.assert_safe_within(1, OPEN, OPEN * 2).await;
    station.until_state(1, &SAFE, RECOVERY).await;
    let transaction = station.closed_transaction(RECOVERY).await;
    station.assert_billed(&transaction, 1, before).await;
    station.quit().await;
}

#[tokio::test]
async fn after_a_power_cut_the_open_transaction_is_closed_with_the_meters_register() {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.tell("power-cut").await;
    station.reconnect().await;
    let transaction = station.closed_transaction(RECOVERY).await;
    station.assert_billed(&transaction, 1, before).await;
    assert!(!transaction.end_reason.is_empty());
    station.quit().await;
}
