//! `Station1`, `Book1` and `Session1` as they stand on the bus.

mod calls;
mod checks;
mod uplink;
mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use voltry_bus::{
    AuthorizeOutcome, BookEvent, CheckResult, Connector, EndReason, Error, EvseStatus, Fault, MeterValues,
    PowerLimit, PowerShare, PowerSource, Reservation, ReserveOutcome, SelfTestStep, StartOutcome, TokenKind,
    Transaction,
};
use voltry_units::{Amps, Volts, Watts};
use zbus::interface;
use zbus::object_server::SignalEmitter;

use crate::authorization::Payer;
use crate::book::{Book, BookError};
use crate::clock::Clock;
use crate::control::{By, Presented, Request, SetLimit, Shown};
use crate::evse_watch::{Proxies, asked};
use crate::limits::Limit;
use crate::reservations::Held;
use crate::session::Ending;

pub(crate) use calls::Calls;
pub(crate) use uplink::Book1;
use words::{checked_id, ending, parse, parse_group, payer};

/// At most this many transactions in one answer.
const TRANSACTIONS_MAX: u32 = 1000;
/// An EVSE knows within this time whether its lock has opened.
const UNLOCKED: Duration = Duration::from_secs(7);
/// The longest time that a limit may be valid for.
const VALID_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

impl From<BookError> for Error {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Unknown(_) => Self::UnknownTransaction(error.to_string()),
            BookError::NotYet { .. } => Self::Invalid(error.to_string()),
            BookError::UnknownSession(_) => Self::Stale(error.to_string()),
            BookError::Busy => Self::Busy(error.to_string()),
            BookError::Storage(_)
            | BookError::FromTheFuture { .. }
            | BookError::Backwards { .. }
            | BookError::Closed => Self::Unavailable(error.to_string()),
        }
    }
}

/// The station's object.
pub(crate) struct Station1 {
    pub(crate) name: String,
    pub(crate) power_limit: f64,
    /// Whether codes may be typed in at the station.
    pub(crate) key_pad: bool,
    pub(crate) book: Book,
    pub(crate) evses: BTreeMap<u32, Proxies>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) clock: Clock,
    pub(crate) shown: watch::Receiver<Shown>,
    pub(crate) calls: Calls,
}

impl Station1 {
    fn proxies(&self, evse: u32) -> Result<&Proxies, Error> {
        self.evses.get(&evse).ok_or_else(|| Error::UnknownEvse(format!("there is no EVSE {evse}")))
    }

    fn request(&self, request: Request) -> Result<(), Error> {
        self.requests.try_send(request).map_err(|_| Error::Busy("too many requests wait".to_owned()))
    }

    /// Asks the control loop, and waits for its answer.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        self.request(request(answer))?;
        answered.await.map_err(|_| Error::Unavailable("the station is stopping".to_owned()))
    }

    async fn present(&self, token: &str, kind: TokenKind, evse: u32) -> Result<StartOutcome, Error> {
        if kind == TokenKind::NoAuthorization {
            return self.ask(|answer| Request::PressStart { evse, answer }).await?;
        }
        let token = parse(token)?;
        let presented = |answer| Presented { token, kind, evse, by: By::Driver(answer) };
        self.ask(|answer| Request::Present(presented(answer))).await?
    }

    /// An EVSE of the station, or 0.
    fn place(&self, evse: u32) -> Result<(), Error> {
        if evse == 0 { Ok(()) } else { self.proxies(evse).map(|_| ()) }
    }
}

#[interface(name = "org.voltry.Station1")]
impl Station1 {
    // One argument that is a structure: a bare structure would go out as its fields.
    #[zbus(out_args("outcome"))]
    async fn authorize(&self, token: &str, evse: u32) -> Result<(AuthorizeOutcome,), Error> {
        let call = async {
            let StartOutcome { evse, outcome, .. } = self.present(token, TokenKind::Iso14443, evse).await?;
            Ok((AuthorizeOutcome { evse, outcome },))
        };
        self.calls.answer("Authorize", call).await
    }

