//! One vehicle's stream of bytes: plain TCP, or TLS. Its first byte tells which.
//!
//! ```text
//! Silent ─▶ Plain            (any first byte but a TLS record's)
//!      └──▶ Handshake ─▶ Tls
//! ```
//! Nothing here blocks: what is to be read is waited for, what is written must fit into the
//! socket's buffer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;
use voltry_units::Timestamp;

use crate::tls::{self, Acceptor, Secured};

/// The first byte of a TLS record with a handshake message. V2GTP begins with 0x01.
const TLS_HANDSHAKE: u8 = 0x16;

/// What the stream brought.
#[derive(Debug)]
pub enum Arrival {
    /// So many bytes are in the buffer.
    Bytes(usize),
    /// The handshake is done.
    Secured(Secured),
    /// There can be no conversation, and why.
    Refused(String),
    /// It ended, and why.
    Gone(&'static str),
}

/// One connection.
#[derive(Debug)]
pub struct Transport {
    state: State,
    acceptor: Option<Acceptor>,
    /// Plain connections are refused.
    required: bool,
    until: Timestamp,
}

#[derive(Debug)]
enum State {
    Silent(TcpStream),
    Plain(TcpStream),
    Handshake(SslStream<TcpStream>),
    Tls(SslStream<TcpStream>),
    Closed,
}

impl Transport {
    /// A vehicle connected. `acceptor`: `None` if TLS is not spoken; `until`: when a handshake must
    /// be done.
    #[must_use]
    pub const fn new(
        stream: TcpStream,
        acceptor: Option<Acceptor>,
        required: bool,
        until: Timestamp,
    ) -> Self {
        Self { state: State::Silent(stream), acceptor, required, until }
    }

    /// Until when the handshake must be done, while it runs.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Handshake(_) => Some(self.until),
            State::Silent(_) | State::Plain(_) | State::Tls(_) | State::Closed => None,
        }
    }

    /// Waits for what comes next. Can be dropped without loss.
    pub async fn next(&mut self, buffer: &mut [u8]) -> Arrival {
        loop {
            let read = match &mut self.state {
                State::Silent(stream) => {
                    let mut first = [0];
                    match stream.peek(&mut first).await {
                        Ok(1..) => match self.decide(first[0]) {
                            Ok(()) => continue,
                            Err(refusal) => return Arrival::Refused(refusal),
                        },
                        nothing => nothing,
                    }
                }
                State::Plain(stream) => stream.read(buffer).await,
                State::Handshake(stream) => match Pin::new(&mut *stream).accept().await {
                    Ok(()) => {
                        let secured = tls::secured(stream.ssl());
                        if let State::Handshake(stream) = std::mem::replace(&mut self.state, State::Closed) {
                            self.state = State::Tls(stream);
                        }
                        return Arrival::Secured(secured);
                    }
                    Err(error) => return Arrival::Refused(tls::failure(&error, stream.ssl())),
                },
                State::Tls(stream) => stream.read(buffer).await,
                State::Closed => return std::future::pending().await,
            };
            return match read {
                Ok(0) => Arrival::Gone("the vehicle closed it"),
                Ok(length) => Arrival::Bytes(length),
                Err(_) => Arrival::Gone("the vehicle reset it, or the link broke"),
            };
        }
    }

    /// The first byte, not yet read, tells plain from TLS.
    fn decide(&mut self, first: u8) -> Result<(), String> {
        let State::Silent(stream) = std::mem::replace(&mut self.state, State::Closed) else { return Ok(()) };
        self.state = match (first == TLS_HANDSHAKE, &self.acceptor) {
            (true, Some(acceptor)) => {
                let ssl = acceptor.connection().and_then(|ssl| SslStream::new(ssl, stream));
                State::Handshake(ssl.map_err(|error| format!("OpenSSL: {error}"))?)
            }
            (true, None) => {
                return Err("the vehicle speaks TLS, which this station does not offer".to_owned());
            }
            (false, _) if self.required => {
                return Err("the vehicle does not speak TLS, which this station requires".to_owned());
            }
            (false, _) => State::Plain(stream),
        };
        Ok(())
    }

    /// Writes all of it now, or fails.
    ///
    /// # Errors
    /// The connection broke, or its buffer is full because the vehicle does not read.
    pub fn write_now(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match &mut self.state {
                State::Plain(stream) => stream.try_write(bytes)?,
                State::Tls(stream) => at_once(|context| Pin::new(&mut *stream).poll_write(context, bytes))?,
                State::Silent(_) | State::Handshake(_) | State::Closed => {
                    return Err(io::ErrorKind::NotConnected.into());
                }
            };
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
        }
        Ok(())
    }

    /// Says goodbye, if the stream has a way to.
    pub fn close(&mut self) {
        if let State::Tls(stream) = &mut self.state {
            // close_notify; whether it arrives is the vehicle's business.
            let _ = at_once(|context| Pin::new(&mut *stream).poll_shutdown(context));
        }
        self.state = State::Closed;
    }
}

/// Polls once; what would wait has failed.
fn at_once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
