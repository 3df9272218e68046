//! A session as it leaves the station, by `voltryctl` or by the technician's page: what vehicle and station said as
//! a [`Capture`].
//!
//! Nothing here asks the bus: whoever did hands over what it was told.

mod capture;

pub use capture::Capture;
