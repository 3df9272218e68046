//! The messages of DIN SPEC 70121, with which most vehicles until about 2020 charge, and many
//! since. Sans-IO, `no_std` with `alloc`.
//!
//! A [`V2gMessage`] is one payload of a V2GTP frame of type 0x8001, once the handshake
//! (`supportedAppProtocol`) agreed on the namespace `urn:din:70121:2012:MsgDef`:
//!
//! ```
//! use voltry_din70121::{BodyElement, ExiDocument, V2gMessage};
//!
//! let payload = [0x80, 0x9a, 0x00, 0x40, 0x11, 0xd0, 0x1b, 0xb1, 0x97, 0x33, 0x2d, 0x32, 0x80, 0x00];
//! let message = V2gMessage::from_bytes(&payload)?;
//! let Some(BodyElement::SessionSetupReq(request)) = &message.body.element else { panic!() };
//! assert_eq!(request.evcc_id.0, [0xec, 0x65, 0xcc, 0xcb, 0x4c, 0xa0]);
//! assert_eq!(message.to_vec()?, payload);
//! # Ok::<(), voltry_din70121::ExiError>(())
//! ```
//!
//! - `messages`, `types`, `enumerations`: the schema's declarations, one item each, in its order:
//!   the order is what the event codes are made of.
//! - `grammar`: from a declaration to its events, on the EXI primitives of the `iso15118` crate.
//! - `values`: simple types.
//!
//! **Read widely, write strictly.** A value that the bits can hold is read even where the schema
//! forbids it (a longer identifier, 104 percent): whoever uses a value judges it, and a charge
//! does not fail on one that nobody uses. Written is only what the schema allows; anything else
//! is an [`ExiError`].
//!
//! Reading is bounded by the payload: no length is believed before the bits for it are there,
//! each repetition costs bits, and the grammar does not recurse.
//!
//! XML signatures and sales tariffs are left out ([`NotModelled`]): the standard excludes both
//! from DC charging, and a message that holds one is refused.

#![no_std]

extern crate alloc;

mod enumerations;
mod grammar;
mod messages;
mod types;
mod values;

#[cfg(test)]
mod tests;

pub use enumerations::*;
pub use iso15118::exi::{ExiDocument, ExiError, ExiResult};
pub use messages::*;
pub use types::*;
pub use values::*;
