//! Card readers. A card that is laid on one is told on the bus, once; who may charge is decided by whoever listens.
//!
//! A daemon of its own, and no part of `voltry-ui`: behind that stand browsers, and whoever tells cards can let
//! anybody in.
//!
//! [`frame`] finds a PN532's frames, [`pn532`] says what they mean, [`card`] which cards lie there, [`reader`] what
//! to ask next; all four are without I/O. `line` and `serve` are the shell.

pub mod card;
pub mod config;
pub mod frame;
mod line;
pub mod pn532;
pub mod reader;
mod serve;

pub use config::configure;
pub use serve::run;
