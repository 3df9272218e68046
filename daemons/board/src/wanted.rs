//! What is wanted of a connector's wires, whatever drives them.

use voltry_bus::PilotOutput;

/// The newest counts; it is said again every 100 ms, and who hears nothing for some of those makes safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// How to drive the pilot.
    pub pilot: PilotOutput,
    /// Whether the contactors shall be closed. Only in pilot state C or D they are.
    pub close: bool,
    /// Whether the plug shall be locked; `None` leaves the lock as it is.
    pub lock: Option<bool>,
}

impl Wanted {
    /// Contactors open, pilot at −12 V.
    pub const SAFE: Self = Self { pilot: PilotOutput::F, close: false, lock: None };
}
