//! `org.voltry.Device1`, which stands beside every provided role: what a device is, what is wrong with
//! it, and its variables as OCPP's device model has them.

use std::time::Duration;

use tokio::sync::watch;
use voltry_bus::{Component, DeviceVariable, Fault, Part};
use zbus::object_server::InterfaceRef;
use zbus::{Connection, interface};

use crate::{FaultLog, Settings};

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
pub struct Device {
    state: watch::Sender<State>,
    variables: watch::Sender<Variables>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    identity: Identity,
    online: bool,
    faults: Vec<Fault>,
    component: Component,
    parts: Vec<Part>,
}

/// Variables that are measured, and those that the daemon's settings are.
#[derive(Debug, Clone, Default, PartialEq)]
struct Variables {
    measured: Vec<DeviceVariable>,
    settings: Vec<DeviceVariable>,
}

impl Device {
    /// Properties change at most ten times a second.
    const CHANGE_INTERVAL: Duration = Duration::from_millis(100);
    /// Variables change at most once a second.
    const VARIABLES_INTERVAL: Duration = Duration::from_secs(1);
    /// No more variables than this; the first ones count.
    pub const VARIABLES_MAX: usize = 256;
    /// No more parts than this.
    pub const PARTS_MAX: usize = 32;

    /// Serves `Device1` at `path`: offline and without faults, until told otherwise.
    ///
    /// # Errors
    /// If the path is none.
    pub async fn serve(connection: &Connection, path: &str, identity: Identity) -> zbus::Result<Self> {
        let (sender, state) = watch::channel(State { identity, ..State::default() });
        let (variables_to, variables) = watch::channel(Variables::default());
        let device = Device1 { state: state.clone(), variables: variables.clone() };
        connection.object_server().at(path, device).await?;
        let served = connection.object_server().interface::<_, Device1>(path).await?;
        tokio::spawn(tell_changes(served.clone(), state));
        tokio::spawn(tell_variables(served, variables));
        Ok(Self { state: sender, variables: variables_to })
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

    /// Which part of the station it is.
    pub fn set_component(&self, component: Component) {
        self.update(|state| state.component = component);
    }

    /// What it is made of.
    pub fn set_parts(&self, mut parts: Vec<Part>) {
        parts.truncate(Self::PARTS_MAX);
        self.update(|state| state.parts = parts);
    }

    /// What it measures and is limited to.
    pub fn set_variables(&self, measured: Vec<DeviceVariable>) {
        self.variables.send_if_modified(|variables| {
            let changed = variables.measured != measured;
            variables.measured = measured;
            changed
        });
    }

    /// Tells those settings that are variables of OCPP, and their values from now on. `Settings1` is
    /// served at the same path.
    pub fn show_settings(&self, mut settings: Settings) {
        let variables = self.variables.clone();
        tokio::spawn(async move {
            loop {
                let now = settings.variables();
                variables.send_if_modified(|known| {
                    let changed = known.settings != now;
                    known.settings = now;
                    changed
                });
                tokio::select! {
                    () = settings.changed() => {}
                    () = variables.closed() => return,
                }
            }
        });
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        self.state.send_if_modified(|state| {
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
    if before.component != now.component {
        device.component_changed(emitter).await?;
    }
    if before.parts != now.parts {
        device.parts_changed(emitter).await?;
    }
    Ok(())
}

async fn tell_variables(served: InterfaceRef<Device1>, mut variables: watch::Receiver<Variables>) {
    while variables.changed().await.is_ok() {
        variables.mark_unchanged();
        let device = Device1::clone(&*served.get().await);
        if device.variables_invalidate(served.signal_emitter()).await.is_err() {
            return;
        }
        tokio::time::sleep(Device::VARIABLES_INTERVAL).await;
    }
}

#[derive(Debug, Clone)]
struct Device1 {
    state: watch::Receiver<State>,
    variables: watch::Receiver<Variables>,
}

#[interface(name = "org.voltry.Device1")]
impl Device1 {
    #[zbus(property)]
    fn vendor(&self) -> String {
        self.state.borrow().identity.vendor.clone()
    }

    #[zbus(property)]
    fn model(&self) -> String {
        self.state.borrow().identity.model.clone()
    }

    #[zbus(property)]
    fn serial(&self) -> String {
        self.state.borrow().identity.serial.clone()
    }

    #[zbus(property)]
    fn firmware(&self) -> String {
        self.state.borrow().identity.firmware.clone()
    }

    #[zbus(property)]
    fn online(&self) -> bool {
        self.state.borrow().online
    }

    #[zbus(property)]
    fn faults(&self) -> Vec<Fault> {
        self.state.borrow().faults.clone()
    }

    #[zbus(property)]
    fn component(&self) -> Component {
        self.state.borrow().component.clone()
    }

    #[zbus(property)]
    fn parts(&self) -> Vec<Part> {
        self.state.borrow().parts.clone()
    }

    #[zbus(property(emits_changed_signal = "invalidates"))]
    fn variables(&self) -> Vec<DeviceVariable> {
        let variables = self.variables.borrow();
        let all = variables.settings.iter().chain(&variables.measured);
        all.take(Device::VARIABLES_MAX).cloned().collect()
    }
}
