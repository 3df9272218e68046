//! Whole Ethernet frames, to and from one interface.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind, recvfrom};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// HomePlug management messages.
pub(super) const MANAGEMENT: u16 = 0x88e1;
/// Frames of any type (if_ether.h: ETH_P_ALL), those that leave by the interface among them.
const ANY: u16 = 0x0003;
/// A frame that leaves (if_packet.h: PACKET_OUTGOING).
const OUTGOING: u8 = 4;
/// An interface with the usual MTU has none that is longer.
pub(super) const FRAME_MAX: usize = 1514;

/// A packet socket. Tokio has none, so that it goes as a UDP socket, of which only recvfrom(2)
/// and readiness are used.
#[derive(Debug)]
pub(super) struct RawSocket(UdpSocket);

impl RawSocket {
    /// Management messages alone.
    pub(super) fn management(interface: &str) -> io::Result<Self> {
        Self::open(interface, MANAGEMENT)
    }

    /// Whatever arrives.
    pub(super) fn of_any(interface: &str) -> io::Result<Self> {
        Self::open(interface, ANY)
    }

    fn open(interface: &str, ethertype: u16) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ethertype.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
        bind(socket.as_raw_fd(), &address(interface)?)?;
        Ok(Self(UdpSocket::from_std(socket.into())?))
    }

    /// The next frame that arrives; its length.
    pub(super) async fn receive(&self, frame: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = || Ok(recvfrom::<LinkAddr>(self.0.as_raw_fd(), frame)?);
            let (length, from) = self.0.async_io(Interest::READABLE, read).await?;
            if from.is_none_or(|from| from.pkttype() != OUTGOING) {
                return Ok(length);
            }
        }
    }

    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        SockRef::from(&self.0).send(frame).map(drop)
    }
}

fn address(interface: &str) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no interface {interface}")))
}
