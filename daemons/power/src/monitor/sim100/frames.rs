//! The monitor's frames.

use voltry_canlink::{CanFrame, CanId};

const REQUEST: u32 = 0x0A10_0101;
const RESPONSE: u32 = 0x0A10_0100;

/// What it can be asked, or told so that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// A quarter of its name.
    Name(u8),
    /// A third of its version.
    Version(u8),
    /// Sets the highest voltage of the circuit, volts.
    VoltageMax(u16),
    /// Stops its excitation, and with it the measuring.
    ExcitationOff,
    Resistances,
    ErrorFlags,
}

impl Question {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Name(part) => 0x01 + part,
            Self::Version(part) => 0x05 + part,
            Self::VoltageMax(_) => 0xF0,
            Self::ExcitationOff => 0x62,
            Self::Resistances => 0xE1,
            Self::ErrorFlags => 0xE5,
        }
    }

    pub(super) fn frame(self) -> CanFrame {
        match self {
            Self::VoltageMax(volts) => {
                let [high, low] = volts.to_be_bytes();
                request(&[self.number(), high, low])
            }
            Self::Name(_) | Self::Version(_) | Self::ExcitationOff | Self::Resistances | Self::ErrorFlags => {
                request(&[self.number()])
            }
        }
    }
}

/// Restarts the device; it does not answer.
pub(super) fn restart() -> CanFrame {
    request(&[0xC1, 0x01, 0x23, 0x45, 0x67])
}

fn request(data: &[u8]) -> CanFrame {
    let id = CanId::extended(REQUEST).expect("it has 29 bits");
    CanFrame::new(id, data).expect("at most eight bytes")
}

/// Number and data of a frame of the device; `None`: it is not the device's.
pub(super) fn read(frame: &CanFrame) -> Option<(u8, &[u8])> {
    let ours = frame.id().is_extended() && frame.id().bits() == RESPONSE;
    let (number, data) = frame.data().split_first()?;
    ours.then_some((*number, data))
}

/// The status of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) u8);

impl Status {
    pub(super) const fn hardware_error(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// The values are those of the answer before.
    pub(super) const fn nothing_new(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    pub(super) const fn uncertain(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// The voltage has been above the highest that was set.
    pub(super) const fn over_voltage(self) -> bool {
        self.0 & 1 << 3 != 0
    }
}

/// The resistances of both poles to earth, ohms: the least that their uncertainty allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resistances {
    pub(super) status: Status,
    pub(super) poles: [u32; 2],
}

impl Resistances {
    /// `None`: too short.
    pub(super) fn read(data: &[u8]) -> Option<Self> {
        let [status, p_high, p_low, p_percent, n_high, n_low, n_percent] = *data else { return None };
        // Kilohms, and percents of them.
        let least = |kohm: [u8; 2], percent: u8| {
            u32::from(u16::from_be_bytes(kohm)) * 10 * u32::from(100 - percent.min(100))
        };
        let poles = [least([p_high, p_low], p_percent), least([n_high, n_low], n_percent)];
        Some(Self { status: Status(status), poles })
    }

    /// Both together, ohms.
    pub(super) fn parallel(self) -> i32 {
        let [plus, minus] = self.poles.map(u64::from);
        let ohms = (plus * minus).checked_div(plus + minus).unwrap_or(0);
        i32::try_from(ohms).unwrap_or(i32::MAX)
    }
}
