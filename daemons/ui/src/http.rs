//! Serving HTTP to whoever comes, with everything that they drive bounded.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use maud::{Markup, PreEscaped, html};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};
use voltry_service::RateLimit;
use voltry_service::clock::now;

use crate::assets;

/// Connections at once; a page has one or two.
const CONNECTIONS: usize = 128;
/// Whoever has not sent a request's head by then is let go.
const HEAD: Duration = Duration::from_secs(10);
/// Whoever has not sent its body, or a handler that has no answer by then.
const ANSWER: Duration = Duration::from_secs(15);
/// Bytes of a request's head.
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
/// Bytes of a request's body: a form has some hundred.
const BODY_MAX: usize = 8 * 1024;

/// Of those who come over TLS while all connections are taken, so many at once are told so, and for so long each:
/// a handshake costs more than an answer.
const TOLD: usize = 4;
const TELLING: Duration = Duration::from_secs(3);

/// What whoever comes while all connections are taken is told.
const FULL_TEXT: &str = "Too many look at this page. Try again shortly.\n";
const FULL_HEADERS: [(HeaderName, &str); 3] =
    [(header::CONTENT_TYPE, "text/plain"), (header::RETRY_AFTER, "5"), (header::CONNECTION, "close")];

/// Serves for ever, over TLS if there is an acceptor. Whoever comes while all connections are taken is told so and
/// let go at once, over TLS the first [`TOLD`] of them. Handlers find who it is as an extension, [`ConnectInfo`].
pub(crate) async fn serve(listener: TcpListener, router: Router, tls: Option<TlsAcceptor>) {
    serve_so_many(CONNECTIONS, TELLING, listener, router, tls).await;
}

async fn serve_so_many(
    places: usize,
    telling: Duration,
    listener: TcpListener,
    router: Router,
    tls: Option<TlsAcceptor>,
) {
    let router = router.layer(DefaultBodyLimit::max(BODY_MAX));
    let full = Router::new().fallback(async || (StatusCode::SERVICE_UNAVAILABLE, FULL_HEADERS, FULL_TEXT));
    let full = full.layer(middleware::from_fn(harden));
    let (places, told) = (Arc::new(Semaphore::new(places)), Arc::new(Semaphore::new(TOLD)));
    let mut connections = JoinSet::new();
    let mut refused = RateLimit::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors: it passes when somebody goes.
                    warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        // An event is small and often follows another: it is not kept back until that one is acknowledged.
        let _ = stream.set_nodelay(true);
        if let Ok(place) = places.clone().try_acquire_owned() {
            connections.spawn(answer(stream, peer, router.clone(), tls.clone(), place));
            continue;
        }
        if let Some(count) = refused.count(now()) {
            warn!(count, "connections refused: {CONNECTIONS} are open");
        }
        match (&tls, told.clone().try_acquire_owned()) {
            (None, _) => tell_full(stream),
            (Some(_), Ok(place)) => {
                let told = answer(stream, peer, full.clone(), tls.clone(), place);
                connections.spawn(async move { _ = timeout(telling, told).await });
            }
            (Some(_), Err(_)) => {}
        }
    }
}

/// Into an empty buffer: it does not wait. Who has gone is told nothing.
fn tell_full(stream: TcpStream) {
    let headers = FULL_HEADERS.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let length = FULL_TEXT.len();
    if let Ok(mut stream) = stream.into_std() {
        let told = format!(
            "HTTP/1.1 503 Service Unavailable\r\n{headers}content-length: {length}\r\n\r\n{FULL_TEXT}"
        );
        let _ = stream.write_all(told.as_bytes());
    }
}

/// One connection from its beginning to its end, for which it has this place.
async fn answer(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    tls: Option<TlsAcceptor>,
    _place: OwnedSemaphorePermit,
) {
    match tls {
        None => converse(stream, peer, router, HEAD).await,
        Some(tls) => match timeout(HEAD, tls.accept(stream)).await {
            Ok(Ok(stream)) => converse(stream, peer, router, HEAD).await,
            Ok(Err(error)) => debug!(%peer, %error, "no TLS"),
            Err(_) => debug!(%peer, "no TLS in time"),
        },
    }
}

