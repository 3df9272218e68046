//! A group of modules behind a matrix, between its CAN bus's task and the one that decides whom it serves.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use voltry_bus::{DcCapability, DcDischarge, ModuleGroup};
use voltry_power_module::Output;
use voltry_service::LeaseHolder;
use voltry_units::{Amps, Measured, Timestamp, Volts, Watts};

use crate::orders::Orders;
use crate::pool::{Seen, State};
use crate::rack::Rack;

/// What a group says of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    /// What its modules give; `None`: none of them was read of late.
    pub(crate) output: Option<Measured<Output>>,
    /// What they could give.
    pub(crate) capability: DcCapability,
    /// What they could take from a vehicle.
    pub(crate) discharge: DcDischarge,
    /// What all of them together are rated for.
    pub(crate) rated: Amps,
    /// What may be taken from a vehicle while they can.
    pub(crate) discharge_rated: DcDischarge,
    /// Every one confirmed that it is off, and nothing was ordered since.
    pub(crate) is_off: bool,
    /// What they give cannot be known.
    pub(crate) blocked: bool,
    /// For how long they have worked.
    pub(crate) hours: u32,
    /// The epoch and the sequence number of the set-point that they confirmed.
    pub(crate) applied: (u64, u64),
}

/// The bus task's end.
#[derive(Debug)]
pub(crate) struct Teller {
    told: watch::Sender<Told>,
    applied: (u64, u64),
    wake: Arc<Notify>,
}

impl Teller {
    pub(crate) fn applied(&mut self, epoch: u64, sequence: u64) {
        self.applied = (epoch, sequence);
    }

    pub(crate) fn tell(&mut self, rack: &Rack, now: Timestamp) {
        self.told.send_replace(Told {
            output: rack.output(now),
            capability: rack.capability(now),
            discharge: rack.discharge(now),
            rated: rack.current_rated(),
            discharge_rated: rack.discharge_rated(),
            is_off: rack.all_off(),
            blocked: rack.blocked(),
            hours: rack.hours(),
            applied: self.applied,
        });
        self.wake.notify_one();
    }
}

/// The deciding task's end.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    orders: Orders,
    told: watch::Receiver<Told>,
    place: watch::Sender<ModuleGroup>,
    /// Who orders, on the bus.
    holder: String,
    lease: LeaseHolder,
    open: bool,
    /// The group ended the epoch by itself, and nobody took notice yet.
    ended: bool,
    /// The set-point that it has to confirm.
    set: (u64, u64),
}

impl Member {
    /// Both ends.
    pub(crate) fn new(
        name: &str,
        holder: &str,
        orders: Orders,
        place: watch::Sender<ModuleGroup>,
        wake: Arc<Notify>,
    ) -> (Self, Teller) {
        let (sender, told) = watch::channel(Told::default());
        let member = Self {
            name: name.to_owned(),
            orders,
            told,
            place,
            holder: holder.to_owned(),
            lease: LeaseHolder::new(),
            open: false,
            ended: false,
            set: (0, 0),
        };
        (member, Teller { told: sender, applied: (0, 0), wake })
    }

    pub(crate) fn told(&self) -> Told {
        let told = *self.told.borrow();
        Told { is_off: told.is_off && !self.orders.is_waiting(), ..told }
    }

