//! Faults: what they are called, how fast they are answered, what clears them, what proved them.

use std::fmt;
use std::time::Duration;

use voltry_bus::{Contactors, Pilot};
use voltry_units::{Amps, Celsius, Ohms, Timestamp, Volts, WattHours};

use super::Role;

/// What is wrong. The names are those of the industry's MREC list where one fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// MREC8: an emergency stop is pressed.
    EmergencyStop,
    /// MREC14: the pilot is lost, shorted or at no valid level.
    PilotFault,
    /// The vehicle's diode is missing or shorted.
    DiodeFault,
    /// MREC10: the vehicle left state C/D under current, or was not in it for CableCheck.
    InvalidVehicleMode,
    /// MREC23: the latch was pressed, or the proximity contact is at no valid level.
    ProximityFault,
    /// MREC17: the contactors are not as commanded.
    ContactorFault,
    /// MREC4: more current than was set.
    OverCurrent,
    /// MREC5: above the vehicle's maximum, or above the class voltage.
    OverVoltage,
    /// The over-voltage monitor is not armed as it was told.
    NotGuarded,
    /// MREC22: insulation below the limit.
    ResistanceFault,
    /// MREC11: CableCheck could not be done in its time, or the self-test failed.
    CableCheckFailure,
    /// The test voltage collapsed in current limit.
    ShortCircuit,
    /// MREC12: PreCharge did not meet the vehicle's voltage.
    PreChargeFailure,
    /// The two voltage measurements contradict each other.
    VoltageImplausible,
    /// MREC24: voltage where there must be none.
    ConnectorVoltageHigh,
    /// MREC19: connector or cable too hot.
    CableOverTempStop,
    /// MREC1: the plug's lock did not lock.
    ConnectorLockFailure,
    /// The supply did not end its output.
    OutputNotOff,
    /// The supply can give nothing.
    SupplyFailed,
    /// The register stands still while energy flows.
    MeterStuck,
    /// The register of imported energy fell.
    MeterBackwards,
    /// The vehicle asks for nothing any more.
    VehicleSilent,
    /// The conversation broke off while the contactors were closed.
    CommunicationLost,
    /// A door or cover of the cabinet is open.
    EnclosureOpen,
    /// The cabinet was tilted.
    TiltDetected,
    /// Water in the cabinet.
    WaterIngress,
    /// The cooling does not run.
    CoolingFailed,
    /// The board latched its safe state.
    BoardSafeState,
    /// The control step came so late that leases had lapsed.
    ControlStalled,
    /// A provider is gone, or its values are too old.
    Missing(Role),
    /// A provider refused an energising command.
    Refused(Role),
}

/// How fast a fault is answered; a later one is the stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reaction {
    /// Output to zero, vehicle told, contactors open when the current has fallen.
    ErrorShutdown,
    /// Everything off at once.
    Emergency,
}

/// What clears a latched fault, once its cause is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClearedBy {
    /// The vehicle is unplugged; or a person.
    Unplugging,
    /// A person.
    Command,
}