    #[zbus(out_args("outcome"))]
    async fn authorize_token(
        &self,
        token: &str,
        kind: TokenKind,
        evse: u32,
    ) -> Result<(StartOutcome,), Error> {
        let call = async { Ok((self.present(token, kind, evse).await?,)) };
        self.calls.answer("AuthorizeToken", call).await
    }

    #[zbus(out_args("outcome"))]
    async fn enter_code(&self, code: &str, evse: u32) -> Result<(StartOutcome,), Error> {
        let call = async {
            if !self.key_pad {
                return Err(Error::Refused("the station has no key pad".to_owned()));
            }
            Ok((self.present(code, TokenKind::KeyCode, evse).await?,))
        };
        self.calls.answer("EnterCode", call).await
    }

    #[zbus(out_args("outcome"))]
    async fn press_start(&self, evse: u32) -> Result<(StartOutcome,), Error> {
        let call = async { Ok((self.present("", TokenKind::NoAuthorization, evse).await?,)) };
        self.calls.answer("PressStart", call).await
    }

    async fn end_by_master_pass(&self, evse: u32) -> Result<(), Error> {
        let call = async { self.ask(|answer| Request::EndByMasterPass { evse, answer }).await? };
        self.calls.answer("EndByMasterPass", call).await
    }

    #[zbus(out_args("outcome"))]
    async fn remote_start(
        &self,
        evse: u32,
        token: &str,
        kind: TokenKind,
        group: &str,
        remote_start: &str,
    ) -> Result<(StartOutcome,), Error> {
        let call = async {
            let payer = Payer {
                group: parse_group(group)?,
                remote_start: checked_id(remote_start)?,
                ..payer(token, kind)?
            };
            Ok((self.ask(|answer| Request::Start { evse, payer, answer }).await??,))
        };
        self.calls.answer("RemoteStart", call).await
    }

    async fn stop_transaction(&self, id: u64, reason: EndReason) -> Result<(), Error> {
        let call = async {
            let why = ending(reason)?;
            self.ask(|answer| Request::StopTransaction { id, why, answer }).await?
        };
        self.calls.answer("StopTransaction", call).await
    }

    async fn stop_session(&self, session: u64, reason: EndReason) -> Result<(), Error> {
        let call = async {
            let why = ending(reason)?;
            let (evse, plug) = self.book.plug_of(session, self.clock.boot().clone()).await?;
            self.ask(|answer| Request::StopSession { evse, plug, why, answer }).await?
        };
        self.calls.answer("StopSession", call).await
    }

    async fn stop(&self, evse: u32) -> Result<(), Error> {
        let call = async {
            self.proxies(evse)?;
            let why = Ending::new(EndReason::Local, "stopped by the operator");
            self.ask(|answer| Request::Stop { evse, why, answer }).await?
        };
        self.calls.answer("Stop", call).await
    }

    #[zbus(out_args("remaining"))]
    async fn clear_faults(&self, evse: u32) -> Result<Vec<Fault>, Error> {
        let call = async { asked(evse, self.proxies(evse)?.evse.clear_faults()).await };
        self.calls.answer("ClearFaults", call).await
    }

    #[zbus(out_args("result"))]
    async fn self_test(&self, evse: u32, step: SelfTestStep) -> Result<(CheckResult,), Error> {
        let call = async {
            let check = self.proxies(evse)?.self_test.check(step);
            self.checked(evse, Watts::ZERO, check).await
        };
        self.calls.answer("SelfTest", call).await
    }

    #[zbus(out_args("result"))]
    async fn load_test(&self, evse: u32, voltage: f64, current: f64) -> Result<(CheckResult,), Error> {
        let call = async {
            let power = Volts::from_si(voltage)? * Amps::from_si(current)?;
            let check = self.proxies(evse)?.self_test.load_test(voltage, current);
            let result = self.checked(evse, power, check).await;
            self.request(Request::Unloaded { evse })?;
            result
        };
        self.calls.answer("LoadTest", call).await
    }

