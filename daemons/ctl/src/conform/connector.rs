//! The rules of `ConnectorIo1`: what it tells, what it refuses, and above all when its contactors are open.

use std::time::Duration;

use futures_util::StreamExt as _;
use voltry_bus::{Alarm, ConnectorIo1Proxy, ConnectorState, Contactors, Error, Lock, Pilot, PilotOutput};
use voltry_service::{LeaseHolder, Stamp, clock};
use voltry_units::Timestamp;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use super::every_role::{Stamped, Stream, refused_as};
use super::heard::Heard;
use super::provider::Provider;
use super::report::{Report, Trial, Unmet, broken};
use crate::outcome::Failure;

/// "Every 100 ms, and at once on a change. Stale after 300 ms."
const IO: Stream = Stream {
    period: Duration::from_millis(100),
    stale: Duration::from_millis(300),
    per_second: 50,
    watched: 20,
};
const LEASE: Duration = Duration::from_millis(500);
const RENEWED: Duration = Duration::from_millis(100);
/// A lease that was not renewed for so long may lapse, whoever is to blame.
const TOO_LATE: Duration = Duration::from_millis(400);
/// "Contactors open in 1 s" of the deaths: so long after the lease's end, with the feedback told. Times the slack.
const OPEN_AFTER_LAPSE: Duration = Duration::from_millis(500);
/// By when contactors have followed, times the slack.
const FOLLOWED: Duration = Duration::from_secs(3);
/// For how long a renewed lease is held.
const HELD: Duration = Duration::from_secs(2);
const TOO_OLD: Duration = Duration::from_millis(150);
const FUTURE: Duration = Duration::from_secs(10);
/// Before the holder's leaving opens contactors under load: "300 ms later".
const TRIES: usize = 3;

impl Stamped for ConnectorState {
    fn stamp(&self) -> (u64, Timestamp) {
        (self.sequence, Timestamp::from_micros(self.at))
    }
}

pub(super) async fn rules(provider: &mut Provider, report: &mut Report) -> Result<(), Failure> {
    let watch = Watch::new(provider).await?;
    watch.io.first(Timestamp::from_micros(0), provider.within(Duration::from_secs(15)), |_| true).await;
    let asks = "Io every 100 ms, at most 50 a second";
    report.rule("io-rate", asks, async || IO.rate(provider, &watch.io).await).await;
    let asks = "Io is numbered, and stamped when measured";
    report.rule("io-fresh", asks, async || IO.freshness(provider, &watch.io).await).await;
    let asks = "nobody has enabled it: contactors are open, and no emergency stop or safe state is told";
    report.rule("idle", asks, async || watch.idle().await).await;
    let asks = "no epoch is open: CloseContactors and RenewLease are Lapsed";
    report.rule("no-epoch", asks, async || no_epoch(provider, &watch).await).await;
    let asks = "stale epochs, numbers and messages are refused by name, and those of tomorrow";
    report.rule("stale", asks, async || stale(provider, &watch).await).await;
    let asks = "while one holds the lease another is NotHolder, and changes nothing";
    report.rule("one-holder", asks, async || one_holder(provider, &watch).await).await;
    let asks = "Enable alone closes nothing; CloseContactors does, and Io confirms it";
    report.rule("close", asks, async || close(provider, &watch).await).await;
    let asks = "renewed every 100 ms, contactors stay closed for two seconds";
    report.rule("renewed", asks, async || renewed(provider, &watch).await).await;
    let asks = "not renewed, they are open 500 ms later, and only a new epoch closes them";
    report.rule("lapse", asks, async || lapse(provider, &watch).await).await;
    let asks = "its holder leaves the bus: they open, at the latest when the lease lapses, and not at once under load";
    report.rule("holder-leaves", asks, async || holder_leaves(provider, &watch).await).await;
    let asks = "OpenContactors is accepted from anybody at any time, and ends the epoch";
    report.rule("open", asks, async || open(provider, &watch).await).await;
    let asks = "SetPilot is taken from anybody; locking where there is no lock is Refused";
    report.rule("pilot-and-lock", asks, async || pilot_and_lock(&watch).await).await;
    let asks = "killed while they are closed, it comes back open, and only a new epoch closes them";
    report.rule("restart", asks, async || restart(provider, &watch).await).await;
    Ok(())
}

