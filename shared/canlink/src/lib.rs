//! CAN 2.0 frames over SocketCAN or slcan.
//!
//! [`CanLink::open`] gives one bus from a [`CanPort`] of the configuration. It knows no protocol
//! above frames. Whatever goes wrong on the link comes back as a typed error; the caller waits as
//! long as it likes and opens again.
//!
//! [`slcan`] is the Lawicel line protocol by itself: a codec without I/O, and a port that runs it
//! over any byte stream, on either side of the line.

mod frame;
mod link;
pub mod slcan;

pub use frame::{CanFrame, CanId, InvalidFrame};
pub use link::{BitRate, CanLink, CanPort, LinkError, QueueFull, Received};
