//! The words of the bus and those of OCPP.

use tracing::{debug, warn};
use voltry_bus::{EndReason, Error, MeterValues, SessionEvent, TokenKind, Transaction};
use voltry_units::Timestamp;

use crate::transactions::{Event, Kind, Occasion, Reason, SIGNED_MAX, Sample, Signed, Token};
use crate::uplink::{Charged, Outcome};

pub(super) fn outcome_of(error: &Error) -> Outcome {
    match error {
        Error::UnknownEvse(_) | Error::UnknownTransaction(_) | Error::Stale(_) => Outcome::Unknown,
        Error::Unavailable(_) | Error::ZBus(_) => Outcome::Silent,
        Error::NotHolder(_)
        | Error::StaleEpoch(_)
        | Error::StaleSequence(_)
        | Error::TooOld(_)
        | Error::FromTheFuture(_)
        | Error::Lapsed(_)
        | Error::OutOfRange(_)
        | Error::Invalid(_)
        | Error::Refused(_)
        | Error::UnknownSetting(_)
        | Error::Busy(_) => {
            debug!(%error, "the station refuses");
            Outcome::Refused(error.to_string())
        }
    }
}

/// The bus's word for a token's kind.
pub(super) fn kind_of(token: &Token) -> TokenKind {
    match token.kind.as_str() {
        "ISO14443" => TokenKind::Iso14443,
        "ISO15693" => TokenKind::Iso15693,
        "eMAID" => TokenKind::Emaid,
        "KeyCode" => TokenKind::KeyCode,
        "Local" => TokenKind::Local,
        "MacAddress" => TokenKind::MacAddress,
        "NoAuthorization" => TokenKind::NoAuthorization,
        _ => TokenKind::Central,
    }
}

/// 2.0.1's word for it.
pub(crate) fn ocpp_kind(kind: TokenKind) -> String {
    match kind {
        TokenKind::Iso14443 => "ISO14443",
        TokenKind::Iso15693 => "ISO15693",
        TokenKind::Emaid => "eMAID",
        TokenKind::Central => "Central",
        TokenKind::KeyCode => "KeyCode",
        TokenKind::Local => "Local",
        TokenKind::MacAddress => "MacAddress",
        TokenKind::NoAuthorization => "NoAuthorization",
    }
    .to_owned()
}

pub(super) fn charged(transactions: Vec<Transaction>) -> Outcome {
    let charged = |transaction: Transaction| Charged {
        number: transaction.id,
        evse: transaction.evse,
        started: transaction.started,
        ended: transaction.ended,
        energy: transaction.energy,
    };
    Outcome::Charged(transactions.into_iter().map(charged).collect())
}

pub(super) fn event_of(event: SessionEvent, export: Option<f64>, at: Option<Timestamp>) -> Event {
    let known = |value: f64| (value >= 0.0).then_some(value);
    // A register is far from where a double loses thousandths of a watt-hour.
    #[allow(clippy::cast_possible_truncation)]
    let [register, export] =
        [known(event.register), export].map(|wh| wh.map(|wh| (wh * 1000.0).round() as i64));
    let measured = known(event.voltage).is_some();
    let (kind, occasion) = kind(event.kind);
    // C02: somebody was let in without a token, which is a kind of token.
    let of_nobody =
        event.token_kind == TokenKind::NoAuthorization && matches!(kind, Kind::Authorized | Kind::Started);
    let signed = Signed { data: event.signed, format: event.signed_format, public_key: event.public_key };
    Event {
        number: event.number,
        unix: event.time,
        clock_set: event.clock_set,
        at,
        evse: event.evse,
        session: event.session,
        transaction: event.transaction,
        kind,
        token: (!event.token.is_empty() || of_nobody)
            .then(|| Token { id: event.token, kind: ocpp_kind(event.token_kind) }),
        sample: Sample {
            unix: event.time,
            register,
            export,
            power: measured.then_some(event.power),
            current: measured.then_some(event.current),
            voltage: known(event.voltage),
            offered: known(event.power_offered),
            soc: known(event.soc),
        },
        reason: reason(event.reason),
        remote_start: event.remote_start.parse().ok(),
        reservation: event.reservation.parse().ok(),
        occasion,
        signed: sendable(event.number, signed).map(Box::new),
    }
}

