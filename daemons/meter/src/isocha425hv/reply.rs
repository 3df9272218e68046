//! What the monitor's answers mean for its driver.

use voltry_units::{Ohms, Timestamp, Volts};

use super::{
    Alarm, Asked, Channel, Command, FAULT_DEVICE, FAULT_SETTING, FAULT_STUCK, IsoCha425Hv, STUCK_AFTER,
    Schedule, SettingStep, Start, State, TEST_AGAIN, TEST_LIMIT, Test, Unit, Validity,
};
use crate::decode::WordOrder;
use crate::driver::{Denied, Done, Event, Ticket};
use crate::request::Failure;

impl IsoCha425Hv {
    /// See [`crate::driver::Driver::reply`].
    #[must_use]
    pub fn reply(
        &mut self,
        sent: Timestamp,
        now: Timestamp,
        outcome: Result<Vec<u16>, Failure>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(asked) = self.asked.take() else { return events };
        match outcome {
            Ok(words) => {
                self.heard(&mut events);
                self.answered(asked, &words, sent, now, &mut events);
            }
            Err(Failure::Refused(code)) => {
                self.heard(&mut events);
                self.refused(asked, &Failure::Refused(code), now, &mut events);
            }
            Err(failure) => self.missed(asked, &failure, now, &mut events),
        }
        self.limit_test(now, &mut events);
        events
    }

    fn heard(&mut self, events: &mut Vec<Event>) {
        if self.presence.answered() {
            events.push(Event::Online(true));
        }
    }

    fn answered(
        &mut self,
        asked: Asked,
        words: &[u16],
        sent: Timestamp,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        match asked {
            Asked::Start(start) => self.started(start, words, now, events),
            Asked::Command(command) => self.commanded(command, words, now, events),
            Asked::Counter => self.counted(words, sent, now, events),
            Asked::Insulation => match Channel::parse(words) {
                Ok(channel) => self.insulation(channel, sent, now, events),
                Err(error) => {
                    self.forget_pair();
                    events.push(Event::BadInput(error.to_string()));
                }
            },
            Asked::Voltage => match Channel::parse(words) {
                Ok(_) if self.failed.is_some() => {}
                Ok(channel) => voltage(channel, sent, events),
                Err(error) => events.push(Event::BadInput(error.to_string())),
            },
        }
    }

    fn started(&mut self, start: Start, words: &[u16], now: Timestamp, events: &mut Vec<Event>) {
        match start {
            Start::Name => {
                self.name = text(words);
                self.state = State::Starting(Start::Versions);
            }
            Start::Versions => {
                self.firmware = words.get(1).copied();
                self.identified(events);
            }
            Start::Setting { index, step } => {
                let (register, wanted) = self.settings.registers(self.firmware, self.active)[index];
                let holds = words.first().copied();
                match step {
                    SettingStep::Compare if holds == Some(wanted) => self.set(index, now, events),
                    SettingStep::Compare => {
                        tracing::info!(register, ?holds, wanted, "changing a setting of the monitor");
                        self.state = State::Starting(Start::Setting { index, step: SettingStep::Write });
                    }
                    SettingStep::Write => {
                        self.state = State::Starting(Start::Setting { index, step: SettingStep::Verify });
                    }
                    SettingStep::Verify => {
                        if holds != Some(wanted) {
                            let cause = format!("register {register} keeps {holds:?}, not {wanted}");
                            events.push(Event::Fault { code: FAULT_SETTING, cause });
                        }
                        self.set(index, now, events);
                    }
                }
            }
        }
    }

    fn identified(&mut self, events: &mut Vec<Event>) {
        let firmware = self.firmware.map(|version| format!("{}.{:02}", version / 100, version % 100));
        let firmware = firmware.unwrap_or_default();
        events.push(Event::Identified { model: self.name.clone(), firmware });
        events.push(Event::FaultGone(FAULT_SETTING));
        self.state = State::Starting(Start::Setting { index: 0, step: SettingStep::Compare });
    }

    /// A setting is dealt with: on to the next, or to measuring.
    fn set(&mut self, index: usize, now: Timestamp, events: &mut Vec<Event>) {
        let index = index + 1;
        if index < self.settings.registers(self.firmware, self.active).len() {
            self.state = State::Starting(Start::Setting { index, step: SettingStep::Compare });
        } else {
            self.state = State::Measuring(Schedule::from(now));
            events.push(Event::Active(self.active));
        }
    }

