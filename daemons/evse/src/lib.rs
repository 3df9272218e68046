//! One EVSE's energy path.

pub mod energy_path;
