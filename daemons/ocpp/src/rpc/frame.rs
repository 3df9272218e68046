//! The three messages of OCPP-J: `[2, id, action, payload]`, `[3, id, payload]`,
//! `[4, id, code, description, details]`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{DEPTH_MAX, Dialect, ErrorCode, MessageId, TEXT_MAX};

/// The id of an answer to a message whose own could not be read (2.0.1 part 4 4.2.3).
const NO_ID: &str = "-1";

/// The longest id that is repeated in a refusal: longer than allowed, but the peer's own.
const REPEATED_ID_MAX: usize = 255;

/// One message of the peer. Payloads are JSON text that has been found well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame<'a> {
    /// CALL: the peer asks.
    Call {
        /// What the answer must name.
        id: MessageId,
        /// What is asked for.
        action: Cow<'a, str>,
        /// An object.
        payload: &'a str,
    },
    /// CALLRESULT: the peer answers.
    Result {
        /// The id of our call.
        id: Cow<'a, str>,
        /// Whatever the peer put there.
        payload: &'a str,
    },
    /// CALLERROR: the peer refuses.
    Error {
        /// The id of our call.
        id: Cow<'a, str>,
        /// As the peer wrote it.
        code: Cow<'a, str>,
        /// As the peer wrote it; empty if it did not.
        description: Cow<'a, str>,
    },
}

/// A text that is none of the three messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong with it. Nothing of the text stands in it.
    pub why: &'static str,
    /// The CALLERROR that the peer gets, where its version has one for this.
    pub answer: Option<String>,
}

/// Reads a message.
///
/// # Errors
/// What is no message, with the CALLERROR that answers it. Malformed answers are not answered:
/// two peers would never come to an end.
pub fn parse(text: &str, dialect: Dialect) -> Result<Frame<'_>, Malformed> {
    if text.len() > TEXT_MAX {
        return Err(unreadable(dialect, "longer than a message may be"));
    }
    if depth(text) > DEPTH_MAX {
        return Err(unreadable(dialect, "deeper than a message may be"));
    }
    let Ok(elements) = elements(text) else {
        return Err(unreadable(dialect, "no JSON array of at most 5 elements"));
    };
    let [kind, id, third, fourth, _] = elements;
    let id = id.and_then(string);
    match kind.map(RawValue::get) {
        Some("2") => call(dialect, id, third, fourth, elements[4].is_some()),
        Some("3") => match id {
            Some(id) => Ok(Frame::Result { id, payload: third.map_or("null", RawValue::get) }),
            None => Err(Malformed { why: "an answer without an id", answer: None }),
        },
        Some("4") => match id {
            Some(id) => Ok(Frame::Error {
                id,
                code: third.and_then(string).unwrap_or_default(),
                description: fourth.and_then(string).unwrap_or_default(),
            }),
            None => Err(Malformed { why: "a refusal without an id", answer: None }),
        },
        Some(number) if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) => {
            // 1.6J 4.1.3: such a message is ignored.
            let answer = match dialect {
                Dialect::V16 => None,
                Dialect::V2 => Some(refusal(dialect, id.as_deref(), ErrorCode::MessageTypeNotSupported, "")),
            };
            Err(Malformed { why: "a message type that is not known", answer })
        }
        Some(_) | None => Err(unreadable(dialect, "no message type")),
    }
}

fn call<'a>(
    dialect: Dialect,
    id: Option<Cow<'a, str>>,
    action: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    longer: bool,
) -> Result<Frame<'a>, Malformed> {
    let refuse = |id: &str, code, why| {
        let answer = Some(refusal(dialect, Some(id), code, why));
        Err(Malformed { why, answer })
    };
    let Some(id) = id else { return Err(unreadable(dialect, "a call without an id")) };
    let id = match MessageId::try_from(id.to_string()) {
        Ok(id) => id,
        Err(_) => return refuse(&id, ErrorCode::RpcFrameworkError, "an id has 1 to 36 characters"),
    };
    let (Some(action), Some(payload), false) = (action.and_then(string), payload, longer) else {
        let why = "a call has an id, an action and a payload";
        return refuse(id.as_str(), ErrorCode::RpcFrameworkError, why);
    };
    if !payload.get().starts_with('{') {
        return refuse(id.as_str(), ErrorCode::FormatViolation, "a payload is an object");
    }
    Ok(Frame::Call { id, action, payload: payload.get() })
}

