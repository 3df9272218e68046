//! The daemon's one task: sockets, time and pushes go in, answers and signals come out.
//!
//! ```text
//! no interface ─▶ bound ─▶ (attached, matched) answering discovery ─▶ connected ─▶ listening again
//! ```
//! The vehicle's answer is written before anything is told to evse, both in the same wake-up.
//! Nothing here waits for the vehicle to read: an answer that does not fit into the socket's
//! buffer ends the connection.

mod carrier;
mod medium;
mod vehicle;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use voltry_bus::{Component, LinkPhase};
use voltry_service::clock::now;
use voltry_service::{Daemon, Device, FaultLog, RateLimit, Watchdog};
use voltry_units::Timestamp;

use self::carrier::Carrier;
use self::medium::modem;
use self::vehicle::Conversation;
use crate::bus::{self, Publisher};
use crate::config::Settings;
use crate::installed;
use crate::net::{Ports, Throttle};
use crate::pushed::Pushed;
use crate::slac::shell::Powerline;
use crate::tls::Acceptor;
use crate::transport::Arrival;
use crate::v2g::Contracts;
use crate::v2g_log::V2gLog;

/// How often the interface is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Discovery answers a second; a vehicle asks four times.
const DISCOVERY_RATE: u32 = 20;
/// Connections a second.
const CONNECTION_RATE: u32 = 5;

/// Lines of log a minute about conversations, of which a whole one has some fifteen.
const LINES_A_MINUTE: u32 = 60;

/// Serves the vehicle's communication until the daemon has to end.
///
/// # Errors
/// The bus is lost.
pub async fn run(settings: Settings, daemon: Daemon) -> anyhow::Result<()> {
    let path = voltry_bus::names::path("ev_link", daemon.instance());
    let device = Device::serve(daemon.connection(), &path, modem(&settings, None)).await?;
    let number = daemon.instance().parse().context("the instance is an EVSE's number")?;
    device.set_component(controller(number));
    let (publisher, pushed) = bus::serve(daemon.connection(), &path).await?;
    let log = V2gLog::serve(daemon.connection(), &path).await?;
    installed::serve(daemon.connection(), &path, &settings.tls).await?;
    // None of systemd's making: kept in memory alone.
    if let Some(state) = std::env::var_os("STATE_DIRECTORY") {
        let folder = PathBuf::from(state).join("v2g").join(daemon.instance());
        if let Err(error) = log.keep_in(&folder) {
            tracing::warn!(%error, folder = %folder.display(), "conversations are not kept on disk");
        }
    }
    let mut link = Link::new(number, settings, device, publisher, pushed, log);
    link.load_certificates(now());
    link.look(now());
    daemon.claim(&voltry_bus::names::secc(number)).await?;
    daemon.ready();
    tokio::select! {
        served = link.serve() => served?,
        _ = daemon.stop() => {}
    }
    link.disconnect("the station's software stopped").await
}

/// The link in OCPP's words.
fn controller(number: u32) -> Component {
    Component::new("ISO15118Ctrlr").of_evse(number)
}

/// What woke the task.
#[derive(Debug)]
enum Wake {
    Look,
    Powerline(io::Result<()>),
    Carrier(io::Result<bool>),
    Datagram(usize, SocketAddr),
    Connection(TcpStream),
    Arrival(Arrival),
    Pushed,
    Deadline,
    /// An error of a listening socket, as from a datagram that could not be delivered.
    Trouble(&'static str, io::Error),
}

/// The link to the vehicles of one EVSE.
#[derive(Debug)]
pub struct Link {
    /// Of the EVSE.
    number: u32,
    settings: Settings,
    device: Device,
    faults: FaultLog,
    publisher: Publisher,
    log: V2gLog,
    /// The phase of the conversation before it stops; none before its session.
    phase: Option<LinkPhase>,
    /// EVErrorCode of the conversation's vehicle; empty for none.
    error: &'static str,
    cell: Arc<watch::Sender<Pushed>>,
    pushed: watch::Receiver<Pushed>,
    attached: Option<u64>,
    powerline: Option<Powerline>,
    /// That of the powerline's interface.
    carrier: Option<Carrier>,
    acceptor: Option<Acceptor>,
    /// `None`: no Plug & Charge.
    contracts: Option<Arc<Contracts>>,
    ports: Option<Ports>,
    conversation: Option<Conversation>,
    counter: u64,
    paused: Option<[u8; 8]>,
    looks: Interval,
    discoveries: Throttle,
    connections: Throttle,
    complaints: HashMap<&'static str, RateLimit>,
    /// Lines of log about what vehicles do; the conversation itself is kept in [`V2gLog`].
    lines: RateLimit,
    watchdog: Watchdog,
    buffer: Box<[u8; 2048]>,
}

impl Link {
    /// Nothing bound, nobody attached.
    #[must_use]
    pub fn new(
        number: u32,
        settings: Settings,
        device: Device,
        publisher: Publisher,
        cell: Arc<watch::Sender<Pushed>>,
        log: V2gLog,
    ) -> Self {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            number,
            settings,
            device,
            faults: FaultLog::new(),
            publisher,
            log,
            phase: None,
            error: "",
            pushed: cell.subscribe(),
            cell,
            attached: None,
            powerline: None,
            carrier: None,
            acceptor: None,
            contracts: None,
            ports: None,
            conversation: None,
            // Rises across restarts of this daemon too, so that no old push fits a new phase.
            counter: now().as_micros(),
            paused: None,
            looks,
            discoveries: Throttle::new(DISCOVERY_RATE),
            connections: Throttle::new(CONNECTION_RATE),
            complaints: HashMap::new(),
            lines: RateLimit::allowing(LINES_A_MINUTE),
            watchdog: Watchdog::from_environment(),
            buffer: Box::new([0; 2048]),
        }
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// The bus is lost.
    pub async fn serve(&mut self) -> anyhow::Result<()> {
        loop {
            let wake = self.wake().await;
            let now = now();
            self.watchdog.beat(now);
            self.handle(now, wake).await?;
        }
    }

