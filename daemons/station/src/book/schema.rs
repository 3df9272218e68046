//! Tables and their versions.

use rusqlite::Connection;

use super::BookError;

/// Each step takes the book from the version of its index to the next. Steps are only added.
const STEPS: &[&str] = &[
    "
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
    ",
    // Sessions beside transactions, and events of both, as the uplink needs them.
    "
    CREATE TABLE sessions (
        id               INTEGER PRIMARY KEY AUTOINCREMENT,
        evse             INTEGER NOT NULL,
        boot_id          TEXT    NOT NULL,
        plug             INTEGER NOT NULL,  -- the EVSE's id of it in that boot; 0: not plugged in yet
        authorized       INTEGER,           -- the event that let somebody in
        token            TEXT    NOT NULL DEFAULT '',
        token_kind       TEXT    NOT NULL DEFAULT 'no-authorization',
        token_group      TEXT    NOT NULL DEFAULT '',
        remote_start     TEXT    NOT NULL DEFAULT '',
        reservation      TEXT    NOT NULL DEFAULT '',
        is_over          INTEGER NOT NULL DEFAULT FALSE
    ) STRICT;
    CREATE UNIQUE INDEX sessions_of_evse ON sessions (evse, boot_id, plug) WHERE plug != 0;
    CREATE INDEX open_sessions ON sessions (evse) WHERE NOT is_over;
    INSERT INTO sessions (evse, boot_id, plug, authorized, token, token_kind, is_over)
        SELECT evse, boot_id, session, 0, token, iif(token = '', 'no-authorization', 'iso14443'),
               min(ended IS NOT NULL)
        FROM transactions GROUP BY evse, boot_id, session ORDER BY min(id);
    ALTER TABLE transactions ADD COLUMN session_id INTEGER REFERENCES sessions (id);
    UPDATE transactions SET session_id = (
        SELECT id FROM sessions
        WHERE sessions.evse = transactions.evse AND sessions.boot_id = transactions.boot_id
              AND sessions.plug = transactions.session);
    CREATE TABLE events_of_sessions (
        number           INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id       INTEGER NOT NULL REFERENCES sessions (id),
        transaction_id   INTEGER REFERENCES transactions (id),
        time             INTEGER NOT NULL,
        clock_set        INTEGER NOT NULL,
        boot_id          TEXT    NOT NULL,
        at               INTEGER NOT NULL,  -- microseconds of that boot
        kind             TEXT    NOT NULL,
        register         INTEGER,
        voltage          REAL,
        current          REAL,
        power            REAL,
        power_offered    REAL    NOT NULL DEFAULT 0,
        soc              REAL,
        signed           TEXT    NOT NULL DEFAULT '',
        signed_format    TEXT    NOT NULL DEFAULT '',
        public_key       TEXT    NOT NULL DEFAULT '',
        reason           TEXT    NOT NULL DEFAULT 'none',
        detail           TEXT    NOT NULL DEFAULT ''
    ) STRICT;
    INSERT INTO events_of_sessions
            (number, session_id, transaction_id, time, clock_set, boot_id, at, kind, register,
             signed, signed_format, reason, detail)
        SELECT number, session_id, transaction_id, time, TRUE, boot_id, 0, kind, register,
               signed, iif(signed = '', '', 'OCMF'), iif(kind = 'ended', 'other', 'none'), detail
        FROM (SELECT events.*, session_id, boot_id,
                     CASE kind WHEN 'started' THEN signed_start WHEN 'ended' THEN signed_end ELSE '' END AS signed
              FROM events JOIN transactions ON transactions.id = transaction_id)
        ORDER BY number;
    DROP TABLE events;
    ALTER TABLE events_of_sessions RENAME TO events;
    CREATE INDEX events_of_transaction ON events (transaction_id, number);
    CREATE INDEX events_of_session ON events (session_id, number);
    ALTER TABLE transactions DROP COLUMN signed_start;
    ALTER TABLE transactions DROP COLUMN signed_end;
    CREATE TABLE acknowledged (
        only             INTEGER PRIMARY KEY CHECK (only = 0),
        number           INTEGER NOT NULL
    ) STRICT;
    INSERT INTO acknowledged VALUES (0, 0);
    ",
    // What is ordered while the station runs, and lasts.
    "
    CREATE TABLE limits (
        evse             INTEGER NOT NULL,  -- 0: all together
        origin           TEXT    NOT NULL,
        power            INTEGER NOT NULL,  -- thousandths of a watt
        expires          INTEGER NOT NULL,  -- 0: never
        PRIMARY KEY (evse, origin)
    ) STRICT;
    CREATE TABLE reservations (
        id               TEXT    PRIMARY KEY,
        evse             INTEGER NOT NULL,  -- 0: one of those that are free
        token            TEXT    NOT NULL,
        token_group      TEXT    NOT NULL,
        expires          INTEGER NOT NULL,
        place            INTEGER NOT NULL   -- in the order in which they were made
    ) STRICT;
    ",
    // Old transactions and sessions are deleted.
    "
    CREATE INDEX transactions_of_session ON transactions (session_id);
    ",
    // A session may let somebody in more than once, as after a restart in between: each event keeps who
    // it was then.
    "
    CREATE TABLE payers (
        session_id       INTEGER NOT NULL REFERENCES sessions (id),
        since            INTEGER NOT NULL,  -- the event that let them in
        token            TEXT    NOT NULL,
        token_kind       TEXT    NOT NULL,
        token_group      TEXT    NOT NULL,
        remote_start     TEXT    NOT NULL,
        reservation      TEXT    NOT NULL,
        PRIMARY KEY (session_id, since)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO payers
        SELECT id, authorized, token, token_kind, token_group, remote_start, reservation
        FROM sessions WHERE authorized IS NOT NULL;
    ALTER TABLE sessions DROP COLUMN authorized;
    ALTER TABLE sessions DROP COLUMN token;
    ALTER TABLE sessions DROP COLUMN token_kind;
    ALTER TABLE sessions DROP COLUMN token_group;
    ALTER TABLE sessions DROP COLUMN remote_start;
    ALTER TABLE sessions DROP COLUMN reservation;
    ",
    // A station that stopped in order before the machine went down lost no power.
    "
    CREATE TABLE stopped (boot_id TEXT NOT NULL) STRICT;
    ",
    // Why it ended, in a sentence for a technician.
    "
    ALTER TABLE transactions ADD COLUMN why TEXT NOT NULL DEFAULT '';
    ",
    // What comes back from a vehicle, by the meter's export register; apart from all that is billed.
    "
    ALTER TABLE transactions ADD COLUMN export_start INTEGER;
    ALTER TABLE transactions ADD COLUMN export_last INTEGER;
    ALTER TABLE events ADD COLUMN export INTEGER;
    ",
];

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

/// A book as an older version left it.
#[cfg(test)]
pub(super) fn of_version(connection: &Connection, version: u8) {
    STEPS[..version.into()].iter().for_each(|step| connection.execute_batch(step).unwrap());
    connection.pragma_update(None, "user_version", version).unwrap();
}
