//! The contactors between module groups and EVSEs: a pure state machine.
//!
//! Two EVSEs are never joined. The caller's allocator has that rule, and this has it again, from the
//! feedback contacts alone: a contactor closes only while all others of its group are open, by their
//! feedback and by command. Whatever is told by nobody, or told by feedback otherwise than it was told to,
//! ends in a latched fault, and its group stays parted until somebody clears it.

pub mod config;
pub mod message;
pub(crate) mod object;
pub(crate) mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use voltry_bus::{Contactors, Error, MatrixBar, MatrixContactor, MatrixState};
use voltry_service::{FaultLog, Lease, LeaseTimes, Stamp};
use voltry_units::{Measured, Timestamp, Volts};

pub use self::config::MatrixSettings;
use self::message::{EVSES_MAX, HOST_SILENT, Message, STARTED};
use crate::frame::Frame;

/// The controller is told this often.
const CONTROL_INTERVAL: Duration = Duration::from_millis(100);
/// Feedback that says nothing new is told no more often than this, and what is new no more than the second.
const REPEAT_INTERVAL: Duration = Duration::from_millis(90);
const NEWS_INTERVAL: Duration = Duration::from_millis(20);
/// A controller that has just been found speaks within this time.
const START_TIME: Duration = Duration::from_secs(2);
/// Orders to a controller that is not heard stay for so long: who shares modules misses it after half a second,
/// and the EVSEs' own contactors open within a second then. These are not made to break a current.
const SILENT_OPENS: Duration = Duration::from_millis(1_500);
/// The controller does not answer.
pub const SILENT: &str = "MatrixControllerSilent";
/// A contactor is not as commanded.
pub const CONTACTOR_FAULT: &str = "MatrixContactorFault";
/// A group is joined to two EVSEs.
pub const JOINED: &str = "MatrixEvsesJoined";
/// The controller opened everything by itself.
pub const SAFE_STATE: &str = "MatrixSafeState";

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The periodic message.
    Control(Frame),
    /// A message that is sent once.
    Once(Frame),
    /// Tell this.
    Publish(MatrixState),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    closed: u64,
    at: Timestamp,
}

/// A controller that was told to leave its safe state has left it by then, or somebody must tell it again.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);

/// The matrix and its controller.
#[derive(Debug)]
pub struct Matrix {
    settings: MatrixSettings,
    evses: Vec<u32>,
    lease: Lease,
    /// The places of the contactors that are to be closed.
    wanted: BTreeSet<usize>,
    /// When each was last told otherwise.
    told: Vec<Timestamp>,
    /// Those that did not do as told, until somebody clears it.
    barred: BTreeSet<usize>,
    heard: Option<Heard>,
    bars: [Option<Measured<Volts>>; EVSES_MAX],
    started: Timestamp,
    faults: FaultLog,
    sequence: u64,
    control_due: Timestamp,
    publish_due: bool,
    /// What waits to be told is new.
    is_news: bool,
    published: Timestamp,
    leave_safe_state: bool,
    /// When somebody cleared the safe state, which lasts until the controller has been told.
    safe_state_cleared: Option<Timestamp>,
    /// Its host was away because it was being started: no fault of anybody's.
    own_absence: bool,
    shutting_down: bool,
}

impl Matrix {
    /// A matrix that was just found: everything is to be open.
    #[must_use]
    pub fn new(settings: MatrixSettings, now: Timestamp) -> Self {
        Self {
            evses: settings.evses(),
            lease: Lease::new(LeaseTimes::SWITCH_MATRIX),
            wanted: BTreeSet::new(),
            told: vec![now; settings.contactors.len()],
            barred: BTreeSet::new(),
            heard: None,
            bars: [None; EVSES_MAX],
            started: now,
            faults: FaultLog::new(),
            sequence: 0,
            control_due: now,
            publish_due: false,
            is_news: false,
            published: Timestamp::BOOT,
            leave_safe_state: false,
            safe_state_cleared: None,
            own_absence: true,
            shutting_down: false,
            settings,
        }
    }

