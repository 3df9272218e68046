//! The wires of the connectors: pilot, contactors and their feedback, temperatures, emergency stop. They
//! hang on the serial safety controller of a chargebyte Charge SOM or Charge Control Y, or on lines of
//! this machine ([`linux`]); [`connector`] is the same for both.
//!
//! Of a safety controller:
//! electrical assumptions: it measures by itself and goes to its own safe state
//! (pilot at −12 V, contactors open) on its own faults and when its host is silent; it closes
//! contactors only in pilot state C; the hard-wired safety chain is outside of both.
//!
//! [`frame`] finds frames, [`message`] says what they mean, [`connector`] decides; all three are
//! without I/O. `line`, `object` and `control` are the shell. [`matrix`] drives the contactors between
//! module groups and EVSEs, on a controller of their own. A restart assumes nothing: the
//! contactors are requested open and the pilot driven to −12 V before anything else, and a
//! controller that latched because we were away is reset once.

mod calls;
pub mod config;
pub mod connector;
mod control;
pub mod frame;
mod line;
pub mod linux;
pub mod matrix;
pub mod message;
mod object;
mod report;
pub mod wanted;

pub use config::configure;
pub use control::{make_safe, run};
