//! What the station does about one EVSE's session: let it in, open its transaction before any
//! current may flow, close it when delivery is over, whatever ended it.
//!
//! ```text
//!             plug                token or free            meter and book say so
//!   Idle ───────────▶ Waiting ──────────────▶ Opening ───────────────────────▶ Running
//!    ▲                  ▲ │ unplug               │ no reading: refuse              │ delivery over,
//!    │ unplug           │ ▼                      ▼                                 │ other session
//!    └─────────────── Done ◀───────────────── Closing ◀────────────────────────────┤
//!                                                ▲ leases lapsed      EVSE lost     │
//!                                                ├───────────── Lost ◀─────────────┘
//!   Recovering (open in the book at the start) ──┘ unless the EVSE still has this session
//! ```
//!
//! Pure: `step(now, input) -> actions`. The shell answers `Open` with `Opened`, `Close` with
//! `Closed`; each is asked once.

mod action;
mod left;

use std::time::Duration;

use voltry_bus::{EndReason, EventKind, EvseState};
use voltry_units::Timestamp;

pub use self::action::{Action, Ending};
pub use self::left::Left;
use crate::authorization::Payer;
use crate::book::TransactionId;
use crate::reasons;

/// What an EVSE says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvseView {
    /// Its state.
    pub state: EvseState,
    /// Its session; 0: none.
    pub session: u64,
    /// Delivery is over for good in this session.
    pub ended: bool,
    /// Why, in words.
    pub end_reason: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The EVSE's state or session, new or again.
    Evse(EvseView),
    /// Its daemon left the bus.
    EvseLost,
    /// A driver is let in. `noted`: the book has known since before the plug.
    LetIn {
        /// Who.
        payer: Payer,
        /// Whether the book has it.
        noted: bool,
    },
    /// Somebody wants it to end.
    Stop(Ending),
    /// Current flows or is suspended: the news of a [`FlowWatch`](crate::flow::FlowWatch).
    Flow(EventKind),
    /// The answer to [`Action::Open`].
    Opened(Result<TransactionId, String>),
    /// The answer to [`Action::Close`].
    Closed,
    /// Time passes.
    Tick,
}

/// How long after a start an EVSE may take to be seen before its open transaction is closed.
pub const RECOVERY: Duration = Duration::from_secs(10);

/// Whoever held an EVSE's leases being gone, nothing flows any more after this: the output is off in half a
/// second, the contactors open in one. The meter's last reading is not taken before.
pub const LAPSED: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Waiting {
        session: u64,
    },
    /// `over`: the session ended before the book had it; its transaction is closed at once.
    Opening {
        session: u64,
        payer: Payer,
        over: Option<Ending>,
    },
    Running {
        session: u64,
        transaction: TransactionId,
        payer: Payer,
    },
    Lost {
        session: u64,
        transaction: TransactionId,
        payer: Payer,
        until: Timestamp,
        why: Ending,
    },
    Closing {
        session: u64,
    },
    Done {
        session: u64,
    },
    Recovering {
        left: Left,
        transaction: TransactionId,
        payer: Payer,
        until: Timestamp,
    },
}

/// One EVSE's session as the station sees it.
#[derive(Debug, Clone)]
pub struct SessionControl {
    state: State,
    seen: Option<EvseView>,
    /// Why delivery ended or is about to, as last told, and in which session. An EVSE tells it before
    /// delivery is over, and a session may be gone before it was seen as ended.
    told: (u64, String),
    /// The session that the book has as plugged in.
    plugged: Option<u64>,
    /// Who wanted which session to end.
    asked: Option<(u64, Ending)>,
}

impl Default for SessionControl {
    fn default() -> Self {
        Self { state: State::Idle, seen: None, told: (0, String::new()), plugged: None, asked: None }
    }
}

impl SessionControl {
    /// With what the book had open at the start: the session that is plugged in, in this boot.
    #[must_use]
    pub fn plugged(session: Option<u64>) -> Self {
        Self { plugged: session, ..Self::default() }
    }

