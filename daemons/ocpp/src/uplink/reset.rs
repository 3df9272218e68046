//! The CSMS has the station start anew (B11, B12).

use super::*;
use crate::dialect::ResetKind;

impl Reset {
    /// When it happens, whatever is charged and waits; `None`: not before nothing is charged.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let at_once = Some(self.until).filter(|_| self.kind != ResetKind::OnIdle);
        [at_once, self.telling].into_iter().flatten().min()
    }
}

impl Uplink {
    /// The CSMS wants the station to start anew (B11, B12).
    pub(super) fn reset(&mut self, now: Now, kind: ResetKind, actions: &mut Vec<Action>) {
        info!(?kind, "the CSMS resets the station");
        self.reset = Some(Reset { kind, until: now.at + RESET_PATIENCE, telling: None });
        let why = match kind {
            ResetKind::Hard => StopReason::Reset,
            ResetKind::Soft => StopReason::SoftReset,
            ResetKind::OnIdle => return,
        };
        let running: Vec<_> = self.core.connectors.running().collect();
        for &(evse, transaction) in &running {
            self.command(Command::Stop { evse, transaction, session: 0, why }, None, actions);
        }
        // And those of 2.0.1 that the station has not opened: of a cable alone, or of somebody who was let in and
        // whose cable is waited for.
        for (evse, plug) in self.core.delivery.by_book(&self.core.told()).plugged {
            if plug.running.is_some() && running.iter().all(|(other, _)| *other != evse) {
                let session = plug.session;
                self.command(Command::Stop { evse, transaction: 0, session, why }, None, actions);
            }
        }
    }

    /// When the transactions have ended and are told, or had time to.
    pub(super) fn reset_if_due(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(mut reset) = self.reset else { return };
        let charging = self.core.has_transaction();
        reset.telling = (!charging).then(|| reset.telling.unwrap_or(now.at + LAST_WORDS));
        self.reset = Some(reset);
        // What is out is answered first, a reply on its way gets there.
        let told = !charging && self.core.delivery.waiting() == 0 && self.out.is_none();
        if told || reset.deadline().is_some_and(|due| now.at >= due) {
            self.reset = None;
            let reason = match reset.kind {
                ResetKind::Hard | ResetKind::Soft => "RemoteReset",
                ResetKind::OnIdle => "ScheduledReset",
            };
            self.core.journal.note(now, SecurityEvent::ResetOrReboot, reason);
            self.keep_journal(actions);
            actions.push(Action::Store(Record::BootReason(reason)));
            actions.push(Action::StartAnew);
        }
    }
}
