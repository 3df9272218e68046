//! When to dial, and which profile.
//!
//! ```text
//!            start, hurry                 opened
//!   Waiting ─────────────▶ Dialling ──────────────▶ Open
//!      ▲     time is up       │ failed               │ lost
//!      └──────────────────────┴──────────────────────┘
//! ```
//!
//! The wait before each dial but the first is that of OCPP 2.0.1 part 4, 5.3 (and of the
//! variables in part 2): RetryBackOffWaitMinimum and a random time up to RetryBackOffRandomRange;
//! then, RetryBackOffRepeatTimes times, twice the wait before and a new random time; then always
//! that last wait. It begins anew once a connection held.
//!
//! Profiles are tried in the order of their priority, each so many times, then the one that last
//! led to a CSMS if it is none of them, then all of them again. A connection that is lost is
//! dialled again by its own profile first.

use std::time::Duration;

use voltry_units::Timestamp;

/// A configuration slot: what names a profile.
pub type Slot = u16;

/// The shortest and the longest wait, whatever the variables say: a CSMS may write 0 into both.
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// The variables of OCPP that say how often is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedialTimes {
    /// RetryBackOffWaitMinimum.
    pub wait_minimum: Duration,
    /// RetryBackOffRandomRange.
    pub random_range: Duration,
    /// RetryBackOffRepeatTimes: how often the wait is doubled.
    pub repeat_times: u32,
    /// NetworkProfileConnectionAttempts: dials of a profile before the next is tried. 0 is 1.
    pub attempts: u32,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The dial that was asked for came to nothing.
    Failed,
    /// The dial that was asked for led to an open WebSocket.
    Opened,
    /// The CSMS accepted this station over the open connection: the profile is a good one.
    Proven,
    /// The open connection is gone.
    Lost,
    /// Dial without waiting, from the first profile; an open connection was closed for it.
    Restart,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Dial this profile, and say what came of it.
    Dial(Slot),
    /// Nothing before this instant; then a [`Input::Tick`].
    Wait(Timestamp),
    /// Nothing, until something happens.
    Nothing,
}

/// The decision which profile to dial, and when.
#[derive(Debug)]
pub struct Redial {
    times: RedialTimes,
    /// In the order of priority; never empty.
    slots: Vec<Slot>,
    good: Option<Slot>,
    current: Slot,
    /// Dials of the current profile since it last held.
    failures: u32,
    waits: u32,
    wait: Duration,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting { until: Timestamp },
    Dialling,
    Open { since: Timestamp, proven: bool },
}

impl Redial {
    /// The first dial is due at once. `None` without a profile. `good`: the profile that last led
    /// to a CSMS.
    #[must_use]
    pub fn new(slots: Vec<Slot>, good: Option<Slot>, times: RedialTimes) -> Option<Self> {
        let current = *slots.first()?;
        let state = State::Waiting { until: Timestamp::BOOT };
        Some(Self { times, slots, good, current, failures: 0, waits: 0, wait: Duration::ZERO, state })
    }

    /// The profile that last led to a CSMS.
    #[must_use]
    pub const fn good(&self) -> Option<Slot> {
        self.good
    }

    /// Takes other variables; they count from the next wait on.
    pub const fn set_times(&mut self, times: RedialTimes) {
        self.times = times;
    }

    /// Takes another list of profiles. An open connection stays; what is dialled next is one of
    /// the list, or the good one, which is another where `good` says so.
    pub fn set_slots(&mut self, slots: Vec<Slot>, good: Option<Slot>) {
        self.good = good.or(self.good);
        if let Some(first) = slots.first() {
            let first = *first;
            self.slots = slots;
            if !self.sequence().any(|slot| slot == self.current) {
                (self.current, self.failures) = (first, 0);
            }
        }
    }

