//! The control loop: what was heard goes into the pool, what it decides goes out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use voltry_bus::{Contactors, DcDischarge, MatrixState};
use voltry_power_module::Output;
use voltry_service::{Daemon, HolderWatch, clock};
use voltry_units::{Amps, Measured, Timestamp, Volts};

use super::member::{Member, Told, word};
use super::outlet::{Able, GROUP_BARRED, MATRIX_MISSING, Outlet};
use super::switch::{self, Wanted};
use super::{MatrixSettings, session};
use crate::Supply;
use crate::config::path;
use crate::heartbeat::Heartbeat;
use crate::orders::Orders;
use crate::pool::{Action, Contactor, Input, Pool, Position, Rules, State, Why};
use crate::supply::{Face, Publisher};

/// How often the pool takes a step.
const STEP: Duration = Duration::from_millis(100);
/// A matrix or a voltage that was not heard for so long is not known.
const STALE: Duration = Duration::from_millis(300);
/// A matrix that is away for so long is a fault.
const MISSING: Duration = Duration::from_secs(2);
/// A loop that stood still for so long has lost its leases.
const STOOD_STILL: Duration = Duration::from_secs(1);
/// How long an ending daemon waits for its modules to be off, and then for contactors to be told.
const STOPPING: Duration = Duration::from_millis(400);

/// Groups that EVSEs share.
pub(crate) struct Sharing {
    pool: Pool,
    rules: Rules,
    contactors: Vec<Contactor>,
    members: Vec<Member>,
    outlets: Vec<Outlet>,
    matrix: watch::Receiver<Option<MatrixState>>,
    /// Whether the pool knows of the matrix what is true of it.
    known: bool,
    wanted: watch::Sender<Wanted>,
    /// The driver opened everything by itself.
    opened: Arc<Notify>,
    wake: Arc<Notify>,
    holders: HolderWatch,
    heartbeat: Heartbeat,
    /// What the next step says beside its own.
    next: Wanted,
    barred: BTreeSet<usize>,
    started: Timestamp,
    stepped: Timestamp,
    _tasks: JoinSet<()>,
    ordering: tokio::task::JoinHandle<()>,
}

impl Sharing {
    /// Serves the supplies of the EVSEs that share `members`.
    ///
    /// # Errors
    /// If an object cannot be served.
    pub(crate) async fn attach(
        settings: &MatrixSettings,
        groups: &BTreeMap<String, Supply>,
        members: Vec<Member>,
        wake: Arc<Notify>,
        daemon: &Daemon,
        heartbeat: Heartbeat,
    ) -> anyhow::Result<Self> {
        let connection = daemon.connection();
        let mut tasks = JoinSet::new();
        let mut outlets = Vec::new();
        for number in &settings.evses {
            let orders = Orders::new(wake.clone());
            let path = path(&number.to_string());
            let publisher = Publisher::serve(connection, &path, Face::Outlet, "", orders.clone())
                .await
                .with_context(|| format!("serving supply {number}"))?;
            let (told, session) = watch::channel(false);
            tasks.spawn(session::watch(connection.clone(), *number, told));
            outlets.push(Outlet::new(*number, orders, publisher, session));
        }
        let (heard, matrix) = watch::channel(None);
        tasks.spawn(switch::hear(connection.clone(), settings.switch.clone(), heard, wake.clone()));
        let (wanted, orders) = watch::channel(Wanted::default());
        let opened = Arc::new(Notify::new());
        let order = switch::order(connection.clone(), settings.switch.clone(), orders, opened.clone());
        let ordering = tokio::spawn(order);
        let now = clock::now();
        let (rules, contactors) = (settings.rules(groups), settings.contactors(groups));
        Ok(Self {
            pool: Pool::new(now, rules, members.len(), outlets.len(), &contactors),
            rules,
            contactors,
            members,
            outlets,
            matrix,
            known: false,
            wanted,
            opened,
            wake,
            holders: HolderWatch::new(connection).await.context("watching holders")?,
            heartbeat,
            next: Wanted::default(),
            barred: BTreeSet::new(),
            started: now,
            stepped: now,
            _tasks: tasks,
            ordering,
        })
    }

