//! Infypower REG, CEG and LRG modules, "CAN communication protocol V1.13" (vendor document).
//!
//! CAN 2.0B at 125 kbit/s, eight bytes, big-endian. A read is answered by the same command from
//! the module; so is a write, and the identifier's error field says whether it was taken.
//! The values of a write are not promised to come back with its answer.

pub(crate) mod id;

use std::time::Duration;

use voltry_units::{Amps, Celsius, OutOfRange, Volts, Watts};

use self::id::Id;
use crate::{
    Capability, Condition, Conditions, Destination, Family, Frame, Input, Malformed, Message, Order, Output,
    Questions, Refusal, Reply, Request, SetPoint, Source, Status, Unencodable,
};

/// The row of this family.
pub const FAMILY: Family = Family {
    name: "infypower",
    vendor: "Infypower",
    silence_limit: Some(Duration::from_secs(10)),
    addresses: 0..=LAST_MODULE,
    grouped: false,
    tells_group: true,
    rating: None,
    set_point: SetPoint::Together,
    ranges: &[],
    current_least: Amps::ZERO,
    questions: Questions {
        output: &[Request::ReadOutput],
        status: &[Request::ReadStatus],
        details: &[Request::ReadAvailable],
        identity: &[Request::ReadCapability, Request::ReadSerial],
        perhaps: &[],
        barriers: &[
            Request::ReadCapability,
            Request::ReadSerial,
            Request::ReadInput,
            Request::ReadOutputFixed,
        ],
    },
    reports: None,
    encode,
    decode,
};

pub(crate) const LAST_MODULE: u8 = 0x3B;
pub(crate) const LAST_GROUP: u8 = 0x3B;
pub(crate) const BROADCAST: u8 = 0x3F;
pub(crate) const CONTROLLER: u8 = 0xF0;
pub(crate) const DEVICE_MODULE: u8 = 0x0A;
pub(crate) const DEVICE_GROUP: u8 = 0x0B;

/// The command field of the identifier.
mod command {
    pub(super) const SYSTEM_OUTPUT: u8 = 0x01;
    pub(super) const COUNT: u8 = 0x02;
    pub(super) const OUTPUT: u8 = 0x03;
    pub(super) const STATUS: u8 = 0x04;
    pub(super) const INPUT: u8 = 0x06;
    pub(super) const SYSTEM_OUTPUT_FIXED: u8 = 0x08;
    pub(super) const OUTPUT_FIXED: u8 = 0x09;
    pub(super) const CAPABILITY: u8 = 0x0A;
    pub(super) const BARCODE: u8 = 0x0B;
    pub(super) const AVAILABLE: u8 = 0x0C;
    pub(super) const WALK_IN: u8 = 0x13;
    pub(super) const IDENTIFY: u8 = 0x14;
    pub(super) const SET_GROUP: u8 = 0x16;
    pub(super) const SLEEP: u8 = 0x19;
    pub(super) const SWITCH: u8 = 0x1A;
    pub(super) const SET_SYSTEM: u8 = 0x1B;
    pub(super) const SET_MODULE: u8 = 0x1C;
    pub(super) const ADDRESS_MODE: u8 = 0x1F;
}

fn encode(to: Destination, request: Request) -> Result<Frame, Unencodable> {
    let (command, data) = content(request)?;
    let (device, destination) = match to {
        Destination::Module(address) if address <= LAST_MODULE => (DEVICE_MODULE, address),
        Destination::Group(group) if group <= LAST_GROUP => (DEVICE_GROUP, group),
        Destination::All => (DEVICE_MODULE, BROADCAST),
        Destination::Module(_) | Destination::Group(_) => return Err(Unencodable::OutOfRange(request)),
    };
    let id = Id { error: 0, device, command, destination, source: CONTROLLER };
    Ok(Frame { id: id.bits(), data })
}

