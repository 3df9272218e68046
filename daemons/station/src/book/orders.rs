//! What is ordered while the station runs, and lasts: limits and reservations. Each list is written
//! whole.

use rusqlite::{Connection, params};
use voltry_units::{Timestamp, Watts};

use super::BookError;
use crate::authorization::Token;
use crate::limits::Limit;
use crate::reservations::Held;

pub(super) fn save_limits(connection: &mut Connection, limits: &[Limit]) -> Result<(), BookError> {
    let change = connection.transaction()?;
    change.execute("DELETE FROM limits", [])?;
    for limit in limits {
        change.execute(
            "INSERT INTO limits (evse, origin, power, expires) VALUES (?1, ?2, ?3, ?4)",
            params![limit.evse, limit.origin, limit.power.as_milli(), limit.expires],
        )?;
    }
    change.commit()?;
    Ok(())
}

/// With what is left of each, as the clock stands. A clock that is not set yet ends none too early.
pub(super) fn limits(
    connection: &Connection,
    now: Timestamp,
    unix_now: i64,
) -> Result<Vec<Limit>, BookError> {
    let mut query = connection.prepare("SELECT evse, origin, power, expires FROM limits")?;
    let rows = query.query_map([], |row| {
        let expires: i64 = row.get(3)?;
        let left = std::time::Duration::from_micros(u64::try_from(expires - unix_now).unwrap_or(0));
        Ok(Limit {
            evse: row.get(0)?,
            origin: row.get(1)?,
            power: Watts::from_milli(row.get(2)?),
            until: (expires != 0).then(|| now + left),
            expires,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn save_reservations(connection: &mut Connection, held: &[Held]) -> Result<(), BookError> {
    let change = connection.transaction()?;
    change.execute("DELETE FROM reservations", [])?;
    for (place, held) in held.iter().enumerate() {
        change.execute(
            "INSERT INTO reservations (id, evse, token, token_group, expires, place)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                held.id,
                held.evse,
                held.token.reveal(),
                held.group.as_ref().map_or("", Token::reveal),
                held.expires,
                i64::try_from(place).unwrap_or(i64::MAX),
            ],
        )?;
    }
    change.commit()?;
    Ok(())
}

pub(super) fn reservations(connection: &Connection) -> Result<Vec<Held>, BookError> {
    let mut query = connection
        .prepare("SELECT id, evse, token, token_group, expires FROM reservations ORDER BY place")?;
    let rows = query.query_map([], |row| {
        let token: String = row.get(2)?;
        let group: String = row.get(3)?;
        let (id, evse, expires) = (row.get(0)?, row.get(1)?, row.get(4)?);
        let group = Token::parse(&group).ok();
        Ok(Token::parse(&token).ok().map(|token| Held { id, evse, token, group, expires }))
    })?;
    Ok(rows.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}
