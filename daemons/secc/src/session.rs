//! One vehicle's conversation over one connection, without a socket or a clock.
//!
//! The caller feeds it bytes ([`Session::receive`]), the time ([`Session::timeout`] when
//! [`Session::deadline`] has come) and the news that evse pushed something
//! ([`Session::update`]). After each of these it takes first the bytes to send
//! ([`Session::take_transmit`]), then the events ([`Session::poll_event`]): a vehicle is
//! answered before anybody is told.
//!
//! One request is open at a time. It is answered at once wherever that is possible, and held
//! otherwise until evse's push decides it or its time has come; see [`crate::decide`].

mod doubts;
mod ending;
mod event;
mod notes;
mod receipts;
mod schedules;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use voltry_bus::LinkOutcome;
use voltry_units::Timestamp;

use self::doubts::Doubts;
pub use self::event::Event;
use self::receipts::Receipts;
use self::schedules::Schedules;
use crate::config::Timing;
use crate::contract;
use crate::decide::{Cause, Question, Verdict};
use crate::message::{Answer, Code, EvLimits, EvStatus, Needs, Processing, Protocol, Request, Target};
use crate::order::Stage;
use crate::pushed::Pushed;
use crate::transcript::Said;
use crate::v2g::{Contracts, Identity, Incoming, Wire};

/// How long PreCharge and WeldingDetection wait for fresh present values; vehicles wait 2 s.
const FRESH: Duration = Duration::from_secs(1);
/// The same in the charge loop, where vehicles wait 250 ms: a push that is late by less ends no
/// session.
const FRESH_IN_LOOP: Duration = Duration::from_millis(100);

/// An open request.
#[derive(Debug)]
struct Held {
    request: Request,
    until: Timestamp,
}

/// One conversation.
#[derive(Debug)]
pub struct Session {
    timing: Timing,
    wire: Wire,
    protocol: Protocol,
    /// When the conversation began, and what the time of day was then.
    opened: (Timestamp, u64),
    id: [u8; 8],
    /// The id of a session that was paused, which this vehicle may resume.
    paused: Option<[u8; 8]>,
    stage: Stage,
    counter: u64,
    /// The counter of this session's first phase.
    since: u64,
    entered: Timestamp,
    /// When authorization was asked for first.
    authorizing: Option<Timestamp>,
    held: Option<Held>,
    /// Until when the vehicle must have said something, while no request is open.
    quiet_until: Timestamp,
    quiet_limit: Duration,
    heard: Timestamp,
    limits: EvLimits,
    status: Option<(EvStatus, Timestamp)>,
    /// What the vehicle needs, and when that was so; what evse was told of it, and when.
    needs: Option<(Needs, Timestamp)>,
    needs_told: Option<(Needs, Timestamp)>,
    /// The contract that the vehicle proved to hold.
    contract: Option<Arc<str>>,
    doubts: Doubts,
    receipts: Receipts,
    schedules: Schedules,
    /// The target that was told last, in which phase, and when.
    target: Option<(Target, u64, Timestamp)>,
    /// Why the vehicle was warned, for the log.
    warning: Option<String>,
    events: VecDeque<Event>,
}

impl Session {
    /// A vehicle connected. `id` must be unpredictable and not zero; `counter` is the phase
    /// counter so far; `paused` the session it may resume; `unix_seconds` the time of day.
    #[must_use]
    pub fn open(
        now: Timestamp,
        unix_seconds: u64,
        identity: Identity,
        timing: Timing,
        id: [u8; 8],
        paused: Option<[u8; 8]>,
        counter: u64,
    ) -> Self {
        Self {
            quiet_until: now + timing.setup,
            quiet_limit: timing.setup,
            timing,
            wire: Wire::new(identity),
            protocol: Protocol::Iso2,
            opened: (now, unix_seconds),
            id,
            paused,
            stage: Stage::Handshake,
            counter,
            since: counter + 1,
            entered: now,
            authorizing: None,
            held: None,
            heard: now,
            limits: EvLimits::default(),
            status: None,
            needs: None,
            needs_told: None,
            contract: None,
            doubts: Doubts::default(),
            receipts: Receipts::default(),
            schedules: Schedules::default(),
            target: None,
            warning: None,
            events: VecDeque::new(),
        }
    }

