//! What happened, as the uplink hears it.

use std::collections::BTreeSet;

use voltry_bus::{EvseStatus, ScheduleChoice, ScheduleRequest};
use voltry_units::Watts;

use super::{OtherLimit, Outcome};
use crate::connection::redial::Slot;
use crate::model::{Object, Told};
use crate::networks::Network;
use crate::plug_and_charge::{Contract, Wanted};
use crate::security::SecurityEvent;
use crate::transactions::{Event, Token};
use crate::{certificates, files};

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The WebSocket will be up by this connection profile.
    Network(Slot, Network),
    /// The WebSocket is up.
    Connected,
    /// A dial came to nothing.
    Unreachable,
    /// It is gone.
    Disconnected,
    /// The answer to a CALL of ours.
    Answered {
        /// Its id.
        id: String,
        /// The payload, or the CALLERROR's code and description.
        answer: Result<String, (String, String)>,
    },
    /// Nobody answered it in time.
    Unanswered {
        /// Its id.
        id: String,
    },
    /// A CALL of the CSMS.
    Called {
        /// Its id.
        id: String,
        /// Its action.
        action: String,
        /// Its payload.
        payload: String,
    },
    /// The book has lines up to this one.
    BookGrew(u64),
    /// What the book gave to [`Action::ReadBook`]; nothing if it could not be read.
    Book(Vec<Event>),
    /// The EVSEs.
    Evses(Vec<EvseStatus>),
    /// The limits of power that others set at the station.
    Limits(Vec<OtherLimit>),
    /// The transactions that get no power for want of an accepted token, with their EVSEs.
    Starved(BTreeSet<(u32, u64)>),
    /// What the whole station can give.
    StationPower(Watts),
    /// The EVSEs as a driver meets them.
    Connectors(Vec<voltry_bus::Connector>),
    /// Both at one instant: a fault and what becomes of its EVSE are told in one word.
    Seen(Vec<EvseStatus>, Vec<voltry_bus::Connector>),
    /// A reservation is over, and nobody used it: the station's word why.
    ReservationOver {
        /// Its number.
        id: i64,
        /// `expired` or `removed`, or what the CSMS knows anyway.
        why: String,
    },
    /// The station's daemon was started anew: it must hear its limits.
    StationIsBack,
    /// An object on the bus tells this of itself.
    Device(Object, Box<Told>),
    /// An object's daemon left the bus, or hangs.
    DeviceAway(Object),
    /// The station asks whether a token may charge.
    Authorize {
        /// The number of the question.
        ticket: u64,
        /// Where; 0: nobody has said.
        evse: u32,
        /// Who.
        token: Token,
    },
    /// What came of [`Action::Command`].
    Done {
        /// Its number.
        ticket: u64,
        /// What.
        outcome: Outcome,
    },
    /// A vehicle asks for a contract certificate; then [`Action::ContractAnswer`].
    ContractWanted(Wanted),
    /// The vehicle at this EVSE asks for schedules; then [`Action::Offer`](super::Action::Offer).
    SchedulesWanted(u32, ScheduleRequest),
    /// It chose one of them.
    ScheduleChosen(u32, ScheduleChoice),
    /// A vehicle has proved that it has a contract.
    ContractShown(Contract),
    /// A vehicle holds the key of a contract that leads to no root here; then [`Action::ContractJudged`].
    ContractDoubted {
        /// The number to answer with.
        ticket: u64,
        /// Where.
        evse: u32,
        /// What it claims to be.
        contract: Contract,
    },
    /// What came of [`Action::Certificates`], and what there is now.
    Certified {
        /// Its number.
        ticket: u64,
        /// What came of it.
        outcome: certificates::Outcome,
        /// What there is.
        summary: certificates::Summary,
    },
    /// Something that concerns security, and in words.
    Security(SecurityEvent, String),
    /// A maker's daemon has a message for the CSMS.
    Letter {
        /// The number of it.
        ticket: u64,
        /// The vendor's id.
        vendor: String,
        /// The message's id; empty: none.
        message: String,
        /// The data; empty: none.
        data: String,
    },
    /// What came of [`Action::Files`].
    Files(files::News),
    /// Time passed.
    Tick,
}
