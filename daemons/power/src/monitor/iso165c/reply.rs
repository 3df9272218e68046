//! What the monitor's frames mean for its driver.

use voltry_canlink::CanFrame;
use voltry_units::{Ohms, Timestamp, Volts};

use super::frames::{self, Command, Heard, Info};
use super::{
    Asked, Denied, Event, FAULT_DEVICE, FAULT_SETTING, FAULT_STUCK, INFO_LIMIT, Iso165c, Purpose,
    RETRY_AFTER, STUCK_AFTER, Schedule, State, TEST_LIMIT,
};

impl Iso165c {
    pub(in crate::monitor) fn hear(&mut self, now: Timestamp, frame: &CanFrame) -> Vec<Event> {
        let mut events = Vec::new();
        match frames::read(frame) {
            Ok(None) => {}
            Ok(Some(Heard::Info(info))) => self.informed(info, now, &mut events),
            Ok(Some(Heard::Response(response))) => self.responded(response, now, &mut events),
            Ok(Some(Heard::Failed { command, code })) => self.failed(command, code, now, &mut events),
            Err(text) => events.push(Event::BadInput(text)),
        }
        events
    }

    fn informed(&mut self, info: Info, now: Timestamp, events: &mut Vec<Event>) {
        self.info = Some((info, now));
        let faults = info.faults();
        if faults.is_empty() {
            events.push(Event::FaultGone(FAULT_DEVICE));
        } else {
            events.push(Event::Fault { code: FAULT_DEVICE, cause: faults.join(", ") });
        }
    }

    /// The question that a response with this command answers, and since when it has been open.
    fn answered(&mut self, command: u8) -> Option<(Asked, Timestamp)> {
        let (asked, asked_at) = self.conversation.question()?;
        let wanted = match asked {
            Asked::Script(script) => script.number,
            Asked::Resistance => Command::GET_RESISTANCE.number,
            Asked::Voltage => Command::GET_VOLTAGE.number,
            Asked::Test => Command::GET_STATUS.number,
        };
        if command != wanted {
            return None;
        }
        self.conversation.close();
        Some((asked, asked_at))
    }

    fn responded(&mut self, response: Command, now: Timestamp, events: &mut Vec<Event>) {
        let Some((asked, asked_at)) = self.answered(response.number) else {
            events.push(Event::BadInput(format!("an answer to {:#04x} that nobody awaits", response.number)));
            return;
        };
        if !std::mem::replace(&mut self.online, true) {
            events.push(Event::Online(true));
        }
        match asked {
            Asked::Script(command) => {
                self.script.pop_front();
                self.scripted(command, response, events);
                self.script_done(response, now, events);
            }
            Asked::Resistance => self.measured(response, asked_at, now, events),
            Asked::Voltage if self.active => {
                events.push(Event::Voltage(Volts::new(response.words[0].into()), asked_at));
            }
            Asked::Voltage => {}
            Asked::Test => self.tested(response, now, events),
        }
    }

    fn scripted(&mut self, command: Command, response: Command, events: &mut Vec<Event>) {
        let settings = self.settings;
        let held = response.words[0];
        let mut compare = |number: u8, wanted: u16| {
            if held != wanted {
                tracing::info!(held, wanted, "changing a setting of the monitor");
                self.script.push_front(Command::of(number, wanted, 0));
            }
        };
        match command {
            Command::GET_ALARM => compare(Command::SET_ALARM, settings.alarm_kohm),
            Command::GET_WARNING => compare(Command::SET_WARNING, settings.warning_kohm),
            Command::GET_MEAN_FACTOR => compare(Command::SET_MEAN_FACTOR, settings.mean_factor),
            Command::GET_VERSION => {
                let [minor, major] = response.words[1].to_le_bytes();
                let firmware = format!("{major}.{minor}");
                events.push(Event::Identified { model: "iso165C".into(), firmware });
                events.push(Event::FaultGone(FAULT_SETTING));
            }
            Command {
                number: Command::SET_ALARM | Command::SET_WARNING | Command::SET_MEAN_FACTOR, ..
            } if held != command.words[0] => {
                let cause = format!("{:#04x} keeps {held}, not {}", command.number, command.words[0]);
                events.push(Event::Fault { code: FAULT_SETTING, cause });
            }
            // What is switched is asked for at the end of the script.
            _ => {}
        }
    }

