//! Components and variables as 2.0.1 writes them.

use serde_json::{Value, json};

use super::common;
use crate::model::{Address, Place};

/// A component that the CSMS names.
pub(super) fn place(component: &common::Component) -> Place {
    // A number that is none names an EVSE that there is not.
    let number = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
    Place {
        component: component.name.to_string(),
        instance: component.instance.as_ref().map(ToString::to_string),
        evse: component.evse.as_ref().map(|evse| number(evse.id)),
        connector: component.evse.as_ref().and_then(|evse| evse.connector_id).map(number),
    }
}

/// A variable that it names.
pub(super) fn address(component: &common::Component, variable: &common::Variable) -> Address {
    Address {
        place: place(component),
        variable: variable.name.to_string(),
        instance: variable.instance.as_ref().map(ToString::to_string),
    }
}

/// What the CSMS looks for: what it does not name may be any.
pub(super) fn is_wanted(address: &Address, wanted: &common::ComponentVariable) -> bool {
    address.place.is_among(&place(&wanted.component))
        && wanted.variable.as_ref().is_none_or(|variable| {
            let instance = variable.instance.as_deref();
            address.variable.eq_ignore_ascii_case(&variable.name)
                && (instance.is_none() || address.is_variable(&variable.name, instance))
        })
}

/// ComponentType.
pub(super) fn component(place: &Place) -> Value {
    let mut component = json!({ "name": place.component });
    if let Some(instance) = &place.instance {
        component["instance"] = instance.as_str().into();
    }
    if let Some(evse) = place.evse {
        component["evse"] = json!({ "id": evse });
        if let Some(connector) = place.connector {
            component["evse"]["connectorId"] = connector.into();
        }
    }
    component
}

/// VariableType.
pub(super) fn variable(address: &Address) -> Value {
    let mut variable = json!({ "name": address.variable });
    if let Some(instance) = &address.instance {
        variable["instance"] = instance.as_str().into();
    }
    variable
}
