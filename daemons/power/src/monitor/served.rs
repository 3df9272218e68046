//! A monitor on D-Bus: `InsulationMonitor1`, `Device1` and, where its voltage has a known age,
//! `VoltageMonitor1`, at one path.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use voltry_bus::{Component, DeviceVariable, Error, InsulationReading, SelfTestResult, VoltageReading};
use voltry_service::{Device, FaultLog, Identity, RateLimit, Refusals, clock};
use voltry_units::{Ohms, Timestamp, Volts};
use zbus::object_server::{InterfaceRef, SignalEmitter};
use zbus::{Connection, interface};

use super::config::path;
use super::{Denied, Event, Monitor, Order};

/// Lines of log a minute about one monitor, however it comes and goes.
const LINES_A_MINUTE: u32 = 20;

/// An order on its way to the driver, and where its answer goes.
pub(super) type Placed = (Order, oneshot::Sender<Result<(), Denied>>);

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unavailable(text) => Self::Unavailable(text),
            Denied::Refused(text) => Self::Refused(text),
            Denied::Busy => Self::Busy(denied.to_string()),
        }
    }
}

/// A served monitor.
pub(super) struct Served {
    path: String,
    identity: Identity,
    component: Component,
    monitor: InterfaceRef<InsulationMonitor1>,
    voltmeter: Option<InterfaceRef<VoltageMonitor1>>,
    device: Device,
    active: watch::Sender<bool>,
    faults: FaultLog,
    measured: Vec<DeviceVariable>,
    insulations: u64,
    voltages: u64,
    changes: RateLimit,
    bad_input: RateLimit,
}

impl Served {
    pub(super) async fn serve(
        connection: &Connection,
        name: &str,
        monitor: &Monitor,
        orders: mpsc::Sender<Placed>,
    ) -> zbus::Result<Self> {
        let path = path(name);
        let (vendor, model) = monitor.identity();
        let identity = Identity { vendor: vendor.into(), model: model.into(), ..Identity::default() };
        let active = watch::Sender::new(false);
        let server = connection.object_server();
        let refusals = Arc::new(Refusals::new());
        server.at(&*path, InsulationMonitor1 { orders, active: active.subscribe(), refusals }).await?;
        let voltmeter = if monitor.measures_voltage() {
            server.at(&*path, VoltageMonitor1).await?;
            Some(server.interface(&*path).await?)
        } else {
            None
        };
        let device = Device::serve(connection, &path, identity.clone()).await?;
        let component = Component::new("GroundIsolationProtection").instance(name);
        device.set_component(component.clone());
        Ok(Self {
            monitor: server.interface(&*path).await?,
            path,
            identity,
            component,
            voltmeter,
            device,
            active,
            faults: FaultLog::new(),
            measured: Vec::new(),
            insulations: 0,
            voltages: 0,
            changes: RateLimit::allowing(LINES_A_MINUTE),
            bad_input: RateLimit::new(),
        })
    }

    /// Tells the bus what the device tells.
    pub(super) async fn tell(&mut self, event: Event) -> zbus::Result<()> {
        let now = clock::now();
        match event {
            Event::Online(online) => {
                match self.changes.count(now) {
                    Some(count) if online => tracing::info!(object = self.path, count, "online"),
                    Some(count) => {
                        tracing::warn!(object = self.path, count, "the device does not answer any more");
                    }
                    None => {}
                }
                self.device.set_online(online);
            }
            Event::Identified { model, firmware } => {
                if !model.is_empty() {
                    self.identity.model = model;
                }
                self.identity.firmware = firmware;
                self.device.set_identity(self.identity.clone());
            }
            Event::Insulation { resistance, valid, counter, at } => {
                self.insulation(resistance, valid, counter, at).await?;
            }
            Event::Voltage(voltage, at) => self.voltage(voltage, at).await?,
            Event::Active(active) => {
                if self.active.send_replace(active) != active {
                    let monitor = self.monitor.get().await;
                    monitor.active_changed(self.monitor.signal_emitter()).await?;
                }
                self.measure(DeviceVariable::boolean(&self.component, "Active", active));
            }
            Event::SelfTestFinished { passed, detail, at } => {
                if let Some(count) = self.changes.count(now) {
                    tracing::info!(object = self.path, passed, detail, count, "self-test finished");
                }
                let result = SelfTestResult { passed, detail, at: at.as_micros() };
                InsulationMonitor1::self_test_finished(self.monitor.signal_emitter(), result).await?;
            }
            Event::Fault { code, cause } => {
                if self.faults.raise(code, cause.clone(), now) {
                    if let Some(count) = self.changes.count(now) {
                        tracing::warn!(object = self.path, code, cause, count, "fault");
                    }
                    self.device.set_faults(&self.faults);
                }
            }
            Event::FaultGone(code) => {
                if self.faults.remove(code) {
                    if let Some(count) = self.changes.count(now) {
                        tracing::info!(object = self.path, code, count, "fault gone");
                    }
                    self.device.set_faults(&self.faults);
                }
            }
            Event::BadInput(cause) => {
                if let Some(times) = self.bad_input.count(now) {
                    tracing::warn!(object = self.path, times, cause, "no good answer");
                }
            }
            Event::Settled(..) => tracing::error!(object = self.path, "an event that is not for the bus"),
        }
        Ok(())
    }

