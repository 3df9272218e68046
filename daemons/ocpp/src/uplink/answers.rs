//! What the CSMS answers to our CALLs, and that it does not.

use super::authorize::may_be_kept;
use super::plug_and_charge::no_contract;
use super::*;

impl Uplink {
    pub(super) fn answered(
        &mut self,
        now: Now,
        id: &str,
        answer: Result<String, (String, String)>,
        actions: &mut Vec<Action>,
    ) {
        let Some((_, out)) = self.out.take_if(|(out, _)| out == id) else {
            debug!(id, "an answer to nothing that is out");
            return;
        };
        let (payload, error) = match answer {
            Ok(payload) => (Some(payload), None),
            Err((code, text)) => (None, Some(format!("{code}: {text}"))),
        };
        if let Some(error) = &error {
            warn!(error, about = out.name(), "the CSMS answered with an error");
        }
        match out {
            Out::Boot => self.boot_answered(now, payload.as_deref(), actions),
            Out::Status { evse, status, trouble } => match payload {
                Some(_) => self.core.connectors.told(evse, status, trouble),
                None => self.quiet_until = now.at + RETRY,
            },
            Out::Notice(Notice::Heartbeat) => {
                let time = payload.and_then(|payload| dialect::current_time(&payload));
                if let Some(time) = time {
                    self.core.clock.heard(now, time);
                }
            }
            Out::Notice(Notice::SignCertificate(own, _)) => self.sign_answered(now, own, payload.as_deref()),
            Out::Notice(Notice::ChargingNeeds(evse, _)) => {
                self.needs_answered(now, evse, payload.as_deref(), actions);
            }
            Out::Notice(Notice::CertificateStatus(_)) => {
                self.status_answered(now, payload.as_deref(), actions);
            }
            Out::Notice(_) => {}
            Out::Security(number) => self.security_answered(now, number, error.as_deref(), actions),
            // One that the CSMS answers with an error is over too: the next may be better.
            Out::Letter(ticket) => self.letter_answered(ticket, payload.as_deref(), actions),
            Out::LogStatus => self.core.files.log.told(),
            Out::FirmwareStatus => self.core.files.firmware.told(now.at),
            Out::Events(ids) => {
                if error.is_some() {
                    self.quiet_until = now.at + RETRY;
                }
                self.events_answered(ids, error.is_some(), actions);
            }
            Out::IdleValues { evse, count } => self.idle_values_told(evse, count),
            Out::Contract(ticket) => self.contract_answered(ticket, payload.as_deref(), actions),
            Out::Authorize(asked) => self.authorize_answered(now, &asked, payload.as_deref(), actions),
            Out::Transaction => self.transaction_answered(now, payload.as_deref(), actions),
        }
    }

    pub(super) fn unanswered(&mut self, now: Now, id: &str, actions: &mut Vec<Action>) {
        let Some((_, out)) = self.out.take_if(|(out, _)| out == id) else { return };
        warn!(about = out.name(), "the CSMS does not answer; connecting anew");
        match out {
            Out::Transaction => {
                let (attempts, interval) = self.tries();
                if let Some(aside) = self.core.delivery.unanswered(now.at, attempts, interval) {
                    set_aside(aside, actions);
                    self.store_progress(actions);
                }
            }
            Out::Contract(ticket) => no_contract(ticket, actions),
            Out::Notice(Notice::ChargingNeeds(evse, _)) => self.needs_answered(now, evse, None, actions),
            Out::Notice(Notice::CertificateStatus(_)) => self.status_answered(now, None, actions),
            Out::Authorize(asked) => self.decide_offline(now, &asked, actions),
            Out::Letter(ticket) => self.letter_answered(ticket, None, actions),
            Out::Security(number) => self.security_failed(now, number, actions),
            Out::Boot
            | Out::Status { .. }
            | Out::Notice(_)
            | Out::LogStatus
            | Out::FirmwareStatus
            | Out::IdleValues { .. }
            | Out::Events(_) => {
                self.quiet_until = now.at + RETRY;
            }
        }
        actions.push(Action::Reconnect("a message was not answered in time"));
    }

    /// How often a transaction message is tried, and the pause between tries, which grows.
    fn tries(&self) -> (u64, Duration) {
        let interval = self.core.variables.number(name::ATTEMPT_INTERVAL);
        (self.core.variables.number(name::ATTEMPTS), Duration::from_secs(interval))
    }