    /// Opens an epoch; everything opens.
    ///
    /// # Errors
    /// Those of the lease; `Unavailable` while the daemon ends.
    pub fn enable(&mut self, now: Timestamp, holder: &str, epoch: u64) -> Result<(), Error> {
        if self.shutting_down {
            return Err(Error::Unavailable("the board's daemon is ending".into()));
        }
        self.lease.enable(holder, epoch, now)?;
        self.want_none(now);
        Ok(())
    }

    /// Asks for a closed contactor.
    ///
    /// # Errors
    /// Those of the lease; `Invalid`; `Unavailable` while the controller is silent; `Refused` where it
    /// would, or might, join two EVSEs, and with a latched fault of the group.
    pub fn close(
        &mut self,
        now: Timestamp,
        holder: &str,
        stamp: Stamp,
        group: &str,
        evse: u32,
    ) -> Result<(), Error> {
        self.lease.command(holder, stamp, now)?;
        let place = self.place(group, evse)?;
        let heard = self.fresh(now).ok_or_else(|| Error::Unavailable("the controller is silent".into()))?;
        if self.faults.contains(SAFE_STATE) {
            return Err(Error::Refused("the controller is in its safe state".into()));
        }
        if self.of_group(place).any(|other| self.barred.contains(&other)) {
            return Err(Error::Refused(format!("a contactor of group {group} has a latched fault")));
        }
        // A feedback that is older than a contactor's last order and the time it takes proves nothing.
        let proven_open = |other: &usize| {
            !self.wanted.contains(other)
                && !is_set(heard.closed, *other)
                && heard.at >= self.told[*other] + self.settings.feedback
        };
        let joined = |other: &usize| *other != place && !proven_open(other);
        if let Some(other) = self.of_group(place).find(joined) {
            let to = self.settings.contactors[other].1;
            return Err(Error::Refused(format!("group {group} is not parted from EVSE {to}")));
        }
        if self.wanted.insert(place) {
            self.told[place] = now;
            self.control_due = now;
        }
        Ok(())
    }

    /// Extends the lease.
    ///
    /// # Errors
    /// Those of the lease.
    pub fn renew(&mut self, now: Timestamp, holder: &str, stamp: Stamp) -> Result<(), Error> {
        Ok(self.lease.renew(holder, stamp, now)?)
    }

    /// Opens a contactor; anybody may.
    ///
    /// # Errors
    /// `Invalid`: there is none such.
    pub fn open(&mut self, now: Timestamp, group: &str, evse: u32) -> Result<(), Error> {
        let place = self.place(group, evse)?;
        self.want_open(now, place);
        Ok(())
    }

    /// Opens everything and ends the epoch; anybody may.
    pub fn open_all(&mut self, now: Timestamp) {
        self.lease.release();
        self.want_none(now);
    }

    /// Clears faults whose cause is gone, and makes the controller leave its safe state.
    pub fn clear_faults(&mut self, now: Timestamp) {
        self.leave_safe_state = self.faults.contains(SAFE_STATE);
        self.safe_state_cleared = self.leave_safe_state.then_some(now);
        if let Some(heard) = self.fresh(now) {
            let wanted = &self.wanted;
            self.barred.retain(|place| is_set(heard.closed, *place) != wanted.contains(place));
        }
        for code in self.faults.clear() {
            tracing::info!(code, "fault cleared");
        }
    }

    /// A connection left the bus.
    pub fn left(&mut self, now: Timestamp, who: &str) {
        self.lease.holder_lost(who, now);
    }

    /// The bus is gone, or the daemon has to end: everything opens as if the holder had left.
    pub fn shut_down(&mut self, now: Timestamp) {
        self.shutting_down = true;
        self.lease.bus_lost(now);
    }

