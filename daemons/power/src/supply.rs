//! A supply on D-Bus: `PowerSupply1`, `PowerRack1` and `Device1` at one path. Behind a matrix the first is
//! an EVSE's and the second a group's.
//!
//! Methods check and leave an order; they never wait. A task of its own sends signals, so a bus
//! that is slow to take them holds up no module.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use voltry_bus::{
    Applied, Component, DcCapability, DcDischarge, DcOutput, DeviceVariable, Error, Module, ModuleGroup,
    ModuleUse, SupplyState,
};
use voltry_service::{Device, FaultLog, Identity, Refusals, Stamp, clock};
use voltry_units::{Amps, Timestamp, Volts};
use zbus::message::Header;
use zbus::object_server::{InterfaceRef, SignalEmitter};
use zbus::{Connection, interface};

use crate::orders::Orders;
use crate::rack::Rack;

/// Signals waiting for the bus: most of a second of them.
const SIGNALS: usize = 16;
/// Properties change at most ten times a second.
const CHANGE_INTERVAL: Duration = Duration::from_millis(100);

/// The properties of a supply, and what a set-point is checked against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shown {
    pub(crate) capability: DcCapability,
    pub(crate) discharge: DcDischarge,
    /// Amperes that the modules are rated for together. What they can give now may fall at any
    /// moment, and a set-point above that is cut, not refused.
    pub(crate) current_rated: Amps,
    /// What the configuration lets take from a vehicle; zero where nothing. Of what can be taken now the
    /// same holds as forwards.
    pub(crate) discharge_rated: DcDischarge,
    pub(crate) state: SupplyState,
}

impl Shown {
    /// Of a supply that has not heard of anything.
    pub(crate) const NOTHING: Self = Self {
        capability: DcCapability { voltage_min: 0.0, voltage_max: 0.0, current_max: 0.0, power_max: 0.0 },
        discharge: NO_DISCHARGE,
        current_rated: Amps::ZERO,
        discharge_rated: NO_DISCHARGE,
        state: SupplyState::Absent,
    };

    /// Of a rack, as it is now.
    pub(crate) fn of(rack: &Rack, now: Timestamp) -> Self {
        Self {
            capability: rack.capability(now),
            discharge: rack.discharge(now),
            current_rated: rack.current_rated(),
            discharge_rated: rack.discharge_rated(),
            state: rack.state(),
        }
    }
}

const NO_DISCHARGE: DcDischarge = DcDischarge { voltage_min: 0.0, current_max: 0.0, power_max: 0.0 };

/// The modules, and what each is used for.
type Shelf = (Vec<Module>, Vec<ModuleUse>);

#[derive(Debug)]
enum Signal {
    Output(DcOutput),
    Applied(Applied),
}

/// What is served at a supply's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Modules that feed one EVSE.
    Whole,
    /// An EVSE that shares modules: what it is given.
    Outlet,
    /// Modules behind a matrix.
    Group,
}

/// The control loop's way to the bus. It never waits; what the bus does not take is lost.
#[derive(Debug)]
pub(crate) struct Publisher {
    signals: mpsc::Sender<Signal>,
    shown: watch::Sender<Shown>,
    modules: watch::Sender<Shelf>,
    group: watch::Sender<ModuleGroup>,
    device: Device,
    vendor: &'static str,
    converter: Component,
}

impl Publisher {
    /// Serves a supply, or a part of one, at `path`.
    pub(crate) async fn serve(
        connection: &Connection,
        path: &str,
        face: Face,
        vendor: &'static str,
        orders: Orders,
    ) -> zbus::Result<Self> {
        let (shown, shown_now) = watch::channel(Shown::NOTHING);
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let (group, group_now) = watch::channel(ModuleGroup { name, ..ModuleGroup::default() });
        let (modules, modules_now) = watch::channel(Shelf::default());
        let (signals, waiting) = mpsc::channel(SIGNALS);
        let server = connection.object_server();
        let refusals = Arc::new(Refusals::new());
        if face != Face::Group {
            let supply =
                PowerSupply1 { orders: orders.clone(), shown: shown_now.clone(), refusals: refusals.clone() };
            server.at(path, supply).await?;
            let supply = server.interface::<_, PowerSupply1>(path).await?;
            tokio::spawn(tell_signals(supply.signal_emitter().to_owned(), waiting));
            tokio::spawn(tell_shown(supply, shown_now));
        }
        if face != Face::Outlet {
            let rack = PowerRack1 { orders, shelf: modules_now.clone(), group: group_now.clone(), refusals };
            server.at(path, rack).await?;
            let rack = server.interface::<_, PowerRack1>(path).await?;
            tokio::spawn(tell_modules(rack.clone(), modules_now));
            tokio::spawn(tell_group(rack, group_now));
        }
        let device = Device::serve(connection, path, Identity::default()).await?;
        device.set_component(converter(path));
        Ok(Self { signals, shown, modules, group, device, vendor, converter: converter(path) })
    }

