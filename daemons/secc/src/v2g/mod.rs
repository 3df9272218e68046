//! V2GTP framing, the protocol handshake and the EXI codecs. The only module that names the
//! `iso15118` crate, so that a fork of it or a successor is a change of this folder (and, for the
//! layouts of SLAC's messages, of `slac/wire.rs`), and the `voltry_din70121` crate.
//!
//! The crate's station engine is not used: it closes on whatever its decoder refuses, fixes
//! the time of PreCharge, and refuses a PowerDelivery(Stop) before the charge loop, with
//! which vehicles give up. The order of messages is [`crate::order`]'s instead.
//!
//! One codec a protocol: `din`, `iso2`, `iso20`; [`Wire::next_message`] chooses by what the
//! handshake agreed. What vehicles get wrong and may: [`Tolerance`].

mod contract;
mod din;
mod iso2;
mod iso20;
mod legible;
mod lenient;
mod physical;
pub mod sdp;
mod tolerance;

pub use contract::Contracts;

use std::sync::Arc;
use std::time::Duration;

use iso15118::app_protocol::{SupportedAppProtocolReq, SupportedAppProtocolRes};
use iso15118::exi::{ExiDocument as _, ExiError};
use iso15118::message::{Message, MessageError};
use iso15118::session::Connection;
use iso15118::v2gtp::PayloadType;
use iso15118::{Iso20Set, Protocol as Generation, Protocols};
use voltry_din70121::V2gMessage;

pub use self::tolerance::Tolerance;
use crate::config::Metering;
use crate::message::{Answer, ControlMode, DcMode, Protocol, Request, Service, Unfit};
use crate::transcript::Said;

/// Longest payload taken or given, bytes. ISO 15118-2 messages need 400 without certificates, and about
/// 5000 with a chain of them and twenty names of roots; ISO 15118-20's may have two chains on P-521.
pub const MAX_PAYLOAD: usize = 16_384;
/// How many whole frames may wait; the protocol is half-duplex, so one is usual.
pub const MAX_PENDING: usize = 4;

/// How much is told of the names of what a vehicle offers, characters: some have five, of 30 each.
const NAMES_MAX: usize = 400;

/// What carries MeteringConfirmation beside the charge loop (ISO 15118-20 table 10); its messages are of
/// the common set, and some send them as those.
const METERING_CONFIRMATION: PayloadType = PayloadType::Reserved(0x8102);

/// What the station says of itself in every session.
#[derive(Debug, Clone)]
pub struct Identity {
    /// EVSEID, 7 to 37 characters, as `DE*VOL*E1`.
    pub evse_id: String,
    /// EVSEPeakCurrentRipple.
    pub peak_current_ripple: voltry_units::Amps,
    /// What it speaks; the vehicle's priorities decide among these.
    pub protocols: Vec<Protocol>,
    /// How ISO 15118-20 sessions are controlled, the preferred mode first.
    pub control_modes: Vec<ControlMode>,
    /// The contacts that carry the current, as DIN 70121 and ISO 15118-2 name them; the first is what
    /// DIN 70121 and ISO 15118-20, which tell one, tell.
    pub dc_modes: Vec<DcMode>,
    /// Energy transfers that are offered in ISO 15118-20.
    pub services: Vec<Service>,
    /// The meter; `None`: vehicles are told of none.
    pub metering: Option<Metering>,
}

impl Identity {
    /// Whether a vehicle that wants this mode gets it.
    fn serve(&self, mode: DcMode) -> Result<(), Unfit> {
        let combo = |mode| match mode {
            DcMode::Core | DcMode::Extended | DcMode::ComboCore => true,
            DcMode::Unique => false,
        };
        if self.dc_modes.contains(&mode) {
            return Ok(());
        }
        if combo(mode) && self.dc_modes.iter().any(|offered| combo(*offered)) {
            Tolerance::OtherContacts.note("ChargeParameterDiscoveryReq");
            return Ok(());
        }
        Err(Unfit::Mode("direct current by other contacts than are offered"))
    }
}

/// What came in.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and nearly all are requests")]
pub enum Incoming {
    /// The handshake agreed on this protocol; its answer is queued.
    Agreed(Protocol),
    /// A request, with the session id it carries (up to eight bytes).
    Request(Vec<u8>, Request),
}

