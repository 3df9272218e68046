//! The vehicle's side of a charge by each protocol, as far as the benchmark needs it.
#![allow(clippy::wildcard_enum_match_arm, reason = "of a schema's many messages a vehicle hears a few")]

mod din;
mod iso2;
mod iso20;

use std::net::{Ipv6Addr, SocketAddrV6};
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};

use crate::certificates;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::message::Message;
use iso15118::session::Connection;
use iso15118::v2gtp::PayloadType;
use iso15118::{Protocols, sdp};
use openssl::ssl::{Ssl, SslContext};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_openssl::SslStream;
use voltry_din70121::{ExiDocument as _, V2gMessage};

/// Where the station says "ongoing", the vehicle asks again after this; the fastest vehicle
/// recorded takes 17 ms from an answer to its next request.
const AGAIN: Duration = Duration::from_millis(17);
/// A vehicle gives up after 40 s of "ongoing".
const PATIENCE: Duration = Duration::from_secs(40);
/// PreCharge ends within this many volts of the battery's.
pub(crate) const PRE_CHARGED_V: f64 = 20.0;
/// The most that the vehicle bears, volts; the charge loop asks for a little less.
const VOLTAGE_MAX: i16 = 410;
/// What the charge loop asks for at first, volts and amperes.
const TARGET: (i16, i16) = (405, 125);

/// What the vehicle speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    Iso2,
    Iso20,
    Din,
}

impl Protocol {
    /// As the configuration of secc has it.
    pub(crate) const fn configured(self) -> &'static str {
        match self {
            Self::Iso2 => "iso15118-2",
            Self::Iso20 => "iso15118-20",
            Self::Din => "din70121",
        }
    }

    /// As an argument of this program has it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Where its vehicles come over TLS: the vehicle's side of it, and the keys of secc's table; by certificates
    /// that are made in the folder.
    pub(crate) fn certificates(self, folder: &Path) -> anyhow::Result<Option<(SslContext, String)>> {
        match self {
            Self::Iso2 | Self::Din => Ok(None),
            Self::Iso20 => {
                certificates::make(folder)?;
                Ok(Some((certificates::vehicle(folder)?, certificates::configuration(folder))))
            }
        }
    }

    const fn generation(self) -> iso15118::Protocol {
        match self {
            Self::Iso2 => iso15118::Protocol::Iso2,
            Self::Iso20 => iso15118::Protocol::Iso20,
            Self::Din => iso15118::Protocol::Din70121,
        }
    }
}

/// A part of the way to current and the charge loop at its end; of one request or some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    SessionSetup,
    /// Services, payment, authorization.
    Selection,
    Parameters,
    CableCheck,
    PreCharge,
    PowerDelivery,
    /// One round of the charge loop.
    Demand,
}

impl Step {
    /// The way to the charge loop.
    pub(crate) const TO_CHARGING: [Self; 6] = [
        Self::SessionSetup,
        Self::Selection,
        Self::Parameters,
        Self::CableCheck,
        Self::PreCharge,
        Self::PowerDelivery,
    ];
}

/// A message of any protocol.
enum Payload {
    Iso(Message),
    Din(V2gMessage),
}

impl Payload {
    fn name(&self) -> &'static str {
        match self {
            Self::Iso(Message::Iso2(document)) => match &**document {
                iso15118::iso2::Document::V2GMessage(message) => {
                    message.body.choice.as_ref().map_or("an empty body", |body| body.name())
                }
                _ => "no message",
            },
            Self::Iso(message) => message.name(),
            Self::Din(message) => {
                message.body.element.as_ref().map_or("an empty body", |body| body.element())
            }
        }
    }
}

/// What the vehicle heeds of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Answer {
    refused: Option<String>,
    /// The station needs more time.
    ongoing: bool,
    /// EVSEPresentVoltage, volts.
    voltage: Option<f64>,
    /// EVSEPresentCurrent, amperes.
    pub(crate) current: Option<f64>,
    /// The session id of the header.
    id: Vec<u8>,
}

/// A stream of bytes, protected or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug> Stream for T {}

/// A vehicle that talks.
#[derive(Debug)]
pub(crate) struct Vehicle {
    protocol: Protocol,
    /// Volts.
    battery: f64,
    stream: Box<dyn Stream>,
    v2g: Connection,
    id: Vec<u8>,
    /// What the charge loop asks for, volts and amperes.
    pub(crate) target: (i16, i16),
}

