//! The fault sweep: every trouble that the plant can play, at every step of a session, alone, in pairs and in
//! random sequences, in virtual time, held to the plant's rules at every physical step and to the bills.
//!
//! A seed is a case and stands for it as long as the code is the same: the first seeds are each trouble at each
//! moment, the next each pair of troubles at each moment, the others random sequences. `make soak` walks through
//! them; a case that fails prints its seed, and `make soak SESSIONS=1 SEED=…` plays it again.

#![allow(clippy::missing_panics_doc)] // a rule that is broken panics

#[path = "../../../daemons/evse/tests/plant/mod.rs"]
mod plant;

mod billing;
mod case;
mod scenario;

pub use case::{Case, Sweep};
pub use plant::troubles;
