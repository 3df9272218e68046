//! The control loop: everything heard and asked comes here, one at a time.

mod admission;
mod energy;
mod orders;
mod readings;
mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, error, warn};
use voltry_bus::{
    Authorization, Connector, Error, EvseState, EvseStatus, MeterValues, PowerLimit, PowerShare, PowerSource,
    Reservation, ReserveOutcome, StartOutcome, TokenAnswer, Transaction,
};
use voltry_service::Stop;
use voltry_service::clock::now;
use voltry_service::fault_guide::FaultGuide;
use voltry_service::{RateLimit, Refusals};
use voltry_units::{Timestamp, WattHours, Watts};

pub(crate) use self::admission::{BackEnd, By, Presented};
use crate::authorization::{Authorizer, Payer, Token};
use crate::billing::{self, Billed};
use crate::book::{Book, NewEvent};
use crate::clock::{Clock, unix_now};
use crate::clock_marks::ClockMarks;
use crate::energy::Energy;
use crate::evse::{Evse, view};
use crate::evse_watch::{Heard, Proxies};
use crate::flow::FlowWatch;
use crate::guesses::Guesses;
use crate::limits::{Limit, Limits};
use crate::master_pass::MasterPass;
use crate::recorder::{Happening, Recorder};
use crate::reservations::{Held, Reservations};
use crate::session::{Action, Ending, Input};
use crate::variables::Variables;

/// Lines of log a minute about what is ordinary, but happens as often as others like.
pub(crate) const LINES_A_MINUTE: u32 = 10;
/// An EVSE answers within this time, or hangs.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// What people and other daemons ask for.
#[derive(Debug)]
pub(crate) enum Request {
    /// A token was shown.
    Present(Presented),
    /// Somebody has pressed the start button.
    PressStart { evse: u32, answer: oneshot::Sender<Result<StartOutcome, Error>> },
    /// Whoever has shown a master pass says which charge is meant; 0: all of them.
    EndByMasterPass { evse: u32, answer: oneshot::Sender<Result<(), Error>> },
    /// The back end lets somebody in.
    Start { evse: u32, payer: Payer, answer: oneshot::Sender<Result<StartOutcome, Error>> },
    /// Whatever runs on an EVSE is to end; answered when the EVSE has accepted it.
    Stop { evse: u32, why: Ending, answer: oneshot::Sender<Result<(), Error>> },
    /// The same of a transaction.
    StopTransaction { id: u64, why: Ending, answer: oneshot::Sender<Result<(), Error>> },
    /// The same of a session; plug 0: the one that waits for a plug.
    StopSession { evse: u32, plug: u64, why: Ending, answer: oneshot::Sender<Result<(), Error>> },
    /// A limit changes.
    Limit(SetLimit, oneshot::Sender<Result<(), Error>>),
    /// A place is to be held.
    Reserve(Held, oneshot::Sender<Result<ReserveOutcome, Error>>),
    /// A place is held no longer.
    CancelReservation(String, oneshot::Sender<bool>),
    /// An EVSE, or with 0 the station, was taken into or out of service; the book has it.
    Availability { evse: u32, available: bool, scheduled: oneshot::Sender<bool> },
    /// An EVSE is to be out of service for a check, with power for what that loads.
    Test { evse: u32, load: Watts, answer: oneshot::Sender<Result<(), Error>> },
    /// It loads nothing any more.
    Unloaded { evse: u32 },
    /// No further check follows.
    EndTest { evse: u32 },
    /// What the meter read last.
    ReadMeter(u32, oneshot::Sender<Result<MeterValues, Error>>),
}

/// A change of the limits.
#[derive(Debug)]
pub(crate) enum SetLimit {
    /// One is set.
    To(Limit),
    /// One is taken away.
    Clear { evse: u32, origin: String },
}

/// What the loop's own tasks come back with.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Of an EVSE's transaction.
    Opened(u32, Result<(u64, WattHours), String>),
    /// Of an EVSE's transaction.
    Closed(u32, Transaction),
    /// Of a token.
    Judged(Presented, Result<TokenAnswer, Error>),
    /// Whether an EVSE took the permit that was sent last.
    Permitted(u32, bool),
}

