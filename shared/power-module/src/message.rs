//! What a controller and its modules say to one another, in words all families share.

use std::time::Duration;

use voltry_units::{Amps, Celsius, OutOfRange, Volts, Watts};

use crate::Conditions;

/// A CAN data frame: a 29-bit identifier and eight bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The identifier; its upper three bits are zero.
    pub id: u32,
    /// The data.
    pub data: [u8; 8],
}

/// Whom a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Destination {
    /// The module with this address.
    Module(u8),
    /// Every module of this group.
    Group(u8),
    /// Every module on the bus.
    All,
}

/// What a controller asks or orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Request {
    /// Voltage and current of one module.
    ReadOutput,
    /// The same, as integers where the family has both forms.
    ReadOutputFixed,
    /// Its voltage alone, where a frame carries one value.
    ReadVoltage,
    /// Its current alone.
    ReadCurrent,
    /// Voltage and total current of a group, told by its master.
    ReadSystemOutput,
    /// The same, as integers where the family has both forms.
    ReadSystemOutputFixed,
    /// How many modules there are.
    ReadCount,
    /// Conditions, and the temperature where they share a frame.
    ReadStatus,
    /// The temperature of the air that it takes in.
    ReadTemperature,
    /// The mains.
    ReadInput,
    /// What the module is rated for.
    ReadCapability,
    /// The serial number, or its first part.
    ReadSerial,
    /// The rest of it, where one frame is too small.
    ReadSerialRest,
    /// For how many hours it has worked.
    ReadHours,
    /// The output range that is really active.
    ReadRange,
    /// Which way power flows.
    ReadDirection,
    /// The voltage outside the output diode, and the current that the module can give now.
    ReadAvailable,
    /// Output on or off.
    Switch {
        /// Whether it shall deliver.
        on: bool,
    },
    /// Voltage not to exceed and current to give, of one module.
    SetOutput {
        /// Volts.
        voltage: Volts,
        /// Amperes of this module.
        current: Amps,
    },
    /// Its voltage not to exceed, where a frame carries one value.
    SetVoltage {
        /// Volts.
        voltage: Volts,
    },
    /// The current to give, where a frame carries one value.
    SetCurrent {
        /// Amperes of this module, or of the group where the family's groups share by themselves.
        current: Amps,
    },
    /// Output on with these values, where one frame says both.
    Deliver {
        /// Volts.
        voltage: Volts,
        /// Amperes of this module.
        current: Amps,
    },
    /// The output range. Most modules take it only while they are off.
    SetRange {
        /// The range.
        range: Range,
    },
    /// Which way power flows.
    SetDirection {
        /// From the vehicle to the mains; otherwise to the vehicle.
        inverting: bool,
    },
    /// The voltage of the battery below which it is not discharged.
    SetCutOff {
        /// Volts.
        voltage: Volts,
    },
    /// How long the module waits for a frame before it switches its output off.
    SetSilenceLimit {
        /// Whole seconds.
        limit: Duration,
    },
    /// Says that the controller lives. Nobody answers.
    KeepAlive,
    /// The same for a group, which shares the total current by itself.
    SetSystemOutput {
        /// Volts.
        voltage: Volts,
        /// Amperes of all modules together.
        current: Amps,
    },
    /// Slow ramp at switching on.
    WalkIn {
        /// Whether to ramp slowly.
        on: bool,
    },
    /// Sleep, or wake.
    Sleep {
        /// Whether to sleep.
        on: bool,
    },
    /// Blink, so that a person finds the module.
    Identify {
        /// Whether to blink.
        on: bool,
    },
    /// Move the module to a group.
    SetGroup {
        /// The group's number.
        group: u8,
    },
    /// How modules get their addresses.
    AddressMode {
        /// By their switches; otherwise automatically.
        by_switch: bool,
    },
}

/// How a module connects its halves: in series for the high range, in parallel for the low one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Range {
    /// Up to the highest voltage.
    High,
    /// Half the voltage, more current.
    Low,
    /// The module chooses by itself.
    Automatic,
}

/// A request that a family cannot put in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unencodable {
    /// The family has no such command.
    #[error("the family has no frame for {0:?}")]
    Unsupported(Request),
    /// An address, group, voltage or current outside what the frame can carry.
    #[error("{0:?} is outside what a frame can carry")]
    OutOfRange(Request),
}

/// Who sent a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The module with this address.
    Module(u8),
    /// A group's master, for its whole group.
    System,
}

