//! A bus of our own, the daemon on it, and a device on a pseudo-terminal.

use std::collections::BTreeMap;
use std::future::{Future, Ready, ready};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio_modbus::server::{Service, rtu};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};
use tokio_serial::{SerialPort as _, SerialStream};
use zbus::Connection;
use zbus::fdo::DBusProxy;

pub(crate) use crate::private_bus::Bus;

/// Until the name has an owner.
pub(crate) async fn wait_for(connection: &Connection, name: &str) {
    wait(connection, name, true).await;
}

/// Until the name has none.
pub(crate) async fn wait_for_end(connection: &Connection, name: &str) {
    wait(connection, name, false).await;
}

async fn wait(connection: &Connection, name: &str, owned: bool) {
    let bus = DBusProxy::new(connection).await.unwrap();
    let mut changes = bus.receive_name_owner_changed().await.unwrap();
    while bus.name_has_owner(name.try_into().unwrap()).await.unwrap() != owned {
        soon(changes.next()).await;
    }
}

/// A running voltry-meter; killed, not asked to end, when dropped.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(bus: &Bus, line: &str, config: &str, folder: &Path) -> Self {
        let file = folder.join("voltry.toml");
        std::fs::write(&file, config).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_voltry-meter"))
            .arg(line)
            .arg("--config")
            .arg(&file)
            .args(["--bus", &bus.address])
            .spawn()
            .unwrap();
        Self(process)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A device on a serial line. Its update counter moves whenever it is looked at, and a self-test
/// lasts three looks at the insulation.
pub(crate) struct Wire {
    /// The daemon's end.
    pub(crate) path: String,
    registers: Arc<Mutex<Registers>>,
    // Held open: a pseudo-terminal without a slave is a dead line.
    _slave: std::fs::File,
}

#[derive(Debug, Default)]
struct Registers {
    words: BTreeMap<u16, u16>,
    silent: bool,
    counts: u16,
    testing: u16,
}

impl Wire {
    pub(crate) fn new() -> Self {
        let (master, mut slave) = SerialStream::pair().unwrap();
        slave.set_exclusive(false).unwrap();
        let path = slave.name().unwrap();
        // Held as a plain file: a serial stream locks the port against the daemon.
        let held = std::fs::File::open(&path).unwrap();
        drop(slave);
        let registers = Arc::new(Mutex::new(Registers::default()));
        tokio::spawn(rtu::Server::new(master).serve_forever(Device(Arc::clone(&registers))));
        Self { path, registers, _slave: held }
    }

    pub(crate) fn set(&self, address: u16, words: &[u16]) {
        self.registers.lock().unwrap().words.extend((address..).zip(words.iter().copied()));
    }

    pub(crate) fn get(&self, address: u16) -> u16 {
        self.registers.lock().unwrap().words.get(&address).copied().unwrap_or(0)
    }

    pub(crate) fn silence(&self, silent: bool) {
        self.registers.lock().unwrap().silent = silent;
    }
}

struct Device(Arc<Mutex<Registers>>);

impl Service for Device {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Self::Response, Self::Exception>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let mut registers = self.0.lock().unwrap();
        ready(match request.request {
            _ if registers.silent => Ok(None),
            Request::ReadHoldingRegisters(address, count) => Ok(Some(registers.read(address, count))),
            Request::WriteMultipleRegisters(address, words) => {
                if address == 8005 {
                    registers.testing = 3;
                }
                registers.words.extend((address..).zip(words.iter().copied()));
                let count = u16::try_from(words.len()).unwrap();
                Ok(Some(Response::WriteMultipleRegisters(address, count)))
            }
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

impl Registers {
    fn read(&mut self, address: u16, count: u16) -> Response {
        if address == 1032 {
            self.counts += 1;
            self.words.insert(1033, self.counts);
        }
        if address == 1000 {
            self.words.insert(1002, if self.testing > 0 { 0x8002 } else { 2 });
            self.testing = self.testing.saturating_sub(1);
        }
        let all = address..address + count;
        let words = all.map(|register| self.words.get(&register).copied().unwrap_or(0));
        Response::ReadHoldingRegisters(words.collect())
    }
}

/// What does not happen within 10 s does not happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it happens within 10 s")
}