    async fn insulation(
        &mut self,
        resistance: Ohms,
        valid: bool,
        counter: u64,
        at: Timestamp,
    ) -> zbus::Result<()> {
        self.insulations += 1;
        let reading = InsulationReading {
            sequence: self.insulations,
            resistance: resistance.as_si(),
            valid,
            counter,
            at: at.as_micros(),
        };
        InsulationMonitor1::insulation(self.monitor.signal_emitter(), reading).await?;
        let known = valid.then_some(resistance.as_si());
        self.measure(DeviceVariable::decimal(&self.component, "Impedance", "Ohm", known));
        Ok(())
    }

    async fn voltage(&mut self, voltage: Volts, at: Timestamp) -> zbus::Result<()> {
        let Some(voltmeter) = &self.voltmeter else { return Ok(()) };
        self.voltages += 1;
        let reading =
            VoltageReading { sequence: self.voltages, voltage: voltage.as_si(), at: at.as_micros() };
        VoltageMonitor1::voltage(voltmeter.signal_emitter(), reading).await?;
        self.measure(DeviceVariable::decimal(&self.component, "DCVoltage", "V", Some(voltage.as_si())));
        Ok(())
    }

    fn measure(&mut self, variable: DeviceVariable) {
        match self.measured.iter_mut().find(|known| known.name == variable.name) {
            Some(known) => *known = variable,
            None => self.measured.push(variable),
        }
        self.device.set_variables(self.measured.clone());
    }
}

struct InsulationMonitor1 {
    orders: mpsc::Sender<Placed>,
    active: watch::Receiver<bool>,
    refusals: Arc<Refusals>,
}

impl InsulationMonitor1 {
    async fn place(&self, method: &'static str, order: Order) -> Result<(), Error> {
        let (settled, result) = oneshot::channel();
        let verdict = match self.orders.try_send((order, settled)) {
            Ok(()) => result.await.unwrap_or_else(|_| Err(Denied::Unavailable("the bus has ended".into()))),
            Err(_) => Err(Denied::Busy),
        };
        Ok(self.refusals.note(method, verdict)?)
    }
}

#[interface(name = "org.voltry.InsulationMonitor1")]
impl InsulationMonitor1 {
    #[zbus(signal)]
    async fn insulation(emitter: &SignalEmitter<'_>, reading: InsulationReading) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn self_test_finished(emitter: &SignalEmitter<'_>, result: SelfTestResult) -> zbus::Result<()>;

    async fn set_active(&self, active: bool) -> Result<(), Error> {
        self.place("SetActive", Order::SetActive(active)).await
    }

    async fn start_self_test(&self) -> Result<(), Error> {
        self.place("StartSelfTest", Order::StartSelfTest).await
    }

    #[zbus(property)]
    fn active(&self) -> bool {
        *self.active.borrow()
    }
}

struct VoltageMonitor1;

#[interface(name = "org.voltry.VoltageMonitor1")]
impl VoltageMonitor1 {
    #[zbus(signal)]
    async fn voltage(emitter: &SignalEmitter<'_>, reading: VoltageReading) -> zbus::Result<()>;
}