    /// Where a group is, for whoever decides it.
    pub(crate) fn group(&self) -> watch::Sender<ModuleGroup> {
        self.group.clone()
    }

    pub(crate) fn output(&self, output: DcOutput) {
        self.signal(Signal::Output(output));
    }

    pub(crate) fn applied(&self, applied: Applied) {
        self.signal(Signal::Applied(applied));
    }

    fn signal(&self, signal: Signal) {
        if self.signals.try_send(signal).is_err() {
            tracing::debug!("the bus takes no signals");
        }
    }

    pub(crate) fn show(&self, shown: Shown) {
        self.shown.send_if_modified(|known| std::mem::replace(known, shown) != shown);
    }

    pub(crate) fn modules(&self, modules: Vec<Module>, uses: Vec<ModuleUse>) {
        let rack = self.rack_variables();
        let each = modules.iter().flat_map(|module| module_variables(&self.converter, module));
        self.device.set_variables(rack.into_iter().chain(each).collect());
        let shelf = (modules, uses);
        self.modules.send_if_modified(|known| {
            let changed = *known != shelf;
            *known = shelf;
            changed
        });
    }

    /// Of all modules together, in OCPP's words.
    fn rack_variables(&self) -> [DeviceVariable; 4] {
        let Shown { capability, state, .. } = *self.shown.borrow();
        let states: Vec<&str> = SupplyState::ALL.iter().map(|state| state.as_str()).collect();
        let able = |value: f64| (state != SupplyState::Absent).then_some(value);
        [
            DeviceVariable::choice(&self.converter, "State", &states, state.as_str()),
            DeviceVariable::decimal(&self.converter, "PowerAvailable", "W", able(capability.power_max)),
            DeviceVariable::decimal(&self.converter, "CurrentAvailable", "A", able(capability.current_max)),
            DeviceVariable::decimal(&self.converter, "VoltageLimit", "V", able(capability.voltage_max)),
        ]
    }

    /// Of an EVSE that shares modules: there is no rack of its own.
    pub(crate) fn outlet(&self, online: bool, faults: &FaultLog) {
        self.device.set_online(online);
        self.device.set_faults(faults);
        self.device.set_variables(self.rack_variables().to_vec());
    }

    pub(crate) fn device(&self, rack: &Rack) {
        self.device.set_online(rack.state() != SupplyState::Absent);
        self.device.set_faults(rack.faults());
        let identity =
            Identity { vendor: self.vendor.to_owned(), serial: rack.serial(), ..Identity::default() };
        self.device.set_identity(identity);
    }
}

/// A supply in OCPP's words, by the name that it has in the configuration.
fn converter(path: &str) -> Component {
    Component::new("AcDcConverter").instance(path.rsplit('/').next().unwrap_or_default())
}

/// Of one module: an instance of its supply's, by its address.
fn module_variables(supply: &Component, module: &Module) -> [DeviceVariable; 8] {
    let component = supply.clone().instance(&format!("{}/{}", supply.instance, module.address));
    let heard = |value: f64| module.online.then_some(value);
    [
        DeviceVariable::boolean(&component, "Available", module.online),
        DeviceVariable::boolean(&component, "Problem", !module.online || !module.alarms.is_empty()),
        DeviceVariable::text(&component, "State", &module.state),
        DeviceVariable::text(&component, "SerialNumber", &module.serial),
        DeviceVariable::decimal(&component, "DCVoltage", "V", heard(module.voltage)),
        DeviceVariable::decimal(&component, "DCCurrent", "A", heard(module.current)),
        DeviceVariable::decimal(&component, "CurrentAvailable", "A", heard(module.available)),
        DeviceVariable::decimal(&component, "Temperature", "Celsius", heard(module.temperature)),
    ]
}

async fn tell_signals(emitter: SignalEmitter<'static>, mut signals: mpsc::Receiver<Signal>) {
    while let Some(signal) = signals.recv().await {
        let told = match signal {
            Signal::Output(output) => PowerSupply1::output(&emitter, output).await,
            Signal::Applied(applied) => PowerSupply1::applied(&emitter, applied).await,
        };
        if told.is_err() {
            // The bus is gone, and the daemon ends.
            return;
        }
    }
}

async fn tell_shown(served: InterfaceRef<PowerSupply1>, mut shown: watch::Receiver<Shown>) {
    let mut told = *shown.borrow_and_update();
    while shown.changed().await.is_ok() {
        let now = *shown.borrow_and_update();
        let emitter = served.signal_emitter();
        let supply = PowerSupply1::clone(&*served.get().await);
        if now.capability != told.capability && supply.capability_changed(emitter).await.is_err() {
            return;
        }
        if now.discharge != told.discharge && supply.discharge_changed(emitter).await.is_err() {
            return;
        }
        if now.state != told.state && supply.state_changed(emitter).await.is_err() {
            return;
        }
        told = now;
        tokio::time::sleep(CHANGE_INTERVAL).await;
    }
}

