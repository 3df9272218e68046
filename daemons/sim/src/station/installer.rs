//! A stand-in for whoever installs firmware (`Update1`): it believes what a bundle's first line says,
//! `voltry-sim firmware VERSION [WORD]`, and "restarts the machine" by a power cut.
//!
//! | word | what happens |
//! |---|---|
//! | `live` | it is installed without a restart |
//! | `damaged` | it does not pass the installer's own verification |
//! | `failing` | it cannot be installed |
//! | `falling-back` | the machine comes back with the version that it had |

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use voltry_bus::{Error, UpdateOutcome, UpdateSlot, UpdateVerdict};
use zbus::object_server::SignalEmitter;

/// The version before any update.
const FIRST: &str = "voltry-sim";
/// How long an installation takes.
const STEP: Duration = Duration::from_millis(100);
const STEPS: u32 = 5;

/// What is installed; it outlives power cuts.
#[derive(Debug)]
pub struct Installed {
    state: Mutex<State>,
    /// The machine is to start anew.
    pub restart: Notify,
}

#[derive(Debug)]
struct State {
    version: String,
    waiting: Option<String>,
    progress: Option<u32>,
}

impl Default for Installed {
    fn default() -> Self {
        let state = State { version: FIRST.to_owned(), waiting: None, progress: None };
        Self { state: Mutex::new(state), restart: Notify::new() }
    }
}

impl Installed {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The machine starts anew: what was installed runs from now on.
    pub fn power_on(&self) {
        self.with(|state| {
            state.progress = None;
            if let Some(version) = state.waiting.take() {
                state.version = version;
            }
        });
    }
}

/// The object at `/org/voltry/update`.
#[derive(Debug)]
pub struct Update1 {
    installed: Arc<Installed>,
}

impl Update1 {
    /// Installs there.
    #[must_use]
    pub fn new(installed: Arc<Installed>) -> Self {
        Self { installed }
    }
}

/// The version and the word of a bundle.
fn read(bundle: &Path) -> Option<(String, String)> {
    let text = std::fs::read(bundle).ok()?;
    let text = String::from_utf8_lossy(&text);
    let words: Vec<&str> = text.lines().next()?.split_whitespace().collect();
    match words.as_slice() {
        ["voltry-sim", "firmware", version, rest @ ..] => Some(((*version).to_owned(), rest.concat())),
        _ => None,
    }
}

#[zbus::interface(name = "org.voltry.Update1")]
impl Update1 {
    fn install(&self, bundle: &str, #[zbus(signal_emitter)] emitter: SignalEmitter<'_>) -> Result<(), Error> {
        let (version, word) =
            read(Path::new(bundle)).ok_or_else(|| Error::Refused("this is no bundle".to_owned()))?;
        let begun = self.installed.with(|state| state.progress.replace(0).is_none());
        if !begun {
            return Err(Error::Busy("another bundle is being installed".to_owned()));
        }
        let (installed, emitter) = (Arc::clone(&self.installed), emitter.into_owned());
        tokio::spawn(async move {
            for step in 1..=STEPS {
                tokio::time::sleep(STEP).await;
                installed.with(|state| state.progress = Some(100 * step / STEPS));
            }
            let (outcome, detail) = installed.with(|state| {
                state.progress = None;
                match word.as_str() {
                    "damaged" => (UpdateOutcome::Invalid, "the bundle is damaged"),
                    "failing" => (UpdateOutcome::Failed, "the disk is full"),
                    "live" => {
                        state.version = version;
                        (UpdateOutcome::Installed, "")
                    }
                    "falling-back" => {
                        state.waiting = Some(state.version.clone());
                        (UpdateOutcome::RestartNeeded, "")
                    }
                    _ => {
                        state.waiting = Some(version);
                        (UpdateOutcome::RestartNeeded, "")
                    }
                }
            });
            if let Err(error) = Self::installation_ended(&emitter, outcome, detail).await {
                tracing::warn!(%error, "nobody hears how the installation ended");
            }
        });
        Ok(())
    }

    fn restart(&self) -> Result<(), Error> {
        if self.installed.with(|state| state.waiting.is_none()) {
            return Err(Error::Refused("nothing waits for a restart".to_owned()));
        }
        self.installed.restart.notify_one();
        Ok(())
    }

    #[zbus(signal)]
    async fn installation_ended(
        emitter: &SignalEmitter<'_>,
        outcome: UpdateOutcome,
        detail: &str,
    ) -> zbus::Result<()>;

    #[zbus(property)]
    fn installing(&self) -> bool {
        self.installed.with(|state| state.progress.is_some())
    }

    #[zbus(property)]
    fn progress(&self) -> u32 {
        self.installed.with(|state| state.progress.unwrap_or(0))
    }

    #[zbus(property)]
    fn restart_needed(&self) -> bool {
        self.installed.with(|state| state.waiting.is_some())
    }

    #[zbus(property)]
    fn version(&self) -> String {
        self.installed.with(|state| state.version.clone())
    }

    /// It puts nothing on trial: what was installed is good.
    #[zbus(property)]
    fn verdict(&self) -> UpdateVerdict {
        UpdateVerdict::None
    }

    #[zbus(property)]
    fn detail(&self) -> String {
        String::new()
    }

    #[zbus(property)]
    fn slots(&self) -> Vec<UpdateSlot> {
        let slot =
            |name: &str, booted, version| UpdateSlot { name: name.to_owned(), booted, good: true, version };
        self.installed.with(|state| {
            let waiting = state.waiting.clone().map(|version| slot("next", false, version));
            waiting.into_iter().chain([slot("this", true, state.version.clone())]).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_what_the_contract_says() {
        let mut xml = String::from("<node>");
        let update = Update1::new(Arc::default());
        zbus::object_server::Interface::introspect_to_writer(&update, &mut xml, 0);
        xml.push_str("</node>");
        voltry_bus::contract::check_served(&xml, &["org.voltry.Update1"]).unwrap();
    }

    #[test]
    fn a_bundle_says_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle");
        let with = |text: &str| {
            std::fs::write(&file, text).unwrap();
            read(&file)
        };
        assert_eq!(with("voltry-sim firmware 2.0\n\u{1}\u{2}"), Some(("2.0".to_owned(), String::new())));
        assert_eq!(with("voltry-sim firmware 2.0 live"), Some(("2.0".to_owned(), "live".to_owned())));
        assert_eq!(with("#!/bin/sh"), None);
        assert_eq!(read(Path::new("/nowhere")), None);
    }
}
