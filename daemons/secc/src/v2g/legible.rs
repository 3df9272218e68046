//! What a message holds, for a person: the codecs' own rendering of it (Rust's `{:?}`) in the names
//! of the standards, quantities with their unit, bytes in hexadecimal, and without what is not told.
//!
//! ```text
//! CurrentDemandReq { dc_ev_status: DCEVStatus { ev_ready: true, … }, ev_target_current:
//! PhysicalValue { multiplier: -1, unit: A, value: 36 }, ev_maximum_power_limit: None, … }
//! ─▶ DCEVStatus (EVReady true, …), EVTargetCurrent 3.6 A, …
//! ```

use std::fmt::Write as _;

/// Deeper than any message of the standards; one that is deeper is shown as it is.
const DEPTH_MAX: usize = 24;
/// A list of so many small numbers is bytes; one of more than the second is only begun.
const BYTES_MIN: usize = 4;
const BYTES_SHOWN: usize = 24;
/// Words of field names that the standards write in capitals.
const ACRONYMS: [&str; 14] =
    ["ev", "evse", "evcc", "secc", "dc", "ac", "sa", "id", "soc", "ress", "emaid", "bpt", "oem", "v2g"];

/// The content, legibly; if it is not what was expected, as it came.
pub(super) fn legible(debug: &str) -> String {
    let mut reader = Reader { rest: debug, depth: 0 };
    match reader.value() {
        Some(value) if reader.rest.trim().is_empty() => body(&value),
        Some(_) | None => debug.to_owned(),
    }
}

#[derive(Debug)]
enum Value<'a> {
    Word(&'a str),
    Text(&'a str),
    List(Vec<Value<'a>>),
    /// With the type's or variant's name.
    Tuple(&'a str, Vec<Value<'a>>),
    Struct(&'a str, Vec<(&'a str, Value<'a>)>),
}

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, token: &str) -> bool {
        let taken = self.rest.trim_start().strip_prefix(token);
        self.rest = taken.unwrap_or(self.rest);
        taken.is_some()
    }

    fn word(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let end = text.find(|letter: char| "{}()[],: \"".contains(letter)).unwrap_or(text.len());
        self.rest = &text[end..];
        &text[..end]
    }

    /// A text in quotation marks, without them.
    fn text(&mut self) -> Option<&'a str> {
        let mut escaped = false;
        let end = self.rest.find(|letter| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        })?;
        let text = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(text)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.depth += 1;
        let value = if self.depth > DEPTH_MAX { None } else { self.any() };
        self.depth -= 1;
        value
    }

    fn any(&mut self) -> Option<Value<'a>> {
        if self.take("\"") {
            return self.text().map(Value::Text);
        }
        if self.take("[") {
            return self.until("]", Self::value).map(Value::List);
        }
        let word = self.word();
        if self.take("(") {
            return self.until(")", Self::value).map(|parts| Value::Tuple(word, parts));
        }
        if self.take("{") {
            return self.until("}", Self::field).map(|fields| Value::Struct(word, fields));
        }
        (!word.is_empty()).then_some(Value::Word(word))
    }

    fn field(&mut self) -> Option<(&'a str, Value<'a>)> {
        let name = self.word();
        self.take(":").then_some(())?;
        Some((name, self.value()?))
    }

    /// What is between here and `end`, with commas between.
    fn until<T>(&mut self, end: &str, item: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(item(self)?);
            if !self.take(",") && !self.rest.trim_start().starts_with(end) {
                return None;
            }
        }
        Some(items)
    }
}

/// The fields alone: the types around them say the message's name again.
fn body(value: &Value<'_>) -> String {
    match value {
        Value::Tuple(_, parts) if parts.len() == 1 => body(&parts[0]),
        Value::Struct(_, all) => fields(all),
        Value::Word(_) | Value::Text(_) | Value::List(_) | Value::Tuple(..) => {
            shown(value).unwrap_or_default()
        }
    }
}

/// A value; `None`: it is not told.
fn shown(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Word("None") => None,
        Value::Word(word) => Some((*word).to_owned()),
        Value::Text(text) => Some(format!("\"{text}\"")),
        Value::List(items) => list(items),
        Value::Tuple(_, parts) if parts.len() == 1 => shown(&parts[0]),
        Value::Tuple(_, parts) => Some(format!("({})", joined(parts.iter().filter_map(shown), ", "))),
        Value::Struct(_, all) => Some(quantity(all).unwrap_or_else(|| format!("({})", fields(all)))),
    }
}

