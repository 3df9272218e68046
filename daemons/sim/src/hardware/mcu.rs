//! The safety controller of a chargebyte Charge SOM on its serial line, device side.
//!
//! ```text
//! frame   A5 | id | 8 data | CRC-8 SAE J1850 over id and data | 03
//!
//! Init ──first 0x06──▶ Running ──fault, or no 0x06 in time──▶ Safe (pilot F, contactors open)
//!   ▲                                                          │
//!   └───────────────────────── reset ◀─────────────────────────┘
//! ```
//!
//! The data bytes are a big-endian number of 64 bits. On the real board a reset line of the host
//! ends the safe state; a PTY has none, so the action 0xFE with [`McuConfig::reset_action`] in
//! byte 0 stands for it here. **This is the simulator's, not the vendor's.**

mod frame;

use std::time::Duration;

pub use frame::{Decoder, encode};

use super::Wire;
use crate::electrical::{PilotSource, PilotState, SharedCircuit};
use crate::faults::Fault;

const CHARGE_CONTROL: u8 = 0x06;
const CHARGE_STATE: u8 = 0x07;
const TEMPERATURES: u8 = 0x08;
const VERSION: u8 = 0x0A;
const GIT_HASH: u8 = 0x0B;
const ACTION: u8 = 0xFE;
const INQUIRY: u8 = 0xFF;

/// States are sent this often.
const PERIOD: Duration = Duration::from_millis(100);
/// The inputs are looked at this often.
const SAMPLE: Duration = Duration::from_millis(5);
/// How long the controller takes from its first message to its first state.
const STARTS_IN: Duration = Duration::from_millis(300);
/// How long an inquiry takes; the document allows 30 ms.
const ANSWERS_IN: Duration = Duration::from_millis(10);
/// Feedback and coil may differ this long.
const FEEDBACK: Duration = Duration::from_millis(100);
/// A channel this hot stops charging, in degrees Celsius.
const TOO_HOT_C: f64 = 85.0;
/// A temperature channel that is not used, in the upper 14 bits.
const UNUSED: u16 = 0x1FFF << 2;

/// What differs between firmwares, or is not documented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct McuConfig {
    /// Without a periodic message for this long the controller goes to its safe state. Default
    /// 500 ms (unverified).
    pub host_timeout: Duration,
    /// Byte 0 of action 0xFE that stands for the reset line. Default 2 (the simulator's own).
    pub reset_action: u8,
    /// How 0x07 says that a contactor is open and closed.
    pub contactor_codes: ContactorCodes,
}

impl Default for McuConfig {
    fn default() -> Self {
        Self {
            host_timeout: Duration::from_millis(500),
            reset_action: 2,
            contactor_codes: ContactorCodes::default(),
        }
    }
}

/// The two bits of a contactor in 0x07; 3 is "not used" in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContactorCodes {
    /// 0 open, 1 closed.
    #[default]
    OpenIsZero,
    /// 1 open, 2 closed, 0 undefined: the vendor's library of 2025.
    OpenIsOne,
}

/// Why the controller is in its safe state, as 0x07 says it in its byte 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// No periodic message in time.
    ComTimeout = 2,
    /// Temperature channel 1 too hot.
    OverTemp1 = 7,
    /// Temperature channel 2 too hot.
    OverTemp2 = 8,
    /// Proximity reads nothing possible.
    Proximity = 11,
    /// The control pilot is shorted.
    PilotShort = 13,
    /// The vehicle's diode is missing.
    PilotDiode = 14,
    /// A contactor does not do what its coil says.
    HvSwitch = 15,
    /// Emergency stop 1.
    EmergencyStop1 = 16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Init,
    Starting { until: Duration },
    Running { heard: Duration },
    Safe { reason: Reason },
}

/// The controller.
#[derive(Debug)]
pub struct Mcu {
    config: McuConfig,
    circuit: SharedCircuit,
    state: State,
    decoder: Decoder,
    control: [u8; 8],
    next_state: Duration,
    next_sample: Duration,
    answers: Vec<(Duration, u8, [u8; 8])>,
    /// In the circuit's time.
    disagree_since: Option<Duration>,
}

impl Mcu {
    /// The controller of `circuit`, powered up and waiting for its host.
    #[must_use]
    pub fn new(config: McuConfig, circuit: SharedCircuit) -> Self {
        let mut mcu = Self {
            config,
            circuit,
            state: State::Init,
            decoder: Decoder::default(),
            control: [0; 8],
            next_state: Duration::ZERO,
            next_sample: Duration::ZERO,
            answers: Vec::new(),
            disagree_since: None,
        };
        mcu.de_energise();
        mcu
    }

