//! The sockets on the link to the vehicle, and the interface they live on.

use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use voltry_units::Timestamp;

use crate::v2g::sdp;

/// Where the kernel lists IPv6 addresses of this network namespace.
const IF_INET6: &str = "/proc/self/net/if_inet6";
/// Address flags of the kernel: tentative, or a duplicate.
const UNUSABLE: u32 = 0x40 | 0x08;
const SCOPE_LINK: u32 = 0x20;
const SCOPE_HOST: u32 = 0x10;
/// Ports for vehicles to connect to (ISO 15118-2 table 19), where none is configured.
const DYNAMIC_PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// An interface's usable link-local address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkLocal {
    /// The address.
    pub address: Ipv6Addr,
    /// The interface's index, its scope.
    pub index: u32,
}

impl LinkLocal {
    /// The address of an interface now, of several that it may have the one in use, `bound`.
    /// `None`: no such interface, or no address yet. The loopback interface, for tests, has no
    /// link-local address: its `::1` will do.
    #[must_use]
    pub fn of(interface: &str, bound: Option<Self>) -> Option<Self> {
        Self::choose(&std::fs::read_to_string(IF_INET6).ok()?, interface, bound)
    }

    fn choose(table: &str, interface: &str, bound: Option<Self>) -> Option<Self> {
        Self::all(table, interface).find(|link| Some(*link) == bound).or(Self::all(table, interface).next())
    }

    fn all<'a>(table: &'a str, interface: &'a str) -> impl Iterator<Item = Self> + 'a {
        let scope = if interface == "lo" { SCOPE_HOST } else { SCOPE_LINK };
        table.lines().filter_map(move |line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            let &[address, index, _prefix, in_scope, flags, name] = fields.as_slice() else { return None };
            let hex = |text| u32::from_str_radix(text, 16).ok();
            let usable = name == interface && hex(in_scope)? == scope && hex(flags)? & UNUSABLE == 0;
            let address = Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?);
            usable.then_some(Self { address, index: hex(index)? })
        })
    }
}

/// The sockets of one link.
#[derive(Debug)]
pub struct Ports {
    /// Where they are bound.
    pub link: LinkLocal,
    /// Takes discovery requests.
    pub discovery: UdpSocket,
    /// Takes connections.
    pub listener: TcpListener,
    /// Its address, as told to vehicles.
    pub address: SocketAddrV6,
}

impl Ports {
    /// Binds both sockets to the interface; `port` 0 takes a free one of the dynamic range.
    ///
    /// # Errors
    /// A socket cannot be bound, or the group not be joined.
    pub fn open(interface: &str, link: LinkLocal, port: u16) -> io::Result<Self> {
        let discovery = discovery(interface, link)?;
        let listener = listener(link, port)?;
        let address = match listener.local_addr()? {
            std::net::SocketAddr::V6(address) => address,
            std::net::SocketAddr::V4(_) => return Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        Ok(Self { link, discovery, listener, address })
    }
}

fn discovery(interface: &str, link: LinkLocal) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    // Each EVSE's daemon listens on the same port, each on its own interface.
    socket.set_reuse_address(true)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, sdp::PORT, 0, 0).into())?;
    socket.join_multicast_v6(&sdp::GROUP, link.index)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

fn listener(link: LinkLocal, port: u16) -> io::Result<TcpListener> {
    if port != 0 {
        return listen(link, port);
    }
    // Any start will do; that of the process spares the daemons of one station collisions.
    let span = u32::from(*DYNAMIC_PORTS.end() - *DYNAMIC_PORTS.start());
    let start = std::process::id() % span;
    let mut last = io::ErrorKind::AddrInUse.into();
    for offset in 0..64 {
        let port = u32::from(*DYNAMIC_PORTS.start()) + (start + offset) % span;
        match listen(link, u16::try_from(port).unwrap_or(*DYNAMIC_PORTS.end())) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(link: LinkLocal, port: u16) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV6::new(link.address, port, 0, link.index).into())?;
    // One vehicle connects; more only after it dropped its connection.
    socket.listen(4)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Lets so many through a second, and no more.
#[derive(Debug)]
pub struct Throttle {
    per_second: u32,
    since: Timestamp,
    passed: u32,
}

impl Throttle {
    /// Lets `per_second` through.
    #[must_use]
    pub const fn new(per_second: u32) -> Self {
        Self { per_second, since: Timestamp::BOOT, passed: 0 }
    }

    /// Whether one more may pass.
    #[must_use]
    pub fn pass(&mut self, now: Timestamp) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.passed = 0;
        }
        self.passed = self.passed.saturating_add(1);
        self.passed <= self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel writes it; qca1's address is still tentative.
    const TABLE: &str = "\
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000002 03 40 00 80    qca0
fe8000000000000002b052fffe000001 03 40 20 80    qca0
fe8000000000000002b052fffe000002 0a 40 20 c0    qca1
fe8000000000000002b052fffe000003 0b 40 20 80    qca2
fe800000000000000000000000000001 0b 40 20 80    qca2
";

    #[test]
    fn the_link_local_address_is_found_once_it_is_usable() {
        let expected = LinkLocal { address: "fe80::2b0:52ff:fe00:1".parse().unwrap(), index: 3 };
        let found = |interface| LinkLocal::all(TABLE, interface).collect::<Vec<_>>();
        assert_eq!(found("qca0"), [expected]);
        assert_eq!(found("qca1"), []);
        assert_eq!(found("qca"), []);
        assert_eq!(found("lo"), [LinkLocal { address: Ipv6Addr::LOCALHOST, index: 1 }]);
    }

    #[test]
    fn an_address_in_use_stays_when_another_comes_before_it() {
        let both: Vec<_> = LinkLocal::all(TABLE, "qca2").collect();
        assert_eq!(both.len(), 2);
        for bound in both {
            assert_eq!(LinkLocal::choose(TABLE, "qca2", Some(bound)), Some(bound));
        }
        let gone = LinkLocal { address: Ipv6Addr::LOCALHOST, index: 11 };
        assert_eq!(LinkLocal::choose(TABLE, "qca2", Some(gone)), LinkLocal::choose(TABLE, "qca2", None));
    }

    #[test]
    fn a_flood_is_let_through_at_its_rate() {
        let mut throttle = Throttle::new(20);
        let at = |ms: u64| Timestamp::from_micros(10_000_000 + ms * 1000);
        assert_eq!((0..999).filter(|ms| throttle.pass(at(*ms))).count(), 20);
        assert!(throttle.pass(at(1000)));
    }
}