/// The command and its data.
fn content(request: Request) -> Result<(u8, [u8; 8]), Unencodable> {
    let first = |byte: u8| [byte, 0, 0, 0, 0, 0, 0, 0];
    let flag = |on: bool| first(u8::from(on));
    let too_much = Unencodable::OutOfRange(request);
    Ok(match request {
        Request::ReadOutput => (command::OUTPUT, [0; 8]),
        Request::ReadOutputFixed => (command::OUTPUT_FIXED, [0; 8]),
        Request::ReadSystemOutput => (command::SYSTEM_OUTPUT, [0; 8]),
        Request::ReadSystemOutputFixed => (command::SYSTEM_OUTPUT_FIXED, [0; 8]),
        Request::ReadCount => (command::COUNT, [0; 8]),
        Request::ReadStatus => (command::STATUS, [0; 8]),
        Request::ReadInput => (command::INPUT, [0; 8]),
        Request::ReadCapability => (command::CAPABILITY, [0; 8]),
        Request::ReadSerial => (command::BARCODE, [0; 8]),
        Request::ReadAvailable => (command::AVAILABLE, [0; 8]),
        // Zero is on.
        Request::Switch { on } => (command::SWITCH, flag(!on)),
        Request::SetOutput { voltage, current } => {
            (command::SET_MODULE, fixed(voltage, current).ok_or(too_much)?)
        }
        Request::SetSystemOutput { voltage, current } => {
            (command::SET_SYSTEM, fixed(voltage, current).ok_or(too_much)?)
        }
        Request::WalkIn { on } => (command::WALK_IN, flag(on)),
        Request::Sleep { on } => (command::SLEEP, flag(on)),
        Request::Identify { on } => (command::IDENTIFY, flag(on)),
        Request::SetGroup { group } if group <= LAST_GROUP => (command::SET_GROUP, first(group)),
        Request::SetGroup { .. } => return Err(too_much),
        Request::AddressMode { by_switch } => (command::ADDRESS_MODE, flag(by_switch)),
        Request::ReadVoltage
        | Request::ReadCurrent
        | Request::ReadTemperature
        | Request::ReadSerialRest
        | Request::ReadDirection
        | Request::ReadHours
        | Request::ReadRange
        | Request::SetVoltage { .. }
        | Request::SetCurrent { .. }
        | Request::Deliver { .. }
        | Request::SetRange { .. }
        | Request::SetDirection { .. }
        | Request::SetCutOff { .. }
        | Request::SetSilenceLimit { .. }
        | Request::KeepAlive => return Err(Unencodable::Unsupported(request)),
    })
}

/// Millivolts and milliamperes.
fn fixed(voltage: Volts, current: Amps) -> Option<[u8; 8]> {
    let volts = u32::try_from(voltage.as_milli()).ok()?.to_be_bytes();
    let amps = u32::try_from(current.as_milli()).ok()?.to_be_bytes();
    Some(joined(volts, amps))
}

fn joined(first: [u8; 4], second: [u8; 4]) -> [u8; 8] {
    let [a, b, c, d] = first;
    let [e, f, g, h] = second;
    [a, b, c, d, e, f, g, h]
}

fn decode(bits: u32, data: &[u8]) -> Result<Message, Malformed> {
    let id = Id::from_bits(bits).ok_or(Malformed::NotForUs(bits))?;
    if id.destination != CONTROLLER || !(DEVICE_MODULE..=DEVICE_GROUP).contains(&id.device) {
        return Err(Malformed::NotForUs(bits));
    }
    let source = match id.source {
        BROADCAST => Source::System,
        address if address <= LAST_MODULE => Source::Module(address),
        _ => return Err(Malformed::NotForUs(bits)),
    };
    let data: [u8; 8] = data.try_into().map_err(|_| Malformed::Length(data.len()))?;
    let reply = match refusal(id.error) {
        None => said(id.command, data)?,
        Some(why) => Reply::Refused { order: order(id.command), why },
    };
    Ok(Message { source, reply })
}

pub(crate) fn refusal(error: u8) -> Option<Refusal> {
    match error {
        0 => None,
        2 => Some(Refusal::Command),
        3 => Some(Refusal::Data),
        4 => Some(Refusal::Address),
        7 => Some(Refusal::Starting),
        code => Some(Refusal::Unnamed(code)),
    }
}

fn order(command: u8) -> Option<Order> {
    Some(match command {
        command::WALK_IN => Order::WalkIn,
        command::IDENTIFY => Order::Identify,
        command::SET_GROUP => Order::SetGroup,
        command::SLEEP => Order::Sleep,
        command::SWITCH => Order::Switch,
        command::SET_SYSTEM => Order::SetSystemOutput,
        command::SET_MODULE => Order::SetOutput,
        command::ADDRESS_MODE => Order::AddressMode,
        _ => return None,
    })
}

