//! What each rule came to, and the table of it.

use std::time::Duration;

use serde::Serialize;

use crate::outcome::{Failure, Outcome};
use crate::output::{json as print_json, table};

/// How often a rule is tried whose answers take too long: another program may have had the processor.
const TRIES: usize = 3;
/// A rule that has not come to an end by then, times the slack, never will.
const RULE_LIMIT: Duration = Duration::from_secs(90);

/// How a rule ended: what was seen, or why it does not hold.
pub(super) type Trial = Result<String, Unmet>;

/// Why a rule does not hold.
#[derive(Debug)]
pub(super) enum Unmet {
    /// The provider breaks it.
    Broken(String),
    /// It could not be tried.
    NotTried(String),
    /// An answer took longer than it is about; it is tried again.
    TooSlow(String),
}

/// For `return broken(…)`.
pub(super) fn broken<T>(seen: impl Into<String>) -> Result<T, Unmet> {
    Err(Unmet::Broken(seen.into()))
}

impl From<zbus::Error> for Unmet {
    fn from(error: zbus::Error) -> Self {
        Self::Broken(Failure::from(error).to_string())
    }
}

impl From<voltry_bus::Error> for Unmet {
    fn from(error: voltry_bus::Error) -> Self {
        if let voltry_bus::Error::ZBus(error) = error {
            return error.into();
        }
        Self::Broken(format!("refused: {error}"))
    }
}

impl From<Failure> for Unmet {
    fn from(failure: Failure) -> Self {
        Self::Broken(failure.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    Passed,
    Failed,
    NotTried,
}

#[derive(Debug, Serialize)]
struct Row {
    rule: &'static str,
    asks: &'static str,
    seen: String,
    verdict: Verdict,
}

/// The rules tried so far.
#[derive(Debug)]
pub(super) struct Report {
    only: Vec<String>,
    known: Vec<&'static str>,
    rows: Vec<Row>,
    limit: Duration,
    /// Whether somebody watches who wants to know what goes on.
    announces: bool,
}

impl Report {
    pub(super) fn new(only: Vec<String>, slack: u32, announces: bool) -> Self {
        Self { only, known: Vec::new(), rows: Vec::new(), limit: RULE_LIMIT * slack, announces }
    }

    /// Tries a rule, unless others were asked for.
    pub(super) async fn rule(
        &mut self,
        rule: &'static str,
        asks: &'static str,
        mut trial: impl AsyncFnMut() -> Trial,
    ) {
        self.known.push(rule);
        if !self.only.is_empty() && !self.only.iter().any(|only| only == rule) {
            return;
        }
        if self.announces {
            eprintln!("{rule}: {asks}");
        }
        let trials = async {
            for _ in 1..TRIES {
                match trial().await {
                    Err(Unmet::TooSlow(_)) => {}
                    come_to => return come_to,
                }
            }
            trial().await
        };
        let (verdict, seen) = match tokio::time::timeout(self.limit, trials).await {
            Ok(Ok(seen)) => (Verdict::Passed, seen),
            Ok(Err(Unmet::Broken(seen))) => (Verdict::Failed, seen),
            Ok(Err(Unmet::NotTried(why))) => (Verdict::NotTried, why),
            Ok(Err(Unmet::TooSlow(why))) => (Verdict::Failed, format!("{why}, {TRIES} times")),
            Err(_) => (Verdict::Failed, format!("it came to no end within {} s", self.limit.as_secs())),
        };
        self.rows.push(Row { rule, asks, seen, verdict });
    }

    /// Prints it.
    pub(super) fn show(self, json: bool) -> Result<Outcome, Failure> {
        if let Some(unknown) = self.only.iter().find(|only| !self.known.contains(&only.as_str())) {
            let known = self.known.join(", ");
            return Err(Failure::Other(format!("there is no rule {unknown}; there are {known}")));
        }
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        if json {
            print_json(&self.rows)?;
        } else {
            let mut shown = table(["RULE", "ASKS", "SEEN", "VERDICT"]);
            for Row { rule, asks, seen, verdict } in &self.rows {
                let verdict = match verdict {
                    Verdict::Passed => "passed",
                    Verdict::Failed => "FAILED",
                    Verdict::NotTried => "not tried",
                };
                shown.add_row([rule, asks, seen.as_str(), verdict]);
            }
            println!("{shown}");
            println!(
                "{} passed, {} failed, {} not tried",
                count(Verdict::Passed),
                count(Verdict::Failed),
                count(Verdict::NotTried)
            );
        }
        Ok(if count(Verdict::Failed) == 0 { Outcome::Done } else { Outcome::Failed })
    }
}