impl FaultCode {
    /// The code as it is reported.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::EmergencyStop => "MREC8EmergencyStop",
            Self::PilotFault => "MREC14PilotFault",
            Self::DiodeFault => "DiodeFault",
            Self::InvalidVehicleMode => "MREC10InvalidVehicleMode",
            Self::ProximityFault => "MREC23ProximityFault",
            Self::ContactorFault => "MREC17EVSEContactorFault",
            Self::OverCurrent => "MREC4OverCurrentFailure",
            Self::OverVoltage => "MREC5OverVoltage",
            Self::NotGuarded => "OverVoltageMonitorNotArmed",
            Self::ResistanceFault => "MREC22ResistanceFault",
            Self::CableCheckFailure => "MREC11CableCheckFault",
            Self::ShortCircuit => "ShortCircuit",
            Self::PreChargeFailure => "MREC12PreChargeFault",
            Self::VoltageImplausible => "VoltageImplausible",
            Self::ConnectorVoltageHigh => "MREC24ConnectorVoltageHigh",
            Self::CableOverTempStop => "MREC19CableOverTempStop",
            Self::ConnectorLockFailure => "MREC1ConnectorLockFailure",
            Self::OutputNotOff => "OutputNotOff",
            Self::SupplyFailed => "PowerSupplyFailed",
            Self::MeterStuck => "MeterStuck",
            Self::MeterBackwards => "MeterBackwards",
            Self::VehicleSilent => "VehicleSilent",
            Self::CommunicationLost => "CommunicationLost",
            Self::EnclosureOpen => "EnclosureOpen",
            Self::TiltDetected => "TiltDetected",
            Self::WaterIngress => "WaterIngress",
            Self::CoolingFailed => "CoolingFailed",
            Self::BoardSafeState => "BoardSafeState",
            Self::ControlStalled => "ControlStalled",
            Self::Missing(Role::PowerSupply) => "MREC15PowerLoss",
            Self::Missing(Role::VoltageMonitor) => "VoltageMonitorMissing",
            Self::Missing(Role::OverVoltageMonitor) => "OverVoltageMonitorMissing",
            Self::Missing(Role::InsulationMonitor) => "InsulationMonitorMissing",
            Self::Missing(Role::ConnectorIo) => "ConnectorIoMissing",
            Self::Missing(Role::EnergyMeter) => "EnergyMeterMissing",
            Self::Missing(Role::EvLink) => "EvLinkMissing",
            Self::Refused(Role::PowerSupply) => "PowerSupplyRefused",
            Self::Refused(Role::VoltageMonitor) => "VoltageMonitorRefused",
            Self::Refused(Role::OverVoltageMonitor) => "OverVoltageMonitorRefused",
            Self::Refused(Role::InsulationMonitor) => "InsulationMonitorRefused",
            Self::Refused(Role::ConnectorIo) => "ConnectorIoRefused",
            Self::Refused(Role::EnergyMeter) => "EnergyMeterRefused",
            Self::Refused(Role::EvLink) => "EvLinkRefused",
        }
    }

    /// Why a board says that it latched its safe state: in words that begin with a code and a
    /// colon, where one fits.
    #[must_use]
    pub fn latched_by_board(words: &str) -> Self {
        let told = words.split_once(':').map_or("", |(code, _)| code);
        [
            Self::EmergencyStop,
            Self::PilotFault,
            Self::DiodeFault,
            Self::ProximityFault,
            Self::ContactorFault,
            Self::CableOverTempStop,
            Self::EnclosureOpen,
            Self::TiltDetected,
            Self::WaterIngress,
            Self::CoolingFailed,
        ]
        .into_iter()
        .find(|code| code.name() == told)
        .unwrap_or(Self::BoardSafeState)
    }

    /// What is wrong, in a technician's words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::EmergencyStop => "an emergency stop is pressed, or its chain is broken",
            Self::PilotFault => "the control pilot is lost, shorted, or at no valid level",
            Self::DiodeFault => "the diode in the vehicle's pilot circuit is missing or shorted",
            Self::InvalidVehicleMode => "the vehicle is not in state C",
            Self::ProximityFault => "the latch was pressed, or the proximity contact is at no valid level",
            Self::ContactorFault => {
                "the contactors are not as commanded: welded, stuck, or their feedback is wrong"
            }
            Self::OverCurrent => "more current flowed than was set",
            Self::OverVoltage => "the voltage was above the vehicle's maximum, or its class",
            Self::NotGuarded => "the over-voltage monitor is not armed as it was told",
            Self::ResistanceFault => "the insulation resistance is below the limit",
            Self::CableCheckFailure => "the insulation test could not be done",
            Self::ShortCircuit => "the voltage collapsed: the cable or the inlet is shorted",
            Self::PreChargeFailure => "the cable did not reach the battery's voltage",
            Self::VoltageImplausible => {
                "the voltages on the two sides of closed contactors contradict each other"
            }
            Self::ConnectorVoltageHigh => "there is voltage on the cable where there must be none",
            Self::CableOverTempStop => "connector or cable is too hot",
            Self::ConnectorLockFailure => "the plug's lock did not lock",
            Self::OutputNotOff => "the power modules did not end their output",
            Self::SupplyFailed => {
                "the power supply can give nothing; what its modules report is in `voltryctl faults list`"
            }
            Self::MeterStuck => "the meter's register stands still while energy flows",
            Self::MeterBackwards => "the meter's register ran backwards",
            Self::VehicleSilent => "the vehicle asks for nothing any more",
            Self::CommunicationLost => {
                "the conversation with the vehicle broke off under way; see the journal of voltry-secc"
            }
            Self::EnclosureOpen => "a door or cover of the cabinet is open",
            Self::TiltDetected => "the cabinet was tilted",
            Self::WaterIngress => "there is water in the cabinet",
            Self::CoolingFailed => "the cooling of cabinet, modules or cable does not run",
            Self::BoardSafeState => {
                "the board latched its safe state; its reason is in `voltryctl faults list`"
            }
            Self::ControlStalled => "this daemon was held up for so long that its leases had lapsed",
            Self::Missing(Role::PowerSupply) => "the power supply is gone, or its values are too old",
            Self::Missing(Role::VoltageMonitor) => "the cable-side voltage is gone, or too old",
            Self::Missing(Role::OverVoltageMonitor) => {
                "the over-voltage monitor is gone, or its state is too old"
            }
            Self::Missing(Role::InsulationMonitor) => {
                "the insulation monitor is gone, or its values are too old"
            }
            Self::Missing(Role::ConnectorIo) => "the board is gone, or its values are too old",
            Self::Missing(Role::EnergyMeter) => "the energy meter is gone, or its values are too old",
            Self::Missing(Role::EvLink) => "the daemon that talks to the vehicle is gone",
            Self::Refused(Role::PowerSupply) => "the power supply refused a command",
            Self::Refused(Role::VoltageMonitor) => "the voltage monitor refused a command",
            Self::Refused(Role::OverVoltageMonitor) => "the over-voltage monitor refused a command",
            Self::Refused(Role::InsulationMonitor) => "the insulation monitor refused a command",
            Self::Refused(Role::ConnectorIo) => "the board refused a command",
            Self::Refused(Role::EnergyMeter) => "the energy meter refused a command",
            Self::Refused(Role::EvLink) => "the link to the vehicle refused a command",
        }
    }

    /// How it is answered.
    #[must_use]
    pub const fn reaction(self) -> Reaction {
        match self {
            Self::EmergencyStop
            | Self::PilotFault
            | Self::DiodeFault
            | Self::InvalidVehicleMode
            | Self::ProximityFault
            | Self::ContactorFault
            | Self::OverCurrent
            | Self::OverVoltage
            | Self::EnclosureOpen
            | Self::TiltDetected
            | Self::WaterIngress
            | Self::BoardSafeState => Reaction::Emergency,
            Self::NotGuarded
            | Self::ResistanceFault
            | Self::CableCheckFailure
            | Self::ShortCircuit
            | Self::PreChargeFailure
            | Self::VoltageImplausible
            | Self::ConnectorVoltageHigh
            | Self::CableOverTempStop
            | Self::ConnectorLockFailure
            | Self::OutputNotOff
            | Self::SupplyFailed
            | Self::MeterStuck
            | Self::MeterBackwards
            | Self::VehicleSilent
            | Self::CommunicationLost
            | Self::CoolingFailed
            | Self::ControlStalled
            | Self::Missing(_)
            | Self::Refused(_) => Reaction::ErrorShutdown,
        }
    }

    /// What clears it. What the vehicle or its handling can cause, unplugging clears; what
    /// may be damage to the charger waits for a person.
    #[must_use]
    pub const fn cleared_by(self) -> ClearedBy {
        match self {
            Self::EmergencyStop
            | Self::ContactorFault
            | Self::OverCurrent
            | Self::OverVoltage
            | Self::VoltageImplausible
            | Self::ConnectorVoltageHigh
            | Self::OutputNotOff
            | Self::MeterStuck
            | Self::MeterBackwards
            | Self::EnclosureOpen
            | Self::TiltDetected
            | Self::WaterIngress
            | Self::BoardSafeState => ClearedBy::Command,
            Self::PilotFault
            | Self::DiodeFault
            | Self::InvalidVehicleMode
            | Self::ProximityFault
            | Self::NotGuarded
            | Self::ResistanceFault
            | Self::CableCheckFailure
            | Self::ShortCircuit
            | Self::PreChargeFailure
            | Self::CableOverTempStop
            | Self::ConnectorLockFailure
            | Self::SupplyFailed
            | Self::VehicleSilent
            | Self::CommunicationLost
            | Self::CoolingFailed
            | Self::ControlStalled
            | Self::Missing(_)
            | Self::Refused(_) => ClearedBy::Unplugging,
        }
    }
}

