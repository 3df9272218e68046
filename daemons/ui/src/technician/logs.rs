//! What the daemons said, from the machine's journal.
//!
//! Lines name tokens masked, but vehicles as they are: whoever may only look is not shown them.

use std::process::Stdio;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use voltry_recording::Entry;

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

    const fn of(priority: u8) -> Self {
        match priority {
            0..=3 => Self::Error,
            4 => Self::Warning,
            _ => Self::Info,
        }
    }

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
async fn newest(wanted: &Wanted, found: &mut Vec<Entry>) -> std::io::Result<()> {
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
        let Some(line) = Entry::read(&bytes) else { continue };
        if search.is_empty() || format!("{} {}", line.who, line.text).to_lowercase().contains(&search) {
            found.push(line);
        }
    }
    Ok(())
}

fn page(wanted: &Wanted, lines: &[Entry], trouble: Option<&str>) -> Markup {
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
                    tr { td { (time(line.time)) } td { (Level::of(line.priority).word()) } td { (line.who) } td { (line.text) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_text_and_no_markup() {
        let said =
            Entry { time: 1, priority: 4, who: "voltry-evse@1".to_owned(), text: "<<script>>".to_owned() };
        let page = page(&Wanted::default(), &[said], None).into_string();
        assert!(!page.contains("<<") && page.contains("warning"), "{page}");
    }
}
