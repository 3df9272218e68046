//! Sales tariffs of 2.0.1 (K15).

use serde_json::{Value, json};

use super::common;
use super::smart_charging::Why;
use crate::profiles::{ConsumptionCost, Cost, CostKind, Tariff, TariffEntry};

/// Entries of a tariff, as many as a vehicle's message has.
const ENTRIES_MAX: usize = 1024;

fn small<T: TryFrom<i64>>(value: i64, what: &str) -> Result<T, Why> {
    T::try_from(value).map_err(|_| ("ValueOutOfRange", format!("{what} {value}")))
}

/// A SalesTariffType.
pub(super) fn read(written: &common::SalesTariff) -> Result<Tariff, Why> {
    let entries = written.sales_tariff_entry.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let ordered = entries.windows(2).all(|pair| pair[0].start_s < pair[1].start_s);
    if entries.len() > ENTRIES_MAX || !ordered || entries.first().is_none_or(|first| first.start_s != 0) {
        return Err(("InvalidSchedule", "a tariff's entries begin at 0, in order".to_owned()));
    }
    Ok(Tariff {
        id: small(written.id, "salesTariff.id")?,
        description: written.sales_tariff_description.as_ref().map(ToString::to_string),
        price_levels: written.num_e_price_levels.map(|count| small(count, "numEPriceLevels")).transpose()?,
        entries,
    })
}

fn entry(written: &common::SalesTariffEntry) -> Result<TariffEntry, Why> {
    let interval = &written.relative_time_interval;
    let costs = written.consumption_cost.iter().flatten().map(consumption_cost);
    Ok(TariffEntry {
        start_s: small(interval.start, "start")?,
        duration_s: interval.duration.map(|duration| small(duration, "duration")).transpose()?,
        price_level: written.e_price_level.map(|level| small(level, "ePriceLevel")).transpose()?,
        costs: costs.collect::<Result<_, _>>()?,
    })
}

fn consumption_cost(written: &common::ConsumptionCost) -> Result<ConsumptionCost, Why> {
    if !(0.0..=1e9).contains(&written.start_value) {
        return Err(("ValueOutOfRange", format!("startValue {}", written.start_value)));
    }
    let costs = written.cost.iter().map(|cost| {
        let multiplier: i8 = small(cost.amount_multiplier.unwrap_or(0), "amountMultiplier")?;
        if !(-3..=3).contains(&multiplier) {
            return Err(("ValueOutOfRange", format!("amountMultiplier {multiplier}")));
        }
        let kind = match cost.cost_kind {
            common::CostKindEnum::CarbonDioxideEmission => CostKind::CarbonDioxideEmission,
            common::CostKindEnum::RelativePricePercentage => CostKind::RelativePricePercentage,
            common::CostKindEnum::RenewableGenerationPercentage => CostKind::RenewableGenerationPercentage,
        };
        Ok(Cost { kind, amount: small(cost.amount, "amount")?, multiplier })
    });
    Ok(ConsumptionCost {
        // In range by the check above.
        #[allow(clippy::cast_possible_truncation)]
        from_milliwatts: (written.start_value * 1000.0).round() as i64,
        costs: costs.collect::<Result<_, _>>()?,
    })
}

/// The same, to be reported.
pub(super) fn written(tariff: &Tariff) -> Value {
    let cost = |cost: &Cost| json!({ "costKind": cost.kind.word(), "amount": cost.amount, "amountMultiplier": cost.multiplier });
    let consumption = |it: &ConsumptionCost| {
        let costs: Vec<Value> = it.costs.iter().map(cost).collect();
        json!({ "startValue": watts(it.from_milliwatts), "cost": costs })
    };
    let entry = |entry: &TariffEntry| {
        let mut interval = json!({ "start": entry.start_s });
        if let Some(duration) = entry.duration_s {
            interval["duration"] = duration.into();
        }
        let mut written = json!({ "relativeTimeInterval": interval });
        if let Some(level) = entry.price_level {
            written["ePriceLevel"] = level.into();
        }
        if !entry.costs.is_empty() {
            written["consumptionCost"] = entry.costs.iter().map(consumption).collect();
        }
        written
    };
    let entries: Vec<Value> = tariff.entries.iter().map(entry).collect();
    let mut written = json!({ "id": tariff.id, "salesTariffEntry": entries });
    if let Some(description) = &tariff.description {
        written["salesTariffDescription"] = description.as_str().into();
    }
    if let Some(levels) = tariff.price_levels {
        written["numEPriceLevels"] = levels.into();
    }
    written
}

/// With one decimal, which is all that OCPP allows.
pub(super) fn watts(milliwatts: i64) -> f64 {
    (milliwatts.max(0) / 100) as f64 / 10.0
}
