//! Which limit comes of several profiles.

use super::*;

#[test]
fn without_a_profile_nothing_is_limited_and_the_schedule_tells_what_the_hardware_can_give() {
    let profiles = station();
    let limits = profiles.limits(Edition::V201, Some(MONDAY));
    assert_eq!((limits.station, limits.until), (None, None));
    assert_eq!(limits.evses, [1, 2].map(|evse| EvseLimit { evse, limit: None }));
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 150_000)]);
    assert_eq!(schedule(&profiles, 0, MONDAY, HOUR), [(0, 200_000)]);
}

#[test]
fn the_highest_stack_level_rules_and_the_next_one_fills_its_gap() {
    let mut profiles = station();
    set(&mut profiles, 1, profile(1, Purpose::TxDefault, 0, &[(0, watts(10_000))]));
    set(
        &mut profiles,
        1,
        lasting(profile(2, Purpose::TxDefault, 3, &[(0, watts(50_000)), (600, watts(40_000))]), 1200),
    );
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 50_000), (600, 40_000), (1200, 10_000)]);
    assert_eq!(evse1(&profiles, MONDAY.plus(1199)), Some(40_000));
    assert_eq!(evse1(&profiles, MONDAY.plus(1200)), Some(10_000));
}

#[test]
fn a_tx_profile_rules_instead_of_the_default_also_with_more() {
    let mut profiles = station();
    set(&mut profiles, 0, profile(1, Purpose::TxDefault, 8, &[(0, watts(10_000))]));
    start(&mut profiles, 1, MONDAY);
    set(&mut profiles, 1, lasting(profile(2, Purpose::Tx, 0, &[(0, watts(90_000))]), 60));
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 90_000), (60, 10_000)]);
    let other = profiles.limits(Edition::V201, Some(MONDAY)).evses[1];
    assert_eq!(other.limit, Some(voltry_units::Watts::new(10_000)), "the default is for every EVSE");
}

#[test]
fn over_the_purposes_the_lowest_limit_counts() {
    let mut profiles = station();
    set(&mut profiles, 0, profile(1, Purpose::StationMax, 0, &[(0, watts(80_000)), (600, watts(20_000))]));
    set(&mut profiles, 1, profile(2, Purpose::TxDefault, 0, &[(0, watts(30_000)), (1200, watts(10_000))]));
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 30_000), (600, 20_000), (1200, 10_000)]);
    let limits = profiles.limits(Edition::V201, Some(MONDAY));
    assert_eq!(limits.station.map(voltry_units::Watts::as_si), Some(80_000.0));
    assert_eq!(limits.until, Some(MONDAY.plus(600)), "it says when the first of them changes");
}

#[test]
fn a_limit_from_elsewhere_counts_beside_the_csms_and_goes_away() {
    let mut profiles = station();
    assert_eq!(profiles.constrain(1, LimitSource::Ems, Some(watts(25_000)), MONDAY), Ok(true));
    assert_eq!(profiles.constrain(1, LimitSource::Ems, Some(watts(25_000)), MONDAY), Ok(false), "no news");
    set(&mut profiles, 1, profile(1, Purpose::TxDefault, 0, &[(0, watts(30_000))]));
    assert_eq!(evse1(&profiles, MONDAY), Some(25_000));
    profiles.constrain(0, LimitSource::So, Some(watts(12_000)), MONDAY).unwrap();
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 12_000)]);
    profiles.constrain(0, LimitSource::So, None, MONDAY).unwrap();
    profiles.constrain(1, LimitSource::Ems, None, MONDAY).unwrap();
    assert_eq!(evse1(&profiles, MONDAY), Some(30_000));
    assert_eq!(profiles.constrain(3, LimitSource::Ems, None, MONDAY), Err(Rejection::UnknownEvse(3)));
}

#[test]
fn a_daily_schedule_begins_anew_each_day_and_not_before_its_first() {
    let mut profiles = station();
    let night = lasting(profile(1, Purpose::TxDefault, 0, &[(0, watts(1_000)), (1800, watts(2_000))]), 7200);
    set(&mut profiles, 1, recurring(night, Recurrence::Daily));
    assert_eq!(evse1(&profiles, MONDAY.plus(-1)), None);
    for day in [0, 1, 2, 365] {
        assert_eq!(evse1(&profiles, MONDAY.plus(day * DAY)), Some(1_000), "day {day}");
        assert_eq!(evse1(&profiles, MONDAY.plus(day * DAY + 7199)), Some(2_000));
        assert_eq!(evse1(&profiles, MONDAY.plus(day * DAY + 7200)), None);
    }
    assert_eq!(
        profiles.limits(Edition::V201, Some(MONDAY.plus(7200))).until,
        Some(MONDAY.plus(DAY)),
        "the next beginning is known"
    );
}

