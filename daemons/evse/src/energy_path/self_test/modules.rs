//! The power modules, raised behind open contactors.
//!
//! ```text
//! ProvenToRaise ▶ AwaitingModules ▶ Raising ▶ Standing ▶ Falling
//! ```

use voltry_bus::SelfTestOutcome;
use voltry_units::Timestamp;

use super::{
    Checking, MODULES_READY, MODULES_SHARED, NOTHING_TO_GIVE, READING_TIME, STANDS, Seen, Stage, Turn,
};
use crate::energy_path::EnergyPath;
use crate::energy_path::outputs::Setpoint;

impl EnergyPath {
    /// The modules' own stages; `safe`: everything is measured off and open.
    pub(super) fn check_modules(&mut self, now: Timestamp, checking: Checking, safe: bool) -> Turn {
        let elapsed = now.since(checking.since);
        let go = |stage, time| Ok(Some((stage, time)));
        match checking.stage {
            Stage::ProvenToRaise if self.has_supply_failed() => {
                Err((SelfTestOutcome::Failed, Seen::NotNow(NOTHING_TO_GIVE)))
            }
            Stage::ProvenToRaise if safe && self.is_check_guarded(now) => {
                self.outputs.enable_supply(now);
                go(Stage::AwaitingModules, MODULES_SHARED)
            }
            Stage::AwaitingModules if safe && !self.is_supply_unable() => {
                self.raise_modules(now);
                go(Stage::Raising, MODULES_READY)
            }
            Stage::Raising if self.is_raised(now) => go(Stage::Standing(elapsed), STANDS + READING_TIME),
            Stage::Standing(_) if !self.is_raised(now) => {
                Err((SelfTestOutcome::Failed, self.seen_instead(now, checking)))
            }
            Stage::Standing(up) if elapsed >= STANDS => {
                let voltage = self.module_side(now);
                self.outputs.supply_off();
                go(Stage::Falling(voltage, up), self.installation.profile.discharge)
            }
            Stage::Falling(voltage, up) if safe => {
                Err((SelfTestOutcome::Passed, Seen::Raised(voltage, up, elapsed)))
            }
            Stage::ProvenToRaise
            | Stage::AwaitingModules
            | Stage::Raising
            | Stage::Standing(_)
            | Stage::Falling(..)
            | Stage::Free
            | Stage::Voltages
            | Stage::Temperatures
            | Stage::Locking
            | Stage::Unlocking
            | Stage::MonitorWaking
            | Stage::MonitorTesting
            | Stage::MonitorMeasuring(_)
            | Stage::ProvenToClose
            | Stage::Closing
            | Stage::Opening(_)
            | Stage::Load(_)
            | Stage::Ending(_) => Ok(None),
        }
    }

    fn raise_modules(&mut self, now: Timestamp) {
        let current = self.installation.profile.cable_check_current;
        self.outputs.set_output(now, Setpoint { voltage: self.check_voltage(), current });
    }

    fn is_raised(&self, now: Timestamp) -> bool {
        self.module_side(now) >= self.check_voltage().scaled(95, 100)
    }
}