    fn commanded(&mut self, command: Command, words: &[u16], now: Timestamp, events: &mut Vec<Event>) {
        match command {
            Command::StartTest { .. } => self.test(command, now, events),
            Command::WriteActive(ticket, active) => {
                self.ordered(Command::VerifyActive(ticket, active));
            }
            Command::VerifyActive(ticket, active) => {
                let result = if words.first() == Some(&u16::from(active)) {
                    self.active = active;
                    self.state = State::Measuring(Schedule::from(now));
                    events.push(Event::Active(active));
                    Ok(Done::Confirmed)
                } else {
                    Err(Denied::Refused("the insulation monitor did not switch over".into()))
                };
                events.push(Event::Settled(ticket, result));
            }
        }
    }

    fn test(&mut self, command: Command, now: Timestamp, events: &mut Vec<Event>) {
        let schedule = Schedule::from(now);
        self.state = State::Testing { schedule, deadline: now + TEST_LIMIT, begun: false };
        settle(command, Ok(Done::Confirmed), events);
    }

    fn counted(&mut self, words: &[u16], sent: Timestamp, now: Timestamp, events: &mut Vec<Event>) {
        let State::Measuring(schedule) = &mut self.state else { return };
        let raw = u32::try_from(WordOrder::HighFirst.join(words)).expect("the counter is two words");
        schedule.counted(raw, sent, now);
        match schedule.newest {
            Some((_, at)) if self.active && now.since(at) > STUCK_AFTER => {
                let cause = format!("the update counter stands still for {} s", now.since(at).as_secs());
                events.push(Event::Fault { code: FAULT_STUCK, cause });
            }
            Some(_) | None => events.push(Event::FaultGone(FAULT_STUCK)),
        }
    }

    fn insulation(&mut self, channel: Channel, sent: Timestamp, now: Timestamp, events: &mut Vec<Event>) {
        // During a test it does not say whether it has failed.
        if channel.test == Test::None {
            self.judge(channel.alarm == Alarm::DeviceError, now, events);
        }
        let fresh = match &mut self.state {
            State::Starting(_) => None,
            State::Measuring(schedule) if self.settings.update_counter => {
                let moved = schedule.counted.take().is_some_and(|counted| counted.moved);
                schedule.newest.filter(|_| moved).map(|(raw, at)| (counter(raw), at))
            }
            State::Measuring(_) => {
                self.own_counter += 1;
                Some((self.own_counter, sent))
            }
            State::Testing { begun, .. } => {
                *begun |= channel.test == Test::External;
                if *begun && channel.test == Test::None {
                    let failure = failure(channel);
                    self.finish_test(failure.is_none(), failure.unwrap_or_default(), now, events);
                }
                None
            }
        };
        if let Some((counter, at)) = fresh.filter(|_| self.active) {
            match resistance(channel) {
                Ok((resistance, valid)) => {
                    events.push(Event::Insulation { resistance, valid, counter, at });
                }
                Err(text) => events.push(Event::BadInput(text)),
            }
        }
    }

    fn judge(&mut self, failed: bool, now: Timestamp, events: &mut Vec<Event>) {
        if !failed {
            self.failed = None;
            events.push(Event::FaultGone(FAULT_DEVICE));
            return;
        }
        let cause = "the device reports an error of its own or of its connection".into();
        events.push(Event::Fault { code: FAULT_DEVICE, cause });
        let since = *self.failed.get_or_insert(now);
        let free = self.active && self.pending.is_none() && matches!(self.state, State::Measuring(_));
        if free && now.since(since) >= TEST_AGAIN {
            self.failed = Some(now);
            self.ordered(Command::StartTest { ticket: None, again: false });
        }
    }

    fn finish_test(&mut self, passed: bool, detail: &str, now: Timestamp, events: &mut Vec<Event>) {
        self.state = State::Measuring(Schedule::from(now));
        self.failed = self.failed.map(|_| now);
        events.push(Event::SelfTestFinished { passed, detail: detail.into(), at: now });
    }

    fn limit_test(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        if let State::Testing { deadline, begun, .. } = self.state
            && now >= deadline
        {
            let detail = if begun { "it did not end within 30 s" } else { "it did not begin within 30 s" };
            self.finish_test(false, detail, now, events);
        }
    }

    fn refused(&mut self, asked: Asked, failure: &Failure, now: Timestamp, events: &mut Vec<Event>) {
        events.push(Event::BadInput(failure.to_string()));
        match asked {
            Asked::Start(Start::Name) => self.state = State::Starting(Start::Versions),
            Asked::Start(Start::Versions) => {
                self.firmware = None;
                self.identified(events);
            }
            Asked::Start(Start::Setting { index, .. }) => {
                let (register, _) = self.settings.registers(self.firmware, self.active)[index];
                let cause = format!("register {register}: {failure}");
                events.push(Event::Fault { code: FAULT_SETTING, cause });
                self.set(index, now, events);
            }
            // It has begun at the first try. If not, it will be seen not to begin.
            Asked::Command(command @ Command::StartTest { again: true, .. }) => {
                self.test(command, now, events);
            }
            Asked::Command(command) => {
                settle(command, Err(Denied::Refused(failure.to_string())), events);
            }
            Asked::Counter | Asked::Insulation | Asked::Voltage => {
                self.forget_pair();
                // A measurement that is refused now will not be given a millisecond later.
                self.not_before = now + super::VOLTAGE_PERIOD;
            }
        }
    }

