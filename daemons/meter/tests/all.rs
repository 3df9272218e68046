//! The tests of this crate in one program: each would be linked with all that the daemon has.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // helpers of tests count as no test to clippy

mod daemon;
mod flood;
#[path = "../../../tests/private_bus.rs"]
mod private_bus;
mod rig;
#[path = "../../../tests/watched.rs"]
mod watched;
