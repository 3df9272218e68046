//! The vehicle's end of the wire: finds the station by SDP, then asks one question at a time.
//!
//! Deliberately thin. The order of the messages is the caller's, because a vehicle that keeps a
//! wrong order is one of the faults worth simulating; the crate's `Evcc` would refuse it.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::iso2::{Body, BodyChoice, Document, MessageHeader, V2GMessage};
use iso15118::message::{Message, Outcome};
use iso15118::sdp::{MULTICAST_ADDR, Request, Response};
use iso15118::session::{Connection, ConnectionError, SessionId};
use iso15118::v2gtp::SDP_PORT;
use iso15118::{Iso20Set, Protocol, Protocols};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How often and how long a vehicle asks for a station: 250 ms × 50 (ISO 15118-2 table 17).
const SDP_INTERVAL: Duration = Duration::from_millis(250);
const SDP_ATTEMPTS: u32 = 50;
/// Most messages must be answered in 2 s, some in 5 s, the charge loop in 250 ms (table 109).
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(2);
const SLOW_MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
const CURRENT_DEMAND_TIMEOUT: Duration = Duration::from_millis(250);
/// The same of ISO 15118-20.
const CHARGE_LOOP_TIMEOUT: Duration = Duration::from_millis(500);

/// A vehicle looks at its clock this often while it waits.
const PIECE: Duration = Duration::from_millis(50);

/// Why a conversation broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Nothing answered discovery.
    #[error("no station answered discovery on {interface} ({attempts} requests)")]
    NoStation {
        /// The network interface that was asked.
        interface: String,
        /// How many requests went out.
        attempts: u32,
    },
    /// The network interface is not there.
    #[error("no network interface {0}")]
    NoInterface(String),
    /// The transport failed.
    #[error("transport: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes were no V2G messages.
    #[error("V2GTP: {0}")]
    Framing(#[from] ConnectionError),
    /// The station closed the connection.
    #[error("the station closed the connection while {0} was unanswered")]
    ClosedByStation(&'static str),
    /// No answer in time.
    #[error("{request} was not answered within {} ms", .limit.as_millis())]
    Timeout {
        /// The request.
        request: &'static str,
        /// The vehicle's patience.
        limit: Duration,
    },
    /// The station shares no protocol with this vehicle.
    #[error("the station speaks none of the offered protocols")]
    NoCommonProtocol,
    /// The answer belongs to another question.
    #[error("{got} does not answer {asked}")]
    WrongAnswer {
        /// What was asked.
        asked: &'static str,
        /// What came.
        got: &'static str,
    },
    /// The station answered with a FAILED code.
    #[error("the station refused {0}")]
    Refused(&'static str),
}

/// An open V2G session.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    connection: Connection,
    session: SessionId,
}

impl Wire {
    /// Finds the station on `interface`, connects without TLS and agrees on a protocol.
    ///
    /// # Errors
    /// No interface, no station, or none that speaks it.
    pub(super) async fn connect(interface: &str, protocol: Protocol) -> Result<Self, WireError> {
        let scope = nix::net::if_::if_nametoindex(interface)
            .map_err(|_| WireError::NoInterface(interface.to_owned()))?;
        let station = discover(interface, scope).await?;
        let stream = timeout(MESSAGE_TIMEOUT, TcpStream::connect(station))
            .await
            .map_err(|_| WireError::Timeout { request: "TCP connect", limit: MESSAGE_TIMEOUT })??;
        stream.set_nodelay(true)?;
        let mut wire = Self { stream, connection: Connection::new(), session: SessionId::NONE };
        let offer = SupportedAppProtocolReq::advertising_with(Protocols::only(protocol), &[Iso20Set::Dc]);
        let answer = wire
            .round_trip(&Message::AppProtocolReq(Box::new(offer)), "supportedAppProtocolReq", MESSAGE_TIMEOUT)
            .await?;
        let Message::AppProtocolRes(answer) = answer else { return Err(WireError::NoCommonProtocol) };
        if !answer.response_code.is_ok() || answer.schema_id.is_none() {
            return Err(WireError::NoCommonProtocol);
        }
        wire.connection.set_protocol(protocol);
        Ok(wire)
    }

    /// Sends a request and waits for its answer within the standard's time.
    ///
    /// # Errors
    /// [`WireError::Refused`] for a FAILED code; the others end the connection.
    pub(super) async fn ask(&mut self, request: BodyChoice) -> Result<BodyChoice, WireError> {
        let name = request.name();
        let limit = patience(&request);
        let answer = self.answered(wrap(request), name, limit).await?;
        let got = answer.name();
        body(answer).ok_or(WireError::WrongAnswer { asked: name, got })
    }

    /// The same for a message of ISO 15118-20.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn exchange(&mut self, request: Message) -> Result<Message, WireError> {
        let (name, limit) = (request.name(), patience_of(&request));
        self.answered(request, name, limit).await
    }

    async fn answered(
        &mut self,
        mut message: Message,
        name: &'static str,
        limit: Duration,
    ) -> Result<Message, WireError> {
        message.set_session_id(self.session);
        let answer = self.round_trip(&message, name, limit).await?;
        if !answer.answers(name) {
            return Err(WireError::WrongAnswer { asked: name, got: answer.name() });
        }
        if self.session.is_none()
            && let Some(id) = answer.session_id()
        {
            self.session = id;
        }
        if answer.outcome().is_some_and(Outcome::is_failure) {
            tracing::debug!(?answer, "refused");
            return Err(WireError::Refused(name));
        }
        Ok(answer)
    }

    async fn round_trip(
        &mut self,
        request: &Message,
        name: &'static str,
        limit: Duration,
    ) -> Result<Message, WireError> {
        self.connection.send(request)?;
        let bytes = self.connection.take_transmit();
        self.stream.write_all(&bytes).await?;
        let answer = std::pin::pin!(self.receive(name));
        patiently(limit, answer).await.unwrap_or(Err(WireError::Timeout { request: name, limit }))
    }

    async fn receive(&mut self, name: &'static str) -> Result<Message, WireError> {
        let mut buffer = [0u8; 4096];
        loop {
            if let Some(message) = self.connection.next_message()? {
                return Ok(message);
            }
            match self.stream.read(&mut buffer).await? {
                0 => return Err(WireError::ClosedByStation(name)),
                count => self.connection.receive(&buffer[..count])?,
            }
        }
    }
}

