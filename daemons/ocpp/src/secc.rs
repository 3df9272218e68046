//! The station's ends of its charging conversations on the bus: contract certificates that vehicles ask
//! for, contracts that they show, and the certificates that the CSMS installs for them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};
use voltry_bus::proxies::{
    Certificates1Proxy, ChargingSchedules1Proxy, Chosen, ContractCertificates1Proxy, Requested, Shown,
    Wanted as WantedSignal,
};
use voltry_bus::{CertificateAnswer, ScheduleOffer, ShownContract};
use zbus::proxy::CacheProperties;
use zbus::{MatchRule, MessageStream};

use crate::certificates::{
    Folder, HashAlgorithm, HashData, Listed, Outcome, Own, Request, Summary, Use, parse_chain,
};
use crate::plug_and_charge::{Contract, Wanted, status_request};
use crate::uplink::Input;

/// The links' names on the bus begin so.
const NAMES: &str = "org.voltry.Secc";
const INTERFACE: &str = "org.voltry.ContractCertificates1";
const SCHEDULES: &str = "org.voltry.ChargingSchedules1";
/// A link answers within this time, or hangs.
const ANSWER: Duration = Duration::from_secs(2);
/// Questions whose answers are under way: each vehicle has one.
const OPEN_MAX: usize = 32;
/// Certificates of a contract that are looked at.
const CHAIN_MAX: usize = 4;

/// The EVSE whose vehicle a link speaks with: they have the same numbers.
fn evse_of(path: &zbus::ObjectPath<'_>) -> Option<u32> {
    path.rsplit('/').next()?.parse().ok()
}

/// Who asked: sender, path, and the id that the answer must name.
type Asker = (String, String, u64);

/// Whoever speaks with vehicles.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    connection: zbus::Connection,
    inputs: mpsc::Sender<Input>,
    open: Arc<Mutex<(u64, BTreeMap<u64, Asker>)>>,
}

impl Links {
    pub(crate) fn new(connection: &zbus::Connection, inputs: mpsc::Sender<Input>) -> Self {
        Self { connection: connection.clone(), inputs, open: Arc::default() }
    }

