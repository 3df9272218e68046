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
    Certificates1Proxy, ChargingSchedules1Proxy, Chosen, ContractCertificates1Proxy, Doubted, Requested,
    Shown, Wanted as WantedSignal,
};
use voltry_bus::{CertificateAnswer, DoubtedContract, ScheduleOffer, ShownContract};
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
/// Certificates towards vehicles whose status is asked for: a station has one or two.
const STATUSES_MAX: usize = 8;
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
    /// Whether the CSMS judges contracts without a root. Held while it is told: the newest is told last.
    central_validation: Arc<tokio::sync::Mutex<bool>>,
}

impl Links {
    pub(crate) fn new(connection: &zbus::Connection, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            connection: connection.clone(),
            inputs,
            open: Arc::default(),
            central_validation: Arc::default(),
        }
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
                let ticket = self.ticket(&header, request.id)?;
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
            "Doubted" => {
                let doubted = Doubted::from_message(signal.clone())?;
                let DoubtedContract { id, emaid, mut chain } = doubted.args().ok()?.contract().clone();
                chain.truncate(CHAIN_MAX);
                let (evse, ticket) = (evse_of(header.path()?)?, self.ticket(&header, id)?);
                Some(Input::ContractDoubted { ticket, evse, contract: Contract { emaid, chain } })
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

    /// A number of ours for a question that its link numbers so.
    fn ticket(&self, header: &zbus::message::Header<'_>, id: u64) -> Option<u64> {
        let asker = (header.sender()?.to_string(), header.path()?.to_string(), id);
        let mut open = self.open.lock().ok()?;
        let (next, open) = &mut *open;
        *next += 1;
        open.insert(*next, asker);
        if open.len() > OPEN_MAX {
            open.pop_first();
        }
        Some(*next)
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
                let allowed = telling.central_validation.lock().await;
                telling.tell_central_validation(*allowed).await;
                drop(allowed);
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

    /// Name and number of each link, in order.
    async fn numbers(&self) -> zbus::Result<Vec<(String, String)>> {
        let names = zbus::fdo::DBusProxy::new(&self.connection).await?.list_names().await?;
        let names = names.into_iter().map(|name| name.to_string());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(NAMES)).collect();
        names.sort();
        let number = |name: &String| name.rsplit(".N").next().unwrap_or_default().to_owned();
        Ok(names.into_iter().map(|name| (name.clone(), number(&name))).collect())
    }

    async fn links(&self) -> Vec<Certificates1Proxy<'static>> {
        let asked = async {
            let mut links = Vec::new();
            for (name, number) in self.numbers().await? {
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

    /// From now on, and for links that come.
    pub(crate) async fn allow_central_validation(self, allowed: bool) {
        let mut known = self.central_validation.lock().await;
        *known = allowed;
        self.tell_central_validation(*known).await;
    }

    async fn tell_central_validation(&self, allowed: bool) {
        let Ok(Ok(links)) = timeout(ANSWER, self.numbers()).await else { return };
        for (name, number) in links {
            let told = async {
                let path = voltry_bus::names::path("ev_link", &number);
                self.contracts(name, path).await?.set_central_validation(allowed).await
            };
            match timeout(ANSWER, told).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    debug!(%error, number, "a link is not told whether the CSMS judges contracts");
                }
                Err(_) => warn!(number, "a link hangs"),
            }
        }
    }

    async fn contracts(
        &self,
        name: String,
        path: String,
    ) -> zbus::Result<ContractCertificates1Proxy<'static>> {
        ContractCertificates1Proxy::builder(&self.connection)
            .destination(name)
            .path(path)
            .cache_properties(CacheProperties::No)
            .build()
            .await
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
            Request::Sign { own: Own::V2g, .. } | Request::Issued(Own::V2g, _) => {
                Some(self.own(&request).await)
            }
            Request::Status => Some(self.statuses().await),
            Request::Stapled(response) => Some(self.staple(response).await),
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
                Request::Status
                | Request::Stapled(_)
                | Request::List(..)
                | Request::Install(..)
                | Request::Delete(_) => Ok(Outcome::NotFound),
            }
        };
        outcome(timeout(ANSWER, asked).await)
    }

    /// By what OCSP is asked about each certificate that a link may show to vehicles.
    async fn statuses(&self) -> Outcome {
        let links = self.links().await;
        if links.is_empty() {
            return Outcome::Failed("nobody here speaks with vehicles".to_owned());
        }
        let mut asks = Vec::new();
        for link in links {
            let chains = match timeout(ANSWER, link.chains()).await {
                Ok(Ok(chains)) => chains,
                Ok(Err(error)) => {
                    debug!(%error, "a link tells nothing of its certificates");
                    continue;
                }
                Err(_) => continue,
            };
            for chain in chains.iter().take(STATUSES_MAX) {
                let asked = status_request(&parse_chain(chain).unwrap_or_default());
                asks.extend(asked.filter(|asked| !asks.contains(asked)));
            }
        }
        asks.truncate(STATUSES_MAX);
        if asks.is_empty() { Outcome::NotFound } else { Outcome::Asks(asks) }
    }

    /// Gives what OCSP says to all links: who has the certificate takes it.
    async fn staple(&self, response: &[u8]) -> Outcome {
        let mut done = Outcome::Failed("nobody here speaks with vehicles".to_owned());
        for link in self.links().await {
            let set = async { link.set_status(response.to_vec()).await.map(|()| Outcome::Done) };
            let came = outcome(timeout(ANSWER, set).await);
            if done != Outcome::Done {
                done = came;
            }
        }
        done
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
        let Some((sender, path, id)) = self.asker(ticket) else { return };
        let told =
            async { self.contracts(sender, path).await?.answer(CertificateAnswer { id, message }).await };
        note(timeout(ANSWER, told).await);
    }

    /// Tells the vehicle's link whether the CSMS believes the contract; one that does not wait is gone.
    pub(crate) async fn judge(self, ticket: u64, believed: bool) {
        let Some((sender, path, id)) = self.asker(ticket) else { return };
        let told = async { self.contracts(sender, path).await?.judge(id, believed).await };
        note(timeout(ANSWER, told).await);
    }

    fn asker(&self, ticket: u64) -> Option<Asker> {
        self.open.lock().ok()?.1.remove(&ticket)
    }
}

fn outcome(asked: Result<Result<Outcome, voltry_bus::Error>, tokio::time::error::Elapsed>) -> Outcome {
    match asked {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error @ (voltry_bus::Error::Invalid(_) | voltry_bus::Error::Stale(_)))) => {
            Outcome::Rejected("InvalidCertificate", error.to_string())
        }
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => Outcome::Failed("who speaks with vehicles does not answer".to_owned()),
    }
}

fn note(told: Result<Result<(), voltry_bus::Error>, tokio::time::error::Elapsed>) {
    match told {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "the vehicle's link does not take the answer"),
        Err(_) => warn!("the vehicle's link hangs"),
    }
}
