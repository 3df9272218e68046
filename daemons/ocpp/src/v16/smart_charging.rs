//! Charging profiles of 1.6 (3.13, 5.5, 5.7, 5.16).

use super::*;
use crate::dialect::Handled;
use crate::profiles::{
    ChargingProfile, ChargingSchedule, Clear, Edition, Kind, Period, Purpose, Rate, RateUnit, Recurrence,
    Rejection, UnixSeconds,
};
use crate::uplink::Record;

pub(super) fn set(core: &mut Core, now: Now, asked: &SetChargingProfileRequest) -> Handled {
    let Some((evse, now)) = connector(asked.connector_id).zip(core.profile_time(now)) else {
        return rejected("SetChargingProfile", "no such connector, or no time of day yet");
    };
    core.name_transactions();
    let result = profile(&same(&asked.cs_charging_profiles))
        .and_then(|profile| core.charging.profiles.install(Edition::V16, evse, profile, now).map_err(words));
    match result {
        Ok(()) => Handled { store: vec![core.charging.changed()], ..Handled::status("Accepted") },
        Err(why) => rejected("SetChargingProfile", &why),
    }
}

/// Keeps the profile of a RemoteStartTransaction for its transaction.
pub(super) fn prepare(
    core: &mut Core,
    evse: Option<u32>,
    remote_start: i64,
    asked: &common::ChargingProfile,
) -> Result<Record, String> {
    let evse = evse.ok_or("a charging profile needs a connector")?;
    let profile = profile(asked)?;
    core.charging.profiles.prepare(Edition::V16, evse, Some(remote_start), profile).map_err(words)?;
    Ok(core.charging.changed())
}

pub(super) fn clear(core: &mut Core, asked: &ClearChargingProfileRequest) -> Handled {
    let evse = match asked.connector_id {
        None => None,
        Some(number) => match connector(number) {
            Some(evse) => Some(evse),
            None => return Handled::status("Unknown"),
        },
    };
    let numbers = (asked.id.map(i32::try_from).transpose(), asked.stack_level.map(i32::try_from).transpose());
    let (Ok(id), Ok(stack_level)) = numbers else { return Handled::status("Unknown") };
    let purpose = asked.charging_profile_purpose.as_ref().map(|purpose| match purpose {
        common::ChargingProfilePurpose::ChargePointMaxProfile => Purpose::StationMax,
        common::ChargingProfilePurpose::TxDefaultProfile => Purpose::TxDefault,
        common::ChargingProfilePurpose::TxProfile => Purpose::Tx,
    });
    if core.charging.profiles.clear(&Clear { id, evse, purpose, stack_level }) == 0 {
        return Handled::status("Unknown");
    }
    Handled { store: vec![core.charging.changed()], ..Handled::status("Accepted") }
}

pub(super) fn composite(core: &Core, now: Now, asked: &GetCompositeScheduleRequest) -> Handled {
    let unit = match &asked.charging_rate_unit {
        Some(common::ChargingRateUnit::A) => RateUnit::Amperes,
        Some(common::ChargingRateUnit::W) | None => RateUnit::Watts,
    };
    let Some((evse, now)) = connector(asked.connector_id).zip(core.profile_time(now)) else {
        return rejected("GetCompositeSchedule", "no such connector, or no time of day yet");
    };
    let composite = match core.charging.profiles.composite(Edition::V16, evse, now, asked.duration, unit) {
        Ok(composite) => composite,
        Err(rejection) => return rejected("GetCompositeSchedule", &rejection.to_string()),
    };
    let periods: Vec<Value> = composite
        .periods
        .iter()
        .map(|(start, rate)| {
            let mut period = json!({ "startPeriod": start, "limit": rate.reported() });
            if let Some(phases) = rate.phases {
                period["numberPhases"] = phases.into();
            }
            period
        })
        .collect();
    let start = rfc3339(composite.start.0.saturating_mul(1_000_000));
    Handled::now(json!({
        "status": "Accepted",
        "connectorId": evse,
        "scheduleStart": start,
        "chargingSchedule": {
            "duration": composite.duration_s,
            "startSchedule": start,
            "chargingRateUnit": unit.letter(),
            "chargingSchedulePeriod": periods,
        },
    }))
}

