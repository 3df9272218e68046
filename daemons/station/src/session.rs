//! What the station does about one EVSE's session: let it in, open its transaction before any
//! current may flow, close it when delivery is over, whatever ended it.
//!
//! ```text
//!             plug                token or free            meter and book say so
//!   Idle ───────────▶ Waiting ──────────────▶ Opening ───────────────────────▶ Running
//!    ▲                  ▲ │ unplug               │ no reading: refuse              │ delivery over,
//!    │ unplug           │ ▼                      ▼                                 │ EVSE lost, other
//!    └─────────────── Done ◀───────────────── Closing ◀────────────────────────────┘ session
//!                                                ▲
//!   Recovering (open in the book at the start) ──┘ unless the EVSE still has this session
//! ```
//!
//! Pure: `step(now, input) -> actions`. The shell answers `Open` with `Opened`, `Close` with
//! `Closed`; each is asked once.

use std::time::Duration;

use voltry_bus::EvseState;
use voltry_units::Timestamp;

use crate::authorization::Token;
use crate::book::TransactionId;

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
    /// A driver is let in, by token or (`None`) because vending is free.
    LetIn(Option<Token>),
    /// The answer to [`Action::Open`].
    Opened(Result<TransactionId, String>),
    /// The answer to [`Action::Close`].
    Closed,
    /// Time passes.
    Tick,
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Read the meter and write the book; then [`Input::Opened`].
    Open {
        /// The session.
        session: u64,
        /// Who is charged.
        token: Option<Token>,
    },
    /// Tell the EVSE that its session may charge.
    Grant {
        /// The session.
        session: u64,
    },
    /// Tell the EVSE that its session may not charge.
    Refuse {
        /// The session.
        session: u64,
        /// Why, in words.
        reason: String,
    },
    /// Read the meter and close the book; then [`Input::Closed`].
    Close {
        /// The transaction.
        transaction: TransactionId,
        /// Why, in words.
        reason: String,
    },
}

/// How long after a start an EVSE may take to be seen before its open transaction is closed.
pub const RECOVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Idle,
    Waiting {
        session: u64,
    },
    /// `over`: the session ended before the book had it; its transaction is closed at once.
    Opening {
        session: u64,
        token: Option<Token>,
        over: Option<String>,
    },
    Running {
        session: u64,
        transaction: TransactionId,
        token: Option<Token>,
    },
    Closing {
        session: u64,
    },
    Done {
        session: u64,
    },
    Recovering {
        session: u64,
        transaction: TransactionId,
        token: Option<Token>,
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
}

impl Default for SessionControl {
    fn default() -> Self {
        Self { state: State::Idle, seen: None, told: (0, String::new()) }
    }
}

impl SessionControl {
    /// With a transaction that the book had open at the start. `session` is 0 if the machine
    /// was booted since: its session ids mean nothing any more.
    #[must_use]
    pub fn recovering(
        now: Timestamp,
        session: u64,
        transaction: TransactionId,
        token: Option<Token>,
    ) -> Self {
        let until = now + RECOVERY;
        Self { state: State::Recovering { session, transaction, token, until }, ..Self::default() }
    }

    /// The open transaction.
    #[must_use]
    pub fn transaction(&self) -> Option<TransactionId> {
        match &self.state {
            State::Running { transaction, .. } | State::Recovering { transaction, .. } => Some(*transaction),
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
            | State::Closing { session }
            | State::Done { session }
            | State::Recovering { session, .. } => Some(*session),
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
            | State::Closing { .. }
            | State::Done { .. }
            | State::Recovering { .. } => None,
        }
    }

