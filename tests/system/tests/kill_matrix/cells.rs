//! Who dies, when, and what must then be true: the table "When something dies" of the design.

use std::fmt;
use std::time::Duration;

use super::strikes::Strike;

/// Who is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Evse,
    Power,
    /// The same where EVSEs share modules through a matrix of contactors.
    RackPower,
    Board,
    /// The same, which drives that matrix, too.
    RackBoard,
    Secc,
    InsulationMonitor,
    Meter,
    Station,
    Ocpp,
    Ui,
    Ctl,
    Bus,
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Available,
    CableCheck,
    PreCharge,
    Charging,
    Stopping,
    Finished,
}

pub const PHASES: [Phase; 6] = [
    Phase::Available,
    Phase::CableCheck,
    Phase::PreCharge,
    Phase::Charging,
    Phase::Stopping,
    Phase::Finished,
];

const VICTIMS: [Victim; 13] = [
    Victim::Evse,
    Victim::Power,
    Victim::RackPower,
    Victim::Board,
    Victim::RackBoard,
    Victim::Secc,
    Victim::InsulationMonitor,
    Victim::Meter,
    Victim::Station,
    Victim::Ocpp,
    Victim::Ui,
    Victim::Ctl,
    Victim::Bus,
];

/// What must be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// No current, and open contactors, within this.
    Off { output: Duration, contactors: Duration },
    /// It charges as before.
    GoesOn,
    /// What is open stays open.
    StaysOpen,
    /// Whatever the session does, it ends free and billed.
    Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub victim: Victim,
    pub strike: Strike,
    pub phase: Phase,
}

impl Victim {
    /// As `make kill-matrix` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evse => "evse",
            Self::Power => "power",
            Self::RackPower => "rack-power",
            Self::Board => "board",
            Self::RackBoard => "rack-board",
            Self::Secc => "secc",
            Self::InsulationMonitor => "insulation-monitor",
            Self::Meter => "meter",
            Self::Station => "station",
            Self::Ocpp => "ocpp",
            Self::Ui => "ui",
            Self::Ctl => "voltryctl",
            Self::Bus => "bus",
        }
    }

    /// Its process under the simulator's supervisor.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Evse => "evse-1",
            Self::Power | Self::RackPower => "power",
            Self::Board | Self::RackBoard => "board",
            Self::Secc => "secc-1",
            Self::InsulationMonitor => "meter-imd1",
            Self::Meter => "meter-dc1",
            Self::Station => "station",
            Self::Ocpp => "ocpp",
            Self::Ui => "ui",
            Self::Ctl => "voltryctl",
            Self::Bus => "bus",
        }
    }

    /// The simulator's fault that cuts it off its devices, for who has some.
    pub const fn devices(self) -> Option<&'static str> {
        match self {
            Self::Power | Self::RackPower => Some("can-silent"),
            Self::Board => Some("board-silent"),
            Self::RackBoard => Some("matrix-silent"),
            Self::Secc => Some("vehicle-silent"),
            Self::InsulationMonitor => Some("imd-gone"),
            Self::Meter => Some("meter-gone"),
            Self::Evse | Self::Station | Self::Ocpp | Self::Ui | Self::Ctl | Self::Bus => None,
        }
    }

    /// Whether its station has a rack that EVSEs share.
    pub const fn has_rack(self) -> bool {
        matches!(self, Self::RackPower | Self::RackBoard)
    }

    fn can_be_struck(self, strike: Strike) -> bool {
        match strike {
            Strike::Kill | Strike::Stop | Strike::StopAndWake => true,
            Strike::CutOff => self != Self::Bus,
            Strike::Devices => self.devices().is_some(),
        }
    }
}

impl Phase {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::CableCheck => "cable-check",
            Self::PreCharge => "pre-charge",
            Self::Charging => "charging",
            Self::Stopping => "stopping",
            Self::Finished => "finished",
        }
    }
}

impl Promise {
    pub const fn words(self) -> &'static str {
        match self {
            Self::Off { .. } => "off",
            Self::GoesOn => "goes on",
            Self::StaysOpen => "stays open",
            Self::Ends => "ends",
        }
    }
}

const fn off(output: u64, contactors: u64) -> Promise {
    Promise::Off { output: Duration::from_millis(output), contactors: Duration::from_millis(contactors) }
}

impl Cell {
    pub fn is_in(&self, part: &str) -> bool {
        [self.victim.name(), self.strike.name(), self.phase.name()].contains(&part)
    }

    /// What the design promises. An error shutdown has a second for the current to fall; whoever is stopped is
    /// found by its silence: readings after 0.3 s, a vehicle's link after 3 s, a meter after 3 s, and then a
    /// normal stop, for which the vehicle has its time.
    pub fn promise(&self) -> Promise {
        match self.phase {
            Phase::Available | Phase::Finished => return Promise::StaysOpen,
            Phase::CableCheck | Phase::PreCharge | Phase::Charging | Phase::Stopping => {}
        }
        let charging = self.phase == Phase::Charging;
        let stopped = matches!(self.strike, Strike::Stop | Strike::StopAndWake);
        match self.victim {
            // Its leases lapse, as they do when nobody can hear a renewal.
            Victim::Evse | Victim::Bus => off(500, 1_000),
            Victim::Power | Victim::RackPower | Victim::InsulationMonitor => off(1_300, 1_300),
            // Whose controller is not heard is missed after half a second.
            Victim::RackBoard if self.strike == Strike::Devices => off(2_000, 2_000),
            Victim::Board | Victim::RackBoard => off(500, 1_300),
            // In the charge loop by the age of its target; before it by the vehicle's own times, and by the
            // watchdog of 3 s.
            Victim::Secc if charging && (stopped || self.strike == Strike::Devices) => off(4_000, 4_300),
            Victim::Secc if self.strike == Strike::Stop => off(4_300, 4_300),
            Victim::Secc if stopped || self.strike == Strike::Devices => Promise::Ends,
            Victim::Secc => off(300, 1_300),
            Victim::Meter if !charging => Promise::Ends,
            Victim::Meter if self.strike == Strike::StopAndWake => Promise::Ends,
            Victim::Meter => off(14_000, 16_000),
            Victim::Station | Victim::Ocpp | Victim::Ui | Victim::Ctl if charging => Promise::GoesOn,
            Victim::Station | Victim::Ocpp | Victim::Ui | Victim::Ctl => Promise::Ends,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} in {}", self.victim.name(), self.strike.name(), self.phase.name())
    }
}

/// Each daemon with each strike that can befall it.
pub fn rows() -> impl Iterator<Item = (Victim, Strike)> {
    VICTIMS.into_iter().flat_map(|victim| {
        Strike::ALL
            .into_iter()
            .filter(move |strike| victim.can_be_struck(*strike))
            .map(move |strike| (victim, strike))
    })
}

/// The matrix.
pub fn all() -> impl Iterator<Item = Cell> {
    rows().flat_map(|(victim, strike)| PHASES.into_iter().map(move |phase| Cell { victim, strike, phase }))
}
