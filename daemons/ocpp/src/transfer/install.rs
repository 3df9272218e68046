//! Whoever installs firmware on this machine, over D-Bus (`Update1`).

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;
use tracing::{info, warn};
use voltry_bus::{Error, Update1Proxy, UpdateOutcome};
use voltry_service::config::Binding;
use zbus::proxy::CacheProperties;

use crate::files::Runs;

/// It answers within this time, or hangs. It may have to be started first.
const ANSWER: Duration = Duration::from_secs(10);
/// An installation takes no longer.
const INSTALLATION: Duration = Duration::from_secs(2 * 3600);

/// Whoever installs.
#[derive(Debug, Clone)]
pub(crate) struct Installer {
    proxy: Update1Proxy<'static>,
}

impl Installer {
    /// Nobody need be there yet.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn new(connection: &zbus::Connection, role: &Binding) -> zbus::Result<Self> {
        let proxy = Update1Proxy::builder(connection)
            .destination(role.name.clone())
            .path(role.path.clone())
            .cache_properties(CacheProperties::No)
            .build()
            .await?;
        Ok(Self { proxy })
    }

    /// The version that runs; `None`: nobody answers.
    pub(crate) async fn version(&self) -> Option<String> {
        timeout(ANSWER, self.proxy.version()).await.ok()?.ok()
    }

    /// What runs; `None`: nobody answers.
    pub(crate) async fn runs(&self) -> Option<Runs> {
        let restart_needed = timeout(ANSWER, self.proxy.restart_needed()).await.ok()?.ok()?;
        let verdict = timeout(ANSWER, self.proxy.verdict()).await.ok()?.ok()?;
        Some(Runs { version: self.version().await?, restart_needed, verdict })
    }

    /// Installs a bundle, or waits for the installation that runs already: ours, from before this
    /// daemon was started anew.
    pub(crate) async fn install(&self, bundle: &Path) -> UpdateOutcome {
        match timeout(INSTALLATION, self.carry_out(bundle)).await {
            Ok(Ok((outcome, detail))) => {
                info!(%outcome, detail, "the installation ended");
                outcome
            }
            Ok(Err(error)) => {
                warn!(%error, "the firmware is not installed");
                UpdateOutcome::Failed
            }
            Err(_) => {
                warn!("the installation does not end");
                UpdateOutcome::Failed
            }
        }
    }

    async fn carry_out(&self, bundle: &Path) -> Result<(UpdateOutcome, String), Error> {
        let unavailable = |_| Error::Unavailable("nobody installs firmware".to_owned());
        let mut ended = self.proxy.receive_installation_ended().await?;
        let mut owner = self.proxy.inner().receive_owner_changed().await?;
        let bundle = bundle.to_str().ok_or_else(|| Error::Invalid("the bundle's path".to_owned()))?;
        match timeout(ANSWER, self.proxy.install(bundle)).await.map_err(unavailable)? {
            Ok(()) | Err(Error::Busy(_)) => {}
            Err(error) => return Err(error),
        }
        loop {
            tokio::select! {
                signal = ended.next() => {
                    let signal = signal.ok_or_else(|| Error::Unavailable("the bus is lost".to_owned()))?;
                    let arguments = signal.args()?;
                    return Ok((arguments.outcome, arguments.detail.to_string()));
                }
                Some(now) = owner.next() => if now.is_none() {
                    return Err(Error::Unavailable("whoever installs left the bus".to_owned()));
                }
            }
        }
    }

    /// Starts the machine anew; it may be gone before it answers.
    pub(crate) async fn restart(&self) {
        match timeout(ANSWER, self.proxy.restart()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "the machine is not started anew"),
            Err(_) => warn!("whoever installs does not answer"),
        }
    }
}
