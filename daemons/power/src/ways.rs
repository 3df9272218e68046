//! What the configuration and the family say together of a supply's modules.

use std::time::Duration;

use serde::Deserialize;
use voltry_power_module::{Capability, Family, Range, Request};
use voltry_service::config::quantity;
use voltry_units::{Amps, OutOfRange, Volts, Watts};

/// `[power.supply.N.rating]`: what one module is rated for, by its nameplate.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rating {
    /// Volts.
    #[serde(deserialize_with = "quantity")]
    voltage_min: Volts,
    /// Volts.
    #[serde(deserialize_with = "quantity")]
    voltage_max: Volts,
    /// Amperes.
    #[serde(deserialize_with = "quantity")]
    current_max: Amps,
    /// Watts.
    #[serde(deserialize_with = "quantity")]
    power_max: Watts,
}

impl Rating {
    pub(crate) fn capability(self) -> Capability {
        let Self { voltage_min, voltage_max, current_max, power_max } = self;
        Capability { voltage_min, voltage_max, current_max, power_max }
    }

    pub(crate) fn is_possible(self) -> bool {
        let Self { voltage_min, voltage_max, current_max, power_max } = self;
        voltage_min > Volts::ZERO
            && voltage_min < voltage_max
            && current_max > Amps::ZERO
            && power_max > Watts::ZERO
    }
}

/// `[power.supply.N.discharge]`: what may be taken from a vehicle, all modules together.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discharge {
    /// Volts of the battery below which it is not discharged.
    #[serde(deserialize_with = "quantity")]
    pub voltage_min: Volts,
    /// Amperes.
    #[serde(deserialize_with = "quantity")]
    pub current_max: Amps,
    /// Watts.
    #[serde(deserialize_with = "quantity")]
    pub power_max: Watts,
}

impl Discharge {
    pub(crate) fn is_possible(self) -> bool {
        self.voltage_min > Volts::ZERO && self.current_max > Amps::ZERO && self.power_max > Watts::ZERO
    }
}

/// Which output range modules use that have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeChoice {
    /// Always the high one.
    High,
    /// Always the low one.
    Low,
    /// The modules choose by themselves.
    Automatic,
    /// The low one for set-points that it reaches, else the high one; changed with the output off.
    ByVoltage,
}

impl From<Range> for RangeChoice {
    fn from(range: Range) -> Self {
        match range {
            Range::High => Self::High,
            Range::Low => Self::Low,
            Range::Automatic => Self::Automatic,
        }
    }
}

/// A supply's modules, all alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    pub(crate) family: &'static Family,
    /// What nobody but the configuration or the family's document says.
    pub(crate) rating: Option<Capability>,
    pub(crate) range: Option<RangeChoice>,
    /// The highest voltage of the low range.
    pub(crate) low_range_max: Volts,
    /// How long a module shall wait for its controller, where that can be set.
    pub(crate) silence: Option<Duration>,
    /// The battery's voltage at which discharging ends, where it may be discharged.
    pub(crate) cut_off: Option<Volts>,
}

/// The lowest of each figure, and the highest of the least voltage.
pub(crate) fn narrower(one: Capability, other: Capability) -> Capability {
    Capability {
        voltage_min: one.voltage_min.max(other.voltage_min),
        voltage_max: one.voltage_max.min(other.voltage_max),
        current_max: one.current_max.min(other.current_max),
        power_max: one.power_max.min(other.power_max),
    }
}

impl Ways {
    /// The range for a set-point of `voltage`; `active` is kept where it reaches, for changing
    /// takes seconds without output.
    pub(crate) fn range_for(&self, voltage: Volts, active: Option<Range>) -> Option<Range> {
        Some(match self.range? {
            RangeChoice::High => Range::High,
            RangeChoice::Low => Range::Low,
            RangeChoice::Automatic => Range::Automatic,
            RangeChoice::ByVoltage if voltage > self.low_range_max => Range::High,
            RangeChoice::ByVoltage => active.unwrap_or(Range::High),
        })
    }

    /// The range for an output that is off and shall have `voltage`.
    pub(crate) fn range_at_start(&self, voltage: Volts) -> Option<Range> {
        match self.range? {
            RangeChoice::ByVoltage if voltage <= self.low_range_max => Some(Range::Low),
            RangeChoice::ByVoltage => Some(Range::High),
            RangeChoice::High | RangeChoice::Low | RangeChoice::Automatic => self.range_for(voltage, None),
        }
    }

    /// The highest voltage that the configured range allows.
    pub(crate) fn voltage_max(&self, rated: Volts) -> Volts {
        if self.range == Some(RangeChoice::Low) { rated.min(self.low_range_max) } else { rated }
    }

    pub(crate) fn can(&self, request: Request) -> bool {
        self.family.supports(request)
    }
}

/// For a limit that serde reads where it is present.
pub(crate) fn limit<'de, D, Q>(deserializer: D) -> Result<Option<Q>, D::Error>
where
    D: serde::Deserializer<'de>,
    Q: TryFrom<f64, Error = OutOfRange>,
{
    quantity(deserializer).map(Some)
}
