//! Charging profiles of 2.0.1 (part 2, K).

use super::requests::rejected;
use super::*;
use crate::dialect::{Handled, Then};
use crate::profiles::{
    ChargingProfile, ChargingSchedule, Clear, Edition, Kind, LimitSource, Period, Purpose, Query, Rate,
    RateUnit, Recurrence, Rejection, UnixSeconds,
};
use crate::uplink::Record;

/// Profiles in one ReportChargingProfiles: of the longest that are accepted, some 20 kB.
const REPORTED_AT_ONCE: usize = 4;

/// Why not: the reason code and words for it.
pub(super) type Why = (&'static str, String);

pub(super) fn set(core: &mut Core, now: Now, asked: &SetChargingProfileRequest) -> Handled {
    let own = matches!(purpose(&asked.charging_profile.charging_profile_purpose), Purpose::Tx);
    match install(core, now, asked) {
        Ok(holds) => {
            // One that waits is offered when its transaction is there.
            let evse = u32::try_from(asked.evse_id).ok().filter(|_| own && holds);
            Handled {
                store: vec![core.charging.changed()],
                then: evse.map(Then::Plan).into_iter().collect(),
                ..Handled::status("Accepted")
            }
        }
        Err((reason, words)) => rejected(reason, &words),
    }
}

/// Whether it holds; else it waits for a transaction that only the CSMS knows of.
fn install(core: &mut Core, now: Now, asked: &SetChargingProfileRequest) -> Result<bool, Why> {
    let evse = evse_number(asked.evse_id)?;
    let now = core.profile_time(now).ok_or_else(no_time)?;
    core.name_transactions();
    let profile = profile(&asked.charging_profile)?;
    // A transaction that began by a cable or a token alone is not in the book yet.
    let known = core.delivery.known().plugged.get(&evse).and_then(|plug| plug.running.as_ref());
    let early = core.charging.profiles.transaction(evse).is_none()
        && profile.purpose == Purpose::Tx
        && profile.transaction_id.is_some()
        && profile.transaction_id.as_ref() == known.map(|running| &running.id);
    if early {
        core.charging.profiles.prepare(Edition::V201, evse, None, profile).map_err(why)?;
    } else {
        core.charging.profiles.install(Edition::V201, evse, profile, now).map_err(why)?;
    }
    Ok(!early)
}

/// Keeps the profile of a RequestStartTransaction for its transaction (K05).
pub(super) fn prepare(
    core: &mut Core,
    evse: Option<u32>,
    remote_start: i64,
    asked: &common::ChargingProfile,
) -> Result<Record, Why> {
    let evse = evse.ok_or(("MissingParam", "a charging profile needs an EVSE".to_owned()))?;
    let profile = profile(asked)?;
    core.charging.profiles.prepare(Edition::V201, evse, Some(remote_start), profile).map_err(why)?;
    Ok(core.charging.changed())
}

pub(super) fn clear(core: &mut Core, asked: &ClearChargingProfileRequest) -> Handled {
    let criteria = asked.charging_profile_criteria.as_ref();
    let what = match (asked.charging_profile_id, criteria) {
        // K10.FR.02: one of them; an empty request is no order to clear everything.
        (None, None) => return unknown("MissingParam", "neither an id nor criteria"),
        (Some(id), _) => i32::try_from(id).ok().map(|id| Clear { id: Some(id), ..Clear::default() }),
        (None, Some(criteria)) => from_criteria(criteria),
    };
    match what.map(|what| core.charging.profiles.clear(&what)) {
        None | Some(0) => unknown("NotFound", "no profile matches"),
        Some(_) => Handled { store: vec![core.charging.changed()], ..Handled::status("Accepted") },
    }
}

fn from_criteria(criteria: &common::ClearChargingProfile) -> Option<Clear> {
    Some(Clear {
        id: None,
        evse: criteria.evse_id.map(u32::try_from).transpose().ok()?,
        purpose: criteria.charging_profile_purpose.as_ref().map(purpose),
        stack_level: criteria.stack_level.map(i32::try_from).transpose().ok()?,
    })
}

fn unknown(reason: &str, words: &str) -> Handled {
    Handled::now(json!({
        "status": "Unknown",
        "statusInfo": { "reasonCode": reason, "additionalInfo": words },
    }))
}

pub(super) fn get(core: &mut Core, asked: &GetChargingProfilesRequest) -> Handled {
    core.name_transactions();
    let criterion = &asked.charging_profile;
    let numbers =
        (asked.evse_id.map(u32::try_from).transpose(), criterion.stack_level.map(i32::try_from).transpose());
    let (Ok(evse), Ok(stack_level)) = numbers else { return Handled::status("NoProfiles") };
    let ids = criterion.charging_profile_id.as_ref();
    let query = Query {
        evse,
        // An id beyond 32 bits is no profile's.
        ids: ids.map(|ids| ids.iter().filter_map(|&id| i32::try_from(id).ok()).collect()),
        purpose: criterion.charging_profile_purpose.as_ref().map(purpose),
        stack_level,
        sources: criterion.charging_limit_source.as_ref().map(|sources| sources.iter().map(source).collect()),
    };
    let reports = core.charging.profiles.report(&query, REPORTED_AT_ONCE);
    let Some(last) = reports.len().checked_sub(1) else { return Handled::status("NoProfiles") };
    let then = reports.iter().enumerate().map(|(place, report)| {
        let profiles: Vec<Value> = report.profiles.iter().map(written).collect();
        let payload = json!({
            "requestId": asked.request_id,
            "chargingLimitSource": report.source.word(),
            "evseId": report.evse,
            "tbc": place != last,
            "chargingProfile": profiles,
        });
        Then::Tell(Notice::Ready("ReportChargingProfiles", payload))
    });
    Handled { then: then.collect(), ..Handled::status("Accepted") }
}

pub(super) fn composite(core: &Core, now: Now, asked: &GetCompositeScheduleRequest) -> Handled {
    let unit = match asked.charging_rate_unit {
        Some(common::ChargingRateUnitEnum::A) => RateUnit::Amperes,
        Some(common::ChargingRateUnitEnum::W) | None => RateUnit::Watts,
    };
    let result = evse_number(asked.evse_id).and_then(|evse| {
        let now = core.profile_time(now).ok_or_else(no_time)?;
        core.charging.profiles.composite(Edition::V201, evse, now, asked.duration, unit).map_err(why)
    });
    let composite = match result {
        Ok(composite) => composite,
        Err((reason, words)) => return rejected(reason, &words),
    };
    let periods: Vec<Value> =
        composite.periods.iter().map(|&(start, rate)| period(start, rate, None)).collect();
    Handled::now(json!({
        "status": "Accepted",
        "schedule": {
            "evseId": composite.evse,
            "duration": composite.duration_s,
            "scheduleStart": time(composite.start),
            "chargingRateUnit": unit.letter(),
            "chargingSchedulePeriod": periods,
        },
    }))
}

/// NotifyChargingLimit or ClearedChargingLimit: what somebody else than the CSMS limits (K11 to K13).
pub(super) fn other_limit(
    core: &Core,
    evse: u32,
    by: LimitSource,
    set: bool,
) -> Option<(&'static str, Value)> {
    let place = (evse != 0).then_some(evse);
    if !set {
        let mut payload = json!({ "chargingLimitSource": by.word() });
        if let Some(evse) = place {
            payload["evseId"] = evse.into();
        }
        return Some(("ClearedChargingLimit", payload));
    }
    let mut payload = json!({ "chargingLimit": { "chargingLimitSource": by.word() } });
    if let Some(evse) = place {
        payload["evseId"] = evse.into();
    }
    if core.variables.is(name::NOTIFY_LIMIT_WITH_SCHEDULES) {
        let query = Query {
            evse: Some(evse),
            purpose: Some(Purpose::StationExternalConstraints),
            sources: Some(vec![by]),
            ..Query::default()
        };
        let report = core.charging.profiles.report(&query, 1).into_iter().next()?;
        let schedules: Vec<Value> = report.profiles[0].schedules.iter().map(schedule_written).collect();
        payload["chargingSchedule"] = schedules.into();
    }
    Some(("NotifyChargingLimit", payload))
}

fn why(rejection: Rejection) -> Why {
    (rejection.reason_code(), rejection.to_string())
}

fn no_time() -> Why {
    ("InternalError", "this station does not know the time of day yet".to_owned())
}

fn evse_number(number: i64) -> Result<u32, Why> {
    u32::try_from(number).map_err(|_| ("UnknownEvse", format!("there is no EVSE {number}")))
}

fn number(value: i64, what: &str) -> Result<i32, Why> {
    i32::try_from(value).map_err(|_| ("ValueOutOfRange", format!("{what} {value} is no number of 32 bits")))
}

fn purpose(purpose: &common::ChargingProfilePurposeEnum) -> Purpose {
    match purpose {
        common::ChargingProfilePurposeEnum::ChargingStationExternalConstraints => {
            Purpose::StationExternalConstraints
        }
        common::ChargingProfilePurposeEnum::ChargingStationMaxProfile => Purpose::StationMax,
        common::ChargingProfilePurposeEnum::TxDefaultProfile => Purpose::TxDefault,
        common::ChargingProfilePurposeEnum::TxProfile => Purpose::Tx,
    }
}

fn source(source: &common::ChargingLimitSourceEnum) -> LimitSource {
    match source {
        common::ChargingLimitSourceEnum::EMS => LimitSource::Ems,
        common::ChargingLimitSourceEnum::Other => LimitSource::Other,
        common::ChargingLimitSourceEnum::SO => LimitSource::So,
        common::ChargingLimitSourceEnum::CSO => LimitSource::Cso,
    }
}

fn profile(written: &common::ChargingProfile) -> Result<ChargingProfile, Why> {
    let schedules = written.charging_schedule.iter().map(schedule);
    Ok(ChargingProfile {
        id: number(written.id, "id")?,
        stack_level: number(written.stack_level, "stackLevel")?,
        purpose: purpose(&written.charging_profile_purpose),
        kind: match written.charging_profile_kind {
            common::ChargingProfileKindEnum::Absolute => Kind::Absolute,
            common::ChargingProfileKindEnum::Recurring => Kind::Recurring,
            common::ChargingProfileKindEnum::Relative => Kind::Relative,
        },
        recurrence: written.recurrency_kind.as_ref().map(|kind| match kind {
            common::RecurrencyKindEnum::Daily => Recurrence::Daily,
            common::RecurrencyKindEnum::Weekly => Recurrence::Weekly,
        }),
        valid_from: written.valid_from.as_ref().map(|time| UnixSeconds(time.unix_seconds())),
        valid_to: written.valid_to.as_ref().map(|time| UnixSeconds(time.unix_seconds())),
        transaction_id: written.transaction_id.as_ref().map(|id| id.as_str().to_owned()),
        schedules: schedules.collect::<Result<_, Why>>()?,
    })
}

fn schedule(written: &common::ChargingSchedule) -> Result<ChargingSchedule, Why> {
    let unit = match written.charging_rate_unit {
        common::ChargingRateUnitEnum::A => RateUnit::Amperes,
        common::ChargingRateUnitEnum::W => RateUnit::Watts,
    };
    let rate = |value: f64| Rate::new(value, unit).map_err(|error| ("InvalidSchedule", error.to_string()));
    let periods = written.charging_schedule_period.iter().map(|period| {
        let phases = period.number_phases.map(|phases| number(phases, "numberPhases")).transpose()?;
        Ok(Period {
            start_s: number(period.start_period, "startPeriod")?,
            limit: rate(period.limit)?.on_phases(phases),
            phase_to_use: period.phase_to_use.map(|phase| number(phase, "phaseToUse")).transpose()?,
        })
    });
    Ok(ChargingSchedule {
        id: number(written.id, "id")?,
        start: written.start_schedule.as_ref().map(|time| UnixSeconds(time.unix_seconds())),
        duration_s: written.duration.map(|duration| number(duration, "duration")).transpose()?,
        unit,
        min_charging_rate: written.min_charging_rate.map(rate).transpose()?,
        tariff: written.sales_tariff.as_ref().map(tariff::read).transpose()?,
        periods: periods.collect::<Result<_, Why>>()?,
    })
}

fn time(time: UnixSeconds) -> String {
    rfc3339(time.0.saturating_mul(1_000_000))
}

/// A ChargingProfileType.
pub(crate) fn written(profile: &ChargingProfile) -> Value {
    let mut written = json!({
        "id": profile.id,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": match profile.purpose {
            Purpose::StationExternalConstraints => "ChargingStationExternalConstraints",
            Purpose::StationMax => "ChargingStationMaxProfile",
            Purpose::TxDefault => "TxDefaultProfile",
            Purpose::Tx => "TxProfile",
        },
        "chargingProfileKind": match profile.kind {
            Kind::Absolute => "Absolute",
            Kind::Recurring => "Recurring",
            Kind::Relative => "Relative",
        },
        "chargingSchedule": profile.schedules.iter().map(schedule_written).collect::<Vec<_>>(),
    });
    if let Some(recurrence) = profile.recurrence {
        written["recurrencyKind"] = match recurrence {
            Recurrence::Daily => "Daily",
            Recurrence::Weekly => "Weekly",
        }
        .into();
    }
    for (field, value) in [("validFrom", profile.valid_from), ("validTo", profile.valid_to)] {
        if let Some(value) = value {
            written[field] = time(value).into();
        }
    }
    if let Some(id) = &profile.transaction_id {
        written["transactionId"] = id.as_str().into();
    }
    written
}

fn schedule_written(schedule: &ChargingSchedule) -> Value {
    let periods = schedule.periods.iter();
    let periods: Vec<Value> =
        periods.map(|one| period(i64::from(one.start_s), one.limit, one.phase_to_use)).collect();
    let mut written = json!({
        "id": schedule.id,
        "chargingRateUnit": schedule.unit.letter(),
        "chargingSchedulePeriod": periods,
    });
    if let Some(start) = schedule.start {
        written["startSchedule"] = time(start).into();
    }
    if let Some(duration) = schedule.duration_s {
        written["duration"] = duration.into();
    }
    if let Some(rate) = schedule.min_charging_rate {
        written["minChargingRate"] = rate.reported().into();
    }
    if let Some(tariff) = &schedule.tariff {
        written["salesTariff"] = tariff::written(tariff);
    }
    written
}

fn period(start_s: i64, limit: Rate, phase_to_use: Option<i32>) -> Value {
    let mut written = json!({ "startPeriod": start_s, "limit": limit.reported() });
    if let Some(phases) = limit.phases {
        written["numberPhases"] = phases.into();
    }
    if let Some(phase) = phase_to_use {
        written["phaseToUse"] = phase.into();
    }
    written
}