/// Why a byte stream is no conversation. Nothing can be answered, the connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No V2GTP header, a payload too long, or more frames than the protocol allows.
    #[error("{0}")]
    Framing(String),
    /// The payload is no message of the agreed protocol.
    #[error("undecodable message: {0}")]
    Codec(String),
    /// A response, or a handshake twice.
    #[error("{0} is no request")]
    NotARequest(&'static str),
    /// The vehicle offers nothing we speak; it has been told.
    #[error("no protocol in common; the vehicle offers {0}")]
    NoCommonProtocol(String),
}

/// A message of any protocol.
#[derive(Debug)]
enum Envelope {
    Iso(Message),
    Din(Box<V2gMessage>),
}

impl Envelope {
    fn name(&self) -> &'static str {
        match self {
            Self::Iso(message) => message.name(),
            Self::Din(message) => {
                message.body.element.as_ref().map_or("an empty body", |body| body.element())
            }
        }
    }
}

/// One connection's bytes, both ways.
#[derive(Debug)]
pub struct Wire {
    connection: Connection,
    identity: Identity,
    /// The open request, as it came, if it is one that this station itself has no answer to: its
    /// refusal is built from it.
    open: Option<Envelope>,
    /// Plug & Charge.
    exchange: contract::Exchange,
    /// What the answer to the open request takes from it.
    form: iso20::Form,
    /// The open request came beside the charge loop.
    beside: bool,
    /// For the log, in the order of the wire. At most what one call takes in and gives out.
    said: Vec<Said>,
}

