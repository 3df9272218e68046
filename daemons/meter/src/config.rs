//! The tables `[meter.LINE]` of `voltry.toml`.
//!
//! ```toml
//! [meter.grid]
//! port = { serial = "/dev/ttyUSB0", baud = 9600, parity = "even", stop_bits = 1 }
//!
//! [meter.grid.device.main]
//! kind = "energy-meter"
//! model = "abb-b23"
//! address = 1
//! ```
//!
//! A line's name is lower-case ASCII letters, digits and `_`, and begins with a letter. With its
//! first letter in upper case it ends the daemon's bus name: `[meter.grid]` is
//! `org.voltry.Meter.Grid`. A device's name is the last element of its object's path.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::names;
use voltry_service::config::duration_ms;
use voltry_service::{Binding, Config, ConfigError, Problem, Provision};

use crate::driver::Driver;
use crate::isocha425hv::{self, IsoCha425Hv};
use crate::line::Peer;
use crate::meter::ModbusMeter;
use crate::model::{Model, Parity, SerialSettings};
use crate::port::Port;
use crate::presence::Patience;
use crate::rn5893::{self, Rn5893};
use crate::task::Attached;

/// More devices than a line's addresses are worth polling once a second.
const DEVICES_MAX: usize = 32;

/// A value of insulation is missing after 5 s, and takes two looks at the update counter.
const INSULATION_PERIOD_MAX: Duration = Duration::from_secs(2);

/// Opening a port, waiting for silence and for an answer may each take as long, and systemd waits 3 s for a sign of life.
const TIMEOUT_WHY: &str = ": a daemon that waits for longer would be taken for one that hangs, and killed";

/// A line as configured, checked.
#[derive(Debug)]
pub struct Settings {
    /// The bus name to claim.
    pub bus_name: String,
    /// Where the line is.
    pub port: Port,
    /// What is on it.
    pub devices: Vec<Attached>,
    /// What each device is on the bus, in the same order.
    pub served: Vec<Served>,
}

/// A device as the bus shall see it, before it has said anything itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    /// The object's path.
    pub path: String,
    /// The maker.
    pub vendor: String,
    /// The model.
    pub model: String,
    /// Its role.
    pub role: Role,
}