fn list(items: &[Value<'_>]) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    let bytes: Option<Vec<u8>> = items.iter().map(byte).collect();
    let Some(bytes) = bytes.filter(|bytes| bytes.len() >= BYTES_MIN) else {
        return Some(format!("[{}]", joined(items.iter().filter_map(shown), "; ")));
    };
    let mut text = String::new();
    for byte in bytes.iter().take(BYTES_SHOWN) {
        let _ = write!(text, "{byte:02X}");
    }
    if bytes.len() > BYTES_SHOWN {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    Some(text)
}

fn byte(value: &Value<'_>) -> Option<u8> {
    match value {
        Value::Word(word) => word.parse().ok(),
        Value::Text(_) | Value::List(_) | Value::Tuple(..) | Value::Struct(..) => None,
    }
}

fn fields(all: &[(&str, Value<'_>)]) -> String {
    // The header of ISO 15118-20 is no content.
    let told = all.iter().filter(|(name, _)| *name != "header");
    joined(
        told.filter_map(|(name, value)| {
            let label = if name.starts_with("choice") { variant(value)?.to_owned() } else { standard(name) };
            Some(format!("{label} {}", shown(value)?))
        }),
        ", ",
    )
}

/// Which of several elements it is, where the standard leaves a choice.
fn variant<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::Tuple("Some", parts) => parts.first().and_then(variant),
        Value::Tuple(name, _) | Value::Struct(name, _) => Some(name),
        Value::Word("None") | Value::Text(_) | Value::List(_) => None,
        Value::Word(word) => Some(word),
    }
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

/// A field's name as the standards write it, or nearly.
fn standard(name: &str) -> String {
    name.split('_').fold(String::new(), |mut all, word| {
        if ACRONYMS.contains(&word) {
            all += &word.to_ascii_uppercase();
        } else {
            let mut letters = word.chars();
            all.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            all += letters.as_str();
        }
        all
    })
}

/// PhysicalValue and RationalNumber: a number by a power of ten, and a unit.
fn quantity(all: &[(&str, Value<'_>)]) -> Option<String> {
    let (mut power, mut unit, mut number) = (None, None, None);
    for (name, value) in all {
        match *name {
            "multiplier" | "exponent" => power = Some(shown(value)?.parse::<i8>().ok()?),
            "unit" => unit = shown(value),
            "value" => number = Some(shown(value)?.parse::<i64>().ok()?),
            _ => return None,
        }
    }
    let unit = match unit.as_deref() {
        None => "",
        Some("Volts") => " V",
        Some("Amperes") => " A",
        Some("Watts") => " W",
        Some("WattHours") => " Wh",
        Some(other) => &format!(" {other}"),
    };
    Some(format!("{}{unit}", decimal(number?, power?)))
}

fn decimal(number: i64, power: i8) -> String {
    let places = usize::from(power.unsigned_abs());
    if power >= 0 {
        return if number == 0 { "0".to_owned() } else { format!("{number}{}", "0".repeat(places)) };
    }
    let sign = if number < 0 { "-" } else { "" };
    let digits = format!("{:0>1$}", number.unsigned_abs(), places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_told_in_the_words_of_the_standard_with_units_and_without_what_is_not_told() {
        let debug = "CurrentDemandReq(CurrentDemandReq { dc_ev_status: DCEVStatus { ev_ready: true, ev_error_code: \
             NOERROR, ev_ress_soc: 37 }, ev_target_current: PhysicalValue { multiplier: -1, unit: A, value: 36 }, \
             ev_maximum_voltage_limit: Some(PhysicalValue { multiplier: 0, unit: V, value: 420 }), \
             ev_maximum_power_limit: None, charging_complete: false })";
        assert_eq!(
            legible(debug),
            "DCEVStatus (EVReady true, EVErrorCode NOERROR, EVRESSSOC 37), EVTargetCurrent 3.6 A, \
             EVMaximumVoltageLimit 420 V, ChargingComplete false"
        );
    }

    #[test]
    fn identities_are_hexadecimal_long_ones_are_begun_and_choices_say_which() {
        assert_eq!(legible("SessionSetupReq { evcc_id: [0, 125, 250, 6, 95, 19] }"), "EVCCID 007DFA065F13");
        assert_eq!(legible("X { ids: [2, 6] }"), "Ids [2; 6]");
        let long = format!("X {{ certificate: {:?} }}", vec![255_u8; 600]);
        assert_eq!(legible(&long), format!("Certificate {}… (600 bytes)", "FF".repeat(24)));
        let choice = "R { evse_id: \"DE*VOL*E1\", choice_2: Some(SAScheduleList(SAScheduleList { id: 1 })), choice: None }";
        assert_eq!(legible(choice), "EVSEID \"DE*VOL*E1\", SAScheduleList (ID 1)");
        let din = "V { v: PhysicalValue { multiplier: Multiplier(-1), unit: Some(Volts), value: 3805 }, soc: Percent(37) }";
        assert_eq!(legible(din), "V 380.5 V, SOC 37");
        let iso20 = "M(M { header: H { session_id: [1] }, p: RationalNumber { exponent: 3, value: -11 } })";
        assert_eq!(legible(iso20), "P -11000");
    }

    #[test]
    fn numbers_keep_their_value() {
        for (number, power, text) in
            [(0, 3, "0"), (0, -3, "0"), (-5, -1, "-0.5"), (1500, -2, "15"), (7, 2, "700"), (1, -3, "0.001")]
        {
            assert_eq!(decimal(number, power), text);
        }
    }

    #[test]
    fn what_is_no_such_rendering_stays_as_it_is() {
        let deep = "[".repeat(5000);
        for odd in ["", "X {", "X { a }", "[1, 2", "\"open", "a b", "X { a: 1 } }", &deep] {
            assert_eq!(legible(odd), odd);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[\\[\\](){}:, \"\\\\a-z0-9é-]{0,200}") {
            let _ = legible(&text);
        }
    }
}
