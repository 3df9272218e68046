//! `org.voltry.EnergyMeter1` of a meter that does not sign.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore, watch};
use voltry_bus::{Error, MeterPhases, MeterReading, SignedReading};
use voltry_service::Refusals;
use zbus::interface;
use zbus::object_server::{InterfaceRef, SignalEmitter};

use crate::driver::{Done, Order, Reading};
use crate::task::Orders;
use crate::transaction::{OpenTransaction, TransactionError};

/// Calls that may wait for the transaction's ledger; more are refused as busy.
const CALLS_MAX: usize = 8;

/// A served meter.
pub(super) struct EnergyMeter {
    served: InterfaceRef<EnergyMeter1>,
    sequence: watch::Sender<u64>,
}

impl EnergyMeter {
    pub(super) async fn serve(
        connection: &zbus::Connection,
        path: &str,
        orders: Orders,
        resolution: f64,
        transaction: PathBuf,
    ) -> anyhow::Result<Self> {
        let shown = transaction.display().to_string();
        let open = OpenTransaction::load(transaction).with_context(|| format!("reading {shown}"))?;
        let unfinished = open.open().unwrap_or_default().to_owned();
        if !unfinished.is_empty() {
            tracing::warn!(path, transaction = unfinished, "was open when the daemon last stopped");
        }
        let (sequence, current) = watch::channel(0);
        let interface = EnergyMeter1 {
            orders,
            resolution,
            sequence: current,
            unfinished: watch::Sender::new(unfinished),
            ledger: Arc::new(Mutex::new(Ledger { open, stopped: None })),
            calls: Semaphore::new(CALLS_MAX),
            refusals: Refusals::new(),
        };
        connection.object_server().at(path, interface).await?;
        let served = connection.object_server().interface(path).await?;
        Ok(Self { served, sequence })
    }

    pub(super) async fn tell(&mut self, reading: Reading) -> zbus::Result<()> {
        self.sequence.send_modify(|sequence| *sequence += 1);
        let sequence = *self.sequence.borrow();
        if let Some(phases) = wire_phases(&reading, sequence) {
            EnergyMeter1::phases(self.served.signal_emitter(), phases).await?;
        }
        let reading = wire(reading, sequence);
        EnergyMeter1::reading(self.served.signal_emitter(), reading).await
    }
}

fn wire(reading: Reading, sequence: u64) -> MeterReading {
    MeterReading {
        sequence,
        voltage: reading.voltage.as_si(),
        current: reading.current.as_si(),
        power: reading.power.as_si(),
        energy_import: reading.energy_import.as_si(),
        energy_export: reading.energy_export.as_si(),
        at: reading.at.as_micros(),
    }
}

fn wire_phases(reading: &Reading, sequence: u64) -> Option<MeterPhases> {
    let [first, second, third] = reading.phases?;
    Some(MeterPhases {
        sequence,
        voltage_1: first.voltage.as_si(),
        voltage_2: second.voltage.as_si(),
        voltage_3: third.voltage.as_si(),
        current_1: first.current.as_si(),
        current_2: second.current.as_si(),
        current_3: third.current.as_si(),
        at: reading.at.as_micros(),
    })
}

impl From<TransactionError> for Error {
    fn from(error: TransactionError) -> Self {
        match error {
            TransactionError::Refused(_) => Self::Refused(error.to_string()),
            TransactionError::Name => Self::Invalid(error.to_string()),
            TransactionError::Write { .. } => Self::Unavailable(error.to_string()),
        }
    }
}

/// The transaction that is open, and how the last one ended: who asks again because the answer
/// was lost gets the same one.
struct Ledger {
    open: OpenTransaction,
    stopped: Option<(String, SignedReading)>,
}

impl Ledger {
    fn stopped(&self, transaction: &str) -> Option<SignedReading> {
        self.stopped.as_ref().filter(|(name, _)| name == transaction).map(|(_, reading)| reading.clone())
    }
}

/// Its methods take `&self` and lock the ledger themselves: a slow meter must not hold up who
/// only reads a property.
struct EnergyMeter1 {
    orders: Orders,
    resolution: f64,
    sequence: watch::Receiver<u64>,
    unfinished: watch::Sender<String>,
    ledger: Arc<Mutex<Ledger>>,
    /// Who holds the ledger, or waits for it.
    calls: Semaphore,
    refusals: Refusals,
}

