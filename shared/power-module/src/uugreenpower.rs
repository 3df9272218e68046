//! UUGreenPower UR modules, "CAN communication protocol 36.2" (vendor document); Ark Tech 2.1 and
//! Maxwell ENR "S0" are the same, with a few commands more.
//!
//! CAN 2.0B at 125 kbit/s, eight bytes, big-endian; volts, amperes and degrees in thousandths.
//! A set for one module is echoed; **a set for all is carried out by each and answered by none**,
//! so that a current for all is given by each of them. Zero is on. The range is taken only while
//! the output is off. The document does not say how long a module waits for its controller.

use voltry_units::{Amps, Celsius, OutOfRange, Volts};

use crate::{
    Condition, Conditions, Destination, Family, Frame, Input, Malformed, Message, Order, Questions, Range,
    Reply, Request, SetPoint, Source, Status, Unencodable,
};

/// The row of this family.
pub const FAMILY: Family = Family {
    name: "uugreenpower",
    vendor: "UUGreenPower",
    silence_limit: None,
    addresses: 1..=LAST_MODULE,
    grouped: false,
    tells_group: false,
    rating: None,
    set_point: SetPoint::Apart,
    ranges: &[Range::High, Range::Low, Range::Automatic],
    current_least: Amps::ZERO,
    questions: Questions {
        output: &[Request::ReadVoltage, Request::ReadCurrent],
        status: &[Request::ReadStatus],
        details: &[Request::ReadAvailable, Request::ReadTemperature],
        identity: &[Request::ReadSerial],
        // Only ENR.
        perhaps: &[Request::ReadHours],
        barriers: &[Request::ReadSerial, Request::ReadInput, Request::ReadRange],
    },
    reports: None,
    encode,
    decode,
};

const LAST_MODULE: u8 = 0x7F;
const PROTOCOL: u32 = 1;
const CONTROLLER: u32 = 1;
/// The modules' default group; a module takes frames of its own group and of group 0.
const GROUP: u8 = 1;

/// The low half of byte 0.
mod kind {
    pub(super) const SET: u8 = 0;
    pub(super) const SET_REPLY: u8 = 1;
    pub(super) const READ: u8 = 2;
    pub(super) const READ_REPLY: u8 = 3;
    pub(super) const SERIAL_REPLY: u8 = 4;
}

/// Byte 1.
mod command {
    pub(super) const VOLTAGE: u8 = 0;
    pub(super) const CURRENT: u8 = 1;
    pub(super) const SET_VOLTAGE: u8 = 2;
    pub(super) const SET_CURRENT: u8 = 3;
    pub(super) const SHUT_DOWN: u8 = 4;
    pub(super) const SERIAL: u8 = 5;
    pub(super) const STATUS: u8 = 8;
    pub(super) const LINE_AB: u8 = 20;
    pub(super) const INLET: u8 = 30;
    pub(super) const SET_RANGE: u8 = 95;
    pub(super) const ACTIVE_RANGE: u8 = 101;
    pub(super) const AVAILABLE: u8 = 104;
    pub(super) const EXTENDED: u8 = 127;
}

/// Bytes 2 and 3 of [`command::EXTENDED`]: hours of work.
const HOURS: u16 = 24;

const fn identifier(address: u8) -> u32 {
    PROTOCOL << 25 | CONTROLLER << 21 | (address as u32) << 14
}

fn encode(to: Destination, request: Request) -> Result<Frame, Unencodable> {
    let (kind, command, extended, value) = content(request)?;
    let address = match to {
        Destination::Module(address) if (1..=LAST_MODULE).contains(&address) => address,
        Destination::All => 0,
        Destination::Module(_) | Destination::Group(_) => return Err(Unencodable::OutOfRange(request)),
    };
    let [high, low] = extended.to_be_bytes();
    let [a, b, c, d] = value.to_be_bytes();
    Ok(Frame { id: identifier(address), data: [GROUP << 4 | kind, command, high, low, a, b, c, d] })
}

/// The message type, the command, what it extends it by, and its value.
fn content(request: Request) -> Result<(u8, u8, u16, u32), Unencodable> {
    let unsigned = |milli: i64| u32::try_from(milli).map_err(|_| Unencodable::OutOfRange(request));
    let read = |command| Ok((kind::READ, command, 0, 0));
    let set = |command, value| Ok((kind::SET, command, 0, value));
    match request {
        Request::ReadVoltage => read(command::VOLTAGE),
        Request::ReadCurrent => read(command::CURRENT),
        Request::ReadStatus => read(command::STATUS),
        Request::ReadTemperature => read(command::INLET),
        // One of the three lines tells whether there are mains.
        Request::ReadInput => read(command::LINE_AB),
        Request::ReadSerial => read(command::SERIAL),
        Request::ReadHours => Ok((kind::READ, command::EXTENDED, HOURS, 0)),
        Request::ReadRange => read(command::ACTIVE_RANGE),
        Request::ReadAvailable => read(command::AVAILABLE),
        // Zero is on.
        Request::Switch { on } => set(command::SHUT_DOWN, u32::from(!on)),
        Request::SetVoltage { voltage } => set(command::SET_VOLTAGE, unsigned(voltage.as_milli())?),
        Request::SetCurrent { current } => set(command::SET_CURRENT, unsigned(current.as_milli())?),
        Request::SetRange { range } => set(command::SET_RANGE, number(range)),
        Request::ReadOutput
        | Request::ReadOutputFixed
        | Request::ReadSystemOutput
        | Request::ReadSystemOutputFixed
        | Request::ReadCount
        | Request::ReadCapability
        | Request::ReadSerialRest
        | Request::ReadDirection
        | Request::SetOutput { .. }
        | Request::SetSystemOutput { .. }
        | Request::Deliver { .. }
        | Request::WalkIn { .. }
        | Request::Sleep { .. }
        | Request::Identify { .. }
        | Request::SetGroup { .. }
        | Request::AddressMode { .. }
        | Request::SetDirection { .. }
        | Request::SetCutOff { .. }
        | Request::SetSilenceLimit { .. }
        | Request::KeepAlive => Err(Unencodable::Unsupported(request)),
    }
}

