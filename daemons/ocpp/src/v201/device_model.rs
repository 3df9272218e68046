//! The device model of 2.0.1: variables read, written, reported (B05 to B08).

use std::sync::Arc;

use super::addresses::{address, component, is_wanted, variable};
use super::*;
use crate::dialect::{Answer, Handled, OpenWrite, Reply, Report, Then, Writes};
use crate::model::{Access, Holder, Item, Lookup, Place, Refused, all, lookup};
use crate::uplink::Written;

/// Variables in one part of a report, at the most.
const PART_ITEMS: usize = 40;
/// Bytes of them, about.
const PART_BYTES: usize = 24 * 1024;
/// Reports that may wait.
const REPORTS_MAX: usize = 4;

pub(super) fn get_variables(core: &Core, now: Now, asked: &GetVariablesRequest) -> Handled {
    if asked.get_variable_data.len() as u64 > core.variables.number(name::ITEMS_GET_VARIABLES) {
        return Handled::refused(ErrorCode::OccurrenceConstraintViolation, "more than ItemsPerMessage");
    }
    let get_variable_result = asked.get_variable_data.iter().map(|data| get_one(core, now, data)).collect();
    Handled::written(&GetVariablesResponse { custom_data: None, get_variable_result })
}

fn get_one(core: &Core, now: Now, data: &common::GetVariableData) -> common::GetVariableResult {
    use common::GetVariableStatusEnum as Status;
    let (mut attribute_value, mut attribute_status_info) = (None, None);
    let attribute_status = match lookup(core, now, &address(&data.component, &data.variable)) {
        Lookup::UnknownComponent => Status::UnknownComponent,
        Lookup::UnknownVariable => Status::UnknownVariable,
        Lookup::Item(item) => match attribute(&item, data.attribute_type.as_ref()) {
            None => Status::NotSupportedAttributeType,
            Some(Some(value)) => {
                attribute_value = Some(value);
                Status::Accepted
            }
            Some(None) => {
                let (reason, words) = if item.access == Access::WriteOnly {
                    ("WriteOnly", "it is never told")
                } else {
                    ("NotAvailable", "its value is not known now")
                };
                attribute_status_info = Some(common::StatusInfo {
                    reason_code: reason.parse().unwrap_or_default(),
                    additional_info: words.parse().ok(),
                    custom_data: None,
                });
                Status::Rejected
            }
        },
    };
    common::GetVariableResult {
        attribute_status,
        attribute_status_info,
        attribute_type: data.attribute_type.clone(),
        attribute_value,
        component: data.component.clone(),
        custom_data: None,
        variable: data.variable.clone(),
    }
}

/// An attribute's value, if it is known; `None`: the variable has no such attribute.
fn attribute(item: &Item, asked: Option<&common::AttributeEnum>) -> Option<Option<String>> {
    match asked {
        // No attribute named is the actual value (part 2, AttributeEnumType).
        None | Some(common::AttributeEnum::Actual) => Some(item.value.clone()),
        Some(common::AttributeEnum::MaxSet) => set_limits(item).map(|(_, most)| Some(most.to_string())),
        Some(common::AttributeEnum::MinSet) => set_limits(item).map(|(least, _)| Some(least.to_string())),
        Some(common::AttributeEnum::Target) => None,
    }
}

/// The range that a measured value is kept in: who gives it limits says so by MinSet and MaxSet.
fn set_limits(item: &Item) -> Option<(f64, f64)> {
    let measured = item.access == Access::ReadOnly && item.is_number() && item.holder == Holder::Nobody;
    item.limits.filter(|_| measured)
}

pub(super) fn set_variables(core: &mut Core, now: Now, asked: &SetVariablesRequest) -> Handled {
    if asked.set_variable_data.len() as u64 > core.variables.number(name::ITEMS_SET_VARIABLES) {
        return Handled::refused(ErrorCode::OccurrenceConstraintViolation, "more than ItemsPerMessage");
    }
    let mut handled = Handled::now(Value::Null);
    let mut writes = Writes { results: Vec::new(), open: Vec::new() };
    for data in &asked.set_variable_data {
        set_one(core, now, data, &mut handled, &mut writes);
    }
    handled.answer = if writes.open.is_empty() {
        Answer::Now(json!({ "setVariableResult": writes.results }))
    } else {
        Answer::Writes(writes, Reply::to("SetVariables"))
    };
    handled
}

