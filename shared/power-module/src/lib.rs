//! Codecs of CAN power module families, without I/O, clocks or state.
//!
//! [`Family`] is a row of [`FAMILIES`]: two functions between the words all families share
//! ([`Request`], [`Message`]) and one vendor's frames. A new family is one module here and one
//! row there. A family that has no frame for a request says [`Unencodable::Unsupported`].
//!
//! Nothing here decides anything: what an alarm leads to, how modules share a current and when
//! one is lost is the caller's.

mod condition;
pub mod infypower;
mod message;

pub use condition::{Condition, Conditions, Kind};
pub use message::{
    Capability, Destination, Frame, Input, Malformed, Message, Order, Output, Refusal, Reply, Request,
    Source, Status, Unencodable,
};

use std::time::Duration;

/// One vendor's protocol.
#[derive(Debug, Clone)]
pub struct Family {
    /// As the configuration names it.
    pub name: &'static str,
    /// Who makes the modules.
    pub vendor: &'static str,
    /// How long a module waits for a frame of its controller before it switches its output off.
    pub silence_limit: Duration,
    /// Addresses that a module can have.
    pub addresses: std::ops::RangeInclusive<u8>,
    /// The frame that carries a request.
    pub encode: fn(Destination, Request) -> Result<Frame, Unencodable>,
    /// What a received frame with a 29-bit identifier says.
    pub decode: fn(u32, &[u8]) -> Result<Message, Malformed>,
}

/// Every family there is.
pub static FAMILIES: &[Family] = &[infypower::FAMILY];

impl Family {
    /// The family of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.name == name)
    }
}
