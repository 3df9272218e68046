//! An open WebSocket: one side's texts in, the other's out, never more than a few held.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Sink as _;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use voltry_units::Timestamp;
use yawc::close::CloseCode;
use yawc::frame::{Frame, OpCode};
use yawc::{Options, Role, WebSocket, WebSocketError};

use crate::rpc::TEXT_MAX;

/// Frames that may wait for the socket to take them. More are never asked for.
pub(super) const WAITING_MAX: usize = 64;

/// Whatever bytes go through: TCP, or TLS upon it.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// An open WebSocket.
pub(super) struct Socket {
    socket: WebSocket<BufReader<Box<dyn Stream>>>,
    waiting: VecDeque<Frame>,
    /// Frames were handed on, and are not yet on their way.
    unflushed: bool,
    /// A ping of the peer is to be answered before anything else of it is read: a peer that sends
    /// pings and reads nothing would fill the memory with answers.
    pong_due: bool,
    /// Since when the peer has taken nothing of what waits.
    stuck_since: Option<Timestamp>,
}

/// What came of a turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// A text of the peer.
    Text(String),
    /// Something else that shows that the peer is there.
    Heard,
    /// The peer sent what is no text.
    Binary,
    /// The peer closes.
    Closing { code: Option<u16>, reason: String },
    /// The connection is of no more use.
    Broken(WebSocketError),
    /// All that waited is on its way.
    Written,
    /// The peer takes nothing for the moment.
    Stuck,
}

impl Socket {
    /// Of a stream whose handshake is done, with the extensions that were agreed on.
    ///
    /// # Errors
    /// Extensions that cannot be spoken.
    pub(super) fn new(
        stream: BufReader<Box<dyn Stream>>,
        extensions: Option<&str>,
    ) -> Result<Self, WebSocketError> {
        let options = Options::default().with_balanced_compression().with_limits(TEXT_MAX + 1, TEXT_MAX + 1);
        let socket = WebSocket::from_stream_with_extensions(stream, Role::Client, extensions, options)?;
        Ok(Self { socket, waiting: VecDeque::new(), unflushed: false, pong_due: false, stuck_since: None })
    }

    /// Whether one more frame may wait.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    /// A text for the peer.
    pub(super) fn send(&mut self, text: String) {
        self.waiting.push_back(Frame::text(text));
    }

    /// A ping for the peer.
    pub(super) fn ping(&mut self) {
        self.waiting.push_back(Frame::ping(""));
    }

    /// A close for the peer.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        self.waiting.push_back(Frame::close(code, reason));
    }

    /// Since when the peer has taken nothing, though something waits for it.
    pub(super) const fn stuck_since(&self) -> Option<Timestamp> {
        self.stuck_since
    }

    /// Writes what waits, and reads what came if `reading`, until something came of it.
    /// Cancelling it loses nothing.
    pub(super) async fn turn(&mut self, now: Timestamp, reading: bool) -> Turn {
        poll_fn(|cx| self.poll_turn(cx, now, reading)).await
    }

    /// Writes what waits and ends the connection.
    pub(super) async fn finish(mut self) {
        // It ends either way.
        let _ = poll_fn(|cx| self.poll_write(cx)).await;
        let _ = poll_fn(|cx| Pin::new(&mut self.socket).poll_close(cx)).await;
    }

    fn poll_turn(&mut self, cx: &mut Context<'_>, now: Timestamp, reading: bool) -> Poll<Turn> {
        let was_stuck = self.stuck_since.is_some();
        match self.poll_write(cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(Turn::Broken(error)),
            Poll::Ready(Ok(written)) => {
                self.stuck_since = None;
                // Whoever waits has another deadline now, or room again.
                if written && (was_stuck || !reading) {
                    return Poll::Ready(Turn::Written);
                }
            }
            // Told once, so that whoever waits knows of a new deadline.
            Poll::Pending if self.stuck_since.is_none() => {
                self.stuck_since = Some(now);
                return Poll::Ready(Turn::Stuck);
            }
            Poll::Pending => {}
        }
        if !reading || self.pong_due {
            return Poll::Pending;
        }
        match self.socket.poll_next_frame(cx) {
            Poll::Ready(Ok(frame)) => Poll::Ready(self.read(frame)),
            Poll::Ready(Err(error)) => Poll::Ready(Turn::Broken(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ready with whether anything was written; pending while the peer takes nothing.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, WebSocketError>> {
        let mut written = false;
        while self.pong_due || self.unflushed || !self.waiting.is_empty() {
            // Answers to pings go first: being ready for more includes them.
            match Pin::new(&mut self.socket).poll_ready(cx)? {
                Poll::Ready(()) => (self.pong_due, self.stuck_since) = (false, None),
                Poll::Pending => return Poll::Pending,
            }
            if let Some(frame) = self.waiting.pop_front() {
                Pin::new(&mut self.socket).start_send(frame)?;
                self.unflushed = true;
                written = true;
                continue;
            }
            match Pin::new(&mut self.socket).poll_flush(cx)? {
                Poll::Ready(()) => self.unflushed = false,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(written))
    }

    fn read(&mut self, frame: Frame) -> Turn {
        match frame.opcode() {
            OpCode::Text => match String::from_utf8(frame.into_payload().into()) {
                Ok(text) => Turn::Text(text),
                Err(_) => Turn::Broken(WebSocketError::InvalidUTF8),
            },
            OpCode::Binary | OpCode::Continuation => Turn::Binary,
            OpCode::Ping => {
                self.pong_due = true;
                Turn::Heard
            }
            OpCode::Pong => Turn::Heard,
            OpCode::Close => {
                // The answer waits where answers to pings do.
                self.pong_due = true;
                Turn::Closing {
                    code: frame.close_code().map(u16::from),
                    reason: frame
                        .close_reason()
                        .ok()
                        .flatten()
                        .unwrap_or_default()
                        .chars()
                        .take(123)
                        .collect(),
                }
            }
        }
    }
}
