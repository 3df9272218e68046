//! Who on the bus tells something of itself: every object with `Device1`, whoever serves it.
//!
//! The signals say that something changed, and nothing is waited for where they are read; a task for
//! each object then asks what. One that hangs costs its own task a bounded wait, and nobody else anything.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use zbus::fdo::{DBusProxy, PropertiesProxy};
use zbus::proxy::CacheProperties;
use zbus::{Connection, MatchRule, MessageStream, OwnedVariant};

use crate::model::{OBJECTS_MAX, Object, Told};
use crate::uplink::Input;

const DEVICE: &str = "org.voltry.Device1";
/// A daemon answers within this time, or hangs.
const ANSWER: Duration = Duration::from_secs(2);
/// An object is asked again at least this often: one that hangs sends no signals.
const AGAIN: Duration = Duration::from_secs(15);
/// And at most this often, however fast it changes.
const PACE: Duration = Duration::from_secs(1);
/// Signals that may wait to be read.
const SIGNALS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// What a task came to.
enum Found {
    /// A name has these objects.
    Objects(String, Vec<String>),
    /// An object tells this; `None`: it does not answer.
    Told(Object, Option<Box<Told>>),
}

#[derive(Debug, Default)]
struct Asked {
    /// A task asks it, or waits for the pace.
    running: bool,
    /// It changed meanwhile.
    again: bool,
    silent: bool,
}

/// Everybody on the bus who tells something of itself.
pub(crate) struct Devices {
    connection: Connection,
    inputs: mpsc::Sender<Input>,
    /// Whoever listens is new: everything is to be told again.
    anew: Arc<Notify>,
    /// The unique name of each well-known name's owner.
    owners: BTreeMap<String, String>,
    objects: BTreeMap<Object, Asked>,
    tasks: JoinSet<Found>,
}

impl Devices {
    pub(crate) fn new(connection: &Connection, inputs: mpsc::Sender<Input>, anew: Arc<Notify>) -> Self {
        Self {
            connection: connection.clone(),
            inputs,
            anew,
            owners: BTreeMap::new(),
            objects: BTreeMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Follows everybody for as long as the bus lasts.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn follow(mut self) -> anyhow::Result<()> {
        let bus = DBusProxy::new(&self.connection).await.context("the bus itself")?;
        let changes = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .interface("org.freedesktop.DBus.Properties")
            .member("PropertiesChanged")
            .arg(0, DEVICE)
            .build()?;
        let mut changes = MessageStream::for_match_rule(changes, &self.connection, Some(SIGNALS)).await?;
        let mut owners = bus.receive_name_owner_changed().await?;
        let names = {
            let bus = bus.clone();
            tokio::spawn(async move { owners_now(&bus).await })
        };
        tokio::pin!(names);
        let mut listed = false;
        let mut poll = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                change = changes.next() => {
                    let change = change.context("bus lost")??;
                    let header = change.header();
                    if let (Some(sender), Some(path)) = (header.sender(), header.path()) {
                        self.changed(sender.as_str(), path.as_str());
                    }
                }
                owner = owners.next() => {
                    let owner = owner.context("bus lost")?;
                    let args = owner.args()?;
                    let now = args.new_owner.as_ref().map(ToString::to_string);
                    self.owner(args.name.as_str(), now).await?;
                }
                found = &mut names, if !listed => {
                    listed = true;
                    for (name, owner) in found.context("listing the names")? {
                        self.owner(&name, Some(owner)).await?;
                    }
                }
                Some(found) = self.tasks.join_next() => {
                    // A task of ours does not panic; if it did, the next poll asks again.
                    if let Ok(found) = found {
                        self.found(found).await?;
                    }
                }
                () = self.anew.notified() => self.ask_all(),
                _ = poll.tick() => self.ask_all(),
            }
        }
    }

