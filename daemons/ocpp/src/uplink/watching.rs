//! What is told without being asked for: problems of the station's components, and what the monitors
//! find (N07, N08, G05). 2.0.1 alone has a message for it.

use std::collections::BTreeSet;
use std::time::Duration;

use tracing::{debug, info, warn};
use voltry_units::Timestamp;

use super::{Action, Core, Record, Uplink};
use crate::config::Version;
use crate::model::events::{Event, Queued, Trigger};
use crate::model::monitors::{Seen, ToldProblem};
use crate::model::{Address, Holder, Lookup, Object, Place, Problem, SILENT, Told, lookup, name};
use crate::security::SecurityEvent;
use crate::time::Now;
use crate::uplink::Registration;

/// For so long after the start a problem of before is not called over: not every daemon has been heard.
const SETTLING: Duration = Duration::from_secs(15);
/// Problems that the CSMS may have been told of at a time.
const PROBLEMS_MAX: usize = 256;
/// Faults by which a maker's daemon tells that the station was opened or meddled with.
const TAMPERED: [&str; 2] = ["EnclosureOpen", "TamperDetected"];
/// How often a message with events is tried that the CSMS answers with an error.
pub(super) const ATTEMPTS: u32 = 3;

/// What is watched, and what has to be told of it.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// Something changed since the last look.
    pub(super) changed: bool,
    /// When it began.
    since: Option<Timestamp>,
    /// The last step.
    pub(super) looked: Option<Timestamp>,
    /// Whose faults say that somebody has meddled with the station, and which.
    pub(super) tampered: BTreeSet<(Object, String)>,
    /// The CSMS answered the oldest events with an error so often.
    pub(super) refused: u32,
}

impl Watching {
    pub(super) fn due(&self, core: &Core, now: Timestamp) -> Option<Timestamp> {
        if core.version == Version::V16 {
            return None;
        }
        let settled = self.since.map(|since| since + SETTLING).filter(|settled| *settled > now);
        let settled = settled.filter(|_| !core.monitors.kept.problems.is_empty());
        [settled, core.devices.due(now), core.monitors.due()].into_iter().flatten().min()
    }
}

impl Uplink {
    /// Looks at problems and monitors, and queues what has to be told.
    pub(super) fn watch(&mut self, now: Now, actions: &mut Vec<Action>) {
        let since = *self.watching.since.get_or_insert(now.at);
        // What was due since the last step is due now.
        let before = self.watching.looked.replace(now.at).unwrap_or(now.at);
        let due = self.watching.due(&self.core, before).is_some_and(|due| due <= now.at);
        if self.core.version == Version::V16 || !(self.watching.changed || due) {
            return;
        }
        self.watching.changed = false;
        let kept = self.core.monitors.kept.clone();
        self.watch_problems(now, now.at.since(since) >= SETTLING, actions);
        self.watch_variables(now, actions);
        if self.core.monitors.kept != kept {
            actions.push(Action::Store(Record::Monitors(self.core.monitors.kept.clone())));
        }
    }

    fn watch_problems(&mut self, now: Now, settled: bool, actions: &mut Vec<Action>) {
        let problems = self.core.devices.problems(now.at);
        let told = self.core.monitors.kept.problems.clone();
        let is =
            |told: &ToldProblem, problem: &Problem| told.place == problem.place && told.code == problem.code;
        for problem in problems.iter().filter(|problem| !told.iter().any(|told| is(told, problem))) {
            if self.core.monitors.kept.problems.len() >= PROBLEMS_MAX {
                break;
            }
            let event = self.problem(now, &problem.place, &problem.code, &problem.cause, false);
            let told =
                ToldProblem { place: problem.place.clone(), code: problem.code.clone(), event: event.id };
            self.core.monitors.kept.problems.push(told);
            self.queue(event, actions);
        }
        for over in told.iter().filter(|_| settled) {
            if !problems.iter().any(|problem| is(over, problem)) {
                let event = self.problem(now, &over.place, &over.code, "", true);
                self.core.monitors.kept.problems.retain(|told| told != over);
                self.queue(event, actions);
            }
        }
    }