/// What is told to the bus once.
#[derive(Debug)]
pub(crate) enum News {
    TransactionEnded(Transaction),
    ReservationEnded {
        id: String,
        evse: u32,
        why: &'static str,
    },
    /// 0: at a reader of several EVSEs.
    TokenRefused {
        evse: u32,
        why: &'static str,
    },
}

/// What the bus may read.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Shown {
    pub(crate) evses: Vec<EvseStatus>,
    pub(crate) connectors: Vec<Connector>,
    pub(crate) limits: Vec<PowerLimit>,
    pub(crate) sources: Vec<PowerSource>,
    pub(crate) shares: Vec<PowerShare>,
    pub(crate) reservations: Vec<Reservation>,
    /// A master pass was shown, and which charge it means is asked at the screen.
    pub(crate) master_pass: bool,
}

pub(crate) struct Control {
    pub(crate) evses: BTreeMap<u32, Evse>,
    pub(crate) authorizer: Authorizer,
    /// Who judges tokens that are in no list; `None`: nobody.
    pub(crate) back_end: Option<BackEnd>,
    /// Tokens that the back end is asked for now, and for which EVSE.
    pub(crate) judging: Vec<(Token, u32)>,
    /// Codes that were typed in.
    pub(crate) guesses: Guesses,
    /// Whether anybody charges who presses it.
    pub(crate) start_button: bool,
    /// Whether the screen asks which charge a master pass means.
    pub(crate) master_pass_asks: bool,
    /// One that waits for the answer.
    pub(crate) master_pass: MasterPass,
    pub(crate) limits: Limits,
    pub(crate) reservations: Reservations,
    pub(crate) book: Book,
    pub(crate) clock: Clock,
    pub(crate) power_limit: Watts,
    pub(crate) energy: Energy,
    pub(crate) variables: Variables,
    pub(crate) marks: ClockMarks,
    /// For how long the book keeps what is over.
    pub(crate) keep: Duration,
    /// What fault codes mean, for the sentence of why a session ended.
    pub(crate) guide: FaultGuide,
    pub(crate) recorder: Recorder,
    pub(crate) pruned_at: Timestamp,
    /// The station as a whole is in service.
    pub(crate) in_service: bool,
    pub(crate) answers: mpsc::Sender<Answer>,
    pub(crate) shown: watch::Sender<Shown>,
    pub(crate) news: mpsc::Sender<News>,
    /// Lines of log about drivers, orders, and EVSEs that come and go.
    pub(crate) lines: RateLimit,
}

impl Control {
    /// Whether one more line of log is due, and of how many events it is the one that is told.
    fn due(&mut self) -> Option<u64> {
        self.lines.count(now())
    }

    /// The EVSEs on the bus.
    pub(crate) fn proxies(&self) -> BTreeMap<u32, Proxies> {
        self.evses.iter().map(|(number, evse)| (*number, evse.proxies.clone())).collect()
    }

    pub(crate) fn hear(&mut self, number: u32, heard: Heard) {
        let Some(place) = self.place(number) else { return };
        let Some(evse) = self.evses.get_mut(&number) else { return };
        match heard {
            Heard::Evse { state, session, ending, vehicle_id, contract, capability } => {
                let returned = evse.control.evse().is_none();
                let another = session.id != evse.session.id;
                evse.capability = Some(capability);
                evse.session = session;
                evse.vehicle_id = Token::parse(&vehicle_id).ok();
                evse.contract = Token::parse(&contract).ok();
                let view = view(state, &evse.session);
                if state == EvseState::Starting {
                    // It holds no permit of ours that it could use.
                    self.energy.permits_mut().lost(now(), place);
                }
                self.before_step(number, state, &ending);
                self.step(number, Input::Evse(view));
                self.after_step(number, state, ending);
                if another {
                    self.energy.forget(place);
                    self.forget_energy(number);
                }
                if returned {
                    self.brief(number);
                }
                self.let_in(number);
                self.note_flow(number);
                self.publish();
            }
            Heard::Faults(faults) => {
                evse.faults = faults;
                self.publish();
            }
            Heard::Device { device, faults } => {
                return self.hear_device(number, device, faults);
            }
            Heard::Live(live) => {
                evse.live = Some(live);
                self.record_flow(number, &live);
                self.hear_flow(number, &live);
                self.note_flow(number);
            }
            Heard::Meter(reading) => {
                if let Ok(register) = WattHours::from_si(reading.energy_import) {
                    evse.metered = Some(reading);
                    self.read(number, register);
                }
            }
            Heard::Absent => self.energy.permits_mut().lost(now(), place),
            Heard::Lost => {
                if let Some(count) = self.lines.count(now()) {
                    warn!(evse = number, count, "the EVSE's daemon left the bus");
                }
                evse.live = None;
                self.energy.forget(place);
                self.energy.permits_mut().lost(now(), place);
                self.note_absence(number);
                self.step(number, Input::EvseLost);
            }
        }
        self.share();
    }

