//! The way to the station, and the walk over what stands on its bus.

use std::time::Duration;

use zbus::fdo::{DBusProxy, IntrospectableProxy};
use zbus::names::OwnedWellKnownName;
use zbus::{Connection, OwnedObjectPath};

use crate::outcome::Failure;

/// How long any call may take before the command says that nobody answers.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Objects below `/org/voltry` are three levels down; this bounds the walk whatever is served.
const DEPTH: usize = 6;

/// Connects to the bus at `address`, or to the system bus (`$DBUS_SYSTEM_BUS_ADDRESS`).
pub(crate) async fn connect(address: Option<&str>) -> Result<Connection, Failure> {
    let builder = match address {
        Some(address) => zbus::connection::Builder::address(address),
        None => zbus::connection::Builder::system(),
    };
    builder.method_timeout(TIMEOUT).build().await.map_err(|error| {
        Failure::Unreachable(format!(
            "no bus: {error}. Is this the station? For a simulated one give --bus ADDRESS, as `voltry-sim station` prints it"
        ))
    })
}

/// An object and the interfaces it has.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) name: OwnedWellKnownName,
    pub(crate) path: OwnedObjectPath,
    pub(crate) interfaces: Vec<String>,
}

/// Every object of every `org.voltry` name on the bus, ours or an OEM's, in order.
pub(crate) async fn objects(connection: &Connection) -> Result<Vec<Object>, Failure> {
    let mut names: Vec<OwnedWellKnownName> = DBusProxy::new(connection)
        .await?
        .list_names()
        .await
        .map_err(zbus::Error::from)?
        .into_iter()
        .filter_map(|name| OwnedWellKnownName::try_from(name.to_string()).ok())
        .filter(|name| name.starts_with("org.voltry."))
        .collect();
    names.sort();
    let mut found = Vec::new();
    for name in names {
        let mut level = vec!["/org/voltry".to_owned()];
        for _ in 0..DEPTH {
            let mut below = Vec::new();
            for path in level {
                // A daemon that just left, or denies reading, has nothing to show.
                let Ok(object) = object(connection, &name, &path, &mut below).await else { continue };
                if !object.interfaces.is_empty() {
                    found.push(object);
                }
            }
            level = below;
        }
    }
    Ok(found)
}

async fn object(
    connection: &Connection,
    name: &OwnedWellKnownName,
    path: &str,
    below: &mut Vec<String>,
) -> Result<Object, Failure> {
    let proxy = IntrospectableProxy::builder(connection)
        .destination(name.clone())
        .path(path.to_owned())
        .build()
        .await?;
    let xml = proxy.introspect().await.map_err(zbus::Error::from)?;
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&xml, options)
        .map_err(|error| Failure::Other(format!("{name}{path}: {error}")))?;
    let named = |tag: &'static str| {
        document
            .root_element()
            .children()
            .filter(move |node| node.has_tag_name(tag))
            .filter_map(|node| node.attribute("name"))
    };
    below.extend(named("node").map(|child| format!("{path}/{child}")));
    Ok(Object {
        name: name.clone(),
        path: OwnedObjectPath::try_from(path.to_owned())?,
        interfaces: named("interface")
            .filter(|name| name.starts_with("org.voltry."))
            .map(str::to_owned)
            .collect(),
    })
}
