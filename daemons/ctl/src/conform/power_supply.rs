//! The rules of `PowerSupply1`: what it measures, what it refuses, and above all when it is off.

mod leases;
mod refusals;

use std::time::Duration;

use futures_util::StreamExt as _;
use voltry_bus::{Applied, DcCapability, DcOutput, Error, PowerSupply1Proxy, SupplyState};
use voltry_service::{LeaseHolder, Stamp, clock};
use voltry_units::Timestamp;
use zbus::Connection;
use zbus::proxy::CacheProperties;

use super::every_role::{Stamped, Stream};
use super::heard::Heard;
use super::provider::Provider;
use super::report::{Report, Trial, Unmet, broken};

/// "Every 100 ms at least, no more than 50 a second; stale after 300 ms."
const OUTPUT: Stream = Stream {
    period: Duration::from_millis(100),
    stale: Duration::from_millis(300),
    per_second: 50,
    watched: 20,
};
/// A lease, and how often it is renewed.
const LEASE: Duration = Duration::from_millis(500);
const RENEWED: Duration = Duration::from_millis(100);
/// A lease that was not renewed for so long may lapse, whoever is to blame.
const TOO_LATE: Duration = Duration::from_millis(400);
/// By when modules have followed a set-point, confirmed that they are off, or shown either. The
/// contract names no time for it; what has none by then does not charge a vehicle.
const FOLLOWED: Duration = Duration::from_secs(10);
/// By when a supply has found its modules.
const FOUND: Duration = Duration::from_secs(30);
/// How often a property is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Below this no current flows, amperes.
const NO_CURRENT: f64 = 1.0;
/// What the output is raised to, as far as the supply can: volts and amperes.
const AIM: (f64, f64) = (200.0, 2.0);

impl Stamped for DcOutput {
    fn stamp(&self) -> (u64, Timestamp) {
        (self.sequence, Timestamp::from_micros(self.at))
    }
}

pub(super) async fn rules(
    provider: &mut Provider,
    report: &mut Report,
) -> Result<(), crate::outcome::Failure> {
    let watch = Watch::new(provider).await?;
    let asks = "nobody has enabled it: it is off";
    report.rule("idle", asks, async || idle(&watch).await).await;
    let asks = "what it can give are possible numbers";
    report.rule("capability", asks, async || capability(&watch).await).await;
    let asks = "Output every 100 ms, at most 50 a second";
    report.rule("output-rate", asks, async || OUTPUT.rate(provider, &watch.output).await).await;
    let asks = "Output is numbered, and stamped when measured";
    report.rule("output-fresh", asks, async || OUTPUT.freshness(provider, &watch.output).await).await;
    refusals::rules(provider, &watch, report).await;
    leases::rules(provider, &watch, report).await;
    Ok(())
}

/// Who only looks, and switches off.
struct Watch {
    supply: PowerSupply1Proxy<'static>,
    output: Heard<DcOutput>,
    applied: Heard<Applied>,
    slack: u32,
}

async fn proxy(provider: &Provider, connection: &Connection) -> zbus::Result<PowerSupply1Proxy<'static>> {
    PowerSupply1Proxy::builder(connection)
        .destination(provider.name.clone())
        .path(provider.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await
}

impl Watch {
    async fn new(provider: &Provider) -> Result<Self, crate::outcome::Failure> {
        // Signals on a connection of their own: one that is slow to be read holds up no answer.
        let listening = proxy(provider, &provider.connect().await?).await?;
        let output = listening.receive_output().await?;
        let applied = listening.receive_applied().await?;
        let told = |signal: voltry_bus::proxies::Output| Some(*signal.args().ok()?.output());
        let confirmed = |signal: voltry_bus::proxies::Applied| Some(*signal.args().ok()?.applied());
        Ok(Self {
            supply: proxy(provider, &provider.connect().await?).await?,
            output: Heard::of(output.filter_map(move |signal| std::future::ready(told(signal)))),
            applied: Heard::of(applied.filter_map(move |signal| std::future::ready(confirmed(signal)))),
            slack: provider.slack,
        })
    }

    /// Switches it off, whoever enabled it; the next rule begins from there.
    async fn rest(&self) -> Result<(), Unmet> {
        self.supply.off().await?;
        self.not_on().await
    }

    async fn not_on(&self) -> Result<(), Unmet> {
        self.until(FOLLOWED, "State stays on", async || Ok(self.supply.state().await? != SupplyState::On))
            .await
    }