    /// Somebody with this unique name changed.
    fn changed(&mut self, sender: &str, path: &str) {
        let names: Vec<String> =
            self.owners.iter().filter(|(_, owner)| *owner == sender).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.ask((name, path.to_owned()));
        }
    }

    /// A name has another owner, or none.
    async fn owner(&mut self, name: &str, owner: Option<String>) -> anyhow::Result<()> {
        // Unique names, and those of the system's own services, have nothing of a station's.
        if name.starts_with(':') || name.starts_with("org.freedesktop.") {
            return Ok(());
        }
        let same = self.owners.get(name) == owner.as_ref();
        if same {
            return Ok(());
        }
        let gone: Vec<Object> = self.objects.keys().filter(|(known, _)| known == name).cloned().collect();
        for object in gone {
            if let Some(asked) = self.objects.get_mut(&object) {
                asked.silent = true;
            }
            self.inputs.send(Input::DeviceAway(object)).await?;
        }
        match owner {
            Some(owner) => {
                self.owners.insert(name.to_owned(), owner);
                self.look_for_objects(name);
            }
            None => {
                self.owners.remove(name);
            }
        }
        Ok(())
    }

    fn look_for_objects(&mut self, name: &str) {
        let (connection, name) = (self.connection.clone(), name.to_owned());
        self.tasks.spawn(async move {
            let objects = timeout(ANSWER * 2, objects(&connection, &name)).await.unwrap_or_default();
            Found::Objects(name, objects)
        });
    }

    async fn found(&mut self, found: Found) -> anyhow::Result<()> {
        match found {
            Found::Objects(name, paths) => {
                for path in paths {
                    self.ask((name.clone(), path));
                }
            }
            Found::Told(object, told) => {
                let Some(asked) = self.objects.get_mut(&object) else { return Ok(()) };
                asked.running = false;
                let (again, was_silent) = (std::mem::take(&mut asked.again), asked.silent);
                asked.silent = told.is_none();
                match told {
                    Some(told) => {
                        if was_silent {
                            info!(name = object.0, path = object.1, "answers again");
                        }
                        // What an EVSE is made of is asked wherever it lies.
                        let parts: Vec<Object> =
                            told.parts.iter().map(|part| (part.name.clone(), part.path.clone())).collect();
                        self.inputs.send(Input::Device(object.clone(), told)).await?;
                        for part in parts {
                            if self.owners.contains_key(&part.0) && !self.objects.contains_key(&part) {
                                self.ask(part);
                            }
                        }
                    }
                    None => {
                        if !was_silent {
                            warn!(name = object.0, path = object.1, "does not answer");
                        }
                        self.inputs.send(Input::DeviceAway(object.clone())).await?;
                    }
                }
                if again {
                    self.ask(object);
                }
            }
        }
        Ok(())
    }

    fn ask_all(&mut self) {
        let owned = |object: &&Object| self.owners.contains_key(&object.0);
        let objects: Vec<Object> = self.objects.keys().filter(owned).cloned().collect();
        objects.into_iter().for_each(|object| self.ask(object));
        // One that hung when it was looked into may answer now.
        let bare =
            |name: &&String| name.starts_with("org.voltry.") && !self.objects.keys().any(|it| it.0 == **name);
        let bare: Vec<String> = self.owners.keys().filter(bare).cloned().collect();
        bare.iter().for_each(|name| self.look_for_objects(name));
    }

    fn ask(&mut self, object: Object) {
        if self.objects.len() >= OBJECTS_MAX && !self.objects.contains_key(&object) {
            return;
        }
        let known = self.objects.contains_key(&object);
        let asked = self.objects.entry(object.clone()).or_default();
        if asked.running {
            asked.again = true;
            return;
        }
        asked.running = true;
        let connection = self.connection.clone();
        self.tasks.spawn(async move {
            if known {
                // Whatever changes in this time is asked for once.
                tokio::time::sleep(PACE).await;
            }
            let told = match timeout(ANSWER, read(&connection, &object)).await {
                Ok(Ok(told)) => Some(Box::new(told)),
                Ok(Err(error)) => {
                    debug!(name = object.0, path = object.1, %error, "cannot be read");
                    None
                }
                Err(_) => None,
            };
            Found::Told(object, told)
        });
    }
}

/// Every well-known name and who owns it; none if the bus does not say.
async fn owners_now(bus: &DBusProxy<'static>) -> Vec<(String, String)> {
    let Ok(names) = bus.list_names().await else { return Vec::new() };
    let mut owners = Vec::new();
    for name in names.iter().filter(|name| !name.starts_with(':')) {
        if let Ok(owner) = bus.get_name_owner(name.clone().into()).await {
            owners.push((name.to_string(), owner.to_string()));
        }
    }
    owners
}

/// The objects of a name that tell something of themselves; none if it does not answer.
async fn objects(connection: &Connection, name: &str) -> Vec<String> {
    let found = voltry_service::objects::objects(connection, name).await.unwrap_or_default();
    found.into_iter().filter(|object| object.has(DEVICE)).map(|object| object.path).collect()
}

async fn read(connection: &Connection, (name, path): &Object) -> zbus::Result<Told> {
    let properties = PropertiesProxy::builder(connection)
        .destination(name.clone())
        .path(path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let mut all = properties.get_all(DEVICE.try_into()?).await?;
    // An OEM's device may be older than some of them.
    Ok(Told {
        vendor: take(&mut all, "Vendor"),
        model: take(&mut all, "Model"),
        serial: take(&mut all, "Serial"),
        firmware: take(&mut all, "Firmware"),
        online: take(&mut all, "Online"),
        faults: take(&mut all, "Faults"),
        component: take(&mut all, "Component"),
        parts: take(&mut all, "Parts"),
        variables: take(&mut all, "Variables"),
    })
}

fn take<T: TryFrom<OwnedVariant> + Default>(all: &mut HashMap<String, OwnedVariant>, name: &str) -> T {
    all.remove(name).and_then(|value| value.try_into().ok()).unwrap_or_default()
}
