//! What the CSMS wants of the station, and what came of it.

use voltry_bus::TransferStatus;
use voltry_units::Watts;

use crate::model::Target;
use crate::transactions::{Sample, Token};

/// Something that the station must do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Let this driver charge; `None`: on whichever EVSE waits or is plugged in next.
    RemoteStart {
        /// Where.
        evse: Option<u32>,
        /// Who.
        token: Token,
        /// Whose group; empty: none.
        group: String,
        /// The CSMS's number of this start (2.0.1).
        id: Option<i64>,
    },
    /// End a transaction.
    Stop {
        /// Where.
        evse: u32,
        /// The book's number; 0: none has begun there.
        transaction: u64,
        /// The book's number of the session; 0: not known.
        session: u64,
        /// Why.
        why: StopReason,
    },
    /// Into or out of service, lasting; EVSE 0: all.
    SetAvailable {
        /// Where.
        evse: u32,
        /// Into service.
        available: bool,
    },
    /// Open the lock.
    Unlock {
        /// Where.
        evse: u32,
        /// The book's number of the transaction that is ended for it (1.6); `None`: none is.
        ends: Option<u64>,
    },
    /// A reservation.
    Reserve {
        /// Its number.
        id: i64,
        /// Where; 0: any.
        evse: u32,
        /// For whom.
        token: Token,
        /// For whose group; empty: none.
        group: String,
        /// Until when, microseconds of Unix time.
        until: i64,
    },
    /// No reservation any more.
    CancelReservation {
        /// Its number.
        id: i64,
    },
    /// Limit the power; lasts until the next such command.
    Limit {
        /// Where; 0: all EVSEs together.
        evse: u32,
        /// To how much; `None`: no limit any more.
        limit: Option<Watts>,
    },
    /// Give this transaction nothing, or let it have power again: the CSMS does not accept its token,
    /// and wants it to go on all the same.
    Starve {
        /// Where.
        evse: u32,
        /// The book's number of the transaction.
        transaction: u64,
        /// Nothing.
        starved: bool,
    },
    /// Read the meter; then [`Outcome::Metered`].
    ReadMeter {
        /// Where.
        evse: u32,
    },
    /// Look for what was charged to a token; then [`Outcome::Charged`].
    TransactionsOf {
        /// Whose.
        token: Token,
        /// How many at the most, the newest.
        limit: usize,
    },
    /// Hand a maker's own message to whoever takes it.
    HandOn {
        /// The vendor's id.
        vendor: String,
        /// The message's id; empty: none.
        message: String,
        /// The data; empty: none.
        data: String,
    },
    /// Look whether a firmware could be installed: whether there is who installs, and who signed it.
    CheckUpdate {
        /// The signer's certificate, PEM; `None`: it is not signed.
        certificate: Option<String>,
        /// The time at which it must be valid, microseconds of Unix time.
        at: i64,
    },
    /// Settings of daemons, one after the other; then [`Outcome::Wrote`].
    Write(Vec<Write>),
}

/// A setting that a daemon must take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Which.
    pub target: Target,
    /// Its value.
    pub value: String,
}

/// What came of a [`Write`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It holds, and lasts.
    Holds,
    /// It lasts, and holds from the daemon's next start on.
    Restart,
    /// The daemon does not take it, and this is why.
    Refused(String),
    /// The daemon does not answer.
    Silent,
}

/// A transaction of the station's book that was charged to somebody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Charged {
    /// Its number in the book.
    pub number: u64,
    /// Where.
    pub evse: u32,
    /// When it began, microseconds of Unix time.
    pub started: i64,
    /// When it ended; 0: it has not.
    pub ended: i64,
    /// Watt-hours.
    pub energy: f64,
}

/// Why the uplink ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The CSMS asked.
    Remote,
    /// The CSMS does not accept the token.
    Deauthorized,
    /// The station is reset at once.
    Reset,
    /// The station is reset in an orderly way (1.6).
    SoftReset,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is so.
    Done,
    /// It will be so when the transaction is over.
    Scheduled,
    /// What came of each [`Write`], in their order.
    Wrote(Vec<Written>),
    /// What the meter says.
    Metered(Sample),
    /// The newest transactions that were charged to a token, newest first.
    Charged(Vec<Charged>),
    /// It is not, and this is why.
    Refused(String),
    /// A reservation: somebody charges there.
    Occupied,
    /// A reservation: it is broken.
    Faulted,
    /// A reservation: it is out of service.
    Unavailable,
    /// The station has no such EVSE, transaction, reservation.
    Unknown,
    /// There is nothing that could do it.
    NotSupported,
    /// A maker's daemon answered so.
    Transferred(TransferStatus, String),
    /// The station does not answer.
    Silent,
}

impl Outcome {
    /// Whether what was asked for is so, or will be.
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        match self {
            Self::Done | Self::Scheduled => true,
            Self::Wrote(_)
            | Self::Metered(_)
            | Self::Charged(_)
            | Self::Refused(_)
            | Self::Occupied
            | Self::Faulted
            | Self::Unavailable
            | Self::Unknown
            | Self::NotSupported
            | Self::Transferred(..)
            | Self::Silent => false,
        }
    }
}