async fn proxy(provider: &Provider, connection: &Connection) -> zbus::Result<ConnectorIo1Proxy<'static>> {
    ConnectorIo1Proxy::builder(connection)
        .destination(provider.name.clone())
        .path(provider.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

/// Who only looks, and opens.
struct Watch {
    connector: ConnectorIo1Proxy<'static>,
    io: Heard<ConnectorState>,
    slack: u32,
}

impl Watch {
    async fn new(provider: &Provider) -> Result<Self, Failure> {
        let listening = proxy(provider, &provider.connect().await?).await?;
        let io = listening.receive_io().await?;
        let told = |signal: voltry_bus::proxies::Io| Some(signal.args().ok()?.state().clone());
        Ok(Self {
            connector: proxy(provider, &provider.connect().await?).await?,
            io: Heard::of(io.filter_map(move |signal| std::future::ready(told(signal)))),
            slack: provider.slack,
        })
    }

    /// The first `Io` from now on whose contactors are so.
    async fn until(&self, wanted: Contactors) -> Result<ConnectorState, Unmet> {
        let limit = FOLLOWED * self.slack;
        match self.io.first(clock::now(), limit, |io| io.contactors == wanted).await {
            Some((_, io)) => Ok(io),
            None => broken(format!("contactors are not {wanted} within {} s", limit.as_secs())),
        }
    }

    /// Open, and the pilot without pulses: a board that closes for a vehicle alone sees one, or a resistor.
    async fn rest(&self) -> Result<(), Unmet> {
        self.connector.open_contactors().await?;
        self.connector.set_pilot(PilotOutput::X1).await?;
        let limit = FOLLOWED * self.slack;
        let rests = |io: &ConnectorState| io.contactors == Contactors::Open && io.pilot != Pilot::F;
        match self.io.first(clock::now(), limit, rests).await {
            Some(_) => Ok(()),
            None => broken(format!("not open with the pilot out of F within {} s", limit.as_secs())),
        }
    }

    async fn idle(&self) -> Trial {
        self.rest().await?;
        let io = self.until(Contactors::Open).await?;
        if io.emergency_stop || !io.safe_state.is_empty() {
            return broken(format!("emergency stop: {}; safe state: {:?}", io.emergency_stop, io.safe_state));
        }
        if let Some(alarm) = Alarm::ALL.iter().find(|alarm| io.alarms.contains(**alarm)) {
            return broken(format!("alarm: {alarm}"));
        }
        if io.temperatures.iter().any(|degrees| !degrees.is_finite()) {
            return broken(format!("temperatures {:?}", io.temperatures));
        }
        Ok(format!("open, pilot {}, lock {}, {:?} °C", io.pilot, io.lock, io.temperatures))
    }
}

/// Who closes.
struct Holder {
    connector: ConnectorIo1Proxy<'static>,
    lease: LeaseHolder,
}

impl Holder {
    async fn new(provider: &Provider) -> Result<Self, Unmet> {
        Ok(Self { connector: proxy(provider, &provider.connect().await?).await?, lease: LeaseHolder::new() })
    }

    async fn enable(&mut self) -> Result<(), Error> {
        self.connector.enable(self.lease.open(clock::now())).await
    }

    async fn close(&self, Stamp { epoch, sequence, sent_at }: Stamp) -> Result<(), Error> {
        self.connector.close_contactors(epoch, sequence, sent_at.as_micros()).await
    }

    async fn renew_stamped(&self, Stamp { epoch, sequence, sent_at }: Stamp) -> Result<(), Error> {
        self.connector.renew_lease(epoch, sequence, sent_at.as_micros()).await
    }

    /// Returns when it was sent: the lease runs from then.
    async fn renew(&mut self) -> Result<Timestamp, Error> {
        let stamp = self.lease.stamp(clock::now());
        self.renew_stamped(stamp).await?;
        Ok(stamp.sent_at)
    }

    /// Renews while `waited` goes on.
    async fn renewing<F: Future>(&mut self, waited: F) -> Result<F::Output, Unmet> {
        let mut waited = std::pin::pin!(waited);
        let mut tick = tokio::time::interval(RENEWED);
        let mut renewed = clock::now();
        loop {
            tokio::select! {
                done = &mut waited => return Ok(done),
                _ = tick.tick() => {}
            }
            match self.renew().await {
                Ok(sent) => renewed = sent,
                // It was on its way for too long, and the next may come in time.
                Err(Error::TooOld(_)) => {}
                Err(Error::Lapsed(_)) if clock::now().since(renewed) > TOO_LATE => return Err(too_slow()),
                Err(error) => return broken(format!("RenewLease: {error}")),
            }
        }
    }

    /// Opens an epoch and closes the contactors.
    async fn closed(&mut self, watch: &Watch) -> Result<(), Unmet> {
        self.enable().await?;
        let stamp = self.lease.stamp(clock::now());
        self.close(stamp).await.map_err(late)?;
        self.renewing(watch.until(Contactors::Closed)).await??;
        Ok(())
    }
}

fn too_slow() -> Unmet {
    Unmet::TooSlow("its answers, or this machine, took longer than a lease".to_owned())
}

/// Of a lease that was held a moment ago. One that lapses too early is another rule's.
fn late(error: Error) -> Unmet {
    if matches!(error, Error::TooOld(_) | Error::Lapsed(_)) { too_slow() } else { error.into() }
}

async fn no_epoch(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let holder = Holder::new(provider).await?;
    let stamp = |sequence| Stamp { epoch: 1, sequence, sent_at: clock::now() };
    refused_as("Lapsed", "CloseContactors", holder.close(stamp(1)).await)?;
    refused_as("Lapsed", "RenewLease", holder.renew_stamped(stamp(2)).await)?;
    Ok("both Lapsed".to_owned())
}

async fn stale(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    let tomorrow = (clock::now() + FUTURE).as_micros();
    refused_as("FromTheFuture", "Enable of an epoch to come", holder.connector.enable(tomorrow).await)?;
    let began = clock::now();
    let refusals = async {
        holder.enable().await?;
        let epoch = holder.lease.epoch();
        refused_as("StaleEpoch", "Enable of the open epoch", holder.connector.enable(epoch).await)?;
        let first = Stamp { epoch, sequence: 5, sent_at: clock::now() };
        holder.renew_stamped(first).await?;
        let with = |epoch, sequence, sent_at| Stamp { epoch, sequence, sent_at };
        let now = clock::now();
        let refused = [
            ("StaleEpoch", "CloseContactors of an older epoch", with(epoch - 1, 6, now)),
            ("StaleSequence", "CloseContactors with an old number", with(epoch, 5, now)),
            ("TooOld", "CloseContactors sent 150 ms ago", with(epoch, 7, now - TOO_OLD)),
            ("FromTheFuture", "CloseContactors to be sent", with(epoch, 8, now + FUTURE)),
        ];
        for (error, asked, stamp) in refused {
            refused_as(error, asked, holder.close(stamp).await)?;
        }
        holder.renew_stamped(with(epoch, 9, clock::now())).await?;
        Ok::<_, Unmet>(())
    };
    let refusals = refusals.await;
    if refusals.is_err() && clock::now().since(began) >= LEASE {
        return Err(too_slow());
    }
    refusals?;
    watch.rest().await?;
    Ok("each by its name; the open epoch goes on".to_owned())
}

async fn one_holder(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    let mut other = Holder::new(provider).await?;
    holder.closed(watch).await?;
    let epoch = holder.lease.epoch();
    let intrudes = async {
        refused_as("NotHolder", "Enable by another", other.enable().await)?;
        let stamp = |sequence| Stamp { epoch, sequence: u64::MAX - 9 + sequence, sent_at: clock::now() };
        refused_as("NotHolder", "CloseContactors by another", other.close(stamp(1)).await)?;
        refused_as("NotHolder", "RenewLease by another", other.renew_stamped(stamp(2)).await)?;
        watch.until(Contactors::Closed).await
    };
    holder.renewing(intrudes).await??;
    watch.rest().await?;
    Ok("three times NotHolder; they stay closed".to_owned())
}

async fn close(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    holder.enable().await?;
    let since = clock::now();
    holder.renewing(tokio::time::sleep(LEASE)).await?;
    if watch.io.since(since).iter().any(|(_, io)| io.contactors != Contactors::Open) {
        return broken("they closed before CloseContactors");
    }
    holder.closed(watch).await?;
    watch.rest().await?;
    Ok("open until CloseContactors, then closed by their feedback".to_owned())
}

async fn renewed(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    holder.closed(watch).await?;
    let since = clock::now();
    holder.renewing(tokio::time::sleep(HELD)).await?;
    if watch.io.since(since).iter().any(|(_, io)| io.contactors != Contactors::Closed) {
        return broken("they opened while the lease was renewed");
    }
    watch.rest().await?;
    Ok("closed all the time".to_owned())
}

async fn lapse(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    holder.closed(watch).await?;
    let renewed = holder.renew().await.map_err(late)?;
    let open = Timestamp::from_micros(watch.until(Contactors::Open).await?.at);
    let limit = provider.within(OPEN_AFTER_LAPSE);
    let after = open.since(renewed + LEASE);
    let seen = format!("open {} ms after the lease's end, at most {}", after.as_millis(), limit.as_millis());
    if open < renewed + LEASE {
        return broken(format!("open {} ms after it was renewed", open.since(renewed).as_millis()));
    }
    if after > limit {
        return broken(seen);
    }
    refused_as("Lapsed", "RenewLease after the lapse", holder.renew().await.map(|_| ()))?;
    let stamp = holder.lease.stamp(clock::now());
    refused_as("Lapsed", "CloseContactors after the lapse", holder.close(stamp).await)?;
    watch.rest().await?;
    holder.closed(watch).await?;
    watch.rest().await?;
    Ok(seen)
}

async fn holder_leaves(provider: &Provider, watch: &Watch) -> Trial {
    let mut seen = String::new();
    for _ in 0..TRIES {
        watch.rest().await?;
        let mut holder = Holder::new(provider).await?;
        holder.closed(watch).await?;
        let renewed = holder.renew().await.map_err(late)?;
        let connection = holder.connector.inner().connection().clone();
        drop(holder);
        connection.close().await?;
        let open = Timestamp::from_micros(watch.until(Contactors::Open).await?.at);
        seen = format!("open {} ms after it was renewed for the last time", open.since(renewed).as_millis());
        // One that only waits for the lapse is never that early, however often it is tried.
        if open < renewed + LEASE {
            return Ok(seen);
        }
    }
    broken(format!("{seen}, {TRIES} times after the lease's end"))
}

async fn open(provider: &Provider, watch: &Watch) -> Trial {
    watch.rest().await?;
    watch.connector.open_contactors().await?;
    let mut holder = Holder::new(provider).await?;
    holder.closed(watch).await?;
    let renewed = holder.renew().await.map_err(late)?;
    watch.rest().await?;
    // What lapsed by itself proves nothing.
    if clock::now().since(renewed) > TOO_LATE {
        return Err(too_slow());
    }
    refused_as("Lapsed", "RenewLease after OpenContactors", holder.renew().await.map(|_| ()))?;
    let stamp = holder.lease.stamp(clock::now());
    refused_as("Lapsed", "CloseContactors after OpenContactors", holder.close(stamp).await)?;
    Ok("taken from another connection; the epoch is over".to_owned())
}

async fn pilot_and_lock(watch: &Watch) -> Trial {
    watch.rest().await?;
    for output in [PilotOutput::X1, PilotOutput::Digital, PilotOutput::F] {
        watch.connector.set_pilot(output).await?;
    }
    let io = watch.until(Contactors::Open).await?;
    if io.lock == Lock::NotFitted {
        refused_as("Refused", "SetLock(true) without a lock", watch.connector.set_lock(true).await)?;
        return Ok("three outputs of the pilot; no lock, and none is claimed".to_owned());
    }
    for (locked, wanted) in [(true, Lock::Locked), (false, Lock::Unlocked)] {
        watch.connector.set_lock(locked).await?;
        let limit = FOLLOWED * watch.slack;
        if watch.io.first(clock::now(), limit, |io| io.lock == wanted).await.is_none() {
            return broken(format!("SetLock({locked}): it is not {wanted} within {} s", limit.as_secs()));
        }
    }
    Ok("three outputs of the pilot; it locks and unlocks".to_owned())
}

async fn restart(provider: &mut Provider, watch: &Watch) -> Trial {
    if !provider.is_ours() {
        return Err(Unmet::NotTried("its program was not given after --".to_owned()));
    }
    watch.rest().await?;
    let mut holder = Holder::new(provider).await?;
    holder.closed(watch).await?;
    let mut stamp = holder.lease.stamp(clock::now());
    provider.restart().await?;
    watch.until(Contactors::Open).await?;
    stamp.sent_at = clock::now();
    refused_as("Lapsed", "CloseContactors of the epoch before", holder.close(stamp).await)?;
    watch.rest().await?;
    holder.closed(watch).await?;
    watch.rest().await?;
    Ok("open after it, the old epoch is Lapsed, a new one closes them".to_owned())
}
