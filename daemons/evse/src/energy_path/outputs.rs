//! What has been commanded: epochs, sequences, set-points, and the actions of this step.

use std::time::Duration;

use voltry_bus::PilotOutput;
use voltry_service::LeaseHolder;
use voltry_units::{Amps, Timestamp, Volts};

use super::action::{Action, Command, Report};
use super::{Capability, Discharge};

/// How long after a lowered set-point the modules may still give the old current.
const SETTLING: Duration = Duration::from_secs(1);

/// One leased provider as this process has commanded it.
#[derive(Debug, Clone, Default)]
struct Leased {
    holder: LeaseHolder,
    open: bool,
}

impl Leased {
    fn open(&mut self, now: Timestamp) -> u64 {
        self.open = true;
        self.holder.open(now)
    }
}

/// A set-point of the supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setpoint {
    pub(super) voltage: Volts,
    pub(super) current: Amps,
}

/// What the over-voltage monitor was told to watch, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guard {
    pub(super) limit: Volts,
    pub(super) since: Timestamp,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Outputs {
    actions: Vec<Action>,
    supply: Leased,
    contactors: Leased,
    closing_since: Option<Timestamp>,
    opened_at: Option<Timestamp>,
    setpoint: Option<Setpoint>,
    /// The highest current that may still flow, and since when a lower one is set.
    ceiling: Amps,
    lowered_at: Option<Timestamp>,
    /// The highest that may still come from the vehicle, negative, and since when less is set.
    floor: Amps,
    raised_at: Option<Timestamp>,
    pilot: Option<PilotOutput>,
    /// The board did not take the last order to the pilot.
    pilot_refused: bool,
    locked: Option<bool>,
    /// The board did not take the last order to the lock.
    lock_refused: bool,
    insulation_active: Option<bool>,
    guard: Option<Guard>,
    /// The over-voltage monitor was told that it need not watch.
    disarmed: bool,
    attached: bool,
    limits: Option<Capability>,
    discharge: Option<Discharge>,
    /// When a renewal was last found too late, and when before that.
    late: [Option<Timestamp>; 2],
}

impl Outputs {
    pub(super) fn begin_step(&mut self) {
        self.actions.clear();
    }

    pub(super) fn actions(&self) -> &[Action] {
        &self.actions
    }

    pub(super) fn send(&mut self, command: Command) {
        self.actions.push(Action::Do(command));
    }

    pub(super) fn report(&mut self, report: Report) {
        self.actions.push(Action::Report(report));
    }

    /// The three that make everything safe, before anything else that this step wanted;
    /// whatever it wanted energised is dropped, and what it wanted of the pilot.
    pub(super) fn emergency(&mut self, now: Timestamp) {
        self.pilot_refused = false;
        self.actions.retain(|action| match action {
            Action::Do(Command::Pilot(_)) => false,
            Action::Do(command) => command.epoch().is_none(),
            Action::Report(_) => true,
        });
        self.actions.splice(
            0..0,
            [
                Action::Do(Command::SupplyOff),
                Action::Do(Command::OpenContactors),
                Action::Do(Command::Pilot(PilotOutput::X1)),
            ],
        );
        self.supply_is_off();
        self.contactors_are_open(now);
        self.pilot = Some(PilotOutput::X1);
    }

    pub(super) fn enable_supply(&mut self, now: Timestamp) {
        let epoch = self.supply.open(now);
        self.setpoint = None;
        (self.ceiling, self.floor) = (Amps::ZERO, Amps::ZERO);
        (self.lowered_at, self.raised_at) = (None, None);
        self.send(Command::EnableSupply(epoch));
    }

    /// Sends a set-point if it is another one. Ignored without an epoch.
    pub(super) fn set_output(&mut self, now: Timestamp, setpoint: Setpoint) {
        if !self.supply.open || self.setpoint == Some(setpoint) {
            return;
        }
        if setpoint.current >= self.ceiling {
            self.ceiling = setpoint.current;
            self.lowered_at = None;
        } else if self.lowered_at.is_none() {
            self.lowered_at = Some(now);
        }
        if setpoint.current <= self.floor {
            self.floor = setpoint.current;
            self.raised_at = None;
        } else if self.raised_at.is_none() {
            self.raised_at = Some(now);
        }
        self.setpoint = Some(setpoint);
        self.order_setpoint_again(now);
    }

    /// Until a supply has taken it, the one before holds.
    pub(super) fn order_setpoint_again(&mut self, now: Timestamp) {
        if let Some(Setpoint { voltage, current }) = self.setpoint {
            let lease = self.supply.holder.stamp(now);
            self.send(Command::SetOutput { lease, voltage, current });
        }
    }

