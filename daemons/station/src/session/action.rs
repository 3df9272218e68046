//! What the shell must do about a session, and why something ends.

use voltry_bus::{EndReason, EventKind};

use crate::authorization::Payer;
use crate::book::TransactionId;

/// Why something ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// As the back end knows it.
    pub reason: EndReason,
    /// In words.
    pub words: String,
    /// Who ended it by a token, if that is another than who began it.
    pub by: Option<Payer>,
}

impl Ending {
    /// A reason and its words.
    pub fn new(reason: EndReason, words: impl Into<String>) -> Self {
        Self { reason, words: words.into(), by: None }
    }

    /// Whether the station starts anew, and nothing that the back end has open outlasts that.
    #[must_use]
    pub fn is_reset(&self) -> bool {
        matches!(self.reason, EndReason::ImmediateReset | EndReason::SoftReset)
    }
}

/// What the shell must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write an event of this session into the book.
    Note {
        /// The session.
        session: u64,
        /// What happened.
        kind: EventKind,
        /// Who was let in, of [`EventKind::Authorized`]; who ended it by another token, of
        /// [`EventKind::Deauthorized`].
        payer: Option<Payer>,
        /// Why.
        why: Ending,
    },
    /// Read the meter and write the book; then [`super::Input::Opened`].
    Open {
        /// The session.
        session: u64,
        /// Who is charged.
        payer: Payer,
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
    /// Tell the EVSE to end its session in the normal way.
    Stop {
        /// Why, in words.
        words: String,
    },
    /// Read the meter and close the book; then [`super::Input::Closed`].
    Close {
        /// The transaction.
        transaction: TransactionId,
        /// Why.
        why: Ending,
    },
}

impl Action {
    pub(super) fn note(session: u64, kind: EventKind, why: Ending) -> Self {
        Self::Note { session, kind, payer: None, why }
    }
}
