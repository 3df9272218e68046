//! What the frames of a matrix controller mean, without I/O.
//!
//! Frames are those of [`crate::frame`], 115200 baud 8N1. **The messages are Voltry's own**: no maker's
//! document has any for a matrix. Numbers are big-endian; contactor `n` is bit `n` of the last six bytes.
//!
//! ```text
//! 0x46  host → controller, each 100 ms    0 0 | 48 bits: contactors to be closed
//! 0x47  controller → host, each 100 ms    safe state | 0 | 48 bits: contactors closed by their feedback
//!       after the next two, and on change
//! 0x48  controller → host, each 100 ms    four i16, 0.1 V: the first four EVSEs' sides; 0x8000: none
//! 0x49  controller → host, each 100 ms    the next four
//! 0xFE  host → controller                 02: leave the safe state
//! ```
//! Without 0x46 for two seconds the controller opens everything and stays in its safe state (1); it starts in
//! its safe state (2), so that one that was reset under way does not close by an old order.

use voltry_units::Volts;

use crate::frame::Frame;

const CONTROL: u8 = 0x46;
const FEEDBACK: u8 = 0x47;
const BARS: [u8; 2] = [0x48, 0x49];
const ACTION: u8 = 0xFE;
const LEAVE_SAFE_STATE: u8 = 2;
/// Of a voltage that is not measured.
const NOT_MEASURED: i16 = i16::MIN;
/// As many contactors as fit into a frame.
pub const CONTACTORS_MAX: usize = 48;
/// As many EVSEs as fit into the frames of voltages.
pub const EVSES_MAX: usize = 8;
/// Why the controller opened everything by itself: nobody spoke to it.
pub const HOST_SILENT: u8 = 1;
/// Why the controller takes no orders yet: it has just been powered up, or was reset.
pub const STARTED: u8 = 2;

/// What a controller said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Its contactors.
    Feedback {
        /// A bit for each, set where it is closed.
        closed: u64,
        /// Why it opened everything and takes no orders; 0: it takes orders.
        safe_state: u8,
    },
    /// Voltages at the EVSEs' side, from the `first` on.
    Bars {
        /// The place of the first one.
        first: usize,
        /// Where measured.
        voltages: [Option<Volts>; 4],
    },
}

impl Message {
    /// `None`: no message of a matrix controller.
    #[must_use]
    pub fn from_frame(frame: Frame) -> Option<Self> {
        let Frame { id, data } = frame;
        if id == FEEDBACK {
            let closed = u64::from_be_bytes(data) & ((1 << CONTACTORS_MAX) - 1);
            return Some(Self::Feedback { closed, safe_state: data[0] });
        }
        let part = BARS.iter().position(|bars| *bars == id)?;
        let mut voltages = [None; 4];
        for (place, tenths) in voltages.iter_mut().zip(data.chunks_exact(2)) {
            let tenths = i16::from_be_bytes([tenths[0], tenths[1]]);
            *place = (tenths != NOT_MEASURED).then(|| Volts::from_milli(i64::from(tenths) * 100));
        }
        Some(Self::Bars { first: part * 4, voltages })
    }
}

/// The host's periodic message: the contactors to be closed.
#[must_use]
pub fn control(closed: u64) -> Frame {
    Frame { id: CONTROL, data: closed.to_be_bytes() }
}

/// Asks the controller to take orders again.
#[must_use]
pub fn leave_safe_state() -> Frame {
    Frame { id: ACTION, data: [LEAVE_SAFE_STATE, 0, 0, 0, 0, 0, 0, 0] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contactors_are_the_bits_of_the_last_six_bytes() {
        assert_eq!(control(0b101).data, [0, 0, 0, 0, 0, 0, 0, 5]);
        let heard = Frame { id: 0x47, data: [1, 0, 0x80, 0, 0, 0, 0, 2] };
        let expected = Message::Feedback { closed: 1 << 47 | 2, safe_state: HOST_SILENT };
        assert_eq!(Message::from_frame(heard), Some(expected));
    }

    #[test]
    fn voltages_are_tenths_and_may_be_missing_or_reversed() {
        let heard = Frame { id: 0x49, data: [0x0F, 0xA0, 0x80, 0, 0xFF, 0xFF, 0, 0] };
        let volts = [Some(Volts::new(400)), None, Some(Volts::from_milli(-100)), Some(Volts::ZERO)];
        assert_eq!(Message::from_frame(heard), Some(Message::Bars { first: 4, voltages: volts }));
        assert_eq!(Message::from_frame(Frame { id: 0x07, data: [0; 8] }), None);
    }
}
