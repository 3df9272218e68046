//! The tests of this crate in one program: each would be linked with all that the daemon has.

#[path = "power_cut/csms.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a part of it, and helpers of tests count as no test to clippy"
)]
mod csms;
mod daemon;
mod drain;
mod flood;
#[path = "../../../tests/private_bus.rs"]
mod private_bus;
#[path = "../../../tests/watched.rs"]
mod watched;
