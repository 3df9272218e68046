//! Infypower BEC and BEG modules, which also take power from a vehicle (V1.04, by public drivers);
//! Phoenix Contact's charging module speaks the same.
//!
//! The identifier is that of [`crate::infypower`]. Command 0x23 reads an object and 0x24 writes it:
//! bytes 0 and 1 name it, bytes 4 to 7 are its value, big-endian, in thousandths. A controller
//! speaks to a **group**, whose master answers for all what they give together; a total current is
//! shared by the group itself. Conditions are told by each module. A current is a magnitude: which
//! way it flows is the working mode, and public drivers change that only with the output off.
//! How long a group waits for its controller is not published.

use voltry_units::{Amps, Celsius, Volts};

use crate::infypower::id::Id;
use crate::infypower::{
    BROADCAST, CONTROLLER, DEVICE_GROUP, DEVICE_MODULE, LAST_GROUP, LAST_MODULE, conditions, refusal,
};
use crate::{
    Destination, Family, Frame, Input, Malformed, Message, Order, Questions, Range, Reply, Request, SetPoint,
    Source, Status, Unencodable,
};

/// The row of this family.
pub const FAMILY: Family = Family {
    name: "infypower-beg",
    vendor: "Infypower",
    silence_limit: None,
    addresses: 0..=LAST_GROUP,
    grouped: true,
    tells_group: false,
    rating: None,
    set_point: SetPoint::Apart,
    ranges: &[Range::Automatic, Range::High, Range::Low],
    current_least: Amps::ZERO,
    questions: Questions {
        output: &[Request::ReadVoltage, Request::ReadCurrent],
        status: &[Request::ReadStatus],
        details: &[Request::ReadTemperature, Request::ReadDirection],
        identity: &[],
        perhaps: &[],
        barriers: &[Request::ReadCount, Request::ReadInput],
    },
    reports: None,
    encode,
    decode,
};

const READ: u8 = 0x23;
const WRITE: u8 = 0x24;

/// Bytes 0 and 1.
mod object {
    pub(super) const VOLTAGE: u16 = 0x1001;
    pub(super) const CURRENT: u16 = 0x1002;
    pub(super) const COUNT: u16 = 0x1010;
    pub(super) const LINE_AB: u16 = 0x1103;
    pub(super) const AMBIENT: u16 = 0x1106;
    /// Read: conditions. Written: on or off.
    pub(super) const STATUS: u16 = 0x1110;
    pub(super) const INVERTS: u16 = 0x1111;
    pub(super) const WALK_IN: u16 = 0x1122;
    pub(super) const RANGE: u16 = 0x1126;
    /// Written: the voltage at which discharging ends.
    pub(super) const CUT_OFF: u16 = 0x1132;
    /// Written: rectifier or inverter.
    pub(super) const MODE: u16 = 0x2110;
}

fn encode(to: Destination, request: Request) -> Result<Frame, Unencodable> {
    let (command, object, value) = content(request)?;
    let (device, destination) = match to {
        Destination::Group(group) if group <= LAST_GROUP => (DEVICE_GROUP, group),
        Destination::All => (DEVICE_MODULE, BROADCAST),
        Destination::Module(_) | Destination::Group(_) => return Err(Unencodable::OutOfRange(request)),
    };
    let id = Id { error: 0, device, command, destination, source: CONTROLLER };
    let [high, low] = object.to_be_bytes();
    let [a, b, c, d] = value.to_be_bytes();
    Ok(Frame { id: id.bits(), data: [high, low, 0, 0, a, b, c, d] })
}