    pub(super) fn supply_off(&mut self) {
        self.send(Command::SupplyOff);
        self.supply_is_off();
    }

    fn supply_is_off(&mut self) {
        self.supply.open = false;
        self.setpoint = None;
    }

    pub(super) fn close_contactors(&mut self, now: Timestamp) {
        let epoch = self.contactors.open(now);
        self.closing_since = Some(now);
        self.opened_at = None;
        self.send(Command::EnableContactors(epoch));
        let lease = self.contactors.holder.stamp(now);
        self.send(Command::CloseContactors(lease));
    }

    pub(super) fn open_contactors(&mut self, now: Timestamp) {
        self.send(Command::OpenContactors);
        self.contactors_are_open(now);
    }

    fn contactors_are_open(&mut self, now: Timestamp) {
        self.contactors.open = false;
        self.closing_since = None;
        self.opened_at.get_or_insert(now);
    }

    /// Extends the leases that are open. Only a step on fresh inputs may call this.
    pub(super) fn renew(&mut self, now: Timestamp) {
        if self.supply.open {
            let lease = self.supply.holder.stamp(now);
            self.send(Command::RenewSupply(lease));
        }
        self.renew_contactors(now);
    }

    /// Keeps the contactors closed while the current falls.
    pub(super) fn renew_contactors(&mut self, now: Timestamp) {
        if self.contactors.open {
            let lease = self.contactors.holder.stamp(now);
            self.send(Command::RenewContactors(lease));
        }
    }

    /// Whether a refusal is about what is commanded now, and not about something already over.
    pub(super) fn concerns_open_epoch(&self, command: &Command) -> bool {
        let epoch = command.epoch();
        (self.supply.open && epoch == Some(self.supply.holder.epoch()))
            || (self.contactors.open && epoch == Some(self.contactors.holder.epoch()))
    }

    /// Whether a renewal or a set-point that its provider found too late is one too many. Each is as one that was
    /// lost, and the lease runs on from the one before it: two leave 200 ms of the 500, a third within
    /// a second says that this machine cannot keep its leases.
    pub(super) fn is_late_again(&mut self, now: Timestamp) -> bool {
        let again = self.late[1].is_some_and(|before| now.since(before) < Duration::from_secs(1));
        self.late = [Some(now), self.late[0]];
        again
    }

    pub(super) fn set_pilot(&mut self, output: PilotOutput) {
        if self.pilot != Some(output) {
            self.pilot = Some(output);
            self.send(Command::Pilot(output));
        }
    }

    pub(super) fn pilot_refused(&mut self, output: PilotOutput) {
        self.pilot_refused |= self.pilot == Some(output);
    }

    pub(super) fn lock_refused(&mut self, locked: bool) {
        self.lock_refused |= self.locked == Some(locked);
    }

    /// With the next tick and no sooner: a board that refuses answers at once. `speaks`: it is heard. One that is
    /// silent takes no order to the lock.
    pub(super) fn order_again_what_the_board_refused(&mut self, speaks: bool) {
        if speaks
            && std::mem::take(&mut self.lock_refused)
            && let Some(locked) = self.locked
        {
            self.send(Command::Lock(locked));
        }
        if std::mem::take(&mut self.pilot_refused)
            && let Some(output) = self.pilot
        {
            self.send(Command::Pilot(output));
        }
    }

    pub(super) fn set_lock(&mut self, locked: bool) {
        if self.locked != Some(locked) {
            self.locked = Some(locked);
            self.send(Command::Lock(locked));
        }
    }

    /// Also if it was ordered before.
    pub(super) fn order_lock(&mut self, locked: bool) {
        self.locked = None;
        self.set_lock(locked);
    }

    pub(super) fn wants_locked(&self) -> bool {
        self.locked == Some(true)
    }

    pub(super) fn set_lock_if(&mut self, fitted: bool, locked: bool) {
        if fitted {
            self.set_lock(locked);
        }
    }

    pub(super) fn set_insulation_active(&mut self, active: bool) {
        if self.insulation_active != Some(active) {
            self.insulation_active = Some(active);
            self.send(Command::InsulationActive(active));
        }
    }

    /// Arms the over-voltage monitor, if it is not told this limit yet.
    pub(super) fn arm_guard(&mut self, now: Timestamp, limit: Volts) {
        if self.guard.is_none_or(|guard| guard.limit != limit) {
            self.guard = Some(Guard { limit, since: now });
            self.disarmed = false;
            self.send(Command::ArmOverVoltage(limit));
        }
    }