    async fn end_self_test(&self, evse: u32) -> Result<(), Error> {
        let call = async {
            self.proxies(evse)?;
            self.request(Request::EndTest { evse })
        };
        self.calls.answer("EndSelfTest", call).await
    }

    async fn set_limit(&self, evse: u32, origin: &str, power: f64, valid_for: f64) -> Result<(), Error> {
        let call = async {
            self.place(evse)?;
            let power = Watts::from_si(power)?;
            let valid_for = Duration::try_from_secs_f64(valid_for)
                .ok()
                .filter(|time| *time <= VALID_MAX)
                .ok_or_else(|| Error::OutOfRange(format!("valid for {valid_for} s")))?;
            let (stamp, origin) = (self.clock.stamp(), origin.to_owned());
            let limit = if valid_for.is_zero() {
                Limit { evse, origin, power, until: None, expires: 0 }
            } else {
                let expires = stamp.unix + i64::try_from(valid_for.as_micros()).unwrap_or(0);
                Limit { evse, origin, power, until: Some(stamp.at + valid_for), expires }
            };
            self.ask(|answer| Request::Limit(SetLimit::To(limit), answer)).await?
        };
        self.calls.answer("SetLimit", call).await
    }

    async fn clear_limit(&self, evse: u32, origin: &str) -> Result<(), Error> {
        let call = async {
            self.place(evse)?;
            let clear = SetLimit::Clear { evse, origin: origin.to_owned() };
            self.ask(|answer| Request::Limit(clear, answer)).await?
        };
        self.calls.answer("ClearLimit", call).await
    }

    #[zbus(out_args("outcome"))]
    async fn reserve(
        &self,
        id: &str,
        evse: u32,
        token: &str,
        kind: TokenKind,
        group: &str,
        expires: i64,
    ) -> Result<ReserveOutcome, Error> {
        let call = async {
            self.place(evse)?;
            if id.is_empty() || kind == TokenKind::NoAuthorization {
                return Err(Error::Invalid("a reservation has an id, and is for somebody".to_owned()));
            }
            let (id, token, group) = (checked_id(id)?, parse(token)?, parse_group(group)?);
            self.ask(|answer| Request::Reserve(Held { id, evse, token, group, expires }, answer)).await?
        };
        self.calls.answer("Reserve", call).await
    }

    #[zbus(out_args("cancelled"))]
    async fn cancel_reservation(&self, id: &str) -> Result<bool, Error> {
        let call = async { self.ask(|answer| Request::CancelReservation(id.to_owned(), answer)).await };
        self.calls.answer("CancelReservation", call).await
    }

    async fn set_available(&self, evse: u32, available: bool) -> Result<(), Error> {
        let call = async {
            self.proxies(evse)?;
            self.change_availability(evse, available).await.map(|_| ())
        };
        self.calls.answer("SetAvailable", call).await
    }

    #[zbus(out_args("scheduled"))]
    async fn change_availability(&self, evse: u32, available: bool) -> Result<bool, Error> {
        let call = async {
            self.place(evse)?;
            self.book.set_available(evse, available).await?;
            self.ask(|scheduled| Request::Availability { evse, available, scheduled }).await
        };
        self.calls.answer("ChangeAvailability", call).await
    }

    async fn unlock(&self, evse: u32) -> Result<(), Error> {
        let call = async {
            let opened = timeout(UNLOCKED, self.proxies(evse)?.evse.unlock()).await;
            opened.unwrap_or_else(|_| Err(Error::Unavailable(format!("EVSE {evse} does not answer"))))
        };
        self.calls.answer("Unlock", call).await
    }

    #[zbus(out_args("values"))]
    async fn read_meter(&self, evse: u32) -> Result<(MeterValues,), Error> {
        let call = async { Ok((self.ask(|answer| Request::ReadMeter(evse, answer)).await??,)) };
        self.calls.answer("ReadMeter", call).await
    }

