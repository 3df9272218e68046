//! The rules of `EnergyMeter1`: readings, and transactions that neither get lost nor run twice.

use std::time::Duration;

use futures_util::StreamExt as _;
use voltry_bus::{EnergyMeter1Proxy, MeterReading, SignedReading};
use voltry_service::clock;
use voltry_units::Timestamp;
use zbus::proxy::CacheProperties;

use super::every_role::{Stamped, Stream, refused_as};
use super::heard::Heard;
use super::provider::Provider;
use super::report::{Report, Trial, Unmet, broken};
use crate::outcome::Failure;

/// "Every second while the meter answers. Stale after 3 s."
const READING: Stream =
    Stream { period: Duration::from_secs(1), stale: Duration::from_secs(3), per_second: 5, watched: 4 };
/// By when a meter that was just started answers, times the slack.
const ANSWERS: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Watt-hours that a station can deliver between two calls: a megawatt for a minute.
const BETWEEN: f64 = 17_000.0;

impl Stamped for MeterReading {
    fn stamp(&self) -> (u64, Timestamp) {
        (self.sequence, Timestamp::from_micros(self.at))
    }
}

pub(super) async fn rules(provider: &mut Provider, report: &mut Report) -> Result<(), Failure> {
    let meter = Meter::new(provider).await?;
    let asks = "Reading every second";
    report.rule("reading-rate", asks, async || READING.rate(provider, &meter.heard).await).await;
    let asks = "Reading is numbered, and stamped when measured";
    report.rule("reading-fresh", asks, async || READING.freshness(provider, &meter.heard).await).await;
    let asks = "readings are possible numbers, and the register never falls";
    report.rule("register", asks, async || meter.register().await).await;
    let asks = "ReadRegister reads the meter now, and does not repeat what is known";
    report.rule("read-now", asks, async || meter.read_now().await).await;
    let asks = "Start and Stop give the register, and Unfinished names what runs between them";
    report.rule("transaction", asks, async || meter.transaction().await).await;
    let asks = "a second Start and a Stop of another are Refused; an empty name is Invalid";
    report.rule("refusals", asks, async || meter.refusals().await).await;
    let asks = "Stop again gives the same reading, to the byte";
    report.rule("stop-again", asks, async || meter.stop_again().await).await;
    let asks = "killed within a transaction, it still has it as Unfinished, and can stop it";
    report.rule("restart", asks, async || meter.restart(provider).await).await;
    Ok(())
}

struct Meter {
    meter: EnergyMeter1Proxy<'static>,
    heard: Heard<MeterReading>,
    answers: Duration,
}

impl Meter {
    async fn new(provider: &Provider) -> Result<Self, Failure> {
        let listening = proxy(provider).await?;
        let readings = listening.receive_reading().await?;
        let told = |signal: voltry_bus::proxies::Reading| Some(*signal.args().ok()?.reading());
        Ok(Self {
            meter: proxy(provider).await?,
            heard: Heard::of(readings.filter_map(move |signal| std::future::ready(told(signal)))),
            answers: provider.within(ANSWERS),
        })
    }

