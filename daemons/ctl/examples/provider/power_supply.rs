//! A supply whose output is where it was set, at once, without a load.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use voltry_bus::{Applied, DcCapability, DcDischarge, DcOutput, Error, SupplyState};
use voltry_service::{HolderWatch, Lease, LeaseTimes, Refusal, Stamp, clock};
use voltry_units::Timestamp;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

const RATED: DcCapability =
    DcCapability { voltage_min: 150.0, voltage_max: 1000.0, current_max: 100.0, power_max: 30_000.0 };

struct Inner {
    lease: Lease,
    /// Volts, and what confirms them.
    set: Option<(f64, Stamp)>,
    /// To be confirmed.
    news: Vec<Applied>,
    /// Who enabled it, to be watched.
    enabled: Option<String>,
}

#[derive(Clone)]
struct Supply {
    fault: String,
    inner: Arc<Mutex<Inner>>,
}

impl Supply {
    fn is(&self, fault: &str) -> bool {
        self.fault == fault
    }

    /// Does what the lease lets it do, or the fault.
    fn obeyed(
        &self,
        inner: &mut Inner,
        verdict: Result<(), Refusal>,
        then: impl FnOnce(&mut Inner),
    ) -> Result<(), Error> {
        let taken = match &verdict {
            Ok(()) => true,
            Err(Refusal::NotHolder) => self.is("takes-anybody"),
            Err(Refusal::StaleEpoch { .. }) => self.is("takes-old-epochs"),
            Err(Refusal::StaleSequence { .. }) => self.is("takes-old-numbers"),
            Err(Refusal::TooOld { .. }) => self.is("takes-old-messages"),
            Err(Refusal::FromTheFuture { .. }) => self.is("takes-the-future"),
            Err(Refusal::Lapsed) => self.is("takes-what-lapsed"),
        };
        if !taken {
            return if self.is("says-no-otherwise") {
                Err(Error::Refused("no".to_owned()))
            } else {
                Ok(verdict?)
            };
        }
        then(inner);
        Ok(())
    }

    fn switch_off(inner: &mut Inner) {
        if inner.set.take().is_some() {
            inner.news.push(Applied { epoch: 0, sequence: 0, at: clock::now().as_micros() });
        }
    }

    /// The lease decides whether the output stays.
    fn poll(&self, now: Timestamp) {
        let mut inner = self.inner.lock().unwrap();
        if !inner.lease.poll(now).may_energise() && !self.is("never-lapses") {
            Self::switch_off(&mut inner);
        }
    }
}

fn sender(header: &Header<'_>) -> String {
    header.sender().unwrap().to_string()
}

#[allow(clippy::needless_pass_by_value)]
#[interface(name = "org.voltry.PowerSupply1", spawn = false)]
impl Supply {
    fn enable(&self, epoch: u64, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let mut inner = self.inner.lock().unwrap();
        let verdict = inner.lease.enable(&sender(&header), epoch, clock::now());
        self.obeyed(&mut inner, verdict, |inner| {
            Self::switch_off(inner);
            inner.enabled = Some(sender(&header));
            if self.is("on-by-enable") {
                inner.set = Some((200.0, Stamp::new(epoch, 0, 0)));
            }
        })
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
        let allowed = (0.0..=RATED.voltage_max).contains(&voltage) && (0.0..=100.0).contains(&current);
        if !allowed && !self.is("takes-any-value") {
            return Err(Error::OutOfRange(format!("{voltage} V, {current} A")));
        }
        let mut inner = self.inner.lock().unwrap();
        let stamp = Stamp::new(epoch, sequence, sent_at);
        let verdict = if self.is("set-renews") {
            inner.lease.renew(&sender(&header), stamp, clock::now())
        } else {
            inner.lease.command(&sender(&header), stamp, clock::now())
        };
        self.obeyed(&mut inner, verdict, |inner| {
            if voltage > 0.0 {
                inner.set = Some((voltage, stamp));
                inner.news.push(Applied { epoch, sequence, at: clock::now().as_micros() });
            } else {
                Self::switch_off(inner);
            }
        })
    }

