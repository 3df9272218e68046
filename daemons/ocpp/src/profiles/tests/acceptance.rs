//! What is accepted, rejected, replaced: by the rules of each version.

use super::*;

type Change = fn(&mut ChargingProfile);

fn judged(edition: Edition, evse: u32, purpose: Purpose, change: Change) -> Result<(), Rejection> {
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY);
    let mut candidate = profile(1, purpose, 0, &[(0, watts(10_000)), (60, watts(20_000))]);
    change(&mut candidate);
    let result = profiles.install(edition, evse, candidate, MONDAY);
    assert_eq!(profiles.len(), usize::from(result.is_ok()), "a rejected profile leaves nothing behind");
    result
}

const BOTH: [Edition; 2] = [Edition::V16, Edition::V201];

#[test]
fn each_purpose_has_its_place() {
    for edition in BOTH {
        let judge = |evse, purpose| judged(edition, evse, purpose, |_| ());
        assert_eq!(judge(0, Purpose::StationMax), Ok(()));
        assert_eq!(judge(1, Purpose::StationMax), Err(Rejection::NotAtAnEvse(Purpose::StationMax)));
        assert_eq!(judge(0, Purpose::TxDefault), Ok(()));
        assert_eq!(judge(2, Purpose::TxDefault), Ok(()));
        assert_eq!(judge(3, Purpose::TxDefault), Err(Rejection::UnknownEvse(3)));
        assert_eq!(judge(1, Purpose::Tx), Ok(()));
        assert_eq!(judge(0, Purpose::Tx), Err(Rejection::TxProfileAtEvse0));
        let external = judge(0, Purpose::StationExternalConstraints);
        assert_eq!(external, Err(Rejection::ExternalConstraints));
    }
}

#[test]
fn what_makes_no_schedule_is_rejected_in_both_versions() {
    let bad: &[(Change, Rejection)] = &[
        (|p| p.stack_level = 9, Rejection::StackLevel(9, 8)),
        (|p| p.stack_level = -1, Rejection::StackLevel(-1, 8)),
        (|p| (p.valid_from, p.valid_to) = (Some(MONDAY), Some(MONDAY)), Rejection::NeverValid),
        (|p| p.kind = Kind::Recurring, Rejection::NoRecurrency),
        (
            |p| {
                (p.kind, p.recurrence) = (Kind::Recurring, Some(Recurrence::Daily));
                p.schedules[0].start = None;
            },
            Rejection::NoStart,
        ),
        (|p| p.schedules.clear(), Rejection::Schedules(0)),
        (|p| p.schedules.push(p.schedules[0].clone()), Rejection::Schedules(2)),
        (|p| p.schedules[0].periods.clear(), Rejection::Periods(0, 16)),
        (
            |p| {
                let period = p.schedules[0].periods[0];
                p.schedules[0].periods = (0..17).map(|start_s| Period { start_s, ..period }).collect();
            },
            Rejection::Periods(17, 16),
        ),
        (|p| p.schedules[0].periods[0].start_s = 1, Rejection::PeriodOrder),
        (|p| p.schedules[0].periods[1].start_s = 0, Rejection::PeriodOrder),
        (|p| p.schedules[0].periods[1].start_s = -60, Rejection::PeriodOrder),
        (|p| p.schedules[0].duration_s = Some(-1), Rejection::NegativeDuration),
        (|p| p.schedules[0].unit = RateUnit::Amperes, Rejection::MixedUnits),
        (|p| p.schedules[0].periods[0].limit.phases = Some(4), Rejection::Phases),
        (|p| p.schedules[0].periods[0].phase_to_use = Some(1), Rejection::PhaseToUse),
    ];
    for edition in BOTH {
        for (change, expected) in bad {
            assert_eq!(
                judged(edition, 1, Purpose::TxDefault, *change).as_ref(),
                Err(expected),
                "{edition:?}"
            );
        }
    }
}

#[test]
fn a_start_is_asked_for_as_each_version_does() {
    let without: Change = |p| p.schedules[0].start = None;
    assert_eq!(judged(Edition::V201, 1, Purpose::TxDefault, without), Err(Rejection::NoStart));
    assert_eq!(
        judged(Edition::V16, 1, Purpose::TxDefault, without),
        Ok(()),
        "it counts from the start of charging"
    );
    let relative_with: Change = |p| p.kind = Kind::Relative;
    assert_eq!(
        judged(Edition::V201, 1, Purpose::TxDefault, relative_with),
        Err(Rejection::RelativeWithStart)
    );
    assert_eq!(judged(Edition::V16, 1, Purpose::TxDefault, relative_with), Ok(()));
    let relative_max: Change = |p| (p.kind, p.schedules[0].start) = (Kind::Relative, None);
    assert_eq!(
        judged(Edition::V201, 0, Purpose::StationMax, relative_max),
        Err(Rejection::RelativeStationMax)
    );
    assert_eq!(judged(Edition::V16, 0, Purpose::StationMax, relative_max), Ok(()));
}

#[test]
fn a_relative_maximum_of_1_6_counts_from_when_it_came() {
    let mut profiles = station();
    let maximum = relative(profile(1, Purpose::StationMax, 0, &[(0, watts(50_000)), (60, watts(10_000))]));
    profiles.install(Edition::V16, 0, maximum, MONDAY.plus(1_000)).unwrap();
    let at = |now| profiles.limits(Edition::V16, Some(now)).station.map(voltry_units::Watts::as_si);
    assert_eq!(at(MONDAY.plus(1_059)), Some(50_000.0));
    assert_eq!(at(MONDAY.plus(1_060)), Some(10_000.0));
}

