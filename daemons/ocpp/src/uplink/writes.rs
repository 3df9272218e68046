//! Variables that daemons have: written there first, and then answered.

use super::{Command, Core, Record, Write, Written};
use crate::dialect::Writes;
use crate::model::{Definition, Holder, Item};

impl Core {
    /// What a daemon has to be asked for so that an item has this value; `None`: it is no daemon's.
    #[must_use]
    pub fn write_to_daemon(&self, item: &Item, value: &str) -> Option<Write> {
        match &item.holder {
            Holder::Daemon(target) => Some(Write { target: target.clone(), value: value.to_owned() }),
            Holder::Uplink(_) | Holder::Nobody => None,
        }
    }

    /// What came of writes: the value is known at once, and what the configuration says of it counts no
    /// more.
    pub(super) fn wrote(&mut self, writes: &Writes, outcomes: &[Written], records: &mut Vec<Record>) {
        for (place, outcome) in writes.open.iter().zip(outcomes) {
            if !matches!(outcome, Written::Holds | Written::Restart) {
                continue;
            }
            self.devices.wrote(&place.write.target, &place.write.value);
            if let Some(definition) = place.definition {
                self.remember_written(definition, &place.write.value, records);
            }
        }
    }

    fn remember_written(&mut self, definition: &'static Definition, value: &str, records: &mut Vec<Record>) {
        records.push(Record::Variable(definition.name, value.to_owned()));
        self.variables.set(definition, value.to_owned());
    }
}

impl Writes {
    /// The command that has them done.
    pub(super) fn command(&self) -> Command {
        Command::Write(self.open.iter().map(|open| open.write.clone()).collect())
    }
}
