//! The events of sessions: written once, in order, and read by the uplink.

use rusqlite::{Connection, OptionalExtension, Row, params};
use voltry_bus::{EndReason, EventExport, EventKind, SessionEvent, TokenKind};
use voltry_units::WattHours;

use super::rows::{id_from_sql, id_to_sql};
use super::{BookError, PRUNED, SessionId, TransactionId};
use crate::authorization::{Payer, Token};
use crate::clock::Stamp;

/// At most this many events in one answer.
const EVENTS_MAX: u32 = 500;
/// And about this much signed data, in bytes.
const ANSWER_MAX: usize = 4 << 20;

/// What was measured when something happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The meter's import register; `None`: the meter has not been heard.
    pub register: Option<WattHours>,
    /// The meter's export register; `None`: the meter has not been heard.
    pub export: Option<WattHours>,
    /// Volts, amperes and watts; `None`: not known.
    pub flow: Option<Flow>,
    /// Watts that the vehicle may have.
    pub power_offered: f64,
    /// Percent; `None`: the vehicle did not tell.
    pub soc: Option<f64>,
}

impl Measured {
    /// Nothing was.
    pub const NOTHING: Self =
        Self { register: None, export: None, flow: None, power_offered: 0.0, soc: None };
}

/// What flows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Flow {
    /// Volts.
    pub voltage: f64,
    /// Amperes.
    pub current: f64,
    /// Watts.
    pub power: f64,
}

/// What a meter signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signed {
    /// To the byte; empty: nothing.
    pub data: String,
    /// As `OCMF`.
    pub format: String,
    /// What verifies it.
    pub public_key: String,
}

/// Something that happened in a session.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// The EVSE.
    pub evse: u32,
    /// The EVSE's id of the session, in the boot of `stamp`; 0: nobody is plugged in yet.
    pub plug: u64,
    /// When.
    pub stamp: Stamp,
    /// What.
    pub kind: EventKind,
    /// Who was let in, of [`EventKind::Authorized`]; who ended it by another token of the group, of
    /// [`EventKind::Deauthorized`]. What follows is said of him.
    pub payer: Option<Payer>,
    /// What was measured.
    pub measured: Measured,
    /// Why.
    pub reason: EndReason,
    /// In words.
    pub detail: String,
}

/// One row of `events`.
pub(super) struct Entry<'a> {
    pub(super) session: SessionId,
    pub(super) transaction: Option<TransactionId>,
    pub(super) stamp: &'a Stamp,
    pub(super) kind: EventKind,
    pub(super) measured: Measured,
    pub(super) signed: Option<&'a Signed>,
    pub(super) reason: EndReason,
    pub(super) detail: &'a str,
}

impl<'a> Entry<'a> {
    pub(super) fn new(session: SessionId, stamp: &'a Stamp, kind: EventKind) -> Self {
        let (transaction, measured, signed) = (None, Measured::NOTHING, None);
        Self { session, transaction, stamp, kind, measured, signed, reason: EndReason::None, detail: "" }
    }
}

pub(super) fn insert(change: &Connection, entry: &Entry<'_>) -> Result<i64, BookError> {
    let Entry { stamp, measured, .. } = entry;
    let flow = measured.flow;
    let (signed, format, key) = entry.signed.map_or(("", "", ""), |signed| {
        (signed.data.as_str(), signed.format.as_str(), signed.public_key.as_str())
    });
    change.execute(
        "INSERT INTO events (session_id, transaction_id, time, clock_set, boot_id, at, kind, register,
                             voltage, current, power, power_offered, soc, signed, signed_format,
                             public_key, reason, detail, export)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
        params![
            id_to_sql(entry.session),
            entry.transaction.map(id_to_sql),
            stamp.unix,
            stamp.clock_set,
            &*stamp.boot,
            id_to_sql(stamp.at.as_micros()),
            entry.kind.as_str(),
            measured.register.map(WattHours::as_milli),
            flow.map(|flow| flow.voltage),
            flow.map(|flow| flow.current),
            flow.map(|flow| flow.power),
            measured.power_offered,
            measured.soc,
            signed,
            format,
            key,
            entry.reason.as_str(),
            entry.detail,
            measured.export.map(WattHours::as_milli),
        ],
    )?;
    Ok(change.last_insert_rowid())
}

