//! Who may charge: a local list, or anyone where vending is free. Pure; time comes in.

use std::collections::VecDeque;
use std::time::Duration;

use voltry_bus::TokenKind;
use voltry_units::Timestamp;

/// The longest token taken, in characters (OCPP 2.0.1 IdTokenType: 36).
pub const TOKEN_MAX: usize = 36;

/// Tokens presented before a vehicle is plugged in, at the most.
const REMEMBERED: usize = 8;

/// An id token, as OCPP compares them: letters count the same in upper and lower case.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// From a card's number or a name as printed.
    ///
    /// # Errors
    /// Empty, longer than [`TOKEN_MAX`], or with characters other than letters, digits and
    /// `*-_=:+|@.` (OCPP 2.0.1 identifierString).
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "*-_=:+|@.".contains(letter);
        if text.is_empty() || text.len() > TOKEN_MAX || !text.chars().all(allowed) {
            return Err(InvalidToken);
        }
        Ok(Self(text.to_ascii_uppercase()))
    }

    /// The whole token. Never into a log above DEBUG.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

/// Who was let in, and how. Ids that a back end made are kept as it wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    /// The token that was shown; `None`: vending is free.
    pub token: Option<Token>,
    /// Its kind.
    pub kind: TokenKind,
    /// Its group: another token of it may stop the session.
    pub group: Option<Token>,
    /// The back end's id of its request to start; empty: none.
    pub remote_start: String,
    /// The id of the reservation that was used; empty: none.
    pub reservation: String,
}

impl Payer {
    /// Anyone: vending is free.
    #[must_use]
    pub const fn anyone() -> Self {
        Self {
            token: None,
            kind: TokenKind::NoAuthorization,
            group: None,
            remote_start: String::new(),
            reservation: String::new(),
        }
    }

    /// Whoever showed this token.
    #[must_use]
    pub fn holder(token: Token, kind: TokenKind) -> Self {
        Self { token: Some(token), kind, ..Self::anyone() }
    }
}

/// Not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token has 1 to 36 letters, digits or *-_=:+|@.")]
pub struct InvalidToken;

/// A token that a person may see: its last two characters.
#[must_use]
pub fn mask(token: &str) -> String {
    if token.is_empty() {
        return String::new();
    }
    let tail: String = token.chars().skip(token.chars().count().saturating_sub(2)).collect();
    format!("…{tail}")
}

/// How a driver is let in.
#[derive(Debug, Clone)]
pub struct Authorizer {
    free_vending: bool,
    list: Vec<Token>,
    remember: Duration,
    remembered: VecDeque<(Token, Timestamp)>,
}

impl Authorizer {
    /// `list`: the tokens that may charge. `remember`: how long a token presented before
    /// plugging in holds.
    #[must_use]
    pub fn new(free_vending: bool, list: Vec<Token>, remember: Duration) -> Self {
        Self { free_vending, list, remember, remembered: VecDeque::new() }
    }

    /// Whether no token is wanted.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.free_vending
    }

    /// Whether this token may charge.
    #[must_use]
    pub fn allows(&self, token: &Token) -> bool {
        self.free_vending || self.list.contains(token)
    }

    /// Keeps an allowed token for the next vehicle to be plugged in. The oldest makes room.
    pub fn remember(&mut self, token: Token, now: Timestamp) {
        self.remembered.retain(|(known, _)| *known != token);
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back((token, now));
    }

    /// Takes the oldest token that still holds.
    pub fn take_remembered(&mut self, now: Timestamp) -> Option<Token> {
        let remember = self.remember;
        self.remembered.retain(|(_, at)| now.since(*at) <= remember);
        self.remembered.pop_front().map(|(token, _)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token::parse(text).unwrap()
    }

    fn authorizer(free: bool) -> Authorizer {
        Authorizer::new(free, vec![token("04a1b2c3")], Duration::from_secs(60))
    }

    #[test]
    fn a_listed_token_is_allowed_in_either_case_and_another_is_not() {
        assert!(authorizer(false).allows(&token("04A1B2C3")));
        assert!(!authorizer(false).allows(&token("04A1B2C4")));
        assert!(authorizer(true).allows(&token("04A1B2C4")));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "   ", "two words", "naïve", &"0".repeat(37)] {
            assert_eq!(Token::parse(text), Err(InvalidToken), "{text:?}");
        }
    }

    #[test]
    fn a_token_never_shows_more_than_two_characters() {
        assert_eq!(format!("{:?}", token("04A1B2C3")), "…C3");
        assert_eq!(mask(""), "");
        assert_eq!(mask("7"), "…7");
    }

    #[test]
    fn a_remembered_token_serves_once_and_not_after_its_time() {
        let start = Timestamp::from_micros(1);
        let mut authorizer = authorizer(false);
        authorizer.remember(token("04A1B2C3"), start);
        assert_eq!(authorizer.take_remembered(start + Duration::from_secs(60)), Some(token("04A1B2C3")));
        assert_eq!(authorizer.take_remembered(start), None);
        authorizer.remember(token("04A1B2C3"), start);
        assert_eq!(authorizer.take_remembered(start + Duration::from_secs(61)), None);
    }

    #[test]
    fn a_flood_of_tokens_keeps_the_newest() {
        let start = Timestamp::from_micros(1);
        let mut authorizer = authorizer(true);
        for number in 0..1000 {
            authorizer.remember(token(&format!("T{number}")), start);
        }
        let kept: Vec<_> = std::iter::from_fn(|| authorizer.take_remembered(start)).collect();
        assert_eq!(kept.len(), REMEMBERED);
        assert_eq!(kept[0], token("T992"));
    }
}
