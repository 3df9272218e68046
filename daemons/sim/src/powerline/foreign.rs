//! The powerline to a vehicle whose own program does its matching, with a modem at each end.
//!
//! ```text
//! voltry-secc ── evseN ═══ plcN ── [station's modem] ~~ cable ~~ [vehicle's modem] ── evplcN ═══ evN ── program
//! ```
//! A modem keeps what is meant for it. All other management messages cross the cable while the
//! vehicle is plugged in, and the station's modem measures each sound. Whatever else is sent
//! crosses only while both modems have one key.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ether::{FRAME_MAX, MANAGEMENT, RawSocket};
use super::modem::{self, Attenuation, Modem};
use crate::electrical::SharedCircuit;
use crate::faults::Fault;

const IPV6: [u8; 2] = [0x86, 0xdd];
const ETHERNET_LENGTH: usize = 14;
const IPV6_LENGTH: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// How weakly the station hears the vehicle. Clones are of the same cable.
#[derive(Debug, Clone)]
pub struct Line(Arc<Mutex<Attenuation>>);

impl Default for Line {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(modem::attenuation(super::OWN_DB))))
    }
}

impl Line {
    /// Sets it, dB: one for all groups of carriers, or one for each. False: it is neither.
    pub(crate) fn attenuate(&self, db: &[u8]) -> bool {
        let groups = match db {
            [all] => Ok([*all; std::mem::size_of::<Attenuation>()]),
            each => Attenuation::try_from(each),
        };
        groups.map(|groups| *self.attenuation() = groups).is_ok()
    }

    fn attenuation(&self) -> MutexGuard<'_, Attenuation> {
        // An array of bytes is whole whoever panicked over it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cable and both modems; [`ForeignCable::run`] is their life.
#[derive(Debug)]
pub struct ForeignCable {
    station: End,
    vehicle: End,
    circuit: SharedCircuit,
    line: Line,
}

#[derive(Debug)]
struct End {
    socket: RawSocket,
    modem: Modem,
}

impl End {
    fn open(interface: &str, address: super::Mac) -> std::io::Result<Self> {
        Ok(Self { socket: RawSocket::of_any(interface)?, modem: Modem::new(address) })
    }

    fn send(&self, frame: &[u8]) {
        if let Err(error) = self.socket.send(frame) {
            tracing::debug!(%error, length = frame.len(), "a frame was lost on the powerline");
        }
    }
}

impl ForeignCable {
    /// Builds the cable between the modems' ends of the station's and the vehicle's links.
    ///
    /// # Errors
    /// An interface cannot be opened for raw frames.
    pub fn build(station: &str, vehicle: &str, circuit: SharedCircuit) -> std::io::Result<(Line, Self)> {
        let line = Line::default();
        let cable = Self {
            station: End::open(station, modem::STATIONS)?,
            vehicle: End::open(vehicle, modem::VEHICLES)?,
            circuit,
            line: line.clone(),
        };
        Ok((line, cable))
    }

