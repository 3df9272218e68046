//! The tests of this crate in one program: each would be linked with all that the daemon has.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

mod flood;
mod matrix;
#[path = "../../../tests/private_bus.rs"]
mod private_bus;
mod program;
#[path = "../../../tests/watched.rs"]
mod watched;
mod wire;
