//! How a command ended, and the exit code that says so.

use std::process::ExitCode;

/// The command did what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 4: what was asked for is there, and it is bad news (faults, say).
    BadNews,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::BadNews => Self::from(4),
        }
    }
}

/// Why a command did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Exit code 1: the station said no.
    #[error("{0}")]
    Refused(String),
    /// Exit code 3: nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// Exit code 1.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("voltryctl: {self}");
        ExitCode::from(match self {
            Self::Refused(_) | Self::Other(_) => 1,
            Self::Unreachable(_) => 3,
        })
    }
}

impl From<voltry_bus::Error> for Failure {
    fn from(error: voltry_bus::Error) -> Self {
        use voltry_bus::Error;
        match error {
            Error::ZBus(error) => error.into(),
            Error::Unavailable(text) => Self::Unreachable(text),
            Error::NotHolder(text)
            | Error::StaleEpoch(text)
            | Error::StaleSequence(text)
            | Error::TooOld(text)
            | Error::FromTheFuture(text)
            | Error::Lapsed(text)
            | Error::OutOfRange(text)
            | Error::Invalid(text)
            | Error::Stale(text)
            | Error::Refused(text)
            | Error::UnknownEvse(text)
            | Error::UnknownTransaction(text)
            | Error::Busy(text) => Self::Refused(text),
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        use zbus::fdo::Error as Fdo;
        if let zbus::Error::FDO(fdo) = &error {
            if let Fdo::ServiceUnknown(_) | Fdo::NameHasNoOwner(_) = fdo.as_ref() {
                return Self::Unreachable(
                    "its daemon is not on the bus; see `voltryctl status` and `systemctl status 'voltry-*'`"
                        .to_owned(),
                );
            }
            if let Fdo::AccessDenied(_) = fdo.as_ref() {
                return Self::Refused(
                    "the bus policy does not let you: are you in the group voltry?".to_owned(),
                );
            }
        }
        Self::Other(error.to_string())
    }
}
