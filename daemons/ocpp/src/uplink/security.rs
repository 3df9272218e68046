//! Security events: noted, stored, told (A04).

use super::*;

/// A clock that is slewed moves less between two inputs; more, and somebody set it.
const SET: i64 = 2_000_000;

impl Uplink {
    /// What was noted is stored before anything else leaves.
    pub(super) fn keep_journal(&mut self, actions: &mut Vec<Action>) {
        let fresh = self.core.journal.take_fresh();
        actions.extend(fresh.into_iter().map(|entry| Action::Store(Record::Security(entry))));
    }

    /// The first setting since the boot is none that changes a time of day.
    pub(super) fn watch_the_clock(&mut self, now: Now) {
        let since_boot = i64::try_from(now.at.as_micros()).unwrap_or(i64::MAX);
        let offset = now.set.then(|| now.unix.saturating_sub(since_boot));
        if let (Some(before), Some(offset)) = (self.wall_offset, offset) {
            let by = offset.saturating_sub(before);
            if by.abs() > SET {
                let info = format!("by {} s", by / 1_000_000);
                self.core.journal.note(now, SecurityEvent::SettingSystemTime, &info);
            }
        }
        self.wall_offset = offset.or(self.wall_offset);
    }

    pub(super) fn send_security(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        let Some(entry) = self.core.journal.untold() else { return false };
        let (number, payload) = (entry.number, dialect::security_event(&self.core, now, entry));
        self.call("SecurityEventNotification", &payload, Out::Security(number), actions);
        true
    }

    pub(super) fn security_answered(
        &mut self,
        now: Now,
        number: u64,
        error: Option<&str>,
        actions: &mut Vec<Action>,
    ) {
        // A CSMS of 1.6 without the security extension does not know the message, and never will.
        let unknown = |error: &str| error.starts_with("NotImplemented") || error.starts_with("NotSupported");
        match error {
            Some(error) if !unknown(error) => self.security_failed(now, number, actions),
            Some(_) | None => self.security_is_told(number, actions),
        }
    }

    pub(super) fn security_failed(&mut self, now: Now, number: u64, actions: &mut Vec<Action>) {
        let attempts = self.core.variables.number(name::ATTEMPTS);
        if self.core.journal.failed(attempts) {
            warn!(number, "the CSMS does not take a security event: it is left to the log");
            self.security_is_told(number, actions);
        } else {
            self.quiet_until = now.at + RETRY;
        }
    }

    fn security_is_told(&mut self, number: u64, actions: &mut Vec<Action>) {
        self.core.journal.told(number);
        actions.push(Action::Store(Record::SecurityTold(number)));
    }

    /// A CALL of the CSMS that is none.
    pub(super) fn note_refusal(&mut self, now: Now, action: &str, refusal: &Refusal) {
        let invalid = match refusal.code {
            ErrorCode::FormatViolation
            | ErrorCode::PropertyConstraintViolation
            | ErrorCode::OccurrenceConstraintViolation
            | ErrorCode::TypeConstraintViolation
            | ErrorCode::RpcFrameworkError
            | ErrorCode::MessageTypeNotSupported
            | ErrorCode::ProtocolError => true,
            ErrorCode::NotImplemented
            | ErrorCode::NotSupported
            | ErrorCode::InternalError
            | ErrorCode::SecurityError
            | ErrorCode::GenericError => false,
        };
        if invalid {
            // The refusal's own words may repeat what was sent.
            let info =
                format!("{}: {:?}", action.escape_default().take(40).collect::<String>(), refusal.code);
            self.core.journal.note(now, SecurityEvent::InvalidMessages, &info);
        }
    }
}
