//! What a caller's words have to be.

use voltry_bus::{EndReason, Error, TokenKind};

use crate::authorization::{Payer, Token};
use crate::session::Ending;

/// The longest id of a back end.
const ID_MAX: usize = 40;

pub(super) fn parse(token: &str) -> Result<Token, Error> {
    Token::parse(token).map_err(|error| Error::Invalid(error.to_string()))
}

/// Whom the back end lets in: nobody in particular, where no authorization is wanted.
pub(super) fn payer(token: &str, kind: TokenKind) -> Result<Payer, Error> {
    if token.is_empty() && kind == TokenKind::NoAuthorization {
        return Ok(Payer::anyone());
    }
    Ok(Payer::holder(parse(token)?, kind))
}

/// A group may be told or not.
pub(super) fn parse_group(group: &str) -> Result<Option<Token>, Error> {
    if group.is_empty() { Ok(None) } else { parse(group).map(Some) }
}

pub(super) fn checked_id(id: &str) -> Result<String, Error> {
    if id.len() > ID_MAX || id.chars().any(char::is_control) {
        return Err(Error::Invalid(format!("an id has at most {ID_MAX} characters")));
    }
    Ok(id.to_owned())
}

pub(super) fn ending(reason: EndReason) -> Result<Ending, Error> {
    let words = match reason {
        EndReason::None => return Err(Error::Invalid("none is no reason".to_owned())),
        EndReason::Remote => "stopped by the back end",
        EndReason::Deauthorized => "the back end no longer lets this token charge",
        EndReason::ImmediateReset | EndReason::Reboot | EndReason::SoftReset => "the station is reset",
        EndReason::UnlockCommand => "unlocked by the back end",
        EndReason::EmergencyStop
        | EndReason::EnergyLimitReached
        | EndReason::EvDisconnected
        | EndReason::GroundFault
        | EndReason::Local
        | EndReason::LocalOutOfCredit
        | EndReason::MasterPass
        | EndReason::Other
        | EndReason::OvercurrentFault
        | EndReason::PowerLoss
        | EndReason::PowerQuality
        | EndReason::SocLimitReached
        | EndReason::StoppedByEv
        | EndReason::TimeLimitReached
        | EndReason::Timeout => return Ok(Ending::new(reason, format!("stopped: {reason}"))),
    };
    Ok(Ending::new(reason, words))
}
