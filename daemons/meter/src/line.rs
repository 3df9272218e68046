//! One Modbus line, and the only way to ask something on it.
//!
//! RTU matches a reply to its request by slave address and function code alone: a reply that
//! comes after we gave up would be taken for the answer to the next question. So before every
//! request the line is listened to and what arrives is thrown away; after a failure that lasts
//! until it is quiet; an answer of another length than asked for is refused. A Modbus TCP
//! connection is closed instead, and its late replies with it.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_modbus::Response;
use tokio_modbus::client::{Client as _, Context, rtu, tcp};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use voltry_units::Timestamp;

use crate::model::{Block, Function};
use crate::port::{Port, Shared};
use crate::request::{Failure, Purpose, Request};

/// After a failed request nothing is asked before the line was silent this long. Longer than the
/// 3.5 characters between two frames at 1200 bit/s, and than the gaps of a slow device.
const QUIET: Duration = Duration::from_millis(50);
/// A line that is not silent for this long has a babbler on it: it is opened anew.
const QUIET_WITHIN: Duration = Duration::from_secs(1);
/// How long we listen before a request for what nobody waits for.
const LISTEN: Duration = Duration::from_millis(1);

/// A prompt device is waited for twice as long as it has lately taken, and this.
const PROMPT_MARGIN: Duration = Duration::from_millis(30);
/// And no shorter than this: with 66 ms between two voltages at 19200 bit/s, 50 of silence and 33 for the second try, a
/// lost answer leaves a voltage that is 260 ms old, of 300.
const PROMPT_LEAST: Duration = Duration::from_millis(110);
/// A timer that fires later than this tells that this process did not run, so that nobody was waited for.
const HELD_UP: Duration = Duration::from_millis(20);

/// A gateway has no way to the device, or no answer from it.
const GATEWAY_EXCEPTIONS: [u8; 2] = [0x0A, 0x0B];

/// Who is asked, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Slave address on the line, or unit identifier behind a gateway.
    pub address: u8,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// Whether it is asked anew as soon as it is later than it lately was. Its values are missed sooner than `timeout`
    /// and a second try would take together: one answer lost on the wire must not end a session.
    pub prompt: bool,
    /// Rest that it wants after each answer.
    pub pause: Duration,
}

/// The owner of a line.
#[derive(Debug)]
pub struct Line {
    port: Port,
    clock: fn() -> Timestamp,
    link: Option<Link>,
    /// Bytes thrown away since the last look.
    stray: usize,
    /// No request before this: the pause of the device asked last.
    rest_until: Instant,
    /// Whether the last request failed, so that the line must be quiet first.
    disturbed: bool,
    answer_times: AnswerTimes,
}

/// How long the devices lately took to answer, by address and purpose; not those whose last answer is missing. How quick
/// one is to tell says nothing of how quick it is to change: the first time that is waited for with all patience.
#[derive(Debug, Default)]
struct AnswerTimes(BTreeMap<(u8, Purpose), Duration>);

impl AnswerTimes {
    /// How long this peer is waited for.
    fn patience(&self, peer: Peer, purpose: Purpose) -> Duration {
        match self.0.get(&(peer.address, purpose)) {
            Some(slowest) if peer.prompt => {
                (2 * *slowest + PROMPT_MARGIN).max(PROMPT_LEAST).min(peer.timeout)
            }
            Some(_) | None => peer.timeout,
        }
    }

    /// One slow answer is forgotten after some fifty quick ones.
    fn learn(&mut self, asked: (u8, Purpose), took: Duration, result: &Result<Vec<u16>, Failure>) {
        match result {
            Ok(_) | Err(Failure::Refused(_)) => {
                let slowest = self.0.entry(asked).or_default();
                *slowest = took.max(*slowest * 15 / 16);
            }
            Err(
                Failure::Transport(_) | Failure::Timeout(_) | Failure::Unreachable(_) | Failure::Protocol(_),
            ) => {
                self.0.remove(&asked);
            }
        }
    }
}

