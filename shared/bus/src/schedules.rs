//! The wire types of `ChargingSchedules1`.

use serde::{Deserialize, Serialize};
use zbus::zvariant::Type;

/// A vehicle's request for charging schedules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ScheduleRequest {
    /// What the offer must name.
    pub id: u64,
    /// The protocol's title.
    pub protocol: String,
    /// The station sets the power (ISO 15118-20).
    pub dynamic: bool,
    /// How many points or entries the vehicle takes in each; 0: it did not say.
    pub entries_max: u32,
    /// When it leaves, `CLOCK_BOOTTIME` microseconds; 0: it did not say.
    pub departure_at: u64,
    /// Watt-hours that it wants; below 0: it did not say.
    pub energy: f64,
    /// Watt-hours of its battery; 0: it did not say.
    pub energy_capacity: f64,
    /// EVMaximumVoltageLimit, volts.
    pub voltage_max: f64,
    /// EVMaximumCurrentLimit, amperes.
    pub current_max: f64,
    /// EVMaximumPowerLimit, watts; 0: it did not say.
    pub power_max: f64,
    /// Percent now; below 0: it did not say.
    pub soc: f64,
    /// Percent that it wants; below 0: it did not say.
    pub soc_target: f64,
}

/// The schedules that a vehicle may choose from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ScheduleOffer {
    /// The request that it answers; 0: unasked.
    pub id: u64,
    /// At most three.
    pub schedules: Vec<Schedule>,
    /// The mobility operator's, over the tariffs: r and s. Empty: none.
    pub signature: Vec<u8>,
}

/// One schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Schedule {
    /// SAScheduleTupleID.
    pub id: u8,
    /// What is allowed from when on.
    pub points: Vec<PowerPoint>,
    /// Seconds.
    pub duration: u32,
    /// One, or none.
    pub tariffs: Vec<SalesTariff>,
}

/// So many watts from so many seconds on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct PowerPoint {
    /// Seconds from now.
    pub start: u32,
    /// Watts.
    pub power: f64,
}

/// SalesTariff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct SalesTariff {
    /// SalesTariffID.
    pub id: u8,
    /// At most 32 characters; empty: none.
    pub description: String,
    /// NumEPriceLevels; 0: none.
    pub price_levels: u8,
    /// In the order of their start.
    pub entries: Vec<TariffEntry>,
}

/// SalesTariffEntry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct TariffEntry {
    /// Seconds from now.
    pub start: u32,
    /// Seconds; 0: to the next.
    pub duration: u32,
    /// EPriceLevel; 0: none.
    pub price_level: u8,
    /// At most three.
    pub costs: Vec<ConsumptionCost>,
}

/// ConsumptionCost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ConsumptionCost {
    /// From so many watts on.
    pub start_value: f64,
    /// At most three.
    pub costs: Vec<Cost>,
}

/// Cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Cost {
    /// `carbon-dioxide-emission`, `relative-price-percentage`, `renewable-generation-percentage`.
    pub kind: String,
    /// In its own unit.
    pub amount: u32,
    /// Power of ten, -3 to 3.
    pub multiplier: i16,
}

/// What a vehicle makes of an offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ScheduleChoice {
    /// The offer's; 0 if there was none.
    pub id: u64,
    /// Which of its schedules.
    pub schedule: u32,
    /// What the vehicle means to take; empty: it did not say.
    pub profile: Vec<PowerPoint>,
}
