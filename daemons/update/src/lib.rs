//! `voltry-update`: updates of the firmware, by RAUC. Serves `Update1`.
//!
//! RAUC writes and verifies; [`course`], pure, decides when it may, whether a new version is good, and what a
//! power cut has left behind. The shell carries out what it decides.

// A test looks for one input or action among many.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

mod config;
pub mod course;
pub mod memory;
mod object;
mod rauc;
mod shell;
pub mod station;
mod version;

pub use config::{Settings, configure};
pub use shell::run;