/// Writes an event. Plugging in twice, and whatever follows the end of a session, changes nothing:
/// what the station learns again after a restart is in the book once.
pub(super) fn record(connection: &mut Connection, event: &NewEvent) -> Result<(), BookError> {
    let change = connection.transaction()?;
    let found = session_of(&change, event)?;
    let session = match (event.kind, found) {
        (EventKind::Plugged, Some(Session { is_pending: true, id, .. })) => {
            change.execute(
                "UPDATE sessions SET plug = ?2 WHERE id = ?1",
                params![id_to_sql(id), id_to_sql(event.plug)],
            )?;
            id
        }
        (EventKind::Plugged, Some(_)) => return Ok(()),
        (_, Some(Session { is_over: true, .. })) => return Ok(()),
        (_, Some(Session { id, .. })) => id,
        (EventKind::Unplugged | EventKind::ConnectTimedOut, None) => return Ok(()),
        (_, None) => new_session(&change, event.evse, &event.stamp.boot, event.plug)?,
    };
    let transaction = change
        .query_row(
            "SELECT id FROM transactions WHERE session_id = ?1 AND ended IS NULL",
            [id_to_sql(session)],
            |row| row.get(0).map(id_from_sql),
        )
        .optional()?;
    let number = insert(
        &change,
        &Entry {
            transaction,
            measured: event.measured,
            reason: event.reason,
            detail: &event.detail,
            ..Entry::new(session, &event.stamp, event.kind)
        },
    )?;
    if let Some(payer) = &event.payer {
        authorize(&change, session, number, payer)?;
    }
    if matches!(event.kind, EventKind::Unplugged | EventKind::ConnectTimedOut) {
        end_session(&change, session)?;
    }
    change.commit()?;
    Ok(())
}

struct Session {
    id: SessionId,
    is_over: bool,
    /// Nobody is plugged in yet.
    is_pending: bool,
}

/// The session of an event: that of its plug, or one that waits for a plug.
fn session_of(change: &Connection, event: &NewEvent) -> Result<Option<Session>, BookError> {
    let session = change
        .query_row(
            "SELECT id, is_over, plug FROM sessions
             WHERE evse = ?1 AND boot_id = ?2 AND (plug = ?3 AND (plug != 0 OR NOT is_over)
                   OR plug = 0 AND NOT is_over AND ?4)
             ORDER BY plug DESC LIMIT 1",
            params![event.evse, &*event.stamp.boot, id_to_sql(event.plug), event.kind == EventKind::Plugged,],
            |row| {
                Ok(Session {
                    id: id_from_sql(row.get(0)?),
                    is_over: row.get(1)?,
                    is_pending: row.get::<_, i64>(2)? == 0,
                })
            },
        )
        .optional()?;
    Ok(session)
}

/// The session that an EVSE's plug has in the book; made where it is missing, as after an update from
/// a book that had none.
pub(super) fn session(change: &Connection, evse: u32, boot: &str, plug: u64) -> Result<SessionId, BookError> {
    let found = change
        .query_row(
            "SELECT id FROM sessions WHERE evse = ?1 AND boot_id = ?2 AND plug = ?3 AND plug != 0",
            params![evse, boot, id_to_sql(plug)],
            |row| row.get(0).map(id_from_sql),
        )
        .optional()?;
    found.map_or_else(|| new_session(change, evse, boot, plug), Ok)
}

fn new_session(change: &Connection, evse: u32, boot: &str, plug: u64) -> Result<SessionId, BookError> {
    change.execute(
        "INSERT INTO sessions (evse, boot_id, plug) VALUES (?1, ?2, ?3)",
        params![evse, boot, id_to_sql(plug)],
    )?;
    Ok(id_from_sql(change.last_insert_rowid()))
}

fn authorize(change: &Connection, session: SessionId, number: i64, payer: &Payer) -> Result<(), BookError> {
    change.execute(
        "INSERT INTO payers (session_id, since, token, token_kind, token_group, remote_start, reservation)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            id_to_sql(session),
            number,
            payer.token.as_ref().map_or("", Token::reveal),
            payer.kind.as_str(),
            payer.group.as_ref().map_or("", Token::reveal),
            payer.remote_start,
            payer.reservation
        ],
    )?;
    Ok(())
}

