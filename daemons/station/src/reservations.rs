//! Reservations: an EVSE, or one of those that are free, is held for a token and its group until a
//! time. Pure; time comes in.

use voltry_bus::ReserveOutcome;

use crate::authorization::{Payer, Token};

/// Reservations at once, at the most.
const RESERVATIONS: usize = 64;

/// A reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// As the back end wrote it.
    pub id: String,
    /// The EVSE; 0: one of those that are free.
    pub evse: u32,
    /// For whom.
    pub token: Token,
    /// And whoever else is of this group.
    pub group: Option<Token>,
    /// Microseconds of Unix time.
    pub expires: i64,
}

impl Held {
    fn is_for(&self, payer: &Payer) -> bool {
        payer.token.as_ref() == Some(&self.token) || self.group.is_some() && self.group == payer.group
    }
}

/// What stands in the way of a reservation, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nobody is plugged in or let in.
    Free,
    /// Somebody is.
    Taken,
    /// Out of service, or its daemon is away.
    Unavailable,
    /// It has a fault.
    Faulted,
}

/// All reservations, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reservations(Vec<Held>);

impl Reservations {
    /// As the book has them.
    #[must_use]
    pub const fn of_the_book(held: Vec<Held>) -> Self {
        Self(held)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Held] {
        &self.0
    }

    /// Holds a place; `places` are all EVSEs as they stand. A known id is replaced, or lost if its new
    /// place is taken.
    pub fn reserve(&mut self, new: Held, places: &[(u32, Place)], unix_now: i64) -> ReserveOutcome {
        self.cancel(&new.id);
        if new.expires <= unix_now || self.0.len() >= RESERVATIONS {
            return ReserveOutcome::Rejected;
        }
        let outcome = if new.evse == 0 { self.any(places) } else { self.one(new.evse, places) };
        if outcome == ReserveOutcome::Accepted {
            self.0.push(new);
        }
        outcome
    }

    fn one(&self, evse: u32, places: &[(u32, Place)]) -> ReserveOutcome {
        match places.iter().find(|(number, _)| *number == evse).map(|(_, place)| *place) {
            Some(Place::Faulted) => ReserveOutcome::Faulted,
            Some(Place::Unavailable) => ReserveOutcome::Unavailable,
            None => ReserveOutcome::Rejected,
            Some(Place::Taken) => ReserveOutcome::Occupied,
            Some(Place::Free) if self.of(evse).is_some() || self.spare(places) == 0 => {
                ReserveOutcome::Occupied
            }
            Some(Place::Free) => ReserveOutcome::Accepted,
        }
    }

    fn any(&self, places: &[(u32, Place)]) -> ReserveOutcome {
        let all = |wanted: Place| !places.is_empty() && places.iter().all(|(_, place)| *place == wanted);
        if self.spare(places) > 0 {
            ReserveOutcome::Accepted
        } else if all(Place::Faulted) {
            ReserveOutcome::Faulted
        } else if all(Place::Unavailable) {
            ReserveOutcome::Unavailable
        } else {
            ReserveOutcome::Occupied
        }
    }

    /// How many EVSEs are free and held for nobody.
    fn spare(&self, places: &[(u32, Place)]) -> usize {
        let free = places.iter().filter(|(evse, place)| *place == Place::Free && self.of(*evse).is_none());
        free.count().saturating_sub(self.0.iter().filter(|held| held.evse == 0).count())
    }

    /// The reservation of this EVSE.
    #[must_use]
    pub fn of(&self, evse: u32) -> Option<&Held> {
        self.0.iter().find(|held| held.evse == evse && evse != 0)
    }

    /// Whether somebody may charge at an EVSE; with the id of the reservation that is theirs. `free`:
    /// how many EVSEs beside this one nobody uses.
    ///
    /// # Errors
    /// The EVSE is held for somebody else, or the last that is free.
    pub fn admits(&self, evse: u32, payer: &Payer, free: usize) -> Result<Option<&Held>, HeldForOthers> {
        let own = self.0.iter().filter(|held| held.evse == evse || held.evse == 0);
        if let Some(held) =
            own.max_by_key(|held| (held.is_for(payer), held.evse)).filter(|held| held.is_for(payer))
        {
            return Ok(Some(held));
        }
        let elsewhere = self.0.iter().filter(|held| held.evse == 0).count();
        if self.of(evse).is_some() || elsewhere > free { Err(HeldForOthers) } else { Ok(None) }
    }

    /// Ends a reservation; the one that was.
    pub fn cancel(&mut self, id: &str) -> Option<Held> {
        let place = self.0.iter().position(|held| held.id == id)?;
        Some(self.0.remove(place))
    }

    /// Those whose time is over.
    pub fn expire(&mut self, unix_now: i64) -> Vec<Held> {
        self.take(|held| held.expires <= unix_now)
    }

    /// Those of an EVSE that is out of order.
    pub fn remove(&mut self, evse: u32) -> Vec<Held> {
        self.take(|held| held.evse == evse)
    }

    fn take(&mut self, over: impl Fn(&Held) -> bool) -> Vec<Held> {
        let (gone, held) = std::mem::take(&mut self.0).into_iter().partition(over);
        self.0 = held;
        gone
    }
}