    /// As the pool sees it; `None`: none of its modules was read of late.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let told = self.told();
        let output = told.output?;
        Some(Seen {
            at: output.at,
            voltage: output.value.voltage,
            current: output.value.current.abs(),
            available: at_voltage(
                told.capability.current_max,
                told.capability.power_max,
                output.value.voltage,
            ),
            takes: at_voltage(told.discharge.current_max, told.discharge.power_max, output.value.voltage),
            is_off: told.is_off,
            hours: told.hours,
        })
    }

    /// Gives it a set-point; a current below zero is taken from the vehicle. It opens an epoch where none is open: after a start, or an OFF; not where the group
    /// switched itself off, before [`Self::take_ended`].
    pub(crate) fn set(&mut self, voltage: Volts, current: Amps, now: Timestamp) {
        if self.ended {
            return;
        }
        if !self.open {
            let epoch = self.lease.open(now);
            self.open = self.orders.enable(&self.holder, epoch, now).is_ok();
        }
        let stamp = self.lease.stamp(now);
        if self.open {
            self.open = self.orders.set(&self.holder, stamp, voltage, current, now).is_ok();
            self.ended = !self.open;
        }
        self.set = (stamp.epoch, stamp.sequence);
    }

    /// Whether its modules have the set-point.
    pub(crate) fn has_confirmed(&self) -> bool {
        self.open && self.told.borrow().applied == self.set
    }

    pub(crate) fn off(&mut self) {
        if self.open || !self.told().is_off {
            self.open = false;
            self.orders.off();
        }
    }

    /// By a control step that ran.
    pub(crate) fn renew(&mut self, now: Timestamp) {
        if self.open {
            let stamp = self.lease.stamp(now);
            // Renewals have no set-point of their own: what has to be confirmed stays.
            self.open = self.orders.renew(&self.holder, stamp, now).is_ok();
            self.ended = !self.open;
        }
    }

    /// Whether the group ended its epoch by itself since this was last asked: its link is lost, a module does
    /// not stop, or its lease ran out.
    pub(crate) const fn take_ended(&mut self) -> bool {
        std::mem::replace(&mut self.ended, false)
    }

    pub(crate) fn clear_faults(&self) {
        self.orders.clear_faults();
    }

    /// Shows where it is, for the technician.
    pub(crate) fn show(&self, evse: u32, place: &str) {
        self.place.send_if_modified(|known| {
            let changed = known.evse != evse || known.place != place;
            known.evse = evse;
            place.clone_into(&mut known.place);
            changed
        });
    }
}

/// What a group can give or take at a voltage: its power limits the more, the higher that is.
fn at_voltage(current_max: f64, power_max: f64, voltage: Volts) -> Amps {
    let current = Amps::from_si(current_max).unwrap_or(Amps::ZERO);
    let power = Watts::from_si(power_max).unwrap_or(Watts::ZERO);
    current.min(power.at(voltage).filter(|_| voltage > Volts::ZERO).unwrap_or(current))
}

/// A word for a technician.
pub(crate) const fn word(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Free => "free",
        State::Matching { .. } | State::Closing { .. } => "joining",
        State::Serving { .. } => "serving",
        State::Ramping { .. } | State::SwitchingOff { .. } | State::Opening { .. } => "leaving",
        State::Lost { .. } => "lost",
        State::Barred { .. } => "barred",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_group_that_went_off_by_itself_is_energised_no_more_before_that_is_known() {
        let (orders, place) = (Orders::new(Arc::default()), watch::Sender::new(ModuleGroup::default()));
        let (mut member, _teller) = Member::new("a", ":1.7", orders.clone(), place, Arc::default());
        let at = |milliseconds| Timestamp::from_micros(1_000_000_000) + Duration::from_millis(milliseconds);
        let set = |member: &mut Member, now| member.set(Volts::new(400), Amps::new(10), now);
        set(&mut member, at(0));
        assert!(orders.take(at(0)).0.set.is_some() && !member.take_ended());
        orders.end_epoch();
        member.renew(at(100));
        set(&mut member, at(100));
        let (taken, lease, _) = orders.take(at(100));
        assert!(taken.enabled.is_none() && taken.set.is_none() && !lease.may_energise());
        assert!(member.take_ended() && !member.take_ended());
        set(&mut member, at(200));
        assert!(orders.take(at(200)).0.set.is_some(), "a new epoch, as of the EVSE");
        orders.end_epoch();
        set(&mut member, at(300));
        assert!(member.take_ended(), "noticed by a set-point as well");
        set(&mut member, at(400));
        member.off();
        orders.take(at(400));
        member.renew(at(500));
        assert!(!member.take_ended(), "OFF was ordered");
    }
}
