//! SLAC: which vehicle is at the other end of this cable (ISO 15118-3), and the powerline network
//! that is shared with it alone.
//!
//! ```text
//!            attach                     CM_SLAC_MATCH.CNF             link up
//!   Idle ─────────────▶ Matching ─────────────────────────▶ Joining ─────────▶ Linked
//!    ▲                   ▲  │ no match in 40 s                 │ 12 s            │ link lost,
//!    │ detach,           │  ▼                                  │                 ▼ or no word in 30 s
//!    └─ from anywhere   Reinitialising ◀───────────────────────┴────────────── Leaving
//!                       (pilot E/F for 4 s, then 5 % again; a new key)         (pilot X1 for 3 s)
//! ```
//! A vehicle that was not matched is started anew by E or F alone ([V2G3-M06-07]); one that was in the network
//! by X2 to X1 to E or F to X2 ([V2G3-M07-05] to [V2G3-M07-09]). One that paused its session may sleep, and its
//! modem with it: the key is kept.
//!
//! Frames and time go in; frames, events and the next deadline come out. No I/O, no clock, and no
//! randomness: when [`Slac::wants_key`], draw twenty bytes and give them to [`Slac::renew_key`].
//! Call [`Slac::timeout`] at [`Slac::deadline`]; after each call take [`Slac::take_transmit`] and
//! [`Slac::poll_event`] until they are empty.
//!
//! **Which vehicle.** All powerline modems in a car park hear each other a little. The vehicle
//! chooses the station that heard it best; the station holds it to that: the key goes only to the
//! vehicle with the lowest attenuation of all that were heard in the last ten seconds, and not
//! before those that are still sounding were measured, or 180 ms have passed. A nearer vehicle
//! takes the place of one that was matched wrongly, under a new key, unless a conversation runs;
//! so does one as near as the matched one if that has not begun to talk within ten seconds: it is
//! probably the same, since some draw a new address for each run.
//!
//! **Whom to believe.** Nothing on this medium is authenticated. Attenuation counts only from the
//! modem that confirmed our key. Everything that a frame can make us keep is bounded.

mod attenuation;
mod choice;
mod event;
mod key;
mod modem;
mod restart;
mod run;
pub mod shell;
mod socket;
pub mod wire;

use std::collections::VecDeque;
use std::time::Duration;

use serde::Deserialize;
use voltry_bus::{PilotOutput, PowerlineState};
use voltry_service::config::duration_ms;
use voltry_units::Timestamp;

use crate::net::Throttle;
pub use event::{Cause, Event};
use key::Key;
use modem::{Modem, News};
use run::{Run, Runs, Stage};
use wire::{JOIN, Mac, Message, ModemKind, Received, SESSION, Writer};

/// Requests that are answered without being kept, a second. Vehicles send some.
const REQUEST_RATE: u32 = 20;
/// Frames that wait for the socket; each frame received makes at most one.
const TRANSMIT_MAX: usize = 32;
/// Events that wait to be taken.
const EVENTS_MAX: usize = 64;

/// `[secc.N] slac`: the modem, and how matching is done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// The modem: `qca7000` (QCA7005 too), `cg5317` or `generic`.
    pub modem: ModemKind,
    /// dB taken off each attenuation before it is reported: what the station's own wiring between
    /// modem and connector adds. -30 to 30.
    #[serde(default)]
    pub attenuation_offset_db: i8,
    /// From 5 % on the pilot to the match (TT_EVSE_SLAC_init, 20 to 50 s); then the vehicle is
    /// started anew by its pilot. Milliseconds.
    #[serde(rename = "init_ms", default = "init", deserialize_with = "duration_ms")]
    pub init: Duration,
    /// From the link to the vehicle's first request for discovery; then it is started anew by its pilot. Vehicles
    /// give up after 20 s (ISO 15118-2, V2G_EVCC_CommunicationSetup_Timeout); recorded ones took up to 12 s.
    /// Milliseconds, at least 20 s.
    #[serde(rename = "first_word_ms", default = "first_word", deserialize_with = "duration_ms")]
    pub first_word: Duration,
    /// How often the vehicle is started anew before that is given up.
    #[serde(default = "retries")]
    pub retries: u32,
}

