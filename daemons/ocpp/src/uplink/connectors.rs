//! What the connectors are, as the CSMS is told: only what changed, with the time of the change.
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use voltry_bus::{ConnectorUse, EvseState, EvseStatus};
use voltry_units::Timestamp;

use crate::config::Version;

/// As long as the daemon of an EVSE may take to start, with the hardware that it waits for.
const SETTLING: Duration = Duration::from_secs(10);

/// A connector's status: 1.6's words, of which 2.0.1's are a coarser view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// A vehicle may come.
    Available,
    /// Somebody is let in, and a vehicle may come: 1.6 calls it Preparing, 2.0.1 Available until the cable is in
    /// (E03, H03).
    Awaited,
    /// Plugged in, nothing flows yet.
    Preparing,
    /// Delivering.
    Charging,
    /// The vehicle takes nothing.
    SuspendedEv,
    /// The station gives nothing.
    SuspendedEvse,
    /// Over, still plugged in.
    Finishing,
    /// Kept for somebody.
    Reserved,
    /// Out of service.
    Unavailable,
    /// Broken.
    Faulted,
}

impl Status {
    /// As 1.6 writes it.
    #[must_use]
    pub const fn v16(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Awaited | Self::Preparing => "Preparing",
            Self::Charging => "Charging",
            Self::SuspendedEv => "SuspendedEV",
            Self::SuspendedEvse => "SuspendedEVSE",
            Self::Finishing => "Finishing",
            Self::Reserved => "Reserved",
            Self::Unavailable => "Unavailable",
            Self::Faulted => "Faulted",
        }
    }

    /// As 2.0.1 writes it.
    #[must_use]
    pub const fn v201(self) -> &'static str {
        match self {
            Self::Available | Self::Awaited => "Available",
            Self::Preparing | Self::Charging | Self::SuspendedEv | Self::SuspendedEvse | Self::Finishing => {
                "Occupied"
            }
            Self::Reserved => "Reserved",
            Self::Unavailable => "Unavailable",
            Self::Faulted => "Faulted",
        }
    }
}

/// A fault as the CSMS is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trouble {
    /// The industry's code, as `MREC8EmergencyStop`; empty: none.
    pub code: String,
    /// In words.
    pub cause: String,
}

/// One connector. Connector 0 of EVSE 0 is the station as 1.6 has it.
#[derive(Debug, Clone)]
pub struct Connector {
    /// What it is.
    pub status: Status,
    /// Its worst fault.
    pub trouble: Trouble,
    /// Since when, microseconds of Unix time and whether the clock was set.
    pub since: Since,
    /// What the CSMS was last told.
    told: Option<(Status, Trouble)>,
    /// What it is to a driver, as the station tells.
    seen: Option<ConnectorUse>,
    /// The EVSE's status as last heard.
    heard: Option<EvseStatus>,
    /// The reservation that holds it, as the station names it; empty: none.
    reservation: String,
}

/// An instant on both clocks, to be told as a time of day once that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// Microseconds of Unix time as the machine had it.
    pub unix: i64,
    /// It was set.
    pub set: bool,
    /// `CLOCK_BOOTTIME`.
    pub at: Timestamp,
}

impl Default for Connector {
    fn default() -> Self {
        Self {
            status: Status::Unavailable,
            trouble: Trouble::default(),
            since: Since { unix: 0, set: false, at: Timestamp::BOOT },
            told: None,
            seen: None,
            heard: None,
            reservation: String::new(),
        }
    }
}

impl Connector {
    /// Whether the CSMS knows it, in the words of its version: 2.0.1 has one for all that is
    /// occupied, and tells faults otherwise.
    fn is_told(&self, version: Version) -> bool {
        self.told.as_ref().is_some_and(|(status, trouble)| match version {
            Version::V16 => status.v16() == self.status.v16() && *trouble == self.trouble,
            Version::V201 => status.v201() == self.status.v201(),
        })
    }

    /// What it is by all that was heard: to a driver since then, with this trouble since now. A change
    /// was no earlier than the one before it.
    fn judge(&mut self, since: Since, now: Since) {
        let absent = |heard: &EvseStatus| heard.state.parse::<EvseState>().is_err();
        let unplugged = |heard: &EvseStatus| heard.state.parse() == Ok(EvseState::Available);
        let status = match self.seen {
            Some(ConnectorUse::Preparing) if self.heard.as_ref().is_some_and(unplugged) => Status::Awaited,
            Some(seen) if !self.heard.as_ref().is_some_and(absent) => of_use(seen),
            Some(_) | None => Status::Unavailable,
        };
        let trouble = self.heard.as_ref().map_or_else(Trouble::default, trouble);
        // Of the same use to a driver, which does not begin with the cable.
        let plugged = (self.status, status) == (Status::Awaited, Status::Preparing);
        let since = if status == self.status || plugged { now } else { since };
        if status != self.status || trouble != self.trouble || self.since.unix == 0 {
            let since = if since.at < self.since.at { self.since } else { since };
            (self.status, self.trouble, self.since) = (status, trouble, since);
        }
    }

