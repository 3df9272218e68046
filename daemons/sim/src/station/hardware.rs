//! Simulated hardware and vehicles alone, on the system bus, for a station whose daemons systemd runs.
//!
//! ```text
//! /run/voltry-sim/dev/…     the serial lines, for the group `dialout` as real ones are
//! evseN ⇄ evN               the cable's data link, in the network namespace of the daemons
//! ```

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::topology::Topology;
use super::{build_world, bus, config, network};

/// Where the lines are, in `dev`; both are made by the unit's `RuntimeDirectory=`.
const FOLDER: &str = "/run/voltry-sim";

/// Who may open serial lines.
const GROUP: &str = "dialout";

/// Plays the hardware and the vehicles until SIGTERM.
///
/// # Errors
/// A line, a link or the folder cannot be made.
pub async fn run(topology: &Topology) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    if topology.evses().any(|(_, parts)| parts.lock) {
        bail!("evse.lock: there is no such lock on the bus of installed daemons");
    }
    let folder = Path::new(FOLDER);
    let dev = folder.join("dev");
    for (evse, _) in topology.evses() {
        network::remove_left_behind(evse).await?;
    }
    let mut world = JoinSet::new();
    let (connection_in, connection) = watch::channel(None);
    let control = Arc::new(build_world(topology, folder, &mut world, connection).await?);
    share(&dev).context("letting the daemons open the lines")?;
    world.spawn(bus::stay_connected(bus::system(), control, None, connection_in));
    sd_notify::notify(&[sd_notify::NotifyState::Ready]).context("telling the supervisor")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The configuration of the daemons for this hardware.
///
/// # Errors
/// The topology's own tables cannot be written as TOML.
pub fn configuration(topology: &Topology) -> anyhow::Result<String> {
    config::for_installed_daemons(topology, Path::new(FOLDER))
}

fn share(dev: &Path) -> anyhow::Result<()> {
    let group =
        nix::unistd::Group::from_name(GROUP)?.with_context(|| format!("there is no group {GROUP}"))?;
    for line in std::fs::read_dir(dev)? {
        let line = line?.path();
        std::os::unix::fs::chown(&line, None, Some(group.gid.as_raw()))?;
        std::fs::set_permissions(&line, std::fs::Permissions::from_mode(0o660))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_installs_the_configuration_of_this_hardware() {
        let installed = include_str!("../../../../packaging/simulated/50-simulated.toml");
        assert_eq!(
            installed,
            configuration(&Topology::default()).unwrap(),
            "`voltry-sim configuration` writes it"
        );
    }
}
