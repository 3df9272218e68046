//! `Station1` and `Session1` as they stand on the bus.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};
use voltry_bus::{
    AuthorizeOutcome, BookEvent, EndReason, Error, EvseStatus, Fault, SessionEvent, Transaction,
};
use zbus::interface;
use zbus::object_server::SignalEmitter;

use crate::authorization::Token;
use crate::book::{Book, BookError};
use crate::control::Request;
use crate::evse_watch::{Proxies, asked};
use crate::session::Ending;

/// At most this many transactions in one answer.
const TRANSACTIONS_MAX: u32 = 1000;

impl From<BookError> for Error {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Unknown(_) => Self::UnknownTransaction(error.to_string()),
            BookError::NotYet { .. } => Self::Invalid(error.to_string()),
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
    pub(crate) book: Book,
    pub(crate) evses: BTreeMap<u32, Proxies>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) statuses: Vec<EvseStatus>,
}

impl Station1 {
    fn proxies(&self, evse: u32) -> Result<&Proxies, Error> {
        self.evses.get(&evse).ok_or_else(|| Error::UnknownEvse(format!("there is no EVSE {evse}")))
    }

    fn request(&self, request: Request) -> Result<(), Error> {
        self.requests.try_send(request).map_err(|_| Error::Busy("too many requests wait".to_owned()))
    }
}

#[interface(name = "org.voltry.Station1")]
impl Station1 {
    // One argument that is a structure: a bare structure would go out as its fields.
    #[zbus(out_args("outcome"))]
    async fn authorize(&self, token: &str, evse: u32) -> Result<(AuthorizeOutcome,), Error> {
        let token = Token::parse(token).map_err(|error| Error::Invalid(error.to_string()))?;
        let (answer, outcome) = oneshot::channel();
        self.request(Request::Authorize { token, evse, answer })?;
        let outcome =
            outcome.await.map_err(|_| Error::Unavailable("the station is stopping".to_owned()))??;
        Ok((outcome,))
    }

    async fn stop(&self, evse: u32) -> Result<(), Error> {
        self.proxies(evse)?;
        let why = Ending::new(EndReason::Local, "stopped by the operator");
        let (answer, stopped) = oneshot::channel();
        self.request(Request::Stop { evse, why, answer })?;
        stopped.await.map_err(|_| Error::Unavailable("the station is stopping".to_owned()))?
    }

    #[zbus(out_args("remaining"))]
    async fn clear_faults(&self, evse: u32) -> Result<Vec<Fault>, Error> {
        asked(evse, self.proxies(evse)?.evse.clear_faults()).await
    }

    async fn set_available(&self, evse: u32, available: bool) -> Result<(), Error> {
        self.proxies(evse)?;
        self.book.set_available(evse, available).await?;
        self.request(Request::Availability { evse, available })
    }

    #[zbus(out_args("transactions"))]
    async fn transactions(&self, limit: u32) -> Result<Vec<Transaction>, Error> {
        Ok(self.book.newest(limit.min(TRANSACTIONS_MAX)).await?)
    }

    #[zbus(out_args("transaction", "events"))]
    async fn transaction(&self, id: u64) -> Result<(Transaction, Vec<BookEvent>), Error> {
        Ok(self.book.transaction(id).await?)
    }

    #[zbus(signal)]
    pub(crate) async fn transaction_ended(
        emitter: &SignalEmitter<'_>,
        transaction: Transaction,
    ) -> zbus::Result<()>;

    #[zbus(property)]
    fn evses(&self) -> Vec<EvseStatus> {
        self.statuses.clone()
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

/// The book, as the uplink reads it.
pub(crate) struct Book1 {
    pub(crate) book: Book,
}

#[interface(name = "org.voltry.Book1")]
impl Book1 {
    #[zbus(out_args("events"))]
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<SessionEvent>, Error> {
        Ok(self.book.events(after, limit).await?)
    }

    async fn acknowledge(&self, number: u64) -> Result<(), Error> {
        Ok(self.book.acknowledge(number).await?)
    }

    #[zbus(signal)]
    pub(crate) async fn booked(emitter: &SignalEmitter<'_>, number: u64) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn newest(&self) -> u64 {
        *self.book.newest_event().borrow()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn acknowledged(&self) -> zbus::fdo::Result<u64> {
        self.book.acknowledged().await.map_err(|error| zbus::fdo::Error::Failed(error.to_string()))
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
            book: book.clone(),
            evses: BTreeMap::new(),
            requests: mpsc::channel(1).0,
            statuses: Vec::new(),
        };
        let xml = introspection(|xml| station.introspect_to_writer(xml, 0));
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Station1"]), Ok(()));
        let served = Book1 { book };
        let xml = introspection(|xml| served.introspect_to_writer(xml, 0));
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Book1"]), Ok(()));
        let session = Session1 { evse: 1, transaction: 0, plugged_at: 0, energy: 0.0 };
        let xml = introspection(|xml| session.introspect_to_writer(xml, 0));
        assert_eq!(voltry_bus::contract::check_served(&xml, &["org.voltry.Session1"]), Ok(()));
    }
}