/// 1.6 has no answer to a message that names no id.
fn unreadable(dialect: Dialect, why: &'static str) -> Malformed {
    let answer = match dialect {
        Dialect::V16 => None,
        Dialect::V2 => Some(refusal(dialect, None, ErrorCode::RpcFrameworkError, why)),
    };
    Malformed { why, answer }
}

/// Writes a CALL. `payload` is JSON.
pub(super) fn write_call(id: &MessageId, action: &str, payload: &str) -> String {
    format!("[2,{},{},{payload}]", quoted(id.as_str()), quoted(action))
}

/// Writes a CALLRESULT. `payload` is JSON.
pub(super) fn write_result(id: &MessageId, payload: &str) -> String {
    // In one piece: the payload may be long.
    let id = quoted(id.as_str());
    ["[3,", &id, ",", payload, "]"].concat()
}

/// Writes a CALLERROR; without an id it carries the one that stands for none.
pub(super) fn refusal(dialect: Dialect, id: Option<&str>, code: ErrorCode, description: &str) -> String {
    let id = id.filter(|id| !id.is_empty() && id.chars().count() <= REPEATED_ID_MAX).unwrap_or(NO_ID);
    // 2.0.1 part 4 4.2.3: at most 255 characters.
    let description: String = description.chars().take(255).collect();
    format!("[4,{},{},{},{{}}]", quoted(id), quoted(code.as_str(dialect)), quoted(&description))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    struct Text;
    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }
        fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }
    }
    serde_json::Deserializer::from_str(raw.get()).deserialize_str(Text).ok()
}