    /// Whether it is in service.
    #[must_use]
    pub fn is_operative(&self) -> bool {
        self.heard.as_ref().is_some_and(|heard| heard.available)
    }

    /// The open transaction of the book; 0: none.
    #[must_use]
    pub fn transaction(&self) -> u64 {
        self.heard.as_ref().map_or(0, |heard| heard.transaction)
    }

    /// The EVSE as last heard.
    #[must_use]
    pub fn heard(&self) -> Option<&EvseStatus> {
        self.heard.as_ref()
    }

    /// The number of the reservation that holds it.
    #[must_use]
    pub fn reservation(&self) -> Option<i64> {
        self.reservation.parse().ok()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Connectors {
    all: BTreeMap<u32, Connector>,
    now: Timestamp,
    /// How long a status must have been what it is before it is told (1.6, MinimumStatusDuration).
    stable: Duration,
    /// Until when an EVSE whose daemon starts is not called out of service.
    settled_at: Option<Timestamp>,
}

impl Connectors {
    /// Time passes; a status is told that has held for `stable`.
    pub fn pass(&mut self, now: Timestamp, stable: Duration) {
        (self.now, self.stable) = (now, stable);
        self.settled_at.get_or_insert(now + SETTLING);
    }

    /// Whether this one is out of service because the station has just begun to start: its driver has
    /// never seen it otherwise, and in a moment it is available.
    fn settles(&self, connector: &Connector) -> bool {
        let starts = |heard: &EvseStatus| !matches!(heard.state.parse(), Ok(state) if !matches!(state, EvseState::Starting | EvseState::Unavailable));
        connector.status == Status::Unavailable
            && connector.heard.as_ref().is_none_or(starts)
            && self.settled_at.is_some_and(|at| self.now < at)
    }

    /// Until when EVSEs, and what they can give, may come to be known.
    #[must_use]
    pub const fn settled_at(&self) -> Option<Timestamp> {
        self.settled_at
    }

    /// When an EVSE that has not started by then is told to be out of service.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        let mut evses = self.all.iter().filter(|(evse, _)| **evse != 0);
        self.settled_at.filter(|_| evses.any(|(_, connector)| self.settles(connector)))
    }

    /// The station's EVSEs, new or again; [`Self::judge`] comes next.
    pub fn hear(&mut self, statuses: Vec<EvseStatus>) {
        for heard in statuses {
            let connector = self.all.entry(heard.evse).or_default();
            connector.heard = Some(heard);
        }
    }

    /// What the connectors are now, also to a driver where `uses` tells. `set`: the machine's time of
    /// day is, so that the times that the station tells can be told on; else a change is of now.
    pub fn judge(&mut self, uses: &[voltry_bus::Connector], set: bool, now: Since) {
        for heard in uses {
            let connector = self.all.entry(heard.evse).or_default();
            connector.seen = heard.state.parse().ok();
            connector.reservation.clone_from(&heard.reservation);
        }
        for (evse, connector) in self.all.iter_mut().filter(|(evse, _)| **evse != 0) {
            let told = uses.iter().find(|heard| set && heard.evse == *evse);
            let since = told.map_or(now, |heard| {
                let ago = now.unix.saturating_sub(heard.since).max(0);
                let at = now.at - Duration::from_micros(u64::try_from(ago).unwrap_or(0));
                Since { unix: heard.since, set, at }
            });
            connector.judge(since, now);
        }
        self.judge_station(now);
    }

    /// The station as 1.6's connector 0: out of service when every EVSE is, and none charges.
    fn judge_station(&mut self, now: Since) {
        let mut evses = self.all.iter().filter(|(evse, _)| **evse != 0).map(|(_, connector)| connector);
        let out = evses.all(|evse| !evse.is_operative() && evse.transaction() == 0);
        let status = if out { Status::Unavailable } else { Status::Available };
        let station = self.all.entry(0).or_default();
        station.seen = Some(ConnectorUse::Available);
        if station.status != status || station.since.unix == 0 {
            (station.status, station.since) = (status, now);
        }
    }

    /// After a boot the CSMS knows nothing.
    pub fn forget_told(&mut self) {
        for connector in self.all.values_mut() {
            connector.told = None;
        }
    }

    /// The next one of which the CSMS has to hear. In 1.6 the station itself is one too, the last: it
    /// follows from the others. Of what the station has not told what it is to a driver, there is
    /// nothing to say yet.
    #[must_use]
    pub fn untold(&self, version: Version) -> Option<u32> {
        self.changed(version).find(|(_, from)| *from <= self.now).map(|(evse, _)| evse)
    }

    /// When the next of them has been what it is for long enough.
    #[must_use]
    pub fn stable_at(&self, version: Version) -> Option<Timestamp> {
        self.changed(version).map(|(_, from)| from).filter(|from| *from > self.now).min()
    }

    /// Those that are something else than the CSMS knows, and from when on it is to hear of it.
    fn changed(&self, version: Version) -> impl Iterator<Item = (u32, Timestamp)> {
        let station = self.all.get_key_value(&0).filter(|_| version == Version::V16);
        let evses = self.all.iter().filter(|(number, _)| **number != 0);
        let wanted = evses.chain(station).filter(move |(number, connector)| {
            let known = connector.seen.is_some() && (**number == 0 || !self.settles(connector));
            known && !connector.is_told(version)
        });
        let stable = |connector: &Connector| match self.stable {
            Duration::ZERO => Timestamp::BOOT,
            stable => connector.since.at + stable,
        };
        wanted.map(move |(number, connector)| (*number, stable(connector)))
    }

    /// The CSMS heard this.
    pub fn told(&mut self, evse: u32, status: Status, trouble: Trouble) {
        if let Some(connector) = self.all.get_mut(&evse) {
            connector.told = Some((status, trouble));
        }
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, evse: u32) -> Option<&Connector> {
        self.all.get(&evse)
    }

    /// Whether this EVSE, or any if none is named, is fit for a charge that the CSMS starts.
    #[must_use]
    pub fn may_start(&self, evse: Option<u32>) -> bool {
        let mut asked = self.all.iter().filter(|(number, _)| evse.map_or(**number != 0, |it| it == **number));
        asked.any(|(_, connector)| !matches!(connector.status, Status::Unavailable | Status::Faulted))
    }

    /// The EVSEs that somebody uses.
    #[must_use]
    pub fn taken(&self) -> BTreeSet<u32> {
        let used = |connector: &Connector| match connector.status {
            Status::Awaited
            | Status::Preparing
            | Status::Charging
            | Status::SuspendedEv
            | Status::SuspendedEvse
            | Status::Finishing => true,
            Status::Available | Status::Reserved | Status::Unavailable | Status::Faulted => false,
        };
        self.all.iter().filter(|(_, connector)| used(connector)).map(|(evse, _)| *evse).collect()
    }

    /// Whether a transaction runs anywhere.
    #[must_use]
    pub fn is_charging(&self) -> bool {
        self.running().next().is_some()
    }

    /// The EVSEs with a transaction, and its number in the book.
    pub fn running(&self) -> impl Iterator<Item = (u32, u64)> {
        let all = self.all.iter().map(|(evse, connector)| (*evse, connector.transaction()));
        all.filter(|(_, transaction)| *transaction != 0)
    }

    /// The EVSEs' numbers.
    pub fn evses(&self) -> impl Iterator<Item = u32> {
        self.all.keys().copied().filter(|evse| *evse != 0)
    }
}

fn trouble(heard: &EvseStatus) -> Trouble {
    heard.faults.first().map_or_else(Trouble::default, |fault| Trouble {
        code: fault.code.clone(),
        cause: fault.cause.clone(),
    })
}

const fn of_use(seen: ConnectorUse) -> Status {
    match seen {
        ConnectorUse::Available => Status::Available,
        ConnectorUse::Preparing => Status::Preparing,
        ConnectorUse::Charging => Status::Charging,
        ConnectorUse::SuspendedEv => Status::SuspendedEv,
        ConnectorUse::SuspendedEvse => Status::SuspendedEvse,
        ConnectorUse::Finishing => Status::Finishing,
        ConnectorUse::Reserved => Status::Reserved,
        ConnectorUse::Unavailable => Status::Unavailable,
        ConnectorUse::Faulted => Status::Faulted,
    }
}

#[cfg(test)]
mod tests;
