//! What holds for any profiles whatever.

use proptest::prelude::*;

use super::*;

/// How many seconds these tests look at, one by one, with `naive`, which knows nothing of how the
/// profiles are kept.
const SPAN: i64 = 400;

fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        (0..300_i64).prop_map(|kilowatts| watts(kilowatts * 1000)),
        (0..400_i64, prop::option::of(1..=3_i32)).prop_map(|(a, phases)| amperes(a).on_phases(phases)),
    ]
}

fn any_profile() -> impl Strategy<Value = (u32, ChargingProfile)> {
    let shape = (0..3_u32, 0..40_i32, 0..=8_i32, 0..3_usize, 0..4_usize);
    let periods = prop::collection::vec((1..80_i32, rate()), 1..6);
    let times = (
        -200..200_i64,
        prop::option::of(0..300_i32),
        prop::option::of(-100..SPAN),
        prop::option::of(0..SPAN),
    );
    (shape, periods, times, any::<bool>()).prop_map(
        |((evse, id, stack_level, purpose, kind), steps, times, amps)| {
            let purpose = [Purpose::StationMax, Purpose::TxDefault, Purpose::Tx][purpose];
            let unit = if amps { RateUnit::Amperes } else { RateUnit::Watts };
            let mut start_s = 0;
            let mut periods = Vec::new();
            for (step, rate) in steps {
                let limit = Rate::from_milli(rate.as_milli(), unit).on_phases(rate.phases);
                periods.push(Period { start_s, limit, phase_to_use: None });
                start_s += step;
            }
            let (start, duration_s, from, to) = times;
            let mut result = profile(id, purpose, stack_level, &[]);
            // Days of 86,400 s are too long to look at each second of: the weeks and days that matter
            // here begin shortly before and within the span.
            let (kind, recurrence, first) = match kind {
                0 => (Kind::Absolute, None, Some(start)),
                1 => (Kind::Recurring, Some(Recurrence::Daily), Some(start - 3 * DAY)),
                2 => (Kind::Recurring, Some(Recurrence::Weekly), Some(start - 7 * DAY)),
                _ => (Kind::Relative, None, None),
            };
            (result.kind, result.recurrence) = (kind, recurrence);
            result.valid_from = from.map(|from| MONDAY.plus(from));
            result.valid_to = to.map(|to| MONDAY.plus(to));
            result.schedules[0] = ChargingSchedule {
                id: 1,
                start: first.map(|first| MONDAY.plus(first)),
                duration_s,
                unit,
                min_charging_rate: None,
                tariff: None,
                periods,
            };
            (evse, result)
        },
    )
}

/// Those of the profiles that are accepted, on a station where T1 runs on EVSE 1.
fn installed(
    edition: Edition,
    candidates: &[(u32, ChargingProfile)],
    external: Option<Rate>,
) -> (ChargingProfiles, Vec<(u32, ChargingProfile)>) {
    let mut profiles = station();
    start(&mut profiles, 1, MONDAY.plus(-50));
    profiles.constrain(2, LimitSource::Ems, external, MONDAY.plus(-1000)).unwrap();
    for (evse, candidate) in candidates {
        // Most random places are wrong; put each where it may stand.
        let evse = match candidate.purpose {
            Purpose::StationMax | Purpose::StationExternalConstraints => 0,
            Purpose::Tx => 1,
            Purpose::TxDefault => *evse,
        };
        let _ = profiles.install(edition, evse, candidate.clone(), MONDAY);
    }
    let list = profiles
        .report(&Query { sources: Some(vec![LimitSource::Cso]), ..Query::default() }, 100)
        .into_iter()
        .flat_map(|report| report.profiles.into_iter().map(move |profile| (report.evse, profile)))
        .collect();
    (profiles, list)
}

/// What a profile says at `now`, straight from the specification's sentences.
fn naive(profile: &ChargingProfile, now: i64, started: i64) -> Option<Rate> {
    if profile.valid_from.is_some_and(|from| now < from.0) || profile.valid_to.is_some_and(|to| now >= to.0) {
        return None;
    }
    let schedule = &profile.schedules[0];
    let start = match (profile.kind, profile.recurrence, schedule.start) {
        (Kind::Absolute, _, Some(start)) => start.0,
        (Kind::Recurring, Some(recurrence), Some(start)) => {
            let mut start = start.0;
            while start + recurrence.seconds() <= now {
                start += recurrence.seconds();
            }
            start
        }
        _ => started,
    };
    let offset = now - start;
    if offset < 0 || schedule.duration_s.is_some_and(|duration| offset >= i64::from(duration)) {
        return None;
    }
    schedule
        .periods
        .iter()
        .rev()
        .find(|period| i64::from(period.start_s) <= offset)
        .map(|period| period.limit)
}

