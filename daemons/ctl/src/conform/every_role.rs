//! What every provider serves: its interface as `dbus/*.xml` has it, and `Device1` beside it.

use std::time::Duration;

use voltry_bus::{Device1Proxy, contract};
use voltry_service::clock;
use voltry_units::Timestamp;
use zbus::DBusError as _;
use zbus::fdo::IntrospectableProxy;
use zbus::proxy::CacheProperties;

use super::heard::Heard;
use super::provider::Provider;
use super::report::{Report, Trial, Unmet, broken};
use crate::cli::Role;

/// How often a state is looked at that no signal tells.
const LOOK: Duration = Duration::from_millis(50);
/// By when a device that was just started answers, times the slack.
const ONLINE: Duration = Duration::from_secs(15);

pub(super) async fn rules(provider: &Provider, role: Role, report: &mut Report) {
    let asks = "introspection is what dbus/*.xml says";
    report.rule("contract", asks, async || introspection(provider, role.interface()).await).await;
    let asks = "Device1 is beside it, says who made it, answers and has no fault";
    report.rule("device", asks, async || device(provider).await).await;
}

async fn introspection(provider: &Provider, interface: &str) -> Trial {
    let connection = provider.connect().await?;
    let proxy = IntrospectableProxy::builder(&connection)
        .destination(provider.name.clone())
        .path(provider.path.clone())
        .build()
        .await?;
    let xml = proxy.introspect().await.map_err(zbus::Error::from)?;
    match contract::check_served(&xml, &[interface, "org.voltry.Device1"]) {
        Ok(()) => Ok(format!("{interface} and Device1 as they are written")),
        Err(difference) => broken(difference),
    }
}

async fn device(provider: &Provider) -> Trial {
    let connection = provider.connect().await?;
    let device = Device1Proxy::builder(&connection)
        .destination(provider.name.clone())
        .path(provider.path.clone())
        .cache_properties(CacheProperties::No)
        .build()
        .await?;
    let limit = tokio::time::Instant::now() + provider.within(ONLINE);
    while !device.online().await? {
        if tokio::time::Instant::now() >= limit {
            return broken("Online is false: the device does not answer");
        }
        tokio::time::sleep(LOOK).await;
    }
    // Each must be there and of its type, whatever it says.
    let (vendor, model) = (device.vendor().await?, device.model().await?);
    device.serial().await?;
    device.firmware().await?;
    device.component().await?;
    let (parts, variables, faults) =
        (device.parts().await?.len(), device.variables().await?.len(), device.faults().await?.len());
    if parts > 32 || variables > 256 || faults > 32 {
        return broken(format!("{parts} parts, {variables} variables, {faults} faults: too many"));
    }
    if let Some(fault) = device.faults().await?.first() {
        return broken(format!("it has a fault: {}: {}", fault.code, fault.cause));
    }
    Ok(format!("{vendor} {model}, online, no fault").trim().to_owned())
}

/// A call must be refused with this error of the contract.
pub(super) fn refused_as<T>(
    wanted: &str,
    asked: &str,
    answer: Result<T, voltry_bus::Error>,
) -> Result<(), Unmet> {
    match answer {
        Err(error) if error.name().as_str() == format!("org.voltry.Error.{wanted}") => Ok(()),
        Err(error) => broken(format!("{asked}: refused as {error}, not as {wanted}")),
        Ok(_) => broken(format!("{asked}: accepted, not refused as {wanted}")),
    }
}

/// What holds for every stream of measurements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    /// One comes so often.
    pub(super) period: Duration,
    /// Then it is stale.
    pub(super) stale: Duration,
    /// At most so many a second.
    pub(super) per_second: usize,
    /// How many periods are watched.
    pub(super) watched: u32,
}

/// A measurement as far as its stream is concerned.
pub(super) trait Stamped {
    /// Its number, and when the device measured it.
    fn stamp(&self) -> (u64, Timestamp);
}

impl Stream {
    /// Watches for some periods whether measurements come often enough, and not too often.
    pub(super) async fn rate<T: Stamped + Clone + Send + 'static>(
        self,
        provider: &Provider,
        heard: &Heard<T>,
    ) -> Trial {
        let all = self.watch(heard).await?;
        let span = self.period * self.watched;
        let gap = all.windows(2).map(|two| two[1].0.since(two[0].0)).max().unwrap_or(span);
        let most = self.per_second * usize::try_from(span.as_secs() + 1).unwrap_or(usize::MAX);
        let fewest = usize::try_from(self.watched / (2 * provider.slack)).unwrap_or(usize::MAX);
        let seen =
            format!("{} in {} ms, the longest gap {} ms", all.len(), span.as_millis(), gap.as_millis());
        if gap > provider.within(self.stale) || all.len() > most || all.len() < fewest {
            return broken(seen);
        }
        Ok(seen)
    }

    /// Watches whether each is numbered, and stamped with when the device measured it.
    pub(super) async fn freshness<T: Stamped + Clone + Send + 'static>(
        self,
        provider: &Provider,
        heard: &Heard<T>,
    ) -> Trial {
        let all = self.watch(heard).await?;
        let mut oldest = Duration::ZERO;
        for (heard_at, measured) in &all {
            let (number, at) = measured.stamp();
            if at > *heard_at {
                return broken(format!("number {number} is stamped {:?} after it came", at.since(*heard_at)));
            }
            oldest = oldest.max(heard_at.since(at));
        }
        for two in all.windows(2) {
            let ((number, at), (next, later)) = (two[0].1.stamp(), two[1].1.stamp());
            if next != number + 1 {
                return broken(format!("number {next} follows number {number}"));
            }
            if later < at {
                return broken(format!("number {next} was measured before number {number}"));
            }
        }
        let (first, last) = (all[0].1.stamp().1, all[all.len() - 1].1.stamp().1);
        if last <= first {
            return broken("all were measured at the same instant");
        }
        let seen = format!("{} numbered one by one, at most {} ms old", all.len(), oldest.as_millis());
        if oldest > provider.within(self.stale) { broken(seen) } else { Ok(seen) }
    }

    async fn watch<T: Clone + Send + 'static>(self, heard: &Heard<T>) -> Result<Vec<(Timestamp, T)>, Unmet> {
        let since = clock::now();
        tokio::time::sleep(self.period * self.watched).await;
        let all = heard.since(since);
        if all.len() < 2 {
            return broken(format!("{} measurements in {:?}", all.len(), self.period * self.watched));
        }
        Ok(all)
    }
}
