//! Codecs of CAN power module families, without I/O, clocks or state.
//!
//! [`Family`] is a row of [`FAMILIES`]: two functions between the words all families share
//! ([`Request`], [`Message`]) and one vendor's frames, and what a controller must know of the
//! modules' ways. A new family is one module here and one row there. A family that has no frame
//! for a request says [`Unencodable::Unsupported`].
//!
//! Nothing here decides anything: what an alarm leads to, how modules share a current and when
//! one is lost is the caller's.

mod condition;
mod family;
pub mod huawei;
pub mod infypower;
pub mod infypower_beg;
pub mod maxwell_mxr;
mod message;
pub mod tonhe;
pub mod uugreenpower;

pub use condition::{Condition, Conditions, Kind};
pub use family::{Family, Questions, Reports, SetPoint};
pub use message::{
    Capability, Destination, Frame, Input, Malformed, Message, Order, Output, Range, Refusal, Reply, Report,
    Request, Source, Status, Unencodable,
};

/// Every family there is.
pub static FAMILIES: &[Family] = &[
    infypower::FAMILY,
    infypower_beg::FAMILY,
    uugreenpower::FAMILY,
    maxwell_mxr::FAMILY,
    tonhe::FAMILY,
    huawei::FAMILY,
];

#[cfg(test)]
mod tests;
