//! The variables of the uplink itself, once for both versions: 2.0.1's components and variables,
//! and the configuration keys of 1.6 over the same values.

mod table;

use std::collections::BTreeMap;

pub use table::{Access, Definition, Kind, TABLE, name};

/// The longest value taken (2.0.1: 1000 characters; 1.6: 500).
const VALUE_MAX: usize = 1000;

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Only read.
    ReadOnly,
    /// Not of its kind, out of range, no choice: in words.
    Invalid(String),
}

/// What taking a value came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// As it is stored: without what no DC station measures.
    pub value: String,
    /// Members of a list that were left out.
    pub left_out: Vec<String>,
    /// It holds from the next start on.
    pub reboot: bool,
}

/// Values that were written, and those that this station has by its making.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    written: BTreeMap<&'static str, String>,
    made: BTreeMap<&'static str, String>,
}

impl Variables {
    /// With what the store has kept. What it keeps of a variable that exists no more is passed over.
    #[must_use]
    pub fn new(kept: impl IntoIterator<Item = (String, String)>) -> Self {
        let written = kept.into_iter().filter_map(|(key, value)| Some((find(&key)?.name, value))).collect();
        Self { written, made: BTreeMap::new() }
    }

    /// Says what a variable is on this station until somebody writes it.
    pub fn make(&mut self, variable: &str, value: impl Into<String>) {
        if let Some(definition) = find(variable) {
            self.made.insert(definition.name, value.into());
        }
    }

    /// The value of a variable, by its name in [`name`].
    #[must_use]
    pub fn get(&self, variable: &str) -> &str {
        let Some(definition) = find(variable) else { return "" };
        let written = self.written.get(definition.name).or_else(|| self.made.get(definition.name));
        written.map_or(definition.default, String::as_str)
    }

    /// As a whole number; what cannot be one is 0.
    #[must_use]
    pub fn number(&self, variable: &str) -> u64 {
        self.get(variable).parse().unwrap_or(0)
    }

    /// As a truth value.
    #[must_use]
    pub fn is(&self, variable: &str) -> bool {
        self.get(variable) == "true"
    }

    /// Checks a value that the CSMS writes. `lenient`: a list may name measurands that OCPP knows
    /// and no DC station has; they are left out, and the caller says so.
    ///
    /// # Errors
    /// [`Refused`]; nothing changes.
    pub fn check(&self, definition: &Definition, value: &str, lenient: bool) -> Result<Taken, Refused> {
        if definition.access == Access::ReadOnly {
            return Err(Refused::ReadOnly);
        }
        if value.chars().count() > VALUE_MAX {
            return Err(Refused::Invalid(format!("longer than {VALUE_MAX} characters")));
        }
        let (value, left_out) = definition.kind.take(value.trim(), lenient).map_err(Refused::Invalid)?;
        Ok(Taken { value, left_out, reboot: definition.reboot })
    }

    /// Takes a value that was checked and stored.
    pub fn set(&mut self, definition: &'static Definition, value: String) {
        self.written.insert(definition.name, value);
    }
}

/// A variable by its name in [`name`].
#[must_use]
pub fn find(variable: &str) -> Option<&'static Definition> {
    TABLE.iter().find(|definition| definition.name == variable)
}

/// A variable by 1.6's configuration key; letters count the same in upper and lower case (5.3).
#[must_use]
pub fn find_key(key: &str) -> Option<&'static Definition> {
    TABLE.iter().find(|definition| definition.key.is_some_and(|known| known.eq_ignore_ascii_case(key)))
}

/// A variable as a configuration file names it: by 1.6's key, or as `Component.Variable` with
/// `.Instance` where it has one.
#[must_use]
pub fn find_named(text: &str) -> Option<&'static Definition> {
    let mut parts = text.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(component), Some(variable), instance) => match find_variable(component, variable, instance) {
            Found::Variable(definition) => Some(definition),
            Found::UnknownComponent | Found::UnknownVariable => None,
        },
        _ => find_key(text),
    }
}