    /// Whether nothing is to be closed any more.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The controller spoke, at `at`: by now that may be a while ago.
    pub fn heard(&mut self, at: Timestamp, message: Message) {
        match message {
            Message::Feedback { closed, safe_state } => {
                self.publish_due = true;
                self.is_news |= self.heard.is_none_or(|heard| heard.closed != closed);
                self.faults.gone(SILENT);
                if matches!(safe_state, HOST_SILENT | STARTED) && self.own_absence {
                    self.leave_safe_state = true;
                } else if safe_state != 0 {
                    self.raise(
                        at,
                        SAFE_STATE,
                        format!("the controller opened everything: reason {safe_state}"),
                    );
                } else {
                    self.own_absence = false;
                    self.faults.gone(SAFE_STATE);
                    let cleared = self.safe_state_cleared.take();
                    if cleared.is_some_and(|cleared| at.since(cleared) <= LEAVES_WITHIN)
                        && self.faults.remove(SAFE_STATE)
                    {
                        tracing::info!(code = SAFE_STATE, "fault cleared");
                    }
                }
                self.heard = Some(Heard { closed, at });
            }
            Message::Bars { first, voltages } => {
                for (bar, voltage) in self.bars.iter_mut().skip(first).zip(voltages) {
                    *bar = voltage.map(|voltage| Measured::new(voltage, at));
                }
            }
        }
    }

    /// What is due now. Call it after every input, and at [`Self::deadline`].
    #[must_use]
    pub fn poll(&mut self, now: Timestamp) -> Vec<Action> {
        if !self.lease.poll(now).may_energise() && !self.wanted.is_empty() {
            tracing::warn!("the lease lapsed or its holder left: the matrix opens");
            self.want_none(now);
        }
        if self.faults.contains(SAFE_STATE) {
            self.want_none(now);
        }
        self.notice_silence(now);
        self.watch(now);
        let mut actions = Vec::new();
        if std::mem::take(&mut self.leave_safe_state) {
            actions.push(Action::Once(message::leave_safe_state()));
        }
        if now >= self.control_due {
            self.control_due = now + CONTROL_INTERVAL;
            let bits = self.wanted.iter().fold(0, |bits, place| bits | 1 << place);
            actions.push(Action::Control(message::control(bits)));
        }
        let rests = if self.is_news { NEWS_INTERVAL } else { REPEAT_INTERVAL };
        if self.publish_due && now.since(self.published) >= rests {
            (self.publish_due, self.is_news, self.published) = (false, false, now);
            actions.extend(self.news(now).map(Action::Publish));
        }
        actions
    }

