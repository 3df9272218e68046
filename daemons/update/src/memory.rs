//! What outlives a restart of the machine, whole at any power cut.

use std::fs::{File, create_dir_all, rename};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use voltry_bus::UpdateVerdict;

/// What is remembered of updates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The slot whose version is known to charge; empty: none was started yet.
    pub good: String,
    /// That version, as it names itself; empty: not known, until it runs again.
    #[serde(default)]
    pub good_version: String,
    /// The update that is under way, from its first byte to its verdict.
    pub pending: Option<Pending>,
    /// What is thought of the last one.
    pub verdict: UpdateVerdict,
    /// Why.
    pub detail: String,
}

/// An update under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The version of the bundle.
    pub version: String,
    /// The kernel's id of the boot in which it was installed.
    pub boot: String,
    /// The slot that ran then, which RAUC does not write to; empty: none of RAUC's, or nobody asked.
    #[serde(default)]
    pub from: String,
    /// RAUC said that it is written whole.
    pub written: bool,
    /// The EVSEs that worked before; `None`: nobody knew.
    pub working: Option<Vec<u32>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            good: String::new(),
            good_version: String::new(),
            pending: None,
            verdict: UpdateVerdict::None,
            detail: String::new(),
        }
    }
}

/// The file that it is in.
#[derive(Debug)]
pub(crate) struct MemoryFile {
    path: PathBuf,
}

impl MemoryFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// What is in it; nothing, if there is none yet or somebody spoilt it.
    ///
    /// # Errors
    /// It is there, and cannot be read.
    pub(crate) fn read(&self) -> std::io::Result<Memory> {
        match std::fs::read(&self.path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_else(|error| {
                let file = self.path.display();
                tracing::error!(%file, %error, "what was remembered of updates is spoilt, and forgotten");
                Memory::default()
            })),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Memory::default()),
            Err(error) => Err(error),
        }
    }

    /// Returns when it is on the disk, the old or the new one at any power cut.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn write(&self, memory: &Memory) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        create_dir_all(folder)?;
        let next = self.path.with_extension("new");
        let mut file = File::create(&next)?;
        file.write_all(&serde_json::to_vec(memory)?)?;
        file.sync_all()?;
        rename(&next, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_again_and_what_was_spoilt_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("update/state.json");
        let file = MemoryFile::new(path.clone());
        assert_eq!(file.read().unwrap(), Memory::default());
        let pending = Pending {
            version: "2.0".to_owned(),
            boot: "a".to_owned(),
            from: "rootfs.0".to_owned(),
            written: true,
            working: Some(vec![1, 2]),
        };
        let memory = Memory {
            good: "rootfs.0".to_owned(),
            good_version: "1.0".to_owned(),
            pending: Some(pending),
            verdict: UpdateVerdict::OnTrial,
            detail: "EVSE 2 does not work".to_owned(),
        };
        file.write(&memory).unwrap();
        assert_eq!(file.read().unwrap(), memory);
        std::fs::write(&path, "{").unwrap();
        assert_eq!(file.read().unwrap(), Memory::default());
    }

    #[test]
    fn what_was_written_before_versions_were_remembered_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let pending = r#"{"version":"2.0","boot":"a","written":true,"working":null}"#;
        let old = format!(r#"{{"good":"rootfs.0","pending":{pending},"verdict":"on-trial","detail":""}}"#);
        std::fs::write(&path, old).unwrap();
        let memory = MemoryFile::new(path).read().unwrap();
        assert_eq!((memory.good.as_str(), memory.good_version.as_str()), ("rootfs.0", ""));
        let pending = memory.pending.unwrap();
        assert_eq!((pending.version.as_str(), pending.from.as_str()), ("2.0", ""));
    }
}
