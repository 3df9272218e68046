//! What the sharing of power hears, and what it has told to the EVSEs.

use std::time::Duration;

use tokio::time::timeout;
use voltry_bus::{Authorization, EvseState, Live, Permit, PowerShare, PowerSource};
use voltry_service::clock::now;
use voltry_units::{Timestamp, Volts, Watts};

use super::{ANSWER, Answer, Control, late, tell};
use crate::energy::{self, Bound, Flowing, Order, Phase, Reading, Stage, VALID};
use crate::energy_watch::Heard;
use crate::evse::Evse;
use crate::evse_watch::Proxies;

/// Whoever is let in hears of it when its share is there: until then, what others may still hold falls.
const SHARE_WAITS: Duration = Duration::from_secs(2);
/// Below this no battery is on the cable: what the vehicle wants is for its own voltage.
const BATTERY: Volts = Volts::new(60);

impl Control {
    /// What was heard of the grid connection and the modules.
    pub(crate) fn hear_energy(&mut self, heard: Heard) {
        match heard {
            Heard::Meter(reading) => {
                if let Ok(power) = Watts::from_si(reading.power) {
                    let at = Timestamp::from_micros(reading.at).min(now());
                    self.energy.hear_meter(Reading { at, power });
                }
            }
            Heard::Phases { at, phases } => {
                let phase = |(volts, amps)| {
                    let current = voltry_units::Amps::from_si(amps).ok()?.abs();
                    Some(Phase { voltage: Volts::from_si(volts).ok()?, current })
                };
                if let [Some(first), Some(second), Some(third)] = phases.map(phase) {
                    self.energy.hear_phases(Timestamp::from_micros(at).min(now()), [first, second, third]);
                }
            }
            Heard::Hottest(celsius) => self.energy.hear_temperature(now(), celsius),
        }
        self.share();
    }

    /// Shares anew, and sends what changes.
    pub(crate) fn share(&mut self) {
        let now = now();
        let evses: Vec<_> = self.evses.values().map(|evse| self.as_shared(evse)).collect();
        let set = self.limits.all().iter().filter(|limit| limit.evse == 0);
        let set = set.map(|limit| (limit.origin.as_str(), limit.power));
        let orders = self.energy.step(now, set, &evses);
        for (place, evse) in self.evses.values_mut().enumerate() {
            evse.share = self.energy.permits().granted(now, place);
        }
        for order in orders {
            self.send(order);
        }
        self.grant(now);
    }

    /// Time until shares change though nothing is heard.
    pub(crate) fn next_share(&self) -> Duration {
        let now = now();
        let waits = self.evses.values().filter_map(|evse| evse.granting);
        let grants = waits.map(|(_, since)| SHARE_WAITS.saturating_sub(now.since(since))).min();
        self.energy.next(now).min(grants.unwrap_or(Duration::MAX))
    }

    pub(super) fn permitted(&mut self, number: u32, taken: bool) {
        if let Some(place) = self.place(number) {
            self.energy.permits_mut().answered(now(), place, taken);
        }
    }

    pub(super) fn place(&self, number: u32) -> Option<usize> {
        self.evses.keys().position(|evse| *evse == number)
    }

    pub(super) fn hear_flow(&mut self, number: u32, live: &Live) {
        let Some(place) = self.place(number) else { return };
        let watts = |volts: f64, amps: f64| Watts::from_si(volts * amps).unwrap_or(Watts::ZERO);
        let at_battery = Volts::from_si(live.voltage).is_ok_and(|voltage| voltage >= BATTERY);
        let voltage = if at_battery { live.voltage } else { live.target_voltage };
        let flowing = Flowing {
            at: Timestamp::from_micros(live.at).min(now()),
            wanted: watts(voltage, live.target_current),
            drawn: watts(live.voltage, live.current),
        };
        self.energy.hear_evse(now(), place, flowing);
    }

    fn as_shared(&self, evse: &Evse) -> energy::Evse {
        let state = evse.state();
        let limit = self.evse_limit(evse.number);
        // A load that a technician put in a vehicle's place wants what was said of it. What the EVSE can give it judges
        // itself: one that shares modules has none before it has a share.
        let loads = !evse.control.is_active() && evse.load > Watts::ZERO;
        energy::Evse {
            active: evse.control.is_active() || loads,
            stage: if loads { Stage::Preparing } else { state.map_or(Stage::Idle, stage) },
            most: if loads { evse.load.min(limit) } else { evse.capable().min(limit) },
            came: if evse.session.id == 0 { u64::MAX } else { evse.session.plugged_at },
            priority: evse.priority,
            // One that is starting proves first that everything is off.
            reachable: state.is_some_and(|state| state != EvseState::Starting),
        }
    }