    #[zbus(out_args("transactions"))]
    async fn transactions(&self, limit: u32) -> Result<Vec<Transaction>, Error> {
        let call = async { Ok(self.book.newest(limit.min(TRANSACTIONS_MAX)).await?) };
        self.calls.answer("Transactions", call).await
    }

    #[zbus(out_args("transaction", "events"))]
    async fn transaction(&self, id: u64) -> Result<(Transaction, Vec<BookEvent>), Error> {
        let call = async { Ok(self.book.transaction(id).await?) };
        self.calls.answer("Transaction", call).await
    }

    #[zbus(signal)]
    pub(crate) async fn transaction_ended(
        emitter: &SignalEmitter<'_>,
        transaction: Transaction,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(crate) async fn reservation_ended(
        emitter: &SignalEmitter<'_>,
        id: &str,
        evse: u32,
        why: &str,
    ) -> zbus::Result<()>;

    #[zbus(signal)]
    pub(crate) async fn token_refused(emitter: &SignalEmitter<'_>, evse: u32, why: &str) -> zbus::Result<()>;

    #[zbus(property)]
    fn evses(&self) -> Vec<EvseStatus> {
        self.shown.borrow().evses.clone()
    }

    #[zbus(property)]
    fn connectors(&self) -> Vec<Connector> {
        self.shown.borrow().connectors.clone()
    }

    #[zbus(property)]
    fn limits(&self) -> Vec<PowerLimit> {
        self.shown.borrow().limits.clone()
    }

    #[zbus(property)]
    fn sources(&self) -> Vec<PowerSource> {
        self.shown.borrow().sources.clone()
    }

    #[zbus(property)]
    fn shares(&self) -> Vec<PowerShare> {
        self.shown.borrow().shares.clone()
    }

    #[zbus(property)]
    fn reservations(&self) -> Vec<Reservation> {
        self.shown.borrow().reservations.clone()
    }

    #[zbus(property)]
    fn master_pass_asked(&self) -> bool {
        self.shown.borrow().master_pass
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> &str {
        &self.name
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn power_limit(&self) -> f64 {
        self.power_limit
    }
}

/// A session in progress.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Session1 {
    pub(crate) evse: u32,
    pub(crate) transaction: u64,
    pub(crate) plugged_at: i64,
    pub(crate) energy: f64,
}

#[interface(name = "org.voltry.Session1")]
impl Session1 {
    #[zbus(property(emits_changed_signal = "const"))]
    fn evse(&self) -> u32 {
        self.evse
    }

    #[zbus(property)]
    fn transaction(&self) -> u64 {
        self.transaction
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn plugged_at(&self) -> i64 {
        self.plugged_at
    }

    #[zbus(property)]
    fn energy(&self) -> f64 {
        self.energy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::object_server::Interface as _;

    fn introspection(write: impl Fn(&mut String)) -> String {
        let mut xml = String::from("<node>");
        write(&mut xml);
        xml + "</node>"
    }

    #[tokio::test]
    async fn what_is_served_is_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book::open(&folder.path().join("book.db")).unwrap();
        let station = Station1 {
            name: String::new(),
            power_limit: 0.0,
            key_pad: false,
            book: book.clone(),
            evses: BTreeMap::new(),
            requests: mpsc::channel(1).0,
            clock: Clock::new().unwrap(),
            shown: watch::channel(Shown::default()).1,
            calls: Calls::new(),
        };
        let xml = introspection(|xml| station.introspect_to_writer(xml, 0));
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Station1"]), Ok(()));
        let served = Book1 { book, calls: Calls::new() };
        let xml = introspection(|xml| served.introspect_to_writer(xml, 0));
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Book1"]), Ok(()));
        let session = Session1 { evse: 1, transaction: 0, plugged_at: 0, energy: 0.0 };
        let xml = introspection(|xml| session.introspect_to_writer(xml, 0));
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Session1"]), Ok(()));
    }
}
