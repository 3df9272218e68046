//! What the monitor's frames mean for its driver.

use voltry_canlink::CanFrame;
use voltry_units::{Ohms, Timestamp};

use super::frames::{self, Question, Resistances, Status};
use super::{
    Denied, Event, FAULT_DEVICE, FAULT_SETTING, FAULT_STUCK, Purpose, RETRY_AFTER, STUCK_AFTER, Schedule,
    Sim100, State,
};

impl Sim100 {
    pub(in crate::monitor) fn hear(&mut self, now: Timestamp, frame: &CanFrame) -> Vec<Event> {
        let mut events = Vec::new();
        let Some((number, data)) = frames::read(frame) else { return events };
        let question = self.conversation.question().filter(|(question, _)| question.number() == number);
        let Some((question, asked_at)) = question else {
            events.push(Event::BadInput(format!("an answer to {number:#04x} that nobody awaits")));
            return events;
        };
        self.conversation.close();
        if !std::mem::replace(&mut self.online, true) {
            events.push(Event::Online(true));
        }
        match question {
            Question::Resistances => match Resistances::read(data) {
                Some(resistances) => self.measured(resistances, asked_at, now, &mut events),
                None => events.push(Event::BadInput(format!("resistances of {} bytes", data.len()))),
            },
            Question::ErrorFlags => match data {
                [status, flags, ..] => self.flagged(Status(*status), *flags, now, &mut events),
                _ => events.push(Event::BadInput(format!("error flags of {} bytes", data.len()))),
            },
            Question::Name(_) | Question::Version(_) | Question::VoltageMax(_) | Question::ExcitationOff => {
                self.scripted(question, data, now, &mut events);
            }
        }
        events
    }

    fn scripted(&mut self, question: Question, data: &[u8], now: Timestamp, events: &mut Vec<Event>) {
        let text = || data.iter().take(4).map(|byte| char::from(*byte)).filter(char::is_ascii_graphic);
        match question {
            Question::Name(_) => self.name.extend(text()),
            Question::Version(_) => self.version.extend(text()),
            Question::VoltageMax(volts) => {
                let (model, firmware) = (self.name.clone(), self.version.clone());
                events.push(Event::Identified { model, firmware });
                if data.get(..2) == Some(&volts.to_be_bytes()[..]) {
                    events.push(Event::FaultGone(FAULT_SETTING));
                } else {
                    let cause = format!("it was told {volts} V, and answers {data:02x?}");
                    events.push(Event::Fault { code: FAULT_SETTING, cause });
                }
            }
            Question::ExcitationOff | Question::Resistances | Question::ErrorFlags => {}
        }
        self.script.pop_front();
        if self.script.is_empty() {
            self.script_done(now, events);
        }
    }

    fn script_done(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        match self.state {
            State::Starting(Purpose::Start) => {
                self.state = State::Measuring(Schedule::from(now));
                events.push(Event::Active(self.active));
            }
            State::Starting(Purpose::Activate { ticket, .. }) => {
                self.active = true;
                self.state = State::Measuring(Schedule::from(now));
                events.push(Event::Active(true));
                events.push(Event::Settled(ticket, Ok(())));
            }
            State::Starting(Purpose::Test { deadline }) => {
                self.state = State::Testing { look_at: now, deadline, flags: false };
            }
            State::Stopping(ticket) => {
                self.active = false;
                self.state = State::Measuring(Schedule::from(now));
                events.push(Event::Active(false));
                events.push(Event::Settled(ticket, Ok(())));
            }
            State::Measuring(_) | State::Testing { .. } => {}
        }
    }

    fn measured(
        &mut self,
        resistances: Resistances,
        asked_at: Timestamp,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let status = resistances.status;
        self.reported(status, events);
        match &mut self.state {
            State::Measuring(schedule) if self.active => {
                // The first new one may have been made long ago.
                let told = !status.nothing_new() && schedule.newest.is_some();
                if !status.nothing_new() {
                    schedule.newest = Some(now);
                }
                let still = now.since(schedule.newest.unwrap_or(schedule.since));
                if still > STUCK_AFTER {
                    let cause = format!("no new estimate for {} s", still.as_secs());
                    events.push(Event::Fault { code: FAULT_STUCK, cause });
                } else {
                    events.push(Event::FaultGone(FAULT_STUCK));
                }
                if told {
                    self.counter += 1;
                    events.push(Event::Insulation {
                        resistance: Ohms::new(resistances.parallel()),
                        valid: !status.hardware_error() && !status.uncertain(),
                        counter: self.counter,
                        at: asked_at,
                    });
                }
            }
            State::Testing { .. } if status.hardware_error() => {
                self.finish_test(false, "hardware error", now, events);
            }
            State::Testing { .. } if !status.nothing_new() => self.finish_test(true, "", now, events),
            State::Starting(_) | State::Measuring(_) | State::Stopping(_) | State::Testing { .. } => {}
        }
    }

    fn reported(&self, status: Status, events: &mut Vec<Event>) {
        let cause = match (status.hardware_error(), status.over_voltage()) {
            (true, _) => "the device reports a hardware error",
            (false, true) => "the voltage has been above the highest that was set",
            (false, false) => return events.push(Event::FaultGone(FAULT_DEVICE)),
        };
        events.push(Event::Fault { code: FAULT_DEVICE, cause: cause.into() });
    }

    fn flagged(&mut self, status: Status, flags: u8, now: Timestamp, events: &mut Vec<Event>) {
        let State::Testing { flags: seen, .. } = &mut self.state else { return };
        *seen = true;
        if status.hardware_error() || flags != 0 {
            self.finish_test(false, &format!("error flags {flags:#04x}"), now, events);
        }
    }

    fn finish_test(&mut self, passed: bool, detail: &str, now: Timestamp, events: &mut Vec<Event>) {
        self.state = State::Measuring(Schedule::from(now));
        events.push(Event::SelfTestFinished { passed, detail: detail.into(), at: now });
    }

    pub(super) fn limit(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        if let State::Testing { deadline, .. } = self.state
            && now >= deadline
        {
            self.finish_test(false, "it did not end within 30 s", now, events);
        }
    }

    /// Nobody answers: everything that waits ends, and begins anew.
    pub(in crate::monitor) fn lost(&mut self, now: Timestamp, why: &str) -> Vec<Event> {
        let mut events = Vec::new();
        self.conversation.close();
        self.restart = false;
        match self.state {
            State::Starting(Purpose::Activate { ticket, .. }) | State::Stopping(ticket) => {
                events.push(Event::Settled(ticket, Err(Denied::Unavailable(why.into()))));
            }
            State::Starting(Purpose::Test { .. }) | State::Testing { .. } => {
                self.finish_test(false, why, now, &mut events);
            }
            State::Starting(Purpose::Start) | State::Measuring(_) => {}
        }
        self.start(Purpose::Start);
        self.not_before = now + RETRY_AFTER;
        if std::mem::replace(&mut self.online, false) {
            events.push(Event::Active(false));
            events.push(Event::Online(false));
        }
        events
    }
}
