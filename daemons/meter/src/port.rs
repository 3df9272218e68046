//! The wire of a line: a serial port, or a TCP connection.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_serial::SerialPort as _;

use crate::model::{Parity, SerialSettings};

/// Where a line is.
#[derive(Debug)]
pub enum Port {
    /// Modbus RTU on a serial device. The settings belong to the line: all its devices share them.
    Serial {
        /// The device node.
        device: PathBuf,
        /// Bit rate and frame.
        settings: SerialSettings,
    },
    /// Modbus TCP, to a meter or to a gateway of a serial line.
    Tcp {
        /// Host and port.
        address: String,
    },
    /// Streams that a test hands over, one an opening; RTU.
    #[cfg(test)]
    Test(tokio::sync::mpsc::UnboundedReceiver<tokio::io::DuplexStream>),
}

/// Bytes in and out.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + fmt::Debug> Stream for T {}

impl Port {
    /// Whether frames are RTU, with a checksum and without transaction numbers.
    #[must_use]
    pub const fn is_rtu(&self) -> bool {
        match self {
            Self::Serial { .. } => true,
            Self::Tcp { .. } => false,
            #[cfg(test)]
            Self::Test(_) => true,
        }
    }

    /// The silence that parts two frames on it.
    pub(crate) fn silence(&self) -> Duration {
        match self {
            Self::Serial { settings, .. } => settings.silence(),
            Self::Tcp { .. } => Duration::ZERO,
            #[cfg(test)]
            Self::Test(_) => Duration::ZERO,
        }
    }

    pub(crate) async fn open(&mut self) -> io::Result<Shared> {
        match self {
            Self::Serial { device, settings } => open_serial(device, *settings),
            Self::Tcp { address } => {
                let stream = TcpStream::connect(address.as_str()).await?;
                // Requests are small and one at a time: waiting to fill a packet only delays.
                stream.set_nodelay(true)?;
                Ok(Shared::new(stream))
            }
            #[cfg(test)]
            Self::Test(streams) => Ok(Shared::new(streams.recv().await.ok_or(io::ErrorKind::NotConnected)?)),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial { device, settings } => write!(f, "{} at {settings}", device.display()),
            Self::Tcp { address } => f.write_str(address),
            #[cfg(test)]
            Self::Test(_) => f.write_str("test"),
        }
    }
}

fn open_serial(device: &std::path::Path, settings: SerialSettings) -> io::Result<Shared> {
    let parity = match settings.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let stop_bits =
        if settings.stop_bits == 2 { tokio_serial::StopBits::Two } else { tokio_serial::StopBits::One };
    let builder = tokio_serial::new(device.to_string_lossy(), settings.baud)
        .data_bits(tokio_serial::DataBits::Eight)
        .flow_control(tokio_serial::FlowControl::None)
        .parity(parity)
        .stop_bits(stop_bits);
    let mut stream = tokio_serial::SerialStream::open(&builder)?;
    // Exclusive mode outlives us where another process holds the other end of a pseudo-terminal,
    // and would then lock out our own restart.
    stream.set_exclusive(false)?;
    stream.clear(tokio_serial::ClearBuffer::All)?;
    Ok(Shared::new(stream))
}

/// A stream that the Modbus client writes requests to and reads replies from, and that the line
/// reads itself to throw away what nobody waits for. One task owns both, so the lock is never
/// contended.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Mutex<Box<dyn Stream>>>);

impl Shared {
    fn new(stream: impl Stream + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(stream))))
    }

    /// Waits for bytes and throws them away. How many; 0 at the end of the stream.
    pub(crate) async fn discard(&mut self) -> io::Result<usize> {
        let mut waste = [0; 256];
        self.read(&mut waste).await
    }

    fn with<R>(&self, act: impl FnOnce(Pin<&mut Box<dyn Stream>>) -> R) -> R {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(Pin::new(&mut stream))
    }
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}
