//! TonHe modules, "CAN communication between charging module and monitor V1.2" (vendor document).
//!
//! J1939 frames of eight bytes at 125 kbit/s, **little-endian**. Modules report by themselves,
//! every 500 ms and on change; they cannot be asked. The frame for one module switches it and
//! sets it at once, and its confirmation does not say which order was taken. **Values out of range
//! are clipped, not refused**, so less than the least current gives the least. The controller
//! says that it lives, every 5 s by V1.2 and every second by V1.3; without it a module stops after
//! 20 s (as an implementer of V1.2 read it).

use std::time::Duration;

use voltry_units::{Amps, Celsius, Volts};

use crate::{
    Condition, Conditions, Destination, Family, Frame, Malformed, Message, Order, Output, Questions, Reply,
    Report, Reports, Request, SetPoint, Source, Status, Unencodable,
};

/// The row of this family.
pub const FAMILY: Family = Family {
    name: "tonhe",
    vendor: "TonHe",
    silence_limit: Some(Duration::from_secs(20)),
    addresses: 1..=LAST_MODULE,
    grouped: false,
    tells_group: false,
    rating: None,
    set_point: SetPoint::WithSwitch,
    ranges: &[],
    current_least: Amps::new(1),
    questions: Questions::NONE,
    reports: Some(Reports {
        every: Duration::from_millis(500),
        frames: 3,
        keep_alive: Duration::from_secs(1),
    }),
    encode,
    decode,
};

const LAST_MODULE: u8 = 240;
const CONTROLLER: u8 = 0xA0;
const ALL: u8 = 0xFF;

/// The format of a frame (PF), with its priority.
mod format {
    /// M_C_1: state, output, faults.
    pub(super) const STATE: (u8, u8) = (6, 0x01);
    /// M_C_2: an order was received.
    pub(super) const RECEIVED: (u8, u8) = (2, 0x02);
    /// M_C_3: mains and temperature.
    pub(super) const INPUT: (u8, u8) = (6, 0x0B);
    /// M_C_4: further faults.
    pub(super) const EXTENDED: (u8, u8) = (7, 0x91);
    /// C_M_1: start or stop several.
    pub(super) const SWITCH_ALL: (u8, u8) = (2, 0x03);
    /// C_M_3: the controller lives.
    pub(super) const TIMING: (u8, u8) = (6, 0x05);
    /// C_M_24: start or stop one, with its set-point.
    pub(super) const ONE: (u8, u8) = (2, 0x06);
}

const START: u8 = 0xAA;
const STOP: u8 = 0x55;

const fn identifier((priority, format): (u8, u8), destination: u8) -> u32 {
    (priority as u32) << 26 | (format as u32) << 16 | (destination as u32) << 8 | CONTROLLER as u32
}

fn encode(to: Destination, request: Request) -> Result<Frame, Unencodable> {
    let out_of_range = Unencodable::OutOfRange(request);
    let one = |data| match to {
        Destination::Module(address) if FAMILY.addresses.contains(&address) => {
            Ok(Frame { id: identifier(format::ONE, address), data })
        }
        Destination::Module(_) | Destination::Group(_) | Destination::All => Err(out_of_range),
    };
    match (request, to) {
        (Request::Deliver { voltage, current }, _) => {
            let [low, high] = tenths(voltage).ok_or(out_of_range)?.to_le_bytes();
            let [fine, coarse] = hundredths(current).ok_or(out_of_range)?.to_le_bytes();
            one([START, 0, low, high, fine, coarse, 0, 0])
        }
        // Of group 0 and addresses 1 to 24; each configured module is told by itself as well.
        (Request::Switch { on: false }, Destination::All) => {
            let data = [0xFF, 0xFF, 0xFF, STOP, 0, 0, 0, 0];
            Ok(Frame { id: identifier(format::SWITCH_ALL, ALL), data })
        }
        (Request::Switch { on: false }, _) => one([STOP, 0, 0, 0, 0, 0, 0, 0]),
        (Request::KeepAlive, Destination::All) => {
            Ok(Frame { id: identifier(format::TIMING, ALL), data: [0; 8] })
        }
        (Request::KeepAlive, _) => Err(out_of_range),
        // On only with a set-point.
        (
            Request::Switch { on: true }
            | Request::ReadOutput
            | Request::ReadOutputFixed
            | Request::ReadVoltage
            | Request::ReadCurrent
            | Request::ReadSystemOutput
            | Request::ReadSystemOutputFixed
            | Request::ReadCount
            | Request::ReadStatus
            | Request::ReadTemperature
            | Request::ReadInput
            | Request::ReadCapability
            | Request::ReadSerial
            | Request::ReadSerialRest
            | Request::ReadDirection
            | Request::ReadHours
            | Request::ReadRange
            | Request::ReadAvailable
            | Request::SetOutput { .. }
            | Request::SetVoltage { .. }
            | Request::SetCurrent { .. }
            | Request::SetRange { .. }
            | Request::SetDirection { .. }
            | Request::SetCutOff { .. }
            | Request::SetSilenceLimit { .. }
            | Request::SetSystemOutput { .. }
            | Request::WalkIn { .. }
            | Request::Sleep { .. }
            | Request::Identify { .. }
            | Request::SetGroup { .. }
            | Request::AddressMode { .. },
            _,
        ) => Err(Unencodable::Unsupported(request)),
    }
}

