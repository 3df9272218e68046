//! The rules of those who only measure: `VoltageMonitor1`, `InsulationMonitor1`.

use std::time::Duration;

use futures_util::StreamExt as _;
use voltry_bus::{InsulationMonitor1Proxy, InsulationReading, VoltageMonitor1Proxy, VoltageReading};
use voltry_service::clock;
use voltry_units::Timestamp;
use zbus::proxy::CacheProperties;

use super::every_role::{Stamped, Stream};
use super::heard::Heard;
use super::provider::Provider;
use super::report::{Report, Trial, Unmet, broken};
use crate::outcome::Failure;

/// "Every 100 ms at least, no more than 50 a second; stale after 300 ms."
const VOLTAGE: Stream = Stream {
    period: Duration::from_millis(100),
    stale: Duration::from_millis(300),
    per_second: 50,
    watched: 20,
};
/// "Stale after 5 s"; how often one is finished is the device's.
const INSULATION: Stream =
    Stream { period: Duration::from_secs(2), stale: Duration::from_secs(5), per_second: 20, watched: 4 };
/// By when a monitor has ended its self-test that a CableCheck can wait for, times the slack.
const SELF_TEST: Duration = Duration::from_secs(30);
/// By when a monitor that was just started measures, times the slack.
const MEASURES: Duration = Duration::from_secs(30);

impl Stamped for VoltageReading {
    fn stamp(&self) -> (u64, Timestamp) {
        (self.sequence, Timestamp::from_micros(self.at))
    }
}

impl Stamped for InsulationReading {
    fn stamp(&self) -> (u64, Timestamp) {
        (self.sequence, Timestamp::from_micros(self.at))
    }
}

/// The rules of a voltage monitor.
pub(super) async fn voltage(provider: &Provider, report: &mut Report) -> Result<(), Failure> {
    let connection = provider.connect().await?;
    let builder = VoltageMonitor1Proxy::builder(&connection)
        .destination(provider.name.clone())
        .path(provider.path.clone());
    let monitor = builder.build().await?;
    let told = |signal: voltry_bus::proxies::Voltage| Some(*signal.args().ok()?.reading());
    let heard = monitor.receive_voltage().await?;
    let heard = Heard::of(heard.filter_map(move |signal| std::future::ready(told(signal))));
    heard.first(Timestamp::from_micros(0), provider.within(MEASURES), |_| true).await;
    let asks = "Voltage every 100 ms, at most 50 a second";
    report.rule("voltage-rate", asks, async || VOLTAGE.rate(provider, &heard).await).await;
    let asks = "Voltage is numbered, and stamped when measured";
    report.rule("voltage-fresh", asks, async || VOLTAGE.freshness(provider, &heard).await).await;
    let asks = "its voltages are possible numbers";
    report.rule("voltage", asks, async || possible_voltage(provider, &heard).await).await;
    Ok(())
}

async fn possible_voltage(provider: &Provider, heard: &Heard<VoltageReading>) -> Trial {
    let possible = |volts: f64| volts.is_finite() && (-1500.0..=1500.0).contains(&volts);
    match heard.first(clock::now(), provider.within(MEASURES), |_| true).await {
        Some((_, reading)) if possible(reading.voltage) => Ok(format!("{:.1} V", reading.voltage)),
        Some((_, reading)) => broken(format!("{} V", reading.voltage)),
        None => broken("no Voltage"),
    }
}

/// The rules of an insulation monitor.
pub(super) async fn insulation(provider: &Provider, report: &mut Report) -> Result<(), Failure> {
    let monitor = Monitor::new(provider).await?;
    monitor.heard.first(Timestamp::from_micros(0), provider.within(MEASURES), |_| true).await;
    let asks = "Insulation at least every 5 s while it measures";
    report.rule("insulation-rate", asks, async || INSULATION.rate(provider, &monitor.heard).await).await;
    let asks = "Insulation is numbered, and stamped when measured";
    report
        .rule("insulation-fresh", asks, async || INSULATION.freshness(provider, &monitor.heard).await)
        .await;
    let asks = "each is a new measurement by the device's counter, and possible ohms";
    report.rule("insulation", asks, async || monitor.counts(provider).await).await;
    let asks = "SetActive pauses it, and lets it measure again";
    report.rule("active", asks, async || monitor.pauses(provider).await).await;
    let asks = "its self-test ends, passed, and a valid value follows";
    report.rule("self-test", asks, async || monitor.tests_itself(provider).await).await;
    Ok(())
}