    fn renew_lease(
        &self,
        epoch: u64,
        sequence: u64,
        sent_at: u64,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let mut inner = self.inner.lock().unwrap();
        let verdict = inner.lease.renew(&sender(&header), Stamp::new(epoch, sequence, sent_at), clock::now());
        self.obeyed(&mut inner, verdict, |_| {})
    }

    fn off(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let mut inner = self.inner.lock().unwrap();
        if self.is("off-is-its-holders") && inner.set.is_some() {
            return Err(Error::NotHolder(sender(&header)));
        }
        if !self.is("off-keeps-the-epoch") {
            inner.lease.release();
        }
        Self::switch_off(&mut inner);
        Ok(())
    }

    fn clear_faults(&self) {}

    #[zbus(signal)]
    async fn output(emitter: &SignalEmitter<'_>, output: DcOutput) -> zbus::Result<()>;

    #[zbus(signal)]
    async fn applied(emitter: &SignalEmitter<'_>, applied: Applied) -> zbus::Result<()>;

    #[zbus(property)]
    fn capability(&self) -> DcCapability {
        let voltage_min = if self.is("impossible-limits") { 2000.0 } else { RATED.voltage_min };
        DcCapability { voltage_min, ..RATED }
    }

    #[zbus(property)]
    fn discharge(&self) -> DcDischarge {
        DcDischarge::default()
    }

    #[zbus(property)]
    fn state(&self) -> SupplyState {
        let on = self.inner.lock().unwrap().set.is_some();
        if on { SupplyState::On } else { SupplyState::Off }
    }
}

pub(super) async fn run(connection: Connection, path: &str, fault: String) {
    let is = |wanted: &str| fault == wanted;
    let mut times = LeaseTimes::POWER_SUPPLY;
    if is("lapses-early") {
        times.lease = Duration::from_millis(60);
    }
    if is("waits-for-the-lapse") {
        times.after_holder_loss = times.lease;
    }
    let set = is("comes-back-on").then(|| (200.0, Stamp::new(1, 1, 1)));
    let inner = Inner { lease: Lease::new(times), set, news: Vec::new(), enabled: None };
    let supply = Supply { fault: fault.clone(), inner: Arc::new(Mutex::new(inner)) };
    connection.object_server().at(path, supply.clone()).await.unwrap();
    let mut holders = HolderWatch::new(&connection).await.unwrap();
    connection.request_name("com.example.Provider1").await.unwrap();
    let emitter = SignalEmitter::new(&connection, path).unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut sequence = 0_u64;
    for round in 0_u64.. {
        tokio::select! {
            _ = tick.tick() => {}
            lost = holders.lost() => supply.inner.lock().unwrap().lease.holder_lost(&lost, clock::now()),
        }
        let now = clock::now();
        let (news, enabled) = {
            let mut inner = supply.inner.lock().unwrap();
            (std::mem::take(&mut inner.news), inner.enabled.take())
        };
        if let Some(holder) = enabled {
            holders.watch(&holder);
        }
        if !is("comes-back-on") || !news.is_empty() {
            supply.poll(now);
        }
        for applied in news {
            Supply::applied(&emitter, applied).await.unwrap();
        }
        let every = if is("seldom-told") { 60 } else { 10 };
        if round.is_multiple_of(every) {
            sequence += u64::from(!is("not-numbered"));
            let voltage = supply.inner.lock().unwrap().set.map_or(0.0, |(voltage, _)| voltage);
            let measured = if is("stamped-old") { now - Duration::from_secs(4) } else { now };
            let output = DcOutput {
                sequence,
                voltage: voltage * if is("too-many-volts") { 1.1 } else { 1.0 },
                current: if is("current-while-off") { 5.0 } else { 0.0 },
                at: measured.as_micros(),
            };
            Supply::output(&emitter, output).await.unwrap();
        }
    }
}
