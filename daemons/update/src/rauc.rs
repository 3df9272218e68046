//! RAUC's service, over its own interface on the bus (RAUC 1.8 or newer).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use voltry_bus::UpdateSlot;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant, Variant};

use crate::course::{Bundle, Facts, Input};

/// It answers within this time; it may have to be started first.
const ANSWER: Duration = Duration::from_secs(20);
/// To inspect a bundle of the format `plain` it reads all of it.
const INSPECTION: Duration = Duration::from_secs(600);
/// Between two attempts to reach it.
const AGAIN: Duration = Duration::from_secs(5);

/// What this daemon uses of `de.pengutronix.rauc.Installer`.
#[zbus::proxy(
    interface = "de.pengutronix.rauc.Installer",
    default_service = "de.pengutronix.rauc",
    default_path = "/"
)]
pub(crate) trait Installer {
    fn install_bundle(&self, source: &str, args: HashMap<&str, Variant<'_>>) -> zbus::Result<()>;
    fn info(&self, bundle: &str) -> zbus::Result<(String, String)>;
    fn mark(&self, state: &str, slot_identifier: &str) -> zbus::Result<(String, String)>;
    fn get_slot_status(&self) -> zbus::Result<Vec<(String, HashMap<String, OwnedVariant>)>>;
    fn get_primary(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn operation(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn last_error(&self) -> zbus::Result<String>;
    #[zbus(property)]
    fn progress(&self) -> zbus::Result<(i32, String, i32)>;
    #[zbus(property)]
    fn compatible(&self) -> zbus::Result<String>;
    #[zbus(signal)]
    fn completed(&self, result: i32) -> zbus::Result<()>;
}

/// Calls to it, whose answers come as inputs.
#[derive(Debug, Clone)]
pub(crate) struct Rauc {
    proxy: InstallerProxy<'static>,
    inputs: mpsc::Sender<Input>,
    looks: Arc<AtomicU64>,
}

impl Rauc {
    /// It need not be there yet.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn new(connection: &Connection, inputs: mpsc::Sender<Input>) -> zbus::Result<Self> {
        let proxy = InstallerProxy::builder(connection).cache_properties(CacheProperties::No).build().await?;
        Ok(Self { proxy, inputs, looks: Arc::default() })
    }

    /// Tells when an installation ends, and when RAUC leaves. Subscribed when it returns.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn follow(&self) -> zbus::Result<()> {
        let mut completed = self.proxy.receive_completed().await?;
        let mut owners = self.proxy.inner().receive_owner_changed().await?;
        let rauc = self.clone();
        tokio::spawn(async move {
            loop {
                let input = tokio::select! {
                    Some(signal) = completed.next() => match signal.args() {
                        Ok(arguments) if arguments.result == 0 => Input::Completed(Ok(())),
                        Ok(_) => Input::Completed(Err(rauc.why().await)),
                        Err(error) => Input::Completed(Err(error.to_string())),
                    },
                    Some(owner) = owners.next() => match owner {
                        None => Input::InstallerLost,
                        Some(_) => continue,
                    },
                    else => return,
                };
                rauc.tell(input).await;
            }
        });
        Ok(())
    }

    async fn why(&self) -> String {
        match timeout(ANSWER, self.proxy.last_error()).await {
            Ok(Ok(why)) if !why.is_empty() => why,
            Ok(_) | Err(_) => "RAUC says no more than that it failed".to_owned(),
        }
    }

    /// What there is; asked until RAUC answers.
    pub(crate) fn look(&self) {
        let rauc = self.clone();
        let look = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        tokio::spawn(async move {
            let mut told = false;
            // A later look finds what this one would.
            while rauc.newest_look() == look {
                match timeout(ANSWER, rauc.facts(look)).await {
                    Ok(Ok(facts)) => return rauc.tell(Input::Facts(facts)).await,
                    Ok(Err(error)) if !told => tracing::warn!(%error, "RAUC does not say what there is"),
                    Err(_) if !told => tracing::warn!("RAUC does not answer"),
                    Ok(Err(_)) | Err(_) => {}
                }
                told = true;
                sleep(AGAIN).await;
            }
        });
    }

    /// The number of the last look.
    pub(crate) fn newest_look(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    async fn facts(&self, look: u64) -> zbus::Result<Facts> {
        let slots = self.proxy.get_slot_status().await?;
        Ok(Facts {
            slots: slots.into_iter().filter_map(|(name, status)| slot(name, status)).collect(),
            // A boot loader that names no slot: none runs next.
            primary: self.proxy.get_primary().await.unwrap_or_default(),
            installing: self.proxy.operation().await? != "idle",
            compatible: self.proxy.compatible().await?,
            look,
        })
    }

    pub(crate) fn inspect(&self, path: String) {
        let rauc = self.clone();
        tokio::spawn(async move {
            let input = match timeout(INSPECTION, rauc.proxy.info(&path)).await {
                Ok(Ok((compatible, version))) => Input::Inspected(Some(Bundle { compatible, version })),
                Ok(Err(error)) => {
                    tracing::warn!(bundle = path, %error, "RAUC takes this for no bundle");
                    Input::Inspected(None)
                }
                // By its silence, as if it had left.
                Err(_) => Input::InstallerLost,
            };
            rauc.tell(input).await;
        });
    }

    pub(crate) fn install(&self, path: String) {
        let rauc = self.clone();
        tokio::spawn(async move {
            let input = match timeout(ANSWER, rauc.proxy.install_bundle(&path, HashMap::new())).await {
                Ok(begun) => Input::Begun(begun.map_err(|error| error.to_string())),
                Err(_) => Input::InstallerLost,
            };
            rauc.tell(input).await;
        });
    }

    pub(crate) fn mark(&self, state: &'static str, slot: String) {
        let rauc = self.clone();
        tokio::spawn(async move {
            let marked = match timeout(ANSWER, rauc.proxy.mark(state, &slot)).await {
                Ok(Ok((slot, message))) => {
                    tracing::info!(slot, message, "the boot loader is told");
                    Ok(())
                }
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("RAUC does not answer".to_owned()),
            };
            if let Err(error) = &marked {
                tracing::error!(slot, state, error, "the boot loader is not told");
            }
            rauc.tell(Input::Marked(marked)).await;
        });
    }

    /// How far an installation is.
    pub(crate) fn ask_progress(&self) {
        let rauc = self.clone();
        tokio::spawn(async move {
            if let Ok(Ok((percent, ..))) = timeout(ANSWER, rauc.proxy.progress()).await {
                rauc.tell(Input::Progress(u32::try_from(percent).unwrap_or(0))).await;
            }
        });
    }

    async fn tell(&self, input: Input) {
        // Nobody hears it: the daemon is ending.
        let _ = self.inputs.send(input).await;
    }
}

/// A slot that the machine can be started from; others belong to one that can.
fn slot(name: String, mut status: HashMap<String, OwnedVariant>) -> Option<UpdateSlot> {
    let mut text = |key: &str| status.remove(key).and_then(|value| String::try_from(value).ok());
    text("bootname")?;
    Some(UpdateSlot {
        name,
        booted: text("state").as_deref() == Some("booted"),
        good: text("boot-status").as_deref() == Some("good"),
        version: text("bundle.version").unwrap_or_default(),
    })
}
