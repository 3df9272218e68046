//! `Book1`: what the uplink to the back end reads.

use voltry_bus::{Error, EventExport, SessionEvent, Transaction};
use zbus::interface;
use zbus::object_server::SignalEmitter;

use super::{Calls, TRANSACTIONS_MAX};
use crate::authorization::Token;
use crate::book::Book;

/// The book, as the uplink reads it.
pub(crate) struct Book1 {
    pub(crate) book: Book,
    /// Its own, so that no flood of calls to the station cuts off the uplink.
    pub(crate) calls: Calls,
}

#[interface(name = "org.voltry.Book1")]
impl Book1 {
    #[zbus(out_args("events"))]
    async fn events(&self, after: u64, limit: u32) -> Result<Vec<SessionEvent>, Error> {
        let call = async { Ok(self.book.events(after, limit).await?) };
        self.calls.answer("Events", call).await
    }

    #[zbus(out_args("exports"))]
    async fn exports(&self, after: u64, limit: u32) -> Result<Vec<EventExport>, Error> {
        let call = async { Ok(self.book.exports(after, limit).await?) };
        self.calls.answer("Exports", call).await
    }

    #[zbus(out_args("transactions"))]
    async fn transactions_of(&self, token: String, limit: u32) -> Result<Vec<Transaction>, Error> {
        let Ok(token) = Token::parse(&token) else {
            return Err(Error::Invalid("no id token".to_owned()));
        };
        let call = async { Ok(self.book.transactions_of(token, limit.min(TRANSACTIONS_MAX)).await?) };
        self.calls.answer("TransactionsOf", call).await
    }

    async fn acknowledge(&self, number: u64) -> Result<(), Error> {
        let call = async { Ok(self.book.acknowledge(number).await?) };
        self.calls.answer("Acknowledge", call).await
    }

    #[zbus(signal)]
    pub(crate) async fn booked(emitter: &SignalEmitter<'_>, number: u64) -> zbus::Result<()>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn newest(&self) -> u64 {
        *self.book.newest_event().borrow()
    }

    #[zbus(property(emits_changed_signal = "false"))]
    async fn acknowledged(&self) -> zbus::fdo::Result<u64> {
        let acknowledged = async { Ok(self.book.acknowledged().await?) };
        let answer = self.calls.answer("Acknowledged", acknowledged).await;
        answer.map_err(|error| zbus::fdo::Error::Failed(error.to_string()))
    }
}