/// What the meter signed, if there is something and a message can carry it.
fn sendable(line: u64, signed: Signed) -> Option<Signed> {
    let (data, key) = (signed.data.len(), signed.public_key.len());
    if data > SIGNED_MAX || key > SIGNED_MAX || signed.format.len() > 50 {
        warn!(
            line,
            data, key, "what the meter signed is longer than OCPP can carry: the CSMS gets it unsigned"
        );
        return None;
    }
    (data > 0).then_some(signed)
}

/// What a meter that nobody is charged by says.
pub(super) fn metered(values: MeterValues) -> Outcome {
    let known = |value: f64| (value >= 0.0).then_some(value);
    // A register is far from where a double loses thousandths of a watt-hour.
    #[allow(clippy::cast_possible_truncation)]
    let register = known(values.register).map(|wh| (wh * 1000.0).round() as i64);
    let measured = known(values.voltage).is_some();
    Outcome::Metered(Sample {
        unix: values.time,
        register,
        export: None,
        power: measured.then_some(values.power),
        current: measured.then_some(values.current),
        voltage: known(values.voltage),
        offered: known(values.power_offered),
        soc: known(values.soc),
    })
}

const fn kind(kind: voltry_bus::EventKind) -> (Kind, Occasion) {
    use voltry_bus::EventKind as Booked;
    match kind {
        Booked::Plugged => (Kind::Plugged, Occasion::Interval),
        Booked::Authorized => (Kind::Authorized, Occasion::Interval),
        Booked::Started => (Kind::Started, Occasion::Interval),
        Booked::Charging => (Kind::Charging, Occasion::Interval),
        Booked::SuspendedEv => (Kind::SuspendedEv, Occasion::Interval),
        Booked::SuspendedEvse => (Kind::SuspendedEvse, Occasion::Interval),
        Booked::Reading => (Kind::Reading, Occasion::Interval),
        Booked::ClockReading => (Kind::Reading, Occasion::Clock),
        Booked::Deauthorized => (Kind::Deauthorized, Occasion::Interval),
        Booked::Ended => (Kind::Ended, Occasion::Interval),
        Booked::Unplugged => (Kind::Unplugged, Occasion::Interval),
        Booked::ConnectTimedOut => (Kind::ConnectTimedOut, Occasion::Interval),
    }
}

const fn reason(reason: EndReason) -> Option<Reason> {
    Some(match reason {
        EndReason::None => return None,
        EndReason::Deauthorized => Reason::DeAuthorized,
        EndReason::EmergencyStop => Reason::EmergencyStop,
        EndReason::EnergyLimitReached => Reason::EnergyLimitReached,
        EndReason::EvDisconnected => Reason::EVDisconnected,
        EndReason::GroundFault => Reason::GroundFault,
        EndReason::ImmediateReset => Reason::ImmediateReset,
        EndReason::Local => Reason::Local,
        EndReason::LocalOutOfCredit => Reason::LocalOutOfCredit,
        EndReason::MasterPass => Reason::MasterPass,
        EndReason::Other => Reason::Other,
        EndReason::OvercurrentFault => Reason::OvercurrentFault,
        EndReason::PowerLoss => Reason::PowerLoss,
        EndReason::PowerQuality => Reason::PowerQuality,
        EndReason::Reboot => Reason::Reboot,
        EndReason::Remote => Reason::Remote,
        EndReason::SocLimitReached => Reason::SOCLimitReached,
        EndReason::SoftReset => Reason::SoftReset,
        EndReason::StoppedByEv => Reason::StoppedByEV,
        EndReason::TimeLimitReached => Reason::TimeLimitReached,
        EndReason::Timeout => Reason::Timeout,
        EndReason::UnlockCommand => Reason::UnlockCommand,
    })
}
