//! The modules of one supply as one source of current: a pure state machine.
//!
//! ```text
//!            Enable                 SetOutput
//!   Off ──────────────▶ Armed ──────────────────▶ On ──┐
//!    ▲                    ▲  ◀────── Enable ──────┘ ◀──┘ SetOutput
//!    └── Off, lapse, holder gone, link lost, a module that won't stop
//! ```
//! [`Rack::step`] takes one input and says what to do; [`Rack::next_request`] says what to send
//! whenever the bus has room for a frame. So there is no queue: whatever is most urgent is decided
//! at the instant of sending, and OFF goes before everything.
//!
//! Modules are told their own current (never a total that they share by themselves), since only
//! then it is known what a module delivers that we no longer hear. The invariant: the set-points
//! of all modules that may be on, heard or not, add up to no more than the total. A rise waits
//! until the others have confirmed their fall; the share of a silent module stays its own until
//! it confirmed OFF or its own silence limit is certainly over.

mod aims;
mod answers;
pub(crate) mod codes;
mod group;
mod ledger;
mod module;
mod review;
mod share;
mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use voltry_power_module::{Condition, Destination, Kind, Message, Reply, Request, Source};
use voltry_service::{FaultLog, RateLimit};
use voltry_units::{Amps, Timestamp, Volts};

use self::group::Group;
use self::module::{Aim, Module, Phase, Switch, Urgency};
use crate::Supply;
use crate::budget::{Room, SLOT};
use crate::traffic::Second;
use crate::ways::Ways;

const BROADCASTS: u8 = 3;
const SEARCH_EVERY: Duration = Duration::from_secs(1);
/// What happens to a rack.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    /// The bus is open.
    LinkUp,
    /// The bus is gone, and why.
    LinkLost(String),
    /// The bus is there, and nothing that is sent reaches it: why.
    BusOff(String),
    /// What the last second on the bus was.
    Traffic(Second),
    /// A module said something.
    Heard(Message),
    /// A new epoch: off, but awake.
    Enable,
    /// A set-point.
    Set { epoch: u64, sequence: u64, voltage: Volts, current: Amps },
    /// Off, for whatever reason.
    Off,
    /// Forget faults whose cause is gone.
    ClearFaults,
    /// Blink.
    Identify { address: u8, on: bool },
    /// Time passed; at least every 100 ms.
    Tick,
}

/// What a rack wants done, beside sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Every module has this set-point.
    Applied { epoch: u64, sequence: u64 },
    /// Every module is off.
    AllOff,
    /// The rack switched itself off: only a new epoch may energise.
    EndEpoch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Off {
        since: Timestamp,
        told: bool,
    },
    Armed,
    /// A negative current flows from the vehicle; at zero the way stays what it was.
    On {
        epoch: u64,
        sequence: u64,
        voltage: Volts,
        current: Amps,
        inverting: bool,
        told: bool,
    },
}

/// The modules of one supply.
#[derive(Debug)]
pub(crate) struct Rack {
    name: String,
    supply: Supply,
    ways: Ways,
    modules: BTreeMap<u8, Module>,
    /// Of a family that is spoken to by group: then `modules` has this group alone.
    group: Option<Group>,
    blink: BTreeMap<u8, bool>,
    goal: Goal,
    link: Option<Timestamp>,
    broadcasts: u8,
    /// When the modules were last told that their controller lives.
    kept_alive: Option<Timestamp>,
    searched: Option<Timestamp>,
    faults: FaultLog,
    alarmed_since: BTreeMap<u8, Timestamp>,
    /// Lines of log about modules that come and go.
    lines: RateLimit,
}

/// Those a minute.
const LINES_A_MINUTE: u32 = 30;

impl Rack {
    /// A rack whose modules may be delivering anything; its bus is not open yet.
    pub(crate) fn new(name: &str, supply: Supply, now: Timestamp) -> Self {
        let ways = supply.ways();
        let group = supply.group.filter(|_| ways.family.grouped);
        let addresses = supply.modules.iter().copied().chain(group);
        let modules = addresses.map(|address| (address, Module::unknown(ways, now))).collect();
        let group = group.map(|_| Group::new(supply.count, supply.silent_after, supply.lost_after(), now));
        Self {
            name: name.to_owned(),
            supply,
            ways,
            modules,
            group,
            blink: BTreeMap::new(),
            goal: Goal::Off { since: now, told: true },
            link: None,
            broadcasts: 0,
            kept_alive: None,
            searched: None,
            faults: FaultLog::new(),
            alarmed_since: BTreeMap::new(),
            lines: RateLimit::allowing(LINES_A_MINUTE),
        }
    }

    /// Whether a message is this rack's business.
    pub(crate) fn concerns(&self, message: &Message) -> bool {
        if self.group.is_some() {
            return true;
        }
        let Source::Module(address) = message.source else { return false };
        self.modules.contains_key(&address)
            || matches!((&message.reply, self.supply.group), (Reply::Status(status), Some(group)) if status.group == Some(group))
    }

