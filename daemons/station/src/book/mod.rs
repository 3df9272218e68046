//! The station's one book: every session and transaction, and every event of them in order, in
//! SQLite.
//!
//! The book lives on a thread of its own, for SQLite blocks. A call returns when its rows are on
//! the disk (WAL, `synchronous=FULL`): nothing counts as happened before. What was written is
//! never changed but for closing a transaction and for its newest reading.
//!
//! Everything is written in the order in which it was asked for. Events that the disk does not take
//! wait, and whatever was asked for after them is not written before them.

mod events;
mod orders;
mod rows;
mod schema;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};
use voltry_bus::{EventExport, EventKind, SessionEvent};
use voltry_units::WattHours;

use crate::authorization::Token;
use crate::clock::Stamp;
use crate::limits::Limit;
use crate::reservations::Held;

pub use events::{Flow, Measured, NewEvent, Signed};
pub use rows::{Closing, NewTransaction, OpenTransaction};

/// The number of a transaction in the book.
pub type TransactionId = u64;
/// The number of a session in the book.
pub type SessionId = u64;

/// Why the book could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// SQLite said no: a full or read-only disk, a damaged file.
    #[error("the book: {0}")]
    Storage(#[from] rusqlite::Error),
    /// The file was written by a newer version of this software.
    #[error("the book is of schema {found}, this software knows {known}: do not downgrade")]
    FromTheFuture {
        /// The file's schema.
        found: i64,
        /// The newest this software knows.
        known: i64,
    },
    /// No transaction of that number.
    #[error("no transaction {0}")]
    Unknown(TransactionId),
    /// No session of that number that is not over.
    #[error("no session {0} that is not over")]
    UnknownSession(SessionId),
    /// The meter reads less than before in the same transaction.
    #[error("the meter reads {register} in transaction {transaction}, less than before ({before})")]
    Backwards {
        /// The transaction.
        transaction: TransactionId,
        /// What the meter reads.
        register: WattHours,
        /// The newest reading in the book.
        before: WattHours,
    },
    /// An event that has not happened.
    #[error("event {number} is not in the book, its newest is {newest}")]
    NotYet {
        /// What was named.
        number: u64,
        /// The newest event.
        newest: u64,
    },
    /// The book's thread ended; its reason stands in the journal.
    #[error("the book is closed")]
    Closed,
    /// More requests wait than the book takes.
    #[error("the book is busy")]
    Busy,
}

type Job = Box<dyn FnOnce(&mut Pages) + Send>;

/// Requests that may wait for the disk; more are refused with [`BookError::Busy`].
const WAITING: usize = 256;

/// Events that may wait for a disk that takes nothing. A station without a disk begins no transaction,
/// so that only an endless plugging in and out comes so far.
const BACKLOG: usize = 4096;

/// Events that are deleted in one go: the book is not held up for long.
const PRUNED: u32 = 2000;

/// A handle on the book; clones share it.
#[derive(Clone)]
pub struct Book {
    jobs: mpsc::UnboundedSender<Job>,
    waiting: Arc<AtomicUsize>,
    /// Events wait that the disk did not take.
    behind: Arc<AtomicBool>,
    newest: watch::Receiver<u64>,
}

/// What the book's thread holds.
struct Pages {
    connection: rusqlite::Connection,
    /// Events that the disk did not take, in order.
    backlog: VecDeque<NewEvent>,
    behind: Arc<AtomicBool>,
    newest: watch::Sender<u64>,
}

impl Pages {
    fn record(&mut self, event: NewEvent) {
        if self.backlog.len() >= BACKLOG {
            error!(evse = event.evse, kind = %event.kind, "the book cannot be written: an event is lost");
            return;
        }
        self.backlog.push_back(event);
        // What it says is said there.
        let _ = self.write_backlog();
    }

    /// Writes what waits, in order.
    fn write_backlog(&mut self) -> Result<(), BookError> {
        while let Some(event) = self.backlog.front() {
            if let Err(error) = events::record(&mut self.connection, event) {
                if !self.behind.swap(true, Ordering::Relaxed) {
                    error!(%error, "the book cannot be written; events wait");
                }
                return Err(error);
            }
            self.backlog.pop_front();
        }
        if self.behind.swap(false, Ordering::Relaxed) {
            info!("the book is written again");
        }
        self.tell();
        Ok(())
    }

    /// A change of the book that comes after all events so far.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut rusqlite::Connection) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        self.write_backlog()?;
        let changed = change(&mut self.connection)?;
        self.tell();
        Ok(changed)
    }

    fn tell(&self) {
        match events::newest(&self.connection) {
            Ok(newest) => {
                self.newest.send_if_modified(|told| std::mem::replace(told, newest) != newest);
            }
            Err(error) => warn!(%error, "the book cannot be read"),
        }
    }
}

