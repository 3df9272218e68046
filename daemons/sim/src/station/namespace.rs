//! A world of its own for the station: own user, network and process-id namespaces.
//!
//! The network namespace holds the veth pairs between vehicles and EVSEs. The process-id
//! namespace is what makes an end clean: the simulator is its process 1, and when that ends, in
//! whatever way, the kernel kills everything that it started.
//!
//! ```text
//! voltry-sim (this) ── standard input ──▶ unshare ──▶ voltry-sim (process 1) ──▶ daemons
//! ```
//! The outer process holds the only writing end of the inner one's standard input. If it is
//! killed the inner one reads end-of-file and quits.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};

/// Set in the inner process.
const MARK: &str = "VOLTRY_SIM_INSIDE";

/// Its value where processes may be given real-time priorities.
const REAL_TIME: &str = "real-time";
/// Our own real-time priority: above every daemon's, since inside it can only be lowered.
const OWN_PRIORITY: &str = "30";

/// Whether the daemons can have the real-time priorities of their units.
#[must_use]
pub fn real_time() -> bool {
    std::env::var_os(MARK).is_some_and(|value| value == REAL_TIME)
}

/// Whether this process is the inner one.
#[must_use]
pub fn inside() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Runs this program with the same arguments inside namespaces of its own, with something more in
/// its environment; returns its exit code.
///
/// The own user stays the same inside, so that the same user's `voltryctl` outside can talk to
/// the private bus; `unshare` leaves the capabilities that setting up the network needs.
///
/// # Errors
/// When the kernel or `unshare` refuses, with what to do about it.
pub async fn enter(forward_input: bool, environment: Vec<(&str, PathBuf)>) -> anyhow::Result<u8> {
    let flags = allowed_flags().await?;
    // /proc/self/exe, not the first argument: that may have been found by $PATH.
    let program = std::env::current_exe().context("finding this program's own file")?;
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let real_time = real_time_allowed().await;
    let mut line: Vec<OsString> = Vec::new();
    if real_time {
        // Given before the namespaces, where root still counts. The devices of a real station
        // have processors of their own: they never wait for ours.
        line.extend(["chrt", "--rr", OWN_PRIORITY].map(OsString::from));
    }
    line.push("unshare".into());
    line.extend(flags.iter().map(OsString::from));
    line.extend(["--kill-child=SIGKILL", "--"].map(OsString::from));
    line.push(program.into());
    line.extend(arguments);
    let mut child = Command::new(&line[0])
        .args(&line[1..])
        .env(MARK, if real_time { REAL_TIME } else { "plain" })
        .envs(environment)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting unshare (package util-linux)")?;
    let mut input = child.stdin.take();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut reading = forward_input;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = interrupt.recv() => leave(&mut input, &mut child),
            _ = terminate.recv() => leave(&mut input, &mut child),
            line = lines.next_line(), if reading => match line {
                Ok(Some(line)) => forward(&mut input, &line).await,
                // End of our own input is no wish to quit: it may be /dev/null.
                Ok(None) | Err(_) => reading = false,
            },
        }
    };
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The first signal closes the inner process's input, which makes it quit tidily; the second
/// does not wait.
fn leave(input: &mut Option<ChildStdin>, child: &mut tokio::process::Child) {
    if input.take().is_none()
        && let Err(error) = child.start_kill()
    {
        tracing::debug!(%error, "already gone");
    }
}

async fn forward(input: &mut Option<ChildStdin>, line: &str) {
    if let Some(pipe) = input
        && let Err(error) = pipe.write_all(format!("{line}\n").as_bytes()).await
    {
        tracing::debug!(%error, "the simulator no longer reads");
    }
}

/// Root usually may; everybody else does with ordinary scheduling.
async fn real_time_allowed() -> bool {
    let probe = Command::new("chrt")
        .args(["--rr", OWN_PRIORITY, "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.await.is_ok_and(|status| status.success())
}

/// Which namespaces this machine lets us make. A user namespace needs no privilege; some
/// machines forbid it, and there root does without.
async fn allowed_flags() -> anyhow::Result<&'static [&'static str]> {
    const UNPRIVILEGED: &[&str] =
        &["--user", "--map-current-user", "--keep-caps", "--net", "--pid", "--fork"];
    const ROOT: &[&str] = &["--net", "--pid", "--fork"];
    for flags in [UNPRIVILEGED, ROOT] {
        let probe = Command::new("unshare").args(flags).arg("true").stderr(Stdio::null()).status().await;
        if probe.context("starting unshare (package util-linux)")?.success() {
            return Ok(flags);
        }
    }
    let hint = if Path::new("/proc/sys/kernel/unprivileged_userns_clone").exists() {
        "run `sysctl kernel.unprivileged_userns_clone=1` as root, or run this as root"
    } else {
        "run this as root, or let this user make user namespaces (AppArmor and containers may forbid it)"
    };
    bail!("this machine does not let us make network and process namespaces: {hint}")
}
