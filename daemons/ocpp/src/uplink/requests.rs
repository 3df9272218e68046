//! What the CSMS asks of the station, and what becomes of it.

use super::*;
use crate::messages::could_not_be_made;

impl Uplink {
    pub(super) fn called(
        &mut self,
        now: Now,
        id: String,
        action: &str,
        payload: &str,
        actions: &mut Vec<Action>,
    ) {
        let listens = match self.registration {
            Registration::Offline => return,
            Registration::Booting if !self.answered => dialect::listens_before_boot(self.core.version),
            Registration::Rejected { .. } => false,
            Registration::Pending { .. } | Registration::Booting | Registration::Accepted => true,
        };
        if !listens {
            let why = "not before the station is accepted";
            actions.push(Action::Reply { id, answer: Err(Refusal::new(ErrorCode::SecurityError, why)) });
            return;
        }
        if !self.booted && dialect::is_remote_start_or_stop(action) {
            self.reply(id, action, &serde_json::json!({ "status": "Rejected" }), actions);
            return;
        }
        if self.awaits_station(now, action) && self.early.len() < PENDING_MAX {
            self.early.push_back((id, action.to_owned(), payload.to_owned()));
            return;
        }
        self.core.accepted = self.registration == Registration::Accepted;
        let handled = dialect::handle(&mut self.core, now, action, payload);
        if handled.changes_security() {
            let info = format!("{action} of the CSMS");
            self.core.journal.note(now, SecurityEvent::ReconfigurationOfSecurityParameters, &info);
            self.keep_journal(actions);
        }
        self.watching.changed |= !handled.store.is_empty();
        for record in handled.store {
            actions.push(Action::Store(record));
        }
        match handled.answer {
            dialect::Answer::Now(payload) => self.reply(id, action, &payload, actions),
            dialect::Answer::Written(text) => actions.push(Action::Reply { id, answer: Ok(text) }),
            dialect::Answer::Refused(refusal) => {
                self.note_refusal(now, action, &refusal);
                actions.push(Action::Reply { id, answer: Err(refusal) });
            }
            dialect::Answer::Asks(command, reply) if self.pending.len() < PENDING_MAX => {
                self.command(command, Some(PendingReply { id, reply, writes: None }), actions);
            }
            dialect::Answer::Writes(writes, reply) if self.pending.len() < PENDING_MAX => {
                let command = writes.command();
                self.command(command, Some(PendingReply { id, reply, writes: Some(writes) }), actions);
            }
            dialect::Answer::Asks(..) | dialect::Answer::Writes(..) => {
                let answer = Err(Refusal::new(ErrorCode::InternalError, "too many requests wait"));
                actions.push(Action::Reply { id, answer });
            }
            dialect::Answer::Certificates(request) => {
                let waiting = Waiting::Csms { id, action: action.to_owned(), within: None };
                self.certificates(request, waiting, actions);
            }
            dialect::Answer::Within(request, message) => {
                let waiting = Waiting::Csms { id, action: action.to_owned(), within: Some(message) };
                self.certificates(request, waiting, actions);
            }
            dialect::Answer::Authorizes { token, command, reply } => {
                // The CSMS has its answer; the driver waits for the CSMS's.
                self.reply(id, action, &reply, actions);
                self.authorize(now, Asked::before(now, command, token), actions);
            }
        }
        for then in handled.then {
            self.after_answer(now, then, actions);
        }
    }

    fn after_answer(&mut self, now: Now, then: dialect::Then, actions: &mut Vec<Action>) {
        match then {
            dialect::Then::Boot => self.boot_again(now),
            dialect::Then::Tell(Notice::MeterValues(evse)) => self.tell_meter_values(evse, actions),
            dialect::Then::Tell(notice) => self.tell(notice),
            dialect::Then::Networks => {
                actions.push(Action::Networks("the CSMS has changed how it is reached"));
            }
            dialect::Then::Sign(own) => self.ask_for_certificate(own, actions),
            dialect::Then::Times => actions.push(Action::Times),
            dialect::Then::Plan(evse) => self.plan(now, evse, actions),
            dialect::Then::Inquire(inquiry) => self.inquire(inquiry, actions),
            dialect::Then::Reset(kind) => self.reset(now, kind, actions),
        }
    }

    /// Whether an answer would be wrong for want of what the station tells in the first seconds of this
    /// daemon or its own: which EVSEs there are, and for some requests, how they are.
    fn awaits_station(&self, now: Now, action: &str) -> bool {
        let connectors = &self.core.connectors;
        let unknown = connectors.evses().next().is_none();
        connectors.settled_at().is_some_and(|at| now.at < at)
            && match dialect::needs_of_station(action) {
                dialect::Needs::Nothing => false,
                dialect::Needs::Evses => unknown || !self.early.is_empty(),
                dialect::Needs::ReadyEvses => unknown || connectors.due().is_some(),
            }
    }

    /// What the CSMS asked before it could be answered, in order.
    pub(super) fn answer_early(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut early = std::mem::take(&mut self.early);
        while let Some((id, action, payload)) = early.pop_front() {
            self.called(now, id, &action, &payload, actions);
            if !self.early.is_empty() {
                break;
            }
        }
        self.early.append(&mut early);
    }

    fn boot_again(&mut self, now: Now) {
        if matches!(self.registration, Registration::Pending { .. } | Registration::Accepted) {
            self.registration = Registration::Booting;
            self.core.boot_reason = "Triggered".to_owned();
            self.quiet_until = now.at;
        }
    }

    pub(super) fn reply(&self, id: String, action: &str, payload: &Value, actions: &mut Vec<Action>) {
        let answer = crate::messages::check_response(self.core.version, action, payload)
            .map_err(|error| could_not_be_made(action, &error))
            .and_then(|()| serde_json::to_string(payload).map_err(|error| could_not_be_made(action, &error)));
        actions.push(Action::Reply { id, answer });
    }

    pub(super) fn command(
        &mut self,
        command: Command,
        reply: Option<PendingReply>,
        actions: &mut Vec<Action>,
    ) -> u64 {
        self.next_ticket += 1;
        if let Some(reply) = reply {
            self.pending.insert(self.next_ticket, reply);
        }
        actions.push(Action::Command { ticket: self.next_ticket, command });
        self.next_ticket
    }

    pub(super) fn order(&mut self, command: Command, actions: &mut Vec<Action>) -> u64 {
        self.command(command, None, actions)
    }

    pub(super) fn done(&mut self, now: Now, ticket: u64, outcome: &Outcome, actions: &mut Vec<Action>) {
        let taken = self.limit_told(now, ticket, outcome)
            || self.meter_read(ticket, outcome)
            || self.customer_looked_for(now, ticket, outcome);
        if taken {
            return;
        }
        let Some(pending) = self.pending.remove(&ticket) else { return };
        let action = pending.reply.action();
        if let Some(writes) = pending.writes {
            let silent = vec![Written::Silent; writes.open.len()];
            let outcomes = if let Outcome::Wrote(outcomes) = outcome { outcomes } else { &silent };
            let mut records = Vec::new();
            self.core.wrote(&writes, outcomes, &mut records);
            self.watching.changed = true;
            actions.extend(records.into_iter().map(Action::Store));
            let payload = dialect::wrote(self.core.version, writes, outcomes);
            self.reply(pending.id, action, &payload, actions);
            return;
        }
        let payload = dialect::reply(&mut self.core, now, &pending.reply, outcome);
        self.store_files(actions);
        self.reply(pending.id, action, &payload, actions);
    }
}
