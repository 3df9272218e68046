//! OCPP-J's remote procedure calls, without I/O and without a clock: text of the peer comes in,
//! text for the peer goes out.
//!
//! ```text
//!             text ──▶ frame::parse ──▶ Endpoint::received ──▶ Call, Answer, Refused, Ignored
//!  call, answer, refuse ──▶ Endpoint ──▶ text
//! ```
//!
//! One [`Endpoint`] lives as long as one connection. Of our own calls one is open at a time, as
//! both versions want it (1.6J 4.1.1, 2.0.1 part 4 4.1.1); what was not answered when the
//! connection ended comes back from [`Endpoint::lost`], and a transaction message is sent again
//! with the same [`MessageId`] on the next one. On one connection no id is used twice.

mod endpoint;
mod error_code;
mod frame;
mod message_id;

pub use endpoint::{Call, CallError, Counts, Endpoint, Received};
pub use error_code::{Dialect, ErrorCode};
pub use frame::{Frame, Malformed, parse};
pub use message_id::{InvalidMessageId, MessageId};

/// The longest text that is taken from a peer, bytes. The longest that OCPP needs is a certificate
/// chain or a list of tokens as long as the station says that it takes.
pub const TEXT_MAX: usize = 256 * 1024;

/// How deep arrays and objects of a peer may stand in one another.
pub const DEPTH_MAX: usize = 64;

/// How many calls of the peer may wait for their answers at once. It should ask one at a time.
pub const OPEN_MAX: usize = 16;
