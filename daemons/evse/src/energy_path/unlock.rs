//! The plug's lock, opened because somebody asks for it (OCPP's UnlockConnector, a technician). The plug of a cable
//! that is live, or may become so, stays locked: whoever asks ends the session first.

use std::fmt;
use std::time::Duration;

use voltry_bus::{Authorization, Lock};
use voltry_units::Timestamp;

use super::EnergyPath;
use super::action::Report;
use super::state::State;

/// A lock's motor has done within this time; guessed, the slowest that is known takes 0.6 s.
const MOTOR: Duration = Duration::from_secs(5);

/// Why the plug stays locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaysLocked {
    /// This EVSE has no lock.
    NoLock,
    /// The session may charge.
    MayCharge,
    /// Something may be energised, by what is commanded or by what is not measured freshly.
    NotSafe,
    /// It was driven, and its feedback does not say that it is open.
    Stuck,
}

impl fmt::Display for StaysLocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLock => "the cable is fixed to the station: only the vehicle holds the plug",
            Self::MayCharge => "a session may charge: stop it first",
            Self::NotSafe => "it is not measured that the cable is dead and its contactors open",
            Self::Stuck => "the lock does not open",
        })
    }
}

/// The lock is being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unlocking {
    since: Timestamp,
}

impl EnergyPath {
    /// Somebody wants the plug.
    pub(super) fn ask_to_unlock(&mut self, now: Timestamp) {
        match self.may_unlock(now) {
            Ok(()) => {
                self.unlocking = Some(Unlocking { since: now });
                self.outputs.order_lock(false);
            }
            Err(why) => self.outputs.report(Report::Unlock(Err(why))),
        }
    }

    fn may_unlock(&self, now: Timestamp) -> Result<(), StaysLocked> {
        if !self.installation.has_lock {
            return Err(StaysLocked::NoLock);
        }
        let granted = self.session.is_some_and(|session| {
            session.authorization == Authorization::Granted && session.ended_at.is_none()
        });
        if granted {
            return Err(StaysLocked::MayCharge);
        }
        let rests = match self.state {
            State::Available
            | State::Connected(_)
            | State::Finished(_)
            | State::Faulted(_)
            | State::Unavailable => true,
            State::Starting(_)
            | State::Parameters(_)
            | State::CableCheck(_)
            | State::PreCharge(_)
            | State::Charging(_)
            | State::Stopping(_)
            | State::Paused
            | State::Shutdown(_)
            | State::Checking(_) => false,
        };
        if rests && self.is_confirmed_safe(now) { Ok(()) } else { Err(StaysLocked::NotSafe) }
    }

    /// Whether the lock has done what it was asked for. Whoever is let in meanwhile has it locked again.
    pub(super) fn watch_unlocking(&mut self, now: Timestamp) {
        let Some(unlocking) = self.unlocking else { return };
        let io = self.observed.io(now, &self.installation.profile).filter(|io| io.at > unlocking.since);
        let outcome = match io.map(|io| io.lock) {
            _ if self.outputs.wants_locked() => Err(StaysLocked::MayCharge),
            Some(Lock::Unlocked) => Ok(()),
            Some(Lock::NotFitted) => Err(StaysLocked::NoLock),
            Some(Lock::Fault) if now.since(unlocking.since) < MOTOR / 2 => return,
            Some(Lock::Fault) => Err(StaysLocked::Stuck),
            Some(Lock::Locked | Lock::Moving) | None if now.since(unlocking.since) < MOTOR => return,
            Some(Lock::Locked | Lock::Moving) | None => Err(StaysLocked::Stuck),
        };
        self.unlocking = None;
        self.outputs.report(Report::Unlock(outcome));
    }
}
