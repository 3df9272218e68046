//! A connector without a safety controller: GPIO lines by name, the pilot by PWM, its levels by IIO,
//! temperatures by IIO or hwmon.
//!
//! Electrical assumptions: the outputs are inactive when Linux does not drive them, and hardware opens
//! the contactors when this process is dead or hangs, by a watchdog on the heartbeat line or by itself:
//! a line keeps its level when the process that drove it is killed, and no software is left to change
//! it. The hard-wired safety chain is outside of all this.
//!
//! [`pilot`] and `wires` are pure; `hardware` is the I/O, of which [`Lines`] are a trait. One thread
//! samples and drives every 10 ms, another reads temperatures, which take long. Outputs are made safe when the
//! hardware is opened, when any of it fails, when the control loop was silent for 300 ms, when this is
//! dropped, and before a panic ends the process. What the other back end's controller does by itself
//! `wires` does; what both must do [`crate::connector`] does.

mod board;
mod config;
mod debounce;
mod hardware;
mod lines;
mod panic;
pub mod pilot;
mod sysfs;
mod wires;

pub(crate) use board::Fitted;
pub use board::LinuxBoard;
pub use config::{ContactorLines, Level, Line, LinuxSettings, LockLines, PilotSettings, Thermometer};
pub use lines::Lines;

#[cfg(test)]
mod tests;
