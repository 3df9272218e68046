//! The supply of an EVSE that shares modules.

use std::time::Duration;

use tokio::sync::watch;
use voltry_bus::{Applied, DcCapability, DcDischarge, DcOutput, SupplyState};
use voltry_power_module::Output;
use voltry_service::{FaultLog, LeaseState, RateLimit};
use voltry_units::{Amps, Measured, Timestamp, Volts};

use crate::orders::{Orders, SetPoint};
use crate::pool::Want;
use crate::supply::{Publisher, Shown};

/// A matrix that is not heard.
pub(crate) const MATRIX_MISSING: &str = "SwitchMatrixMissing";
/// A group whose contactor did not do as told.
pub(crate) const GROUP_BARRED: &str = "ModuleGroupBarred";

/// As often as `Output` may be told.
const OUTPUT_INTERVAL: Duration = Duration::from_millis(20);

/// An EVSE's supply.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) number: u32,
    orders: Orders,
    publisher: Publisher,
    session: watch::Receiver<bool>,
    pub(crate) faults: FaultLog,
    /// Lines about outputs that nobody ended.
    offs: RateLimit,
    set: Option<SetPoint>,
    /// Whether an epoch is open.
    live: bool,
    confirmed: bool,
    sequence: u64,
    told_up_to: Timestamp,
}

/// What an outlet can do at this moment, and what all groups that it could have are rated for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Able {
    pub(crate) capability: DcCapability,
    pub(crate) discharge: DcDischarge,
    pub(crate) current_rated: Amps,
    pub(crate) discharge_rated: DcDischarge,
}

/// What was ordered of an outlet.
#[derive(Debug, Default)]
pub(crate) struct Ordered {
    /// A new holder of the lease.
    pub(crate) holder: Option<String>,
    pub(crate) clear_faults: bool,
    /// Something changed that the pool has to know at once.
    pub(crate) news: bool,
}

impl Outlet {
    pub(crate) fn new(
        number: u32,
        orders: Orders,
        publisher: Publisher,
        session: watch::Receiver<bool>,
    ) -> Self {
        Self {
            number,
            orders,
            publisher,
            session,
            faults: FaultLog::new(),
            offs: RateLimit::new(),
            set: None,
            live: false,
            confirmed: true,
            sequence: 0,
            told_up_to: Timestamp::BOOT,
        }
    }

    /// Takes what waits, and looks at the lease.
    pub(crate) fn take_orders(&mut self, now: Timestamp) -> Ordered {
        let (taken, lease, _) = self.orders.take(now);
        let was = (self.live, self.set);
        let lapsed = self.live && !lease.may_energise();
        if lapsed
            && !taken.off
            && let Some(count) = self.offs.count(now)
        {
            let lapsed = lease == LeaseState::Lapsed;
            let why = if lapsed { "the lease ran out or its holder left" } else { "the epoch ended" };
            tracing::warn!(supply = self.number, why, count, "output off");
        }
        if taken.off || lapsed {
            (self.live, self.set, self.confirmed) = (false, None, false);
        }
        let holder = taken.enabled.filter(|_| lease.may_energise());
        if holder.is_some() {
            (self.live, self.set) = (true, None);
        }
        if let Some(set) = taken.set.filter(|_| self.live) {
            (self.set, self.confirmed) = (Some(set), false);
        }
        let news = taken.off || was != (self.live, self.set);
        Ordered { holder, clear_faults: taken.clear_faults, news }
    }

    pub(crate) fn holder_lost(&self, who: &str, now: Timestamp) {
        self.orders.holder_lost(who, now);
    }

    /// Whether an epoch is open.
    pub(crate) const fn is_live(&self) -> bool {
        self.live
    }

    /// Its output goes off, and only a new epoch energises it again.
    pub(crate) fn end_epoch(&mut self) {
        self.orders.end_epoch();
        (self.live, self.set, self.confirmed) = (false, None, false);
    }

    /// Off because the daemon ends: nothing is taken any more that nobody would do.
    pub(crate) fn end(&mut self) {
        self.orders.end();
        (self.live, self.set) = (false, None);
    }

    /// What it asks the pool for; `measured` is the voltage at its side of the matrix.
    pub(crate) fn want(&self, measured: Option<Volts>) -> Want {
        let set = self.set.filter(|set| set.voltage > Volts::ZERO);
        Want {
            active: self.live || *self.session.borrow(),
            enabled: self.live && set.is_some(),
            voltage: set.map_or(Volts::ZERO, |set| set.voltage),
            current: set.map_or(Amps::ZERO, |set| set.current.abs()),
            inverting: set.is_some_and(|set| set.current < Amps::ZERO),
            measured,
        }
    }

    /// Says once that all of its groups have what was asked, or are off.
    pub(crate) fn confirm(&mut self, follow: bool, off: bool, now: Timestamp) {
        let applied = match self.set {
            Some(set) if set.voltage > Volts::ZERO => follow.then_some((set.epoch, set.sequence)),
            Some(set) => off.then_some((set.epoch, set.sequence)),
            None if self.live => None,
            None => off.then_some((0, 0)),
        };
        if let Some((epoch, sequence)) = applied.filter(|_| !self.confirmed) {
            self.confirmed = true;
            self.publisher.applied(Applied { epoch, sequence, at: now.as_micros() });
        }
    }

    pub(crate) fn publish_output(&mut self, output: Measured<Output>) {
        if output.at < self.told_up_to + OUTPUT_INTERVAL {
            return;
        }
        self.sequence += 1;
        self.told_up_to = output.at;
        self.publisher.output(DcOutput {
            sequence: self.sequence,
            voltage: output.value.voltage.as_si(),
            current: output.value.current.as_si(),
            at: output.at.as_micros(),
        });
    }

    pub(crate) fn show(&self, able: Able) {
        let Able { capability, discharge, current_rated, discharge_rated } = able;
        let online = capability.voltage_max > 0.0;
        let flows = self.want(None).enabled && capability.current_max > 0.0;
        let state = match (online, flows) {
            (false, _) => SupplyState::Absent,
            (true, true) => SupplyState::On,
            (true, false) => SupplyState::Off,
        };
        self.publisher.show(Shown { capability, discharge, current_rated, discharge_rated, state });
        self.publisher.outlet(online, &self.faults);
    }

    pub(crate) fn raise(&mut self, code: &str, cause: String, now: Timestamp) {
        let text = cause.clone();
        if self.faults.raise(code, cause, now) {
            tracing::warn!(supply = self.number, code, cause = text, "fault");
        }
    }
}