/// The command, the object and its value.
fn content(request: Request) -> Result<(u8, u16, u32), Unencodable> {
    let read = |object| Ok((READ, object, 0));
    let write = |object, value| Ok((WRITE, object, value));
    let unsigned = |milli: i64| u32::try_from(milli).map_err(|_| Unencodable::OutOfRange(request));
    match request {
        Request::ReadVoltage => read(object::VOLTAGE),
        Request::ReadCurrent => read(object::CURRENT),
        Request::ReadCount => read(object::COUNT),
        Request::ReadInput => read(object::LINE_AB),
        Request::ReadTemperature => read(object::AMBIENT),
        Request::ReadStatus => read(object::STATUS),
        Request::ReadDirection => read(object::INVERTS),
        Request::Switch { on } => write(object::STATUS, if on { 0xA0 } else { 0xA1 }),
        Request::SetVoltage { voltage } => write(object::VOLTAGE, unsigned(voltage.as_milli())?),
        Request::SetCurrent { current } => write(object::CURRENT, unsigned(current.as_milli())?),
        Request::WalkIn { on } => write(object::WALK_IN, if on { 0xA1 } else { 0xA0 }),
        Request::SetRange { range } => write(object::RANGE, number(range)),
        Request::SetDirection { inverting } => write(object::MODE, if inverting { 0xA1 } else { 0xA0 }),
        Request::SetCutOff { voltage } => write(object::CUT_OFF, unsigned(voltage.as_milli())?),
        Request::ReadOutput
        | Request::ReadOutputFixed
        | Request::ReadSystemOutput
        | Request::ReadSystemOutputFixed
        | Request::ReadCapability
        | Request::ReadSerial
        | Request::ReadSerialRest
        | Request::ReadHours
        | Request::ReadRange
        | Request::ReadAvailable
        | Request::SetOutput { .. }
        | Request::SetSystemOutput { .. }
        | Request::Deliver { .. }
        | Request::SetSilenceLimit { .. }
        | Request::KeepAlive
        | Request::Sleep { .. }
        | Request::Identify { .. }
        | Request::SetGroup { .. }
        | Request::AddressMode { .. } => Err(Unencodable::Unsupported(request)),
    }
}

/// Halves in parallel, in series, or as they choose.
const fn number(range: Range) -> u32 {
    match range {
        Range::Low => 0xA0,
        Range::High => 0xA1,
        Range::Automatic => 0xA2,
    }
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
    let [high, low, ..] = data;
    let object = u16::from_be_bytes([high, low]);
    let order = match id.command {
        WRITE => Some(order(object).ok_or(Malformed::Command(object))?),
        READ => None,
        other => return Err(Malformed::Command(other.into())),
    };
    let reply = match (refusal(id.error), order) {
        (Some(why), order) => Reply::Refused { order, why },
        (None, Some(order)) => Reply::Done(order),
        (None, None) => said(object, data)?,
    };
    Ok(Message { source, reply })
}

fn order(object: u16) -> Option<Order> {
    Some(match object {
        object::VOLTAGE => Order::SetVoltage,
        object::CURRENT => Order::SetCurrent,
        object::STATUS => Order::Switch,
        object::WALK_IN => Order::WalkIn,
        object::RANGE => Order::SetRange,
        object::CUT_OFF => Order::SetCutOff,
        object::MODE => Order::SetDirection,
        _ => return None,
    })
}

fn said(object: u16, data: [u8; 8]) -> Result<Reply, Malformed> {
    let [.., a, b, c, d] = data;
    let value = u32::from_be_bytes([a, b, c, d]);
    let signed = f64::from(value.cast_signed()) / 1000.0;
    Ok(match object {
        object::VOLTAGE => Reply::Voltage(Volts::from_si(f64::from(value) / 1000.0)?),
        // Read as a magnitude by one public driver, with a sign by two.
        object::CURRENT => Reply::Current(Amps::from_si(signed.abs())?),
        object::COUNT => Reply::Count(u8::try_from(value & 0xFFFF).unwrap_or(u8::MAX)),
        object::LINE_AB => Reply::Input(Input {
            lines: [Volts::from_si(f64::from(value) / 1000.0)?, Volts::ZERO, Volts::ZERO],
        }),
        object::AMBIENT => Reply::Temperature(Celsius::from_si(signed)?),
        object::STATUS => {
            // Bytes 2 and 4 are of the older command alone.
            Reply::Status(Status { group: None, inlet: None, conditions: conditions(data) })
        }
        object::INVERTS => Reply::Direction { inverting: d & 1 == 1 },
        _ => return Err(Malformed::Command(object)),
    })
}
