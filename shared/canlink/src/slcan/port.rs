//! slcan lines over a byte stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::codec::{Decoder, Line, encode};
use crate::QueueFull;

/// Bytes waiting to be written; about 75 frames, a third of a second of a full 125 kbit/s bus.
const QUEUE: usize = 2048;

/// Lines over any byte stream, from the host's end or the adapter's.
///
/// [`Port::send`] only queues; bytes move while [`Port::recv`] is awaited. Dropping that future
/// loses nothing, so it may stand in a `select!`.
#[derive(Debug)]
pub struct Port<S> {
    stream: S,
    decoder: Decoder,
    received: Vec<u8>,
    read: usize,
    outgoing: VecDeque<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Port<S> {
    /// A port over an open stream; sends nothing by itself.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            received: Vec::with_capacity(512),
            read: 0,
            outgoing: VecDeque::with_capacity(QUEUE),
        }
    }

    /// Queues a line.
    ///
    /// # Errors
    /// When the other end has not taken what was queued before.
    pub fn send(&mut self, line: Line) -> Result<(), QueueFull> {
        if self.outgoing.len() + 32 > QUEUE {
            return Err(QueueFull);
        }
        encode(line, &mut self.outgoing);
        Ok(())
    }

    /// The next line; writes what is queued meanwhile.
    ///
    /// # Errors
    /// Those of the stream, and `UnexpectedEof` when the other end is gone.
    pub async fn recv(&mut self) -> io::Result<Line> {
        poll_fn(|context| self.poll_line(context)).await
    }

    /// Lines dropped so far because they made no sense.
    #[must_use]
    pub fn garbled(&self) -> u64 {
        self.decoder.garbled()
    }

    fn poll_line(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Line>> {
        self.poll_write(context)?;
        loop {
            while let Some(byte) = self.received.get(self.read) {
                self.read += 1;
                if let Some(line) = self.decoder.push(*byte) {
                    return Poll::Ready(Ok(line));
                }
            }
            let mut bytes = [0; 512];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            self.received.clear();
            self.received.extend_from_slice(buffer.filled());
            self.read = 0;
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            let (front, _) = self.outgoing.as_slices();
            match Pin::new(&mut self.stream).poll_write(context, front) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => drop(self.outgoing.drain(..written?)),
            }
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(result) => result,
            Poll::Pending => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CanFrame, CanId};

    fn frame(byte: u8) -> Line {
        Line::Frame(CanFrame::new(CanId::extended(0x029A_00F0).unwrap(), &[byte; 8]).unwrap())
    }

    #[tokio::test]
    async fn lines_cross_a_narrow_stream_in_order() {
        let (a, b) = tokio::io::duplex(10);
        let (mut host, mut adapter) = (Port::new(a), Port::new(b));
        for number in 0..50 {
            host.send(frame(number)).unwrap();
        }
        for number in 0..50 {
            tokio::select! {
                line = adapter.recv() => assert_eq!(line.unwrap(), frame(number)),
                line = host.recv() => panic!("nobody sent {line:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_stream_that_takes_nothing_fills_the_queue_and_no_more() {
        let (a, _b) = tokio::io::duplex(10);
        let mut host = Port::new(a);
        let taken = (0..10_000).take_while(|_| host.send(frame(1)).is_ok()).count();
        assert!(taken > 50, "{taken}");
        assert!(host.outgoing.len() <= QUEUE);
    }

    #[tokio::test]
    async fn an_end_that_leaves_is_an_error_and_not_silence() {
        let (a, b) = tokio::io::duplex(10);
        drop(b);
        assert_eq!(Port::new(a).recv().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