fn rejected(action: &str, why: &str) -> Handled {
    // 1.6 has no field for the reason.
    tracing::warn!(action, why, "the CSMS asks for what cannot be");
    Handled::status("Rejected")
}

fn words(rejection: Rejection) -> String {
    rejection.to_string()
}

fn connector(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn number(value: i64, what: &str) -> Result<i32, String> {
    i32::try_from(value).map_err(|_| format!("{what} {value} is no number of 32 bits"))
}

/// `ocpp-types` has two types of the same fields.
fn same(written: &common::CsChargingProfiles) -> common::ChargingProfile {
    let written = written.clone();
    common::ChargingProfile {
        charging_profile_id: written.charging_profile_id,
        charging_profile_kind: written.charging_profile_kind,
        charging_profile_purpose: written.charging_profile_purpose,
        charging_schedule: written.charging_schedule,
        recurrency_kind: written.recurrency_kind,
        stack_level: written.stack_level,
        transaction_id: written.transaction_id,
        valid_from: written.valid_from,
        valid_to: written.valid_to,
    }
}

fn profile(written: &common::ChargingProfile) -> Result<ChargingProfile, String> {
    let schedule = &written.charging_schedule;
    let unit = match schedule.charging_rate_unit {
        common::ChargingRateUnit::A => RateUnit::Amperes,
        common::ChargingRateUnit::W => RateUnit::Watts,
    };
    let rate = |value: f64| Rate::new(value, unit).map_err(|error| error.to_string());
    let periods = schedule.charging_schedule_period.iter().map(|period| {
        let phases = period.number_phases.map(|phases| number(phases, "numberPhases")).transpose()?;
        Ok(Period {
            start_s: number(period.start_period, "startPeriod")?,
            limit: rate(period.limit)?.on_phases(phases),
            phase_to_use: None,
        })
    });
    let schedule = ChargingSchedule {
        id: 0,
        start: schedule.start_schedule.as_ref().map(|time| UnixSeconds(time.unix_seconds())),
        duration_s: schedule.duration.map(|duration| number(duration, "duration")).transpose()?,
        unit,
        tariff: None,
        min_charging_rate: schedule.min_charging_rate.map(rate).transpose()?,
        periods: periods.collect::<Result<_, String>>()?,
    };
    Ok(ChargingProfile {
        id: number(written.charging_profile_id, "chargingProfileId")?,
        stack_level: number(written.stack_level, "stackLevel")?,
        purpose: match written.charging_profile_purpose {
            common::ChargingProfilePurpose::ChargePointMaxProfile => Purpose::StationMax,
            common::ChargingProfilePurpose::TxDefaultProfile => Purpose::TxDefault,
            common::ChargingProfilePurpose::TxProfile => Purpose::Tx,
        },
        kind: match written.charging_profile_kind {
            common::ChargingProfileKind::Absolute => Kind::Absolute,
            common::ChargingProfileKind::Recurring => Kind::Recurring,
            common::ChargingProfileKind::Relative => Kind::Relative,
        },
        recurrence: written.recurrency_kind.as_ref().map(|kind| match kind {
            common::RecurrencyKind::Daily => Recurrence::Daily,
            common::RecurrencyKind::Weekly => Recurrence::Weekly,
        }),
        valid_from: written.valid_from.as_ref().map(|time| UnixSeconds(time.unix_seconds())),
        valid_to: written.valid_to.as_ref().map(|time| UnixSeconds(time.unix_seconds())),
        transaction_id: written.transaction_id.map(|id| id.to_string()),
        schedules: vec![schedule],
    })
}
