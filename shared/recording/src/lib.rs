//! A session as it leaves the station, by `voltryctl` or by the technician's page: all of it on one [`Timeline`], that
//! for a spreadsheet ([`csv()`]; as JSON it is what serde makes of it), and what vehicle and station said as a
//! [`Capture`]. And what daemons said: an [`Entry`] of the journal.
//!
//! Nothing here asks the bus: whoever did hands over what it was told.

mod capture;
mod csv;
mod journal;
#[cfg(test)]
#[path = "../../../tests/recorded.rs"]
mod recorded;
mod timeline;

pub use capture::Capture;
pub use csv::csv;
pub use journal::Entry;
pub use timeline::{Moment, Phase, Timeline, seconds, talk};