impl Wire {
    /// A fresh connection.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            connection: Connection::with_limits(MAX_PAYLOAD, MAX_PENDING),
            identity,
            open: None,
            exchange: contract::Exchange::default(),
            form: iso20::Form::default(),
            beside: false,
            said: Vec::new(),
        }
    }

    /// The connection is protected. `iso20`: so well that ISO 15118-20 is offered too. Contracts are
    /// offered, if these are `Some`.
    pub fn secured(&mut self, iso20: bool, contracts: Option<Arc<Contracts>>) {
        if iso20 && !self.identity.protocols.contains(&Protocol::Iso20) {
            self.identity.protocols.push(Protocol::Iso20);
        }
        self.exchange.contracts = contracts;
    }

    /// How often a vehicle under a contract has to sign what was metered; `None`: never.
    #[must_use]
    pub fn receipt_every(&self) -> Option<Duration> {
        self.identity.metering.as_ref()?.receipt_every
    }

    /// Takes bytes, at any boundary.
    ///
    /// # Errors
    /// [`WireError::Framing`]; a declared length above [`MAX_PAYLOAD`] is refused at the header.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.connection.receive(bytes).map_err(|error| WireError::Framing(error.to_string()))
    }

    /// The next message, if one is whole. The time of day is for certificates.
    ///
    /// # Errors
    /// The stream is no conversation; see [`WireError`].
    pub fn next_message(&mut self, unix_seconds: u64) -> Result<Option<Incoming>, WireError> {
        while let Some((payload_type, payload)) = self.connection.next_frame() {
            self.log(true, payload_type, &payload);
            self.beside = payload_type == METERING_CONFIRMATION;
            match decode(self.connection.protocol(), payload_type, &payload) {
                Ok((message, tolerance)) => {
                    if let Some(tolerance) = tolerance {
                        tolerance.note(message.name());
                    }
                    return self.sort(message, &payload, unix_seconds).map(Some);
                }
                // [V2G2-800]: a payload type that is not ours is skipped.
                Err(MessageError::NotAMessage(_) | MessageError::NotForThisSession { .. }) => {
                    tracing::debug!(payload_type = payload_type.as_u16(), "frame skipped");
                }
                Err(error) => return self.tolerate(&payload, &error).map(Some),
            }
        }
        Ok(None)
    }

    fn sort(&mut self, message: Envelope, payload: &[u8], unix_seconds: u64) -> Result<Incoming, WireError> {
        tracing::debug!(message = message.name(), "received");
        let (session_id, request) = match &message {
            Envelope::Iso(Message::AppProtocolReq(offer)) => return self.agree(offer),
            Envelope::Iso(message) if self.connection.protocol() == Some(Generation::Iso20) => {
                let (session_id, request, form) =
                    iso20::request(message, payload, &self.identity, &mut self.exchange, unix_seconds)?;
                self.form = form;
                (session_id, request)
            }
            Envelope::Iso(message) => {
                iso2::request(message, payload, &self.identity, &mut self.exchange, unix_seconds)?
            }
            Envelope::Din(message) => din::request(message, &self.identity)?,
        };
        let others = matches!(
            request,
            Request::NotOffered(_) | Request::Contract(crate::contract::Request::Certificate { .. })
        );
        self.open = others.then_some(message);
        Ok(Incoming::Request(session_id, request))
    }

    /// A payload that the codec refuses, if it is one that vehicles are known to send.
    fn tolerate(&mut self, payload: &[u8], error: &MessageError) -> Result<Incoming, WireError> {
        let outside = matches!(error, MessageError::Exi(ExiError::ValueOutOfRange));
        match lenient::power_delivery(payload) {
            Some((session_id, request))
                if outside && self.connection.protocol() == Some(Generation::Iso2) =>
            {
                Tolerance::ChargingProfile.note(request.name());
                self.open = None;
                Ok(Incoming::Request(session_id, request))
            }
            Some(_) | None => Err(WireError::Codec(error.to_string())),
        }
    }

    fn agree(&mut self, offer: &SupportedAppProtocolReq) -> Result<Incoming, WireError> {
        let ours: Protocols = self.identity.protocols.iter().map(|one| generation(*one)).collect();
        let Some((agreed, protocol)) = offer
            .negotiate_with(ours, &[Iso20Set::Dc])
            .and_then(|agreed| Some((agreed, protocol(agreed.protocol)?)))
        else {
            let reject = SupportedAppProtocolRes::reject();
            self.transmit(&Envelope::Iso(Message::AppProtocolRes(Box::new(reject))))?;
            return Err(WireError::NoCommonProtocol(names(offer)));
        };
        let accept = SupportedAppProtocolRes::accept(agreed);
        self.transmit(&Envelope::Iso(Message::AppProtocolRes(Box::new(accept))))?;
        self.connection.set_protocol(agreed.protocol);
        Ok(Incoming::Agreed(protocol))
    }

    /// Queues the answer to the open request, stamped with the time of day where the message
    /// set stamps.
    ///
    /// # Errors
    /// [`WireError::Codec`] if a value of the answer does not fit the schema.
    pub fn send(&mut self, session_id: [u8; 8], unix_seconds: u64, answer: &Answer) -> Result<(), WireError> {
        let (din, iso) = match self.open.take() {
            Some(Envelope::Din(message)) => (Some(message), None),
            Some(Envelope::Iso(message)) => (None, Some(message)),
            None => (None, None),
        };
        let (iso, identity) = (iso.as_ref(), &self.identity);
        let message = match self.connection.protocol() {
            Some(Generation::Din70121) => din::answer(din.as_deref(), session_id, identity, answer)
                .map(|message| Envelope::Din(Box::new(message))),
            Some(Generation::Iso20) => {
                iso20::answer(iso, self.form, session_id, unix_seconds, identity, &mut self.exchange, answer)
                    .map(Envelope::Iso)
            }
            _ => iso2::answer(iso, session_id, unix_seconds, identity, &mut self.exchange, answer)
                .map(Envelope::Iso),
        };
        let message = message.ok_or(WireError::NotARequest("a request without an answer"))?;
        tracing::debug!(message = message.name(), code = ?answer.code, "answered");
        self.transmit(&message)
    }

    fn transmit(&mut self, message: &Envelope) -> Result<(), WireError> {
        let codec = |error: &dyn std::fmt::Display| WireError::Codec(error.to_string());
        let (payload_type, payload) = match message {
            Envelope::Iso(message) => match message.encode().map_err(|error| codec(&error))? {
                (_, payload) if self.beside => (METERING_CONFIRMATION, payload),
                encoded => encoded,
            },
            Envelope::Din(message) => {
                (PayloadType::ExiEncodedV2gMessage, message.to_vec().map_err(|error| codec(&error))?)
            }
        };
        self.connection.send_frame(payload_type, &payload).map_err(|error| codec(&error))?;
        self.log(false, payload_type, &payload);
        Ok(())
    }

    fn log(&mut self, by_vehicle: bool, payload_type: PayloadType, payload: &[u8]) {
        self.said.push(Said {
            by_vehicle,
            protocol: self.connection.protocol().and_then(protocol),
            payload_type: payload_type.as_u16(),
            payload: payload.to_vec(),
        });
    }

    /// Takes what is to be written.
    #[must_use]
    pub fn take_transmit(&mut self) -> Vec<u8> {
        self.connection.take_transmit()
    }

    /// Takes what was heard and said since the last call.
    #[must_use]
    pub fn take_said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    /// Bytes and frames held, for the tests of its bounds.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.connection.pending_input(), self.connection.pending_frames())
    }
}

