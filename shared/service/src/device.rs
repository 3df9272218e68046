//! `org.voltry.Device1`, which stands beside every provided role.

use std::time::Duration;

use tokio::sync::watch;
use voltry_bus::Fault;
use zbus::object_server::InterfaceRef;
use zbus::{Connection, interface};

use crate::FaultLog;

/// Who made the device; empty where it does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Maker.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware version, as the device writes it.
    pub firmware: String,
}

/// A served `Device1`. Clones speak for the same object; it is served as long as one lives.
#[derive(Debug, Clone)]
pub struct Device(watch::Sender<State>);

#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    identity: Identity,
    online: bool,
    faults: Vec<Fault>,
}

impl Device {
    /// Properties change at most ten times a second.
    const CHANGE_INTERVAL: Duration = Duration::from_millis(100);

    /// Serves `Device1` at `path`: offline and without faults, until told otherwise.
    ///
    /// # Errors
    /// If the path is none.
    pub async fn serve(connection: &Connection, path: &str, identity: Identity) -> zbus::Result<Self> {
        let (sender, state) = watch::channel(State { identity, ..State::default() });
        connection.object_server().at(path, Device1(state.clone())).await?;
        let served = connection.object_server().interface::<_, Device1>(path).await?;
        tokio::spawn(tell_changes(served, state));
        Ok(Self(sender))
    }

    /// Whether the device answers.
    pub fn set_online(&self, online: bool) {
        self.update(|state| state.online = online);
    }

    /// What the device says of itself, once it has said it.
    pub fn set_identity(&self, identity: Identity) {
        self.update(|state| state.identity = identity);
    }

    /// The faults present or latched.
    pub fn set_faults(&self, faults: &FaultLog) {
        self.update(|state| state.faults = faults.to_wire());
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        self.0.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }
}

async fn tell_changes(served: InterfaceRef<Device1>, mut state: watch::Receiver<State>) {
    let mut told = state.borrow_and_update().clone();
    while state.changed().await.is_ok() {
        let now = state.borrow_and_update().clone();
        if tell(&served, &told, &now).await.is_err() {
            // The bus is gone, and with it whoever listened.
            return;
        }
        told = now;
        tokio::time::sleep(Device::CHANGE_INTERVAL).await;
    }
}

async fn tell(served: &InterfaceRef<Device1>, before: &State, now: &State) -> zbus::Result<()> {
    let emitter = served.signal_emitter();
    let device = Device1::clone(&*served.get().await);
    if before.identity != now.identity {
        device.vendor_changed(emitter).await?;
        device.model_changed(emitter).await?;
        device.serial_changed(emitter).await?;
        device.firmware_changed(emitter).await?;
    }
    if before.online != now.online {
        device.online_changed(emitter).await?;
    }
    if before.faults != now.faults {
        device.faults_changed(emitter).await?;
    }
    Ok(())
}

#[derive(Debug, Clone)]
struct Device1(watch::Receiver<State>);

#[interface(name = "org.voltry.Device1")]
impl Device1 {
    #[zbus(property)]
    fn vendor(&self) -> String {
        self.0.borrow().identity.vendor.clone()
    }

    #[zbus(property)]
    fn model(&self) -> String {
        self.0.borrow().identity.model.clone()
    }

    #[zbus(property)]
    fn serial(&self) -> String {
        self.0.borrow().identity.serial.clone()
    }

    #[zbus(property)]
    fn firmware(&self) -> String {
        self.0.borrow().identity.firmware.clone()
    }

    #[zbus(property)]
    fn online(&self) -> bool {
        self.0.borrow().online
    }

    #[zbus(property)]
    fn faults(&self) -> Vec<Fault> {
        self.0.borrow().faults.clone()
    }
}
