//! How a command ended, and the exit code that says so.

use std::process::ExitCode;

use voltry_bus::names;
use zbus::DBusError as _;

use crate::bus::TIMEOUT;

/// The command did what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1: what was tried failed, and said so.
    Failed,
    /// Exit code 4: what was asked for is there, and it is bad news (faults, say).
    BadNews,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Failed => Self::from(1),
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
    /// Exit code 3: there is no bus, or it ended.
    #[error("{0}")]
    NoBus(String),
    /// Exit code 1.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("voltryctl: {self}");
        ExitCode::from(match self {
            Self::Refused(_) | Self::Other(_) => 1,
            Self::Unreachable(_) | Self::NoBus(_) => 3,
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
            | Error::UnknownSetting(text)
            | Error::Busy(text) => Self::Refused(text),
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        if let zbus::Error::InputOutput(io) = &error {
            if io.kind() == std::io::ErrorKind::TimedOut {
                return Self::Unreachable(format!(
                    "no answer within {} s: a daemon is on the bus, and hangs; see `systemctl status 'voltry-*'`",
                    TIMEOUT.as_secs()
                ));
            }
            return Self::NoBus(format!("the bus is gone: {io}"));
        }
        let Some((name, text)) = named(&error) else { return Self::Other(error.to_string()) };
        match name.strip_prefix("org.freedesktop.DBus.Error.") {
            Some("ServiceUnknown" | "NameHasNoOwner") => Self::Unreachable(not_there(&text)),
            Some("NoReply" | "Disconnected") => {
                Self::Unreachable("it ended before it answered; see `systemctl status 'voltry-*'`".to_owned())
            }
            Some("AccessDenied") => {
                Self::Refused("the bus policy does not let you: are you in the group voltry?".to_owned())
            }
            Some(_) | None => Self::Other(error.to_string()),
        }
    }
}

/// The D-Bus name of an error that came over the bus, and its text.
fn named(error: &zbus::Error) -> Option<(String, String)> {
    if let zbus::Error::FDO(fdo) = error {
        return Some((fdo.name().to_string(), fdo.description().unwrap_or_default().to_owned()));
    }
    if let zbus::Error::MethodError(name, text, _) = error {
        return Some((name.to_string(), text.clone().unwrap_or_default()));
    }
    None
}

/// The broker's words name who is missing.
fn not_there(text: &str) -> String {
    let name = text.split_whitespace().find(|word| word.starts_with("org.voltry."));
    match name {
        Some(names::SIM) => "this is no simulated station: org.voltry.Sim1 is not on the bus".to_owned(),
        Some(name) => format!("{name} is not on the bus; see `systemctl status 'voltry-*'`"),
        None => "its daemon is not on the bus; see `systemctl status 'voltry-*'`".to_owned(),
    }
}