/// What the vehicle offers, to be read: it may have put anything into the names.
fn names(offer: &SupportedAppProtocolReq) -> String {
    let names: Vec<_> = offer.app_protocols.iter().map(|entry| entry.protocol_namespace.as_str()).collect();
    names.join(", ").escape_debug().take(NAMES_MAX).collect()
}

const fn generation(protocol: Protocol) -> Generation {
    match protocol {
        Protocol::Din => Generation::Din70121,
        Protocol::Iso2 => Generation::Iso2,
        Protocol::Iso20 => Generation::Iso20,
    }
}

fn protocol(generation: Generation) -> Option<Protocol> {
    Protocol::ALL.into_iter().find(|one| self::generation(*one) == generation)
}

/// Whether a back end's answer to a request for a certificate refuses. `update` is the kind of
/// that request.
///
/// # Errors
/// In words, why it is no answer to that.
pub fn certificate_refused(protocol: Protocol, update: bool, message: &[u8]) -> Result<bool, String> {
    contract::certificate_answer(protocol, update, message).map(|(_, refused)| refused)
}

/// Decodes, one byte too many at the end or not.
fn decode(
    protocol: Option<Generation>,
    payload_type: PayloadType,
    payload: &[u8],
) -> Result<(Envelope, Option<Tolerance>), MessageError> {
    match decode_whole(protocol, payload_type, payload) {
        Err(error @ MessageError::Exi(ExiError::TrailingData)) => match payload {
            [head @ .., 0] => {
                let message = decode_whole(protocol, payload_type, head).map_err(|_| error)?;
                Ok((message, Some(Tolerance::TrailingByte)))
            }
            _ => Err(error),
        },
        decoded => decoded.map(|message| (message, None)),
    }
}

fn decode_whole(
    protocol: Option<Generation>,
    payload_type: PayloadType,
    payload: &[u8],
) -> Result<Envelope, MessageError> {
    match (protocol, payload_type) {
        (Some(Generation::Iso20), METERING_CONFIRMATION) => {
            Message::decode(protocol, PayloadType::Part20Main, payload).map(Envelope::Iso)
        }
        (Some(Generation::Din70121), PayloadType::ExiEncodedV2gMessage) => V2gMessage::from_bytes(payload)
            .map(|message| Envelope::Din(Box::new(message)))
            .map_err(MessageError::Exi),
        _ => Message::decode(protocol, payload_type, payload).map(Envelope::Iso),
    }
}

/// A message's name and its content, for a person.
#[must_use]
pub fn describe(said: &Said) -> (String, String) {
    let payload_type = PayloadType::from_u16(said.payload_type);
    match decode(said.protocol.map(generation), payload_type, &said.payload) {
        Ok((message, _)) => (message.name().to_owned(), legible::legible(&content(&message))),
        Err(error) => (String::new(), format!("undecodable: {error}")),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the codec's enum: whatever has no body of its own is shown whole"
)]
fn content(message: &Envelope) -> String {
    let message = match message {
        Envelope::Iso(message) => message,
        Envelope::Din(message) => {
            return message.body.element.as_ref().map_or_else(String::new, |body| format!("{body:?}"));
        }
    };
    match message {
        Message::Iso2(document) => match &**document {
            iso15118::iso2::Document::V2GMessage(whole) => {
                whole.body.choice.as_ref().map_or_else(String::new, |body| format!("{body:?}"))
            }
            other => format!("{other:?}"),
        },
        Message::Iso20(document) => format!("{document:?}"),
        Message::Iso20Dc(document) => format!("{document:?}"),
        Message::AppProtocolReq(offer) => format!("{offer:?}"),
        Message::AppProtocolRes(answer) => format!("{answer:?}"),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn no_module_but_this_and_that_of_slac_frames_names_the_codec_crates() {
        fn sources(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { sources(&path, into) } else { into.push(path) }
            }
        }
        let mut files = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        assert!(files.len() > 10);
        let may = |file: &Path| {
            file.components().any(|part| part.as_os_str() == "v2g") || file.ends_with("slac/wire.rs")
        };
        for file in files.iter().filter(|file| !may(file)) {
            let text = std::fs::read_to_string(file).unwrap();
            for codec in ["iso15118::", "voltry_din70121"] {
                assert!(!text.contains(codec), "{} names {codec}", file.display());
            }
        }
    }
}
