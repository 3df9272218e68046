//! What each input leads to.

use super::plug_and_charge::no_contract;
use super::*;
use crate::dialect::ResetKind;

impl Reset {
    /// Whether it happens at some time, whatever is charged and waits.
    fn waits(&self) -> bool {
        self.kind != ResetKind::OnIdle
    }
}

impl Uplink {
    /// The only way in. What it returns must be done, in order.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "a table of what each input leads to")]
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.watch_the_clock(now);
        match input {
            Input::Network(slot, network) => {
                self.core.networks.active = slot;
                self.core.networks.connected = Some(network);
            }
            Input::Connected => self.connected(now),
            Input::Disconnected => self.disconnected(&mut actions),
            Input::Answered { id, answer } => self.answered(now, &id, answer, &mut actions),
            Input::Unanswered { id } => self.unanswered(now, &id, &mut actions),
            Input::Called { id, action, payload } => self.called(now, id, &action, &payload, &mut actions),
            Input::BookGrew(newest) => self.core.delivery.book_grew(newest),
            Input::Book(events) => {
                self.read(events);
                self.follow_transactions(now, &mut actions);
                self.feed_again(&mut actions);
            }
            Input::Evses(statuses) => {
                self.core.connectors.hear(statuses);
                self.see(now, None, &mut actions);
            }
            Input::Limits(limits) => self.others_limit(now, limits),
            Input::Starved(starved) => {
                self.starved.extend(starved);
                self.feed_again(&mut actions);
            }
            Input::StationPower(power) => {
                self.core.station_power = power;
                self.fit_profiles();
            }
            Input::Connectors(uses) => self.see(now, Some(&uses), &mut actions),
            Input::Seen(statuses, uses) => {
                self.core.connectors.hear(statuses);
                self.see(now, Some(&uses), &mut actions);
            }
            Input::ReservationOver { id, why } => match why.as_str() {
                "expired" => self.tell(Notice::ReservationOver(id, true)),
                "removed" => self.tell(Notice::ReservationOver(id, false)),
                // Used or cancelled: the CSMS knows.
                _ => {}
            },
            Input::StationIsBack => self.core.charging.forget_told(),
            Input::Device(object, told) => self.hear_device(now, &object, *told, &mut actions),
            Input::DeviceAway(object) => self.lose_device(now, &object),
            Input::Authorize { ticket, token } => {
                self.authorize(now, Asked::by_station(ticket, token), &mut actions);
            }
            Input::Done { ticket, outcome } => self.done(now, ticket, &outcome, &mut actions),
            Input::ContractWanted(wanted) => self.contract_wanted(wanted, &mut actions),
            Input::ContractShown(contract) => self.core.contracts.hear(contract),
            Input::Certified { ticket, outcome, summary } => {
                self.certified(now, ticket, &outcome, summary, &mut actions);
            }
            Input::Security(event, info) => self.core.journal.note(now, event, &info),
            Input::Letter { ticket, vendor, message, data } => {
                self.take_letter(ticket, (vendor, message, data), &mut actions);
            }
            Input::Files(news) => self.hear_of_files(now, &news, &mut actions),
            Input::Tick => {}
        }
        if let Some(after) = self.core.delivery.wants() {
            actions.push(Action::ReadBook(after));
        }
        self.limit_power(now, &mut actions);
        self.renew(now, &mut actions);
        self.keep_journal(&mut actions);
        self.carry_files(now, &mut actions);
        self.show(now, &mut actions);
        self.seen_at = Some((now.at, self.core.clock.now(now)));
        self.watch(now, &mut actions);
        self.send_next(now, &mut actions);
        self.reset_if_due(now, &mut actions);
        actions
    }

    /// The station tells of its EVSEs and connectors.
    fn see(&mut self, now: Now, uses: Option<&[voltry_bus::Connector]>, actions: &mut Vec<Action>) {
        self.core.connectors.judge(uses.unwrap_or_default(), now.set, since(now));
        self.watching.changed = true;
        if let Some(uses) = uses {
            self.core.charging.hear_hardware(uses);
        }
        self.fit_profiles();
        self.follow_transactions(now, actions);
        self.feed_again(actions);
    }

    /// The CSMS wants the station to start anew (B11, B12).
    fn reset(&mut self, now: Now, kind: ResetKind, actions: &mut Vec<Action>) {
        info!(?kind, "the CSMS resets the station");
        self.reset = Some(Reset { kind, until: now.at + RESET_PATIENCE });
        let why = match kind {
            ResetKind::Hard => StopReason::Reset,
            ResetKind::Soft => StopReason::SoftReset,
            ResetKind::OnIdle => return,
        };
        let running: Vec<_> = self.core.connectors.running().collect();
        for (evse, transaction) in running {
            self.command(Command::Stop { evse, transaction, session: 0, why }, None, actions);
        }
    }

    /// When the transactions have ended and are told, or, of an immediate reset, had time to.
    fn reset_if_due(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(reset) = self.reset else { return };
        // The station may tell of the end of a transaction before its book does.
        let charging = self.core.connectors.is_charging() || self.core.has_open_transaction();
        let told = !charging && self.core.delivery.waiting() == 0;
        // What is out is answered first, a reply on its way gets there.
        let due = (told && self.out.is_none()) || (reset.waits() && now.at >= reset.until);
        if due {
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

    /// When to call [`Self::step`] with [`Input::Tick`] at the latest; `None`: not before anything
    /// else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let reset = self.reset.filter(Reset::waits).map(|reset| reset.until);
        let watched = self.watching.looked.and_then(|looked| self.watching.due(&self.core, looked));
        [
            self.messages_due(),
            self.core.charging.due(),
            self.core.files.due(),
            self.show_due(self.seen_at),
            self.signing.deadline(),
            reset,
            watched,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn messages_due(&self) -> Option<Timestamp> {
        if self.out.is_some() {
            return None;
        }
        match self.registration {
            Registration::Offline => None,
            Registration::Booting => Some(self.quiet_until),
            Registration::Pending { again } | Registration::Rejected { again } => Some(again),
            Registration::Accepted => {
                let retry = self.has_news().then_some(self.quiet_until);
                let times = [self.heartbeat_due(), retry, self.core.delivery.deadline()];
                times.into_iter().flatten().min()
            }
        }
    }

    fn connected(&mut self, now: Now) {
        self.out = None;
        self.quiet_until = now.at;
        if self.booted {
            self.registration = Registration::Accepted;
            self.core.delivery.online();
            self.heartbeat_at = now.at;
        } else {
            self.registration = Registration::Booting;
        }
    }

    fn disconnected(&mut self, actions: &mut Vec<Action>) {
        self.registration = Registration::Offline;
        self.core.delivery.offline();
        self.pending.clear();
        for (_, waiting) in self.certifying.values_mut() {
            waiting.csms_is_gone();
        }
        if let Some((_, Out::Letter(ticket))) = &self.out {
            self.letter_answered(*ticket, None, actions);
        }
        self.return_letters(actions);
        match self.out.take() {
            Some((_, Out::Authorize(asked))) => self.asked.push_front(asked),
            Some((_, Out::Contract(ticket))) => no_contract(ticket, actions),
            Some(_) | None => {}
        }
        for wanted in std::mem::take(&mut self.wanted) {
            no_contract(wanted.ticket, actions);
        }
        self.core.plug_and_charge_unknown = false;
        self.core.files.firmware.proposed = None;
        for asked in std::mem::take(&mut self.asked) {
            self.decide_offline(&asked, actions);
        }
    }

    fn read(&mut self, events: Vec<Event>) {
        for event in &events {
            self.core.hear(event);
        }
        self.core.delivery.read(events);
    }

    fn answered(
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
            Out::Contract(ticket) => self.contract_answered(ticket, payload.as_deref(), actions),
            Out::Authorize(asked) => self.authorize_answered(now, &asked, payload.as_deref(), actions),
            Out::Transaction => self.transaction_answered(now, payload.as_deref(), actions),
        }
    }

    fn unanswered(&mut self, now: Now, id: &str, actions: &mut Vec<Action>) {
        let Some((_, out)) = self.out.take_if(|(out, _)| out == id) else { return };
        warn!(about = out.name(), "the CSMS does not answer; connecting anew");
        match out {
            Out::Transaction => {
                let attempts = self.core.variables.number(name::ATTEMPTS);
                if let Some(aside) = self.core.delivery.unanswered(attempts) {
                    set_aside(aside, actions);
                    self.store_progress(actions);
                }
            }
            Out::Contract(ticket) => no_contract(ticket, actions),
            Out::Authorize(asked) => self.decide_offline(&asked, actions),
            Out::Letter(ticket) => self.letter_answered(ticket, None, actions),
            Out::Security(number) => self.security_failed(now, number, actions),
            Out::Boot
            | Out::Status { .. }
            | Out::Notice(_)
            | Out::LogStatus
            | Out::FirmwareStatus
            | Out::Events(_) => {
                self.quiet_until = now.at + RETRY;
            }
        }
        actions.push(Action::Reconnect("a message was not answered in time"));
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
            let attempts = self.core.variables.number(name::ATTEMPTS);
            let interval = Duration::from_secs(self.core.variables.number(name::ATTEMPT_INTERVAL));
            if let Some(aside) = self.core.delivery.refused(now.at, attempts, interval) {
                set_aside(aside, actions);
                self.store_progress(actions);
            }
            return;
        }
        let Some(answer) = answer else { return };
        let Some(about) = self.core.delivery.acknowledged(answer.csms) else { return };
        self.store_progress(actions);
        let acknowledged = self.core.delivery.progress().acknowledged;
        actions.push(Action::Acknowledge(acknowledged));
        if let About::Event { evse, .. } = &about {
            if let Some(cost) = answer.cost {
                self.core.display.cost(*evse, cost);
            }
            if let Some(text) = answer.text {
                self.core.display.say(*evse, text);
            }
        }
        let Some(info) = answer.info else { return };
        let (transaction, token) = match about {
            About::Start { transaction, token } | About::Event { transaction, token, .. } => {
                (transaction, token)
            }
            About::Stop { token } => (0, token),
            About::Values | About::Undeliverable => (0, None),
        };
        let Some(token) = token else { return };
        self.remember(now, &token, info.clone(), actions);
        if transaction != 0 {
            self.token_of_a_transaction_judged(transaction, &info, actions);
        }
    }

    pub(super) fn remember(&mut self, now: Now, token: &Token, info: TokenInfo, actions: &mut Vec<Action>) {
        if self.core.variables.is(name::CACHE_ENABLED) {
            let heard = self.core.clock.now(now);
            let (id, cached, gone) = self.core.tokens.remember(token, info, heard);
            actions.push(Action::Store(Record::Cached(id, cached, gone)));
        }
    }

    fn called(&mut self, now: Now, id: String, action: &str, payload: &str, actions: &mut Vec<Action>) {
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
            self.reply(id, action, serde_json::json!({ "status": "Rejected" }), actions);
            return;
        }
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
            dialect::Answer::Now(payload) => self.reply(id, action, payload, actions),
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
                self.reply(id, action, reply, actions);
                self.authorize(now, Asked::before(command, token), actions);
            }
        }
        for then in handled.then {
            match then {
                dialect::Then::Boot => self.boot_again(now),
                dialect::Then::Tell(notice) => self.tell(notice),
                dialect::Then::Networks => {
                    actions.push(Action::Networks("the CSMS has changed how it is reached"));
                }
                dialect::Then::Sign(own) => self.ask_for_certificate(own, actions),
                dialect::Then::Times => actions.push(Action::Times),
                dialect::Then::Reset(kind) => self.reset(now, kind, actions),
            }
        }
    }

    fn boot_again(&mut self, now: Now) {
        if matches!(self.registration, Registration::Pending { .. } | Registration::Accepted) {
            self.registration = Registration::Booting;
            self.core.boot_reason = "Triggered".to_owned();
            self.quiet_until = now.at;
        }
    }

    /// Queues something to tell; beyond the bound the oldest goes.
    pub(super) fn tell(&mut self, notice: Notice) {
        if self.core.notices.contains(&notice) {
            return;
        }
        if self.core.notices.len() >= NOTICES_MAX {
            let gone = self.core.notices.pop_front();
            debug!(?gone, "too much to tell: the oldest is left out");
        }
        self.core.notices.push_back(notice);
    }

    pub(super) fn reply(&self, id: String, action: &str, payload: Value, actions: &mut Vec<Action>) {
        let answer = match crate::messages::check_response(self.core.version, action, &payload) {
            Ok(()) => Ok(payload),
            Err(error) => {
                tracing::error!(action, %error, "an answer of ours is not what the schema wants");
                debug_assert!(false, "{action}: {error}: {payload}");
                Err(Refusal::new(ErrorCode::InternalError, "the answer could not be made"))
            }
        };
        actions.push(Action::Reply { id, answer });
    }

    fn command(&mut self, command: Command, reply: Option<PendingReply>, actions: &mut Vec<Action>) -> u64 {
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

    fn done(&mut self, now: Now, ticket: u64, outcome: &Outcome, actions: &mut Vec<Action>) {
        if self.limit_told(now, ticket, outcome) {
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
            self.reply(pending.id, action, payload, actions);
            return;
        }
        let payload = dialect::reply(&mut self.core, now, &pending.reply, outcome);
        self.store_files(actions);
        self.reply(pending.id, action, payload, actions);
    }

    pub(super) fn store_progress(&mut self, actions: &mut Vec<Action>) {
        let progress = self.core.delivery.progress();
        if *progress != self.stored {
            self.stored = progress.clone();
            actions.push(Action::Store(Record::Progress(self.stored.clone())));
        }
    }
}

pub(super) fn set_aside(aside: SetAside, actions: &mut Vec<Action>) {
    tracing::error!(line = aside.line, action = aside.action, "the CSMS does not take a message: set aside");
    actions.push(Action::Store(Record::SetAside(aside)));
}

fn since(now: Now) -> Since {
    Since { unix: now.unix, set: now.set, at: now.at }
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
        }
    }
}
