//! The connection to the CSMS: whichever of the profiles leads to one, again and again.
//!
//! [`redial`] decides when to dial and which profile, [`keepalive`] when the peer is gone; both
//! are pure. `dial` opens a WebSocket, `socket` holds it, [`Connection::run`] puts them together:
//!
//! ```text
//!   uplink ── Command ──▶ Connection ⇄ WebSocket ⇄ CSMS
//!          ◀── Event ───
//! ```
//!
//! The WebSocket crate is `yawc`: it speaks permessage-deflate with context takeover, which
//! tungstenite does not, bounds what it inflates, and takes a stream that is open already. It
//! keeps answers to pings without bound; `socket` does not let it. Its own handshake tells nobody
//! which version the CSMS chose, so `http` does that.
//!
//! Bounded are: a text (256 KiB, inflated too), the head of an answer (16 KiB), frames that wait
//! for the socket (64), events that wait for the uplink (as many as its channel holds: then
//! nothing more is read), the time of a dial and of a write.

mod dial;
mod http;
pub mod keepalive;
mod password;
mod profile;
pub mod redial;
mod socket;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{info, warn};
use voltry_service::RateLimit;
use voltry_service::clock::now;
use voltry_units::Timestamp;
use yawc::close::CloseCode;

pub use dial::DialError;
pub(crate) use dial::open_stream;
pub use http::Refused;
pub(crate) use http::basic;
pub use password::{Encoding, InvalidPassword, Password};
pub use profile::{InvalidUrl, Profile, Proxy, Target, Tls};
pub use tls::{Client, Credentials, Files};

#[cfg(test)]
mod tests;

use crate::config::Version;
use crate::security::SecurityEvent;
use dial::Dialled;
use keepalive::{Due, Keepalive, KeepaliveTimes};
use redial::{Action, Input, Redial, RedialTimes, Slot};
use socket::{Socket, Turn};

/// How long the last words may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// Every time that the connection keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When is dialled.
    pub redial: RedialTimes,
    /// When the peer is gone.
    pub keepalive: KeepaliveTimes,
    /// What a dial may take, from the name to the open WebSocket.
    pub dial: Duration,
    /// How long the CSMS may take nothing of what waits for it.
    pub write: Duration,
}

/// What the uplink asks of the connection.
#[derive(Debug)]
pub enum Command {
    /// Send a text on this connection; on another it is dropped.
    Send {
        /// The number of [`Event::Opened`].
        connection: u64,
        /// The message.
        text: String,
    },
    /// The CSMS accepted this station: the profile is a good one.
    Proven,
    /// Close, and dial the first profile at once.
    Restart,
    /// Take other profiles, in the order of their priority, and the one that is good, where it is
    /// another. An open connection stays.
    Profiles(Vec<Profile>, Option<Profile>),
    /// Take other times, from now on.
    Times(Times),
}

/// What the connection tells the uplink.
#[derive(Debug)]
pub enum Event {
    /// A WebSocket is open.
    Opened {
        /// Counts the connections; never the same twice.
        connection: u64,
        /// By which profile.
        slot: Slot,
        /// What the CSMS chose of what was offered.
        version: Version,
        /// Whether messages are compressed.
        compressed: bool,
        /// The CSMS, or the proxy on the way.
        address: SocketAddr,
    },
    /// A text of the CSMS, on the connection that is open.
    Text(String),
    /// The connection is gone.
    Closed {
        /// In words, why.
        why: String,
    },
    /// A dial came to nothing.
    Failed {
        /// Of which profile.
        slot: Slot,
        /// In words, why.
        why: String,
        /// What that is of the security log's events.
        event: Option<SecurityEvent>,
    },
}

/// The uplink is gone, and nobody is left to connect for.
struct Deserted;

/// The connection, until its uplink goes.
#[derive(Debug)]
pub struct Connection {
    identity: String,
    profiles: BTreeMap<Slot, Arc<Profile>>,
    redial: Redial,
    times: Times,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    number: u64,
    failures: RateLimit,
}