/// Rounded down: never above what was told.
fn tenths(voltage: Volts) -> Option<u16> {
    u16::try_from(voltage.as_milli().div_euclid(100)).ok()
}

fn hundredths(current: Amps) -> Option<u16> {
    u16::try_from(current.as_milli().div_euclid(10)).ok()
}

fn decode(bits: u32, data: &[u8]) -> Result<Message, Malformed> {
    let [top, format, destination, address] = bits.to_be_bytes();
    if destination != CONTROLLER || !FAMILY.addresses.contains(&address) || top & 0x3 != 0 || top > 0x1F {
        return Err(Malformed::NotForUs(bits));
    }
    let data: [u8; 8] = data.try_into().map_err(|_| Malformed::Length(data.len()))?;
    let word = |at: usize| u16::from_le_bytes([data[at], data[at + 1]]);
    let reply = match (top >> 2, format) {
        format::STATE => Reply::Report(Report {
            output: Output {
                voltage: Volts::from_milli(i64::from(word(1)) * 100),
                current: Amps::from_milli(i64::from(word(3)) * 10),
            },
            conditions: state(data[0])
                .union(faults(word(5)))
                .union(Conditions::of_bits(data[7].into(), INPUT_STAGE_BITS)),
        }),
        format::RECEIVED => match data[0] {
            1 => Reply::Done(Order::Deliver),
            code => Reply::Refused { order: Some(Order::Deliver), why: crate::Refusal::Unnamed(code) },
        },
        // Whole degrees.
        format::INPUT => {
            let degrees = i16::from_le_bytes([data[6], data[7]]);
            Reply::Temperature(Celsius::from_si(degrees.into())?)
        }
        format::EXTENDED => {
            let conditions = Conditions::of_bits(word(2).into(), EXTENDED_BITS);
            Reply::Status(Status { group: None, inlet: None, conditions })
        }
        _ => return Err(Malformed::Command(format.into())),
    };
    Ok(Message { source: Source::Module(address), reply })
}

/// Byte 0 of M_C_1. A state that the document does not name is no proof that the output is off.
fn state(byte: u8) -> Conditions {
    match byte {
        0x00 => Conditions::NONE.with(Condition::DcOff),
        0x01 => Conditions::NONE,
        0x11 => Conditions::NONE.with(Condition::DcOff).with(Condition::Fault),
        _ => Conditions::NONE.with(Condition::Fault),
    }
}

/// Bit 7 is also set by each of bits 8 to 13, which may be mere warnings: then it says nothing.
fn faults(word: u16) -> Conditions {
    let named = word & 0x3F00 != 0;
    Conditions::of_bits(if named { word & !0x80 } else { word }.into(), FAULT_BITS)
}

const FAULT_BITS: &[(u8, Condition)] = &[
    (0, Condition::InputUnderVoltage),
    (1, Condition::PhaseLoss),
    (2, Condition::InputOverVoltage),
    (3, Condition::OutputOverVoltage),
    (4, Condition::OutputOverCurrent),
    (5, Condition::OverTemperature),
    (6, Condition::FanFault),
    (7, Condition::Fault),
    (8, Condition::InputAbnormal),
    (9, Condition::InnerCommunication),
    (10, Condition::BleederFailed),
    (11, Condition::InputAbnormal),
    (12, Condition::OutputUnderVoltage),
    (13, Condition::OutputVoltageHigh),
    (14, Condition::DeratedByTemperature),
    (15, Condition::ShortCircuit),
];

/// Of the power factor correction, byte 7 of M_C_1.
const INPUT_STAGE_BITS: &[(u8, Condition)] = &[
    (0, Condition::InputAbnormal),
    (1, Condition::InputAbnormal),
    (2, Condition::PhaseUnbalance),
    (3, Condition::Fault),
    (4, Condition::DuplicateId),
    (5, Condition::InputAbnormal),
    (6, Condition::InputAbnormal),
    (7, Condition::InputAbnormal),
];

/// Of M_C_4.
const EXTENDED_BITS: &[(u8, Condition)] = &[
    (0, Condition::InputAbnormal),
    (1, Condition::Fault),
    (2, Condition::CommunicationInterrupted),
    (4, Condition::RelayFailed),
    (6, Condition::OverTemperature),
    (7, Condition::OverTemperature),
    (8, Condition::DeratedByInput),
    (9, Condition::DeratedByTemperature),
    (10, Condition::BleederFailed),
];
