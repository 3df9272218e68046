//! `org.voltry.Settings1`: what may be changed while a daemon runs, and lasts.
//!
//! A daemon says once which settings it has ([`Spec`]), serves them beside its role, reads them with
//! [`Settings::text`] and its sisters, and waits for [`Settings::changed`]. What was written is kept in
//! a file of its own, which is replaced whole.

mod spec;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use tracing::{info, warn};
use voltry_bus::{DeviceVariable, Error, Setting, names};
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

pub use self::spec::{Access, Kind, Spec, Writer};

/// What was written, by name.
type Written = BTreeMap<String, String>;

/// The settings of a daemon, as they are served. Clones speak of the same.
#[derive(Debug, Clone)]
pub struct Settings {
    specs: Arc<[Spec]>,
    written: watch::Receiver<Written>,
}

impl Settings {
    /// Serves `Settings1` at `path`, with what was written to `file` before. What is written there and
    /// means nothing any more is told and left out.
    ///
    /// # Errors
    /// The file is there and cannot be read, or `path` is none.
    pub async fn serve(
        connection: &Connection,
        path: &str,
        file: &Path,
        specs: Vec<Spec>,
    ) -> anyhow::Result<Self> {
        let specs: Arc<[Spec]> = specs.into();
        let (written_to, written) = watch::channel(load(file, &specs)?);
        let served = Settings1 {
            specs: Arc::clone(&specs),
            file: file.to_owned(),
            bus: DBusProxy::new(connection).await?,
            written: Arc::new(Mutex::new(written_to)),
        };
        connection.object_server().at(path, served).await?;
        Ok(Self { specs, written })
    }

    /// A setting's value, in words.
    ///
    /// # Panics
    /// If the daemon has no such setting.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        let spec = self.specs.iter().find(|spec| spec.name == name).expect("a daemon knows its settings");
        self.written.borrow().get(name).cloned().unwrap_or_else(|| spec.default.clone())
    }

    /// The value of an integer.
    ///
    /// # Panics
    /// If the daemon has no such setting, or it is of another kind.
    #[must_use]
    pub fn integer(&self, name: &str) -> i64 {
        self.text(name).parse().expect("a value was checked when it was written")
    }

    /// The value of a boolean.
    ///
    /// # Panics
    /// If the daemon has no such setting.
    #[must_use]
    pub fn boolean(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    /// Those that are variables of OCPP, as `Device1` tells them.
    pub(crate) fn variables(&self) -> Vec<DeviceVariable> {
        let written = self.written.borrow();
        let specs = self.specs.iter().filter(|spec| !spec.variable.is_empty());
        specs.map(|spec| spec.variable(written.get(spec.name))).collect()
    }

    /// Completes when a setting was changed since the last call.
    pub async fn changed(&mut self) {
        if self.written.changed().await.is_err() {
            // Nobody serves them any more: nothing changes.
            std::future::pending::<()>().await;
        }
    }
}

struct Settings1 {
    specs: Arc<[Spec]>,
    file: PathBuf,
    bus: DBusProxy<'static>,
    /// Held while the file is written: changes come one after the other.
    written: Arc<Mutex<watch::Sender<Written>>>,
}

impl Settings1 {
    fn spec(&self, name: &str) -> Result<&Spec, Error> {
        let known = |spec: &&Spec| spec.name == name;
        self.specs
            .iter()
            .find(known)
            .ok_or_else(|| Error::UnknownSetting(format!("there is no setting {name:?}")))
    }

    /// Whoever owns the uplink's name is the back end; the bus policy sees to who may.
    async fn writer(&self, header: &Header<'_>) -> Writer {
        let uplink = names::OCPP.try_into().expect("a constant is well formed");
        match (self.bus.get_name_owner(uplink).await, header.sender()) {
            (Ok(owner), Some(sender)) if owner.as_str() == sender.as_str() => Writer::Csms,
            _ => Writer::Operator,
        }
    }
}

#[interface(name = "org.voltry.Settings1")]
impl Settings1 {
    #[zbus(out_args("settings"))]
    async fn list(&self) -> Vec<Setting> {
        let written = self.written.lock().await.borrow().clone();
        self.specs.iter().map(|spec| spec.shown(written.get(spec.name))).collect()
    }

    #[zbus(out_args("value"))]
    async fn read(&self, name: &str) -> Result<String, Error> {
        let spec = self.spec(name)?;
        if spec.access == Access::WriteOnly {
            return Err(Error::Refused(format!("{name} is never shown")));
        }
        let written = self.written.lock().await;
        let value = written.borrow().get(name).cloned();
        Ok(value.unwrap_or_else(|| spec.default.clone()))
    }

    #[zbus(out_args("restart"))]
    async fn write(
        &self,
        name: &str,
        value: &str,
        #[zbus(header)] header: Header<'_>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<bool, Error> {
        let spec = self.spec(name)?;
        spec.may_write(self.writer(&header).await)?;
        let value = spec.checked(value)?;
        let written = self.written.lock().await;
        let mut after = written.borrow().clone();
        after.insert(name.to_owned(), value.clone());
        let (file, kept) = (self.file.clone(), after.clone());
        // A disk may be slow; the daemon's loop goes on.
        let saved = tokio::task::spawn_blocking(move || save(&file, &kept)).await;
        saved
            .map_err(|error| Error::Unavailable(error.to_string()))?
            .map_err(|error| Error::Unavailable(format!("{name} could not be kept: {error}")))?;
        let shown = if spec.access == Access::WriteOnly { "" } else { &value };
        info!(setting = name, value = shown, "changed");
        written.send_replace(after);
        let told = Self::changed(&emitter, name, shown).await;
        if let Err(error) = told {
            warn!(%error, "a change of a setting was not told");
        }
        Ok(spec.access == Access::Restart)
    }

    #[zbus(signal)]
    async fn changed(emitter: &SignalEmitter<'_>, name: &str, value: &str) -> zbus::Result<()>;
}

fn load(file: &Path, specs: &[Spec]) -> anyhow::Result<Written> {
    use anyhow::Context as _;
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Written::new()),
        Err(error) => return Err(error).with_context(|| format!("reading the settings {}", file.display())),
    };
    let found: Written = toml::from_str(&text).with_context(|| format!("the settings {}", file.display()))?;
    let means_something = |(name, value): &(String, String)| {
        let checked = specs
            .iter()
            .find(|spec| spec.name == name)
            .ok_or_else(|| "there is no such setting any more".to_owned())
            .and_then(|spec| spec.checked(value).map_err(|error| error.to_string()));
        if let Err(reason) = &checked {
            warn!(setting = name, reason, "what was written before is left out");
        }
        checked.is_ok()
    };
    Ok(found.into_iter().filter(means_something).collect())
}

/// Replaces the file: after a power cut there is the old one or the new one.
fn save(file: &Path, written: &Written) -> std::io::Result<()> {
    let text = toml::to_string(written).map_err(std::io::Error::other)?;
    let new = file.with_extension("new");
    let mut out = File::create(&new)?;
    out.write_all(text.as_bytes())?;
    out.sync_all()?;
    std::fs::rename(&new, file)?;
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
