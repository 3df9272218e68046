//! What the safety controller's frames mean, without I/O.
//!
//! Source: chargebyte, documentation of the safety controller's communication protocol. Where
//! firmwares differ, [`ContactorCodes`] chooses.

use std::fmt;

use serde::Deserialize;
use voltry_bus::{Alarms, Lock, Pilot, PilotFault, PilotOutput};
use voltry_units::Celsius;

use crate::frame::Frame;

const CHARGE_CONTROL: u8 = 0x06;
const CHARGE_STATE: u8 = 0x07;
const TEMPERATURES: u8 = 0x08;
const FIRMWARE_VERSION: u8 = 0x0A;
const ACTION: u8 = 0xFE;
const INQUIRY: u8 = 0xFF;

/// A temperature channel that nothing is connected to.
const CHANNEL_UNUSED: u16 = 0x1FFF;

/// How a firmware reports contactors and its safe state in 0x07.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContactorCodes {
    /// 0 open, 1 closed; the safe state in bits 30 and 31.
    #[default]
    OpenIsZero,
    /// 0 undefined, 1 open, 2 closed; the safe state in bits 58 and 59.
    OpenIsOne,
}

/// The host's periodic message: how to drive the pilot, and which contactors to close. The
/// controller closes them in pilot state C only.
#[must_use]
pub fn charge_control(pilot: PilotOutput, close: bool, contactors: u8) -> Frame {
    // The pilot is at -12 V with the oscillator on at 0 %, and at 0 V with it off.
    let duty_permille: u16 = match pilot {
        PilotOutput::X1 => 1_000,
        PilotOutput::Digital => 50,
        PilotOutput::F => 0,
    };
    let [high, low] = duty_permille.to_be_bytes();
    let request = if close { (1 << contactors) - 1 } else { 0 };
    Frame { id: CHARGE_CONTROL, data: [0x80 | high, low, request, 0, 0, 0, 0, 0] }
}

/// Asks for the firmware's version; answered within 30 ms.
#[must_use]
pub fn version_inquiry() -> Frame {
    Frame { id: INQUIRY, data: [FIRMWARE_VERSION, 0, 0, 0, 0, 0, 0, 0] }
}

/// The action that resets the controller, where the firmware has one.
#[must_use]
pub fn reset(action: u8) -> Frame {
    Frame { id: ACTION, data: [action, 0, 0, 0, 0, 0, 0, 0] }
}

/// What the controller says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Every 100 ms.
    ChargeState(ChargeState),
    /// Every 100 ms: its four channels, `None` where nothing is connected.
    Temperatures([Option<Channel>; 4]),
    /// The answer to [`version_inquiry`].
    Version(Firmware),
    /// A message that says nothing to us.
    Other(u8),
}

/// What the controller runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The board it is on.
    pub platform: String,
    /// As `1.4.2`.
    pub version: String,
}

/// Pilot, proximity, contactors, emergency stops and safe state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChargeState {
    /// The pilot's state.
    pub pilot: Pilot,
    /// What is wrong with the pilot.
    pub pilot_fault: PilotFault,
    /// The proximity contact.
    pub proximity: ProximityCode,
    /// The contactors' feedback.
    pub contactors: [Contactor; 3],
    /// Whether an emergency stop is pressed, or its input undefined.
    pub emergency_stop: bool,
    /// What else the cabinet's inputs tell. A controller on a serial line has none.
    pub alarms: Alarms,
    /// The plug's lock. A controller on a serial line has none.
    pub lock: Lock,
    /// Why the controller is in its safe state, if it is.
    pub safe_state: Option<SafeState>,
}

/// What the proximity resistor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProximityCode {
    /// No resistor: nothing is plugged in, or the cable is fixed.
    None,
    /// A type 2 cable of some rating.
    Cable,
    /// A type 1 plug, latched.
    Latched,
    /// A type 1 plug whose button is pressed.
    ButtonPressed,
    /// No valid level.
    Invalid,
}

/// A contactor by its feedback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contactor {
    /// Open.
    Open,
    /// Closed.
    Closed,
    /// This board has none there, or no feedback.
    Unused,
    /// Not known.
    Unknown,
}

/// A temperature channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// What it measures; `None` where that is no temperature.
    pub temperature: Option<Celsius>,
    /// It stopped charging.
    pub stopped: bool,
    /// Its self-test failed: open or shorted.
    pub failed: bool,
}

/// Why the controller is in its safe state, as its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SafeState(pub u8);

impl SafeState {
    /// No periodic message of the host in time.
    pub const HOST_SILENT: Self = Self(2);

    /// The fault that it is, where it is one that others can have seen.
    #[must_use]
    pub const fn fault_code(self) -> Option<&'static str> {
        match self.0 {
            7..=10 => Some("MREC19CableOverTempStop"),
            11 => Some("MREC23ProximityFault"),
            12 | 13 => Some("MREC14PilotFault"),
            14 => Some("DiodeFault"),
            15 => Some("MREC17EVSEContactorFault"),
            16..=18 => Some("MREC8EmergencyStop"),
            _ => None,
        }
    }
}

