//! A V2G conversation as a packet capture that Wireshark opens.
//!
//! Only what was said is real: V2GTP frames. The Ethernet, IPv6 and TCP around them are made up,
//! from the vehicle (fe80::2, port 50000) to the station (fe80::1, port 15118) and back. Each
//! conversation is a connection of its own, from the next port.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use voltry_bus::V2gMessage;

const STATION: ([u8; 6], [u8; 16], u16) = ([2, 0, 0, 0, 0, 1], link_local(1), 15_118);
const VEHICLE: ([u8; 6], [u8; 16]) = ([2, 0, 0, 0, 0, 2], link_local(2));
const FIRST_PORT: u16 = 50_000;
/// What a vehicle says first.
const HANDSHAKE: &str = "supportedAppProtocolReq";
const HOP_LIMIT: u8 = 64;
const WINDOW: u16 = u16::MAX;
/// A V2GTP header: version, its complement, payload type, length.
const HEADER: usize = 8;
/// More would need several segments; no V2G message is near it.
const PAYLOAD_MAX: usize = 60_000;

const fn link_local(host: u8) -> [u8; 16] {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]
}

/// A capture that grows message by message.
#[derive(Debug)]
pub struct Capture<W: Write> {
    writer: PcapWriter<W>,
    /// The conversation at each EVSE.
    connections: BTreeMap<u32, Connection>,
    next_port: u16,
}

/// The vehicle's port, and the next sequence number of station and vehicle.
#[derive(Debug, Clone, Copy)]
struct Connection {
    port: u16,
    next: [u32; 2],
}

impl<W: Write> Capture<W> {
    /// Begins one there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(out: W) -> io::Result<Self> {
        let writer = PcapWriter::new(out).map_err(io::Error::other)?;
        Ok(Self { writer, connections: BTreeMap::new(), next_port: FIRST_PORT })
    }

    /// Adds one message, said at this EVSE.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, evse: u32, message: &V2gMessage) -> io::Result<()> {
        let begins = message.by_vehicle && message.name == HANDSHAKE;
        let mut connection = match self.connections.get(&evse).filter(|_| !begins) {
            Some(connection) => *connection,
            None => self.open(),
        };
        let packet = packet(&mut connection, message)?;
        self.connections.insert(evse, connection);
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        let time = Duration::from_micros(u64::try_from(message.time).unwrap_or(0));
        self.writer
            .write_packet(&PcapPacket::new_owned(time, length, packet))
            .map(|_| ())
            .map_err(io::Error::other)
    }

    /// Ends it; all of it is written then.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.writer.into_writer();
        out.flush()?;
        Ok(out)
    }

    fn open(&mut self) -> Connection {
        let port = self.next_port;
        self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
        Connection { port, next: [1, 1] }
    }
}

fn packet(connection: &mut Connection, message: &V2gMessage) -> io::Result<Vec<u8>> {
    let vehicle = (VEHICLE.0, VEHICLE.1, connection.port);
    let (from, to) = if message.by_vehicle { (vehicle, STATION) } else { (STATION, vehicle) };
    let (me, other) = (usize::from(message.by_vehicle), usize::from(!message.by_vehicle));
    let payload = &message.payload[..message.payload.len().min(PAYLOAD_MAX)];
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEADER + payload.len());
    frame.extend([0x01, 0xfe]);
    frame.extend(message.payload_type.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend(payload);
    let builder = PacketBuilder::ethernet2(from.0, to.0)
        .ipv6(from.1, to.1, HOP_LIMIT)
        .tcp(from.2, to.2, connection.next[me], WINDOW)
        .ack(connection.next[other])
        .psh();
    let mut packet = Vec::with_capacity(builder.size(frame.len()));
    builder.write(&mut packet, &frame).map_err(io::Error::other)?;
    connection.next[me] = connection.next[me].wrapping_add(u32::try_from(frame.len()).unwrap_or(0));
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use etherparse::{SlicedPacket, TransportSlice};
    use pcap_file::pcap::PcapReader;

    use super::*;

    fn message(by_vehicle: bool, payload: &[u8]) -> V2gMessage {
        V2gMessage {
            time: 1_700_000_000_123_456,
            by_vehicle,
            name: String::new(),
            text: String::new(),
            payload_type: 0x8001,
            payload: payload.to_vec(),
        }
    }

    /// A capture of what was said at these EVSEs, and another program's reader of it.
    fn reader(said: &[(u32, V2gMessage)]) -> PcapReader<io::Cursor<Vec<u8>>> {
        let mut capture = Capture::new(Vec::new()).unwrap();
        said.iter().for_each(|(evse, message)| capture.add(*evse, message).unwrap());
        PcapReader::new(io::Cursor::new(capture.finish().unwrap())).unwrap()
    }

    #[test]
    fn another_reader_finds_one_tcp_stream_of_v2gtp_frames() {
        let said = [message(true, b"abc"), message(false, b"de"), message(true, b"f")];
        let mut reader = reader(&said.map(|message| (1, message)));
        let mut streams = [Vec::new(), Vec::new()];
        let mut expected = [1, 1];
        while let Some(packet) = reader.next_packet() {
            let packet = packet.unwrap();
            assert_eq!(packet.timestamp, Duration::from_micros(1_700_000_000_123_456));
            let sliced = SlicedPacket::from_ethernet(&packet.data).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
            let direction = usize::from(tcp.destination_port() == 15_118);
            assert_eq!(tcp.sequence_number(), expected[direction]);
            expected[direction] += u32::try_from(tcp.payload().len()).unwrap();
            streams[direction].extend_from_slice(tcp.payload());
        }
        assert_eq!(streams[1], b"\x01\xfe\x80\x01\0\0\0\x03abc\x01\xfe\x80\x01\0\0\0\x01f");
        assert_eq!(streams[0], b"\x01\xfe\x80\x01\0\0\0\x02de");
    }

    #[test]
    fn each_conversation_at_each_evse_is_a_connection_of_its_own() {
        let handshake = V2gMessage { name: HANDSHAKE.to_owned(), ..message(true, b"hello") };
        let mut reader = reader(&[
            (1, handshake.clone()),
            (2, handshake.clone()),
            (1, message(false, b"yes")),
            (2, message(true, b"more")),
            (1, handshake),
        ]);
        let mut seen = Vec::new();
        while let Some(packet) = reader.next_packet() {
            let packet = packet.unwrap();
            let sliced = SlicedPacket::from_ethernet(&packet.data).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no TCP") };
            seen.push((tcp.source_port().max(tcp.destination_port()), tcp.sequence_number()));
        }
        assert_eq!(seen, [(50_000, 1), (50_001, 1), (50_000, 1), (50_001, 14), (50_002, 1)]);
    }
}
