//! What the uplink must still know after the machine died: SQLite, WAL, `synchronous=FULL`.
//!
//! The station's book is the record of what was charged; here stands how far the CSMS has it, and
//! what the CSMS gave us. Nobody waits for this daemon, so it waits for its own disk: a call
//! returns when what it wrote is durable.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Version;
use crate::connection::redial::Slot;
use crate::files;
use crate::model::events::Event;
use crate::model::monitors::Kept;
use crate::networks::Network;
use crate::profiles::Stored;
use crate::security::{Entry, Journal, LOG_MAX, SecurityEvent};
use crate::uplink::{Cached, Held, ListChange, Messages, Progress, Record, SetAside, TokenInfo, Tokens};

/// Messages that the CSMS did not take, at the most; beyond, the oldest goes.
const SET_ASIDE_MAX: u32 = 1000;

/// Each step takes the store from the version of its index to the next. Steps are only added.
const STEPS: &[&str] = &[
    "
    CREATE TABLE kept (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE variables (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE list (token TEXT PRIMARY KEY, info TEXT NOT NULL) STRICT;
    CREATE TABLE cache (token TEXT PRIMARY KEY, answer TEXT NOT NULL) STRICT;
    CREATE TABLE set_aside (
        number  INTEGER PRIMARY KEY AUTOINCREMENT,
        line    INTEGER NOT NULL,
        action  TEXT    NOT NULL,
        payload TEXT    NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE security_log (
        number INTEGER PRIMARY KEY,
        unix   INTEGER NOT NULL,
        is_set INTEGER NOT NULL,
        event  TEXT    NOT NULL,
        info   TEXT    NOT NULL,
        waits  INTEGER NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE networks (slot INTEGER PRIMARY KEY, network TEXT NOT NULL) STRICT;
",
    "
    CREATE TABLE events (number INTEGER PRIMARY KEY, event TEXT NOT NULL) STRICT;
",
];

/// Why the store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no: a full or read-only disk, a damaged file.
    #[error("the store: {0}")]
    Storage(#[from] rusqlite::Error),
    /// The file was written by a newer version of this software.
    #[error("the store is of schema {found}, this software knows {known}: do not downgrade")]
    FromTheFuture {
        /// The file's schema.
        found: i64,
        /// The newest this software knows.
        known: i64,
    },
    /// What stands in it cannot be read.
    #[error("the store's {what}: {error}")]
    Damaged {
        /// What cannot be read.
        what: &'static str,
        /// Why.
        error: serde_json::Error,
    },
}

/// The store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the store at `path`, making it where it is missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        // The answer to `journal_mode` is a row; `pragma_update` would take it for an error.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // A quarter of the default: the rows are small and few.
        connection.pragma_update(None, "cache_size", -512)?;
        let known = i64::try_from(STEPS.len()).expect("a handful of steps");
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if !(0..=known).contains(&found) {
            return Err(StoreError::FromTheFuture { found, known });
        }
        let change = connection.transaction()?;
        for step in STEPS.iter().skip(usize::try_from(found).expect("checked above")) {
            change.execute_batch(step)?;
        }
        change.pragma_update(None, "user_version", known)?;
        change.commit()?;
        Ok(Self { connection })
    }

    /// A value that is kept under a name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn kept(&self, key: &str) -> Result<Option<String>, StoreError> {
        let mut read = self.connection.prepare_cached("SELECT value FROM kept WHERE key = ?1")?;
        Ok(read.query_row([key], |row| row.get(0)).optional()?)
    }

    /// Keeps a value under a name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let mut write = self.connection.prepare_cached("INSERT OR REPLACE INTO kept VALUES (?1, ?2)")?;
        write.execute([key, value])?;
        Ok(())
    }

    /// How far the transactions are told; `None`: never yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn progress(&self) -> Result<Option<Progress>, StoreError> {
        self.kept("progress")?.map(|text| read("progress", &text)).transpose()
    }

    /// The charging profiles.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn profiles(&self) -> Result<Stored, StoreError> {
        let text = self.kept("charging_profiles")?;
        text.map_or(Ok(Stored::default()), |text| read("charging profiles", &text))
    }

    /// Messages for people at the station.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn display(&self) -> Result<Messages, StoreError> {
        let text = self.kept("display_messages")?;
        text.map_or(Ok(Messages::new()), |text| read("display messages", &text))
    }

    /// Logs and firmware that are under way.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn files(&self) -> Result<files::Kept, StoreError> {
        let text = self.kept("files")?;
        text.map_or(Ok(files::Kept::default()), |text| read("files", &text))
    }

    /// Whom the CSMS's reservations are for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn held(&self) -> Result<Held, StoreError> {
        self.kept("reservations")?.map_or(Ok(Held::new()), |text| read("reservations", &text))
    }

    /// The monitors, and the problems that the CSMS was told of.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn monitors(&self) -> Result<Kept, StoreError> {
        self.kept("monitors")?.map_or(Ok(Kept::default()), |text| read("monitors", &text))
    }

    /// The events that wait for the CSMS, oldest first, and the number of the last one that ever did.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn events(&self) -> Result<(Vec<Event>, i64), StoreError> {
        let mut query = self.connection.prepare("SELECT event FROM events ORDER BY number")?;
        let rows = query.query_map([], |row| row.get::<_, String>(0))?;
        let texts = rows.collect::<Result<Vec<_>, _>>()?;
        let events = texts.iter().map(|text| read("events", text)).collect::<Result<Vec<_>, _>>()?;
        let last = self.kept("event_number")?.and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok((events, last))
    }

    /// The variables that were written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn variables(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.pairs("SELECT name, value FROM variables")
    }

    /// The local list and the cache.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tokens(&self) -> Result<Tokens, StoreError> {
        let version = self.kept("list_version")?.and_then(|text| text.parse().ok()).unwrap_or(0);
        let list = self.pairs("SELECT token, info FROM list")?;
        let list = list.into_iter().map(|(token, info)| Ok((token, read::<TokenInfo>("local list", &info)?)));
        let cache = self.pairs("SELECT token, answer FROM cache")?;
        let cache = cache.into_iter().map(|(token, info)| Ok((token, read::<Cached>("cache", &info)?)));
        Ok(Tokens::new(
            version,
            list.collect::<Result<_, StoreError>>()?,
            cache.collect::<Result<_, StoreError>>()?,
        ))
    }

    fn pairs(&self, query: &str) -> Result<Vec<(String, String)>, StoreError> {
        let mut query = self.connection.prepare(query)?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Makes a record durable.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing changed.
    pub fn write(&mut self, record: &Record) -> Result<(), StoreError> {
        match record {
            Record::Progress(progress) => self.keep("progress", &text(progress)),
            Record::Profiles(profiles) => self.keep("charging_profiles", &text(profiles)),
            Record::Display(messages) => self.keep("display_messages", &text(messages)),
            Record::Uncached(token) => {
                self.connection.execute("DELETE FROM cache WHERE token = ?1", [token])?;
                Ok(())
            }
            Record::Files(files) => self.keep("files", &text(files)),
            Record::Held(held) => self.keep("reservations", &text(held)),
            Record::BootReason(reason) => self.keep("boot_reason", reason),
            Record::Variable(name, value) => {
                let mut write =
                    self.connection.prepare_cached("INSERT OR REPLACE INTO variables VALUES (?1, ?2)")?;
                write.execute([*name, value])?;
                Ok(())
            }
            Record::List(change) => self.write_list(change),
            Record::Cached(token, cached, gone) => {
                let change = self.connection.transaction()?;
                change.execute("INSERT OR REPLACE INTO cache VALUES (?1, ?2)", [token, &text(cached)])?;
                if let Some(gone) = gone {
                    change.execute("DELETE FROM cache WHERE token = ?1", [gone])?;
                }
                Ok(change.commit()?)
            }
            Record::ClearCache => {
                self.connection.execute("DELETE FROM cache", [])?;
                Ok(())
            }
            Record::SetAside(aside) => self.set_aside(aside),
            Record::Network(slot, network) => {
                let mut write =
                    self.connection.prepare_cached("INSERT OR REPLACE INTO networks VALUES (?1, ?2)")?;
                write.execute(params![slot, text(network)])?;
                Ok(())
            }
            Record::Security(entry) => self.log(entry),
            Record::SecurityTold(number) => {
                let mut told =
                    self.connection.prepare_cached("UPDATE security_log SET waits = 0 WHERE number = ?1")?;
                told.execute([i64::try_from(*number).unwrap_or(i64::MAX)])?;
                Ok(())
            }
            Record::Monitors(kept) => self.keep("monitors", &text(kept)),
            Record::Event(event, gone) => {
                let change = self.connection.transaction()?;
                if let Some(gone) = gone {
                    change.execute("DELETE FROM events WHERE number = ?1", [gone])?;
                }
                change.execute(
                    "INSERT OR REPLACE INTO events VALUES (?1, ?2)",
                    params![event.id, text(event)],
                )?;
                let last = event.id.to_string();
                change.execute("INSERT OR REPLACE INTO kept VALUES ('event_number', ?1)", [last])?;
                Ok(change.commit()?)
            }
            Record::EventsTold(ids) => {
                let change = self.connection.transaction()?;
                for id in ids {
                    change.execute("DELETE FROM events WHERE number = ?1", [id])?;
                }
                Ok(change.commit()?)
            }
        }
    }

    fn write_list(&mut self, change: &ListChange) -> Result<(), StoreError> {
        let writing = self.connection.transaction()?;
        if change.full {
            writing.execute("DELETE FROM list", [])?;
        }
        {
            let mut put = writing.prepare_cached("INSERT OR REPLACE INTO list VALUES (?1, ?2)")?;
            let mut remove = writing.prepare_cached("DELETE FROM list WHERE token = ?1")?;
            for (token, info) in &change.entries {
                match info {
                    Some(info) => put.execute([token, &text(info)])?,
                    None => remove.execute([token])?,
                };
            }
        }
        let version = change.version.to_string();
        writing.execute("INSERT OR REPLACE INTO kept VALUES ('list_version', ?1)", [version])?;
        Ok(writing.commit()?)
    }

    fn log(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let number = i64::try_from(entry.number).unwrap_or(i64::MAX);
        let name = entry.event.name(Version::V201);
        let change = self.connection.transaction()?;
        change.execute(
            "INSERT OR REPLACE INTO security_log VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![number, entry.unix, entry.set, name, entry.info, entry.event.is_critical()],
        )?;
        change.execute("DELETE FROM security_log WHERE number <= ?1 - ?2", params![number, LOG_MAX])?;
        Ok(change.commit()?)
    }

    /// The connection profiles that the CSMS set.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn networks(&self) -> Result<BTreeMap<Slot, Network>, StoreError> {
        let mut query = self.connection.prepare("SELECT slot, network FROM networks")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
        let rows: Vec<(Slot, String)> = rows.collect::<Result<_, _>>()?;
        rows.into_iter().map(|(slot, text)| Ok((slot, read("connection profile", &text)?))).collect()
    }

    /// The entries of the security log of this time, microseconds of Unix time, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn security_log(&self, times: RangeInclusive<i64>) -> Result<Vec<Entry>, StoreError> {
        self.entries(
            "SELECT number, unix, is_set, event, info FROM security_log
             WHERE unix >= ?1 AND unix <= ?2 ORDER BY number",
            [*times.start(), *times.end()],
        )
    }

    /// The security log as far as the CSMS has not heard it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn journal(&self) -> Result<Journal, StoreError> {
        let next: i64 =
            self.connection
                .query_row("SELECT ifnull(max(number), 0) + 1 FROM security_log", [], |row| row.get(0))?;
        let waiting = self.entries(
            "SELECT number, unix, is_set, event, info FROM security_log WHERE waits ORDER BY number",
            [],
        )?;
        Ok(Journal::new(next.unsigned_abs(), waiting))
    }

    fn entries(&self, query: &str, parameters: impl rusqlite::Params) -> Result<Vec<Entry>, StoreError> {
        let mut query = self.connection.prepare(query)?;
        let rows = query.query_map(parameters, |row| {
            let event: String = row.get(3)?;
            // An event that an older or newer version wrote, and this one does not know.
            let Some(event) = SecurityEvent::parse(&event) else { return Ok(None) };
            let number: i64 = row.get(0)?;
            Ok(Some(Entry {
                number: number.unsigned_abs(),
                event,
                unix: row.get(1)?,
                set: row.get(2)?,
                at: None,
                info: row.get(4)?,
            }))
        })?;
        Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
    }

    fn set_aside(&mut self, aside: &SetAside) -> Result<(), StoreError> {
        let change = self.connection.transaction()?;
        let line = i64::try_from(aside.line).unwrap_or(i64::MAX);
        change.execute(
            "INSERT INTO set_aside (line, action, payload) VALUES (?1, ?2, ?3)",
            params![line, aside.action, aside.payload],
        )?;
        change.execute(
            "DELETE FROM set_aside WHERE number <= (SELECT max(number) FROM set_aside) - ?1",
            [SET_ASIDE_MAX],
        )?;
        Ok(change.commit()?)
    }

    /// Messages that the CSMS did not take: line of the book, action, payload.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn aside(&self) -> Result<Vec<(i64, String, String)>, StoreError> {
        let mut query =
            self.connection.prepare("SELECT line, action, payload FROM set_aside ORDER BY number")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own types are JSON")
}

