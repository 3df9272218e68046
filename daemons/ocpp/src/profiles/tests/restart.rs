//! Transactions, restarts, and a clock that moves.

use super::*;

/// Through the form that the disk keeps.
fn reboot(profiles: &ChargingProfiles) -> ChargingProfiles {
    let text = serde_json::to_string(profiles.stored()).unwrap();
    restored(serde_json::from_str(&text).unwrap())
}

fn transaction(number: u64, id: &str, started: UnixSeconds) -> Transaction {
    Transaction { number, protocol_id: Some(id.to_owned()), started }
}

#[test]
fn the_end_of_a_transaction_takes_its_profiles_along_and_no_others() {
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY);
    set(&mut profiles, 1, profile(1, Purpose::Tx, 0, &[(0, watts(1_000))]));
    set(&mut profiles, 1, profile(2, Purpose::TxDefault, 0, &[(0, watts(2_000))]));
    profiles.transaction_ended(99);
    assert_eq!(evse1(&profiles, MONDAY), Some(1_000));
    profiles.transaction_ended(1);
    assert_eq!((profiles.len(), evse1(&profiles, MONDAY)), (1, Some(2_000)));
}

#[test]
fn a_new_transaction_ends_the_one_before_it() {
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY);
    set(&mut profiles, 1, profile(1, Purpose::Tx, 0, &[(0, watts(1_000))]));
    profiles.transaction_started(1, transaction(2, "T2", MONDAY));
    assert_eq!((profiles.len(), evse1(&profiles, MONDAY)), (0, None));
}

#[test]
fn everything_holds_on_over_a_restart_while_the_transaction_does() {
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY);
    set(&mut profiles, 0, profile(1, Purpose::StationMax, 0, &[(0, watts(90_000))]));
    set(&mut profiles, 1, profile(2, Purpose::TxDefault, 0, &[(0, watts(2_000))]));
    set(&mut profiles, 1, relative(profile(3, Purpose::Tx, 0, &[(0, watts(3_000)), (600, watts(4_000))])));
    profiles.constrain(0, LimitSource::Ems, Some(watts(80_000)), MONDAY).unwrap();
    let mut again = reboot(&profiles);
    assert_eq!(again.stored(), profiles.stored());
    again.keep_transactions(&[1]);
    assert_eq!(schedule(&again, 1, MONDAY.plus(300), HOUR), [(0, 3_000), (300, 4_000)]);
    assert_eq!(schedule(&again, 0, MONDAY, HOUR), schedule(&profiles, 0, MONDAY, HOUR));
    again.keep_transactions(&[]);
    assert_eq!(evse1(&again, MONDAY), Some(2_000), "the transaction ended while nobody looked");
    assert_eq!(again.len(), 2);
}

#[test]
fn stricter_rules_after_a_restart_drop_no_limit() {
    let mut profiles = station();
    set(&mut profiles, 1, profile(1, Purpose::TxDefault, 8, &[(0, watts(1_000))]));
    let rules =
        Rules { evses: 2, max_profiles: 0, max_stack_level: 0, max_periods: 1, phase_switching: false };
    let again = ChargingProfiles::new(rules, profiles.supply, &[watts(100)], profiles.stored().clone());
    assert_eq!(evse1(&again, MONDAY), Some(1_000));
}

#[test]
fn a_profile_that_came_with_a_request_to_start_is_for_its_transaction() {
    let mut profiles = station();
    let mut wish = profile(1, Purpose::Tx, 0, &[(0, watts(1_000))]);
    wish.transaction_id = None;
    profiles.prepare(Edition::V201, 1, Some(7), wish.clone()).unwrap();
    assert_eq!((profiles.len(), evse1(&profiles, MONDAY)), (0, None));
    let mut profiles = reboot(&profiles);
    profiles.transaction_started(1, transaction(1, "T1", MONDAY));
    profiles.transaction_started_by(Edition::V201, 1, Some(7), MONDAY).unwrap();
    assert_eq!(evse1(&profiles, MONDAY), Some(1_000));
    let reported = profiles.report(&Query::default(), 1);
    assert_eq!(reported[0].profiles[0].transaction_id.as_deref(), Some("T1"));
    profiles.transaction_ended(1);

    profiles.prepare(Edition::V201, 1, Some(8), wish.clone()).unwrap();
    profiles.transaction_started(1, transaction(2, "T2", MONDAY));
    profiles.transaction_started_by(Edition::V201, 1, None, MONDAY).unwrap();
    assert_eq!(evse1(&profiles, MONDAY), None, "somebody else came first");

    // One for a transaction that the CSMS knows already, before the book opened its own.
    profiles.prepare(Edition::V201, 2, None, profile(2, Purpose::Tx, 0, &[(0, watts(2_000))])).unwrap();
    profiles.transaction_started(2, transaction(3, "T1", MONDAY));
    profiles.transaction_started_by(Edition::V201, 2, None, MONDAY).unwrap();
    assert_eq!(profiles.len(), 1);
}

