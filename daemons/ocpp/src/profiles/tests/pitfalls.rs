//! What other stations got wrong, each with the report that told of it.

use super::*;

/// libocpp#609.
#[test]
fn a_period_that_begins_late_in_the_asked_time_is_told() {
    let mut profiles = station();
    let periods = [(0, watts(10_000)), (3_000, watts(20_000)), (86_399, watts(30_000))];
    set(&mut profiles, 1, profile(1, Purpose::TxDefault, 0, &periods));
    assert_eq!(schedule(&profiles, 1, MONDAY, DAY), [(0, 10_000), (3_000, 20_000), (86_399, 30_000)]);
    let later = [(0, 20_000), (86_399 - 3_500, 30_000)];
    assert_eq!(schedule(&profiles, 1, MONDAY.plus(3_500), DAY), later, "asked in the middle of a period");
}

/// libocpp#1169.
#[test]
fn a_duration_of_zero_asks_for_this_instant_and_a_schedule_of_zero_seconds_says_nothing() {
    let mut profiles = station();
    set(&mut profiles, 1, profile(1, Purpose::TxDefault, 0, &[(0, watts(10_000))]));
    set(&mut profiles, 1, lasting(profile(2, Purpose::TxDefault, 1, &[(0, watts(99_000))]), 0));
    let composite = profiles.composite(Edition::V201, 1, MONDAY, 0, RateUnit::Watts).unwrap();
    assert_eq!(composite.duration_s, 0);
    assert_eq!(composite.periods, [(0, watts(10_000))]);
    let negative = profiles.composite(Edition::V201, 1, MONDAY, -1, RateUnit::Watts);
    assert_eq!(negative, Err(Rejection::NegativeDuration));
}

/// libocpp#943.
#[test]
fn evse_0_adds_the_evses_up_below_what_is_set_for_the_whole() {
    let mut profiles = station();
    set(&mut profiles, 1, profile(1, Purpose::TxDefault, 0, &[(0, watts(30_000)), (600, watts(140_000))]));
    set(&mut profiles, 2, profile(2, Purpose::TxDefault, 0, &[(0, watts(40_000))]));
    assert_eq!(schedule(&profiles, 0, MONDAY, HOUR), [(0, 70_000), (600, 180_000)]);
    set(&mut profiles, 0, profile(3, Purpose::StationMax, 0, &[(0, watts(65_000)), (1200, watts(500_000))]));
    assert_eq!(schedule(&profiles, 0, MONDAY, HOUR), [(0, 65_000), (1200, 180_000)]);
}

/// libocpp#943: a default for EVSE 0 is for each EVSE, not for their sum.
#[test]
fn a_default_for_all_evses_counts_once_for_each() {
    let mut profiles = station();
    set(&mut profiles, 0, profile(1, Purpose::TxDefault, 0, &[(0, watts(30_000))]));
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 30_000)]);
    assert_eq!(schedule(&profiles, 0, MONDAY, HOUR), [(0, 60_000)]);
}

/// libocpp#943.
#[test]
fn amperes_stay_the_amperes_that_were_set_with_their_phases() {
    let mut profiles = station();
    let odd = Rate::from_milli(33_300, RateUnit::Amperes).on_phases(Some(2));
    set(&mut profiles, 1, profile(1, Purpose::TxDefault, 0, &[(0, odd)]));
    set(&mut profiles, 0, profile(2, Purpose::StationMax, 0, &[(0, watts(100_000))]));
    let in_amperes = profiles.composite(Edition::V201, 1, MONDAY, HOUR, RateUnit::Amperes).unwrap();
    assert_eq!(in_amperes.periods, [(0, odd)]);
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 15_318)], "33.3 A on two phases of 230 V");
    // 16 A on three phases is more power than 33 A on one: power decides, not the number.
    set(&mut profiles, 2, profile(3, Purpose::TxDefault, 0, &[(0, amperes(33).on_phases(Some(1)))]));
    profiles.constrain(2, LimitSource::Ems, Some(amperes(16).on_phases(Some(3))), MONDAY).unwrap();
    let second = profiles.composite(Edition::V201, 2, MONDAY, HOUR, RateUnit::Amperes).unwrap();
    assert_eq!(second.periods, [(0, amperes(33).on_phases(Some(1)))]);
}