/// What 2.0.1's component and variable name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// This one.
    Variable(&'static Definition),
    /// There is no such component.
    UnknownComponent,
    /// The component has no such variable.
    UnknownVariable,
}

/// A variable by 2.0.1's names.
#[must_use]
pub fn find_variable(component: &str, variable: &str, instance: Option<&str>) -> Found {
    let same = |known: &str, asked: &str| known.eq_ignore_ascii_case(asked);
    let mut of_component = TABLE.iter().filter(|definition| same(definition.component, component)).peekable();
    if of_component.peek().is_none() {
        return Found::UnknownComponent;
    }
    let wanted = |definition: &&Definition| {
        same(definition.variable, variable)
            && match (definition.instance, instance) {
                (Some(known), Some(asked)) => same(known, asked),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            }
    };
    of_component.find(wanted).map_or(Found::UnknownVariable, Found::Variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_variables_have_the_same_name() {
        for (place, one) in TABLE.iter().enumerate() {
            for other in &TABLE[..place] {
                assert_ne!(one.name, other.name);
                assert!(one.key.is_none() || one.key != other.key, "{:?}", one.key);
                let full = |d: &Definition| (d.component, d.variable, d.instance);
                assert!(one.component.is_empty() || full(one) != full(other), "{:?}", full(one));
            }
        }
    }

    #[test]
    fn every_default_is_a_value_that_would_be_taken() {
        for definition in TABLE {
            let taken = definition.kind.take(definition.default, false);
            assert_eq!(
                taken.map(|(value, _)| value),
                Ok(definition.default.to_owned()),
                "{}",
                definition.name
            );
        }
    }

    #[test]
    fn a_written_value_is_found_by_both_versions_names() {
        let mut variables = Variables::default();
        let definition = find_key("heartbeatINTERVAL").unwrap();
        let taken = variables.check(definition, "77", true).unwrap();
        variables.set(definition, taken.value);
        assert_eq!(find_variable("OCPPCommCtrlr", "HeartbeatInterval", None), Found::Variable(definition));
        assert_eq!(variables.number(name::HEARTBEAT_INTERVAL), 77);
        assert_eq!(find_variable("OCPPCommCtrlr", "Nonsense", None), Found::UnknownVariable);
        assert_eq!(find_variable("Nonsense", "Nonsense", None), Found::UnknownComponent);
    }

    #[test]
    fn what_is_no_value_of_its_kind_is_refused() {
        let variables = Variables::default();
        let check = |key: &str, value: &str| variables.check(find_key(key).unwrap(), value, true);
        assert!(matches!(check("HeartbeatInterval", "-1"), Err(Refused::Invalid(_))));
        assert!(matches!(check("HeartbeatInterval", "soon"), Err(Refused::Invalid(_))));
        assert!(matches!(check("LocalPreAuthorize", "yes"), Err(Refused::Invalid(_))));
        assert_eq!(check("NumberOfConnectors", "3"), Err(Refused::ReadOnly));
        assert_eq!(check("LocalPreAuthorize", "TRUE").unwrap().value, "true");
    }

    #[test]
    fn a_measurand_that_is_not_supported_leaves_the_others_standing_and_is_named() {
        let variables = Variables::default();
        let list = find_key("MeterValuesSampledData").unwrap();
        let taken = variables.check(list, "Energy.Active.Import.Register,Frequency", true).unwrap();
        assert_eq!(taken.value, "Energy.Active.Import.Register");
        assert_eq!(taken.left_out, ["Frequency"]);
        assert!(variables.check(list, "Energy.Active.Import.Register,Frequency", false).is_err());
        assert!(variables.check(list, "Frequency", true).is_err(), "none of them is left");
        assert!(variables.check(list, "Nonsense,Voltage", true).is_err(), "no measurand at all");
    }
}