    /// Takes bytes of the vehicle.
    pub fn receive(&mut self, now: Timestamp, bytes: &[u8], pushed: &Pushed) {
        if self.stage == Stage::Closed {
            return;
        }
        let received = self.wire.receive(bytes);
        // What was whole before a bad header is answered, however TCP cut the stream.
        self.pump(now, pushed);
        if let Err(error) = received {
            self.cut(now, error);
        }
    }

    /// evse pushed something.
    pub fn update(&mut self, now: Timestamp, pushed: &Pushed) {
        if pushed.abort.is_some() && self.held.is_none() {
            // The next answer tells it; a vehicle that asks nothing any more is cut off.
            self.quiet_until = self.quiet_until.min(now + FRESH);
        }
        self.heed_judgement(pushed);
        self.settle(now, pushed);
        self.pump(now, pushed);
    }

    /// The time is [`Self::deadline`].
    pub fn timeout(&mut self, now: Timestamp, pushed: &Pushed) {
        self.rest(now);
        if self.held.is_some() {
            self.update(now, pushed);
        } else if now >= self.quiet_until && self.stage != Stage::Closed {
            let cause = match &pushed.abort {
                Some(reason) => Cause::Aborted(reason.clone()),
                None => Cause::Silent(self.quiet_limit),
            };
            let outcome = if pushed.abort.is_some() { LinkOutcome::Failed } else { LinkOutcome::Lost };
            self.end(now, Stage::Closed, outcome, Some(cause));
        }
    }

    /// The TLS handshake is done; the vehicle speaks next. `iso20`: ISO 15118-20 is offered beside
    /// what else is. `contracts`: those that are believed, if Plug & Charge is offered.
    pub fn secured(&mut self, now: Timestamp, iso20: bool, contracts: Option<Arc<Contracts>>) {
        self.heard = now;
        self.wire.secured(iso20, contracts);
    }

