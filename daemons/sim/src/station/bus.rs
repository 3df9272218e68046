//! The private bus: its configuration, and our connection to it, which outlives power cuts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use voltry_bus::names;

use super::control::Control;
use super::installer::{Installed, Update1};
use super::sim1::Sim1;
use super::supervisor::Unit;

/// Between two attempts to reach a bus that is not there.
const RETRY: Duration = Duration::from_millis(50);

/// The socket's file in the state folder.
fn socket(state: &Path) -> PathBuf {
    state.join("bus")
}

/// The bus's address, as `DBUS_SYSTEM_BUS_ADDRESS` and `voltryctl --bus` want it.
#[must_use]
pub fn address(state: &Path) -> String {
    format!("unix:path={}", socket(state).display())
}

/// The machine's own bus.
pub(super) fn system() -> String {
    std::env::var("DBUS_SYSTEM_BUS_ADDRESS")
        .unwrap_or_else(|_| "unix:path=/run/dbus/system_bus_socket".to_owned())
}

/// Writes the bus's configuration and says how to run it.
///
/// Only this user may connect, and may do everything there: the policies of a real station name
/// users that do not exist here. A test of their own proves them. `first`: it is scheduled as the daemons that
/// charge, which is as our packages have it and no distribution.
///
/// # Errors
/// The state folder cannot be written.
pub fn unit(state: &Path, first: bool) -> anyhow::Result<Unit> {
    let config = state.join("bus.conf");
    let text = format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
"#,
        address(state)
    );
    std::fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
    Ok(Unit {
        name: "bus".to_owned(),
        program: PathBuf::from("dbus-daemon"),
        arguments: vec![
            format!("--config-file={}", config.display()).into(),
            "--nofork".into(),
            "--nopidfile".into(),
        ],
        environment: Vec::new(),
        scheduling: super::units::scheduling(if first { "evse" } else { "bus" }),
        watchdog: None,
    })
}

/// Removes what a killed bus left behind; a new one could not listen.
///
/// # Errors
/// It cannot be removed.
pub fn remove_stale_socket(state: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(socket(state)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context("removing the bus's old socket"),
    }
}

/// Keeps us on the bus, serving `Sim1` there, and `Update1` if we play who installs, for ever.
pub async fn stay_connected(
    address: String,
    control: Arc<Control>,
    installed: Option<Arc<Installed>>,
    connection: watch::Sender<Option<zbus::Connection>>,
) {
    loop {
        match connect(&address, control.clone(), installed.clone()).await {
            Ok(bus) => {
                connection.send_replace(Some(bus.clone()));
                bus.closed().await;
                tracing::info!("the bus is gone");
                connection.send_replace(None);
            }
            Err(error) => tracing::debug!(%error, "no bus yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn connect(
    address: &str,
    control: Arc<Control>,
    installed: Option<Arc<Installed>>,
) -> zbus::Result<zbus::Connection> {
    let mut builder = zbus::connection::Builder::address(address)
        .serve_at(names::SIM_PATH, Sim1::new(control))
        .name(names::SIM);
    if let Some(installed) = installed {
        builder = builder.serve_at(names::UPDATE_PATH, Update1::new(installed)).name(names::UPDATE);
    }
    builder.build().await
}
