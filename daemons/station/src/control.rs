//! The control loop: everything heard and asked comes here, one at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, error, info, warn};
use voltry_bus::{
    Authorization, AuthorizeOutcome, EndReason, Error, EventKind, EvseState, EvseStatus, Permit, TokenKind,
    Transaction,
};
use voltry_service::clock::now;
use voltry_units::{Timestamp, WattHours, Watts};

use crate::authorization::{Authorizer, Payer, Token};
use crate::billing::{self, Billed};
use crate::book::{Book, NewEvent};
use crate::clock::Clock;
use crate::evse::{Evse, view};
use crate::evse_watch::{Heard, asked};
use crate::flow::FlowWatch;
use crate::session::{Action, Ending, Input};
use crate::shares;

/// An EVSE answers within this time, or hangs.
const ANSWER: Duration = Duration::from_secs(5);
/// A permit holds for this long: charging goes on while the station restarts.
const PERMIT: Duration = Duration::from_secs(30);
/// Permits are renewed this often.
const PERMIT_INTERVAL: Duration = Duration::from_secs(5);
/// The newest reading of an open transaction is written this often.
const READING_INTERVAL: Duration = Duration::from_secs(10);
/// A reading is written as an event of its own this often.
const EVENT_INTERVAL: Duration = Duration::from_secs(60);

/// What people and other daemons ask for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A token was presented.
    Authorize { token: Token, evse: u32, answer: oneshot::Sender<Result<AuthorizeOutcome, Error>> },
    /// Whatever runs on an EVSE is to end; answered when the EVSE has accepted it.
    Stop { evse: u32, why: Ending, answer: oneshot::Sender<Result<(), Error>> },
    /// An EVSE was taken into or out of service; the book has it.
    Availability { evse: u32, available: bool },
}

/// What the loop's own tasks come back with.
#[derive(Debug)]
pub(crate) enum Answer {
    Opened(Result<(u64, WattHours), String>),
    Closed(Transaction),
}

pub(crate) struct Control {
    pub(crate) evses: BTreeMap<u32, Evse>,
    pub(crate) authorizer: Authorizer,
    pub(crate) book: Book,
    pub(crate) clock: Clock,
    pub(crate) power_limit: Watts,
    pub(crate) answers: mpsc::Sender<(u32, Answer)>,
    pub(crate) statuses: watch::Sender<Vec<EvseStatus>>,
    pub(crate) ended: mpsc::Sender<Transaction>,
    pub(crate) permitted_at: Timestamp,
}

