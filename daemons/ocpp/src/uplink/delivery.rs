//! The transaction messages: in the book's order, each until the CSMS has it. Pure.
//!
//! ```text
//!   book ──▶ ahead ──▶ current line ──▶ message ──▶ sent ──▶ acknowledged ──▶ next line
//!                                          ▲          │ lost: again with the same id
//!                                          └──────────┘ refused, or no answer: again later, in the end
//!                                                         set aside
//! ```
//!
//! What is stored: the last line of which everything was acknowledged, what the CSMS knows by then
//! ([`Transactions`]), and under which id the next line's message went out. That is enough to go on
//! from any instant at which the machine dies.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use voltry_units::Timestamp;

use crate::config::Version;
use crate::transactions::{self, About, Event, Kind, Message, Occasion, Sample, Told, Transactions};

/// Lines read from the book ahead of time, at the most.
pub const AHEAD: u32 = 50;

/// How long a CSMS may say nothing at all to one message before the next ones go on without it. A
/// back end that is down behind a gateway that answers the rest is silent for hours, and what it
/// missed must not be lost to it; a message that it cannot bear must not hold the others up for ever.
const SILENCE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest pause between two tries of a message to which nothing is said.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// How far it has come: what the store keeps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The last line of the book of which the CSMS has everything.
    pub acknowledged: u64,
    /// What it knows by then.
    pub transactions: Transactions,
    /// The message of the next line that is under way.
    #[serde(default)]
    pub sending: Option<Sending>,
}

/// A message that went out, or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// The line of the book.
    pub line: u64,
    /// The id of its CALL.
    pub id: String,
    /// The payload as it went out: the same again after a restart, whatever was configured since.
    pub payload: String,
}

/// Where the message stands that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It may go out.
    Ready,
    /// It is out.
    Out,
    /// Refused; it goes out again then.
    Waiting(Timestamp),
}

#[derive(Debug)]
struct Current {
    line: u64,
    message: Message,
    /// What the CSMS knows after this line.
    after: Transactions,
    id: Option<String>,
    /// From before a restart: what had gone out.
    payload: Option<String>,
    turn: Turn,
    attempts: u64,
    /// When the CSMS first said nothing to it.
    silent_since: Option<Timestamp>,
}

/// How a transaction of 2.0.1 stands, by all that was read of the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionStatus {
    /// Where it runs, and the book's transaction (0: none yet); `None`: it is over, or never was.
    pub running: Option<(u32, u64)>,
    /// The book has more, which may be its end.
    pub unread: bool,
    /// The CSMS has not heard all of it.
    pub untold: bool,
}

/// A message that the CSMS does not take.
#[derive(Debug, Clone, PartialEq)]
pub struct SetAside {
    /// The line of the book.
    pub line: u64,
    /// OCPP's action.
    pub action: &'static str,
    /// Its payload.
    pub payload: String,
}

/// The queue of transaction messages.
#[derive(Debug)]
pub struct Delivery {
    version: Version,
    progress: Progress,
    ahead: VecDeque<Event>,
    /// Readings that the CSMS asked for or that a changed limit asks for, one of an EVSE at the most. They are in no book: a restart
    /// forgets them.
    triggered: VecDeque<Event>,
    reading: bool,
    /// The newest line that the book has.
    newest: u64,
    /// Lines from this one on happened while the CSMS listened.
    online_from: u64,
    current: Option<Current>,
}

impl Delivery {
    /// Goes on from where the store says.
    #[must_use]
    pub fn new(version: Version, progress: Progress) -> Self {
        Self {
            version,
            current: triggered_before(version, &progress),
            progress,
            ahead: VecDeque::new(),
            triggered: VecDeque::new(),
            reading: false,
            newest: 0,
            online_from: u64::MAX,
        }
    }

