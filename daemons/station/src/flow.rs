//! Whether current flows in a transaction, and if not, who does not want it. Pure.

use std::time::Duration;

use voltry_bus::{EventKind, EvseState};
use voltry_units::{Timestamp, Watts};

/// A pause counts when it has lasted so long: a vehicle that balances its cells must not fill the book.
const PAUSE: Duration = Duration::from_secs(5);

/// Less than this is no current.
const AMPERES: f64 = 1.0;

/// What is seen of an EVSE with an open transaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Where the EVSE stands.
    pub state: EvseState,
    /// Amperes that flow; negative from the vehicle.
    pub current: f64,
    /// Amperes that the vehicle wants; negative from it.
    pub wanted: f64,
    /// Watts that it may have.
    pub offered: Watts,
}

impl Seen {
    fn flow(&self) -> Option<EventKind> {
        match self.state {
            EvseState::Charging if self.current.abs() >= AMPERES => Some(EventKind::Charging),
            EvseState::Charging if self.offered <= Watts::ZERO => Some(EventKind::SuspendedEvse),
            EvseState::Charging if self.wanted.abs() < AMPERES => Some(EventKind::SuspendedEv),
            EvseState::Paused => Some(EventKind::SuspendedEv),
            // On its way: the current rises, or nothing can flow yet or any more.
            EvseState::Charging
            | EvseState::Starting
            | EvseState::Available
            | EvseState::Connected
            | EvseState::Authorizing
            | EvseState::Parameters
            | EvseState::CableCheck
            | EvseState::PreCharge
            | EvseState::Stopping
            | EvseState::Finished
            | EvseState::ErrorShutdown
            | EvseState::Emergency
            | EvseState::Faulted
            | EvseState::Unavailable => None,
        }
    }
}

/// What was told of the present transaction's flow, and what may have to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowWatch {
    told: Option<EventKind>,
    /// A pause that is not old enough yet, and when it began.
    pause: Option<(EventKind, Timestamp)>,
}

impl FlowWatch {
    /// What is told of the flow: [`EventKind::Charging`], or one of the suspensions.
    #[must_use]
    pub const fn told(&self) -> Option<EventKind> {
        self.told
    }

    /// The news, if there is any.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, seen: Seen) -> Option<EventKind> {
        let flow = seen.flow()?;
        if self.told == Some(flow) {
            self.pause = None;
            return None;
        }
        if flow != EventKind::Charging {
            let since = self.pause.filter(|(kind, _)| *kind == flow).map_or(now, |(_, since)| since);
            self.pause = Some((flow, since));
            if now.since(since) < PAUSE {
                return None;
            }
        }
        *self = Self { told: Some(flow), pause: None };
        Some(flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOWS: Seen = Seen { state: EvseState::Charging, current: 50.0, wanted: 50.0, offered: Watts::MAX };
    const UNWANTED: Seen = Seen { current: 0.0, wanted: 0.0, ..FLOWS };
    const NOT_GIVEN: Seen = Seen { current: 0.0, offered: Watts::ZERO, ..FLOWS };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn current_is_told_at_once_and_once() {
        let mut watch = FlowWatch::default();
        assert_eq!(watch.step(at(1), FLOWS), Some(EventKind::Charging));
        assert_eq!(watch.step(at(2), FLOWS), None);
    }

    #[test]
    fn a_current_from_the_vehicle_is_no_pause() {
        let back = Seen { current: -20.0, wanted: -20.0, ..FLOWS };
        assert_eq!(FlowWatch::default().step(at(1), back), Some(EventKind::Charging));
        let mut rising = FlowWatch::default();
        assert!((0..60).all(|second| rising.step(at(second), Seen { current: 0.0, ..back }).is_none()));
    }

    #[test]
    fn a_pause_is_told_when_it_has_lasted_and_by_whose_will_it_is() {
        for (seen, kind) in [(UNWANTED, EventKind::SuspendedEv), (NOT_GIVEN, EventKind::SuspendedEvse)] {
            let mut watch = FlowWatch::default();
            let _ = watch.step(at(1), FLOWS);
            assert_eq!(watch.step(at(2), seen), None);
            assert_eq!(watch.step(at(6), seen), None);
            assert_eq!(watch.step(at(7), seen), Some(kind));
            assert_eq!(watch.step(at(20), seen), None);
            assert_eq!(watch.step(at(21), FLOWS), Some(EventKind::Charging));
        }
    }

    #[test]
    fn a_current_that_comes_and_goes_is_no_pause() {
        let mut watch = FlowWatch::default();
        let _ = watch.step(at(0), FLOWS);
        for second in (1..60).step_by(2) {
            assert_eq!(watch.step(at(second), UNWANTED), None);
            assert_eq!(watch.step(at(second + 1), FLOWS), None);
        }
    }

    #[test]
    fn what_rises_or_shuts_down_is_neither() {
        let mut watch = FlowWatch::default();
        let rising = Seen { current: 0.0, ..FLOWS };
        let stopping = Seen { state: EvseState::Stopping, ..UNWANTED };
        for second in 0..60 {
            assert_eq!(watch.step(at(second), rising), None);
            assert_eq!(watch.step(at(second), stopping), None);
        }
    }

    #[test]
    fn a_paused_session_is_the_vehicles_will() {
        let mut watch = FlowWatch::default();
        let paused = Seen { state: EvseState::Paused, ..UNWANTED };
        assert_eq!(watch.step(at(0), paused), None);
        assert_eq!(watch.step(at(5), paused), Some(EventKind::SuspendedEv));
    }
}
