//! What energy costs over time, as a schedule carries it for the vehicle (2.0.1, SalesTariffType).

use serde::{Deserialize, Serialize};

use super::profile::UnixSeconds;

/// A sales tariff. Its times count from the start of its schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tariff {
    /// SalesTariffID.
    pub id: u8,
    /// At most 32 characters.
    pub description: Option<String>,
    /// How many price levels there are.
    pub price_levels: Option<u8>,
    /// In the order of their start.
    pub entries: Vec<TariffEntry>,
}

/// What energy costs from an instant on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TariffEntry {
    /// Seconds.
    pub start_s: u32,
    /// Seconds; `None`: to the next.
    pub duration_s: Option<u32>,
    /// The price level.
    pub price_level: Option<u8>,
    /// By consumption.
    pub costs: Vec<ConsumptionCost>,
}

/// Costs of what is taken from a power on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumptionCost {
    /// Milliwatts.
    pub from_milliwatts: i64,
    /// The costs.
    pub costs: Vec<Cost>,
}

/// A cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Of what kind.
    pub kind: CostKind,
    /// In its own unit.
    pub amount: u32,
    /// Power of ten, -3 to 3.
    pub multiplier: i8,
}

/// What a cost is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CostKind {
    /// Grams per kWh.
    CarbonDioxideEmission,
    /// Percent of the highest price.
    RelativePricePercentage,
    /// Percent.
    RenewableGenerationPercentage,
}

impl CostKind {
    /// All of them.
    pub const ALL: [Self; 3] =
        [Self::CarbonDioxideEmission, Self::RelativePricePercentage, Self::RenewableGenerationPercentage];

    /// As 2.0.1 writes it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::CarbonDioxideEmission => "CarbonDioxideEmission",
            Self::RelativePricePercentage => "RelativePricePercentage",
            Self::RenewableGenerationPercentage => "RenewableGenerationPercentage",
        }
    }
}

impl Tariff {
    /// The same for somebody who counts from `now`, of a schedule that begins at `start`; `None`: nothing
    /// of it is left, or it begins later.
    pub(super) fn left_at(&self, start: UnixSeconds, now: UnixSeconds) -> Option<Self> {
        let passed = u32::try_from(now.since(start)).ok()?;
        let current = self.entries.iter().rposition(|entry| entry.start_s <= passed)?;
        let entries = self.entries[current..].iter().filter_map(|entry| {
            let early = passed.saturating_sub(entry.start_s);
            let duration_s = match entry.duration_s {
                Some(duration) => Some(duration.checked_sub(early).filter(|left| *left > 0)?),
                None => None,
            };
            Some(TariffEntry { start_s: entry.start_s.saturating_sub(passed), duration_s, ..entry.clone() })
        });
        let entries: Vec<TariffEntry> = entries.collect();
        let begins = entries.first().is_some_and(|entry| entry.start_s == 0);
        begins.then_some(Self { entries, ..self.clone() })
    }
}
