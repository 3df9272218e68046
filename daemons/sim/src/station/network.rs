//! The cable's data link: one veth pair for each EVSE, made inside our own network namespace.

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

/// Makes the pair for an EVSE and brings it up with link-local addresses.
///
/// The addresses are ours and `nodad`, because an address that is still being checked for
/// duplicates cannot be used for up to 2 s.
///
/// # Errors
/// `ip` is missing or refuses.
pub async fn make_link(evse: u32) -> anyhow::Result<()> {
    let (station, vehicle) = (station_end(evse), vehicle_end(evse));
    ip(&["link", "add", &station, "type", "veth", "peer", "name", &vehicle]).await?;
    for (end, address) in [(&station, "fe80::1/64"), (&vehicle, "fe80::2/64")] {
        ip(&["link", "set", end, "addrgenmode", "none"]).await?;
        ip(&["addr", "add", address, "dev", end, "nodad"]).await?;
        ip(&["link", "set", end, "up"]).await?;
    }
    Ok(())
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