#[test]
fn a_weekly_schedule_without_a_duration_goes_on_until_its_next_beginning() {
    let mut profiles = station();
    let week = profile(1, Purpose::StationMax, 0, &[(0, watts(60_000)), (5 * 86_400, watts(90_000))]);
    set(&mut profiles, 0, recurring(week, Recurrence::Weekly));
    let expected = [(0, 60_000), (5 * DAY, 90_000), (7 * DAY, 60_000), (12 * DAY, 90_000)];
    assert_eq!(schedule(&profiles, 0, MONDAY, 14 * DAY), expected);
}

#[test]
fn what_is_longer_than_a_day_is_cut_off_by_the_next_one() {
    let mut profiles = station();
    let long =
        lasting(profile(1, Purpose::TxDefault, 0, &[(0, watts(1_000)), (90_000, watts(2_000))]), 100_000);
    set(&mut profiles, 1, recurring(long, Recurrence::Daily));
    assert_eq!(schedule(&profiles, 1, MONDAY, 3 * DAY), [(0, 1_000)]);
}

#[test]
fn a_relative_schedule_counts_from_the_start_of_the_transaction() {
    let mut profiles = station();
    let slow_first = relative(profile(1, Purpose::TxDefault, 0, &[(0, watts(5_000)), (600, watts(50_000))]));
    set(&mut profiles, 0, slow_first);
    assert_eq!(evse1(&profiles, MONDAY.plus(DAY)), Some(5_000), "as for a transaction that starts now");
    assert_eq!(profiles.limits(Edition::V201, Some(MONDAY)).until, None, "which never gets any older");
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 5_000), (600, 50_000)]);
    start(&mut profiles, 1, MONDAY.plus(100));
    assert_eq!(evse1(&profiles, MONDAY.plus(699)), Some(5_000));
    assert_eq!(evse1(&profiles, MONDAY.plus(700)), Some(50_000));
    assert_eq!(profiles.limits(Edition::V201, Some(MONDAY.plus(200))).until, Some(MONDAY.plus(700)));
}

#[test]
fn validity_begins_and_ends_a_profile_to_the_second() {
    let mut profiles = station();
    let part = valid(
        profile(1, Purpose::TxDefault, 0, &[(0, watts(7_000))]),
        Some(MONDAY.plus(100)),
        Some(MONDAY.plus(200)),
    );
    set(&mut profiles, 1, part);
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 150_000), (100, 7_000), (200, 150_000)]);
}

#[test]
fn in_1_6_a_connectors_own_default_overrules_that_of_connector_0() {
    let mut profiles = station();
    let install = |profiles: &mut ChargingProfiles, connector, profile| {
        profiles.install(Edition::V16, connector, profile, MONDAY).unwrap();
    };
    install(&mut profiles, 0, profile(1, Purpose::TxDefault, 5, &[(0, watts(5_000))]));
    install(&mut profiles, 1, profile(2, Purpose::TxDefault, 1, &[(0, watts(70_000))]));
    let limits = profiles.limits(Edition::V16, Some(MONDAY));
    assert_eq!(limits.evses[0].limit.map(voltry_units::Watts::as_si), Some(70_000.0));
    assert_eq!(limits.evses[1].limit.map(voltry_units::Watts::as_si), Some(5_000.0));
}

#[test]
fn amperes_are_of_the_grid_or_of_the_output_as_configured() {
    let grid = Supply { amperes: Amperes::Grid { phase_to_neutral_mv: 230_000 }, phases: 3 };
    assert_eq!(grid.milliwatts(amperes(100)), 69_000_000);
    assert_eq!(grid.milliwatts(amperes(100).on_phases(Some(1))), 23_000_000);
    assert_eq!(grid.in_unit(watts(69_000), RateUnit::Amperes).reported(), 100.0);
    let output = Supply { amperes: Amperes::Output { nominal_mv: 400_000 }, phases: 3 };
    assert_eq!(output.milliwatts(amperes(100).on_phases(Some(3))), 40_000_000, "phases mean nothing on DC");
    assert_eq!(output.in_unit(watts(40_000), RateUnit::Amperes), amperes(100));
}
