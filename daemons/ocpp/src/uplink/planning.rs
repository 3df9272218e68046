//! Vehicles that plan their charging over ISO 15118: the CSMS hears what they need, its profiles are what
//! they may choose from, and it hears what they chose (2.0.1, K15 to K17). Pure.
//!
//! ```text
//!   vehicle asks ──▶ NotifyEVChargingNeeds ──accepted──▶ SetChargingProfile ──▶ offer ──▶ it chooses
//!        │                    │ processing: later ───────────▲                                │
//!        │                    │ rejected, no answer, away                                     ▼
//!        │                    └──▶ nothing to offer: it waits no longer        NotifyEVChargingSchedule
//!        └── again, because a profile came while it charged ──▶ offer
//! ```
//!
//! A CSMS that does not answer to needs plans for nobody: its profiles limit the power, and no vehicle is
//! asked to agree anew because of them. How long a vehicle is kept waiting is its link's to say.

use voltry_bus::{ConsumptionCost, Cost, PowerPoint, SalesTariff, Schedule, ScheduleChoice, ScheduleOffer};
use voltry_bus::{ScheduleRequest, TariffEntry};

use super::charging::edition;
use super::*;
use crate::profiles::{CostKind, Offered, Tariff};

/// Points of a vehicle's plan that are told (2.0.1, ChargingScheduleType).
const PLAN_MAX: usize = 1024;

/// A vehicle that speaks ISO 15118.
#[derive(Debug, Default)]
struct Conversation {
    /// Its link's number of the request that has no offer yet.
    open: Option<u64>,
    /// How many entries it takes; 0: it did not say.
    entries_max: u32,
    /// The CSMS takes what it needs.
    plans: bool,
    /// A profile came before the CSMS's answer to these needs.
    early: bool,
    /// A profile came while it charged: it is asked to agree anew, and will ask for schedules.
    renegotiates: bool,
    /// What it was offered last.
    offered: Vec<Offered>,
}

/// By EVSE.
#[derive(Debug, Default)]
pub(super) struct Planning(BTreeMap<u32, Conversation>);

impl Uplink {
    pub(super) fn schedules_wanted(
        &mut self,
        now: Now,
        evse: u32,
        wanted: ScheduleRequest,
        actions: &mut Vec<Action>,
    ) {
        let known = self.core.connectors.get(evse).is_some() && evse != 0;
        if !known {
            debug!(evse, "a vehicle plans where there is no EVSE");
            return;
        }
        let conversation = self.planning.0.entry(evse).or_default();
        conversation.open = Some(wanted.id);
        conversation.entries_max = wanted.entries_max;
        conversation.early = false;
        // K16: it asks because we asked it to.
        let ours = std::mem::take(&mut conversation.renegotiates);
        let online = self.registration == Registration::Accepted;
        if ours {
            self.offer(now, evse, actions);
        } else if !online || self.core.version == Version::V16 {
            self.offer_nothing(evse, actions);
        } else {
            self.core.notices.retain(|notice| !matches!(notice, Notice::ChargingNeeds(of, _) if *of == evse));
            self.tell(Notice::ChargingNeeds(evse, Box::new(wanted)));
        }
    }

    /// What the CSMS says to a vehicle's needs; `None`: nothing.
    pub(super) fn needs_answered(
        &mut self,
        now: Now,
        evse: u32,
        payload: Option<&str>,
        actions: &mut Vec<Action>,
    ) {
        let (plans, soon) = payload.map_or((false, false), crate::v201::takes_needs);
        let Some(conversation) = self.planning.0.get_mut(&evse) else { return };
        conversation.plans = plans;
        if plans && std::mem::take(&mut conversation.early) {
            self.offer(now, evse, actions);
        } else if !soon {
            self.offer_nothing(evse, actions);
        }
    }

    /// The CSMS is away: nobody waits for its profiles.
    pub(super) fn no_offers(&mut self, actions: &mut Vec<Action>) {
        self.core.notices.retain(|notice| !matches!(notice, Notice::ChargingNeeds(..)));
        let evses: Vec<u32> = self.planning.0.keys().copied().collect();
        for evse in evses {
            self.offer_nothing(evse, actions);
        }
    }

    /// The CSMS set a profile for the transaction: it is offered, to a vehicle that charges already by
    /// asking it to agree anew.
    pub(super) fn plan(&mut self, now: Now, evse: u32, actions: &mut Vec<Action>) {
        let Some(conversation) = self.planning.0.get_mut(&evse) else { return };
        if !conversation.plans {
            conversation.early = true;
            return;
        }
        if conversation.open.is_none() {
            conversation.open = Some(0);
            conversation.renegotiates = true;
        }
        self.offer(now, evse, actions);
    }

