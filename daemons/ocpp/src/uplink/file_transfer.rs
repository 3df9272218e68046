//! Has files carried and firmware installed, and tells the CSMS how it goes.

use super::{Action, Command, Out, Record, Uplink};
use crate::dialect;
use crate::files::{InService, News, Progress, World};
use crate::security::SecurityEvent;
use crate::time::Now;

impl Uplink {
    pub(super) fn hear_of_files(&mut self, now: Now, news: &News, actions: &mut Vec<Action>) {
        if let News::Firmware { progress: Progress::Verified(Err(())), .. } = news {
            self.core.journal.note(now, SecurityEvent::InvalidFirmwareSignature, "");
        }
        let before = self.stored_files.is_restarting();
        let order = self.core.files.hear(now.at, news);
        if !before && self.core.files.kept().is_restarting() {
            actions.push(Action::Store(Record::BootReason("FirmwareUpdate")));
        }
        // Where an update stands is on the disk before the machine goes down.
        self.store_files(actions);
        actions.extend(order.map(Action::Files));
    }

    pub(super) fn carry_files(&mut self, now: Now, actions: &mut Vec<Action>) {
        let unix = self.core.clock.now(now);
        let connectors = &self.core.connectors;
        let heard = || connectors.evses().filter_map(|evse| connectors.get(evse)?.heard());
        let evses: Vec<InService> = heard().map(|heard| InService(heard.evse, heard.available)).collect();
        let world = World {
            at: now.at,
            unix,
            busy: heard().any(|heard| heard.transaction != 0 || heard.authorized),
            // Whoever knows of no EVSE knows nothing of them.
            closed: !evses.is_empty() && evses.iter().all(|InService(_, in_service)| !in_service),
        };
        let orders = self.core.files.step(world);
        let close = self.core.files.firmware.wants_closed(unix);
        let told = self.core.files.closing.step(now.at, close, &evses);
        self.store_files(actions);
        for InService(evse, available) in told {
            self.order(Command::SetAvailable { evse, available }, actions);
        }
        actions.extend(orders.into_iter().map(Action::Files));
    }

    pub(super) fn store_files(&mut self, actions: &mut Vec<Action>) {
        let kept = self.core.files.kept();
        if kept != self.stored_files {
            self.stored_files = kept.clone();
            actions.push(Action::Store(Record::Files(Box::new(kept))));
        }
    }

    pub(super) fn has_file_status(&self) -> bool {
        self.core.files.log.untold().next().is_some() || self.core.files.firmware.untold().next().is_some()
    }

    pub(super) fn send_file_status(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        let version = self.core.version;
        while let Some((request, status)) = self.core.files.firmware.untold().next().copied() {
            match dialect::firmware_status(version, request, status) {
                Some((action, payload)) => {
                    self.call(action, &payload, Out::FirmwareStatus, actions);
                    return true;
                }
                // The version has no word for it.
                None => self.core.files.firmware.told(now.at),
            }
        }
        while let Some((request, status)) = self.core.files.log.untold().next().copied() {
            match dialect::log_status(version, request, status) {
                Some((action, payload)) => {
                    self.call(action, &payload, Out::LogStatus, actions);
                    return true;
                }
                None => self.core.files.log.told(),
            }
        }
        false
    }
}