impl Connection {
    /// A connection by these profiles, in the order of their priority. `good`: the profile that
    /// last led to a CSMS, whether it is among them or not. `None` without a profile.
    #[must_use]
    pub fn new(
        identity: String,
        profiles: Vec<Profile>,
        good: Option<Profile>,
        times: Times,
        (commands, events): (mpsc::Receiver<Command>, mpsc::Sender<Event>),
    ) -> Option<Self> {
        let slots = profiles.iter().map(|profile| profile.slot).collect();
        let redial = Redial::new(slots, good.as_ref().map(|good| good.slot), times.redial)?;
        // A profile of the list goes before the same slot as it once was.
        let profiles = by_slot(good.into_iter().chain(profiles));
        let failures = RateLimit::new();
        Some(Self { identity, profiles, redial, times, commands, events, number: 0, failures })
    }

    /// Connects, again and again, until the uplink drops its end.
    pub async fn run(mut self) {
        // Deserted: there is nothing left to do.
        let _ = self.dial_and_talk().await;
    }

    async fn dial_and_talk(&mut self) -> Result<(), Deserted> {
        let mut input = Input::Tick;
        loop {
            input = match self.redial.step(now(), input, random()) {
                Action::Wait(until) => self.wait(until).await?,
                Action::Dial(slot) => match self.dial(slot).await? {
                    Ok(dialled) => {
                        // Opening leaves nothing to decide.
                        let _ = self.redial.step(now(), Input::Opened, random());
                        self.talk(slot, dialled).await?
                    }
                    Err(input) => input,
                },
                Action::Nothing => unreachable!("a connection is open only within `talk`"),
            }
        }
    }

    /// Until a dial is due.
    async fn wait(&mut self, until: Timestamp) -> Result<Input, Deserted> {
        loop {
            tokio::select! {
                () = tokio::time::sleep(until.since(now())) => return Ok(Input::Tick),
                command = self.commands.recv() => {
                    if self.obey(command.ok_or(Deserted)?) {
                        return Ok(Input::Restart);
                    }
                }
            }
        }
    }

    async fn dial(&mut self, slot: Slot) -> Result<Result<Dialled, Input>, Deserted> {
        let Some(profile) = self.profiles.get(&slot).cloned() else {
            return Ok(Err(self.failed(slot, "there is no such profile", None).await?));
        };
        let (identity, time) = (self.identity.clone(), self.times.dial);
        let dialling = dial::dial(&profile, &identity, time);
        tokio::pin!(dialling);
        loop {
            let dialled = tokio::select! {
                dialled = &mut dialling => dialled,
                command = self.commands.recv() => {
                    if self.obey(command.ok_or(Deserted)?) {
                        return Ok(Err(Input::Restart));
                    }
                    continue;
                }
            };
            return Ok(match dialled {
                Ok(dialled) => Ok(dialled),
                Err(error) => Err(self.failed(slot, &error.to_string(), error.security_event()).await?),
            });
        }
    }

    async fn failed(
        &mut self,
        slot: Slot,
        why: &str,
        event: Option<SecurityEvent>,
    ) -> Result<Input, Deserted> {
        if let Some(count) = self.failures.count(now()) {
            let url = self.profiles.get(&slot).map(|profile| profile.target.authority.as_str());
            warn!(profile = slot, url, count, why, "the CSMS cannot be reached");
        }
        self.tell(Event::Failed { slot, why: why.to_owned(), event }).await?;
        Ok(Input::Failed)
    }

    /// While the WebSocket is open.
    async fn talk(&mut self, slot: Slot, dialled: Dialled) -> Result<Input, Deserted> {
        let Dialled { mut socket, version, compressed, address } = dialled;
        self.number += 1;
        let connection = self.number;
        info!(profile = slot, %address, version = version.subprotocol(), compressed, "connected to the CSMS");
        self.tell(Event::Opened { connection, slot, version, compressed, address }).await?;
        let why = match self.converse(&mut socket).await {
            Ok(why) => why,
            // The daemon ends: the CSMS is told.
            Err(Deserted) => {
                socket.close(CloseCode::Away, "");
                let _ = tokio::time::timeout(CLOSE_TIME, socket.finish()).await;
                return Err(Deserted);
            }
        };
        // A peer that does not listen any more is not waited for.
        let _ = tokio::time::timeout(CLOSE_TIME, socket.finish()).await;
        let input = if why.is_none() { Input::Restart } else { Input::Lost };
        let why = why.unwrap_or_else(|| "closed to dial anew".to_owned());
        info!(profile = slot, why, "the connection to the CSMS is gone");
        self.tell(Event::Closed { why }).await?;
        Ok(input)
    }

