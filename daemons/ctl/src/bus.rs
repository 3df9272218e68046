//! The way to the station, and the walk over what stands on its bus.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use voltry_service::Binding;
use zbus::fdo::DBusProxy;
use zbus::names::OwnedWellKnownName;
use zbus::{Connection, OwnedObjectPath};

use crate::outcome::Failure;

/// How long any call may take before the command says that nobody answers.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to the bus at `address`, or to the system bus (`$DBUS_SYSTEM_BUS_ADDRESS`).
pub(crate) async fn connect(address: Option<&str>) -> Result<Connection, Failure> {
    connect_patiently(address, TIMEOUT).await
}

/// The same, where calls may take this long.
pub(crate) async fn connect_patiently(
    address: Option<&str>,
    patience: Duration,
) -> Result<Connection, Failure> {
    let builder = match address {
        Some(address) => zbus::connection::Builder::address(address),
        None => zbus::connection::Builder::system(),
    };
    let connecting = tokio::time::timeout(TIMEOUT, builder.method_timeout(patience).build());
    let error = match connecting.await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it does not answer within {} s", TIMEOUT.as_secs()),
    };
    Err(Failure::NoBus(format!(
        "no bus: {error}. Is this the station? For a simulated one give --bus ADDRESS, as `voltry-sim station` prints it"
    )))
}

/// An object and the interfaces it has.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) name: OwnedWellKnownName,
    pub(crate) path: OwnedObjectPath,
    pub(crate) interfaces: Vec<String>,
}

/// What stands on the bus.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Every object below `/org/voltry`, ours or an OEM's, in order of their paths.
    pub(crate) objects: Vec<Object>,
    /// Names whose daemon does not answer or is away, and objects that do not answer properly.
    pub(crate) silent: BTreeSet<String>,
    /// Every name that was walked over.
    names: Vec<OwnedWellKnownName>,
}

impl Walk {
    /// This object does not answer, or not as it should.
    pub(crate) fn misses(&mut self, name: &OwnedWellKnownName, path: &OwnedObjectPath) {
        self.silent.insert(format!("{path} of {name}"));
    }

    /// What was listed is not everything.
    pub(crate) fn is_whole(&self) -> Result<(), Failure> {
        if self.silent.is_empty() {
            return Ok(());
        }
        let names = self.silent.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(Failure::Unreachable(format!("{names} does not answer: this is not everything")))
    }
}

/// Whose objects are none of a station.
const FOREIGN: &str = "org.freedesktop.";

/// Walks over the bus. One that hangs holds up nobody else.
pub(crate) async fn walk(connection: &Connection) -> Result<Walk, Failure> {
    let names: Vec<OwnedWellKnownName> = DBusProxy::new(connection)
        .await?
        .list_names()
        .await
        .map_err(zbus::Error::from)?
        .into_iter()
        .filter_map(|name| OwnedWellKnownName::try_from(name.to_string()).ok())
        .filter(|name| !name.starts_with(FOREIGN))
        .collect();
    let found = join_all(names.iter().map(|name| objects(connection, name))).await;
    let mut walk = Walk { names, ..Walk::default() };
    for (name, found) in walk.names.iter().zip(found) {
        match found {
            Ok(mut objects) => walk.objects.append(&mut objects),
            Err(Failure::Unreachable(_)) => {
                walk.silent.insert(name.to_string());
            }
            // It left meanwhile, or denies reading: it has nothing to show.
            Err(Failure::Refused(_) | Failure::Other(_)) => {}
            Err(failure @ Failure::NoBus(_)) => return Err(failure),
        }
    }
    walk.objects.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(walk)
}

/// Adds what roles are bound to and the walk did not come to: objects that lie elsewhere, and who is away.
pub(crate) async fn add_bound(connection: &Connection, walk: &mut Walk, bound: &[Binding]) {
    for Binding { name, path } in bound {
        if !walk.names.contains(name) {
            walk.silent.insert(name.to_string());
            continue;
        }
        let known = walk.objects.iter().any(|object| object.name == *name && object.path == *path);
        if known || walk.silent.contains(name.as_str()) {
            continue;
        }
        match voltry_service::objects::object(connection, name, path).await {
            Ok(found) => {
                let interfaces = ours(found.interfaces);
                walk.objects.push(Object { name: name.clone(), path: path.clone(), interfaces });
            }
            Err(_) => walk.misses(name, path),
        }
    }
}

fn ours(interfaces: Vec<String>) -> Vec<String> {
    interfaces.into_iter().filter(|interface| interface.starts_with("org.voltry.")).collect()
}

/// The objects of one name.
async fn objects(connection: &Connection, name: &OwnedWellKnownName) -> Result<Vec<Object>, Failure> {
    let found = voltry_service::objects::objects(connection, name).await.map_err(zbus::Error::from)?;
    found
        .into_iter()
        .map(|object| {
            let path = OwnedObjectPath::try_from(object.path)?;
            Ok(Object { name: name.clone(), path, interfaces: ours(object.interfaces) })
        })
        .filter(|object| object.as_ref().is_ok_and(|object| !object.interfaces.is_empty()) || object.is_err())
        .collect()
}
