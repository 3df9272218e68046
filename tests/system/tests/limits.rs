//! What limits a whole station besides its configuration: the phases of its grid connection, and how warm its modules
//! are. A real meter's registers and real modules' answers, as simulated, on the way to what a car draws.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::time::{Duration, Instant};

use voltry_bus::PowerSource;
use voltry_system_tests::Station;

/// Three modules, 90 kW, and a car of the 800 V class that takes all of them; 95 % of what is taken comes out.
const HUNGRY: &str = "[[evse]]\nmonitor_pace = 10\n\
     vehicle = { capacity_wh = 60000.0, voltage_max = 900.0, current_max = 300.0, power_max = 240000.0 }\n\
     [config.station.energy]\nefficiency_percent = 95.0\n";
/// For a reading, what follows from it, and a set-point.
const SOON: Duration = Duration::from_secs(15);

/// Watts at the plug.
async fn power(station: &Station) -> f64 {
    let truth = station.truth(1).await;
    truth.cable_voltage * truth.current
}

/// Waits until the car draws so much, and a second longer; panics with what limits the station.
async fn until_power(station: &Station, kilowatts: std::ops::RangeInclusive<f64>) {
    let (began, mut since) = (Instant::now(), None);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        let now = power(station).await / 1e3;
        since = kilowatts.contains(&now).then(|| since.unwrap_or_else(Instant::now));
        if since.is_some_and(|since: Instant| since.elapsed() > Duration::from_secs(1)) {
            return println!("{now:.1} kW of {kilowatts:?} after {:?}", began.elapsed());
        }
        assert!(began.elapsed() < SOON, "{now} kW, not {kilowatts:?}: {:?}", sources(station).await);
    }
}

async fn sources(station: &Station) -> Vec<PowerSource> {
    station.station().await.sources().await.unwrap()
}

/// What binds, and its detail.
async fn lowest(station: &Station) -> (String, String) {
    let lowest = sources(station).await.swap_remove(0);
    (lowest.source, lowest.detail)
}

/// 150 A a phase: others' 100 A of one of them leave 50 of it, and so of each.
#[tokio::test]
async fn what_others_take_of_one_phase_is_left_to_them_and_used_when_they_do_not() {
    let grid = "[config.station.energy.grid]\nlimit_w = 250000\nphase_limit_a = 150\nsilent_after_s = 5\n\
         silent_floor_w = 10000\n\
         meter = { name = \"org.voltry.Meter.Grid\", path = \"/org/voltry/energy_meter/grid\" }\n";
    let mut station = Station::start(&format!("{HUNGRY}{grid}")).await;
    station.charge(1).await;
    until_power(&station, 75.0..=91.0).await;
    station.tell("others 2 100").await;
    // 3 times 231 V times 50 A, and what the modules lose of it.
    until_power(&station, 28.0..=33.5).await;
    assert_eq!(
        lowest(&station).await,
        ("grid".to_owned(), "what other consumers leave on phase 2".to_owned())
    );
    station.tell("others 2 0").await;
    until_power(&station, 75.0..=91.0).await;
    assert_eq!(station.faults(1).await, []);
    station.quit().await;
}

/// From 55 to 75 °C in a straight line from all of it to 10 kW; the modules warm themselves by their own output.
#[tokio::test]
async fn modules_that_get_warm_are_asked_for_less_and_for_all_when_they_cool() {
    let rack = "[config.station.energy.temperature]\nwarm_c = 55\nhot_c = 75\nsilent_after_s = 10\nfloor_w = 10000\n\
         racks = [{ name = \"org.voltry.Power1\", path = \"/org/voltry/power_supply/1\" }]\n";
    let mut station = Station::start(&format!("{HUNGRY}{rack}")).await;
    station.charge(1).await;
    until_power(&station, 75.0..=91.0).await;
    station.tell("air 80 1").await;
    until_power(&station, 8.5..=9.6).await;
    assert_eq!(lowest(&station).await.0, "temperature");
    station.tell("air 25 1").await;
    until_power(&station, 75.0..=91.0).await;
    assert_eq!(station.faults(1).await, []);
    station.quit().await;
}
