//! Values that several daemons write in their tables.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use voltry_units::OutOfRange;
use zbus::OwnedObjectPath;
use zbus::names::OwnedWellKnownName;

/// Who plays a role: `{ name = "org.voltry.Power1", path = "/org/voltry/power_supply/1" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Binding {
    /// The bus name of the daemon.
    pub name: OwnedWellKnownName,
    /// The object that implements the role's interface.
    pub path: OwnedObjectPath,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    path: String,
}

impl Binding {
    /// A binding to a name and a path.
    ///
    /// # Errors
    /// What is no well-known bus name, or no object path.
    pub fn new(name: &str, path: &str) -> Result<Self, String> {
        Ok(Self {
            name: OwnedWellKnownName::try_from(name).map_err(|_| format!("{name:?} is no bus name"))?,
            path: OwnedObjectPath::try_from(path).map_err(|_| format!("{path:?} is no object path"))?,
        })
    }
}

impl TryFrom<Written> for Binding {
    type Error = String;
    fn try_from(written: Written) -> Result<Self, String> {
        Self::new(&written.name, &written.path)
    }
}

/// For `#[serde(deserialize_with = "voltry_service::config::quantity")]`: a quantity written as
/// a number in its SI unit.
///
/// # Errors
/// A number outside the quantity's range.
pub fn quantity<'de, D, Q>(deserializer: D) -> Result<Q, D::Error>
where
    D: Deserializer<'de>,
    Q: TryFrom<f64, Error = OutOfRange>,
{
    Q::try_from(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// For `#[serde(deserialize_with = "voltry_service::config::duration_ms")]`: a time written as
/// a whole number of milliseconds.
///
/// # Errors
/// A number that is negative or not whole.
pub fn duration_ms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}