    /// With a transaction that the book had open at the start.
    #[must_use]
    pub fn recovering(self, now: Timestamp, left: Left, transaction: TransactionId, payer: Payer) -> Self {
        let until = now + RECOVERY;
        Self { state: State::Recovering { left, transaction, payer, until }, ..self }
    }

    /// The open transaction.
    #[must_use]
    pub fn transaction(&self) -> Option<TransactionId> {
        match &self.state {
            State::Running { transaction, .. }
            | State::Lost { transaction, .. }
            | State::Recovering { transaction, .. } => Some(*transaction),
            State::Idle
            | State::Waiting { .. }
            | State::Opening { .. }
            | State::Closing { .. }
            | State::Done { .. } => None,
        }
    }

    /// The session that it is about; also while its transaction is being closed.
    #[must_use]
    pub fn session(&self) -> Option<u64> {
        match &self.state {
            State::Idle => None,
            State::Waiting { session }
            | State::Opening { session, .. }
            | State::Running { session, .. }
            | State::Lost { session, .. }
            | State::Closing { session }
            | State::Done { session } => Some(*session),
            State::Recovering { left, .. } => Some(left.session()),
        }
    }

    /// The session that waits for a driver to be let in.
    #[must_use]
    pub fn waiting(&self) -> Option<u64> {
        match &self.state {
            State::Waiting { session } => Some(*session),
            State::Idle
            | State::Opening { .. }
            | State::Running { .. }
            | State::Lost { .. }
            | State::Closing { .. }
            | State::Done { .. }
            | State::Recovering { .. } => None,
        }
    }

    /// Who pays for what runs.
    #[must_use]
    pub fn payer(&self) -> Option<&Payer> {
        match &self.state {
            State::Running { payer, .. } | State::Lost { payer, .. } | State::Opening { payer, .. } => {
                Some(payer)
            }
            State::Idle
            | State::Waiting { .. }
            | State::Closing { .. }
            | State::Done { .. }
            | State::Recovering { .. } => None,
        }
    }

