//! What one EVSE and its meter say on the bus, as inputs of the control loop.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};
use voltry_bus::{
    DcCapability, Device1Proxy, EnergyMeter1Proxy, Error, Evse1Proxy, EvseSession, EvseState, Fault, Live,
    MeterReading,
};
use voltry_service::Binding;
use zbus::fdo::PropertiesProxy;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant};

/// What was heard.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// State and session, read together.
    Evse {
        /// Where the EVSE stands.
        state: EvseState,
        /// Its session.
        session: EvseSession,
        /// What its vehicle calls itself (AutoCharge); empty: none.
        vehicle_id: String,
        /// The contract that its vehicle proved to hold; empty: none.
        contract: String,
        /// What it can deliver.
        capability: DcCapability,
    },
    /// The faults of the EVSE.
    Faults(Vec<Fault>),
    /// What flows.
    Live(Live),
    /// A reading of its meter.
    Meter(MeterReading),
    /// Its daemon left the bus.
    Lost,
}

/// The proxies of one EVSE.
#[derive(Debug, Clone)]
pub(crate) struct Proxies {
    /// Its energy path.
    pub(crate) evse: Evse1Proxy<'static>,
    /// Its meter.
    pub(crate) meter: EnergyMeter1Proxy<'static>,
    device: Device1Proxy<'static>,
    properties: PropertiesProxy<'static>,
}

impl Proxies {
    /// Proxies without a cache: what is acted on is read anew.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn new(connection: &Connection, evse: &Binding, meter: &Binding) -> zbus::Result<Self> {
        let (name, path) = (evse.name.clone(), evse.path.clone());
        Ok(Self {
            evse: Evse1Proxy::builder(connection)
                .destination(name.clone())
                .path(path.clone())
                .cache_properties(CacheProperties::No)
                .build()
                .await?,
            device: Device1Proxy::builder(connection)
                .destination(name.clone())
                .path(path.clone())
                .cache_properties(CacheProperties::No)
                .build()
                .await?,
            properties: PropertiesProxy::builder(connection).destination(name).path(path).build().await?,
            meter: EnergyMeter1Proxy::builder(connection)
                .destination(meter.name.clone())
                .path(meter.path.clone())
                .cache_properties(CacheProperties::No)
                .build()
                .await?,
        })
    }
}

/// Somebody waits for what an EVSE answers here: this long at most. voltryctl waits 5 s, and would
/// take us for the one that hangs.
const ASKED: Duration = Duration::from_secs(3);

/// What an EVSE answers to what somebody asked of it.
///
/// # Errors
/// Its own, or [`Error::Unavailable`] if it hangs.
pub(crate) async fn asked<T>(evse: u32, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let hangs = || {
        let seconds = ASKED.as_secs();
        format!("EVSE {evse} does not answer within {seconds} s: voltry-evse@{evse} is on the bus, and hangs")
    };
    timeout(ASKED, call).await.unwrap_or_else(|_| Err(Error::Unavailable(hangs())))
}

/// Listens to one EVSE for as long as the bus lasts. The channel's capacity bounds what waits;
/// a full one slows this task, and the bus drops nothing.
///
/// # Errors
/// The bus is lost.
pub(crate) async fn listen(
    number: u32,
    proxies: Proxies,
    heard: mpsc::Sender<(u32, Heard)>,
) -> anyhow::Result<()> {
    let mut owners = proxies.evse.inner().receive_owner_changed().await?;
    let mut changes = proxies.properties.receive_properties_changed().await?;
    let mut live = proxies.evse.receive_live().await?;
    let mut readings = proxies.meter.receive_reading().await?;
    // After the subscriptions, so that no change is missed in between. An absent EVSE is
    // learnt of by its silence.
    for news in snapshot(&proxies).await {
        heard.send((number, news)).await?;
    }
    loop {
        let news = tokio::select! {
            owner = owners.next() => match owner.context("bus lost")? {
                Some(_) => snapshot(&proxies).await,
                None => vec![Heard::Lost],
            },
            change = changes.next() => {
                change.context("bus lost")?;
                snapshot(&proxies).await
            }
            signal = live.next() => match signal.context("bus lost")?.args() {
                Ok(args) => vec![Heard::Live(args.live)],
                Err(error) => malformed(number, &error),
            },
            signal = readings.next() => match signal.context("bus lost")?.args() {
                Ok(args) => vec![Heard::Meter(args.reading)],
                Err(error) => malformed(number, &error),
            },
        };
        for one in news {
            heard.send((number, one)).await?;
        }
    }
}

fn malformed(evse: u32, error: &zbus::Error) -> Vec<Heard> {
    warn!(evse, %error, "a signal of the wrong form was dropped");
    Vec::new()
}

/// Everything that properties tell. State and session come in one message, so that they belong
/// together.
async fn snapshot(proxies: &Proxies) -> Vec<Heard> {
    let interface = zbus::names::InterfaceName::from_static_str_unchecked("org.voltry.Evse1");
    let mut heard = Vec::new();
    match proxies.properties.get_all(interface).await {
        Ok(all) => match evse_of(all) {
            Ok(evse) => heard.push(evse),
            Err(error) => {
                warn!(error = %format!("{error:#}"), "an EVSE's properties are not as the contract says");
            }
        },
        Err(error) => debug!(%error, "the EVSE does not answer"),
    }
    if let Ok(faults) = proxies.device.faults().await {
        heard.push(Heard::Faults(faults));
    }
    heard
}

fn evse_of(mut properties: HashMap<String, OwnedVariant>) -> anyhow::Result<Heard> {
    // An OEM's may be older than this property.
    let vehicle_id = properties.remove("VehicleId").and_then(|id| id.try_into().ok()).unwrap_or_default();
    let mut take = |name: &str| properties.remove(name).with_context(|| format!("no property {name}"));
    Ok(Heard::Evse {
        state: take("State")?.try_into()?,
        session: take("Session")?.try_into()?,
        vehicle_id,
        contract: take("Contract")?.try_into()?,
        capability: take("Capability")?.try_into()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_evse_that_hangs_is_told_before_whoever_asked_gives_up() {
        let began = tokio::time::Instant::now();
        let answer = asked::<()>(2, std::future::pending()).await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        let Err(Error::Unavailable(text)) = answer else { panic!("{answer:?}") };
        assert!(text.contains("voltry-evse@2 is on the bus, and hangs"), "{text}");
        assert!(asked(2, async { Ok(7) }).await.is_ok_and(|answer| answer == 7));
    }
}
