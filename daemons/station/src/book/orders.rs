//! What is ordered while the station runs, and lasts: limits and reservations. Each list is written
//! whole.

use rusqlite::{Connection, params};
use voltry_units::Watts;

use super::BookError;
use crate::authorization::Token;
use crate::clock::{EARLIEST, Stamp};
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

/// With what is left of each, as the clock stands. While that is not set, what is left of one that was given by a set
/// clock is not known.
pub(super) fn limits(connection: &Connection, stamp: &Stamp) -> Result<Vec<Limit>, BookError> {
    let mut query = connection.prepare("SELECT evse, origin, power, expires FROM limits")?;
    let rows = query.query_map([], |row| {
        let expires: i64 = row.get(3)?;
        let left = std::time::Duration::from_micros(u64::try_from(expires - stamp.unix).unwrap_or(0));
        let known = stamp.clock_set || expires < EARLIEST;
        Ok(Limit {
            evse: row.get(0)?,
            origin: row.get(1)?,
            power: Watts::from_milli(row.get(2)?),
            until: (expires != 0 && known).then(|| stamp.at + left),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::book::schema;

    #[test]
    fn what_is_left_of_a_limit_is_known_by_a_set_clock_or_by_the_one_that_gave_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::prepare(&mut connection).unwrap();
        let kept = |origin: &str, expires| Limit {
            evse: 1,
            origin: origin.to_owned(),
            power: Watts::ZERO,
            until: None,
            expires,
        };
        let second = 1_000_000;
        let limits =
            [kept("by-none", 0), kept("by-set", EARLIEST + 60 * second), kept("by-unset", 60 * second)];
        save_limits(&mut connection, &limits).unwrap();
        let stamp = |unix, clock_set| Stamp {
            unix,
            clock_set,
            boot: "boot".into(),
            at: voltry_units::Timestamp::BOOT,
        };
        let left = |stamp: Stamp| -> Vec<Option<Duration>> {
            let limits = super::limits(&connection, &stamp).unwrap();
            limits.iter().map(|limit| limit.until.map(|until| until.since(stamp.at))).collect()
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(left(stamp(EARLIEST + 20 * second, true)), [None, seconds(40), seconds(0)]);
        assert_eq!(left(stamp(20 * second, false)), [None, None, seconds(40)]);
    }
}