const fn init() -> Duration {
    Duration::from_secs(40)
}

const fn first_word() -> Duration {
    Duration::from_secs(30)
}

const fn retries() -> u32 {
    2
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No vehicle is attached.
    Idle,
    /// Nobody has the key.
    Matching {
        /// Someone asked for a run.
        heard: bool,
        /// `None`: starting anew was given up.
        until: Option<Timestamp>,
    },
    /// The pilot is in X1, before it goes to E or F.
    Leaving { until: Timestamp },
    /// The pilot is in E or F.
    Reinitialising { until: Timestamp },
    /// A vehicle has the key.
    Joining { vehicle: Mac, since: Timestamp },
    /// A vehicle has the key and is in the network.
    Linked {
        vehicle: Mac,
        since: Timestamp,
        /// Until when it has to say something; `None`: it did, or may stay silent.
        first_word_by: Option<Timestamp>,
    },
}

/// The matching of one EVSE.
#[derive(Debug)]
pub struct Slac {
    matching: Matching,
    writer: Writer,
    modem: Modem,
    phase: Phase,
    /// When the pilot last began to offer communication.
    offered_at: Timestamp,
    tries: u32,
    engaged: bool,
    asleep: bool,
    runs: Runs,
    requests: Throttle,
    transmit: VecDeque<Vec<u8>>,
    events: VecDeque<Event>,
}

