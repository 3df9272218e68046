//! Hands power from one EVSE to another without ever promising it twice.
//!
//! An EVSE may use the highest permit that it may still hold: one that it was told and has not lost.
//! A lower one counts when the EVSE has confirmed it and had [`SETTLES`] for its current to fall, or
//! when the higher one has run out. Only what nobody may use any more is given to others:
//!
//! ```text
//!   share falls ─▶ lower permit sent ─▶ confirmed ─▶ SETTLES ─▶ its difference is free for others
//!                        └─ no answer ─▶ the higher one runs out (its time) ─┘
//! ```
//!
//! After a start nobody knows what the station before us promised. An EVSE is first told what it
//! draws, which it was surely allowed; when it has confirmed that, it is like any other.

use std::time::Duration;

use voltry_units::{Timestamp, Watts};

/// A permit holds for this long: charging goes on while the station restarts.
pub const VALID: Duration = Duration::from_secs(30);
/// Permits are renewed this often.
const RENEW: Duration = Duration::from_secs(5);
/// From an EVSE's confirmation to less current: its next step, the frame, and the modules' fall.
pub const SETTLES: Duration = Duration::from_millis(500);
/// An EVSE that has not confirmed within this time may not do so for long; what it may hold is taken
/// from the others' limit.
const STUCK: Duration = Duration::from_secs(1);
/// What an EVSE may hold ends so long after its daemon left the bus: by then its leases have lapsed
/// and its contactors are open.
const GONE: Duration = Duration::from_secs(2);
/// After a call that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// Permits that one EVSE may hold at once are kept apart up to this number.
const HELD: usize = 8;
/// A rise of less than this waits for the rest of it.
const STEP: Watts = Watts::new(500);

/// What an EVSE is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its share.
    pub share: Watts,
    /// What it draws; `None`: it may draw, and has not said yet how much.
    pub drawn: Option<Watts>,
    /// Whether it can be told anything.
    pub reachable: bool,
}

/// A permit to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Whose, by its place.
    pub place: usize,
    /// Watts.
    pub power: Watts,
    /// When it was decided; it holds for [`VALID`].
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    power: Watts,
    until: Timestamp,
}

/// One EVSE.
#[derive(Debug, Clone, Default)]
struct Line {
    /// What it may hold, the newest last.
    held: Vec<Held>,
    /// Until when it may hold something that nobody knows.
    unknown_until: Option<Timestamp>,
    /// The newest is on its way, since then.
    asked: Option<Timestamp>,
    /// The newest is confirmed.
    confirmed: bool,
    /// The last call failed.
    failed: bool,
    /// Not before then is anything sent.
    after: Timestamp,
    sent: Timestamp,
}

impl Line {
    fn is_unknown(&self, now: Timestamp) -> bool {
        self.unknown_until.is_some_and(|until| now < until)
    }

    /// The most that it may hold.
    fn exposure(&self, now: Timestamp) -> Watts {
        if self.is_unknown(now) {
            return Watts::MAX;
        }
        let held = self.held.iter().filter(|held| now < held.until).map(|held| held.power);
        held.max().unwrap_or(Watts::ZERO)
    }

    fn newest(&self, now: Timestamp) -> Option<Watts> {
        self.held.last().filter(|held| now < held.until).map(|held| held.power)
    }

    fn hold(&mut self, now: Timestamp, power: Watts) {
        self.held.retain(|held| now < held.until);
        if self.held.len() >= HELD {
            let first = self.held.remove(0);
            self.held[0].power = self.held[0].power.max(first.power);
            self.held[0].until = self.held[0].until.max(first.until);
        }
        self.held.push(Held { power, until: now + VALID });
        (self.asked, self.confirmed, self.sent) = (Some(now), false, now);
    }

    fn is_due(&self, now: Timestamp, power: Watts) -> bool {
        !self.confirmed || self.newest(now) != Some(power) || now.since(self.sent) >= RENEW
    }
}

/// The permits of all EVSEs, by their places.
#[derive(Debug, Clone)]
pub struct Permits(Vec<Line>);

impl Permits {
    /// Of so many EVSEs, each of which may hold what a station before us gave it.
    #[must_use]
    pub fn after_start(now: Timestamp, evses: usize) -> Self {
        Self(vec![Line { unknown_until: Some(now + VALID), ..Line::default() }; evses])
    }

    /// What an EVSE was told last, as long as it holds.
    #[must_use]
    pub fn granted(&self, now: Timestamp, place: usize) -> Watts {
        self.0[place].newest(now).unwrap_or(Watts::ZERO)
    }

