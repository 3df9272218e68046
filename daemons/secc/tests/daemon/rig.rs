//! The daemon's task with an evse that grants everything at once, and a vehicle that charges.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use iso15118::app_protocol::SupportedAppProtocolReq;
use iso15118::iso2::{self, BodyChoice as B, ChargeProgress, EVSEProcessing, ResponseCode};
use iso15118::message::Message;
use iso15118::sdp;
use iso15118::session::Connection as V2g;
use iso15118::{Protocol, Protocols};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use voltry_bus::{EvLink1Proxy, LinkPhase, PhaseAnswer};
use voltry_secc::bus;
use voltry_secc::config::configure;
use voltry_secc::link::Link;
use voltry_secc::v2g_log::V2gLog;
use voltry_service::clock::now;
use voltry_service::{Config, Device, Identity};

use crate::ALONE;
use crate::bench::*;
use crate::evse;
use crate::private_bus::Bus;

pub(crate) const NAME: &str = "org.voltry.Secc.N1";
pub(crate) const PATH: &str = "/org/voltry/ev_link/1";

pub(crate) async fn with_daemon<F: Future<Output = ()>>(scenario: impl FnOnce(EvLink1Proxy<'static>) -> F) {
    with_daemon_of("[secc.1]\ninterface = \"lo\"\nevse_id = \"DE*VOL*E1\"", scenario).await;
}

/// Runs a scenario against the daemon's task of this configuration, with an evse that grants
/// everything at once.
pub(crate) async fn with_daemon_of<F: Future<Output = ()>>(
    text: &str,
    scenario: impl FnOnce(EvLink1Proxy<'static>) -> F,
) {
    let _alone = ALONE.lock().await;
    let bus = Bus::start();
    let (server, client) = (bus.connect().await, bus.connect().await);
    server.request_name(NAME).await.unwrap();
    let settings = configure(&Config::parse([("voltry.toml", text)]).unwrap(), "1").unwrap().settings;
    let device = Device::serve(&server, PATH, Identity::default()).await.unwrap();
    let (publisher, cell) = bus::serve(&server, PATH).await.unwrap();
    let log = V2gLog::serve(&server, PATH).await.unwrap();
    let mut link = Link::new(1, settings, device, publisher, cell, log);
    link.load_certificates(now());
    link.look(now());
    let proxy = evse::link(&client).await.unwrap();
    let mut entries = proxy.receive_phase_entered().await.unwrap();
    let played = proxy.clone();
    let grant_everything = async {
        let mut phase = 0;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tokio::select! {
                Some(entry) = entries.next() => {
                    phase = entry.args().unwrap().entry().counter;
                    played.set_present(evse::present(phase)).await.unwrap();
                    played.answer(phase, PhaseAnswer::Finished).await.unwrap();
                }
                _ = tick.tick() => played.set_present(evse::present(phase)).await.unwrap(),
            }
        }
    };
    tokio::select! {
        ended = link.serve() => panic!("{ended:?}"),
        () = grant_everything => {}
        done = tokio::time::timeout(Duration::from_secs(20), scenario(proxy)) => done.expect("in time"),
    }
}

pub(crate) async fn attach(evse: &EvLink1Proxy<'_>) {
    evse::attach(evse).await.unwrap();
}

pub(crate) async fn until(evse: &EvLink1Proxy<'_>, phase: LinkPhase) {
    evse::until(evse, phase).await.unwrap();
}

/// A stream of bytes, protected or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

pub(crate) struct Vehicle {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) v2g: V2g,
    pub(crate) id: Vec<u8>,
}

impl Vehicle {
    pub(crate) async fn discover() -> Option<sdp::Response> {
        Self::discover_by(sdp::Request::PLAIN).await
    }

    pub(crate) async fn discover_by(request: sdp::Request) -> Option<sdp::Response> {
        let socket = UdpSocket::bind("[::1]:0").await.unwrap();
        let mut frame = [0; 64];
        let length = request.write_frame(&mut frame, false).unwrap();
        socket.send_to(&frame[..length], "[::1]:15118").await.unwrap();
        let mut answer = [0; 64];
        let received = tokio::time::timeout(Duration::from_millis(250), socket.recv(&mut answer)).await;
        let length = received.ok()?.unwrap();
        Some(sdp::Response::from_frame(&answer[..length]).unwrap())
    }

    /// As a vehicle does, 50 times (ISO 15118-2, table 17).
    pub(crate) async fn discover_patiently(request: sdp::Request) -> sdp::Response {
        for _ in 0..50 {
            if let Some(station) = Self::discover_by(request).await {
                return station;
            }
        }
        panic!("discovery is not answered");
    }

    pub(crate) async fn connect() -> Self {
        let station = Self::discover_patiently(sdp::Request::PLAIN).await;
        let stream = TcpStream::connect((station.ipv6(), station.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: Box::new(stream), v2g: V2g::new(), id: vec![0; 8] }
    }

    pub(crate) async fn set_up(&mut self) {
        self.agree().await;
        let answer = self.ask(session_setup()).await;
        assert_eq!(code(&answer), ResponseCode::OKNewSessionEstablished);
    }

    /// Agrees on ISO 15118-2.
    pub(crate) async fn agree(&mut self) {
        let offer = SupportedAppProtocolReq::advertising(Protocols::only(Protocol::Iso2));
        self.exchange(Message::AppProtocolReq(Box::new(offer))).await.unwrap();
        self.v2g.set_protocol(Protocol::Iso2);
    }

    pub(crate) async fn exchange(&mut self, message: Message) -> Option<Message> {
        self.v2g.send(&message).unwrap();
        self.stream.write_all(&self.v2g.take_transmit()).await.ok()?;
        let mut buffer = [0; 1024];
        loop {
            if let Some(answer) = self.v2g.next_message().unwrap() {
                return Some(answer);
            }
            let length = self.stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
            self.v2g.receive(&buffer[..length]).unwrap();
        }
    }

    pub(crate) async fn ask(&mut self, body: B) -> B {
        let name = body.name();
        let header = iso2::MessageHeader { session_id: self.id.clone(), notification: None, signature: None };
        let message = iso2::V2GMessage { header, body: iso2::Body { choice: Some(body) } };
        let document = iso2::Document::V2GMessage(message);
        let answer = self.exchange(Message::Iso2(Box::new(document))).await;
        let Some(Message::Iso2(document)) = answer else { panic!("no answer to {name}") };
        let iso2::Document::V2GMessage(whole) = *document else { panic!("no message") };
        self.id = whole.header.session_id;
        whole.body.choice.unwrap()
    }

    pub(crate) async fn ok(&mut self, body: B) -> B {
        let name = body.name();
        let answer = self.ask(body).await;
        assert_eq!(code(&answer), ResponseCode::OK, "{name}");
        answer
    }

    /// Asks until it is finished.
    async fn finished(&mut self, body: B) {
        loop {
            let processing = match self.ok(body.clone()).await {
                B::ChargeParameterDiscoveryRes(answer) => answer.evse_processing,
                B::CableCheckRes(answer) => answer.evse_processing,
                other => panic!("{} has no EVSEProcessing", other.name()),
            };
            if processing == EVSEProcessing::Finished {
                return;
            }
        }
    }

    pub(crate) async fn charge(&mut self) {
        self.set_up().await;
        self.ok(service_discovery()).await;
        self.ok(payment()).await;
        self.ok(authorization()).await;
        self.finished(parameters()).await;
        self.finished(cable_check()).await;
        self.ok(pre_charge()).await;
        self.ok(power_delivery(ChargeProgress::Start)).await;
    }
}
