//! What stands on the bus and tells of itself, asked while a technician looks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{join, join_all};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;
use voltry_bus::{DeviceVariable, Fault, Module};
use voltry_service::Binding;
use voltry_service::objects::{Object, object, objects};
use zbus::fdo::{DBusProxy, PropertiesProxy};
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant};

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// Between two looks at which objects there are.
const WALK: Duration = Duration::from_secs(10);
/// Nobody has looked for so long: nothing is asked any more.
const WANTED: Duration = Duration::from_secs(5);
/// A daemon answers within this time, or hangs.
const ANSWER: Duration = Duration::from_secs(2);
const OBJECTS_MAX: usize = 128;
const NAMES_MAX: usize = 64;
/// Where objects lie that are found without being named.
const BELOW: &str = "/org/voltry/";
const DEVICE: &str = "org.voltry.Device1";
const RACK: &str = "org.voltry.PowerRack1";

/// A device, as it told of itself last.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Device {
    /// As `energy_meter/dc1`; of an object elsewhere, the whole path.
    pub(super) path: String,
    /// Whether its daemon answers, and it answers its daemon.
    pub(super) online: bool,
    pub(super) model: String,
    pub(super) serial: String,
    pub(super) firmware: String,
    pub(super) faults: Vec<Fault>,
    pub(super) variables: Vec<DeviceVariable>,
    /// Of a power supply.
    pub(super) modules: Vec<Module>,
}

impl Device {
    /// The path of its object on the bus.
    pub(super) fn object(&self) -> String {
        if self.path.starts_with('/') { self.path.clone() } else { format!("{BELOW}{}", self.path) }
    }

    /// Its hottest sensor, degrees Celsius; not a number: it tells of none.
    pub(super) fn hottest(&self) -> f64 {
        let sensors = self.variables.iter().filter(|it| it.name == "Temperature" && it.unit == "Celsius");
        let values = sensors.filter_map(|sensor| sensor.value.parse().ok()).filter(|it: &f64| it.is_finite());
        values.fold(f64::NAN, f64::max)
    }
}

/// What there is, as long as somebody wants to know.
#[derive(Debug, Clone)]
pub(super) struct Devices {
    found: watch::Receiver<Vec<Device>>,
    wanted: Arc<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    until: Mutex<Instant>,
    again: Notify,
}

impl Devices {
    /// Begins to ask, when somebody wants to know.
    pub(super) fn follow(connection: &Connection, elsewhere: Vec<Binding>) -> Self {
        let (told, found) = watch::channel(Vec::new());
        let wanted = Arc::new(Wanted { until: Mutex::new(Instant::now()), again: Notify::new() });
        tokio::spawn(ask_for_ever(connection.clone(), elsewhere, told, wanted.clone()));
        Self { found, wanted }
    }

    /// Somebody looks. What was found last, and word of what is found next.
    pub(super) fn look(&self) -> watch::Receiver<Vec<Device>> {
        *self.wanted.until.lock().expect("nobody panics with it") = Instant::now() + WANTED;
        self.wanted.again.notify_one();
        self.found.clone()
    }

    /// What was found, if somebody has looked of late; this is no look.
    pub(super) fn known(&self) -> Vec<Device> {
        let wanted = *self.wanted.until.lock().expect("nobody panics with it");
        if Instant::now() < wanted { self.found.borrow().clone() } else { Vec::new() }
    }
}

/// Of a name.
type Named = (String, Object);

async fn ask_for_ever(
    connection: Connection,
    elsewhere: Vec<Binding>,
    told: watch::Sender<Vec<Device>>,
    wanted: Arc<Wanted>,
) {
    let (mut objects, mut walked): (Vec<Named>, Option<Instant>) = (Vec::new(), None);
    loop {
        let until = *wanted.until.lock().expect("nobody panics with it");
        if Instant::now() >= until {
            wanted.again.notified().await;
            continue;
        }
        if walked.is_none_or(|at| at.elapsed() >= WALK) {
            match walk(&connection, &elsewhere).await {
                Ok(found) => (objects, walked) = (found, Some(Instant::now())),
                Err(error) => debug!(%error, "the bus does not say who is there"),
            }
        }
        let devices = join_all(objects.iter().map(|object| device(&connection, object))).await;
        if told.send(devices).is_err() {
            return;
        }
        sleep(ROUND).await;
    }
}

