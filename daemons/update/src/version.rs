//! Versions as makers write them: `1.10.0`, `2026-11`, `1.2.0-rc1`.

use std::cmp::Ordering;
use std::path::Path;

use anyhow::Context as _;

/// Which of two versions is the newer. Numbers count as numbers, whatever is between them; a version that
/// goes on with a letter, as `2.0-rc1`, comes before the one that does not.
pub(crate) fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (parts(one), parts(other));
    for place in 0..one.len().max(other.len()) {
        let order = match (one.get(place), other.get(place)) {
            (Some(one), Some(other)) => one.cmp(other),
            (Some(more), None) => more.against_nothing(),
            (None, Some(more)) => more.against_nothing().reverse(),
            (None, None) => Ordering::Equal,
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// A part of a version. A word comes before any number, as `2.0-rc1` before `2.0.1`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Word(String),
    /// Its length without leading zeros, then its digits: a number of any size.
    Number(usize, String),
}

impl Part {
    fn against_nothing(&self) -> Ordering {
        match self {
            Self::Word(_) => Ordering::Less,
            Self::Number(0, _) => Ordering::Equal,
            Self::Number(..) => Ordering::Greater,
        }
    }
}

fn parts(version: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    // What follows a plus sign names a build and orders nothing (semver.org, 10).
    let mut rest = version.split('+').next().unwrap_or_default();
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest
            .find(|letter: char| letter.is_ascii_digit() != digits || !letter.is_alphanumeric())
            .unwrap_or(rest.len());
        if end == 0 {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (part, after) = rest.split_at(end);
        if digits {
            let digits = part.trim_start_matches('0');
            parts.push(Part::Number(digits.len(), digits.to_owned()));
        } else {
            // A `v` before a number says nothing.
            let word = part.to_lowercase();
            if !(word == "v" && parts.is_empty()) {
                parts.push(Part::Word(word));
            }
        }
        rest = after;
    }
    parts
}

/// The version that runs, of an os-release file (os-release(5)): `IMAGE_VERSION`, or else `VERSION_ID`.
///
/// # Errors
/// The file cannot be read, or names none: nobody could tell what is older.
pub(crate) fn running(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        let value = line.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    };
    value("IMAGE_VERSION")
        .or_else(|| value("VERSION_ID"))
        .with_context(|| format!("{} names neither IMAGE_VERSION nor VERSION_ID", file.display()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_in_the_order_in_which_makers_release_them() {
        for (older, newer) in [
            ("1.9.0", "1.10.0"),
            ("1.2", "1.2.1"),
            ("2.0.0-rc1", "2.0.0"),
            ("2.0.0-rc2", "2.0.0-rc10"),
            ("2.0.0-beta", "2.0.0-rc1"),
            ("2026-09", "2026-11"),
            ("v1.0", "v1.1"),
            ("99999999999999999999", "100000000000000000000"),
        ] {
            assert_eq!(compare(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(compare(newer, older), Ordering::Greater, "{newer} {older}");
        }
        for (one, same) in [("1.0", "1.0.0"), ("v1.0", "1.0"), ("1.02", "1.2"), ("1.0+5", "1.0+6")] {
            assert_eq!(compare(one, same), Ordering::Equal, "{one} {same}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_comparison_and_its_sides_can_be_exchanged(one in "\\PC{0,12}", other in "\\PC{0,12}") {
            prop_assert_eq!(compare(&one, &other), compare(&other, &one).reverse());
            prop_assert_eq!(compare(&one, &one), Ordering::Equal);
        }
    }

    #[test]
    fn the_version_of_the_image_counts_before_that_of_the_distribution() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("os-release");
        let with = |text: &str| {
            std::fs::write(&file, text).unwrap();
            running(&file).ok()
        };
        assert_eq!(with("VERSION_ID=\"6.0\"\nIMAGE_VERSION=1.4.2\n").as_deref(), Some("1.4.2"));
        assert_eq!(with("IMAGE_VERSION=\nVERSION_ID=\"6.0\"\n").as_deref(), Some("6.0"));
        assert_eq!(with("NAME=x\n"), None);
        assert!(running(Path::new("/nowhere")).is_err());
    }
}
