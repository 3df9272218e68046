//! One PN532 on its line: woken, configured, and asked again and again what lies there.
//!
//! ```text
//! Closed ──opened──▶ Asking: SAMConfiguration ▶ GetFirmwareVersion ▶ RFConfiguration (retries)
//!   ▲                                                                     ▼
//!   │                     ┌──────────▶ InListPassiveTarget ▶ RFConfiguration (field off) ▶ Resting ─┐
//!   │                     │                                               │ a card not seen before   │
//!   │                     └───────────────────────────────────────────────┴──────────────────────────┘
//!   │    from any: no ACK or answer after two tries, an error, a refusal ▶ Recovering ▶ Asking: SAMConfiguration
//!   └── line lost, from any
//! ```
//!
//! Electrical assumptions: 115200 baud, 8N1, no handshake lines, the PN532 powered all the time. It sleeps after
//! power-up until it hears something, and what it hears first may be lost on it.
//!
//! What lies there when the daemon starts was laid there before: it is held, and not told. A restart must not stop
//! what that card began.
//!
//! Sans-IO: [`Reader::step`] takes the time and what happened, and says what to do; call it again at
//! [`Reader::deadline`].

use std::time::Duration;

use voltry_units::Timestamp;

use crate::card::{Held, Uid};
use crate::frame::{self, BadBytes, Decoder, Heard};
use crate::pn532::{Answer, Command, Firmware, Malformed};

/// An ACK comes within 15 ms (UM0701-02, 6.2.2.1); guessed: what USB and a busy machine add.
const ACK_TIME: Duration = Duration::from_millis(150);
/// Guessed: three looks for a card take some 20 ms, and a processor card has to say what it can.
const ANSWER_TIME: Duration = Duration::from_millis(1000);
/// How often a command is sent before the PN532 is woken anew.
const TRIES: u8 = 2;
/// How often a damaged answer is asked for once more.
const REPEATS: u8 = 2;
/// The pause before it is woken anew.
const RECOVERY: Duration = Duration::from_millis(500);
/// Wakes it: two edges, and time to wake up by (UM0701-02, 7.2.11; 16 bytes take 1.4 ms).
const WAKE_UP: [u8; 16] = [0x55, 0x55, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// The line is open.
    Opened,
    /// The line delivered this.
    Bytes(&'a [u8]),
    /// The line is closed, or has failed.
    Lost,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Send(Vec<u8>),
    /// A card was laid there.
    Tell(Uid),
    /// It made its number up: nobody's.
    Made(Uid),
    /// The reader says what it is.
    Known(Firmware),
    /// Something was wrong, for the log.
    Wrong(Trouble),
}

/// What was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Noise.
    #[error(transparent)]
    Bytes(#[from] BadBytes),
    /// A frame that makes no sense.
    #[error("{0:?}: {1}")]
    Malformed(Command, Malformed),
    /// It did not take the command.
    #[error("{0:?} is not acknowledged")]
    NoAck(Command),
    /// It took the command, and says nothing.
    #[error("{0:?} is not answered")]
    NoAnswer(Command),
    /// It refuses the command.
    #[error("{0:?} is refused")]
    Refused(Command),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Asking { command: Command, phase: Phase, tries: u8, until: Timestamp },
    Resting { until: Timestamp },
    Recovering { until: Timestamp },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The command was sent.
    Sent,
    /// It was taken; so often a damaged answer was asked for again.
    Taken { repeats: u8 },
}

/// How a reader is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// From one look to the next.
    pub interval: Duration,
    /// A card that was not seen for this long has gone.
    pub hold_off: Duration,
}

/// One reader.
#[derive(Debug)]
pub struct Reader {
    times: Times,
    state: State,
    decoder: Decoder,
    held: Held,
    /// When it last answered.
    answered: Option<Timestamp>,
}

impl Reader {
    /// Without an answer for this long it is away.
    pub const SILENT: Duration = Duration::from_secs(3);

    /// A reader whose line is still closed.
    #[must_use]
    pub const fn new(times: Times) -> Self {
        Self {
            times,
            state: State::Closed,
            decoder: Decoder::new(),
            held: Held::new(times.hold_off),
            answered: None,
        }
    }

    /// When [`Self::step`] is wanted next, with [`Input::Tick`]; `None`: nothing is due.
    #[must_use]
    pub const fn deadline(&self) -> Option<Timestamp> {
        match self.state {
            State::Closed => None,
            State::Asking { until, .. } | State::Resting { until } | State::Recovering { until } => {
                Some(until)
            }
        }
    }

    /// Whether it answers.
    #[must_use]
    pub fn is_online(&self, now: Timestamp) -> bool {
        self.state != State::Closed && self.answered.is_some_and(|at| now.since(at) < Self::SILENT)
    }

    /// How many cards lie there.
    #[must_use]
    pub const fn cards(&self) -> usize {
        self.held.count()
    }

