//! Maxwell MXR modules, "Communication Protocol V1.50" (vendor document); Winline UXR and NXR
//! speak the same.
//!
//! CAN 2.0B at 125 kbit/s, eight bytes, big-endian. Each register is a float or an integer; a set
//! is answered by its register, and byte 1 says whether it was taken. Zero is on. A voltage below
//! the module's range is refused. The document does not say how long a module waits for its
//! controller (its alarm bit 16 says that it did).

use voltry_units::{Amps, Celsius, Volts};

use crate::{
    Condition, Conditions, Destination, Family, Frame, Input, Malformed, Message, Order, Questions, Refusal,
    Reply, Request, SetPoint, Source, Status, Unencodable,
};

/// The row of this family.
pub const FAMILY: Family = Family {
    name: "maxwell-mxr",
    vendor: "Maxwell",
    silence_limit: None,
    addresses: 0..=LAST_MODULE,
    grouped: false,
    tells_group: false,
    rating: None,
    set_point: SetPoint::Apart,
    ranges: &[],
    current_least: Amps::ZERO,
    questions: Questions {
        output: &[Request::ReadVoltage, Request::ReadCurrent],
        status: &[Request::ReadStatus],
        details: &[Request::ReadTemperature],
        identity: &[Request::ReadSerial, Request::ReadSerialRest],
        perhaps: &[],
        barriers: &[Request::ReadSerial, Request::ReadSerialRest, Request::ReadInput],
    },
    reports: None,
    encode,
    decode,
};

const LAST_MODULE: u8 = 0x3F;
const ALL: u8 = 0xFF;
const ALL_OF_GROUP: u8 = 0xFE;
/// The first group whose broadcast address is one of its own.
const FIRST_EXTENDED_GROUP: u8 = 8;
const LAST_GROUP: u8 = 60;
const CONTROLLER: u8 = 0xF0;
const PROTOCOL: u32 = 0x060;

const READ: u8 = 0x10;
const SET: u8 = 0x03;
const FLOAT: u8 = 0x41;
const INTEGER: u8 = 0x42;
const TAKEN: u8 = 0xF0;
const NOT_TAKEN: u8 = 0xF2;
/// Integers that mean a yes are the upper half word.
const YES: u32 = 0x0001_0000;

/// The registers, by number.
mod register {
    pub(super) const VOLTAGE: u16 = 0x0001;
    pub(super) const CURRENT: u16 = 0x0002;
    pub(super) const AMBIENT: u16 = 0x000B;
    pub(super) const PHASE_A: u16 = 0x000C;
    pub(super) const SET_CURRENT: u16 = 0x001B;
    pub(super) const SET_GROUP: u16 = 0x001E;
    pub(super) const ADDRESS_MODE: u16 = 0x001F;
    pub(super) const SET_VOLTAGE: u16 = 0x0021;
    pub(super) const SHUT_DOWN: u16 = 0x0030;
    pub(super) const STATUS: u16 = 0x0040;
    pub(super) const SERIAL_LOW: u16 = 0x0054;
    pub(super) const SERIAL_HIGH: u16 = 0x0055;
}

/// `protocol 9 · point-to-point 1 · destination 8 · source 8 · group 3`.
const fn identifier(point_to_point: bool, destination: u8, group: u8) -> u32 {
    PROTOCOL << 20
        | (point_to_point as u32) << 19
        | (destination as u32) << 11
        | (CONTROLLER as u32) << 3
        | group as u32
}

fn encode(to: Destination, request: Request) -> Result<Frame, Unencodable> {
    let (function, register, value) = content(request)?;
    let id = match to {
        Destination::Module(address) if address <= LAST_MODULE => identifier(true, address, 0),
        Destination::Group(group) if group < FIRST_EXTENDED_GROUP => identifier(false, ALL_OF_GROUP, group),
        Destination::Group(group) if group <= LAST_GROUP => identifier(false, 0xFD - group, 0),
        Destination::All => identifier(false, ALL, 0),
        Destination::Module(_) | Destination::Group(_) => return Err(Unencodable::OutOfRange(request)),
    };
    let [high, low] = register.to_be_bytes();
    let [a, b, c, d] = value.to_be_bytes();
    Ok(Frame { id, data: [function, 0, high, low, a, b, c, d] })
}

