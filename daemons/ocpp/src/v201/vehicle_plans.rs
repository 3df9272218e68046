//! What vehicles need and plan, as 2.0.1 is told (K15 to K17).

use serde_json::{Value, json};
use voltry_bus::ScheduleRequest;

use super::tariff::watts;
use crate::time::{Now, rfc3339};
use crate::uplink::Core;

/// A NotifyEVChargingNeeds.
pub(super) fn needs(core: &Core, now: Now, evse: u32, wanted: &ScheduleRequest) -> (&'static str, Value) {
    let mut dc =
        json!({ "evMaxCurrent": whole(wanted.current_max), "evMaxVoltage": whole(wanted.voltage_max) });
    let said = [
        ("energyAmount", wanted.energy, 0.0, f64::MAX),
        ("evEnergyCapacity", wanted.energy_capacity, 1.0, f64::MAX),
        ("evMaxPower", wanted.power_max, 1.0, f64::MAX),
        ("stateOfCharge", wanted.soc, 0.0, 100.0),
        ("fullSoC", wanted.soc_target, 0.0, 100.0),
    ];
    for (field, value, least, most) in said {
        if (least..=most).contains(&value) {
            dc[field] = whole(value).into();
        }
    }
    let mut needs = json!({ "requestedEnergyTransfer": "DC", "dcChargingParameters": dc });
    if wanted.departure_at > 0 {
        let left = i64::try_from(wanted.departure_at.saturating_sub(now.at.as_micros())).unwrap_or(0);
        needs["departureTime"] = rfc3339(core.clock.now(now).saturating_add(left)).into();
    }
    let mut payload = json!({ "evseId": evse, "chargingNeeds": needs });
    if wanted.entries_max > 0 {
        payload["maxScheduleTuples"] = wanted.entries_max.into();
    }
    ("NotifyEVChargingNeeds", payload)
}

/// What of a physical value a whole number tells.
fn whole(value: f64) -> i64 {
    // A vehicle's values are far from where this saturates.
    #[allow(clippy::cast_possible_truncation)]
    let whole = value.clamp(0.0, 1e9).round() as i64;
    whole
}

/// Whether the CSMS will send a profile for what it was told, and whether while the vehicle waits.
pub(crate) fn takes_needs(payload: &str) -> (bool, bool) {
    let answer: Value = serde_json::from_str(payload).unwrap_or_default();
    let soon = answer["status"] == "Accepted";
    (soon || answer["status"] == "Processing", soon)
}

/// A NotifyEVChargingSchedule: from `unix` on the vehicle takes so many milliwatts from each of these seconds
/// on.
pub(crate) fn charging_schedule(unix: i64, evse: u32, schedule: i32, plan: &[(u32, i64)]) -> Value {
    let periods = plan.iter().map(|(start, power)| json!({ "startPeriod": start, "limit": watts(*power) }));
    json!({
        "timeBase": rfc3339(unix),
        "evseId": evse,
        "chargingSchedule": {
            "id": schedule,
            "startSchedule": rfc3339(unix),
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": periods.collect::<Vec<_>>(),
        },
    })
}
