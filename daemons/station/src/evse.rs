//! One EVSE as the control loop holds it: what was last heard, and its session.

use std::time::Duration;

use voltry_bus::{
    ConnectorUse, DcCapability, EventKind, EvseSession, EvseState, EvseStatus, Fault, Live, MeterReading,
    TokenKind,
};
use voltry_service::RateLimit;
use voltry_service::clock::now;
use voltry_units::{Timestamp, WattHours, Watts};

use crate::authorization::Token;
use crate::book::{Flow, Measured};
use crate::evse_watch::Proxies;
use crate::flow::{FlowWatch, Seen};
use crate::register::Register;
use crate::reservations::Place;
use crate::session::{EvseView, SessionControl};
use crate::story::Story;

/// A reading older than this says nothing of what flows now.
const FRESH: Duration = Duration::from_secs(3);

/// One EVSE.
#[derive(Debug)]
pub(crate) struct Evse {
    pub(crate) number: u32,
    pub(crate) proxies: Proxies,
    pub(crate) control: SessionControl,
    pub(crate) session: EvseSession,
    /// What the vehicle of this session calls itself, where AutoCharge is on.
    pub(crate) vehicle_id: Option<Token>,
    /// The contract that the vehicle of this session proved to hold.
    pub(crate) contract: Option<Token>,
    /// `None`: not heard yet.
    pub(crate) capability: Option<DcCapability>,
    pub(crate) faults: Vec<Fault>,
    /// The evidence of its present session.
    pub(crate) story: Story,
    pub(crate) live: Option<Live>,
    /// Which of the vehicle's own tokens the back end was asked for, in which session.
    pub(crate) asked: Vec<(u64, Token)>,
    /// In service, as the book has it for this EVSE alone.
    pub(crate) available_alone: bool,
    /// Out of service for its self-test until then, unless that ends before.
    pub(crate) tested_until: Option<Timestamp>,
    /// What its self-test is to deliver into a load.
    pub(crate) load: Watts,
    /// In service, and so is the station.
    pub(crate) available: bool,
    /// How a driver meets it, and since when (microseconds of Unix time).
    pub(crate) connector: (ConnectorUse, i64),
    /// What it was told last that it may take.
    pub(crate) share: Watts,
    /// The higher, the sooner it gets power.
    pub(crate) priority: u8,
    /// The session that is let in as soon as its share is there, and since when it waits.
    pub(crate) granting: Option<(u64, Timestamp)>,
    /// What the open transaction's flow was told to be.
    pub(crate) flow: FlowWatch,
    /// The meter's last reading.
    pub(crate) metered: Option<MeterReading>,
    /// The meter's register.
    pub(crate) register: Register,
    /// Readings that were not believed.
    pub(crate) contradictions: RateLimit,
    /// The register at the start of the open transaction.
    pub(crate) register_start: Option<WattHours>,
    /// When a reading was last written.
    pub(crate) booked_at: Timestamp,
    /// When a reading was last written as an event of its own.
    pub(crate) event_at: Timestamp,
}

impl Evse {
    /// What the EVSE says, for its session; `None` while its daemon is away.
    pub(crate) fn state(&self) -> Option<EvseState> {
        self.control.evse().map(|view| view.state)
    }

    /// Whether a driver may be let in now.
    pub(crate) fn welcomes(&self) -> bool {
        self.available
            && self.control.waiting().is_some()
            && matches!(self.state(), Some(EvseState::Connected | EvseState::Authorizing))
    }

    /// Whether it may deliver: a session in progress is finished before it goes out of service.
    pub(crate) fn allowed(&self) -> bool {
        self.available || self.control.is_active() || self.load > Watts::ZERO
    }

    /// What the vehicle of this session calls itself; what is proved goes before what is claimed.
    pub(crate) fn brought(&self) -> Vec<(Token, TokenKind)> {
        let contract = self.contract.clone().map(|token| (token, TokenKind::Emaid));
        let vehicle = self.vehicle_id.clone().map(|token| (token, TokenKind::MacAddress));
        contract.into_iter().chain(vehicle).collect()
    }

    /// Whether the back end was asked for a token of this session.
    pub(crate) fn has_asked(&self, token: &Token) -> bool {
        self.asked.iter().any(|(session, asked)| *session == self.session.id && asked == token)
    }

