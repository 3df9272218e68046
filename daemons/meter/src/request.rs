//! What may be asked of a device on a Modbus line, and how that fails.

use std::time::Duration;

use crate::model::Block;

/// One request. Single registers are written with function 16 too: some devices know no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Function 3 or 4.
    Read(Block),
    /// Function 16.
    Write {
        /// The first register, counted from 0.
        address: u16,
        /// What to write.
        words: Vec<u16>,
    },
}

/// What a request is for, as far as the time for its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To know.
    Read,
    /// To change: a device may store it before it answers.
    Write,
}

impl Request {
    /// What it is for.
    #[must_use]
    pub const fn purpose(&self) -> Purpose {
        match self {
            Self::Read(_) => Purpose::Read,
            Self::Write { .. } => Purpose::Write,
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nothing, or nothing whole, came in time. A wrong checksum ends here too: on RTU a frame
    /// that is none is silence.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// A gateway answered for the device, which did not.
    #[error("the gateway does not reach the device: Modbus exception {0:#04x}")]
    Unreachable(u8),
    /// The port itself: it cannot be opened, or has gone.
    #[error("the line failed: {0}")]
    Transport(String),
    /// An answer came, but not to this request.
    #[error("a wrong answer: {0}")]
    Protocol(String),
    /// The device understood, and will not. It is there.
    #[error("the device refused with Modbus exception {0:#04x}")]
    Refused(u8),
}
