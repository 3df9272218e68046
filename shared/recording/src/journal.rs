//! What daemons said, as `journalctl --output=json` has it: the message alone says little, its fields have the cause.

use serde_json::{Map, Value};

/// Characters of a text; a longer one is shown by its beginning.
const TEXT_MAX: usize = 1_000;
/// What syslog calls informational.
const INFO: u8 = 6;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Microseconds of Unix time.
    pub time: i64,
    /// Syslog's: 3 and less an error, 4 a warning, more for information.
    pub priority: u8,
    /// As `voltry-evse@1`.
    pub who: String,
    /// The message, and the fields that came with it.
    pub text: String,
}

impl Entry {
    /// Reads one line of `journalctl --output=json`; `None` where it is no entry.
    #[must_use]
    pub fn read(line: &[u8]) -> Option<Self> {
        let entry: Map<String, Value> = serde_json::from_slice(line).ok()?;
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let mut said = text("MESSAGE").unwrap_or("(no text)").to_owned();
        for (key, value) in &entry {
            if let (Some(name), Some(value)) = (key.strip_prefix("F_"), value.as_str()) {
                said.push_str(&format!(" {}={value}", name.to_lowercase()));
            }
        }
        let who = text("SYSLOG_IDENTIFIER").or_else(|| text("_SYSTEMD_UNIT")).unwrap_or("?");
        let instance = text("VOLTRY_INSTANCE").filter(|instance| !instance.is_empty());
        Some(Self {
            time: text("__REALTIME_TIMESTAMP")?.parse().ok()?,
            priority: text("PRIORITY").and_then(|priority| priority.parse().ok()).unwrap_or(INFO),
            who: instance.map_or_else(|| who.to_owned(), |instance| format!("{who}@{instance}")),
            text: said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_who_said_what_with_its_fields() {
        let entry = br#"{"__REALTIME_TIMESTAMP":"1764142536229559","PRIORITY":"3","MESSAGE":"fault\nnow",
            "SYSLOG_IDENTIFIER":"voltry-evse","VOLTRY_INSTANCE":"1","F_CODE":"MREC8EmergencyStop","_PID":"7"}"#;
        let expected = Entry {
            time: 1_764_142_536_229_559,
            priority: 3,
            who: "voltry-evse@1".to_owned(),
            text: "fault now code=MREC8EmergencyStop".to_owned(),
        };
        assert_eq!(Entry::read(entry), Some(expected));
    }

    #[test]
    fn whatever_the_journal_holds_is_one_bounded_entry_or_none() {
        let long = format!(r#"{{"__REALTIME_TIMESTAMP":"1","MESSAGE":"{}"}}"#, "<".repeat(50_000));
        assert_eq!(Entry::read(long.as_bytes()).unwrap().text.len(), TEXT_MAX);
        // A message that is no text comes as numbers, a cut line as no JSON.
        let numbers = Entry::read(br#"{"__REALTIME_TIMESTAMP":"1","MESSAGE":[1,2]}"#).unwrap();
        assert_eq!((numbers.text.as_str(), numbers.priority), ("(no text)", INFO));
        for bytes in [&b"{\"__REALTIME_TIMESTAMP\":\"1\",\"MESS"[..], b"", b"[]", b"{}", b"\xff"] {
            assert_eq!(Entry::read(bytes), None);
        }
    }
}