    /// When [`Self::poll`] is due next.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        let lease = self.lease.deadline().filter(|_| !self.wanted.is_empty());
        lease.map_or(self.control_due, |lease| lease.min(self.control_due))
    }

    /// Whether the controller answers.
    #[must_use]
    pub fn is_online(&self, now: Timestamp) -> bool {
        self.fresh(now).is_some()
    }

    /// Its faults.
    #[must_use]
    pub const fn faults(&self) -> &FaultLog {
        &self.faults
    }

    fn place(&self, group: &str, evse: u32) -> Result<usize, Error> {
        let same = |(known, to): &(String, u32)| known == group && *to == evse;
        let place = self.settings.contactors.iter().position(same);
        place.ok_or_else(|| Error::Invalid(format!("no contactor joins group {group} to EVSE {evse}")))
    }

    /// All contactors of the group that this one is of.
    fn of_group(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        let contactors = &self.settings.contactors;
        (0..contactors.len()).filter(move |other| contactors[*other].0 == contactors[place].0)
    }

    fn fresh(&self, now: Timestamp) -> Option<Heard> {
        self.heard.filter(|heard| now.since(heard.at) < self.settings.stale)
    }

    fn want_open(&mut self, now: Timestamp, place: usize) {
        if self.wanted.remove(&place) {
            self.told[place] = now;
            self.control_due = now;
        }
    }

    fn want_none(&mut self, now: Timestamp) {
        for place in std::mem::take(&mut self.wanted) {
            self.told[place] = now;
            self.control_due = now;
        }
    }

    fn raise(&mut self, now: Timestamp, code: &str, cause: String) {
        let text = cause.clone();
        if self.faults.raise(code, cause, now) {
            tracing::warn!(code, cause = text, "fault");
        }
    }

    fn notice_silence(&mut self, now: Timestamp) {
        let since = self.heard.map_or(self.started + START_TIME, |heard| heard.at + self.settings.stale);
        if now >= since {
            self.raise(now, SILENT, "the matrix controller does not answer".into());
        }
        if now >= since + SILENT_OPENS {
            self.want_none(now);
        }
    }

    /// Compares the feedback with what was told.
    fn watch(&mut self, now: Timestamp) {
        let Some(Heard { closed, .. }) = self.fresh(now) else { return };
        let mut by_group: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut wrong = false;
        for (place, (group, evse)) in self.settings.contactors.clone().into_iter().enumerate() {
            let is_closed = is_set(closed, place);
            if is_closed {
                by_group.entry(group.clone()).or_default().push(place);
            }
            let wanted = self.wanted.contains(&place);
            if is_closed == wanted {
                continue;
            }
            wrong |= self.barred.contains(&place);
            let late = now.since(self.told[place]) > self.settings.feedback;
            if late && !self.barred.contains(&place) {
                wrong = true;
                let (told, is) = if wanted { ("close", "open") } else { ("open", "closed") };
                let time = self.settings.feedback.as_millis();
                let cause = format!(
                    "the contactor of group {group} to EVSE {evse} was told to {told} and is {is} after {time} ms"
                );
                self.raise(now, CONTACTOR_FAULT, cause);
                self.barred.insert(place);
                self.want_open(now, place);
                (self.publish_due, self.is_news) = (true, true);
            }
        }
        if !wrong {
            self.faults.gone(CONTACTOR_FAULT);
        }
        let mut joined = false;
        for (group, places) in by_group.into_iter().filter(|(_, places)| places.len() > 1) {
            joined = true;
            let evses: Vec<u32> = places.iter().map(|place| self.settings.contactors[*place].1).collect();
            self.raise(now, JOINED, format!("group {group} joins the EVSEs {evses:?}"));
            for place in places {
                self.want_open(now, place);
                self.barred.insert(place);
            }
        }
        if !joined {
            self.faults.gone(JOINED);
        }
    }

    fn news(&mut self, now: Timestamp) -> Option<MatrixState> {
        let Heard { closed, at } = self.fresh(now)?;
        let position = |place: usize| match (self.barred.contains(&place), is_set(closed, place)) {
            // Barred ones are told to be open.
            (true, true) => Contactors::Mismatch,
            (_, true) => Contactors::Closed,
            (_, false) => Contactors::Open,
        };
        let contactors = self.settings.contactors.iter().enumerate().map(|(place, (group, evse))| {
            MatrixContactor { group: group.clone(), evse: *evse, position: position(place) }
        });
        let contactors = contactors.collect();
        let bars = self.evses.iter().zip(&self.bars);
        let fresh = |bar: &Measured<Volts>| now.since(bar.at) < self.settings.stale;
        let bars = || bars.clone().filter_map(|(evse, bar)| Some((*evse, bar.filter(fresh)?)));
        // One date for all of them: none may pass for younger than it is.
        let at = bars().map(|(_, bar)| bar.at).fold(at, Timestamp::min);
        let bars = bars().map(|(evse, bar)| MatrixBar { evse, voltage: bar.value.as_si() }).collect();
        self.sequence += 1;
        Some(MatrixState { sequence: self.sequence, contactors, bars, at: at.as_micros() })
    }
}

fn is_set(bits: u64, place: usize) -> bool {
    bits & 1 << place != 0
}

#[cfg(test)]
mod tests;