impl Vehicle {
    /// Discovers the station behind `interface`, connects, by TLS if it has any, and agrees on the
    /// protocol.
    pub(crate) async fn connected(
        interface: &str,
        protocol: Protocol,
        battery: f64,
        tls: Option<&SslContext>,
    ) -> anyhow::Result<Self> {
        let scope = nix::net::if_::if_nametoindex(interface)?;
        let request = if tls.is_some() { sdp::Request::TLS } else { sdp::Request::PLAIN };
        let station = discover(scope, request).await?;
        let tcp = TcpStream::connect(station).await.context("connecting")?;
        tcp.set_nodelay(true)?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(tcp),
            Some(context) => {
                let mut stream = SslStream::new(Ssl::new(context)?, tcp)?;
                Pin::new(&mut stream).connect().await.context("the TLS handshake")?;
                Box::new(stream)
            }
        };
        let id = match protocol {
            Protocol::Iso2 | Protocol::Iso20 => vec![0; 8],
            Protocol::Din => vec![0],
        };
        let mut vehicle = Self { protocol, battery, stream, v2g: Connection::new(), id, target: TARGET };
        let offer = SupportedAppProtocolReq::advertising(Protocols::only(protocol.generation()));
        vehicle.v2g.send(&Message::AppProtocolReq(Box::new(offer)))?;
        vehicle.transmit().await?;
        while vehicle.v2g.next_message()?.is_none() {
            vehicle.receive().await?;
        }
        if protocol != Protocol::Din {
            vehicle.v2g.set_protocol(protocol.generation());
        }
        Ok(vehicle)
    }

    /// To the charge loop, with a station that is done with everything at once.
    pub(crate) async fn charging(
        interface: &str,
        protocol: Protocol,
        battery: f64,
        tls: Option<&SslContext>,
    ) -> anyhow::Result<Self> {
        let mut vehicle = Self::connected(interface, protocol, battery, tls).await?;
        for step in Step::TO_CHARGING {
            vehicle.take(step).await?;
        }
        Ok(vehicle)
    }

    /// Asks all that this step is made of, each until the station is done with it; the last answer.
    pub(crate) async fn take(&mut self, step: Step) -> anyhow::Result<Answer> {
        let mut last = Answer::default();
        let begin = Instant::now();
        for place in 0.. {
            loop {
                let Some(request) = self.request(step, place) else { return Ok(last) };
                last = self.ask(&request).await?;
                let far = |voltage: f64| (voltage - self.battery).abs() >= PRE_CHARGED_V;
                let ongoing = last.ongoing || step == Step::PreCharge && last.voltage.is_none_or(far);
                if !ongoing {
                    break;
                }
                if begin.elapsed() > PATIENCE {
                    bail!("{} is not done: {last:?}", request.name());
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
        unreachable!("every step has its last request")
    }

    fn request(&self, step: Step, place: u32) -> Option<Payload> {
        match self.protocol {
            Protocol::Iso2 => {
                iso2::request(step, place, &self.id, self.battery, self.target).map(Payload::Iso)
            }
            Protocol::Iso20 => {
                iso20::request(step, place, &self.id, self.battery, self.target).map(Payload::Iso)
            }
            Protocol::Din => din::request(step, place, &self.id, self.battery, self.target).map(Payload::Din),
        }
    }

    async fn ask(&mut self, request: &Payload) -> anyhow::Result<Answer> {
        let name = request.name();
        match request {
            Payload::Iso(message) => self.v2g.send(message)?,
            Payload::Din(message) => {
                self.v2g.send_frame(PayloadType::ExiEncodedV2gMessage, &message.to_vec()?)?;
            }
        }
        self.transmit().await?;
        let payload = loop {
            if let Some(payload) = self.heard()? {
                break payload;
            }
            self.receive().await.with_context(|| format!("waiting for the answer to {name}"))?;
        };
        let wanted = format!("{}Res", name.trim_end_matches("Req"));
        if payload.name() != wanted {
            bail!("{} to {name}", payload.name());
        }
        let answer = match payload {
            Payload::Iso(Message::Iso2(document)) => iso2::answer(*document),
            Payload::Iso(message) => iso20::answer(message),
            Payload::Din(message) => din::answer(message),
        };
        if let Some(code) = &answer.refused {
            bail!("{name} was answered {code}");
        }
        self.id.clone_from(&answer.id);
        Ok(answer)
    }

    fn heard(&mut self) -> anyhow::Result<Option<Payload>> {
        Ok(match self.protocol {
            Protocol::Iso2 | Protocol::Iso20 => self.v2g.next_message()?.map(Payload::Iso),
            Protocol::Din => match self.v2g.next_frame() {
                Some((_, payload)) => Some(Payload::Din(V2gMessage::from_bytes(&payload)?)),
                None => None,
            },
        })
    }

    async fn transmit(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&self.v2g.take_transmit()).await?;
        Ok(self.stream.flush().await?)
    }

    async fn receive(&mut self) -> anyhow::Result<()> {
        let mut buffer = [0; 4096];
        let length = self.stream.read(&mut buffer).await?;
        if length == 0 {
            bail!("the station closed the connection");
        }
        Ok(self.v2g.receive(&buffer[..length])?)
    }
}

async fn discover(scope: u32, request: sdp::Request) -> anyhow::Result<SocketAddrV6> {
    let socket = UdpSocket::bind(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, scope)).await?;
    let group = SocketAddrV6::new(Ipv6Addr::from(sdp::MULTICAST_ADDR), iso15118::v2gtp::SDP_PORT, 0, scope);
    let mut frame = [0; 64];
    let length = request.write_frame(&mut frame, false).context("a request is 10 bytes")?;
    for _ in 0..20 {
        socket.send_to(&frame[..length], group).await?;
        let mut answer = [0; 64];
        let received = tokio::time::timeout(Duration::from_millis(250), socket.recv(&mut answer)).await;
        if let Ok(Ok(length)) = received
            && let Ok(station) = sdp::Response::from_frame(&answer[..length])
        {
            return Ok(SocketAddrV6::new(station.ipv6(), station.port, 0, scope));
        }
    }
    bail!("no station answered discovery")
}

/// Tenths of a volt, as a battery's voltage goes over the wire.
fn tenths(volts: f64) -> i16 {
    #[allow(clippy::cast_possible_truncation)] // far below: a battery has 1500 V at most
    let tenths = (volts * 10.0).round() as i16;
    tenths
}

fn scaled(value: i16, exponent: i8) -> f64 {
    f64::from(value) * 10_f64.powi(i32::from(exponent))
}
