//! A hostile vehicle before a running `voltry-secc`: spoilt sessions over TCP, one after another, and an evse
//! on the bus that watches that it is not led on. A tenth of the tries in process, at the vehicle's own
//! pace: pauses are left out.

#[path = "../../../../tests/watched.rs"]
mod watched;

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener};
use std::process::Command;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use iso15118::message::Message;
use iso15118::v2gtp::PayloadType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use voltry_bus::{Authorization, EvLink1Proxy, LinkEnd, LinkOutcome, LinkPhase, PhaseAnswer, PhaseEntry};
use voltry_din70121::{ExiDocument as _, V2gMessage};
use voltry_secc::message::Protocol;
use watched::{Bus, Watched};
use zbus::MessageStream;

use crate::bench::ID;
use crate::evse;
use crate::malice::{Chance, spoil};
use crate::sessions::{self, Good};
use crate::{ALONE, GRANTS, GROWTH, Grant, TRIES, depth};

const NAME: &str = "org.voltry.Secc.N1";
/// Fewer tries do not get as far as charging.
const LEAST: u64 = 250;
/// Before so many tries memory is still warming up: the newest conversations are kept.
const WARM: u64 = 1000;
/// The station takes so many connections of one plug in a second.
const CONNECTIONS: u64 = 5;
/// How long an answer is waited for that may not come.
const ANSWER: Duration = Duration::from_millis(20);
/// The same after one did not come.
const NO_ANSWER: Duration = Duration::from_millis(1);
/// Anything that must happen does within this.
const SOON: Duration = Duration::from_secs(20);

/// evse's side of one daemon, and what it saw.
struct Evse {
    link: EvLink1Proxy<'static>,
    signals: MessageStream,
    presented: Instant,
    phase: LinkPhase,
    counter: u64,
    most: Grant,
    granted: Grant,
    deepest: usize,
    ended: Option<LinkOutcome>,
}

impl Evse {
    async fn of(bus: &Bus) -> Self {
        let connection = bus.connect_to(NAME).await;
        let rule = zbus::MatchRule::try_from("type='signal',interface='org.voltry.EvLink1'").unwrap();
        let signals = MessageStream::for_match_rule(rule, &connection, 10_000.try_into().ok()).await.unwrap();
        let link = evse::link(&connection).await.unwrap();
        link.set_limits(evse::LIMITS).await.unwrap();
        let nothing = Grant::Nothing;
        let (phase, presented) = (LinkPhase::Detached, Instant::now());
        Self {
            link,
            signals,
            presented,
            phase,
            counter: 0,
            most: nothing,
            granted: nothing,
            deepest: 0,
            ended: None,
        }
    }

    /// Another vehicle is plugged in.
    async fn replug(&mut self) {
        self.link.detach().await.unwrap();
        self.link.attach().await.unwrap();
        evse::until(&self.link, LinkPhase::Listening).await.unwrap();
    }

    /// Before a conversation in which this much is granted.
    async fn begin(&mut self, most: Grant) {
        (self.most, self.granted) = (most, most.min(Grant::Authorization));
        (self.deepest, self.ended) = (0, None);
        let authorization = if self.granted == Grant::Authorization {
            Authorization::Granted
        } else {
            Authorization::Pending
        };
        self.link.set_authorization(authorization).await.unwrap();
    }

    async fn present(&mut self) {
        self.presented = Instant::now();
        self.link.set_present(evse::present(self.counter)).await.unwrap();
    }

    /// Hears one signal, and answers it.
    async fn hear(&mut self, message: zbus::Message) {
        let header = message.header();
        match header.member().map(zbus::names::MemberName::as_str) {
            Some("PhaseEntered") => {
                let entry: PhaseEntry = message.body().deserialize().unwrap();
                assert!(entry.counter > self.counter, "phase {} after {}", entry.counter, self.counter);
                let wanted = Grant::wanted_for(entry.phase);
                assert!(wanted <= self.granted, "{}, but granted is {:?}", entry.phase, self.granted);
                (self.counter, self.phase) = (entry.counter, entry.phase);
                self.deepest = self.deepest.max(depth(entry.phase));
                let grant = Grant::given_in(entry.phase);
                let granted = grant.is_some_and(|grant| grant <= self.most);
                if granted || entry.phase == LinkPhase::PowerOff {
                    self.granted = self.granted.max(grant.unwrap_or(Grant::Nothing));
                    self.present().await;
                    self.link.answer(entry.counter, PhaseAnswer::Finished).await.unwrap();
                }
            }
            Some("Target") => assert!(
                matches!(self.phase, LinkPhase::PreCharge | LinkPhase::Charging),
                "a target in {}",
                self.phase
            ),
            Some("Ended") => {
                let end: LinkEnd = message.body().deserialize().unwrap();
                assert_eq!(self.ended, None, "it ends a second time: {end:?}");
                self.ended = Some(end.outcome);
            }
            _ => {}
        }
    }
}

/// Whole V2GTP frames in what was sent, or came.
fn frames(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let Some(length) = bytes.get(4..8) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(rest) = length.checked_add(8).and_then(|length| bytes.get(length..)) else { break };
        (bytes, count) = (rest, count + 1);
    }
    count
}

/// The session id that the first answer after the handshake carries.
fn given_id(protocol: Protocol, heard: &[u8]) -> Option<[u8; 8]> {
    let handshake = usize::try_from(u32::from_be_bytes(heard.get(4..8)?.try_into().ok()?)).ok()? + 8;
    let payload = heard.get(handshake + 8..)?;
    let iso = |generation, payload_type| Message::decode(Some(generation), payload_type, payload).ok();
    let id = match protocol {
        Protocol::Din => V2gMessage::from_bytes(payload).ok()?.header.session_id.0,
        Protocol::Iso2 => iso(iso15118::Protocol::Iso2, PayloadType::ExiEncodedV2gMessage)?
            .session_id()?
            .as_bytes()
            .to_vec(),
        Protocol::Iso20 => {
            iso(iso15118::Protocol::Iso20, PayloadType::Part20Main)?.session_id()?.as_bytes().to_vec()
        }
    };
    id.try_into().ok()
}

