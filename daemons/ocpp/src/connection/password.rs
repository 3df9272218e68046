//! What a station proves with that it is itself, in HTTP Basic.

use std::fmt;

/// The longest password, bytes (OCPP 2.0.1 ed. 3 has up to 64 characters).
const LENGTH_MAX: usize = 64;

/// A password as it is sent. It shows itself nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Vec<u8>);

/// How a password is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The characters are the password: BasicAuthPassword of OCPP 2.0.1.
    Text,
    /// Hexadecimal digits, whose bytes are the password: AuthorizationKey of OCPP 1.6 (its security
    /// whitepaper).
    Hex,
}

/// No password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPassword {
    /// Not 1 to 64 bytes.
    #[error("a password has 1 to {LENGTH_MAX} bytes")]
    Length,
    /// Not pairs of hexadecimal digits.
    #[error(
        "an even number of hexadecimal digits is wanted; a password of other characters needs the encoding \"text\""
    )]
    NoHex,
}

impl Password {
    /// From the way it is written.
    ///
    /// # Errors
    /// What is no password in this encoding.
    pub fn new(written: &str, encoding: Encoding) -> Result<Self, InvalidPassword> {
        let bytes = match encoding {
            Encoding::Text => written.as_bytes().to_vec(),
            Encoding::Hex => from_hex(written).ok_or(InvalidPassword::NoHex)?,
        };
        if bytes.is_empty() || bytes.len() > LENGTH_MAX {
            Err(InvalidPassword::Length)
        } else {
            Ok(Self(bytes))
        }
    }

    /// The bytes that are sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_bytes_and_a_password_its_characters() {
        assert_eq!(Password::new("00aAff", Encoding::Hex).unwrap().as_bytes(), [0x00, 0xAA, 0xFF]);
        assert_eq!(Password::new("00aAff", Encoding::Text).unwrap().as_bytes(), b"00aAff");
    }

    #[test]
    fn what_is_no_key_is_told() {
        for wrong in ["0", "0g", "é0"] {
            assert_eq!(Password::new(wrong, Encoding::Hex), Err(InvalidPassword::NoHex));
        }
        for wrong in ["", &"x".repeat(65)] {
            assert_eq!(Password::new(wrong, Encoding::Text), Err(InvalidPassword::Length));
        }
    }

    #[test]
    fn it_shows_itself_nowhere() {
        assert_eq!(format!("{:?}", Password::new("secret", Encoding::Text).unwrap()), "Password");
    }
}
