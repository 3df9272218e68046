//! Lines of log leave on a thread of their own: whoever decides about energy never waits for a journal that does
//! not read, a pipe that is full, or a disk that is slow.
//!
//! ```text
//! tracing ── formatted here ──▶ queue of 512 ── log thread ──▶ the journal's socket, or standard error
//! ```
//! A line that finds no place in the queue is lost; how many are is told with the next line that is taken.
//! The journal is spoken to in its own protocol, as systemd documents it (`JOURNAL_NATIVE_PROTOCOL`): the crate
//! that does that waits for the journal in whatever thread logs.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that wait for whoever takes them. A session has some thirty.
const WAITING: usize = 512;
/// An ending process waits this long for its last lines to be taken.
const LAST_LINES: Duration = Duration::from_millis(500);
const JOURNAL: &str = "/run/systemd/journal/socket";

/// What logs, and waits for nobody.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    lines: SyncSender<Line>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Line {
    /// As it is written.
    Bytes(Vec<u8>),
    /// Dropped when all before it was taken.
    Flush(#[allow(dead_code, reason = "held for its end")] SyncSender<()>),
}

/// Who takes lines.
#[derive(Debug)]
enum Sink {
    /// A datagram for each line, to this socket.
    Journal(UnixDatagram, PathBuf),
    Text(io::Stderr),
}

impl Sink {
    fn take(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Journal(socket, path) => socket.send_to(line, path).map(|_| ()),
            Self::Text(out) => out.write_all(line),
        }
    }
}

impl Log {
    /// Logs to the journal with fields where standard error leads there, else readable text to standard error;
    /// what panics says so there too.
    pub(crate) fn start(name: &str, instance: &str, filter: Option<&str>) -> Self {
        let from_environment = std::env::var("VOLTRY_LOG").ok();
        let wanted = filter.or(from_environment.as_deref()).unwrap_or("info");
        let (filter, wrong) = match wanted.parse::<Targets>() {
            Ok(filter) => (filter, None),
            Err(error) => (Targets::new().with_default(Level::INFO), Some(error)),
        };
        let registry = tracing_subscriber::registry().with(filter);
        let there = stderr_is_the_journal() && Path::new(JOURNAL).exists();
        let journal = if there { UnixDatagram::unbound().ok() } else { None };
        let log = if let Some(socket) = journal {
            let log = Self::to(Sink::Journal(socket, PathBuf::from(JOURNAL)));
            let layer = Journal { log: log.clone(), identity: identity(name, instance) };
            registry.with(layer).init();
            log
        } else {
            let log = Self::to(Sink::Text(io::stderr()));
            registry.with(text(&log, io::stderr().is_terminal())).init();
            log
        };
        if let Some(error) = wrong {
            tracing::warn!(%error, "log filter; logging at info");
        }
        let last = log.clone();
        // The usual hook writes to standard error itself, and a process that waits there does not die.
        std::panic::set_hook(Box::new(move |panic| {
            tracing::error!("{panic}");
            last.flush();
            // A half-dead daemon is worse than a restart.
            std::process::abort();
        }));
        log
    }