/// Puts the session id in the place of the one that the sessions were made with, at whatever bit it stands.
fn under(id: [u8; 8], bytes: &mut [u8]) {
    let (made, given) = (u64::from_be_bytes(ID), u64::from_be_bytes(id));
    for bit in 0..(bytes.len() * 8).saturating_sub(63) {
        let (first, shift) = (bit / 8, bit % 8);
        let mut window = [0; 16];
        let length = bytes.len().min(first + 9) - first;
        window[..length].copy_from_slice(&bytes[first..first + length]);
        let mut window = u128::from_be_bytes(window);
        if u64::try_from(window << shift >> 64).unwrap() == made {
            let place = 64 - shift;
            window = window & !(u128::from(u64::MAX) << place) | u128::from(given) << place;
            bytes[first..first + length].copy_from_slice(&window.to_be_bytes()[..length]);
        }
    }
}

/// One conversation: how deep it got, and how it ended.
async fn attempt(
    seed: u64,
    sessions: &[Good],
    evse: &mut Evse,
    station: SocketAddrV6,
) -> (LinkPhase, LinkOutcome) {
    let mut chance = Chance::new(seed);
    let which = chance.below(sessions.len());
    evse.begin(GRANTS[chance.below(GRANTS.len()).max(chance.below(GRANTS.len()))]).await;
    let mut stream = TcpStream::connect(station).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut sent, mut heard) = (Vec::new(), Vec::new());
    let (mut patience, mut buffer) = (ANSWER, [0; 4096]);
    let mut id = None;
    'session: for mut piece in spoil(&mut chance, sessions, which) {
        id = id.or_else(|| given_id(sessions[which].protocol, &heard));
        if let Some(id) = id {
            under(id, &mut piece.bytes);
        }
        if stream.write_all(&piece.bytes).await.is_err() {
            break;
        }
        sent.extend(piece.bytes);
        let until = tokio::time::Instant::now() + patience;
        while frames(&heard) < frames(&sent) {
            tokio::select! {
                Some(Ok(signal)) = evse.signals.next() => evse.hear(signal).await,
                read = stream.read(&mut buffer) => match read {
                    Ok(length) if length > 0 => heard.extend(&buffer[..length]),
                    Ok(_) | Err(_) => break 'session,
                },
                () = tokio::time::sleep_until(until) => {
                    patience = NO_ANSWER;
                    break;
                }
            }
        }
        if evse.presented.elapsed() > Duration::from_millis(50) {
            evse.present().await;
        }
    }
    drop(stream);
    let end = async {
        while evse.ended.is_none() {
            let signal = evse.signals.next().await.unwrap().unwrap();
            evse.hear(signal).await;
        }
    };
    tokio::time::timeout(SOON, end).await.expect("evse is told the end");
    (LinkPhase::ALL[evse.deepest], evse.ended.unwrap())
}

async fn reachable(station: SocketAddrV6) {
    let reach = async {
        while TcpStream::connect(station).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, reach).await.expect("it listens");
}

#[test]
fn a_hostile_vehicle_over_tcp_leaves_the_daemon_as_it_was() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(try_daemon());
}

async fn try_daemon() {
    let tries = std::env::var("VOLTRY_HOSTILE_TRIES").map_or(TRIES, |tries| tries.parse().unwrap());
    let tries = (tries / 10).max(LEAST);
    let sessions = sessions::all();
    let free = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let station = SocketAddrV6::new(Ipv6Addr::LOCALHOST, free, 0, 0);
    let (bus, folder) = (Bus::start(), tempfile::tempdir().unwrap());
    let file = folder.path().join("voltry.toml");
    let protocols = "protocols = ['iso15118-20', 'iso15118-2', 'din70121']";
    let table = format!("[secc.1]\ninterface = 'lo'\nevse_id = 'DE*VOL*E1'\nport = {free}\n{protocols}\n");
    std::fs::write(&file, table).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_voltry-secc"));
    command.arg("--config").arg(&file).args(["--bus", &bus.address, "1"]);
    let secc = Watched::start(&mut command, folder.path().join("log"));
    let mut evse = Evse::of(&bus).await;
    reachable(station).await;
    let (mut phases, mut outcomes) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    let (mut warm, begin) = (0, Instant::now());
    for seed in 0..tries {
        if seed == tries / 10 {
            warm = secc.resident_kib();
        }
        if seed % CONNECTIONS == 0 {
            evse.replug().await;
        }
        let (deepest, outcome) = attempt(seed, &sessions, &mut evse, station).await;
        *phases.entry(deepest.as_str()).or_default() += 1;
        *outcomes.entry(outcome.as_str()).or_default() += 1;
    }
    let end = secc.resident_kib();
    println!("{tries} tries over TCP in {:.1?}; as deep as {phases:?}; ended {outcomes:?}", begin.elapsed());
    println!("voltry-secc's resident memory after a tenth of them {warm} KiB, after all {end} KiB");
    assert!(phases.contains_key(LinkPhase::Charging.as_str()), "none got as far as charging: {phases:?}");
    assert!(outcomes.contains_key(LinkOutcome::Normal.as_str()), "none ended well: {outcomes:?}");
    assert!(tries < WARM || end * 1024 <= warm * 1024 + GROWTH, "{} KiB more", end - warm);
}
