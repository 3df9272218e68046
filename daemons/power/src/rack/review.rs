//! What the modules do and report, as faults.

use std::time::Duration;

use voltry_power_module::{Condition, Kind};
use voltry_units::Timestamp;

use super::module::{Breach, Phase};
use super::{Action, Rack, codes};

/// An alarm of a module that never was ready may be its start.
const STARTING: Duration = Duration::from_secs(10);
/// A set-point refused so often in a row is a fault.
const REFUSALS: u32 = 5;

impl Rack {
    /// Looks at what the modules do and report.
    pub(super) fn review(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let (silent_after, lost_after) = (self.supply.silent_after, self.supply.lost_after());
        let mut found = Vec::new();
        for (address, module) in &mut self.modules {
            module.age(silent_after, lost_after, now);
            match module.breach(now) {
                Some(Breach::WontStop { current }) => {
                    module.insist_on_off();
                    found.push((codes::WONT_STOP, format!("module {address} is off and gives {current}")));
                }
                Some(Breach::Disobeys { told, measured }) => {
                    let cause = format!(
                        "module {address} gives {} at {}, told {} at {}",
                        measured.current, measured.voltage, told.current, told.voltage
                    );
                    module.barred = Some(cause.clone());
                    found.push((codes::DISOBEYS, cause));
                }
                None => {}
            }
            if module.refusals >= REFUSALS {
                let cause = format!("module {address} refuses its set-point");
                module.barred = Some(cause.clone());
                found.push((codes::REFUSES, cause));
            }
        }
        for (code, cause) in found {
            self.raise(code, cause, now);
        }
        if let (Some(group), Some(unit)) = (&self.group, self.modules.values_mut().next()) {
            unit.members = group.able(now);
        }
        self.review_silence(now);
        self.review_alarms(now);
        self.review_answers(now);
        if self.blocked() {
            self.switch_itself_off(now, actions);
        }
    }

    fn review_silence(&mut self, now: Timestamp) {
        let Some(up) = self.link else { return };
        let silent = self.modules.iter().find(|(_, module)| match module.phase {
            Phase::Absent => true,
            Phase::Silent { since } => now.since(since.max(up)) > self.supply.silent_after,
            Phase::Qualifying | Phase::Ready => false,
        });
        let found = self.group.as_ref().map_or(self.modules.len(), |group| group.present(now).count());
        let missing = now.since(up) > self.supply.silent_after && found < self.supply.expected();
        match silent.map(|(address, _)| *address) {
            Some(address) => self.raise(codes::SILENT, format!("module {address} does not answer"), now),
            None if missing => {
                let wanted = self.supply.expected();
                self.raise(codes::SILENT, format!("{found} of {wanted} modules answer"), now);
            }
            None => self.faults.gone(codes::SILENT),
        }
    }

    fn review_answers(&mut self, now: Timestamp) {
        let found =
            self.modules.iter().find_map(|(address, module)| Some((*address, module.not_its_own(now)?)));
        let Some((address, evidence)) = found else {
            self.faults.gone(codes::UNASKED);
            return;
        };
        let cause = format!(
            "module {address}: {evidence}: two modules have the address, or one answers for another, or by itself"
        );
        self.raise(codes::UNASKED, cause, now);
    }

    fn review_alarms(&mut self, now: Timestamp) {
        let mut present = Vec::new();
        for (address, module) in &mut self.modules {
            if !module.answers() || module.conditions().of(Kind::Alarm).next().is_none() {
                self.alarmed_since.remove(address);
                continue;
            }
            let since = *self.alarmed_since.entry(*address).or_insert(now);
            let duplicate = module.conditions().has(Condition::DuplicateId);
            // A module that starts may lack its mains for a while.
            if !duplicate && !module.was_ready() && now.since(since) < STARTING {
                continue;
            }
            for condition in module.conditions().of(Kind::Alarm) {
                let Some(code) = codes::of(condition) else { continue };
                present.push((code, format!("module {address}: {}", condition.text())));
                if !comes_and_goes_with_the_mains(condition) {
                    module.barred = Some(condition.text().to_owned());
                }
            }
        }
        for (address, member) in self.group.iter().flat_map(|group| group.present(now)) {
            let alarms = member.conditions.of(Kind::Alarm);
            let text = |condition: Condition| format!("module {address}: {}", condition.text());
            present.extend(alarms.filter_map(|condition| Some((codes::of(condition)?, text(condition)))));
        }
        for condition in Condition::ALL {
            if let Some(code) = codes::of(*condition).filter(|code| !present.iter().any(|(p, _)| p == code)) {
                self.faults.gone(code);
            }
        }
        for (code, cause) in present {
            self.raise(code, cause, now);
        }
    }
}

/// Such an alarm is a fault, but the module may be used again when it has gone.
fn comes_and_goes_with_the_mains(condition: Condition) -> bool {
    matches!(
        condition,
        Condition::PhaseLoss
            | Condition::InputUnderVoltage
            | Condition::InputOverVoltage
            | Condition::InputAbnormal
    )
}