fn set_one(
    core: &mut Core,
    now: Now,
    data: &common::SetVariableData,
    handled: &mut Handled,
    writes: &mut Writes,
) {
    let mut result = addressed(&data.component, &data.variable, data.attribute_type.as_ref());
    let actual = matches!(data.attribute_type, None | Some(common::AttributeEnum::Actual));
    let refused =
        |reason, words: &str| Some(json!({ "reasonCode": reason, "additionalInfo": short(words, 512) }));
    let (word, info) = match lookup(core, now, &address(&data.component, &data.variable)) {
        Lookup::UnknownComponent => ("UnknownComponent", None),
        Lookup::UnknownVariable => ("UnknownVariable", None),
        Lookup::Item(item) if !actual => match attribute(&item, data.attribute_type.as_ref()) {
            Some(_) => ("Rejected", refused("ReadOnly", "this attribute is only read")),
            None => ("NotSupportedAttributeType", None),
        },
        Lookup::Item(item) => match &item.holder {
            Holder::Nobody if crate::model::of_daemon(&item.address).is_some() => {
                ("Rejected", refused("NotAvailable", "the daemon that has it does not answer"))
            }
            Holder::Nobody => ("Rejected", refused("ReadOnly", "it is only read")),
            Holder::Daemon(_) => {
                if let Some(write) = core.write_to_daemon(&item, &data.attribute_value) {
                    let definition = crate::model::of_daemon(&item.address);
                    writes.open.push(OpenWrite { place: writes.results.len(), write, definition });
                }
                ("Rejected", None)
            }
            Holder::Uplink(definition) => match core.check(definition, &data.attribute_value, false) {
                Err(Refused::ReadOnly) => ("Rejected", refused("ReadOnly", "it is only read")),
                Err(Refused::Invalid(why)) => ("Rejected", refused("InvalidValue", &why)),
                Ok(taken) => {
                    core.write(definition, taken.value, handled);
                    (if taken.reboot { "RebootRequired" } else { "Accepted" }, None)
                }
            },
        },
    };
    result["attributeStatus"] = word.into();
    if let Some(info) = info {
        result["attributeStatusInfo"] = info;
    }
    writes.results.push(result);
}

/// What daemons say to their values.
pub(crate) fn wrote(writes: Writes, outcomes: &[Written]) -> Value {
    let Writes { mut results, open } = writes;
    for (open, outcome) in open.iter().zip(outcomes.iter().map(Some).chain(std::iter::repeat(None))) {
        let (word, info) = match outcome {
            Some(Written::Holds) => ("Accepted", None),
            Some(Written::Restart) => ("RebootRequired", None),
            Some(Written::Refused(why)) => ("Rejected", Some(("InvalidValue", short(why, 512)))),
            Some(Written::Silent) | None => {
                ("Rejected", Some(("NotAvailable", "the daemon that has it does not answer".to_owned())))
            }
        };
        let result = &mut results[open.place];
        result["attributeStatus"] = word.into();
        if let Some((reason, words)) = info {
            result["attributeStatusInfo"] = json!({ "reasonCode": reason, "additionalInfo": words });
        }
    }
    json!({ "setVariableResult": results })
}

/// The part of a result that repeats what was asked for.
fn addressed(
    component: &common::Component,
    variable: &common::Variable,
    attribute: Option<&common::AttributeEnum>,
) -> Value {
    let mut result = Value::from_iter([
        ("component", serde_json::to_value(component).unwrap_or_default()),
        ("variable", serde_json::to_value(variable).unwrap_or_default()),
    ]);
    if let Some(attribute) = attribute {
        result["attributeType"] = serde_json::to_value(attribute).unwrap_or_default();
    }
    result
}

pub(super) fn get_base_report(core: &Core, now: Now, asked: &GetBaseReportRequest) -> Handled {
    let mut items = all(core, now);
    match asked.report_base {
        common::ReportBaseEnum::FullInventory => {}
        common::ReportBaseEnum::ConfigurationInventory => {
            items.retain(|item| item.access != Access::ReadOnly);
        }
        // What may be charged at, and what is wrong (B07.FR.09).
        common::ReportBaseEnum::SummaryInventory => items.retain(|item| {
            let wrong = item.value.as_deref() == Some("true");
            match item.address.variable.as_str() {
                "AvailabilityState" => true,
                "Problem" => wrong,
                _ => false,
            }
        }),
    }
    send_report(core, asked.request_id, items)
}

fn send_report(core: &Core, request: i64, items: Vec<Item>) -> Handled {
    if items.is_empty() {
        return Handled::status("EmptyResultSet");
    }
    start_report(core, Report { request, of: Reported::Variables(items.into()), from: 0, part: 0 })
}

