//! The serial line to one reader.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_serial::{ClearBuffer, SerialPort as _, SerialPortBuilderExt as _, SerialStream};
use voltry_service::{RateLimit, clock};

/// A line that cannot be opened, or failed, is tried again after this long.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);
/// Forty bytes take 4 ms; a line that does not take them for this long has failed.
const WRITE_TIMEOUT: Duration = Duration::from_millis(200);
/// What may wait to be sent; what is beyond is lost, as the reader that does not take it.
const WAITING: usize = 16;

/// What a line told.
#[derive(Debug)]
pub(crate) enum News {
    Opened,
    Bytes(Vec<u8>),
    Lost,
}

/// The sending side of a line, which is opened now and after every failure, until this is dropped.
#[derive(Debug)]
pub(crate) struct Line(mpsc::Sender<Vec<u8>>);

impl Line {
    /// What it hears goes to `heard`, under the name of its reader.
    pub(crate) fn open(name: Arc<str>, device: PathBuf, heard: mpsc::Sender<(Arc<str>, News)>) -> Self {
        let (line, queue) = mpsc::channel(WAITING);
        tokio::spawn(Port { name, device, heard, queue }.serve());
        Self(line)
    }

    pub(crate) fn send(&self, bytes: Vec<u8>) {
        let _ = self.0.try_send(bytes);
    }
}

struct Port {
    name: Arc<str>,
    device: PathBuf,
    heard: mpsc::Sender<(Arc<str>, News)>,
    queue: mpsc::Receiver<Vec<u8>>,
}

impl Port {
    async fn serve(mut self) {
        let mut failures = RateLimit::new();
        while !self.queue.is_closed() {
            let error = match open(&self.device) {
                Ok(stream) => match self.talk(stream).await {
                    Ok(()) => return,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Some(count) = failures.count(clock::now()) {
                let device = self.device.display();
                tracing::error!(reader = &*self.name, %device, %error, count, "serial line failed");
            }
            tokio::time::sleep(REOPEN_INTERVAL).await;
        }
    }

    /// Until the line fails, or nobody wants it any more.
    async fn talk(&mut self, mut stream: SerialStream) -> io::Result<()> {
        while self.queue.try_recv().is_ok() {}
        self.tell(News::Opened).await;
        let error = loop {
            let mut buffer = [0; 256];
            tokio::select! {
                length = stream.read(&mut buffer) => match length {
                    Ok(0) => break io::ErrorKind::UnexpectedEof.into(),
                    Ok(length) => self.tell(News::Bytes(buffer[..length].to_vec())).await,
                    Err(error) => break error,
                },
                bytes = self.queue.recv() => {
                    let Some(bytes) = bytes else { return Ok(()) };
                    match tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(&bytes)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => break error,
                        Err(_) => break io::ErrorKind::TimedOut.into(),
                    }
                }
            }
        };
        self.tell(News::Lost).await;
        Err(error)
    }

    async fn tell(&self, news: News) {
        // Nobody listens only while the daemon ends.
        let _ = self.heard.send((self.name.clone(), news)).await;
    }
}

fn open(device: &Path) -> io::Result<SerialStream> {
    let mut stream = tokio_serial::new(device.to_string_lossy(), 115_200).open_native_async()?;
    // A pseudo-terminal that was opened exclusively could not be opened again after a restart.
    stream.set_exclusive(false)?;
    // What was said before is no news.
    stream.clear(ClearBuffer::Input)?;
    Ok(stream)
}
