//! One module, as far as its answers tell.
//!
//! ```text
//!            answers                 off, known, awake, no alarm
//!  Absent ───────────▶ Qualifying ─────────────────────────────▶ Ready
//!    ▲                  ▲      │  silent                           │ silent
//!    │ lost_after       │      ▼                                   ▼
//!    └──────────────── Silent{since} ◀─────────────────────────────┘
//! ```
//! A silent module may still deliver: it gets OFF again and again, and its current belongs to
//! nobody else until it has confirmed OFF or is [`Phase::Absent`].

mod asking;
mod hearing;
mod range;

use std::collections::HashMap;
use std::mem::Discriminant;
use std::time::Duration;

use voltry_power_module::{Capability, Conditions, Kind, Output, Range, Request};
use voltry_units::{Amps, Celsius, Measured, Timestamp, Volts};

pub(super) use self::asking::Urgency;
use super::answers::Answers;
use super::ledger::Ledger;
use crate::ways::{Ways, narrower};

/// Measurements older than this count for nothing, of modules that are asked.
pub(super) const FRESH: Duration = Duration::from_millis(300);
/// A report may come late by so much.
const REPORT_LATE: Duration = Duration::from_millis(100);
/// A module's own figures settle for this long after it switched on.
const SETTLES_IN: Duration = Duration::from_secs(2);
/// A current that may be the meter's error.
const NOISE: Amps = Amps::new(1);
/// A module that said it was derated may be so for so long after.
const DERATED_FOR: Duration = Duration::from_secs(10);
/// A question that not every module answers has so much time.
const PERHAPS_WITHIN: Duration = Duration::from_secs(1);
/// How long a module may be off what it was told, before it disobeys.
const BREACH: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Certainly off: it has not answered for longer than its own silence limit.
    Absent,
    /// Answers; being switched off, woken, and asked what it is.
    Qualifying,
    /// Can deliver.
    Ready,
    /// Does not answer; may deliver.
    Silent { since: Timestamp },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    /// It confirmed to be off.
    Off,
    TurningOff {
        sent: Option<Timestamp>,
    },
    TurningOn {
        sent: Option<Timestamp>,
    },
    On {
        since: Timestamp,
    },
}

/// What the rack wants of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Aim {
    /// Voltage and current, or nothing: off.
    pub(super) output: Option<Output>,
    /// The current is less than its share, until others have confirmed theirs.
    pub(super) held_back: bool,
    /// Whether its present set-point leaves room for it to switch on.
    pub(super) may_start: bool,
    /// Power shall flow from the vehicle.
    pub(super) inverting: bool,
    pub(super) asleep: bool,
    pub(super) walk_in: bool,
    pub(super) blink: Option<bool>,
}

impl Aim {
    pub(super) const OFF: Self = Self {
        output: None,
        held_back: false,
        may_start: false,
        inverting: false,
        asleep: false,
        walk_in: false,
        blink: None,
    };
}

/// A voltage and a current that need not have come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct SetPoint {
    voltage: Option<Volts>,
    current: Option<Amps>,
}

impl SetPoint {
    fn whole(self) -> Option<Output> {
        Some(Output { voltage: self.voltage?, current: self.current? })
    }

    fn take(&mut self, request: Request) {
        let Some(part) = Self::of(request) else { return };
        self.voltage = part.voltage.or(self.voltage);
        self.current = part.current.or(self.current);
    }

    /// What an order sets; nothing if it is another.
    fn of(request: Request) -> Option<Self> {
        let part = |voltage, current| Some(Self { voltage, current });
        if let Request::SetOutput { voltage, current } | Request::Deliver { voltage, current } = request {
            part(Some(voltage), Some(current))
        } else if let Request::SetVoltage { voltage } = request {
            part(Some(voltage), None)
        } else if let Request::SetCurrent { current } = request {
            part(None, Some(current))
        } else {
            None
        }
    }
}

