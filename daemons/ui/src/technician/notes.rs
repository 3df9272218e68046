//! Who was let in and who was not, told to the uplink: a back end hears of it as of what concerns security.

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;
use voltry_bus::{Csms1Proxy, SecurityNote};
use voltry_service::Binding;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use super::routes::ANSWER;

/// Notes that wait for an uplink that hangs; more are left out, the audit trail has them.
const WAITING: usize = 16;

/// Where notes go, and whence they are carried; nowhere without an uplink.
pub(super) fn post(connection: &Connection, csms: Option<Binding>) -> mpsc::Sender<(SecurityNote, String)> {
    let (notes, waiting) = mpsc::channel(WAITING);
    if let Some(csms) = csms {
        tokio::spawn(carry(connection.clone(), csms, waiting));
    }
    notes
}

async fn carry(connection: Connection, csms: Binding, mut waiting: mpsc::Receiver<(SecurityNote, String)>) {
    while let Some((note, detail)) = waiting.recv().await {
        let told = async {
            let proxy = Csms1Proxy::builder(&connection)
                .destination(csms.name.clone())
                .path(csms.path.clone())
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            proxy.note_security(note, &detail).await
        };
        match timeout(ANSWER, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, %note, "the uplink does not note it"),
            Err(_) => debug!(%note, "the uplink does not answer"),
        }
    }
}
