//! The Lawicel line protocol ("slcan"): CAN frames as ASCII lines that end in a carriage return.
//!
//! ```text
//! host → adapter   C\r  S4\r  O\r   T029A00F080100000000000000\r
//! adapter → host   \r (done)  \a (refused)  z\r, Z\r (sent)   T0283F000843FA000040600000\r
//! ```
//!
//! Frames read the same in both directions, so one [`Decoder`] and one [`Port`] serve both ends.
//! Source: Lawicel CAN232/CANUSB manual; Linux `drivers/net/can/slcan`.

mod codec;
mod port;

pub use codec::{Decoder, Line, encode};
pub use port::Port;
