//! The ids of our own calls.

use std::fmt;

/// The id of a call: 1 to 36 characters (1.6J 4.1.4, 2.0.1 part 4 4.1.4).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(String);

/// No id: empty, or longer than 36 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message id has 1 to {} characters", MessageId::LENGTH_MAX)]
pub struct InvalidMessageId;

impl MessageId {
    /// Characters of the longest id: those of a UUID.
    pub const LENGTH_MAX: usize = 36;

    /// A random UUID (RFC 9562, version 4) made of random bits.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        let bits = bits & !(0xF << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
        let text = format!("{bits:032x}");
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        Self(format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)))
    }

    /// The id as it stands in a message.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MessageId {
    type Error = InvalidMessageId;
    fn try_from(text: String) -> Result<Self, InvalidMessageId> {
        if text.is_empty() || text.chars().count() > Self::LENGTH_MAX {
            Err(InvalidMessageId)
        } else {
            Ok(Self(text))
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_is_a_uuid_of_version_4() {
        assert_eq!(MessageId::from_random(0).as_str(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(MessageId::from_random(u128::MAX).as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn an_id_has_1_to_36_characters() {
        assert!(MessageId::try_from(String::new()).is_err());
        assert!(MessageId::try_from("é".repeat(36)).is_ok());
        assert!(MessageId::try_from("x".repeat(37)).is_err());
    }
}