    /// Whether power should be shared with it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        match self.state {
            State::Opening { .. } | State::Running { .. } | State::Lost { .. } | State::Recovering { .. } => {
                true
            }
            State::Idle | State::Waiting { .. } | State::Closing { .. } | State::Done { .. } => false,
        }
    }

    /// The EVSE as last seen; `None` while its daemon is away.
    #[must_use]
    pub fn evse(&self) -> Option<&EvseView> {
        self.seen.as_ref()
    }

    /// The only way in. What it returns must be done, in order.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, input: Input) -> Vec<Action> {
        match input {
            Input::Evse(view) => {
                self.seen = Some(view.clone());
                if view.session != 0 {
                    self.told = (view.session, view.end_reason.clone());
                }
                self.saw(&view)
            }
            Input::EvseLost => {
                self.seen = None;
                self.lose(now, Ending::new(EndReason::Other, "the EVSE's daemon was lost"))
            }
            Input::LetIn { payer, noted } => self.let_in(payer, noted),
            Input::Stop(why) => self.stop(why),
            Input::Flow(kind) => self.flow(kind),
            Input::Opened(result) => self.opened(result),
            Input::Closed => {
                self.closed();
                // What the EVSE said meanwhile was not acted on.
                self.seen.clone().map_or_else(Vec::new, |view| self.saw(&view))
            }
            Input::Tick => self.tick(now),
        }
    }

    fn saw(&mut self, view: &EvseView) -> Vec<Action> {
        match self.state.clone() {
            State::Idle | State::Waiting { .. } => {
                self.state = if view.session == 0 {
                    State::Idle
                } else if view.ended {
                    State::Done { session: view.session }
                } else {
                    State::Waiting { session: view.session }
                };
                self.plug(view)
            }
            State::Done { session } if session == view.session => self.plug(view),
            State::Done { .. } => {
                self.state = State::Idle;
                self.saw(view)
            }
            State::Opening { session, payer, over: None } if session != view.session || view.ended => {
                let over = Some(self.ending_of(view, session));
                self.state = State::Opening { session, payer, over };
                Vec::new()
            }
            State::Running { session, transaction, .. } if session != view.session || view.ended => {
                let why = self.ending_of(view, session);
                self.close(session, transaction, why)
            }
            State::Recovering { left, transaction, payer, .. } => {
                let session = left.session();
                if view.session != 0 && session == view.session && !view.ended {
                    self.state = State::Running { session, transaction, payer };
                    // We may have ended between the book's word and ours to the EVSE.
                    return vec![Action::Grant { session }];
                }
                let why = if session != 0 && view.session == session {
                    self.ending_of(view, session)
                } else {
                    Ending::new(left.reason(), "the station was down when the session ended")
                };
                self.close(session, transaction, why)
            }
            // What comes back may still be on its way to open: it is looked at when this is closed.
            State::Opening { .. } | State::Running { .. } | State::Lost { .. } | State::Closing { .. } => {
                Vec::new()
            }
        }
    }

    /// What the book must know of the plug. Not before a transaction is closed: its end comes first.
    fn plug(&mut self, view: &EvseView) -> Vec<Action> {
        let now = (view.session != 0).then_some(view.session);
        if self.plugged == now {
            return Vec::new();
        }
        let left = self.plugged.map(|session| {
            let words =
                if view.state == EvseState::Starting { "the EVSE's daemon was restarted" } else { "" };
            Action::note(session, EventKind::Unplugged, Ending::new(EndReason::None, words))
        });
        self.plugged = now;
        let came =
            now.map(|session| Action::note(session, EventKind::Plugged, Ending::new(EndReason::None, "")));
        left.into_iter().chain(came).collect()
    }

    /// Why delivery of this session ended, if the EVSE said so.
    fn told_of(&self, session: u64) -> Option<&str> {
        let (told_of, reason) = &self.told;
        (*told_of == session && !reason.is_empty()).then_some(reason)
    }

    /// Who wanted this session to end, if somebody did.
    fn asked_of(&self, session: u64) -> Option<&Ending> {
        self.asked.as_ref().filter(|(asked_of, _)| *asked_of == session).map(|(_, why)| why)
    }

    pub(crate) fn ending_of(&self, view: &EvseView, session: u64) -> Ending {
        let unsaid = if view.session == session {
            Ending::new(EndReason::Other, "delivery ended")
        } else if view.session == 0 && view.state != EvseState::Starting {
            Ending::new(EndReason::EvDisconnected, "unplugged")
        } else {
            Ending::new(EndReason::Other, "the EVSE's daemon was restarted")
        };
        self.told_ending(session).unwrap_or(unsaid)
    }

    /// What the EVSE said, and what stands behind it if that was somebody's wish.
    fn told_ending(&self, session: u64) -> Option<Ending> {
        let words = self.told_of(session)?;
        let asked = self.asked_of(session).filter(|why| why.words == words);
        Some(asked.cloned().unwrap_or_else(|| Ending::new(reasons::of_words(words), words)))
    }

    fn let_in(&mut self, payer: Payer, noted: bool) -> Vec<Action> {
        let Some(session) = self.waiting() else { return Vec::new() };
        self.state = State::Opening { session, payer: payer.clone(), over: None };
        let authorized = Action::Note {
            session,
            kind: EventKind::Authorized,
            payer: Some(payer.clone()),
            why: Ending::new(EndReason::None, ""),
        };
        let open = Action::Open { session, payer };
        if noted { vec![open] } else { vec![authorized, open] }
    }

    fn stop(&mut self, why: Ending) -> Vec<Action> {
        let session = match &mut self.state {
            State::Running { session, .. } | State::Recovering { left: Left::OfThisBoot(session), .. } => {
                *session
            }
            State::Opening { session, over, .. } => {
                over.get_or_insert_with(|| why.clone());
                *session
            }
            // A cable alone may be a transaction to the back end, and so may what is left of one.
            State::Waiting { session } | State::Done { session } if why.is_reset() => {
                let told = Action::note(*session, EventKind::Deauthorized, why.clone());
                return vec![told, Action::Stop { words: why.words }];
            }
            State::Idle
            | State::Waiting { .. }
            | State::Lost { .. }
            | State::Closing { .. }
            | State::Done { .. }
            | State::Recovering { left: Left::OfAnother(_), .. } => {
                return vec![Action::Stop { words: why.words }];
            }
        };
        let stop = Action::Stop { words: why.words.clone() };
        if self.asked_of(session).is_some() {
            return vec![stop];
        }
        self.asked = Some((session, why.clone()));
        let payer = why.by.clone();
        vec![Action::Note { session, kind: EventKind::Deauthorized, payer, why }, stop]
    }

    fn flow(&self, kind: EventKind) -> Vec<Action> {
        match &self.state {
            State::Running { session, .. } => {
                vec![Action::note(*session, kind, Ending::new(EndReason::None, ""))]
            }
            State::Idle
            | State::Waiting { .. }
            | State::Opening { .. }
            | State::Lost { .. }
            | State::Closing { .. }
            | State::Done { .. }
            | State::Recovering { .. } => Vec::new(),
        }
    }

    fn opened(&mut self, result: Result<TransactionId, String>) -> Vec<Action> {
        let State::Opening { session, payer, over } = self.state.clone() else { return Vec::new() };
        match (result, over) {
            (Ok(transaction), None) => {
                self.state = State::Running { session, transaction, payer };
                vec![Action::Grant { session }]
            }
            (Ok(transaction), Some(why)) => self.close(session, transaction, why),
            (Err(reason), _) => {
                self.state = State::Done { session };
                let why = Ending::new(EndReason::Other, reason.clone());
                vec![Action::note(session, EventKind::Deauthorized, why), Action::Refuse { session, reason }]
            }
        }
    }

    fn lose(&mut self, now: Timestamp, why: Ending) -> Vec<Action> {
        match self.state.clone() {
            State::Running { session, transaction, payer } => {
                let (until, why) = (now + LAPSED, self.told_ending(session).unwrap_or(why));
                self.state = State::Lost { session, transaction, payer, until, why };
                Vec::new()
            }
            State::Opening { session, payer, over: None } => {
                self.state = State::Opening { session, payer, over: Some(why) };
                Vec::new()
            }
            State::Waiting { .. } | State::Done { .. } => {
                self.state = State::Idle;
                Vec::new()
            }
            State::Idle
            | State::Opening { .. }
            | State::Lost { .. }
            | State::Closing { .. }
            | State::Recovering { .. } => Vec::new(),
        }
    }

    fn close(&mut self, session: u64, transaction: TransactionId, why: Ending) -> Vec<Action> {
        self.state = State::Closing { session };
        vec![Action::Close { transaction, why }]
    }

    fn closed(&mut self) {
        if let State::Closing { session } = self.state {
            self.state = if session == 0 { State::Idle } else { State::Done { session } };
        }
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Action> {
        match self.state.clone() {
            State::Recovering { left, transaction, until, .. } if now >= until => {
                let why = Ending::new(left.reason(), "the EVSE's daemon did not come back");
                self.close(left.session(), transaction, why)
            }
            State::Lost { session, transaction, until, why, .. } if now >= until => {
                self.close(session, transaction, why)
            }
            State::Recovering { .. }
            | State::Lost { .. }
            | State::Idle
            | State::Waiting { .. }
            | State::Opening { .. }
            | State::Running { .. }
            | State::Closing { .. }
            | State::Done { .. } => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
