//! From a profile to an open WebSocket: name, TCP, proxy, TLS, handshake.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use super::http::{self, HEAD_MAX, Refused};
use super::profile::{Profile, Proxy, Tls};
use super::socket::{Socket, Stream};
use super::tls;
use crate::config::Version;
use crate::security::SecurityEvent;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 6;
/// How long one address may take; the others want their turn.
const ADDRESS_TIME: Duration = Duration::from_secs(8);
/// Without pings a peer that vanished is found by TCP: after so long with data it did not
/// acknowledge, or so long without any.
const VANISHED: Duration = Duration::from_secs(60);
/// What of a CSMS's texts the kernel holds, bytes. Left to itself it holds megabytes of a flood, and behind them
/// what the CSMS says of a card that a driver has shown.
const UNREAD: usize = 128 * 1024;

/// Why a profile does not lead to a CSMS.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name leads nowhere.
    #[error("{0}: {1}")]
    Name(String, io::Error),
    /// Nobody listens there.
    #[error("{0}: {1}")]
    Tcp(SocketAddr, io::Error),
    /// The proxy opens no tunnel.
    #[error("the proxy: {0}")]
    Proxy(Box<DialError>),
    /// A certificate or key of ours will not do.
    #[error("{0}")]
    Credentials(String),
    /// The CSMS and this station do not agree on TLS.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The connection broke before it was open.
    #[error("the connection broke off: {0}")]
    Io(#[from] io::Error),
    /// The answer opens nothing.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The compression that was agreed on cannot be spoken.
    #[error("WebSocket: {0}")]
    WebSocket(#[from] yawc::WebSocketError),
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    Time(Duration),
}

impl DialError {
    /// What this is of the security log's events.
    pub(super) fn security_event(&self) -> Option<SecurityEvent> {
        match self {
            Self::Refused(Refused::Status(401 | 403)) => Some(SecurityEvent::FailedToAuthenticateAtCsms),
            // TLS 1.3 hears only after the handshake that the station's certificate is not believed.
            Self::Tls(error) | Self::Io(error) => {
                error.get_ref().and_then(|inner| inner.downcast_ref()).and_then(tls::security_event)
            }
            Self::Name(..)
            | Self::Tcp(..)
            | Self::Proxy(_)
            | Self::Credentials(_)
            | Self::Refused(_)
            | Self::WebSocket(_)
            | Self::Time(_) => None,
        }
    }
}

/// An open WebSocket, and what was agreed on.
pub(super) struct Dialled {
    pub(super) socket: Socket,
    pub(super) version: Version,
    pub(super) compressed: bool,
    pub(super) address: SocketAddr,
}

/// Opens the WebSocket of a profile, in this time altogether.
///
/// # Errors
/// Where it failed.
pub(super) async fn dial(profile: &Profile, identity: &str, time: Duration) -> Result<Dialled, DialError> {
    timeout(time, open(profile, identity)).await.unwrap_or(Err(DialError::Time(time)))
}

async fn open(profile: &Profile, identity: &str) -> Result<Dialled, DialError> {
    let target = &profile.target;
    let tcp = reach(&target.host, target.port, profile.proxy.as_ref()).await?;
    let address = tcp.peer_addr()?;
    SockRef::from(&tcp).set_recv_buffer_size(UNREAD)?;
    let stream: Box<dyn Stream> = match &profile.tls {
        Some(tls) if target.secure => Box::new(secured(tls, &target.host, tcp).await?),
        Some(_) | None => Box::new(tcp),
    };
    let mut stream = BufReader::new(stream);
    let key = http::key(random()?);
    let authorization = profile.password.as_ref().map(|password| http::basic(identity, password.as_bytes()));
    let request =
        http::upgrade(&target.path, &target.authority, &key, &profile.versions, authorization.as_deref());
    let head = exchange(&mut stream, &request).await?;
    let agreed = http::upgraded(&head, &key, &profile.versions)?;
    let socket = Socket::new(stream, agreed.extensions.as_deref())?;
    Ok(Dialled { socket, version: agreed.version, compressed: agreed.extensions.is_some(), address })
}

/// A connection to a file server, which is believed if its certificate leads to one of these roots.
///
/// # Errors
/// Where it failed.
pub(crate) async fn open_stream(
    url: &Url,
    roots: &Path,
    proxy: Option<&Proxy>,
) -> Result<Box<dyn Stream>, DialError> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => return Err(DialError::Name(url.to_string(), io::ErrorKind::InvalidInput.into())),
    };
    let port = url.port_or_known_default().unwrap_or(80);
    let tcp = reach(&host, port, proxy).await?;
    if url.scheme() != "https" {
        return Ok(Box::new(tcp));
    }
    let credentials = Arc::new(tls::Files { roots: roots.to_owned(), client: None });
    let tls = Tls { credentials, server_name: None, accept_common_name: false };
    Ok(Box::new(secured(&tls, &host, tcp).await?))
}