/// Every object with `Device1`, of whichever maker: those that are found, and those that are bound to `elsewhere`.
async fn walk(connection: &Connection, elsewhere: &[Binding]) -> zbus::Result<Vec<Named>> {
    let bus = DBusProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
    let names = to_ask(bus.list_names().await?.iter().map(ToString::to_string).collect());
    let found = names.into_iter().map(|name| async move {
        let found = timeout(ANSWER, objects(connection, &name)).await;
        let found = found.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default();
        let devices = found.into_iter().filter(|object| object.has(DEVICE));
        devices.map(|object| (name.clone(), object)).collect::<Vec<_>>()
    });
    let bound = join_all(elsewhere.iter().map(|binding| look_into(connection, binding)));
    let (found, bound) = join(join_all(found), bound).await;
    let mut found: Vec<Named> = found.into_iter().flatten().collect();
    found.extend(bound.into_iter().flatten());
    found.sort_by(|one, other| one.1.path.cmp(&other.1.path));
    found.truncate(OBJECTS_MAX);
    Ok(found)
}

/// The names of daemons that may have a device. What else runs on the machine crowds none of ours out.
fn to_ask(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.starts_with(':') && !name.starts_with("org.freedesktop."));
    names.sort_by_key(|name| (!name.starts_with("org.voltry."), name.clone()));
    names.truncate(NAMES_MAX);
    names
}

/// A device at a path at which none is found without being named.
async fn look_into(connection: &Connection, Binding { name, path }: &Binding) -> Option<Named> {
    let found = timeout(ANSWER, object(connection, name, path)).await.ok()?.ok()?;
    found.has(DEVICE).then(|| (name.to_string(), found))
}

async fn device(connection: &Connection, (name, object): &Named) -> Device {
    let path = &object.path;
    let short = path.strip_prefix(BELOW).unwrap_or(path).to_owned();
    let told = timeout(ANSWER, properties(connection, name, path, DEVICE)).await;
    let Ok(Some(mut told)) = told else { return Device { path: short, ..Device::default() } };
    let rack = if object.has(RACK) {
        timeout(ANSWER, properties(connection, name, path, RACK)).await.ok().flatten()
    } else {
        None
    };
    let model = format!("{} {}", take::<String>(&mut told, "Vendor"), take::<String>(&mut told, "Model"));
    Device {
        path: short,
        online: take(&mut told, "Online"),
        model: model.trim().to_owned(),
        serial: take(&mut told, "Serial"),
        firmware: take(&mut told, "Firmware"),
        faults: take(&mut told, "Faults"),
        variables: take(&mut told, "Variables"),
        modules: rack.map(|mut rack| take(&mut rack, "Modules")).unwrap_or_default(),
    }
}

async fn properties(
    connection: &Connection,
    name: &str,
    path: &str,
    interface: &str,
) -> Option<HashMap<String, OwnedVariant>> {
    let proxy = PropertiesProxy::builder(connection)
        .destination(name.to_owned())
        .path(path.to_owned())
        .cache_properties(CacheProperties::No)
        .build()
        .await
        .ok()?;
    proxy.get_all(interface.try_into().ok()?).await.ok()
}

fn take<T: TryFrom<OwnedVariant> + Default>(all: &mut HashMap<String, OwnedVariant>, name: &str) -> T {
    all.remove(name).and_then(|value| value.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_makers_daemons_are_asked_ours_first_and_neither_the_bus_nor_who_has_no_name() {
        let own: Vec<String> = (0..NAMES_MAX).map(|number| format!("org.voltry.Own{number:02}")).collect();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let there = names(&[":1.7", "com.example.Guard1", "org.freedesktop.DBus", "org.voltry.Board1"]);
        assert_eq!(to_ask(there), ["org.voltry.Board1", "com.example.Guard1"]);
        assert_eq!(to_ask([names(&["com.example.Guard1"]), own.clone()].concat()), own);
    }
}
