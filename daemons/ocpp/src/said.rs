//! What was said to and by the CSMS, as a person may read it later: bounded, ids and secrets masked.

use std::collections::VecDeque;

use serde_json::Value;
use voltry_bus::CsmsMessage;

use crate::time::rfc3339;
use crate::transactions::{KEY_CODE, masked};

/// Bytes of all frames together, with what each takes besides its text: one may have none left.
const BYTES_MAX: usize = 192 * 1024;
/// Of one frame; of a longer one only what it is stays.
const FRAME_MAX: usize = 4 * 1024;

/// A frame of OCPP-J. It is masked when somebody reads it: that is rare.
#[derive(Debug)]
struct Frame {
    unix: i64,
    by_csms: bool,
    text: Box<str>,
    left_out: usize,
}

/// The newest frames.
#[derive(Debug, Default)]
pub(crate) struct Said {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// The number of the newest; the first one had 1.
    newest: u64,
}

impl Said {
    /// Notes a frame; `by_csms`: the CSMS said it.
    pub(crate) fn note(&mut self, unix: i64, by_csms: bool, text: &str) {
        let kept = if text.len() > FRAME_MAX { head(text) } else { text };
        let frame = Frame { unix, by_csms, text: kept.into(), left_out: text.len() - kept.len() };
        self.bytes += frame.bytes();
        self.frames.push_back(frame);
        self.newest += 1;
        while self.bytes > BYTES_MAX {
            self.bytes -= self.frames.pop_front().map_or(0, |frame| frame.bytes());
        }
    }

    /// The frames after this number, oldest first, at most so many.
    pub(crate) fn after(&self, after: u64, limit: u32) -> Vec<CsmsMessage> {
        let oldest = self.newest - self.frames.len() as u64 + 1;
        let numbered = (oldest..).zip(&self.frames).filter(|(number, _)| *number > after);
        let message = |(number, frame): (u64, &Frame)| CsmsMessage {
            number,
            time: frame.unix,
            outgoing: !frame.by_csms,
            text: frame.shown(),
        };
        numbered.take(limit as usize).map(message).collect()
    }

    /// As a person may read them, oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.frames.iter().map(Frame::line).collect()
    }
}

impl Frame {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }

    fn line(&self) -> String {
        let arrow = if self.by_csms { "<-" } else { "->" };
        let time = rfc3339(self.unix);
        format!("{time} {arrow} {}", self.shown())
    }

    fn shown(&self) -> String {
        match self.left_out {
            0 => readable(&self.text),
            more => format!("{} and {more} bytes", self.text),
        }
    }
}

/// Type, id and action of a frame.
fn head(text: &str) -> &str {
    let end = text.find('{').unwrap_or(0).min(256);
    text.get(..end).unwrap_or_default()
}

