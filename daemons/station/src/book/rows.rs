//! What is written and read, row by row.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use voltry_bus::{BookEvent, EndReason, EventKind, Transaction};
use voltry_units::{WattHours, Watts};

use super::events::{self, Entry, Measured, Signed, insert};
use super::{BookError, SessionId, TransactionId};
use crate::authorization::{Payer, Token, mask};
use crate::clock::Stamp;

/// What is known when a transaction begins.
#[derive(Debug, Clone)]
pub struct NewTransaction {
    /// The EVSE.
    pub evse: u32,
    /// The session of the EVSE, in the boot of `stamp`.
    pub plug: u64,
    /// Who is charged; `None` for free vending.
    pub token: Option<Token>,
    /// When the meter was read.
    pub stamp: Stamp,
    /// The meter's register.
    pub register: WattHours,
    /// What the meter signed.
    pub signed: Signed,
    /// What else was measured.
    pub measured: Measured,
}

/// What is known when a transaction ends.
#[derive(Debug, Clone)]
pub struct Closing {
    /// When.
    pub stamp: Stamp,
    /// The meter's register; `None` where the meter is out of reach: the newest reading in the
    /// book then counts, and the note says how old it is.
    pub register: Option<WattHours>,
    /// No more than this can have flowed since the newest reading in the book.
    pub power_limit: Watts,
    /// What the meter signed.
    pub signed: Signed,
    /// What else was measured.
    pub measured: Measured,
    /// Why.
    pub reason: EndReason,
    /// Why, in words.
    pub detail: String,
    /// Why, in a sentence for a technician.
    pub why: String,
}

/// An open transaction, as a starting daemon finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Its number.
    pub id: TransactionId,
    /// The EVSE.
    pub evse: u32,
    /// The boot of `session`.
    pub boot_id: String,
    /// The session of the EVSE.
    pub session: u64,
    /// Who is charged.
    pub payer: Payer,
    /// The meter's register at its start.
    pub register_start: WattHours,
    /// The last that the book has of it.
    pub register_last: WattHours,
}

pub(super) fn begin(connection: &mut Connection, new: &NewTransaction) -> Result<TransactionId, BookError> {
    let change = connection.transaction()?;
    let session = events::session(&change, new.evse, &new.stamp.boot, new.plug)?;
    change.execute(
        "INSERT INTO transactions (evse, boot_id, session, token, started, register_start,
                                   register_last, register_last_at, session_id, export_start, export_last)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?5, ?7, ?8, ?8)",
        params![
            new.evse,
            &*new.stamp.boot,
            id_to_sql(new.plug),
            new.token.as_ref().map_or("", Token::reveal),
            new.stamp.unix,
            new.register.as_milli(),
            id_to_sql(session),
            new.measured.export.map(WattHours::as_milli),
        ],
    )?;
    let id = id_from_sql(change.last_insert_rowid());
    let started = Entry {
        transaction: Some(id),
        measured: Measured { register: Some(new.register), ..new.measured },
        signed: Some(&new.signed),
        ..Entry::new(session, &new.stamp, EventKind::Started)
    };
    insert(&change, &started)?;
    change.commit()?;
    Ok(id)
}

pub(super) fn reading(
    connection: &mut Connection,
    id: TransactionId,
    stamp: &Stamp,
    measured: Measured,
    event: Option<EventKind>,
) -> Result<(), BookError> {
    let Some(register) = measured.register else { return Ok(()) };
    let change = connection.transaction()?;
    let (before, session) = change
        .query_row(
            "SELECT register_last, session_id FROM transactions WHERE id = ?1 AND ended IS NULL",
            [id_to_sql(id)],
            |row| Ok((WattHours::from_milli(row.get(0)?), id_from_sql(row.get(1)?))),
        )
        .optional()?
        .ok_or(BookError::Unknown(id))?;
    if register < before {
        return Err(BookError::Backwards { transaction: id, register, before });
    }
    change.execute(
        "UPDATE transactions SET register_last = ?2, register_last_at = ?3,
                export_start = coalesce(export_start, ?4),
                export_last = max(coalesce(export_last, ?4), coalesce(?4, export_last))
         WHERE id = ?1",
        params![id_to_sql(id), register.as_milli(), stamp.unix, measured.export.map(WattHours::as_milli)],
    )?;
    if let Some(kind) = event {
        insert(&change, &Entry { transaction: Some(id), measured, ..Entry::new(session, stamp, kind) })?;
    }
    change.commit()?;
    Ok(())
}

