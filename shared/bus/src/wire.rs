//! The structs that cross the bus. A measurement ends in the `CLOCK_BOOTTIME` microsecond at
//! which the device measured it. Quantities are SI doubles, unchecked: read them through
//! `voltry_units`.

mod device;
mod link;
mod sim;
mod station;

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

pub use device::*;
pub use link::*;
pub use sim::*;
pub use station::*;

/// A fault that is present or latched. Doubles as a property's element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct Fault {
    /// The industry's code where one fits (MREC list), as `MREC8EmergencyStop`.
    pub code: String,
    /// What was measured, and against which limit, in words.
    pub cause: String,
    /// When, CLOCK_BOOTTIME microseconds.
    pub at: u64,
}
