//! The way to a CSMS, and to the file servers that it names. The station lives in a network namespace
//! of its own; they do not.
//!
//! ```text
//! voltry-ocpp ── TCP, inside ──▶ voltry-sim ── Unix socket ──▶ voltry-sim, outside ── TCP ──▶ CSMS
//! ```
//!
//! On the socket the first line says where to, as `host:port`. To file servers the inner process is a
//! proxy that knows HTTP's CONNECT.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
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
    /// The proxy to file servers, as the inner process knows it.
    #[serde(skip)]
    pub file_proxy: Option<String>,
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

/// Outside: leads whoever comes to the socket on to where they say. Returns what the inner process needs
/// in its environment; the socket lives as long as the returned guard.
///
/// # Errors
/// The socket cannot be made.
pub fn lead_out() -> anyhow::Result<((&'static str, PathBuf), Way)> {
    let path = std::env::temp_dir().join(format!("voltry-csms-{}", std::process::id()));
    // Left by a process of the same number that was killed.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("making {}", path.display()))?;
    let task = tokio::spawn(async move {
        while let Ok((inner, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut inner = BufReader::new(inner);
                let mut to = String::new();
                // Closing it at once is how the inner end hears that nobody is there.
                match inner.read_line(&mut to).await {
                    Ok(_) => match TcpStream::connect(to.trim_end()).await {
                        Ok(outer) => join(inner, outer).await,
                        Err(error) => debug!(%error, to, "nobody is there"),
                    },
                    Err(error) => debug!(%error, "nobody asked"),
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

/// Inside: where the CSMS is found, and the way there and to file servers. Outside a namespace they are
/// where they are.
///
/// # Errors
/// The URL is none, or the way cannot be opened.
pub(super) async fn lead_in(uplink: &Uplink, world: &mut JoinSet<()>) -> anyhow::Result<Uplink> {
    let (scheme, host, port, path) = authority(&uplink.csms)?;
    let Some(way) = std::env::var_os(WAY).map(PathBuf::from) else { return Ok(uplink.clone()) };
    let listener = TcpListener::bind("127.0.0.1:0").await.context("opening the way to the CSMS")?;
    let proxy = TcpListener::bind("127.0.0.1:0").await.context("opening the way to file servers")?;
    let mut found = uplink.clone();
    found.csms = format!("{scheme}://127.0.0.1:{}{path}", listener.local_addr()?.port());
    found.file_proxy = Some(format!("http://{}", proxy.local_addr()?));
    if scheme == "wss" {
        found.profile.entry("server_name").or_insert_with(|| host.to_owned().into());
    }
    let to = format!("{host}:{port}");
    world.spawn(accept(listener, way.clone(), Some(to)));
    world.spawn(accept(proxy, way, None));
    Ok(found)
}

/// Leads on whoever comes; without `to` they say where, as to a proxy.
async fn accept(listener: TcpListener, way: PathBuf, to: Option<String>) {
    let mut joined = JoinSet::new();
    loop {
        tokio::select! {
            Ok((inner, _)) = listener.accept() => {
                let (way, to) = (way.clone(), to.clone());
                joined.spawn(async move {
                    if let Err(error) = lead_on(BufReader::new(inner), &way, to).await {
                        warn!(%error, "the way out is gone");
                    }
                });
            }
            Some(_) = joined.join_next() => {}
        }
    }
}

async fn lead_on(mut inner: BufReader<TcpStream>, way: &Path, to: Option<String>) -> std::io::Result<()> {
    let proxied = to.is_none();
    let to = match to {
        Some(to) => to,
        None => asked_of_proxy(&mut inner).await?,
    };
    let mut outer = UnixStream::connect(way).await?;
    outer.write_all(format!("{to}\n").as_bytes()).await?;
    if proxied {
        inner.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    }
    join(inner, outer).await;
    Ok(())
}

/// Where a CONNECT wants to go (RFC 9110, 9.3.6).
async fn asked_of_proxy(inner: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut to = None;
    loop {
        let mut line = String::new();
        inner.read_line(&mut line).await?;
        match (line.trim_end(), line.split(' ').collect::<Vec<_>>().as_slice()) {
            ("", _) => return to.ok_or_else(|| std::io::ErrorKind::InvalidData.into()),
            (_, ["CONNECT", authority, ..]) => to = Some((*authority).to_owned()),
            _ => {}
        }
    }
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
