//! What flows, and where: one physical step.

use std::time::Duration;

use voltry_bus::Pilot;
use voltry_units::Timestamp;

use super::super::Vehicle;
use super::Devices;

/// Ohms of a short circuit at the connector.
const SHORT: f64 = 0.1;

impl Devices {
    /// What happens by itself.
    fn age(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        if self.heats {
            self.hottest = (self.hottest + 15.0 * seconds).min(95.0);
        } else if self.hottest > 25.0 && self.hottest < 86.0 {
            self.hottest -= 10.0 * seconds;
        }
        if self.insulation_falls {
            self.insulation *= 0.5_f64.powf(seconds / 2.0);
        }
        self.can_cut_for =
            if self.can_cut || self.uncommanded { self.can_cut_for + time } else { Duration::ZERO };
        if self.can_cut_for > Duration::from_secs(10) {
            (self.supply_on, self.set_current) = (false, 0.0);
        }
        let charged = !self.supply_on && self.current < 1.0 && self.module > 60.0;
        self.bleeders_latched |= self.bleeders_failed && charged;
        if self.misled.blocks(time) {
            self.supply_off();
        }
        if (self.pilot_short || self.proximity_open || self.heats) && self.safe_state.is_none() {
            self.safe_state = self.cause_to_latch();
        }
    }

    /// One physical step.
    pub fn flow(&mut self, time: Duration, now: Timestamp, vehicle: &Vehicle) {
        let seconds = time.as_secs_f64();
        self.age(time);
        if self.supply.until.is_none_or(|until| now > until) {
            self.supply.until = None;
            self.supply_off();
        }
        let tripped = self.guard.watch(self.cable);
        if tripped {
            self.supply_off();
        }
        if self.board.until.is_some_and(|until| now > until)
            // The controller lets go by itself of a vehicle that opens S2.
            || vehicle.pilot == Pilot::B
            || self.emergency_stop
            || self.safe_state.is_some()
            || tripped
        {
            self.board.until = None;
            self.board_closed = false;
        }
        let closed = self.welded || (self.board_closed && !self.stuck_open);
        if closed && !self.contactors {
            self.closed_into = self.closed_into.max((self.module - self.cable).abs());
        }
        self.contactors = closed;
        self.welded |= self.welds && closed;
        // A battery on a short circuit has lost its fuse.
        let battery = (self.contactors && vehicle.contactor && !self.short).then_some(vehicle.battery());
        let able = if self.modules_lie { 0.5 } else { f64::from(self.modules_percent) / 100.0 };
        let wanted = if !self.supply_on || self.gives_nothing() {
            0.0
        } else if let (Some(battery), true) = (battery, self.set_current < 0.0) {
            ((self.set_voltage - battery) / 0.05).clamp(self.set_current, 0.0) + self.runaway
        } else if let Some(battery) = battery {
            ((self.set_voltage - battery) / 0.05).clamp(0.0, self.set_current.min(150.0 * able))
                + self.runaway
        } else if self.short && self.contactors {
            self.set_current.min(self.set_voltage / SHORT)
        } else if self.farads > 0.0 && self.contactors {
            let taken =
                if self.module < self.set_voltage { self.set_current } else { self.set_voltage / self.load };
            taken + self.runaway
        } else {
            0.0
        };
        // Modules follow up in slopes and down within tenths of a second.
        if wanted < 0.0 || self.current < 0.0 {
            let step = 400.0 * seconds;
            self.current = wanted.clamp(self.current - step, self.current + step);
        } else if wanted > self.current {
            self.current = wanted.min(self.current + 400.0 * seconds);
        } else {
            self.current = wanted.max(self.current - (self.current * 20.0 + 50.0) * seconds).max(0.0);
        }
        self.move_voltages(seconds, battery, vehicle);
        let stray = if self.short { 0.0 } else { self.stray };
        (self.module, self.cable) = (self.module.max(stray), self.cable.max(stray));
        if self.contactors {
            let energy = self.cable * self.current * seconds / 3600.0;
            self.exported -= if self.meter_stuck { 0.0 } else { energy.min(0.0) };
            let energy = energy.max(0.0);
            self.delivered += energy;
            self.register += match (self.meter_stuck, self.meter_backwards) {
                (true, _) => 0.0,
                (false, true) => -energy,
                (false, false) => energy,
            };
        }
    }

    fn move_voltages(&mut self, seconds: f64, battery: Option<f64>, vehicle: &Vehicle) {
        let bleed = |voltage: f64| voltage * (-seconds / 0.15).exp();
        if let Some(battery) = battery {
            self.module = battery + self.current * 0.05;
        } else if self.short && self.contactors {
            self.module = self.current * SHORT;
        } else if self.farads > 0.0 && self.contactors && self.supply_on && !self.gives_nothing() {
            self.module = self.charged(seconds).min(self.set_voltage);
        } else if self.supply_on && !self.gives_nothing() {
            let rise = if self.set_current > 0.0 { 1500.0 * seconds } else { 0.0 };
            self.module = if self.module > self.set_voltage {
                bleed(self.module).max(self.set_voltage)
            } else {
                (self.module + rise).min(self.set_voltage)
            };
        } else if !self.bleeders_failed {
            self.module = bleed(self.module);
        }
        if self.supply_on && !(self.short && self.contactors) {
            self.module = self.module.max(self.surge);
        }
        self.cable = if self.contactors {
            self.module
        } else if vehicle.contactor && !self.short {
            vehicle.battery()
        } else {
            bleed(self.cable)
        };
    }

    /// The voltage that the present current, less what the load takes, makes of it in this time.
    fn charged(&self, seconds: f64) -> f64 {
        if self.load.is_infinite() {
            return self.module + self.current * seconds / self.farads;
        }
        let rest = self.current * self.load;
        rest + (self.module - rest) * (-seconds / (self.load * self.farads)).exp()
    }
}