    fn script_done(&mut self, last: Command, now: Timestamp, events: &mut Vec<Event>) {
        if !self.script.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.purpose, Purpose::Nothing) {
            Purpose::Nothing => {}
            Purpose::Start => {
                if frames::measures(last.words[0]) != self.active {
                    let cause = "the device does not measure, or does not stop".into();
                    events.push(Event::Fault { code: FAULT_SETTING, cause });
                }
                self.state = State::Measuring(Schedule::from(now));
                events.push(Event::Active(self.active));
            }
            Purpose::Switch(ticket, active) => {
                let result = if frames::measures(last.words[0]) == active {
                    self.active = active;
                    self.state = State::Measuring(Schedule::from(now));
                    events.push(Event::Active(active));
                    Ok(())
                } else {
                    Err(Denied::Refused("the insulation monitor did not switch over".into()))
                };
                events.push(Event::Settled(ticket, result));
            }
            Purpose::Test(ticket) => {
                self.state = State::Testing { look_at: now, deadline: now + TEST_LIMIT, begun: false };
                events.push(Event::Settled(ticket, Ok(())));
            }
        }
    }

    fn measured(&mut self, response: Command, asked_at: Timestamp, now: Timestamp, events: &mut Vec<Event>) {
        let State::Measuring(schedule) = &mut self.state else { return };
        let [_bias, count] = response.words[1].to_le_bytes();
        // The first count does not tell how old its measurement is.
        let moved = schedule.newest.is_some_and(|(newest, _)| newest != count);
        if moved || schedule.newest.is_none() {
            schedule.newest = Some((count, asked_at));
        }
        let still = schedule.newest.map_or(now, |(_, at)| at);
        if !self.active {
            return;
        }
        if now.since(still) > STUCK_AFTER {
            let cause = format!("it has measured nothing for {} s", now.since(still).as_secs());
            events.push(Event::Fault { code: FAULT_STUCK, cause });
        } else {
            events.push(Event::FaultGone(FAULT_STUCK));
        }
        if moved {
            self.counter += 1;
            let young = self.info.filter(|(_, at)| now.since(*at) <= INFO_LIMIT);
            let valid = young.is_some_and(|(info, _)| info.vouches());
            let resistance = Ohms::new(i32::from(response.words[0]) * 1_000);
            events.push(Event::Insulation { resistance, valid, counter: self.counter, at: asked_at });
        }
    }

    fn tested(&mut self, response: Command, now: Timestamp, events: &mut Vec<Event>) {
        let State::Testing { begun, .. } = &mut self.state else { return };
        let [status, extended] = response.words;
        let running = status & Info::TESTING != 0;
        *begun |= running;
        if *begun && !running {
            let mut failures = frames::test_failures(extended);
            failures.extend(Info { status, interface: 0 }.faults());
            self.finish_test(failures.is_empty(), failures.join(", "), now, events);
        }
    }

    fn finish_test(&mut self, passed: bool, detail: String, now: Timestamp, events: &mut Vec<Event>) {
        self.state = State::Measuring(Schedule::from(now));
        events.push(Event::SelfTestFinished { passed, detail, at: now });
    }

    pub(super) fn limit_test(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        if let State::Testing { deadline, begun, .. } = self.state
            && now >= deadline
        {
            let word = if begun { "end" } else { "begin" };
            self.finish_test(false, format!("it did not {word} within 30 s"), now, events);
        }
    }

    fn failed(&mut self, command: u8, code: u16, now: Timestamp, events: &mut Vec<Event>) {
        let text = format!("{command:#04x}: {}", frames::error(code));
        events.push(Event::BadInput(text.clone()));
        let Some((asked, _)) = self.answered(command) else { return };
        if !std::mem::replace(&mut self.online, true) {
            events.push(Event::Online(true));
        }
        let Asked::Script(_) = asked else {
            self.not_before = now + super::VOLTAGE_PERIOD;
            return;
        };
        self.script.pop_front();
        match self.purpose {
            Purpose::Nothing => {}
            Purpose::Start => {
                events.push(Event::Fault { code: FAULT_SETTING, cause: text });
                // What was to be asked at the end was refused: nothing says that it does not measure.
                let unknown = Command::of(command, u16::from(!self.active), 0);
                self.script_done(unknown, now, events);
            }
            Purpose::Switch(ticket, _) | Purpose::Test(ticket) => {
                self.script.clear();
                self.purpose = Purpose::Nothing;
                events.push(Event::Settled(ticket, Err(Denied::Refused(text))));
            }
        }
    }

    /// Nobody answers: everything that waits ends, and begins anew.
    pub(in crate::monitor) fn lost(&mut self, now: Timestamp, why: &str) -> Vec<Event> {
        let mut events = Vec::new();
        self.conversation.close();
        self.info = None;
        if let Purpose::Switch(ticket, _) | Purpose::Test(ticket) = self.purpose {
            events.push(Event::Settled(ticket, Err(Denied::Unavailable(why.into()))));
        }
        if let State::Testing { .. } = self.state {
            self.finish_test(false, why.into(), now, &mut events);
        }
        self.start();
        self.not_before = now + RETRY_AFTER;
        if std::mem::replace(&mut self.online, false) {
            events.push(Event::Active(false));
            events.push(Event::Online(false));
        }
        events
    }
}