    fn to(sink: Sink) -> Self {
        let (lines, waiting) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&lost);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write(&waiting, sink, &seen))
            .expect("a thread can be started when the daemon starts");
        Self { lines, lost }
    }

    fn say(&self, line: Vec<u8>) {
        if self.lines.try_send(Line::Bytes(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all was taken, half a second at most.
    pub(crate) fn flush(&self) {
        let (held, taken) = sync_channel(0);
        if self.lines.try_send(Line::Flush(held)).is_ok() {
            // It ends by what is held being dropped, or by the time; either way the process goes on to end.
            let _ = taken.recv_timeout(LAST_LINES);
        }
    }
}

/// The log thread.
fn write(waiting: &Receiver<Line>, mut sink: Sink, lost: &AtomicU64) {
    let mut told = 0;
    for line in waiting {
        let Line::Bytes(line) = line else { continue };
        if sink.take(&line).is_err() {
            lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        // All since the start: where this line is lost too, the next one says it.
        let all = lost.load(Ordering::Relaxed);
        if all != told {
            told = all;
            tracing::warn!(lines = all, "of this log were lost: who takes it was too slow, or away");
        }
    }
}

fn text<S>(log: &Log, ansi: bool) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer().with_writer(log.clone()).with_ansi(ansi).with_target(false)
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The formatter writes each line in one go.
impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.say(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Events in the journal's protocol.
struct Journal {
    log: Log,
    /// The fields that say who logs.
    identity: Vec<u8>,
}

fn identity(name: &str, instance: &str) -> Vec<u8> {
    let mut fields = Fields(Vec::new());
    fields.put("SYSLOG_IDENTIFIER", name);
    fields.put("VOLTRY_INSTANCE", instance);
    fields.0
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields(self.identity.clone());
        fields.put("PRIORITY", priority(*metadata.level()));
        fields.put("TARGET", metadata.target());
        if let Some(file) = metadata.file() {
            fields.put("CODE_FILE", file);
        }
        if let Some(line) = metadata.line() {
            fields.put("CODE_LINE", &line.to_string());
        }
        event.record(&mut fields);
        self.log.say(fields.0);
    }
}

/// Of syslog.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

struct Fields(Vec<u8>);

impl Fields {
    /// With the value's length, so that it may have any bytes.
    fn put(&mut self, name: &str, value: &str) {
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.0.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.0.extend_from_slice(value.as_bytes());
        self.0.push(b'\n');
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            return self.put("MESSAGE", value);
        }
        // The journal's own names have no prefix; it takes capitals, digits and underscores.
        let name = field.name().chars().filter_map(|letter| match letter {
            '.' | '_' => Some('_'),
            letter => letter.is_ascii_alphanumeric().then(|| letter.to_ascii_uppercase()),
        });
        let name: String = "F_".chars().chain(name).collect();
        self.put(&name, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing into a string fails only if the value's own formatting does: what it wrote is told.
        let _ = write!(text, "{value:?}");
        self.record_str(field, &text);
    }
}

/// The supervisor names the journal's stream as `device:inode`; a process further down may have
/// the variable and write elsewhere.
fn stderr_is_the_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    nix::sys::stat::fstat(io::stderr())
        .is_ok_and(|stderr| named == format!("{}:{}", stderr.st_dev, stderr.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal of the test's own, and what logs to it.
    fn journal() -> (tempfile::TempDir, UnixDatagram, Log, impl Subscriber + Send + Sync) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        let log = Log::to(Sink::Journal(UnixDatagram::unbound().unwrap(), path));
        let layer = Journal { log: log.clone(), identity: identity("voltry-evse", "1") };
        (folder, socket, log, tracing_subscriber::registry().with(layer))
    }

    fn next(socket: &UnixDatagram) -> Vec<(String, String)> {
        let mut datagram = vec![0; 65_536];
        let length = socket.recv(&mut datagram).unwrap();
        let mut rest = &datagram[..length];
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            let name = String::from_utf8(rest[..end].to_vec()).unwrap();
            let (size, tail) = rest[end + 1..].split_at(8);
            let size = usize::try_from(u64::from_le_bytes(size.try_into().unwrap())).unwrap();
            fields.push((name, String::from_utf8(tail[..size].to_vec()).unwrap()));
            assert_eq!(tail[size], b'\n');
            rest = &tail[size + 1..];
        }
        fields
    }

    fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
        fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_journal_gets_the_message_its_fields_and_who_said_it() {
        let (_folder, socket, _log, subscriber) = journal();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(code = "MREC8EmergencyStop", volts = 400.5, "fault\nin two lines");
        });
        let fields = next(&socket);
        for (name, value) in [
            ("MESSAGE", "fault\nin two lines"),
            ("PRIORITY", "3"),
            ("SYSLOG_IDENTIFIER", "voltry-evse"),
            ("VOLTRY_INSTANCE", "1"),
            ("F_CODE", "MREC8EmergencyStop"),
            ("F_VOLTS", "400.5"),
        ] {
            assert_eq!(field(&fields, name), Some(value), "{fields:?}");
        }
        assert!(field(&fields, "CODE_FILE").is_some_and(|file| file.ends_with("log.rs")), "{fields:?}");
    }

    #[test]
    fn a_journal_that_does_not_read_is_not_waited_for_and_what_it_misses_is_counted() {
        let (_folder, socket, log, subscriber) = journal();
        let said = 8 * WAITING;
        // Were one of these to wait, the test would: nobody reads yet.
        tracing::subscriber::with_default(subscriber, || {
            for line in 0..said {
                tracing::info!(line, "said");
            }
        });
        let lost = usize::try_from(log.lost.load(Ordering::Relaxed)).unwrap();
        assert!(lost > 0 && lost < said, "{lost} of {said}");
        for line in 0..said - lost {
            let fields = next(&socket);
            assert_eq!(field(&fields, "MESSAGE"), Some("said"), "line {line}: {fields:?}");
        }
        log.flush();
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 16]).is_err(), "no line more than were not lost");
    }

    #[test]
    fn without_a_journal_lines_are_lost_and_nothing_else() {
        let (folder, socket, log, subscriber) = journal();
        drop((socket, folder));
        tracing::subscriber::with_default(subscriber, || tracing::info!("said"));
        log.flush();
        assert_eq!(log.lost.load(Ordering::Relaxed), 1);
    }
}