#[test]
fn only_a_tx_profile_may_come_with_a_request_to_start() {
    let mut profiles = station();
    let default = profile(1, Purpose::TxDefault, 0, &[(0, watts(1_000))]);
    assert_eq!(profiles.prepare(Edition::V16, 1, Some(7), default), Err(Rejection::NotForStart));
    let nowhere = profile(1, Purpose::Tx, 0, &[(0, watts(1_000))]);
    assert_eq!(profiles.prepare(Edition::V16, 0, Some(7), nowhere), Err(Rejection::TxProfileAtEvse0));
}

#[test]
fn a_transaction_that_started_offline_gets_its_number_later() {
    let mut profiles = station();
    let unnamed = Transaction { number: 5, protocol_id: None, started: MONDAY };
    profiles.transaction_started(1, unnamed);
    let mut tx = profile(1, Purpose::Tx, 0, &[(0, watts(1_000))]);
    tx.transaction_id = Some("4711".to_owned());
    let result = profiles.install(Edition::V16, 1, tx.clone(), MONDAY);
    assert_eq!(result, Err(Rejection::OtherTransaction(1)));
    profiles.transaction_named(5, "4711");
    profiles.install(Edition::V16, 1, tx, MONDAY).unwrap();
    assert_eq!(evse1(&profiles, MONDAY), Some(1_000));
}

#[test]
fn a_clock_that_is_set_moves_nothing_that_counts_from_a_start() {
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY);
    set(&mut profiles, 1, relative(profile(1, Purpose::Tx, 0, &[(0, watts(1_000)), (600, watts(2_000))])));
    let ramp = relative(profile(2, Purpose::StationMax, 0, &[(0, watts(10_000)), (600, watts(20_000))]));
    profiles.install(Edition::V16, 0, ramp, MONDAY).unwrap();
    let day = lasting(profile(3, Purpose::TxDefault, 0, &[(0, watts(3_000))]), 86_400);
    set(&mut profiles, 2, day);
    // After 100 s the clock is set five days ahead.
    profiles.clock_moved(5 * DAY);
    let now = MONDAY.plus(100 + 5 * DAY);
    assert_eq!(evse1(&profiles, now), Some(1_000));
    assert_eq!(evse1(&profiles, now.plus(500)), Some(2_000));
    let limits = profiles.limits(Edition::V201, Some(now));
    assert_eq!(limits.station.map(voltry_units::Watts::as_si), Some(10_000.0));
    assert_eq!(limits.until, Some(now.plus(500)));
    assert_eq!(limits.evses[1].limit, None, "an absolute schedule follows the time of day");
    profiles.clock_moved(-5 * DAY);
    assert_eq!(evse1(&profiles, MONDAY.plus(599)), Some(1_000), "and back");
}

#[test]
fn without_a_time_of_day_no_profile_that_might_hold_is_exceeded() {
    let mut profiles = station();
    let day =
        profile(1, Purpose::TxDefault, 0, &[(0, watts(30_000)), (7200, watts(5_000)), (9000, watts(60_000))]);
    set(&mut profiles, 1, recurring(day, Recurrence::Daily));
    set(&mut profiles, 0, profile(2, Purpose::StationMax, 0, &[(0, watts(40_000))]));
    profiles.constrain(2, LimitSource::Ems, Some(watts(8_000)), MONDAY).unwrap();
    let limits = profiles.limits(Edition::V201, None);
    let of = |limit: Option<voltry_units::Watts>| limit.map(voltry_units::Watts::as_si);
    assert_eq!(of(limits.evses[0].limit), Some(5_000.0));
    assert_eq!(of(limits.evses[1].limit), Some(8_000.0));
    assert_eq!(of(limits.station), Some(40_000.0));
}
