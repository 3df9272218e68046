//! Profiles by the rules of both versions.

mod acceptance;
mod criteria;
mod pitfalls;
mod properties;
mod restart;
mod stacking;

use super::*;

/// Monday 2026-06-01, 00:00 UTC.
const MONDAY: UnixSeconds = UnixSeconds(1_780_272_000);
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;

/// Two EVSEs of 150 kW, 200 kW together; 230 V between a phase and neutral.
fn station() -> ChargingProfiles {
    restored(Stored::default())
}

fn restored(stored: Stored) -> ChargingProfiles {
    let rules =
        Rules { evses: 2, max_profiles: 6, max_stack_level: 8, max_periods: 16, phase_switching: false };
    let supply = Supply { amperes: Amperes::Grid { phase_to_neutral_mv: 230_000 }, phases: 3 };
    ChargingProfiles::new(rules, supply, &[watts(200_000), watts(150_000), watts(150_000)], stored)
}

fn watts(watts: i64) -> Rate {
    Rate::from_milli(watts * 1000, RateUnit::Watts)
}

fn amperes(amperes: i64) -> Rate {
    Rate::from_milli(amperes * 1000, RateUnit::Amperes)
}

/// An absolute profile from Monday on: (seconds, limit) each.
fn profile(id: i32, purpose: Purpose, stack_level: i32, periods: &[(i32, Rate)]) -> ChargingProfile {
    let periods: Vec<Period> =
        periods.iter().map(|&(start_s, limit)| Period { start_s, limit, phase_to_use: None }).collect();
    ChargingProfile {
        id,
        stack_level,
        purpose,
        kind: Kind::Absolute,
        recurrence: None,
        valid_from: None,
        valid_to: None,
        transaction_id: (purpose == Purpose::Tx).then(|| "T1".to_owned()),
        schedules: vec![ChargingSchedule {
            id: 1,
            start: Some(MONDAY),
            duration_s: None,
            unit: periods.first().map_or(RateUnit::Watts, |period| period.limit.unit),
            min_charging_rate: None,
            tariff: None,
            periods,
        }],
    }
}

fn lasting(mut profile: ChargingProfile, duration_s: i32) -> ChargingProfile {
    profile.schedules[0].duration_s = Some(duration_s);
    profile
}

fn recurring(mut profile: ChargingProfile, recurrence: Recurrence) -> ChargingProfile {
    profile.kind = Kind::Recurring;
    profile.recurrence = Some(recurrence);
    profile
}

fn relative(mut profile: ChargingProfile) -> ChargingProfile {
    profile.kind = Kind::Relative;
    profile.schedules[0].start = None;
    profile
}

fn valid(
    mut profile: ChargingProfile,
    from: Option<UnixSeconds>,
    to: Option<UnixSeconds>,
) -> ChargingProfile {
    (profile.valid_from, profile.valid_to) = (from, to);
    profile
}

/// Transaction 1, `T1`, has run on `evse` since `started`.
fn start(profiles: &mut ChargingProfiles, evse: u32, started: UnixSeconds) {
    let transaction = Transaction { number: 1, protocol_id: Some("T1".to_owned()), started };
    profiles.transaction_started(evse, transaction);
}

/// Sets a profile by the rules of 2.0.1; it must be accepted.
fn set(profiles: &mut ChargingProfiles, evse: u32, profile: ChargingProfile) {
    profiles.install(Edition::V201, evse, profile, MONDAY).unwrap();
}

/// The watts that EVSE 1 may take, without what limits the station.
fn evse1(profiles: &ChargingProfiles, now: UnixSeconds) -> Option<i64> {
    let limits = profiles.limits(Edition::V201, Some(now));
    limits.evses[0].limit.map(|limit| limit.as_milli() / 1000)
}

/// The composite schedule in watts, as (second, watts).
fn schedule(profiles: &ChargingProfiles, evse: u32, now: UnixSeconds, duration_s: i64) -> Vec<(i64, i64)> {
    let composite = profiles.composite(Edition::V201, evse, now, duration_s, RateUnit::Watts).unwrap();
    composite.periods.iter().map(|&(start, rate)| (start, rate.as_milli() / 1000)).collect()
}
