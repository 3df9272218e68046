//! Where the version that runs stands: what is found at the start of the machine, the trial, the way back.

use voltry_bus::{Error, UpdateVerdict};
use voltry_units::Timestamp;

use super::{Action, Course, Facts, Stage};
use crate::memory::Memory;
use crate::station::Station;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// RAUC has not answered yet.
    Unknown,
    /// Not started from any of RAUC's slots: nothing to tell the boot loader.
    Foreign,
    /// Good, and the boot loader is to be told; `asked`: it is being told; `tried`: by a trial in this boot, which
    /// is over only when the boot loader knows.
    Unmarked { asked: bool, tried: bool },
    /// It is told.
    Settled,
    /// New.
    Trial { until: Timestamp, well_since: Option<Timestamp> },
    /// Not good, and the boot loader is to be told.
    Condemned { asked: bool },
    /// It is told; the machine starts anew as soon as nobody charges.
    Falling,
}

impl Standing {
    pub(super) fn may_install(self) -> Result<(), Error> {
        match self {
            Self::Unknown => Err(Error::Unavailable("RAUC does not answer".to_owned())),
            Self::Foreign | Self::Unmarked { tried: false, .. } | Self::Settled => Ok(()),
            Self::Unmarked { tried: true, .. } => Err(Error::Refused(
                "the boot loader has not been told yet that the version that runs is good".to_owned(),
            )),
            Self::Trial { .. } => Err(Error::Refused("the version that runs is on trial".to_owned())),
            Self::Condemned { .. } | Self::Falling => {
                Err(Error::Refused("the version that runs is given up".to_owned()))
            }
        }
    }
}

impl Course {
    /// RAUC has answered for the first time: what happened before this start?
    pub(super) fn begin(&mut self, now: Timestamp) -> Vec<Action> {
        let facts = self.facts.clone().unwrap_or_default();
        let booted = facts.booted();
        if booted.is_empty() {
            self.standing = Standing::Foreign;
            return self.resume(&facts);
        }
        if !self.known_to_charge(booted) {
            self.standing = Standing::Trial { until: now + self.rules.trial, well_since: None };
            self.memory.verdict = UpdateVerdict::OnTrial;
            self.memory.detail = self.unwell().unwrap_or_default();
            return vec![self.remember()];
        }
        self.standing = Standing::Unmarked { asked: false, tried: false };
        let mut actions = Vec::new();
        // Which one is good is known before anything else is installed.
        if self.memory.good.is_empty() || self.memory.good_version.is_empty() {
            self.take_for_good(booted);
            actions.push(self.remember());
        }
        actions.extend(self.resume(&facts));
        actions
    }

    /// Whether it is the version that was good before. Its slot alone does not tell: another version may have been
    /// written to it by hand, or from a system that was started from elsewhere. Where nothing is remembered, as
    /// after the factory, it is what there is.
    fn known_to_charge(&self, booted: &str) -> bool {
        let Memory { good, good_version, .. } = &self.memory;
        let same_slot = good.is_empty() || good == booted;
        let same_version = good_version.is_empty() || *good_version == self.version;
        same_slot && same_version && !self.runs_the_update(booted)
    }

    /// Whether what runs is the update that is under way.
    fn runs_the_update(&self, booted: &str) -> bool {
        self.memory.pending.as_ref().is_some_and(|pending| {
            pending.written
                && pending.boot != self.boot
                && pending.from != booted
                && pending.version == self.version
        })
    }

    fn take_for_good(&mut self, booted: &str) {
        booted.clone_into(&mut self.memory.good);
        self.version.clone_into(&mut self.memory.good_version);
    }

    /// The version from before runs: what became of an update that was under way?
    fn resume(&mut self, facts: &Facts) -> Vec<Action> {
        let Some(pending) = self.memory.pending.clone() else {
            self.rest();
            // Of what was installed by hand only its trial is remembered.
            if self.memory.verdict != UpdateVerdict::OnTrial {
                return Vec::new();
            }
            self.memory.verdict = UpdateVerdict::FellBack;
            return vec![self.remember()];
        };
        let written = pending.written || facts.next().is_some();
        if pending.boot == self.boot {
            // This daemon was away, not the machine.
            if facts.installing {
                self.stage = Stage::Installing { percent: 0 };
                return Vec::new();
            }
            if written && facts.next().is_some() {
                self.stage = Stage::WaitingForRestart;
                return Vec::new();
            }
        }
        let version = &pending.version;
        if written && pending.boot != self.boot {
            self.memory.verdict = UpdateVerdict::FellBack;
            // Otherwise why the trial failed is known.
            if self.memory.detail.is_empty() {
                self.memory.detail = format!("{version} did not start");
            }
        } else {
            self.memory.verdict = UpdateVerdict::Interrupted;
            self.memory.detail = format!("{version} was not written to its end");
        }
        self.memory.pending = None;
        self.stage = Stage::Idle;
        vec![self.remember()]
    }

