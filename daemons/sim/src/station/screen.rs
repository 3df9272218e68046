//! The way to the pages of `voltry-ui`. The station lives in a network namespace of its own; browsers do not.
//!
//! ```text
//! browser ── TCP, outside ──▶ voltry-sim, outside ── Unix socket ──▶ voltry-sim ── TCP, inside ──▶ voltry-ui
//! ```

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tracing::debug;

/// Where the kiosk's page is inside.
pub(super) const KIOSK: &str = "127.0.0.1:8080";
/// Set in the inner process: the socket that browsers come by.
const WAY: &str = "VOLTRY_SIM_SCREEN";

/// Outside: leads whoever comes to `address` in. Returns what the inner process needs in its environment; the
/// way is open as long as the returned guard lives.
///
/// # Errors
/// The address is taken.
pub async fn lead_in(address: SocketAddr) -> anyhow::Result<((&'static str, PathBuf), Way)> {
    let path = std::env::temp_dir().join(format!("voltry-screen-{}", std::process::id()));
    // Left by a process of the same number that was killed.
    let _ = std::fs::remove_file(&path);
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening at {address}"))?;
    let inner = path.clone();
    let task = tokio::spawn(async move {
        let mut joined = JoinSet::new();
        loop {
            tokio::select! {
                Ok((browser, _)) = listener.accept() => {
                    let inner = inner.clone();
                    joined.spawn(async move { join(browser, UnixStream::connect(&inner).await).await });
                }
                Some(_) = joined.join_next() => {}
            }
        }
    });
    Ok(((WAY, path.clone()), Way { path, task }))
}

/// Inside: leads whoever comes by the socket on to the page. Without one browsers are inside too.
///
/// # Errors
/// The socket cannot be made.
pub(super) fn lead_on(world: &mut JoinSet<()>) -> anyhow::Result<()> {
    let Some(way) = std::env::var_os(WAY) else { return Ok(()) };
    let way = Path::new(&way);
    let listener = UnixListener::bind(way).with_context(|| format!("making {}", way.display()))?;
    world.spawn(async move {
        let mut joined = JoinSet::new();
        loop {
            tokio::select! {
                Ok((browser, _)) = listener.accept() => {
                    joined.spawn(async move { join(browser, TcpStream::connect(KIOSK).await).await });
                }
                Some(_) = joined.join_next() => {}
            }
        }
    });
    Ok(())
}

/// Nobody there: the browser sees its connection closed.
async fn join<A, B>(mut browser: A, page: std::io::Result<B>)
where
    A: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    B: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let done = match page {
        Ok(mut page) => copy_bidirectional(&mut browser, &mut page).await.map(|_| ()),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        debug!(%error, "a browser's connection ended");
    }
}

/// The way in, while it is open.
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
