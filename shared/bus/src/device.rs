//! A device in the words of OCPP's device model: components and their variables.

use serde::{Deserialize, Serialize};
use zbus::{OwnedVariant, Type, Variant};

/// A part of the station, as OCPP 2.0.1 names parts (part 2, appendix 3). Doubles as a property's
/// element.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Type, Variant, OwnedVariant,
)]
pub struct Component {
    /// OCPP's name, as `FiscalMetering`; of what OCPP does not know a name of one's own.
    pub name: String,
    /// Which of several; empty: there is one.
    pub instance: String,
    /// The EVSE that it belongs to; 0: the whole station, or the EVSE that names the device in its
    /// `Parts`.
    pub evse: u32,
    /// The connector of that EVSE; 0: no connector's.
    pub connector: u32,
}

impl Component {
    /// The only one of its name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// One of several.
    #[must_use]
    pub fn instance(mut self, instance: &str) -> Self {
        instance.clone_into(&mut self.instance);
        self
    }

    /// Of an EVSE.
    #[must_use]
    pub const fn of_evse(mut self, evse: u32) -> Self {
        self.evse = evse;
        self
    }

    /// Of a connector.
    #[must_use]
    pub const fn of_connector(mut self, connector: u32) -> Self {
        self.connector = connector;
        self
    }
}

/// An object on the bus that a device is made of.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Type, Variant, OwnedVariant,
)]
pub struct Part {
    /// The bus name of its daemon.
    pub name: String,
    /// Its path.
    pub path: String,
}

/// A variable of a component. Doubles as a property's element.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Type, Variant, OwnedVariant)]
pub struct DeviceVariable {
    /// Whose it is.
    pub component: Component,
    /// OCPP's name for it, as `Temperature`, or one's own.
    pub name: String,
    /// Which of several; empty: there is one.
    pub instance: String,
    /// `boolean`, `integer`, `decimal`, `text`, `choice` or `list`.
    pub kind: String,
    /// `V`, `A`, `Celsius` …; empty: none.
    pub unit: String,
    /// The least that a number may be, or the shortest that a text may be.
    pub minimum: f64,
    /// The most; not above the minimum: nobody says.
    pub maximum: f64,
    /// The words that a choice or a list may have.
    pub choices: Vec<String>,
    /// The setting of `Settings1` at the same object that changes it; empty: it is only read.
    pub setting: String,
    /// Its value; empty: not known now.
    pub value: String,
}

impl DeviceVariable {
    fn new(component: &Component, name: &str, kind: &str, value: String) -> Self {
        Self {
            component: component.clone(),
            name: name.to_owned(),
            instance: String::new(),
            kind: kind.to_owned(),
            unit: String::new(),
            minimum: 0.0,
            maximum: 0.0,
            choices: Vec::new(),
            setting: String::new(),
            value,
        }
    }

    /// Yes or no.
    #[must_use]
    pub fn boolean(component: &Component, name: &str, value: bool) -> Self {
        Self::new(component, name, "boolean", value.to_string())
    }

    /// A whole number.
    #[must_use]
    pub fn integer(component: &Component, name: &str, value: i64) -> Self {
        Self::new(component, name, "integer", value.to_string())
    }

    /// A measured number, to tenths; what is no number is not known.
    #[must_use]
    pub fn decimal(component: &Component, name: &str, unit: &str, value: Option<f64>) -> Self {
        let known = value.filter(|value| value.is_finite());
        let value = known.map_or_else(String::new, |value| format!("{:.1}", value + 0.0));
        Self { unit: unit.to_owned(), ..Self::new(component, name, "decimal", value) }
    }

    /// Words.
    #[must_use]
    pub fn text(component: &Component, name: &str, value: &str) -> Self {
        Self::new(component, name, "text", value.to_owned())
    }

    /// One of these words.
    #[must_use]
    pub fn choice(component: &Component, name: &str, choices: &[&str], value: &str) -> Self {
        let choices = choices.iter().map(|&choice| choice.to_owned()).collect();
        Self { choices, ..Self::new(component, name, "choice", value.to_owned()) }
    }

    /// With the range that it keeps to.
    #[must_use]
    pub const fn within(mut self, minimum: f64, maximum: f64) -> Self {
        (self.minimum, self.maximum) = (minimum, maximum);
        self
    }
}

/// The settings of `voltry-station` that are variables of OCPP: setting, component, variable. The
/// uplink has configuration keys of 1.6 for them, so both daemons hold themselves to this list.
pub const STATION_SETTINGS: [(&str, &str, &str); 3] = [
    ("reading_interval", "SampledDataCtrlr", "TxUpdatedInterval"),
    ("clock_aligned_interval", "AlignedDataCtrlr", "Interval"),
    ("connection_timeout", "TxCtrlr", "EVConnectionTimeOut"),
];