async fn tell_modules(served: InterfaceRef<PowerRack1>, mut shelf: watch::Receiver<Shelf>) {
    let mut told = Shelf::default();
    while shelf.changed().await.is_ok() {
        let (modules, uses) = shelf.borrow_and_update().clone();
        let rack = PowerRack1::clone(&*served.get().await);
        let emitter = served.signal_emitter();
        if modules != told.0 && rack.modules_changed(emitter).await.is_err() {
            return;
        }
        if uses != told.1 && rack.uses_changed(emitter).await.is_err() {
            return;
        }
        told = (modules, uses);
    }
}

async fn tell_group(served: InterfaceRef<PowerRack1>, mut group: watch::Receiver<ModuleGroup>) {
    while group.changed().await.is_ok() {
        let rack = PowerRack1::clone(&*served.get().await);
        if rack.group_changed(served.signal_emitter()).await.is_err() {
            return;
        }
        tokio::time::sleep(CHANGE_INTERVAL).await;
    }
}

#[derive(Debug, Clone)]
struct PowerSupply1 {
    orders: Orders,
    shown: watch::Receiver<Shown>,
    refusals: Arc<Refusals>,
}

impl PowerSupply1 {
    fn set(&self, header: &Header<'_>, stamp: Stamp, voltage: f64, current: f64) -> Result<(), Error> {
        let (voltage, current) = checked(voltage, current, &self.shown.borrow())?;
        Ok(self.orders.set(&caller(header)?, stamp, voltage, current, clock::now())?)
    }
}

fn caller(header: &Header<'_>) -> Result<String, Error> {
    let sender = header.sender().map(ToString::to_string);
    sender.ok_or_else(|| Error::NotHolder("the message names no sender".into()))
}

// zbus hands headers over by value.
#[allow(clippy::needless_pass_by_value)]
#[interface(name = "org.voltry.PowerSupply1", spawn = false)]
impl PowerSupply1 {
    fn enable(&self, epoch: u64, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let verdict = caller(&header).and_then(|caller| self.orders.enable(&caller, epoch, clock::now()));
        self.refusals.note("Enable", verdict)
    }

    fn set_output(
        &self,
        epoch: u64,
        sequence: u64,
        sent_at: u64,
        voltage: f64,
        current: f64,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let stamp = Stamp::new(epoch, sequence, sent_at);
        self.refusals.note("SetOutput", self.set(&header, stamp, voltage, current))
    }

    fn renew_lease(
        &self,
        epoch: u64,
        sequence: u64,
        sent_at: u64,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let stamp = Stamp::new(epoch, sequence, sent_at);
        let verdict =
            caller(&header).and_then(|caller| Ok(self.orders.renew(&caller, stamp, clock::now())?));
        self.refusals.note("RenewLease", verdict)
    }

    fn off(&self) {
        self.orders.off();
    }

    fn clear_faults(&self) {
        self.orders.clear_faults();
    }

    #[zbus(signal)]
    async fn output(emitter: &SignalEmitter<'_>, output: DcOutput) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn applied(emitter: &SignalEmitter<'_>, applied: Applied) -> zbus::Result<()>;

    #[zbus(property)]
    fn capability(&self) -> DcCapability {
        self.shown.borrow().capability
    }

    #[zbus(property)]
    fn discharge(&self) -> DcDischarge {
        self.shown.borrow().discharge
    }

    #[zbus(property)]
    fn state(&self) -> SupplyState {
        self.shown.borrow().state
    }
}

/// A set-point within what the modules are rated for. Zero volts mean off, within the epoch.
pub(crate) fn checked(voltage: f64, current: f64, shown: &Shown) -> Result<(Volts, Amps), Error> {
    let (voltage, current) = (Volts::from_si(voltage)?, Amps::from_si(current)?);
    if shown.current_rated <= Amps::ZERO {
        return Err(Error::Unavailable("no module has answered yet".into()));
    }
    if current < Amps::ZERO {
        discharge_allowed(voltage, current, &shown.discharge_rated)?;
    }
    if current > shown.current_rated {
        return Err(Error::OutOfRange(format!("{current} is not between 0 and {}", shown.current_rated)));
    }
    let DcCapability { voltage_min, voltage_max, .. } = shown.capability;
    // While nothing can be delivered the limits read zero; then the rack gives nothing anyway.
    let known = voltage_max > 0.0;
    if voltage < Volts::ZERO
        || voltage > Volts::ZERO && known && !(voltage_min..=voltage_max).contains(&voltage.as_si())
    {
        return Err(Error::OutOfRange(format!("{voltage} is not between {voltage_min} and {voltage_max} V")));
    }
    Ok((voltage, current))
}

