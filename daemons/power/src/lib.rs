//! Power modules over CAN.

mod config;

pub use config::{Settings, Supply, configure};