pub(super) fn end_session(change: &Connection, session: SessionId) -> Result<(), BookError> {
    change.execute("UPDATE sessions SET is_over = TRUE WHERE id = ?1", [id_to_sql(session)])?;
    Ok(())
}

/// Ends what was still going on in another boot and has no open transaction: nobody saw the vehicle
/// leave. Of this boot, what waits for a plug: nobody remembers who was let in.
pub(super) fn end_what_nobody_saw_end(
    connection: &mut Connection,
    stamp: &Stamp,
    detail: &str,
) -> Result<(), BookError> {
    let change = connection.transaction()?;
    let left: Vec<(i64, i64)> = change
        .prepare(
            "SELECT id, plug FROM sessions
             WHERE NOT is_over AND (boot_id != ?1 OR plug = 0)
                   AND NOT EXISTS (SELECT 1 FROM transactions
                                   WHERE session_id = sessions.id AND ended IS NULL)
             ORDER BY id",
        )?
        .query_map([&*stamp.boot], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, plug) in left {
        let session = id_from_sql(id);
        let kind = if plug == 0 { EventKind::ConnectTimedOut } else { EventKind::Unplugged };
        insert(&change, &Entry { detail, ..Entry::new(session, stamp, kind) })?;
        end_session(&change, session)?;
    }
    change.commit()?;
    Ok(())
}