    fn missed(&mut self, asked: Asked, failure: &Failure, now: Timestamp, events: &mut Vec<Event>) {
        let missed = self.presence.missed(now);
        self.not_before = missed.retry_at;
        events.push(Event::BadInput(failure.to_string()));
        self.forget_pair();
        self.hurry();
        if let Asked::Command(command) = asked {
            // Perhaps only its answer was lost.
            self.pending = Some(command.again());
        }
        if !self.presence.is_gone() {
            return;
        }
        if let Some(command) = self.pending.take() {
            settle(command, Err(Denied::Unavailable(failure.to_string())), events);
        }
        if matches!(self.state, State::Testing { .. }) {
            self.finish_test(false, "the device does not answer any more", now, events);
        }
        // It may come back as another device, or with other settings.
        self.state = State::Starting(Start::Name);
        if missed.lost {
            events.push(Event::Active(false));
            events.push(Event::Online(false));
        }
    }

    /// The insulation that belongs to the counter just read will not come.
    fn forget_pair(&mut self) {
        match &mut self.state {
            State::Starting(_) => {}
            State::Measuring(schedule) | State::Testing { schedule, .. } => schedule.counted = None,
        }
    }
}

impl Command {
    const fn ticket(self) -> Option<Ticket> {
        match self {
            Self::StartTest { ticket, .. } => ticket,
            Self::WriteActive(ticket, _) | Self::VerifyActive(ticket, _) => Some(ticket),
        }
    }

    const fn again(self) -> Self {
        match self {
            Self::StartTest { ticket, .. } => Self::StartTest { ticket, again: true },
            Self::WriteActive(..) | Self::VerifyActive(..) => self,
        }
    }
}

/// Answers whoever gave the order.
fn settle(command: Command, result: Result<Done, Denied>, events: &mut Vec<Event>) {
    events.extend(command.ticket().map(|ticket| Event::Settled(ticket, result)));
}

/// Why a test that ended with this channel was not passed.
fn failure(channel: Channel) -> Option<&'static str> {
    if channel.alarm == Alarm::DeviceError {
        return Some("the device found an error");
    }
    (channel.validity == Validity::Invalid).then_some("it has no value after its test: it may have restarted")
}

/// The least resistance that the channel allows, and whether the device vouches for it.
fn resistance(channel: Channel) -> Result<(Ohms, bool), String> {
    let vouched = channel.test == Test::None && channel.alarm != Alarm::DeviceError;
    let ohms = match channel.validity {
        Validity::Invalid => return Ok((Ohms::ZERO, false)),
        // Anything from zero up to the figure.
        Validity::Smaller => 0.0,
        Validity::True | Validity::Larger => channel.value,
    };
    if channel.unit != Unit::Ohm {
        return Err(format!("an insulation resistance in {:?}", channel.unit));
    }
    let ohms = f64::from(ohms);
    if ohms > Ohms::MAX.as_si() {
        // A perfect insulation may well be told as more than our scale has. Not `min`: that takes
        // NaN for the best of all insulations.
        return Ok((Ohms::MAX, vouched));
    }
    let ohms = Ohms::from_si(ohms).map_err(|error| error.to_string())?;
    Ok((ohms, vouched))
}

fn voltage(channel: Channel, sent: Timestamp, events: &mut Vec<Event>) {
    if channel.alarm == Alarm::DeviceError {
        return;
    }
    match channel.validity {
        // "Smaller than" is told as the figure: it must never look like less than it may be.
        Validity::True | Validity::Smaller => {}
        Validity::Larger | Validity::Invalid => return,
    }
    if channel.unit != Unit::Volt {
        events.push(Event::BadInput(format!("a voltage in {:?}", channel.unit)));
        return;
    }
    match Volts::from_si(f64::from(channel.value)) {
        Ok(volts) => events.push(Event::Voltage(volts, sent)),
        Err(error) => events.push(Event::BadInput(error.to_string())),
    }
}

/// The update counter is told as a float, like every channel.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates, which is fine for a number to look at.
fn counter(raw: u32) -> u64 {
    f32::from_bits(raw) as u64
}

/// Two characters a word.
fn text(words: &[u16]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_be_bytes());
    let text: String = bytes.map(char::from).filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
    text.trim().to_owned()
}
