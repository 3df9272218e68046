//! Clearing and reporting by criteria.

use super::*;

/// Ids 1 to 4: the station's maximum, defaults of EVSE 0 and 1, a TxProfile; and an external limit.
fn filled() -> ChargingProfiles {
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY);
    set(&mut profiles, 0, profile(1, Purpose::StationMax, 0, &[(0, watts(1_000))]));
    set(&mut profiles, 0, profile(2, Purpose::TxDefault, 1, &[(0, watts(2_000))]));
    set(&mut profiles, 1, profile(3, Purpose::TxDefault, 0, &[(0, watts(3_000))]));
    set(&mut profiles, 1, profile(4, Purpose::Tx, 1, &[(0, watts(4_000))]));
    profiles.constrain(0, LimitSource::Ems, Some(watts(9_000)), MONDAY).unwrap();
    profiles
}

fn ids(profiles: &ChargingProfiles, query: &Query) -> Vec<i32> {
    profiles.report(query, 10).iter().flat_map(|report| &report.profiles).map(|profile| profile.id).collect()
}

#[test]
fn only_what_matches_everything_given_is_cleared() {
    let left = |what: Clear| {
        let mut profiles = filled();
        let count = profiles.clear(&what);
        let left = ids(&profiles, &Query { sources: Some(vec![LimitSource::Cso]), ..Query::default() });
        assert_eq!(left.len(), 4 - count);
        left
    };
    assert_eq!(left(Clear { id: Some(3), ..Clear::default() }), [1, 2, 4]);
    assert_eq!(
        left(Clear { id: Some(3), evse: Some(0), ..Clear::default() }),
        [1, 2, 4],
        "the id decides alone"
    );
    assert_eq!(left(Clear { evse: Some(0), ..Clear::default() }), [3, 4], "0 is the station, not everything");
    assert_eq!(left(Clear { purpose: Some(Purpose::TxDefault), ..Clear::default() }), [1, 4]);
    assert_eq!(left(Clear { stack_level: Some(1), ..Clear::default() }), [1, 3]);
    assert_eq!(left(Clear { stack_level: Some(1), evse: Some(1), ..Clear::default() }), [1, 2, 3]);
    assert_eq!(left(Clear { id: Some(99), ..Clear::default() }), [1, 2, 3, 4]);
    assert_eq!(left(Clear::default()), [0; 0]);
}

#[test]
fn a_limit_from_elsewhere_is_not_the_csmss_to_clear() {
    let mut profiles = filled();
    profiles.clear(&Clear::default());
    assert_eq!(profiles.clear(&Clear { evse: Some(0), ..Clear::default() }), 0);
    assert_eq!(schedule(&profiles, 1, MONDAY, HOUR), [(0, 9_000)]);
}

#[test]
fn a_report_holds_profiles_of_one_evse_and_one_source() {
    let reports = filled().report(&Query::default(), 10);
    let heads: Vec<_> =
        reports.iter().map(|report| (report.evse, report.source, report.profiles.len())).collect();
    assert_eq!(heads, [(0, LimitSource::Ems, 1), (0, LimitSource::Cso, 2), (1, LimitSource::Cso, 2)]);
    assert_eq!(filled().report(&Query::default(), 1).len(), 5, "no message holds more than is allowed");
}

#[test]
fn only_what_matches_everything_asked_for_is_reported() {
    let profiles = filled();
    let found = |query: Query| ids(&profiles, &query);
    assert_eq!(found(Query { evse: Some(1), ..Query::default() }), [3, 4]);
    assert_eq!(found(Query { ids: Some(vec![4, 1, 77]), ..Query::default() }), [1, 4]);
    assert_eq!(
        found(Query { purpose: Some(Purpose::TxDefault), stack_level: Some(1), ..Query::default() }),
        [2]
    );
    assert_eq!(found(Query { sources: Some(vec![LimitSource::So]), ..Query::default() }), [0; 0]);
}

#[test]
fn a_profile_is_reported_as_it_was_sent() {
    let mut profiles = station();
    let mut sent = recurring(
        lasting(profile(5, Purpose::TxDefault, 2, &[(0, amperes(6)), (60, amperes(0))]), 600),
        Recurrence::Weekly,
    );
    sent.schedules[0].min_charging_rate = Some(amperes(6));
    sent = valid(sent, Some(MONDAY), Some(MONDAY.plus(DAY)));
    set(&mut profiles, 2, sent.clone());
    assert_eq!(profiles.report(&Query::default(), 1)[0].profiles, [sent]);
}
