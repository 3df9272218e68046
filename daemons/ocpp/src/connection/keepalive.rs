//! Whether the peer is still there.

use std::time::Duration;

use voltry_units::Timestamp;

/// The times of a keepalive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveTimes {
    /// WebSocketPingInterval. `None`: no pings; then only TCP finds out.
    pub interval: Option<Duration>,
    /// How long anything at all of the peer is waited for after a ping.
    pub timeout: Duration,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Send a ping.
    Ping,
    /// The peer is gone: close, and dial again.
    Dead,
    /// Nothing yet.
    Nothing,
}

/// Pings at their interval, and a peer that answers none of them found dead.
#[derive(Debug)]
pub struct Keepalive {
    times: KeepaliveTimes,
    ping_at: Option<Timestamp>,
    dead_at: Option<Timestamp>,
}

impl Keepalive {
    /// Of a connection that opened now.
    #[must_use]
    pub fn new(now: Timestamp, times: KeepaliveTimes) -> Self {
        Self { times, ping_at: times.interval.map(|interval| now + interval), dead_at: None }
    }

    /// Takes other times; the next ping counts from now.
    pub fn set_times(&mut self, now: Timestamp, times: KeepaliveTimes) {
        *self = Self { dead_at: self.dead_at, ..Self::new(now, times) };
    }

    /// Something of the peer came: pong, ping or message.
    pub const fn heard(&mut self) {
        self.dead_at = None;
    }

    /// What is due.
    #[must_use]
    pub fn due(&mut self, now: Timestamp) -> Due {
        if self.dead_at.is_some_and(|at| at <= now) {
            return Due::Dead;
        }
        if self.ping_at.is_some_and(|at| at <= now) {
            self.ping_at = self.times.interval.map(|interval| now + interval);
            // The first ping that is not answered counts, however often one is sent.
            self.dead_at = self.dead_at.or(Some(now + self.times.timeout));
            return Due::Ping;
        }
        Due::Nothing
    }

    /// When something is due next.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        [self.ping_at, self.dead_at].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn keepalive(interval: u64, timeout: u64) -> Keepalive {
        let times = KeepaliveTimes {
            interval: (interval > 0).then_some(Duration::from_secs(interval)),
            timeout: Duration::from_secs(timeout),
        };
        Keepalive::new(at(0), times)
    }

    #[test]
    fn a_peer_that_answers_is_pinged_at_the_interval_for_ever() {
        let mut keepalive = keepalive(60, 20);
        for minute in 1..100 {
            assert_eq!(keepalive.due(at(minute * 60 - 1)), Due::Nothing);
            assert_eq!(keepalive.deadline(), Some(at(minute * 60)));
            assert_eq!(keepalive.due(at(minute * 60)), Due::Ping);
            assert_eq!(keepalive.deadline(), Some(at(minute * 60 + 20)));
            keepalive.heard();
        }
    }

    #[test]
    fn a_peer_that_does_not_answer_is_dead_after_the_first_ping_however_many_follow() {
        let mut keepalive = keepalive(5, 20);
        let due: Vec<_> = (1..=25).map(|second| keepalive.due(at(second))).collect();
        assert_eq!(due.iter().filter(|due| **due == Due::Ping).count(), 4);
        assert_eq!(due.iter().position(|due| *due == Due::Dead), Some(24), "20 s after the ping of second 5");
    }

    #[test]
    fn without_an_interval_there_are_no_pings() {
        let mut keepalive = keepalive(0, 20);
        assert_eq!((keepalive.deadline(), keepalive.due(at(1_000_000))), (None, Due::Nothing));
        keepalive.set_times(
            at(7),
            KeepaliveTimes { interval: Some(Duration::from_secs(3)), timeout: Duration::ZERO },
        );
        assert_eq!(keepalive.deadline(), Some(at(10)));
    }
}
