//! What a CALL of the CSMS leads to.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::certificates::{Own, Request};
use crate::files::Update;
use crate::messages::{self, Checked, Refusal, decode};
use crate::model::Definition;
use crate::rpc::ErrorCode;
use crate::transactions::Token;
use crate::uplink::{Command, Core, Inquiry, Notice, Record, Write};

/// Writes to daemons on which an answer waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Writes {
    /// The result of each variable that was named, or of the one; of those that are open without a status.
    pub results: Vec<Value>,
    /// What is open.
    pub open: Vec<OpenWrite>,
}

/// A write to a daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenWrite {
    /// Which result.
    pub place: usize,
    /// What.
    pub write: Write,
    /// The variable in our table, if it stands there.
    pub definition: Option<&'static Definition>,
}

/// What a CALL of the CSMS leads to.
#[derive(Debug)]
pub struct Handled {
    /// The answer.
    pub answer: Answer,
    /// Stored before the answer leaves.
    pub store: Vec<Record>,
    /// Done after the answer.
    pub then: Vec<Then>,
}

/// The answer to a CALL of the CSMS.
#[derive(Debug)]
pub enum Answer {
    /// This.
    Now(Value),
    /// This, JSON that was checked.
    Written(String),
    /// A CALLERROR.
    Refused(Refusal),
    /// Whatever comes of this.
    Asks(Command, Reply),
    /// Whatever comes of this.
    Certificates(Request),
    /// Whatever comes of these.
    Writes(Writes, Reply),
    /// The same, within 1.6's DataTransfer, of this message of 2.0.1.
    Within(Request, &'static str),
    /// This; and if the CSMS lets the token charge, the command is given.
    Authorizes {
        /// Who.
        token: Token,
        /// What.
        command: Command,
        /// The answer.
        reply: Value,
    },
}

/// What happens after an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Then {
    /// BootNotification.
    Boot,
    /// This is told.
    Tell(Notice),
    /// The ways to the CSMS are others.
    Networks,
    /// A certificate of this station is asked for.
    Sign(Own),
    /// The connection keeps to other times.
    Times,
    /// The transaction at this EVSE has another profile: its vehicle is offered it.
    Plan(u32),
    /// The station's book is looked into for a customer, and what is found is told.
    Inquire(Inquiry),
    /// The station starts anew.
    Reset(ResetKind),
}

/// How the station starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetKind {
    /// At once; transactions end.
    Hard,
    /// 1.6's other word; transactions end too, and say which it was.
    Soft,
    /// When nothing is charged any more.
    OnIdle,
}

/// How the outcome of a command is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    action: &'static str,
    transaction: Option<String>,
}

impl Reply {
    /// For a CALL with this action.
    #[must_use]
    pub const fn to(action: &'static str) -> Self {
        Self { action, transaction: None }
    }

    /// Names this transaction of 2.0.1 where the outcome is good.
    #[must_use]
    pub fn about(self, transaction: Option<String>) -> Self {
        Self { transaction, ..self }
    }

    /// The action.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        self.action
    }

    /// The transaction that is named.
    #[must_use]
    pub fn transaction(&self) -> Option<&str> {
        self.transaction.as_deref()
    }
}

impl Handled {
    /// Nothing but an answer.
    #[must_use]
    pub const fn answer(answer: Answer) -> Self {
        Self { answer, store: Vec::new(), then: Vec::new() }
    }

    /// An answer at once.
    #[must_use]
    pub const fn now(payload: Value) -> Self {
        Self::answer(Answer::Now(payload))
    }

    /// An answer at once, of its type: for what is asked often.
    #[must_use]
    pub fn written<T: Serialize + Checked>(answer: &T) -> Self {
        messages::write(answer).map_or_else(Self::from, |text| Self::answer(Answer::Written(text)))
    }

    /// An answer that is a status and nothing else.
    #[must_use]
    pub fn status(word: &str) -> Self {
        Self::now(json!({ "status": word }))
    }

    /// Whether it changes who may speak with whom.
    #[must_use]
    pub fn changes_security(&self) -> bool {
        let stored = |record: &Record| matches!(record, Record::Network(..));
        self.then.contains(&Then::Networks) || self.store.iter().any(stored)
    }

    /// A CALLERROR.
    #[must_use]
    pub fn refused(code: ErrorCode, text: &str) -> Self {
        Self::answer(Answer::Refused(Refusal::new(code, text)))
    }
}

/// Handles a CALL whose payload is as its action wants it.
///
/// # Errors
/// What is wrong with the payload.
pub(crate) fn take<T>(payload: &str, handle: impl FnOnce(T) -> Handled) -> Result<Handled, Refusal>
where
    T: DeserializeOwned + Checked,
{
    decode(payload).map(handle)
}

impl From<Refusal> for Handled {
    fn from(refusal: Refusal) -> Self {
        Self::answer(Answer::Refused(refusal))
    }
}

/// Has the signer of firmware looked at before the CSMS has its answer; `None`: another one is being
/// installed.
pub(crate) fn propose(core: &mut Core, update: Update, at: i64, action: &'static str) -> Option<Handled> {
    let firmware = &mut core.files.firmware;
    if !firmware.is_replaceable() || firmware.proposed.is_some() {
        return None;
    }
    let certificate = update.signature.as_ref().map(|signature| signature.certificate.clone());
    firmware.proposed = Some(update);
    Some(Handled::answer(Answer::Asks(Command::CheckUpdate { certificate, at }, Reply::to(action))))
}

/// Has a maker's own message of the CSMS handed on.
pub(crate) fn hand_on(vendor: &str, message: Option<&str>, data: String) -> Handled {
    let command =
        Command::HandOn { vendor: vendor.to_owned(), message: message.unwrap_or_default().to_owned(), data };
    Handled::answer(Answer::Asks(command, Reply::to("DataTransfer")))
}