#[derive(Debug)]
pub(super) struct Module {
    pub(super) phase: Phase,
    pub(super) switch: Switch,
    pub(super) heard: Option<Timestamp>,
    pub(super) voltage: Option<Measured<Volts>>,
    pub(super) current: Option<Measured<Amps>>,
    /// Conditions that come with its output.
    reported: Conditions,
    status: Option<Conditions>,
    pub(super) group: Option<u8>,
    pub(super) temperature: Option<Celsius>,
    available: Option<Amps>,
    /// What it gave when it last said that it cannot give all, where it does not say how much it can.
    derated: Option<Measured<Amps>>,
    told: Option<Capability>,
    pub(super) serial: Option<String>,
    serial_rest: Option<String>,
    pub(super) hours: Option<u32>,
    /// Why it is not used until somebody clears the faults.
    pub(super) barred: Option<String>,
    /// How often in a row it refused its set-point.
    pub(super) refusals: u32,
    ways: Ways,
    /// How many modules it stands for: more than one where a group is spoken to as one.
    pub(super) members: u32,
    ready_once: bool,
    blinking: bool,
    walk_in_set: bool,
    silence_set: bool,
    range: Option<Range>,
    /// Whether power flows from the vehicle.
    direction: Option<bool>,
    cut_off_set: bool,
    /// When its range or its direction was changed last.
    range_changed: Timestamp,
    off_since: Timestamp,
    sent: SetPoint,
    confirmed: SetPoint,
    /// The most that its set-points may make it deliver.
    ceiling: Amps,
    answers: Answers,
    ledger: Ledger,
    last: HashMap<Discriminant<Request>, Timestamp>,
    /// When anything was sent to it last.
    pub(super) spoken_to: Timestamp,
    breach_since: Option<(Discriminant<Breach>, Timestamp)>,
}

impl Module {
    /// A module that may be delivering anything.
    pub(super) fn unknown(ways: Ways, now: Timestamp) -> Self {
        Self {
            phase: Phase::Silent { since: now },
            switch: Switch::TurningOff { sent: None },
            heard: None,
            voltage: None,
            current: None,
            reported: Conditions::NONE,
            status: None,
            group: None,
            temperature: None,
            available: None,
            derated: None,
            told: None,
            serial: None,
            serial_rest: None,
            hours: None,
            barred: None,
            refusals: 0,
            ways,
            members: 1,
            ready_once: false,
            blinking: false,
            walk_in_set: false,
            silence_set: false,
            range: None,
            direction: None,
            cut_off_set: false,
            range_changed: now,
            off_since: now,
            sent: SetPoint::default(),
            confirmed: SetPoint::default(),
            ceiling: Amps::MAX,
            answers: Answers::new(ways.family.questions.barriers),
            ledger: Ledger::default(),
            last: HashMap::new(),
            spoken_to: Timestamp::BOOT,
            breach_since: None,
        }
    }