fn highest(
    list: &[(u32, ChargingProfile)],
    pick: impl Fn(u32, &ChargingProfile) -> bool,
    now: i64,
    started: i64,
) -> Option<Rate> {
    list.iter()
        .filter(|(evse, profile)| pick(*evse, profile))
        .filter_map(|(_, profile)| naive(profile, now, started).map(|rate| (profile.stack_level, rate)))
        .max_by_key(|(level, _)| *level)
        .map(|(_, rate)| rate)
}

/// The power of a rate in milliwatts, by school arithmetic.
fn power(rate: Rate) -> i64 {
    match rate.unit {
        RateUnit::Watts => rate.as_milli(),
        RateUnit::Amperes => rate.as_milli() * 230 * i64::from(rate.phases.unwrap_or(3)),
    }
}

/// Milliwatts that an EVSE may take, without what is set for the station.
fn evse_power(
    edition: Edition,
    list: &[(u32, ChargingProfile)],
    external: Option<Rate>,
    evse: u32,
    now: i64,
) -> i64 {
    let started = if evse == 1 { MONDAY.0 - 50 } else { MONDAY.0 };
    let tx = highest(list, |at, one| one.purpose == Purpose::Tx && at == evse, now, started);
    let own = highest(list, |at, one| one.purpose == Purpose::TxDefault && at == evse, now, started);
    let all = highest(list, |at, one| one.purpose == Purpose::TxDefault && at == 0, now, started);
    let both =
        highest(list, |at, one| one.purpose == Purpose::TxDefault && (at == 0 || at == evse), now, started);
    let default = if edition == Edition::V16 { own.or(all) } else { both };
    let external = external.filter(|_| evse == 2);
    [tx.or(default), external].into_iter().flatten().map(power).min().unwrap_or(i64::MAX).min(150_000_000)
}

fn station_power(list: &[(u32, ChargingProfile)], now: i64) -> i64 {
    let max = highest(list, |_, one| one.purpose == Purpose::StationMax, now, MONDAY.0);
    max.map_or(i64::MAX, power).min(200_000_000)
}

fn editions() -> impl Strategy<Value = Edition> {
    prop_oneof![Just(Edition::V16), Just(Edition::V201)]
}