    /// Takes one input.
    #[must_use]
    pub(crate) fn step(&mut self, now: Timestamp, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::LinkUp => self.link_up(now),
            Input::LinkLost(cause) => self.link_lost(&cause, now, &mut actions),
            Input::BusOff(cause) => self.bus_off(cause, now, &mut actions),
            Input::Traffic(Second::Flooded(cause)) => self.raise(codes::FLOODED, cause, now),
            Input::Traffic(Second::Calm) => self.faults.gone(codes::FLOODED),
            Input::Heard(message) => self.hear(&message, now),
            Input::Enable => self.goal = Goal::Armed,
            Input::Set { epoch, sequence, voltage, current } => {
                if self.is_open() {
                    let inverted = matches!(self.goal, Goal::On { inverting: true, .. });
                    let inverting = current < Amps::ZERO || current == Amps::ZERO && inverted;
                    self.goal = Goal::On { epoch, sequence, voltage, current, inverting, told: false };
                }
            }
            Input::Off => {
                let since = if let Goal::Off { since, .. } = self.goal { since } else { now };
                self.goal = Goal::Off { since, told: false };
            }
            Input::ClearFaults => self.clear_faults(),
            Input::Identify { address, on } => {
                if self.modules.contains_key(&address) {
                    self.blink.insert(address, on);
                }
            }
            Input::Tick => {}
        }
        self.review(now, &mut actions);
        self.aim(now);
        self.confirm(now, &mut actions);
        actions
    }

    /// Whether an epoch is open, as far as the rack knows.
    pub(crate) fn is_open(&self) -> bool {
        match self.goal {
            Goal::Off { .. } => false,
            Goal::Armed | Goal::On { .. } => true,
        }
    }

    fn link_up(&mut self, now: Timestamp) {
        self.link = Some(now);
        self.broadcasts = BROADCASTS;
        self.faults.gone(codes::LINK_LOST);
        self.faults.gone(codes::BUS_OFF);
        self.forget(now);
    }

    /// What was said before counts no more.
    fn forget(&mut self, now: Timestamp) {
        self.modules.values_mut().for_each(|module| module.forget(now));
        self.group.iter_mut().for_each(|group| group.forget(now));
    }

    fn link_lost(&mut self, cause: &str, now: Timestamp, actions: &mut Vec<Action>) {
        self.faults.raise(codes::LINK_LOST, cause, now);
        self.cut_off(now, actions);
    }

    fn bus_off(&mut self, cause: String, now: Timestamp, actions: &mut Vec<Action>) {
        self.raise(codes::BUS_OFF, cause, now);
        self.cut_off(now, actions);
    }

    fn cut_off(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.link.take().is_some() {
            self.forget(now);
        }
        self.switch_itself_off(now, actions);
    }

    fn switch_itself_off(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if self.is_open() {
            self.goal = Goal::Off { since: now, told: false };
            actions.push(Action::EndEpoch);
        }
    }

    fn hear(&mut self, message: &Message, now: Timestamp) {
        if !self.concerns(message) {
            return;
        }
        if self.group.is_some() {
            return self.hear_group(message, now);
        }
        let Source::Module(address) = message.source else { return };
        let ways = self.ways;
        let module = self.modules.entry(address).or_insert_with(|| Module::unknown(ways, now));
        let before = module.phase;
        module.hear(&message.reply, now);
        if before != module.phase
            && let Some(count) = self.lines.count(now)
        {
            tracing::info!(supply = self.name, module = address, count, "the module answers");
        }
    }

    /// Conditions are each member's; all else is the group's, whoever says it.
    fn hear_group(&mut self, message: &Message, now: Timestamp) {
        let (Some(group), Some(unit)) = (&mut self.group, self.modules.values_mut().next()) else { return };
        match (message.source, &message.reply) {
            (Source::Module(address), Reply::Status(status)) => {
                let (merged, at) = group.hear(address, status.conditions, now);
                unit.hear_merged(&message.reply, merged, at, now);
            }
            (Source::Module(_) | Source::System, reply) => unit.hear(reply, now),
        }
    }

    fn clear_faults(&mut self) {
        for module in self.modules.values_mut() {
            if module.conditions().of(Kind::Alarm).next().is_none() {
                module.barred = None;
            }
            module.refusals = 0;
        }
        for code in [codes::DISOBEYS, codes::WONT_STOP, codes::REFUSES] {
            self.faults.gone(code);
        }
        for code in self.faults.clear() {
            tracing::info!(supply = self.name, code, "fault cleared");
        }
    }

    /// Whether nothing may flow until the faults are cleared: what flows cannot be known.
    pub(crate) fn blocked(&self) -> bool {
        let blocking = [codes::DUPLICATE, codes::WONT_STOP, codes::UNASKED, codes::FLOODED, codes::BUS_OFF];
        blocking.into_iter().any(|code| self.faults.contains(code))
    }

    fn raise(&mut self, code: &str, cause: String, now: Timestamp) {
        let text = cause.clone();
        if self.faults.raise(code, cause, now)
            && let Some(count) = self.lines.count(now)
        {
            tracing::warn!(supply = self.name, code, cause = text, count, "fault");
        }
    }

    /// Says to each module what it shall do.
    fn aim(&mut self, now: Timestamp) {
        for (address, aim) in self.aims(now) {
            if let Some(module) = self.modules.get_mut(&address) {
                module.aim(aim);
            }
        }
    }

    /// Says what the modules have confirmed.
    fn confirm(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let all_off = self.all_off();
        let applied = match self.goal {
            Goal::Off { .. } => all_off && self.link.is_some(),
            Goal::Armed => false,
            Goal::On { voltage, .. } if voltage <= Volts::ZERO => all_off,
            Goal::On { .. } => self.all_follow(now),
        };
        match &mut self.goal {
            Goal::Off { told, .. } if applied && !*told => {
                *told = true;
                actions.push(Action::AllOff);
            }
            Goal::On { epoch, sequence, told, .. } if applied && !*told => {
                *told = true;
                actions.push(Action::Applied { epoch: *epoch, sequence: *sequence });
            }
            Goal::Off { .. } | Goal::Armed | Goal::On { .. } => {}
        }
    }

    /// Whether every module is certainly off.
    pub(crate) fn all_off(&self) -> bool {
        self.modules.values().all(|module| module.phase == Phase::Absent || module.switch == Switch::Off)
    }

    /// How many modules answer.
    pub(crate) fn answering(&self) -> u32 {
        let members =
            self.group.as_ref().map_or(1, |group| u32::try_from(group.members.len()).unwrap_or(u32::MAX));
        self.modules.values().map(|module| u32::from(module.answers()) * members).sum()
    }

    /// What to send now that the bus has `room` for a frame; else when to ask again. `on_bus`
    /// modules answer on the bus, this rack's and others'.
    pub(crate) fn next_request(
        &mut self,
        on_bus: u32,
        room: Room,
        now: Timestamp,
    ) -> Result<(Destination, Request), Timestamp> {
        if self.link.is_none() {
            return Err(now + SEARCH_EVERY);
        }
        if self.broadcasts > 0 {
            self.broadcasts -= 1;
            return Ok((Destination::All, Request::Switch { on: false }));
        }
        if let Some(due) = self.keep_alive_due()
            && due <= now
        {
            self.kept_alive = Some(now);
            return Ok((Destination::All, Request::KeepAlive));
        }
        let aims = self.aims(now);
        let mut best: Option<((bool, Urgency, Timestamp), u8, Request)> = None;
        for (address, module) in &mut self.modules {
            let aim = aims.get(address).copied().unwrap_or(Aim::OFF);
            if let Some(candidate) = module.next(aim, on_bus, now) {
                let spoken_to = module.spoken_to + SLOT;
                let hushed = spoken_to > now && candidate.urgency != Urgency::Off;
                let due = if hushed { candidate.due.max(spoken_to) } else { candidate.due };
                let waiting = due > now;
                let urgency = if waiting { Urgency::Poll } else { candidate.urgency };
                let rank = (waiting, urgency, due);
                if best.is_none_or(|(known, ..)| rank < known) {
                    best = Some((rank, *address, candidate.request));
                }
            }
        }
        let search = self.search_due().map(|due| (due > now, Urgency::Poll, due));
        if let Some((waiting, _, due)) = search.filter(|rank| best.is_none_or(|(known, ..)| *rank < known)) {
            if waiting || room == Room::Urgent {
                return Err(due);
            }
            self.searched = Some(now);
            return Ok((Destination::All, Request::ReadStatus));
        }
        let idle = self.keep_alive_due().unwrap_or(now + SEARCH_EVERY);
        let Some(((waiting, urgency, due), address, request)) = best else { return Err(idle) };
        if waiting || room == Room::Urgent && urgency == Urgency::Poll {
            return Err(due.min(idle));
        }
        if let Some(module) = self.modules.get_mut(&address) {
            module.sent(request, now);
        }
        if let (Some(group), Request::ReadStatus) = (&mut self.group, request) {
            group.ask(now);
        }
        Ok((self.ways.family.destination(address), request))
    }

    fn keep_alive_due(&self) -> Option<Timestamp> {
        let every = self.ways.family.reports?.keep_alive;
        Some(self.kept_alive.map_or(Timestamp::BOOT, |kept| kept + every))
    }

    /// When to look for modules of the group that have not been heard yet.
    fn search_due(&self) -> Option<Timestamp> {
        let complete = self.group.is_some()
            || self.supply.group.is_none()
            || self.modules.len() >= self.supply.expected();
        (!complete && !self.is_open())
            .then(|| self.searched.map_or(Timestamp::BOOT, |searched| searched + SEARCH_EVERY))
    }
}

fn takes_part(module: &Module) -> bool {
    module.phase == Phase::Ready && !module.conditions().has(Condition::Asleep)
}

#[cfg(test)]
mod tests;