/// The measurement that caused a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// The fact alone.
    Seen,
    /// A voltage against its limit.
    Voltage(Volts, Volts),
    /// The voltage at which the over-voltage monitor tripped, against the limit it was set.
    Tripped(Volts, Volts),
    /// A current against its limit.
    Current(Amps, Amps),
    /// An insulation resistance against its limit.
    Resistance(Ohms, Ohms),
    /// A temperature against its limit.
    Temperature(Celsius, Celsius),
    /// So many of the connector's temperatures are told, of so many that were.
    Sensors(u8, u8),
    /// The meter's register, after a higher one.
    Register(WattHours, WattHours),
    /// The pilot's state.
    Pilot(Pilot),
    /// The contactors' feedback.
    Contactors(Contactors),
    /// A device failed its own test.
    SelfTestFailed,
    /// Something that had to happen within this time.
    NotWithin(Duration),
    /// The provider's name has no owner on the bus.
    DaemonGone,
    /// A command, by its member on the bus, and why it was refused.
    Refused(&'static str, Refusal),
}

/// Why a provider did not obey a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It did not answer within a second.
    Unanswered,
    /// The command was more than 100 ms old when it came.
    TooOld,
    /// An older epoch, an older sequence number, or a lease that had lapsed.
    NotCurrent,
    /// Another process holds the lease.
    NotHolder,
    /// A value outside what the device can do.
    OutOfRange,
    /// The device itself said no.
    Device,
    /// The device does not answer its daemon, or the daemon is gone.
    Unavailable,
    /// An error that the contract does not name; the journal has its text.
    Unnamed,
}