pub(super) fn close(
    connection: &mut Connection,
    id: TransactionId,
    closing: &Closing,
) -> Result<(), BookError> {
    let change = connection.transaction()?;
    let (open, session, read, of_another_boot): (bool, SessionId, Read, bool) = change
        .query_row(
            "SELECT ended IS NULL, session_id, register_start, register_last, register_last_at, boot_id != ?2,
                    export_start, export_last
             FROM transactions WHERE id = ?1",
            params![id_to_sql(id), &*closing.stamp.boot],
            |row| {
                let register = |column| row.get(column).map(WattHours::from_milli);
                let export = [row.get(6)?, row.get(7)?].map(|known: Option<i64>| known.map(WattHours::from_milli));
                let read = Read { start: register(2)?, last: register(3)?, last_at: row.get(4)?, export };
                Ok((row.get(0)?, id_from_sql(row.get(1)?), read, row.get(5)?))
            },
        )
        .optional()?
        .ok_or(BookError::Unknown(id))?;
    if !open {
        return Ok(());
    }
    let (register, note) = billed(closing, &read);
    let export = closing.measured.export.max(read.export[1]);
    let note = [note, came_back(read.export[0], export)];
    let note = note.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    change.execute(
        "UPDATE transactions SET ended = ?2, register_last = ?3, end_reason = ?4, note = ?5, why = ?6,
                                 export_last = ?7 WHERE id = ?1",
        params![
            id_to_sql(id),
            closing.stamp.unix,
            register.as_milli(),
            closing.detail,
            note,
            closing.why,
            export.map(WattHours::as_milli)
        ],
    )?;
    let ended = Entry {
        transaction: Some(id),
        measured: Measured { register: Some(register), export, ..closing.measured },
        signed: Some(&closing.signed),
        reason: closing.reason,
        detail: &closing.detail,
        ..Entry::new(session, &closing.stamp, EventKind::Ended)
    };
    insert(&change, &ended)?;
    if of_another_boot {
        // What is plugged in now has a session of its own.
        let detail = "the station was down when the vehicle left";
        insert(&change, &Entry { detail, ..Entry::new(session, &closing.stamp, EventKind::Unplugged) })?;
        events::end_session(&change, session)?;
    }
    change.commit()?;
    Ok(())
}

/// What was read of the meter in a transaction so far.
struct Read {
    start: WattHours,
    last: WattHours,
    /// Microseconds of Unix time.
    last_at: i64,
    /// The export register: first and last.
    export: [Option<WattHours>; 2],
}

/// What a vehicle gave back: said with its transaction, and in no bill.
fn came_back(start: Option<WattHours>, end: Option<WattHours>) -> String {
    match (start, end) {
        (Some(start), Some(end)) if end > start => {
            format!("{} came back from the vehicle, by the meter's export register: not billed", end - start)
        }
        (Some(_) | None, Some(_) | None) => String::new(),
    }
}

/// Our clock may be wrong by this much after a start without a network, and a meter slow.
const CLOCK_SLACK: Duration = Duration::from_secs(15 * 60);

/// The same reading may be rounded otherwise when the meter signs it.
const ROUNDING: WattHours = WattHours::new(10);

/// The register that a transaction is closed with, and what is particular about it. A meter that
/// contradicts what it read before bills no more than that.
fn billed(closing: &Closing, read: &Read) -> (WattHours, String) {
    let age = u64::try_from((closing.stamp.unix - read.last_at) / 1_000_000).unwrap_or(0);
    let stored = format!("stored reading, {age} s old");
    let Some(register) = closing.register else {
        return (read.last, format!("meter out of reach: {stored}"));
    };
    let possible = closing.power_limit.over(Duration::from_secs(age) + CLOCK_SLACK);
    if register < read.start {
        let note = format!(
            "the meter reads {register}, less than at the start: replaced, or its register ran over; {stored}"
        );
        return (read.last, note);
    }
    if register > read.last + possible {
        let note = format!("the meter reads {register}, more than can have flowed: replaced? {stored}");
        return (read.last, note);
    }
    if register < read.last - ROUNDING {
        let note = format!(
            "the meter reads {register}, less than before ({}): it ran backwards, or was replaced; {stored}",
            read.last
        );
        return (read.last, note);
    }
    (register, String::new())
}