/// libocpp#943: the sum of amperes on the same phases is exact.
#[test]
fn amperes_of_several_evses_add_up_as_amperes() {
    let mut profiles = station();
    set(&mut profiles, 0, profile(1, Purpose::TxDefault, 0, &[(0, amperes(16))]));
    let whole = profiles.composite(Edition::V201, 0, MONDAY, HOUR, RateUnit::Amperes).unwrap();
    assert_eq!(whole.periods, [(0, amperes(32))]);
}

/// MicroOcpp#260.
#[test]
fn no_more_profiles_are_taken_than_fit_and_a_replacement_needs_no_room() {
    let mut profiles = station();
    for id in 0..6 {
        set(&mut profiles, 1, profile(id, Purpose::TxDefault, id, &[(0, watts(10_000))]));
    }
    let seventh = profile(6, Purpose::TxDefault, 6, &[(0, watts(1_000))]);
    let result = profiles.install(Edition::V201, 1, seventh.clone(), MONDAY);
    assert_eq!(result, Err(Rejection::Full(6)));
    assert_eq!(evse1(&profiles, MONDAY), Some(10_000), "nothing has changed");
    set(&mut profiles, 1, profile(5, Purpose::TxDefault, 5, &[(0, watts(2_000))]));
    assert_eq!((profiles.len(), evse1(&profiles, MONDAY)), (6, Some(2_000)));
    // One that can never hold again makes room.
    let over = lasting(profile(5, Purpose::TxDefault, 5, &[(0, watts(2_000))]), 60);
    set(&mut profiles, 1, over);
    profiles.install(Edition::V201, 1, seventh, MONDAY.plus(60)).unwrap();
    assert_eq!(profiles.len(), 6);
}

/// MicroOcpp#260.
#[test]
fn a_tx_profile_is_for_the_transaction_that_it_names() {
    let mut profiles = station();
    let named = |id: Option<&str>| {
        let mut tx = profile(1, Purpose::Tx, 0, &[(0, watts(10_000))]);
        tx.transaction_id = id.map(str::to_owned);
        tx
    };
    let result = profiles.install(Edition::V201, 1, named(Some("T1")), MONDAY);
    assert_eq!(result, Err(Rejection::NoTransaction(1)));
    start(&mut profiles, 1, MONDAY);
    for (edition, id, expected) in [
        (Edition::V201, Some("T2"), Err(Rejection::OtherTransaction(1))),
        (Edition::V201, None, Err(Rejection::NoTransactionId)),
        (Edition::V201, Some("T1"), Ok(())),
        (Edition::V16, Some("T2"), Err(Rejection::OtherTransaction(1))),
        (Edition::V16, None, Ok(())),
    ] {
        assert_eq!(profiles.install(edition, 1, named(id), MONDAY), expected, "{edition:?} {id:?}");
    }
    assert_eq!(
        profiles.install(Edition::V201, 2, named(Some("T1")), MONDAY),
        Err(Rejection::NoTransaction(2))
    );
}

/// A year's schedule of a daily profile with many periods is cut where a message ends, and says so.
#[test]
fn a_schedule_that_is_too_long_to_tell_is_told_as_far_as_it_goes() {
    let mut profiles = station();
    let periods: Vec<(i32, Rate)> = (0..16).map(|n| (n * 60, watts(1_000 + i64::from(n)))).collect();
    set(&mut profiles, 1, recurring(profile(1, Purpose::TxDefault, 0, &periods), Recurrence::Daily));
    let composite = profiles.composite(Edition::V201, 1, MONDAY, 365 * DAY, RateUnit::Watts).unwrap();
    assert_eq!(composite.periods.len(), composite::MAX_PERIODS);
    assert_eq!(composite.duration_s, 32 * DAY, "16 periods a day");
    let alike: Vec<(i32, Rate)> = (0..16).map(|n| (n * 60, watts(1_000))).collect();
    set(&mut profiles, 1, recurring(profile(1, Purpose::TxDefault, 0, &alike), Recurrence::Daily));
    let composite =
        profiles.composite(Edition::V201, 1, MONDAY, i64::from(i32::MAX), RateUnit::Watts).unwrap();
    assert_eq!(composite.periods.len(), 1);
    assert_eq!(composite.duration_s, i64::try_from(composite::MAX_STEPS / 16).unwrap() * DAY);
}
