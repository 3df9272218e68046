//! A machine of two slots: its bus, a RAUC and a station that the test plays, and the daemon.
#![allow(clippy::unwrap_used, reason = "a test's rig")]
#![allow(clippy::unused_self, clippy::needless_pass_by_value, reason = "the bus wants them so")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use voltry_bus::{Connector, EvseStatus, Update1Proxy, names};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedVariant, interface};

use crate::private_bus::{Bus, Process};

const RAUC: &str = "de.pengutronix.rauc";
const COMPATIBLE: &str = "Voltry Test";

/// What RAUC knows.
#[derive(Debug)]
pub(crate) struct Slots {
    booted: usize,
    /// Which one comes next.
    primary: usize,
    good: [bool; 2],
    pub(crate) versions: [String; 2],
    /// What the boot loader was told.
    pub(crate) marked: Vec<String>,
}

impl Slots {
    pub(crate) fn new() -> Arc<Mutex<Self>> {
        let versions = ["1.0".to_owned(), String::new()];
        Arc::new(Mutex::new(Self { booted: 0, primary: 0, good: [true; 2], versions, marked: Vec::new() }))
    }
}

/// It believes a bundle by its name, which is its version.
pub(crate) struct Rauc(pub(crate) Arc<Mutex<Slots>>);

#[interface(name = "de.pengutronix.rauc.Installer")]
impl Rauc {
    #[zbus(out_args("compatible", "version"))]
    fn info(&self, bundle: &str) -> zbus::fdo::Result<(String, String)> {
        match bundle.rsplit('/').next() {
            Some(version) if version.starts_with(char::is_numeric) => {
                Ok((COMPATIBLE.to_owned(), version.to_owned()))
            }
            Some(_) | None => Err(zbus::fdo::Error::Failed("rauc info error".to_owned())),
        }
    }

    fn install_bundle(
        &self,
        source: String,
        _args: HashMap<String, OwnedVariant>,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) {
        let (slots, emitter) = (Arc::clone(&self.0), emitter.into_owned());
        tokio::spawn(async move {
            let damaged = {
                let mut slots = slots.lock().unwrap();
                let target = 1 - slots.booted;
                let version = source.rsplit('/').next().unwrap_or_default().to_owned();
                let damaged = version.contains("damaged");
                slots.good[target] = !damaged;
                slots.versions[target] = version;
                slots.primary = if damaged { slots.booted } else { target };
                damaged
            };
            Self::completed(&emitter, i32::from(damaged)).await.unwrap();
        });
    }

    #[zbus(out_args("slot_name", "message"))]
    fn mark(&self, state: &str, slot_identifier: &str) -> (String, String) {
        let mut slots = self.0.lock().unwrap();
        let slot = match slot_identifier {
            "booted" => slots.booted,
            name => usize::from(name == "rootfs.1"),
        };
        slots.good[slot] = state == "good";
        if state == "bad" {
            slots.primary = 1 - slot;
        }
        slots.marked.push(format!("{state} {slot}"));
        (format!("rootfs.{slot}"), format!("marked {state}"))
    }

    fn get_slot_status(&self) -> Vec<(String, HashMap<String, OwnedVariant>)> {
        let slots = self.0.lock().unwrap();
        let slot = |number: usize| {
            let state = if number == slots.booted { "booted" } else { "inactive" };
            let good = if slots.good[number] { "good" } else { "bad" };
            let version = slots.versions[number].as_str();
            let of =
                [("bootname", "A"), ("state", state), ("boot-status", good), ("bundle.version", version)];
            let text = |text: &str| OwnedVariant::from(zbus::Str::from(text.to_owned()));
            let all = of.into_iter().map(|(key, of)| (key.to_owned(), text(of))).collect();
            (format!("rootfs.{number}"), all)
        };
        vec![slot(1), slot(0)]
    }

    fn get_primary(&self) -> String {
        format!("rootfs.{}", self.0.lock().unwrap().primary)
    }

