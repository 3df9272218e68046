//! Huawei R100040Gx modules for chargers (150 to 1000 V, 133 A, 40 kW), as public drivers of them
//! speak; their document is not public.
//!
//! CAN 2.0B at 125 kbit/s, eight bytes, big-endian, values in steps of 1/1024. Data begins with
//! `error 4 · signal 12`; a set is echoed. The current is each module's own, beside the number of
//! modules it is meant for. Zero is on. How long a module waits for its controller is a setting;
//! that its unit is the second is our reading, and so are the bits of [`signal::ALARMS`] and of
//! the half word before the output, which are those of the maker's 500/950 V modules.

use voltry_units::{Amps, Celsius, Volts, Watts};

use crate::{
    Capability, Condition, Conditions, Destination, Family, Frame, Input, Malformed, Message, Order, Output,
    Questions, Range, Refusal, Reply, Report, Request, SetPoint, Source, Status, Unencodable,
};

/// The row of this family.
pub const FAMILY: Family = Family {
    name: "huawei-r100040gx",
    vendor: "Huawei",
    silence_limit: None,
    addresses: 1..=LAST_MODULE,
    grouped: false,
    tells_group: false,
    rating: Some(Capability {
        voltage_min: Volts::new(150),
        voltage_max: Volts::new(1000),
        current_max: Amps::new(133),
        power_max: Watts::new(40_000),
    }),
    set_point: SetPoint::Apart,
    ranges: &[Range::Automatic],
    current_least: Amps::ZERO,
    questions: Questions {
        output: &[Request::ReadOutput],
        status: &[Request::ReadStatus],
        details: &[Request::ReadTemperature],
        identity: &[Request::ReadSerial],
        perhaps: &[Request::ReadHours],
        barriers: &[Request::ReadSerial, Request::ReadInput],
    },
    reports: None,
    encode,
    decode,
};

const LAST_MODULE: u8 = 0x7F;
const PROTOCOL: u32 = 0x0D;

/// The kind of message, bits 15 to 8 of the identifier.
mod message {
    pub(super) const REAL_TIME: u8 = 0x40;
    pub(super) const INHERENT: u8 = 0x50;
    pub(super) const CONTROL: u8 = 0x80;
    pub(super) const CONFIGURE: u8 = 0x81;
    pub(super) const QUERY: u8 = 0x82;
}

/// The twelve bits that say what a value is.
mod signal {
    pub(super) const BATCH: u16 = 0x000;
    pub(super) const SERIAL: u16 = 0x002;
    pub(super) const VOLTAGE: u16 = 0x100;
    pub(super) const HOURS: u16 = 0x10E;
    pub(super) const CURRENT: u16 = 0x10F;
    pub(super) const CAN_TIMEOUT: u16 = 0x118;
    pub(super) const SHUT_DOWN: u16 = 0x132;
    pub(super) const AUTOMATIC_RANGE: u16 = 0x14A;
    pub(super) const LINE_UV: u16 = 0x179;
    pub(super) const INLET: u16 = 0x180;
    pub(super) const ALARMS: u16 = 0x183;
    pub(super) const OUTPUT: u16 = 0x191;
}

/// Bits of a real-time question that choose its values.
mod wanted {
    pub(super) const HOURS: u32 = 1 << 0;
    pub(super) const LINE_UV: u32 = 1 << 9;
    pub(super) const INLET: u32 = 1 << 13;
    pub(super) const ALARMS: u32 = 1 << 16;
    pub(super) const OUTPUT: u32 = 1 << 22;
}

/// That the value chooses, in byte 3 of a real-time question.
const BY_BITS: u8 = 0xAA;

/// `protocol 6 · address 7 · message 8 · from the controller 1 · group 5 · hardware address 1 · last 1`.
const fn identifier(address: u8, message: u8) -> u32 {
    PROTOCOL << 23 | (address as u32) << 16 | (message as u32) << 8 | 0xFC
}