    fn problem(&mut self, now: Now, place: &Place, code: &str, words: &str, cleared: bool) -> Event {
        // An EVSE that stops because of one of its parts.
        let told = &self.core.monitors.kept.problems;
        let of_part = |told: &&ToldProblem| told.place.evse == place.evse && told.place.component != "EVSE";
        let cause = (place.component == "EVSE" && !cleared).then(|| told.iter().rev().find(of_part));
        let cause = cause.flatten().map(|told| told.event);
        let others = told.iter().any(|told| told.place == *place && told.code != code);
        let address = Address { place: place.clone(), variable: "Problem".to_owned(), instance: None };
        Event {
            id: self.core.next_event(),
            unix: now.unix,
            set: now.set,
            at: Some(now.at),
            trigger: Trigger::Alerting,
            severity: severity(code),
            value: (!cleared || others).to_string(),
            cleared,
            monitor: None,
            code: Some(code.to_owned()),
            words: (!words.is_empty()).then(|| words.to_owned()),
            cause,
            transaction: place.evse.and_then(|evse| self.core.transaction_at(Some(evse))),
            address,
        }
    }

    fn watch_variables(&mut self, now: Now, actions: &mut Vec<Action>) {
        if !self.core.variables.is(name::MONITORING_ENABLED)
            || self.core.monitors.set_by_the_csms().is_empty()
        {
            return;
        }
        let mut monitors = std::mem::take(&mut self.core.monitors);
        let findings = monitors.look(now, self.core.clock.now(now), |address| see(&self.core, now, address));
        self.core.monitors = monitors;
        for finding in findings {
            let event = Event {
                id: self.core.next_event(),
                unix: now.unix,
                set: now.set,
                at: Some(now.at),
                trigger: finding.trigger,
                severity: finding.severity,
                address: finding.address,
                value: finding.value,
                cleared: finding.cleared,
                monitor: Some(finding.monitor),
                code: None,
                words: None,
                cause: None,
                transaction: finding.transaction,
            };
            self.queue(event, actions);
        }
    }

    /// Queues an event that is important enough (N05), and offline of those that wait for the CSMS
    /// (MonitoringCtrlr.OfflineQueuingSeverity).
    fn queue(&mut self, event: Event, actions: &mut Vec<Action>) {
        let severity = u64::from(event.severity);
        let online = self.registration == Registration::Accepted;
        let queued = online || severity <= self.core.variables.number(name::OFFLINE_SEVERITY);
        if event.severity > self.core.monitors.kept.level || !queued {
            return;
        }
        if let (Some(code), component) = (&event.code, &event.address.place.component) {
            info!(component, code, evse = event.address.place.evse, cleared = event.cleared, "a problem");
        }
        match self.core.events.push(event.clone()) {
            Queued::Waits(gone) => actions.push(Action::Store(Record::Event(Box::new(event), gone))),
            Queued::LeftOut => debug!(id = event.id, "too many events wait: one is left out"),
        }
    }

    /// What a message with events came to.
    pub(super) fn events_answered(&mut self, ids: Vec<i64>, error: bool, actions: &mut Vec<Action>) {
        if error {
            self.watching.refused += 1;
            if self.watching.refused < ATTEMPTS {
                return;
            }
            warn!(?ids, "the CSMS does not take these events: they are left out");
        }
        self.watching.refused = 0;
        self.core.events.told(&ids);
        actions.push(Action::Store(Record::EventsTold(ids)));
    }

