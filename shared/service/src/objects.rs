//! What a name on the bus has: its objects below `/org/voltry`, and their interfaces.

use zbus::fdo::IntrospectableProxy;
use zbus::proxy::CacheProperties;
use zbus::{Connection, fdo};

/// Objects that are found without being named lie below this path.
const ROOT: &str = "/org/voltry";
/// They are three levels down; this bounds the walk whatever is served.
const DEPTH: usize = 6;
/// Of one name that are looked into.
const OBJECTS_MAX: usize = 128;

/// An object and the interfaces that it has, those of the bus itself left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its path.
    pub path: String,
    /// As `org.voltry.Device1`.
    pub interfaces: Vec<String>,
}

impl Object {
    /// Whether it has this one.
    #[must_use]
    pub fn has(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|own| own == interface)
    }
}

/// The objects of a name, level by level. What lies deeper or beyond the first 128 is left out, and so is what
/// went away meanwhile. It waits for as long as the name takes to answer: the caller bounds it.
///
/// # Errors
/// The name does not answer, or denies it.
pub async fn objects(connection: &Connection, name: &str) -> fdo::Result<Vec<Object>> {
    let (mut found, mut left) = (Vec::new(), OBJECTS_MAX);
    let mut level = vec![ROOT.to_owned()];
    for depth in 0..DEPTH {
        let mut below = Vec::new();
        for path in level.into_iter().take(left) {
            left -= 1;
            let (interfaces, children) = match look_into(connection, name, &path).await {
                Ok(told) => told,
                Err(_) if depth > 0 => continue,
                Err(error) => return Err(error),
            };
            below.extend(children.into_iter().map(|child| format!("{path}/{child}")));
            if !interfaces.is_empty() {
                found.push(Object { path, interfaces });
            }
        }
        level = below;
    }
    Ok(found)
}

/// The object of a name at this path, wherever it lies; without an interface if there is none. The caller bounds how
/// long it waits.
///
/// # Errors
/// The name does not answer, or denies it.
pub async fn object(connection: &Connection, name: &str, path: &str) -> fdo::Result<Object> {
    let (interfaces, _) = look_into(connection, name, path).await?;
    Ok(Object { path: path.to_owned(), interfaces })
}

/// The interfaces of an object, and what lies below it.
async fn look_into(
    connection: &Connection,
    name: &str,
    path: &str,
) -> fdo::Result<(Vec<String>, Vec<String>)> {
    let proxy = IntrospectableProxy::builder(connection)
        .destination(name.to_owned())
        .path(path.to_owned())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let xml = proxy.introspect().await?;
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let document = roxmltree::Document::parse_with_options(&xml, options)
        .map_err(|error| fdo::Error::Failed(format!("{name}{path}: {error}")))?;
    let named = |tag: &'static str| {
        let nodes = document.root_element().children().filter(move |node| node.has_tag_name(tag));
        nodes.filter_map(|node| node.attribute("name")).map(str::to_owned)
    };
    let of_the_bus = |interface: &String| interface.starts_with("org.freedesktop.DBus.");
    Ok((named("interface").filter(|interface| !of_the_bus(interface)).collect(), named("node").collect()))
}
