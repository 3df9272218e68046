//! Energy meters and insulation monitors on one Modbus line.
//!
//! One process a line. One task ([`task`]) owns the line and asks its devices in turn; a driver
//! a device ([`driver`]) decides what to ask and what the answers mean, without I/O and without
//! a clock; [`bus`] serves what they tell.
//!
//! ```text
//!  D-Bus ── orders ──▶ task ── requests ──▶ line ⇄ devices
//!        ◀─ events ───      ◀── replies ───
//!                      driver, driver, …
//! ```
//!
//! A measurement that could not be made is not sent: a consumer sees it go stale. Nothing is
//! ever repeated, interpolated or made up.
//!
//! A meter that is not on a Modbus line (a LEM DCBM over HTTP) takes the place of `task`: it
//! needs [`task::Orders`] to come in and [`task::Events`] to go out, and nothing of [`bus`]
//! changes, except that a signing meter keeps its own transactions.

// A test looks for one event among many.
#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm))]

pub mod bus;
pub mod config;
pub mod decode;
pub mod driver;
pub mod isocha425hv;
pub mod line;
pub mod meter;
pub mod model;
pub mod port;
pub mod presence;
pub mod request;
pub mod rn5893;
pub mod task;
pub mod transaction;
