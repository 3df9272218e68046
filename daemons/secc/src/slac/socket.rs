//! A raw socket for management messages on one interface.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use super::wire::{ETHERTYPE, FRAME_MAX, Mac};

/// Whole Ethernet frames of the management EtherType, to and from one interface.
#[derive(Debug)]
pub(super) struct RawSocket {
    /// Not UDP: tokio has no packet socket, and of this type nothing is used but recv(2) and
    /// readiness, which are the same for both.
    socket: UdpSocket,
    /// The interface's address.
    pub(super) address: Mac,
}

impl RawSocket {
    /// Opens it; needs CAP_NET_RAW.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refuses.
    pub(super) fn open(interface: &str) -> io::Result<Self> {
        let link = link_address(interface)?;
        let address = link.addr().ok_or_else(|| io::Error::other("the interface has no Ethernet address"))?;
        let protocol = Protocol::from(i32::from(ETHERTYPE.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(protocol))?;
        bind(socket.as_raw_fd(), &link)?;
        drop_what_came_before(&socket);
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, address })
    }

    /// The next frame; one longer than `frame` is cut, and then no message. May be dropped
    /// without loss.
    ///
    /// # Errors
    /// The interface is down, or gone.
    pub(super) async fn receive(&self, frame: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(frame).await
    }

    /// Sends a frame, if the interface takes it now.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        // Not by tokio, to which a socket just opened is not yet ready: the first key would wait.
        SockRef::from(&self.socket).send(frame).map(drop)
    }
}

/// Until it was bound the socket heard every interface.
fn drop_what_came_before(mut socket: &Socket) {
    let mut frame = [0; FRAME_MAX];
    for _ in 0..1000 {
        if io::Read::read(&mut socket, &mut frame).is_err() {
            return;
        }
    }
}

/// As the kernel has it. Its protocol is 0, which on binding leaves that of the socket.
fn link_address(interface: &str) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such interface"))
}