/// What a module says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub source: Source,
    /// What it says.
    pub reply: Reply,
}

/// The content of a module's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Of one module; answers [`Request::ReadOutput`].
    Output(Output),
    /// Of one module; answers [`Request::ReadOutputFixed`].
    OutputFixed(Output),
    /// Answers [`Request::ReadVoltage`].
    Voltage(Volts),
    /// Answers [`Request::ReadCurrent`].
    Current(Amps),
    /// Of one module, with what it does: a family whose modules report by themselves, or whose
    /// answer to [`Request::ReadOutput`] says it too.
    Report(Report),
    /// Of a group.
    SystemOutput(Output),
    /// How many modules there are.
    Count(u8),
    /// Conditions, and the temperature where they share a frame.
    Status(Status),
    /// Of the air that it takes in.
    Temperature(Celsius),
    /// The mains.
    Input(Input),
    /// What it is rated for.
    Capability(Capability),
    /// Its serial number; hexadecimal, from `0x` on, where it is none of the family's form.
    Serial(String),
    /// The rest of it.
    SerialRest(String),
    /// For how many hours it has worked.
    Hours(u32),
    /// The range that is active.
    Range(Range),
    /// Which way power flows: from the vehicle to the mains, or to the vehicle.
    Direction {
        /// From the vehicle.
        inverting: bool,
    },
    /// What it could give now.
    Available {
        /// Volts outside the output diode, where the family measures them.
        external: Option<Volts>,
        /// Amperes.
        current: Amps,
    },
    /// The order was taken. Which values it carried is not said.
    Done(Order),
    /// A request, by its kind, was not taken.
    Refused {
        /// The order, if it was one.
        order: Option<Order>,
        /// Why.
        why: Refusal,
    },
}

/// The orders that are confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// [`Request::Switch`].
    Switch,
    /// [`Request::SetOutput`].
    SetOutput,
    /// [`Request::SetSystemOutput`].
    SetSystemOutput,
    /// [`Request::SetVoltage`].
    SetVoltage,
    /// [`Request::SetCurrent`].
    SetCurrent,
    /// [`Request::Deliver`], or [`Request::Switch`]: the family has one confirmation for both.
    Deliver,
    /// [`Request::SetRange`].
    SetRange,
    /// [`Request::SetDirection`].
    SetDirection,
    /// [`Request::SetCutOff`].
    SetCutOff,
    /// [`Request::SetSilenceLimit`].
    SetSilenceLimit,
    /// [`Request::WalkIn`].
    WalkIn,
    /// [`Request::Sleep`].
    Sleep,
    /// [`Request::Identify`].
    Identify,
    /// [`Request::SetGroup`].
    SetGroup,
    /// [`Request::AddressMode`].
    AddressMode,
}

/// Why a module did not do as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It has no such command.
    Command,
    /// The values are outside what it does.
    Data,
    /// The address is not its own.
    Address,
    /// It is still starting.
    Starting,
    /// A code that the vendor document does not name.
    Unnamed(u8),
}

/// A voltage and a current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// Volts.
    pub voltage: Volts,
    /// Amperes.
    pub current: Amps,
}

/// What a module delivers, and what else it says with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// What it delivers.
    pub output: Output,
    /// What holds, as far as this frame says.
    pub conditions: Conditions,
}

/// A module's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The group it belongs to, where the frame says it.
    pub group: Option<u8>,
    /// Degrees Celsius at the inlet, where the frame says it.
    pub inlet: Option<Celsius>,
    /// What holds, as far as this frame says.
    pub conditions: Conditions,
}

/// The mains at a module's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Volts between phases AB, BC, CA. A single-phase module fills the first, one fed by DC the last.
    pub lines: [Volts; 3],
}

/// What a module is rated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// Volts.
    pub voltage_min: Volts,
    /// Volts.
    pub voltage_max: Volts,
    /// Amperes.
    pub current_max: Amps,
    /// Watts.
    pub power_max: Watts,
}

/// A frame that is not a module's answer.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// The identifier belongs to something else on the bus, or to another controller.
    #[error("identifier {0:08X} is not of a module answering us")]
    NotForUs(u32),
    /// Fewer or more than the family's eight bytes.
    #[error("{0} bytes instead of 8")]
    Length(usize),
    /// A command that we do not know.
    #[error("unknown command {0:#04X}")]
    Command(u16),
    /// A number that is no physical value.
    #[error("{0}")]
    Value(#[from] OutOfRange),
}
