//! Files over HTTP: one request a connection, of a file never more than a piece in memory.

use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::stream;
use http_body_util::{BodyExt as _, Empty, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;
use url::Url;

use super::Place;
use crate::connection::{self, DialError};

/// A piece of a file, bytes.
const PIECE: usize = 16 * 1024;
/// From the name to the open connection.
const OPEN: Duration = Duration::from_secs(30);
/// A server that gives nothing for so long gives nothing any more.
const SILENCE: Duration = Duration::from_secs(60);
/// A whole upload.
const UPLOAD: Duration = Duration::from_secs(3600);
/// A whole download.
const DOWNLOAD: Duration = Duration::from_secs(6 * 3600);
/// Redirections that are followed.
const REDIRECTIONS: usize = 5;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why a file was not carried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// It leads nowhere.
    #[error("{0}")]
    Url(String),
    /// The server is not reached.
    #[error("{0}")]
    Dial(#[from] DialError),
    /// The connection broke, or this is no HTTP.
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    /// The server does not want it.
    #[error("HTTP status {0}")]
    Status(StatusCode),
    /// The server took too long.
    #[error("nothing for {} s", .0.as_secs())]
    Time(Duration),
    /// Our own disk.
    #[error("the file: {0}")]
    File(#[from] io::Error),
    /// The file is larger than one that is taken.
    #[error("more than {0} bytes")]
    TooLarge(u64),
}

/// Uploads a file under a name: PUT (to that name in the folder, where the URL ends with a slash), or
/// POST as from a form (RFC 7578) where the server knows no PUT.
///
/// # Errors
/// Why it is not there.
pub(crate) async fn upload(url: &Url, place: &Place, file: &Path, name: &str) -> Result<(), HttpError> {
    let sent = async {
        let mut target = url.clone();
        if url.path().ends_with('/') {
            target.set_path(&format!("{}{name}", url.path()));
        }
        match put(&target, place, file).await {
            Err(HttpError::Status(StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED)) => {
                debug!("the server knows no PUT; POST then");
                post(url, place, file, name).await
            }
            other => other,
        }
    };
    timeout(UPLOAD, sent).await.unwrap_or(Err(HttpError::Time(UPLOAD)))
}

async fn put(url: &Url, place: &Place, file: &Path) -> Result<(), HttpError> {
    let file = File::open(file).await?;
    let length = file.metadata().await?.len();
    let request = request(Method::PUT, url)
        .header(CONTENT_TYPE, "application/gzip")
        .header(CONTENT_LENGTH, length)
        .body(pieces(file, Bytes::new(), Bytes::new()));
    exchange(url, place, built(request)?).await?.finish().await
}

async fn post(url: &Url, place: &Place, file: &Path, name: &str) -> Result<(), HttpError> {
    let file = File::open(file).await?;
    let boundary = format!("voltry{}", crate::random(12));
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: application/gzip\r\n\r\n"
    );
    let tail = format!("\r\n--{boundary}--\r\n");
    let length = head.len() as u64 + file.metadata().await?.len() + tail.len() as u64;
    let request = request(Method::POST, url)
        .header(CONTENT_TYPE, format!("multipart/form-data; boundary={boundary}"))
        .header(CONTENT_LENGTH, length)
        .body(pieces(file, head.into(), tail.into()));
    exchange(url, place, built(request)?).await?.finish().await
}

/// Downloads a file of at most so many bytes; it is on the disk when this returns.
///
/// # Errors
/// Why it is not; a part may be.
pub(crate) async fn download(url: &Url, place: &Place, file: &Path, most: u64) -> Result<(), HttpError> {
    let got = async {
        let mut url = url.clone();
        for _ in 0..=REDIRECTIONS {
            let mut answer = get(&url, place).await?;
            if !answer.response.status().is_redirection() {
                return answer.save(file, most).await;
            }
            url = redirected(&url, &answer.response)?;
        }
        Err(HttpError::Url(format!("more than {REDIRECTIONS} redirections")))
    };
    timeout(DOWNLOAD, got).await.unwrap_or(Err(HttpError::Time(DOWNLOAD)))
}

async fn get(url: &Url, place: &Place) -> Result<Answer, HttpError> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = built(request(Method::GET, url).body(body))?;
    timeout(SILENCE, exchange(url, place, request)).await.unwrap_or(Err(HttpError::Time(SILENCE)))
}