/// Answers what comes on a connection, until nothing has come for `head`.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    head: Duration,
) {
    let router = TowerToHyperService::new(router);
    let from_peer = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        router.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), from_peer)
        .await;
    if let Err(error) = served {
        debug!(%error, "a connection ended badly");
    }
}

/// What is in a page's middle, as an event carries it.
pub(crate) fn event(middle: &Markup) -> String {
    html! { main { (PreEscaped(&middle.0)) } }.into_string()
}

/// What a listener was shown last: remembered by its hash, as fifty listeners would keep fifty pages.
#[derive(Debug, Default)]
pub(crate) struct Shown(Option<u64>);

impl Shown {
    /// Whether this is something else than was shown; it is shown now.
    pub(crate) fn is_new(&mut self, page: &str) -> bool {
        let mut hasher = DefaultHasher::new();
        page.hash(&mut hasher);
        let new = Some(hasher.finish());
        std::mem::replace(&mut self.0, new) != new
    }
}

/// Nothing on a page comes from elsewhere, and nothing is written into it that runs or paints but our own style.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = assets::style_hash();
    let policy = format!(
        "default-src 'none'; style-src 'self' 'sha256-{style}'; script-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("base64 is visible ASCII")
});

/// What else every answer says of itself.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Puts them on, and bounds the time until an answer begins.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    harden_within(ANSWER, request, next).await
}

async fn harden_within(limit: Duration, request: Request, next: Next) -> Response {
    let answer = timeout(limit, next.run(request)).await;
    let mut answer = answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response());
    answer.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert_with(|| POLICY.clone());
    for (name, value) in HEADERS {
        answer.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    answer
}