/// As [`timeout`], by pieces: time in which this process did not run is not held against the station.
async fn patiently<F: Future + Unpin>(limit: Duration, mut answer: F) -> Option<F::Output> {
    let mut waited = Duration::ZERO;
    while waited < limit {
        if let Ok(answer) = timeout(PIECE, &mut answer).await {
            return Some(answer);
        }
        waited += PIECE;
    }
    None
}

async fn discover(interface: &str, scope: u32) -> Result<SocketAddrV6, WireError> {
    let socket = UdpSocket::bind(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, scope)).await?;
    let group = SocketAddrV6::new(Ipv6Addr::from(MULTICAST_ADDR), SDP_PORT, 0, scope);
    let mut frame = [0u8; 16];
    let length = Request::PLAIN.write_frame(&mut frame, false).expect("a request is 10 bytes");
    let mut buffer = [0u8; 64];
    for _ in 0..SDP_ATTEMPTS {
        // A link that is down just now is a lost datagram, not the end.
        if let Err(error) = socket.send_to(&frame[..length], group).await {
            tracing::debug!(%error, "SDP request not sent");
        }
        let answer = timeout(SDP_INTERVAL, async {
            loop {
                let (count, _) = socket.recv_from(&mut buffer).await?;
                match Response::from_frame(&buffer[..count]) {
                    Ok(response) => return Ok::<_, std::io::Error>(response),
                    Err(error) => tracing::debug!(%error, "ignored a datagram"),
                }
            }
        });
        match answer.await {
            Ok(Ok(response)) => {
                return Ok(SocketAddrV6::new(Ipv6Addr::from(response.address), response.port, 0, scope));
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_elapsed) => {}
        }
    }
    Err(WireError::NoStation { interface: interface.to_owned(), attempts: SDP_ATTEMPTS })
}

fn patience(request: &BodyChoice) -> Duration {
    if matches!(request, BodyChoice::CurrentDemandReq(_)) {
        CURRENT_DEMAND_TIMEOUT
    } else if matches!(request, BodyChoice::PowerDeliveryReq(_)) {
        SLOW_MESSAGE_TIMEOUT
    } else {
        MESSAGE_TIMEOUT
    }
}

fn patience_of(request: &Message) -> Duration {
    let loops = matches!(request, Message::Iso20Dc(document)
        if matches!(**document, iso15118::iso20::dc::Document::DCChargeLoopReq(_)));
    let powers = matches!(request, Message::Iso20(document)
        if matches!(**document, iso15118::iso20::messages::Document::PowerDeliveryReq(_)));
    if loops {
        CHARGE_LOOP_TIMEOUT
    } else if powers {
        SLOW_MESSAGE_TIMEOUT
    } else {
        MESSAGE_TIMEOUT
    }
}

fn wrap(choice: BodyChoice) -> Message {
    Message::Iso2(Box::new(Document::V2GMessage(V2GMessage {
        header: MessageHeader { session_id: Vec::new(), notification: None, signature: None },
        body: Body { choice: Some(choice) },
    })))
}

fn body(message: Message) -> Option<BodyChoice> {
    let Message::Iso2(document) = message else { return None };
    let Document::V2GMessage(message) = *document else { return None };
    message.body.choice
}