    /// Whoever waits, waits no longer.
    fn offer_nothing(&mut self, evse: u32, actions: &mut Vec<Action>) {
        let Some(conversation) = self.planning.0.get_mut(&evse) else { return };
        let Some(id) = conversation.open.take() else { return };
        conversation.offered.clear();
        let offer = ScheduleOffer { id, schedules: Vec::new(), signature: Vec::new() };
        actions.push(Action::Offer { evse, offer });
    }

    fn offer(&mut self, now: Now, evse: u32, actions: &mut Vec<Action>) {
        let Some(conversation) = self.planning.0.get_mut(&evse) else { return };
        let Some(id) = conversation.open.take() else { return };
        let edition = edition(self.core.version);
        let profiles = &self.core.charging.profiles;
        let time = self.core.profile_time(now);
        let offered = time.map(|time| profiles.offers(edition, evse, time, conversation.entries_max));
        conversation.offered = offered.unwrap_or_default();
        let schedules = conversation.offered.iter().zip(1..).map(|(offered, id)| schedule(id, offered));
        let offer = ScheduleOffer { id, schedules: schedules.collect(), signature: Vec::new() };
        actions.push(Action::Offer { evse, offer });
    }

    pub(super) fn schedule_chosen(
        &mut self,
        now: Now,
        evse: u32,
        choice: &ScheduleChoice,
        actions: &mut Vec<Action>,
    ) {
        let Some(conversation) = self.planning.0.get(&evse) else { return };
        let place = usize::try_from(choice.schedule).ok().and_then(|number| number.checked_sub(1));
        // An offer that is none of ours: the link's own schedule.
        let Some(offered) =
            place.and_then(|place| conversation.offered.get(place)).filter(|_| choice.id != 0)
        else {
            return;
        };
        let (id, points) = (offered.id, offered.points.clone());
        info!(evse, schedule = id, "the vehicle has chosen a schedule");
        if self.core.charging.profiles.choose(evse, id) {
            let record = self.core.charging.changed();
            actions.push(Action::Store(record));
        }
        if self.core.version == Version::V16 {
            return;
        }
        let mut plan: Vec<(u32, i64)> = choice.profile.iter().filter_map(point).take(PLAN_MAX).collect();
        if plan.is_empty() {
            plan = points;
        }
        let payload = crate::v201::charging_schedule(self.core.clock.now(now), evse, id, &plan);
        self.tell(Notice::Ready("NotifyEVChargingSchedule", payload));
    }

    /// The vehicle is gone.
    pub(super) fn stop_planning(&mut self, evse: u32) {
        self.planning.0.remove(&evse);
    }
}

fn point(point: &PowerPoint) -> Option<(u32, i64)> {
    Some((point.start, Watts::from_si(point.power).ok()?.as_milli()))
}

/// As the vehicle's link takes it.
fn schedule(id: u8, offered: &Offered) -> Schedule {
    let point = |&(start, power): &(u32, i64)| PowerPoint { start, power: Watts::from_milli(power).as_si() };
    Schedule {
        id,
        points: offered.points.iter().map(point).collect(),
        duration: offered.duration_s,
        tariffs: offered.tariff.iter().map(tariff).collect(),
    }
}

fn tariff(tariff: &Tariff) -> SalesTariff {
    let cost = |cost: &crate::profiles::Cost| Cost {
        kind: match cost.kind {
            CostKind::CarbonDioxideEmission => "carbon-dioxide-emission",
            CostKind::RelativePricePercentage => "relative-price-percentage",
            CostKind::RenewableGenerationPercentage => "renewable-generation-percentage",
        }
        .to_owned(),
        amount: cost.amount,
        multiplier: cost.multiplier.into(),
    };
    let consumption = |it: &crate::profiles::ConsumptionCost| ConsumptionCost {
        start_value: Watts::from_milli(it.from_milliwatts).as_si(),
        costs: it.costs.iter().map(cost).collect(),
    };
    let entry = |entry: &crate::profiles::TariffEntry| TariffEntry {
        start: entry.start_s,
        duration: entry.duration_s.unwrap_or(0),
        price_level: entry.price_level.unwrap_or(0),
        costs: entry.costs.iter().map(consumption).collect(),
    };
    SalesTariff {
        id: tariff.id,
        description: tariff.description.clone().unwrap_or_default(),
        price_levels: tariff.price_levels.unwrap_or(0),
        entries: tariff.entries.iter().map(entry).collect(),
    }
}