impl Refusal {
    /// In words, after the name of the command.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Unanswered => "was not answered within a second",
            Self::TooOld => "was more than 100 ms old when it came: the machine is overloaded",
            Self::NotCurrent => "came for an epoch that is over",
            Self::NotHolder => "came while another process holds the lease",
            Self::OutOfRange => "asked for more than the device can do",
            Self::Device => "was refused by the device itself",
            Self::Unavailable => "did not reach the device",
            Self::Unnamed => "was answered by an error, which the journal has",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seen => f.write_str("seen"),
            Self::Voltage(measured, limit) => write!(f, "{measured:.1}, limit {limit:.1}"),
            Self::Tripped(measured, limit) => {
                write!(f, "the over-voltage monitor tripped at {measured:.1}, limit {limit:.1}")
            }
            Self::Current(measured, limit) => write!(f, "{measured:.1}, limit {limit:.1}"),
            Self::Resistance(measured, limit) => write!(f, "{measured:.0}, limit {limit:.0}"),
            Self::Temperature(measured, limit) => write!(f, "{measured:.1}, limit {limit:.1}"),
            Self::Sensors(tell, told) => write!(f, "{tell} of {told} temperature sensors tell"),
            Self::Register(reads, before) => write!(f, "it reads {reads} after {before}"),
            Self::Pilot(pilot) => write!(f, "pilot {pilot}"),
            Self::Contactors(contactors) => write!(f, "contactors {contactors}"),
            Self::SelfTestFailed => f.write_str("the insulation monitor failed its self-test"),
            Self::NotWithin(time) => write!(f, "not within {:.1} s", time.as_secs_f64()),
            Self::DaemonGone => f.write_str("its daemon is not on the bus"),
            Self::Refused(command, refusal) => write!(f, "{command} {}", refusal.words()),
        }
    }
}

/// A fault, latched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub code: FaultCode,
    /// When it was seen.
    pub at: Timestamp,
    /// What proved it.
    pub evidence: Evidence,
}

impl Fault {
    /// What is wrong and what proved it, as a technician reads it.
    #[must_use]
    pub fn cause(&self) -> String {
        match self.evidence {
            Evidence::Seen => self.code.words().to_owned(),
            measured @ (Evidence::Voltage(..)
            | Evidence::Tripped(..)
            | Evidence::Current(..)
            | Evidence::Resistance(..)
            | Evidence::Temperature(..)
            | Evidence::Sensors(..)
            | Evidence::Register(..)
            | Evidence::Pilot(_)
            | Evidence::Contactors(_)
            | Evidence::SelfTestFailed
            | Evidence::NotWithin(_)
            | Evidence::DaemonGone
            | Evidence::Refused(..)) => format!("{}: {measured}", self.code.words()),
        }
    }
}

/// The latched faults, oldest first; each code once, so their number is bounded.
#[derive(Debug, Clone, Default)]
pub(super) struct Latched(Vec<Fault>);

impl Latched {
    /// Latches; true if the code was not latched yet.
    pub(super) fn latch(&mut self, fault: Fault) -> bool {
        let new = !self.has(fault.code);
        if new {
            self.0.push(fault);
        }
        new
    }

    pub(super) fn has(&self, code: FaultCode) -> bool {
        self.0.iter().any(|fault| fault.code == code)
    }

    /// Keeps what `stays`; true if something was cleared.
    pub(super) fn retain(&mut self, stays: impl Fn(&Fault) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(stays);
        self.0.len() != before
    }

    pub(super) fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}
