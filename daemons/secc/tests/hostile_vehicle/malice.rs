//! What a hostile vehicle makes of a session: the same each time for the same seed.

use std::time::Duration;

use crate::sessions::{Frames, Good};

/// Reproducible chance: `SplitMix64`, whose every seed gives a sequence of its own.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`; 0 if that is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 32).unwrap() % end.max(1)
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Bytes for the station, and how long the vehicle then waits.
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) pause: Duration,
}

/// The session at `which`, spoilt in a few ways and cut into pieces.
pub(crate) fn spoil(chance: &mut Chance, sessions: &[Good], which: usize) -> Vec<Piece> {
    let mut frames = sessions[which].frames.clone();
    for _ in 0..chance.below(4) {
        spoil_once(chance, sessions, &mut frames);
    }
    cut(chance, frames)
}

const KINDS: usize = 14;
const FLOOD: usize = 16 * 1024;

fn spoil_once(chance: &mut Chance, sessions: &[Good], frames: &mut Frames) {
    let (at, other) = (chance.below(frames.len()), chance.below(frames.len()));
    let Some(frame) = frames.get_mut(at) else { return };
    match chance.below(KINDS) {
        // The payload ends early, and the header says so.
        0 => {
            frame.truncate(frame.len() - chance.below(frame.len()));
            if let Some(length) = frame.len().checked_sub(8) {
                frame[4..8].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
            }
        }
        // The frame ends early, and the next one is taken for its rest.
        1 => frame.truncate(chance.below(frame.len())),
        2 => {
            for _ in 0..=chance.below(8) {
                let bit = chance.below(frame.len() * 8);
                if let Some(byte) = frame.get_mut(bit / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
        // A length that is none.
        3 => {
            let lengths = [0, 1, 4095, 4096, 4097, 0x7fff_ffff, u32::MAX];
            if let Some(length) = frame.get_mut(4..8) {
                length.copy_from_slice(&lengths[chance.below(lengths.len())].to_be_bytes());
            }
        }
        // Another payload type.
        4 => {
            if let Some(kind) = frame.get_mut(2..4) {
                kind.copy_from_slice(&[0x80, u8::try_from(chance.below(256)).unwrap()]);
            }
        }
        5 => drop(frames.remove(at)),
        6 => frames.swap(at, other),
        7 => frames[at..].reverse(),
        // A flood of one request; of bounded size, lest this test's own memory is what grows.
        8 => {
            let flood = vec![frame.clone(); chance.below(200).min(FLOOD / (frame.len() + 1))];
            frames.splice(at..at, flood);
        }
        // A request of another session, perhaps of another protocol.
        9 => {
            let other = &sessions[chance.below(sessions.len())].frames;
            frames.insert(at, other[chance.below(other.len())].clone());
        }
        10 => {
            let count = 1 + chance.below(2000);
            frames.insert(at, chance.bytes(count));
        }
        // As long as is allowed, and longer.
        11 => {
            let rest = chance.below(5000);
            frame.extend(chance.bytes(rest));
            let length = u32::try_from(frame.len().saturating_sub(8)).unwrap();
            if let Some(header) = frame.get_mut(4..8) {
                header.copy_from_slice(&length.to_be_bytes());
            }
        }
        // Silence from here.
        12 => frames.truncate(at),
        // Not from the start.
        _ => drop(frames.drain(..at)),
    }
}

/// As the frames are, or at any boundary; mostly without pause, now and then with a long one.
fn cut(chance: &mut Chance, frames: Frames) -> Vec<Piece> {
    let pieces = if chance.one_in(4) {
        let stream = frames.concat();
        // Several requests at once are a flood, which ends a conversation at its start.
        let most = if chance.one_in(8) { 2048 } else { 32 };
        let size = 1 + chance.below(most);
        stream.chunks(size).map(<[u8]>::to_vec).collect()
    } else {
        frames
    };
    let mut pause = || match chance.below(64) {
        0 => Duration::from_secs(chance.next() % 120),
        1..8 => Duration::from_millis(chance.next() % 1000),
        _ => Duration::ZERO,
    };
    pieces.into_iter().map(|bytes| Piece { bytes, pause: pause() }).collect()
}
