//! Who may charge: the local list, the cache, and what the CSMS says. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use voltry_bus::TokenStatus;

use crate::transactions::Token;

/// Cached answers at the most; the one used longest ago makes room.
const CACHE_MAX: usize = 1000;

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Whether it may charge.
    pub status: TokenStatus,
    /// Its group; empty: none.
    #[serde(default)]
    pub group: String,
    /// Microseconds of Unix time until which this may be believed; 0: not said.
    #[serde(default)]
    pub expires: i64,
}

impl TokenInfo {
    /// With nothing but its status.
    #[must_use]
    pub const fn of(status: TokenStatus) -> Self {
        Self { status, group: String::new(), expires: 0 }
    }

    /// Whether it may charge.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.status == TokenStatus::Accepted
    }

    fn at(&self, now: i64) -> Self {
        let expired = self.expires != 0 && self.expires <= now && self.is_accepted();
        let status = if expired { TokenStatus::Expired } else { self.status };
        Self { status, ..self.clone() }
    }
}

/// An answer from the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cached {
    /// What the CSMS said.
    pub info: TokenInfo,
    /// When it said so, microseconds of Unix time.
    pub heard: i64,
}

/// Tokens are compared without regard to case (1.6, 4.1; 2.0.1, IdTokenType).
fn key(id: &str) -> String {
    id.to_ascii_uppercase()
}

/// The local list and the cache.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    list: BTreeMap<String, TokenInfo>,
    /// The list's version; 0: there is none.
    pub version: i64,
    cache: BTreeMap<String, Cached>,
}

/// A change of the local list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListChange {
    /// Everything that was there goes first.
    pub full: bool,
    /// The version after it.
    pub version: i64,
    /// Entries to add or replace, and (`None`) to remove.
    pub entries: Vec<(String, Option<TokenInfo>)>,
}

impl Tokens {
    /// As the store has kept them.
    #[must_use]
    pub fn new(version: i64, list: Vec<(String, TokenInfo)>, cache: Vec<(String, Cached)>) -> Self {
        Self { list: list.into_iter().collect(), version, cache: cache.into_iter().collect() }
    }

    /// Entries in the local list.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.list.len()
    }

    /// What the local list says of a token.
    #[must_use]
    pub fn in_list(&self, token: &Token, now: i64) -> Option<TokenInfo> {
        self.list.get(&key(&token.id)).map(|info| info.at(now))
    }

    /// What the cache says of it. `life_s`: for how long an answer is believed; 0: for ever.
    #[must_use]
    pub fn in_cache(&self, token: &Token, now: i64, life_s: u64) -> Option<TokenInfo> {
        let cached = self.cache.get(&key(&token.id))?;
        let life = i64::try_from(life_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
        let old = life != 0 && now.saturating_sub(cached.heard) > life;
        (!old).then(|| cached.info.at(now))
    }

    /// Entries that a change would leave.
    #[must_use]
    pub fn after(&self, change: &ListChange) -> usize {
        let mut left = if change.full { 0 } else { self.list.len() };
        for (id, info) in &change.entries {
            let there = !change.full && self.list.contains_key(&key(id));
            match info {
                Some(_) if !there => left += 1,
                None if there => left -= 1,
                Some(_) | None => {}
            }
        }
        left
    }

    /// Changes the local list; what was changed is returned as it must be stored.
    pub fn change(&mut self, change: ListChange) -> ListChange {
        if change.full {
            self.list.clear();
        }
        self.version = change.version;
        let entries: Vec<_> = change.entries.into_iter().map(|(id, info)| (key(&id), info)).collect();
        for (id, info) in &entries {
            match info {
                Some(info) => self.list.insert(id.clone(), info.clone()),
                None => self.list.remove(id),
            };
        }
        ListChange { full: change.full, version: change.version, entries }
    }

    /// Remembers what the CSMS said; returns the key to store it under, and one that had to go.
    pub fn remember(&mut self, token: &Token, info: TokenInfo, now: i64) -> (String, Cached, Option<String>) {
        let (id, cached) = (key(&token.id), Cached { info, heard: now });
        self.cache.insert(id.clone(), cached.clone());
        let full = self.cache.len() > CACHE_MAX;
        let oldest = || self.cache.iter().min_by_key(|(_, cached)| cached.heard).map(|(id, _)| id.clone());
        let gone = if full { oldest() } else { None };
        if let Some(gone) = &gone {
            self.cache.remove(gone);
        }
        (id, cached, gone)
    }

    /// What the cache has of a token, whether it is still believed or not.
    #[must_use]
    pub fn cached(&self, token: &Token) -> Option<&Cached> {
        self.cache.get(&key(&token.id))
    }

    /// Forgets what the CSMS said of a token; the key that it was stored under.
    pub fn forget(&mut self, token: &Token) -> Option<String> {
        let key = key(&token.id);
        self.cache.remove(&key).map(|_| key)
    }

    /// Forgets all that the CSMS said.
    pub fn clear_cache(&mut self) {
        self.cache.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: &str) -> Token {
        Token { id: id.to_owned(), kind: "ISO14443".to_owned() }
    }

    #[test]
    fn a_token_is_found_in_upper_and_lower_case_and_expires() {
        let mut tokens = Tokens::default();
        let info = TokenInfo { expires: 100, ..TokenInfo::of(TokenStatus::Accepted) };
        tokens.remember(&token("abcd"), info, 1);
        assert!(tokens.in_cache(&token("ABCD"), 99, 0).unwrap().is_accepted());
        assert_eq!(tokens.in_cache(&token("ABCD"), 100, 0).unwrap().status, TokenStatus::Expired);
        assert_eq!(tokens.in_cache(&token("ABCD"), 3_000_000, 2), None, "older than the cache's life");
    }

    #[test]
    fn the_cache_is_bounded_and_the_oldest_goes() {
        let mut tokens = Tokens::default();
        for number in 0..=CACHE_MAX {
            let (_, _, gone) = tokens.remember(
                &token(&number.to_string()),
                TokenInfo::of(TokenStatus::Accepted),
                i64::try_from(number).unwrap(),
            );
            assert_eq!(gone.is_some(), number == CACHE_MAX);
        }
        assert_eq!(tokens.in_cache(&token("0"), 5, 0), None);
        assert!(tokens.in_cache(&token("1"), 5, 0).is_some());
    }

    #[test]
    fn a_full_list_replaces_and_a_differential_one_adds_and_removes() {
        let mut tokens = Tokens::default();
        let accepted = Some(TokenInfo::of(TokenStatus::Accepted));
        let entries = vec![("A".to_owned(), accepted.clone()), ("B".to_owned(), accepted.clone())];
        tokens.change(ListChange { full: true, version: 1, entries });
        let entries = vec![("a".to_owned(), None), ("C".to_owned(), accepted)];
        let change = ListChange { full: false, version: 2, entries };
        assert_eq!(tokens.after(&change), 2);
        tokens.change(change);
        assert_eq!((tokens.listed(), tokens.version), (2, 2));
        assert!(tokens.in_list(&token("A"), 0).is_none() && tokens.in_list(&token("c"), 0).is_some());
    }
}