fn read<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged { what, error })
}

#[cfg(test)]
mod tests {
    use voltry_bus::TokenStatus;

    use super::*;
    use crate::transactions::Token;
    use crate::uplink::Sending;

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ocpp.db");
        let token = Token { id: "ABCD".to_owned(), kind: "ISO14443".to_owned() };
        let sending = Sending { line: 8, id: "x-1".to_owned(), payload: "{}".to_owned() };
        let progress = Progress { acknowledged: 7, sending: Some(sending), ..Progress::default() };
        let accepted = TokenInfo::of(TokenStatus::Accepted);
        {
            let mut store = Store::open(&path).unwrap();
            assert_eq!(store.progress().unwrap(), None);
            store.write(&Record::Progress(progress.clone())).unwrap();
            store.write(&Record::Variable("HeartbeatInterval", "77".to_owned())).unwrap();
            let entries = vec![("ABCD".to_owned(), Some(accepted.clone()))];
            store.write(&Record::List(ListChange { full: true, version: 3, entries })).unwrap();
            let cached = Cached { info: accepted, heard: 5 };
            store.write(&Record::Cached("EFGH".to_owned(), cached, None)).unwrap();
        }
        let store = Store::open(&path).unwrap();
        assert_eq!(store.progress().unwrap(), Some(progress));
        assert_eq!(store.variables().unwrap(), [("HeartbeatInterval".to_owned(), "77".to_owned())]);
        let tokens = store.tokens().unwrap();
        assert_eq!((tokens.version, tokens.listed()), (3, 1));
        assert!(tokens.in_list(&token, 0).unwrap().is_accepted());
    }

    #[test]
    fn what_is_set_aside_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("ocpp.db")).unwrap();
        store.connection.pragma_update(None, "synchronous", "OFF").unwrap();
        for line in 0..u64::from(SET_ASIDE_MAX) + 5 {
            let payload = "{}".to_owned();
            store.write(&Record::SetAside(SetAside { line, action: "StopTransaction", payload })).unwrap();
        }
        let aside = store.aside().unwrap();
        assert_eq!((aside.len(), aside[0].0), (SET_ASIDE_MAX as usize, 5));
    }
}
