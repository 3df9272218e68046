//! A car charges, and what is billed is what the meter counted.

use std::time::Duration;

use voltry_bus::EvseState;
use voltry_system_tests::{LARGE_CAR, SMALL_CAR, Station};

#[tokio::test]
async fn a_car_charges_to_its_end_and_the_bill_is_the_meters() {
    // With a monitor that takes its time, as in the field.
    let mut station = Station::start(&SMALL_CAR.replace("monitor_pace = 10", "monitor_pace = 1")).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.until_state(1, &[EvseState::Finished], Duration::from_secs(60)).await;
    let transaction = station.closed_transaction(Duration::from_secs(20)).await;
    station.assert_billed(&transaction, 1, before).await;
    assert!(station.truth(1).await.soc > 79.0);
    assert!(station.faults(1).await.is_empty());
    station.tell("unplug 1").await;
    station.until_state(1, &[EvseState::Available], Duration::from_secs(10)).await;
    until_no_energy_is_shown(&station).await;
    station.quit().await;
}

#[tokio::test]
async fn a_car_charges_behind_a_monitor_whose_voltages_go_on_in_its_self_test() {
    let topology = SMALL_CAR.replace("monitor_pace = 10", "monitor_pace = 1");
    let mut station = Station::start(&format!("monitor = \"rn5893\"\n{topology}")).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    let transaction = station.closed_transaction(Duration::from_secs(60)).await;
    station.assert_billed(&transaction, 1, before).await;
    assert!(station.faults(1).await.is_empty());
    station.quit().await;
}

/// Each is told in its own way what a car asks for, and to stop. TonHe's tell too seldom for an EVSE.
#[tokio::test]
async fn a_car_charges_with_modules_of_each_family_that_can_be_asked() {
    for family in ["infypower-beg", "uugreenpower", "maxwell-mxr", "huawei-r100040gx"] {
        println!("{family}");
        let mut station = Station::start(&format!("family = \"{family}\"\n{LARGE_CAR}")).await;
        let before = station.truth(1).await.register;
        station.charge(1).await;
        station.until_truth(1, "100 A", Duration::from_secs(20), |truth| truth.current > 100.0).await;
        station.station().await.stop(1).await.unwrap();
        let transaction = station.closed_transaction(Duration::from_secs(20)).await;
        station.assert_billed(&transaction, 1, before).await;
        assert!(station.faults(1).await.is_empty(), "{family}: {:?}", station.faults(1).await);
        station.quit().await;
    }
}