/// The function, the register and its value.
fn content(request: Request) -> Result<(u8, u16, u32), Unencodable> {
    let read = |register| Ok((READ, register, 0));
    let set = |register, value| Ok((SET, register, value));
    let too_much = Unencodable::OutOfRange(request);
    match request {
        Request::ReadVoltage => read(register::VOLTAGE),
        Request::ReadCurrent => read(register::CURRENT),
        Request::ReadStatus => read(register::STATUS),
        Request::ReadTemperature => read(register::AMBIENT),
        // One of the three phases tells whether there are mains.
        Request::ReadInput => read(register::PHASE_A),
        Request::ReadSerial => read(register::SERIAL_HIGH),
        Request::ReadSerialRest => read(register::SERIAL_LOW),
        // Zero is on.
        Request::Switch { on } => set(register::SHUT_DOWN, if on { 0 } else { YES }),
        Request::SetVoltage { voltage } if voltage < Volts::ZERO => Err(too_much),
        // Exact to a hundredth of a volt at a thousand.
        #[allow(clippy::cast_possible_truncation)]
        Request::SetVoltage { voltage } => set(register::SET_VOLTAGE, (voltage.as_si() as f32).to_bits()),
        // 1024 a ampere; rounded down, so that the sum over modules is never above the total.
        Request::SetCurrent { current } => {
            let steps = current.as_milli().checked_mul(1024).map(|product| product.div_euclid(1000));
            set(register::SET_CURRENT, steps.and_then(|steps| u32::try_from(steps).ok()).ok_or(too_much)?)
        }
        Request::SetGroup { group } if group <= LAST_GROUP => set(register::SET_GROUP, group.into()),
        Request::SetGroup { .. } => Err(too_much),
        Request::AddressMode { by_switch } => set(register::ADDRESS_MODE, if by_switch { YES } else { 0 }),
        Request::ReadOutput
        | Request::ReadOutputFixed
        | Request::ReadSystemOutput
        | Request::ReadSystemOutputFixed
        | Request::ReadCount
        | Request::ReadCapability
        | Request::ReadHours
        | Request::ReadRange
        | Request::ReadDirection
        | Request::ReadAvailable
        | Request::SetOutput { .. }
        | Request::SetSystemOutput { .. }
        | Request::Deliver { .. }
        | Request::WalkIn { .. }
        | Request::Sleep { .. }
        | Request::Identify { .. }
        | Request::SetRange { .. }
        | Request::SetDirection { .. }
        | Request::SetCutOff { .. }
        | Request::SetSilenceLimit { .. }
        | Request::KeepAlive => Err(Unencodable::Unsupported(request)),
    }
}

fn decode(bits: u32, data: &[u8]) -> Result<Message, Malformed> {
    // Masked to the fields' widths.
    #[allow(clippy::cast_possible_truncation)]
    let (destination, address) = ((bits >> 11 & 0xFF) as u8, (bits >> 3 & 0xFF) as u8);
    if bits >> 20 != PROTOCOL || destination != CONTROLLER || address > LAST_MODULE {
        return Err(Malformed::NotForUs(bits));
    }
    let data: [u8; 8] = data.try_into().map_err(|_| Malformed::Length(data.len()))?;
    let [form, verdict, high, low, a, b, c, d] = data;
    let register = u16::from_be_bytes([high, low]);
    let value = u32::from_be_bytes([a, b, c, d]);
    let reply = match (verdict, order(register)) {
        (TAKEN, Some(order)) => Reply::Done(order),
        (TAKEN, None) => said(register, form, value)?,
        (NOT_TAKEN, order) => Reply::Refused { order, why: Refusal::Data },
        (code, order) => Reply::Refused { order, why: Refusal::Unnamed(code) },
    };
    Ok(Message { source: Source::Module(address), reply })
}

fn order(register: u16) -> Option<Order> {
    Some(match register {
        register::SET_VOLTAGE => Order::SetVoltage,
        register::SET_CURRENT => Order::SetCurrent,
        register::SHUT_DOWN => Order::Switch,
        register::SET_GROUP => Order::SetGroup,
        register::ADDRESS_MODE => Order::AddressMode,
        _ => return None,
    })
}

fn said(register: u16, form: u8, value: u32) -> Result<Reply, Malformed> {
    let float = || f64::from(f32::from_bits(value));
    Ok(match (register, form) {
        (register::VOLTAGE, FLOAT) => Reply::Voltage(Volts::from_si(float())?),
        (register::CURRENT, FLOAT) => Reply::Current(Amps::from_si(float())?),
        (register::AMBIENT, FLOAT) => Reply::Temperature(Celsius::from_si(float())?),
        (register::PHASE_A, FLOAT) => {
            Reply::Input(Input { lines: [Volts::from_si(float())?, Volts::ZERO, Volts::ZERO] })
        }
        (register::STATUS, INTEGER) => {
            let conditions = Conditions::of_bits(value, STATUS_BITS);
            Reply::Status(Status { group: None, inlet: None, conditions })
        }
        (register::SERIAL_HIGH, INTEGER) => Reply::Serial(format!("{value:08X}")),
        (register::SERIAL_LOW, INTEGER) => Reply::SerialRest(format!("{value:08X}")),
        // Also a form that the register does not have: a float read as an integer would be nonsense.
        _ => return Err(Malformed::Command(register)),
    })
}

/// Table 2 of the document; bits not listed are reserved.
const STATUS_BITS: &[(u8, Condition)] = &[
    (0, Condition::Fault),
    (1, Condition::Protection),
    (3, Condition::InnerCommunication),
    // The input's mode, or its wiring.
    (4, Condition::InputAbnormal),
    (5, Condition::InputAbnormal),
    (7, Condition::OutputOverVoltage),
    (8, Condition::InputAbnormal),
    (9, Condition::InputOverVoltage),
    (14, Condition::InputUnderVoltage),
    (16, Condition::CommunicationInterrupted),
    (17, Condition::LoadSharing),
    // Set is off.
    (22, Condition::DcOff),
    (23, Condition::PowerLimited),
    (24, Condition::DeratedByTemperature),
    (25, Condition::DeratedByInput),
    (27, Condition::FanFault),
    (28, Condition::ShortCircuit),
    (30, Condition::OverTemperature),
    (31, Condition::OutputOverVoltage),
];