struct Monitor {
    monitor: InsulationMonitor1Proxy<'static>,
    heard: Heard<InsulationReading>,
    tested: Heard<voltry_bus::SelfTestResult>,
}

impl Monitor {
    async fn new(provider: &Provider) -> Result<Self, Failure> {
        let proxy = async || -> Result<InsulationMonitor1Proxy<'static>, Failure> {
            let builder = InsulationMonitor1Proxy::builder(&provider.connect().await?)
                .destination(provider.name.clone())
                .path(provider.path.clone())
                .cache_properties(CacheProperties::No);
            Ok(builder.build().await?)
        };
        let listening = proxy().await?;
        let (readings, ends) =
            (listening.receive_insulation().await?, listening.receive_self_test_finished().await?);
        let told = |signal: voltry_bus::proxies::Insulation| Some(*signal.args().ok()?.reading());
        let ended =
            |signal: voltry_bus::proxies::SelfTestFinished| Some(signal.args().ok()?.result().clone());
        Ok(Self {
            monitor: proxy().await?,
            heard: Heard::of(readings.filter_map(move |signal| std::future::ready(told(signal)))),
            tested: Heard::of(ends.filter_map(move |signal| std::future::ready(ended(signal)))),
        })
    }

    async fn counts(&self, provider: &Provider) -> Trial {
        let since = clock::now();
        let mut last: Option<InsulationReading> = None;
        for _ in 0..3 {
            let newer =
                |reading: &InsulationReading| last.is_none_or(|last| reading.sequence > last.sequence);
            let Some((_, reading)) = self.heard.first(since, provider.within(MEASURES), newer).await else {
                return broken("no Insulation");
            };
            if !reading.resistance.is_finite() || reading.resistance < 0.0 {
                return broken(format!("{} ohms", reading.resistance));
            }
            if last.is_some_and(|last| last.counter == reading.counter) {
                return broken(format!("its counter stays {}: the same measurement again", reading.counter));
            }
            last = Some(reading);
        }
        Ok(last.map_or_else(String::new, |last| {
            format!("{:.0} ohms, counter {}", last.resistance, last.counter)
        }))
    }

    async fn pauses(&self, provider: &Provider) -> Trial {
        self.set(provider, false).await?;
        self.set(provider, true).await?;
        let since = clock::now();
        let valid = |reading: &InsulationReading| reading.valid;
        match self.heard.first(since, provider.within(MEASURES), valid).await {
            Some((at, _)) => Ok(format!("measures again after {} ms", at.since(since).as_millis())),
            None => broken("no valid Insulation after SetActive(true)"),
        }
    }

    async fn set(&self, provider: &Provider, active: bool) -> Result<(), Unmet> {
        self.monitor.set_active(active).await?;
        let deadline = tokio::time::Instant::now() + provider.within(MEASURES);
        while self.monitor.active().await? != active {
            if tokio::time::Instant::now() >= deadline {
                return broken(format!("Active is not {active} after SetActive({active})"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn tests_itself(&self, provider: &Provider) -> Trial {
        self.monitor.set_active(true).await?;
        let since = clock::now();
        self.monitor.start_self_test().await?;
        let limit = provider.within(SELF_TEST);
        let Some((ended, result)) = self.tested.first(since, limit, |_| true).await else {
            return broken(format!("no SelfTestFinished within {} s", limit.as_secs()));
        };
        if !result.passed {
            return broken(format!("it failed: {}", result.detail));
        }
        let fresh = |reading: &InsulationReading| {
            reading.valid && Timestamp::from_micros(reading.at) >= Timestamp::from_micros(result.at)
        };
        if self.heard.first(since, limit, fresh).await.is_none() {
            return broken("no valid Insulation that was measured after it");
        }
        Ok(format!("passed after {} ms", ended.since(since).as_millis()))
    }
}
