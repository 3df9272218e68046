//! What one EVSE and its meter say on the bus, as inputs of the control loop.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;
use voltry_bus::{
    DcCapability, Device1Proxy, EnergyMeter1Proxy, Error, Evse1Proxy, EvseEnding, EvseSession, EvseState,
    Fault, Live, MeterReading, SelfTest1Proxy,
};
use voltry_service::{Binding, FaultLog, Refusals};
use zbus::fdo::PropertiesProxy;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant};

use crate::control::ANSWER;
use crate::device_watch;

/// The longest reason taken, in bytes; the rest is cut off.
const REASON_MAX: usize = 200;

/// What was heard.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// State and session, read together.
    Evse {
        /// Where the EVSE stands.
        state: EvseState,
        /// Its session.
        session: EvseSession,
        /// The evidence of how it ended.
        ending: EvseEnding,
        /// What its vehicle calls itself (AutoCharge); empty: none.
        vehicle_id: String,
        /// The contract that its vehicle proved to hold; empty: none.
        contract: String,
        /// What it can deliver.
        capability: DcCapability,
    },
    /// The faults of the EVSE.
    Faults(Vec<Fault>),
    /// The faults of a device of the EVSE.
    Device {
        /// Its path below `/org/voltry`.
        device: String,
        /// What is wrong with it now.
        faults: Vec<Fault>,
    },
    /// What flows.
    Live(Live),
    /// A reading of its meter.
    Meter(MeterReading),
    /// Its daemon is not on the bus.
    Absent,
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
    /// What it was not told.
    pub(crate) untold: Arc<Refusals>,
    /// What it or its meter said that is not as the contract says.
    malformed: Arc<Refusals>,
    pub(crate) self_test: SelfTest1Proxy<'static>,
    pub(crate) device: Device1Proxy<'static>,
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
            untold: Arc::new(Refusals::told_as("an EVSE was not told")),
            malformed: Arc::new(Refusals::told_as("what is not as the contract says was dropped")),
            evse: Evse1Proxy::builder(connection)
                .destination(name.clone())
                .path(path.clone())
                .cache_properties(CacheProperties::No)
                .build()
                .await?,
            self_test: SelfTest1Proxy::builder(connection)
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

/// Listens to every EVSE and its devices, in tasks that end with the bus.
pub(crate) fn listen_to_all(
    evses: BTreeMap<u32, Proxies>,
    heard: &mpsc::Sender<(u32, Heard)>,
    parts: &mut JoinSet<anyhow::Result<()>>,
) {
    for (number, proxies) in evses {
        parts.spawn(device_watch::listen(number, proxies.clone(), heard.clone()));
        parts.spawn(listen(number, proxies, heard.clone()));
    }
}

/// Listens to one EVSE for as long as the bus lasts. The channel's capacity bounds what waits;
/// a full one slows this task, and the bus drops nothing.
///
/// Each stream is read from when it is there, whatever else is awaited: the connection stands still
/// while one of them is full, and then no answer behind what fills it would ever be read.
///
/// # Errors
/// The bus is lost.
async fn listen(number: u32, proxies: Proxies, heard: mpsc::Sender<(u32, Heard)>) -> anyhow::Result<()> {
    let ear = Ear { number, proxies, heard, changed: Notify::new(), gone: Notify::new() };
    let ((), (), (), (), ()) =
        tokio::try_join!(ear.presence(), ear.properties(), ear.live(), ear.meter(), ear.changes())?;
    Ok(())
}

struct Ear {
    number: u32,
    proxies: Proxies,
    heard: mpsc::Sender<(u32, Heard)>,
    /// The properties are to be read: one more stream is there, the EVSE came, or told a change.
    changed: Notify,
    gone: Notify,
}

impl Ear {
    async fn presence(&self) -> anyhow::Result<()> {
        let mut owners = self.proxies.evse.inner().receive_owner_changed().await?;
        self.changed.notify_one();
        loop {
            if owners.next().await.context("bus lost")?.is_some() {
                self.changed.notify_one();
            } else {
                self.gone.notify_waiters();
                self.tell(Heard::Lost).await?;
            }
        }
    }

    async fn changes(&self) -> anyhow::Result<()> {
        let mut changes = self.proxies.properties.receive_properties_changed().await?;
        loop {
            self.changed.notify_one();
            changes.next().await.context("bus lost")?;
        }
    }

    async fn live(&self) -> anyhow::Result<()> {
        let mut signals = self.proxies.evse.receive_live().await?;
        loop {
            let signal = signals.next().await.context("bus lost")?;
            if let Ok(args) = self.proxies.malformed.note("Live", signal.args()) {
                self.tell(Heard::Live(args.live)).await?;
            }
        }
    }

    async fn meter(&self) -> anyhow::Result<()> {
        let mut signals = self.proxies.meter.receive_reading().await?;
        loop {
            let signal = signals.next().await.context("bus lost")?;
            if let Ok(args) = self.proxies.malformed.note("Reading", signal.args()) {
                self.tell(Heard::Meter(args.reading)).await?;
            }
        }
    }

    /// Reads the properties whenever they may be others. An absent EVSE is learnt of by its silence.
    async fn properties(&self) -> anyhow::Result<()> {
        loop {
            self.changed.notified().await;
            let told = tokio::select! {
                biased;
                () = self.gone.notified() => continue,
                told = snapshot(&self.proxies) => told,
            };
            for one in told {
                self.tell(one).await?;
            }
        }
    }

    async fn tell(&self, news: Heard) -> anyhow::Result<()> {
        self.heard.send((self.number, news)).await.context("the control loop ended")
    }
}

/// Everything that properties tell. State and session come in one message, so that they belong
/// together.
async fn snapshot(proxies: &Proxies) -> Vec<Heard> {
    let interface = zbus::names::InterfaceName::from_static_str_unchecked("org.voltry.Evse1");
    let mut heard = Vec::new();
    match timeout(ANSWER, proxies.properties.get_all(interface)).await {
        Ok(Ok(all)) => {
            let evse = evse_of(all).map_err(|error| format!("{error:#}"));
            heard.extend(proxies.malformed.note("GetAll", evse).ok());
        }
        Ok(Err(zbus::fdo::Error::ServiceUnknown(_) | zbus::fdo::Error::NameHasNoOwner(_))) => {
            heard.push(Heard::Absent);
            return heard;
        }
        Ok(Err(error)) => debug!(%error, "the EVSE does not answer"),
        Err(_) => debug!("the EVSE hangs"),
    }
    if let Ok(Ok(mut faults)) = timeout(ANSWER, proxies.device.faults()).await {
        faults.truncate(FaultLog::MAX);
        heard.push(Heard::Faults(faults));
    }
    heard
}

fn evse_of(mut properties: HashMap<String, OwnedVariant>) -> anyhow::Result<Heard> {
    // An OEM's may be older than this property.
    let vehicle_id = properties.remove("VehicleId").and_then(|id| id.try_into().ok()).unwrap_or_default();
    let mut ending: EvseEnding =
        properties.remove("Ending").and_then(|ending| ending.try_into().ok()).unwrap_or_default();
    ending.evidence.truncate(ending.evidence.floor_char_boundary(REASON_MAX));
    let mut take = |name: &str| properties.remove(name).with_context(|| format!("no property {name}"));
    let state = take("State")?.try_into()?;
    let mut session: EvseSession = take("Session")?.try_into()?;
    // It goes into the book.
    session.end_reason.truncate(session.end_reason.floor_char_boundary(REASON_MAX));
    Ok(Heard::Evse {
        state,
        session,
        ending,
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
