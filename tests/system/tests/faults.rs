//! What breaks, one thing at a time: the EVSE becomes safe in its time, says why, bills what the
//! meter counted, and serves again once it is mended.
//!
//! The faults of one test share a station; between two of them the vehicle is unplugged.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::time::Duration;

use voltry_bus::{EvseState, names};
use voltry_system_tests::{LARGE_CAR, SMALL_CAR, Station};

const RECOVERY: Duration = Duration::from_secs(30);
/// A car of the 800 V class that takes all that its EVSE can give.
const POWERFUL: &str = "[[evse]]\nmodules = 8\nmonitor_pace = 10\n\
     vehicle = { capacity_wh = 60000.0, voltage_max = 900.0, current_max = 300.0, power_max = 240000.0 }\n";
const SUPPLY: &str = "/org/voltry/power_supply/1";
/// What an emergency may take, from the fault itself to open contactors.
const EMERGENCY: Duration = Duration::from_secs(1);
/// Values are missing after 300 ms; then the output goes to zero and the contactors open within 1 s.
const STALE: Duration = Duration::from_millis(1_300);

/// How a latched fault goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clears {
    /// When the vehicle is unplugged.
    Unplugged,
    /// By `ClearFaults` alone.
    ByCommand,
}

/// A fault that ends a session.
struct Ends {
    fault: &'static str,
    /// Why the session ended, in the book, and what is latched first.
    code: &'static str,
    /// From the fault to open contactors.
    within: Duration,
    clears: Clears,
}

/// Charges, breaks, and holds the station to everything that must follow.
async fn ends_safe(station: &mut Station, case: &Ends) {
    let Ends { fault, code, within, clears } = *case;
    println!("{fault}");
    let before = station.truth(1).await.register;
    station.charge(1).await;
    let logged = station.log("evse-1").len();
    station.tell(&format!("fault {fault} 1")).await;
    station.assert_safe_within(1, within, within).await;
    let transaction = station.closed_transaction(RECOVERY).await;
    station.assert_billed(&transaction, 1, before).await;
    assert_eq!(transaction.end_reason, code, "{fault}: {transaction:?}");
    station.assert_explained(fault, &transaction);
    let unplugged = station.truth(1).await.soc < 0.0;
    // Without PE the pilot looks like an empty connector, which clears what unplugging clears.
    if !unplugged && fault != "pe-loss" {
        station.until_state(1, &[EvseState::Faulted], RECOVERY).await;
        let latched = station.faults(1).await;
        assert!(latched[0].code == code && latched[0].cause.len() > 10, "{fault}: {latched:?}");
    }
    station.tell(&format!("clear {fault} 1")).await;
    if !unplugged {
        station.tell("unplug 1").await;
    }
    if clears == Clears::ByCommand {
        clear_until_available(station).await;
    }
    if fault == "pilot-diode" {
        clear_until_available(station).await;
    }
    station.until_state(1, &[EvseState::Available], RECOVERY).await;
    if fault == "vehicle-unplugs-under-load" {
        let log = station.log("evse-1").split_off(logged);
        // A renewal that came too late while the machine was busy is another matter.
        let refused = |line: &str| line.contains("refused") && !line.contains("TooOld");
        let told: Vec<_> = log.lines().filter(|line| line.contains("ERROR") || refused(line)).collect();
        assert!(matches!(told[..], [cause] if cause.contains(code)), "the cause alone: {told:?}");
    }
}

/// Clearing takes what is already mended; a device may need a moment to see that it is.
async fn clear_until_available(station: &Station) {
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    for _ in 0..60 {
        tick.tick().await;
        let _ = station.station().await.clear_faults(1).await;
        if station.evse(1).await.state().await.is_ok_and(|state| state == EvseState::Available) {
            return;
        }
    }
    panic!("the faults stay: {:?}", station.faults(1).await);
}

