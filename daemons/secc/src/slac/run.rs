//! One vehicle's matching run, and the few that are heard at once.
//!
//! ```text
//! CM_START_ATTEN_CHAR ─▶ Sounding ─▶ Reported ─ CM_SLAC_MATCH.REQ ─▶ Chosen ─▶ Matched
//!                           ▲            │ ▲                            │
//!                           └────────────┘ └──── another is nearer ─────┘
//! ```
//! A vehicle has one run: with a new one it abandons the old. Messages of a run are those with
//! its vehicle's address *and* its identifier.

use std::time::Duration;

use voltry_units::Timestamp;

use super::attenuation::Profiles;
use super::wire::{Mac, MatchReq, RESPONSE, RunId, SOUNDING, SOUNDS, StationId};

/// Vehicles heard at once; a car park has some, a flood more.
pub(super) const RUNS_MAX: usize = 16;
/// How often a report is repeated that no CM_ATTEN_CHAR.RSP answered (C_EV_match_retry).
pub(super) const REPORT_REPEATS: u8 = 2;

/// When a report is repeated: a vehicle answers within [`RESPONSE`], and one that is just about
/// to should not hear it twice.
pub(super) const REPORT_AGAIN: Duration = RESPONSE.saturating_add(Duration::from_millis(50));

/// One vehicle's run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// The vehicle, by its Ethernet address.
    pub(super) vehicle: Mac,
    /// The run's identifier.
    pub(super) id: RunId,
    /// How far it is.
    pub(super) stage: Stage,
}

/// How far a run is.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Sounds come in.
    Sounding {
        /// The window's end.
        until: Timestamp,
        /// Sounds announced.
        expected: u8,
        /// Sounds heard.
        sounds: u8,
        /// What the vehicle calls itself.
        sender: StationId,
        /// What the modem measured.
        profiles: Profiles,
    },
    /// The vehicle was told its attenuation; it chooses.
    Reported {
        /// Then it chose another station, or none.
        until: Timestamp,
        /// Tenths of a dB.
        attenuation: u16,
        /// The report.
        report: Vec<u8>,
        /// When it is repeated, and how often it may be.
        repeat: Option<(Timestamp, u8)>,
    },
    /// The vehicle asks for the key.
    Chosen {
        /// Tenths of a dB.
        attenuation: u16,
        /// What it asked.
        request: MatchReq,
        /// From then on who is still sounding is not waited for.
        decide_by: Timestamp,
    },
    /// The vehicle was given the key.
    Matched {
        /// Tenths of a dB.
        attenuation: u16,
        /// The answer that did it, for a vehicle that did not hear it.
        confirmation: Vec<u8>,
    },
}

impl Run {
    /// Tenths of a dB, once measured.
    #[must_use]
    pub(super) const fn attenuation(&self) -> Option<u16> {
        match &self.stage {
            Stage::Sounding { .. } => None,
            Stage::Reported { attenuation, .. }
            | Stage::Chosen { attenuation, .. }
            | Stage::Matched { attenuation, .. } => Some(*attenuation),
        }
    }

    /// When something is due.
    #[must_use]
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Sounding { until, .. } => Some(*until),
            Stage::Reported { until, repeat, .. } => Some(repeat.map_or(*until, |(at, _)| at.min(*until))),
            Stage::Chosen { decide_by, .. } => Some(*decide_by),
            Stage::Matched { .. } => None,
        }
    }

    /// A report that is given for the first time.
    #[must_use]
    pub(super) fn reported(now: Timestamp, attenuation: u16, report: Vec<u8>) -> Stage {
        let repeat = Some((now + REPORT_AGAIN, REPORT_REPEATS));
        Stage::Reported { until: now + super::wire::SESSION, attenuation, report, repeat }
    }
}

/// The runs heard at once, at most [`RUNS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    /// Begins a run, or begins it anew. False: there are too many.
    pub(super) fn start(&mut self, now: Timestamp, vehicle: Mac, id: RunId, announced: u8) -> bool {
        let expected = if announced == 0 { SOUNDS } else { announced };
        if let Some(Run { id: same, stage: Stage::Sounding { until, sounds: 0, .. }, .. }) = self.of(vehicle)
            && *same == id
        {
            // The announcement comes three times; the window counts from the last.
            *until = now + SOUNDING;
            return true;
        }
        self.0.retain(|run| run.vehicle != vehicle);
        if self.0.len() >= RUNS_MAX {
            let idle = self.0.iter().position(|run| matches!(run.stage, Stage::Sounding { sounds: 0, .. }));
            let Some(idle) = idle else { return false };
            self.0.remove(idle);
        }
        let stage = Stage::Sounding {
            until: now + SOUNDING,
            expected,
            sounds: 0,
            sender: StationId::default(),
            profiles: Profiles::default(),
        };
        self.0.push(Run { vehicle, id, stage });
        true
    }

    /// A vehicle's run.
    pub(super) fn of(&mut self, vehicle: Mac) -> Option<&mut Run> {
        self.0.iter_mut().find(|run| run.vehicle == vehicle)
    }

    /// The run that a message belongs to.
    pub(super) fn named(&mut self, vehicle: Mac, id: RunId) -> Option<&mut Run> {
        self.of(vehicle).filter(|run| run.id == id)
    }

    /// All runs.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Run> {
        self.0.iter()
    }

    /// Forgets a vehicle's run.
    pub(super) fn remove(&mut self, vehicle: Mac) {
        self.0.retain(|run| run.vehicle != vehicle);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The vehicles whose runs have something due.
    #[must_use]
    pub(super) fn due(&self, now: Timestamp) -> Vec<Mac> {
        let due = self.0.iter().filter(|run| run.deadline().is_some_and(|at| at <= now));
        due.map(|run| run.vehicle).collect()
    }

    /// The vehicle, other than `vehicle`, that was measured, has no key and is nearer than
    /// `attenuation`.
    #[must_use]
    pub(super) fn nearer(&self, vehicle: Mac, attenuation: u16) -> Option<(Mac, u16)> {
        self.0
            .iter()
            .filter(|run| run.vehicle != vehicle && !matches!(run.stage, Stage::Matched { .. }))
            .filter_map(|run| Some((run.vehicle, run.attenuation()?)))
            .filter(|(_, other)| *other < attenuation)
            .min_by_key(|(_, other)| *other)
    }

    /// Whether another vehicle is still being measured.
    #[must_use]
    pub(super) fn is_another_sounding(&self, vehicle: Mac) -> bool {
        self.0.iter().any(|run| run.vehicle != vehicle && matches!(run.stage, Stage::Sounding { .. }))
    }
}
