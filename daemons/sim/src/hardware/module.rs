//! A power module on CAN.
//!
//! What all modules have in common is [`Stage`]: set points, range, temperature, faults, and the
//! switching off when nobody speaks to it any more. A family's file holds only its frames, as a
//! [`Protocol`], written from the vendor's document or, where there is none, from what public
//! drivers send and expect. [`Family`] is the table of them.

pub mod family;
mod huawei_r100040gx;
mod infypower;
mod infypower_beg;
mod maxwell_mxr;
pub mod stage;
mod tonhe;
mod uugreenpower;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use voltry_canlink::CanFrame;

pub use family::Family;
pub use stage::Stage;

use crate::electrical::{SharedCircuit, Socket};
use crate::faults::{Fault, FaultSet};

/// How long a module takes to answer.
const ANSWERS_IN: Duration = Duration::from_millis(3);
const LATE: Duration = Duration::from_secs(3);
/// How often a module says its last frame again that does so by itself.
const REPEATS: Duration = Duration::from_millis(25);
/// Frames of one module that may wait for the bus.
const OUTGOING: usize = 128;

/// A family's frames.
///
/// A module that is dead is not asked. What it answers waits until it has thought, and for the bus.
pub(super) trait Protocol: Debug + Send {
    /// Takes a frame of the bus, whoever it is for, and gives the answers in their order.
    fn receive(
        &mut self,
        now: Duration,
        frame: &CanFrame,
        stage: &mut Stage,
        peers: Peers<'_>,
    ) -> Vec<CanFrame>;

    /// What it sends without being asked, by now.
    fn report(&mut self, _now: Duration, _stage: &Stage) -> Vec<CanFrame> {
        Vec::new()
    }
}

/// What modules on one bus know of one another: those that answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peers<'a>(pub(super) &'a [Peer]);

/// One module as the others on its bus know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: u8,
    pub(super) group: u8,
    /// Volts and amperes at its terminals.
    pub(super) output: (f64, f64),
}

/// Several modules taken together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Together {
    /// How many modules answer.
    pub(super) count: u8,
    /// The lowest address among them.
    pub(super) master: u8,
    /// Their common output, in volts.
    pub(super) volts: f64,
    /// Their total output, in amperes.
    pub(super) amps: f64,
}

impl Peers<'_> {
    /// All of a group; of all groups, if none is named.
    pub(super) fn together(self, group: Option<u8>) -> Together {
        let members = || self.0.iter().filter(|peer| group.is_none_or(|group| peer.group == group));
        Together {
            count: u8::try_from(members().count()).unwrap_or(u8::MAX),
            master: members().map(|peer| peer.address).min().unwrap_or(0),
            volts: members().map(|peer| peer.output.0).fold(0.0, f64::max),
            amps: members().map(|peer| peer.output.1).sum(),
        }
    }
}

/// One module.
#[derive(Debug)]
pub struct PowerModule {
    stage: Stage,
    protocol: Box<dyn Protocol>,
    /// The controller of a module sends one frame after the other, and each not before its time.
    outgoing: VecDeque<(Duration, CanFrame)>,
    said: Option<CanFrame>,
    repeats_at: Duration,
}

impl PowerModule {
    /// The module with this address and group number that feeds `circuit` through its power stage
    /// `index`. It is off.
    ///
    /// # Panics
    /// If the circuit has no such power stage.
    #[must_use]
    pub fn new(family: Family, address: u8, group: u8, circuit: SharedCircuit, index: usize) -> Self {
        Self::at(family, address, group, Socket::Own(circuit, index))
    }

    /// The module with this address and group number whose power stage is there. It is off.
    ///
    /// # Panics
    /// If there is no such power stage.
    #[must_use]
    pub fn at(family: Family, address: u8, group: u8, socket: Socket) -> Self {
        Self {
            stage: Stage::new(address, group, socket, family.made()),
            protocol: family.protocol(),
            outgoing: VecDeque::new(),
            said: None,
            repeats_at: Duration::ZERO,
        }
    }

