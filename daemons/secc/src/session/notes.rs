//! What a request says besides what it asks, passed on to evse.

use std::sync::Arc;
use std::time::Duration;

use voltry_bus::LinkPhase;
use voltry_units::{Amps, Timestamp};

use super::{Event, Session};
use crate::contract;
use crate::message::{DcParameters, EvLimits, EvStatus, Needs, Protocol, Request, Target};
use crate::order::Stage;
use crate::vehicle_id;

/// What the vehicle says of itself is passed on no more often, nor is a target that stays.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
/// What a vehicle needs is told no more often, and not for a departure that moved by less than
/// this: some count it from each request on anew.
const NEEDS_INTERVAL: Duration = Duration::from_secs(1);
const DEPARTURE_STEP: Duration = Duration::from_secs(60);
/// In standby evse is told so often that the vehicle wants no current: a vehicle may be silent
/// there for longer than a target holds.
const STANDBY_INTERVAL: Duration = Duration::from_millis(500);
/// And in a renegotiation: as long as its last wish holds in evse, it charges on by that.
const RENEGOTIATION_INTERVAL: Duration = Duration::from_secs(1);
/// But no longer than this after it was heard, unless it waits for us: then it is silent.
const RENEGOTIATION_SILENCE: Duration = Duration::from_secs(2);

impl Session {
    /// Passes on what a request says besides what it asks.
    pub(super) fn note(&mut self, now: Timestamp, request: &Request) {
        let named = match request {
            Request::SessionSetup { evcc_id } => {
                tracing::debug!(evcc_id = ?evcc_id, "vehicle");
                if let Some(token) = vehicle_id::token(evcc_id, self.protocol == Protocol::Iso20) {
                    self.events.push_back(Event::VehicleId(token));
                }
                return;
            }
            Request::ChargeParameterDiscovery { dc: Ok(DcParameters { limits, .. }) } => *limits,
            Request::CurrentDemand { target: Ok(target), limits, .. } => {
                let rests = self.stage == Stage::Standby;
                self.note_target(
                    now,
                    if rests { Target { current: Amps::ZERO, ..*target } } else { *target },
                );
                *limits
            }
            Request::PreCharge { target: Ok(target), .. } => {
                self.note_target(now, *target);
                EvLimits::default()
            }
            Request::Contract(contract::Request::Authorization { proof: Ok(proven) }) => {
                self.note_contract(now, proven);
                return;
            }
            Request::Contract(contract::Request::Certificate { update, message }) => {
                let (id, message) = (now.as_micros(), Arc::clone(message));
                let (update, protocol) = (*update, self.protocol);
                self.events.push_back(Event::CertificateRequest { id, protocol, update, message });
                return;
            }
            Request::AuthorizationSetup
            | Request::ServiceDiscovery
            | Request::ServiceDetail { .. }
            | Request::ServiceSelection { .. }
            | Request::PaymentServiceSelection { .. }
            | Request::Contract(_)
            | Request::Authorization
            | Request::ChargeParameterDiscovery { dc: Err(_) }
            | Request::PreCharge { target: Err(_), .. }
            | Request::CurrentDemand { target: Err(_), .. }
            | Request::ScheduleExchange { .. }
            | Request::CableCheck { .. }
            | Request::PowerDelivery { .. }
            | Request::WeldingDetection { .. }
            | Request::SessionStop { .. }
            | Request::ServiceRenegotiation
            | Request::NotOffered(_) => EvLimits::default(),
        };
        let limits = named.or(self.limits);
        if limits != self.limits {
            self.limits = limits;
            self.events.push_back(Event::Limits(limits));
        }
        self.note_status(now, request.status());
        self.note_needs(now, request.needs());
    }

    /// Since when the time of a phase that is entered now counts: a vehicle that fetches a certificate and
    /// comes back has no more time for its authorization.
    pub(super) fn counts_from(&mut self, phase: LinkPhase, now: Timestamp) -> Timestamp {
        if phase == LinkPhase::Authorizing { *self.authorizing.get_or_insert(now) } else { now }
    }

