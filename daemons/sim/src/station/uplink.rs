//! The way to a CSMS. The station lives in a network namespace of its own; the CSMS does not.
//!
//! ```text
//! voltry-ocpp ── TCP, inside ──▶ voltry-sim ── Unix socket ──▶ voltry-sim, outside ── TCP ──▶ CSMS
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::{debug, warn};

/// Set in the inner process: the socket that leads to the CSMS.
const WAY: &str = "VOLTRY_SIM_CSMS";

/// Where the CSMS is, and as whom the station goes there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// `ws://…` or `wss://…`, without the identity.
    pub csms: String,
    /// What the CSMS knows the station by.
    pub identity: String,
    /// `1.6` or `2.0.1`.
    pub version: String,
    /// Values of OCPP variables, by 1.6's key or `Component.Variable`.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// More of `[ocpp.profile.1]`, as `security_profile`.
    #[serde(default)]
    pub profile: toml::Table,
}

/// Host and port of a WebSocket's URL, and what stands before and after them.
fn authority(url: &str) -> anyhow::Result<(&str, &str, u16, &str)> {
    let (scheme, rest) = url.split_once("://").context("a CSMS is at ws://… or wss://…")?;
    let default = match scheme {
        "ws" => 80,
        "wss" => 443,
        _ => bail!("a CSMS is at ws://… or wss://…, not {scheme}://"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().context("the CSMS's port")?),
        _ => (authority, default),
    };
    Ok((scheme, host, port, path))
}

/// Outside: leads whoever comes to the socket on to the CSMS. Returns what the inner process needs
/// in its environment; the socket lives as long as the returned guard.
///
/// # Errors
/// The URL is none, or the socket cannot be made.
pub fn lead_out(url: &str) -> anyhow::Result<((&'static str, PathBuf), Way)> {
    let (_, host, port, _) = authority(url)?;
    let (host, port) = (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port);
    let path = std::env::temp_dir().join(format!("voltry-csms-{}", std::process::id()));
    // Left by a process of the same number that was killed.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("making {}", path.display()))?;
    let task = tokio::spawn(async move {
        while let Ok((inner, _)) = listener.accept().await {
            let host = host.clone();
            tokio::spawn(async move {
                match TcpStream::connect((host.as_str(), port)).await {
                    Ok(outer) => join(inner, outer).await,
                    // Closing it at once is how the inner end hears that nobody is there.
                    Err(error) => debug!(%error, "no CSMS"),
                }
            });
        }
    });
    Ok(((WAY, path.clone()), Way { path, task }))
}

/// The way out, while it is open.
#[derive(Debug)]
pub struct Way {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn join<A, B>(mut one: A, mut other: B)
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    if let Err(error) = copy_bidirectional(&mut one, &mut other).await {
        debug!(%error, "a connection to the CSMS broke");
    }
}

/// Inside: where the CSMS is found, and the way there. Outside a namespace it is where it is.
///
/// # Errors
/// The URL is none, or the way cannot be opened.
pub(super) async fn lead_in(uplink: &Uplink, world: &mut JoinSet<()>) -> anyhow::Result<Uplink> {
    let (scheme, host, _, path) = authority(&uplink.csms)?;
    let Some(way) = std::env::var_os(WAY) else { return Ok(uplink.clone()) };
    let listener = TcpListener::bind("127.0.0.1:0").await.context("opening the way to the CSMS")?;
    let port = listener.local_addr()?.port();
    let mut found = uplink.clone();
    found.csms = format!("{scheme}://127.0.0.1:{port}{path}");
    if scheme == "wss" {
        found.profile.entry("server_name").or_insert_with(|| host.to_owned().into());
    }
    world.spawn(async move {
        let mut joined = JoinSet::new();
        loop {
            tokio::select! {
                Ok((inner, _)) = listener.accept() => match UnixStream::connect(Path::new(&way)).await {
                    Ok(outer) => {
                        joined.spawn(join(inner, outer));
                    }
                    Err(error) => warn!(%error, "the way to the CSMS is gone"),
                },
                Some(_) = joined.join_next() => {}
            }
        }
    });
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        assert_eq!(authority("ws://127.0.0.1:9000/ocpp/a").unwrap(), ("ws", "127.0.0.1", 9000, "/ocpp/a"));
        assert_eq!(authority("wss://csms.example").unwrap(), ("wss", "csms.example", 443, ""));
        assert_eq!(authority("ws://[::1]:80/").unwrap(), ("ws", "[::1]", 80, "/"));
        assert_eq!(authority("ws://[::1]/").unwrap(), ("ws", "[::1]", 80, "/"));
        assert!(authority("http://csms.example").is_err());
    }
}
