//! Monitors of 2.0.1 (N02 to N08): set, cleared, reported; and the events that they lead to.

use std::sync::Arc;

use super::addresses::{address, component, is_wanted, variable};
use super::device_model::{part, start_report};
use super::requests::rejected;
use super::*;
use crate::dialect::{Handled, Report};
use crate::model::monitors::{Base, Monitor, MonitorKind, NotSet};
use crate::model::{Access, Address, Item, Lookup, lookup};
use crate::uplink::Record;

/// Monitors in one part of a report.
const PART: usize = 40;
/// A periodic monitor tells at most once a second, and at least once a year.
const INTERVAL: std::ops::RangeInclusive<f64> = 1.0..=31_536_000.0;

pub(super) fn set(core: &mut Core, now: Now, asked: &SetVariableMonitoringRequest) -> Handled {
    if asked.set_monitoring_data.len() as u64 > core.variables.number(name::ITEMS_SET_MONITORING) {
        return Handled::refused(ErrorCode::OccurrenceConstraintViolation, "more than ItemsPerMessage");
    }
    let before = core.monitors.kept.clone();
    let results: Vec<Value> = asked.set_monitoring_data.iter().map(|data| set_one(core, now, data)).collect();
    with_monitors(core, &before, json!({ "setMonitoringResult": results }))
}

/// An answer, and the monitors stored if they changed.
fn with_monitors(core: &Core, before: &crate::model::monitors::Kept, answer: Value) -> Handled {
    let mut handled = Handled::now(answer);
    if core.monitors.kept != *before {
        handled.store.push(Record::Monitors(core.monitors.kept.clone()));
    }
    handled
}