impl fmt::Display for SafeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.0 {
            0 => "no reason given",
            1 => "internal error",
            2 => "no message from the host in time",
            code @ 3..=6 => return write!(f, "temperature sensor {} is broken", code - 2),
            code @ 7..=10 => return write!(f, "temperature {} is too high", code - 6),
            11 => "proximity fault",
            12 => "pilot fault",
            13 => "pilot shorted",
            14 => "pilot diode fault",
            15 => "contactor fault",
            code @ 16..=18 => return write!(f, "emergency stop {}", code - 15),
            20 => "residual current",
            21 => "residual current monitor failed its self-test",
            code => return write!(f, "reason {code}"),
        };
        f.write_str(reason)
    }
}

impl Message {
    /// Every frame means something, if only [`Message::Other`].
    #[must_use]
    pub fn from_frame(frame: Frame, codes: ContactorCodes) -> Self {
        match frame.id {
            CHARGE_STATE => Self::ChargeState(ChargeState::from_bits(u64::from_be_bytes(frame.data), codes)),
            TEMPERATURES => {
                let word = |index| u16::from_be_bytes([frame.data[index], frame.data[index + 1]]);
                Self::Temperatures([0, 2, 4, 6].map(|index| Channel::from_bits(word(index))))
            }
            FIRMWARE_VERSION => {
                let [major, minor, build, platform, ..] = frame.data;
                let platform = match platform {
                    0x81 => "Charge SOM".to_owned(),
                    0x82 => "Charge Control Y".to_owned(),
                    other => format!("platform 0x{other:02X}"),
                };
                Self::Version(Firmware { platform, version: format!("{major}.{minor}.{build}") })
            }
            other => Self::Other(other),
        }
    }
}

impl ChargeState {
    fn from_bits(bits: u64, codes: ContactorCodes) -> Self {
        let field = |at: u32, mask: u64| (bits >> at) & mask;
        let pilot = match field(40, 0b111) {
            1 => Pilot::A,
            2 => Pilot::B,
            3 => Pilot::C,
            4 => Pilot::D,
            5 => Pilot::E,
            6 => Pilot::F,
            7 => Pilot::Invalid,
            _ => Pilot::Unknown,
        };
        let pilot_fault = match field(43, 0b11) {
            0 => PilotFault::None,
            2 => PilotFault::Diode,
            _ => PilotFault::Short,
        };
        let proximity = match field(32, 0b111) {
            0 => ProximityCode::None,
            1..=4 => ProximityCode::Cable,
            5 => ProximityCode::Latched,
            6 => ProximityCode::ButtonPressed,
            _ => ProximityCode::Invalid,
        };
        let contactors = [24, 26, 28].map(|at| Contactor::from_code(field(at, 0b11), codes));
        // 0 not pressed, 3 not fitted; what is undefined counts as pressed.
        let emergency_stop = [16, 18, 20].iter().any(|at| !matches!(field(*at, 0b11), 0 | 3));
        let active = match codes {
            ContactorCodes::OpenIsZero => field(30, 0b11),
            ContactorCodes::OpenIsOne => field(58, 0b11),
        };
        let reason = u8::try_from(field(8, 0xFF)).unwrap_or(u8::MAX);
        let safe_state = (active == 1 || reason != 0).then_some(SafeState(reason));
        Self {
            pilot,
            pilot_fault,
            proximity,
            contactors,
            emergency_stop,
            alarms: Alarms::default(),
            lock: Lock::NotFitted,
            safe_state,
        }
    }
}

impl Contactor {
    const fn from_code(code: u64, codes: ContactorCodes) -> Self {
        match (codes, code) {
            (_, 3) => Self::Unused,
            (ContactorCodes::OpenIsZero, 0) | (ContactorCodes::OpenIsOne, 1) => Self::Open,
            (ContactorCodes::OpenIsZero, 1) | (ContactorCodes::OpenIsOne, 2) => Self::Closed,
            (ContactorCodes::OpenIsZero | ContactorCodes::OpenIsOne, _) => Self::Unknown,
        }
    }
}

