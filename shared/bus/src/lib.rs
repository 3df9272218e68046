//! The D-Bus contract between the daemons: names, wire types, proxies and errors.
//!
//! `dbus/*.xml` is the source of truth. The proxies ([`PowerSupply1Proxy`] and the others) are
//! generated from it when this crate is built, with its comments as their documentation. The
//! wire types are written here and held to the XML's signatures by test; what a daemon serves is
//! held to the XML by [`contract::check_served`].
//!
//! On the wire quantities are SI doubles; a daemon turns them into `voltry_units` quantities
//! where they enter, and refuses those that are none.

pub mod contract;
mod device;
mod error;
pub mod names;
mod schedules;
#[macro_use]
mod states;
mod uplink;
mod wire;

pub use device::*;
pub use error::Error;
pub use schedules::*;
pub use states::*;
pub use uplink::*;
pub use wire::*;

/// The generated proxies, and beside each the streams and argument types of its signals.
#[allow(missing_docs, unreachable_pub, clippy::too_many_arguments)]
pub mod proxies {
    include!(concat!(env!("OUT_DIR"), "/proxies.rs"));
}
include!(concat!(env!("OUT_DIR"), "/reexports.rs"));