/// Charges, breaks things that do not stop a session, one after the other, and holds the station
/// to charging on, with at least 10 A.
async fn charges_on(station: &mut Station, faults: &[&str]) {
    station.charge(1).await;
    for fault in faults {
        println!("{fault}");
        station.tell(&format!("fault {fault} 1")).await;
        let register = station.truth(1).await.register;
        station
            .until_truth(1, "energy still flows", RECOVERY, |truth| {
                truth.register > register + 50.0 && truth.current > 10.0
            })
            .await;
        let state = station.evse(1).await.state().await.unwrap();
        assert_eq!(state, EvseState::Charging, "{fault}: {:?}", station.faults(1).await);
        station.tell(&format!("clear {fault} 1")).await;
    }
    station.station().await.stop(1).await.unwrap();
    let transaction = station.closed_transaction(RECOVERY).await;
    for fault in faults {
        station.assert_explained(fault, &transaction);
    }
    station.tell("unplug 1").await;
    station.until_state(1, &[EvseState::Available], RECOVERY).await;
}

#[tokio::test]
async fn what_endangers_somebody_opens_the_contactors_within_a_second() {
    let mut station = Station::start(LARGE_CAR).await;
    let ends = |fault, code, clears| Ends { fault, code, within: EMERGENCY, clears };
    for case in [
        ends("emergency-stop", "MREC8EmergencyStop", Clears::ByCommand),
        ends("pe-loss", "MREC14PilotFault", Clears::Unplugged),
        ends("vehicle-unplugs-under-load", "MREC14PilotFault", Clears::Unplugged),
    ] {
        ends_safe(&mut station, &case).await;
    }
    // What ended each conversation is evse's to say.
    let log = station.log("secc-1");
    let warned = log.lines().find(|line| {
        line.contains("WARN") && ["aborted", "disconnected"].iter().any(|kind| line.contains(kind))
    });
    assert_eq!(warned, None);
    station.quit().await;
}

#[tokio::test]
async fn a_broken_pilot_or_proximity_wire_opens_the_contactors_within_a_second() {
    let mut station = Station::start(LARGE_CAR).await;
    let ends = |fault, code| Ends { fault, code, within: EMERGENCY, clears: Clears::Unplugged };
    for case in [
        ends("pilot-short", "MREC14PilotFault"),
        ends("pilot-diode", "DiodeFault"),
        ends("proximity-open", "MREC23ProximityFault"),
    ] {
        ends_safe(&mut station, &case).await;
    }
    station.quit().await;
}

#[tokio::test]
async fn modules_or_a_monitor_that_go_silent_end_the_session() {
    goes_silent(&[("can-silent", "MREC15PowerLoss"), ("imd-gone", "VoltageMonitorMissing")]).await;
}

#[tokio::test]
async fn a_board_that_goes_silent_ends_the_session() {
    goes_silent(&[("board-silent", "ConnectorIoMissing"), ("wrong-crc", "ConnectorIoMissing")]).await;
}

async fn goes_silent(faults: &[(&'static str, &'static str)]) {
    let mut station = Station::start(LARGE_CAR).await;
    for &(fault, code) in faults {
        ends_safe(&mut station, &Ends { fault, code, within: STALE, clears: Clears::Unplugged }).await;
    }
    station.quit().await;
}

#[tokio::test]
async fn modules_that_speak_for_each_other_or_unasked_stop_everything_until_a_person_clears_it() {
    let mut station = Station::start(LARGE_CAR).await;
    for fault in ["module-shares-address", "module-answers-for-other", "module-answers-unasked"] {
        misleads(&mut station, fault, &["PowerSupplyRefused"], "PowerModuleAnswersUnasked", "module 0: ")
            .await;
    }
    station.quit().await;
}

#[tokio::test]
async fn a_modules_bus_that_is_flooded_or_off_ends_the_session_and_stays_off_until_a_person_clears_it() {
    let mut station = Station::start(LARGE_CAR).await;
    misleads(&mut station, "can-flood", &["MREC15PowerLoss"], "PowerModuleBusFlooded", "0x00000000").await;
    // Told 0.1 s and more after the last reading: values too old by 0.3 s and the next renewed lease race.
    let either = ["PowerSupplyRefused", "MREC15PowerLoss"];
    misleads(&mut station, "can-bus-off", &either, "PowerModuleBusOff", "bus-off").await;
    station.quit().await;
}

