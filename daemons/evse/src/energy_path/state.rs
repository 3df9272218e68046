//! The states, each with its data and its deadline, and the loop that moves between them.

use voltry_bus::{EvseState, EvseStatusCode};
use voltry_units::Timestamp;

use super::EnergyPath;
use super::cable_check::CableCheck;
use super::charging::Charging;
use super::pre_charge::PreCharge;
use super::safe::{Faulted, Shutdown, Starting};
use super::self_test::Checking;
use super::stopping::Stopping;
use super::waiting::{Connected, Finished, Parameters};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Starting(Starting),
    Available,
    Connected(Connected),
    Parameters(Parameters),
    CableCheck(CableCheck),
    PreCharge(PreCharge),
    Charging(Charging),
    Stopping(Stopping),
    Finished(Finished),
    Paused,
    Shutdown(Shutdown),
    Faulted(Faulted),
    Unavailable,
    /// Out of service, and checking itself.
    Checking(Checking),
}

impl Default for State {
    fn default() -> Self {
        Self::Starting(Starting::default())
    }
}

impl State {
    pub(super) fn name(&self) -> EvseState {
        match self {
            Self::Starting(_) => EvseState::Starting,
            Self::Available => EvseState::Available,
            Self::Connected(Connected { authorizing: true }) => EvseState::Authorizing,
            Self::Connected(Connected { authorizing: false }) => EvseState::Connected,
            Self::Parameters(_) => EvseState::Parameters,
            Self::CableCheck(_) => EvseState::CableCheck,
            Self::PreCharge(_) => EvseState::PreCharge,
            Self::Charging(_) => EvseState::Charging,
            Self::Stopping(_) => EvseState::Stopping,
            Self::Finished(_) => EvseState::Finished,
            Self::Paused => EvseState::Paused,
            Self::Shutdown(Shutdown { emergency: true, .. }) => EvseState::Emergency,
            Self::Shutdown(Shutdown { emergency: false, .. }) => EvseState::ErrorShutdown,
            Self::Faulted(_) => EvseState::Faulted,
            Self::Unavailable | Self::Checking(_) => EvseState::Unavailable,
        }
    }

    /// What the vehicle is told of it.
    pub(super) fn vehicle_status(&self) -> EvseStatusCode {
        match self {
            Self::Starting(_)
            | Self::Available
            | Self::Connected(_)
            | Self::Paused
            | Self::Unavailable
            | Self::Checking(_) => EvseStatusCode::NotReady,
            Self::Parameters(_) | Self::PreCharge(_) | Self::Charging(_) => EvseStatusCode::Ready,
            Self::CableCheck(_) => EvseStatusCode::IsolationMonitoringActive,
            Self::Stopping(stopping) if stopping.retest => EvseStatusCode::NotReady,
            Self::Stopping(_) | Self::Finished(_) => EvseStatusCode::Shutdown,
            Self::Shutdown(Shutdown { emergency: true, .. }) => EvseStatusCode::EmergencyShutdown,
            Self::Shutdown(Shutdown { emergency: false, .. }) | Self::Faulted(_) => {
                EvseStatusCode::Malfunction
            }
        }
    }

    /// When it must have been left, and why.
    pub(super) fn deadline(&self) -> Option<(Timestamp, &'static str)> {
        match self {
            Self::Starting(starting) => starting.deadline(),
            // Who has agreed waits for the vehicle, whose patience is its own.
            Self::Parameters(parameters) => {
                (!parameters.agreed).then_some((parameters.until, "authorization and permit"))
            }
            Self::CableCheck(check) => Some(check.deadline()),
            Self::PreCharge(pre_charge) => Some((pre_charge.until, "PreCharge")),
            Self::Stopping(stopping) => Some(stopping.deadline()),
            Self::Finished(finished) => finished.detach_at.map(|at| (at, "the vehicle's goodbye")),
            Self::Shutdown(shutdown) => Some(shutdown.deadline()),
            Self::Faulted(faulted) => faulted.deadline(),
            Self::Checking(checking) => Some(checking.deadline()),
            Self::Available | Self::Connected(_) | Self::Charging(_) | Self::Paused | Self::Unavailable => {
                None
            }
        }
    }
}

impl EnergyPath {
    /// Moves as far as this input allows. Each turn leaves a state or ends the loop, and the
    /// longest chain without a new measurement is shorter than the bound.
    pub(super) fn advance(&mut self, now: Timestamp) {
        const LONGEST_CHAIN: usize = 8;
        for _ in 0..LONGEST_CHAIN {
            let next = match self.state {
                State::Starting(starting) => self.starting(now, starting),
                State::Available => self.available(now),
                State::Connected(connected) => self.connected(now, connected),
                State::Parameters(parameters) => self.parameters(now, parameters),
                State::CableCheck(check) => self.cable_check(now, check),
                State::PreCharge(pre_charge) => self.pre_charge(now, pre_charge),
                State::Charging(charging) => self.charging(now, charging),
                State::Stopping(stopping) => self.stopping(now, stopping),
                State::Finished(finished) => self.finished(now, finished),
                State::Paused => self.paused(now),
                State::Shutdown(shutdown) => self.shutting_down(now, shutdown),
                State::Faulted(faulted) => self.faulted(now, faulted),
                State::Unavailable => self.unavailable(now),
                State::Checking(checking) => self.checking(now, checking),
            };
            if next == self.state {
                break;
            }
            self.state = next;
        }
    }
}
