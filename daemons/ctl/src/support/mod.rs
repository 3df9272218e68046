//! `voltryctl support-bundle`: everything that whoever helps from afar asks for first, in one archive,
//! without secrets and ids. What cannot be had is left out, and said so in it.

mod tar;

use std::fs::OpenOptions;
use std::io::{self, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use voltry_recording::Entry;
use voltry_service::{Binding, Config};
use zbus::Connection;

use self::tar::Archive;
use crate::bound::bindings;
use crate::devices::Device;
use crate::outcome::{Failure, Outcome};
use crate::{bus, cli, config_check, devices, station, timeline};

/// Of the book and of the recorder.
const TRANSACTIONS: u32 = 100;
const SESSIONS: u32 = 10;
/// Of the journal, bytes as it comes and of one line; and how long it may take.
const JOURNAL_MAX: u64 = 64 << 20;
const LINE_MAX: u64 = 64 << 10;
const JOURNAL_TIME: Duration = Duration::from_secs(30);
const JOURNAL_SINCE: &str = "-48h";

/// The archive, and what could not be had for it.
struct Bundle<W: io::Write> {
    archive: Archive<W>,
    missing: Vec<String>,
}

impl<W: io::Write> Bundle<W> {
    fn add(&mut self, name: &str, content: Result<Vec<u8>, Failure>) -> Result<(), Failure> {
        match content {
            Ok(content) => {
                self.archive.add(name, &content).map_err(|error| Failure::Other(error.to_string()))
            }
            Err(why) => {
                self.missing.push(format!("{name}: {why}\n"));
                Ok(())
            }
        }
    }

    fn add_json<T: Serialize>(&mut self, name: &str, value: Result<T, Failure>) -> Result<(), Failure> {
        let content = value.and_then(|value| {
            serde_json::to_vec_pretty(&value).map_err(|error| Failure::Other(error.to_string()))
        });
        self.add(name, content)
    }
}

pub(crate) async fn run(command: cli::SupportBundle, address: Option<&str>) -> Result<Outcome, Failure> {
    let cli::SupportBundle { file, config } = command;
    let failed = |error: io::Error| Failure::Other(format!("{}: {error}", file.display()));
    let out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let archive = Archive::new(BufWriter::new(out.map_err(failed)?), seconds);
    let mut bundle = Bundle { archive, missing: Vec::new() };
    bundle.add("about.txt", Ok(about().into_bytes()))?;
    bundle.add("configuration.txt", configuration(config.as_deref()))?;
    bundle.add_json("configuration-check.json", config_check::check(config.as_deref(), None).await)?;
    match bus::connect(address).await {
        Ok(connection) => {
            let bound = bindings(config.as_deref(), address).unwrap_or_default();
            of_station(&mut bundle, &connection, &bound).await?;
        }
        Err(why) => bundle.missing.push(format!("everything of the station: {why}\n")),
    }
    bundle.add("journal.txt", journal().await)?;
    let missing = std::mem::take(&mut bundle.missing);
    bundle.add("missing.txt", Ok(missing.concat().into_bytes()))?;
    bundle.archive.finish().map_err(failed)?;
    eprintln!("{}: no secrets, no ids of drivers and vehicles; read it before you send it", file.display());
    missing.iter().for_each(|what| eprint!("left out: {what}"));
    Ok(Outcome::Done)
}

async fn of_station<W: io::Write>(
    bundle: &mut Bundle<W>,
    connection: &Connection,
    bound: &[Binding],
) -> Result<(), Failure> {
    let proxy = station::proxy(connection).await?;
    bundle.add_json("station.json", async { Ok((proxy.name().await?, proxy.version().await?)) }.await)?;
    bundle.add_json("status.json", async { Ok(proxy.evses().await?) }.await)?;
    bundle.add_json("connectors.json", async { Ok(proxy.connectors().await?) }.await)?;
    bundle.add_json("limits.json", async { Ok((proxy.sources().await?, proxy.shares().await?)) }.await)?;
    add_devices(bundle, connection, bound).await?;
    bundle.add_json("transactions.json", async { Ok(proxy.transactions(TRANSACTIONS).await?) }.await)?;
    let recorded = async { Ok(timeline::recorder(connection).await?.sessions(SESSIONS).await?) }.await;
    let numbers: Vec<u64> = recorded.iter().flatten().map(|session| session.number).collect();
    bundle.add_json("sessions.json", recorded)?;
    for number in numbers {
        let read = timeline::read(connection, number).await;
        if let Ok(timeline) = &read {
            let text = timeline::text(timeline).into_bytes();
            bundle.add(&format!("sessions/{number:08}.txt"), Ok(text))?;
        }
        bundle.add_json(&format!("sessions/{number:08}.json"), read)?;
    }
    bundle.add_json("ocpp.json", timeline::csms(connection).await)
}

/// The devices, without the address of a vehicle, which may be what lets it charge.
async fn add_devices<W: io::Write>(
    bundle: &mut Bundle<W>,
    connection: &Connection,
    bound: &[Binding],
) -> Result<(), Failure> {
    let found = devices::devices(connection, bound).await;
    if let Ok((_, walk)) = &found
        && let Err(part) = walk.is_whole()
    {
        bundle.missing.push(format!("devices.json: {part}\n"));
    }
    let anonymous = found.map(|(mut devices, _)| {
        devices.iter_mut().for_each(Device::mask_vehicle);
        devices
    });
    bundle.add_json("devices.json", anonymous)
}

fn about() -> String {
    let mut about = format!("voltryctl {}\n", env!("CARGO_PKG_VERSION"));
    for (name, file) in [
        ("kernel", "/proc/version"),
        ("uptime and idle seconds", "/proc/uptime"),
        ("load", "/proc/loadavg"),
        ("memory", "/proc/meminfo"),
        ("system", "/etc/os-release"),
    ] {
        if let Ok(text) = std::fs::read_to_string(file) {
            about += &format!("\n== {name}\n{}\n", text.trim());
        }
    }
    about
}

fn configuration(config: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let read = Config::read(config).map_err(|error| Failure::Other(error.to_string()))?;
    Ok(read.shown().into_bytes())
}

/// What the daemons said, with the causes. They name whole tokens and vehicles only at levels that are left out here.
async fn journal() -> Result<Vec<u8>, Failure> {
    let failed = |error: io::Error| Failure::Other(format!("journalctl: {error}"));
    let mut child = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--output=json", "--priority=info"])
        .args(["--unit=voltry-*", "--since", JOURNAL_SINCE, "--lines=50000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let Some(out) = child.stdout.take() else { return Ok(Vec::new()) };
    match timeout(JOURNAL_TIME, as_text(BufReader::new(out.take(JOURNAL_MAX)))).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => Err(Failure::Other(format!("journalctl: not done in {} s", JOURNAL_TIME.as_secs()))),
    }
}

/// A line an entry, with its fields.
async fn as_text(mut journal: impl AsyncBufRead + Unpin) -> io::Result<Vec<u8>> {
    let (mut text, mut line) = (String::new(), Vec::new());
    loop {
        line.clear();
        if (&mut journal).take(LINE_MAX).read_until(b'\n', &mut line).await? == 0 {
            return Ok(text.into_bytes());
        }
        // The rest of a line that is too long is no entry either.
        let Some(Entry { time, priority, who, text: said }) = Entry::read(&line) else { continue };
        let time = jiff::Timestamp::from_microsecond(time).unwrap_or_default();
        text += &format!("{time:.6} {who} <{priority}> {said}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_journal_is_told_with_the_fields_of_its_lines() {
        let journal = "{\"__REALTIME_TIMESTAMP\":\"1764142536229559\",\"PRIORITY\":\"3\",\"MESSAGE\":\"fault\",\
                       \"SYSLOG_IDENTIFIER\":\"voltry-evse\",\"VOLTRY_INSTANCE\":\"1\",\"F_CODE\":\"PilotFault\"}\nno entry\n";
        let text = String::from_utf8(as_text(journal.as_bytes()).await.unwrap()).unwrap();
        assert_eq!(text, "2025-11-26T07:35:36.229559Z voltry-evse@1 <3> fault code=PilotFault\n");
    }
}