    /// Why it is in its safe state.
    #[must_use]
    pub fn safe_state(&self) -> Option<Reason> {
        match self.state {
            State::Safe { reason } => Some(reason),
            State::Init | State::Starting { .. } | State::Running { .. } => None,
        }
    }

    /// The reset line: everything begins anew, with the pilot in state F and contactors open.
    pub fn reset(&mut self) {
        self.state = State::Init;
        self.control = [0; 8];
        self.answers.clear();
        self.disagree_since = None;
        self.de_energise();
    }

    fn de_energise(&mut self) {
        self.circuit.with(|circuit| {
            circuit.pilot.source = PilotSource::Off;
            circuit.contactors.request(false);
        });
    }

    fn go_safe(&mut self, reason: Reason) {
        tracing::debug!(?reason, "safety controller goes to its safe state");
        self.state = State::Safe { reason };
        self.de_energise();
    }

    fn take(&mut self, now: Duration, id: u8, data: [u8; 8]) {
        match id {
            CHARGE_CONTROL => {
                self.control = data;
                match self.state {
                    State::Init => {
                        self.state = State::Starting { until: now + STARTS_IN };
                        self.next_state = now + STARTS_IN;
                    }
                    State::Running { .. } => {
                        self.state = State::Running { heard: now };
                        self.drive();
                    }
                    State::Starting { .. } | State::Safe { .. } => {}
                }
            }
            ACTION if data[0] == self.config.reset_action => self.reset(),
            INQUIRY if self.answers.len() < 8 => {
                let answer = match data[0] {
                    VERSION => [1, 4, 2, 0x81, 0x03, 0, 1, 0],
                    GIT_HASH => *b"\xC0\xFF\xEE\x00\x51\x4D\x00\x01",
                    CHARGE_STATE => self.charge_state(),
                    TEMPERATURES => self.temperatures(),
                    _ => return,
                };
                self.answers.push((now + ANSWERS_IN, data[0], answer));
            }
            // Actions for hardware that this board has not, and what no host sends.
            _ => {}
        }
    }

    /// Puts what the host asks onto pilot and coils; contactors only in state C.
    fn drive(&mut self) {
        let duty_permille = u16::from_be_bytes([self.control[0] & 0x03, self.control[1]]).min(1_000);
        let source = match (self.control[0] & 0x80 != 0, duty_permille) {
            (false, _) | (true, 0) => PilotSource::Off,
            (true, 1_000) => PilotSource::Steady,
            (true, duty_permille) => PilotSource::Pwm { duty_permille },
        };
        let request = self.control[2];
        self.circuit.with(|circuit| {
            circuit.pilot.source = source;
            let ready = circuit.pilot_state() == PilotState::C;
            circuit.contactors.plus.coil = ready && request & 1 != 0;
            circuit.contactors.minus.coil = ready && request & 2 != 0;
        });
    }

    /// Looks at the inputs, as the real controller does without its host.
    fn sample(&mut self, now: Duration) {
        match self.state {
            State::Init | State::Safe { .. } => {}
            State::Starting { until } => {
                if now >= until {
                    self.state = State::Running { heard: now };
                    self.drive();
                }
            }
            State::Running { heard } => {
                if now.saturating_sub(heard) > self.config.host_timeout {
                    self.go_safe(Reason::ComTimeout);
                } else if let Some(reason) = self.fault() {
                    self.go_safe(reason);
                } else {
                    self.drive();
                }
            }
        }
    }

    fn fault(&mut self) -> Option<Reason> {
        let (contacts, simulated, agree, faults, diode) = self.circuit.with(|circuit| {
            let agree = [circuit.contactors.plus, circuit.contactors.minus]
                .iter()
                .all(|contactor| contactor.coil == contactor.closed());
            (circuit.contact_c(), circuit.elapsed(), agree, circuit.faults, circuit.pilot_diode_fault())
        });
        if agree {
            self.disagree_since = None;
        }
        // In the contactors' own time: a process that was held up did not move them meanwhile.
        let since = *self.disagree_since.get_or_insert(simulated);
        let disagrees = !agree && simulated.saturating_sub(since) > FEEDBACK;
        [
            (faults.has(Fault::EmergencyStop), Reason::EmergencyStop1),
            (faults.has(Fault::PilotShort), Reason::PilotShort),
            (diode, Reason::PilotDiode),
            (faults.has(Fault::ProximityOpen), Reason::Proximity),
            (contacts[0] > TOO_HOT_C, Reason::OverTemp1),
            (contacts[1] > TOO_HOT_C, Reason::OverTemp2),
            (disagrees, Reason::HvSwitch),
        ]
        .into_iter()
        .find_map(|(is, reason)| is.then_some(reason))
    }

