//! What a fault code means, what is likely to have caused it, and what to measure: data, of ours in the program,
//! a maker's in files beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

const OURS: &str = include_str!("../../../packaging/faults/voltry.toml");
/// A maker's, then the site's: a later file replaces a whole entry.
const FOLDERS: [&str; 2] = ["/usr/lib/voltry/faults", "/etc/voltry/faults"];
/// More than any maker writes; what is beyond is left out, and said so.
const FILES_MAX: usize = 64;
const BYTES_MAX: u64 = 1 << 20;

/// What is known of a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// One sentence.
    pub means: String,
    /// The likeliest first.
    pub causes: Vec<String>,
    /// What to look at, in this order.
    pub measure: Vec<String>,
    /// What clears it.
    pub clears: Clears,
}

/// What clears a fault once its cause is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clears {
    /// Unplugging, or a person.
    Plug,
    /// A person alone.
    Command,
    /// It goes with its cause.
    #[serde(rename = "self")]
    Itself,
}

/// All codes with what is known of them.
#[derive(Debug)]
pub struct FaultGuide(BTreeMap<String, Entry>);

impl FaultGuide {
    /// Ours and those of the machine. A file that cannot be used is left out, and `complain` hears why.
    #[must_use]
    pub fn of_machine(complain: impl FnMut(&str)) -> Self {
        Self::of(&FOLDERS.map(PathBuf::from), complain)
    }

    /// Ours and those of these folders.
    ///
    /// # Panics
    /// Never: the table that is built in is whole.
    #[must_use]
    pub fn of(folders: &[PathBuf], mut complain: impl FnMut(&str)) -> Self {
        let mut entries: BTreeMap<String, Entry> = toml::from_str(OURS)
            .expect("the table that the program was built with is whole: a test reads it");
        for folder in folders {
            for file in files(folder, &mut complain) {
                match read(&file) {
                    Ok(more) => entries.extend(more),
                    Err(why) => complain(&format!("{}: {why}", file.display())),
                }
            }
        }
        Self(entries)
    }

    /// Every code, in order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.0.iter().map(|(code, entry)| (code.as_str(), entry))
    }

    /// The entry of a code, which may be written in any case, or by its MREC number alone.
    #[must_use]
    pub fn find(&self, asked: &str) -> Option<(&str, &Entry)> {
        let asked = asked.to_ascii_lowercase();
        let number = asked.strip_prefix("mrec").and_then(|rest| rest.parse::<u32>().ok());
        self.entries().find(|(code, _)| {
            code.to_ascii_lowercase() == asked || (number.is_some() && mrec_number(code) == number)
        })
    }
}

/// The number in `MREC14PilotFault`.
fn mrec_number(code: &str) -> Option<u32> {
    let rest = code.strip_prefix("MREC")?;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

fn files(folder: &Path, complain: &mut impl FnMut(&str)) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = listed
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    if files.len() > FILES_MAX {
        complain(&format!("{}: only {FILES_MAX} files are read", folder.display()));
        files.truncate(FILES_MAX);
    }
    files
}

fn read(file: &Path) -> Result<BTreeMap<String, Entry>, String> {
    let size = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > BYTES_MAX {
        return Err(format!("{size} bytes are more than {BYTES_MAX}"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    toml::from_str(&text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> FaultGuide {
        FaultGuide::of(&[], |_| {})
    }

    #[test]
    fn every_entry_says_something() {
        for (code, entry) in &ours().0 {
            assert!(
                !entry.means.is_empty() && !entry.causes.is_empty() && !entry.measure.is_empty(),
                "{code}"
            );
        }
    }

    #[test]
    fn a_code_is_found_in_any_case_and_by_its_number() {
        let guide = ours();
        for asked in ["MREC14PilotFault", "mrec14pilotfault", "MREC14", "mrec14"] {
            assert_eq!(guide.find(asked).unwrap().0, "MREC14PilotFault");
        }
        assert_eq!(guide.find("MREC1").unwrap().0, "MREC1ConnectorLockFailure");
        assert!(guide.find("MREC2").is_none());
        assert!(guide.find("").is_none());
    }

    /// The technician's page and the guide tell of the same codes.
    #[test]
    fn the_page_for_technicians_has_the_same_codes() {
        let page = include_str!("../../../docs/technician.md");
        // The column in which the section's table has its codes.
        let codes = |section: &'static str, column: usize| {
            let table = page.split(section).nth(1).unwrap().split("\n## ").next().unwrap();
            let rows = table.lines().filter(|line| line.starts_with('|'));
            rows.flat_map(move |row| row.split('|').nth(column).unwrap().split('`').skip(1).step_by(2))
        };
        let guide = ours();
        let mut told = std::collections::BTreeSet::new();
        for code in codes("## Faults of an EVSE", 1).chain(codes("## Faults of devices", 2)) {
            assert!(guide.0.contains_key(code), "{code} is on the page, and not in the guide");
            told.insert(code);
        }
        for code in guide.0.keys() {
            assert!(told.contains(code.as_str()), "{code} is in the guide, and not on the page");
        }
    }

    #[test]
    fn a_makers_file_adds_and_replaces_and_a_broken_one_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let entry = "means = \"m\"\ncauses = [\"c\"]\nmeasure = [\"x\"]\nclears = \"self\"\n";
        write("acme.toml", &format!("[AcmePump]\n{entry}\n[MeterStuck]\n{entry}"));
        write("broken.toml", "[X]\nmeans = 1");
        write("note.txt", "no table");
        let mut complaints = Vec::new();
        let guide = FaultGuide::of(&[folder.path().to_owned(), "/nowhere".into()], |why| {
            complaints.push(why.to_owned());
        });
        assert_eq!(guide.find("acmepump").unwrap().1.means, "m");
        assert_eq!(guide.find("MeterStuck").unwrap().1.clears, Clears::Itself);
        assert!(guide.find("X").is_none());
        assert!(complaints.len() == 1 && complaints[0].contains("broken.toml"), "{complaints:?}");
        assert_eq!(guide.0.len(), ours().0.len() + 1);
    }
}
