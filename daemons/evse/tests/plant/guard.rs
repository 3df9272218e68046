//! The hardware that acts on over-voltage.

use voltry_evse::energy_path::{Command, OverVoltageReading};
use voltry_units::{Timestamp, Volts};

/// An over-voltage monitor, as its interface says that one behaves.
#[derive(Clone, Default)]
pub struct Guard {
    pub armed: bool,
    pub limit: Volts,
    pub tripped: bool,
    /// What made it trip.
    pub at_trip: f64,
    /// A peak that it alone sees: shorter than what anybody samples.
    pub peak: f64,
    // What can break.
    /// It accepts and does nothing, or has forgotten that it was armed.
    pub broken: bool,
    /// Volts that its reading is off by; its trip is not.
    pub lies: f64,
    /// It refuses to be armed.
    pub refuses: bool,
}

impl Guard {
    /// Takes a command; false if it is refused.
    pub fn obey(&mut self, command: Command, voltage: f64) -> bool {
        match command {
            Command::ArmOverVoltage(_) if self.refuses || self.tripped => return false,
            Command::ArmOverVoltage(limit) => (self.armed, self.limit) = (!self.broken, limit),
            Command::DisarmOverVoltage => self.armed = false,
            Command::ResetOverVoltage if voltage > self.limit.as_si().max(1.0) => return false,
            Command::ResetOverVoltage => (self.armed, self.tripped) = (false, false),
            _ => {}
        }
        true
    }

    /// True once it has tripped: then it holds the outlet open by its own wires.
    pub fn watch(&mut self, voltage: f64) -> bool {
        let voltage = voltage.max(self.peak);
        if self.armed && !self.tripped && voltage > self.limit.as_si() {
            (self.tripped, self.at_trip) = (true, voltage);
        }
        self.tripped
    }

    pub fn reading(&self, voltage: f64, at: Timestamp) -> OverVoltageReading {
        OverVoltageReading {
            armed: self.armed,
            limit: self.limit,
            tripped: self.tripped,
            voltage: Volts::from_si(if self.tripped { self.at_trip } else { voltage + self.lies }).unwrap(),
            at,
        }
    }
}
