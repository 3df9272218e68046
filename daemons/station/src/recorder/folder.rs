//! The recordings on disk: a file each, of the newest sessions, within a bound.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use voltry_bus::RecordedSession;

use super::format::{self, Head, Parsed};

/// Sessions that are kept, and bytes of all of them.
const SESSIONS_MAX: usize = 500;
const BYTES_MAX: u64 = 24 * 1024 * 1024;
/// A file of ours has less; of a longer one no more is read.
const FILE_MAX: u64 = 1024 * 1024;
const ENDING: &str = ".rec";

/// One that is on the disk.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) head: Head,
    pub(super) session: RecordedSession,
    pub(super) bytes: u64,
}

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// In order of their numbers.
    kept: VecDeque<Kept>,
    next: u64,
}

impl Folder {
    /// Opens it, and makes it where it is missing.
    ///
    /// # Errors
    /// It cannot be made or listed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let mut kept: Vec<Kept> = fs::read_dir(path)?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                path.to_str()?.ends_with(ENDING).then_some(())?;
                let (parsed, bytes) = read(&path).ok()??;
                Some(Kept { head: parsed.head.clone(), session: session(&parsed), bytes })
            })
            .collect();
        kept.sort_by_key(|one| one.head.number);
        let next = kept.last().map_or(1, |newest| newest.head.number.saturating_add(1));
        Ok(Self { path: path.to_owned(), kept: kept.into(), next })
    }

    /// The next session's number.
    pub(super) fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:08}{ENDING}"))
    }

    /// The unfinished recording of a plug in this boot.
    pub(super) fn unfinished(&self, evse: u32, boot: &str, plug: u64) -> Option<&Kept> {
        self.kept.iter().rev().find(|one| {
            one.head.evse == evse
                && one.head.boot == boot
                && one.head.plug == plug
                && one.session.unplugged == 0
        })
    }

    /// Appends to a recording; it is on the disk when this returns. Makes room for it first.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(super) fn append(&mut self, head: &Head, session: &RecordedSession, text: &str) -> io::Result<()> {
        let place = self.kept.iter().position(|one| one.head.number == head.number);
        if place.is_none() {
            self.make_room(text.len() as u64);
        }
        let path = self.file(head.number);
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        let bytes = text.len() as u64;
        match self.kept.iter_mut().find(|one| one.head.number == head.number) {
            Some(kept) => {
                kept.bytes += bytes;
                kept.session.clone_from(session);
            }
            None => self.kept.push_back(Kept { head: head.clone(), session: session.clone(), bytes }),
        }
        Ok(())
    }

    fn make_room(&mut self, bytes: u64) {
        let mut total: u64 = bytes + self.kept.iter().map(|one| one.bytes).sum::<u64>();
        while self.kept.len() >= SESSIONS_MAX || total > BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { return };
            total -= oldest.bytes;
            // One that stays is read again at the next start, and deleted then.
            let _ = fs::remove_file(self.file(oldest.head.number));
        }
    }

    /// The newest, newest first.
    pub(super) fn newest(&self, limit: usize) -> impl Iterator<Item = &Kept> {
        self.kept.iter().rev().take(limit)
    }

    /// One of them, whole.
    ///
    /// # Errors
    /// The disk does not give it.
    pub(super) fn read(&self, number: u64) -> io::Result<Option<Parsed>> {
        match read(&self.file(number)) {
            Ok(found) => Ok(found.map(|(parsed, _)| parsed)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn read(path: &Path) -> io::Result<Option<(Parsed, u64)>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(format::parse(&String::from_utf8_lossy(&bytes)).map(|parsed| (parsed, bytes.len() as u64)))
}

/// What a recording says of its session.
pub(super) fn session(parsed: &Parsed) -> RecordedSession {
    let Parsed { head, entries, .. } = parsed;
    let newest = |kind: &str| entries.iter().rev().find(|entry| entry.kind == kind);
    let number = |kind: &str| newest(kind).and_then(|entry| entry.text.parse().ok()).unwrap_or(0);
    RecordedSession {
        number: head.number,
        evse: head.evse,
        transaction: number(format::TRANSACTION),
        plugged: head.plugged,
        unplugged: newest(format::UNPLUGGED).map_or(0, |entry| entry.time),
        why: newest(format::WHY).map_or_else(String::new, |entry| entry.text.clone()),
        left_out: u32::try_from(number(format::LEFT_OUT)).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(number: u64) -> Head {
        Head { number, evse: 1, boot: "b".to_owned(), plug: number, plugged: 1_790_000_000_000_000 }
    }

    fn write(folder: &mut Folder, length: usize) -> u64 {
        let number = folder.number();
        let head = head(number);
        let mut text = format::head_line(&head);
        text += &format::entry_line(5_000_000, format::WHY, "station", "because");
        text += &" ".repeat(length);
        let parsed = format::parse(&text).unwrap();
        folder.append(&head, &session(&parsed), &text).unwrap();
        number
    }

    #[test]
    fn the_oldest_go_before_there_are_too_many_or_too_large_ones_and_numbers_never_repeat() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("recorder");
        let mut folder = Folder::open(&path).unwrap();
        for _ in 0..SESSIONS_MAX + 3 {
            write(&mut folder, 0);
        }
        assert_eq!(fs::read_dir(&path).unwrap().count(), SESSIONS_MAX);
        let mut folder = Folder::open(&path).unwrap();
        assert_eq!(folder.newest(1).next().unwrap().head.number, 503);
        assert_eq!(folder.newest(1).next().unwrap().session.why, "because");
        assert_eq!(folder.newest(1_000).last().unwrap().head.number, 4);
        for _ in 0..30 {
            write(&mut folder, 1_000_000);
        }
        let total: u64 =
            fs::read_dir(&path).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(total <= BYTES_MAX, "{total}");
        assert_eq!(folder.number(), 534);
    }

    #[test]
    fn what_is_none_of_ours_is_passed_over() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("00000009.rec"), b"\xff\xfe nothing").unwrap();
        fs::write(place.path().join("notes.txt"), "mine").unwrap();
        let mut folder = Folder::open(place.path()).unwrap();
        assert_eq!(folder.newest(9).count(), 0);
        assert_eq!(write(&mut folder, 0), 1);
        assert!(folder.read(1).unwrap().is_some() && folder.read(2).unwrap().is_none());
    }
}
