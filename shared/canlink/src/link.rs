//! One CAN bus as a daemon sees it.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use serde::Deserialize;
use socketcan::{EmbeddedFrame as _, Frame as _, SocketOptions as _};
use tokio_serial::{SerialPortBuilderExt as _, SerialStream};

use crate::slcan::{Line, Port};
use crate::{CanFrame, CanId};

/// Frames waiting for a SocketCAN interface.
const QUEUE: usize = 64;

/// Where a CAN bus is reached, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum CanPort {
    /// An interface of the kernel. Its bit rate and restart time are set by the system
    /// (`ip link`, systemd-networkd), not here.
    Socketcan {
        /// Interface name, `can0`.
        interface: String,
    },
    /// An adapter on a serial line that speaks the Lawicel protocol.
    Slcan {
        /// Path of the serial device; best a stable name under `/dev/serial/by-id`.
        device: String,
        /// Bit rate of the CAN bus, in bits a second.
        bit_rate: BitRate,
        /// Bit rate of the serial line, in bits a second; USB adapters ignore it.
        #[serde(default = "usual_baud_rate")]
        baud_rate: u32,
    },
}

fn usual_baud_rate() -> u32 {
    115_200
}

/// A bit rate that an slcan adapter can be told: 10, 20, 50, 100, 125, 250, 500, 800 or 1000 kbit/s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u32")]
pub struct BitRate(u8);

impl BitRate {
    /// 125 kbit/s, which most power modules speak.
    pub const K125: Self = Self(4);
    const ALL: [u32; 9] = [10_000, 20_000, 50_000, 100_000, 125_000, 250_000, 500_000, 800_000, 1_000_000];
}

impl TryFrom<u32> for BitRate {
    type Error = String;
    fn try_from(bits_per_second: u32) -> Result<Self, String> {
        (0..)
            .zip(Self::ALL)
            .find(|(_, rate)| *rate == bits_per_second)
            .map(|(number, _)| Self(number))
            .ok_or_else(|| format!("{bits_per_second} is not one of {:?} bit/s", Self::ALL))
    }
}

/// The bus is gone, or never came.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The interface or the device could not be opened.
    #[error("cannot open {port}: {source}")]
    Open {
        /// The interface's name or the device's path.
        port: String,
        /// What the system said.
        source: io::Error,
    },
    /// The link was open and is lost: adapter unplugged, interface down.
    #[error("the CAN link is lost: {0}")]
    Lost(#[from] io::Error),
}

/// The link does not take frames as fast as they are sent; the frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the CAN link's queue is full")]
pub struct QueueFull;

/// What [`CanLink::recv`] brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A data frame of the bus.
    Frame(CanFrame),
    /// The controller went bus-off: nothing is sent until the system restarts it.
    BusOff,
    /// The adapter refused a command, or the interface a frame.
    Refused,
}

/// An open CAN bus.
///
/// [`CanLink::send`] only queues; frames leave while [`CanLink::recv`] is awaited. Dropping that
/// future loses nothing, so it may stand in a `select!`.
#[derive(Debug)]
pub struct CanLink(Transport);

#[derive(Debug)]
enum Transport {
    Socketcan { socket: socketcan::tokio::CanSocket, outgoing: VecDeque<CanFrame> },
    Slcan(Port<SerialStream>),
}

