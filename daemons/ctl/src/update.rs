//! `voltryctl update`: firmware.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::json;
use voltry_bus::names::{UPDATE, UPDATE_PATH};
use voltry_bus::{Update1Proxy, UpdateOutcome, UpdateSlot, UpdateVerdict};
use zbus::Connection;
use zbus::proxy::CacheProperties;

use crate::cli::{Update, UpdateCommand};
use crate::outcome::{Failure, Outcome};
use crate::output;

/// A bundle is read whole before its installation begins.
pub(crate) const PATIENCE: Duration = Duration::from_secs(700);
/// How often it is asked how far it is.
const AGAIN: Duration = Duration::from_secs(1);

/// What `Update1` says.
#[derive(Debug, Serialize)]
struct Standing {
    version: String,
    verdict: UpdateVerdict,
    detail: String,
    installing: bool,
    progress: u32,
    restart_needed: bool,
    slots: Vec<UpdateSlot>,
}

pub(crate) async fn run(connection: &Connection, update: Update, json: bool) -> Result<Outcome, Failure> {
    let installer = Update1Proxy::builder(connection)
        .destination(UPDATE)
        .path(UPDATE_PATH)
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    match (update.command, update.file) {
        (Some(UpdateCommand::Status), _) => status(&installer, json).await,
        (Some(UpdateCommand::Restart), _) => restart(&installer, json).await,
        (None, Some(file)) => install(&installer, &file, update.restart, json).await,
        (None, None) => Err(Failure::Other("no bundle is named".to_owned())),
    }
}

async fn install(
    installer: &Update1Proxy<'_>,
    file: &Path,
    and_restart: bool,
    json: bool,
) -> Result<Outcome, Failure> {
    let named = |why| Failure::Other(format!("{}: {why}", file.display()));
    let file = file.canonicalize().map_err(|error| named(error.to_string()))?;
    let path = file.to_str().ok_or_else(|| named("its name is no text".to_owned()))?;
    let mut ended = installer.receive_installation_ended().await?;
    let mut owner = installer.inner().receive_owner_changed().await?;
    installer.install(path).await?;
    let mut told = None;
    let (outcome, detail) = loop {
        let progress = installer.progress().await?;
        if told.replace(progress) != Some(progress) {
            tell_progress(progress, json)?;
        }
        tokio::select! {
            Some(signal) = ended.next() => {
                let arguments = signal.args()?;
                break (arguments.outcome, arguments.detail.to_string());
            }
            Some(owner) = owner.next() => if owner.is_none() {
                let why = "voltry-update left the bus; see `journalctl -u voltry-update`";
                return Err(Failure::Unreachable(why.to_owned()));
            },
            () = tokio::time::sleep(AGAIN) => {}
        }
    };
    if json {
        output::json(&json!({ "outcome": outcome, "detail": detail }))?;
    }
    match outcome {
        UpdateOutcome::Invalid | UpdateOutcome::Failed => {
            if json {
                return Ok(Outcome::Failed);
            }
            Err(Failure::Refused(format!("not installed ({outcome}): {detail}")))
        }
        UpdateOutcome::RestartNeeded if and_restart => restart(installer, json).await,
        UpdateOutcome::RestartNeeded => {
            if !json {
                println!("installed; it runs after `voltryctl update restart`");
            }
            Ok(Outcome::Done)
        }
        UpdateOutcome::Installed => {
            if !json {
                println!("installed, and runs");
            }
            Ok(Outcome::Done)
        }
    }
}

fn tell_progress(percent: u32, json: bool) -> Result<(), Failure> {
    if json {
        return output::json(&json!({ "progress": percent }));
    }
    println!("{percent} %");
    Ok(())
}

async fn restart(installer: &Update1Proxy<'_>, json: bool) -> Result<Outcome, Failure> {
    installer.restart().await?;
    if !json {
        println!("the machine starts anew");
    }
    Ok(Outcome::Done)
}

async fn status(installer: &Update1Proxy<'_>, json: bool) -> Result<Outcome, Failure> {
    let standing = Standing {
        version: installer.version().await?,
        verdict: installer.verdict().await?,
        detail: installer.detail().await?,
        installing: installer.installing().await?,
        progress: installer.progress().await?,
        restart_needed: installer.restart_needed().await?,
        slots: installer.slots().await?,
    };
    let outcome = match standing.verdict {
        UpdateVerdict::None | UpdateVerdict::OnTrial | UpdateVerdict::Good => Outcome::Done,
        UpdateVerdict::FellBack | UpdateVerdict::Interrupted => Outcome::BadNews,
    };
    if json {
        output::json(&standing)?;
        return Ok(outcome);
    }
    println!("version {} runs", standing.version);
    if standing.verdict != UpdateVerdict::None {
        let why = if standing.detail.is_empty() { String::new() } else { format!(": {}", standing.detail) };
        println!("the last update: {}{why}", standing.verdict);
    }
    if standing.installing {
        println!("one is being installed: {} %", standing.progress);
    }
    if standing.restart_needed {
        println!("another one is installed, and runs after `voltryctl update restart`");
    }
    if !standing.slots.is_empty() {
        let mut table = output::table(["SLOT", "RUNS", "CAN START", "VERSION"]);
        for slot in &standing.slots {
            let word = |is: bool| if is { "yes" } else { "no" };
            let version = if slot.version.is_empty() { "–" } else { &slot.version };
            table.add_row([&slot.name, word(slot.booted), word(slot.good), version]);
        }
        println!("{table}");
    }
    Ok(outcome)
}
