//! The tests of this crate in one program: each would be linked with all that the daemon has.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

mod daemon;
mod flood;
mod monitor;
#[path = "../../../tests/private_bus.rs"]
mod private_bus;
#[path = "../../../tests/watched.rs"]
mod watched;
