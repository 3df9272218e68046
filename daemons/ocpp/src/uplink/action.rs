//! What the uplink decides: what has to be done, and what must last.

use voltry_bus::{ScheduleOffer, TokenAnswer, TransferStatus};

use super::{Cached, Command, Held, ListChange, Messages, Progress, SetAside};
use crate::connection::redial::Slot;
use crate::display::Shown;
use crate::messages::Refusal;
use crate::model::events;
use crate::model::monitors::Kept;
use crate::networks::Network;
use crate::profiles::Stored;
use crate::security::Entry;
use crate::{certificates, files};

/// What the shell must do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Store this, durably, before anything that follows.
    Store(Record),
    /// Send a CALL.
    Call {
        /// Its id.
        id: String,
        /// Its action.
        action: &'static str,
        /// Its payload.
        payload: String,
    },
    /// Answer a CALL of the CSMS.
    Reply {
        /// Its id.
        id: String,
        /// The payload, JSON, or why not.
        answer: Result<String, Refusal>,
    },
    /// Ask the station; then [`Input::Done`].
    Command {
        /// The number to answer with.
        ticket: u64,
        /// What.
        command: Command,
    },
    /// Tell the station.
    Authorized {
        /// The number of its question.
        ticket: u64,
        /// Whether the token may charge.
        answer: TokenAnswer,
    },
    /// Read the book after this line; then [`Input::Book`].
    ReadBook(u64),
    /// Tell the book how far the CSMS has it.
    Acknowledge(u64),
    /// Close the connection and make another.
    Reconnect(&'static str),
    /// Do this with certificates; then [`Input::Certified`].
    Certificates {
        /// The number to answer with.
        ticket: u64,
        /// What.
        request: certificates::Request,
    },
    /// Tell the vehicle.
    ContractAnswer {
        /// The number of its question.
        ticket: u64,
        /// The whole message, EXI; empty: there is no certificate.
        message: Vec<u8>,
    },
    /// Tell the vehicle's link whether the CSMS believes the contract.
    ContractJudged {
        /// The number of its question.
        ticket: u64,
        /// Its certificates are good.
        believed: bool,
    },
    /// Tell all links whether the CSMS judges contracts without a root.
    CentralValidation(bool),
    /// Offer schedules to the vehicle at this EVSE.
    Offer {
        /// Where.
        evse: u32,
        /// What.
        offer: ScheduleOffer,
    },
    /// The ways to the CSMS are others, for this reason: take them, on a connection made anew.
    Networks(&'static str),
    /// Keep to the times that the variables say.
    Times,
    /// Tell a maker's daemon what the CSMS answered; `None`: nothing.
    LetterAnswered {
        /// The number of its message.
        ticket: u64,
        /// What.
        answer: Option<(TransferStatus, String)>,
    },
    /// Show this to people at the station.
    Show(Shown),
    /// Carry a file; then [`Input::Files`].
    Files(files::Order),
    /// Start the uplink anew.
    StartAnew,
}

/// What must last.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// How far the transactions are told.
    Progress(Progress),
    /// A variable.
    Variable(&'static str, String),
    /// The local list.
    List(ListChange),
    /// An answer for the cache, and one that goes.
    Cached(String, Cached, Option<String>),
    /// The cache is empty.
    ClearCache,
    /// A message that the CSMS does not take.
    SetAside(SetAside),
    /// The charging profiles.
    Profiles(Stored),
    /// A connection profile.
    Network(Slot, Network),
    /// An entry of the security log; if it is critical, the CSMS has to hear it.
    Security(Entry),
    /// The CSMS has to hear this entry no more.
    SecurityTold(u64),
    /// Logs and firmware that are under way.
    Files(Box<files::Kept>),
    /// Messages for people at the station.
    Display(Messages),
    /// An answer that goes from the cache.
    Uncached(String),
    /// Whom the CSMS's reservations are for.
    Held(Held),
    /// Why the next boot will be.
    BootReason(&'static str),
    /// The monitors, and the problems that the CSMS was told of.
    Monitors(Kept),
    /// An event that waits for the CSMS, and one that goes instead.
    Event(Box<events::Event>, Option<i64>),
    /// These events were told.
    EventsTold(Vec<i64>),
}
