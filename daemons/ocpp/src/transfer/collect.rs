//! What goes into a log: for a person who was not there, and without what would let them charge on
//! somebody else's bill.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::files::Log;
use crate::station::Station;
use crate::time::rfc3339;

/// Of the journal, at the most, bytes before they are compressed.
const JOURNAL_MAX: usize = 16 << 20;
/// Lines of the book.
const BOOK_MAX: u32 = 500;
/// The journal gives nothing for so long: it hangs.
const SILENCE: Duration = Duration::from_secs(20);

/// What the uplink itself knows, as it was when the CSMS asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    /// When, microseconds of Unix time.
    pub(crate) now: i64,
    /// The station's identity at the CSMS.
    pub(crate) identity: String,
    /// Variables of OCPP.
    pub(crate) variables: Vec<(String, String)>,
    /// The configuration, secrets masked.
    pub(crate) configuration: String,
    /// What was said between us and the CSMS, ids and secrets masked, oldest first.
    pub(crate) said: Vec<String>,
    /// Security events of the time that is wanted, oldest first.
    pub(crate) security: Vec<String>,
}

/// Which times of the journal are wanted, microseconds of Unix time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) oldest: Option<i64>,
    pub(crate) latest: Option<i64>,
}

type Writer = GzEncoder<io::BufWriter<File>>;

/// Writes a log, compressed (RFC 1952).
///
/// # Errors
/// The disk does not take it.
pub(crate) async fn collect(
    to: &Path,
    log: Log,
    span: Span,
    snapshot: &Snapshot,
    station: Option<&Station>,
) -> io::Result<()> {
    let mut out = GzEncoder::new(io::BufWriter::new(File::create(to)?), Compression::fast());
    match log {
        Log::Security => {
            snapshot.security.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        }
        Log::Diagnostics => {
            about(&mut out, snapshot)?;
            section(&mut out, "configuration")?;
            out.write_all(snapshot.configuration.as_bytes())?;
            section(&mut out, "variables of OCPP")?;
            for (name, value) in &snapshot.variables {
                writeln!(out, "{name} = {value}")?;
            }
            if let Some(station) = station {
                for (title, lines) in station.described(BOOK_MAX).await {
                    section(&mut out, title)?;
                    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
                }
            }
            section(&mut out, "what was said to and by the CSMS")?;
            snapshot.said.iter().try_for_each(|line| writeln!(out, "{line}"))?;
            section(&mut out, "journal")?;
            journal(&mut out, span).await?;
        }
    }
    out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn about(out: &mut Writer, snapshot: &Snapshot) -> io::Result<()> {
    section(out, "station")?;
    writeln!(out, "identity {}", snapshot.identity)?;
    writeln!(out, "collected {}", rfc3339(snapshot.now))?;
    writeln!(out, "voltry-ocpp {}", env!("CARGO_PKG_VERSION"))?;
    for (name, file) in
        [("kernel", "/proc/version"), ("uptime and load", "/proc/uptime"), ("memory", "/proc/self/statm")]
    {
        if let Ok(text) = std::fs::read_to_string(file) {
            writeln!(out, "{name} {}", text.trim())?;
        }
    }
    Ok(())
}

fn section(out: &mut Writer, title: &str) -> io::Result<()> {
    writeln!(out, "\n== {title}")
}

/// What the daemons said, as far as the journal gives it to this user. Daemons name tokens masked, and
/// only at levels that are left out here.
async fn journal(out: &mut Writer, span: Span) -> io::Result<()> {
    let seconds = |time: i64| format!("@{}", time.div_euclid(1_000_000));
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=short-iso-precise", "--priority=info"]);
    command.args(["--unit=voltry-*", "--lines=100000"]);
    command.args(span.oldest.map(|oldest| format!("--since={}", seconds(oldest))));
    command.args(span.latest.map(|latest| format!("--until={}", seconds(latest))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return writeln!(out, "there is none: {error}"),
    };
    let mut journal = child.stdout.take().expect("it is piped").take(JOURNAL_MAX as u64);
    let mut piece = vec![0; 16 * 1024];
    loop {
        match timeout(SILENCE, journal.read(&mut piece)).await {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(length)) => out.write_all(&piece[..length])?,
            Ok(Err(error)) => return writeln!(out, "it broke off: {error}"),
            Err(_) => return writeln!(out, "it broke off: nothing for {} s", SILENCE.as_secs()),
        }
    }
}
