//! Who may charge: a local list, or anyone where vending is free. Pure; time comes in.

use std::collections::VecDeque;
use std::time::Duration;

use voltry_bus::TokenKind;
use voltry_units::Timestamp;

/// The longest token taken, in characters (OCPP 2.0.1 IdTokenType: 36).
pub const TOKEN_MAX: usize = 36;

/// Tokens presented before a vehicle is plugged in, at no EVSE in particular, at the most.
const EXPECTED: usize = 8;

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

/// Digits of a code that is typed in, at the least and at the most.
const CODE_DIGITS: std::ops::RangeInclusive<usize> = 4..=12;

/// Whether it may be a code: not how a token of another kind has to look.
#[must_use]
pub fn may_be_code(token: &str) -> bool {
    CODE_DIGITS.contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_digit())
}

/// A token that a person may see: its last two characters, and nothing of what may be a code (C04.FR.04).
#[must_use]
pub fn mask(token: &str) -> String {
    if token.is_empty() {
        return String::new();
    }
    if may_be_code(token) {
        return "…".to_owned();
    }
    let tail: String = token.chars().skip(token.chars().count().saturating_sub(2)).collect();
    format!("…{tail}")
}

/// How a driver is let in.
#[derive(Debug, Clone)]
pub struct Authorizer {
    free_vending: bool,
    list: Vec<Token>,
    patience: Duration,
    expected: VecDeque<Expected>,
}

/// Somebody who may charge and has not plugged in yet.
#[derive(Debug, Clone)]
struct Expected {
    /// 0: at any EVSE.
    evse: u32,
    payer: Payer,
    until: Timestamp,
}

impl Authorizer {
    /// `list`: the tokens that may charge. `patience`: how long a token presented before
    /// plugging in holds.
    #[must_use]
    pub fn new(free_vending: bool, list: Vec<Token>, patience: Duration) -> Self {
        Self { free_vending, list, patience, expected: VecDeque::new() }
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

    /// How long a token holds that is presented from now on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Waits for a vehicle at an EVSE, or with 0 at any. Of those that wait for any the oldest makes
    /// room; an EVSE has one.
    pub fn expect(&mut self, evse: u32, payer: Payer, now: Timestamp) {
        self.expected.retain(|known| known.payer.token != payer.token || known.evse != evse);
        let anywhere = self.expected.iter().filter(|known| known.evse == 0).count();
        if evse != 0 {
            self.expected.retain(|known| known.evse != evse);
        } else if anywhere >= EXPECTED
            && let Some(oldest) = self.expected.iter().position(|known| known.evse == 0)
        {
            self.expected.remove(oldest);
        }
        self.expected.push_back(Expected { evse, payer, until: now + self.patience });
    }

    /// Who is waited for at this EVSE alone.
    #[must_use]
    pub fn expected_at(&self, evse: u32) -> Option<&Payer> {
        self.expected.iter().find(|known| known.evse == evse && evse != 0).map(|known| &known.payer)
    }

    /// Takes, of those that are waited for at any EVSE, the oldest that is admitted; the others keep their time.
    pub fn take_admitted(&mut self, now: Timestamp, admits: impl Fn(&Payer) -> bool) -> Option<Payer> {
        let place = self
            .expected
            .iter()
            .position(|known| known.evse == 0 && now <= known.until && admits(&known.payer))?;
        self.expected.remove(place).map(|known| known.payer)
    }

    /// Takes who is still waited for at this EVSE alone.
    pub fn take(&mut self, evse: u32, now: Timestamp) -> Option<Payer> {
        let place = self.expected.iter().position(|known| known.evse == evse && now <= known.until)?;
        self.expected.remove(place).map(|known| known.payer)
    }

    /// Forgets those that did not come; at which EVSEs they were waited for.
    #[must_use]
    pub fn expire(&mut self, now: Timestamp) -> Vec<u32> {
        let (waiting, gone): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.expected).into_iter().partition(|known| now <= known.until);
        self.expected = waiting;
        gone.into_iter().map(|known| known.evse).filter(|evse| *evse != 0).collect()
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
        assert_eq!(format!("{:?}", token("4711")), "…", "a code is told to nobody");
        assert_eq!((mask("471147114711"), mask("4711471147118")), ("…".to_owned(), "…18".to_owned()));
    }

    fn payer(text: &str) -> Payer {
        Payer::holder(token(text), TokenKind::Iso14443)
    }

    #[test]
    fn a_remembered_token_serves_once_and_not_after_its_time() {
        let start = Timestamp::from_micros(1);
        let mut authorizer = authorizer(false);
        authorizer.expect(0, payer("04A1B2C3"), start);
        assert_eq!(
            authorizer.take_admitted(start + Duration::from_secs(60), |_| true),
            Some(payer("04A1B2C3"))
        );
        assert_eq!(authorizer.take_admitted(start, |_| true), None);
        authorizer.expect(0, payer("04A1B2C3"), start);
        assert_eq!(authorizer.take_admitted(start + Duration::from_secs(61), |_| true), None);
    }

    #[test]
    fn whoever_is_not_admitted_keeps_the_time_and_lets_those_behind_pass() {
        let start = Timestamp::from_micros(1);
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut authorizer = authorizer(false);
        authorizer.expect(0, payer("A"), start);
        authorizer.expect(0, payer("R"), after(1));
        let reserved = |who: &Payer| *who == payer("R");
        assert_eq!(authorizer.take_admitted(after(2), reserved), Some(payer("R")));
        assert_eq!(authorizer.take_admitted(after(59), reserved), None);
        assert_eq!(authorizer.take_admitted(after(61), |_| true), None, "no new time");
    }

    #[test]
    fn who_is_waited_for_at_one_evse_is_not_let_in_at_another_and_is_told_when_gone() {
        let start = Timestamp::from_micros(1);
        let mut authorizer = authorizer(false);
        authorizer.expect(2, payer("A"), start);
        authorizer.expect(0, payer("B"), start);
        assert_eq!(authorizer.expected_at(2), Some(&payer("A")));
        assert_eq!(authorizer.expected_at(0), None);
        assert_eq!(authorizer.take(1, start), None);
        assert!(authorizer.expire(start + Duration::from_secs(60)).is_empty());
        assert_eq!(authorizer.expire(start + Duration::from_secs(61)), [2]);
        assert!(authorizer.expire(start + Duration::from_secs(61)).is_empty());
    }

    #[test]
    fn a_flood_of_tokens_keeps_the_newest_and_those_of_an_evse() {
        let start = Timestamp::from_micros(1);
        let mut authorizer = authorizer(true);
        authorizer.expect(1, payer("FIRST"), start);
        for number in 0..1000 {
            authorizer.expect(0, payer(&format!("T{number}")), start);
        }
        let kept: Vec<_> = std::iter::from_fn(|| authorizer.take_admitted(start, |_| true)).collect();
        assert_eq!(kept.len(), EXPECTED);
        assert_eq!(kept[0], payer("T992"));
        assert_eq!(authorizer.take(1, start), Some(payer("FIRST")));
    }
}