impl Slac {
    /// With the station's own address; no vehicle attached, no key set.
    #[must_use]
    pub fn new(matching: Matching, station: Mac) -> Self {
        Self {
            modem: Modem::new(matching.modem),
            matching,
            writer: Writer { station },
            phase: Phase::Idle,
            offered_at: Timestamp::BOOT,
            tries: 0,
            engaged: false,
            asleep: false,
            runs: Runs::default(),
            requests: Throttle::new(REQUEST_RATE),
            transmit: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A vehicle is plugged in and its pilot offers communication.
    pub fn attach(&mut self, now: Timestamp) {
        if self.phase == Phase::Idle {
            self.tries = 0;
            self.begin(now);
        }
    }

    /// The vehicle is gone, or must not talk: it is put out of the network.
    pub fn detach(&mut self) {
        self.phase = Phase::Idle;
        self.runs.clear();
        self.engaged = false;
        self.asleep = false;
        self.modem.want_key();
    }

    /// A conversation runs over the link, or none does: while it does, nobody else gets the key.
    pub fn set_engaged(&mut self, engaged: bool) {
        self.engaged = engaged;
        if engaged {
            self.tries = 0;
            self.asleep = false;
            if let Phase::Linked { first_word_by, .. } = &mut self.phase {
                *first_word_by = None;
            }
        }
    }

    /// Whether a new key is to be drawn.
    #[must_use]
    pub fn wants_key(&self) -> bool {
        self.modem.wants_key()
    }

    /// Sets a new key, made of bytes that nobody can guess.
    pub fn renew_key(&mut self, now: Timestamp, random: [u8; 20]) {
        let frames = self.modem.set_key(now, Key::new(random), &self.writer);
        self.send(frames);
    }

    /// Whether a vehicle is matched and its link is up.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        matches!(self.phase, Phase::Linked { .. })
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> PowerlineState {
        if self.modem.is_silent() {
            return PowerlineState::ModemSilent;
        }
        match self.phase {
            Phase::Idle => PowerlineState::Idle,
            Phase::Matching { until: Some(_), .. } => PowerlineState::Matching,
            Phase::Matching { until: None, .. } => PowerlineState::Unmatched,
            Phase::Leaving { .. } | Phase::Reinitialising { .. } => PowerlineState::Reinitialising,
            Phase::Joining { .. } => PowerlineState::Joining,
            Phase::Linked { .. } => PowerlineState::Up,
        }
    }

    /// How often this vehicle was started anew, or would have been.
    #[must_use]
    pub const fn retries(&self) -> u32 {
        self.tries
    }

    /// A vehicle's datagram came over the network. Only who has the key is in it: so the link is
    /// up, whatever the modem says, or has not said yet.
    pub fn heard_data(&mut self, now: Timestamp) {
        match &mut self.phase {
            Phase::Joining { vehicle, .. } => {
                let vehicle = *vehicle;
                self.linked(now, vehicle);
            }
            Phase::Linked { first_word_by: Some(by), .. } => *by = now + self.matching.first_word,
            Phase::Linked { first_word_by: None, .. }
            | Phase::Idle
            | Phase::Matching { .. }
            | Phase::Leaving { .. }
            | Phase::Reinitialising { .. } => {}
        }
    }

    /// The modem's interface lost its carrier, or has it again: the modem starts anew.
    pub fn carrier(&mut self, now: Timestamp, up: bool) {
        if up {
            return self.modem.forget();
        }
        let news = self.modem.lost();
        self.heed(now, news);
        if matches!(self.phase, Phase::Joining { .. }) {
            self.reinitialise(now, Cause::LinkLost);
        }
    }

    /// How many vehicles' runs are kept, and how many frames wait: for the tests of their bounds.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        (self.runs.len(), self.transmit.len())
    }

    /// The next frame to send.
    pub fn take_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::timeout`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let phase = match self.phase {
            Phase::Idle => None,
            Phase::Matching { until, .. } => until.map(|until| self.put_off(until)),
            Phase::Leaving { until } | Phase::Reinitialising { until } => Some(until),
            Phase::Linked { first_word_by, .. } => first_word_by,
            Phase::Joining { since, .. } => Some(since + JOIN),
        };
        let runs = self.runs.iter().filter_map(Run::deadline);
        runs.chain(phase).chain(self.modem.deadline()).min()
    }

    /// A frame came. What is of no use is dropped.
    ///
    /// # Errors
    /// Why it is of no use, for whoever counts.
    pub fn receive(&mut self, now: Timestamp, frame: &[u8]) -> Result<(), wire::Unusable> {
        let Received { source, message } = wire::parse(frame)?;
        match message {
            Message::KeySet { nonce, result } => {
                let news = self.modem.key_set(now, source, nonce, result);
                self.heed(now, news);
                self.decide(now);
            }
            Message::LinkStatus { up } => {
                let news = self.modem.link_status(source, up);
                self.heed(now, news);
            }
            Message::Profile { vehicle, groups } => {
                if self.is_listening() && self.modem.is(source) {
                    self.measured(now, vehicle, &groups);
                }
            }
            Message::ParmReq(_)
            | Message::StartAttenChar { .. }
            | Message::Sound { .. }
            | Message::AttenCharRsp { .. }
            | Message::MatchReq(_)
            | Message::ValidateReq => {
                // Without a key there is nothing that a match could give.
                if self.is_listening()
                    && (self.modem.key().is_some() || matches!(message, Message::MatchReq(_)))
                {
                    self.vehicle_says(now, source, message);
                }
            }
        }
        Ok(())
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Timestamp) {
        let (frames, news) = self.modem.timeout(now, &self.writer);
        self.send(frames);
        self.heed(now, news);
        for vehicle in self.runs.due(now) {
            self.run_due(now, vehicle);
        }
        self.decide(now);
        match self.phase {
            Phase::Matching { heard, until: Some(until) } if now >= self.put_off(until) => {
                self.reinitialise(now, if heard { Cause::NotChosen } else { Cause::Unheard });
            }
            Phase::Leaving { until } if now >= until => self.step_to_f(now),
            Phase::Reinitialising { until } if now >= until => {
                self.tell(Event::Pilot(PilotOutput::Digital));
                self.begin(now);
            }
            Phase::Joining { since, .. } if now >= since + JOIN => self.reinitialise(now, Cause::NotJoined),
            Phase::Linked { first_word_by: Some(by), .. } if now >= by => self.without_a_word(now),
            Phase::Idle
            | Phase::Matching { .. }
            | Phase::Leaving { .. }
            | Phase::Reinitialising { .. }
            | Phase::Joining { .. }
            | Phase::Linked { .. } => {}
        }
    }

    fn is_listening(&self) -> bool {
        match self.phase {
            Phase::Matching { .. } | Phase::Joining { .. } | Phase::Linked { .. } => true,
            Phase::Idle | Phase::Leaving { .. } | Phase::Reinitialising { .. } => false,
        }
    }

    /// A run under way is not cut off, for as long as a run may take.
    fn put_off(&self, until: Timestamp) -> Timestamp {
        let ends = self.runs.iter().filter_map(|run| match &run.stage {
            Stage::Sounding { until, .. } | Stage::Reported { until, .. } => Some(*until),
            Stage::Chosen { decide_by, .. } => Some(*decide_by),
            Stage::Matched { .. } => None,
        });
        ends.max().map_or(until, |end| end.clamp(until, until + SESSION))
    }

    fn begin(&mut self, now: Timestamp) {
        self.offered_at = now;
        self.phase = Phase::Matching { heard: false, until: Some(now + self.matching.init) };
    }

    fn vehicle_says(&mut self, now: Timestamp, vehicle: Mac, message: Message) {
        match message {
            Message::ParmReq(run) => {
                if let Phase::Matching { heard, .. } = &mut self.phase {
                    *heard = true;
                }
                if self.requests.pass(now) {
                    self.send([self.writer.parm_cnf(vehicle, run)]);
                }
            }
            Message::StartAttenChar { run, sounds } => {
                if !self.runs.start(now, vehicle, run, sounds) {
                    tracing::debug!(vehicle = %wire::spelled(vehicle), "too many matching runs at once");
                }
            }
            Message::Sound { run, sender } => {
                if let Some(Run { stage: Stage::Sounding { sounds, sender: name, .. }, .. }) =
                    self.runs.named(vehicle, run)
                {
                    *sounds = sounds.saturating_add(1);
                    *name = sender;
                    self.report_if_complete(now, vehicle);
                }
            }
            Message::AttenCharRsp { run, result } => {
                if let Some(Run { stage: Stage::Reported { repeat, .. }, .. }) = self.runs.named(vehicle, run)
                {
                    *repeat = None;
                    if result != 0 {
                        self.runs.remove(vehicle);
                    }
                }
            }
            Message::MatchReq(request) if request.station() == self.writer.station => {
                self.asked_for_key(now, vehicle, request);
            }
            Message::ValidateReq => {
                if self.requests.pass(now) {
                    self.send([self.writer.validate_cnf(vehicle)]);
                }
            }
            Message::MatchReq(_)
            | Message::KeySet { .. }
            | Message::LinkStatus { .. }
            | Message::Profile { .. } => {}
        }
    }

    fn heed(&mut self, now: Timestamp, news: Option<News>) {
        match (news, self.phase) {
            (Some(News::Ready(mac)), _) => self.tell(Event::ModemReady(mac)),
            (Some(News::LinkNotTold), phase) => {
                self.tell(Event::LinkNotTold);
                if let Phase::Joining { vehicle, .. } = phase {
                    self.linked(now, vehicle);
                }
            }
            (Some(News::LinkUp), Phase::Joining { vehicle, .. }) => self.linked(now, vehicle),
            (Some(News::LinkDown), Phase::Linked { .. }) if !self.asleep => {
                self.reinitialise(now, Cause::LinkLost);
            }
            (Some(News::Silent), phase) => {
                self.tell(Event::ModemSilent);
                if matches!(phase, Phase::Linked { .. }) {
                    self.reinitialise(now, Cause::LinkLost);
                }
            }
            (Some(News::LinkUp | News::LinkDown) | None, _) => {}
        }
    }

    fn send(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) {
        for frame in frames {
            if self.transmit.len() < TRANSMIT_MAX {
                self.transmit.push_back(frame);
            }
        }
    }

    fn tell(&mut self, event: Event) {
        if self.events.len() < EVENTS_MAX {
            self.events.push_back(event);
        }
    }
}
