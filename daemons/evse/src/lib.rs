//! One EVSE: its energy path, and the thin shell that ties it to the bus.
//!
//! [`energy_path`] decides, alone and without I/O. [`shell`] brings it what providers signal and
//! station orders, and sends what it wants done. Nothing else lives in this daemon: no disk, no
//! network, no device.

mod commands;
pub mod config;
pub mod energy_path;
mod evidence;
mod evse1;
mod readings;
mod roles;
mod self_test;
pub mod shell;
