//! Has files carried, and tells the CSMS how it goes.

use super::{Action, Out, Record, Uplink};
use crate::dialect;
use crate::time::Now;

impl Uplink {
    pub(super) fn carry_files(&mut self, now: Now, actions: &mut Vec<Action>) {
        let orders = self.core.files.step(now.at);
        self.store_files(actions);
        actions.extend(orders.into_iter().map(Action::Files));
    }

    fn store_files(&mut self, actions: &mut Vec<Action>) {
        let kept = self.core.files.kept();
        if kept != self.stored_files {
            self.stored_files = kept.clone();
            actions.push(Action::Store(Record::Files(kept)));
        }
    }

    pub(super) fn has_file_status(&self) -> bool {
        self.core.files.log.untold().next().is_some()
    }

    pub(super) fn send_file_status(&mut self, actions: &mut Vec<Action>) -> bool {
        while let Some((request, status)) = self.core.files.log.untold().next().copied() {
            match dialect::log_status(self.core.version, request, status) {
                Some((action, payload)) => {
                    self.call(action, &payload, Out::LogStatus, actions);
                    return true;
                }
                // The version has no word for it.
                None => self.core.files.log.told(),
            }
        }
        false
    }

    pub(super) fn log_status_told(&mut self, actions: &mut Vec<Action>) {
        self.core.files.log.told();
        self.store_files(actions);
    }
}
