//! Whether an interface has its carrier, as the kernel tells it (rtnetlink(7)): the driver of a modem
//! takes it away while the modem starts anew, which has then forgotten its key.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{NetlinkAddr, bind};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

const NETLINK_ROUTE: i32 = 0;
/// RTMGRP_LINK: changes of interfaces.
const LINKS: u32 = 1;
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
/// IFF_LOWER_UP.
const CARRIER: u32 = 0x1_0000;
/// IFLA_IFNAME.
const NAME: u16 = 3;
/// struct nlmsghdr, and struct ifinfomsg behind it.
const HEADER: usize = 16;
const LINK: usize = 16;
/// A message that is longer is cut; the name stands first.
const MESSAGE_MAX: usize = 8192;

/// Watches one interface.
#[derive(Debug)]
pub(super) struct Carrier {
    /// Not UDP: as in `slac/socket.rs`.
    socket: UdpSocket,
    interface: String,
    up: Option<bool>,
    message: Box<[u8; MESSAGE_MAX]>,
}

impl Carrier {
    /// From now on.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn watch(interface: &str) -> io::Result<Self> {
        let kind = Type::RAW.nonblocking().cloexec();
        let socket =
            Socket::new(Domain::from(nix::libc::AF_NETLINK), kind, Some(Protocol::from(NETLINK_ROUTE)))?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, LINKS))?;
        let now = std::fs::read_to_string(format!("/sys/class/net/{interface}/carrier"));
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            interface: interface.to_owned(),
            up: now.ok().map(|carrier| carrier.trim() == "1"),
            message: Box::new([0; MESSAGE_MAX]),
        })
    }

    /// The next change: whether the carrier is there. May be dropped without loss.
    ///
    /// # Errors
    /// Changes were lost.
    pub(super) async fn changed(&mut self) -> io::Result<bool> {
        loop {
            let length = self.socket.recv(&mut self.message[..]).await?;
            let mut changes = carriers(&self.message[..length], &self.interface);
            if let Some(up) = changes.find(|up| self.up != Some(*up)) {
                self.up = Some(up);
                return Ok(up);
            }
        }
    }
}

/// What messages say of this interface's carrier.
fn carriers<'a>(mut messages: &'a [u8], interface: &'a str) -> impl Iterator<Item = bool> + 'a {
    std::iter::from_fn(move || {
        loop {
            let length = u32::from_ne_bytes(field(messages, 0)?);
            let length = usize::try_from(length).ok().filter(|length| *length >= HEADER)?;
            let kind = u16::from_ne_bytes(field(messages, 4)?);
            let flags = field(messages, HEADER + 8).map(u32::from_ne_bytes);
            let end = length.min(messages.len());
            let named =
                messages.get(HEADER + LINK..end).is_some_and(|all| name(all) == Some(interface.as_bytes()));
            messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
            match (kind, flags) {
                (NEW_LINK, Some(flags)) if named => return Some(flags & CARRIER != 0),
                (DEL_LINK, _) if named => return Some(false),
                _ => {}
            }
        }
    })
}

/// The interface's name among the attributes (struct rtattr).
fn name(mut attributes: &[u8]) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(field(attributes, 0)?)).max(4);
        if u16::from_ne_bytes(field(attributes, 2)?) == NAME {
            return attributes.get(4..length - 1);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux told that a veth's peer went down, and came up: header, link and name of a message.
    const DOWN: &str =
        "2c0000001000000000000000000000000000010003000000031000000000000009000300716361300000000000";
    const UP: &str =
        "2c0000001000000000000000000000000000010003000000431001000000000009000300716361300000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..44).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn the_carrier_of_one_interface_is_read_out_of_several_messages() {
        let all = [bytes(DOWN), bytes(UP), bytes(DOWN)].concat();
        assert_eq!(carriers(&all, "qca0").collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(carriers(&all, "qca").count(), 0);
        let mut gone = bytes(UP);
        gone[4] = 17;
        assert_eq!(carriers(&gone, "qca0").collect::<Vec<_>>(), [false]);
    }

    #[test]
    fn a_message_cut_or_damaged_anywhere_ends_the_reading() {
        let whole = bytes(UP);
        for length in 0..whole.len() {
            assert!(carriers(&whole[..length], "qca0").count() <= 1);
            for value in [0, 1, 0xff] {
                let mut damaged = [whole.clone(), whole.clone()].concat();
                damaged[length] = value;
                assert!(carriers(&damaged, "qca0").count() <= 2);
            }
        }
    }
}
