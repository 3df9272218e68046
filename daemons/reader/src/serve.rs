//! The daemon's one control loop, over all readers, and `IdTokenReader1` of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use voltry_bus::{Component, IdTokenReading, TokenKind, names};
use voltry_service::{Daemon, Device, FaultLog, Identity, RateLimit, Watchdog, clock};
use voltry_units::Timestamp;
use zbus::interface;
use zbus::object_server::{InterfaceRef, SignalEmitter};

use crate::card::Uid;
use crate::config::{self, Settings};
use crate::line::{Line, News};
use crate::reader::{Action, Input, Reader};

/// News of lines that may wait.
const WAITING: usize = 64;
/// The loop goes round at least this often, for the watchdog and for what is shown.
const ROUND: Duration = Duration::from_millis(500);
/// The reader's only fault.
const SILENT: &str = "TokenReaderSilent";

/// Reads cards until the daemon has to end.
///
/// # Errors
/// If the bus refuses the objects or the name, or is lost.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let (heard_to, mut heard) = mpsc::channel(WAITING);
    if settings.readers.is_empty() {
        tracing::info!("no card reader is configured: there is no table [reader.NAME]");
    }
    let mut readers = BTreeMap::new();
    for (name, settings) in settings.readers {
        let path = config::path(&name);
        let device = Device::serve(daemon.connection(), &path, Identity::default()).await?;
        device.set_component(Component::new("TokenReader"));
        daemon.connection().object_server().at(path.as_str(), IdTokenReader1 { cards: 0 }).await?;
        let object = daemon.connection().object_server().interface(path.as_str()).await?;
        let name: Arc<str> = name.into();
        let served = Served {
            reader: Reader::new(settings.times()),
            line: Line::open(name.clone(), settings.device, heard_to.clone()),
            object,
            device,
            faults: FaultLog::new(),
            troubles: RateLimit::new(),
            made_up: RateLimit::new(),
            since: clock::now(),
            shown: 0,
        };
        readers.insert(name, served);
    }
    daemon.claim(names::READER).await?;
    daemon.ready();
    let mut watchdog = Watchdog::from_environment();
    loop {
        let due = readers.values().filter_map(|served| served.reader.deadline()).min();
        let now = clock::now();
        let wait = due.map_or(ROUND, |due| due.since(now).min(ROUND));
        tokio::select! {
            _ = daemon.stop() => return Ok(()),
            Some((name, news)) = heard.recv() => {
                if let Some(served) = readers.get_mut(&name) {
                    served.hear(&name, &news).await?;
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
        let now = clock::now();
        for (name, served) in &mut readers {
            served.step(name, now, Input::Tick).await?;
            served.show(now).await?;
        }
        watchdog.beat(now);
    }
}

/// A reader with what it needs.
struct Served {
    reader: Reader,
    line: Line,
    object: InterfaceRef<IdTokenReader1>,
    device: Device,
    faults: FaultLog,
    troubles: RateLimit,
    made_up: RateLimit,
    /// When it was begun with: until it could have answered it is not missed.
    since: Timestamp,
    /// How many cards were told to lie there.
    shown: u32,
}

impl Served {
    async fn hear(&mut self, name: &str, news: &News) -> zbus::Result<()> {
        let input = match news {
            News::Opened => Input::Opened,
            News::Bytes(bytes) => Input::Bytes(bytes),
            News::Lost => Input::Lost,
        };
        self.step(name, clock::now(), input).await
    }

    async fn step(&mut self, name: &str, now: Timestamp, input: Input<'_>) -> zbus::Result<()> {
        for action in self.reader.step(now, input) {
            match action {
                Action::Send(bytes) => self.line.send(bytes),
                Action::Tell(uid) => self.tell(name, uid, now).await?,
                Action::Known(firmware) => self.device.set_identity(firmware.identity()),
                Action::Made(uid) => {
                    if let Some(count) = self.made_up.count(now) {
                        tracing::info!(
                            reader = name,
                            ?uid,
                            count,
                            "a number that the card made up: nobody's"
                        );
                    }
                }
                Action::Wrong(trouble) => {
                    if let Some(count) = self.troubles.count(now) {
                        tracing::warn!(reader = name, %trouble, count, "trouble with the reader");
                    }
                }
            }
        }
        Ok(())
    }

    async fn tell(&self, name: &str, uid: Uid, at: Timestamp) -> zbus::Result<()> {
        tracing::info!(reader = name, ?uid, "a card");
        let reading = IdTokenReading { token: uid.reveal(), kind: TokenKind::Iso14443, at: at.as_micros() };
        IdTokenReader1::read(self.object.signal_emitter(), reading).await
    }

    async fn show(&mut self, now: Timestamp) -> zbus::Result<()> {
        let online = self.reader.is_online(now);
        self.device.set_online(online);
        if online {
            self.faults.remove(SILENT);
        } else if now.since(self.since) > Reader::SILENT {
            self.faults.raise(SILENT, "no answer on its serial line", now);
        }
        self.device.set_faults(&self.faults);
        let cards = u32::try_from(self.reader.cards()).unwrap_or(u32::MAX);
        if cards != self.shown {
            self.shown = cards;
            let mut object = self.object.get_mut().await;
            object.cards = cards;
            object.cards_changed(self.object.signal_emitter()).await?;
        }
        Ok(())
    }
}

struct IdTokenReader1 {
    cards: u32,
}

#[interface(name = "org.voltry.IdTokenReader1")]
impl IdTokenReader1 {
    #[zbus(signal)]
    async fn read(emitter: &SignalEmitter<'_>, reading: IdTokenReading) -> zbus::Result<()>;

    #[zbus(property)]
    fn cards(&self) -> u32 {
        self.cards
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_what_the_contract_says() {
        let mut xml = String::from("<node>");
        zbus::object_server::Interface::introspect_to_writer(&IdTokenReader1 { cards: 0 }, &mut xml, 0);
        xml.push_str("</node>");
        voltry_bus::contract::check_served(&xml, &["org.voltry.IdTokenReader1"]).unwrap();
    }
}