fn encode(to: Destination, request: Request) -> Result<Frame, Unencodable> {
    let (message, signal, third, value) = content(request)?;
    let address = match to {
        Destination::Module(address) if FAMILY.addresses.contains(&address) => address,
        Destination::All => 0,
        Destination::Module(_) | Destination::Group(_) => return Err(Unencodable::OutOfRange(request)),
    };
    let [high, low] = signal.to_be_bytes();
    let [a, b, c, d] = value.to_be_bytes();
    Ok(Frame { id: identifier(address, message), data: [high, low, 0, third, a, b, c, d] })
}

/// The message, the signal, byte 3 and the value.
fn content(request: Request) -> Result<(u8, u16, u8, u32), Unencodable> {
    let unsupported = Err(Unencodable::Unsupported(request));
    let real_time = |bits| Ok((message::REAL_TIME, signal::BATCH, BY_BITS, bits));
    let control = |signal, third, value| Ok((message::CONTROL, signal, third, value));
    // Rounded down: never above what was told.
    let steps = |milli: i64| {
        let steps = milli.checked_mul(1024).map(|product| product.div_euclid(1000));
        steps.and_then(|steps| u32::try_from(steps).ok()).ok_or(Unencodable::OutOfRange(request))
    };
    match request {
        Request::ReadOutput => real_time(wanted::OUTPUT),
        Request::ReadStatus => real_time(wanted::ALARMS),
        Request::ReadTemperature => real_time(wanted::INLET),
        Request::ReadInput => real_time(wanted::LINE_UV),
        Request::ReadHours => real_time(wanted::HOURS),
        Request::ReadSerial => Ok((message::INHERENT, signal::BATCH, 0, 0)),
        // Zero is on.
        Request::Switch { on } => control(signal::SHUT_DOWN, u8::from(!on), 0),
        Request::SetVoltage { voltage } => control(signal::VOLTAGE, 0, steps(voltage.as_milli())?),
        Request::SetCurrent { current } => control(signal::CURRENT, 1, steps(current.as_milli())?),
        Request::SetRange { range: Range::Automatic } => {
            Ok((message::CONFIGURE, signal::AUTOMATIC_RANGE, 1, 0))
        }
        Request::SetSilenceLimit { limit } => {
            let seconds = u32::try_from(limit.as_secs()).map_err(|_| Unencodable::OutOfRange(request))?;
            control(signal::CAN_TIMEOUT, 0, seconds)
        }
        Request::SetRange { range: Range::High | Range::Low }
        | Request::ReadOutputFixed
        | Request::ReadVoltage
        | Request::ReadCurrent
        | Request::ReadSystemOutput
        | Request::ReadSystemOutputFixed
        | Request::ReadCount
        | Request::ReadCapability
        | Request::ReadSerialRest
        | Request::ReadDirection
        | Request::ReadRange
        | Request::ReadAvailable
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
        | Request::KeepAlive => unsupported,
    }
}

fn decode(bits: u32, data: &[u8]) -> Result<Message, Malformed> {
    let from_controller = bits & 0x80 != 0;
    // Masked to the field's width.
    #[allow(clippy::cast_possible_truncation)]
    let address = (bits >> 16 & 0x7F) as u8;
    if bits >> 23 != PROTOCOL || from_controller || !FAMILY.addresses.contains(&address) {
        return Err(Malformed::NotForUs(bits));
    }
    let data: [u8; 8] = data.try_into().map_err(|_| Malformed::Length(data.len()))?;
    let [first, second, flags_high, flags_low, a, b, c, d] = data;
    let signal = u16::from_be_bytes([first & 0xF, second]);
    let value = u32::from_be_bytes([a, b, c, d]);
    let [_, _, message, _] = bits.to_be_bytes();
    let order = match message {
        message::CONTROL | message::CONFIGURE => Some(order(signal).ok_or(Malformed::Command(signal))?),
        message::REAL_TIME | message::INHERENT | message::QUERY => None,
        other => return Err(Malformed::Command(other.into())),
    };
    let reply = match (refusal(first >> 4), order) {
        (Some(why), order) => Reply::Refused { order, why },
        (None, Some(order)) => Reply::Done(order),
        (None, None) => said(signal, u16::from_be_bytes([flags_high, flags_low]), value)?,
    };
    Ok(Message { source: Source::Module(address), reply })
}

