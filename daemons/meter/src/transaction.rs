//! The open transaction of a meter that does not keep one itself, on disk.
//!
//! A signing meter knows across a power cut that a transaction is open. For one that does not,
//! this file stands in: it holds the transaction's name while it is open, and nothing else.
//! The energy is always the meter's own register, read when it is asked for.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The longest name of a transaction, bytes.
const NAME_MAX: usize = 255;

/// Why a transaction cannot be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// There is no such open transaction, or another one.
    #[error("{0}")]
    Refused(String),
    /// The name cannot be one.
    #[error("a transaction's name has 1 to {NAME_MAX} bytes and no control characters")]
    Name,
    /// The state could not be written; nothing has changed.
    #[error("writing {}: {source}", file.display())]
    Write {
        /// Where.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Remembers across restarts whether a transaction is open.
#[derive(Debug)]
pub struct OpenTransaction {
    file: PathBuf,
    open: Option<String>,
}

impl OpenTransaction {
    /// Finds out whether a transaction was open when the daemon, or the machine, stopped.
    ///
    /// # Errors
    /// If the file is there but cannot be read: then that is not known.
    pub fn load(file: PathBuf) -> io::Result<Self> {
        let open = match fs::read_to_string(&file) {
            Ok(name) => Some(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file, open })
    }

    /// The open transaction.
    #[must_use]
    pub fn open(&self) -> Option<&str> {
        self.open.as_deref()
    }

    /// Whether `transaction` could be started now.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn may_start(&self, transaction: &str) -> Result<(), TransactionError> {
        if transaction.is_empty() || transaction.len() > NAME_MAX || transaction.chars().any(char::is_control)
        {
            return Err(TransactionError::Name);
        }
        match self.open() {
            None => Ok(()),
            Some(open) => Err(TransactionError::Refused(format!("transaction {open} is still open"))),
        }
    }

    /// Whether `transaction` could be stopped now.
    ///
    /// # Errors
    /// What speaks against it.
    pub fn may_stop(&self, transaction: &str) -> Result<(), TransactionError> {
        match self.open() {
            Some(open) if open == transaction => Ok(()),
            Some(open) => Err(TransactionError::Refused(format!("not {transaction} but {open} is open"))),
            None => Err(TransactionError::Refused("no transaction is open".into())),
        }
    }

    /// Starts a transaction; on disk when this returns.
    ///
    /// # Errors
    /// As [`Self::may_start`], and if it cannot be written.
    pub fn start(&mut self, transaction: &str) -> Result<(), TransactionError> {
        self.may_start(transaction)?;
        write_through(&self.file, transaction)
            .map_err(|source| TransactionError::Write { file: self.file.clone(), source })?;
        self.open = Some(transaction.to_owned());
        Ok(())
    }

    /// Ends a transaction; off the disk when this returns.
    ///
    /// # Errors
    /// As [`Self::may_stop`], and if it cannot be written.
    pub fn stop(&mut self, transaction: &str) -> Result<(), TransactionError> {
        self.may_stop(transaction)?;
        remove_through(&self.file)
            .map_err(|source| TransactionError::Write { file: self.file.clone(), source })?;
        self.open = None;
        Ok(())
    }
}

/// Written whole or not at all, also when the mains fails half way.
fn write_through(file: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let new = file.with_extension("new");
    let mut written = File::create(&new)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&new, file)?;
    sync_folder(file)
}

/// A file that is gone already is no reason to keep the transaction open for ever.
fn remove_through(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.and_then(|()| sync_folder(file)),
    }
}

/// A new or removed name survives a power cut only when its folder is synced too.
fn sync_folder(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_transaction_is_known_after_a_restart_until_it_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("meter/main.transaction");
        let load = || OpenTransaction::load(file.clone()).unwrap();
        assert_eq!(load().open(), None);
        load().start("tx-7").unwrap();
        assert_eq!(load().open(), Some("tx-7"));
        load().stop("tx-7").unwrap();
        assert_eq!(load().open(), None);
    }

    #[test]
    fn a_second_transaction_is_refused_while_one_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let mut meter = OpenTransaction::load(folder.path().join("main")).unwrap();
        assert!(meter.stop("1").is_err(), "none is open");
        meter.start("1").unwrap();
        assert!(meter.start("2").is_err());
        assert!(meter.start("1").is_err());
        assert!(meter.stop("2").is_err());
        assert_eq!(meter.open(), Some("1"));
    }

    #[test]
    fn a_transaction_whose_file_is_gone_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("main");
        let mut meter = OpenTransaction::load(file.clone()).unwrap();
        meter.start("1").unwrap();
        fs::remove_file(file).unwrap();
        meter.stop("1").unwrap();
        assert_eq!(meter.open(), None);
    }

    #[test]
    fn a_transaction_that_cannot_be_written_is_not_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("blocked");
        fs::create_dir_all(file.with_extension("new")).unwrap();
        let mut meter = OpenTransaction::load(file).unwrap();
        assert!(matches!(meter.start("1"), Err(TransactionError::Write { .. })));
        assert_eq!(meter.open(), None);
    }

    #[test]
    fn names_that_are_none_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut meter = OpenTransaction::load(folder.path().join("main")).unwrap();
        for name in ["", "a\nb", &"x".repeat(256)] {
            assert!(matches!(meter.start(name), Err(TransactionError::Name)), "{name:?}");
        }
    }
}