    /// Whether an EVSE has confirmed a permit, and none is on its way.
    #[must_use]
    pub fn is_settled(&self, place: usize) -> bool {
        self.0[place].confirmed
    }

    /// The most that an EVSE may hold; [`Watts::MAX`]: nobody knows.
    #[must_use]
    pub fn exposure(&self, now: Timestamp, place: usize) -> Watts {
        self.0[place].exposure(now)
    }

    /// What an EVSE that does not confirm may hold; the others share without it.
    #[must_use]
    pub fn stuck(&self, now: Timestamp, place: usize) -> Option<Watts> {
        let line = &self.0[place];
        let known = !line.is_unknown(now);
        let waits = line.failed || line.asked.is_some_and(|asked| now.since(asked) >= STUCK);
        (known && waits && !line.confirmed).then(|| line.exposure(now)).filter(|held| *held > Watts::ZERO)
    }

    /// What is to be sent now, so that the permits that may be held sum to no more than `limit`.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, limit: Watts, targets: &[Target]) -> Vec<Order> {
        let mut total: Watts = self.0.iter().map(|line| line.exposure(now)).sum();
        let mut orders = Vec::new();
        for (place, (line, target)) in self.0.iter_mut().zip(targets).enumerate() {
            if !target.reachable || line.asked.is_some() || now < line.after {
                continue;
            }
            let exposure = line.exposure(now);
            let power = if line.is_unknown(now) {
                // Before it has said it, whatever it is told might be less than it was allowed and draws.
                let Some(drawn) = target.drawn else { continue };
                target.share.min(drawn)
            } else {
                target.share.min(exposure + (limit - total).max(Watts::ZERO))
            };
            let newest = line.newest(now).unwrap_or(Watts::ZERO);
            let trickles = power > newest && power < target.share && power - newest < STEP;
            let power = if trickles { newest } else { power };
            if !line.is_due(now, power) {
                continue;
            }
            if !line.is_unknown(now) {
                total += (power - exposure).max(Watts::ZERO);
            }
            line.hold(now, power);
            orders.push(Order { place, power, at: now });
        }
        orders
    }

    /// What became of the permit that was sent to an EVSE last.
    pub fn answered(&mut self, now: Timestamp, place: usize, taken: bool) {
        let line = &mut self.0[place];
        (line.asked, line.failed) = (None, !taken);
        if !taken {
            // It may have been taken all the same: the answer may be what was lost.
            line.after = now + AGAIN;
            return;
        }
        (line.confirmed, line.unknown_until) = (true, None);
        if let Some((_, older)) = line.held.split_last_mut() {
            for held in older {
                held.until = held.until.min(now + SETTLES);
            }
        }
    }

    /// An EVSE's daemon left the bus, or was not there.
    pub fn lost(&mut self, now: Timestamp, place: usize) {
        let line = &mut self.0[place];
        line.unknown_until = line.unknown_until.map(|until| until.min(now + GONE));
        line.confirmed = false;
        for held in &mut line.held {
            held.until = held.until.min(now + GONE);
        }
    }

    /// An EVSE is to be told again what it was told.
    pub fn repeat(&mut self, place: usize) {
        self.0[place].confirmed = false;
    }

    /// When something changes by itself.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let times = self.0.iter().flat_map(|line| {
            let ends = line.held.iter().rev().skip(1).map(|held| held.until);
            let stuck = line.asked.map(|asked| asked + STUCK);
            ends.chain(line.unknown_until).chain(stuck).chain((!line.confirmed).then_some(line.after))
        });
        times.filter(|time| *time > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + milliseconds * 1000)
    }

    fn kilowatts(kilowatts: i32) -> Watts {
        Watts::new(kilowatts * 1000)
    }

    fn step(permits: &mut Permits, ms: u64, limit: i32, shares: &[i32]) -> Vec<(usize, i64)> {
        let target =
            |share: &i32| Target { share: kilowatts(*share), drawn: Some(Watts::ZERO), reachable: true };
        let targets: Vec<_> = shares.iter().map(target).collect();
        let orders = permits.step(at(ms), kilowatts(limit), &targets);
        orders.into_iter().map(|order| (order.place, order.power.as_milli() / 1_000_000)).collect()
    }

    /// Two EVSEs that were told 100 and 50 kW of 150, and confirmed it.
    fn two() -> Permits {
        let mut permits = Permits::after_start(at(0), 2);
        assert_eq!(step(&mut permits, 0, 150, &[100, 50]), [(0, 0), (1, 0)]);
        permits.answered(at(1), 0, true);
        permits.answered(at(1), 1, true);
        assert_eq!(step(&mut permits, 2, 150, &[100, 50]), [(0, 100), (1, 50)]);
        permits.answered(at(3), 0, true);
        permits.answered(at(3), 1, true);
        permits
    }

    #[test]
    fn one_is_lowered_and_has_had_its_time_before_the_other_is_raised() {
        let mut permits = two();
        assert_eq!(step(&mut permits, 1000, 150, &[50, 100]), [(0, 50)]);
        assert_eq!(step(&mut permits, 1100, 150, &[50, 100]), [], "it has not confirmed");
        permits.answered(at(1200), 0, true);
        assert_eq!(step(&mut permits, 1699, 150, &[50, 100]), [], "its current falls");
        assert_eq!(permits.next(at(1699)), Some(at(1700)));
        assert_eq!(step(&mut permits, 1700, 150, &[50, 100]), [(1, 100)]);
    }

    #[test]
    fn one_that_never_confirms_keeps_what_it_had_until_that_runs_out() {
        let mut permits = two();
        assert_eq!(step(&mut permits, 1000, 150, &[50, 100]), [(0, 50)]);
        permits.answered(at(6000), 0, false);
        assert_eq!(permits.stuck(at(6000), 0), Some(kilowatts(100)));
        assert_eq!(step(&mut permits, 6500, 150, &[50, 100]), [(1, 50)], "renewed, not raised");
        permits.answered(at(6501), 1, true);
        assert_eq!(step(&mut permits, 7000, 150, &[50, 100]), [(0, 50)], "told again");
        permits.answered(at(12_000), 0, false);
        let at_last = step(&mut permits, 30_003, 150, &[50, 100]);
        assert_eq!(at_last, [(0, 50), (1, 100)], "its 100 kW ran out 30 s after they were sent");
    }

    #[test]
    fn one_that_left_the_bus_holds_nothing_when_its_leases_have_lapsed() {
        let mut permits = two();
        permits.lost(at(1000), 0);
        let gone = Target { share: Watts::ZERO, drawn: Some(Watts::ZERO), reachable: false };
        let other = Target { share: kilowatts(150), drawn: Some(Watts::ZERO), reachable: true };
        assert_eq!(permits.step(at(2999), kilowatts(150), &[gone, other]), []);
        let orders = permits.step(at(3000), kilowatts(150), &[gone, other]);
        assert_eq!((orders.len(), orders[0].power), (1, kilowatts(150)));
    }

    #[test]
    fn after_a_start_nobody_is_raised_before_each_said_what_it_has() {
        let mut permits = Permits::after_start(at(0), 2);
        let target =
            |share, drawn| Target { share: kilowatts(share), drawn: Some(kilowatts(drawn)), reachable: true };
        let targets = [target(75, 90), target(75, 40)];
        let first = permits.step(at(0), kilowatts(150), &targets);
        assert_eq!(first.iter().map(|order| order.power).collect::<Vec<_>>(), [kilowatts(75), kilowatts(40)]);
        permits.answered(at(1), 1, true);
        assert_eq!(permits.step(at(2), kilowatts(150), &targets), []);
        permits.answered(at(3), 0, true);
        let then = permits.step(at(4), kilowatts(150), &targets);
        assert_eq!((then.len(), then[0].place, then[0].power), (1, 1, kilowatts(75)));
    }

    /// A station that was started anew knows of the session before it knows what flows in it: a permit of nothing
    /// would end the current that the one before had allowed.
    #[test]
    fn an_evse_that_may_draw_is_told_nothing_before_it_says_how_much() {
        let mut permits = Permits::after_start(at(0), 1);
        let target = |drawn| [Target { share: kilowatts(75), drawn, reachable: true }];
        assert_eq!(permits.step(at(0), kilowatts(150), &target(None)), []);
        let told = permits.step(at(400), kilowatts(150), &target(Some(kilowatts(60))));
        assert_eq!((told.len(), told[0].power), (1, kilowatts(60)));
        // One that never says it has lost what the station before us gave it, too.
        let mut permits = Permits::after_start(at(0), 1);
        assert_eq!(permits.step(at(29_999), kilowatts(150), &target(None)), []);
        let told = permits.step(at(30_000), kilowatts(150), &target(None));
        assert_eq!((told.len(), told[0].power), (1, kilowatts(75)));
    }

    #[test]
    fn permits_are_renewed_before_they_run_out() {
        let mut permits = two();
        assert_eq!(step(&mut permits, 4_000, 150, &[100, 50]), []);
        assert_eq!(step(&mut permits, 5_002, 150, &[100, 50]), [(0, 100), (1, 50)]);
    }
}
