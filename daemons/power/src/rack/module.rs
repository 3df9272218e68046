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

use std::collections::HashMap;
use std::mem::Discriminant;
use std::time::Duration;

use voltry_power_module::{Capability, Condition, Conditions, Kind, Order, Output, Reply, Request, Status};
use voltry_units::{Amps, Measured, Timestamp, Volts};

pub(super) use self::asking::Urgency;
use super::answers::{Answers, Asked};

/// Measurements older than this count for nothing.
pub(super) const FRESH: Duration = Duration::from_millis(300);
const REFRESH_EVERY: Duration = Duration::from_millis(500);
/// A module's own figures settle for this long after it switched on.
const SETTLES_IN: Duration = Duration::from_secs(2);
/// A current that may be the meter's error.
const NOISE: Amps = Amps::new(1);
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
    pub(super) asleep: bool,
    pub(super) walk_in: bool,
    pub(super) blink: Option<bool>,
}

impl Aim {
    pub(super) const OFF: Self =
        Self { output: None, held_back: false, may_start: false, asleep: false, walk_in: false, blink: None };
}

#[derive(Debug)]
pub(super) struct Module {
    pub(super) phase: Phase,
    pub(super) switch: Switch,
    pub(super) heard: Option<Timestamp>,
    pub(super) output: Option<Measured<Output>>,
    pub(super) status: Option<Measured<Status>>,
    pub(super) available: Option<Measured<Amps>>,
    pub(super) capability: Option<Capability>,
    pub(super) serial: Option<String>,
    /// Why it is not used until somebody clears the faults.
    pub(super) barred: Option<String>,
    /// How often in a row it refused its set-point.
    pub(super) refusals: u32,
    pub(super) confirmed: Option<Output>,
    ready_once: bool,
    blinking: bool,
    walk_in_set: bool,
    sent: Option<Output>,
    /// The most that its set-points may make it deliver.
    ceiling: Amps,
    answers: Answers,
    last: HashMap<Discriminant<Request>, Timestamp>,
    breach_since: Option<(Discriminant<Breach>, Timestamp)>,
}

impl Module {
    /// A module that may be delivering anything.
    pub(super) fn unknown(now: Timestamp) -> Self {
        Self {
            phase: Phase::Silent { since: now },
            switch: Switch::TurningOff { sent: None },
            heard: None,
            output: None,
            status: None,
            available: None,
            capability: None,
            serial: None,
            barred: None,
            refusals: 0,
            confirmed: None,
            ready_once: false,
            blinking: false,
            walk_in_set: false,
            sent: None,
            ceiling: Amps::MAX,
            answers: Answers::default(),
            last: HashMap::new(),
            breach_since: None,
        }
    }