proptest! {
    #[test]
    fn the_composite_schedule_is_the_limit_of_every_second(
        edition in editions(),
        candidates in prop::collection::vec(any_profile(), 0..10),
        external in prop::option::of(rate()),
        in_amperes in any::<bool>(),
    ) {
        let (profiles, list) = installed(edition, &candidates, external);
        let unit = if in_amperes { RateUnit::Amperes } else { RateUnit::Watts };
        for evse in 0..=2 {
            let composite = profiles.composite(edition, evse, MONDAY, SPAN, unit).unwrap();
            prop_assert_eq!(composite.duration_s, SPAN);
            prop_assert_eq!(composite.periods[0].0, 0);
            for second in 0..SPAN {
                let now = MONDAY.0 + second;
                let of = |evse| evse_power(edition, &list, external, evse, now);
                let sum = if evse == 0 { of(1) + of(2) } else { of(evse) };
                let expected = sum.min(station_power(&list, now));
                let (_, told) = composite.periods.iter().rfind(|(from, _)| *from <= second).unwrap();
                prop_assert_eq!(told.unit, unit);
                // As the message tells it: one decimal. Rounding is downwards, by less than two
                // decimals' steps of three phases.
                let told = power(Rate::new(told.reported(), unit).unwrap().on_phases(told.phases));
                prop_assert!(told <= expected, "EVSE {evse}, second {second}: {told} > {expected}");
                let step = if in_amperes { 100 * 230 * 3 * 2 } else { 200 };
                prop_assert!(expected - told < step, "EVSE {evse}, second {second}: {told} << {expected}");
            }
        }
    }

    #[test]
    fn limits_change_when_they_say_and_not_before(
        edition in editions(),
        candidates in prop::collection::vec(any_profile(), 0..10),
        offset in 0..SPAN,
    ) {
        let (profiles, list) = installed(edition, &candidates, None);
        let now = MONDAY.plus(offset);
        let limits = profiles.limits(edition, Some(now));
        // Only EVSE 1 runs: at an EVSE without a transaction a start moves along with the time.
        let milliwatts = evse_power(edition, &list, None, 1, now.0);
        let told = limits.evses[0].limit.map_or(150_000_000, |limit| limit.as_milli().min(150_000_000));
        prop_assert_eq!(told, milliwatts);
        prop_assert!(limits.until.is_none_or(|until| until > now));
        let last = limits.until.map_or(SPAN, |until| until.since(MONDAY)).min(SPAN);
        for second in offset..last {
            let later = profiles.limits(edition, Some(MONDAY.plus(second)));
            prop_assert_eq!((&later.station, &later.evses), (&limits.station, &limits.evses));
        }
    }

    #[test]
    fn no_installed_purpose_is_ever_exceeded(
        candidates in prop::collection::vec(any_profile(), 1..10),
        offset in 0..SPAN,
    ) {
        let (profiles, list) = installed(Edition::V201, &candidates, None);
        let now = MONDAY.plus(offset);
        let whole = profiles.composite(Edition::V201, 0, now, 0, RateUnit::Watts).unwrap().periods[0].1;
        prop_assert!(power(whole) <= station_power(&list, now.0));
        for evse in 1..=2 {
            let one = profiles.composite(Edition::V201, evse, now, 0, RateUnit::Watts).unwrap().periods[0].1;
            prop_assert!(power(one) <= station_power(&list, now.0));
            prop_assert!(power(one) <= power(whole));
        }
    }

    #[test]
    fn any_numbers_at_all_are_judged_without_a_panic(
        numbers in prop::collection::vec(any::<i32>(), 12),
        times in prop::collection::vec(any::<i64>(), 5),
        kind in 0..3_usize,
        edition in editions(),
    ) {
        let mut profiles = station();
        let mut wild = profile(numbers[0], Purpose::TxDefault, 0, &[(0, watts(1)), (numbers[1], watts(2))]);
        wild.kind = [Kind::Absolute, Kind::Recurring, Kind::Relative][kind];
        wild.recurrence = Some(Recurrence::Daily);
        wild.schedules[0].duration_s = Some(numbers[2]);
        wild.schedules[0].start = Some(UnixSeconds(times[0]));
        wild.valid_from = Some(UnixSeconds(times[1]));
        wild.valid_to = Some(UnixSeconds(times[2]));
        let _ = profiles.install(edition, 1, wild, UnixSeconds(times[3]));
        let now = UnixSeconds(times[4]);
        let _ = profiles.limits(edition, Some(now));
        let _ = profiles.composite(edition, 0, now, i64::from(numbers[3].max(0)), RateUnit::Amperes);
        profiles.clock_moved(times[0]);
        let _ = profiles.limits(edition, Some(now));
    }
}

/// The worst that can be installed and asked for: what it costs is bounded whatever is sent.
#[test]
fn the_worst_accepted_profiles_cost_a_bounded_number_of_steps() {
    let rules = Rules { evses: 8, ..Rules::default() };
    let supply = Supply { amperes: Amperes::Grid { phase_to_neutral_mv: 230_000 }, phases: 3 };
    let mut profiles = ChargingProfiles::new(rules.clone(), supply, &[watts(1_000_000)], Stored::default());
    let count = i32::try_from(rules.max_profiles).unwrap();
    for id in 0..count {
        let level = id % (rules.max_stack_level + 1);
        let count = i32::try_from(rules.max_periods).unwrap();
        let periods: Vec<(i32, Rate)> = (0..count)
            .map(|n| (n * 7 + i32::from(n > 0) * (id % 7), amperes(1 + i64::from((id + n) % 9))))
            .collect();
        let evse = u32::try_from(id / (rules.max_stack_level + 1)).unwrap();
        let daily = recurring(profile(id, Purpose::TxDefault, level, &periods), Recurrence::Daily);
        profiles.install(Edition::V16, evse, daily, MONDAY).unwrap();
    }
    assert_eq!(profiles.len(), rules.max_profiles);
    let composite =
        profiles.composite(Edition::V16, 0, MONDAY, i64::from(i32::MAX), RateUnit::Watts).unwrap();
    assert!(composite.periods.len() <= composite::MAX_PERIODS);
    assert!(composite.duration_s < i64::from(i32::MAX), "it is cut and says so");
}