    fn charge_state(&self) -> [u8; 8] {
        self.circuit.with(|circuit| {
            let (pwm, duty) = match circuit.pilot.source {
                PilotSource::Off => (0, 0),
                PilotSource::Steady => (0x80, 1_000),
                PilotSource::Pwm { duty_permille } => (0x80, duty_permille),
            };
            let [duty_high, duty_low] = duty.to_be_bytes();
            let pilot = match circuit.pilot_state() {
                PilotState::A => 1,
                PilotState::B => 2,
                PilotState::C => 3,
                PilotState::D => 4,
                PilotState::E => 5,
                PilotState::F => 6,
            };
            let short = u8::from(circuit.faults.has(Fault::PilotShort)) << 3;
            let diode = u8::from(circuit.pilot_diode_fault()) << 4;
            // A tethered cable has no proximity of its own; a broken wire reads as an error.
            let proximity = match (circuit.faults.has(Fault::ProximityOpen), circuit.latch_pressed) {
                (true, _) => 7,
                (false, true) => 6,
                (false, false) => 0,
            };
            let reason = self.safe_state().map_or(0, |reason| reason as u8);
            let safe = u8::from(reason != 0);
            let contactors = self.contactor_code(circuit.contactors.plus.closed())
                | self.contactor_code(circuit.contactors.minus.closed()) << 2
                | 3 << 4;
            // Firmwares say the safe state in bits 58 and 59, or in bits 30 and 31.
            let (safe_first, safe_fourth) = match self.config.contactor_codes {
                ContactorCodes::OpenIsZero => (0, safe << 6),
                ContactorCodes::OpenIsOne => (safe << 2, 0),
            };
            let estops = u8::from(circuit.faults.has(Fault::EmergencyStop)) | 3 << 2 | 3 << 4;
            [
                pwm | safe_first | duty_high,
                duty_low,
                pilot | short | diode,
                proximity,
                contactors | safe_fourth,
                estops,
                reason,
                0,
            ]
        })
    }

    fn contactor_code(&self, closed: bool) -> u8 {
        match self.config.contactor_codes {
            ContactorCodes::OpenIsZero => u8::from(closed),
            ContactorCodes::OpenIsOne => 1 + u8::from(closed),
        }
    }

    fn temperatures(&self) -> [u8; 8] {
        let contacts = self.circuit.with(|circuit| circuit.contact_c());
        let stopped = |reason| self.safe_state() == Some(reason);
        let words = [
            channel(contacts[0], stopped(Reason::OverTemp1)),
            channel(contacts[1], stopped(Reason::OverTemp2)),
            UNUSED,
            UNUSED,
        ];
        let mut data = [0; 8];
        for (place, word) in data.chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        data
    }

    fn send(&self, id: u8, data: [u8; 8], out: &mut Vec<u8>) {
        let faults = self.circuit.with(|circuit| circuit.faults);
        if faults.has(Fault::BoardSilent) {
            return;
        }
        let mut frame = encode(id, data);
        if faults.has(Fault::BoardWrongCrc) {
            frame[10] ^= 0x55;
        }
        out.extend(frame);
    }
}

/// Tenths of a degree in bits 15 to 2, "charging stopped" in bit 0.
fn channel(celsius: f64, stopped: bool) -> u16 {
    // Far inside 14 bits; then two's complement.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let tenths = (celsius * 10.0).round().clamp(-8_000.0, 8_000.0) as i16 as u16;
    tenths << 2 | u16::from(stopped)
}

impl Wire for Mcu {
    fn receive(&mut self, now: Duration, bytes: &[u8]) {
        for byte in bytes {
            if let Some((id, data)) = self.decoder.push(*byte) {
                self.take(now, id, data);
            }
        }
    }

    fn transmit(&mut self, now: Duration, out: &mut Vec<u8>) {
        if now >= self.next_sample {
            self.next_sample = now + SAMPLE;
            self.sample(now);
        }
        let due = self.answers.iter().take_while(|(at, ..)| *at <= now).count();
        for (_, id, data) in self.answers.drain(..due).collect::<Vec<_>>() {
            self.send(id, data, out);
        }
        let speaks = matches!(self.state, State::Running { .. } | State::Safe { .. });
        if speaks && now >= self.next_state {
            self.next_state = now + PERIOD;
            self.send(CHARGE_STATE, self.charge_state(), out);
            self.send(TEMPERATURES, self.temperatures(), out);
        }
    }

    fn deadline(&self) -> Duration {
        self.next_sample
    }
}

#[cfg(test)]
mod tests;
