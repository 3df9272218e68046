//! What the energy path wants done, in this order.

use voltry_bus::{Authorization, EvseState, EvseStatusCode, Isolation, PhaseAnswer, PilotOutput};
use voltry_service::Stamp;
use voltry_units::{Amps, Timestamp, Volts};

use super::{Capability, Checked, Discharge, Fault, FaultCode, MeterReading, Role, StaysLocked, StopReason};

/// One thing to do. None is waited for; results come back as inputs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// Send a command to a provider. To one provider, in order.
    Do(Command),
    /// Tell whoever watches.
    Report(Report),
}

/// A command to one of the providers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// Open an epoch of the supply.
    EnableSupply(u64),
    /// The voltage not to exceed and the current to give.
    SetOutput {
        /// Where this stands among the supply's messages.
        lease: Stamp,
        /// Not to exceed.
        voltage: Volts,
        /// To give.
        current: Amps,
    },
    /// Extend the supply's lease.
    RenewSupply(Stamp),
    /// Output to zero, modules off.
    SupplyOff,

    /// Open an epoch of the contactors.
    EnableContactors(u64),
    /// Close the contactors.
    CloseContactors(Stamp),
    /// Extend the contactors' lease.
    RenewContactors(Stamp),
    /// Open the contactors.
    OpenContactors,
    /// Drive the pilot.
    Pilot(PilotOutput),
    /// Lock the plug, or unlock it.
    Lock(bool),
    /// Leave the board's latched safe state.
    ResetBoard,
    /// Clear the supply's latched faults whose cause is gone.
    ClearSupply,

    /// Watch for voltages above this limit.
    ArmOverVoltage(Volts),
    /// Watch no longer.
    DisarmOverVoltage,
    /// Leave the over-voltage monitor's latched trip.
    ResetOverVoltage,

    /// Start or pause the insulation monitor.
    InsulationActive(bool),
    /// Start its self-test.
    StartSelfTest,

    /// Begin to listen for a vehicle.
    Attach,
    /// End whatever runs with the vehicle.
    Detach,
    /// What this EVSE offers.
    Limits(Capability),
    /// What it takes from the vehicle.
    Discharge(Discharge),
    /// Whether the driver may charge.
    Authorize(Authorization),
    /// The answer to a phase.
    Answer {
        /// The phase's counter.
        counter: u64,
        /// The answer.
        answer: PhaseAnswer,
    },
    /// What to answer the vehicle with.
    Present(Present),
    /// What the meter's register says.
    Meter(MeterReading),
    /// Ask the vehicle to stop.
    RequestStop(StopReason),
    /// Tell the vehicle of a failure.
    Abort(FaultCode),
}

/// Present values for the vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Present {
    /// The phase they answer.
    pub counter: u64,
    /// On the cable side.
    pub voltage: Volts,
    /// Into the vehicle.
    pub current: Amps,
    /// The insulation's verdict.
    pub isolation: Isolation,
    /// The EVSE's status.
    pub status: EvseStatusCode,
    /// Held at the maximum voltage.
    pub voltage_limited: bool,
    /// Held at the maximum current.
    pub current_limited: bool,
    /// Held at the maximum power.
    pub power_limited: bool,
    /// When the oldest of these was measured.
    pub at: Timestamp,
}

/// What watchers are told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Report {
    /// The state changed.
    State(EvseState),
    /// A fault latched.
    Fault(Fault),
    /// Latched faults were cleared.
    FaultsCleared,
    /// The session began, moved or ended.
    Session,
    /// CableCheck takes longer than it should.
    CableCheckSlow,
    /// A check of the self-test ended.
    Checked(Checked),
    /// What came of the wish to have the plug unlocked.
    Unlock(Result<(), StaysLocked>),
}

impl Command {
    /// Whose command it is.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self {
            Self::EnableSupply(_)
            | Self::SetOutput { .. }
            | Self::RenewSupply(_)
            | Self::SupplyOff
            | Self::ClearSupply => Role::PowerSupply,
            Self::EnableContactors(_)
            | Self::CloseContactors(_)
            | Self::RenewContactors(_)
            | Self::OpenContactors
            | Self::Pilot(_)
            | Self::Lock(_)
            | Self::ResetBoard => Role::ConnectorIo,
            Self::ArmOverVoltage(_) | Self::DisarmOverVoltage | Self::ResetOverVoltage => {
                Role::OverVoltageMonitor
            }
            Self::InsulationActive(_) | Self::StartSelfTest => Role::InsulationMonitor,
            Self::Attach
            | Self::Detach
            | Self::Limits(_)
            | Self::Discharge(_)
            | Self::Authorize(_)
            | Self::Answer { .. }
            | Self::Present(_)
            | Self::Meter(_)
            | Self::RequestStop(_)
            | Self::Abort(_) => Role::EvLink,
        }
    }

    /// Its method on the bus.
    #[must_use]
    pub const fn member(&self) -> &'static str {
        match self {
            Self::EnableSupply(_) | Self::EnableContactors(_) => "Enable",
            Self::SetOutput { .. } => "SetOutput",
            Self::RenewSupply(_) | Self::RenewContactors(_) => "RenewLease",
            Self::SupplyOff => "Off",
            Self::CloseContactors(_) => "CloseContactors",
            Self::OpenContactors => "OpenContactors",
            Self::Pilot(_) => "SetPilot",
            Self::Lock(_) => "SetLock",
            Self::ClearSupply => "ClearFaults",
            Self::ResetBoard | Self::ResetOverVoltage => "Reset",
            Self::ArmOverVoltage(_) => "Arm",
            Self::DisarmOverVoltage => "Disarm",
            Self::InsulationActive(_) => "SetActive",
            Self::StartSelfTest => "StartSelfTest",
            Self::Attach => "Attach",
            Self::Detach => "Detach",
            Self::Limits(_) => "SetLimits",
            Self::Discharge(_) => "SetDischarge",
            Self::Authorize(_) => "SetAuthorization",
            Self::Answer { .. } => "Answer",
            Self::Present(_) => "SetPresent",
            Self::Meter(_) => "SetMeter",
            Self::RequestStop(_) => "RequestStop",
            Self::Abort(_) => "Abort",
        }
    }

    /// The epoch under which it energises; none if it does not.
    #[must_use]
    pub const fn epoch(&self) -> Option<u64> {
        match self {
            Self::EnableSupply(epoch) | Self::EnableContactors(epoch) => Some(*epoch),
            Self::SetOutput { lease, .. }
            | Self::RenewSupply(lease)
            | Self::CloseContactors(lease)
            | Self::RenewContactors(lease) => Some(lease.epoch),
            Self::SupplyOff
            | Self::OpenContactors
            | Self::Pilot(_)
            | Self::Lock(_)
            | Self::ResetBoard
            | Self::ClearSupply
            | Self::ArmOverVoltage(_)
            | Self::DisarmOverVoltage
            | Self::ResetOverVoltage
            | Self::InsulationActive(_)
            | Self::StartSelfTest
            | Self::Attach
            | Self::Detach
            | Self::Limits(_)
            | Self::Discharge(_)
            | Self::Authorize(_)
            | Self::Answer { .. }
            | Self::Present(_)
            | Self::Meter(_)
            | Self::RequestStop(_)
            | Self::Abort(_) => None,
        }
    }
}