    /// An object on the bus tells this of itself.
    pub(super) fn hear_device(&mut self, now: Now, object: &Object, told: Told, actions: &mut Vec<Action>) {
        let meddled = told.faults.iter().filter(|fault| TAMPERED.contains(&fault.code.as_str()));
        // A board tells of a door, and so does each EVSE behind it.
        let known = |code: &str| self.watching.tampered.iter().any(|(_, told)| told == code);
        let new: Vec<String> = meddled
            .clone()
            .filter(|fault| !known(&fault.code))
            .map(|fault| format!("{}: {}", fault.code, fault.cause))
            .collect();
        self.watching.tampered.retain(|(other, _)| other != object);
        self.watching.tampered.extend(meddled.map(|fault| (object.clone(), fault.code.clone())));
        for words in new {
            self.core.journal.note(now, SecurityEvent::TamperDetectionActivated, &words);
        }
        self.core.devices.hear(object, told, now.at);
        self.watching.changed = true;
        self.configure_daemons(actions);
    }

    /// An object's daemon left the bus, or hangs.
    pub(super) fn lose_device(&mut self, now: Now, object: &Object) {
        self.core.devices.lose(object, now.at);
        self.watching.tampered.retain(|(other, _)| other != object);
        self.watching.changed = true;
        // Whoever comes back may have forgotten.
        self.core.configured.clear();
    }

    /// A daemon's variables that the configuration gives another value, as long as the CSMS wrote none.
    fn configure_daemons(&mut self, actions: &mut Vec<Action>) {
        let writes = self.core.configured_writes();
        if !writes.is_empty() {
            self.order(super::Command::Write(writes), actions);
        }
    }
}

fn see(core: &Core, now: Now, address: &Address) -> Option<Seen> {
    let Lookup::Item(item) = lookup(core, now, address) else { return None };
    Some(Seen {
        number: item.is_number(),
        value: item.value?,
        transaction: core.transaction_at(address.place.evse),
    })
}

/// How bad it is (2.0.1, EventDataType, severity).
fn severity(code: &str) -> u8 {
    match code {
        // Danger.
        "MREC8EmergencyStop"
        | "MREC22ResistanceFault"
        | "MREC5OverVoltage"
        | "MREC24ConnectorVoltageHigh"
        | "EnclosureOpen"
        | "TiltDetected"
        | "WaterIngress"
        | "MREC17EVSEContactorFault"
        | "OutputNotOff" => 0,
        SILENT => 2,
        // The vehicle's.
        "VehicleUnmatched" | "VehicleSilent" | "MREC10InvalidVehicleMode" => 6,
        // Hardware.
        _ => 1,
    }
}

impl Core {
    /// A number for an event.
    pub(super) fn next_event(&mut self) -> i64 {
        self.event_number += 1;
        self.event_number
    }

    /// The transaction, as the CSMS knows it, that runs at an EVSE, or anywhere.
    #[must_use]
    pub fn transaction_at(&self, evse: Option<u32>) -> Option<String> {
        let mut plugged = self
            .delivery
            .known()
            .plugged
            .iter()
            .filter(|(number, _)| evse.is_none_or(|evse| evse == **number));
        plugged.find_map(|(_, plugged)| Some(plugged.running.as_ref()?.id.clone()))
    }

    /// What the configuration gives another value than a daemon has.
    fn configured_writes(&mut self) -> Vec<super::Write> {
        let of_daemon = crate::model::TABLE.iter().filter(|definition| definition.of_daemon);
        let wanted: Vec<_> = of_daemon
            .filter_map(|definition| {
                let value = self.variables.configured(definition)?.to_owned();
                let item = self.devices.find(&definition.address())?;
                let Holder::Daemon(target) = &item.holder else { return None };
                (item.value.as_deref() != Some(value.as_str()) && !self.configured.contains(definition.name))
                    .then(|| (definition.name, super::Write { target: target.clone(), value }))
            })
            .collect();
        wanted
            .into_iter()
            .map(|(name, write)| {
                self.configured.insert(name);
                write
            })
            .collect()
    }
}
