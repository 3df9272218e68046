//! What a setting may be. Pure.

use voltry_bus::{Component, DeviceVariable, Error, Setting};

/// A setting that a daemon has.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// As `s`, `W`; empty: none.
    pub unit: &'static str,
    /// What may be done with it.
    pub access: Access,
    /// Who may write it.
    pub writers: &'static [Writer],
    /// What it is until somebody writes.
    pub default: String,
    /// The part of the station that it belongs to, in OCPP's word where there is one.
    pub component: &'static str,
    /// The variable of that component that it is, in OCPP's word where there is one; empty: none, so that
    /// no back end sees it.
    pub variable: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number in this range.
    Integer {
        /// The smallest.
        minimum: i32,
        /// The largest.
        maximum: i32,
    },
    /// A number in this range.
    Decimal {
        /// The smallest.
        minimum: f64,
        /// The largest.
        maximum: f64,
    },
    /// Text of at most so many bytes, without control characters.
    Text {
        /// Its length.
        maximum: u16,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any of these words, each once, with commas between.
    List(&'static [&'static str]),
}

/// What may be done with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is shown.
    ReadOnly,
    /// It is shown, and changes at once.
    ReadWrite,
    /// It is never shown.
    WriteOnly,
    /// It is shown, and changes with the next start.
    Restart,
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The back end, through its uplink.
    Csms,
    /// Whoever else may call.
    Operator,
}

impl Spec {
    /// Whether somebody may write it.
    ///
    /// # Errors
    /// `Refused`.
    pub fn may_write(&self, writer: Writer) -> Result<(), Error> {
        if self.access == Access::ReadOnly {
            return Err(Error::Refused(format!("{} is read-only", self.name)));
        }
        if !self.writers.contains(&writer) {
            return Err(Error::Refused(format!("{} is not for the {} to write", self.name, word(writer))));
        }
        Ok(())
    }

    /// The value as it is kept.
    ///
    /// # Errors
    /// `Invalid` or `OutOfRange`.
    pub fn checked(&self, value: &str) -> Result<String, Error> {
        let invalid = |wanted: &str| Error::Invalid(format!("{} wants {wanted}", self.name));
        let range = |minimum: f64, maximum: f64| {
            Error::OutOfRange(format!("{} is from {minimum} to {maximum} {}", self.name, self.unit))
        };
        let value = value.trim();
        match self.kind {
            Kind::Boolean => match value.to_ascii_lowercase().as_str() {
                known @ ("true" | "false") => Ok(known.to_owned()),
                _ => Err(invalid("true or false")),
            },
            Kind::Integer { minimum, maximum } => {
                let number: i64 = value.parse().map_err(|_| invalid("a whole number"))?;
                let fits = (i64::from(minimum)..=i64::from(maximum)).contains(&number);
                if fits { Ok(number.to_string()) } else { Err(range(minimum.into(), maximum.into())) }
            }
            Kind::Decimal { minimum, maximum } => {
                let number: f64 = value.parse().map_err(|_| invalid("a number"))?;
                // NaN is in no range.
                if (minimum..=maximum).contains(&number) {
                    Ok(number.to_string())
                } else {
                    Err(range(minimum, maximum))
                }
            }
            Kind::Text { maximum } if value.len() > usize::from(maximum) => {
                Err(Error::OutOfRange(format!("{} has at most {maximum} bytes", self.name)))
            }
            Kind::Text { .. } if value.chars().any(char::is_control) => Err(invalid("text in one line")),
            Kind::Text { .. } => Ok(value.to_owned()),
            Kind::Choice(choices) => {
                let known = choices.iter().find(|choice| choice.eq_ignore_ascii_case(value));
                known.map(|choice| (*choice).to_owned()).ok_or_else(|| invalid(&choices.join(", ")))
            }
            Kind::List(choices) => {
                let mut words: Vec<&str> = Vec::new();
                for one in value.split(',').map(str::trim).filter(|one| !one.is_empty()) {
                    let known = choices.iter().find(|choice| choice.eq_ignore_ascii_case(one));
                    let known = known.ok_or_else(|| invalid(&format!("any of {}", choices.join(", "))))?;
                    if !words.contains(known) {
                        words.push(known);
                    }
                }
                Ok(words.join(","))
            }
        }
    }

    /// As the variable of OCPP that it is, with what was written.
    pub(super) fn variable(&self, written: Option<&String>) -> DeviceVariable {
        let shown = self.shown(written);
        let may_write = self.may_write(Writer::Csms).is_ok();
        DeviceVariable {
            component: Component::new(self.component),
            name: self.variable.to_owned(),
            instance: String::new(),
            kind: shown.kind,
            unit: shown.unit,
            minimum: shown.minimum,
            maximum: shown.maximum,
            choices: shown.choices,
            setting: if may_write { shown.name } else { String::new() },
            value: shown.value,
        }
    }

    /// As it stands on the bus, with what was written.
    pub(super) fn shown(&self, written: Option<&String>) -> Setting {
        let (kind, minimum, maximum, choices): (_, _, _, &[&str]) = match self.kind {
            Kind::Boolean => ("boolean", 0.0, 0.0, &[]),
            Kind::Integer { minimum, maximum } => ("integer", minimum.into(), maximum.into(), &[]),
            Kind::Decimal { minimum, maximum } => ("decimal", minimum, maximum, &[]),
            Kind::Text { maximum } => ("text", 0.0, maximum.into(), &[]),
            Kind::Choice(choices) => ("choice", 0.0, 0.0, choices),
            Kind::List(choices) => ("list", 0.0, 0.0, choices),
        };
        let value = match self.access {
            Access::WriteOnly => String::new(),
            Access::ReadOnly | Access::ReadWrite | Access::Restart => {
                written.cloned().unwrap_or_else(|| self.default.clone())
            }
        };
        Setting {
            name: self.name.to_owned(),
            kind: kind.to_owned(),
            unit: self.unit.to_owned(),
            access: match self.access {
                Access::ReadOnly => "read-only",
                Access::ReadWrite => "read-write",
                Access::WriteOnly => "write-only",
                Access::Restart => "restart",
            }
            .to_owned(),
            minimum,
            maximum,
            choices: choices.iter().map(|&choice| choice.to_owned()).collect(),
            writers: self.writers.iter().map(|writer| word(*writer).to_owned()).collect(),
            value,
            default: self.default.clone(),
            component: self.component.to_owned(),
            about: self.about.to_owned(),
        }
    }
}

const fn word(writer: Writer) -> &'static str {
    match writer {
        Writer::Csms => "csms",
        Writer::Operator => "operator",
    }
}
