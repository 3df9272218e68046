//! A QCA7000, at either end of the cable: it takes a network key, says whether its link is up, and
//! measures each sound that a vehicle makes.
//!
//! Layouts as ISO 15118-3 annex A and HomePlug GP have them, and as they stand in recorded
//! sessions of real stations, by hand: the daemon under test has its own.

use super::Mac;

/// What answers for whatever modem is at the host's interface.
const LOCAL_MODEM: Mac = [0x00, 0xb0, 0x52, 0x00, 0x00, 0x01];
/// The station's modem's own address, and the vehicle's.
pub(super) const STATIONS: Mac = [0x00, 0x01, 0x87, 0x53, 0x49, 0x4d];
pub(super) const VEHICLES: Mac = [0x00, 0x01, 0x87, 0x45, 0x56, 0x4d];
const BROADCAST: Mac = [0xff; 6];
const QUALCOMM: [u8; 3] = [0x00, 0xb0, 0x52];

const SET_KEY_REQ: u16 = 0x6008;
const SET_KEY_CNF: u16 = 0x6009;
const MNBC_SOUND_IND: u16 = 0x6076;
const ATTEN_PROFILE_IND: u16 = 0x6086;
const LINK_STATUS_REQ: u16 = 0xa0b8;
const LINK_STATUS_CNF: u16 = 0xa0b9;
/// Groups of carriers that it measures.
const GROUPS: usize = 58;
/// How many dB less arrives than was sent, by group of carriers.
pub(crate) type Attenuation = [u8; GROUPS];

/// One that is so on average; real ones are not flat either.
pub(super) fn attenuation(db: u8) -> Attenuation {
    std::array::from_fn(|group| db.saturating_sub(2) + u8::try_from(group % 5).unwrap_or_default())
}

/// The modem.
#[derive(Debug)]
pub(super) struct Modem {
    address: Mac,
    /// The key of its network.
    pub(super) key: Option<[u8; 16]>,
}

/// Message type and payload; `None`: no management message.
fn message(frame: &[u8]) -> Option<(u16, &[u8])> {
    // Versions after 1.0 have two bytes of fragmentation.
    let header = if *frame.get(14)? == 0 { 17 } else { 19 };
    let mmtype = u16::from_le_bytes([*frame.get(15)?, *frame.get(16)?]);
    Some((mmtype, frame.get(header..)?))
}

impl Modem {
    pub(super) const fn new(address: Mac) -> Self {
        Self { address, key: None }
    }

    /// Whether a frame goes to the modem itself, and not over the cable.
    pub(super) fn is_meant(&self, frame: &[u8]) -> bool {
        frame.starts_with(&LOCAL_MODEM) || frame.starts_with(&self.address)
    }

    fn frame(&self, to: Mac, version: u8, mmtype: u16, payload: &[u8]) -> Vec<u8> {
        let mut frame = [&to[..], &self.address, &[0x88, 0xe1, version], &mmtype.to_le_bytes()].concat();
        if version > 0 {
            frame.extend([0, 0]);
        }
        frame.extend(payload);
        frame.resize(frame.len().max(60), 0);
        frame
    }

    /// The answer to a frame of its host's that was meant for the modem.
    pub(super) fn answer(&mut self, asked: &[u8], linked: bool) -> Option<Vec<u8>> {
        if !self.is_meant(asked) {
            return None;
        }
        let host: Mac = asked.get(6..12)?.try_into().ok()?;
        let (mmtype, payload) = message(asked)?;
        match mmtype {
            SET_KEY_REQ => {
                let nonce = payload.get(1..5)?;
                self.key = Some(payload.get(22..38)?.try_into().ok()?);
                // Every recorded QCA7000 says 1 when it took the key, and gives the nonce back.
                let confirmation = [&[1, 0x56, 0x4f, 0x4c, 0x54], nonce, &[4, 0, 0, 0xff, 0]].concat();
                Some(self.frame(host, 1, SET_KEY_CNF, &confirmation))
            }
            LINK_STATUS_REQ if payload.starts_with(&QUALCOMM) => {
                let status = [&QUALCOMM[..], &[0, u8::from(linked)]].concat();
                Some(self.frame(host, 0, LINK_STATUS_CNF, &status))
            }
            _ => None,
        }
    }

    /// What it reports of a vehicle's frame that it hears so weakly: of a sound, its attenuation.
    pub(super) fn measure(&self, heard: &[u8], groups: &Attenuation) -> Option<Vec<u8>> {
        let (MNBC_SOUND_IND, _) = message(heard)? else { return None };
        let count = u8::try_from(GROUPS).ok()?;
        let report = [heard.get(6..12)?, &[count, 0], groups].concat();
        Some(self.frame(BROADCAST, 1, ATTEN_PROFILE_IND, &report))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// Request and confirmation of a real station and its QCA7000 (EVerest/logfiles, Tesla Model
    /// Y), apart from the modem's address and its own nonce.
    #[test]
    fn a_key_is_taken_and_confirmed_as_a_qca7000_does() {
        let mut modem = Modem::new(STATIONS);
        let request = bytes(
            "00b052000001fa39bc2bac3d88e1010860000001aaaaaaaa0000000004000000001b57f05f1a930001345a4c394649514f355a555856533655000000",
        );
        let confirmation = modem.answer(&request, false).unwrap();
        let mut recorded = bytes(
            "fa39bc2bac3d0001870ea34888e1010960000001453a4dedaaaaaaaa040000ff00000000000000000000000000000000000000000000000000000000",
        );
        recorded[6..12].copy_from_slice(&STATIONS);
        recorded[20..24].copy_from_slice(b"VOLT");
        assert_eq!(confirmation, recorded);
        assert_eq!(modem.key, Some(*b"4ZL9FIQO5ZUXVS6U"));
    }

    #[test]
    fn a_sound_is_measured_and_nothing_else_is() {
        let modem = Modem::new(STATIONS);
        let sound = bytes(
            "ffffffffffff98ed5cb428d388e1017660000000000000000000000000000000000000000000095445534c41204556000000000000000001ef9d000f9e589e5227885011079407",
        );
        let report = modem.measure(&sound, &attenuation(31)).unwrap();
        assert_eq!(report.len(), 85);
        assert_eq!(report[..27], bytes("ffffffffffff00018753494d88e1018660000098ed5cb428d33a00"));
        let mean = report[27..].iter().map(|db| u32::from(*db)).sum::<u32>() / 58;
        assert!((30..=31).contains(&mean), "{mean}");
        let start = bytes(
            "ffffffffffff98ed5cb428d388e1016a60000000000a060198ed5cb428d35445534c4120455600000000000000000000000000000000000000000000",
        );
        assert_eq!(modem.measure(&start, &attenuation(31)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(frame in prop::collection::vec(any::<u8>(), 0..200), modems in any::<bool>()) {
            let mut modem = Modem::new(STATIONS);
            let frame = if modems { [&LOCAL_MODEM[..], &frame].concat() } else { frame };
            let _ = modem.answer(&frame, true);
            let _ = modem.measure(&frame, &attenuation(30));
        }
    }
}
