//! What is physically true in a simulated station.

use serde::{Deserialize, Serialize};
use zbus::Type;

/// A fault that the simulator can inject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SimFault {
    /// Its name.
    pub name: String,
    /// What breaks.
    pub breaks: String,
    /// What a technician then sees.
    pub seen: String,
}

/// The truth of a simulated circuit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct SimTruth {
    /// Volts on the module side.
    pub module_voltage: f64,
    /// Volts on the cable side.
    pub cable_voltage: f64,
    /// Amperes into the vehicle.
    pub current: f64,
    /// Whether the contactors really are closed.
    pub contactors_closed: bool,
    /// The battery's state of charge, percent.
    pub soc: f64,
    /// Watt-hours, the simulated meter's register as a person would read it.
    pub register: f64,
    /// Watt-hours of one count of it.
    pub resolution: f64,
    /// The pilot's state.
    pub pilot: String,
    /// When.
    pub at: u64,
}