    #[zbus(signal)]
    async fn completed(emitter: &SignalEmitter<'_>, result: i32) -> zbus::Result<()>;

    #[zbus(property)]
    fn operation(&self) -> &str {
        "idle"
    }

    #[zbus(property)]
    fn last_error(&self) -> &str {
        "Failed to verify signature"
    }

    #[zbus(property)]
    fn progress(&self) -> (i32, String, i32) {
        (40, "Updating slots".to_owned(), 1)
    }

    #[zbus(property)]
    fn compatible(&self) -> &str {
        COMPATIBLE
    }
}

/// A station of one EVSE: its state, and its connector's use.
#[derive(Clone)]
pub(crate) struct Station(Arc<Mutex<(&'static str, &'static str)>>);

impl Station {
    pub(crate) fn is(&self, state: &'static str, used: &'static str) {
        *self.0.lock().unwrap() = (state, used);
    }
}

#[interface(name = "org.voltry.Station1")]
impl Station {
    #[zbus(property)]
    fn evses(&self) -> Vec<EvseStatus> {
        vec![EvseStatus {
            evse: 1,
            state: self.0.lock().unwrap().0.to_owned(),
            available: true,
            authorized: false,
            voltage: 0.0,
            current: 0.0,
            share: 0.0,
            energy: 0.0,
            soc: -1.0,
            transaction: 0,
            faults: Vec::new(),
        }]
    }

    #[zbus(property)]
    fn connectors(&self) -> Vec<Connector> {
        vec![Connector {
            evse: 1,
            state: self.0.lock().unwrap().1.to_owned(),
            since: 0,
            transaction: 0,
            reservation: String::new(),
            limit: 0.0,
            limit_origin: "hardware".to_owned(),
        }]
    }
}

pub(crate) struct Rig {
    bus: Bus,
    folder: tempfile::TempDir,
    pub(crate) slots: Arc<Mutex<Slots>>,
    pub(crate) station: Station,
    _peers: [Connection; 2],
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let (bus, folder, slots) = (Bus::start(), tempfile::tempdir().unwrap(), Slots::new());
        let station = Station(Arc::new(Mutex::new(("available", "available"))));
        let rauc = voltry_service::connect(Some(&bus.address)).await.unwrap();
        rauc.object_server().at("/", Rauc(Arc::clone(&slots))).await.unwrap();
        rauc.request_name(RAUC).await.unwrap();
        let other = voltry_service::connect(Some(&bus.address)).await.unwrap();
        other.object_server().at(names::STATION_PATH, station.clone()).await.unwrap();
        other.request_name(names::STATION).await.unwrap();
        Self { bus, folder, slots, station, _peers: [rauc, other] }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The bus takes a moment to notice that a daemon was killed.
    async fn until_nobody_updates(&self) {
        let connection = self.bus.connect().await;
        let bus = zbus::fdo::DBusProxy::new(&connection).await.unwrap();
        while bus.name_has_owner(names::UPDATE.try_into().unwrap()).await.unwrap() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// The machine starts from the slot that comes next; the daemon of its last start must be gone.
    pub(crate) async fn boot(&self, settings: &str) -> (Process, Update1Proxy<'static>) {
        let version = {
            let mut slots = self.slots.lock().unwrap();
            slots.booted = slots.primary;
            slots.versions[slots.booted].clone()
        };
        self.until_nobody_updates().await;
        // Another boot has another id.
        if let Ok(text) = std::fs::read_to_string(self.path("state.json")) {
            let mut state: serde_json::Value = serde_json::from_str(&text).unwrap();
            if let Some(boot) = state.pointer_mut("/pending/boot") {
                *boot = "an earlier one".into();
                std::fs::write(self.path("state.json"), state.to_string()).unwrap();
            }
        }
        // It may not be there.
        let _ = std::fs::remove_file(self.path("restart"));
        std::fs::write(self.path("os-release"), format!("IMAGE_VERSION={version}\n")).unwrap();
        let file = |key: &str, name: &str| format!("{key}_file = '{}'\n", self.path(name).display());
        let files =
            file("version", "os-release") + &file("state", "state.json") + &file("restart", "restart");
        std::fs::write(self.path("voltry.toml"), format!("[update]\n{settings}\n{files}")).unwrap();
        let daemon = Command::new(env!("CARGO_BIN_EXE_voltry-update"))
            .args(["--bus", &self.bus.address, "--config"])
            .arg(self.path("voltry.toml"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Process(daemon);
        let connection = self.bus.connect_to(names::UPDATE).await;
        let update = Update1Proxy::builder(&connection)
            .destination(names::UPDATE)
            .path(names::UPDATE_PATH)
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .unwrap();
        (daemon, update)
    }
}