impl EnergyMeter1 {
    async fn registers(&self) -> Result<Reading, Error> {
        match self.orders.place(Order::ReadRegister).await? {
            Done::Registers(reading) => Ok(reading),
            Done::Confirmed => Err(Error::Unavailable("the meter gave no reading".into())),
        }
    }

    /// The register as it is now. The meter has no clock that could be trusted: the time is ours.
    async fn unsigned(&self) -> Result<SignedReading, Error> {
        let reading = self.registers().await?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(SignedReading {
            energy: reading.energy_import.as_si(),
            format: "none".into(),
            data: String::new(),
            public_key: String::new(),
            unix_time: i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX),
            at: reading.at.as_micros(),
        })
    }

    async fn started(
        &self,
        transaction: String,
        emitter: &SignalEmitter<'_>,
    ) -> Result<SignedReading, Error> {
        let _place = self.calls.try_acquire().map_err(|_| too_many())?;
        let ledger = Arc::clone(&self.ledger).lock_owned().await;
        ledger.open.may_start(&transaction)?;
        let reading = self.unsigned().await?;
        let name = transaction.clone();
        on_disk(ledger, move |ledger| ledger.open.start(&transaction)).await?;
        tracing::info!(transaction = name, energy = reading.energy, "transaction started");
        self.unfinished.send_replace(name);
        self.unfinished_changed(emitter).await?;
        Ok(reading)
    }

    async fn stopped(
        &self,
        transaction: String,
        emitter: &SignalEmitter<'_>,
    ) -> Result<SignedReading, Error> {
        let _place = self.calls.try_acquire().map_err(|_| too_many())?;
        let ledger = Arc::clone(&self.ledger).lock_owned().await;
        if let Err(refused) = ledger.open.may_stop(&transaction) {
            return Ok(ledger.stopped(&transaction).ok_or(refused)?);
        }
        let reading = self.unsigned().await?;
        let (name, kept) = (transaction.clone(), reading.clone());
        on_disk(ledger, move |ledger| {
            ledger.open.stop(&transaction)?;
            ledger.stopped = Some((transaction, kept));
            Ok(())
        })
        .await?;
        tracing::info!(transaction = name, energy = reading.energy, "transaction stopped");
        self.unfinished.send_replace(String::new());
        self.unfinished_changed(emitter).await?;
        Ok(reading)
    }
}

fn too_many() -> Error {
    Error::Busy("too many calls wait for the meter".into())
}

/// Syncing a disk may take long; the line's rhythm must not wait for it.
async fn on_disk(
    ledger: OwnedMutexGuard<Ledger>,
    change: impl FnOnce(&mut Ledger) -> Result<(), TransactionError> + Send + 'static,
) -> Result<(), Error> {
    let mut ledger = ledger;
    let changed = tokio::task::spawn_blocking(move || change(&mut ledger)).await;
    changed.map_err(|error| Error::Unavailable(error.to_string()))?.map_err(Error::from)
}

#[interface(name = "org.voltry.EnergyMeter1")]
impl EnergyMeter1 {
    #[zbus(signal)]
    async fn reading(emitter: &SignalEmitter<'_>, reading: MeterReading) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn phases(emitter: &SignalEmitter<'_>, phases: MeterPhases) -> zbus::Result<()>;

    // One argument that is a structure: a bare structure would go out as its fields.
    async fn read_register(&self) -> Result<(MeterReading,), Error> {
        let reading = self.refusals.note("ReadRegister", self.registers().await)?;
        Ok((wire(reading, *self.sequence.borrow()),))
    }

    // The identity and the tariff are for meters that sign them.
    async fn start(
        &self,
        transaction: String,
        _identity: String,
        _tariff: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<(SignedReading,), Error> {
        Ok((self.refusals.note("Start", self.started(transaction, &emitter).await)?,))
    }

    async fn stop(
        &self,
        transaction: String,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> Result<(SignedReading,), Error> {
        Ok((self.refusals.note("Stop", self.stopped(transaction, &emitter).await)?,))
    }

    #[zbus(property)]
    fn unfinished(&self) -> String {
        self.unfinished.borrow().clone()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn public_key(&self) -> String {
        String::new()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn resolution(&self) -> f64 {
        self.resolution
    }
}
