//! The modules of a group that is spoken to as one, as far as each tells its conditions.
//!
//! The group is one [`Module`](super::module::Module) of the rack. What its members say is merged
//! for it: it is off only when all of them say so, and a member with an alarm, or a silent one,
//! only makes it smaller.

use std::collections::BTreeMap;
use std::time::Duration;

use voltry_power_module::{Condition, Conditions, Kind, Status};
use voltry_units::Timestamp;

#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) conditions: Conditions,
    pub(super) heard: Timestamp,
}

impl Member {
    fn is_well(&self) -> bool {
        self.conditions.of(Kind::Alarm).next().is_none()
    }
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) members: BTreeMap<u8, Member>,
    expected: usize,
    silent_after: Duration,
    lost_after: Option<Duration>,
    /// When as many as there should be last answered.
    whole_at: Timestamp,
    /// When the conditions were asked last, and before that.
    asked: [Timestamp; 2],
}

impl Group {
    pub(super) fn new(
        expected: usize,
        silent_after: Duration,
        lost_after: Option<Duration>,
        now: Timestamp,
    ) -> Self {
        Self { members: BTreeMap::new(), expected, silent_after, lost_after, whole_at: now, asked: [now; 2] }
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        self.members.clear();
        self.whole_at = now;
    }

    pub(super) fn ask(&mut self, now: Timestamp) {
        self.asked = [now, self.asked[0]];
    }

    /// Which of them answer.
    pub(super) fn present(&self, now: Timestamp) -> impl Iterator<Item = (u8, Member)> {
        let silent_after = self.silent_after;
        let members = self.members.iter().map(|(address, member)| (*address, *member));
        members.filter(move |(_, member)| now.since(member.heard) <= silent_after)
    }

    /// How many can deliver.
    pub(super) fn able(&self, now: Timestamp) -> u32 {
        self.present(now).map(|(_, member)| u32::from(member.is_well())).sum()
    }

    /// A member's words; with the group's then, and the time that they are surely not older than: of
    /// two questions the first, for the answer may be to either.
    pub(super) fn hear(&mut self, address: u8, said: Conditions, now: Timestamp) -> (Status, Timestamp) {
        if self.members.len() < self.expected || self.members.contains_key(&address) {
            self.members.insert(address, Member { conditions: said, heard: now });
        }
        if self.present(now).count() >= self.expected {
            self.whole_at = now;
        }
        (Status { group: None, inlet: None, conditions: self.merged(now) }, self.asked[1])
    }

    fn merged(&self, now: Timestamp) -> Conditions {
        let well = self.present(now).map(|(_, member)| member).filter(Member::is_well);
        let states = well.fold(Conditions::NONE, |all, member| all.union(member.conditions));
        let twice = self.present(now).any(|(_, member)| member.conditions.has(Condition::DuplicateId));
        let others = states.iter().filter(|condition| *condition != Condition::DcOff);
        let mut merged: Conditions = others.collect();
        if self.is_off(now) {
            merged = merged.with(Condition::DcOff);
        }
        if twice { merged.with(Condition::DuplicateId) } else { merged }
    }

    /// Whether all say that they are off, and those that say nothing certainly are.
    fn is_off(&self, now: Timestamp) -> bool {
        let whole =
            self.whole_at == now || self.lost_after.is_some_and(|lost| now.since(self.whole_at) >= lost);
        let says_so =
            |member: Member| member.conditions.has(Condition::DcOff) && member.heard >= self.asked[1];
        whole && self.present(now).all(|(_, member)| says_so(member))
    }
}
