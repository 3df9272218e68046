//! What the monitor's answers mean for its driver.

use voltry_units::{Ohms, Timestamp, Volts};

use super::{
    Asked, Command, FAULT_DEVICE, FAULT_SETTING, LOOK_COUNTS, Rn5893, SWITCH_LIMIT, Schedule, Start, State,
    TEST_AGAIN, TEST_LIMIT, VALUES_PERIOD,
};
use crate::driver::{Denied, Done, Event};
use crate::request::Failure;

/// Resistances are told in hundreds of ohms; this is "more than 2 MΩ".
const BEYOND: u16 = 0xFFFF;
const BEYOND_OHMS: i32 = 2_000_000;
/// The fault of a device that nobody asked for too long.
const NOT_ASKED: u16 = 9;

/// What the device does, by its state register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Initialising,
    Measuring,
    Failed,
    Testing,
    Stopped,
}

impl Doing {
    fn of(state: u16) -> Option<Self> {
        Some(match state {
            0 => Self::Initialising,
            // With an alarm or a pre-alarm it measures on.
            1 | 6 | 7 => Self::Measuring,
            2 => Self::Failed,
            3 | 4 => Self::Testing,
            5 => Self::Stopped,
            _ => return None,
        })
    }
}

/// Why a test that ended like this was not passed.
fn failure(code: u16, doing: Doing) -> Option<String> {
    if code != 0 {
        return Some(fault(code));
    }
    match doing {
        Doing::Measuring | Doing::Testing => None,
        Doing::Failed => Some(fault(0)),
        Doing::Initialising | Doing::Stopped => Some("it restarted in its test".to_owned()),
    }
}

/// A fault register in words.
fn fault(code: u16) -> String {
    let words = match code {
        0 => "the device is in its error state",
        1 => "broken wire to L+ or L-",
        2 => "broken wire to PE",
        3 => "internal fault found by the self-test",
        4 => "wrong setting of its potentiometers",
        NOT_ASKED => "its Modbus line was silent for too long",
        10 => "checksum of its EEPROM",
        11 => "internal communication",
        12 => "internal fault",
        _ => return format!("fault {code}, which is not documented"),
    };
    words.to_owned()
}

