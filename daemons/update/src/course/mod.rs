//! The course of an update, from a bundle's path to a version that is known to charge. Pure: what happens
//! comes in as an [`Input`], what is to be done goes out as [`Action`]s, and what these came to comes in again.
//!
//! ```text
//!        Install        Inspected          Begun            Completed        Facts
//!  idle ────────▶ inspecting ──▶ beginning ──▶ installing ─────────▶ judging ────▶ waiting for Restart
//!   ▲                 │ refused      │ failed       │ failed, lost      │ not what was asked for
//!   └─────────────────┴──────────────┴──────────────┴───────────────────┘
//!
//!  the machine starts, the version that runs is
//!   known to charge ──▶ unmarked ──(the boot loader is told)──▶ settled
//!                           ▲ every EVSE has worked for `steady`
//!   another ───────────▶ on trial
//!                           │ they have not, `trial` is over, nobody charges
//!                           ▼
//!                       condemned ──(the boot loader is told)──▶ falling ──▶ the machine starts anew
//! ```
//!
//! The boot loader counts attempts to start a slot and goes back by itself if a version does not come up so
//! far; what was good once is told so at each start. Where a power cut may strike is between any two actions:
//! what is remembered is written before the action that makes it true.

mod standing;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::time::Duration;

use voltry_bus::{Error, UpdateOutcome, UpdateSlot, UpdateVerdict};
use voltry_units::Timestamp;

use crate::memory::{Memory, Pending};
use crate::station::Station;
use crate::version::compare;
use standing::Standing;

/// A station that has been silent for this long lets nobody charge any more: its permits live for 30 s
/// (`Evse1.Permit`).
const SILENT: Duration = Duration::from_secs(60);

/// How updates are judged.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// A new version has this long.
    pub trial: Duration,
    /// For so long all must work.
    pub steady: Duration,
    /// Whether a bundle may be older than what runs.
    pub allow_downgrade: bool,
}

/// What RAUC says of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where versions can be.
    pub slots: Vec<UpdateSlot>,
    /// The slot that the machine starts from next.
    pub primary: String,
    /// An installation runs.
    pub installing: bool,
    /// What bundles must be for.
    pub compatible: String,
    /// Which of the questions this answers: what was asked before an installation ended says nothing of it.
    pub look: u64,
}

impl Facts {
    /// The slot that runs; empty: the machine was started from elsewhere.
    fn booted(&self) -> &str {
        self.slots.iter().find(|slot| slot.booted).map_or("", |slot| &slot.name)
    }

    /// The slot that runs after a restart, if that is another one.
    fn next(&self) -> Option<&UpdateSlot> {
        self.slots.iter().find(|slot| slot.name == self.primary && !slot.booted && slot.good)
    }
}

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What it is for.
    pub compatible: String,
    /// What it brings.
    pub version: String,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Somebody wants a bundle installed; he waits for the reply of that number.
    Install {
        /// The number.
        request: u64,
        /// Its path.
        bundle: String,
    },
    /// Somebody wants the machine to start anew.
    Restart {
        /// The number.
        request: u64,
    },
    /// RAUC was asked what there is.
    Facts(Facts),
    /// RAUC was asked what a bundle is; `None`: nothing that it believes.
    Inspected(Option<Bundle>),
    /// RAUC was told to install.
    Begun(Result<(), String>),
    /// How far it is, percent.
    Progress(u32),
    /// RAUC has installed, or says why not.
    Completed(Result<(), String>),
    /// RAUC left the bus.
    InstallerLost,
    /// The station was asked; `None`: it does not answer. Comes every second.
    Station(Option<Station>),
    /// The boot loader was told.
    Marked(Result<(), String>),
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Answers whoever waits.
    Reply(u64, Result<(), Error>),
    /// Asks RAUC what there is, until it answers.
    Look,
    /// Asks RAUC what a bundle is.
    Inspect(String),
    /// Tells RAUC to install.
    InstallBundle(String),
    /// Is on the disk before the next action begins.
    Remember(Memory),
    /// Tells the boot loader that the slot that runs is good.
    MarkGood,
    /// Tells it that a slot is not to be started.
    MarkBad(String),
    /// Starts the machine anew.
    Reboot,
    /// Tells everybody how the installation ended.
    Ended(UpdateOutcome, String),
}

