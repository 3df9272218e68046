//! The tests of this crate in one program: each would be linked with all that the daemon has.

mod charging;
mod faults;
mod matching;
mod rack;
mod reader;
mod self_test;
mod stress;
mod survival;