    pub(super) fn disarm_guard(&mut self) {
        if !self.disarmed {
            self.guard = None;
            self.disarmed = true;
            self.send(Command::DisarmOverVoltage);
        }
    }

    /// Another over-voltage monitor, or one that was reset: what it watches is unknown.
    pub(super) fn forget_guard(&mut self) {
        self.guard = None;
        self.disarmed = false;
    }

    pub(super) fn guard(&self) -> Option<Guard> {
        self.guard
    }

    /// Sends the offer if it is another one.
    pub(super) fn send_limits(&mut self, limits: Capability) {
        if self.limits != Some(limits) {
            self.limits = Some(limits);
            self.send(Command::Limits(limits));
        }
    }

    /// Sends what is taken from a vehicle if it is something else.
    pub(super) fn send_discharge(&mut self, discharge: Discharge) {
        if self.discharge != Some(discharge) {
            self.discharge = Some(discharge);
            self.send(Command::Discharge(discharge));
        }
    }

    pub(super) fn attach(&mut self) {
        self.attached = true;
        self.limits = None;
        self.discharge = None;
        self.send(Command::Attach);
    }

    pub(super) fn detach(&mut self) {
        if self.attached {
            self.attached = false;
            self.send(Command::Detach);
        }
    }

    /// What a provider does is unknown: whatever is commanded next is sent.
    pub(super) fn forget_commanded(&mut self) {
        self.pilot = None;
        self.locked = None;
        self.insulation_active = None;
        self.attached = true;
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached
    }

    /// Whether anything is commanded that energises.
    pub(super) fn is_live(&self) -> bool {
        self.supply.open || self.contactors.open
    }

    pub(super) fn supply_enabled(&self) -> bool {
        self.supply.open
    }

    pub(super) fn contactors_enabled(&self) -> bool {
        self.contactors.open
    }

    pub(super) fn closing_since(&self) -> Option<Timestamp> {
        self.closing_since
    }

    pub(super) fn opened_at(&self) -> Option<Timestamp> {
        self.opened_at
    }

    pub(super) fn setpoint(&self) -> Option<Setpoint> {
        self.setpoint
    }

    /// The highest current that can be right at this moment.
    pub(super) fn current_ceiling(&mut self, now: Timestamp) -> Amps {
        if self.lowered_at.is_some_and(|at| now.since(at) >= SETTLING) {
            self.lowered_at = None;
            self.ceiling = self.setpoint.map_or(Amps::ZERO, |setpoint| setpoint.current).max(Amps::ZERO);
        }
        self.ceiling
    }

    /// The highest current from the vehicle that can be right at this moment; zero or negative.
    pub(super) fn current_floor(&mut self, now: Timestamp) -> Amps {
        if self.raised_at.is_some_and(|at| now.since(at) >= SETTLING) {
            self.raised_at = None;
            self.floor = self.setpoint.map_or(Amps::ZERO, |setpoint| setpoint.current).min(Amps::ZERO);
        }
        self.floor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emergency_goes_before_all_else_and_drops_what_would_energise() {
        let mut outputs = Outputs::default();
        let now = Timestamp::from_micros(1_000_000);
        outputs.send(Command::Attach);
        outputs.set_pilot(PilotOutput::Digital);
        outputs.enable_supply(now);
        outputs.set_output(now, Setpoint { voltage: Volts::new(400), current: Amps::new(2) });
        outputs.close_contactors(now);
        outputs.emergency(now);
        assert_eq!(
            outputs.actions(),
            [
                Action::Do(Command::SupplyOff),
                Action::Do(Command::OpenContactors),
                Action::Do(Command::Pilot(PilotOutput::X1)),
                Action::Do(Command::Attach),
            ]
        );
        assert!(!outputs.is_live());
    }

    #[test]
    fn a_lowered_set_point_gives_the_modules_a_second_to_follow() {
        let mut outputs = Outputs::default();
        let start = Timestamp::from_micros(1_000_000);
        outputs.enable_supply(start);
        let set = |current| Setpoint { voltage: Volts::new(400), current: Amps::new(current) };
        outputs.set_output(start, set(100));
        outputs.set_output(start, set(20));
        assert_eq!(outputs.current_ceiling(start + Duration::from_millis(900)), Amps::new(100));
        assert_eq!(outputs.current_ceiling(start + Duration::from_secs(1)), Amps::new(20));
    }
}
