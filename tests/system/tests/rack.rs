//! Two EVSEs share modules through a matrix of contactors: groups move while cars charge, what is billed is
//! what the meters counted, and a matrix that does not do as told ends in a latched fault with its cause.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::time::{Duration, Instant};

use voltry_bus::{EvseState, SelfTestOutcome, SelfTestStep, Transaction, names};
use voltry_system_tests::Station;

/// Four groups of one module of 30 kW; each car, of the 800 V class, takes all that it is given.
const SHARED: &str = "evses = 2\ngroups = [1, 1, 1, 1]\n[[evse]]\nmonitor_pace = 10\n\
     vehicle = { capacity_wh = 60000.0, voltage_max = 900.0, current_max = 300.0, power_max = 240000.0 }\n\
     [[evse]]\nmonitor_pace = 10\n\
     vehicle = { capacity_wh = 60000.0, voltage_max = 900.0, current_max = 300.0, power_max = 240000.0 }\n";
const MATRIX: &str = "/org/voltry/switch_matrix/1";
const SOON: Duration = Duration::from_secs(120);
/// From the fault to open contactors: a second until it is missed, and one for the current to fall.
const SAFE: Duration = Duration::from_secs(2);

/// What the matrix has suffered: volts closed across, openings under load, EVSEs joined; and how many
/// modules feed each EVSE.
async fn matrix(station: &mut Station) -> (f64, u32, u32, [u32; 2]) {
    let answer = station.tell("matrix").await;
    let words: Vec<&str> = answer.split_whitespace().collect();
    let [_, across, loaded, joined, first, second] = words[..] else { panic!("{answer}") };
    let count = |word: &str| word.parse().unwrap();
    (across.parse().unwrap(), count(loaded), count(joined), [count(first), count(second)])
}

/// Waits until so many modules feed each EVSE; returns the least current of the first one's car meanwhile.
async fn until_feeding(station: &mut Station, wanted: [u32; 2]) -> f64 {
    let started = Instant::now();
    let mut least = f64::MAX;
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    loop {
        tick.tick().await;
        least = least.min(station.physical(1).await.0);
        let (.., feeding) = matrix(station).await;
        if feeding == wanted {
            return least;
        }
        assert!(started.elapsed() < SOON, "{feeding:?} modules feed the EVSEs, not {wanted:?}");
    }
}

async fn closed(station: &Station, evse: u32) -> Transaction {
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        let all = station.station().await.transactions(10).await.unwrap();
        if let Some(own) = all.iter().find(|transaction| transaction.evse == evse)
            && own.state == "closed"
        {
            return own.clone();
        }
        assert!(started.elapsed() < SOON, "no closed transaction of EVSE {evse}: {all:?}");
    }
}

/// Two groups of modules that feed back, on a bus each; the first car gives, the second charges.
const FEEDING_BACK: &str = "evses = 2\nfamily = \"infypower-beg\"\ngroups = [2, 2]\n\
     [[evse]]\nmonitor_pace = 10\nvehicle = { capacity_wh = 150.0, soc = 80.0, target_soc = 60.0, gives = 40.0 }\n\
     [[evse]]\nmonitor_pace = 10\nvehicle = { capacity_wh = 60000.0 }\n";

#[tokio::test]
async fn one_car_gives_energy_through_the_matrix_while_another_charges() {
    let mut station = Station::start(FEEDING_BACK).await;
    let (before, exported) = (station.truth(1).await.register, station.exported(1).await);
    station.charge(2).await;
    station.tell("plug 1").await;
    station.until_truth(1, "energy flows back", SOON, |truth| truth.current < -35.0).await;
    assert!(station.physical(2).await.0 > 5.0, "the other one charges");
    let (.., feeding) = matrix(&mut station).await;
    assert!(feeding.iter().all(|modules| *modules >= 2), "{feeding:?}");
    station.until_state(1, &[EvseState::Finished], SOON).await;
    let own = closed(&station, 1).await;
    let came_back = (station.exported(1).await - exported).round();
    assert!((25.0..45.0).contains(&came_back), "a fifth of 150 Wh, and what flowed on: {came_back} Wh");
    let billed = station.truth(1).await.register - before;
    assert!((own.energy - billed).abs() < 0.01 && billed < 2.0, "{billed} Wh: {own:?}");
    unplug(&mut station, 1).await;
    station.station().await.stop(2).await.unwrap();
    unplug(&mut station, 2).await;
    until_feeding(&mut station, [0, 0]).await;
    let (across, loaded, joined, _) = matrix(&mut station).await;
    assert!(across <= 20.0 && loaded == 0 && joined == 0, "{across} V, {loaded} under load, {joined} joined");
    assert!(station.faults(1).await.is_empty() && station.faults(2).await.is_empty());
    station.quit().await;
}

async fn unplug(station: &mut Station, evse: u32) {
    station.tell(&format!("unplug {evse}")).await;
    station.until_state(evse, &[EvseState::Available], SOON).await;
}

