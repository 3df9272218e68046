//! A meter whose register rises by itself.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use voltry_bus::{Error, MeterPhases, MeterReading, SignedReading};
use voltry_service::clock;
use voltry_units::Timestamp;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

/// The transaction that was stopped last, and its reading.
type Stopped = Option<(String, SignedReading)>;

#[derive(Clone)]
struct Meter {
    fault: String,
    /// Where the open transaction is kept.
    file: PathBuf,
    last: Arc<Mutex<(MeterReading, Stopped)>>,
}

impl Meter {
    fn is(&self, fault: &str) -> bool {
        self.fault == fault
    }

    fn read(&self) -> MeterReading {
        let mut last = self.last.lock().unwrap();
        let reading = &mut last.0;
        reading.energy_import += if self.is("register-falls") { -1.0 } else { 1.0 };
        reading.at = clock::now().as_micros();
        *reading
    }

    fn open(&self) -> Option<String> {
        std::fs::read_to_string(&self.file).ok()
    }

    fn signed(&self) -> SignedReading {
        let MeterReading { energy_import, at, .. } = self.read();
        let data = if self.is("half-signed") { "OCMF|{}|{}" } else { "" };
        SignedReading {
            energy: energy_import,
            format: "none".to_owned(),
            data: data.to_owned(),
            public_key: String::new(),
            unix_time: 1_780_000_000_000_000,
            at,
        }
    }
}

#[interface(name = "org.voltry.EnergyMeter1")]
impl Meter {
    #[zbus(signal)]
    async fn reading(emitter: &SignalEmitter<'_>, reading: MeterReading) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn phases(emitter: &SignalEmitter<'_>, phases: MeterPhases) -> zbus::Result<()>;

    fn read_register(&self) -> (MeterReading,) {
        (if self.is("repeats-what-it-knows") { self.last.lock().unwrap().0 } else { self.read() },)
    }

    fn start(
        &self,
        transaction: String,
        _identity: String,
        _tariff: String,
    ) -> Result<(SignedReading,), Error> {
        if transaction.is_empty() {
            return Err(Error::Invalid("no name".to_owned()));
        }
        if self.open().is_some() && !self.is("starts-twice") {
            return Err(Error::Refused("one is open".to_owned()));
        }
        std::fs::write(&self.file, transaction).unwrap();
        Ok((self.signed(),))
    }

    fn stop(&self, transaction: String) -> Result<(SignedReading,), Error> {
        if self.open().as_ref() == Some(&transaction) {
            std::fs::remove_file(&self.file).unwrap();
            let reading = self.signed();
            self.last.lock().unwrap().1 = Some((transaction, reading.clone()));
            return Ok((reading,));
        }
        let stopped = self.last.lock().unwrap().1.clone();
        match stopped {
            Some((name, _)) if name == transaction && self.is("stops-anew") => Ok((self.signed(),)),
            Some((name, reading)) if name == transaction => Ok((reading,)),
            _ => Err(Error::Refused("it is not open".to_owned())),
        }
    }

    #[zbus(property)]
    fn unfinished(&self) -> String {
        if self.is("hides-what-is-open") { String::new() } else { self.open().unwrap_or_default() }
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn public_key(&self) -> String {
        String::new()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn resolution(&self) -> f64 {
        1.0
    }
}

pub(super) async fn run(connection: Connection, path: &str, fault: String, folder: PathBuf) {
    let is = |wanted: &str| fault == wanted;
    let file = folder.join("open");
    if is("forgets-what-is-open") {
        let _ = std::fs::remove_file(&file);
    }
    // It counts on while the daemon is away, as a meter does.
    let since_boot = clock::now().since(Timestamp::from_micros(0));
    let begin = MeterReading {
        sequence: 0,
        voltage: 400.0,
        current: 1.0,
        power: 400.0,
        energy_import: (since_boot.as_secs_f64() * 1000.0).floor(),
        energy_export: 0.0,
        at: clock::now().as_micros(),
    };
    let meter = Meter { fault: fault.clone(), file, last: Arc::new(Mutex::new((begin, None))) };
    connection.object_server().at(path, meter.clone()).await.unwrap();
    connection.request_name("com.example.Provider1").await.unwrap();
    let emitter = SignalEmitter::new(&connection, path).unwrap();
    let period = Duration::from_secs(if is("seldom-told") { 20 } else { 1 });
    let mut tick = tokio::time::interval(period);
    let mut sequence = 0;
    loop {
        tick.tick().await;
        sequence += u64::from(!is("not-numbered"));
        let mut reading = MeterReading { sequence, ..meter.read() };
        if is("stamped-old") {
            reading.at -= 10_000_000;
        }
        Meter::reading(&emitter, reading).await.unwrap();
    }
}
