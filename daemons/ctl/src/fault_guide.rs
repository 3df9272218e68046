//! What a fault code means, what is likely to have caused it, and what to measure: data, of ours in the program,
//! a maker's in files beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::outcome::{Failure, Outcome};
use crate::output::json as print_json;

const OURS: &str = include_str!("../../../packaging/faults/voltry.toml");
/// A maker's, then the site's: a later file replaces a whole entry.
const FOLDERS: [&str; 2] = ["/usr/lib/voltry/faults", "/etc/voltry/faults"];
/// More than any maker writes; what is beyond is left out, and said so.
const FILES_MAX: usize = 64;
const BYTES_MAX: u64 = 1 << 20;

/// What is known of a code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// One sentence.
    pub(crate) means: String,
    /// The likeliest first.
    pub(crate) causes: Vec<String>,
    /// What to look at, in this order.
    pub(crate) measure: Vec<String>,
    pub(crate) clears: Clears,
}

/// An entry with its code.
#[derive(Debug, Serialize)]
struct Told<'a> {
    code: &'a str,
    #[serde(flatten)]
    entry: &'a Entry,
}

/// What clears a fault once its cause is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Clears {
    /// Unplugging, or a person.
    Plug,
    /// A person alone.
    Command,
    /// It goes with its cause.
    #[serde(rename = "self")]
    Itself,
}

impl Clears {
    const fn words(self) -> &'static str {
        match self {
            Self::Plug => {
                "once its cause is gone: by unplugging the vehicle, or by `voltryctl faults clear EVSE`"
            }
            Self::Command => {
                "once its cause is gone: by `voltryctl faults clear EVSE` alone; the charger itself may be damaged"
            }
            Self::Itself => {
                "with its cause; what it has made of an EVSE is cleared by `voltryctl faults clear EVSE`"
            }
        }
    }
}

/// All codes with what is known of them.
#[derive(Debug)]
pub(crate) struct Guide(BTreeMap<String, Entry>);

impl Guide {
    /// Ours and those of the machine. A file that cannot be used is told on standard error, and left out.
    pub(crate) fn of_machine() -> Self {
        Self::of(&FOLDERS.map(PathBuf::from))
    }

    fn of(folders: &[PathBuf]) -> Self {
        let mut entries: BTreeMap<String, Entry> = toml::from_str(OURS)
            .expect("the table that the program was built with is whole: a test reads it");
        for file in folders.iter().flat_map(|folder| files(folder)) {
            match read(&file) {
                Ok(more) => entries.extend(more),
                Err(why) => eprintln!("voltryctl: {}: {why}", file.display()),
            }
        }
        Self(entries)
    }

    /// The entry of a code, which may be written in any case, or by its MREC number alone.
    pub(crate) fn find(&self, asked: &str) -> Option<(&str, &Entry)> {
        let asked = asked.to_ascii_lowercase();
        let number = asked.strip_prefix("mrec").and_then(|rest| rest.parse::<u32>().ok());
        self.0.iter().map(|(code, entry)| (code.as_str(), entry)).find(|(code, _)| {
            code.to_ascii_lowercase() == asked || (number.is_some() && mrec_number(code) == number)
        })
    }

    /// The codes that contain what was asked, or begin alike.
    fn near(&self, asked: &str) -> Vec<&str> {
        let asked = asked.to_ascii_lowercase();
        let begin: String = asked.chars().take(4).collect();
        let like = |code: &str| {
            let code = code.to_ascii_lowercase();
            code.contains(&asked) || code.starts_with(&begin)
        };
        self.0.keys().map(String::as_str).filter(|code| like(code)).take(8).collect()
    }

    /// Prints what is known of a code, or all codes with their meaning.
    pub(crate) fn show(&self, code: Option<&str>, json: bool) -> Result<Outcome, Failure> {
        let Some(asked) = code else {
            if json {
                let all: Vec<_> = self.0.iter().map(|(code, entry)| Told { code, entry }).collect();
                print_json(&all)?;
            } else {
                for (code, entry) in &self.0 {
                    println!("{code:28}  {}", entry.means);
                }
            }
            return Ok(Outcome::Done);
        };
        let Some((code, entry)) = self.find(asked) else {
            let near = self.near(asked);
            let hint = if near.is_empty() {
                "`voltryctl faults show` lists all".to_owned()
            } else {
                format!("is it one of {}?", near.join(", "))
            };
            return Err(Failure::Other(format!("nothing is known of the code {asked:?}; {hint}")));
        };
        if json {
            print_json(&Told { code, entry })?;
        } else {
            println!("{code}: {}\n\nLikely causes", entry.means);
            for cause in &entry.causes {
                println!("  - {cause}");
            }
            println!("\nWhat to do and to measure, in this order");
            for (step, text) in (1..).zip(&entry.measure) {
                println!("  {step}. {text}");
            }
            println!("\nCleared {}", entry.clears.words());
        }
        Ok(Outcome::Done)
    }
}

/// The number in `MREC14PilotFault`.
fn mrec_number(code: &str) -> Option<u32> {
    let rest = code.strip_prefix("MREC")?;
    rest[..rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(listed) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = listed
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    if files.len() > FILES_MAX {
        eprintln!("voltryctl: {}: only {FILES_MAX} files are read", folder.display());
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

    fn ours() -> Guide {
        Guide::of(&[])
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

    #[test]
    fn what_is_near_is_offered() {
        assert!(ours().near("stuck").contains(&"MeterStuck"));
        assert!(ours().near("meterstuk").contains(&"MeterStuck"));
        assert!(ours().near("zzzz").is_empty());
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
        let guide = Guide::of(&[folder.path().to_owned(), "/nowhere".into()]);
        assert_eq!(guide.find("acmepump").unwrap().1.means, "m");
        assert_eq!(guide.find("MeterStuck").unwrap().1.clears, Clears::Itself);
        assert!(guide.find("X").is_none());
        assert_eq!(guide.0.len(), ours().0.len() + 1);
    }
}
