//! What a conversation tells, beside its answers.

use std::sync::Arc;

use voltry_bus::{LinkOutcome, LinkPhase};

use crate::contract;
use crate::decide::Cause;
use crate::message::{EvLimits, EvStatus, Needs, Plan, Protocol, Target, Wanted};

/// What evse is to be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The protocol is agreed: its title.
    Protocol(&'static str),
    /// The conversation entered a phase.
    Phase {
        /// Its counter; one more than the last.
        counter: u64,
        /// The phase.
        phase: LinkPhase,
    },
    /// The vehicle's newest target.
    Target(Target),
    /// The vehicle's limits, all that it has named so far.
    Limits(EvLimits),
    /// What the vehicle says of itself.
    Status(EvStatus),
    /// What the vehicle needs, all that it has said so far; its departure counts from now on.
    Needs(Needs),
    /// What the vehicle calls itself, as a token; unproved.
    VehicleId(Arc<str>),
    /// The vehicle proved that it holds this contract.
    Contract(contract::Proven),
    /// The vehicle holds the key of a contract that leads to no root of ours: the back end is to judge it.
    ContractDoubted {
        /// What the judgement must name.
        id: u64,
        /// What it claims to be.
        contract: contract::Proven,
    },
    /// The vehicle wants a contract certificate of the back end.
    CertificateRequest {
        /// What the answer must name.
        id: u64,
        /// In which protocol.
        protocol: Protocol,
        /// In place of one that it has.
        update: bool,
        /// The whole message.
        message: Arc<[u8]>,
    },
    /// The vehicle wants schedules; what it has said of itself so far.
    SchedulesWanted(Wanted),
    /// The vehicle chose a schedule.
    ScheduleChosen {
        /// Of which offer; 0 if there was none.
        id: u64,
        /// Which, and what it means to take.
        plan: Arc<Plan>,
    },
    /// The conversation is over. Nothing but the farewell follows.
    Ended(LinkOutcome, Option<Cause>),
}