    /// Another second: is a trial over, is something still to be told?
    pub(super) fn judge_standing(&mut self, now: Timestamp) -> Vec<Action> {
        match self.standing {
            Standing::Unknown | Standing::Foreign | Standing::Settled => Vec::new(),
            Standing::Unmarked { asked: true, .. } | Standing::Condemned { asked: true } => Vec::new(),
            Standing::Unmarked { asked: false, tried } => {
                self.standing = Standing::Unmarked { asked: true, tried };
                vec![Action::MarkGood]
            }
            Standing::Trial { until, well_since } => self.judge_trial(now, until, well_since),
            Standing::Condemned { asked: false } => {
                self.standing = Standing::Condemned { asked: true };
                let booted = self.facts.as_ref().map_or("", Facts::booted);
                vec![Action::MarkBad(booted.to_owned())]
            }
            Standing::Falling if self.nobody_charges(now).is_ok() => vec![Action::Reboot],
            Standing::Falling => Vec::new(),
        }
    }

    fn judge_trial(
        &mut self,
        now: Timestamp,
        until: Timestamp,
        well_since: Option<Timestamp>,
    ) -> Vec<Action> {
        let Some(why) = self.unwell() else {
            let since = well_since.unwrap_or(now);
            self.memory.detail = String::new();
            if now.since(since) >= self.rules.steady {
                self.standing = Standing::Unmarked { asked: true, tried: true };
                return vec![Action::MarkGood];
            }
            self.standing = Standing::Trial { until, well_since: Some(since) };
            return Vec::new();
        };
        self.standing = Standing::Trial { until, well_since: None };
        self.memory.detail = why;
        if now < until || self.nobody_charges(now).is_err() {
            return Vec::new();
        }
        // A version that does not charge is better than no version at all.
        let facts = self.facts.clone().unwrap_or_default();
        let Some(other) = facts.slots.iter().find(|slot| !slot.booted && slot.good) else {
            self.memory.detail.push_str("; there is no other version to go back to");
            return Vec::new();
        };
        self.standing = Standing::Condemned { asked: true };
        let booted = facts.booted().to_owned();
        // The good version was written over by this one: what is left is all there is.
        if booted == self.memory.good {
            other.name.clone_into(&mut self.memory.good);
            self.memory.good_version.clear();
        }
        vec![self.remember(), Action::MarkBad(booted)]
    }

    /// The boot loader was told.
    pub(super) fn marked(&mut self, result: Result<(), String>) -> Vec<Action> {
        match (self.standing, result) {
            (Standing::Unmarked { asked: true, tried: false }, Ok(())) => {
                self.standing = Standing::Settled;
                vec![Action::Look]
            }
            (Standing::Unmarked { asked: true, tried: true }, Ok(())) => {
                self.standing = Standing::Settled;
                self.memory.verdict = UpdateVerdict::Good;
                self.memory.detail = String::new();
                self.memory.pending = None;
                let booted = self.facts.as_ref().map_or("", Facts::booted).to_owned();
                self.take_for_good(&booted);
                vec![self.remember(), Action::Look]
            }
            (Standing::Condemned { asked: true }, Ok(())) => {
                self.standing = Standing::Falling;
                vec![Action::Look]
            }
            (Standing::Unmarked { tried, .. }, Err(_)) => {
                self.standing = Standing::Unmarked { asked: false, tried };
                Vec::new()
            }
            (Standing::Condemned { .. }, Err(_)) => {
                self.standing = Standing::Condemned { asked: false };
                Vec::new()
            }
            // Of a slot that was not what it should have been.
            (
                Standing::Unknown
                | Standing::Foreign
                | Standing::Settled
                | Standing::Trial { .. }
                | Standing::Falling
                | Standing::Unmarked { asked: false, .. }
                | Standing::Condemned { asked: false },
                _,
            ) => vec![Action::Look],
        }
    }

    /// What keeps the version that runs from being good; `None`: nothing.
    fn unwell(&self) -> Option<String> {
        let Some(station) = &self.station else { return Some("the station does not answer".to_owned()) };
        let wanted = self.memory.pending.as_ref().and_then(|pending| pending.working.as_deref());
        first_that_fails(station, wanted)
    }
}

/// Of the EVSEs that worked before; of all, where nobody knew which did.
fn first_that_fails(station: &Station, wanted: Option<&[u32]>) -> Option<String> {
    let works = |evse: u32| station.evses.contains(&(evse, true));
    let fails = |evse: &u32| !works(*evse);
    let first = match wanted {
        Some(wanted) => wanted.iter().copied().find(fails),
        None if station.evses.is_empty() => return Some("the station has no EVSE".to_owned()),
        None => station.evses.iter().map(|(evse, _)| *evse).find(fails),
    };
    first.map(|evse| format!("EVSE {evse} does not work"))
}