    /// Serves for ever.
    ///
    /// # Errors
    /// An interface is gone.
    pub async fn run(mut self) -> std::io::Result<()> {
        let (mut ours, mut theirs) = ([0; FRAME_MAX], [0; FRAME_MAX]);
        loop {
            tokio::select! {
                length = self.station.socket.receive(&mut ours) => {
                    let length = length?;
                    self.stations(&mut ours[..length]);
                }
                length = self.vehicle.socket.receive(&mut theirs) => {
                    let length = length?;
                    self.vehicles(&mut theirs[..length]);
                }
            }
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.circuit.with(|circuit| circuit.faults.has(fault))
    }

    fn plugged(&self) -> bool {
        self.circuit.with(|circuit| circuit.vehicle().is_some())
    }

    /// Whether both modems are in one network.
    fn joined(&self) -> bool {
        self.plugged() && self.station.modem.key.is_some() && self.station.modem.key == self.vehicle.modem.key
    }

    fn crosses(&self, frame: &[u8]) -> bool {
        if is_management(frame) {
            self.plugged() && !self.has(Fault::VehicleNeverMatches)
        } else {
            self.joined()
        }
    }

    /// What the station sends.
    fn stations(&mut self, frame: &mut [u8]) {
        let joined = self.joined();
        if is_management(frame) && self.station.modem.is_meant(frame) {
            if !self.has(Fault::ModemSilent)
                && let Some(answer) = self.station.modem.answer(frame, joined)
            {
                self.station.send(&answer);
            }
        } else if self.crosses(frame) {
            sum_up(frame);
            self.vehicle.send(frame);
        }
    }

    /// What the vehicle sends.
    fn vehicles(&mut self, frame: &mut [u8]) {
        let joined = self.joined();
        if is_management(frame) && self.vehicle.modem.is_meant(frame) {
            if let Some(answer) = self.vehicle.modem.answer(frame, joined) {
                self.vehicle.send(&answer);
            }
        } else if self.crosses(frame) {
            sum_up(frame);
            self.station.send(frame);
            let report = is_management(frame)
                .then(|| self.station.modem.measure(frame, &self.line.attenuation()))
                .flatten()
                .filter(|_| !self.has(Fault::ModemSilent));
            if let Some(report) = report {
                self.station.send(&report);
            }
        }
    }
}

fn is_management(frame: &[u8]) -> bool {
    frame.get(12..ETHERNET_LENGTH) == Some(&MANAGEMENT.to_be_bytes())
}

/// Writes the checksum of TCP or UDP over IPv6: within one machine the kernel leaves it to a
/// network card that is not there, and would take the frame for a damaged one.
fn sum_up(frame: &mut [u8]) {
    let Some(header) = frame.get(ETHERNET_LENGTH..ETHERNET_LENGTH + IPV6_LENGTH) else { return };
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let next = header[6];
    let at = match next {
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    let addresses: Vec<u8> = header[8..].to_vec();
    let start = ETHERNET_LENGTH + IPV6_LENGTH;
    if frame[12..ETHERNET_LENGTH] != IPV6 || at + 2 > length {
        return;
    }
    let Some(segment) = frame.get_mut(start..start + length) else { return };
    segment[at..at + 2].fill(0);
    // RFC 8200 8.1: the addresses, the length and the next header are summed with it.
    let pseudo =
        [&addresses[..], &u16::try_from(length).unwrap_or_default().to_be_bytes(), &[0, next]].concat();
    let sum = words(&pseudo) + words(segment);
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !u16::try_from(folded).unwrap_or_default();
    // RFC 768: in UDP zero would say that there is none.
    let checksum = if checksum == 0 && next == UDP { 0xffff } else { checksum };
    segment[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// The sum of the 16-bit words; of a frame's at most 757 it does not overflow.
fn words(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// An SDP request from fe80::2 to ff02::1, its checksum computed by hand.
    const DISCOVERY: &str = "333300000001020000000002\
        86dd\
        6000000000121140\
        fe800000000000000000000000000002\
        ff020000000000000000000000000001\
        c0003b0e00120000\
        01fe9000000000021000";

    #[test]
    fn a_checksum_that_was_left_to_the_card_is_written() {
        let mut frame = bytes(DISCOVERY);
        sum_up(&mut frame);
        // A receiver sums everything up, the checksum too, and must get all ones.
        let mut pseudo = frame[22..54].to_vec();
        pseudo.extend([0, 0x12, 0, 17]);
        let mut sum = words(&pseudo) + words(&frame[54..]);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!(sum, 0xffff);
        assert_ne!(frame[60..62], [0, 0]);
    }

    #[test]
    fn what_is_no_whole_segment_stays_as_it_is() {
        for length in 0..DISCOVERY.len() / 2 {
            let mut frame = bytes(DISCOVERY);
            frame.truncate(length);
            let before = frame.clone();
            sum_up(&mut frame);
            assert_eq!(frame, before);
        }
    }

    #[test]
    fn a_line_attenuates_all_groups_alike_or_each_its_own() {
        let line = Line::default();
        assert!(line.attenuate(&[45]));
        assert_eq!(*line.attenuation(), [45; 58]);
        let each: Vec<u8> = (0..58).collect();
        assert!(line.attenuate(&each));
        assert_eq!(line.attenuation()[57], 57);
        assert!(!line.attenuate(&[1, 2]));
        assert!(!line.attenuate(&[]));
        assert_eq!(line.attenuation()[57], 57);
    }
}