impl Rn5893 {
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
        self.limit(now, &mut events);
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
            Asked::Reset(command) => self.state = State::Ordered { command, reset: false, again: false },
            Asked::Command(Command::Active(ticket, active)) => {
                self.state = State::Switching { ticket, active, look_at: now, deadline: now + SWITCH_LIMIT };
            }
            Asked::Command(command @ Command::Test(_)) => self.test(command, now, events),
            Asked::Look | Asked::State => match words {
                [fault, state] => self.looked(asked, [*fault, *state], sent, now, events),
                _ => events.push(Event::BadInput(format!("a state of {} words", words.len()))),
            },
            Asked::Values => match words {
                [resistance, _, voltage] => self.measured(*resistance, *voltage, sent, events),
                _ => events.push(Event::BadInput(format!("values of {} words", words.len()))),
            },
            Asked::PutBack => self.state = State::Measuring(Schedule::from(now)),
        }
    }

    fn started(&mut self, start: Start, words: &[u16], now: Timestamp, events: &mut Vec<Event>) {
        let next = match start {
            Start::Reset => Start::TimeOut,
            Start::TimeOut if words.first() == Some(&0) => Start::Compare,
            Start::TimeOut => Start::TimeOutOff,
            Start::TimeOutOff => Start::Compare,
            Start::Compare if self.settings.held(words) => {
                events.push(Event::FaultGone(FAULT_SETTING));
                Start::Control
            }
            Start::Compare => {
                tracing::info!(?words, "changing the settings of the monitor");
                let held = words.iter().copied().chain(std::iter::repeat(0));
                let wanted = self.settings.wanted().into_iter().zip(held);
                self.to_write = wanted.map(|(wanted, held)| wanted.unwrap_or(held)).collect();
                Start::Write
            }
            Start::Write => Start::Verify,
            Start::Verify => {
                if self.settings.held(words) {
                    events.push(Event::FaultGone(FAULT_SETTING));
                } else {
                    let cause = format!("the device keeps {words:?}, not {:?}", self.to_write);
                    events.push(Event::Fault { code: FAULT_SETTING, cause });
                }
                Start::Control
            }
            Start::Control => return self.measure(now, events),
        };
        self.state = State::Starting(next);
    }

    fn measure(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        self.state = State::Measuring(Schedule::from(now));
        events.push(Event::Active(self.active));
    }

    fn test(&mut self, command: Command, now: Timestamp, events: &mut Vec<Event>) {
        let schedule = Schedule::from(now);
        self.state = State::Testing { schedule, deadline: now + TEST_LIMIT, begun: false };
        settle(command, Ok(Done::Confirmed), events);
    }

    fn looked(
        &mut self,
        asked: Asked,
        [code, state]: [u16; 2],
        sent: Timestamp,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) {
        let Some(doing) = Doing::of(state) else {
            self.vouched = None;
            events.push(Event::BadInput(format!("state {state} is unknown")));
            return;
        };
        self.judge(code, doing, sent, now, events);
        let failed = self.failed;
        match &mut self.state {
            State::Measuring(_) if code == NOT_ASKED => self.state = State::Starting(Start::Reset),
            State::Measuring(_)
                if self.active && failed.is_some_and(|since| now.since(since) >= TEST_AGAIN) =>
            {
                self.failed = Some(now);
                self.ordered(Command::Test(None), true);
            }
            State::Measuring(schedule) if matches!(asked, Asked::State) => {
                schedule.measures =
                    (doing == Doing::Measuring || doing == Doing::Failed).then_some(failed.is_none());
            }
            State::Switching { ticket, active, .. } => {
                let (ticket, active) = (*ticket, *active);
                if doing == if active { Doing::Measuring } else { Doing::Stopped } {
                    self.active = active;
                    self.measure(now, events);
                    events.push(Event::Settled(ticket, Ok(Done::Confirmed)));
                }
            }
            State::Testing { begun, .. } => {
                *begun |= doing == Doing::Testing;
                let failure = failure(code, doing);
                if *begun && (doing != Doing::Testing || failure.is_some()) {
                    self.finish_test(failure.is_none(), failure.unwrap_or_default(), now, events);
                }
            }
            State::Starting(_) | State::Measuring(_) | State::Ordered { .. } | State::Tested => {}
        }
    }

    /// Whether the device has a fault, and what its voltage is worth.
    fn judge(&mut self, code: u16, doing: Doing, sent: Timestamp, now: Timestamp, events: &mut Vec<Event>) {
        let faulty = code != 0 || doing == Doing::Failed;
        if faulty {
            self.failed.get_or_insert(now);
            events.push(Event::Fault { code: FAULT_DEVICE, cause: fault(code) });
        } else if doing != Doing::Testing {
            // A test that runs has not found anything yet.
            self.failed = None;
            events.push(Event::FaultGone(FAULT_DEVICE));
        }
        let good = !faulty
            && match doing {
                Doing::Measuring => true,
                // What was not good before is not made so by a test before its end.
                Doing::Testing => self.is_vouched(sent),
                Doing::Initialising | Doing::Failed | Doing::Stopped => false,
            };
        self.vouched = good.then_some(sent);
    }

    /// Whether the device vouches for the voltage of a request sent `at`.
    fn is_vouched(&self, at: Timestamp) -> bool {
        self.vouched.is_some_and(|look| at.since(look) <= LOOK_COUNTS)
    }

    fn measured(&mut self, resistance: u16, voltage: u16, sent: Timestamp, events: &mut Vec<Event>) {
        let measures = match &mut self.state {
            State::Measuring(schedule) => schedule.measures.take(),
            State::Ordered { .. } | State::Testing { .. } | State::Tested => None,
            State::Starting(_) | State::Switching { .. } => return,
        };
        if !self.active {
            return;
        }
        // Out of its range is told as 0xFFFF: then there is no value.
        if voltage != BEYOND && self.is_vouched(sent) {
            events.push(Event::Voltage(Volts::new(voltage.into()), sent));
        }
        if let Some(valid) = measures {
            self.counter += 1;
            let ohms = if resistance == BEYOND { BEYOND_OHMS } else { i32::from(resistance) * 100 };
            let resistance = Ohms::new(ohms);
            events.push(Event::Insulation { resistance, valid, counter: self.counter, at: sent });
        }
    }

    fn finish_test(&mut self, passed: bool, detail: String, now: Timestamp, events: &mut Vec<Event>) {
        self.state = State::Tested;
        self.failed = self.failed.map(|_| now);
        events.push(Event::SelfTestFinished { passed, detail, at: now });
    }

    fn limit(&mut self, now: Timestamp, events: &mut Vec<Event>) {
        match self.state {
            State::Testing { deadline, begun, .. } if now >= deadline => {
                let word = if begun { "end" } else { "begin" };
                self.finish_test(false, format!("it did not {word} within 30 s"), now, events);
            }
            State::Switching { ticket, deadline, .. } if now >= deadline => {
                self.state = State::Measuring(Schedule::from(now));
                let denied = Denied::Refused("the insulation monitor did not switch over".into());
                events.push(Event::Settled(ticket, Err(denied)));
            }
            State::Starting(_)
            | State::Measuring(_)
            | State::Ordered { .. }
            | State::Switching { .. }
            | State::Testing { .. }
            | State::Tested => {}
        }
    }

    fn refused(&mut self, asked: Asked, failure: &Failure, now: Timestamp, events: &mut Vec<Event>) {
        events.push(Event::BadInput(failure.to_string()));
        match asked {
            Asked::Start(start) => {
                let cause = format!("at its start ({start:?}): {failure}");
                events.push(Event::Fault { code: FAULT_SETTING, cause });
                match start {
                    Start::Reset => self.state = State::Starting(Start::TimeOut),
                    Start::TimeOut | Start::TimeOutOff => self.state = State::Starting(Start::Compare),
                    Start::Compare | Start::Write | Start::Verify => {
                        self.state = State::Starting(Start::Control);
                    }
                    Start::Control => self.measure(now, events),
                }
            }
            // It has begun at the first try. If not, it will be seen not to begin.
            Asked::Command(command @ Command::Test(_)) if self.is_repeated() => {
                self.test(command, now, events);
            }
            Asked::Reset(command) | Asked::Command(command) => {
                self.state = State::Measuring(Schedule::from(now));
                settle(command, Err(Denied::Refused(failure.to_string())), events);
            }
            Asked::PutBack => self.state = State::Measuring(Schedule::from(now)),
            Asked::Look | Asked::State | Asked::Values => {
                self.vouched = None;
                self.forget();
                // What is refused now will not be given a millisecond later.
                self.not_before = now + VALUES_PERIOD;
            }
        }
    }

    const fn is_repeated(&self) -> bool {
        matches!(self.state, State::Ordered { again: true, .. })
    }

    fn missed(&mut self, asked: Asked, failure: &Failure, now: Timestamp, events: &mut Vec<Event>) {
        let missed = self.presence.missed(now);
        self.not_before = missed.retry_at;
        events.push(Event::BadInput(failure.to_string()));
        self.forget();
        self.doubt(asked, now);
        if !self.presence.is_gone() {
            return;
        }
        let unavailable = || Err(Denied::Unavailable(failure.to_string()));
        match self.state {
            State::Ordered { command, .. } => settle(command, unavailable(), events),
            State::Switching { ticket, .. } => events.push(Event::Settled(ticket, unavailable())),
            State::Testing { .. } => {
                let detail = "the device does not answer any more".to_owned();
                self.finish_test(false, detail, now, events);
            }
            State::Starting(_) | State::Measuring(_) | State::Tested => {}
        }
        // It may come back as another device, or with other settings.
        self.state = State::Starting(Start::Reset);
        (self.vouched, self.overdue) = (None, false);
        if missed.lost {
            events.push(Event::Active(false));
            events.push(Event::Online(false));
        }
    }

    /// What is still known after an answer that did not come. An order is written again, since only
    /// its answer may be lost.
    fn doubt(&mut self, asked: Asked, now: Timestamp) {
        match asked {
            Asked::Look | Asked::State | Asked::Command(Command::Active(_, false)) => self.vouched = None,
            Asked::Start(_)
            | Asked::Reset(_)
            | Asked::Command(Command::Test(_) | Command::Active(_, true))
            | Asked::Values
            | Asked::PutBack => {}
        }
        match &mut self.state {
            State::Measuring(schedule) | State::Testing { schedule, .. } if self.vouched.is_none() => {
                schedule.look = Timestamp::BOOT;
            }
            State::Switching { look_at, .. } => *look_at = Timestamp::BOOT,
            State::Ordered { again, .. } => *again |= matches!(asked, Asked::Command(_)),
            State::Starting(_) | State::Measuring(_) | State::Testing { .. } | State::Tested => {}
        }
        self.overdue = self.active && self.is_vouched(now);
    }

    /// The values that belong to the state just read will not come.
    fn forget(&mut self) {
        if let State::Measuring(schedule) = &mut self.state {
            schedule.measures = None;
        }
    }
}

/// Answers whoever gave the order.
fn settle(command: Command, result: Result<Done, Denied>, events: &mut Vec<Event>) {
    events.extend(command.ticket().map(|ticket| Event::Settled(ticket, result)));
}
