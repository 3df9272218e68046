//! One EVSE as the control loop holds it: what was last heard, and its session.

use std::time::Duration;

use voltry_bus::{DcCapability, EvseSession, EvseState, EvseStatus, Fault, Live, MeterReading};
use voltry_service::RateLimit;
use voltry_service::clock::now;
use voltry_units::{Timestamp, WattHours, Watts};

use crate::authorization::Token;
use crate::book::{Flow, Measured};
use crate::evse_watch::Proxies;
use crate::flow::{FlowWatch, Seen};
use crate::register::Register;
use crate::session::{EvseView, SessionControl};
use crate::shares::Demand;

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
    pub(crate) live: Option<Live>,
    /// In service, as the book has it.
    pub(crate) available: bool,
    pub(crate) share: Watts,
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

    /// An EVSE that was not heard yet may be delivering what the station before us gave it.
    pub(crate) fn demand(&self) -> Demand {
        let known = |capability: DcCapability| Watts::from_si(capability.power_max).unwrap_or(Watts::ZERO);
        Demand { active: self.control.is_active(), capability: self.capability.map_or(Watts::MAX, known) }
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
