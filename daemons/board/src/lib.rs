//! The wires of the connectors, on the serial safety controller of a chargebyte Charge SOM or
//! Charge Control Y: pilot, contactors and their feedback, temperatures, emergency stop.
//!
//! Electrical assumptions: the controller measures by itself and goes to its own safe state
//! (pilot at −12 V, contactors open) on its own faults and when its host is silent; it closes
//! contactors only in pilot state C; the hard-wired safety chain is outside of both.
//!
//! [`frame`] finds frames, [`message`] says what they mean, [`connector`] decides; all three are
//! without I/O. `line`, `object` and `control` are the shell. A restart assumes nothing: the
//! contactors are requested open and the pilot driven to −12 V before anything else, and a
//! controller that latched because we were away is reset once.

pub mod config;
pub mod connector;
mod control;
pub mod frame;
mod line;
pub mod message;
mod object;

pub use config::configure;
pub use control::{make_safe, run};
