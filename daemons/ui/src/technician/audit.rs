//! Who did what at the technician's page, in a file of bounded size that outlives the machine.

use std::fs::{File, OpenOptions, rename};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tracing::{info, warn};

/// Bytes after which a new file is begun; the one before it is kept.
const FILE_MAX: u64 = 512 * 1024;
/// Bytes from the end that are shown.
const SHOWN: i64 = 32 * 1024;

/// The trail.
#[derive(Debug)]
pub(super) struct Audit {
    file: PathBuf,
    /// Two that both began a new file would lose what came before.
    writing: Mutex<()>,
}

impl Audit {
    /// In this file.
    #[must_use]
    pub(super) const fn new(file: PathBuf) -> Self {
        Self { file, writing: Mutex::new(()) }
    }

    /// Notes it, when the disk has it, off the thread that serves. It is noted also when nobody waits any more.
    pub(super) async fn noted(self: &Arc<Self>, who: &str, from: IpAddr, what: String) {
        let (audit, who) = (self.clone(), who.to_owned());
        // It does not panic; were it lost, the journal has it.
        let _ = tokio::task::spawn_blocking(move || audit.note(&who, from, &what)).await;
    }

    /// Notes it, here and in the journal, and waits for the disk. One that does not take it is told there.
    pub(super) fn note(&self, who: &str, from: IpAddr, what: &str) {
        let (who, what) = (plain(who), plain(what));
        info!(target: "audit", who, %from, what, "technician's page");
        let line = format!("{}\t{who}\t{from}\t{what}\n", Timestamp::now());
        if let Err(error) = self.write(&line) {
            warn!(file = %self.file.display(), %error, "the audit trail cannot be written");
        }
    }

    fn write(&self, line: &str) -> std::io::Result<()> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if std::fs::metadata(&self.file).is_ok_and(|about| about.len() >= FILE_MAX) {
            rename(&self.file, self.file.with_extension("log.1"))?;
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }

    /// The newest lines, newest first.
    #[must_use]
    pub(super) fn newest(&self) -> Vec<String> {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(&self.file)?;
            let size = i64::try_from(file.metadata()?.len()).unwrap_or(i64::MAX);
            file.seek(SeekFrom::End(-size.min(SHOWN)))?;
            let mut bytes = Vec::new();
            file.take(SHOWN.unsigned_abs()).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        text.lines().rev().map(str::to_owned).collect()
    }
}

/// On one line, without what would make another of it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_one_line_each_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit.log");
        let audit = Audit::new(file.clone());
        let from = std::net::Ipv4Addr::LOCALHOST.into();
        assert!(audit.newest().is_empty());
        audit.note("anna", from, "stops EVSE 1");
        audit.note("eve\n2026\tanna", from, &"x".repeat(5000));
        let newest = audit.newest();
        assert_eq!(newest.len(), 2);
        assert!(newest[1].ends_with("anna\t127.0.0.1\tstops EVSE 1"), "{newest:?}");
        std::fs::write(&file, "x".repeat(600 * 1024)).unwrap();
        audit.note("anna", from, "later");
        assert_eq!(audit.newest().len(), 1);
        assert!(folder.path().join("audit.log.1").exists(), "what came before is kept");
    }
}