pub(super) fn open_transactions(connection: &Connection) -> Result<Vec<OpenTransaction>, BookError> {
    let mut query = connection.prepare(
        "SELECT transactions.id, transactions.evse, transactions.boot_id, session, transactions.token,
                register_start, coalesce(token_kind, 'no-authorization'), coalesce(token_group, ''),
                coalesce(remote_start, ''), coalesce(reservation, ''), register_last
         FROM transactions LEFT JOIN payers ON payers.session_id = transactions.session_id AND since =
             (SELECT max(since) FROM payers
              WHERE payers.session_id = transactions.session_id AND payers.token = transactions.token)
         WHERE ended IS NULL ORDER BY transactions.id",
    )?;
    let rows = query.query_map([], |row| {
        Ok(OpenTransaction {
            id: id_from_sql(row.get(0)?),
            evse: row.get(1)?,
            boot_id: row.get(2)?,
            session: id_from_sql(row.get(3)?),
            payer: Payer {
                token: Token::parse(&row.get::<_, String>(4)?).ok(),
                kind: events::word(row, 6)?,
                group: Token::parse(&row.get::<_, String>(7)?).ok(),
                remote_start: row.get(8)?,
                reservation: row.get(9)?,
            },
            register_start: WattHours::from_milli(row.get(5)?),
            register_last: WattHours::from_milli(row.get(10)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const TRANSACTION: &str =
    "SELECT id, evse, token, ended, started, register_start, register_last, end_reason, note, why
     FROM transactions";

fn transaction_row(row: &Row<'_>) -> rusqlite::Result<Transaction> {
    let ended: Option<i64> = row.get(3)?;
    let start = WattHours::from_milli(row.get(5)?);
    let last = WattHours::from_milli(row.get(6)?);
    Ok(Transaction {
        id: id_from_sql(row.get(0)?),
        evse: row.get(1)?,
        identity: mask(&row.get::<_, String>(2)?),
        state: if ended.is_some() { "closed" } else { "open" }.to_owned(),
        started: row.get(4)?,
        ended: ended.unwrap_or(0),
        register_start: start.as_si(),
        register_end: last.as_si(),
        energy: (last - start).as_si(),
        end_reason: row.get(7)?,
        note: row.get(8)?,
        why: row.get(9)?,
    })
}

pub(super) fn transaction(connection: &Connection, id: TransactionId) -> Result<Transaction, BookError> {
    connection
        .query_row(&format!("{TRANSACTION} WHERE id = ?1"), [id_to_sql(id)], transaction_row)
        .optional()?
        .ok_or(BookError::Unknown(id))
}

pub(super) fn newest(connection: &Connection, limit: u32) -> Result<Vec<Transaction>, BookError> {
    let mut query = connection.prepare(&format!("{TRANSACTION} ORDER BY id DESC LIMIT ?1"))?;
    let rows = query.query_map([limit], transaction_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn transactions_of(
    connection: &Connection,
    token: &Token,
    limit: u32,
) -> Result<Vec<Transaction>, BookError> {
    let sql = format!("{TRANSACTION} WHERE token = ?1 ORDER BY id DESC LIMIT ?2");
    let mut query = connection.prepare(&sql)?;
    let rows = query.query_map(rusqlite::params![token.reveal(), limit], transaction_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn events_of(connection: &Connection, id: TransactionId) -> Result<Vec<BookEvent>, BookError> {
    let mut query = connection.prepare(
        "SELECT number, time, kind, register, detail FROM events WHERE transaction_id = ?1 ORDER BY number",
    )?;
    let rows = query.query_map([id_to_sql(id)], |row| {
        Ok(BookEvent {
            number: id_from_sql(row.get(0)?),
            time: row.get(1)?,
            kind: row.get(2)?,
            register: row
                .get::<_, Option<i64>>(3)?
                .map_or(-1.0, |milli| WattHours::from_milli(milli).as_si()),
            detail: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn stop(connection: &mut Connection, boot: &str) -> Result<(), BookError> {
    connection.execute("INSERT INTO stopped (boot_id) VALUES (?1)", [boot])?;
    Ok(())
}

pub(super) fn take_stopped(connection: &mut Connection) -> Result<String, BookError> {
    let change = connection.transaction()?;
    let boot: Option<String> = change.query_row("SELECT max(boot_id) FROM stopped", [], |row| row.get(0))?;
    change.execute("DELETE FROM stopped", [])?;
    change.commit()?;
    Ok(boot.unwrap_or_default())
}

pub(super) fn set_available(connection: &Connection, evse: u32, available: bool) -> Result<(), BookError> {
    let statement = if available {
        "DELETE FROM out_of_service WHERE evse = ?1"
    } else {
        "INSERT OR IGNORE INTO out_of_service (evse) VALUES (?1)"
    };
    connection.execute(statement, [evse])?;
    Ok(())
}

pub(super) fn is_available(connection: &Connection, evse: u32) -> Result<bool, BookError> {
    let out: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM out_of_service WHERE evse = ?1)",
        [evse],
        |row| row.get(0),
    )?;
    Ok(!out)
}

/// SQLite's integers are signed. Ids start at 1 and session ids are microseconds since boot, so
/// the sign is never used.
pub(super) fn id_to_sql(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

pub(super) fn id_from_sql(id: i64) -> u64 {
    u64::try_from(id).unwrap_or(0)
}
