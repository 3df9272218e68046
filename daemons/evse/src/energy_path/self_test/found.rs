//! What a check of the self-test found, and in words.

use std::time::Duration;

use voltry_bus::{Contactors, Lock, Pilot, SelfTestOutcome, SelfTestStep};
use voltry_units::{Amps, Celsius, Ohms, Volts};

use super::Load;
use crate::energy_path::{FaultCode, Refusal};

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// One part, without a vehicle.
    Step(SelfTestStep),
    /// The modules, into a load at the plug.
    Load(Load),
}

impl Check {
    /// What the pilot has to say for it: without a vehicle A; a load stands at the plug as a vehicle that is ready.
    #[must_use]
    pub const fn pilot(self) -> Pilot {
        match self {
            Self::Step(_) => Pilot::A,
            Self::Load(_) => Pilot::C,
        }
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step(step) => step.fmt(f),
            Self::Load(_) => f.write_str("load"),
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Which check.
    pub check: Check,
    /// How it ended.
    pub outcome: SelfTestOutcome,
    /// What was seen.
    pub seen: Seen,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Voltages on module side and cable side.
    Voltages(Volts, Volts),
    /// The contactors by their feedback.
    Contactors(Contactors),
    /// Closed and open again, each within this time.
    Moved(Duration, Duration),
    /// The lock by its feedback.
    Lock(Lock),
    /// An insulation value after a passed self-test.
    Resistance(Ohms),
    /// So many temperatures are told, of so many that were.
    Sensors(u8, u8),
    /// The hottest sensor.
    Temperature(Celsius),
    /// The monitor says that its self-test failed.
    MonitorFailed,
    /// What the modules delivered into a load.
    Loaded(Volts, Amps),
    /// The voltage that the modules reached, in what time, and how long it took to go.
    Raised(Volts, Duration, Duration),
    /// Of this there is nothing here.
    NotFitted,
    /// Why it was not begun.
    NotNow(&'static str),
    /// It did not come about in this time.
    NotWithin(Duration),
    /// A provider refused this method of it.
    Refused {
        /// The method.
        member: &'static str,
        /// Why.
        refusal: Refusal,
        /// A board that closes the contactors for a vehicle alone.
        interlocked: bool,
    },
    /// A fault ended it.
    Fault(FaultCode),
    /// The pilot, and where it has to be.
    Pilot(Pilot, Pilot),
    /// The daemon ends.
    Ending,
}

impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Voltages(modules, cable) => write!(f, "module side {modules}, cable side {cable}"),
            Self::Contactors(contactors) => write!(f, "the contactors are {contactors} by their feedback"),
            Self::Moved(closed, opened) => {
                write!(f, "closed within {} ms, open within {} ms", closed.as_millis(), opened.as_millis())
            }
            Self::Lock(lock) => write!(f, "the lock is {lock} by its feedback"),
            Self::Resistance(resistance) => write!(f, "self-test passed; insulation {resistance}"),
            Self::MonitorFailed => f.write_str("the monitor's self-test failed"),
            Self::Sensors(tell, told) => write!(f, "{tell} of {told} temperature sensors tell"),
            Self::Temperature(hottest) => write!(f, "the hottest sensor says {hottest}"),
            Self::Raised(voltage, up, down) => {
                write!(
                    f,
                    "{voltage} within {:.1} s, gone within {:.1} s",
                    up.as_secs_f64(),
                    down.as_secs_f64()
                )
            }
            Self::Loaded(voltage, current) => write!(f, "{current} at {voltage}"),
            Self::NotFitted => f.write_str("not fitted"),
            Self::NotNow(why) => f.write_str(why),
            Self::NotWithin(time) => write!(f, "not within {:.1} s", time.as_secs_f64()),
            Self::Refused { member, refusal, interlocked } => {
                write!(f, "{member} {}", refusal.words())?;
                if *interlocked {
                    f.write_str("; a board may close the contactors for a vehicle alone")?;
                }
                Ok(())
            }
            Self::Fault(code) => write!(f, "{}: {}", code.name(), code.words()),
            Self::Pilot(pilot, Pilot::A) => {
                write!(f, "the pilot is in state {pilot}: without a vehicle it has to be in A")
            }
            Self::Pilot(pilot, wanted) => {
                write!(f, "the pilot is in state {pilot}: a load at the plug has to hold it in {wanted}")
            }
            Self::Ending => f.write_str("the daemon ends"),
        }
    }
}
