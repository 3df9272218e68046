//! What a controller and its modules say to one another, in words all families share.

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
    /// Voltage and total current of a group, told by its master.
    ReadSystemOutput,
    /// The same, as integers where the family has both forms.
    ReadSystemOutputFixed,
    /// How many modules there are.
    ReadCount,
    /// Temperature and conditions.
    ReadStatus,
    /// The mains.
    ReadInput,
    /// What the module is rated for.
    ReadCapability,
    /// The serial number.
    ReadSerial,
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
    /// Of a group.
    SystemOutput(Output),
    /// How many modules there are.
    Count(u8),
    /// Temperature and conditions.
    Status(Status),
    /// The mains.
    Input(Input),
    /// What it is rated for.
    Capability(Capability),
    /// Its serial number; hexadecimal, from `0x` on, where it is none of the family's form.
    Serial(String),
    /// What it could give now.
    Available {
        /// Volts outside the output diode.
        external: Volts,
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

/// A module's temperature and conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The group it belongs to.
    pub group: u8,
    /// Degrees Celsius at the inlet.
    pub inlet: Celsius,
    /// What holds.
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
    /// A command that the vendor document does not name.
    #[error("unknown command {0:#04X}")]
    Command(u8),
    /// A number that is no physical value.
    #[error("{0}")]
    Value(#[from] OutOfRange),
}
