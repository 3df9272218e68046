//! The structs that cross the bus. A measurement ends in the `CLOCK_BOOTTIME` microsecond at
//! which the device measured it. Quantities are SI doubles, unchecked: read them through
//! `voltry_units`.

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

use crate::{
    Contactors, EvseStatusCode, Isolation, LinkOutcome, LinkPhase, Lock, Pilot, PilotFault, PowerlineState,
    Proximity,
};

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

/// A conversation between station and vehicle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct V2gConversation {
    /// When the vehicle connected, microseconds of Unix time; its name for `Read`.
    pub began: i64,
    /// The protocol that was agreed; empty: none.
    pub protocol: String,
    /// Who ended it, in which phase, and why, in one sentence; empty while it goes on.
    pub ended: String,
    /// Messages between the first and the newest that were not kept.
    pub left_out: u64,
}

/// One V2G message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct V2gMessage {
    /// When it was heard or said, microseconds of Unix time.
    pub time: i64,
    /// The vehicle said it.
    pub by_vehicle: bool,
    /// Its name in the standard; empty if it could not be decoded.
    pub name: String,
    /// Its content, for a person; why it could not be decoded.
    pub text: String,
    /// The V2GTP payload type.
    pub payload_type: u16,
    /// The payload as it was on the wire.
    pub payload: Vec<u8>,
}

/// A vehicle's request for a contract certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CertificateRequest {
    /// What the answer must name.
    pub id: u64,
    /// `installation`, or `update` of a contract that the vehicle has.
    pub kind: String,
    /// The namespace of the message set, as `urn:iso:15118:2:2013:MsgDef`.
    pub schema: String,
    /// The whole message in EXI, as it came.
    pub message: Vec<u8>,
}

/// The back end's answer to a [`CertificateRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct CertificateAnswer {
    /// The request.
    pub id: u64,
    /// The whole message in EXI.
    pub message: Vec<u8>,
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
    /// Why the board is in its latched safe state; empty if it is not.
    pub safe_state: String,
    /// Degrees Celsius of the connector's contacts and cable, as many as are fitted.
    pub temperatures: Vec<f64>,
    /// When the board measured it.
    pub at: u64,
}

/// What an EVSE offers a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Type)]
pub struct EvseLimits {
    /// Volts.
    pub voltage_min: f64,
    /// Volts.
    pub voltage_max: f64,
    /// Amperes.
    pub current_min: f64,
    /// Amperes.
    pub current_max: f64,
    /// Watts.
    pub power_max: f64,
}

/// What evse tells a link to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct Present {
    /// The counter of the phase it is for.
    pub phase: u64,
    /// Volts on the cable side.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// The insulation's verdict.
    pub isolation: Isolation,
    /// The EVSE's status.
    pub status: EvseStatusCode,
    /// The output is held at the maximum voltage.
    pub voltage_limited: bool,
    /// The output is held at the maximum current.
    pub current_limited: bool,
    /// The output is held at the maximum power.
    pub power_limited: bool,
    /// When the oldest of these was measured.
    pub at: u64,
}

/// What evse tells a link of the meter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct MeterRegister {
    /// Watt-hours, the meter's import register.
    pub energy: f64,
    /// When it was read.
    pub at: u64,
}

/// A phase of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct PhaseEntry {
    /// Rises by one an entry.
    pub counter: u64,
    /// The phase.
    pub phase: LinkPhase,
    /// When it was entered.
    pub at: u64,
}

/// What a vehicle wants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct Target {
    /// The counter of the phase it was asked in.
    pub phase: u64,
    /// Volts.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// When the request was received.
    pub at: u64,
}

/// The limits a vehicle named. Zero: it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct VehicleLimits {
    /// The counter of the phase they were named in.
    pub phase: u64,
    /// Volts.
    pub voltage_max: f64,
    /// Amperes.
    pub current_max: f64,
    /// Watts.
    pub power_max: f64,
    /// Watt-hours of its battery.
    pub energy_capacity: f64,
    /// When.
    pub at: u64,
}

/// All limits a vehicle named. Zero: it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct ChargeLimits {
    /// Volts.
    pub voltage_min: f64,
    /// Volts.
    pub voltage_max: f64,
    /// Amperes.
    pub current_min: f64,
    /// Amperes.
    pub current_max: f64,
    /// Watts.
    pub power_min: f64,
    /// Watts.
    pub power_max: f64,
    /// Amperes that it can feed back.
    pub discharge_current_max: f64,
    /// Watts that it can feed back.
    pub discharge_power_max: f64,
    /// Watt-hours of its battery.
    pub energy_capacity: f64,
}