/// The EVSE is held for somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reserved for somebody else")]
pub struct HeldForOthers;

#[cfg(test)]
mod tests {
    use voltry_bus::TokenKind;

    use super::*;

    const FREE: [(u32, Place); 2] = [(1, Place::Free), (2, Place::Free)];

    fn token(text: &str) -> Token {
        Token::parse(text).unwrap()
    }

    fn held(id: &str, evse: u32, of: &str) -> Held {
        Held { id: id.to_owned(), evse, token: token(of), group: None, expires: 100 }
    }

    fn payer(of: &str) -> Payer {
        Payer::holder(token(of), TokenKind::Iso14443)
    }

    #[test]
    fn a_held_evse_is_for_its_token_and_group_alone() {
        let mut all = Reservations::default();
        let family = Held { group: Some(token("FAMILY")), ..held("7", 1, "ANNA") };
        assert_eq!(all.reserve(family, &FREE, 0), ReserveOutcome::Accepted);
        let id = |payer: &Payer| all.admits(1, payer, 1).map(|held| held.map(|held| held.id.clone()));
        assert_eq!(id(&payer("ANNA")), Ok(Some("7".to_owned())));
        assert_eq!(id(&Payer { group: Some(token("FAMILY")), ..payer("BEN") }), Ok(Some("7".to_owned())));
        assert_eq!(id(&payer("CARL")), Err(HeldForOthers));
        assert_eq!(id(&Payer::anyone()), Err(HeldForOthers));
        assert_eq!(all.admits(2, &payer("CARL"), 1), Ok(None));
    }

    #[test]
    fn the_last_free_evse_is_kept_for_whoever_holds_any() {
        let mut all = Reservations::default();
        assert_eq!(all.reserve(held("1", 0, "ANNA"), &FREE, 0), ReserveOutcome::Accepted);
        assert_eq!(all.admits(1, &payer("CARL"), 1), Ok(None));
        assert_eq!(all.admits(1, &payer("CARL"), 0), Err(HeldForOthers));
        assert!(all.admits(1, &payer("ANNA"), 0).unwrap().is_some());
        assert_eq!(all.reserve(held("2", 0, "BEN"), &FREE, 0), ReserveOutcome::Accepted);
        assert_eq!(all.reserve(held("3", 0, "CARL"), &FREE, 0), ReserveOutcome::Occupied);
        assert_eq!(all.reserve(held("3", 1, "CARL"), &FREE, 0), ReserveOutcome::Occupied);
    }

    #[test]
    fn what_stands_in_the_way_is_told() {
        let mut all = Reservations::default();
        for (place, outcome) in [
            (Place::Taken, ReserveOutcome::Occupied),
            (Place::Faulted, ReserveOutcome::Faulted),
            (Place::Unavailable, ReserveOutcome::Unavailable),
        ] {
            let places = [(1, place)];
            assert_eq!(all.reserve(held("1", 1, "ANNA"), &places, 0), outcome);
            assert_eq!(all.reserve(held("1", 0, "ANNA"), &places, 0), outcome);
        }
        assert_eq!(all.reserve(held("1", 1, "ANNA"), &FREE, 100), ReserveOutcome::Rejected);
        assert_eq!(all.reserve(held("1", 9, "ANNA"), &FREE, 0), ReserveOutcome::Rejected);
        assert_eq!(all.all(), []);
    }

    #[test]
    fn a_known_id_is_replaced() {
        let mut all = Reservations::default();
        let _ = all.reserve(held("1", 1, "ANNA"), &FREE, 0);
        assert_eq!(all.reserve(held("1", 1, "BEN"), &FREE, 0), ReserveOutcome::Accepted);
        assert_eq!(all.all(), [held("1", 1, "BEN")]);
        assert_eq!(all.reserve(held("2", 1, "CARL"), &FREE, 0), ReserveOutcome::Occupied);
    }

    #[test]
    fn a_reservation_ends_with_its_time_its_cancelling_or_its_evse() {
        let mut all = Reservations::default();
        let _ = all.reserve(held("1", 1, "ANNA"), &FREE, 0);
        let _ = all.reserve(held("2", 0, "BEN"), &FREE, 0);
        assert_eq!(all.expire(99), []);
        assert_eq!(all.remove(1), [held("1", 1, "ANNA")]);
        assert_eq!(all.cancel("1"), None);
        assert_eq!(all.expire(100), [held("2", 0, "BEN")]);
        assert_eq!(all.all(), []);
    }

    #[test]
    fn a_flood_of_reservations_is_refused() {
        let many: Vec<_> = (1..=100).map(|evse| (evse, Place::Free)).collect();
        let mut all = Reservations::default();
        for number in 1..=RESERVATIONS {
            let evse = u32::try_from(number).unwrap();
            assert_eq!(all.reserve(held(&number.to_string(), evse, "A"), &many, 0), ReserveOutcome::Accepted);
        }
        assert_eq!(all.reserve(held("99", 99, "A"), &many, 0), ReserveOutcome::Rejected);
    }
}
