//! A CAN bus of power modules behind an slcan adapter.
//!
//! A PTY has no bit rate, so each frame is charged its time at 125 kbit/s here, in both
//! directions; of the frames that wait, the lowest identifier goes first, as arbitration has it.

use std::collections::VecDeque;
use std::time::Duration;

use voltry_canlink::slcan::{Decoder, Line, encode};
use voltry_canlink::{CanFrame, CanId};

use super::Wire;
use super::module::{Peers, PowerModule};
use crate::faults::Fault;

/// One bit at 125 kbit/s.
const BIT: Duration = Duration::from_micros(8);
/// The modules' own rules run at least this often.
const TICK: Duration = Duration::from_millis(20);
/// What the adapter buffers; a host that sends faster than the bus loses frames.
const QUEUE: usize = 64;
/// `S4`: 125 kbit/s.
pub(super) const BIT_RATE: u8 = 4;

/// The adapter, the bus, and the modules on it. They may feed several EVSEs.
#[derive(Debug)]
pub struct CanBus {
    modules: Vec<PowerModule>,
    decoder: Decoder,
    bit_rate: Option<u8>,
    open: bool,
    free_at: Duration,
    on_wire: Option<(Origin, CanFrame)>,
    from_host: VecDeque<(Duration, CanFrame)>,
    replies: Vec<u8>,
    ticked: Duration,
    sent: u64,
    lost: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Host,
    Module,
}

impl CanBus {
    /// A bus with these modules.
    #[must_use]
    pub fn new(modules: Vec<PowerModule>) -> Self {
        Self {
            modules,
            decoder: Decoder::default(),
            bit_rate: None,
            open: false,
            free_at: Duration::ZERO,
            on_wire: None,
            from_host: VecDeque::new(),
            replies: Vec::new(),
            ticked: Duration::ZERO,
            sent: 0,
            lost: 0,
        }
    }

    /// The modules, in the order given.
    #[must_use]
    pub fn modules(&self) -> &[PowerModule] {
        &self.modules
    }