impl CanLink {
    /// Opens the bus. Must be called within a tokio runtime.
    ///
    /// An slcan adapter is told to close, its bit rate, and to open; its answers come later, in
    /// [`CanLink::recv`], and a refusal does not close the link: most adapters refuse `C` when
    /// they are closed already.
    ///
    /// # Errors
    /// When the interface or the device cannot be opened.
    pub fn open(port: &CanPort) -> Result<Self, LinkError> {
        match port {
            CanPort::Socketcan { interface } => {
                let opened = socketcan::tokio::CanSocket::open(interface).and_then(|socket| {
                    socket.set_error_filter(BUS_OFF)?;
                    Ok(socket)
                });
                let socket = opened.map_err(|source| LinkError::Open { port: interface.clone(), source })?;
                Ok(Self(Transport::Socketcan { socket, outgoing: VecDeque::with_capacity(QUEUE) }))
            }
            CanPort::Slcan { device, bit_rate, baud_rate } => {
                let stream = tokio_serial::new(device, *baud_rate)
                    // A PTY opened exclusively cannot be opened again by whoever keeps it alive.
                    .exclusive(false)
                    .open_native_async()
                    .map_err(|error| LinkError::Open { port: device.clone(), source: error.into() })?;
                Ok(Self(Transport::Slcan(greeted(stream, *bit_rate))))
            }
        }
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// When the link has not taken what was queued before.
    pub fn send(&mut self, frame: CanFrame) -> Result<(), QueueFull> {
        match &mut self.0 {
            Transport::Socketcan { outgoing, .. } if outgoing.len() >= QUEUE => Err(QueueFull),
            Transport::Socketcan { outgoing, .. } => {
                outgoing.push_back(frame);
                Ok(())
            }
            Transport::Slcan(port) => port.send(Line::Frame(frame)),
        }
    }

    /// The next frame, or event, of the bus; sends what is queued meanwhile.
    ///
    /// # Errors
    /// [`LinkError::Lost`]; the link is then of no more use, and [`CanLink::open`] makes a new one.
    pub async fn recv(&mut self) -> Result<Received, LinkError> {
        match &mut self.0 {
            Transport::Socketcan { socket, outgoing } => recv_socketcan(socket, outgoing).await,
            Transport::Slcan(port) => loop {
                match port.recv().await? {
                    Line::Frame(frame) => return Ok(Received::Frame(frame)),
                    Line::Refused => return Ok(Received::Refused),
                    // A host on the other end speaks commands; they mean nothing to us.
                    Line::Done
                    | Line::Sent
                    | Line::BitRate(_)
                    | Line::Open
                    | Line::Close
                    | Line::Other(_) => {}
                }
            },
        }
    }

    /// Lines of an slcan adapter dropped so far because they made no sense.
    #[must_use]
    pub fn garbled(&self) -> u64 {
        match &self.0 {
            Transport::Socketcan { .. } => 0,
            Transport::Slcan(port) => port.garbled(),
        }
    }
}

fn greeted(stream: SerialStream, bit_rate: BitRate) -> Port<SerialStream> {
    let mut port = Port::new(stream);
    for line in [Line::Close, Line::BitRate(bit_rate.0), Line::Open] {
        port.send(line).expect("an empty queue takes three commands");
    }
    port
}

/// `CAN_ERR_BUSOFF` of `linux/can/error.h`.
const BUS_OFF: u32 = 0x40;

async fn recv_socketcan(
    socket: &socketcan::tokio::CanSocket,
    outgoing: &mut VecDeque<CanFrame>,
) -> Result<Received, LinkError> {
    loop {
        let sent = async {
            match outgoing.front() {
                Some(frame) => Some(socket.write_frame(kernel_frame(*frame)).await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            written = sent => match written {
                // The interface's queue is full, which no readiness announces: nobody on the bus
                // acknowledges, or too much is sent. Wait a frame's time at 125 kbit/s.
                Some(Err(error)) if error.raw_os_error() == Some(ENOBUFS) => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    outgoing.pop_front();
                    return Ok(Received::Refused);
                }
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(())) | None => drop(outgoing.pop_front()),
            },
            read = socket.read_frame() => {
                if let Some(received) = taken(read?) {
                    return Ok(received);
                }
            }
        }
    }
}

/// `ENOBUFS` of `asm-generic/errno.h`.
const ENOBUFS: i32 = 105;

fn kernel_frame(frame: CanFrame) -> socketcan::CanFrame {
    let id = socketcan::CanId::from(
        if frame.id().is_extended() {
            socketcan::ExtendedId::new(frame.id().bits()).map(socketcan::Id::Extended)
        } else {
            u16::try_from(frame.id().bits())
                .ok()
                .and_then(socketcan::StandardId::new)
                .map(socketcan::Id::Standard)
        }
        .expect("a CanId's bits fit"),
    );
    socketcan::CanFrame::new(id, frame.data()).expect("a CanFrame holds at most 8 bytes")
}

fn taken(frame: socketcan::CanFrame) -> Option<Received> {
    match frame {
        socketcan::CanFrame::Data(data) => {
            let id = if data.is_extended() {
                CanId::extended(data.raw_id())
            } else {
                CanId::standard(data.raw_id())
            };
            CanFrame::new(id.ok()?, data.data()).ok().map(Received::Frame)
        }
        socketcan::CanFrame::Error(_) => Some(Received::BusOff),
        socketcan::CanFrame::Remote(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(byte: u8) -> CanFrame {
        CanFrame::of_eight(CanId::extended(0x029A_00F0).unwrap(), [byte; 8])
    }

    #[tokio::test]
    async fn an_adapter_on_a_pty_is_opened_and_carries_frames_both_ways() {
        let (master, slave) = SerialStream::pair().unwrap();
        let mut adapter = Port::new(master);
        let mut link = CanLink(Transport::Slcan(greeted(slave, BitRate::K125)));
        link.send(frame(7)).unwrap();
        for expected in [Line::Close, Line::BitRate(4), Line::Open, Line::Frame(frame(7))] {
            tokio::select! {
                line = adapter.recv() => assert_eq!(line.unwrap(), expected),
                received = link.recv() => panic!("nobody sent {received:?}"),
            }
        }
        for line in [Line::Refused, Line::Done, Line::Done, Line::Sent, Line::Frame(frame(9))] {
            adapter.send(line).unwrap();
        }
        for expected in [Received::Refused, Received::Frame(frame(9))] {
            tokio::select! {
                received = link.recv() => assert_eq!(received.unwrap(), expected),
                line = adapter.recv() => panic!("nobody sent {line:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_adapter_that_is_unplugged_is_a_lost_link() {
        let (master, slave) = SerialStream::pair().unwrap();
        let mut link = CanLink(Transport::Slcan(greeted(slave, BitRate::K125)));
        drop(master);
        assert!(matches!(link.recv().await, Err(LinkError::Lost(_))));
    }

    #[tokio::test]
    async fn a_port_that_is_not_there_says_which() {
        let port =
            CanPort::Slcan { device: "/dev/no-such-tty".into(), bit_rate: BitRate::K125, baud_rate: 9600 };
        let error = CanLink::open(&port).unwrap_err().to_string();
        assert!(error.contains("/dev/no-such-tty"), "{error}");
    }

    #[tokio::test]
    async fn frames_cross_a_kernel_interface() {
        // Needs `ip link add dev vcan0 type vcan && ip link set vcan0 up`.
        let port = CanPort::Socketcan { interface: "vcan0".into() };
        let (mut a, mut b) = match (CanLink::open(&port), CanLink::open(&port)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("SKIPPED: SocketCAN is not tested on this machine: {error}");
                return;
            }
        };
        a.send(frame(3)).unwrap();
        tokio::select! {
            received = b.recv() => assert_eq!(received.unwrap(), Received::Frame(frame(3))),
            received = a.recv() => panic!("nobody sent {received:?}"),
        }
    }

    #[test]
    fn frames_survive_the_kernels_form() {
        for id in [CanId::standard(0x7FF), CanId::extended(0x1FFF_FFFF), CanId::extended(1)] {
            let frame = CanFrame::new(id.unwrap(), &[1, 2, 3]).unwrap();
            assert_eq!(taken(kernel_frame(frame)), Some(Received::Frame(frame)));
        }
    }

    #[test]
    fn only_bit_rates_an_adapter_knows_are_accepted() {
        assert_eq!(BitRate::try_from(125_000), Ok(BitRate::K125));
        assert!(BitRate::try_from(123_456).is_err());
    }
}
