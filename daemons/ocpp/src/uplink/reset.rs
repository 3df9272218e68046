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
        for (evse, transaction) in running {
            self.command(Command::Stop { evse, transaction, session: 0, why }, None, actions);
        }
        let awaited: Vec<_> = self.awaited().collect();
        for (evse, session) in awaited {
            self.command(Command::Stop { evse, transaction: 0, session, why }, None, actions);
        }
    }

    /// The EVSEs with a transaction of 2.0.1 that waits for a cable, and its session in the book.
    fn awaited(&self) -> impl Iterator<Item = (u32, u64)> {
        let plugs = self.core.delivery.known().plugged.iter();
        plugs.filter(|(_, plug)| plug.is_awaited()).map(|(evse, plug)| (*evse, plug.session))
    }

    /// When the transactions have ended and are told, or had time to.
    pub(super) fn reset_if_due(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(mut reset) = self.reset else { return };
        // The station may tell of the end of a transaction before its book does.
        let charging = self.core.connectors.is_charging()
            || self.core.has_open_transaction()
            || self.awaited().next().is_some();
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
