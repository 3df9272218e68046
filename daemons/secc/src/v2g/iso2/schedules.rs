//! SAScheduleList as it is told, and what a vehicle makes of it.

use iso15118::iso2;

use super::super::contract::tariff_signature;
use super::super::physical::{self, meant};
use crate::message::{ConsumptionCost, CostKind, Offer, Plan, PowerPoint, Schedule, Tariff};

/// SAScheduleList with the signature of its tariffs. Under a contract a tariff goes with a signature
/// of the vehicle's mobility operator, or not at all; who pays otherwise gets it without.
pub(super) fn list(offer: &Offer, contract: bool) -> (iso2::SAScheduleList, Option<iso2::Signature>) {
    let signature = offer.signature.as_ref().filter(|_| contract);
    let mut sa_schedule_tuple: Vec<_> =
        offer.schedules.iter().map(|schedule| tuple(schedule, !contract || signature.is_some())).collect();
    let signature = signature.and_then(|value| {
        let tariffs = sa_schedule_tuple.iter_mut().filter_map(|tuple| tuple.sales_tariff.as_mut());
        let named = tariffs.zip(1..).map(|(tariff, number)| {
            let id = format!("tariff{number}");
            tariff.id = Some(id.clone());
            Some((id, tariff.to_fragment().ok()?))
        });
        tariff_signature(&named.collect::<Option<Vec<_>>>()?, value)
    });
    (iso2::SAScheduleList { sa_schedule_tuple }, signature)
}

fn tuple(schedule: &Schedule, with_tariff: bool) -> iso2::SAScheduleTuple {
    let last = schedule.points.len().saturating_sub(1);
    let entry = |(place, point): (usize, &PowerPoint)| iso2::PMaxScheduleEntry {
        choice: iso2::PMaxScheduleEntryChoice::RelativeTimeInterval(iso2::RelativeTimeInterval {
            start: point.start,
            // Each goes on to the next.
            duration: (place == last).then(|| schedule.duration.saturating_sub(point.start)),
        }),
        p_max: physical::limit(point.power.as_milli(), iso2::UnitSymbol::W),
    };
    iso2::SAScheduleTuple {
        sa_schedule_tuple_id: schedule.id,
        p_max_schedule: iso2::PMaxSchedule {
            p_max_schedule_entry: schedule.points.iter().enumerate().map(entry).collect(),
        },
        sales_tariff: schedule.tariff.as_ref().filter(|_| with_tariff).map(sales_tariff),
    }
}

fn sales_tariff(tariff: &Tariff) -> iso2::SalesTariff {
    let entry = |entry: &crate::message::TariffEntry| iso2::SalesTariffEntry {
        choice: iso2::SalesTariffEntryChoice::RelativeTimeInterval(iso2::RelativeTimeInterval {
            start: entry.start,
            duration: entry.duration,
        }),
        e_price_level: entry.price_level,
        consumption_cost: entry.costs.iter().map(consumption_cost).collect(),
    };
    iso2::SalesTariff {
        id: None,
        sales_tariff_id: tariff.id,
        sales_tariff_description: tariff.description.clone(),
        num_e_price_levels: tariff.price_levels,
        sales_tariff_entry: tariff.entries.iter().map(entry).collect(),
    }
}

fn consumption_cost(cost: &ConsumptionCost) -> iso2::ConsumptionCost {
    let one = |cost: &crate::message::Cost| iso2::Cost {
        cost_kind: match cost.kind {
            CostKind::CarbonDioxideEmission => iso2::CostKind::CarbonDioxideEmission,
            CostKind::RelativePricePercentage => iso2::CostKind::RelativePricePercentage,
            CostKind::RenewableGenerationPercentage => iso2::CostKind::RenewableGenerationPercentage,
        },
        amount: cost.amount,
        amount_multiplier: (cost.multiplier != 0).then_some(cost.multiplier),
    };
    iso2::ConsumptionCost {
        start_value: physical::limit(cost.start_value.as_milli(), iso2::UnitSymbol::W),
        cost: cost.costs.iter().map(one).collect(),
    }
}

/// Which schedule the vehicle chose, and what it means to take; a negative power is none.
pub(super) fn plan(req: &iso2::PowerDeliveryReq) -> Plan {
    let point = |entry: &iso2::ProfileEntry| PowerPoint {
        start: entry.charging_profile_entry_start,
        power: meant(
            physical::watts(&entry.charging_profile_entry_max_power),
            entry.charging_profile_entry_max_power.value,
        ),
    };
    let entries = req.charging_profile.iter().flat_map(|profile| &profile.profile_entry);
    Plan { schedule: req.sa_schedule_tuple_id.into(), profile: entries.map(point).collect(), end: None }
}
