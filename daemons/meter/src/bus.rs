//! What the line's devices are on D-Bus.

mod energy_meter;
mod insulation_monitor;

use anyhow::Context as _;
use voltry_bus::{Component, DeviceVariable, Error};
use voltry_service::{Daemon, Device, FaultLog, Identity, RateLimit, Watchdog, clock};

use crate::config::{Role, Served, Settings};
use crate::driver::{Denied, Event, Reading};
use crate::line::Line;
use crate::task::{Events, LineTask, Orders};

use energy_meter::EnergyMeter;
use insulation_monitor::InsulationMonitor;

impl From<Denied> for Error {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unavailable(text) => Self::Unavailable(text),
            Denied::Refused(text) => Self::Refused(text),
            Denied::Busy => Self::Busy(denied.to_string()),
        }
    }
}

/// Serves a line until the daemon has to stop.
///
/// # Errors
/// If the bus, or the state folder, does not allow it.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let Settings { bus_name, port, devices, served } = settings;
    tracing::info!(%port, devices = devices.len(), "line");
    let line = Line::new(port, clock::now);
    let (task, orders, events) = LineTask::new(line, devices, clock::now, Watchdog::from_environment());
    let objects = serve(daemon.connection(), served, orders).await?;
    daemon.claim(&bus_name).await?;
    daemon.ready();
    tokio::select! {
        _ = daemon.stop() => Ok(()),
        () = task.run() => anyhow::bail!("the line's task has ended"),
        published = publish(objects, events) => published.context("sending on the bus"),
    }
}

/// Serves an object for each device.
///
/// # Errors
/// If the bus, or the state folder, does not allow it.
pub async fn serve(
    connection: &zbus::Connection,
    served: Vec<Served>,
    orders: Vec<Orders>,
) -> anyhow::Result<Vec<Object>> {
    let mut objects = Vec::with_capacity(served.len());
    for (served, orders) in served.into_iter().zip(orders) {
        objects.push(Object::serve(connection, served, orders).await?);
    }
    Ok(objects)
}

/// Tells the bus what the devices tell, until they are gone or the bus is.
///
/// # Errors
/// If the bus is gone.
pub async fn publish(mut objects: Vec<Object>, mut events: Events) -> zbus::Result<()> {
    while let Some((index, event)) = events.recv().await {
        if let Some(object) = objects.get_mut(index) {
            object.tell(event).await?;
        }
    }
    Ok(())
}

/// What a meter measures, in OCPP's words.
fn registers(component: &Component, reading: &Reading) -> [DeviceVariable; 5] {
    let decimal = |name, unit, value| DeviceVariable::decimal(component, name, unit, Some(value));
    [
        decimal("EnergyImportRegister", "Wh", reading.energy_import.as_si()),
        decimal("EnergyExportRegister", "Wh", reading.energy_export.as_si()),
        decimal("Power", "W", reading.power.as_si()),
        decimal("DCVoltage", "V", reading.voltage.as_si()),
        decimal("DCCurrent", "A", reading.current.as_si()),
    ]
}

/// Lines of log a minute about one device, however it comes and goes.
const LINES_A_MINUTE: u32 = 20;

/// A served device.
pub struct Object {
    path: String,
    identity: Identity,
    device: Device,
    component: Component,
    /// What was last measured, in OCPP's words.
    measured: Vec<DeviceVariable>,
    faults: FaultLog,
    role: Interfaces,
    changes: RateLimit,
}

enum Interfaces {
    Meter(EnergyMeter),
    Monitor(InsulationMonitor),
}

