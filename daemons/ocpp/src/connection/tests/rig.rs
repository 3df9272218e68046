//! A server that does what a test tells it, and a connection with its uplink.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::SinkExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use yawc::frame::{Frame, OpCode};
use yawc::{Options, Role, WebSocket};

use super::super::*;

/// Events that the uplink's channel holds.
pub(super) const EVENTS: usize = 8;

/// Nothing takes longer here.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(super) fn times() -> Times {
    Times {
        redial: RedialTimes {
            wait_minimum: Duration::from_millis(1),
            random_range: Duration::ZERO,
            repeat_times: 0,
            attempts: 2,
        },
        keepalive: KeepaliveTimes { interval: None, timeout: Duration::from_secs(1) },
        dial: Duration::from_secs(10),
        write: Duration::from_secs(10),
    }
}

/// A profile without TLS to this listener.
pub(super) fn plain(slot: Slot, listener: &TcpListener) -> Profile {
    let address = listener.local_addr().unwrap();
    let target = Target::new(&format!("ws://{address}/ocpp"), "CP-1").unwrap();
    Profile {
        slot,
        target,
        versions: vec![Version::V201, Version::V16],
        password: None,
        tls: None,
        proxy: None,
    }
}

#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: u64,
    pub(super) slot: Slot,
    pub(super) version: Version,
    pub(super) compressed: bool,
}

/// The uplink's end.
pub(super) struct Rig {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) events: mpsc::Receiver<Event>,
}

impl Rig {
    pub(super) fn new(profiles: Vec<Profile>, good: Option<Profile>, times: Times) -> (Connection, Self) {
        let (commands, commanded) = mpsc::channel(64);
        let (tell, events) = mpsc::channel(EVENTS);
        let connection =
            Connection::new("CP-1".to_owned(), profiles, good, times, (commanded, tell)).unwrap();
        (connection, Self { commands, events })
    }

    pub(super) fn start(profiles: Vec<Profile>, times: Times) -> Self {
        let (connection, rig) = Self::new(profiles, None, times);
        tokio::spawn(connection.run());
        rig
    }

    pub(super) async fn command(&self, command: Command) {
        self.commands.send(command).await.unwrap();
    }

    pub(super) async fn send(&self, opened: &Opened, text: &str) {
        self.command(Command::Send { connection: opened.connection, text: text.to_owned() }).await;
    }

    pub(super) async fn event(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.expect("an event").unwrap()
    }

    pub(super) async fn opened(&mut self) -> Opened {
        loop {
            match self.event().await {
                Event::Opened { connection, slot, version, compressed, .. } => {
                    return Opened { connection, slot, version, compressed };
                }
                // A server that is not ready yet.
                Event::Failed { why, .. } => panic!("{why}"),
                Event::Text(_) | Event::Closed { .. } => {}
            }
        }
    }

    pub(super) async fn text(&mut self) -> String {
        match self.event().await {
            Event::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn closed(&mut self) -> String {
        loop {
            match self.event().await {
                Event::Closed { why } => return why,
                Event::Text(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub(super) async fn failed(&mut self) -> (Slot, String) {
        match self.event().await {
            Event::Failed { slot, why, .. } => (slot, why),
            other => panic!("{other:?}"),
        }
    }
}

/// Accepts a connection and reads the head of its request.
pub(super) async fn head(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.expect("a dial").unwrap();
    let request = read_head(&mut stream).await;
    (stream, request)
}

pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
}

/// The answer that opens the WebSocket.
pub(super) fn answer(request: &str, protocol: &str, extensions: Option<&str>) -> String {
    use base64::Engine as _;
    use sha1::Digest as _;
    let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    let hash = sha1::Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    let accept = base64::prelude::BASE64_STANDARD.encode(hash);
    let extensions =
        extensions.map(|list| format!("Sec-WebSocket-Extensions: {list}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {protocol}\r\n{extensions}\r\n"
    )
}

/// Counts what is read.
pub(super) struct Counted<S>(S, Arc<AtomicUsize>);

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(cx, into))?;
        self.1.fetch_add(into.filled().len() - before, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The server's end of an open WebSocket.
pub(super) struct Csms<S = TcpStream> {
    socket: WebSocket<Counted<S>>,
    read: Arc<AtomicUsize>,
    pub(super) request: String,
}

impl Csms {
    pub(super) async fn accept(listener: &TcpListener, protocol: &str) -> Self {
        Self::accept_with(listener, protocol, None).await
    }

    pub(super) async fn accept_with(
        listener: &TcpListener,
        protocol: &str,
        extensions: Option<&str>,
    ) -> Self {
        let (stream, request) = head(listener).await;
        Self::open(stream, request, protocol, extensions).await
    }

    /// Accepts a connection, answers with this, and hangs up.
    pub(super) async fn refuse(listener: &TcpListener, answer: &str) -> SocketAddr {
        let (mut stream, _) = head(listener).await;
        write(&mut stream, answer.as_bytes()).await;
        stream.peer_addr().unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Csms<S> {
    pub(super) async fn open(
        mut stream: S,
        request: String,
        protocol: &str,
        extensions: Option<&str>,
    ) -> Self {
        write(&mut stream, answer(&request, protocol, extensions).as_bytes()).await;
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Counted(stream, Arc::clone(&read));
        let options = Options::default().with_balanced_compression().with_limits(64 << 20, 64 << 20);
        let socket =
            WebSocket::from_stream_with_extensions(counted, Role::Server, extensions, options).unwrap();
        Self { socket, read, request }
    }

    /// Bytes that came of the station.
    pub(super) fn received(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) async fn send(&mut self, text: &str) {
        self.socket.send(Frame::text(text.to_owned())).await.unwrap();
    }

    /// Hands a frame on without waiting for it to be taken; an error if the station hung up.
    pub(super) async fn push(&mut self, frame: Frame) -> Result<(), yawc::WebSocketError> {
        self.socket.send(frame).await
    }

    pub(super) async fn close(&mut self, code: u16, reason: &str) {
        self.socket.send(Frame::close(code.into(), reason)).await.unwrap();
    }

    async fn frame(&mut self) -> Option<Frame> {
        tokio::time::timeout(PATIENCE, self.socket.next_frame()).await.expect("a frame").ok()
    }

    pub(super) async fn text(&mut self) -> String {
        loop {
            let frame = self.frame().await.expect("the station is there");
            if frame.opcode() == OpCode::Text {
                return frame.as_str().to_owned();
            }
        }
    }

    /// Whether the station's next frame is a ping. It is answered.
    pub(super) async fn ping(&mut self) -> bool {
        self.frame().await.is_some_and(|frame| frame.opcode() == OpCode::Ping)
    }

    /// The code with which the station ends the connection; `None` if it just goes.
    pub(super) async fn end(&mut self) -> Option<u16> {
        loop {
            let frame = self.frame().await?;
            if frame.opcode() == OpCode::Close {
                return frame.close_code().map(u16::from);
            }
        }
    }
}