/// What is shown on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Whether an installation runs.
    pub installing: bool,
    /// Percent.
    pub progress: u32,
    /// Whether something waits for a restart.
    pub restart_needed: bool,
    /// What is thought of the last update.
    pub verdict: UpdateVerdict,
    /// Why.
    pub detail: String,
    /// Where versions can be.
    pub slots: Vec<UpdateSlot>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Idle,
    Inspecting { request: u64, bundle: String },
    Beginning { request: u64 },
    Installing { percent: u32 },
    Judging,
    WaitingForRestart,
}

/// Updates of one machine, in one of its boots.
#[derive(Debug)]
pub struct Course {
    rules: Rules,
    /// The version that runs.
    version: String,
    /// The kernel's id of this boot.
    boot: String,
    memory: Memory,
    stage: Stage,
    standing: Standing,
    /// `None`: RAUC has not answered yet.
    facts: Option<Facts>,
    /// `None`: it is silent.
    station: Option<Station>,
    silent_since: Timestamp,
}

impl Course {
    /// The daemon has started, and is asking RAUC what there is.
    #[must_use]
    pub const fn new(rules: Rules, version: String, boot: String, memory: Memory, now: Timestamp) -> Self {
        let (stage, standing) = (Stage::Idle, Standing::Unknown);
        Self { rules, version, boot, memory, stage, standing, facts: None, station: None, silent_since: now }
    }

