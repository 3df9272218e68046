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
            Self::Preparing => "Preparing",
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
            Self::Available => "Available",
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
            Version::V16 => *status == self.status && *trouble == self.trouble,
            Version::V201 => status.v201() == self.status.v201(),
        })
    }

    /// What it is by all that was heard: to a driver since then, with this trouble since now. A change
    /// was no earlier than the one before it.
    fn judge(&mut self, since: Since, now: Since) {
        let absent = |heard: &EvseStatus| heard.state.parse::<EvseState>().is_err();
        let status = match self.seen {
            Some(seen) if !self.heard.as_ref().is_some_and(absent) => of_use(seen),
            Some(_) | None => Status::Unavailable,
        };
        let trouble = self.heard.as_ref().map_or_else(Trouble::default, trouble);
        let since = if status == self.status { now } else { since };
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
    /// Until when an EVSE whose daemon starts is not called out of service.
    settled_at: Option<Timestamp>,
}

impl Connectors {
    /// Time passes.
    pub fn pass(&mut self, now: Timestamp) {
        self.now = now;
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
        let station = self.all.get_key_value(&0).filter(|_| version == Version::V16);
        let evses = self.all.iter().filter(|(number, _)| **number != 0);
        let mut wanted = evses.chain(station).filter(|(number, connector)| {
            connector.seen.is_some() && (**number == 0 || !self.settles(connector))
        });
        wanted.find(|(_, connector)| !connector.is_told(version)).map(|(number, _)| *number)
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
            Status::Preparing
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
mod tests {
    use super::*;

    fn heard(evse: u32, state: &str) -> EvseStatus {
        EvseStatus {
            evse,
            state: state.to_owned(),
            available: true,
            authorized: false,
            voltage: 0.0,
            current: 0.0,
            share: 0.0,
            energy: 0.0,
            soc: -1.0,
            transaction: 0,
            faults: Vec::new(),
        }
    }

    fn used(evse: u32, state: &str, since: u64) -> voltry_bus::Connector {
        voltry_bus::Connector {
            evse,
            state: state.to_owned(),
            since: at(since).unix,
            transaction: 0,
            reservation: String::new(),
            limit: 0.0,
            limit_origin: String::new(),
        }
    }

    fn at(seconds: u64) -> Since {
        let at = Timestamp::from_micros(seconds * 1_000_000);
        Since { unix: i64::try_from(seconds * 1_000_000).unwrap(), set: true, at }
    }

    fn tell_all(connectors: &mut Connectors) -> Vec<u32> {
        let mut told = Vec::new();
        while let Some(evse) = connectors.untold(Version::V201) {
            let connector = connectors.get(evse).unwrap();
            let (status, trouble) = (connector.status, connector.trouble.clone());
            connectors.told(evse, status, trouble);
            told.push(evse);
        }
        told
    }

    fn see(
        connectors: &mut Connectors,
        heard: Vec<EvseStatus>,
        used: &[voltry_bus::Connector],
        seconds: u64,
    ) {
        connectors.hear(heard);
        connectors.judge(used, true, at(seconds));
    }

    #[test]
    fn only_what_changed_is_told_and_with_the_time_of_the_change() {
        let mut connectors = Connectors::default();
        let both = vec![heard(1, "available"), heard(2, "available")];
        see(&mut connectors, both, &[used(1, "available", 1), used(2, "available", 1)], 1);
        assert_eq!(tell_all(&mut connectors), [1, 2]);
        see(&mut connectors, vec![], &[used(1, "available", 1), used(2, "preparing", 5)], 9);
        assert_eq!(connectors.get(2).unwrap().since, at(5));
        assert_eq!(tell_all(&mut connectors), [2]);
    }

    #[test]
    fn what_changed_back_in_an_outage_is_not_told() {
        let mut connectors = Connectors::default();
        see(&mut connectors, vec![heard(1, "available")], &[used(1, "available", 1)], 1);
        tell_all(&mut connectors);
        see(&mut connectors, vec![], &[used(1, "preparing", 2)], 2);
        see(&mut connectors, vec![], &[used(1, "available", 3)], 3);
        assert_eq!(connectors.untold(Version::V201), None);
    }

    #[test]
    fn an_evse_whose_daemon_is_away_is_unavailable_and_says_so() {
        let mut connectors = Connectors::default();
        see(&mut connectors, vec![], &[used(1, "available", 1)], 1);
        see(&mut connectors, vec![heard(1, "absent")], &[], 1);
        assert_eq!(connectors.get(1).unwrap().status, Status::Unavailable);
        assert_eq!(tell_all(&mut connectors), [1]);
    }

    #[test]
    fn nothing_is_told_of_a_connector_before_it_is_known_what_it_is_to_a_driver() {
        let mut connectors = Connectors::default();
        see(&mut connectors, vec![heard(1, "available")], &[], 1);
        assert_eq!(connectors.untold(Version::V201), None);
        see(&mut connectors, vec![], &[used(1, "available", 1)], 2);
        assert_eq!(tell_all(&mut connectors), [1]);
    }

    #[test]
    fn an_evse_that_starts_with_the_station_is_not_called_out_of_service_until_it_had_time_to() {
        let mut connectors = Connectors::default();
        let pass = |connectors: &mut Connectors, seconds| {
            connectors.pass(at(seconds).at);
            tell_all(connectors)
        };
        assert_eq!(pass(&mut connectors, 1), [0; 0]);
        let uses = [used(1, "unavailable", 1), used(2, "unavailable", 1), used(3, "unavailable", 1)];
        let closed = EvseStatus { available: false, ..heard(3, "available") };
        see(&mut connectors, vec![heard(1, "absent"), heard(2, "starting"), closed], &uses, 2);
        assert_eq!(pass(&mut connectors, 2), [3], "one that somebody took out of service");
        assert_eq!(connectors.due(), Some(at(11).at));
        see(&mut connectors, vec![heard(1, "available")], &[used(1, "available", 3)], 3);
        assert_eq!(pass(&mut connectors, 3), [1]);
        assert_eq!(pass(&mut connectors, 11), [2]);
        assert_eq!(connectors.due(), None);
        see(&mut connectors, vec![heard(1, "absent")], &[], 12);
        assert_eq!(pass(&mut connectors, 12), [1], "one that goes later");
    }

    #[test]
    fn times_of_changes_never_go_back_and_a_fault_is_of_now() {
        let mut connectors = Connectors::default();
        see(&mut connectors, vec![heard(1, "charging")], &[used(1, "charging", 1)], 1);
        let mut broken = heard(1, "emergency");
        broken.faults =
            vec![voltry_bus::Fault { code: "MREC8EmergencyStop".to_owned(), cause: String::new(), at: 0 }];
        see(&mut connectors, vec![broken], &[], 9);
        assert_eq!(connectors.get(1).unwrap().since, at(9), "charging since 1 s, broken since 9 s");
        see(&mut connectors, vec![], &[used(1, "faulted", 8)], 10);
        assert_eq!(connectors.get(1).unwrap().since, at(9));
    }

    #[test]
    fn the_station_is_out_of_service_when_every_evse_is() {
        let mut connectors = Connectors::default();
        let out = |evse| EvseStatus { available: false, ..heard(evse, "available") };
        see(&mut connectors, vec![heard(1, "available"), out(2)], &[], 1);
        assert_eq!(connectors.get(0).unwrap().status, Status::Available);
        see(&mut connectors, vec![EvseStatus { transaction: 5, ..out(1) }], &[], 2);
        assert_eq!(connectors.get(0).unwrap().status, Status::Available, "one still charges");
        see(&mut connectors, vec![out(1)], &[], 3);
        assert_eq!(connectors.get(0).unwrap().status, Status::Unavailable);
    }
}