    /// Why it ended; `None`: a restart was asked for.
    async fn converse(&mut self, socket: &mut Socket) -> Result<Option<String>, Deserted> {
        let mut keepalive = Keepalive::new(now(), self.times.keepalive);
        let events = self.events.clone();
        // Room for one event is had before a text is read: what cannot be told is not read.
        let mut room = None;
        // Set anew, not made anew, as in the shell.
        let mut due = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let looked = now();
            let stuck = socket.stuck_since().map(|since| since + self.times.write);
            let deadline = [keepalive.deadline(), stuck].into_iter().flatten().min();
            let sleep = deadline.map_or(Duration::from_secs(3600), |deadline| deadline.since(looked));
            due.as_mut().reset(tokio::time::Instant::now() + sleep);
            let has_room = socket.has_room();
            tokio::select! {
                // The uplink goes before the CSMS, which may send without end; what came of the CSMS
                // goes before what is due: a peer that was heard is not dead.
                biased;
                permit = events.reserve(), if room.is_none() => room = Some(permit.map_err(|_| Deserted)?),
                command = self.commands.recv(), if has_room => {
                    let command = command.ok_or(Deserted)?;
                    let times = matches!(command, Command::Times(_));
                    if let Command::Send { connection, text } = command {
                        if connection == self.number {
                            socket.send(text);
                        }
                    } else if self.obey(command) {
                        socket.close(CloseCode::Normal, "");
                        return Ok(None);
                    }
                    if times {
                        keepalive.set_times(now(), self.times.keepalive);
                    }
                }
                turn = socket.turn(looked, has_room && room.is_some()) => match turn {
                    Turn::Text(text) => {
                        keepalive.heard();
                        if let Some(room) = room.take() {
                            room.send(Event::Text(text));
                        }
                        room = events.try_reserve().ok();
                    }
                    Turn::Heard => keepalive.heard(),
                    Turn::Written | Turn::Stuck => {}
                    Turn::Binary => {
                        socket.close(CloseCode::Unsupported, "text, please");
                        return Ok(Some("the CSMS sent what is no text".to_owned()));
                    }
                    Turn::Closing { code, reason } => {
                        let code = code.map_or("no code".to_owned(), |code| code.to_string());
                        return Ok(Some(format!("the CSMS closed it: {code} {reason}").trim_end().to_owned()));
                    }
                    Turn::Broken(error) => return Ok(Some(error.to_string())),
                },
                () = &mut due => {
                    if stuck.is_some_and(|at| at <= now()) {
                        return Ok(Some("the CSMS takes nothing any more".to_owned()));
                    }
                    match keepalive.due(now()) {
                        Due::Ping => socket.ping(),
                        Due::Dead => return Ok(Some("the CSMS does not answer pings".to_owned())),
                        Due::Nothing => {}
                    }
                }
            }
        }
    }

    /// Whether a restart is asked for.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            // Of a connection that is gone.
            Command::Send { .. } => {}
            Command::Proven => {
                let _ = self.redial.step(now(), Input::Proven, 0);
            }
            Command::Restart => return true,
            Command::Profiles(profiles, good) => {
                let slots = profiles.iter().map(|profile| profile.slot).collect();
                self.redial.set_slots(slots, good.as_ref().map(|good| good.slot));
                self.profiles.extend(by_slot(good));
                // The last good one stays known, listed or not.
                self.profiles.extend(by_slot(profiles));
            }
            Command::Times(times) => {
                self.times = times;
                self.redial.set_times(times.redial);
            }
        }
        false
    }

    /// Tells the uplink. Meanwhile its orders are taken: two that wait for each other would do so for
    /// ever.
    async fn tell(&mut self, event: Event) -> Result<(), Deserted> {
        let events = self.events.clone();
        let mut telling = std::pin::pin!(events.send(event));
        loop {
            tokio::select! {
                told = &mut telling => return told.map_err(|_| Deserted),
                command = self.commands.recv() => {
                    // Whether to dial anew is no question between two connections.
                    let _ = self.obey(command.ok_or(Deserted)?);
                }
            }
        }
    }
}

fn by_slot(profiles: impl IntoIterator<Item = Profile>) -> BTreeMap<Slot, Arc<Profile>> {
    profiles.into_iter().map(|profile| (profile.slot, Arc::new(profile))).collect()
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the wait is the shortest that is allowed, which is no reason to stop.
    let _ = getrandom::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
