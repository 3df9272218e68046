//! The monitor's frames.

use voltry_canlink::{CanFrame, CanId};

const REQUEST: u32 = 0x22;
const RESPONSE: u32 = 0x23;
const INFO: u32 = 0x37;
const ERROR: u8 = 0xFF;

/// A command and its two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) number: u8,
    pub(super) words: [u16; 2],
}

impl Command {
    /// With the password 0.
    pub(super) const UNLOCK: Self = Self::of(0xCA, 0, 0);
    /// Of the firmware.
    pub(super) const GET_VERSION: Self = Self::of(0x33, 1, 0);
    pub(super) const GET_ALARM: Self = Self::of(0x32, 0, 0);
    pub(super) const GET_WARNING: Self = Self::of(0x39, 0, 0);
    pub(super) const GET_MEAN_FACTOR: Self = Self::of(0x3C, 0, 0);
    pub(super) const GET_RESISTANCE: Self = Self::of(0x35, 0, 0);
    /// Between the poles of the first pair of terminals.
    pub(super) const GET_VOLTAGE: Self = Self::of(0x36, 0, 0);
    pub(super) const GET_STATUS: Self = Self::of(0x37, 0, 0);
    pub(super) const GET_INTERFACE_STATUS: Self = Self::of(0xDC, 0, 0);
    /// All of it.
    pub(super) const SELF_TEST: Self = Self::of(0x21, 1, 0);
    pub(super) const SET_ALARM: u8 = 0x28;
    pub(super) const SET_WARNING: u8 = 0x29;
    pub(super) const SET_MEAN_FACTOR: u8 = 0x2B;
    const MEASURE: u8 = 0xCB;
    const RELAY: u8 = 0xD2;

    pub(super) const fn of(number: u8, first: u16, second: u16) -> Self {
        Self { number, words: [first, second] }
    }

    pub(super) fn frame(self) -> CanFrame {
        let ([a, b], [c, d]) = (self.words[0].to_le_bytes(), self.words[1].to_le_bytes());
        let id = CanId::standard(REQUEST).expect("it has eleven bits");
        CanFrame::new(id, &[self.number, a, b, c, d]).expect("five bytes fit")
    }
}

/// What makes it measure, or not: with closed relays, and none between it and the circuit otherwise.
pub(super) fn switching(active: bool) -> Vec<Command> {
    let on = u16::from(active);
    let relays = [Command::of(Command::RELAY, 0, on), Command::of(Command::RELAY, 1, on)];
    let measure = Command::of(Command::MEASURE, on, 0);
    let [negative, positive] = relays;
    if active {
        vec![negative, positive, measure, Command::GET_INTERFACE_STATUS]
    } else {
        vec![measure, negative, positive, Command::GET_INTERFACE_STATUS]
    }
}

/// What the monitor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Info(Info),
    Response(Command),
    /// A command failed with an error code.
    Failed {
        command: u8,
        code: u16,
    },
}

/// Its state, each second by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Info {
    /// Of the measuring part: see [`Info::faults`].
    pub(super) status: u16,
    /// Of the part that speaks CAN.
    pub(super) interface: u16,
}

impl Info {
    pub(super) const TESTING: u16 = 1 << 4;
    const CALIBRATING: u16 = 1 << 3;
    const NOT_MEASURING: u16 = 1 << 0;
    const OUTDATED: u16 = 1 << 8;

    /// Whether it vouches for its value.
    pub(super) fn vouches(self) -> bool {
        self.faults().is_empty()
            && self.status & (Self::TESTING | Self::CALIBRATING) == 0
            && self.interface & (Self::NOT_MEASURING | Self::OUTDATED) == 0
    }

    /// What is wrong with the device or its connection, in words. A low insulation is not.
    pub(super) fn faults(self) -> Vec<&'static str> {
        let of = |word: u16, rows: &[(u16, &'static str)]| -> Vec<&'static str> {
            rows.iter().filter(|(bit, _)| word >> bit & 1 == 1).map(|(_, text)| *text).collect()
        };
        let mut faults = of(self.status, &[(1, "connection to earth"), (2, "system failure")]);
        faults.extend(of(self.interface, &[(1, "no connection to its measuring part"), (2, "not alive")]));
        faults
    }
}

/// Whether the interface's status says that it measures.
pub(super) const fn measures(interface: u16) -> bool {
    interface & Info::NOT_MEASURING == 0
}

/// Results of the self-test that are failures, in words.
pub(super) fn test_failures(extended: u16) -> Vec<&'static str> {
    const ROWS: [(u16, &str); 14] = [
        (0, "calibration"),
        (1, "hardware"),
        (2, "EEPROM"),
        (3, "flash"),
        (4, "RAM"),
        (5, "stack"),
        (7, "parameters"),
        (8, "test pulse"),
        (9, "+12 V"),
        (10, "-12 V"),
        (11, "fuse bits"),
        (12, "first voltage"),
        (13, "second voltage"),
        (14, "identification"),
    ];
    ROWS.iter().filter(|(bit, _)| extended >> bit & 1 == 1).map(|(_, text)| *text).collect()
}

/// An error code in words.
pub(super) fn error(code: u16) -> String {
    let words = match code {
        32 | 1_032 => "it timed out after 10 ms",
        33 | 1_033 => "a checksum is wrong",
        34 | 1_034 => "a parameter is invalid",
        35 | 1_035 => "the command is unknown",
        36 => "the EEPROM cannot be written",
        37 | 1_037 => "a frame was repeated or is missing",
        1_000 => "the command is locked",
        1_001 => "its queue is full",
        1_002 => "the command is unavailable",
        1_038 => "its measuring part does not answer",
        1_039 => "it cannot speak with its measuring part",
        1_040 => "its measuring part answered something else",
        _ => return format!("error {code}"),
    };
    words.to_owned()
}

/// Reads a frame; `None`: it is not the monitor's.
///
/// # Errors
/// It is, and means nothing.
pub(super) fn read(frame: &CanFrame) -> Result<Option<Heard>, String> {
    let id = frame.id();
    let data = frame.data();
    let word = |at: usize| u16::from_le_bytes([data[at], data[at + 1]]);
    match (id.is_extended(), id.bits()) {
        (false, INFO) if data.len() >= 6 => {
            Ok(Some(Heard::Info(Info { status: word(2), interface: word(4) })))
        }
        (false, RESPONSE) if data.len() >= 5 => Ok(Some(match data[0] {
            ERROR => Heard::Failed { command: data[3], code: word(1) },
            number => Heard::Response(Command::of(number, word(1), word(3))),
        })),
        (false, INFO | RESPONSE) => Err(format!("{frame:?} is too short")),
        _ => Ok(None),
    }
}