/// What a vehicle needs by when. Below zero: it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct VehicleNeeds {
    /// When it leaves; 0: it did not say.
    pub departure_at: u64,
    /// Watt-hours that it wants.
    pub energy: f64,
    /// Watt-hours that it needs at least.
    pub energy_min: f64,
    /// Watt-hours that it takes at most.
    pub energy_max: f64,
    /// Percent that it needs at least.
    pub soc_min: f64,
    /// Percent that it wants.
    pub soc: f64,
}

impl VehicleNeeds {
    /// It said nothing.
    pub const UNTOLD: Self =
        Self { departure_at: 0, energy: -1.0, energy_min: -1.0, energy_max: -1.0, soc_min: -1.0, soc: -1.0 };
}

/// What a vehicle says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct VehicleState {
    /// Rises by one a message.
    pub sequence: u64,
    /// State of charge, percent.
    pub soc: f64,
    /// EVReady.
    pub ready: bool,
    /// The vehicle's error code; empty for none.
    pub error: String,
    /// When.
    pub at: u64,
}

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct LinkEnd {
    /// The counter of the last phase.
    pub phase: u64,
    /// How.
    pub outcome: LinkOutcome,
    /// Why, in words.
    pub detail: String,
    /// When.
    pub at: u64,
}

/// The powerline link to the vehicle, for whoever looks for a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct Powerline {
    /// Where it stands.
    pub state: PowerlineState,
    /// The Ethernet address of the vehicle that was matched last; empty if none was.
    pub vehicle: String,
    /// At what attenuation, dB.
    pub attenuation: f64,
    /// When; 0 if none was.
    pub matched_at: u64,
    /// How often the attached vehicle was started anew by its pilot.
    pub retries: u32,
}

/// Leave to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct Permit {
    /// Whether this EVSE may deliver at all.
    pub allowed: bool,
    /// Its share of the station's power, watts.
    pub power: f64,
    /// Seconds from `sent_at` for which this holds.
    pub valid_for: f64,
    /// When it was sent.
    pub sent_at: u64,
}

/// What flows at an EVSE now.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct Live {
    /// Rises by one a message.
    pub sequence: u64,
    /// Volts on the cable side.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Volts that the vehicle wants; 0 for none.
    pub target_voltage: f64,
    /// Amperes that the vehicle wants.
    pub target_current: f64,
    /// The vehicle's state of charge, percent; below 0: not told.
    pub soc: f64,
    /// Watt-hours of the session by the meter's register.
    pub energy: f64,
    /// When.
    pub at: u64,
}

/// A session, from plug to unplug. Times are CLOCK_BOOTTIME microseconds, 0 for "not yet".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct EvseSession {
    /// Its identity on this EVSE since boot; 0: there is none.
    pub id: u64,
    /// When the plug was seen.
    pub plugged_at: u64,
    /// When current first could flow.
    pub energised_at: u64,
    /// When delivery ended for good.
    pub ended_at: u64,
    /// The protocol spoken.
    pub protocol: String,
    /// Why delivery ended, in words.
    pub end_reason: String,
    /// When this was written.
    pub at: u64,
}

/// What came of presenting a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct AuthorizeOutcome {
    /// The EVSE it was for; 0 if none.
    pub evse: u32,
    /// `granted`, `refused`, `stopped`, or `remembered` where no vehicle is plugged in yet.
    pub outcome: String,
}

/// A transaction of the book.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct Transaction {
    /// Its number in the book.
    pub id: u64,
    /// The EVSE.
    pub evse: u32,
    /// Who is charged, masked.
    pub identity: String,
    /// `open` or `closed`.
    pub state: String,
    /// Microseconds of Unix time.
    pub started: i64,
    /// Microseconds of Unix time; 0 while open.
    pub ended: i64,
    /// Watt-hours, the meter's register at the start.
    pub register_start: f64,
    /// Watt-hours, the meter's register at the end, or so far.
    pub register_end: f64,
    /// Watt-hours delivered.
    pub energy: f64,
    /// Why it ended, in words.
    pub end_reason: String,
    /// What is particular about it, as a reading that is a stored one; empty if nothing is.
    pub note: String,
}

/// One event of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type)]
pub struct BookEvent {
    /// Its number in the book.
    pub number: u64,
    /// Microseconds of Unix time.
    pub time: i64,
    /// `started`, `reading`, `ended`, …
    pub kind: String,
    /// Watt-hours, the meter's register.
    pub register: f64,
    /// In words.
    pub detail: String,
}

/// One EVSE at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct EvseStatus {
    /// Its number.
    pub evse: u32,
    /// An `EvseState`, or `absent` while its daemon is.
    pub state: String,
    /// In service.
    pub available: bool,
    /// Whether the session is authorized.
    pub authorized: bool,
    /// Volts.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Watts that it may take.
    pub share: f64,
    /// Watt-hours of the session.
    pub energy: f64,
    /// Percent; below 0: not told.
    pub soc: f64,
    /// The open transaction; 0: none.
    pub transaction: u64,
    /// Its faults.
    pub faults: Vec<Fault>,
}

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