/// A frame without what must stay secret.
fn readable(frame: &str) -> String {
    match serde_json::from_str::<Value>(frame) {
        Ok(mut frame) => {
            mask(&mut frame);
            frame.to_string()
        }
        // Rubbish may hold anything.
        Err(_) => format!("{} bytes that are no JSON", frame.len()),
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => {
            let password = ["key", "variable"].iter().filter_map(|field| fields.get(*field)).any(is_password);
            let code = fields.get("type").is_some_and(|kind| kind == KEY_CODE);
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("idToken", Value::String(text)) if code => "…".clone_into(text),
                    ("idTag" | "parentIdTag" | "idToken" | "emaid", Value::String(text)) => {
                        *text = masked(text);
                    }
                    ("value" | "attributeValue", Value::String(text)) if password => "…".clone_into(text),
                    ("location" | "remoteLocation", Value::String(text)) => *text = without_user(text),
                    (
                        "certificate" | "certificateChain" | "exiRequest" | "exiResponse" | "data" | "csr"
                        | "signedMeterData",
                        Value::String(text),
                    ) => {
                        *text = format!("{} bytes", text.len());
                    }
                    (name, Value::String(text)) if name.to_ascii_lowercase().contains("password") => {
                        "…".clone_into(text);
                    }
                    (_, other) => mask(other),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether a key of 1.6 or a variable of 2.0.1 is a password.
fn is_password(name: &Value) -> bool {
    let name = name.as_str().or_else(|| name["name"].as_str()).unwrap_or_default();
    matches!(name.to_ascii_lowercase().as_str(), "authorizationkey" | "basicauthpassword")
}

/// A URL without user and password.
fn without_user(text: &str) -> String {
    match url::Url::parse(text) {
        Ok(mut url) if !url.username().is_empty() => {
            // Both fail for URLs that cannot have a user: this one has.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        Ok(_) | Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_secrets_are_masked() {
        let mut said = Said::default();
        for frame in [
            r#"[2,"1","Authorize",{"idTag":"04A1B2C3D4"}]"#,
            r#"[2,"1","Authorize",{"idToken":{"idToken":"04A1B2C3D4","type":"ISO14443"}}]"#,
            r#"[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"04A1B2C3D4"}]"#,
            r#"[2,"1","SetVariables",{"setVariableData":[{"component":{"name":"SecurityCtrlr"},"variable":{"name":"BasicAuthPassword"},"attributeValue":"04A1B2C3D4"}]}]"#,
            r#"[2,"1","GetDiagnostics",{"location":"http://user:04A1B2C3D4@host/x"}]"#,
            r#"[2,"1","SetNetworkProfile",{"connectionData":{"apn":{"apnPassword":"04A1B2C3D4"}}}]"#,
            r#"[2,"1","TransactionEvent",{"meterValue":[{"sampledValue":[{"signedMeterValue":{"signedMeterData":"04A1B2C3D4"}}]}]}]"#,
            "04A1B2C3D4",
            r#"[2,"1","Authorize",{"idToken":{"idToken":"4711","type":"KeyCode"}}]"#,
            r#"[2,"1","Authorize",{"idToken":{"idToken":"BC11","type":"KeyCode"}}]"#,
            r#"[2,"1","Authorize",{"idTag":"4711"}]"#,
        ] {
            said.note(0, true, frame);
        }
        let text = said.lines().join("\n");
        assert!(!text.contains("11"), "not even the end of a code: {text}");
        assert!(!text.contains("04A1B2C3D4"), "{text}");
        assert!(text.contains("http://host/x") && text.contains("AuthorizationKey"), "{text}");
    }

    #[test]
    fn it_is_bounded_and_keeps_the_newest() {
        let mut said = Said::default();
        for number in 0..20_000 {
            said.note(0, false, &format!("[3,\"{number}\",{{\"text\":\"{}\"}}]", "x".repeat(number)));
        }
        assert!(said.bytes <= BYTES_MAX, "{}", said.bytes);
        assert_eq!(said.frames.iter().map(Frame::bytes).sum::<usize>(), said.bytes);
        let newest = said.lines().pop().unwrap_or_default();
        assert!(newest.contains("[3,\"19999\"") && newest.ends_with("bytes"), "{newest}");
    }

    #[test]
    fn frames_of_which_nothing_is_kept_are_bounded_too() {
        let mut said = Said::default();
        let rubbish = "x".repeat(FRAME_MAX + 1);
        for _ in 0..20_000 {
            said.note(0, true, &rubbish);
        }
        assert!(said.frames.len() * size_of::<Frame>() <= BYTES_MAX, "{}", said.frames.len());
    }

    #[test]
    fn whoever_follows_misses_none_of_what_is_kept() {
        let mut said = Said::default();
        assert_eq!(said.after(0, 10), []);
        for number in 1..=60 {
            said.note(7, number % 2 == 0, &format!("[3,\"{number}\",{{\"text\":\"{}\"}}]", "x".repeat(4000)));
        }
        let kept = said.after(0, 200);
        assert!(kept.len() < 60 && kept.last().is_some_and(|message| message.number == 60));
        assert!(kept.windows(2).all(|pair| pair[0].number + 1 == pair[1].number));
        let rest = said.after(kept[2].number, 2);
        assert_eq!(rest, kept[3..5]);
        assert_eq!((rest[0].time, rest[0].outgoing), (7, rest[0].number % 2 == 1));
    }
}