    /// The link was lost or is new: nothing said before counts.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.answers = Answers::new(self.ways.family.questions.barriers);
        self.switch = Switch::TurningOff { sent: None };
        match self.phase {
            Phase::Absent | Phase::Qualifying | Phase::Ready => self.phase = Phase::Silent { since: now },
            Phase::Silent { .. } => {}
        }
    }

    pub(super) fn conditions(&self) -> Conditions {
        self.reported.union(self.status.unwrap_or(Conditions::NONE))
    }

    /// What one module is rated for: what it told, or its nameplate says, or the lower of both.
    pub(super) fn rated(&self) -> Option<Capability> {
        match (self.told, self.ways.rating) {
            (Some(told), Some(rating)) => Some(narrower(told, rating)),
            (told, rating) => told.or(rating),
        }
    }

    /// What it can at best; for a group, all of its members that can deliver.
    pub(super) fn capability(&self) -> Option<Capability> {
        let rated = self.rated()?;
        let members = i64::from(self.members);
        Some(Capability {
            voltage_min: rated.voltage_min,
            voltage_max: self.ways.voltage_max(rated.voltage_max),
            current_max: rated.current_max.scaled(members, 1),
            power_max: rated.power_max.scaled(members, 1),
        })
    }

    /// Both values of the set-point that it confirmed.
    pub(super) fn confirmed(&self) -> Option<Output> {
        self.confirmed.whole()
    }

    /// What it was told to give at most; of no use where it is off.
    pub(super) fn share(&self) -> Amps {
        match self.switch {
            Switch::On { .. } => self.sent.current.unwrap_or(Amps::ZERO),
            Switch::Off | Switch::TurningOn { .. } | Switch::TurningOff { .. } => Amps::ZERO,
        }
    }

    /// Voltage and current, with the older time of both.
    pub(super) fn output(&self) -> Option<Measured<Output>> {
        let (voltage, current) = (self.voltage?, self.current?);
        let output = Output { voltage: voltage.value, current: current.value };
        Some(Measured::new(output, voltage.at.min(current.at)))
    }

    /// Whether it takes power from the vehicle.
    pub(super) fn inverts(&self) -> bool {
        self.direction == Some(true)
    }

    /// For how long a measurement counts.
    fn fresh_for(&self) -> Duration {
        self.ways.family.reports.map_or(FRESH, |reports| reports.every * 2 + REPORT_LATE)
    }

    pub(super) fn answers(&self) -> bool {
        matches!(self.phase, Phase::Qualifying | Phase::Ready)
    }

    pub(super) fn fresh_output(&self, now: Timestamp) -> Option<Measured<Output>> {
        self.output().filter(|output| output.fresh(now, self.fresh_for()).is_some())
    }

    /// The most that it may be delivering.
    pub(super) fn reserve(&self, now: Timestamp) -> Amps {
        let measured = self.fresh_output(now).map_or(Amps::ZERO, |output| output.value.current);
        match (self.phase, self.switch) {
            (Phase::Absent, _) | (_, Switch::Off | Switch::TurningOn { sent: None }) => Amps::ZERO,
            (Phase::Qualifying | Phase::Ready | Phase::Silent { .. }, _) if measured > self.tolerated() => {
                measured
            }
            (Phase::Qualifying | Phase::Ready | Phase::Silent { .. }, _) => self.ceiling,
        }
    }

    /// Whether it could deliver since it last answered after a silence.
    pub(super) fn was_ready(&self) -> bool {
        self.ready_once
    }

    /// The current up to which it does as it was told.
    fn tolerated(&self) -> Amps {
        self.ceiling + NOISE.max(self.ceiling.scaled(5, 100))
    }

    /// The most that its set-points allow.
    pub(super) fn ceiling(&self) -> Amps {
        self.ceiling
    }

    /// What it can give up to `voltage`. A module that is off, or has just switched on, does not
    /// say how far it is derated; then what it is rated for counts. Its power limits at the
    /// voltage that it has: a battery holds that below its set-point for most of a charge.
    pub(super) fn limit(&self, voltage: Volts, now: Timestamp) -> Amps {
        let Some(capability) = self.capability() else { return Amps::ZERO };
        let held = match self.switch {
            Switch::On { .. } => self.fresh_output(now).map(|output| output.value.voltage),
            Switch::Off | Switch::TurningOn { .. } | Switch::TurningOff { .. } => None,
        };
        let at = held.map_or(voltage, |held| held.min(voltage));
        let by_power = capability.power_max.at(at).unwrap_or(capability.current_max);
        let rated = capability.current_max.min(by_power);
        match self.switch {
            Switch::On { since } if now.since(since) > SETTLES_IN => {
                let derated = self.derated.map(|derated| derated.value);
                [self.available, derated].into_iter().flatten().fold(rated, Amps::min)
            }
            Switch::On { .. } | Switch::Off | Switch::TurningOn { .. } | Switch::TurningOff { .. } => rated,
        }
    }

    /// Time passed.
    pub(super) fn age(&mut self, silent_after: Duration, lost_after: Option<Duration>, now: Timestamp) {
        match self.phase {
            Phase::Qualifying | Phase::Ready => {
                let heard = self.heard.unwrap_or(Timestamp::BOOT);
                if now.since(heard) > silent_after {
                    self.phase = Phase::Silent { since: heard };
                    self.aim_off();
                }
            }
            Phase::Silent { since } if lost_after.is_some_and(|after| now.since(since) >= after) => {
                self.phase = Phase::Absent;
            }
            Phase::Silent { .. } | Phase::Absent => {}
        }
        if self.derated.is_some_and(|derated| now.since(derated.at) > DERATED_FOR) {
            self.derated = None;
        }
        let ready = self.phase == Phase::Ready;
        if self.phase == Phase::Qualifying && self.qualified(now) {
            self.phase = Phase::Ready;
            self.ready_once = true;
        } else if ready && self.barred() {
            self.phase = Phase::Qualifying;
        }
    }

    fn qualified(&self, now: Timestamp) -> bool {
        let questions = self.ways.family.questions;
        self.switch == Switch::Off
            && (self.status.is_some() || questions.status.is_empty())
            && self.output().is_some()
            && self.capability().is_some()
            && self.unknown_identity().next().is_none()
            && !self.wants_walk_in()
            && !self.wants_silence_limit()
            && self.range_fits(self.range_at_rest(), now)
            && self.direction_fits(false, now)
            && questions.perhaps.iter().all(|question| self.given_up(*question, now))
            && !self.barred()
    }

    fn wants_walk_in(&self) -> bool {
        !self.walk_in_set && self.ways.can(Request::WalkIn { on: false })
    }

    fn wants_silence_limit(&self) -> bool {
        let Some(limit) = self.ways.silence else { return false };
        !self.silence_set && self.ways.can(Request::SetSilenceLimit { limit })
    }

    /// What it has not said of itself yet.
    fn unknown_identity(&self) -> impl Iterator<Item = Request> {
        let missing = [
            (Request::ReadCapability, self.told.is_none()),
            (Request::ReadSerial, self.serial.is_none()),
            (Request::ReadSerialRest, self.serial_rest.is_none()),
        ];
        let identity = self.ways.family.questions.identity;
        missing
            .into_iter()
            .filter(|(question, missing)| *missing && identity.contains(question))
            .map(|(q, _)| q)
    }

    /// Whether a question that not every module answers was answered, or had its time.
    fn given_up(&self, question: Request, now: Timestamp) -> bool {
        let known = question == Request::ReadHours && self.hours.is_some();
        let asked = self.last.get(&std::mem::discriminant(&question));
        known || asked.is_some_and(|asked| now.since(*asked) > PERHAPS_WITHIN)
    }

    /// Its whole serial number.
    pub(super) fn whole_serial(&self) -> Option<String> {
        let serial = self.serial.as_ref()?;
        Some(format!("{serial}{}", self.serial_rest.as_deref().unwrap_or_default()))
    }

    fn barred(&self) -> bool {
        self.barred.is_some() || self.conditions().of(Kind::Alarm).next().is_some()
    }

    /// What it does that it was not told to do, if it goes on doing it.
    pub(super) fn breach(&mut self, now: Timestamp) -> Option<Breach> {
        let found = self.fresh_output(now).and_then(|output| self.judge(output.value));
        let kind = found.as_ref().map(std::mem::discriminant);
        let since = self.breach_since.filter(|(known, _)| Some(*known) == kind).map(|(_, since)| since);
        self.breach_since = kind.map(|kind| (kind, since.unwrap_or(now)));
        found.filter(|_| since.is_some_and(|since| now.since(since) >= BREACH))
    }

    fn judge(&self, output: Output) -> Option<Breach> {
        match self.switch {
            Switch::Off | Switch::TurningOff { .. } => {
                (output.current > NOISE).then_some(Breach::WontStop { current: output.current })
            }
            Switch::On { .. } | Switch::TurningOn { .. } => {
                let told = self.confirmed.whole().or(self.sent.whole())?;
                let current_over = output.current > self.tolerated();
                let margin = Volts::new(5).max(told.voltage.scaled(2, 100));
                // Without current the voltage may be the battery's, or decay slowly. A vehicle that is
                // discharged is not drained below the set-point.
                let beyond = if self.inverts() {
                    output.voltage < told.voltage - margin
                } else {
                    output.voltage > told.voltage + margin
                };
                (current_over || beyond && output.current > NOISE)
                    .then_some(Breach::Disobeys { told, measured: output })
            }
        }
    }

    /// What came of late from its address that cannot be its own. Modules that report by themselves, and
    /// those of a group, are not asked one by one.
    pub(super) fn not_its_own(&self, now: Timestamp) -> Option<String> {
        let family = self.ways.family;
        self.ledger.evidence(now).filter(|_| family.reports.is_none() && !family.grouped)
    }

    fn aim_off(&mut self) {
        match self.switch {
            Switch::On { .. } | Switch::TurningOn { .. } => self.switch = Switch::TurningOff { sent: None },
            Switch::Off | Switch::TurningOff { .. } => {}
        }
    }

    /// Takes what the rack wants.
    pub(super) fn aim(&mut self, aim: Aim) {
        match (aim.output, self.switch) {
            (None, _) => self.aim_off(),
            // Its range changes only while it is off.
            (Some(output), Switch::On { .. } | Switch::TurningOn { sent: Some(_) })
                if self.must_leave_range(output.voltage) || self.inverts() != aim.inverting =>
            {
                self.aim_off();
            }
            (Some(_), Switch::Off) => self.switch = Switch::TurningOn { sent: None },
            (Some(_), Switch::TurningOff { .. } | Switch::TurningOn { .. } | Switch::On { .. }) => {}
        }
    }

    /// It said to be off and still delivers: say it again.
    pub(super) fn insist_on_off(&mut self) {
        if self.switch == Switch::Off {
            self.switch = Switch::TurningOff { sent: None };
        }
    }
}

/// What a module does that it was not told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// It delivers though off.
    WontStop { current: Amps },
    /// It gives more than its set-point.
    Disobeys { told: Output, measured: Output },
}
