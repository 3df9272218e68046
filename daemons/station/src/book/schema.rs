//! Tables and their versions.

use rusqlite::Connection;

use super::BookError;

/// Each step takes the book from the version of its index to the next. Steps are only added.
const STEPS: &[&str] = &["
    CREATE TABLE transactions (
        id               INTEGER PRIMARY KEY AUTOINCREMENT,
        evse             INTEGER NOT NULL,
        boot_id          TEXT    NOT NULL,  -- session ids mean nothing after a reboot
        session          INTEGER NOT NULL,
        token            TEXT    NOT NULL,  -- whole: the back end needs it; masked on the bus
        started          INTEGER NOT NULL,  -- microseconds of Unix time, as all times here
        register_start   INTEGER NOT NULL,  -- thousandths of a watt-hour, as all registers here
        signed_start     TEXT    NOT NULL,
        register_last    INTEGER NOT NULL,
        register_last_at INTEGER NOT NULL,
        ended            INTEGER,
        signed_end       TEXT,
        end_reason       TEXT    NOT NULL DEFAULT '',
        note             TEXT    NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX open_transactions ON transactions (id) WHERE ended IS NULL;
    CREATE TABLE events (
        number           INTEGER PRIMARY KEY AUTOINCREMENT,
        transaction_id   INTEGER NOT NULL REFERENCES transactions (id),
        time             INTEGER NOT NULL,
        kind             TEXT    NOT NULL,
        register         INTEGER NOT NULL,
        detail           TEXT    NOT NULL
    ) STRICT;
    CREATE INDEX events_of_transaction ON events (transaction_id, number);
    CREATE TABLE out_of_service (evse INTEGER PRIMARY KEY) STRICT;
"];

/// Makes the book durable and brings it to the newest version, in one go or not at all.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), BookError> {
    // The answer to `journal_mode` is a row; `pragma_update` would take it for an error.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let known = i64::try_from(STEPS.len()).expect("a handful of steps");
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if !(0..=known).contains(&found) {
        return Err(BookError::FromTheFuture { found, known });
    }
    let change = connection.transaction()?;
    for step in STEPS.iter().skip(usize::try_from(found).expect("checked above")) {
        change.execute_batch(step)?;
    }
    change.pragma_update(None, "user_version", known)?;
    change.commit()?;
    Ok(())
}