const fn number(range: Range) -> u32 {
    match range {
        Range::High => 1,
        Range::Low => 2,
        Range::Automatic => 3,
    }
}

fn decode(bits: u32, data: &[u8]) -> Result<Message, Malformed> {
    // Masked to the field's width.
    #[allow(clippy::cast_possible_truncation)]
    let address = (bits >> 14 & 0x7F) as u8;
    // A module may answer all monitors.
    if bits >> 25 != PROTOCOL || ![0, CONTROLLER].contains(&(bits >> 21 & 0xF)) || address == 0 {
        return Err(Malformed::NotForUs(bits));
    }
    let data: [u8; 8] = data.try_into().map_err(|_| Malformed::Length(data.len()))?;
    let [first, command, high, low, a, b, c, d] = data;
    let value = u32::from_be_bytes([a, b, c, d]);
    let reply = match first & 0xF {
        // A controller's own words, seen by another listener.
        kind::SET | kind::READ => return Err(Malformed::NotForUs(bits)),
        kind::SET_REPLY => order(command).map(Reply::Done).ok_or(Malformed::Command(command.into()))?,
        // Seen with both types.
        kind::READ_REPLY if command != command::SERIAL => {
            said(command, u16::from_be_bytes([high, low]), value)?
        }
        kind::READ_REPLY | kind::SERIAL_REPLY => Reply::Serial(format!("{high:02X}{low:02X}{value:08X}")),
        other => return Err(Malformed::Command(other.into())),
    };
    Ok(Message { source: Source::Module(address), reply })
}

fn order(command: u8) -> Option<Order> {
    Some(match command {
        command::SET_VOLTAGE => Order::SetVoltage,
        command::SET_CURRENT => Order::SetCurrent,
        command::SHUT_DOWN => Order::Switch,
        command::SET_RANGE => Order::SetRange,
        _ => return None,
    })
}

fn said(command: u8, extended: u16, value: u32) -> Result<Reply, Malformed> {
    let volts = || Volts::from_si(f64::from(value) / 1000.0);
    let amps = || Amps::from_si(f64::from(value) / 1000.0);
    Ok(match command {
        command::VOLTAGE => Reply::Voltage(volts()?),
        command::CURRENT => Reply::Current(amps()?),
        command::STATUS => {
            let conditions = Conditions::of_bits(value, STATUS_BITS);
            Reply::Status(Status { group: None, inlet: None, conditions })
        }
        command::LINE_AB => Reply::Input(Input { lines: [volts()?, Volts::ZERO, Volts::ZERO] }),
        command::INLET => Reply::Temperature(celsius(value)?),
        command::ACTIVE_RANGE => Reply::Range(range(value).ok_or(Malformed::Command(command.into()))?),
        command::AVAILABLE => Reply::Available { external: None, current: amps()? },
        command::EXTENDED if extended == HOURS => Reply::Hours(value),
        _ => return Err(Malformed::Command(command.into())),
    })
}

/// Thousandths of a degree, below zero as a two's complement.
fn celsius(value: u32) -> Result<Celsius, OutOfRange> {
    Celsius::from_si(f64::from(value.cast_signed()) / 1000.0)
}

const fn range(value: u32) -> Option<Range> {
    match value {
        1 => Some(Range::High),
        2 => Some(Range::Low),
        3 => Some(Range::Automatic),
        _ => None,
    }
}

/// Bit 0 is the lowest of byte 7. Bits 10, 26 and 27 are states of no use here.
const STATUS_BITS: &[(u8, Condition)] = &[
    (0, Condition::InputOverVoltage),
    (1, Condition::InputUnderVoltage),
    (2, Condition::InputOverVoltage),
    (3, Condition::InputAbnormal),
    (4, Condition::InputAbnormal),
    (5, Condition::InputAbnormal),
    (6, Condition::OutputOverVoltage),
    (7, Condition::OutputOverVoltage),
    (8, Condition::OutputUnderVoltage),
    (9, Condition::FanFault),
    (11, Condition::FanFault),
    (12, Condition::OverTemperature),
    (13, Condition::UnderTemperature),
    (14, Condition::OverTemperature),
    (15, Condition::RelayFailed),
    (16, Condition::OverTemperature),
    (17, Condition::OverTemperature),
    (18, Condition::InnerCommunication),
    // It waits for the input stage.
    (19, Condition::PfcOff),
    (20, Condition::Fault),
    (21, Condition::Fault),
    (22, Condition::DeratedByInput),
    (23, Condition::DeratedByTemperature),
    (24, Condition::PfcOff),
    (25, Condition::DcOff),
    (28, Condition::OutputUnbalanced),
    (29, Condition::DuplicateId),
    (30, Condition::ShortCircuit),
    (31, Condition::BleederFailed),
];
