//! The tests of this crate in one program: each would be linked with all that the daemon has.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)] // helpers of tests count as no test to clippy

mod bench;
mod conversation;
mod daemon;
mod din;
mod evse;
mod flood;
mod hostile;
mod iso20;
mod matching;
mod pki;
mod plug_and_charge;
#[path = "../../../tests/private_bus.rs"]
mod private_bus;
mod quirks;
mod recorded;
mod recordings;
mod refusals;
mod schedules;
mod slac_recorded;
#[path = "../../../tests/watched.rs"]
mod watched;
#[path = "slac/mod.rs"]
mod world;

/// The discovery port is one for all.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
