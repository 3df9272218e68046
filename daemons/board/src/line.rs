//! The serial line to one safety controller, or to the controller of a matrix.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_serial::{ClearBuffer, SerialPort as _, SerialPortBuilderExt as _, SerialStream};
use voltry_service::{RateLimit, clock};
use voltry_units::Measured;

use crate::frame::{Decoder, Frame};
use crate::message::{self, ContactorCodes, Message};
use crate::report::Report;
use crate::wanted::Wanted;

/// A line that cannot be opened, or failed, is tried again after this long.
const REOPEN_INTERVAL: Duration = Duration::from_secs(1);
/// Twelve bytes take 1 ms; a line that does not take them for this long has failed.
const WRITE_TIMEOUT: Duration = Duration::from_millis(100);

/// A safety controller, and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct SafetyController {
    pub(crate) device: PathBuf,
    pub(crate) codes: ContactorCodes,
    pub(crate) contactors: u8,
    pub(crate) reset_action: u8,
}

/// The sending side of a line. The line ends when this is dropped, after its last message.
#[derive(Debug)]
pub(crate) struct Line {
    contactors: u8,
    reset_action: u8,
    control: watch::Sender<Option<Frame>>,
    once: mpsc::Sender<Frame>,
    task: JoinHandle<()>,
}

impl Line {
    /// Opens the line, now and after every failure. What it hears goes to `heard`, as of `connector`.
    pub(crate) fn open(controller: SafetyController, connector: u32, heard: mpsc::Sender<Report>) -> Self {
        let SafetyController { device, codes, contactors, reset_action } = controller;
        let (control, newest) = watch::channel(None);
        let (once, queue) = mpsc::channel(4);
        let heard = Listener::Connector { connector, codes, heard };
        let port = Port { device, heard, newest, queue, bad: RateLimit::new() };
        Self { contactors, reset_action, control, once, task: tokio::spawn(port.serve()) }
    }

    /// Opens the line to the controller of a matrix.
    pub(crate) fn open_matrix(device: PathBuf, heard: mpsc::Sender<Measured<Frame>>) -> Self {
        let (control, newest) = watch::channel(None);
        let (once, queue) = mpsc::channel(4);
        let port = Port { device, heard: Listener::Matrix(heard), newest, queue, bad: RateLimit::new() };
        Self { contactors: 0, reset_action: 0, control, once, task: tokio::spawn(port.serve()) }
    }

    /// Sends the periodic message of a matrix, as [`Self::want`] does a connector's.
    pub(crate) fn control(&self, frame: Frame) {
        self.control.send_replace(Some(frame));
    }

    /// Sends the periodic message. One that has not left yet is replaced: an old request to
    /// close contactors must never be sent later. There is no message for a lock.
    pub(crate) fn want(&self, Wanted { pilot, close, lock: _ }: Wanted) {
        self.control(message::charge_control(pilot, close, self.contactors));
    }

    pub(crate) fn ask_version(&self) {
        self.once(message::version_inquiry());
    }

    pub(crate) fn reset(&self) {
        self.once(message::reset(self.reset_action));
    }

    /// Sends something once, unless the line is stuck: then it is too late for it anyway.
    pub(crate) fn once(&self, frame: Frame) {
        let _ = self.once.try_send(frame);
    }

    /// Ends the line after its last message, or soon where it is stuck.
    pub(crate) async fn close(self) {
        let Self { control, once, task, .. } = self;
        drop((control, once));
        let _ = tokio::time::timeout(WRITE_TIMEOUT * 2, task).await;
    }
}

/// Who hears what the controller says.
enum Listener {
    Connector { connector: u32, codes: ContactorCodes, heard: mpsc::Sender<Report> },
    Matrix(mpsc::Sender<Measured<Frame>>),
}

impl Listener {
    async fn hear(&self, frame: Frame) {
        // Nobody listens only while the daemon ends.
        match self {
            Self::Connector { connector, codes, heard } => {
                let message = Message::from_frame(frame, *codes);
                let _ = heard.send(Report { connector: *connector, message, at: clock::now() }).await;
            }
            Self::Matrix(heard) => {
                let _ = heard.send(Measured::new(frame, clock::now())).await;
            }
        }
    }
}

struct Port {
    device: PathBuf,
    heard: Listener,
    newest: watch::Receiver<Option<Frame>>,
    queue: mpsc::Receiver<Frame>,
    bad: RateLimit,
}

impl Port {
    async fn serve(mut self) {
        let mut failures = RateLimit::new();
        while self.newest.has_changed().is_ok() {
            let error = match open(&self.device) {
                Ok(stream) => match self.talk(stream).await {
                    Ok(()) => return,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Some(count) = failures.count(clock::now()) {
                let device = self.device.display();
                tracing::error!(%device, %error, count, "serial line failed");
            }
            tokio::time::sleep(REOPEN_INTERVAL).await;
        }
    }

    /// Until the line fails, or there is nothing more to send.
    async fn talk(&mut self, mut stream: SerialStream) -> io::Result<()> {
        while self.queue.try_recv().is_ok() {}
        let mut decoder = Decoder::new();
        let mut buffer = [0; 256];
        loop {
            let frame = tokio::select! {
                length = stream.read(&mut buffer) => {
                    let length = length?;
                    if length == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.take(&mut decoder, &buffer[..length]).await;
                    continue;
                }
                changed = self.newest.changed() => match changed {
                    Ok(()) => *self.newest.borrow_and_update(),
                    Err(_) => return Ok(()),
                },
                Some(frame) = self.queue.recv() => Some(frame),
            };
            if let Some(frame) = frame {
                let written = tokio::time::timeout(WRITE_TIMEOUT, stream.write_all(&frame.encode())).await;
                written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            }
        }
    }

    async fn take(&mut self, decoder: &mut Decoder, bytes: &[u8]) {
        for byte in bytes {
            match decoder.push(*byte) {
                None => {}
                Some(Ok(frame)) => self.heard.hear(frame).await,
                Some(Err(cause)) => {
                    if let Some(count) = self.bad.count(clock::now()) {
                        let device = self.device.display();
                        tracing::warn!(%device, %cause, count, "bad bytes from the safety controller");
                    }
                }
            }
        }
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
