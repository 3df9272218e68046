//! The vehicle's end of the plug: what its wires tell it, and what it can switch.

use crate::electrical::{PilotLoad, PilotSource, SharedCircuit, Vehicle};
use crate::faults::Fault;

/// A duty cycle of 3 to 7 % offers digital communication (IEC 61851-1 table A.7), in 0.1 %.
const DIGITAL_DUTY: std::ops::RangeInclusive<u16> = 30..=70;

/// The inlet of the vehicle that belongs to one EVSE, plugged in or not.
#[derive(Debug, Clone)]
pub(super) struct Inlet(pub(super) SharedCircuit);

impl Inlet {
    pub(super) fn plugged(&self) -> bool {
        self.0.with(|circuit| circuit.vehicle().is_some())
    }

    pub(super) fn unplug(&self) {
        // The vehicle drives away with its battery.
        let _vehicle = self.0.with(crate::electrical::Circuit::unplug);
    }

    /// Whether the pilot offers digital communication.
    pub(super) fn digital(&self) -> bool {
        match self.0.with(|circuit| circuit.pilot.source) {
            PilotSource::Pwm { duty_permille } => DIGITAL_DUTY.contains(&duty_permille),
            PilotSource::Off | PilotSource::Steady => false,
        }
    }

    /// S2: state C when closed, else B.
    pub(super) fn set_s2(&self, closed: bool) {
        let load = if closed { PilotLoad::C } else { PilotLoad::B };
        self.0.with(|circuit| {
            if let Some(vehicle) = circuit.vehicle_mut() {
                vehicle.pilot_load = load;
            }
        });
    }

    pub(super) fn set_contactors(&self, closed: bool) {
        self.0.with(|circuit| {
            if let Some(vehicle) = circuit.vehicle_mut() {
                vehicle.contactors_closed = closed;
            }
        });
    }

    /// Volts between the inlet's poles.
    pub(super) fn voltage(&self) -> f64 {
        self.0.with(|circuit| circuit.cable_side_v())
    }

    /// Amperes into the vehicle.
    pub(super) fn current(&self) -> f64 {
        self.0.with(|circuit| circuit.battery_a())
    }

    /// Volts of the battery without current.
    pub(super) fn battery_voltage(&self) -> f64 {
        self.0.with(|circuit| circuit.vehicle().map_or(0.0, |vehicle| vehicle.battery.open_circuit_v()))
    }

    /// Sets that voltage, at any charge.
    pub(super) fn set_battery_voltage(&self, volts: f64) {
        self.0.with(|circuit| {
            if let Some(vehicle) = circuit.vehicle_mut() {
                vehicle.battery.empty_v = volts;
                vehicle.battery.full_v = volts;
            }
        });
    }

    /// State of charge, percent.
    pub(super) fn soc(&self) -> f64 {
        self.0.with(|circuit| circuit.vehicle().map_or(0.0, |vehicle: &Vehicle| vehicle.battery.soc * 100.0))
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.0.with(|circuit| circuit.faults.has(fault))
    }

    pub(super) fn mend(&self, fault: Fault) {
        self.0.with(|circuit| circuit.faults.clear(fault));
    }
}