/// Where a redirection leads; never from TLS to none.
fn redirected(url: &Url, response: &Response<Incoming>) -> Result<Url, HttpError> {
    let status = HttpError::Status(response.status());
    let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).ok_or(status)?;
    let to = url.join(to).map_err(|error| HttpError::Url(error.to_string()))?;
    match (url.scheme(), to.scheme()) {
        ("http", "http") | (_, "https") => Ok(to),
        _ => Err(HttpError::Url("a redirection leads out of TLS".to_owned())),
    }
}

fn request(method: Method, url: &Url) -> hyper::http::request::Builder {
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, host)
        .header(USER_AGENT, concat!("voltry/", env!("CARGO_PKG_VERSION")));
    if url.username().is_empty() {
        return request;
    }
    let plain = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let user = String::from_utf8_lossy(&plain(url.username())).into_owned();
    request.header(AUTHORIZATION, connection::basic(&user, &plain(url.password().unwrap_or_default())))
}

fn built(request: hyper::http::Result<Request<Body>>) -> Result<Request<Body>, HttpError> {
    request.map_err(|error| HttpError::Url(error.to_string()))
}

/// A file, with something before and after it.
fn pieces(file: File, head: Bytes, tail: Bytes) -> Body {
    let pieces =
        stream::unfold((Some(file), Some(head), Some(tail)), |(mut file, mut head, mut tail)| async move {
            if let Some(head) = head.take().filter(|head| !head.is_empty()) {
                return Some((Ok(Frame::data(head)), (file, None, tail)));
            }
            if let Some(open) = &mut file {
                let mut piece = vec![0; PIECE];
                match open.read(&mut piece).await {
                    Ok(0) => file = None,
                    Ok(length) => {
                        piece.truncate(length);
                        return Some((Ok(Frame::data(piece.into())), (file, None, tail)));
                    }
                    Err(error) => return Some((Err(error), (None, None, None))),
                }
            }
            let tail = tail.take().filter(|tail| !tail.is_empty())?;
            Some((Ok(Frame::data(tail)), (file, None, None)))
        });
    StreamBody::new(pieces).boxed_unsync()
}

/// An answer, whose connection lives as long as it.
struct Answer {
    response: Response<Incoming>,
    _connection: JoinSet<()>,
}

async fn exchange(url: &Url, place: &Place, request: Request<Body>) -> Result<Answer, HttpError> {
    let opened = connection::open_stream(url, &place.roots, place.proxy.as_ref());
    let stream = timeout(OPEN, opened).await.unwrap_or(Err(DialError::Time(OPEN)))?;
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut connection = JoinSet::new();
    connection.spawn(async move {
        if let Err(error) = driver.await {
            debug!(%error, "the connection to the file server ended");
        }
    });
    let response = sender.send_request(request).await?;
    Ok(Answer { response, _connection: connection })
}

impl Answer {
    /// Whether the server is content.
    async fn finish(self) -> Result<(), HttpError> {
        let status = self.response.status();
        if status.is_success() { Ok(()) } else { Err(HttpError::Status(status)) }
    }

    async fn save(&mut self, to: &Path, most: u64) -> Result<(), HttpError> {
        let status = self.response.status();
        if status != StatusCode::OK {
            return Err(HttpError::Status(status));
        }
        let mut file = File::create(to).await?;
        let mut length = 0_u64;
        loop {
            let frame = timeout(SILENCE, self.response.body_mut().frame());
            let Some(frame) = frame.await.map_err(|_| HttpError::Time(SILENCE))? else { break };
            let Ok(piece) = frame?.into_data() else { continue };
            length += piece.len() as u64;
            if length > most {
                return Err(HttpError::TooLarge(most));
            }
            file.write_all(&piece).await?;
        }
        file.flush().await?;
        Ok(file.sync_all().await?)
    }
}
