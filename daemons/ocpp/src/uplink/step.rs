//! What each input leads to.

use super::plug_and_charge::no_contract;
use super::*;

impl Uplink {
    /// The only way in. What it returns must be done, in order.
    #[must_use]
    #[allow(clippy::too_many_lines, reason = "a table of what each input leads to")]
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        let asked = matches!(input, Input::Called { .. });
        self.watch_the_clock(now);
        self.core.connectors.pass(now.at, self.core.status_duration());
        match input {
            Input::Network(slot, network) => {
                self.core.networks.active = slot;
                self.core.networks.connected = Some(network);
            }
            Input::Connected => self.connected(now),
            Input::Unreachable => self.first_dial = false,
            Input::Disconnected => self.disconnected(now, &mut actions),
            Input::Answered { id, answer } => self.answered(now, &id, answer, &mut actions),
            Input::Unanswered { id } => self.unanswered(now, &id, &mut actions),
            Input::Called { id, action, payload } => self.called(now, id, &action, &payload, &mut actions),
            Input::BookGrew(newest) => self.core.delivery.book_grew(newest),
            Input::Book(events) => {
                self.read(events, &mut actions);
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
            Input::ReservationOver { id, why } => {
                actions.extend(self.core.let_go(id).map(Action::Store));
                match why.as_str() {
                    "expired" => self.tell(Notice::ReservationOver(id, true)),
                    "removed" => self.tell(Notice::ReservationOver(id, false)),
                    // Used or cancelled: the CSMS knows.
                    _ => {}
                }
            }
            Input::StationIsBack => self.core.charging.forget_told(),
            Input::Device(object, told) => self.hear_device(now, &object, *told, &mut actions),
            Input::DeviceAway(object) => self.lose_device(now, &object),
            Input::Authorize { ticket, evse, token } => {
                self.authorize(now, Asked::by_station(now, ticket, evse, token), &mut actions);
            }
            Input::Done { ticket, outcome } => self.done(now, ticket, &outcome, &mut actions),
            Input::ContractWanted(wanted) => self.contract_wanted(wanted, &mut actions),
            Input::SchedulesWanted(evse, wanted) => self.schedules_wanted(now, evse, wanted, &mut actions),
            Input::ScheduleChosen(evse, choice) => self.schedule_chosen(now, evse, &choice, &mut actions),
            Input::ContractShown(contract) => self.core.contracts.hear(contract),
            Input::ContractDoubted { ticket, evse, contract } => {
                self.contract_doubted(now, (ticket, evse), contract, &mut actions);
            }
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
        self.answer_early(now, &mut actions);
        self.wait_no_longer(now, &mut actions);
        if let Some(after) = self.core.delivery.wants() {
            actions.push(Action::ReadBook(after));
        }
        // What the CSMS asks changes no interval before a daemon has answered.
        if !asked {
            self.look_at_marks(now, &mut actions);
        }
        self.limit_power(now, &mut actions);
        self.renew(now, &mut actions);
        self.look_at_status(now, &mut actions);
        self.tell_central_validation(&mut actions);
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
        let taken = self.core.connectors.taken();
        self.core.connectors.judge(uses.unwrap_or_default(), now.set, since(now));
        let now_taken = self.core.connectors.taken();
        for evse in taken.difference(&now_taken) {
            self.core.display.leave(*evse, now.unix);
        }
        for evse in now_taken.difference(&taken) {
            self.core.display.come(*evse);
        }
        self.watching.changed = true;
        if let Some(uses) = uses {
            self.core.charging.hear_hardware(uses);
        }
        self.fit_profiles();
        self.follow_transactions(now, actions);
        self.feed_again(actions);
    }

    /// When to call [`Self::step`] with [`Input::Tick`] at the latest; `None`: not before anything
    /// else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let reset = self.reset.as_ref().and_then(Reset::deadline);
        let watched = self.watching.looked.and_then(|looked| self.watching.due(&self.core, looked));
        [
            self.messages_due(),
            self.core.connectors.settled_at().filter(|_| !self.early.is_empty()),
            self.core.charging.due(),
            self.core.files.due(),
            self.mark_due(),
            self.stapling.deadline().filter(|_| self.registration == Registration::Accepted),
            self.show_due(self.seen_at),
            self.signing.deadline(),
            self.waiting_until(),
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
                let connectors = &self.core.connectors;
                let (settled, stable) = (connectors.due(), connectors.stable_at(self.core.version));
                let times = [self.heartbeat_due(), retry, settled, stable, self.core.delivery.deadline()];
                times.into_iter().flatten().min()
            }
        }
    }

    fn connected(&mut self, now: Now) {
        self.first_dial = false;
        self.out = None;
        self.quiet_until = now.at;
        let away = self.offline_since.take().map_or(Duration::ZERO, |since| now.at.since(since));
        if self.booted {
            // B04: of a long outage not only what changed.
            let threshold = Duration::from_secs(self.core.variables.number(name::OFFLINE_THRESHOLD));
            if self.core.version == Version::V201 && away > threshold {
                self.core.connectors.forget_told();
            }
            self.registration = Registration::Accepted;
            self.core.delivery.online();
            self.heartbeat_at = now.at;
        } else {
            self.registration = Registration::Booting;
        }
    }

    fn disconnected(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.registration = Registration::Offline;
        self.offline_since.get_or_insert(now.at);
        self.core.delivery.offline();
        self.pending.clear();
        self.early.clear();
        for (_, waiting) in self.certifying.values_mut() {
            waiting.csms_is_gone();
        }
        if let Some((_, Out::Letter(ticket))) = &self.out {
            self.letter_answered(*ticket, None, actions);
        }
        self.return_letters(actions);
        self.no_offers(actions);
        match self.out.take() {
            Some((_, Out::Authorize(asked))) => self.asked.push_front(asked),
            Some((_, Out::Contract(ticket))) => no_contract(ticket, actions),
            Some((_, Out::Notice(Notice::CertificateStatus(_)))) => {
                self.stapling = stapling::Stapling::at_once();
            }
            Some(_) | None => {}
        }
        for wanted in std::mem::take(&mut self.wanted) {
            no_contract(wanted.ticket, actions);
        }
        self.core.plug_and_charge_unknown = false;
        self.core.files.firmware.proposed = None;
    }

    fn read(&mut self, events: Vec<Event>, actions: &mut Vec<Action>) {
        for event in &events {
            self.core.hear(event);
            self.starve_who_was_refused(event, actions);
            if event.kind == Kind::Unplugged {
                self.stop_planning(event.evse);
            }
        }
        self.core.delivery.read(events);
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

    pub(super) fn store_progress(&mut self, actions: &mut Vec<Action>) {
        let progress = self.core.delivery.progress();
        if *progress != self.stored {
            self.stored = progress.clone();
            actions.push(Action::Store(Record::Progress(self.stored.clone())));
        }
    }
}

fn since(now: Now) -> Since {
    Since { unix: now.unix, set: now.set, at: now.at }
}
