//! The number of a card, and which cards lie on a reader.

use std::fmt::{self, Write as _};
use std::time::Duration;

use voltry_units::Timestamp;

/// Cards that a reader holds apart. More at once are no cards of people; they count when others have gone.
const HELD_MAX: usize = 4;

/// The number of an ISO 14443 card of type A: 4, 7 or 10 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Uid {
    bytes: [u8; 10],
    length: usize,
}

/// No card has a number of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a card's number has 4, 7 or 10 bytes, not {0}")]
pub struct InvalidUid(pub usize);

impl TryFrom<&[u8]> for Uid {
    type Error = InvalidUid;

    fn try_from(bytes: &[u8]) -> Result<Self, InvalidUid> {
        let length = bytes.len();
        if !matches!(length, 4 | 7 | 10) {
            return Err(InvalidUid(length));
        }
        let mut held = [0; 10];
        held[..length].copy_from_slice(bytes);
        Ok(Self { bytes: held, length })
    }
}

impl Uid {
    /// Hexadecimal digits in capitals, in the order in which the card sends its bytes. Never into a log above DEBUG.
    #[must_use]
    pub fn reveal(&self) -> String {
        self.bytes[..self.length].iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02X}").expect("writing to a string");
            text
        })
    }

    /// Whether the card makes up another number each time, as phones do: four bytes, the first 0x08
    /// (ISO 14443-3). It is nobody's.
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.length == 4 && self.bytes[0] == 0x08
    }
}

/// Its last two digits.
impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…{:02X}", self.bytes[self.length - 1])
    }
}

/// Which cards lie on a reader: a card that is held there counts once, however long.
///
/// ```text
/// (not there) ──seen──▶ Seen ──seen again──▶ Held, told
///      ▲                 │                     │
///      └─────────────────┴─────────────────────┴── looked for and not seen for the hold-off
/// ```
///
/// One look is not believed: the line's checksum is a sum of eight bits, so two damaged bytes can make another card's
/// number of one. What the first look sees lay there before: it is held, and does not count.
///
/// Only a look that found nothing lets time pass: while the reader is away nobody knows, and a card that lies there
/// still is not shown anew, which would stop what it began.
#[derive(Debug)]
pub struct Held {
    hold_off: Duration,
    looked: bool,
    cards: Vec<Card>,
}

#[derive(Debug)]
struct Card {
    uid: Uid,
    /// Seen in two looks, or in the first.
    sure: bool,
    missed: Option<Timestamp>,
}

impl Held {
    /// Nobody has looked. A card has gone when it was not seen for `hold_off`.
    #[must_use]
    pub const fn new(hold_off: Duration) -> Self {
        Self { hold_off, looked: false, cards: Vec::new() }
    }

    /// The reader looked. Whether what it saw has been laid there, and is told now.
    #[must_use]
    pub fn look(&mut self, now: Timestamp, seen: Option<Uid>) -> bool {
        let first = !std::mem::replace(&mut self.looked, true);
        let (mut known, mut laid) = (false, false);
        for card in &mut self.cards {
            if Some(card.uid) == seen {
                known = true;
                laid = !std::mem::replace(&mut card.sure, true);
                card.missed = None;
            } else {
                card.missed.get_or_insert(now);
            }
        }
        let hold_off = self.hold_off;
        self.cards.retain(|card| card.missed.is_none_or(|since| now.since(since) < hold_off));
        if let Some(uid) = seen.filter(|_| !known && self.cards.len() < HELD_MAX) {
            self.cards.push(Card { uid, sure: first, missed: None });
        }
        laid
    }

    /// Whether the last look saw a card for the first time, so that the next one should follow at once.
    #[must_use]
    pub fn is_unsure(&self) -> bool {
        self.cards.iter().any(|card| !card.sure && card.missed.is_none())
    }

