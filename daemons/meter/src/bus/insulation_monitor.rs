//! `org.voltry.InsulationMonitor1`, and beside it `org.voltry.VoltageMonitor1`: an insulation
//! monitor measures the voltage it watches.

use tokio::sync::watch;
use voltry_bus::{Error, InsulationReading, SelfTestResult, VoltageReading};
use voltry_service::Refusals;
use voltry_units::{Ohms, Timestamp, Volts};
use zbus::interface;
use zbus::object_server::{InterfaceRef, SignalEmitter};

use crate::driver::Order;
use crate::task::Orders;

/// A served monitor.
pub(super) struct InsulationMonitor {
    monitor: InterfaceRef<InsulationMonitor1>,
    voltmeter: InterfaceRef<VoltageMonitor1>,
    active: watch::Sender<bool>,
    insulations: u64,
    voltages: u64,
}

impl InsulationMonitor {
    pub(super) async fn serve(
        connection: &zbus::Connection,
        path: &str,
        orders: Orders,
    ) -> zbus::Result<Self> {
        let active = watch::Sender::new(false);
        let server = connection.object_server();
        server
            .at(path, InsulationMonitor1 { orders, active: active.subscribe(), refusals: Refusals::new() })
            .await?;
        server.at(path, VoltageMonitor1).await?;
        let monitor = server.interface(path).await?;
        let voltmeter = server.interface(path).await?;
        Ok(Self { monitor, voltmeter, active, insulations: 0, voltages: 0 })
    }

    pub(super) async fn insulation(
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
        InsulationMonitor1::insulation(self.monitor.signal_emitter(), reading).await
    }

    pub(super) async fn voltage(&mut self, voltage: Volts, at: Timestamp) -> zbus::Result<()> {
        self.voltages += 1;
        let reading =
            VoltageReading { sequence: self.voltages, voltage: voltage.as_si(), at: at.as_micros() };
        VoltageMonitor1::voltage(self.voltmeter.signal_emitter(), reading).await
    }

    pub(super) async fn active(&mut self, active: bool) -> zbus::Result<()> {
        if self.active.send_replace(active) != active {
            let monitor = self.monitor.get().await;
            monitor.active_changed(self.monitor.signal_emitter()).await?;
        }
        Ok(())
    }

    pub(super) async fn self_test_finished(
        &mut self,
        passed: bool,
        detail: String,
        at: Timestamp,
    ) -> zbus::Result<()> {
        let result = SelfTestResult { passed, detail, at: at.as_micros() };
        InsulationMonitor1::self_test_finished(self.monitor.signal_emitter(), result).await
    }
}

struct InsulationMonitor1 {
    orders: Orders,
    active: watch::Receiver<bool>,
    refusals: Refusals,
}

#[interface(name = "org.voltry.InsulationMonitor1")]
impl InsulationMonitor1 {
    #[zbus(signal)]
    async fn insulation(emitter: &SignalEmitter<'_>, reading: InsulationReading) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn self_test_finished(emitter: &SignalEmitter<'_>, result: SelfTestResult) -> zbus::Result<()>;

    async fn set_active(&self, active: bool) -> Result<(), Error> {
        self.refusals.note("SetActive", self.orders.place(Order::SetActive(active)).await)?;
        Ok(())
    }

    async fn start_self_test(&self) -> Result<(), Error> {
        self.refusals.note("StartSelfTest", self.orders.place(Order::StartSelfTest).await)?;
        Ok(())
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