    fn send(&self, order: Order) {
        let Some(evse) = self.evses.values().nth(order.place) else { return };
        let permit = Permit {
            allowed: evse.allowed(),
            power: order.power.as_si(),
            valid_for: VALID.as_secs_f64(),
            sent_at: order.at.as_micros(),
        };
        let (number, answers) = (evse.number, self.answers.clone());
        let Proxies { evse: proxy, untold, .. } = evse.proxies.clone();
        tokio::spawn(async move {
            let told = timeout(ANSWER, proxy.set_permit(permit)).await.unwrap_or_else(|_| Err(late()));
            let taken = untold.note("SetPermit", told).is_ok();
            let _ = answers.send(Answer::Permitted(number, taken)).await;
        });
    }

    /// Lets sessions in that have their share: the vehicle hears our limits as soon as it is let in.
    fn grant(&mut self, now: Timestamp) {
        let energy = &self.energy;
        for (place, evse) in self.evses.values_mut().enumerate() {
            let Some((session, since)) = evse.granting else { continue };
            let permits = energy.permits();
            let has_it =
                permits.is_settled(place) && permits.granted(now, place) >= energy.share(place).power;
            if !has_it && now.since(since) < SHARE_WAITS {
                continue;
            }
            evse.granting = None;
            let Proxies { evse: proxy, untold, .. } = evse.proxies.clone();
            tokio::spawn(async move {
                let granted = proxy.set_authorization(session, Authorization::Granted);
                tell(&untold, "SetAuthorization", granted).await;
            });
        }
    }

    pub(super) fn sources_shown(&self) -> Vec<PowerSource> {
        let losses = self.energy.rules().losses;
        let shown = |source: &energy::Source| PowerSource {
            source: source.name.clone(),
            power: source.power.as_si(),
            output: losses.output(source.power).as_si(),
            detail: source.detail.clone(),
        };
        self.energy.sources().iter().map(shown).collect()
    }

    pub(super) fn shares_shown(&self) -> Vec<PowerShare> {
        let now = now();
        let shown = |(place, evse): (usize, &Evse)| {
            let (share, permit) = (self.energy.share(place), self.energy.permits().granted(now, place));
            let (source, mut detail) = self.bound_of(evse, share.bound);
            if permit < share.power {
                detail += "; the rest follows when others have confirmed that they take less";
            }
            PowerShare {
                evse: evse.number,
                permit: permit.as_si(),
                share: share.power.as_si(),
                wants: share.wants.as_si(),
                source,
                detail,
            }
        };
        self.evses.values().enumerate().map(shown).collect()
    }

    /// Who holds an EVSE's share down, and how.
    fn bound_of(&self, evse: &Evse, bound: Bound) -> (String, String) {
        let station = || self.energy.sources().first().cloned().unwrap_or_else(energy::Source::none);
        let sharers = self.evses.values().filter(|evse| evse.control.is_active()).count();
        let shared = || {
            let lowest = station();
            let strategy = self.energy.rules().strategy.as_str();
            let detail = if lowest.detail.is_empty() { String::new() } else { lowest.detail + ", " };
            (lowest.name, format!("{detail}shared by {sharers}, {strategy}"))
        };
        match bound {
            Bound::Idle => ("session".to_owned(), "none that may draw".to_owned()),
            Bound::Own => match self.limits.at(evse.number).filter(|limit| limit.power < evse.capable()) {
                Some(limit) => (limit.origin.clone(), "set for this EVSE".to_owned()),
                None => ("hardware".to_owned(), "all that it can deliver".to_owned()),
            },
            Bound::Station => shared(),
            Bound::Stuck => {
                let (name, detail) = shared();
                (name, detail + ", less what one may hold that does not confirm")
            }
        }
    }
}

const fn stage(state: EvseState) -> Stage {
    match state {
        EvseState::Connected
        | EvseState::Authorizing
        | EvseState::Parameters
        | EvseState::CableCheck
        | EvseState::PreCharge => Stage::Preparing,
        EvseState::Charging => Stage::Delivering,
        EvseState::Starting
        | EvseState::Available
        | EvseState::Stopping
        | EvseState::Finished
        | EvseState::Paused
        | EvseState::ErrorShutdown
        | EvseState::Emergency
        | EvseState::Faulted
        | EvseState::Unavailable => Stage::Idle,
    }
}

impl energy::Source {
    /// Before anything was shared.
    fn none() -> Self {
        Self { name: "configuration".to_owned(), power: Watts::ZERO, detail: String::new() }
    }
}