    /// When [`Self::timeout`] is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.stage == Stage::Closed {
            return None;
        }
        let until = self.held.as_ref().map_or(self.quiet_until, |held| held.until);
        Some(self.rests_at().map_or(until, |at| until.min(at)))
    }

    /// What to write to the vehicle.
    #[must_use]
    pub fn take_transmit(&mut self) -> Vec<u8> {
        self.wire.take_transmit()
    }

    /// What was heard and said since the last call, for the log.
    #[must_use]
    pub fn take_said(&mut self) -> Vec<Said> {
        self.wire.take_said()
    }

    /// Why the vehicle was warned since the last call, for the log.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// What to tell evse.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether the connection is to be closed, once everything is written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// Whether a new connection may take this one's place: it failed, or the vehicle owes a
    /// request and has been silent for two seconds, longer than any vehicle waits that then
    /// connects anew.
    #[must_use]
    pub fn is_replaceable(&self, now: Timestamp) -> bool {
        let silent = self.held.is_none() && now.since(self.heard) >= Duration::from_secs(2);
        silent || matches!(self.stage, Stage::Failed | Stage::Closed)
    }

    /// The phase counter so far.
    #[must_use]
    pub const fn counter(&self) -> u64 {
        self.counter
    }

    /// The id under which a paused vehicle comes back.
    #[must_use]
    pub const fn id(&self) -> [u8; 8] {
        self.id
    }

    /// Bytes and frames held, for the tests of its bounds.
    #[must_use]
    pub fn buffered(&self) -> (usize, usize, usize) {
        let (bytes, frames) = self.wire.held();
        (bytes, frames, self.events.len())
    }

    /// Takes whole messages until one is left open. Bounded by the frames that may wait.
    fn pump(&mut self, now: Timestamp, pushed: &Pushed) {
        while self.held.is_none() && self.stage != Stage::Closed {
            match self.wire.next_message(self.unix_seconds(now)) {
                Ok(None) => return,
                Ok(Some(Incoming::Agreed(protocol))) => {
                    self.stage = Stage::Setup;
                    self.protocol = protocol;
                    self.heard = now;
                    self.events.push_back(Event::Protocol(protocol.title()));
                }
                Ok(Some(Incoming::Request(id, request))) => self.ask(now, &id, request, pushed),
                Err(error) => return self.cut(now, error),
            }
        }
    }

    fn ask(&mut self, now: Timestamp, id: &[u8], request: Request, pushed: &Pushed) {
        self.heard = now;
        if self.stage == Stage::Failed {
            return self.farewell(now, &request, pushed);
        }
        if self.stage != Stage::Setup && id != self.id {
            let cause = Cause::UnknownSession(request.name());
            return self.refuse(now, &request, Code::FailedUnknownSession, cause, pushed);
        }
        let Some(stage) = self.stage.after(&request, self.protocol) else {
            let cause = if let Request::NotOffered(name) = request {
                Cause::NotOffered(name)
            } else {
                Cause::Order { request: request.name(), stage: self.stage }
            };
            return self.refuse(now, &request, Code::FailedSequenceError, cause, pushed);
        };
        if self.stage == Stage::Setup && self.paused.is_some_and(|paused| id == paused) {
            self.id = self.paused.unwrap_or(self.id);
        } else if self.stage == Stage::Setup {
            self.paused = None;
        }
        if let Some(tolerance) = self.stage.tolerates(&request) {
            tolerance.note(request.name());
        }
        self.enter(now, stage);
        self.note(now, &request);
        self.note_schedules(now, &request);
        self.rest(now);
        let until = now + self.hold(&request);
        self.held = Some(Held { request, until });
        self.settle(now, pushed);
    }

    /// How long an answer may wait for evse.
    fn hold(&self, request: &Request) -> Duration {
        match request {
            Request::Authorization
            | Request::ChargeParameterDiscovery { .. }
            | Request::ScheduleExchange { .. }
            | Request::CableCheck { .. } => self.timing.hold,
            Request::PreCharge { .. } | Request::WeldingDetection { .. } => FRESH,
            Request::CurrentDemand { .. } => FRESH_IN_LOOP,
            Request::PowerDelivery { .. } => self.timing.power_delivery_in(self.protocol),
            Request::Contract(request) => match request {
                contract::Request::Authorization { .. } => self.timing.hold,
                contract::Request::Certificate { .. } => self.timing.certificate,
                contract::Request::Selection { .. }
                | contract::Request::Details { .. }
                | contract::Request::MeteringReceipt { .. } => Duration::ZERO,
            },
            Request::SessionSetup { .. }
            | Request::AuthorizationSetup
            | Request::ServiceDiscovery
            | Request::ServiceDetail { .. }
            | Request::ServiceSelection { .. }
            | Request::PaymentServiceSelection { .. }
            | Request::SessionStop { .. }
            | Request::ServiceRenegotiation
            | Request::NotOffered(_) => Duration::ZERO,
        }
    }

    fn enter(&mut self, now: Timestamp, stage: Stage) {
        let before = self.stage.phase();
        self.stage = stage;
        if let Some(phase) = stage.phase()
            && before != Some(phase)
        {
            self.counter += 1;
            self.entered = self.counts_from(phase, now);
            self.events.push_back(Event::Phase { counter: self.counter, phase });
        }
    }

    fn question<'a>(
        &'a self,
        now: Timestamp,
        request: &'a Request,
        due: bool,
        pushed: &'a Pushed,
    ) -> Question<'a> {
        Question {
            request,
            protocol: self.protocol,
            stage: self.stage,
            counter: self.counter,
            since: self.since,
            now,
            asked: self.heard,
            entered: self.entered,
            due,
            receipt: self.receipt(now),
            judged: self.judged(pushed),
            planning: self.planning(now, request, pushed),
            pushed,
            timing: &self.timing,
        }
    }

    /// Answers the open request, if it can be.
    fn settle(&mut self, now: Timestamp, pushed: &Pushed) {
        self.watch_offer(now, pushed);
        self.watch_limit(now, pushed);
        let Some(held) = self.held.take() else { return };
        let question = self.question(now, &held.request, now >= held.until, pushed);
        match question.verdict() {
            Verdict::Wait => self.held = Some(held),
            Verdict::Say(processing) => {
                let body = question.body(processing, false);
                let code = self.code(&held.request);
                let answer = Answer { code, body };
                if self.send(now, &answer) {
                    self.proceed(now, &held.request, processing);
                    self.note_receipt(now, &held.request, &answer);
                    self.note_told(now, &held.request, &answer);
                }
            }
            Verdict::Warn(code, cause) => {
                let body = question.body(Processing::Finished, true);
                self.warning = Some(format!("{}: {cause}", held.request.name()));
                if self.send(now, &Answer { code, body }) {
                    self.await_request(now);
                }
            }
            Verdict::Fail(code, cause) => self.refuse(now, &held.request, code, cause, pushed),
        }
    }

    fn await_request(&mut self, now: Timestamp) {
        self.quiet_limit = self.timing.sequence;
        self.quiet_until = now + self.quiet_limit;
    }

    /// The code of an answer without failure.
    fn code(&self, request: &Request) -> Code {
        match (matches!(request, Request::SessionSetup { .. }), self.paused) {
            (true, Some(_)) => Code::OkOldSessionJoined,
            (true, None) => Code::OkNewSessionEstablished,
            (false, _) => Code::Ok,
        }
    }

    /// What an answer without failure opens.
    fn proceed(&mut self, now: Timestamp, request: &Request, processing: Processing) {
        let in_loop = self.stage == Stage::Charging
            && matches!(
                request,
                Request::CurrentDemand { .. } | Request::Contract(contract::Request::MeteringReceipt { .. })
            );
        self.quiet_limit = match self.protocol {
            Protocol::Iso20 if in_loop => self.timing.charge_loop,
            Protocol::Din | Protocol::Iso2 | Protocol::Iso20 => self.timing.sequence,
        };
        self.quiet_until = now + self.quiet_limit;
        match (request, self.stage) {
            (_, Stage::Authorizing { .. }) if processing == Processing::Finished => {
                self.stage = Stage::Authorizing { granted: true };
            }
            // In -20 the schedule exchange ends what the parameters began.
            (Request::ChargeParameterDiscovery { .. }, Stage::Parameters { .. })
                if self.protocol == Protocol::Iso20 => {}
            (_, Stage::Parameters { .. }) if processing == Processing::Finished => {
                self.stage = Stage::Parameters { agreed: true };
            }
            (_, Stage::CableCheck { .. }) if processing == Processing::Finished => {
                self.stage = Stage::CableCheck { passed: true };
            }
            (_, Stage::PowerOn) => self.enter(now, Stage::Charging),
            (Request::SessionStop { pause }, Stage::Stopping) => {
                let outcome = if *pause { LinkOutcome::Paused } else { LinkOutcome::Normal };
                self.end(now, Stage::Closed, outcome, None);
            }
            _ => {}
        }
    }

    /// Queues an answer; false if that was impossible and the connection is cut.
    fn send(&mut self, now: Timestamp, answer: &Answer) -> bool {
        match self.wire.send(self.id, self.unix_seconds(now), answer) {
            Ok(()) => true,
            Err(error) => {
                self.cut(now, error);
                false
            }
        }
    }

    fn unix_seconds(&self, now: Timestamp) -> u64 {
        let (opened, unix_seconds) = self.opened;
        unix_seconds + now.since(opened).as_secs()
    }
}
