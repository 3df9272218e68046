//! One connector: what the board does by itself, and what it lets the energy path do.
//!
//! ```text
//! controller   Starting ──first state──▶ Speaking ──nothing for 300 ms──▶ Silent ──▶ Speaking
//!                 ▲  (nothing for 2 s ▶ Silent)  └──────── reset ────────┐
//!                 └──────────────────────────────────────────────────────┘
//! contactors   Open ──CloseContactors, under a lease, pilot C or D, nothing wrong──▶ Closed
//!                ▲   OpenContactors, local fault, pilot not C or D, silence,            │
//!                └── the lease lapsed, its holder gone for 300 ms ◀─────────────────────┘
//! ```
//!
//! The safety controller closes contactors in pilot state C only and opens them by itself on its
//! own faults. It would close them again, too, as soon as its reasons are gone, as long as we
//! request them: so a request is dropped, and its epoch ended, whenever the contactors open for
//! any reason. After a restart nothing is assumed: contactors open, pilot at −12 V.
//!
//! Without I/O: calls and messages in, [`Action`]s out of [`Connector::poll`], which is due after
//! every input and at [`Connector::deadline`].

mod heard;
mod news;

use std::time::Duration;

use voltry_bus::{ConnectorState, Contactors, Error, Lock, PilotOutput};
use voltry_service::{FaultLog, Lease, Stamp};
use voltry_units::Timestamp;

use crate::config::ConnectorSettings;
use crate::message::{Channel, ChargeState, Firmware, Message, SafeState};
use crate::wanted::Wanted;

use heard::Heard;

/// The controller expects its periodic message this often (vendor document).
const CONTROL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a controller may be silent after its power-up or reset. It answers 300 ms after its
/// reset (vendor document); the rest is guessed.
const START_TIME: Duration = Duration::from_secs(2);
/// For so long after a reset the controller cannot speak yet: it takes 300 ms (vendor document).
const DEAF_AFTER_RESET: Duration = Duration::from_millis(200);
/// An inquiry that was not answered is repeated this often; guessed.
const INQUIRY_INTERVAL: Duration = Duration::from_secs(1);

const ENDING: &str = "the board's daemon is ending";
const COMMUNICATION_FAULT: &str = "CommunicationFault";
const SILENT: &str =
    "nothing readable comes from the safety controller: it is silent, or its line is disturbed";

/// What the shell does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// What is wanted of the wires; only the newest counts.
    Want(Wanted),
    /// Ask the controller for its version.
    AskVersion,
    /// Reset the controller.
    Reset,
    /// Tell everybody.
    Publish(ConnectorState),
}

/// One connector and its safety controller.
#[derive(Debug)]
pub struct Connector {
    settings: ConnectorSettings,
    lease: Lease,
    controller: Controller,
    request: Request,
    pilot: PilotOutput,
    pilot_asked_by: String,
    lock: Option<bool>,
    /// Who asked for it has left the bus; it follows when the contactors are open.
    pilot_orphaned: bool,
    shutting_down: bool,
    faults: FaultLog,
    opened_under_load: u32,
    firmware: Option<Firmware>,
    published: Option<ConnectorState>,
    publish_due: bool,
    control_due: Timestamp,
    inquiry_due: Timestamp,
    reset_due: bool,
    /// The controller was found in the safe state that our own absence caused, and reset.
    own_absence_reset: bool,
    /// Faults are to be cleared once the controller has left its safe state.
    clearing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    /// Powered up or reset. A safe state told before `deaf_until` is from before the reset.
    Starting {
        deaf_until: Timestamp,
        until: Timestamp,
    },
    Speaking(Heard),
    Silent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Open {
        since: Timestamp,
    },
    /// `confirmed`: the feedback said closed.
    Closed {
        since: Timestamp,
        confirmed: bool,
    },
}

impl Connector {
    /// A connector that was just found: contactors open, pilot at −12 V.
    #[must_use]
    pub fn new(settings: ConnectorSettings, now: Timestamp) -> Self {
        Self {
            lease: Lease::new(settings.lease_times()),
            settings,
            controller: Controller::Starting { deaf_until: now, until: now + START_TIME },
            request: Request::Open { since: now },
            pilot: PilotOutput::F,
            pilot_asked_by: String::new(),
            pilot_orphaned: false,
            shutting_down: false,
            faults: FaultLog::new(),
            opened_under_load: 0,
            firmware: None,
            published: None,
            publish_due: false,
            control_due: now,
            inquiry_due: now,
            reset_due: false,
            lock: None,
            own_absence_reset: false,
            clearing: false,
        }
    }

