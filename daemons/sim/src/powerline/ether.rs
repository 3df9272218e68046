//! Whole Ethernet frames of management messages, to and from one interface.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// HomePlug management messages.
const ETHERTYPE: u16 = 0x88e1;
/// Longer ones are no management messages.
pub(super) const FRAME_MAX: usize = 512;

/// A packet socket. Tokio has none, so that it goes as a UDP socket, of which only recv(2) and
/// readiness are used.
pub(super) struct RawSocket(UdpSocket);

impl RawSocket {
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ETHERTYPE.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
        bind(socket.as_raw_fd(), &address(interface)?)?;
        Ok(Self(UdpSocket::from_std(socket.into())?))
    }

    pub(super) async fn receive(&self, frame: &mut [u8]) -> io::Result<usize> {
        self.0.recv(frame).await
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