/// Accepts a report, unless too many wait.
pub(super) fn start_report(core: &Core, report: Report) -> Handled {
    if core.reports_waiting() >= REPORTS_MAX {
        return Handled::now(json!({
            "status": "Rejected",
            "statusInfo": { "reasonCode": "OutOfMemory", "additionalInfo": "other reports wait to be sent" },
        }));
    }
    Handled { then: vec![Then::Tell(Notice::Report(report))], ..Handled::status("Accepted") }
}

pub(super) fn get_report(core: &Core, now: Now, asked: &GetReportRequest) -> Handled {
    let wanted = asked.component_variable.as_deref().unwrap_or_default();
    if wanted.len() as u64 > core.variables.number(name::ITEMS_REPORT) {
        return Handled::refused(ErrorCode::OccurrenceConstraintViolation, "more than ItemsPerMessage");
    }
    let everything = all(core, now);
    let criteria = asked.component_criteria.as_deref().unwrap_or_default();
    let items = everything.iter().filter(|item| {
        let named = wanted.is_empty() || wanted.iter().any(|wanted| is_wanted(&item.address, wanted));
        let place = &item.address.place;
        named && (criteria.is_empty() || criteria.iter().any(|it| meets(&everything, place, it)))
    });
    let items = items.cloned().collect();
    send_report(core, asked.request_id, items)
}

/// Whether a component meets a criterion (B08, ComponentCriterionEnumType): of a component that does not
/// say, all but a problem is taken to be so.
fn meets(everything: &[Item], place: &Place, criterion: &common::ComponentCriterionEnum) -> bool {
    let (variable, unless_said) = match criterion {
        common::ComponentCriterionEnum::Active => ("Active", true),
        common::ComponentCriterionEnum::Available => ("Available", true),
        common::ComponentCriterionEnum::Enabled => ("Enabled", true),
        common::ComponentCriterionEnum::Problem => ("Problem", false),
    };
    let says =
        everything.iter().find(|item| item.address.place == *place && item.address.variable == variable);
    says.map_or(unless_said, |item| item.value.as_deref() == Some("true"))
}

/// A part of a report, made when it is its turn.
pub(super) fn report(core: &Core, now: Now, report: &Report, items: &Arc<[Item]>) -> Value {
    let (mut data, mut bytes) = (Vec::new(), 0);
    for item in items.iter().skip(report.from).take(PART_ITEMS) {
        let one = report_data(item);
        bytes += one.to_string().len();
        if bytes > PART_BYTES && !data.is_empty() {
            break;
        }
        data.push(one);
    }
    part(core, now, report, ("reportData", data), items.len())
}

/// A part of a report of so many.
pub(super) fn part(
    core: &Core,
    now: Now,
    report: &Report,
    (field, data): (&str, Vec<Value>),
    all: usize,
) -> Value {
    json!({
        "requestId": report.request,
        "generatedAt": rfc3339(core.clock.now(now)),
        "seqNo": report.part,
        "tbc": report.from + data.len() < all,
        (field): data,
    })
}

fn report_data(item: &Item) -> Value {
    let mutability = match item.access {
        Access::ReadOnly => "ReadOnly",
        Access::ReadWrite => "ReadWrite",
        Access::WriteOnly => "WriteOnly",
    };
    let mut actual = json!({ "type": "Actual", "mutability": mutability });
    // What is measured is measured again.
    actual["persistent"] = (item.holder != Holder::Nobody).into();
    if let Some(value) = &item.value {
        actual["value"] = value.as_str().into();
    }
    let mut attributes = vec![actual];
    if let Some((least, most)) = set_limits(item) {
        let set =
            |kind, value: f64| json!({ "type": kind, "mutability": "ReadOnly", "value": value.to_string() });
        attributes.extend([set("MinSet", least), set("MaxSet", most)]);
    }
    let mut characteristics =
        json!({ "dataType": item.data_type, "supportsMonitoring": item.access != Access::WriteOnly });
    if !item.unit.is_empty() {
        characteristics["unit"] = item.unit.as_str().into();
    }
    match item.limits {
        Some((least, most)) if item.is_number() => {
            characteristics["minLimit"] = least.into();
            characteristics["maxLimit"] = most.into();
        }
        Some((_, longest)) => characteristics["maxLimit"] = longest.into(),
        None => {}
    }
    if !item.words.is_empty() {
        characteristics["valuesList"] = short(&item.words.join(","), 1000).into();
    }
    json!({
        "component": component(&item.address.place),
        "variable": variable(&item.address),
        "variableAttribute": attributes,
        "variableCharacteristics": characteristics,
    })
}
