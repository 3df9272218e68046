//! Whoever installs firmware, as the test wants it: the bundle's name says what comes of it.
#![allow(clippy::unused_self, reason = "the bus wants them so")]

use std::sync::Arc;

use tokio::sync::Notify;
use voltry_bus::{Error, UpdateOutcome, UpdateSlot, UpdateVerdict, names};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

use crate::private_bus::Bus;

#[derive(Default)]
struct Update {
    /// Somebody asked how far it is.
    asked: Arc<Notify>,
}

#[interface(name = "org.voltry.Update1")]
impl Update {
    fn install(&self, bundle: &str, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) -> Result<(), Error> {
        let (outcome, detail) = match bundle.rsplit('/').next() {
            Some("good") => (UpdateOutcome::RestartNeeded, ""),
            Some("tampered") => (UpdateOutcome::Invalid, "signature verification failed"),
            _ => return Err(Error::Refused("somebody charges at EVSE 1".to_owned())),
        };
        let (emitter, asked) = (emitter.into_owned(), Arc::clone(&self.asked));
        tokio::spawn(async move {
            asked.notified().await;
            Self::installation_ended(&emitter, outcome, detail).await.unwrap();
        });
        Ok(())
    }

    fn restart(&self) {}

    #[zbus(signal)]
    async fn installation_ended(
        emitter: &SignalEmitter<'_>,
        outcome: UpdateOutcome,
        detail: &str,
    ) -> zbus::Result<()>;

    #[zbus(property)]
    fn installing(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn progress(&self) -> u32 {
        self.asked.notify_one();
        40
    }

    #[zbus(property)]
    fn restart_needed(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn version(&self) -> &str {
        "1.0.0"
    }

    #[zbus(property)]
    fn verdict(&self) -> UpdateVerdict {
        UpdateVerdict::FellBack
    }

    #[zbus(property)]
    fn detail(&self) -> &str {
        "EVSE 1 does not work"
    }

    #[zbus(property)]
    fn slots(&self) -> Vec<UpdateSlot> {
        let slot = |name: &str, booted| UpdateSlot {
            name: name.to_owned(),
            booted,
            good: booted,
            version: String::new(),
        };
        vec![slot("rootfs.0", true), slot("rootfs.1", false)]
    }
}

pub(crate) async fn serve(bus: &Bus) -> Connection {
    let connection = voltry_service::connect(Some(&bus.address)).await.unwrap();
    connection.object_server().at(names::UPDATE_PATH, Update::default()).await.unwrap();
    connection.request_name(names::UPDATE).await.unwrap();
    connection
}