/// The EVSEs' ids of sessions of this boot that are not over.
pub(super) fn open_plugs(connection: &Connection, boot: &str) -> Result<Vec<(u32, u64)>, BookError> {
    let mut query = connection.prepare(
        "SELECT evse, plug FROM sessions WHERE NOT is_over AND boot_id = ?1 AND plug != 0 ORDER BY id",
    )?;
    let rows = query.query_map([boot], |row| Ok((row.get(0)?, id_from_sql(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn plug_of(
    connection: &Connection,
    session: SessionId,
    boot: &str,
) -> Result<(u32, u64), BookError> {
    connection
        .query_row(
            "SELECT evse, plug FROM sessions WHERE id = ?1 AND boot_id = ?2 AND NOT is_over",
            params![id_to_sql(session), boot],
            |row| Ok((row.get(0)?, id_from_sql(row.get(1)?))),
        )
        .optional()?
        .ok_or(BookError::UnknownSession(session))
}

pub(super) fn after(connection: &Connection, after: u64, limit: u32) -> Result<Vec<SessionEvent>, BookError> {
    let mut query = connection.prepare(
        "SELECT number, time, clock_set, events.boot_id, at, evse, events.session_id, transaction_id, kind,
                since IS NOT NULL, token, token_kind, token_group, remote_start,
                reservation, register, voltage, current, power, power_offered, soc, signed,
                signed_format, public_key, reason, detail
         FROM events JOIN sessions ON sessions.id = events.session_id
         LEFT JOIN payers ON payers.session_id = events.session_id AND since =
             (SELECT max(since) FROM payers
              WHERE payers.session_id = events.session_id AND since <= number)
         WHERE number > ?1 ORDER BY number LIMIT ?2",
    )?;
    let mut rows = query.query(params![id_to_sql(after), limit.min(EVENTS_MAX)])?;
    let (mut events, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let event = event(row)?;
        size += event.signed.len() + event.public_key.len();
        if size > ANSWER_MAX && !events.is_empty() {
            break;
        }
        events.push(event);
    }
    Ok(events)
}

fn event(row: &Row<'_>) -> rusqlite::Result<SessionEvent> {
    let token_known: bool = row.get(9)?;
    let text = |column: usize| -> rusqlite::Result<String> {
        if token_known { row.get(column) } else { Ok(String::new()) }
    };
    let number = |column: usize, unknown: f64| -> rusqlite::Result<f64> {
        Ok(row.get::<_, Option<f64>>(column)?.unwrap_or(unknown))
    };
    let kind = if token_known { word(row, 11)? } else { TokenKind::NoAuthorization };
    Ok(SessionEvent {
        number: id_from_sql(row.get(0)?),
        time: row.get(1)?,
        clock_set: row.get(2)?,
        boot: row.get(3)?,
        at: id_from_sql(row.get(4)?),
        evse: row.get(5)?,
        session: id_from_sql(row.get(6)?),
        transaction: id_from_sql(row.get::<_, Option<i64>>(7)?.unwrap_or(0)),
        kind: word(row, 8)?,
        token: text(10)?,
        token_kind: kind,
        group: text(12)?,
        remote_start: text(13)?,
        reservation: text(14)?,
        register: row.get::<_, Option<i64>>(15)?.map_or(-1.0, |milli| WattHours::from_milli(milli).as_si()),
        voltage: number(16, -1.0)?,
        current: number(17, 0.0)?,
        power: number(18, 0.0)?,
        power_offered: row.get(19)?,
        soc: number(20, -1.0)?,
        signed: row.get(21)?,
        signed_format: row.get(22)?,
        public_key: row.get(23)?,
        reason: word(row, 24)?,
        detail: row.get(25)?,
    })
}

/// The export registers of those events that [`after`] gives, where they are known.
pub(super) fn exports(
    connection: &Connection,
    after: u64,
    limit: u32,
) -> Result<Vec<EventExport>, BookError> {
    let mut query = connection.prepare(
        "SELECT number, export FROM
             (SELECT number, export FROM events WHERE number > ?1 ORDER BY number LIMIT ?2)
         WHERE export > 0",
    )?;
    let rows = query.query_map(params![id_to_sql(after), limit.min(EVENTS_MAX)], |row| {
        let register = WattHours::from_milli(row.get(1)?).as_si();
        Ok(EventExport { number: id_from_sql(row.get(0)?), register })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A word that this software wrote.
pub(super) fn word<T: std::str::FromStr<Err = voltry_bus::Error>>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: voltry_bus::Error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

pub(super) fn newest(connection: &Connection) -> Result<u64, BookError> {
    // Also when every event has been deleted since.
    let newest: Option<i64> = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |row| row.get(0))
        .optional()?;
    Ok(id_from_sql(newest.unwrap_or(0)))
}

pub(super) fn acknowledged(connection: &Connection) -> Result<u64, BookError> {
    Ok(id_from_sql(connection.query_row("SELECT number FROM acknowledged", [], |row| row.get(0))?))
}

pub(super) fn acknowledge(connection: &Connection, number: u64) -> Result<(), BookError> {
    let newest = newest(connection)?;
    if number > newest {
        return Err(BookError::NotYet { number, newest });
    }
    connection.execute("UPDATE acknowledged SET number = max(number, ?1)", [id_to_sql(number)])?;
    Ok(())
}

pub(super) fn prune(connection: &mut Connection, before: i64, acknowledged: bool) -> Result<u64, BookError> {
    let change = connection.transaction()?;
    let bound = if acknowledged { self::acknowledged(&change)? } else { newest(&change)? };
    let going_on: Option<i64> = change.query_row(
        "SELECT min(number) FROM events JOIN sessions ON sessions.id = session_id WHERE NOT is_over",
        [],
        |row| row.get(0),
    )?;
    let bound = going_on.map_or(id_to_sql(bound), |number| id_to_sql(bound).min(number - 1));
    let oldest: Vec<(i64, i64, bool)> = change
        .prepare("SELECT number, time, clock_set FROM events WHERE number <= ?1 ORDER BY number LIMIT ?2")?
        .query_map(params![bound, PRUNED], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    // A time by a clock that was not set proves no age: what comes after it does.
    let old = oldest.iter().take_while(|(_, time, clock_set)| !clock_set || *time < before);
    let Some((last, ..)) = old.filter(|(_, _, clock_set)| *clock_set).last() else { return Ok(0) };
    let gone = change.execute("DELETE FROM events WHERE number <= ?1", [last])?;
    change.execute(
        "DELETE FROM transactions WHERE ended IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM events WHERE transaction_id = transactions.id)",
        [],
    )?;
    change.execute(
        "DELETE FROM payers WHERE NOT EXISTS
             (SELECT 1 FROM events WHERE events.session_id = payers.session_id)
         AND NOT EXISTS (SELECT 1 FROM transactions WHERE transactions.session_id = payers.session_id)",
        [],
    )?;
    change.execute(
        "DELETE FROM sessions WHERE is_over
         AND NOT EXISTS (SELECT 1 FROM events WHERE session_id = sessions.id)
         AND NOT EXISTS (SELECT 1 FROM transactions WHERE session_id = sessions.id)",
        [],
    )?;
    change.commit()?;
    Ok(u64::try_from(gone).unwrap_or(0))
}