#[tokio::test]
async fn one_car_gets_all_groups_a_second_its_part_and_a_welded_contactor_is_told() {
    let mut station = Station::start(SHARED).await;
    assert_eq!(matrix(&mut station).await.3, [0, 0], "nobody has modules without a vehicle");
    let before = [station.truth(1).await.register, station.truth(2).await.register];
    station.charge(1).await;
    until_feeding(&mut station, [4, 0]).await;
    station.charge(2).await;
    let least = until_feeding(&mut station, [2, 2]).await;
    // Two groups give 60 kW; a car that was let fall would have had none for a while.
    assert!(least > 30.0, "the first car had {least} A while groups moved");
    let (across, loaded, joined, _) = matrix(&mut station).await;
    assert!(across <= 20.0 && loaded == 0 && joined == 0, "{across} V, {loaded} under load, {joined} joined");
    station.station().await.stop(2).await.unwrap();
    let bill = closed(&station, 2).await;
    station.assert_billed(&bill, 2, before[1]).await;
    unplug(&mut station, 2).await;
    until_feeding(&mut station, [4, 0]).await;

    station.tell("fault matrix-welded 1").await;
    station.tell("plug 2").await;
    let barred =
        station.until_fault(names::POWER, "/org/voltry/power_supply/1", "ModuleGroupBarred", SOON).await;
    assert!(barred.cause.contains("not parted from EVSE 1"), "{barred:?}");
    let welded = station.until_fault(names::BOARD, MATRIX, "MatrixContactorFault", SOON).await;
    assert!(welded.cause.contains("to EVSE 1 was told to open and is closed"), "{welded:?}");
    assert_eq!(matrix(&mut station).await.2, 0, "a welded group goes to nobody else");
    station.station().await.stop(1).await.unwrap();
    let bill = closed(&station, 1).await;
    station.assert_billed(&bill, 1, before[0]).await;
    station.assert_explained("matrix-welded", &bill);
    station.quit().await;
}

/// Out of service, a load bank of 12 Ω in the plug: at 600 V it takes as much as one group can give. The car at the
/// other EVSE has all groups before, and again afterwards.
#[tokio::test]
async fn modules_are_tested_behind_the_matrix_while_another_car_charges_and_go_back_to_it() {
    let mut station = Station::start(SHARED).await;
    station.charge(1).await;
    until_feeding(&mut station, [4, 0]).await;
    let proxy = station.station().await;
    proxy.set_available(2, false).await.unwrap();
    station.until_state(2, &[EvseState::Unavailable], SOON).await;
    let raised = proxy.self_test(2, SelfTestStep::Modules).await.unwrap();
    assert_eq!(raised.outcome, SelfTestOutcome::Passed, "{}", raised.seen);
    let truth = station.truth(2).await;
    assert!(!truth.contactors_closed && truth.module_voltage < 60.0 && truth.cable_voltage < 60.0);

    station.tell("load 12 2").await;
    let tested = proxy.load_test(2, 600.0, 50.0);
    let seen = station.until_truth(2, "49 A", SOON, |truth| truth.current > 49.0);
    let (tested, ()) = tokio::join!(tested, async {
        seen.await;
    });
    let tested = tested.unwrap();
    assert_eq!(tested.outcome, SelfTestOutcome::Passed, "{}", tested.seen);
    let truth = station.truth(2).await;
    assert!(!truth.contactors_closed && truth.module_voltage < 60.0 && truth.cable_voltage < 60.0);
    let least = until_feeding(&mut station, [4, 0]).await;
    assert!(least > 30.0, "the car had {least} A while groups moved");
    assert!(station.faults(1).await.is_empty() && station.faults(2).await.is_empty());
    let (across, loaded, joined, _) = matrix(&mut station).await;
    assert!(across <= 20.0 && loaded == 0 && joined == 0, "{across} V, {loaded} under load, {joined} joined");
    station.quit().await;
}

#[tokio::test]
async fn a_matrix_that_does_not_close_or_is_not_heard_ends_in_a_fault_and_charges_again_when_mended() {
    let mut station = Station::start(SHARED).await;
    station.tell("fault matrix-stuck-open 1").await;
    station.tell("plug 1").await;
    let stuck = station.until_fault(names::BOARD, MATRIX, "MatrixContactorFault", SOON).await;
    assert!(stuck.cause.contains("to EVSE 1 was told to close and is open"), "{stuck:?}");
    assert!(!station.truth(1).await.contactors_closed);
    station.tell("clear matrix-stuck-open 1").await;
    unplug(&mut station, 1).await;
    station.assert_explained("matrix-stuck-open", &closed(&station, 1).await);
    station.station().await.clear_faults(1).await.unwrap();

    let before = station.truth(2).await.register;
    station.charge(2).await;
    station.tell("fault matrix-silent 2").await;
    station.assert_safe_within(2, SAFE, SAFE).await;
    let bill = closed(&station, 2).await;
    station.assert_billed(&bill, 2, before).await;
    station.assert_explained("matrix-silent", &bill);
    station.until_fault(names::POWER, "/org/voltry/power_supply/2", "SwitchMatrixMissing", SOON).await;
    station.until_fault(names::BOARD, MATRIX, "MatrixControllerSilent", SOON).await;
    assert_eq!(matrix(&mut station).await.1, 0, "no contactor of the matrix broke a current");
    station.tell("clear matrix-silent 2").await;
    station.tell("unplug 2").await;
    let started = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    while station.evse(2).await.state().await != Ok(EvseState::Available) {
        tick.tick().await;
        // Clearing is explicit, and takes nothing away whose cause is still there.
        let _ = station.station().await.clear_faults(2).await;
        assert!(started.elapsed() < SOON, "{:?}", station.faults(2).await);
    }
    station.charge(2).await;
    station.quit().await;
}