    pub(crate) fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Opened(number, Ok((id, register))) => {
                if let Some(evse) = self.evses.get_mut(&number) {
                    evse.register_start = Some(register);
                    evse.register.set(now(), evse.register.value().max(Some(register)).unwrap_or(register));
                    evse.flow = FlowWatch::default();
                    (evse.booked_at, evse.event_at) = (now(), now());
                }
                self.recorder.note(number, Happening::Transaction(id));
                self.recorder
                    .note(number, Happening::Event(format!("transaction {id} has begun at {register}")));
                self.step(number, Input::Opened(Ok(id)));
            }
            Answer::Opened(number, Err(reason)) => self.step(number, Input::Opened(Err(reason))),
            Answer::Closed(number, transaction) => {
                // Read for the closing, maybe after the last that the meter told by itself.
                if let (Some(evse), Ok(end)) =
                    (self.evses.get_mut(&number), WattHours::from_si(transaction.register_end))
                {
                    evse.register.set(now(), evse.register.value().max(Some(end)).unwrap_or(end));
                }
                self.tell(News::TransactionEnded(transaction));
                self.step(number, Input::Closed);
                // Who has plugged in meanwhile waits, and says nothing new.
                self.let_in(number);
            }
            Answer::Judged(presented, answer) => self.judged(presented, answer),
            Answer::Permitted(number, taken) => {
                self.permitted(number, taken);
                // The next second shows it.
                return self.share();
            }
        }
        self.share();
        self.publish();
    }

    /// The daemon ends. If it was asked to, the machine may go down next: then no power was lost.
    pub(crate) async fn end(&self, stop: Stop) {
        match stop {
            Stop::Asked => {
                if let Err(error) = self.book.stop(self.clock.boot().clone()).await {
                    warn!(%error, "the book is not told of an end in order");
                }
            }
            Stop::BusLost => {}
        }
        self.recorder.finish().await;
    }

    /// What is asked. Whoever asked may have gone: an answer that nobody takes is dropped.
    pub(crate) fn ask(&mut self, request: Request) {
        match request {
            Request::Present(presented) => self.present(presented),
            Request::PressStart { evse, answer } => {
                let _ = answer.send(self.press_start(evse));
            }
            Request::EndByMasterPass { evse, answer } => {
                let _ = answer.send(self.end_by_master_pass(evse));
            }
            Request::Start { evse, payer, answer } => {
                let _ = answer.send(self.admit(evse, payer));
            }
            Request::Stop { evse, why, answer } => self.stop(evse, why, Some(answer)),
            Request::StopTransaction { id, why, answer } => self.stop_transaction(id, why, answer),
            Request::StopSession { evse, plug, why, answer } => self.stop_session(evse, plug, why, answer),
            Request::Limit(order, answer) => self.set_limit(order, answer),
            Request::Reserve(held, answer) => self.reserve(held, answer),
            Request::CancelReservation(id, answer) => {
                let _ = answer.send(self.cancel_reservation(&id));
            }
            Request::Availability { evse, available, scheduled } => {
                let _ = scheduled.send(self.set_available(evse, available));
            }
            Request::Test { evse, load, answer } => {
                let _ = answer.send(self.test(evse, load));
            }
            Request::Unloaded { evse } => self.loads(evse, Watts::ZERO),
            Request::EndTest { evse } => self.end_test(evse),
            Request::ReadMeter(evse, answer) => {
                let _ = answer.send(self.read_meter(evse));
            }
        }
        self.publish();
    }

    fn tell(&self, news: News) {
        if let Err(error) = self.news.try_send(news) {
            debug!(%error, "the bus is not told");
        }
    }

    /// Once a second.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        let numbers: Vec<u32> = self.evses.keys().copied().collect();
        for number in numbers {
            self.step(number, Input::Tick);
        }
        self.expire_expected(now);
        self.expire_orders();
        self.expire_tests(now);
        self.master_pass.expire(now);
        self.share();
        self.book.retry();
        self.prune(now);
        self.publish();
    }

    fn step(&mut self, number: u32, input: Input) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        for action in evse.control.step(now(), input) {
            self.perform(number, action);
        }
    }

    fn perform(&mut self, number: u32, action: Action) {
        self.share();
        let sentence = self.record_action(number, &action);
        let evse = &self.evses[&number];
        let billed =
            |session| Billed { evse: number, clock: self.clock.clone(), session, measured: evse.measured() };
        let (meter, book, answers) = (evse.proxies.meter.clone(), self.book.clone(), self.answers.clone());
        let Proxies { evse: proxy, untold, .. } = evse.proxies.clone();
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
                    detail: self.detail(number, kind, &why),
                };
                if let Err(error) = self.book.record(event) {
                    error!(evse = number, %kind, %error, "an event is lost");
                }
            }
            Action::Open { session, payer } => {
                let billed = billed(session);
                tokio::spawn(async move {
                    let opened = billing::open(meter, book, billed, payer).await;
                    let _ = answers.send(Answer::Opened(number, opened)).await;
                });
            }
            Action::Close { transaction, why } => {
                self.keep_last(evse, transaction);
                let billed = billed(evse.control.session().unwrap_or(0));
                let limit = self.power_limit;
                tokio::spawn(async move {
                    let closed =
                        billing::close(meter, book, billed, transaction, (why, sentence), limit).await;
                    let _ = answers.send(Answer::Closed(number, closed)).await;
                });
            }
            Action::Grant { session } => {
                // The share first: the vehicle hears our limits as soon as it is let in.
                if let Some(evse) = self.evses.get_mut(&number) {
                    evse.granting = Some((session, now()));
                }
                self.share();
            }
            Action::Stop { words } => {
                tokio::spawn(async move { tell(&untold, "Stop", proxy.stop(&words)).await });
            }
            Action::Refuse { session, reason } => {
                if let Some(count) = self.due() {
                    warn!(evse = number, reason, count, "session refused");
                }
                tokio::spawn(async move {
                    tell(
                        &untold,
                        "SetAuthorization",
                        proxy.set_authorization(session, Authorization::Refused),
                    )
                    .await;
                });
            }
        }
    }

    /// What a daemon that has come (back) must know.
    fn brief(&mut self, number: u32) {
        if let Some(place) = self.place(number) {
            self.energy.permits_mut().repeat(place);
        }
        let evse = &self.evses[&number];
        let Proxies { evse: proxy, untold, .. } = evse.proxies.clone();
        let available = evse.available;
        tokio::spawn(async move { tell(&untold, "SetAvailable", proxy.set_available(available)).await });
    }

    /// Somebody changed a setting.
    pub(crate) fn set(&mut self, variables: Variables) {
        self.authorizer.set_patience(variables.connection_timeout);
        if variables.clock_aligned_interval != self.variables.clock_aligned_interval {
            self.marks = ClockMarks::every(variables.clock_aligned_interval);
            let _ = self.marks.step(unix_now());
        }
        self.variables = variables;
    }

    pub(crate) fn publish(&mut self) {
        let shown = Shown {
            evses: self.evses.values().map(Evse::status).collect(),
            connectors: self.connectors(),
            limits: self.limits_shown(),
            sources: self.sources_shown(),
            shares: self.shares_shown(),
            reservations: self.reservations_shown(),
            master_pass: self.master_pass.waits(),
        };
        self.shown.send_if_modified(|published| {
            let changed = *published != shown;
            *published = shown;
            changed
        });
    }
}

/// Tells an EVSE something. One that hangs is not waited for: permits would pile up behind it.
async fn tell(untold: &Refusals, method: &'static str, call: impl Future<Output = Result<(), Error>>) {
    let told = timeout(ANSWER, call).await.unwrap_or_else(|_| Err(late()));
    // The log has it; what matters is said again.
    let _ = untold.note(method, told);
}

fn late() -> Error {
    Error::Unavailable(format!("no answer within {} s", ANSWER.as_secs()))
}