    /// Frames that the host sent faster than the bus carries, and so lost.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    fn broken(&self, fault: Fault) -> bool {
        self.modules.iter().any(|module| module.stage().circuit().with(|circuit| circuit.faults.has(fault)))
    }

    fn command(&mut self, now: Duration, line: Line) {
        let answer = match line {
            Line::Frame(_) if !self.open => Line::Refused,
            Line::Frame(frame) => {
                if self.from_host.len() < QUEUE {
                    self.from_host.push_back((now, frame));
                    Line::Sent
                } else {
                    self.lost += 1;
                    Line::Refused
                }
            }
            Line::BitRate(_) if self.open => Line::Refused,
            Line::BitRate(number) => {
                self.bit_rate = Some(number);
                Line::Done
            }
            Line::Open if self.bit_rate.is_none() || self.open => Line::Refused,
            Line::Open => {
                self.open = true;
                Line::Done
            }
            Line::Close => {
                self.open = false;
                self.from_host.clear();
                Line::Done
            }
            Line::Other(_) => Line::Done,
            // What only an adapter says.
            Line::Done | Line::Refused | Line::Sent => return,
        };
        encode(answer, &mut self.replies);
    }

    /// Puts the next frame on the wire, if one is ready and the bus free by `now`.
    fn arbitrate(&mut self, now: Duration) {
        let Some(first) = self.waiting().min() else { return };
        let start = first.max(self.free_at);
        if start > now {
            return;
        }
        let host = self.from_host.front().filter(|(at, _)| *at <= start).map(|(_, frame)| frame.id().bits());
        let speaking = self.modules.iter_mut().filter_map(|module| {
            let bits = module.next().filter(|(at, _)| *at <= start)?.1.id().bits();
            Some((bits, module))
        });
        let module = speaking.min_by_key(|(bits, _)| *bits);
        let wins = module.filter(|(bits, _)| host.is_none_or(|host| *bits < host));
        self.on_wire = match wins {
            Some((_, module)) => module.take().map(|frame| (Origin::Module, frame)),
            None => self.from_host.pop_front().map(|(_, frame)| (Origin::Host, frame)),
        };
        self.free_at = start + self.on_wire.as_ref().map_or(Duration::ZERO, |(_, frame)| duration(frame));
    }

    /// When each of those that have something to say may say it.
    fn waiting(&self) -> impl Iterator<Item = Duration> {
        let modules = self.modules.iter().filter_map(PowerModule::next);
        modules.chain(self.from_host.front()).map(|(at, _)| *at)
    }

    /// The frame on the wire is complete.
    fn deliver(&mut self, at: Duration, origin: Origin, frame: CanFrame) {
        if self.broken(Fault::CanSilent) || self.bit_rate != Some(BIT_RATE) {
            return;
        }
        match origin {
            Origin::Host => {
                let peers: Vec<_> = self.modules.iter().filter_map(PowerModule::peer).collect();
                for module in &mut self.modules {
                    module.receive(at, &frame, Peers(&peers));
                }
            }
            Origin::Module if self.open => {
                encode(Line::Frame(frame), &mut self.replies);
                self.sent += 1;
                if self.broken(Fault::CanGarbage) {
                    self.garbage();
                }
            }
            Origin::Module => {}
        }
    }

    /// Lines no adapter should write and frames no module sends, one kind after the other.
    fn garbage(&mut self) {
        match self.sent % 4 {
            0 => self.replies.extend(b"T0283F0zz8\r"),
            1 => self.replies.extend([0xFF, 0x00, b'\r']),
            2 => self.replies.extend(b"T1FFFFFFF80123456789ABCDEF\r"),
            _ => {
                // A module that nobody has, with not-a-number for its voltage.
                let id = CanId::extended(0x0283_F03A).ok();
                let nan = [0x7F, 0xC0, 0, 0, 0x7F, 0x80, 0, 0];
                if let Some(id) = id {
                    encode(Line::Frame(CanFrame::of_eight(id, nan)), &mut self.replies);
                }
            }
        }
    }
}

impl Wire for CanBus {
    fn receive(&mut self, now: Duration, bytes: &[u8]) {
        self.advance(now);
        for byte in bytes {
            if let Some(line) = self.decoder.push(*byte) {
                self.command(now, line);
            }
        }
    }

    fn transmit(&mut self, now: Duration, out: &mut Vec<u8>) {
        self.advance(now);
        out.append(&mut self.replies);
    }

    fn deadline(&self) -> Duration {
        let frame = self.on_wire.is_some().then_some(self.free_at);
        let next = self.waiting().map(|at| at.max(self.free_at)).chain(frame).min();
        next.unwrap_or(Duration::MAX).min(self.ticked + TICK)
    }
}

impl CanBus {
    fn advance(&mut self, now: Duration) {
        // Each round puts a frame on the wire or takes one off, and both queues are bounded.
        loop {
            match self.on_wire {
                Some(_) if self.free_at > now => break,
                Some((origin, frame)) => {
                    self.on_wire = None;
                    self.deliver(self.free_at, origin, frame);
                }
                None => {
                    self.arbitrate(now);
                    if self.on_wire.is_none() {
                        break;
                    }
                }
            }
        }
        self.ticked = now;
        for module in &mut self.modules {
            module.tick(now);
        }
    }
}

/// The time of a frame on the bus, with a typical tenth of stuffed bits.
fn duration(frame: &CanFrame) -> Duration {
    let overhead = if frame.id().is_extended() { 67 } else { 47 };
    // At most 8 bytes.
    #[allow(clippy::cast_possible_truncation)]
    let bits = overhead + 8 * frame.data().len() as u32;
    BIT * (bits * 11 / 10)
}

#[cfg(test)]
mod tests;
