//! Who is logged in, and who may try to. Pure: time and random numbers come in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use voltry_units::Timestamp;

use super::accounts::Role;

/// A session that is not used for so long is over.
pub(super) const IDLE: Duration = Duration::from_secs(15 * 60);
/// And in any case after a day's work.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 3600);
/// Sessions at once; the one that was not used for longest goes.
const SESSIONS_MAX: usize = 32;

/// Wrong passwords from one address, or for one account, before there is a lock.
const TRIES_FROM: u32 = 5;
const TRIES_FOR: u32 = 10;
/// How long it lasts, and how long wrong ones are remembered.
pub(super) const LOCK: Duration = Duration::from_secs(15 * 60);
/// Addresses and names that are remembered; beyond that the oldest that is not locked is forgotten.
const REMEMBERED_MAX: usize = 256;

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// The account.
    pub(super) name: String,
    /// What it may.
    pub(super) role: Role,
    /// What a form has to bring along.
    pub(super) form_key: String,
    begun: Timestamp,
    used: Timestamp,
}

/// All sessions, by a digest of what their cookies hold: who reads our memory cannot use it.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<[u8; 32], Session>);

impl Sessions {
    /// Begins a session whose cookie holds `secret`.
    pub(super) fn begin(&mut self, now: Timestamp, secret: &str, form_key: String, name: &str, role: Role) {
        self.tidy(now);
        while self.0.len() >= SESSIONS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, session)| session.used).map(|(key, _)| *key);
            oldest.and_then(|key| self.0.remove(&key));
        }
        let session = Session { name: name.to_owned(), role, form_key, begun: now, used: now };
        self.0.insert(digest(secret), session);
    }

    /// The session of a cookie, which is used by this.
    pub(super) fn find(&mut self, now: Timestamp, secret: &str) -> Option<Session> {
        self.tidy(now);
        let session = self.0.get_mut(&digest(secret))?;
        session.used = now;
        Some(session.clone())
    }

    /// The same for what goes on by itself, which keeps no session alive.
    pub(super) fn look(&mut self, now: Timestamp, secret: &str) -> Option<Session> {
        self.tidy(now);
        self.0.get(&digest(secret)).cloned()
    }

    /// Ends it.
    pub(super) fn end(&mut self, secret: &str) {
        self.0.remove(&digest(secret));
    }

    fn tidy(&mut self, now: Timestamp) {
        self.0.retain(|_, session| now.since(session.used) < IDLE && now.since(session.begun) < LONGEST);
    }
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Wrong passwords, by where they came from and for whom.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    wrong: HashMap<Whose, Wrong>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    From(IpAddr),
    For(String),
}

impl Whose {
    fn both(from: IpAddr, name: &str) -> [Self; 2] {
        [Self::From(network(from)), Self::For(name.to_owned())]
    }

    const fn allowed(&self) -> u32 {
        match self {
            Self::From(_) => TRIES_FROM,
            Self::For(_) => TRIES_FOR,
        }
    }
}

/// What one host has to itself: of IPv6 it is at least a /64.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    count: u32,
    last: Timestamp,
}

impl Attempts {
    /// How long somebody has to wait before the next password; `None`: not at all. Where so many are locked
    /// that a wrong one could not be remembered, whoever is new waits too.
    pub(super) fn wait(&mut self, now: Timestamp, from: IpAddr, name: &str) -> Option<Duration> {
        self.wrong.retain(|_, wrong| now.since(wrong.last) < LOCK);
        let whose = Whose::both(from, name);
        let locked = |(whose, wrong): &(&Whose, &Wrong)| wrong.count >= whose.allowed();
        let left = |(_, wrong): (_, &Wrong)| LOCK.saturating_sub(now.since(wrong.last));
        let own = self.wrong.iter().filter(|(known, _)| whose.contains(known)).filter(locked);
        own.map(left).max().or_else(|| {
            let new = whose.iter().filter(|one| !self.wrong.contains_key(*one)).count();
            let stay = self.wrong.iter().filter(|it| whose.contains(it.0) || locked(it)).count();
            let room = stay + new <= REMEMBERED_MAX;
            if room { None } else { self.wrong.iter().filter(locked).map(left).min() }
        })
    }

    /// A password was wrong of somebody who need not [`wait`](Self::wait). Whether that locks somebody out.
    pub(super) fn wrong(&mut self, now: Timestamp, from: IpAddr, name: &str) -> bool {
        let whose = Whose::both(from, name);
        let mut locked = false;
        for one in &whose {
            if self.wrong.len() >= REMEMBERED_MAX && !self.wrong.contains_key(one) {
                let open = self.wrong.iter().filter(|(known, wrong)| wrong.count < known.allowed());
                let open = open.filter(|(known, _)| !whose.contains(known));
                let oldest = open.min_by_key(|(_, wrong)| wrong.last).map(|(known, _)| known.clone());
                oldest.and_then(|oldest| self.wrong.remove(&oldest));
            }
            let wrong = self.wrong.entry(one.clone()).or_insert(Wrong { count: 0, last: now });
            (wrong.count, wrong.last) = (wrong.count.saturating_add(1), now);
            locked |= wrong.count == one.allowed();
        }
        locked
    }