    /// Runs until `stop`, then everything is off and open, or half a second has passed.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !*stop.borrow() {
            tokio::select! {
                _ = stop.changed() => {}
                _ = steps.tick() => self.step(clock::now()),
                () = self.wake.notified() => {}
                () = self.opened.notified() => self.matrix_lost("its driver opened it", clock::now()),
                holder = self.holders.lost() => {
                    let now = clock::now();
                    self.outlets.iter().for_each(|outlet| outlet.holder_lost(&holder, now));
                }
            }
            let now = clock::now();
            self.heartbeat.beat(now);
            self.listen(now);
            self.take_orders(now);
            self.publish(now);
        }
        self.end().await;
    }

    /// A contactor opens when no current flows any more.
    async fn end(mut self) {
        self.outlets.iter_mut().for_each(Outlet::end);
        self.members.iter_mut().for_each(Member::off);
        let off = async {
            while !self.members.iter().all(|member| member.told().is_off) {
                self.wake.notified().await;
            }
        };
        let _ = tokio::time::timeout(STOPPING, off).await;
        self.wanted.send_replace(Wanted { end: true, ..Wanted::default() });
        let _ = tokio::time::timeout(STOPPING, self.ordering).await;
    }

    fn step(&mut self, now: Timestamp) {
        if now.since(self.stepped) > STOOD_STILL {
            self.matrix_lost("this daemon stood still", now);
        }
        self.stepped = now;
        self.watch_matrix(now);
        for evse in 0..self.outlets.len() {
            self.tell_want(evse, now);
        }
        let actions = self.pool.step(now, Input::Tick);
        self.members.iter_mut().for_each(|member| member.renew(now));
        let next = Wanted { clears: self.next.clears, ..Wanted::default() };
        let mut wanted = Wanted { at: now, ..std::mem::replace(&mut self.next, next) };
        self.obey(actions, now, &mut wanted);
        // Also where nothing is new: the lease is renewed by it.
        self.wanted.send_replace(wanted);
        self.review(now);
        for evse in 0..self.outlets.len() {
            let able = self.able(evse, now);
            self.outlets[evse].show(able);
        }
    }

    fn named(&self, contactor: Contactor) -> (String, u32) {
        (self.members[contactor.group].name.clone(), self.outlets[contactor.evse].number)
    }

    fn obey(&mut self, actions: Vec<Action>, now: Timestamp, wanted: &mut Wanted) {
        for action in actions {
            match action {
                Action::Set { group, voltage, current } => self.members[group].set(voltage, current, now),
                Action::Off(group) => self.members[group].off(),
                Action::Close(contactor) => wanted.close.push(self.named(contactor)),
                Action::Open(contactor) => wanted.open.push(self.named(contactor)),
            }
        }
    }

    /// Modules do not wait for a step; contactors do.
    fn feed(&mut self, input: Input, now: Timestamp) {
        let actions = self.pool.step(now, input);
        let mut wanted = std::mem::take(&mut self.next);
        self.obey(actions, now, &mut wanted);
        self.next = wanted;
    }

    /// What groups and contactors tell.
    fn listen(&mut self, now: Timestamp) {
        for group in 0..self.members.len() {
            if let Some(seen) = self.members[group].seen() {
                self.feed(Input::Seen(group, seen), now);
            }
            let ended = self.members[group].take_ended();
            if (ended || self.members[group].told().blocked)
                && let Some(evse) = self.pool.groups()[group].state.evse()
                && self.outlets[evse].is_live()
            {
                // What it gives cannot be known, or it went off by itself: only a new epoch of the EVSE energises.
                self.end_epoch(evse, now);
            }
        }
        let Some(state) = self.fresh_matrix(now) else { return };
        self.known = true;
        let at = Timestamp::from_micros(state.at);
        for contactor in self.contactors.clone() {
            let (group, evse) = self.named(contactor);
            let same = |told: &&voltry_bus::MatrixContactor| told.group == group && told.evse == evse;
            let position = match state.contactors.iter().find(same).map(|told| told.position) {
                Some(Contactors::Open) => Position::Open,
                Some(Contactors::Closed | Contactors::Mismatch) => Position::Closed,
                Some(Contactors::Unknown) | None => Position::Unknown,
            };
            self.feed(Input::Feedback(contactor, position), at);
        }
        if self.pool.all_fell_open() {
            self.matrix_lost("all of its contactors opened at once", now);
        }
    }

    fn fresh_matrix(&self, now: Timestamp) -> Option<MatrixState> {
        let state = self.matrix.borrow();
        let state = state.as_ref()?;
        let at = Timestamp::from_micros(state.at);
        (at <= now && now.since(at) <= STALE).then(|| state.clone())
    }

    fn watch_matrix(&mut self, now: Timestamp) {
        if self.fresh_matrix(now).is_some() {
            self.outlets.iter_mut().for_each(|outlet| outlet.faults.gone(MATRIX_MISSING));
            return;
        }
        let heard = self.matrix.borrow().as_ref().map(|state| Timestamp::from_micros(state.at));
        let since = heard.unwrap_or(self.started).max(self.started);
        if self.known && now.since(since) > self.rules.fresh {
            self.matrix_lost("nothing is heard of it", now);
        }
        if now.since(since) > MISSING {
            let cause = "nothing is heard of the contactors between modules and EVSEs";
            self.outlets.iter_mut().for_each(|outlet| outlet.raise(MATRIX_MISSING, cause.to_owned(), now));
        }
    }

    /// Nothing may flow through contactors of which nothing is known.
    fn matrix_lost(&mut self, why: &str, now: Timestamp) {
        if std::mem::take(&mut self.known) {
            tracing::warn!(why, "the matrix is not known: everything is switched off");
        }
        self.feed(Input::MatrixLost, now);
        for evse in 0..self.outlets.len() {
            if self.outlets[evse].is_live() {
                self.end_epoch(evse, now);
            }
        }
    }

    fn end_epoch(&mut self, evse: usize, now: Timestamp) {
        self.outlets[evse].end_epoch();
        self.tell_want(evse, now);
    }

    fn take_orders(&mut self, now: Timestamp) {
        for evse in 0..self.outlets.len() {
            let ordered = self.outlets[evse].take_orders(now);
            if let Some(holder) = ordered.holder {
                self.holders.watch(&holder);
            }
            if ordered.clear_faults {
                self.clear(now);
            }
            if ordered.news {
                self.tell_want(evse, now);
            }
        }
    }

    fn tell_want(&mut self, evse: usize, now: Timestamp) {
        let measured = self.bar(evse, now);
        let want = self.outlets[evse].want(measured);
        self.feed(Input::Want(evse, want), now);
    }

    fn clear(&mut self, now: Timestamp) {
        self.next.clears += 1;
        self.members.iter().for_each(Member::clear_faults);
        self.feed(Input::ClearFaults, now);
        for outlet in &mut self.outlets {
            outlet.faults.gone(GROUP_BARRED);
            for code in outlet.faults.clear() {
                tracing::info!(supply = outlet.number, code, "fault cleared");
            }
        }
    }

    /// The voltage at an EVSE's side of the matrix; `None` where it is not measured, or where the modules
    /// that are joined to it say another.
    fn bar(&self, evse: usize, now: Timestamp) -> Option<Volts> {
        let state = self.fresh_matrix(now)?;
        let number = self.outlets[evse].number;
        let bar = state.bars.iter().find(|bar| bar.evse == number)?;
        let bar = Volts::from_si(bar.voltage).ok()?;
        let agrees =
            |output: Measured<Output>| output.value.voltage.abs_diff(bar) <= self.rules.difference_max;
        let serves = |group: &usize| matches!(self.pool.groups()[*group].state, State::Serving { .. });
        let mut outputs =
            self.joined(evse).filter(serves).filter_map(|group| self.members[group].told().output);
        outputs.all(agrees).then_some(bar)
    }

    /// The groups whose contactor to an EVSE is closed.
    fn joined(&self, evse: usize) -> impl Iterator<Item = usize> + '_ {
        let closed =
            move |group: &usize| self.pool.position(Contactor { group: *group, evse }) == Position::Closed;
        (0..self.members.len()).filter(closed)
    }

    /// What can be told of the groups' contactors that needs a person.
    fn review(&mut self, now: Timestamp) {
        for group in 0..self.members.len() {
            let state = self.pool.groups()[group].state;
            let number = state.evse().map_or(0, |evse| self.outlets[evse].number);
            self.members[group].show(number, word(state));
            let State::Barred { evse, why } = state else {
                self.barred.remove(&group);
                continue;
            };
            if !self.barred.insert(group) {
                continue;
            }
            let (cause, other) = self.cause(group, evse, why);
            for evse in evse.into_iter().chain(other).collect::<BTreeSet<_>>() {
                self.outlets[evse].raise(GROUP_BARRED, cause.clone(), now);
                if other.is_some() && self.outlets[evse].is_live() {
                    // Two EVSEs may be joined: each has contactors of its own, and opens them.
                    self.end_epoch(evse, now);
                }
            }
        }
    }

    fn cause(&self, group: usize, evse: Option<usize>, why: Why) -> (String, Option<usize>) {
        let name = &self.members[group].name;
        let number = |evse: usize| self.outlets[evse].number;
        let own = evse.map_or_else(|| "no EVSE".to_owned(), |evse| format!("EVSE {}", number(evse)));
        match why {
            Why::DidNotOpen => {
                let time = self.rules.contactor_time.as_millis();
                (
                    format!(
                        "group {name} is not parted from {own} {time} ms after its contactor was told to open"
                    ),
                    None,
                )
            }
            Why::FellOpen => (format!("the contactor of group {name} to {own} opened by itself"), None),
            Why::ClosedByItself(other) => {
                let to = number(other);
                (
                    format!("group {name} was at {own} when its contactor to EVSE {to} closed by itself"),
                    Some(other),
                )
            }
        }
    }

    fn publish(&mut self, now: Timestamp) {
        for evse in 0..self.outlets.len() {
            if let Some(output) = self.output(evse, now) {
                self.outlets[evse].publish_output(output);
            }
            let groups = self.pool.groups().iter().zip(&self.members);
            let mut own = groups.filter(|(group, _)| group.state.evse() == Some(evse));
            let follow = own.clone().all(|(group, member)| match group.state {
                State::Serving { .. } | State::Ramping { .. } => member.has_confirmed(),
                State::Starting
                | State::Free
                | State::Matching { .. }
                | State::Closing { .. }
                | State::SwitchingOff { .. }
                | State::Opening { .. }
                | State::Lost { .. }
                | State::Barred { .. } => true,
            }) && !self.pool.turns(evse)
                && self.pool.capability(now, evse, self.pool.inverts(evse)) > Amps::ZERO;
            let off = own.all(|(_, member)| member.told().is_off);
            self.outlets[evse].confirm(follow, off, now);
        }
    }

    /// What an EVSE is given: the highest voltage and the sum of the currents of the groups that are joined
    /// to it; without one, what its side of the matrix measures. Of those that are not heard the current
    /// counts that they may give or take: who takes it for less than it is opens a contactor too early.
    fn output(&self, evse: usize, now: Timestamp) -> Option<Measured<Output>> {
        let (mut heard, mut unheard) = (Vec::new(), Amps::ZERO);
        for group in self.joined(evse) {
            match self.members[group].told().output.filter(|output| now.since(output.at) <= STALE) {
                Some(output) => heard.push(output),
                None => unheard += self.pool.groups()[group].may_give(now, self.rules.lost_after),
            }
        }
        if self.pool.inverts(evse) {
            unheard = Amps::ZERO - unheard;
        }
        let Some(at) = heard.iter().map(|output| output.at).min() else {
            let state = self.fresh_matrix(now)?;
            let output = Output { voltage: self.bar(evse, now)?, current: unheard };
            return Some(Measured::new(output, Timestamp::from_micros(state.at)));
        };
        let voltage = heard.iter().map(|output| output.value.voltage).max()?;
        let current = heard.iter().map(|output| output.value.current).sum::<Amps>() + unheard;
        Some(Measured::new(Output { voltage, current }, at))
    }

    /// What an EVSE can be given at this moment and what can be taken, and what all groups that it could have are
    /// rated for.
    fn able(&self, evse: usize, now: Timestamp) -> Able {
        let reaches = |group: &usize| self.contactors.contains(&Contactor { group: *group, evse });
        let groups: Vec<usize> = (0..self.members.len()).filter(reaches).collect();
        let told: Vec<Told> = groups.iter().map(|group| self.members[*group].told()).collect();
        let mut able = Able {
            current_rated: told.iter().map(|told| told.rated).sum(),
            discharge_rated: sum(told.iter().map(|told| told.discharge_rated)),
            ..Able::default()
        };
        let ready = || told.iter().filter(|told| told.capability.current_max > 0.0);
        if !self.known || ready().next().is_none() {
            return able;
        }
        able.capability.voltage_min = ready().map(|told| told.capability.voltage_min).fold(0.0, f64::max);
        able.capability.voltage_max =
            ready().map(|told| told.capability.voltage_max).fold(f64::MAX, f64::min);
        let mut discharges = Vec::new();
        for (group, told) in groups.into_iter().zip(&told) {
            let (capability, discharge) = (told.capability, told.discharge);
            let gives = self.share(group, evse, false, capability.current_max, now);
            able.capability.current_max += gives * capability.current_max;
            able.capability.power_max += gives * capability.power_max;
            let takes = self.share(group, evse, true, discharge.current_max, now);
            discharges.push(DcDischarge {
                voltage_min: discharge.voltage_min,
                current_max: takes * discharge.current_max,
                power_max: takes * discharge.power_max,
            });
        }
        able.discharge = sum(discharges.into_iter());
        if able.discharge.current_max > 0.0 {
            // What is ordered is held to what all groups can that may come.
            able.discharge.voltage_min = able.discharge_rated.voltage_min.max(able.capability.voltage_min);
        }
        able
    }

    /// How much of a group an EVSE has: of one that leaves what it still gives of all that it can, else the whole;
    /// its power, not its part, is what limits it.
    fn share(&self, group: usize, evse: usize, inverting: bool, all: f64, now: Timestamp) -> f64 {
        let part = self.pool.part(now, group, evse, inverting).as_si();
        if part <= 0.0 || all <= 0.0 {
            return 0.0;
        }
        let leaves = matches!(self.pool.groups()[group].state, State::Ramping { .. });
        if leaves { (part / all).min(1.0) } else { 1.0 }
    }
}

/// What several can take together, down to the voltage that the first of them stops at.
fn sum(discharges: impl Iterator<Item = DcDischarge>) -> DcDischarge {
    let can = discharges.filter(|discharge| discharge.current_max > 0.0);
    can.fold(DcDischarge::default(), |all, one| DcDischarge {
        voltage_min: all.voltage_min.max(one.voltage_min),
        current_max: all.current_max + one.current_max,
        power_max: all.power_max + one.power_max,
    })
}