#[test]
fn the_same_id_replaces_wherever_it_was() {
    for edition in BOTH {
        let mut profiles = station();
        profiles
            .install(edition, 1, profile(7, Purpose::TxDefault, 0, &[(0, watts(1_000))]), MONDAY)
            .unwrap();
        profiles
            .install(edition, 0, profile(7, Purpose::StationMax, 3, &[(0, watts(2_000))]), MONDAY)
            .unwrap();
        assert_eq!(profiles.len(), 1, "{edition:?}");
        assert_eq!(evse1(&profiles, MONDAY), None);
    }
}

#[test]
fn the_same_purpose_and_level_replaces_in_1_6_and_is_a_duplicate_in_2_0_1() {
    let first = profile(1, Purpose::TxDefault, 0, &[(0, watts(1_000))]);
    let second = profile(2, Purpose::TxDefault, 0, &[(0, watts(2_000))]);
    let mut profiles = station();
    set(&mut profiles, 1, first);
    let result = profiles.install(Edition::V201, 1, second.clone(), MONDAY);
    assert_eq!(result, Err(Rejection::Duplicate(1)));
    assert_eq!(result.unwrap_err().reason_code(), "DuplicateProfile");
    profiles.install(Edition::V16, 1, second, MONDAY).unwrap();
    assert_eq!((profiles.len(), evse1(&profiles, MONDAY)), (1, Some(2_000)));
}

/// K01.FR.06, .39, .52, .53.
#[test]
fn duplicates_are_told_from_profiles_that_never_meet() {
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY);
    let before = valid(profile(1, Purpose::TxDefault, 0, &[(0, watts(1_000))]), None, Some(MONDAY));
    set(&mut profiles, 1, before);
    let after = valid(profile(2, Purpose::TxDefault, 0, &[(0, watts(2_000))]), Some(MONDAY), None);
    set(&mut profiles, 1, after);
    set(&mut profiles, 2, profile(3, Purpose::TxDefault, 0, &[(0, watts(3_000))]));
    let everywhere = profile(4, Purpose::TxDefault, 0, &[(0, watts(4_000))]);
    assert!(matches!(profiles.install(Edition::V201, 0, everywhere, MONDAY), Err(Rejection::Duplicate(_))));
    set(&mut profiles, 0, profile(5, Purpose::TxDefault, 1, &[(0, watts(5_000))]));
    let own = profile(6, Purpose::TxDefault, 1, &[(0, watts(6_000))]);
    assert_eq!(profiles.install(Edition::V201, 2, own, MONDAY), Err(Rejection::Duplicate(5)));
    set(&mut profiles, 1, valid(profile(8, Purpose::Tx, 0, &[(0, watts(8_000))]), None, Some(MONDAY)));
    let again = valid(profile(9, Purpose::Tx, 0, &[(0, watts(9_000))]), Some(MONDAY), None);
    assert_eq!(profiles.install(Edition::V201, 1, again, MONDAY), Err(Rejection::Duplicate(8)));
}

#[test]
fn an_id_of_an_external_constraint_is_not_the_csmss_to_use() {
    let mut profiles = station();
    profiles.constrain(0, LimitSource::Ems, Some(watts(1_000)), MONDAY).unwrap();
    let id = profiles.report(&Query::default(), 1)[0].profiles[0].id;
    let theft = profile(id, Purpose::StationMax, 0, &[(0, watts(99_000))]);
    let result = profiles.install(Edition::V201, 0, theft, MONDAY);
    assert_eq!(result, Err(Rejection::IdOfExternalConstraint(id)));
}

#[test]
fn three_schedules_come_with_a_tx_profile_of_2_0_1_and_the_first_rules() {
    let three: Change = |p| {
        for id in 2..=3 {
            let mut other = p.schedules[0].clone();
            other.id = id;
            other.periods[0].limit = watts(1);
            p.schedules.push(other);
        }
    };
    assert_eq!(judged(Edition::V201, 1, Purpose::Tx, three), Ok(()));
    assert_eq!(judged(Edition::V16, 1, Purpose::Tx, three), Err(Rejection::Schedules(3)));
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY);
    let mut offer = profile(1, Purpose::Tx, 0, &[(0, watts(10_000))]);
    three(&mut offer);
    set(&mut profiles, 1, offer);
    assert_eq!(evse1(&profiles, MONDAY), Some(10_000));
}

#[test]
fn what_is_no_rate_is_no_limit() {
    for bad in [f64::NAN, f64::INFINITY, -0.1, 1e9 + 1.0] {
        assert!(Rate::new(bad, RateUnit::Watts).is_err(), "{bad}");
    }
    assert_eq!(Rate::new(16.1, RateUnit::Amperes).unwrap().reported(), 16.1);
}

#[test]
fn reason_codes_fit_their_field() {
    let all = [
        Rejection::UnknownEvse(1),
        Rejection::NotAtAnEvse(Purpose::Tx),
        Rejection::StackLevel(1, 0),
        Rejection::NoTransactionId,
        Rejection::NoTransaction(1),
        Rejection::OtherTransaction(1),
        Rejection::NeverValid,
        Rejection::Periods(0, 0),
        Rejection::PhaseToUse,
        Rejection::Duplicate(1),
        Rejection::Full(1),
        Rejection::PeriodOrder,
    ];
    assert!(all.iter().all(|rejection| rejection.reason_code().len() <= 20));
}
