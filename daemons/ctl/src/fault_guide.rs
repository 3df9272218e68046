//! What is known of fault codes, for a person at a terminal.

use serde::Serialize;
use voltry_service::fault_guide::{Clears, Entry, FaultGuide};

use crate::outcome::{Failure, Outcome};
use crate::output::json as print_json;

/// An entry with its code.
#[derive(Debug, Serialize)]
struct Told<'a> {
    code: &'a str,
    #[serde(flatten)]
    entry: &'a Entry,
}

const fn words(clears: Clears) -> &'static str {
    match clears {
        Clears::Plug => {
            "once its cause is gone: by unplugging the vehicle, or by `voltryctl faults clear EVSE`"
        }
        Clears::Command => {
            "once its cause is gone: by `voltryctl faults clear EVSE` alone; the charger itself may be damaged"
        }
        Clears::Itself => {
            "with its cause; what it has made of an EVSE is cleared by `voltryctl faults clear EVSE`"
        }
    }
}

/// All codes with what is known of them.
#[derive(Debug)]
pub(crate) struct Guide(FaultGuide);

impl Guide {
    /// Ours and those of the machine. A file that cannot be used is told on standard error, and left out.
    pub(crate) fn of_machine() -> Self {
        Self(FaultGuide::of_machine(|why| eprintln!("voltryctl: {why}")))
    }

    /// The entry of a code, which may be written in any case, or by its MREC number alone.
    pub(crate) fn find(&self, asked: &str) -> Option<(&str, &Entry)> {
        self.0.find(asked)
    }

    /// The codes that contain what was asked, or begin alike.
    fn near(&self, asked: &str) -> Vec<&str> {
        let asked = asked.to_ascii_lowercase();
        let begin: String = asked.chars().take(4).collect();
        let like = |code: &str| {
            let code = code.to_ascii_lowercase();
            code.contains(&asked) || code.starts_with(&begin)
        };
        self.0.entries().map(|(code, _)| code).filter(|code| like(code)).take(8).collect()
    }

    /// Prints what is known of a code, or all codes with their meaning.
    pub(crate) fn show(&self, code: Option<&str>, json: bool) -> Result<Outcome, Failure> {
        let Some(asked) = code else {
            if json {
                let all: Vec<_> = self.0.entries().map(|(code, entry)| Told { code, entry }).collect();
                print_json(&all)?;
            } else {
                for (code, entry) in self.0.entries() {
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
            println!("\nCleared {}", words(entry.clears));
        }
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Guide {
        Guide(FaultGuide::of(&[], |_| {}))
    }

    #[test]
    fn what_is_near_is_offered() {
        assert!(ours().near("stuck").contains(&"MeterStuck"));
        assert!(ours().near("meterstuk").contains(&"MeterStuck"));
        assert!(ours().near("zzzz").is_empty());
    }
}
