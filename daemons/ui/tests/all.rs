//! The tests of this crate in one program: each would be linked with all that the daemon has.

#![allow(clippy::unwrap_used)] // helpers of tests count as no test to clippy

mod hostile;
mod pages;
mod rig;
mod technician;
mod technician_changes;
mod technician_reads;