struct Link {
    wire: Shared,
    client: Context,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl Line {
    /// A line on `port`, which is opened at the first request.
    #[must_use]
    pub fn new(port: Port, clock: fn() -> Timestamp) -> Self {
        Self {
            port,
            clock,
            link: None,
            stray: 0,
            rest_until: Instant::now(),
            disturbed: false,
            answer_times: AnswerTimes::default(),
        }
    }

    /// Asks `peer`, and waits for the answer: the words read, or none for a write. With it the
    /// instant the request went out, after any rest.
    ///
    /// After a failure the line can be used as before.
    pub async fn exchange(
        &mut self,
        peer: Peer,
        request: &Request,
    ) -> (Timestamp, Result<Vec<u16>, Failure>) {
        if let Err(failure) = self.ready(peer).await {
            return ((self.clock)(), Err(failure));
        }
        let (rtu, rest) = (self.port.is_rtu(), self.rest(peer));
        let link = self.link.as_mut().expect("ready() opened it");
        link.client.set_slave(Slave(peer.address));
        let patience = self.answer_times.patience(peer, request.purpose());
        let (sent, begin) = ((self.clock)(), Instant::now());
        let result = match within(patience, link.client.call(modbus(request))).await {
            None => Err(Failure::Timeout(patience)),
            Some(Err(error)) => Err(failed(error, patience)),
            Some(Ok(Err(exception))) => Err(refused(u8::from(exception))),
            Some(Ok(Ok(response))) => answered(request, response),
        };
        self.answer_times.learn((peer.address, request.purpose()), begin.elapsed(), &result);
        self.rest_until = Instant::now() + rest;
        match &result {
            Ok(_) | Err(Failure::Refused(_) | Failure::Unreachable(_)) => {}
            Err(Failure::Transport(_)) => self.link = None,
            Err(Failure::Timeout(_) | Failure::Protocol(_)) => {
                if rtu {
                    // The client may hold half a frame, or have given up on its stream.
                    let wire = link.wire.clone();
                    self.link = Some(Link::rtu(wire));
                    self.disturbed = true;
                } else {
                    self.link = None;
                }
            }
        }
        (sent, result)
    }

    /// The rest after an answer: what the device wants, and what parts two frames.
    fn rest(&self, peer: Peer) -> Duration {
        peer.pause.max(self.port.silence())
    }

    /// How many bytes were thrown away since this was last asked.
    pub fn take_stray(&mut self) -> usize {
        std::mem::take(&mut self.stray)
    }

    /// Opens the port if need be, and waits until the line may be used.
    async fn ready(&mut self, peer: Peer) -> Result<(), Failure> {
        if self.link.is_none() {
            let opened = timeout(peer.timeout, self.port.open()).await;
            let wire = opened
                .map_err(|_| Failure::Transport(format!("{}: opening takes too long", self.port)))?
                .map_err(|error| Failure::Transport(format!("{}: {error}", self.port)))?;
            self.link = Some(if self.port.is_rtu() {
                Link::rtu(wire)
            } else {
                Link { client: tcp::attach(wire.clone()), wire }
            });
        }
        if let Err(error) = self.listen().await {
            self.link = None;
            return Err(Failure::Transport(format!("{}: {error}", self.port)));
        }
        Ok(())
    }

    /// Throws away what arrives until the line may be used.
    async fn listen(&mut self) -> io::Result<()> {
        let quiet = if self.disturbed { QUIET } else { LISTEN };
        let start = Instant::now();
        let mut until = self.rest_until.max(start + quiet);
        let link = self.link.as_mut().expect("only called with an open link");
        while let Ok(discarded) = timeout_at(until, link.wire.discard()).await {
            let discarded = discarded?;
            if discarded == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.stray = self.stray.saturating_add(discarded);
            let now = Instant::now();
            if now - start > QUIET_WITHIN {
                return Err(io::Error::other("the line does not fall silent"));
            }
            until = until.max(now + QUIET);
        }
        self.disturbed = false;
        Ok(())
    }
}

impl Link {
    fn rtu(wire: Shared) -> Self {
        Self { client: rtu::attach(wire.clone()), wire }
    }
}

/// What comes within `patience`; where this process did not run meanwhile, within as much more.
async fn within<T>(patience: Duration, answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    let due = Instant::now() + patience;
    match timeout_at(due, &mut answer).await {
        Ok(answer) => Some(answer),
        Err(_) if due.elapsed() > HELD_UP => timeout(patience, answer).await.ok(),
        Err(_) => None,
    }
}

fn modbus(request: &Request) -> tokio_modbus::Request<'_> {
    match request {
        Request::Read(Block { function: Function::HoldingRegisters, address, count }) => {
            tokio_modbus::Request::ReadHoldingRegisters(*address, *count)
        }
        Request::Read(Block { function: Function::InputRegisters, address, count }) => {
            tokio_modbus::Request::ReadInputRegisters(*address, *count)
        }
        Request::Write { address, words } => {
            tokio_modbus::Request::WriteMultipleRegisters(*address, words.as_slice().into())
        }
    }
}

fn refused(code: u8) -> Failure {
    if GATEWAY_EXCEPTIONS.contains(&code) { Failure::Unreachable(code) } else { Failure::Refused(code) }
}

fn failed(error: tokio_modbus::Error, patience: Duration) -> Failure {
    match error {
        tokio_modbus::Error::Protocol(error) => Failure::Protocol(error.to_string()),
        // The decoder's words for bytes that are no frame, and for a frame that ends too soon. The end of a stream is a
        // broken pipe to it.
        tokio_modbus::Error::Transport(error)
            if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            Failure::Protocol(error.to_string())
        }
        tokio_modbus::Error::Transport(error) if error.kind() == io::ErrorKind::TimedOut => {
            Failure::Timeout(patience)
        }
        tokio_modbus::Error::Transport(error) => Failure::Transport(error.to_string()),
    }
}

/// Holds an answer to its question.
#[allow(clippy::wildcard_enum_match_arm)] // tokio-modbus knows many answers; two are asked for.
fn answered(request: &Request, response: Response) -> Result<Vec<u16>, Failure> {
    match (request, response) {
        (
            Request::Read(block),
            Response::ReadHoldingRegisters(words) | Response::ReadInputRegisters(words),
        ) => {
            if words.len() == usize::from(block.count) {
                return Ok(words);
            }
            Err(Failure::Protocol(format!("{} registers for {}", words.len(), block.count)))
        }
        (Request::Write { address, words }, Response::WriteMultipleRegisters(written, count)) => {
            if *address == written && words.len() == usize::from(count) {
                return Ok(Vec::new());
            }
            Err(Failure::Protocol(format!("{count} registers written at {written}")))
        }
        (_, other) => Err(Failure::Protocol(format!("{other:?}"))),
    }
}

#[cfg(test)]
mod tests;