/// Charges, lets the modules or their bus mislead, and holds the station to what must follow: safe in time, the
/// cause latched at the supply, nothing to be had until it is gone and cleared.
async fn misleads(station: &mut Station, fault: &'static str, codes: &[&str], latched: &str, cause: &str) {
    println!("{fault}");
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.tell(&format!("fault {fault} 1")).await;
    let within = if fault.starts_with("can-") { STALE } else { Duration::from_secs(6) };
    station.assert_safe_within(1, within, within).await;
    let found = station.until_fault(names::POWER, SUPPLY, latched, RECOVERY).await;
    assert!(found.cause.contains(cause), "{fault}: {found:?}");
    let transaction = station.closed_transaction(RECOVERY).await;
    station.assert_billed(&transaction, 1, before).await;
    assert!(codes.contains(&transaction.end_reason.as_str()), "{fault}: {transaction:?}");
    station.assert_explained(fault, &transaction);
    station.until_state(1, &[EvseState::Faulted], RECOVERY).await;
    let _ = station.station().await.clear_faults(1).await;
    station.until_fault(names::POWER, SUPPLY, latched, RECOVERY).await;
    station.tell(&format!("clear {fault} 1")).await;
    station.tell("unplug 1").await;
    clear_until_available(station).await;
}

#[tokio::test]
async fn bad_insulation_and_measurements_that_contradict_each_other_end_the_session() {
    let mut station = Station::start(LARGE_CAR).await;
    let ends =
        |fault, code, seconds, clears| Ends { fault, code, within: Duration::from_secs(seconds), clears };
    for case in [
        ends("insulation-fault", "MREC22ResistanceFault", 5, Clears::Unplugged),
        ends("insulation-falling", "MREC22ResistanceFault", 25, Clears::Unplugged),
        ends("module-lies", "VoltageImplausible", 7, Clears::ByCommand),
    ] {
        ends_safe(&mut station, &case).await;
    }
    station.quit().await;
}

#[tokio::test]
async fn a_meter_that_is_gone_ends_the_session_and_the_book_says_how_old_its_reading_is() {
    meter_is_missed_after("meter-gone").await;
}

#[tokio::test]
async fn a_meter_with_wrong_checksums_is_as_one_that_is_gone() {
    meter_is_missed_after("meter-wrong-crc").await;
}

async fn meter_is_missed_after(fault: &str) {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.tell(&format!("fault {fault} 1")).await;
    // Stale after 3 s, then a stop: at 100 A/s at least.
    let within = Duration::from_secs(6);
    station.assert_safe_within(1, within, within).await;
    let transaction = station.closed_transaction(RECOVERY).await;
    station.assert_explained(fault, &transaction);
    let metered = station.truth(1).await.register - before;
    assert!(!transaction.note.is_empty() && !transaction.end_reason.is_empty(), "{transaction:?}");
    assert!(transaction.energy <= metered, "more was billed than the meter counted: {transaction:?}");
    station.tell(&format!("clear {fault} 1")).await;
    station.tell("unplug 1").await;
    clear_until_available(&station).await;
    station.quit().await;
}

#[tokio::test]
async fn a_vehicle_that_falls_silent_ends_its_own_session() {
    let mut station = Station::start(LARGE_CAR).await;
    let case = Ends {
        fault: "vehicle-silent",
        code: "VehicleSilent",
        within: Duration::from_secs(6),
        clears: Clears::Unplugged,
    };
    ends_safe(&mut station, &case).await;
    station.quit().await;
}

#[tokio::test]
async fn a_vehicle_that_asks_too_seldom_gets_no_current_between_its_requests() {
    let mut station = Station::start(LARGE_CAR).await;
    station.charge(1).await;
    station.tell("fault vehicle-slow 1").await;
    station
        .until_truth(1, "the stale target counts for nothing", RECOVERY, |truth| truth.current < 1.0)
        .await;
    station.tell("clear vehicle-slow 1").await;
    station.station().await.stop(1).await.unwrap();
    let transaction = station.closed_transaction(RECOVERY).await;
    station.assert_explained("vehicle-slow", &transaction);
    station.quit().await;
}

#[tokio::test]
async fn charging_goes_on_over_what_is_no_danger() {
    let mut station = Station::start(LARGE_CAR).await;
    let faults = ["vehicle-overasks", "can-garbage", "module-derated", "module-late", "module-overtemp"];
    charges_on(&mut station, &faults).await;
    station.quit().await;
}

#[tokio::test]
async fn one_dead_module_of_three_leaves_the_others_charging() {
    let mut station = Station::start(LARGE_CAR).await;
    charges_on(&mut station, &["module-dead"]).await;
    station.quit().await;
}