    /// Listens for as long as the bus lasts. The bus lets none but charging links send these signals.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn listen(self) -> anyhow::Result<()> {
        let signals = async |interface: &'static str| {
            let signal = zbus::message::Type::Signal;
            let rule = MatchRule::builder().msg_type(signal).interface(interface).build()?;
            MessageStream::for_match_rule(rule, &self.connection, NonZeroUsize::new(OPEN_MAX)).await
        };
        let (contracts, schedules) = (signals(INTERFACE).await?, signals(SCHEDULES).await?);
        let mut signals = futures_util::stream::select(contracts, schedules);
        while let Some(signal) = signals.next().await {
            if let Some(input) = self.input(&signal?) {
                self.inputs.send(input).await?;
            }
        }
        anyhow::bail!("bus lost")
    }

    fn input(&self, signal: &zbus::Message) -> Option<Input> {
        let header = signal.header();
        match header.member()?.as_str() {
            "Requested" => {
                let asked = Requested::from_message(signal.clone())?;
                let request = asked.args().ok()?.request().clone();
                let asker = (header.sender()?.to_string(), header.path()?.to_string(), request.id);
                let ticket = self.open.lock().ok().map(|mut open| {
                    let (next, open) = &mut *open;
                    *next += 1;
                    open.insert(*next, asker);
                    if open.len() > OPEN_MAX {
                        open.pop_first();
                    }
                    *next
                })?;
                let update = request.kind == "update";
                Some(Input::ContractWanted(Wanted {
                    ticket,
                    update,
                    schema: request.schema,
                    message: request.message,
                }))
            }
            "Shown" => {
                let shown = Shown::from_message(signal.clone())?;
                let ShownContract { emaid, mut chain } = shown.args().ok()?.contract().clone();
                chain.truncate(CHAIN_MAX);
                Some(Input::ContractShown(Contract { emaid, chain }))
            }
            "Wanted" => {
                let wanted = WantedSignal::from_message(signal.clone())?;
                let request = wanted.args().ok()?.request().clone();
                Some(Input::SchedulesWanted(evse_of(header.path()?)?, request))
            }
            "Chosen" => {
                let chosen = Chosen::from_message(signal.clone())?;
                let choice = chosen.args().ok()?.chosen().clone();
                Some(Input::ScheduleChosen(evse_of(header.path()?)?, choice))
            }
            _ => None,
        }
    }

    /// Offers schedules to the vehicle at an EVSE; one that is gone takes none.
    pub(crate) async fn offer(self, evse: u32, offer: ScheduleOffer) {
        let number = evse.to_string();
        let told = async {
            let link = ChargingSchedules1Proxy::builder(&self.connection)
                .destination(format!("{NAMES}.N{number}"))
                .path(voltry_bus::names::path("ev_link", &number))
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            link.offer(offer).await
        };
        match timeout(ANSWER, told).await {
            Ok(Ok(())) => debug!(evse, "schedules offered"),
            Ok(Err(voltry_bus::Error::Stale(why))) => {
                debug!(evse, why, "the vehicle does not wait for schedules");
            }
            Ok(Err(error)) => warn!(evse, %error, "the vehicle's link does not take schedules"),
            Err(_) => warn!(evse, "the vehicle's link hangs"),
        }
    }

    /// Tells links that come which roots the CSMS has installed, for as long as the bus lasts.
    ///
    /// # Errors
    /// The bus is lost.
    pub(crate) async fn welcome(self, folder: Folder) -> anyhow::Result<()> {
        let rule = MatchRule::builder()
            .msg_type(zbus::message::Type::Signal)
            .sender("org.freedesktop.DBus")
            .interface("org.freedesktop.DBus")
            .member("NameOwnerChanged")
            .arg0ns(NAMES)
            .build()?;
        let mut changes =
            MessageStream::for_match_rule(rule, &self.connection, NonZeroUsize::new(OPEN_MAX)).await?;
        // One task at a time: what comes meanwhile leads to one more.
        let (come, mut came) = tokio::sync::watch::channel(());
        let telling = self.clone();
        let telling = async move {
            loop {
                telling.tell_roots(&folder).await;
                if came.changed().await.is_err() {
                    return;
                }
            }
        };
        let listening = async {
            while let Some(change) = changes.next().await {
                let (_, _, new): (String, String, String) = change?.body().deserialize()?;
                if !new.is_empty() {
                    come.send_replace(());
                }
            }
            anyhow::bail!("bus lost")
        };
        tokio::select! {
            () = telling => anyhow::bail!("nobody tells links of roots"),
            ended = listening => ended,
        }
    }

    async fn links(&self) -> Vec<Certificates1Proxy<'static>> {
        let asked = async {
            let mut names: Vec<String> = zbus::fdo::DBusProxy::new(&self.connection)
                .await?
                .list_names()
                .await?
                .into_iter()
                .map(|name| name.to_string())
                .filter(|name| name.starts_with(NAMES))
                .collect();
            names.sort();
            let mut links = Vec::new();
            for name in names {
                let number = name.rsplit(".N").next().unwrap_or_default().to_owned();
                let link = Certificates1Proxy::builder(&self.connection)
                    .destination(name)
                    .path(voltry_bus::names::path("ev_link", &number))
                    .cache_properties(CacheProperties::No)
                    .build()
                    .await?;
                links.push(link);
            }
            Ok::<_, zbus::Error>(links)
        };
        match timeout(ANSWER, asked).await {
            Ok(Ok(links)) => links,
            Ok(Err(error)) => {
                debug!(%error, "links cannot be found");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    async fn tell_roots(&self, folder: &Folder) {
        let links = self.links().await;
        for (usage, kind) in [(Use::V2g, "v2g"), (Use::Mo, "mo")] {
            let place = folder.clone();
            let pem = tokio::task::spawn_blocking(move || place.roots_pem(usage)).await.unwrap_or_default();
            for link in &links {
                match timeout(ANSWER, link.set_roots(kind, &pem)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => warn!(%error, kind, "a link does not take the CSMS's roots"),
                    Err(_) => warn!(kind, "a link hangs"),
                }
            }
        }
    }

    /// Does something with certificates: those of ISO 15118 here, all others in the folder, on a thread
    /// apart: disks and keys may block. `now`: seconds of Unix time, where the clock is set.
    pub(crate) async fn certify(
        self,
        folder: Folder,
        request: Request,
        now: Option<i64>,
    ) -> (Outcome, Summary) {
        let own = match &request {
            Request::Sign { own: Own::V2g, .. }
            | Request::Issued(Own::V2g, _)
            | Request::Status
            | Request::Stapled(_) => Some(self.own(&request).await),
            Request::Sign { own: Own::Station, .. }
            | Request::Issued(Own::Station, _)
            | Request::List(..)
            | Request::Install(..)
            | Request::Delete(_) => None,
        };
        let (place, asked) = (folder.clone(), request.clone());
        let done = tokio::task::spawn_blocking(move || {
            let outcome = own.unwrap_or_else(|| place.perform(&asked, now));
            (outcome, place.summary())
        });
        let (mut outcome, summary) = done.await.unwrap_or_else(|error| {
            // A panic aborts the process; only a runtime that ends leads here.
            (Outcome::Failed(error.to_string()), Summary::default())
        });
        if let (Request::List(_, true), Outcome::Listed(found)) = (&request, &mut outcome) {
            found.extend(self.chain().await);
        }
        let changes = matches!(request, Request::Install(..) | Request::Delete(_));
        if changes && outcome == Outcome::Done {
            self.tell_roots(&folder).await;
        }
        (outcome, summary)
    }

    /// All links of a station keep the one certificate: the first is asked.
    async fn own(&self, request: &Request) -> Outcome {
        let links = self.links().await;
        let Some(link) = links.first() else {
            return Outcome::Failed("nobody here speaks with vehicles".to_owned());
        };
        let asked = async {
            match request {
                Request::Sign { common_name, organization, .. } => {
                    link.request(common_name, organization).await.map(Outcome::Request)
                }
                Request::Issued(_, chain) => link.install(chain).await.map(|()| Outcome::Done),
                Request::Status => {
                    let chain = parse_chain(&link.chain().await?).unwrap_or_default();
                    Ok(status_request(&chain).map_or(Outcome::NotFound, Outcome::Asks))
                }
                Request::Stapled(response) => link.set_status(response.clone()).await.map(|()| Outcome::Done),
                Request::List(..) | Request::Install(..) | Request::Delete(_) => Ok(Outcome::NotFound),
            }
        };
        match timeout(ANSWER, asked).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error @ (voltry_bus::Error::Invalid(_) | voltry_bus::Error::Stale(_)))) => {
                Outcome::Rejected("InvalidCertificate", error.to_string())
            }
            Ok(Err(error)) => Outcome::Failed(error.to_string()),
            Err(_) => Outcome::Failed("who speaks with vehicles does not answer".to_owned()),
        }
    }

    async fn chain(&self) -> Option<Listed> {
        let links = self.links().await;
        let pem = timeout(ANSWER, links.first()?.chain()).await.ok()?.ok()?;
        let chain = parse_chain(&pem).ok()?;
        let issuers = chain.iter().skip(1).chain(chain.last());
        let mut hashes =
            chain.iter().zip(issuers).map(|(one, issuer)| HashData::of(HashAlgorithm::Sha256, one, issuer));
        let hash = hashes.next()?;
        Some(Listed { usage: None, hash, children: hashes.collect() })
    }

    /// Tells the vehicle; one that did not wait is gone.
    pub(crate) async fn answer(self, ticket: u64, message: Vec<u8>) {
        let asker = self.open.lock().ok().and_then(|mut open| open.1.remove(&ticket));
        let Some((sender, path, id)) = asker else { return };
        let told = async {
            let link = ContractCertificates1Proxy::builder(&self.connection)
                .destination(sender)
                .path(path)
                .cache_properties(CacheProperties::No)
                .build()
                .await?;
            link.answer(CertificateAnswer { id, message }).await
        };
        match timeout(ANSWER, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "the vehicle's link does not take the answer"),
            Err(_) => warn!("the vehicle's link hangs"),
        }
    }
}