    /// What is shown on the bus.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let mut slots = self.facts.as_ref().map(|facts| facts.slots.clone()).unwrap_or_default();
        slots.sort_by(|one, other| one.name.cmp(&other.name));
        Shown {
            installing: self.installing(),
            progress: if let Stage::Installing { percent } = self.stage { percent } else { 0 },
            restart_needed: self.stage == Stage::WaitingForRestart,
            verdict: self.verdict(),
            detail: self.memory.detail.clone(),
            slots,
        }
    }

    /// What is remembered is of the update before, until RAUC has said which slot runs after this one.
    fn verdict(&self) -> UpdateVerdict {
        if self.standing == Standing::Unknown && self.memory.pending.is_some() {
            return UpdateVerdict::OnTrial;
        }
        self.memory.verdict
    }

    /// Whether an installation runs.
    #[must_use]
    pub const fn installing(&self) -> bool {
        match self.stage {
            Stage::Idle | Stage::WaitingForRestart => false,
            Stage::Inspecting { .. }
            | Stage::Beginning { .. }
            | Stage::Installing { .. }
            | Stage::Judging => true,
        }
    }

    /// Takes in what happened.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, input: Input) -> Vec<Action> {
        match input {
            Input::Install { request, bundle } => match self.may_install(now, &bundle) {
                Ok(()) => {
                    self.stage = Stage::Inspecting { request, bundle: bundle.clone() };
                    vec![Action::Inspect(bundle)]
                }
                Err(error) => vec![Action::Reply(request, Err(error))],
            },
            Input::Restart { request } => match self.may_restart(now) {
                Ok(()) => vec![Action::Reply(request, Ok(())), Action::Reboot],
                Err(error) => vec![Action::Reply(request, Err(error))],
            },
            Input::Facts(facts) => self.facts_came(now, facts),
            Input::Inspected(bundle) => self.inspected(now, bundle),
            Input::Begun(result) => self.begun(result),
            Input::Progress(progress) => {
                if let Stage::Installing { percent } = &mut self.stage {
                    *percent = progress.min(100);
                }
                Vec::new()
            }
            Input::Completed(result) => self.completed(result),
            Input::InstallerLost => self.lost(),
            Input::Station(station) => {
                if station.is_some() {
                    self.silent_since = now;
                }
                self.station = station;
                self.judge_standing(now)
            }
            Input::Marked(result) => self.marked(result),
        }
    }

    /// Nobody is interrupted if the machine is busy, or starts anew.
    fn nobody_charges(&self, now: Timestamp) -> Result<(), Error> {
        match &self.station {
            Some(station) => match station.charging.first() {
                None => Ok(()),
                Some(evse) => Err(Error::Refused(format!("somebody charges at EVSE {evse}"))),
            },
            None if now.since(self.silent_since) >= SILENT => Ok(()),
            None => Err(Error::Refused("the station does not answer: somebody may charge".to_owned())),
        }
    }

    fn may_install(&self, now: Timestamp, bundle: &str) -> Result<(), Error> {
        if !bundle.starts_with('/') {
            return Err(Error::Invalid(format!("{bundle:?} is no absolute path")));
        }
        if self.installing() {
            return Err(Error::Busy("another bundle is being installed".to_owned()));
        }
        self.standing.may_install()?;
        self.nobody_charges(now)
    }

    fn may_restart(&self, now: Timestamp) -> Result<(), Error> {
        match self.stage {
            Stage::WaitingForRestart => self.nobody_charges(now),
            Stage::Idle
            | Stage::Inspecting { .. }
            | Stage::Beginning { .. }
            | Stage::Installing { .. }
            | Stage::Judging => Err(Error::Refused("nothing waits for a restart".to_owned())),
        }
    }

    fn inspected(&mut self, now: Timestamp, bundle: Option<Bundle>) -> Vec<Action> {
        let Stage::Inspecting { request, bundle: path } = self.stage.clone() else { return Vec::new() };
        let Some(bundle) = bundle else {
            self.rest();
            let why = "RAUC does not believe it: damaged, or signed by nobody that it knows".to_owned();
            return vec![Action::Reply(request, Ok(())), Action::Ended(UpdateOutcome::Invalid, why)];
        };
        if let Err(error) = self.may_take(&bundle).and_then(|()| self.nobody_charges(now)) {
            self.rest();
            return vec![Action::Reply(request, Err(error))];
        }
        self.memory.detail.clear();
        self.memory.pending = Some(Pending {
            version: bundle.version,
            boot: self.boot.clone(),
            from: self.facts.as_ref().map_or("", Facts::booted).to_owned(),
            written: false,
            working: self.station.as_ref().map(|station| {
                station.evses.iter().filter(|(_, works)| *works).map(|(evse, _)| *evse).collect()
            }),
        });
        self.stage = Stage::Beginning { request };
        vec![self.remember(), Action::InstallBundle(path)]
    }

    /// Whether it is for this machine, and no step back.
    fn may_take(&self, bundle: &Bundle) -> Result<(), Error> {
        let compatible = self.facts.as_ref().map_or("", |facts| &facts.compatible);
        if bundle.compatible != compatible {
            return Err(Error::Refused(format!(
                "the bundle is for {:?}, this machine is {compatible:?}",
                bundle.compatible
            )));
        }
        if !self.rules.allow_downgrade && compare(&bundle.version, &self.version) == Ordering::Less {
            return Err(Error::Refused(format!(
                "{:?} is older than {:?}, which runs",
                bundle.version, self.version
            )));
        }
        Ok(())
    }

    fn begun(&mut self, result: Result<(), String>) -> Vec<Action> {
        // It may have ended before we heard that it had begun.
        let Stage::Beginning { request } = self.stage else { return Vec::new() };
        match result {
            Ok(()) => {
                self.stage = Stage::Installing { percent: 0 };
                vec![Action::Reply(request, Ok(()))]
            }
            Err(why) => {
                let forgotten = self.give_up();
                vec![forgotten, Action::Reply(request, Err(Error::Refused(why)))]
            }
        }
    }

    fn completed(&mut self, result: Result<(), String>) -> Vec<Action> {
        let reply = match self.stage {
            Stage::Beginning { request } => Some(Action::Reply(request, Ok(()))),
            Stage::Installing { .. } => None,
            // Somebody installs by hand: what there is has changed.
            Stage::Idle | Stage::WaitingForRestart => return vec![Action::Look],
            Stage::Inspecting { .. } | Stage::Judging => return Vec::new(),
        };
        let actions = match result {
            Ok(()) => {
                self.stage = Stage::Judging;
                if let Some(pending) = &mut self.memory.pending {
                    pending.written = true;
                }
                vec![self.remember(), Action::Look]
            }
            Err(why) => {
                let outcome =
                    if tells_of_damage(&why) { UpdateOutcome::Invalid } else { UpdateOutcome::Failed };
                vec![self.give_up(), Action::Ended(outcome, why), Action::Look]
            }
        };
        reply.into_iter().chain(actions).collect()
    }

    fn lost(&mut self) -> Vec<Action> {
        let gone = || "RAUC ended meanwhile".to_owned();
        match self.stage {
            Stage::Inspecting { request, .. } => {
                self.rest();
                vec![Action::Reply(request, Err(Error::Unavailable(gone())))]
            }
            Stage::Beginning { request } => {
                vec![self.give_up(), Action::Reply(request, Err(Error::Unavailable(gone())))]
            }
            Stage::Installing { .. } => {
                vec![self.give_up(), Action::Ended(UpdateOutcome::Failed, gone()), Action::Look]
            }
            // It is started again by whoever asks it.
            Stage::Idle | Stage::Judging | Stage::WaitingForRestart => Vec::new(),
        }
    }

    fn facts_came(&mut self, now: Timestamp, facts: Facts) -> Vec<Action> {
        self.facts = Some(facts);
        if self.standing == Standing::Unknown {
            return self.begin(now);
        }
        match self.stage {
            Stage::Judging => self.judge_installed(),
            Stage::Idle | Stage::WaitingForRestart => {
                self.rest();
                Vec::new()
            }
            Stage::Inspecting { .. } | Stage::Beginning { .. } | Stage::Installing { .. } => Vec::new(),
        }
    }

    /// RAUC says that it is done: is what runs next what was asked for?
    fn judge_installed(&mut self) -> Vec<Action> {
        let next = self.facts.as_ref().and_then(Facts::next).cloned();
        let wanted = self.memory.pending.as_ref().map_or("", |pending| &pending.version);
        match next {
            None => {
                let why = "RAUC has installed it, and would not start it".to_owned();
                vec![self.give_up(), Action::Ended(UpdateOutcome::Failed, why)]
            }
            // The file was exchanged after it had been inspected.
            Some(next) if !next.version.is_empty() && !wanted.is_empty() && next.version != wanted => {
                let why = format!("{:?} was installed where {wanted:?} was to be", next.version);
                let forgotten = self.give_up();
                self.stage = Stage::Idle;
                vec![Action::MarkBad(next.name), forgotten, Action::Ended(UpdateOutcome::Invalid, why)]
            }
            Some(_) => {
                self.stage = Stage::WaitingForRestart;
                vec![Action::Ended(UpdateOutcome::RestartNeeded, String::new())]
            }
        }
    }

    /// What is under way is forgotten; what runs goes on.
    fn give_up(&mut self) -> Action {
        self.memory.pending = None;
        self.rest();
        self.remember()
    }

    /// Nothing is under way: does something wait?
    fn rest(&mut self) {
        let waits =
            self.facts.as_ref().is_some_and(|facts| !facts.booted().is_empty() && facts.next().is_some());
        self.stage = if waits { Stage::WaitingForRestart } else { Stage::Idle };
    }

    fn remember(&self) -> Action {
        Action::Remember(self.memory.clone())
    }
}

/// Whether RAUC's words speak of a bundle that is not whole, or not its maker's. It has no codes for that.
fn tells_of_damage(why: &str) -> bool {
    let why = why.to_lowercase();
    ["signature", "invalid bundle", "verity", "hash", "checksum", "certificate"]
        .iter()
        .any(|word| why.contains(word))
}