fn refusal(error: u8) -> Option<Refusal> {
    match error {
        0 => None,
        2 => Some(Refusal::Command),
        // Addresses are being found.
        3 => Some(Refusal::Starting),
        code => Some(Refusal::Unnamed(code)),
    }
}

fn order(signal: u16) -> Option<Order> {
    Some(match signal {
        signal::VOLTAGE => Order::SetVoltage,
        signal::CURRENT => Order::SetCurrent,
        signal::SHUT_DOWN => Order::Switch,
        signal::AUTOMATIC_RANGE => Order::SetRange,
        signal::CAN_TIMEOUT => Order::SetSilenceLimit,
        _ => return None,
    })
}

fn said(signal: u16, flags: u16, value: u32) -> Result<Reply, Malformed> {
    let tenths = |value: u32| i64::from(value & 0xFFFF) * 100;
    Ok(match signal {
        signal::OUTPUT => Reply::Report(Report {
            output: Output {
                voltage: Volts::from_milli(tenths(value)),
                current: Amps::from_milli(tenths(value >> 16)),
            },
            conditions: Conditions::of_bits(flags.into(), OUTPUT_BITS),
        }),
        signal::ALARMS => {
            let conditions = Conditions::of_bits(value, ALARM_BITS)
                .union(Conditions::of_bits(flags.into(), FURTHER_ALARM_BITS));
            Reply::Status(Status { group: None, inlet: None, conditions })
        }
        signal::INLET => Reply::Temperature(Celsius::from_si(f64::from(value.cast_signed()) / 1024.0)?),
        signal::LINE_UV => {
            let line = Volts::from_si(f64::from(value) / 1024.0)?;
            Reply::Input(Input { lines: [line, Volts::ZERO, Volts::ZERO] })
        }
        signal::HOURS => Reply::Hours(value),
        signal::SERIAL => Reply::Serial(format!("{flags:04X}{value:08X}")),
        _ => return Err(Malformed::Command(signal)),
    })
}

/// Of the half word before the output.
const OUTPUT_BITS: &[(u8, Condition)] = &[
    (0, Condition::DcOff),
    (1, Condition::Protection),
    (2, Condition::Fault),
    (7, Condition::LoadSharing),
    (8, Condition::LoadSharing),
    (9, Condition::ShortCircuit),
];

const ALARM_BITS: &[(u8, Condition)] = &[
    (0, Condition::OutputOverVoltage),
    (1, Condition::OverTemperature),
    (2, Condition::Fault),
    (3, Condition::Protection),
    (4, Condition::FanFault),
    (6, Condition::OutputOverCurrent),
    (7, Condition::OutputUnderVoltage),
    (8, Condition::UnderTemperature),
    (9, Condition::DcOff),
    (12, Condition::OverTemperature),
    (15, Condition::CommunicationInterrupted),
    (17, Condition::InputUnderVoltage),
    (18, Condition::PhaseUnbalance),
    (19, Condition::PhaseLoss),
    (20, Condition::LoadSharing),
    (21, Condition::DuplicateId),
    (22, Condition::InputOverVoltage),
    (23, Condition::Fault),
    (24, Condition::LoadSharing),
    (26, Condition::InnerCommunication),
    (27, Condition::ShortCircuit),
    (29, Condition::InputUnderVoltage),
    (30, Condition::InputAbnormal),
    (31, Condition::InputAbnormal),
];

/// Of the half word before the alarms.
const FURTHER_ALARM_BITS: &[(u8, Condition)] = &[
    (0, Condition::Fault),
    (2, Condition::OutputOverVoltage),
    (3, Condition::OutputUnbalanced),
    (4, Condition::CommunicationInterrupted),
    (6, Condition::DuplicateId),
    (7, Condition::Fault),
    (8, Condition::BleederFailed),
    (10, Condition::ShortCircuit),
    (11, Condition::RelayFailed),
    (12, Condition::BleederFailed),
    (13, Condition::RelayFailed),
];
