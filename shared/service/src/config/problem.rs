//! What is wrong with a configuration, and where.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::ConfigError;
use super::merge::{Node, Origin};

/// One thing wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, if it is about something written there.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<usize>,
    /// What is wrong, in words.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: {}", self.message),
            (Some(file), None) => write!(f, "{file}: {}", self.message),
            (None, _) => f.write_str(&self.message),
        }
    }
}

impl Problem {
    /// A problem that no line stands for.
    #[must_use]
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self { file: None, line: None, message: message.into() }
    }

    pub(super) fn at(origin: Option<&Origin>, message: String) -> Self {
        Self {
            file: origin.map(|origin| origin.file.to_string()),
            line: origin.map(|origin| origin.line),
            message,
        }
    }
}

/// A file with more mistakes than this needs no longer list.
pub(super) const MAX_PROBLEMS: usize = 50;

/// Reads `node` as a `T`. After a mistake its key is left out and the rest is read again, so
/// that all mistakes are told at once.
pub(super) fn deserialise<T: DeserializeOwned>(node: &Node, table: &str) -> Result<T, ConfigError> {
    let mut rest = node.clone();
    let mut problems = Vec::new();
    while problems.len() < MAX_PROBLEMS {
        let error = match serde_path_to_error::deserialize(rest.to_value()) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => error,
        };
        let path: Vec<String> = error.path().iter().filter_map(segment).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let message = error.inner().message();
        if let Some(key) = message.strip_prefix("missing field ").and_then(|rest| quoted(rest).next()) {
            // A key that was left out above is missing because of its own mistake.
            if node.get(&[&path[..], &[key]].concat()).is_none() {
                let text = format!("`{key}` is missing in [{}]", name(table, &path));
                problems.push(Problem::at(node.nearest(&path), text));
            }
            break;
        }
        let (place, text) = described(message, &path, table);
        problems.push(Problem::at(node.nearest(&place), text));
        if !rest.remove(&place) {
            break;
        }
    }
    problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Err(ConfigError(problems))
}

/// The path of the key to blame, and what to say about it.
fn described<'a>(message: &'a str, path: &[&'a str], table: &str) -> (Vec<&'a str>, String) {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut words = quoted(rest);
        let key = words.next().unwrap_or_default();
        let known: Vec<&str> = words.collect();
        let parent = match path {
            [parent @ .., last] if *last == key => parent,
            whole => whole,
        };
        let text = format!("unknown key `{key}` in [{}]{}", name(table, parent), suggestion(key, &known));
        return ([parent, &[key]].concat(), text);
    }
    let key = path.last().copied().unwrap_or(table);
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let mut words = quoted(rest);
        let word = words.next().unwrap_or_default();
        let known: Vec<&str> = words.collect();
        return (path.to_vec(), format!("`{key}`: unknown word `{word}`{}", suggestion(word, &known)));
    }
    (path.to_vec(), format!("`{key}`: {message}"))
}

fn suggestion(word: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(word.len()) / 4);
    match nearest {
        Some((_, candidate)) => format!(", did you mean `{candidate}`?"),
        None if known.is_empty() => String::new(),
        None => format!("; known are `{}`", known.join("`, `")),
    }
}

/// The words that serde puts in backticks.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}

fn name(table: &str, path: &[&str]) -> String {
    [&[table], path].concat().join(".")
}

fn segment(segment: &Segment) -> Option<String> {
    match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}
