//! What the daemons said, from the machine's journal.
//!
//! Lines name tokens masked, but vehicles as they are: whoever may only look is not shown them.

use std::process::Stdio;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::accounts::Role;
use super::page::time;
use super::routes::{LoggedIn, Shared};

/// Lines that are shown, and looked through for them.
const SHOWN: usize = 200;
const SEARCHED: &str = "20000";
/// Bytes of the journal that are read for one page; a line has a kilobyte.
const BYTES_MAX: u64 = 16 << 20;
/// Bytes of one line; a longer one is shown by its beginning.
const LINE_MAX: u64 = 64 << 10;
const TEXT_MAX: usize = 1_000;
/// How long the journal may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// What is looked for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    search: String,
    /// A priority of syslog, by its name: this one and worse.
    #[serde(default)]
    level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    Error,
    Warning,
    #[default]
    Info,
}

impl Level {
    const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }

    /// As `journalctl` knows it.
    const fn priority(self) -> &'static str {
        match self {
            Self::Error => "err",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    /// Microseconds of Unix time.
    time: i64,
    level: Level,
    /// As `voltry-evse@1`.
    who: String,
    /// The message, and the fields that came with it.
    text: String,
}

pub(super) async fn show(who: LoggedIn, State(_): State<Shared>, Query(wanted): Query<Wanted>) -> Response {
    if let Some(refused) = who.lacks(Role::Operate) {
        return refused;
    }
    let mut found = Vec::new();
    let read = timeout(PATIENCE, newest(&wanted, &mut found)).await;
    let trouble = match read {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("The journal cannot be read: {error}.")),
        Err(_) => Some(format!("The journal took longer than {} s: there may be more.", PATIENCE.as_secs())),
    };
    who.page("/logs", "Logs", &page(&wanted, &found, trouble.as_deref()), false)
}

/// The newest lines that are wanted, newest first.
async fn newest(wanted: &Wanted, found: &mut Vec<Line>) -> std::io::Result<()> {
    let mut child = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--reverse", "--output=json", "--unit=voltry-*", "--lines", SEARCHED])
        .args(["--priority", wanted.level.priority()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let journal = child.stdout.take().expect("it is piped").take(BYTES_MAX);
    let search = wanted.search.trim().to_lowercase();
    let mut journal = BufReader::new(journal);
    let mut bytes = Vec::new();
    while found.len() < SHOWN {
        bytes.clear();
        if (&mut journal).take(LINE_MAX).read_until(b'\n', &mut bytes).await? == 0 {
            return Ok(());
        }
        // The rest of one that is too long is none either.
        let Some(line) = line(&bytes) else { continue };
        if search.is_empty() || format!("{} {}", line.who, line.text).to_lowercase().contains(&search) {
            found.push(line);
        }
    }
    Ok(())
}

/// An entry as `journalctl` writes it in JSON.
fn line(bytes: &[u8]) -> Option<Line> {
    let entry: Map<String, Value> = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let mut said = text("MESSAGE").unwrap_or("(no text)").to_owned();
    for (key, value) in &entry {
        if let (Some(name), Some(value)) = (key.strip_prefix("F_"), value.as_str()) {
            said.push_str(&format!(" {}={value}", name.to_lowercase()));
        }
    }
    let who = text("SYSLOG_IDENTIFIER").or_else(|| text("_SYSTEMD_UNIT")).unwrap_or("?");
    let instance = text("VOLTRY_INSTANCE").filter(|instance| !instance.is_empty());
    Some(Line {
        time: text("__REALTIME_TIMESTAMP")?.parse().ok()?,
        level: match text("PRIORITY").unwrap_or_default() {
            "0" | "1" | "2" | "3" => Level::Error,
            "4" => Level::Warning,
            _ => Level::Info,
        },
        who: instance.map_or_else(|| who.to_owned(), |instance| format!("{who}@{instance}")),
        text: said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect(),
    })
}

fn page(wanted: &Wanted, lines: &[Line], trouble: Option<&str>) -> Markup {
    html! {
        h1 { "Logs" }
        form.search method="get" action="/logs" role="search" {
            label { "Search" input name="search" value=(wanted.search) maxlength="64"; }
            label { "From" select name="level" {
                @for level in Level::ALL { option value=(level.word()) selected[level == wanted.level] { (level.word()) } }
            } }
            button type="submit" { "Search" }
        }
        @if let Some(trouble) = trouble { p.banner role="status" { (trouble) } }
        @if lines.is_empty() { p { "The journal has no such line of a daemon, or this user may not read it." } }
        @else {
            table {
                tr { @for name in ["Time", "Level", "Daemon", "What"] { th scope="col" { (name) } } }
                @for line in lines {
                    tr { td { (time(line.time)) } td { (line.level.word()) } td { (line.who) } td { (line.text) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_said_what_with_its_fields() {
        let entry = br#"{"__REALTIME_TIMESTAMP":"1764142536229559","PRIORITY":"3","MESSAGE":"fault\nnow",
            "SYSLOG_IDENTIFIER":"voltry-evse","VOLTRY_INSTANCE":"1","F_CODE":"MREC8EmergencyStop","_PID":"7"}"#;
        let line = line(entry).unwrap();
        assert_eq!((line.time, line.level), (1_764_142_536_229_559, Level::Error));
        assert_eq!(
            (line.who.as_str(), line.text.as_str()),
            ("voltry-evse@1", "fault now code=MREC8EmergencyStop")
        );
    }

    #[test]
    fn whatever_the_journal_holds_is_one_bounded_line_or_none() {
        let long = format!(r#"{{"__REALTIME_TIMESTAMP":"1","MESSAGE":"{}"}}"#, "<".repeat(50_000));
        let found = line(long.as_bytes()).unwrap();
        assert_eq!(found.text.len(), TEXT_MAX);
        let page = page(&Wanted::default(), &[found], None).into_string();
        assert!(!page.contains("<<"), "it is text, no markup");
        // A message that is no text comes as numbers, a cut line as no JSON.
        assert_eq!(line(br#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":[1,2]}"#).unwrap().text, "(no text)");
        for bytes in [&b"{\"__REALTIME_TIMESTAMP\":\"1\",\"MESS"[..], b"", b"[]", b"{}", b"\xff"] {
            assert_eq!(line(bytes), None);
        }
    }
}