    async fn until(
        &self,
        limit: Duration,
        otherwise: &str,
        holds: impl AsyncFn() -> zbus::Result<bool>,
    ) -> Result<(), Unmet> {
        let deadline = tokio::time::Instant::now() + limit * self.slack;
        while !holds().await? {
            if tokio::time::Instant::now() >= deadline {
                return broken(format!("{otherwise} for {} s", (limit * self.slack).as_secs()));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// What it can give, once it has found its modules.
    async fn capability(&self) -> Result<DcCapability, Unmet> {
        self.until(FOUND, "it offers no power", async || Ok(self.supply.capability().await?.power_max > 0.0))
            .await?;
        Ok(self.supply.capability().await?)
    }

    /// It is off after `since`: all modules confirmed it, State says it, no current is measured.
    /// Returns when the last module confirmed.
    async fn off_since(&self, since: Timestamp) -> Result<Timestamp, Unmet> {
        let limit = FOLLOWED * self.slack;
        let Some((_, applied)) = self.applied.first(since, limit, |applied| applied.epoch == 0).await else {
            return broken(format!("no Applied with epoch 0 within {} s", limit.as_secs()));
        };
        self.not_on().await?;
        let no_current = |output: &DcOutput| output.current.abs() < NO_CURRENT;
        if self.output.first(clock::now(), limit, no_current).await.is_none() {
            return broken("its Output still measures a current");
        }
        Ok(Timestamp::from_micros(applied.at))
    }
}

/// Who energises.
struct Holder {
    supply: PowerSupply1Proxy<'static>,
    lease: LeaseHolder,
    /// When the lease was opened, or renewed last.
    renewed: Timestamp,
    /// Whether it was ever renewed so late that it may have lapsed.
    late: bool,
}

impl Holder {
    /// With a connection of its own, which ends with it.
    async fn new(provider: &Provider) -> Result<Self, Unmet> {
        let supply = proxy(provider, &provider.connect().await?).await?;
        Ok(Self { supply, lease: LeaseHolder::new(), renewed: Timestamp::from_micros(0), late: false })
    }

    async fn enable(&mut self) -> Result<(), Error> {
        let now = clock::now();
        (self.renewed, self.late) = (now, false);
        self.supply.enable(self.lease.open(now)).await
    }

    /// A refusal that may be this machine's: it was late itself.
    fn blame(&self, error: Error) -> Unmet {
        let late = self.late || clock::now().since(self.renewed) > TOO_LATE;
        let ours = matches!(error, Error::TooOld(_)) || late && matches!(error, Error::Lapsed(_));
        if ours { too_slow() } else { error.into() }
    }

    async fn set(&mut self, aim: (f64, f64)) -> Result<Stamp, Error> {
        let stamp = self.lease.stamp(clock::now());
        self.set_stamped(stamp, aim).await?;
        Ok(stamp)
    }

    async fn set_stamped(&self, stamp: Stamp, (voltage, current): (f64, f64)) -> Result<(), Error> {
        let Stamp { epoch, sequence, sent_at } = stamp;
        self.supply.set_output(epoch, sequence, sent_at.as_micros(), voltage, current).await
    }

    /// Returns when it was sent: the lease runs from then.
    async fn renew(&mut self) -> Result<Timestamp, Error> {
        let stamp = self.lease.stamp(clock::now());
        self.renew_stamped(stamp).await?;
        self.late |= stamp.sent_at.since(self.renewed) > TOO_LATE;
        self.renewed = stamp.sent_at;
        Ok(stamp.sent_at)
    }

    /// For the last time before something is seen of the lease's end.
    async fn renew_once_more(&mut self) -> Result<Timestamp, Unmet> {
        self.renew().await.map_err(|error| self.blame(error))
    }

    async fn renew_stamped(&self, Stamp { epoch, sequence, sent_at }: Stamp) -> Result<(), Error> {
        self.supply.renew_lease(epoch, sequence, sent_at.as_micros()).await
    }

    /// Renews while `waited` goes on.
    async fn renewing<F: Future>(&mut self, waited: F) -> Result<F::Output, Unmet> {
        let mut waited = std::pin::pin!(waited);
        let mut tick = tokio::time::interval(RENEWED);
        loop {
            tokio::select! {
                done = &mut waited => return Ok(done),
                _ = tick.tick() => {}
            }
            match self.renew().await {
                // It was on its way for too long, and the next may come in time.
                Ok(_) | Err(Error::TooOld(_)) => {}
                Err(error) => return Err(self.blame(error)),
            }
        }
    }

    /// Opens an epoch and raises the output; returns what it was raised to.
    async fn energise(&mut self, watch: &Watch) -> Result<(f64, f64), Unmet> {
        let can = watch.capability().await?;
        let aim = (AIM.0.max(can.voltage_min).min(can.voltage_max), AIM.1.min(can.current_max));
        let since = clock::now();
        self.enable().await?;
        let set = self.set(aim).await.map_err(|error| self.blame(error))?;
        let follows = |applied: &Applied| applied.epoch == set.epoch && applied.sequence >= set.sequence;
        let limit = FOLLOWED * watch.slack;
        let applied = self.renewing(watch.applied.first(since, limit, follows)).await?;
        if applied.is_none() {
            return broken(format!("no Applied for its set-point within {} s", limit.as_secs()));
        }
        let on = watch
            .until(FOLLOWED, "State is not on", async || Ok(watch.supply.state().await? == SupplyState::On));
        self.renewing(on).await??;
        Ok(aim)
    }
}

fn too_slow() -> Unmet {
    Unmet::TooSlow("its answers, or this machine, took longer than a lease".to_owned())
}

async fn idle(watch: &Watch) -> Trial {
    watch.rest().await?;
    watch.capability().await?;
    let state = watch.supply.state().await?;
    if !matches!(state, SupplyState::Off | SupplyState::Asleep) {
        return broken(format!("State is {state}"));
    }
    let limit = FOLLOWED * watch.slack;
    match watch.output.first(clock::now(), limit, |_| true).await {
        Some((_, output)) if output.current.abs() < NO_CURRENT => {
            Ok(format!("{state}, {:.1} V, {:.2} A", output.voltage, output.current))
        }
        Some((_, output)) => broken(format!("{:.2} A flow", output.current)),
        None => broken("no Output"),
    }
}

async fn capability(watch: &Watch) -> Trial {
    let DcCapability { voltage_min, voltage_max, current_max, power_max } = watch.capability().await?;
    let seen = format!("{voltage_min} to {voltage_max} V, {current_max} A, {power_max} W");
    let discharge = watch.supply.discharge().await?;
    let of_vehicle = [discharge.voltage_min, discharge.current_max, discharge.power_max];
    let all = [voltage_min, voltage_max, current_max, power_max].into_iter().chain(of_vehicle);
    let possible = all.clone().all(|value| value.is_finite() && value >= 0.0);
    if !possible || voltage_min > voltage_max || current_max <= 0.0 || power_max <= 0.0 {
        return broken(format!("{seen}; Discharge {discharge:?}"));
    }
    Ok(seen)
}
