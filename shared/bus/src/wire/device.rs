//! What devices measure and tell.

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

use crate::{Alarms, Contactors, Lock, Pilot, PilotFault, Proximity, TokenKind};

/// What a power supply's output measures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct DcOutput {
    /// Rises by one a message.
    pub sequence: u64,
    /// Volts, on the module side.
    pub voltage: f64,
    /// Amperes, all modules together.
    pub current: f64,
    /// When the oldest contributing module measured it.
    pub at: u64,
}

/// A set-point that reached the modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Applied {
    /// Its epoch; 0 for "all off".
    pub epoch: u64,
    /// Its sequence number.
    pub sequence: u64,
    /// When the last module confirmed it.
    pub at: u64,
}

/// What a supply or an EVSE can give.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct DcCapability {
    /// Volts.
    pub voltage_min: f64,
    /// Volts.
    pub voltage_max: f64,
    /// Amperes.
    pub current_max: f64,
    /// Watts.
    pub power_max: f64,
}

/// What a supply can take from a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct DcDischarge {
    /// Volts of the battery below which it is not discharged.
    pub voltage_min: f64,
    /// Amperes.
    pub current_max: f64,
    /// Watts.
    pub power_max: f64,
}

/// One power module, for the technician.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct Module {
    /// The CAN bus it is on, as named in the configuration.
    pub bus: String,
    /// Its address on that bus.
    pub address: u32,
    /// Its group.
    pub group: u32,
    /// Serial number; empty if it does not tell.
    pub serial: String,
    /// What it does, in a word.
    pub state: String,
    /// Whether it answers.
    pub online: bool,
    /// Volts.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Amperes it could give now.
    pub available: f64,
    /// Degrees Celsius at its inlet.
    pub temperature: f64,
    /// Its alarms, by name.
    pub alarms: Vec<String>,
    /// When it was last heard.
    pub at: u64,
}

/// What one power module is used for, for the technician.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct ModuleUse {
    /// The CAN bus it is on, as named in the configuration.
    pub bus: String,
    /// Its address on that bus.
    pub address: u32,
    /// Amperes that it was told to give; negative while the vehicle is discharged.
    pub share: f64,
    /// For how many hours it has worked; 0: it does not tell.
    pub hours: u32,
}

/// A finished insulation measurement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct InsulationReading {
    /// Rises by one a message.
    pub sequence: u64,
    /// Ohms to protective earth; where the device says "more than", that figure.
    pub resistance: f64,
    /// Whether the device vouches for it: not testing, no device error.
    pub valid: bool,
    /// The device's own update counter.
    pub counter: u64,
    /// When the counter was first seen with this value.
    pub at: u64,
}

/// How a self-test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct SelfTestResult {
    /// Whether the device passed.
    pub passed: bool,
    /// In words, if not.
    pub detail: String,
    /// When.
    pub at: u64,
}

/// A voltage on the cable side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct VoltageReading {
    /// Rises by one a message.
    pub sequence: u64,
    /// Volts.
    pub voltage: f64,
    /// When.
    pub at: u64,
}

/// What an over-voltage monitor does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct OverVoltageState {
    /// Rises by one a message.
    pub sequence: u64,
    /// Whether it watches.
    pub armed: bool,
    /// Volts: the limit it watches, or watched last.
    pub limit: f64,
    /// Whether it has tripped; latched until reset.
    pub tripped: bool,
    /// Volts that it measures; once it has tripped, those that made it.
    pub voltage: f64,
    /// When the device said so.
    pub at: u64,
}

/// What an energy meter measures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct MeterReading {
    /// Rises by one a message.
    pub sequence: u64,
    /// Volts; for an AC meter, the mean of its phases to neutral.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Watts, positive towards the vehicle.
    pub power: f64,
    /// Watt-hours, the meter's import register.
    pub energy_import: f64,
    /// Watt-hours, the meter's export register.
    pub energy_export: f64,
    /// When.
    pub at: u64,
}

/// The phases of a three-phase meter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct MeterPhases {
    /// That of the reading.
    pub sequence: u64,
    /// Volts of the first phase to neutral.
    pub voltage_1: f64,
    /// Of the second.
    pub voltage_2: f64,
    /// Of the third.
    pub voltage_3: f64,
    /// Amperes of the first phase, with the sign that the meter gives them.
    pub current_1: f64,
    /// Of the second.
    pub current_2: f64,
    /// Of the third.
    pub current_3: f64,
    /// When.
    pub at: u64,
}

/// The first or last reading of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct SignedReading {
    /// Watt-hours, the meter's import register.
    pub energy: f64,
    /// `OCMF`, or `none` from a meter that does not sign.
    pub format: String,
    /// The signed data as the meter gave it, to the byte; empty if it does not sign.
    pub data: String,
    /// The key that verifies it.
    pub public_key: String,
    /// Microseconds of Unix time by the meter's clock, or ours if it has none.
    pub unix_time: i64,
    /// When.
    pub at: u64,
}

/// All wires of a connector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct ConnectorState {
    /// Rises by one a message.
    pub sequence: u64,
    /// The control pilot.
    pub pilot: Pilot,
    /// What is wrong with it.
    pub pilot_fault: PilotFault,
    /// The proximity contact.
    pub proximity: Proximity,
    /// The contactors, by their feedback.
    pub contactors: Contactors,
    /// The plug's lock.
    pub lock: Lock,
    /// Whether an emergency stop is pressed, or its chain is broken.
    pub emergency_stop: bool,
    /// What else the cabinet's inputs tell.
    pub alarms: Alarms,
    /// Why the board is in its latched safe state; empty if it is not.
    pub safe_state: String,
    /// Degrees Celsius of the connector's contacts and cable, as many as are fitted.
    pub temperatures: Vec<f64>,
    /// When the board measured it.
    pub at: u64,
}

/// Where a group of modules is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct ModuleGroup {
    /// Its name in the configuration.
    pub name: String,
    /// The EVSE that it is joined to, or on its way to or from; 0: none.
    pub evse: u32,
    /// Where it is, in a word.
    pub place: String,
}

impl Default for ModuleGroup {
    fn default() -> Self {
        Self { name: String::new(), evse: 0, place: "own".to_owned() }
    }
}

/// The contactors between module groups and EVSEs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct MatrixState {
    /// Rises by one a message.
    pub sequence: u64,
    /// Every contactor.
    pub contactors: Vec<MatrixContactor>,
    /// The voltage at each EVSE's side of the matrix, as far as it is measured.
    pub bars: Vec<MatrixBar>,
    /// When the contactors' driver measured it.
    pub at: u64,
}

/// A contactor between a group of modules and an EVSE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct MatrixContactor {
    /// The group.
    pub group: String,
    /// The EVSE.
    pub evse: u32,
    /// By its feedback.
    pub position: Contactors,
}

/// The voltage at an EVSE's side of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct MatrixBar {
    /// The EVSE.
    pub evse: u32,
    /// Volts.
    pub voltage: f64,
}

/// A token that was shown to a reader.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct IdTokenReading {
    /// The token. Never in a log above DEBUG.
    pub token: String,
    /// Its kind.
    pub kind: TokenKind,
    /// When.
    pub at: u64,
}

impl std::fmt::Debug for IdTokenReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdTokenReading({}, {})", self.kind, self.at)
    }
}