async fn reach(host: &str, port: u16, proxy: Option<&Proxy>) -> Result<TcpStream, DialError> {
    match proxy {
        None => connect(host, port).await,
        Some(proxy) => tunnel(proxy, host, port).await.map_err(|error| DialError::Proxy(Box::new(error))),
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, DialError> {
    let named = |error| DialError::Name(host.to_owned(), error);
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(named)?;
    let mut failed = named(io::Error::from(io::ErrorKind::NotFound));
    for address in addresses.take(ADDRESSES_MAX) {
        let connected = timeout(ADDRESS_TIME, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                let socket = SockRef::from(&stream);
                socket.set_tcp_nodelay(true)?;
                let keepalive = TcpKeepalive::new().with_time(VANISHED).with_interval(VANISHED / 4);
                socket.set_tcp_keepalive(&keepalive)?;
                socket.set_tcp_user_timeout(Some(VANISHED))?;
                return Ok(stream);
            }
            Err(error) => failed = DialError::Tcp(address, error),
        }
    }
    Err(failed)
}

async fn tunnel(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, DialError> {
    let mut stream = BufReader::new(connect(&proxy.host, proxy.port).await?);
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let head = exchange(&mut stream, &http::connect(&authority, proxy.authorization.as_deref())).await?;
    http::connected(&head)?;
    if stream.buffer().is_empty() { Ok(stream.into_inner()) } else { Err(Refused::NoHttp.into()) }
}

/// The handshake of TLS runs on a thread apart: keys may be in a TPM, whose operations block for
/// hundreds of milliseconds, and signatures cost a small processor some.
async fn secured(tls: &Tls, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, DialError> {
    let name = tls.server_name.clone().unwrap_or_else(|| host.to_owned());
    let name = ServerName::try_from(name)
        .map_err(|_| DialError::Credentials("server_name is neither a name nor an address".to_owned()))?;
    let (credentials, accept_common_name) = (Arc::clone(&tls.credentials), tls.accept_common_name);
    // Whoever stops waiting here ends the thread with it.
    let mut end = EndOnDrop(Some(SockRef::from(&tcp).try_clone()?));
    let runtime = tokio::runtime::Handle::current();
    let shaken = tokio::task::spawn_blocking(move || {
        let config = tls::client_config(&*credentials, accept_common_name).map_err(DialError::Credentials)?;
        let connector = TlsConnector::from(Arc::new(config));
        runtime.block_on(connector.connect(name, tcp)).map_err(DialError::Tls)
    });
    let stream = shaken.await.map_err(io::Error::other)??;
    end.0 = None;
    Ok(stream)
}

struct EndOnDrop(Option<socket2::Socket>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // It may have ended by itself.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }
}

/// Sends a request, and returns the head of its answer.
async fn exchange<S: Stream>(stream: &mut BufReader<S>, request: &str) -> Result<Vec<u8>, DialError> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut head = Vec::new();
    loop {
        let came = stream.fill_buf().await?;
        if came.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let before = head.len();
        head.extend_from_slice(came);
        if let Some(length) = http::head_length(&head) {
            stream.consume(length - before);
            head.truncate(length);
            return Ok(head);
        }
        let came = came.len();
        stream.consume(came);
        if head.len() > HEAD_MAX {
            return Err(Refused::NoHttp.into());
        }
    }
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