    /// A reading of now, of a meter that may just have been started.
    async fn read(&self) -> Result<MeterReading, Unmet> {
        let deadline = tokio::time::Instant::now() + self.answers;
        loop {
            match self.meter.read_register().await {
                Err(voltry_bus::Error::Unavailable(_)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LOOK).await;
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// Ends what somebody left open, so that a rule can begin.
    async fn rest(&self) -> Result<(), Unmet> {
        self.read().await?;
        let open = self.meter.unfinished().await?;
        if !open.is_empty() {
            self.meter.stop(&open).await?;
        }
        Ok(())
    }

    async fn register(&self) -> Trial {
        let before = self.read().await?;
        let resolution = self.meter.resolution().await?;
        if !(resolution.is_finite() && resolution > 0.0) {
            return broken(format!("Resolution is {resolution} Wh"));
        }
        let since = clock::now();
        tokio::time::sleep(READING.period * 3).await;
        let mut highest = before.energy_import;
        for (_, reading) in self.heard.since(since) {
            let MeterReading { voltage, current, power, energy_import, energy_export, .. } = reading;
            if ![voltage, current, power, energy_import, energy_export].iter().all(|value| value.is_finite())
            {
                return broken(format!("{reading:?}"));
            }
            if energy_import < highest || energy_export < 0.0 {
                return broken(format!("{energy_import} Wh after {highest} Wh"));
            }
            highest = energy_import;
        }
        if before.energy_import < 0.0 {
            return broken(format!("{} Wh", before.energy_import));
        }
        Ok(format!("{highest} Wh, to {resolution} Wh"))
    }

    async fn read_now(&self) -> Trial {
        self.read().await?;
        for _ in 0..3 {
            let asked = clock::now();
            let at = Timestamp::from_micros(self.read().await?.at);
            if at < asked || at > clock::now() {
                return broken(format!("measured {:?} before it was asked", asked.since(at)));
            }
        }
        Ok("three times measured after it was asked".to_owned())
    }

    async fn transaction(&self) -> Trial {
        self.rest().await?;
        let before = self.read().await?.energy_import;
        let start = self.meter.start("conform-1", "", "").await?;
        plausible(&start)?;
        let open = self.meter.unfinished().await?;
        if open != "conform-1" {
            return broken(format!("Unfinished is {open:?} after Start"));
        }
        let stop = self.meter.stop("conform-1").await?;
        plausible(&stop)?;
        let open = self.meter.unfinished().await?;
        if !open.is_empty() {
            return broken(format!("Unfinished is {open:?} after Stop"));
        }
        let after = self.read().await?.energy_import;
        let seen = format!(
            "{before} Wh, then {} and {} Wh, then {after} Wh ({})",
            start.energy, stop.energy, stop.format
        );
        let rises = [before, start.energy, stop.energy, after].is_sorted();
        if !rises || after - before > BETWEEN || start.format != stop.format {
            return broken(seen);
        }
        if self.meter.public_key().await? != stop.public_key && stop.format != "none" {
            return broken("PublicKey is not the key of the reading");
        }
        Ok(seen)
    }

    async fn refusals(&self) -> Trial {
        self.rest().await?;
        refused_as("Refused", "Stop while none is open", self.meter.stop("conform-none").await)?;
        refused_as("Invalid", "Start of an empty name", self.meter.start("", "", "").await)?;
        self.meter.start("conform-2", "", "").await?;
        refused_as("Refused", "a second Start", self.meter.start("conform-3", "", "").await)?;
        refused_as("Refused", "Start of the open one", self.meter.start("conform-2", "", "").await)?;
        refused_as("Refused", "Stop of another", self.meter.stop("conform-3").await)?;
        let open = self.meter.unfinished().await?;
        if open != "conform-2" {
            return broken(format!("Unfinished is {open:?} after what was refused"));
        }
        self.meter.stop("conform-2").await?;
        Ok("each by its name; the open one stays open".to_owned())
    }

    async fn stop_again(&self) -> Trial {
        self.rest().await?;
        self.meter.start("conform-4", "", "").await?;
        let first = self.meter.stop("conform-4").await?;
        let again = self.meter.stop("conform-4").await?;
        if first != again {
            return broken(format!("{first:?}, then {again:?}"));
        }
        Ok(format!("{} Wh both times", again.energy))
    }

    async fn restart(&self, provider: &mut Provider) -> Trial {
        if !provider.is_ours() {
            return Err(Unmet::NotTried("its program was not given after --".to_owned()));
        }
        self.rest().await?;
        let start = self.meter.start("conform-5", "", "").await?;
        provider.restart().await?;
        self.read().await?;
        let open = self.meter.unfinished().await?;
        if open != "conform-5" {
            return broken(format!("Unfinished is {open:?} after the restart"));
        }
        let stop = self.meter.stop("conform-5").await?;
        if stop.energy < start.energy {
            return broken(format!("started at {} Wh, stopped at {} Wh", start.energy, stop.energy));
        }
        Ok("it was still open, and was stopped".to_owned())
    }
}

/// A first or last reading says when it is of, and is signed or says that it is not.
fn plausible(reading: &SignedReading) -> Result<(), Unmet> {
    let signed = reading.format != "none";
    let whole = signed != reading.data.is_empty() && signed != reading.public_key.is_empty();
    let timed = reading.at > 0 && reading.at <= clock::now().as_micros() && reading.unix_time > 0;
    if !reading.energy.is_finite() || reading.energy < 0.0 || !whole || !timed {
        return broken(format!("{reading:?}"));
    }
    Ok(())
}

async fn proxy(provider: &Provider) -> Result<EnergyMeter1Proxy<'static>, Failure> {
    let connection = provider.connect().await?;
    let builder = EnergyMeter1Proxy::builder(&connection)
        .destination(provider.name.clone())
        .path(provider.path.clone())
        .cache_properties(CacheProperties::No);
    Ok(builder.build().await?)
}