    /// Whether a transaction of 2.0.1 runs at this EVSE; then the CSMS hears of it once more for this
    /// occasion, which is in no book (F06, K11), after all that waits.
    pub fn trigger(&mut self, told: &Told, evse: u32, sample: Sample, occasion: Occasion) -> bool {
        let plugged = self.by_book(told).plugged;
        let Some(plug) = plugged.get(&evse).filter(|plug| plug.running.is_some()) else { return false };
        let event = Event {
            number: self.progress.acknowledged,
            unix: sample.unix,
            clock_set: true,
            at: None,
            evse,
            session: plug.session,
            transaction: plug.transaction,
            kind: Kind::Reading,
            token: None,
            sample,
            reason: None,
            remote_start: None,
            reservation: None,
            occasion,
            signed: None,
        };
        if !self.triggered.iter().any(|waits| waits.evse == evse) {
            self.triggered.push_back(event);
        }
        true
    }

    /// What must be stored before anything else happens.
    #[must_use]
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Lines that wait.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.newest.saturating_sub(self.progress.acknowledged)
    }

    /// What the CSMS knows, or is about to be told.
    #[must_use]
    pub fn known(&self) -> &Transactions {
        self.current.as_ref().map_or(&self.progress.transactions, |current| &current.after)
    }

    /// What it will know once it has heard all that was read of the book.
    #[must_use]
    pub fn by_book(&self, told: &Told) -> Transactions {
        self.beyond(told, |_| {})
    }

    /// Goes beyond what the CSMS is about to be told, message by message, to all that was read of the book.
    fn beyond(&self, told: &Told, mut message: impl FnMut(&Message)) -> Transactions {
        if let Some(current) = &self.current {
            message(&current.message);
        }
        let mut after = self.known().clone();
        for event in self.ahead.iter().filter(|event| event.number > self.last_taken()) {
            if let Some(wanted) = transactions::apply(&mut after, self.version, event, told, false) {
                message(&wanted);
            }
        }
        after
    }

    /// The line of the book up to which all is told, or about to be.
    fn last_taken(&self) -> u64 {
        self.current.as_ref().map_or(self.progress.acknowledged, |current| current.line)
    }

    /// The line up to which the book was read.
    fn last_read(&self) -> u64 {
        self.ahead.back().map_or_else(|| self.last_taken(), |event| event.number)
    }

    /// Whether the book has more than was read of it, as after a long outage.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.last_read() < self.newest
    }

    /// Whether the CSMS has to hear anything of transactions.
    #[must_use]
    pub fn has_untold(&self) -> bool {
        self.waiting() > 0 || self.current.is_some() || !self.triggered.is_empty()
    }

    /// How a transaction of 2.0.1 stands.
    #[must_use]
    pub fn status_of(&self, id: &str, told: &Told) -> TransactionStatus {
        let mut untold = false;
        let after =
            self.beyond(told, |message| untold |= message.payload["transactionInfo"]["transactionId"] == id);
        let running = after.running(id).map(|(evse, plug)| (evse, plug.transaction));
        let asked = |event: &Event| running.is_some_and(|(evse, _)| evse == event.evse);
        let unread = running.is_some() && self.has_unread();
        let untold = untold || unread || self.triggered.iter().any(asked);
        TransactionStatus { running, unread, untold }
    }

    /// The book has lines up to this one.
    pub fn book_grew(&mut self, newest: u64) {
        self.newest = self.newest.max(newest);
    }

    /// The CSMS listens from now on: what the book has already, happened while it did not.
    pub fn online(&mut self) {
        self.online_from = self.newest + 1;
        if let Some(current) = self.current.as_mut().filter(|current| current.turn == Turn::Out) {
            current.turn = Turn::Ready;
        }
    }

    /// It is gone: what was out goes out again, with the same id.
    pub fn offline(&mut self) {
        self.online_from = u64::MAX;
        self.triggered.clear();
        if let Some(current) = self.current.as_mut().filter(|current| current.turn == Turn::Out) {
            current.turn = Turn::Ready;
        }
    }

    /// After which line the book is to be read now.
    pub fn wants(&mut self) -> Option<u64> {
        let last = self.last_read();
        let wanted = !self.reading && self.ahead.is_empty() && last < self.newest;
        self.reading |= wanted;
        wanted.then_some(last)
    }

    /// What the book gave; nothing if it could not be read.
    pub fn read(&mut self, events: Vec<Event>) {
        self.reading = false;
        for event in events {
            self.newest = self.newest.max(event.number);
            self.ahead.push_back(event);
        }
    }

    /// Goes through the book up to the next line of which the CSMS must hear. `time` is the time of
    /// day to tell for an event. Returns whether the progress changed.
    fn advance(&mut self, told: &Told, time: &impl Fn(&Event) -> i64) {
        while self.current.is_none() {
            let Some(mut event) = self.ahead.pop_front().or_else(|| self.next_triggered()) else { return };
            let triggered = !event.occasion.is_booked();
            if !triggered {
                if event.number <= self.progress.acknowledged {
                    continue;
                }
                event.sample.unix = time(&event);
            }
            let mut after = self.progress.transactions.clone();
            let offline = !triggered && event.number < self.online_from;
            let message = transactions::apply(&mut after, self.version, &event, told, offline);
            let Some(message) = message else {
                self.progress.transactions = after;
                self.progress.acknowledged = event.number;
                self.progress.sending = None;
                continue;
            };
            if triggered {
                // Its number in the transaction is used up before it leaves.
                self.progress.transactions = after.clone();
            }
            let kept = self.progress.sending.take().filter(|kept| kept.line == event.number);
            let (id, payload) = kept.map(|kept| (kept.id, kept.payload)).unzip();
            self.current = Some(Current {
                line: event.number,
                message,
                after,
                id,
                payload,
                turn: Turn::Ready,
                attempts: 0,
                silent_since: None,
            });
        }
    }

    /// A reading that was asked for, once the book is told; none of a transaction that was over by then.
    fn next_triggered(&mut self) -> Option<Event> {
        if self.progress.acknowledged < self.newest {
            return None;
        }
        let plugged = &self.progress.transactions.plugged;
        let runs = |event: &Event| plugged.get(&event.evse).is_some_and(|plug| plug.may_have(event));
        while let Some(event) = self.triggered.pop_front() {
            if runs(&event) {
                return Some(Event { number: self.progress.acknowledged, ..event });
            }
        }
        None
    }

    /// Whether there are lines to go through, or a message that waits.
    pub fn has_lines(&self) -> bool {
        self.current.is_some() || !self.ahead.is_empty() || !self.triggered.is_empty()
    }

    /// The message to send now, with its id. The progress must be stored before it leaves.
    pub fn next(
        &mut self,
        now: Timestamp,
        told: &Told,
        time: &impl Fn(&Event) -> i64,
        new_id: &mut impl FnMut() -> String,
    ) -> Option<Out> {
        self.advance(told, time);
        let current = self.current.as_mut()?;
        match current.turn {
            Turn::Out => return None,
            Turn::Waiting(until) if now < until => return None,
            Turn::Ready | Turn::Waiting(_) => {}
        }
        let message = &current.message;
        let payload = current.payload.get_or_insert_with(|| message.payload.to_string()).clone();
        if message.about == About::Undeliverable {
            return self.set_aside().map(Out::SetAside);
        }
        let id = current.id.get_or_insert_with(&mut *new_id).clone();
        current.turn = Turn::Out;
        let (line, action) = (current.line, message.action);
        self.progress.sending = Some(Sending { line, id: id.clone(), payload: payload.clone() });
        Some(Out::Call { id, action, payload })
    }

    /// The message that is out was taken. `csms`: the number that 1.6's answer brings.
    pub fn acknowledged(&mut self, csms: Option<i64>) -> Option<About> {
        let current = self.current.as_ref().filter(|current| current.turn == Turn::Out)?;
        let about = current.message.about.clone();
        self.pass(csms);
        Some(about)
    }

    /// Goes on to the next line.
    fn pass(&mut self, csms: Option<i64>) {
        let Some(mut current) = self.current.take() else { return };
        if let About::Start { transaction, .. } = current.message.about
            && let Some(charge) = current.after.charges.get_mut(&transaction)
        {
            charge.csms = csms;
        }
        self.progress.sending = None;
        self.progress.acknowledged = current.line;
        self.progress.transactions = current.after;
    }

    /// The message that is out was refused: it goes out again, later each time, and is set aside
    /// after `attempts`.
    pub fn refused(&mut self, now: Timestamp, attempts: u64, interval: Duration) -> Option<SetAside> {
        let current = self.current.as_mut().filter(|current| current.turn == Turn::Out)?;
        current.attempts += 1;
        if current.attempts >= attempts {
            return self.set_aside();
        }
        // A CALL that was answered is over: the next is another one.
        current.id = None;
        let factor = u32::try_from(current.attempts).unwrap_or(u32::MAX);
        current.turn = Turn::Waiting(now + interval.saturating_mul(factor));
        None
    }

    /// Nobody answered in time. The same CALL goes out again when the connection was made anew: at
    /// once, and after `attempts` with longer and longer pauses. It is set aside when nothing was
    /// said to it for [`SILENCE_MAX`].
    pub fn unanswered(&mut self, now: Timestamp, attempts: u64, interval: Duration) -> Option<SetAside> {
        let current = self.current.as_mut()?;
        current.attempts += 1;
        let silent_since = *current.silent_since.get_or_insert(now);
        if current.attempts < attempts {
            current.turn = Turn::Ready;
            return None;
        }
        if now.since(silent_since) < SILENCE_MAX {
            let factor = u32::try_from(current.attempts).unwrap_or(u32::MAX);
            current.turn = Turn::Waiting(now + interval.saturating_mul(factor).min(PAUSE_MAX));
            return None;
        }
        self.set_aside()
    }

    /// Goes on without the current message.
    fn set_aside(&mut self) -> Option<SetAside> {
        let current = self.current.as_ref()?;
        let aside = SetAside {
            line: current.line,
            action: current.message.action,
            payload: current.payload.clone().unwrap_or_default(),
        };
        self.pass(None);
        Some(aside)
    }

    /// What the message that is out is about.
    #[must_use]
    pub fn out(&self) -> Option<&About> {
        self.current
            .as_ref()
            .filter(|current| current.turn == Turn::Out)
            .map(|current| &current.message.about)
    }

    /// Whether the message that is out tells the end of a transaction (2.0.1).
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.current.as_ref().is_some_and(|current| current.message.payload["eventType"] == "Ended")
    }

    /// When a refused message goes out again.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.current.as_ref()?.turn {
            Turn::Waiting(until) => Some(until),
            Turn::Ready | Turn::Out => None,
        }
    }
}

/// A reading that was asked for and may have left before a restart: its line is one of which the CSMS
/// has everything. It goes out again, so that no number of its transaction is used twice or missing.
fn triggered_before(version: Version, progress: &Progress) -> Option<Current> {
    let sending = progress.sending.as_ref().filter(|it| it.line <= progress.acknowledged)?;
    let Sending { line, id, payload } = Some(sending.clone()).filter(|_| version == Version::V201)?;
    Some(Current {
        line,
        message: Message {
            action: "TransactionEvent",
            payload: serde_json::from_str(&payload).ok()?,
            about: About::Values,
        },
        after: progress.transactions.clone(),
        id: Some(id),
        payload: Some(payload),
        turn: Turn::Ready,
        attempts: 0,
        silent_since: None,
    })
}

/// What is next.
#[derive(Debug, Clone, PartialEq)]
pub enum Out {
    /// Send this.
    Call {
        /// The id of the CALL.
        id: String,
        /// OCPP's action.
        action: &'static str,
        /// Its payload.
        payload: String,
    },
    /// Keep this where a person finds it: it cannot be sent.
    SetAside(SetAside),
}
