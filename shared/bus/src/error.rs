//! The errors that cross the bus, all under one prefix.

/// An error of a Voltry method. The text says what was wrong in words for a person.
#[derive(Debug, Clone, PartialEq, zbus::DBusError)]
#[zbus(prefix = "org.voltry.Error")]
pub enum Error {
    /// The bus itself failed.
    #[zbus(error)]
    ZBus(zbus::Error),
    /// The caller does not hold the lease.
    NotHolder(String),
    /// An epoch older than one already seen.
    StaleEpoch(String),
    /// A sequence number not above the last one of the epoch.
    StaleSequence(String),
    /// A message more than 100 ms old: the sender slept, or is overloaded.
    TooOld(String),
    /// A message stamped later than now.
    FromTheFuture(String),
    /// The lease ran out; only a new epoch energises.
    Lapsed(String),
    /// A number that is no physical value, or outside what the object can do.
    OutOfRange(String),
    /// An argument that means nothing here.
    Invalid(String),
    /// An answer to a session or phase that is over.
    Stale(String),
    /// The device said no.
    Refused(String),
    /// The device does not answer.
    Unavailable(String),
    /// No EVSE of that number.
    UnknownEvse(String),
    /// No transaction of that number in the book.
    UnknownTransaction(String),
    /// No setting of that name.
    UnknownSetting(String),
    /// The daemon takes no more requests just now.
    Busy(String),
}

impl From<voltry_units::OutOfRange> for Error {
    fn from(error: voltry_units::OutOfRange) -> Self {
        Self::OutOfRange(error.to_string())
    }
}