/// The role of a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Role {
    /// `EnergyMeter1`.
    EnergyMeter {
        /// Watt-hours of one count.
        resolution: f64,
        /// Where its open transaction is remembered.
        transaction: PathBuf,
    },
    /// `InsulationMonitor1` and `VoltageMonitor1`.
    InsulationMonitor,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineTable {
    port: PortTable,
    /// Folders with register maps, the first that has a model wins.
    #[serde(default = "model_folders")]
    models: Vec<PathBuf>,
    /// Where open transactions are remembered.
    #[serde(default = "state_folder")]
    state: PathBuf,
    device: BTreeMap<String, DeviceTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortTable {
    /// A serial device, for Modbus RTU.
    serial: Option<PathBuf>,
    /// Bits a second; as the devices are delivered if not given.
    baud: Option<u32>,
    /// As the devices are delivered if not given.
    parity: Option<Parity>,
    /// 1 or 2; as the devices are delivered if not given.
    stop_bits: Option<u8>,
    /// `HOST:PORT`, for Modbus TCP.
    tcp: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceTable {
    kind: Kind,
    /// For an energy meter the name of its register map; for an insulation monitor `isocha425hv`
    /// or `rn5893`.
    model: String,
    /// 1 to 247; behind TCP also 255.
    address: u8,
    /// How often a meter is read, or a new measurement of an insulation monitor is looked for, ms.
    #[serde(default = "second", deserialize_with = "duration_ms", rename = "period_ms")]
    period: Duration,
    /// How long the device may take to answer, ms, up to a second. An insulation monitor that was quicker so far is asked anew sooner.
    #[serde(default = "timeout", deserialize_with = "duration_ms", rename = "timeout_ms")]
    timeout: Duration,
    /// The device is gone when so many answers in a row are missing.
    #[serde(default = "misses")]
    misses: u32,
    /// The longest wait before a silent device is tried again, ms.
    #[serde(default = "back_off", deserialize_with = "duration_ms", rename = "back_off_ms")]
    back_off: Duration,
    /// How an `isocha425hv` shall be set.
    #[serde(default)]
    insulation: Option<isocha425hv::Settings>,
    /// How an `rn5893` shall be set.
    #[serde(default)]
    rn5893: Option<rn5893::Settings>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    EnergyMeter,
    InsulationMonitor,
}

fn model_folders() -> Vec<PathBuf> {
    vec!["/etc/voltry/meters".into(), "/usr/lib/voltry/meters".into()]
}

fn state_folder() -> PathBuf {
    "/var/lib/voltry/meter".into()
}

const fn second() -> Duration {
    Duration::from_secs(1)
}

const fn timeout() -> Duration {
    Duration::from_millis(300)
}

const fn misses() -> u32 {
    3
}

const fn back_off() -> Duration {
    Duration::from_secs(5)
}

/// Reads and checks `[meter.LINE]`, and loads the register maps that it names.
///
/// # Errors
/// Everything that is wrong with the table or a map, with file and line.
pub fn configure(config: &Config, line: &str) -> Result<Provision<Settings>, ConfigError> {
    let table = format!("meter.{line}");
    let read: LineTable = config.load(&table)?;
    let mut check = Check { config, line, table: &read, problems: Vec::new(), serial: Vec::new() };
    let bus_name = check.bus_name();
    let (devices, served): (Vec<_>, Vec<_>) =
        read.device.iter().filter_map(|(name, device)| check.device(name, device)).unzip();
    check.addresses();
    check.own_line();
    check.no_other_reads_it();
    let port = check.port();
    match port {
        Some(port) if check.problems.is_empty() => {
            let objects = served.iter().filter_map(|served| Binding::new(&bus_name, &served.path).ok());
            Ok(Provision {
                objects: objects.collect(),
                settings: Settings { bus_name, port, devices, served },
            })
        }
        Some(_) | None => Err(ConfigError(check.problems)),
    }
}

struct Check<'a> {
    config: &'a Config,
    line: &'a str,
    table: &'a LineTable,
    problems: Vec<Problem>,
    /// Settings as the line's devices are delivered.
    serial: Vec<SerialSettings>,
}

impl Check<'_> {
    fn bus_name(&mut self) -> String {
        let mut letters = self.line.chars();
        let first = letters.next().unwrap_or_default();
        let good = first.is_ascii_lowercase()
            && self.line.len() <= 32
            && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !good {
            let text = "a line's name is at most 32 of a-z, 0-9 and _, and begins with a letter";
            self.problem("", text);
        }
        names::meter(&format!("{}{}", first.to_ascii_uppercase(), self.line.get(1..).unwrap_or_default()))
    }

    fn device(&mut self, name: &str, device: &DeviceTable) -> Option<(Attached, Served)> {
        let key = format!("device.{name}");
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.problem(&key, "a device's name is of letters, digits and _");
        }
        let whole_gateway = device.address == 255 && self.table.port.tcp.is_some();
        if !whole_gateway && !(1..=247).contains(&device.address) {
            self.problem(&format!("{key}.address"), "an address is 1 to 247, behind TCP also 255");
        }
        for (name, time, least, most, why) in [
            ("timeout_ms", device.timeout, 10, 1_000, TIMEOUT_WHY),
            ("period_ms", device.period, 100, 60_000, ""),
            ("back_off_ms", device.back_off, 100, 60_000, ""),
        ] {
            if !(least..=most).contains(&time.as_millis()) {
                self.problem(&format!("{key}.{name}"), format!("`{name}` is {least} to {most}{why}"));
            }
        }
        if !(1..=100).contains(&device.misses) {
            self.problem(&format!("{key}.misses"), "`misses` is 1 to 100");
        }
        let patience = Patience { misses: device.misses, back_off: device.back_off };
        let prompt = device.kind == Kind::InsulationMonitor;
        let peer = |pause| Peer { address: device.address, timeout: device.timeout, prompt, pause };
        let attached = |peer, driver| Attached { name: name.to_owned(), peer, driver };
        match device.kind {
            Kind::EnergyMeter => {
                let model = self.model(&key, device)?;
                let served = Served {
                    path: names::path("energy_meter", name),
                    vendor: model.vendor.clone(),
                    model: model.name.clone(),
                    role: Role::EnergyMeter {
                        resolution: model.resolution,
                        transaction: self.table.state.join(format!("{}-{name}.transaction", self.line)),
                    },
                };
                let peer = peer(model.pause);
                let driver = Driver::Meter(ModbusMeter::new(model, device.period, patience));
                Some((attached(peer, driver), served))
            }
            Kind::InsulationMonitor => {
                if device.period > INSULATION_PERIOD_MAX {
                    self.problem(
                        &format!("{key}.period_ms"),
                        "`period_ms` of an insulation monitor is 100 to 2000",
                    );
                }
                let (vendor, model, pause, driver) = self.monitor(&key, device, patience)?;
                let served = Served {
                    path: names::path("insulation_monitor", name),
                    vendor: vendor.into(),
                    model: model.into(),
                    role: Role::InsulationMonitor,
                };
                Some((attached(peer(pause), driver), served))
            }
        }
    }

    fn model(&mut self, key: &str, device: &DeviceTable) -> Option<Model> {
        if device.insulation.is_some() || device.rn5893.is_some() {
            let name = if device.insulation.is_some() { "insulation" } else { "rn5893" };
            self.problem(&format!("{key}.{name}"), "an energy meter has no insulation settings");
        }
        let good = !device.model.is_empty()
            && device.model.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !good {
            self.problem(&format!("{key}.model"), "a model is the name of a register map, without .toml");
            return None;
        }
        match Model::load(&device.model, &self.table.models) {
            Ok(model) => {
                self.serial.push(model.serial);
                Some(model)
            }
            Err(error) => {
                self.problem(&format!("{key}.model"), error.to_string());
                None
            }
        }
    }

    /// Maker, model, rest between requests and driver of an insulation monitor.
    fn monitor(
        &mut self,
        key: &str,
        device: &DeviceTable,
        patience: Patience,
    ) -> Option<(&'static str, &'static str, Duration, Driver)> {
        let (serial, wrong, others, made) = match device.model.as_str() {
            "isocha425hv" => {
                let settings = device.insulation.unwrap_or_default();
                let driver = Driver::IsoCha425Hv(IsoCha425Hv::new(settings, device.period, patience));
                let others = device.rn5893.is_some().then_some("rn5893");
                let made = ("Bender", "isoCHA425HV", isocha425hv::PAUSE, driver);
                (isocha425hv::SERIAL, settings.check().err().map(|text| ("insulation", text)), others, made)
            }
            "rn5893" => {
                let settings = device.rn5893.unwrap_or_default();
                let driver = Driver::Rn5893(Rn5893::new(settings, device.period, patience));
                let others = device.insulation.is_some().then_some("insulation");
                let made = ("Dold", "RN5893", rn5893::PAUSE, driver);
                (rn5893::SERIAL, settings.check().err().map(|text| ("rn5893", text)), others, made)
            }
            other => {
                let text = format!("no insulation monitor {other:?} is known; known are isocha425hv, rn5893");
                self.problem(&format!("{key}.model"), text);
                return None;
            }
        };
        self.serial.push(serial);
        if let Some((name, text)) = wrong {
            self.problem(&format!("{key}.{name}"), text);
        }
        if let Some(name) = others {
            self.problem(&format!("{key}.{name}"), format!("these are not settings of {}", made.1));
        }
        Some(made)
    }

    fn addresses(&mut self) {
        let devices = &self.table.device;
        if devices.is_empty() || devices.len() > DEVICES_MAX {
            self.problem("device", format!("a line has 1 to {DEVICES_MAX} devices"));
        }
        let mut taken: BTreeMap<u8, &str> = BTreeMap::new();
        for (name, device) in devices {
            if let Some(other) = taken.insert(device.address, name) {
                let text = format!("{name} and {other} have the same address {}", device.address);
                self.problem(&format!("device.{name}.address"), text);
            }
        }
    }

    /// An answer of another device that is lost costs the line longer than the cable's voltage may be missing.
    fn own_line(&mut self) {
        let devices = &self.table.device;
        for (name, device) in devices.iter().filter(|_| devices.len() > 1) {
            if device.kind == Kind::InsulationMonitor {
                let text = "an insulation monitor has a line of its own: one lost answer of another device would \
                            make the cable's voltage too old, and end a session";
                self.problem(&format!("device.{name}.kind"), text);
            }
        }
    }

    /// A monitor that two lines read would vouch for the insulation of two cables, and measures that of one.
    fn no_other_reads_it(&mut self) {
        let others = self.config.instances("meter").into_iter().filter(|other| other != self.line);
        for other in others.collect::<Vec<_>>() {
            let written = |key: &str| self.config.value(&format!("meter.{other}.{key}"));
            let same = |key: &str, ours: Option<&str>| {
                ours.is_some_and(|ours| written(key).is_some_and(|theirs| theirs.as_str() == Some(ours)))
            };
            let port = &self.table.port;
            let wire = port.serial.as_deref().and_then(std::path::Path::to_str);
            let (same_wire, same_host) = (same("port.serial", wire), same("port.tcp", port.tcp.as_deref()));
            let theirs = self.config.instances(&format!("meter.{other}.device"));
            let addresses = theirs.iter().map(|name| written(&format!("device.{name}.address")));
            // Several devices may be behind one gateway.
            let addresses: Vec<_> = addresses.flatten().filter(|_| same_host).collect();
            if same_wire {
                self.problem("port.serial", format!("[meter.{other}] has this line already"));
            }
            for (name, device) in &self.table.device {
                if addresses.contains(&i64::from(device.address).into()) {
                    let text = format!("[meter.{other}] reads this device already");
                    self.problem(&format!("device.{name}.address"), text);
                }
            }
        }
    }

    fn port(&mut self) -> Option<Port> {
        let port = &self.table.port;
        let settings = (port.baud, port.parity, port.stop_bits);
        match (&port.serial, &port.tcp) {
            (Some(device), None) => {
                Some(Port::Serial { device: device.clone(), settings: self.settings(settings)? })
            }
            (None, Some(address)) => {
                if settings != (None, None, None) {
                    self.problem("port", "baud, parity and stop_bits are for a serial port");
                }
                if !address.contains(':') {
                    self.problem("port.tcp", "HOST:PORT is wanted; the usual port is 502");
                }
                Some(Port::Tcp { address: address.clone() })
            }
            (Some(_), Some(_)) | (None, None) => {
                self.problem("port", "either `serial` or `tcp` is wanted");
                None
            }
        }
    }

    /// What is configured, and for the rest what all the devices agree on.
    fn settings(
        &mut self,
        (baud, parity, stop_bits): (Option<u32>, Option<Parity>, Option<u8>),
    ) -> Option<SerialSettings> {
        let first = self.serial.first().copied();
        let complete = baud.is_some() && parity.is_some() && stop_bits.is_some();
        if !complete && self.serial.iter().any(|other| Some(*other) != first) {
            self.problem(
                "port",
                "the devices are delivered with different serial settings: set them alike, and write \
                 baud, parity and stop_bits here",
            );
        }
        let delivered = first.unwrap_or(isocha425hv::SERIAL);
        let settings = SerialSettings {
            baud: baud.unwrap_or(delivered.baud),
            parity: parity.unwrap_or(delivered.parity),
            stop_bits: stop_bits.unwrap_or(delivered.stop_bits),
        };
        if let Err(text) = settings.check() {
            self.problem("port", text);
        }
        Some(settings)
    }

    fn problem(&mut self, key: &str, text: impl Into<String>) {
        let path = if key.is_empty() {
            format!("meter.{}", self.line)
        } else {
            format!("meter.{}.{key}", self.line)
        };
        self.problems.push(self.config.problem(&path, text));
    }
}

#[cfg(test)]
mod tests;
