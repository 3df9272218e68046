//! What is served at `/org/voltry/update`.

use tokio::sync::{mpsc, oneshot, watch};
use voltry_bus::{Error, UpdateOutcome, UpdateSlot, UpdateVerdict};
use zbus::interface;
use zbus::object_server::{InterfaceRef, SignalEmitter};

use crate::course::Shown;

/// A wish, with the way to whoever waits for the answer.
#[derive(Debug)]
pub(crate) enum Wish {
    Install(String),
    Restart,
}

pub(crate) type Asked = (Wish, oneshot::Sender<Result<(), Error>>);

/// The object.
#[derive(Debug)]
pub(crate) struct Update1 {
    pub(crate) wishes: mpsc::Sender<Asked>,
    pub(crate) shown: watch::Receiver<Shown>,
    pub(crate) version: String,
}

impl Update1 {
    async fn ask(&self, wish: Wish) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let asked = self.wishes.try_send((wish, answer));
        asked.map_err(|_| Error::Busy("too many wait already".to_owned()))?;
        answered.await.map_err(|_| Error::Unavailable("voltry-update is ending".to_owned()))?
    }
}

#[interface(name = "org.voltry.Update1")]
impl Update1 {
    async fn install(&self, bundle: String) -> Result<(), Error> {
        self.ask(Wish::Install(bundle)).await
    }

    async fn restart(&self) -> Result<(), Error> {
        self.ask(Wish::Restart).await
    }

    #[zbus(signal)]
    pub(crate) async fn installation_ended(
        emitter: &SignalEmitter<'_>,
        outcome: UpdateOutcome,
        detail: &str,
    ) -> zbus::Result<()>;

    #[zbus(property)]
    fn installing(&self) -> bool {
        self.shown.borrow().installing
    }

    #[zbus(property)]
    fn progress(&self) -> u32 {
        self.shown.borrow().progress
    }

    #[zbus(property)]
    fn restart_needed(&self) -> bool {
        self.shown.borrow().restart_needed
    }

    #[zbus(property)]
    fn version(&self) -> String {
        self.version.clone()
    }

    #[zbus(property)]
    fn verdict(&self) -> UpdateVerdict {
        self.shown.borrow().verdict
    }

    #[zbus(property)]
    fn detail(&self) -> String {
        self.shown.borrow().detail.clone()
    }

    #[zbus(property)]
    fn slots(&self) -> Vec<UpdateSlot> {
        self.shown.borrow().slots.clone()
    }
}

/// Tells what has changed.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn tell(object: &InterfaceRef<Update1>, before: &Shown, now: &Shown) -> zbus::Result<()> {
    let emitter = object.signal_emitter();
    let update = object.get().await;
    if before.installing != now.installing {
        update.installing_changed(emitter).await?;
    }
    if before.progress != now.progress {
        update.progress_changed(emitter).await?;
    }
    if before.restart_needed != now.restart_needed {
        update.restart_needed_changed(emitter).await?;
    }
    if before.verdict != now.verdict {
        update.verdict_changed(emitter).await?;
    }
    if before.detail != now.detail {
        update.detail_changed(emitter).await?;
    }
    if before.slots != now.slots {
        update.slots_changed(emitter).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use voltry_units::Timestamp;

    use super::*;
    use crate::course::{Course, Rules};
    use crate::memory::Memory;

    #[test]
    fn what_is_served_is_what_the_contract_says() {
        let rules = Rules {
            trial: std::time::Duration::from_secs(1),
            steady: std::time::Duration::ZERO,
            allow_downgrade: false,
        };
        let course =
            Course::new(rules, String::new(), String::new(), Memory::default(), Timestamp::from_micros(0));
        let update = Update1 {
            wishes: mpsc::channel(1).0,
            shown: watch::channel(course.shown()).1,
            version: String::new(),
        };
        let mut xml = String::from("<node>");
        zbus::object_server::Interface::introspect_to_writer(&update, &mut xml, 0);
        xml.push_str("</node>");
        voltry_bus::contract::check_served(&xml, &["org.voltry.Update1"]).unwrap();
    }
}