#[tokio::test]
async fn a_supply_that_fails_whole_ends_the_session_and_a_short_is_called_one() {
    let mut station = Station::start(LARGE_CAR).await;
    let ends =
        |fault, code, millis, clears| Ends { fault, code, within: Duration::from_millis(millis), clears };
    for case in [
        // Modules say it within a quarter of a second; without any for 1 s the session is over.
        ends("module-bleeder", "PowerSupplyFailed", 2_500, Clears::ByCommand),
        ends("output-short", "ShortCircuit", 2_000, Clears::ByCommand),
    ] {
        ends_safe(&mut station, &case).await;
    }
    station.quit().await;
}

#[tokio::test]
async fn a_hot_connector_gets_less_and_then_nothing() {
    let mut station = Station::start(LARGE_CAR).await;
    let case = Ends {
        fault: "connector-hot",
        code: "MREC19CableOverTempStop",
        // Some seconds to heat up, of which the last are derated.
        within: Duration::from_secs(15),
        clears: Clears::ByCommand,
    };
    ends_safe(&mut station, &case).await;
    station.quit().await;
}

#[tokio::test]
async fn a_meter_that_stands_still_ends_the_sale() {
    let mut station = Station::start(POWERFUL).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.tell("fault meter-stuck 1").await;
    // 500 Wh by our own reckoning, at some 200 kW.
    let within = Duration::from_secs(15);
    station.assert_safe_within(1, within, within).await;
    let transaction = station.closed_transaction(RECOVERY).await;
    assert_eq!(transaction.end_reason, "MeterStuck", "{transaction:?}");
    station.assert_explained("meter-stuck", &transaction);
    // What the meter has not counted is not sold.
    let delivered = station.truth(1).await.register - before;
    assert!(transaction.energy > 0.0 && transaction.energy < delivered - 400.0, "{transaction:?}");
    station.tell("clear meter-stuck 1").await;
    station.tell("unplug 1").await;
    clear_until_available(&station).await;
    station.quit().await;
}

#[tokio::test]
async fn a_meter_that_runs_backwards_ends_the_sale_and_bills_what_it_had_counted() {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.until_truth(1, "some energy", RECOVERY, |truth| truth.register > before + 100.0).await;
    station.tell("fault meter-backwards 1").await;
    let told_at = station.truth(1).await.register;
    // Read once a second, then an error shutdown.
    let within = Duration::from_millis(2_300);
    station.assert_safe_within(1, within, within).await;
    let transaction = station.closed_transaction(RECOVERY).await;
    assert_eq!(transaction.end_reason, "MeterBackwards", "{transaction:?}");
    station.assert_explained("meter-backwards", &transaction);
    // Not one count that the meter took back, and none that it did not count: a reading is up to
    // a second old, in which 72 kW are 20 Wh. It turned with its next measurement, up to 70 ms later: 1.4 Wh,
    // and one count of either reading.
    let counted = told_at - before;
    assert!((counted - 50.0..=counted + 3.5).contains(&transaction.energy), "{counted}: {transaction:?}");
    // Where the closing reading is below what the book has; the last one before it may have been lower still.
    assert!(transaction.note.is_empty() || transaction.note.contains("less than before"), "{transaction:?}");
    station.until_state(1, &[EvseState::Faulted], RECOVERY).await;
    let latched = station.faults(1).await;
    assert_eq!(latched[0].code, "MeterBackwards");
    assert!(latched[0].cause.matches(" Wh").count() == 2, "both readings: {latched:?}");
    station.tell("clear meter-backwards 1").await;
    station.tell("unplug 1").await;
    clear_until_available(&station).await;
    station.quit().await;
}

#[tokio::test]
async fn welded_contactors_are_found_when_they_should_open() {
    let mut station = Station::start(LARGE_CAR).await;
    let before = station.truth(1).await.register;
    station.charge(1).await;
    station.tell("fault contactor-welded 1").await;
    station.station().await.stop(1).await.unwrap();
    station.until_state(1, &[EvseState::Faulted], RECOVERY).await;
    let latched = station.faults(1).await;
    assert!(latched.iter().any(|fault| fault.code == "MREC17EVSEContactorFault"), "{latched:?}");
    let truth = station.truth(1).await;
    assert!(truth.contactors_closed && truth.current < 1.0, "{truth:?}");
    let transaction = station.closed_transaction(RECOVERY).await;
    station.assert_billed(&transaction, 1, before).await;
    station.assert_explained("contactor-welded", &transaction);
    station.tell("clear contactor-welded 1").await;
    station.tell("unplug 1").await;
    clear_until_available(&station).await;
    station.quit().await;
}