fn set_one(core: &mut Core, now: Now, data: &common::SetMonitoringData) -> Value {
    let mut result = json!({
        "type": serde_json::to_value(&data.r#type).unwrap_or_default(),
        "severity": data.severity,
        "component": serde_json::to_value(&data.component).unwrap_or_default(),
        "variable": serde_json::to_value(&data.variable).unwrap_or_default(),
    });
    let (word, info) = match lookup(core, now, &address(&data.component, &data.variable)) {
        Lookup::UnknownComponent => ("UnknownComponent", None),
        Lookup::UnknownVariable => ("UnknownVariable", None),
        Lookup::Item(item) => match fits(&item, data) {
            Err(Misfit::Kind) => ("UnsupportedMonitorType", None),
            Err(Misfit::Value(words)) => ("Rejected", Some(("ValueOutOfRange", words))),
            Ok(kind) => {
                let monitor = Monitor {
                    id: 0,
                    address: item.address,
                    kind,
                    value: data.value,
                    // Checked by the schema: 0 to 9.
                    severity: u8::try_from(data.severity).unwrap_or(9),
                    transaction: data.transaction.unwrap_or(false),
                };
                match core.monitors.set(monitor, data.id) {
                    Ok(id) => {
                        result["id"] = id.into();
                        ("Accepted", None)
                    }
                    Err(NotSet::Duplicate) => ("Duplicate", None),
                    Err(NotSet::NoSuchMonitor) => {
                        ("Rejected", Some(("NotFound", "no monitor of this number watches this variable")))
                    }
                    Err(NotSet::TooMany) => ("Rejected", Some(("OutOfStorage", "too many monitors are set"))),
                }
            }
        },
    };
    result["status"] = word.into();
    if let Some((reason, words)) = info {
        result["statusInfo"] = json!({ "reasonCode": reason, "additionalInfo": words });
    }
    result
}

enum Misfit {
    /// The variable cannot be watched so.
    Kind,
    /// The monitor's value is none, and why.
    Value(&'static str),
}

/// Whether a variable can be watched as it is wanted (N04.FR.08, N04.FR.09, N04.FR.14).
fn fits(item: &Item, data: &common::SetMonitoringData) -> Result<MonitorKind, Misfit> {
    let kind = match data.r#type {
        common::MonitorEnum::UpperThreshold => MonitorKind::UpperThreshold,
        common::MonitorEnum::LowerThreshold => MonitorKind::LowerThreshold,
        common::MonitorEnum::Delta => MonitorKind::Delta,
        common::MonitorEnum::Periodic => MonitorKind::Periodic,
        common::MonitorEnum::PeriodicClockAligned => MonitorKind::PeriodicClockAligned,
    };
    if item.access == Access::WriteOnly {
        return Err(Misfit::Kind);
    }
    match kind {
        MonitorKind::UpperThreshold | MonitorKind::LowerThreshold => {
            if !item.is_number() {
                return Err(Misfit::Kind);
            }
            if item.limits.is_some_and(|(least, most)| !(least..=most).contains(&data.value)) {
                return Err(Misfit::Value("outside of what the variable can be"));
            }
        }
        MonitorKind::Delta if data.value < 0.0 => return Err(Misfit::Value("a difference below zero")),
        MonitorKind::Periodic | MonitorKind::PeriodicClockAligned if !INTERVAL.contains(&data.value) => {
            return Err(Misfit::Value("an interval is from 1 to 31536000 s"));
        }
        MonitorKind::Delta | MonitorKind::Periodic | MonitorKind::PeriodicClockAligned => {}
    }
    Ok(kind)
}

pub(super) fn clear(core: &mut Core, asked: &ClearVariableMonitoringRequest) -> Handled {
    if asked.id.len() as u64 > core.variables.number(name::ITEMS_CLEAR_MONITORING) {
        return Handled::refused(ErrorCode::OccurrenceConstraintViolation, "more than ItemsPerMessage");
    }
    let before = core.monitors.kept.clone();
    let mut results = Vec::new();
    for id in &asked.id {
        let word = if core.monitors.clear(*id) { "Accepted" } else { "NotFound" };
        results.push(json!({ "id": id, "status": word }));
    }
    with_monitors(core, &before, json!({ "clearMonitoringResult": results }))
}

pub(super) fn set_base(core: &mut Core, asked: &SetMonitoringBaseRequest) -> Handled {
    let before = core.monitors.kept.clone();
    core.monitors.rebase(match asked.monitoring_base {
        common::MonitoringBaseEnum::All => Base::All,
        common::MonitoringBaseEnum::FactoryDefault => Base::FactoryDefault,
        common::MonitoringBaseEnum::HardWiredOnly => Base::HardWiredOnly,
    });
    with_monitors(core, &before, json!({ "status": "Accepted" }))
}

pub(super) fn set_level(core: &mut Core, asked: &SetMonitoringLevelRequest) -> Handled {
    let Some(level) = u8::try_from(asked.severity).ok().filter(|level| *level <= 9) else {
        return rejected("InvalidValue", "a severity is from 0 to 9");
    };
    let before = core.monitors.kept.clone();
    core.monitors.kept.level = level;
    with_monitors(core, &before, json!({ "status": "Accepted" }))
}

pub(super) fn get_report(core: &Core, asked: &GetMonitoringReportRequest) -> Handled {
    let criteria = asked.monitoring_criteria.as_deref().unwrap_or_default();
    let wanted = asked.component_variable.as_deref().unwrap_or_default();
    let meets = |monitor: &Monitor| {
        let kind = match monitor.kind {
            MonitorKind::UpperThreshold | MonitorKind::LowerThreshold => {
                common::MonitoringCriterionEnum::ThresholdMonitoring
            }
            MonitorKind::Delta => common::MonitoringCriterionEnum::DeltaMonitoring,
            MonitorKind::Periodic | MonitorKind::PeriodicClockAligned => {
                common::MonitoringCriterionEnum::PeriodicMonitoring
            }
        };
        let named = wanted.is_empty() || wanted.iter().any(|wanted| is_wanted(&monitor.address, wanted));
        named && (criteria.is_empty() || criteria.contains(&kind))
    };
    let mut found: Vec<Monitor> =
        core.monitors.set_by_the_csms().iter().filter(|monitor| meets(monitor)).cloned().collect();
    if found.is_empty() {
        return Handled::status("EmptyResultSet");
    }
    // Those of one variable stand together.
    found.sort_by(|one, other| (&one.address, one.id).cmp(&(&other.address, other.id)));
    start_report(
        core,
        Report { request: asked.request_id, of: Reported::Monitors(found.into()), from: 0, part: 0 },
    )
}

pub(super) fn report(core: &Core, now: Now, report: &Report, all: &Arc<[Monitor]>) -> Value {
    // An entry has one monitor: several of a variable are several entries.
    let data = all.iter().skip(report.from).take(PART).map(reported).collect();
    part(core, now, report, ("monitor", data), all.len())
}

fn reported(monitor: &Monitor) -> Value {
    json!({
        "component": component(&monitor.address.place),
        "variable": variable(&monitor.address),
        "variableMonitoring": [{
            "id": monitor.id,
            "transaction": monitor.transaction,
            "value": monitor.value,
            "type": monitor.kind.as_str(),
            "severity": monitor.severity,
        }],
    })
}

/// A NotifyEvent of what waits.
pub(crate) fn events(core: &Core, now: Now) -> Option<Value> {
    let data: Vec<Value> = core.events.next().into_iter().map(|event| event_data(core, now, event)).collect();
    (!data.is_empty()).then(|| {
        json!({
            "generatedAt": rfc3339(core.clock.now(now)),
            "seqNo": 0,
            "tbc": false,
            "eventData": data,
        })
    })
}

fn event_data(core: &Core, now: Now, event: &crate::model::events::Event) -> Value {
    let address: &Address = &event.address;
    let kind = if event.monitor.is_some() { "CustomMonitor" } else { "HardWiredNotification" };
    let mut data = json!({
        "eventId": event.id,
        "timestamp": rfc3339(core.clock.time(event.unix, event.set, event.at, now)),
        "trigger": event.trigger.as_str(),
        "actualValue": event.value,
        "cleared": event.cleared,
        "eventNotificationType": kind,
        "component": component(&address.place),
        "variable": variable(address),
    });
    let mut add = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            data[field] = value;
        }
    };
    add("variableMonitoringId", event.monitor.map(Value::from));
    add("techCode", event.code.as_ref().map(|code| short(code, 50).into()));
    add("techInfo", event.words.as_ref().map(|words| short(words, 500).into()));
    add("cause", event.cause.map(Value::from));
    add("transactionId", event.transaction.as_ref().map(|id| id.as_str().into()));
    data
}