fn discharge_allowed(voltage: Volts, current: Amps, rated: &DcDischarge) -> Result<(), Error> {
    let DcDischarge { voltage_min, current_max, .. } = *rated;
    if current_max <= 0.0 {
        return Err(Error::OutOfRange(format!("{current}: nothing can be taken from a vehicle")));
    }
    if current.abs().as_si() > current_max {
        return Err(Error::OutOfRange(format!("{current} is not between {} and 0", -current_max)));
    }
    if voltage.as_si() < voltage_min {
        return Err(Error::OutOfRange(format!(
            "{voltage}: a battery below {voltage_min} V is not discharged"
        )));
    }
    Ok(())
}

#[derive(Debug, Clone)]
struct PowerRack1 {
    orders: Orders,
    shelf: watch::Receiver<Shelf>,
    group: watch::Receiver<ModuleGroup>,
    refusals: Arc<Refusals>,
}

#[interface(name = "org.voltry.PowerRack1")]
impl PowerRack1 {
    fn identify(&self, bus: &str, address: u32, on: bool) -> Result<(), Error> {
        let known = self.shelf.borrow().0.iter().any(|module| module.bus == bus && module.address == address);
        let address = u8::try_from(address).ok().filter(|_| known);
        let address = address.ok_or_else(|| Error::Invalid("no such module behind this supply".into()));
        self.orders.identify(self.refusals.note("Identify", address)?, on);
        Ok(())
    }

    #[zbus(property)]
    fn modules(&self) -> Vec<Module> {
        self.shelf.borrow().0.clone()
    }

    #[zbus(property)]
    fn group(&self) -> ModuleGroup {
        self.group.borrow().clone()
    }

    #[zbus(property)]
    fn uses(&self) -> Vec<ModuleUse> {
        self.shelf.borrow().1.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_points_that_no_module_could_take_are_refused() {
        let shown = Shown {
            capability: DcCapability {
                voltage_min: 150.0,
                voltage_max: 1000.0,
                current_max: 80.0,
                power_max: 30_000.0,
            },
            discharge: DcDischarge::default(),
            current_rated: Amps::new(100),
            discharge_rated: DcDischarge::default(),
            state: SupplyState::Off,
        };
        let refused = |voltage, current| checked(voltage, current, &shown).is_err();
        assert!(refused(f64::NAN, 1.0) && refused(400.0, f64::INFINITY));
        assert!(refused(400.0, -1.0) && refused(400.0, 100.1));
        assert!(refused(149.0, 1.0) && refused(1000.5, 1.0) && refused(-1.0, 0.0));
        assert_eq!(checked(400.0, 90.0, &shown), Ok((Volts::new(400), Amps::new(90))), "derated: it is cut");
        assert_eq!(checked(0.0, 0.0, &shown), Ok((Volts::ZERO, Amps::ZERO)));
        let none = Shown { current_rated: Amps::ZERO, ..shown };
        assert!(matches!(checked(400.0, 1.0, &none), Err(Error::Unavailable(_))));
    }

    #[test]
    fn a_set_point_from_the_vehicle_is_refused_by_what_is_configured_not_by_what_can_be_taken_now() {
        let rated = DcDischarge { voltage_min: 300.0, current_max: 40.0, power_max: 10_000.0 };
        let able =
            DcCapability { voltage_min: 150.0, voltage_max: 1000.0, current_max: 100.0, power_max: 30_000.0 };
        let taking = |current_max: f64| {
            let nothing = current_max <= 0.0;
            Shown {
                // All zero, also the voltages, while nothing may flow.
                capability: if nothing { DcCapability::default() } else { able },
                discharge: if nothing {
                    DcDischarge::default()
                } else {
                    DcDischarge { current_max, ..rated }
                },
                current_rated: Amps::new(100),
                discharge_rated: rated,
                state: SupplyState::On,
            }
        };
        for now in [40.0, 20.0, 0.0] {
            let shown = taking(now);
            let taken = Ok((Volts::new(400), Amps::new(-40)));
            assert_eq!(checked(400.0, -40.0, &shown), taken, "{now} A now: it is cut");
            assert!(matches!(checked(400.0, -40.1, &shown), Err(Error::OutOfRange(_))), "{now} A now");
            assert!(matches!(checked(299.0, -1.0, &shown), Err(Error::OutOfRange(_))), "{now} A now");
        }
        let never = Shown { discharge_rated: DcDischarge::default(), ..taking(40.0) };
        assert!(matches!(checked(400.0, -1.0, &never), Err(Error::OutOfRange(_))));
    }
}
