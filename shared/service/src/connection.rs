//! A connection that answers from its first moment.

use zbus::connection::Builder;
use zbus::{Connection, interface};

/// Connects to the bus at `address`, or to the system bus (`$DBUS_SYSTEM_BUS_ADDRESS`, else its
/// usual socket), ready to serve objects.
///
/// Left to itself zbus begins to listen for calls some time *after* the first object is served; a
/// call that comes before is lost without an answer, and its caller waits for ever. Only an
/// object that is there when the connection is built makes it wait.
///
/// # Errors
/// If there is no bus, or it refuses us.
pub async fn connect(address: Option<&str>) -> zbus::Result<Connection> {
    const PATH: &str = "/org/voltry/listening";
    let builder = match address {
        Some(address) => Builder::address(address),
        None => Builder::system(),
    };
    let connection = builder.serve_at(PATH, Listening).build().await?;
    connection.object_server().remove::<Listening, _>(PATH).await?;
    Ok(connection)
}

struct Listening;

#[interface(name = "org.voltry.Listening1")]
impl Listening {}
