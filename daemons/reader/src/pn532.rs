//! What we ask a PN532, and what its answers mean. Source: NXP UM0701-02, 7.2 and 7.3.

use voltry_service::Identity;

use crate::card::{InvalidUid, Uid};
use crate::frame;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Which chip and firmware it is (7.2.2).
    GetFirmwareVersion,
    /// No security module (7.2.10). The first command after power-up: it also ends the low-power mode.
    SamConfiguration,
    /// Looks for a card three times and then says that there is none; for ever, by itself (7.3.1, item 5).
    MaxRetries,
    /// Looks for one card of type A at 106 kbit/s (7.3.5).
    ListPassiveTarget,
    /// Takes the field away (7.3.1, item 1), so that a card begins anew at the next look, as one that has just
    /// been laid there.
    FieldOff,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// What it is.
    Firmware(Firmware),
    /// What lies there; `None`: nothing.
    Card(Option<Uid>),
}

/// What a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firmware {
    /// The chip: 0x32 is a PN532.
    pub chip: u8,
    /// Its firmware.
    pub version: u8,
    /// Its revision.
    pub revision: u8,
}

/// An answer that its command does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It belongs to another command.
    #[error("the answer is to another command, 0x{0:02X}")]
    Code(u8),
    /// It is too short or too long.
    #[error("the answer has {0} bytes")]
    Length(usize),
    /// More cards than were asked for.
    #[error("{0} cards where one was asked for")]
    Cards(u8),
    /// A card's number that none has.
    #[error(transparent)]
    Uid(#[from] InvalidUid),
}

impl Command {
    const fn code(self) -> u8 {
        match self {
            Self::GetFirmwareVersion => 0x02,
            Self::SamConfiguration => 0x14,
            Self::MaxRetries | Self::FieldOff => 0x32,
            Self::ListPassiveTarget => 0x4A,
        }
    }

    /// Its frame.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let parameters: &[u8] = match self {
            Self::GetFirmwareVersion => &[],
            // Normal mode.
            Self::SamConfiguration => &[0x01],
            // For ATR_REQ and PSL_REQ as after a reset; two more looks for a card after the first.
            Self::MaxRetries => &[0x05, 0xFF, 0x01, 0x02],
            // One card, ISO 14443 type A at 106 kbit/s.
            Self::ListPassiveTarget => &[0x01, 0x00],
            Self::FieldOff => &[0x01, 0x00],
        };
        frame::encode(self.code(), parameters)
    }

    /// What the answer of this code and data says.
    ///
    /// # Errors
    /// It is no answer to this command.
    pub fn understand(self, code: u8, data: &[u8]) -> Result<Answer, Malformed> {
        if code != self.code() + 1 {
            return Err(Malformed::Code(code));
        }
        match self {
            Self::SamConfiguration | Self::MaxRetries | Self::FieldOff => match data {
                [] => Ok(Answer::Done),
                _ => Err(Malformed::Length(data.len())),
            },
            Self::GetFirmwareVersion => match *data {
                [chip, version, revision, _supported] => {
                    Ok(Answer::Firmware(Firmware { chip, version, revision }))
                }
                _ => Err(Malformed::Length(data.len())),
            },
            Self::ListPassiveTarget => match data {
                [0] => Ok(Answer::Card(None)),
                // Number of the target, SENS_RES, SEL_RES, the length of its number; behind that an ATS, if it has one.
                [1, _target, _, _, _, length, rest @ ..] => match rest.get(..usize::from(*length)) {
                    Some(uid) => Ok(Answer::Card(Some(Uid::try_from(uid)?))),
                    None => Err(Malformed::Length(data.len())),
                },
                [] | [1, ..] | [0, ..] => Err(Malformed::Length(data.len())),
                [cards, ..] => Err(Malformed::Cards(*cards)),
            },
        }
    }
}

impl Firmware {
    /// As `Device1` has it.
    #[must_use]
    pub fn identity(self) -> Identity {
        let model = if self.chip == 0x32 { "PN532".to_owned() } else { format!("chip 0x{:02X}", self.chip) };
        let firmware = format!("{}.{}", self.version, self.revision);
        Identity { vendor: "NXP".to_owned(), model, serial: String::new(), firmware }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    /// The number that an answer to ListPassiveTarget carries, as the makers' documents print it from D5 4B on.
    fn uid(hex: &str) -> Option<String> {
        match Command::ListPassiveTarget.understand(0x4B, &bytes(hex)) {
            Ok(Answer::Card(uid)) => uid.map(|uid| uid.reveal()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cards_of_4_7_and_10_bytes_are_read_with_and_without_an_ats() {
        // MIFARE Classic, NTAG, and a processor card with its ATS, as printed in public traces of readers.
        assert_eq!(uid("01 01 00 04 08 04 6E 8A E2 B0").as_deref(), Some("6E8AE2B0"));
        assert_eq!(uid("01 01 00 44 00 07 04 7B CB 51 96 22 80").as_deref(), Some("047BCB51962280"));
        let with_ats = "01 01 00 04 28 04 FD E6 08 99 10 78 80 90 02 20 90 00 00 00 00 00 FD E6 08 99";
        assert_eq!(uid(with_ats).as_deref(), Some("FDE60899"));
        assert_eq!(
            uid("01 01 00 84 20 0A 00 11 22 33 44 55 66 77 88 99").as_deref(),
            Some("00112233445566778899")
        );
        assert_eq!(uid("00"), None);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let list = |hex: &str| Command::ListPassiveTarget.understand(0x4B, &bytes(hex)).unwrap_err();
        assert_eq!(list(""), Malformed::Length(0));
        assert_eq!(list("01 01 00 04 08 04 6E 8A E2"), Malformed::Length(9));
        assert_eq!(list("01 01 00 04 08 05 6E 8A E2 B0 11"), Malformed::Uid(InvalidUid(5)));
        assert_eq!(list("02 01 00 04 08 04 6E 8A E2 B0"), Malformed::Cards(2));
        let firmware = Command::GetFirmwareVersion;
        assert_eq!(firmware.understand(0x15, &[]), Err(Malformed::Code(0x15)));
        assert_eq!(firmware.understand(0x03, &[0x32, 1, 6]), Err(Malformed::Length(3)));
        assert_eq!(Command::FieldOff.understand(0x33, &[0]), Err(Malformed::Length(1)));
    }

    #[test]
    fn a_reader_says_what_it_is() {
        let answer = Command::GetFirmwareVersion.understand(0x03, &[0x32, 0x01, 0x06, 0x07]);
        let Ok(Answer::Firmware(firmware)) = answer else { panic!("{answer:?}") };
        let identity = firmware.identity();
        assert_eq!((identity.model.as_str(), identity.firmware.as_str()), ("PN532", "1.6"));
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it(code: u8, data in proptest::collection::vec(any::<u8>(), 0..40)) {
            for command in [Command::GetFirmwareVersion, Command::SamConfiguration, Command::ListPassiveTarget] {
                let _ = command.understand(code, &data);
                let _ = command.understand(command.code() + 1, &data);
            }
        }
    }
}