impl Object {
    async fn serve(connection: &zbus::Connection, served: Served, orders: Orders) -> anyhow::Result<Self> {
        let Served { path, vendor, model, role } = served;
        let identity = Identity { vendor, model, ..Identity::default() };
        let role = match role {
            Role::EnergyMeter { resolution, transaction } => Interfaces::Meter(
                EnergyMeter::serve(connection, &path, orders, resolution, transaction).await?,
            ),
            Role::InsulationMonitor => {
                Interfaces::Monitor(InsulationMonitor::serve(connection, &path, orders).await?)
            }
        };
        let device = Device::serve(connection, &path, identity.clone()).await?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let component = match role {
            // One that bills has the registers that it bills by.
            Interfaces::Meter(_) => Component::new("FiscalMetering"),
            Interfaces::Monitor(_) => Component::new("GroundIsolationProtection"),
        }
        .instance(name);
        device.set_component(component.clone());
        Ok(Self {
            path,
            identity,
            device,
            component,
            measured: Vec::new(),
            faults: FaultLog::new(),
            role,
            changes: RateLimit::allowing(LINES_A_MINUTE),
        })
    }

    fn online(&mut self, online: bool) {
        match self.changes.count(clock::now()) {
            Some(count) if online => tracing::info!(object = self.path, count, "online"),
            Some(count) => tracing::warn!(object = self.path, count, "the device does not answer any more"),
            None => {}
        }
        self.device.set_online(online);
    }

    /// Another value of a variable.
    fn measure(&mut self, variable: DeviceVariable) {
        match self.measured.iter_mut().find(|known| known.name == variable.name) {
            Some(known) => *known = variable,
            None => self.measured.push(variable),
        }
        self.device.set_variables(self.measured.clone());
    }

    async fn tell(&mut self, event: Event) -> zbus::Result<()> {
        match (event, &mut self.role) {
            (Event::Online(online), _) => self.online(online),
            (Event::Identified { model, firmware }, _) => {
                if let Some(count) = self.changes.count(clock::now()) {
                    tracing::info!(object = self.path, model, firmware, count, "identified");
                }
                if !model.is_empty() {
                    self.identity.model = model;
                }
                self.identity.firmware = firmware;
                self.device.set_identity(self.identity.clone());
            }
            (Event::Fault { code, cause }, _) => {
                if self.faults.raise(code, cause.clone(), clock::now()) {
                    if let Some(count) = self.changes.count(clock::now()) {
                        tracing::warn!(object = self.path, code, cause, count, "fault");
                    }
                    self.device.set_faults(&self.faults);
                }
            }
            (Event::FaultGone(code), _) => {
                if self.faults.remove(code) {
                    if let Some(count) = self.changes.count(clock::now()) {
                        tracing::info!(object = self.path, code, count, "fault gone");
                    }
                    self.device.set_faults(&self.faults);
                }
            }
            (Event::Reading(reading), Interfaces::Meter(meter)) => {
                self.measured = registers(&self.component, &reading).into();
                self.device.set_variables(self.measured.clone());
                meter.tell(reading).await?;
            }
            (Event::Insulation { resistance, valid, counter, at }, Interfaces::Monitor(monitor)) => {
                monitor.insulation(resistance, valid, counter, at).await?;
                let known = valid.then_some(resistance.as_si());
                self.measure(DeviceVariable::decimal(&self.component, "Impedance", "Ohm", known));
            }
            (Event::Voltage(voltage, at), Interfaces::Monitor(monitor)) => {
                monitor.voltage(voltage, at).await?;
                let known = Some(voltage.as_si());
                self.measure(DeviceVariable::decimal(&self.component, "DCVoltage", "V", known));
            }
            (Event::Active(active), Interfaces::Monitor(monitor)) => {
                monitor.active(active).await?;
                self.measure(DeviceVariable::boolean(&self.component, "Active", active));
            }
            (Event::SelfTestFinished { passed, detail, at }, Interfaces::Monitor(monitor)) => {
                if let Some(count) = self.changes.count(clock::now()) {
                    tracing::info!(object = self.path, passed, detail, count, "self-test finished");
                }
                monitor.self_test_finished(passed, detail, at).await?;
            }
            (
                Event::Insulation { .. }
                | Event::Voltage(..)
                | Event::Active(_)
                | Event::SelfTestFinished { .. },
                Interfaces::Meter(_),
            )
            | (Event::Reading(_), Interfaces::Monitor(_))
            | (Event::BadInput(_) | Event::Settled(..), _) => {
                tracing::error!(object = self.path, "an event that is not for the bus");
            }
        }
        Ok(())
    }
}