    /// How it stands in the way of a reservation.
    pub(crate) fn place(&self) -> Place {
        match self.state() {
            None | Some(EvseState::Unavailable | EvseState::Starting) => Place::Unavailable,
            Some(EvseState::Faulted | EvseState::ErrorShutdown | EvseState::Emergency) => Place::Faulted,
            Some(_) if self.session.id != 0 || self.control.is_active() => Place::Taken,
            Some(_) if !self.available => Place::Unavailable,
            Some(_) => Place::Free,
        }
    }

    /// How a driver meets it. `held`: for somebody who is not here yet. `expected`: somebody is let in
    /// and has not plugged in yet.
    pub(crate) fn connector_use(&self, held: bool, expected: bool) -> ConnectorUse {
        match self.place() {
            Place::Faulted => ConnectorUse::Faulted,
            Place::Unavailable if self.control.is_active() => self.in_session(),
            Place::Unavailable => ConnectorUse::Unavailable,
            Place::Taken => self.in_session(),
            Place::Free if expected => ConnectorUse::Preparing,
            Place::Free if held => ConnectorUse::Reserved,
            Place::Free => ConnectorUse::Available,
        }
    }

    fn in_session(&self) -> ConnectorUse {
        if self.control.transaction().is_some() {
            return match self.flow.told() {
                Some(EventKind::SuspendedEv) => ConnectorUse::SuspendedEv,
                Some(EventKind::SuspendedEvse) => ConnectorUse::SuspendedEvse,
                Some(_) => ConnectorUse::Charging,
                None => ConnectorUse::Preparing,
            };
        }
        let before = self.control.is_active() || self.control.waiting().is_some();
        if before { ConnectorUse::Preparing } else { ConnectorUse::Finishing }
    }

    /// The most that it can deliver now; nobody knows of one that was not heard yet.
    pub(crate) fn capable(&self) -> Watts {
        let known = |capability: DcCapability| Watts::from_si(capability.power_max).unwrap_or(Watts::ZERO);
        self.capability.map_or(Watts::MAX, known)
    }

    /// Watt-hours of the session so far, by the meter.
    pub(crate) fn energy(&self) -> WattHours {
        match (self.register.value(), self.register_start) {
            (Some(now), Some(start)) => (now - start).max(WattHours::ZERO),
            (None, _) | (_, None) => WattHours::ZERO,
        }
    }

    /// What is to be seen of the flow.
    pub(crate) fn seen(&self) -> Option<Seen> {
        let (state, live) = (self.state()?, self.live?);
        Some(Seen { state, current: live.current, wanted: live.target_current, offered: self.share })
    }

    /// What is measured now, for the book: the meter's word before the EVSE's.
    pub(crate) fn measured(&self) -> Measured {
        let fresh = |at: u64| now().since(Timestamp::from_micros(at)) <= FRESH;
        let metered = self.metered.filter(|reading| fresh(reading.at)).map(|reading| Flow {
            voltage: reading.voltage,
            current: reading.current,
            power: reading.power,
        });
        let live = self.live.filter(|live| self.control.evse().is_some() && fresh(live.at));
        let flow = |live: Live| Flow {
            voltage: live.voltage,
            current: live.current,
            power: live.voltage * live.current,
        };
        Measured {
            register: self.register.value(),
            export: self
                .metered
                .filter(|reading| fresh(reading.at))
                .and_then(|reading| WattHours::from_si(reading.energy_export).ok()),
            flow: metered.or_else(|| live.map(flow)),
            power_offered: self.share.as_si(),
            soc: live.map(|live| live.soc).filter(|soc| *soc >= 0.0),
        }
    }

    pub(crate) fn status(&self) -> EvseStatus {
        let state = self.state().map_or("absent", EvseState::as_str);
        let live = self.live.filter(|_| self.control.evse().is_some());
        EvseStatus {
            evse: self.number,
            state: state.to_owned(),
            available: self.available,
            authorized: self.control.transaction().is_some(),
            voltage: live.map_or(0.0, |live| live.voltage),
            current: live.map_or(0.0, |live| live.current),
            share: self.share.as_si(),
            energy: self.energy().as_si(),
            soc: live.map_or(-1.0, |live| live.soc),
            transaction: self.control.transaction().unwrap_or(0),
            faults: self.faults.clone(),
        }
    }
}

/// What the session needs of what an EVSE said.
pub(crate) fn view(state: EvseState, session: &EvseSession) -> EvseView {
    EvseView {
        state,
        session: session.id,
        ended: session.ended_at != 0,
        end_reason: session.end_reason.clone(),
    }
}
