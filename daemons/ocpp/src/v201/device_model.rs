//! The device model of 2.0.1: variables read, written, reported (B05 to B08).

use super::*;
use crate::dialect::{Handled, Report, Then};
use crate::model::{self, Access, Definition, Found, Kind, Refused, TABLE, find_variable};

/// Variables in one part of a report.
const PART: usize = 40;

pub(super) fn get_variables(core: &Core, now: Now, asked: &GetVariablesRequest) -> Handled {
    if asked.get_variable_data.len() as u64 > core.variables.number(name::ITEMS_GET_VARIABLES) {
        return Handled::refused(ErrorCode::OccurrenceConstraintViolation, "more than ItemsPerMessage");
    }
    let results: Vec<Value> = asked.get_variable_data.iter().map(|data| get_one(core, now, data)).collect();
    Handled::now(json!({ "getVariableResult": results }))
}

fn get_one(core: &Core, now: Now, data: &common::GetVariableData) -> Value {
    let mut result = addressed(&data.component, &data.variable, data.attribute_type.as_ref());
    let word = match find(&data.component, &data.variable) {
        Found::UnknownComponent => "UnknownComponent",
        Found::UnknownVariable => "UnknownVariable",
        Found::Variable(_) if !is_actual(data.attribute_type.as_ref()) => "NotSupportedAttributeType",
        Found::Variable(definition) if definition.access == Access::WriteOnly => "Rejected",
        Found::Variable(definition) => {
            result["attributeValue"] = core.value(definition, now).into();
            "Accepted"
        }
    };
    result["attributeStatus"] = word.into();
    result
}

pub(super) fn set_variables(core: &mut Core, asked: &SetVariablesRequest) -> Handled {
    if asked.set_variable_data.len() as u64 > core.variables.number(name::ITEMS_SET_VARIABLES) {
        return Handled::refused(ErrorCode::OccurrenceConstraintViolation, "more than ItemsPerMessage");
    }
    let mut handled = Handled::now(Value::Null);
    let results: Vec<Value> =
        asked.set_variable_data.iter().map(|data| set_one(core, data, &mut handled)).collect();
    handled.answer = crate::dialect::Answer::Now(json!({ "setVariableResult": results }));
    handled
}

fn set_one(core: &mut Core, data: &common::SetVariableData, handled: &mut Handled) -> Value {
    let mut result = addressed(&data.component, &data.variable, data.attribute_type.as_ref());
    let (word, info) = match find(&data.component, &data.variable) {
        Found::UnknownComponent => ("UnknownComponent", None),
        Found::UnknownVariable => ("UnknownVariable", None),
        Found::Variable(_) if !is_actual(data.attribute_type.as_ref()) => ("NotSupportedAttributeType", None),
        Found::Variable(definition) => match core.check(definition, &data.attribute_value, false) {
            Err(Refused::ReadOnly) => ("Rejected", Some(("ReadOnly", "it is only read".to_owned()))),
            Err(Refused::Invalid(why)) => ("Rejected", Some(("InvalidValue", why))),
            Ok(taken) => {
                core.write(definition, taken.value, handled);
                (if taken.reboot { "RebootRequired" } else { "Accepted" }, None)
            }
        },
    };
    result["attributeStatus"] = word.into();
    if let Some((reason, text)) = info {
        let text = short(&text, 512);
        result["attributeStatusInfo"] = json!({ "reasonCode": reason, "additionalInfo": text });
    }
    result
}

/// No attribute named is the actual value (part 2, AttributeEnumType).
fn is_actual(attribute: Option<&common::AttributeEnum>) -> bool {
    attribute.is_none_or(|attribute| matches!(attribute, common::AttributeEnum::Actual))
}

fn find(component: &common::Component, variable: &common::Variable) -> Found {
    // The uplink's own components belong to no EVSE and have no instances.
    if component.evse.is_some() || component.instance.is_some() {
        return Found::UnknownComponent;
    }
    find_variable(&component.name, &variable.name, variable.instance.as_deref())
}

/// The part of a result that repeats what was asked for.
fn addressed(
    component: &common::Component,
    variable: &common::Variable,
    attribute: Option<&common::AttributeEnum>,
) -> Value {
    let mut result = json!({
        "component": serde_json::to_value(component).unwrap_or_default(),
        "variable": serde_json::to_value(variable).unwrap_or_default(),
    });
    if let Some(attribute) = attribute {
        result["attributeType"] = serde_json::to_value(attribute).unwrap_or_default();
    }
    result
}

