//! What the energy path is told. Everything is already a physical value; what is none was
//! refused where it entered.

use voltry_bus::{
    Alarms, Authorization, Contactors, LinkOutcome, LinkPhase, Lock, Pilot, PilotFault, PilotOutput,
    Proximity,
};
use voltry_units::{Amps, Celsius, Measured, Ohms, Percent, Timestamp, Volts, WattHours, Watts};

use super::action::Command;
use super::fault::{FaultCode, Refusal};
use super::self_test::Check;

/// One thing that happened, or was measured. Inputs of one source arrive in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Input {
    /// A tenth of a second has passed. Leases are renewed by this input and no other.
    Tick,

    /// The supply's output, on the module side.
    Supply(SupplyReading),
    /// What the supply can give at this moment.
    Capability(Capability),
    /// What the supply can take from a vehicle at this moment.
    Discharge(Discharge),
    /// The voltage on the cable side, by a source other than the supply.
    CableVoltage(Measured<Volts>),
    /// What the over-voltage monitor does.
    OverVoltage(OverVoltageReading),
    /// A finished insulation measurement.
    Insulation(InsulationReading),
    /// The insulation monitor's self-test ended.
    SelfTest {
        /// Whether the device passed.
        passed: bool,
        /// When it ended.
        at: Timestamp,
    },
    /// The connector's wires.
    Io(ConnectorIo),
    /// The energy meter.
    Meter(MeterReading),

    /// The conversation with the vehicle entered a phase.
    Phase {
        /// Rises by every entry.
        counter: u64,
        /// The phase.
        phase: LinkPhase,
    },
    /// What the vehicle wants.
    Target(Target),
    /// The limits that the vehicle named.
    VehicleLimits(VehicleLimits),
    /// What the vehicle named that can be taken from it.
    VehicleDischarge(Discharge),
    /// The vehicle's state of charge.
    Soc(Percent),
    /// The conversation wants a pilot state.
    PilotRequest {
        /// The phase it was asked in; of another phase it is dropped.
        counter: u64,
        /// The state.
        output: PilotOutput,
    },
    /// The conversation ended.
    LinkEnded(LinkOutcome),

    /// Leave to deliver, and how much.
    Permit(Permit),
    /// Whether the driver of this session may charge. For another session: ignored.
    Authorization {
        /// The session's id.
        session: u64,
        /// The answer.
        authorization: Authorization,
    },
    /// End the session in the normal way.
    Stop,
    /// Clear the latched faults whose cause is gone.
    ClearFaults,
    /// Open the plug's lock; [`super::Report::Unlock`] says what came of it.
    Unlock,
    /// In service, or out of it.
    Available(bool),
    /// Check one part of the EVSE, out of service and without a vehicle, or all of it into a load.
    Check(Check),
    /// The process is to end: make everything safe and stay so.
    Terminate,

    /// A command was refused, or its provider did not answer it, and why.
    Refused(Command, Refusal),
    /// A role's provider is there; what it does now is unknown.
    Found(Role),
    /// A role's provider is gone.
    Lost(Role),
}

/// What an EVSE is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The power modules.
    PowerSupply,
    /// The cable-side voltage.
    VoltageMonitor,
    /// The hardware that acts on over-voltage; not bound where it needs nothing of us.
    OverVoltageMonitor,
    /// The insulation monitor.
    InsulationMonitor,
    /// The connector's wires.
    ConnectorIo,
    /// The meter that bills.
    EnergyMeter,
    /// The conversation with the vehicle.
    EvLink,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] = [
        Self::PowerSupply,
        Self::VoltageMonitor,
        Self::OverVoltageMonitor,
        Self::InsulationMonitor,
        Self::ConnectorIo,
        Self::EnergyMeter,
        Self::EvLink,
    ];

    /// The role in a person's words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::PowerSupply => "power supply",
            Self::VoltageMonitor => "voltage monitor",
            Self::OverVoltageMonitor => "over-voltage monitor",
            Self::InsulationMonitor => "insulation monitor",
            Self::ConnectorIo => "connector I/O",
            Self::EnergyMeter => "energy meter",
            Self::EvLink => "vehicle link",
        }
    }
}

/// The supply's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupplyReading {
    /// On the module side of the contactors.
    pub voltage: Volts,
    /// All modules together.
    pub current: Amps,
    /// When the oldest contributing module measured it.
    pub at: Timestamp,
}

/// What a supply can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capability {
    /// The lowest voltage it can hold.
    pub voltage_min: Volts,
    /// The highest voltage.
    pub voltage_max: Volts,
    /// The highest current.
    pub current_max: Amps,
    /// The highest power.
    pub power_max: Watts,
}

/// What can be taken from a vehicle: by a supply, by an EVSE, or by the vehicle's own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Discharge {
    /// Of the battery; below it nothing is taken.
    pub voltage_min: Volts,
    /// The highest current, without a sign.
    pub current_max: Amps,
    /// The highest power, without a sign.
    pub power_max: Watts,
}

/// What the over-voltage monitor does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverVoltageReading {
    /// It watches.
    pub armed: bool,
    /// The limit that it watches.
    pub limit: Volts,
    /// It has tripped, and latched.
    pub tripped: bool,
    /// What it measures; once it has tripped, what made it.
    pub voltage: Volts,
    /// When the device said so.
    pub at: Timestamp,
}

/// A finished insulation measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InsulationReading {
    /// To protective earth.
    pub resistance: Ohms,
    /// Whether the device vouches for it.
    pub valid: bool,
    /// The device's update counter: a value with the counter of the last one is not new.
    pub counter: u64,
    /// When the counter was first seen with this value.
    pub at: Timestamp,
}

/// The connector's wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectorIo {
    /// The control pilot.
    pub pilot: Pilot,
    /// What is wrong with it.
    pub pilot_fault: PilotFault,
    /// The proximity contact.
    pub proximity: Proximity,
    /// By their feedback contacts.
    pub contactors: Contactors,
    /// The plug's lock.
    pub lock: Lock,
    /// An emergency stop is pressed, or its chain is broken.
    pub emergency_stop: bool,
    /// What else the cabinet's inputs tell.
    pub alarms: Alarms,
    /// For what the board latched its safe state; [`FaultCode::BoardSafeState`] if it did not say.
    pub safe_state: Option<FaultCode>,
    /// The hottest of the connector's contacts and cable; none where none is fitted.
    pub hottest: Option<Celsius>,
    /// How many of these temperatures it told.
    pub sensors: u8,
    /// When the board measured it.
    pub at: Timestamp,
}

/// The energy meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterReading {
    /// The meter's register of what went to the vehicle.
    pub energy: WattHours,
    /// Its register of what came back; zero if it has none.
    pub export: WattHours,
    /// When the meter was read.
    pub at: Timestamp,
}

/// What a vehicle wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The phase it was asked in; one of another phase is dropped.
    pub counter: u64,
    /// The voltage it wants.
    pub voltage: Volts,
    /// The current it wants, negative from it.
    pub current: Amps,
    /// When the request was received.
    pub at: Timestamp,
}

/// The limits that a vehicle named; none: it did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VehicleLimits {
    /// Its highest voltage.
    pub voltage_max: Option<Volts>,
    /// Its highest current.
    pub current_max: Option<Amps>,
    /// Its highest power.
    pub power_max: Option<Watts>,
}

/// Leave to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    /// Whether this EVSE may deliver at all.
    pub allowed: bool,
    /// Its share of the station's power.
    pub power: Watts,
    /// From then on it is no permit any more.
    pub until: Timestamp,
}
