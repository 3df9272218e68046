//! What the devices of an EVSE say is wrong with them: for the story of its sessions, and for nothing
//! else. Which devices those are the EVSE tells (`Device1.Parts`).
//!
//! A signal is only a reason to read: its sender may be anybody, whoever owns the part's name may not.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use voltry_bus::{Device1Proxy, Fault, Part};
use voltry_service::FaultLog;
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant};

use crate::evse_watch::{Heard, Proxies};

/// Signals that may wait to be read.
const SIGNALS: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");
/// A device answers within this time, or is not asked again before it tells something.
const ANSWER: Duration = Duration::from_secs(1);
/// Parts of an EVSE that are followed.
const PARTS_MAX: usize = 32;
/// The longest texts that are kept, bytes.
const CODE_MAX: usize = 60;
const CAUSE_MAX: usize = 200;

/// Listens to the devices of one EVSE for as long as the bus lasts.
///
/// Each stream is read from when it is there, whatever is awaited: the connection stands still while one
/// of them is full.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn listen(
    number: u32,
    proxies: Proxies,
    heard: mpsc::Sender<(u32, Heard)>,
) -> anyhow::Result<()> {
    let ear = Ear { number, proxies, heard, due: Mutex::default(), woken: Notify::new() };
    let ((), (), ()) = tokio::try_join!(ear.presence(), ear.changes(), ear.asking())?;
    Ok(())
}

/// Whether the faults of this part may be others.
fn concerns(change: &Message, part: &Part) -> bool {
    type Body = (String, HashMap<String, OwnedVariant>, Vec<String>);
    let path = change.header().path().is_some_and(|path| path.as_str() == part.path);
    path && change.body().deserialize().is_ok_and(|(_, changed, invalidated): Body| {
        changed.contains_key("Faults") || invalidated.iter().any(|name| name == "Faults")
    })
}

/// What is to be asked.
#[derive(Debug, Default)]
struct Due {
    /// The EVSE and its parts, as they were told last.
    parts: Vec<Part>,
    /// All of them, and which they are.
    all: bool,
    /// Places in `parts`.
    some: BTreeSet<usize>,
}

struct Ear {
    number: u32,
    proxies: Proxies,
    heard: mpsc::Sender<(u32, Heard)>,
    due: Mutex<Due>,
    woken: Notify,
}

impl Ear {
    // A panic aborts the process, so that no lock is ever found poisoned.
    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask_all(&self) {
        self.due().all = true;
        self.woken.notify_one();
    }

    async fn presence(&self) -> anyhow::Result<()> {
        let mut owners = self.proxies.evse.inner().receive_owner_changed().await?;
        self.ask_all();
        loop {
            if owners.next().await.context("bus lost")?.is_some() {
                self.ask_all();
            }
        }
    }

    async fn changes(&self) -> anyhow::Result<()> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .interface("org.freedesktop.DBus.Properties")
            .member("PropertiesChanged")
            .arg(0, "org.voltry.Device1")
            .build()?;
        let connection = self.proxies.evse.inner().connection();
        let mut changes = MessageStream::for_match_rule(rule, connection, Some(SIGNALS)).await?;
        self.ask_all();
        loop {
            let change = changes.next().await.context("bus lost")??;
            let place = self.due().parts.iter().position(|part| concerns(&change, part));
            if let Some(place) = place {
                self.due().some.insert(place);
                self.woken.notify_one();
            }
        }
    }

    async fn asking(&self) -> anyhow::Result<()> {
        let mut told: BTreeMap<String, Vec<Fault>> = BTreeMap::new();
        loop {
            self.woken.notified().await;
            if std::mem::take(&mut self.due().all) {
                let parts = self.parts().await;
                let mut due = self.due();
                due.some = (0..parts.len()).collect();
                due.parts = parts;
            }
            let parts: Vec<Part> = {
                let mut due = self.due();
                let some = std::mem::take(&mut due.some);
                some.into_iter().filter_map(|place| due.parts.get(place).cloned()).collect()
            };
            for part in parts {
                let Some(faults) = faults(self.proxies.evse.inner().connection(), &part).await else {
                    continue;
                };
                if told.get(&part.path) == Some(&faults) {
                    continue;
                }
                told.insert(part.path.clone(), faults.clone());
                let device = part.path.strip_prefix("/org/voltry/").unwrap_or(&part.path).to_owned();
                let news = Heard::Device { device, faults };
                self.heard.send((self.number, news)).await.context("the control loop ended")?;
            }
        }
    }

    /// The EVSE and its parts.
    async fn parts(&self) -> Vec<Part> {
        let evse = self.proxies.evse.inner();
        let mut parts = match timeout(ANSWER, self.proxies.device.parts()).await {
            Ok(Ok(parts)) => parts,
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        parts.truncate(PARTS_MAX);
        parts.push(Part { name: evse.destination().to_string(), path: evse.path().to_string() });
        parts
    }
}

/// What is wrong with a device; `None`: it does not answer.
async fn faults(connection: &Connection, part: &Part) -> Option<Vec<Fault>> {
    let device = Device1Proxy::builder(connection)
        .destination(part.name.clone())
        .path(part.path.clone())
        .cache_properties(CacheProperties::No)
        .build();
    let mut faults = timeout(ANSWER, async { device.await.ok()?.faults().await.ok() }).await.ok()??;
    faults.truncate(FaultLog::MAX);
    for Fault { code, cause, .. } in &mut faults {
        code.truncate(code.floor_char_boundary(CODE_MAX));
        cause.truncate(cause.floor_char_boundary(CAUSE_MAX));
    }
    Some(faults)
}
