//! A variable of the station as a CSMS meets it, whoever has it.

use serde::{Deserialize, Serialize};
use voltry_bus::{Component, DeviceVariable};

use super::{Access, Definition, Kind};

/// The longest text of a variable that is told (2.0.1: 2500 characters; what is longer is cut).
const VALUE_MAX: usize = 1000;

/// A component of the station.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Its name.
    pub component: String,
    /// Which of several.
    pub instance: Option<String>,
    /// Whose; `None`: the whole station's.
    pub evse: Option<u32>,
    /// Of that EVSE.
    pub connector: Option<u32>,
}

impl Place {
    /// Of the whole station.
    #[must_use]
    pub fn station(component: &str) -> Self {
        Self { component: component.to_owned(), ..Self::default() }
    }

    /// As a daemon names it. `evse`: the EVSE that has the device among its parts, which counts where
    /// the daemon says none.
    #[must_use]
    pub fn of(component: &Component, evse: Option<u32>) -> Self {
        let given = |number: u32| (number != 0).then_some(number);
        let evse = given(component.evse).or(evse);
        Self {
            component: cut(&component.name, 50),
            instance: (!component.instance.is_empty()).then(|| cut(&component.instance, 50)),
            evse,
            // A connector of no EVSE is none.
            connector: evse.and(given(component.connector)),
        }
    }

    /// Whether this is the component that somebody names. Names count the same in upper and lower case
    /// (B05.FR.11, B06.FR.11).
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.component.eq_ignore_ascii_case(&other.component)
            && same(self.instance.as_deref(), other.instance.as_deref())
            && self.evse == other.evse
            && self.connector == other.connector
    }

    /// Whether it is among those that somebody looks for: what is not named may be any.
    #[must_use]
    pub fn is_among(&self, wanted: &Self) -> bool {
        self.component.eq_ignore_ascii_case(&wanted.component)
            && (wanted.instance.is_none() || same(self.instance.as_deref(), wanted.instance.as_deref()))
            && (wanted.evse.is_none() || self.evse == wanted.evse)
            && (wanted.connector.is_none() || self.connector == wanted.connector)
    }
}

fn same(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// A variable of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    /// The component.
    pub place: Place,
    /// Its variable.
    pub variable: String,
    /// Which of several.
    pub instance: Option<String>,
}

impl Address {
    /// Whether this is the variable that somebody names.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.place.is(&other.place) && self.is_variable(&other.variable, other.instance.as_deref())
    }

    /// As a key of 1.6, `Component.Variable` with what else names it between; `None`: longer than a key
    /// may be.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        let mut key = self.place.component.clone();
        let numbers = [self.place.evse, self.place.connector].into_iter().flatten();
        let words = self.place.instance.clone().into_iter().chain(numbers.map(|number| number.to_string()));
        for part in words.chain([self.variable.clone()]).chain(self.instance.clone()) {
            key.push('.');
            key.push_str(&part);
        }
        // 1.6: CiString50.
        (key.chars().count() <= 50).then_some(key)
    }

    /// Whether the component's variable has this name.
    #[must_use]
    pub fn is_variable(&self, variable: &str, instance: Option<&str>) -> bool {
        self.variable.eq_ignore_ascii_case(variable) && same(self.instance.as_deref(), instance)
    }
}

/// Who changes a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The uplink itself.
    Uplink(&'static Definition),
    /// A daemon, by its setting.
    Daemon(Target),
    /// Nobody.
    Nobody,
}

/// A setting of a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its bus name.
    pub name: String,
    /// The object.
    pub path: String,
    /// The setting.
    pub setting: String,
}

/// A variable and what is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Which.
    pub address: Address,
    /// 2.0.1's DataEnumType.
    pub data_type: &'static str,
    /// Empty: none.
    pub unit: String,
    /// Of a number; of a text or list, its length.
    pub limits: Option<(f64, f64)>,
    /// The words that it may be.
    pub words: Vec<String>,
    /// Who may do what.
    pub access: Access,
    /// `None`: not known now, or never told.
    pub value: Option<String>,
    /// Who changes it.
    pub holder: Holder,
}

impl Item {
    /// A variable that is only read.
    #[must_use]
    pub fn told(place: &Place, variable: &str, data_type: &'static str, value: impl Into<String>) -> Self {
        Self {
            address: Address { place: place.clone(), variable: variable.to_owned(), instance: None },
            data_type,
            unit: String::new(),
            limits: None,
            words: Vec::new(),
            access: Access::ReadOnly,
            value: Some(value.into()),
            holder: Holder::Nobody,
        }
    }

    /// A variable of the uplink's own, with its value.
    #[must_use]
    pub fn of_uplink(definition: &'static Definition, value: String) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "limits are far below 2^53")]
        let (limits, words): (_, &[&str]) = match definition.kind {
            Kind::Integer(from, to) => (Some((from as f64, to as f64)), &[]),
            Kind::Text(longest) => (Some((0.0, longest as f64)), &[]),
            Kind::Choice(words) | Kind::List(words) | Kind::Sequence(words) => (None, words),
            Kind::Boolean | Kind::True | Kind::Decimal => (None, &[]),
        };
        Self {
            address: definition.address(),
            data_type: definition.kind.data_type(),
            unit: definition.unit.to_owned(),
            limits,
            words: words.iter().map(|&word| word.to_owned()).collect(),
            access: definition.access,
            value: (definition.access != Access::WriteOnly).then_some(value),
            holder: Holder::Uplink(definition),
        }
    }

    /// A variable as a daemon's `Device1` at this object tells it; `None`: it is none.
    #[must_use]
    pub fn of_daemon(name: &str, path: &str, variable: &DeviceVariable, evse: Option<u32>) -> Option<Self> {
        if variable.name.is_empty() || variable.component.name.is_empty() {
            return None;
        }
        let target =
            Target { name: name.to_owned(), path: path.to_owned(), setting: variable.setting.clone() };
        let written = !variable.setting.is_empty();
        Some(Self {
            address: Address {
                place: Place::of(&variable.component, evse),
                variable: cut(&variable.name, 50),
                instance: (!variable.instance.is_empty()).then(|| cut(&variable.instance, 50)),
            },
            data_type: match variable.kind.as_str() {
                "boolean" => "boolean",
                "integer" => "integer",
                "decimal" => "decimal",
                "choice" => "OptionList",
                "list" => "MemberList",
                _ => "string",
            },
            unit: cut(&variable.unit, 16),
            limits: (variable.maximum > variable.minimum).then_some((variable.minimum, variable.maximum)),
            words: variable.choices.clone(),
            access: if written { Access::ReadWrite } else { Access::ReadOnly },
            value: (!variable.value.is_empty() || matches!(variable.kind.as_str(), "text" | "list"))
                .then(|| cut(&variable.value, VALUE_MAX)),
            holder: if written { Holder::Daemon(target) } else { Holder::Nobody },
        })
    }

    /// Whether its values are numbers.
    #[must_use]
    pub fn is_number(&self) -> bool {
        matches!(self.data_type, "integer" | "decimal")
    }
}

fn cut(text: &str, longest: usize) -> String {
    text.chars().take(longest).collect()
}