    /// Opens an epoch of the contactors, which stay open, or open.
    ///
    /// # Errors
    /// Those of the lease; `Unavailable` while the daemon ends.
    pub fn enable(&mut self, now: Timestamp, holder: &str, epoch: u64) -> Result<(), Error> {
        if self.shutting_down {
            return Err(Error::Unavailable(ENDING.into()));
        }
        self.lease.enable(holder, epoch, now)?;
        self.request_open(now);
        Ok(())
    }

    /// Requests closed contactors.
    ///
    /// # Errors
    /// Those of the lease; `Unavailable` while the controller is silent; `Refused` with a local
    /// fault, or with the pilot not in C or D.
    pub fn close(&mut self, now: Timestamp, holder: &str, stamp: Stamp) -> Result<(), Error> {
        self.lease.command(holder, stamp, now)?;
        let heard = self.complete(now).ok_or_else(|| Error::Unavailable(SILENT.into()))?;
        if let Some(cause) = heard.reason_to_open() {
            return Err(Error::Refused(cause));
        }
        if matches!(self.request, Request::Open { .. }) {
            self.request = Request::Closed { since: now, confirmed: false };
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

    /// Opens the contactors and ends the epoch; anybody may.
    pub fn open(&mut self, now: Timestamp) {
        self.lease.release();
        self.request_open(now);
    }

    /// Drives the pilot. It goes to −12 V when who asked for it has left the bus and the contactors
    /// are open.
    ///
    /// # Errors
    /// `Unavailable` while the daemon ends.
    pub fn set_pilot(&mut self, now: Timestamp, by: &str, output: PilotOutput) -> Result<(), Error> {
        if self.shutting_down {
            return Err(Error::Unavailable(ENDING.into()));
        }
        by.clone_into(&mut self.pilot_asked_by);
        self.pilot_orphaned = false;
        self.drive_pilot(now, output);
        Ok(())
    }

    /// Locks or unlocks the plug.
    ///
    /// # Errors
    /// `Unavailable` while the controller is silent: whether there is a lock, and whether the contactors are
    /// open, is not known then. `Refused` when asked to lock where there is no lock, and to unlock while the
    /// contactors are not open.
    pub fn set_lock(&mut self, now: Timestamp, locked: bool) -> Result<(), Error> {
        let heard = self.fresh(now).ok_or_else(|| Error::Unavailable(SILENT.into()))?;
        let fitted = heard.state.lock != Lock::NotFitted;
        match (fitted, locked) {
            (false, true) => return Err(Error::Refused("this connector has no lock".into())),
            (false, false) => return Ok(()),
            (true, true) => {}
            (true, false) if self.is_open(now) => {}
            (true, false) => return Err(Error::Refused("the contactors are not open".into())),
        }
        self.lock = Some(locked);
        self.control_due = now;
        Ok(())
    }

    /// Clears the faults whose cause is gone, and resets a controller in its safe state.
    ///
    /// # Errors
    /// `Refused` while the contactors are requested or reported closed.
    pub fn reset(&mut self, now: Timestamp) -> Result<(), Error> {
        if matches!(self.request, Request::Closed { .. }) || self.contactors(now) == Contactors::Closed {
            return Err(Error::Refused("the contactors are not open".into()));
        }
        if self.fresh(now).is_some_and(|heard| heard.state.safe_state.is_some()) {
            self.reset_controller(now);
            self.clearing = true;
        }
        self.faults.clear();
        Ok(())
    }

    /// A connection left the bus.
    pub fn left(&mut self, now: Timestamp, who: &str) {
        self.lease.holder_lost(who, now);
        self.pilot_orphaned |= self.pilot_asked_by == who;
    }

    /// The bus is gone, or the daemon has to end: open as if the holder had left, then −12 V.
    pub fn shut_down(&mut self, now: Timestamp) {
        self.shutting_down = true;
        self.lease.bus_lost(now);
    }

    /// Whether contactors are no longer requested and the pilot is at −12 V.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        matches!(self.request, Request::Open { .. }) && self.pilot == PilotOutput::F
    }

    /// The controller spoke.
    pub fn heard(&mut self, now: Timestamp, message: Message) {
        match message {
            Message::ChargeState(state) => self.heard_state(now, state),
            Message::Temperatures(channels) => self.heard_temperatures(now, channels),
            Message::Version(firmware) => self.firmware = Some(firmware),
            Message::Other(_) => {}
        }
    }

    /// What is due now. Call it after every input, and at [`Self::deadline`].
    #[must_use]
    pub fn poll(&mut self, now: Timestamp) -> Vec<Action> {
        self.notice_silence(now);
        self.obey_lease(now);
        self.watch_contactors(now);
        if self.pilot_orphaned && matches!(self.request, Request::Open { .. }) {
            self.drive_pilot(now, PilotOutput::F);
        }
        let mut actions = Vec::new();
        if std::mem::take(&mut self.reset_due) {
            actions.push(Action::Reset);
        }
        if now >= self.control_due {
            self.control_due = now + CONTROL_INTERVAL;
            let close = matches!(self.request, Request::Closed { .. });
            actions.push(Action::Want(Wanted { pilot: self.pilot, close, lock: self.lock }));
        }
        if self.firmware.is_none() && now >= self.inquiry_due {
            self.inquiry_due = now + INQUIRY_INTERVAL;
            actions.push(Action::AskVersion);
        }
        if std::mem::take(&mut self.publish_due) {
            actions.extend(self.news(now).map(Action::Publish));
        }
        actions
    }

    /// When [`Self::poll`] is due next.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        let silence = match self.controller {
            Controller::Starting { until, .. } => Some(until),
            Controller::Speaking(heard) => Some(heard.stale_at(self.settings.stale)),
            Controller::Silent => None,
        };
        [self.lease.deadline(), silence].into_iter().flatten().fold(self.control_due, Timestamp::min)
    }

    /// Whether the controller answers.
    #[must_use]
    pub fn is_online(&self, now: Timestamp) -> bool {
        self.complete(now).is_some()
    }

    /// The controller's firmware, once it told.
    #[must_use]
    pub const fn firmware(&self) -> Option<&Firmware> {
        self.firmware.as_ref()
    }

    /// Its faults.
    #[must_use]
    pub const fn faults(&self) -> &FaultLog {
        &self.faults
    }

    /// How often the contactors opened while closed without having been asked: by the controller,
    /// by us, or by a lapse. Current may have flowed.
    #[must_use]
    pub const fn opened_under_load(&self) -> u32 {
        self.opened_under_load
    }

    fn heard_state(&mut self, now: Timestamp, state: ChargeState) {
        if let Controller::Starting { deaf_until, .. } = self.controller
            && let Some(reason) = state.safe_state
        {
            if now < deaf_until {
                return;
            }
            // It latched because nobody spoke to it while we were not running: our own doing.
            if reason == SafeState::HOST_SILENT && !self.own_absence_reset {
                self.reset_controller(now);
                return;
            }
        }
        let heard = match self.controller {
            Controller::Speaking(last) => Heard { state, state_at: now, ..last },
            Controller::Starting { .. } | Controller::Silent => Heard::first(state, now),
        };
        self.controller = Controller::Speaking(heard);
        self.own_absence_reset = true;
        self.publish_due = true;
        self.note_faults(now, &heard);
        // Only now is it seen which causes the reset has ended.
        if self.clearing && state.safe_state.is_none() {
            self.clearing = false;
            self.faults.clear();
        }
    }

    /// Temperatures alone end neither a start nor a silence: the state is what counts.
    fn heard_temperatures(&mut self, now: Timestamp, channels: [Option<Channel>; 4]) {
        let Controller::Speaking(heard) = &mut self.controller else { return };
        // With the first temperatures the state is complete; it need not wait for the next.
        self.publish_due |= heard.temperatures.is_none();
        heard.temperatures = Some(channels);
        heard.temperatures_at = now;
        let heard = *heard;
        self.note_faults(now, &heard);
    }

    fn reset_controller(&mut self, now: Timestamp) {
        self.reset_due = true;
        let (deaf_until, until) = (now + DEAF_AFTER_RESET, now + START_TIME);
        self.controller = Controller::Starting { deaf_until, until };
        self.own_absence_reset = true;
    }

    fn note_faults(&mut self, now: Timestamp, heard: &Heard) {
        for (code, cause) in heard.faults() {
            match cause {
                Some(cause) => self.raise(now, code, &cause),
                None => self.faults.gone(code),
            }
        }
        if heard.temperatures.is_some() {
            self.faults.gone(COMMUNICATION_FAULT);
        }
    }

    fn raise(&mut self, now: Timestamp, code: &str, cause: &str) {
        if self.faults.raise(code, cause, now) {
            tracing::warn!(code, cause, "fault");
        }
    }

    fn notice_silence(&mut self, now: Timestamp) {
        let silent = match self.controller {
            Controller::Starting { until, .. } => now >= until,
            Controller::Speaking(heard) => now >= heard.stale_at(self.settings.stale),
            Controller::Silent => false,
        };
        if silent {
            self.controller = Controller::Silent;
            self.raise(now, COMMUNICATION_FAULT, SILENT);
        }
    }

    fn obey_lease(&mut self, now: Timestamp) {
        if self.lease.poll(now).may_energise() {
            return;
        }
        if matches!(self.request, Request::Closed { .. }) {
            tracing::warn!("the lease lapsed or its holder left: contactors open");
            self.open_by_ourselves(now);
            self.drive_pilot(now, PilotOutput::F);
        }
        if self.shutting_down {
            self.drive_pilot(now, PilotOutput::F);
        }
    }

    fn watch_contactors(&mut self, now: Timestamp) {
        let Request::Closed { since, confirmed } = self.request else { return };
        let Some(heard) = self.complete(now) else {
            // Its fault is raised already. A controller that restarts would close them again.
            self.open_by_ourselves(now);
            return;
        };
        if let Some(cause) = heard.reason_to_open() {
            tracing::warn!(cause, "contactors open");
            self.open_by_ourselves(now);
            return;
        }
        match heard.feedback(self.settings.contactors()) {
            Some(true) => self.request = Request::Closed { since, confirmed: true },
            // Closed once, and now not: they opened by themselves, or the controller restarted.
            Some(false) | None if confirmed => {
                self.raise(now, "MREC17EVSEContactorFault", "contactors opened by themselves");
                self.open_by_ourselves(now);
            }
            Some(false) | None => {}
        }
    }

    fn open_by_ourselves(&mut self, now: Timestamp) {
        if matches!(self.request, Request::Closed { confirmed: true, .. }) {
            self.opened_under_load = self.opened_under_load.saturating_add(1);
        }
        self.open(now);
    }

    fn request_open(&mut self, now: Timestamp) {
        if matches!(self.request, Request::Closed { .. }) {
            self.request = Request::Open { since: now };
            self.control_due = now;
        }
    }

    fn drive_pilot(&mut self, now: Timestamp, output: PilotOutput) {
        if self.pilot != output {
            self.pilot = output;
            self.control_due = now;
        }
    }

    /// Requested open, and seen open.
    fn is_open(&self, now: Timestamp) -> bool {
        matches!(self.request, Request::Open { .. }) && self.contactors(now) == Contactors::Open
    }

    fn fresh(&self, now: Timestamp) -> Option<Heard> {
        match self.controller {
            Controller::Speaking(heard) if now < heard.stale_at(self.settings.stale) => Some(heard),
            Controller::Speaking(_) | Controller::Starting { .. } | Controller::Silent => None,
        }
    }

    /// The newest state, with the temperatures that belong to it.
    fn complete(&self, now: Timestamp) -> Option<Heard> {
        self.fresh(now).filter(|heard| heard.temperatures.is_some())
    }

    fn contactors(&self, now: Timestamp) -> Contactors {
        let Some(heard) = self.fresh(now) else { return Contactors::Unknown };
        let (asked, since) = match self.request {
            Request::Open { since } => (false, since),
            Request::Closed { since, .. } => (true, since),
        };
        let feedback = heard.feedback(self.settings.contactors());
        if feedback != Some(asked) && now.since(since) > self.settings.feedback {
            return Contactors::Mismatch;
        }
        match feedback {
            Some(true) => Contactors::Closed,
            Some(false) => Contactors::Open,
            None => Contactors::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