    /// One was right: what was wrong from there, and for this account, is forgotten.
    pub(super) fn right(&mut self, from: IpAddr, name: &str) {
        for whose in Whose::both(from, name) {
            self.wrong.remove(&whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn from(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }

    #[test]
    fn a_session_ends_when_it_is_not_used_and_at_the_end_of_the_day() {
        let mut sessions = Sessions::default();
        sessions.begin(at(0), "a", "f".to_owned(), "anna", Role::View);
        let idle = IDLE.as_secs();
        assert_eq!(sessions.find(at(idle - 1), "a").unwrap().name, "anna");
        assert!(sessions.look(at(2 * idle - 2), "a").is_some());
        assert_eq!(sessions.find(at(2 * idle - 1), "a"), None, "looking on by itself is no use");
        sessions.begin(at(0), "b", "f".to_owned(), "anna", Role::View);
        let mut now = 0;
        while sessions.find(at(now), "b").is_some() {
            now += 60;
        }
        assert_eq!(now, LONGEST.as_secs());
        assert_eq!(sessions.find(at(now), "c"), None);
    }

    #[test]
    fn a_session_that_is_ended_is_over_and_there_are_never_too_many() {
        let mut sessions = Sessions::default();
        for number in 0..100 {
            sessions.begin(at(number), &number.to_string(), String::new(), "anna", Role::View);
        }
        assert_eq!(sessions.0.len(), SESSIONS_MAX);
        assert!(sessions.find(at(100), "99").is_some() && sessions.find(at(100), "1").is_none());
        sessions.end("99");
        assert!(sessions.find(at(100), "99").is_none());
    }

    #[test]
    fn an_address_is_locked_after_five_and_an_account_after_ten_from_anywhere() {
        let mut attempts = Attempts::default();
        for number in 1..=5 {
            assert_eq!(attempts.wait(at(0), from(1), "anna"), None);
            assert_eq!(attempts.wrong(at(0), from(1), "anna"), number == 5);
        }
        assert_eq!(attempts.wait(at(60), from(1), "ben"), Some(LOCK - Duration::from_secs(60)));
        assert_eq!(attempts.wait(at(60), from(2), "anna"), None, "another address may still try");
        for last in 2..=6 {
            attempts.wrong(at(60), from(last), "anna");
        }
        assert!(attempts.wait(at(61), from(9), "anna").is_some(), "ten in all");
        assert_eq!(attempts.wait(at(61 + LOCK.as_secs()), from(9), "anna"), None);
    }

    #[test]
    fn a_right_password_forgets_the_wrong_ones() {
        let mut attempts = Attempts::default();
        for _ in 0..4 {
            attempts.wrong(at(0), from(1), "anna");
        }
        attempts.right(from(1), "anna");
        attempts.wrong(at(0), from(1), "anna");
        assert_eq!(attempts.wait(at(0), from(1), "anna"), None);
    }

    /// As the door asks: whether it was judged, and was wrong.
    fn guess(attempts: &mut Attempts, now: u64, from: IpAddr, name: &str) -> bool {
        let judged = attempts.wait(at(now), from, name).is_none();
        if judged {
            attempts.wrong(at(now), from, name);
        }
        judged
    }

    #[test]
    fn a_flood_of_names_and_addresses_is_bounded_and_frees_nobody_who_is_locked() {
        let mut attempts = Attempts::default();
        for _ in 0..5 {
            assert!(guess(&mut attempts, 0, from(1), "anna"));
        }
        for number in 0..2000_u32 {
            guess(&mut attempts, 1, Ipv4Addr::from(number).into(), &format!("name {number}"));
        }
        assert_eq!(attempts.wrong.len(), REMEMBERED_MAX);
        assert!(attempts.wait(at(2), from(1), "x").is_some());
    }

    #[test]
    fn where_everything_remembered_is_locked_nobody_new_is_judged_until_one_is_free() {
        let mut attempts = Attempts::default();
        let network = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, number, 0, 0, 0, 1]);
        let judged = (0..1000)
            .flat_map(|number| [number; 5])
            .filter(|number| guess(&mut attempts, u64::from(*number) / 10, network(*number), "anna"));
        assert_eq!(judged.count(), 10, "the account is locked");
        let mut judged = 0;
        for number in 0..1000 {
            for name in 0..5 {
                judged += u32::from(guess(&mut attempts, 100, network(number), &format!("{number} {name}")));
            }
        }
        assert!(judged <= 5 * 256, "{judged} passwords were judged");
        assert_eq!(attempts.wrong.len(), REMEMBERED_MAX);
        assert!(attempts.wait(at(101), from(1), "ben").is_some(), "somebody new");
        assert_eq!(attempts.wait(at(100 + LOCK.as_secs()), from(1), "ben"), None);
    }

    #[test]
    fn an_ipv6_network_is_one_host_and_a_mapped_address_is_that_of_ipv4() {
        let mut attempts = Attempts::default();
        for last in 1..=5 {
            assert!(guess(&mut attempts, 0, [0x2001, 0xdb8, 0, 0, last, 0, 0, last].into(), "anna"));
            assert!(guess(&mut attempts, 0, Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into(), "ben"));
        }
        assert!(attempts.wait(at(0), [0x2001, 0xdb8, 0, 0, 9, 9, 9, 9].into(), "x").is_some());
        assert_eq!(attempts.wait(at(0), [0x2001, 0xdb8, 0, 1, 0, 0, 0, 1].into(), "x"), None);
        assert!(attempts.wait(at(0), from(1), "x").is_some());
        assert_eq!(attempts.wait(at(0), from(2), "x"), None);
    }
}