fn said(command: u8, data: [u8; 8]) -> Result<Reply, Malformed> {
    let word = |at: usize| i64::from(u16::from_be_bytes([data[at], data[at + 1]]));
    Ok(match command {
        command::SYSTEM_OUTPUT => Reply::SystemOutput(floats(data)?),
        command::SYSTEM_OUTPUT_FIXED => Reply::SystemOutput(integers(data)?),
        command::OUTPUT => Reply::Output(floats(data)?),
        command::OUTPUT_FIXED => Reply::OutputFixed(integers(data)?),
        command::COUNT => Reply::Count(data[2]),
        command::STATUS => Reply::Status(Status {
            group: Some(data[2]),
            inlet: Some(Celsius::new(i32::from(i8::from_be_bytes([data[4]])))),
            conditions: conditions(data),
        }),
        // Tenths of a volt.
        command::INPUT => {
            Reply::Input(Input { lines: [0, 2, 4].map(|at| Volts::from_milli(word(at) * 100)) })
        }
        // Volts, volts, tenths of an ampere, tens of watts.
        command::CAPABILITY => Reply::Capability(Capability {
            voltage_max: Volts::from_milli(word(0) * 1000),
            voltage_min: Volts::from_milli(word(2) * 1000),
            current_max: Amps::from_milli(word(4) * 100),
            power_max: Watts::from_milli(word(6) * 10_000),
        }),
        command::BARCODE => Reply::Serial(barcode(data)),
        command::AVAILABLE => Reply::Available {
            external: Some(Volts::from_milli(word(0) * 100)),
            current: Amps::from_milli(word(2) * 100),
        },
        command => order(command).map(Reply::Done).ok_or(Malformed::Command(command.into()))?,
    })
}

fn floats([a, b, c, d, e, f, g, h]: [u8; 8]) -> Result<Output, OutOfRange> {
    Ok(Output {
        voltage: Volts::from_si(f32::from_be_bytes([a, b, c, d]).into())?,
        current: Amps::from_si(f32::from_be_bytes([e, f, g, h]).into())?,
    })
}

fn integers([a, b, c, d, e, f, g, h]: [u8; 8]) -> Result<Output, OutOfRange> {
    Ok(Output {
        voltage: Volts::from_si(f64::from(u32::from_be_bytes([a, b, c, d])) / 1000.0)?,
        current: Amps::from_si(f64::from(u32::from_be_bytes([e, f, g, h])) / 1000.0)?,
    })
}

/// Twelve digits, a letter, four digits; the letter comes first on the wire. A module that was never
/// given such a number delivers no worse: its bytes as they are tell it from others.
fn barcode([letter, a, b, c, d, e, f, g]: [u8; 8]) -> String {
    let digits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    let last = u16::from_be_bytes([f, g]);
    if digits > 999_999_999_999 || last > 9999 || !letter.is_ascii_alphanumeric() {
        return format!("0x{letter:02X}{digits:010X}{last:04X}");
    }
    format!("{digits:012}{}{last:04}", char::from(letter))
}

/// What each bit of the status means: byte, bit, condition. Bits not listed are reserved.
const STATUS_BITS: &[(usize, u8, Condition)] = &[
    (7, 0, Condition::ShortCircuit),
    (7, 3, Condition::InputAbnormal),
    (7, 4, Condition::Asleep),
    (7, 5, Condition::BleederFailed),
    (7, 6, Condition::AirDuctBlocked),
    (7, 7, Condition::CommunicationInterrupted),
    (6, 0, Condition::DcOff),
    (6, 1, Condition::Fault),
    (6, 2, Condition::Protection),
    (6, 3, Condition::FanFault),
    (6, 4, Condition::OverTemperature),
    (6, 5, Condition::OutputOverVoltage),
    (6, 6, Condition::WalkIn),
    (6, 7, Condition::CommunicationInterrupted),
    (5, 0, Condition::PowerLimited),
    (5, 1, Condition::DuplicateId),
    (5, 2, Condition::LoadSharing),
    (5, 3, Condition::PhaseLoss),
    (5, 4, Condition::PhaseUnbalance),
    (5, 5, Condition::InputUnderVoltage),
    (5, 6, Condition::InputOverVoltage),
    (5, 7, Condition::PfcOff),
];

pub(crate) fn conditions(data: [u8; 8]) -> Conditions {
    STATUS_BITS
        .iter()
        .filter(|(byte, bit, _)| data[*byte] >> bit & 1 == 1)
        .map(|(_, _, condition)| *condition)
        .collect()
}
