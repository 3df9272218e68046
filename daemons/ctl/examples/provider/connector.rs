//! A connector without a lock, whose contactors follow at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use voltry_bus::{
    Alarm, Alarms, ConnectorState, Contactors, Error, Lock, Pilot, PilotFault, PilotOutput, Proximity,
};
use voltry_service::{HolderWatch, Lease, LeaseTimes, Refusal, Stamp, clock};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, interface};

struct Inner {
    lease: Lease,
    closed: bool,
    /// Who enabled it, to be watched.
    enabled: Option<String>,
}

#[derive(Clone)]
struct Connector {
    fault: String,
    inner: Arc<Mutex<Inner>>,
}

impl Connector {
    fn is(&self, fault: &str) -> bool {
        self.fault == fault
    }

    /// What the lease takes, or the fault.
    fn taken(&self, verdict: Result<(), Refusal>) -> Result<(), Error> {
        let fault = match verdict {
            Ok(()) => return Ok(()),
            Err(Refusal::NotHolder) => "takes-anybody",
            Err(Refusal::StaleEpoch { .. }) => "takes-old-epochs",
            Err(Refusal::StaleSequence { .. }) => "takes-old-numbers",
            Err(Refusal::TooOld { .. }) => "takes-old-messages",
            Err(Refusal::FromTheFuture { .. }) => "takes-the-future",
            Err(Refusal::Lapsed) => "takes-what-lapsed",
        };
        if self.is(fault) { Ok(()) } else { Ok(verdict?) }
    }
}

fn sender(header: &Header<'_>) -> String {
    header.sender().unwrap().to_string()
}

#[allow(clippy::needless_pass_by_value)]
#[interface(name = "org.voltry.ConnectorIo1", spawn = false)]
impl Connector {
    fn enable(&self, epoch: u64, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let mut inner = self.inner.lock().unwrap();
        let verdict = inner.lease.enable(&sender(&header), epoch, clock::now());
        self.taken(verdict)?;
        inner.closed = self.is("closed-by-enable");
        inner.enabled = Some(sender(&header));
        Ok(())
    }

    fn close_contactors(
        &self,
        epoch: u64,
        sequence: u64,
        sent_at: u64,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<(), Error> {
        let mut inner = self.inner.lock().unwrap();
        let stamp = Stamp::new(epoch, sequence, sent_at);
        let verdict = inner.lease.command(&sender(&header), stamp, clock::now());
        self.taken(verdict)?;
        inner.closed = true;
        Ok(())
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
        self.taken(verdict)
    }

    fn open_contactors(&self) {
        let mut inner = self.inner.lock().unwrap();
        if !self.is("open-keeps-the-epoch") {
            inner.lease.release();
        }
        inner.closed = false;
    }

    fn set_pilot(&self, output: PilotOutput) -> Result<(), Error> {
        if self.is("refuses-f") && output == PilotOutput::F {
            return Err(Error::Refused("no".to_owned()));
        }
        Ok(())
    }

    fn set_lock(&self, locked: bool) -> Result<(), Error> {
        if locked && !self.is("locks-without-a-lock") {
            return Err(Error::Refused("there is no lock".to_owned()));
        }
        Ok(())
    }

    fn reset(&self) {}

    #[zbus(signal)]
    async fn io(emitter: &SignalEmitter<'_>, state: ConnectorState) -> zbus::Result<()>;

    #[zbus(property)]
    fn opened_under_load(&self) -> u32 {
        0
    }
}

pub(super) async fn run(connection: Connection, path: &str, fault: String) {
    let mut times = LeaseTimes::CONTACTORS;
    if fault == "lapses-early" {
        times.lease = Duration::from_millis(60);
    }
    if fault == "waits-for-the-lapse" {
        times.after_holder_loss = times.lease;
    }
    let closed = fault == "comes-back-closed";
    let inner = Inner { lease: Lease::new(times), closed, enabled: None };
    let connector = Connector { fault, inner: Arc::new(Mutex::new(inner)) };
    connection.object_server().at(path, connector.clone()).await.unwrap();
    let mut holders = HolderWatch::new(&connection).await.unwrap();
    connection.request_name("com.example.Provider1").await.unwrap();
    let emitter = SignalEmitter::new(&connection, path).unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut sequence = 0;
    for round in 0_u64.. {
        tokio::select! {
            _ = tick.tick() => {}
            lost = holders.lost() => connector.inner.lock().unwrap().lease.holder_lost(&lost, clock::now()),
        }
        let now = clock::now();
        let (closed, enabled) = {
            let mut inner = connector.inner.lock().unwrap();
            let stays = connector.is("never-lapses") || connector.is("comes-back-closed");
            if !inner.lease.poll(now).may_energise() && !stays {
                inner.closed = false;
            }
            (inner.closed, inner.enabled.take())
        };
        if let Some(holder) = enabled {
            holders.watch(&holder);
        }
        if !round.is_multiple_of(if connector.is("seldom-told") { 30 } else { 4 }) {
            continue;
        }
        sequence += u64::from(!connector.is("not-numbered"));
        let at = if connector.is("stamped-old") { now - Duration::from_secs(1) } else { now };
        let state = ConnectorState {
            sequence,
            pilot: Pilot::A,
            pilot_fault: PilotFault::None,
            proximity: Proximity::NotUsed,
            contactors: if closed { Contactors::Closed } else { Contactors::Open },
            lock: Lock::NotFitted,
            emergency_stop: connector.is("emergency-stop"),
            alarms: Alarms::default().set(Alarm::Water, connector.is("water")),
            safe_state: String::new(),
            temperatures: vec![25.0],
            at: at.as_micros(),
        };
        Connector::io(&emitter, state).await.unwrap();
    }
}