/// The elements of an array of one to five.
fn elements(text: &str) -> serde_json::Result<[Option<&RawValue>; 5]> {
    struct Elements;
    impl<'de> Visitor<'de> for Elements {
        type Value = [Option<&'de RawValue>; 5];
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of at most 5 elements")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
            let mut elements = [None; 5];
            for element in &mut elements {
                *element = array.next_element()?;
            }
            // A sixth is left in place, and is an error to whoever called.
            Ok(elements)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let elements = deserializer.deserialize_seq(Elements)?;
    deserializer.end()?;
    Ok(elements)
}

/// How deep brackets stand in one another, outside of strings.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match (quoted, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => quoted = !quoted,
            (false, b'[' | b'{') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (true | false, _) => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> MessageId {
        MessageId::try_from(text.to_owned()).unwrap()
    }

    /// The answers to a text in 1.6 and in 2.x; what is read in one is read in the other.
    fn answers(text: &str) -> (Option<String>, Option<String>) {
        (parse(text, Dialect::V16).unwrap_err().answer, parse(text, Dialect::V2).unwrap_err().answer)
    }

    #[test]
    fn the_three_messages_are_read() {
        let call = parse(r#" [2, "19223201", "BootNotification", {"a": [1]} ] "#, Dialect::V16);
        let boot =
            Frame::Call { id: id("19223201"), action: "BootNotification".into(), payload: r#"{"a": [1]}"# };
        assert_eq!(call, Ok(boot));
        let result = parse(r#"[3,"1",{}]"#, Dialect::V2);
        assert_eq!(result, Ok(Frame::Result { id: "1".into(), payload: "{}" }));
        let error = parse(r#"[4,"1","NotSupported","no\n",{}]"#, Dialect::V2);
        let code = "NotSupported".into();
        assert_eq!(error, Ok(Frame::Error { id: "1".into(), code, description: "no\n".into() }));
    }

    #[test]
    fn a_refusal_may_lack_its_words() {
        for text in [r#"[4,"1","GenericError"]"#, r#"[4,"1","GenericError",null,null]"#] {
            let code = "GenericError".into();
            let read = Ok(Frame::Error { id: "1".into(), code, description: "".into() });
            assert_eq!(parse(text, Dialect::V16), read);
        }
    }

    #[test]
    fn what_names_no_id_is_answered_with_minus_1_in_2_and_ignored_in_1_6() {
        for text in [
            "",
            "rubbish",
            "{}",
            "[]",
            "[2]",
            "[2,7,\"A\",{}]",
            "[true,\"1\"]",
            "[2.0,\"1\"]",
            "[[[",
            "[2,\"1\"",
        ] {
            let (old, new) = answers(text);
            assert_eq!(old, None, "{text}");
            let new = new.unwrap_or_else(|| panic!("{text} has an answer"));
            assert!(new.starts_with(r#"[4,"-1","RpcFrameworkError","#), "{text}: {new}");
        }
    }

    #[test]
    fn a_call_of_a_wrong_form_is_refused_by_its_id() {
        for text in ["[2,\"a\"]", "[2,\"a\",\"B\"]", "[2,\"a\",7,{}]", "[2,\"a\",\"B\",{},1]"] {
            let (old, new) = answers(text);
            assert!(old.unwrap().starts_with(r#"[4,"a","FormationViolation","#), "{text}");
            assert!(new.unwrap().starts_with(r#"[4,"a","RpcFrameworkError","#), "{text}");
        }
        let (old, new) = answers("[2,\"a\",\"B\",[]]");
        assert!(old.unwrap().starts_with(r#"[4,"a","FormationViolation","#));
        assert!(new.unwrap().starts_with(r#"[4,"a","FormatViolation","#));
    }

    #[test]
    fn an_id_that_is_too_long_is_repeated_unless_it_is_absurd() {
        let text = |length: usize| format!("[2,\"{}\",\"B\",{{}}]", "x".repeat(length));
        assert!(parse(&text(36), Dialect::V16).is_ok());
        assert!(answers(&text(37)).0.unwrap().contains(&"x".repeat(37)));
        assert!(answers(&text(256)).1.unwrap().starts_with("[4,\"-1\","));
        assert!(answers(&text(0)).1.unwrap().starts_with("[4,\"-1\","));
    }

    #[test]
    fn other_message_types_are_refused_in_2_and_ignored_in_1_6() {
        let (old, new) = answers(r#"[6,"a","NotifyPeriodicEventStream",{}]"#);
        assert_eq!(old, None);
        assert_eq!(new.unwrap(), r#"[4,"a","MessageTypeNotSupported","",{}]"#);
    }

    #[test]
    fn malformed_answers_are_not_answered() {
        for text in ["[3]", "[3,1,{}]", "[4,null,\"GenericError\",\"\",{}]"] {
            assert_eq!(answers(text), (None, None));
        }
    }

    #[test]
    fn length_and_depth_are_bounded() {
        let deep =
            |levels: usize| format!("[2,\"a\",\"B\",{{\"c\":{}{}}}]", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&deep(DEPTH_MAX - 2), Dialect::V2).is_ok());
        assert!(parse(&deep(DEPTH_MAX - 1), Dialect::V2).is_err());
        // Brackets in a text are none.
        assert!(parse(&format!("[2,\"a\",\"B\",{{\"c\":\"\\\"{}\"}}]", "[".repeat(99)), Dialect::V2).is_ok());
        let long = format!("[2,\"a\",\"B\",{{\"c\":\"{}\"}}]", "x".repeat(TEXT_MAX));
        assert!(parse(&long, Dialect::V2).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser_and_each_answer_is_a_refusal(text in r#"\PC{0,80}|[\[\]{}",:0-9a\\ ]{0,60}|\[[234],"[a\\]{0,3}".{0,20}"#) {
            for dialect in [Dialect::V16, Dialect::V2] {
                if let Err(Malformed { answer: Some(answer), .. }) = parse(&text, dialect) {
                    let read = parse(&answer, dialect);
                    prop_assert!(matches!(&read, Ok(Frame::Error { .. })), "{answer}");
                }
            }
        }

        #[test]
        fn what_is_written_is_read(id_text in "\\PC{1,36}", action in "\\PC{0,40}", description in "\\PC{0,300}") {
            let id = id(&id_text);
            let call = write_call(&id, &action, r#"{"a":1}"#);
            let read = Frame::Call { id: id.clone(), action: action.into(), payload: r#"{"a":1}"# };
            prop_assert_eq!(parse(&call, Dialect::V2), Ok(read));
            let result = write_result(&id, "{}");
            prop_assert_eq!(parse(&result, Dialect::V16), Ok(Frame::Result { id: id_text.as_str().into(), payload: "{}" }));
            let error = refusal(Dialect::V2, Some(&id_text), ErrorCode::InternalError, &description);
            let description: String = description.chars().take(255).collect();
            let read = Frame::Error { id: id_text.into(), code: "InternalError".into(), description: description.into() };
            prop_assert_eq!(parse(&error, Dialect::V2), Ok(read));
        }
    }
}