impl Control {
    pub(crate) fn hear(&mut self, number: u32, heard: Heard) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        match heard {
            Heard::Evse { state, session, vehicle_id, contract, capability } => {
                let returned = evse.control.evse().is_none();
                evse.capability = Some(capability);
                evse.session = session;
                evse.vehicle_id = Token::parse(&vehicle_id).ok();
                let contract = Token::parse(&contract).ok();
                let shown = contract.is_some() && contract != evse.contract;
                evse.contract = contract;
                let view = view(state, &evse.session);
                self.step(number, Input::Evse(view));
                if returned {
                    self.brief(number);
                }
                self.let_in(number);
                if shown {
                    self.judge_contract(number);
                }
                self.publish();
            }
            Heard::Faults(faults) => {
                evse.faults = faults;
                self.publish();
            }
            Heard::Live(live) => {
                evse.live = Some(live);
                self.note_flow(number);
            }
            Heard::Meter(reading) => {
                if let Ok(register) = WattHours::from_si(reading.energy_import) {
                    evse.metered = Some(reading);
                    self.read(number, register);
                }
            }
            Heard::Lost => {
                warn!(evse = number, "the EVSE's daemon left the bus");
                evse.live = None;
                self.step(number, Input::EvseLost);
            }
        }
        self.share();
    }

    pub(crate) fn answered(&mut self, number: u32, answer: Answer) {
        match answer {
            Answer::Opened(Ok((id, register))) => {
                if let Some(evse) = self.evses.get_mut(&number) {
                    evse.register_start = Some(register);
                    evse.register.set(now(), evse.register.value().max(Some(register)).unwrap_or(register));
                    evse.flow = FlowWatch::default();
                    (evse.booked_at, evse.event_at) = (now(), now());
                }
                self.step(number, Input::Opened(Ok(id)));
            }
            Answer::Opened(Err(reason)) => self.step(number, Input::Opened(Err(reason))),
            Answer::Closed(transaction) => {
                if self.ended.try_send(transaction).is_err() {
                    debug!("nobody was told of the end of a transaction; the book has it");
                }
                self.step(number, Input::Closed);
            }
        }
        self.share();
        self.publish();
    }

    pub(crate) fn ask(&mut self, request: Request) {
        match request {
            Request::Authorize { token, evse, answer } => {
                // The asker may have gone.
                let _ = answer.send(self.authorize(token, evse));
            }
            Request::Stop { evse, why, answer } => self.stop(evse, why, Some(answer)),
            Request::Availability { evse: number, available } => {
                if let Some(evse) = self.evses.get_mut(&number) {
                    info!(evse = number, available, "availability changed");
                    evse.available = available;
                    self.brief(number);
                    self.let_in(number);
                }
            }
        }
        self.publish();
    }

    /// Once a second.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        let numbers: Vec<u32> = self.evses.keys().copied().collect();
        for number in numbers {
            self.step(number, Input::Tick);
        }
        self.share();
        self.book.retry();
        if now.since(self.permitted_at) >= PERMIT_INTERVAL {
            self.permitted_at = now;
            for evse in self.evses.values().filter(|evse| evse.control.evse().is_some()) {
                send_permit(evse);
            }
        }
        self.publish();
    }

    fn authorize(&mut self, token: Token, wanted: u32) -> Result<AuthorizeOutcome, Error> {
        if wanted != 0 && !self.evses.contains_key(&wanted) {
            return Err(Error::UnknownEvse(format!("there is no EVSE {wanted}")));
        }
        let outcome = |evse, outcome: &str| Ok(AuthorizeOutcome { evse, outcome: outcome.to_owned() });
        let candidates = || self.evses.values().filter(|evse| wanted == 0 || evse.number == wanted);
        let pays = |payer: &Payer| payer.token.as_ref() == Some(&token);
        if let Some(paid) = candidates().find(|evse| evse.control.payer().is_some_and(pays)) {
            let number = paid.number;
            self.stop(number, Ending::new(EndReason::Local, "stopped by token"), None);
            return outcome(number, "stopped");
        }
        if !self.authorizer.allows(&token) {
            info!(?token, "token refused");
            return outcome(wanted, "refused");
        }
        let waiting: Vec<u32> = candidates().filter(|evse| evse.welcomes()).map(|evse| evse.number).collect();
        let busy = wanted != 0 && candidates().any(|evse| evse.control.is_active());
        match waiting.as_slice() {
            [number] => {
                let number = *number;
                self.step(number, Input::LetIn(Payer::holder(token, TokenKind::Iso14443)));
                outcome(number, "granted")
            }
            [] if busy => outcome(wanted, "refused"),
            [] => {
                self.authorizer.remember(token, now());
                outcome(0, "remembered")
            }
            several => Err(Error::Invalid(format!("EVSEs {several:?} wait: name one"))),
        }
    }

    fn let_in(&mut self, number: u32) {
        if !self.evses.get(&number).is_some_and(Evse::welcomes) {
            return;
        }
        if self.authorizer.is_free() {
            self.step(number, Input::LetIn(Payer::anyone()));
        } else if let Some(payer) = self.vehicles_token(number) {
            self.step(number, Input::LetIn(payer));
        } else if let Some(token) = self.authorizer.take_remembered(now()) {
            self.step(number, Input::LetIn(Payer::holder(token, TokenKind::Iso14443)));
        }
    }

    /// What the vehicle brings by itself that is allowed; what is proved goes before what is claimed.
    fn vehicles_token(&self, number: u32) -> Option<Payer> {
        let evse = &self.evses[&number];
        let brought =
            [(evse.contract.as_ref(), TokenKind::Emaid), (evse.vehicle_id.as_ref(), TokenKind::MacAddress)];
        let allowed = |(token, kind): (Option<&Token>, TokenKind)| {
            let token = token.filter(|token| self.authorizer.allows(token))?;
            Some(Payer::holder(token.clone(), kind))
        };
        brought.into_iter().find_map(allowed)
    }

    /// A vehicle showed a contract. One that is not listed does not turn the driver away: as long as
    /// the vehicle waits, a token may still be presented.
    fn judge_contract(&self, number: u32) {
        let evse = &self.evses[&number];
        if let Some(contract) = evse.contract.as_ref().filter(|contract| !self.authorizer.allows(contract)) {
            info!(evse = number, ?contract, "contract refused");
        }
    }

    /// Ends whatever runs on an EVSE; `answer` is told when the EVSE has accepted it.
    fn stop(&mut self, number: u32, why: Ending, answer: Option<oneshot::Sender<Result<(), Error>>>) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        let (proxy, mut answer) = (evse.proxies.evse.clone(), answer);
        for action in evse.control.step(now(), Input::Stop(why)) {
            if let Action::Stop { words } = &action
                && let Some(answer) = answer.take()
            {
                let (words, proxy) = (words.clone(), proxy.clone());
                tokio::spawn(async move {
                    // The asker may have gone.
                    let _ = answer.send(asked(number, proxy.stop(&words)).await);
                });
            } else {
                self.perform(number, action);
            }
        }
    }

    fn step(&mut self, number: u32, input: Input) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        for action in evse.control.step(now(), input) {
            self.perform(number, action);
        }
    }

    fn perform(&mut self, number: u32, action: Action) {
        self.share();
        let evse = &self.evses[&number];
        let billed =
            |session| Billed { evse: number, clock: self.clock.clone(), session, measured: evse.measured() };
        let (meter, book, answers) = (evse.proxies.meter.clone(), self.book.clone(), self.answers.clone());
        let proxy = evse.proxies.evse.clone();
        match action {
            Action::Note { session, kind, payer, why } => {
                let event = NewEvent {
                    evse: number,
                    plug: session,
                    stamp: self.clock.stamp(),
                    kind,
                    payer,
                    measured: evse.measured(),
                    reason: why.reason,
                    detail: why.words,
                };
                if let Err(error) = self.book.record(event) {
                    error!(evse = number, %kind, %error, "an event is lost");
                }
            }
            Action::Open { session, payer } => {
                let billed = billed(session);
                tokio::spawn(async move {
                    let opened = billing::open(meter, book, billed, payer).await;
                    let _ = answers.send((number, Answer::Opened(opened))).await;
                });
            }
            Action::Close { transaction, why } => {
                let billed = billed(evse.control.session().unwrap_or(0));
                let limit = self.power_limit;
                tokio::spawn(async move {
                    let closed = billing::close(meter, book, billed, transaction, why, limit).await;
                    let _ = answers.send((number, Answer::Closed(closed))).await;
                });
            }
            Action::Grant { session } => {
                // The share first: the vehicle hears our limits as soon as it is let in.
                let permit = permit(evse);
                tokio::spawn(async move {
                    tell("permit", proxy.set_permit(permit)).await;
                    tell("authorizing", proxy.set_authorization(session, Authorization::Granted)).await;
                });
            }
            Action::Stop { words } => {
                tokio::spawn(async move { tell("stopping", proxy.stop(&words)).await });
            }
            Action::Refuse { session, reason } => {
                warn!(evse = number, reason, "session refused");
                tokio::spawn(async move {
                    tell("refusing", proxy.set_authorization(session, Authorization::Refused)).await;
                });
            }
        }
    }

    /// What a daemon that has come (back) must know.
    fn brief(&self, number: u32) {
        let evse = &self.evses[&number];
        let (proxy, available, permit) = (evse.proxies.evse.clone(), evse.available, permit(evse));
        tokio::spawn(async move {
            tell("availability", proxy.set_available(available)).await;
            tell("permit", proxy.set_permit(permit)).await;
        });
    }

    fn share(&mut self) {
        let demands: Vec<_> = self.evses.values().map(Evse::demand).collect();
        for (evse, share) in self.evses.values_mut().zip(shares::equal(self.power_limit, &demands)) {
            if evse.share != share {
                evse.share = share;
                if evse.control.evse().is_some() {
                    send_permit(evse);
                }
            }
        }
    }

    fn note_flow(&mut self, number: u32) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        if evse.control.transaction().is_none() {
            return;
        }
        if let Some(news) = evse.seen().and_then(|seen| evse.flow.step(now(), seen)) {
            self.step(number, Input::Flow(news));
        }
    }

    /// Takes a reading of the meter and writes it when it is due. Before one that contradicts it,
    /// the last that is believed is written at once: it may be all that can be billed.
    fn read(&mut self, number: u32, reads: WattHours) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        let now = now();
        let Some(transaction) = evse.control.transaction() else { return evse.register.set(now, reads) };
        let believed = evse.register.advance(now, reads, self.power_limit);
        let (Some(register), Some(heard_at)) = (evse.register.value(), evse.register.heard_at()) else {
            return;
        };
        if !believed && let Some(count) = evse.contradictions.count(now) {
            warn!(evse = number, transaction, count, %reads, before = %register, "the meter contradicts itself");
        }
        let as_event = now.since(evse.event_at) >= EVENT_INTERVAL;
        let at_once = !believed && heard_at > evse.booked_at;
        if !as_event && !at_once && now.since(evse.booked_at) < READING_INTERVAL {
            return;
        }
        evse.booked_at = now;
        if as_event {
            evse.event_at = now;
        }
        let (book, stamp, measured) = (self.book.clone(), self.clock.stamp(), evse.measured());
        let event = as_event.then_some(EventKind::Reading);
        tokio::spawn(async move {
            if let Err(error) = book.reading(transaction, stamp, measured, event).await {
                warn!(transaction, %error, "a reading was not written");
            }
        });
    }

    fn publish(&self) {
        let statuses: Vec<EvseStatus> = self.evses.values().map(Evse::status).collect();
        self.statuses.send_if_modified(|published| {
            let changed = *published != statuses;
            *published = statuses;
            changed
        });
    }
}

fn permit(evse: &Evse) -> Permit {
    Permit {
        allowed: evse.available,
        power: evse.share.as_si(),
        valid_for: PERMIT.as_secs_f64(),
        sent_at: now().as_micros(),
    }
}

fn send_permit(evse: &Evse) {
    if evse.state() == Some(EvseState::Starting) {
        return;
    }
    let (proxy, permit) = (evse.proxies.evse.clone(), permit(evse));
    tokio::spawn(async move { tell("permit", proxy.set_permit(permit)).await });
}

/// Tells an EVSE something. One that hangs is not waited for: permits would pile up behind it.
async fn tell(what: &str, call: impl Future<Output = Result<(), Error>>) {
    match timeout(ANSWER, call).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "{what} did not reach the EVSE"),
        Err(_) => warn!("{what}: no answer from the EVSE within {} s", ANSWER.as_secs()),
    }
}