/// Each of them has modules of its own; a cut of the wire ends all that charge by it, and nothing else does.
#[tokio::test]
async fn evses_whose_modules_share_a_bus_charge_beside_each_other() {
    let car = LARGE_CAR.replace("monitor_pace", "modules = 2\nmonitor_pace");
    let mut station = Station::start(&format!("evses = 5\nevses_per_bus = 4\n{}", car.repeat(5))).await;
    let charging = [1, 4, 5];
    let mut before = Vec::new();
    for evse in charging {
        before.push(station.truth(evse).await.register);
        station.charge(evse).await;
    }
    station.tell("fault emergency-stop 1").await;
    station.assert_safe_within(1, Duration::from_millis(900), Duration::from_secs(1)).await;
    assert!(station.truth(4).await.current > 10.0 && station.truth(5).await.current > 10.0);
    station.tell("fault can-silent 4").await;
    station.assert_safe_within(4, Duration::from_secs(2), Duration::from_secs(2)).await;
    assert!(station.truth(5).await.current > 10.0, "its modules are on the other bus");
    assert!(station.faults(5).await.is_empty());
    station.station().await.stop(5).await.unwrap();
    let (began, mut all) = (std::time::Instant::now(), Vec::new());
    while all.iter().filter(|one: &&voltry_bus::Transaction| one.state == "closed").count() < charging.len() {
        assert!(began.elapsed() < Duration::from_secs(30), "{all:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        all = station.station().await.transactions(10).await.unwrap();
    }
    for (evse, before) in charging.into_iter().zip(before) {
        let own = all.iter().find(|one| one.evse == evse).unwrap();
        station.assert_billed(own, evse, before).await;
    }
    station.quit().await;
}

/// What an EVSE shows is of its session: none while it has none.
async fn until_no_energy_is_shown(station: &Station) {
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let mut shown = Vec::new();
    for _ in 0..100 {
        tick.tick().await;
        shown = station.station().await.evses().await.expect("the station answers");
        if shown[0].state == "available" && shown[0].energy.abs() < f64::EPSILON {
            return;
        }
    }
    panic!("{shown:?}");
}

#[tokio::test]
async fn a_car_waits_for_its_token_and_the_same_token_ends_its_session() {
    let topology = "free = false\ntokens = [\"04A1B2C3\"]\n[[evse]]\nmonitor_pace = 10\n\
                    vehicle = { capacity_wh = 60000.0, soc = 20.0, target_soc = 80.0 }\n";
    let mut station = Station::start(topology).await;
    let before = station.truth(1).await.register;
    station.tell("plug 1").await;
    station.until_state(1, &[EvseState::Authorizing], Duration::from_secs(30)).await;
    let refused = station.station().await.authorize("DEADBEEF", 1).await.unwrap();
    assert_eq!(refused.outcome, "refused");
    assert!(station.station().await.transactions(1).await.unwrap().is_empty());
    station.tell("swipe 04A1B2C3 1").await;
    station.until_state(1, &[EvseState::Charging], Duration::from_secs(40)).await;
    let counted = before + 5.0;
    station.until_truth(1, "energy flows", Duration::from_secs(10), |truth| truth.register > counted).await;
    station.tell("swipe 04A1B2C3 1").await;
    let transaction = station.closed_transaction(Duration::from_secs(30)).await;
    station.assert_billed(&transaction, 1, before).await;
    assert_eq!(transaction.identity, "…C3");
    station.quit().await;
}

#[tokio::test]
async fn a_car_that_is_known_by_itself_charges_without_its_driver_where_autocharge_is_on() {
    let topology = "evses = 2\nfree = false\ntokens = [\"VID:00A0CF56A001\"]\n\
         [[evse]]\nmonitor_pace = 10\n\
         vehicle = { evcc_id = [0, 160, 207, 86, 160, 1], capacity_wh = 60000.0, target_soc = 20.2 }\n\
         [[evse]]\nvehicle = { evcc_id = [0, 160, 207, 86, 160, 1] }\n\
         [config.secc.1]\nautocharge = true\n";
    let mut station = Station::start(topology).await;
    let before = station.truth(1).await.register;
    station.tell("plug 2").await;
    station.charge(1).await;
    let transaction = station.closed_transaction(Duration::from_secs(60)).await;
    station.assert_billed(&transaction, 1, before).await;
    assert_eq!(transaction.identity, "…01");
    station.until_state(2, &[EvseState::Authorizing], Duration::from_secs(30)).await;
    for daemon in ["secc-1", "evse-1", "station"] {
        assert!(!station.log(daemon).contains("CF56A001"), "{daemon} logs whose car it is");
    }
    station.quit().await;
}

#[tokio::test]
async fn two_cars_charge_at_once_within_the_stations_limit() {
    let topology = "evses = 2\npower_limit = 60000.0\n\
         [[evse]]\nmonitor_pace = 10\nvehicle = { capacity_wh = 60000.0 }\n\
         [[evse]]\nmonitor_pace = 10\nvehicle = { capacity_wh = 60000.0 }\n";
    let mut station = Station::start(topology).await;
    station.charge(1).await;
    station.charge(2).await;
    station
        .until_truth(1, "the first car makes room", Duration::from_secs(20), |truth| {
            truth.current * truth.cable_voltage < 31_000.0
        })
        .await;
    let power = |truth: voltry_bus::SimTruth| truth.current * truth.cable_voltage;
    let total = power(station.truth(1).await) + power(station.truth(2).await);
    assert!(total < 63_000.0, "{total} W");
    station.quit().await;
}

#[tokio::test]
async fn no_watts_suspend_a_session_and_more_of_them_resume_it() {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    let proxy = station.station().await;
    proxy.set_limit(1, "csms", 0.0, 0.0).await.unwrap();
    let limit = Duration::from_secs(20);
    station.until_truth(1, "nothing flows", limit, |truth| truth.current < 1.0).await;
    station.until_connector(1, "suspended-evse", limit).await;
    proxy.set_limit(1, "csms", 20_000.0, 0.0).await.unwrap();
    station.until_truth(1, "it flows again", limit, |truth| truth.current > 10.0).await;
    station.until_connector(1, "charging", limit).await;
    let flows = station.truth(1).await;
    assert!(flows.cable_voltage * flows.current < 20_500.0, "{flows:?}");
    proxy.stop(1).await.unwrap();
    let transaction = station.closed_transaction(Duration::from_secs(30)).await;
    station.assert_billed(&transaction, 1, before).await;
    station.quit().await;
}

/// A vehicle of ISO 15118-20 with scheduled control, and modules that feed back into the grid.
#[tokio::test]
async fn a_vehicle_gives_energy_back_that_the_register_of_exports_counts_and_no_bill_has() {
    let topology = "family = \"infypower-beg\"\n[[evse]]\nmodules = 2\nmonitor_pace = 10\n\
         vehicle = { capacity_wh = 150.0, soc = 80.0, target_soc = 60.0, gives = 40.0 }\n";
    let mut station = Station::start(topology).await;
    let before = station.truth(1).await.register;
    let exported = station.exported(1).await;
    station.tell("plug 1").await;
    station.until_state(1, &[EvseState::Charging], Duration::from_secs(40)).await;
    let limit = Duration::from_secs(10);
    station.until_truth(1, "energy flows back", limit, |truth| truth.current < -35.0).await;
    station.until_connector(1, "charging", limit).await;
    station.until_state(1, &[EvseState::Finished], Duration::from_secs(60)).await;
    let transaction = station.closed_transaction(Duration::from_secs(20)).await;
    // The simulated meter counts whole watt-hours.
    let came_back = (station.exported(1).await - exported).round();
    assert!((25.0..45.0).contains(&came_back), "a fifth of 150 Wh, and what flowed on: {came_back} Wh");
    let billed = station.truth(1).await.register - before;
    assert!((transaction.energy - billed).abs() < 0.01 && billed < 2.0, "{billed} Wh: {transaction:?}");
    let note =
        format!("{came_back} Wh came back from the vehicle, by the meter's export register: not billed");
    assert_eq!(transaction.note, note);
    assert!(transaction.why.starts_with("The vehicle ended it"), "{}", transaction.why);
    let (faults, truth) = (station.faults(1).await, station.truth(1).await);
    assert!(
        faults.is_empty() && !truth.contactors_closed && truth.cable_voltage < 60.0,
        "{faults:?} {truth:?}"
    );
    station.tell("unplug 1").await;
    station.until_state(1, &[EvseState::Available], Duration::from_secs(10)).await;
    station.quit().await;
}

#[tokio::test]
async fn a_car_that_opens_s2_to_agree_anew_is_let_go_without_a_fault_and_tested_anew() {
    let mut station =
        Station::start(&SMALL_CAR.replace("target_soc", "renegotiates_at = 50.0, target_soc")).await;
    let (_voltryctl, mut messages) = station.follow(1).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    let limit = Duration::from_secs(40);
    station
        .until_truth(1, "S2 and the contactors are open", limit, |truth| {
            truth.pilot == "B" && !truth.contactors_closed
        })
        .await;
    station.until_state(1, &[EvseState::Finished], limit).await;
    assert!(station.truth(1).await.soc > 79.0);
    let transaction = station.closed_transaction(Duration::from_secs(20)).await;
    station.assert_billed(&transaction, 1, before).await;
    assert_eq!((transaction.id, transaction.note.as_str()), (1, ""));
    assert!(station.faults(1).await.is_empty());
    assert!(!station.log("evse-1").contains("ERROR"));
    let mut asked = Vec::new();
    while asked.last().is_none_or(|name| name != "SessionStopReq") {
        let line = tokio::time::timeout(limit, messages.next_line()).await.expect("each message is told");
        let line = line.unwrap().expect("voltryctl follows on");
        // Time, who, which way, name, and what it says.
        if let [_, "vehicle", _, name, ..] = line.split_whitespace().collect::<Vec<_>>()[..] {
            asked.push(name.to_owned());
        }
    }
    asked.dedup();
    let agreed = ["ChargeParameterDiscoveryReq", "CableCheckReq", "PreChargeReq", "PowerDeliveryReq"];
    let charged = [&agreed[..], &["CurrentDemandReq", "PowerDeliveryReq"]].concat();
    let whole = [&charged[..], &charged, &["WeldingDetectionReq", "SessionStopReq"]].concat();
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    assert!(asked.ends_with(&whole), "{asked:?}");
    station.quit().await;
}

/// As many as one bus of this family takes, by the simulator's own clock and with the bits that were stuffed.
#[tokio::test]
async fn the_bus_of_sixteen_modules_is_under_half_loaded_while_they_charge() {
    let mut station = Station::start(&LARGE_CAR.replace("monitor_pace", "modules = 16\nmonitor_pace")).await;
    station.charge(1).await;
    let (frames, bits, begin) = station.load(1).await;
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let (more, carried, time) = loop {
        tick.tick().await;
        let now = station.load(1).await;
        if now.0 > frames + 1_000 {
            break (now.0 - frames, now.1 - bits, now.2 - begin);
        }
    };
    // 125 kbit/s: 8 µs a bit.
    let busy = Duration::from_micros(8 * carried);
    let share = busy.as_secs_f64() / time.as_secs_f64();
    println!("{more} frames, {carried} bits in {time:?}: {:.1} % of the bus", share * 100.0);
    assert!((0.1..0.5).contains(&share), "{share}");
    station.quit().await;
}
