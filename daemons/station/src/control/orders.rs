//! What the back end and people order: limits, reservations, availability, the end of a session.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{info, warn};
use voltry_bus::{Connector, Error, EventKind, MeterValues, PowerLimit, ReserveOutcome};
use voltry_service::clock::now;
use voltry_units::{Timestamp, Watts};

use super::{Control, News, SetLimit};
use crate::authorization::{Payer, mask};
use crate::book::{BookError, Flow};
use crate::clock::unix_now;
use crate::evse::Evse;
use crate::evse_watch::asked;
use crate::limits::{Limit, NotTaken};
use crate::reservations::{Held, Place};
use crate::session::{Action, Ending, Input};

/// Who tests an EVSE and says nothing for so long has gone.
const TEST_LAPSES: Duration = Duration::from_secs(300);

impl From<NotTaken> for Error {
    fn from(reason: NotTaken) -> Self {
        match reason {
            NotTaken::Origin => Self::Invalid(reason.to_string()),
            NotTaken::Negative => Self::OutOfRange(reason.to_string()),
            NotTaken::TooMany => Self::Busy(reason.to_string()),
        }
    }
}

type Answer<T> = oneshot::Sender<Result<T, Error>>;

impl Control {
    /// Ends whatever runs on an EVSE; `answer` is told when the EVSE has accepted it.
    pub(super) fn stop(&mut self, number: u32, why: Ending, answer: Option<Answer<()>>) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        let proxy = evse.proxies.evse.clone();
        let mut answer = answer;
        for action in evse.control.step(now(), Input::Stop(why)) {
            match (action, answer.is_some()) {
                (Action::Stop { words }, true) => {
                    let (answer, proxy) = (answer.take(), proxy.clone());
                    tokio::spawn(async move {
                        let stopped = asked(number, proxy.stop(&words)).await;
                        // The asker may have gone.
                        let _ = answer.map(|answer| answer.send(stopped));
                    });
                }
                (action, _) => self.perform(number, action),
            }
        }
    }

    pub(super) fn stop_transaction(&mut self, id: u64, why: Ending, answer: Answer<()>) {
        let running = self.evses.values().find(|evse| evse.control.transaction() == Some(id));
        if let Some(number) = running.map(|evse| evse.number) {
            return self.stop(number, why, Some(answer));
        }
        let _ = answer.send(Err(Error::UnknownTransaction(format!("no transaction {id} is open"))));
    }

    /// Ends a session: by its plug, or with 0 the one that waits for a plug.
    pub(super) fn stop_session(&mut self, number: u32, plug: u64, why: Ending, answer: Answer<()>) {
        let present = self.evses.get(&number).is_some_and(|evse| evse.control.session() == Some(plug));
        if plug != 0 && present {
            return self.stop(number, why, Some(answer));
        }
        let stopped = plug == 0 && self.stop_expecting(number, why);
        let over = || Err(Error::Stale("the session is over".to_owned()));
        let _ = answer.send(if stopped { Ok(()) } else { over() });
    }

    pub(super) fn set_limit(&mut self, order: SetLimit, answer: Answer<()>) {
        let (SetLimit::To(Limit { evse, origin, .. }) | SetLimit::Clear { evse, origin }) = &order;
        if *evse == 0 {
            self.energy.hear_origin(now(), origin);
        }
        let changed = match order {
            SetLimit::To(limit) => {
                if let Some(count) = self.due() {
                    info!(
                        evse = limit.evse,
                        origin = limit.origin,
                        power_w = limit.power.as_si(),
                        lasting = limit.until.is_none(),
                        count,
                        "limit set"
                    );
                }
                self.limits.set(limit).map_err(Error::from)
            }
            SetLimit::Clear { evse, origin } => {
                self.limits.clear(evse, &origin);
                Ok(())
            }
        };
        self.share();
        if changed.is_err() {
            let _ = answer.send(changed);
            return;
        }
        answer_when(self.book.save_limits(self.limits.all().to_vec()), answer, ());
    }

    pub(super) fn reserve(&mut self, new: Held, answer: Answer<ReserveOutcome>) {
        let places: Vec<(u32, Place)> = self
            .evses
            .values()
            .map(|evse| {
                let expected = self.authorizer.expected_at(evse.number).is_some();
                let place = if expected && evse.place() == Place::Free { Place::Taken } else { evse.place() };
                (evse.number, place)
            })
            .collect();
        let (id, evse) = (new.id.clone(), new.evse);
        let outcome = self.reservations.reserve(new, &places, unix_now());
        if let Some(count) = self.due() {
            info!(id, evse, %outcome, count, "reservation");
        }
        answer_when(self.book.save_reservations(self.reservations.all().to_vec()), answer, outcome);
    }

    pub(super) fn cancel_reservation(&mut self, id: &str) -> bool {
        let known = self.reservations.all().iter().any(|held| held.id == id);
        if known {
            self.end_reservation(id, "cancelled");
        }
        known
    }

    /// Ends a reservation, and tells.
    pub(super) fn end_reservation(&mut self, id: &str, why: &'static str) {
        let ended = self.reservations.cancel(id);
        self.tell_ended(ended, why);
    }

    /// Those that are over by the clock, or because their EVSE is out of order.
    pub(super) fn expire_orders(&mut self) {
        let expired = self.reservations.expire(unix_now());
        self.tell_ended(expired, "expired");
        let out_of_order: Vec<u32> = self
            .evses
            .values()
            .filter(|evse| {
                evse.state().is_some() && matches!(evse.place(), Place::Faulted | Place::Unavailable)
            })
            .filter(|evse| evse.state() != Some(voltry_bus::EvseState::Starting))
            .map(|evse| evse.number)
            .collect();
        for evse in out_of_order {
            let removed = self.reservations.remove(evse);
            self.tell_ended(removed, "removed");
        }
        let stamp = self.clock.stamp();
        if self.limits.expire(stamp.at, stamp.clock_set.then_some(stamp.unix)) {
            if let Some(count) = self.due() {
                info!(count, "a limit is over");
            }
            save(self.book.save_limits(self.limits.all().to_vec()));
        }
    }

    fn tell_ended(&mut self, ended: impl IntoIterator<Item = Held>, why: &'static str) {
        let mut any = false;
        for Held { id, evse, .. } in ended {
            if let Some(count) = self.due() {
                info!(id, evse, why, count, "reservation ended");
            }
            self.tell(News::ReservationEnded { id, evse, why });
            any = true;
        }
        if any {
            save(self.book.save_reservations(self.reservations.all().to_vec()));
        }
    }

    /// The book has it. Whether a session is finished first.
    pub(super) fn set_available(&mut self, number: u32, available: bool) -> bool {
        if let Some(count) = self.due() {
            info!(evse = number, available, count, "availability changed");
        }
        if number == 0 {
            self.in_service = available;
        } else if let Some(evse) = self.evses.get_mut(&number) {
            evse.available_alone = available;
        }
        let mut scheduled = false;
        let numbers: Vec<u32> = self.evses.keys().copied().collect();
        for place in numbers.into_iter().filter(|place| number == 0 || *place == number) {
            scheduled |= self.settle_service(place);
        }
        scheduled
    }

    /// Tells an EVSE whether it is in service. Whether a session is finished first.
    fn settle_service(&mut self, number: u32) -> bool {
        let Some(evse) = self.evses.get_mut(&number) else { return false };
        evse.available = evse.available_alone && self.in_service && evse.tested_until.is_none();
        let scheduled = !evse.available && evse.control.is_active();
        self.brief(number);
        self.let_in(number);
        scheduled
    }

    /// Takes an EVSE out of service for a check. In memory alone: whoever tests may die, and so may this daemon.
    pub(super) fn test(&mut self, number: u32, load: Watts) -> Result<(), Error> {
        let evse = self.evses.get_mut(&number);
        let evse = evse.ok_or_else(|| Error::UnknownEvse(format!("there is no EVSE {number}")))?;
        if evse.control.is_active() {
            return Err(Error::Busy("a session runs: stop it first".to_owned()));
        }
        let begins = evse.tested_until.replace(now() + TEST_LAPSES).is_none();
        if begins {
            if let Some(count) = self.due() {
                info!(evse = number, count, "out of service for its self-test");
            }
            self.settle_service(number);
        }
        self.loads(number, load);
        Ok(())
    }

    /// What a test draws counts as a vehicle's power does.
    pub(super) fn loads(&mut self, number: u32, load: Watts) {
        let Some(evse) = self.evses.get_mut(&number) else { return };
        if std::mem::replace(&mut evse.load, load) != load {
            self.share();
        }
    }

    pub(super) fn end_test(&mut self, number: u32) {
        let ended = self.evses.get_mut(&number).and_then(|evse| evse.tested_until.take());
        if ended.is_some() {
            if let Some(count) = self.due() {
                info!(evse = number, count, "the self-test is over");
            }
            self.loads(number, Watts::ZERO);
            self.settle_service(number);
        }
    }

    /// Whoever tested forgot to end it, or died.
    pub(super) fn expire_tests(&mut self, now: Timestamp) {
        let over = |evse: &&Evse| evse.tested_until.is_some_and(|until| until <= now);
        let over: Vec<u32> = self.evses.values().filter(over).map(|evse| evse.number).collect();
        over.into_iter().for_each(|number| self.end_test(number));
    }

    pub(super) fn read_meter(&self, number: u32) -> Result<MeterValues, Error> {
        let evse = self.evses.get(&number);
        let evse = evse.ok_or_else(|| Error::UnknownEvse(format!("there is no EVSE {number}")))?;
        let measured = evse.measured();
        let (Some(register), Some(reading)) = (measured.register, evse.metered) else {
            return Err(Error::Unavailable("the meter has not been heard".to_owned()));
        };
        let stamp = self.clock.stamp();
        let age = stamp.at.as_micros().saturating_sub(reading.at);
        let flow = measured.flow.unwrap_or(Flow { voltage: -1.0, current: 0.0, power: 0.0 });
        Ok(MeterValues {
            time: stamp.unix - i64::try_from(age).unwrap_or(0),
            clock_set: stamp.clock_set,
            register: register.as_si(),
            voltage: flow.voltage,
            current: flow.current,
            power: flow.power,
            power_offered: measured.power_offered,
            soc: measured.soc.unwrap_or(-1.0),
        })
    }

    /// An event of a session that has no plug yet.
    pub(super) fn note_unplugged(&mut self, number: u32, kind: EventKind, payer: Option<Payer>, why: Ending) {
        self.perform(number, Action::Note { session: 0, kind, payer, why });
    }

    /// The most that an EVSE may have.
    pub(super) fn evse_limit(&self, number: u32) -> Watts {
        self.limits.at(number).map_or(Watts::MAX, |limit| limit.power)
    }

    /// The most that an EVSE may have, and who says so.
    fn limit_of(&self, evse: &Evse) -> (Watts, String) {
        let station = self.energy.sources().first().map(|source| source.name.clone());
        let own = self.limits.at(evse.number).map(|limit| (limit.power, limit.origin.clone()));
        [(evse.capable(), "hardware".to_owned())]
            .into_iter()
            .chain(station.map(|name| (self.energy.limit(), name)))
            .chain(own)
            .min_by_key(|(power, _)| *power)
            .expect("the hardware's is always there")
    }

    /// The EVSEs as a driver meets them.
    pub(super) fn connectors(&mut self) -> Vec<Connector> {
        let now = unix_now();
        let uses: Vec<_> = self
            .evses
            .values()
            .map(|evse| {
                let held = self.reservations.of(evse.number).is_some();
                let expected = self.authorizer.expected_at(evse.number).is_some();
                evse.connector_use(held, expected)
            })
            .collect();
        for (evse, state) in self.evses.values_mut().zip(uses) {
            if evse.connector.0 != state {
                evse.connector = (state, now);
            }
        }
        let connector = |evse: &Evse| {
            let (limit, origin) = self.limit_of(evse);
            Connector {
                evse: evse.number,
                state: evse.connector.0.as_str().to_owned(),
                since: evse.connector.1,
                transaction: evse.control.transaction().unwrap_or(0),
                reservation: self
                    .reservations
                    .of(evse.number)
                    .map(|held| held.id.clone())
                    .unwrap_or_default(),
                limit: limit.as_si(),
                limit_origin: origin,
            }
        };
        self.evses.values().map(connector).collect()
    }

    pub(super) fn limits_shown(&self) -> Vec<PowerLimit> {
        let shown = |limit: &crate::limits::Limit| PowerLimit {
            evse: limit.evse,
            origin: limit.origin.clone(),
            power: limit.power.as_si(),
            expires: limit.expires,
        };
        self.limits.all().iter().map(shown).collect()
    }

    pub(super) fn reservations_shown(&self) -> Vec<voltry_bus::Reservation> {
        let shown = |held: &Held| voltry_bus::Reservation {
            id: held.id.clone(),
            evse: held.evse,
            identity: mask(held.token.reveal()),
            expires: held.expires,
        };
        self.reservations.all().iter().map(shown).collect()
    }
}

/// Answers when the book has it.
fn answer_when<T: Send + 'static>(
    saved: impl Future<Output = Result<(), BookError>> + Send + 'static,
    answer: Answer<T>,
    outcome: T,
) {
    tokio::spawn(async move {
        let saved = saved.await.map_err(Error::from);
        // The asker may have gone.
        let _ = answer.send(saved.map(|()| outcome));
    });
}

fn save(saved: impl Future<Output = Result<(), BookError>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = saved.await {
            warn!(%error, "what was set may be there again after a restart");
        }
    });
}