    /// How many lie there.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.cards.len()
    }

    /// The reader was away: what it did not see meanwhile may lie there still.
    pub fn forget_misses(&mut self) {
        self.cards.iter_mut().for_each(|card| card.missed = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOLD_OFF: Duration = Duration::from_secs(2);

    fn uid(last: u8) -> Uid {
        Uid::try_from(&[0x04, 0xA1, 0xB2, last][..]).unwrap()
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_micros(1 + ms * 1000)
    }

    /// Nothing lay there at the first look.
    fn empty() -> Held {
        let mut held = Held::new(HOLD_OFF);
        assert!(!held.look(at(0), None));
        held
    }

    /// Seen by two looks; whether the second told it.
    fn lay(held: &mut Held, now: Timestamp, last: u8) -> bool {
        assert!(!held.look(now, Some(uid(last))), "told by one look");
        held.look(now, Some(uid(last)))
    }

    #[test]
    fn a_number_has_4_7_or_10_bytes_and_is_written_as_the_card_sends_it() {
        for length in 0..=12 {
            let bytes: Vec<u8> = (0..length).map(|place| 0xA0 + place).collect();
            let made = Uid::try_from(&bytes[..]);
            assert_eq!(made.is_ok(), [4, 7, 10].contains(&length), "{length}");
        }
        assert_eq!(
            Uid::try_from(&[4, 0x7B, 0xCB, 0x51, 0x96, 0x22, 0x80][..]).unwrap().reveal(),
            "047BCB51962280"
        );
    }

    #[test]
    fn a_number_never_shows_more_than_two_digits() {
        assert_eq!(format!("{:?}", uid(0xC3)), "…C3");
    }

    #[test]
    fn a_made_up_number_is_known_by_its_first_byte() {
        assert!(Uid::try_from(&[0x08, 1, 2, 3][..]).unwrap().is_random());
        assert!(!Uid::try_from(&[0x08, 1, 2, 3, 4, 5, 6][..]).unwrap().is_random());
        assert!(!uid(8).is_random());
    }

    #[test]
    fn a_card_that_is_held_counts_once_and_again_when_it_was_away_for_the_hold_off() {
        let mut held = empty();
        assert!(lay(&mut held, at(0), 1));
        for ms in (250..60_000).step_by(250) {
            // Every third look misses it, as a card at the edge of the field.
            assert!(!held.look(at(ms), (ms % 750 != 0).then(|| uid(1))), "{ms}");
        }
        assert!(!held.look(at(60_000), None));
        assert!(!held.look(at(61_999), Some(uid(1))), "too soon");
        assert!(!held.look(at(62_000), None));
        assert!(!held.look(at(64_000), None));
        assert!(lay(&mut held, at(64_250), 1));
    }

    #[test]
    fn a_number_that_one_look_saw_and_no_other_is_told_to_nobody() {
        let mut held = empty();
        for (turn, last) in [(0, Some(1)), (1, Some(2)), (2, None), (3, Some(3)), (4, None)] {
            assert!(!held.look(at(turn * 250), last.map(uid)));
            assert_eq!(held.is_unsure(), last.is_some(), "{turn}");
        }
        assert!(!held.look(at(3000), None));
        assert_eq!(held.count(), 0);
    }

    #[test]
    fn what_the_first_look_sees_lay_there_before() {
        let mut held = Held::new(HOLD_OFF);
        assert!(!held.look(at(0), Some(uid(1))) && !held.is_unsure());
        assert!(!held.look(at(250), Some(uid(1))));
        assert!(lay(&mut held, at(500), 2));
    }

    #[test]
    fn two_cards_that_the_reader_sees_in_turn_count_once_each() {
        let mut held = empty();
        let told =
            (0..100).filter(|turn| held.look(at(turn * 250), Some(uid(u8::from(turn % 2 == 0))))).count();
        assert_eq!(told, 2);
    }

    #[test]
    fn a_card_that_lies_there_while_the_reader_is_away_is_not_shown_anew() {
        let mut held = empty();
        assert!(lay(&mut held, at(0), 1));
        assert!(!held.look(at(250), None));
        held.forget_misses();
        assert!(!held.look(at(600_000), Some(uid(1))));
        held.forget_misses();
        assert!(!held.look(at(900_000), None));
        assert!(!held.look(at(900_250), Some(uid(1))));
    }

    proptest! {
        #[test]
        fn whatever_lies_there_no_more_than_four_count_in_a_hold_off(
            seen in proptest::collection::vec(proptest::option::of(any::<u8>()), 1..200),
        ) {
            let mut held = empty();
            let mut told = Vec::new();
            for (turn, last) in seen.into_iter().enumerate() {
                let now = at(turn as u64 * 250);
                if held.look(now, last.map(uid)) {
                    told.push(now);
                }
                prop_assert!(held.cards.len() <= HELD_MAX);
            }
            for five in told.windows(HELD_MAX + 1) {
                prop_assert!(five[HELD_MAX].since(five[0]) >= HOLD_OFF);
            }
        }
    }
}
