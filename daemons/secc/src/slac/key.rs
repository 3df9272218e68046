//! The network's key, and that the modem has it.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use voltry_units::Timestamp;

use super::wire::{Nid, Nmk};

/// How long a modem may take to confirm a key (measured: 0.4 ms).
const CONFIRMATION: Duration = Duration::from_secs(1);

/// A key and what goes with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    /// The key itself. It crosses the cable in the clear once, in CM_SLAC_MATCH.CNF.
    pub(super) nmk: Nmk,
    /// The network's identifier, derived from the key.
    pub(super) nid: Nid,
    /// Marks the request that sets it.
    pub(super) nonce: u32,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key itself is for nobody's log.
        f.debug_struct("Key").field("nid", &self.nid).finish_non_exhaustive()
    }
}

impl Key {
    /// A key of twenty bytes that nobody can guess.
    #[must_use]
    pub(super) fn new(random: [u8; 20]) -> Self {
        let (nmk, nonce) = random.split_at(16);
        let nmk: Nmk = nmk.try_into().expect("16 of 20 bytes");
        let nonce = u32::from_le_bytes(nonce.try_into().expect("4 of 20 bytes"));
        Self { nmk, nid: nid(&nmk), nonce }
    }
}

/// The identifier of a key's network: five rounds of SHA-256, and of the result the first 52 bits
/// under a security level of 0 (HomePlug AV 1.1, 4.4.3.1 and 7.10.3).
fn nid(nmk: &Nmk) -> Nid {
    let mut digest = Sha256::digest(nmk);
    for _ in 0..4 {
        digest = Sha256::digest(digest);
    }
    let mut nid: Nid = digest[..7].try_into().expect("7 of 32 bytes");
    nid[6] >>= 4;
    nid
}

/// How far the modem is with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyed {
    /// A new key is to be drawn.
    Wanted,
    /// The modem was asked to take it.
    Asked {
        /// The key.
        key: Key,
        /// When it is asked again.
        again_at: Timestamp,
        /// How often it was asked.
        times: u32,
    },
    /// The modem has it.
    Set(Key),
}

impl Keyed {
    /// A key that the modem is now asked to take.
    #[must_use]
    pub(super) fn ask(key: Key, now: Timestamp, times: u32) -> Self {
        Self::Asked { key, again_at: now + CONFIRMATION, times }
    }

    /// When something is due.
    #[must_use]
    pub(super) const fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Asked { again_at, .. } => Some(*again_at),
            Self::Wanted | Self::Set(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key and identifier that Qualcomm's tools come with (`pev -c`), and those that a station set
    /// before a recorded session of a Tesla.
    #[test]
    fn the_identifier_follows_from_the_key() {
        let default = 0x50D3_E493_3F85_5B70_4078_4DF8_15AA_8DB7_u128;
        assert_eq!(nid(&default.to_be_bytes()), [0xB0, 0xF2, 0xE6, 0x95, 0x66, 0x6B, 0x03]);
        assert_eq!(nid(b"4ZL9FIQO5ZUXVS6U"), [0x1b, 0x57, 0xf0, 0x5f, 0x1a, 0x93, 0x00]);
    }

    #[test]
    fn no_log_shows_the_key() {
        let key = Key::new(*b"4ZL9FIQO5ZUXVS6U1234");
        let shown = format!("{key:?}");
        assert!(!shown.contains("4ZL9") && !shown.contains("52, 90"), "{shown}");
    }
}