    /// In standby the vehicle wants no current, whatever its charge loop says; and none after a while in a
    /// renegotiation, in which it cannot say what it wants. Said for it, so that evse takes neither for
    /// silence.
    pub(super) fn rest(&mut self, now: Timestamp) {
        let Some((target, ..)) = self.target else { return };
        let awake = self.stage == Stage::Standby && target.current > Amps::ZERO;
        if awake || self.rests_at().is_some_and(|at| now >= at) {
            self.note_target(now, Target { current: Amps::ZERO, ..target });
        }
    }

    /// When it is said next that the vehicle wants no current.
    pub(super) fn rests_at(&self) -> Option<Timestamp> {
        let interval = match self.stage {
            Stage::Standby => STANDBY_INTERVAL,
            Stage::Renegotiating => RENEGOTIATION_INTERVAL,
            Stage::Handshake
            | Stage::Setup
            | Stage::Identified
            | Stage::AuthorizationOffered
            | Stage::Services
            | Stage::Selected
            | Stage::ContractSelected
            | Stage::ContractKnown
            | Stage::Authorizing { .. }
            | Stage::Parameters { .. }
            | Stage::CableCheck { .. }
            | Stage::PreCharge
            | Stage::PowerOn
            | Stage::Charging
            | Stage::ReceiptDue
            | Stage::PowerOff
            | Stage::WeldingDetection
            | Stage::Stopping
            | Stage::Failed
            | Stage::Closed => return None,
        };
        let (_, _, told) = self.target?;
        let at = told + interval;
        let silent = self.stage == Stage::Renegotiating
            && self.held.is_none()
            && at > self.heard + RENEGOTIATION_SILENCE;
        (!silent).then_some(at)
    }

    /// A target that changes is told at once; one that stays, only so often that it is known to
    /// be young. A vehicle that asks without pause would keep the bus busy for everybody.
    fn note_target(&mut self, now: Timestamp, target: Target) {
        let known = self.target.is_some_and(|(told, counter, at)| {
            told == target && counter == self.counter && now.since(at) < STATUS_INTERVAL
        });
        if !known {
            self.target = Some((target, self.counter, now));
            self.events.push_back(Event::Target(target));
        }
    }

    fn note_status(&mut self, now: Timestamp, status: Option<&EvStatus>) {
        let Some(&status) = status else { return };
        let tell = match &self.status {
            Some((told, at)) => *told != status && now.since(*at) >= STATUS_INTERVAL,
            None => true,
        };
        if tell {
            self.status = Some((status, now));
            self.events.push_back(Event::Status(status));
        }
    }

    /// What is named here joins what is known; evse hears of it not too often, but of all of it.
    fn note_needs(&mut self, now: Timestamp, named: Option<&Needs>) {
        let known = until_departure(self.needs, now).unwrap_or_default();
        let needs = named.copied().unwrap_or_default().or(known);
        if needs == Needs::default() {
            return;
        }
        self.needs = Some((needs, now));
        let waits = self.needs_told.is_some_and(|(_, at)| now.since(at) < NEEDS_INTERVAL);
        if !waits && until_departure(self.needs_told, now).is_none_or(|told| is_news(&needs, &told)) {
            self.needs_told = self.needs;
            self.events.push_back(Event::Needs(needs));
        }
    }
}

/// Needs that were told then, as they are now.
fn until_departure(told: Option<(Needs, Timestamp)>, now: Timestamp) -> Option<Needs> {
    let (needs, at) = told?;
    let departure = needs.departure.map(|departure| departure.saturating_sub(now.since(at)));
    Some(Needs { departure, ..needs })
}

fn is_news(needs: &Needs, told: &Needs) -> bool {
    let moved = match (needs.departure, told.departure) {
        (Some(new), Some(old)) => new.abs_diff(old) >= DEPARTURE_STEP,
        (new, old) => new != old,
    };
    moved || Needs { departure: None, ..*needs } != Needs { departure: None, ..*told }
}
