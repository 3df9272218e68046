//! The station's one book: every transaction, and every event of it in order, in SQLite.
//!
//! The book lives on a thread of its own, for SQLite blocks. A call returns when its rows are on
//! the disk (WAL, `synchronous=FULL`): nothing counts as happened before. What was written is
//! never changed but for closing a transaction and for its newest reading.

mod rows;
mod schema;

use std::path::Path;

use tokio::sync::{mpsc, oneshot};
use voltry_units::WattHours;

pub use rows::{Closing, NewTransaction, OpenTransaction, TransactionId};

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
    /// The meter reads less than at the start of the transaction.
    #[error("the meter reads {register}, less than the {start} at the start of transaction {transaction}")]
    BelowStart {
        /// The transaction.
        transaction: TransactionId,
        /// What the meter reads.
        register: WattHours,
        /// What it read at the start.
        start: WattHours,
    },
    /// The book's thread ended; its reason stands in the journal.
    #[error("the book is closed")]
    Closed,
    /// More requests wait than the book takes.
    #[error("the book is busy")]
    Busy,
}

type Job = Box<dyn FnOnce(&mut rusqlite::Connection) + Send>;

/// Requests that may wait for the disk; more are refused with [`BookError::Busy`].
const WAITING: usize = 256;

/// A handle on the book; clones share it.
#[derive(Clone)]
pub struct Book {
    jobs: mpsc::Sender<Job>,
}

impl Book {
    /// Opens the book at `path`, making it and its tables where they are missing.
    ///
    /// # Errors
    /// The file cannot be opened, is damaged, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, BookError> {
        let mut connection = rusqlite::Connection::open(path)?;
        schema::prepare(&mut connection)?;
        let (jobs, mut queue) = mpsc::channel::<Job>(WAITING);
        std::thread::Builder::new()
            .name("book".to_owned())
            .spawn(move || {
                while let Some(job) = queue.blocking_recv() {
                    job(&mut connection);
                }
            })
            .expect("a thread can be started when the daemon starts");
        Ok(Self { jobs })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut rusqlite::Connection) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        let (answer, result) = oneshot::channel();
        self.jobs
            .try_send(Box::new(move |connection| {
                // The asker may have gone; what was written stays written.
                let _ = answer.send(job(connection));
            }))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => BookError::Busy,
                mpsc::error::TrySendError::Closed(_) => BookError::Closed,
            })?;
        result.await.map_err(|_| BookError::Closed)?
    }

    /// Opens a transaction and returns its number.
    ///
    /// # Errors
    /// As [`BookError`]; then the transaction has not begun.
    pub async fn begin(&self, new: NewTransaction) -> Result<TransactionId, BookError> {
        self.run(move |connection| rows::begin(connection, &new)).await
    }

    /// Notes a reading of an open transaction. It becomes the value to close with if the meter
    /// is out of reach then. `event`: also as an event of its own.
    ///
    /// # Errors
    /// [`BookError::BelowStart`], or as [`BookError`].
    pub async fn reading(
        &self,
        transaction: TransactionId,
        register: WattHours,
        unix_time: i64,
        event: bool,
    ) -> Result<(), BookError> {
        self.run(move |connection| rows::reading(connection, transaction, register, unix_time, event)).await
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
        self.run(move |connection| {
            rows::close(connection, transaction, &closing)?;
            rows::transaction(connection, transaction)
        })
        .await
    }

    /// The transactions that are still open, oldest first.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn open_transactions(&self) -> Result<Vec<OpenTransaction>, BookError> {
        self.run(|connection| rows::open_transactions(connection)).await
    }

    /// The newest transactions, newest first.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn newest(&self, limit: u32) -> Result<Vec<voltry_bus::Transaction>, BookError> {
        self.run(move |connection| rows::newest(connection, limit)).await
    }

    /// One transaction and its events in order.
    ///
    /// # Errors
    /// [`BookError::Unknown`], or as [`BookError`].
    pub async fn transaction(
        &self,
        id: TransactionId,
    ) -> Result<(voltry_bus::Transaction, Vec<voltry_bus::BookEvent>), BookError> {
        self.run(move |connection| Ok((rows::transaction(connection, id)?, rows::events(connection, id)?)))
            .await
    }

    /// Takes an EVSE into or out of service, lasting.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn set_available(&self, evse: u32, available: bool) -> Result<(), BookError> {
        self.run(move |connection| rows::set_available(connection, evse, available)).await
    }

    /// Whether an EVSE is in service; it is unless somebody said otherwise.
    ///
    /// # Errors
    /// As [`BookError`].
    pub async fn is_available(&self, evse: u32) -> Result<bool, BookError> {
        self.run(move |connection| rows::is_available(connection, evse)).await
    }
}

#[cfg(test)]
mod tests;