    /// What it is apart from its language.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// The address with which it left the factory.
    pub(super) fn number(&self) -> u8 {
        self.stage.number
    }

    /// The faults of its EVSE, if it is the first module there.
    pub(super) fn faults_as_first(&self) -> FaultSet {
        self.stage.faults_as_first()
    }

    /// Takes the address that it has now; `of_first` is the one of the first module with a fault.
    pub(super) fn readdress(&mut self, of_first: impl Fn(Fault) -> Option<u8>) {
        self.stage.readdress(of_first);
    }

    #[cfg(test)]
    pub(super) fn stage_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }

    pub(super) fn peer(&self) -> Option<Peer> {
        let Stage { address, group, .. } = self.stage;
        self.stage.answers().then(|| Peer { address, group, output: self.stage.output() })
    }

    /// Lets time pass: the module's own rules, and its faults, reach the power stage.
    pub(super) fn tick(&mut self, now: Duration) {
        self.stage.tick(now);
        if self.stage.answers() {
            let frames = self.protocol.report(now, &self.stage);
            self.queue(now, Duration::ZERO, frames);
            self.repeat(now);
        }
    }

    /// Says its last frame again, if that is its fault.
    fn repeat(&mut self, now: Duration) {
        if now < self.repeats_at || !self.stage.broken(Fault::ModuleAnswersUnasked) {
            return;
        }
        self.repeats_at = now + REPEATS;
        if self.outgoing.is_empty()
            && let Some(frame) = self.said
        {
            self.queue(now, Duration::ZERO, vec![frame]);
        }
    }

    /// Takes a frame of the bus.
    pub(super) fn receive(&mut self, now: Duration, frame: &CanFrame, peers: Peers<'_>) {
        if self.stage.answers() {
            let frames = self.protocol.receive(now, frame, &mut self.stage, peers);
            self.stage.tick(now);
            self.queue(now, ANSWERS_IN, frames);
        }
    }

    fn queue(&mut self, now: Duration, thinks: Duration, frames: Vec<CanFrame>) {
        let late = if self.stage.broken(Fault::ModuleLate) { LATE } else { thinks };
        let room = OUTGOING.saturating_sub(self.outgoing.len());
        self.outgoing.extend(frames.into_iter().take(room).map(|frame| (now + late, frame)));
    }

    /// The frame it would put on the bus next, and from when on.
    pub(super) fn next(&self) -> Option<&(Duration, CanFrame)> {
        self.outgoing.front()
    }

    pub(super) fn take(&mut self) -> Option<CanFrame> {
        let (_, frame) = self.outgoing.pop_front()?;
        self.said = Some(frame);
        Some(frame)
    }
}

/// The data of a frame that has eight bytes.
fn eight(frame: &CanFrame) -> Option<[u8; 8]> {
    frame.data().try_into().ok()
}

/// Some bits of an identifier, shifted down.
fn field(bits: u32, shift: u32, mask: u8) -> u8 {
    u8::try_from(bits >> shift & u32::from(mask)).unwrap_or(u8::MAX)
}

/// Bits of a status word that are set.
fn flags(set: &[(u8, bool)]) -> u32 {
    set.iter().fold(0, |word, (bit, on)| word | u32::from(*on) << bit)
}

fn unsigned(value: f64) -> u32 {
    // Saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rounded = value.round().clamp(0.0, f64::from(u32::MAX)) as u32;
    rounded
}

/// Two's complement.
fn signed(value: f64) -> u32 {
    // Saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bits = value.round().clamp(f64::from(i32::MIN), f64::from(i32::MAX)) as i32 as u32;
    bits
}

fn word(value: f64) -> u16 {
    u16::try_from(unsigned(value)).unwrap_or(u16::MAX)
}

fn u32_at(data: [u8; 8], at: usize) -> u32 {
    u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

#[cfg(test)]
mod bench;
