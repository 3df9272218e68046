//! The tests of this crate in one program: each would be linked with all that the daemon has.

mod flood;
mod matrix;
#[path = "../../../tests/private_bus.rs"]
mod private_bus;
mod program;
#[path = "../../../tests/watched.rs"]
mod watched;
mod wire;
