//! The EVSE's two contactors, DC+ and DC−, each with a mirror contact that follows its main one.

use std::time::Duration;

const CLOSING: Duration = Duration::from_millis(30);
const OPENING: Duration = Duration::from_millis(15);

/// One contactor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pole {
    /// The coil is energised.
    pub coil: bool,
    closed: bool,
    moving: Duration,
}

impl Pole {
    /// Whether the main contact is closed; the mirror contact always says the same.
    #[must_use]
    pub fn closed(&self) -> bool {
        self.closed
    }

    pub(super) fn step(&mut self, time: Duration, welded: bool, stuck_open: bool) {
        // A weld happens where metal touches; an open contact cannot weld.
        let target = (self.coil && !stuck_open) || (welded && self.closed);
        if target == self.closed {
            self.moving = Duration::ZERO;
            return;
        }
        self.moving += time;
        let needed = if target { CLOSING } else { OPENING };
        if self.moving >= needed {
            self.closed = target;
            self.moving = Duration::ZERO;
        }
    }
}

/// The pair. Current flows only when both are closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contactors {
    /// Contactor 1.
    pub plus: Pole,
    /// Contactor 2.
    pub minus: Pole,
}

impl Contactors {
    /// Energises or releases both coils.
    pub fn request(&mut self, closed: bool) {
        self.plus.coil = closed;
        self.minus.coil = closed;
    }

    /// Whether both main contacts are closed.
    #[must_use]
    pub fn conducts(&self) -> bool {
        self.plus.closed && self.minus.closed
    }

    pub(super) fn step(&mut self, time: Duration, welded: bool, stuck_open: bool) {
        self.plus.step(time, welded, stuck_open);
        self.minus.step(time, welded, stuck_open);
    }
}
