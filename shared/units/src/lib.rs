//! Physical units, time stamps and measurements.
//!
//! Quantities are private integers in thousandths of the SI unit, so inside Voltry there is
//! no NaN, no infinity, and a real total order. `f64` appears only at the edges: [`Volts::from_si`]
//! refuses what a quantity cannot be, [`Volts::as_si`] writes it back.
//!
//! This crate depends on nothing of Voltry and does no I/O.

mod quantity;
mod time;

pub use quantity::{Amps, AmpsPerSecond, Celsius, Ohms, OutOfRange, Percent, Volts, WattHours, Watts};
pub use time::{Measured, Timestamp};