    /// The token that pays for what runs; the outer `None` if nothing runs.
    #[must_use]
    pub fn payer(&self) -> Option<&Option<Token>> {
        match &self.state {
            State::Running { token, .. } | State::Opening { token, .. } => Some(token),
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
        matches!(self.state, State::Opening { .. } | State::Running { .. } | State::Recovering { .. })
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
                self.end_with("the EVSE's daemon was lost")
            }
            Input::LetIn(token) => self.let_in(token),
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
                Vec::new()
            }
            State::Done { session } if session == view.session => Vec::new(),
            State::Done { .. } => {
                self.state = State::Idle;
                self.saw(view)
            }
            State::Opening { session, token, over: None } if session != view.session || view.ended => {
                let over = Some(self.end_reason(view, session));
                self.state = State::Opening { session, token, over };
                Vec::new()
            }
            State::Running { session, transaction, .. } if session != view.session || view.ended => {
                self.close(session, transaction, self.end_reason(view, session))
            }
            State::Recovering { session, transaction, token, .. } => {
                if view.session != 0 && session == view.session && !view.ended {
                    self.state = State::Running { session, transaction, token };
                    // We may have ended between the book's word and ours to the EVSE.
                    return vec![Action::Grant { session }];
                }
                let reason = if view.session == session && session != 0 {
                    self.end_reason(view, session)
                } else {
                    "the station was down when the session ended".to_owned()
                };
                self.close(session, transaction, reason)
            }
            State::Opening { .. } | State::Running { .. } | State::Closing { .. } => Vec::new(),
        }
    }

    /// Why delivery of this session ended, if the EVSE said so.
    fn told_of(&self, session: u64) -> Option<&str> {
        let (told_of, reason) = &self.told;
        (*told_of == session && !reason.is_empty()).then_some(reason)
    }

    fn end_reason(&self, view: &EvseView, session: u64) -> String {
        let unsaid = if view.session == session {
            "delivery ended"
        } else if view.session == 0 && view.state != EvseState::Starting {
            "unplugged"
        } else {
            "the EVSE's daemon was restarted"
        };
        self.told_of(session).unwrap_or(unsaid).to_owned()
    }

    fn let_in(&mut self, token: Option<Token>) -> Vec<Action> {
        let Some(session) = self.waiting() else { return Vec::new() };
        self.state = State::Opening { session, token: token.clone(), over: None };
        vec![Action::Open { session, token }]
    }

    fn opened(&mut self, result: Result<TransactionId, String>) -> Vec<Action> {
        let State::Opening { session, token, over } = self.state.clone() else { return Vec::new() };
        match (result, over) {
            (Ok(transaction), None) => {
                self.state = State::Running { session, transaction, token };
                vec![Action::Grant { session }]
            }
            (Ok(transaction), Some(reason)) => self.close(session, transaction, reason),
            (Err(reason), _) => {
                self.state = State::Done { session };
                vec![Action::Refuse { session, reason }]
            }
        }
    }

    fn end_with(&mut self, reason: &str) -> Vec<Action> {
        match self.state.clone() {
            State::Running { session, transaction, .. } => {
                let reason = self.told_of(session).unwrap_or(reason).to_owned();
                self.close(session, transaction, reason)
            }
            State::Opening { session, token, over: None } => {
                self.state = State::Opening { session, token, over: Some(reason.to_owned()) };
                Vec::new()
            }
            State::Waiting { .. } | State::Done { .. } => {
                self.state = State::Idle;
                Vec::new()
            }
            State::Idle | State::Opening { .. } | State::Closing { .. } | State::Recovering { .. } => {
                Vec::new()
            }
        }
    }

    fn close(&mut self, session: u64, transaction: TransactionId, reason: String) -> Vec<Action> {
        self.state = State::Closing { session };
        vec![Action::Close { transaction, reason }]
    }

    fn closed(&mut self) {
        if let State::Closing { session } = self.state {
            self.state = if session == 0 { State::Idle } else { State::Done { session } };
        }
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Action> {
        match self.state.clone() {
            State::Recovering { session, transaction, until, .. } if now >= until => {
                self.close(session, transaction, "the EVSE's daemon did not come back".to_owned())
            }
            State::Recovering { .. }
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
