//! A conversation with a vehicle, between evse and whoever holds it.

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

use crate::{EvseStatusCode, Isolation, LinkOutcome, LinkPhase, PowerlineState};

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

/// A contract that a vehicle has proved to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct ShownContract {
    /// Whose.
    pub emaid: String,
    /// The contract's certificate, then those above it, DER.
    pub chain: Vec<Vec<u8>>,
}

/// A contract whose certificates lead to no root that is installed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct DoubtedContract {
    /// What the judgement must name.
    pub id: u64,
    /// Whose it claims to be.
    pub emaid: String,
    /// The contract's certificate, then those above it, DER.
    pub chain: Vec<Vec<u8>>,
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
    /// Amperes, negative from the vehicle.
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

/// What a vehicle named that can be taken from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Type)]
pub struct VehicleDischarge {
    /// The counter of the phase they were named in.
    pub phase: u64,
    /// Volts of its battery below which it is not discharged. Zero: it did not say.
    pub voltage_min: f64,
    /// Amperes.
    pub current_max: f64,
    /// Watts.
    pub power_max: f64,
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
