//! Vehicles over a powerline: matched by SLAC, started anew by the pilot, not mixed up.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::Cell;
use std::time::Duration;

use voltry_bus::{Device1Proxy, EvLink1Proxy, EvseState, Powerline, PowerlineState, SimTruth, names};
use voltry_system_tests::{SMALL_CAR, Station};
use zbus::proxy::CacheProperties;

/// Matching waits two seconds for a vehicle instead of 40, and starts it anew once.
const IMPATIENT: &str = "[config.secc.1.slac]\ninit_ms = 2000\nretries = 1\n";
/// From plug to a link takes 1.3 s of the simulated vehicle's own waiting; then comes the session.
const LINKED: Duration = Duration::from_secs(15);
const CHARGING: Duration = Duration::from_secs(60);

async fn powerline(station: &Station) -> Powerline {
    let link = EvLink1Proxy::builder(station.connection())
        .destination(names::secc(1))
        .path(names::path("ev_link", "1"))
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .unwrap();
    link.powerline().await.unwrap()
}

async fn link_faults(station: &Station) -> Vec<String> {
    let device = Device1Proxy::builder(station.connection())
        .destination(names::secc(1))
        .path(names::path("ev_link", "1"))
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .unwrap();
    device.faults().await.unwrap().into_iter().map(|fault| fault.code).collect()
}

async fn until_powerline(station: &Station, wanted: PowerlineState, limit: Duration) {
    let waiting = async {
        while powerline(station).await.state != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(limit, waiting).await;
    assert!(waited.is_ok(), "not {wanted} within {limit:?}: {:?}", powerline(station).await);
}

async fn until_fault(station: &Station, code: &str, present: bool, limit: Duration) {
    let waiting = async {
        while link_faults(station).await.iter().any(|fault| fault == code) != present {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(limit, waiting).await;
    assert!(waited.is_ok(), "{code} not {present} within {limit:?}: {:?}", link_faults(station).await);
}

#[tokio::test]
async fn a_vehicle_is_matched_before_it_talks_and_put_out_when_it_is_unplugged() {
    let mut station = Station::start(SMALL_CAR).await;
    until_powerline(&station, PowerlineState::Idle, LINKED).await;
    station.tell("plug 1").await;
    until_powerline(&station, PowerlineState::Up, LINKED).await;
    let shown = powerline(&station).await;
    assert_eq!((shown.vehicle.as_str(), shown.retries), ("02:56:4f:4c:54:01", 0));
    assert!((18.0..=48.0).contains(&shown.attenuation), "{shown:?}");
    station.until_state(1, &[EvseState::Charging], CHARGING).await;
    let log = station.log("secc-1");
    let line = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text:?} in {log}"));
    assert!(line("new key set") < line("vehicle measured"));
    assert!(line("matched vehicle") < line("powerline link up"));
    assert!(line("powerline link up") < line("vehicle connected"), "it talked before it was let in: {log}");
    station.tell("unplug 1").await;
    until_powerline(&station, PowerlineState::Idle, LINKED).await;
    station.quit().await;
}

#[tokio::test]
async fn a_vehicle_at_the_next_cable_is_not_taken_for_the_one_at_this() {
    let mut station = Station::start(SMALL_CAR).await;
    station.tell("fault powerline-crosstalk 1").await;
    station.tell("plug 1").await;
    station.until_state(1, &[EvseState::Charging], CHARGING).await;
    let shown = powerline(&station).await;
    assert_eq!((shown.state, shown.vehicle.as_str()), (PowerlineState::Up, "02:56:4f:4c:54:01"));
    let log = station.log("secc-1");
    assert!(log.contains("no match"), "the other vehicle was not even heard: {log}");
    station.station().await.stop(1).await.unwrap();
    station.assert_explained("powerline-crosstalk", &station.closed_transaction(CHARGING).await);
    station.quit().await;
}

#[tokio::test]
async fn a_vehicle_that_does_not_match_is_started_anew_by_its_pilot_and_then_reported() {
    let mut station = Station::start(&format!("{SMALL_CAR}{IMPATIENT}")).await;
    station.tell("fault vehicle-never-matches 1").await;
    station.tell("plug 1").await;
    let limit = Duration::from_secs(10);
    // From the last look before it to the first after it, by the simulator's stamps: no less than it was.
    let (last_before, first_after) = (Cell::new(0), Cell::new(0));
    let goes = |truth: &SimTruth| {
        let gone = truth.pilot == "F";
        if !gone {
            last_before.set(truth.at);
        }
        gone
    };
    station.until_truth(1, "the pilot goes to F", limit, goes).await;
    let comes_back = |truth: &SimTruth| {
        first_after.set(truth.at);
        truth.pilot == "B"
    };
    station.until_truth(1, "it offers communication again", limit, comes_back).await;
    let held = Duration::from_micros(first_after.get() - last_before.get());
    println!("the pilot was in F for {held:?}, at least 4 s (T_step_EF)");
    assert!(held >= Duration::from_secs(4), "{held:?}");
    until_fault(&station, "VehicleUnmatched", true, limit).await;
    // What kept it from matching is gone: it is still answered, and charges.
    station.tell("clear vehicle-never-matches 1").await;
    station.until_state(1, &[EvseState::Charging], CHARGING).await;
    until_fault(&station, "VehicleUnmatched", false, limit).await;
    assert_eq!(station.faults(1).await, []);
    // A driver who gives up meanwhile.
    station.tell("unplug 1").await;
    station.tell("fault vehicle-never-matches 1").await;
    station.until_state(1, &[EvseState::Available], limit).await;
    station.tell("plug 1").await;
    until_fault(&station, "VehicleUnmatched", true, limit * 2).await;
    station.tell("unplug 1").await;
    station.until_state(1, &[EvseState::Available], limit).await;
    station.assert_explained("vehicle-never-matches", &station.closed_transaction(limit).await);
    station.quit().await;
}

#[tokio::test]
async fn a_silent_modem_is_reported_before_a_vehicle_needs_it() {
    let mut station = Station::start(SMALL_CAR).await;
    until_powerline(&station, PowerlineState::Idle, LINKED).await;
    station.tell("fault modem-silent 1").await;
    until_fault(&station, "ModemSilent", true, Duration::from_secs(30)).await;
    assert_eq!(powerline(&station).await.state, PowerlineState::ModemSilent);
    station.tell("plug 1").await;
    station.until_log("station", "transaction begun", LINKED).await;
    station.tell("unplug 1").await;
    station.until_state(1, &[EvseState::Available], LINKED).await;
    station.assert_explained("modem-silent", &station.closed_transaction(LINKED).await);
    station.tell("clear modem-silent 1").await;
    until_fault(&station, "ModemSilent", false, LINKED).await;
    station.tell("plug 1").await;
    station.until_state(1, &[EvseState::Charging], CHARGING).await;
    station.quit().await;
}

#[tokio::test]
async fn without_a_modem_ethernet_leads_straight_to_the_vehicle() {
    let mut station = Station::start(&format!("powerline = false\n{SMALL_CAR}")).await;
    assert_eq!(powerline(&station).await.state, PowerlineState::NoModem);
    station.tell("plug 1").await;
    station.until_state(1, &[EvseState::Charging], CHARGING).await;
    station.quit().await;
}
