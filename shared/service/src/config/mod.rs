//! `voltry.toml` and its drop-ins: found, merged, and read with errors that name file and line.
//!
//! Later files win, key by key: `/usr/lib/voltry/*.toml` (the vendor's), `/etc/voltry/voltry.toml`,
//! `/etc/voltry/voltry.d/*.toml`, each folder in the order of file names. Tables merge, anything
//! else replaces. Each daemon reads its own tables with [`Config::load`]; its types say
//! `deny_unknown_fields`.
//!
//! Bounded, so that a file that is none of ours is told as such: [`SIZE_MAX`] for all files
//! together, [`FILES_MAX`] files in a folder, [`DEPTH_MAX`] tables in each other.

mod merge;
mod problem;
mod values;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use problem::Problem;
pub use values::{Binding, duration_ms, quantity};

use merge::Node;

/// Bytes of all files together; the configuration of a station with many EVSEs has some ten thousand.
pub const SIZE_MAX: u64 = 1 << 20;
/// Drop-ins read from one folder.
pub const FILES_MAX: usize = 256;
/// Tables and lists within each other; the deepest that any daemon reads is six.
pub const DEPTH_MAX: usize = 32;

/// The whole configuration, merged. It remembers where each key was written, and who read what.
#[derive(Debug)]
pub struct Config {
    root: Node,
    claimed: RefCell<BTreeSet<String>>,
    from: Option<PathBuf>,
}

/// All that is wrong with a configuration, by file and line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl Config {
    /// Reads the installed configuration, or only `from`: a file, or a folder with a
    /// `voltry.toml` and a `voltry.d`.
    ///
    /// # Errors
    /// Files that cannot be read, or are not TOML; all of them.
    pub fn read(from: Option<&Path>) -> Result<Self, ConfigError> {
        let files = Self::files(from)?;
        let documents = files.iter().map(|(file, text)| (file.as_str(), text.as_str()));
        Ok(Self { from: from.map(Path::to_owned), ..Self::parse(documents)? })
    }

    /// Where it was read from, as [`Self::read`] was told.
    #[must_use]
    pub fn source(&self) -> Option<&Path> {
        self.from.as_deref()
    }

    /// The files that [`Self::read`] reads, in its order, each with its text.
    ///
    /// # Errors
    /// One cannot be read, or they are too many or too large.
    pub fn files(from: Option<&Path>) -> Result<Vec<(String, String)>, ConfigError> {
        let mut sources = Sources { files: Vec::new(), room: SIZE_MAX };
        match from {
            None => {
                sources.drop_ins(Path::new("/usr/lib/voltry"))?;
                sources.folder(Path::new("/etc/voltry"))?;
            }
            Some(path) if path.is_dir() => sources.folder(path)?,
            Some(file) => sources.read(file)?,
        }
        Ok(sources.files)
    }

    /// Merges documents, given as name and text; the later win.
    ///
    /// # Errors
    /// What is not TOML, in any of them.
    pub fn parse<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, ConfigError> {
        let mut root = Node::empty();
        let mut problems = Vec::new();
        for (name, text) in documents {
            match merge::parse(name, text) {
                Ok(document) => root.merge(document),
                Err(mut found) => problems.append(&mut found),
            }
        }
        if problems.is_empty() {
            Ok(Self { root, claimed: RefCell::default(), from: None })
        } else {
            Err(ConfigError(problems))
        }
    }

    /// Reads the table at a dotted path, as `evse.1`.
    ///
    /// # Errors
    /// A missing table; unknown keys, wrong types and refused values, all of them; missing keys,
    /// the first of them.
    pub fn load<T: DeserializeOwned>(&self, table: &str) -> Result<T, ConfigError> {
        self.claimed.borrow_mut().insert(table.to_owned());
        let path: Vec<&str> = table.split('.').collect();
        match self.root.get(&path) {
            Some(node) => problem::deserialise(node, table),
            None => Err(Problem::nowhere(format!("there is no table [{table}]")).into()),
        }
    }

    /// The tables that were read, good or not, as `evse.1`: who reads a table knows it.
    #[must_use]
    pub fn claimed(&self) -> Vec<String> {
        self.claimed.borrow().iter().cloned().collect()
    }

    /// Whether anything is written at a dotted path.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.root.get(&path.split('.').collect::<Vec<_>>()).is_some()
    }

    /// What is written at a dotted path, whoever reads it: to look across to another's table.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<toml::Value> {
        self.root.get(&path.split('.').collect::<Vec<_>>()).map(Node::to_value)
    }

    /// The names of the tables in a table: the `1` and `2` of `[evse.1]` and `[evse.2]`.
    #[must_use]
    pub fn instances(&self, table: &str) -> Vec<String> {
        self.root.get(&table.split('.').collect::<Vec<_>>()).map(Node::tables).unwrap_or_default()
    }

    /// Every table at the top and every instance in one, as `station` and `evse.1`.
    #[must_use]
    pub fn claimable(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for table in self.root.tables() {
            let instances = self.instances(&table);
            paths.extend(instances.iter().map(|instance| format!("{table}.{instance}")));
            paths.push(table);
        }
        paths
    }

    /// Every binding of a role, with the dotted path where it is written.
    #[must_use]
    pub fn bindings(&self) -> Vec<(String, Binding)> {
        let mut found = Vec::new();
        collect_bindings(&self.root.to_value(), "", &mut found);
        found
    }

    /// The whole configuration, a line a value, as others than its owner may read it: what is secret by
    /// its name, and ids of drivers, are left out.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut lines = String::new();
        show(&self.root.to_value(), "", &mut lines);
        lines
    }

    /// A problem that a daemon found with a value, placed where that value was written.
    #[must_use]
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        let path: Vec<&str> = path.split('.').collect();
        Problem::at(self.root.nearest(&path), message.into())
    }
}