pub(super) fn get_base_report(asked: &GetBaseReportRequest) -> Handled {
    let configuration = match asked.report_base {
        common::ReportBaseEnum::FullInventory => false,
        common::ReportBaseEnum::ConfigurationInventory => true,
        common::ReportBaseEnum::SummaryInventory => return Handled::status("NotSupported"),
    };
    let report = Report::Base { configuration };
    Handled {
        then: vec![Then::Tell(Notice::Report(asked.request_id, report, 0))],
        ..Handled::status("Accepted")
    }
}

pub(super) fn get_report(asked: &GetReportRequest) -> Handled {
    if asked.component_criteria.is_some() {
        // B08.FR.05: criteria that no component here has (active, enabled, problem) match nothing.
        return Handled::status("EmptyResultSet");
    }
    let Some(wanted) = &asked.component_variable else { return Handled::status("EmptyResultSet") };
    let matches = |definition: &&Definition| {
        wanted.iter().any(|wanted| {
            let here = wanted.component.evse.is_none() && wanted.component.instance.is_none();
            here && wanted.component.name.eq_ignore_ascii_case(definition.component)
                && wanted
                    .variable
                    .as_ref()
                    .is_none_or(|variable| variable.name.eq_ignore_ascii_case(definition.variable))
        })
    };
    let found: Vec<&'static str> = TABLE
        .iter()
        .filter(|definition| !definition.component.is_empty())
        .filter(matches)
        .map(|definition| definition.name)
        .collect();
    if found.is_empty() {
        return Handled::status("EmptyResultSet");
    }
    let report = Report::Variables(found);
    Handled {
        then: vec![Then::Tell(Notice::Report(asked.request_id, report, 0))],
        ..Handled::status("Accepted")
    }
}

/// A part of a report, made when it is its turn.
pub(super) fn report(core: &Core, now: Now, request: i64, report: &Report, part: usize) -> Value {
    let wanted: Vec<&Definition> = match report {
        Report::Base { configuration } => TABLE
            .iter()
            .filter(|definition| !definition.component.is_empty())
            .filter(|definition| !configuration || definition.access != Access::ReadOnly)
            .collect(),
        Report::Variables(names) => names.iter().filter_map(|name| model::find(name)).collect(),
    };
    let from = part.saturating_mul(PART);
    let data: Vec<Value> =
        wanted.iter().skip(from).take(PART).map(|definition| report_data(core, now, definition)).collect();
    let mut payload = json!({
        "requestId": request,
        "generatedAt": rfc3339(core.clock.now(now)),
        "seqNo": part,
        "tbc": wanted.len() > from + PART,
    });
    if !data.is_empty() {
        payload["reportData"] = data.into();
    }
    payload
}

fn report_data(core: &Core, now: Now, definition: &Definition) -> Value {
    let mut variable = json!({ "name": definition.variable });
    if let Some(instance) = definition.instance {
        variable["instance"] = instance.into();
    }
    let mutability = match definition.access {
        Access::ReadOnly => "ReadOnly",
        Access::ReadWrite => "ReadWrite",
        Access::WriteOnly => "WriteOnly",
    };
    let mut attribute = json!({ "type": "Actual", "mutability": mutability, "persistent": true });
    if definition.access != Access::WriteOnly {
        attribute["value"] = core.value(definition, now).into();
    }
    let mut characteristics = json!({ "dataType": definition.kind.data_type(), "supportsMonitoring": false });
    if !definition.unit.is_empty() {
        characteristics["unit"] = definition.unit.into();
    }
    match definition.kind {
        Kind::Integer(from, to) => {
            characteristics["minLimit"] = from.into();
            characteristics["maxLimit"] = to.into();
        }
        Kind::Text(longest) => characteristics["maxLimit"] = longest.into(),
        Kind::Choice(words) | Kind::List(words) => {
            characteristics["valuesList"] = words.join(",").into();
        }
        Kind::Boolean | Kind::Decimal => {}
    }
    json!({
        "component": { "name": definition.component },
        "variable": variable,
        "variableAttribute": [attribute],
        "variableCharacteristics": characteristics,
    })
}