    /// Waits for whatever comes first. Each branch can be dropped without loss.
    async fn wake(&mut self) -> Wake {
        let ports = self.ports.as_ref();
        let powerline = self.powerline.as_mut();
        let carrier = self.carrier.as_mut();
        let deadline = self.conversation.as_ref().and_then(Conversation::deadline);
        let deadline = deadline.map(|at| Instant::now() + at.since(now()));
        let (stream_buffer, datagram_buffer) = self.buffer.split_at_mut(1984);
        tokio::select! {
            _ = self.looks.tick() => Wake::Look,
            turned = async { match powerline {
                Some(powerline) => powerline.turn().await,
                None => std::future::pending().await,
            } } => Wake::Powerline(turned),
            changed = async { match carrier {
                Some(carrier) => carrier.changed().await,
                None => std::future::pending().await,
            } } => Wake::Carrier(changed),
            changed = self.pushed.changed() => match changed {
                Ok(()) => Wake::Pushed,
                // The cell lives as long as this link.
                Err(_) => std::future::pending().await,
            },
            arrival = async { match &mut self.conversation {
                Some(conversation) => conversation.transport.next(stream_buffer).await,
                None => std::future::pending().await,
            } } => Wake::Arrival(arrival),
            () = async { match deadline {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            } } => Wake::Deadline,
            received = async { match ports {
                Some(ports) => ports.discovery.recv_from(datagram_buffer).await,
                None => std::future::pending().await,
            } } => match received {
                Ok((length, from)) => Wake::Datagram(length, from),
                Err(error) => Wake::Trouble("discovery socket", error),
            },
            accepted = async { match ports {
                Some(ports) => ports.listener.accept().await,
                None => std::future::pending().await,
            } } => match accepted {
                Ok((stream, _)) => Wake::Connection(stream),
                Err(error) => Wake::Trouble("listening socket", error),
            },
        }
    }

    async fn handle(&mut self, now: Timestamp, wake: Wake) -> anyhow::Result<()> {
        match wake {
            Wake::Look => {
                self.look(now);
                return self.matching(now).await;
            }
            Wake::Powerline(Ok(())) => return self.matching(now).await,
            Wake::Powerline(Err(error)) => self.powerline_broke(now, &error),
            Wake::Carrier(changed) => {
                self.carrier_changed(now, changed);
                return self.matching(now).await;
            }
            // What a vehicle sends may be the proof that its link is up.
            Wake::Datagram(length, from) => {
                self.discovered(now, length, from);
                return self.matching(now).await;
            }
            Wake::Connection(stream) => {
                self.connected(now, stream).await?;
                return self.matching(now).await;
            }
            Wake::Trouble(what, error) => {
                self.complain(now, what, &error.to_string());
                // A broken listener would wake us without end; the next look binds anew.
                self.ports = None;
            }
            Wake::Pushed => return self.pushed(now).await,
            Wake::Arrival(arrival) => {
                self.arrived(now, arrival);
                return self.flush(now).await;
            }
            Wake::Deadline => {
                if let Some(conversation) = &mut self.conversation {
                    conversation.timeout(now, &self.pushed.borrow(), &self.settings.timing);
                }
                return self.flush(now).await;
            }
        }
        Ok(())
    }

    /// Counts what went wrong, and logs each kind once a minute.
    fn complain(&mut self, now: Timestamp, kind: &'static str, cause: &str) {
        if let Some(count) = self.complaints.entry(kind).or_default().count(now) {
            tracing::warn!(count, cause, "{kind}");
        }
    }
}
