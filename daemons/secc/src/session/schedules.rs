//! Schedules: what the vehicle was told, whether what it chose stays within that, and when it is asked
//! to agree anew.

use std::sync::Arc;
use std::time::Duration;

use voltry_units::{Timestamp, Watts};

use super::{Event, Session};
use crate::decide::Planning;
use crate::message::{Answer, Body, Offer, Plan, Progress, Protocol, Request, Unfit, Wanted};
use crate::order::Stage;
use crate::pushed::Pushed;

/// How far a conversation's schedules are.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    /// When the vehicle asked for those that are being agreed on: what an offer names.
    wanted: Option<Timestamp>,
    /// How many entries it takes in each; 0: it did not say.
    entries_max: u16,
    /// The station sets the power: the vehicle is told of none.
    dynamic: bool,
    /// What it was told last, since when its times count, and what the EVSE offered then.
    told: Option<(Offer, Watts)>,
    /// Whether what a planner has offered since is news.
    judged: Option<Judged>,
    /// Since when the EVSE has offered something else than it was told.
    differs: Option<Timestamp>,
}

/// What was found of an offer: it is not compared anew in each round of the charge loop.
#[derive(Debug, Clone, Copy)]
struct Judged {
    /// When it came.
    offer: Timestamp,
    news: bool,
    /// What the vehicle was told may end meanwhile.
    until: Timestamp,
}

/// How long that is taken as found.
const JUDGED_FOR: Duration = Duration::from_secs(30);

impl Schedules {
    /// ISO 15118-2 \[V2G2-224\], \[V2G2-225\], and their like in ISO 15118-20.
    fn judge(&self, plan: &Plan) -> Result<(), Unfit> {
        let Some((offer, _)) = &self.told else { return Ok(()) };
        let mut schedules = offer.schedules.iter();
        let chosen = schedules.find(|one| u32::from(one.id) == plan.schedule).ok_or(Unfit::Schedule)?;
        if chosen.allows(plan) { Ok(()) } else { Err(Unfit::Profile) }
    }
}

/// What a vehicle chose that wants delivery.
fn chosen(request: &Request) -> Option<&Plan> {
    if let Request::PowerDelivery { progress: Progress::Start, plan, .. } = request {
        plan.as_ref()
    } else {
        None
    }
}

impl Session {
    /// Tells a planner that schedules are wanted; once each time that they are agreed on.
    pub(super) fn note_schedules(&mut self, now: Timestamp, request: &Request) {
        if matches!(
            request,
            Request::CableCheck { .. } | Request::PowerDelivery { .. } | Request::CurrentDemand { .. }
        ) {
            self.schedules.wanted = None;
        }
        let (entries_max, dynamic) = if let Request::ScheduleExchange { entries_max, dynamic, .. } = request {
            (*entries_max, *dynamic)
        } else if let (Request::ChargeParameterDiscovery { dc: Ok(dc) }, Protocol::Iso2) =
            (request, self.protocol)
        {
            (dc.entries_max, false)
        } else {
            return;
        };
        (self.schedules.entries_max, self.schedules.dynamic) = (entries_max, dynamic);
        if self.schedules.wanted.is_none() {
            self.schedules.wanted = Some(now);
            self.events.push_back(Event::SchedulesWanted(Wanted {
                id: now.as_micros(),
                protocol: self.protocol,
                dynamic,
                entries_max,
                limits: self.limits,
                needs: self.needs.map(|(needs, _)| needs).unwrap_or_default(),
                soc: self.status.map(|(status, _)| status.soc),
            }));
        }
    }

    /// How the schedules stand for the answer to a request.
    pub(super) fn planning(&self, now: Timestamp, request: &Request, pushed: &Pushed) -> Planning {
        let chosen = chosen(request);
        Planning {
            plan: chosen.map_or(Ok(()), |plan| self.schedules.judge(plan)),
            awaited: self.awaited(now, pushed),
            entries_max: self.schedules.entries_max,
            renegotiate: self.renegotiate(now),
        }
    }

    /// Whether a planner has still time for an offer.
    fn awaited(&self, now: Timestamp, pushed: &Pushed) -> bool {
        let answered = |wanted| pushed.schedules.as_ref().is_some_and(|offer| offer.at >= wanted);
        self.schedules
            .wanted
            .is_some_and(|wanted| now.since(wanted) < self.timing.schedules && !answered(wanted))
    }

    /// A planner offers something newer than the vehicle was told; or, where that is configured, the EVSE
    /// something else.
    fn renegotiate(&self, now: Timestamp) -> bool {
        if self.schedules.told.is_none() || self.stage != Stage::Charging || self.protocol == Protocol::Din {
            return false;
        }
        let after = self.timing.renegotiation;
        let differs = |since| !after.is_zero() && now.since(since) >= after;
        let news = self.schedules.judged.is_some_and(|judged| judged.news);
        news || self.schedules.differs.is_some_and(differs)
    }

    /// Judges what a planner offers since the vehicle was told.
    pub(super) fn watch_offer(&mut self, now: Timestamp, pushed: &Pushed) {
        let Schedules { told: Some((told, limit)), entries_max, judged, .. } = &mut self.schedules else {
            return;
        };
        // No schedules are nothing to agree on.
        let newer = pushed.schedules.as_ref();
        let newer = newer.filter(|offer| offer.at > told.at && !offer.schedules.is_empty());
        let known = |offer: &Offer| judged.filter(|known| known.offer == offer.at && now < known.until);
        *judged = newer.map(|offer| {
            known(offer).unwrap_or_else(|| Judged {
                offer: offer.at,
                news: offer.is_news(told, now, *limit, usize::from(*entries_max)),
                until: now + JUDGED_FOR,
            })
        });
    }

    /// Watches whether the EVSE still offers what the vehicle was told.
    pub(super) fn watch_limit(&mut self, now: Timestamp, pushed: &Pushed) {
        if let (Some((_, told)), Some(limits)) = (&self.schedules.told, pushed.limits) {
            let since = self.schedules.differs.unwrap_or(now);
            self.schedules.differs = (limits.power_max != *told).then_some(since);
        }
    }

    /// What an answer tells of schedules, which was written now.
    pub(super) fn note_told(&mut self, now: Timestamp, request: &Request, answer: &Answer) {
        if let Body::ChargeParameterDiscovery { limits, offer: Some(offer), .. }
        | Body::ScheduleExchange { limits, offer: Some(offer), .. } = &answer.body
        {
            let told = Offer { at: now, ..offer.clone() };
            self.schedules.told = (!self.schedules.dynamic).then_some((told, limits.power_max));
            self.schedules.differs = None;
            self.schedules.judged = None;
        }
        if let Some(plan) = chosen(request) {
            let id = self.schedules.told.as_ref().map_or(0, |(offer, _)| offer.id);
            self.events.push_back(Event::ScheduleChosen { id, plan: Arc::new(plan.clone()) });
        }
    }
}