impl Channel {
    /// Bits 15 to 2: tenths of a degree Celsius, signed.
    fn from_bits(bits: u16) -> Option<Self> {
        if bits >> 2 == CHANNEL_UNUSED {
            return None;
        }
        let tenths = i64::from(bits.cast_signed() >> 2);
        let celsius = Celsius::from_milli(tenths * 100);
        let temperature = (Celsius::MIN..=Celsius::MAX).contains(&celsius).then_some(celsius);
        Some(Self {
            temperature,
            stopped: bits & 0b01 != 0,
            failed: bits & 0b10 != 0 || temperature.is_none(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state(data: [u8; 8], codes: ContactorCodes) -> ChargeState {
        let message = Message::from_frame(Frame { id: 0x07, data }, codes);
        let Message::ChargeState(state) = message else { panic!("{message:?}") };
        state
    }

    fn channels(data: [u8; 8]) -> [Option<Channel>; 4] {
        let message = Message::from_frame(Frame { id: 0x08, data }, ContactorCodes::default());
        let Message::Temperatures(channels) = message else { panic!("{message:?}") };
        channels
    }

    #[test]
    fn the_pilot_is_driven_in_tenths_of_a_percent() {
        assert_eq!(charge_control(PilotOutput::Digital, false, 2).data, [0x80, 0x32, 0, 0, 0, 0, 0, 0]);
        assert_eq!(charge_control(PilotOutput::X1, false, 2).data, [0x83, 0xE8, 0, 0, 0, 0, 0, 0]);
        assert_eq!(charge_control(PilotOutput::F, false, 2).data, [0x80, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn contactors_are_requested_by_one_bit_each() {
        assert_eq!(charge_control(PilotOutput::Digital, true, 1).data[2], 0b001);
        assert_eq!(charge_control(PilotOutput::Digital, true, 2).data[2], 0b011);
        assert_eq!(charge_control(PilotOutput::Digital, true, 3).data[2], 0b111);
    }

    #[test]
    fn a_charging_state_is_read_from_its_bits() {
        // PWM on, 5 %; CP state C; no proximity; contactors 1 and 2 closed, 3 unused; emergency
        // stop 1 not pressed, 2 and 3 unused.
        let state = state([0x80, 0x32, 0x03, 0x00, 0b11_01_01, 0b11_11_00, 0, 0], ContactorCodes::OpenIsZero);
        assert_eq!(
            state,
            ChargeState {
                pilot: Pilot::C,
                pilot_fault: PilotFault::None,
                proximity: ProximityCode::None,
                contactors: [Contactor::Closed, Contactor::Closed, Contactor::Unused],
                emergency_stop: false,
                alarms: Alarms::default(),
                lock: Lock::NotFitted,
                safe_state: None,
            }
        );
    }

    #[test]
    fn the_other_firmware_says_the_same_with_other_codes() {
        // Safe state in bits 58 and 59, reason 13: pilot shorted; contactor 1 open, 2 undefined.
        let state = state([0x04, 0, 0x08 | 5, 0, 0b11_00_01, 0b01_11_11, 13, 0], ContactorCodes::OpenIsOne);
        assert_eq!(state.contactors, [Contactor::Open, Contactor::Unknown, Contactor::Unused]);
        assert_eq!((state.pilot, state.pilot_fault), (Pilot::E, PilotFault::Short));
        assert!(state.emergency_stop, "input 3");
        assert_eq!(state.safe_state.unwrap().to_string(), "pilot shorted");
    }

    #[test]
    fn an_undefined_emergency_stop_counts_as_pressed() {
        assert!(state([0, 0, 1, 0, 0, 0b10, 0, 0], ContactorCodes::OpenIsZero).emergency_stop);
    }

    #[test]
    fn a_safe_state_without_its_flag_is_one_all_the_same() {
        let state = state([0, 0, 1, 0, 0, 0, 7, 0], ContactorCodes::OpenIsZero);
        assert_eq!(state.safe_state.unwrap().to_string(), "temperature 1 is too high");
    }

    #[test]
    fn temperatures_are_signed_tenths_above_two_flags() {
        // 85.1 °C and stopped; -40.0 °C; sensor failed; unused.
        let bits = [851 << 2 | 1, (-400_i16 << 2).cast_unsigned(), 2, 0x1FFF << 2];
        let mut data = [0; 8];
        for (place, bits) in data.chunks_mut(2).zip(bits) {
            place.copy_from_slice(&u16::to_be_bytes(bits));
        }
        let [hot, cold, broken, unused] = channels(data);
        let hot = hot.unwrap();
        assert_eq!((hot.temperature, hot.stopped), (Some(Celsius::from_milli(85_100)), true));
        assert_eq!(cold.unwrap().temperature, Some(Celsius::new(-40)));
        assert!(broken.unwrap().failed && unused.is_none());
    }

    #[test]
    fn the_version_reads_as_the_vendor_writes_it() {
        let frame = Frame { id: 0x0A, data: [0, 3, 1, 0x81, 3, 0, 0, 0] };
        let message = Message::from_frame(frame, ContactorCodes::default());
        let expected = Firmware { platform: "Charge SOM".into(), version: "0.3.1".into() };
        assert_eq!(message, Message::Version(expected));
    }

    proptest! {
        #[test]
        fn every_frame_means_something(id: u8, data: [u8; 8]) {
            for codes in [ContactorCodes::OpenIsZero, ContactorCodes::OpenIsOne] {
                let message = Message::from_frame(Frame { id, data }, codes);
                if let Message::Temperatures(channels) = message {
                    for channel in channels.into_iter().flatten() {
                        prop_assert!(channel.failed || channel.temperature.is_some());
                    }
                }
            }
        }
    }
}
