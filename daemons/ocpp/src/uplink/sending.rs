//! What is sent next.

use super::answers::set_aside;
use super::*;

impl Uplink {
    pub(super) fn send_next(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.out.is_some() {
            return;
        }
        match self.registration {
            Registration::Offline => {}
            Registration::Booting => {
                if now.at >= self.quiet_until {
                    self.boot(actions);
                }
            }
            Registration::Pending { again } | Registration::Rejected { again } => {
                if now.at >= again {
                    self.boot(actions);
                } else if matches!(self.registration, Registration::Pending { .. }) {
                    // What the CSMS asked for while it configures, and nothing else, leaves.
                    self.send_notice(now, actions);
                }
            }
            Registration::Accepted => self.send_accepted(now, actions),
        }
    }

    fn send_accepted(&mut self, now: Now, actions: &mut Vec<Action>) {
        // A vehicle waits for seconds alone, a driver for longer.
        if self.send_contract_wanted(actions) {
            return;
        }
        if let Some(asked) = self.asked.pop_front() {
            let (action, payload) = dialect::authorize(&self.core, asked.token(), asked.doubted());
            self.call(action, &payload, Out::Authorize(asked), actions);
            return;
        }
        // By turns, so that neither starves.
        let turn = self.told_last;
        let sent = turn && self.send_transaction(now, actions);
        let sent = sent || self.send_news(now, actions);
        let sent = sent || (!turn && self.send_transaction(now, actions));
        let due = self.heartbeat_due().is_some_and(|due| now.at >= due);
        if sent || due {
            self.heartbeat_at = now.at;
        }
        if due && !sent {
            self.call("Heartbeat", &serde_json::json!({}), Out::Notice(Notice::Heartbeat), actions);
        }
    }

    pub(super) fn heartbeat_due(&self) -> Option<Timestamp> {
        let interval = self.core.variables.number(name::HEARTBEAT_INTERVAL);
        (interval > 0).then(|| self.heartbeat_at + Duration::from_secs(interval))
    }

    pub(super) fn has_news(&self) -> bool {
        !self.core.notices.is_empty()
            || self.core.journal.untold().is_some()
            || self.has_file_status()
            || self.has_letters()
            || self.has_idle_values()
            || (self.core.version == Version::V201 && !self.core.events.is_empty())
            || self.core.connectors.untold(self.core.version).is_some()
    }

    fn send_news(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        if now.at < self.quiet_until {
            return false;
        }
        let sent = self.send_status(now, actions)
            || self.send_security(now, actions)
            || self.send_letter(actions)
            || self.send_file_status(now, actions)
            || self.send_notice(now, actions)
            || self.send_events(now, actions)
            || self.send_idle_values(actions);
        self.told_last = sent;
        sent
    }

    fn send_status(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        let Some(evse) = self.core.connectors.untold(self.core.version) else { return false };
        let Some(connector) = self.core.connectors.get(evse) else { return false };
        let (status, trouble) = (connector.status, connector.trouble.clone());
        let payload = dialect::status(&self.core, now, evse);
        self.call("StatusNotification", &payload, Out::Status { evse, status, trouble }, actions);
        true
    }

    fn send_notice(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        while let Some(notice) = self.core.notices.pop_front() {
            // A notice may have nothing to say any more, as of a transaction that ended.
            if let Some((action, payload)) = dialect::notice(&self.core, now, &notice) {
                if let Notice::Report(report) = &notice
                    && let Some(rest) = report.after(&payload)
                {
                    self.core.notices.push_front(Notice::Report(rest));
                }
                self.call(action, &payload, Out::Notice(notice), actions);
                return true;
            }
        }
        false
    }

    fn send_events(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        let ids: Vec<i64> = self.core.events.next().iter().map(|event| event.id).collect();
        // 1.6 has no message for them; they wait for a CSMS that speaks another version.
        let Some(payload) = dialect::events(&self.core, now).filter(|_| !ids.is_empty()) else {
            return false;
        };
        self.call("NotifyEvent", &payload, Out::Events(ids), actions);
        true
    }

    fn send_transaction(&mut self, now: Now, actions: &mut Vec<Action>) -> bool {
        // What is told, and how, is gathered from a dozen variables: not at every input.
        while self.core.delivery.has_lines() {
            let told = self.core.told();
            let (prefix, next_id) = (self.id_prefix.clone(), &mut self.next_id);
            let mut new_id = || {
                *next_id += 1;
                format!("{prefix}-{next_id}")
            };
            let clock = self.core.clock;
            let time = |event: &Event| clock.time(event.unix, event.clock_set, event.at, now);
            let out = self.core.delivery.next(now.at, &told, &time, &mut new_id);
            match out {
                Some(delivery::Out::Call { id, action, payload }) => {
                    self.store_progress(actions);
                    self.told_last = false;
                    self.out = Some((id.clone(), Out::Transaction));
                    actions.push(Action::Call { id, action, payload });
                    return true;
                }
                Some(delivery::Out::SetAside(aside)) => set_aside(aside, actions),
                None => break,
            }
        }
        if let Some(after) = self.core.delivery.wants() {
            actions.push(Action::ReadBook(after));
        }
        self.store_idle_progress(actions);
        false
    }

    /// Lines without a message are acknowledged as they are passed.
    fn store_idle_progress(&mut self, actions: &mut Vec<Action>) {
        let acknowledged = self.core.delivery.progress().acknowledged;
        if acknowledged != self.stored.acknowledged {
            self.store_progress(actions);
            actions.push(Action::Acknowledge(acknowledged));
        }
    }

    fn boot(&mut self, actions: &mut Vec<Action>) {
        self.registration = Registration::Booting;
        let payload = dialect::boot(&self.core);
        self.call("BootNotification", &payload, Out::Boot, actions);
    }

    pub(super) fn call(
        &mut self,
        action: &'static str,
        payload: &Value,
        out: Out,
        actions: &mut Vec<Action>,
    ) {
        self.next_id += 1;
        let id = format!("{}-{}", self.id_prefix, self.next_id);
        if let Err(error) = crate::messages::check_request(self.core.version, action, payload) {
            tracing::error!(action, %error, "a message of ours is not what the schema wants");
            debug_assert!(false, "{action}: {error}: {payload}");
        }
        self.out = Some((id.clone(), out));
        actions.push(Action::Call { id, action, payload: payload.to_string() });
    }
}
