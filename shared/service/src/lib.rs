//! What every daemon does alike, once: configuration, journal, readiness, watchdog, shutdown,
//! leases, device identity and faults.
//!
//! A daemon's `main.rs` is one [`Program`]; its library has two functions:
//! `configure(&Config, instance) -> Provision<Settings>` checks its own tables and nothing else,
//! `run(Settings, Daemon)` serves its objects, claims its name, and returns when
//! [`Daemon::stop`] does and its I/O is safe.
//!
//! [`Lease`] decides alone, for every provider, who may energise and for how long.

pub mod clock;
mod command_line;
pub mod config;
pub mod config_check;
mod connection;
mod daemon;
mod device;
pub mod fault_guide;
mod faults;
mod holder_watch;
pub mod lease;
mod log;
pub mod objects;
mod program;
mod rate_limit;
mod refusals;
pub mod self_test;
pub mod settings;

pub use config::{Binding, Config, ConfigError, Problem};
pub use connection::connect;
pub use daemon::{Daemon, Stop, Watchdog};
pub use device::{Device, Identity};
pub use faults::FaultLog;
pub use holder_watch::HolderWatch;
pub use lease::{Lease, LeaseHolder, LeaseState, LeaseTimes, Refusal, Stamp};
pub use program::{Program, Provision, where_configured};
pub use rate_limit::RateLimit;
pub use refusals::Refusals;
pub use settings::Settings;
