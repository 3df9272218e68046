//! What a controller must know of one vendor's modules.

use std::ops::RangeInclusive;
use std::time::Duration;

use voltry_units::Amps;

use crate::{Capability, Destination, FAMILIES, Frame, Malformed, Message, Range, Request, Unencodable};

/// One vendor's protocol.
#[derive(Debug, Clone)]
pub struct Family {
    /// As the configuration names it.
    pub name: &'static str,
    /// Who makes the modules.
    pub vendor: &'static str,
    /// How long a module waits for a frame of its controller before it switches its output off;
    /// `None` where the vendor does not publish it.
    pub silence_limit: Option<Duration>,
    /// Addresses that a module can have; groups, where the controller speaks to these only.
    pub addresses: RangeInclusive<u8>,
    /// Whether a controller speaks to groups only. A group is told its whole current and shares it
    /// by itself; its master says what all give, each module its own conditions. Answers do not say
    /// which group they are of.
    pub grouped: bool,
    /// Whether a module's status says which group it belongs to.
    pub tells_group: bool,
    /// What each module is rated for, where all are alike. Other families' modules tell it, or
    /// nobody but their nameplate does.
    pub rating: Option<Capability>,
    /// How a set-point is sent.
    pub set_point: SetPoint,
    /// Output ranges that a controller can choose; none where a module has one range, or
    /// chooses by itself.
    pub ranges: &'static [Range],
    /// What a module that is on gives at least: it takes less for that.
    pub current_least: Amps,
    /// What its modules can be asked.
    pub questions: Questions,
    /// That its modules report without being asked.
    pub reports: Option<Reports>,
    /// The frame that carries a request.
    pub encode: fn(Destination, Request) -> Result<Frame, Unencodable>,
    /// What a received frame with a 29-bit identifier says.
    pub decode: fn(u32, &[u8]) -> Result<Message, Malformed>,
}

/// How a module is told what to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetPoint {
    /// [`Request::SetOutput`], then [`Request::Switch`].
    Together,
    /// [`Request::SetVoltage`] and [`Request::SetCurrent`], then [`Request::Switch`].
    Apart,
    /// [`Request::Deliver`]: the frame also switches on. Off is [`Request::Switch`].
    WithSwitch,
}

/// What modules can be asked, by how often one wants to know it.
#[derive(Debug, Clone, Copy)]
pub struct Questions {
    /// What it delivers now; as often as the bus has room. Each is asked as often as the others.
    pub output: &'static [Request],
    /// Its conditions; several times a second.
    pub status: &'static [Request],
    /// What changes slowly; once a second.
    pub details: &'static [Request],
    /// What never changes. A module is not used before it has told it.
    pub identity: &'static [Request],
    /// What some modules of the family tell and others do not answer; asked once.
    pub perhaps: &'static [Request],
    /// Of which at least two are not asked otherwise while a module delivers, so that their answers
    /// show that those to all earlier questions are through.
    pub barriers: &'static [Request],
}

impl Questions {
    /// Of modules that only report.
    pub const NONE: Self =
        Self { output: &[], status: &[], details: &[], identity: &[], perhaps: &[], barriers: &[] };
}

/// Modules that report by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reports {
    /// What they deliver, this often.
    pub every: Duration,
    /// How many frames a module sends in that time.
    pub frames: u32,
    /// [`Request::KeepAlive`] must be sent to all this often.
    pub keep_alive: Duration,
}

impl Family {
    /// The family of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.name == name)
    }

    /// Who has this address.
    #[must_use]
    pub fn destination(&self, address: u8) -> Destination {
        if self.grouped { Destination::Group(address) } else { Destination::Module(address) }
    }

    /// Whether the family has a frame for this kind of request.
    #[must_use]
    pub fn supports(&self, request: Request) -> bool {
        let to = self.destination(*self.addresses.start());
        !matches!((self.encode)(to, request), Err(Unencodable::Unsupported(_)))
    }
}