    /// Takes what happened at `now`; what is to be done, in order.
    #[must_use]
    pub fn step(&mut self, now: Timestamp, input: Input<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        match input {
            Input::Opened => {
                self.decoder.clear();
                self.held.forget_misses();
                self.wake(now, &mut actions);
            }
            Input::Lost => self.state = State::Closed,
            Input::Bytes(bytes) => {
                if self.state != State::Closed {
                    for found in self.decoder.take(bytes) {
                        self.hear(now, found, &mut actions);
                    }
                }
            }
            Input::Tick => {}
        }
        if self.deadline().is_some_and(|until| now >= until) {
            self.expire(now, &mut actions);
        }
        actions
    }

    /// Wakes it, takes back whatever it was asked before, and begins.
    fn wake(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        actions.push(Action::Send([&WAKE_UP[..], &frame::ACK].concat()));
        self.ask(now, Command::SamConfiguration, actions);
    }

    fn ask(&mut self, now: Timestamp, command: Command, actions: &mut Vec<Action>) {
        actions.push(Action::Send(command.encode()));
        self.state = State::Asking { command, phase: Phase::Sent, tries: 1, until: now + ACK_TIME };
    }

    fn recover(&mut self, now: Timestamp, trouble: Trouble, actions: &mut Vec<Action>) {
        actions.push(Action::Wrong(trouble));
        self.held.forget_misses();
        self.state = State::Recovering { until: now + RECOVERY };
    }

    fn hear(&mut self, now: Timestamp, found: Result<Heard, BadBytes>, actions: &mut Vec<Action>) {
        let State::Asking { command, phase, tries, until } = self.state else {
            // Late, or noise: nobody has asked.
            actions.extend(found.err().map(|cause| Action::Wrong(cause.into())));
            return;
        };
        match (phase, found) {
            (Phase::Sent, Ok(Heard::Ack)) => {
                let phase = Phase::Taken { repeats: 0 };
                self.state = State::Asking { command, phase, tries, until: now + ANSWER_TIME };
            }
            (Phase::Taken { .. }, Ok(Heard::Answer { code, data })) => {
                match command.understand(code, &data) {
                    Ok(answer) => self.answered(now, command, answer, actions),
                    Err(cause) => self.recover(now, Trouble::Malformed(command, cause), actions),
                }
            }
            // The ACK was lost in noise, or this answers what was asked before: the command goes out again in time.
            (Phase::Sent, Ok(Heard::Answer { .. })) | (Phase::Taken { .. }, Ok(Heard::Ack)) => {}
            (_, Ok(Heard::Error | Heard::Nack)) => self.recover(now, Trouble::Refused(command), actions),
            (Phase::Taken { repeats }, Err(cause @ BadBytes::Checksum)) if repeats < REPEATS => {
                actions.push(Action::Wrong(cause.into()));
                actions.push(Action::Send(frame::NACK.to_vec()));
                let phase = Phase::Taken { repeats: repeats + 1 };
                self.state = State::Asking { command, phase, tries, until };
            }
            (_, Err(cause)) => actions.push(Action::Wrong(cause.into())),
        }
    }

    fn answered(&mut self, now: Timestamp, command: Command, answer: Answer, actions: &mut Vec<Action>) {
        self.answered = Some(now);
        match answer {
            Answer::Firmware(firmware) => actions.push(Action::Known(firmware)),
            Answer::Card(seen) => self.look(now, seen, actions),
            Answer::Done => {}
        }
        match command {
            Command::SamConfiguration => self.ask(now, Command::GetFirmwareVersion, actions),
            Command::GetFirmwareVersion => self.ask(now, Command::MaxRetries, actions),
            Command::MaxRetries => self.ask(now, Command::ListPassiveTarget, actions),
            Command::ListPassiveTarget => self.ask(now, Command::FieldOff, actions),
            Command::FieldOff if self.held.is_unsure() => self.ask(now, Command::ListPassiveTarget, actions),
            Command::FieldOff => self.state = State::Resting { until: now + self.times.interval },
        }
    }

    fn look(&mut self, now: Timestamp, seen: Option<Uid>, actions: &mut Vec<Action>) {
        match seen {
            // It has another one each time: it is nothing that could be held.
            Some(uid) if uid.is_random() => {
                let _ = self.held.look(now, None);
                actions.push(Action::Made(uid));
            }
            Some(_) | None => {
                let laid = self.held.look(now, seen);
                actions.extend(seen.filter(|_| laid).map(Action::Tell));
            }
        }
    }

    fn expire(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        match self.state {
            State::Closed => {}
            State::Resting { .. } => self.ask(now, Command::ListPassiveTarget, actions),
            State::Recovering { .. } => self.wake(now, actions),
            State::Asking { command, phase, tries, .. } if tries < TRIES => {
                // It may still be at it: it is told to leave it.
                if phase != Phase::Sent {
                    actions.push(Action::Send(frame::ACK.to_vec()));
                }
                actions.push(Action::Send(command.encode()));
                let until = now + ACK_TIME;
                self.state = State::Asking { command, phase: Phase::Sent, tries: tries + 1, until };
            }
            State::Asking { command, phase, .. } => {
                let trouble = match phase {
                    Phase::Sent => Trouble::NoAck(command),
                    Phase::Taken { .. } => Trouble::NoAnswer(command),
                };
                self.recover(now, trouble, actions);
            }
        }
    }
}

#[cfg(test)]
mod tests;
