//! A CAN bus of power modules behind an slcan adapter.
//!
//! A PTY has no bit rate, so each frame is charged its bits at 125 kbit/s here, in both
//! directions; of the frames that wait, the lowest identifier goes first, as arbitration has it.

mod bits;

use std::collections::VecDeque;
use std::time::Duration;

use voltry_canlink::slcan::{Decoder, Line, encode};
use voltry_canlink::{CanFrame, CanId};

pub use self::bits::{Load, SharedLoad};
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
/// What floods the bus: no identifier goes before it.
const FLOOD: u32 = 0;

/// The adapter, the bus, and the modules on it. They may feed several EVSEs.
#[derive(Debug)]
pub struct CanBus {
    modules: Vec<PowerModule>,
    decoder: Decoder,
    bit_rate: Option<u8>,
    open: bool,
    /// The controller takes no part in the bus until it is begun anew.
    bus_off: bool,
    free_at: Duration,
    on_wire: Option<(Origin, CanFrame)>,
    from_host: VecDeque<(Duration, CanFrame)>,
    replies: Vec<u8>,
    ticked: Duration,
    sent: u64,
    lost: u64,
    load: SharedLoad,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Host,
    Module,
    /// A device that is none of ours.
    Stranger,
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
            bus_off: false,
            free_at: Duration::ZERO,
            on_wire: None,
            from_host: VecDeque::new(),
            replies: Vec::new(),
            ticked: Duration::ZERO,
            sent: 0,
            lost: 0,
            load: SharedLoad::default(),
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

    /// How full it is; it goes on being told.
    #[must_use]
    pub fn load(&self) -> SharedLoad {
        self.load.clone()
    }

    fn broken(&self, fault: Fault) -> bool {
        self.modules.iter().any(|module| module.stage().circuit().with(|circuit| circuit.faults.has(fault)))
    }

    fn command(&mut self, now: Duration, line: Line) {
        self.fail();
        let answer = match line {
            Line::Frame(_) if !self.open || self.bus_off => Line::Refused,
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
                (self.open, self.bus_off) = (false, false);
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
        let flood = self.flood();
        let Some(first) = self.waiting().chain(flood).min() else { return };
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
            _ if flood.is_some_and(|at| at <= start) => {
                nonsense(FLOOD).map(|frame| (Origin::Stranger, frame))
            }
            Some((_, module)) => module.take().map(|frame| (Origin::Module, frame)),
            None => self.from_host.pop_front().map(|(_, frame)| (Origin::Host, frame)),
        };
        let bits = self.on_wire.as_ref().map_or(0, |(_, frame)| bits::on_wire(frame));
        self.load.add(bits);
        self.free_at = start + BIT * bits;
    }

    /// When the next frame of a device that floods the bus is ready, if there is one.
    fn flood(&self) -> Option<Duration> {
        self.broken(Fault::CanFlood).then(|| self.free_at.max(self.ticked))
    }

    /// A controller that cannot send counts its errors, and leaves the bus.
    fn fail(&mut self) {
        if self.open && self.broken(Fault::CanBusOff) {
            self.bus_off = true;
            self.from_host.clear();
        }
    }

    /// When each of those that have something to say may say it.
    fn waiting(&self) -> impl Iterator<Item = Duration> {
        let modules = self.modules.iter().filter_map(PowerModule::next);
        modules.chain(self.from_host.front()).map(|(at, _)| *at)
    }

    /// The frame on the wire is complete.
    fn deliver(&mut self, at: Duration, origin: Origin, frame: CanFrame) {
        if self.broken(Fault::CanSilent) || self.bus_off || self.bit_rate != Some(BIT_RATE) {
            return;
        }
        match origin {
            Origin::Host => {
                let peers: Vec<_> = self.modules.iter().filter_map(PowerModule::peer).collect();
                for module in &mut self.modules {
                    module.receive(at, &frame, Peers(&peers));
                }
            }
            Origin::Module | Origin::Stranger if self.open => {
                encode(Line::Frame(frame), &mut self.replies);
                self.sent += 1;
                if self.broken(Fault::CanGarbage) {
                    self.garbage();
                }
            }
            Origin::Module | Origin::Stranger => {}
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
                if let Some(frame) = nonsense(0x0283_F03A) {
                    encode(Line::Frame(frame), &mut self.replies);
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
        let ready = self.waiting().chain(self.flood());
        let next = ready.map(|at| at.max(self.free_at)).chain(frame).min();
        next.unwrap_or(Duration::MAX).min(self.ticked + TICK)
    }
}

impl CanBus {
    fn advance(&mut self, now: Duration) {
        self.fail();
        self.carry(now);
        self.ticked = now;
        self.load.passed(now);
        let firsts: Vec<_> =
            self.modules.iter().map(|module| (module.number(), module.faults_as_first())).collect();
        let of_first = |fault| firsts.iter().find(|(_, faults)| faults.has(fault)).map(|(number, _)| *number);
        for module in &mut self.modules {
            module.readdress(of_first);
            module.tick(now);
        }
        // What they say by themselves.
        self.carry(now);
    }

    /// Each round puts a frame on the wire or takes one off, and both queues are bounded.
    fn carry(&mut self, now: Duration) {
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
    }
}

/// Not-a-number and infinity.
fn nonsense(identifier: u32) -> Option<CanFrame> {
    let id = CanId::extended(identifier).ok()?;
    Some(CanFrame::of_eight(id, [0x7F, 0xC0, 0, 0, 0x7F, 0x80, 0, 0]))
}

#[cfg(test)]
mod tests;
