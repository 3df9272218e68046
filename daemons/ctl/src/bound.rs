//! Who plays the roles of a station, by its configuration: a daemon that is away is missed only by whoever
//! knows that it should be there.

use std::path::Path;

use voltry_service::{Binding, Config};

use crate::outcome::Failure;

/// The bindings of the configuration at `config`, or of the installed one where the machine's own bus is asked: a
/// station on another bus, as a simulated one, has its configuration elsewhere.
pub(crate) fn bindings(config: Option<&Path>, address: Option<&str>) -> Result<Vec<Binding>, Failure> {
    let machines_own = address.is_none() && std::env::var_os("DBUS_SYSTEM_BUS_ADDRESS").is_none();
    let read = match config {
        Some(path) => Config::read(Some(path)).map_err(|error| Failure::Other(error.to_string()))?,
        None if machines_own => match Config::read(None) {
            Ok(read) => read,
            // What is wrong with it is for `config check`; the devices are there all the same.
            Err(_) => return Ok(Vec::new()),
        },
        None => return Ok(Vec::new()),
    };
    Ok(read.bindings().into_iter().map(|(_, binding)| binding).collect())
}