impl Book {
    /// Opens the book at `path`, making it and its tables where they are missing.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, BookError> {
        let mut connection = rusqlite::Connection::open(path)?;
        schema::prepare(&mut connection)?;
        let (tell, newest) = watch::channel(events::newest(&connection)?);
        let behind = Arc::new(AtomicBool::new(false));
        let mut pages =
            Pages { connection, backlog: VecDeque::new(), behind: Arc::clone(&behind), newest: tell };
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let waiting = Arc::new(AtomicUsize::new(0));
        let started = Arc::clone(&waiting);
        std::thread::Builder::new()
            .name("book".to_owned())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    started.fetch_sub(1, Ordering::Relaxed);
                    job(&mut pages);
                }
                if let Err(error) = pages.write_backlog() {
                    error!(%error, events = pages.backlog.len(), "the book ends without events that waited");
                }
            })
            .expect("a thread can be started when the daemon starts");
        Ok(Self { jobs, waiting, behind, newest })
    }

    /// What is asked for takes its turn at once, whenever its answer is waited for.
    fn run<T: Send + 'static, J>(
        &self,
        job: J,
    ) -> impl Future<Output = Result<T, BookError>> + Send + use<T, J>
    where
        J: FnOnce(&mut Pages) -> Result<T, BookError> + Send + 'static,
    {
        let (answer, result) = oneshot::channel();
        let enqueued = if self.waiting.load(Ordering::Relaxed) >= WAITING {
            Err(BookError::Busy)
        } else {
            self.enqueue(Box::new(move |pages| {
                // The asker may have gone; what was written stays written.
                let _ = answer.send(job(pages));
            }))
        };
        async move {
            enqueued?;
            result.await.map_err(|_| BookError::Closed)?
        }
    }

    fn enqueue(&self, job: Job) -> Result<(), BookError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.jobs.send(job).map_err(|_| BookError::Closed)
    }

    /// Writes an event, in its turn. A disk that does not take it is tried again.
    ///
    /// # Errors
    /// [`BookError::Closed`].
    pub fn record(&self, event: NewEvent) -> Result<(), BookError> {
        self.enqueue(Box::new(move |pages| pages.record(event)))
    }

    /// Tries again to write what the disk did not take.
    pub fn retry(&self) {
        if self.behind.load(Ordering::Relaxed) {
            // A book that is closed is told of by whatever is asked of it next.
            let _ = self.enqueue(Box::new(|pages| {
                let _ = pages.write_backlog();
            }));
        }
    }

    /// The number of the newest event; changes when it is on the disk.
    #[must_use]
    pub fn newest_event(&self) -> watch::Receiver<u64> {
        self.newest.clone()
    }

    /// The events with numbers above `after`, in order; at most 500, and 4 MB of what meters signed.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<SessionEvent>, BookError> {
        self.run(move |pages| events::after(&pages.connection, after, limit)).await
    }

    /// The meters' export registers at those events, where they are known.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn exports(&self, after: u64, limit: u32) -> Result<Vec<EventExport>, BookError> {
        self.run(move |pages| events::exports(&pages.connection, after, limit)).await
    }

    /// The back end has everything up to `number`.
    ///
    /// # Errors
    /// [`BookError::NotYet`], or as [`BookError`].
    pub async fn acknowledge(&self, number: u64) -> Result<(), BookError> {
        self.run(move |pages| events::acknowledge(&pages.connection, number)).await
    }

    /// Up to which number the back end has everything.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn acknowledged(&self) -> Result<u64, BookError> {
        self.run(|pages| events::acknowledged(&pages.connection)).await
    }

    /// Ends the sessions of other boots, but for those with an open transaction.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn end_what_nobody_saw_end(&self, stamp: Stamp, detail: &'static str) -> Result<(), BookError> {
        self.run(move |pages| pages.change(|book| events::end_what_nobody_saw_end(book, &stamp, detail)))
            .await
    }

    /// What is plugged in, as far as the book knows: EVSEs and their ids of the session, in this boot.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn open_plugs(&self, boot: Arc<str>) -> Result<Vec<(u32, u64)>, BookError> {
        self.run(move |pages| events::open_plugs(&pages.connection, &boot)).await
    }

    /// Opens a transaction and returns its number.
    ///
    /// # Errors
    /// As [`BookError`]; then the transaction has not begun.
    pub async fn begin(&self, new: NewTransaction) -> Result<TransactionId, BookError> {
        self.run(move |pages| pages.change(|book| rows::begin(book, &new))).await
    }

    /// Notes a reading of an open transaction. It becomes the value to close with if the meter
    /// is out of reach then. `event`: also as an event of this kind.
    ///
    /// # Errors
    /// [`BookError::Backwards`], or as [`BookError`].
    /// In its turn from the call on.
    pub fn reading(
        &self,
        transaction: TransactionId,
        stamp: Stamp,
        measured: Measured,
        event: Option<EventKind>,
    ) -> impl Future<Output = Result<(), BookError>> + Send + use<> {
        self.run(move |pages| pages.change(|book| rows::reading(book, transaction, &stamp, measured, event)))
    }

    /// Deletes what is older than a time (microseconds of Unix time), oldest first, at most
    /// [`PRUNED`] events, and nothing of a session that is not over. `acknowledged`: only what the back
    /// end has. Returns how many events are gone.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn prune(&self, before: i64, acknowledged: bool) -> Result<u64, BookError> {
        self.run(move |pages| events::prune(&mut pages.connection, before, acknowledged)).await
    }

    /// Closes a transaction. Closing a closed one changes nothing.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn close(
        &self,
        transaction: TransactionId,
        closing: Closing,
    ) -> Result<voltry_bus::Transaction, BookError> {
        self.run(move |pages| {
            pages.change(|book| {
                rows::close(book, transaction, &closing)?;
                rows::transaction(book, transaction)
            })
        })
        .await
    }

    /// The transactions that are still open, oldest first.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn open_transactions(&self) -> Result<Vec<OpenTransaction>, BookError> {
        self.run(|pages| rows::open_transactions(&pages.connection)).await
    }

    /// The newest transactions, newest first.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn newest(&self, limit: u32) -> Result<Vec<voltry_bus::Transaction>, BookError> {
        self.run(move |pages| rows::newest(&pages.connection, limit)).await
    }

    /// The newest transactions that are charged to a token, newest first.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn transactions_of(
        &self,
        token: Token,
        limit: u32,
    ) -> Result<Vec<voltry_bus::Transaction>, BookError> {
        self.run(move |pages| rows::transactions_of(&pages.connection, &token, limit)).await
    }

    /// One transaction and its events in order.
    ///
    /// # Errors
    /// [`BookError::Unknown`], or as [`BookError`].
    pub async fn transaction(
        &self,
        id: TransactionId,
    ) -> Result<(voltry_bus::Transaction, Vec<voltry_bus::BookEvent>), BookError> {
        self.run(move |pages| {
            let book = &pages.connection;
            Ok((rows::transaction(book, id)?, rows::events_of(book, id)?))
        })
        .await
    }

    /// What a session is at an EVSE: the EVSE, and its id of it; 0: nobody is plugged in yet.
    ///
    /// # Errors
    /// [`BookError::UnknownSession`] if it is over or of another boot, or as [`BookError`].
    pub async fn plug_of(&self, session: SessionId, boot: Arc<str>) -> Result<(u32, u64), BookError> {
        self.run(move |pages| events::plug_of(&pages.connection, session, &boot)).await
    }

    /// Keeps these limits and no others. In its turn from the call on.
    pub fn save_limits(
        &self,
        limits: Vec<Limit>,
    ) -> impl Future<Output = Result<(), BookError>> + Send + use<> {
        self.run(move |pages| orders::save_limits(&mut pages.connection, &limits))
    }

    /// The limits, with what is left of their time.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn limits(&self, stamp: Stamp) -> Result<Vec<Limit>, BookError> {
        self.run(move |pages| orders::limits(&pages.connection, &stamp)).await
    }

    /// Keeps these reservations and no others. In its turn from the call on.
    pub fn save_reservations(
        &self,
        held: Vec<Held>,
    ) -> impl Future<Output = Result<(), BookError>> + Send + use<> {
        self.run(move |pages| orders::save_reservations(&mut pages.connection, &held))
    }

    /// The reservations, oldest first.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn reservations(&self) -> Result<Vec<Held>, BookError> {
        self.run(|pages| orders::reservations(&pages.connection)).await
    }

    /// The station stops in order, in this boot.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn stop(&self, boot: Arc<str>) -> Result<(), BookError> {
        self.run(move |pages| pages.change(|book| rows::stop(book, &boot))).await
    }

    /// The boot in which the station last stopped in order; empty if it did not. It is asked for once a
    /// start.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn take_stopped(&self) -> Result<String, BookError> {
        self.run(|pages| rows::take_stopped(&mut pages.connection)).await
    }

    /// Takes an EVSE, or with 0 the station, into or out of service, lasting.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn set_available(&self, evse: u32, available: bool) -> Result<(), BookError> {
        self.run(move |pages| rows::set_available(&pages.connection, evse, available)).await
    }

    /// Whether an EVSE is in service; it is unless somebody said otherwise.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn is_available(&self, evse: u32) -> Result<bool, BookError> {
        self.run(move |pages| rows::is_available(&pages.connection, evse)).await
    }
}

#[cfg(test)]
mod tests;