    fn boot_answered(&mut self, now: Now, payload: Option<&str>, actions: &mut Vec<Action>) {
        let again = now.at + BOOT_RETRY;
        let Some(answer) = payload.and_then(|payload| dialect::boot_answer(self.core.version, payload))
        else {
            self.registration = Registration::Booting;
            self.quiet_until = again;
            return;
        };
        self.answered = true;
        self.core.clock.heard(now, answer.time);
        let interval = Duration::from_secs(answer.interval_s);
        let again = if interval.is_zero() { again } else { now.at + interval };
        match answer.status {
            dialect::BootStatus::Accepted => {
                info!(interval_s = answer.interval_s, "the CSMS has accepted the station");
                self.registration = Registration::Accepted;
                self.booted = true;
                if let Some(definition) = crate::model::find(name::HEARTBEAT_INTERVAL)
                    && answer.interval_s > 0
                {
                    self.core.variables.set(definition, answer.interval_s.to_string());
                }
                self.heartbeat_at = now.at;
                self.core.connectors.forget_told();
                self.core.delivery.online();
                actions.push(Action::Store(Record::BootReason("PowerUp")));
            }
            dialect::BootStatus::Pending => {
                info!("the CSMS wants to configure the station first");
                self.registration = Registration::Pending { again };
            }
            dialect::BootStatus::Rejected => {
                warn!(again_s = again.since(now.at).as_secs(), "the CSMS rejects the station");
                self.registration = Registration::Rejected { again };
            }
        }
    }

    fn transaction_answered(&mut self, now: Now, payload: Option<&str>, actions: &mut Vec<Action>) {
        let version = self.core.version;
        let answer = payload.and_then(|payload| dialect::transaction_answer(version, payload));
        let needs_number = matches!(self.core.delivery.out(), Some(About::Start { .. }));
        let usable = answer.as_ref().is_some_and(|answer| !needs_number || answer.csms.is_some());
        if !usable {
            let (attempts, interval) = self.tries();
            if let Some(aside) = self.core.delivery.refused(now.at, attempts, interval) {
                set_aside(aside, actions);
                self.store_progress(actions);
            }
            return;
        }
        let Some(answer) = answer else { return };
        let over = self.core.delivery.is_end();
        let Some(about) = self.core.delivery.acknowledged(answer.csms) else { return };
        self.store_progress(actions);
        let acknowledged = self.core.delivery.progress().acknowledged;
        actions.push(Action::Acknowledge(acknowledged));
        if let About::Event { evse, unix, .. } = &about
            && !self.core.display.is_of_who_left(*evse, *unix)
        {
            if let Some(cost) = answer.cost {
                self.core.display.cost(*evse, cost);
            }
            if let Some(text) = answer.text {
                self.core.display.say(*evse, text);
            }
            if over {
                self.cost_unknown(*evse);
            }
        }
        let Some(mut info) = answer.info else { return };
        let (place, token) = match about {
            About::Start { transaction, token } => (Some((0, transaction)), token),
            About::Event { evse, transaction, token, .. } => (Some((evse, transaction)), token),
            About::Stop { token } => (None, token),
            About::Values | About::Undeliverable => (None, None),
        };
        let Some(token) = token else { return };
        // Many name a group in the answer to an Authorize alone: without it a master pass would begin a charge.
        if let Some(known) = self.core.tokens.cached(&token).filter(|_| info.group.is_empty()) {
            info.group.clone_from(&known.info.group);
        }
        self.remember(now, &token, info.clone(), actions);
        match place {
            None => {}
            Some((evse, 0)) => self.token_of_a_session_judged(evse, &info, actions),
            Some((_, transaction)) => self.token_of_a_transaction_judged(transaction, &info, actions),
        }
    }

    pub(super) fn remember(&mut self, now: Now, token: &Token, info: TokenInfo, actions: &mut Vec<Action>) {
        if self.core.variables.is(name::CACHE_ENABLED) && may_be_kept(self.core.version, token) {
            let heard = self.core.clock.now(now);
            let (id, cached, gone) = self.core.tokens.remember(token, info, heard);
            actions.push(Action::Store(Record::Cached(id, cached, gone)));
        }
    }
}

pub(super) fn set_aside(aside: SetAside, actions: &mut Vec<Action>) {
    tracing::error!(line = aside.line, action = aside.action, "the CSMS does not take a message: set aside");
    actions.push(Action::Store(Record::SetAside(aside)));
}

impl Out {
    const fn name(&self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Status { .. } => "status",
            Self::Notice(_) => "notice",
            Self::Letter(_) => "data transfer",
            Self::LogStatus => "log status",
            Self::FirmwareStatus => "firmware status",
            Self::Authorize(_) => "authorization",
            Self::Security(_) => "security event",
            Self::Contract(_) => "contract certificate",
            Self::Transaction => "transaction",
            Self::Events(_) => "events",
            Self::IdleValues { .. } => "meter values",
        }
    }
}
