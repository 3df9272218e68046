//! The tests of this crate in one program: each would be linked with all that the daemon has.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

mod charging;
mod faults;
mod limits;
mod matching;
mod rack;
mod reader;
mod self_test;
mod stress;
mod survival;
