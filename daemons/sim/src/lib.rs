//! Simulated hardware and vehicle.

pub mod demo;
pub mod electrical;
pub mod faults;
pub mod foreground;
pub mod hardware;
pub mod powerline;
pub mod station;
pub mod vehicle;
