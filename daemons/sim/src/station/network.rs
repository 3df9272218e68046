//! The cable's data link, made of veth pairs inside our own network namespace.

use anyhow::{Context, bail};
use tokio::process::Command;

/// The station's end of EVSE `n`'s link, which its `secc` listens on.
#[must_use]
pub fn station_end(evse: u32) -> String {
    format!("evse{evse}")
}

/// The vehicle's end.
#[must_use]
pub fn vehicle_end(evse: u32) -> String {
    format!("ev{evse}")
}

/// Where the station's modem is, if the vehicle has one too.
#[must_use]
pub fn stations_modem(evse: u32) -> String {
    format!("plc{evse}")
}

/// Where the vehicle's modem is.
#[must_use]
pub fn vehicles_modem(evse: u32) -> String {
    format!("evplc{evse}")
}

const STATION_ADDRESS: &str = "fe80::1/64";
const VEHICLE_ADDRESS: &str = "fe80::2/64";

/// Makes the pair for an EVSE and brings it up with link-local addresses.
///
/// # Errors
/// `ip` is missing or refuses.
pub async fn make_link(evse: u32) -> anyhow::Result<()> {
    let (station, vehicle) = (station_end(evse), vehicle_end(evse));
    add_pair(&station, &vehicle).await?;
    bring_up(&station, Some(STATION_ADDRESS)).await?;
    bring_up(&vehicle, Some(VEHICLE_ADDRESS)).await
}

/// Makes a pair from the station to its modem and one from the vehicle to its own. Nothing leads
/// from one to the other until a cable carries frames.
///
/// # Errors
/// `ip` is missing or refuses.
pub async fn make_modems(evse: u32) -> anyhow::Result<()> {
    for (host, modem, address) in [
        (station_end(evse), stations_modem(evse), STATION_ADDRESS),
        (vehicle_end(evse), vehicles_modem(evse), VEHICLE_ADDRESS),
    ] {
        add_pair(&host, &modem).await?;
        // A modem takes frames, not what a network card would make frames of.
        ip(&["link", "set", &host, "gso_max_segs", "1"]).await?;
        bring_up(&host, Some(address)).await?;
        bring_up(&modem, None).await?;
    }
    Ok(())
}

/// Removes the link of a simulator that was killed.
///
/// # Errors
/// `ip` is missing or refuses.
pub async fn remove_left_behind(evse: u32) -> anyhow::Result<()> {
    for end in [station_end(evse), vehicle_end(evse)] {
        if std::path::Path::new("/sys/class/net").join(&end).exists() {
            ip(&["link", "delete", &end]).await?;
        }
    }
    Ok(())
}

async fn add_pair(one: &str, other: &str) -> anyhow::Result<()> {
    ip(&["link", "add", one, "type", "veth", "peer", "name", other]).await
}

/// The address is ours and `nodad`, because one that is still being checked for duplicates cannot
/// be used for up to 2 s.
async fn bring_up(end: &str, address: Option<&str>) -> anyhow::Result<()> {
    ip(&["link", "set", end, "addrgenmode", "none"]).await?;
    if let Some(address) = address {
        ip(&["addr", "add", address, "dev", end, "nodad"]).await?;
    }
    ip(&["link", "set", end, "up"]).await
}

/// Brings the loopback interface up.
///
/// # Errors
/// `ip` is missing or refuses.
pub async fn bring_loopback_up() -> anyhow::Result<()> {
    ip(&["link", "set", "lo", "up"]).await
}

async fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    // Where a user's $PATH lacks /usr/sbin, `ip` is still there.
    let program = ["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .context("no `ip` command: install the package iproute2")?;
    let output = Command::new(program).args(arguments).output().await.context("starting ip")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