    /// Decides. `random` is a fresh random number each time.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, input: Input, random: u32) -> Action {
        match (self.state, input) {
            (State::Waiting { until }, Input::Tick) if until <= now => {
                self.state = State::Dialling;
                Action::Dial(self.current)
            }
            (State::Dialling, Input::Failed) => self.failed(now, random),
            (State::Dialling, Input::Opened) => {
                self.state = State::Open { since: now, proven: false };
                Action::Nothing
            }
            (State::Open { since, .. }, Input::Proven) => {
                self.good = Some(self.current);
                self.state = State::Open { since, proven: true };
                Action::Nothing
            }
            // A CSMS that hangs up at once is none, and must not be dialled at the shortest wait for ever.
            (State::Open { since, proven: false }, Input::Lost)
                if now.since(since) < self.times.wait_minimum =>
            {
                self.failed(now, random)
            }
            (State::Open { .. }, Input::Lost) => {
                (self.failures, self.waits) = (0, 0);
                self.wait(now, random)
            }
            (_, Input::Restart) => {
                (self.failures, self.waits) = (0, 0);
                self.current = self.slots.first().copied().unwrap_or(self.current);
                self.state = State::Dialling;
                Action::Dial(self.current)
            }
            (State::Waiting { until }, _) => Action::Wait(until),
            (State::Dialling, Input::Tick | Input::Proven | Input::Lost)
            | (State::Open { .. }, Input::Tick | Input::Failed | Input::Opened) => Action::Nothing,
        }
    }

    fn failed(&mut self, now: Timestamp, random: u32) -> Action {
        self.failures += 1;
        if self.failures >= self.times.attempts {
            self.failures = 0;
            let after = self.sequence().skip_while(|slot| *slot != self.current).nth(1);
            self.current = after.or_else(|| self.sequence().next()).unwrap_or(self.current);
        }
        self.wait(now, random)
    }

    /// Each profile once, in the order in which they are tried.
    fn sequence(&self) -> impl Iterator<Item = Slot> {
        let good = self.good.filter(|good| !self.slots.contains(good));
        self.slots.iter().copied().chain(good)
    }

    fn wait(&mut self, now: Timestamp, random: u32) -> Action {
        let range = u64::try_from(self.times.random_range.as_millis()).unwrap_or(u64::MAX);
        let jitter = (u128::from(random) * (u128::from(range) + 1)) >> u32::BITS;
        let jitter = Duration::from_millis(u64::try_from(jitter).unwrap_or(range));
        if self.waits == 0 {
            self.wait = self.times.wait_minimum.saturating_add(jitter);
        } else if self.waits <= self.times.repeat_times {
            self.wait = self.wait.saturating_mul(2).saturating_add(jitter);
        }
        self.wait = self.wait.clamp(WAIT_MIN, WAIT_MAX);
        self.waits = self.waits.saturating_add(1);
        let until = now + self.wait;
        self.state = State::Waiting { until };
        Action::Wait(until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIMES: RedialTimes = RedialTimes {
        wait_minimum: Duration::from_secs(10),
        random_range: Duration::from_secs(4),
        repeat_times: 2,
        attempts: 2,
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn redial(slots: &[Slot], good: Option<Slot>) -> Redial {
        Redial::new(slots.to_vec(), good, TIMES).unwrap()
    }

    /// Lets every dial fail: the profile of each, and the seconds waited before it.
    fn failing(redial: &mut Redial, dials: usize, random: u32) -> Vec<(Slot, u64)> {
        let mut now = at(100);
        let mut waited = 0;
        let mut seen = Vec::new();
        let mut action = redial.step(now, Input::Tick, random);
        while seen.len() < dials {
            action = match action {
                Action::Dial(slot) => {
                    seen.push((slot, waited));
                    redial.step(now, Input::Failed, random)
                }
                Action::Wait(until) => {
                    waited = until.since(now).as_secs();
                    assert_eq!(redial.step(until - Duration::from_millis(1), Input::Tick, random), action);
                    now = until;
                    redial.step(now, Input::Tick, random)
                }
                Action::Nothing => panic!("stuck"),
            }
        }
        seen
    }

    #[test]
    fn waits_double_as_often_as_they_should_and_then_stay() {
        let waits = |random| failing(&mut redial(&[1], None), 6, random).into_iter().map(|(_, wait)| wait);
        assert_eq!(waits(0).collect::<Vec<_>>(), [0, 10, 20, 40, 40, 40]);
        // With all of the random range: 10+4, 14·2+4, 32·2+4.
        assert_eq!(waits(u32::MAX).collect::<Vec<_>>(), [0, 14, 32, 68, 68, 68]);
    }

    #[test]
    fn variables_of_0_do_not_make_it_dial_without_end() {
        let times = RedialTimes { wait_minimum: Duration::ZERO, random_range: Duration::ZERO, ..TIMES };
        let mut redial = Redial::new(vec![1], None, times).unwrap();
        let _ = redial.step(at(0), Input::Tick, 0);
        assert_eq!(redial.step(at(0), Input::Failed, 0), Action::Wait(at(0) + WAIT_MIN));
    }

    #[test]
    fn each_profile_has_its_attempts_and_then_the_next_and_the_first_again() {
        let slots = |slots: &[Slot], good| {
            let seen = failing(&mut redial(slots, good), 8, 0);
            seen.into_iter().map(|(slot, _)| slot).collect::<Vec<_>>()
        };
        assert_eq!(slots(&[3, 1], None), [3, 3, 1, 1, 3, 3, 1, 1]);
        assert_eq!(slots(&[3, 1], Some(1)), [3, 3, 1, 1, 3, 3, 1, 1]);
        assert_eq!(
            slots(&[3], Some(7)),
            [3, 3, 7, 7, 3, 3, 7, 7],
            "the last good one though it is not listed"
        );
    }

    #[test]
    fn a_lost_connection_is_dialled_again_by_its_own_profile_after_a_wait() {
        let mut redial = redial(&[1, 2], None);
        let _ = failing(&mut redial, 3, 0);
        let mut now = at(1_000);
        assert_eq!(redial.step(now, Input::Tick, 0), Action::Dial(2));
        assert_eq!(redial.step(now, Input::Opened, 0), Action::Nothing);
        assert_eq!(redial.step(now, Input::Proven, 0), Action::Nothing);
        assert_eq!(redial.good(), Some(2));
        assert_eq!(
            redial.step(now, Input::Lost, 0),
            Action::Wait(now + TIMES.wait_minimum),
            "from the start"
        );
        now = now + TIMES.wait_minimum;
        assert_eq!(redial.step(now, Input::Tick, 0), Action::Dial(2));
    }

    #[test]
    fn a_csms_that_hangs_up_at_once_counts_as_a_failure() {
        let mut redial = redial(&[1, 2], None);
        let (mut now, mut seen) = (at(0), Vec::new());
        while seen.len() < 4 {
            match redial.step(now, Input::Tick, 0) {
                Action::Dial(slot) => {
                    seen.push(slot);
                    let _ = redial.step(now, Input::Opened, 0);
                    let _ = redial.step(now + Duration::from_secs(9), Input::Lost, 0);
                }
                Action::Wait(until) => now = until,
                Action::Nothing => panic!("stuck"),
            }
        }
        assert_eq!(seen, [1, 1, 2, 2]);
        // One that held a while is not.
        let _ = redial.step(at(900), Input::Tick, 0);
        let _ = redial.step(at(900), Input::Opened, 0);
        assert_eq!(redial.step(at(910), Input::Lost, 0), Action::Wait(at(920)));
    }

    #[test]
    fn a_restart_dials_the_first_profile_at_once() {
        let mut redial = redial(&[1, 2], None);
        let _ = failing(&mut redial, 5, 0);
        assert_eq!(redial.step(at(500), Input::Restart, 0), Action::Dial(1));
        let _ = redial.step(at(500), Input::Opened, 0);
        redial.set_slots(vec![2, 1], None);
        assert_eq!(redial.step(at(501), Input::Restart, 0), Action::Dial(2));
    }

    #[test]
    fn a_profile_that_is_taken_away_is_not_dialled_again() {
        let mut redial = redial(&[1, 2], None);
        assert_eq!(redial.step(at(0), Input::Tick, 0), Action::Dial(1));
        redial.set_slots(vec![2], None);
        let _ = redial.step(at(0), Input::Failed, 0);
        assert_eq!(redial.step(at(10), Input::Tick, 0), Action::Dial(2));
        redial.set_slots(Vec::new(), None);
        assert_eq!(redial.slots, [2], "without any there would be no way back");
    }

    fn input() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(Input::Tick),
            Just(Input::Failed),
            Just(Input::Opened),
            Just(Input::Proven),
            Just(Input::Lost),
            Just(Input::Restart),
        ]
    }

    proptest! {
        #[test]
        fn whatever_happens_each_dial_but_a_restart_follows_a_whole_wait(
            inputs in proptest::collection::vec((input(), 0_u64..40, any::<u32>()), 0..200),
        ) {
            let mut redial = redial(&[1, 2, 3], Some(9));
            let (mut now, mut left) = (at(1), None);
            for (input, seconds, random) in inputs {
                now = now + Duration::from_secs(seconds);
                let before = redial.state;
                match redial.step(now, input, random) {
                    Action::Dial(slot) => {
                        prop_assert!([1, 2, 3, 9].contains(&slot));
                        let waited = left.is_none_or(|left| now.since(left) >= TIMES.wait_minimum);
                        prop_assert!(waited || input == Input::Restart);
                        left = Some(now);
                    }
                    Action::Wait(until) => {
                        let longest = Duration::from_secs(10 * 4 + 4 * 7);
                        prop_assert!(until.since(now) <= longest);
                        if !matches!(before, State::Waiting { .. }) { left = Some(now); }
                    }
                    Action::Nothing => {}
                }
            }
        }
    }
}