    /// The link was lost or is new: nothing said before counts.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.answers = Answers::default();
        self.switch = Switch::TurningOff { sent: None };
        match self.phase {
            Phase::Absent | Phase::Qualifying | Phase::Ready => self.phase = Phase::Silent { since: now },
            Phase::Silent { .. } => {}
        }
    }

    pub(super) fn conditions(&self) -> Conditions {
        self.status.map_or(Conditions::NONE, |status| status.value.conditions)
    }

    pub(super) fn answers(&self) -> bool {
        matches!(self.phase, Phase::Qualifying | Phase::Ready)
    }

    pub(super) fn fresh_output(&self, now: Timestamp) -> Option<Measured<Output>> {
        self.output.filter(|output| output.fresh(now, FRESH).is_some())
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
        let Some(capability) = self.capability else { return Amps::ZERO };
        let held = match self.switch {
            Switch::On { .. } => self.fresh_output(now).map(|output| output.value.voltage),
            Switch::Off | Switch::TurningOn { .. } | Switch::TurningOff { .. } => None,
        };
        let at = held.map_or(voltage, |held| held.min(voltage));
        let by_power = capability.power_max.at(at).unwrap_or(capability.current_max);
        let rated = capability.current_max.min(by_power);
        match (self.switch, self.available) {
            (Switch::On { since }, Some(available)) if now.since(since) > SETTLES_IN => {
                rated.min(available.value)
            }
            (Switch::On { .. } | Switch::Off | Switch::TurningOn { .. } | Switch::TurningOff { .. }, _) => {
                rated
            }
        }
    }

    /// Takes what the module said. Only answers count as life: what comes a second late, or
    /// unasked, tells nothing of now.
    pub(super) fn hear(&mut self, reply: &Reply, now: Timestamp) {
        let Some(asked) = self.answers.answered(reply) else { return };
        self.heard = Some(now);
        match self.phase {
            Phase::Absent | Phase::Silent { .. } => self.found(now),
            Phase::Qualifying | Phase::Ready => {}
        }
        match reply {
            Reply::Output(output) | Reply::OutputFixed(output) => {
                self.output = Some(Measured::new(*output, asked.at));
            }
            Reply::Status(status) => self.take_status(*status, asked),
            Reply::Available { current, .. } => self.available = Some(Measured::new(*current, asked.at)),
            Reply::Capability(capability) => self.capability = Some(*capability),
            Reply::Serial(serial) => self.serial = Some(serial.clone()),
            Reply::Done(order) => self.take_confirmation(*order, asked, now),
            Reply::Refused { order, .. } => self.take_refusal(*order, asked),
            Reply::SystemOutput(_) | Reply::Count(_) | Reply::Input(_) => {}
        }
    }

    /// It answers again. It may be another one in the same place: everything is asked anew.
    fn found(&mut self, now: Timestamp) {
        self.phase = Phase::Qualifying;
        self.switch = Switch::TurningOff { sent: None };
        self.output = None;
        self.status = None;
        self.available = None;
        self.capability = None;
        self.serial = None;
        self.walk_in_set = false;
        self.ready_once = false;
        self.blinking = false;
        self.refusals = 0;
        self.breach_since = None;
        self.heard = Some(now);
    }

    fn take_status(&mut self, status: Status, asked: Asked) {
        self.status = Some(Measured::new(status, asked.at));
        if !status.conditions.has(Condition::DcOff) {
            return;
        }
        match self.switch {
            Switch::TurningOff { sent: Some(sent) } if asked.at >= sent => self.switch = Switch::Off,
            // It switched itself off, or started anew: it has forgotten its set-point.
            Switch::On { since } if asked.at > since + REFRESH_EVERY => {
                self.phase = Phase::Qualifying;
                self.switch = Switch::Off;
                self.sent = None;
                self.confirmed = None;
                self.walk_in_set = false;
            }
            Switch::On { .. } | Switch::Off | Switch::TurningOn { .. } | Switch::TurningOff { .. } => {}
        }
    }

    fn take_confirmation(&mut self, order: Order, asked: Asked, now: Timestamp) {
        match (order, asked.request) {
            (Order::Switch, Request::Switch { on: false }) => {
                if matches!(self.switch, Switch::TurningOff { sent: Some(sent) } if asked.at >= sent) {
                    self.switch = Switch::Off;
                }
            }
            (Order::Switch, Request::Switch { on: true }) => {
                if matches!(self.switch, Switch::TurningOn { .. }) {
                    self.switch = Switch::On { since: now };
                }
            }
            (Order::SetOutput, Request::SetOutput { voltage, current }) => {
                self.refusals = 0;
                self.confirmed = Some(Output { voltage, current });
                // Orders still under way may raise it again.
                let open = self.answers.open().filter_map(|asked| {
                    if let Request::SetOutput { current, .. } = asked.request { Some(current) } else { None }
                });
                self.ceiling = open.fold(current, Amps::max);
            }
            (Order::WalkIn, _) => self.walk_in_set = true,
            (Order::Identify, Request::Identify { on }) => self.blinking = on,
            _ => {}
        }
    }

    fn take_refusal(&mut self, order: Option<Order>, asked: Asked) {
        match (order, asked.request) {
            (Some(Order::SetOutput), _) => {
                self.refusals += 1;
                self.sent = None;
            }
            // Not every module has these.
            (Some(Order::WalkIn), _) => self.walk_in_set = true,
            (None, Request::ReadSerial) => self.serial = Some(String::new()),
            _ => {}
        }
    }

    /// Time passed.
    pub(super) fn age(&mut self, silent_after: Duration, lost_after: Duration, now: Timestamp) {
        match self.phase {
            Phase::Qualifying | Phase::Ready => {
                let heard = self.heard.unwrap_or(Timestamp::BOOT);
                if now.since(heard) > silent_after {
                    self.phase = Phase::Silent { since: heard };
                    self.aim_off();
                }
            }
            Phase::Silent { since } if now.since(since) >= lost_after => self.phase = Phase::Absent,
            Phase::Silent { .. } | Phase::Absent => {}
        }
        let ready = self.phase == Phase::Ready;
        if self.phase == Phase::Qualifying && self.qualified() {
            self.phase = Phase::Ready;
            self.ready_once = true;
        } else if ready && self.barred() {
            self.phase = Phase::Qualifying;
        }
    }

    fn qualified(&self) -> bool {
        self.switch == Switch::Off
            && self.status.is_some()
            && self.capability.is_some()
            && self.serial.is_some()
            && self.walk_in_set
            && !self.barred()
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
                let told = self.confirmed.or(self.sent)?;
                let current_over = output.current > self.tolerated();
                let margin = Volts::new(5).max(told.voltage.scaled(2, 100));
                // Without current the voltage may be the battery's, or decay slowly.
                let voltage_over = output.voltage > told.voltage + margin && output.current > NOISE;
                (current_over || voltage_over).then_some(Breach::Disobeys { told, measured: output })
            }
        }
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