/// Whether a request is for this machine by a name that only it has: `localhost`, or an address of loopback,
/// which nobody's name server can make another name of.
pub(crate) fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = host(headers) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a request changes nothing, or comes from a page of the same server.
pub(crate) fn is_same_origin(request: &Request, scheme: &str) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return true;
    }
    let origin = request.headers().get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let own = host(request.headers()).map(|host| format!("{scheme}://{host}"));
    origin.is_some() && origin == own.as_deref()
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use axum::body::Body;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

    use super::*;

    fn request(method: Method, host: &str, origin: Option<&str>) -> Request {
        let mut request = axum::http::Request::builder().method(method).header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        request.body(Body::empty()).unwrap()
    }

    /// What a server with these times answers to whoever says this, and then a byte at a time, until it hangs up.
    async fn drip(said: &str, head: Duration, answer: Duration) -> String {
        let echo = axum::routing::post(|body: String| async move { body });
        let router = Router::new().route("/", echo.get(|| async { "here" }));
        let router =
            router.layer(middleware::from_fn(move |request, next| harden_within(answer, request, next)));
        let (client, server) = tokio::io::duplex(1 << 16);
        let served = tokio::spawn(converse(server, ([127, 0, 0, 1], 1).into(), router, head));
        let (mut from, mut to) = tokio::io::split(client);
        to.write_all(said.as_bytes()).await.unwrap();
        let dripping = tokio::spawn(async move {
            while to.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut heard = Vec::new();
        timeout(LONG, from.read_to_end(&mut heard)).await.expect("it holds on to the connection").unwrap();
        timeout(LONG, served).await.expect("its place is still taken").unwrap();
        dripping.abort();
        String::from_utf8(heard).unwrap()
    }

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_head_that_comes_a_byte_at_a_time_is_not_waited_for() {
        for said in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "] {
            let heard = drip(said, SHORT, LONG).await;
            assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 408"), "{said}: {heard}");
        }
    }

    #[tokio::test]
    async fn nor_is_the_next_head_of_whoever_was_answered_once() {
        let heard = drip("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", SHORT, LONG).await;
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    }

    #[tokio::test]
    async fn nor_is_a_body_that_comes_a_byte_at_a_time() {
        let said = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8000\r\n\r\n";
        let heard = drip(said, SHORT, SHORT).await;
        assert!(heard.starts_with("HTTP/1.1 408") && heard.contains("content-security-policy"), "{heard}");
    }

    /// A server over TLS that has no place for anybody, where it is, and who believes its certificate.
    async fn full_server(telling: Duration) -> (SocketAddr, TlsConnector) {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) =
            (own.cert.der().clone(), own.signing_key.serialize_der().try_into().unwrap());
        let provider = Arc::new(ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = Some(TlsAcceptor::from(Arc::new(server)));
        tokio::spawn(serve_so_many(0, telling, listener, Router::new(), tls));
        (address, TlsConnector::from(Arc::new(client)))
    }

    /// Nothing, if it hangs up.
    async fn asked((address, tls): &(SocketAddr, TlsConnector)) -> String {
        let asked = async {
            let stream = TcpStream::connect(address).await?;
            let mut stream = tls.connect("localhost".try_into().unwrap(), stream).await?;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await.map(|_| heard)
        };
        timeout(LONG, asked).await.expect("it is held on to").unwrap_or_default()
    }

    #[tokio::test]
    async fn whoever_comes_over_tls_while_all_places_are_taken_is_told_so_a_few_at_once() {
        let server = full_server(LONG).await;
        let told = asked(&server).await;
        assert!(told.starts_with("HTTP/1.1 503") && told.ends_with(FULL_TEXT), "{told:?}");
        let mut silent = Vec::new();
        for _ in 0..TOLD {
            silent.push(TcpStream::connect(server.0).await.unwrap());
        }
        assert_eq!(asked(&server).await, "");
        drop(silent);
        while asked(&server).await.is_empty() {
            tokio::time::sleep(SHORT).await;
        }
    }

    #[tokio::test]
    async fn nor_does_one_that_says_nothing_keep_the_others_from_being_told() {
        let server = full_server(SHORT).await;
        let mut silent = Vec::new();
        for _ in 0..TOLD {
            silent.push(TcpStream::connect(server.0).await.unwrap());
        }
        let start = Instant::now();
        while asked(&server).await.is_empty() {
            tokio::time::sleep(SHORT).await;
        }
        assert!(start.elapsed() < HEAD, "their places were free only when the time for a handshake was over");
        drop(silent);
    }

    #[test]
    fn what_was_shown_is_told_once() {
        let mut shown = Shown::default();
        let told = ["one", "one", "two", "one"].map(|page| shown.is_new(page));
        assert_eq!(told, [true, false, true, true]);
    }

    #[test]
    fn only_names_of_this_machine_itself_are_loopback() {
        for (host, is) in [
            ("127.0.0.1:8080", true),
            ("localhost", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("127.0.0.2:8080", true),
            ("128.0.0.1", false),
            ("192.168.7.1:8080", false),
            ("[::2]:8080", false),
            ("[::ffff:127.0.0.1]:8080", false),
            ("127.1", false),
            ("station.example:8080", false),
            ("127.0.0.1.station.example", false),
            ("", false),
        ] {
            let request = request(Method::GET, host, None);
            assert_eq!(names_loopback(request.headers()), is, "{host}");
        }
    }

    #[test]
    fn a_command_comes_from_a_page_of_the_same_server() {
        let allowed = |method, origin| is_same_origin(&request(method, "127.0.0.1:80", origin), "http");
        assert!(allowed(Method::GET, Some("http://elsewhere.example")));
        assert!(allowed(Method::POST, Some("http://127.0.0.1:80")));
        for origin in [None, Some("null"), Some("http://127.0.0.1:81"), Some("https://127.0.0.1:80")] {
            assert!(!allowed(Method::POST, origin), "{origin:?}");
        }
    }
}