/// Parts of a key's name whose value is nobody's business.
const SECRET: [&str; 6] = ["password", "secret", "token", "key", "proxy", "pin"];

fn show(value: &toml::Value, path: &str, lines: &mut String) {
    if let toml::Value::Table(table) = value {
        for (key, value) in table {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            show(value, &below, lines);
        }
        return;
    }
    let key = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let secret = SECRET.iter().any(|part| key.contains(part));
    let shown = if secret { "…".to_owned() } else { value.to_string() };
    *lines += &format!("{path} = {shown}\n");
}

fn collect_bindings(value: &toml::Value, path: &str, found: &mut Vec<(String, Binding)>) {
    let toml::Value::Table(table) = value else { return };
    if let Ok(binding) = value.clone().try_into::<Binding>() {
        found.push((path.to_owned(), binding));
        return;
    }
    for (key, value) in table {
        let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        collect_bindings(value, &below, found);
    }
}

/// The files read, by name, and the bytes that may still come.
struct Sources {
    files: Vec<(String, String)>,
    room: u64,
}

impl Sources {
    fn folder(&mut self, folder: &Path) -> Result<(), ConfigError> {
        let file = folder.join("voltry.toml");
        if file.exists() {
            self.read(&file)?;
        }
        self.drop_ins(&folder.join("voltry.d"))
    }

    fn drop_ins(&mut self, folder: &Path) -> Result<(), ConfigError> {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(folder, &error)),
        };
        let mut files = Vec::<PathBuf>::new();
        for entry in entries {
            let path = entry.map_err(|error| unreadable(folder, &error))?.path();
            if path.extension().is_some_and(|extension| extension == "toml") && path.is_file() {
                if files.len() == FILES_MAX {
                    let text = format!("{}: more than {FILES_MAX} files of configuration", folder.display());
                    return Err(Problem::nowhere(text).into());
                }
                files.push(path);
            }
        }
        files.sort();
        files.iter().try_for_each(|file| self.read(file))
    }

    fn read(&mut self, file: &Path) -> Result<(), ConfigError> {
        let mut bytes = Vec::new();
        std::fs::File::open(file)
            .and_then(|opened| opened.take(self.room + 1).read_to_end(&mut bytes))
            .map_err(|error| unreadable(file, &error))?;
        let name = file.display().to_string();
        let left = self.room.checked_sub(bytes.len() as u64);
        self.room = left.ok_or_else(|| {
            let text = format!("{name}: all files together have more than {SIZE_MAX} bytes");
            Problem::nowhere(text)
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Problem::nowhere(format!("{name}: this is no text: {error}")))?;
        self.files.push((name, text));
        Ok(())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    Problem::nowhere(format!("{}: {error}", path.display())).into()
}

#[cfg(test)]
mod tests;
