//! What a vehicle asks and what it is answered, without a protocol's encoding.
//!
//! DIN 70121, ISO 15118-2 and -20 share these; each brings its own codec in [`crate::v2g`].

mod answer;
mod request;
mod schedule;

use serde::{Deserialize, Serialize};

pub use answer::{Answer, Body, Code, Limited, Limits, Metered, Processing, Status};
pub use request::{Chosen, DcParameters, EvLimits, EvStatus, Needs, Progress, Request, Target, Unfit};
pub use schedule::{
    ConsumptionCost, Cost, CostKind, Offer, Plan, PowerPoint, Schedule, Tariff, TariffEntry, UNPLANNED,
    Wanted,
};

/// A protocol that this station speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// DIN SPEC 70121:2014.
    #[serde(rename = "din70121")]
    Din,
    /// ISO 15118-2:2014.
    #[serde(rename = "iso15118-2")]
    Iso2,
    /// ISO 15118-20:2022.
    #[serde(rename = "iso15118-20")]
    Iso20,
}

impl Protocol {
    /// All that this station speaks.
    pub const ALL: [Self; 3] = [Self::Iso20, Self::Iso2, Self::Din];

    /// The standard's title, as `EvLink1` tells it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Din => "DIN SPEC 70121:2014",
            Self::Iso2 => "ISO 15118-2:2014",
            Self::Iso20 => "ISO 15118-20:2022",
        }
    }
}

/// Who sets the power in an ISO 15118-20 session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlMode {
    /// The vehicle, within a schedule that was agreed.
    Scheduled,
    /// The station, within the vehicle's limits.
    Dynamic,
}

impl ControlMode {
    /// Both, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Scheduled, Self::Dynamic];
}

/// Which contacts carry the direct current: EnergyTransferMode of ISO 15118-2, EnergyTransferType of
/// DIN 70121. All of them run the same messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum DcMode {
    /// The core contacts of a plug of IEC 62196.
    #[serde(rename = "DC_core")]
    Core,
    /// The two further contacts of a combo plug.
    #[serde(rename = "DC_extended")]
    Extended,
    /// The core contacts of a combo plug.
    #[serde(rename = "DC_combo_core")]
    ComboCore,
    /// A plug of its own kind.
    #[serde(rename = "DC_unique")]
    Unique,
}

/// An energy transfer of ISO 15118-20 that runs the DC messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// DC, by a combo plug.
    Dc,
    /// The same for vehicles that can feed back.
    DcBpt,
    /// The Megawatt Charging System (amendment 1).
    Mcs,
    /// The same for vehicles that can feed back.
    McsBpt,
}
