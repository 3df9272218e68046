//! What the uplink knows when it begins: the store, the configuration, the firmware, the last start.

use std::time::Duration;

use tracing::warn;

use crate::certificates::Folder;
use crate::config::{Settings, Version};
use crate::connection::{Encoding, Profile};
use crate::model::{self, Variables, name};
use crate::networks::{self, LAST_GOOD, Ways};
use crate::random;
use crate::security::SecurityEvent;
use crate::station::Station;
use crate::store::Store;
use crate::transfer::Installer;
use crate::uplink::{Known, Networks, Uplink};

/// How long whoever installs firmware may take to be there after a restart for an update.
const AFTER_UPDATE: Duration = Duration::from_secs(20);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// The version of the firmware that runs: the image's, or where nobody knows of one, ours.
pub(super) async fn firmware(installer: &Installer, restarting: bool) -> String {
    let patience = if restarting { AFTER_UPDATE } else { Duration::from_secs(1) };
    let asked = async {
        loop {
            match installer.version().await {
                Some(version) => return version,
                // The CSMS is to hear of the version that was installed, not of the one before.
                None if restarting => tokio::time::sleep(ASK_AGAIN).await,
                None => return env!("CARGO_PKG_VERSION").to_owned(),
            }
        }
    };
    let version = tokio::time::timeout(patience, asked).await;
    version.unwrap_or_else(|_| env!("CARGO_PKG_VERSION").to_owned())
}

/// The store is borrowed for nobody else: what runs as a task may share no connection to SQLite.
pub(super) async fn uplink(
    store: &mut Store,
    settings: &Settings,
    version: Version,
    firmware: &str,
    station: &Station,
    folder: &Folder,
) -> anyhow::Result<Uplink> {
    let progress = match store.progress()? {
        Some(progress) => progress,
        // A store that was lost: the book remembers how far the CSMS had it.
        None => crate::uplink::Progress {
            acknowledged: station.acknowledged().await.unwrap_or(0),
            ..crate::uplink::Progress::default()
        },
    };
    let transactions_prefix = match store.kept("transactions_prefix")? {
        Some(prefix) => prefix,
        None => {
            let prefix = random(4);
            store.keep("transactions_prefix", &prefix)?;
            prefix
        }
    };
    let mut variables = Variables::new(store.variables()?);
    for (variable, value) in &settings.variables {
        if let Some(definition) = model::find_named(variable) {
            variables.make(definition.name, value.clone());
        }
    }
    for (variable, value) in [
        (name::PING_INTERVAL, settings.web_socket_ping_interval_s),
        (name::WAIT_MINIMUM, settings.retry_back_off_wait_minimum_s),
        (name::RANDOM_RANGE, settings.retry_back_off_random_range_s),
        (name::REPEAT_TIMES, settings.retry_back_off_repeat_times),
        (name::CONNECT_ATTEMPTS, settings.network_profile_connection_attempts),
    ] {
        variables.make(variable, value.to_string());
    }
    variables.make(name::VENDOR, settings.vendor.clone());
    variables.make(name::MODEL, settings.model.clone());
    variables.make(name::SERIAL, settings.serial_number.clone());
    variables.make(name::FIRMWARE, firmware.to_owned());
    variables.make(name::IDENTITY, settings.identity.clone());
    let slots: Vec<String> = settings.networks().keys().map(ToString::to_string).collect();
    variables.make(name::NETWORK_PRIORITY, slots.join(","));
    variables.make(name::ADDITIONAL_ROOT_CHECK, settings.additional_root_certificate_check.to_string());
    let networks = Networks {
        known: networks::known(settings, store)?,
        active: LAST_GOOD,
        connected: None,
        password: !variables.get(name::PASSWORD).is_empty() || settings.has_password(),
        hexadecimal: settings.encoding() == Encoding::Hex,
        certificates: folder.summary(),
    };
    let (events, event_number) = store.events()?;
    Ok(Uplink::new(Known {
        version,
        progress,
        variables,
        tokens: store.tokens()?,
        profiles: store.profiles()?,
        files: store.files()?,
        display: store.display()?,
        held: store.held()?,
        monitors: store.monitors()?,
        events,
        event_number,
        // Checked when the configuration was read.
        supply: settings.amperes.supply().unwrap_or_default(),
        networks,
        journal: store.journal()?,
        boot_reason: store.kept("boot_reason")?.unwrap_or_else(|| "PowerUp".to_owned()),
        prefix: random(8),
        transactions_prefix,
    }))
}

/// What is to be told if the machine was started anew, or by another version; each is kept, and told once.
fn began_anew(store: &Store, boot: &str, firmware: &str) -> anyhow::Result<Vec<(SecurityEvent, String)>> {
    let mut events = Vec::new();
    if store.kept("boot")?.as_deref() != Some(boot) {
        store.keep("boot", boot)?;
        let info = format!("voltry {}", env!("CARGO_PKG_VERSION"));
        events.push((SecurityEvent::StartupOfTheDevice, info));
    }
    let last = store.kept("firmware")?;
    if last.as_deref() != Some(firmware) {
        store.keep("firmware", firmware)?;
        // A store that is new knows of no version before.
        if let Some(last) = last {
            events.push((SecurityEvent::FirmwareUpdated, format!("{last} to {firmware}")));
        }
    }
    Ok(events)
}

/// What concerns security and happened while this daemon did not run.
pub(super) async fn since_last_start(
    store: &mut Store,
    station: &Station,
    firmware: &str,
) -> anyhow::Result<Vec<(SecurityEvent, String)>> {
    let mut events = began_anew(store, station.boot(), firmware)?;
    // The store is where the log is; the book remembers that there was one.
    if store.progress()?.is_none() && station.acknowledged().await.is_some_and(|number| number > 0) {
        let info = "the uplink's store is new, although the CSMS has a part of the book".to_owned();
        events.push((SecurityEvent::SecurityLogWasCleared, info));
    }
    Ok(events)
}

/// The ways to the CSMS as the connection goes them, and which is good. Where the CSMS left none that
/// can be gone, those that are configured.
pub(super) fn profiles(
    settings: &Settings,
    ways: &Ways,
    folder: &Folder,
) -> anyhow::Result<(Vec<Profile>, Option<Profile>)> {
    let (profiles, good) = ways.profiles(settings, folder);
    if profiles.is_empty() {
        warn!("what the CSMS set leads nowhere; as it is configured, then");
        let configured = settings.profiles().map_err(|_| anyhow::anyhow!("the profiles were checked"))?;
        return Ok((configured, good));
    }
    Ok((profiles, good))
}