#[tokio::test]
async fn a_vehicle_that_breaks_the_order_or_never_ends_pre_charge_gets_nothing() {
    let mut station = Station::start(LARGE_CAR).await;
    for fault in ["vehicle-wrong-order", "vehicle-no-precharge-end"] {
        println!("{fault}");
        station.tell(&format!("fault {fault} 1")).await;
        station.tell("plug 1").await;
        let ended = station.until_v2g_ended(1, RECOVERY).await;
        assert!(ended.starts_with("the station ended it in "), "{fault}: {ended}");
        station.until_truth(1, "nothing is closed", RECOVERY, |truth| !truth.contactors_closed).await;
        assert!(station.truth(1).await.current < 1.0);
        station.tell(&format!("clear {fault} 1")).await;
        station.tell("unplug 1").await;
        station.until_state(1, &[EvseState::Available], RECOVERY).await;
        let transaction = station.closed_transaction(RECOVERY).await;
        assert!(!transaction.end_reason.is_empty() && transaction.energy.abs() < 0.5, "{transaction:?}");
        station.assert_explained(fault, &transaction);
    }
    station.quit().await;
}

/// The next fault of the table must not go without a test: its name stands in one of these files.
#[tokio::test]
async fn every_fault_of_the_simulator_is_tried() {
    let station = Station::start(SMALL_CAR).await;
    let files = [
        include_str!("faults.rs"),
        include_str!("matching.rs"),
        include_str!("rack.rs"),
        include_str!("reader.rs"),
    ];
    let tests = files.concat();
    let listed = station.fault_names().await;
    assert!(listed.len() >= 35, "{listed:?}");
    for name in listed {
        assert!(
            tests.contains(&format!("\"{name}\"")) || tests.contains(&format!("fault {name} ")),
            "{name}"
        );
        // A card reader's end no session.
        let ends_none = name.starts_with("reader-");
        assert!(ends_none || Station::has_sentence(&name), "no sentence for {name}");
    }
    station.quit().await;
}

#[tokio::test]
async fn a_plug_that_does_not_lock_says_why_and_energises_nothing() {
    let mut station = Station::start(&SMALL_CAR.replace("[[evse]]", "[[evse]]\nlock = true")).await;
    station.tell("fault lock-stuck 1").await;
    station.tell("plug 1").await;
    station.until_state(1, &[EvseState::Faulted], RECOVERY).await;
    let latched = station.faults(1).await;
    assert_eq!(latched[0].code, "MREC1ConnectorLockFailure", "{latched:?}");
    assert!(!station.truth(1).await.contactors_closed);
    station.assert_explained("lock-stuck", &station.closed_transaction(RECOVERY).await);
    station.tell("clear lock-stuck 1").await;
    station.tell("unplug 1").await;
    clear_until_available(&station).await;
    station.quit().await;
}

#[tokio::test]
async fn a_session_that_cannot_begin_says_why_and_energises_nothing() {
    let mut station = Station::start(SMALL_CAR).await;
    for (fault, code) in [
        ("imd-self-test-fails", "MREC11CableCheckFault"),
        ("contactor-stuck-open", "MREC17EVSEContactorFault"),
    ] {
        println!("{fault}");
        station.tell(&format!("fault {fault} 1")).await;
        station.tell("plug 1").await;
        station.until_state(1, &[EvseState::Faulted], RECOVERY).await;
        let latched = station.faults(1).await;
        assert_eq!(latched[0].code, code, "{fault}: {latched:?}");
        assert!(!station.truth(1).await.contactors_closed);
        station.assert_explained(fault, &station.closed_transaction(RECOVERY).await);
        station.tell(&format!("clear {fault} 1")).await;
        station.tell("unplug 1").await;
        clear_until_available(&station).await;
    }
    station.quit().await;
}
